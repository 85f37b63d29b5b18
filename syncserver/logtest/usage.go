package logtest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"skerry/shared/space"
	"skerry/syncserver"
)

// CheckUsage fails t unless what a log tells of usage is what the records and spaces in it add up to.
func CheckUsage(ctx context.Context, t testing.TB, log syncserver.Log) {
	t.Helper()
	want := map[string]syncserver.Usage{"": {}, "nobody": {}}
	for after := (space.ID{}); ; {
		ids, err := log.Spaces(ctx, after, 100)
		if err != nil {
			t.Fatalf("Spaces: %v", err)
		}
		if len(ids) == 0 {
			break
		}
		for _, id := range ids {
			genesis, _, err := log.Genesis(ctx, id)
			if err != nil {
				t.Fatalf("Genesis: %v", err)
			}
			u := want[genesis.Creator]
			u.Spaces++
			want[genesis.Creator] = u
			for _, r := range readAll(ctx, t, log, id) {
				u := want[r.Author]
				u.Bytes += uint64(r.Size())
				want[r.Author] = u
			}
			after = id
		}
	}
	for identity, u := range want {
		if got, err := log.Usage(ctx, identity); err != nil || got != u {
			t.Fatalf("Usage(%q) = %+v, %v; want %+v", identity, got, err, u)
		}
	}
}

// testUsage: what is refused counts nothing, what is deleted no longer, and nothing else changes it.
func testUsage(s *suite) {
	a, b := s.space(), s.space()
	check := func() {
		s.Helper()
		CheckUsage(s.ctx, s.T, s.log)
	}
	check()
	s.append(a, 1, 20, 3)
	s.append(b, 5)
	s.append(a, 2, 2)
	check()
	records, next := a.batch(4, 4)
	known := append([]space.Record(nil), records...)
	known[5].ID = known[2].ID
	if ids := knownError(s.log.Append(s.ctx, a.id, a.head, known, next)); len(ids) != 1 {
		s.Fatalf("an id twice: %v", ids)
	}
	check()
	s.must("Append", s.log.Append(s.ctx, a.id, a.head, records, next))
	if headError(s.log.Append(s.ctx, a.id, a.head, records, next)) == nil {
		s.Fatal("the same again")
	}
	a.head = next
	check()
	if _, err := s.log.Create(s.ctx, &a.genesis, nil); err != nil {
		s.Fatal(err)
	}
	check()
	s.must("Delete", s.log.Delete(s.ctx, a.id, a.head))
	check()
	records, next = a.batch(1)
	if err := s.log.Append(s.ctx, a.id, a.head, records, next); !errors.Is(err, syncserver.ErrDeleted) {
		s.Fatalf("Append to a deleted space = %v", err)
	}
	check()
	if s.Opened.Reopen != nil {
		s.must("Close", s.log.Close())
		s.log = s.Opened.Reopen()
		check()
	}
}

// testUsageOfManyWriters: appends of one author to many spaces at once, some of which are deleted, are each counted once.
func testUsageOfManyWriters(s *suite) {
	var group sync.WaitGroup
	for range 16 {
		a := s.space()
		group.Go(func() {
			for i := range soak(20, 200) {
				records, _ := a.batch(1 + i%3)
				for j := range records {
					records[j].Author = "one"
				}
				next := headAfter(a.head.Chain, records)
				if err := s.log.Append(s.ctx, a.id, a.head, records, next); err != nil {
					s.Errorf("Append: %v", err)
					return
				}
				a.head = next
			}
			if a.id[0]%2 == 0 {
				if err := s.log.Delete(s.ctx, a.id, a.head); err != nil {
					s.Errorf("Delete: %v", err)
				}
			}
		})
	}
	group.Wait()
	CheckUsage(s.ctx, s.T, s.log)
}
