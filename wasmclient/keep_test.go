package wasmclient

import (
	"testing"

	"skerry/shared/replica"
)

// TestKeeps: a checkpoint is kept at a place, when as much was applied since the last one as its tables are worth, and if they are not
// too large for a device to keep.
func TestKeeps(t *testing.T) {
	const most = replica.MaxCheckpoint
	for _, c := range []struct {
		kept, seq uint64
		bytes     int
		want      bool
	}{
		{0, 999, 0, false},
		{0, 1000, 0, true},
		{1000, 1999, 0, false},
		{1000, 2000, 1000 * keepBytes, true},
		{1000, 2000, 1001 * keepBytes, false},
		{0, most/keepBytes - 1, most, false},
		{0, most / keepBytes, most, true},
		{0, 66_000, most + 1, false},
		{0, 1_000_000, most + 1, false},
	} {
		if got := keeps(c.kept, c.seq, c.bytes); got != c.want {
			t.Errorf("after %d one of record %d, of %d bytes, is kept: %v", c.kept, c.seq, c.bytes, got)
		}
	}
}
