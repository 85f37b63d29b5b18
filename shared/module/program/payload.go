package program

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"skerry/shared/msgpack"
	"skerry/shared/tables"
)

// appendRow appends the values of declared fields, in their order and as rows have them, of what msgpack has as a map by
// name. Nothing at all is an empty map. Names that are not declared are passed over, but all of it has to be whole:
// no key twice in any map, text in UTF-8, not deeper than 16, nothing behind.
func appendRow(b []byte, fields []Field, payload []byte) ([]byte, error) {
	return appendRead(b, fields, fields, nil, payload)
}

// appendRead is appendRow of a payload that was written by other fields: from says where the values come from. Nil: by the same ones.
// Which field is wrong its error says as a *fieldError.
func appendRead(b []byte, fields, written []Field, from []origin, payload []byte) ([]byte, error) {
	if len(payload) == 0 {
		payload = []byte{0x80}
	}
	check := msgpack.Reader{Rest: payload}
	if err := checkValue(&check, 1); err != nil {
		return nil, err
	}
	if len(check.Rest) > 0 {
		return nil, fmt.Errorf("%d bytes are behind it", len(check.Rest))
	}
	var values [MaxFields][]byte
	r := msgpack.Reader{Rest: payload}
	for range r.Map() {
		name := r.TextBytes()
		value := r.Rest
		r.Skip(1)
		for i := range written {
			if written[i].Name == string(name) {
				values[i] = value[:len(value)-len(r.Rest)]
			}
		}
	}
	if r.Err != nil {
		return nil, fmt.Errorf("it is not a map by name")
	}
	start := len(b)
	for i := range written {
		f := &written[i]
		if f.Default != nil && isAbsent(values[i]) {
			values[i] = f.Default
		}
		var ok bool
		if b, ok = appendField(b, f, values[i]); !ok {
			return nil, &fieldError{f.Name, f.Kind.String(), kindOf(values[i])}
		}
	}
	if from == nil {
		return b, nil
	}
	b = b[:start] // that was to check them
	for i := range fields {
		var value []byte
		if place := from[i].place; place >= 0 {
			value = values[place]
		}
		if isAbsent(value) && from[i].given != nil {
			value = from[i].given
		}
		b, _ = appendField(b, &fields[i], value)
	}
	return b, nil
}

// isAbsent reports whether a value is none, or nil.
func isAbsent(value []byte) bool { return len(value) == 0 || value[0] == 0xc0 }

// KeyValues returns the values of the first columns of an order of a table's rows, index 0 being that of its key, in the
// form that [tables.Schema.KeyOf] takes. They are given as a msgpack array; no bytes are no values.
func KeyValues(s *tables.Schema, index int, packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return nil, nil
	}
	columns := s.Key
	if index > 0 {
		columns = s.Indexes[index-1].Columns
	}
	r := msgpack.Reader{Rest: packed}
	n := r.Array()
	if r.Err != nil || n > len(columns) {
		return nil, fmt.Errorf("it is not an array of at most %d values", len(columns))
	}
	var values []byte
	for _, place := range columns[:n] {
		c, rest, ok := &s.Columns[place], r.Rest, false
		r.Skip(1)
		field := Field{Name: c.Name, Kind: c.Kind, Optional: c.Optional}
		if values, ok = appendField(values, &field, rest[:len(rest)-len(r.Rest)]); !ok || r.Err != nil {
			return nil, fmt.Errorf("column %s is a %s", c.Name, c.Kind)
		}
	}
	if len(r.Rest) > 0 {
		return nil, fmt.Errorf("%d bytes are behind it", len(r.Rest))
	}
	return values, nil
}

// appendField appends one value. None, and nil, is one that is absent.
func appendField(b []byte, f *Field, value []byte) ([]byte, bool) {
	r := msgpack.Reader{Rest: value}
	absent := isAbsent(value)
	if f.Optional {
		if absent {
			return append(b, 0), true
		}
		b = append(b, 1)
	}
	switch f.Kind {
	case tables.Bool:
		if r.Bool() {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	case tables.I64:
		b = binary.LittleEndian.AppendUint64(b, uint64(r.Int()))
	case tables.U64:
		b = binary.LittleEndian.AppendUint64(b, r.Uint())
	case tables.F64:
		bits := math.Float64bits(r.Float())
		if bits&^(1<<63) > 0x7ff<<52 {
			bits = 0x7ff8 << 48
		}
		b = binary.LittleEndian.AppendUint64(b, bits)
	case tables.Text:
		b = appendBytes(b, r.TextBytes())
	case tables.Bytes:
		b = appendBytes(b, r.Binary())
	}
	return b, !absent && r.Err == nil
}

// appendBytes appends bytes with their length, as rows have them.
func appendBytes[T ~string | ~[]byte](b []byte, value T) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(value))), value...)
}

// checkValue passes over one value and says what is wrong with it.
func checkValue(r *msgpack.Reader, depth int) error {
	if depth > msgpack.MaxDepth {
		return fmt.Errorf("it is deeper than %d", msgpack.MaxDepth)
	}
	if len(r.Rest) == 0 {
		return fmt.Errorf("it ends early")
	}
	switch c := r.Rest[0]; {
	case c&0xf0 == 0x90 || c == 0xdc || c == 0xdd:
		for range r.Array() {
			if err := checkValue(r, depth+1); err != nil {
				return err
			}
		}
	case c&0xf0 == 0x80 || c == 0xde || c == 0xdf:
		return checkMap(r, depth)
	case c&0xe0 == 0xa0 || c >= 0xd9 && c <= 0xdb:
		if r.TextBytes(); r.Err != nil {
			return fmt.Errorf("a text ends early or is not UTF-8")
		}
	default:
		r.Skip(1)
	}
	if r.Err != nil {
		return fmt.Errorf("it is not msgpack, or ends early")
	}
	return nil
}

// fewKeys is how many keys of a map are compared with each other rather than put into a set.
const fewKeys = 16

func checkMap(r *msgpack.Reader, depth int) error {
	n := r.Map()
	if r.Err != nil {
		return fmt.Errorf("it ends early")
	}
	var few [fewKeys]mapKey
	var many map[string]bool
	if n > fewKeys {
		many = make(map[string]bool, n)
	}
	for i := range n {
		rest := r.Rest
		if err := checkValue(r, depth+1); err != nil {
			return err
		}
		key := mapKey{bytes: rest[:len(rest)-len(r.Rest)]}
		text := msgpack.Reader{Rest: key.bytes}
		if content := text.TextBytes(); text.Err == nil {
			key = mapKey{true, content}
		}
		if n > fewKeys {
			if many[key.form()] {
				return fmt.Errorf("a key comes twice: %s", show(key.form()))
			}
			many[key.form()] = true
		} else {
			for k := range few[:i] {
				if few[k].same(&key) {
					return fmt.Errorf("a key comes twice: %s", show(key.form()))
				}
			}
			few[i] = key
		}
		if err := checkValue(r, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// mapKey is the content of a text, which may have several forms, or the bytes of another value.
type mapKey struct {
	text  bool
	bytes []byte
}

// form returns the one form of a key, by which it is compared: that of a text begins with a byte that nothing in msgpack has.
func (k *mapKey) form() string {
	if k.text {
		return textForm + string(k.bytes)
	}
	return string(k.bytes)
}

const textForm = "\xc1"

// same reports whether two keys have the same form.
func (k *mapKey) same(other *mapKey) bool {
	return k.text == other.text && string(k.bytes) == string(other.bytes)
}

// show returns a key for people.
func show(key string) string {
	if text, ok := strings.CutPrefix(key, textForm); ok && len(key) <= 64 && utf8.ValidString(text) {
		return text
	}
	return fmt.Sprintf("%.32x", key)
}
