//go:build !js

package wasmclient_test

import (
	"reflect"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// TestLostRows: what the server lost is told and counted, goes into an archive and out of it again on another device, and stays until
// it is discarded.
func TestLostRows(t *testing.T) {
	stores := []*memstore.Store{memstore.New(memstore.Config{Identity: "ada"}), memstore.New(memstore.Config{Identity: "ada"})}
	one, two := open(t, wasmclient.Config{Store: stores[0]}), open(t, wasmclient.Config{Store: stores[1]})
	s, err := one.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	row := replica.LostRow{
		Transaction: space.Transaction{
			Author: "ben", API: "1.0.0", ClientVersion: "2.4.4", Events: []space.Event{{ID: space.ULID{1}, Type: "$module", Payload: []byte{1}}, {ID: space.ULID{2}, Type: "note", Payload: []byte{2}}},
		},
		ReceivedAt: 1789, Code: wire.CodeForbidden, Reason: "not a member any more", By: replica.ByServer,
	}
	row.ID = row.Transaction.ID()
	if _, err := stores[0].Handle().Commit(t.Context(), &replica.Commit{Spaces: []replica.SpaceCommit{{Space: s.ID(), Lost: []replica.LostRow{row}}}}); err != nil {
		t.Fatal(err)
	}
	one.Poke() // it is alone, and looks for itself only when told to
	until(t, one, "one lost", func() bool { return one.Status().Lost == 1 && s.Info().Lost == 1 })

	file := export(t, one)
	for range 2 {
		if done := imported(t, two, file); len(done) != 1 || done[0].Lost != 1 || done[0].Rejected != 0 {
			t.Fatalf("imported %+v", done)
		}
	}
	for _, client := range []*wasmclient.Client{one, two} {
		s := client.Space(s.ID())
		if rows, err := s.Lost(t.Context()); err != nil || len(rows) != 1 || !reflect.DeepEqual(rows[0], row) {
			t.Fatalf("lost are %+v, %v", rows, err)
		}
		if err := s.DiscardLost(t.Context(), space.ULID{9}); wire.CodeOf(err) != wire.CodeNotFound {
			t.Errorf("discard what is not there: %v", err)
		}
		until(t, client, "one lost", func() bool { return client.Status().Lost == 1 })
		if err := s.DiscardLost(t.Context(), row.ID); err != nil {
			t.Fatal(err)
		}
		until(t, client, "none lost", func() bool { return client.Status().Lost == 0 && s.Info().Lost == 0 })
		if rows, err := s.Lost(t.Context()); err != nil || len(rows) != 0 {
			t.Fatalf("after they were discarded: %+v, %v", rows, err)
		}
	}
}
