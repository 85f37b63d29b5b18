package syncserver

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"go.opentelemetry.io/otel/trace"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver/auth"
)

// Time that [Server.Run] gives to what is under way when it is told to stop: first politely, then by force.
const (
	drainTime = 7 * time.Second
	forceTime = 2 * time.Second
)

// Server is Skerry's server. Make one with [New].
type Server struct {
	config       Config
	log          Log
	logger       *slog.Logger
	hub          *hub.Config
	engine       module.Engine
	secrets      secrets
	tokens       *tokens
	identity     string // the server's own, by its key
	system       systemSpace
	setUp        atomic.Bool // there is an administrator
	setupToken   string
	administered bool      // the policy knows of administrators
	keyers       sync.Pool // of *digest.Keyer under the seal's secret
	metrics      *metrics
	mux          *http.ServeMux
	handler      http.Handler // mux, traced
	tracer       tracer
	dir          *directory
	meter        *meter
	accounts     *accounts
	start        time.Time
	began        uint64 // start by the configured clock

	running chan struct{} // closed when connections are taken
	stop    chan struct{} // closed by Close
	done    chan struct{} // closed when Run has returned

	// work is the context of calls to the log: it ends when the server must not wait any longer.
	work   context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	state    serverState
	jobs     int           // goroutines
	quiet    chan struct{} // closed when jobs falls to zero while draining; nil before
	lastConn hub.ConnID
	conns    map[hub.ConnID]*connection // until nothing of them is left in any space
	sessions map[sessionKey]*connection
	named    map[wire.ConnectionID]*connection
	owners   map[string]map[*connection]struct{} // by identity, those with a live directory
	unlisted map[unlisted]struct{}               // directory rows that could not be written yet
	freeing  map[space.ID]*freeing               // spaces that were deleted and are not freed yet
	frees    bool                                // a goroutine does that

	expiring   map[space.ID]struct{} // spaces of which payloads may be still to be freed
	expireRuns bool                  // a goroutine does that
	retaining  sync.Mutex            // held while it is looked for what is over what its space keeps

	// naming is held while a log comes to name a module, and locked while modules are deleted that none names.
	naming sync.RWMutex
	names  moduleNames

	counting sync.Mutex     // held while modules' spaces are counted
	counted  map[string]int // what metrics tell of them, by label

	spaces spaceTable
	tails  atomic.Int64 // bytes that all tails hold
}

// serverState is where a server is in its life.
type serverState int

const (
	stateNew serverState = iota
	stateRunning
	stateDraining
	stateStopped
)

// unlisted is a directory row that the log did not take.
type unlisted struct {
	identity string
	id       space.ID
}

// New returns a server for config. It reads who the server is from the log, or makes it. Nothing runs before
// [Server.Run].
func New(config Config) (*Server, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	work, cancel := context.WithCancel(context.Background())
	secrets, err := loadSecrets(work, config.Log)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("syncserver: %w", err)
	}
	s := &Server{
		config: config, log: config.Log, logger: config.Logger, engine: config.Engine, secrets: secrets,
		metrics: newMetrics(), meter: newMeter(meteredKeys), mux: http.NewServeMux(), start: time.Now(),
		running: make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{}),
		work: work, cancel: cancel,
		conns: map[hub.ConnID]*connection{}, sessions: map[sessionKey]*connection{},
		named: map[wire.ConnectionID]*connection{}, owners: map[string]map[*connection]struct{}{},
		unlisted: map[unlisted]struct{}{}, freeing: map[space.ID]*freeing{}, expiring: map[space.ID]struct{}{},
	}
	s.tracer = newTracer(config.Traces)
	s.handler = s.traced(s.mux)
	s.accounts = &accounts{server: s, of: map[string]*account{}}
	if s.tokens, err = newTokens(work, config.Log, secrets.seal, s.wall()); err != nil {
		cancel()
		return nil, fmt.Errorf("syncserver: read which tokens were logged out: %w", err)
	}
	s.identity = secrets.identity()
	if s.system, err = s.openSystem(work); err != nil {
		cancel()
		return nil, fmt.Errorf("syncserver: the system space: %w", err)
	}
	s.keyers.New = func() any { return digest.NewKeyer(secrets.seal) }
	s.spaces.hot = map[space.ID]*hotSpace{}
	s.began = s.wall()
	restored, err := s.recover(work)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("syncserver: look whether the log was restored: %w", err)
	}
	s.dir = newDirectory(config.Log, secrets.public, s.directoryChanged, s.spawn)
	s.hub = hub.Config{
		Server: secrets.public, Limits: config.Limits, API: config.API,
		Seal:             s.seal,
		CheckSeal:        s.checkSeal,
		SetupRequired:    s.setupRequired,
		Admit:            s.admitTransaction,
		Forgive:          s.forgiveTransaction,
		Room:             s.room,
		RecoveryWindow:   uint64(config.RecoveryWindow.Milliseconds()),
		RestoredUntil:    restored,
		ReadRecords:      readRows,
		HandshakeTimeout: uint64(config.HandshakeTimeout.Milliseconds()),
		IdleTimeout:      uint64(config.IdleTimeout.Milliseconds()),
	}.Complete()
	s.setupToken = rand.Text()
	for pattern, handler := range s.routes() {
		s.mux.Handle(pattern, handler)
	}
	return s, nil
}

// routes are all routes of the server, by their patterns: a test asks each of them for what it must not tell.
func (s *Server) routes() map[string]http.Handler {
	all := map[string]http.Handler{
		"/sync":        http.HandlerFunc(s.serveSync),
		"GET /metrics": s.afterSetup(s.metrics.handler()),

		"GET /.well-known/did.json": s.afterSetup(http.HandlerFunc(s.serveIdentity)),

		"GET /healthz": http.HandlerFunc(s.serveHealth),
		"GET /readyz":  http.HandlerFunc(s.serveReady),
		"/setup":       s.crossOrigin(http.HandlerFunc(s.serveSetupPage)),
		"/":            newWeb(s.config.Web),
	}
	for pattern, handler := range s.apiRoutes() {
		if pattern != setupRoute {
			handler = s.afterSetup(handler)
		}
		all[pattern] = s.crossOrigin(handler)
	}
	return all
}

// Key returns the server's Ed25519 public key, which clients pin.
func (s *Server) Key() [32]byte { return s.secrets.public }

// Run serves connections until ctx ends or Close is called, then drains: no new connections, bye to every client,
// an end to appends under way. It returns nil when that took less than ten seconds, and can be called once.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.state != stateNew {
		s.mu.Unlock()
		return errors.New("syncserver: the server has run already")
	}
	s.state = stateRunning
	s.mu.Unlock()
	defer close(s.done)
	defer s.cancel()
	if err := s.prepareSystem(ctx); err != nil {
		if drained := s.drain(); ctx.Err() != nil || drained != nil || s.closing() {
			return drained
		}
		return fmt.Errorf("syncserver: %w", err)
	}
	close(s.running)

	watch, unwatch := context.WithCancel(ctx)
	defer unwatch()
	if err := s.log.Watch(watch, s.hint); err != nil {
		s.logger.Error("cannot watch the log: appends of other servers are not noticed", "error", err)
	}
	s.spawn(s.findDeletions)
	if s.hub.RestoredUntil > 0 {
		s.spawn(func() { s.recovered(ctx) })
	}
	s.spawn(s.findExpiries)
	s.spawn(s.retainAll)
	s.spawn(s.countModules)
	repair := time.NewTicker(5 * time.Second)
	defer repair.Stop()
	collect := time.NewTicker(time.Hour)
	defer collect.Stop()
	retain := time.NewTicker(retainEvery)
	defer retain.Stop()
	for running := true; running; {
		select {
		case <-repair.C:
			s.relist()
			s.free()
			s.expire()
		case <-retain.C:
			s.spawn(s.retainAll)
		case <-collect.C:
			s.spawn(func() {
				if err := s.collectModules(s.work); err != nil {
					s.logger.Error("cannot collect modules", "error", err)
				}
				s.countModules()
			})
		case <-ctx.Done():
			running = false
		case <-s.stop:
			running = false
		}
	}
	return s.drain()
}

// drain tells every client to come back later and waits for what is under way.
func (s *Server) drain() error {
	s.logger.Info("draining")
	s.mu.Lock()
	s.state = stateDraining
	s.quiet = make(chan struct{})
	if s.jobs == 0 {
		close(s.quiet)
	}
	conns := make([]*connection, 0, len(s.conns))
	for _, c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.step(hub.Shutdown{RetryAfterMS: uint64(s.config.RetryAfter.Milliseconds())})
	}
	if s.wait(drainTime) {
		s.closeSystem()
		s.logger.Info("stopped", "connections", len(conns))
		return nil
	}
	s.cancel()
	for _, c := range conns {
		c.abort()
	}
	if s.wait(forceTime) {
		s.closeSystem()
		s.logger.Warn("stopped by force", "connections", len(conns))
		return nil
	}
	return errors.New("syncserver: some work did not end when the server stopped")
}

// closing reports whether Close was called.
func (s *Server) closing() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// wait waits for all goroutines of the server, and reports whether they ended.
func (s *Server) wait(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-s.quiet:
		s.mu.Lock()
		s.state = stateStopped
		s.mu.Unlock()
		return true
	case <-timer.C:
		return false
	}
}

// Close stops a running server as the end of Run's context does, and waits until Run has returned. It does not
// close the log. It may be called more than once.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	if s.state == stateNew {
		s.state = stateStopped
		s.cancel()
		return nil
	}
	s.mu.Unlock()
	<-s.done
	s.mu.Lock()
	return nil
}

// spawn runs f in a goroutine that Run waits for. While the server drains that is still allowed, since what is
// under way may need it; once everything has ended it is not.
func (s *Server) spawn(f func()) bool {
	s.mu.Lock()
	if s.state == stateStopped {
		s.mu.Unlock()
		return false
	}
	s.jobs++
	s.mu.Unlock()
	go func() {
		defer s.finished()
		defer func() {
			if failure := recover(); failure != nil {
				s.panicked("in the server", failure)
			}
		}()
		f()
	}()
	return true
}

// panicked tells of a panic, which ends what it happened in and nothing else.
func (s *Server) panicked(where string, failure any, about ...any) {
	s.metrics.panics.Inc()
	about = append(about, "panic", failure, "stack", string(debug.Stack()))
	s.logger.Error("panic "+where, about...)
}

func (s *Server) finished() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs--; s.jobs == 0 && s.state == stateDraining {
		s.state = stateStopped
		close(s.quiet)
	}
}

// wall returns the time in milliseconds since 1970: what records carry.
func (s *Server) wall() uint64 { return uint64(max(s.config.Now().UnixMilli(), 0)) }

// seal makes the seal of a durable position.
func (s *Server) seal(id space.ID, seq uint64, chain digest.Digest) digest.Digest {
	keyer := s.keyers.Get().(*digest.Keyer)
	defer s.keyers.Put(keyer)
	return space.SealWith(keyer, id, seq, chain)
}

func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", contentTypes[".txt"])
	w.Write([]byte("ok\n"))
}

// serveReady answers 200 when clients can be served: the server runs, is not stopping, and its log can be read.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	state := s.state
	s.mu.Unlock()
	reason := ""
	select {
	case <-s.running:
	default:
		state = stateNew
	}
	if state != stateRunning {
		reason = "not running"
	} else if _, err := s.log.Key(r.Context(), keyServer); err != nil {
		reason = "the log cannot be read"
		s.logger.Error("not ready", "error", err)
	}
	w.Header().Set("Content-Type", contentTypes[".txt"])
	if reason != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, reason)
		return
	}
	fmt.Fprintln(w, "ready")
}

// serveSync makes a WebSocket of a request and hands it to goroutines of its own.
func (s *Server) serveSync(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.running:
	case <-s.stop:
	case <-s.done:
	case <-r.Context().Done():
		return
	}
	s.mu.Lock()
	running := s.state == stateRunning
	s.mu.Unlock()
	if !running {
		w.Header().Set("Retry-After", strconv.Itoa(int(max(s.config.RetryAfter/time.Second, 1))))
		http.Error(w, "the server is stopping", http.StatusServiceUnavailable)
		return
	}
	if s.setupRequired() && r.Header.Get("Upgrade") == "" {
		s.refuseSetup(w)
		return
	}
	if !s.originAllowed(r) {
		answerError(w, http.StatusForbidden, wire.CodeForbidden, originRefused)
		return
	}
	if !s.admitRequest(w, r) {
		return
	}
	socket, err := websocket.Accept(slim{w}, r, &websocket.AcceptOptions{
		Subprotocols: []string{wire.Subprotocol}, OriginPatterns: s.config.AllowedOrigins,
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		s.logger.Info("refused a socket", "error", err)
		return // Accept has answered
	}
	if socket.Subprotocol() != wire.Subprotocol {
		s.spawn(func() { socket.Close(websocket.StatusPolicyViolation, "subprotocol "+wire.Subprotocol+" is needed") })
		return
	}
	s.serve(socket, s.addressOf(r), auth.Hosts(r, s.config.PublicHosts))
}

// slim is a response whose hijacked connection has small buffers, since most sockets are idle most of the time. What is
// bigger passes them by.
type slim struct{ http.ResponseWriter }

// Hijack implements [http.Hijacker].
func (w slim) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil || buffers.Reader.Buffered() > 0 {
		return conn, buffers, err
	}
	return conn, bufio.NewReadWriter(bufio.NewReaderSize(conn, 512), bufio.NewWriterSize(conn, 1024)), nil
}

// serve begins a connection over a socket.
func (s *Server) serve(socket *websocket.Conn, address string, hosts []string) {
	socket.SetReadLimit(-1) // the reader has its own limit, and says so in a frame
	c := s.connect(socket, address)
	if c == nil {
		socket.CloseNow()
		return
	}
	c.hosts = hosts
	if s.tracer.on() {
		_, c.handshake = s.tracer.start(context.Background(), "handshake", trace.SpanKindServer)
	}
	var begin hub.Begin
	rand.Read(begin.Nonce[:])
	if !s.spawn(func() { c.read(socket) }) {
		c.leave()
		return
	}
	c.step(begin)
}

// connect registers a connection over a transport, nil if the server does not run. Whoever calls it calls leave in the end.
func (s *Server) connect(socket transport, address string) *connection {
	c := &connection{server: s, socket: socket, left: make(chan struct{})}
	c.room.L = &c.mu
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateRunning {
		return nil
	}
	s.lastConn++
	c.id = s.lastConn
	c.hub = hub.NewConn(s.hub, c.id, address) // before anybody finds it: the server may be about to stop
	s.conns[c.id] = c
	s.metrics.connections.Inc()
	s.metrics.opened.Inc()
	return c
}

// elapsed returns the time for timeouts, in milliseconds since 1970: the clock when the server was made and what
// has passed since, so that a clock that is set meanwhile ends no connection.
func (s *Server) elapsed() uint64 {
	return s.began + uint64(time.Since(s.start).Milliseconds())
}
