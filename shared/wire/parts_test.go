package wire

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSplitAndJoin(t *testing.T) {
	for _, frame := range []int{0, 1 << 10, 4096, 32 << 10} {
		for _, n := range []int{0, 1, 1023, 1024, 1025, 2048, 4096, 4097, 32 << 10, 32<<10 + 1, 200_000} {
			message := Append(nil, &BlobPart{Total: uint64(n), Bytes: bytes.Repeat([]byte{0xab}, n)})
			pieces := Split(message, frame)
			if fits := len(message) <= max(frame, 1<<10); fits != (len(pieces) == 1) {
				t.Errorf("%d bytes in frames of %d: %d pieces", len(message), frame, len(pieces))
			}
			joiner := Joiner{Limit: len(message)}
			for i, piece := range pieces {
				if len(piece) > max(frame, 1<<10) {
					t.Errorf("a piece of %d bytes for frames of %d", len(piece), frame)
				}
				whole, err := joiner.Add(piece)
				if last := i == len(pieces)-1; err != nil || last != (whole != nil) || last && !bytes.Equal(whole, message) {
					t.Fatalf("piece %d of %d: %d bytes, %v", i, len(pieces), len(whole), err)
				}
			}
		}
	}
}

func TestJoinerRefuses(t *testing.T) {
	part := func(total uint64, bytes string) []byte { return Append(nil, &Part{Total: total, Bytes: []byte(bytes)}) }
	ping := Append(nil, &Ping{})
	for name, test := range map[string]struct {
		pieces [][]byte
		want   Code
	}{
		"a message over the limit":    {[][]byte{make([]byte, 101)}, CodeMessageTooBig},
		"a total over the limit":      {[][]byte{part(101, "x")}, CodeMessageTooBig},
		"the largest total":           {[][]byte{part(1<<64-1, "x")}, CodeMessageTooBig},
		"an empty part":               {[][]byte{part(10, "")}, CodeBadFrame},
		"a part of nothing":           {[][]byte{part(0, "")}, CodeBadFrame},
		"more than the total":         {[][]byte{part(1, "xy")}, CodeBadFrame},
		"more than the total, later":  {[][]byte{part(3, "xy"), part(3, "xy")}, CodeBadFrame},
		"another total":               {[][]byte{part(3, "x"), part(4, "x")}, CodeBadFrame},
		"another frame between parts": {[][]byte{part(3, "x"), ping}, CodeBadFrame},
		"garbage between parts":       {[][]byte{part(3, "x"), {0xc1}}, CodeBadFrame},
		"bytes behind a part":         {[][]byte{append(part(3, "x"), 0)}, CodeBadFrame},
		"a part cut short":            {[][]byte{part(3, "xy")[:4]}, CodeBadFrame},
		"a part in a part":            {[][]byte{part(uint64(len(part(1, "x"))), string(part(1, "x")))}, CodeBadFrame},
	} {
		joiner := Joiner{Limit: 100}
		for i, piece := range test.pieces {
			whole, err := joiner.Add(piece)
			if last := i == len(test.pieces)-1; last && (CodeOf(err) != test.want || whole != nil) || !last && err != nil {
				t.Errorf("%s: piece %d: %x, %v; want %v", name, i, whole, err, test.want)
			}
		}
	}
	if _, err := new(Joiner).Add(ping); CodeOf(err) != CodeMessageTooBig {
		t.Errorf("the zero joiner: %v", err)
	}
}

func TestReason(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "short": "short",
		strings.Repeat("x", 256):       strings.Repeat("x", 256),
		strings.Repeat("x", 257):       strings.Repeat("x", 256),
		strings.Repeat("x", 255) + "é": strings.Repeat("x", 255),
		strings.Repeat("é", 200):       strings.Repeat("é", 128),
		"a\xffb":                       "a\uFFFDb",
		strings.Repeat("\x80", 300):    "\uFFFD",
		strings.Repeat("a\x80", 200):   strings.Repeat("a\uFFFD", 64),
	} {
		if got := Reason(in); got != want || len(got) > MaxReason || !utf8.ValidString(got) {
			t.Errorf("Reason(%.20q of %d) = %.20q of %d", in, len(in), got, len(got))
		}
	}
}

func TestCodeOf(t *testing.T) {
	if CodeOf(nil) != CodeUnknown || CodeOf(ErrMalformed) != CodeUnknown || CodeOf(Errorf(CodeBehind, "n %d", 1)) != CodeBehind {
		t.Error("CodeOf is wrong")
	}
	if got := Errorf(CodeBehind, "n is %d", 1).Error(); got != "behind: n is 1" {
		t.Errorf("Error() = %q", got)
	}
	if got := (&CodeError{Code: 999}).Error(); got != "code_999" {
		t.Errorf("Error() = %q", got)
	}
}
