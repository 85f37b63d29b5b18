package hub

import (
	"bytes"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// dedupe compares a transaction with what is in the log and with what is on its way there. The zero verdict
// means that it is new; ok is false if records have to be read first.
func (s *Space) dedupe(p *push, t *space.Transaction) (v wire.Verdict, ok bool) {
	if twice(t.Events) {
		return s.reused(t), true
	}
	known := p.known[:len(t.Events)]
	inLog, inProposal := 0, 0
	first := s.proposed[t.Events[0].ID]
	for i := range t.Events {
		if proposal := s.proposed[t.Events[i].ID]; proposal != nil {
			if proposal == first {
				inProposal++
			} else {
				return s.reused(t), true
			}
		} else if k := &known[i]; k.Seq != 0 {
			inLog++
		}
	}
	switch {
	case inLog == 0 && inProposal == 0:
		return wire.Verdict{}, true
	case inProposal == len(t.Events) && s.same(first.records, t):
		return wire.Verdict{Kind: wire.Duplicate, Position: s.sealed(first.position)}, true
	case inLog == len(t.Events) && whole(known):
		return s.compare(p, t, known)
	}
	return s.reused(t), true
}

// compare reads a transaction that is in the log and compares it with one that has the same ids.
func (s *Space) compare(p *push, t *space.Transaction, known []Known) (v wire.Verdict, ok bool) {
	from, to := known[0].Seq, known[0].Seq+uint64(len(known))-1
	if s.span.failed {
		s.span = span{}
		return refuse(wire.CodeOverloaded, "the log could not be read"), true
	}
	records, chain := s.span.slice(from, to)
	if records == nil {
		s.read(from, furthest(p, to))
		return wire.Verdict{}, false
	}
	if !s.same(records, t) {
		return s.reused(t), true
	}
	return wire.Verdict{Kind: wire.Duplicate, Position: s.sealed(space.Position{Seq: to, Chain: chain})}, true
}

// same reports whether the records are the transaction: equal in everything that its author chose.
func (s *Space) same(records []space.Record, t *space.Transaction) bool {
	return len(records) == len(t.Events) && space.RecordsDigest(s.id, records) == space.TransactionDigest(s.id, t)
}

// reused is the verdict on a transaction of which some id belongs to another. Only who may read the space learns it.
func (s *Space) reused(t *space.Transaction) wire.Verdict {
	may, err := s.MayRead([]string{t.Author})
	switch {
	case err != nil:
		return refuse(wire.CodeOverloaded, "the module could not be run")
	case !may:
		return refuse(wire.CodeForbidden, "")
	}
	return refuse(wire.CodeIDReused, "an event id is in use already, with other content or in another transaction")
}

// whole reports whether entries of the log are one transaction in whole and in order.
func whole(known []Known) bool {
	for i := range known {
		k := &known[i]
		if k.Seq != known[0].Seq+uint64(i) || int(k.Index) != i || int(k.Count) != len(known) {
			return false
		}
	}
	return true
}

// twice reports whether an id occurs more than once. Ids of one transaction nearly always rise, which shows it
// without remembering any.
func twice(events []space.Event) bool {
	rising := true
	for i := 1; i < len(events) && rising; i++ {
		rising = bytes.Compare(events[i-1].ID[:], events[i].ID[:]) < 0
	}
	if rising {
		return false
	}
	seen := make(map[space.ULID]struct{}, len(events))
	for i := range events {
		seen[events[i].ID] = struct{}{}
	}
	return len(seen) < len(events)
}

// furthestSpan is how many records are read at once for a run of duplicates.
const furthestSpan = 4096

// furthest extends a read over the transactions behind the one in hand, as long as they follow on it in the log
// too: a replica that comes back sends its outbox again in order, and one read serves a run of it.
func furthest(p *push, to uint64) uint64 {
	most := to + furthestSpan
	rest := p.known
	for i := len(p.verdicts); i < len(p.frame.Transactions); i++ {
		n := len(p.frame.Transactions[i].Events)
		if i > len(p.verdicts) {
			if n == 0 || rest[0].Seq <= to || rest[0].Seq > to+64 || rest[0].Seq+uint64(n) > most ||
				!whole(rest[:n]) {
				break
			}
			to = rest[0].Seq + uint64(n) - 1
		}
		rest = rest[n:]
	}
	return to
}

// span is a run of records read from the log, with the chain folded as far as it was asked for.
type span struct {
	records []space.Record
	next    int           // records[:next] are folded
	chain   digest.Digest // before records[next]
	base    digest.Digest // before records[0]
	failed  bool          // they could not be read
}

// slice returns the records from and to the numbers given and the chain after them, or nil if not all are there.
func (s *span) slice(from, to uint64) ([]space.Record, digest.Digest) {
	if len(s.records) == 0 || from < s.records[0].Seq || to > s.records[len(s.records)-1].Seq {
		return nil, digest.Digest{}
	}
	first := s.records[0].Seq
	records := s.records[from-first : to-first+1]
	if int(to-first)+1 < s.next {
		s.next, s.chain = 0, s.base
	}
	for ; s.next < int(to-first)+1; s.next++ {
		s.chain = space.Chain(s.chain, &s.records[s.next])
	}
	return records, s.chain
}

// read asks for records from the log.
func (s *Space) read(from, to uint64) {
	s.readRef = s.ref()
	s.spanTo = to
	s.out.Read = &ReadSpan{Ref: s.readRef, From: from, To: to}
}

// history takes the records that were asked for: to compare with, or to replay.
func (s *Space) history(now uint64, in History) {
	if in.Ref != s.readRef {
		return
	}
	s.readRef = 0
	if s.phase == replaying {
		s.replay(now, in)
		return
	}
	s.span = span{records: in.Records, chain: in.Base.Chain, base: in.Base.Chain}
	n := len(in.Records)
	s.span.failed = in.Code != 0 || n == 0 || in.Records[0].Seq != in.Base.Seq+1 || in.Records[n-1].Seq < s.spanTo
}
