package sim

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestSimulation runs many worlds. SKERRY_SIM_SEEDS says how many (200 by default), SKERRY_SIM_FIRST with which seed
// to begin.
func TestSimulation(t *testing.T) {
	seeds, first := number("SKERRY_SIM_SEEDS", 200), number("SKERRY_SIM_FIRST", 1)
	t.Logf("seeds %d to %d", first, first+seeds-1)
	var next atomic.Uint64
	var failures atomic.Int64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for failures.Load() < 3 {
				n := next.Add(1) - 1
				if n >= seeds {
					return
				}
				if n%10_000 == 0 && n > 0 {
					t.Logf("%d seeds passed", n)
				}
				w := New(Options{Seed: first + n})
				if err := w.Run(); err != nil {
					failures.Add(1)
					t.Errorf("%v\n%s", err, strings.Join(w.Trace(), "\n"))
				}
			}
		})
	}
	group.Wait()
}

// TestDamage runs worlds in which stored records go bad too.
func TestDamage(t *testing.T) {
	for n := range number("SKERRY_SIM_SEEDS", 120) {
		w := New(Options{Seed: number("SKERRY_SIM_FIRST", 1) + n, Damage: true})
		if err := w.Run(); err != nil {
			t.Fatalf("%v\n%s", err, strings.Join(w.Trace(), "\n"))
		}
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	for seed := range uint64(20) {
		first, second := New(Options{Seed: seed}), New(Options{Seed: seed})
		if err := first.Run(); err != nil {
			t.Error(err)
		}
		second.Run()
		if first.TraceSum() != second.TraceSum() {
			t.Errorf("seed %d gives two traces", seed)
		}
	}
}

func number(name string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}
