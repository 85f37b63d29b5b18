package sqlitelog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/logtest"
)

// backedUp returns a backup of a directory.
func backedUp(t *testing.T, dir string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "backup")
	if err := Backup(t.Context(), Config{Dir: dir}, file, nil); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// marked marks a log that was restored, as a server does.
func marked(ctx context.Context, log *Log) error {
	_, err := log.CompareAndSet(ctx, "marked", nil, []byte("yes"))
	return err
}

// TestBackup backs a log up while it is written to: what was acknowledged before is in it, and it ends where the log once did, with all that
// belongs to that.
func TestBackup(t *testing.T) {
	log := open(t, Config{})
	w := newWitness(rand.New(rand.NewPCG(5, 6)))
	if _, err := log.Create(t.Context(), &w.genesis, nil); err != nil {
		t.Fatal(err)
	}
	if ok, err := log.CompareAndSet(t.Context(), "server/key", nil, []byte("who the server is")); err != nil || !ok {
		t.Fatal(ok, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	wrote, ended := make(chan space.Head), make(chan error)
	go func() {
		for ctx.Err() == nil {
			w.trying, w.tryingHead = logtest.Batch(w.rng, w.head, 3, 2)
			if err := w.append(context.WithoutCancel(ctx), log); err != nil {
				ended <- err
				return
			}
			w.landed()
			select {
			case wrote <- w.head:
			default:
			}
		}
		ended <- nil
	}()
	for range 5 {
		before := <-wrote
		backup := backedUp(t, log.config.Dir)
		dir := filepath.Join(t.TempDir(), "new", "data")
		if err := Restore(t.Context(), Config{Dir: dir}, bytes.NewReader(backup), marked); err != nil {
			t.Fatal(err)
		}
		if got := names(t, dir); got != FileName {
			t.Fatalf("there is %s", got)
		}
		restored := open(t, Config{Dir: dir})
		integrity(t, restored)
		records := logtest.CheckSpace(t.Context(), t, restored, w.id)
		logtest.CheckUsage(t.Context(), t, restored)
		if len(records) < int(before.Seq) {
			t.Fatalf("%d records were acknowledged before, and %d are in the backup", before.Seq, len(records))
		}
		for key, want := range map[string]string{"server/key": "who the server is", "marked": "yes"} {
			if got, err := restored.Key(t.Context(), key); err != nil || string(got) != want {
				t.Fatalf("%s is %q, %v", key, got, err)
			}
		}
		clients, err := logtest.AllClients(t.Context(), restored)
		if want := w.client(uint64(len(records))); err != nil || len(clients) != 1 || clients[0].Connection != want.Connection || len(clients[0].Claims) > 0 {
			t.Fatalf("connected are %+v, %v", clients, err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	w.check(t, log)
}

// TestBackupHasNothingDeleted: neither what credentials claim nor what was deleted is anywhere in the bytes.
func TestBackupHasNothingDeleted(t *testing.T) {
	log := open(t, Config{})
	secret, deleted := bytes.Repeat([]byte("claims of somebody "), 500), bytes.Repeat([]byte("deleted by somebody "), 500)
	system, gone := logtest.NewGenesis(rand.New(rand.NewPCG(1, 1))), logtest.NewGenesis(rand.New(rand.NewPCG(1, 2)))
	for _, genesis := range []*space.Genesis{&system, &gone} {
		if _, err := log.Create(t.Context(), genesis, nil); err != nil {
			t.Fatal(err)
		}
	}
	write := func(genesis *space.Genesis, payload []byte, changes syncserver.ClientChanges) space.Head {
		head := space.Head{Chain: genesis.ID()}
		records, next := logtest.Batch(rand.New(rand.NewPCG(1, 3)), head, 1)
		records[0].Payload = payload
		next.Chain = space.Fold(head.Chain, records)
		if err := log.AppendClients(t.Context(), genesis.ID(), head, records, next, changes); err != nil {
			t.Fatal(err)
		}
		return next
	}
	connected := []syncserver.Client{{Connection: [16]byte{1}, Identity: "a", Claims: secret}, {Connection: [16]byte{2}, Identity: "b", Claims: secret}}
	write(&system, nil, syncserver.ClientChanges{Connected: connected})
	head := write(&gone, deleted, syncserver.ClientChanges{})
	err := log.DropClients(t.Context(), []wire.ConnectionID{{2}})
	if err := errors.Join(err, log.Delete(t.Context(), gone.ID(), head)); err != nil {
		t.Fatal(err)
	}
	backup := backedUp(t, log.config.Dir)
	for _, text := range []string{"claims of somebody", "deleted by somebody"} {
		if bytes.Contains(backup, []byte(text)) {
			t.Errorf("%q is in the backup", text)
		}
	}
	if info, err := os.Stat(filepath.Join(log.config.Dir, FileName)); err != nil || info.Size() == 0 {
		t.Fatal(err)
	}
}

// TestBackupNeverOverwrites, and leaves nothing behind when it fails or is ended.
func TestBackupNeverOverwrites(t *testing.T) {
	dir, _, _ := filled(t)
	out := t.TempDir()
	file := filepath.Join(out, "backup")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), Config{Dir: dir}, file, nil); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("Backup over a file = %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Backup(ended, Config{Dir: dir}, filepath.Join(out, "other"), nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("Backup that was ended = %v", err)
	}
	if err := Backup(t.Context(), Config{Dir: filepath.Join(dir, "nothing")}, filepath.Join(out, "other"), nil); err == nil {
		t.Fatal("nothing was backed up")
	}
	if err := Backup(t.Context(), Config{Dir: dir}, filepath.Join(out, "nowhere", "other"), nil); err == nil {
		t.Fatal("it was written nowhere")
	}
	if got := files(t, out); len(got) != 1 || got["backup"] != "mine" {
		t.Fatalf("left are %v", slices.Collect(maps.Keys(got)))
	}
	if got := names(t, dir); strings.Contains(got, "partial") {
		t.Fatalf("left are %s", got)
	}
}

// TestBackupOfDamage: what is damaged is no backup, and is told.
func TestBackupOfDamage(t *testing.T) {
	dir, _, _ := filled(t)
	name := filepath.Join(dir, FileName)
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := 8192; at < len(content); at += 4096 { // the first bytes of all pages but two
		content[at] ^= 0xff
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := Backup(t.Context(), Config{Dir: dir}, filepath.Join(out, "backup"), nil); err == nil || !strings.Contains(err.Error(), dir) {
		t.Fatalf("Backup = %v", err)
	}
	if got := names(t, out); got != "" {
		t.Fatalf("left are %s", got)
	}
}

func TestRestoreRefuses(t *testing.T) {
	dir, _, _ := filled(t)
	backup := backedUp(t, dir)
	newer, foreign := t.TempDir(), t.TempDir()
	log := open(t, Config{Dir: newer})
	log.Close()
	alter(t, newer, "UPDATE format SET version = 9, release = '2.1.3', min_reader = 1001, min_writer = 1001")
	alter(t, foreign, "CREATE TABLE theirs(x)")
	spoiled := slices.Clone(backup)
	for at := 4096; at < len(spoiled); at += 4096 {
		spoiled[at] ^= 0xff
	}
	for name, test := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":      {nil, "does not begin as one does"},
		"text":       {bytes.Repeat([]byte("text "), 1000), "does not begin as one does"},
		"header":     {backup[:100], "cut short"},
		"short":      {backup[:len(backup)-1], "cut short"},
		"long":       {append(slices.Clone(backup), 0), "something was added"},
		"newer":      {[]byte(files(t, newer)[FileName]), "2.1.3"},
		"foreign":    {[]byte(files(t, foreign)[FileName]), "not Skerry's"},
		"spoiled":    {spoiled, "malformed|damaged"},
		"unmarked":   {backup, "cannot mark"},
		"unreadable": {nil, "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, there := range []bool{false, true} {
				into := filepath.Join(t.TempDir(), "data")
				if there {
					if err := os.Mkdir(into, 0o700); err != nil {
						t.Fatal(err)
					}
				}
				var from io.Reader = bytes.NewReader(test.content)
				if name == "unreadable" {
					from = io.MultiReader(bytes.NewReader(backup[:5000]), &broken{})
				}
				err := Restore(t.Context(), Config{Dir: into}, from, func(context.Context, *Log) error { return errors.New("cannot mark") })
				told := false
				for text := range strings.SplitSeq(test.want, "|") {
					told = told || err != nil && strings.Contains(err.Error(), text)
				}
				if !told {
					t.Fatalf("Restore = %v", err)
				}
				if entries, err := os.ReadDir(into); there != (err == nil) || len(entries) > 0 {
					t.Fatalf("left are %v, %v", entries, err)
				}
			}
		})
	}
	for name, make := range map[string]func(string) error{
		"data":      func(into string) error { return os.CopyFS(into, os.DirFS(dir)) },
		"something": func(into string) error { return os.WriteFile(filepath.Join(into, "notes.txt"), nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			into := t.TempDir()
			if err := make(into); err != nil {
				t.Fatal(err)
			}
			before := files(t, into)
			if err := Restore(t.Context(), Config{Dir: into}, bytes.NewReader(backup), nil); !errors.Is(err, ErrNotEmpty) {
				t.Fatalf("Restore = %v", err)
			}
			if !maps.Equal(files(t, into), before) {
				t.Fatal("it was changed")
			}
		})
	}
	into := t.TempDir()
	served := open(t, Config{Dir: into})
	if err := Restore(t.Context(), Config{Dir: into}, bytes.NewReader(backup), nil); !errors.Is(err, ErrNotEmpty) {
		t.Fatalf("Restore where a server runs = %v", err)
	}
	served.Close()
}

type broken struct{}

func (*broken) Read([]byte) (int, error) { return 0, errors.New("gone") }

// TestRestoreOlder: a backup that an older release made is migrated before it is anybody's data.
func TestRestoreOlder(t *testing.T) {
	config := Config{Dir: t.TempDir()}
	id, records := older(t, config)
	backup := backedUp(t, config.Dir)
	into := t.TempDir()
	if err := Restore(t.Context(), Config{Dir: into}, bytes.NewReader(backup), marked); err != nil {
		t.Fatal(err)
	}
	if got := names(t, into); got != FileName {
		t.Fatalf("there is %s", got)
	}
	checkMigrated(t, open(t, Config{Dir: into}), id, records)
}

// TestRestoreAfterCut: whatever a restore left that was cut off, in the middle of a migration too, the next one makes of the directory what it is to be.
func TestRestoreAfterCut(t *testing.T) {
	config := Config{Dir: t.TempDir()}
	id, records := older(t, config)
	backup := backedUp(t, config.Dir)
	left := []string{"", "-journal", "-wal", "-shm", beforeSuffix, beforeSuffix + "-journal", beforeSuffix + "-wal", failedSuffix}
	for _, each := range append(slices.Collect(slices.Chunk(left, 1)), left) {
		into := t.TempDir()
		for _, suffix := range each {
			if err := os.WriteFile(filepath.Join(into, FileName+restoringSuffix+suffix), []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := Restore(t.Context(), Config{Dir: into}, bytes.NewReader(backup), marked); err != nil {
			t.Errorf("%q was left: %v", each, err)
			continue
		}
		if got := names(t, into); got != FileName {
			t.Errorf("%q was left, and now %s is there", each, got)
		}
		checkMigrated(t, open(t, Config{Dir: into}), id, records)
	}
}
