package program

import (
	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/tables"
)

// Checkpoint is the tables of a space at a place of its log ([tables.IsPlace], or behind a record by which others expire). Nobody else
// uses them.
type Checkpoint struct {
	Seq    uint64
	Module digest.Digest // that made them
	ABI    uint32
	Tables *tables.Set

	// Expired is not 0 if records up to it have expired since the last place: they are freed only when this one is kept.
	Expired uint64
}

// Materializer is an instance that keeps tables, and goes over to another module where the log says so.
type Materializer interface {
	module.Instance

	// Guarded reports whether the module decides who may read. If not, everybody may.
	Guarded() bool

	// Turned reports whether the newest proposal may change who may read.
	Turned() bool

	// People returns the identities that the newest proposal may have made one of those who take part in the space, or no longer
	// one: those whose rows in the manifest's audience it added or deleted, or replaced where it depends on the audience who may
	// read; of an upgrade all that are or were there.
	People() []Person

	// Audience returns the identities that take part in the space by the committed tables, none where the manifest names no
	// audience, or where they cannot be read.
	Audience() []Person

	// Expired returns up to where records have expired at the newest proposal.
	Expired() uint64

	// Digest returns the digest that a checkpoint has at the newest proposal, which is at a position of a space.
	Digest(id space.ID, at space.Position) digest.Digest

	// Checkpoint returns the tables at the newest place that was passed, nil if there was none since the last call.
	Checkpoint() *Checkpoint

	// Try judges a transaction as Judge does, on all that is proposed, and proposes nothing.
	Try(caller module.Caller, records []space.Record) (module.Verdict, error)

	// Upgrade judges a transaction of [module.TypeModule] by who its caller is and what it says, on all that is proposed, and
	// proposes nothing. What it returns is prepared by [Upgrade.Run], which may take long and runs beside the instance: Place
	// comes before each Run, and Adopt before the Judge that uses what came of it. Judge without it does all by itself.
	Upgrade(caller module.Caller, records []space.Record) (*Upgrade, module.Verdict, error)
	Place(u *Upgrade, seq uint64)
	Adopt(*Upgrade)
}

// Person is somebody who may take part in a space, or no longer, since a transaction.
type Person struct {
	Identity string
	Moved    bool // they came or went by it, perhaps not for the first time; else something about them has changed
}

// Beginner is an engine whose instances go over to other modules, and begin at checkpoints. Begin is New with what is
// known of the space.
type Beginner interface {
	module.Engine
	Begin(genesis *space.Genesis, at Origin) (module.Instance, error)
}

// Origin is what is known of a space that an instance is made for.
type Origin struct {
	// Root is the root of a checkpoint to begin at, whose pages Page gives; nil to begin before the first record. If it is
	// no good, the error is a [tables.ErrBadCheckpoint] or one of Page.
	Root []byte
	Page func(digest.Digest) ([]byte, error)

	// Upgraded tells that the log may have a record of [module.TypeModule], so that the instance has to see all of it.
	Upgraded bool

	// Expired is up to where records had expired at the checkpoint, or before the first record that is given.
	Expired uint64

	// History reads the log behind record after to record to, and calls f with runs of whole transactions. An upgrade that
	// makes tables anew calls it. Nil: there is no such upgrade.
	History func(after, to uint64, f func([]space.Record) error) error
}
