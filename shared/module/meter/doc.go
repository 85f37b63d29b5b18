// Package meter makes WebAssembly deterministic. [Instrument] takes the bytes of a module, checks them, and returns
// other bytes that compute the same, count what they do, and stop where the rules say: after so much fuel, at such a
// depth of calls. Both engines, the server's and the browser's, run these bytes, so a module that is out of fuel is so
// everywhere at the same instruction, with the same fuel left for the same input.
//
//	metered, err := meter.Instrument(bytes) // an error says what is refused, and where
//
// # What is allowed
//
// The decoder is the gate: what it does not know does not pass. It knows the first version of WebAssembly, sign
// extension, saturating truncation, blocks and functions with several results, and memory.copy and memory.fill. A
// module has at most one memory and one table of functions, both its own. [Limits] lists the caps, all of which lie
// well inside those of every engine, so that what passes here compiles there.
//
// # What is added
//
// Fuel is a global that starts where the host puts it. A function takes from it at its entry the cost of its
// instructions outside of loops, a loop at its head, each time round, the cost of its instructions outside of inner
// loops. Where it is below zero the module traps. Every instruction costs 1, divisions, square roots and calls 8, and
// the ends and elses of blocks nothing; growing memory costs 4,096 a page, copying and filling 1 for 16 bytes, taken
// before it happens.
//
// Depth is two globals: frames, and slots, of which a frame takes one for each parameter, local and operand and 4 more.
// An engine's own stack is not deterministic and may take the program around it down.
//
// NaNs have one bit pattern wherever bits become visible: where a float is stored, reinterpreted, or gives its sign to
// another one. The rest of float arithmetic is exact by its standard.
//
// Growing memory fails past the declared maximum and nowhere else: if the machine has no more, the module traps, with a
// flag that tells the host that this was no verdict of the rules.
//
// The start function does not start by itself any more; the host calls it, with fuel.
//
// # What the host sees
//
// The exports of names that begin with "__skerry_", which no module may have itself: see [Metered]. Everything that a
// module can change between two calls is its memory and its mutable globals, all of which are exported, so that the
// host can put both back. Functions, types and globals are added behind those of the module: nothing is renumbered.
//
// [Link] joins two modules before all that: a program, and what it imports from somewhere else than the host.
//
// Sources: the validation algorithm is that of the appendix of the WebAssembly specification; charging by basic regions
// rather than by instruction is common practice among metered
// virtual machines.
//
// Stable: what a module costs, for ever, as logs judged by it are; a later set of rules is another package.
package meter
