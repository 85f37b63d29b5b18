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
		"DROP TABLE limits":         "limits is not what it has to be",
		"DROP INDEX usage_of_space": "usage.usage_of_space is not what it has to be",
		"CREATE TRIGGER forget AFTER INSERT ON keys BEGIN DELETE FROM keys; END":                            "keys.forget is not Skerry's",
		"CREATE UNIQUE INDEX once ON events(origin, idx, id)":                                               "events.once is not Skerry's",
		"PRAGMA writable_schema = ON; UPDATE sqlite_schema SET name = 'St_client' WHERE name = 'st_client'": "st_client.st_client is not what it has to be", // SQLite takes them as one, and who looks for the table does not
		written("format", "CHECK (one = 1)", ""):                                                            "format.format is not what it has to be",
		written("origins", " AUTOINCREMENT", ""):                                                            "origins.origins is not what it has to be",
		written("blobs", "UNIQUE", "UNIQUE ON CONFLICT IGNORE"):                                             "blobs.blobs is not what it has to be",
		"UPDATE format SET min_writer = 0":                                                                  "asks for other builds than it has to",
		"UPDATE format SET release = '4' || substr(release, 2)":                                             `not what was written: "4.`,
		"UPDATE format SET release = '0.1,0'":                                                               `not what was written: "0.1,0"`,
		"UPDATE format SET version = 77":                                                                    "of format 77, and this release knows",
		"PRAGMA application_id = 5":                                                                         "not Skerry's",
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
	for at := range 2 {
		spoiled := t.TempDir()
		content := []byte(files(t, dir)[FileName])
		content[18+at] ^= 2
		if err := os.WriteFile(filepath.Join(spoiled, FileName), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if found, err := checked(t, spoiled); err != nil || len(found) != 1 || !strings.Contains(found[0], "of SQLite's format") {
			t.Errorf("with other versions in the header: found %v, %v", found, err)
		}
	}
	if _, err := checked(t, t.TempDir()); err == nil || !strings.Contains(err.Error(), "there is no data") {
		t.Errorf("in an empty directory: %v", err)
	}
}

// written is SQL that changes how a table is written down in SQLite's schema.
func written(table, from, to string) string {
	return fmt.Sprintf("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '%s', '%s') WHERE name = '%s'", from, to, table)
}

// TestCheckPassesOver: what Litestream keeps in the database is its own, and how a statement is laid out says nothing; and what was brought up to
// date from an older format is as if it were new.
func TestCheckPassesOver(t *testing.T) {
	dir := full(t)
	alter(t, dir, "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER); CREATE TABLE _litestream_lock (id INTEGER)")
	alter(t, dir, written("keys", "here and below", "here, and below (too)"))
	if found, err := checked(t, dir); err != nil || len(found) > 0 {
		t.Errorf("found %v, %v", found, err)
	}
	config := Config{Dir: t.TempDir()}
	older(t, config)
	open(t, config).Close()
	if found, err := checked(t, config.Dir); err != nil || len(found) > 0 {
		t.Errorf("of an older format: found %v, %v", found, err)
	}
}
