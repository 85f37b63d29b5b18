//go:build !js

package wasmclient_test

import (
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"skerry/shared/module"
	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// TestAudit: an administrator has the system space like any other, hears of who comes and goes while they look, and makes others
// administrators there.
func TestAudit(t *testing.T) {
	server := judgingSite(t)
	server.up()
	device := func(identity string) *wasmclient.Client {
		c := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: identity}), URL: server.url()})
		c.Poke()
		return c
	}
	id, _ := server.server.System()
	if done, err := server.server.SetUp(t.Context(), "ada"); err != nil || !done {
		t.Fatalf("SetUp = %v, %v", done, err)
	}
	ada := device("ada")
	until(t, ada, "the system space is in her directory", func() bool {
		spaces := ada.Spaces()
		return len(spaces) == 1 && spaces[0].ID == id
	})
	audit := ada.Space(id)
	said := func(kind, identity string) func() bool {
		return func() bool {
			records, err := audit.Read(t.Context(), 0, 1000, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			for i := range records {
				var payload struct {
					Identity string `msgpack:"identity"`
				}
				if records[i].Type == kind && msgpack.Unmarshal(records[i].Payload, &payload) == nil && payload.Identity == identity {
					return true
				}
			}
			return false
		}
	}
	until(t, ada, "she was named", said(module.TypeSetup, "ada"))
	bob := device("bob")
	until(t, ada, "bob comes", said(module.TypeConnect, "bob"))
	bob.Close(t.Context())
	until(t, ada, "bob goes", said(module.TypeDisconnect, "bob"))
	granted := written(t, audit, "grant", map[string]any{"identity": "cy"})
	if _, err := granted.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	cy := device("cy")
	until(t, cy, "cy reads it", func() bool { return cy.Space(id).Info().Position.Seq > 0 })
	eve := device("eve")
	forbidden := eve.Space(id)
	until(t, eve, "eve may not", func() bool { return forbidden.Info().Code == wire.CodeForbidden })
}

// TestConnectRefused: whom the policy refuses is told its reason, keeps all that they wrote, and comes again when it lets them in.
func TestConnectRefused(t *testing.T) {
	server := judgingSite(t)
	rules, err := msgpack.Marshal(map[string]any{"require": map[string]any{"plan": []string{"pro"}}})
	if err != nil {
		t.Fatal(err)
	}
	server.config.PolicyParams = rules
	server.up()
	bob := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "bob"}), URL: server.url()})
	diary, err := bob.CreateSpace(t.Context(), wasmclient.SpaceOptions{Module: module.Open})
	if err != nil {
		t.Fatal(err)
	}
	receipt := written(t, diary, "note", "hello")
	bob.Poke()
	until(t, bob, "he is refused", func() bool { return bob.Status().Code == wire.CodeConnectRefused })
	if s := bob.Status(); s.Connection != "auth_required" || s.Reason != "there is no claim plan, and pro is wanted" || s.Pending != 1 {
		t.Errorf("the status is %+v", s)
	}
	server.down()
	server.config.PolicyParams = nil
	server.up()
	bob.Poke()
	if _, err := receipt.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := bob.Status(); s.Connection != "online" || s.Code != 0 {
		t.Errorf("the status is %+v", s)
	}
}
