package syncserver_test

import (
	"context"
	"math"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// TestSoakAbuser makes spaces without end over many connections, as an abuser does who waits for nothing: what the server keeps is
// bounded by the rates, and somebody else creates, writes and reads all the while. How much slower is what syncload bench measures.
func TestSoakAbuser(t *testing.T) {
	all := 100_000
	if raceDetector { // all of them run without it
		all = 20_000
	}
	if os.Getenv("SKERRY_SOAK") != "" {
		all = 1_000_000
	}
	const connections, identities = 20, 5
	const most = 16 << 20 // bytes more in memory
	log := memlog.New()
	clock := newClock()
	r := start(t, log, clock.use, func(c *syncserver.Config) {
		c.Creation = syncserver.DefaultCreation
		c.Rates.AddressUnsettled = syncserver.Rate{Burst: math.MaxInt32, PerHour: math.MaxInt32} // or it would take hours
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
	})
	dial := func(identity, address string) *peer {
		p, _ := r.connectFrom(http.Header{"X-Forwarded-For": {address}})
		p.send(hello(identity))
		await[*wire.Welcome](p)
		p.identity = identity
		return p
	}
	honest := dial("honest", "198.51.100.2")
	home := honest.create()
	worst := func() (worst time.Duration) {
		for range 100 {
			begin := time.Now()
			honest.append(home, honest.transaction(1))
			worst = max(worst, time.Since(begin))
		}
		return worst
	}
	calm := worst()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var abusers sync.WaitGroup
	for i := range connections {
		abusers.Go(func() {
			for left := all / connections; left > 0; { // it is thrown out again and again
				p := dial("abuser"+string(rune('a'+i%identities)), "198.51.100.1")
				left -= p.floods(min(left, wire.MaxAbsent+100))
			}
		})
	}
	busy := worst()
	another := honest.create()
	honest.append(another, honest.transaction(1))
	abusers.Wait()
	grown := int64(math.MaxInt64)
	for given := time.Now().Add(2 * time.Minute); grown > most && time.Now().Before(given); { // connections are still being put away
		runtime.GC()
		runtime.ReadMemStats(&after)
		grown = int64(after.HeapAlloc) - int64(before.HeapAlloc)
	}
	made, last := 0, space.ID{}
	for {
		ids, err := log.Spaces(context.Background(), last, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == 0 {
			break
		}
		made, last = made+len(ids), ids[len(ids)-1]
	}
	// One burst of an address, which five identities of one burst each fill; and two that are honest.
	if want := syncserver.DefaultCreation.Address.Burst + 2; made != want {
		t.Errorf("%d spaces are there, want %d", made, want)
	}
	if grown > most {
		t.Errorf("%d attempts left %d bytes in memory", all, grown)
	}
	t.Logf("%d attempts: %d spaces, %d kB more in memory; the slowest of 100 appends of another took %v, was %v", all, made, grown>>10, busy, calm)
}

// floods creates spaces until n were tried or the connection is closed, and returns how many were answered.
func (p *peer) floods(n int) (answered int) {
	pushes := make(chan struct{}, 100) // in flight
	over := make(chan struct{})
	defer p.close()
	defer close(over)
	go func() {
		for range n {
			select {
			case pushes <- struct{}{}:
			case <-over:
				return
			}
			g := p.genesis()
			b := wire.Append(nil, &wire.Push{Space: g.ID(), N: 1, Genesis: g})
			if p.socket.Write(context.Background(), websocket.MessageBinary, b) != nil {
				return
			}
		}
	}()
	for answered < n {
		frame, err := p.read()
		if err != nil {
			break
		}
		switch frame := frame.(type) {
		case *wire.Pushed:
			answered++
			<-pushes
			if v := frame.Genesis; v.Kind != wire.Accepted && (v.Code != wire.CodeRateLimited || v.RetryAfterMS == 0) {
				p.t.Errorf("%+v", v)
			}
		case *wire.Error:
			if frame.Code != wire.CodeTooMany || answered <= wire.MaxAbsent {
				p.t.Errorf("after %d: %+v", answered, frame)
			}
		}
	}
	return max(answered, 1)
}
