//go:build !js

package wasmclient

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"github.com/coder/websocket"

	"skerry/shared/wire"
)

// What Config leaves nil, natively.
var (
	defaultDialer Dialer    = websocketDialer{}
	defaultRand   io.Reader = rand.Reader
)

// websocketDialer opens WebSockets natively.
type websocketDialer struct{}

func (websocketDialer) Dial(ctx context.Context, url string) (Conn, error) {
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", url, err)
	}
	if got := conn.Subprotocol(); got != wire.Subprotocol {
		conn.CloseNow()
		return nil, fmt.Errorf("dial %s: the server speaks %q, not %s", url, got, wire.Subprotocol)
	}
	conn.SetReadLimit(wire.MaxServerMessage)
	return websocketConn{conn}, nil
}

type websocketConn struct{ conn *websocket.Conn }

func (c websocketConn) Read(ctx context.Context) ([]byte, error) {
	kind, message, err := c.conn.Read(ctx)
	if err == nil && kind != websocket.MessageBinary {
		err = fmt.Errorf("read: the server sent a text message")
	}
	return message, err
}

func (c websocketConn) Write(ctx context.Context, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return c.conn.Write(ctx, websocket.MessageBinary, message)
}

func (c websocketConn) Close(string) error {
	c.conn.CloseNow() // its error says only that the socket is closed already
	return nil
}
