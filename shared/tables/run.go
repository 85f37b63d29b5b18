package tables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"

	"skerry/shared/digest"
)

const (
	// pageBytes is about how large a run is in pages.
	pageBytes = 16 << 10
	// maxPageBytes is how large the pages of a run are that is larger; the last entry of one may be past it.
	maxPageBytes = 64 << 10
)

// degree is how large the nodes of a run's entries are, at most twice of it. A transaction copies the nodes that it writes to,
// on the way from the root: small ones are less to copy than they are more to search.
const degree = 8

// ErrPage tells that a page of a checkpoint could not be had when its rows were needed, or has other bytes than it should.
// A set that gave it is of no use any more, and it says nothing about what was done with it: it is a fault of the machine.
var ErrPage = errors.New("tables: a page of the checkpoint cannot be read")

// run is some entries of a tree that follow each other, and the pages that they are in a checkpoint. Either may be missing,
// and is made of the other when it is needed first. It is safe for concurrent use but for what its owner does.
type run struct {
	owner   *owner
	entries btree.Map[string, string]
	size    int         // of the pages
	there   atomic.Bool // entries and size are
	made    atomic.Bool // pages is

	mu    sync.Mutex // held while one of them is made
	pages []digest.Digest
	from  *unread // what entries are made of; nil once they are
}

// unread is what a checkpoint says of a run.
type unread struct {
	page       func(digest.Digest) ([]byte, error)
	after, end string // its keys lie between; the last one is end, unless that is empty
}

func newRun(o *owner) *run {
	r := &run{owner: o, entries: *btree.NewMap[string, string](degree)}
	r.there.Store(true)
	return r
}

// copy returns a run of the same entries, which are there; nil is a run of none. Others may read r at the same time.
func (r *run) copy(o *owner) *run {
	if r == nil {
		return newRun(o)
	}
	n := &run{owner: o, entries: r.entries, size: r.size}
	n.entries = *n.entries.Copy() // which changes only what it is called on
	n.there.Store(true)
	return n
}

// change forgets the pages.
func (r *run) change() {
	if r.made.Load() {
		r.made.Store(false)
		r.pages = nil
	}
}

// ends reports whether a run ends behind the entry with a key: with a chance of its size in a page's, by FNV-1a of the
// key, mixed once more since the low bits of keys that count up are too regular.
func ends(key string, size int) bool {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	h ^= h >> 32
	return h%pageBytes < uint64(size)
}

// size returns how many bytes of a page an entry takes.
func (k *kind) size(key, value string) int {
	if k.index > 0 {
		return 4 + len(key)
	}
	return 4 + len(value)
}

// append appends an entry to a page: a row with its length; or a key of an index, with its length and how much of that is
// the row's own key.
func (k *kind) append(page []byte, key, value string) []byte {
	if k.index > 0 {
		page = binary.LittleEndian.AppendUint16(page, uint16(len(key)))
		return append(binary.LittleEndian.AppendUint16(page, uint16(len(value))), key...)
	}
	return appendText(page, value)
}

// encode calls f with each page of the entries, whose bytes are good until it returns.
func (r *run) encode(k *kind, f func(content []byte) error) (err error) {
	page := make([]byte, 0, min(r.size, maxPageBytes))
	r.entries.Scan(func(key, value string) bool {
		if len(page) >= maxPageBytes {
			err = f(page)
			page = page[:0]
		}
		page = k.append(page, key, value)
		return err == nil
	})
	if err == nil {
		err = f(page)
	}
	return err
}

// write calls f with the digest of each page, and with what gives its bytes, which are good until f returns.
func (r *run) write(k *kind, f func(d digest.Digest, content func() ([]byte, error)) error) error {
	if r.made.Load() {
		for n, d := range r.pages {
			if err := f(d, func() ([]byte, error) { return r.page(k, n) }); err != nil {
				return err
			}
		}
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var pages []digest.Digest
	err := r.encode(k, func(content []byte) error {
		d := digest.Of(content)
		pages = append(pages, d)
		return f(d, func() ([]byte, error) { return content, nil })
	})
	if err == nil && !r.made.Load() {
		r.pages = pages
		r.made.Store(true)
	}
	return err
}

// page returns the bytes of the nth page.
func (r *run) page(k *kind, n int) (page []byte, err error) {
	r.mu.Lock()
	from := r.from
	r.mu.Unlock()
	if from != nil {
		return from.read(r.pages[n])
	}
	err = r.encode(k, func(content []byte) error {
		if n == 0 {
			page = append(page, content...)
		}
		n--
		return nil
	})
	return page, err
}

func (u *unread) read(d digest.Digest) ([]byte, error) {
	content, err := u.page(d)
	if err != nil {
		return nil, fmt.Errorf("%w: %v: %w", ErrPage, d, err)
	}
	if digest.Of(content) != d {
		return nil, fmt.Errorf("%w: %w: %v has other bytes", ErrPage, ErrBadCheckpoint, d)
	}
	return content, nil
}

// read sees that the entries are there.
func (r *run) read(k *kind) error {
	if r.there.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.there.Load() {
		return nil
	}
	d := decoder{kind: k, entries: *btree.NewMap[string, string](degree), last: r.from.after}
	for _, name := range r.pages {
		content, err := r.from.read(name)
		if err != nil {
			return err
		}
		if err := d.page(content); err != nil {
			return fmt.Errorf("%w: %w: %v, of %v: %w", ErrPage, ErrBadCheckpoint, name, k, err)
		}
	}
	if d.ended != (r.from.end != "") || d.ended && d.last != r.from.end || d.entries.Len() == 0 {
		return fmt.Errorf("%w: %w: a part of %v does not end where it should", ErrPage, ErrBadCheckpoint, k)
	}
	r.entries, r.size, r.from = d.entries, d.size, nil
	r.there.Store(true)
	return nil
}

// decoder makes entries of pages.
type decoder struct {
	kind    *kind
	entries btree.Map[string, string]
	last    string // the greatest key so far
	size    int
	ended   bool // it ends a run

	values [MaxColumns]value
	bytes  []byte
}

var (
	errCut   = errors.New("it is cut short")
	errOrder = errors.New("what it has is not in the order of its keys")
	errEnds  = errors.New("a run goes on behind its end")
)

// page adds the entries of a page.
func (d *decoder) page(content []byte) error {
	r := &checkpointReader{rest: content}
	for len(r.rest) > 0 {
		key, value, err := "", "", error(nil)
		if d.kind.index > 0 {
			n, own := r.uint16(), int(r.uint16())
			key = string(r.take(int(n)))
			if own > len(key) {
				return errCut
			}
			if value = key[len(key)-own:]; len(key) > MaxKey {
				err = ErrTooLarge
			}
		} else {
			key, value, err = d.row(r.take(int(r.uint32())))
		}
		switch {
		case r.failed:
			return errCut
		case err != nil:
			return err
		case key <= d.last:
			return errOrder
		case d.ended:
			return errEnds
		}
		size := d.kind.size(key, value)
		d.entries.Load(key, value)
		d.last, d.size, d.ended = key, d.size+size, ends(key, size)
	}
	return nil
}

// row returns the key of a row, and the row. Both are one piece of memory.
func (d *decoder) row(row []byte) (key, value string, err error) {
	if len(row) > MaxRow {
		return "", "", ErrTooLarge
	}
	s := d.kind.schema
	n, err := s.split(row, s.all(), &d.values)
	if err == nil && n < len(s.Columns) {
		err = ErrBadRow
	}
	if err != nil {
		return "", "", err
	}
	if d.bytes, err = s.appendKeys(append(d.bytes[:0], row...), s.Key, &d.values); err != nil {
		return "", "", err
	}
	text := string(d.bytes)
	return text[len(row):], text[:len(row)], nil
}
