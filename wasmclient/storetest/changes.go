package storetest

import (
	"skerry/shared/replica"
	"skerry/shared/space"
)

// changed returns the versions of the spaces that a handle says were changed after a change.
func (s *suite) changed(h handle, after uint64) (number uint64, versions map[space.ID]uint64) {
	s.Helper()
	changes := try(h.Changes(s.ctx, after)).or(s, "read changes")
	versions = map[space.ID]uint64{}
	for _, c := range changes.Spaces {
		if _, twice := versions[c.Space]; twice {
			s.Fatalf("%v is named twice", c.Space)
		}
		versions[c.Space] = c.Version
	}
	return changes.Number, versions
}

func testChanges(s *suite) {
	h, other := s.open(), s.open()
	if number, versions := s.changed(h, 0); number != 0 || len(versions) != 0 {
		s.Fatalf("in an empty store change %d changed %v", number, versions)
	}
	a, b := newFeed(1), newFeed(2)
	h.change(a.insert(), b.insert())
	first, versions := s.changed(other, 0)
	if first == 0 || versions[a.id] != 1 || versions[b.id] != 1 {
		s.Fatalf("change %d changed %v", first, versions)
	}
	if loaded := other.load(); loaded.Changes != first {
		s.Fatalf("loaded at change %d, want %d", loaded.Changes, first)
	}
	h.change(b.append(b.row(1)))
	h.change(b.append(b.row(1)))
	second, versions := s.changed(other, first)
	if second <= first || versions[b.id] != 3 {
		s.Fatalf("after change %d there is %d, which changed %v", first, second, versions)
	}
	if again, versions := s.changed(other, second); again != second || len(versions) != 0 {
		s.Fatalf("after the last change, %d, there is %d, which changed %v", second, again, versions)
	}
	if _, versions := s.changed(other, 0); len(versions) != 2 || versions[a.id] != 1 || versions[b.id] != 3 {
		s.Fatalf("all there is is %v", versions)
	}
	// What did not happen is no change, and what touches no space neither.
	past := a.position
	past.Seq += 5
	if !try(h.Commit(s.ctx, &replica.Commit{Spaces: []replica.SpaceCommit{{Space: a.id, Expect: &past}}})).or(s, "commit").Stale {
		s.Fatal("not stale")
	}
	try(h.Commit(s.ctx, &replica.Commit{Since: []byte("x")})).or(s, "commit")
	if again, versions := s.changed(other, second); again != second || len(versions) != 0 {
		s.Fatalf("change %d changed %v though nothing did", again, versions)
	}
	if changes := try(h.RaiseEpoch(s.ctx)).or(s, "raise the epoch"); changes.Changes != second {
		s.Fatalf("led at change %d, want %d", changes.Changes, second)
	}
	if got := try(h.Changes(s.ctx, second)).or(s, "read changes").Epoch; got != 1 {
		s.Fatalf("the changes are of epoch %d, want 1", got)
	}
	h.Close()
	reopened := s.open()
	if again, versions := s.changed(reopened, first); again != second || versions[b.id] != 3 {
		s.Fatalf("opened again the last change is %d, which changed %v", again, versions)
	}
}

// testManyChanges changes more spaces than any store need remember.
func testManyChanges(s *suite) {
	h := s.open()
	var parts []replica.SpaceCommit
	for n := range uint64(100) {
		f := newFeed(n)
		parts = append(parts, f.insert())
	}
	h.change(parts...)
	first, versions := s.changed(h, 0)
	if len(versions) != len(parts) {
		s.Fatalf("%d spaces in one change, want %d", len(versions), len(parts))
	}
	for i := range parts[:50] {
		h.change(replica.SpaceCommit{Space: parts[i].Space})
	}
	_, versions = s.changed(h, first)
	for i := range parts[:50] {
		if versions[parts[i].Space] != 2 {
			s.Fatalf("after 50 changes the version of space %d is %d, want 2", i, versions[parts[i].Space])
		}
	}
	if _, versions = s.changed(h, first+49); versions[parts[49].Space] != 2 {
		s.Fatalf("the last change changed %v", versions)
	}
}

func testPinned(s *suite) {
	h, other := s.open(), s.open()
	f := newFeed(1)
	pin := func(pinned bool) {
		s.Helper()
		h.change(replica.SpaceCommit{Space: f.id, SetPinned: &pinned})
		if got := other.refresh(f.id); !got.Known || got.Info.Pinned != pinned {
			s.Fatalf("pinned is %v, want %v", got.Info.Pinned, pinned)
		}
		for _, summary := range other.load().Spaces {
			if summary.Info.Pinned != pinned {
				s.Fatalf("pinned is loaded as %v, want %v", summary.Info.Pinned, pinned)
			}
		}
	}
	pin(true) // a space that nothing else is known of
	h.change(f.insert())
	if !h.refresh(f.id).Info.Pinned {
		s.Fatal("what fills in the genesis takes the pin away")
	}
	pin(false)
	pin(true)
	h.change(f.runOf(1, 1), replica.SpaceCommit{Space: newFeed(2).id})
	if !h.refresh(f.id).Info.Pinned || h.refresh(newFeed(2).id).Info.Pinned {
		s.Fatal("another commit changes who is pinned")
	}
	h.Close()
	other.Close()
	if again := s.open(); !again.refresh(f.id).Info.Pinned {
		s.Fatal("not pinned any more after all handles were closed")
	}
}
