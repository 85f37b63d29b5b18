package replica

import (
	"skerry/shared/space"
	"skerry/shared/wire"
)

// This file is about a server that lost what lies in a hole of what is here, which nobody may have. For as long as the server waits somebody may bring that, and
// then everything is as it was. After that what is behind the last hole is judged anew: its end is sealed. What is between holes cannot be shown to be the
// server's, since what follows on it is not here: it is kept, among the rejected and the lost. Then the replica goes over to the server's branch.

// rebranch notes that the numbers by which watched transactions are looked for were of another branch.
func (s *spaceState) rebranch() {
	for id := range s.watched {
		s.watched[id] = 0
	}
}

// keepAtOnce is how many transactions are kept in one commit.
const keepAtOnce = 256

const gapReason = "the server has lost it, and this device cannot show that it was there"

// sides returns the places at both sides of the newest holes, as many as may be asked about.
func (info *SpaceInfo) sides() (places []space.Position) {
	for _, h := range info.Holes {
		if h.After.Seq > 0 && (len(places) == 0 || places[len(places)-1].Seq < h.After.Seq) {
			places = append(places, h.After)
		}
		if h.Until.Seq < info.Position.Seq {
			places = append(places, h.Until)
		}
	}
	return places[max(0, len(places)-wire.MaxPoints):]
}

// stretch returns where the records begin and end that are here in a row, the first of those that end behind a number.
func (info *SpaceInfo) stretch(id space.ID, after uint64) (from, to space.Position) {
	from = space.Start(id)
	for _, h := range info.Holes {
		if h.After.Seq > max(after, from.Seq) {
			return from, h.After
		}
		from = h.Until
	}
	return from, info.Position
}

// bridge goes on where the server does not have what a hole ends with.
func (r *Replica) bridge(s *spaceState, f *wire.Located) {
	if f.RecoveringMS > 0 {
		r.recoverLater(s, onlyDirection)
		return
	}
	*s.recovery = recovery{gap: true, fork: f.Common, modules: s.recovery.modules, upto: s.recovery.upto}
	r.keepFrom(s, f.Common.Seq)
}

// keepFrom goes on with the records behind a number: up to the last hole they are kept, and behind it judged anew.
func (r *Replica) keepFrom(s *spaceState, after uint64) {
	c := s.recovery
	c.from, c.to = s.info.stretch(s.id, after)
	c.keeps = c.to.Seq < s.info.Position.Seq || s.info.Position.Seal.IsZero()
	if c.stage = tracing; c.from.Seq == c.to.Seq { // nothing is behind the last hole
		c.points, c.piece = []space.Position{c.to}, 0
		r.afterPiece(s)
	}
}

// next returns where the piece ends that is read.
func (c *recovery) next() int {
	if c.keeps {
		return min(c.piece+keepAtOnce, len(c.points)-1)
	}
	return c.piece + 1
}

// keep has records stored among what the server does not have.
func (r *Replica) keep(s *spaceState, records []space.Record) {
	for len(records) > 0 {
		n := int(max(1, min(uint64(records[0].Count), uint64(len(records)))))
		r.refuseRecords(s, records[:n], &wire.Verdict{Code: wire.CodeUnproven, Reason: gapReason}, ByDevice)
		records = records[n:]
	}
	s.recovery.piece = s.recovery.next()
	r.keepPiece(s)
}

// bridgeRefused takes that the server knows no place of what is here, and reports whether that says nothing. A place without a seal is one that was had from
// the server, in a hole or in front of it: all of it is kept, and the server's log taken from its start. And a server of before judges nothing anew behind a hole.
func (r *Replica) bridgeRefused(s *spaceState, code wire.Code) bool {
	c := s.recovery
	switch {
	case code == wire.CodeUnproven && c.gap:
		r.recoverLater(s, onlyDirection)
	case code == wire.CodeDiverged && s.info.Position.Seal.IsZero():
		c.gap, c.fork = true, space.Start(s.id)
		r.keepFrom(s, 0)
	default:
		return false
	}
	return true
}

// forks has a part that moves the position go over to the server's branch, if that is to be.
func (s *spaceState) forks(part *SpaceCommit) {
	if s.switches() {
		fork := s.cursor()
		part.Fork = &fork
		if s.recovery.upto > part.Position.Seq { // until then some of what was here may be missing
			part.SetDamaged = &s.recovery.upto
		}
	}
}

// switchTo goes over to the server's branch, of which all is here.
func (r *Replica) switchTo(s *spaceState, at *space.Position) {
	s.pending.jump = at
	r.sync.dirty(r, s)
}

// goesBack reports whether the server has nothing of a space, and took nothing of what is here, so that it is made anew.
func (s *spaceState) goesBack() bool {
	return s.switches() && s.recovery.gap && s.recovery.fork.Seq == 0 && s.recovery.upto == 0
}
