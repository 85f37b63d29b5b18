package jsconn

import (
	"context"
	"errors"
	"strconv"
	"syscall/js"
	"time"
)

const (
	// maxUnread bounds what a server can make a page hold unread: a few of the biggest messages that a server may
	// send in parts.
	maxUnread = 48 << 20
	// maxBuffered is how much the browser may hold unsent before Write waits.
	maxBuffered = 1 << 20
	// sendBuffer is the largest message for which the connection keeps one buffer on the JavaScript side.
	sendBuffer = 64 << 10
	// maxCloseReason is the browser's limit.
	maxCloseReason = 123
)

// A CloseError tells how the connection ended. Code is the WebSocket close code; 1006 stands for a connection that
// was cut or never came to be.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	text := "websocket closed with code " + strconv.Itoa(e.Code)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// CloseCode returns the WebSocket close code, for callers that know no more of the error than this method.
func (e *CloseError) CloseCode() int { return e.Code }

var errTooMuchUnread = errors.New("websocket closed: too much was received and not read")

// Conn is one open WebSocket.
type Conn struct {
	socket js.Value
	opened chan struct{} // closed when the socket opened
	ended  chan struct{} // closed when the socket closed, after err was set
	err    error
	arrive chan struct{} // has a token when unread may have grown
	unread [][]byte
	bytes  int      // in unread
	buffer js.Value // a Uint8Array that messages are copied to before they are sent; undefined until needed
	funcs  []func() // detach and release the socket's listeners
}

// Dial opens a WebSocket to url (ws: or wss:) with one subprotocol and waits until it is open.
func Dial(ctx context.Context, url, subprotocol string) (*Conn, error) {
	socket, err := newSocket(url, subprotocol)
	if err != nil {
		return nil, err
	}
	c := &Conn{
		socket: socket,
		opened: make(chan struct{}), ended: make(chan struct{}), arrive: make(chan struct{}, 1),
	}
	socket.Set("binaryType", "arraybuffer")
	c.listen("onopen", func(js.Value) { close(c.opened) })
	c.listen("onmessage", c.received)
	c.listen("onclose", func(event js.Value) {
		c.end(&CloseError{Code: event.Get("code").Int(), Reason: event.Get("reason").String()})
	})
	select {
	case <-c.opened:
		return c, nil
	case <-c.ended:
		return nil, c.err
	case <-ctx.Done():
		c.end(ctx.Err())
		return nil, ctx.Err()
	}
}

// newSocket calls the browser's constructor, which throws for addresses that it refuses.
func newSocket(url, subprotocol string) (socket js.Value, err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			jsErr, ok := thrown.(js.Error)
			if !ok {
				panic(thrown)
			}
			err = errors.New("open websocket: " + jsErr.Error())
		}
	}()
	return js.Global().Get("WebSocket").New(url, subprotocol), nil
}

// listen sets one of the socket's handlers; end takes it away again.
func (c *Conn) listen(name string, handle func(event js.Value)) {
	f := js.FuncOf(func(_ js.Value, args []js.Value) any {
		handle(args[0])
		return nil
	})
	c.socket.Set(name, f)
	c.funcs = append(c.funcs, func() {
		c.socket.Set(name, js.Null())
		f.Release()
	})
}

// received queues a message. It is called by the browser and does not block.
func (c *Conn) received(event js.Value) {
	data := event.Get("data")
	if data.Type() != js.TypeObject {
		c.end(&CloseError{Code: 1003, Reason: "a text message was received"})
		return
	}
	view := js.Global().Get("Uint8Array").New(data)
	message := make([]byte, view.Length())
	js.CopyBytesToGo(message, view)
	c.bytes += len(message)
	if c.bytes > maxUnread {
		c.end(errTooMuchUnread)
		return
	}
	c.unread = append(c.unread, message)
	select {
	case c.arrive <- struct{}{}:
	default:
	}
}

// end makes the connection over, once: it closes the socket if that is still open, and lets go of it.
func (c *Conn) end(err error) { c.endWith(err, 1000, "") }

func (c *Conn) endWith(err error, code int, reason string) {
	select {
	case <-c.ended:
		return
	default:
	}
	c.err = err
	close(c.ended)
	for _, release := range c.funcs {
		release()
	}
	c.funcs = nil
	c.buffer = js.Value{}
	c.socket.Call("close", code, reason) // without effect on a socket that closed
}

// Read returns the next message. What arrived before the connection ended is returned before the error that says
// how it ended.
func (c *Conn) Read(ctx context.Context) ([]byte, error) {
	for {
		if len(c.unread) > 0 {
			message := c.unread[0]
			c.unread[0] = nil
			c.unread = c.unread[1:]
			c.bytes -= len(message)
			return message, nil
		}
		select {
		case <-c.arrive:
		case <-c.ended:
			if len(c.unread) == 0 {
				return nil, c.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Write hands message to the browser. It returns before the message has left, but waits first while too much of
// what was written earlier has not left.
func (c *Conn) Write(ctx context.Context, message []byte) error {
	for {
		select {
		case <-c.ended:
			return c.err
		default:
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.socket.Get("bufferedAmount").Int() < maxBuffered {
			break
		}
		select { // the browser tells of no event for this
		case <-time.After(5 * time.Millisecond):
		case <-c.ended:
		case <-ctx.Done():
		}
	}
	c.socket.Call("send", c.toJS(message)) // copies at once, so the buffer is free again
	return nil
}

// toJS copies message to the connection's buffer, or to one of its own if it is big.
func (c *Conn) toJS(message []byte) js.Value {
	if len(message) > sendBuffer {
		big := js.Global().Get("Uint8Array").New(len(message))
		js.CopyBytesToJS(big, message)
		return big
	}
	if c.buffer.IsUndefined() {
		c.buffer = js.Global().Get("Uint8Array").New(sendBuffer)
	}
	js.CopyBytesToJS(c.buffer, message)
	return c.buffer.Call("subarray", 0, len(message))
}

// Close closes the connection. It does not wait for the server's answer; what was written before is still sent by
// the browser.
func (c *Conn) Close(reason string) error {
	if len(reason) > maxCloseReason {
		cut := maxCloseReason
		for cut > 0 && reason[cut]&0xc0 == 0x80 {
			cut-- // not within a character
		}
		reason = reason[:cut]
	}
	c.endWith(&CloseError{Code: 1000, Reason: reason}, 1000, reason)
	return nil
}
