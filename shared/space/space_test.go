package space

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"skerry/shared/digest"
)

func exampleGenesis() Genesis {
	return Genesis{
		Stamp: mustULID("01ARZ3NDEKTSV4RRFFQ69G5FAV"), Creator: "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
		Module: digest.Of([]byte("module")), Params: []byte{0x80},
	}
}

func exampleTransaction() Transaction {
	return Transaction{
		Author: "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK", API: "1.0.0", ClientVersion: "2.3.4",
		Events: []Event{
			{ID: mustULID("01ARZ3NDEKTSV4RRFFQ69G5FAV"), Type: "todo.added", Schema: Schema{1, 2, 3, 4, 5, 6, 7, 8}, Payload: []byte("milk")},
			{ID: mustULID("01ARZ3NDEKTSV4RRFFQ69G5FAW"), Type: "todo.checked"},
		},
	}
}

func mustULID(text string) ULID {
	id, err := ParseULID(text)
	if err != nil {
		panic(err)
	}
	return id
}

// change is one field of a value made different.
type change[T any] struct {
	name  string
	apply func(*T)
}

// distinct fails unless every change gives a hash of its own.
func distinct[T any](t *testing.T, example func() T, hash func(*T) digest.Digest, changes []change[T]) {
	t.Helper()
	first := example()
	seen := map[digest.Digest]string{hash(&first): "the unchanged value"}
	for _, c := range changes {
		value := example()
		c.apply(&value)
		sum := hash(&value)
		if other, ok := seen[sum]; ok {
			t.Errorf("%s: the same hash as %s", c.name, other)
		}
		seen[sum] = c.name
	}
}

func TestGenesisIDCoversEveryField(t *testing.T) {
	changes := []change[Genesis]{
		{"creator shorter", func(g *Genesis) { g.Creator = g.Creator[:len(g.Creator)-1] }},
		{"creator empty", func(g *Genesis) { g.Creator = "" }},
		{"creator of other case", func(g *Genesis) { g.Creator = "D" + g.Creator[1:] }},
		{"params empty", func(g *Genesis) { g.Params = nil }},
		{"params longer", func(g *Genesis) { g.Params = append(g.Params, 0) }},
		{"params in a two-byte length", func(g *Genesis) { g.Params = make([]byte, 64) }},
		{"params in a four-byte length", func(g *Genesis) { g.Params = make([]byte, 1<<14) }},
	}
	for i := range len(ULID{}) {
		changes = append(changes, change[Genesis]{fmt.Sprint("stamp byte ", i), func(g *Genesis) { g.Stamp[i] ^= 1 }})
	}
	for i := range digest.Size {
		changes = append(changes, change[Genesis]{fmt.Sprint("module byte ", i), func(g *Genesis) { g.Module[i] ^= 0x80 }})
	}
	distinct(t, exampleGenesis, (*Genesis).ID, changes)
}

func TestTransactionDigestCoversEveryField(t *testing.T) {
	id := digest.Of([]byte("space"))
	distinct(t, exampleTransaction, func(tx *Transaction) digest.Digest { return TransactionDigest(id, tx) }, []change[Transaction]{
		{"author", func(tx *Transaction) { tx.Author += "x" }},
		{"api", func(tx *Transaction) { tx.API = "1.0.1" }},
		{"client_version", func(tx *Transaction) { tx.ClientVersion = "" }},
		{"api and client_version exchanged", func(tx *Transaction) { tx.API, tx.ClientVersion = tx.ClientVersion, tx.API }},
		{"a byte moved from author to api", func(tx *Transaction) {
			tx.API = tx.Author[len(tx.Author)-1:] + tx.API
			tx.Author = tx.Author[:len(tx.Author)-1]
		}},
		{"fewer events", func(tx *Transaction) { tx.Events = tx.Events[:1] }},
		{"no events", func(tx *Transaction) { tx.Events = nil }},
		{"other order", func(tx *Transaction) { tx.Events[0], tx.Events[1] = tx.Events[1], tx.Events[0] }},
		{"event id", func(tx *Transaction) { tx.Events[1].ID[15] ^= 1 }},
		{"event type", func(tx *Transaction) { tx.Events[0].Type = "todo.Added" }},
		{"schema", func(tx *Transaction) { tx.Events[0].Schema[7] = 0 }},
		{"payload", func(tx *Transaction) { tx.Events[0].Payload = []byte("milK") }},
		{"payload empty", func(tx *Transaction) { tx.Events[0].Payload = nil }},
	})
	tx := exampleTransaction()
	if TransactionDigest(id, &tx) == TransactionDigest(digest.Of(nil), &tx) {
		t.Error("the digest does not depend on the space")
	}
}

func TestChainCoversEveryField(t *testing.T) {
	previous := digest.Of([]byte("before"))
	example := func() Record { tx := exampleTransaction(); return tx.Records(7, 1_700_000_000_000)[0] }
	distinct(t, example, func(r *Record) digest.Digest { return Chain(previous, r) }, []change[Record]{
		{"seq", func(r *Record) { r.Seq++ }},
		{"received_at", func(r *Record) { r.ReceivedAt++ }},
		{"index", func(r *Record) { r.Index++ }},
		{"count", func(r *Record) { r.Count++ }},
		{"id", func(r *Record) { r.ID[0] ^= 1 }},
		{"schema", func(r *Record) { r.Schema = Schema{} }},
		{"payload", func(r *Record) { r.Payload = nil }},
		{"author", func(r *Record) { r.Author = "" }},
		{"type", func(r *Record) { r.Type += "." }},
		{"author and type exchanged", func(r *Record) { r.Author, r.Type = r.Type, r.Author }},
		{"api", func(r *Record) { r.API = "1.1.0" }},
		{"client_version", func(r *Record) { r.ClientVersion = "1" }},
	})
	if r := example(); Chain(previous, &r) == Chain(digest.Of(nil), &r) {
		t.Error("the chain does not depend on what is before")
	}
}

func TestSealCoversEverything(t *testing.T) {
	secret, id, chain := [32]byte{1}, digest.Of([]byte("space")), digest.Of([]byte("chain"))
	seals := map[digest.Digest]bool{
		Seal(secret, id, 1, chain):              true,
		Seal([32]byte{}, id, 1, chain):          true,
		Seal(secret, chain, 1, chain):           true,
		Seal(secret, id, 2, chain):              true,
		Seal(secret, id, 1, id):                 true,
		Seal(secret, id, 1<<32, chain):          true,
		Seal(secret, chain, 1, id):              true,
		digest.Keyed(secret, id[:]):             true,
		digest.Of(append(id[:], 1)):             true,
		Seal(secret, id, 1<<8, chain):           true,
		Seal(secret, id, 0, chain):              true,
		Seal(secret, id, 1<<24|1, id):           true,
		Seal(secret, Start(id).Chain, 3, chain): true,
	}
	if len(seals) != 13 {
		t.Errorf("only %d of 13 seals differ", len(seals))
	}
}

func TestFoldIsChainOverAndOver(t *testing.T) {
	id := digest.Of([]byte("space"))
	tx := exampleTransaction()
	records := append(tx.Records(1, 5), tx.Records(3, 6)...)
	want := id
	for i := range records {
		want = Chain(want, &records[i])
	}
	if got := Fold(id, records); got != want {
		t.Errorf("Fold = %v, want %v", got, want)
	}
	if got := Fold(Fold(id, records[:2]), records[2:]); got != want {
		t.Errorf("Fold in two steps = %v, want %v", got, want)
	}
	if got := Fold(id, nil); got != id {
		t.Errorf("Fold of nothing = %v, want %v", got, id)
	}
}

func TestRecordsAndBack(t *testing.T) {
	tx := exampleTransaction()
	records := tx.Records(41, 99)
	for i, r := range records {
		if r.Seq != 41+uint64(i) || r.ReceivedAt != 99 || r.Index != uint32(i) || r.Count != 2 || r.Last() != (i == 1) {
			t.Errorf("record %d: %+v", i, r)
		}
	}
	if back := TransactionOf(records); !reflect.DeepEqual(back, tx) {
		t.Errorf("TransactionOf(Records) = %+v", back)
	}
	if tx.ID() != tx.Events[0].ID || (&Transaction{}).ID() != (ULID{}) || len(TransactionOf(nil).Events) != 0 {
		t.Error("ID or the empty transaction is wrong")
	}
}

func TestMessagesNameTheirPurpose(t *testing.T) {
	id := digest.Of([]byte("space"))
	if got, want := GenesisMessage(id), append([]byte("skerry.genesis.1"), id[:]...); !bytes.Equal(got, want) {
		t.Errorf("GenesisMessage = %x, want %x", got, want)
	}
	if bytes.Equal(ProofMessage([32]byte{1}, [32]byte{2}, "a"), ProofMessage([32]byte{1}, [32]byte{2}, "b")) {
		t.Error("ProofMessage does not depend on the host")
	}
}

func BenchmarkGenesisID(b *testing.B) {
	g := exampleGenesis()
	b.ReportAllocs()
	for b.Loop() {
		g.ID()
	}
}

func BenchmarkTransactionDigest(b *testing.B) {
	id := digest.Of([]byte("space"))
	for _, events := range []int{1, 10, 1000} {
		tx := exampleTransaction()
		tx.Events = nil
		for range events {
			tx.Events = append(tx.Events, Event{Type: "todo.added", Payload: make([]byte, 200)})
		}
		b.Run(fmt.Sprint(events), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				TransactionDigest(id, &tx)
			}
		})
	}
}

func BenchmarkChain(b *testing.B) {
	tx := exampleTransaction()
	tx.Events[0].Payload = make([]byte, 200)
	r := tx.Records(1, 1)[0]
	chain := digest.Of([]byte("space"))
	b.ReportAllocs()
	for b.Loop() {
		chain = Chain(chain, &r)
	}
}

func BenchmarkSeal(b *testing.B) {
	id := digest.Of([]byte("space"))
	b.ReportAllocs()
	for b.Loop() {
		Seal([32]byte{1}, id, 1, id)
	}
}
