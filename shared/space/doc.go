// Package space holds the values that Skerry is made of: a [Genesis] and the [ID] that follows from it, the
// [Event] and [Transaction] that an author makes, the [Record] that a server's log holds, and the [Position]
// at which a replica stands. It also holds their canonical encodings, which are what gets hashed.
//
// A space is one append-only log of events with one module that judges them. Two rules shape every type here:
//
//   - Identity is made at the edge. A client makes the ULIDs of its spaces and events itself, with no network
//     ([IDSource]). They name and deduplicate; they never order and never resume.
//   - Position is made at the server. A [Record] carries the sequence number that the server gave it, and the
//     chain ([Chain]) makes the history up to it verifiable by whoever reads it.
//
// Everything here is a plain value: copying is safe, methods do not block, and nothing reads a clock. Slices
// inside values (params, payloads) are shared, never changed after they were set.
//
// Stable for ever, because logs are for ever: the derivation of [Genesis.ID], [TransactionDigest], [Chain] and
// [Seal], and their vectors in testdata. The derivation of a space's ID is the one by which Leaf 0.3 derives
// its stream IDs (BLAKE3 over the SCALE encoding of the genesis).
package space
