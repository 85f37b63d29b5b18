package replica

import (
	"skerry/shared/space"
	"skerry/shared/wire"
)

// This file is about spaces that were deleted for everybody. What is stored here stays, to be read and exported, until
// somebody has it forgotten. Whatever waits to be sent ends among the rejected.

const deletedReason = "the space was deleted; what is on this device stays until you have it forgotten"

// spaceDeleted takes the server's word that a space was deleted.
func (r *Replica) spaceDeleted(s *spaceState) {
	if !s.info.Deleted {
		s.info.Deleted = true
		r.sync.setDeleted(r, s)
		r.changed(s)
		r.statusChanged()
	}
	r.wantPush(s)
}

func (l *syncLane) setDeleted(r *Replica, s *spaceState) {
	if !s.pending.deleted {
		l.inserts++ // the directory's cursor waits for it, as it does for a space
	}
	s.pending.deleted = true
	l.dirty(r, s)
}

// refuseWaiting moves what waits for a space that was deleted to the rejected, once no records of it and no verdicts are to come.
func (r *Replica) refuseWaiting(s *spaceState) {
	if !r.leads || s.feed.asked || s.outboxCount == 0 {
		return
	}
	if !s.loaded {
		r.loadSoon(s)
		return
	}
	for _, e := range s.entries {
		switch {
		case e.inFlight || e.settling:
		case e.State == Withdrawn:
			r.sync.dropWithdrawn(r, s, e)
		case e.State == Waiting:
			r.sync.reject(r, s, e, wire.CodeDeleted, "the space was deleted")
		}
	}
}

const unsentReason = "some of it was never sent, and would be lost: export or discard it, or force this"

// forget has all that the store has of a space deleted. Whether there is something that was never sent the store says, which
// also has what another tab has just written.
func (r *Replica) forget(in Forget) {
	s := r.space(in.Space)
	fail := func(code Code, reason string) { r.notify(Failed{Ref: in.Ref, Code: code, Reason: reason}) }
	switch {
	case !s.known:
		fail(wire.CodeNoSuchSpace, "there is nothing of it on this device")
	case !s.info.Deleted:
		fail(wire.CodeBadArgument, "only a space that was deleted is forgotten")
	default:
		r.append(appendOperation{ref: in.Ref, space: s.id, forget: true, force: in.Force})
	}
}

// forgotten brings memory to what the store has of a space: nothing.
func (r *Replica) forgotten(s *spaceState) {
	for _, e := range s.entries {
		r.decide(s, e.ID, Decided{Outcome: Discarded, Code: wire.CodeDiscarded})
	}
	s.known, s.loaded, s.info = false, true, SpaceInfo{Position: space.Start(s.id)}
	s.entries, s.byID, s.outboxCount, s.rejected, s.lost, s.refused = nil, nil, 0, 0, 0, nil
	s.pending, s.problem, s.reason = pending{queued: s.pending.queued}, 0, ""
	r.changed(s)
	r.statusChanged()
}
