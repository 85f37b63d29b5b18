package tables_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
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
