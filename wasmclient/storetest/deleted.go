package storetest

import (
	"skerry/shared/replica"
	"skerry/shared/space"
)

// testDeleted: that a space was deleted stays known, whatever is stored of it later.
func testDeleted(s *suite) {
	h, other := s.open(), s.open()
	f, g := newFeed(1), newFeed(2)
	h.change(f.insert(), g.insert())
	h.change(replica.SpaceCommit{Space: f.id, SetDeleted: true})
	check := func(h handle) {
		s.Helper()
		if !h.refresh(f.id).Info.Deleted || h.refresh(g.id).Info.Deleted {
			s.Fatal("deleted is not what was said")
		}
		for _, summary := range h.load().Spaces {
			if summary.Info.Deleted != (summary.Space == f.id) {
				s.Fatalf("deleted is loaded as %v", summary.Info.Deleted)
			}
		}
	}
	check(other)
	h.change(f.runOf(3, 10))
	h.change(f.insert())
	check(other)
	h.Close()
	other.Close()
	check(s.open())
}

// testForget: nothing of a space is left but its version, and others lose nothing.
func testForget(s *suite) {
	h, other := s.open(), s.open()
	f, g := newFeed(1), newFeed(2)
	pinned, damaged := true, uint64(2)
	for _, of := range []*feed{f, g} {
		h.change(of.insert())
		h.change(of.runOf(5, 10))
		h.putCheckpoint(of.id, makeCheckpoint(5, "shared", string(of.id[:])))
		rows := []replica.OutboxRow{of.row(10), of.row(10), of.row(10)}
		h.change(replica.SpaceCommit{
			Space: of.id, Append: rows, Reject: []replica.Rejection{{ID: rows[1].ID, Code: 81}}, SetPinned: &pinned, SetDeleted: true,
		})
	}
	h.change(replica.SpaceCommit{Space: f.id, SetDamaged: &damaged})
	before, kept := h.refresh(f.id).Version, g.text(other)
	h.change(replica.SpaceCommit{Space: f.id, Forget: true, Force: true})
	gone := func(h handle) {
		s.Helper()
		if got := h.refresh(f.id); got.Known || len(got.Outbox)+len(got.Rejected) > 0 || got.Info.Position != space.Start(f.id) || got.Version <= before {
			s.Fatalf("after it was forgotten there is %+v", got)
		}
		if loaded := h.load().Spaces; len(loaded) != 1 || loaded[0].Space != g.id {
			s.Fatalf("%d spaces are loaded", len(loaded))
		}
		if records := try(h.Read(s.ctx, f.id, 0, 10, 1<<20)).or(s, "read"); len(records) > 0 {
			s.Fatalf("%d records are left", len(records))
		}
		h.wantCheckpoint(f.id, nil)
		if got := g.text(h); got != kept {
			s.Fatalf("the other space is %s, and was %s", got, kept)
		}
	}
	gone(h)
	gone(other)
	if _, versions := s.changed(other, 0); versions[f.id] <= before {
		s.Fatalf("others are told of version %d, after %d", versions[f.id], before)
	}
	h.Close()
	other.Close()
	h = s.open()
	gone(h)
	fresh := newFeed(1)
	h.change(fresh.insert())
	h.change(fresh.runOf(2, 10))
	if got := h.refresh(f.id); !got.Known || got.Info.Deleted || got.Info.Pinned || got.Info.Damaged > 0 || got.Info.Position.Seq != 2 || got.Version <= before+1 {
		s.Fatalf("known again it is %+v", got)
	}
}

// testForgetKeeps: what another handle has just written, or what was rejected, is forgotten only by force; what was accepted, or
// was taken back, is not in the way.
func testForgetKeeps(s *suite) {
	h, other := s.open(), s.open()
	f := newFeed(1)
	h.change(f.insert())
	rows := []replica.OutboxRow{f.row(10), f.row(10), f.row(10), f.row(10)}
	forget := replica.SpaceCommit{Space: f.id, Forget: true}
	keeps := func(what string, n int) {
		s.Helper()
		before := h.refresh(f.id).Version
		h.stale(replica.Commit{Strict: true, Spaces: []replica.SpaceCommit{forget}})
		if got := other.refresh(f.id); len(got.Outbox)+len(got.Rejected) != n || got.Version != before {
			s.Fatalf("%s: %d rows wait, %d are rejected", what, len(got.Outbox), len(got.Rejected))
		}
	}
	other.change(replica.SpaceCommit{Space: f.id, Append: rows})
	keeps("while rows wait", 4)
	h.change(replica.SpaceCommit{Space: f.id, Withdraw: []space.ULID{rows[0].ID}, Mark: []replica.Mark{
		{ID: rows[1].ID, State: replica.Accepted}, {ID: rows[2].ID, State: replica.Accepted},
	}})
	keeps("while one waits", 4)
	other.change(replica.SpaceCommit{Space: f.id, Reject: []replica.Rejection{{ID: rows[3].ID, Code: 81}}})
	keeps("while one is rejected", 4)
	h.change(replica.SpaceCommit{Space: f.id, Discard: []space.ULID{rows[3].ID}})
	h.change(forget)
	if got := other.refresh(f.id); got.Known || len(got.Outbox) > 0 {
		s.Fatalf("there is %+v", got)
	}
}

// text is all that a handle reads of a space.
func (f *feed) text(h handle) string {
	got := h.refresh(f.id)
	text := infoText(&got.Info)
	for i := range got.Outbox {
		text += entryText(&got.Outbox[i])
	}
	for i := range got.Rejected {
		text += got.Rejected[i].ID.String()
	}
	return text + recordsDigest(try(h.Read(h.s.ctx, f.id, 0, 10, 1<<20)).or(h.s, "read")).String()
}
