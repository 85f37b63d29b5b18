package tables_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/tables"
)

// indexed is notes with indexes that it has not: of values that many rows have, few, and each its own, one of them unique.
var indexed = func() tables.Schema {
	s := notes
	s.Indexes = append([]tables.Index{{Name: "by body", Columns: []int{3, 1}}, {Name: "by both", Columns: []int{1, 2}}, {Name: "one", Columns: []int{2, 1}, Unique: true}}, notes.Indexes...)
	return s
}()

// TestOverSince takes random tables over, changes some rows, and takes them over again and again, beginning with what was made
// before: they are what taking them over whole makes, down to the digest, and fail where that does.
func TestOverSince(t *testing.T) {
	seed := rand.Uint64()
	for n := range uint64(4) {
		t.Run(fmt.Sprintf("%d-%d", seed, n), func(t *testing.T) { overSince(t, rand.New(rand.NewPCG(seed, n))) })
	}
}

func overSince(t *testing.T, r *rand.Rand) {
	// The unique index is of notes too in some, where taking over cannot fail for it.
	from, schemas := notes, []tables.Schema{places, indexed}
	if r.IntN(2) == 0 {
		from.Indexes = nil // then names that are taken twice show when rows are taken over
	}
	rows := 1 + r.IntN(1500)
	set := newSet(t, places, from)
	change := func(faults int) {
		id := uint64(r.IntN(rows))
		if r.IntN(3) == 0 {
			for range r.IntN(3) {
				if _, err := set.Begin().Delete(1, noteKey(id)); err != nil {
					t.Fatal(err)
				}
				id++
			}
			return
		}
		var name any
		size := r.IntN(200)
		switch r.IntN(2) * r.IntN(400) {
		case 0:
		case 1:
			size += 600 * faults // too much for a key of an index
		case 2:
			name = some{fmt.Sprint(r.IntN(1 + rows*faults))} // another one may have it
		default:
			name = some{fmt.Sprint(id)}
		}
		made := row(id, strings.Repeat("t", r.IntN(3)), name, strings.Repeat("x", size))
		if err := set.Begin().Put(1, made); err != nil && !errors.Is(err, tables.ErrUnique) {
			t.Fatal(err)
		}
	}
	for range 2 * rows {
		change(0)
	}
	var was, made *tables.Set
	again, failed := 0, 0
	for range 12 {
		now := set.Copy()
		mended, left, err := now.OverSince(was, made, schemas)
		whole, wholeLeft, want := now.Copy().Over(schemas)
		if (err == nil) != (want == nil) || len(left) != len(wholeLeft) {
			t.Fatalf("mended: %v, left %v; whole: %v, left %v", err, left, want, wholeLeft)
		}
		if err == nil {
			a, _ := written(t, mended, of)
			if b, _ := written(t, whole, of); !bytes.Equal(a, b) || mended.Bytes() != whole.Bytes() {
				t.Fatal("mended, the tables are others than made whole")
			}
			if made != nil {
				again++
			}
			others := []*tables.Set{made} // who writes to these changes nothing here
			if r.IntN(2) == 0 {
				others = append(others, mended.Copy())
			}
			for _, other := range others {
				if other != nil && other.Len(1) > 0 {
					if _, err := other.Begin().Delete(1, firstKey(t, other)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if b, _ := written(t, mended, of); !bytes.Equal(a, b) {
				t.Fatal("what was mended changes with what it was made of")
			}
			was, made = now, mended
		} else if failed++; was != nil && r.IntN(2) == 0 {
			set = was.Copy() // else what is at fault would stay
		}
		for range r.IntN(1 + r.IntN(300)) {
			change(1)
		}
	}
	t.Logf("%d rows: mended %d times, failed %d", rows, again, failed)
}

// TestOverSinceIsUnique: a unique index is mended by no row that another one is in the way of, and by one whose way is free now.
func TestOverSinceIsUnique(t *testing.T) {
	from, to := notes, notes
	from.Indexes, to.Indexes = nil, notes.Indexes
	set := newSet(t, from)
	put := func(id uint64, name string) {
		t.Helper()
		if err := set.Begin().Put(0, row(id, "", some{name}, "")); err != nil {
			t.Fatal(err)
		}
	}
	put(1, "a")
	put(2, "b")
	was := set.Copy()
	made, _, err := was.Over([]tables.Schema{to})
	if err != nil {
		t.Fatal(err)
	}
	put(3, "a")
	if _, _, err := set.OverSince(was, made, []tables.Schema{to}); !errors.Is(err, tables.ErrUnique) {
		t.Errorf("a name that another row has: %v", err)
	}
	put(1, "b")
	put(2, "c")
	mended, _, err := set.OverSince(was, made, []tables.Schema{to})
	if err != nil {
		t.Fatalf("names that went round: %v", err)
	}
	whole, _, err := set.Over([]tables.Schema{to})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := written(t, mended, of)
	if b, _ := written(t, whole, of); !bytes.Equal(a, b) {
		t.Error("mended, the tables are others than made whole")
	}
}

func firstKey(t *testing.T, set *tables.Set) (first []byte) {
	t.Helper()
	if err := set.Scan(1, 0, "", "", false, func(key, _ string) bool {
		first = []byte(key)
		return false
	}); err != nil {
		t.Fatal(err)
	}
	return first
}

// TestOverSinceReadsFew: of rows that did not change no page is read.
func TestOverSinceReadsFew(t *testing.T) {
	set := newSet(t, notes)
	for id := range uint64(5000) {
		if err := set.Begin().Put(0, row(id, "t", nil, strings.Repeat("x", 100))); err != nil {
			t.Fatal(err)
		}
	}
	made, _, err := set.Over([]tables.Schema{indexed})
	if err != nil {
		t.Fatal(err)
	}
	s := &store{pages: map[digest.Digest][]byte{}}
	root, _ := s.write(t, set)
	was := s.open(t, root)
	now := was.Copy()
	if err := now.Begin().Put(0, row(uint64(77), "u", nil, "another")); err != nil {
		t.Fatal(err)
	}
	s.reads = 0
	mended, _, err := now.OverSince(was, made, []tables.Schema{indexed})
	if err != nil {
		t.Fatal(err)
	}
	if s.reads > 0 {
		t.Errorf("%d pages of %d were read, beside those that were written to", s.reads, len(s.pages))
	}
	whole, _, err := now.Over([]tables.Schema{indexed})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := written(t, mended, of)
	if b, _ := written(t, whole, of); !bytes.Equal(a, b) {
		t.Error("mended, the tables are others than made whole")
	}
}
