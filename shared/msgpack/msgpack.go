package msgpack

import (
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf8"
)

// ErrMalformed tells that bytes are not msgpack, or not the msgpack that was asked for.
var ErrMalformed = errors.New("msgpack: malformed")

// What is often called and is no loop, or only fails, is not inlined: a page would download each copy.

// MaxDepth bounds how deep values that are passed over may nest. One level more is malformed.
const MaxDepth = 16

// AppendArray appends the header of an array of n elements.
//
//go:noinline
func AppendArray(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0x90|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xdc), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
	}
}

// AppendMap appends the header of a map of n keys, each followed by its value.
func AppendMap(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0x80|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xde), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, 0xdf), uint32(n))
	}
}

// AppendUint appends an unsigned integer in its shortest form.
func AppendUint(b []byte, n uint64) []byte {
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

// AppendInt appends an integer in its shortest form.
func AppendInt(b []byte, n int64) []byte {
	switch {
	case n >= 0:
		return AppendUint(b, uint64(n))
	case n >= -32:
		return append(b, byte(n))
	case n >= math.MinInt8:
		return append(b, 0xd0, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(b, 0xd1), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(n))
	}
}

// AppendFloat appends a number of 64 bits.
func AppendFloat(b []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0xcb), math.Float64bits(f))
}

// AppendBinary appends bytes.
//
//go:noinline
func AppendBinary(b, p []byte) []byte {
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

// AppendString appends a string. That it is UTF-8 is the caller's part.
func AppendString(b []byte, s string) []byte {
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

// AppendBool appends a truth value.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}

// AppendNil appends nil.
func AppendNil(b []byte) []byte { return append(b, 0xc0) }

// Reader reads msgpack from the front of rest. The first failure sticks: every later read returns zero.
type Reader struct {
	Rest []byte // what was not read yet
	Err  error  // ErrMalformed after a failure
}

// Fail makes the reader fail, as what the caller found in a value does.
//
//go:noinline
func (r *Reader) Fail() {
	if r.Err == nil {
		r.Err = ErrMalformed
	}
	r.Rest = nil
}

// Take consumes n bytes. It compares before it converts, so that no claimed size wraps where int has 32 bits.
func (r *Reader) Take(n uint64) []byte {
	if n > uint64(len(r.Rest)) {
		r.Fail()
		return nil
	}
	p := r.Rest[:n:n]
	r.Rest = r.Rest[n:]
	return p
}

// Byte consumes one byte.
func (r *Reader) Byte() byte {
	p := r.Take(1)
	if p == nil {
		return 0
	}
	return p[0]
}

// bigEndian reads an unsigned integer of size bytes.
//
//go:noinline
func (r *Reader) bigEndian(size uint64) uint64 {
	var n uint64
	for _, c := range r.Take(size) {
		n = n<<8 | uint64(c)
	}
	return n
}

// Array reads an array's header. Every element takes at least a byte, so a count beyond what is left is a lie,
// and no caller allocates for it.
func (r *Reader) Array() int {
	c := r.Byte()
	var n uint64
	switch {
	case r.Err != nil:
		return 0
	case c&0xf0 == 0x90:
		n = uint64(c & 0x0f)
	case c == 0xdc:
		n = r.bigEndian(2)
	case c == 0xdd:
		n = r.bigEndian(4)
	default:
		r.Fail()
	}
	if n > uint64(len(r.Rest)) {
		r.Fail()
		return 0
	}
	return int(n)
}

// Map reads a map's header, which says how many keys and values follow each other, and is held to what is left as
// an array's is.
func (r *Reader) Map() int {
	c := r.Byte()
	var n uint64
	switch {
	case r.Err != nil:
		return 0
	case c&0xf0 == 0x80:
		n = uint64(c & 0x0f)
	case c == 0xde:
		n = r.bigEndian(2)
	case c == 0xdf:
		n = r.bigEndian(4)
	default:
		r.Fail()
	}
	if 2*n > uint64(len(r.Rest)) {
		r.Fail()
		return 0
	}
	return int(n)
}

// ArrayOf reads the header of an array whose useful elements take at least size bytes each. One more than fits is
// let through, so that a single empty element gets a verdict; a bomb of empty ones is malformed, because decoded
// they would take many times their bytes.
func (r *Reader) ArrayOf(size int) int {
	n := r.Array()
	if n > len(r.Rest)/size+1 {
		r.Fail()
		return 0
	}
	return n
}

// Uint reads an integer that is not negative, in any of its forms.
func (r *Reader) Uint() uint64 {
	c := r.Byte()
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
	r.Fail()
	return 0
}

// Int reads an integer that fits into 64 bits with a sign, in any of its forms.
func (r *Reader) Int() int64 {
	if len(r.Rest) > 0 {
		switch c := r.Rest[0]; {
		case c >= 0xe0:
			r.Rest = r.Rest[1:]
			return int64(int8(c))
		case c >= 0xd0 && c <= 0xd3:
			r.Rest = r.Rest[1:]
			size := uint64(1) << (c - 0xd0)
			unused := 64 - 8*size
			return int64(r.bigEndian(size)<<unused) >> unused
		}
	}
	n := r.Uint()
	if n > math.MaxInt64 {
		r.Fail()
		return 0
	}
	return int64(n)
}

// Float reads a number: a float of either size, or an integer that a float can hold without loss.
func (r *Reader) Float() float64 {
	if len(r.Rest) > 0 {
		switch r.Rest[0] {
		case 0xca:
			r.Rest = r.Rest[1:]
			return float64(math.Float32frombits(uint32(r.bigEndian(4))))
		case 0xcb:
			r.Rest = r.Rest[1:]
			return math.Float64frombits(r.bigEndian(8))
		}
	}
	n := r.Int()
	if n < -1<<53 || n > 1<<53 {
		r.Fail()
		return 0
	}
	return float64(n)
}

// Uint32 reads an integer from 0 to 2^32-1.
func (r *Reader) Uint32() uint32 {
	n := r.Uint()
	if n > math.MaxUint32 {
		r.Fail()
		return 0
	}
	return uint32(n)
}

// Bool reads a truth value.
func (r *Reader) Bool() bool {
	switch r.Byte() {
	case 0xc3:
		return true
	case 0xc2:
	default:
		r.Fail()
	}
	return false
}

// IsNil consumes a nil and reports whether there was one.
func (r *Reader) IsNil() bool {
	if len(r.Rest) > 0 && r.Rest[0] == 0xc0 {
		r.Rest = r.Rest[1:]
		return true
	}
	return false
}

// Binary reads a binary value, which aliases the message. Nil reads as empty.
func (r *Reader) Binary() []byte {
	switch r.Byte() {
	case 0xc4:
		return r.Take(r.bigEndian(1))
	case 0xc5:
		return r.Take(r.bigEndian(2))
	case 0xc6:
		return r.Take(r.bigEndian(4))
	case 0xc0:
	default:
		r.Fail()
	}
	return nil
}

// Fixed reads a binary value of exactly len(into) bytes, or an empty one, which leaves into zero.
func (r *Reader) Fixed(into []byte) {
	p := r.Binary()
	if len(p) == len(into) {
		copy(into, p)
	} else if len(p) != 0 {
		r.Fail()
	}
}

// Text reads a string, which must be valid UTF-8.
//
//go:noinline
func (r *Reader) Text() string { return string(r.TextBytes()) }

// TextBytes reads a string, which must be valid UTF-8, as bytes that alias the message.
func (r *Reader) TextBytes() []byte {
	c := r.Byte()
	var n uint64
	switch {
	case r.Err != nil:
		return nil
	case c&0xe0 == 0xa0:
		n = uint64(c & 0x1f)
	case c == 0xd9:
		n = r.bigEndian(1)
	case c == 0xda:
		n = r.bigEndian(2)
	case c == 0xdb:
		n = r.bigEndian(4)
	default:
		r.Fail()
	}
	p := r.Take(n)
	if !utf8.Valid(p) {
		r.Fail()
		return nil
	}
	return p
}

// Skip passes over one value of any kind.
func (r *Reader) Skip(depth int) {
	if depth > MaxDepth {
		r.Fail()
		return
	}
	c := r.Byte()
	values := uint64(0)
	switch {
	case r.Err != nil, c < 0x80, c >= 0xe0, c == 0xc0, c == 0xc2, c == 0xc3:
	case c&0xf0 == 0x80:
		values = 2 * uint64(c&0x0f)
	case c&0xf0 == 0x90:
		values = uint64(c & 0x0f)
	case c&0xe0 == 0xa0:
		r.Take(uint64(c & 0x1f))
	case c >= 0xc4 && c <= 0xc6:
		r.Take(r.bigEndian(1 << (c - 0xc4)))
	case c >= 0xc7 && c <= 0xc9:
		r.Take(r.bigEndian(1<<(c-0xc7)) + 1)
	case c == 0xca:
		r.Take(4)
	case c == 0xcb:
		r.Take(8)
	case c >= 0xcc && c <= 0xcf:
		r.Take(1 << (c - 0xcc))
	case c >= 0xd0 && c <= 0xd3:
		r.Take(1 << (c - 0xd0))
	case c >= 0xd4 && c <= 0xd8:
		r.Take(1<<(c-0xd4) + 1)
	case c >= 0xd9 && c <= 0xdb:
		r.Take(r.bigEndian(1 << (c - 0xd9)))
	case c == 0xdc, c == 0xdd:
		values = r.bigEndian(2 << (c - 0xdc))
	case c == 0xde, c == 0xdf:
		values = 2 * r.bigEndian(2<<(c-0xde))
	default:
		r.Fail()
	}
	if values > uint64(len(r.Rest)) {
		r.Fail()
		return
	}
	for ; values > 0 && r.Err == nil; values-- {
		r.Skip(depth + 1)
	}
}

// Fields walks the elements of one array. Next reports whether there is another known one; Finish passes over
// the unknown ones behind them.
type Fields struct {
	Reader *Reader
	Left   int
}

// Fields reads an array's header and returns a walk over its elements.
//
//go:noinline
func (r *Reader) Fields() Fields { return Fields{r, r.Array()} }

// Next reports whether there is another element.
//
//go:noinline
func (f *Fields) Next() bool {
	if f.Left == 0 || f.Reader.Err != nil {
		return false
	}
	f.Left--
	return true
}

// Finish passes over the elements that are left.
func (f *Fields) Finish() {
	for f.Next() {
		f.Reader.Skip(1)
	}
}
