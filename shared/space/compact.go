package space

import (
	"encoding/binary"
	"errors"
)

// maxCompact is the first length that the compact form cannot carry.
const maxCompact = 1 << 30

// errCompact tells that bytes are not the shortest compact form of a length below 2^30.
var errCompact = errors.New("space: not a compact length in its shortest form")

// AppendCompact appends the SCALE compact form of n (one, two or four bytes) to b. It panics if n does not fit
// in 30 bits: every length that reaches it has passed a limit far below that.
func AppendCompact(b []byte, n int) []byte {
	switch {
	case n < 0 || n >= maxCompact:
		panic("space: length outside the compact form")
	case n < 1<<6:
		return append(b, byte(n)<<2)
	case n < 1<<14:
		return binary.LittleEndian.AppendUint16(b, uint16(n)<<2|1)
	default:
		return binary.LittleEndian.AppendUint32(b, uint32(n)<<2|2)
	}
}

// Compact reads a compact length from the start of b and returns it with the number of bytes it took. A longer
// form than needed is refused, so that one value has one encoding and therefore one hash.
func Compact(b []byte) (n, size int, err error) {
	if len(b) == 0 {
		return 0, 0, errCompact
	}
	switch b[0] & 3 {
	case 0:
		return int(b[0] >> 2), 1, nil
	case 1:
		if len(b) >= 2 {
			if n = int(binary.LittleEndian.Uint16(b) >> 2); n >= 1<<6 {
				return n, 2, nil
			}
		}
	case 2:
		if len(b) >= 4 {
			if n = int(binary.LittleEndian.Uint32(b) >> 2); n >= 1<<14 {
				return n, 4, nil
			}
		}
	}
	return 0, 0, errCompact
}

// appendCompactString appends the length of s in compact form and then s.
func appendCompactString(b []byte, s string) []byte {
	return append(AppendCompact(b, len(s)), s...)
}
