// Package moduletest is the test that every engine for modules has to pass. [Run] runs spaces, honest and hostile, on an
// engine and writes down everything that must not differ: verdicts and their reasons, how each call ended and how much
// fuel it took, and the digest of the tables. That is compared with the vectors in testdata, so engines that pass agree to
// the last unit.
//
//	func TestModules(t *testing.T) {
//		moduletest.Run(t, func(p *program.Program) (program.Machines, error) { return engine.Machines(p) })
//	}
//
// It reads no files, so it runs in a browser as well. The modules in it are of use to other tests: [Chat] is one as people
// write them, [Probe] does what a payload tells it, and of [Members] there are versions to upgrade to.
//
// A [Trial] is a module that nobody wrote, a mutant of one of these or made of what wasm-opt makes, with a random log; what it
// tells has to be the same on all engines, too.
//
// The modules that are built in are run as well, each held to its [Truth].
//
// The sources are in guests, in WebAssembly's text format or AssemblyScript; `make modules` compiles them. The vectors are written by
// `go test ./syncserver/wasmengine -run Suite -update`, and a difference in them is a difference in what logs mean.
//
// Stable: the vectors, as ABI 1 is. The functions may change.
package moduletest
