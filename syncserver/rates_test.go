package syncserver_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// clock is a server's clock that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) use(config *syncserver.Config) {
	config.Now = func() time.Time {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.now
	}
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// TestEventsAreLimited: what is over the rate of an identity or an address waits for as long as it is told, and is taken then;
// what is known already costs nothing.
func TestEventsAreLimited(t *testing.T) {
	second := syncserver.Rate{Burst: 10, PerHour: 3600}
	address := syncserver.Rate{Burst: 25, PerHour: 3600}
	bytes := func(n int) syncserver.Rate { return syncserver.Rate{Burst: n * 1000, PerHour: 3600 * 1000} }
	for what, test := range map[string]struct {
		rates syncserver.Rates
		make  func(p *peer) space.Transaction // what costs a second
	}{
		"events": {syncserver.Rates{IdentityEvents: second, AddressEvents: address}, func(p *peer) space.Transaction { return p.transaction(1) }},
		"bytes": {syncserver.Rates{IdentityBytes: bytes(10), AddressBytes: bytes(25)}, func(p *peer) space.Transaction {
			tx := p.transaction(1)
			tx.Events[0].Payload = nil
			n := 1000 - tx.Size() - 3
			tx.Events[0].Payload = append([]byte{0xc5, byte(n >> 8), byte(n)}, make([]byte, n)...)
			if tx.Size() != 1000 {
				t.Fatalf("%d bytes", tx.Size())
			}
			return tx
		}},
	} {
		t.Run(what, func(t *testing.T) {
			clock := newClock()
			r := start(t, memlog.New(), clock.use, func(c *syncserver.Config) {
				c.Rates.IdentityEvents, c.Rates.AddressEvents = test.rates.IdentityEvents, test.rates.AddressEvents
				c.Rates.IdentityBytes, c.Rates.AddressBytes = test.rates.IdentityBytes, test.rates.AddressBytes
				c.Limits.TransactionEvents, c.Limits.TransactionBytes, c.Limits.Payload = 10, 10_000, 10_000
			})
			alice := r.dial("alice")
			id := alice.create()
			var first space.Transaction
			for i := range 10 {
				tx := test.make(alice)
				if i == 0 {
					first = tx
				}
				if v := alice.verdict(id, tx); v.Kind != wire.Accepted {
					t.Fatalf("%d, within the burst: %+v", i, v)
				}
			}
			over := test.make(alice)
			if v := alice.verdict(id, over); v.Kind != wire.Deferred || v.Code != wire.CodeRateLimited || v.RetryAfterMS != 1000 {
				t.Fatalf("over the burst: %+v", v)
			}
			if v := alice.verdict(id, first); v.Kind != wire.Duplicate {
				t.Errorf("what is known: %+v", v)
			}
			other := alice.create() // whatever the space
			if v := alice.verdict(other, test.make(alice)); v.Code != wire.CodeRateLimited {
				t.Errorf("in another space: %+v", v)
			}
			again := r.dial("alice") // whatever the connection
			if v := again.verdict(id, over); v.Code != wire.CodeRateLimited {
				t.Errorf("over another connection: %+v", v)
			}
			clock.pass(time.Second)
			if v := alice.verdict(id, over); v.Kind != wire.Accepted {
				t.Errorf("after waiting as told: %+v", v)
			}
			if v := alice.verdict(id, test.make(alice)); v.Code != wire.CodeRateLimited {
				t.Errorf("only one was paid for: %+v", v)
			}
			bob, cy := r.dial("bob"), r.dial("cy")
			for i := range 10 {
				if v := bob.verdict(id, test.make(bob)); v.Kind != wire.Accepted {
					t.Fatalf("%d of another identity: %+v", i, v)
				}
			}
			for i := range 5 { // 25 and the second that passed, less 21
				if v := cy.verdict(id, test.make(cy)); v.Kind != wire.Accepted {
					t.Fatalf("%d of a third: %+v", i, v)
				}
			}
			if v := cy.verdict(id, test.make(cy)); v.Code != wire.CodeRateLimited || v.RetryAfterMS != 1000 {
				t.Errorf("over the address's burst: %+v", v)
			}
			// Who was refused for the address paid nothing of their own.
			clock.pass(5 * time.Second)
			for i := range 5 {
				if v := cy.verdict(id, test.make(cy)); v.Kind != wire.Accepted {
					t.Fatalf("%d after the address's wait: %+v", i, v)
				}
			}
		})
	}
}

// TestRatesTakeEveryTransaction: a rate that some transaction would never pass is no configuration.
func TestRatesTakeEveryTransaction(t *testing.T) {
	for _, test := range []struct {
		change func(*syncserver.Config)
		ok     bool
	}{
		{func(c *syncserver.Config) { c.Rates.IdentityEvents = syncserver.Rate{Burst: 1024, PerHour: 1} }, true},
		{func(c *syncserver.Config) { c.Rates.IdentityEvents = syncserver.Rate{Burst: 1023, PerHour: 1} }, false},
		{func(c *syncserver.Config) { c.Rates.AddressEvents = syncserver.Rate{Burst: 1023, PerHour: 1} }, false},
		{func(c *syncserver.Config) { c.Rates.IdentityBytes = syncserver.Rate{Burst: 1 << 20, PerHour: 1} }, true},
		{func(c *syncserver.Config) { c.Rates.IdentityBytes = syncserver.Rate{Burst: 1<<20 - 1, PerHour: 1} }, false},
		{func(c *syncserver.Config) { c.Rates.AddressBytes = syncserver.Rate{Burst: 1<<20 - 1, PerHour: 1} }, false},
		{func(c *syncserver.Config) { c.Rates.AddressRequests = syncserver.Rate{Burst: -1, PerHour: 1} }, false},
		{func(c *syncserver.Config) { c.Rates.IdentityModules = syncserver.Rate{Burst: 1, PerHour: -1} }, false},
	} {
		config := syncserver.Config{Log: memlog.New()}
		test.change(&config)
		server, err := syncserver.New(config)
		if (err == nil) != test.ok {
			t.Errorf("%+v: %v", config.Rates, err)
		}
		if err == nil {
			server.Close()
		}
	}
}

// TestRequestsAreLimited: sockets and requests of the API from one address, behind a proxy those of each client.
func TestRequestsAreLimited(t *testing.T) {
	clock := newClock()
	r := start(t, memlog.New(), clock.use, func(c *syncserver.Config) {
		c.Rates.AddressRequests = syncserver.Rate{Burst: 3, PerHour: 1800}
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")} // where all connections of the rig come from
	})
	ask := func(path, address string) *http.Response {
		request := httptest.NewRequest(http.MethodGet, path, nil)
		request.RemoteAddr = "192.0.2.1:99"
		request.Header.Set("X-Forwarded-For", address)
		recorder := httptest.NewRecorder()
		r.server.ServeHTTP(recorder, request)
		return recorder.Result()
	}
	dial := func() (*http.Response, error) {
		socket, response, err := websocket.Dial(context.Background(), "ws://skerry.test/sync", &websocket.DialOptions{
			HTTPClient: r.client, Subprotocols: []string{wire.Subprotocol}, HTTPHeader: http.Header{"X-Forwarded-For": {"198.51.100.7"}},
		})
		if err == nil {
			socket.CloseNow()
		}
		return response, err
	}
	for i := range 3 {
		if response := ask("/api/v1/version", "198.51.100.7"); response.StatusCode != 200 {
			t.Fatalf("request %d: %d", i, response.StatusCode)
		}
	}
	if response := ask("/api/v1/version", "198.51.100.7"); response.StatusCode != 429 || response.Header.Get("Retry-After") != "2" || !strings.Contains(body(t, response), "rate_limited") {
		t.Errorf("over the burst: %d %v", response.StatusCode, response.Header)
	}
	if response, err := dial(); err == nil || response.StatusCode != 429 || response.Header.Get("Retry-After") != "2" {
		t.Errorf("a socket over the burst: %v", err)
	}
	if response := ask("/api/v1/version", "198.51.100.8"); response.StatusCode != 200 {
		t.Errorf("another client of the proxy: %d", response.StatusCode)
	}
	for range 10 {
		for _, path := range []string{"/healthz", "/readyz", "/metrics", "/"} {
			if response := ask(path, "198.51.100.7"); response.StatusCode != 200 {
				t.Errorf("%s: %d", path, response.StatusCode)
			}
		}
	}
	if !strings.Contains(body(t, ask("/metrics", "")), "\nskerry_requests_refused_total 2\n") {
		t.Error("the metrics do not tell of it")
	}
	clock.pass(2 * time.Second)
	if _, err := dial(); err != nil {
		t.Errorf("after waiting as told: %v", err)
	}
}

// TestModulesAreLimited: new modules cost an identity and an address; what the server has costs nothing; a restart forgets nothing.
func TestModulesAreLimited(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		clock := newClock()
		var log syncserver.Log
		begin := func() *rig {
			log = open()
			return start(t, log, runsModules(t, log, nil), clock.use, func(c *syncserver.Config) {
				c.Rates.IdentityModules = syncserver.Rate{Burst: 2, PerHour: 60}
				c.Rates.AddressModules = syncserver.Rate{Burst: 3, PerHour: 60}
			})
		}
		r := begin()
		fresh := freshModules("9")
		alice := r.dial("alice")
		first := fresh()
		for i, content := range [][]byte{first, fresh()} {
			if code := alice.uploads(content); code != 0 {
				t.Fatalf("module %d within the burst: %v", i, code)
			}
		}
		third := fresh()
		if code := alice.uploads(third); code != wire.CodeRateLimited {
			t.Errorf("over the burst: %v", code)
		}
		if code := alice.uploads(first); code != 0 {
			t.Errorf("what the server has: %v", code)
		}
		bob := r.dial("bob")
		if code := bob.uploads(fresh()); code != 0 {
			t.Errorf("another identity: %v", code)
		}
		if code := bob.uploads(fresh()); code != wire.CodeRateLimited {
			t.Errorf("over the address's burst: %v", code)
		}
		clock.pass(59 * time.Second)
		r.stop()
		r = begin()
		alice = r.dial("alice")
		if code := alice.uploads(third); code != wire.CodeRateLimited {
			t.Errorf("a restart must not reset the limit: %v", code)
		}
		clock.pass(time.Second)
		if code := alice.uploads(third); code != 0 {
			t.Errorf("after a minute: %v", code)
		}
	})
}

// TestMeterIsBounded: however many come, the meter keeps to its size, and does not forget who owes most.
func TestMeterIsBounded(t *testing.T) {
	m := syncserver.NewMeter(1000)
	now := time.Unix(1_800_000_000, 0)
	rate := syncserver.Rate{Burst: 100, PerHour: 3600}
	for i := range 100 {
		if wait := m.Charge(now, "abuser", rate, 1); wait != 0 {
			t.Fatalf("charge %d: wait %v", i, wait)
		}
	}
	for i := range 100_000 {
		if wait := m.Charge(now, fmt.Sprint("somebody ", i), rate, 1); wait != 0 {
			t.Fatalf("somebody else waits %v", wait)
		}
		if n := m.Size(); n > 1000 {
			t.Fatalf("%d keys", n)
		}
	}
	if wait := m.Charge(now, "abuser", rate, 1); wait != time.Second {
		t.Errorf("who is over their rate waits %v", wait)
	}
}

// TestConnectsAreLimited: what stays of connections from one address is bounded by a rate that a restart does not reset. Reading over
// HTTP writes nothing, and is not charged.
func TestConnectsAreLimited(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		clock, log := newClock(), open()
		begin := func() *rig {
			return start(t, log, runsModules(t, log, nil), clock.use, func(c *syncserver.Config) {
				c.Rates.AddressConnects = syncserver.Rate{Burst: 3, PerHour: 60}
			})
		}
		r := begin()
		for _, name := range []string{"ann", "bob", "carl"} { // whoever they say they are
			r.dial(name).close()
		}
		r.refused(hello("eve"), wire.CodeRateLimited, "try again in 1m0s")
		for range 10 {
			r.fetch("", "/api/v1/whoami", &struct{}{})
		}
		r.rows()
		written := r.wrote()
		if len(written) != 6 {
			t.Errorf("%q", written)
		}
		clock.pass(59 * time.Second)
		r.stop()
		r = begin()
		r.refused(hello("ann"), wire.CodeRateLimited, "try again in 1s")
		clock.pass(time.Second)
		r.dial("ann").close()
		r.refused(hello("ann"), wire.CodeRateLimited, "")
		r.rows()
	})
}

// BenchmarkAdmission charges transactions of many identities and addresses, as all spaces do at once.
func BenchmarkAdmission(b *testing.B) {
	m := syncserver.NewMeter(200_000)
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprint("did:key:z6Mk", i)
	}
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			m.Admit(time.Unix(1_800_000_000, 0), names[i%len(names)], names[i%100], 1, 200)
		}
	})
}

// countedLimits counts how often the log was asked whether a space may be created.
type countedLimits struct {
	syncserver.Log
	asked atomic.Int32
}

func (l *countedLimits) Limit(ctx context.Context, now time.Time, charges []syncserver.Charge) (time.Duration, error) {
	if strings.HasPrefix(charges[0].Key, "create/") {
		l.asked.Add(1)
	}
	return l.Log.Limit(ctx, now, charges)
}

// TestDeniedCreationAsksOnce: what the log has denied is denied again without it, until the wait is over, and to nobody else.
func TestDeniedCreationAsksOnce(t *testing.T) {
	log := &countedLimits{Log: memlog.New()}
	clock := newClock()
	r := start(t, log, clock.use, func(c *syncserver.Config) { c.Creation.Identity = syncserver.Rate{Burst: 1, PerHour: 60} })
	create := func(p *peer) *wire.Verdict {
		g := p.genesis()
		return p.pushed(wire.Push{Space: g.ID(), Genesis: g}).Genesis
	}
	asked := func(want int32) {
		t.Helper()
		if got := log.asked.Load(); got != want {
			t.Errorf("the log was asked %d times, want %d", got, want)
		}
	}
	alice, bob := r.dial("alice"), r.dial("bob")
	id := alice.create()
	for i := range 50 {
		if v := create(alice); v.Code != wire.CodeRateLimited || v.RetryAfterMS != 60_000 {
			t.Fatalf("%d: %+v", i, v)
		}
	}
	asked(2)
	if v := create(bob); v.Kind != wire.Accepted {
		t.Errorf("another identity: %+v", v)
	}
	asked(3)
	clock.pass(59 * time.Second)
	if v := create(alice); v.Code != wire.CodeRateLimited || v.RetryAfterMS != 1000 {
		t.Errorf("a second too early: %+v", v)
	}
	asked(3)
	clock.pass(time.Second)
	if v := create(alice); v.Kind != wire.Accepted {
		t.Errorf("after waiting as told: %+v", v)
	}
	asked(4)
	if v := create(alice); v.Code != wire.CodeRateLimited {
		t.Errorf("the next: %+v", v)
	}
	asked(5)
	clock.pass(-24 * time.Hour)
	if v := create(alice); v.Code != wire.CodeRateLimited || v.RetryAfterMS != 60_000 {
		t.Errorf("after the clock was set back: %+v", v)
	}
	asked(6)
	alice.append(id, alice.transaction(1))
}

// TestWhoIsRefusedIsReadSlower: whose pushes are refused has the next of them read when a rate of its address allows, and others of the
// address when what they push is taken. Whatever is taken costs nothing.
func TestWhoIsRefusedIsReadSlower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, memlog.New(), func(c *syncserver.Config) {
			c.Creation.Identity = syncserver.Rate{Burst: 1, PerHour: 1}
			c.Rates.AddressUnsettled = syncserver.Rate{Burst: 20, PerHour: 3600}
		})
		defer r.stop()
		began := time.Now()
		at := func(want time.Duration, what string) {
			t.Helper()
			if took := time.Since(began).Round(100 * time.Millisecond); took != want {
				t.Errorf("%s: after %v, want %v", what, took, want)
			}
		}
		eve, ann := r.dial("eve"), r.dial("ann")
		refused := func() {
			t.Helper()
			g := eve.genesis()
			if v := eve.pushed(wire.Push{Space: g.ID(), Genesis: g}).Genesis; v.Code != wire.CodeRateLimited {
				t.Fatalf("%+v", v)
			}
		}
		annes, id := ann.create(), eve.create()
		for range 50 {
			eve.append(id, eve.transaction(1))
			ann.append(annes, ann.transaction(1), ann.transaction(1))
		}
		at(0, "what was taken")
		for range 5 { // the last is read, and what comes behind it rests
			refused()
		}
		at(0, "a burst")
		refused()
		at(5*time.Second, "a genesis over it")
		refused()
		at(10*time.Second, "another")
		for range 3 {
			ann.append(annes, ann.transaction(1))
		}
		at(10*time.Second, "another identity")
		eve.append(id, eve.transaction(1)) // its debt is older than that
		at(15*time.Second, "something that is taken, behind what was refused")
		eve.append(id, eve.transaction(1))
		at(15*time.Second, "something behind what was taken")
		time.Sleep(time.Minute)
		refused()
		refused()
		at(75*time.Second, "after a while")
	})
}
