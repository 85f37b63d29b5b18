package idbstore

import (
	"context"
	"fmt"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/wasmclient/internal/jsbind"
)

// A disk may give other bytes back than were stored, which may still read as records. So before anything of a segment is handed out for the first time, it has to have its sum, or the chain is
// folded over it from the value in front of it: it has to come to the value that the next segment begins with, or, of the last one, to the space's position. What was
// seen to be right, or was written through this handle, is not looked at again by it. Where neither is known, in front of records that were never fetched, there is nothing to compare with.

// verifyAtOnce is how many segments are looked at in one turn.
const verifyAtOnce = 4

// stretches are numbers of records from first to last, ascending and apart.
type stretches []segment

// has reports whether all from first to last are in.
func (s stretches) has(first, last uint64) bool {
	return slices.ContainsFunc(s, func(e segment) bool { return e.first <= first && last <= e.last })
}

// with returns the stretches with those from first to last.
func (s stretches) with(first, last uint64) stretches {
	into := stretches{}
	for _, e := range s {
		if e.last+1 < first || last+1 < e.first {
			into = append(into, e)
		} else {
			first, last = min(first, e.first), max(last, e.last)
		}
	}
	return append(into, segment{first: first, last: last})
}

// sound looks whether records are what was stored, and whether there are others from low on, in front of them, that do not say so. It returns where the segment begins and ends that is the first of theirs which is not; 0 if all are.
func (s *Store) sound(ctx context.Context, id space.ID, low, first, last uint64) (badFirst, badLast uint64, err error) {
	s.mu.Lock()
	seen, drops := s.seen(id).has(min(low, first), last), s.recent.drops
	s.mu.Unlock()
	if seen {
		return 0, 0, nil
	}
	var right, bad segment
	err = s.view(ctx, func(t *transaction) (err error) {
		right, bad, err = t.verify(id, min(low, first), first, last)
		return err
	}, storeSegments, storeSpaces)
	if err != nil {
		return 0, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verifications++
	if right.last > 0 && s.recent.drops == drops { // else something was taken back meanwhile
		s.see(id, right.first, right.last)
	}
	return bad.first, bad.last, nil
}

// seen returns which records of a space were seen to be right since something was last taken back. It is called with the store's mutex held.
func (s *Store) seen(id space.ID) stretches {
	if s.verified == nil || s.verifiedAt != s.recent.drops {
		s.verified, s.verifiedAt = map[space.ID]stretches{}, s.recent.drops
	}
	return s.verified[id]
}

// see notes records that are right. It is called with the store's mutex held.
func (s *Store) see(id space.ID, first, last uint64) {
	all := s.seen(id).with(first, last) // which makes the map
	s.verified[id] = all
}

// noteWritten notes the records of a commit, which are right.
func (s *Store) noteWritten(c *replica.Commit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range c.Spaces {
		if part := &c.Spaces[i]; len(part.Records) > 0 {
			s.see(part.Space, part.First, part.Last)
		}
	}
}

// verify looks at the segments that have records from low to last, of which those from first on must be there. It returns from where to where they are right, and the first that is not.
func (t *transaction) verify(id space.ID, low, first, last uint64) (right, bad segment, err error) {
	key := t.c.inKey(id)
	row := t.get(storeSpaces, jsbind.FromBytes(id[:]))
	cursor := t.raw(false, storeSegments, "openKeyCursor", between([]any{key}, []any{key, float64(low), []any{}}, false, true), "prev")
	if err := t.turn(); err != nil {
		return right, bad, err
	}
	position := space.Position{}
	if b := row.bytes(); b != nil {
		known, err := decodeSpaceRow(b)
		if err != nil {
			return right, bad, err
		}
		position = known.info.Position
	}
	from := []any{key, float64(low)}
	if at := cursor.result(); !at.IsNull() {
		from = []any{key, float64(extent(at.Get("key")).first)}
	}
	var before segment // the segment in front of the one that is looked at
	var chain digest.Digest
	next := first // the first record that no segment had yet
	for open, done := false, false; !done; {
		page := between(from, []any{key, []any{}}, open, true)
		keys, values := t.getAllKeys(storeSegments, page, verifyAtOnce), t.getAll(storeSegments, page, verifyAtOnce)
		if err := t.turn(); err != nil {
			return right, bad, err
		}
		n := keys.result().Length()
		done = n < verifyAtOnce
		for i := range n {
			here, value := extent(keys.result().Index(i)), jsbind.ToBytes(values.result().Index(i))
			begins, _, err := decodeSegment(value)
			if open && before.last+1 == here.first && (err != nil || begins != chain) {
				return right, before, nil
			}
			if open {
				right.last = before.last
			} else {
				right.first = here.first
			}
			if next > last {
				return right, bad, nil
			}
			if here.first > next { // what was read there says that it is another record than it is
				return right, segment{first: next, last: last}, nil
			}
			next = max(next, here.last+1)
			records, _, err := decodeRecords(id, value)
			if err != nil || records[0].Seq != here.first || records[len(records)-1].Seq != here.last {
				return right, here, nil
			}
			before, open, chain = here, true, space.Fold(begins, records)
			from = []any{key, float64(here.first), float64(here.last)}
		}
	}
	if before.last == position.Seq && chain != position.Chain {
		return right, before, nil
	}
	right.last = before.last
	if next <= last {
		bad = segment{first: next, last: last}
	}
	return right, bad, nil
}

// spoiled is the error of a segment that went bad.
func spoiled(id space.ID, first uint64) error {
	return fmt.Errorf("read a segment of space %v from record %d on, which is not what was stored: %w", id, first, errCorrupt)
}
