package replica_test

import (
	"errors"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/wire"
)

// noRoom fails the oldest commit that is under way for want of room, with nothing written.
func (s *story) noRoom() *replica.Commit {
	s.t.Helper()
	c := s.store1()
	s.step(replica.Committed{ID: c.ID, Err: errors.New("full"), Full: true})
	return c.Commit
}

func (s *story) wantsCode(code wire.Code) {
	s.t.Helper()
	if got := s.core.Status(); got.Code != code {
		s.t.Fatalf("the status has the code %v (%s), want %v", got.Code, got.Reason, code)
	}
}

// While there is no room for records nothing is pulled and nothing pushed, and appending goes on. It all goes on by
// itself when there is room.
func TestNoRoomForRecords(t *testing.T) {
	s := synced(t)
	s.stores("a", tx(1))
	s.receive(s.events("a", 1, 1))
	s.noRoom()
	s.wantsCode(wire.CodeQuota)
	s.write("a", tx(2))
	s.settle()
	s.wants("")
	s.wantsOutbox("a", "2")
	s.wantsOutcomes("durable")
	for range 3 {
		s.tick()
		s.noRoom()
		s.wants("")
	}
	s.tick()
	s.settle()
	s.wants("credit 157, push a/1 2")
	s.wantsRecords("a", 1)
	s.wantsCode(0)
}

// What was pushed before the device was full has verdicts, which wait in memory and are stored when there is room.
func TestNoRoomForVerdicts(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.answer()
	s.noRoom()
	s.write("a", tx(2))
	s.settle()
	s.wants("")
	s.step(replica.Online{}) // somebody looks: it is tried at once
	s.settle()
	s.wantsOutbox("a", "1 accepted, 2")
	s.wants("push a/2 2")
	s.wantsCode(0)
}

// Of what is appended together nothing fails that there is room for.
func TestNoRoomForOneOfMany(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.write("a", tx(2), tx(3), tx(4)) // gathered while the first is stored
	s.commit()
	s.noRoom()
	s.commit()
	if c := s.noRoom(); len(c.Spaces) != 1 || len(c.Spaces[0].Append) != 1 || c.Spaces[0].Append[0].ID != eventID(3) {
		t.Fatalf("after the second the commit %+v", c)
	}
	s.wantsCode(wire.CodeQuota)
	s.settle()
	s.wantsOutbox("a", "1, 2, 4")
	s.wantsOutcomes("durable, durable, failed quota, durable")
	s.wantsCode(0)
}
