package jsengine

import (
	"unsafe"

	"skerry/shared/module/program"
)

// call puts memory and globals of a program's instance back, copies n bytes of input to its io region, sets its fuel and
// calls an export. What it returns is a status; the rest is in state.
//
//go:wasmimport skerry call
func call(number, export int32, input unsafe.Pointer, n, fuel int32, state unsafe.Pointer) int32

//go:wasmimport skerry read
func read(from, n uint32, to unsafe.Pointer)

//go:wasmimport skerry write
func write(to, n uint32, from unsafe.Pointer)

// keep makes what memory and globals are now what every call begins with. It returns a status.
//
//go:wasmimport skerry keep
func keep(number int32, io uint32) int32

//go:wasmimport skerry drop
func drop(number int32)

//go:wasmimport skerry remove
func remove(number int32)

// The statuses of a call.
const (
	returned = 0
	trapped  = 1
	failed   = 2
)

// state is what glue.js reads and writes without a call. Its layout is known there.
var state struct {
	fuel, size           int32 // before and after each host function, and after a call
	stop                 int32 // 1 where the module has to trap
	result               int32
	frames, slots, noMem int32 // after a trap
}

// current is the module that runs. It implements [program.Guest]. Only who holds turn may touch it.
var current struct {
	guest
	host *program.Host
}

// guest is memory and fuel of the module that runs.
type guest struct{ buffer []byte }

// Size implements [program.Guest].
func (*guest) Size() uint32 { return uint32(state.size) }

// Read implements [program.Guest].
func (g *guest) Read(at, n uint32) []byte {
	if n == 0 {
		return nil
	}
	if uint32(len(g.buffer)) < n {
		g.buffer = make([]byte, max(n, 64<<10))
	}
	read(at, n, unsafe.Pointer(&g.buffer[0]))
	return g.buffer[:n:n]
}

// Write implements [program.Guest].
func (*guest) Write(at uint32, b []byte) {
	if len(b) > 0 {
		write(at, uint32(len(b)), unsafe.Pointer(&b[0]))
	}
}

// Fuel implements [program.Guest].
func (*guest) Fuel() int32 { return state.fuel }

// SetFuel implements [program.Guest].
func (*guest) SetFuel(n int32) { state.fuel = n }
