package logtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/syncserver"
)

// errLost is what a call returns whose request or answer was lost on the way.
var errLost = errors.New("logtest: the connection to the log was lost")

// lossy is a log behind a bad connection: some appends never reach it, the answers to others are lost.
type lossy struct {
	syncserver.Log
	mu  sync.Mutex
	rng *rand.Rand
}

func (l *lossy) roll() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rng.IntN(4)
}

func (l *lossy) Append(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head) error {
	fate := l.roll()
	if fate == 0 {
		return errLost
	}
	if err := l.Log.Append(ctx, id, previous, records, next); err != nil {
		return err
	}
	if fate == 1 {
		return errLost
	}
	return nil
}

// appendSurely repeats an append until its outcome is known, as a hub does: it reports whether it was stored, and
// where the log ends if it was not.
func appendSurely(ctx context.Context, log syncserver.Log, id space.ID, previous space.Head, records []space.Record, next space.Head) (bool, space.Head, error) {
	for {
		err := log.Append(ctx, id, previous, records, next)
		if actual := headError(err); actual != nil {
			return *actual == next, *actual, nil
		}
		if err == nil {
			return true, next, nil
		}
		if !errors.Is(err, errLost) && !errors.Is(err, context.Canceled) {
			return false, space.Head{}, err
		}
		ctx = context.WithoutCancel(ctx)
	}
}

// testUnknownOutcomes: owners of spaces behind a bad connection resolve every unknown outcome by the same call
// again, and store every batch exactly once.
func testUnknownOutcomes(s *suite) {
	log := &lossy{Log: s.log, rng: s.fork()}
	s.owners(func(ctx context.Context, a *author, records []space.Record, next space.Head) (bool, space.Head, error) {
		return appendSurely(ctx, log, a.id, a.head, records, next)
	})
}

// testCancelledInCommit: the same with calls that are cancelled while they wait for the commit.
func testCancelledInCommit(s *suite) {
	s.owners(func(ctx context.Context, a *author, records []space.Record, next space.Head) (bool, space.Head, error) {
		ctx, cancel := context.WithCancel(ctx)
		var canceller sync.WaitGroup
		canceller.Go(cancel) // runs at any moment from before the call to after it
		defer canceller.Wait()
		return appendSurely(ctx, s.log, a.id, a.head, records, next)
	})
}

// owners lets sixteen owners of a space each append batch after batch by the given function.
func (s *suite) owners(appendOne func(context.Context, *author, []space.Record, space.Head) (bool, space.Head, error)) {
	authors := make([]*author, 16)
	want := make([][]space.Record, len(authors))
	for i := range authors {
		authors[i] = s.space()
	}
	together(len(authors), func(i int) {
		a := authors[i]
		for range soak(20, 500) {
			records, next := a.batch(1+a.rng.IntN(3), 1)
			stored, head, err := appendOne(s.ctx, a, records, next)
			if err != nil || !stored {
				s.Errorf("owner %d at %d: stored %v, the log ends at %d, %v", i, a.head.Seq, stored, head.Seq, err)
				return
			}
			a.head = next
			want[i] = append(want[i], records...)
		}
	})
	if s.Failed() {
		return
	}
	for i, a := range authors {
		s.check(s.log, a, want[i])
	}
}

// testCancelledBefore: a call whose context has ended already does nothing.
func testCancelledBefore(s *suite) {
	a := s.space()
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	records, next := a.batch(1)
	if err := s.log.Append(ctx, a.id, a.head, records, next); !errors.Is(err, context.Canceled) {
		s.Fatalf("Append = %v", err)
	}
	if _, err := s.log.Read(ctx, a.id, 0, 1, 1); !errors.Is(err, context.Canceled) {
		s.Fatalf("Read = %v", err)
	}
	if _, err := s.log.Head(ctx, a.id); !errors.Is(err, context.Canceled) {
		s.Fatalf("Head = %v", err)
	}
	s.check(s.log, a, nil)
}

// testReopen: everything survives closing and opening again, also what later appends are judged by.
func testReopen(s *suite) {
	if s.Opened.Reopen == nil {
		s.Skip("nothing survives in this log")
	}
	a, b := s.space(), s.space()
	wantA, wantB := s.append(a, 2), s.append(b, 1, 3)
	wantA = append(wantA, s.append(a, 1, 1)...)
	blob := []byte("a module")
	name := digest.Of(blob)
	s.must("PutBlob", s.log.PutBlob(s.ctx, name, blob))
	if ok, err := s.log.CompareAndSet(s.ctx, "key", nil, []byte("value")); err != nil || !ok {
		s.Fatalf("CompareAndSet = %v, %v", ok, err)
	}
	charge := []syncserver.Charge{{Key: "k", Interval: 1 << 30, Burst: 1, Cost: 1}}
	s.limit(1000, charge, 0)
	for range 2 {
		s.must("Close", s.log.Close())
		if err := s.log.Append(s.ctx, a.id, a.head, nil, a.head); err == nil {
			s.Fatal("a closed log took an append")
		}
		s.log = s.Opened.Reopen()
		s.check(s.log, a, wantA)
		s.check(s.log, b, wantB)
		if got, err := s.log.Blob(s.ctx, name); err != nil || string(got) != string(blob) {
			s.Fatalf("Blob = %q, %v", got, err)
		}
		if got, err := s.log.Key(s.ctx, "key"); err != nil || string(got) != "value" {
			s.Fatalf("Key = %q, %v", got, err)
		}
		s.limit(1000, charge, 1<<30)
		again, _ := a.batch(1)
		again[0].ID = wantA[0].ID
		if got := knownError(s.log.Append(s.ctx, a.id, a.head, again, headAfter(a.head.Chain, again))); len(got) != 1 {
			s.Fatalf("a known id after reopening: %v", got)
		}
		wantA = append(wantA, s.append(a, 2)...)
	}
}

// testCloseWaits: closing a log under load waits for what is under way, and what was acknowledged is there.
func testCloseWaits(s *suite) {
	authors := make([]*author, 8)
	want := make([][]space.Record, len(authors))
	for i := range authors {
		authors[i] = s.space()
	}
	var under sync.WaitGroup
	under.Add(len(authors))
	var closing sync.WaitGroup
	closing.Go(func() {
		under.Wait()
		if err := s.log.Close(); err != nil {
			s.Errorf("Close: %v", err)
		}
	})
	together(len(authors), func(i int) {
		for n := 0; ; n++ {
			if n == 5 {
				under.Done()
			}
			records, next := authors[i].batch(2)
			if err := s.log.Append(s.ctx, authors[i].id, authors[i].head, records, next); err != nil {
				return
			}
			authors[i].head = next
			want[i] = append(want[i], records...)
		}
	})
	closing.Wait()
	if s.Opened.Reopen == nil {
		return
	}
	s.log = s.Opened.Reopen()
	for i, a := range authors {
		s.check(s.log, a, want[i])
	}
}
