package wasmclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Config says what a [Client] is made of. Store is all that it needs.
type Config struct {
	// Store is where everything is kept. The identity and session are the store's. The caller closes it after the
	// client.
	Store Store
	// URL is the server's WebSocket address, for instance wss://example.org/sync. Empty means never to sync.
	URL string
	// Sign makes signatures of the key that the store's identity is the name of (did:key). With it the replica proves who it
	// is, and signs the spaces that it makes. It may take a while, and is called by several goroutines.
	Sign func(ctx context.Context, message []byte) ([]byte, error)
	// Token gives a token of the issuer whose subject the store's identity names, and for how long it counts (0: nobody
	// knows). It is called for every connection, and again before the token expires. An error means that there is none now,
	// and that somebody has to sign in. One of Sign and Token is needed where a server is.
	Token func(ctx context.Context) (token string, lasts time.Duration, err error)
	// As is the identity that this client acts as where the store's own, a key, is that of a linked device, and Links is what shows
	// that, as it follows on signatures (identity.Link). Whatever is made is under As, and what the store had before goes up under its own.
	As    string
	Links []byte
	// Dialer opens sockets. Natively nil means WebSockets by coder/websocket.
	Dialer Dialer
	// Rand is the platform's secure randomness. Natively nil means crypto/rand, which is too big for a page.
	Rand io.Reader
	// ClientVersion is the app's own version, recorded with everything written here.
	ClientVersion string
	// Lead waits until this client may sync and returns how to let go of it. It is how tabs that share a store take
	// turns: nil means that no other tab is there. With steal it does not wait, but takes the lead from whoever has
	// it. lost is to be called when somebody took the lead away.
	Lead func(ctx context.Context, steal bool, lost func()) (release func(), err error)
	// Unlocked says that other tabs share the store and the platform has no lock to take turns by: every tab syncs,
	// under a session of its own. Dedupe and the store's conditions keep it right, at the price of work done twice.
	Unlocked bool
	// Channel carries messages between tabs that share a store. Without one they look into the store every few
	// seconds, and no tab takes the lead from one that is silent.
	Channel Channel
	// BootAfter is how many records the server's newest checkpoint is ahead of what is here, at least, for a space to begin there: the
	// records before it are fetched when somebody reads them. 0 means 10,000. A space of the module open has no checkpoints, and all
	// of it is pulled.
	BootAfter uint64
	// Engine runs the modules of spaces. nil means that there are no tables, and nothing is judged before it is sent.
	Engine Engine
	// API is what is spoken of the wire contract; zero: what this build speaks, which is what everybody wants. Another range is for tests of
	// what happens between versions.
	API wire.APIRange
	// Storage is what Status.Storage says while nothing is wrong; empty means "ok".
	Storage string
	// Log, if not nil, receives a line of text for what a developer may want to see. It must not block.
	Log func(line string)
}

// Channel carries messages between tabs that share a store. They may be lost: nothing but promptness depends on them.
type Channel interface {
	// Receive calls f for messages of other tabs until stop is called. f may block for a while.
	Receive(f func(Message)) (stop func())
	// Send tells the other tabs something. It is called between Receive and stop only.
	Send(Message)
}

// Conn is one socket. Read has one caller, Write another; an error of either is the end of the socket.
type Conn interface {
	// Read waits for the next binary message and returns it; the caller may keep it. A text is an error, and a message of
	// more than [wire.MaxServerMessage] bytes may be.
	Read(ctx context.Context) ([]byte, error)
	// Write sends one binary message, which it does not keep. It waits while the network takes no more.
	Write(ctx context.Context, message []byte) error
	// Close ends the socket at once and makes a pending Read fail.
	Close(reason string) error
}

// Dialer opens sockets that speak [wire.Subprotocol]. It is safe for concurrent use.
type Dialer interface {
	// Dial connects to a ws: or wss: URL. ctx bounds the dialling alone. Any error means that there is no socket.
	Dial(ctx context.Context, url string) (Conn, error)
}

// Client is a replica in use. Its methods are safe for concurrent use.
type Client struct {
	config   Config
	identity string // what is written here is under
	own      string // the store's
	began    time.Time

	jobs    chan func()
	ctx     context.Context // ends when the client closes
	cancel  context.CancelFunc
	stopped chan struct{} // the loop has ended
	work    sync.WaitGroup

	life       atomic.Uint64 // how often the replica was destroyed; changed by the loop
	suspending sync.Mutex    // held by Suspend and Resume, which come one after the other

	// Owned by the loop.
	core      *replica.Replica
	ids       *space.IDSource
	socket    *socket
	timer     *time.Timer
	nextRef   uint64
	waiting   map[uint64]func(error)                 // by Ref: a commit that somebody waits for
	receipts  map[space.ID]map[space.ULID][]*Receipt // undecided ones
	listeners map[int]func(Change)
	hearers   map[int]func(Ephemeral)
	fates     map[int]func(SpaceLifecycle)
	alive     map[space.ID]life                   // what was told of spaces
	expired   map[space.ID]uint64                 // the same of what has expired
	named     map[digest.Digest]*program.Manifest // of modules that were loaded, which say what they are called
	access    map[space.ID]replica.Access         // what the server last said, here or to the tab that syncs
	pace      wire.Pace                           // of the ephemerals that this client sends
	nextID    int
	lead      *lead // this tab leads or waits for it; nil while it stands back or is suspended
	election  election
	beat      *time.Timer       // the election's next tick
	polls     *time.Timer       // the next look for what other tabs changed
	hush      func()            // stops receiving from the other tabs; nil while nothing is received
	reports   *time.Timer       // when the other tabs are told how this one stands
	reporting bool              // reports runs
	checks    *time.Timer       // the next look for damage
	whole     map[space.ID]bool // spaces that were looked through for damage
	others    bool              // another tab was heard
	report    *report           // what the tab that leads said last; nil while nothing is known
	suspended bool
	over      error             // why this tab writes nothing any more: a newer version wrote the store, or it was forgotten
	obstacle  error             // why this tab, whose turn it is, cannot begin to sync
	renewal   chan struct{}     // closed when the store goes on after its replica was destroyed; nil while nothing is lost
	idle      []chan<- struct{} // told once no commit is waited for
	closing   bool
	drained   []chan<- error   // told once nothing waits to become durable
	opened    map[space.ID]int // how many handles of a space are open
	views     map[space.ID]*view
	readers   map[space.ID][]chan error             // who waits for records that are not here
	told      map[space.ID]replica.ServerCheckpoint // what the tab that leads told, to one that does not
	diverged  map[space.ID]*Divergence              // spaces whose tables are not the server's, as their module makes them here

	modules modules
}

// Change tells what a listener may want to look at again.
type Change struct {
	Space  space.ID // the space that changed; zero if none did
	Status bool     // [Client.Status] may say something else now
	// Refusal, when not nil, tells that a transaction of Space came to be among the rejected, whichever tab appended it.
	Refusal *Refusal
	// Divergence, when not nil, tells that the module of Space made other tables in this tab than on the server.
	Divergence *Divergence
}

// Refusal says what was refused, and why.
type Refusal struct {
	ID     space.ULID
	Code   wire.Code
	Reason string
}

// Open loads the store and begins to sync. It does not wait for a network. The client lives until Close; ctx bounds
// the loading only.
func Open(ctx context.Context, config Config) (*Client, error) {
	if config.Store == nil {
		return nil, wire.Errorf(wire.CodeBadArgument, "open client: Config.Store is nil")
	}
	if config.Dialer == nil && config.URL != "" {
		if config.Dialer = defaultDialer; config.Dialer == nil {
			return nil, wire.Errorf(wire.CodeBadArgument, "open client: Config.Dialer is nil")
		}
	}
	if config.Rand == nil {
		if config.Rand = defaultRand; config.Rand == nil {
			return nil, wire.Errorf(wire.CodeBadArgument, "open client: Config.Rand is nil")
		}
	}
	if limit := int(wire.DefaultLimits.ClientVersion); len(config.ClientVersion) > limit {
		return nil, wire.Errorf(wire.CodeBadArgument, "open client: Config.ClientVersion has %d bytes, more than %d", len(config.ClientVersion), limit)
	}
	config.API = config.API.OrBuild()
	loaded, err := config.Store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("open client: load the store: %w", err)
	}
	c := &Client{
		config: config, identity: cmp.Or(config.As, loaded.Meta.Identity), own: loaded.Meta.Identity, began: time.Now(),
		jobs: make(chan func(), 64), stopped: make(chan struct{}),
		core: replica.New(replica.Config{
			As: config.As, Links: config.Links, BootAfter: config.BootAfter,
			Sync: config.URL != "", Proves: config.Sign != nil || config.Token != nil, ClientVersion: config.ClientVersion, Rand: config.Rand, API: config.API,
			PullAll: config.Lead != nil && config.Channel == nil, // nobody can tell what other tabs look at
		}, loaded),
		ids:     space.NewIDSource(config.Rand),
		waiting: make(map[uint64]func(error)), receipts: make(map[space.ID]map[space.ULID][]*Receipt),
		listeners: make(map[int]func(Change)), hearers: make(map[int]func(Ephemeral)), fates: make(map[int]func(SpaceLifecycle)),
		alive: make(map[space.ID]life), access: make(map[space.ID]replica.Access), expired: make(map[space.ID]uint64), opened: make(map[space.ID]int), views: make(map[space.ID]*view), readers: make(map[space.ID][]chan error),
		told: make(map[space.ID]replica.ServerCheckpoint), diverged: make(map[space.ID]*Divergence),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.timer, c.beat, c.polls, c.reports = stopped(), stopped(), stopped(), stopped()
	c.checks, c.whole = time.NewTimer(checkAfter), make(map[space.ID]bool)
	if err := c.enroll(); err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	c.lives()
	go c.loop()
	c.post(c.join)
	return c, nil
}

// stopped returns a timer that does not run.
func stopped() *time.Timer {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return timer
}

// Identity returns whose replica this is: as whom it writes.
func (c *Client) Identity() string { return c.identity }

// Poke tells the client that now is a good time, since the network came back: it looks for changes of other tabs and
// tries to connect at once.
func (c *Client) Poke() {
	c.post(func() {
		c.step(replica.Poll{})
		c.step(replica.Online{})
	})
}

// OnChange calls f after changes until stop is called. f runs in the client's loop: it must return soon and must not
// call the client's methods, but may start something that does.
func (c *Client) OnChange(f func(Change)) (stop func()) { return listen(c, c.listeners, f) }

// listen has f called with what the loop tells those in a map, until stop is called.
func listen[T any](c *Client, in map[int]func(T), f func(T)) (stop func()) {
	var id int
	err := c.call(context.Background(), func() {
		id = c.nextID
		c.nextID++
		in[id] = f
	})
	if err != nil {
		return func() {}
	}
	return func() { c.post(func() { delete(in, id) }) }
}

// SpaceOptions says what a new space is made from.
type SpaceOptions struct {
	Module digest.Digest // the module that judges it, see package builtin; zero means [module.Open]
	Params []byte        // msgpack, given to the module
	Stamp  space.ULID    // zero means a new one; making a space again with the same stamp is harmless
}

// CreateSpace makes a space of this identity and returns it once it is durable on this device. It needs no network:
// the ID, the stamp and the creator are known at once, and the server learns of it when it can. Its error has a code: too_large, quota, and
// bad_genesis where the module is on this device and refuses what the space is made of, which nobody could write to.
func (c *Client) CreateSpace(ctx context.Context, options SpaceOptions) (*Space, error) {
	if options.Module.IsZero() {
		options.Module = module.Open
	}
	if limit := int(wire.DefaultLimits.Params); len(options.Params) > limit {
		return nil, wire.Errorf(wire.CodeTooLarge, "create space: params have %d bytes, more than %d", len(options.Params), limit)
	}
	err := c.keepBuiltin(ctx, options.Module)
	if err == nil {
		err = c.tryGenesis(ctx, &space.Genesis{Stamp: options.Stamp, Creator: c.identity, Module: options.Module, Params: options.Params})
	}
	if err != nil {
		return nil, fmt.Errorf("create space: %w", err)
	}
	stamp := options.Stamp
	if stamp == (space.ULID{}) {
		var minted error
		if err = c.call(ctx, func() { stamp, minted = c.ids.New(wallClock()) }); err == nil {
			err = minted
		}
		if err != nil {
			return nil, fmt.Errorf("create space: %w", err)
		}
	}
	genesis := &space.Genesis{Stamp: stamp, Creator: c.identity, Module: options.Module, Params: options.Params}
	id := genesis.ID()
	signature, err := c.signGenesis(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("create space: %w", err)
	}
	finished := make(chan error, 1)
	err = c.call(ctx, func() {
		ref := c.ref(func(err error) { finished <- err })
		c.step(replica.Append{Ref: ref, Space: id, AppendedAt: wallClock(), Insert: &replica.SpaceInfo{
			Genesis: genesis, GenesisSignature: signature, Position: space.Start(id), Module: options.Module,
		}})
		c.open(id)
	})
	if err == nil {
		err = wait(ctx, finished)
	}
	if err != nil {
		return nil, fmt.Errorf("create space: %w", err)
	}
	return &Space{client: c, id: id}, nil
}

// Space returns a handle on the space with the given ID and begins to pull it, also where this replica has never seen
// it: the space is kept up to date until [Space.Close].
//
// Of the spaces of a replica, those are pulled that are open, in this client or in another one that shares the store;
// that are pinned, see [Space.Pin]; and that have transactions in the outbox. Of the others the replica knows that they
// are there and what they were made from, and what was pulled of them before stays and can be read: of ten thousand
// spaces those cost something that somebody looks at. A space that should be up to date offline, though nobody looked
// at it lately, is one to pin.
func (c *Client) Space(id space.ID) *Space {
	c.post(func() { c.open(id) })
	return &Space{client: c, id: id}
}

// open counts a handle.
func (c *Client) open(id space.ID) {
	if c.opened[id]++; c.opened[id] == 1 {
		c.step(replica.Open{Space: id, Ref: c.ref(func(err error) {
			if err != nil {
				delete(c.opened, id) // the store did not take it: the next handle tries again
			}
		})})
	}
}

// closed takes a handle off the count.
func (c *Client) closed(id space.ID) {
	switch c.opened[id] {
	case 0:
	case 1:
		delete(c.opened, id)
		c.step(replica.Close{Space: id})
	default:
		c.opened[id]--
	}
}

// Info returns what the replica knows of a space now, without opening it.
func (c *Client) Info(id space.ID) SpaceInfo {
	info := SpaceInfo{ID: id}
	c.call(context.Background(), func() { info = c.info(id) })
	return info
}

// Spaces returns every space of the replica, ascending by ID. A closed client has none.
func (c *Client) Spaces() []SpaceInfo {
	var infos []SpaceInfo
	c.call(context.Background(), func() {
		for _, id := range c.core.Spaces() {
			infos = append(infos, c.info(id))
		}
	})
	return infos
}

// LastTry makes the store's failures final: what it fails to take from now on fails for who appended it, instead of
// being tried again. Close does it too.
func (c *Client) LastTry() { c.post(func() { c.step(replica.Closing{}) }) }

// Close waits until what was appended is durable or has failed, or until ctx ends, and then stops the client.
// Receipts that are not synced fail with the code closed; their transactions stay in the store.
func (c *Client) Close(ctx context.Context) error {
	c.wake()
	drained := make(chan error, 1)
	err := c.call(ctx, func() {
		c.closing = true
		c.step(replica.Closing{})
		c.drained = append(c.drained, drained)
		c.drain()
	})
	if err == nil {
		err = wait(ctx, drained)
	}
	c.cancel()
	<-c.stopped
	c.work.Wait()
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}

// drain tells those who wait for it that nothing waits to become durable any more. The loop calls it after each step
// while the client closes; asking again and again would keep a browser from ever finishing the commit.
func (c *Client) drain() {
	if len(c.drained) > 0 && c.core.Status().Undurable == 0 {
		c.tellDrained(nil)
	}
}

func (c *Client) tellDrained(err error) {
	for _, done := range c.drained {
		done <- err
	}
	c.drained = nil
}

var errClosed error = &wire.CodeError{Code: wire.CodeClosed, Reason: "the client is closed"}

// post hands work to the loop and reports whether the loop will do it.
func (c *Client) post(job func()) bool {
	select {
	case c.jobs <- job:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// call runs job in the loop and waits for it.
func (c *Client) call(ctx context.Context, job func()) error {
	done := make(chan struct{})
	select {
	case c.jobs <- func() { job(); close(done) }:
	case <-c.ctx.Done():
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-c.stopped:
		return errClosed
	}
}

// wait returns what comes from result, or ctx's error.
func wait(ctx context.Context, result <-chan error) error {
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ref makes a reference that the core gives back when what it was made for is stored or has failed.
func (c *Client) ref(finished func(error)) uint64 {
	c.nextRef++
	if finished != nil {
		c.waiting[c.nextRef] = finished
	}
	return c.nextRef
}

// now is the core's clock: milliseconds that never step back and are never zero.
func (c *Client) now() uint64 { return uint64(time.Since(c.began)/time.Millisecond) + 1 }

// wallClock is the time that people see: milliseconds since 1970.
func wallClock() uint64 { return uint64(max(time.Now().UnixMilli(), 0)) }

// wall turns a time of the core's clock into one that people see; 0 stays 0.
func (c *Client) wall(at uint64) uint64 {
	if at == 0 {
		return 0
	}
	return wallClock() + at - c.now()
}

func (c *Client) log(line string) {
	if c.config.Log != nil {
		c.config.Log(line)
	}
}
