package wasmclient

import "testing"

// TestKeeps: a checkpoint is kept at a place, when as much was applied since the last one as its tables are worth, and if they are not
// too large for a device to keep.
func TestKeeps(t *testing.T) {
	const most = keepMost
	for _, c := range []struct {
		kept, seq uint64
		bytes     int
		want      bool
	}{
		{0, 999, 0, false},
		{0, 1000, 0, true},
		{1000, 1999, 0, false},
		{3000, 5000, 2000 * keepBytes, true},
		{3000, 5000, 2001 * keepBytes, false},
		{0, 1000, most, true}, // the first is not waited for
		{3000, 5999, most, false},
		{3000, 6000, most, true}, // twice as long
		{0, 66_000, most + 1, false},
		{0, 1_000_000, most + 1, false},
	} {
		if got := keeps(c.kept, c.seq, c.bytes); got != c.want {
			t.Errorf("after %d one of record %d, of %d bytes, is kept: %v", c.kept, c.seq, c.bytes, got)
		}
	}
}
