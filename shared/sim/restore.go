package sim

import (
	"maps"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// In a world with restores the server's log is copied now and then, and once or twice an earlier copy is put in its place: what was
// stored since is there no more, but for the replicas that hold it. Some of those are gone for good.

// backup is a copy of a server's log.
type backup struct {
	at     uint64
	stored map[space.ID]*storedSpace
	blobs  map[digest.Digest][]byte
	listed map[string][]space.ID
	tat    uint64
}

// restores is what a world with restores keeps beside.
type restores struct {
	backups []backup
	last    uint64                             // when the last one was put back
	ever    map[space.ID]map[space.ULID]string // all that was ever in a log, and what it was
	dropped map[space.ID]map[space.ULID]uint64 // when some replica gave up records since the server had them on another branch
	gone    map[*device]bool
	before  map[space.ID]*storedSpace                           // the log that the last copy took the place of
	known   map[*replica.Commit]map[space.ID]map[space.ULID]int // see knownTo
	deleted map[space.ID]bool                                   // a log of it ended so, which the server may have lost
	bridged int                                                 // how often a replica with a hole went over to the server's branch from below it
	nowhere map[space.ID]map[space.ULID]bool                    // no device had it when the server lost it
}

func (st *storedSpace) clone() *storedSpace {
	c := *st
	c.records, c.ends, c.kept = slices.Clone(st.records), slices.Clone(st.ends), slices.Clone(st.kept)
	c.known = maps.Clone(st.known)
	return &c
}

// backUp copies the log.
func (w *World) backUp() {
	b := backup{at: w.now, stored: map[space.ID]*storedSpace{}, blobs: maps.Clone(w.server.blobs), listed: map[string][]space.ID{}, tat: w.server.tat}
	for id, st := range w.server.stored {
		b.stored[id] = st.clone()
	}
	for who, ids := range w.server.listed {
		b.listed[who] = slices.Clone(ids)
	}
	w.restored.backups = append(w.restored.backups, b)
	w.logf("server is backed up, %d", len(w.restored.backups))
}

// restore puts an earlier copy in the log's place.
func (w *World) restore() {
	s := w.server
	if s.up {
		s.kill()
	}
	n := w.random.IntN(len(w.restored.backups))
	b := w.restored.backups[n]
	w.restored.backups, w.restored.last = w.restored.backups[:n], w.now
	w.noteNowhere(b.stored)
	w.restored.before = s.stored
	s.stored, s.blobs, s.listed, s.tat = b.stored, b.blobs, b.listed, b.tat
	s.logs++
	s.marked = !w.chance(4) // somebody may put back a directory by hand
	w.logf("server is restored to %d, marked %v", b.at, s.marked)
	w.after(w.between(50, 8000), func() {
		if !s.up {
			s.start()
		}
	})
}

// restoring lets backups be made and put back.
func (w *World) restoring() {
	w.restored = &restores{
		ever: map[space.ID]map[space.ULID]string{}, dropped: map[space.ID]map[space.ULID]uint64{}, gone: map[*device]bool{},
		nowhere: map[space.ID]map[space.ULID]bool{}, deleted: map[space.ID]bool{}, known: map[*replica.Commit]map[space.ID]map[space.ULID]int{},
	}
	w.after(w.between(1, 2000), w.backUpAgain)
	for range 1 + w.random.IntN(2) {
		w.after(w.between(4000, w.options.Trouble), func() {
			if len(w.restored.backups) > 0 && !w.calm {
				w.restore()
			}
		})
	}
	if len(w.devices) > 1 && w.chance(2) {
		d := w.devices[w.random.IntN(len(w.devices))]
		w.after(w.between(4000, w.options.Trouble), func() { w.loseForGood(d) })
	}
}

func (w *World) backUpAgain() {
	if !w.calm {
		w.backUp()
		w.after(w.between(500, 15_000), w.backUpAgain)
	}
}

// loseForGood takes a device away with all that it has.
func (w *World) loseForGood(d *device) {
	w.logf("%s is gone for good", d.name)
	w.restored.gone[d] = true
	for _, t := range d.tabs {
		t.crash()
	}
	w.devices = slices.DeleteFunc(slices.Clone(w.devices), func(other *device) bool { return other == d })
	for id := range w.made { // what it alone had since the server lost it
		st := w.server.stored[id]
		for event := range everything(d.store, id) {
			if st == nil || !st.has(event) {
				w.noteIfNowhere(id, event)
			}
		}
	}
}

// noteNowhere notes what the server loses, and no device has in a way that a loss of power leaves: who begins at checkpoints leaves out also what they
// wrote themselves.
func (w *World) noteNowhere(backup map[space.ID]*storedSpace) {
	for id, st := range w.server.stored {
		kept := 0
		if b := backup[id]; b != nil {
			kept = len(b.records)
		}
		lost := map[space.ULID]bool{}
		for i := range st.records[min(kept, len(st.records)):] {
			lost[st.records[kept+i].ID] = true
		}
		for _, d := range w.devices {
			now, flushed := everything(d.store, id), everything(d.flushed, id)
			for event := range lost {
				if now[event] && flushed[event] {
					delete(lost, event)
				}
			}
		}
		if w.restored.nowhere[id] == nil {
			w.restored.nowhere[id] = map[space.ULID]bool{}
		}
		maps.Copy(w.restored.nowhere[id], lost)
	}
}

// noteIfNowhere notes what a device has given up that the server has lost since, where no other has it.
func (w *World) noteIfNowhere(id space.ID, event space.ULID) {
	for _, d := range w.devices {
		if everything(d.store, id)[event] && everything(d.flushed, id)[event] {
			return
		}
	}
	if w.restored.nowhere[id] == nil {
		w.restored.nowhere[id] = map[space.ULID]bool{}
	}
	w.restored.nowhere[id][event] = true
}

// everything returns the ids of all events that a store has of a space.
func everything(store *replica.Model, id space.ID) map[space.ULID]bool {
	has := map[space.ULID]bool{}
	add := func(t *space.Transaction) {
		for i := range t.Events {
			has[t.Events[i].ID] = true
		}
	}
	for _, r := range recordsOf(store, id, 0) {
		has[r.ID] = !r.Expired
	}
	for _, row := range store.Outbox(id, 0, 1<<30) {
		add(&row.Transaction)
	}
	for _, row := range store.Rejected(id) {
		add(&row.Transaction)
	}
	for _, row := range store.Lost(id) {
		add(&row.Transaction)
	}
	return has
}

// what says what a record is, whoever brings it.
func what(r *space.Record) string {
	t := space.TransactionOf([]space.Record{*r})
	return r.Author + " " + r.Type + " " + space.TransactionDigest(space.ID{}, &t).String()
}

// orphan reports whether nobody can make a space again: nobody is left as whom it was made and who knows from what, or who has any of it, or nobody has its module.
func (w *World) orphan(id space.ID) bool {
	if w.restored == nil {
		return false
	}
	m := w.made[id].Module
	hasModule := m == module.Open || w.server.blobs[m] != nil || slices.ContainsFunc(w.devices, func(d *device) bool { return !d.lacks(m) })
	return !hasModule || !slices.ContainsFunc(w.devices, func(d *device) bool {
		info := d.store.Refresh(id).Info
		return !info.Deleted && (info.Genesis != nil && d.store.Load().Meta.Identity == w.made[id].Creator || info.Position.Seq > 0)
	})
}

// noteStored notes what came into the log.
func (w *World) noteStored(id space.ID, records []space.Record) {
	if w.restored == nil {
		return
	}
	ever := w.restored.ever[id]
	if ever == nil {
		ever = map[space.ULID]string{}
		w.restored.ever[id] = ever
	}
	for i := range records {
		r := &records[i]
		if before, ok := ever[r.ID]; ok && before != what(r) {
			w.failf("%s: record %d is %s, and was %s", short(id), r.Seq, what(r), before)
		}
		ever[r.ID] = what(r)
		if r.Type == module.TypeDelete {
			w.restored.deleted[id] = true
		}
	}
}

// wasStored reports whether a transaction was in some log of the server's.
func (w *World) wasStored(id space.ID, event space.ULID) bool {
	return w.restored != nil && w.restored.ever[id][event] != ""
}

// stayedDeleted reports whether a device knows of a deletion that the server has lost: what the space says there stays as it is, for everybody else it is there again
// until somebody deletes it again.
func (w *World) stayedDeleted(s *replica.Summary) bool {
	if w.restored == nil || !s.Info.Deleted || !w.restored.deleted[s.Space] {
		return false
	}
	st := w.server.stored[s.Space]
	return st == nil || !st.told
}

// knownTo returns what the server's log had, as far as a tab may know, of the spaces of which a commit gives up records: when it was asked for first, and if the tab
// has not heard yet that the server is gone, before that was restored.
func (t *tab) knownTo(c *replica.Commit) map[space.ID]map[space.ULID]int {
	w := t.device.world
	if w.restored == nil {
		return nil
	}
	if known, ok := w.restored.known[c]; ok {
		return known
	}
	stored := w.server.stored
	if (t.link == nil || t.link.isCut) && w.restored.before != nil {
		stored = w.restored.before
	}
	known := map[space.ID]map[space.ULID]int{}
	for i := range c.Spaces {
		if st := stored[c.Spaces[i].Space]; st != nil && (c.Spaces[i].Fork != nil || len(c.Spaces[i].Settle) > 0) {
			known[c.Spaces[i].Space] = maps.Clone(st.known)
		}
	}
	if len(known) > 0 {
		w.restored.known[c] = known
	}
	return known
}

// checkFork looks, when a replica has gone over to the server's branch, at what it gives up: the log has it, or it is kept. What the log had when this was
// asked for, and lost before it was done, is lost twice. So are rows that were settled so, whose records a checkpoint took the place of.
func (d *device) checkFork(before *replica.Model, c *replica.Commit, known map[space.ID]map[space.ULID]int) {
	w := d.world
	for i := range c.Spaces {
		part := &c.Spaces[i]
		for _, event := range part.Settle {
			st := w.server.stored[part.Space]
			if _, ok := known[part.Space][event]; ok && (st == nil || !st.has(event)) {
				w.noteIfNowhere(part.Space, event)
			}
		}
		if part.Fork == nil {
			continue
		}
		if before.Refresh(part.Space).Info.Base(part.Space).Seq > part.Fork.Seq {
			w.restored.bridged++
		}
		st := w.server.stored[part.Space]
		waits := map[space.ULID]bool{} // to be sent still
		for _, row := range d.store.Outbox(part.Space, 0, 1<<30) {
			for i := range row.Transaction.Events {
				waits[row.Transaction.Events[i].ID] = true
			}
		}
		for _, r := range recordsOf(before, part.Space, part.Fork.Seq) {
			if w.restored.dropped[part.Space] == nil {
				w.restored.dropped[part.Space] = map[space.ULID]uint64{}
			}
			w.restored.dropped[part.Space][r.ID] = w.now
			if r.Author == "" || st != nil && st.has(r.ID) || waits[r.ID] || d.keeps(before, part.Space, &r) {
				continue
			}
			if _, ok := known[part.Space][r.ID]; ok {
				w.restored.dropped[part.Space][r.ID] = w.restored.last - 1
				w.noteIfNowhere(part.Space, r.ID)
				continue
			}
			w.failf("%s: goes over to another branch of %s, and gives up record %d, %s, which nobody keeps", d.name, short(part.Space), r.Seq, r.ID)
		}
		w.logf("%s goes over to another branch of %s at %d", d.name, short(part.Space), part.Fork.Seq)
	}
}

func (st *storedSpace) has(id space.ULID) bool {
	_, ok := st.known[id]
	return ok
}

// gaveUp reports whether the server had a record since the first restore, and lost it again: a replica gave it up when it was told that the log has it, and
// cannot tell by now what became of it.
func (w *World) gaveUp(id space.ID, event space.ULID) bool {
	at, ok := w.restored.dropped[id][event]
	return ok && at < w.restored.last
}

// mayLackTwice reports whether a record was given up so, and nobody had pulled it from the log when the server lost that too.
func (w *World) mayLackTwice(id space.ID, event space.ULID) bool {
	return w.gaveUp(id, event) && w.restored.nowhere[id][event]
}

// keeps reports whether a device has the transaction of a record among the rejected or the lost.
func (d *device) keeps(records *replica.Model, id space.ID, r *space.Record) bool {
	first := r.ID
	if r.Index > 0 {
		before := records.Read(id, r.Seq-1-uint64(r.Index), 1, 1<<30)
		first = before[0].ID
	}
	return slices.ContainsFunc(d.store.Rejected(id), func(row replica.RejectedRow) bool { return row.ID == first }) ||
		slices.ContainsFunc(d.store.Lost(id), func(row replica.LostRow) bool { return row.ID == first })
}

// isKept reports whether somebody has a transaction that is in no log.
func (w *World) isKept(id space.ID, event space.ULID) bool {
	return slices.ContainsFunc(w.devices, func(d *device) bool {
		return d.keeps(d.store, id, &space.Record{Event: space.Event{ID: event}}) ||
			slices.ContainsFunc(d.store.Outbox(id, 0, 1<<30), func(row replica.OutboxRow) bool { return row.ID == event })
	})
}

// waits reports whether a device has the record of an event in a log that the server has no space for.
func (w *World) waits(id space.ID, event space.ULID) bool {
	return slices.ContainsFunc(w.devices, func(d *device) bool {
		return slices.ContainsFunc(recordsOf(d.store, id, 0), func(r space.Record) bool { return r.ID == event })
	})
}

// bring gives a space what a connection brings back.
func (s *server) bring(c *serverConn, effects *hub.ConnEffects) {
	for _, t := range effects.Tails {
		if !t.Reclaim {
			s.stepSpace(t.Space, t.Tail)
			continue
		}
		s.later(func() {
			refused := &wire.Refused{Ref: t.Ref, Code: wire.CodeUnproven}
			st := s.stored[t.Space]
			on := false
			if st == nil {
				refused.Code = wire.CodeUnknownSpace
			} else if t.Base.Seq <= st.head.Seq {
				chain, err := hub.ChainAt(st.source(), t.Base.Seq)
				on = err == nil && chain == t.Base.Chain
			}
			if !on && st != nil && s.config.CheckSeal(t.Space, &t.Base) {
				s.stepSpace(t.Space, hub.Ahead{Position: t.End})
				on = true
			}
			if on {
				s.stepSpace(t.Space, t.Tail)
				return
			}
			s.stepConn(c, hub.Taken{Conn: c.id, Frame: refused, Size: t.Size})
		})
	}
	for _, f := range effects.Locate {
		s.later(func() {
			located := hub.Located{Ref: f.Ref, Located: &wire.Located{Space: f.Space, Common: space.Start(f.Space)}}
			var head space.Head
			if st := s.stored[f.Space]; st != nil {
				if st.freed {
					located.Code = wire.CodeDeleted
				}
				var err error
				if head = st.head; located.Code == 0 {
					located.Located.Common, err = hub.Common(st.source(), head, f)
				}
				if err != nil {
					panic(err)
				}
			}
			if f.Position.Seq > head.Seq {
				s.stepSpace(f.Space, hub.Ahead{Position: f.Position})
			}
			s.stepConn(c, located)
		})
	}
}
