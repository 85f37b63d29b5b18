package replica_test

import (
	"strings"
	"testing"

	"skerry/shared/replica"
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

// The records of a row that the server has accepted come while the store is read, since another tab changed it. They are dropped, to be asked for again, and a checkpoint takes their
// place: the row leaves the outbox. It stayed there for as long as the connection did.
func TestRecordsThatAreAskedForAgainAreLeftOut(t *testing.T) {
	s := farAway(t, 100)
	s.write("a", tx(50))
	s.settle()
	s.stores("a", tx(60))
	s.verdicts("a", 1, wire.Verdict{Kind: wire.Accepted, Position: s.stores("a", tx(50))})
	s.settle()
	s.wantsOutbox("a", "50 accepted")
	s.receive(s.events("a", 2, 2))
	s.step(replica.Committed{ID: s.store1().ID, Result: &replica.CommitResult{Stale: true, Epoch: s.core.Meta().Epoch}})
	s.receive(s.events("a", 3, 3)) // while the store is read
	s.settle()
	s.tell()
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeResumeGone}) // what is behind the first has expired
	s.arrives()
	s.settle()
	s.isAt(s.place)
	s.wantsOutbox("a", "")
	if s.hangup != "" {
		t.Error(s.hangup)
	}
}

// A row is discarded while the rows to be pushed are read, and the answer has it still. It is not there any more: it stayed in memory, and was counted as one that waits, for as long as the
// connection did.
func TestRowsAreReadWhileOneIsDiscarded(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.reload()
	s.lead()
	s.settle()
	s.greet()
	s.caughtUp("a")
	for len(s.refresh) > 0 {
		s.refreshed()
	}
	if len(s.rows) != 1 {
		t.Fatalf("%d reads", len(s.rows))
	}
	read := s.rows[0]
	s.rows = nil
	rows := s.store.Outbox(idOf("a"), read.After, read.MaxBytes)
	s.step(replica.Discard{Ref: s.ref(), Space: idOf("a"), ID: eventID(1)})
	s.settle()
	s.wantsOutbox("a", "")
	s.step(replica.RowsRead{Space: idOf("a"), After: read.After, Rows: rows})
	s.settle()
	if n := s.core.Status().Pending; n != 0 {
		t.Errorf("%d transactions wait", n)
	}
}
