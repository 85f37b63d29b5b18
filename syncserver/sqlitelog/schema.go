package sqlitelog

import (
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/semver"
	"skerry/syncserver"
)

const (
	formatVersion = 6 // of the layout below; rises with every change to it

	// knows is what this build makes sense of. It rises by one with each change to the layout that earlier builds would misread, or would spoil
	// by writing, which then ask for it as minReader or minWriter: two builds of one release may differ in it. Builds
	// before format 6 knew 512, which they took for their release, and 1000 for 0.1.0.
	knows     = 1000
	minReader = 1000 // what a build has to know to read the layout right
	minWriter = 1000 // what it has to know to write it
)

// applicationID marks a database as Skerry's in its header.
const applicationID = 0x536b7279 // "Skry"

// minSQLite is the first SQLite without a bug that corrupts a database when the write-ahead log starts over.
const minSQLite = 3_051_003

// schema makes whatever is missing, in a new database as in an old one.
//
// It is the only place that creates anything. A table's columns are in the order in which they are read, with the
// payload last, so that all else is found without following a long row over its pages.
const schema = `
CREATE TABLE IF NOT EXISTS format(
	one        INTEGER PRIMARY KEY CHECK (one = 1),
	version    INTEGER NOT NULL,
	min_reader INTEGER NOT NULL,
	min_writer INTEGER NOT NULL,
	release    TEXT NOT NULL DEFAULT '' -- which brought it to this version, for people
) STRICT;

-- AUTOINCREMENT: the number of a space that was deleted must not come back, for its rows are found by it.
CREATE TABLE IF NOT EXISTS spaces(
	no        INTEGER PRIMARY KEY AUTOINCREMENT,
	id        BLOB NOT NULL UNIQUE,
	stamp     BLOB NOT NULL,
	creator   TEXT NOT NULL,
	module    BLOB NOT NULL,
	params    BLOB NOT NULL,
	signature BLOB NOT NULL
) STRICT;

-- A space without a head was deleted: its row in spaces stays, so that it is never made again.
CREATE TABLE IF NOT EXISTS heads(
	space       INTEGER PRIMARY KEY,
	seq         INTEGER NOT NULL,
	chain       BLOB NOT NULL,
	received_at INTEGER NOT NULL
) STRICT;

-- Who wrote an event and with what: a few of them stand behind very many events.
CREATE TABLE IF NOT EXISTS origins(
	no             INTEGER PRIMARY KEY AUTOINCREMENT,
	author         TEXT NOT NULL,
	api            TEXT NOT NULL,
	client_version TEXT NOT NULL,
	UNIQUE (author, api, client_version)
) STRICT;

CREATE TABLE IF NOT EXISTS events(
	id          INTEGER PRIMARY KEY, -- space << 32 | seq
	space       INTEGER NOT NULL,
	ulid        BLOB NOT NULL,
	origin      INTEGER NOT NULL,
	received_at INTEGER NOT NULL,
	idx         INTEGER NOT NULL,
	cnt         INTEGER NOT NULL,
	schema      INTEGER NOT NULL,    -- eight bytes, big-endian
	chain       BLOB,                -- where an append ended
	type        TEXT NOT NULL,
	payload     BLOB NOT NULL,
	UNIQUE (space, ulid)
) STRICT;

-- Up to which record a space has expired, and up to which the payloads are freed: there, events have the digest of what theirs was.
CREATE TABLE IF NOT EXISTS expired(
	space INTEGER PRIMARY KEY,
	upto  INTEGER NOT NULL,
	freed INTEGER NOT NULL,
	bytes INTEGER NOT NULL -- of what is left of the records up to freed
) STRICT;

-- How much each author has written to each space. It is written with the events that it counts.
CREATE TABLE IF NOT EXISTS usage(
	author TEXT NOT NULL,
	space  INTEGER NOT NULL,
	bytes  INTEGER NOT NULL,
	PRIMARY KEY (author, space)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS usage_of_space ON usage(space);
CREATE INDEX IF NOT EXISTS spaces_of_creator ON spaces(creator);

CREATE TABLE IF NOT EXISTS blobs(
	no     INTEGER PRIMARY KEY,
	digest BLOB NOT NULL UNIQUE,
	bytes  BLOB NOT NULL
) STRICT;

-- Parts of checkpoints. The bytes of two spaces may be equal, and are each space's own: so what one drops no other needs.
CREATE TABLE IF NOT EXISTS pages(
	no     INTEGER PRIMARY KEY,
	space  INTEGER NOT NULL,
	digest BLOB NOT NULL,
	bytes  BLOB NOT NULL,
	UNIQUE (digest, space)
) STRICT;
CREATE INDEX IF NOT EXISTS pages_of_space ON pages(space, digest);

CREATE TABLE IF NOT EXISTS keys(
	key   BLOB PRIMARY KEY,
	value BLOB NOT NULL,
	sum   INTEGER NOT NULL DEFAULT 0 -- row_sum of the rest, here and below
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS limits(
	key BLOB PRIMARY KEY,
	tat INTEGER NOT NULL, -- nanoseconds since 1970
	sum INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Who is connected, and what their credentials claim (never the credentials). Both are private: no frame and no page has them.
CREATE TABLE IF NOT EXISTS st_client(
	connection_id BLOB NOT NULL,
	identity      TEXT NOT NULL,
	since         INTEGER NOT NULL, -- milliseconds since 1970
	sum           INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (connection_id, identity)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS st_connection_credentials(
	connection_id BLOB NOT NULL,
	identity      TEXT NOT NULL,
	claims        BLOB NOT NULL, -- msgpack
	sum           INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (connection_id, identity)
) STRICT, WITHOUT ROWID;
`

// countUsage fills the table of usage of data that was written before there was one. The sizes are those of [space.Record.Size].
const countUsage = `
DELETE FROM usage;
INSERT INTO usage(author, space, bytes)
	SELECT author, space, sum(length(payload) + octet_length(type) + octet_length(author) + octet_length(api) + octet_length(client_version) + 64)
	FROM events JOIN origins ON no = origin WHERE space IN (SELECT space FROM heads) GROUP BY author, space
`

// FormatError tells that a newer build has written the data, which this one does not make sense of. Nothing was changed.
type FormatError struct {
	Dir     string
	Format  int    // of the data
	Release string // which brought the data to its format; "" if it does not say
	Writer  bool   // whether writing alone is refused; reading may work
}

func (e *FormatError) Error() string {
	use, by := "read", "a newer skerry"
	if e.Writer {
		use = "write"
	}
	if e.Release != "" {
		by = "skerry " + e.Release
	}
	return fmt.Sprintf("%s has brought the data in %s to format %d, which this one (%s, format %d) cannot %s: use a skerry as new as that, or restore a backup of before it",
		by, e.Dir, e.Format, syncserver.Version, formatVersion, use)
}

// checkFormat looks at an existing database and refuses one that is not ours, or too new for what is wanted.
func checkFormat(c *conn, dir string, write bool) error {
	var id, tables, formats int
	for sql, into := range map[string]*int{
		"PRAGMA application_id":              &id,
		"SELECT count(*) FROM sqlite_schema": &tables,
		"SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'format'": &formats,
	} {
		if _, err := c.row(sql, func(s *sqlite3.Stmt) { *into = s.ColumnInt(0) }); err != nil {
			return err
		}
	}
	if tables > 0 && id != applicationID {
		return fmt.Errorf("the database in %s is not Skerry's", dir)
	}
	if formats == 0 {
		return nil // empty, or unfinished
	}
	var version, reader, writer int
	if _, err := c.row("SELECT version, min_reader, min_writer FROM format", func(s *sqlite3.Stmt) {
		version, reader, writer = s.ColumnInt(0), s.ColumnInt(1), s.ColumnInt(2)
	}); err != nil {
		return err
	}
	if reader > knows {
		return &FormatError{Dir: dir, Format: version, Release: releaseOf(c)}
	}
	marked := 0
	if _, err := c.row("PRAGMA user_version", func(s *sqlite3.Stmt) { marked = s.ColumnInt(0) }); err != nil {
		return err
	}
	if marked != 0 && !write {
		return fmt.Errorf("the data in %s is half migrated: start its server, which puts back what was there before", dir)
	}
	if write && writer > knows {
		return &FormatError{Dir: dir, Format: version, Release: releaseOf(c), Writer: true}
	}
	return nil
}

// releaseOf returns the release that brought the data to its format; "" if it does not say so where this build looks, or is damaged there.
func releaseOf(c *conn) (release string) {
	c.row("SELECT release, version, min_reader, min_writer FROM format", func(s *sqlite3.Stmt) {
		if text := s.ColumnText(0); releaseIsWhole(text, s.ColumnInt(1), s.ColumnInt(2), s.ColumnInt(3)) {
			release, _, _ = strings.Cut(text, releaseSum)
		}
	})
	return release
}

// releaseSum begins the checksum in a release as the format has it: where a semantic version has what does not count.
const releaseSum = "+sum."

// releaseText returns what the format has of a release: its name, and a checksum of that and of what else the format says.
func releaseText(release string, version, reader, writer int) string {
	return fmt.Sprintf("%s%s%08x", release, releaseSum, crc32.ChecksumIEEE(fmt.Appendf(nil, "%s %d %d %d", release, version, reader, writer)))
}

// releaseIsWhole reports whether what the format has of a release is what was written. Of a name without a checksum it can only tell whether it may be one.
func releaseIsWhole(text string, version, reader, writer int) bool {
	if release, _, sum := strings.Cut(text, releaseSum); sum {
		return text == releaseText(release, version, reader, writer)
	}
	_, err := semver.Parse(text)
	return err == nil && !strings.Contains(text, releaseSum[:1]) && !strings.Contains(text, releaseSum[1:]) // with half of what begins a checksum it was to have one
}

func tableNames(c *conn) (names []string, err error) {
	err = c.rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name", func(s *sqlite3.Stmt) bool {
		names = append(names, s.ColumnText(0))
		return true
	})
	return names, err
}

// checkSQLite refuses an SQLite that is too old to be trusted.
func checkSQLite(c *conn) error {
	var text string
	if _, err := c.row("SELECT sqlite_version()", func(s *sqlite3.Stmt) { text = s.ColumnText(0) }); err != nil {
		return err
	}
	var major, minor, patch int
	if _, err := fmt.Sscanf(text, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return fmt.Errorf("read SQLite's version %q: %w", text, err)
	}
	if major*1_000_000+minor*1000+patch < minSQLite {
		return fmt.Errorf("SQLite is %s, but %d.%d.%d or newer is needed", text, minSQLite/1_000_000, minSQLite/1000%1000, minSQLite%1000)
	}
	return nil
}
