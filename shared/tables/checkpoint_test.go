package tables_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/tables"
)

var places = tables.Schema{Name: "a place", Columns: []tables.Column{{Name: "k", Kind: tables.Bytes}, {Name: "v", Kind: tables.Bytes}}, Key: []int{0}}

// written returns a set's checkpoint and its pages.
func written(t *testing.T, set *tables.Set, of tables.Checkpoint) ([]byte, map[digest.Digest][]byte) {
	t.Helper()
	pages := map[digest.Digest][]byte{}
	root, err := set.AppendCheckpoint(nil, &of, func(d digest.Digest, page []byte) error {
		if digest.Of(page) != d {
			t.Error("a page of another digest")
		}
		pages[d] = bytes.Clone(page)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return root, pages
}

func pagesOf(pages map[digest.Digest][]byte) func(digest.Digest) ([]byte, error) {
	return func(d digest.Digest) ([]byte, error) { return pages[d], nil }
}

var of = tables.Checkpoint{Space: digest.Of([]byte("s")), Seq: 1000, Chain: digest.Of([]byte("c")), Module: digest.Of([]byte("m")), ABI: 1}

// TestCheckpointsSayWhatIsThere fills equal tables in different orders, over deletions and copies, and sees equal
// checkpoints, which give the same tables back.
func TestCheckpointsSayWhatIsThere(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var first []byte
	for n := range 4 {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		set := newSet(t, people, places)
		put := func(table int, row []byte) {
			if err := set.Begin().Put(table, row); err != nil {
				t.Fatal(err)
			}
		}
		for _, i := range r.Perm(3000) {
			if r.IntN(10) == 0 {
				set = set.Copy()
			}
			if r.IntN(5) == 0 { // first otherwise, or somebody who goes again
				put(0, row(uint64(i), "x", nil, 1.0, true, nil))
				put(1, row(fmt.Sprint("gone", i), "v"))
			}
			put(0, row(uint64(i), fmt.Sprint(i), some{fmt.Sprint(i)}, float64(i), i%2 == 0, some{string(make([]byte, i%100))}))
			if i < 100 {
				put(1, row(fmt.Sprint(i), "v"))
			}
		}
		for i := range 3000 {
			key, _, _ := places.KeyOf(0, row(fmt.Sprint("gone", i)))
			if _, err := set.Begin().Delete(1, key); err != nil {
				t.Fatal(err)
			}
		}
		root, pages := written(t, set, of)
		if first == nil {
			first = root
		}
		if !bytes.Equal(root, first) {
			t.Fatalf("order %d gave another checkpoint", n)
		}
		read, is, err := tables.ReadCheckpoint(root, set.Schemas(), pagesOf(pages))
		if err != nil || *is != of || read.Bytes() != set.Bytes() {
			t.Fatalf("read back: %v, %+v", err, is)
		}
		if again, _ := written(t, read, of); !bytes.Equal(again, root) {
			t.Error("written again it is another")
		}
		if n == 0 {
			t.Logf("%d pages, root of %d bytes", len(pages), len(root))
		}
	}
}

// TestPagesStay changes a few rows of many and sees that most pages are as they were.
func TestPagesStay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	set := newSet(t, places)
	for i := range 20_000 {
		if err := set.Begin().Put(0, row(fmt.Sprintf("%08d", i), fmt.Sprint("value ", i, string(make([]byte, 80))))); err != nil {
			t.Fatal(err)
		}
	}
	_, before := written(t, set, of)
	for range 10 {
		if err := set.Begin().Put(0, row(fmt.Sprintf("%08d.5", r.IntN(20_000)), "new")); err != nil {
			t.Fatal(err)
		}
	}
	_, after := written(t, set, of)
	fresh := 0
	for d := range after {
		if before[d] == nil {
			fresh++
		}
	}
	if len(before) < 50 || len(before) > 500 || fresh == 0 || fresh > 25 {
		t.Errorf("of %d pages %d are new after 10 rows", len(after), fresh)
	}
}

func TestBadCheckpoints(t *testing.T) {
	set := newSet(t, people, places)
	for i := range 50 {
		if err := set.Begin().Put(1, row(fmt.Sprint(i), "v")); err != nil {
			t.Fatal(err)
		}
	}
	root, pages := written(t, set, of)
	read := func(root []byte, pages map[digest.Digest][]byte, schemas ...tables.Schema) error {
		_, _, err := tables.ReadCheckpoint(root, schemas, pagesOf(pages))
		return err
	}
	if err := read(root, pages, people, places); err != nil {
		t.Fatal(err)
	}
	if err := read(root, pages, places, people); err != nil {
		t.Errorf("tables declared in another order: %v", err)
	}
	for n := range root {
		if err := read(root[:n], pages, people, places); !errors.Is(err, tables.ErrBadCheckpoint) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if err := read(append(bytes.Clone(root), 0), pages, people, places); !errors.Is(err, tables.ErrBadCheckpoint) {
		t.Errorf("longer: %v", err)
	}
	if err := read(root, pages, people); !errors.Is(err, tables.ErrBadCheckpoint) {
		t.Errorf("fewer tables: %v", err)
	}
	if err := read(root, map[digest.Digest][]byte{}, people, places); !errors.Is(err, tables.ErrBadCheckpoint) {
		t.Errorf("no pages: %v", err)
	}
	for d, page := range pages {
		damaged := map[digest.Digest][]byte{}
		for other, content := range pages {
			damaged[other] = content
		}
		damaged[d] = append(bytes.Clone(page[:len(page)-1]), 'w')
		if err := read(root, damaged, people, places); !errors.Is(err, tables.ErrBadCheckpoint) {
			t.Errorf("a damaged page: %v", err)
		}
	}
	gone := errors.New("gone")
	if _, _, err := tables.ReadCheckpoint(root, set.Schemas(), func(digest.Digest) ([]byte, error) { return nil, gone }); !errors.Is(err, gone) {
		t.Errorf("a page that cannot be had: %v", err)
	}
}

// TestPagesThatLie: pages whose digests are right, and whose rows no tables have: out of order, twice, or against an index.
func TestPagesThatLie(t *testing.T) {
	unique := tables.Schema{Name: "u", Columns: []tables.Column{{Name: "k", Kind: tables.U64}, {Name: "v", Kind: tables.Text, Optional: true}},
		Key: []int{0}, Indexes: []tables.Index{{Name: "by_v", Columns: []int{1}, Unique: true}}}
	page := func(rows ...[]byte) (b []byte) {
		for _, r := range rows {
			b = append(append(b, byte(len(r)), 0, 0, 0), r...)
		}
		return b
	}
	read := func(content []byte, rows byte) error {
		set := newSet(t, unique)
		root, _ := written(t, set, of)
		root = root[:len(root)-12] // no rows, no pages
		d := digest.Of(content)
		root = append(append(root, rows, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0), d[:]...)
		_, _, err := tables.ReadCheckpoint(root, set.Schemas(), pagesOf(map[digest.Digest][]byte{d: content}))
		return err
	}
	one, two, absent, third := row(uint64(1), some{"a"}), row(uint64(2), some{"b"}), row(uint64(3), nil), row(uint64(4), nil)
	if err := read(page(one, two, absent, third), 4); err != nil {
		t.Fatalf("what is right: %v", err)
	}
	for name, c := range map[string]struct {
		content []byte
		rows    byte
	}{
		"out of order":    {page(two, one), 2},
		"twice":           {page(one, one), 2},
		"unique":          {page(one, row(uint64(2), some{"a"})), 2},
		"fewer than said": {page(one), 2},
		"more than said":  {page(one, two), 1},
		"cut short":       {page(one, two)[:len(page(one, two))-1], 2},
		"no row":          {page(one[:7]), 1},
		"a longer row":    {page(append(bytes.Clone(one), 0)), 1},
	} {
		if err := read(c.content, c.rows); !errors.Is(err, tables.ErrBadCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOver: rows go over to tables of their name and shape, with the indexes that these have.
func TestOver(t *testing.T) {
	from := newSet(t, people, places)
	for i := range 300 {
		if err := from.Begin().Put(0, row(uint64(i), fmt.Sprint("n", i%7), some{fmt.Sprint(i)}, float64(i), true, nil)); err != nil {
			t.Fatal(err)
		}
		if err := from.Begin().Put(1, row(fmt.Sprint(i), "v")); err != nil {
			t.Fatal(err)
		}
	}
	more := people
	more.Indexes = append(append([]tables.Index{}, people.Indexes...), tables.Index{Name: "more", Columns: []int{1}})
	other := places
	other.Columns = []tables.Column{{Name: "k", Kind: tables.Text}, {Name: "v", Kind: tables.Bytes}}
	over, left, err := from.Over([]tables.Schema{other, more})
	if err != nil || len(left) != 1 || left[0] != 1 || over.Len(0) != 0 || over.Len(1) != 300 {
		t.Fatalf("%v, left %v", err, left)
	}
	want := newSet(t, other, more)
	for i := range 300 {
		if err := want.Begin().Put(1, row(uint64(i), fmt.Sprint("n", i%7), some{fmt.Sprint(i)}, float64(i), true, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if over.Bytes() != want.Bytes() {
		t.Errorf("%d bytes, not %d", over.Bytes(), want.Bytes())
	}
	for index := range len(more.Indexes) + 1 {
		var got, wanted []string
		for set, list := range map[*tables.Set]*[]string{over: &got, want: &wanted} {
			if err := set.Scan(1, index, "", "", false, func(key, row string) bool {
				*list = append(*list, key+row)
				return true
			}); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, wanted) {
			t.Errorf("by index %d the rows are others", index)
		}
	}
	same, left, err := from.Over(from.Schemas())
	if err != nil || len(left) != 0 {
		t.Fatal(left, err)
	}
	a, _ := written(t, from, of)
	if b, _ := written(t, same, of); !bytes.Equal(a, b) {
		t.Error("over to the same schemas they are others")
	}
	one := people
	one.Indexes = []tables.Index{{Name: "unique", Columns: []int{1}, Unique: true}}
	if _, _, err := from.Over([]tables.Schema{one}); !errors.Is(err, tables.ErrUnique) {
		t.Errorf("an index that they are against: %v", err)
	}
}
