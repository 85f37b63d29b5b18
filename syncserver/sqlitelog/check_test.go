package sqlitelog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/syncserver"
	"skerry/syncserver/logtest"
)

// checked returns what Check finds in a directory, and its error.
func checked(t *testing.T, dir string) (found []string, err error) {
	t.Helper()
	err = Check(t.Context(), Config{Dir: dir}, func(f Finding) { found = append(found, f.String()) }, nil)
	return found, err
}

// full returns a small directory that has some of everything, and is closed.
func full(t *testing.T) string {
	t.Helper()
	log := open(t, Config{})
	rng := rand.New(rand.NewPCG(7, 8))
	var ids []space.ID
	var heads []space.Head
	for range 4 {
		genesis := logtest.NewGenesis(rng)
		if _, err := log.Create(t.Context(), &genesis, nil); err != nil {
			t.Fatal(err)
		}
		head := space.Head{Chain: genesis.ID()}
		for n := range 6 {
			records, next := logtest.Batch(rng, head, 2, 3)
			if n == 3 {
				records[1].Payload = bytes.Repeat([]byte("long "), 1000)
				next.Chain = space.Fold(head.Chain, records)
			}
			changes := syncserver.ClientChanges{Connected: []syncserver.Client{{Connection: [16]byte{byte(n)}, Identity: "somebody", Since: 5, Claims: []byte("claims")}}}
			if err := log.AppendClients(t.Context(), genesis.ID(), head, records, next, changes); err != nil {
				t.Fatal(err)
			}
			head = next
		}
		page := fmt.Append(nil, "a page of ", genesis.ID())
		blob := fmt.Append(nil, "a module ", genesis.ID())
		_, err := log.CompareAndSet(t.Context(), "named/"+genesis.ID().String(), nil, []byte("a name"))
		_, limited := log.Limit(t.Context(), time.Unix(1, 0), []syncserver.Charge{{Key: genesis.ID().String(), Interval: time.Hour, Burst: 5, Cost: 1}})
		err = errors.Join(err, limited, log.PutBlob(t.Context(), digest.Of(blob), blob),
			log.PutPages(t.Context(), genesis.ID(), []syncserver.Page{{Name: digest.Of(page), Bytes: page}}))
		if err != nil {
			t.Fatal(err)
		}
		ids, heads = append(ids, genesis.ID()), append(heads, head)
	}
	err := errors.Join(log.Delete(t.Context(), ids[0], heads[0]), log.Expire(t.Context(), ids[1], 10), log.Close())
	if err != nil {
		t.Fatal(err)
	}
	return log.config.Dir
}

// TestCheck: in what is whole nothing is found, also while it is written to, and in what is not, it is, with its place.
func TestCheck(t *testing.T) {
	dir := full(t)
	if found, err := checked(t, dir); err != nil || len(found) > 0 {
		t.Fatalf("found %v, %v", found, err)
	}
	log := open(t, Config{Dir: dir})
	if found, err := checked(t, dir); err != nil || len(found) > 0 {
		t.Fatalf("beside a server: found %v, %v", found, err)
	}
	log.Close()
	for sql, want := range map[string]string{
		"UPDATE events SET payload = x'00' WHERE id = (SELECT max(id) - 5 FROM events)":           "something in records 21 to 25 was changed; restore",
		"UPDATE events SET received_at = received_at + 1 WHERE id = (SELECT max(id) FROM events)": "the chain does not fit",
		"UPDATE origins SET author = 'somebody else' WHERE no = (SELECT max(origin) FROM events)": "the chain does not fit",
		"UPDATE events SET payload = zeroblob(32) WHERE id = 2 << 32 | 3":                         "the chain does not fit",
		"DELETE FROM events WHERE id = (SELECT max(id) - 7 FROM events)":                          "are missing",
		"DELETE FROM events WHERE id = (SELECT max(id) FROM events)":                              "its head is at 30, and its last record is 29",
		"DELETE FROM events WHERE id >> 32 = 4":                                                   "it has no records",
		"UPDATE events SET chain = NULL WHERE id = (SELECT max(id) FROM events)":                  "does not come to its head",
		"UPDATE events SET space = 3 WHERE id = (SELECT max(id) FROM events)":                     "says that it is another's",
		"UPDATE events SET idx = 1 WHERE id = (SELECT max(id) FROM events)":                       "breaks its transaction",
		"DELETE FROM origins WHERE no = (SELECT max(origin) FROM events)":                         " is missing",
		"UPDATE heads SET received_at = 7 WHERE space = 4":                                        "the time of its head",
		"UPDATE heads SET seq = 29 WHERE space = 4":                                               "its head is at 29",
		"UPDATE heads SET chain = zeroblob(32) WHERE space = 4":                                   "does not come to its head",
		"INSERT INTO heads VALUES (99, 0, x'00', 0)":                                              "one belongs to no space: number 99",
		"DELETE FROM heads WHERE space = 2":                                                       "something of no space",
		"UPDATE spaces SET creator = 'somebody else' WHERE no = 3":                                "not what its ID says",
		"UPDATE spaces SET params = x'c0' WHERE no = 1":                                           "not what its ID says",
		"DELETE FROM spaces WHERE no = 3":                                                         "some belong to no space: number 3",
		"UPDATE usage SET bytes = bytes + 1 WHERE space = 3":                                      "are counted",
		"DELETE FROM usage WHERE space = 3":                                                       "which are not counted",
		"INSERT INTO usage VALUES ('somebody', 99, 1)":                                            "a count belongs to no space",
		"UPDATE expired SET freed = 3":                                                            "the payloads between are still there",
		"UPDATE expired SET upto = 3":                                                             "has expired up to 3 and is freed up to 10",
		"UPDATE expired SET bytes = bytes + 1":                                                    "counted wrong",
		"UPDATE blobs SET bytes = x'00' WHERE no = 1":                                             "not those of its digest",
		"UPDATE pages SET bytes = x'00' WHERE no = 2":                                             "not those of its digest; nothing is lost",
		"UPDATE pages SET space = 99 WHERE no = 2":                                                "it belongs to no space",
		"UPDATE keys SET value = x'00' WHERE key = (SELECT max(key) FROM keys)":                   "keys \"named/",
		"UPDATE limits SET tat = 5 WHERE key = (SELECT max(key) FROM limits)":                     "limits",
		"UPDATE st_client SET since = 6":                                                          "st_client 00000000000000000000000000000000: it is not what was written",
		"UPDATE st_connection_credentials SET claims = x'00'":                                     "st_connection_credentials",
		"UPDATE sqlite_sequence SET seq = 2 WHERE name = 'spaces'":                                "the last of spaces is 4, and SQLite takes it for 2",
		"DROP TABLE limits":                "limits is not what it has to be",
		"DROP INDEX usage_of_space":        "usage.usage_of_space is not what it has to be",
		"UPDATE format SET min_writer = 0": "asks for other builds than it has to",
		"UPDATE format SET version = 77":   "of format 77, and this release knows",
		"PRAGMA application_id = 5":        "not Skerry's",
	} {
		spoiled := t.TempDir()
		if err := os.CopyFS(spoiled, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		alter(t, spoiled, sql)
		before := dumpFile(t, Config{Dir: spoiled})
		found, err := checked(t, spoiled)
		if text := strings.Join(found, "\n") + fmt.Sprint(err); !strings.Contains(text, want) {
			t.Errorf("after %s: found %s", sql, text)
		}
		if !slices.Equal(dumpFile(t, Config{Dir: spoiled}), before) {
			t.Errorf("after %s: Check changed something", sql)
		}
	}
	if _, err := checked(t, t.TempDir()); err == nil || !strings.Contains(err.Error(), "there is no data") {
		t.Errorf("in an empty directory: %v", err)
	}
}

// TestSoakCheckFindsEveryBit flips a bit of every byte of a small database, of some bytes here and all in make soak. Either Check finds it, or every
// row of every table is what it was: then it is in what nobody reads, as free space is.
func TestSoakCheckFindsEveryBit(t *testing.T) {
	withoutRaceDetector(t)
	dir := full(t)
	content, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	seed, every := seeded(t, max(len(content)/150, 1), 1)
	rng := rand.New(rand.NewPCG(seed, 1))
	want, err := rowsOf(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	spoiled := t.TempDir()
	name := filepath.Join(spoiled, FileName)
	caught, free := 0, 0
	for at := rng.IntN(every); at < len(content); at += every {
		bit := byte(1) << rng.IntN(8)
		content[at] ^= bit
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		content[at] ^= bit
		found, err := checked(t, spoiled)
		if err != nil || len(found) > 0 {
			caught++
			continue
		}
		free++
		if got, err := rowsOf(name); err != nil || !slices.Equal(got, want) {
			t.Fatalf("SKERRY_SEED=%d: bit %08b of byte %d of %d changes rows (%v), and is not found", seed, bit, at, len(content), err)
		}
	}
	t.Logf("%d were found, %d are in free space", caught, free)
	if caught == 0 || free == 0 {
		t.Error("nothing was tried")
	}
}

// rowsOf returns every row of every table.
func rowsOf(name string) (rows []string, err error) {
	c, err := connect(name, sqlite3.OPEN_READONLY, map[string][]string{"mode": {"ro"}, "immutable": {"1"}}, "")
	if err != nil {
		return nil, err
	}
	defer c.close()
	for _, table := range []string{"format", "spaces", "heads", "origins", "events", "expired", "usage", "blobs", "pages", "keys", "limits", "st_client", "st_connection_credentials", "sqlite_sequence"} {
		err := c.rows("SELECT * FROM "+table, func(s *sqlite3.Stmt) bool {
			row := table
			for i := range s.ColumnCount() {
				row += fmt.Sprintf("|%s %x", s.ColumnType(i), s.ColumnRawBlob(i))
			}
			rows = append(rows, row)
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(rows)
	return rows, nil
}

// TestCheckFindsDamagedWAL flips bits in the write-ahead log that a killed server left. Each is found, or takes nothing away.
func TestCheckFindsDamagedWAL(t *testing.T) {
	log := open(t, Config{})
	rng := rand.New(rand.NewPCG(9, 9))
	genesis := logtest.NewGenesis(rng)
	if _, err := log.Create(t.Context(), &genesis, nil); err != nil {
		t.Fatal(err)
	}
	head := space.Head{Chain: genesis.ID()}
	for range 10 {
		records, next := logtest.Batch(rng, head, 2)
		if err := log.Append(t.Context(), genesis.ID(), head, records, next); err != nil {
			t.Fatal(err)
		}
		head = next
	}
	left := files(t, log.config.Dir) // as a kill leaves it
	delete(left, FileName+"-shm")
	wal := []byte(left[FileName+"-wal"])
	if len(wal) < 20*4096 {
		t.Fatalf("the write-ahead log has %d bytes", len(wal))
	}
	dir := t.TempDir()
	put := func() {
		t.Helper()
		os.Remove(filepath.Join(dir, FileName+"-shm"))
		for name, content := range map[string][]byte{FileName: []byte(left[FileName]), FileName + "-wal": wal} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	rows := func() []string {
		t.Helper()
		reader, err := OpenReadOnly(t.Context(), Config{Dir: dir})
		if err != nil {
			return []string{err.Error()}
		}
		defer reader.Close()
		r, err := reader.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer reader.release(r)
		return dump(t, r.conn)
	}
	put()
	want := rows()
	put()
	if found, err := checked(t, dir); err != nil || len(found) > 0 {
		t.Fatalf("of a killed server: found %v, %v", found, err)
	}
	seed, every := seeded(t, max(len(wal)/60, 1), 101)
	rng = rand.New(rand.NewPCG(seed, 1))
	caught := 0
	last := len(wal) - 24 - 4096 // a damaged last commit is one that was cut short
	for at := rng.IntN(every); at < last; at += every {
		bit := byte(1) << rng.IntN(8)
		wal[at] ^= bit
		put()
		found, err := checked(t, dir)
		if err != nil || len(found) > 0 {
			caught++
		} else if put(); !slices.Equal(rows(), want) {
			t.Errorf("SKERRY_SEED=%d: bit %08b of byte %d of %d takes something away, and is not found", seed, bit, at, len(wal))
		}
		wal[at] ^= bit
	}
	if t.Logf("%d were found", caught); caught == 0 {
		t.Error("nothing was found")
	}
}
