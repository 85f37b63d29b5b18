package sim

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/tables"
	"skerry/syncserver/wasmengine"
)

// TestSimulation runs many worlds. SKERRY_SIM_SEEDS says how many (20 by default, as the race detector makes each ten times
// as long), SKERRY_SIM_FIRST with which seed to begin.
func TestSimulation(t *testing.T) {
	seeds, first := number("SKERRY_SIM_SEEDS", 20), number("SKERRY_SIM_FIRST", 1)
	t.Logf("seeds %d to %d", first, first+seeds-1)
	inParallel(first, seeds, func(seed uint64) bool {
		if n := seed - first; n%10_000 == 0 && n > 0 {
			t.Logf("%d seeds passed", n)
		}
		w := New(Options{Seed: seed})
		err := w.Run()
		if err != nil {
			t.Errorf("%v\n%s", err, strings.Join(w.Trace(), "\n"))
		}
		return err == nil
	})
}

// inParallel runs worlds until three have failed.
func inParallel(first, seeds uint64, run func(seed uint64) bool) {
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
				if !run(first + n) {
					failures.Add(1)
				}
			}
		})
	}
	group.Wait()
}

// engine makes each module once, for all worlds.
var engine = sync.OnceValues(func() (Engine, error) {
	e, err := wasmengine.New(nil, wasmengine.Options{})
	var mu sync.Mutex
	made := map[digest.Digest]*program.Loaded{}
	return func(bytes []byte) (*program.Loaded, error) {
		mu.Lock()
		defer mu.Unlock()
		d := digest.Of(bytes)
		if made[d] == nil {
			p, err := program.Load(bytes)
			if err != nil {
				return nil, err
			}
			m, err := e.Machines(p)
			if err != nil {
				return nil, err
			}
			made[d] = &program.Loaded{Program: p, Machines: m}
		}
		return made[d], nil
	}, err
})

// members are modules that take over from one another in every way that there is, or do not.
var members = sync.OnceValue(func() (all [][]byte) {
	for version, change := range []func(*program.Manifest){
		func(*program.Manifest) {},
		func(m *program.Manifest) {
			m.Tables[1].Indexes = []tables.Index{{Name: "by_text", Columns: []int{1}}}
		},
		func(m *program.Manifest) { m.Tables[0].Columns[0].Kind = tables.Bytes }, // migrates
		func(m *program.Manifest) { m.Upgrade = program.Replay },
		func(m *program.Manifest) {
			m.Upgrade, m.Tables[0].Name, m.Readable, m.Audience = program.Replay, "people", []string{"people"}, "people"
		},
		func(m *program.Manifest) { m.Upgrade = "" },
		func(m *program.Manifest) { // by a text there is one note
			m.Tables[1].Indexes = []tables.Index{{Name: "by_text", Columns: []int{1}, Unique: true}}
		},
	} {
		all = append(all, moduletest.Members(func(m *program.Manifest) {
			m.Version = fmt.Sprint(version, ".0.0")
			change(m)
		}))
	}
	return all
})

// withTables adds modules to a world, and what runs them.
func withTables(t *testing.T, options Options) Options {
	var err error
	if options.Engine, err = engine(); err != nil {
		t.Fatal(err)
	}
	options.Modules = members()
	return options
}

// TestSimulationOfTables runs worlds whose spaces are judged by modules, one for ten of the other worlds.
func TestSimulationOfTables(t *testing.T) {
	seeds, first := max(1, number("SKERRY_SIM_SEEDS", 20)/10), number("SKERRY_SIM_FIRST", 1)
	t.Logf("seeds %d to %d", first, first+seeds-1)
	upgrades := map[string]int{}
	var mu sync.Mutex
	inParallel(first, seeds, func(seed uint64) bool {
		w := New(withTables(t, Options{Seed: seed}))
		if err := w.Run(); err != nil {
			t.Errorf("%v\n%s", err, strings.Join(w.Trace(), "\n"))
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		for _, st := range w.server.stored {
			for _, d := range st.modulesOf()[min(1, len(st.modulesOf())):] {
				upgrades[short(d)]++
			}
		}
		return true
	})
	t.Logf("upgrades to each module: %v", upgrades)
	if seeds >= 20 && len(upgrades) < len(members())-1 {
		t.Errorf("no upgrade to some modules")
	}
}

// TestDamage runs worlds in which stored records go bad too, one for ten of the other worlds, and no fewer than 20.
func TestDamage(t *testing.T) {
	for n := range max(20, number("SKERRY_SIM_SEEDS", 0)/10) {
		w := New(Options{Seed: number("SKERRY_SIM_FIRST", 1) + n, Damage: true})
		if err := w.Run(); err != nil {
			t.Fatalf("%v\n%s", err, strings.Join(w.Trace(), "\n"))
		}
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	for seed := range uint64(24) {
		first, second := New(Options{Seed: seed}), New(Options{Seed: seed})
		if seed >= 20 {
			first, second = New(withTables(t, Options{Seed: seed})), New(withTables(t, Options{Seed: seed}))
		}
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
