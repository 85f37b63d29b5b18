package syncserver

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/coder/websocket"

	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// feedCredit is how many bytes of a space may be on their way to somebody who follows it over plain HTTP.
const feedCredit = 256 << 10

// feed is the transport of a connection whose client speaks plain HTTP. What the hub sends is handed, frame by frame, to the
// goroutine that answers the request. So whoever reads over HTTP is a subscriber like any other: the same rules say what they may
// read and when that ends, and the same credit keeps one that is slow from costing anything.
type feed struct {
	frames chan fed
	gone   chan struct{}
	once   sync.Once
	joiner wire.Joiner // the writer's own
}

// fed is a frame and the size of its message.
type fed struct {
	frame wire.Frame
	size  int
}

// Write implements transport.
func (f *feed) Write(ctx context.Context, _ websocket.MessageType, piece []byte) error {
	message, err := f.joiner.Add(piece)
	if err != nil || message == nil {
		return err
	}
	frame, err := wire.Decode(message)
	if err != nil {
		return err
	}
	select {
	case f.frames <- fed{frame, len(message)}:
		return nil
	case <-f.gone:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close implements transport.
func (f *feed) Close(websocket.StatusCode, string) error { return f.CloseNow() }

// CloseNow implements transport.
func (f *feed) CloseNow() error {
	f.once.Do(func() { close(f.gone) })
	return nil
}

// reader is somebody who reads a space over HTTP.
type reader struct {
	*caller
	address string
	space   space.ID
	after   space.Position
}

// errStopping tells that the server stops.
var errStopping = wire.Errorf(wire.CodeShutdown, "the server is stopping")

// follow subscribes to a space and calls take with every frame, until it returns false or an error, or ctx ends. It calls pulse every
// so often, and ends with its error. Both are called by this goroutine alone.
func (s *Server) follow(ctx context.Context, r *reader, take func(wire.Frame) (bool, error), pulse func() error) error {
	f := &feed{frames: make(chan fed), gone: make(chan struct{}), joiner: wire.Joiner{Limit: wire.MaxServerMessage}}
	c := s.connect(f, r.address)
	if c == nil {
		return errStopping
	}
	defer c.leave()
	c.mu.Lock()
	c.identities = r.identities
	c.mu.Unlock()
	if err := s.actsBy(ctx, c, r.proven); err != nil {
		return err
	}
	c.step(hub.Enter{Identities: r.identities})
	c.step(hub.Received{Frame: &wire.Credit{Bytes: feedCredit}})
	c.step(hub.Received{Frame: &wire.Subscribe{Subscriptions: []wire.Subscription{{Space: r.space, Position: r.after}}}})
	beat := time.NewTicker(min(20*time.Second, s.config.IdleTimeout/3))
	defer beat.Stop()
	var expired <-chan time.Time
	if r.expires != 0 {
		end := time.NewTimer(time.UnixMilli(int64(r.expires)).Sub(s.config.Now()))
		defer end.Stop()
		expired = end.C
	}
	var out <-chan struct{}
	if !r.token.IsZero() {
		var done func()
		out, done = s.tokens.follow(r.token)
		defer done()
	}
	for {
		select {
		case <-out:
			return errLoggedOut
		case in := <-f.frames:
			more, err := take(in.frame)
			if err != nil || !more {
				return err
			}
			if _, paid := in.frame.(*wire.Events); paid {
				c.step(hub.Received{Frame: &wire.Credit{Bytes: uint64(in.size)}})
			}
		case <-beat.C:
			if err := pulse(); err != nil {
				return err
			}
			c.step(hub.Alive{})
		case <-expired:
			return wire.Errorf(wire.CodeAuthExpired, "the token has expired")
		case <-f.gone:
			return errStopping
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
