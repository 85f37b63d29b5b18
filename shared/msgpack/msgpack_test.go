package msgpack_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	library "github.com/vmihailenco/msgpack/v5"

	"skerry/shared/msgpack"
)

func encode(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := library.NewEncoder(&b)
	e.UseCompactInts(true)
	e.UseCompactFloats(true)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read reads one value and checks that nothing is left.
func read[T any](t *testing.T, b []byte, f func(*msgpack.Reader) T) (T, error) {
	t.Helper()
	r := msgpack.Reader{Rest: b}
	v := f(&r)
	if r.Err == nil && len(r.Rest) > 0 {
		t.Errorf("% x: %d bytes were left", b, len(r.Rest))
	}
	return v, r.Err
}

func TestIntegers(t *testing.T) {
	edges := []int64{0, 1, 31, 32, 127, 128, 255, 256, math.MaxInt16, math.MaxUint16, math.MaxUint16 + 1, math.MaxInt32, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64}
	for _, n := range edges {
		for _, n := range []int64{n, -n, -n - 1} {
			for _, b := range [][]byte{encode(t, n), append([]byte{0xd3}, beBytes(uint64(n))...)} {
				if got, err := read(t, b, (*msgpack.Reader).Int); got != n || err != nil {
					t.Errorf("% x: Int %d %v, want %d", b, got, err, n)
				}
				got, err := read(t, b, (*msgpack.Reader).Uint)
				if n >= 0 && (got != uint64(n) || err != nil) || n < 0 && err == nil {
					t.Errorf("% x: Uint %d %v, want %d", b, got, err, n)
				}
			}
			if n >= 0 && !bytes.Equal(msgpack.AppendUint(nil, uint64(n)), encode(t, n)) {
				t.Errorf("%d: AppendUint and the library differ", n)
			}
		}
	}
	past := msgpack.AppendUint(nil, math.MaxInt64+1)
	if n, err := read(t, past, (*msgpack.Reader).Int); err == nil {
		t.Errorf("2^63 as Int: %d", n)
	}
	if n, err := read(t, past, (*msgpack.Reader).Uint); n != math.MaxInt64+1 || err != nil {
		t.Errorf("2^63 as Uint: %d %v", n, err)
	}
}

func beBytes(n uint64) []byte {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(n >> (56 - 8*i))
	}
	return b
}

func TestFloats(t *testing.T) {
	for _, v := range []any{1.5, float32(0.25), math.Inf(1), 7, -7, int64(1) << 53, -int64(1) << 53} {
		want := 0.0
		switch v := v.(type) {
		case float64:
			want = v
		case float32:
			want = float64(v)
		case int:
			want = float64(v)
		case int64:
			want = float64(v)
		}
		if got, err := read(t, encode(t, v), (*msgpack.Reader).Float); got != want || err != nil {
			t.Errorf("%v: %v %v", v, got, err)
		}
	}
	if got, err := read(t, encode(t, math.NaN()), (*msgpack.Reader).Float); !math.IsNaN(got) || err != nil {
		t.Errorf("NaN: %v %v", got, err)
	}
	for _, v := range []any{int64(1)<<53 + 1, -int64(1)<<53 - 1, "1", nil, true} {
		if got, err := read(t, encode(t, v), (*msgpack.Reader).Float); err == nil {
			t.Errorf("%v was read as %v", v, got)
		}
	}
}

func TestMaps(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 70_000} {
		want := make(map[int]bool, n)
		for i := range n {
			want[i] = true
		}
		encoded := encode(t, want)
		if header := msgpack.AppendMap(nil, n); !bytes.HasPrefix(encoded, header) || len(encoded) > 0 && n == 0 && len(header) != 1 {
			t.Errorf("a map of %d: AppendMap wrote % x", n, header)
		}
		r := msgpack.Reader{Rest: encoded}
		count := r.Map()
		for range count {
			if i := int(r.Int()); !want[i] || !r.Bool() {
				t.Fatalf("a map of %d: %d is not in it", n, i)
			}
		}
		if count != n || r.Err != nil || len(r.Rest) > 0 {
			t.Errorf("a map of %d: %d, %v, %d bytes left", n, count, r.Err, len(r.Rest))
		}
	}
	for _, lie := range []string{"\x81", "\x81\x01", "\xdf\xff\xff\xff\xff\x01\x01", "\xde\x00", "\x91\x01", ""} {
		r := msgpack.Reader{Rest: []byte(lie)}
		if n := r.Map(); n != 0 || r.Err == nil {
			t.Errorf("%q is a map of %d", lie, n)
		}
	}
}

func TestTexts(t *testing.T) {
	for _, n := range []int{0, 31, 32, 255, 256, 65_535, 65_536} {
		want := strings.Repeat("ä", n/2) + strings.Repeat("a", n%2)
		b := msgpack.AppendString(nil, want)
		if !bytes.Equal(b, encode(t, want)) {
			t.Errorf("a text of %d: AppendString and the library differ", n)
		}
		if got, err := read(t, b, (*msgpack.Reader).Text); got != want || err != nil {
			t.Errorf("a text of %d: %v", n, err)
		}
	}
	if got, err := read(t, []byte("\xa1\xff"), (*msgpack.Reader).Text); err == nil {
		t.Errorf("what is no UTF-8 was read as %q", got)
	}
}

// What is skipped ends where the library ends it, and never deeper than allowed.
func TestSkip(t *testing.T) {
	for _, v := range []any{nil, true, -1, 1 << 40, 2.5, "text", []byte("bytes"), []any{1, "2", []any{}}, map[string]any{"a": map[string]any{"b": 1}}} {
		b := encode(t, v)
		r := msgpack.Reader{Rest: append(b, 0xc3)}
		if r.Skip(1); r.Err != nil || len(r.Rest) != 1 {
			t.Errorf("%v: %v, %d bytes left of 1", v, r.Err, len(r.Rest))
		}
	}
	for depth, ok := range map[int]bool{msgpack.MaxDepth: true, msgpack.MaxDepth + 1: false} {
		b := append(bytes.Repeat([]byte{0x91}, depth-1), 0xc0)
		if r := (msgpack.Reader{Rest: b}); true {
			if r.Skip(1); (r.Err == nil) != ok {
				t.Errorf("depth %d: %v", depth, r.Err)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{0x93, 0x01, 0xa1, 'a', 0x81, 0x01, 0xcb})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, step := range []func(*msgpack.Reader){
			func(r *msgpack.Reader) { r.Skip(1) }, func(r *msgpack.Reader) { r.Int() }, func(r *msgpack.Reader) { r.Float() },
			func(r *msgpack.Reader) { r.Map() }, func(r *msgpack.Reader) { r.Array() }, func(r *msgpack.Reader) { r.TextBytes() },
			func(r *msgpack.Reader) { r.Binary() },
		} {
			r := msgpack.Reader{Rest: b}
			if step(&r); len(r.Rest) > len(b) {
				t.Fatal("more is left than there was")
			}
		}
	})
}
