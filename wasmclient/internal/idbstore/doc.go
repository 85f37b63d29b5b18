// Package idbstore keeps a replica in a browser's IndexedDB.
//
// [Open] opens the database of one replica, making it if there is none; the [Store] that it returns implements
// wasmclient.Store and passes storetest. Any number of tabs may have the same database open and write to it: every
// commit is one IndexedDB transaction that reads the epoch and the positions it depends on before it writes.
//
// # The database
//
// Its version is 1 for ever, because a frozen tab can block an upgrade for ever. What changes is inside the
// values, each of which begins with a format byte, and in meta's min_reader and min_writer: a Skerry that is too
// old for them writes nothing. A commit raises them that stores what an older one does not know and would take for something else.
//
//	meta        name -> value; version/<space> -> counter; pinned/<space>, of those that are; deleted/<space>, of those that were; damaged/<space> -> up to
//	            where records were that cannot all be read; holes/<space>, of those of whose log part was left out -> the number and
//	            the chain on both sides of each hole, 80 bytes in all; dropped/<space> -> up to where the first of them is of what had expired; branch/<space> -> how often the log went over to another
//	            branch; changes -> the number of the last commit that touched a
//	            space, and which spaces the last ones touched (see changes.go)
//	spaces      SpaceID -> genesis, signature, created, position, module, the newest segments
//	outbox      generated key, which is outbox order -> {space, id, row}; unique index by [space, id]
//	rejected    [SpaceID, id] -> row, code, reason, by
//	lost        the same
//	segments    [SpaceID, first, last] -> chain before the first record, records in wire encoding; [0, SpaceID, first, last] -> a sum of
//	            that row's bytes, a number
//	checkpoints [SpaceID, seq] -> digests of the root and the pages; digest -> format, bytes of a root or a page. One that the
//	            server made may be of records that are still to come
//	modules     digest -> format, bytes
//
// A SpaceID in an array is bytes, or its hexadecimal text where there is one store more, the empty text_keys: so it is
// in databases that a WebKit made which confuses array keys that begin with bytes.
//
// There is no row per record, since IndexedDB's costs are per row. A commit adds its records as one segment; when
// the newest segments are many or large, the next commit puts them together (see merge.go).
//
// # Transactions
//
// A transaction issues its reads in one turn of the event loop and its writes in a second one, and then calls
// commit: a tab that is frozen inside a readwrite transaction blocks every other tab. Nothing in between waits for
// anything but the transaction's own requests. go-indexeddb gives typed access to what is not in every commit; what it
// lacks, does wrong (its waiting reports a transaction that was aborted without an error as a success) or takes three
// calls into JavaScript for is in platform_js.go and requests_js.go. A connection that the browser closed is opened again and what ran is run again:
// browsers say so by a close event, by errors of several names or, of a transaction that was about to commit, not at all.
//
// # What can go wrong
//
// A database that is deleted under its tabs is noticed when it is opened again, by the session in meta; each call fails
// with wasmclient.ErrReplicaLost then, until [Store.Renew]. A store that stands in the way of nobody's wish to delete the
// database closes on versionchange. Where there is no room, a merge is left out and then all checkpoints are deleted before a commit fails,
// and modules that the server has before one without records does; records are refused a little before what only this device has. [Unavailable] tells the browsers that give a page no database. A call
// that waits three seconds is told of by OnBlocked; it goes on waiting, and nothing of it is durable until it is done.
//
// What is read of a segment for the first time has to have its sum (see sums_js.go), or is held to the chain before it is handed out (see verify_js.go), so that no bit that changed is
// shown; only records in front of a hole, of which nobody knows what came behind them, are shown as they are.
// Damaged records are for the client to have sent again. What else cannot be read is put right by whoever meets it (see
// mend_js.go): the row of a space is made anew from its segments, counters go on above where they can have been, and
// a transaction that waits or was rejected is kept among the rejected as the bytes that are left of it. Only where whose
// replica it is cannot be read, opening fails with wasmclient.ErrDamaged.
//
// A context is looked at before a transaction begins and while the database is opened. One that has begun is waited
// for, since what it writes cannot be taken back by not waiting.
//
// Stable: the database's layout and formats. The package is internal.
package idbstore
