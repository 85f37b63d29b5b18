package syncserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Log is where the server keeps everything that must survive it: the records of every space, blobs, small keys
// and the state of rate limits. It is all that several servers would have to share. A Log stores; it never
// judges and never hashes. The suite that every implementation passes is package logtest.
//
// All methods are safe for concurrent use and honour ctx while they wait, but an append that was handed over is
// not taken back: after a cancelled or failed call the caller does not know the outcome, and finds out by calling
// again with the same arguments or by reading [Log.Head].
//
// What a method returned without error is durable: it survives the loss of power at once afterwards.
type Log interface {
	// Create stores a space and reports whether this call did. The genesis is its own key, so creating twice is
	// success with created false. It never fails because the space exists; one that was deleted is [ErrDeleted].
	Create(ctx context.Context, genesis *space.Genesis, signature []byte) (created bool, err error)

	// Delete frees all that a space holds but its genesis, if its log ends at head: else it returns a [*HeadError], and
	// nothing was done. The space stays deleted for ever, which is durable before anything is freed: every other method that
	// takes its ID, but Genesis, returns [ErrDeleted] from then on. After an error some may be left to be freed; the same
	// call again goes on with that, whatever the head, and is success where nothing is left.
	Delete(ctx context.Context, id space.ID, head space.Head) error

	// Expire frees the payloads of the records up to number upto, which the log has and which ends a transaction, and keeps everything
	// else of them for ever ([space.Record.Tombstone]): so [Log.Known] knows their ids, and the chain can be computed over them. What
	// is read later is left of all of them, however many are freed yet, and no payload is freed before that is durable. It does so in
	// steps between which other calls have their turn. Less than what has expired already is success. After an error some may be left to
	// be freed; the same call again goes on with that. A [Log.Usage] is smaller by each payload that is freed.
	Expire(ctx context.Context, id space.ID, upto uint64) error
	// Expired returns the number up to which the records of a space have expired, 0 if none has.
	Expired(ctx context.Context, id space.ID) (uint64, error)
	// Retained returns about how many bytes ([space.Record.Size]) the records of a space are that have not expired: more while payloads
	// are still to be freed.
	Retained(ctx context.Context, id space.ID) (uint64, error)

	// Genesis returns what a space was created from, also of one that was deleted, or [ErrNoSpace].
	Genesis(ctx context.Context, id space.ID) (space.Genesis, []byte, error)

	// Spaces returns up to limit space IDs greater than after (the zero ID to begin), ascending, without those that were deleted.
	Spaces(ctx context.Context, after space.ID, limit int) ([]space.ID, error)
	// Modules returns how many spaces were made of each module, without those that were deleted.
	Modules(ctx context.Context) (map[digest.Digest]int, error)

	// Head returns where the log of a space ends, as its last acknowledged append left it: {0, ID, 0} when it is
	// empty, [ErrNoSpace] when it does not exist.
	Head(ctx context.Context, id space.ID) (space.Head, error)

	// Append adds records if the log ends at previous, and makes next its head, in one atomic step. The records
	// carry contiguous numbers from previous.Seq+1 to next.Seq and end with a whole transaction. It returns a
	// [*HeadError] if the log ends elsewhere and a [*KnownError] if an event id is stored already or twice among
	// records; then nothing was stored. When the outcome of an earlier call is unknown, the same call again tells:
	// a HeadError whose Actual equals next means that the earlier one succeeded.
	Append(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head) error

	// AppendClients is Append that also changes who is connected, in the same step: both or neither.
	AppendClients(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head, changes ClientChanges) error
	// SetClaims puts other claims in the place of those that a row has. That there is no such row is success, and leaves none.
	SetClaims(ctx context.Context, connection wire.ConnectionID, identity string, claims []byte) error
	// DropClients takes out all rows of connections. That there are none is success.
	DropClients(ctx context.Context, connections []wire.ConnectionID) error
	// Clients returns the rows of up to limit connections whose ids are greater than after (the zero id to begin), by their ids
	// and then by identity.
	Clients(ctx context.Context, after wire.ConnectionID, limit int) ([]Client, error)

	// Usage returns what an identity takes of the log: counted in the same step as what it counts.
	Usage(ctx context.Context, identity string) (Usage, error)

	// Known returns what is stored under each of ids, in their order: an entry with Seq 0 where nothing is.
	Known(ctx context.Context, id space.ID, ids []space.ULID) ([]Known, error)

	// Read returns records with numbers above after, ascending and without holes: as many whole transactions as
	// fit in maxRecords and maxBytes ([space.Record.Size]), but at least one transaction where there is any. It
	// sees every append that was acknowledged before the call, by whichever handle.
	Read(ctx context.Context, id space.ID, after uint64, maxRecords, maxBytes int) ([]space.Record, error)

	// ChainBefore returns the newest chain value that is stored at or before seq: at 0 at least, where it is the
	// space's ID. The caller folds the records between. Implementations store it where each append ended.
	ChainBefore(ctx context.Context, id space.ID, seq uint64) (space.Position, error)

	// Watch registers notify and returns: until ctx ends or the log is closed, notify is called with the ID of a
	// space after appends to it through any handle. It is a hint: calls may be lost or merged, and correctness
	// never depends on them. notify must not block, nor call the log.
	Watch(ctx context.Context, notify func(space.ID)) error

	// PutBlob stores bytes under their digest, which the caller has verified. Storing them again is success.
	PutBlob(ctx context.Context, name digest.Digest, bytes []byte) error
	// Blob returns the bytes stored under name, or [ErrNoBlob].
	Blob(ctx context.Context, name digest.Digest) ([]byte, error)
	// HasBlob reports whether bytes are stored under name.
	HasBlob(ctx context.Context, name digest.Digest) (bool, error)

	// Blobs returns up to limit names of blobs greater than after (the zero digest to begin), ascending.
	Blobs(ctx context.Context, after digest.Digest, limit int) ([]digest.Digest, error)
	// DeleteBlob deletes the bytes stored under name. That there are none is success.
	DeleteBlob(ctx context.Context, name digest.Digest) error

	// PutPages stores bytes for a space under their digests, which the caller has made, all of them in one step. Storing
	// what the space has again is success. Two spaces that have the same bytes have each their own.
	PutPages(ctx context.Context, id space.ID, pages []Page) error
	// Page returns the bytes stored under name for any space, or [ErrNoBlob].
	Page(ctx context.Context, name digest.Digest) ([]byte, error)
	// Pages returns the names of all that is stored for a space.
	Pages(ctx context.Context, id space.ID) ([]digest.Digest, error)
	// DeletePages deletes what a space has under names, all of it in one step. That something is not there is success.
	DeletePages(ctx context.Context, id space.ID, names []digest.Digest) error

	// Key returns the value of a key, nil if it is absent.
	Key(ctx context.Context, key string) ([]byte, error)
	// CompareAndSet sets a key to value if it holds old, and reports whether it did. A nil old means absent, a
	// nil value deletes.
	CompareAndSet(ctx context.Context, key string, old, value []byte) (bool, error)
	// Scan returns up to limit keys that begin with prefix and are greater than after, ascending by their bytes.
	Scan(ctx context.Context, prefix, after string, limit int) ([]KeyValue, error)

	// Limit charges every one of charges, or none: when one of them is over its rate it returns how long to wait
	// until all would pass, and charges nothing. A charge whose Cost exceeds its Burst never passes: the wait is
	// [NeverPasses]. now is the caller's clock.
	Limit(ctx context.Context, now time.Time, charges []Charge) (wait time.Duration, err error)

	// Close waits for calls under way and releases the log.
	Close() error
}

// Client is one identity of a connection that is open, or was when the server was killed: a row of the private tables st_client and
// st_connection_credentials. It is in no space and goes to no client.
type Client struct {
	Connection wire.ConnectionID
	Identity   string // empty if the connection has proven none
	Since      uint64 // milliseconds since 1970
	Claims     []byte // msgpack, what the credentials claim, never the credentials themselves; empty where there are none
}

// ClientChanges is what an append changes of who is connected: first Gone takes out all rows of connections, then Connected puts rows
// in, each in place of the one with the same connection and identity.
type ClientChanges struct {
	Connected []Client
	Gone      []wire.ConnectionID
}

// Usage is what one identity takes of a log: the spaces that it has created, and the bytes ([space.Record.Size]) of the records that it is the
// author of. What was deleted is no part of it, from when [Log.Delete] has ended at the latest.
type Usage struct {
	Spaces int
	Bytes  uint64
}

// Known is what a log holds under an event id. Seq is 0 when it holds nothing.
type Known struct {
	Seq          uint64
	Index, Count uint32
	Author       string
}

// Page is a part of a checkpoint, or its root.
type Page struct {
	Name  digest.Digest
	Bytes []byte
}

// KeyValue is one key of a log with its value.
type KeyValue struct {
	Key   string
	Value []byte
}

// Charge is one key's share of a rate limit by the generic cell rate algorithm (GCRA): Burst may pass at once,
// then one every Interval. The state behind a key is a single timestamp.
type Charge struct {
	Key      string
	Interval time.Duration // the time that pays for a cost of one
	Burst    int           // how much may pass at once after a long silence; 0 denies everything
	Cost     int           // what this call costs; 1 for creating one space
}

// Pass applies the rate limit to one key: tat is the timestamp stored under it (0 if none), in nanoseconds since
// 1970 like now. When wait is zero the charge passes and next is the timestamp to store; otherwise nothing is to
// be stored. A timestamp further ahead than a full burst can only come from a clock that stepped back since, and
// counts as just a full burst, so that a corrected clock never locks anybody out for longer than that.
func (c Charge) Pass(tat, now int64) (next int64, wait time.Duration) {
	if c.Burst <= 0 || c.Cost > c.Burst {
		return tat, NeverPasses
	}
	tolerance := times(c.Interval, c.Burst)
	start := max(min(tat, now+tolerance), now)
	next = start + times(c.Interval, c.Cost)
	if wait = time.Duration(next - now - tolerance); wait > 0 {
		return tat, wait
	}
	return next, 0
}

// times multiplies without overflow: 73 years, where it saturates, is for ever to a rate limit.
func times(interval time.Duration, n int) int64 {
	const forever = 1 << 61
	if interval <= 0 || n <= 0 {
		return 0
	}
	if int64(n) > forever/int64(interval) {
		return forever
	}
	return int64(interval) * int64(n)
}

// NeverPasses is the wait that [Log.Limit] returns for a charge that no waiting would let through.
const NeverPasses = time.Duration(1<<63 - 1)

var (
	// ErrNoSpace tells that a log holds no space with the ID asked for.
	ErrNoSpace = errors.New("no such space")
	// ErrDeleted tells that the space asked for was deleted from a log.
	ErrDeleted = errors.New("the space was deleted")
	// ErrNoBlob tells that a log holds no bytes under the digest asked for.
	ErrNoBlob = errors.New("no such blob")
	// ErrFull tells that the log's storage is full: nothing was stored, and reading still works.
	ErrFull = errors.New("the log's storage is full")
)

// HeadError tells that a log did not end where an append expected it to. Nothing was stored.
type HeadError struct{ Actual space.Head }

func (e *HeadError) Error() string {
	return fmt.Sprintf("the log ends at %d, not where the append expected it", e.Actual.Seq)
}

// KnownError tells that event ids of an append are stored already, or occur twice in it. Nothing was stored.
type KnownError struct{ IDs []space.ULID }

func (e *KnownError) Error() string {
	return fmt.Sprintf("%d event ids are in the log already, the first is %s", len(e.IDs), e.IDs[0])
}

// CheckAppend returns an error if the arguments of [Log.Append] break its rules whatever the log holds: no
// records, numbers that do not run from previous.Seq+1 to next.Seq or pass [space.MaxSeq], or records that are
// not transactions in whole. Implementations call it first, so that no bug above them can make a hole.
func CheckAppend(previous space.Head, records []space.Record, next space.Head) error {
	if len(records) == 0 {
		return errors.New("append without records")
	}
	if next.Seq > space.MaxSeq || next.Seq != previous.Seq+uint64(len(records)) {
		return fmt.Errorf("append %d records between the heads %d and %d", len(records), previous.Seq, next.Seq)
	}
	var index uint32
	for i := range records {
		r := &records[i]
		if r.Seq != previous.Seq+1+uint64(i) {
			return fmt.Errorf("append record %d where %d belongs", r.Seq, previous.Seq+1+uint64(i))
		}
		if r.Index != index || r.Index >= r.Count || index > 0 && r.Count != records[i-1].Count {
			return fmt.Errorf("append record %d as %d of %d, which breaks its transaction", r.Seq, r.Index, r.Count)
		}
		if index++; r.Last() {
			index = 0
		}
	}
	if index != 0 {
		return errors.New("append ends inside a transaction")
	}
	return nil
}
