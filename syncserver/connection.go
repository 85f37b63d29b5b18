package syncserver

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"
	"go.opentelemetry.io/otel/trace"

	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// A connection's reader rests while more than this waits to be written, so that a client that only sends cannot make
// the server queue its answers without end.
const outRoom = 1 << 20

// transport carries a connection's messages to its client: a WebSocket, or an answer over plain HTTP.
type transport interface {
	Write(ctx context.Context, kind websocket.MessageType, message []byte) error
	Close(code websocket.StatusCode, reason string) error // after what was written
	CloseNow() error
}

// connection is one socket: a thin shell around hub.Conn. A goroutine reads for as long as the socket lives; one
// that writes exists while there is something to write. Everybody else (spaces, reads that finished, timers) only
// calls step, which never waits for anything but other steps.
type connection struct {
	server *Server
	socket transport
	hosts  []string // by which it may have been dialled
	id     hub.ConnID
	left   chan struct{} // closed when nothing of it is left in any space

	mu       sync.Mutex
	hub      *hub.Conn
	inbox    []hub.ConnInput // what happened during a step
	stepping bool
	over     bool // the hub closed it, or failed
	code     wire.Code

	out      [][]byte // whole messages to write
	outBytes int
	room     sync.Cond                 // out became shorter, or over
	writing  bool                      // the writer exists
	closed   bool                      // the socket was told to close
	owed     map[pushKey]time.Duration // what the pushes under way were charged, of what is unsettled
	resting  time.Duration             // by elapsed time: until then the reader rests, since too much of its address is refused
	rested   *time.Timer               // wakes it

	timer  *time.Timer
	wakeAt uint64

	identities []string // proven; not changed once a space is watched
	devices    []string // by which it acts as somebody, see [Server.actsBy]
	clients    []Client // what is written down of it while it lasts, without the claims
	watching   map[space.ID]*hotSpace
	pushed     map[space.ID]struct{} // where pushes went to
	leaving    map[space.ID]struct{} // where something of it may be left, once over
	entering   bool                  // the policy is being asked
	entered    bool                  // it let the connection in, which is written down
	renewals   []hub.Proven          // newer credentials, the first of which is being looked at
	unwritten  bool                  // it did, and the log was full
	claims     [][]byte              // of clients, until they are written down

	handshake trace.Span             // until the welcome; nil without traces
	spans     map[pushKey]trace.Span // of pushes without a verdict

	// What the registry of sessions knows it by; guarded by Server.mu.
	session     sessionKey
	name        wire.ConnectionID
	epoch       uint64
	predecessor *connection

	rows directoryReader
}

// step gives the hub one input and does what it asks for.
func (c *connection) step(in hub.ConnInput) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stepLocked(in)
}

func (c *connection) stepLocked(in hub.ConnInput) {
	c.inbox = append(c.inbox, in)
	if c.stepping {
		return
	}
	c.stepping = true
	defer func() {
		c.stepping = false
		if failure := recover(); failure != nil {
			c.inbox = nil
			c.panicked(failure)
			c.overLocked(wire.CodeInternal, nil)
		}
	}()
	for i := 0; i < len(c.inbox); i++ {
		in := c.inbox[i]
		c.inbox[i] = nil
		if !c.over {
			effects := c.hub.Step(c.server.elapsed(), in)
			c.applyLocked(&effects)
			if in, ok := in.(hub.Registered); ok {
				c.helloLocked(in.Code)
			}
		}
	}
	c.inbox = c.inbox[:0]
}

// proven returns the identities of a connection that watches something.
func (c *connection) proven() []string { return c.hub.Caller().Identities }

func (c *connection) panicked(failure any) {
	c.server.panicked("in a connection, which is closed", failure, "connection", c.id)
}

// spawn runs f beside the connection. If it panics, the connection is closed.
func (c *connection) spawn(f func()) bool {
	return c.server.spawn(func() {
		defer func() {
			if failure := recover(); failure != nil {
				c.panicked(failure)
				c.step(hub.Fail{Code: wire.CodeInternal, Reason: "the server failed"})
			}
		}()
		f()
	})
}

// applyLocked does what a step asked for. Nothing in it waits.
func (c *connection) applyLocked(effects *hub.ConnEffects) {
	s := c.server
	for _, id := range effects.Watch {
		if c.watching == nil {
			c.watching = map[space.ID]*hotSpace{}
		}
		c.watching[id] = s.watch(id, c)
	}
	for _, id := range effects.Unwatch {
		c.unwatchLocked(id)
	}
	for _, message := range effects.Send {
		c.sendLocked(message)
	}
	if effects.Prove != nil {
		s.prove(c, effects.Prove)
	}
	if effects.Renewed != nil {
		s.renewedLocked(c, effects.Renewed)
	}
	if effects.Register != nil {
		c.identities = effects.Register.Identities
		s.register(c, effects.Register)
	}
	for _, request := range effects.Directory {
		c.rows.requestLocked(c, request)
	}
	for _, offer := range effects.Push {
		if c.pushed == nil {
			c.pushed = map[space.ID]struct{}{}
		}
		c.pushed[offer.Push.Space] = struct{}{}
		c.oweLocked(offer.Push)
		c.beginPushLocked(offer.Push)
		s.post(offer.Push.Space, offer)
	}
	for _, check := range effects.Check {
		s.check(c, check)
	}
	for _, ahead := range effects.Ahead {
		s.post(ahead.Space, hub.Ahead{Position: ahead.Position})
	}
	for _, t := range effects.Tails {
		s.bring(c, t)
	}
	for _, f := range effects.Locate {
		s.locate(c, f)
	}
	if effects.Read != nil {
		s.readEvents(c, *effects.Read)
	}
	if effects.Page != nil {
		s.readPage(c, effects.Page)
	}
	if effects.Blob != nil {
		s.readBlob(c, *effects.Blob)
	}
	if effects.Store != nil {
		s.storeBlob(c, *effects.Store)
	}
	for _, relayed := range effects.Relay {
		s.relay(c, relayed)
	}
	if effects.Lost {
		s.metrics.ephemeralsLost.Inc()
	}
	if effects.Close {
		c.overLocked(effects.Code, effects.Leave)
		return
	}
	if effects.WakeAt != 0 {
		c.wakeLocked(effects.WakeAt)
	}
}

func (c *connection) unwatchLocked(id space.ID) {
	if h := c.watching[id]; h != nil {
		delete(c.watching, id)
		h.unwatch(c)
	}
}

// wakeLocked sees that a tick comes at a time, at the latest.
func (c *connection) wakeLocked(at uint64) {
	if c.wakeAt != 0 && c.wakeAt <= at {
		return
	}
	c.wakeAt = at
	wait := time.Duration(max(int64(at-c.server.elapsed()), 1)) * time.Millisecond
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, c.tick)
	} else {
		c.timer.Reset(wait)
	}
}

func (c *connection) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wakeAt = 0
	c.stepLocked(hub.Tick{})
}

// sendLocked queues a message and sees that there is a writer.
func (c *connection) sendLocked(message []byte) {
	c.out = append(c.out, message)
	c.outBytes += len(message)
	c.kickLocked()
}

func (c *connection) kickLocked() {
	if c.writing || c.closed {
		return
	}
	c.writing = c.server.spawn(c.write)
}

// overLocked ends the connection: what is queued is written, then the socket is closed. Every space that pushes
// went to is told, and says when nothing is left there.
func (c *connection) overLocked(code wire.Code, leave []space.ID) {
	if c.over {
		return
	}
	c.over, c.code = true, code
	why := "gone" // the client closed it, or its network did
	if code != wire.CodeUnknown {
		why = code.String()
	}
	c.endSpansLocked(code)
	c.server.metrics.closed.WithLabelValues(why).Inc()
	c.server.logger.Debug("connection ends", "connection", c.id, "code", why)
	for _, timer := range []*time.Timer{c.timer, c.rested} {
		if timer != nil {
			timer.Stop()
		}
	}
	for id := range c.watching {
		c.unwatchLocked(id)
	}
	c.leaving = c.pushed
	c.pushed = nil
	for _, id := range leave {
		if c.leaving == nil {
			c.leaving = map[space.ID]struct{}{}
		}
		c.leaving[id] = struct{}{}
	}
	if len(c.leaving) == 0 && !c.entering {
		c.goneLocked()
	}
	for id := range c.leaving {
		c.server.post(id, hub.Disconnected{Conn: c.id})
	}
	c.room.Broadcast()
	c.kickLocked()
}

// finishedIn tells that nothing of the connection is left in a space.
func (c *connection) finishedIn(id space.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.leaving[id]; !c.over || !ok {
		return
	}
	if delete(c.leaving, id); len(c.leaving) == 0 && !c.entering {
		c.goneLocked()
	}
}

func (c *connection) goneLocked() {
	if c.entered {
		c.server.leave(c.clients)
	}
	close(c.left)
	c.server.forget(c)
}

// abort closes the socket at once.
func (c *connection) abort() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.socket.CloseNow()
}

// leave ends a connection whose client is gone.
func (c *connection) leave() {
	c.step(hub.Gone{})
	c.abort()
	c.server.metrics.connections.Dec()
}

// read takes messages from the socket until it is closed.
func (c *connection) read(socket *websocket.Conn) {
	s := c.server
	defer c.leave()
	defer func() {
		if failure := recover(); failure != nil {
			c.panicked(failure)
			c.step(hub.Fail{Code: wire.CodeInternal, Reason: "the server failed"})
		}
	}()
	joiner := wire.Joiner{Limit: int(s.config.Limits.Message)}
	for {
		kind, r, err := socket.Reader(context.Background())
		if err != nil {
			return
		}
		if !c.waitForRoom() { // the connection is over: only the end of the socket is of interest
			if _, err := io.Copy(io.Discard, r); err != nil {
				return
			}
			continue
		}
		piece, err := readPiece(r, joiner.Limit)
		s.metrics.received.Add(float64(len(piece)))
		if err != nil && wire.CodeOf(err) == wire.CodeUnknown {
			return
		}
		if err == nil && kind != websocket.MessageBinary {
			err = wire.Errorf(wire.CodeBadFrame, "messages are binary")
		}
		var message []byte
		if err == nil {
			message, err = joiner.Add(piece)
		}
		var frame wire.Frame
		if err == nil && message != nil {
			frame, err = wire.Decode(message)
		}
		switch {
		case err != nil:
			c.step(hub.Malformed{Err: err})
			io.Copy(io.Discard, r) // the rest of it, if there is any
		case message == nil:
			c.step(hub.Alive{})
		default:
			c.step(hub.Received{Frame: frame, Size: len(message)})
		}
	}
}

// readPiece reads one WebSocket message into memory of its own. More than limit bytes are message_too_big.
func readPiece(r io.Reader, limit int) ([]byte, error) {
	piece := make([]byte, 0, 512)
	for {
		n, err := r.Read(piece[len(piece):cap(piece)])
		piece = piece[:len(piece)+n]
		if err == io.EOF {
			return piece, nil
		}
		if err != nil {
			return nil, err
		}
		if len(piece) > limit {
			return piece, wire.Errorf(wire.CodeMessageTooBig, "a message is over the limit of %d bytes", limit)
		}
		if len(piece) == cap(piece) {
			piece = slices.Grow(piece, len(piece))
		}
	}
}

// restLocked has the reader rest before it takes the next message.
func (c *connection) restLocked(rest time.Duration) {
	if c.resting = 0; rest == 0 {
		return
	}
	c.resting = time.Since(c.server.start) + rest
	if c.rested == nil {
		c.rested = time.AfterFunc(rest, func() {
			c.mu.Lock() // else it could come between the reader's look and its wait, and wake nobody
			defer c.mu.Unlock()
			c.room.Broadcast()
		})
	} else {
		c.rested.Reset(rest)
	}
}

// oweLocked charges a push, which may be refused, and has the reader rest if too much is owed.
func (c *connection) oweLocked(p *wire.Push) {
	if c.owed == nil {
		c.owed = map[pushKey]time.Duration{}
	}
	t := c.server.unsettled(c.hub.Caller().Address, p.Genesis != nil, len(p.Transactions))
	charged, rest := c.server.meter.owe(time.Now(), t)
	c.owed[pushKey{p.Space, p.N}] = charged
	c.restLocked(rest)
}

// answered tells of the answer to a push. One that was taken as a whole is not what the reader is to rest for.
func (c *connection) answered(p *wire.Pushed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := pushKey{p.Space, p.N}
	charged := c.owed[key]
	delete(c.owed, key)
	if !settled(p) {
		return
	}
	c.server.meter.forgive(meterKey{addressUnsettled, c.hub.Caller().Address}, charged)
	if c.resting > 0 {
		c.resting = 0
		c.room.Broadcast()
	}
}

// waitForRoom waits until the queue to the client is short and it need not rest, and reports whether the connection goes on.
func (c *connection) waitForRoom() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for (c.outBytes > outRoom || c.resting > time.Since(c.server.start)) && !c.over {
		c.room.Wait()
	}
	return !c.over
}

// write writes what is queued. When there is nothing more it ends, and closes the socket if the connection is over.
func (c *connection) write() {
	defer func() {
		if failure := recover(); failure != nil {
			c.panicked(failure)
			c.abort()
		}
	}()
	for {
		c.mu.Lock()
		if len(c.out) == 0 || c.closed {
			c.writing = false
			c.out = nil
			closing := c.over && !c.closed
			c.closed = c.closed || closing
			code := c.code
			c.rows.kickLocked(c)
			c.mu.Unlock()
			if closing {
				c.socket.Close(closeStatus(code), code.String())
			}
			return
		}
		message := c.out[0]
		c.out[0] = nil
		c.out = c.out[1:]
		c.mu.Unlock()

		err := c.writeMessage(message)

		c.mu.Lock()
		c.outBytes -= len(message)
		c.room.Broadcast()
		if err != nil {
			c.closed = true
			if errors.Is(err, context.DeadlineExceeded) {
				c.overLocked(wire.CodeSlowReader, nil)
			}
		} else if !c.over {
			c.stepLocked(hub.Written{Bytes: len(message)})
		}
		c.mu.Unlock()
		if err != nil {
			c.socket.CloseNow()
		}
	}
}

// partOverhead is more than a part's frame takes beside its bytes.
const partOverhead = 16

// writeMessage writes a message, in parts if it is bigger than a frame.
func (c *connection) writeMessage(message []byte) error {
	c.server.metrics.sent.Add(float64(len(message)))
	limit := int(c.server.config.Limits.Frame)
	if len(message) <= limit {
		return c.writePiece(message)
	}
	var part []byte
	for rest := message; len(rest) > 0; {
		n := min(limit-partOverhead, len(rest))
		part = wire.Append(part[:0], &wire.Part{Total: uint64(len(message)), Bytes: rest[:n]})
		if err := c.writePiece(part); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

func (c *connection) writePiece(piece []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.server.config.WriteTimeout)
	defer cancel()
	err := c.socket.Write(ctx, websocket.MessageBinary, piece)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// closeStatus returns the WebSocket status that goes with a code, for whoever does not read frames.
func closeStatus(code wire.Code) websocket.StatusCode {
	switch code {
	case wire.CodeUnknown:
		return websocket.StatusNormalClosure
	case wire.CodeShutdown:
		return websocket.StatusServiceRestart
	case wire.CodeTooMany, wire.CodeOverloaded:
		return websocket.StatusTryAgainLater
	case wire.CodeInternal, wire.CodeConnectFailed:
		return websocket.StatusInternalError
	case wire.CodeMessageTooBig:
		return websocket.StatusMessageTooBig
	}
	return websocket.StatusPolicyViolation
}
