// Package program makes a judge of a space out of a WebAssembly module: it is the host side of the ABI that ABI.md
// describes, without an engine of its own.
//
// [Load] checks a module's bytes and returns a [Program]: metered, with its manifest read, its imports and exports those
// of the ABI. An engine turns it into a [Machine], which can do one thing: put memory back to what it was after the start,
// and call an export. [New] makes a [module.Instance] of a program and its machines, with tables, overlay and proposals.
//
//	p, err := program.Load(bytes)            // a bad_module, which says what is wrong
//	machine, err := engine.Machine(p)        // wazero, or the browser's own
//	instance, err := program.New(p, machines, genesis)
//
// Everything that a module can notice is decided here and in package meter, in Go that both sides run: what an event
// looks like to it, what a call costs, which pointer is bad, what a trap means. An engine only moves bytes. Therefore
// the same log gives the same tables, verdicts and fuel everywhere.
//
// # What fails, and how
//
// What the rules of the ABI forbid is a verdict, the same on every machine: no fuel, too deep, a bad pointer, a row
// that is none, over the quota of the tables, a trap, or the module's own refusal. What a machine fails at is an error
// and decides nothing: its own stack or memory ended, or the engine broke. After a call that trapped the cause is
// looked for in this order: memory that the machine did not have, depth, fuel, what a host function found, and else the
// module trapped by itself.
//
// A record of [module.TypeModule] takes an [Instance] over to another module, from the next record on ([Begin] with Load and
// History set). An instance can begin at a checkpoint ([Continue]), and keeps the tables at the newest place for one.
//
// Stable: ABI 1 and ABI 2, for ever, since logs that were judged by them are. What a later one changes stands beside them.
package program
