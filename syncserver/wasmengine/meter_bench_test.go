package wasmengine

import (
	"math"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/meter"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
)

// worker returns what calls the exports of a program that imports nothing, with all fuel that there can be.
func worker(t testing.TB, bytes []byte) func(name string, n uint32) uint32 {
	runtime := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigCompiler())
	t.Cleanup(func() { runtime.Close(t.Context()) })
	program, err := runtime.Instantiate(t.Context(), bytes)
	if err != nil {
		t.Fatal(err)
	}
	return func(name string, n uint32) uint32 {
		if fuel, ok := program.ExportedGlobal(meter.ExportFuel).(api.MutableGlobal); ok {
			fuel.Set(math.MaxInt32)
		}
		results, err := program.ExportedFunction(name).Call(t.Context(), uint64(n))
		if err != nil {
			t.Fatal(err)
		}
		return uint32(results[0])
	}
}

func metered(t testing.TB) []byte {
	m, err := meter.Instrument(moduletest.Work())
	if err != nil {
		t.Fatal(err)
	}
	return m.Bytes
}

func TestMeteredWorkIsTheSameWork(t *testing.T) {
	plain, counted := worker(t, moduletest.Work()), worker(t, metered(t))
	plain("fill", 0)
	counted("fill", 0)
	for _, kind := range moduletest.WorkKinds {
		if with, without := counted(kind.Name, kind.N), plain(kind.Name, kind.N); with != without || with == 0 {
			t.Errorf("%s gives %d with the meter and %d without", kind.Name, with, without)
		}
	}
}

// TestUncountedIsTheSameModule: what the meter is measured beside does the same work.
func TestUncountedIsTheSameModule(t *testing.T) {
	for _, m := range moduletest.OrdinaryModules() {
		programs, err := m.Loaded()
		if err != nil {
			t.Fatal(err)
		}
		var roots []digest.Digest
		spent := map[string]uint64{}
		for name, p := range programs {
			machines, err := newEngine(t, Options{}).Machines(p)
			if err != nil {
				t.Fatal(m.Name, name, err)
			}
			defer machines.Release()
			i, err := program.New(p, machines, m.Genesis())
			if err != nil {
				t.Fatal(m.Name, name, err)
			}
			for n := range uint64(3) {
				if v, err := i.Judge(module.Caller{Identity: "creator"}, m.Transaction(n+1)); err != nil || !v.Allowed() {
					t.Fatal(m.Name, name, v, err)
				}
				i.Commit(n + 1)
			}
			roots = append(roots, i.Digest(space.ID{1}, space.Position{Seq: 3}))
			spent[name] = i.Spent
		}
		if roots[0] != roots[1] {
			t.Errorf("%s: other tables", m.Name)
		}
		if spent["metered"] < spent["plain"]+1000 { // which pays for what the host does alone
			t.Errorf("%s: %v of fuel", m.Name, spent)
		}
	}
}

// BenchmarkMeterOrdinary is an ordinary transaction, authorized and applied, with the meter and without.
func BenchmarkMeterOrdinary(b *testing.B) {
	for _, m := range moduletest.OrdinaryModules() {
		m.Benchmark(b, func(p *program.Program) (program.Machines, func(), error) {
			machines, err := newEngine(b, Options{}).Machines(p)
			if err != nil {
				return nil, nil, err
			}
			return machines, machines.Release, nil
		})
	}
}

// BenchmarkMeter is a guest's own work, with the meter and without.
func BenchmarkMeter(b *testing.B) {
	for _, kind := range moduletest.WorkKinds {
		for _, of := range []struct {
			name  string
			bytes []byte
		}{{"plain", moduletest.Work()}, {"metered", metered(b)}} {
			b.Run(kind.Name+"/"+of.name, func(b *testing.B) {
				run := worker(b, of.bytes)
				run("fill", 0)
				for b.Loop() {
					run(kind.Name, kind.N)
				}
			})
		}
	}
}
