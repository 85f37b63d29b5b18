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
	root, err := set.AppendCheckpoint(nil, &of, func(d digest.Digest, content func() ([]byte, error)) error {
		page, err := content()
		if digest.Of(page) != d {
			t.Error("a page of another digest")
		}
		pages[d] = bytes.Clone(page)
		return err
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
		set, _, err := tables.ReadCheckpoint(root, schemas, pagesOf(pages))
		if err == nil {
			err = set.ReadAll()
		}
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
	lost, _, err := tables.ReadCheckpoint(root, set.Schemas(), func(digest.Digest) ([]byte, error) { return nil, gone })
	if err != nil {
		t.Fatal(err)
	}
	key, _, _ := places.KeyOf(0, row("7"))
	_, _, got := lost.Get(1, key)
	_, deleted := lost.Begin().Delete(1, key)
	for what, err := range map[string]error{
		"read": lost.ReadAll(), "got": got, "put": lost.Begin().Put(1, row("7", "w")), "deleted": deleted,
		"scanned": lost.Scan(1, 0, "", "", true, func(_, _ string) bool { return true }),
	} {
		if !errors.Is(err, gone) || !errors.Is(err, tables.ErrPage) {
			t.Errorf("%s, a page that cannot be had: %v", what, err)
		}
	}
}

// TestPagesThatLie: pages whose digests are right, and whose rows no tables have: out of order, twice, or against an index.
func TestPagesThatLie(t *testing.T) {
	unique := tables.Schema{Name: "u", Columns: []tables.Column{{Name: "k", Kind: tables.U64}, {Name: "v", Kind: tables.Text, Optional: true}},
		Key: []int{0}, Indexes: []tables.Index{{Name: "by_v", Columns: []int{1}, Unique: true}}}
	// keyed is the index's key of a value and a row.
	keyed := func(v any, k uint64) []byte {
		prefix, _, _ := unique.KeyOf(1, row(v))
		own, _, _ := unique.KeyOf(0, row(k))
		return append(append([]byte{byte(len(prefix) + len(own)), 0, byte(len(own)), 0}, prefix...), own...)
	}
	page := func(rows ...[]byte) (b []byte) {
		for _, r := range rows {
			b = append(append(b, byte(len(r)), 0, 0, 0), r...)
		}
		return b
	}
	read := func(content, index []byte, rows byte, sizes [2]byte) error {
		set := newSet(t, unique)
		root, _ := written(t, set, of)
		root = root[:len(root)-40] // what it says of two trees without anything
		pages := map[digest.Digest][]byte{}
		for i, content := range [][]byte{content, index} {
			d := digest.Of(content)
			pages[d] = content
			root = append(root, rows, 0, 0, 0, 0, 0, 0, 0, sizes[i], 0, 0, 0, 0, 0, 0, 0)
			root = append(append(root, 1, 0, 0, 0, 0, 0, 1, 0), d[:]...)
		}
		lies, _, err := tables.ReadCheckpoint(root, set.Schemas(), pagesOf(pages))
		if err == nil {
			err = lies.ReadAll()
		}
		if err == nil {
			err = lies.Scan(0, 1, "", "", false, func(_, _ string) bool { return true })
		}
		return err
	}
	one, two, absent, last := row(uint64(1), some{"a"}), row(uint64(2), some{"b"}), row(uint64(3), nil), row(uint64(4), nil)
	ofOne, ofTwo, ofAbsent, ofLast := keyed(some{"a"}, 1), keyed(some{"b"}, 2), keyed(nil, 3), keyed(nil, 4)
	all := func(entries ...[]byte) []byte { return bytes.Join(entries, nil) }
	for name, c := range map[string]struct {
		content, index []byte
		rows           byte
		sizes          [2]byte // each row has 14 bytes, or 9, and 8 of its key; and so many have the keys of the index
	}{
		"":                           {page(one, two), all(ofOne, ofTwo), 2, [2]byte{44, 40}},
		"absent":                     {page(one, absent, last), all(ofAbsent, ofLast, ofOne), 3, [2]byte{56, 54}},
		"out of order":               {page(two, one), all(ofOne, ofTwo), 2, [2]byte{44, 40}},
		"an index out of order":      {page(one, two), all(ofTwo, ofOne), 2, [2]byte{44, 40}},
		"twice":                      {page(one, one), all(ofOne, ofTwo), 2, [2]byte{44, 40}},
		"fewer than said":            {page(one), all(ofOne, ofTwo), 2, [2]byte{44, 40}},
		"more than said":             {page(one, two), all(ofOne, ofTwo), 1, [2]byte{44, 40}},
		"other sizes":                {page(one, two), all(ofOne, ofTwo), 2, [2]byte{44, 39}},
		"cut short":                  {page(one, two)[:2*18-1], all(ofOne, ofTwo), 2, [2]byte{44, 40}},
		"an index cut short":         {page(one, two), all(ofOne, ofTwo)[:31], 2, [2]byte{44, 40}},
		"no row":                     {page(one[:7]), ofOne, 1, [2]byte{22, 20}},
		"a longer row":               {page(append(bytes.Clone(one), 0)), ofOne, 1, [2]byte{23, 20}},
		"more of a key than it has":  {page(one), append([]byte{12, 0, 13}, ofOne[3:]...), 1, [2]byte{22, 20}},
		"an index of another row":    {page(one), ofTwo, 1, [2]byte{22, 20}},
		"nothing at all":             {nil, nil, 1, [2]byte{22, 20}},
		"no rows, and a page of one": {page(one), ofOne, 0, [2]byte{0, 0}},
	} {
		good := name == "" || name == "absent"
		if err := read(c.content, c.index, c.rows, c.sizes); good != (err == nil) || !good && !errors.Is(err, tables.ErrBadCheckpoint) {
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
	one.Indexes = append(one.Indexes, people.Indexes...)
	if _, _, err := from.Over([]tables.Schema{one}); !errors.Is(err, tables.ErrUnique) {
		t.Errorf("an index that they are against: %v", err)
	}
}

// BenchmarkOver is what it takes to take 100,000 rows over to another module: with the indexes that there are, with one more, and
// with that one made before and some rows changed since.
func BenchmarkOver(b *testing.B) {
	from := newSet(b, people)
	put := func(i int, name string) {
		if err := from.Begin().Put(0, row(uint64(i), name, some{fmt.Sprint(i)}, float64(i), true, nil)); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 100_000 {
		put(i, fmt.Sprint("n", i%7))
	}
	more := people
	more.Indexes = append(append([]tables.Index{}, people.Indexes...), tables.Index{Name: "more", Columns: []int{1, 0}})
	for name, schema := range map[string]tables.Schema{"same": people, "index": more} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := from.Over([]tables.Schema{schema}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	was := from.Copy()
	made, _, err := was.Over([]tables.Schema{more})
	if err != nil {
		b.Fatal(err)
	}
	changed := 0
	for _, n := range []int{1, 100, 10_000} {
		for ; changed < n; changed++ {
			put(changed*7919%100_000, "another")
		}
		b.Run(fmt.Sprintf("since/%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := from.OverSince(was, made, []tables.Schema{more}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
