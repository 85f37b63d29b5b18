// Package wasmclient keeps a replica of a user's spaces on this device and syncs it with a server whenever there is
// one. It is the client of Skerry: compiled for GOOS=js it is what a page loads, and it builds natively as well, for
// Go programs and for tests.
//
// # Using it
//
// [Open] a client over a [Store]; make spaces with [Client.CreateSpace] or open one by its ID with [Client.Space];
// append to them. None of it needs a network: a [Receipt] tells when what was appended is durable on this device and
// when the server has it.
//
//	client, err := wasmclient.Open(ctx, wasmclient.Config{Store: store, Sign: sign, URL: "ws://127.0.0.1:8080/sync"})
//	notes, err := client.CreateSpace(ctx, wasmclient.SpaceOptions{})
//	receipt, err := notes.Append(ctx, "note.write", map[string]any{"text": "hello"})
//	err = receipt.Durable(ctx)
//	position, err := receipt.Synced(ctx)
//
// [Space.Events] reads what is committed, and waits for more if asked to. What is written here and not committed yet
// is in [Space.Pending]; what the server refused is in [Space.Rejected] until it is retried or discarded.
//
// # How it works
//
// One goroutine, the loop, owns a [replica.Replica], the pure core that makes every decision. Everything else is a
// thin shell around it: a goroutine for each store operation under way, one that reads the socket and one that
// writes it. Callers hand work to the loop and wait for an answer or for ctx.
//
// # Tabs
//
// Clients that share a store need one another for nothing but promptness: each appends by itself, and a version in the
// store tells the others. Only one of them syncs, the one that holds [Config.Lead]. It says every three seconds over
// [Config.Channel] that it is there. A follower that hears nothing for ten seconds asks, and two to three seconds later
// takes the lead from it, since a page that is frozen keeps its locks; ticks of its own that came late count for nothing
// and begin the counting anew, because then it was the follower that slept. Who lost the lead so stands back for half a
// minute. A leader that nobody looks at ([Client.SetVisible]) offers the lead to a tab that somebody looks at, as soon
// as nothing is under way. What a leader writes that lost the lead without noticing is refused by the store, whose
// epoch the new one raised.
//
// [Client.Suspend] and [Client.Resume] go with a page that its browser stops and lets go on: nothing is held open
// meanwhile, neither lock nor socket nor database, and what is appended is stored when it goes on.
//
// # Spaces come and go
//
// [Client.OnSpaceLifecycle] tells what happens to a space as a whole: the server has it, this identity reads it, another module judges it,
// this identity may not read it any more.
//
// # What is not kept
//
// [Space.SendEphemeral] tells whoever has a space open at that moment something that is stored nowhere, and [Client.OnEphemeral] hears it.
// Of clients that share a store the one that leads sends it to the server for all, and passes on what comes from there.
//
// # Tables
//
// With a [Config.Engine] a client runs the modules of spaces. [Space.Query] reads a table that a space's module makes of
// the log, and [Space.Live] goes on reading it. Over what is committed lies the overlay, which is what the module makes of
// the transactions that wait, in outbox order: it is taken off when records come, and laid again on top of them, at most
// twenty times a second. A row that it wrote is pending.
//
// A transaction is previewed when it is appended: the module judges it on tables and overlay. What it allows is in the
// overlay before it is stored; what it refuses goes to the rejected transactions, by "preview", and [Space.Retry] sends it
// all the same. Where the tables are not there, or not caught up, or the machine failed, nobody can tell, and it is sent.
// What the machine fails at is never a verdict.
//
// A view (view.go) holds the tables of one space, has a goroutine, and ends a minute after it was used last. It reads the
// store as every reader does, and trusts nothing but it. Every thousand records or more it keeps a checkpoint, from which
// the next view of the space begins (checkpoint.go).
//
// The server tells of checkpoints of its own. Where a view comes to the place of one it compares its tables, as it does with
// what the server said in the log behind an upgrade (diverged.go). If they are others, it lets go of them, tells so by
// [Change] and [SpaceInfo] with the code module_diverged, and takes the server's; log and outbox are not touched. Where most
// of the log is not here yet, a view begins with the server's tables, and the log comes as it always does (boot.go): when it
// has come to the checkpoint, its chain shows whether that was of this log. Where more than [Config.BootAfter] records are missing, or the server
// has let them expire, what the checkpoint stands for does not come at all: the space goes on from the checkpoint, [SpaceInfo.Oldest] tells from
// where on the log is here, and [Space.Read], [Space.ReadBefore] and [Space.Events] fetch what is missing when they come to it, a page at a time
// from its end, each proven by the chain behind it (history.go). What has expired and is here is deleted by the client that syncs, a day after the server received it,
// once the store has tables of later on; reading passes over it. The client that syncs fetches checkpoints into
// the store, for all who share it (told.go).
//
// # Damage
//
// A stored record that cannot be read makes reading it fail with [ErrDamaged], and [SpaceInfo] and [Status] say so to all
// who share the store, with the code damaged. The client that syncs looks how far the space's records are whole, and has
// the server send them again from there, once the server has shown on this connection that it has them: until then
// nothing is deleted, so that offline what can be read stays. Outbox and rejected transactions are not touched. Damage
// that shows by the chain alone is found by [Space.Check], and by the client that syncs: it looks through what it pulls, each
// space once, when it has been there for a minute and has nothing else to do.
//
// # How it stops
//
// [Client.Close] waits until what was appended is durable or has failed, closes the socket, ends every goroutine and
// leaves the store to its owner. What was not synced stays in the store and is synced by whoever opens it next.
//
// Stable: nothing yet in Go; this is the first version. What a store keeps is stable (package replica).
package wasmclient
