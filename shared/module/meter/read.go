package meter

import (
	"fmt"
	"unicode/utf8"
)

// reader reads from the front of a module or a part of it. The first failure sticks: every later read gives zero.
type reader struct {
	bytes []byte
	at    int
	base  int // where bytes begins in the module, for messages
	err   error
}

// fail refuses the module, naming the place.
func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("at byte %d: %s", r.base+r.at, fmt.Sprintf(format, args...))
	}
	r.at = len(r.bytes)
}

func (r *reader) done() bool { return r.at >= len(r.bytes) }

func (r *reader) byte() byte {
	if r.done() {
		r.fail("it ends too early")
		return 0
	}
	r.at++
	return r.bytes[r.at-1]
}

// take returns the next n bytes, which alias the module.
func (r *reader) take(n uint32) []byte {
	if uint64(n) > uint64(len(r.bytes)-r.at) {
		r.fail("it ends too early")
		return nil
	}
	start := r.at
	r.at += int(n)
	return r.bytes[start:r.at:r.at]
}

// part returns a reader of the next n bytes.
func (r *reader) part(n uint32) *reader {
	base := r.base + r.at
	return &reader{bytes: r.take(n), base: base, err: r.err}
}

// unsigned reads a LEB128 number of up to 32 bits.
func (r *reader) unsigned() uint32 {
	var n uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if n > 1<<32-1 {
				break
			}
			return uint32(n)
		}
	}
	r.fail("a number of more than 32 bits")
	return 0
}

// signed reads a LEB128 number of bits bits.
func (r *reader) signed(bits int) int64 {
	var n int64
	for shift := 0; shift < bits; shift += 7 {
		b := r.byte()
		n |= int64(b&0x7f) << shift
		if b >= 0x80 {
			continue
		}
		used := shift + 7
		if used < 64 && b&0x40 != 0 {
			n |= -1 << used
		}
		if used > bits {
			// The bits that do not fit repeat the sign.
			spare := int8(b<<1) >> 1 >> (bits - shift - 1)
			if spare != 0 && spare != -1 {
				break
			}
		}
		return n
	}
	r.fail("a number of more than %d bits", bits)
	return 0
}

// count reads the length of a list of at most limit elements of what.
func (r *reader) count(limit uint32, what string) int {
	n := r.unsigned()
	if n > limit {
		r.fail("%d %s are more than %d", n, what, limit)
		return 0
	}
	return int(n)
}

func (r *reader) name() string {
	n := r.unsigned()
	if n > MaxNameLength {
		r.fail("a name of %d bytes is longer than %d", n, MaxNameLength)
		return ""
	}
	name := r.take(n)
	if !utf8.Valid(name) {
		r.fail("a name that is not UTF-8")
		return ""
	}
	return string(name)
}

func (r *reader) valueType() valueType {
	switch t := valueType(r.byte()); t {
	case i32, i64, f32, f64:
		return t
	default:
		r.fail("the value type 0x%02x is not allowed", byte(t))
		return i32
	}
}
