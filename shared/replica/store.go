package replica

import (
	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// This file is the contract between the core and a store: what is kept, what one commit changes and under which
// conditions, and what a refresh reads. Package wasmclient declares the Store interface in these terms, and
// storetest is the suite that every implementation passes. [Model] is the reference.

// Meta is what a store keeps once for the whole replica.
type Meta struct {
	Identity string         // whose replica this is; made once, never changed
	Session  wire.SessionID // names the replica at the server over all its connections
	Epoch    uint64         // raised by each tab that begins to lead sync; fences the commits of older ones
	Server   [32]byte       // the pinned key of the server; zero until the first welcome
	Since    []byte         // the directory's cursor, opaque, of the pinned server
	// Login counts how often somebody logged out or in: odd while logged out. It rises, so that of two tabs that say different
	// things it is known who is behind.
	Login uint64
}

// LoggedOut reports whether the replica is not to sync until somebody logs in.
func (m *Meta) LoggedOut() bool { return m.Login%2 == 1 }

// SpaceInfo is the row of one space.
type SpaceInfo struct {
	Genesis          *space.Genesis // nil while only the space's ID is known
	GenesisSignature []byte
	Created          bool // false until a genesis verdict or the directory said that the server has it
	Position         space.Position
	Module           digest.Digest // the module that judges now; zero: the genesis says
	Head             uint64        // where the server's log ended when the directory last told; a hint, mostly stale
	Pinned           bool          // kept up to date even while nobody looks at it
	// Damaged, when not zero, tells that the records up to this number were stored here and cannot all be read: some are
	// damaged, or, where Position is below, were given up and are being fetched again.
	Damaged uint64
	// Holes are the stretches of the log below Position whose records are not here, ascending. See [Hole].
	Holes []Hole
	// Dropped, when not zero, is up to where records were deleted here since they had expired at the server: a hole is there, and nobody who reads
	// waits for what was in it.
	Dropped uint64
	// Branch counts how often the space went over to another branch of history: the records behind the fork are others since.
	Branch uint64
	// Deleted tells that the server has said that the space was deleted. Nothing is sent or asked for any more.
	Deleted bool
}

// Unmade reports whether the space was made here and the server does not have it yet.
func (info *SpaceInfo) Unmade() bool { return !info.Created && info.Genesis != nil }

// OutboxState is where a transaction in the outbox stands.
type OutboxState uint8

// The states of an outbox row. They are stored: values are append-only.
const (
	Waiting   OutboxState = 0 // no final verdict yet
	Accepted  OutboxState = 1 // the server has it; its records are not stored here yet
	Withdrawn OutboxState = 2 // discarded while waiting; kept until no verdict can be outstanding
)

// Entry is an outbox row without its transaction's bytes: what the core keeps in memory.
type Entry struct {
	Key        uint64 // made by the store, rising: outbox order
	ID         space.ULID
	Stamp      space.ULID // of the space's genesis, if this identity made the space; else zero
	Author     string
	Size       int // of the transaction, see [space.Transaction.Size]
	State      OutboxState
	Position   space.Position // when accepted
	AppendedAt uint64         // milliseconds since 1970
	Code       wire.Code      // of the last deferral, zero if there was none
	Reason     string
	RetryAt    uint64 // milliseconds since 1970; 0: as soon as possible
}

// OutboxRow is one transaction that was made here and whose records are not stored here yet.
type OutboxRow struct {
	Entry
	Transaction space.Transaction
}

// RejectedRow is a transaction that was refused. It stays until its author retries or discards it.
type RejectedRow struct {
	ID          space.ULID
	Transaction space.Transaction
	AppendedAt  uint64
	Code        wire.Code
	Reason      string
	By          string // ByServer, ByPreview for the module's own answer in the page, or ByDevice
}

// LostRow is a transaction of somebody else whose records this replica held, and which the server refused when it was asked to take it
// back: the server had lost it, and its log went on without it. It stays until somebody here discards it.
type LostRow struct {
	ID          space.ULID
	Transaction space.Transaction // as its author made it
	ReceivedAt  uint64            // when the server had first received it, milliseconds since 1970
	Code        wire.Code
	Reason      string
	By          string // as RejectedRow has it
}

// Rejection moves one outbox row to the rejected store.
type Rejection struct {
	ID     space.ULID
	Code   wire.Code
	Reason string
	By     string
	Lost   bool // the server had accepted it once, and lost it: a row that is accepted is moved too
}

// Mark changes what an outbox row says of itself. A row that is gone stays gone.
type Mark struct {
	ID       space.ULID
	State    OutboxState // Accepted, or Waiting to note a deferral; never takes a row back from Accepted
	Position space.Position
	Code     wire.Code
	Reason   string
	RetryAt  uint64
}

// Commit is one atomic change of a store: all of it happens or nothing does.
//
// The conditions are checked inside the store's own transaction, after which nobody can come between. If one does
// not hold the result is stale and nothing was written.
type Commit struct {
	// Fenced makes the commit conditional on Epoch being the store's epoch still: the commits of sync are fenced,
	// appending is not.
	Fenced bool
	Epoch  uint64

	// Strict asks for strict durability: true for what only this device has. Others may be lost in a power cut as
	// long as they are lost whole and in order.
	Strict bool

	// Server pins the server's key. It is a condition too: stale if another one is pinned.
	Server *[32]byte
	// Since, when not nil, replaces the directory's cursor.
	Since []byte
	// Login, when not zero, replaces Meta.Login. That it is above the stored one is a condition.
	Login uint64
	// Erase deletes all that the store has. It comes alone. Calls by handles that are open fail with wasmclient.ErrForgotten from then
	// on, also when somebody has begun anew; one that is opened later makes an empty replica. Unless Force is put too, that nothing in it is on this device
	// alone is a condition: no row of an outbox waits, none is rejected or lost, and the server has every space that was made here.
	Erase, Force bool
	// Room, when not zero, is how many bytes are written besides and deleted again in the same step: the commit fails
	// for want of room where they find none, and nothing is left of them.
	Room int

	Spaces []SpaceCommit
}

// SpaceCommit is the part of a commit that concerns one space. Its fields are applied in their order here. Every
// commit that touches a space raises its version by one, and makes a row with nothing but its start if there was
// none. A commit names a space at most once.
type SpaceCommit struct {
	Space space.ID

	// Expect, when not nil, is a condition: the space's stored position (seq and chain) is this one still. An
	// absent row has the position [space.Start].
	Expect *space.Position

	// Insert adds the row of the space if it is absent. If it is there, a genesis is filled in where it was
	// unknown and Created is raised, never lowered; the position is not touched.
	Insert *SpaceInfo
	// SetCreated overwrites Created, either way, when not nil.
	SetCreated *bool
	// SetPinned overwrites Pinned when not nil.
	SetPinned *bool
	// SetModule overwrites Module when not zero.
	SetModule digest.Digest
	// SetDeleted makes Deleted true, for ever.
	SetDeleted bool
	// SetDamaged changes Damaged when not nil: 0 clears it, anything else raises it to at least that.
	SetDamaged *uint64

	// Append adds rows to the end of the outbox in this order; Key is the store's to give. A row whose (space, id)
	// is there already, or among the rejected, is left as it is, which counts as success: it was appended before. Author and Size are
	// taken from the transaction, ID must be its.
	Append []OutboxRow
	// Refuse adds rows to the rejected store that were never in the outbox. One whose (space, id) is in the outbox, or
	// among the rejected, is left as it is: it was appended before, and the server may have it. ID must be its transaction's.
	Refuse []RejectedRow
	// Retry moves rows from the rejected store to the outbox's end, same ids and bytes, state Waiting. A row whose
	// id the outbox has again stays where it is.
	Retry []space.ULID
	// Withdraw marks waiting rows as withdrawn; rows in other states stay.
	Withdraw []space.ULID
	// DropWithdrawn deletes rows that are withdrawn; rows in other states stay.
	DropWithdrawn []space.ULID
	// Mark changes the state and the last deferral of rows. Noting a deferral leaves a row alone that is withdrawn.
	Mark []Mark
	// Reject moves rows to the rejected store; a row that is gone is left alone, and one that is accepted too, unless the rejection says that
	// the server lost it.
	Reject []Rejection
	// Discard deletes rows from the rejected store.
	Discard []space.ULID
	// Lost adds rows to the lost store. One whose (space, id) is there already is left as it is. ID must be its transaction's.
	Lost []LostRow
	// DiscardLost deletes rows from the lost store.
	DiscardLost []space.ULID

	// Records, when not empty, is one run of records that follows on Expect, encoded by [wire.AppendRecord] one
	// after the other, whole transactions. First and Last are its numbers. Position is what the space's row holds
	// afterwards; it may also be set alone, to a later position, which leaves a [Hole] in the records.
	Records     []byte
	First, Last uint64
	Position    *space.Position
	// Cut takes the space back to Position, the end of an earlier transaction below Expect, and deletes the records
	// behind it. It is the only way in which a position goes back, and comes without records.
	Cut bool
	// Page, when not nil, puts records into the upper end of a hole. It comes without a cut.
	Page *Page
	// Drop deletes the records up to this one, which have expired: the end of a transaction below Expect, whose records are here. A [Hole] is left
	// from the start to there, or to the end of the one that follows on it. It comes without records,
	// and moves no position.
	Drop *space.Position
	// Fork takes the space over to another branch, which left the one that is here at Fork: the end of an earlier transaction below Expect, or the
	// start. The records behind it are deleted, Records follow on it, and Branch is raised by one. Position may be anywhere behind it. Damaged becomes
	// what SetDamaged says, or 0.
	Fork *space.Position
	// Settle deletes outbox rows whose records are stored now, in whatever state they are.
	Settle []space.ULID

	// Forget deletes all that the store has of the space, which it does not know any more then. Only the version goes on. It
	// comes alone. Unless Force is put too, that no row of the space waits in the outbox and none is rejected or lost is a condition.
	Forget, Force bool
}

// MaxCheckpoint is how large a checkpoint is at most that is fetched and that a store keeps, see [Checkpoint.Size].
const MaxCheckpoint = 32 << 20

// Checkpoint is the tables of a space at a position of its log: the root and the pages that tables.Set.AppendCheckpoint
// makes of them. Stores do not look into them. The log can make a checkpoint again, so it may be gone at any time.
type Checkpoint struct {
	Seq   uint64 // the last record that is in the tables
	Root  []byte
	Pages map[digest.Digest][]byte // all that the root names, by digest; nil are those that are in the store
	// Ahead, when it is put, tells that it may be of records that the store does not have yet: the server made it.
	Ahead bool
}

// Size returns how many bytes the root and the pages have.
func (c *Checkpoint) Size() int {
	n := len(c.Root)
	for _, page := range c.Pages {
		n += len(page)
	}
	return n
}

// CommitResult tells what became of a commit that did not fail.
type CommitResult struct {
	// Stale: a condition did not hold and nothing was written. Epoch is the store's.
	Stale bool
	Epoch uint64
	// Versions are the new versions of the spaces committed, in their order.
	Versions []uint64
	// Keys are the outbox keys given to Append and then Retry rows, space after space, in order; 0 for a row that
	// was there already or could not be found.
	Keys []uint64
}

// Summary is one space as [Loaded] has it.
type Summary struct {
	Space    space.ID
	Info     SpaceInfo
	Version  uint64
	Outbox   int // rows in the outbox, whatever their state
	Rejected int // rows among the rejected
	Lost     int // rows among the lost
}

// Loaded is what a tab reads from its store when it starts, and again when it begins to lead.
type Loaded struct {
	Meta    Meta
	Spaces  []Summary // ascending by ID
	Changes uint64    // the number of the last change
}

// Changes is what a tab reads every few seconds to find out what others changed. Each commit that touches spaces is
// one change, and changes are numbered.
type Changes struct {
	Epoch  uint64
	Login  uint64
	Number uint64 // of the last change
	// Spaces are at least those changed by numbers above the one asked about, in any order; all of them where that
	// one is 0, or the store remembers no more.
	Spaces []Changed
}

// Changed is the version of one space.
type Changed struct {
	Space   space.ID
	Version uint64
}

// Snapshot is what a tab reads of one space when it refreshes: everything from one read-only transaction.
type Snapshot struct {
	Space    space.ID
	Known    bool // the store has a row of the space
	Info     SpaceInfo
	Version  uint64
	Epoch    uint64
	Outbox   []Entry       // in outbox order
	Rejected []RejectedRow // without payloads where the store keeps them apart; by id
	Lost     int           // rows in the lost store
}
