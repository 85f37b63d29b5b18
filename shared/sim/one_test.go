package sim

import (
	"os"
	"strings"
	"testing"
)

// TestOne runs the world of SKERRY_SIM_SEED and writes its whole trace to SKERRY_SIM_TRACE.
func TestOne(t *testing.T) {
	if os.Getenv("SKERRY_SIM_SEED") == "" {
		t.Skip("SKERRY_SIM_SEED names the world to look at")
	}
	w := New(Options{Seed: number("SKERRY_SIM_SEED", 0), Verbose: true})
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
