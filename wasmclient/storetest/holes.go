package storetest

import (
	"slices"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
)

// testHoles goes on without records, twice, and puts them there later, page after page from the end: what is missing is the same for
// every handle, also after the last one was closed, and nothing but the page that fits is taken.
func testHoles(s *suite) {
	h, other := s.open(), s.open()
	f := newFeed(1)
	h.change(f.insert())
	h.change(f.runOf(5, 10))
	h.change(f.skip(40)) // 6 to 45
	h.change(f.runOf(3, 10))
	h.change(f.runOf(2, 10)) // 46 to 50
	h.change(f.skip(10))     // 51 to 60
	at := func(seq uint64) space.Position {
		return space.Position{Seq: seq, Chain: space.Fold(space.Start(f.id).Chain, f.records[:seq])}
	}
	want := func(holes ...uint64) {
		s.Helper()
		for _, h := range []handle{h, other} {
			info := h.refresh(f.id).Info
			loaded := h.load().Spaces[0].Info
			var got []uint64
			for i, hole := range info.Holes {
				got = append(got, hole.After.Seq, hole.Until.Seq)
				if hole.After != at(hole.After.Seq) || hole.Until != at(hole.Until.Seq) || loaded.Holes[i] != hole {
					s.Fatalf("a hole is %+v", hole)
				}
			}
			if !slices.Equal(got, holes) || len(loaded.Holes) != len(info.Holes) || info.Position.Seq < 60 {
				s.Fatalf("the holes are %v, loaded %d, at %d; want %v", got, len(loaded.Holes), info.Position.Seq, holes)
			}
		}
	}
	want(5, 45, 50, 60)
	f.wantRecords(s, h.read(f.id, 0, 100, 1<<20), 1, 5)
	f.wantRecords(s, h.read(f.id, 5, 100, 1<<20), 46, 5)
	f.wantRecords(s, h.readBefore(f.id, 61, 100, 1<<20), 46, 5)

	whole, old := f.page(6, 45), at(45)
	stale := func(what string, change func(*replica.SpaceCommit)) {
		s.Helper()
		part, page := whole, *whole.Page
		part.Page = &page
		change(&part)
		before := h.everything()
		h.stale(replica.Commit{Spaces: []replica.SpaceCommit{part}})
		if h.everything() != before {
			s.Fatalf("%s changed something", what)
		}
	}
	stale("a page of another branch", func(part *replica.SpaceCommit) { part.Page.Until.Chain = digest.Of(nil) })
	stale("a page that reaches below the hole", func(part *replica.SpaceCommit) { *part = f.page(5, 45) })
	stale("a page within the hole", func(part *replica.SpaceCommit) { *part = f.page(20, 44) })
	stale("a page that goes with another position", func(part *replica.SpaceCommit) { part.Expect = &old })
	for _, bad := range []func(*replica.Page){
		func(p *replica.Page) { p.First = 46 },
		func(p *replica.Page) { p.First = 0 },
		func(p *replica.Page) { p.Records = nil },
	} {
		page := *whole.Page
		bad(&page)
		if _, err := h.Commit(s.ctx, &replica.Commit{Spaces: []replica.SpaceCommit{{Space: f.id, Page: &page}}}); err == nil {
			s.Fatalf("a page of %d to %d of %d bytes was taken", page.First, page.Until.Seq, len(page.Records))
		}
	}

	h.change(f.page(30, 45))
	want(5, 29, 50, 60)
	stale("a page that is there", func(part *replica.SpaceCommit) { *part = f.page(30, 45) })
	f.wantRecords(s, other.read(f.id, 5, 100, 1<<20), 30, 21)
	f.wantRecords(s, other.readBefore(f.id, 51, 100, 1<<20), 30, 21)
	f.wantRecords(s, other.readBefore(f.id, 30, 100, 1<<20), 1, 5)
	h.Close()
	other.Close()
	h, other = s.open(), s.open()
	want(5, 29, 50, 60)
	next := f.runOf(2, 10) // a page, and what follows on the position, in one step
	both := f.page(51, 60)
	next.Page = both.Page
	h.change(next)
	want(5, 29)
	h.change(f.page(6, 29))
	want()
	f.wantRecords(s, other.read(f.id, 0, 100, 1<<20), 1, 62)
	if got := h.refresh(f.id).Info.Position; got.Seq != 62 || got.Chain != at(62).Chain {
		s.Fatalf("the position is %+v", got)
	}
	for range 70 { // which are merged with one another, and not with what is before the next hole
		h.change(f.runOf(1, 1000))
	}
	end := f.position.Seq
	h.change(f.skip(5))
	for range 70 {
		h.change(f.runOf(1, 1000))
	}
	h.change(f.page(end+1, end+5))
	want()
	for after := uint64(0); after < f.position.Seq; {
		got := other.read(f.id, after, 17, 1<<20)
		f.wantRecords(s, got, after+1, len(got))
		after += uint64(len(got))
	}
}

// testHolesMeet goes on twice with nothing in between, which leaves one hole, and takes back, which takes away what is behind.
func testHolesMeet(s *suite) {
	h := s.open()
	f, g := newFeed(1), newFeed(2)
	h.change(f.insert(), g.insert())
	h.change(f.skip(10))
	h.change(f.skip(10))
	holes := func(id space.ID, want ...uint64) {
		s.Helper()
		var got []uint64
		for _, hole := range h.refresh(id).Info.Holes {
			got = append(got, hole.After.Seq, hole.Until.Seq)
		}
		if !slices.Equal(got, want) {
			s.Fatalf("the holes are %v, want %v", got, want)
		}
	}
	holes(f.id, 0, 20)
	h.change(f.runOf(5, 10)) // 21 to 25
	h.change(f.skip(5))      // to 30
	h.change(f.runOf(5, 10)) // to 35
	at := func(seq uint64) *space.Position {
		return &space.Position{Seq: seq, Chain: space.Fold(space.Start(f.id).Chain, f.records[:seq])}
	}
	cut := func(to uint64) {
		s.Helper()
		from := h.refresh(f.id).Info.Position
		h.change(replica.SpaceCommit{Space: f.id, Expect: &from, Position: at(to), Cut: true})
		if got := h.refresh(f.id).Info.Position; got.Seq != to {
			s.Fatalf("cut to %d it is at %d", to, got.Seq)
		}
	}
	holes(f.id, 0, 20, 25, 30)
	cut(30)
	holes(f.id, 0, 20, 25, 30)
	f.wantRecords(s, h.readBefore(f.id, 100, 100, 1<<20), 21, 5)
	cut(25)
	holes(f.id, 0, 20)
	cut(20)
	holes(f.id, 0, 20)
	if got := h.readBefore(f.id, 100, 100, 1<<20); len(got) != 0 {
		s.Fatalf("%d records are left", len(got))
	}
	h.change(f.page(11, 20))
	holes(f.id, 0, 10)
	cut(0)
	holes(f.id)
	h.change(g.runOf(2, 10), replica.SpaceCommit{Space: f.id, Expect: at(0), Position: at(30)})
	holes(f.id, 0, 30)
	h.change(replica.SpaceCommit{Space: f.id, Forget: true, Force: true})
	holes(f.id)
	holes(g.id)
}
