// Package replica is the client half of the protocol: a pure core that decides what to store, what to send and
// whom to tell, and leaves doing it to a shell.
//
// A [Replica] is one tab's (or one program's) view of a store that several tabs may share. [Replica.Step] takes
// one [Input] (a frame came, the app appended, a commit finished, another tab changed the store, time passed) and
// returns [Effects]: commits to run, reads to make, messages to send, notices to deliver, and when to wake. It has
// no goroutine, clock, disk, socket or randomness of its own, so that a simulation can run thousands of worlds in
// it, each repeatable from its seed. The shape is that of etcd's raft: messages in, work out.
//
// # Who owns what
//
// Truth is in the store. Every tab appends to it itself, in a commit without a fence. Only sync is led: one tab
// holds a lock that the shell knows about, has raised the store's epoch, and commits what the server sends under
// that epoch and the position that it expects. A commit that comes back stale means that somebody else moved:
// the core reads the store again and goes on from there. It never trusts a message of another tab for more than
// the hint that something changed.
//
// # What is pulled
//
// A replica may know ten thousand spaces. The tab that leads subscribes to those that it has open, that other tabs say
// they look at, that are pinned, and that have rows in the outbox; see pull.go. Of the others the directory alone tells.
// A subscription that nothing needs any more ends after half a minute to a minute.
//
// # Modules
//
// The tab that leads fetches the module of each space that it pulls, unless the store has it, and sends the server the
// one that it puts a space off for; see modules.go. Syncing needs neither: who has no module pulls and pushes all the same.
//
// # Checkpoints
//
// It also fetches the server's newest checkpoint of a space where somebody wants that, for all tabs; see checkpoints.go. Where
// the log behind what is here is long, or the server does not have all of it any more, the space begins there: its position becomes the checkpoint's,
// and a [Hole] is left of the records before it; see boot.go. They are fetched and proven when somebody reads them; see history.go.
//
// # What has expired
//
// Records that have expired at the server are deleted here too, and leave a hole; see drop.go.
//
// # What cannot be read any more
//
// A replica that finds damaged records notes so in the store. Nothing but a [SpaceCommit] with Cut takes a position back,
// by the tab that leads and only when the server has shown that it has the records; see heal.go. The outbox stays as it is.
//
// # What the server lost
//
// A server that lost records gets them back from whichever replica holds them: the tab that leads asks how much the server has, and brings
// the rest a piece at a time; see recover.go. Where the server's log went on without them, the replica goes over to its branch in one commit
// ([SpaceCommit.Fork]), when all that the server does not take back is stored. [SpaceInfo.Branch] tells others that what is behind the fork has changed.
//
// # Order of things
//
// A frame that depends on something stored is sent only after the commit was reported done: an event is pushed
// after its outbox row is durable, credit is granted after the records it paid for are stored, nothing but the
// hello is sent before the server's key is pinned. On every new connection every outbox row is pushed again in
// outbox order; the server's dedupe answers. A row leaves the outbox only in the commit that stores its records,
// that takes the position past it, that moves it to the rejected store, or that discards it.
//
// # How it stops
//
// There is nothing to stop: drop the value. What was not committed was not acknowledged to anyone.
//
// Stable: the meaning of what a store keeps ([Meta], [SpaceInfo], [OutboxRow], [RejectedRow]). Inputs, effects and
// notices are internal to Skerry and may change between versions.
package replica
