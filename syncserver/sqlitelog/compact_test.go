package sqlitelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/space"
	"skerry/syncserver/logtest"
)

// TestCompact: what was deleted, and the payloads that have expired, take no room any more and are nowhere; what is there is as it was.
func TestCompact(t *testing.T) {
	ctx := t.Context()
	config := Config{Dir: t.TempDir()}
	log := open(t, config)
	rng := rand.New(rand.NewPCG(1, 1))
	secret := []byte("what nobody is to find any more")
	write := func(n int) (space.ID, []space.Record, space.Head) {
		genesis := logtest.NewGenesis(rng)
		id := genesis.ID()
		if _, err := log.Create(ctx, &genesis, nil); err != nil {
			t.Fatal(err)
		}
		var all []space.Record
		head := space.Head{Chain: id}
		for range n {
			records, next := logtest.Batch(rng, head, 20)
			for i := range records {
				records[i].Payload = bytes.Repeat(secret, 20)
			}
			next.Chain = space.Fold(head.Chain, records)
			if err := log.Append(ctx, id, head, records, next); err != nil {
				t.Fatal(err)
			}
			all, head = append(all, records...), next
		}
		return id, all, head
	}
	kept, records, head := write(100)
	gone, _, end := write(100)
	if err := errors.Join(log.Expire(ctx, kept, head.Seq), log.Delete(ctx, gone, end)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Compact(ctx, config, nil); !errors.Is(err, ErrLocked) {
		t.Fatalf("Compact under a server = %v", err)
	}
	log.Close()
	if _, _, err := Compact(ctx, Config{Dir: config.Dir + "-not"}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Compact of no directory = %v", err)
	}
	if _, _, err := Compact(ctx, Config{Dir: t.TempDir()}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Compact of an empty directory = %v", err)
	}

	full := config
	full.free = func(string) (int64, bool) { return 1 << 10, true }
	before, after, err := Compact(ctx, full, nil)
	if err == nil || before == 0 || after != before {
		t.Errorf("Compact without room = %d, %d, %v", before, after, err)
	}
	if os.Getenv("SKERRY_SOAK") != "" { // SQLite is patient
		compactUnderReader(t, config)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := Compact(canceled, config, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Compact that was called off = %v", err)
	}

	before, after, err = Compact(ctx, config, func(done, total int64) {})
	if err != nil || after*4 > before {
		t.Fatalf("Compact = %d, %d, %v", before, after, err)
	}
	info, err := os.Stat(filepath.Join(config.Dir, FileName))
	if err != nil || info.Size() != after {
		t.Errorf("the file has %d bytes, not %d, %v", info.Size(), after, err)
	}
	files, err := os.ReadDir(config.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(config.Dir, f.Name()))
		if err != nil || bytes.Contains(content, secret) {
			t.Errorf("%s has what is gone, or cannot be read: %v", f.Name(), err)
		}
		if f.Name() != FileName && f.Name() != lockName {
			t.Errorf("%s is left", f.Name())
		}
	}
	log = open(t, config)
	defer log.Close()
	got := logtest.CheckSpace(ctx, t, log, kept)
	for i := range got {
		if want := records[i].Tombstone(); !logtest.SameRecord(&got[i], &want) {
			t.Fatalf("record %d is %+v", i+1, got[i])
		}
	}
	logtest.CheckUsage(ctx, t, log)
	integrity(t, log)
	next := logtest.NewGenesis(rng) // numbers of spaces go on
	if _, err := log.Create(ctx, &next, nil); err != nil {
		t.Fatal(err)
	}
}

// compactUnderReader: somebody reads, and goes on reading.
func compactUnderReader(t *testing.T, config Config) {
	ctx := t.Context()
	readOnly, err := OpenReadOnly(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	err = readOnly.read(ctx, func(r *reader) error {
		count := func() (n int) {
			if _, err := r.conn.row("SELECT count(*) FROM events", func(s *sqlite3.Stmt) { n = s.ColumnInt(0) }); err != nil {
				t.Error(err)
			}
			return n
		}
		if err := r.conn.exec("BEGIN"); err != nil {
			return err
		}
		had := count()
		if _, _, err := Compact(ctx, config, nil); err == nil || !strings.Contains(err.Error(), "somebody reads") {
			t.Errorf("Compact under a reader = %v", err)
		}
		if has := count(); has != had {
			t.Errorf("the reader has %d events, and had %d", has, had)
		}
		return r.conn.exec("COMMIT")
	})
	if err := errors.Join(err, readOnly.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestPowerFailsInCompact: wherever it does, one of the two databases is there, whole, and nothing that was being made is left when it is
// opened.
func TestPowerFailsInCompact(t *testing.T) {
	withoutRaceDetector(t)
	seed, _ := seeded(t, 1, 1)
	left := map[string]int{}
	for after, finished := 1, false; !finished; after++ {
		rng := rand.New(rand.NewPCG(seed, uint64(after)))
		fs, config := newFS(t)
		config.rename = fs.Rename
		log := open(t, config)
		w := newWitness(rand.New(rand.NewPCG(seed, 7)))
		if _, err := log.Create(t.Context(), &w.genesis, nil); err != nil {
			t.Fatal(err)
		}
		w.created = true
		for range 8 {
			w.trying, w.tryingHead = logtest.Batch(w.rng, w.head, 10)
			if err := w.append(t.Context(), log); err != nil {
				t.Fatal(err)
			}
			w.landed()
		}
		w.expired, w.tryingExpired = 60, 60
		if err := log.Expire(t.Context(), w.id, 60); err != nil {
			t.Fatal(err)
		}
		log.Close()
		fs.Crash(nil)
		fs.CrashAfter(after)
		_, _, err := Compact(t.Context(), config, nil)
		finished = err == nil && fs.Changes() < after
		if after%3 == 0 {
			fs.Crash(nil)
		} else {
			fs.Crash(rng)
		}
		begun := fs.Exists(filepath.Join(config.Dir, FileName+compactingSuffix))
		left[fmt.Sprint(err == nil, begun)]++
		log, err = Open(t.Context(), config)
		if err != nil {
			t.Fatalf("SKERRY_SEED=%d: after %d changes: %v", seed, after, err)
		}
		w.check(t, log)
		integrity(t, log)
		log.Close()
		if fs.Exists(filepath.Join(config.Dir, FileName+compactingSuffix)) {
			t.Fatalf("SKERRY_SEED=%d: after %d changes something is left", seed, after)
		}
	}
	t.Log(left)
	if left["false true"] == 0 || left["false false"] == 0 {
		t.Error("the power never failed where it matters")
	}
}
