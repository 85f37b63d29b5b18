package syncserver_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// TestJoinWhileWriting lets 50 subscribers join at random moments, from random places, while a writer writes at full
// speed. Each gets everything once and in order.
func TestJoinWhileWriting(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		const pushes, transactions = 150, 10
		r := start(t, open())
		writer := r.dial("alice")
		id := writer.create()
		var mu sync.Mutex
		places := []space.Position{space.Start(id)} // where a subscriber may begin
		var written atomic.Uint64
		var all sync.WaitGroup
		turns := make(chan struct{}, pushes)
		for i := range 50 {
			all.Go(func() {
				for range i * pushes / 60 {
					<-turns
				}
				p := r.dial("reader")
				defer p.close()
				mu.Lock()
				at := places[rand.IntN(len(places))]
				mu.Unlock()
				p.subscribe(id, at)
				caughtUp := false
				for at.Seq < pushes*transactions*2 {
					switch f := p.receive().(type) {
					case *wire.Events:
						at = p.check(at, f)
					case *wire.CaughtUp:
						if caughtUp || f.Position != at && f.Position.Seq != 0 {
							t.Errorf("caught_up at %d (again: %v), the records end at %d", f.Position.Seq, caughtUp, at.Seq)
						}
						caughtUp = true
					case *wire.Spaces:
					default:
						t.Errorf("%T", f)
					}
				}
			})
		}
		for range pushes {
			batch := make([]space.Transaction, transactions)
			for i := range batch {
				batch[i] = writer.transaction(2)
			}
			position := writer.append(id, batch...)
			mu.Lock()
			places = append(places, position)
			mu.Unlock()
			written.Store(position.Seq)
			for range 50 {
				select {
				case turns <- struct{}{}:
				default:
				}
			}
		}
		close(turns)
		all.Wait()
		writer.close()
	})
}

func TestOwnRecordsAndUnsubscribe(t *testing.T) {
	r := start(t, memlog.New())
	alice, bob := r.dial("alice"), r.dial("bob")
	id := alice.create()
	for _, p := range []*peer{alice, bob} {
		p.subscribe(id, space.Start(id))
		if row := await[*wire.Spaces](p); len(row.Rows) != 1 || row.Rows[0].Genesis.ID() != id {
			t.Errorf("a subscriber was not told what the space is made from: %+v", row)
		}
		if up := await[*wire.CaughtUp](p); up.Position.Seq != 0 || up.Position.Chain != id {
			t.Errorf("caught up at %+v", up.Position)
		}
	}
	tx := alice.transaction(2)
	alice.push(wire.Push{Space: id, Transactions: []space.Transaction{tx}})
	records, at := alice.follow(id, space.Start(id), 2) // own records come back like everyone's
	if records[1].ID != tx.Events[1].ID || records[1].Author != "alice" || records[1].Count != 2 {
		t.Errorf("%+v", records[1])
	}
	bob.follow(id, space.Start(id), 2)
	bob.send(&wire.Unsubscribe{Spaces: []space.ID{id}})
	bob.send(&wire.Ping{})
	await[*wire.Pong](bob)
	alice.append(id, alice.transaction(1))
	alice.append(id, alice.transaction(1))
	bob.send(&wire.Ping{})
	if f := bob.receive(); f.Number() != wire.NumberPong {
		t.Errorf("after unsubscribing came %T", f)
	}
	bob.subscribe(id, at)
	bob.follow(id, at, 4)
}

func TestPositions(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		r := start(t, open())
		alice := r.dial("alice")
		id := alice.create()
		var at []space.Position
		for range 5 {
			at = append(at, alice.append(id, alice.transaction(1)))
		}
		ended := func(p space.Position) wire.Code {
			alice.subscribe(id, p)
			return await[*wire.Ended](alice).Code
		}
		wrongSeal := at[2]
		wrongSeal.Seal[3]++
		alice.subscribe(id, wrongSeal) // beside a matching chain a seal is not even read
		alice.follow(id, at[2], 5)
		wrongChain := at[2]
		wrongChain.Chain[0]++
		if code := ended(wrongChain); code != wire.CodeDiverged {
			t.Errorf("wrong chain: %v", code)
		}
		ahead := at[4]
		ahead.Seq = 9
		if code := ended(ahead); code != wire.CodeDiverged {
			t.Errorf("ahead with a seal of another position: %v", code)
		}
		unknown := space.ID(digest.Of([]byte("nothing")))
		alice.subscribe(unknown, space.Start(unknown))
		if code := await[*wire.Ended](alice).Code; code != wire.CodeUnknownSpace {
			t.Errorf("unknown space: %v", code)
		}
		alice.append(id, alice.transaction(1)) // all of that changed nothing
	})
}

// TestLostTail restarts a server from an older state of its log and shows it a position that it once sealed.
func TestLostTail(t *testing.T) {
	log := memlog.New()
	r := start(t, log)
	alice := r.dial("alice")
	g := alice.genesis()
	id := g.ID()
	alice.pushed(wire.Push{Space: id, Genesis: g})
	alice.append(id, alice.transaction(1))
	position := alice.append(id, alice.transaction(1))
	r.stop()

	restored := memlog.New() // the keys and the genesis of the backup, none of the records
	for _, key := range []string{"server/key", "server/seal"} {
		value, _ := log.Key(context.Background(), key)
		restored.CompareAndSet(context.Background(), key, nil, value)
	}
	restored.Create(context.Background(), g, nil)
	again := start(t, restored)
	alice = again.dial("alice")
	alice.subscribe(id, position)
	if code := await[*wire.Ended](alice).Code; code != wire.CodeRecovering {
		t.Errorf("a valid seal ahead of the head: %v", code)
	}
	if v := alice.verdict(id, alice.transaction(1)); v.Kind != wire.Deferred || v.Code != wire.CodeRecovering || v.RetryAfterMS == 0 {
		t.Errorf("a push while the tail is missing: %+v", v)
	}
	forged := position
	forged.Seal[0]++
	bob := again.dial("bob")
	bob.subscribe(id, forged)
	if code := await[*wire.Ended](bob).Code; code != wire.CodeDiverged {
		t.Errorf("a forged seal: %v", code)
	}
}

func TestCredit(t *testing.T) {
	r := start(t, memlog.New())
	alice := r.dial("alice")
	id := alice.create()
	alice.append(id, alice.transaction(1), alice.transaction(1))
	h := hello("bob")
	h.Credit = 0
	bob := r.dialWith(h)
	bob.subscribe(id, space.Start(id))
	bob.send(&wire.Fetch{Ref: 1, Space: id})
	bob.send(&wire.Ping{})
	for {
		f := bob.receive()
		if f.Number() == wire.NumberPong {
			break
		}
		if f.Number() == wire.NumberEvents || f.Number() == wire.NumberPage {
			t.Fatalf("%T came without credit", f)
		}
	}
	bob.append(id, bob.transaction(1)) // verdicts are free
	bob.send(&wire.Credit{Bytes: 1 << 20})
	bob.follow(id, space.Start(id), 3)
}

func TestFetch(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		total := 10_000
		if testing.Short() {
			total = 2000
		}
		r := start(t, open())
		alice := r.dial("alice")
		id := alice.create()
		for seq := 0; seq < total; {
			var batch []space.Transaction
			for len(batch) < 100 && seq < total {
				n := min(1+rand.IntN(9), total-seq)
				batch = append(batch, alice.transaction(n))
				seq += n
			}
			alice.append(id, batch...)
		}
		page := func(f wire.Fetch) *wire.Page {
			t.Helper()
			f.Ref, f.Space = 1, id
			alice.send(&f)
			p := await[*wire.Page](alice)
			if space.Fold(p.ChainBefore, p.Records) != p.Position.Chain {
				t.Fatal("a page does not hash to its position")
			}
			if n := len(p.Records); n > 0 && (p.Records[0].Index != 0 || !p.Records[n-1].Last()) {
				t.Fatal("a page cuts a transaction")
			}
			if n := uint64(len(p.Records)); f.MaxRecords > 10 && n > f.MaxRecords {
				t.Fatalf("%d records, at most %d wanted", n, f.MaxRecords)
			}
			return p
		}
		var forwards []space.Record
		for chain := digest.Digest(id); ; {
			p := page(wire.Fetch{After: uint64(len(forwards)), MaxRecords: uint64(11 + rand.IntN(900))})
			if p.ChainBefore != chain {
				t.Fatal("pages do not follow on each other")
			}
			if chain = p.Position.Chain; len(p.Records) == 0 {
				break
			}
			forwards = append(forwards, p.Records...)
		}
		var backwards []space.Record
		for before := uint64(total) + 1; before > 1; {
			p := page(wire.Fetch{Before: before, MaxBytes: uint64(1 + rand.IntN(40_000))})
			if len(p.Records) == 0 || p.Records[len(p.Records)-1].Seq != before-1 {
				t.Fatalf("%d records before %d", len(p.Records), before)
			}
			before = p.Records[0].Seq
			backwards = append(p.Records, backwards...)
		}
		if len(forwards) != total || len(backwards) != total {
			t.Fatalf("%d records forwards, %d backwards, want %d", len(forwards), len(backwards), total)
		}
		for i := range forwards {
			if forwards[i].Seq != uint64(i+1) || forwards[i].ID != backwards[i].ID {
				t.Fatalf("record %d", i)
			}
		}
		alice.send(&wire.Fetch{Ref: 9})
		if refused := await[*wire.Refused](alice); refused.Ref != 9 || refused.Code != wire.CodeUnknownSpace {
			t.Errorf("%+v", refused)
		}
	})
}

// TestNothingLeaks subscribes and disconnects many times.
func TestNothingLeaks(t *testing.T) {
	cycles := 10_000
	if testing.Short() || raceDetector { // which finds no more in ten times as many, and takes a minute; they run without it
		cycles = 1000
	}
	r := start(t, memlog.New())
	alice := r.dial("alice")
	var ids []space.ID
	for range 20 {
		id := alice.create()
		alice.append(id, alice.transaction(3))
		ids = append(ids, id)
	}
	cycle := func(i int) {
		p := r.dial("bob")
		id := ids[i%len(ids)]
		p.subscribe(id, space.Start(id))
		p.send(&wire.Directory{Ref: 1})
		switch i % 3 {
		case 0:
			p.follow(id, space.Start(id), 3)
		case 1:
			p.append(id, p.transaction(1))
		}
		p.close()
		r.mu.Lock()
		r.peers = r.peers[:1]
		r.mu.Unlock()
	}
	measure := func() (goroutines int, heap uint64) {
		var m runtime.MemStats
		for range 100 { // connections end a moment after their sockets
			runtime.Gosched()
			goroutines = runtime.NumGoroutine()
		}
		runtime.GC()
		runtime.ReadMemStats(&m)
		return goroutines, m.HeapAlloc
	}
	for i := range 300 {
		cycle(i)
	}
	goroutines, heap := measure()
	for i := range cycles {
		cycle(i)
	}
	records := uint64(cycles/3) * 1000 // what they appended stays in memlog
	for deadline := time.Now().Add(20 * time.Second); ; {
		nowRoutines, nowHeap := measure()
		if nowRoutines <= goroutines+5 && nowHeap <= heap+records+4<<20 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %d cycles: %d goroutines, were %d; %d bytes of heap, were %d", cycles, nowRoutines, goroutines, nowHeap, heap)
		}
	}
}
