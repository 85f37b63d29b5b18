// Package module says how a space is judged: what an [Engine] makes of a module's bytes and what the hub asks of
// the [Instance] that it gets.
//
// A module decides what may be written to a space (authorize) and what it means (apply). It is named by the
// digest of its bytes, and a space's genesis names its module. Ask an Engine for one Instance per space:
//
//	instance, err := engine.New(&genesis) // ErrMissing: somebody has to upload the module first
//
// then bring it to where the log ends with [Instance.Apply], and from there judge transactions one after the
// other with [Instance.Judge]. What Judge allowed is a proposal: it lies on an overlay above the committed
// tables, later transactions see it, and it becomes final by [Instance.Commit] or disappears by
// [Instance.Rollback].
//
// There are two kinds of failure, and they never mix. What a module decides is a [Verdict], equal on every machine
// that judges the same bytes after the same log. What a machine fails at (memory, time, a bug in an engine)
// is an error, and never becomes a verdict: the same transaction may be judged again.
//
// A log may take its space over to another module ([TypeModule]); package program says how.
//
// One module is judged natively: "open", whose spaces everyone may write and read. Its bytes are the eight of an empty
// WebAssembly module. It always allows, has no tables and never looks into a payload. [Native] is the engine that
// knows it and nothing else. Package builtin has it and others by name.
//
// Stable: the digest of "open" and the rule of the two failures. Engine and Instance grow as modules do.
package module
