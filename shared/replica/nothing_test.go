package replica_test

import (
	"testing"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// A server that lost all of a space, of which only a checkpoint is here, has no log that the checkpoint is of: the space goes back to its beginning, once, and
// stays there, with the checkpoint in the store. It went to the checkpoint again, and back, without end.
func TestNothingIsLeftBehindACheckpoint(t *testing.T) {
	s := &distant{tabled: checkpoints(t)}
	s.reconnect()
	s.settle()
	s.place = space.Position{Seq: 10_000, Chain: digest.Of([]byte("far"))}
	s.root = s.rootAt(s.place)
	s.tell()
	s.arrives()
	s.settle()
	s.isAt(s.place)
	s.write("a", tx(50))
	s.settle()
	s.reconnect()
	s.settle()
	lost := func() {
		s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeUnknownSpace})
		s.settle()
	}
	lost()
	for range 20 {
		asked := false
		for _, f := range s.sent {
			if locate, ok := f.(*wire.Locate); ok {
				s.sent, asked = nil, true
				s.receive(&wire.Refused{Ref: locate.Ref, Code: wire.CodeDiverged})
				s.settle()
				break
			}
		}
		if !asked && s.info().Position.Seq == 0 {
			break
		}
		if !asked {
			lost()
		}
	}
	if info := s.info(); info.Position.Seq != 0 || len(info.Holes) > 0 {
		t.Fatalf("%+v", info)
	}
	s.wantsOutbox("a", "50")
	for range 50 {
		s.now = s.wakeAt
		s.step(replica.Tick{})
		s.settle()
		if info := s.info(); info.Position.Seq != 0 {
			t.Fatalf("it is at %d again", info.Position.Seq)
		}
	}
}
