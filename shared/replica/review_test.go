package replica_test

import (
	"errors"
	"testing"

	"skerry/shared/module"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Answers of a store that come late or not at all, and what must not be forgotten with a connection or the lead.

func (s *story) takeRefresh() space.ID {
	s.t.Helper()
	if len(s.refresh) == 0 {
		s.t.Fatal("no space is being read")
	}
	id := s.refresh[0]
	s.refresh = s.refresh[1:]
	return id
}

// A read that began before this tab raised the epoch may be answered after it: that is no other leader.
func TestAnOlderEpochIsNobodyElse(t *testing.T) {
	s := newStory(t)
	s.create("a")
	s.settle()
	s.otherTab("a", tx(1))
	s.step(replica.Poll{})
	s.surveyed()
	id := s.takeRefresh()
	before, survey := s.store.Refresh(id), s.store.Changes(0)
	s.lead()
	s.step(replica.Refreshed{Space: id, Snapshot: before})
	s.step(replica.Surveyed{Changes: survey})
	if s.down || !s.core.Status().Leader {
		t.Fatal("stepped down for its own older epoch")
	}
	s.store.RaiseEpoch()
	s.step(replica.Surveyed{Changes: s.store.Changes(0)})
	if !s.down {
		t.Fatal("did not step down for a newer epoch")
	}
}

func (s *story) surveyed() {
	s.survey = nil
	s.step(replica.Surveyed{Changes: s.store.Changes(0)})
}

// A space that could not be read once is read again: its outbox would wait for ever.
func TestReadThatFailsIsRepeated(t *testing.T) {
	s := newStory(t)
	s.create("a")
	s.write("a", tx(1))
	s.settle()
	s.reload()
	s.lead()
	for range 3 {
		s.step(replica.Refreshed{Space: s.takeRefresh()})
		for i := 0; len(s.refresh) == 0; i++ {
			if i == 10 {
				t.Fatal("the space is not read again")
			}
			s.tick()
		}
	}
	s.refreshed()
	s.greet()
	s.settle()
	s.wants("hello, directory , push a/1 genesis 1")
}

// What the directory told and was not stored when the lead was lost is asked for again, and stored then.
func TestDirectoryRowLostWithTheLead(t *testing.T) {
	s := newStory(t)
	s.online()
	genesis := genesisOf("a")
	rows := &wire.Spaces{Ref: 1, Since: []byte("1"), Full: true, Rows: []wire.SpaceRow{{Genesis: genesis, Module: module.Open}}}
	s.receive(rows)
	s.commits = nil // the tab loses the lead, and the lock with it, before its commit begins
	s.step(replica.Following{})
	s.lead()
	s.greet()
	s.receive(rows)
	s.settle()
	if info := s.store.Refresh(idOf("a")).Info; info.Genesis == nil || !info.Created {
		t.Fatalf("the store does not know what the space was made from: %+v", info)
	}
}

// A directory that the server could not read now is asked for again.
func TestRefusedDirectoryIsAskedForAgain(t *testing.T) {
	s := newStory(t)
	s.online()
	s.told()
	s.receive(&wire.Refused{Ref: 1, Code: wire.CodeOverloaded})
	for range 3 {
		s.tick()
		if got := s.told(); got == "directory " {
			return
		}
	}
	t.Fatal("the directory is not asked for again")
}

// A transaction that an earlier connection pushed may be in the log. Discarded before the server said so, it is
// decided by what the feed brings, not by guess.
func TestDiscardedAfterItReachedTheLog(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1), tx(2))
	s.settle()
	s.wants("push a/1 1, push a/2 2")
	s.stores("a", tx(1))
	s.step(replica.Disconnected{Reason: "cut"})
	for _, n := range []byte{1, 2} {
		s.step(replica.Discard{Ref: s.ref(), Space: idOf("a"), ID: eventID(n)})
	}
	s.settle()
	if got := s.decided(); got != "" {
		t.Fatalf("decided %q while nobody can know", got)
	}
	s.tick()
	s.told()
	s.greet()
	s.settle()
	s.wants("hello, directory , subscribe a@0")
	s.receive(s.events("a", 1, 1))
	s.caughtUp("a")
	s.settle()
	if got := s.decided(); got != "2 discarded, 1 synced" && got != "1 synced, 2 discarded" {
		t.Fatalf("decided %q", got)
	}
	s.wantsOutbox("a", "")
	s.wantsRecords("a", 1)
}

// What was never pushed is discarded at once, server or not.
func TestDiscardedOffline(t *testing.T) {
	s := synced(t)
	s.step(replica.Disconnected{Reason: "cut"})
	s.write("a", tx(1))
	s.step(replica.Discard{Ref: s.ref(), Space: idOf("a"), ID: eventID(1)})
	s.settle()
	if got := s.decided(); got != "1 discarded" {
		t.Fatalf("decided %q", got)
	}
	s.wantsOutbox("a", "")
}

// A space that nobody has any more holds no discarded rows back.
func TestDiscardedWhereTheServerHasNoSpace(t *testing.T) {
	s := newStory(t)
	s.step(replica.Open{Ref: s.ref(), Space: idOf("a")})
	s.write("a", tx(1))
	s.settle()
	s.reload()
	s.online()
	s.told()
	s.step(replica.Discard{Ref: s.ref(), Space: idOf("a"), ID: eventID(1)})
	s.settle()
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeUnknownSpace})
	if len(s.pushes) > 0 { // it was pushed: its verdict is outstanding
		s.verdicts("a", 1, deferred(wire.CodeUnknownSpace, 0))
	}
	s.settle()
	s.wantsOutbox("a", "")
}

// A tab that no longer leads reads what it missed, also where versions of its own commits left a gap.
func TestFollowerReadsAcrossAGap(t *testing.T) {
	s := synced(t)
	s.otherTab("a", tx(1))
	s.write("a", tx(2))
	s.stores("a", tx(9))
	s.receive(s.events("a", 1, 1)) // a commit of sync is under way when the append's outcome comes
	s.commit()
	s.step(replica.Following{})
	s.commits = nil
	s.step(replica.Poll{})
	s.settle()
	if n := s.core.Space(idOf("a")).Pending; n != 2 {
		t.Fatalf("sees %d transactions in the outbox, want 2", n)
	}
}

// A receipt is decided although the read that decides it failed, or another commit was under way.
func TestOutcomeIsReadAgain(t *testing.T) {
	s := newStory(t)
	s.create("a")
	s.write("a", tx(1))
	s.settle()
	discard := &replica.Commit{Strict: true, Spaces: []replica.SpaceCommit{{Space: idOf("a"),
		Withdraw: []space.ULID{eventID(1)}, DropWithdrawn: []space.ULID{eventID(1)}}}}
	if _, err := s.store.Commit(discard); err != nil {
		t.Fatal(err)
	}
	s.step(replica.Hint{Space: idOf("a"), Version: 99})
	s.refreshed()
	read := s.ids[0]
	s.ids = s.ids[1:]
	s.step(replica.IDsRead{Space: read.Space, After: read.After, Err: errors.New("the test's fault")})
	for i := 0; len(s.refresh)+len(s.ids) == 0; i++ {
		if i == 10 {
			t.Fatal("the outcome is not looked for again")
		}
		s.tick()
	}
	if len(s.refresh) > 0 {
		s.refreshed()
	}
	s.write("a", tx(2)) // under way while the answer comes
	read = s.ids[0]
	s.ids = s.ids[1:]
	s.step(replica.IDsRead{Space: read.Space, After: read.After})
	s.settle()
	s.tick()
	s.settle()
	if got := s.decided(); got != "1 discarded" {
		t.Fatalf("decided %q", got)
	}
}

// A space that is known by its ID alone is made here after all: it is created at the server with what waits for it.
func TestSpaceMadeAfterItWasOpened(t *testing.T) {
	s := newStory(t)
	s.step(replica.Open{Ref: s.ref(), Space: idOf("a")})
	s.settle()
	s.create("a")
	s.write("a", tx(1))
	s.settle()
	s.online()
	s.wants("hello, directory , push a/1 genesis 1")
}

// A read of rows that found nothing, because what was there was settled meanwhile, says nothing of a row that was
// appended after it: to pass over that one would break the order.
func TestEmptyReadPassesOverNothingNewer(t *testing.T) {
	s := synced(t)
	s.otherTab("a", tx(1))
	s.step(replica.Hint{Space: idOf("a"), Version: 99})
	s.refreshed()
	read := s.rows[0]
	s.rows = nil
	settle := &replica.Commit{Spaces: []replica.SpaceCommit{{Space: idOf("a"), Settle: []space.ULID{eventID(1)}}}}
	if _, err := s.store.Commit(settle); err != nil {
		t.Fatal(err)
	}
	s.step(replica.Hint{Space: idOf("a"), Version: 99})
	snapshot := s.store.Refresh(idOf("a"))
	rows := s.store.Outbox(idOf("a"), read.After, read.MaxBytes)
	s.takeRefresh()
	s.write("a", tx(2))
	s.commit()
	s.step(replica.RowsRead{Space: read.Space, After: read.After, Rows: rows})
	s.step(replica.Refreshed{Space: idOf("a"), Snapshot: snapshot})
	s.write("a", tx(3))
	s.settle()
	if got := s.told(); got != "push a/1 2 3" && got != "push a/1 2, push a/2 3" {
		t.Fatalf("sent %q", got)
	}
}

// A snapshot that is older than an append of this tab, and newer than what memory had before it, lacks the new row:
// nothing is pushed past it.
func TestSnapshotBetweenTwoCommits(t *testing.T) {
	s := synced(t)
	s.stores("a", tx(9))
	s.step(replica.Hint{Space: idOf("a"), Version: 99})
	id := s.takeRefresh()
	s.otherTab("a", tx(8))
	snapshot := s.store.Refresh(id)
	s.receive(s.events("a", 1, 1))
	sync := s.store1()
	result, err := s.store.Commit(sync.Commit)
	if err != nil {
		t.Fatal(err)
	}
	s.write("a", tx(1))
	s.commit()
	s.step(replica.Refreshed{Space: id, Snapshot: snapshot})
	s.step(replica.Committed{ID: sync.ID, Result: result})
	s.write("a", tx(2))
	s.settle()
	if got := s.told(); !inOrder(s.pushes, 8, 1, 2) {
		t.Fatalf("sent %q", got)
	}
}

// inOrder reports whether pushes carry exactly the transactions of these numbers, in this order.
func inOrder(pushes []*wire.Push, numbers ...byte) bool {
	var got []byte
	for _, p := range pushes {
		for i := range p.Transactions {
			got = append(got, number(p.Transactions[i].ID()))
		}
	}
	return string(got) == string(numbers)
}
