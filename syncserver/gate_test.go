package syncserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// from is a connection that comes from an address.
type from struct {
	net.Conn
	address string
	closed  *atomic.Int64
}

func (c from) RemoteAddr() net.Addr { return named(c.address) }
func (c from) Close() error {
	c.closed.Add(1)
	return c.Conn.Close()
}

type named string

func (named) Network() string  { return "tcp" }
func (n named) String() string { return string(n) }

// edge is a server behind its gate, as skerry serve runs it.
type edge struct {
	t        *testing.T
	server   *syncserver.Server
	listener *listener
	web      *http.Server
	stop     func()
	closed   atomic.Int64 // times that the server closed a connection
}

func startEdge(t *testing.T, configure func(*syncserver.Config)) *edge {
	config := syncserver.Config{Log: memlog.New()}
	configure(&config)
	server, err := syncserver.New(config)
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{t: t, server: server, listener: newListener(), web: server.HTTP()}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx) }()
	go e.web.Serve(server.Listener(e.listener))
	e.stop = func() {
		cancel()
		<-ran
		e.web.Close()
		time.Sleep(time.Second) // net/http lingers on connections that it refused
	}
	return e
}

// dial opens a connection and sends text.
func (e *edge) dial(address, text string) net.Conn {
	client, server := net.Pipe()
	e.listener.conns <- from{server, address, &e.closed}
	if text != "" {
		go io.WriteString(client, text)
	}
	synctest.Wait()
	return client
}

// serves reports whether a connection is answered.
func (e *edge) serves(conn net.Conn) bool {
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false
	}
	content, err := io.ReadAll(response.Body)
	return err == nil && response.StatusCode == 200 && string(content) == "ok\n"
}

const health = "GET /healthz HTTP/1.1\r\nHost: skerry.test\r\n\r\n"

// TestHalfOpenConnections: ten thousand connections that send nothing, or never end what they send, are bounded, end in time, and
// keep nobody out.
func TestHalfOpenConnections(t *testing.T) {
	for what, text := range map[string]string{"nothing": "", "half a header": "GET /sync HTTP/1.1\r\nHost: skerry.test\r\nX-Slow: "} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const most, each = 500, 20
				e := startEdge(t, func(c *syncserver.Config) {
					c.Connections.Waiting, c.Connections.AddressWaiting = most, each
				})
				begin := time.Now()
				for i := range 10_000 {
					e.dial(fmt.Sprintf("198.51.%d.%d:1", i/256%64, i%256), text)
					if open := int64(i+1) - e.closed.Load(); open > most {
						t.Fatalf("%d are open", open)
					}
					if i%1000 == 0 {
						honest := e.dial("203.0.113.1:1", health)
						if !e.serves(honest) {
							t.Fatalf("nobody is served after %d", i)
						}
						honest.Close()
						synctest.Wait()
						e.closed.Add(-1) // is none of them
					}
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if open := 10_000 - e.closed.Load(); open > 0 {
					t.Errorf("%d are still open after %v", open, time.Since(begin))
				}
				e.stop()
			})
		})
	}
}

// TestConnectionLimits: on both sides of each limit.
func TestConnectionLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := startEdge(t, func(c *syncserver.Config) {
			c.Connections = syncserver.ConnectionLimits{Total: 12, Address: 5, Waiting: 9, AddressWaiting: 3}
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		})
		gone := func() int64 { synctest.Wait(); return e.closed.Load() }
		var all []net.Conn
		open := func(address, text string) net.Conn {
			all = append(all, e.dial(address, text))
			return all[len(all)-1]
		}
		for range 3 {
			open("198.51.100.1:1", "")
		}
		if n := gone(); n != 0 {
			t.Fatalf("%d closed within the limit of those that wait", n)
		}
		open("198.51.100.1:2", "")
		if n := gone(); n != 1 {
			t.Errorf("%d closed, one over the limit of those that wait", n)
		}
		for i := range 5 { // each asks for something, and stays
			if c := open("[2001:db8::1]:1", health); !e.serves(c) {
				t.Errorf("connection %d of one address is not served", i)
			}
		}
		if c := open("[2001:db8::2]:1", health); e.serves(c) {
			t.Error("a sixth connection of one /64 is served")
		}
		if n := gone(); n != 2 {
			t.Errorf("%d closed", n)
		}
		for range 4 { // of a proxy more than of one address: with the three that wait, and five that do not, twelve
			if c := open("192.0.2.7:1", health); !e.serves(c) {
				t.Error("a connection of a proxy is not served")
			}
		}
		if c := open("203.0.113.1:1", health); e.serves(c) {
			t.Error("a thirteenth is served")
		}
		all[3].Close() // was closed already: its place is not given up twice
		all[4].Close()
		synctest.Wait()
		if c := open("203.0.113.1:1", health); !e.serves(c) {
			t.Error("there is room again, and nobody is let in")
		}
		if c := open("203.0.113.1:1", health); e.serves(c) {
			t.Error("a place was given up twice")
		}
		e.stop()
		metrics := body(t, request(t, e.server, "GET", "skerry.test", "/metrics"))
		if !strings.Contains(metrics, "\nskerry_connections_turned_away_total 4\n") {
			t.Error("the metrics do not tell of it")
		}
		for _, c := range all {
			c.Close()
		}
	})
}

// TestHTTPTimes: what plain HTTP has time for, and what goes on longer.
func TestHTTPTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := startEdge(t, func(*syncserver.Config) {})
		ends := func(conn net.Conn) time.Duration {
			begin := time.Now()
			io.Copy(io.Discard, conn)
			return time.Since(begin)
		}
		for text, want := range map[string]time.Duration{
			"":                              10 * time.Second,
			"GET / HTTP/1.1\r\nHost: x\r\n": 10 * time.Second,
			"POST /api/v1/version HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nslow": time.Minute,
			health: 2 * time.Minute,
		} {
			if took := ends(e.dial("198.51.100.1:1", text)); took < want-5*time.Second || took > want+5*time.Second {
				t.Errorf("%q ended after %v, want %v", text, took, want)
			}
		}
		big := e.dial("198.51.100.1:1", "GET / HTTP/1.1\r\nHost: x\r\nX-Big: "+strings.Repeat("x", 100<<10)+"\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(big), nil)
		if err != nil || response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a big header: %v %v", response, err)
		}
		big.Close()
		e.stop()
	})
}

// TestGateOverTLS: connections that were served over TLS do not wait, and those that have only shaken hands do.
func TestGateOverTLS(t *testing.T) {
	r := start(t, memlog.New(), func(c *syncserver.Config) { c.Connections = syncserver.ConnectionLimits{AddressWaiting: 2} })
	certs := httptest.NewUnstartedServer(nil)
	certs.StartTLS()
	defer certs.Close()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := r.server.HTTP()
	web.TLSConfig = &tls.Config{Certificates: certs.TLS.Certificates}
	served := make(chan error, 1)
	go func() { served <- web.ServeTLS(r.server.Listener(inner), "", "") }()
	defer func() { web.Close(); <-served }()
	dial := func() (*tls.Conn, error) {
		c, err := tls.Dial("tcp", inner.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return c, err
	}
	for n := range 3 {
		c, err := dial()
		if err != nil {
			t.Fatalf("connection %d, after all before it were served: %v", n, err)
		}
		io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || answer.StatusCode != 200 {
			t.Fatalf("connection %d: %v", n, err)
		}
	}
	for n := range 2 {
		if _, err := dial(); err != nil {
			t.Fatalf("waiting connection %d: %v", n, err)
		}
	}
	if _, err := dial(); err == nil {
		t.Error("a third waits")
	}
}
