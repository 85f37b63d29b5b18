package program

// Machine is a program in an engine. It has a WebAssembly instance, or several, and no state that a call could leave to
// the next: before each, memory and mutable globals are what they were after the start. It is not safe for concurrent
// use.
type Machine interface {
	// Call writes input to the io region, puts fuel where the module counts it, and calls an export with the length of
	// input. host serves what the module imports until Call returns. An error is a fault of the machine: nothing is
	// decided by it, and the machine is still good for other calls.
	Call(export Export, input []byte, fuel int32, host *Host) (Outcome, error)

	// Close frees what the machine holds. It is the last call.
	Close()
}

// Export is a function that a module exports for the host. Numbers are those of the ABI.
type Export int32

// The exports.
const (
	Authorize Export = 0 // (len) -> i32, 0 is yes
	Apply     Export = 1 // (len)
	Init      Export = 2 // (len), optional
	Readable  Export = 3 // (len) -> i32, 0 is no; optional
	Migrate   Export = 4 // (len) -> i32, optional
)

var exportNames = [...]string{"authorize", "apply", "init", "readable", "migrate"}

// String returns the name under which modules export it.
func (e Export) String() string { return exportNames[e] }

// Outcome is how a call went.
type Outcome struct {
	Trapped       bool
	Result        int32 // of the export; 0 after a trap and where it has none
	Fuel          int32 // that is left; below zero if it ran out
	Frames, Slots int32 // how deep the module is; 0 but after a trap
	OutOfMemory   bool  // the machine had no memory to grow into
}

// Guest is what host functions see of a running module. An engine implements it for one call at a time.
type Guest interface {
	// Size returns how many bytes of memory the module has now.
	Size() uint32
	// Read returns n bytes of memory, which are good until the host function returns. They are there: at+n was compared
	// with Size.
	Read(at, n uint32) []byte
	// Write writes to memory, where there is room: at+len(b) was compared with Size.
	Write(at uint32, b []byte)
	// Fuel returns and SetFuel sets what is left.
	Fuel() int32
	SetFuel(int32)
}
