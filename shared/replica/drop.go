package replica

import (
	"errors"
	"slices"

	"skerry/shared/space"
)

// This file is about records that are here and have expired at the server. The tab that leads deletes them from the store, and a [Hole] is left as where a
// space was begun at a checkpoint. It does so when the server has just said that it has all that follows on them, the record by which they expired
// among it, when tables are here that were made of them, and while nothing is mended, brought back or fetched. What the server received lately it lets be,
// see [KeepExpired].

// KeepExpired is for how long after the server received them records stay that have expired, in milliseconds: a server that is put back from a backup of
// before they expired has what is older in that backup, and gets the rest from devices.
const KeepExpired = 24 * 60 * 60 * 1000

const (
	dropWait  = 20_000    // how long after the server told of what expired it is looked at, in milliseconds
	dropAgain = 1_800_000 // and again, where not all of it could be dropped
)

var errBadDrop = errors.New("replica: a commit drops records and does something else, or drops what is not below Expect")

func (sc *SpaceCommit) checkDrop() error {
	if sc.Drop == nil {
		return nil
	}
	if sc.Expect == nil || sc.Drop.Seq == 0 || sc.Drop.Seq >= sc.Expect.Seq || sc.Position != nil || sc.Page != nil || sc.Fork != nil || sc.Cut || len(sc.Records) > 0 {
		return errBadDrop
	}
	return nil
}

// drop leaves a hole from the start of a space to a place in its log.
func (info *SpaceInfo) drop(start space.Position, to *space.Position) {
	hole, kept := Hole{After: start, Until: sealless(*to)}, info.Holes
	for len(kept) > 0 && kept[0].Until.Seq <= to.Seq {
		kept = kept[1:]
	}
	if len(kept) > 0 && kept[0].After.Seq <= to.Seq { // nothing is between them
		hole.Until, kept = kept[0].Until, kept[1:]
	}
	info.Holes, info.Dropped = append([]Hole{hole}, kept...), max(info.Dropped, to.Seq)
}

// SetDropped puts what a store has of Dropped beside the holes that it has: an older build may have left it behind where it took back, or forgot, what it is of.
func (info *SpaceInfo) SetDropped(to uint64) {
	if info.Dropped = 0; len(info.Holes) > 0 && info.Holes[0].After.Seq == 0 {
		info.Dropped = min(to, info.Holes[0].Until.Seq)
	}
}

// expired returns the last stretch of records that are here of those up to a number: where it begins, and its last record. They are the same where there is none.
func (info *SpaceInfo) expired(id space.ID, upto uint64) (from space.Position, last uint64) {
	if h := info.HoleAt(upto); h != nil {
		upto = h.After.Seq
	}
	from = space.Start(id)
	for i := range info.Holes {
		if h := &info.Holes[i]; h.Until.Seq <= upto {
			from = h.Until
		}
	}
	return from, upto
}

// WeighDropEffect asks how far records may be dropped that have expired: those behind From, up to Last. The store has to keep a checkpoint of record Tables, or
// of a later one. [DropWeighed] answers.
type WeighDropEffect struct {
	Ref    uint64
	Space  space.ID
	From   space.Position
	Last   uint64
	Tables uint64
}

// DropWeighed answers one of Effects.WeighDrop. To is the end of the last transaction that the server received long enough ago, nil if there is none. Bare tells that
// the store keeps no such checkpoint; then nothing was read.
type DropWeighed struct {
	Ref   uint64
	Space space.ID
	To    *space.Position
	Bare  bool
	Err   error
}

func (DropWeighed) input() {}

// WeighDrop makes the answer to a [WeighDropEffect], of what read returns: the records behind a number, as stores do. Those stay that the server
// received later than before, in milliseconds since 1970.
func WeighDrop(in WeighDropEffect, before uint64, read func(after uint64) ([]space.Record, error), kept func() (*Checkpoint, error)) DropWeighed {
	w := DropWeighed{Ref: in.Ref, Space: in.Space}
	c, err := kept()
	if w.Err = err; err != nil {
		return w
	}
	if w.Bare = c == nil || c.Seq < in.Tables; w.Bare {
		return w
	}
	for at := in.From; at.Seq < in.Last; {
		records, err := read(at.Seq)
		if err != nil {
			w.Err = err
			return w
		}
		for i := range records {
			r := &records[i]
			if r.Seq != at.Seq+1 || r.Seq > in.Last || r.ReceivedAt > before {
				records = nil
				break
			}
			if at = (space.Position{Seq: r.Seq, Chain: space.Chain(at.Chain, r)}); r.Last() {
				end := at
				w.To = &end
			}
		}
		if len(records) == 0 {
			break
		}
	}
	return w
}

// dropState is what is kept of dropping what has expired of a space, on one connection.
type dropState struct {
	upto   uint64          // what the server has told on it
	tables uint64          // a checkpoint that it told of at the same time: what has expired is below it, and so is the record by which it did, or it is that
	at     uint64          // when to look; 0: there is no need
	ref    uint64          // of the question how far that is, while it waits for an answer
	from   space.Position  // from where on,
	branch uint64          // and of which branch
	to     *space.Position // what is to be dropped, or is being dropped
}

// expiryTold notes up to where records of a space have expired.
func (r *Replica) expiryTold(s *spaceState, upto, checkpoint uint64) {
	if upto <= s.drop.upto || checkpoint < upto {
		return
	}
	s.drop.upto, s.drop.tables = upto, checkpoint
	r.dropLater(s, dropWait)
}

// dropLater has it looked at in a while what of s may be dropped.
func (r *Replica) dropLater(s *spaceState, wait uint64) {
	s.drop.at = r.now + wait
	r.dropAt = min(r.dropAt, s.drop.at)
}

// mayDrop reports whether records of s may be dropped now.
func (r *Replica) mayDrop(s *spaceState) bool {
	if !s.feed.live || !s.complete() || s.problem != 0 || s.switches() || slices.Contains(r.recoveries, s) || s.cut != nil || s.pending.jump != nil || s.checking || s.unsure || !s.loaded {
		return false
	}
	if s.info.Damaged > 0 || s.info.Deleted || s.info.Position.Seq < s.drop.tables || !s.history.idle() {
		return false
	}
	for _, e := range s.entries {
		if e.State == Accepted && e.Position.Seq <= s.drop.upto || e.State == Withdrawn && e.sent {
			return false // its records may be what is dropped
		}
	}
	return true
}

// expiredHere returns the stretch that may be dropped next: what is behind it stays, so that there is something that the position follows on.
func (s *spaceState) expiredHere() (from space.Position, last uint64) {
	return s.info.expired(s.id, min(s.drop.upto, max(s.info.Position.Seq, 1)-1))
}

// advanceDrops looks at what has expired and is here still.
func (r *Replica) advanceDrops() {
	if r.dropAt > r.now {
		return
	}
	r.dropAt = never
	for _, s := range r.sorted() {
		d := &s.drop
		if d.at > r.now {
			r.dropAt = min(r.dropAt, d.at)
		}
		if d.at == 0 || d.at > r.now {
			continue
		}
		d.at = 0
		switch from, last := s.expiredHere(); {
		case last <= from.Seq && s.info.Position.Seq > d.upto: // it is not here, or not any more
		case last <= from.Seq || d.to != nil || !r.mayDrop(s):
			r.dropLater(s, dropWait)
		default:
			r.weighs++
			d.ref, d.from, d.branch = r.weighs, from, s.info.Branch
			r.out.WeighDrop = append(r.out.WeighDrop, WeighDropEffect{d.ref, s.id, from, last, d.tables})
		}
	}
}

// dropWeighed takes how far records may be dropped.
func (r *Replica) dropWeighed(in DropWeighed) {
	s := r.spaces[in.Space]
	if s == nil || s.drop.ref == 0 || s.drop.ref != in.Ref {
		return
	}
	d := &s.drop
	d.ref = 0
	wait := uint64(dropWait)
	switch from, _ := s.expiredHere(); {
	case in.Err != nil, d.branch != s.info.Branch, d.from != from, !r.mayDrop(s): // it is another one by now
	case in.Bare: // tables cannot be made of what is left
		if s.told.State == CheckpointStored { // another one has taken its place, or it was for nobody to keep
			wait = dropAgain
		}
		r.wantCheckpoint(WantCheckpoint{Space: s.id, Missing: true})
	case in.To == nil:
		wait = dropAgain
	default:
		d.to = in.To
		r.sync.drops = append(r.sync.drops, s)
	}
	r.dropLater(s, wait)
}

// storeDrop makes the commit that drops records: one by itself.
func (l *syncLane) storeDrop(r *Replica, c *syncCommit) {
	for len(l.drops) > 0 && len(c.spaces) == 0 {
		s := l.drops[0]
		l.drops = l.drops[1:]
		d := &s.drop
		if d.to == nil {
			continue
		}
		if d.branch != s.info.Branch || !r.mayDrop(s) {
			d.to = nil
			continue
		}
		at := s.info.Position
		c.drop = s
		c.add(s, &SpaceCommit{Space: s.id, Expect: &at, Drop: d.to}, 0)
	}
}

// dropEnded goes on when the commit that dropped records is over, whatever became of it.
func (r *Replica) dropEnded(s *spaceState) {
	s.drop.to = nil
	r.heal(s) // which waited
}
