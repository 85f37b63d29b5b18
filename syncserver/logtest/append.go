package logtest

import (
	"bytes"
	"errors"
	"math"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/syncserver"
)

func testCreate(s *suite) {
	g := NewGenesis(s.rng)
	id := g.ID()
	if _, _, err := s.log.Genesis(s.ctx, id); !errors.Is(err, syncserver.ErrNoSpace) {
		s.Fatalf("Genesis of no space: %v", err)
	}
	if _, err := s.log.Head(s.ctx, id); !errors.Is(err, syncserver.ErrNoSpace) {
		s.Fatalf("Head of no space: %v", err)
	}
	if _, err := s.log.Read(s.ctx, id, 0, 10, 10); !errors.Is(err, syncserver.ErrNoSpace) {
		s.Fatalf("Read of no space: %v", err)
	}
	if _, err := s.log.Known(s.ctx, id, make([]space.ULID, 1)); !errors.Is(err, syncserver.ErrNoSpace) {
		s.Fatalf("Known of no space: %v", err)
	}
	if _, err := s.log.ChainBefore(s.ctx, id, 0); !errors.Is(err, syncserver.ErrNoSpace) {
		s.Fatalf("ChainBefore of no space: %v", err)
	}
	records, next := Batch(s.rng, space.Head{Chain: id}, 1)
	if err := s.log.Append(s.ctx, id, space.Head{Chain: id}, records, next); !errors.Is(err, syncserver.ErrNoSpace) {
		s.Fatalf("Append to no space: %v", err)
	}
	for i, signature := range [][]byte{[]byte("first"), []byte("second")} {
		created, err := s.log.Create(s.ctx, &g, signature)
		if err != nil || created != (i == 0) {
			s.Fatalf("Create number %d = %v, %v", i+1, created, err)
		}
	}
	got, signature, err := s.log.Genesis(s.ctx, id)
	if err != nil || got.ID() != id || got.Creator != g.Creator || !bytes.Equal(got.Params, g.Params) || string(signature) != "first" {
		s.Fatalf("Genesis = %+v, %q, %v", got, signature, err)
	}
	if head, err := s.log.Head(s.ctx, id); err != nil || head != (space.Head{Chain: id}) {
		s.Fatalf("Head of a new space = %+v, %v", head, err)
	}
	if page, err := s.log.Read(s.ctx, id, 0, 10, 10); err != nil || len(page) != 0 {
		s.Fatalf("Read of a new space = %v, %v", page, err)
	}
}

func testSpaces(s *suite) {
	counts, err := s.log.Modules(s.ctx)
	if s.must("Modules", err); len(counts) > 0 {
		s.Fatalf("Modules of no spaces = %v", counts)
	}
	var want []space.ID
	for range 50 {
		want = append(want, s.space().id)
	}
	slices.SortFunc(want, func(a, b space.ID) int { return bytes.Compare(a[:], b[:]) })
	for _, limit := range []int{1, 7, 50, 51} {
		var got []space.ID
		var after space.ID
		for {
			ids, err := s.log.Spaces(s.ctx, after, limit)
			s.must("Spaces", err)
			if len(ids) > limit {
				s.Fatalf("Spaces returned %d with limit %d", len(ids), limit)
			}
			if len(ids) == 0 {
				break
			}
			got = append(got, ids...)
			after = ids[len(ids)-1]
		}
		if !slices.Equal(got, want) {
			s.Fatalf("Spaces in pages of %d differ from what was created", limit)
		}
	}
	first := NewGenesis(s.rng)
	for range 3 {
		genesis := NewGenesis(s.rng)
		genesis.Module = first.Module
		_, err := s.log.Create(s.ctx, &genesis, nil)
		s.must("Create", err)
	}
	if counts, err = s.log.Modules(s.ctx); err != nil || len(counts) != 51 || counts[first.Module] != 3 {
		s.Fatalf("Modules = %d of %d modules, %v", counts[first.Module], len(counts), err)
	}
}

func testAppendAndRead(s *suite) {
	a, b := s.space(), s.space()
	var inA, inB []space.Record
	for range 40 {
		inA = append(inA, s.append(a, 1+s.rng.IntN(4), 1)...)
		inB = append(inB, s.append(b, 1+s.rng.IntN(30))...)
	}
	s.check(s.log, a, inA)
	s.check(s.log, b, inB)
	for _, a := range []*author{a, b} {
		if head, err := s.log.Head(s.ctx, a.id); err != nil || head != a.head {
			s.Fatalf("Head = %+v, %v; want %+v", head, err, a.head)
		}
	}
}

// testBadAppends: an append that would make a hole or half a transaction fails whatever the log holds.
func testBadAppends(s *suite) {
	a := s.space()
	want := s.append(a, 3)
	good, next := a.batch(2, 3)
	for name, spoil := range map[string]func(records []space.Record, next *space.Head) []space.Record{
		"no records":         func(_ []space.Record, next *space.Head) []space.Record { *next = a.head; return nil },
		"half a transaction": func(r []space.Record, next *space.Head) []space.Record { next.Seq--; return r[:len(r)-1] },
		"no beginning":       func(r []space.Record, next *space.Head) []space.Record { next.Seq--; return r[1:] },
		"a hole":             func(r []space.Record, _ *space.Head) []space.Record { r[3].Seq++; return r },
		"a wrong next head":  func(r []space.Record, next *space.Head) []space.Record { next.Seq++; return r },
		"a wrong count":      func(r []space.Record, _ *space.Head) []space.Record { r[3].Count = 9; return r },
		"a wrong index":      func(r []space.Record, _ *space.Head) []space.Record { r[2].Index = 1; return r },
	} {
		wrongNext := next
		records := spoil(slices.Clone(good), &wrongNext)
		if err := s.log.Append(s.ctx, a.id, a.head, records, wrongNext); err == nil {
			s.Fatalf("an append with %s was stored", name)
		}
	}
	// The log must compare the whole head, not only its number.
	for _, wrong := range []space.Head{
		{Seq: a.head.Seq, Chain: a.head.Chain, ReceivedAt: a.head.ReceivedAt + 1},
		{Seq: a.head.Seq, Chain: digest.Of([]byte("another branch")), ReceivedAt: a.head.ReceivedAt},
	} {
		if actual := headError(s.log.Append(s.ctx, a.id, wrong, good, next)); actual == nil || *actual != a.head {
			s.Fatalf("an append on another branch: %v", actual)
		}
	}
	s.check(s.log, a, want)
	s.must("Append", s.log.Append(s.ctx, a.id, a.head, good, next))
	s.check(s.log, a, append(want, good...))
}

// testResend: the same call again is a HeadError whose head is the one that the call wanted, never a KnownError:
// that is how a caller learns that its earlier call succeeded.
func testResend(s *suite) {
	a := s.space()
	want := s.append(a, 2)
	previous := a.head
	records := s.append(a, 1, 2)
	want = append(want, records...)
	for range 3 {
		actual := headError(s.log.Append(s.ctx, a.id, previous, records, a.head))
		if actual == nil || *actual != a.head {
			s.Fatalf("re-send: head %+v, want %+v", actual, a.head)
		}
	}
	s.check(s.log, a, want)
}

func testKnownIDs(s *suite) {
	a := s.space()
	want := s.append(a, 2, 3)

	records, next := a.batch(1, 40)
	records[20].ID, records[30].ID = want[1].ID, want[4].ID
	got := knownError(s.log.Append(s.ctx, a.id, a.head, records, next))
	if !slices.Equal(got, []space.ULID{want[1].ID, want[4].ID}) {
		s.Fatalf("stored ids: %v", got)
	}
	records, next = a.batch(2, 2)
	records[3].ID = records[0].ID
	if got := knownError(s.log.Append(s.ctx, a.id, a.head, records, next)); !slices.Equal(got, []space.ULID{records[0].ID}) {
		s.Fatalf("an id twice: %v", got)
	}
	s.check(s.log, a, want)

	// What was refused left nothing behind: its other ids are free.
	records[3].ID = newULID(s.rng)
	s.must("Append", s.log.Append(s.ctx, a.id, a.head, records, next))
	a.head = headAfter(a.head.Chain, records)
	if a.head == next {
		s.Fatal("the test did not change the chain")
	}
	known, err := s.log.Known(s.ctx, a.id, []space.ULID{records[3].ID, newULID(s.rng), want[0].ID, records[3].ID})
	s.must("Known", err)
	third := syncserver.Known{Seq: 9, Index: 1, Count: 2, Author: records[3].Author}
	if len(known) != 4 || known[0] != third || known[1] != (syncserver.Known{}) || known[2].Seq != 1 || known[3] != third {
		s.Fatalf("Known = %+v", known)
	}
}

func testSameIDInTwoSpaces(s *suite) {
	a, b := s.space(), s.space()
	records := s.append(a, 3)
	b.head = headAfter(b.id, records)
	s.must("Append to the other space", s.log.Append(s.ctx, b.id, space.Head{Chain: b.id}, records, b.head))
	s.check(s.log, a, records)
	s.check(s.log, b, records)
}

// testLargestSizes: the largest payload and the largest transaction that the wire lets through.
func testLargestSizes(s *suite) {
	a := s.space()
	var want []space.Record
	for _, size := range []struct{ events, payload int }{{1, 256 << 10}, {4, 256 << 10}, {1024, 1024}, {1024, 0}} {
		records, _ := a.batch(size.events)
		for i := range records {
			records[i].Payload = randomBytes(s.rng, size.payload)
		}
		next := headAfter(a.head.Chain, records)
		s.must("Append", s.log.Append(s.ctx, a.id, a.head, records, next))
		a.head = next
		want = append(want, records...)
	}
	wide, _ := a.batch(1)
	for _, field := range []*string{&wide[0].Author, &wide[0].Type, &wide[0].API, &wide[0].ClientVersion} {
		*field = string(bytes.Repeat([]byte("\x00é\xff"), 80))
	}
	wide[0].ReceivedAt = math.MaxInt64
	for i := range wide[0].Schema {
		wide[0].Schema[i] = 0xff
	}
	next := headAfter(a.head.Chain, wide)
	s.must("Append", s.log.Append(s.ctx, a.id, a.head, wide, next))
	s.check(s.log, a, append(want, wide...))
}

// testLastNumbers: the last number of a space is 2^32-1, and what follows is refused without harm.
func testLastNumbers(s *suite) {
	if s.SetHead == nil {
		s.Skip("this log cannot set a head")
	}
	a, neighbour := s.space(), s.space()
	near := s.append(neighbour, 2)
	a.head = space.Head{Seq: space.MaxSeq - 5, Chain: digest.Of([]byte("long")), ReceivedAt: 1}
	s.SetHead(a.id, a.head)
	start := a.head
	want := s.append(a, 2, 1)
	want = append(want, s.append(a, 2)...)
	if a.head.Seq != space.MaxSeq {
		s.Fatalf("the test ends at %d", a.head.Seq)
	}
	records, next := a.batch(1)
	if err := s.log.Append(s.ctx, a.id, a.head, records, next); err == nil {
		s.Fatal("a number above 2^32-1 was stored")
	}
	page, err := s.log.Read(s.ctx, a.id, start.Seq, 100, 1<<20)
	s.must("Read", err)
	s.same(page, want)
	page, err = s.log.Read(s.ctx, a.id, space.MaxSeq, 100, 1<<20)
	if err != nil || len(page) != 0 {
		s.Fatalf("Read after the last number = %v, %v", page, err)
	}
	known, err := s.log.Known(s.ctx, a.id, []space.ULID{want[4].ID})
	if err != nil || known[0].Seq != space.MaxSeq {
		s.Fatalf("Known = %+v, %v", known, err)
	}
	s.check(s.log, neighbour, near)
	s.append(neighbour, 1)
}
