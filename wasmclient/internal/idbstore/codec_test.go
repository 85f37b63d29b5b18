package idbstore

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

func testTransaction() space.Transaction {
	return space.Transaction{Author: "did:key:a", API: "1.0.0", ClientVersion: "7", Events: []space.Event{
		{ID: space.ULID{1, 15: 2}, Type: "post", Schema: space.Schema{9}, Payload: []byte{0x80}},
		{ID: space.ULID{1, 15: 3}, Type: "post", Payload: []byte{}},
	}}
}

func testSpaceRows() []spaceRow {
	genesis := &space.Genesis{Stamp: space.ULID{5}, Creator: "did:key:c", Module: digest.Of([]byte("m")), Params: []byte{1, 2}}
	return []spaceRow{
		{info: replica.SpaceInfo{Position: space.Start(digest.Of(nil))}},
		{
			info: replica.SpaceInfo{
				Genesis: genesis, GenesisSignature: []byte("sig"), Created: true, Module: digest.Of([]byte("n")),
				Position: space.Position{Seq: 300, Chain: digest.Of([]byte("c")), Seal: digest.Of([]byte("s"))},
			},
			tail: []segment{{first: 1, last: 1, bytes: 300, level: 2}, {first: 2, last: 900, bytes: 70_000}},
		},
	}
}

// TestFormats holds the encodings to what databases out there have: these digests never change.
func TestFormats(t *testing.T) {
	transaction := testTransaction()
	outbox := replica.OutboxRow{Transaction: transaction, Entry: replica.Entry{
		State: replica.Accepted, Position: space.Position{Seq: 1}, AppendedAt: 1000, Code: 40, Reason: "why", RetryAt: 300,
	}}
	rejected := replica.RejectedRow{Transaction: transaction, AppendedAt: 1000, Code: 81, Reason: "no", By: "server"}
	rows := testSpaceRows()
	for _, test := range []struct {
		name    string
		encoded []byte
		want    string
	}{
		{"number", appendNumber(300), "f8561f702af56bc9"},
		{"text", appendText([]byte("abc")), "0c038bbaa34f7e55"},
		{"bare space", appendSpaceRow(nil, &rows[0]), "f9b062b365457003"},
		{"space", appendSpaceRow(nil, &rows[1]), "403811c58cca56a1"},
		{"outbox", appendOutboxRow(nil, &outbox), "f10ccf7119222681"},
		{"rejected", appendRejectedRow(nil, &rejected), "368fad2cf254b7f2"},
		{"segment", appendSegment(nil, digest.Of(nil), []byte{1, 2, 3}), "ee2b79cc7303a083"},
	} {
		sum := digest.Of(test.encoded)
		if got := hex.EncodeToString(sum[:8]); got != test.want {
			t.Errorf("%s: the digest of %x begins %s, want %s", test.name, test.encoded, got, test.want)
		}
	}
}

func TestSpaceRowRoundTrip(t *testing.T) {
	for _, row := range testSpaceRows() {
		got, err := decodeSpaceRow(appendSpaceRow(nil, &row))
		if err != nil || !reflect.DeepEqual(got, row) {
			t.Errorf("got %+v, %v, want %+v", got, err, row)
		}
	}
}

func TestRowsRoundTrip(t *testing.T) {
	transaction := testTransaction()
	entry := replica.Entry{
		Key: 7, ID: transaction.ID(), Author: transaction.Author, Size: transaction.Size(),
		State: replica.Accepted, Position: space.Position{Seq: 9, Chain: digest.Of(nil)}, AppendedAt: 1 << 41,
		Code: 41, Reason: "too fast", RetryAt: 1 << 42,
	}
	for _, row := range []replica.OutboxRow{{Entry: entry, Transaction: transaction}} {
		got, err := decodeOutboxRow(appendOutboxRow(nil, &row), 7)
		if err != nil || got.Entry != row.Entry || !sameTransaction(&got.Transaction, &row.Transaction) {
			t.Errorf("got %+v, %v, want %+v", got, err, row)
		}
	}
	row := replica.RejectedRow{ID: transaction.ID(), Transaction: transaction, AppendedAt: 5, Code: 81, Reason: "no", By: "server"}
	got, err := decodeRejectedRow(appendRejectedRow(nil, &row))
	if err != nil || got.ID != row.ID || got.AppendedAt != 5 || got.Code != 81 || got.Reason != "no" || got.By != "server" || !sameTransaction(&got.Transaction, &transaction) {
		t.Errorf("got %+v, %v, want %+v", got, err, row)
	}
	lost := replica.LostRow{ID: transaction.ID(), Transaction: transaction, ReceivedAt: 5, Code: 81, Reason: "no", By: "server"}
	if encoded := appendLostRow(nil, &lost); !bytes.Equal(encoded, appendRejectedRow(nil, &row)) {
		t.Error("a lost row is laid out in another way than a rejected one")
	}
	if back := lostRow(&got); back.ID != lost.ID || back.ReceivedAt != 5 || back.Code != 81 || back.Reason != "no" || back.By != "server" || !sameTransaction(&back.Transaction, &transaction) {
		t.Errorf("got %+v, want %+v", back, lost)
	}
}

func sameTransaction(a, b *space.Transaction) bool {
	return bytes.Equal(wire.AppendTransaction(nil, a), wire.AppendTransaction(nil, b))
}
