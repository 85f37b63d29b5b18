package logtest

import (
	"errors"
	"slices"
	"sync"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/syncserver"
)

// left returns records as a log has them when those up to a number have expired.
func left(records []space.Record, upto uint64) []space.Record {
	records = slices.Clone(records)
	for i := range records {
		if records[i].Seq <= upto {
			records[i] = records[i].Tombstone()
		}
	}
	return records
}

// expired checks that a space has expired up to a number and no further, and otherwise is as it was.
func (s *suite) expired(log syncserver.Log, a *author, records []space.Record, upto uint64) {
	s.Helper()
	s.check(log, a, left(records, upto))
	gone, err := log.Expired(s.ctx, a.id)
	s.must("Expired", err)
	kept, err := log.Retained(s.ctx, a.id)
	s.must("Retained", err)
	bytes := uint64(0)
	for i := range records {
		if records[i].Seq > upto {
			bytes += uint64(records[i].Size())
		}
	}
	if gone != upto || kept != bytes {
		s.Fatalf("%d records have expired, want %d; %d bytes are retained, want %d", gone, upto, kept, bytes)
	}
}

// testExpire: what has expired has no payload, and is otherwise what it was: known, hashed, counted. Nothing brings it back.
func testExpire(s *suite) {
	a, b := s.space(), s.space()
	if err := s.log.Expire(s.ctx, digest.Of([]byte("no space")), 1); !errors.Is(err, syncserver.ErrNoSpace) {
		s.Fatalf("Expire of no space = %v", err)
	}
	if _, err := s.log.Expired(s.ctx, digest.Of([]byte("no space"))); !errors.Is(err, syncserver.ErrNoSpace) {
		s.Fatalf("Expired of no space = %v", err)
	}
	if _, err := s.log.Retained(s.ctx, digest.Of([]byte("no space"))); !errors.Is(err, syncserver.ErrNoSpace) {
		s.Fatalf("Retained of no space = %v", err)
	}
	s.must("Expire nothing", s.log.Expire(s.ctx, a.id, 0))
	if err := s.log.Expire(s.ctx, a.id, 1); err == nil {
		s.Fatal("what the log does not have has expired")
	}
	var records []space.Record
	for range 4 {
		records = append(records, s.append(a, 300, 1, 9)...)
	}
	theirs := s.append(b, 700)
	if err := s.log.Expire(s.ctx, a.id, a.head.Seq+1); err == nil {
		s.Fatal("more has expired than the log has")
	}
	s.expired(s.log, a, records, 0)
	first, last := uint64(301), uint64(300+1+9+300+1)
	s.must("Expire", s.log.Expire(s.ctx, a.id, first))
	s.expired(s.log, a, records, first)
	CheckUsage(s.ctx, s.T, s.log)
	s.must("Expire less", s.log.Expire(s.ctx, a.id, 1))
	s.expired(s.log, a, records, first)
	s.must("Expire more", s.log.Expire(s.ctx, a.id, last))
	s.must("Expire again", s.log.Expire(s.ctx, a.id, last))
	s.expired(s.log, a, records, last)
	s.expired(s.log, b, theirs, 0)
	CheckUsage(s.ctx, s.T, s.log)

	again, next := a.batch(3)
	again[1].ID = records[0].ID
	if ids := knownError(s.log.Append(s.ctx, a.id, a.head, again, next)); len(ids) != 1 || ids[0] != records[0].ID {
		s.Fatalf("an id that has expired is taken again: %v", ids)
	}
	for _, seq := range []uint64{1, first, first + 1, last, a.head.Seq} {
		base, err := s.log.ChainBefore(s.ctx, a.id, seq)
		s.must("ChainBefore", err)
		if want := space.Fold(a.id, records[:base.Seq]); base.Chain != want {
			s.Fatalf("the chain before %d is not what it was", seq)
		}
	}
	s.must("Expire all", s.log.Expire(s.ctx, a.id, a.head.Seq))
	records = append(records, s.append(a, 2)...)
	s.expired(s.log, a, records, a.head.Seq-2)
	s.must("Delete", s.log.Delete(s.ctx, a.id, a.head))
	if err := s.log.Expire(s.ctx, a.id, a.head.Seq); !errors.Is(err, syncserver.ErrDeleted) {
		s.Errorf("Expire of a deleted space = %v", err)
	}
	if _, err := s.log.Expired(s.ctx, a.id); !errors.Is(err, syncserver.ErrDeleted) {
		s.Errorf("Expired of a deleted space = %v", err)
	}
	if _, err := s.log.Retained(s.ctx, a.id); !errors.Is(err, syncserver.ErrDeleted) {
		s.Errorf("Retained of a deleted space = %v", err)
	}
	s.expired(s.log, b, theirs, 0)
	CheckUsage(s.ctx, s.T, s.log)
}

// testExpiredForEver: what has expired stays so when the storage is opened again, and for other handles on it, and numbers go on.
func testExpiredForEver(s *suite) {
	a := s.space()
	records := s.append(a, 600, 5)
	s.must("Expire", s.log.Expire(s.ctx, a.id, 600))
	if s.Second != nil {
		s.expired(s.Second(), a, records, 600)
	}
	if s.Opened.Reopen != nil {
		s.must("Close", s.log.Close())
		s.log = s.Opened.Reopen()
	}
	s.expired(s.log, a, records, 600)
	records = append(records, s.append(a, 3)...)
	if records[605].Seq != 606 {
		s.Fatalf("the next record has number %d", records[605].Seq)
	}
	s.expired(s.log, a, records, 600)
	CheckUsage(s.ctx, s.T, s.log)
}

// testExpireLargest: payloads of the largest size are freed, and those shorter than what is left of them.
func testExpireLargest(s *suite) {
	a := s.space()
	var records []space.Record
	for _, size := range []int{0, 1, 31, 32, 33, 256 << 10, 1 << 20} {
		batch, _ := a.batch(2)
		batch[0].Payload = randomBytes(s.rng, size)
		next := headAfter(a.head.Chain, batch)
		s.must("Append", s.log.Append(s.ctx, a.id, a.head, batch, next))
		a.head = next
		records = append(records, batch...)
	}
	s.must("Expire", s.log.Expire(s.ctx, a.id, a.head.Seq))
	s.expired(s.log, a, records, a.head.Seq)
	CheckUsage(s.ctx, s.T, s.log)
}

// testExpireUnderReaders: who reads while records expire is given one history, of which a beginning has expired that never grows
// smaller, and grows as a whole.
func testExpireUnderReaders(s *suite) {
	for range soak(1, 50) {
		a := s.space()
		var records []space.Record
		for range 4 {
			records = append(records, s.append(a, 700)...)
		}
		var readers sync.WaitGroup
		begun := make(chan struct{}, 2)
		for range 2 {
			readers.Go(func() {
				for n, before := 0, -1; before < 2100; n++ {
					got, err := s.log.Read(s.ctx, a.id, 0, 1<<20, 1<<30)
					if err != nil || len(got) != len(records) {
						s.Errorf("Read = %d records, %v", len(got), err)
						return
					}
					gone := 0
					for gone < len(got) && got[gone].Expired {
						gone++
					}
					if gone%700 != 0 || gone < before {
						s.Errorf("%d records have expired, and %d had before", gone, before)
						return
					}
					before = gone
					for i := gone; i < len(got); i++ {
						if !SameRecord(&got[i], &records[i]) {
							s.Errorf("record %d is not what it was", i+1)
						}
					}
					if space.Fold(a.id, got) != a.head.Chain {
						s.Errorf("what is read does not hash to the head")
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
		for _, upto := range []uint64{700, 1400, 2100} {
			s.must("Expire", s.log.Expire(s.ctx, a.id, upto))
		}
		readers.Wait()
		s.expired(s.log, a, records, 2100)
	}
}

// testExpireRaces: several expire one space at once, to different ends, while its author writes on and another space is deleted: the
// furthest end counts, and nothing twice.
func testExpireRaces(s *suite) {
	for range soak(1, 100) {
		a, b := s.space(), s.space()
		records := s.append(a, 800, 700, 600)
		s.append(b, 900)
		batch, next := a.batch(40)
		together(5, func(i int) {
			switch i {
			case 3:
				s.must("Append", s.log.Append(s.ctx, a.id, a.head, batch, next))
			case 4:
				if err := errors.Join(s.log.Expire(s.ctx, b.id, 900), s.log.Delete(s.ctx, b.id, b.head)); err != nil {
					s.Errorf("expire and delete: %v", err)
				}
			default:
				s.must("Expire", s.log.Expire(s.ctx, a.id, []uint64{800, 1500, 2100}[i]))
			}
		})
		a.head = next
		s.expired(s.log, a, append(records, batch...), 2100)
		CheckUsage(s.ctx, s.T, s.log)
	}
}
