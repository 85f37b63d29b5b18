package program

import (
	"fmt"

	"skerry/shared/module/meter"
	"skerry/shared/wire"
)

// What an engine does once with a program, before any call: it makes an instance, calls the start function if there is
// one ([meter.ExportStart]), and then skerry_io ([ExportIO]) to learn where the io region is, with [FuelInit] and [Fuel]
// and the host that [Starting] returns. Memory and mutable globals as they are then are what every call begins with.

// ExportIO is the function that gives the address of the io region.
const ExportIO = "skerry_io"

// Starting returns the [Host] of what runs before the first call. It has no tables; logged gets the lines that are logged,
// as [Instance.Logged] does.
func Starting(logged func(line []byte)) Host { return Host{logged: logged} }

// Began says what it means how [meter.ExportStart] or [ExportIO] went: nothing, a [*wire.CodeError] with CodeBadModule for a
// module that cannot be used, or a fault of the machine.
func Began(function string, o *Outcome, host *Host) error {
	if !o.Trapped {
		return nil
	}
	if function == meter.ExportStart {
		function = "the start function"
	}
	if o.OutOfMemory {
		return fmt.Errorf("%s: this machine has no memory for the module to grow into", function)
	}
	v, _ := verdictOf(Apply, o, host)
	return wire.Errorf(wire.CodeBadModule, "%s ended early: %v", function, v.Code)
}

// Region returns the address of the io region from what skerry_io gave. Its error is a [*wire.CodeError] with
// CodeBadModule: the region lies in the memory with which the module begins.
func (p *Program) Region(result int32) (uint32, error) {
	at, size := uint32(result), uint64(p.Metered.Pages[0])*memoryPage
	if uint64(at)+uint64(p.Manifest.IO) > size {
		return 0, wire.Errorf(wire.CodeBadModule, "%s gives %d, and %d bytes from there do not lie in a memory of %d", ExportIO, at, p.Manifest.IO, size)
	}
	return at, nil
}
