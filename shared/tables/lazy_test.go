package tables_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/tables"
)

// notes is a table with indexes, one of them unique, whose rows have any size.
var notes = tables.Schema{
	Name:    "notes",
	Columns: []tables.Column{{Name: "id", Kind: tables.U64}, {Name: "tag", Kind: tables.Text}, {Name: "name", Kind: tables.Text, Optional: true}, {Name: "body", Kind: tables.Bytes}},
	Key:     []int{0},
	Indexes: []tables.Index{{Name: "by tag", Columns: []int{1}}, {Name: "by name", Columns: []int{2}, Unique: true}},
}

func noteKey(id uint64) []byte {
	key, _, _ := notes.KeyOf(0, row(id))
	return key
}

// store keeps pages, and counts what is asked of it.
type store struct {
	mu    sync.Mutex
	pages map[digest.Digest][]byte
	reads int
}

func (s *store) page(d digest.Digest) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if b, ok := s.pages[d]; ok {
		return b, nil
	}
	return nil, errors.New("it is not there")
}

// write writes a checkpoint, and of pages what is not there yet. It returns the root and how many bytes were new.
func (s *store) write(t *testing.T, set *tables.Set) (root []byte, fresh int) {
	t.Helper()
	root, err := set.AppendCheckpoint(nil, &of, func(d digest.Digest, content func() ([]byte, error)) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pages[d] != nil {
			return nil
		}
		page, err := content()
		if digest.Of(page) != d {
			t.Error("a page of another digest")
		}
		s.pages[d] = bytes.Clone(page)
		fresh += len(page)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return root, fresh
}

func (s *store) open(t *testing.T, root []byte) *tables.Set {
	t.Helper()
	set, _, err := tables.ReadCheckpoint(root, []tables.Schema{notes}, s.page)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestCopiesOfManyRuns writes to copies of tables, in turn, which share most of what they are made of: each has the rows that were
// written to it, and no other one's.
func TestCopiesOfManyRuns(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	type world struct {
		set  *tables.Set
		rows map[uint64]string
	}
	worlds := []world{{newSet(t, notes), map[uint64]string{}}}
	write := func(w world, id uint64) {
		t.Helper()
		if r.IntN(3) == 0 {
			if _, err := w.set.Begin().Delete(0, noteKey(id)); err != nil {
				t.Fatal(err)
			}
			delete(w.rows, id)
			return
		}
		made := row(id, strings.Repeat("t", r.IntN(3)), nil, strings.Repeat("x", r.IntN(400)))
		if err := w.set.Begin().Put(0, made); err != nil {
			t.Fatal(err)
		}
		w.rows[id] = string(made)
	}
	for id := range uint64(2000) {
		write(worlds[0], id)
	}
	for step := range 100 {
		w := worlds[r.IntN(len(worlds))]
		if step%4 == 0 {
			c := world{w.set.Copy(), maps.Clone(w.rows)}
			if len(worlds) < 4 {
				worlds = append(worlds, c)
			} else {
				worlds[r.IntN(len(worlds))] = c
			}
		}
		for range r.IntN(40) {
			write(worlds[r.IntN(len(worlds))], uint64(r.IntN(2000)))
		}
	}
	for n, w := range worlds {
		rows := map[uint64]string{}
		if err := w.set.Scan(0, 0, "", "", false, func(_, row string) bool {
			rows[binary.LittleEndian.Uint64([]byte(row))] = row
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(rows, w.rows) {
			t.Errorf("copy %d has other rows than were written to it", n)
		}
		root, _ := written(t, w.set, of)
		if other, _ := written(t, anew(t, r, w.set), of); !bytes.Equal(root, other) {
			t.Errorf("copy %d made anew of its rows is another", n)
		}
	}
}

// TestLazyIsEager does the same random things with tables that are whole in memory and with ones that are opened again
// and again from their checkpoints, of which they have read this and that. They are the same at every step, and made anew
// of their rows alone they are so too.
func TestLazyIsEager(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := &store{pages: map[digest.Digest][]byte{}}
	eager := newSet(t, notes)
	var root []byte
	lazy := eager.Copy()
	for step := range 8_000 {
		id := uint64(r.IntN(3000))
		if step < 3000 {
			id = uint64(step) // many that follow each other
		}
		switch n := r.IntN(100); {
		case n < 70 || step < 3000:
			var name any
			if r.IntN(2) == 0 {
				name = some{fmt.Sprint(r.IntN(2000))}
			}
			size := r.IntN(600)
			if r.IntN(50) == 0 {
				size = r.IntN(60_000)
			}
			made := row(id, strings.Repeat("t", r.IntN(3)), name, strings.Repeat("x", size))
			a, b := eager.Begin().Put(0, made), lazy.Begin().Put(0, made)
			if !errors.Is(a, b) || a != nil && !errors.Is(a, tables.ErrUnique) {
				t.Fatalf("step %d: put: %v, and %v", step, a, b)
			}
		case n < 85:
			for range r.IntN(30) { // a row of those that end pages is among them
				a, err1 := eager.Begin().Delete(0, noteKey(id))
				b, err2 := lazy.Begin().Delete(0, noteKey(id))
				if a != b || err1 != nil || err2 != nil {
					t.Fatalf("step %d: delete: %v %v, and %v %v", step, a, err1, b, err2)
				}
				id++
			}
		case n < 90:
			a, ok1, _ := eager.Get(0, noteKey(id))
			b, ok2, err := lazy.Get(0, noteKey(id))
			if a != b || ok1 != ok2 || err != nil {
				t.Fatalf("step %d: get: %v", step, err)
			}
		case n < 97:
			sameScans(t, r, eager, lazy)
		case n < 99:
			eager, lazy = eager.Copy(), lazy.Copy()
		case r.IntN(4) == 0:
			root, _ = s.write(t, lazy)
			if other, _ := written(t, eager, of); !bytes.Equal(root, other) {
				t.Fatalf("step %d: the checkpoints are not the same", step)
			}
			if other, _ := written(t, anew(t, r, eager), of); !bytes.Equal(root, other) {
				t.Fatalf("step %d: made anew of the same rows the checkpoint is another", step)
			}
			s.reads = 0
			lazy = s.open(t, root)
			if s.reads > 0 {
				t.Fatal("opening reads pages")
			}
		}
		if eager.Bytes() != lazy.Bytes() || eager.Len(0) != lazy.Len(0) {
			t.Fatalf("step %d: %d rows of %d bytes, and %d of %d", step, eager.Len(0), eager.Bytes(), lazy.Len(0), lazy.Bytes())
		}
	}
	if err := lazy.ReadAll(); err != nil {
		t.Error(err)
	}
	if len(s.pages) < 100 {
		t.Errorf("there were only %d pages", len(s.pages))
	}
}

// anew makes tables of the rows of others, in another order, over rows that are deleted again.
func anew(t *testing.T, r *rand.Rand, of *tables.Set) *tables.Set {
	t.Helper()
	var rows [][]byte
	if err := of.Scan(0, 0, "", "", false, func(_, row string) bool {
		rows = append(rows, []byte(row))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	set := newSet(t, notes)
	for id := range uint64(200) {
		if err := set.Begin().Put(0, row(id*17, "gone", nil, "")); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range r.Perm(len(rows)) {
		if err := set.Begin().Put(0, rows[n]); err != nil {
			t.Fatal(err)
		}
	}
	for id := range uint64(200) {
		if _, ok, _ := of.Get(0, noteKey(id*17)); ok {
			continue
		}
		if _, err := set.Begin().Delete(0, noteKey(id*17)); err != nil {
			t.Fatal(err)
		}
	}
	return set
}

func sameScans(t *testing.T, r *rand.Rand, a, b *tables.Set) {
	t.Helper()
	index, descending, most := r.IntN(3), r.IntN(2) == 0, 1+r.IntN(100)
	prefix, from := "", ""
	if r.IntN(2) == 0 {
		values := [][]byte{row(uint64(r.IntN(3000))), row(strings.Repeat("t", r.IntN(3))), row(some{fmt.Sprint(r.IntN(2000))})}[index]
		key, _, err := notes.KeyOf(index, values)
		if err != nil {
			t.Fatal(err)
		}
		if r.IntN(2) == 0 {
			prefix = string(key)
		} else {
			from = string(key)
		}
	}
	var got [2][]string
	for i, set := range []*tables.Set{a, b} {
		err := set.Scan(0, index, prefix, from, descending, func(key, row string) bool {
			got[i] = append(got[i], key, row)
			return len(got[i]) < 2*most
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got[0], got[1]) {
		t.Fatalf("index %d, prefix %x, from %x, descending %v: %d, and %d", index, prefix, from, descending, len(got[0]), len(got[1]))
	}
}

// many returns tables of so many notes, of about 250 bytes each.
func many(t *testing.T, n int) *tables.Set {
	t.Helper()
	set := newSet(t, notes)
	for id := range n {
		if err := set.Begin().Put(0, row(uint64(id), fmt.Sprint("tag ", id%20), nil, strings.Repeat("x", 200))); err != nil {
			t.Fatal(err)
		}
	}
	return set
}

// TestFewPages: of a large checkpoint little is read to use it, and little written for the next.
func TestFewPages(t *testing.T) {
	s := &store{pages: map[digest.Digest][]byte{}}
	first := many(t, 20_000)
	root, _ := s.write(t, first)
	pages := len(s.pages)
	set := s.open(t, root)
	s.reads = 0
	if _, ok, err := set.Get(0, noteKey(7777)); !ok || err != nil || s.reads != 1 {
		t.Errorf("one row: %v, %d pages", err, s.reads)
	}
	rows := 0
	prefix, _, _ := notes.KeyOf(1, row("tag 7"))
	if err := set.Scan(0, 1, string(prefix), "", true, func(_, _ string) bool {
		rows++
		return rows < 10
	}); err != nil || rows != 10 || s.reads > 8 {
		t.Errorf("the newest ten of a tag: %v, %d rows, %d pages", err, rows, s.reads)
	}
	s.reads = 0
	if err := set.Begin().Put(0, row(uint64(20_000), "tag 7", some{"a"}, "")); err != nil || s.reads > 4 {
		t.Errorf("a new row: %v, %d pages", err, s.reads)
	}
	rootSize := len(root)
	if n := set.Fresh(); n <= rootSize || n > rootSize+200<<10 {
		t.Errorf("%d bytes are fresh after one row", n)
	}
	s.reads = 0
	if _, fresh := s.write(t, set); fresh == 0 || fresh > 200<<10 || s.reads > 0 {
		t.Errorf("the next checkpoint: %d bytes written, %d pages read", fresh, s.reads)
	}
	if n := set.Fresh(); n > rootSize+1000 {
		t.Errorf("%d bytes are fresh behind a checkpoint", n)
	}
	if pages < 200 {
		t.Errorf("there were only %d pages", pages)
	}
}

// TestTogether writes a checkpoint of a copy, which reads and makes pages, while the set goes on and does so too.
func TestTogether(t *testing.T) {
	s := &store{pages: map[digest.Digest][]byte{}}
	root, _ := s.write(t, many(t, 5_000))
	set := s.open(t, root)
	for round := range 5 {
		want, _ := written(t, many(t, 5_000+100*round), of)
		var wait sync.WaitGroup
		for range 2 {
			kept := set.Copy()
			wait.Go(func() {
				if got, _ := s.write(t, kept); !bytes.Equal(got, want) {
					t.Error("the checkpoint is another one")
				}
			})
		}
		for n := range 100 {
			id := 5_000 + 100*round + n
			if err := set.Begin().Put(0, row(uint64(id), fmt.Sprint("tag ", id%20), nil, strings.Repeat("x", 200))); err != nil {
				t.Fatal(err)
			}
			if _, ok, err := set.Get(0, noteKey(uint64(n*50+round))); !ok || err != nil {
				t.Fatal(err)
			}
		}
		wait.Wait()
	}
}

// TestOtherForm: a root of the form before this one, or after it, is nobody's.
func TestOtherForm(t *testing.T) {
	root, pages := written(t, newSet(t, places), of)
	for _, form := range []byte("13") {
		other := bytes.Clone(root)
		other[len("skerry checkpoint ")] = form
		if _, _, err := tables.ReadRoot(other); !errors.Is(err, tables.ErrBadCheckpoint) {
			t.Errorf("form %c: %v", form, err)
		}
		if _, _, err := tables.ReadCheckpoint(other, []tables.Schema{places}, pagesOf(pages)); !errors.Is(err, tables.ErrBadCheckpoint) {
			t.Errorf("form %c: %v", form, err)
		}
	}
}
