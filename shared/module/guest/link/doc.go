// Package link makes a module of what Go's linker writes for GOOS=wasip1. Such a program imports WASI, exports what no
// module has, and says nothing of itself.
//
//	asking, err := link.Asking(program)            // a module that logs what the program declares
//	module, err := link.Module(program, answer)    // what it logged
//
// Package gobuild does both and runs the first in between; `skerry module build` is its command.
//
// A small runtime (runtime.wat) is joined with the program by [meter.Link]: its functions take the place of WASI's. The
// clock stands still, randomness is a fixed stream that begins anew with each call, what is printed is logged, there are
// no arguments and no environment, and whatever waits, reads files or ends the program stops the module, with a line in the
// log. The program's _initialize is called by the start function. What the module does not have is not exported, and
// custom sections but the manifest are left out.
//
// Both are pure functions: the same program makes the same module.
//
// Stable: nothing in a log depends on this package. What it makes of the same program may change with it, and so
// may the module's hash.
package link
