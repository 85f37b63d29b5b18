package syncserver

import (
	"container/list"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// ConnectionLimits are how many connections there are at most, whatever they are for: in all, from one network address, and of those
// that have not sent a request in whole yet. The last are cheap for whoever opens them, so there are few: one that comes when
// there is no room for it takes the place of the one that waits longest. Addresses are not counted for trusted proxies.
type ConnectionLimits struct{ Total, Address, Waiting, AddressWaiting int }

// DefaultConnections are the limits of a server that was not configured otherwise.
var DefaultConnections = ConnectionLimits{Total: 50_000, Address: 2000, Waiting: 2000, AddressWaiting: 200}

// Times that plain HTTP has. A socket has its own.
const (
	httpHeaderTime = 10 * time.Second // for a request's header
	httpReadTime   = time.Minute      // for all of it
	httpWriteTime  = 5 * time.Minute  // for the answer; a stream of events has as much for each
	httpIdleTime   = 2 * time.Minute  // between requests
	httpHeader     = 64 << 10         // bytes
)

// HTTP returns an http.Server for the server, with time-outs and limits as they should be on the open internet. Serve it on
// [Server.Listener].
func (s *Server) HTTP() *http.Server {
	return &http.Server{
		Handler: s, ReadHeaderTimeout: httpHeaderTime, ReadTimeout: httpReadTime, WriteTimeout: httpWriteTime, IdleTimeout: httpIdleTime,
		MaxHeaderBytes: httpHeader, ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if secure, ok := conn.(*tls.Conn); ok {
				conn = secure.NetConn()
			}
			return context.WithValue(ctx, gatedKey{}, conn)
		},
	}
}

// Listener returns a listener that takes no more of inner's connections than [Config.Connections] lets it.
func (s *Server) Listener(inner net.Listener) net.Listener {
	return &gate{Listener: inner, server: s, open: map[netip.Addr]int{}, slow: map[netip.Addr]int{}, waiting: list.New()}
}

// gate is a listener that counts.
type gate struct {
	net.Listener
	server *Server

	mu      sync.Mutex
	total   int
	open    map[netip.Addr]int
	slow    map[netip.Addr]int // of those that wait
	waiting *list.List         // of *gated that have not sent a request yet, oldest first
}

// gated is a connection that a gate counts.
type gated struct {
	net.Conn
	gate    *gate
	address netip.Addr    // zero: a trusted proxy's, or none
	place   *list.Element // in waiting; nil once it has sent a request. Guarded by gate.mu, as is closed
	closed  bool
}

type gatedKey struct{}

// Accept implements [net.Listener].
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &gated{Conn: conn, gate: g, address: g.addressOf(conn)}
		if oldest, ok := g.admit(c); !ok {
			g.server.metrics.turnedAway.Inc()
			conn.Close()
		} else {
			if oldest != nil {
				g.server.metrics.turnedAway.Inc()
				oldest.Close()
			}
			return c, nil
		}
	}
}

// addressOf returns whose connection it is, by /64 as rates count it.
func (g *gate) addressOf(conn net.Conn) netip.Addr {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil || g.server.trusted(from.Addr()) {
		return netip.Addr{}
	}
	address := from.Addr().Unmap().WithZone("")
	if address.Is6() {
		prefix, _ := address.Prefix(64)
		return prefix.Addr()
	}
	return address
}

// admit counts a connection, unless there are too many. It returns one that has to make room for it.
func (g *gate) admit(c *gated) (oldest *gated, ok bool) {
	limits := &g.server.config.Connections
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total >= limits.Total || c.address.IsValid() && (g.open[c.address] >= limits.Address || g.slow[c.address] >= limits.AddressWaiting) {
		return nil, false
	}
	if g.waiting.Len() >= limits.Waiting {
		oldest = g.waiting.Front().Value.(*gated)
		g.begunLocked(oldest) // it does not wait any more, and is closed
	}
	g.total++
	if c.address.IsValid() {
		g.open[c.address]++
		g.slow[c.address]++
	}
	c.place = g.waiting.PushBack(c)
	return oldest, true
}

// begunLocked notes that a connection has sent a request.
func (g *gate) begunLocked(c *gated) {
	if c.place == nil {
		return
	}
	g.waiting.Remove(c.place)
	c.place = nil
	decrement(g.slow, c.address)
}

func decrement(counts map[netip.Addr]int, address netip.Addr) {
	if counts[address]--; counts[address] <= 0 {
		delete(counts, address)
	}
}

// requested notes that a request came whole.
func requested(r *http.Request) {
	if c, ok := r.Context().Value(gatedKey{}).(*gated); ok {
		c.gate.mu.Lock()
		defer c.gate.mu.Unlock()
		c.gate.begunLocked(c)
	}
}

// Close implements [net.Conn].
func (c *gated) Close() error {
	c.gate.mu.Lock()
	if !c.closed {
		c.closed = true
		c.gate.begunLocked(c)
		c.gate.total--
		decrement(c.gate.open, c.address)
	}
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
