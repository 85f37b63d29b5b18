package idbstore

import (
	"context"
	"errors"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// Reading for a page: records go there in the encoding that segments have them in, so nothing is decoded here. A page
// asks for less at a time than a segment holds. What is left of the last one is kept, and while reads go on in it
// they need no transaction: merges put segments together but no record is ever changed.

var _ wasmclient.EncodedReader = (*Store)(nil)

// errOdd tells that a segment has records that only decoding can make sense of.
var errOdd = errors.New("idbstore: a segment in another form")

// stretch is the records of a segment, and where each of them is.
type stretch struct {
	first uint64 // the number of the first; the others follow
	bytes []byte
	marks []mark
}

// mark is one record of a stretch.
type mark struct {
	end  uint32 // of its bytes
	size uint32 // as [space.Record.Size] counts
}

func (s *stretch) next() uint64 { return s.first + uint64(len(s.marks)) }

// recent is what was read last and not used up.
type recent struct {
	conn  *connection // which it was read by: a database that is opened again may be another one
	space space.ID
	kept  []stretch
	drops uint64 // how often it was dropped
}

// drop forgets what was read. It is called with the store's mutex held.
func (r *recent) drop() { *r = recent{drops: r.drops + 1} }

// dropMoved forgets what was read of a space whose position was moved other than forward, or of which records were dropped.
func (s *Store) dropMoved(c *replica.Commit) {
	for i := range c.Spaces {
		if part := &c.Spaces[i]; part.Forget || part.Drop != nil || part.Position != nil && (part.Expect == nil || part.Position.Seq < part.Expect.Seq) {
			s.mu.Lock()
			s.recent.drop()
			s.mu.Unlock()
			return
		}
	}
}

// page is a result of ReadEncoded while it grows.
type page struct {
	next   uint64 // the first number that is wanted
	limit  int
	left   int // of maxBytes
	count  int
	bytes  []byte
	shared bool // bytes are a stretch's own
}

// take takes what is wanted of a stretch, and reports whether more than it has is.
func (p *page) take(s *stretch) bool {
	if p.count > 0 && s.first > p.next { // earlier: another tab merged what is wanted with what is here already
		return false // a hole
	}
	from := 0
	if p.next > s.first {
		from = int(min(p.next-s.first, uint64(len(s.marks))))
	}
	to := from
	for ; to < len(s.marks); to++ {
		size := int(s.marks[to].size)
		if p.count > 0 && (p.count >= p.limit || size > p.left) {
			break
		}
		p.count++
		p.left -= size
	}
	if to == from {
		return to == len(s.marks)
	}
	p.next = s.first + uint64(to)
	begin := uint32(0)
	if from > 0 {
		begin = s.marks[from-1].end
	}
	switch end := s.marks[to-1].end; {
	case p.bytes == nil:
		p.bytes, p.shared = s.bytes[begin:end:end], true
	case p.shared: // a slice at its capacity, so it is copied
		p.bytes, p.shared = append(p.bytes, s.bytes[begin:end]...), false
	default:
		p.bytes = append(p.bytes, s.bytes[begin:end]...)
	}
	return to == len(s.marks) && p.count < p.limit && p.left > 0
}

// ReadEncoded implements wasmclient.EncodedReader.
func (s *Store) ReadEncoded(ctx context.Context, id space.ID, after uint64, limit, maxBytes int) ([]byte, int, uint64, error) {
	encoded, n, last, err := s.readAsIs(ctx, id, after, limit, maxBytes)
	if err != nil || n == 0 {
		return encoded, n, last, err
	}
	first := last - uint64(n) + 1
	bad, _, err := s.sound(ctx, id, after+1, first, last)
	switch {
	case err != nil:
		return nil, 0, 0, err
	case bad == 0:
		return encoded, n, last, nil
	case bad <= first:
		return nil, 0, 0, spoiled(id, bad)
	}
	return s.readAsIs(ctx, id, after, int(bad-first), maxBytes)
}

// readAsIs is ReadEncoded of what is there, whether it is right or not.
func (s *Store) readAsIs(ctx context.Context, id space.ID, after uint64, limit, maxBytes int) ([]byte, int, uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, 0, err
	}
	s.mu.Lock()
	life := s.lives
	s.mu.Unlock()
	conn, err := s.current(life)
	if err != nil {
		return nil, 0, 0, err
	}
	got := page{next: after + 1, limit: limit, left: maxBytes}
	s.mu.Lock()
	held := s.recent
	s.mu.Unlock()
	more := true
	if conn != nil && held.conn == conn && held.space == id {
		for i := range held.kept {
			if h := &held.kept[i]; more && (got.count > 0 || h.first <= got.next && got.next < h.next()) {
				more = got.take(h)
			}
		}
	}
	if !more {
		return got.bytes, got.count, got.next - 1, nil
	}

	start, kept := got, []stretch(nil)
	err = s.run(ctx, func(c *connection) error {
		t, err := c.begin(idb.TransactionReadOnly, idb.DurabilityDefault, storeSegments)
		if err != nil {
			return err
		}
		got, conn = start, c
		kept, err = t.readEncoded(id, &got)
		s.noteRight(id, t.right, held.drops)
		t.abort() // all is here: its end is not waited for
		return err
	})
	if errors.Is(err, errOdd) {
		return s.encodeRead(ctx, id, after, limit, maxBytes)
	}
	if err != nil {
		return nil, 0, 0, err
	}
	s.mu.Lock()
	if s.recent.drops == held.drops && s.conn == conn {
		s.recent = recent{conn: conn, space: id, kept: kept, drops: held.drops}
	}
	s.mu.Unlock()
	if got.count == 0 {
		return nil, 0, after, nil
	}
	return got.bytes, got.count, got.next - 1, nil
}

// encodeRead is ReadEncoded by way of Read.
func (s *Store) encodeRead(ctx context.Context, id space.ID, after uint64, limit, maxBytes int) ([]byte, int, uint64, error) {
	records, err := s.Read(ctx, id, after, limit, maxBytes)
	if err != nil || len(records) == 0 {
		return nil, 0, after, err
	}
	var b []byte
	for i := range records {
		b = wire.AppendRecord(b, &records[i])
	}
	return b, len(records), records[len(records)-1].Seq, nil
}

// readEncoded adds to a page what is wanted behind what it has, and returns the stretches that were not used up.
func (t *transaction) readEncoded(id space.ID, p *page) ([]stretch, error) {
	key := t.c.inKey(id)
	upper := []any{key, []any{}}
	// The segment that has the number, or else the first one behind it. A reader that goes on is mostly at the
	// beginning of a segment, so that one is asked for at once; but a merge may have put it into one before.
	cursor := t.raw(false, storeSegments, "openKeyCursor", between([]any{key}, []any{key, float64(p.next), []any{}}, false, true), "prev")
	from := []any{key, float64(p.next)}
	var rows *segmentRows
	asked := p.count > 0 || p.next == 1
	if asked {
		rows = t.getSegments(from, upper, 1)
	}
	if err := t.turn(); err != nil {
		return nil, err
	}
	if at := cursor.result(); !at.IsNull() {
		if here := extent(at.Get("key")); here.first < p.next && here.last >= p.next {
			from, asked = []any{key, float64(here.first)}, false
		}
	}
	for n, bytes, seen := 1, 0, 0; ; {
		if !asked {
			rows = t.getSegments(from, upper, n)
			if err := t.turn(); err != nil {
				return nil, err
			}
		}
		asked = false
		got := rows.length()
		var kept []stretch
		more, behind := true, uint64(0)
		for i := range got {
			value := rows.bytes(i)
			s, err := index(value)
			if err != nil && p.count > 0 {
				return kept, nil // told when it is next
			} else if err != nil {
				return nil, err
			}
			if more && s.next() <= p.next && p.count == 0 { // they say that they are others than they are
				return nil, spoiled(id, p.next)
			}
			rows.note(value, s.first, s.next()-1)
			seen, bytes, behind = seen+1, bytes+len(s.bytes), s.next()
			if more {
				more = p.take(&s)
			}
			if !more {
				kept = append(kept, s)
			}
		}
		if !more || got < n {
			return kept, nil
		}
		n = max(1, min(segmentsPerAsk, p.left*seen/max(bytes, 1)+1)) // as many as will be used
		from = []any{key, float64(behind)}
	}
}

// index finds the records of a segment, which are of a form that can be handed on, and follow one another.
func index(value []byte) (stretch, error) {
	_, encoded, err := decodeSegment(value)
	if err != nil {
		return stretch{}, err
	}
	s := stretch{bytes: encoded}
	for at := 0; at < len(encoded); {
		seq, size, n, err := wire.SkipRecord(encoded[at:])
		if err != nil || len(s.marks) > 0 && seq != s.next() {
			return stretch{}, errOdd
		}
		if at == 0 {
			s.first, s.marks = seq, make([]mark, 0, len(encoded)/n+16)
		}
		at += n
		s.marks = append(s.marks, mark{uint32(at), uint32(size)})
	}
	if len(s.marks) == 0 {
		return stretch{}, errOdd
	}
	return s, nil
}
