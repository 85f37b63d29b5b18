package idbstore

import (
	"errors"
	"math/rand/v2"
	"slices"
	"syscall/js"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/wasmclient"
)

// sums returns where segments of a space are whose sums are right, and where the others are.
func sums(t *testing.T, s *Store, id space.ID) (right, others stretches) {
	t.Helper()
	ruin(t, s, func(tx *transaction) error {
		key := tx.c.inKey(id)
		rows := tx.getSegments([]any{key}, []any{key, []any{}}, 0)
		keys := tx.getAllKeys(storeSegments, within(key), 0)
		if err := tx.turn(); err != nil {
			return err
		}
		for i := range rows.length() {
			here := extent(keys.result().Index(i))
			if rows.right(rows.bytes(i)) {
				right = right.with(here.first, here.last)
			} else {
				others = others.with(here.first, here.last)
			}
		}
		return nil
	})
	return right, others
}

// dropSums takes the sums away, as if a build had written everything that knows none.
func dropSums(t *testing.T, s *Store, id space.ID) {
	t.Helper()
	ruin(t, s, func(tx *transaction) error {
		tx.delete(storeSegments, within(0, tx.c.inKey(id)))
		return nil
	})
}

// rot changes a bit of the segment that begins with a record.
func rot(t *testing.T, s *Store, id space.ID, first uint64) {
	t.Helper()
	ruin(t, s, func(tx *transaction) error {
		key := tx.c.inKey(id)
		lower, upper := []any{key, float64(first)}, []any{key, float64(first), []any{}}
		rows, keys := tx.getSegments(lower, upper, 0), tx.getAllKeys(storeSegments, between(lower, upper, false, true), 0)
		if err := tx.turn(); err != nil {
			return err
		}
		value := rows.bytes(0)
		value[len(value)-1] ^= 1
		tx.put(storeSegments, keys.result().Index(0), value)
		return nil
	})
}

func TestChecksum(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 7, 8, 9, 16, 100} {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		sum := checksum(b)
		if back := js.ValueOf(sum).Float(); back != sum || sum != float64(uint64(sum)) {
			t.Errorf("%d bytes: %v is no whole number", size, sum)
		}
		for bit := range 8 * size {
			b[bit/8] ^= 1 << (bit % 8)
			if checksum(b) == sum {
				t.Errorf("%d bytes: bit %d does not matter", size, bit)
			}
			b[bit/8] ^= 1 << (bit % 8)
		}
		if checksum(append(b, 0)) == sum {
			t.Errorf("%d bytes: another one behind does not matter", size)
		}
	}
}

// TestSums commits runs of all sizes: every segment has its sum, also those that were merged, and no other sums are left. A new page holds none of them to the chain.
func TestSums(t *testing.T) {
	name := freshName(t)
	s := openTest(t, name)
	const total = 1500
	at := space.Start(testSpace)
	for n := 1; at.Seq < total; n = n%90 + 7 {
		_, part := benchRun(at, n)
		mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{*part}})
		at = *part.Position
	}
	right, others := sums(t, s, testSpace)
	if !right.has(1, at.Seq) || len(others) > 0 {
		t.Fatalf("right %v, others %v", right, others)
	}
	var segments, rows int
	ruin(t, s, func(tx *transaction) error {
		key := tx.c.inKey(testSpace)
		these, those := tx.getAllKeys(storeSegments, within(key), 0), tx.getAllKeys(storeSegments, within(0, key), 0)
		err := tx.turn()
		segments, rows = these.result().Length(), those.result().Length()
		return err
	})
	if rows != segments || segments < 3 || segments > 60 {
		t.Errorf("%d segments and %d sums", segments, rows)
	}
	readings := map[string]func(*Store) (int, error){
		"Read": func(s *Store) (int, error) {
			records, err := s.Read(t.Context(), testSpace, 0, total, 1<<30)
			return len(records), err
		},
		"ReadBefore": func(s *Store) (int, error) {
			records, err := s.ReadBefore(t.Context(), testSpace, at.Seq+1, int(at.Seq), 1<<30)
			return len(records), err
		},
		"ReadEncoded": func(s *Store) (int, error) {
			_, n, _, err := s.ReadEncoded(t.Context(), testSpace, 0, total, 1<<30)
			return n, err
		},
	}
	for what, read := range readings {
		other := openTest(t, name)
		n, err := read(other)
		if err != nil || n < total {
			t.Fatalf("%s: %d records, %v", what, n, err)
		}
		if other.verifications > 0 {
			t.Errorf("%s held %d stretches to the chain", what, other.verifications)
		}
	}
	dropSums(t, s, testSpace)
	for what, read := range readings {
		other := openTest(t, name)
		n, err := read(other)
		if err != nil || n < total || other.verifications == 0 {
			t.Errorf("%s without sums: %d records, %d stretches held to the chain, %v", what, n, other.verifications, err)
		}
	}
	mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{{Space: testSpace, Forget: true}}})
	if right, others = sums(t, s, testSpace); len(right)+len(others) > 0 {
		t.Errorf("forgotten, and there are %v and %v", right, others)
	}
}

// TestDamagedSums has sums become other things than numbers: the segments are held to the chain, and merged.
func TestDamagedSums(t *testing.T) {
	name := freshName(t)
	s := openTest(t, name)
	at := space.Start(testSpace)
	commit := func() {
		_, part := benchRun(at, 1)
		mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{*part}})
		at = *part.Position
	}
	for range runsPerMerge - 1 {
		commit()
	}
	ruin(t, s, func(tx *transaction) error {
		keys := tx.getAllKeys(storeSegments, within(0, tx.c.inKey(testSpace)), 0)
		if err := tx.turn(); err != nil {
			return err
		}
		for i := range keys.result().Length() {
			tx.issue(storeSegments, "put", "no number", keys.result().Index(i))
		}
		return nil
	})
	read := func() {
		t.Helper()
		if records, err := openTest(t, name).Read(t.Context(), testSpace, 0, 100, 1<<20); err != nil || len(records) != int(at.Seq) {
			t.Errorf("%d records of %d, %v", len(records), at.Seq, err)
		}
	}
	read()
	commit()
	read()
}

// TestMergeOfTheDamaged has a segment go bad before it is merged into a larger one: that gets no sum, and whoever reads it is told.
func TestMergeOfTheDamaged(t *testing.T) {
	name := freshName(t)
	s := openTest(t, name)
	at := space.Start(testSpace)
	commit := func() {
		_, part := benchRun(at, 1)
		mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{*part}})
		at = *part.Position
	}
	for range runsPerMerge - 1 {
		commit()
	}
	rot(t, s, testSpace, 3)
	commit()
	right, others := sums(t, s, testSpace)
	if len(right) > 0 || !slices.Equal(others, stretches{{first: 1, last: runsPerMerge}}) {
		t.Errorf("right %v, others %v", right, others)
	}
	if _, err := openTest(t, name).Read(t.Context(), testSpace, 0, 100, 1<<20); !errors.Is(err, wasmclient.ErrDamaged) {
		t.Errorf("what was merged: %v", err)
	}
}
