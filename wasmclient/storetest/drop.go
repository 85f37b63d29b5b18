package storetest

import (
	"slices"

	"skerry/shared/digest"
	"skerry/shared/replica"
)

// drop makes the commit that deletes the records of the feed's space up to a number.
func (f *feed) drop(seq uint64) replica.SpaceCommit {
	expect, to := f.position, f.at(seq)
	return replica.SpaceCommit{Space: f.id, Expect: &expect, Drop: &to}
}

// testDrop deletes the beginning of a log, again and again, whichever way it is stored: a hole is left for every handle, that knows that nobody waits for what was
// in it, what is behind it stays as it is and goes on, and what was there can be put there again.
func testDrop(s *suite) {
	h, other := s.open(), s.open()
	f, g := newFeed(1), newFeed(2)
	h.change(f.insert(), g.insert())
	for range 40 { // which are merged
		h.change(f.runOf(3, 40), g.runOf(3, 40))
	}
	want := func(dropped uint64, holes ...uint64) {
		s.Helper()
		for _, h := range []handle{h, other} {
			info, loaded := h.refresh(f.id).Info, h.load()
			var got []uint64
			for _, hole := range info.Holes {
				got = append(got, hole.After.Seq, hole.Until.Seq)
				after, until := f.at(hole.After.Seq), f.at(hole.Until.Seq)
				if hole.After.Chain != after.Chain || hole.Until.Chain != until.Chain {
					s.Fatalf("a hole is %+v", hole)
				}
			}
			if !slices.Equal(got, holes) || info.Dropped != dropped || info.Position != f.position {
				s.Fatalf("the holes are %v, dropped %d, at %d; want %v and %d", got, info.Dropped, info.Position.Seq, holes, dropped)
			}
			for i := range loaded.Spaces {
				if summary := &loaded.Spaces[i]; (summary.Space == f.id) != (summary.Info.Dropped == dropped && dropped > 0) && dropped > 0 {
					s.Fatalf("loaded are %+v", summary.Info)
				}
			}
		}
		first := uint64(1)
		if len(holes) > 0 && holes[0] == 0 {
			first = holes[1] + 1
		}
		for after := uint64(0); after < min(first+20, f.position.Seq); after += 7 {
			for _, h := range []handle{h, other} {
				from := max(first, after+1)
				f.wantRecords(s, h.read(f.id, after, 5, 1<<20), from, int(min(5, f.position.Seq+1-from)))
			}
		}
		if got := h.readBefore(f.id, first+1, 100, 1<<20); len(got) != 1 || got[0].Seq != first {
			s.Fatalf("%d records are before %d", len(got), first+1)
		}
		g.wantRecords(s, h.read(g.id, 0, 1000, 1<<20), 1, len(g.records))
	}
	want(0)
	for _, seq := range []uint64{1, 2, 7, 50, 51, 90} {
		h.change(f.drop(seq))
		want(seq, 0, seq)
		other.change(f.drop(seq)) // as another tab does that has not looked
		want(seq, 0, seq)
	}
	h.change(f.drop(30)) // is not there any more
	want(90, 0, 90)
	h.change(f.drop(119)) // all but the last
	want(119, 0, 119)
	for range 30 {
		h.change(f.runOf(2, 40))
		want(119, 0, 119)
	}
	h.Close()
	other.Close()
	h, other = s.open(), s.open()
	want(119, 0, 119)

	h.change(f.skip(5)) // a hole further up, and one that it meets
	h.change(f.runOf(5, 10))
	end := f.position.Seq
	want(119, 0, 119, end-10, end-5)
	h.change(f.drop(150))
	want(150, 0, 150, end-10, end-5)
	h.change(f.drop(end - 10))
	want(end-10, 0, end-5)

	stale := func(what string, change func(*replica.SpaceCommit)) {
		s.Helper()
		part := f.drop(end - 3)
		change(&part)
		before := h.everything()
		h.stale(replica.Commit{Spaces: []replica.SpaceCommit{part}})
		if h.everything() != before {
			s.Fatalf("%s changed something", what)
		}
	}
	stale("dropping of another branch", func(part *replica.SpaceCommit) { part.Expect.Chain = digest.Of(nil) })
	stale("dropping from where it stood", func(part *replica.SpaceCommit) { *part.Expect = f.at(end - 1) })
	before := h.everything()
	h.stale(replica.Commit{Fenced: true, Epoch: 77, Spaces: []replica.SpaceCommit{f.drop(end - 3)}})
	for what, change := range map[string]func(*replica.SpaceCommit){
		"without a condition": func(part *replica.SpaceCommit) { part.Expect = nil },
		"of nothing":          func(part *replica.SpaceCommit) { part.Drop.Seq = 0 },
		"of all":              func(part *replica.SpaceCommit) { *part.Drop = *part.Expect },
		"with a position":     func(part *replica.SpaceCommit) { part.Position = part.Expect },
		"with a page":         func(part *replica.SpaceCommit) { part.Page = f.page(1, end-5).Page },
	} {
		part := f.drop(end - 3)
		change(&part)
		if _, err := h.Commit(s.ctx, &replica.Commit{Spaces: []replica.SpaceCommit{part}}); err == nil {
			s.Fatalf("dropping %s is taken", what)
		}
	}
	if h.everything() != before {
		s.Fatalf("what was not taken changed something")
	}

	h.change(f.page(end-20, end-5)) // it is there again
	want(end-21, 0, end-21)
	h.change(f.cut(end - 2))
	want(end-21, 0, end-21)
	h.change(f.cut(60))
	info := h.refresh(f.id).Info
	if info.Dropped != 60 || len(info.Holes) != 1 || info.Holes[0].Until.Seq != 60 || len(h.read(f.id, 0, 10, 1<<20)) != 0 {
		s.Fatalf("cut below what is there it is %+v", info)
	}
	h.change(f.runOf(3, 10))
	want(60, 0, 60)
	h.change(replica.SpaceCommit{Space: f.id, Forget: true, Force: true})
	if info := h.refresh(f.id).Info; info.Dropped != 0 || len(info.Holes) != 0 {
		s.Fatalf("forgotten it is %+v", info)
	}
}
