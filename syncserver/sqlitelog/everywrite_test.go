package sqlitelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/logtest"
	"skerry/syncserver/sqlitelog/internal/crashfs"
)

// contents is all that a log has, as text.
func contents(t *testing.T, log *Log) (text string) {
	t.Helper()
	err := log.read(t.Context(), func(r *reader) error {
		text = strings.Join(dump(t, r.conn), "\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// story is what a log has before the steps of a test.
type story struct {
	rng   *rand.Rand
	id    space.ID
	head  space.Head
	other space.Genesis
}

// logged is what was written to a log's logger.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// begin makes a log that has something of everything.
func begin(t *testing.T, log *Log) *story {
	t.Helper()
	ctx := t.Context()
	s := &story{rng: rand.New(rand.NewPCG(3, 4))}
	genesis := logtest.NewGenesis(s.rng)
	s.id, s.other = genesis.ID(), logtest.NewGenesis(s.rng)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := log.Create(ctx, &genesis, []byte("signature"))
	must(err)
	s.head = space.Head{Chain: s.id}
	for range 3 {
		records, next := logtest.Batch(s.rng, s.head, 2, 1)
		must(log.Append(ctx, s.id, s.head, records, next))
		s.head = next
	}
	must(log.PutPages(ctx, s.id, []syncserver.Page{aPage("old")}))
	must(log.PutBlob(ctx, digest.Of([]byte("old blob")), []byte("old blob")))
	_, err = log.CompareAndSet(ctx, "key", nil, []byte("one"))
	must(err)
	return s
}

func aPage(text string) syncserver.Page {
	return syncserver.Page{Name: digest.Of([]byte(text)), Bytes: []byte(text)}
}

// row is a connection's.
func row(n byte) syncserver.Client {
	return syncserver.Client{Connection: [16]byte{n}, Identity: "ada", Since: 7, Claims: []byte{0x81, n}}
}

// step is one call that changes something. Called again, it does what was left undone, and no more.
type step struct {
	name string
	// parts: it is done in several transactions.
	parts bool
	do    func(context.Context, *Log) error
}

// steps are all changing methods of a log.
func (s *story) steps() []step {
	records, next := logtest.Batch(s.rng, s.head, 3, 1)
	records[1].Payload = make([]byte, 10_000) // over several pages
	next.Chain = space.Fold(s.head.Chain, records)
	append1 := func(changes syncserver.ClientChanges) func(context.Context, *Log) error {
		return func(ctx context.Context, log *Log) error {
			err := log.AppendClients(ctx, s.id, s.head, records, next, changes)
			var moved *syncserver.HeadError
			if errors.As(err, &moved) && moved.Actual == next {
				err = nil // by the call before
			}
			return err
		}
	}
	return []step{
		{"create", false, func(ctx context.Context, log *Log) error {
			_, err := log.Create(ctx, &s.other, nil)
			return err
		}},
		{"append", false, append1(syncserver.ClientChanges{})},
		{"connect", false, append1(syncserver.ClientChanges{Connected: []syncserver.Client{row(1), row(2)}})},
		{"set claims and drop clients", true, func(ctx context.Context, log *Log) error {
			err := append1(syncserver.ClientChanges{Connected: []syncserver.Client{row(1), row(2)}})(ctx, log)
			if err == nil {
				err = log.SetClaims(ctx, row(1).Connection, "ada", []byte{0x80})
			}
			if err == nil {
				err = log.DropClients(ctx, []wire.ConnectionID{row(2).Connection})
			}
			return err
		}},
		{"delete", true, func(ctx context.Context, log *Log) error { return log.Delete(ctx, s.id, s.head) }},
		{"expire", true, func(ctx context.Context, log *Log) error { return log.Expire(ctx, s.id, s.head.Seq-1) }},
		{"put pages", false, func(ctx context.Context, log *Log) error {
			return log.PutPages(ctx, s.id, []syncserver.Page{aPage("one"), aPage(strings.Repeat("two", 5000)), aPage("old")})
		}},
		{"delete pages", false, func(ctx context.Context, log *Log) error {
			return log.DeletePages(ctx, s.id, []digest.Digest{aPage("old").Name})
		}},
		{"put blob", false, func(ctx context.Context, log *Log) error {
			blob := []byte(strings.Repeat("blob", 3000))
			return log.PutBlob(ctx, digest.Of(blob), blob)
		}},
		{"delete blob", false, func(ctx context.Context, log *Log) error {
			return log.DeleteBlob(ctx, digest.Of([]byte("old blob")))
		}},
		{"compareAndSet", false, func(ctx context.Context, log *Log) error {
			done, err := log.CompareAndSet(ctx, "key", []byte("one"), []byte("two"))
			if err == nil && !done {
				if now, err := log.Key(ctx, "key"); err != nil || string(now) != "two" {
					return fmt.Errorf("the key is %q, %w", now, err)
				}
			}
			return err
		}},
	}
}

// ways are how things can end.
var ways = []struct {
	name string
	end  func(fs *crashfs.FS, rng *rand.Rand)
}{
	{"what was not synced is lost", func(fs *crashfs.FS, _ *rand.Rand) { fs.Crash(nil) }},
	{"some of it is lost", func(fs *crashfs.FS, rng *rand.Rand) { fs.Crash(rng) }},
	{"the process is killed, and then the power is lost", func(fs *crashfs.FS, _ *rand.Rand) { fs.Kill() }},
}

// stride is how many changes a loop goes on by: one in the first of the ways, and by hand in all.
func stride(way string) int {
	if way == ways[0].name || os.Getenv("SKERRY_SOAK") != "" {
		return 1
	}
	return 4
}

// withoutRaceDetector skips a loop over every point at which something may fail: SQLite is ten times as slow with it, and one goroutine
// writes. make unit runs them all without it.
func withoutRaceDetector(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("runs without the race detector")
	}
}

// TestEveryWrite loses the power, or the process, at every write, sync, truncation and deletion of every method, of closing, and of the checkpoint of the write-ahead log
// that comes with them. What was acknowledged is there, all of a transaction or nothing, the file is sound, and the same call again brings about the rest once.
func TestEveryWrite(t *testing.T) {
	withoutRaceDetector(t)
	seed, rounds := seeded(t, 1, 20)
	for i, name := range methods(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			points := 0
			for _, checkpoint := range []int{1, 8000} {
				for _, way := range ways {
					for round := range rounds {
						base, config, s := prepared(t, checkpoint)
						step := s.steps()[i]
						before, after := imagine(t, base, config, step)
						for n := 1; ; n += stride(way.name) {
							fs := base.Clone()
							config.vfs, config.syncDir = fs.Name(), fs.SyncDir
							rng := rand.New(rand.NewPCG(seed, uint64(n*1000+round)))
							log := open(t, config)
							fs.CrashAfter(n)
							err := step.do(t.Context(), log)
							log.Close()
							done := fs.Changes() < n
							if done && err != nil {
								t.Fatalf("with the power on: %v", err)
							}
							way.end(fs, rng)
							log = open(t, config)
							found := contents(t, log)
							switch {
							case err == nil && found != after:
								t.Fatalf("%s at change %d: acknowledged, and not there:\n%s\nwanted:\n%s", way.name, n, found, after)
							case !step.parts && found != before && found != after:
								t.Fatalf("%s at change %d: a part of it is there:\n%s", way.name, n, found)
							}
							integrity(t, log)
							if way.name == ways[2].name { // what was read counts: it must survive a loss of power
								log.Close()
								fs.Crash(nil)
								log = open(t, config)
								if again := contents(t, log); again != found {
									t.Fatalf("%s at change %d: what was read after the kill is gone:\n%s\nwas:\n%s", way.name, n, again, found)
								}
							}
							if err := step.do(t.Context(), log); err != nil {
								t.Fatalf("%s at change %d: the same again: %v", way.name, n, err)
							}
							if again := contents(t, log); again != after {
								t.Fatalf("%s at change %d: the same again left:\n%s\nwanted:\n%s", way.name, n, again, after)
							}
							log.Close()
							fs.Unregister()
							points++
							if done {
								break
							}
						}
					}
				}
			}
			t.Logf("%d crashes", points)
		})
	}
}

// methods returns the names of the steps.
func methods(t *testing.T) (names []string) {
	_, _, s := prepared(t, 1)
	for _, step := range s.steps() {
		names = append(names, step.name)
	}
	return names
}

// prepared returns a file system with a log that was closed.
func prepared(t *testing.T, checkpoint int) (*crashfs.FS, Config, *story) {
	t.Helper()
	fs, config := newFS(t)
	config.checkpoint = checkpoint
	log := open(t, config)
	s := begin(t, log)
	log.Close()
	return fs, config, s
}

// imagine returns what a log has before a step and after it, when nothing goes wrong.
func imagine(t *testing.T, base *crashfs.FS, config Config, step step) (before, after string) {
	t.Helper()
	fs := base.Clone()
	defer fs.Unregister()
	config.vfs, config.syncDir = fs.Name(), fs.SyncDir
	log := open(t, config)
	defer log.Close()
	before = contents(t, log)
	if err := step.do(t.Context(), log); err != nil {
		t.Fatal(err)
	}
	return before, contents(t, log)
}

// TestEveryWriteOfMaking loses the power at every write of making a database, and of opening one that an older version made.
func TestEveryWriteOfMaking(t *testing.T) {
	withoutRaceDetector(t)
	seed, _ := seeded(t, 1, 1)
	old, oldConfig, _ := prepared(t, 8000)
	oldConfig.vfs, oldConfig.syncDir = old.Name(), old.SyncDir
	log := open(t, oldConfig)
	whole := contents(t, log)
	log.Close()
	c, err := connect(log.path, sqlite3.OPEN_READWRITE, log.uri(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Exec("DROP TABLE usage; DROP TABLE st_client; UPDATE format SET version = 1"), c.close()); err != nil {
		t.Fatal(err)
	}
	for _, from := range []struct {
		name string
		fs   *crashfs.FS
	}{{"nothing", crashfs.New(t.TempDir())}, {"an older version's", old}} {
		for w, way := range ways {
			for n := 1; ; n += stride(way.name) {
				fs := from.fs.Clone()
				config := oldConfig
				config.vfs, config.syncDir = fs.Name(), fs.SyncDir
				fs.CrashAfter(n)
				log, err := Open(t.Context(), config)
				if err == nil {
					log.Close()
				}
				done := fs.Changes() < n
				way.end(fs, rand.New(rand.NewPCG(seed, uint64(n*10+w))))
				log = open(t, config)
				integrity(t, log)
				if from.name == "nothing" {
					begin(t, log)
				}
				if found := contents(t, log); found != whole {
					t.Fatalf("%s, %s at change %d: it has:\n%s\nwanted:\n%s", from.name, way.name, n, found, whole)
				}
				log.Close()
				fs.Unregister()
				if done {
					t.Logf("%s, %s: %d crashes", from.name, way.name, n)
					break
				}
			}
		}
	}
}

// TestFailedSyncIsNotTrusted has each sync of each method fail, once, the power staying on. What the log shows afterwards, and what it is found to have when
// the process dies at that moment, has to be there still when the power is lost: also what the failed sync was to make durable.
func TestFailedSyncIsNotTrusted(t *testing.T) {
	withoutRaceDetector(t)
	for i, name := range methods(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, checkpoint := range []int{1, 8000} {
				for _, killed := range []bool{false, true} {
					base, config, s := prepared(t, checkpoint)
					step := s.steps()[i]
					before, after := imagine(t, base, config, step)
					for n, done := 1, false; !done; n++ {
						fs := base.Clone()
						config.vfs, config.syncDir = fs.Name(), fs.SyncDir
						log := open(t, config)
						fs.FailSync(n)
						err := step.do(t.Context(), log)
						done = !fs.SyncFailed()
						found := ""
						if !killed { // the process goes on, and what it shows is so from now on
							found = contents(t, log)
							if err != nil && !step.parts && found != before {
								t.Fatalf("sync %d failed, and the log shows:\n%s", n, found)
							}
						}
						fs.Kill()
						log.Close() // nothing of it reaches the disk any more
						log = open(t, config)
						if again := contents(t, log); killed {
							found = again
						} else if again != found {
							t.Fatalf("sync %d failed; before the process was killed the log showed:\n%s\nand afterwards:\n%s", n, found, again)
						}
						if err == nil && found != after || !step.parts && found != before && found != after {
							t.Fatalf("sync %d failed, the call said %v, and there is:\n%s", n, err, found)
						}
						fs.Crash(nil)
						log.Close()
						log = open(t, config)
						if again := contents(t, log); again != found {
							t.Fatalf("sync %d failed; what was shown before the power was lost:\n%s\nand afterwards:\n%s", n, found, again)
						}
						integrity(t, log)
						if err := step.do(t.Context(), log); err != nil {
							t.Fatal(err)
						}
						if again := contents(t, log); again != after {
							t.Fatalf("the same again left:\n%s\nwanted:\n%s", again, after)
						}
						log.Close()
						fs.Unregister()
					}
				}
			}
		})
	}
}

// TestSyncsGoOnFailing: while no sync works, nothing is written and everything can be read; each refusal is told; and when syncs work again the log takes writes by itself.
func TestSyncsGoOnFailing(t *testing.T) {
	lines := new(logged)
	fs, config, s := prepared(t, 8000)
	config.Logger = lines.logger()
	log := open(t, config)
	whole := contents(t, log)
	fs.Intercept(crashfs.Every(crashfs.Sync, "", crashfs.ErrIO))
	for range 3 {
		if _, err := log.CompareAndSet(t.Context(), "key", []byte("one"), []byte("two")); !errors.Is(err, sqlite3.IOERR) || errors.Is(err, syncserver.ErrFull) {
			t.Fatalf("a write while syncs fail: %v", err)
		}
		if now := contents(t, log); now != whole {
			t.Fatalf("while syncs fail the log shows:\n%s", now)
		}
	}
	if told := lines.String(); !strings.Contains(told, "a commit failed") || !strings.Contains(told, "the log takes no writes") {
		t.Errorf("what was told: %s", lines)
	}
	fs.Intercept(nil)
	log.openMu.Lock()
	log.openAt = time.Time{} // a second later
	log.openMu.Unlock()
	for _, step := range s.steps()[:3] {
		if err := step.do(t.Context(), log); err != nil {
			t.Fatalf("%s, when syncs work again: %v", step.name, err)
		}
	}
	whole = contents(t, log)
	fs.Crash(nil)
	log.Close()
	if found := contents(t, open(t, config)); found != whole {
		t.Fatalf("after a loss of power:\n%s\nwanted:\n%s", found, whole)
	}
}

// TestCopyingBackFails: a commit is acknowledged that is in the write-ahead log though that cannot be copied into the database, which is told; and when it can be, it is.
func TestCopyingBackFails(t *testing.T) {
	for _, kind := range []crashfs.Kind{crashfs.Sync, crashfs.Write} {
		lines := new(logged)
		fs, config, s := prepared(t, 1)
		config.Logger = lines.logger()
		log := open(t, config)
		fs.Intercept(crashfs.Every(kind, FileName, crashfs.ErrIO))
		steps := s.steps()
		for _, step := range steps[:2] {
			if err := step.do(t.Context(), log); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		}
		if told := lines.String(); !strings.Contains(told, "copying the write-ahead log into the database failed") {
			t.Errorf("what was told: %s", told)
		}
		whole := contents(t, log)
		lost := fs.Clone()
		lost.Crash(nil)
		lostConfig := config
		lostConfig.Dir, lostConfig.vfs, lostConfig.syncDir = t.TempDir(), lost.Name(), lost.SyncDir
		if err := errors.Join(lost.Rename(log.path, filepath.Join(lostConfig.Dir, FileName)), lost.Rename(log.path+"-wal", filepath.Join(lostConfig.Dir, FileName+"-wal"))); err != nil {
			t.Fatal(err)
		}
		if found := contents(t, open(t, lostConfig)); found != whole {
			t.Fatalf("after a loss of power:\n%s\nwanted:\n%s", found, whole)
		}
		fs.Intercept(nil)
		if err := steps[6].do(t.Context(), log); err != nil {
			t.Fatal(err)
		}
		whole = contents(t, log)
		fs.Crash(nil)
		log.Close()
		if fs.Remove(log.path + "-wal"); !fs.Exists(log.path) {
			t.Fatal("the database is gone")
		}
		if found := contents(t, open(t, config)); found != whole {
			t.Fatalf("when it works again the database alone has:\n%s\nwanted:\n%s", found, whole)
		}
	}
}

// TestNothingIsReadBeforeItsSync holds the sync of every method up: who reads meanwhile sees nothing of it.
func TestNothingIsReadBeforeItsSync(t *testing.T) {
	for i, name := range methods(t) {
		t.Run(name, func(t *testing.T) {
			fs, config, s := prepared(t, 8000)
			log := open(t, config)
			step := s.steps()[i]
			before := contents(t, log)
			held, reached, release := crashfs.Hold(crashfs.Sync, "-wal")
			fs.Intercept(held)
			t.Cleanup(release)
			done := make(chan error, 1)
			go func() { done <- step.do(t.Context(), log) }()
			<-reached
			for range 3 {
				if found := contents(t, log); found != before {
					t.Fatalf("before it was synced the log shows:\n%s", found)
				}
			}
			release()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if contents(t, log) == before {
				t.Fatal("nothing happened")
			}
		})
	}
}

// TestFailedWrites has each read and write of each method fail, be cut short or find no room. The method says so or does its work, it leaves all or nothing, nothing else is
// touched, and with the disk well again the same call brings about the rest, in the same process.
func TestFailedWrites(t *testing.T) {
	faults := []struct {
		name string
		kind crashfs.Kind
		err  error
		full bool
	}{
		{"a write fails", crashfs.Write, crashfs.ErrIO, false},
		{"a write is cut short", crashfs.Write, crashfs.Short{Bytes: 100}, false},
		{"no room", crashfs.Write, crashfs.ErrFull, true},
		{"a read fails", crashfs.Read, crashfs.ErrIO, false},
		{"a truncation fails", crashfs.Truncate, crashfs.ErrIO, false},
	}
	for i, name := range methods(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, fault := range faults {
				base, config, s := prepared(t, 1)
				step := s.steps()[i]
				before, after := imagine(t, base, config, step)
				for n, more := 1, true; more; n++ {
					fs := base.Clone()
					config.vfs, config.syncDir = fs.Name(), fs.SyncDir
					log := open(t, config)
					var hit atomic.Bool
					once := crashfs.Nth(n, fault.kind, "", fault.err)
					fs.Intercept(func(op crashfs.Op) error {
						err := once(op)
						if err != nil {
							hit.Store(true)
						}
						return err
					})
					err := step.do(t.Context(), log)
					fs.Intercept(nil)
					more = hit.Load()
					if err != nil && (fault.full != errors.Is(err, syncserver.ErrFull) || !sqliteFailed(err)) {
						t.Fatalf("%s (%d): it says %v", fault.name, n, err)
					}
					log.openMu.Lock()
					log.openAt = time.Time{}
					log.openMu.Unlock()
					found := contents(t, log)
					if err == nil && found != after || !step.parts && found != before && found != after {
						t.Fatalf("%s (%d): it says %v, and there is:\n%s", fault.name, n, err, found)
					}
					if err := step.do(t.Context(), log); err != nil {
						t.Fatalf("%s (%d): afterwards: %v", fault.name, n, err)
					}
					if found := contents(t, log); found != after {
						t.Fatalf("%s (%d): the same again left:\n%s\nwanted:\n%s", fault.name, n, found, after)
					}
					integrity(t, log)
					fs.Crash(nil)
					log.Close()
					log = open(t, config)
					if found := contents(t, log); found != after {
						t.Fatalf("%s (%d): after a loss of power there is:\n%s\nwanted:\n%s", fault.name, n, found, after)
					}
					log.Close()
					fs.Unregister()
				}
			}
		})
	}
}
