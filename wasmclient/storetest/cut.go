package storetest

import (
	"skerry/shared/replica"
	"skerry/shared/space"
)

// at is the position of a feed at a number.
func (f *feed) at(seq uint64) space.Position {
	return space.Position{Seq: seq, Chain: space.Fold(f.id, f.records[:seq])}
}

// cut is the part that takes the feed's space back to a number, and the feed with it.
func (f *feed) cut(seq uint64) replica.SpaceCommit {
	from, to := f.position, f.at(seq)
	f.position, f.records = to, f.records[:seq]
	return replica.SpaceCommit{Space: f.id, Expect: &from, Position: &to, Cut: true, SetDamaged: &from.Seq}
}

// testDamaged notes that a space is damaged: the number only rises until it is cleared, in every handle and later ones.
func testDamaged(s *suite) {
	h, other := s.open(), s.open()
	f, g := newFeed(1), newFeed(2)
	h.change(f.runOf(5, 10), g.runOf(1, 10))
	set := func(n uint64) { h.change(replica.SpaceCommit{Space: f.id, SetDamaged: &n}) }
	want := func(h handle, n uint64) {
		s.Helper()
		if got := h.refresh(f.id).Info.Damaged; got != n {
			s.Fatalf("the space is damaged below %d, want %d", got, n)
		}
		for _, summary := range h.load().Spaces {
			if got := summary.Info.Damaged; summary.Space == f.id && got != n || summary.Space == g.id && got != 0 {
				s.Fatalf("space %v is loaded as damaged below %d", summary.Space, got)
			}
		}
	}
	for _, step := range [][2]uint64{{0, 0}, {4, 4}, {2, 4}, {1 << 31, 1 << 31}, {0, 0}, {5, 5}} {
		set(step[0])
		want(other, step[1])
	}
	h.Close()
	want(s.open(), 5)
	f.wantRecords(s, other.read(f.id, 0, 10, 1<<20), 1, 5)
}

// testCut takes a space back to every number that it can be taken back to, through runs and through what a store made
// of them, and goes on from there.
func testCut(s *suite) {
	h, reader := s.open(), s.open()
	f, other := newFeed(1), newFeed(2)
	h.change(other.runOf(50, 10))
	grow := func() {
		for _, n := range []int{1, 3, 300, 1, 1, 70} {
			h.change(f.runOf(n, 300))
		}
		for range 70 {
			h.change(f.runOf(1, 20))
		}
	}
	grow()
	row := f.row(10)
	h.change(f.append(row))
	for _, seq := range []uint64{445, 420, 376, 375, 300, 305, 304, 150, 4, 2, 1, 0} {
		if seq >= f.position.Seq {
			grow()
		}
		before := h.refresh(f.id).Version
		h.change(f.cut(seq))
		snapshot := reader.refresh(f.id)
		if snapshot.Info.Position != f.position || snapshot.Version != before+1 || snapshot.Info.Damaged <= seq || len(snapshot.Outbox) != 1 {
			s.Fatalf("taken back to %d the space is %+v", seq, snapshot)
		}
		for _, h := range []handle{h, reader} {
			f.wantRecords(s, h.read(f.id, 0, 1<<20, 64<<20), 1, int(seq))
			f.wantRecords(s, h.read(f.id, seq, 10, 64<<20), seq+1, 0)
			n := min(int(seq), 7)
			f.wantRecords(s, h.readBefore(f.id, 1<<40, 7, 64<<20), seq+1-uint64(n), n)
		}
		h.change(f.runOf(2, 10)) // the same numbers, other records
		f.wantRecords(s, reader.read(f.id, 0, 1<<20, 64<<20), 1, int(seq)+2)
	}
	grow()
	f.wantRecords(s, reader.read(f.id, 0, 1<<20, 64<<20), 1, len(f.records))
	other.wantRecords(s, reader.read(other.id, 0, 1<<20, 64<<20), 1, 50)
}

// testCutStale cuts under conditions that do not hold: nothing is lost.
func testCutStale(s *suite) {
	h := s.open()
	f := newFeed(1)
	h.change(f.runOf(5, 10))
	epoch := try(h.RaiseEpoch(s.ctx)).or(s, "raise the epoch").Meta.Epoch
	start := space.Start(f.id)
	moved, branch := f.at(4), f.position
	branch.Chain = f.id
	for _, expect := range []space.Position{moved, branch} {
		h.stale(replica.Commit{Fenced: true, Epoch: epoch, Spaces: []replica.SpaceCommit{{Space: f.id, Expect: &expect, Position: &start, Cut: true}}})
	}
	h.stale(replica.Commit{Fenced: true, Epoch: epoch - 1, Spaces: []replica.SpaceCommit{{Space: f.id, Expect: &f.position, Position: &start, Cut: true}}})
	run := f.runOf(1, 10)
	for name, part := range map[string]replica.SpaceCommit{
		"without a cut":    {Space: f.id, Expect: run.Expect, Position: &start},
		"cut forward":      {Space: f.id, Expect: run.Expect, Position: run.Position, Cut: true},
		"cut to nowhere":   {Space: f.id, Expect: run.Expect, Cut: true},
		"cut from nowhere": {Space: f.id, Position: &start, Cut: true},
	} {
		if _, err := h.Commit(s.ctx, &replica.Commit{Spaces: []replica.SpaceCommit{part}}); err == nil {
			s.Errorf("%s: the commit is taken", name)
		}
	}
	f.wantRecords(s, h.read(f.id, 0, 10, 1<<20), 1, 5)
}
