package sqlitelog

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/syncserver"
	"skerry/syncserver/logtest"
)

// rows counts what is stored in a directory that nobody serves.
func rows(t *testing.T, dir, table string) (n int) {
	t.Helper()
	db, err := sqlite3.Open(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, _, err := db.Prepare("SELECT count(*) FROM " + table)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Step() {
		n = s.ColumnInt(0)
	}
	return n
}

// TestDeleteFrees: a deletion leaves one row of a space, also when the power went behind its first step.
func TestDeleteFrees(t *testing.T) {
	for name, crash := range map[string]bool{"at once": false, "after a crash": true} {
		t.Run(name, func(t *testing.T) {
			log := open(t, Config{})
			dir := log.config.Dir
			rng := rand.New(rand.NewPCG(1, 1))
			var kept, gone space.ID
			var head space.Head
			for _, id := range []*space.ID{&kept, &gone} {
				genesis := logtest.NewGenesis(rng)
				*id = genesis.ID()
				if _, err := log.Create(t.Context(), &genesis, nil); err != nil {
					t.Fatal(err)
				}
				records, next := logtest.Batch(rng, space.Head{Chain: *id}, 2*deleteRows)
				if err := log.Append(t.Context(), *id, space.Head{Chain: *id}, records, next); err != nil {
					t.Fatal(err)
				}
				head = next
				var pages []syncserver.Page
				for i := range deleteRows + 1 {
					content := []byte{byte(i), byte(i >> 8)}
					pages = append(pages, syncserver.Page{Name: digest.Of(content), Bytes: content})
				}
				if err := log.PutPages(t.Context(), *id, pages); err != nil {
					t.Fatal(err)
				}
			}
			if crash {
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
				alter(t, dir, "DELETE FROM heads WHERE space = 2; DELETE FROM events WHERE id IN (SELECT id FROM events WHERE space = 2 LIMIT 500)")
				log = open(t, Config{Dir: dir})
				if records, err := log.Read(t.Context(), gone, 0, 10, 1<<20); !errors.Is(err, syncserver.ErrDeleted) || len(records) > 0 {
					t.Fatalf("Read of what is half freed = %d records, %v", len(records), err)
				}
			}
			if err := log.Delete(t.Context(), gone, head); err != nil {
				t.Fatal(err)
			}
			logtest.CheckSpace(t.Context(), t, log, kept)
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			for table, want := range map[string]int{"spaces": 2, "heads": 1, "events": 2 * deleteRows, "pages": deleteRows + 1} {
				if n := rows(t, dir, table); n != want {
					t.Errorf("%d rows of %s, not %d", n, table, want)
				}
			}
		})
	}
}
