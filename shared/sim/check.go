package sim

import (
	"fmt"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/replica"
	"skerry/shared/space"
)

// isQuiet reports whether nothing is under way any more.
func (w *World) isQuiet() bool { return w.restless() == "" }

// restless says what is under way still, or nothing.
func (w *World) restless() string {
	for _, d := range w.devices {
		for _, t := range d.tabs {
			if t.core == nil || t.frozen {
				return t.String() + " does not run"
			}
			if n := t.core.Status().Undurable; n > 0 || len(t.waiting) > 0 {
				return fmt.Sprintf("%s has %d transactions and %d requests that are not durable", t, n, len(t.waiting))
			}
		}
		loaded := d.store.Load()
		for i := range loaded.Spaces {
			s := &loaded.Spaces[i]
			st := w.server.stored[s.Space]
			wanted := d.wants(s)
			switch {
			case (d.bad[s.Space] != 0 || s.Info.Damaged != 0) && !s.Info.Deleted: // of what was deleted nothing is fetched again
				return fmt.Sprintf("%s has something bad from %d on in %s%s", d.name, d.bad[s.Space], short(s.Space), d.explain(s.Space))
			case w.stayedDeleted(s):
				if d.waits(s.Space) {
					return fmt.Sprintf("%s: something waits in %s, which was deleted as far as it knows%s", d.name, short(s.Space), d.explain(s.Space))
				}
			case st == nil && w.orphan(s.Space):
				continue // nobody is left who may make it
			case st != nil && st.told:
				if wanted && !s.Info.Deleted || s.Info.Deleted && d.waits(s.Space) {
					return fmt.Sprintf("%s: %s was deleted, and known to be: %v%s", d.name, short(s.Space), s.Info.Deleted, d.explain(s.Space))
				}
			case s.Outbox > 0 && (st != nil || s.Info.Genesis != nil):
				return fmt.Sprintf("%s has %d rows in the outbox of %s%s", d.name, s.Outbox, short(s.Space), d.explain(s.Space))
			case st == nil && s.Info.Genesis != nil:
				return fmt.Sprintf("%s knows %s, the server does not%s", d.name, short(s.Space), d.explain(s.Space))
			case wanted && st != nil && s.Info.Position.Seq != st.head.Seq:
				return fmt.Sprintf("%s is at %d of %d in %s%s", d.name, s.Info.Position.Seq, st.head.Seq, short(s.Space), d.explain(s.Space))
			case wanted && st != nil && w.restored != nil && s.Info.Position.Chain != st.head.Chain:
				return fmt.Sprintf("%s is on another branch than the server in %s, both at %d%s", d.name, short(s.Space), st.head.Seq, d.explain(s.Space))
			case wanted && st != nil && slices.ContainsFunc(st.modulesOf(), d.lacks):
				return fmt.Sprintf("%s does not have the module of %s%s", d.name, short(s.Space), d.explain(s.Space))
			case wanted && st != nil && w.options.Expires && d.expiredHere(s, st) != "":
				return d.expiredHere(s, st) + d.explain(s.Space)
			case wanted && st != nil && s.Info.Genesis == nil:
				return fmt.Sprintf("%s does not know what %s was made from", d.name, short(s.Space))
			}
		}
	}
	return ""
}

// wants reports whether a device is to have all that the server has of a space: somebody looks at it there, or it is
// pinned.
func (d *device) wants(s *replica.Summary) bool {
	return d.mute || s.Info.Pinned || d.looksAt(s.Space)
}

// waits reports whether a device has something in the outbox of a space that the server is not known to have.
func (d *device) waits(id space.ID) bool {
	rows := d.store.Outbox(id, 0, 1<<30)
	return slices.ContainsFunc(rows, func(row replica.OutboxRow) bool { return row.State != replica.Accepted })
}

// lacks reports whether a device does not have a module.
func (d *device) lacks(m digest.Digest) bool { return d.store.Module(m) == nil }

func (d *device) looksAt(id space.ID) bool {
	return slices.ContainsFunc(d.tabs, func(t *tab) bool { return t.looks[id] })
}

// lookAtAll has each device look at every space that it knows, in one tab or another, and reports whether there was
// any that nobody looked at.
func (w *World) lookAtAll() bool {
	more := false
	for _, d := range w.devices {
		loaded := d.store.Load()
		for i := range loaded.Spaces {
			if id := loaded.Spaces[i].Space; !d.looksAt(id) {
				more = true
				d.tabs[w.random.IntN(len(d.tabs))].open(id)
			}
		}
	}
	return more
}

// checkQuiet checks every promise once all is quiet.
func (w *World) checkQuiet() {
	w.checkLog()
	w.checkTables()
	for _, d := range w.devices {
		w.checkDevice(d)
	}
	for _, id := range sortedIDs(w.durable) {
		for event, p := range w.durable[id] {
			w.checkPromise(id, event, p)
		}
	}
}

// checkLog checks that every log has no hole and no id twice, whole transactions, and hashes to its head.
func (w *World) checkLog() {
	for id, st := range w.server.stored {
		chain, seen := id, make(map[space.ULID]bool)
		for i := range st.records {
			r := &st.records[i]
			if r.Seq != uint64(i+1) || seen[r.ID] {
				w.failf("%s: record %d is %s", short(id), i+1, r.ID)
			}
			seen[r.ID] = true
			if r.Type == module.TypeDelete && r.Seq != st.head.Seq {
				w.failf("%s: it was deleted at %d, and goes on", short(id), r.Seq)
			}
			if r.Index > 0 && (st.records[i-1].Index+1 != r.Index || st.records[i-1].Count != r.Count || st.records[i-1].Author != r.Author) {
				w.failf("%s: a transaction is torn at %d", short(id), r.Seq)
			}
			chain = space.Chain(chain, r)
		}
		if chain != st.head.Chain {
			w.failf("%s: the log does not hash to its head", short(id))
		}
		if made := w.made[id]; made.ID() != st.genesis.ID() {
			w.failf("%s: made from something else", short(id))
		}
	}
}

// checkDevice checks that a replica holds what the server holds, and that its transactions kept their order.
func (w *World) checkDevice(d *device) {
	loaded := d.store.Load()
	for i := range loaded.Spaces {
		s := &loaded.Spaces[i]
		st := w.server.stored[s.Space]
		if st == nil || w.stayedDeleted(s) {
			continue
		}
		if len(s.Info.Holes) > 0 && !st.told {
			if d.checkHoles(s.Space, st, &s.Info); s.Info.Position.Chain != st.head.Chain {
				w.failf("%s: %s is at another place than the server", d.name, short(s.Space))
			}
			continue
		}
		records := d.store.Read(s.Space, 0, 1<<30, 1<<30)
		if st.told {
			if w.restored != nil {
				continue // it may have been deleted twice, and this be of the branch that was lost
			}
			if len(records) > len(st.records) || space.Fold(s.Space, records) != space.Fold(s.Space, st.records[:len(records)]) || s.Info.Position.Seq != uint64(len(records)) {
				w.failf("%s: %s was deleted, and has other records than it had", d.name, short(s.Space))
			}
		} else if len(records) != len(st.records) || space.Fold(s.Space, records) != st.head.Chain || s.Info.Position.Chain != st.head.Chain {
			w.failf("%s: %s has %d records, the server %d, or they differ", d.name, short(s.Space), len(records), len(st.records))
		}
		if s.Info.Genesis == nil && st.told {
			continue // it came too late to be told
		}
		if s.Info.Genesis.ID() != s.Space || s.Info.Genesis.Stamp != w.made[s.Space].Stamp {
			w.failf("%s: knows %s by another genesis", d.name, short(s.Space))
		}
		last := uint64(0)
		for j := range st.records {
			r := &st.records[j]
			key, ok := d.keys[s.Space][r.ID]
			if w.restored != nil || !ok || d.again[s.Space][r.ID] || w.asked[r.ID] {
				continue // it has no single place in the outbox
			}
			if w.mayRefuse(s.Space, r.Author, r.Type) {
				continue // a refusal that nobody was told is judged again, behind what came after it
			}
			if key < last {
				w.failf("%s: %s with outbox key %d is in the log of %s at %d, behind key %d", d.name, r.ID, key, short(s.Space), r.Seq, last)
			}
			last = key
		}
	}
}

// checkPromise checks what became of one transaction whose author was told that it is durable.
func (w *World) checkPromise(id space.ID, event space.ULID, p *promise) {
	st := w.server.stored[id]
	if st != nil {
		if at, ok := st.known[event]; ok {
			if int(st.records[at].Count) != p.events || st.records[at].Index != 0 {
				w.failf("%s: %s is in the log with %d events, not %d", short(id), event, st.records[at].Count, p.events)
			}
			return
		}
	}
	if w.restored != nil && (w.restored.deleted[id] || w.asked[event] || w.isKept(id, event) || w.restored.gone[p.device] || w.restored.nowhere[id][event] || w.mayLackTwice(id, event)) {
		return
	}
	if w.restored != nil && st == nil && w.waits(id, event) {
		return // nobody who can make the space again is left: its module is gone
	}
	if p.synced {
		w.failf("%s: %s was reported synced and is not in the log", short(id), event)
	}
	for _, row := range p.device.store.Rejected(id) {
		if row.ID == event {
			return
		}
	}
	if st == nil {
		for _, row := range p.device.store.Outbox(id, 0, 1<<30) {
			if row.ID == event && row.State == replica.Waiting {
				return // nobody who knows the genesis is left
			}
		}
	}
	if !p.discarded && !w.asked[event] {
		w.failf("%s: %s was reported durable by %s and is lost", short(id), event, p.device.name)
	}
}

// explain says what every tab holds of a space.
func (d *device) explain(id space.ID) string {
	text := ""
	for _, t := range d.tabs {
		if t.core != nil {
			text += fmt.Sprintf("\n  %s: link %v %s", t, t.link != nil, t.core.Explain(id))
		}
	}
	return text
}
