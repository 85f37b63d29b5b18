package space

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// constant is a source of entropy that repeats one byte and raises ids by the least step.
type constant byte

func (constant) Int63n(int64) int64 { return 0 }

func (c constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

func seeded() io.Reader { return rand.NewChaCha8([32]byte{1}) }

func TestIDsRiseWhateverTheClockDoes(t *testing.T) {
	clocks := map[string]func(i int) uint64{
		"running":       func(i int) uint64 { return 1_700_000_000_000 + uint64(i) },
		"standing":      func(int) uint64 { return 1_700_000_000_000 },
		"stepping back": func(i int) uint64 { return 1_700_000_000_000 - uint64(i)*60_000 },
		"jumping":       func(i int) uint64 { return 1_700_000_000_000 + uint64(i*7919%1000)*1000 },
		"at zero":       func(int) uint64 { return 0 },
		"at its end":    func(int) uint64 { return maxULIDTime },
		"beyond":        func(int) uint64 { return 1<<64 - 1 },
	}
	for name, clock := range clocks {
		source := NewIDSource(seeded())
		var last ULID
		for i := range 2000 {
			id, err := source.New(clock(i))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if bytes.Compare(last[:], id[:]) >= 0 {
				t.Fatalf("%s: id %d is %v after %v", name, i, id, last)
			}
			if text := id.String(); text != strings.ToUpper(text) || text[0] > '7' || len(text) != 26 {
				t.Fatalf("%s: id %d is shown as %s", name, i, text)
			}
			last = id
		}
	}
}

func TestIDTimeIsHeldWhenTheClockStepsBack(t *testing.T) {
	source := NewIDSource(seeded())
	for _, now := range []uint64{5000, 4000, 1} {
		id, err := source.New(now)
		if err != nil || id.Time() != 5000 {
			t.Fatalf("New(%d) has time %d, %v; want 5000", now, id.Time(), err)
		}
	}
	if id, _ := source.New(5001); id.Time() != 5001 {
		t.Errorf("New(5001) has time %d", id.Time())
	}
}

func TestIDOverflowMovesToTheNextMillisecond(t *testing.T) {
	source := NewIDSource(constant(0xff)) // the random part is at its end from the first id on
	for want := uint64(1000); want < 1005; want++ {
		id, err := source.New(1000)
		if err != nil || id.Time() != want {
			t.Fatalf("New = %v, time %d, %v; want time %d", id, id.Time(), err, want)
		}
	}
}

func TestIDSourceAtTheEndOfTimeFailsRatherThanRepeats(t *testing.T) {
	source := NewIDSource(constant(0xff))
	if id, err := source.New(maxULIDTime); err != nil || id.String() != "7ZZZZZZZZZZZZZZZZZZZZZZZZZ" {
		t.Fatalf("New = %v, %v", id, err)
	}
	if id, err := source.New(maxULIDTime); err == nil {
		t.Fatalf("New = %v after the last ULID", id)
	}
}

func TestIDSourceTellsWhenEntropyFails(t *testing.T) {
	failure := errors.New("no entropy")
	if _, err := NewIDSource(failing{failure}).New(1); !errors.Is(err, failure) {
		t.Errorf("New = %v, want %v", err, failure)
	}
}

type failing struct{ err error }

func (r failing) Read([]byte) (int, error) { return 0, r.err }

func TestParseULID(t *testing.T) {
	const text = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
	id, err := ParseULID(text)
	if err != nil || id.String() != text {
		t.Fatalf("ParseULID(%s) = %v, %v", text, id, err)
	}
	if lower, err := ParseULID(strings.ToLower(text)); err != nil || lower != id {
		t.Errorf("lower case: %v, %v", lower, err)
	}
	if last, err := ParseULID("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"); err != nil || last != (ULID(bytes.Repeat([]byte{0xff}, 16))) {
		t.Errorf("the last ULID: %v, %v", last, err)
	}
	for _, bad := range []string{
		"", text[1:], text + "0", "80000000000000000000000000", "ZZZZZZZZZZZZZZZZZZZZZZZZZZ",
		"01ARZ3NDEKTSV4RRFFQ69G5FAU", "01ARZ3NDEKTSV4RRFFQ69G5FAI", "01ARZ3NDEKTSV4RRFFQ69G5FA-", "01ARZ3NDEKTSV4RRFFQ69G5Fé",
	} {
		if id, err := ParseULID(bad); err == nil || id != (ULID{}) {
			t.Errorf("ParseULID(%q) = %v, %v; want an error and zero", bad, id, err)
		}
	}
}
