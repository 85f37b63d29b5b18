package replica_test

import (
	"errors"
	"strings"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

func TestNothingIsSentBeforeTheServersKeyIsPinned(t *testing.T) {
	s := newStory(t)
	s.create("a")
	s.write("a", tx(1))
	s.settle()
	s.lead()
	s.settle()
	s.greet()
	s.wants("hello")
	pin := s.commit()
	if pin.Server == nil || *pin.Server != serverKey || !pin.Strict || !pin.Fenced {
		t.Fatalf("the server's key was not pinned, durably and by the leader: %+v", pin)
	}
	s.settle()
	s.wants("directory , push a/1 genesis 1")
	s.reconnect() // the key is known: nothing to wait for
	if len(s.commits) != 0 {
		t.Error("the key was pinned again")
	}
	s.settle()
	s.wants("hello, directory , push a/1 genesis 1")
}

func TestNothingIsSentToAnotherServer(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.told()
	s.step(replica.Disconnected{})
	s.tick()
	s.step(replica.Connected{})
	s.receive(challenge([32]byte{6}))
	s.wants("")
	if s.hangup == "" || s.core.Status().Connection != replica.ConnectionServerChanged {
		t.Errorf("hung up %q, connection %s", s.hangup, s.core.Status().Connection)
	}
	s.receive(&wire.Welcome{Identities: []string{"ann"}, Limits: wire.DefaultLimits, API: wire.APIHigh})
	s.settle()
	s.wants("")
	if s.store.Load().Meta.Server != serverKey {
		t.Error("the other server's key was pinned")
	}
}

func TestAServerThatAnotherTabPinnedIsKept(t *testing.T) {
	s := newStory(t)
	s.lead()
	s.settle()
	s.greet()
	other := [32]byte{6}
	if _, err := s.store.Commit(&replica.Commit{Server: &other}); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.wants("hello")
	if s.store.Load().Meta.Server != other || s.hangup == "" {
		t.Error("this tab goes on with a server that is not the pinned one")
	}
}

func TestThePinnedKeyIsTheOneThatWasWelcomed(t *testing.T) {
	s := newStory(t)
	s.lead()
	s.settle()
	s.greet()
	s.step(replica.Disconnected{}) // while the key is being stored
	s.settle()
	if got := s.store.Load().Meta.Server; got != serverKey {
		t.Errorf("%x is pinned", got)
	}
}

func TestWhatIsWrittenIsPushedWhenItIsDurable(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.wants("")
	if n := s.core.Status().Undurable; n != 1 {
		t.Errorf("%d undurable, want 1", n)
	}
	c := s.commit()
	if !c.Strict || c.Fenced {
		t.Errorf("an append is strict and unfenced: %+v", c)
	}
	s.wants("push a/1 1")
	if n := s.core.Status().Undurable; n != 0 {
		t.Errorf("%d undurable, want 0", n)
	}
}

func TestWhatIsWrittenMeanwhileSharesOneCommit(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1), tx(2), tx(3))
	if len(s.commits) != 1 {
		t.Fatalf("%d commits at once", len(s.commits))
	}
	s.commit()
	s.wants("push a/1 1")
	s.commit()
	s.wants("push a/2 2 3")
	s.wantsOutbox("a", "1, 2, 3")
}

func TestAFullDeviceLosesNothingElse(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	c := s.store1()
	s.write("a", tx(2))
	s.step(replica.Committed{ID: c.ID, Err: errors.New("no room"), Full: true})
	failed := false
	for _, n := range s.notices {
		if f, ok := n.(replica.Failed); ok && f.Code == wire.CodeQuota {
			failed = true
		}
	}
	if !failed {
		t.Error("the author was not told")
	}
	s.settle()
	s.wants("push a/1 2")
}

func TestEveryRowIsPushedAgainOnANewConnection(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1), tx(2), tx(3))
	s.settle()
	s.wants("push a/1 1, push a/2 2 3")
	first := s.stores("a", tx(1))
	s.verdicts("a", 1, wire.Verdict{Kind: wire.Accepted, Position: first})
	s.settle()
	s.wantsOutbox("a", "1 accepted, 2, 3") // its records are not here
	s.reconnect()
	s.settle()
	s.wants("hello, directory , subscribe a@0, push a/1 1 2 3")
	s.verdicts("a", 1, wire.Verdict{Kind: wire.Duplicate, Position: first},
		wire.Verdict{Kind: wire.Accepted, Position: s.stores("a", tx(2))}, wire.Verdict{Kind: wire.Accepted, Position: s.stores("a", tx(3))})
	s.receive(s.events("a", 1, 3))
	s.settle()
	s.wantsOutbox("a", "")
	s.wantsRecords("a", 3)
	if got := s.decided(); got != "1 synced, 2 synced, 3 synced" {
		t.Errorf("told %q", got)
	}
}

func TestEveryRowIsPushedAgainAfterACrash(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1), tx(2))
	s.settle()
	s.answer() // and the crash comes before the verdicts are stored
	s.reload()
	s.online()
	s.wants("hello, directory , subscribe a@0, push a/1 1 2")
}

func TestARowLeavesTheOutboxOnlyWithItsRecords(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1, 2), tx(3))
	s.settle()
	s.answer()
	s.settle()
	s.answer()
	s.settle()
	if got := s.decided(); got != "1 synced, 3 synced" {
		t.Errorf("told %q", got)
	}
	s.wantsOutbox("a", "1 accepted, 3 accepted")
	s.receive(s.events("a", 1, 2))
	part := s.commit().Spaces[0]
	if len(part.Settle) != 1 || part.First != 1 || part.Last != 2 {
		t.Errorf("a row and its records are not one commit: %+v", part)
	}
	s.settle()
	s.wantsOutbox("a", "3 accepted")
	s.wantsRecords("a", 2)
}

func TestRecordsThatComeBeforeTheVerdictSettleTheirRow(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.wants("push a/1 1")
	position := s.stores("a", tx(1))
	s.receive(s.events("a", 1, 1))
	s.settle()
	s.wantsOutbox("a", "")
	if got := s.decided(); got != "1 synced" {
		t.Errorf("told %q", got)
	}
	s.verdicts("a", 1, wire.Verdict{Kind: wire.Accepted, Position: position})
	s.settle()
	if s.hangup != "" {
		t.Errorf("hung up: %s", s.hangup)
	}
	s.wantsRecords("a", 1)
}

func TestAVerdictBehindThePositionTakesTheRowAway(t *testing.T) {
	s := synced(t)
	position := s.stores("a", tx(1))
	s.receive(s.events("a", 1, 1))
	s.settle()
	s.otherTab("a", tx(1)) // written again, by a page that did not hear of it
	s.step(replica.Poll{})
	s.settle()
	s.told()
	s.reconnect()
	s.caughtUp("a")
	s.settle()
	s.told()
	s.verdicts("a", 1, wire.Verdict{Kind: wire.Duplicate, Position: position})
	s.settle()
	s.wantsOutbox("a", "")
}

func TestARefusedTransactionIsKeptAndOthersGoOn(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.write("a", tx(2))
	s.settle()
	s.told()
	s.verdicts("a", 1, wire.Verdict{Kind: wire.Rejected, Code: wire.CodeForbidden, Reason: "no"})
	s.settle()
	s.verdicts("a", 2, wire.Verdict{Kind: wire.Accepted, Position: s.stores("a", tx(2))})
	s.settle()
	s.wantsOutbox("a", "2 accepted")
	rejected := s.store.Rejected(idOf("a"))
	if len(rejected) != 1 || number(rejected[0].ID) != 1 || rejected[0].Code != wire.CodeForbidden || rejected[0].By != "server" {
		t.Fatalf("rejected: %+v", rejected)
	}
	if got := s.decided(); got != "1 refused, 2 synced" {
		t.Errorf("told %q", got)
	}
	s.step(replica.Retry{Ref: s.ref(), Space: idOf("a"), ID: rejected[0].ID})
	s.settle()
	s.wants("push a/3 1")
	s.wantsOutbox("a", "2 accepted, 1")
}

func TestAfterADeferralPushingResumesWithTheFirstDeferred(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.write("a", tx(2), tx(3))
	s.settle()
	s.wants("push a/1 1, push a/2 2, push a/3 3")
	s.verdicts("a", 1, deferred(wire.CodeRateLimited, 5000))
	s.settle()
	begin := s.now
	for s.now < begin+5000 {
		s.wants("") // not before the other answers, which are behind, and not before its time
		if s.now == begin {
			s.verdicts("a", 2, deferred(wire.CodeBehind, 0))
			s.verdicts("a", 3, deferred(wire.CodeBehind, 0))
			s.settle()
		}
		s.tick()
		s.settle()
	}
	s.wants("push a/4 resume 1 2 3")
	if s.now != begin+5000 {
		t.Errorf("tried again after %d ms", s.now-begin)
	}
	s.write("a", tx(4))
	s.settle()
	s.wants("push a/5 4") // resume is said once
	status := s.core.Space(idOf("a"))
	if status.Code != wire.CodeRateLimited {
		t.Errorf("the space says %v", status.Code)
	}
}

func TestNoPushPassesARowOfAnotherTab(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.answer()
	s.settle()
	s.otherTab("a", tx(2)) // and no hint of it came
	s.write("a", tx(3))
	s.commit()
	s.wants("") // 3 is durable, but what was written before it is not known
	s.settle()
	s.wants("push a/2 2 3")
	s.wantsOutbox("a", "1 accepted, 2, 3")
}

func TestNoReadPassesARowOfAnotherTab(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.told()
	s.step(replica.Disconnected{})
	s.tick()
	s.otherTab("a", tx(2))
	s.told()
	s.pushes = nil
	s.greet()
	for len(s.rows) == 0 {
		s.refreshed()
	}
	s.readRows() // brings 2 as well, which this tab has never heard of
	s.wants("hello, directory , subscribe a@0, push a/1 1 2")
	s.answer()
	s.settle()
	s.write("a", tx(3))
	s.settle()
	s.receive(s.events("a", 1, 2))
	s.settle()
	s.wantsOutbox("a", "3")
}

func TestWhatWasReadBeforeACommitDoesNotUndoIt(t *testing.T) {
	s := synced(t)
	s.step(replica.Hint{Space: idOf("a"), Version: 1000}) // of a tab that then loses it in a loss of power
	old := s.store.Refresh(idOf("a"))
	s.write("a", tx(1))
	s.commit()
	s.refresh = nil
	s.step(replica.Refreshed{Space: idOf("a"), Snapshot: old})
	if n := s.core.Space(idOf("a")).Pending; n != 1 {
		t.Errorf("%d pending, want 1", n)
	}
	s.settle()
	s.wants("push a/1 1")
}

func TestACommitOfAnOlderLeaderChangesNothing(t *testing.T) {
	s := synced(t)
	s.stores("a", tx(9))
	s.receive(s.events("a", 1, 1))
	s.store.RaiseEpoch() // another tab leads now
	c := s.commit()
	if !c.Fenced {
		t.Error("a commit of sync is not fenced")
	}
	s.wantsRecords("a", 0)
	if !s.down {
		t.Error("the old leader does not step down")
	}
	if s.hangup == "" || s.core.Status().Leader {
		t.Error("the old leader keeps its connection")
	}
}

func TestEveryCommitOfSyncIsFenced(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1), tx(2), tx(3))
	s.settle()
	fenced := func(what string) {
		t.Helper()
		c := s.commit()
		if !c.Fenced || c.Epoch != s.store.Load().Meta.Epoch {
			t.Errorf("%s: not fenced by the epoch", what)
		}
		for i := range c.Spaces {
			if p := &c.Spaces[i]; len(p.Records) > 0 && (p.Expect == nil || p.Expect.Seq != p.First-1) {
				t.Errorf("%s: records are not fenced by the position", what)
			}
		}
	}
	s.verdicts("a", 1, wire.Verdict{Kind: wire.Accepted, Position: s.stores("a", tx(1))})
	fenced("a verdict")
	s.receive(s.events("a", 1, 1))
	fenced("records")
	s.verdicts("a", 2, wire.Verdict{Kind: wire.Rejected, Code: wire.CodeForbidden}, deferred(wire.CodeRateLimited, 1))
	fenced("a refusal")
	s.receive(&wire.Spaces{Ref: 1, Rows: []wire.SpaceRow{{Genesis: genesisOf("b")}}, Since: []byte("x")})
	fenced("the directory")
}

func TestRecordsThatAnotherTabStoredAreAskedForFromThere(t *testing.T) {
	s := synced(t)
	s.stores("a", tx(8))
	s.stores("a", tx(9))
	s.receive(s.events("a", 1, 2))
	// A tab that led before and did not know better had stored the first already.
	first := s.events("a", 1, 1)
	start := space.Start(idOf("a"))
	result, err := s.store.Commit(&replica.Commit{Spaces: []replica.SpaceCommit{{
		Space: idOf("a"), Expect: &start, Records: wire.AppendRecord(nil, &first.Records[0]), First: 1, Last: 1, Position: &first.Position,
	}}})
	if err != nil || result.Stale {
		t.Fatal("the other tab's commit failed", err)
	}
	s.commit() // stale
	s.settle()
	s.wantsRecords("a", 1)
	if told := s.told(); !strings.HasSuffix(told, ", subscribe a@1") {
		t.Fatalf("sent %q, want a subscription from there", told)
	}
	s.receive(s.events("a", 2, 2))
	s.settle()
	s.wantsRecords("a", 2)
}

func TestRecordsThatDoNotHashAreNotStored(t *testing.T) {
	for name, change := range map[string]func(*wire.Events){
		"payload":      func(f *wire.Events) { f.Records[0].Payload = []byte("other") },
		"author":       func(f *wire.Events) { f.Records[0].Author = "eve" },
		"chain":        func(f *wire.Events) { f.Position.Chain[0]++ },
		"number":       func(f *wire.Events) { f.Position.Seq++ },
		"hole":         func(f *wire.Events) { f.Records = f.Records[1:] },
		"out of order": func(f *wire.Events) { f.Records[0], f.Records[1] = f.Records[1], f.Records[0] },
	} {
		t.Run(name, func(t *testing.T) {
			s := synced(t)
			s.stores("a", tx(8))
			s.stores("a", tx(9))
			bad := func() *wire.Events {
				f := s.events("a", 1, 2)
				f.Records = append([]space.Record(nil), f.Records...)
				change(f)
				return f
			}
			s.receive(bad())
			if s.hangup == "" {
				t.Fatal("the connection goes on")
			}
			s.settle()
			s.wantsRecords("a", 0)
			s.hangup = ""
			s.tick()
			s.greet()
			s.receive(bad())
			s.settle()
			s.wantsRecords("a", 0)
			if got := s.core.Space(idOf("a")).Code; got != wire.CodeBadChain {
				t.Errorf("the space says %v", got)
			}
			s.tick()
			s.told()
			s.greet()
			s.wants("hello, directory ") // no more of this space
		})
	}
}

func TestATransactionThatIsCutIsNotStored(t *testing.T) {
	s := synced(t)
	s.stores("a", tx(8, 9))
	s.receive(s.events("a", 1, 1))
	s.settle()
	s.wantsRecords("a", 0)
	if s.hangup == "" {
		t.Error("the connection goes on")
	}
}

func TestRecordsAreTakenOnce(t *testing.T) {
	s := synced(t)
	for n := byte(1); n < 6; n++ {
		s.stores("a", tx(n))
	}
	s.receive(s.events("a", 1, 2))
	s.receive(s.events("a", 1, 2)) // twice
	s.receive(s.events("a", 2, 4)) // overlapping
	s.settle()
	s.wantsRecords("a", 4)
	s.receive(s.events("a", 5, 5))
	s.settle()
	s.wantsRecords("a", 5)
}

func TestCreditIsGrantedForWhatIsStored(t *testing.T) {
	s := synced(t)
	s.stores("a", tx(9))
	f := s.events("a", 1, 1)
	size := len(wire.Append(nil, f))
	s.receive(f)
	s.wants("")
	c := s.store1()
	s.step(replica.Committed{ID: c.ID, Err: errors.New("busy")})
	s.wants("")
	s.tick() // the same again
	s.wants("")
	s.settle()
	s.wantsRecords("a", 1)
	if got, want := s.told(), text(&wire.Credit{Bytes: uint64(size)}); got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestRecordsAndPositionAreOneCommit(t *testing.T) {
	s := synced(t)
	s.stores("a", tx(8))
	s.stores("a", tx(9))
	s.receive(s.events("a", 1, 1))
	c := s.store1() // never happens: the tab dies first
	if p := c.Commit.Spaces[0]; p.Position == nil || p.Position.Seq != 1 || p.Last != 1 {
		t.Fatalf("records without their position: %+v", p)
	}
	s.reload()
	s.online()
	s.wants("hello, directory , subscribe a@0")
	s.receive(s.events("a", 1, 2))
	s.settle()
	s.wantsRecords("a", 2)
	// And where the commit happened but nobody heard of it, the next one begins behind it.
	s.stores("a", tx(7))
	s.receive(s.events("a", 3, 3))
	if _, err := s.store.Commit(s.store1().Commit); err != nil {
		t.Fatal(err)
	}
	s.reload()
	s.online()
	s.wants("hello, directory , subscribe a@3")
	s.wantsRecords("a", 3)
}

func TestNothingIsPushedBeforeTheServerShowsItsBranch(t *testing.T) {
	s := synced(t)
	s.stores("a", tx(9))
	s.receive(s.events("a", 1, 1))
	s.settle()
	s.write("a", tx(1))
	s.settle()
	s.told()
	s.reconnect()
	s.settle()
	s.wants("hello, directory , subscribe a@1")
	s.caughtUp("a")
	s.settle()
	s.wants("push a/1 1")
	s.reconnect()
	s.settle()
	s.told()
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeDiverged})
	s.settle()
	s.wants("locate a@1")
	s.wantsOutbox("a", "1")
	s.wantsRecords("a", 1)
}

// TestASubscriptionThatFailedIsTriedAgain: what fails on the server for now stops a space for now, on the same connection.
func TestASubscriptionThatFailedIsTriedAgain(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeInternal, wire.CodeOverloaded} {
		s := synced(t)
		for range 3 {
			s.receive(&wire.Ended{Space: idOf("a"), Code: code})
			s.settle()
			s.wants("")
			s.tick()
			s.settle()
			s.wants("subscribe a@0")
		}
		s.caughtUp("a")
		s.settle()
		s.wantsSpace(idOf("a"), 0)
		s.write("a", tx(1))
		s.settle()
		s.wants("push a/1 1")
	}
}

func TestASpaceThatTheServerDoesNotKnowIsCreatedAgain(t *testing.T) {
	t.Run("subscribing", func(t *testing.T) {
		s := synced(t)
		s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeUnknownSpace})
		s.settle()
		s.wants("push a/1 genesis")
		if s.store.Refresh(idOf("a")).Info.Created {
			t.Error("the store still says that the server has it")
		}
	})
	t.Run("pushing", func(t *testing.T) {
		s := synced(t)
		s.write("a", tx(1))
		s.settle()
		s.wants("push a/1 1")
		s.verdicts("a", 1, deferred(wire.CodeUnknownSpace, 0))
		s.settle()
		s.wants("push a/2 resume genesis 1")
	})
}

func TestSpacesWithEventsAreCreatedBeforeEmptyOnes(t *testing.T) {
	s := newStory(t)
	for c := 'a'; c <= 'l'; c++ {
		s.create(string(c))
	}
	for _, name := range []string{"f", "k", "l"} {
		s.write(name, tx(name[0]))
	}
	s.settle()
	s.online()
	full := map[string]bool{}
	for _, f := range s.sent {
		if p, ok := f.(*wire.Push); ok {
			if len(p.Transactions) == 0 {
				t.Fatalf("%s is created before those with events", nameOf(p.Space))
			}
			full[nameOf(p.Space)] = true
		}
	}
	if len(full) != 3 {
		t.Fatalf("%v are created first", full)
	}
	for range 10 {
		s.answer()
		s.settle()
	}
	if n := s.core.Status().PendingSpaces; n != 0 {
		t.Errorf("%d spaces are not created", n)
	}
}

func TestALimitOnCreationHoldsBackAllOthers(t *testing.T) {
	s := newStory(t)
	for _, name := range []string{"a", "b", "c"} {
		s.create(name)
	}
	s.write("b", tx(1))
	s.settle()
	s.online()
	s.wants("hello, directory , push b/1 genesis 1")
	late := deferred(wire.CodeRateLimited, 7000)
	s.receive(&wire.Pushed{Space: idOf("b"), N: 1, Genesis: &late, Verdicts: []wire.Verdict{deferred(wire.CodeUnknownSpace, 0)}})
	s.settle()
	s.wants("")
	begin := s.now
	if at := s.core.Status().RetryAt; at != begin+7000 {
		t.Errorf("the status tells of %d, want %d", at, begin+7000)
	}
	for s.now < begin+7000 {
		s.wants("")
		s.tick()
		s.settle()
	}
	s.wants("push b/2 resume genesis 1")
	s.wantsOutbox("b", "1")
}

func TestWhatIsDiscardedBeforeItsTurnIsNeverPushed(t *testing.T) {
	s := newStory(t)
	s.create("a")
	s.write("a", tx(1), tx(2))
	s.settle()
	s.step(replica.Discard{Ref: s.ref(), Space: idOf("a"), ID: eventID(1)})
	s.settle()
	s.online()
	s.wants("hello, directory , push a/1 genesis 2")
	s.receive(&wire.Pushed{Space: idOf("a"), N: 1, Genesis: &wire.Verdict{Kind: wire.Accepted, Position: space.Start(idOf("a"))},
		Verdicts: []wire.Verdict{{Kind: wire.Accepted, Position: s.stores("a", tx(2))}}})
	s.settle()
	s.wantsOutbox("a", "2 accepted")
	if got := s.decided(); got != "1 discarded, 2 synced" {
		t.Errorf("told %q", got)
	}
}

func TestWhatIsDiscardedUnderWayIsKeptUntilItsVerdict(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.wants("push a/1 1")
	s.step(replica.Discard{Ref: s.ref(), Space: idOf("a"), ID: eventID(1)})
	s.settle()
	s.wantsOutbox("a", "1 withdrawn")
	s.verdicts("a", 1, wire.Verdict{Kind: wire.Accepted, Position: s.stores("a", tx(1))})
	s.settle()
	s.wantsOutbox("a", "1 accepted") // too late: it is everyone's now
	s.receive(s.events("a", 1, 1))
	s.settle()
	s.wantsOutbox("a", "")
	if got := s.decided(); got != "1 synced" {
		t.Errorf("told %q", got)
	}
}

func TestAuthorsThatAreNotProvenWait(t *testing.T) {
	s := synced(t)
	foreign := tx(1)
	foreign.Author = "bob"
	s.write("a", foreign, tx(2))
	s.settle()
	s.wants("push a/1 2")
	s.wantsOutbox("a", "1, 2")
	if got := s.core.Space(idOf("a")).Code; got != wire.CodeAuthRequired {
		t.Errorf("the space says %v", got)
	}
}

func TestThePushWindowIsRespected(t *testing.T) {
	s := synced(t)
	s.step(replica.Disconnected{})
	s.tick()
	limits := wire.DefaultLimits
	limits.PushWindow = 2000
	s.dial = false
	s.step(replica.Connected{})
	s.receive(challenge(serverKey))
	s.receive(&wire.Welcome{Identities: []string{"ann"}, Limits: limits, API: wire.APIHigh})
	s.settle()
	s.told()
	for n := byte(1); n <= 20; n++ {
		big := tx(n)
		big.Events[0].Payload = make([]byte, 300)
		s.write("a", big)
		s.settle()
	}
	pushed := 0
	for len(s.sent) > 0 {
		unanswered := 0
		for _, f := range s.sent {
			if p, ok := f.(*wire.Push); ok {
				unanswered += len(wire.Append(nil, p))
				pushed += len(p.Transactions)
			}
		}
		if unanswered > 2000 {
			t.Fatalf("%d bytes are unanswered", unanswered)
		}
		s.answer()
		s.settle()
	}
	if pushed != 20 {
		t.Errorf("%d transactions were pushed", pushed)
	}
}

func TestVerdictsForWhatWasNotPushedEndTheConnection(t *testing.T) {
	stored := wire.Verdict{Kind: wire.Accepted, Position: space.Position{Seq: 1, Chain: space.ID{4}}}
	for name, f := range map[string]*wire.Pushed{
		"other number": {Space: idOf("a"), N: 2, Verdicts: []wire.Verdict{stored}},
		"too many":     {Space: idOf("a"), N: 1, Verdicts: []wire.Verdict{stored, stored}},
		"too few":      {Space: idOf("a"), N: 1},
		"a genesis":    {Space: idOf("a"), N: 1, Verdicts: []wire.Verdict{stored}, Genesis: &stored},
		"other space":  {Space: idOf("b"), N: 1, Verdicts: []wire.Verdict{stored}},
	} {
		s := synced(t)
		s.write("a", tx(1))
		s.settle()
		s.receive(f)
		s.settle()
		if code := s.core.Status().Code; s.hangup == "" || code != wire.CodeBadServerMessage {
			t.Errorf("%s: hung up %q, code %s", name, s.hangup, code)
		}
		s.wantsOutbox("a", "1")
	}
}

func TestMessagesThatAreNoFramesEndTheConnection(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.step(replica.Unreadable{Reason: "frame 200 is unknown"})
	if status := s.core.Status(); s.hangup == "" || status.Code != wire.CodeBadServerMessage || status.Reason != "frame 200 is unknown" {
		t.Errorf("hung up %q, code %s: %s", s.hangup, status.Code, status.Reason)
	}
	s.wantsOutbox("a", "1")
	s.step(replica.Disconnected{})
	s.step(replica.Unreadable{Reason: "late"})
	if reason := s.core.Status().Reason; reason == "late" {
		t.Error("what came from a socket that is gone counts")
	}
}

// A server that sends what is not for a server to send, or not yet, is left with a code that says so.
func TestFramesOutOfPlaceEndTheConnection(t *testing.T) {
	for _, f := range []wire.Frame{&wire.Hello{}, &wire.Push{}, &wire.Challenge{}, &wire.Adopt{}} {
		s := synced(t)
		s.write("a", tx(1))
		s.settle()
		s.receive(f)
		s.settle()
		if code := s.core.Status().Code; s.hangup == "" || code != wire.CodeBadServerMessage {
			t.Errorf("frame %d: hung up %q, code %s", f.Number(), s.hangup, code)
		}
		s.wantsOutbox("a", "1")
	}
	s := synced(t)
	s.step(replica.Disconnected{})
	s.tick()
	s.step(replica.Connected{})
	s.receive(&wire.Welcome{Limits: wire.DefaultLimits, API: wire.APIHigh}) // and no challenge before it
	if code := s.core.Status().Code; s.hangup == "" || code != wire.CodeBadServerMessage {
		t.Errorf("a welcome first: hung up %q, code %s", s.hangup, code)
	}
}

func TestTheDirectoryBringsSpacesBeforeItsCursorMoves(t *testing.T) {
	s := synced(t)
	s.receive(&wire.Spaces{Ref: 1, Rows: []wire.SpaceRow{{Genesis: genesisOf("b")}}, Since: []byte("x"), More: true})
	s.wants("directory x") // the space is known, but nobody looks at it
	c := s.store1()
	if len(c.Commit.Spaces) != 1 || c.Commit.Spaces[0].Insert == nil {
		t.Fatalf("the space is not stored with or before the cursor: %+v", c.Commit)
	}
	s.reload()
	s.online()
	s.wants("hello, directory , subscribe a@0") // nothing was skipped
	s.receive(&wire.Spaces{Ref: 1, Rows: []wire.SpaceRow{{Genesis: genesisOf("b")}}, Since: []byte("x")})
	s.settle()
	s.reload()
	s.online()
	s.wants("hello, directory x, subscribe a@0")
	s.open("b")
	s.wants("subscribe b@0")
}

// TestTheDirectorysCursorWaitsForEverySpace brings more spaces than fit into one commit.
func TestTheDirectorysCursorWaitsForEverySpace(t *testing.T) {
	s := synced(t)
	rows := &wire.Spaces{Ref: 1, Since: []byte("x")}
	for i := range 300 {
		genesis := genesisOf("z")
		genesis.Params = []byte{0xcd, byte(i >> 8), byte(i)}
		rows.Rows = append(rows.Rows, wire.SpaceRow{Genesis: genesis})
	}
	s.receive(rows)
	s.commit() // and then the tab dies
	if n := len(s.store.Load().Spaces); n < 2 || n > 300 {
		t.Fatalf("%d spaces in one commit", n)
	}
	s.reload()
	if since := s.core.Meta().Since; len(since) != 0 {
		t.Error("the cursor passed spaces that are not stored")
	}
	s.online()
	s.receive(rows)
	s.settle()
	if n := len(s.store.Load().Spaces); n != 301 || string(s.store.Load().Meta.Since) != "x" {
		t.Errorf("%d spaces in the end, cursor %q", n, s.store.Load().Meta.Since)
	}
}

func TestASilentServerIsLeft(t *testing.T) {
	s := synced(t)
	s.tick()
	s.wants("ping")
	s.receive(&wire.Pong{})
	s.tick()
	s.wants("ping")
	s.tick()
	if s.hangup == "" {
		t.Fatal("a silent server is waited for")
	}
	s.tick()
	if !s.dial {
		t.Error("no new connection was asked for")
	}
}

func TestAByeIsHonoured(t *testing.T) {
	s := synced(t)
	s.receive(&wire.Bye{Code: wire.CodeShutdown, RetryAfterMS: 9000})
	if s.hangup == "" || s.wakeAt < s.now+9000 {
		t.Errorf("hung up %q, back in %d ms", s.hangup, s.wakeAt-s.now)
	}
	if at := s.core.Status().DialAt; at != s.wakeAt {
		t.Errorf("the status tells of %d, want %d", at, s.wakeAt)
	}
	s.step(replica.Online{}) // the platform knows better
	if !s.dial {
		t.Errorf("back in %d ms only", s.wakeAt-s.now)
	}
}

func TestASupersededTabStepsDown(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.receive(&wire.Error{Code: wire.CodeSuperseded})
	if !s.down || s.core.Status().Leader {
		t.Error("the tab goes on leading")
	}
	s.write("a", tx(2)) // writing needs no lead
	s.settle()
	s.wantsOutbox("a", "1, 2")
}

func TestATabThatDoesNotLeadNeverConnects(t *testing.T) {
	s := newStory(t)
	s.create("a")
	s.write("a", tx(1))
	s.settle()
	s.step(replica.Online{})
	s.step(replica.Poll{})
	s.settle()
	if s.dial || len(s.sent) > 0 {
		t.Error("a tab without the lead connects")
	}
	if at := s.core.Status().DialAt; at != 0 {
		t.Errorf("it says that it connects at %d", at)
	}
	s.wantsOutbox("a", "1")
}

// TestATabHearsOfItsTransactionsFromTheStore lets another tab sync what this one wrote.
func TestATabHearsOfItsTransactionsFromTheStore(t *testing.T) {
	s := newStory(t)
	s.create("a")
	s.write("a", tx(1), tx(2), tx(3))
	s.settle()
	position := s.stores("a", tx(1))
	part := replica.SpaceCommit{
		Space: idOf("a"), Settle: []space.ULID{eventID(1)}, Reject: []replica.Rejection{{ID: eventID(2), Code: wire.CodeForbidden, By: "server"}},
		Withdraw: []space.ULID{eventID(3)}, DropWithdrawn: []space.ULID{eventID(3)},
	}
	start := space.Start(idOf("a"))
	record := s.events("a", 1, 1).Records[0]
	part.Expect, part.Records, part.First, part.Last, part.Position = &start, wire.AppendRecord(nil, &record), 1, 1, &position
	if _, err := s.store.Commit(&replica.Commit{Spaces: []replica.SpaceCommit{part}}); err != nil {
		t.Fatal(err)
	}
	s.step(replica.Poll{})
	s.settle()
	if got := s.decided(); got != "2 refused, 1 synced, 3 discarded" {
		t.Errorf("told %q", got)
	}
}
