package replica_test

import (
	"testing"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// damagedStory has three records of space "a" stored, of which somebody finds that some cannot be read.
func damagedStory(t *testing.T) *story {
	t.Helper()
	s := synced(t)
	for n := range byte(3) {
		s.stores("a", tx(n+1))
	}
	s.receive(s.events("a", 1, 3))
	s.caughtUp("a")
	s.settle()
	s.wantsRecords("a", 3)
	s.told()
	s.notices = nil
	return s
}

// at is the position of the server's log at a number.
func (s *story) at(name string, seq uint64) space.Position {
	return space.Position{Seq: seq, Chain: space.Fold(idOf(name), s.serverLog(name).records[:seq])}
}

// finds checks what is stored for the tab, and finds it sound up to a number.
func (s *story) finds(name string, sound uint64, damaged bool) {
	s.t.Helper()
	if len(s.checks) != 1 || s.checks[0] != idOf(name) {
		s.t.Fatalf("%d checks are asked for, want one of %s", len(s.checks), name)
	}
	s.checks = nil
	s.step(replica.Checked{Space: idOf(name), Sound: s.at(name, sound), Damaged: damaged})
}

func (s *story) wantsDamaged(name string, n uint64) {
	s.t.Helper()
	if got := s.store.Refresh(idOf(name)).Info.Damaged; got != n {
		s.t.Fatalf("the store says that %s is damaged below %d, want %d", name, got, n)
	}
	code := wire.CodeDamaged
	if n == 0 {
		code = 0
	}
	if status := s.core.Status(); status.Damaged > 0 != (n > 0) || s.core.Space(idOf(name)).Code != code {
		s.t.Fatalf("the status is %+v, the space's %+v", status, s.core.Space(idOf(name)))
	}
}

func TestDamagedRecordsAreFetchedAgain(t *testing.T) {
	s := damagedStory(t)
	s.step(replica.Damaged{Space: idOf("a")})
	s.settle()
	s.wantsDamaged("a", 3)
	s.finds("a", 1, true)
	s.settle()
	s.wantsRecords("a", 1)
	s.wantsDamaged("a", 3)
	s.wants("subscribe a@1")
	s.receive(s.events("a", 2, 2))
	s.settle()
	s.wantsDamaged("a", 3)
	s.receive(s.events("a", 3, 3))
	s.caughtUp("a")
	s.settle()
	s.wantsRecords("a", 3)
	s.wantsDamaged("a", 0)
	s.write("a", tx(4))
	s.settle()
	s.answer()
	s.receive(s.events("a", 4, 4))
	s.settle()
	s.wantsRecords("a", 4)
	s.wantsOutbox("a", "")
}

// What was given up to be fetched again the server may lose before it comes, when it is restored from a backup: what is not there any more is not waited for.
func TestDamagedRecordsThatTheServerLost(t *testing.T) {
	s := damagedStory(t)
	s.step(replica.Damaged{Space: idOf("a")})
	s.settle()
	s.finds("a", 1, true)
	s.settle()
	s.wants("subscribe a@1")
	l := s.serverLog("a")
	l.records, l.head = l.records[:2], s.at("a", 2)
	s.reconnect()
	s.wants("hello, directory , subscribe a@1")
	s.receive(s.events("a", 2, 2))
	s.settle()
	s.wantsDamaged("a", 3)
	s.caughtUp("a")
	s.settle()
	s.wantsRecords("a", 2)
	s.wantsDamaged("a", 0)
	s.reload()
	s.wantsDamaged("a", 0)
}

// Until the server has shown that it has all that the replica should have, nothing is deleted.
func TestDamageWaitsForTheServer(t *testing.T) {
	s := damagedStory(t)
	s.step(replica.Disconnected{Reason: "cut"})
	s.step(replica.Damaged{Space: idOf("a")})
	s.settle()
	s.wantsDamaged("a", 3)
	if len(s.checks) > 0 {
		t.Fatal("it would cut while it is offline")
	}
	s.reload() // what was found outlives the tab
	s.wantsDamaged("a", 3)
	s.online()
	s.told()
	if len(s.checks) > 0 {
		t.Fatal("it would cut before the server knew the position")
	}
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeDiverged})
	s.settle()
	if len(s.checks) > 0 {
		t.Fatal("it would cut what the server does not have")
	}
	s.wantsRecords("a", 3)
	s.reconnect()
	s.caughtUp("a")
	s.step(replica.Disconnected{Reason: "cut"})
	s.finds("a", 0, true) // too late
	s.settle()
	s.wantsRecords("a", 3)
	s.now = s.wakeAt
	s.step(replica.Tick{})
	s.greet()
	s.told()
	s.caughtUp("a")
	s.finds("a", 0, true)
	s.settle()
	s.wantsRecords("a", 0)
	s.wants("subscribe a@0")
	s.receive(s.events("a", 1, 3))
	s.settle()
	s.wantsDamaged("a", 0)
}

// Nobody's word is enough: who syncs looks for itself.
func TestDamageThatIsNotThere(t *testing.T) {
	s := damagedStory(t)
	s.step(replica.Damaged{Space: idOf("a")})
	s.settle()
	s.finds("a", 3, false)
	s.settle()
	s.wantsDamaged("a", 0)
	s.wantsRecords("a", 3)
	s.wants("")
}

// Rows that wait and rows that were accepted and are not here yet stay, whether their place is above or below the cut.
// What is found sound while more is being stored is found again, with that.
func TestSoundnessOfAPositionThatIsLeft(t *testing.T) {
	s := damagedStory(t)
	s.step(replica.Damaged{Space: idOf("a")})
	s.settle()
	s.stores("a", tx(4))
	s.receive(s.events("a", 4, 4))
	s.finds("a", 3, false)
	s.settle()
	s.wantsDamaged("a", 3)
	s.finds("a", 4, false)
	s.settle()
	s.wantsDamaged("a", 0)
	s.wantsRecords("a", 4)
}

func TestDamageKeepsTheOutbox(t *testing.T) {
	s := damagedStory(t)
	s.write("a", tx(4), tx(5))
	s.settle()
	s.answer() // accepted at 4 and 5
	s.settle()
	s.wantsOutbox("a", "4 accepted, 5 accepted")
	s.write("a", tx(6))
	s.settle()
	s.told()
	pushes := s.pushes
	s.step(replica.Damaged{Space: idOf("a")})
	s.settle()
	s.finds("a", 0, true)
	// A verdict says, before the cut is stored, that a row is in the log where the records were.
	s.pushes = pushes
	s.verdicts("a", pushes[len(pushes)-1].N, wire.Verdict{Kind: wire.Duplicate, Position: s.at("a", 2)})
	s.settle()
	s.wantsRecords("a", 0)
	s.wantsOutbox("a", "4 accepted, 5 accepted, 6 accepted")
	s.receive(s.events("a", 1, 5))
	s.settle()
	s.wantsRecords("a", 5)
	s.wantsOutbox("a", "6 accepted")
}

// A verdict whose row was about to leave the outbox for good when its records were given up.
func TestDamageKeepsRowsAboutToLeave(t *testing.T) {
	s := damagedStory(t)
	s.write("a", tx(6))
	s.settle()
	s.told()
	push := s.pushes[len(s.pushes)-1]
	s.step(replica.Damaged{Space: idOf("a")})
	s.settle()
	s.write("a", tx(7)) // keeps nothing of sync from being stored, but a commit of sync under way does:
	s.receive(&wire.Spaces{Rows: []wire.SpaceRow{{Genesis: genesisOf("b"), State: wire.SpacePresent}}})
	s.verdicts("a", push.N, wire.Verdict{Kind: wire.Duplicate, Position: s.at("a", 2)})
	s.finds("a", 0, true)
	s.settle()
	s.wantsRecords("a", 0)
	s.wantsOutbox("a", "6 accepted, 7")
}

// A tab that follows sees the position go back, and tells no transaction discarded whose records are on their way back.
func TestFollowersOfACut(t *testing.T) {
	s := damagedStory(t)
	s.step(replica.Following{})
	s.write("a", tx(9))
	s.settle()
	s.notices = nil
	s.stores("a", tx(9))
	// Another tab that leads stores the record and settles the row, and then takes the space back.
	other := func(part replica.SpaceCommit) {
		t.Helper()
		part.Space = idOf("a")
		if result, err := s.store.Commit(&replica.Commit{Spaces: []replica.SpaceCommit{part}}); err != nil || result.Stale {
			t.Fatal(result, err)
		}
	}
	from, to, all := s.store.Refresh(idOf("a")).Info.Position, s.at("a", 1), s.at("a", 4)
	run := s.serverLog("a").records
	other(replica.SpaceCommit{Expect: &from, Position: &all, First: 4, Last: 4, Records: wire.AppendRecord(nil, &run[3]), Settle: []space.ULID{eventID(9)}})
	damaged := uint64(4)
	other(replica.SpaceCommit{Expect: &all, Position: &to, Cut: true, SetDamaged: &damaged})
	s.step(replica.Poll{})
	s.settle()
	if got := s.core.Space(idOf("a")); got.Info.Position.Seq != 1 || got.Code != wire.CodeDamaged {
		t.Fatalf("the follower sees %+v", got)
	}
	if got := s.decided(); got != "" {
		t.Fatalf("told %q while records are on their way back", got)
	}
	var records []byte
	for i := 1; i < 4; i++ {
		records = wire.AppendRecord(records, &run[i])
	}
	other(replica.SpaceCommit{Expect: &to, Position: &all, First: 2, Last: 4, Records: records, SetDamaged: new(uint64)})
	s.step(replica.Poll{})
	s.settle()
	if got := s.decided(); got != "9 synced" {
		t.Fatalf("told %q, want 9 synced", got)
	}
}

// What was read before this tab's cut does not undo it in memory.
func TestWhatWasReadBeforeACut(t *testing.T) {
	s := damagedStory(t)
	s.step(replica.Damaged{Space: idOf("a")})
	s.settle()
	s.otherTab("a", tx(8)) // which this tab does not know of when its cut is stored
	old := s.store.Refresh(idOf("a"))
	s.finds("a", 1, true)
	s.commit()
	if len(s.refresh) != 1 {
		t.Fatalf("%d reads are under way, want one", len(s.refresh))
	}
	s.refresh = nil
	s.step(replica.Refreshed{Space: idOf("a"), Snapshot: old})
	if got := s.core.Space(idOf("a")).Info.Position.Seq; got != 1 {
		t.Fatalf("an old answer takes the tab to %d, want 1", got)
	}
	s.settle()
	s.receive(s.events("a", 2, 3))
	s.settle()
	s.wantsRecords("a", 3)
	s.wantsDamaged("a", 0)
}

// A tab that synced before cuts nothing after another one took over.
func TestACutIsFenced(t *testing.T) {
	s := damagedStory(t)
	s.step(replica.Damaged{Space: idOf("a")})
	s.settle()
	s.finds("a", 0, true)
	s.store.RaiseEpoch()
	s.settle()
	if !s.down {
		t.Error("the tab leads on")
	}
	s.wantsRecords("a", 3)
}
