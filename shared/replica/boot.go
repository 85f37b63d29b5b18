package replica

import (
	"skerry/shared/space"
	"skerry/shared/wire"
)

// This file is about spaces of which little is here and that have a long log. The tab that leads does not pull what the server's
// newest checkpoint stands for: it fetches the checkpoint, and then takes the position to the checkpoint's, without the records
// before it. The log comes from there on; a [Hole] is left, and filled where somebody reads (history.go). The chain is the one that the
// checkpoint's root names, which the server compares with its own when it is asked to go on from there, as with any position.
//
// What was pulled stays. Nothing is left out of a log that was caught up with on the connection: a busy one runs ahead of what is stored here, and
// those who look at it see all of it. A space of which less is missing than bootAfter says is pulled whole, and so is one that is being mended: what was
// here is to be here again without a network.

const (
	// bootAfter is how many records a checkpoint is ahead of what is here, at least, for those before it to be left out, unless configured.
	bootAfter = 10_000
	// bootPause is how long the log waits for a checkpoint at most that is to take its place, in milliseconds.
	bootPause = 60_000
)

// far reports whether the log up to the server's checkpoint is to be left out.
func (r *Replica) far(s *spaceState) bool {
	at := s.cursor().Seq
	if s.feed.asked {
		at = max(at, s.feed.verified.Seq)
	}
	switch {
	case !r.leads, s.told.Seq <= at, s.cut != nil, s.info.Deleted, s.recovery != nil && !(s.switches() && s.feed.gone):
		return false
	case s.feed.gone: // also one that is being mended: the server has no more
		return true
	case s.feed.live, s.info.Damaged > 0, s.told.Seq < at+r.config.BootAfter:
		return false
	}
	for _, e := range s.entries {
		if e.State == Withdrawn && e.sent {
			return false // whether it is in the log is told by its records
		}
	}
	return true
}

// joins reports whether what is here of the log is known to be of the one that the server has. What is not may be all that is left of
// what the server lost.
func (s *spaceState) joins() bool { return s.info.Position.Seq == 0 || s.feed.answered || s.feed.gone }

// boot has the checkpoint of a space fetched to begin there, if most of its log is not here, and reports whether that is under way.
func (r *Replica) boot(s *spaceState) bool {
	if r.conn.phase != online || !s.joins() || !r.far(s) || !r.pulls(s) {
		return false
	}
	if s.told.State == CheckpointStored && s.place.Seq == s.told.Seq {
		return r.jump(s)
	}
	r.wantCheckpoint(WantCheckpoint{Space: s.id, Missing: true})
	if s.told.State != CheckpointFetching {
		return false
	}
	if s.feed.asked && s.feed.pausedAt > 0 && !s.feed.boots { // what is on its way is in the checkpoint
		s.feed.boots = true
		r.leaveInbox(s)
		s.feed.verified = s.info.Position
	}
	return true
}

// leaveInbox drops what was received and does not come again: rows whose records are in it settle by the server's word that it has them. Those that were not
// pushed since their records were on the way are pushed for it.
func (r *Replica) leaveInbox(s *spaceState) {
	for i := range s.feed.inbox {
		for _, id := range s.feed.inbox[i].settle {
			if e := s.byID[id]; e != nil && !e.said && !e.inFlight {
				s.push.rewind(e.Key)
				r.wantPush(s)
			}
		}
	}
	r.dropInbox(s)
}

func (s *spaceState) unsettle(b *batch) {
	for _, id := range b.settle {
		if e := s.byID[id]; e != nil {
			e.settling = false
		}
	}
}

// jump takes the space to the checkpoint that is in the store, if that is to be, and reports whether it does.
func (r *Replica) jump(s *spaceState) bool {
	if s.place.Seq != s.told.Seq || !s.joins() || !r.far(s) {
		return false
	}
	if !s.loaded {
		r.loadSoon(s) // the rows decide, see far
		return false
	}
	if s.pending.jump == nil {
		place := s.place
		s.pending.jump = &place
		s.feed.boots = true // until it is subscribed to from there, or from here if it is given up
		r.sync.dirty(r, s)
	}
	return true
}

// jumpTo adds the jump that waits to a part, if it leads forward still.
func (s *spaceState) jumpTo(to *space.Position, part *SpaceCommit) {
	if to == nil || !s.mayJump(to) {
		return
	}
	from := s.info.Position
	part.Expect, part.Position = &from, to
	s.forks(part)
	for _, e := range s.entries {
		if e.leftOut(to.Seq) {
			e.settling = true
			part.Settle = append(part.Settle, e.ID)
		}
	}
}

// mayJump reports whether a place is one that the space may be taken to without records: behind where it stands, or the end of the server's branch, which it
// goes over to.
func (s *spaceState) mayJump(to *space.Position) bool {
	at := s.cursor().Seq
	return s.cut == nil && (to.Seq > at || to.Seq == at && s.switches())
}

// leftOut reports whether the records of e are in the log up to a record, and not on their way. What the server said on an earlier
// connection it may have lost since.
func (e *entry) leftOut(seq uint64) bool {
	return e.State == Accepted && e.said && !e.settling && e.Position.Seq <= seq
}

// settleLeftOut lets the rows go whose records were left out.
func (r *Replica) settleLeftOut(s *spaceState) {
	if len(s.info.Holes) == 0 {
		return
	}
	for _, e := range s.entries {
		if e.leftOut(s.stored()) {
			r.sync.settle(r, s, e)
		}
	}
}

// jumps reports whether the part leaves out records.
func (sc *SpaceCommit) jumps() bool {
	return sc.Position != nil && !sc.Cut && len(sc.Records) == 0 && sc.Expect != nil && (sc.Fork != nil || sc.Position.Seq > sc.Expect.Seq)
}

// jumped goes on with the log behind a checkpoint.
func (r *Replica) jumped(s *spaceState) {
	s.feed.gone, s.feed.pausedAt, s.feed.retryAt = false, 0, 0
	r.settleLeftOut(s)
	if s.feed.asked {
		r.resubscribe(s)
	} else {
		r.pull(s)
	}
	r.statusChanged()
}

// unjump takes a space back to where it was before a checkpoint, if the server does not know that one and nothing follows on it here, and
// reports whether it does. The checkpoint was of another log, or the server has lost what was in it: all of the log is pulled then.
func (r *Replica) unjump(s *spaceState) bool {
	n := len(s.info.Holes)
	if n == 0 || s.info.Holes[n-1].Until.Seq != s.info.Position.Seq || s.info.Damaged > 0 || s.info.Holes[n-1].After.Seq > 0 && !s.info.Position.Seal.IsZero() {
		return false
	}
	if s.place.Seq == s.info.Position.Seq {
		s.untrue, s.told, s.place = s.told.Root, ServerCheckpoint{}, space.Position{}
		r.notify(CheckpointChanged{s.id})
	}
	r.dropRecovery(s) // there is nothing to bring
	s.cut = &s.info.Holes[n-1].After
	r.sync.dirty(r, s)
	return true
}

// resumeGone takes it from the server that the records behind the position have expired there, which it says of positions of its own
// log only: what was being brought on an earlier connection somebody has brought. The outbox stays as it is.
func (r *Replica) resumeGone(s *spaceState) {
	if !s.switches() {
		r.dropRecovery(s)
	}
	s.feed.gone = true
	s.reason = wire.CodeResumeGone.String()
	// It is asked again until there is a checkpoint and it was fetched.
	s.feed.retryAt = r.now + min(uint64(retryFloor)<<min(s.feed.unknown, 5), backoffCeiling) + r.random(retryFloor)
	s.feed.unknown++
	r.delay(s, s.push.retryAt)
	r.boot(s)
}
