package replica_test

import (
	"errors"
	"slices"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// lists lets the directory tell of spaces that somebody else made.
func (s *story) lists(names ...string) {
	s.t.Helper()
	rows := &wire.Spaces{}
	for _, name := range names {
		rows.Rows = append(rows.Rows, wire.SpaceRow{Genesis: genesisOf(name)})
	}
	s.receive(rows)
	s.settle()
}

// close lets nobody look at a space in this tab any more.
func (s *story) close(name string) {
	s.t.Helper()
	s.opened = slices.DeleteFunc(s.opened, func(other string) bool { return other == name })
	s.step(replica.Close{Space: idOf(name)})
}

// after lets so many milliseconds pass, in which the tab is woken whenever it wants to be and the server answers pings.
func (s *story) after(ms uint64) {
	s.t.Helper()
	for end := s.now + ms; s.now < end; {
		s.now = end
		if s.wakeAt > 0 {
			s.now = min(s.wakeAt, end)
		}
		s.step(replica.Tick{})
		for i, f := range s.sent {
			if _, ok := f.(*wire.Ping); ok {
				s.sent = slices.Delete(s.sent, i, i+1)
				s.receive(&wire.Pong{})
				break
			}
		}
	}
}

// Of thousands of spaces the server tells of those only that somebody looks at.
func TestASpaceIsPulledWhileSomebodyLooksAtIt(t *testing.T) {
	s := synced(t)
	s.lists("b", "c")
	s.wants("")
	s.open("b")
	s.wants("subscribe b@0")
	s.stores("b", tx(1, 2))
	s.receive(s.events("b", 1, 2))
	s.caughtUp("b")
	s.settle()
	s.wantsRecords("b", 2)
	s.told()

	s.close("b")
	s.after(20_000)
	s.wants("") // who looks away looks again soon, mostly
	s.after(60_000)
	s.wants("unsubscribe b")
	if s.core.Space(idOf("b")).CaughtUp {
		t.Error("a space that is not pulled is said to be caught up")
	}
	s.wantsRecords("b", 2)

	s.stores("b", tx(3))
	s.open("b")
	s.wants("subscribe b@2")
	s.receive(s.events("b", 3, 3))
	s.settle()
	s.wantsRecords("b", 3)
	s.reconnect()
	if got := s.told(); got != "hello, directory , subscribe a@0 b@3" && got != "hello, directory , subscribe b@3 a@0" {
		t.Errorf("sent %q", got)
	}
}

// A subscription ends while records are on their way: they are paid back, and come again when somebody looks again.
func TestRecordsOnTheirWayWhenASubscriptionEnds(t *testing.T) {
	s := synced(t)
	s.lists("b")
	s.open("b")
	for n := range byte(3) {
		s.stores("b", tx(n+1))
	}
	s.close("b")
	s.after(100_000)
	s.wants("subscribe b@0, unsubscribe b")
	s.receive(s.events("b", 1, 1))
	s.settle()
	s.wantsRecords("b", 0)
	s.told()
	s.open("b")
	s.receive(s.events("b", 2, 2)) // of the subscription that was ended
	s.receive(s.events("b", 1, 2))
	s.receive(s.events("b", 3, 3))
	s.settle()
	if s.hangup != "" {
		t.Fatalf("hung up: %s", s.hangup)
	}
	s.wantsRecords("b", 3)
}

// Another tab stored something else while a space was closed whose subscription goes on still: what this tab had received
// and dropped for that comes again.
func TestWhatWasDroppedOfAClosedSpaceComesAgain(t *testing.T) {
	s := synced(t)
	s.lists("b")
	s.open("b")
	s.told()
	for n := range byte(3) {
		s.stores("b", tx(n+1))
	}
	s.receive(s.events("b", 1, 1))
	first := s.store1()
	s.receive(s.events("b", 2, 3))
	s.close("b")
	if _, err := s.store.Commit(first.Commit); err != nil { // by the other tab
		t.Fatal(err)
	}
	s.step(replica.Committed{ID: first.ID, Result: &replica.CommitResult{Stale: true, Epoch: s.core.Meta().Epoch}})
	s.settle()
	s.open("b")
	s.told()
	s.receive(s.events("b", 2, 3))
	s.settle()
	s.wantsRecords("b", 3)
}

// What waits to be pushed has its space pulled until its records are here, whoever looks.
func TestASpaceIsPulledWhileSomethingWaits(t *testing.T) {
	s := synced(t)
	s.lists("b")
	s.otherTab("b", tx(1))
	s.step(replica.Hint{Space: idOf("b"), Version: 2})
	s.settle()
	s.wants("subscribe b@0, push b/1 1")
	s.after(100_000)
	s.answer()
	s.settle()
	s.after(100_000)
	s.wants("") // it is accepted, but its record is still to come
	s.receive(s.events("b", 1, 1))
	s.settle()
	s.wantsOutbox("b", "")
	s.told()
	s.after(100_000)
	s.wants("unsubscribe b")
}

func TestAPinnedSpaceIsPulled(t *testing.T) {
	s := synced(t)
	s.lists("b")
	s.step(replica.Pin{Ref: s.ref(), Space: idOf("b"), Pinned: true})
	s.wants("")
	s.settle()
	s.wants("subscribe b@0")
	if !s.core.Space(idOf("b")).Info.Pinned || !s.store.Refresh(idOf("b")).Info.Pinned {
		t.Fatal("it is not pinned")
	}
	s.after(200_000)
	s.wants("")
	s.reload()
	s.online()
	if got := s.told(); got != "hello, directory , subscribe a@0 b@0" && got != "hello, directory , subscribe b@0 a@0" {
		t.Errorf("sent %q", got)
	}
	s.step(replica.Pin{Ref: s.ref(), Space: idOf("b")})
	s.settle()
	s.after(100_000)
	s.wants("unsubscribe b")
	// One that this device has never heard of can be pinned too: it is pulled when somebody makes it.
	s.step(replica.Pin{Ref: s.ref(), Space: idOf("c"), Pinned: true})
	s.settle()
	s.wants("subscribe c@0")
}

// Another tab pins: this one hears of it from the store.
func TestAPinOfAnotherTab(t *testing.T) {
	s := synced(t)
	s.lists("b")
	pinned := true
	if _, err := s.store.Commit(&replica.Commit{Spaces: []replica.SpaceCommit{{Space: idOf("b"), SetPinned: &pinned}}}); err != nil {
		t.Fatal(err)
	}
	s.step(replica.Poll{})
	s.settle()
	s.wants("subscribe b@0")
}

// The tab that syncs pulls what the others look at, as long as they say so.
func TestWhatOtherTabsLookAtIsPulled(t *testing.T) {
	s := synced(t)
	s.lists("b")
	for range 10 {
		s.step(replica.Looking{Spaces: []space.ID{idOf("b")}})
		s.after(20_000)
	}
	s.wants("subscribe b@0")
	s.after(130_000)
	s.wants("unsubscribe b")
	// One that the store does not know yet is pulled when it does.
	s.step(replica.Looking{Spaces: []space.ID{idOf("c")}})
	s.wants("")
	s.create("c")
	s.opened = nil
	s.step(replica.Close{Space: idOf("c")})
	s.settle()
	s.wants("push c/1 genesis")
	s.answer()
	s.wants("subscribe c@0")
}

// A tab that does not sync says what it looks at: at once, when it is asked, and again and again.
func TestAFollowerTellsWhatItLooksAt(t *testing.T) {
	s := newStory(t)
	told := func() (names string) {
		for _, id := range s.looking {
			names += nameOf(id)
		}
		s.looking = nil
		return names
	}
	s.open("a")
	s.settle()
	if got := told(); got != "a" {
		t.Errorf("told %q when it was opened", got)
	}
	s.open("b")
	s.settle()
	if got := told(); got != "b" {
		t.Errorf("told %q when the second was opened", got)
	}
	s.step(replica.WhoLooks{})
	if got := told(); len(got) != 2 {
		t.Errorf("told %q when it was asked", got)
	}
	s.after(61_000)
	if got := told(); len(got) != 2*3 {
		t.Errorf("told %q in a minute", got)
	}
	s.close("a")
	s.close("b")
	s.after(61_000)
	s.step(replica.WhoLooks{})
	if got := told(); got != "" {
		t.Errorf("told %q when all was closed", got)
	}
	s.open("a")
	told()
	s.lead()
	if !s.asks {
		t.Error("a new leader does not ask who looks at what")
	}
}

func TestWithoutAWordFromOthersEverythingIsPulled(t *testing.T) {
	s := synced(t)
	s.lists("b", "c")
	s.core = replica.New(replica.Config{Sync: true, ClientVersion: "1", Rand: steady{}, PullAll: true}, s.store.Load())
	s.online()
	if got := s.told(); len(got) != len("hello, directory , subscribe a@0 b@0 c@0") {
		t.Errorf("sent %q", got)
	}
	s.after(100_000)
	s.wants("")
}

// A poll reads what changed since the last one, and now and then everything: a tab of a version that does not number
// its changes may be there.
func TestAPollReadsWhatChanged(t *testing.T) {
	s := newStory(t)
	s.create("a")
	s.settle()
	poll := func() uint64 {
		s.step(replica.Poll{})
		after := *s.survey
		s.settle()
		return after
	}
	number := s.store.Changes(0).Number
	poll()
	if after := poll(); after != number || after == 0 {
		t.Errorf("the second poll reads after %d, want %d", after, number)
	}
	s.otherTab("a", tx(1))
	if after := poll(); after != number {
		t.Errorf("read after %d, want %d", after, number)
	}
	if n := s.core.Space(idOf("a")).Pending; n != 1 {
		t.Errorf("%d pending, want the other tab's", n)
	}
	if after := poll(); after != number+1 {
		t.Errorf("read after %d, want %d", after, number+1)
	}
	s.now += 60_000
	if after := poll(); after != 0 {
		t.Errorf("after a minute it reads after %d, want all", after)
	}
}

// A server that has no room for further spaces on a connection is asked on the next one, without anybody doing
// anything.
func TestSpacesWithoutRoomGetTheirTurn(t *testing.T) {
	s := newStory(t)
	names := []string{"a", "b", "c", "d", "e"}
	for _, name := range names {
		s.create(name)
		s.settle()
	}
	for _, name := range names {
		s.close(name)
	}
	s.lead()
	greet := func() {
		s.dial = false
		limits := wire.DefaultLimits
		limits.Subscriptions = 2
		s.step(replica.Connected{})
		s.receive(challenge(serverKey))
		s.receive(&wire.Welcome{Identities: []string{"ann"}, Limits: limits, API: wire.APIHigh})
		s.settle()
	}
	created := func() (n int) {
		for _, name := range names {
			if s.core.Space(idOf(name)).Info.Created {
				n++
			}
		}
		return n
	}
	for range 3 {
		greet()
		s.answer()
		s.settle()
		s.after(15_000)
		s.told()
		if n := created(); n < len(names) && !s.dial {
			t.Fatalf("%d spaces were created, and no next connection is made", n)
		}
	}
	if n := created(); n != len(names) {
		t.Errorf("%d spaces were created on three connections, want %d", n, len(names))
	}
}

// Those whose transactions are deferred time and again do not keep the others from their turn.
func TestDeferredSpacesLeaveTheirTurn(t *testing.T) {
	s := newStory(t)
	for _, name := range []string{"a", "b", "c"} {
		s.create(name)
		s.settle()
	}
	s.lead()
	asked := map[string]bool{}
	for range 3 {
		for range 10 {
			if s.dial {
				break
			}
			s.tick()
		}
		s.dial = false
		limits := wire.DefaultLimits
		limits.Subscriptions = 1
		s.step(replica.Connected{})
		s.receive(challenge(serverKey))
		s.receive(&wire.Welcome{Identities: []string{"ann"}, Limits: limits, API: wire.APIHigh})
		s.settle()
		s.told()
		for _, p := range s.pushes {
			asked[nameOf(p.Space)] = true
			genesis := deferred(wire.CodeServerFull, 3_600_000)
			s.receive(&wire.Pushed{Space: p.Space, N: p.N, Genesis: &genesis})
		}
		s.pushes = nil
	}
	if len(asked) != 3 {
		t.Errorf("on three connections %d spaces had a turn, want 3", len(asked))
	}
}

// More spaces than the server lets be subscribed to wait until there is room.
func TestSubscriptionsWithoutRoomWait(t *testing.T) {
	s := synced(t)
	s.lists("b", "c")
	s.step(replica.Disconnected{Reason: "cut"})
	s.tick()
	s.told()
	s.dial = false
	limits := wire.DefaultLimits
	limits.Subscriptions = 2
	s.step(replica.Connected{})
	s.receive(challenge(serverKey))
	s.receive(&wire.Welcome{Identities: []string{"ann"}, Limits: limits, API: wire.APIHigh})
	s.open("b")
	s.open("c")
	s.wants("hello, directory , subscribe a@0, subscribe b@0")
	s.close("b")
	s.after(61_000)
	s.wants("unsubscribe b, subscribe c@0")
}

// A directory that says the same for ever is not asked at once for ever.
func TestADirectoryThatLeadsNowhereIsAskedLater(t *testing.T) {
	s := synced(t)
	s.receive(&wire.Spaces{Ref: 1, Since: []byte("x"), More: true})
	s.settle()
	s.wants("directory x")
	s.receive(&wire.Spaces{Ref: 2, Since: []byte("x"), More: true})
	s.settle()
	s.wants("")
	s.after(40_000)
	s.wants("directory x")
}

// A store that was erased underneath is not read again and again without a pause, and nothing is pushed from memory.
func TestAStoreThatWentBackIsReadAgainLater(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.told()
	erased := replica.NewModel("ann", wire.SessionID{1})
	before := s.store
	s.step(replica.Hint{Space: idOf("a"), Version: 1000})
	for range 5 {
		if len(s.refresh) == 0 {
			break
		}
		s.refresh = s.refresh[1:]
		s.step(replica.Refreshed{Space: idOf("a"), Snapshot: erased.Refresh(idOf("a"))})
	}
	if len(s.refresh) > 0 {
		t.Fatal("it is read again at once, for ever")
	}
	if code := s.core.Space(idOf("a")).Code; code != wire.CodeStorageFailed {
		t.Errorf("the space says %q", code)
	}
	s.store = before
	s.after(2_000)
	s.settle()
	if code := s.core.Space(idOf("a")).Code; code != 0 {
		t.Errorf("the space says %q when the store is there again", code)
	}
}

// A long outbox is not read again with every change of another tab: who wants to write would wait for those reads.
func TestALongOutboxIsReadNowAndThen(t *testing.T) {
	for rows, most := range map[byte]int{20: 100, 240: 30} {
		s := newStory(t)
		s.create("a")
		s.settle()
		for n := range rows {
			for m := range byte(3) {
				transaction := tx(n + 1)
				transaction.Events[0].ID[2] = m
				s.otherTab("a", transaction)
			}
		}
		s.step(replica.Poll{})
		s.settle()
		reads := 0
		for n := range byte(100) { // 50 a second
			s.now += 20
			transaction := tx(1)
			transaction.Events[0].ID[3] = n + 1
			s.otherTab("a", transaction)
			s.step(replica.Hint{Space: idOf("a"), Version: s.store.Refresh(idOf("a")).Version})
			reads += len(s.refresh)
			s.settle()
		}
		if reads == 0 || reads > most {
			t.Errorf("%d rows are read %d times in two seconds, want at most %d", 3*int(rows), reads, most)
		}
		s.after(3_000)
		s.settle()
		if n, want := s.core.Space(idOf("a")).Pending, 3*int(rows)+100; n != want {
			t.Errorf("%d pending in the end, want %d", n, want)
		}
	}
}

// Two copies of one replica have the same session, and each connection ends the other's: they give each other more and
// more time.
func TestACopyOfTheReplicaBacksOff(t *testing.T) {
	s := synced(t)
	last := uint64(0)
	for n := range 8 {
		s.receive(&wire.Error{Code: wire.CodeSuperseded})
		if !s.down {
			t.Fatal("it does not step down")
		}
		from := s.now
		s.down, s.hangup = false, ""
		s.lead()
		s.settle()
		if !s.dial {
			s.tick()
		}
		waited := s.now - from
		if n > 0 && waited < 2*last {
			t.Errorf("after %d times it waits %d ms, before %d", n+1, waited, last)
		}
		last = waited
		s.greet()
		s.settle()
	}
	s.after(700_000)
	s.receive(&wire.Error{Code: wire.CodeSuperseded})
	from := s.now
	s.lead()
	s.settle()
	if !s.dial {
		s.tick()
	}
	if waited := s.now - from; waited > 1000 {
		t.Errorf("long after it waits %d ms still", waited)
	}
}

var errTest = errors.New("test")

// Opening and pinning survive a store that fails.
func TestAPinWaitsForTheStore(t *testing.T) {
	s := synced(t)
	ref := s.ref()
	s.step(replica.Pin{Ref: ref, Space: idOf("a"), Pinned: true})
	c := s.store1()
	s.step(replica.Committed{ID: c.ID, Err: errTest})
	if s.core.Space(idOf("a")).Info.Pinned {
		t.Error("pinned before it is durable")
	}
	s.tick()
	s.settle()
	if !s.store.Refresh(idOf("a")).Info.Pinned || !slices.Contains(s.notices, replica.Notice(replica.Durable{Ref: ref})) {
		t.Error("not pinned in the end")
	}
}
