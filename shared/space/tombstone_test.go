package space

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"skerry/shared/digest"
)

// TestTombstone: what is left of records leads to the same chain, and tells of a transaction sent again whether it is the one that was
// there.
func TestTombstone(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	id := digest.Of([]byte("a space"))
	for round := range 100 {
		transaction := Transaction{Author: "alice", API: "1.0.0", ClientVersion: "2.3.4"}
		for i := range 1 + rng.IntN(4) {
			payload := make([]byte, rng.IntN(70))
			for j := range payload {
				payload[j] = byte(rng.Uint32())
			}
			transaction.Events = append(transaction.Events, Event{ID: ULID{byte(round), byte(i)}, Type: "note", Payload: payload})
		}
		records := transaction.Records(7, 1_000)
		left := make([]Record, len(records))
		for i := range records {
			before := records[i]
			left[i] = records[i].Tombstone()
			if again := left[i].Tombstone(); !bytes.Equal(again.Payload, left[i].Payload) || !again.Expired {
				t.Fatal("what has expired expires once")
			}
			if !bytes.Equal(records[i].Payload, before.Payload) || records[i].Expired {
				t.Fatal("the record itself has changed")
			}
			if n := len(records[i].Payload); left[i].Size() != records[i].Size()-n || n != digest.Size && bytes.Equal(left[i].Payload, records[i].Payload) {
				t.Fatalf("of a payload of %d bytes something is left", n)
			}
		}
		if Fold(id, left) != Fold(id, records) {
			t.Fatal("the chain is another one")
		}
		want := TransactionDigest(id, &transaction)
		if RecordsDigest(id, records) != want || RecordsDigest(id, left) != want {
			t.Fatal("the digest of the transaction is another one")
		}
		last := &left[len(left)-1]
		other := digest.Of(last.Payload)
		last.Payload = other[:]
		if RecordsDigest(id, left) == want {
			t.Fatal("another payload was taken for the one that was there")
		}
	}
	if RecordsDigest(id, nil) != TransactionDigest(id, &Transaction{}) {
		t.Error("no records are no transaction")
	}
}
