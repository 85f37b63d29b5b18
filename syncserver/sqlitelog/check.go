package sqlitelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/digest"
	"skerry/shared/identity"
	"skerry/shared/space"
)

// Finding is something that [Check] found wrong.
type Finding struct {
	Place string // where
	What  string // is wrong
	Do    string // what to do about it
}

func (f Finding) String() string { return f.Place + ": " + f.What + "; " + f.Do }

// What can be done about damage.
const (
	doRestore = "restore a backup in which check finds nothing: clients bring back what they hold beyond it"
	doNothing = "nothing is lost: the server makes it anew when it next opens the space"
)

// Check reads all that the directory of config has, also while a server runs on it, as it is at one moment, and gives found what is wrong with
// it: the database as SQLite sees it, every chain from the space's ID to its head, every blob and page by its digest, what authors have written
// as it was counted, rows that belong to nothing, every row with a checksum, and, where no server runs, whether a
// write-ahead log that was left is damaged before its end. It changes nothing. The error is nil if it came to the end,
// whatever it found. progress, if it is not nil, is called now and then with how many events of how many were read.
//
// What it does not read is the modules' business: whether checkpoints are what their logs make. A server's write-ahead log grows meanwhile.
func Check(ctx context.Context, config Config, found func(Finding), progress func(done, total int64)) (err error) {
	if err := config.validate(); err != nil {
		return err
	}
	l := newLog(config)
	if err := l.keptBefore(); err != nil {
		return err
	}
	if !l.exists("") {
		return fmt.Errorf("there is no data in %s", config.Dir)
	}
	conn, err := connect(l.path, sqlite3.OPEN_READONLY, l.uri("mode", "ro"), readerPragmas)
	if err != nil {
		return err
	}
	c := &checker{
		ctx: ctx, conn: conn, config: &l.config, found: found, progress: progress,
		spaces: map[int64]*checkedSpace{}, reader: &reader{log: l, conn: conn, origins: map[int64]origin{}, types: map[string]string{}},
	}
	conn.SetInterrupt(ctx)
	defer func() { conn.SetInterrupt(context.Background()); err = errors.Join(err, conn.close()) }()
	if err := checkFormat(conn, config.Dir, false); err != nil {
		return err
	}
	if err := conn.Exec("BEGIN"); err != nil {
		return err
	}
	for _, part := range []struct {
		place string
		check func() error
	}{
		{"the database", c.integrity},
		{"the layout", c.layout},
		{"the spaces", c.genesis},
		{"the heads", c.heads},
		{"what has expired", c.expired},
		{"the events", c.events},
		{"what authors have written", c.usage},
		{"the blobs", c.blobs},
		{"the pages", c.pages},
		{"the rows with checksums", c.sums},
		{"the numbers", c.numbers},
		{"the write-ahead log", c.checkWAL},
	} {
		err := part.check()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // what cannot be read is found, and the rest is looked at all the same
			c.tell(part.place, doRestore, "cannot be read: %v", err)
		}
	}
	return nil
}

// checker is a Check under way.
type checker struct {
	ctx      context.Context
	conn     *conn
	config   *Config
	found    func(Finding)
	progress func(done, total int64)
	reader   *reader
	spaces   map[int64]*checkedSpace

	done, total int64
	told        time.Time
}

// checkedSpace is what was read of a space.
type checkedSpace struct {
	id      space.ID
	deleted bool
	head    space.Head
	freed   uint64 // the events up to it have no payloads any more
	kept    int64  // bytes of what is left of them, as it is counted
	usage   map[string]int64
}

func (c *checker) tell(place, do, what string, args ...any) {
	c.found(Finding{place, fmt.Sprintf(what, args...), do})
}

func (c *checker) integrity() error {
	return c.conn.rows("PRAGMA integrity_check", func(s *sqlite3.Stmt) bool {
		if text := s.ColumnText(0); text != "ok" {
			c.tell("the database", doRestore, "%s", text)
		}
		return true
	})
}

// layout compares the tables with those of a new database, and what the data says of its format with what that is.
func (c *checker) layout() error {
	var version, reader, writer, rows, id int
	if _, err := c.conn.row("SELECT version, min_reader, min_writer, (SELECT count(*) FROM format) FROM format WHERE one = 1", func(s *sqlite3.Stmt) {
		version, reader, writer, rows = s.ColumnInt(0), s.ColumnInt(1), s.ColumnInt(2), s.ColumnInt(3)
	}); err != nil {
		return err
	}
	if _, err := c.conn.row("PRAGMA application_id", func(s *sqlite3.Stmt) { id = s.ColumnInt(0) }); err != nil {
		return err
	}
	if id != applicationID || rows != 1 {
		c.tell("the layout", doRestore, "it is not marked as Skerry's")
	}
	if version != c.config.version {
		c.tell("the layout", "check it by the release that wrote it, or start the server, which migrates what is older", "it is of format %d, and this release knows %d", version, c.config.version)
		return nil
	}
	if reader != minReader || writer != minWriter {
		c.tell("the layout", doRestore, "format %d asks for other builds than it has to", version)
	}
	if _, err := c.conn.row("SELECT release FROM format", func(s *sqlite3.Stmt) {
		if text := s.ColumnText(0); !releaseIsWhole(text, version, reader, writer) {
			c.tell("the layout", doRestore, "the release that brought the data to format %d is not what was written: %q", version, text)
		}
	}); err != nil {
		return err
	}
	if err := c.versions(); err != nil {
		return err
	}
	want, err := newLayout()
	if err != nil {
		return err
	}
	got, err := layoutOf(c.conn)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			c.tell("the layout", doRestore, "%s is not what it has to be: %q", name, got[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		table, _, _ := strings.Cut(name, ".")
		if _, ours := want[table]; ours && want[name] == "" { // tables of others, as Litestream's, are theirs
			c.tell("the layout", doRestore, "%s is not Skerry's: %q", name, got[name])
		}
	}
	return nil
}

// versions looks at what the file's header says of who may read and write it. SQLite only reads what a newer one is to write.
func (c *checker) versions() error {
	f, err := os.Open(c.reader.log.path)
	if err != nil {
		return err
	}
	defer f.Close()
	header := make([]byte, 20)
	if _, err := io.ReadFull(f, header); err != nil {
		return err
	}
	if write, read := header[18], header[19]; write != read || write != 1 && write != 2 { // without and with a write-ahead log
		c.tell("the layout", doRestore, "its file is marked as one of versions %d and %d of SQLite's format", write, read)
	}
	return nil
}

// newLayout returns the layout of a new database.
var newLayout = sync.OnceValues(func() (map[string]string, error) {
	fresh, err := sqlite3.Open(":memory:")
	if err != nil {
		return nil, err
	}
	defer fresh.Close()
	if err := fresh.Exec(schema); err != nil {
		return nil, err
	}
	return layoutOf(&conn{Conn: fresh, prepared: map[string]*sqlite3.Stmt{}})
})

// layoutOf returns what tables and indexes are like, by their names: as SQLite takes them, and as they are written in its schema, where there is
// more than it tells of: what is checked, which conflicts are passed over, what happens by itself.
func layoutOf(c *conn) (map[string]string, error) {
	all, err := writtenOf(c)
	if err != nil {
		return nil, err
	}
	err = c.rows(`SELECT t.name, t.type, t.wr, t.strict, c.name, c.type, c."notnull", coalesce(c.dflt_value, ''), c.pk FROM pragma_table_list t, pragma_table_info(t.name) c
		WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.name`, func(s *sqlite3.Stmt) bool {
		text := ""
		for i := 1; i < s.ColumnCount(); i++ {
			text += s.ColumnText(i) + " "
		}
		all[s.ColumnText(0)] += text
		return true
	})
	if err != nil {
		return nil, err
	}
	err = c.rows(`SELECT t.name, i.name, i."unique", i.origin, i.partial, x.seqno, coalesce(x.name, ''), x."desc", x.coll, x.key
		FROM pragma_table_list t, pragma_index_list(t.name) i, pragma_index_xinfo(i.name) x
		WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite_%' ORDER BY i.name, x.seqno`, func(s *sqlite3.Stmt) bool {
		text := ""
		for i := 2; i < s.ColumnCount(); i++ {
			text += s.ColumnText(i) + " "
		}
		all[s.ColumnText(0)+"."+s.ColumnText(1)] += text
		return true
	})
	return all, err
}

// genesis reads all spaces, and compares the ID of each with what it was made from.
func (c *checker) genesis() error {
	return c.conn.rows("SELECT no, id, stamp, creator, module, params, signature FROM spaces", func(s *sqlite3.Stmt) bool {
		k := &checkedSpace{deleted: true, usage: map[string]int64{}}
		copy(k.id[:], s.ColumnRawBlob(1))
		c.spaces[s.ColumnInt64(0)] = k
		place := "space " + k.id.String()
		g := space.Genesis{Creator: s.ColumnText(3), Params: blob(s, 5)}
		copy(g.Stamp[:], s.ColumnRawBlob(2))
		copy(g.Module[:], s.ColumnRawBlob(4))
		if g.ID() != k.id || len(s.ColumnRawBlob(1)) != len(k.id) || len(s.ColumnRawBlob(2)) != len(g.Stamp) || len(s.ColumnRawBlob(4)) != len(g.Module) {
			c.tell(place, doRestore, "what it was made from is not what its ID says")
			return true
		}
		if signature := s.ColumnRawBlob(6); len(signature) > 0 {
			by, err := identity.ParseSigned(g.Creator, signature)
			if err != nil || !by.Verify(space.GenesisMessage(k.id)) {
				c.tell(place, doRestore, "it is not signed by its creator")
			}
		}
		return true
	})
}

// heads reads where logs end.
func (c *checker) heads() error {
	return c.conn.rows("SELECT space, seq, chain, received_at FROM heads", func(s *sqlite3.Stmt) bool {
		k := c.spaces[s.ColumnInt64(0)]
		if k == nil {
			c.tell("the heads", doRestore, "one belongs to no space: number %d", s.ColumnInt64(0))
			return true
		}
		k.deleted, k.head = false, scanHead(s, 1)
		c.total += int64(k.head.Seq)
		if len(s.ColumnRawBlob(2)) != len(k.head.Chain) {
			c.tell("space "+k.id.String(), doRestore, "its head has no whole chain value")
		}
		return true
	})
}

// expired reads what has expired of spaces.
func (c *checker) expired() error {
	return c.conn.rows("SELECT space, upto, freed, bytes FROM expired", func(s *sqlite3.Stmt) bool {
		k, upto := c.spaces[s.ColumnInt64(0)], uint64(s.ColumnInt64(1))
		if k == nil || k.deleted {
			c.tell("what has expired", doRestore, "something of no space: number %d", s.ColumnInt64(0))
			return true
		}
		place := "space " + k.id.String()
		k.freed, k.kept = uint64(s.ColumnInt64(2)), s.ColumnInt64(3)
		switch {
		case k.freed > upto || upto > k.head.Seq:
			c.tell(place, doRestore, "it has expired up to %d and is freed up to %d, of %d records", upto, k.freed, k.head.Seq)
		case k.freed < upto:
			c.tell(place, "start the server, which frees them", "it has expired up to %d, and is freed up to %d: the payloads between are still there", upto, k.freed)
		}
		return true
	})
}

// chained is a space whose events are read, one after the other.
type chained struct {
	no    int64
	space *checkedSpace
	at    uint64        // the last event
	chain digest.Digest // after it
	whole uint64        // the last event whose chain value is stored, and is right
	index uint32        // of the next event in its transaction
	count uint32
	last  uint64 // received_at
	ended bool   // by a stored chain value, at the last event
}

// events folds every chain.
func (c *checker) events() error {
	var at chained
	var failed error
	seen := map[int64]bool{}
	err := c.conn.rows(`SELECT id, ulid, origin, received_at, idx, cnt, schema, type, payload, 0, id & 0xffffffff <= coalesce(freed, 0), chain, events.space
		FROM events LEFT JOIN expired ON expired.space = id >> 32 ORDER BY id`, func(s *sqlite3.Stmt) bool {
		no := s.ColumnInt64(0) >> 32
		if no != at.no || at.space == nil {
			c.endSpace(&at)
			at = chained{no: no, space: c.spaces[no]}
			if seen[no] = true; at.space == nil {
				c.tell("the events", doRestore, "some belong to no space: number %d", no)
				at.space = &checkedSpace{deleted: true, usage: map[string]int64{}}
			}
			at.chain = at.space.id
		}
		if s.ColumnInt64(12) != no {
			c.tell("space "+at.space.id.String(), doRestore, "record %d says that it is another's", uint64(s.ColumnInt64(0))&space.MaxSeq)
		}
		if !at.space.deleted {
			if failed = c.event(&at, s); failed != nil {
				return false
			}
		}
		return true
	})
	c.endSpace(&at)
	for no, k := range c.spaces {
		if !seen[no] && !k.deleted && k.head != (space.Head{Chain: k.id}) {
			c.tell("space "+k.id.String(), doRestore, "its head is at %d, and it has no records", k.head.Seq)
		}
	}
	return errors.Join(err, failed)
}

// event takes the event that s stands on into its space's chain.
func (c *checker) event(at *chained, s *sqlite3.Stmt) error {
	place := "space " + at.space.id.String()
	seq := uint64(s.ColumnInt64(0)) & space.MaxSeq
	record, err := c.reader.scan(s, true)
	if err != nil {
		if c.ctx.Err() != nil || sqliteFailed(err) {
			return err
		}
		c.tell(place, doRestore, "record %d: %v", seq, err)
	}
	if seq != at.at+1 {
		c.tell(place, doRestore, "records %d to %d are missing", at.at+1, seq-1)
	}
	if at.index > 0 && (record.Index != at.index || record.Count != at.count) || at.index == 0 && record.Index != 0 || record.Index >= record.Count {
		c.tell(place, doRestore, "record %d breaks its transaction", seq)
	}
	at.index, at.count = record.Index+1, record.Count
	if record.Last() {
		at.index = 0
	}
	at.at, at.chain, at.last = seq, space.Chain(at.chain, &record), record.ReceivedAt
	if at.ended = s.ColumnType(11) != sqlite3.NULL; at.ended {
		stored := s.ColumnRawBlob(11)
		if !bytes.Equal(stored, at.chain[:]) {
			c.tell(place, doRestore, "the chain does not fit: something in records %d to %d was changed", at.whole+1, seq)
			copy(at.chain[:], stored) // go on from there, to find what else there is
		}
		at.whole = seq
	}
	at.space.usage[record.Author] += int64(record.Size())
	if record.Expired {
		at.space.kept -= int64(record.Size())
	}
	c.done++
	if now := time.Now(); c.done%1024 == 0 && c.progress != nil && now.Sub(c.told) > time.Second {
		c.told = now
		c.progress(c.done, max(c.total, c.done))
	}
	return nil
}

// endSpace compares where a chain ended with the head.
func (c *checker) endSpace(at *chained) {
	if at.space == nil || at.space.deleted {
		return
	}
	place, head := "space "+at.space.id.String(), at.space.head
	switch {
	case head.Seq != at.at:
		c.tell(place, doRestore, "its head is at %d, and its last record is %d", head.Seq, at.at)
	case head.Chain != at.chain || !at.ended:
		c.tell(place, doRestore, "the chain does not come to its head, at %d", at.at)
	case head.ReceivedAt != at.last:
		c.tell(place, doRestore, "the time of its head is not that of its last record, %d", at.at)
	case at.index != 0:
		c.tell(place, doRestore, "its last transaction is not whole")
	case at.space.kept != 0:
		c.tell(place, doRestore, "what is left of what has expired is counted wrong, by %d bytes", at.space.kept)
	}
}

// usage compares what is counted with what there is.
func (c *checker) usage() error {
	err := c.conn.rows("SELECT author, space, bytes FROM usage", func(s *sqlite3.Stmt) bool {
		author, bytes := s.ColumnText(0), s.ColumnInt64(2)
		k := c.spaces[s.ColumnInt64(1)]
		switch {
		case k == nil:
			c.tell("what authors have written", doRestore, "a count belongs to no space: number %d", s.ColumnInt64(1))
			return true
		case k.deleted:
			return true // it is being freed
		case k.usage[author] != bytes:
			c.tell("space "+k.id.String(), doRestore, "%q has written %d bytes, and %d are counted", author, k.usage[author], bytes)
		}
		delete(k.usage, author)
		return true
	})
	for _, k := range c.spaces {
		for author, bytes := range k.usage {
			if bytes != 0 {
				c.tell("space "+k.id.String(), doRestore, "%q has written %d bytes, which are not counted", author, bytes)
			}
		}
	}
	return err
}

func (c *checker) blobs() error {
	return c.conn.rows("SELECT digest, bytes FROM blobs", func(s *sqlite3.Stmt) bool {
		if of := digest.Of(s.ColumnRawBlob(1)); !bytes.Equal(s.ColumnRawBlob(0), of[:]) {
			c.tell(fmt.Sprintf("blob %x", s.ColumnRawBlob(0)), doRestore, "its bytes are not those of its digest")
		}
		return true
	})
}

func (c *checker) pages() error {
	return c.conn.rows("SELECT digest, bytes, space FROM pages", func(s *sqlite3.Stmt) bool {
		place := fmt.Sprintf("page %x", s.ColumnRawBlob(0))
		if of := digest.Of(s.ColumnRawBlob(1)); !bytes.Equal(s.ColumnRawBlob(0), of[:]) {
			c.tell(place, doNothing, "its bytes are not those of its digest")
		}
		if c.spaces[s.ColumnInt64(2)] == nil {
			c.tell(place, doRestore, "it belongs to no space: number %d", s.ColumnInt64(2))
		}
		return true
	})
}

// sums compares checksums.
func (c *checker) sums() error {
	for _, t := range []struct{ table, columns string }{
		{"keys", "key, value"}, {"limits", "key, tat"}, {"st_client", "connection_id, identity, since"}, {"st_connection_credentials", "connection_id, identity, claims"},
	} {
		err := c.conn.rows(fmt.Sprintf("SELECT %s FROM %s WHERE sum IS NOT row_sum('%s', %s)", t.columns, t.table, t.table, t.columns), func(s *sqlite3.Stmt) bool {
			name := fmt.Sprintf("%x", s.ColumnRawBlob(0))
			if t.table == "keys" || t.table == "limits" {
				name = fmt.Sprintf("%q", s.ColumnRawBlob(0))
			}
			c.tell(t.table+" "+name, doRestore, "it is not what was written")
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// numbers looks whether the numbers that SQLite gives out next are free: one that was given twice would mix two spaces up.
func (c *checker) numbers() error {
	for _, table := range []string{"spaces", "origins"} {
		var next, last int64
		_, err := c.conn.row(fmt.Sprintf("SELECT (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = '%s'), (SELECT coalesce(max(no), 0) FROM %s)", table, table),
			func(s *sqlite3.Stmt) { next, last = s.ColumnInt64(0), s.ColumnInt64(1) })
		if err != nil {
			return err
		}
		if next != last {
			c.tell("the numbers", doRestore, "the last of %s is %d, and SQLite takes it for %d", table, last, next)
		}
	}
	return nil
}
