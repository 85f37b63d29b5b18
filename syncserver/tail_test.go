package syncserver

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// TestTail compares what a tail gives with what the records themselves give, for every place in it.
func TestTail(t *testing.T) {
	id := digest.Of([]byte("a space"))
	config := hub.Config{
		Seal: func(id space.ID, seq uint64, chain digest.Digest) digest.Digest {
			return space.Seal([32]byte{1}, id, seq, chain)
		},
		CheckSeal: func(space.ID, *space.Position) bool { return false },
	}.Complete()
	var all []space.Record
	chains := []digest.Digest{id} // chains[n] is after record n
	tail := newTail(space.Start(id))
	head := space.Head{Chain: id}
	for len(all) < 3000 {
		var batch []space.Record
		for range 1 + rand.IntN(5) {
			tx := space.Transaction{Author: "alice", API: "1.0.0"}
			for range 1 + rand.IntN(4) {
				tx.Events = append(tx.Events, space.Event{Type: "note", Payload: make([]byte, rand.IntN(1000))})
			}
			batch = append(batch, tx.Records(uint64(len(all)+len(batch)+1), 7)...)
		}
		for i := range batch {
			chains = append(chains, space.Chain(chains[len(chains)-1], &batch[i]))
		}
		all = append(all, batch...)
		if !tail.endsAt(head) {
			t.Fatal("the tail does not end at the head")
		}
		tail.add(batch, tailBytes)
		head = space.Head{Seq: uint64(len(all)), Chain: chains[len(all)]}
		if len(tail.encoded) > tailBytes {
			t.Fatalf("the tail holds %d bytes", len(tail.encoded))
		}
	}
	if tail.before.Seq == 0 {
		t.Fatal("the tail was never trimmed")
	}
	hits := 0
	for after := range uint64(len(all)) {
		maxBytes, maxRecords := 1+rand.IntN(20_000), 1+rand.IntN(50)
		read := hub.ReadEvents{Until: math.MaxUint64, Space: id, After: after, Chain: chains[after], MaxRecords: maxRecords, MaxBytes: maxBytes}
		result, ok := tail.read(config, &read)
		end := after > 0 && !all[after-1].Last()
		if (after < tail.before.Seq || end) && ok {
			t.Fatalf("the tail begins at %d but knows what follows on %d", tail.before.Seq, after)
		} else if !ok {
			if after >= tail.before.Seq && !end {
				t.Fatalf("the tail does not know what follows on %d", after)
			}
			continue
		}
		hits++
		n := result.Position.Seq
		want := wire.Append(nil, &wire.Events{Space: id, Records: all[after:n], Position: result.Position})
		if !bytes.Equal(result.Message, want) || result.Position.Chain != chains[n] || !all[n-1].Last() || result.Head != head.Seq {
			t.Fatalf("the message after %d is wrong", after)
		}
		if first := int(after) + int(all[after].Count); int(n) > first && (int(n-after) > maxRecords || len(want) > maxBytes+200) {
			t.Fatalf("%d records and %d bytes, at most %d and %d", n-after, len(want), maxRecords, maxBytes)
		}
		again, _ := tail.read(config, &read)
		if &again.Message[0] != &result.Message[0] {
			t.Fatal("equal places got messages of their own")
		}
		read.Chain[0]++
		if _, ok := tail.read(config, &read); ok {
			t.Fatal("another history got these records")
		}
	}
	if hits < 50 {
		t.Fatalf("the tail knew %d places", hits)
	}
	read := hub.ReadEvents{Until: head.Seq, Space: id, After: head.Seq, Chain: head.Chain}
	if result, ok := tail.read(config, &read); !ok || len(result.Message) != 0 || result.Head != head.Seq {
		t.Errorf("at the head: %+v, %v", result, ok)
	}
	read.Until++
	if result, ok := tail.read(config, &read); ok {
		t.Errorf("the log has more than the tail: %+v", result)
	}
}
