package module

import (
	"errors"
	"math"

	"skerry/shared/space"
	"skerry/shared/wire"
)

// ErrMissing tells that an engine does not have a module's bytes.
var ErrMissing = errors.New("module is missing")

// Engine makes instances of modules. It is safe for concurrent use.
type Engine interface {
	// New returns an instance for the space made from genesis, before its first record or at a checkpoint of
	// its choice ([Instance.Applied] tells). It may take as long as compiling takes. Its errors are ErrMissing, a
	// [*wire.CodeError] with CodeBadModule for a module that cannot judge, and host faults.
	New(genesis *space.Genesis) (Instance, error)
}

// Checker is an engine that takes modules. Check says what is wrong with a module's bytes: a [*wire.CodeError] with
// CodeBadModule, or a fault of the machine. It is safe for concurrent use.
type Checker interface {
	Engine
	Check(bytes []byte) error
}

// Caller is who offers a transaction: what authorize sees beside the records.
type Caller struct {
	Identity string // proven on the connection, and the transaction's author
	Claims   []byte // msgpack, of the credentials; empty where there are none

	// Server tells that the transaction is the server's own, which may what no module decides.
	Server bool

	// Each has claims for each record of the transaction in place of Claims: those of whom the record is about.
	Each [][]byte
}

// ClaimsOf returns the claims that authorize sees with the record at a place of the transaction.
func (c *Caller) ClaimsOf(index int) []byte {
	if c.Each == nil {
		return c.Claims
	}
	return c.Each[index]
}

// Verdict is what a module decided. The zero Verdict allows.
type Verdict struct {
	Code   wire.Code // 0: allowed. A deferral's code (unknown_type) defers, any other rejects
	Reason string    // for people
}

// Allowed reports whether the verdict is yes.
func (v Verdict) Allowed() bool { return v.Code == 0 }

// Instance judges one space and holds its tables. It is not safe for concurrent use. An error of any of its
// methods is a host fault; after one of Judge or Apply nothing of that call remains.
type Instance interface {
	// Applied returns the number of the last committed record that the tables contain. An instance that needs
	// no records because it has no tables returns [NeedsNothing].
	Applied() uint64

	// Apply adds committed records to the tables without judging them: those after Applied, whole transactions,
	// in order. There must be no proposals.
	Apply(records []space.Record) error

	// Judge authorizes and applies each record of one transaction in order, on an overlay that contains everything
	// that it allowed before. If it allows, the transaction is the newest proposal, else nothing of it
	// remains. The records carry the numbers and the time that they will have if they are committed. It does not keep
	// the slice.
	Judge(caller Caller, records []space.Record) (Verdict, error)

	// Commit makes the proposals up to number seq final. seq ends a transaction that Judge allowed.
	Commit(seq uint64)

	// Rollback discards all proposals that are not committed.
	Rollback()

	// MayRead reports whether an identity may read the space, by the committed tables. The empty identity is
	// that of a connection that proved none.
	MayRead(identity string) (bool, error)

	// Close releases what the instance holds. It is the last call.
	Close()
}

// The types of events that are not a module's own.
const (
	TypeModule     = "$module"     // the space goes over to another module
	TypeCheckpoint = "$checkpoint" // the server's word of what the tables are
	TypeDelete     = "$delete"     // the space is deleted: nothing follows
	TypeExpire     = "$expire"     // the first records have expired: their payloads are gone
)

// The types of events that a server writes to its system space, and that the module of that declares.
const (
	TypeConnect    = "$connect"    // an identity connects: to refuse it refuses the connection
	TypeDisconnect = "$disconnect" // it is gone
	TypeSpace      = "$space"      // what became of a space
	TypeSetup      = "$setup"      // the first administrator
)

// Told reports whether a type that begins with $ is one that a module may declare, since servers write it to the system space.
func Told(name string) bool {
	return name == TypeConnect || name == TypeDisconnect || name == TypeSpace || name == TypeSetup
}

// NeedsNothing is what [Instance.Applied] returns when no record is ever needed.
const NeedsNothing = math.MaxUint64

// Native is the engine of "open" alone. Its instances are plain Go.
var Native Engine = native{}

type native struct{}

func (native) New(genesis *space.Genesis) (Instance, error) {
	if genesis.Module == Open {
		return open{}, nil
	}
	return nil, ErrMissing
}
