package storetest

import (
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/wasmclient"
)

// testEncoded reads encoded records, at random and one page after the other, while another handle goes on writing
// and merging: read compares each with what Read returns. Other tests do so too, by read.
func testEncoded(s *suite) {
	h, writer := s.open(), s.open()
	if _, ok := h.Store.(wasmclient.EncodedReader); !ok {
		s.Skip("this store does not read encoded records")
	}
	random := s.random()
	f, other := newFeed(1), newFeed(2)
	steps := 60
	if soak() {
		steps = 2000
	}
	next := uint64(0) // of a reader that goes on
	for i := range steps {
		run := f.runOf(1+random.IntN(40), random.IntN(300))
		switch {
		case i == steps/2: // a position beyond the records, which leaves a hole
			run.Records, run.First, run.Last, run.Settle = nil, 0, 0, nil
			writer.change(run)
		case i%3 == 0:
			writer.change(run, other.runOf(1+random.IntN(5), 20))
		default:
			h.change(run)
		}
		total := int(f.position.Seq)
		for range 5 {
			h.read(f.id, uint64(random.IntN(total+3)), random.IntN(total+3), random.IntN(1+random.IntN(total*400)))
		}
		if i%4 == 0 {
			h.read(other.id, uint64(random.IntN(3)), 10, 1<<20)
		}
		for range 3 {
			if got := h.read(f.id, next, 1+random.IntN(30), 1+random.IntN(8000)); len(got) > 0 {
				next = got[len(got)-1].Seq
			}
		}
	}
	for {
		got := h.read(f.id, next, 50, 8000)
		if len(got) == 0 {
			break
		}
		next = got[len(got)-1].Seq
	}
	if next != f.position.Seq {
		s.Fatalf("reading went to number %d of %d", next, f.position.Seq)
	}
	// What was kept of records that are given up is not read.
	back := f.position
	h.read(f.id, next-10, 3, 1<<20)
	back.Seq -= 5
	back.Chain = space.Fold(f.id, f.records[:back.Seq])
	h.change(replica.SpaceCommit{Space: f.id, Expect: &f.position, Position: &back, Cut: true})
	h.read(f.id, next-7, 3, 1<<20)
	h.read(f.id, next-4, 10, 1<<20)
}
