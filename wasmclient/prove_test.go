//go:build !js

package wasmclient_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"skerry/shared/hub"
	"skerry/shared/identity"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/auth"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// TestAKeyProvesItself: a replica of a key makes a space offline, proves itself later, and the space carries its signature.
func TestAKeyProvesItself(t *testing.T) {
	server := newSite(t, syncserver.Config{})
	server.config.Auth = nil // as servers have it
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.New(identity.Ed25519, public)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(_ context.Context, message []byte) ([]byte, error) { return ed25519.Sign(secret, message), nil }
	client := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: key.String()}), URL: server.url(), Sign: sign})
	s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := s.Append(t.Context(), "note", map[string]any{"text": "offline"})
	if err != nil {
		t.Fatal(err)
	}
	server.up()
	client.Poke()
	if _, err := receipt.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	genesis, signature, err := server.log.Genesis(t.Context(), s.ID())
	if err != nil || genesis.Creator != key.String() || !key.Verify(space.GenesisMessage(s.ID()), signature) {
		t.Errorf("the log has %+v signed %x: %v", genesis, signature, err)
	}
	if records := server.records(s.ID()); len(records) != 1 || records[0].Author != key.String() {
		t.Errorf("the log has %+v", records)
	}
	// Whoever has no key is told so, and what they write waits.
	plain := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "ada"}), URL: server.url(),
		Sign: func(context.Context, []byte) ([]byte, error) { return nil, errors.New("the key is gone") }})
	waits, err := plain.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if receipt, err := waits.Append(t.Context(), "note", nil); err != nil {
		t.Fatal(err)
	} else if err := receipt.Durable(t.Context()); err != nil { // what is on its way is counted elsewhere
		t.Fatal(err)
	}
	until(t, plain, "told", func() bool { return plain.Status().Connection == replica.ConnectionAuthRequired })
	if status := plain.Status(); status.Reason != "the key is gone" || status.Pending != 1 {
		t.Errorf("status %+v", status)
	}
}

// minutes gives tokens that count for a minute each.
type minutes struct {
	mu    sync.Mutex
	given int
	taken int
	gone  bool
}

func (m *minutes) token(context.Context) (string, time.Duration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return "", 0, errors.New("nobody is signed in")
	}
	m.given++
	return fmt.Sprint("token ", m.given), time.Minute, nil
}

func (m *minutes) Authenticate(_ context.Context, a *auth.Attempt) ([]hub.Proven, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if string(a.Proofs[0].Proof) != fmt.Sprint("token ", m.given) {
		return nil, wire.Errorf(wire.CodeBadCredentials, "an older token")
	}
	m.taken++
	return []hub.Proven{{Identity: a.Proofs[0].Identity, Expires: uint64(time.Now().Add(time.Minute).UnixMilli())}}, nil
}

func (m *minutes) lose(gone bool) (taken int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = gone
	return m.taken
}

// TestTokensAreRefreshed: a connection outlives many tokens, ends with the last, and goes on with the next; what is written meanwhile
// waits.
func TestTokensAreRefreshed(t *testing.T) {
	m := &minutes{}
	inBubbleWith(t, func(c *syncserver.Config) { c.Auth = m }, func(w *world) {
		tab := w.device("https://id.example#ada").tab(func(c *wasmclient.Config) { c.Sign, c.Token = nil, m.token })
		s := tab.makeSpace()
		time.Sleep(10 * time.Minute)
		if tab.Status().Connection != replica.ConnectionOnline || tab.dials.Load() != 1 {
			t.Fatalf("%+v after %d dials", tab.Status(), tab.dials.Load())
		}
		if taken := m.lose(true); taken < 10 || taken > 20 {
			t.Errorf("%d tokens were taken in ten minutes", taken)
		}
		time.Sleep(2 * time.Minute)
		status := tab.Status()
		if status.Connection != replica.ConnectionAuthRequired || status.Reason != "nobody is signed in" {
			t.Fatalf("status %+v", status)
		}
		if _, err := s.Append(w.Context(), "note", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if pending := tab.Status().Pending; pending != 1 {
			t.Errorf("%d are pending", pending)
		}
		m.lose(false)
		time.Sleep(2 * time.Minute)
		if status := tab.Status(); status.Connection != replica.ConnectionOnline || status.Pending != 0 {
			t.Errorf("status %+v", status)
		}
	})
}
