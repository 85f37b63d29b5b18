package replica

import (
	"slices"

	"skerry/shared/space"
	"skerry/shared/wire"
)

// appendOperation is one thing that the app asked to make durable.
type appendOperation struct {
	ref         uint64
	space       space.ID
	insert      *SpaceInfo
	transaction *space.Transaction
	at          uint64
	refused     *Refusal
	retry       space.ULID
	discard     space.ULID
	discardLost space.ULID
	pin         *bool
	damaged     uint64
	forget      bool
	force       bool

	// Where the space stood when this was asked for, and on which branch: no record of it is in front of that.
	from, branch uint64
}

func (o *appendOperation) size() int {
	n := rowCost
	if o.transaction != nil {
		n += o.transaction.Size()
	}
	return n
}

// appendLane makes durable what the user did: strict commits without a fence, one at a time; what comes meanwhile
// gathers for the next, so that many small appends cost one flush of the disk. A commit whose outcome the store could
// not tell is made again, which is harmless, before anything that came later.
type appendLane struct {
	waiting  []appendOperation
	inFlight *appendCommit
	retryAt  uint64 // after such a failure; never: none
	failures int
	reason   string
	closing  bool
	full     bool   // the last commit failed for want of room
	wanted   int    // so much would have to find room for the device to be full no more
	lookAt   uint64 // when it is tried whether it does, while full
	single   int    // so many operations are stored one by one, to find out which of them the device has room for
}

// lookForRoom is how often it is tried whether there is room again on a device that is full.
const lookForRoom = 30_000

type appendCommit struct {
	id     uint64
	commit *Commit
	// operations of each part of commit.Spaces: those that get keys in the order in which they get them, the rest
	// behind them.
	operations [][]appendOperation
	undurable  int
}

func (r *Replica) append(o appendOperation) {
	if s := r.spaces[o.space]; s != nil {
		o.from, o.branch = s.info.Position.Seq, s.info.Branch
	}
	r.appends.waiting = append(r.appends.waiting, o)
	r.statusChanged()
}

// openSpace notes that somebody looks at a space, and makes sure that the store knows it.
func (r *Replica) openSpace(in Open) {
	s := r.space(in.Space)
	if !s.open {
		s.open = true
		r.looks++
	}
	if !r.leads {
		r.out.Looking = append(r.out.Looking, s.id)
	}
	r.pull(s)
	if !s.known {
		r.append(appendOperation{ref: in.Ref, space: in.Space, insert: &SpaceInfo{Position: space.Start(in.Space)}})
		return
	}
	if !s.loaded {
		r.refresh(s)
	}
	r.notify(Durable{in.Ref})
}

func (l *appendLane) advance(r *Replica) {
	if l.inFlight != nil && (l.retryAt <= r.now || l.closing && l.retryAt != never) {
		l.retryAt = never
		l.inFlight.id = r.commit(l.inFlight.commit)
	}
	if l.inFlight == nil && len(l.waiting) == 0 && l.full && l.lookAt <= r.now && !l.closing {
		l.inFlight = &appendCommit{commit: &Commit{Room: l.wanted}}
		l.inFlight.id = r.commit(l.inFlight.commit)
	}
	if l.inFlight != nil || len(l.waiting) == 0 {
		return
	}
	c := &appendCommit{commit: &Commit{Strict: true}}
	parts := make(map[space.ID]int)
	total, taken := 0, 0
	for ; taken < len(l.waiting); taken++ {
		o := &l.waiting[taken]
		if taken > 0 && (l.single > 0 || o.forget || l.waiting[taken-1].forget || total+o.size() > commitBytes) {
			break
		}
		total += o.size()
		i, ok := parts[o.space]
		if !ok {
			if len(parts) == commitSpaces {
				break
			}
			i = len(c.commit.Spaces)
			parts[o.space] = i
			c.commit.Spaces = append(c.commit.Spaces, SpaceCommit{Space: o.space})
			c.operations = append(c.operations, nil)
		}
		o.addTo(&c.commit.Spaces[i], r.stamp(o.space))
		c.operations[i] = append(c.operations[i], *o)
		if o.transaction != nil {
			c.undurable++
		}
	}
	l.waiting = l.waiting[taken:]
	l.single = max(l.single-taken, 0)
	if len(l.waiting) == 0 {
		l.waiting = nil
	}
	for i := range c.commit.Spaces {
		r.space(c.commit.Spaces[i].Space).commits++
	}
	c.id = r.commit(c.commit)
	l.inFlight = c
}

// stamp returns the stamp of a space that this identity made, zero for others.
func (r *Replica) stamp(id space.ID) space.ULID {
	if s := r.spaces[id]; s != nil && s.info.Genesis != nil && r.mine(s.info.Genesis.Creator) {
		return s.info.Genesis.Stamp
	}
	return space.ULID{}
}

// addTo adds what the operation changes to the commit's part for its space.
func (o *appendOperation) addTo(part *SpaceCommit, stamp space.ULID) {
	if o.insert != nil && (part.Insert == nil || part.Insert.Genesis == nil) {
		part.Insert = o.insert
	}
	switch {
	case o.refused != nil:
		part.Refuse = append(part.Refuse, RejectedRow{
			ID: o.transaction.ID(), Transaction: *o.transaction, AppendedAt: o.at,
			Code: o.refused.Code, Reason: o.refused.Reason, By: ByPreview,
		})
	case o.transaction != nil:
		t := o.transaction
		part.Append = append(part.Append, OutboxRow{
			Entry:       Entry{ID: t.ID(), Stamp: stamp, Author: t.Author, Size: t.Size(), AppendedAt: o.at},
			Transaction: *t,
		})
	case o.retry != space.ULID{}:
		part.Retry = append(part.Retry, o.retry)
	case o.discard != space.ULID{}:
		part.Withdraw = append(part.Withdraw, o.discard)
		part.Discard = append(part.Discard, o.discard)
	case o.discardLost != space.ULID{}:
		part.DiscardLost = append(part.DiscardLost, o.discardLost)
	case o.pin != nil:
		part.SetPinned = o.pin // the last one counts
	case o.damaged > 0:
		part.SetDamaged = &o.damaged
	case o.forget:
		part.Forget, part.Force = true, o.force
	}
}

// wakeAt returns when there is something to do.
func (l *appendLane) wakeAt() uint64 {
	if l.full && l.inFlight == nil {
		return min(l.retryAt, l.lookAt)
	}
	return l.retryAt
}

func (l *appendLane) finish(r *Replica, in Committed) {
	c := l.inFlight
	r.statusChanged()
	if in.Err != nil && !in.Full && in.Final == 0 && !l.closing {
		l.retryAt = r.now + min(uint64(retryFloor)<<min(l.failures, 5), backoffCeiling)
		l.failures++
		l.reason = in.Err.Error()
		return
	}
	l.inFlight, l.failures = nil, 0
	for i := range c.commit.Spaces {
		r.space(c.commit.Spaces[i].Space).commits--
	}
	l.full = in.Full
	if in.Full && l.divide(c) {
		return
	}
	if in.Full {
		// Nothing need ever be appended again that would show that there is room.
		l.wanted, l.lookAt = max(c.size(), c.commit.Room), r.now+lookForRoom
	}
	if in.Err != nil || in.Result.Stale {
		l.failed(r, c, in)
		return
	}
	keys := in.Result.Keys
	for i := range c.commit.Spaces {
		part := &c.commit.Spaces[i]
		n := len(part.Append) + len(part.Retry)
		l.applied(r, part, c.operations[i], keys[:n], in.Result.Versions[i])
		keys = keys[n:]
	}
}

func (c *appendCommit) size() (n int) {
	for _, operations := range c.operations {
		for i := range operations {
			n += operations[i].size()
		}
	}
	return n
}

// divide makes the operations of a commit that the device has no room for wait again, to be stored one by one: what
// there is room for must not fail because of what came with it. It reports whether there is more than one.
func (l *appendLane) divide(c *appendCommit) bool {
	var all []appendOperation
	for _, operations := range c.operations {
		all = append(all, operations...)
	}
	if len(all) < 2 {
		return false
	}
	l.single = len(all)
	l.waiting = append(all, l.waiting...)
	return true
}

// failed tells everybody who waits for a commit that it will not be.
func (l *appendLane) failed(r *Replica, c *appendCommit, in Committed) {
	failed := Failed{Code: wire.CodeNotDurable, Reason: "the store refused the commit as stale"}
	if in.Err != nil {
		failed = Failed{Code: wire.CodeStorageFailed, Reason: in.Err.Error()}
		switch {
		case in.Full:
			failed.Code = wire.CodeQuota
		case in.Final != 0:
			failed.Code = in.Final
		}
	}
	for _, operations := range c.operations {
		for i := range operations {
			o := &operations[i]
			failed.Ref = o.ref
			if o.forget && in.Err == nil {
				failed = Failed{Ref: o.ref, Code: wire.CodeBadArgument, Reason: unsentReason}
			}
			r.notify(failed)
			if s := r.space(o.space); o.transaction != nil && s.sought[o.transaction.ID()] {
				r.refresh(s) // who else asked for it is told that there is no trace of it
			}
		}
	}
}

// applied brings memory to what a part of a commit made of the store, and tells who asked.
func (l *appendLane) applied(r *Replica, part *SpaceCommit, operations []appendOperation, keys []uint64, version uint64) {
	s := r.space(part.Space)
	if part.Forget {
		r.forgotten(s)
		r.seen(s, version)
		r.notify(Durable{operations[0].ref})
		return
	}
	older := version <= s.version                                                         // a refresh has seen it, and perhaps more
	overtaken := slices.ContainsFunc(s.ahead, func(v uint64) bool { return v > version }) // its rows were read by push, and may have left again
	if part.SetPinned != nil && !older {
		s.info.Pinned = *part.SetPinned
		r.watchIdle()
	}
	if part.SetDamaged != nil && !older {
		s.info.SetDamaged(part.SetDamaged)
		r.heal(s)
		r.statusChanged()
	}
	if part.Insert != nil && s.known {
		s.info.Merge(part.Insert) // it was known by its ID alone
	}
	if part.Insert != nil && !s.known {
		s.known, s.loaded = true, true
		s.info = *part.Insert
		if part.SetPinned != nil {
			s.info.Pinned = *part.SetPinned
		}
		older = false
	}
	r.pull(s)
	if version > s.version+1 && !older {
		s.unsure = true
	}
	next := 0
	for i := range operations {
		o := &operations[i]
		if o.refused != nil {
			r.notify(Durable{o.ref})
			r.refusedHere(s, o, version)
			continue
		}
		if o.transaction != nil {
			key := keys[next]
			next++
			r.watch(s, o.transaction.ID(), o)
			r.found(s, o.transaction.ID())
			if key != 0 && !older && !overtaken && s.byID[o.transaction.ID()] == nil {
				s.appended(r, key, o)
			} else {
				s.outdated = version
			}
		}
		if o.retry != (space.ULID{}) || o.discard != (space.ULID{}) || o.discardLost != (space.ULID{}) {
			s.outdated = version
			if o.retry != (space.ULID{}) {
				r.watch(s, o.retry, o)
			}
		}
		r.notify(Durable{o.ref})
	}
	r.seen(s, version)
	if s.outdated > 0 || !s.loaded {
		r.refresh(s)
	}
	r.changed(s)
	r.wantPush(s)
}

// refusedHere notes that a transaction is among the rejected, and tells so. Where the outbox had it, it still does.
func (r *Replica) refusedHere(s *spaceState, o *appendOperation, version uint64) {
	id := o.transaction.ID()
	r.watch(s, id, o)
	if version != s.version+1 || !s.loaded || s.byID[id] != nil || s.refused[id] {
		s.outdated = version
		return
	}
	if s.rejected++; s.refused != nil {
		s.refused[id] = true
	} else if s.rejected > 1 {
		s.outdated = version // it may have been among them
	}
	r.notify(Rejected{s.id, id, o.refused.Code, o.refused.Reason})
	r.decide(s, id, Decided{Outcome: Refused, Code: o.refused.Code, Reason: o.refused.Reason})
}

// watchFor looks for a transaction, wherever it may be, and makes its outcome be told.
func (r *Replica) watchFor(in Watch) {
	s := r.space(in.Space)
	if s.watched == nil {
		s.watched = make(map[space.ULID]uint64)
	}
	if s.sought == nil {
		s.sought = make(map[space.ULID]bool)
	}
	s.watched[in.ID] = 0
	s.sought[in.ID] = true
	if !r.appends.has(in.Space, in.ID) { // else its commit tells
		r.refresh(s)
	}
}

// has reports whether a transaction is on its way to the store.
func (l *appendLane) has(id space.ID, transaction space.ULID) bool {
	is := func(o *appendOperation) bool {
		return o.space == id && o.transaction != nil && o.transaction.ID() == transaction
	}
	for i := range l.waiting {
		if is(&l.waiting[i]) {
			return true
		}
	}
	if l.inFlight != nil {
		for _, operations := range l.inFlight.operations {
			for i := range operations {
				if is(&operations[i]) {
					return true
				}
			}
		}
	}
	return false
}

// watch makes the outcome of a transaction be told, which an operation stored. Another tab may have synced it, and gone past its records, before this one
// hears that it is stored.
func (r *Replica) watch(s *spaceState, id space.ULID, o *appendOperation) {
	if s.watched == nil {
		s.watched = make(map[space.ULID]uint64)
	}
	if s.watched[id] = 0; s.info.Branch == o.branch {
		s.watched[id] = min(o.from, s.info.Position.Seq)
	}
}

// appended adds a row that this tab has just made durable.
func (s *spaceState) appended(r *Replica, key uint64, o *appendOperation) {
	t := o.transaction
	if !s.loaded {
		return
	}
	e := &entry{Entry: Entry{Key: key, ID: t.ID(), Stamp: r.stamp(s.id), Author: t.Author, Size: t.Size(), AppendedAt: o.at}}
	p := &s.push
	// The bytes are at hand: if all rows before this one are read ahead or pushed, this one is next, and no read needed.
	contiguous := !s.hasRows() || len(p.rows) > 0 && p.rows[len(p.rows)-1].Key == s.entries[len(s.entries)-1].Key
	if contiguous && !s.unsure && s.outdated == 0 && !p.reading && p.bytes < rowBytes && r.conn.phase == online {
		p.rows = append(p.rows, OutboxRow{Entry: e.Entry, Transaction: *t})
		p.bytes += e.Size
	}
	s.add(e)
	if p.unknown && upgrades(t) {
		r.delay(s, r.now) // it may be what is waited for
	}
}

func (s *spaceState) add(e *entry) {
	if s.byID == nil {
		s.byID = make(map[space.ULID]*entry)
	}
	s.entries = append(s.entries, e)
	s.byID[e.ID] = e
	s.outboxCount = len(s.entries)
}
