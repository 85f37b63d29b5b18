package jsengine

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall/js"
	"unsafe"

	"skerry/shared/module/meter"
	"skerry/shared/module/program"
	"skerry/wasmclient/internal/jsbind"
)

// turn is held by the goroutine whose module runs.
var turn sync.Mutex

// What glue.js calls besides the exports of the ABI.
const (
	exportStart program.Export = 5
	exportIO    program.Export = 6
)

// Machines are the machines of one program, which share its one instance. It implements [program.Machines], and
// [program.Machine]. It is safe for concurrent use until it is released.
type Machines struct {
	Program *program.Program
	number  int32 // in glue.js
}

// New compiles a program and runs its start. Its errors are a [*wire.CodeError] with CodeBadModule if that fails by the
// rules, that of ctx, and faults of the browser.
func New(ctx context.Context, p *program.Program) (*Machines, error) {
	glue := js.Global().Get("skerryModules")
	if glue.IsUndefined() {
		return nil, fmt.Errorf("jsengine: this worker did not load glue.js")
	}
	promise, err := jsbind.Call(js.Global().Get("WebAssembly"), "compile", jsbind.FromBytes(p.Metered.Bytes))
	if err != nil {
		return nil, fmt.Errorf("jsengine: compile module %v: %w", p.Digest, err)
	}
	compiled, err := jsbind.Await(ctx, promise)
	if err != nil {
		return nil, fmt.Errorf("jsengine: compile module %v: %w", p.Digest, err)
	}
	names := make([]string, 0, len(p.Metered.Globals))
	for _, index := range p.Metered.Globals {
		names = append(names, meter.GlobalExport(index))
	}
	m := &Machines{Program: p, number: int32(glue.Call("add", compiled, strings.Join(names, " ")).Int())}
	if err := m.begin(); err != nil {
		m.Release()
		return nil, err
	}
	return m, nil
}

// begin runs the start, and keeps what is then. It has the turn all the time, or its instance could go in between.
func (m *Machines) begin() error {
	turn.Lock()
	defer turn.Unlock()
	var host program.Host
	if m.Program.Metered.Start {
		outcome, err := m.run(exportStart, nil, program.FuelInit, &host)
		if err == nil {
			err = program.Began(meter.ExportStart, &outcome, &host)
		}
		if err != nil {
			return err
		}
	}
	outcome, err := m.run(exportIO, nil, program.Fuel, &host)
	if err == nil {
		err = program.Began(program.ExportIO, &outcome, &host)
	}
	if err != nil {
		return err
	}
	io, err := m.Program.Region(outcome.Result)
	if err == nil && keep(m.number, io) != returned {
		err = m.fault()
	}
	return err
}

// Call implements [program.Machine].
func (m *Machines) Call(export program.Export, input []byte, fuel int32, host *program.Host) (program.Outcome, error) {
	turn.Lock()
	defer turn.Unlock()
	return m.run(export, input, fuel, host)
}

// run calls an export. The caller has the turn.
func (m *Machines) run(export program.Export, input []byte, fuel int32, host *program.Host) (program.Outcome, error) {
	current.host, state.stop = host, 0
	status := call(m.number, int32(export), unsafe.Pointer(unsafe.SliceData(input)), int32(len(input)), fuel, unsafe.Pointer(&state))
	current.host = nil
	switch status {
	case returned:
		return program.Outcome{Result: state.result, Fuel: state.fuel}, nil
	case trapped:
		return program.Outcome{
			Trapped: true, Fuel: state.fuel, Frames: state.frames, Slots: state.slots, OutOfMemory: state.noMem != 0,
		}, nil
	}
	return program.Outcome{}, m.fault()
}

// fault returns what the browser failed at last.
func (m *Machines) fault() error {
	return fmt.Errorf("jsengine: module %v: %s", m.Program.Digest, js.Global().Get("skerryModules").Call("fault").String())
}

// Borrow implements [program.Machines].
func (m *Machines) Borrow() (program.Machine, error) { return m, nil }

// Return implements [program.Machines].
func (m *Machines) Return(program.Machine) {}

// Close implements [program.Machine]: it drops the instance, and the next call makes another one.
func (m *Machines) Close() {
	turn.Lock()
	defer turn.Unlock()
	drop(m.number)
}

// Release frees the program. It is called once, when nobody calls it any more.
func (m *Machines) Release() {
	turn.Lock()
	defer turn.Unlock()
	remove(m.number)
}
