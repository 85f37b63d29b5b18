package replica_test

import (
	"strings"
	"testing"

	"skerry/shared/wire"
)

// A row is not pushed while its records are on the way here. If they are left out then, since a checkpoint takes their place, it is pushed, for the server to say that
// it has it: it stayed in the outbox until the next connection.
func TestRecordsOnTheWayAreLeftOut(t *testing.T) {
	s := farAway(t, 10_100)
	s.write("a", tx(50))
	s.settle()
	s.reconnect()
	s.told()
	s.stores("a", tx(60))
	s.stores("a", tx(50))
	s.receive(s.events("a", 2, 2)) // being stored
	s.receive(s.events("a", 3, 3)) // waits for that
	for len(s.rows) > 0 {
		s.readRows()
	}
	if told := s.told(); strings.Contains(told, "push") {
		t.Fatalf("sent %q", told)
	}
	s.tell()
	s.arrives()
	s.settle()
	s.isAt(s.place)
	position := s.tabled.at("a", 3)
	s.verdicts("a", 1, wire.Verdict{Kind: wire.Duplicate, Position: position})
	s.settle()
	s.wantsOutbox("a", "")
	if s.hangup != "" {
		t.Error(s.hangup)
	}
}
