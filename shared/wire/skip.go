package wire

import (
	"encoding/binary"
	"math"
)

// What every record has in front of its numbers: an array of 11, or of 12 if it has expired, and a binary of 16 bytes.
const recordHead = 3 + 16

// SkipRecord passes over the record at the front of b without decoding it: it returns the record's number, its
// [space.Record.Size], and how many bytes of b it takes. It allocates nothing. It knows only what [AppendRecord]
// writes; records that are malformed, and those whose elements are fewer, more or of other kinds, which
// [DecodeRecords] may read nevertheless, are [ErrMalformed]. Whether texts are UTF-8 it does not look at.
func SkipRecord(b []byte) (seq uint64, size, n int, err error) {
	if len(b) < recordHead || b[0] != 0x9b && b[0] != 0x9c || b[1] != 0xc4 || b[2] != 16 {
		return 0, 0, 0, ErrMalformed
	}
	seq, n = skipUint(b, recordHead)
	_, n = skipUint(b, n)
	index, n := skipUint(b, n)
	count, n := skipUint(b, n)
	if index > math.MaxUint32 || count > math.MaxUint32 {
		return 0, 0, 0, ErrMalformed
	}
	author, n := skipBytes(b, n, false)
	kind, n := skipBytes(b, n, false)
	schema, n := skipBytes(b, n, true)
	payload, n := skipBytes(b, n, true)
	api, n := skipBytes(b, n, false)
	version, n := skipBytes(b, n, false)
	if n < 0 || schema != 8 {
		return 0, 0, 0, ErrMalformed
	}
	if b[0] == 0x9c {
		if n == len(b) || b[n] != 0xc3 || payload != 32 {
			return 0, 0, 0, ErrMalformed
		}
		payload, n = 0, n+1
	}
	return seq, payload + kind + author + api + version + 64, n, nil
}

// skipUint reads an unsigned integer at a place of b and returns the place behind it, which is negative, now and in
// every later call, if there is none.
func skipUint(b []byte, at int) (value uint64, next int) {
	if at < 0 || at >= len(b) {
		return 0, -1
	}
	c := b[at]
	if c < 0x80 {
		return uint64(c), at + 1
	}
	p := b[at+1:]
	switch {
	case c == 0xcc && len(p) >= 1:
		return uint64(p[0]), at + 2
	case c == 0xcd && len(p) >= 2:
		return uint64(binary.BigEndian.Uint16(p)), at + 3
	case c == 0xce && len(p) >= 4:
		return uint64(binary.BigEndian.Uint32(p)), at + 5
	case c == 0xcf && len(p) >= 8:
		return binary.BigEndian.Uint64(p), at + 9
	}
	return 0, -1
}

// skipBytes passes over a binary or a string at a place of b, and returns its length and the place behind it, which
// is negative as skipUint's is.
func skipBytes(b []byte, at int, binary bool) (length, next int) {
	if at < 0 || at >= len(b) {
		return 0, -1
	}
	c := b[at]
	first := byte(0xd9) // of three codes, for lengths of 1, 2 and 4 bytes
	if binary {
		first = 0xc4
	} else if c&0xe0 == 0xa0 {
		length, next = int(c&0x1f), at+1
		if length > len(b)-next {
			return 0, -1
		}
		return length, next + length
	}
	if c < first || c > first+2 {
		return 0, -1
	}
	width := 1 << (c - first)
	next = at + 1 + width
	if next > len(b) {
		return 0, -1
	}
	claimed := uint64(0)
	for _, digit := range b[at+1 : next] {
		claimed = claimed<<8 | uint64(digit)
	}
	if claimed > uint64(len(b)-next) { // compared before it is an int, which may have 32 bits
		return 0, -1
	}
	return int(claimed), next + int(claimed)
}
