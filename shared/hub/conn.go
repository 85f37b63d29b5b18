package hub

import (
	"skerry/shared/space"
	"skerry/shared/wire"
)

// stage is how far a connection's handshake has come.
type stage int

const (
	fresh       stage = iota // nothing happened
	challenged               // waiting for hello
	proving                  // waiting for what its proofs come to
	registering              // waiting for the registry of sessions
	welcomed                 // everything is allowed
	over                     // closed
)

// Conn is the server half of one connection. See the package comment. It is not safe for concurrent use.
type Conn struct {
	config *Config
	caller *Caller
	stage  stage
	api    string

	nonce      [32]byte
	register   *Register // what the hello said, while its proofs are checked
	proven     []Proven
	refreshing uint64 // the ref of a newer proof that is being checked; 0: none is

	deadline uint64 // for the hello; 0 once it came
	heard    uint64 // when bytes came last

	pushed     map[space.ID]struct{} // where pushes went
	absent     map[space.ID]struct{} // of those, what does not exist
	unanswered uint64                // bytes of pushes without verdicts
	unsent     int                   // bytes that the transport has not taken

	credit    int64
	cursors   map[space.ID]*cursor
	refs      uint64
	live      ring                  // cursors that were at the head once and have something to read
	backlog   ring                  // others that have
	reading   bool                  // a read of events, a page or a blob is under way: there is never more than one
	requests  []any                 // *wire.Fetch and *ReadBlob that wait for credit, in order
	requested bool                  // the last read was for a request: the next turn is a subscription's
	upload    *upload               // what is being uploaded
	pace      wire.Pace             // of the client's ephemerals
	listing   int                   // directory requests under way
	locating  int                   // locates without an answer
	directory map[space.ID]struct{} // the spaces that the client has a row of

	out ConnEffects
}

// NewConn returns the server half of a connection from address. Its first input is [Begin] or [Enter]. config is a
// [Config.Complete].
func NewConn(config *Config, id ConnID, address string) *Conn {
	return &Conn{
		config: config, caller: &Caller{Conn: id, Address: address},
		pushed: make(map[space.ID]struct{}), cursors: make(map[space.ID]*cursor), directory: make(map[space.ID]struct{}),
	}
}

// Caller returns who is behind the connection. It is complete, and does not change, once Register was asked for, or [Enter] came.
func (c *Conn) Caller() *Caller { return c.caller }

// Step takes one input and returns what to do. now is in milliseconds since 1970 and need not rise.
func (c *Conn) Step(now uint64, in ConnInput) ConnEffects {
	o := &c.out
	clear(o.Send)
	*o = ConnEffects{
		Watch: o.Watch[:0], Unwatch: o.Unwatch[:0], Send: o.Send[:0], Directory: o.Directory[:0],
		Push: o.Push[:0], Check: o.Check[:0], Ahead: o.Ahead[:0], Relay: o.Relay[:0], Tails: o.Tails[:0], Locate: o.Locate[:0],
	}
	if c.stage == over {
		return *o
	}
	c.step(now, in)
	if c.stage == welcomed {
		c.schedule()
	}
	if c.stage != over {
		o.WakeAt = c.wakeAt()
	}
	return *o
}

func (c *Conn) step(now uint64, in ConnInput) {
	switch in := in.(type) {
	case Begin:
		c.begin(now, in.Nonce)
	case Enter:
		c.enter(now, in.Identities)
	case Received:
		c.heard = max(c.heard, now)
		c.receive(now, in)
	case Alive:
		c.heard = max(c.heard, now)
	case Malformed:
		code := wire.CodeOf(in.Err)
		if code == wire.CodeUnknown {
			code = wire.CodeBadFrame
		}
		c.fail(code, reasonOf(in.Err))
	case Fail:
		c.fail(in.Code, in.Reason)
	case Shutdown:
		c.send(&wire.Bye{Code: wire.CodeShutdown, RetryAfterMS: in.RetryAfterMS})
		c.close(wire.CodeShutdown)
	case Gone:
		c.close(wire.CodeUnknown)
	case Proved:
		c.proved(in)
	case Registered:
		c.registered(in)
	case Verdicts:
		c.unanswered -= min(c.unanswered, uint64(in.Reply.Size))
		c.send(in.Reply.Pushed)
		c.countAbsent(in.Reply.Pushed)
	case Taken:
		c.taken(in)
	case Located:
		c.located(in)
	case Woken:
		c.woken(in)
	case Checked:
		c.checked(in)
	case Left:
		c.left(in)
	case Kept:
		c.kept(in)
	case EventsRead:
		c.eventsRead(in)
	case PageRead:
		c.pageRead(in)
	case BlobRead:
		c.blobRead(in)
	case BlobStored:
		c.blobStored(in)
	case Relayed:
		c.relayed(in)
	case DirectoryRead:
		c.directoryRead(in)
	case SpacesChanged:
		if c.stage == welcomed {
			c.sendRows(&wire.Spaces{Rows: in.Rows, Since: in.Since})
		}
	case Written:
		c.unsent -= min(c.unsent, in.Bytes)
	case Tick:
		c.tick(now)
	}
}

func reasonOf(err error) string {
	if coded, ok := err.(*wire.CodeError); ok {
		return coded.Reason
	}
	return ""
}

// countAbsent bounds how many spaces a client pushes to that do not exist: each is kept in memory as long as the connection is, since its
// pushes have an order.
func (c *Conn) countAbsent(p *wire.Pushed) {
	absent := p.Genesis != nil && p.Genesis.Kind != wire.Accepted && p.Genesis.Kind != wire.Duplicate ||
		p.Genesis == nil && len(p.Verdicts) > 0 && p.Verdicts[0].Code == wire.CodeUnknownSpace
	if !absent {
		delete(c.absent, p.Space)
		return
	}
	if c.absent == nil {
		c.absent = map[space.ID]struct{}{}
	}
	if c.absent[p.Space] = struct{}{}; len(c.absent) > wire.MaxAbsent && c.stage != over {
		c.fail(wire.CodeTooMany, "too many spaces at once that the server does not have; create them as fast as you are told to")
	}
}

// wakeAt returns when silence has lasted too long.
func (c *Conn) wakeAt() uint64 {
	if c.stage == fresh {
		return 0
	}
	at := c.heard + c.config.IdleTimeout
	if c.deadline != 0 {
		at = min(at, c.deadline)
	}
	if ends := c.expires(); ends != 0 {
		at = min(at, ends)
	}
	return at
}

func (c *Conn) tick(now uint64) {
	switch {
	case c.stage == fresh:
	case c.deadline != 0 && now >= c.deadline:
		c.fail(wire.CodeIdle, "no hello within the time for the handshake")
	case c.expires() != 0 && now >= c.expires():
		c.fail(wire.CodeAuthExpired, "the credentials have expired and were not refreshed")
	case now >= c.heard+c.config.IdleTimeout:
		c.fail(wire.CodeIdle, "nothing came for too long")
	}
}

// send encodes one frame and gives it to the transport. What a client can make a server say without reading any
// of it is bounded here.
func (c *Conn) send(f wire.Frame) { c.sendMessage(wire.Append(nil, f)) }

func (c *Conn) sendMessage(message []byte) {
	if c.stage == over {
		return
	}
	c.out.Send = append(c.out.Send, message)
	if c.unsent += len(message); c.unsent > c.config.Unsent {
		c.close(wire.CodeSlowReader) // an error frame would wait behind all the rest
	}
}

func (c *Conn) refuse(ref uint64, code wire.Code, reason string) {
	c.send(&wire.Refused{Ref: ref, Code: code, Reason: wire.Reason(reason)})
}

// fail tells why and closes.
func (c *Conn) fail(code wire.Code, reason string) {
	c.send(&wire.Error{Code: code, Reason: wire.Reason(reason)})
	c.close(code)
}

// close ends everything that the connection has anywhere.
func (c *Conn) close(code wire.Code) {
	if c.stage == over {
		return
	}
	c.stage = over
	c.out.Close, c.out.Code = true, code
	c.out.Leave = make([]space.ID, 0, len(c.pushed))
	for id := range c.pushed {
		c.out.Leave = append(c.out.Leave, id)
	}
	sortIDs(c.out.Leave)
	for id := range c.cursors {
		c.out.Unwatch = append(c.out.Unwatch, id)
	}
	sortIDs(c.out.Unwatch)
	c.out.Watch = c.out.Watch[:0]
	c.cursors, c.pushed, c.directory, c.requests = nil, nil, nil, nil
	c.upload = nil
	c.live, c.backlog = ring{}, ring{}
}
