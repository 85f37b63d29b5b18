package replica

import (
	"slices"

	"skerry/shared/space"
	"skerry/shared/wire"
)

// This file is about which spaces are kept up to date. A replica may know thousands; the server tells only of those
// that somebody looks at, in this tab or in another one, that are pinned, or that have transactions in the outbox. What
// was stored of the others stays and can be read. Their rows in the directory go on telling that they are there.

// Times of looking at spaces, in milliseconds.
const (
	idleEvery  = 30_000 // how often subscriptions are looked at that may not be needed any more: the second look ends them
	lookEvery  = 20_000 // how often a tab says again what it looks at
	lookLasts  = 60_000 // how long such a word of another tab holds
	surveyAll  = 60_000 // how often all versions are compared, for tabs of a version that numbers no changes
	rotateFrom = 10_000 // how old a connection is at least that is given up for spaces that it has no room for
)

// held reports whether s is pulled whatever happens, unless somebody asks for something else.
func (r *Replica) held(s *spaceState) bool { return r.config.PullAll || s.open || s.info.Pinned }

// pulls reports whether s is to be kept up to date now.
func (r *Replica) pulls(s *spaceState) bool {
	return r.held(s) || s.outboxCount > 0 || s.lookedUntil > r.now || len(s.doubtful) > 0 || s.info.Damaged > 0 || s.switches()
}

// pull subscribes to a space that is to be kept up to date and is not yet.
func (r *Replica) pull(s *spaceState) {
	if !s.feed.asked && s.feed.retryAt == 0 && r.pulls(s) {
		r.subscribe([]*spaceState{s})
	}
}

// closeSpace notes that nobody looks at a space in this tab any more.
func (r *Replica) closeSpace(in Close) {
	if s := r.spaces[in.Space]; s != nil && s.open {
		s.open = false
		r.looks--
		r.watchIdle()
	}
}

// pin makes it durable that a space is to be kept up to date, or not.
func (r *Replica) pin(in Pin) {
	o := appendOperation{ref: in.Ref, space: in.Space, pin: &in.Pinned}
	if !r.space(in.Space).known {
		o.insert = &SpaceInfo{Position: space.Start(in.Space)}
	}
	r.append(o)
}

// looking notes what another tab looks at.
func (r *Replica) looking(in Looking) {
	for _, id := range in.Spaces {
		s := r.space(id)
		s.lookedUntil = r.now + lookLasts
		r.pull(s)
	}
}

// advanceLooking says again what this tab looks at: another one may have begun to sync, or missed it. One that syncs
// itself needs nobody to know.
func (r *Replica) advanceLooking() {
	if !r.leads && r.looks > 0 && r.lookAt <= r.now {
		r.tellLooking()
	}
}

func (r *Replica) tellLooking() {
	r.lookAt, r.out.Looking = r.now+lookEvery, nil
	for _, s := range r.spaces {
		if s.open {
			r.out.Looking = append(r.out.Looking, s.id)
		}
	}
	sortIDs(r.out.Looking)
}

// watchIdle has subscriptions looked at in a while, some of which may not be needed then.
func (r *Replica) watchIdle() { r.idleAt = min(r.idleAt, r.now+idleEvery) }

// advanceIdle ends the subscriptions that nothing needed at this look and at the one before.
func (r *Replica) advanceIdle() {
	if r.conn.phase != online || r.idleAt > r.now {
		return
	}
	r.idleAt = never
	var idle []space.ID
	for _, s := range r.spaces {
		f := &s.feed
		switch {
		case !f.asked || r.held(s):
			f.idle = false
		case r.pulls(s) || !f.idle:
			f.idle = !r.pulls(s)
			r.watchIdle()
		default:
			idle = append(idle, s.id)
		}
	}
	sortIDs(idle)
	for _, id := range idle {
		r.unsubscribed(r.spaces[id])
		r.changed(r.spaces[id])
	}
	for some := range slices.Chunk(idle, subscribeAtOnce) {
		r.send(&wire.Unsubscribe{Spaces: some})
	}
	if r.conn.crowded { // there may be room now
		r.conn.crowded = false
		for _, s := range r.sorted() {
			r.pull(s)
		}
	}
}

// unsubscribed notes that nothing more comes of s but what is on its way. What came already is stored.
func (r *Replica) unsubscribed(s *spaceState) {
	f := &s.feed
	if f.asked {
		r.conn.subscriptions--
	}
	f.asked, f.answered, f.caughtUp, f.live, f.idle, f.again, f.crossed = false, false, false, false, false, true, false
}

// advanceRotation gives up a connection on which the server takes no further spaces, when it has answered everything:
// those that had no room come first on the next one.
func (r *Replica) advanceRotation() {
	c := &r.conn
	if c.phase != online || !c.turnedAway || c.since+rotateFrom > r.now || c.unanswered > 0 || !r.sync.idle() {
		return
	}
	r.hangup("the other spaces have their turn")
	r.ended(0)
}
