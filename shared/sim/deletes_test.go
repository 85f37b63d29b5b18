package sim

import (
	"strings"
	"sync"
	"testing"
)

// TestSimulationOfDeletions runs worlds in which spaces are deleted while others write to them, one for ten of the other worlds.
func TestSimulationOfDeletions(t *testing.T) {
	seeds, first := max(2, number("SKERRY_SIM_SEEDS", 60)/10), number("SKERRY_SIM_FIRST", 1)
	deleted, late := 0, 0
	var mu sync.Mutex
	inParallel(first, seeds, func(seed uint64) bool {
		w := New(withTables(t, Options{Seed: seed, Deletes: true}))
		if err := w.Run(); err != nil {
			t.Errorf("%v\n%s", err, strings.Join(w.Trace(), "\n"))
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		for id, st := range w.server.stored {
			if !st.told {
				continue
			}
			deleted++
			for _, d := range w.devices {
				late += len(d.store.Rejected(id))
			}
		}
		return true
	})
	t.Logf("%d spaces were deleted; %d transactions came too late", deleted, late)
	if deleted == 0 || late == 0 {
		t.Error("nothing was deleted, or nobody was late")
	}
}
