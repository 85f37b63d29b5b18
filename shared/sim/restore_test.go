package sim

import (
	"strings"
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
