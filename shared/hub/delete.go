package hub

import (
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// end takes the space out of service, whose last record, at the head, deletes it. What waits is refused. Records that another server
// appended may have removed readers, and the module that would say whom may be gone with its log: so who reads a guarded space is
// told of no more than what they were asked for.
func (s *Space) end(last space.ULID, judged bool) {
	if judged || s.instance != nil && !s.guarded() {
		s.told = s.head
	}
	s.forget()
	s.phase, s.last = deleted, last
	s.tip = s.head
	s.batches, s.retained, s.group, s.span = nil, nil, nil, span{}
	s.inFlight, s.ending, s.rewind = false, false, false
	s.lookupRef, s.looked = 0, s.judged
	clear(s.proposed)
	s.out.Turned = false // nobody may read, so nobody is asked
	s.out.Moved, s.out.Deleted = true, true
}

// judgeRest judges what is pushed to a space that was deleted.
func (s *Space) judgeRest(now uint64) {
	for ; s.judged < len(s.queue); s.judged++ {
		s.judgePush(now, s.queue[s.judged])
	}
	s.looked = s.judged
}

// judgeDeleted judges a transaction for a space that was deleted: all that is still known of its log is the record that did it.
func (s *Space) judgeDeleted(t *space.Transaction) wire.Verdict {
	if len(t.Events) == 1 && t.Events[0].ID == s.last && t.Events[0].Type == module.TypeDelete {
		return wire.Verdict{Kind: wire.Duplicate, Position: s.sealed(s.head.Position())}
	}
	return refuseDeleted()
}

func refuseDeleted() wire.Verdict { return refuse(wire.CodeDeleted, "the space was deleted") }
