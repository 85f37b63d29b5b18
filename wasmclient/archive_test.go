//go:build !js

package wasmclient_test

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"skerry/shared/archive"
	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

func export(t *testing.T, client *wasmclient.Client, ids ...space.ID) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := client.Export(t.Context(), &file, ids...); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func imported(t *testing.T, client *wasmclient.Client, file []byte) []wasmclient.Imported {
	t.Helper()
	done, err := client.Import(t.Context(), bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func synced(t *testing.T, receipt *wasmclient.Receipt) {
	t.Helper()
	if _, err := receipt.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// kept returns all that a store holds of a space, in a form that can be compared.
func kept(t *testing.T, store wasmclient.Store, id space.ID) string {
	t.Helper()
	snapshot, err := store.Refresh(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	records, err := store.Read(t.Context(), id, 0, 1<<20, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	outbox, err := store.Outbox(t.Context(), id, 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%v %+v chain %s", snapshot.Known, snapshot.Info.Position, space.Fold(id, records))
	for _, row := range outbox {
		text += fmt.Sprintf("; waits %s", row.ID)
	}
	for _, row := range snapshot.Rejected {
		text += fmt.Sprintf("; refused %s %s", row.ID, row.Code)
	}
	return text
}

// TestArchiveCarriesWhatNoServerHas moves spaces that only one device knows to another one. Then both meet the server,
// which takes everything once.
func TestArchiveCarriesWhatNoServerHas(t *testing.T) {
	server := newSite(t, syncserver.Config{})
	config := func() wasmclient.Config {
		return wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "ada"}), URL: server.url()}
	}
	old, fresh := open(t, config()), open(t, config())
	s, err := old.CreateSpace(t.Context(), wasmclient.SpaceOptions{Params: []byte{0x80}})
	if err != nil {
		t.Fatal(err)
	}
	var ids []space.ULID
	for n := range 20 {
		ids = append(ids, append1(t, s, fmt.Sprint(n)).ID())
	}
	file := export(t, old) // waits until it is durable
	done := imported(t, fresh, file)
	if want := []wasmclient.Imported{{Space: s.ID(), Waiting: 20}}; !reflect.DeepEqual(done, want) {
		t.Fatalf("imported %+v, not %+v", done, want)
	}
	until(t, fresh, "20 waiting", func() bool { return fresh.Status().Pending == 20 && fresh.Status().PendingSpaces == 1 })

	server.up()
	old.Poke()
	fresh.Poke()
	for _, client := range []*wasmclient.Client{old, fresh} {
		until(t, client, "synced", func() bool {
			return client.Status().Pending == 0 && client.Space(s.ID()).Info().Position.Seq == 20
		})
		same(t, server, client, s.ID())
	}
	var found []space.ULID
	for _, record := range server.records(s.ID()) {
		found = append(found, record.ID)
	}
	if !slices.Equal(found, ids) {
		t.Errorf("the log has %v, not %v", found, ids)
	}
	if info := fresh.Space(s.ID()).Info(); info.Genesis == nil || info.Genesis.Creator != "ada" {
		t.Errorf("imported as %+v", info)
	}
}

// TestArchiveCarriesHistory imports history into replicas that have none, some and all of it, offline, and sees each go
// on from it.
func TestArchiveCarriesHistory(t *testing.T) {
	server := newSite(t, syncserver.Config{})
	server.up()
	writer := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "ada"}), URL: server.url()})
	s, err := writer.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	write := func(n int) {
		for i := range n {
			receipt, err := s.Transact(t.Context(), slices.Repeat([]wasmclient.Event{{Type: "note", Payload: fmt.Sprint(i, string(make([]byte, 2000)))}}, 1+i%3))
			if err != nil {
				t.Fatal(err)
			}
			synced(t, receipt)
		}
		same(t, server, writer, s.ID())
	}
	write(100)
	early := export(t, writer, s.ID())
	write(100)
	late := export(t, writer)
	head := s.Info().Position.Seq

	store := memstore.New(memstore.Config{Identity: "ben"})
	reader := open(t, wasmclient.Config{Store: store, URL: server.url(), Lead: never})
	first := imported(t, reader, early)
	second := imported(t, reader, late)
	if len(first) != 1 || len(second) != 1 || first[0].Code != 0 || second[0].Code != 0 || uint64(first[0].Records+second[0].Records) != head || second[0].Records == 0 {
		t.Fatalf("imported %+v and %+v of %d records", first, second, head)
	}
	same(t, server, reader, s.ID())
	for _, file := range [][]byte{early, late} {
		before := kept(t, store, s.ID())
		if again := imported(t, reader, file); again[0].Records != 0 || again[0].Code != 0 {
			t.Errorf("imported again: %+v", again)
		}
		if after := kept(t, store, s.ID()); after != before {
			t.Errorf("importing again changed\n%s to\n%s", before, after)
		}
	}
	if snapshot, _ := store.Refresh(t.Context(), s.ID()); snapshot.Info.Position != s.Info().Position {
		t.Errorf("at %+v, not %+v with the server's seal", snapshot.Info.Position, s.Info().Position)
	}

	going := open(t, wasmclient.Config{Store: store.Handle(), URL: server.url()})
	going.Space(s.ID())
	write(3)
	same(t, server, going, s.ID())
}

// never is a lead that nobody gets.
func never(ctx context.Context, _ bool, _ func()) (func(), error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestArchiveSettles imports history that holds what still waits here, or was refused here.
func TestArchiveSettles(t *testing.T) {
	store := memstore.New(memstore.Config{Identity: "ada"})
	client := open(t, wasmclient.Config{Store: store})
	s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	lost, waits, refused := append1(t, s, "in the log, and nobody told this device"), append1(t, s, "waits"), append1(t, s, "refused")
	if err := refused.Durable(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows, err := store.Outbox(t.Context(), s.ID(), 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Commit(t.Context(), &replica.Commit{Spaces: []replica.SpaceCommit{{
		Space: s.ID(), Reject: []replica.Rejection{{ID: refused.ID(), Code: wire.CodeForbidden, Reason: "no", By: "server"}},
	}}}); err != nil {
		t.Fatal(err)
	}
	whole := export(t, client)

	var file bytes.Buffer
	records := rows[0].Transaction.Records(1, 7)
	w := archive.NewWriter(&file, archive.Header{})
	w.Space(archive.Space{ID: s.ID(), Genesis: s.Info().Genesis, Created: true, Start: space.Start(s.ID())})
	w.Records(records, space.Position{Seq: 1, Chain: space.Fold(s.ID(), records)})
	w.Waiting(rows[0].Transaction) // of somebody who was not told either
	w.Waiting(rows[2].Transaction) // it was refused here meanwhile
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	imported(t, client, file.Bytes())
	synced(t, lost)
	want := fmt.Sprintf("true {Seq:1 Chain:%[1]s Seal:%[2]s} chain %[1]s; waits %[3]s; refused %[4]s forbidden",
		space.Fold(s.ID(), records), digest.Digest{}, waits.ID(), refused.ID())
	if got := kept(t, store, s.ID()); got != want {
		t.Errorf("the store holds\n%s, not\n%s", got, want)
	}

	// The archive from before brings nothing back, and on another device all of it.
	imported(t, client, whole)
	if got := kept(t, store, s.ID()); got != want {
		t.Errorf("an old archive made it\n%s", got)
	}
	other := memstore.New(memstore.Config{Identity: "ada"})
	done := imported(t, open(t, wasmclient.Config{Store: other}), whole)
	if want := (wasmclient.Imported{Space: s.ID(), Waiting: 2, Rejected: 1}); !reflect.DeepEqual(done, []wasmclient.Imported{want}) {
		t.Errorf("imported %+v, not %+v", done, want)
	}
	want = fmt.Sprintf("true {Seq:0 Chain:%[1]s Seal:%[2]s} chain %[1]s; waits %[3]s; waits %[4]s; refused %[5]s forbidden", s.ID(), digest.Digest{}, lost.ID(), waits.ID(), refused.ID())
	if got := kept(t, other, s.ID()); got != want {
		t.Errorf("the other device holds\n%s, not\n%s", got, want)
	}
}

// TestArchiveRefused imports what should not be, and sees that nothing was written.
func TestArchiveRefused(t *testing.T) {
	server := newSite(t, syncserver.Config{})
	server.up()
	another := newSite(t, syncserver.Config{})
	another.up()
	write := func(at *site, identity string) (*wasmclient.Client, *memstore.Store, *wasmclient.Space) {
		store := memstore.New(memstore.Config{Identity: identity})
		client := open(t, wasmclient.Config{Store: store, URL: at.url()})
		s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		synced(t, append1(t, s, "hello"))
		return client, store, s
	}
	ada, _, s := write(server, "ada")
	same(t, server, ada, s.ID())
	file := export(t, ada)

	ben, store, mine := write(another, "ben")
	same(t, another, ben, mine.ID())
	refuse := func(name string, file []byte, code wire.Code) {
		t.Helper()
		before := kept(t, store, mine.ID())
		done, err := ben.Import(t.Context(), bytes.NewReader(file))
		if wire.CodeOf(err) != code || len(done) != 0 {
			t.Errorf("%s: %+v %v, not %s", name, done, err, code)
		}
		loaded, err := store.Load(t.Context())
		if err != nil || len(loaded.Spaces) != 1 || kept(t, store, mine.ID()) != before {
			t.Errorf("%s: the store has %d spaces now, %v", name, len(loaded.Spaces), err)
		}
	}
	refuse("another server's", file, wire.CodeServerChanged)
	refuse("cut short", file[:len(file)-1], wire.CodeServerChanged)
	own := export(t, ben)
	refuse("cut short", own[:len(own)-1], wire.CodeBadArchive)
	refuse("a picture", []byte("\x89PNG\r\n\x1a\n and so on and so on"), wire.CodeBadArchive)

	forge := func(t0 space.Transaction) []byte {
		var file bytes.Buffer
		w := archive.NewWriter(&file, archive.Header{})
		w.Space(archive.Space{ID: digest.Of([]byte("x")), Start: space.Start(digest.Of([]byte("x")))})
		w.Waiting(t0)
		w.Close()
		return file.Bytes()
	}
	event := space.Event{ID: space.ULID{1}, Type: "$upgrade", Payload: []byte{0xc0}}
	refuse("a reserved type", forge(space.Transaction{Author: "ben", API: "1.0.0", Events: []space.Event{event}}), wire.CodeBadArchive)

	// Another identity's transaction is left where it is: nobody sends it under a name of its own.
	event.Type = "note"
	done := imported(t, ben, forge(space.Transaction{Author: "ada", API: "1.0.0", Events: []space.Event{event}}))
	if len(done) != 1 || done[0].Foreign != 1 || done[0].Waiting != 0 {
		t.Errorf("of another identity: %+v", done)
	}

	// History that contradicts what is here is left out.
	var fork bytes.Buffer
	records := (&space.Transaction{Author: "ben", API: "1.0.0", Events: []space.Event{event}}).Records(1, 1)
	w := archive.NewWriter(&fork, archive.Header{})
	w.Space(archive.Space{ID: mine.ID(), Start: space.Start(mine.ID())})
	w.Records(records, space.Position{Seq: 1, Chain: space.Fold(mine.ID(), records)})
	w.Close()
	before := kept(t, store, mine.ID())
	done = imported(t, ben, fork.Bytes())
	if len(done) != 1 || done[0].Code != wire.CodeDiverged || kept(t, store, mine.ID()) != before {
		t.Errorf("another history: %+v", done)
	}
	if _, err := ada.Space(digest.Of([]byte("nobody's"))).Info(), ada.Export(t.Context(), &fork, digest.Of([]byte("unknown"))); wire.CodeOf(err) != wire.CodeNoSuchSpace {
		t.Errorf("an unknown space exported: %v", err)
	}
}
