package wasmengine

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"skerry/shared/module/meter"
	"skerry/shared/module/program"
)

// Machines are the machines of one program. It implements [program.Machines].
type Machines struct {
	Program *program.Program
	// Release says that the caller needs them no more. It is called once for each time that they were given.
	Release func()

	engine   *Engine
	compiled wazero.CompiledModule
	// What memory, mutable globals and the place of the io region are after the start.
	memory  *image
	globals []uint64
	io      uint32

	mu     sync.Mutex
	idle   []*machine
	closed bool
}

// Machines compiles a program and runs its start. Its errors are a [*wire.CodeError] with CodeBadModule if that fails
// by the rules, and faults.
func (e *Engine) Machines(p *program.Program) (*Machines, error) {
	e.compile <- struct{}{}
	defer func() { <-e.compile }()
	limit, cancel := context.WithTimeout(context.Background(), e.options.Compile)
	defer cancel()
	// With one worker wazero does not look at the context.
	compiled, err := e.runtime.CompileModule(experimental.WithCompilationWorkers(limit, 2), p.Metered.Bytes)
	if err != nil {
		return nil, fmt.Errorf("wasmengine: compile module %v: %w", p.Digest, err)
	}
	if e.code != nil {
		e.code.seal() // what has none is compiled again by the next engine
	}
	m := &Machines{Program: p, engine: e, compiled: compiled}
	m.Release = m.close
	if err := m.begin(); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// begin runs the start, and keeps what is then.
func (m *Machines) begin() error {
	first := &machine{Context: context.Background(), machines: m}
	if err := first.instantiate(); err != nil {
		return err
	}
	defer first.Close()
	var region int32
	for _, each := range []struct {
		name string
		fuel int32
	}{{meter.ExportStart, program.FuelInit}, {program.ExportIO, program.Fuel}} {
		f := functionOf(first.instance, each.name)
		if f.Function == nil {
			continue // only the start may be missing
		}
		host := program.Starting(m.engine.options.Logged)
		outcome, err := first.run(&f, 0, each.fuel, &host)
		if err == nil {
			err = program.Began(each.name, &outcome, &host)
		}
		if err != nil {
			return err
		}
		region = outcome.Result
	}
	var err error
	if m.io, err = m.Program.Region(region); err != nil {
		return err
	}
	view, _ := first.memory.Read(0, first.memory.Size())
	m.memory = newImage(append([]byte{}, view...))
	for _, g := range first.globals {
		m.globals = append(m.globals, g.Get())
	}
	return nil
}

// Borrow implements [program.Machines].
func (m *Machines) Borrow() (program.Machine, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.idle); n > 0 {
		last := m.idle[n-1]
		m.idle = m.idle[:n-1]
		return last, nil
	}
	return &machine{Context: context.Background(), machines: m}, nil
}

// Return implements [program.Machines].
func (m *Machines) Return(lent program.Machine) {
	returned := lent.(*machine)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.idle) >= 2*runtime.GOMAXPROCS(0) {
		returned.Close()
		return
	}
	m.idle = append(m.idle, returned)
}

func (m *Machines) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, each := range m.idle {
		each.Close()
	}
	m.idle = nil
	_ = m.compiled.Close(context.Background()) // it has nothing to fail at
}

// allocating is the context in which an instance's memory comes from the budget, of which so much is taken already.
func (m *Machines) allocating(taken int64, made *bool) context.Context {
	return experimental.WithMemoryAllocator(context.Background(), experimental.MemoryAllocatorFunc(
		func(_, most uint64) experimental.LinearMemory {
			*made = true
			return &linear{budget: m.engine.budget, most: most, taken: taken}
		}))
}
