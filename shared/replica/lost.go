package replica

import (
	"sort"
	"strconv"

	"skerry/shared/space"
	"skerry/shared/wire"
)

// deleted is what was destroyed with the store, as far as this tab knows: for people.
type deleted struct {
	happened bool
	again    int // transactions that waited, and that memory had to write again
	gone     int // transactions that waited, and that it had not
}

func (d *deleted) text() string {
	return "what was stored here was deleted, by the browser or its user; of the transactions that waited to be sent " +
		strconv.Itoa(d.again) + " were written again and " + strconv.Itoa(d.gone) + " are gone unless the server has them"
}

// lost goes on with an empty store in place of one that was destroyed. What only this device had and memory still has is
// written again before anything that came later; the rest comes from the server. Of a transaction that may have reached
// the server nothing is told before the server has said all that it has.
func (r *Replica) lost(loaded *Loaded) {
	lane := r.appends
	salvaged := r.salvage()
	r.follow()
	r.load(loaded)
	r.toReadAgain, r.loading = nil, 0
	r.appends = appendLane{retryAt: never, closing: lane.closing, waiting: salvaged}
	if lane.inFlight != nil {
		for _, operations := range lane.inFlight.operations {
			r.appends.waiting = append(r.appends.waiting, operations...)
		}
	}
	r.appends.waiting = append(r.appends.waiting, lane.waiting...)
	for _, s := range r.sorted() {
		if s.known && !s.loaded && s.open || len(s.watched) > 0 {
			r.refresh(s)
		}
		r.changed(s)
	}
	r.statusChanged()
}

// salvage takes out of memory what has to be written again, in the order of the outbox, and forgets what memory had of
// the store.
func (r *Replica) salvage() []appendOperation {
	type salvagedRow struct {
		key       uint64
		operation appendOperation
	}
	var inserts []appendOperation
	var rows []salvagedRow
	for _, s := range r.sorted() {
		found := 0
		take := func(row *OutboxRow) {
			if e := s.byID[row.ID]; e != nil && e.State == Waiting {
				rows = append(rows, salvagedRow{row.Key, appendOperation{space: s.id, transaction: &row.Transaction, at: row.AppendedAt}})
				delete(s.byID, row.ID)
				found++
			}
		}
		for i := range s.push.inFlight {
			for j := range s.push.inFlight[i].rows {
				take(&s.push.inFlight[i].rows[j])
			}
		}
		for i := range s.push.rows {
			take(&s.push.rows[i])
		}
		if s.known && (r.held(s) || s.creates() || found > 0 || len(s.watched) > 0) {
			insert := appendOperation{space: s.id, insert: &SpaceInfo{
				Genesis: s.info.Genesis, GenesisSignature: s.info.GenesisSignature, Created: s.info.Created,
				Position: space.Start(s.id), Module: s.info.Module,
			}}
			if pinned := s.info.Pinned; pinned {
				insert.pin = &pinned
			}
			inserts = append(inserts, insert)
		}
		r.deleted.again += found
		r.deleted.gone += r.writeOff(s, found)
		*s = spaceState{
			id: s.id, open: s.open, lookedUntil: s.lookedUntil, watched: s.watched, sought: s.sought, doubtful: s.doubtful,
		}
	}
	r.deleted.happened = true
	sort.SliceStable(rows, func(i, j int) bool { return rows[i].key < rows[j].key })
	for i := range rows {
		inserts = append(inserts, rows[i].operation)
	}
	return inserts
}

// writeOff tells the outcome of transactions that are gone for sure, notes those that the server may have, and returns
// how many of those that waited are not among the found.
func (r *Replica) writeOff(s *spaceState, found int) (gone int) {
	gone = s.outboxCount - found
	forSure := 0
	for _, e := range s.entries {
		if e.State != Waiting {
			gone-- // the server has it, or its author gave it up
		}
		if s.byID[e.ID] != nil && e.State == Waiting && !e.sent {
			forSure++
			r.decide(s, e.ID, Decided{Outcome: Discarded, Code: wire.CodeReplicaLost, Reason: "the browser deleted it before it was sent"})
		}
	}
	s.doubtful = make(map[space.ULID]bool, len(s.watched))
	for id := range s.watched {
		s.doubtful[id] = true
		s.watched[id] = 0
	}
	if !r.leads {
		return forSure + len(s.doubtful) // what others appended was perhaps settled since this tab looked
	}
	return max(gone, 0)
}

// sure reports whether a transaction of which there is no trace here is not in the server's log either.
func (r *Replica) sure(s *spaceState, id space.ULID) bool {
	return s.info.Damaged == 0 && (!s.doubtful[id] || !r.config.Sync || s.complete())
}

// complete reports whether everything that the server has of a space is stored here.
func (s *spaceState) complete() bool {
	return s.feed.caughtUp && len(s.feed.inbox) == 0 && s.info.Position.Seq == s.feed.verified.Seq
}

// lookForDoubtful decides what could not be decided before all of a space was here. What was given up and the server does not have any more does not come.
func (r *Replica) lookForDoubtful(s *spaceState) {
	if r.leads && s.info.healing() && s.cut == nil && s.complete() {
		at := s.info.Position
		s.pending.sound = &at
		r.sync.dirty(r, s)
	}
	if len(s.doubtful) > 0 && s.complete() {
		r.refresh(s)
	}
}
