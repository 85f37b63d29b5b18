package replica

import (
	"io"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Config is what a [Replica] is made with.
type Config struct {
	// Sync is false for a replica that never connects.
	Sync bool
	// Proves says that the shell can prove the replica's identity. Without it the identity is offered as it is.
	Proves bool
	// As, when not empty, is the identity that the replica's own acts as, being a device that is linked to it: what is made here is
	// under that name, and the connection proves both, so that what was made before goes up under its own. Links follow on each
	// signature for it.
	As    string
	Links []byte
	// ClientVersion is the app's own version; it travels with every transaction authored here.
	ClientVersion string
	// API is what is spoken of the wire contract; zero: what this build speaks. Another range is for tests.
	API wire.APIRange
	// Rand gives connection ids and jitter: secure randomness in a shell, a seeded source in a simulation.
	Rand io.Reader
	// PullAll keeps every space up to date that the store knows. Without it those are that are open here, that other
	// tabs look at, that are pinned, or that have transactions in the outbox; of the others the directory alone tells.
	PullAll bool
	// Credit is how many bytes of records the server may have under way to this replica; 0 means 4 MiB.
	Credit uint64
	// BootAfter is how many records the server's checkpoint is ahead of what is here, at least, for the replica to begin there without
	// those records; 0 means 10,000.
	BootAfter uint64
	// UploadPiece is how much of a module goes to the server in one message; 0 means 128 KiB.
	UploadPiece int
}

// Input is something that happened. The types of this file are all there are.
type Input interface{ input() }

// Led tells that this tab leads sync from now on: it holds the lock, and Loaded is what RaiseEpoch returned.
type Led struct{ Loaded *Loaded }

// Following tells that this tab does not lead sync any more.
type Following struct{}

// Login tells that the store has this as Meta.Login now, or had it: what is older is passed over.
type Login struct{ Number uint64 }

// Connected tells that the socket asked for by Effects.Dial is open.
type Connected struct{}

// Disconnected tells that the socket failed to open or is gone.
type Disconnected struct{ Reason string }

// Unreadable tells that a message came that is no frame of the protocol's. The socket is left.
type Unreadable struct{ Reason string }

// Online tells that trying to connect is worth it right now: the platform says that the network is back, or the
// page became visible.
type Online struct{}

// Received tells that a message came. Size is its length in bytes, before parts.
type Received struct {
	Frame wire.Frame
	Size  int
}

// Append asks to make a space (Insert), a transaction (Transaction), or both durable.
type Append struct {
	Ref         uint64 // comes back in [Durable] or [Failed]
	Space       space.ID
	Insert      *SpaceInfo
	Transaction *space.Transaction
	AppendedAt  uint64 // milliseconds since 1970
	// Refused, when not nil, puts the transaction among the rejected at once: the space's module refused it here, before
	// it was sent. It is durable then, and decided. Who appends something again, not knowing what became of it, leaves
	// this nil: it may be in the log by now.
	Refused *Refusal
}

// Refusal is why the preview of a transaction was a no.
type Refusal struct {
	Code   wire.Code
	Reason string
}

// The values of [RejectedRow.By].
const (
	ByServer  = "server"
	ByPreview = "preview"
	ByDevice  = "device" // which could not read any more what it kept of it
)

// Retry asks to move a rejected transaction to the end of the outbox.
type Retry struct {
	Ref   uint64
	Space space.ID
	ID    space.ULID
}

// Discard asks to give up a transaction, waiting or rejected.
type Discard struct {
	Ref   uint64
	Space space.ID
	ID    space.ULID
}

// DiscardLost asks to give up a transaction of the lost store.
type DiscardLost struct {
	Ref   uint64
	Space space.ID
	ID    space.ULID
}

// Open tells that somebody looks at a space from now on. A space that the store does not know is added to it by
// its ID alone, so that it is pulled.
type Open struct {
	Ref   uint64
	Space space.ID
}

// Close tells that nobody looks at a space in this tab any more. It is pulled for a while still.
type Close struct{ Space space.ID }

// Pin asks to keep a space up to date from now on even while nobody looks at it, or to do so no more.
type Pin struct {
	Ref    uint64
	Space  space.ID
	Pinned bool
}

// Looking tells that another tab says that it looks at these spaces. It says so again as long as it does.
type Looking struct{ Spaces []space.ID }

// WhoLooks tells that another tab asks what this one looks at.
type WhoLooks struct{}

// Say asks to send bytes to who else subscribes to a space now. Where the server does not listen they are lost: nothing of them
// is stored, or kept until it does.
type Say struct {
	Space space.ID
	Bytes []byte
}

// Watch asks what became of a transaction, made here or elsewhere: [Found] tells that it waits, and [Decided] what it
// came to. One of which there is no trace is decided as discarded.
type Watch struct {
	Space space.ID
	ID    space.ULID
}

// Lost tells that the store was destroyed under this tab, and what is in its place now. The tab does not lead any more.
// Answers to what was asked of the store before must not come after it.
type Lost struct{ Loaded *Loaded }

// Damaged tells that something stored of a space's records cannot be read as what it should be.
type Damaged struct{ Space space.ID }

// Checked answers one of Effects.Check. What is stored up to Sound, the end of a transaction, is what the server once
// sent, for sure; Damaged tells that it is not all that the replica should have.
type Checked struct {
	Space   space.ID
	Sound   space.Position
	Damaged bool
	Err     error
}

// Forget deletes what the store has of a space, which the server has deleted or lets this identity not read any more. It fails
// while there is something that only this device has, unless it is forced.
type Forget struct {
	Ref   uint64
	Space space.ID
	Force bool
}

// Closing tells that the tab is about to go: what the store fails to take from now on is not tried again.
type Closing struct{}

// Hint tells that another tab says that it changed a space.
type Hint struct {
	Space   space.ID
	Version uint64
}

// Poll asks to look whether other tabs changed what this one holds, hint or no hint.
type Poll struct{}

// Surveyed answers Effects.Survey. Changes is nil if reading failed.
type Surveyed struct{ Changes *Changes }

// Committed answers one of Effects.Commits. Exactly one of Result and Err is set.
type Committed struct {
	ID     uint64
	Result *CommitResult
	Err    error
	// Full tells that Err means a full device.
	Full bool
	// Final, when not zero, tells that trying again is of no use, and why.
	Final wire.Code
}

// Refreshed answers one of Effects.Refresh. Snapshot is nil if reading failed.
type Refreshed struct {
	Space    space.ID
	Snapshot *Snapshot
}

// RowsRead answers one of Effects.ReadRows.
type RowsRead struct {
	Space space.ID
	After uint64
	Rows  []OutboxRow
	Err   error
}

// IDsRead answers one of Effects.ReadIDs: the records stored above After.
type IDsRead struct {
	Space   space.ID
	After   uint64
	Records []RecordID
	Err     error
}

// RecordID says which record is where.
type RecordID struct {
	ID   space.ULID
	Last uint64 // the number of the last record of its transaction
}

// RecordIDOf returns what [IDsRead] says of a record.
func RecordIDOf(r *space.Record) RecordID {
	return RecordID{ID: r.ID, Last: r.Seq + uint64(r.Count-1-r.Index)}
}

// Tick tells that time has passed; the shell sends it at Effects.WakeAt.
type Tick struct{}

func (Led) input()          {}
func (Following) input()    {}
func (Login) input()        {}
func (Connected) input()    {}
func (Disconnected) input() {}
func (Unreadable) input()   {}
func (Online) input()       {}
func (Received) input()     {}
func (Append) input()       {}
func (Retry) input()        {}
func (Discard) input()      {}
func (DiscardLost) input()  {}
func (Open) input()         {}
func (Close) input()        {}
func (Pin) input()          {}
func (Looking) input()      {}
func (WhoLooks) input()     {}
func (Say) input()          {}
func (Watch) input()        {}
func (Lost) input()         {}
func (Damaged) input()      {}
func (Checked) input()      {}
func (Forget) input()       {}
func (Closing) input()      {}
func (Hint) input()         {}
func (Poll) input()         {}
func (Surveyed) input()     {}
func (Committed) input()    {}
func (Refreshed) input()    {}
func (RowsRead) input()     {}
func (IDsRead) input()      {}
func (Tick) input()         {}

// CommitEffect asks the shell to run a commit; [Committed] with the same ID answers. Those with different lanes may
// run side by side; the core has at most one of each lane under way.
type CommitEffect struct {
	ID     uint64
	Commit *Commit
}

// ReadRowsEffect asks for outbox rows with keys above After, about MaxBytes of them; [RowsRead] answers.
type ReadRowsEffect struct {
	Space    space.ID
	After    uint64
	MaxBytes int
}

// ReadIDsEffect asks for the ids of stored records with numbers above After; [IDsRead] answers.
type ReadIDsEffect struct {
	Space space.ID
	After uint64
}

// Effects is what a shell does after a step. The order of fields is the order in which to begin.
type Effects struct {
	Commits          []CommitEffect
	Survey           bool // read what changed in the store after the change SurveyAfter; Surveyed answers
	SurveyAfter      uint64
	Refresh          []space.ID
	ReadRows         []ReadRowsEffect
	ReadIDs          []ReadIDsEffect
	ReadModules      []digest.Digest // read these modules; ModuleRead answers
	Trace            []TraceEffect
	ReadRecords      []ReadRecordsEffect
	WeighDrop        []WeighDropEffect
	StoreModules     []StoreModuleEffect
	StoreCheckpoints []StoreCheckpointEffect
	Check            []space.ID // read all records stored of these spaces and fold the chain over them; Checked answers
	Hangup           string     // close the socket, with this reason, if not empty; nothing of it is reported any more
	Dial             bool       // open a socket
	Prove            *Prove     // prove who this is; Proved answers
	Send             [][]byte   // messages, to be split into parts by the shell
	StepDown         bool       // another tab leads: release the lock, and ask for it again
	Yield            bool       // release the lock and ask for it again, behind the tabs that wait for it
	Hints            []Hint     // tell other tabs
	Looking          []space.ID // tell other tabs that this one looks at these, by [Looking]
	WhoLooks         bool       // ask other tabs what they look at
	Notices          []Notice   // tell the app
	WakeAt           uint64     // send [Tick] then; 0: no need
}

// Notice is something that the app may want to know.
type Notice interface{ notice() }

// Durable tells that what [Append], [Retry], [Discard], [DiscardLost], [Pin] or [Open] with this Ref asked for is stored.
type Durable struct{ Ref uint64 }

// Failed tells that it could not be stored, and nothing was: there is no room, or the store refuses for good. Where the
// store cannot tell, the core tries again, and says so in [Replica.Status] meanwhile. Only after [Closing] may something
// be stored of which this is told.
type Failed struct {
	Ref    uint64
	Code   wire.Code
	Reason string
}

// Found tells that a transaction that [Watch] asked for is in the outbox.
type Found struct {
	Space space.ID
	ID    space.ULID
}

// Rejected tells that a transaction came to be in the rejected store, whoever appended it and whichever tab syncs.
type Rejected struct {
	Space  space.ID
	ID     space.ULID
	Code   wire.Code
	Reason string
}

// Decided tells what became of a transaction that was appended in this tab, or that [Watch] asked for.
type Decided struct {
	Space    space.ID
	ID       space.ULID
	Outcome  Outcome
	Position space.Position // when synced, as far as it is known
	Code     wire.Code
	Reason   string
}

// Outcome is how a transaction ended.
type Outcome uint8

// The outcomes of a transaction.
const (
	Synced    Outcome = 1 // the server has it, durably
	Refused   Outcome = 2 // it is in the rejected store
	Discarded Outcome = 3 // it was given up
)

// Heard tells what somebody else said in a space, another device of this identity perhaps. The server says who: the author is
// proven.
type Heard struct {
	Space  space.ID
	Author string
	Bytes  []byte
}

// Unheard tells that the server refused what was said on this connection, where it does not say.
type Unheard struct {
	Code   wire.Code
	Reason string
}

// SpaceChanged tells that something about a space changed: records, outbox, verdicts, or how it syncs.
type SpaceChanged struct{ Space space.ID }

// StatusChanged tells that [Replica.Status] changed.
type StatusChanged struct{}

func (Durable) notice()       {}
func (Failed) notice()        {}
func (Found) notice()         {}
func (Rejected) notice()      {}
func (Decided) notice()       {}
func (Heard) notice()         {}
func (Unheard) notice()       {}
func (SpaceChanged) notice()  {}
func (StatusChanged) notice() {}
