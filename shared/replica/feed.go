package replica

import (
	"bytes"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// badLimit is how often records may fail to hash to their position, at one position, before the space stops.
const badLimit = 2

// subscribeAtOnce is how many subscriptions travel in one frame.
const subscribeAtOnce = 256

// feedState is where receiving one space stands on this connection.
type feedState struct {
	asked    bool           // subscribed
	answered bool           // the server showed that it knows the position
	caughtUp bool           // nothing was behind when the server last said so
	live     bool           // caught up with once since it was subscribed to: those who look see all that comes
	access   Access         // whether this identity may read
	joined   bool           // the directory has said so while records were still coming of the time before it left
	again    bool           // subscribed more than once: frames of the earlier cursor may come still
	crossed  bool           // such frames may be of the server's branch, which this space did not go over to after all
	verified space.Position // after the last record received, stored or not
	inbox    []batch        // received, not handed to a commit yet
	retryAt  uint64         // when to subscribe again
	unknown  int            // how often the server did not know the space, or failed, since it was caught up with
	idle     bool           // nothing needed it when it was last looked at
	gone     bool           // the server does not have what follows on the position any more
	boots    bool           // what comes nevertheless is passed over, since it is in that checkpoint
	pausedAt uint64         // since when nothing more is sent, as a checkpoint comes first; 0: it is not so
	stale    bool           // the store stands elsewhere than memory thought: read it, then subscribe again

	badAt uint64 // where records did not hash to their position, and how often
	bad   int
}

// batch is what one frame of records brought.
type batch struct {
	records     []byte // in wire encoding
	first, last uint64
	position    space.Position
	size        int // of the message, to be paid back as credit
	settle      []space.ULID
	module      digest.Digest // that the space went over to last in these records; zero: to none
}

// subscribe asks for the records of those of spaces that are to be kept up to date and that the server is believed to
// have.
func (r *Replica) subscribe(spaces []*spaceState) {
	if r.conn.phase != online {
		return
	}
	var frame wire.Subscribe
	flush := func() {
		if len(frame.Subscriptions) > 0 {
			r.send(&frame)
			frame.Subscriptions = nil
		}
	}
	for _, s := range spaces {
		f, paused := &s.feed, false
		if !s.known || !s.exists() || s.problem != 0 || s.info.Deleted {
			continue
		}
		r.dropInbox(s) // it comes again
		if !f.asked && !r.pulls(s) {
			continue // one that was asked for goes on until it is ended: what was dropped would be missing
		}
		if !f.asked && s.info.Position.Seq == 0 && r.boot(s) {
			f.pausedAt = r.now // it is asked for from where the checkpoint is
			paused = true
		}
		if !f.asked {
			if most := r.conn.limits.Subscriptions; most > 0 && r.conn.subscriptions >= most {
				r.conn.crowded = true
				r.watchIdle() // others make room
				continue
			}
			r.conn.subscriptions++
		}
		if !r.held(s) {
			r.watchIdle()
		}
		r.needModule(s)
		f.idle = false
		f.again = f.again || f.asked
		f.asked, f.answered, f.caughtUp = true, false, false
		f.verified = s.cursor()
		if paused {
			continue
		}
		f.pausedAt, f.boots = 0, s.pending.jump != nil
		frame.Subscriptions = append(frame.Subscriptions, wire.Subscription{Space: s.id, Position: f.verified})
		if len(frame.Subscriptions) == subscribeAtOnce {
			flush()
		}
	}
	flush()
}

// resubscribe drops what was received and not stored, and continues from what is stored.
func (r *Replica) resubscribe(s *spaceState) {
	r.subscribe([]*spaceState{s})
}

func (r *Replica) dropInbox(s *spaceState) {
	for i := range s.feed.inbox {
		r.conn.credit += uint64(s.feed.inbox[i].size)
		s.unsettle(&s.feed.inbox[i]) // a checkpoint may take the place of its records
	}
	s.feed.inbox = nil
}

// trimInbox drops what another tab has stored meanwhile. If what is left does not follow on what is stored, it is
// asked for again.
func (r *Replica) trimInbox(s *spaceState) {
	stored := s.cursor().Seq
	for len(s.feed.inbox) > 0 && s.feed.inbox[0].last <= stored {
		r.conn.credit += uint64(s.feed.inbox[0].size)
		s.unsettle(&s.feed.inbox[0])
		s.feed.inbox = s.feed.inbox[1:]
		r.settleLeftOut(s)
	}
	if len(s.feed.inbox) > 0 && s.feed.inbox[0].first != stored+1 {
		r.dropInbox(s)
		r.resubscribe(s)
	}
}

// events takes the records of one frame, if they follow on what is held and hash to the position that came along.
func (r *Replica) events(f *wire.Events, size int) {
	s := r.spaces[f.Space]
	if s == nil || !s.feed.asked || s.problem != 0 || s.feed.boots {
		r.conn.credit += uint64(size)
		return
	}
	feed := &s.feed
	records := f.Records
	for len(records) > 0 && records[0].Seq <= feed.verified.Seq {
		records = records[1:] // an earlier cursor of this connection brought it already
	}
	if len(records) == 0 || feed.again && records[0].Seq > feed.verified.Seq+1 {
		r.conn.credit += uint64(size)
		return
	}
	chain := feed.verified.Chain
	b := batch{first: records[0].Seq, size: size, position: f.Position}
	for i := range records {
		record := &records[i]
		if record.Seq != feed.verified.Seq+1+uint64(i) {
			r.badChain(s)
			return
		}
		chain = space.Chain(chain, record)
		b.records = wire.AppendRecord(b.records, record)
		if record.Type == module.TypeModule {
			b.module, _ = module.UpgradeTo(record.Payload)
			r.wantModule(b.module)
			r.turned(s)
		}
		if e := s.byID[record.ID]; record.Index == 0 && e != nil {
			e.settling, e.last = true, record.Seq+uint64(record.Count-1)
			b.settle = append(b.settle, record.ID)
		} else if record.Index == 0 && r.mine(record.Author) {
			b.settle = append(b.settle, record.ID)
		}
	}
	last := &records[len(records)-1]
	b.last = last.Seq
	if feed.crossed && chain != f.Position.Chain {
		s.unsettle(&b)
		r.conn.credit += uint64(size)
		return
	}
	if chain != f.Position.Chain || last.Seq != f.Position.Seq || !last.Last() {
		r.badChain(s)
		return
	}
	feed.answered, feed.access = true, AccessGiven
	feed.verified = f.Position
	feed.inbox = append(feed.inbox, b)
	feed.bad = 0
	r.lastSync = r.now
	r.heal(s)
	r.sync.dirty(r, s)
	r.boot(s)
	r.wantPush(s)
}

// badChain stops listening to a server whose records do not hash to their position, and stops the space when it
// happens again at the same place. What is stored stays.
func (r *Replica) badChain(s *spaceState) {
	at := s.feed.verified.Seq
	if s.feed.badAt != at {
		s.feed.badAt, s.feed.bad = at, 0
	}
	s.feed.bad++
	if s.feed.bad >= badLimit {
		s.problem, s.reason = wire.CodeBadChain, "the server's records do not hash to their position"
		r.changed(s)
	}
	r.drop(wire.CodeBadChain, "the server's records of "+s.id.String()+" do not hash to their position")
}

func (r *Replica) caughtUp(f *wire.CaughtUp) {
	s := r.spaces[f.Space]
	if s == nil || !s.feed.asked || f.Position.Seq != s.feed.verified.Seq || s.feed.crossed && f.Position.Chain != s.feed.verified.Chain {
		return // of an earlier cursor
	}
	s.feed.answered, s.feed.caughtUp, s.feed.again, s.feed.access, s.feed.unknown = true, true, false, AccessGiven, 0
	s.feed.crossed = false
	s.feed.live = true
	if s.switches() && len(s.feed.inbox) == 0 { // the server's branch has nothing behind what is here of it
		r.switchTo(s, &f.Position)
	}
	if s.info.Position.Seal.IsZero() && f.Position.Seq > 0 && f.Position == sealed(s.info.Position, f.Position.Seal) {
		s.pending.sealed = &f.Position // of a checkpoint, which has none: with it the server can be held to what it had
		r.sync.dirty(r, s)
	}
	if s.outboxCount == 0 {
		r.moduleTaken(s)
	}
	r.lastSync = r.now
	r.heal(s)
	r.dropWithdrawn(s, false)
	r.lookForDoubtful(s)
	r.wantPush(s)
	r.changed(s)
	r.statusChanged()
}

// dropWithdrawn deletes the rows that were discarded, as far as it is known that the server does not have them: they
// were never pushed (where no server's key is pinned nothing ever was), or everything that earlier connections brought it has come back (absent: it does not even have the
// space), or nobody will ever ask the server. Until then a discarded row may yet turn out to be in the log, which makes it synced.
func (r *Replica) dropWithdrawn(s *spaceState, absent bool) {
	if !r.leads {
		return
	}
	absent = absent || s.feed.caughtUp || !r.config.Sync || r.meta.Server == [32]byte{}
	for _, e := range s.entries {
		if e.State == Withdrawn && !e.inFlight && (!e.sent || absent) {
			r.sync.dropWithdrawn(r, s, e)
		}
	}
}

func (r *Replica) subscriptionEnded(f *wire.Ended) {
	s := r.spaces[f.Space]
	if s == nil || !s.feed.asked {
		return
	}
	again := s.feed.again
	if f.Code != wire.CodeDeleted && f.Code != wire.CodeLeft { // else what came is the last of it, and never comes again
		r.dropInbox(s)
	}
	r.unsubscribed(s)
	s.feed.again = again // nothing more is on its way
	if f.Code == wire.CodeUnknownSpace && s.goesBack() {
		start := space.Start(s.id)
		r.switchTo(s, &start)
		return
	}
	if s.switches() && f.Code != wire.CodeResumeGone {
		s.recovery = nil // what it was to go over to is not there any more
	}
	r.dropWithdrawn(s, f.Code == wire.CodeUnknownSpace)
	switch {
	case f.Code == wire.CodeUnknownSpace && s.info.Position.Seq > 0 && s.info.Genesis != nil:
		s.problem, s.reason = wire.CodeRecovering, ""
		r.recover(s)
	case f.Code == wire.CodeUnknownSpace && s.info.Genesis != nil:
		r.sync.setCreated(r, s, false)
		r.wantPush(s)
	case f.Code == wire.CodeUnknownSpace:
		s.reason = f.Code.String()
		// Whoever made it may be offline for months, or be syncing at this moment.
		s.feed.retryAt = r.now + min(uint64(retryFloor)<<min(s.feed.unknown, 5), backoffCeiling) + r.random(retryFloor)
		s.feed.unknown++
		r.delay(s, s.push.retryAt)
	case f.Code == wire.CodeModuleMissing, // a server that lost something,
		f.Code == wire.CodeInternal, f.Code == wire.CodeOverloaded: // or that something failed
		s.reason = f.Code.String()
		s.feed.retryAt = r.now + min(uint64(retryFloor)<<min(s.feed.unknown, 5), backoffCeiling) + r.random(retryFloor)
		s.feed.unknown++
		r.delay(s, s.push.retryAt)
		if f.Code == wire.CodeModuleMissing {
			r.moduleMissing(s, s.module())
		}
	case f.Code == wire.CodeResumeGone:
		r.resumeGone(s)
	case (f.Code == wire.CodeDiverged || f.Code == wire.CodeRecovering) && r.unjump(s):
	default:
		s.problem, s.reason = f.Code, f.Reason
		if f.Code == wire.CodeRecovering || f.Code == wire.CodeDiverged {
			r.recover(s)
		}
		if f.Code == wire.CodeLeft || f.Code == wire.CodeForbidden && s.info.Position.Seq > 0 {
			s.feed.access = AccessLost
		}
		if f.Code == wire.CodeDeleted {
			r.spaceDeleted(s)
		}
		if s.outside() && s.feed.joined {
			r.readAnew(s)
		}
		r.wantPush(s)
	}
	r.changed(s)
	r.statusChanged()
}

// gone takes it from the directory that this identity may not read a space any more. Where it is subscribed to, that comes behind
// the last record.
func (r *Replica) gone(id space.ID, state wire.SpaceState) {
	s := r.spaces[id]
	if s == nil || !s.known {
		return
	}
	if state == wire.SpaceDeleted {
		r.spaceDeleted(s)
		return
	}
	s.feed.joined = false
	if !s.feed.asked && s.problem == 0 {
		s.problem, s.feed.access = wire.CodeLeft, AccessLost
		r.changed(s)
	}
}

// here takes it from the directory that this identity may read a space: perhaps one that it was not allowed to before.
func (r *Replica) here(s *spaceState) {
	switch {
	case s.outside():
		if s.feed.access == AccessLost {
			s.feed.access = AccessGiven
		}
		r.readAnew(s)
		r.changed(s)
	case s.feed.asked:
		s.feed.joined = true
	case s.known:
		s.feed.access = AccessGiven
		r.changed(s)
	}
}

// readAnew subscribes to a space that the server has refused, once for each time that there is news of it.
func (r *Replica) readAnew(s *spaceState) {
	s.feed.joined = false
	s.problem, s.reason = 0, ""
	r.pull(s)
}

// directoryRows takes rows of the directory: spaces that this replica may not know yet, or that went over to another
// module since.
func (r *Replica) directoryRows(f *wire.Spaces) {
	var fresh []*spaceState
	r.conn.relisted = r.conn.relisted || f.Full
	news := len(f.Since) > 0 && (f.Ref == 0 || !r.conn.relisted) // a row that comes before its records is none
	for i := range f.Rows {
		row := &f.Rows[i]
		id := row.Genesis.ID()
		if row.State != wire.SpacePresent {
			r.space(id).listed = true
			r.gone(id, row.State)
			continue
		}
		s := r.space(id)
		if s.listed = true; row.Head < s.info.Position.Seq {
			r.probe(s)
		}
		if news {
			r.here(s)
		}
		r.checkpointTold(s, row)
		r.expiryTold(s, row.Expired, row.CheckpointSeq)
		if row.Expired > s.expired {
			s.expired = row.Expired
			r.changed(s)
		}
		if s.known && s.info.Created && s.info.Genesis != nil {
			if row.Head >= s.info.Position.Seq { // else the records here tell newer things
				r.sync.setModule(r, s, row.Module)
			}
			continue
		}
		wasAsked := s.feed.asked
		info := SpaceInfo{
			Genesis: &row.Genesis, GenesisSignature: row.GenesisSignature, Created: true,
			Position: space.Start(id), Module: row.Module, Head: row.Head,
		}
		r.sync.insert(r, s, &info)
		if !wasAsked {
			fresh = append(fresh, s)
		} else {
			r.needModule(s)
		}
		r.changed(s)
	}
	r.subscribe(fresh)
	for _, s := range fresh {
		r.wantPush(s)
	}
	if f.Ref == r.conn.directory && f.Ref != 0 {
		switch {
		case len(f.Since) == 0:
		case !r.conn.relisted:
			r.sync.setSince(f.Since)
		case !f.More:
			r.conn.listedTo = f.Since
		}
		switch {
		case f.More && bytes.Equal(f.Since, r.conn.directorySince):
			r.askDirectoryLater() // it would say the same for ever
		case f.More:
			r.askDirectory(f.Since)
		case r.conn.relisted:
			r.probeUnlisted()
			r.keepListed()
		}
	}
}

// keepListed has the end of a directory stored that was told from its beginning, as a server's is that was restored, once nothing is being brought back that it
// showed to be missing: who stops before that is told of all of it again.
func (r *Replica) keepListed() {
	if c := &r.conn; c.listedTo != nil && len(r.recoveries) == 0 {
		r.sync.setSince(c.listedTo)
		c.listedTo = nil
	}
}
