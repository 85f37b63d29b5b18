package sqlitelog

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/space"
	"skerry/syncserver"
	"skerry/syncserver/logtest"
)

// hold keeps the writer busy until release is called, so that what is written meanwhile becomes one group.
func hold(t *testing.T, log *Log) (release func(waiting int)) {
	begun, gate := make(chan struct{}), make(chan struct{})
	var holder sync.WaitGroup
	holder.Go(func() {
		err := log.write(t.Context(), 0, func(*writer) error { close(begun); <-gate; return nil })
		if err != nil {
			t.Error(err)
		}
	})
	<-begun
	return func(waiting int) {
		for len(log.queue) < waiting {
			runtime.Gosched()
		}
		close(gate)
		holder.Wait()
	}
}

// TestOneFailureIsAlone: a request that SQLite cannot store fails alone, though others were in its transaction.
func TestOneFailureIsAlone(t *testing.T) {
	log := open(t, Config{})
	rng := rand.New(rand.NewPCG(1, 1))
	genesis := logtest.NewGenesis(rng)
	id := genesis.ID()
	if _, err := log.Create(t.Context(), &genesis, nil); err != nil {
		t.Fatal(err)
	}
	records, next := logtest.Batch(rng, space.Head{Chain: id}, 3)
	broken := errors.New("broken")
	release := hold(t, log)
	var group sync.WaitGroup
	group.Go(func() {
		if err := log.Append(t.Context(), id, space.Head{Chain: id}, records, next); err != nil {
			t.Errorf("an append beside a failure: %v", err)
		}
	})
	group.Go(func() {
		err := log.write(t.Context(), 0, func(w *writer) error {
			return errors.Join(w.conn.exec("INSERT INTO keys(key, value) VALUES (?, ?)", []byte("half"), []byte("done")), broken)
		})
		if !errors.Is(err, broken) {
			t.Errorf("the failure: %v", err)
		}
	})
	group.Go(func() {
		if ok, err := log.CompareAndSet(t.Context(), "whole", nil, []byte("done")); err != nil || !ok {
			t.Errorf("a key beside a failure: %v, %v", ok, err)
		}
	})
	release(3)
	group.Wait()
	if got := logtest.CheckSpace(t.Context(), t, log, id); len(got) != 3 {
		t.Fatalf("%d records", len(got))
	}
	if value, err := log.Key(t.Context(), "half"); err != nil || value != nil {
		t.Fatalf("half of a failed request was stored: %q, %v", value, err)
	}
	if value, err := log.Key(t.Context(), "whole"); err != nil || string(value) != "done" {
		t.Fatalf("Key = %q, %v", value, err)
	}
}

// TestAppendsOfOneGroupFollow: appends that wait together may follow on each other, and are judged in order.
func TestAppendsOfOneGroupFollow(t *testing.T) {
	log := open(t, Config{})
	rng := rand.New(rand.NewPCG(1, 1))
	genesis := logtest.NewGenesis(rng)
	id := genesis.ID()
	if _, err := log.Create(t.Context(), &genesis, nil); err != nil {
		t.Fatal(err)
	}
	head := space.Head{Chain: id}
	release := hold(t, log)
	var group sync.WaitGroup
	for n := range 5 {
		records, next := logtest.Batch(rng, head, 2)
		previous := head
		group.Go(func() {
			if err := log.Append(t.Context(), id, previous, records, next); err != nil {
				t.Error(err)
			}
		})
		for len(log.queue) <= n {
			runtime.Gosched()
		}
		head = next
	}
	release(5)
	group.Wait()
	if got := logtest.CheckSpace(t.Context(), t, log, id); len(got) != 10 {
		t.Fatalf("%d records", len(got))
	}
}

// TestLimitsAreSwept: keys that say no more than an absent one do not stay for ever.
func TestLimitsAreSwept(t *testing.T) {
	log := open(t, Config{})
	at := time.Unix(1_790_000_000, 0)
	charge := func(key string) {
		if wait, err := log.Limit(t.Context(), at, []syncserver.Charge{{Key: key, Interval: time.Second, Burst: 9, Cost: 5}}); err != nil || wait != 0 {
			t.Fatalf("Limit = %v, %v", wait, err)
		}
	}
	charge("old")
	at = at.Add(4 * time.Second)
	charge("live")
	at = at.Add(2 * time.Second)
	if err := log.write(t.Context(), 0, func(w *writer) error { w.charges = sweepLimits; return nil }); err != nil {
		t.Fatal(err)
	}
	charge("new")
	var keys []string
	if err := log.read(t.Context(), func(r *reader) error {
		return r.conn.rows("SELECT key FROM limits ORDER BY key", func(s *sqlite3.Stmt) bool {
			keys = append(keys, s.ColumnText(0))
			return true
		})
	}); err != nil {
		t.Fatal(err)
	}
	if len(keys) != 2 || keys[0] != "live" || keys[1] != "new" {
		t.Fatalf("the keys left are %q", keys)
	}
}
