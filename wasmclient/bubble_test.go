//go:build !js

package wasmclient_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/authtest"
	"skerry/syncserver/memlog"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// world is a server whose network lies in the test's bubble, so that its clock is the bubble's.
type world struct {
	*testing.T
	site    *site
	sockets chan net.Conn
	closed  chan struct{} // nobody accepts any more
	closing sync.Once
	http    *http.Server
	client  *http.Client
	stop    []func()
	restart func()                                                 // ends the server and begins it anew over the same log
	putBack func(log *memlog.Log, change func(*syncserver.Config)) // ends the server and begins it anew over another log
}

// inBubble runs a test in a world whose time passes only when everything rests.
func inBubble(t *testing.T, test func(*world)) {
	inBubbleWith(t, func(*syncserver.Config) {}, test)
}

// inBubbleWith is inBubble with a server of another configuration.
func inBubbleWith(t *testing.T, change func(*syncserver.Config), test func(*world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, sockets: make(chan net.Conn), closed: make(chan struct{}), site: &site{t: t, log: memlog.New()}}
		many := syncserver.Rate{Burst: 1 << 20, PerHour: 1 << 20}
		config := syncserver.Config{
			Log: w.site.log, Auth: authtest.Names{}, PublicHosts: []string{"world"}, Creation: syncserver.CreationLimits{Identity: many, Address: many, Server: many},
		}
		change(&config)
		var work sync.WaitGroup
		var server atomic.Pointer[syncserver.Server]
		end := func() {}
		w.restart = func() {
			end()
			next, err := syncserver.New(config)
			if err != nil {
				t.Fatal(err)
			}
			running, cancel := context.WithCancel(context.Background())
			ended := make(chan struct{})
			work.Go(func() {
				defer close(ended)
				next.Run(running)
			})
			end = func() { cancel(); <-ended }
			server.Store(next)
		}
		w.putBack = func(log *memlog.Log, change func(*syncserver.Config)) {
			end()
			end = func() {}
			w.site.log, config.Log = log, log
			change(&config)
			w.restart()
		}
		w.restart()
		w.http = &http.Server{Handler: http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) { server.Load().ServeHTTP(to, r) })}
		w.client = &http.Client{Transport: &http.Transport{DialContext: w.dial}}
		work.Go(func() { w.http.Serve(listener{w}) })
		defer func() {
			for _, stop := range w.stop {
				stop()
			}
			end()
			w.client.CloseIdleConnections()
			w.http.Close()
			work.Wait()
			w.site.log.Close()
		}()
		test(w)
	})
}

// listener accepts the world's sockets.
type listener struct{ *world }

func (l listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.sockets:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l listener) Close() error   { l.closing.Do(func() { close(l.closed) }); return nil }
func (l listener) Addr() net.Addr { return &net.TCPAddr{} }

func (w *world) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case w.sockets <- far:
		return near, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

// Dial makes the world a [wasmclient.Dialer].
func (w *world) Dial(ctx context.Context, url string) (wasmclient.Conn, error) {
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}, HTTPClient: w.client})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(-1)
	return bubbleConn{conn}, nil
}

type bubbleConn struct{ *websocket.Conn }

func (c bubbleConn) Read(ctx context.Context) ([]byte, error) {
	_, message, err := c.Conn.Read(ctx)
	return message, err
}

func (c bubbleConn) Write(ctx context.Context, message []byte) error {
	return c.Conn.Write(ctx, websocket.MessageBinary, message)
}

func (c bubbleConn) Close(string) error { return c.CloseNow() }

// device is what the tabs of one browser share.
type device struct {
	*world
	identity string
	store    *memstore.Store
	lock     webLock
	channels channels
}

func (w *world) device(identity string) *device {
	return &device{world: w, identity: identity, store: memstore.New(memstore.Config{Identity: identity})}
}

// tab is one client with what it is stopped by.
type tab struct {
	*wasmclient.Client
	device  *device
	store   *freezer
	channel *channel
	dials   atomic.Int64
	read    atomic.Int64 // bytes
	lines   chan string
}

// Dial counts what the world dials for the tab.
func (t *tab) Dial(ctx context.Context, url string) (wasmclient.Conn, error) {
	t.dials.Add(1)
	conn, err := t.device.Dial(ctx, url)
	return countedConn{conn, &t.read}, err
}

type countedConn struct {
	wasmclient.Conn
	read *atomic.Int64
}

func (c countedConn) Read(ctx context.Context) ([]byte, error) {
	message, err := c.Conn.Read(ctx)
	c.read.Add(int64(len(message)))
	return message, err
}

// tab opens a client over the device's store.
func (d *device) tab(change ...func(*wasmclient.Config)) *tab {
	d.Helper()
	tab := &tab{device: d, store: &freezer{Store: d.store.Handle()}, channel: d.channels.channel(), lines: make(chan string, 1000)}
	config := wasmclient.Config{
		Store: tab.store, URL: "ws://world/sync", Dialer: tab, Lead: d.lock.lead, Channel: tab.channel,
		Log: func(line string) { tab.lines <- line }, Sign: authtest.Signer(d.identity),
	}
	for _, f := range change {
		f(&config)
	}
	var err error
	if tab.Client, err = wasmclient.Open(d.Context(), config); err != nil {
		d.Fatal(err)
	}
	tab.OnChange(func(wasmclient.Change) { tab.store.wait() })
	d.stop = append(d.stop, func() {
		tab.thaw()
		tab.Close(context.Background())
	})
	synctest.Wait()
	return tab
}

// freeze stops a tab as a browser does: nothing of it runs, and it does not know.
func (t *tab) freeze() {
	t.hold()
	go t.Space(space.ID{0xff}) // its change stops the loop
	synctest.Wait()
}

// hold stops what a tab writes before it takes effect, and the tab itself at its next change.
func (t *tab) hold() {
	t.store.mu.Lock()
	if t.store.thawed == nil {
		t.store.thawed = make(chan struct{})
	}
	t.store.mu.Unlock()
}

func (t *tab) thaw() {
	t.store.mu.Lock()
	if t.store.thawed != nil {
		close(t.store.thawed)
		t.store.thawed = nil
	}
	t.store.mu.Unlock()
}

// leads waits until a tab leads and returns how long that took.
func (t *tab) leads(within time.Duration) time.Duration {
	t.device.Helper()
	begun := time.Now()
	for !t.Status().Leader {
		if time.Since(begun) > within {
			t.device.Fatalf("it does not lead after %v: %+v", within, t.Status())
		}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
	}
	return time.Since(begun)
}

// freezer is a store that does nothing while its tab is frozen.
type freezer struct {
	*memstore.Store
	mu      sync.Mutex
	thawed  chan struct{} // closed on thawing; nil while the tab runs
	stale   int           // commits of sync that came back stale
	commits int
	rows    int           // of the outbox, in the commit that had most
	slow    atomic.Int64  // nanoseconds that a commit takes
	raise   chan struct{} // full once the epoch may be raised; nil: at once

	reads     atomic.Int64 // of checkpoints
	slowReads atomic.Int64 // nanoseconds that one takes
	pages     atomic.Int64 // of checkpoints, that were read
	failPages atomic.Bool  // reading the next ones fails

	slowRecords atomic.Int64 // nanoseconds that reading records takes
	slowRenew   atomic.Int64 // nanoseconds until the store goes on with another replica
}

func (f *freezer) wait() {
	f.mu.Lock()
	thawed := f.thawed
	f.mu.Unlock()
	if thawed != nil {
		<-thawed
	}
}

func (f *freezer) Commit(ctx context.Context, c *replica.Commit) (*replica.CommitResult, error) {
	f.wait()
	time.Sleep(time.Duration(f.slow.Load()))
	result, err := f.Store.Commit(ctx, c)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.commits++; err == nil && result.Stale {
		f.stale++
	}
	rows := 0
	for i := range c.Spaces {
		rows += len(c.Spaces[i].Append) + len(c.Spaces[i].Mark) + len(c.Spaces[i].Settle)
	}
	f.rows = max(f.rows, rows)
	return result, err
}

func (f *freezer) Read(ctx context.Context, id space.ID, after uint64, limit, maxBytes int) ([]space.Record, error) {
	records, err := f.Store.Read(ctx, id, after, limit, maxBytes)
	time.Sleep(time.Duration(f.slowRecords.Load()))
	return records, err
}

func (f *freezer) Renew(ctx context.Context, identity string) error {
	time.Sleep(time.Duration(f.slowRenew.Load()))
	return f.Store.Renew(ctx, identity)
}

func (f *freezer) Checkpoint(ctx context.Context, id space.ID) (*replica.Checkpoint, error) {
	f.reads.Add(1)
	time.Sleep(time.Duration(f.slowReads.Load()))
	return f.Store.Checkpoint(ctx, id)
}

func (f *freezer) CheckpointPages(ctx context.Context, id space.ID, names []digest.Digest) (map[digest.Digest][]byte, error) {
	if f.failPages.Swap(false) {
		return nil, errors.New("the disk is busy")
	}
	f.pages.Add(int64(len(names)))
	return f.Store.CheckpointPages(ctx, id, names)
}

func (f *freezer) PutCheckpoint(ctx context.Context, id space.ID, c *replica.Checkpoint) error {
	f.wait()
	return f.Store.PutCheckpoint(ctx, id, c)
}

func (f *freezer) RaiseEpoch(ctx context.Context) (*replica.Loaded, error) {
	if f.raise != nil {
		<-f.raise
	}
	return f.Store.RaiseEpoch(ctx)
}

func (f *freezer) counts() (commits, stale int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.commits, f.stale
}

// makeSpace makes a space and waits until the server has it.
func (t *tab) makeSpace() *wasmclient.Space {
	t.device.Helper()
	s, err := t.CreateSpace(t.device.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.device.Fatal(err)
	}
	t.write(s.ID(), "first")
	return s
}

// write appends to a space and waits until the server has it.
func (t *tab) write(id space.ID, text string) {
	t.device.Helper()
	ctx, cancel := context.WithTimeout(t.device.Context(), 2*time.Minute)
	defer cancel()
	if _, err := append1(t.device.T, t.Space(id), text).Synced(ctx); err != nil {
		t.device.Fatalf("%s: %v", text, err)
	}
}

// holds waits until a tab holds n records of a space, and exactly the server's.
func (t *tab) holds(id space.ID, n int) {
	t.device.Helper()
	for range 12_000 {
		if t.Space(id).Info().Position.Seq >= uint64(n) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	want := t.device.site.records(id)
	got, err := t.Space(id).Read(t.device.Context(), 0, 1<<30, 1<<30)
	if err != nil || len(want) != n || len(got) != n || space.Fold(id, got) != space.Fold(id, want) {
		t.device.Fatalf("the tab has %d records, the server %d, want %d, or they differ: %v", len(got), len(want), n, err)
	}
}

// TestAFrozenLeaderIsReplaced freezes the leader with received records on their way to the store. A follower takes
// over within 14 seconds; when the frozen tab thaws its commit changes nothing, and it stands back.
func TestAFrozenLeaderIsReplaced(t *testing.T) {
	inBubble(t, func(w *world) {
		ada, bea := w.device("ada"), w.device("bea")
		first, second := ada.tab(), ada.tab()
		first.leads(time.Second)
		s := first.makeSpace()
		second.holds(s.ID(), 1)
		other := bea.tab()
		other.Space(s.ID())
		other.holds(s.ID(), 1)
		_, before := first.store.counts()

		first.hold()
		other.write(s.ID(), "received by a frozen tab")
		synctest.Wait()
		first.freeze()
		mine := append1(w.T, second.Space(s.ID()), "appended beside a frozen leader")
		if took := second.leads(20 * time.Second); took < 8*time.Second || took > 14*time.Second {
			w.Errorf("a follower took over after %v, want 12 to 14 s after the last word", took)
		}
		if _, err := mine.Synced(w.Context()); err != nil {
			w.Error(err)
		}
		second.holds(s.ID(), 3)
		time.Sleep(time.Hour)
		first.thaw()
		thawed := time.Now()
		synctest.Wait()
		if _, stale := first.store.counts(); stale == before {
			w.Error("what the frozen leader had begun to write was not refused")
		}
		if first.Status().Leader {
			w.Error("two tabs lead")
		}
		second.Close(w.Context())
		first.leads(time.Minute)
		if stood := time.Since(thawed); stood < 29*time.Second || stood > 31*time.Second {
			w.Errorf("who was stolen from stood back for %v, want 30 s", stood)
		}
		first.write(s.ID(), "by the one that was frozen")
		first.holds(s.ID(), 4)
		if n := ada.lock.stolen(); n != 1 {
			w.Errorf("the lock was stolen %d times", n)
		}
	})
}

// TestFollowersDoNotFight leaves five followers with a frozen leader.
func TestFollowersDoNotFight(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		leader := d.tab()
		leader.leads(time.Second)
		var followers []*tab
		for range 5 {
			followers = append(followers, d.tab())
		}
		time.Sleep(time.Minute)
		leader.freeze()
		time.Sleep(5 * time.Minute)
		leaders := 0
		for _, f := range followers {
			if f.Status().Leader {
				leaders++
			}
		}
		if n := d.lock.stolen(); n != 1 || leaders != 1 {
			w.Errorf("the lock was stolen %d times, %d tabs lead", n, leaders)
		}
	})
}

// TestABusyLeaderKeepsTheLead holds up the leader until after it was asked for.
func TestABusyLeaderKeepsTheLead(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		leader, follower := d.tab(), d.tab()
		leader.leads(time.Second)
		for range 20 {
			asked := d.channels.count("probe")
			leader.freeze()
			for range 2000 {
				if d.channels.count("probe") > asked {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(time.Second)
			leader.thaw()
			time.Sleep(5 * time.Second)
		}
		if d.lock.stolen() > 0 || !leader.Status().Leader || follower.Status().Leader {
			w.Error("the lead was taken from a leader that answered")
		}
	})
}

// TestALeaderIsHeardBeforeTheStoreLetsItLead gives the lock to a tab whose store is held up for five minutes.
func TestALeaderIsHeardBeforeTheStoreLetsItLead(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		held := make(chan struct{})
		first := d.tab(func(c *wasmclient.Config) { c.Store.(*freezer).raise = held })
		second := d.tab()
		time.Sleep(5 * time.Minute)
		close(held)
		first.leads(time.Second)
		if d.lock.stolen() > 0 || second.Status().Leader {
			w.Errorf("the lock was stolen %d times", d.lock.stolen())
		}
	})
}

// TestASleeperDoesNotSteal wakes a follower after an hour, at a moment when the leader needs five seconds to answer.
func TestASleeperDoesNotSteal(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		leader, sleeper := d.tab(), d.tab()
		leader.leads(time.Second)
		sleeper.channel.deaf.Store(true)
		sleeper.freeze()
		time.Sleep(time.Hour)
		leader.freeze()
		sleeper.thaw()
		sleeper.channel.deaf.Store(false)
		time.Sleep(5 * time.Second)
		leader.thaw()
		time.Sleep(time.Minute)
		if n := d.lock.stolen(); n > 0 || !leader.Status().Leader {
			w.Errorf("the lock was stolen %d times", n)
		}
	})
}

// TestAHiddenLeaderHandsOver hides the leader: a tab that is looked at leads instead, at once and without a gap, and
// the hidden one is next in line.
func TestAHiddenLeaderHandsOver(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		first, second, third := d.tab(), d.tab(), d.tab()
		first.leads(time.Second)
		s := first.makeSpace()
		second.SetVisible(false)
		time.Sleep(time.Minute)
		if !first.Status().Leader {
			w.Fatal("a leader that is looked at let go")
		}
		third.SetVisible(false)
		first.SetVisible(false)
		time.Sleep(time.Minute)
		if !first.Status().Leader || d.lock.stolen() > 0 {
			w.Fatal("hidden tabs took the lead from each other")
		}
		third.SetVisible(true)
		third.leads(4 * time.Second)
		third.write(s.ID(), "by the new leader")
		third.Close(w.Context())
		second.Close(w.Context())
		first.leads(time.Second)
		first.write(s.ID(), "by the first again")
		first.holds(s.ID(), 3)
		if n := d.lock.stolen(); n != 1 {
			w.Errorf("the lock was stolen %d times", n)
		}
	})
}

// TestWithoutAChannel leaves the tabs nothing but the store: they find each other's work by looking, and none takes
// the lead from another.
func TestWithoutAChannel(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		mute := func(c *wasmclient.Config) { c.Channel = nil }
		first, second := d.tab(mute), d.tab(mute)
		first.leads(time.Second)
		s := first.makeSpace()
		first.SetVisible(false) // who leads looks, too, though nobody looks at it
		time.Sleep(time.Minute)
		second.write(s.ID(), "by the follower")
		second.holds(s.ID(), 2)
		first.freeze()
		time.Sleep(10 * time.Minute)
		if second.Status().Leader || d.lock.stolen() > 0 {
			w.Error("the lead was taken from a tab that cannot be heard")
		}
	})
}

// TestSuspend stops a leading tab as a page is that its user leaves and comes back to.
func TestSuspend(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		first, second := d.tab(), d.tab()
		first.leads(time.Second)
		s := first.makeSpace()
		before := append1(w.T, s, "appended before")
		if err := first.Suspend(w.Context()); err != nil {
			w.Fatal(err)
		}
		if err := before.Durable(w.Context()); err != nil {
			w.Errorf("appended before it was suspended: %v", err)
		}
		second.leads(time.Second)
		if d.lock.stolen() > 0 {
			w.Error("the lock was not released")
		}
		commits, _ := first.store.counts()
		during := append1(w.T, s, "appended meanwhile")
		second.write(s.ID(), "by the other tab")
		time.Sleep(time.Hour)
		second.holds(s.ID(), 3)
		if now, _ := first.store.counts(); now != commits {
			w.Errorf("a suspended tab made %d commits", now-commits)
		}
		if n := first.dials.Load(); n != 1 {
			w.Errorf("a suspended tab dialled %d times", n-1)
		}
		ended, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		if err := first.Suspend(ended); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("suspended with something that cannot be stored: %v", err)
		}
		first.Resume()
		first.Resume()
		if _, err := during.Synced(w.Context()); err != nil {
			w.Errorf("appended while it was suspended: %v", err)
		}
		first.holds(s.ID(), 4)
		second.Close(w.Context())
		first.leads(time.Second)
	})
}

// TestSuspendWhileItTakesTheLead suspends a tab in the middle of raising the epoch: that it ended is nobody's obstacle.
func TestSuspendWhileItTakesTheLead(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		raise := make(chan struct{})
		tab := d.tab(func(c *wasmclient.Config) { c.Store.(*freezer).raise = raise })
		synctest.Wait()
		if err := tab.Suspend(w.Context()); err != nil {
			w.Fatal(err)
		}
		close(raise)
		synctest.Wait()
		if status := tab.Status(); status.Storage != "ok" || status.Code != 0 {
			w.Errorf("the status of a tab that was suspended while it took the lead: %+v", status)
		}
		tab.Resume()
		tab.leads(time.Second)
	})
}

// TestSuspendFlushes suspends a tab whose store is slow.
func TestSuspendFlushes(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		tab := d.tab()
		s := tab.makeSpace()
		tab.store.slow.Store(int64(100 * time.Millisecond))
		var receipts []*wasmclient.Receipt
		for range 3 { // the first is on its way to the store, the others wait for it
			receipts = append(receipts, append1(w.T, s, "just before"))
			synctest.Wait()
		}
		if err := tab.Suspend(w.Context()); err != nil {
			w.Fatal(err)
		}
		ended, cancel := context.WithTimeout(w.Context(), time.Millisecond)
		defer cancel()
		for _, receipt := range receipts {
			if err := receipt.Durable(ended); err != nil {
				w.Errorf("not durable when the tab is suspended: %v", err)
			}
		}
	})
}

// TestSuspendThenClose closes a suspended client that has something to store.
func TestSuspendThenClose(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		tab := d.tab()
		s := tab.makeSpace()
		if err := tab.Suspend(w.Context()); err != nil {
			w.Fatal(err)
		}
		receipt := append1(w.T, s, "while suspended")
		ended, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		closed := make(chan error, 1)
		go func() { closed <- tab.Close(ended) }()
		select {
		case err := <-closed:
			if err != nil {
				w.Errorf("close: %v", err)
			}
		case <-time.After(time.Hour):
			w.Error("close does not end")
			tab.Resume()
			tab.store.Resume()
			<-closed
		}
		if err := receipt.Durable(ended); err != nil {
			w.Errorf("not durable when the client is closed: %v", err)
		}
	})
}

// TestNoCommitHasManyRows appends 3,000 transactions at once while a slow store has one, and syncs them: each commit is
// small enough that a browser's worker hears messages between it and the next.
func TestNoCommitHasManyRows(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		tab := d.tab()
		s := tab.makeSpace()
		tab.store.slow.Store(int64(time.Second))
		var last *wasmclient.Receipt
		for range 3000 {
			last = append1(w.T, s, "one of many")
		}
		if _, err := last.Synced(w.Context()); err != nil {
			w.Fatal(err)
		}
		tab.holds(s.ID(), 3001)
		commits, _ := tab.store.counts()
		if rows := tab.store.rows; rows > 400 || commits > 100 {
			w.Errorf("%d commits, one of %d rows", commits, rows)
		}
	})
}

// TestLargeRecordsThatDoNotFillACommit receives records of which a few fill most of a commit and one more does not fit: it
// waits for the next commit, and is not asked for again.
func TestLargeRecordsThatDoNotFillACommit(t *testing.T) {
	inBubble(t, func(w *world) {
		writer, reader := w.device("ada").tab(), w.device("bea").tab()
		s := writer.makeSpace()
		for range 20 {
			writer.write(s.ID(), string(make([]byte, 200_000)))
		}
		reader.store.slow.Store(int64(5 * time.Second)) // so that more comes meanwhile than one commit takes
		reader.Space(s.ID())
		reader.holds(s.ID(), 21)
		if n := reader.read.Load(); n > 5_000_000 {
			w.Errorf("%d bytes were received for 20 records of 200,000", n)
		}
	})
}
