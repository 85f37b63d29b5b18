package digest

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"lukechampine.com/blake3"
)

// lengths are around every boundary of BLAKE3: blocks of 64 bytes, chunks of 1 KiB, trees of chunks.
var lengths = []int{
	0, 1, 2, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 3073, 4096, 4097, 5120, 6145,
	7168, 8192, 8193, 16384, 16385, 31744, 65535, 65536, 65537, 102400, 262144, 1 << 20,
}

// message is the input of BLAKE3's own test vectors: bytes counting from 0 to 250, over and over.
func message(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func TestOfAgreesWithAnotherImplementation(t *testing.T) {
	for _, n := range lengths {
		if got, want := Of(message(n)), Digest(blake3.Sum256(message(n))); got != want {
			t.Errorf("Of(%d bytes) = %v, want %v", n, got, want)
		}
	}
	for n := range 3000 {
		if got, want := Of(message(n)), Digest(blake3.Sum256(message(n))); got != want {
			t.Fatalf("Of(%d bytes) = %v, want %v", n, got, want)
		}
	}
}

func TestKeyedAgreesWithAnotherImplementation(t *testing.T) {
	key := [Size]byte([]byte("whats the Elvish word for friend"))
	for _, n := range lengths {
		other := blake3.New(Size, key[:])
		other.Write(message(n))
		if got, want := Keyed(key, message(n)), Digest(other.Sum(nil)); got != want {
			t.Errorf("Keyed(%d bytes) = %v, want %v", n, got, want)
		}
		if Keyed(key, message(n)) == Of(message(n)) {
			t.Errorf("Keyed(%d bytes) equals Of", n)
		}
		if Keyed([Size]byte{}, message(n)) == Keyed(key, message(n)) {
			t.Errorf("Keyed(%d bytes) does not depend on the key", n)
		}
	}
}

// The first vectors of BLAKE3's published test_vectors.json, so that two wrong libraries cannot agree.
func TestPublishedVectors(t *testing.T) {
	for _, test := range []struct {
		n    int
		want string
	}{
		{0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
		{1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"},
	} {
		if got := Of(message(test.n)).String(); got != test.want {
			t.Errorf("Of(%d bytes) = %s, want %s", test.n, got, test.want)
		}
	}
}

func TestOfDoesNotAllocateForShortMessages(t *testing.T) {
	for _, n := range []int{0, 64, 200, 1024} {
		b := message(n)
		if got := testing.AllocsPerRun(100, func() { Of(b) }); got != 0 {
			t.Errorf("Of(%d bytes) makes %v allocations", n, got)
		}
	}
}

func TestText(t *testing.T) {
	d := Of([]byte("skerry"))
	text := d.String()
	if len(text) != 2*Size || text != strings.ToLower(text) {
		t.Fatalf("String() = %q", text)
	}
	for _, form := range []string{text, strings.ToUpper(text)} {
		if got, err := Parse(form); err != nil || got != d {
			t.Errorf("Parse(%q) = %v, %v", form, got, err)
		}
	}
	for _, bad := range []string{"", text[1:], text + "0", text[1:] + "g", " " + text[1:], text[:62] + "é"} {
		if got, err := Parse(bad); err == nil || !got.IsZero() {
			t.Errorf("Parse(%q) = %v, %v; want an error and zero", bad, got, err)
		}
	}
	if !(Digest{}).IsZero() || d.IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestJSON(t *testing.T) {
	d := Of(nil)
	b, err := json.Marshal(map[Digest]Digest{d: d})
	if err != nil {
		t.Fatal(err)
	}
	var back map[Digest]Digest
	if err := json.Unmarshal(b, &back); err != nil || back[d] != d {
		t.Errorf("Unmarshal(%s) = %v, %v", b, back, err)
	}
	if err := json.Unmarshal([]byte(`"xyz"`), &d); err == nil || d != Of(nil) {
		t.Errorf("a refused text left %v, %v", d, err)
	}
}

func BenchmarkOf(b *testing.B) {
	for _, n := range []int{64, 200, 1024, 65536} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			m := message(n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				Of(m)
			}
		})
	}
}
