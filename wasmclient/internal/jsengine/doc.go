// Package jsengine runs modules in a page, by the browser's own WebAssembly: it makes machines of programs.
//
//	machines, err := jsengine.New(ctx, p)          // compiles, and runs the start
//	instance, err := program.New(p, machines, &genesis)
//	machines.Release()
//
// # How a call goes
//
// A call is one crossing to JavaScript through a //go:wasmimport, and back. glue.js, which the worker loads before the Go
// program, puts memory and mutable globals back to what they were after the start, copies the input, and calls the export.
// What the module imports is functions of glue.js, which call the //go:wasmexport functions of this package. Both ways cost
// some ten nanoseconds; a js.FuncOf would cost a thousand times as much. No js.Value belongs to an instance: instances lie in
// an array of glue.js, by number.
//
// Two memories are at work, and both can grow, which detaches every view that JavaScript has of them; glue.js takes views
// again. The bytes of a host function go through one buffer of this package.
//
// An exported function runs on the goroutine that called the module, with the frames of JavaScript and of the module between
// its own. It must not wait for anything: nothing else could wake it. But the scheduler may let other goroutines run in
// its middle, for instance to collect garbage. If these call modules as well, they wait until the first is done.
//
// No exception goes through frames of Go. Where a module has to trap, the host function returns to glue.js, and that
// throws through the module's frames alone.
//
// # What is kept
//
// Only one module runs at a time, and a call leaves nothing behind, so a program has one instance, however many spaces it
// judges. A browser has room for about 120 instances in all. 12 are kept, as WebKit gets stuck long before that; beyond that the one goes that was used least
// lately, and its next call makes another one. An instance that grew its memory is dropped; after a trap it is put back
// like after any other call, as memory and mutable globals are all that a module can change.
//
// What the module did is an outcome, the same on every engine. What the browser failed at, such as the end of its own stack or
// of its memory, is an error and decides nothing.
//
// Stable: nothing; the package is internal.
package jsengine
