// Package wasmengine runs modules on the server, by wazero: it makes machines of programs, and instances of spaces.
//
//	engine, err := wasmengine.New(source, wasmengine.Options{CacheDir: dir})
//	instance, err := engine.New(&genesis)   // a module.Instance; Close it
//	err = engine.Check(bytes)               // before an upload is accepted
//
// A module is compiled once, however many spaces it judges, and kept for a while when none is left. Its start function
// runs once as well: what memory and mutable globals are after it is kept, and every call begins with that, so nothing that
// a call leaves behind is seen by another one. An instance that trapped or grew its memory is dropped.
//
// What the module did is an outcome, the same on every engine. What went wrong in this machine is an error: no memory
// within [Options.Memory], or wazero itself. Anything that is not known to be a trap of WebAssembly is taken for that.
//
// An Engine is safe for concurrent use. Errors with a code are those of [module.Engine] and [program.Load].
//
// Stable: nothing in a log depends on this package.
package wasmengine
