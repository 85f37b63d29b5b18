package sim

import (
	"strings"
	"sync/atomic"
	"testing"
)

// TestRestores runs worlds whose server is put back from a backup, one for two of the other worlds, and no fewer than 20; every fifth with
// modules that take over from one another.
func TestRestores(t *testing.T) {
	seeds, first := max(20, number("SKERRY_SIM_SEEDS", 0)/2), number("SKERRY_SIM_FIRST", 1)
	t.Logf("seeds %d to %d", first, first+seeds-1)
	inParallel(first, seeds, func(seed uint64) bool {
		w := New(restored(t, seed))
		err := w.Run()
		if err != nil {
			t.Errorf("%v\n%s", err, strings.Join(w.Trace(), "\n"))
		}
		return err == nil
	})
}

// TestRestoresOfBoots runs such worlds whose replicas begin at checkpoints too, so that what the server loses may lie in what they left out; in some of them
// records expire besides.
func TestRestoresOfBoots(t *testing.T) {
	seeds, first := max(10, number("SKERRY_SIM_SEEDS", 60)/2), number("SKERRY_SIM_FIRST", 1)
	var bridged atomic.Int64
	inParallel(first, seeds, func(seed uint64) bool {
		w := New(Options{Seed: seed, Restores: true, Boots: true, Expires: seed%3 == 0})
		err := w.Run()
		if err != nil {
			t.Errorf("%v\n%s", err, strings.Join(w.Trace(), "\n"))
		}
		bridged.Add(int64(w.restored.bridged))
		return err == nil
	})
	t.Logf("%d times a device went over to the server's branch from behind a hole", bridged.Load())
	if !t.Failed() && seeds >= 30 && bridged.Load() == 0 {
		t.Error("no device that had left something out went over to the server's branch")
	}
}

// TestRestoresOfDeletions runs such worlds in which spaces are deleted, and a deletion may be lost with all else: who knows of it does not bring it back, nor what
// was there before it; nothing waits for ever, and everybody else goes on with what the server has.
func TestRestoresOfDeletions(t *testing.T) {
	seeds, first := max(5, number("SKERRY_SIM_SEEDS", 0)/10), number("SKERRY_SIM_FIRST", 1)
	inParallel(first, seeds, func(seed uint64) bool {
		w := New(withTables(t, Options{Seed: seed, Restores: true, Deletes: true}))
		err := w.Run()
		if err != nil {
			t.Errorf("%v\n%s", err, strings.Join(w.Trace(), "\n"))
		}
		return err == nil
	})
}

func restored(t *testing.T, seed uint64) Options {
	options := Options{Seed: seed, Restores: true}
	if seed%5 == 0 {
		options = withTables(t, options)
	}
	return options
}

func TestRestoresSameSeedSameTrace(t *testing.T) {
	for seed := range uint64(11) {
		first, second := New(restored(t, seed)), New(restored(t, seed))
		first.Run()
		second.Run()
		if first.TraceSum() != second.TraceSum() {
			t.Errorf("seed %d gives two traces", seed)
		}
	}
}
