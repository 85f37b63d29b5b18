package syncserver_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver/sqlitelog"
)

// goldenManifest is what a golden directory says of itself, as far as it concerns a server.
type goldenManifest struct {
	Spaces []struct {
		ID      digest.Digest
		Stamp   string
		Creator string
		Module  digest.Digest
		Created bool // false: only the replica has it
		Records []goldenRecord
	}
}

type goldenRecord struct {
	Seq           uint64
	ID            string
	Chain         digest.Digest
	ReceivedAt    uint64 `json:"received_at"`
	Index, Count  uint32
	Author, Type  string
	Schema        string
	Payload       string
	API           string
	ClientVersion string `json:"client_version"`
}

// TestGolden opens the data directories that earlier versions left, and finds in them what those versions found.
// SKERRY_GOLDEN names another place than testdata/golden.
func TestGolden(t *testing.T) {
	golden := filepath.Join("..", "testdata", "golden")
	if named := os.Getenv("SKERRY_GOLDEN"); named != "" {
		golden = named
	}
	// The README comes with the first golden directory. From then on that one must be there.
	if _, err := os.Stat(filepath.Join(golden, "README.md")); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s was not made yet: make golden", golden)
	}
	if _, err := os.Stat(filepath.Join(golden, "1")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(golden)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if regexp.MustCompile(`^\d+$`).MatchString(entry.Name()) {
			t.Run(entry.Name(), func(t *testing.T) { readGolden(t, filepath.Join(golden, entry.Name())) })
		}
	}
}

func readGolden(t *testing.T, golden string) {
	ctx := context.Background()
	text, err := os.ReadFile(filepath.Join(golden, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want goldenManifest
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(data, os.DirFS(filepath.Join(golden, "data"))); err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	config := sqlitelog.Config{Dir: data, Logger: slog.New(slog.NewTextHandler(&lines, nil))}
	log, err := sqlitelog.Open(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	if said := lines.String(); filepath.Base(golden) == "1" && (strings.Count(said, "st_client, st_connection_credentials") != 1 || strings.Count(said, "count what everybody has written") != 1) {
		t.Errorf("tables are added that the data did not have, and the log says:\n%s", said)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	lines.Reset()
	if log, err = sqlitelog.Open(ctx, config); err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if lines.Len() > 0 {
		t.Errorf("opened again, the log says:\n%s", lines.String())
	}
	if err := sqlitelog.Check(ctx, config, func(f sqlitelog.Finding) { t.Errorf("check finds: %s", f) }, nil); err != nil {
		t.Error(err)
	}
	if clients, err := log.Clients(ctx, wire.ConnectionID{}, 1); err != nil || len(clients) > 0 {
		t.Errorf("connected are %v, %v", clients, err)
	}

	compared := 0
	for _, s := range want.Spaces {
		genesis, _, err := log.Genesis(ctx, s.ID)
		if !s.Created {
			if err == nil {
				t.Errorf("space %v is there, and was not", s.ID)
			}
			continue
		}
		if err != nil {
			t.Fatalf("space %v: %v", s.ID, err)
		}
		if genesis.ID() != s.ID || genesis.Stamp.String() != s.Stamp || genesis.Creator != s.Creator || genesis.Module != s.Module {
			t.Errorf("space %v was made from %+v, want %+v", s.ID, genesis, s)
		}
		at, next := space.Start(s.ID), 0
		for {
			records, err := log.Read(ctx, s.ID, at.Seq, 20, 1<<20)
			if err != nil {
				t.Fatalf("read space %v: %v", s.ID, err)
			}
			if len(records) == 0 {
				break
			}
			for i := range records {
				r := &records[i]
				at = space.Position{Seq: r.Seq, Chain: space.Chain(at.Chain, r)}
				got := goldenRecord{
					r.Seq, r.ID.String(), at.Chain, r.ReceivedAt, r.Index, r.Count, r.Author, r.Type,
					hex.EncodeToString(r.Schema[:]), hex.EncodeToString(r.Payload), r.API, r.ClientVersion,
				}
				if next >= len(s.Records) || got != s.Records[next] {
					t.Fatalf("space %v: record %d is %+v", s.ID, r.Seq, got)
				}
				next++
				compared++
			}
		}
		head, err := log.Head(ctx, s.ID)
		if err != nil || next != len(s.Records) || head.Position() != at {
			t.Errorf("space %v ends at %+v (%v) after %d records, want %d up to %+v", s.ID, head, err, next, len(s.Records), at)
		}
	}
	if compared == 0 {
		t.Error("there are no records to compare")
	}
}
