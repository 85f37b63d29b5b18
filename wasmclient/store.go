package wasmclient

import (
	"context"
	"errors"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
)

// Store is where a replica keeps everything: IndexedDB in a browser, memory in tests and in programs that do not
// need to survive a restart. Several tabs may have the same store open at once, each through its own handle;
// commits are conditional so that they need not know of each other. The suite that every implementation passes is
// package storetest.
//
// Methods are safe for concurrent use. A method that returned nil has taken effect; an error means that nothing
// was written, except when the store was closed or lost underneath: then the outcome is unknown until the same
// commit, which is safe to repeat, has succeeded or come back stale.
type Store interface {
	// Load reads what a tab needs to start.
	Load(ctx context.Context) (*replica.Loaded, error)

	// Changes tells which spaces were changed after the change with a number, as [replica.Changes] says; it is called
	// every few seconds and meant to cost next to nothing where little changed.
	Changes(ctx context.Context, after uint64) (*replica.Changes, error)

	// RaiseEpoch adds one to the epoch in a strict transaction that runs after every transaction of the tab that
	// led before, and returns what is loaded then: a new leader starts from it and from nothing else.
	RaiseEpoch(ctx context.Context) (*replica.Loaded, error)

	// Commit applies one atomic change, or tells that it is stale. It returns [ErrFull] when the device has no
	// room, with nothing written.
	Commit(ctx context.Context, commit *replica.Commit) (*replica.CommitResult, error)

	// Refresh reads one space in a single read-only transaction. A space that is not there has Known false.
	Refresh(ctx context.Context, id space.ID) (*replica.Snapshot, error)

	// Outbox reads rows of a space with keys above after, in outbox order, with their transactions: as many as fit
	// in maxBytes, at least one where there is any.
	Outbox(ctx context.Context, id space.ID, after uint64, maxBytes int) ([]replica.OutboxRow, error)

	// Rejected reads the rejected transactions of a space, by id.
	Rejected(ctx context.Context, id space.ID) ([]replica.RejectedRow, error)

	// Lost reads the lost transactions of a space, by id.
	Lost(ctx context.Context, id space.ID) ([]replica.LostRow, error)

	// Read reads committed records with numbers above after, ascending, without holes: up to limit records and about
	// maxBytes bytes (see [space.Record.Size]), at least one where there is any. A result may end inside a
	// transaction. It ends before a hole, and begins after one where the record that follows after is not here. It ends
	// before what is damaged too, and fails with [ErrDamaged] where that is what would come next.
	Read(ctx context.Context, id space.ID, after uint64, limit, maxBytes int) ([]space.Record, error)

	// ReadBefore reads up to limit committed records with numbers below before, ascending: the newest ones. Like
	// Read it returns no hole, but may end below one, and treats damage alike.
	ReadBefore(ctx context.Context, id space.ID, before uint64, limit, maxBytes int) ([]space.Record, error)

	// Module reads the bytes of a module, nil where they are not here. What was kept and is no longer what its digest
	// says is not here. It takes the time to hash them.
	Module(ctx context.Context, d digest.Digest) ([]byte, error)

	// PutModule keeps the bytes of a module, whose digest is d: strictly durable, since they may be nowhere else. It is
	// harmless where they are here, and puts right what is damaged. Modules of spaces that the server has, and of no space that
	// it has not, can be fetched again: they go, behind the checkpoints, before a commit without records finds no room. It
	// returns [ErrFull] when the device has no room but for what users write, and [ErrDamaged] where the bytes
	// have another digest, with nothing written.
	PutModule(ctx context.Context, d digest.Digest, bytes []byte) error

	// CollectModules deletes modules that no space here names, as the one that judges it or the one that it was made with,
	// and that none named either when it was called [replica.UnnamedModules] ago, nor was put since. named are those that
	// the caller knows of to be named: it is for speed, and what is deleted is compared with the spaces that are stored. now is
	// in milliseconds since 1970.
	CollectModules(ctx context.Context, named *replica.ModuleNames, now uint64) error

	// Checkpoint returns the newest checkpoint of a space that is kept, or nil. Of its pages it has the names alone. One whose
	// root is missing, or no longer what its digest says, counts as none. That the tables are of the log as it is now, the
	// caller checks: the root names the chain after Seq.
	Checkpoint(ctx context.Context, id space.ID) (*replica.Checkpoint, error)

	// CheckpointPages reads pages of the checkpoint of a space, by their digests. One that is missing, or no longer what its
	// digest says, is not among them: the caller replays the log, and what it puts then is right again. So are those that
	// went since, with a checkpoint that was put in the place of that one. It takes the time to hash them.
	CheckpointPages(ctx context.Context, id space.ID, names []digest.Digest) (map[digest.Digest][]byte, error)

	// PutCheckpoint keeps a checkpoint of a space in place of the one that was kept. Pages that are there already are
	// not written again, and need only be named: it returns [ErrDamaged] where one is not there that has no bytes. It is not durable, since the log can make it again, but there as a whole or not at all; it goes
	// with the records that a cut takes from under it, and checkpoints of all spaces go before the device is full for
	// anything else. One that is larger than [replica.MaxCheckpoint], or of records that the store does not have, is not
	// kept, which is no error; but for those records one that says that it is Ahead waits there, if the space is known. It returns [ErrFull] when there is no room but for what users write: the one that
	// was there stays then.
	PutCheckpoint(ctx context.Context, id space.ID, c *replica.Checkpoint) error

	// DropCheckpoint lets go of the checkpoint of a space, if one is kept.
	DropCheckpoint(ctx context.Context, id space.ID) error

	// Close releases the store. Methods called afterwards fail with [ErrStoreClosed].
	Close() error
}

// EncodedReader is what a [Store] may implement besides, when it keeps records encoded: reading for somebody who
// decodes them elsewhere.
type EncodedReader interface {
	// ReadEncoded is [Store.Read] for records in wire encoding, one after the other: the same records that Read would
	// return, how many they are, and the number of the last one. The bytes may be the store's own: the caller
	// does not change them. It is meant to be called again with what it returned as last, and quick then.
	ReadEncoded(ctx context.Context, id space.ID, after uint64, limit, maxBytes int) (records []byte, count int, last uint64, err error)
}

// Suspender is what a [Store] implements besides, when it holds something open that must not be held while the
// program is stopped: a browser's page that is stopped inside of a transaction keeps all others from writing.
type Suspender interface {
	// Suspend lets no call begin any more and waits, while ctx lets it, for those under way; then it lets go of what
	// the store holds open. Calls made while it is suspended wait for Resume, for their context, or for Close.
	Suspend(ctx context.Context) error
	// Resume lets calls begin again. It is harmless where nothing is suspended.
	Resume()
}

// Renewer is what a [Store] implements besides, when what it keeps can be destroyed under it: a browser deletes its
// databases when a user clears a site's data, or when it wants the room.
type Renewer interface {
	// Renew makes a store whose calls fail with [ErrReplicaLost] go on with what is there instead: an empty replica,
	// made for identity unless another tab has made it already. Calls that began before fail with ErrReplicaLost still.
	// It is harmless where nothing was lost.
	Renew(ctx context.Context, identity string) error
}

var (
	// ErrFull tells that the device's storage is full; nothing was written.
	ErrFull = errors.New("the device's storage is full")
	// ErrStoreClosed tells that the store was closed.
	ErrStoreClosed = errors.New("the store is closed")
	// ErrReplicaLost tells that what the store kept was destroyed, by the browser or its user. Nothing of the call
	// happened. A [Renewer] goes on with what is there instead.
	ErrReplicaLost = errors.New("the replica was deleted under this page, by the browser or its user")
	// ErrDamaged tells that something stored cannot be read as what it should be.
	ErrDamaged = errors.New("what is stored is damaged")
	// ErrForgotten tells that somebody logged out and had all deleted that the store had, see [replica.Commit.Erase]. Commit, Changes,
	// Load and RaiseEpoch say so of each handle that was open then.
	ErrForgotten = errors.New("somebody logged out here and had the replica forgotten")
	// ErrNewerStore tells that the store was written by a newer version of Skerry, which this one must not touch.
	ErrNewerStore = errors.New("the store was written by a newer version of Skerry; reload the page or upgrade the program")
)
