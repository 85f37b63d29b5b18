//go:build !js

package wasmclient_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"testing"

	"skerry/shared/identity"
	"skerry/shared/space"
	"skerry/syncserver"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// keyPair is a key with what signs by it.
type keyPair struct {
	name   string
	secret ed25519.PrivateKey
}

func newKeyPair(t *testing.T) keyPair {
	t.Helper()
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.New(identity.Ed25519, public)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{key.String(), secret}
}

func (k keyPair) sign(_ context.Context, message []byte) ([]byte, error) {
	return ed25519.Sign(k.secret, message), nil
}

// TestLinkedDevice: what a device wrote under its own name, and never sent, goes up under that when it was linked meanwhile; what it
// writes then is the identity's, and so are the spaces that it makes, which the identity's other devices find and may write to.
func TestLinkedDevice(t *testing.T) {
	server := newSite(t, syncserver.Config{})
	server.config.Auth = nil // as servers have it
	ann, phone := newKeyPair(t), newKeyPair(t)
	store := memstore.New(memstore.Config{Identity: phone.name})
	alone := open(t, wasmclient.Config{Store: store.Handle(), URL: server.url(), Sign: phone.sign})
	mine, err := alone.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := mine.Append(t.Context(), "note", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := before.Durable(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := alone.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	link := identity.Link{Device: phone.name, Label: "phone"}
	link.Signature = ed25519.Sign(ann.secret, link.Message(ann.name))
	linked := open(t, wasmclient.Config{Store: store.Handle(), URL: server.url(), Sign: phone.sign, As: ann.name, Links: link.Append(nil)})
	if linked.Identity() != ann.name {
		t.Errorf("it writes as %s", linked.Identity())
	}
	ours, err := linked.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	after, err := linked.Space(mine.ID()).Append(t.Context(), "note", nil)
	if err != nil {
		t.Fatal(err)
	}
	first, err := ours.Append(t.Context(), "note", nil)
	if err != nil {
		t.Fatal(err)
	}
	server.up()
	linked.Poke()
	again, err := linked.Space(mine.ID()).Receipt(t.Context(), before.ID())
	if err != nil {
		t.Fatal(err)
	}
	for _, receipt := range []*wasmclient.Receipt{again, after, first} {
		if _, err := receipt.Synced(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	records := server.records(mine.ID())
	if len(records) != 2 || records[0].Author != phone.name || records[1].Author != ann.name {
		t.Errorf("the log has %+v", records)
	}
	genesis, signature, err := server.log.Genesis(t.Context(), ours.ID())
	if err != nil || genesis.Creator != ann.name {
		t.Fatalf("the log has %+v: %v", genesis, err)
	}
	if by, err := identity.ParseSigned(ann.name, signature); err != nil || !by.Verify(space.GenesisMessage(ours.ID())) || by.Links[0].Device != phone.name {
		t.Errorf("it is signed %x: %v", signature, err)
	}
	laptop := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: ann.name}), URL: server.url(), Sign: ann.sign})
	until(t, laptop, "found", func() bool { return laptop.Info(ours.ID()).Created })
	receipt, err := laptop.Space(ours.ID()).Append(t.Context(), "note", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
}
