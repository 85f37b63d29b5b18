package replica

import (
	"bytes"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

const (
	commitBytes  = 1 << 20 // of records in one commit, unless one frame alone is bigger
	commitSpaces = 256
	// rowCost is what a row costs a store beside its bytes, in bytes. A browser's worker hears nothing while it hands
	// the rows of a commit to IndexedDB, some 60 microseconds each: a commit of 1 MiB in small transactions would have
	// thousands, and has 128, which take it 8 ms.
	rowCost = 8 << 10
)

// syncLane makes durable what the server said: records, verdicts, the directory. Its commits are fenced by the
// epoch, relaxed (the server can say it again), and one at a time; what comes meanwhile gathers for the next.
type syncLane struct {
	pin     *[32]byte // the server's key, waiting to be pinned
	since   []byte    // the directory's cursor, to be stored once no insert is waiting
	inserts int       // inserts of spaces and modules of theirs that wait
	queue   []*spaceState
	pages   []*spaceState // with a page that fills a hole
	drops   []*spaceState // with records to be dropped

	inFlight *syncCommit
	retryAt  uint64 // after a failure; never: none
	failures int
	code     Code
	reason   string
}

// pending is what waits to be committed for one space, beside its feed's inbox.
type pending struct {
	queued        bool
	insert        *SpaceInfo
	setCreated    *bool
	setModule     digest.Digest // zero: as it is
	marks         []Mark
	rejects       []Rejection
	settle        []space.ULID
	dropWithdrawn []space.ULID
	deleted       bool            // the server said so
	touch         bool            // those who look at it are to look again
	jump          *space.Position // where a checkpoint is that the log goes on from
	sealed        *space.Position // the position, with the server's seal
	sound         *space.Position // nothing is damaged up to there, contrary to what was noted
	refuse        []RejectedRow   // what the server lost, and does not take back
	lost          []LostRow
}

// syncCommit is a commit under way, with what is needed to finish it.
type syncCommit struct {
	id         uint64
	generation uint64
	commit     *Commit
	pinned     bool
	spaces     []*spaceState // of commit.Spaces
	page       *spaceState   // the only one, if it is of a page
	drop       *spaceState   // likewise, if records are dropped
	sizes      []uint64      // credit that each part pays for
}

// add adds the part of a space, which pays for so much credit.
func (c *syncCommit) add(s *spaceState, part *SpaceCommit, size uint64) {
	c.commit.Spaces = append(c.commit.Spaces, *part)
	c.spaces = append(c.spaces, s)
	c.sizes = append(c.sizes, size)
	s.commits++
}

// credit returns what is to be paid back when the commit is over: nothing if that connection is.
func (c *syncCommit) credit(r *Replica) (credit uint64) {
	if c.generation == r.generation {
		for _, size := range c.sizes {
			credit += size
		}
	}
	return credit
}

func (l *syncLane) reset() { *l = syncLane{retryAt: never} }

// forgetFeeds drops what belonged to a connection that is gone.
func (l *syncLane) forgetFeeds() { l.pin = nil }

// full reports whether the device has no room for what the server says. Nothing is pushed then: the verdicts, and the
// records that would let rows leave the outbox, could not be stored. Receiving ends by itself, as no credit is granted.
func (l *syncLane) full() bool { return l.code == wire.CodeQuota }

func (l *syncLane) idle() bool {
	return l.inFlight == nil && len(l.queue)+len(l.pages)+len(l.drops) == 0
}

func (l *syncLane) dirty(r *Replica, s *spaceState) {
	if r.leads && !s.pending.queued {
		s.pending.queued = true
		l.queue = append(l.queue, s)
	}
}

func (l *syncLane) insert(r *Replica, s *spaceState, info *SpaceInfo) {
	if s.pending.insert == nil {
		l.inserts++
	}
	s.pending.insert = info
	if !s.known {
		s.known, s.info, s.loaded = true, *info, true
	}
	s.info.Created = true
	if s.info.Genesis == nil {
		s.info.Genesis, s.info.GenesisSignature = info.Genesis, info.GenesisSignature
	}
	l.dirty(r, s)
}

// underWay returns what the commit under way changes of a space, or nil.
func (l *syncLane) underWay(s *spaceState) *SpaceCommit {
	if l.inFlight != nil {
		for i, other := range l.inFlight.spaces {
			if other == s {
				return &l.inFlight.commit.Spaces[i]
			}
		}
	}
	return nil
}

func (l *syncLane) setSince(since []byte) { l.since = bytes.Clone(since) }

func (l *syncLane) setCreated(r *Replica, s *spaceState, created bool) {
	if s.info.Created != created || s.pending.setCreated != nil {
		s.info.Created = created
		s.pending.setCreated = &created
		l.dirty(r, s)
	}
}

// setModule notes which module judges a space now.
func (l *syncLane) setModule(r *Replica, s *spaceState, d digest.Digest) {
	if !d.IsZero() && d != s.info.CurrentModule() {
		s.info.Module = d
		l.keepModule(r, s, d)
		r.turned(s)
		if s.feed.asked {
			r.needModule(s)
		}
		r.changed(s)
	}
}

func (l *syncLane) keepModule(r *Replica, s *spaceState, d digest.Digest) {
	if s.pending.setModule.IsZero() {
		l.inserts++ // the directory's cursor waits for it, as it does for a space
	}
	s.pending.setModule = d
	l.dirty(r, s)
}

func (l *syncLane) mark(r *Replica, s *spaceState, e *entry) {
	mark := Mark{ID: e.ID, State: e.State, Position: e.Position, Code: e.Code, Reason: e.Reason}
	s.pending.marks = append(s.pending.marks, mark) // the last one of a row counts
	l.dirty(r, s)
}

func (l *syncLane) reject(r *Replica, s *spaceState, e *entry, code Code, reason string) {
	e.settling = true
	s.pending.rejects = append(s.pending.rejects, Rejection{ID: e.ID, Code: code, Reason: reason, By: ByServer, Lost: e.State == Accepted})
	l.dirty(r, s)
}

func (l *syncLane) settle(r *Replica, s *spaceState, e *entry) {
	e.settling = true
	s.pending.settle = append(s.pending.settle, e.ID)
	l.dirty(r, s)
}

func (l *syncLane) dropWithdrawn(r *Replica, s *spaceState, e *entry) {
	if !e.settling {
		e.settling = true
		s.pending.dropWithdrawn = append(s.pending.dropWithdrawn, e.ID)
		l.dirty(r, s)
	}
}

func (l *syncLane) advance(r *Replica) {
	if !r.leads || l.inFlight != nil && (l.retryAt == never || l.retryAt > r.now) {
		return
	}
	if l.inFlight != nil { // it failed: the same again, which is safe because it is conditional
		l.retryAt = never
		l.inFlight.id = r.commit(l.inFlight.commit)
		return
	}
	c := &syncCommit{generation: r.generation, commit: &Commit{Fenced: true, Epoch: r.meta.Epoch}}
	if l.pin != nil {
		c.commit.Server, c.commit.Strict, c.pinned = l.pin, true, true
		l.pin = nil
	} else {
		l.gather(r, c)
		if len(c.commit.Spaces) == 0 && c.commit.Since == nil {
			l.storePage(r, c)
			l.storeDrop(r, c)
		}
	}
	if c.pinned || len(c.commit.Spaces) > 0 || c.commit.Since != nil {
		c.id = r.commit(c.commit)
		l.inFlight = c
	}
}

// gather moves what waits into a commit, up to its bounds.
func (l *syncLane) gather(r *Replica, c *syncCommit) {
	var more []*spaceState // with something that did not fit
	total := 0
	for len(l.queue) > 0 && len(c.spaces) < commitSpaces && total < commitBytes {
		s := l.queue[0]
		l.queue = l.queue[1:]
		s.pending.queued = false
		if to := s.pending.jump; to != nil && !s.mayJump(to) { // what was being stored went past it
			s.pending.jump, s.feed.pausedAt = nil, 0
			if s.feed.asked { // what came meanwhile was passed over
				r.resubscribe(s)
			}
		}
		if s.pending.jump != nil {
			r.leaveInbox(s)
		} else if s.cut != nil {
			r.dropInbox(s) // what follows is asked for again, with what is below it
		} else {
			r.trimInbox(s)
		}
		part, size, credit := l.part(s, commitBytes-total)
		total += size
		if len(s.feed.inbox) > 0 || len(s.pending.marks) > 0 {
			more = append(more, s)
		}
		if part == nil {
			continue
		}
		c.add(s, part, credit)
	}
	for _, s := range more { // now, so that it is not in this commit twice
		l.dirty(r, s)
	}
	if l.since != nil && l.inserts == 0 {
		c.commit.Since, l.since = l.since, nil
	}
}

// part returns what waits for one space, its size, and the credit that its records pay for.
func (l *syncLane) part(s *spaceState, room int) (*SpaceCommit, int, uint64) {
	p := s.pending
	s.pending = pending{}
	if p.insert != nil {
		l.inserts--
	}
	if !p.setModule.IsZero() {
		l.inserts--
	}
	if p.deleted {
		l.inserts--
	}
	part := SpaceCommit{
		Space: s.id, Insert: p.insert, SetCreated: p.setCreated, SetModule: p.setModule, SetDeleted: p.deleted,
		DropWithdrawn: p.dropWithdrawn, Reject: p.rejects, Settle: p.settle, Refuse: p.refuse, Lost: p.lost,
	}
	if s.cut != nil {
		from := s.info.Position
		part.Expect, part.Position, part.Cut, part.SetDamaged = &from, s.cut, true, &from.Seq
	}
	s.jumpTo(p.jump, &part)
	if at := p.sealed; at != nil && s.cut == nil && part.Position == nil && *at == sealed(s.info.Position, at.Seal) && len(s.feed.inbox) == 0 {
		from := s.info.Position
		part.Expect, part.Position = &from, at
	}
	var credit uint64
	taken, size := 0, 0
	for ; taken < len(s.feed.inbox); taken++ {
		b := &s.feed.inbox[taken]
		cost := len(b.records) + rowCost*len(b.settle)
		if taken > 0 && size+cost > room {
			break
		}
		size += cost
		if taken == 0 {
			from := s.info.Position
			part.Expect, part.First = &from, b.first
			part.Records = b.records
		} else {
			part.Records = append(part.Records, b.records...)
		}
		position := b.position
		part.Last, part.Position = b.last, &position
		part.Settle = append(part.Settle, b.settle...)
		if !b.module.IsZero() {
			part.SetModule = b.module
		}
		credit += uint64(b.size)
	}
	if taken > 0 {
		s.forks(&part)
	}
	s.feed.inbox = s.feed.inbox[taken:]
	if len(s.feed.inbox) == 0 {
		s.feed.inbox = nil
	}
	sound := p.sound != nil && p.sound.Seq == s.info.Position.Seq
	if sound {
		part.Expect = p.sound // where tabs cannot take turns, another one may have given records up
	}
	if sound || part.Fork == nil && s.info.healing() && part.Position != nil && part.Position.Seq >= s.info.Damaged {
		part.SetDamaged = new(uint64)
	}
	settled := make(map[space.ULID]bool, len(part.Settle))
	for _, id := range part.Settle {
		settled[id] = true
	}
	for i, m := range p.marks {
		if settled[m.ID] {
			continue
		}
		if len(part.Mark) > 0 && size+rowCost > room {
			s.pending.marks = p.marks[i:]
			break
		}
		part.Mark = append(part.Mark, m)
		size += rowCost
	}
	if !p.touch && !p.deleted && part.Insert == nil && part.SetCreated == nil && part.SetModule.IsZero() && part.SetDamaged == nil && part.Position == nil && len(part.Records)+len(part.Settle)+len(part.Mark)+len(part.Reject)+len(part.DropWithdrawn)+len(part.Refuse)+len(part.Lost) == 0 {
		return nil, 0, 0
	}
	return &part, size, credit
}

// finish takes the outcome of the lane's commit.
func (l *syncLane) finish(r *Replica, in Committed) {
	c := l.inFlight
	if c.page != nil {
		if r.pageStored(c, &in); in.Err != nil {
			l.inFlight = nil
			c.page.commits--
			r.conn.credit += c.credit(r)
			return
		}
	}
	if c.drop != nil {
		r.dropEnded(c.drop)
		if in.Err != nil {
			l.inFlight = nil
			c.drop.commits--
			return
		}
	}
	if in.Err != nil {
		l.retryAt = r.now + min(uint64(retryFloor)<<min(l.failures, 5), backoffCeiling)
		l.failures++
		l.code, l.reason = wire.CodeStorageFailed, in.Err.Error()
		if in.Full {
			l.code = wire.CodeQuota
		}
		r.statusChanged()
		return
	}
	l.inFlight = nil
	if l.failures > 0 {
		l.failures, l.code, l.reason = 0, 0, ""
		r.appends.full = false
		r.statusChanged()
	}
	for _, s := range c.spaces {
		s.commits--
	}
	r.conn.credit += c.credit(r)
	if in.Result.Stale {
		l.stale(r, c, in.Result.Epoch)
		return
	}
	if c.pinned {
		r.meta.Server = *c.commit.Server
		if r.conn.phase == pinning && r.conn.server == r.meta.Server {
			r.startSync()
		}
	}
	if c.commit.Since != nil {
		r.meta.Since = c.commit.Since
	}
	for i, s := range c.spaces {
		l.applied(r, s, &c.commit.Spaces[i], in.Result.Versions[i])
	}
	r.statusChanged()
}

// applied brings memory to what a part of a commit made of the store.
func (l *syncLane) applied(r *Replica, s *spaceState, part *SpaceCommit, version uint64) {
	switch at := part.Position; {
	case part.Fork != nil:
		s.info.Move(part)
	case part.Drop != nil && version <= s.version: // a refresh has seen it and more
	case part.Cut, at != nil && at.Seq < s.info.Position.Seq: // see healed; a refresh has seen it and more
	case at != nil && at.Seq == s.info.Position.Seq: // with a seal, or seen by a refresh
		s.info.Position = *at
	default:
		s.info.Move(part)
	}
	r.recovered(s, part)
	s.known = true
	if !part.SetModule.IsZero() && s.pending.setModule.IsZero() {
		s.info.Module = part.SetModule
	}
	r.healed(s, part)
	if part.jumps() {
		r.jumped(s)
	}
	if len(part.Records) > 0 { // for which there is room last
		r.appends.full = false
	}
	older := version <= s.version // a refresh has seen it: rows that it found came back later
	for _, id := range part.Settle {
		position := s.info.Position
		if e := s.byID[id]; e != nil && e.last != 0 {
			position = s.at(e.last)
		}
		if !older {
			s.remove(id)
		}
		r.decide(s, id, Decided{Outcome: Synced, Position: position})
	}
	for _, rejection := range part.Reject {
		if s.remove(rejection.ID) {
			s.rejected++
			if s.refused != nil {
				s.refused[rejection.ID] = true
			}
			r.notify(Rejected{s.id, rejection.ID, rejection.Code, rejection.Reason})
		}
		r.decide(s, rejection.ID, Decided{Outcome: Refused, Code: rejection.Code, Reason: rejection.Reason})
	}
	if len(part.Lost) > 0 && !older {
		s.outdated = version // some may have been there
		r.refresh(s)
	}
	for _, id := range part.DropWithdrawn {
		s.remove(id)
		r.decide(s, id, Decided{Outcome: Discarded, Code: wire.CodeDiscarded})
	}
	s.sweep()
	r.lookForDoubtful(s)
	r.seen(s, version)
	r.heal(s) // what a check found may be of a position that this commit left behind
	if len(s.feed.inbox) > 0 {
		l.dirty(r, s)
	}
}

// stale finds out what somebody else changed: who leads, or where a space stands.
func (l *syncLane) stale(r *Replica, c *syncCommit, epoch uint64) {
	if epoch != r.meta.Epoch {
		r.out.StepDown = true
		r.follow()
		return
	}
	if c.pinned {
		r.drop(wire.CodeServerChanged, "another tab pinned another server")
		return
	}
	if c.commit.Since != nil {
		l.since = c.commit.Since
	}
	for i, s := range c.spaces {
		if part := &c.commit.Spaces[i]; part.Insert != nil {
			l.insert(r, s, part.Insert)
		}
		if part := &c.commit.Spaces[i]; !part.SetModule.IsZero() && len(part.Records) == 0 {
			l.keepModule(r, s, part.SetModule)
		}
		if c.commit.Spaces[i].SetDeleted {
			l.setDeleted(r, s)
		}
		// What this commit carried is lost to memory, not to the world: the records are asked for again, and pushing
		// everything again brings the verdicts again.
		s.feed.stale, s.cut = true, nil
		r.dropRecovery(s)
		s.push.rewind(1)
		r.dropInbox(s)
		for _, e := range s.entries {
			e.settling = false
		}
		r.refresh(s)
	}
}

// remove forgets a row of the outbox and reports whether it was there. Sweep must follow: taking rows out of a long
// outbox one by one would take forever.
func (s *spaceState) remove(id space.ULID) bool {
	_, ok := s.byID[id]
	delete(s.byID, id)
	return ok
}

func (s *spaceState) sweep() {
	if len(s.entries) != len(s.byID) {
		s.entries = slices.DeleteFunc(s.entries, func(e *entry) bool { return s.byID[e.ID] != e })
		s.outboxCount = len(s.entries)
	}
}
