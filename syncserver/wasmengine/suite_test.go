package wasmengine

import (
	"flag"
	"os"
	"path/filepath"
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

func TestSuiteInterpreted(t *testing.T) {
	moduletest.Run(t, machinesOf(t, newEngine(t, Options{Interpreter: true})))
}
