package syncserver_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// TestCommitBeforeAnything holds an append up and looks for any sign of it.
func TestCommitBeforeAnything(t *testing.T) {
	log := &hooked{Log: memlog.New()}
	r := start(t, log)
	alice, bob := r.dial("alice"), r.dial("bob")
	id := alice.create()
	bob.subscribe(id, space.Start(id))
	await[*wire.CaughtUp](bob)
	reached, release := make(chan struct{}), make(chan struct{})
	log.before(func(space.ID) error {
		close(reached)
		<-release
		return nil
	})
	tx := alice.transaction(2)
	n := alice.push(wire.Push{Space: id, Transactions: []space.Transaction{tx}})
	alice.push(wire.Push{Space: id, Transactions: []space.Transaction{tx}}) // a duplicate of what is not durable
	<-reached
	quiet := func(p *peer) {
		t.Helper()
		p.send(&wire.Fetch{Ref: 5, Space: id}, &wire.Ping{})
		for i := range 2 { // the page, and the pong
			switch f := p.receive().(type) {
			case *wire.Page:
				if len(f.Records) != 0 {
					t.Error("a record was read before it was durable")
				}
			case *wire.Pong:
			default:
				t.Errorf("%d: %T %+v came before the append was durable", i, f, f)
			}
		}
	}
	quiet(alice)
	quiet(bob)
	log.before(nil)
	close(release)
	first := await[*wire.Pushed](alice)
	second := await[*wire.Pushed](alice)
	if first.N != n || first.Verdicts[0].Kind != wire.Accepted || second.Verdicts[0].Kind != wire.Duplicate ||
		first.Verdicts[0].Position != second.Verdicts[0].Position {
		t.Errorf("%+v, %+v", first, second)
	}
	bob.follow(id, space.Start(id), 2)
}

// TestFailedAppend lets appends fail before and after they were stored. Nothing false is ever told, and everything is
// stored once.
func TestFailedAppend(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		log := &hooked{Log: open()}
		r := start(t, log)
		alice, bob := r.dial("alice"), r.dial("bob")
		id := alice.create()
		bob.subscribe(id, space.Start(id))
		var calls atomic.Uint64
		fail := func(space.ID) error {
			if calls.Add(1)%3 != 0 {
				return errBroken
			}
			return nil
		}
		log.before(fail)
		log.after(fail)
		var sent []space.Transaction
		for range 20 {
			tx := alice.transaction(3)
			sent = append(sent, tx)
			alice.append(id, tx)
		}
		log.before(nil)
		log.after(nil)
		records, _ := bob.follow(id, space.Start(id), 60)
		for i, tx := range sent {
			if records[3*i].ID != tx.Events[0].ID {
				t.Fatalf("transaction %d is not at its place", i)
			}
			if v := alice.verdict(id, tx); v.Kind != wire.Duplicate || v.Position.Seq != uint64(3*i+3) {
				t.Errorf("transaction %d again: %+v", i, v)
			}
		}
	})
}

// TestAReaderGetsWhatAnUnclearAppendStored: the answer to an append is lost, though it was stored. Who reads along is sent its records, without anybody having to write more.
func TestAReaderGetsWhatAnUnclearAppendStored(t *testing.T) {
	log := &hooked{Log: memlog.New()}
	r := start(t, log)
	alice, bob := r.dial("alice"), r.dial("bob")
	id := alice.create()
	bob.subscribe(id, space.Start(id))
	await[*wire.CaughtUp](bob)
	alice.append(id, alice.transaction(2)) // what is in memory for readers ends with it
	_, at := bob.follow(id, space.Start(id), 2)
	log.after(func(space.ID) error {
		log.after(nil)
		return errBroken
	})
	alice.append(id, alice.transaction(1))
	bob.follow(id, at, 3)
}

// TestFullLog shows that a full log defers, and that reading goes on.
func TestFullLog(t *testing.T) {
	log := &hooked{Log: memlog.New()}
	r := start(t, log)
	alice := r.dial("alice")
	id := alice.create()
	alice.append(id, alice.transaction(1))
	log.before(func(space.ID) error { return syncserver.ErrFull })
	tx := alice.transaction(1)
	if v := alice.verdict(id, tx); v.Kind != wire.Deferred || v.Code != wire.CodeServerFull || v.RetryAfterMS == 0 {
		t.Errorf("%+v", v)
	}
	alice.subscribe(id, space.Start(id))
	alice.follow(id, space.Start(id), 1)
}

// TestVerdictLost cuts connections before they get their verdicts and pushes the same again.
func TestVerdictLost(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		r := start(t, open())
		alice, bob := r.dial("alice"), r.dial("bob")
		id := alice.create()
		bob.subscribe(id, space.Start(id))
		var txs []space.Transaction
		for i := range 20 {
			tx := alice.transaction(2)
			txs = append(txs, tx)
			p := r.dial("alice")
			p.push(wire.Push{Space: id, Transactions: txs[max(0, i-2):]}) // overlapping what was sent before
			if i%2 == 0 {
				p.send(&wire.Ping{})
			}
			p.close()
		}
		kinds := map[wire.VerdictKind]int{}
		last := uint64(0)
		for _, tx := range txs {
			v := alice.verdict(id, tx)
			kinds[v.Kind]++
			if again := alice.verdict(id, tx); again.Kind != wire.Duplicate || again.Position != v.Position {
				t.Errorf("%+v, then %+v", v, again)
			}
			last = max(last, v.Position.Seq)
		}
		if last != 40 {
			t.Errorf("the log ends at %d, want 40 (%v)", last, kinds)
		}
		records, _ := bob.follow(id, space.Start(id), 40) // each once
		seen := map[space.ULID]bool{}
		for i := range records {
			if seen[records[i].ID] {
				t.Errorf("%v came twice", records[i].ID)
			}
			seen[records[i].ID] = true
		}
	})
}

// TestNumbersAreVisible polls while 64 connections write: no number is told or passed before all below it can be
// read.
func TestNumbersAreVisible(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		const writers, rounds = 64, 10
		r := start(t, open())
		owner, poller := r.dial("owner"), r.dial("poller")
		id := owner.create()
		var all sync.WaitGroup
		var told atomic.Uint64
		for range writers {
			all.Go(func() {
				p := r.dial("writer")
				defer p.close()
				for range rounds {
					seq := p.append(id, p.transaction(1)).Seq
					for {
						old := told.Load()
						if seq <= old || told.CompareAndSwap(old, seq) {
							break
						}
					}
				}
			})
		}
		for at := uint64(0); at < writers*rounds; {
			promised := told.Load()
			poller.send(&wire.Fetch{Ref: 1, Space: id, After: at})
			page := await[*wire.Page](poller)
			for i := range page.Records {
				if page.Records[i].Seq != at+1 {
					t.Fatalf("record %d after %d", page.Records[i].Seq, at)
				}
				at++
			}
			if len(page.Records) < 500 && at < promised {
				t.Fatalf("%d was promised, but only %d could be read", promised, at)
			}
		}
		all.Wait()
	})
}

// TestPanicInLog lets the log panic: the connection goes on, the space too, and nothing is stored twice.
func TestPanicInLog(t *testing.T) {
	log := &hooked{Log: memlog.New()}
	r := start(t, log)
	alice := r.dial("alice")
	id := alice.create()
	log.before(func(space.ID) error {
		log.before(nil)
		panic("the test's")
	})
	alice.append(id, alice.transaction(1))
	if head, _ := log.Head(context.Background(), id); head.Seq != 1 {
		t.Errorf("the head is %d", head.Seq)
	}
}

// TestPanicInReading lets reads of the log panic: only what was asked for fails.
func TestPanicInReading(t *testing.T) {
	log := &hooked{Log: memlog.New()}
	r := start(t, log)
	alice := r.dial("alice")
	id := alice.create()
	alice.append(id, alice.transaction(1))
	log.reads(func() { panic("the test's") })
	bob := r.dial("bob")
	bob.subscribe(id, space.Start(id))
	if ended := await[*wire.Ended](bob); ended.Code != wire.CodeInternal {
		t.Errorf("a subscription ended with %v", ended.Code)
	}
	for _, ask := range []wire.Frame{&wire.Fetch{Ref: 1, Space: id}, &wire.Directory{Ref: 1}} {
		p := r.dial("carol")
		p.send(ask)
		p.fails(wire.CodeInternal)
	}
	alice.append(id, alice.transaction(1))
	log.reads(nil)
	bob.subscribe(id, space.Start(id))
	bob.follow(id, space.Start(id), 2)
}

// TestBrokenReading lets reads of the log fail: only what was asked for is refused.
func TestBrokenReading(t *testing.T) {
	log := &failing{Log: memlog.New()}
	r := start(t, log)
	alice := r.dial("alice")
	id := alice.create()
	alice.append(id, alice.transaction(1))
	log.on.Store(true)
	alice.subscribe(id, space.Start(id))
	if ended := await[*wire.Ended](alice); ended.Code != wire.CodeInternal {
		t.Errorf("a subscription ended with %v", ended.Code)
	}
	alice.send(&wire.Fetch{Ref: 1, Space: id})
	if refused := await[*wire.Refused](alice); refused.Code != wire.CodeOverloaded {
		t.Errorf("a page was refused with %v", refused.Code)
	}
	alice.send(&wire.Directory{Ref: 2})
	if refused := await[*wire.Refused](alice); refused.Code != wire.CodeOverloaded || refused.Ref != 2 {
		t.Errorf("the directory was refused with %+v", refused)
	}
	log.on.Store(false)
	alice.subscribe(id, space.Start(id))
	alice.follow(id, space.Start(id), 1)
}

// failing is a log that can be made unreadable.
type failing struct {
	syncserver.Log
	on atomic.Bool
}

func (f *failing) Read(ctx context.Context, id space.ID, after uint64, maxRecords, maxBytes int) ([]space.Record, error) {
	if f.on.Load() {
		return nil, errBroken
	}
	return f.Log.Read(ctx, id, after, maxRecords, maxBytes)
}

func (f *failing) Scan(ctx context.Context, prefix, after string, limit int) ([]syncserver.KeyValue, error) {
	if f.on.Load() {
		return nil, errBroken
	}
	return f.Log.Scan(ctx, prefix, after, limit)
}

// TestPanicInJudging lets a module panic: those who pushed are told to come back, and find that all is well. Readers
// notice nothing.
func TestPanicInJudging(t *testing.T) {
	engine := &explosive{Engine: module.Native}
	r := start(t, memlog.New(), func(c *syncserver.Config) { c.Engine = engine })
	alice, bob := r.dial("alice"), r.dial("bob")
	id := alice.create()
	alice.append(id, alice.transaction(1))
	bob.subscribe(id, space.Start(id))
	bob.follow(id, space.Start(id), 1)
	tx := alice.transaction(1)
	engine.armed.Store(true)
	alice.push(wire.Push{Space: id, Transactions: []space.Transaction{tx}})
	alice.fails(wire.CodeInternal)
	bob.send(&wire.Ping{})
	await[*wire.Pong](bob)
	alice = r.dial("alice")
	if v := alice.verdict(id, tx); v.Kind != wire.Accepted || v.Position.Seq != 2 {
		t.Errorf("after a panic: %+v", v)
	}
	if events := await[*wire.Events](bob); events.Position.Seq != 2 {
		t.Errorf("a reader was sent %+v", events.Position)
	}
}

// explosive is an engine whose next judgement panics when it is armed.
type explosive struct {
	module.Engine
	armed atomic.Bool
}

func (e *explosive) New(genesis *space.Genesis) (module.Instance, error) {
	instance, err := e.Engine.New(genesis)
	if err != nil {
		return nil, err
	}
	return &bomb{instance, e}, nil
}

type bomb struct {
	module.Instance
	engine *explosive
}

func (b *bomb) Judge(caller module.Caller, records []space.Record) (module.Verdict, error) {
	if b.engine.armed.CompareAndSwap(true, false) {
		panic("the test's")
	}
	return b.Instance.Judge(caller, records)
}

// TestClockSteps sets the server's clock back and forth: records stay in order and their times never decrease.
func TestClockSteps(t *testing.T) {
	var now atomic.Int64
	now.Store(1_800_000_000_000)
	r := start(t, memlog.New(), func(c *syncserver.Config) {
		c.Now = func() time.Time { return time.UnixMilli(now.Load()) }
	})
	alice := r.dial("alice")
	id := alice.create()
	steps := []int64{0, 1000, -3_600_000, 0, 3 * 24 * 3_600_000, -7 * 24 * 3_600_000, 1}
	for _, step := range steps {
		now.Add(step)
		alice.append(id, alice.transaction(2))
	}
	alice.subscribe(id, space.Start(id))
	records, _ := alice.follow(id, space.Start(id), uint64(2*len(steps)))
	for i := 1; i < len(records); i++ {
		if records[i].ReceivedAt < records[i-1].ReceivedAt {
			t.Errorf("record %d was received %d ms before the one in front", records[i].Seq, records[i-1].ReceivedAt-records[i].ReceivedAt)
		}
	}
	if last := records[len(records)-1].ReceivedAt; last != 1_800_000_000_000+1000-3_600_000+3*24*3_600_000 {
		t.Errorf("the last was received at %d", last)
	}
}
