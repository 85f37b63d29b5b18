package logtest

import (
	"encoding/binary"
	"math/rand/v2"

	"skerry/shared/space"
)

// author makes the history of one space: its genesis, and batches that follow on a head.
type author struct {
	rng     *rand.Rand
	genesis space.Genesis
	id      space.ID
	head    space.Head
}

// NewGenesis returns a random genesis.
func NewGenesis(rng *rand.Rand) space.Genesis {
	g := space.Genesis{Stamp: newULID(rng), Creator: "did:key:z6Mk" + string('a'+rune(rng.IntN(26))), Params: randomBytes(rng, rng.IntN(40))}
	copy(g.Module[:], randomBytes(rng, len(g.Module)))
	return g
}

func newAuthor(rng *rand.Rand) *author {
	a := &author{rng: rng, genesis: NewGenesis(rng)}
	a.id = a.genesis.ID()
	a.head = space.Head{Chain: a.id}
	return a
}

// batch returns transactions of the given sizes as records that follow on a's head, and the head after them. It
// does not move a's head.
func (a *author) batch(sizes ...int) ([]space.Record, space.Head) {
	return Batch(a.rng, a.head, sizes...)
}

// Batch returns random transactions of the given sizes as the records that follow on head, and the head after
// them.
func Batch(rng *rand.Rand, head space.Head, sizes ...int) ([]space.Record, space.Head) {
	var records []space.Record
	for _, size := range sizes {
		t := space.Transaction{
			Author:        "did:key:z6Mk" + string('a'+rune(rng.IntN(26))),
			API:           "1.0.0",
			ClientVersion: []string{"", "app 1.2", "app 1.3"}[rng.IntN(3)],
			Events:        make([]space.Event, size),
		}
		for i := range t.Events {
			e := &t.Events[i]
			e.ID = newULID(rng)
			e.Type = []string{"", "note", "note.edited", "$module"}[rng.IntN(4)]
			e.Payload = randomBytes(rng, rng.IntN(64))
			if rng.IntN(2) == 0 {
				copy(e.Schema[:], randomBytes(rng, len(e.Schema)))
			}
		}
		receivedAt := max(head.ReceivedAt, 1_700_000_000_000) + rng.Uint64N(1000)
		records = append(records, t.Records(head.Seq+1, receivedAt)...)
		head.Seq += uint64(size)
		head.ReceivedAt = receivedAt
	}
	return records, headAfter(head.Chain, records)
}

// headAfter returns the head after records, which follow on the chain value previous.
func headAfter(previous space.ID, records []space.Record) space.Head {
	last := &records[len(records)-1]
	return space.Head{Seq: last.Seq, Chain: space.Fold(previous, records), ReceivedAt: last.ReceivedAt}
}

// rebase returns records as they would follow on head instead, and the head after them.
func rebase(head space.Head, records []space.Record) ([]space.Record, space.Head) {
	moved := append([]space.Record(nil), records...)
	for i := range moved {
		moved[i].Seq = head.Seq + 1 + uint64(i)
		moved[i].ReceivedAt = max(moved[i].ReceivedAt, head.ReceivedAt)
	}
	return moved, headAfter(head.Chain, moved)
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n, n+8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:i+8:n+8], rng.Uint64())
	}
	return b
}

func newULID(rng *rand.Rand) (id space.ULID) {
	binary.BigEndian.PutUint64(id[:8], 0x0190_0000_0000_0000|rng.Uint64N(1<<40))
	binary.BigEndian.PutUint64(id[8:], rng.Uint64())
	return id
}
