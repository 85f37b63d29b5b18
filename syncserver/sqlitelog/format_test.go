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
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/logtest"
)

// alter runs SQL on a database that nobody serves.
func alter(t *testing.T, dir, sql string) {
	t.Helper()
	db, err := sqlite3.Open(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Exec(sql); err != nil {
		t.Fatal(err)
	}
}

// files returns what is in a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	content := map[string]string{}
	for _, entry := range entries {
		b, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		content[entry.Name()] = string(b)
	}
	return content
}

// filled returns a directory with a closed log in it, and a space there with its records.
func filled(t *testing.T) (dir string, id space.ID, head space.Head) {
	t.Helper()
	log := open(t, Config{})
	rng := rand.New(rand.NewPCG(1, 1))
	genesis := logtest.NewGenesis(rng)
	id = genesis.ID()
	if _, err := log.Create(t.Context(), &genesis, nil); err != nil {
		t.Fatal(err)
	}
	records, head := logtest.Batch(rng, space.Head{Chain: id}, 3, 2)
	if err := log.Append(t.Context(), id, space.Head{Chain: id}, records, head); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return log.config.Dir, id, head
}

func TestNewerData(t *testing.T) {
	for name, test := range map[string]struct {
		sql   string
		write bool // whether only writing is refused
	}{
		"reader": {"UPDATE format SET version = 9, release = '2.1.3', min_reader = 1001, min_writer = 1001", false},
		"writer": {"UPDATE format SET version = 9, release = '2.1.3', min_writer = 1001", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir, id, head := filled(t)
			alter(t, dir, test.sql)
			before := files(t, dir)
			_, err := Open(t.Context(), Config{Dir: dir})
			var format *FormatError
			if !errors.As(err, &format) || format.Format != 9 || format.Release != "2.1.3" || format.Writer != test.write || !strings.Contains(err.Error(), "skerry 2.1.3") {
				t.Fatalf("Open = %v", err)
			}
			if !maps.Equal(files(t, dir), before) {
				t.Fatal("a refused open changed the directory")
			}
			log, err := OpenReadOnly(t.Context(), Config{Dir: dir})
			if !test.write {
				if !errors.As(err, &format) {
					t.Fatalf("OpenReadOnly = %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			if got, err := log.Head(t.Context(), id); err != nil || got != head {
				t.Fatalf("Head = %+v, %v", got, err)
			}
		})
	}
}

// TestReleaseOfTheFormat: a release that is named with a checksum is read without it, and no bit of it may be another one; one that an earlier build has named without is what it says, as
// far as it may be the name of one.
func TestReleaseOfTheFormat(t *testing.T) {
	text := releaseText("2.1.3-rc.1", 9, 1001, 1001)
	if !releaseIsWhole(text, 9, 1001, 1001) || !releaseIsWhole("0.1.0", 6, 1000, 1000) {
		t.Errorf("%q is not what was written", text)
	}
	for bit := range 8 * len(text) {
		flipped := []byte(text)
		if flipped[bit/8] ^= 1 << (bit % 8); releaseIsWhole(string(flipped), 9, 1001, 1001) {
			t.Errorf("%q is taken for what was written", flipped)
		}
	}
	for _, other := range [][3]int{{8, 1001, 1001}, {9, 1000, 1001}, {9, 1001, 1000}} {
		if releaseIsWhole(text, other[0], other[1], other[2]) {
			t.Errorf("of another format, %v, it is taken for what was written", other)
		}
	}
	for _, text := range []string{"", "0.1", "0.1,0", "0.1.0+sun.12345678", "0.1.0\x00"} {
		if releaseIsWhole(text, 6, 1000, 1000) {
			t.Errorf("%q is taken for a release", text)
		}
	}
	dir, _, _ := filled(t)
	for release, named := range map[string]string{text: "skerry 2.1.3-rc.1 has", "3" + text[1:]: "a newer skerry has"} {
		alter(t, dir, fmt.Sprintf("UPDATE format SET version = 9, release = '%s', min_reader = 1001, min_writer = 1001", release))
		if _, err := Open(t.Context(), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), named) || strings.Contains(err.Error(), "sum") {
			t.Errorf("Open = %v, want that %s", err, named)
		}
	}
}

// TestFormats: what each format has asked of builds does not change any more. A layout that changes has a new number, and asks for a new one
// of builds where earlier ones would misread it.
func TestFormats(t *testing.T) {
	asked := map[int]struct{ reader, writer int }{1: {512, 512}, 2: {512, 512}, 3: {512, 512}, 4: {512, 512}, 5: {512, 512}, 6: {1000, 1000}}
	if now := asked[formatVersion]; len(asked) != formatVersion || now.reader != minReader || now.writer != minWriter || knows < minReader || knows < minWriter {
		t.Errorf("format %d asks for %d and %d of %d, and here is written %v", formatVersion, minReader, minWriter, knows, asked)
	}
	layouts := map[int]string{6: "3bcc69"}
	text := regexp.MustCompile(`--.*|\s+`).ReplaceAllString(schema, " ")
	if d := digest.Of([]byte(strings.Join(strings.Fields(text), " "))).String()[:6]; layouts[formatVersion] != d {
		t.Errorf("the layout has the digest %s, and not that of format %d: it needs a number of its own", d, formatVersion)
	}
}

// TestBuildsBeforeFormat6 refuse it: they compare what is asked with the number 512, and would not see that rows have checksums.
func TestBuildsBeforeFormat6(t *testing.T) {
	dir, _, _ := filled(t)
	db, err := sqlite3.Open(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	row, _, err := db.Prepare("SELECT min_reader, min_writer FROM format")
	if err != nil {
		t.Fatal(err)
	}
	defer row.Close()
	if !row.Step() || row.ColumnInt(0) <= 512 || row.ColumnInt(1) <= 512 {
		t.Errorf("new data asks for %d and %d", row.ColumnInt(0), row.ColumnInt(1))
	}
}

// TestNewerDataAfterCrash is the same with a write-ahead log that was left behind.
func TestNewerDataAfterCrash(t *testing.T) {
	dir, _, _ := filled(t)
	db, err := sqlite3.Open(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Exec("UPDATE format SET min_reader = 1001, min_writer = 1001"); err != nil {
		t.Fatal(err)
	}
	crashed := t.TempDir()
	for name, content := range files(t, dir) {
		if err := os.WriteFile(filepath.Join(crashed, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	if err := os.Remove(filepath.Join(crashed, FileName+"-shm")); err != nil {
		t.Fatal(err)
	}
	before := files(t, crashed)
	var format *FormatError
	if _, err := Open(t.Context(), Config{Dir: crashed}); !errors.As(err, &format) {
		t.Fatalf("Open = %v", err)
	}
	if !maps.Equal(files(t, crashed), before) {
		t.Fatal("a refused open changed the directory")
	}
}

// TestOlderData: what an older or interrupted build did not make is added, and nothing is lost.
func TestOlderData(t *testing.T) {
	for _, sql := range []string{
		"DROP TABLE limits; DROP TABLE keys; DROP TABLE blobs",
		"DROP TABLE format",
		"DROP TABLE usage; UPDATE format SET version = 2",
		"DELETE FROM format",
		"PRAGMA journal_mode = DELETE",
	} {
		dir, id, head := filled(t)
		alter(t, dir, sql)
		log := open(t, Config{Dir: dir})
		if got, err := log.Head(t.Context(), id); err != nil || got != head {
			t.Fatalf("after %q: Head = %+v, %v", sql, got, err)
		}
		logtest.CheckSpace(t.Context(), t, log, id)
		logtest.CheckUsage(t.Context(), t, log)
		if ok, err := log.CompareAndSet(t.Context(), "a", nil, []byte("b")); err != nil || !ok {
			t.Fatalf("after %q: CompareAndSet = %v, %v", sql, ok, err)
		}
		if err := log.PutBlob(t.Context(), [32]byte{1}, []byte("c")); err != nil {
			t.Fatalf("after %q: PutBlob = %v", sql, err)
		}
		if _, err := log.Limit(t.Context(), time.Unix(1, 0), []syncserver.Charge{{Key: "d", Interval: 1, Burst: 1, Cost: 1}}); err != nil {
			t.Fatalf("after %q: Limit = %v", sql, err)
		}
	}
	// A file that was only begun.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, Config{Dir: dir})
}

// TestTablesOfClientsAreAdded: data of a version that did not know who is connected gets the tables, which one line of the log says
// once, and may be looked into before.
func TestTablesOfClientsAreAdded(t *testing.T) {
	dir, id, head := filled(t)
	alter(t, dir, "DROP TABLE st_client; DROP TABLE st_connection_credentials; UPDATE format SET version = 1")
	reader, err := OpenReadOnly(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if clients, err := reader.Clients(t.Context(), wire.ConnectionID{}, 10); err != nil || len(clients) != 0 {
		t.Fatalf("Clients = %v, %v", clients, err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	for round, want := range []int{1, 0} {
		var lines bytes.Buffer
		log := open(t, Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(&lines, nil))})
		if got := strings.Count(lines.String(), "st_client, st_connection_credentials"); got != want || (lines.Len() > 0) != (want > 0) {
			t.Fatalf("opened %d times before, the log says:\n%s", round, lines.String())
		}
		if got, err := log.Head(t.Context(), id); err != nil || got != head {
			t.Fatalf("Head = %+v, %v", got, err)
		}
		if clients, err := log.Clients(t.Context(), wire.ConnectionID{}, 10); err != nil || len(clients) != 0 {
			t.Fatalf("Clients = %v, %v", clients, err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPowerFailsWhileTablesAreAdded: wherever it does, the next opening adds what is missing.
func TestPowerFailsWhileTablesAreAdded(t *testing.T) {
	withoutRaceDetector(t)
	for after := 1; ; after++ {
		fs, config := newFS(t)
		log := open(t, config)
		err := log.write(t.Context(), 0, func(w *writer) error {
			return w.conn.Exec("DROP TABLE st_client; DROP TABLE st_connection_credentials")
		})
		if err := errors.Join(err, log.Close()); err != nil {
			t.Fatal(err)
		}
		fs.CrashAfter(after)
		log, err = Open(t.Context(), config)
		finished := err == nil && log.Close() == nil
		fs.Crash(nil)
		log = open(t, config)
		if clients, err := log.Clients(t.Context(), wire.ConnectionID{}, 10); err != nil || len(clients) != 0 {
			t.Fatalf("after %d changes: Clients = %v, %v", after, clients, err)
		}
		integrity(t, log)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if finished {
			return
		}
	}
}

func TestForeignData(t *testing.T) {
	dir := t.TempDir()
	alter(t, dir, "CREATE TABLE theirs(x)")
	before := files(t, dir)
	if _, err := Open(t.Context(), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "not Skerry's") {
		t.Fatalf("Open = %v", err)
	}
	if !maps.Equal(files(t, dir), before) {
		t.Fatal("a refused open changed the directory")
	}
	garbage := t.TempDir()
	if err := os.WriteFile(filepath.Join(garbage, FileName), bytes.Repeat([]byte("garbage "), 1024), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Dir: garbage}); !errors.Is(err, sqlite3.NOTADB) {
		t.Fatalf("Open = %v", err)
	}
}

func TestDirectoryIsLocked(t *testing.T) {
	log := open(t, Config{})
	if _, err := Open(t.Context(), log.config); !errors.Is(err, ErrLocked) {
		t.Fatalf("a second Open = %v", err)
	}
	reader, err := OpenReadOnly(t.Context(), log.config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Create(t.Context(), &space.Genesis{}, nil); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("Create on a reader = %v", err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Head(t.Context(), space.ID{}); !errors.Is(err, ErrClosed) {
		t.Fatalf("Head after Close = %v", err)
	}
	open(t, Config{Dir: log.config.Dir})
}

// TestSpaceNumbersAreNotReused: a number that a deleted space had would find that space's rows.
func TestSpaceNumbersAreNotReused(t *testing.T) {
	dir, id, _ := filled(t)
	alter(t, dir, "DELETE FROM heads; DELETE FROM spaces")
	log := open(t, Config{Dir: dir})
	genesis := logtest.NewGenesis(rand.New(rand.NewPCG(2, 2)))
	if _, err := log.Create(t.Context(), &genesis, nil); err != nil {
		t.Fatal(err)
	}
	if records := logtest.CheckSpace(t.Context(), t, log, genesis.ID()); len(records) != 0 || genesis.ID() == id {
		t.Fatalf("a new space has %d records", len(records))
	}
}
