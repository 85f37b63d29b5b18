package syncserver_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/authtest"
	"skerry/syncserver/memlog"
	"skerry/syncserver/sqlitelog"
)

// TestMain fails if a test left a goroutine behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if dir, made := compiledDir.Load().(string); made {
		os.RemoveAll(dir)
	}
	for deadline := time.Now().Add(10 * time.Second); code == 0; runtime.Gosched() {
		left := strays()
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "%d goroutines are left:\n%s\n", len(left), strings.Join(left, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// strays returns the stacks of goroutines that are not the test's own or the runtime's.
func strays() []string {
	buffer := make([]byte, 8<<20)
	buffer = buffer[:runtime.Stack(buffer, true)]
	stacks := strings.Split(string(buffer), "\n\n")
	return slices.DeleteFunc(stacks[1:], func(stack string) bool {
		return strings.Contains(stack, "os/signal.") || strings.Contains(stack, "testing.") && !strings.Contains(stack, "skerry/")
	})
}

// listener hands connections in memory to an http.Server.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newListener() *listener {
	return &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return pipeAddr{} }

func (l *listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- addressed{server}:
		return client, nil
	case <-l.closed:
	case <-ctx.Done():
	}
	client.Close()
	server.Close()
	return nil, net.ErrClosed
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "tcp" }
func (pipeAddr) String() string  { return "192.0.2.1:1234" }

// addressed is a pipe that comes from an IP address.
type addressed struct{ net.Conn }

func (addressed) RemoteAddr() net.Addr { return pipeAddr{} }

// host is what peers dial.
const host = "skerry.test"

// rig is a running server with a way to connect to it.
type rig struct {
	t        testing.TB
	log      syncserver.Log
	server   *syncserver.Server
	listener *listener
	web      *http.Server
	stopRun  context.CancelFunc
	ran      chan error
	client   *http.Client
	stopped  bool
	names    bool // hellos are signed

	mu    sync.Mutex
	peers []*peer
}

// start runs a server on log, to which everybody can prove their name. configure may change the configuration.
func start(t testing.TB, log syncserver.Log, configure ...func(*syncserver.Config)) *rig {
	t.Helper()
	r, err := tryStart(t, log, configure...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tryStart is start that returns the error of New.
func tryStart(t testing.TB, log syncserver.Log, configure ...func(*syncserver.Config)) (*rig, error) {
	t.Helper()
	config := syncserver.Config{Log: log, Auth: authtest.Names{}, PublicHosts: []string{host}, Creation: syncserver.CreationLimits{
		Identity: syncserver.Rate{Burst: 1e6, PerHour: 1e6},
		Address:  syncserver.Rate{Burst: 1e6, PerHour: 1e6},
		Server:   syncserver.Rate{Burst: 1e6, PerHour: 1e6},
	}, Rates: syncserver.Rates{AddressConnects: syncserver.Rate{Burst: 1e6, PerHour: 1e6}, AddressRequests: syncserver.Rate{Burst: 1e6, PerHour: 1e6}, AddressModules: syncserver.Rate{Burst: 1e6, PerHour: 1e6}, IdentityModules: syncserver.Rate{Burst: 1e6, PerHour: 1e6}}}
	for _, f := range configure {
		f(&config)
	}
	server, err := syncserver.New(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &rig{t: t, log: log, server: server, listener: newListener(), stopRun: cancel, ran: make(chan error, 1)}
	switch config.Auth.(type) {
	case authtest.Names, *changing:
		r.names = true
	}
	r.web = &http.Server{Handler: server}
	r.client = &http.Client{Transport: &http.Transport{DialContext: r.listener.dial, DisableKeepAlives: true}}
	go func() { r.ran <- server.Run(ctx) }()
	go r.web.Serve(r.listener)
	t.Cleanup(r.stop)
	return r, nil
}

// stop stops the server and waits for it.
func (r *rig) stop() {
	if r.stopped {
		return
	}
	r.stopped = true
	r.hangUp()
	r.stopRun()
	if err := <-r.ran; err != nil {
		r.t.Errorf("Run = %v", err)
	}
	r.web.Close()
	r.client.CloseIdleConnections()
}

// hangUp closes every connection, as clients do that are gone.
func (r *rig) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.peers {
		p.close()
	}
	r.peers = nil
}

// peer speaks the protocol by hand.
type peer struct {
	t        testing.TB
	r        *rig
	socket   *websocket.Conn
	joiner   wire.Joiner
	uploaded uint64
	news     []wire.Frame // rows of the directory, passed over by await
	asked    *wire.Challenge
	identity string
	welcome  *wire.Welcome
	ids      *space.IDSource
	n        map[space.ID]uint64
}

// connect opens a socket and reads the challenge.
func (r *rig) connect() (*peer, *wire.Challenge) { return r.connectFrom(nil) }

// connectFrom is connect by a request with headers.
func (r *rig) connectFrom(header http.Header) (*peer, *wire.Challenge) {
	r.t.Helper()
	socket, _, err := websocket.Dial(context.Background(), "ws://"+host+"/sync", &websocket.DialOptions{
		HTTPClient: r.client, Subprotocols: []string{wire.Subprotocol}, HTTPHeader: header,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	socket.SetReadLimit(wire.MaxServerMessage)
	p := &peer{
		t: r.t, r: r, socket: socket, joiner: wire.Joiner{Limit: wire.MaxServerMessage},
		ids: space.NewIDSource(rand.Reader), n: map[space.ID]uint64{},
	}
	r.mu.Lock()
	r.peers = append(r.peers, p)
	r.mu.Unlock()
	challenge, ok := p.receive().(*wire.Challenge)
	if !ok {
		r.t.Fatal("the server did not begin with a challenge")
	}
	p.asked = challenge
	return p, challenge
}

// hello returns a hello for identities, with plenty of credit.
func hello(identities ...string) *wire.Hello {
	h := &wire.Hello{API: wire.APIHigh, Credit: 1 << 40}
	rand.Read(h.ConnectionID[:])
	rand.Read(h.Session[:])
	for _, identity := range identities {
		h.Proofs = append(h.Proofs, wire.Proof{Identity: identity})
	}
	return h
}

// dial connects and shakes hands.
func (r *rig) dial(identity string) *peer { return r.dialWith(hello(identity)) }

func (r *rig) dialWith(h *wire.Hello) *peer {
	r.t.Helper()
	p, _ := r.connect()
	p.send(h)
	frame := p.receive()
	welcome, ok := frame.(*wire.Welcome)
	if !ok {
		r.t.Fatalf("instead of a welcome came %T %+v", frame, frame)
	}
	p.welcome = welcome
	if len(h.Proofs) > 0 {
		p.identity = h.Proofs[0].Identity
	}
	return p
}

func (p *peer) close() { p.socket.CloseNow() }

func (p *peer) send(frames ...wire.Frame) {
	p.t.Helper()
	for _, frame := range frames {
		if h, ok := frame.(*wire.Hello); ok && p.r.names {
			frame = p.signed(h)
		}
		for _, piece := range wire.Split(wire.Append(nil, frame), 256<<10) {
			p.sendRaw(piece)
		}
	}
}

// signed returns a hello with proofs where it has none.
func (p *peer) signed(h *wire.Hello) *wire.Hello {
	s := *h
	s.Proofs = slices.Clone(h.Proofs)
	for i := range s.Proofs {
		if of := &s.Proofs[i]; of.Proof == nil {
			*of = authtest.Prove(p.asked, host, of.Identity)[0]
		}
	}
	return &s
}

func (p *peer) sendRaw(message []byte) {
	p.t.Helper()
	if err := p.socket.Write(context.Background(), websocket.MessageBinary, message); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// read returns the next frame, or the error with which the socket ended.
func (p *peer) read() (wire.Frame, error) {
	for {
		_, piece, err := p.socket.Read(context.Background())
		if err != nil {
			return nil, err
		}
		message, err := p.joiner.Add(piece)
		if err != nil {
			p.t.Fatalf("a part from the server: %v", err)
		}
		if message == nil {
			continue
		}
		frame, err := wire.Decode(message)
		if err != nil {
			p.t.Fatalf("a frame from the server: %v", err)
		}
		return frame, nil
	}
}

func (p *peer) receive() wire.Frame {
	p.t.Helper()
	frame, err := p.read()
	if err != nil {
		p.t.Fatalf("receive: %v", err)
	}
	return frame
}

// await returns the next frame of a type and passes over others. Rows of the directory that nobody asked for come when they do, before
// or after what else the same thing brings about: those that it passes over are kept for who awaits them.
func await[F wire.Frame](p *peer) F {
	p.t.Helper()
	if len(p.news) > 0 {
		if f, ok := p.news[0].(F); ok {
			p.news = p.news[1:]
			return f
		}
	}
	for {
		frame := p.receive()
		if f, ok := frame.(F); ok {
			return f
		}
		if rows, ok := frame.(*wire.Spaces); ok && rows.Ref == 0 {
			p.news = append(p.news, rows)
		}
	}
}

// fails waits for an error frame with a code and then the end of the socket.
func (p *peer) fails(code wire.Code) {
	p.t.Helper()
	failure := await[*wire.Error](p)
	if failure.Code != code || code != wire.CodeUnknown && len(failure.Reason) > wire.MaxReason {
		p.t.Fatalf("the connection failed with %v %q, want %v", failure.Code, failure.Reason, code)
	}
	if frame, err := p.read(); err == nil {
		p.t.Fatalf("after an error came %T", frame)
	}
}

// genesis makes a genesis of the peer's identity.
func (p *peer) genesis() *space.Genesis {
	return &space.Genesis{Stamp: p.ulid(), Creator: p.identity, Module: module.Open}
}

func (p *peer) ulid() space.ULID {
	id, err := p.ids.New(uint64(time.Now().UnixMilli()))
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

// transaction makes a transaction of n events.
func (p *peer) transaction(n int) space.Transaction {
	t := space.Transaction{Author: p.identity, API: wire.APIHigh}
	for i := range n {
		t.Events = append(t.Events, space.Event{ID: p.ulid(), Type: "note", Payload: []byte{0x91, byte(i % 128)}})
	}
	return t
}

// push sends a push with the next number.
func (p *peer) push(push wire.Push) uint64 {
	p.t.Helper()
	p.n[push.Space]++
	push.N = p.n[push.Space]
	p.send(&push)
	return push.N
}

// pushed pushes and returns the answer.
func (p *peer) pushed(push wire.Push) *wire.Pushed {
	p.t.Helper()
	n := p.push(push)
	for {
		answer := await[*wire.Pushed](p)
		if answer.Space == push.Space && answer.N == n {
			if len(answer.Verdicts) != len(push.Transactions) {
				p.t.Fatalf("%d verdicts on %d transactions", len(answer.Verdicts), len(push.Transactions))
			}
			return answer
		}
	}
}

// create creates a space.
func (p *peer) create() space.ID {
	p.t.Helper()
	g := p.genesis()
	id := g.ID()
	answer := p.pushed(wire.Push{Space: id, Genesis: g})
	if answer.Genesis == nil || answer.Genesis.Kind != wire.Accepted {
		p.t.Fatalf("creating a space: %+v", answer.Genesis)
	}
	return id
}

// append pushes transactions, which must be accepted, and returns the position after the last.
func (p *peer) append(id space.ID, transactions ...space.Transaction) space.Position {
	p.t.Helper()
	answer := p.pushed(wire.Push{Space: id, Transactions: transactions})
	for i, v := range answer.Verdicts {
		if v.Kind != wire.Accepted {
			p.t.Fatalf("verdict %d: %+v", i, v)
		}
	}
	return answer.Verdicts[len(answer.Verdicts)-1].Position
}

// verdict pushes one transaction and returns the verdict on it.
func (p *peer) verdict(id space.ID, t space.Transaction) wire.Verdict {
	p.t.Helper()
	return p.pushed(wire.Push{Space: id, Resume: true, Transactions: []space.Transaction{t}}).Verdicts[0]
}

func (p *peer) subscribe(id space.ID, at space.Position) {
	p.t.Helper()
	p.send(&wire.Subscribe{Subscriptions: []wire.Subscription{{Space: id, Position: at}}})
}

// follow reads the records of a subscription up to a number and checks that they follow on each other and hash to
// the positions that come with them.
func (p *peer) follow(id space.ID, at space.Position, to uint64) ([]space.Record, space.Position) {
	p.t.Helper()
	var all []space.Record
	for at.Seq < to {
		events := await[*wire.Events](p)
		if events.Space != id {
			continue
		}
		at = p.check(at, events)
		all = append(all, events.Records...)
	}
	return all, at
}

// check checks one frame of events that follows on a position and returns the position after it.
func (p *peer) check(at space.Position, events *wire.Events) space.Position {
	p.t.Helper()
	for i := range events.Records {
		if r := &events.Records[i]; r.Seq != at.Seq+1+uint64(i) {
			p.t.Fatalf("record %d where %d belongs", r.Seq, at.Seq+1+uint64(i))
		}
	}
	chain := space.Fold(at.Chain, events.Records)
	if len(events.Records) == 0 || chain != events.Position.Chain || events.Position.Seq != events.Records[len(events.Records)-1].Seq {
		p.t.Fatalf("events after %d do not hash to their position", at.Seq)
	}
	if !events.Records[len(events.Records)-1].Last() || events.Records[0].Index != 0 {
		p.t.Fatal("events cut a transaction")
	}
	return events.Position
}

// logs runs a test on every log. open opens it again: what is durable is still there.
func logs(t *testing.T, test func(t *testing.T, open func() syncserver.Log)) {
	t.Run("memlog", func(t *testing.T) {
		log := memlog.New()
		test(t, func() syncserver.Log { return log })
	})
	t.Run("sqlitelog", func(t *testing.T) {
		dir := t.TempDir()
		var last syncserver.Log
		closeLast := func() {
			if last != nil {
				if err := last.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		t.Cleanup(closeLast)
		test(t, func() syncserver.Log {
			closeLast()
			log, err := sqlitelog.Open(context.Background(), sqlitelog.Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			last = log
			return log
		})
	})
}

var errBroken = errors.New("the log is broken by the test")
