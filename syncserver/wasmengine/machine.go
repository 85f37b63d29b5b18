package wasmengine

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"skerry/shared/module/meter"
	"skerry/shared/module/program"
)

const page = 64 << 10

// machine is one machine, with an instance or, where the last one was dropped, without. It implements
// [program.Machine], and [program.Guest] for host functions.
type machine struct {
	context.Context // of calls, by which host functions find the machine
	machines        *Machines

	instance                 api.Module
	memory                   api.Memory
	globals                  []api.MutableGlobal // of the module itself
	fuel, frames, slots, oom api.MutableGlobal
	exports                  [len(exports)]function
	used                     bool // by a call, after which memory and globals may be any

	host  *program.Host // of the call that runs
	stack [1]uint64
}

// function is what a module exports. Whether it has a result wazero would make anew each time that it is asked.
type function struct {
	api.Function
	result bool
}

func functionOf(instance api.Module, name string) (f function) {
	if f.Function = instance.ExportedFunction(name); f.Function != nil {
		f.result = len(f.Definition().ResultTypes()) > 0
	}
	return f
}

var exports = [...]program.Export{program.Authorize, program.Apply, program.Init, program.Readable, program.Migrate}

// instantiate makes an instance, as the module declares it.
func (m *machine) instantiate() error {
	p, budget := m.machines.Program, m.machines.engine.budget
	taken, made := int64(p.Metered.Pages[0])*page, false
	if !budget.take(taken) {
		return fmt.Errorf("wasmengine: no memory is left for another instance of module %v, which takes %d bytes", p.Digest, taken)
	}
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	instance, err := m.machines.engine.runtime.InstantiateModule(m.machines.allocating(taken, &made), m.machines.compiled, config)
	if err != nil {
		if !made {
			budget.give(taken)
		}
		return fmt.Errorf("wasmengine: instantiate module %v: %w", p.Digest, err)
	}
	m.instance, m.memory = instance, instance.Memory()
	global := func(name string) api.MutableGlobal {
		return instance.ExportedGlobal(name).(api.MutableGlobal)
	}
	m.fuel, m.frames = global(meter.ExportFuel), global(meter.ExportFrames)
	m.slots, m.oom = global(meter.ExportSlots), global(meter.ExportOOM)
	m.globals = m.globals[:0]
	for _, index := range p.Metered.Globals {
		m.globals = append(m.globals, global(meter.GlobalExport(index)))
	}
	for _, e := range exports {
		if m.exports[e] = (function{}); p.Exports[e] {
			m.exports[e] = functionOf(instance, e.String())
		}
	}
	return nil
}

// restore makes everything what it was after the start.
func (m *machine) restore() error {
	after := m.machines.memory
	if m.instance == nil {
		if err := m.instantiate(); err != nil {
			return err
		}
		if more := uint32(len(after.bytes)) - m.memory.Size(); more > 0 {
			if _, ok := m.memory.Grow(more / page); !ok {
				m.drop()
				return fmt.Errorf("wasmengine: no memory is left for module %v to grow by %d bytes as its start does", m.machines.Program.Digest, more)
			}
		}
	} else if !m.used {
		return nil
	}
	view, _ := m.memory.Read(0, m.memory.Size())
	after.restore(view)
	for i, g := range m.globals {
		g.Set(m.machines.globals[i])
	}
	m.used = false
	return nil
}

// Call implements [program.Machine].
func (m *machine) Call(export program.Export, input []byte, fuel int32, host *program.Host) (program.Outcome, error) {
	if err := m.restore(); err != nil {
		return program.Outcome{}, err
	}
	m.used = true
	m.memory.Write(m.machines.io, input)
	outcome, err := m.run(&m.exports[export], len(input), fuel, host)
	if err != nil || outcome.Trapped || m.memory.Size() != uint32(len(m.machines.memory.bytes)) {
		m.drop()
	}
	return outcome, err
}

// run calls a function, whose parameter if it has one is n.
func (m *machine) run(f *function, n int, fuel int32, host *program.Host) (o program.Outcome, err error) {
	m.host, m.stack[0] = host, uint64(uint32(n))
	m.SetFuel(fuel)
	err = f.CallWithStack(m, m.stack[:])
	m.host = nil
	o.Fuel = m.Fuel()
	if err == nil {
		if f.result {
			o.Result = int32(uint32(m.stack[0]))
		}
		return o, nil
	}
	if !isTrap(err) {
		return program.Outcome{}, fmt.Errorf("wasmengine: module %v: %w", m.machines.Program.Digest, err)
	}
	o.Trapped = true
	o.Frames, o.Slots = int32(uint32(m.frames.Get())), int32(uint32(m.slots.Get()))
	o.OutOfMemory = m.oom.Get() != 0
	return o, nil
}

// traps are those of WebAssembly, as wazero calls them. What is not among them, such as the end of its own stack, is a
// fault of the machine.
var traps = map[string]bool{
	"unreachable":                   true,
	"out of bounds memory access":   true,
	"integer divide by zero":        true,
	"integer overflow":              true,
	"invalid conversion to integer": true,
	"invalid table access":          true,
	"indirect call type mismatch":   true,
}

// isTrap reports whether a call failed by what the module did.
func isTrap(err error) bool {
	if errors.Is(err, errStop) {
		return true
	}
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return traps[err.Error()]
}

func (m *machine) drop() {
	if m.instance != nil {
		_ = m.instance.Close(context.Background()) // it has no files to fail at
		m.instance, m.memory, m.exports = nil, nil, [len(exports)]function{}
	}
}

// Close implements [program.Machine].
func (m *machine) Close() { m.drop() }

// Size implements [program.Guest].
func (m *machine) Size() uint32 { return m.memory.Size() }

// Read implements [program.Guest].
func (m *machine) Read(at, n uint32) []byte {
	b, _ := m.memory.Read(at, n)
	return b
}

// Write implements [program.Guest].
func (m *machine) Write(at uint32, b []byte) { m.memory.Write(at, b) }

// Fuel implements [program.Guest].
func (m *machine) Fuel() int32 { return int32(uint32(m.fuel.Get())) }

// SetFuel implements [program.Guest].
func (m *machine) SetFuel(n int32) { m.fuel.Set(uint64(uint32(n))) }
