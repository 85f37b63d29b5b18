package logtest

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"skerry/shared/space"
	"skerry/syncserver"
)

// appendRacing appends records to a space, moving them behind whatever others append meanwhile. It returns the
// records as they were stored, or nil if an id was known.
func (s *suite) appendRacing(log syncserver.Log, id space.ID, head space.Head, records []space.Record) []space.Record {
	for {
		moved, next := rebase(head, records)
		err := log.Append(s.ctx, id, head, moved, next)
		if err == nil {
			return moved
		}
		if actual := headError(err); actual != nil {
			head = *actual
			continue
		}
		if knownError(err) == nil {
			s.Errorf("Append: %v", err)
		}
		return nil
	}
}

// together runs n functions at once and waits for them.
func together(n int, run func(i int)) {
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() { <-start; run(i) })
	}
	close(start)
	group.Wait()
}

// testRaceForOneID: sixteen writers want to store different events under one id. One of them does.
func testRaceForOneID(s *suite) {
	for range soak(5, 100) {
		a := s.space()
		first := s.append(a, 1)
		id := newULID(s.rng)
		batches := make([][]space.Record, 16)
		for i := range batches {
			batches[i], _ = a.batch(1, 2)
			batches[i][1].ID = id
		}
		var stored atomic.Pointer[[]space.Record]
		together(len(batches), func(i int) {
			if records := s.appendRacing(s.log, a.id, a.head, batches[i]); records != nil {
				if !stored.CompareAndSwap(nil, &records) {
					s.Error("two appends with one id were stored")
				}
			}
		})
		if stored.Load() == nil {
			s.Fatal("nobody stored the id")
		}
		s.check(s.log, a, append(first, *stored.Load()...))
	}
}

// testRaceToResend: sixteen connections send one transaction that none of them has an answer for.
func testRaceToResend(s *suite) {
	for range soak(5, 100) {
		a := s.space()
		first := s.append(a, 1)
		records, next := a.batch(3)
		var stored atomic.Int32
		together(16, func(int) {
			err := s.log.Append(s.ctx, a.id, a.head, records, next)
			if actual := headError(err); err == nil {
				stored.Add(1)
			} else if actual == nil || *actual != next {
				s.Errorf("a re-send that lost: %v", err)
			}
		})
		if n := stored.Load(); n != 1 {
			s.Fatalf("stored %d times", n)
		}
		s.check(s.log, a, append(first, records...))
	}
}

// testWritersOnOneSpace: 64 writers, each with transactions of its own.
func testWritersOnOneSpace(s *suite) {
	s.writers(64, 1, soak(3, 100))
}

func testWritersOnManySpaces(s *suite) {
	s.writers(64, soak(60, 1000), soak(20, 500))
}

// writers lets n writers append to random spaces, and checks that all that was acknowledged is there, once.
func (s *suite) writers(n, spaces, appends int) {
	authors := make([]*author, spaces)
	for i := range authors {
		authors[i] = s.space()
	}
	acknowledged := make([]map[space.ID][]space.Record, n)
	sources := make([]*rand.Rand, n)
	for i := range sources {
		sources[i] = s.fork()
	}
	together(n, func(i int) {
		acknowledged[i] = map[space.ID][]space.Record{}
		for range appends {
			a := authors[sources[i].IntN(spaces)]
			head, err := s.log.Head(s.ctx, a.id)
			if err != nil {
				s.Errorf("Head: %v", err)
				return
			}
			records, _ := Batch(sources[i], head, 1+sources[i].IntN(3), 1)
			acknowledged[i][a.id] = append(acknowledged[i][a.id], s.appendRacing(s.log, a.id, head, records)...)
		}
	})
	total := 0
	for _, a := range authors {
		all := CheckSpace(s.ctx, s.T, s.log, a.id)
		total += len(all)
		for i := range acknowledged {
			for _, r := range acknowledged[i][a.id] {
				if r.Seq > uint64(len(all)) || !SameRecord(&all[r.Seq-1], &r) {
					s.Fatalf("acknowledged record %d is not in the log", r.Seq)
				}
				total--
			}
		}
	}
	if total != 0 {
		s.Fatalf("%d records are in the log that nobody wrote", total)
	}
}

// testReadersSeeNoHoles: readers that run beside writers see each record at most once and none too early: a
// number that is taken before the commit would let a reader pass it.
func testReadersSeeNoHoles(s *suite) {
	a := s.space()
	const writers = 8
	batches := make([][][]space.Record, writers)
	total := 0
	for i := range batches {
		for range soak(15, 300) {
			records, _ := a.batch(1, 1+s.rng.IntN(3))
			batches[i] = append(batches[i], records)
			total += len(records)
		}
	}
	together(writers+4, func(i int) {
		if i < writers {
			for _, records := range batches[i] {
				s.appendRacing(s.log, a.id, a.head, records)
			}
			return
		}
		chain, after := a.id, uint64(0)
		for after < uint64(total) && !s.Failed() {
			records, err := s.log.Read(s.ctx, a.id, after, 1+i, 1<<20)
			if err != nil {
				s.Errorf("Read: %v", err)
				return
			}
			for j := range records {
				if after++; records[j].Seq != after {
					s.Errorf("a reader found %d where %d belongs", records[j].Seq, after)
					return
				}
			}
			chain = space.Fold(chain, records)
			if at, err := s.log.ChainBefore(s.ctx, a.id, after); err != nil || at.Seq > after || at.Seq == after && at.Chain != chain {
				s.Errorf("ChainBefore(%d) = %d, %v, or another chain than that of the records", after, at.Seq, err)
				return
			}
		}
	})
	CheckSpace(s.ctx, s.T, s.log, a.id)
}

// testReadYourAcknowledgement: what one handle acknowledged, every handle reads at once.
func testReadYourAcknowledgement(s *suite) {
	handles := []syncserver.Log{s.log}
	if s.Second != nil {
		handles = append(handles, s.Second())
	}
	together(4, func(int) {
		s := &suite{T: s.T, Opened: s.Opened, log: s.log, ctx: s.ctx, rng: rand.New(rand.NewPCG(1, rand.Uint64()))}
		a := newAuthor(s.rng)
		if _, err := s.log.Create(s.ctx, &a.genesis, nil); err != nil {
			s.Errorf("Create: %v", err)
			return
		}
		for range soak(30, 1000) {
			records, next := a.batch(1 + s.rng.IntN(3))
			if err := s.log.Append(s.ctx, a.id, a.head, records, next); err != nil {
				s.Errorf("Append: %v", err)
				return
			}
			for i, log := range handles {
				got, err := log.Read(s.ctx, a.id, a.head.Seq, 10, 1<<20)
				if err != nil || len(got) != len(records) || !SameRecord(&got[0], &records[0]) {
					s.Errorf("handle %d read %d of %d acknowledged records: %v", i, len(got), len(records), err)
					return
				}
				if head, err := log.Head(s.ctx, a.id); err != nil || head != next {
					s.Errorf("handle %d has another head: %v", i, err)
					return
				}
			}
			a.head = next
		}
	})
}

// testHintsDropped: a follower that reads when it is hinted at, and is hinted at no more often than a quarter of
// the time, has everything after one last wake-up.
func testHintsDropped(s *suite) {
	a := s.space()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	wake := make(chan struct{}, 1)
	var drop atomic.Uint32
	s.must("Watch", s.log.Watch(ctx, func(id space.ID) {
		if id == a.id && drop.Add(2654435761)>>30 == 0 {
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	}))
	var seen []space.Record
	follow := func() {
		for {
			records, err := s.log.Read(s.ctx, a.id, uint64(len(seen)), 5, 1<<20)
			if err != nil {
				s.Errorf("Read: %v", err)
			}
			if len(records) == 0 {
				return
			}
			seen = append(seen, records...)
		}
	}
	done := make(chan struct{})
	var follower sync.WaitGroup
	follower.Go(func() {
		for {
			select {
			case <-wake:
				follow()
			case <-done:
				follow()
				return
			}
		}
	})
	var want []space.Record
	for range soak(50, 1000) {
		want = append(want, s.append(a, 1, 2)...)
	}
	close(done)
	follower.Wait()
	s.same(seen, want)
}

// testHints: where a log says that it loses no hints, every append is followed by one, until the watch ends.
func testHints(s *suite) {
	if !s.Hints {
		s.Skip("this log may lose hints")
	}
	a := s.space()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	hints := make(chan space.ID, 1)
	s.must("Watch", s.log.Watch(ctx, func(id space.ID) {
		select {
		case hints <- id:
		default:
		}
	}))
	for range 10 {
		s.append(a, 1)
		if id := <-hints; id != a.id {
			s.Fatal("a hint names another space")
		}
	}
}
