package sim

import (
	"strings"
	"sync"
	"testing"
)

// TestSimulationOfBoots runs worlds whose replicas begin at the server's checkpoints, half as many as of the other worlds; in some of them
// stored records go bad too.
func TestSimulationOfBoots(t *testing.T) {
	seeds, first := max(10, number("SKERRY_SIM_SEEDS", 20)/2), number("SKERRY_SIM_FIRST", 1)
	var booting sync.Mutex
	booted := 0
	inParallel(first, seeds, func(seed uint64) bool {
		w := New(Options{Seed: seed, Boots: true, Damage: seed%5 == 0})
		err := w.Run()
		if err != nil {
			t.Errorf("%v\n%s", err, strings.Join(w.Trace(), "\n"))
		}
		booting.Lock()
		booted += min(w.booted, 1)
		booting.Unlock()
		return err == nil
	})
	if !t.Failed() && booted < int(seeds)/4 {
		t.Errorf("in %d of %d worlds something was left out", booted, seeds)
	}
}

// TestSimulationOfExpiry runs such worlds in which what a checkpoint stands for expires while replicas are behind, or away, or are being
// sent it.
func TestSimulationOfExpiry(t *testing.T) {
	seeds, first := max(1, number("SKERRY_SIM_SEEDS", 20)/2), number("SKERRY_SIM_FIRST", 1)
	var mu sync.Mutex
	expired, booted, dropped := 0, 0, 0
	inParallel(first, seeds, func(seed uint64) bool {
		w := New(Options{Seed: seed, Boots: true, Expires: true})
		err := w.Run()
		if err != nil {
			t.Errorf("%v\n%s", err, strings.Join(w.Trace(), "\n"))
		}
		mu.Lock()
		expired, booted, dropped = expired+w.expired, booted+w.booted, dropped+w.dropped
		mu.Unlock()
		return err == nil
	})
	t.Logf("records expired %d times, %d stretches were left out, and devices dropped %d", expired, booted, dropped)
	if !t.Failed() && seeds >= 10 && (expired == 0 || booted == 0 || dropped == 0) {
		t.Error("nothing expired, or nobody began behind it, or dropped it")
	}
}
