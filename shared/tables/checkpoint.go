package tables

import (
	"encoding/binary"
	"errors"
	"fmt"

	"skerry/shared/digest"
	"skerry/shared/space"
)

// A checkpoint is a set of tables at a position of a space's log, written in the one form that it has. It is a root and
// pages. The root names the position, what made the tables, and the pages by their digests; its own digest is the
// checkpoint's, so two replicas that compare it compare every row.
//
// Where one page ends and the next begins is decided by what is in it alone, not by how that came to be: equal tables have
// equal pages, and a row that changes leaves all pages but its own, and those of its indexes, as they were, so that they
// need not be written or sent again. The root has the keys that pages end with, so that each is only read when something
// in it is asked for.
//
// Indexes are in it, though they follow from the rows: else whoever looks something up by one would have to read all rows.

// Checkpoint says what a root is of.
type Checkpoint struct {
	Space  space.ID
	Seq    uint64        // the last record that is in the tables
	Chain  digest.Digest // after it
	Module digest.Digest // that made the tables
	ABI    uint32        // of the module
}

const checkpointMagic = "skerry checkpoint 2\n"

// PlaceEvery is how many records lie between two places for checkpoints.
const PlaceEvery = 1000

// IsPlace reports whether a transaction that ends with record seq, and begins behind record before, is a place for a
// checkpoint: the first that reaches a multiple of [PlaceEvery]. So everybody who has the same log has the same places, and
// can compare what the tables were there.
func IsPlace(before, seq uint64) bool { return before/PlaceEvery < seq/PlaceEvery }

// IsDue reports whether a checkpoint of record seq is worth its price after one of record kept: it is at a place, and as many records
// came since as it takes the time of to apply (price), or the log is twice as long. So no more is spent on checkpoints than on
// records, or than on twice the newest, and rows that are large are in one all the same.
func IsDue(kept, seq, price uint64) bool {
	return IsPlace(kept, seq) && seq-kept >= min(price, max(kept, PlaceEvery))
}

// ErrBadCheckpoint tells that bytes are no checkpoint, or not of these tables.
var ErrBadCheckpoint = errors.New("tables: not a checkpoint of these tables")

// AppendCheckpoint appends the root of a checkpoint of s to b. It calls page with the digest of each page in order, which
// may be the same one again, and with a function that gives its bytes: they are good until page returns. What is not asked
// for is not made, nor read from the checkpoint that s began with. The errors are those of page, and [ErrPage] where it
// asks for bytes that cannot be had. Where page asks for none there is no other error.
func (s *Set) AppendCheckpoint(b []byte, of *Checkpoint, page func(digest.Digest, func() ([]byte, error)) error) ([]byte, error) {
	b = append(b, checkpointMagic...)
	b = append(b, of.Space[:]...)
	b = binary.LittleEndian.AppendUint64(b, of.Seq)
	b = append(b, of.Chain[:]...)
	b = append(b, of.Module[:]...)
	b = binary.LittleEndian.AppendUint32(b, of.ABI)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.tables)))
	for _, i := range s.byName() {
		b = appendText(b, s.schemas[i].Name)
		b = append(b, byte(len(s.tables[i].orders)))
		for j := range s.tables[i].orders {
			var err error
			if b, err = s.tables[i].orders[j].appendRoot(b, page); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// Digest returns the digest of a checkpoint of s, of which nothing is read and only what is fresh is made.
func (s *Set) Digest(of *Checkpoint) digest.Digest {
	root, err := s.AppendCheckpoint(nil, of, func(digest.Digest, func() ([]byte, error)) error { return nil })
	if err != nil {
		panic("tables: a root without pages failed: " + err.Error())
	}
	return digest.Of(root)
}

// appendRoot appends what a root says of a tree: how many entries it has, how many bytes they are, and its runs, each with
// the key that ends it and its pages.
func (t *tree) appendRoot(b []byte, page func(digest.Digest, func() ([]byte, error)) error) ([]byte, error) {
	b = binary.LittleEndian.AppendUint64(b, uint64(t.len))
	b = binary.LittleEndian.AppendUint64(b, uint64(t.bytes))
	at, runs := len(b), uint32(0)
	b = append(b, 0, 0, 0, 0)
	var err error
	t.each("", false, func(end string, r *run) bool {
		runs++
		b = append(binary.LittleEndian.AppendUint16(b, uint16(len(end))), end...)
		at, pages := len(b), uint16(0)
		b = append(b, 0, 0)
		err = r.write(t.kind, func(d digest.Digest, content func() ([]byte, error)) error {
			b = append(b, d[:]...)
			pages++
			return page(d, content)
		})
		binary.LittleEndian.PutUint16(b[at:], pages)
		return err == nil
	})
	binary.LittleEndian.PutUint32(b[at:], runs)
	return b, err
}

// byName returns the places of the tables in the order of their names.
func (s *Set) byName() []int {
	places := make([]int, len(s.tables))
	for i := range places {
		places[i] = i
	}
	for i := 1; i < len(places); i++ {
		for j := i; j > 0 && s.schemas[places[j]].Name < s.schemas[places[j-1]].Name; j-- {
			places[j], places[j-1] = places[j-1], places[j]
		}
	}
	return places
}

func appendText(b []byte, text string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(text))), text...)
}

// ReadRoot returns what a root is of, and the digests of its pages, without any of them.
func ReadRoot(root []byte) (of *Checkpoint, pages []digest.Digest, err error) {
	r := &checkpointReader{rest: root}
	of, tables := r.header()
	for range tables {
		r.take(int(r.uint32()))
		for range r.byte() {
			r.tree(func(_ string, some []digest.Digest) { pages = append(pages, some...) })
		}
		if r.failed {
			break
		}
	}
	if r.failed || len(r.rest) > 0 {
		return nil, nil, ErrBadCheckpoint
	}
	return of, pages, nil
}

// tree reads what a root says of a tree, and calls f with each run: the key that ends it, and its pages.
func (r *checkpointReader) tree(f func(end string, pages []digest.Digest)) (entries, bytes uint64) {
	entries, bytes = r.uint64(), r.uint64()
	runs, last := r.uint32(), ""
	for n := range runs {
		end := string(r.take(int(r.uint16())))
		list := r.take(digest.Size * int(r.uint16()))
		if len(list) == 0 || len(end) > MaxKey || end <= last && (end != "" || n < runs-1) {
			r.failed = true
		}
		if r.failed {
			break
		}
		pages := make([]digest.Digest, len(list)/digest.Size)
		for i := range pages {
			pages[i] = digest.Digest(list[digest.Size*i:])
		}
		f(end, pages)
		last = end
	}
	if (entries == 0) != (runs == 0) || entries < uint64(runs) || bytes < entries {
		r.failed = true
	}
	return entries, bytes
}

// header reads what stands before the tables, and how many there are.
func (r *checkpointReader) header() (of *Checkpoint, tables uint32) {
	if string(r.take(len(checkpointMagic))) != checkpointMagic {
		r.failed = true
	}
	of = &Checkpoint{}
	copy(of.Space[:], r.take(digest.Size))
	of.Seq = r.uint64()
	copy(of.Chain[:], r.take(digest.Size))
	copy(of.Module[:], r.take(digest.Size))
	of.ABI = r.uint32()
	return of, r.uint32()
}

// ReadCheckpoint returns the tables of the checkpoint whose root is given, and what it is of. Their pages are read when
// something in them is asked for first: page returns a page by its digest, and may be called as long as there is a set that
// has not read everything, by whoever uses one. Errors of reading are [ErrPage], with that of page or ErrBadCheckpoint in it.
// The tables must have the schemas that the checkpoint was written with. Nothing that a checkpoint claims is allocated
// before its bytes are there.
func ReadCheckpoint(root []byte, schemas []Schema, page func(digest.Digest) ([]byte, error)) (*Set, *Checkpoint, error) {
	s, err := New(schemas)
	if err != nil {
		return nil, nil, err
	}
	r := &checkpointReader{rest: root}
	of, tables := r.header()
	if r.failed || tables != uint32(len(schemas)) {
		return nil, nil, ErrBadCheckpoint
	}
	total := uint64(0)
	for _, i := range s.byName() {
		t := &s.tables[i]
		if string(r.take(int(r.uint32()))) != schemas[i].Name || int(r.byte()) != len(t.orders) {
			return nil, nil, ErrBadCheckpoint
		}
		for j := range t.orders {
			if total += r.unread(&t.orders[j], page); r.failed || total > MaxBytes || t.orders[j].len != t.orders[0].len {
				return nil, nil, ErrBadCheckpoint
			}
		}
	}
	if len(r.rest) > 0 {
		return nil, nil, ErrBadCheckpoint
	}
	s.bytes = int(total)
	return s, of, nil
}

// unread makes a tree of what a root says of it, without its pages, and returns how many bytes its entries are.
func (r *checkpointReader) unread(t *tree, page func(digest.Digest) ([]byte, error)) (bytes uint64) {
	last := ""
	entries, bytes := r.tree(func(end string, pages []digest.Digest) {
		lazy := &run{pages: pages, from: &unread{page: page, after: last, end: end}}
		lazy.made.Store(true)
		if end == "" {
			t.tail = lazy
			return
		}
		t.runs = append(t.runs, ended{end, lazy})
		last = end
	})
	if bytes > MaxBytes {
		r.failed = true
	}
	if !r.failed {
		t.len, t.bytes = int(entries), int(bytes)
	}
	return bytes
}

// ReadAll reads what was not read yet of the checkpoint that s began with. Its errors are [ErrPage].
func (s *Set) ReadAll() (err error) {
	for i := range s.tables {
		for j := range s.tables[i].orders {
			t := &s.tables[i].orders[j]
			entries, bytes := 0, 0
			t.each("", false, func(_ string, r *run) bool {
				if err = r.read(t.kind); err != nil {
					return false
				}
				entries += r.entries.Len()
				r.entries.Scan(func(key, value string) bool {
					bytes += len(key) + len(value)
					return true
				})
				return true
			})
			if err == nil && (entries != t.len || bytes != t.bytes) {
				err = fmt.Errorf("%w: %w: %v has %d entries of %d bytes, not %d of %d", ErrPage, ErrBadCheckpoint, t.kind, entries, bytes, t.len, t.bytes)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Fresh returns about how many bytes have to be made for a checkpoint now: the root, and the pages of which there were
// none in a checkpoint or digest before.
func (s *Set) Fresh() (n int) {
	for i := range s.tables {
		for j := range s.tables[i].orders {
			n += s.tables[i].orders[j].fresh()
		}
	}
	return n
}

// checkpointReader reads from the front of rest. After a failure everything that it returns is zero.
type checkpointReader struct {
	rest   []byte
	failed bool
}

func (r *checkpointReader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.failed, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *checkpointReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *checkpointReader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *checkpointReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *checkpointReader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}
