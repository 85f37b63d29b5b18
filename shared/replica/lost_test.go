package replica_test

import (
	"testing"

	"skerry/shared/replica"
	"skerry/shared/wire"
)

// loses destroys the store under the tab, which is told as soon as what was asked of it is forgotten.
func (s *story) loses() {
	s.t.Helper()
	s.told()
	s.pushes, s.commits, s.refresh, s.rows, s.ids, s.survey = nil, nil, nil, nil, nil, nil
	s.store = replica.NewModel("ann", wire.SessionID{2})
	s.step(replica.Lost{Loaded: s.store.Load()})
}

// A browser deletes its databases under open pages. What memory still has and no server is written again, in its order,
// and before what came later.

func TestLostWritesAgainWhatMemoryHas(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1), tx(2))
	s.settle() // 1 and 2 are on their way to the server
	s.write("a", tx(3))
	s.write("a", tx(4)) // 3 is on its way to the store, 4 waits
	s.told()
	s.notices = nil
	s.loses()
	if s.hangup == "" {
		t.Error("the connection of a replica that is gone goes on")
	}
	s.settle()
	s.wantsOutbox("a", "1, 2, 3, 4")
	s.wantsOutcomes("durable, durable")
	if info := s.store.Refresh(idOf("a")).Info; info.Genesis == nil || !info.Created {
		t.Errorf("the space that was open is %+v", info)
	}
	s.online()
	s.caughtUp("a")
	s.told()
	s.settle()
	s.answer()
	s.settle()
	s.wantsOutcomes("1 synced at 1, 2 synced at 2, 3 synced at 3, 4 synced at 4")
	if status := s.core.Status(); status.Lost == "" || status.Code != wire.CodeReplicaLost {
		t.Errorf("the status does not tell: %+v", status)
	}
}

func TestLostSpaceIsCreatedAgain(t *testing.T) {
	s := newStory(t)
	s.create("a")
	s.settle()
	s.loses()
	s.settle()
	s.lead()
	s.settle()
	s.greet()
	s.settle()
	s.wants("hello, directory , push a/1 genesis")
}

// What was accepted is in the log: it comes with the feed, and is not pushed again.
func TestLostAcceptedComesBack(t *testing.T) {
	s := synced(t)
	s.step(replica.Open{Space: idOf("a"), Ref: s.ref()})
	s.write("a", tx(1))
	s.settle()
	s.answer()
	s.settle()
	s.wantsOutcomes("durable, durable, 1 synced at 1")
	s.loses()
	s.settle()
	s.wantsOutbox("a", "")
	s.online()
	s.receive(s.events("a", 1, 1))
	s.caughtUp("a")
	s.settle()
	s.wantsRecords("a", 1)
}

// A row whose bytes are not in memory is gone. One that was never sent is told of at once.
func TestLostRowsThatWereNeverSent(t *testing.T) {
	s := newStory(t)
	s.create("a")
	s.write("a", tx(1), tx(2))
	s.settle()
	s.notices = nil
	s.loses()
	s.wantsOutcomes("1 discarded, 2 discarded")
	s.settle()
	s.wantsOutbox("a", "")
	if status := s.core.Status(); status.Pending != 0 || status.Lost == "" {
		t.Errorf("the status: %+v", status)
	}
}

// One that may have been sent is told of when the server has told all that it has.
func TestLostRowsThatMayBeInTheLog(t *testing.T) {
	s := synced(t)
	s.step(replica.Open{Space: idOf("a"), Ref: s.ref()})
	s.write("a", tx(1), tx(2))
	s.settle()
	s.stores("a", tx(1)) // the server has the first, and its verdict is lost with the connection
	s.told()
	s.step(replica.Disconnected{Reason: "cut"})
	s.step(replica.Following{})
	s.notices = nil
	s.loses()
	s.settle()
	s.online()
	s.wantsOutcomes("")
	s.receive(s.events("a", 1, 1))
	s.caughtUp("a")
	s.settle()
	s.wantsOutcomes("1 synced at 1, 2 discarded")
}

// An answer of the store that is gone must not be taken for one of the new: versions began anew.
func TestLostBeginsVersionsAnew(t *testing.T) {
	s := synced(t)
	for n := range byte(5) {
		s.write("a", tx(n+1))
		s.settle()
	}
	s.loses()
	s.settle()
	s.otherTab("a", tx(9))
	s.step(replica.Poll{})
	s.settle()
	if pending := s.core.Space(idOf("a")).Pending; pending != 6 {
		t.Errorf("%d transactions wait, want 5 and another tab's", pending)
	}
}
