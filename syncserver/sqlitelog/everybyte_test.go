package sqlitelog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
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

// release are the bytes of the release that brought the data to its format, and of their checksum: what older builds say to people which they are too old for.
const release = "name of a release"

// empty are the kinds of bytes in which nothing is stored.
var empty = map[string]bool{
	"free page": true, "unallocated": true, "free block": true, "fragment": true, "end of an overflow page": true,
	"index of the write-ahead log": true, // which is made anew
}

// TestSoakCheckFindsEveryBit flips a bit of every byte of every file of two small directories, of some bytes here and of all in make bytes: one that a
// server has closed, and the write-ahead log of one that was killed. Either Check finds it, or all that a log can be asked answers as before and
// every row is what it was; and then the byte is of a kind that is known to be free.
func TestSoakCheckFindsEveryBit(t *testing.T) {
	withoutRaceDetector(t)
	dir := full(t)
	t.Run(FileName, func(t *testing.T) {
		left := files(t, dir)
		kinds := kindsOf(t, filepath.Join(dir, FileName))
		flipEach(t, left, FileName, func(at int) string { return kinds[at] }, map[string]bool{
			"text of the layout":            true, // in comments
			"number in its row":             true, // it is where the row is, too, and read there
			"number of a row that has none": true, // of sqlite_sequence
			"header: encoding":              true, // in bits that SQLite passes over
			"header: schema format":         true,
			"header: change counter":        true, // these tell of writers, and nobody reads them
			"header: schema cookie":         true,
			"header: cache size":            true,
			"header: reserved":              true,
			"header: version valid for":     true,
			"header: SQLite's version":      true,
		})
	})
	left := killed(t, dir)
	wal := FileName + "-wal"
	t.Run(wal, func(t *testing.T) {
		last := lastCommit(t, []byte(left[wal]))
		flipEach(t, left, wal, func(at int) string {
			if at >= last {
				return "last commit" // which looks as one that a loss of power cut short: backup.md tells
			}
			return "commit"
		}, map[string]bool{"last commit": true})
	})
	t.Run(FileName+"-shm", func(t *testing.T) {
		flipEach(t, left, FileName+"-shm", func(int) string { return "index of the write-ahead log" }, nil)
	})
}

// flipEach flips a bit of every byte of a file among others, or of some, and tells how many of each kind Check does not find. Only those kinds may be
// among them that are free. Of what is empty bits of up to 256 bytes are flipped at once, since most of a file is.
func flipEach(t *testing.T, left map[string]string, name string, kind func(at int) string, free map[string]bool) {
	t.Parallel()
	content := []byte(left[name])
	seed, most := seeded(t, 150, len(content))
	rng := rand.New(rand.NewPCG(seed, 1))
	var used, unused []int
	for _, at := range rng.Perm(len(content)) {
		if empty[kind(at)] {
			unused = append(unused, at)
		} else {
			used = append(used, at)
		}
	}
	slices.SortStableFunc(unused, func(a, b int) int { return strings.Compare(kind(a), kind(b)) })
	var flips [][]int
	for _, at := range used[:min(most, len(used))] {
		flips = append(flips, []int{at})
	}
	for len(unused) > 0 {
		n := 1
		for n < min(len(unused), 256) && kind(unused[n]) == kind(unused[0]) {
			n++
		}
		flips, unused = append(flips, unused[:n]), unused[n:]
	}
	if most < len(content) {
		rng.Shuffle(len(flips), func(i, j int) { flips[i], flips[j] = flips[j], flips[i] })
		flips = flips[:min(most, len(flips))]
	}
	dir := t.TempDir()
	put := func() {
		for other, text := range left {
			if other != name {
				if err := os.WriteFile(filepath.Join(dir, other), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, made := range []string{"-wal", "-shm"} { // by the last reader
			if _, was := left[FileName+made]; !was {
				os.Remove(filepath.Join(dir, FileName+made))
			}
		}
	}
	put()
	if found, err := checked(t, dir); err != nil || len(found) > 0 {
		t.Fatalf("found %v, %v", found, err)
	}
	put()
	want := answers(t, dir)
	total, missed, told := map[string]int{}, map[string]int{}, time.Now()
	var flip func(bytes []int, bits []byte)
	flip = func(bytes []int, bits []byte) {
		for i, at := range bytes {
			content[at] ^= bits[i]
		}
		put()
		found, err := checked(t, dir)
		missing := err == nil && len(found) == 0
		var got []string
		if missing {
			put()
			got = answers(t, dir)
		}
		for i, at := range bytes {
			content[at] ^= bits[i]
		}
		if k := kind(bytes[0]); len(bytes) > 1 && (!missing || !slices.Equal(got, want)) { // one of them is not free
			half := len(bytes) / 2
			flip(bytes[:half], bits[:half])
			flip(bytes[half:], bits[half:])
		} else if total[k] += len(bytes); missing {
			missed[k] += len(bytes)
			switch changed := !slices.Equal(got, want); {
			case !free[k] && !empty[k]:
				t.Errorf("SKERRY_SEED=%d: bit %08b of byte %d of %d (%s) is not found, and changes what is read: %v", seed, bits[0], bytes[0], len(content), k, changed)
			case changed && k != "last commit":
				t.Errorf("SKERRY_SEED=%d: bit %08b of byte %d of %d (%s) is not found, and changes what is read: %s", seed, bits[0], bytes[0], len(content), k, difference(want, got))
			}
		}
	}
	for n, bytes := range flips {
		bits := make([]byte, len(bytes))
		for i := range bits {
			bits[i] = 1 << rng.IntN(8)
		}
		flip(bytes, bits)
		if now := time.Now(); now.Sub(told) > 5*time.Minute {
			told = now
			t.Logf("%d of %d", n, len(flips))
		}
	}
	caught := 0
	for _, k := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%-28s %6d bytes, %6d of them not found", k, total[k], missed[k])
		caught += total[k] - missed[k]
	}
	if caught == 0 && len(used) > 0 {
		t.Error("nothing was found")
	}
}

// difference returns the first line that is in only one of two.
func difference(want, got []string) string {
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			return fmt.Sprintf("%.300q instead of %.300q", got[i], want[i])
		}
	}
	return fmt.Sprintf("%d lines instead of %d", len(got), len(want))
}

// killed returns the files of a directory as a server leaves them that is killed while it writes.
func killed(t *testing.T, from string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	log := open(t, Config{Dir: dir})
	rng := rand.New(rand.NewPCG(9, 9))
	genesis := logtest.NewGenesis(rng)
	if _, err := log.Create(t.Context(), &genesis, nil); err != nil {
		t.Fatal(err)
	}
	head := space.Head{Chain: genesis.ID()}
	records, next := logtest.Batch(rng, head, 2)
	blob := []byte("another module")
	if err := errors.Join(log.Append(t.Context(), genesis.ID(), head, records, next), log.PutBlob(t.Context(), digest.Of(blob), blob)); err != nil {
		t.Fatal(err)
	}
	left := files(t, dir)
	if len(left[FileName+"-wal"]) < 10*4096 || len(left[FileName+"-shm"]) == 0 {
		t.Fatalf("the write-ahead log has %d bytes, its index %d", len(left[FileName+"-wal"]), len(left[FileName+"-shm"]))
	}
	return left
}

// lastCommit returns where the last commit of a write-ahead log begins.
func lastCommit(t *testing.T, wal []byte) (at int) {
	t.Helper()
	frame := 24 + int(binary.BigEndian.Uint32(wal[8:]))
	ends := []int{32}
	for at := 32; at+frame <= len(wal); at += frame {
		if string(wal[at+8:at+16]) == string(wal[16:24]) && binary.BigEndian.Uint32(wal[at+4:]) != 0 {
			ends = append(ends, at+frame)
		}
	}
	if len(ends) < 4 {
		t.Fatalf("there are commits to %v", ends)
	}
	return ends[len(ends)-2]
}

// answers returns all that the log in a directory can be asked, and every row of it. What fails is an answer.
func answers(t *testing.T, dir string) (all []string) {
	t.Helper()
	tell := func(what string, value any, err error) { all = append(all, fmt.Sprintf("%s: %v %v", what, value, err)) }
	log, err := OpenReadOnly(t.Context(), Config{Dir: dir, Readers: 1})
	if err != nil {
		return []string{err.Error()}
	}
	defer log.Close()
	ctx := t.Context()
	rows, err := rawRows(ctx, log)
	tell("rows", strings.Join(rows, "\n"), err)
	ids, err := log.Spaces(ctx, space.ID{}, 1000)
	tell("spaces", ids, err)
	authors := map[string]bool{}
	for _, id := range ids {
		genesis, signature, err := log.Genesis(ctx, id)
		tell("genesis", fmt.Sprint(genesis, signature), err)
		head, err := log.Head(ctx, id)
		tell("head", head, err)
		records, err := log.Read(ctx, id, 0, 1000, 1<<30)
		tell("records", records, err)
		var events []space.ULID
		for i := range records {
			events = append(events, records[i].ID)
			authors[records[i].Author] = true
		}
		known, err := log.Known(ctx, id, events)
		tell("known", known, err)
		expired, err := log.Expired(ctx, id)
		tell("expired", expired, err)
		retained, err := log.Retained(ctx, id)
		tell("retained", retained, err)
		pages, err := log.Pages(ctx, id)
		tell("pages", pages, err)
		for _, name := range pages {
			page, err := log.Page(ctx, name)
			tell("page", string(page), err)
		}
	}
	for _, author := range slices.Sorted(maps.Keys(authors)) {
		usage, err := log.Usage(ctx, author)
		tell("usage", usage, err)
	}
	blobs, err := log.Blobs(ctx, digest.Digest{}, 1000)
	tell("blobs", blobs, err)
	for _, name := range blobs {
		blob, err := log.Blob(ctx, name)
		tell("blob", string(blob), err)
	}
	keys, err := log.Scan(ctx, "", "", 1000)
	tell("keys", keys, err)
	for _, row := range keys {
		value, err := log.Key(ctx, row.Key)
		tell("key", string(value), err)
	}
	clients, err := log.Clients(ctx, [16]byte{}, 1000)
	tell("clients", clients, err)
	return all
}

// rawRows returns every row of every table.
func rawRows(ctx context.Context, log *Log) (rows []string, err error) {
	r, err := log.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer log.release(r)
	for _, table := range []string{"format", "spaces", "heads", "origins", "events", "expired", "usage", "blobs", "pages", "keys", "limits", "st_client", "st_connection_credentials", "sqlite_sequence"} {
		err := r.conn.rows("SELECT * FROM "+table, func(s *sqlite3.Stmt) bool {
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

// kindsOf returns what each byte of a database is, by SQLite's description of its file format.
func kindsOf(t *testing.T, name string) []string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := connect(name, sqlite3.OPEN_READONLY, map[string][]string{"mode": {"ro"}, "immutable": {"1"}}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	f := &databaseFile{t: t, content: content, kinds: make([]string, len(content)), size: int(binary.BigEndian.Uint16(content[16:]))}
	for _, field := range []struct {
		from, to int
		name     string
	}{
		{0, 16, "magic"}, {16, 18, "page size"}, {18, 20, "versions"}, {20, 24, "layout of pages"}, {24, 28, "change counter"}, {28, 32, "pages"}, {32, 40, "free pages"},
		{40, 44, "schema cookie"}, {44, 48, "schema format"}, {48, 52, "cache size"}, {52, 56, "vacuum"}, {56, 60, "encoding"}, {60, 64, "user version"},
		{64, 68, "vacuum"}, {68, 72, "application"}, {72, 92, "reserved"}, {92, 96, "version valid for"}, {96, 100, "SQLite's version"},
	} {
		f.mark(field.from, field.to, "header: "+field.name)
	}
	f.tree(1, "text of the layout", false)
	if err := c.rows("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0", func(s *sqlite3.Stmt) bool {
		f.tree(s.ColumnInt(1), "cell", s.ColumnText(0) == "sqlite_sequence")
		return true
	}); err != nil {
		t.Fatal(err)
	}
	text := releaseText(syncserver.Version, formatVersion, minReader, minWriter)
	named := bytes.Index(content, []byte(text))
	if named < 0 || f.kinds[named] != "cell" {
		t.Fatal("the release that brought the data to its format is not found")
	}
	for i := range text {
		f.kinds[named+i] = release
	}
	for trunk := f.u32(32); trunk != 0; {
		at := (trunk - 1) * f.size
		count := f.u32(at + 4)
		f.mark(at, at+8+4*count, "list of free pages")
		f.mark(at+8+4*count, at+f.size, "free page")
		for n := range count {
			leaf := f.u32(at+8+4*n) - 1
			f.mark(leaf*f.size, (leaf+1)*f.size, "free page")
		}
		trunk = f.u32(at)
	}
	if at := slices.Index(f.kinds, ""); at >= 0 {
		t.Fatalf("it is not known what byte %d is", at)
	}
	return f.kinds
}

// databaseFile is a file whose bytes are being told apart.
type databaseFile struct {
	t       *testing.T
	content []byte
	kinds   []string
	size    int // of a page
}

func (f *databaseFile) u16(at int) int { return int(binary.BigEndian.Uint16(f.content[at:])) }
func (f *databaseFile) u32(at int) int { return int(binary.BigEndian.Uint32(f.content[at:])) }

func (f *databaseFile) mark(from, to int, kind string) {
	for at := from; at < to; at++ {
		if kind == "cell" && (f.kinds[at] == "number in its row" || f.kinds[at] == "number of a row that has none") {
			continue
		}
		if f.kinds[at] != "" {
			f.t.Fatalf("byte %d is %s, and %s", at, f.kinds[at], kind)
		}
		f.kinds[at] = kind
	}
}

// varint returns a number of SQLite's, and what is behind it.
func (f *databaseFile) varint(at int) (n, next int) {
	for i := range 9 {
		b := f.content[at+i]
		if i == 8 {
			return n<<8 | int(b), at + 9
		}
		if n = n<<7 | int(b&0x7f); b < 0x80 {
			return n, at + i + 1
		}
	}
	panic("unreachable")
}

// tree tells apart the pages of a table or an index. The rows of a nameless one are found by what is in them alone.
func (f *databaseFile) tree(page int, cell string, nameless bool) {
	at, header := (page-1)*f.size, (page-1)*f.size
	if page == 1 {
		header = 100
	}
	kind := f.content[header]
	leaf, index := kind&8 != 0, kind&5 != 5
	cells, begin := header+8, f.u16(header+5)
	if !leaf {
		cells = header + 12
	}
	count := f.u16(header + 3)
	f.mark(header, cells, "head of a page")
	f.mark(cells, cells+2*count, "head of a page")
	if begin == 0 {
		begin = 1 << 16
	}
	f.mark(cells+2*count, at+begin, "unallocated")
	for block := f.u16(header + 1); block != 0; block = f.u16(at + block) {
		f.mark(at+block, at+block+4, "head of a free block")
		f.mark(at+block+4, at+block+f.u16(at+block+2), "free block")
	}
	for n := range count {
		start := at + f.u16(cells+2*n)
		next := start
		if !leaf {
			f.tree(f.u32(start), cell, nameless)
			next += 4
		}
		length := 0
		if leaf || index {
			length, next = f.varint(next)
		}
		if number := next; !index {
			if _, next = f.varint(next); nameless {
				f.mark(number, next, "number of a row that has none")
			}
		}
		here, rest := f.local(length, index)
		if !index && leaf && cell == "cell" {
			if _, types := f.varint(next); f.content[types] == 0 {
				f.kinds[types] = "number in its row"
			}
		}
		next += here
		if rest > 0 {
			f.overflow(f.u32(next), rest, cell)
			next += 4
		}
		f.mark(start, next, cell)
	}
	if !leaf {
		f.tree(f.u32(header+8), cell, nameless)
	}
	for i := at + begin; i < at+f.size; i++ {
		if f.kinds[i] == "" {
			f.kinds[i] = "fragment"
		}
	}
}

// local returns how much of a row of a length is in its page, and how much on others.
func (f *databaseFile) local(length int, index bool) (here, rest int) {
	most := f.size - 35
	if index {
		most = (f.size-12)*64/255 - 23
	}
	if length <= most {
		return length, 0
	}
	least := (f.size-12)*32/255 - 23
	if here = least + (length-least)%(f.size-4); here > most {
		here = least
	}
	return here, length - here
}

func (f *databaseFile) overflow(page, rest int, cell string) {
	for rest > 0 {
		at := (page - 1) * f.size
		n := min(rest, f.size-4)
		f.mark(at, at+4+n, cell)
		f.mark(at+4+n, at+f.size, "end of an overflow page")
		page, rest = f.u32(at), rest-n
	}
}
