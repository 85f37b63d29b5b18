package sqlitelog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/syncserver"
	"skerry/syncserver/logtest"
	"skerry/syncserver/sqlitelog/internal/crashfs"
)

// newFS returns a file system that forgets, and a config that uses it.
func newFS(t *testing.T) (*crashfs.FS, Config) {
	dir := t.TempDir()
	fs := crashfs.New(dir)
	t.Cleanup(fs.Unregister)
	return fs, Config{Dir: dir, vfs: fs.Name(), syncDir: fs.SyncDir}
}

// seeded returns a seed, random or from SKERRY_SEED, and how often to repeat what is random.
func seeded(t *testing.T, short, long int) (seed uint64, rounds int) {
	seed, rounds = rand.Uint64(), short
	if raceDetector { // with which SQLite is ten times as slow
		rounds = (short + 2) / 3
	}
	if os.Getenv("SKERRY_SOAK") != "" {
		rounds = long
	}
	if text := os.Getenv("SKERRY_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("SKERRY_SEED=%d", seed)
	return seed, rounds
}

// TestLogOnForgetfulDisk runs the suite on a file system that loses what was not synced when the log is closed.
func TestLogOnForgetfulDisk(t *testing.T) {
	logtest.Run(t, func(t *testing.T) logtest.Opened {
		fs, config := newFS(t)
		return logtest.Opened{
			Log:    open(t, config),
			Reopen: func() syncserver.Log { fs.Crash(nil); return open(t, config) },
		}
	})
}

// witness is one goroutine of a crash test, with a space of its own: it knows what was acknowledged to it, and the
// one thing that was under way when the power went.
type witness struct {
	rng     *rand.Rand
	genesis space.Genesis
	id      space.ID
	created bool

	head    space.Head // the last acknowledged one
	records []space.Record

	trying     []space.Record // under way
	tryingHead space.Head

	expired, tryingExpired uint64
	counter, tryingCounter int
	blobs, pages           [][]byte
}

func newWitness(rng *rand.Rand) *witness {
	w := &witness{rng: rng, genesis: logtest.NewGenesis(rng)}
	w.id = w.genesis.ID()
	w.head = space.Head{Chain: w.id}
	return w
}

// run writes until the first error, or until it has done enough.
func (w *witness) run(ctx context.Context, log *Log) error {
	if _, err := log.Create(ctx, &w.genesis, nil); err != nil {
		return err
	}
	w.created = true
	for n := range 400 {
		w.trying, w.tryingHead = logtest.Batch(w.rng, w.head, 1+w.rng.IntN(4), 1+w.rng.IntN(12))
		if n%10 == 9 { // over several pages
			w.trying[0].Payload = make([]byte, 10_000)
			w.tryingHead.Chain = space.Fold(w.head.Chain, w.trying)
		}
		if err := w.append(ctx, log); err != nil {
			return err
		}
		w.landed()
		switch w.rng.IntN(8) {
		case 0:
			w.tryingCounter = w.counter + 1
			ok, err := log.CompareAndSet(ctx, w.id.String(), w.value(w.counter), w.value(w.tryingCounter))
			if err != nil {
				return err
			}
			if !ok {
				return errors.New("the counter was changed by somebody")
			}
			w.counter = w.tryingCounter
		case 1:
			content := fmt.Append(nil, w.id, n)
			if err := log.PutBlob(ctx, digest.Of(content), content); err != nil {
				return err
			}
			w.blobs = append(w.blobs, content)
			page := fmt.Append(nil, "page", w.id, n)
			if err := log.PutPages(ctx, w.id, []syncserver.Page{{Name: digest.Of(page), Bytes: page}}); err != nil {
				return err
			}
			w.pages = append(w.pages, page)
		case 3:
			w.tryingExpired = w.expired + w.rng.Uint64N(w.head.Seq-w.expired+1)
			if err := log.Expire(ctx, w.id, w.tryingExpired); err != nil {
				return err
			}
			w.expired = w.tryingExpired
		case 2:
			stale, next := logtest.Batch(w.rng, w.head, 3)
			stale[2].ID = w.records[0].ID
			var known *syncserver.KnownError
			if err := log.Append(ctx, w.id, w.head, stale, next); !errors.As(err, &known) {
				return fmt.Errorf("an append of a known id: %w", err)
			}
		}
	}
	return nil
}

// client is the one row that the witness has while its space ends at a record.
func (w *witness) client(seq uint64) syncserver.Client {
	sum := digest.Of(fmt.Append(nil, w.id, seq))
	return syncserver.Client{Connection: [16]byte(sum[:16]), Identity: w.id.String(), Since: seq, Claims: fmt.Append(nil, seq)}
}

// append appends what it is trying, and moves its row with it.
func (w *witness) append(ctx context.Context, log *Log) error {
	changes := syncserver.ClientChanges{Connected: []syncserver.Client{w.client(w.tryingHead.Seq)}}
	if w.head.Seq > 0 {
		changes.Gone = append(changes.Gone, w.client(w.head.Seq).Connection)
	}
	return log.AppendClients(ctx, w.id, w.head, w.trying, w.tryingHead, changes)
}

// landed moves what was under way to what is stored.
func (w *witness) landed() {
	w.records = append(w.records, w.trying...)
	w.head, w.trying = w.tryingHead, nil
}

// value is the counter as it is stored; 0 is absent.
func (w *witness) value(n int) []byte {
	if n == 0 {
		return nil
	}
	return strconv.AppendInt(nil, int64(n), 10)
}

// check compares a log that was opened after a crash with what the witness knows, and makes what it could not know
// its own.
func (w *witness) check(t *testing.T, log *Log) {
	t.Helper()
	ctx := t.Context()
	head, err := log.Head(ctx, w.id)
	if errors.Is(err, syncserver.ErrNoSpace) && !w.created {
		return
	}
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	w.created = true
	if w.trying != nil && head == w.tryingHead {
		w.landed()
	}
	if head != w.head {
		t.Fatalf("the log ends at %d, acknowledged was %d", head.Seq, w.head.Seq)
	}
	records := logtest.CheckSpace(ctx, t, log, w.id)
	gone, err := log.Expired(ctx, w.id)
	if err != nil || gone != w.expired && gone != w.tryingExpired {
		t.Fatalf("Expired = %d, %v; expired was %d, or %d", gone, err, w.expired, w.tryingExpired)
	}
	w.expired = gone
	for i := range w.records {
		want := w.records[i]
		if want.Seq <= w.expired {
			want = want.Tombstone()
		}
		if !logtest.SameRecord(&records[i], &want) {
			t.Fatalf("record %d is not what was acknowledged", i+1)
		}
	}
	if err := log.Expire(ctx, w.id, w.expired); err != nil && !errors.Is(err, syncserver.ErrFull) { // what was cut off goes on
		t.Fatalf("Expire again: %v", err)
	}
	w.tryingExpired = w.expired
	clients, err := logtest.AllClients(ctx, log)
	if err != nil {
		t.Fatalf("Clients: %v", err)
	}
	clients = slices.DeleteFunc(clients, func(c syncserver.Client) bool { return c.Identity != w.id.String() })
	if want := w.client(head.Seq); len(clients) != min(int(head.Seq), 1) || len(clients) > 0 && !reflect.DeepEqual(clients[0], want) {
		t.Fatalf("the log ends at %d, and the rows beside it are %v", head.Seq, clients)
	}
	value, err := log.Key(ctx, w.id.String())
	switch n, _ := strconv.Atoi(string(value)); {
	case err != nil:
		t.Fatalf("Key: %v", err)
	case n != w.counter && n != w.tryingCounter:
		t.Fatalf("the counter is %q, acknowledged was %d", value, w.counter)
	default:
		w.counter = n
	}
	for _, content := range w.blobs {
		if has, err := log.HasBlob(ctx, digest.Of(content)); err != nil || !has {
			t.Fatalf("an acknowledged blob is lost: %v", err)
		}
	}
	for _, content := range w.pages {
		if got, err := log.Page(ctx, digest.Of(content)); err != nil || string(got) != string(content) {
			t.Fatalf("an acknowledged page is lost: %v", err)
		}
	}
}

// integrity has SQLite check the file itself.
func integrity(t *testing.T, log *Log) {
	t.Helper()
	err := log.read(t.Context(), func(r *reader) error {
		return r.conn.rows("PRAGMA integrity_check", func(s *sqlite3.Stmt) bool {
			if text := s.ColumnText(0); text != "ok" {
				t.Errorf("integrity_check: %s", text)
			}
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCrash loses the power at a random change, some times in the life of one database, also while it is made,
// opened and checkpointed. Whatever was acknowledged must be there afterwards.
func TestCrash(t *testing.T) {
	seed, rounds := seeded(t, 50, 4000)
	for round := range rounds {
		ok := t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, uint64(round)))
			fs, config := newFS(t)
			config.checkpoint = []int{2, 30, 8000}[rng.IntN(3)]
			witnesses := make([]*witness, 4)
			for i := range witnesses {
				witnesses[i] = newWitness(rand.New(rand.NewPCG(seed, rng.Uint64())))
			}
			for range 3 {
				after := 1 + rng.IntN(1<<(2+rng.IntN(8)))
				fs.CrashAfter(after)
				crashUnder(t, config, witnesses)
				if rng.IntN(2) == 0 {
					fs.Crash(nil)
				} else {
					fs.Crash(rng)
				}
				log := open(t, config)
				for _, w := range witnesses {
					w.check(t, log)
				}
				logtest.CheckUsage(t.Context(), t, log)
				integrity(t, log)
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
		if !ok {
			t.Fatalf("repeat with SKERRY_SEED=%d", seed)
		}
	}
}

// crashUnder opens the log and lets the witnesses write until the power is gone.
func crashUnder(t *testing.T, config Config, witnesses []*witness) {
	log, err := Open(t.Context(), config)
	if err != nil {
		return // the power went before it was open
	}
	var running sync.WaitGroup
	for _, w := range witnesses {
		running.Go(func() { w.run(t.Context(), log) })
	}
	running.Wait()
	log.Close()
}

// TestFailedSync has single syncs fail while the power stays on. A failed commit says so, the log goes on without
// being opened again, and after a crash all that was acknowledged is there, before the failure and after it.
func TestFailedSync(t *testing.T) {
	seed, rounds := seeded(t, 8, 1000)
	for round := range rounds {
		rng := rand.New(rand.NewPCG(seed, uint64(round)))
		fs, config := newFS(t)
		config.checkpoint = []int{2, 30, 8000}[rng.IntN(3)]
		log := open(t, config)
		w := newWitness(rng)
		for range 3 {
			fs.FailSync(1 + rng.IntN(20))
			err := w.run(t.Context(), log) // nil if it was a checkpoint's sync, which nobody waits for
			if err != nil && !errors.Is(err, sqlite3.IOERR) || errors.Is(err, syncserver.ErrFull) {
				t.Fatalf("a failed sync: %v", err)
			}
			w.check(t, log)
			logtest.CheckUsage(t.Context(), t, log)
		}
		fs.Crash(nil)
		log.Close()
		log = open(t, config)
		w.check(t, log)
		integrity(t, log)
		log.Close()
	}
}

// TestFull fills the disk: nothing half stored, reads go on, and with room again so do writes.
func TestFull(t *testing.T) {
	fs, config := newFS(t)
	config.checkpoint = 50
	log := open(t, config)
	w := newWitness(rand.New(rand.NewPCG(1, 2)))
	for range 5 {
		fs.SetCapacity(fs.Used() + 100_000)
		if err := w.run(t.Context(), log); !errors.Is(err, syncserver.ErrFull) {
			t.Fatalf("a full disk: %v", err)
		}
		if head, err := log.Head(t.Context(), w.id); err != nil || head != w.head {
			t.Fatalf("Head on a full disk = %d, %v; want %d", head.Seq, err, w.head.Seq)
		}
		w.check(t, log)
		if err := w.append(t.Context(), log); w.trying != nil && !errors.Is(err, syncserver.ErrFull) {
			// A smaller remainder may have fitted in.
			if err != nil {
				t.Fatal(err)
			}
			w.landed()
		}
	}
	fs.SetCapacity(0)
	if w.trying == nil {
		w.trying, w.tryingHead = logtest.Batch(w.rng, w.head, 3)
	}
	if err := w.append(t.Context(), log); err != nil {
		t.Fatal(err)
	}
	w.landed()
	w.check(t, log)
	integrity(t, log)
}
