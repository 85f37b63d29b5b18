package sqlitelog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

// TestPowerFailsInRestore: wherever it does, a server refuses to begin there until the backup is restored again, or finds all of it, marked.
func TestPowerFailsInRestore(t *testing.T) {
	withoutRaceDetector(t)
	seed, _ := seeded(t, 1, 1)
	from := Config{Dir: t.TempDir()}
	id, records := older(t, from) // so that it is migrated too
	backup := backedUp(t, from.Dir)
	halves := map[string]int{}
	for after, finished := 1, false; !finished; after++ {
		rng := rand.New(rand.NewPCG(seed, uint64(after)))
		fs, config := newFS(t)
		config.rename = fs.Rename
		fs.CrashAfter(after)
		err := Restore(t.Context(), config, bytes.NewReader(backup), marked)
		finished = err == nil && fs.Changes() < after
		if after%3 == 0 {
			fs.Crash(nil)
		} else {
			fs.Crash(rng)
		}
		there := fs.Exists(filepath.Join(config.Dir, FileName))
		begun := fs.Exists(filepath.Join(config.Dir, FileName+restoringSuffix))
		halves[fmt.Sprint(there, begun)]++
		if err == nil && !there {
			t.Fatalf("SKERRY_SEED=%d: after %d changes it was restored, and is gone", seed, after)
		}
		if !there {
			if _, err := Open(t.Context(), config); begun && (err == nil || !strings.Contains(err.Error(), "cut off")) {
				t.Fatalf("SKERRY_SEED=%d: after %d changes: Open = %v", seed, after, err)
			}
			if !begun {
				continue // nothing is there: a new server may begin
			}
			if err := Restore(t.Context(), config, bytes.NewReader(backup), marked); err != nil {
				t.Fatalf("SKERRY_SEED=%d: after %d changes, again: %v", seed, after, err)
			}
			fs.Crash(nil)
		}
		log := open(t, config)
		checkMigrated(t, log, id, records)
		if value, err := log.Key(t.Context(), "marked"); err != nil || string(value) != "yes" {
			t.Fatalf("SKERRY_SEED=%d: after %d changes it is not marked: %q, %v", seed, after, value, err)
		}
		log.Close()
	}
	t.Log(halves)
	if halves["false true"] == 0 || halves["true false"] == 0 {
		t.Error("the power never failed where it matters")
	}
}
