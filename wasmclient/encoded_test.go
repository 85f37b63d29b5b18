//go:build !js

package wasmclient_test

import (
	"bytes"
	"testing"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// wantEncoded fails unless ReadEncoded, over a store that knows no such reading, gives these records, page by page.
func wantEncoded(t *testing.T, s *wasmclient.Space, want []space.Record) {
	t.Helper()
	after := uint64(0)
	for i := 0; ; {
		b, n, last, err := s.ReadEncoded(t.Context(), after, 100, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var encoded []byte
		for _, record := range want[i : i+min(n, len(want)-i)] {
			encoded = wire.AppendRecord(encoded, &record)
		}
		if i += n; !bytes.Equal(b, encoded) || i > len(want) || n > 0 && last != want[i-1].Seq || n == 0 && (last != after || i != len(want)) {
			t.Fatalf("after %d: %d encoded records to number %d, or others than Read gives", after, n, last)
		}
		if n == 0 {
			return
		}
		after = last
	}
}
