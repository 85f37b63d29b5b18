//go:build !js

package wasmclient_test

import (
	"context"
	"testing"

	"skerry/syncserver"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// TestTabs opens one store twice: both write, one syncs; when it goes the other takes over.
func TestTabs(t *testing.T) {
	server := newSite(t, syncserver.Config{})
	server.up()
	lock := make(chan struct{}, 1)
	lead := func(ctx context.Context, _ bool, lost func()) (func(), error) {
		select {
		case lock <- struct{}{}:
			return func() { <-lock }, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	tabs := &channels{}
	store := memstore.New(memstore.Config{Identity: "ada"})
	leader, err := wasmclient.Open(t.Context(), signing(t, wasmclient.Config{Store: store, URL: server.url(), Lead: lead, Channel: tabs.channel()}))
	if err != nil {
		t.Fatal(err)
	}
	until(t, leader, "the first tab leads", func() bool { return leader.Status().Leader })
	other := open(t, wasmclient.Config{Store: store.Handle(), URL: server.url(), Lead: lead, Channel: tabs.channel()})
	s, err := other.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := append1(t, s, "from the tab that does not sync").Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	if other.Status().Leader {
		t.Fatal("two tabs lead")
	}
	if _, err := append1(t, leader.Space(s.ID()), "from the one that does").Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, server, other, s.ID())
	late := append1(t, s, "while the leader goes")
	if err := leader.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, other, "the second tab leads", func() bool { return other.Status().Leader })
	same(t, server, other, s.ID())
	if n := len(server.records(s.ID())); n != 3 {
		t.Errorf("%d records, want 3", n)
	}
}

// TestTabsWithoutALock lets two tabs of one store sync at the same time, as where the platform has no lock: each has a
// connection of its own that the other does not end, and nothing comes twice.
func TestTabsWithoutALock(t *testing.T) {
	server := newSite(t, syncserver.Config{})
	server.up()
	tabs := &channels{}
	store := memstore.New(memstore.Config{Identity: "ada"})
	tab := func(store wasmclient.Store) *wasmclient.Client {
		return open(t, wasmclient.Config{Store: store, URL: server.url(), Unlocked: true, Channel: tabs.channel()})
	}
	first, second := tab(store), tab(store.Handle())
	online := func(client *wasmclient.Client) func() bool {
		return func() bool { return client.Status().Connection == "online" }
	}
	until(t, first, "the first tab online", online(first))
	until(t, second, "the second tab online", online(second))
	s, err := first.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var receipts []*wasmclient.Receipt
	for range 50 {
		receipts = append(receipts, append1(t, s, "first"), append1(t, second.Space(s.ID()), "second"))
	}
	for _, receipt := range receipts {
		if _, err := receipt.Synced(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(server.records(s.ID())); n != len(receipts) {
		t.Errorf("%d records, want %d", n, len(receipts))
	}
	same(t, server, first, s.ID())
	same(t, server, second, s.ID())
	if !online(first)() || !online(second)() {
		t.Error("a tab ended the other's connection")
	}
}
