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

// What could not be stored for want of room does not make the device full for ever: records that are stored show that
// there is room again, also to a tab that does not sync.
func TestRoomIsSeenByRecords(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.noRoom()
	s.wantsOutcomes("failed quota")
	s.wantsCode(wire.CodeQuota)
	s.stores("a", tx(2))
	s.receive(s.events("a", 1, 1))
	s.settle()
	s.wantsRecords("a", 1)
	s.wantsCode(0)

	s.step(replica.Following{})
	s.write("a", tx(3))
	s.noRoom()
	s.wantsCode(wire.CodeQuota)
	s.otherTab("a", tx(4)) // which takes room of another kind
	s.step(replica.Hint{Space: idOf("a"), Version: s.store.Refresh(idOf("a")).Version})
	s.settle()
	s.wantsCode(wire.CodeQuota)
	from, to := s.store.Refresh(idOf("a")).Info.Position, s.stores("a", tx(5))
	run := s.serverLog("a").records
	result, err := s.store.Commit(&replica.Commit{Spaces: []replica.SpaceCommit{{
		Space: idOf("a"), Expect: &from, Position: &to, First: 2, Last: 2, Records: wire.AppendRecord(nil, &run[1]),
	}}})
	if err != nil || result.Stale {
		t.Fatal(result, err)
	}
	s.step(replica.Hint{Space: idOf("a"), Version: s.store.Refresh(idOf("a")).Version})
	s.settle()
	s.wantsCode(0)
}

// Where nothing comes and nothing is written any more, it is tried now and then whether there is room again, for as much
// as could not be stored.
func TestRoomIsLookedFor(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.noRoom()
	s.wantsOutcomes("failed quota")
	s.wantsCode(wire.CodeQuota)
	for range 2 {
		if n := len(s.commits); n != 0 {
			t.Fatalf("%d commits at once", n)
		}
		for n := 0; n < 50 && len(s.commits) == 0; n++ {
			s.tick()
		}
		if c := s.noRoom(); c.Room < 100 || len(c.Spaces) != 0 || c.Fenced {
			t.Fatalf("it is tried with %+v", c)
		}
		s.wantsCode(wire.CodeQuota)
	}
	s.step(replica.Online{}) // somebody looks
	if c := s.store1(); c.Commit.Room < 100 {
		t.Fatalf("it is tried with %+v", c.Commit)
	} else {
		s.step(replica.Committed{ID: c.ID, Result: &replica.CommitResult{}})
	}
	if code := s.core.Status().Code; code == wire.CodeQuota {
		t.Fatal("the device is full still")
	}
	for range 50 {
		s.tick()
	}
	if n := len(s.commits); n != 0 {
		t.Fatalf("%d commits, though there is room", n)
	}
	s.write("a", tx(2))
	s.settle()
	s.wantsOutcomes("durable")
}
