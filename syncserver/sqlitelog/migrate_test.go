package sqlitelog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"skerry/shared/space"
	"skerry/syncserver/logtest"
)

// dump returns every row of every table, and what the header says.
func dump(t *testing.T, c *conn) (rows []string) {
	t.Helper()
	query := func(sql string) {
		t.Helper()
		err := c.rows(sql, func(s *sqlite3.Stmt) bool {
			row := sql
			for i := range s.ColumnCount() {
				row += fmt.Sprintf("|%s %x", s.ColumnType(i), s.ColumnRawBlob(i))
			}
			rows = append(rows, row)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	query("PRAGMA user_version")
	query("PRAGMA application_id")
	query("SELECT type, name, tbl_name, sql FROM sqlite_schema")
	var tables []string
	err := c.rows("SELECT name FROM sqlite_schema WHERE type = 'table'", func(s *sqlite3.Stmt) bool { tables = append(tables, s.ColumnText(0)); return true })
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tables {
		query("SELECT * FROM " + name)
	}
	slices.Sort(rows)
	return rows
}

// dumpFile is dump of a database that nobody serves.
func dumpFile(t *testing.T, config Config) []string {
	t.Helper()
	if err := config.validate(); err != nil {
		t.Fatal(err)
	}
	l := newLog(config)
	c, err := connect(l.path, sqlite3.OPEN_READWRITE, l.uri(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := checkIntegrity(c); err != nil {
		t.Fatal(err)
	}
	return dump(t, c)
}

// older fills the database of config with a space whose records it returns, and makes it one of format 2.
func older(t *testing.T, config Config) (id space.ID, records []space.Record) {
	t.Helper()
	log := open(t, config)
	rng := rand.New(rand.NewPCG(3, 4))
	genesis := logtest.NewGenesis(rng)
	id = genesis.ID()
	if _, err := log.Create(t.Context(), &genesis, nil); err != nil {
		t.Fatal(err)
	}
	head := space.Head{Chain: id}
	for range 4 {
		batch, next := logtest.Batch(rng, head, 3, 2)
		batch[1].Payload = make([]byte, 5000)
		next.Chain = space.Fold(head.Chain, batch)
		if err := log.Append(t.Context(), id, head, batch, next); err != nil {
			t.Fatal(err)
		}
		records, head = append(records, batch...), next
	}
	err := log.write(t.Context(), 0, func(w *writer) error { return w.conn.Exec("DROP TABLE usage; UPDATE format SET version = 2") })
	if err := errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}
	return id, records
}

// checkMigrated looks whether the log has the records, and has counted them.
func checkMigrated(t *testing.T, log *Log, id space.ID, records []space.Record) {
	t.Helper()
	got := logtest.CheckSpace(t.Context(), t, log, id)
	if !slices.EqualFunc(got, records, func(a, b space.Record) bool { return logtest.SameRecord(&a, &b) }) {
		t.Fatal("the records are not what was stored")
	}
	logtest.CheckUsage(t.Context(), t, log)
	integrity(t, log)
}

// names returns which files are in a directory.
func names(t *testing.T, dir string) string {
	return strings.Join(slices.Sorted(maps.Keys(files(t, dir))), " ")
}

// breaking are the real migrations, and one behind them that cannot be.
func breaking(sql string) []migration {
	return append(slices.Clone(migrations), migration{to: formatVersion + 1, name: "what cannot be", sql: sql})
}

func TestMigrates(t *testing.T) {
	config := Config{Dir: t.TempDir()}
	id, records := older(t, config)
	var lines bytes.Buffer
	asked := 0
	config.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	config.free = func(string) (int64, bool) { asked++; return 1 << 40, true }
	log := open(t, config)
	checkMigrated(t, log, id, records)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, config.Dir); got != FileName {
		t.Errorf("left are %s", got)
	}
	if said := lines.String(); strings.Count(said, "count what everybody has written") != 1 || asked != 1 {
		t.Errorf("asked for room %d times, and the log says:\n%s", asked, said)
	}
	lines.Reset()
	log = open(t, config) // nothing is pending: no backup
	checkMigrated(t, log, id, records)
	if asked != 1 || lines.Len() > 0 {
		t.Errorf("opened again it asks for room, %d times by now, and the log says:\n%s", asked, lines.String())
	}
	log.Close()
	open(t, Config{free: config.free}) // nor in a new directory
	if asked != 1 {
		t.Error("a new directory is backed up")
	}
}

// TestMigrationFails: the data is as it was before, row by row, and the next release brings it up to date.
func TestMigrationFails(t *testing.T) {
	for name, sql := range map[string]string{
		"refused":   "DELETE FROM events; INSERT INTO format(one, version, min_reader, min_writer) VALUES (2, 1, 1, 1)",
		"committed": "DELETE FROM events; UPDATE usage SET bytes = 0; COMMIT; BEGIN; DROP TABLE keys; DROP TABLE nothing",
		"damaged":   "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'events'; PRAGMA writable_schema = OFF",
	} {
		t.Run(name, func(t *testing.T) {
			config := Config{Dir: t.TempDir()}
			id, records := older(t, config)
			before := dumpFile(t, config)
			newer := config
			newer.migrations, newer.version = breaking(sql), formatVersion+1
			_, err := Open(t.Context(), newer)
			var failed *MigrationError
			if !errors.As(err, &failed) || failed.Name != "what cannot be" || failed.Kept != "" || !strings.Contains(err.Error(), `"what cannot be"`) {
				t.Fatalf("Open = %v", err)
			}
			if got := names(t, config.Dir); got != FileName {
				t.Errorf("left are %s", got)
			}
			if !slices.Equal(dumpFile(t, config), before) {
				t.Fatal("the data is not as it was before")
			}
			checkMigrated(t, open(t, config), id, records)
		})
	}
}

// TestPuttingBackFails: what was there before is kept and named, and no start touches anything until somebody has seen to it.
func TestPuttingBackFails(t *testing.T) {
	config := Config{Dir: t.TempDir()}
	id, records := older(t, config)
	kept := filepath.Join(config.Dir, FileName+beforeSuffix)
	var whole []byte
	newer := config
	newer.version = formatVersion + 1
	newer.migrations = breaking("COMMIT; ATTACH '" + kept + "' AS kept; PRAGMA kept.writable_schema = ON; DELETE FROM kept.sqlite_schema; DETACH kept; BEGIN; DELETE FROM events; COMMIT; fail")
	newer.syncDir = func(dir string) error { // once the backup is whole
		if content, err := os.ReadFile(kept); err == nil && whole == nil {
			whole = content
		}
		return syncDir(dir)
	}
	_, err := Open(t.Context(), newer)
	var failed *MigrationError
	if !errors.As(err, &failed) || failed.Name != "what cannot be" || failed.Kept != kept || !strings.Contains(err.Error(), kept) {
		t.Fatalf("Open = %v", err)
	}
	before := files(t, config.Dir)
	for _, config := range []Config{newer, config} {
		_, err := Open(t.Context(), config)
		if err == nil || !strings.Contains(err.Error(), kept) || !strings.Contains(err.Error(), "what cannot be") || !strings.Contains(err.Error(), "delete "+kept+".failed") {
			t.Fatalf("Open = %v", err)
		}
		if !maps.Equal(files(t, config.Dir), before) {
			t.Fatal("a refused start changed the directory")
		}
	}
	if _, err := OpenReadOnly(t.Context(), config); err == nil || !strings.Contains(err.Error(), kept) {
		t.Fatalf("OpenReadOnly = %v", err)
	}
	// Somebody sees to the disk, and does what they were told.
	if err := errors.Join(os.WriteFile(kept, whole, 0o600), os.Remove(kept+".failed")); err != nil {
		t.Fatal(err)
	}
	checkMigrated(t, open(t, config), id, records)
}

// TestNoRoomToMigrate: without room for a backup nothing is begun, and nothing changed; with just enough it is.
func TestNoRoomToMigrate(t *testing.T) {
	config := Config{Dir: t.TempDir()}
	id, records := older(t, config)
	before := dumpFile(t, config)
	info, err := os.Stat(filepath.Join(config.Dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	config.free = func(string) (int64, bool) { return 2*info.Size() - 1, true }
	if _, err := Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), "needs 1 MiB of room") || !strings.Contains(err.Error(), "count what") {
		t.Fatalf("Open = %v", err)
	}
	if got := names(t, config.Dir); got != FileName {
		t.Errorf("left are %s", got)
	}
	if !slices.Equal(dumpFile(t, config), before) {
		t.Fatal("the data is not as it was before")
	}
	config.free = func(string) (int64, bool) { return 2 * info.Size(), true }
	checkMigrated(t, open(t, config), id, records)
}

// TestPowerFailsInMigration loses the power at every change of a migration that succeeds, and of one that fails and is put back. The
// next start finds the data as it was, or migrated, and brings it up to date; also if the power fails in that, once more.
func TestPowerFailsInMigration(t *testing.T) {
	withoutRaceDetector(t)
	for name, sql := range map[string]string{"succeeds": "", "fails": "DELETE FROM events WHERE idx = 0; COMMIT; BEGIN; DROP TABLE nothing"} {
		t.Run(name, func(t *testing.T) {
			seed, _ := seeded(t, 1, 1)
			for after, finished := 1, false; !finished; after++ {
				rng := rand.New(rand.NewPCG(seed, uint64(after)))
				fs, config := newFS(t)
				config.checkpoint = []int{2, 8000}[after%2]
				id, records := older(t, config)
				newer := config
				if sql != "" {
					newer.migrations, newer.version = breaking(sql), formatVersion+1
				}
				fs.CrashAfter(after)
				log, err := Open(t.Context(), newer)
				var failed *MigrationError
				switch {
				case err == nil:
					finished = log.Close() == nil && fs.Changes() < after
				case errors.As(err, &failed) && failed.Kept == "":
					finished = fs.Changes() < after
				}
				if after%3 == 0 {
					fs.Crash(nil)
				} else {
					fs.Crash(rng)
				}
				if after%5 == 0 { // again, while that is put right
					fs.CrashAfter(1 + rng.IntN(60))
					if log, err := Open(t.Context(), config); err == nil {
						log.Close()
					}
					fs.Crash(rng)
				}
				log, err = Open(t.Context(), config)
				if err != nil {
					t.Fatalf("SKERRY_SEED=%d, after %d changes: %v", seed, after, err)
				}
				checkMigrated(t, log, id, records)
				if found, err := vfs.Find(fs.Name()).Access(log.path+beforeSuffix, vfs.ACCESS_EXISTS); err != nil || found {
					t.Fatalf("after %d changes: the backup is there still: %v", after, err)
				}
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
				if finished {
					t.Logf("%d changes", after)
				}
			}
		})
	}
}
