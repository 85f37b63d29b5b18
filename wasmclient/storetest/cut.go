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

// fork is the part that takes the feed's space over to another branch, which left this one at a number, with n records there, and the feed with it.
func (f *feed) fork(seq uint64, n int) replica.SpaceCommit {
	from, to := f.position, f.at(seq)
	f.position, f.records = to, f.records[:seq]
	part := f.runOf(n, 20)
	part.Expect, part.Fork = &from, &to
	return part
}

// testForkToACheckpoint goes over to another branch where it ends, and on another one to where a checkpoint is: what is between is a hole.
func testForkToACheckpoint(s *suite, h, reader handle, f *feed) {
	for f.position.Seq < 20 {
		h.change(f.runOf(3, 10))
	}
	from, to := f.position, f.at(9)
	f.position, f.records = to, f.records[:9]
	h.change(replica.SpaceCommit{Space: f.id, Expect: &from, Fork: &to, Position: &to})
	got := reader.refresh(f.id).Info
	if got.Position != to || len(got.Holes) != 0 {
		s.Fatalf("gone over to another branch at its end the space is %+v", got)
	}
	f.wantRecords(s, reader.read(f.id, 0, 1<<20, 64<<20), 1, 9)

	h.change(f.runOf(20, 10))
	from, to = f.position, f.at(5)
	place := space.Position{Seq: 60, Chain: space.ID{60}}
	h.change(replica.SpaceCommit{Space: f.id, Expect: &from, Fork: &to, Position: &place})
	got = reader.refresh(f.id).Info
	if got.Position != place || len(got.Holes) != 1 || got.Holes[0].After != to || got.Holes[0].Until != place {
		s.Fatalf("gone over to a checkpoint of another branch the space is %+v", got)
	}
	f.wantRecords(s, reader.read(f.id, 0, 1<<20, 64<<20), 1, 5)
	f.position, f.records = to, f.records[:5]
	back := replica.SpaceCommit{Space: f.id, Expect: &place, Position: &to, Cut: true}
	h.change(back)
}

// testFork goes over to another branch at every number, with fewer records than there were and with more, and goes on there.
func testFork(s *suite) {
	h, reader := s.open(), s.open()
	f, other := newFeed(1), newFeed(2)
	h.change(other.runOf(50, 10))
	row := f.row(10)
	h.change(f.runOf(5, 10), other.runOf(1, 10))
	h.change(f.append(row))
	branches := uint64(0)
	for _, seq := range []uint64{445, 420, 376, 375, 300, 304, 150, 4, 2, 1, 0} {
		for f.position.Seq <= seq {
			h.change(f.runOf(1, 300))
			h.change(f.runOf(int(seq/3)+70, 300))
		}
		for _, n := range []int{1, int(f.position.Seq - seq), 600} {
			if f.position.Seq <= seq {
				h.change(f.runOf(3, 10))
			}
			part := f.fork(seq, n)
			upto := seq + uint64(n) + 1
			if n == 1 {
				part.SetDamaged = &upto
			} else {
				upto = 0
			}
			h.change(part)
			branches++
			for _, h := range []handle{h, reader} {
				got := h.refresh(f.id)
				if got.Info.Position != f.position || got.Info.Branch != branches || got.Info.Damaged != upto || len(got.Outbox) != 1 {
					s.Fatalf("gone over to another branch at %d with %d records the space is %+v", seq, n, got)
				}
				f.wantRecords(s, h.read(f.id, 0, 1<<20, 64<<20), 1, len(f.records))
				f.wantRecords(s, h.readBefore(f.id, 1<<40, 1, 64<<20), f.position.Seq, 1)
			}
			h.change(f.runOf(2, 10))
			f.wantRecords(s, reader.read(f.id, seq, 1<<20, 64<<20), seq+1, len(f.records)-int(seq))
		}
	}
	testForkToACheckpoint(s, h, reader, f)
	branches += 2
	for _, summary := range reader.load().Spaces {
		if want := map[bool]uint64{true: branches}[summary.Space == f.id]; summary.Info.Branch != want {
			s.Fatalf("space %v is loaded on branch %d, want %d", summary.Space, summary.Info.Branch, want)
		}
	}
	other.wantRecords(s, reader.read(other.id, 0, 1<<20, 64<<20), 1, 51)

	for f.position.Seq < 5 {
		h.change(f.runOf(3, 10))
	}
	before := h.refresh(f.id)
	expect, good := f.position, *f
	expect.Seq++
	part := f.fork(3, 1)
	stale := part
	stale.Expect = &expect
	h.stale(replica.Commit{Spaces: []replica.SpaceCommit{stale}})
	for name, bad := range map[string]func(*replica.SpaceCommit){
		"without records": func(p *replica.SpaceCommit) { below := good.at(2); p.Records, p.Position = nil, &below },
		"to nowhere":      func(p *replica.SpaceCommit) { p.Records, p.Position = nil, nil },
		"from nowhere":    func(p *replica.SpaceCommit) { p.Expect = nil },
		"forwards":        func(p *replica.SpaceCommit) { p.Expect = p.Fork },
		"with a hole":     func(p *replica.SpaceCommit) { fork := good.at(2); p.Fork = &fork },
		"with a cut":      func(p *replica.SpaceCommit) { p.Cut = true },
	} {
		p := part
		bad(&p)
		if _, err := h.Commit(s.ctx, &replica.Commit{Spaces: []replica.SpaceCommit{p}}); err == nil {
			s.Errorf("gone over %s", name)
		}
	}
	if after := h.refresh(f.id); after.Version != before.Version || after.Info.Branch != branches {
		s.Errorf("what was stale or wrong made the space %+v", after)
	}
}
