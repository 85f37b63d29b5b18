//go:build !js

package wasmclient_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// gated is a store whose appends wait while the gate is closed, and whose epoch is raised when the test says so.
type gated struct {
	*memstore.Store
	gate  chan struct{} // full while open
	fail  atomic.Bool
	raise chan struct{} // nil: at once
}

func (g *gated) Commit(ctx context.Context, c *replica.Commit) (*replica.CommitResult, error) {
	for i := range c.Spaces {
		if len(c.Spaces[i].Append) > 0 {
			<-g.gate
			g.gate <- struct{}{}
			if g.fail.Load() {
				return nil, errFault
			}
			break
		}
	}
	return g.Store.Commit(ctx, c)
}

func (g *gated) RaiseEpoch(ctx context.Context) (*replica.Loaded, error) {
	if g.raise != nil {
		<-g.raise
	}
	return g.Store.RaiseEpoch(ctx)
}

func newGated() *gated {
	g := &gated{Store: memstore.New(memstore.Config{Identity: "ada"}), gate: make(chan struct{}, 1)}
	g.open()
	return g
}

func (g *gated) open() { g.gate <- struct{}{} }

// TestCloseWaitsAtRest closes a client with something to write: it must wait without keeping anything busy, for a
// page's commit does not end before the client is at rest. In a bubble, time passes only when everything rests.
func TestCloseWaitsAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newGated()
		client, err := wasmclient.Open(t.Context(), wasmclient.Config{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		<-store.gate
		receipt := append1(t, s, "slow")
		time.AfterFunc(time.Minute, store.open)
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := receipt.Durable(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestCloseTwice closes a client that cannot finish what was written: whoever waits longest is told, too.
func TestCloseTwice(t *testing.T) {
	store := newGated()
	client := open(t, wasmclient.Config{Store: store})
	s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	<-store.gate
	append1(t, s, "stuck")
	closed := make(chan error, 2)
	go func() { closed <- client.Close(context.Background()) }()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	go func() { closed <- client.Close(short) }()
	time.Sleep(100 * time.Millisecond)
	store.open()
	for range 2 {
		select {
		case <-closed:
		case <-time.After(10 * time.Second):
			t.Fatal("close does not return")
		}
	}
}

// TestTheSameTransactionTwice appends one transaction twice, the second time to a store that fails after the first was
// decided, which decided both receipts.
func TestTheSameTransactionTwice(t *testing.T) {
	store := newGated()
	client := open(t, wasmclient.Config{Store: store})
	s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first := append1(t, s, "once")
	if err := first.Durable(t.Context()); err != nil {
		t.Fatal(err)
	}
	pending, err := s.Pending(t.Context(), 1000, false)
	if err != nil {
		t.Fatal(err)
	}
	<-store.gate
	if err := s.Discard(t.Context(), first.ID()); err != nil {
		t.Fatal(err)
	}
	again, err := s.AppendEvents(t.Context(), pending[0].Transaction.Events)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Synced(t.Context()); wire.CodeOf(err) != wire.CodeDiscarded {
		t.Errorf("the first: %v", err)
	}
	store.fail.Store(true)
	store.open()
	client.LastTry()
	if err := again.Durable(t.Context()); wire.CodeOf(err) != wire.CodeStorageFailed {
		t.Errorf("durable: %v", err)
	}
}

// lock is a lock among tabs, as the browser has it: it may be stolen.
type lock struct {
	mu     sync.Mutex
	held   int
	asked  int
	steals []func()
}

func (l *lock) lead(_ context.Context, _ bool, lost func()) (func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held++
	l.asked++
	l.steals = append(l.steals, lost)
	return func() {
		l.mu.Lock()
		l.held--
		l.mu.Unlock()
	}, nil
}

// steal takes the lock from whoever got it as the nth.
func (l *lock) steal(n int) {
	l.mu.Lock()
	lost := l.steals[n]
	l.mu.Unlock()
	lost()
}

func (l *lock) asks() (asked, held int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked, l.held
}

// TestLeadIsLetGoOfWhenClosed closes a client between getting the lead and using it: nobody else would ever lead.
func TestLeadIsLetGoOfWhenClosed(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			store := newGated()
			store.raise = make(chan struct{})
			l := &lock{}
			client, err := wasmclient.Open(t.Context(), wasmclient.Config{Store: store, Lead: l.lead})
			if err != nil {
				t.Fatal(err)
			}
			entered, leave := make(chan struct{}), make(chan struct{})
			stop := client.OnChange(func(wasmclient.Change) {
				select {
				case <-entered:
				default:
					close(entered)
					<-leave
				}
			})
			defer stop()
			id := space.ID{1}
			client.Space(id)
			<-entered // the loop is held up
			close(store.raise)
			synctest.Wait() // its lead is waiting for it
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			closed := make(chan struct{})
			go func() { client.Close(ended); close(closed) }()
			synctest.Wait()
			close(leave)
			<-closed
			if _, held := l.asks(); held != 0 {
				t.Fatal("the lock is held for ever")
			}
		})
	}
}

// TestStolenWhileSteppingDown takes the lock away at the moment when the store tells of the other leader, too: the
// client asks for the lock once more, not twice.
func TestStolenWhileSteppingDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newGated()
		l := &lock{}
		client, err := wasmclient.Open(t.Context(), wasmclient.Config{Store: store, Lead: l.lead})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		store.Store.RaiseEpoch(t.Context())
		client.Poke()
		synctest.Wait() // it has stepped down
		l.steal(0)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if asked, held := l.asks(); asked != 2 || held != 1 {
			t.Errorf("asked for the lock %d times, holds it %d times", asked, held)
		}
		if !client.Status().Leader {
			t.Error("does not lead")
		}
		client.Close(t.Context())
	})
}

// TestStolenBeforeItIsUsed takes the lock away while the epoch is being raised.
func TestStolenBeforeItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newGated()
		store.raise = make(chan struct{})
		l := &lock{}
		client, err := wasmclient.Open(t.Context(), wasmclient.Config{Store: store, Lead: l.lead})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.steal(0)
		synctest.Wait()
		close(store.raise)
		synctest.Wait()
		if client.Status().Leader {
			t.Error("leads without the lock")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !client.Status().Leader {
			t.Error("did not stand in line again")
		}
		client.Close(t.Context())
	})
}
