package program

import (
	"bytes"
	"errors"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/tables"
)

// Upgrade is how a space goes over to another module, prepared beside the instance that judges it. It belongs to one at a
// time: to who has the instance, and while Run runs to who runs it.
type Upgrade struct {
	name   digest.Digest
	params []byte
	on     *Instance // of its own, which shares what never changes

	to       *Loaded     // nil until it is loaded
	set      *tables.Set // nil until it went well
	seq      uint64      // the record behind which set is
	admitted admission   // who admits what follows on it, if the module makes its tables anew,
	carried  carried     // and if not

	verdict module.Verdict
	err     error
}

// carried is what a module took over, to be done again when little has changed since.
type carried struct {
	from, set *tables.Set // the tables that there were, and what of them was carried; nil for nothing
	migrated  uint64      // rows, beside
}

// Upgrade says what the module thinks of a transaction of [module.TypeModule], and if it allows it what is to be prepared.
func (i *Instance) Upgrade(caller module.Caller, records []space.Record) (*Upgrade, module.Verdict, error) {
	defer i.giveBack()
	p := i.next()
	name, params, verdict, err := i.readUpgrade(&p, &caller, records)
	if err != nil || !verdict.Allowed() {
		return nil, verdict, err
	}
	on := &Instance{genesis: i.genesis, Load: i.Load, History: i.History}
	return &Upgrade{name: name, params: bytes.Clone(params), on: on}, verdict, nil
}

// Same reports whether an upgrade is one to the same module with the same params.
func (u *Upgrade) Same(other *Upgrade) bool {
	return u.name == other.name && bytes.Equal(u.params, other.params)
}

// Place has the upgrade begin, or go on, at the committed tables, which are those of record seq.
func (i *Instance) Place(u *Upgrade, seq uint64) {
	u.on.committed = proposal{seq: seq, tables: &version{set: i.after(-1).set.Copy()}, by: i.committed.by, expired: i.committed.expired}
}

// Run does the work. Of a module that makes its tables anew it applies those records only that it has not. Others take over the
// tables as they are where [Instance.Place] was: indexes that it has made before it mends, and what is migrated is so again.
func (u *Upgrade) Run() {
	defer u.on.giveBack()
	if u.to == nil {
		if u.to, u.verdict, u.err = u.on.load(u.name, &module.Caller{}); u.to == nil {
			return
		}
	}
	from := &u.on.committed
	if u.verdict = from.needsWhole(u.to); !u.verdict.Allowed() {
		u.err = nil
	} else if u.replays() {
		u.set, u.verdict, u.err = u.on.replay(u.to, u.set, u.seq, from.seq, u.params, &u.admitted)
	} else {
		u.set, u.verdict, u.err = u.on.upgrade(from, u.to, from.seq, u.params, u.over)
	}
	if u.seq = from.seq; u.err != nil || !u.verdict.Allowed() {
		u.set, u.seq, u.carried = nil, 0, carried{}
	}
	u.on.committed = proposal{}
}

// over is [tables.Set.Over] that begins with what the last Run carried. It gives a copy: migrate writes to what it gets.
func (u *Upgrade) over(of *tables.Set, schemas []tables.Schema) (*tables.Set, []int, error) {
	set, left, err := of.OverSince(u.carried.from, u.carried.set, schemas)
	if err != nil {
		return nil, nil, err
	}
	u.carried = carried{from: of, set: set}
	if u.to.Program.Exports[Migrate] {
		for _, table := range left {
			u.carried.migrated += uint64(of.Len(table))
		}
	}
	return set.Copy(), left, nil
}

func (u *Upgrade) replays() bool {
	return !u.to.native() && u.to.Program.Manifest.Upgrade == Replay
}

// Result returns how the last Run went: what the tables are made of if it went well, and else what is wrong.
func (u *Upgrade) Result() (module.Verdict, error) { return u.verdict, u.err }

// Left returns how much work it is still to be behind record seq: about as many records to be applied, or rows to be migrated.
func (u *Upgrade) Left(seq uint64) uint64 {
	switch {
	case u.set == nil, seq < u.seq:
		return seq + 1
	case seq == u.seq:
		return 0
	}
	return max(seq-u.seq, u.carried.migrated)
}

// Adopt has the next Judge, if it is of this upgrade and of the record behind its tables, use them.
func (i *Instance) Adopt(u *Upgrade) { i.prepared = u }

// take gives away the tables and the module if they are those that a record asks for.
func (u *Upgrade) take(name digest.Digest, params []byte, seq uint64) (*Loaded, *tables.Set) {
	if u == nil || u.set == nil || u.name != name || !bytes.Equal(u.params, params) || u.seq != seq {
		return nil, nil
	}
	to, set := u.to, u.set
	u.to, u.set, u.carried = nil, nil, carried{}
	return to, set
}

// Fail notes that Run did not end.
func (u *Upgrade) Fail() {
	u.set, u.carried, u.err = nil, carried{}, errors.New("preparing an upgrade did not end")
}

// Close releases what the upgrade holds. It is the last call.
func (u *Upgrade) Close() {
	if u.to != nil {
		u.to.release()
	}
	u.to, u.set, u.carried = nil, nil, carried{}
}
