package hub

import (
	"fmt"

	"skerry/shared/wire"
)

// receive handles one message of the client.
func (c *Conn) receive(now uint64, in Received) {
	if uint64(in.Size) > c.config.Limits.Message {
		c.fail(wire.CodeMessageTooBig, fmt.Sprintf("a message of %d bytes, at most %d", in.Size, c.config.Limits.Message))
		return
	}
	if _, ping := in.Frame.(*wire.Ping); ping && c.stage != fresh {
		c.send(&wire.Pong{})
		return
	}
	if hello, ok := in.Frame.(*wire.Hello); ok && c.stage == challenged {
		c.hello(hello)
		return
	}
	if c.stage != welcomed {
		c.fail(wire.CodeBadFrame, "out of order in the handshake")
		return
	}
	if ref, asks := refOf(in.Frame); asks && ref == 0 {
		c.fail(wire.CodeBadFrame, fmt.Sprintf("frame %d with ref 0, which names no request", in.Frame.Number()))
		return
	}
	switch f := in.Frame.(type) {
	case *wire.Push:
		c.push(f, in.Size)
	case *wire.Subscribe:
		c.subscribe(f)
	case *wire.Unsubscribe:
		c.unsubscribe(f)
	case *wire.Directory:
		c.list(f)
	case *wire.Fetch:
		c.request(f.Ref, f)
	case *wire.Blob:
		c.request(f.Ref, &ReadBlob{Ref: f.Ref, Digest: f.Digest, Offset: f.Offset, MaxBytes: c.config.ReadBytes})
	case *wire.Credit:
		c.addCredit(f.Bytes)
	case *wire.BlobPut:
		c.blobPut(f)
	case *wire.AuthRefresh:
		c.refresh(f)
	case *wire.Locate:
		c.locate(f)
	case *wire.Adopt:
		c.adopt(f, in.Size)
	case *wire.Reclaim:
		c.reclaim(f, in.Size)
	case *wire.Ephemeral:
		c.ephemeral(now, f)
	default:
		c.fail(wire.CodeBadFrame, fmt.Sprintf("frame %d is not for a client to send now", in.Frame.Number()))
	}
}

// refOf returns the ref of a frame that asks for an answer. Zero is none: an answer to it could not be told from what the
// server sends unasked.
func refOf(frame wire.Frame) (ref uint64, asks bool) {
	switch f := frame.(type) {
	case *wire.Directory:
		return f.Ref, true
	case *wire.Fetch:
		return f.Ref, true
	case *wire.Blob:
		return f.Ref, true
	case *wire.BlobPut:
		return f.Ref, true
	case *wire.AuthRefresh:
		return f.Ref, true
	case *wire.Locate:
		return f.Ref, true
	case *wire.Adopt:
		return f.Ref, true
	case *wire.Reclaim:
		return f.Ref, true
	}
	return 0, false
}

// push routes a push to its space. The window bounds what a connection can make the server hold.
func (c *Conn) push(p *wire.Push, size int) {
	switch {
	case c.overWindow(size):
		return
	case len(p.Transactions) == 0 && p.Genesis == nil:
		c.fail(wire.CodeBadFrame, "a push without transactions has a genesis")
		return
	case len(p.Transactions) > wire.MaxTransactions:
		c.fail(wire.CodeTooMany, fmt.Sprintf("%d transactions in a push, at most %d", len(p.Transactions), wire.MaxTransactions))
		return
	}
	if _, known := c.pushed[p.Space]; !known && uint64(len(c.pushed)) >= c.config.Limits.Subscriptions {
		c.fail(wire.CodeTooMany, fmt.Sprintf("pushes to more than %d spaces", c.config.Limits.Subscriptions))
		return
	}
	c.unanswered += uint64(size)
	c.pushed[p.Space] = struct{}{}
	c.out.Push = append(c.out.Push, Offer{Caller: c.caller, Push: p, Size: size})
}

// overWindow closes the connection, and says so, if a message would take what waits for an answer over the limit.
func (c *Conn) overWindow(size int) bool {
	if c.unanswered+uint64(size) <= c.config.Limits.PushWindow {
		return false
	}
	c.fail(wire.CodeWindowExceeded,
		fmt.Sprintf("%d bytes of pushes unanswered, at most %d", c.unanswered+uint64(size), c.config.Limits.PushWindow))
	return true
}

// maxCredit keeps sums of credit far from overflow.
const maxCredit = 1 << 50

func (c *Conn) addCredit(bytes uint64) {
	c.credit = min(c.credit+int64(min(bytes, maxCredit)), maxCredit)
}
