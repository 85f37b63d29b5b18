// Package hub is the server half of the protocol: what a server does with a space ([Space]) and with a connection
// ([Conn]). Both are pure. They have no goroutine, clock, disk, socket or randomness: the shell gives Step one
// input and the time, and does what the effects say. It answers every request among the effects with one input,
// whatever happens, and may do so in any order.
//
//	config := hub.Config{Seal: ..., CheckSeal: ...}.Complete() // one for the server
//	s := hub.NewSpace(config, id)                            // one for each space in use
//	c := hub.NewConn(config, connID, address)                // one for each socket
//	effects := c.Step(now, hub.Begin{Nonce: nonce})
//
// Neither type is safe for concurrent use; a shell gives each its own goroutine or lock. A Step never waits.
//
// # What the shell owns
//
// The shell owns sockets and their deadlines, the Log, the modules' engine, the registry of sessions, directories, the
// table of who watches which space, and the cache of what was read. It decodes frames and puts parts together
// before [Received] ([wire.Joiner], limited by Limits.Message), and takes whole messages from [ConnEffects.Send],
// which it splits by Limits.Frame ([wire.Split]); between, credit and windows count whole messages. A socket whose
// client takes no bytes for 30 s is the shell's to close. [ReadHistory], [ChainAt], [ProvenAt], [EventsMessage] and
// [PageMessage] make the answers to requests that read the log.
//
// Bytes of frames alias the message they were read from, and records keep them until they are answered. So one
// message is one buffer, which nobody reuses.
//
// # What a space promises
//
// A push is judged in the order of its arrival: dedupe, limits, authorize, apply, append. While one append is being
// made durable the next transactions are judged on top of it and gather for the next. Numbers and times are
// proposals until their append is stored; nothing proposed leaves Step in a reply, an answer or [Effects.Moved]. Every
// verdict waits for all that was proposed before it, a rejection and a duplicate too, since they may rest on it.
//
// An append that is stale or unclear is found out by reading the head. If the head is the append's own, it was
// stored. Otherwise it is discarded with everything judged on top, the instance is brought to the head by records
// that others appended, and the same pushes are looked up and judged again in the same order. Verdicts that are
// on durable ground stay. The log's compare-and-set is the only thing that makes this safe; owning a space is not.
//
// Event ids are looked up in the log for every push, one [Effects.Lookup] for all that wait. The answer may be as
// old as the question: ids that were committed since are still known here.
//
// One push is told several codes only as far as its transactions differ. Where it is deferred as a whole (behind,
// recovering, unknown_space, module_missing) each of its transactions carries that code; where one transaction is
// deferred, those after it are behind. After a deferral the connection is behind for this space until resume.
//
// When a connection is gone ([Disconnected]), what it pushed and was not begun is dropped, and [Effects.Finished]
// tells when the rest is durable or discarded. A new connection of the same session is welcomed only then.
//
// What was lost comes back ([Tail]): a connection lets through only what its seal proves, and a space appends what follows on its head as
// it is, while nothing else is judged, and applies it as what another server appended. What cannot follow any more is judged as a push of its authors.
// After a restore, and while it is known that more was there, pushes are deferred ([Config.RestoredUntil], [Ahead]). See healing.go.
//
// A [Space] may be forgotten when it is [Space.Idle]. One that has begun to wait for a lost tail never is, because
// that wait begins only once in a process; it ends when the log has all that was seen to be missing, or after Config.RecoveryWindow.
//
// A batch ends with a transaction that may change who may read (Turned), so that the shell can ask the module, by the tables
// at just that record, who may go on ([Space.MayRead]); whoever may not is sent what is up to it and no more ([Left]). Nobody is sent a
// record past [Effects.Head].
//
// An upgrade ($module) that its author may make is taken out of the queue, with what its connection pushes behind it, while the
// tables are made beside ([Effects.Prepare]). Others go on: they neither wait nor are they deferred. When the tables are there the
// space is held: other pushes are deferred as upgrading, what was judged becomes durable, the tables are brought to that end, and
// the upgrade is judged, its author once more among it. Who goes away and comes back for the same upgrade goes on where it was, for a
// minute; a second upgrade waits, deferred. Behind the upgrade, in the same append, stands the server's word of what the tables
// are then. An upgrade that another server took is applied like other records.
//
// A deletion ($delete) is the last record of a space: what is pushed behind it is rejected, in the same step already. When it is
// durable the instance goes, [Effects.Deleted] says so once, and nobody reads any further. The shell says of a space that it
// finds deleted, by the last record of its log or by what is left of one, whenever it reads a head.
//
// What a server writes to a space of its own ([Record]) is judged in its turn too, and answered when it is durable. It may bring
// something along that the log stores in the same step as its records, so that there is never one without the other.
//
// An instance may fail for want of a page of the checkpoint that it began with ([Effects.Lost]). That says nothing about
// what is judged: the space is opened anew, and everything judged again.
//
// # What a connection promises
//
// The handshake is challenge, hello, welcome, with the proofs checked ([Prove]) and then the registry of sessions asked before
// welcome. A connection whose shell has proven who it is ([Enter]) has none. One whose proofs end is closed unless they were
// renewed; who it is never changes. Frames out of order
// or unknown end the connection with an error; requests that cannot be met are refused and it goes on.
//
// There is no queue for a subscription, only a cursor. The connection is registered to be woken, then the position
// is checked against a head read after that, then it is read from there, and woken again ([Woken]) it reads on;
// so nothing is missed and nothing sent twice, however late or often it is woken. One read of the log, for events, a
// page or a blob, is under way for a connection at a time, and only while it has credit and the transport has taken
// nearly everything: a slow reader lags and costs one message. Subscriptions that have reached the head go before
// those that have not, and share bytes evenly among themselves; a live one that falls behind by big messages
// joins the backlog until it is at the head again. Fetches and blobs take turns with subscriptions.
//
// A blob that a client uploads comes in pieces, and the shell checks and stores it when it is whole ([StoreBlob]).
// A blob is sent in parts from the offset to its end, each paid by credit. A spaces frame with ref 0 and the row of
// a space precedes the first events of one that no directory row was sent for; its since is empty and changes
// nothing.
//
// What a client says that is not to be kept ([wire.Ephemeral]) is relayed at once to those who subscribe then. Nothing of it stays: a
// connection hands it to the shell ([ConnEffects.Relay]), the shell to the others ([Relayed]), and each of them decides whether
// its client may hear it and has room.
//
// # Stable
//
// What is seen on the wire. The inputs and effects grow with what a server does; those of today keep their meaning.
package hub
