package replica

import (
	"slices"
	"sort"

	"skerry/shared/space"
	"skerry/shared/wire"
)

// committed takes the outcome of a commit of either lane.
func (r *Replica) committed(in Committed) {
	switch {
	case r.appends.inFlight != nil && r.appends.inFlight.id == in.ID:
		r.appends.finish(r, in)
	case r.sync.inFlight != nil && r.sync.inFlight.id == in.ID:
		r.sync.finish(r, in)
	}
}

// seen notes a version of a space that a commit of this tab made. A gap between it and the last one means that
// another tab changed something in between, unless the other lane's commit is still to be reported.
func (r *Replica) seen(s *spaceState, version uint64) {
	switch {
	case version <= s.version:
	case version == s.version+1:
		s.version = version
	default:
		s.ahead = append(s.ahead, version)
	}
	for {
		i := slices.Index(s.ahead, s.version+1)
		if i < 0 {
			break
		}
		s.version++
		s.ahead = slices.Delete(s.ahead, i, i+1)
	}
	switch {
	case len(s.ahead) == 0 && s.unsure:
		s.unsure = false
		r.wantPush(s)
	case len(s.ahead) > 0 && s.commits == 0:
		r.refresh(s)
	}
	r.out.Hints = append(r.out.Hints, Hint{s.id, version})
	r.changed(s)
}

// refresh reads a space again.
func (r *Replica) refresh(s *spaceState) {
	if s.refreshing {
		s.refreshMore = true
		return
	}
	if r.rests(s) {
		r.readAgain(s)
		return
	}
	s.refreshing, s.refreshFrom, s.readBegan = true, s.version, r.now
	r.out.Refresh = append(r.out.Refresh, s.id)
}

// rests reports whether a space was read so lately, and has so many rows, that reading it with every change would keep
// the store from everything else: writers wait for readers.
func (r *Replica) rests(s *spaceState) bool {
	n := uint64(len(s.entries))
	return n >= restFrom && s.readAt+min(max(n/restRows, 4*s.readTook), backoffCeiling/2) > r.now
}

// refreshSoon reads a space that another tab changed: at once if somebody looks at it, else when its turn comes.
func (r *Replica) refreshSoon(s *spaceState) {
	if s.open {
		r.refresh(s)
	} else {
		r.loadSoon(s)
	}
}

// readAgain refreshes a space a little later: a read failed, or came too early to decide by. Nothing else might ever
// ask for it.
func (r *Replica) readAgain(s *spaceState) {
	if len(r.toReadAgain) == 0 {
		r.readAgainAt = r.now + retryFloor
	}
	if !slices.Contains(r.toReadAgain, s) {
		r.toReadAgain = append(r.toReadAgain, s)
	}
}

// readSomeAgain begins the reads that are due, a few at a time.
func (r *Replica) readSomeAgain() {
	if len(r.toReadAgain) == 0 || r.readAgainAt > r.now {
		return
	}
	n := min(len(r.toReadAgain), loadsAtOnce)
	due := r.toReadAgain[:n]
	r.toReadAgain = r.toReadAgain[n:]
	r.readAgainAt = r.now + retryFloor
	for _, s := range due {
		r.refresh(s) // which may put it off again
	}
}

func (r *Replica) refreshed(in Refreshed) {
	s := r.spaces[in.Space]
	if s == nil || !s.refreshing {
		return
	}
	if s.loading {
		s.loading = false
		r.loading--
	}
	s.refreshing = false
	more := s.refreshMore
	s.refreshMore = false
	snapshot := in.Snapshot
	switch {
	case snapshot == nil:
		s.problemOnce(wire.CodeStorageFailed, "the store could not be read")
		r.statusChanged()
		r.readAgain(s)
		return
	case r.leads && snapshot.Epoch > r.meta.Epoch: // a lower one was read before this tab began to lead
		r.out.StepDown = true
		r.follow()
	}
	if snapshot.Version < s.refreshFrom {
		// The store has gone back: it was erased, or written by something else. To ask it again at once would not end.
		s.problem, s.reason = wire.CodeStorageFailed, "the store has lost what it had of the space"
		r.changed(s)
		r.readAgain(s)
		return
	}
	if snapshot.Version < s.version {
		r.refresh(s)
		return
	}
	r.take(s, snapshot)
	if more {
		r.refresh(s)
	}
}

// take replaces what memory holds of a space by what the store holds.
func (r *Replica) take(s *spaceState, snapshot *Snapshot) {
	if s.problem == wire.CodeStorageFailed {
		s.problem, s.reason = 0, ""
	}
	s.readAt, s.readTook = r.now, r.now-s.readBegan
	s.known = snapshot.Known
	s.version = snapshot.Version
	s.ahead = slices.DeleteFunc(s.ahead, func(v uint64) bool { return v <= s.version })
	created, module := s.pending.setCreated, s.pending.setModule
	if part := r.sync.underWay(s); part != nil { // the snapshot may be older than what is being stored
		if created == nil {
			created = part.SetCreated
		}
		if module.IsZero() && part.SetModule == s.info.Module {
			module = part.SetModule
		}
	}
	if snapshot.Known {
		before := s.info
		s.info = snapshot.Info
		if s.info.Position.Seq > before.Position.Seq && r.appends.full { // another tab had room for records
			r.appends.full = false
			r.statusChanged()
		}
		if s.info.Genesis == nil && before.Genesis != nil { // the directory has told it, and it is being stored
			s.info.Genesis, s.info.GenesisSignature = before.Genesis, before.GenesisSignature
			s.info.Created, s.info.Module = before.Created, before.Module
		}
		s.info.Deleted = s.info.Deleted || before.Deleted
		if created != nil {
			s.info.Created = *created
		}
		if !module.IsZero() {
			s.info.Module = module
		}
		switch back := before.Position.Seq > s.info.Position.Seq; {
		case s.info.Branch > before.Branch:
			s.feed.stale = r.leads // another tab went over to the server's branch
			s.rebranch()
			r.dropRecovery(s)
		case s.info.Branch < before.Branch:
			s.info.Position, s.info.Branch = before.Position, before.Branch
		case back && (len(s.ahead) > 0 || !s.info.healing()):
			s.info.Position, s.info.Holes = before.Position, before.Holes // only damage takes the store back; this is an older answer
		case back:
			s.feed.stale = true // another tab that syncs found damage
		case len(s.ahead) > 0 && before.healing():
			s.info.Position, s.info.Holes, s.info.Damaged = before.Position, before.Holes, before.Damaged // read before this tab's cut, perhaps
		}
		if s.info.healing() {
			s.cut = nil // done, by whichever tab
		}
	}
	if !s.known && s.info.Deleted {
		s.info = SpaceInfo{Position: space.Start(s.id)} // another tab had it forgotten
	}
	s.unsure = len(s.ahead) > 0
	if s.unsure { // rows that this tab appended since are not in the snapshot
		s.outdated = max(s.outdated, slices.Max(s.ahead))
		r.refresh(s)
	}
	if s.version >= s.outdated {
		s.outdated = 0
	}
	old := s.byID
	s.entries, s.byID, s.loaded = nil, nil, true
	for i := range snapshot.Outbox {
		e := &entry{Entry: snapshot.Outbox[i], sent: true} // by whoever led before, for all that is known
		was := old[e.ID]
		if was != nil && was.Key != e.Key {
			was = nil // one that left and was appended again by a commit that was made twice
		}
		if was != nil {
			e.inFlight, e.settling, e.sent, e.said = was.inFlight, was.settling, was.sent, was.said
			if was.State == Accepted && e.State != Accepted {
				e.State, e.Position = was.State, was.Position // its mark is on the way
			}
			if e.Code == 0 {
				e.Code, e.Reason = was.Code, was.Reason
			}
		}
		s.add(e)
		if was == nil {
			s.push.rewind(e.Key) // whatever its place, it was not pushed yet
		}
	}
	s.outboxCount = len(s.entries)
	r.takeRejected(s, snapshot.Rejected)
	s.lost = snapshot.Lost
	r.resolve(s, snapshot)
	r.dropWithdrawn(s, false)
	if r.leads {
		if s.feed.gone {
			r.boot(s) // its rows are known now
		}
		r.settleLeftOut(s)
		switch {
		case s.feed.stale, s.feed.asked && s.cursor().Seq > s.feed.verified.Seq:
			s.feed.stale = false
			r.resubscribe(s)
		default:
			r.pull(s)
		}
		r.heal(s)
		if s.feed.asked {
			r.needModule(s)
		}
		if !s.push.missing.IsZero() {
			r.moduleMissing(s, s.push.missing) // another tab may have put it
		}
		if s.feed.asked && !r.held(s) {
			r.watchIdle()
		}
		r.wantPush(s)
	}
	r.changed(s)
	r.statusChanged()
}

// takeRejected notes what is in the rejected store, and tells what came to be there since it was read last.
func (r *Replica) takeRejected(s *spaceState, rows []RejectedRow) {
	before := s.refused
	s.rejected, s.refused = len(rows), make(map[space.ULID]bool, len(rows))
	for i := range rows {
		row := &rows[i]
		s.refused[row.ID] = true
		if before != nil && !before[row.ID] {
			r.notify(Rejected{s.id, row.ID, row.Code, row.Reason})
		}
	}
}

// found tells that a transaction that was asked for is in the outbox.
func (r *Replica) found(s *spaceState, id space.ULID) {
	if s.sought[id] {
		delete(s.sought, id)
		r.notify(Found{s.id, id})
	}
}

// resolve tells the outcome of watched transactions that are not in the outbox any more.
func (r *Replica) resolve(s *spaceState, snapshot *Snapshot) {
	if len(s.watched) == 0 {
		return
	}
	after, gone := uint64(never), []space.ULID(nil)
	for i := range snapshot.Rejected {
		row := &snapshot.Rejected[i]
		r.decide(s, row.ID, Decided{Outcome: Refused, Code: row.Code, Reason: row.Reason})
	}
	for _, e := range s.entries {
		r.found(s, e.ID)
		if e.State == Accepted {
			r.decide(s, e.ID, Decided{Outcome: Synced, Position: e.Position})
		}
	}
	for id, seq := range s.watched {
		if s.byID[id] == nil {
			after = min(after, seq)
			gone = append(gone, id)
		}
	}
	if len(gone) > 0 && !s.reading {
		s.reading, s.deciding = true, gone
		r.out.ReadIDs = append(r.out.ReadIDs, ReadIDsEffect{s.id, after})
	}
}

// at returns the position with a number, as far as it is known: what the chain was earlier is not.
func (s *spaceState) at(seq uint64) space.Position {
	if seq < s.info.Position.Seq {
		return space.Position{Seq: seq}
	}
	return s.info.Position
}

// idsRead decides watched transactions that left the outbox: those with records are synced, the others were
// discarded in another tab.
func (r *Replica) idsRead(in IDsRead) {
	s := r.spaces[in.Space]
	if s == nil || !s.reading {
		return
	}
	s.reading = false
	if in.Err != nil {
		r.readAgain(s)
		return
	}
	last := max(in.After, s.info.Base(s.id).Seq)
	for _, found := range in.Records {
		last = max(last, found.Last)
		r.decide(s, found.ID, Decided{Outcome: Synced, Position: s.at(found.Last)})
	}
	var gone []space.ULID
	for id := range s.watched {
		if s.byID[id] != nil {
			continue
		}
		if last < s.info.Position.Seq { // records were given up since, and come again
			r.readAgain(s)
			continue
		}
		if s.commits > 0 || s.refreshing || s.outdated > 0 || len(s.ahead) > 0 || !slices.Contains(s.deciding, id) {
			r.readAgain(s) // it may be there, or have left after this was read
		} else if !r.appends.has(s.id, id) && r.sure(s, id) {
			gone = append(gone, id)
		}
	}
	if len(gone) > 0 && in.After > 0 {
		// One that was appended again after it had been committed has its records further down: look at all of them
		// before saying that it is nowhere.
		s.reading, s.deciding = true, gone
		r.out.ReadIDs = append(r.out.ReadIDs, ReadIDsEffect{s.id, 0})
		return
	}
	sort.Slice(gone, func(i, j int) bool { return gone[i].Compare(gone[j]) < 0 })
	for _, id := range gone {
		code, reason := wire.CodeDiscarded, ""
		if s.doubtful[id] {
			code, reason = wire.CodeReplicaLost, "the browser deleted it, and the server does not have it"
		}
		if s.info.Base(s.id).Seq > s.watched[id] {
			code, reason = wire.CodeNotHere, "whether it is in the log is not known here: that part of the history is not on this device"
		}
		r.decide(s, id, Decided{Outcome: Discarded, Code: code, Reason: reason})
	}
}

// survey looks for what other tabs changed. By the numbers of changes that costs next to nothing; but a tab of a
// version that does not number them may be there, so all versions are compared now and then.
func (r *Replica) survey() {
	r.out.Survey, r.out.SurveyAfter = true, r.changes
	if r.surveyAllAt <= r.now {
		r.surveyAllAt, r.out.SurveyAfter = r.now+surveyAll, 0
	}
}

// surveyed refreshes every space that the store has a newer version of.
func (r *Replica) surveyed(changes *Changes) {
	if changes == nil {
		return
	}
	if r.leads && changes.Epoch > r.meta.Epoch {
		r.out.StepDown = true
		r.follow()
	}
	r.login(changes.Login)
	r.changes = max(r.changes, changes.Number)
	for i := range changes.Spaces {
		c := &changes.Spaces[i]
		s := r.space(c.Space)
		if c.Version > s.version && (len(s.ahead) == 0 || s.commits == 0) {
			s.known = true
			r.refreshSoon(s)
		}
	}
}
