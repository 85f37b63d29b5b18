package replica_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// outcomes returns what was told of transactions since the last call: that they are stored, where they were found, and
// what became of them.
func (s *story) outcomes() string {
	var out []string
	for _, n := range s.notices {
		switch n := n.(type) {
		case replica.Durable:
			out = append(out, "durable")
		case replica.Failed:
			out = append(out, "failed "+n.Code.String())
		case replica.Found:
			out = append(out, fmt.Sprintf("%d found", number(n.ID)))
		case replica.Rejected:
			out = append(out, fmt.Sprintf("%d rejected %s", number(n.ID), n.Code))
		case replica.Decided:
			line := fmt.Sprintf("%d %s", number(n.ID), [...]string{1: "synced", 2: "refused", 3: "discarded"}[n.Outcome])
			if n.Outcome == replica.Synced {
				line += fmt.Sprintf(" at %d", n.Position.Seq)
			}
			out = append(out, line)
		}
	}
	s.notices = nil
	return strings.Join(out, ", ")
}

func (s *story) wantsOutcomes(want string) {
	s.t.Helper()
	if got := s.outcomes(); got != want {
		s.t.Fatalf("told %q, want %q", got, want)
	}
}

// refuse lets the server refuse the push that is under way.
func (s *story) refuse(name string, n uint64) {
	s.t.Helper()
	s.verdicts(name, n, wire.Verdict{Kind: wire.Rejected, Code: wire.CodeForbidden})
	s.settle()
}

// A page whose worker died sends again what it did not hear to be durable. Wherever the transaction came to be
// meanwhile, it is durable at once and what became of it is told.

func TestAppendedAgainWhatWaits(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1), tx(2))
	s.settle()
	s.reload()
	s.write("a", tx(1), tx(2), tx(3))
	s.settle()
	s.wantsOutbox("a", "1, 2, 3")
	s.wantsOutcomes("durable, durable, durable")
	s.online()
	s.answer()
	s.settle()
	s.wantsOutcomes("1 synced at 1, 2 synced at 2, 3 synced at 3")
}

func TestAppendedAgainWhatIsInTheLog(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.answer()
	s.stores("a", tx(2))
	s.receive(s.events("a", 1, 2))
	s.settle()
	s.wantsOutbox("a", "")
	s.reload()
	s.write("a", tx(1))
	s.settle()
	s.wantsOutcomes("durable")
	s.online()
	s.caughtUp("a")
	s.settle()
	s.answer()
	s.settle()
	s.wantsOutcomes("1 synced at 1")
	s.wantsOutbox("a", "")
	s.wantsRecords("a", 2)
}

func TestAppendedAgainWhatWasRefused(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.told()
	s.refuse("a", 1)
	s.wantsOutcomes("durable, 1 rejected forbidden, 1 refused")
	s.reload()
	s.write("a", tx(1), tx(2))
	s.settle()
	s.wantsOutbox("a", "2")
	if n := len(s.store.Rejected(idOf("a"))); n != 1 {
		t.Errorf("%d are among the rejected, want 1", n)
	}
	s.wantsOutcomes("durable, durable, 1 refused")
}

func TestAppendedAgainWhatWasTakenBack(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.told()
	s.step(replica.Discard{Ref: s.ref(), Space: idOf("a"), ID: eventID(1)})
	s.settle()
	s.wantsOutbox("a", "1 withdrawn")
	s.reload()
	s.write("a", tx(1))
	s.settle()
	s.online()
	s.caughtUp("a")
	s.settle()
	if got := s.outcomes(); got != "durable, 1 discarded" {
		t.Fatalf("told %q", got)
	}
	s.wantsOutbox("a", "")
}

// A receipt is found again in another tab, or after a restart.
func TestWatch(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1, 2), tx(3), tx(4))
	s.settle()
	s.answer()
	s.stores("a", tx(9))
	s.receive(s.events("a", 1, 2))
	s.settle()
	s.reload() // 1 is among the records, 3 and 4 are accepted
	watch := func(n byte) {
		t.Helper()
		s.step(replica.Watch{Space: idOf("a"), ID: eventID(n)})
		s.settle()
	}
	watch(1)
	s.wantsOutcomes("1 synced at 2")
	watch(3)
	s.wantsOutcomes("3 found, 3 synced at 3")
	watch(7)
	s.wantsOutcomes("7 discarded")
	s.write("a", tx(5))
	s.step(replica.Watch{Space: idOf("a"), ID: eventID(5)}) // on its way to the store
	s.settle()
	s.wantsOutcomes("5 found, durable")
	s.step(replica.Watch{Space: idOf("z"), ID: eventID(1)}) // of a space that nobody knows
	s.settle()
	s.wantsOutcomes("1 discarded")
	watch(5)
	s.wantsOutcomes("5 found")
	s.online()
	s.receive(s.events("a", 3, 5))
	s.caughtUp("a")
	s.settle()
	s.told()
	s.refuse("a", 1)
	s.wantsOutcomes("5 rejected forbidden, 5 refused")
	watch(5)
	s.wantsOutcomes("5 refused")
}

func TestWatchedWhatIsNotStored(t *testing.T) {
	s := synced(t)
	s.write("b", tx(2))
	before := s.store1()
	s.write("a", tx(1)) // waits for that
	s.step(replica.Watch{Space: idOf("a"), ID: eventID(1)})
	s.settle()
	s.wantsOutcomes("")
	s.step(replica.Committed{ID: before.ID, Err: errors.New("no room"), Full: true})
	s.step(replica.Committed{ID: s.store1().ID, Err: errors.New("no room"), Full: true})
	s.settle()
	s.wantsOutcomes("failed quota, failed quota, 1 discarded")
}

// What another tab's transaction came to is told too, once, but not what was refused before anybody looked.
func TestARefusalIsToldInEveryTab(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.told()
	s.refuse("a", 1)
	s.reload()
	s.step(replica.Open{Ref: s.ref(), Space: idOf("a")})
	s.step(replica.Watch{Space: idOf("a"), ID: eventID(1)})
	s.settle()
	s.wantsOutcomes("durable, 1 refused")
	s.otherTab("a", tx(2))
	_, err := s.store.Commit(&replica.Commit{Spaces: []replica.SpaceCommit{{
		Space: idOf("a"), Reject: []replica.Rejection{{ID: eventID(2), Code: wire.CodeTooLarge}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	s.step(replica.Poll{})
	s.settle()
	s.wantsOutcomes("2 rejected too_large")
	s.step(replica.Poll{})
	s.settle()
	s.wantsOutcomes("")
}

// A store that cannot tell what became of a commit is given the same again, before anything that came later.
func TestAnUnclearAppendIsMadeAgain(t *testing.T) {
	for _, happened := range []bool{false, true} {
		s := synced(t)
		s.write("a", tx(1))
		c := s.store1()
		s.write("a", tx(2))
		if happened {
			if _, err := s.store.Commit(c.Commit); err != nil {
				t.Fatal(err)
			}
		}
		s.step(replica.Committed{ID: c.ID, Err: errors.New("the connection was lost")})
		s.settle()
		s.wantsOutcomes("")
		if status := s.core.Status(); status.Code != wire.CodeStorageFailed || status.Undurable != 2 {
			t.Errorf("status %s with %d undurable", status.Code, status.Undurable)
		}
		s.tick()
		s.settle()
		s.wantsOutcomes("durable, durable")
		s.wantsOutbox("a", "1, 2")
		if status := s.core.Status(); status.Code != 0 || status.Undurable != 0 {
			t.Errorf("status %s with %d undurable", status.Code, status.Undurable)
		}
		s.answer()
		s.settle()
		s.wantsOutcomes("1 synced at 1, 2 synced at 2")
	}
}

func TestAtTheEndAnUnclearAppendIsTriedOnce(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	fail := func() {
		c := s.store1()
		s.step(replica.Committed{ID: c.ID, Err: errors.New("the disk is gone")})
	}
	fail()
	s.step(replica.Closing{})
	fail()
	s.wantsOutcomes("failed storage_failed")
	s.write("a", tx(2))
	s.settle()
	s.wantsOutbox("a", "2")
}

func TestAStoreThatRefusesForGoodIsNotAskedAgain(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	c := s.store1()
	s.step(replica.Committed{ID: c.ID, Err: errors.New("newer"), Final: wire.CodeUpgradeRequired})
	s.settle()
	s.wantsOutcomes("failed upgrade_required")
}

// What was refused earlier is counted from the start, also in spaces that nobody looks at; and is not told as new.
func TestRefusalsOfEarlierAreCounted(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.told()
	s.refuse("a", 1)
	s.reload()
	if n := s.core.Status().Rejected; n != 1 {
		t.Errorf("%d are counted, want 1", n)
	}
	s.online()
	s.caughtUp("a")
	s.settle()
	s.write("a", tx(2))
	s.settle()
	s.told()
	s.outcomes()
	s.refuse("a", 1)
	s.wantsOutcomes("2 rejected forbidden, 2 refused")
	s.step(replica.Hint{Space: idOf("a"), Version: 99})
	s.refreshed()
	s.wantsOutcomes("")
	if n := s.core.Status().Rejected; n != 2 {
		t.Errorf("%d are counted, want 2", n)
	}
}

// The position of a receipt is that of its transaction, also if the records came before the verdict and with others.
func TestAReceiptKnowsItsPlace(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1, 2), tx(3))
	s.settle()
	s.stores("a", tx(1, 2))
	s.stores("a", tx(3))
	s.stores("a", tx(9))
	s.receive(s.events("a", 1, 4))
	s.settle()
	s.wantsOutcomes("durable, durable, 1 synced at 2, 3 synced at 3")
}

func TestAServerThatIsNotSetUpIsShown(t *testing.T) {
	s := synced(t)
	wants := func(want string) {
		t.Helper()
		if got := s.core.Status().Connection; got != want {
			t.Errorf("connection %s, want %s", got, want)
		}
	}
	wants(replica.ConnectionOnline)
	s.write("a", tx(1))
	s.settle()
	s.told()
	s.pushes = nil
	s.verdicts("a", 1, deferred(wire.CodeSetupRequired, 0))
	wants(replica.ConnectionSetupRequired)
	s.wantsOutbox("a", "1")
	s.tick()
	s.settle()
	s.answer()
	s.settle()
	wants(replica.ConnectionOnline)
}

// A commit whose outcome the store could not tell is made again. By then its row may have been read, pushed and settled:
// it comes to be in the outbox a second time, and leaves it as the first did. Whichever is reported first, memory must
// not take the settled row for the new one.
func TestAppendedByACommitThatWasMadeTwice(t *testing.T) {
	for _, order := range []string{"append, settle", "settle, append", "append, read, settle"} {
		s := synced(t)
		s.write("a", tx(1))
		c := s.store1()
		if _, err := s.store.Commit(c.Commit); err != nil {
			t.Fatal(err)
		}
		s.step(replica.Committed{ID: c.ID, Err: errors.New("the connection was lost")})
		s.step(replica.Hint{Space: idOf("a"), Version: s.store.Refresh(idOf("a")).Version})
		s.refreshed()
		s.readRows()
		s.wants("push a/1 1")
		s.receive(s.eventsOf("a", tx(1)))
		settle := s.store1()
		settled, err := s.store.Commit(settle.Commit)
		if err != nil || s.outbox("a") != "" {
			t.Fatal(err, s.outbox("a"))
		}
		s.tick()
		c = s.store1()
		again, err := s.store.Commit(c.Commit)
		if err != nil || s.outbox("a") != "1" {
			t.Fatal(err, s.outbox("a"))
		}
		for _, what := range strings.Split(order, ", ") {
			switch what {
			case "append":
				s.step(replica.Committed{ID: c.ID, Result: again})
			case "settle":
				s.step(replica.Committed{ID: settle.ID, Result: settled})
			case "read":
				for len(s.refresh) > 0 {
					s.refreshed()
				}
			}
		}
		s.settle()
		s.receive(&wire.Pushed{Space: idOf("a"), N: 1, Verdicts: []wire.Verdict{{Kind: wire.Accepted, Position: s.serverLog("a").head}}})
		s.settle()
		if got := s.told(); !strings.Contains(got, "push a/2 1") {
			t.Fatalf("%s: sent %q: the row is not pushed again", order, got)
		}
		s.verdicts("a", 2, wire.Verdict{Kind: wire.Duplicate, Position: s.serverLog("a").head})
		s.settle()
		s.wantsOutbox("a", "")
		if n := s.core.Status().Pending; n != 0 {
			t.Errorf("%s: %d pending", order, n)
		}
	}
}

// eventsOf stores a transaction at the server and returns the frame that brings its records.
func (s *story) eventsOf(name string, t space.Transaction) *wire.Events {
	s.t.Helper()
	from := s.serverLog(name).head.Seq + 1
	return s.events(name, from, s.stores(name, t).Seq)
}

// TestAppendedIsToldLast: push reads a row out of the store that this tab has made durable and has not heard of, behind another tab's; its records come and
// settle it, and only then the tab hears that it is durable. It is not there any more.
func TestAppendedIsToldLast(t *testing.T) {
	s := synced(t)
	s.otherTab("a", tx(1))
	s.step(replica.Hint{Space: idOf("a"), Version: s.store.Refresh(idOf("a")).Version})
	s.refreshed()
	s.write("a", tx(2))
	own := s.store1()
	durable, err := s.store.Commit(own.Commit)
	if err != nil {
		t.Fatal(err)
	}
	s.readRows()
	s.wants("push a/1 1 2")
	s.receive(s.eventsOf("a", tx(1)))
	s.receive(s.eventsOf("a", tx(2)))
	for len(s.commits) > 0 {
		s.commit()
	}
	s.wantsOutbox("a", "")
	s.step(replica.Committed{ID: own.ID, Result: durable})
	s.settle()
	if n := s.core.Status().Pending; n != 0 {
		t.Errorf("%d pending", n)
	}
}
