package hub

import (
	"slices"

	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// batch is what one append stores.
type batch struct {
	previous, next space.Head
	records        []space.Record
	bytes          int
	made           []proposal       // what propose hands out next; proposals are made many at a time
	turned         bool             // who may read may have changed at its end, so nothing is added to it
	people         []program.Person // who may take part now, or no longer
	deletes        bool             // its last record deletes the space
	beside         []any            // of the server's own transactions among them
	bytesOf        map[string]int   // by author, while they are in Space.unreserved
}

// proposal is one judged transaction on its way to the log.
type proposal struct {
	records  []space.Record
	position space.Position // after it, without a seal
}

// room returns the batch that the next transaction goes to: the last one, unless it is being appended or would
// become too big.
func (s *Space) room(t *space.Transaction) *batch {
	first := 0
	if s.inFlight {
		first = 1
	}
	if len(s.batches) > first {
		b := s.batches[len(s.batches)-1]
		if len(b.records) == 0 ||
			!b.turned && len(b.records)+len(t.Events) <= s.config.AppendRecords && b.bytes+t.Size() <= s.config.AppendBytes {
			return b
		}
	}
	events, transactions := 0, 0
	for _, p := range s.queue[s.judged:s.looked] {
		events += p.ids()
		transactions += len(p.frame.Transactions) - len(p.verdicts)
	}
	b := &batch{
		previous: s.tip, next: s.tip,
		records: make([]space.Record, 0, min(max(events, len(t.Events)), s.config.AppendRecords)),
		made:    make([]proposal, 0, min(max(transactions, 1), s.config.AppendRecords)),
	}
	s.batches = append(s.batches, b)
	return b
}

// stage adds the records of t to the end of b and returns them.
func (b *batch) stage(t *space.Transaction, seq, receivedAt uint64) []space.Record {
	start := len(b.records)
	for i := range t.Events {
		b.records = append(b.records, space.Record{
			Event: t.Events[i], Seq: seq + uint64(i), ReceivedAt: receivedAt,
			Index: uint32(i), Count: uint32(len(t.Events)),
			Author: t.Author, API: t.API, ClientVersion: t.ClientVersion,
		})
	}
	return b.records[start:len(b.records):len(b.records)]
}

// unstage takes back what stage added last.
func (b *batch) unstage(records []space.Record) {
	clear(records)
	b.records = b.records[:len(b.records)-len(records)]
}

// propose makes staged records the newest proposal and returns the position after them.
func (s *Space) propose(b *batch, records []space.Record) space.Position {
	last := &records[len(records)-1]
	s.tip = space.Head{Seq: last.Seq, Chain: space.Fold(s.tip.Chain, records), ReceivedAt: last.ReceivedAt}
	b.next = s.tip
	if len(b.made) == cap(b.made) {
		b.made = make([]proposal, 0, 64)
	}
	b.made = append(b.made, proposal{records: records, position: s.tip.Position()})
	made := &b.made[len(b.made)-1]
	bytes := 0
	for i := range records {
		bytes += records[i].Size()
		s.proposed[records[i].ID] = made
	}
	b.bytes += bytes
	s.reserve(b, records[0].Author, bytes)
	return made.position
}

// reserve counts bytes that an author is to have in the log.
func (s *Space) reserve(b *batch, author string, bytes int) {
	if s.config.Room == nil || author == "" {
		return
	}
	if s.unreserved == nil {
		s.unreserved = map[string]int{}
	}
	if b.bytesOf == nil {
		b.bytesOf = map[string]int{}
	}
	s.unreserved[author] += bytes
	b.bytesOf[author] += bytes
}

// handOver leaves the counting of a batch that is being appended to the shell, which has heard of it by now.
func (s *Space) handOver() {
	if !s.inFlight {
		return
	}
	b := s.batches[0]
	for author, bytes := range b.bytesOf {
		if s.unreserved[author] -= bytes; s.unreserved[author] == 0 {
			delete(s.unreserved, author)
		}
	}
	b.bytesOf = nil
}

// append hands the first batch to the log, if none is there already.
func (s *Space) append() {
	if s.inFlight || len(s.batches) == 0 {
		return
	}
	b := s.batches[0]
	if len(b.records) == 0 { // its only transaction was refused
		s.batches = slices.Delete(s.batches, 0, 1)
		s.append()
		return
	}
	s.inFlight = true
	s.out.Append = &Append{Previous: b.previous, Records: b.records, Next: b.next, People: b.people, Beside: b.beside, Deletes: b.deletes}
}

// appended takes the log's answer.
func (s *Space) appended(now uint64, outcome Outcome) {
	if s.phase == adopting {
		s.adopted(now, outcome)
		return
	}
	if !s.inFlight {
		return
	}
	switch outcome {
	case Stored:
		s.commit()
	case Full:
		s.fullUntil = now + s.config.FullRetry
		s.rollback()
	default:
		s.phase = reloading
		s.backOff(now)
	}
}

// commit makes the first batch durable history.
func (s *Space) commit() {
	b := s.batches[0]
	s.batches = slices.Delete(s.batches, 0, 1)
	s.inFlight = false
	s.failures = 0
	s.head = b.next
	s.instance.Commit(s.head.Seq)
	s.retained = append(s.retained, b)
	s.out.Moved = true
	if b.deletes {
		s.end(b.records[len(b.records)-1].ID, true)
	} else if b.turned {
		s.out.Turned, s.out.TurnedAt = true, s.head.Seq
	}
}

// backOff says when to try next after a failure: at once at first, later less and less often.
func (s *Space) backOff(now uint64) {
	s.failures++
	s.retryAt = now
	if s.failures > 3 {
		s.retryAt = now + min(uint64(100)<<min(s.failures-4, 10), 5000)
	}
}

// headRead takes the log's head. After a failed append it tells what became of it.
func (s *Space) headRead(now uint64, in HeadRead) {
	if in.Ref == 0 {
		ends := in.Code == wire.CodeDeleted
		if in.Code != 0 && !ends || s.phase != ready || s.inFlight || in.Head.Seq < s.head.Seq || in.Head.Seq == s.head.Seq && !ends {
			return
		}
	} else {
		if in.Ref != s.headRef {
			return
		}
		s.headRef = 0
		if in.Code != 0 && in.Code != wire.CodeDeleted {
			s.backOff(now)
			return
		}
		if s.inFlight && in.Head == s.batches[0].next {
			s.phase = ready
			s.commit() // the append had succeeded after all
			return
		}
	}
	s.release()
	s.rollback()
	if in.Code == wire.CodeDeleted {
		s.head = in.Head
		s.end(in.Last, false)
		return
	}
	if in.Head.Seq < s.head.Seq || in.Head.Seq == s.head.Seq && in.Head != s.head {
		s.forget() // another history than the one that was judged: begin from nothing
		return
	}
	s.head, s.tip = in.Head, in.Head
	s.follow()
}

// rollback discards everything proposed, and with it every verdict that is not on durable ground. The pushes are
// looked up and judged again in the same order.
func (s *Space) rollback() {
	if s.unpark(s.judged); s.upgrade != nil {
		s.upgrade.hold = false
	}
	for i := len(s.queue) - 1; i >= 0; i-- { // backwards, so that the first push of a peer restores its state
		s.queue[i].restart(s.head.Seq)
	}
	s.queue = slices.DeleteFunc(s.queue, func(p *push) bool {
		if p.peer.gone {
			p.peer.pushes--
			s.bury(p.peer)
		}
		return p.peer.gone
	})
	s.judged, s.looked = 0, 0
	s.lookupRef, s.readRef = 0, 0
	s.lookupIDs, s.group, s.span = nil, nil, span{}
	s.batches, s.retained = nil, nil
	s.inFlight, s.rewind, s.ending = false, false, false
	clear(s.proposed)
	clear(s.unreserved)
	s.instance.Rollback()
	s.tip = s.head
}

// prune forgets the ids of committed transactions once every lookup in use was made after their commit.
func (s *Space) prune() {
	floor := s.head.Seq
	if s.lookupRef != 0 || s.looked > s.judged {
		floor = min(floor, s.lookupHead)
	}
	n := 0
	for ; n < len(s.retained) && s.retained[n].next.Seq <= floor; n++ {
		for i := range s.retained[n].records {
			delete(s.proposed, s.retained[n].records[i].ID)
		}
	}
	s.retained = slices.Delete(s.retained, 0, n)
}
