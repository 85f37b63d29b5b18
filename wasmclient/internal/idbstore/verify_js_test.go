package idbstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall/js"
	"testing"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsbind"
)

// TestEveryFlippedBitIsFound changes a bit in each byte of each segment of a space. Whoever reads, in whichever way, is given what is right in front of it, or is told of the damage, and
// never anything else; what waits in the outbox is kept. Chromium has it with every byte. What judges them is the same in all browsers, so that the
// others have it with each eighth, from one that a printed number begins with.
func TestEveryFlippedBitIsFound(t *testing.T) {
	t.Run("by sums", func(t *testing.T) { findFlippedBits(t, false) })
	t.Run("by the chain", func(t *testing.T) { findFlippedBits(t, true) })
}

func findFlippedBits(t *testing.T, chain bool) {
	begin, stride := 0, 1
	if engine := os.Getenv("SKERRY_ENGINE"); engine != "" && engine != "chromium" && os.Getenv("SKERRY_SOAK") == "" {
		stride = 8
		begin = rand.IntN(stride)
		if text := os.Getenv("SKERRY_SEED"); text != "" {
			n, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				t.Fatalf("SKERRY_SEED: %v", err)
			}
			begin = int(n % uint64(stride))
		}
		t.Logf("SKERRY_SEED=%d", begin)
	}
	const records = 3
	s := openTest(t, freshName(t))
	id, _ := madeOf(t, s, records, 30)
	if chain {
		dropSums(t, s, id)
	}
	right, err := s.Read(t.Context(), id, 0, 100, 1<<20)
	if err != nil || len(right) != records {
		t.Fatalf("%d records, %v", len(right), err)
	}
	forget := func() {
		s.mu.Lock()
		s.recent.drop()
		s.mu.Unlock()
	}
	same := func(got []space.Record, from int) bool {
		for i := range got {
			if from+i >= len(right) || space.Chain(id, &got[i]) != space.Chain(id, &right[from+i]) {
				return false
			}
		}
		return true
	}
	flips := 0
	for seq := uint64(1); seq <= records; seq++ {
		var value []byte
		ruin(t, s, func(tx *transaction) error {
			got := tx.getAll(storeSegments, between([]any{tx.c.inKey(id), float64(seq)}, []any{tx.c.inKey(id), float64(seq), []any{}}, false, true), 1)
			if err := tx.turn(); err != nil {
				return err
			}
			value = jsbind.ToBytes(got.result().Index(0))
			return nil
		})
		put := func(b []byte) {
			ruin(t, s, func(tx *transaction) error {
				tx.put(storeSegments, js.ValueOf([]any{tx.c.inKey(id), float64(seq), float64(seq)}), b)
				return nil
			})
			forget()
		}
		for at := begin; at < len(value); at += stride {
			flips++
			changed := append([]byte(nil), value...)
			changed[at] ^= 1 << (at % 8)
			put(changed)
			what := fmt.Sprintf("byte %d of %d of segment %d", at, len(value), seq)
			got, err := s.Read(t.Context(), id, 0, 100, 1<<20)
			if err != nil && !errors.Is(err, wasmclient.ErrDamaged) || err == nil && (len(got) >= int(seq) || !same(got, 0)) {
				t.Fatalf("%s: Read gives %d records, %v", what, len(got), err)
			}
			forget()
			got, err = s.Read(t.Context(), id, seq-1, 1, 1<<20)
			if !errors.Is(err, wasmclient.ErrDamaged) {
				t.Fatalf("%s: reading it gives %d records, %v", what, len(got), err)
			}
			forget()
			got, err = s.ReadBefore(t.Context(), id, records+1, 100, 1<<20)
			if err != nil && !errors.Is(err, wasmclient.ErrDamaged) || err == nil && (len(got) > records-int(seq) || !same(got, records-len(got)) || len(got) == 0) {
				t.Fatalf("%s: ReadBefore gives %d records, %v", what, len(got), err)
			}
			forget()
			encoded, n, last, err := s.ReadEncoded(t.Context(), id, 0, 100, 1<<20)
			if err == nil {
				if got, err = wire.DecodeRecords(encoded); err != nil || len(got) != n || int(last) != n || n >= int(seq) || !same(got, 0) {
					t.Fatalf("%s: ReadEncoded gives %d records to %d, %v", what, n, last, err)
				}
			} else if !errors.Is(err, wasmclient.ErrDamaged) {
				t.Fatalf("%s: ReadEncoded: %v", what, err)
			}
		}
		put(value)
	}
	if got, err := s.Read(t.Context(), id, 0, 100, 1<<20); err != nil || len(got) != records || !same(got, 0) {
		t.Fatalf("well again: %d records, %v", len(got), err)
	}
	if rows, err := s.Outbox(t.Context(), id, 0, 1<<20); err != nil || len(rows) != 3 {
		t.Fatalf("%d transactions wait, %v", len(rows), err)
	}
	t.Logf("%d bits", flips)
}

// TestWhatIsRightIsLookedAtOnce counts the transactions that reading takes: what was seen to be right, or written, is not looked at again.
func TestWhatIsRightIsLookedAtOnce(t *testing.T) {
	name := freshName(t)
	s := openTest(t, name)
	id, _ := madeOf(t, s, 40, 5<<10)
	reads := func(s *Store) bool {
		if _, err := s.Read(t.Context(), id, 0, 100, 1<<30); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.seen(id).has(1, 40)
	}
	s.mu.Lock()
	written := s.seen(id).has(1, 40)
	s.mu.Unlock()
	if !written {
		t.Error("what was written is not known to be right")
	}
	other := openTest(t, name)
	if other.seen(id).has(1, 1) {
		t.Error("another handle knows what it has not seen")
	}
	if !reads(other) {
		t.Errorf("what was read is not known to be right: %v", other.verified)
	}
	var pages stretches
	for _, e := range []segment{{first: 5, last: 9}, {first: 20, last: 30}, {first: 10, last: 12}, {first: 1, last: 2}, {first: 8, last: 21}} {
		pages = pages.with(e.first, e.last)
	}
	if !pages.has(5, 30) || !pages.has(1, 2) || pages.has(2, 5) || len(pages) != 2 {
		t.Errorf("stretches %v", pages)
	}
}
