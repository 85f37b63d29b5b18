package wasmengine

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
)

var update = flag.Bool("update", false, "write the suite's vectors by the compiler")

func newEngine(t testing.TB, options Options) *Engine {
	t.Helper()
	e, err := New(nil, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// machinesOf makes machines that the test releases.
func machinesOf(t *testing.T, e *Engine) moduletest.NewMachines {
	return func(p *program.Program) (program.Machines, error) {
		m, err := e.Machines(p)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { m.Release() })
		return m, nil
	}
}

func TestSuiteCompiled(t *testing.T) {
	e := newEngine(t, Options{})
	if *update {
		for name, content := range moduletest.Vectors(t, machinesOf(t, e)) {
			if err := os.WriteFile(filepath.Join("../../shared/module/moduletest/testdata", name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	moduletest.Run(t, machinesOf(t, e))
}

// TestSuiteInterpreted burns what fuel there is in one goroutine, for which the race detector takes a minute and a half
// and has nothing to detect: `make unit` runs it without.
func TestSuiteInterpreted(t *testing.T) {
	if raceDetector {
		t.Skip("runs without the race detector: make unit")
	}
	moduletest.Run(t, machinesOf(t, newEngine(t, Options{Interpreter: true})))
}

// TestRandomLogsSoak: for any log both engines give the same verdicts, fuel and tables.
func TestRandomLogsSoak(t *testing.T) {
	first := rand.Uint64N(1 << 32)
	t.Logf("the first seed is %d", first)
	logs := uint64(20)
	if testing.Short() {
		logs = 10
	}
	if os.Getenv("SKERRY_SOAK") != "" {
		logs = 20_000
	}
	for seed := first; seed < first+logs; seed++ {
		var told [2][]string
		for i, options := range []Options{{}, {Interpreter: true}} {
			e, err := New(nil, options)
			if err != nil {
				t.Fatal(err)
			}
			told[i] = moduletest.Random(t, seed, func(p *program.Program) (program.Machines, error) { return e.Machines(p) })
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(told[0], told[1]) {
			for i := range told[0] {
				if i == len(told[1]) || told[0][i] != told[1][i] {
					t.Fatalf("seed %d, line %d:\n%s\n%s", seed, i, told[0][i], told[1][min(i, len(told[1])-1)])
				}
			}
		}
	}
}
