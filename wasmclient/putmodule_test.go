//go:build !js

package wasmclient_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/module/moduletest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
	"skerry/syncserver/wasmengine"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// padded returns a module with another section, which no one reads, of so many bytes.
func padded(content []byte, n int) []byte {
	section := append([]byte{3, 'p', 'a', 'd'}, make([]byte, n)...)
	for i := range section[4:] {
		section[4+i] = byte(i * i >> 7)
	}
	return append(binary.AppendUvarint(append(bytes.Clone(content), 0), uint64(len(section))), section...)
}

// judgingSite is a site whose server runs modules.
func judgingSite(t *testing.T) *site {
	t.Helper()
	log := memlog.New()
	engine, err := wasmengine.New(func(ctx context.Context, d digest.Digest) ([]byte, error) {
		content, err := log.Blob(ctx, d)
		if errors.Is(err, syncserver.ErrNoBlob) {
			return nil, module.ErrMissing
		}
		return content, err
	}, wasmengine.Options{Interpreter: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	return newSite(t, syncserver.Config{Log: log, Engine: engine})
}

// cutDialer cuts its first connection when so many bytes were written to it.
type cutDialer struct {
	after  int64
	dials  atomic.Int64
	wasCut atomic.Bool
}

func (d *cutDialer) Dial(ctx context.Context, url string) (wasmclient.Conn, error) {
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(-1)
	if d.dials.Add(1) > 1 {
		return bubbleConn{conn}, nil
	}
	return &cutConn{bubbleConn{conn}, d, d.after}, nil
}

type cutConn struct {
	bubbleConn
	dialer *cutDialer
	left   int64
}

func (c *cutConn) Write(ctx context.Context, message []byte) error {
	if c.left -= int64(len(message)); c.left < 0 {
		c.dialer.wasCut.Store(true)
		c.CloseNow()
		return errors.New("cut")
	}
	return c.bubbleConn.Write(ctx, message)
}

// TestBuiltinIsKept: the module that is built in stays with the space of which it judges, since a later build may have another
// of that name; a server runs it without storing it.
func TestBuiltinIsKept(t *testing.T) {
	server := judgingSite(t)
	store := memstore.New(memstore.Config{Identity: "ada"})
	ada := open(t, wasmclient.Config{Store: store, URL: server.url()})
	d, _ := builtin.ByName("personal")
	s, err := ada.CreateSpace(t.Context(), wasmclient.SpaceOptions{Module: d})
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := store.Module(t.Context(), d); err != nil || !bytes.Equal(kept, builtin.Bytes(d)) {
		t.Fatalf("%d bytes are kept, %v", len(kept), err)
	}
	note, err := s.AppendEvents(t.Context(), []space.Event{{Type: "note"}})
	if err != nil {
		t.Fatal(err)
	}
	server.up()
	ada.Poke()
	if _, err := note.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	if stored, err := server.log.HasBlob(t.Context(), d); err != nil || stored {
		t.Errorf("the server stored it: %v, %v", stored, err)
	}
}

// TestModuleOfOneDevice makes a space offline of a module that only this device has, and writes to it. Later the server
// gets module, genesis and events, unasked, over a connection that breaks in the middle; another device gets all of it.
func TestModuleOfOneDevice(t *testing.T) {
	server := judgingSite(t)
	content := padded(moduletest.Chat(), 1<<20)
	dialer := &cutDialer{after: 300 << 10}
	ada := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "ada"}), URL: server.url(), Dialer: dialer})
	d, err := ada.PutModule(t.Context(), content)
	if err != nil || d != digest.Of(content) {
		t.Fatal(d, err)
	}
	s, err := ada.CreateSpace(t.Context(), wasmclient.SpaceOptions{Module: d})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ada.PutModule(t.Context(), content); err != nil || again != d {
		t.Fatal("to put a module again:", again, err)
	}
	join, err := s.AppendEvents(t.Context(), []space.Event{{Type: "join", Payload: moduletest.ChatJoin("Ada")}})
	if err != nil {
		t.Fatal(err)
	}
	empty, err := s.AppendEvents(t.Context(), []space.Event{{Type: "message", Payload: moduletest.ChatMessage("hall", "")}})
	if err != nil {
		t.Fatal(err)
	}
	server.up()
	ada.Poke()
	if _, err := join.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := empty.Synced(t.Context()); wire.CodeOf(err) != wire.CodeModuleOwn+2 {
		t.Fatalf("what the module refuses: %v", err)
	}
	if stored, err := server.log.Blob(t.Context(), d); err != nil || !bytes.Equal(stored, content) {
		t.Fatalf("the server has %d bytes of the module: %v", len(stored), err)
	}
	if !dialer.wasCut.Load() {
		t.Error("nothing was cut off")
	}
	if info := s.Info(); info.Code != 0 || !info.Created {
		t.Errorf("the space says %+v", info)
	}

	store := memstore.New(memstore.Config{Identity: "ada"})
	other := open(t, wasmclient.Config{Store: store, URL: server.url()})
	other.Space(s.ID())
	until(t, other, "the module on another device", func() bool {
		got, err := store.Module(t.Context(), d)
		return err == nil && bytes.Equal(got, content)
	})
	same(t, server, other, s.ID())
}

func TestPutModuleRefuses(t *testing.T) {
	fail := error(nil)
	store := memstore.New(memstore.Config{Identity: "ada", Fail: func(*replica.Commit) error { return fail }})
	ada := open(t, wasmclient.Config{Store: store})
	chat := moduletest.Chat()
	overhead := len(padded(chat, 3<<20)) - 3<<20
	largest := padded(chat, replica.ModuleBytes-overhead)
	if len(largest) != replica.ModuleBytes {
		t.Fatalf("%d bytes are not the most that there may be", len(largest))
	}
	fail = wasmclient.ErrFull
	for _, c := range []struct {
		what    string
		content []byte
		code    wire.Code
	}{
		{"one byte too many", padded(largest, 0)[:replica.ModuleBytes+1], wire.CodeTooLarge},
		{"no module", []byte("no module"), wire.CodeBadModule},
		{"nothing", nil, wire.CodeBadModule},
		{"a module without a manifest", moduletest.ChatWithoutManifest(), wire.CodeBadModule},
		{"no room", chat, wire.CodeQuota},
	} {
		if d, err := ada.PutModule(t.Context(), c.content); wire.CodeOf(err) != c.code || !d.IsZero() {
			t.Errorf("%s: %v, %v, want %s", c.what, d, err, c.code)
		}
		if got, err := store.Module(t.Context(), digest.Of(c.content)); got != nil || err != nil {
			t.Errorf("%s is kept: %v", c.what, err)
		}
	}
	fail = nil
	for _, content := range [][]byte{largest, module.OpenBytes} {
		if d, err := ada.PutModule(t.Context(), content); err != nil || d != digest.Of(content) {
			t.Errorf("%d bytes: %v", len(content), err)
		}
	}
	ada.Close(t.Context())
	if _, err := ada.PutModule(t.Context(), chat); wire.CodeOf(err) != wire.CodeClosed {
		t.Errorf("after Close: %v", err)
	}
}
