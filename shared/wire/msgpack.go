package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf8"
)

// ErrMalformed tells that bytes are not msgpack, or not the msgpack that the frame calls for.
var ErrMalformed = errors.New("wire: malformed message")

// maxDepth bounds how deep unknown elements may nest before they are refused.
const maxDepth = 16

func appendArray(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0x90|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xdc), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
	}
}

func appendUint(b []byte, n uint64) []byte {
	switch {
	case n < 128:
		return append(b, byte(n))
	case n <= math.MaxUint8:
		return append(b, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, 0xcf), n)
	}
}

func appendBinary(b, p []byte) []byte {
	switch n := len(p); {
	case n <= math.MaxUint8:
		b = append(b, 0xc4, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xc5), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(n))
	}
	return append(b, p...)
}

func appendString(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n <= math.MaxUint8:
		b = append(b, 0xd9, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}

func appendNil(b []byte) []byte { return append(b, 0xc0) }

// reader reads msgpack from the front of rest. The first failure sticks: every later read returns zero.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = ErrMalformed
	}
	r.rest = nil
}

// take consumes n bytes. It compares before it converts, so that no claimed size wraps where int has 32 bits.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	p := r.rest[:n:n]
	r.rest = r.rest[n:]
	return p
}

func (r *reader) byte() byte {
	p := r.take(1)
	if p == nil {
		return 0
	}
	return p[0]
}

// bigEndian reads an unsigned integer of size bytes.
func (r *reader) bigEndian(size uint64) uint64 {
	var n uint64
	for _, c := range r.take(size) {
		n = n<<8 | uint64(c)
	}
	return n
}

// array reads an array's header. Every element takes at least a byte, so a count beyond what is left is a lie,
// and no caller allocates for it.
func (r *reader) array() int {
	c := r.byte()
	var n uint64
	switch {
	case r.err != nil:
		return 0
	case c&0xf0 == 0x90:
		n = uint64(c & 0x0f)
	case c == 0xdc:
		n = r.bigEndian(2)
	case c == 0xdd:
		n = r.bigEndian(4)
	default:
		r.fail()
	}
	if n > uint64(len(r.rest)) {
		r.fail()
		return 0
	}
	return int(n)
}

// arrayOf reads the header of an array whose useful elements take at least size bytes each. One more than fits is
// let through, so that a single empty element gets a verdict; a bomb of empty ones is malformed, because decoded
// they would take many times their bytes.
func (r *reader) arrayOf(size int) int {
	n := r.array()
	if n > len(r.rest)/size+1 {
		r.fail()
		return 0
	}
	return n
}

func (r *reader) uint() uint64 {
	c := r.byte()
	switch {
	case c < 0x80:
		return uint64(c)
	case c >= 0xcc && c <= 0xcf:
		return r.bigEndian(1 << (c - 0xcc))
	case c >= 0xd0 && c <= 0xd3: // a signed form: taken when it is not negative
		size := uint64(1) << (c - 0xd0)
		n := r.bigEndian(size)
		if n>>(8*size-1) == 0 {
			return n
		}
	}
	r.fail()
	return 0
}

func (r *reader) uint32() uint32 {
	n := r.uint()
	if n > math.MaxUint32 {
		r.fail()
		return 0
	}
	return uint32(n)
}

func (r *reader) bool() bool {
	switch r.byte() {
	case 0xc3:
		return true
	case 0xc2:
	default:
		r.fail()
	}
	return false
}

// isNil consumes a nil and reports whether there was one.
func (r *reader) isNil() bool {
	if len(r.rest) > 0 && r.rest[0] == 0xc0 {
		r.rest = r.rest[1:]
		return true
	}
	return false
}

// binary reads a binary value, which aliases the message. Nil reads as empty.
func (r *reader) binary() []byte {
	switch r.byte() {
	case 0xc4:
		return r.take(r.bigEndian(1))
	case 0xc5:
		return r.take(r.bigEndian(2))
	case 0xc6:
		return r.take(r.bigEndian(4))
	case 0xc0:
	default:
		r.fail()
	}
	return nil
}

// fixed reads a binary value of exactly len(into) bytes, or an empty one, which leaves into zero.
func (r *reader) fixed(into []byte) {
	p := r.binary()
	if len(p) == len(into) {
		copy(into, p)
	} else if len(p) != 0 {
		r.fail()
	}
}

// string reads a string, which must be valid UTF-8.
func (r *reader) string() string {
	c := r.byte()
	var n uint64
	switch {
	case r.err != nil:
		return ""
	case c&0xe0 == 0xa0:
		n = uint64(c & 0x1f)
	case c == 0xd9:
		n = r.bigEndian(1)
	case c == 0xda:
		n = r.bigEndian(2)
	case c == 0xdb:
		n = r.bigEndian(4)
	default:
		r.fail()
	}
	p := r.take(n)
	if !utf8.Valid(p) {
		r.fail()
		return ""
	}
	return string(p)
}

// skip passes over one value of any kind.
func (r *reader) skip(depth int) {
	if depth > maxDepth {
		r.fail()
		return
	}
	c := r.byte()
	values := uint64(0)
	switch {
	case r.err != nil, c < 0x80, c >= 0xe0, c == 0xc0, c == 0xc2, c == 0xc3:
	case c&0xf0 == 0x80:
		values = 2 * uint64(c&0x0f)
	case c&0xf0 == 0x90:
		values = uint64(c & 0x0f)
	case c&0xe0 == 0xa0:
		r.take(uint64(c & 0x1f))
	case c >= 0xc4 && c <= 0xc6:
		r.take(r.bigEndian(1 << (c - 0xc4)))
	case c >= 0xc7 && c <= 0xc9:
		r.take(r.bigEndian(1<<(c-0xc7)) + 1)
	case c == 0xca:
		r.take(4)
	case c == 0xcb:
		r.take(8)
	case c >= 0xcc && c <= 0xcf:
		r.take(1 << (c - 0xcc))
	case c >= 0xd0 && c <= 0xd3:
		r.take(1 << (c - 0xd0))
	case c >= 0xd4 && c <= 0xd8:
		r.take(1<<(c-0xd4) + 1)
	case c >= 0xd9 && c <= 0xdb:
		r.take(r.bigEndian(1 << (c - 0xd9)))
	case c == 0xdc, c == 0xdd:
		values = r.bigEndian(2 << (c - 0xdc))
	case c == 0xde, c == 0xdf:
		values = 2 * r.bigEndian(2<<(c-0xde))
	default:
		r.fail()
	}
	if values > uint64(len(r.rest)) {
		r.fail()
		return
	}
	for ; values > 0 && r.err == nil; values-- {
		r.skip(depth + 1)
	}
}

// fields walks the elements of one array. next reports whether there is another known one; finish passes over
// the unknown ones behind them.
type fields struct {
	r    *reader
	left int
}

func (r *reader) fields() fields { return fields{r, r.array()} }

func (f *fields) next() bool {
	if f.left == 0 || f.r.err != nil {
		return false
	}
	f.left--
	return true
}

func (f *fields) finish() {
	for f.next() {
		f.r.skip(1)
	}
}
