package main

import (
	"context"
	"syscall/js"

	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/idbstore"
	"skerry/wasmclient/internal/jsbind"
	"skerry/wasmclient/internal/jsconn"
	"skerry/wasmclient/internal/jsplatform"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b := newBridge(ctx, js.Global().Get("skerryWorker"))
	b.listen()
	b.serve()
}

// openClient puts the client together for the browser. One name serves database, lock and channel, so that the tabs
// of a replica find each other and nobody else.
func openClient(ctx context.Context, b *bridge, config js.Value) (*wasmclient.Client, wasmclient.Store, error) {
	name, identity := config.Get("database").String(), config.Get("identity").String()
	store, err := idbstore.Open(ctx, idbstore.Config{Name: name, Identity: identity, OnBlocked: b.setBlocked, OnDisconnected: b.disconnected})
	if err != nil {
		return nil, nil, err
	}
	c := wasmclient.Config{
		Store:         store,
		URL:           config.Get("url").String(),
		Dialer:        dialer{},
		Rand:          jsbind.Random,
		ClientVersion: config.Get("clientVersion").String(),
		Lead:          jsplatform.Lead(name),
	}
	c.Unlocked = c.Lead == nil
	if channel := jsplatform.NewChannel(name); channel != nil {
		c.Channel = channel
	}
	if config.Get("log").Truthy() {
		c.Log = func(line string) { b.push("log", js.ValueOf(line)) }
	}
	client, err := wasmclient.Open(ctx, c)
	if err != nil {
		store.Close()
		return nil, nil, err
	}
	return client, store, nil
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
