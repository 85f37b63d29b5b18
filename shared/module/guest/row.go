package guest

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// What follows is small functions that call each other directly. In a program by Go's compiler a branch that is taken
// costs the fuel of the whole function that it is in, an allocation 10,000 and more, and what goes through a function
// value or a method of an interface is allocated.

const canonicalNaN = 0x7ff8 << 48

// append appends the struct at a pointer, as a row.
func (s shape) append(b []byte, at unsafe.Pointer) []byte {
	for i := range s {
		b = s[i].append(b, unsafe.Add(at, s[i].offset))
	}
	return b
}

//go:noinline
func (f *field) append(b []byte, at unsafe.Pointer) []byte {
	if f.optional {
		return f.appendOptional(b, at)
	}
	return f.appendPresent(b, at)
}

//go:noinline
func (f *field) appendOptional(b []byte, at unsafe.Pointer) []byte {
	if f.kind != kindBytes {
		at = *(*unsafe.Pointer)(at)
	} else if *(*[]byte)(at) == nil {
		at = nil
	}
	if at == nil {
		return append(b, 0)
	}
	return f.appendPresent(append(b, 1), at)
}

//go:noinline
func (f *field) appendPresent(b []byte, at unsafe.Pointer) []byte {
	switch f.kind {
	case kindText:
		return appendText(b, *(*string)(at))
	case kindBytes:
		return appendBytes(b, *(*[]byte)(at))
	case kindF64:
		return appendFloat(b, *(*float64)(at))
	case kindBool:
		return appendBool(b, *(*bool)(at))
	}
	return appendWord(b, *(*uint64)(at))
}

//go:noinline
func appendWord(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

//go:noinline
func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

//go:noinline
func appendFloat(b []byte, v float64) []byte {
	if v != v {
		return appendWord(b, canonicalNaN)
	}
	return appendWord(b, math.Float64bits(v))
}

//go:noinline
func appendLength(b []byte, n int) []byte { return binary.LittleEndian.AppendUint32(b, uint32(n)) }

//go:noinline
func appendText(b []byte, v string) []byte { return append(appendLength(b, len(v)), v...) }

//go:noinline
func appendBytes(b, v []byte) []byte { return append(appendLength(b, len(v)), v...) }

// appendValue appends one value of a key to what goes to the host. It reports false for one of another type than the
// column's.
//
//go:noinline
func (f *field) appendValue(v any) bool {
	if f.optional {
		out = appendBool(out, v != nil)
		if v == nil {
			return true
		}
	}
	switch f.kind {
	case kindText:
		return appendTextOf(v)
	case kindBytes:
		return appendBytesOf(v)
	case kindF64:
		return appendFloatOf(v)
	case kindBool:
		return appendBoolOf(v)
	}
	return appendWordOf(v, f.kind == kindI64)
}

//go:noinline
func appendTextOf(v any) bool {
	text, ok := v.(string)
	out = appendText(out, text)
	return ok
}

//go:noinline
func appendBytesOf(v any) bool {
	bytes, ok := v.([]byte)
	out = appendBytes(out, bytes)
	return ok
}

//go:noinline
func appendWordOf(v any, signed bool) bool {
	var word uint64
	var ok bool
	switch v := v.(type) {
	case uint64:
		word, ok = v, !signed
	case int64:
		word, ok = uint64(v), signed
	case int:
		word, ok = uint64(v), signed || v >= 0
	}
	out = appendWord(out, word)
	return ok
}

//go:noinline
func appendFloatOf(v any) bool {
	f, ok := v.(float64)
	out = appendFloat(out, f)
	return ok
}

//go:noinline
func appendBoolOf(v any) bool {
	set, ok := v.(bool)
	out = appendBool(out, set)
	return ok
}

// input is bytes of the host, of which those before at were read. What is read is not copied: it is the memory of the call.
// It is what the manifest says, since the host made it, so its bounds are not checked.
type input struct {
	rest []byte
	at   uintptr
}

// next returns where the next n bytes are.
func (in *input) next(n uintptr) unsafe.Pointer {
	p := unsafe.Add(unsafe.Pointer(unsafe.SliceData(in.rest)), in.at)
	in.at += n
	return p
}

//go:noinline
func (in *input) byte() byte { return *(*byte)(in.next(1)) }

//go:noinline
func (in *input) u32() uint32 { return *(*uint32)(in.next(4)) }

//go:noinline
func (in *input) u64() uint64 { return *(*uint64)(in.next(8)) }

//go:noinline
func (in *input) text() string {
	n := *(*uint32)(in.next(4))
	return unsafe.String((*byte)(in.next(uintptr(n))), n)
}

//go:noinline
func (in *input) bytes() []byte {
	n := *(*uint32)(in.next(4))
	return unsafe.Slice((*byte)(in.next(uintptr(n))), n)
}

//go:noinline
func (in *input) id() [16]byte { return *(*[16]byte)(in.next(16)) }

// read fills the struct at a pointer, whose fields are zero.
func (s shape) read(in *input, at unsafe.Pointer) {
	for i := range s {
		s[i].read(in, unsafe.Add(at, s[i].offset))
	}
}

//go:noinline
func (f *field) read(in *input, at unsafe.Pointer) {
	if f.optional {
		f.readOptional(in, at)
		return
	}
	f.readPresent(in, at)
}

//go:noinline
func (f *field) readPresent(in *input, at unsafe.Pointer) {
	switch f.kind {
	case kindText:
		readText(in, (*string)(at))
	case kindBytes:
		readBytes(in, (*[]byte)(at))
	case kindBool:
		*(*bool)(at) = in.byte() != 0
	default:
		*(*uint64)(at) = in.u64()
	}
}

//go:noinline
func readText(in *input, to *string) { *to = in.text() }

//go:noinline
func readBytes(in *input, to *[]byte) { *to = in.bytes() }

//go:noinline
func (f *field) readOptional(in *input, at unsafe.Pointer) {
	if in.byte() != 0 {
		f.readPresent(in, f.allocate(at))
	}
}

// allocate returns where the value of an optional field is to lie.
//
//go:noinline
func (f *field) allocate(at unsafe.Pointer) unsafe.Pointer {
	var value unsafe.Pointer
	switch f.kind {
	case kindBytes:
		return at
	case kindBool:
		value = unsafe.Pointer(new(bool))
	case kindText:
		value = unsafe.Pointer(new(string))
	default:
		value = unsafe.Pointer(new(uint64))
	}
	*(*unsafe.Pointer)(at) = value
	return value
}
