//go:build !js

package idbstore

import (
	"bytes"
	"reflect"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/replica"
)

// FuzzDecode gives damaged values: they may fail but not panic.
func FuzzDecode(f *testing.F) {
	transaction := testTransaction()
	for _, row := range testSpaceRows() {
		f.Add(appendSpaceRow(nil, &row))
	}
	f.Add(appendOutboxRow(nil, &replica.OutboxRow{Transaction: transaction}))
	f.Add(appendRejectedRow(nil, &replica.RejectedRow{Transaction: transaction}))
	f.Add(appendNumber(1 << 60))
	f.Add(appendText([]byte("text")))
	f.Add(appendSegment(nil, digest.Of(nil), []byte{1}))
	f.Add(appendCheckpoint(nil, []digest.Digest{{1}, {2}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for n := range len(b) + 1 {
			decodeSpaceRow(b[:n])
			decodeOutboxRow(b[:n], 1)
			decodeRejectedRow(b[:n])
			decodeNumber(b[:n:n])
			decodeText(b[:n:n])
			decodeSegment(b[:n])
			decodeCheckpoint(b[:n:n])
		}
		if names := decodeCheckpoint(b); len(names) > 0 && !bytes.Equal(appendCheckpoint(nil, names), b) {
			t.Fatalf("the checkpoint %x is read as %v", b, names)
		}
		if row, err := decodeSpaceRow(b); err == nil {
			again, err := decodeSpaceRow(appendSpaceRow(nil, &row))
			if err != nil || !reflect.DeepEqual(again, row) {
				t.Fatalf("%+v is read again as %+v, %v", row, again, err)
			}
		}
	})
}
