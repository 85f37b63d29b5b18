package tables_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/tables"
)

// TestTakeBack does random things to tables, of which some pages cannot be read at times, and takes them back, some at once,
// some later in a copy, in turn: what was there is there again, and the tables count as they did.
func TestTakeBack(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := &store{pages: map[digest.Digest][]byte{}}
	root, _ := s.write(t, many(t, 3000))
	failures := 0
	for range 40 {
		failing := 0 // of so many pages one
		set, _, err := tables.ReadCheckpoint(root, []tables.Schema{notes}, func(d digest.Digest) ([]byte, error) {
			if failing > 0 && r.IntN(failing) == 0 {
				return nil, errors.New("not now")
			}
			return s.page(d)
		})
		if err != nil {
			t.Fatal(err)
		}
		var changes []*tables.Change
		was := []digest.Digest{set.Digest(&of)}
		sizes := []int{set.Bytes()}
		for range 20 {
			change := set.Begin()
			failing = 2
			err := randomly(r, change)
			failing = 1
			if err != nil || r.IntN(3) == 0 {
				if errors.Is(err, tables.ErrPage) {
					failures++
				}
				change.TakeBack(set)
			} else {
				changes, was, sizes = append(changes, change), append(was, set.Digest(&of)), append(sizes, set.Bytes())
			}
			failing = 0
			if n := len(changes); set.Digest(&of) != was[n] || set.Bytes() != sizes[n] {
				t.Fatalf("after %d changes: %d bytes, not %d, or other rows; %v", n, set.Bytes(), sizes[n], err)
			}
		}
		back := set.Copy()
		failing = 1
		for n := len(changes) - 1; n >= 0; n-- {
			changes[n].TakeBack(back)
			if back.Digest(&of) != was[n] || back.Bytes() != sizes[n] {
				t.Fatalf("%d of %d are left: %d bytes, not %d, or other rows", n, len(changes), back.Bytes(), sizes[n])
			}
		}
		failing = 0
		if set.Digest(&of) != was[len(changes)] {
			t.Fatal("what is taken back in a copy is gone")
		}
		if err := back.ReadAll(); err != nil {
			t.Fatal(err)
		}
		sameScans(t, r, back, s.open(t, root))
	}
	if failures == 0 {
		t.Error("no page was missing")
	}
}

// randomly writes a few rows, up to the first that fails.
func randomly(r *rand.Rand, change *tables.Change) error {
	for range 1 + r.IntN(6) {
		id := uint64(r.IntN(3100))
		if r.IntN(3) == 0 {
			for n := range uint64(r.IntN(40)) {
				if _, err := change.Delete(0, noteKey(id+n)); err != nil {
					return err
				}
			}
			continue
		}
		var name any
		if r.IntN(2) == 0 {
			name = some{fmt.Sprint(r.IntN(2000))}
		}
		if err := change.Put(0, row(id, strings.Repeat("t", r.IntN(3)), name, strings.Repeat("x", r.IntN(2000)))); err != nil {
			return err
		}
	}
	return nil
}

// TestWriteThatDidNotEnd: where a write panics half way, nothing is made up of what is left.
func TestWriteThatDidNotEnd(t *testing.T) {
	s := &store{pages: map[digest.Digest][]byte{}}
	root, _ := s.write(t, many(t, 100))
	set, _, err := tables.ReadCheckpoint(root, []tables.Schema{notes}, func(d digest.Digest) ([]byte, error) {
		if s.reads == 1 {
			panic("a bug")
		}
		return s.page(d)
	})
	if err != nil {
		t.Fatal(err)
	}
	change := set.Begin()
	panics := func(f func()) (message any) {
		defer func() { message = recover() }()
		f()
		return nil
	}
	if panics(func() { _ = change.Put(0, row(uint64(1), "tag", nil, "x")) }) == nil {
		t.Fatal("the write did not panic")
	}
	if panics(func() { change.TakeBack(set) }) == nil {
		t.Error("it is taken back")
	}
}

// TestNames: whose rows came and went in a change, by the texts that their keys begin with.
func TestNames(t *testing.T) {
	people := tables.Schema{
		Name: "people", Key: []int{0, 1},
		Columns: []tables.Column{{Name: "name", Kind: tables.Text}, {Name: "n", Kind: tables.U64}, {Name: "role", Kind: tables.Text}},
	}
	set, err := tables.New([]tables.Schema{notes, people})
	if err != nil {
		t.Fatal(err)
	}
	odd := "\x00o\x00\x00\xc3\xbf"
	put := func(c *tables.Change, rows ...[]byte) {
		t.Helper()
		for _, row := range rows {
			if err := c.Put(1, row); err != nil {
				t.Fatal(err)
			}
		}
	}
	first := set.Begin()
	put(first, row("ann", uint64(0), "x"), row(odd, uint64(1<<63), "x"), row("", uint64(1), "x"))
	names := func(c *tables.Change, table int) string {
		moved, replaced := c.Names(table)
		return fmt.Sprintf("%q %q", moved, replaced)
	}
	if got := names(first, 1); got != fmt.Sprintf("%q []", []string{"ann", odd, ""}) {
		t.Errorf("added: %s", got)
	}
	if got := names(first, 0); got != "[] []" {
		t.Errorf("of another table: %s", got)
	}
	second := set.Begin()
	put(second, row("ann", uint64(0), "y"))
	key, _, err := people.KeyOf(0, row(odd, uint64(1<<63)))
	if err != nil {
		t.Fatal(err)
	}
	if deleted, err := second.Delete(1, key); err != nil || !deleted {
		t.Fatal(deleted, err)
	}
	if got := names(second, 1); got != fmt.Sprintf("%q %q", []string{odd}, []string{"ann"}) {
		t.Errorf("deleted and replaced: %s", got)
	}
	if got, err := set.Names(1); err != nil || fmt.Sprintf("%q", got) != `["" "ann"]` {
		t.Errorf("all: %q, %v", got, err)
	}
}
