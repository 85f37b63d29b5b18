package replica_test

import (
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// onlyCheckpoint returns a space of which nothing is here but a checkpoint.
func onlyCheckpoint(t *testing.T) *distant {
	s := &distant{tabled: checkpoints(t)}
	s.reconnect()
	s.settle()
	s.place = space.Position{Seq: 10_000, Chain: digest.Of([]byte("far"))}
	s.root = s.rootAt(s.place)
	s.tell()
	s.arrives()
	s.settle()
	s.isAt(s.place)
	return s
}

// A server that lost all of a space, of which only a checkpoint is here, has no log that the checkpoint is of: the space goes back to its beginning, once, and
// stays there, with the checkpoint in the store. It went to the checkpoint again, and back, without end.
func TestNothingIsLeftBehindACheckpoint(t *testing.T) {
	s := onlyCheckpoint(t)
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

// A space that is being taken back to where it was before a checkpoint brings nothing back: what it would go over to another branch from is not there any more
// when that is stored.
func TestNothingIsBroughtBackWhileItGoesBack(t *testing.T) {
	s := onlyCheckpoint(t)
	s.reconnect()
	s.settle()
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeRecovering})
	if len(s.commits) != 1 || !s.commits[0].Commit.Spaces[0].Cut {
		t.Fatalf("%d commits, none takes it back", len(s.commits))
	}
	back := s.commits[0]
	s.commits = nil
	s.reconnect()
	s.told()
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeUnknownSpace})
	s.tick()
	if told := s.told(); strings.Contains(told, "locate") {
		t.Errorf("sent %q", told)
	}
	s.commits = append(s.commits, back)
	s.commit()
	s.settle()
	if told := s.told(); !strings.Contains(told, "subscribe a@0") {
		t.Errorf("sent %q", told)
	}
	if status := s.core.Space(idOf("a")); status.Code == wire.CodeRecovering || len(status.Info.Holes) > 0 {
		t.Errorf("%+v", status)
	}
}
