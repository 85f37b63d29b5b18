package hub

import (
	"fmt"

	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// expirable judges what only the log can tell of a transaction of $expire: that it names the end of a transaction that is durable. The
// zero verdict means that it does; ok is false if the record has to be read first.
func (s *Space) expirable(t *space.Transaction) (v wire.Verdict, ok bool) {
	upto, ok := module.ExpiredTo(t.Events[0].Payload)
	switch {
	case s.tables == nil:
		return refuse(wire.CodeReservedType, "nothing expires in a space without tables"), true
	case !ok:
		return refuse(wire.CodeBadPayload, "$expire has upto, a record's number"), true
	case upto == 0 || upto > s.head.Seq:
		return refuse(wire.CodeBadPayload, fmt.Sprintf("$expire: the log ends at record %d", s.head.Seq)), true
	case s.tip.Seq+2 > space.MaxSeq:
		return refuse(wire.CodeSpaceFull, "the space has no sequence number left for an expiry"), true
	case s.span.failed:
		s.span = span{}
		return refuse(wire.CodeOverloaded, "the log could not be read"), true
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
