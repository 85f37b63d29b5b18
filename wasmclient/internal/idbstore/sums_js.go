package idbstore

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"syscall/js"

	"skerry/shared/space"
	"skerry/wasmclient/internal/jsbind"
)

// To hold a segment to the chain takes several times as long as to read it. So a sum of its bytes is stored with each, in a row of the same store whose key is the
// segment's behind a 0: where that is right the disk gave back what it got. A segment that has no such row, or another sum in it, is held to the chain: an older build
// wrote it, or one that it was merged from was not right. Sums that no segment has any more do nothing. Whoever can write to the database can make a sum as well as a
// chain, and neither is meant for them.

// checksum returns a sum of bytes, as a whole number that JavaScript has exactly. For a given word each step is a bijection of what came before, and the other way round:
// what differs in one word alone comes to the same with a chance of 2^-53.
func checksum(b []byte) float64 {
	const odd = 0x9e3779b97f4a7c15 // 2^64 / the golden ratio (Knuth, volume 3, 6.4)
	h := uint64(len(b))
	for ; len(b) >= 8; b = b[8:] {
		h = bits.RotateLeft64((h^binary.LittleEndian.Uint64(b))*odd, 29)
	}
	var rest [8]byte
	copy(rest[:], b)
	h = (h ^ binary.LittleEndian.Uint64(rest[:])) * odd
	return float64((h ^ h>>32) * odd >> 11)
}

// sumKey returns the bound of the sums that goes with one of segments.
func sumKey(bound []any) []any { return append([]any{0}, bound...) }

// segmentRows are segments that were asked for, and sums.
type segmentRows struct {
	t            *transaction
	values, sums rawRequest
	known        []float64
}

// getSegments asks for segments, n at most unless it is 0.
func (t *transaction) getSegments(lower, upper []any, n int) *segmentRows {
	get := func(lower, upper []any) rawRequest {
		return t.getAll(storeSegments, between(lower, upper, false, true), n)
	}
	return &segmentRows{t: t, values: get(lower, upper), sums: get(sumKey(lower), sumKey(upper))}
}

func (r *segmentRows) length() int { return r.values.result().Length() }

func (r *segmentRows) bytes(i int) []byte { return jsbind.ToBytes(r.values.result().Index(i)) }

// right reports whether the bytes of a segment have their sum.
func (r *segmentRows) right(b []byte) bool {
	if r.known == nil {
		sums := r.sums.result()
		for i := range sums.Length() {
			if sum := sums.Index(i); sum.Type() == js.TypeNumber { // what went bad may be anything
				r.known = append(r.known, sum.Float())
			}
		}
	}
	return slices.Contains(r.known, checksum(b))
}

// decode reads the records of a segment, as [decodeRecords] does.
func (r *segmentRows) decode(id space.ID, i int) ([]space.Record, int, error) {
	b := r.bytes(i)
	records, size, err := decodeRecords(id, b)
	if err == nil {
		r.note(b, records[0].Seq, records[len(records)-1].Seq)
	}
	return records, size, err
}

// note has the transaction know that a segment is what was stored, if its sum is right.
func (r *segmentRows) note(b []byte, first, last uint64) {
	if r.right(b) {
		r.t.right = r.t.right.with(first, last)
	}
}

// putSegment writes a segment, with its sum if its bytes are known to be right.
func (t *transaction) putSegment(space js.Value, first, last any, value []byte, right bool) {
	key := []any{space, first, last}
	t.put(storeSegments, js.ValueOf(key), value)
	if right {
		t.issue(storeSegments, "put", checksum(value), sumKey(key))
	}
}

// deleteSegments deletes segments from lower on to below upper.
func (t *transaction) deleteSegments(lower, upper []any) {
	t.delete(storeSegments, between(lower, upper, false, true))
	t.delete(storeSegments, between(sumKey(lower), sumKey(upper), false, true))
}

// noteRight notes what a reading found right since the store last dropped anything.
func (s *Store) noteRight(id space.ID, right stretches, drops uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.recent.drops != drops {
		return
	}
	for _, e := range right {
		s.see(id, e.first, e.last)
	}
}
