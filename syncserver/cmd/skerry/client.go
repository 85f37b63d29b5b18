package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"skerry/shared/wire"
)

// answerTime is how long a command waits for each answer of the server.
const answerTime = 30 * time.Second

// client is one connection for one question: it keeps nothing and never reconnects.
type client struct {
	signer
	socket  *websocket.Conn
	joiner  wire.Joiner
	welcome *wire.Welcome
}

// dial connects to the server and shakes hands. credit pays for the records that the command asks for.
func (p *place) dial(ctx context.Context, credit uint64) (*client, error) {
	address, err := syncURL(p.url)
	if err != nil {
		return nil, err
	}
	who, err := p.who.signer()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("connect to %s: nothing listens there; start a server by skerry serve, or name another by --url", address)
		}
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	socket.SetReadLimit(wire.MaxServerMessage)
	c := &client{signer: who, socket: socket, joiner: wire.Joiner{Limit: wire.MaxServerMessage}}
	if err := c.handshake(ctx, address, credit); err != nil {
		socket.CloseNow()
		return nil, err
	}
	return c, nil
}

// syncURL returns where the protocol is spoken on a server that a user named.
func syncURL(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return "", usagef("--url wants something like http://127.0.0.1:8080, not %q", server)
	}
	switch u.Scheme {
	case "http", "https", "ws", "wss":
	default:
		return "", usagef("--url wants http or https, not %q", u.Scheme)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/sync"
	}
	return u.String(), nil
}

func (c *client) handshake(ctx context.Context, address string, credit uint64) error {
	challenge, err := expect[*wire.Challenge](ctx, c)
	if err != nil {
		return err
	}
	ours, theirs := wire.APIRange{}.OrBuild(), wire.APIRange{Low: challenge.APILow, High: challenge.APIHigh}
	api, outdated := ours.Common(theirs)
	if api == "" {
		update := "the server"
		if outdated {
			update = "this program"
		}
		return wire.Errorf(wire.CodeAPIUnsupported, "the server speaks api %v, this program %v: %s is to be updated", theirs, ours, update)
	}
	hello := &wire.Hello{API: api, ClientVersion: "skerry-cli", Credit: credit}
	rand.Read(hello.ConnectionID[:])
	rand.Read(hello.Session[:])
	hello.Proofs = c.proofs(challenge, address)
	if err := c.send(ctx, hello); err != nil {
		return err
	}
	welcome, err := expect[*wire.Welcome](ctx, c)
	c.welcome = welcome
	return err
}

func (c *client) close() { c.socket.Close(websocket.StatusNormalClosure, "") }

func (c *client) send(ctx context.Context, frame wire.Frame) error {
	for _, piece := range wire.Split(wire.Append(nil, frame), 64<<10) {
		if err := c.socket.Write(ctx, websocket.MessageBinary, piece); err != nil {
			return fmt.Errorf("send to the server: %w", err)
		}
	}
	return nil
}

// receive returns the next frame. Frames that end the connection are errors.
func (c *client) receive(ctx context.Context) (wire.Frame, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for {
		_, piece, err := c.socket.Read(ctx)
		if err != nil {
			return nil, fmt.Errorf("wait for the server: %w", err)
		}
		message, err := c.joiner.Add(piece)
		if err != nil {
			return nil, err
		}
		if message == nil {
			continue
		}
		frame, err := wire.Decode(message)
		if err != nil {
			return nil, err
		}
		switch f := frame.(type) {
		case *wire.Error:
			return nil, &wire.CodeError{Code: f.Code, Reason: f.Reason}
		case *wire.Refused:
			return nil, &wire.CodeError{Code: f.Code, Reason: f.Reason}
		case *wire.Bye:
			return nil, wire.Errorf(f.Code, "the server stops; try again in %d ms", f.RetryAfterMS)
		}
		return frame, nil
	}
}

// expect returns the next frame of one kind and passes over others.
func expect[F wire.Frame](ctx context.Context, c *client) (F, error) {
	for {
		frame, err := c.receive(ctx)
		if err != nil {
			var none F
			return none, err
		}
		if f, ok := frame.(F); ok {
			return f, nil
		}
	}
}

// push sends one push and returns its verdicts.
func (c *client) push(ctx context.Context, push *wire.Push) (*wire.Pushed, error) {
	push.N = 1
	if err := c.send(ctx, push); err != nil {
		return nil, err
	}
	return expect[*wire.Pushed](ctx, c)
}

// refusal returns the error that a verdict is, nil if it is none.
func refusal(v *wire.Verdict) error {
	switch {
	case v == nil:
		return errors.New("the server gave no verdict")
	case v.Kind == wire.Accepted || v.Kind == wire.Duplicate:
		return nil
	case v.RetryAfterMS > 0:
		return fmt.Errorf("%w; try again in %v", &wire.CodeError{Code: v.Code, Reason: v.Reason}, time.Duration(v.RetryAfterMS)*time.Millisecond)
	}
	return &wire.CodeError{Code: v.Code, Reason: v.Reason}
}
