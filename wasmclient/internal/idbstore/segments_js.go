package idbstore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"syscall/js"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Readers hold numbers and never segments, which merges replace under them: every read finds its segments anew, in
// one transaction.

const (
	segmentsFirst  = 4    // at least asked for in a first request, since it is not known how large they are
	segmentsPerAsk = 64   // asked for in later ones
	keysWindow     = 4096 // numbers of records, whose segments' keys are asked for at once when reading backwards
)

// Read implements wasmclient.Store.
func (s *Store) Read(ctx context.Context, id space.ID, after uint64, limit, maxBytes int) ([]space.Record, error) {
	records, err := s.records(ctx, id, func(t *transaction) ([]space.Record, error) {
		return t.readForward(id, after, limit, maxBytes)
	})
	if err != nil || len(records) == 0 {
		return records, err
	}
	first, _, err := s.sound(ctx, id, after+1, records[0].Seq, records[len(records)-1].Seq)
	if first > 0 {
		n, _ := slices.BinarySearchFunc(records, first, func(r space.Record, seq uint64) int { return cmp.Compare(r.Seq, seq) })
		if records = records[:n:n]; n == 0 {
			err = spoiled(id, first)
		}
	}
	if err != nil {
		return nil, err
	}
	return records, nil
}

// records reads records, whether they are right or not.
func (s *Store) records(ctx context.Context, id space.ID, read func(*transaction) ([]space.Record, error)) (records []space.Record, err error) {
	s.mu.Lock()
	drops := s.recent.drops
	s.mu.Unlock()
	err = s.view(ctx, func(t *transaction) (err error) {
		records, err = read(t)
		s.noteRight(id, t.right, drops)
		return err
	}, storeSegments)
	return records, err
}

func (t *transaction) readForward(id space.ID, after uint64, limit, maxBytes int) ([]space.Record, error) {
	key := t.c.inKey(id)
	from, first := []any{key, float64(after) + 1}, max(segmentsFirst, min(segmentsPerAsk, maxBytes>>20))
	if after > 0 {
		// The next record may be within a segment: the last that begins at it or before it tells.
		cursor := t.raw(false, storeSegments, "openKeyCursor", between([]any{key}, []any{key, float64(after) + 1, []any{}}, false, true), "prev")
		if err := t.turn(); err != nil {
			return nil, err
		}
		if at := cursor.result(); !at.IsNull() {
			here := extent(at.Get("key"))
			if here.last > after {
				from = []any{key, float64(here.first)}
			}
			if limit > 0 && here.last >= after+uint64(limit) { // it has all that is wanted
				first = 1
			}
		}
	}
	var parts [][]space.Record
	count, next := 0, uint64(0)
	upper := []any{key, []any{}}
	for n, bytes, seen := first, 0, 0; ; {
		rows := t.getSegments(from, upper, n)
		if err := t.turn(); err != nil {
			return nil, err
		}
		got := rows.length()
		for i := range got {
			found, size, err := rows.decode(id, i)
			if err != nil && count > 0 {
				return join(parts, count), nil // what is damaged is told when it is next
			} else if err != nil {
				return nil, err
			}
			seen, bytes = seen+1, bytes+size
			if count > 0 && found[0].Seq != next {
				return join(parts, count), nil // a hole
			}
			next = found[len(found)-1].Seq + 1
			for len(found) > 0 && found[0].Seq <= after {
				found = found[1:]
			}
			if len(found) == 0 { // they say that they are others than they are
				return nil, spoiled(id, after+1)
			}
			taken := takeRecords(found, limit-count, maxBytes, count == 0, replica.TakeFirst)
			parts, count = append(parts, taken), count+len(taken)
			for i := range taken {
				maxBytes -= taken[i].Size()
			}
			if len(taken) < len(found) || count >= limit || maxBytes <= 0 {
				return join(parts, count), nil
			}
		}
		if got < n {
			return join(parts, count), nil
		}
		n = max(1, min(segmentsPerAsk, maxBytes*seen/max(bytes, 1)+1)) // as many as will be used
		from = []any{key, float64(next)}
	}
}

// join puts stretches of records together, count in all.
func join(parts [][]space.Record, count int) []space.Record {
	if len(parts) == 1 {
		return parts[0]
	}
	records := make([]space.Record, 0, count)
	for _, part := range parts {
		records = append(records, part...)
	}
	return records
}

// takeRecords cuts the records of one segment to what is wanted of them. Only the first of a result comes for sure.
func takeRecords(found []space.Record, limit, maxBytes int, first bool, take func([]space.Record, int, int) []space.Record) []space.Record {
	taken := take(found, limit, maxBytes)
	if !first && len(taken) == 1 && (limit < 1 || taken[0].Size() > maxBytes) {
		return nil
	}
	if len(taken) <= len(found)/2 { // a few records must not hold the memory of a whole segment
		taken = slices.Clone(taken)
		for i := range taken {
			taken[i].Payload = bytes.Clone(taken[i].Payload)
		}
	}
	return taken
}

// ReadBefore implements wasmclient.Store.
func (s *Store) ReadBefore(ctx context.Context, id space.ID, before uint64, limit, maxBytes int) ([]space.Record, error) {
	records, err := s.records(ctx, id, func(t *transaction) ([]space.Record, error) {
		return t.readBackward(id, before, limit, maxBytes)
	})
	for err == nil && len(records) > 0 {
		var first, last uint64
		if first, last, err = s.sound(ctx, id, records[0].Seq, records[0].Seq, records[len(records)-1].Seq); first == 0 || err != nil {
			break
		}
		n, _ := slices.BinarySearchFunc(records, last+1, func(r space.Record, seq uint64) int { return cmp.Compare(r.Seq, seq) })
		if records = records[n:]; len(records) == 0 {
			err = spoiled(id, first)
		}
	}
	if err != nil {
		return nil, err
	}
	return records, nil
}

func (t *transaction) readBackward(id space.ID, before uint64, limit, maxBytes int) ([]space.Record, error) {
	key := t.c.inKey(id)
	var parts [][]space.Record // the last first
	count := 0
	for upper := before; ; {
		extents, err := t.extentsBefore(key, upper)
		if err != nil || len(extents) == 0 {
			return joinBackward(parts, count), err
		}
		for len(extents) > 0 {
			ask := 0 // from the end, as many as have enough records
			for have := uint64(0); ask < len(extents) && ask < segmentsFirst<<min(len(parts), 4) && (ask == 0 || have < uint64(max(limit-count, 1))); ask++ {
				e := extents[len(extents)-1-ask]
				have += min(e.last+1, upper) - e.first
			}
			page := extents[len(extents)-ask:]
			extents = extents[:len(extents)-ask]
			lower, last := []any{key, float64(page[0].first)}, []any{key, float64(page[ask-1].first), []any{}}
			rows := t.getSegments(lower, last, 0)
			if err := t.turn(); err != nil {
				return nil, err
			}
			for i := ask - 1; i >= 0; i-- {
				found, _, err := rows.decode(id, i)
				if err != nil && count > 0 {
					return joinBackward(parts, count), nil
				}
				if err != nil {
					return nil, err
				}
				for len(found) > 0 && found[len(found)-1].Seq >= before {
					found = found[:len(found)-1]
				}
				if len(found) == 0 && count == 0 { // they say that they are others than they are
					return nil, spoiled(id, page[i].first)
				} else if len(found) == 0 {
					return joinBackward(parts, count), nil
				}
				if count > 0 && found[len(found)-1].Seq+1 != parts[len(parts)-1][0].Seq {
					return joinBackward(parts, count), nil // a hole
				}
				taken := takeRecords(found, limit-count, maxBytes, count == 0, replica.TakeLast)
				if len(taken) > 0 {
					parts = append(parts, taken)
				}
				count += len(taken)
				for i := range taken {
					maxBytes -= taken[i].Size()
				}
				if len(taken) < len(found) || count >= limit || maxBytes <= 0 {
					return joinBackward(parts, count), nil
				}
			}
			upper = page[0].first
		}
	}
}

func joinBackward(parts [][]space.Record, count int) []space.Record {
	slices.Reverse(parts)
	return join(parts, count)
}

// extentsBefore returns where segments are that begin below a number: those of a window of numbers, and where that
// has none, the last one.
func (t *transaction) extentsBefore(key js.Value, below uint64) ([]segment, error) {
	if below == 0 {
		return nil, nil
	}
	low := uint64(0)
	if below > keysWindow {
		low = below - keysWindow
	}
	window := t.getAllKeys(storeSegments, between([]any{key, float64(low)}, []any{key, float64(below)}, false, true), 0)
	if err := t.turn(); err != nil {
		return nil, err
	}
	keys := window.result()
	if keys.Length() == 0 && low > 0 {
		cursor := t.raw(false, storeSegments, "openKeyCursor", between([]any{key}, []any{key, float64(low)}, false, true), "prev")
		if err := t.turn(); err != nil {
			return nil, err
		}
		if at := cursor.result(); !at.IsNull() {
			return []segment{extent(at.Get("key"))}, nil
		}
	}
	extents := make([]segment, keys.Length())
	for i := range extents {
		extents[i] = extent(keys.Index(i))
	}
	return extents, nil
}

func extent(key js.Value) segment {
	return segment{first: uint64(key.Index(1).Float()), last: uint64(key.Index(2).Float())}
}

// decodeRecords reads the records of a segment, of which there is at least one, and tells how many bytes they take.
func decodeRecords(id space.ID, value []byte) ([]space.Record, int, error) {
	_, encoded, err := decodeSegment(value)
	if err != nil {
		return nil, 0, fmt.Errorf("read a segment of space %v: %w", id, err)
	}
	records, err := wire.DecodeRecords(encoded)
	for i := range records {
		if records[i].Seq != records[0].Seq+uint64(i) {
			err = errCorrupt
		}
	}
	if err != nil || len(records) == 0 {
		return nil, 0, fmt.Errorf("read a segment of space %v: %w", id, errCorrupt)
	}
	return records, len(encoded), nil
}
