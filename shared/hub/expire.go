package hub

import (
	"fmt"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// expirable judges what only the log can tell of a transaction of $expire, of somebody who may: that it names the end of a transaction
// that is durable, and that what its author had seen is what the log has. The zero verdict means that it does; ok is false if the record has to be read first, or the space is opened anew.
func (s *Space) expirable(now uint64, p *push, t *space.Transaction) (v wire.Verdict, ok bool) {
	upto, ok := module.ExpiredTo(t.Events[0].Payload)
	switch {
	case s.tables == nil:
		return refuse(wire.CodeReservedType, "nothing expires in a space without tables"), true
	case !ok || upto == 0:
		return refuse(wire.CodeBadPayload, "$expire has upto, a record's number"), true
	case s.tip.Seq+2 > space.MaxSeq:
		return refuse(wire.CodeSpaceFull, "the space has no sequence number left for an expiry"), true
	}
	caller := module.Caller{Identity: t.Author, Server: p.own != nil}
	verdict, err := s.tables.Try(caller, t.Records(s.tip.Seq+1, max(now, s.tip.ReceivedAt)))
	switch {
	case s.losing(err):
		return v, false
	case err != nil:
		return refuse(wire.CodeOverloaded, "the module could not be run"), true
	case !verdict.Allowed():
		return refuse(verdict.Code, verdict.Reason), true
	case upto > s.head.Seq:
		return refuse(wire.CodeBadPayload, fmt.Sprintf("$expire: the log ends at record %d", s.head.Seq)), true
	case s.span.failed:
		s.span = span{}
		return refuse(wire.CodeOverloaded, "the log could not be read"), true
	}
	if seen, says := module.ExpirySeen(t.Events[0].Payload); says && p.seen <= len(p.verdicts) {
		chain := s.id
		switch {
		case seen.Seq > s.head.Seq:
			chain = digest.Digest{}
		case seen.Seq > 0:
			var at []space.Record
			if at, chain = s.span.slice(seen.Seq, seen.Seq); at == nil {
				s.read(seen.Seq, seen.Seq)
				return v, false
			}
		}
		if chain != seen.Chain {
			return refuse(wire.CodeDiverged, fmt.Sprintf("$expire: what was written up to record %d is not what its author had seen", seen.Seq)), true
		}
		p.seen = len(p.verdicts) + 1
	}
	records, _ := s.span.slice(upto, upto)
	if records == nil {
		s.read(upto, upto)
		return v, false
	}
	if !records[0].Last() {
		return refuse(wire.CodeBadPayload, fmt.Sprintf("$expire: record %d does not end its transaction", upto)), true
	}
	return v, true
}
