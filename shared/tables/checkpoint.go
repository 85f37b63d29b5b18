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
// Where one page ends and the next begins is decided by the keys in it alone, not by how the rows came to be: equal
// tables have equal pages, and a row that changes leaves all pages but its own as they were, so that they need not be
// written or sent again.

// Checkpoint says what a root is of.
type Checkpoint struct {
	Space  space.ID
	Seq    uint64        // the last record that is in the tables
	Chain  digest.Digest // after it
	Module digest.Digest // that made the tables
	ABI    uint32        // of the module
}

const (
	checkpointMagic = "skerry checkpoint 1\n"
	// pageBytes is about how large a page is; the largest has maxPageBytes and one row.
	pageBytes    = 16 << 10
	maxPageBytes = 64 << 10
)

// PlaceEvery is how many records lie between two places for checkpoints.
const PlaceEvery = 1000

// IsPlace reports whether a transaction that ends with record seq, and begins behind record before, is a place for a
// checkpoint: the first that reaches a multiple of [PlaceEvery]. So everybody who has the same log has the same places, and
// can compare what the tables were there.
func IsPlace(before, seq uint64) bool { return before/PlaceEvery < seq/PlaceEvery }

// ErrBadCheckpoint tells that bytes are no checkpoint, or not of these tables.
var ErrBadCheckpoint = errors.New("tables: not a checkpoint of these tables")

// AppendCheckpoint appends the root of a checkpoint of s to b. It calls page with each page in order, which may be
// called with the same one again; its bytes are good until it returns.
func (s *Set) AppendCheckpoint(b []byte, of *Checkpoint, page func(digest.Digest, []byte) error) ([]byte, error) {
	b = append(b, checkpointMagic...)
	b = append(b, of.Space[:]...)
	b = binary.LittleEndian.AppendUint64(b, of.Seq)
	b = append(b, of.Chain[:]...)
	b = append(b, of.Module[:]...)
	b = binary.LittleEndian.AppendUint32(b, of.ABI)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.tables)))
	for _, i := range s.byName() {
		b = appendText(b, s.schemas[i].Name)
		b = binary.LittleEndian.AppendUint64(b, uint64(s.Len(i)))
		count := len(b)
		b = append(b, 0, 0, 0, 0)
		pages := uint32(0)
		err := s.pages(i, func(content []byte) error {
			pages++
			d := digest.Of(content)
			b = append(b, d[:]...)
			return page(d, content)
		})
		if err != nil {
			return nil, err
		}
		binary.LittleEndian.PutUint32(b[count:], pages)
	}
	return b, nil
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

// pages calls f with the rows of a table in the order of their keys, each with its length, a page at a time. A page
// ends behind a row whose key says so, which one in so many does as it takes to fill a page.
func (s *Set) pages(table int, f func([]byte) error) (err error) {
	page := make([]byte, 0, maxPageBytes)
	s.tables[table].rows.Scan(func(key, row string) bool {
		page = appendText(page, row)
		if len(page) < maxPageBytes && !ends(key, len(row)) {
			return true
		}
		err = f(page)
		page = page[:0]
		return err == nil
	})
	if err == nil && len(page) > 0 {
		err = f(page)
	}
	return err
}

// ends reports whether a page ends behind the row with a key: with a chance of its size in a page's, by FNV-1a of the
// key, mixed once more since the low bits of keys that count up are too regular.
func ends(key string, size int) bool {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	h ^= h >> 32
	return h%pageBytes < uint64(size+4)
}

// ReadRoot returns what a root is of, and the digests of its pages, without any of them.
func ReadRoot(root []byte) (of *Checkpoint, pages []digest.Digest, err error) {
	r := &checkpointReader{rest: root}
	of, tables := r.header()
	for range tables {
		r.take(int(r.uint32()))
		r.uint64()
		for range r.uint32() {
			b := r.take(digest.Size)
			if b == nil {
				return nil, nil, ErrBadCheckpoint
			}
			pages = append(pages, digest.Digest(b))
		}
		if r.failed {
			return nil, nil, ErrBadCheckpoint
		}
	}
	if r.failed || len(r.rest) > 0 {
		return nil, nil, ErrBadCheckpoint
	}
	return of, pages, nil
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

// ReadCheckpoint returns the tables of the checkpoint whose root is given, and what it is of. page returns a page by its
// digest, which ReadCheckpoint checks; its errors are returned as they are. The tables must have the schemas that the
// checkpoint was written with. Nothing that a checkpoint claims is allocated before its bytes are there.
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
	for _, i := range s.byName() {
		if string(r.take(int(r.uint32()))) != schemas[i].Name {
			return nil, nil, ErrBadCheckpoint
		}
		rows := r.uint64()
		l := newLoader(s, i)
		for range r.uint32() {
			var d digest.Digest
			if copy(d[:], r.take(digest.Size)) == 0 {
				return nil, nil, ErrBadCheckpoint
			}
			content, err := page(d)
			if err != nil {
				return nil, nil, err
			}
			if digest.Of(content) != d {
				return nil, nil, fmt.Errorf("%w: the page %s has other bytes", ErrBadCheckpoint, d)
			}
			if err := l.page(content); err != nil {
				return nil, nil, err
			}
		}
		if err := l.end(); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrBadCheckpoint, err)
		}
		if uint64(s.Len(i)) != rows {
			return nil, nil, ErrBadCheckpoint
		}
	}
	if r.failed || len(r.rest) > 0 {
		return nil, nil, ErrBadCheckpoint
	}
	return s, of, nil
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
