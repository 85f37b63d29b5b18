package syncserver

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"

	"skerry/shared/msgpack"
)

// payloadDepth is how deep the values of a payload nest at most that is told as JSON.
const payloadDepth = 64

// payloadJSON returns a payload as JSON where it can be, bytes in it as {"$hex": digits}, else {"$hex": digits} of all of it: where
// it is not one value of msgpack, has keys that are no strings or occur twice, numbers that JSON lacks, or values nested too deep.
func payloadJSON(payload []byte) json.RawMessage {
	r := msgpack.Reader{Rest: payload}
	if text := appendValue(nil, &r, 1); r.Err == nil && len(r.Rest) == 0 {
		return text
	}
	return appendHex(nil, payload)
}

func appendHex(b, content []byte) []byte {
	b = append(b, `{"$hex":"`...)
	b = hex.AppendEncode(b, content)
	return append(b, `"}`...)
}

// appendValue appends the next value of r. If it cannot be JSON, r fails.
func appendValue(b []byte, r *msgpack.Reader, depth int) []byte {
	if len(r.Rest) == 0 || depth > payloadDepth {
		r.Fail()
		return b
	}
	switch c := r.Rest[0]; {
	case c == 0xc0:
		r.IsNil()
		return append(b, "null"...)
	case c == 0xc2 || c == 0xc3:
		return strconv.AppendBool(b, r.Bool())
	case c == 0xca || c == 0xcb:
		f := r.Float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			r.Fail()
			return b
		}
		text, _ := json.Marshal(f)
		return append(b, text...)
	case c < 0x80 || c >= 0xcc && c <= 0xcf:
		return strconv.AppendUint(b, r.Uint(), 10)
	case c >= 0xe0 || c >= 0xd0 && c <= 0xd3:
		return strconv.AppendInt(b, r.Int(), 10)
	case c >= 0xc4 && c <= 0xc6:
		return appendHex(b, r.Binary())
	case c&0xf0 == 0x90 || c == 0xdc || c == 0xdd:
		return appendList(b, r, depth)
	case c&0xf0 == 0x80 || c == 0xde || c == 0xdf:
		return appendObject(b, r, depth)
	}
	return appendText(b, r)
}

func appendText(b []byte, r *msgpack.Reader) []byte {
	text, _ := json.Marshal(r.Text()) // which fails for whatever else is left
	return append(b, text...)
}

func appendList(b []byte, r *msgpack.Reader, depth int) []byte {
	b = append(b, '[')
	for i := range r.Array() {
		if i > 0 {
			b = append(b, ',')
		}
		if b = appendValue(b, r, depth+1); r.Err != nil {
			return b
		}
	}
	return append(b, ']')
}

func appendObject(b []byte, r *msgpack.Reader, depth int) []byte {
	b = append(b, '{')
	seen := map[string]struct{}{}
	for i := range r.Map() {
		if i > 0 {
			b = append(b, ',')
		}
		key := string(r.TextBytes())
		if _, twice := seen[key]; twice || r.Err != nil {
			r.Fail()
			return b
		}
		seen[key] = struct{}{}
		name, _ := json.Marshal(key)
		b = append(append(b, name...), ':')
		if b = appendValue(b, r, depth+1); r.Err != nil {
			return b
		}
	}
	return append(b, '}')
}
