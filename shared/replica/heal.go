package replica

import (
	"skerry/shared/space"
	"skerry/shared/wire"
)

// This file is about records stored here that cannot be read any more. Whoever finds out notes it in the store, for all
// tabs and later ones. The tab that leads looks for itself how far what is stored is whole, takes the space back to
// there, and lets the server send the rest again. It does so only when the server has just shown that it has all that
// the replica should have: until then nothing is deleted, as much of it may be readable still.

// damaged notes in the store that something of a space cannot be read.
func (r *Replica) damaged(in Damaged) {
	s := r.spaces[in.Space]
	if s == nil || s.info.Damaged > 0 || s.info.Position.Seq == 0 {
		return
	}
	r.append(appendOperation{space: s.id, damaged: s.info.Position.Seq})
}

// healing reports whether records of s were given up and are being fetched again.
func (info *SpaceInfo) healing() bool { return info.Damaged > info.Position.Seq }

// heal begins to mend a space in which something is damaged, once the server is known to have it all.
func (r *Replica) heal(s *spaceState) {
	if s.info.Damaged == 0 || !r.leads {
		return
	}
	r.pull(s)
	if s.mayBeCut() && !s.checking && s.drop.to == nil {
		s.checking = true
		r.out.Check = append(r.out.Check, s.id)
	}
}

// mayBeCut reports whether records of s may be given up: the server has shown on this connection that it has them. Of a space that is about to go over to
// another branch it has shown those of that.
func (s *spaceState) mayBeCut() bool {
	return s.info.Damaged > 0 && !s.info.healing() && s.feed.answered && s.cut == nil && !s.switches()
}

// checked decides from where on the records of a space are fetched again.
func (r *Replica) checked(in Checked) {
	s := r.spaces[in.Space]
	if s == nil || !s.checking {
		return
	}
	s.checking = false
	switch {
	case !r.leads || !s.mayBeCut():
	case in.Err != nil || in.Damaged && in.Sound.Seq >= s.info.Position.Seq || !in.Damaged && in.Sound.Seq != s.info.Position.Seq:
		r.readAgain(s)
	case !in.Damaged:
		s.pending.sound = &in.Sound
		r.sync.dirty(r, s)
	default:
		sound := in.Sound
		s.cut = &sound
		// Of rows that were about to leave the outbox, those stay whose records do not.
		settle := s.pending.settle
		s.pending.settle = nil
		for _, id := range settle {
			if e := s.byID[id]; e == nil || e.Position.Seq <= sound.Seq {
				s.pending.settle = append(s.pending.settle, id)
			} else {
				e.settling = false
				r.sync.mark(r, s, e)
			}
		}
		r.sync.dirty(r, s)
	}
}

// Checkable returns the spaces whose records may be looked through for damage now: the server has shown that it has
// them, nothing of them is on its way, and no damage is known.
func (r *Replica) Checkable() []space.ID {
	var ids []space.ID
	for _, s := range r.spaces {
		if r.leads && s.feed.caughtUp && s.info.Position.Seq > 0 && s.info.Damaged == 0 && !s.checking {
			ids = append(ids, s.id)
		}
	}
	sortIDs(ids)
	return ids
}

// stored returns up to where the records of s are here, and will be.
func (s *spaceState) stored() uint64 {
	if s.cut != nil {
		return s.cut.Seq
	}
	return s.cursor().Seq
}

// healed notes what a commit of sync made of the damage, and what is known again.
func (r *Replica) healed(s *spaceState, part *SpaceCommit) {
	if part.Cut {
		s.cut = nil
		r.dropRecovery(s)
		if s.problem == wire.CodeRecovering || s.problem == wire.CodeDiverged { // where it stood before
			s.problem, s.reason = 0, ""
		}
		s.info.Move(part)
		s.info.SetDamaged(part.SetDamaged)
		r.resubscribe(s)
		return
	}
	if part.SetDamaged != nil {
		s.info.SetDamaged(part.SetDamaged)
		if len(s.watched) > 0 {
			r.refresh(s) // what could not be decided before
		}
	}
}
