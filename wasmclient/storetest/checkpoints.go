package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/wasmclient"
)

// makeCheckpoint makes a checkpoint of pages, whose bytes are theirs and no tables'.
func makeCheckpoint(seq uint64, pages ...string) *replica.Checkpoint {
	c := &replica.Checkpoint{Seq: seq, Root: fmt.Appendf(nil, "root %d %q", seq, pages), Pages: map[digest.Digest][]byte{}}
	for _, page := range pages {
		c.Pages[digest.Of([]byte(page))] = []byte(page)
	}
	return c
}

// Checkpoint reads the checkpoint that a store keeps of a space, with all of its pages: nil where one is missing, or damaged.
func Checkpoint(ctx context.Context, store wasmclient.Store, id space.ID) (*replica.Checkpoint, error) {
	c, err := store.Checkpoint(ctx, id)
	if err != nil || c == nil {
		return nil, err
	}
	names := slices.Collect(maps.Keys(c.Pages))
	pages, err := store.CheckpointPages(ctx, id, names)
	if err != nil || len(pages) < len(names) {
		return nil, err
	}
	c.Pages = pages
	return c, nil
}

func checkpointText(c *replica.Checkpoint) string {
	var b []byte
	for _, d := range slices.SortedFunc(maps.Keys(c.Pages), func(a, b digest.Digest) int { return bytes.Compare(a[:], b[:]) }) {
		b = append(append(b, d[:]...), c.Pages[d]...)
	}
	return fmt.Sprintf("at %d root %v of %d pages %v", c.Seq, digest.Of(c.Root), len(c.Pages), digest.Of(b))
}

func (h handle) putCheckpoint(id space.ID, c *replica.Checkpoint) {
	h.s.Helper()
	if err := h.PutCheckpoint(h.s.ctx, id, c); err != nil {
		h.s.Fatalf("put a checkpoint: %v", err)
	}
}

// wantCheckpoint checks that the checkpoint of a space is this one.
func (h handle) wantCheckpoint(id space.ID, want *replica.Checkpoint) {
	h.s.Helper()
	got := try(Checkpoint(h.s.ctx, h, id)).or(h.s, "read a checkpoint")
	switch {
	case got == nil && want == nil:
	case got == nil:
		h.s.Fatalf("there is no checkpoint, want %s", checkpointText(want))
	case want == nil:
		h.s.Fatalf("there is a checkpoint %s, want none", checkpointText(got))
	case checkpointText(got) != checkpointText(want):
		h.s.Fatalf("the checkpoint is %s, want %s", checkpointText(got), checkpointText(want))
	}
}

// testCheckpoints puts checkpoints and reads them by another handle and when all were closed.
func testCheckpoints(s *suite) {
	h, other := s.open(), s.open()
	f, g := newFeed(1), newFeed(2)
	h.putCheckpoint(f.id, makeCheckpoint(0, "of a space that is not there"))
	h.change(f.runOf(10, 10), g.runOf(10, 10))
	h.wantCheckpoint(f.id, nil)
	h.putCheckpoint(f.id, makeCheckpoint(11, "of a record that is not there"))
	h.wantCheckpoint(f.id, nil)
	before := h.load()

	first, given := makeCheckpoint(10, "a", "b"), makeCheckpoint(10, "a", "b")
	h.putCheckpoint(f.id, given)
	clear(given.Root) // the caller's to use again
	for _, page := range given.Pages {
		clear(page)
	}
	h.wantCheckpoint(f.id, first)
	other.wantCheckpoint(f.id, first)
	other.wantCheckpoint(g.id, nil)
	// The last one put counts, whatever its number: who put it had no use for what was there.
	for _, next := range []*replica.Checkpoint{makeCheckpoint(10, "b", "c"), makeCheckpoint(3, "d"), makeCheckpoint(3), makeCheckpoint(4, "e", "d")} {
		other.putCheckpoint(f.id, next)
		h.wantCheckpoint(f.id, next)
		h.putCheckpoint(f.id, next)
		h.wantCheckpoint(f.id, next)
	}
	h.putCheckpoint(g.id, makeCheckpoint(5, "e", "g"))
	for range 2 { // there is none the second time
		if err := other.DropCheckpoint(s.ctx, f.id); err != nil {
			s.Fatalf("drop a checkpoint: %v", err)
		}
		h.wantCheckpoint(f.id, nil)
		h.wantCheckpoint(g.id, makeCheckpoint(5, "e", "g"))
	}
	h.putCheckpoint(f.id, makeCheckpoint(4, "e", "d"))
	h.wantCheckpoint(g.id, makeCheckpoint(5, "e", "g"))
	if after := h.load(); after.Changes != before.Changes || after.Spaces[0].Version != before.Spaces[0].Version {
		s.Fatalf("putting checkpoints changed %+v to %+v", before, after)
	}
	h.change(f.runOf(3, 10))
	h.Close()
	other.Close()
	h = s.open()
	h.wantCheckpoint(f.id, makeCheckpoint(4, "e", "d"))
	h.wantCheckpoint(g.id, makeCheckpoint(5, "e", "g"))
}

// testCheckpointsAhead puts checkpoints that the server made, of records that are still to come.
func testCheckpointsAhead(s *suite) {
	h, other := s.open(), s.open()
	f := newFeed(1)
	ahead := func(seq uint64, pages ...string) *replica.Checkpoint {
		c := makeCheckpoint(seq, pages...)
		c.Ahead = true
		return c
	}
	h.putCheckpoint(f.id, ahead(10, "of a space that is not there"))
	h.change(f.runOf(10, 10))
	h.wantCheckpoint(f.id, nil)
	h.putCheckpoint(f.id, ahead(30, "a", "b"))
	other.wantCheckpoint(f.id, makeCheckpoint(30, "a", "b"))
	h.putCheckpoint(f.id, makeCheckpoint(30, "not", "said", "to", "be", "ahead"))
	other.wantCheckpoint(f.id, makeCheckpoint(30, "a", "b"))
	h.change(f.runOf(10, 10))
	other.wantCheckpoint(f.id, makeCheckpoint(30, "a", "b"))
	h.Close()
	other.Close()
	h = s.open()
	h.wantCheckpoint(f.id, makeCheckpoint(30, "a", "b"))
	h.change(f.cut(15)) // what it is ahead of may never come
	h.wantCheckpoint(f.id, nil)
}

// testCheckpointsShare replaces checkpoints of spaces whose pages are the same in part, in all orders.
func testCheckpointsShare(s *suite) {
	h, other := s.open(), s.open()
	feeds := []*feed{newFeed(1), newFeed(2), newFeed(3)}
	for _, f := range feeds {
		h.change(f.runOf(9, 10))
	}
	kept := make([]*replica.Checkpoint, len(feeds))
	for n, pages := range [][]string{{"a", "b"}, {"a", "b"}, {"a", "c"}, {"d"}, {"b"}, {"c"}, {"a"}, {"a", "b", "c", "d"}, {}, {"d"}, {"e"}, {"e"}, {"e"}, {}, {}, {}} {
		i := n % len(feeds)
		kept[i] = makeCheckpoint(uint64(n%9), pages...)
		kept[i].Root = []byte("the same root")
		h.putCheckpoint(feeds[i].id, kept[i])
		for j, f := range feeds {
			other.wantCheckpoint(f.id, kept[j])
		}
	}
}

// testCheckpointsNamed puts checkpoints of pages that the store has, by their names alone, and of one that it has not.
func testCheckpointsNamed(s *suite) {
	h, other := s.open(), s.open()
	f := newFeed(1)
	h.change(f.runOf(9, 10))
	whole := makeCheckpoint(9, "a", "b", "c")
	named := func(given ...string) *replica.Checkpoint {
		c := makeCheckpoint(9, "a", "b", "c")
		for d, page := range c.Pages {
			if !slices.Contains(given, string(page)) {
				c.Pages[d] = nil
			}
		}
		return c
	}
	first := makeCheckpoint(5, "a", "b")
	h.putCheckpoint(f.id, first)
	for _, given := range [][]string{{}, {"a"}, {"a", "b"}} {
		if err := h.PutCheckpoint(s.ctx, f.id, named(given...)); !errors.Is(err, wasmclient.ErrDamaged) {
			s.Fatalf("put a checkpoint that lacks a page: %v", err)
		}
		other.wantCheckpoint(f.id, first)
	}
	h.putCheckpoint(f.id, named("c"))
	other.wantCheckpoint(f.id, whole)
	h.putCheckpoint(f.id, named())
	other.wantCheckpoint(f.id, whole)
	all := try(other.Checkpoint(s.ctx, f.id)).or(s, "read a checkpoint")
	for d, page := range all.Pages {
		if page != nil {
			s.Fatalf("page %v comes with the root", d)
		}
	}
	a, none := digest.Of([]byte("a")), digest.Of([]byte("none"))
	if pages := try(other.CheckpointPages(s.ctx, f.id, []digest.Digest{none, a})).or(s, "read pages"); len(pages) != 1 || string(pages[a]) != "a" {
		s.Fatalf("of two pages, one of which is here, it reads %q", pages)
	}
}

// testCheckpointsCut takes a space back: its checkpoint stays while all of its records do, and another space's anyway.
func testCheckpointsCut(s *suite) {
	h, other := s.open(), s.open()
	f, g := newFeed(1), newFeed(2)
	h.change(f.runOf(20, 10), g.runOf(20, 10))
	kept, others := makeCheckpoint(10, "a", "b"), makeCheckpoint(20, "b", "c")
	h.putCheckpoint(f.id, kept)
	h.putCheckpoint(g.id, others)
	for _, seq := range []uint64{15, 10} {
		h.change(f.cut(seq))
		other.wantCheckpoint(f.id, kept)
	}
	h.change(f.cut(9))
	for _, h := range []handle{h, other, s.open()} {
		h.wantCheckpoint(f.id, nil)
		h.wantCheckpoint(g.id, others)
	}
	other.putCheckpoint(f.id, kept) // by a tab that has not heard of it
	h.wantCheckpoint(f.id, nil)
	h.change(f.runOf(5, 10)) // the same numbers, other records
	h.wantCheckpoint(f.id, nil)
	again := makeCheckpoint(14, "a")
	h.putCheckpoint(f.id, again)
	other.wantCheckpoint(f.id, again)
	h.change(f.cut(0))
	other.wantCheckpoint(f.id, nil)
}

// testCheckpointsDamaged damages and loses each root and page: no checkpoint is there until it is put again.
func testCheckpointsDamaged(s *suite) {
	if s.DamagePage == nil {
		s.Skip("this store's pages cannot be damaged")
	}
	h, other := s.open(), s.open()
	f, g := newFeed(1), newFeed(2)
	h.change(f.runOf(9, 10), g.runOf(9, 10))
	kept, others := makeCheckpoint(9, "a page", "another page", "a third"), makeCheckpoint(9, "elsewhere")
	h.putCheckpoint(f.id, kept)
	h.putCheckpoint(g.id, others)
	for _, d := range append(slices.Collect(maps.Keys(kept.Pages)), digest.Of(kept.Root)) {
		for _, lose := range []bool{false, true} {
			s.DamagePage(d, lose)
			h.wantCheckpoint(f.id, nil)
			other.wantCheckpoint(f.id, nil)
			other.wantCheckpoint(g.id, others)
			h.putCheckpoint(f.id, kept)
			other.wantCheckpoint(f.id, kept)
		}
	}
}

// testCheckpointsLarge keeps the largest checkpoint that is kept, and not a larger one.
func testCheckpointsLarge(s *suite) {
	h, other := s.open(), s.open()
	f := newFeed(1)
	h.change(f.runOf(9, 10))
	large := &replica.Checkpoint{Seq: 9, Root: []byte("root"), Pages: map[digest.Digest][]byte{}}
	for n := 0; large.Size() < replica.MaxCheckpoint; n++ {
		page := bytes.Repeat([]byte{byte(n), byte(n >> 8), 1}, 70_000)
		page = page[:min(len(page), replica.MaxCheckpoint-large.Size())]
		large.Pages[digest.Of(page)] = page
	}
	h.putCheckpoint(f.id, large)
	other.wantCheckpoint(f.id, large)
	larger := *large
	larger.Root = []byte("root.")
	h.putCheckpoint(f.id, &larger)
	other.wantCheckpoint(f.id, large)
	small := makeCheckpoint(9, "small")
	h.putCheckpoint(f.id, small)
	other.wantCheckpoint(f.id, small)
}

// testCheckpointsFull has no room: checkpoints go before a commit or a module fails, and one that finds none leaves the
// one before it.
func testCheckpointsFull(s *suite) {
	if s.FullNext == nil {
		s.Skip("this store cannot be made full")
	}
	h, other := s.open(), s.open()
	f, g := newFeed(1), newFeed(2)
	h.change(f.runOf(9, 10), g.runOf(9, 10))
	kept := makeCheckpoint(9, "a")
	put := func() {
		s.Helper()
		h.putCheckpoint(f.id, kept)
		h.putCheckpoint(g.id, kept)
	}
	gone := func(what string) {
		s.Helper()
		for _, f := range []*feed{f, g} {
			if c := try(other.Checkpoint(s.ctx, f.id)).or(s, "read a checkpoint"); c != nil {
				s.Fatalf("%s found no room, and a checkpoint is there", what)
			}
		}
	}
	put()
	s.FullNext()
	if err := h.PutCheckpoint(s.ctx, f.id, makeCheckpoint(8, "b")); !errors.Is(err, wasmclient.ErrFull) {
		s.Fatalf("put a checkpoint on a full device: %v", err)
	}
	h.wantCheckpoint(f.id, kept)

	s.FullNext()
	result := h.change(f.append(f.row(10)))
	if len(result.Keys) != 1 || len(h.outbox(f.id)) != 1 {
		s.Fatalf("the commit that checkpoints made room for gave %+v", result)
	}
	gone("a row")
	put()
	s.FullNext()
	h.change(g.runOf(3, 10))
	g.wantRecords(s, h.read(g.id, 0, 100, 1<<20), 1, 12)
	gone("a run of records")
	put()
	s.FullNext()
	h.putModule([]byte("a module"))
	gone("a module")

	s.FullNext() // nothing is left to go
	if _, err := h.Commit(s.ctx, &replica.Commit{Spaces: []replica.SpaceCommit{f.append(f.row(10))}}); !errors.Is(err, wasmclient.ErrFull) {
		s.Fatalf("commit on a full device: %v", err)
	}
	put()
	other.wantCheckpoint(f.id, kept)
}

// testCheckpointsAbort does not get through with a checkpoint: the one before it is there.
func testCheckpointsAbort(s *suite) {
	if s.AbortNext == nil {
		s.Skip("this store cannot be made to abort")
	}
	h := s.open()
	f := newFeed(1)
	h.change(f.runOf(9, 10))
	kept, next := makeCheckpoint(5, "a", "b"), makeCheckpoint(9, "b", "c")
	h.putCheckpoint(f.id, kept)
	s.AbortNext()
	if err := h.PutCheckpoint(s.ctx, f.id, next); err == nil {
		s.Fatal("the checkpoint did not abort")
	}
	h.wantCheckpoint(f.id, kept)
	h.putCheckpoint(f.id, next)
	h.wantCheckpoint(f.id, next)
}
