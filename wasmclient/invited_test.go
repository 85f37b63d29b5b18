//go:build !js

package wasmclient_test

import (
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"skerry/shared/digest"
	"skerry/shared/module/builtin"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// written appends events in one transaction: types and what is in their payloads in turn.
func written(t *testing.T, s *wasmclient.Space, pairs ...any) *wasmclient.Receipt {
	t.Helper()
	var events []space.Event
	for i := 0; i < len(pairs); i += 2 {
		payload, err := msgpack.Marshal(pairs[i+1])
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, space.Event{Type: pairs[i].(string), Payload: payload})
	}
	receipt, err := s.AppendEvents(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// TestInvited: who may not read a space becomes a member by what they write to it, without a network when they do and after the
// one who invited them has left; and again, when they were removed meanwhile.
func TestInvited(t *testing.T) {
	server := judgingSite(t)
	device := func(identity string) *wasmclient.Client {
		return open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: identity}), URL: server.url()})
	}
	synced := func(r *wasmclient.Receipt) {
		t.Helper()
		if _, err := r.Synced(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	secret := func(n byte) (secret, hash []byte) {
		secret = append(make([]byte, 15), n)
		d := digest.Of(secret)
		return secret, d[:]
	}
	first, firstHash := secret(1)
	second, secondHash := secret(2)

	ada, ann, bob := device("ada"), device("ann"), device("bob")
	d, _ := builtin.ByName("members")
	team, err := ada.CreateSpace(t.Context(), wasmclient.SpaceOptions{Module: d})
	if err != nil {
		t.Fatal(err)
	}
	granted := written(t, team, "grant", map[string]any{"identity": "ann", "role": "admin"})
	server.up()
	ada.Poke()
	synced(granted)

	annsTeam := ann.Space(team.ID())
	ann.Poke()
	synced(written(t, annsTeam, "invite", map[string]any{"role": "writer", "hashes": firstHash}))
	synced(written(t, annsTeam, "leave", map[string]any{}))

	bobsTeam := bob.Space(team.ID())
	bob.Poke()
	until(t, bob, "bob may not read", func() bool { return bobsTeam.Info().Code == wire.CodeForbidden })
	synced(written(t, bobsTeam, "redeem", map[string]any{"secret": first}, "note", map[string]any{"text": "hello"}))
	until(t, bob, "bob reads it", func() bool { return bobsTeam.Info().Position.Seq == 5 && bobsTeam.Info().Code == 0 })

	synced(written(t, team, "remove", map[string]any{"identity": "bob"}))
	until(t, bob, "bob is out", func() bool { return bobsTeam.Info().Code == wire.CodeLeft })
	until(t, bob, "the record that took him out", func() bool { return bobsTeam.Info().Position.Seq == 6 })
	if _, err := written(t, bobsTeam, "redeem", map[string]any{"secret": first}).Synced(t.Context()); wire.CodeOf(err) != wire.CodeModuleOwn+3 {
		t.Errorf("a secret that was used: %v", err)
	}
	synced(written(t, team, "invite", map[string]any{"role": "reader", "hashes": secondHash}))
	synced(written(t, bobsTeam, "redeem", map[string]any{"secret": second}))
	until(t, bob, "bob reads it again", func() bool { return bobsTeam.Info().Position.Seq == 8 && bobsTeam.Info().Code == 0 })
	same(t, server, bob, team.ID())
	eve := device("eve")
	evesTeam := eve.Space(team.ID())
	eve.Poke()
	until(t, eve, "eve may not read", func() bool { return evesTeam.Info().Code == wire.CodeForbidden })
	if info := evesTeam.Info(); info.Position.Seq != 0 {
		t.Errorf("eve has %d records", info.Position.Seq)
	}
}
