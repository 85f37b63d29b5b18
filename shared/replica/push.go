package replica

import (
	"slices"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

const (
	pushBytes      = 256 << 10 // of transactions in one push, unless one alone is bigger
	pushCount      = 256       // transactions in one push
	rowBytes       = 1 << 20   // of transactions read ahead for one space
	genesesAtOnce  = 8         // spaces being created at the same time
	loadsAtOnce    = 16        // outboxes being read at the same time
	retryFloor     = 1_000     // after a deferral that names no time, milliseconds
	retryCeiling   = 60_000
	restFrom       = 500 // rows in an outbox from which on it is not read with every change,
	restRows       = 10  // but after a millisecond for so many rows, or four times what it took
	pushOverhead   = 256 // more than a push's frame takes beside its transactions and genesis
	perTransaction = 32  // more than the encoding adds to a transaction's own bytes
	perEvent       = 24
)

// pushState is where pushing one space stands on this connection.
type pushState struct {
	n        uint64 // of the last push
	after    uint64 // rows up to this key have been pushed on this connection
	rows     []OutboxRow
	bytes    int // of rows
	reading  bool
	readTo   uint64 // the last row that memory had when the read began
	inFlight []pushed
	resume   bool          // the next push clears a deferral
	retryAt  uint64        // after a deferral
	blocked  bool          // waits for the next connection: what it needs cannot change on this one
	genesis  bool          // a genesis is under way
	missing  digest.Digest // the module that the server put it off for
	upgrade  digest.Digest // the module that a transaction names which was put off last
	failures int           // deferrals in a row that named no time
	unknown  bool          // it waits for another module
	turns    int           // how often there was another one on this connection
	sentAt   int           // the same, when what was put off last was sent
	queued   bool          // in Replica.pushQueue; the two below likewise for the lists of spaces to create

	creating, creatingEmpty, delayed bool
}

// pushed is one push without an answer.
type pushed struct {
	n       uint64
	ids     []space.ULID
	rows    []OutboxRow // what it carried, and what was passed over
	bytes   uint64
	genesis bool
	turns   int // pushState.turns then
}

// upgrade returns the module that a transaction of the push names, zero if it is none that does.
func (p *pushed) upgrade(id space.ULID) (name digest.Digest) {
	for i := range p.rows {
		if t := &p.rows[i].Transaction; p.rows[i].ID == id && upgrades(t) {
			name, _ = module.UpgradeTo(t.Events[0].Payload)
		}
	}
	return name
}

// wantPush gives a space a turn to push, or to be created first.
func (r *Replica) wantPush(s *spaceState) {
	switch {
	case s.info.Deleted:
		r.refuseWaiting(s)
	case r.conn.phase != online:
	case s.creates() && s.outboxCount > 0:
		if !s.push.creating {
			s.push.creating = true
			r.toCreate = append(r.toCreate, s)
		}
	case s.creates():
		if !s.push.creatingEmpty {
			s.push.creatingEmpty = true
			r.toCreateEmpty = append(r.toCreateEmpty, s)
		}
	default:
		r.pull(s) // also one that has a turn already: perhaps it had nothing to push then
		if !s.push.queued {
			s.push.queued = true
			r.pushQueue = append(r.pushQueue, s)
		}
	}
}

// delay gives a space a turn later, at the time at.
func (r *Replica) delay(s *spaceState, at uint64) {
	s.push.retryAt = at
	if !s.push.delayed {
		s.push.delayed = true
		r.delayed = append(r.delayed, s)
	}
	r.delayedAt = min(r.delayedAt, max(s.push.retryAt, s.feed.retryAt))
}

// loadSoon reads what the store has of a space, when its turn comes.
func (r *Replica) loadSoon(s *spaceState) {
	if !s.queued {
		s.queued = true
		r.toLoad = append(r.toLoad, s)
	}
}

// loadSome reads spaces that nobody waits for, a few at a time.
func (r *Replica) loadSome() {
	for len(r.toLoad) > 0 && r.loading < loadsAtOnce {
		s := r.toLoad[0]
		r.toLoad = r.toLoad[1:]
		s.queued = false
		if !s.loading {
			s.loading = true
			r.loading++
			r.refresh(s)
		}
	}
}

// hasRows reports whether there is a row to push on this connection still.
func (s *spaceState) hasRows() bool {
	return len(s.entries) > 0 && s.entries[len(s.entries)-1].Key > s.push.after
}

// outside reports whether the server has said that s may not be read. It may be written to: so people become members.
func (s *spaceState) outside() bool {
	return s.problem == wire.CodeForbidden || s.problem == wire.CodeLeft
}

// mayPush reports whether anything but the window and the limit on creation holds s back.
func (r *Replica) mayPush(s *spaceState) bool {
	p := &s.push
	switch {
	case !s.loaded, s.unsure, s.outdated > 0, s.problem != 0 && !s.outside(), s.info.Deleted, p.blocked, p.genesis, p.retryAt > r.now:
		return false
	case p.resume && len(p.inFlight) > 0:
		return false // their answers are behind; what they carried is pushed again with what was deferred
	case s.creates():
		return true
	case !s.exists() || s.info.Position.Seq > 0 && !s.feed.answered && !s.outside():
		return false // first the server has to show that it is on the same branch, as it does to who may not read, too
	}
	return s.hasRows()
}

// advancePushes gives spaces their turns until the window is full or nothing is left.
func (r *Replica) advancePushes() {
	if r.conn.phase != online || r.sync.full() {
		return
	}
	r.endDelays()
	r.createSome()
	for len(r.pushQueue) > 0 {
		s := r.pushQueue[0]
		if r.mayPush(s) {
			switch r.pushOne(s) {
			case again: // others first
				r.pushQueue = append(r.pushQueue[1:], s)
				continue
			case later:
				return
			}
		}
		r.pushQueue = r.pushQueue[1:]
		s.push.queued = false
	}
}

// endDelays gives those their turn whose time has come.
func (r *Replica) endDelays() {
	if r.delayedAt > r.now {
		return
	}
	r.delayedAt = never
	r.delayed = slices.DeleteFunc(r.delayed, func(s *spaceState) bool {
		if at := max(s.push.retryAt, s.feed.retryAt); at > r.now {
			r.delayedAt = min(r.delayedAt, at)
			return false
		}
		s.push.retryAt, s.push.delayed = 0, false
		if s.feed.retryAt > 0 {
			s.feed.retryAt = 0
			r.pull(s)
		}
		r.wantPush(s)
		return true
	})
}

type turn uint8

const (
	done  turn = iota // nothing to do until something happens to this space
	again             // it made a push and may make another
	later             // it waits for the window
)

// pushOne sends at most one push of s.
func (r *Replica) pushOne(s *spaceState) turn {
	p := &s.push
	creates := s.creates()
	if s.hasRows() && len(p.rows) == 0 {
		if !p.reading {
			p.reading, p.readTo = true, s.entries[len(s.entries)-1].Key
			if creates {
				r.createReading = append(r.createReading, s)
			}
			r.out.ReadRows = append(r.out.ReadRows, ReadRowsEffect{s.id, p.after, rowBytes})
		}
		return done
	}
	if most := r.conn.limits.Subscriptions; p.n == 0 && most > 0 && r.conn.pushedSpaces >= most {
		r.conn.turnedAway = true
		return done // the server keeps state for so many spaces on a connection; the next one takes the others
	}
	s.turn = r.generation
	frame := wire.Push{Space: s.id, N: p.n + 1, Resume: p.resume}
	sent := pushed{n: p.n + 1, genesis: creates, turns: p.turns}
	size := pushOverhead
	if creates {
		frame.Genesis, frame.GenesisSignature = s.info.Genesis, s.info.GenesisSignature
		size += len(frame.Genesis.Params) + len(frame.Genesis.Creator)
	}
	taken, after := 0, p.after
	first := r.upgradeAwaited(s)
	if first >= 0 {
		row := &p.rows[first]
		size += row.Size + perTransaction + perEvent
		frame.Transactions, sent.ids = append(frame.Transactions, row.Transaction), append(sent.ids, row.ID)
	}
	for taken < len(p.rows) && len(sent.ids) < pushCount {
		row := &p.rows[taken]
		e := s.byID[row.ID]
		if e == nil || taken == first || e.inFlight && upgrades(&row.Transaction) || e.State == Withdrawn || e.settling || !r.proven(row.Transaction.Author) {
			if e != nil && e.State == Waiting && !r.proven(row.Transaction.Author) {
				e.Code = wire.CodeAuthRequired
			}
			taken, after = taken+1, row.Key
			continue
		}
		more := row.Size + perTransaction + perEvent*len(row.Transaction.Events)
		if len(sent.ids) > 0 && size+more > pushBytes {
			break
		}
		if r.conn.unanswered > 0 && r.conn.unanswered+uint64(size+more) > r.conn.limits.PushWindow {
			break
		}
		size += more
		frame.Transactions = append(frame.Transactions, row.Transaction)
		sent.ids = append(sent.ids, row.ID)
		taken, after = taken+1, row.Key
	}
	if len(sent.ids) == 0 && !creates {
		blocked := taken < len(p.rows)
		p.drop(taken, after)
		if blocked {
			return later
		}
		if s.hasRows() {
			return again
		}
		return done
	}
	message := wire.Append(make([]byte, 0, size), &frame)
	if r.conn.unanswered > 0 && r.conn.unanswered+uint64(len(message)) > r.conn.limits.PushWindow {
		return later
	}
	sent.bytes, sent.rows = uint64(len(message)), p.rows[:taken:taken]
	if first >= taken {
		sent.rows = append(sent.rows, p.rows[first])
	}
	r.conn.unanswered += sent.bytes
	r.out.Send = append(r.out.Send, message)
	for _, id := range sent.ids {
		e := s.byID[id]
		e.inFlight, e.sent = true, true
	}
	p.drop(taken, after)
	if p.n == 0 {
		r.conn.pushedSpaces++
	}
	p.n, p.resume = p.n+1, false
	p.inFlight = append(p.inFlight, sent)
	if creates {
		p.genesis = true
		r.creationInFlight++
		if len(sent.ids) > 0 {
			r.creationRows++
		}
		return done // what follows waits for the genesis's verdict
	}
	return again
}

// drop forgets the first n rows read ahead: they were pushed or need not be.
func (p *pushState) drop(n int, after uint64) {
	for i := range n {
		p.bytes -= p.rows[i].Size
	}
	p.rows, p.after = p.rows[n:], after
	if len(p.rows) == 0 {
		p.rows = nil
	}
}

// rewind makes the rows from key on be pushed again.
func (p *pushState) rewind(key uint64) {
	if key <= p.after {
		p.after, p.rows, p.bytes = key-1, nil, 0
	}
}

func (r *Replica) rowsRead(in RowsRead) {
	s := r.spaces[in.Space]
	if s == nil {
		return
	}
	p := &s.push
	r.createReading = slices.DeleteFunc(r.createReading, func(other *spaceState) bool { return other == s })
	if !p.reading {
		return
	}
	p.reading = false
	if in.After != p.after {
		r.wantPush(s) // of an earlier connection: these rows are not the next ones any more
		return
	}
	if in.Err != nil {
		r.delay(s, r.now+retryFloor)
		s.problemOnce(wire.CodeStorageFailed, in.Err.Error())
		return
	}
	if len(in.Rows) == 0 && s.hasRows() {
		// The store had fewer rows than memory: they were settled meanwhile. Pass over them, but not over what was
		// appended since the read, and read again.
		p.after = max(p.after, p.readTo)
		r.refresh(s)
		return
	}
	for i := range in.Rows {
		row := &in.Rows[i]
		if s.byID[row.ID] == nil && row.Key > p.readTo && (len(s.entries) == 0 || row.Key > s.entries[len(s.entries)-1].Key) {
			s.add(&entry{Entry: row.Entry, sent: true}) // another tab appended it: to pass over it would break the order
		}
		p.rows = append(p.rows, *row)
		p.bytes += row.Size
	}
	r.wantPush(s)
}

// problemOnce notes why a space does not get on, without stopping it.
func (s *spaceState) problemOnce(code Code, reason string) {
	for _, e := range s.entries {
		if e.State == Waiting {
			e.Code, e.Reason = code, reason
			return
		}
	}
}

// pushed takes the verdicts of one push.
func (r *Replica) pushed(f *wire.Pushed) {
	s := r.spaces[f.Space]
	if s == nil || len(s.push.inFlight) == 0 || s.push.inFlight[0].n != f.N || len(s.push.inFlight[0].ids) != len(f.Verdicts) ||
		s.push.inFlight[0].genesis != (f.Genesis != nil) {
		r.drop(wire.CodeBadServerMessage, "verdicts came for a push that was not made")
		return
	}
	p := &s.push
	sent := p.inFlight[0]
	p.inFlight = slices.Delete(p.inFlight, 0, 1)
	r.conn.unanswered -= sent.bytes
	r.lastSync = r.now
	genesisFailed, deferred := false, false
	if sent.genesis {
		p.genesis = false
		r.creationInFlight--
		if len(sent.ids) > 0 {
			r.creationRows--
		}
		genesisFailed = !r.genesisVerdict(s, f.Genesis)
	}
	for i, id := range sent.ids {
		e := s.byID[id]
		if e == nil || !e.inFlight {
			continue // its records came first
		}
		e.inFlight = false
		v := &f.Verdicts[i]
		switch v.Kind {
		case wire.Accepted, wire.Duplicate:
			p.failures = 0
			r.accepted(s, e, v.Position)
		case wire.Rejected:
			p.failures = 0
			if v.Code == wire.CodeDeleted {
				r.spaceDeleted(s)
			}
			if e.State == Withdrawn {
				r.sync.dropWithdrawn(r, s, e)
			} else if e.State == Waiting || s.feed.caughtUp { // what it accepted once it has lost, or its records were here
				r.sync.reject(r, s, e, v.Code, v.Reason)
			} else {
				p.rewind(e.Key)
				r.delay(s, r.now+retryFloor)
			}
		case wire.Deferred:
			if e.State == Withdrawn && (genesisFailed || v.Code == wire.CodeUnknownSpace || s.feed.caughtUp) {
				r.sync.dropWithdrawn(r, s, e) // else an earlier connection's push of it may be in the log
			}
			p.upgrade, p.sentAt = sent.upgrade(id), sent.turns
			r.deferred(s, e, v, genesisFailed || deferred)
			deferred = true
		default:
			r.drop(wire.CodeBadServerMessage, "a verdict is of no known kind")
			return
		}
	}
	r.wantPush(s)
	r.changed(s)
	r.statusChanged()
}

// accepted notes that the server has a transaction, durably.
func (r *Replica) accepted(s *spaceState, e *entry, at space.Position) {
	r.moduleTaken(s)
	e.State, e.Position, e.Code, e.Reason, e.said = Accepted, at, 0, "", true
	r.conn.setup = false
	if s.outside() { // perhaps not any more, by what was written
		s.problem, s.reason = 0, ""
		r.pull(s)
	}
	r.decide(s, e.ID, Decided{Outcome: Synced, Position: at})
	if at.Seq <= s.stored() {
		r.sync.settle(r, s, e) // its records are stored here already
	} else {
		r.sync.mark(r, s, e)
	}
}

// deferred notes that nothing was decided on a transaction, and plans to push it again. When it is explained
// already, by the one before it or by the genesis, its own code says nothing new.
func (r *Replica) deferred(s *spaceState, e *entry, v *wire.Verdict, explained bool) {
	p := &s.push
	p.rewind(e.Key)
	p.resume = true
	if explained || v.Code == wire.CodeBehind {
		return
	}
	if e.Code != v.Code && e.State == Waiting {
		e.Code, e.Reason = v.Code, v.Reason
		r.sync.mark(r, s, e)
	}
	if v.Code == wire.CodeUnknownSpace && s.info.Position.Seq > 0 && s.info.Genesis != nil {
		r.recover(s)
	} else if v.Code == wire.CodeUnknownSpace && s.info.Genesis != nil {
		r.sync.setCreated(r, s, false) // it is sent again at once, with its genesis
		return
	}
	r.holdBack(s, v)
}

// holdBack decides when a deferred space tries again.
func (r *Replica) holdBack(s *spaceState, v *wire.Verdict) {
	p := &s.push
	r.conn.setup = r.conn.setup || v.Code == wire.CodeSetupRequired
	if v.Code == wire.CodeModuleMissing && s.info.Created && !p.upgrade.IsZero() {
		r.moduleMissing(s, p.upgrade) // the server judged by the one before
	} else if v.Code == wire.CodeModuleMissing {
		r.moduleMissing(s, s.module())
	}
	switch p.unknown = awaitsModule(v.Code); {
	case p.unknown && p.sentAt != p.turns: // there is another one since
		r.delay(s, r.now)
	case v.Code == wire.CodeRecovering: // it may be over sooner
		r.delay(s, r.now+min(v.RetryAfterMS, recoverRetry)+r.random(retryFloor))
	case v.RetryAfterMS > 0:
		r.delay(s, r.now+v.RetryAfterMS)
	case v.Code == wire.CodeAuthRequired:
		p.blocked = true
	default:
		r.delay(s, r.tryAgainAt(p.failures))
		p.failures++
	}
}

// decide tells the outcome of a transaction that this tab appended, once.
func (r *Replica) decide(s *spaceState, id space.ULID, d Decided) {
	if _, ok := s.watched[id]; !ok {
		return
	}
	delete(s.watched, id)
	delete(s.sought, id)
	delete(s.doubtful, id)
	d.Space, d.ID = s.id, id
	r.notify(d)
}

// pushWakeAt returns when pushing has something to do again without anything happening.
func (r *Replica) pushWakeAt() uint64 {
	if r.conn.phase != online || r.sync.full() {
		return never
	}
	wake := r.delayedAt
	if len(r.toCreate)+len(r.toCreateEmpty) > 0 && r.creationRetryAt > r.now {
		wake = min(wake, r.creationRetryAt)
	}
	return wake
}
