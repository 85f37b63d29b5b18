package replica_test

import (
	"strings"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/wire"
)

// closed is synced with a space "b" beside, which has a record and nobody looks at.
func closed(t *testing.T) *story {
	s := synced(t)
	s.lists("b")
	s.open("b")
	s.settle()
	s.stores("b", tx(11))
	s.receive(s.events("b", 1, 1))
	s.caughtUp("b")
	s.settle()
	s.close("b")
	return s
}

// A space that waits for its turn without anything to push, as there is no room for records, is asked for when something is appended to it: at its turn the server
// has to have shown that it is on the same branch.
func TestAppendedWhileItWaitsForItsTurn(t *testing.T) {
	s := closed(t)
	s.reconnect()
	s.settle()
	s.after(120_000)
	s.stores("a", tx(1))
	s.receive(s.events("a", 1, 1))
	s.noRoom()
	s.wantsCode(wire.CodeQuota)
	created := true
	if _, err := s.store.Commit(&replica.Commit{Spaces: []replica.SpaceCommit{{Space: idOf("b"), SetCreated: &created}}}); err != nil {
		t.Fatal(err)
	}
	s.step(replica.Hint{Space: idOf("b"), Version: s.store.Refresh(idOf("b")).Version}) // of another tab: gives it a turn, which has to wait
	s.refreshed()
	s.told()
	s.write("b", tx(12))
	s.after(10_000)
	s.settle()
	if told := s.told(); !strings.Contains(told, "subscribe b@1") {
		t.Fatalf("sent %q", told)
	}
	s.caughtUp("b")
	s.settle()
	if told := s.told(); !strings.Contains(told, "push b/1 12") {
		t.Errorf("sent %q", told)
	}
}
