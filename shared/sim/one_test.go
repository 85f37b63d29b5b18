package sim

import (
	"os"
	"strings"
	"testing"
)

// TestOne runs the world of SKERRY_SIM_SEED, with tables if SKERRY_SIM_TABLES is set, and writes its whole trace to SKERRY_SIM_TRACE.
func TestOne(t *testing.T) {
	if os.Getenv("SKERRY_SIM_SEED") == "" {
		t.Skip("SKERRY_SIM_SEED names the world to look at")
	}
	options := Options{Seed: number("SKERRY_SIM_SEED", 0), Verbose: true}
	if os.Getenv("SKERRY_SIM_TABLES") != "" {
		options = withTables(t, options)
	}
	w := New(options)
	err := w.Run()
	if name := os.Getenv("SKERRY_SIM_TRACE"); name != "" {
		if err := os.WriteFile(name, []byte(strings.Join(w.Trace(), "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
