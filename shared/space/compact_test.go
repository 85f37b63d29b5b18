package space

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func TestCompactAtItsBoundaries(t *testing.T) {
	for _, test := range []struct {
		n    int
		want string
	}{
		{0, "00"}, {1, "04"}, {63, "fc"},
		{64, "0101"}, {255, "fd03"}, {16383, "fdff"},
		{16384, "02000100"}, {1<<30 - 1, "feffffff"},
	} {
		got := AppendCompact([]byte{0xaa}, test.n)
		if hex.EncodeToString(got[1:]) != test.want || got[0] != 0xaa {
			t.Errorf("AppendCompact(%d) = %x, want aa%s", test.n, got, test.want)
		}
		n, size, err := Compact(append(got[1:], 0xff))
		if n != test.n || size != len(test.want)/2 || err != nil {
			t.Errorf("Compact(%s) = %d, %d, %v", test.want, n, size, err)
		}
	}
}

func TestCompactRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                        "",
		"two bytes, one there":         "01",
		"four bytes, three there":      "020001",
		"zero in two bytes":            "0100",
		"63 in two bytes":              "fd00",
		"63 in four bytes":             "fe000000",
		"64 in four bytes":             "02010000",
		"16383 in four bytes":          "feff0000",
		"the form for bigger integers": "0300000040",
	} {
		b, _ := hex.DecodeString(text)
		if n, size, err := Compact(b); err == nil || n != 0 || size != 0 {
			t.Errorf("%s: Compact(%s) = %d, %d, %v; want an error and zeros", name, text, n, size, err)
		}
	}
}

func TestCompactPanicsOutsideItsRange(t *testing.T) {
	for _, n := range []int{-1, 1 << 30} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("AppendCompact(%d) did not panic", n)
				}
			}()
			AppendCompact(nil, n)
		}()
	}
}

func FuzzCompact(f *testing.F) {
	for _, text := range []string{"00", "fc", "0101", "fdff", "02000100", "feffffff", "0100", "02010000", "03"} {
		b, _ := hex.DecodeString(text)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, size, err := Compact(b)
		if err != nil {
			return
		}
		if got := AppendCompact(nil, n); !bytes.Equal(got, b[:size]) {
			t.Fatalf("Compact(%x) = %d, which is written as %x", b, n, got)
		}
	})
}
