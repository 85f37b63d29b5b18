package hub

import (
	"slices"

	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/wire"
)

const (
	upgradeKept   = 60_000 // how long what was prepared waits for somebody who wants it, in ms
	upgradeRetry  = 2_000  // after which somebody else's upgrade may be tried again, in ms
	heldRetry     = 250    // after which a push may be that came during a hold, in ms
	upgradeRounds = 8      // before a space that grows faster than it can be caught up with is held all the same
)

// upgrade is a space on its way to another module. The push that asks for it is out of the queue while the tables are made
// beside the pipeline, and with it what its connection pushes behind it: others go on meanwhile. Then others are deferred
// for a while, in which the tables are brought to the end of the log, and the push is judged.
type upgrade struct {
	work        *program.Upgrade // the shell's while ref is not 0
	ref         uint64
	rounds      int                // that were begun
	push        *push              // nil while nobody waits: who comes for the same goes on here
	transaction *space.Transaction // of push
	parked      bool               // push is out of the queue,
	behind      []*push            // and these are too
	hold        bool               // other pushes are deferred
	forgetAt    uint64             // while nobody waits; 0: not known yet
}

// prepare judges an upgrade as far as that needs no work. It returns the zero verdict when the tables are there for the
// module to be asked finally, and reports false when they have to be made: then the push is parked.
func (s *Space) prepare(p *push, t *space.Transaction) (v wire.Verdict, ok bool) {
	work, verdict, err := s.tables.Upgrade(module.Caller{Identity: t.Author}, t.Records(s.tip.Seq+1, s.tip.ReceivedAt))
	switch {
	case s.losing(err):
		return wire.Verdict{}, false
	case err != nil:
		return refuse(wire.CodeOverloaded, "the module could not be run"), true
	case !verdict.Allowed():
		return refuse(verdict.Code, verdict.Reason), true
	}
	if u := s.upgrade; u != nil && u.push == nil && !u.work.Same(work) {
		s.endUpgrade() // who is here goes before who may come again
	}
	u := s.upgrade
	if u == nil {
		u = &upgrade{work: work}
		s.upgrade = u
	} else if u.push != nil && u.push != p || !u.work.Same(work) {
		v := refuse(wire.CodeUpgrading, "another upgrade of the space is being prepared")
		v.RetryAfterMS = upgradeRetry
		return v, true
	}
	u.push, u.transaction = p, t
	if u.ref == 0 && u.rounds > 0 {
		switch verdict, err := u.work.Result(); {
		case s.losing(err):
			s.endUpgrade()
			return wire.Verdict{}, false
		case err != nil:
			s.endUpgrade()
			return refuse(wire.CodeOverloaded, "the upgrade could not be prepared"), true
		case !verdict.Allowed():
			s.endUpgrade()
			return refuse(verdict.Code, verdict.Reason), true
		case u.work.Left(s.tip.Seq) == 0:
			s.tables.Adopt(u.work)
			return wire.Verdict{}, true
		}
	}
	s.park()
	return wire.Verdict{}, false
}

// park takes the push in front of those that are not judged out of the queue, and what its connection pushed behind it.
func (s *Space) park() {
	u := s.upgrade
	u.parked = true
	kept, looked := s.queue[:s.judged], s.looked
	for i, q := range s.queue[s.judged:] {
		switch {
		case q.peer != u.push.peer:
			kept = append(kept, q)
			continue
		case q != u.push:
			u.behind = append(u.behind, q)
		}
		q.known = nil
		if s.judged+i < looked {
			s.looked--
		}
	}
	clear(s.queue[len(kept):])
	s.queue = kept
}

// unpark puts back into the queue what is out of it.
func (s *Space) unpark(at int) {
	if u := s.upgrade; u != nil && u.parked {
		s.queue = slices.Insert(s.queue, at, append([]*push{u.push}, u.behind...)...)
		u.parked, u.behind = false, nil
	}
}

// held reports whether a push is deferred since the space is on its way to another module.
func (s *Space) held(p *push) bool { return s.upgrade != nil && s.upgrade.hold && s.upgrade.push != p }

// advanceUpgrade begins what is to be done next for an upgrade.
func (s *Space) advanceUpgrade(now uint64) {
	u := s.upgrade
	switch {
	case u == nil || u.ref != 0:
		return
	case u.push == nil:
		s.keepUpgrade(now)
		return
	case !u.parked:
		return // it is in the queue, to be judged
	case u.rounds == 0:
		s.runUpgrade()
		return
	}
	verdict, err := u.work.Result()
	left := u.work.Left(s.tip.Seq)
	switch {
	case err != nil || !verdict.Allowed():
		s.unpark(s.looked)
	case left == 0:
		u.hold = true // nothing comes in between
		s.unpark(s.looked)
	case left > uint64(s.config.HeldRecords) && u.rounds < upgradeRounds:
		s.runUpgrade()
	default:
		if u.hold = true; s.head == s.tip {
			s.runUpgrade()
		}
	}
}

// runUpgrade has the tables made that the space would have now.
func (s *Space) runUpgrade() {
	u := s.upgrade
	u.rounds++
	u.ref = s.ref()
	s.tables.Place(u.work, s.head.Seq)
	s.out.Prepare = &Prepare{Ref: u.ref, Work: u.work}
}

// prepared takes the shell's answer to Prepare.
func (s *Space) prepared(in Prepared) {
	u := s.upgrade
	if u == nil || in.Ref != u.ref {
		in.Work.Close() // the space was forgotten meanwhile
		return
	}
	u.ref = 0
	if in.Failed {
		u.work.Fail()
	}
	if verdict, err := u.work.Result(); u.push == nil && (err != nil || !verdict.Allowed()) {
		s.endUpgrade() // it is told to nobody, and may be otherwise next time
	}
}

// keepUpgrade ends an upgrade that nobody has wanted for a while.
func (s *Space) keepUpgrade(now uint64) {
	u := s.upgrade
	if u.forgetAt == 0 {
		u.forgetAt = now + upgradeKept
	}
	if now >= u.forgetAt {
		s.endUpgrade()
		return
	}
	s.out.WakeAt = u.forgetAt
}

// leaveUpgrade takes the push from an upgrade: it was answered, or its connection is gone. The work goes on.
func (s *Space) leaveUpgrade() {
	u := s.upgrade
	u.push, u.transaction, u.parked, u.behind, u.hold, u.forgetAt = nil, nil, false, nil, false, 0
}

// endUpgrade drops an upgrade, unless its work is under way.
func (s *Space) endUpgrade() {
	if s.upgrade.ref != 0 {
		s.leaveUpgrade()
		return
	}
	s.upgrade.work.Close()
	s.upgrade = nil
}

// upgradeAnswered notes a verdict. What was deferred comes again.
func (s *Space) upgradeAnswered(v *wire.Verdict) {
	if v.Kind == wire.Deferred {
		s.leaveUpgrade()
	} else {
		s.endUpgrade()
	}
}

// disconnectUpgrade lets go of a push whose connection is gone: what of it was judged is finished, the rest dropped.
func (s *Space) disconnectUpgrade(p *peer) {
	u := s.upgrade
	if u == nil || u.push == nil || u.push.peer != p {
		return
	}
	if u.parked {
		p.pushes -= len(u.behind)
		s.queue = slices.Insert(s.queue, s.judged, u.push)
		s.judged++
		s.looked++
	}
	s.leaveUpgrade()
}
