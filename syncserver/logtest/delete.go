package logtest

import (
	"bytes"
	"errors"
	"slices"
	"sync"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/syncserver"
)

// testDelete: only a space that ends where it is said to is deleted, and no other with it.
func testDelete(s *suite) {
	a, b := s.space(), s.space()
	if err := s.log.Delete(s.ctx, digest.Of([]byte("no space")), space.Head{}); !errors.Is(err, syncserver.ErrNoSpace) {
		s.Fatalf("Delete of no space = %v", err)
	}
	page := syncserver.Page{Name: digest.Of([]byte("page")), Bytes: []byte("page")}
	var before space.Head
	var records []space.Record
	for range 5 {
		before = a.head
		records = append(records, s.append(a, 300, 1, 9)...)
	}
	s.must("PutPages", s.log.PutPages(s.ctx, a.id, []syncserver.Page{page}))
	s.must("PutPages", s.log.PutPages(s.ctx, b.id, []syncserver.Page{page}))
	theirs := slices.Clone(records[:2])
	for i := range theirs {
		theirs[i].Seq, theirs[i].Index, theirs[i].Count = uint64(i+1), uint32(i), 2
	}
	next := space.Head{Seq: 2, Chain: space.Fold(b.id, theirs), ReceivedAt: theirs[0].ReceivedAt}
	s.must("Append", s.log.Append(s.ctx, b.id, b.head, theirs, next))
	b.head = next
	for _, head := range []space.Head{{}, before, {Seq: a.head.Seq, Chain: a.head.Chain}} {
		if head != a.head {
			if actual := headError(s.log.Delete(s.ctx, a.id, head)); actual == nil || *actual != a.head {
				s.Fatalf("Delete at another head: the log ends at %v", actual)
			}
		}
	}
	s.check(s.log, a, records)
	s.must("Delete", s.log.Delete(s.ctx, a.id, a.head))
	s.deleted(s.log, a, records)
	s.must("Delete again", s.log.Delete(s.ctx, a.id, a.head))
	s.must("Delete again", s.log.Delete(s.ctx, a.id, before))
	s.deleted(s.log, a, records)
	s.check(s.log, b, theirs)
	if content, err := s.log.Page(s.ctx, page.Name); err != nil || !bytes.Equal(content, page.Bytes) {
		s.Errorf("the page of another space = %q, %v", content, err)
	}
}

// deleted checks that nothing of a space is there but that it was.
func (s *suite) deleted(log syncserver.Log, a *author, records []space.Record) {
	s.Helper()
	if genesis, _, err := log.Genesis(s.ctx, a.id); err != nil || genesis.ID() != a.id {
		s.Errorf("Genesis of a deleted space = %+v, %v", genesis, err)
	}
	ids, err := log.Spaces(s.ctx, space.ID{}, 1000)
	if err != nil || slices.Contains(ids, a.id) {
		s.Errorf("Spaces lists a deleted one: %v", err)
	}
	if counts, err := log.Modules(s.ctx); err != nil || counts[a.genesis.Module] > 0 { // each space of the suite has one of its own
		s.Errorf("Modules counts a deleted one: %v, %v", counts, err)
	}
	batch, next := a.batch(2)
	first, firstHead := Batch(a.rng, space.Head{Chain: a.id}, 2)
	for what, call := range map[string]func() error{
		"Create":      func() error { _, err := log.Create(s.ctx, &a.genesis, nil); return err },
		"Head":        func() error { _, err := log.Head(s.ctx, a.id); return err },
		"Append":      func() error { return log.Append(s.ctx, a.id, a.head, batch, next) },
		"Append anew": func() error { return log.Append(s.ctx, a.id, space.Head{Chain: a.id}, first, firstHead) },
		"Known":       func() error { _, err := log.Known(s.ctx, a.id, []space.ULID{records[0].ID}); return err },
		"Read":        func() error { _, err := log.Read(s.ctx, a.id, 0, 10, 1<<20); return err },
		"ChainBefore": func() error { _, err := log.ChainBefore(s.ctx, a.id, 3); return err },
		"Pages":       func() error { _, err := log.Pages(s.ctx, a.id); return err },
		"PutPages":    func() error { return log.PutPages(s.ctx, a.id, []syncserver.Page{{Name: digest.Of(nil)}}) },
		"DeletePages": func() error { return log.DeletePages(s.ctx, a.id, []digest.Digest{digest.Of(nil)}) },
	} {
		if err := call(); !errors.Is(err, syncserver.ErrDeleted) || errors.Is(err, syncserver.ErrNoSpace) {
			s.Errorf("%s of a deleted space = %v", what, err)
		}
	}
}

// testDeletedForEver: a space stays deleted when the storage is opened again, and for other handles on it.
func testDeletedForEver(s *suite) {
	a := s.space()
	records := s.append(a, 400)
	s.must("Delete", s.log.Delete(s.ctx, a.id, a.head))
	if s.Second != nil {
		s.deleted2(s.Second(), a)
	}
	if s.Opened.Reopen != nil {
		s.must("Close", s.log.Close())
		s.log = s.Opened.Reopen()
	}
	s.deleted(s.log, a, records)
}

// deleted2 checks what a handle that only reads says.
func (s *suite) deleted2(log syncserver.Log, a *author) {
	s.Helper()
	if _, err := log.Head(s.ctx, a.id); !errors.Is(err, syncserver.ErrDeleted) {
		s.Errorf("Head by another handle = %v", err)
	}
	if _, err := log.Read(s.ctx, a.id, 0, 10, 1<<20); !errors.Is(err, syncserver.ErrDeleted) {
		s.Errorf("Read by another handle = %v", err)
	}
}

// testDeleteRaces: of an append and a deletion at one head one is done, and the other says why not.
func testDeleteRaces(s *suite) {
	for range soak(10, 1000) {
		a := s.space()
		s.append(a, 3)
		records, next := a.batch(2)
		var appended, gone error
		together(2, func(i int) {
			if i == 0 {
				appended = s.log.Append(s.ctx, a.id, a.head, records, next)
			} else {
				gone = s.log.Delete(s.ctx, a.id, a.head)
			}
		})
		actual := headError(gone)
		if !(appended == nil && actual != nil && *actual == next) && !(gone == nil && errors.Is(appended, syncserver.ErrDeleted)) {
			s.Fatalf("Append = %v, and Delete = %v", appended, gone)
		}
	}
}

// testDeleteUnderReaders: who reads while a space is deleted gets what was there, or is told, and never a part of it.
func testDeleteUnderReaders(s *suite) {
	for range soak(1, 50) {
		a := s.space()
		for range 4 {
			s.append(a, 300)
		}
		var readers sync.WaitGroup
		begun := make(chan struct{}, 2)
		for range 2 {
			readers.Go(func() {
				for n := 0; ; n++ {
					records, err := s.log.Read(s.ctx, a.id, 0, 1<<20, 1<<30)
					if errors.Is(err, syncserver.ErrDeleted) {
						return
					}
					if err != nil || len(records) != 1200 || records[0].Seq != 1 {
						s.Errorf("Read = %d records, %v", len(records), err)
						return
					}
					if n == 0 {
						begun <- struct{}{}
					}
				}
			})
		}
		for range 2 {
			<-begun
		}
		s.must("Delete", s.log.Delete(s.ctx, a.id, a.head))
		readers.Wait()
	}
}
