package logtest

import (
	"skerry/shared/space"
)

// page is what Read must return from all, by the words of the interface.
func page(all []space.Record, after uint64, maxRecords, maxBytes int) []space.Record {
	var rest []space.Record
	for _, r := range all {
		if r.Seq > after {
			rest = append(rest, r)
		}
	}
	best, size := 0, 0
	for i := range rest {
		size += rest[i].Size()
		if end := i + 1; rest[i].Last() && (best == 0 || end <= maxRecords && size <= maxBytes) {
			best = end
		}
	}
	return rest[:best]
}

// testPaging reads from every position with every limit on records, and with every limit on bytes at which the
// answer changes.
func testPaging(s *suite) {
	a := s.space()
	var all []space.Record
	for _, sizes := range [][]int{{1}, {3}, {1, 1, 2}, {5}, {1}, {2, 4}} {
		all = append(all, s.append(a, sizes...)...)
	}
	read := func(after uint64, maxRecords, maxBytes int) {
		s.Helper()
		got, err := s.log.Read(s.ctx, a.id, after, maxRecords, maxBytes)
		s.must("Read", err)
		want := page(all, after, maxRecords, maxBytes)
		if len(got) != len(want) {
			s.Fatalf("Read(after %d, %d records, %d bytes) = %d records, want %d", after, maxRecords, maxBytes, len(got), len(want))
		}
		s.same(got, want)
	}
	n := len(all)
	for after := range n + 2 {
		for maxRecords := range n + 2 {
			read(uint64(after), maxRecords, 1<<30)
		}
		size := 0
		for i := min(after, n); i < n; i++ {
			size += all[i].Size()
			for _, maxBytes := range []int{0, size - 1, size, size + 1} {
				read(uint64(after), n, maxBytes)
			}
		}
	}
	read(1<<40, 10, 10)

	// Long spaces in long transactions: pages cross whatever an implementation reads at a time.
	b := s.space()
	var long []space.Record
	for _, size := range []int{499, 1, 1, 500, 501, 1000, 1024, 2} {
		long = append(long, s.append(b, size)...)
	}
	all, a = long, b
	for _, after := range []uint64{0, 1, 499, 500, 1001} {
		for _, maxRecords := range []int{1, 499, 500, 501, 1001, 10_000} {
			read(after, maxRecords, 1<<30)
		}
	}
	s.check(s.log, b, long)
}

func testChainBefore(s *suite) {
	a := s.space()
	want := []space.Position{space.Start(a.id)} // indexed by number
	for _, sizes := range [][]int{{1}, {3}, {1, 2}, {600}, {1}} {
		before := want[len(want)-1]
		s.append(a, sizes...)
		for uint64(len(want)) < a.head.Seq {
			want = append(want, before)
		}
		want = append(want, a.head.Position())
	}
	other := s.space() // whatever is stored next to a must not shine through
	s.append(other, 2)
	want = append(want, a.head.Position(), a.head.Position())
	for seq := range want {
		got, err := s.log.ChainBefore(s.ctx, a.id, uint64(seq))
		if err != nil || got != want[seq] {
			s.Fatalf("ChainBefore(%d) = %d, %v; want %d", seq, got.Seq, err, want[seq].Seq)
		}
	}
	if got, err := s.log.ChainBefore(s.ctx, a.id, 1<<40); err != nil || got != a.head.Position() {
		s.Fatalf("ChainBefore(1<<40) = %d, %v", got.Seq, err)
	}
	if got, err := s.log.ChainBefore(s.ctx, other.id, 1); err != nil || got != space.Start(other.id) {
		s.Fatalf("ChainBefore(1) in the middle of the first append = %d, %v", got.Seq, err)
	}
}
