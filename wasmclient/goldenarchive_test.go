//go:build !js

package wasmclient_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"skerry/shared/space"
	"skerry/syncserver"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// goldenSpace is a space in an archive, as the version that wrote it had it.
type goldenSpace struct {
	ID, Creator, Params, Chain string
	Created                    bool
	Seq                        uint64
	Records, Waiting           []string
}

// TestGoldenArchive imports what earlier versions exported, and finds all that they said was in it. Then what waited goes to a server that knows nothing of it.
func TestGoldenArchive(t *testing.T) {
	found, err := filepath.Glob(filepath.Join("..", "testdata", "golden", "*", "spaces.archive"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no archive is kept: %v", err)
	}
	for _, name := range found {
		t.Run(filepath.Base(filepath.Dir(name)), func(t *testing.T) {
			file, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var golden []goldenSpace
			text, err := os.ReadFile(filepath.Join(filepath.Dir(name), "archive.json"))
			if err == nil {
				err = json.Unmarshal(text, &golden)
			}
			if err != nil || len(golden) == 0 {
				t.Fatalf("what is in it: %v", err)
			}
			server := newSite(t, syncserver.Config{})
			store := memstore.New(memstore.Config{Identity: "ada"})
			client := open(t, wasmclient.Config{Store: store, URL: server.url()})
			for n, one := range imported(t, client, file) {
				if want := &golden[n]; one.Code != 0 || one.Space.String() != want.ID || one.Records != len(want.Records) || one.Waiting != len(want.Waiting) {
					t.Errorf("imported %+v, want %d records and %d that wait of %s", one, len(want.Records), len(want.Waiting), want.ID)
				}
			}
			for i := range golden {
				goldenLog(t, client, store, &golden[i])
			}
			if again := imported(t, client, file); again[0].Records != 0 || again[0].Code != 0 {
				t.Errorf("imported again: %+v", again)
			}
			server.up()
			client.Poke()
			own := client.Space(goldenID(t, &golden[1])) // which no server ever had
			until(t, client, "synced", func() bool { return own.Info().Pending == 0 && own.Info().Position.Seq == 1 })
			same(t, server, client, own.ID())
		})
	}
}

func goldenID(t *testing.T, golden *goldenSpace) (id space.ID) {
	t.Helper()
	if n, err := hex.Decode(id[:], []byte(golden.ID)); err != nil || n != len(id) {
		t.Fatal(n, err)
	}
	return id
}

func goldenLog(t *testing.T, client *wasmclient.Client, store wasmclient.Store, golden *goldenSpace) {
	t.Helper()
	id := goldenID(t, golden)
	s := client.Space(id)
	until(t, client, "imported", func() bool { return s.Info().Genesis != nil && s.Info().Position.Seq == golden.Seq })
	if info := s.Info(); info.Genesis.Creator != golden.Creator || hex.EncodeToString(info.Genesis.Params) != golden.Params || info.Created != golden.Created {
		t.Errorf("imported as %+v, want %s", info, golden.ID)
	}
	records, err := store.Read(t.Context(), id, 0, 1<<20, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	outbox, err := store.Outbox(t.Context(), id, 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	var there, waiting []string
	for _, r := range records {
		there = append(there, fmt.Sprintf("%d %s %d/%d %s %s %s %x", r.Seq, r.ID, r.Index, r.Count, r.Author, r.API, r.Type, r.Payload))
	}
	for _, row := range outbox {
		for _, e := range row.Transaction.Events {
			waiting = append(waiting, fmt.Sprintf("%s %s %s %x", e.ID, row.Transaction.Author, e.Type, e.Payload))
		}
	}
	if !slices.Equal(there, golden.Records) || !slices.Equal(waiting, golden.Waiting) || space.Fold(id, records).String() != golden.Chain {
		t.Errorf("%s has %d records and %d that wait, and not the %d and %d that were exported", golden.ID, len(there), len(waiting), len(golden.Records), len(golden.Waiting))
	}
}
