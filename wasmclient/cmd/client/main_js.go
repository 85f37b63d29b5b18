package main

import (
	"context"
	"runtime/debug"
	"syscall/js"

	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/idbstore"
	"skerry/wasmclient/internal/jsbind"
	"skerry/wasmclient/internal/jsconn"
	"skerry/wasmclient/internal/jsplatform"
	"skerry/wasmclient/memstore"
)

func main() {
	debug.SetMemoryLimit(memoryLimit)
	pace(400)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b := newBridge(ctx, js.Global().Get("skerryWorker"))
	b.listen()
	b.serve()
}

// openClient puts the client together for the browser. One name serves database, lock and channel, so that the tabs
// of a replica find each other and nobody else. Where the browser gives no database, the replica is in memory and this
// tab's alone.
func openClient(ctx context.Context, b *bridge, config js.Value) (*wasmclient.Client, wasmclient.Store, error) {
	name, identity := config.Get("database").String(), config.Get("identity").String()
	c := wasmclient.Config{
		URL:           config.Get("url").String(),
		Dialer:        dialer{},
		Rand:          jsbind.Random,
		As:            config.Get("as").String(),
		Links:         bytesOf(config.Get("links")),
		ClientVersion: config.Get("clientVersion").String(),
		Engine:        engine{},
	}
	switch key := config.Get("key"); {
	case key.Truthy():
		c.Sign = jsbind.Signer(key)
	case config.Get("kept").String() == "token":
		c.Token = b.token
	}
	database, err := idbstore.Open(ctx, idbstore.Config{
		Name: name, Identity: identity, Once: c.Sign != nil, OnBlocked: b.setBlocked, OnDisconnected: b.disconnected,
	})
	switch {
	case err == nil:
		c.Store, c.Lead = database, jsplatform.Lead(name)
		c.Unlocked = c.Lead == nil
		if channel := jsplatform.NewChannel(name); channel != nil {
			c.Channel = channel
		}
	case idbstore.Unavailable(err):
		c.Store, c.Storage = memstore.New(memstore.Config{Identity: identity}), "memory"
	default:
		return nil, nil, err
	}
	if config.Get("log").Truthy() {
		c.Log = func(line string) { b.push("log", js.ValueOf(line)) }
		if err != nil {
			c.Log("everything is kept in memory only: " + err.Error())
		}
	}
	client, err := wasmclient.Open(ctx, c)
	if err != nil {
		c.Store.Close()
		return nil, nil, err
	}
	return client, c.Store, nil
}

// dialer opens sockets by the browser.
type dialer struct{}

func (dialer) Dial(ctx context.Context, url string) (wasmclient.Conn, error) {
	conn, err := jsconn.Dial(ctx, url, wire.Subprotocol)
	if err != nil {
		return nil, err // a nil *jsconn.Conn must not become a Conn
	}
	return conn, nil
}
