package syncserver_test

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// The tests of this file hold one thing up at a point where another may come between, and look that nothing is lost,
// doubled or seen too early.

// gate holds up whoever passes until it is opened.
type gate struct {
	reached chan struct{}
	release chan struct{}
	once    sync.Once
}

func newGate() *gate { return &gate{reached: make(chan struct{}), release: make(chan struct{})} }

// pass waits for the first caller; others go through.
func (g *gate) pass() {
	g.once.Do(func() {
		close(g.reached)
		<-g.release
	})
}

// TestSlowCommitIsNotPassed stalls a's append while c commits through another server. A reader reads to c and leaves;
// then a commits, and the reader resumes: it gets a, once, whatever a's id or the clock say of its time.
func TestSlowCommitIsNotPassed(t *testing.T) {
	const now = 1_800_000_000_000
	for name, test := range map[string]struct {
		idTime uint64 // when the event of a was made
		step   int64  // of the clock of a's server, while a is on its way
	}{
		"as it comes":             {now, 0},
		"an id three days older":  {now - 3*86_400_000, 0},
		"the clock steps back":    {now, -3_600_000},
		"both, and the other way": {now - 3*86_400_000, 3_600_000},
	} {
		t.Run(name, func(t *testing.T) {
			inner := memlog.New()
			log := &hooked{Log: inner}
			var clock atomic.Int64
			clock.Store(now)
			slow := start(t, log, func(c *syncserver.Config) { c.Now = func() time.Time { return time.UnixMilli(clock.Load()) } })
			fast := start(t, inner, func(c *syncserver.Config) { c.Now = func() time.Time { return time.UnixMilli(now + 5) } })
			ann, cy := slow.dial("ann"), fast.dial("cy")
			id := ann.create()
			ann.append(id, ann.transaction(1))

			g := newGate()
			log.before(func(space.ID) error { g.pass(); return nil })
			event, err := space.NewIDSource(rand.Reader).New(test.idTime)
			if err != nil {
				t.Fatal(err)
			}
			a := space.Transaction{Author: "ann", API: wire.APIHigh, Events: []space.Event{{ID: event, Type: "note"}}}
			ann.push(wire.Push{Space: id, Transactions: []space.Transaction{a}})
			<-g.reached // judged, numbered, not stored
			c := cy.append(id, cy.transaction(1))
			reader := fast.dial("reader")
			reader.subscribe(id, space.Start(id))
			_, at := reader.follow(id, space.Start(id), c.Seq)
			if at.Seq != 2 {
				t.Fatalf("c has the number %d", at.Seq)
			}
			reader.close()
			clock.Add(test.step)
			close(g.release)
			v := await[*wire.Pushed](ann).Verdicts[0]
			if v.Kind != wire.Accepted || v.Position.Seq != 3 {
				t.Fatalf("the verdict on a: %+v", v)
			}

			reader = fast.dial("reader")
			reader.subscribe(id, at)
			records, end := reader.follow(id, at, 3)
			if len(records) != 1 || records[0].ID != event {
				t.Errorf("resumed at c, the reader got %+v", records)
			}
			if end != v.Position {
				t.Errorf("the reader stands at %+v, the verdict said %+v", end, v.Position)
			}
			all, err := inner.Read(context.Background(), id, 0, 100, 1<<20)
			if err != nil || len(all) != 3 {
				t.Fatalf("%d records: %v", len(all), err)
			}
			for i := 1; i < len(all); i++ {
				if all[i].ReceivedAt < all[i-1].ReceivedAt {
					t.Errorf("record %d was received before the one in front", all[i].Seq)
				}
			}
			reader.send(&wire.Ping{})
			if f := reader.receive(); f.Number() != wire.NumberCaughtUp && f.Number() != wire.NumberPong {
				t.Errorf("and then came %T", f)
			}
		})
	}
}

// TestRolledBackAppendWasSeenByNobody lets an append fail whose author is gone: it never was.
func TestRolledBackAppendWasSeenByNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &hooked{Log: memlog.New()}
		r := start(t, log)
		alice, bob := r.dial("alice"), r.dial("bob")
		id := bob.create()
		bob.subscribe(id, space.Start(id))
		await[*wire.CaughtUp](bob)
		g := newGate()
		log.before(func(space.ID) error { g.pass(); return errBroken })
		alice.push(wire.Push{Space: id, Transactions: []space.Transaction{alice.transaction(2)}})
		<-g.reached
		alice.close()
		synctest.Wait() // the server knows that she is gone
		log.before(nil)
		close(g.release)
		synctest.Wait()
		if head, err := log.Head(context.Background(), id); err != nil || head.Seq != 0 {
			t.Fatalf("the log ends at %d: %v", head.Seq, err)
		}
		tx := bob.transaction(1)
		bob.push(wire.Push{Space: id, Transactions: []space.Transaction{tx}})
		if records, _ := bob.follow(id, space.Start(id), 1); records[0].ID != tx.Events[0].ID {
			t.Errorf("a subscriber was sent what was rolled back")
		}
		r.stop()
	})
}

// TestDeathBetweenCommitAndWake takes a server out of life when an append is stored and nobody was told: what resumes
// at the next server is sent it, once, and its author learns that it is stored.
func TestDeathBetweenCommitAndWake(t *testing.T) {
	inner := memlog.New()
	log := &hooked{Log: inner}
	dying := start(t, log)
	alice, bob := dying.dial("alice"), dying.dial("bob")
	id := alice.create()
	alice.append(id, alice.transaction(1))
	bob.subscribe(id, space.Start(id))
	_, at := bob.follow(id, space.Start(id), 1)
	g := newGate()
	log.after(func(space.ID) error { g.pass(); return errBroken })
	tx := alice.transaction(2)
	alice.push(wire.Push{Space: id, Transactions: []space.Transaction{tx}})
	<-g.reached // stored; nothing more happens in this server
	defer close(g.release)
	alice.close()
	bob.close()

	next := start(t, inner)
	bob = next.dial("bob")
	bob.subscribe(id, at)
	records, at := bob.follow(id, at, 3)
	if len(records) != 2 || records[0].ID != tx.Events[0].ID || records[1].ID != tx.Events[1].ID {
		t.Errorf("resumed after the death, a subscriber got %+v", records)
	}
	alice = next.dial("alice")
	if v := alice.verdict(id, tx); v.Kind != wire.Duplicate || v.Position.Seq != 3 {
		t.Errorf("pushed again: %+v", v)
	}
	after := alice.append(id, alice.transaction(1))
	if after.Seq != 4 {
		t.Errorf("the next number is %d", after.Seq)
	}
	bob.follow(id, at, 4)
}

// TestHintsLostAndRepeated lets a server learn of another's appends by hints of which half are lost and half come
// twice. A subscriber is never at a record without the ones before it.
func TestHintsLostAndRepeated(t *testing.T) {
	inner := memlog.New()
	writing, reading := start(t, inner), start(t, &deaf{Log: inner})
	alice, bob, cy := writing.dial("alice"), reading.dial("bob"), reading.dial("cy")
	id := alice.create()
	bob.subscribe(id, space.Start(id))
	await[*wire.CaughtUp](bob)
	for range 50 {
		alice.append(id, alice.transaction(2))
	}
	cy.append(id, cy.transaction(1)) // through the server that heard only half
	records, _ := bob.follow(id, space.Start(id), 101)
	seen := map[space.ULID]bool{}
	for i := range records {
		if seen[records[i].ID] {
			t.Errorf("%v came twice", records[i].ID)
		}
		seen[records[i].ID] = true
	}
}

// deaf is a log that loses every other hint and gives the rest twice.
type deaf struct {
	syncserver.Log
	n atomic.Uint64
}

func (d *deaf) Watch(ctx context.Context, notify func(space.ID)) error {
	return d.Log.Watch(ctx, func(id space.ID) {
		if d.n.Add(1)%2 == 0 {
			notify(id)
			notify(id)
		}
	})
}

// TestNoSeamBetweenBackfillAndLive lets records be stored while a subscription stands still: after the head was read
// for it, before its backfill is read, and after it was read.
func TestNoSeamBetweenBackfillAndLive(t *testing.T) {
	for _, where := range []string{"head read", "before the read", "after the read"} {
		t.Run(where, func(t *testing.T) {
			inner := memlog.New()
			log := &paused{Log: inner}
			r := start(t, log)
			alice := r.dial("alice")
			id := alice.create()
			alice.append(id, alice.transaction(2))
			g := newGate()
			log.mu.Lock()
			log.where, log.gate = where, g
			log.mu.Unlock()
			bob := r.dial("bob")
			bob.subscribe(id, space.Start(id))
			<-g.reached
			for range 5 {
				alice.append(id, alice.transaction(2)) // and those who watch are woken
			}
			close(g.release)
			bob.follow(id, space.Start(id), 12)
			bob.send(&wire.Ping{})
			for f := bob.receive(); f.Number() != wire.NumberPong; f = bob.receive() {
				if f.Number() == wire.NumberEvents {
					t.Errorf("records came again: %+v", f)
				}
			}
		})
	}
}

// paused is a log that stands still at one place of reading.
type paused struct {
	syncserver.Log
	mu    sync.Mutex
	where string
	gate  *gate
}

func (p *paused) at(where string) {
	p.mu.Lock()
	g := p.gate
	here := p.where == where
	p.mu.Unlock()
	if here {
		g.pass()
	}
}

func (p *paused) Head(ctx context.Context, id space.ID) (space.Head, error) {
	head, err := p.Log.Head(ctx, id)
	p.at("head read")
	return head, err
}

func (p *paused) Read(ctx context.Context, id space.ID, after uint64, maxRecords, maxBytes int) ([]space.Record, error) {
	p.at("before the read")
	records, err := p.Log.Read(ctx, id, after, maxRecords, maxBytes)
	p.at("after the read")
	return records, err
}

// TestRetryWhileInFlight cuts a connection whose push is on its way to the log, and pushes the same and more again
// from others: every transaction is one record with its first number, sent to subscribers once.
func TestRetryWhileInFlight(t *testing.T) {
	log := &hooked{Log: memlog.New()}
	r := start(t, log)
	alice, bob := r.dial("alice"), r.dial("bob")
	id := alice.create()
	bob.subscribe(id, space.Start(id))
	await[*wire.CaughtUp](bob)
	g := newGate()
	log.before(func(space.ID) error { g.pass(); return nil })
	one, two, three := alice.transaction(2), alice.transaction(1), alice.transaction(3)
	alice.push(wire.Push{Space: id, Transactions: []space.Transaction{one, two}})
	<-g.reached
	alice.close()
	second, third := r.dial("alice"), r.dial("alice")
	second.push(wire.Push{Space: id, Transactions: []space.Transaction{one, two, three}})
	third.push(wire.Push{Space: id, Transactions: []space.Transaction{two, three}})
	for _, p := range []*peer{second, third} { // both pushes are with the server
		p.send(&wire.Ping{})
		await[*wire.Pong](p)
	}
	close(g.release)
	numbers := func(answer *wire.Pushed) (seqs []uint64) {
		for _, v := range answer.Verdicts {
			if v.Kind != wire.Duplicate && v.Kind != wire.Accepted {
				t.Errorf("%+v", v)
			}
			seqs = append(seqs, v.Position.Seq)
		}
		return seqs
	}
	a, b := numbers(await[*wire.Pushed](second)), numbers(await[*wire.Pushed](third))
	if a[0] != 2 || a[1] != 3 || a[2] != 6 || b[0] != 3 || b[1] != 6 {
		t.Errorf("numbers %v and %v", a, b)
	}
	bob.follow(id, space.Start(id), 6)
	bob.send(&wire.Ping{})
	if f := bob.receive(); f.Number() != wire.NumberPong {
		t.Errorf("and then came %T", f)
	}
}

// TestNewerConnectionWaitsForTheOlder holds up an append of a session's connection while a newer one says hello: it
// is not welcome before the append has ended.
func TestNewerConnectionWaitsForTheOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &hooked{Log: memlog.New()}
		r := start(t, log)
		h := hello("alice")
		h.Epoch = 1
		older := r.dialWith(h)
		id := older.create()
		g := newGate()
		log.before(func(space.ID) error { g.pass(); return nil })
		tx := older.transaction(2)
		older.push(wire.Push{Space: id, Transactions: []space.Transaction{tx}})
		<-g.reached
		newer, _ := r.connect()
		again := hello("alice")
		again.Session, again.Epoch = h.Session, 2
		newer.identity = "alice"
		newer.send(again)
		came := make(chan wire.Frame, 1)
		go func() { came <- newer.receive() }()
		older.fails(wire.CodeSuperseded)
		synctest.Wait()
		select {
		case f := <-came:
			t.Fatalf("%T came while the older connection's push was on its way", f)
		default:
		}
		close(g.release)
		if _, ok := (<-came).(*wire.Welcome); !ok {
			t.Fatal("no welcome in the end")
		}
		if head, err := log.Head(context.Background(), id); err != nil || head.Seq != 2 {
			t.Errorf("welcome at %d: %v", head.Seq, err)
		}
		if v := newer.verdict(id, tx); v.Kind != wire.Duplicate {
			t.Errorf("pushed again: %+v", v)
		}
		r.stop()
	})
}

// TestOlderEpochIsRefused says hello for a tab that lost the lead, after its successor.
func TestOlderEpochIsRefused(t *testing.T) {
	r := start(t, memlog.New())
	h := hello("alice")
	h.Epoch = 5
	newer := r.dialWith(h)
	older, _ := r.connect()
	late := hello("alice")
	late.Session, late.Epoch = h.Session, 4
	older.send(late)
	if f, ok := older.receive().(*wire.Error); !ok || f.Code != wire.CodeSuperseded {
		t.Errorf("the older epoch was told %+v", f)
	}
	newer.create() // it goes on
}

// TestCreationRaceIsChargedOnce lets another server create a space just after this one found that there is none.
func TestCreationRaceIsChargedOnce(t *testing.T) {
	inner := memlog.New()
	log := &absent{Log: inner}
	strict := func(c *syncserver.Config) { c.Creation.Identity = syncserver.Rate{Burst: 1, PerHour: 1} }
	late, other := start(t, log, strict), start(t, inner, strict)
	alice, again := late.dial("alice"), other.dial("alice")
	g := alice.genesis()
	log.meanwhile = sync.OnceFunc(func() {
		if v := again.pushed(wire.Push{Space: g.ID(), Genesis: g}).Genesis; v.Kind != wire.Accepted {
			t.Errorf("at the other server: %+v", v)
		}
	})
	if v := alice.pushed(wire.Push{Space: g.ID(), Genesis: g}).Genesis; v.Kind != wire.Duplicate {
		t.Errorf("a space that was created meanwhile: %+v", v)
	}
}

// absent is a log in which something happens just after it was found that a space does not exist.
type absent struct {
	syncserver.Log
	meanwhile func()
}

func (a *absent) Genesis(ctx context.Context, id space.ID) (space.Genesis, []byte, error) {
	genesis, signature, err := a.Log.Genesis(ctx, id)
	if err != nil {
		a.meanwhile()
	}
	return genesis, signature, err
}
