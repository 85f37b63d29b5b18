package syncserver_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// TestStopWithManyClients stops a server whose clients are connected, half of them writing. Each is told to come back,
// and what was accepted is in the log.
func TestStopWithManyClients(t *testing.T) {
	clients := 1000
	if testing.Short() {
		clients = 200
	}
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		r := start(t, open(), func(c *syncserver.Config) { c.RetryAfter = 3 * time.Second })
		owner := r.dial("owner")
		id := owner.create()
		var ready, done sync.WaitGroup
		var accepted atomic.Int64
		var farewells atomic.Int64
		ready.Add(clients)
		for i := range clients {
			done.Go(func() {
				p := r.dial("client")
				ready.Done()
				if i%2 == 0 {
					p.push(wire.Push{Space: id, Transactions: []space.Transaction{p.transaction(1)}})
				}
				for {
					frame, err := p.read()
					if err != nil {
						if status := websocket.CloseStatus(err); status != websocket.StatusServiceRestart {
							t.Errorf("the socket ended with %v", err)
						}
						return
					}
					switch f := frame.(type) {
					case *wire.Pushed:
						if f.Verdicts[0].Kind == wire.Accepted {
							accepted.Add(1)
						}
					case *wire.Bye:
						if f.Code != wire.CodeShutdown || f.RetryAfterMS != 3000 {
							t.Errorf("bye %+v", f)
						}
						farewells.Add(1)
					}
				}
			})
		}
		ready.Wait()
		done.Go(func() {
			for {
				if _, err := owner.read(); err != nil {
					return
				}
			}
		})
		begin := time.Now()
		if err := r.server.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("stopping took %v", took)
		}
		done.Wait()
		if farewells.Load() != int64(clients) {
			t.Errorf("%d of %d clients were told", farewells.Load(), clients)
		}
		head, err := r.log.Head(context.Background(), id)
		if err != nil || int64(head.Seq) < accepted.Load() {
			t.Errorf("%d transactions were accepted, the log ends at %d (%v)", accepted.Load(), head.Seq, err)
		}
		response, err := r.client.Get("http://skerry.test/readyz")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a stopped server is ready: %d", response.StatusCode)
		}
		_, response, err = websocket.Dial(context.Background(), "ws://skerry.test/sync", &websocket.DialOptions{HTTPClient: r.client})
		if err == nil || response == nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") != "3" {
			t.Errorf("a stopped server took a socket: %v", err)
		}
	})
}

// TestStopWhileClientsConnect stops servers to which clients connect just then: each socket ends, none too early.
func TestStopWhileClientsConnect(t *testing.T) {
	for range 100 {
		r := start(t, memlog.New())
		var dialing sync.WaitGroup
		begun := make(chan struct{}, 1000)
		for range 8 {
			dialing.Go(func() {
				for {
					socket, _, err := websocket.Dial(context.Background(), "ws://skerry.test/sync", &websocket.DialOptions{HTTPClient: r.client, Subprotocols: []string{wire.Subprotocol}})
					if err != nil {
						return
					}
					dialing.Go(func() {
						for err == nil {
							_, _, err = socket.Read(context.Background())
						}
					})
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 20 {
			<-begun
		}
		if err := r.server.Close(); err != nil {
			t.Error(err)
		}
		dialing.Wait()
	}
}

// TestStopFinishesAppends stops a server while an append is under way.
func TestStopFinishesAppends(t *testing.T) {
	log := &hooked{Log: memlog.New()}
	r := start(t, log)
	alice := r.dial("alice")
	id := alice.create()
	reached, release := make(chan struct{}), make(chan struct{})
	log.before(func(space.ID) error {
		close(reached)
		<-release
		return nil
	})
	alice.push(wire.Push{Space: id, Transactions: []space.Transaction{alice.transaction(1)}})
	<-reached
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			frame, err := alice.read()
			if err != nil {
				return
			}
			if _, bye := frame.(*wire.Bye); bye {
				close(release)
			}
		}
	})
	r.server.Close()
	reading.Wait()
	if head, err := log.Head(context.Background(), id); err != nil || head.Seq != 1 {
		t.Errorf("the append that was under way: head %d, %v", head.Seq, err)
	}
}

func TestLife(t *testing.T) {
	if _, err := syncserver.New(syncserver.Config{}); err == nil {
		t.Error("a server without a log")
	}
	limits := wire.DefaultLimits
	limits.Message = 1000
	if _, err := syncserver.New(syncserver.Config{Log: memlog.New(), Limits: limits}); err == nil {
		t.Error("messages too small for a transaction")
	}
	server, err := syncserver.New(syncserver.Config{Log: memlog.New()})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Errorf("Close before Run: %v", err)
	}
	if err := server.Run(context.Background()); err == nil {
		t.Error("Run after Close")
	}
	r := start(t, memlog.New())
	r.stop()
	if err := r.server.Run(context.Background()); err == nil {
		t.Error("a second Run")
	}
	if err := r.server.Close(); err != nil {
		t.Errorf("Close after Run: %v", err)
	}
}
