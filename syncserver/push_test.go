package syncserver_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

func TestPush(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		r := start(t, open())
		alice := r.dial("alice")
		id := alice.create()
		first, second := alice.transaction(2), alice.transaction(1)
		position := alice.append(id, first, second)
		if position.Seq != 3 {
			t.Fatalf("the third record has the number %d", position.Seq)
		}
		check := func(what string, got, want wire.Verdict) {
			t.Helper()
			if want.Kind == wire.Rejected || want.Kind == wire.Deferred {
				if got.Reason == "" || len(got.Reason) > wire.MaxReason {
					t.Errorf("%s: reason %q", what, got.Reason)
				}
				got.Reason, want.Reason = "", ""
			}
			if got != want {
				t.Errorf("%s: %+v, want %+v", what, got, want)
			}
		}
		check("again", alice.verdict(id, second), wire.Verdict{Kind: wire.Duplicate, Position: position})

		reused := wire.Verdict{Kind: wire.Rejected, Code: wire.CodeIDReused}
		other := second
		other.Events = []space.Event{{ID: second.Events[0].ID, Type: "other", Payload: []byte{0xc0}}}
		check("other bytes", alice.verdict(id, other), reused)
		part := first
		part.Events = first.Events[:1]
		check("a part", alice.verdict(id, part), reused)
		over := alice.transaction(1)
		over.Events = append(over.Events, first.Events...)
		check("overlap", alice.verdict(id, over), reused)
		twice := alice.transaction(1)
		twice.Events = append(twice.Events, twice.Events[0])
		check("twice", alice.verdict(id, twice), reused)

		forged := alice.transaction(1)
		forged.Author = "bob"
		check("forged author", alice.verdict(id, forged), wire.Verdict{Kind: wire.Deferred, Code: wire.CodeAuthRequired})
		reserved := alice.transaction(1)
		reserved.Events[0].Type = "$module"
		check("reserved", alice.verdict(id, reserved), wire.Verdict{Kind: wire.Rejected, Code: wire.CodeReservedType})

		// One bad transaction does not take its neighbours down, and takes no number.
		answer := alice.pushed(wire.Push{Space: id, Transactions: []space.Transaction{alice.transaction(1), reserved, alice.transaction(1)}})
		if v := answer.Verdicts; v[0].Kind != wire.Accepted || v[1].Kind != wire.Rejected || v[2].Kind != wire.Accepted ||
			v[0].Position.Seq != 4 || v[2].Position.Seq != 5 {
			t.Errorf("good, bad, good: %+v", v)
		}

		r.stop()
		again := start(t, open())
		if again.server.Key() != r.server.Key() {
			t.Error("a restart changed who the server is")
		}
		alice = again.dial("alice")
		check("after a restart", alice.verdict(id, second), wire.Verdict{Kind: wire.Duplicate, Position: position})
		alice.subscribe(id, space.Start(id))
		records, at := alice.follow(id, space.Start(id), 5)
		if len(records) != 5 || records[2].ID != second.Events[0].ID {
			t.Errorf("%d records after a restart", len(records))
		}
		if at != alice.verdict(id, space.TransactionOf(records[4:])).Position {
			t.Error("the seal changed over a restart")
		}
	})
}

// TestOldOutbox pushes what was written a week before, and again a week and a restart later, as a device does that was
// put back from a backup: the log knows the ids for its life, and not for a window.
func TestOldOutbox(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		const week = 7 * 24 * time.Hour
		written := time.Now()
		after := func(d time.Duration) func(*syncserver.Config) {
			return func(c *syncserver.Config) { c.Now = func() time.Time { return written.Add(d) } }
		}
		r := start(t, open(), after(week))
		alice := r.dial("alice")
		id := alice.create()
		var outbox []space.Transaction
		for n := range 20 {
			outbox = append(outbox, alice.transaction(1+n%3))
		}
		first := alice.pushed(wire.Push{Space: id, Transactions: outbox}).Verdicts
		head := alice.append(id, alice.transaction(1))
		r.stop()

		r = start(t, open(), after(2*week))
		alice = r.dial("alice")
		for i, v := range alice.pushed(wire.Push{Space: id, Transactions: outbox}).Verdicts {
			if first[i].Kind != wire.Accepted || v.Kind != wire.Duplicate || v.Position != first[i].Position {
				t.Errorf("transaction %d: %+v, and again %+v", i, first[i], v)
			}
		}
		other := outbox[7]
		other.ClientVersion = "2"
		if v := alice.verdict(id, other); v.Code != wire.CodeIDReused {
			t.Errorf("the same ids with other bytes: %+v", v)
		}
		if now := alice.append(id, alice.transaction(1)); now.Seq != head.Seq+1 {
			t.Errorf("the log went from %d to %d", head.Seq, now.Seq)
		}
	})
}

func TestGenesis(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		r := start(t, open())
		alice, mallory := r.dial("alice"), r.dial("mallory")
		g := alice.genesis()
		id := g.ID()
		verdict := func(p *peer, id space.ID, g *space.Genesis) *wire.Verdict {
			return p.pushed(wire.Push{Space: id, Genesis: g, Resume: true}).Genesis
		}
		if v := verdict(mallory, id, g); v.Kind != wire.Deferred || v.Code != wire.CodeAuthRequired {
			t.Errorf("forged creator: %+v", v)
		}
		other := *g
		other.Params = []byte{1}
		if v := verdict(alice, id, &other); v.Kind != wire.Rejected || v.Code != wire.CodeBadGenesis {
			t.Errorf("a genesis of another space: %+v", v)
		}
		missing := *g
		missing.Module[0]++
		if v := verdict(alice, missing.ID(), &missing); v.Kind != wire.Deferred || v.Code != wire.CodeModuleMissing {
			t.Errorf("a module that is not here: %+v", v)
		}
		orphan := alice.transaction(1)
		if v := alice.verdict(id, orphan); v.Kind != wire.Deferred || v.Code != wire.CodeUnknownSpace {
			t.Errorf("push to an unknown space: %+v", v)
		}
		// Three at once create one space.
		peers := []*peer{alice, r.dial("alice"), r.dial("alice")}
		verdicts := make([]wire.VerdictKind, len(peers))
		var all sync.WaitGroup
		for i, p := range peers {
			all.Go(func() { verdicts[i] = verdict(p, id, g).Kind })
		}
		all.Wait()
		if got := fmt.Sprint(verdicts); strings.Count(got, "1") != 1 || strings.Count(got, "2") != 2 {
			t.Errorf("verdicts on one genesis pushed three times: %v", verdicts)
		}
		if v := alice.verdict(id, orphan); v.Kind != wire.Accepted {
			t.Errorf("after creation: %+v", v)
		}
		if v := verdict(alice, id, g); v.Kind != wire.Duplicate {
			t.Errorf("known genesis: %+v", v)
		}
		if v := verdict(alice, id, &other); v.Kind != wire.Rejected || v.Code != wire.CodeBadGenesis {
			t.Errorf("another genesis with a known ID: %+v", v)
		}
	})
}

func TestSizes(t *testing.T) {
	limits := wire.Limits{
		Type: 10, Identity: 12, ClientVersion: 6, API: 8, Params: 20, Payload: 30, TransactionEvents: 3, TransactionBytes: 180,
		Message: 64 << 10, PushWindow: 64 << 10,
	}
	r := start(t, memlog.New(), func(c *syncserver.Config) { c.Limits = limits })
	alice := r.dial("alice")
	id := alice.create()
	fill := func(n int) []byte { return bytes.Repeat([]byte{1}, n) }
	size := func(n int) func(*space.Transaction) { // make it n bytes with events that are small enough
		return func(t *space.Transaction) {
			*t = alice.transaction(3)
			for i := range t.Events {
				t.Events[i].Payload = fill(30)
			}
			t.Events[2].Payload = fill(30 + n - t.Size())
		}
	}
	for name, change := range map[string]func(over int) func(*space.Transaction){
		"type": func(over int) func(*space.Transaction) {
			return func(t *space.Transaction) { t.Events[0].Type = string(fill(10 + over)) }
		},
		"payload": func(over int) func(*space.Transaction) {
			return func(t *space.Transaction) { t.Events[0].Payload = fill(30 + over) }
		},
		"api": func(over int) func(*space.Transaction) {
			return func(t *space.Transaction) { t.API = string(fill(8 + over)) }
		},
		"client_version": func(over int) func(*space.Transaction) {
			return func(t *space.Transaction) { t.ClientVersion = string(fill(6 + over)) }
		},
		"events": func(over int) func(*space.Transaction) {
			return func(t *space.Transaction) { *t = alice.transaction(3 + over) }
		},
		"bytes": func(over int) func(*space.Transaction) { return size(180 + over) },
	} {
		for over := range 2 {
			tx := alice.transaction(1)
			change(over)(&tx)
			v := alice.verdict(id, tx)
			if over == 0 && v.Kind != wire.Accepted || over == 1 && (v.Kind != wire.Rejected || v.Code != wire.CodeTooLarge || v.Reason == "") {
				t.Errorf("%s, %d over its limit: %+v", name, over, v)
			}
		}
	}
	for over := range 2 {
		g := alice.genesis()
		g.Params = fill(20 + over)
		v := alice.pushed(wire.Push{Space: g.ID(), Genesis: g}).Genesis
		if over == 0 && v.Kind != wire.Accepted || over == 1 && (v.Kind != wire.Rejected || v.Code != wire.CodeTooLarge) {
			t.Errorf("params, %d over the limit: %+v", over, v)
		}
		p, _ := r.connect()
		p.send(hello(strings.Repeat("x", 12+over)))
		if over == 0 {
			await[*wire.Welcome](p)
		} else {
			p.fails(wire.CodeBadCredentials)
		}
	}
	// What is over a limit now but was accepted before is delivered.
	r.stop()
	limits.Payload = 1
	tight := start(t, r.log, func(c *syncserver.Config) { c.Limits = limits })
	reader := tight.dial("alice")
	reader.subscribe(id, space.Start(id))
	reader.follow(id, space.Start(id), 1)
}

func TestBadFrames(t *testing.T) {
	r := start(t, memlog.New(), func(c *syncserver.Config) {
		c.Limits = wire.Limits{Message: 300 << 10, PushWindow: 300 << 10, TransactionBytes: 100 << 10, Payload: 100 << 10}
	})
	owner := r.dial("alice")
	id := owner.create()
	big := func(n int) []byte { return make([]byte, n) }
	part := func(total, n int) []byte {
		return wire.Append(nil, &wire.Part{Total: uint64(total), Bytes: big(n)})
	}
	for name, test := range map[string]struct {
		messages [][]byte
		code     wire.Code
	}{
		"no array":           {[][]byte{{0xc0}}, wire.CodeBadFrame},
		"empty":              {[][]byte{{}}, wire.CodeBadFrame},
		"unknown":            {[][]byte{{0x91, 0xcc, 200}}, wire.CodeUnknownFrame},
		"cut":                {[][]byte{wire.Append(nil, &wire.Push{Space: id, N: 1})[:10]}, wire.CodeBadFrame},
		"trailing":           {[][]byte{append(wire.Append(nil, &wire.Ping{}), 0)}, wire.CodeBadFrame},
		"too big":            {[][]byte{big(300<<10 + 1)}, wire.CodeMessageTooBig},
		"much too big":       {[][]byte{big(8 << 20)}, wire.CodeMessageTooBig},
		"parts too big":      {[][]byte{part(300<<10+1, 10)}, wire.CodeMessageTooBig},
		"parts disagree":     {[][]byte{part(100, 10), part(101, 10)}, wire.CodeBadFrame},
		"parts overflow":     {[][]byte{part(100, 60), part(100, 60)}, wire.CodeBadFrame},
		"between parts":      {[][]byte{part(100, 10), wire.Append(nil, &wire.Ping{})}, wire.CodeBadFrame},
		"push from 2":        {[][]byte{wire.Append(nil, &wire.Push{Space: id, N: 2, Genesis: owner.genesis()})}, wire.CodeBadFrame},
		"push of nothing":    {[][]byte{wire.Append(nil, &wire.Push{Space: id, N: 1})}, wire.CodeBadFrame},
		"many subscriptions": {[][]byte{wire.Append(nil, &wire.Subscribe{Subscriptions: make([]wire.Subscription, 257)})}, wire.CodeTooMany},
		"array bomb":         {[][]byte{{0x97, 6, 0xc4, 0, 1, 0xc2, 0xc0, 0xc4, 0, 0xdd, 0x7f, 0xff, 0xff, 0xff}}, wire.CodeBadFrame},
		"text bomb":          {[][]byte{{0x92, 2, 0xdb, 0xff, 0xff, 0xff, 0xff}}, wire.CodeBadFrame},
		"nest bomb":          {[][]byte{append(bytes.Repeat([]byte{0x91}, 100<<10), 0)}, wire.CodeBadFrame},
	} {
		t.Run(name, func(t *testing.T) {
			p := r.dial("alice")
			p.t = t
			var sending sync.WaitGroup
			sending.Go(func() { // the server may close before it has taken all
				for _, message := range test.messages {
					if p.socket.Write(context.Background(), 2, message) != nil {
						return
					}
				}
			})
			p.fails(test.code)
			p.close()
			sending.Wait()
		})
	}
	// What is refused and not an error leaves the connection open.
	p := r.dial("alice")
	for _, c := range []struct {
		frame wire.Frame
		code  wire.Code
	}{
		{&wire.AuthRefresh{Ref: 4, Proof: wire.Proof{Identity: "bob"}}, wire.CodeAuthRequired},
	} {
		p.send(c.frame)
		if refused := await[*wire.Refused](p); refused.Code != c.code {
			t.Errorf("%T was refused with %v", c.frame, refused.Code)
		}
	}
	p.append(id, p.transaction(1))

	owner.append(id, owner.transaction(1))
}

// TestPushWindow fills the window of a connection whose pushes are not answered, since the log does not commit.
func TestPushWindow(t *testing.T) {
	log := &hooked{Log: memlog.New()}
	r := start(t, log, func(c *syncserver.Config) { c.Limits = wire.Limits{PushWindow: 500 << 10} })
	alice, bob := r.dial("alice"), r.dial("bob")
	id, other := alice.create(), bob.create()
	release := make(chan struct{})
	log.before(func(at space.ID) error {
		if at == id {
			<-release
		}
		return nil
	})
	block := func() space.Transaction {
		tx := alice.transaction(1)
		tx.Events[0].Payload = make([]byte, 100<<10)
		return tx
	}
	for range 4 {
		alice.push(wire.Push{Space: id, Transactions: []space.Transaction{block()}})
	}
	alice.send(&wire.Ping{}) // a space that waits does not block the reader of its socket
	await[*wire.Pong](alice)
	bob.append(other, bob.transaction(1))
	alice.push(wire.Push{Space: id, Transactions: []space.Transaction{block()}})
	alice.fails(wire.CodeWindowExceeded)
	close(release)
}

// TestBombsAreBounded sends messages that claim to be huge on many connections and looks at the heap.
func TestBombsAreBounded(t *testing.T) {
	r := start(t, memlog.New())
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	total := int(wire.DefaultLimits.Message)
	for range 50 { // each claims the largest message that there may be, and sends little of it
		p := r.dial("alice")
		p.sendRaw(wire.Append(nil, &wire.Part{Total: uint64(total), Bytes: make([]byte, 1000)}))
	}
	// The claims are read once a later connection is: nothing to wait for but that.
	r.dial("bob").create()
	if grown := int64(heap()) - int64(before); grown > 16<<20 {
		t.Errorf("claims of %d bytes grew the heap by %d", 50*total, grown)
	}
}

func TestBehind(t *testing.T) {
	r := start(t, memlog.New())
	alice := r.dial("alice")
	id := alice.create()
	forged := alice.transaction(1)
	forged.Author = "bob"
	answer := alice.pushed(wire.Push{Space: id, Transactions: []space.Transaction{alice.transaction(1), forged, alice.transaction(1)}})
	if v := answer.Verdicts; v[0].Kind != wire.Accepted || v[1].Code != wire.CodeAuthRequired || v[2].Code != wire.CodeBehind {
		t.Errorf("%+v", v)
	}
	if v := alice.pushed(wire.Push{Space: id, Transactions: []space.Transaction{alice.transaction(1)}}).Verdicts[0]; v.Code != wire.CodeBehind {
		t.Errorf("after a deferral: %+v", v)
	}
	if v := alice.verdict(id, alice.transaction(1)); v.Kind != wire.Accepted || v.Position.Seq != 2 {
		t.Errorf("after resume: %+v", v)
	}
}

func TestCreationIsLimited(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		var mu sync.Mutex
		now := time.Unix(1_800_000_000, 0)
		limited := func(c *syncserver.Config) {
			c.Creation = syncserver.CreationLimits{
				Identity: syncserver.Rate{Burst: 3, PerHour: 60}, Address: syncserver.Rate{Burst: 5, PerHour: 60},
			}
			c.Now = func() time.Time {
				mu.Lock()
				defer mu.Unlock()
				return now
			}
		}
		pass := func(d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(d)
		}
		r := start(t, open(), limited)
		alice := r.dial("alice")
		first := alice.genesis()
		try := func(p *peer, g *space.Genesis) wire.Verdict {
			t.Helper()
			answer := p.pushed(wire.Push{Space: g.ID(), Resume: true, Genesis: g, Transactions: []space.Transaction{p.transaction(1)}})
			if answer.Genesis.Kind == wire.Deferred && answer.Verdicts[0].Code != wire.CodeUnknownSpace {
				t.Errorf("a transaction with a deferred genesis: %+v", answer.Verdicts[0])
			}
			return *answer.Genesis
		}
		for i := range 3 {
			g := first
			if i > 0 {
				g = alice.genesis()
			}
			if v := try(alice, g); v.Kind != wire.Accepted {
				t.Fatalf("space %d within the burst: %+v", i, v)
			}
		}
		fourth := alice.genesis()
		if v := try(alice, fourth); v.Code != wire.CodeRateLimited || v.RetryAfterMS != 60_000 {
			t.Errorf("over the burst: %+v", v)
		}
		if v := try(alice, first); v.Kind != wire.Duplicate {
			t.Errorf("a retry of what exists: %+v", v)
		}
		// The denial charged nobody: the address still has two.
		bob := r.dial("bob")
		for range 2 {
			if v := try(bob, bob.genesis()); v.Kind != wire.Accepted {
				t.Errorf("another identity: %+v", v)
			}
		}
		if v := try(bob, bob.genesis()); v.Code != wire.CodeRateLimited {
			t.Errorf("over the address's burst: %+v", v)
		}
		pass(59 * time.Second)
		r.stop()
		r = start(t, open(), limited)
		alice = r.dial("alice")
		if v := try(alice, fourth); v.Code != wire.CodeRateLimited || v.RetryAfterMS != 1000 {
			t.Errorf("a restart must not reset the limit: %+v", v)
		}
		pass(time.Second)
		if v := try(alice, fourth); v.Kind != wire.Accepted {
			t.Errorf("after waiting as told: %+v", v)
		}
		if v := try(alice, alice.genesis()); v.Code != wire.CodeRateLimited {
			t.Errorf("only one had been paid for: %+v", v)
		}
	})
}

func TestBlobOfOpenModule(t *testing.T) {
	r := start(t, memlog.New())
	p := r.dial("alice")
	p.send(&wire.Blob{Ref: 7, Digest: module.Open})
	if part := await[*wire.BlobPart](p); part.Ref != 7 || !bytes.Equal(part.Bytes, module.OpenBytes) || part.Total != uint64(len(module.OpenBytes)) {
		t.Errorf("blob %+v", part)
	}
	p.send(&wire.Blob{Ref: 8})
	if refused := await[*wire.Refused](p); refused.Ref != 8 || refused.Code != wire.CodeNotFound {
		t.Errorf("refused %+v", refused)
	}
}
