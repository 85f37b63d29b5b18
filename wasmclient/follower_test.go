//go:build !js

package wasmclient_test

import (
	"fmt"
	"strings"
	"testing"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// A follower hears each moment once, in their order, and nothing after a failure.
func TestFollowers(t *testing.T) {
	server := newSite(t, syncserver.Config{Limits: wire.Limits{Payload: 100}})
	server.up()
	client := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "ada"}), URL: server.url()})
	s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 100)
	follower := func(name string) wasmclient.Follower {
		return wasmclient.Follower{
			Durable: func(err error) { told <- fmt.Sprintf("%s durable %v", name, wire.CodeOf(err)) },
			Synced: func(p space.Position, err error) {
				told <- fmt.Sprintf("%s synced %d %v", name, p.Seq, wire.CodeOf(err))
			},
		}
	}
	ok := wire.CodeOf(nil)
	event := func(id byte, payload string) []space.Event {
		return []space.Event{{ID: space.ULID{id}, Type: "note", Payload: []byte(payload)}}
	}
	expect := func(want ...string) {
		t.Helper()
		for _, w := range want {
			if got := <-told; got != w {
				t.Fatalf("told %q, want %q", got, w)
			}
		}
	}
	if err := s.AppendFollowed(t.Context(), event(1, "good"), follower("good"), false); err != nil {
		t.Fatal(err)
	}
	expect(fmt.Sprintf("good durable %v", ok), fmt.Sprintf("good synced 1 %v", ok))
	if err := s.AppendFollowed(t.Context(), event(2, strings.Repeat("x", 200)), follower("big"), false); err != nil {
		t.Fatal(err)
	}
	expect(fmt.Sprintf("big durable %v", ok), fmt.Sprintf("big synced 0 %v", wire.CodeTooLarge))
	if err := s.Follow(t.Context(), space.ULID{1}, follower("again")); err != nil {
		t.Fatal(err)
	}
	expect(fmt.Sprintf("again durable %v", ok), fmt.Sprintf("again synced 1 %v", ok))
	if err := s.Follow(t.Context(), space.ULID{9}, follower("nobody's")); err != nil {
		t.Fatal(err)
	}
	expect(fmt.Sprintf("nobody's durable %v", wire.CodeDiscarded))
	if err := s.AppendFollowed(t.Context(), nil, follower("empty"), false); wire.CodeOf(err) != wire.CodeBadTransaction {
		t.Fatalf("an empty transaction: %v", err)
	}
	server.down()
	if err := s.AppendFollowed(t.Context(), event(3, "waits"), follower("waits"), false); err != nil {
		t.Fatal(err)
	}
	expect(fmt.Sprintf("waits durable %v", ok))
	if err := client.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(fmt.Sprintf("waits synced 0 %v", wire.CodeClosed))
	if len(told) > 0 {
		t.Fatalf("told %q besides", <-told)
	}
}
