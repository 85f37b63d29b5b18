package hub_test

import (
	"testing"

	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// filled returns a log of n transactions of two events.
func filled(n int) *fakeLog {
	l := newLog()
	for i := range n {
		l.other(tx(byte(2*i+1), byte(2*i+2)))
	}
	return l
}

func (l *line) subscribe(p space.Position) {
	l.t.Helper()
	l.receive(&wire.Subscribe{Subscriptions: []wire.Subscription{{Space: spaceID, Position: p}}})
}

// check answers the newest check from a log.
func (l *line) check(log *fakeLog) {
	l.t.Helper()
	c := l.last.Check[len(l.last.Check)-1]
	in := hub.Checked{Space: c.Space, Ref: c.Ref, Exists: true, MayRead: true, Head: log.head}
	if c.Seq <= log.head.Seq {
		in.Chain, _ = hub.ChainAt(log, c.Seq)
	}
	if c.NeedRow {
		in.Row = &wire.SpaceRow{Genesis: genesis}
	}
	l.step(in)
}

// events answers the read under way.
func (l *line) events(log *fakeLog) {
	l.t.Helper()
	r := l.read
	if r == nil {
		l.t.Fatal("no read is under way")
	}
	l.read = nil
	records, _ := log.Read(r.After, r.MaxRecords, r.MaxBytes)
	message, position := hub.EventsMessage(l.config, r.Space, r.Chain, records)
	l.step(hub.EventsRead{Space: r.Space, Ref: r.Ref, Message: message, Position: position, Head: log.head.Seq})
}

func (l *line) written() {
	l.t.Helper()
	l.step(hub.Written{Bytes: 1 << 30})
}

func TestBackfillThenLiveWithoutSeam(t *testing.T) {
	log := filled(5)
	l := welcomedLine(t, 1<<20, func(c *hub.Config) { c.ReadRecords = 4 })
	l.subscribe(space.Start(spaceID))
	if len(l.last.Watch) != 1 || l.last.Watch[0] != spaceID {
		t.Fatal("the position is checked before the connection is registered to be woken")
	}
	check := l.last
	log.other(tx(100)) // between the watch and the check's answer
	l.step(hub.Woken{Space: spaceID, Seq: 11})
	l.last = check
	l.check(log)
	l.wants("spaces 0 +1")
	l.events(log)
	log.other(tx(101))
	l.step(hub.Woken{Space: spaceID, Seq: 12})
	l.events(log)
	l.events(log)
	l.wants("events 1..4, events 5..8, events 9..12, caught_up@12")
	if l.read != nil {
		t.Fatal("reads though there is nothing")
	}
	l.step(hub.Woken{Space: spaceID, Seq: 12}) // twice, and late
	l.step(hub.Woken{Space: spaceID, Seq: 3})
	if l.read != nil {
		t.Fatal("reads though there is nothing")
	}
	log.other(tx(102))
	l.step(hub.Woken{Space: spaceID, Seq: 13})
	l.events(log)
	l.wants("events 13..13")
}

func TestPositionsAreSealedAndFoldable(t *testing.T) {
	log := filled(2)
	l := welcomedLine(t, 1<<20)
	l.subscribe(space.Position{Seq: 2, Chain: space.Fold(spaceID, log.records[:2])})
	l.check(log)
	l.events(log)
	events, caught := l.frames[1].(*wire.Events), l.frames[2].(*wire.CaughtUp)
	want := space.Position{Seq: 4, Chain: log.head.Chain, Seal: space.Seal(secret, spaceID, 4, log.head.Chain)}
	if events.Position != want || caught.Position != want {
		t.Errorf("positions %v and %v, want %v", events.Position, caught.Position, want)
	}
}

func TestResume(t *testing.T) {
	log := filled(3)
	chain := func(n int) space.Position {
		p := space.Position{Seq: uint64(n), Chain: space.Fold(spaceID, log.records[:min(n, 6)])}
		p.Seal = space.Seal(secret, spaceID, p.Seq, p.Chain)
		return p
	}
	change := func(p space.Position, f func(*space.Position)) space.Position { f(&p); return p }
	for name, c := range map[string]struct {
		position space.Position
		told     string
		ahead    bool
	}{
		"start":                 {space.Start(spaceID), "spaces 0 +1", false},
		"middle":                {chain(2), "spaces 0 +1", false},
		"head":                  {chain(6), "spaces 0 +1, caught_up@6", false},
		"wrong seal":            {change(chain(6), func(p *space.Position) { p.Seal[0]++ }), "spaces 0 +1, caught_up@6", false},
		"start of another":      {space.Start(space.ID{9}), "ended diverged", false},
		"other chain":           {change(chain(2), func(p *space.Position) { p.Chain[0]++ }), "ended diverged", false},
		"sealed other chain":    {sealed(space.Position{Seq: 2, Chain: space.ID{4}}), "ended diverged", false},
		"ahead":                 {sealed(space.Position{Seq: 7, Chain: space.ID{4}}), "ended recovering", true},
		"ahead, never sealed":   {change(chain(7), func(p *space.Position) { p.Seal[0]++ }), "ended diverged", false},
		"ahead, without a seal": {space.Position{Seq: 7}, "ended diverged", false},
	} {
		t.Run(name, func(t *testing.T) {
			l := welcomedLine(t, 0)
			l.subscribe(c.position)
			l.check(log)
			if (len(l.last.Ahead) == 1) != c.ahead {
				t.Errorf("ahead %v", l.last.Ahead)
			}
			l.wants(c.told)
		})
	}
}

func sealed(p space.Position) space.Position {
	p.Seal = space.Seal(secret, spaceID, p.Seq, p.Chain)
	return p
}

func TestSubscriptionsThatEnd(t *testing.T) {
	for want, in := range map[string]hub.Checked{
		"ended unknown_space": {},
		"ended forbidden":     {Exists: true, Head: filled(3).head, Chain: space.Start(spaceID).Chain},
		"ended overloaded":    {Code: wire.CodeOverloaded},
	} {
		l := welcomedLine(t, 0)
		l.subscribe(space.Start(spaceID))
		in.Space, in.Ref = spaceID, l.last.Check[0].Ref
		l.step(in)
		l.wants(want)
		if len(l.last.Unwatch) != 1 {
			t.Errorf("%s: still watched", want)
		}
	}
}

// TestNoReaderIsShownTheBranch: who may not read the space learns whether the server has the history that they have, and
// nothing else.
func TestNoReaderIsShownTheBranch(t *testing.T) {
	log := filled(3)
	here := log.head.Position()
	other, ahead := here, sealed(space.Position{Seq: 9, Chain: here.Chain})
	other.Chain[0] ^= 1
	for _, test := range []struct {
		position space.Position
		want     string
	}{
		{here, "ended forbidden"},
		{other, "ended diverged"},
		{ahead, "ended recovering"},
		{space.Position{Seq: 9, Chain: here.Chain}, "ended diverged"},
	} {
		l := welcomedLine(t, 1<<20)
		l.subscribe(test.position)
		l.step(hub.Checked{Space: spaceID, Ref: l.last.Check[0].Ref, Exists: true, Head: log.head, Chain: here.Chain})
		l.wants(test.want)
		if l.last.Read != nil || len(l.last.Unwatch) != 1 {
			t.Errorf("%+v: read %v, still watched %t", test.position, l.last.Read, len(l.last.Unwatch) == 0)
		}
	}
}

func TestTheSameSpaceAgainReplacesItsCursor(t *testing.T) {
	log := filled(3)
	l := welcomedLine(t, 1<<20, func(c *hub.Config) { c.ReadRecords = 2 })
	l.subscribe(space.Start(spaceID))
	first := l.last.Check[0]
	l.subscribe(space.Start(spaceID))
	if len(l.last.Watch) != 0 || len(l.last.Unwatch) != 0 {
		t.Error("watched anew")
	}
	second := l.last.Check[0]
	l.step(hub.Checked{Space: first.Space, Ref: first.Ref}) // the answer to the old one: nothing
	l.wants("")
	l.last.Check = []hub.CheckPosition{second}
	l.check(log)
	l.events(log)
	l.wants("spaces 0 +1, events 1..2")
	l.subscribe(space.Start(spaceID)) // while a read is under way
	l.check(log)
	l.events(log) // of the old cursor: dropped
	for l.read != nil {
		l.events(log)
	}
	l.wants("events 1..2, events 3..4, events 5..6, caught_up@6")
}

func TestUnsubscribe(t *testing.T) {
	log := filled(3)
	l := welcomedLine(t, 1<<20)
	l.subscribe(space.Start(spaceID))
	l.check(log)
	l.receive(&wire.Unsubscribe{Spaces: []space.ID{spaceID, {8}}})
	if len(l.last.Unwatch) != 1 {
		t.Error("still watched")
	}
	l.sent()
	l.events(log)
	l.step(hub.Woken{Space: spaceID, Seq: 9})
	l.wants("")
	if l.read != nil {
		t.Error("still read")
	}
}

func TestLimitsOnSubscriptions(t *testing.T) {
	change := func(c *hub.Config) {
		c.Limits = wire.DefaultLimits
		c.Limits.SubscribePairs, c.Limits.Subscriptions = 3, 4
	}
	pairs := func(first byte, n int) *wire.Subscribe {
		s := &wire.Subscribe{}
		for i := range n {
			s.Subscriptions = append(s.Subscriptions, wire.Subscription{Space: space.ID{first + byte(i)}})
		}
		return s
	}
	l := welcomedLine(t, 0, change)
	l.receive(pairs(1, 3))
	l.wants("")
	l.receive(pairs(3, 3)) // 3 again, 4, and 5, which is one too many
	l.wants("ended too_many")
	if len(l.last.Check) != 2 {
		t.Error("the others were not begun")
	}
	l.receive(pairs(1, 4))
	l.fails(wire.CodeTooMany)
	l = welcomedLine(t, 0, change)
	l.receive(&wire.Unsubscribe{Spaces: make([]space.ID, 4)})
	l.fails(wire.CodeTooMany)
}

func TestCreditPaysForRecordsOnly(t *testing.T) {
	log := filled(4)
	l := welcomedLine(t, 0, func(c *hub.Config) { c.ReadRecords = 2 })
	l.subscribe(space.Start(spaceID))
	l.check(log)
	l.receive(&wire.Ping{})
	l.step(hub.Verdicts{Reply: hub.Reply{Pushed: &wire.Pushed{Space: spaceID, N: 1}}})
	if l.read != nil {
		t.Fatal("read without credit")
	}
	l.wants("spaces 0 +1, pong, pushed 1")
	l.receive(&wire.Credit{Bytes: 1}) // a message may take it below zero
	l.events(log)
	size := l.sizes[0]
	l.wants("events 1..2")
	if l.read != nil {
		t.Fatal("read below zero")
	}
	l.receive(&wire.Credit{Bytes: uint64(size) - 1}) // exactly zero
	if l.read != nil {
		t.Fatal("read at zero")
	}
	l.receive(&wire.Credit{Bytes: 1})
	if l.read == nil {
		t.Fatal("not read above zero")
	}
	l.events(log)
	l.receive(&wire.Credit{Bytes: 1<<64 - 1}) // no overflow
	l.receive(&wire.Credit{Bytes: 1<<64 - 1})
	l.events(log)
	l.events(log)
	l.wants("events 3..4, events 5..6, events 7..8, caught_up@8")
}

func TestASlowTransportLags(t *testing.T) {
	log := filled(6)
	l := welcomedLine(t, 1<<20, func(c *hub.Config) { c.ReadRecords, c.SendBuffer = 2, 300 })
	l.subscribe(space.Start(spaceID))
	l.check(log)
	for l.read != nil {
		l.events(log)
	}
	if len(l.frames) > 4 {
		t.Fatalf("%d frames wait in a transport of 300 bytes", len(l.frames))
	}
	l.sent()
	l.written()
	if l.read == nil {
		t.Fatal("not read after the transport took everything")
	}
}

// many returns a line subscribed to n spaces with heads as given; the checks are answered with chain = ID at 0.
func many(t *testing.T, heads []uint64, change ...func(*hub.Config)) *line {
	l := welcomedLine(t, 1<<30, append(change, func(c *hub.Config) { c.SendBuffer = 1 << 30; c.Unsent = 1 << 40 })...)
	s := &wire.Subscribe{}
	for i := range heads {
		id := space.ID{byte(i)}
		s.Subscriptions = append(s.Subscriptions, wire.Subscription{Space: id, Position: space.Start(id)})
	}
	l.receive(s)
	checks := append([]hub.CheckPosition(nil), l.last.Check...)
	for i, c := range checks {
		l.step(hub.Checked{Space: c.Space, Ref: c.Ref, Exists: true, MayRead: true, Head: space.Head{Seq: heads[i]}, Chain: c.Space})
	}
	l.sent()
	return l
}

// give answers the read under way with a message of a size that takes the cursor to seq, and returns the space.
func (l *line) give(size int, seq, head uint64) byte {
	l.t.Helper()
	r := l.read
	l.read = nil
	message := wire.Append(nil, &wire.Events{Space: r.Space, Records: []space.Record{{Event: space.Event{Payload: make([]byte, size)}}}})
	l.step(hub.EventsRead{Space: r.Space, Ref: r.Ref, Message: message, Position: space.Position{Seq: seq}, Head: head})
	return r.Space[0]
}

func TestTurnsByBytes(t *testing.T) {
	l := many(t, []uint64{1000, 1000, 1000}, func(c *hub.Config) { c.ReadBytes = 10_000 })
	got := make([]int, 3)
	for i := range 300 {
		size := 1000
		if l.read.Space[0] == 1 {
			size = 40_000 // one whole transaction over the limit
		}
		id := l.give(size, uint64(i+1), 1000)
		got[id] += size
	}
	if got[1] > 2*got[0]+80_000 || got[0] > 2*got[2]+20_000 {
		t.Errorf("shares %v", got)
	}
}

func TestLiveGoesBeforeTheBacklog(t *testing.T) {
	l := many(t, []uint64{1000, 0}, func(c *hub.Config) { c.ReadBytes = 10_000 })
	l.give(10_000, 1, 1000)
	l.step(hub.Woken{Space: space.ID{1}, Seq: 1}) // a live event, while the backlog is read
	l.give(10_000, 2, 1000)
	if id := l.give(100, 1, 1); id != 1 {
		t.Fatal("the live event waits behind the backlog")
	}
	if l.read.Space[0] != 0 {
		t.Fatal("the backlog does not go on")
	}
	// Who falls far behind is backlog again, and does not hold up who does not.
	l.step(hub.Woken{Space: space.ID{1}, Seq: 100})
	l.give(10_000, 3, 1000)
	l.give(10_000, 2, 100)
	order := ""
	for i := range 4 {
		order += string('0' + rune(l.give(10_000, uint64(10+i), 1000)))
	}
	if order != "0101" && order != "1010" {
		t.Errorf("order %s", order)
	}
}

func TestALogThatLosesRecordsUnderASubscription(t *testing.T) {
	log := filled(3)
	l := welcomedLine(t, 1<<20)
	l.subscribe(space.Start(spaceID))
	l.check(log)
	l.events(log)
	l.sent()
	l.step(hub.Woken{Space: spaceID, Seq: 7})
	l.events(filled(1))
	l.wants("ended recovering")
	if len(l.last.Ahead) != 1 || l.last.Ahead[0].Position.Seq != 6 {
		t.Errorf("ahead %v", l.last.Ahead)
	}
}

func TestManySubscriptionsEachGetTheirTurn(t *testing.T) {
	heads := make([]uint64, 250)
	for i := range heads {
		heads[i] = 2
	}
	l := many(t, heads, func(c *hub.Config) { c.ReadBytes = 1000 })
	for round := uint64(1); round <= 2; round++ {
		for i := range heads {
			if id := l.give(1000, round, 2); int(id) != i {
				t.Fatalf("round %d: %d instead of %d", round, id, i)
			}
		}
	}
	if l.read != nil {
		t.Error("still reading")
	}
}
