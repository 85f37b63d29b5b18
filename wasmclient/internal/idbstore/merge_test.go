package idbstore

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// segments plays commits of runs with the sizes that next gives, and returns what is stored after them, and how
// often a record was written at most.
func playMerges(t *testing.T, commits int, next func() (records, bytes int)) (stored []segment, rewrites int) {
	t.Helper()
	type piece struct {
		segment
		writes int
	}
	var all []piece
	var tail []segment
	at := uint64(0)
	for range commits {
		records, bytes := next()
		run := segment{first: at + 1, last: at + uint64(records), bytes: bytes}
		at = run.last
		merged, after := plan(tail, run)
		union := piece{run, 0}
		for _, old := range all[len(all)-merged:] {
			union.first = min(union.first, old.first)
			union.bytes += old.bytes
			union.writes = max(union.writes, old.writes+1)
		}
		all = append(all[:len(all)-merged:len(all)-merged], union)
		rewrites = max(rewrites, union.writes)
		tail = after
		if len(tail) > 3*runsPerMerge {
			t.Fatalf("a space's row lists %d segments", len(tail))
		}
		for i := range tail { // the list says what is stored
			if s := all[len(all)-len(tail)+i].segment; s.first != tail[i].first || s.last != tail[i].last || s.bytes != tail[i].bytes {
				t.Fatalf("the row lists %+v, stored is %+v", tail[i], s)
			}
		}
	}
	for i, p := range all {
		stored = append(stored, p.segment)
		if i > 0 && p.first != all[i-1].last+1 {
			t.Fatalf("stored are %+v and then %+v", all[i-1], p)
		}
	}
	return stored, rewrites
}

func TestMerges(t *testing.T) {
	for _, test := range []struct {
		records, bytes, commits int
		most                    int // segments stored
	}{
		{1, 290, 100_000, 200},
		{1, 60, 100_000, 120},
		{3, 870, 30_000, 200},
		{100, 29_000, 1000, 150},
		{1000, 290_000, 100, 100},
		{200, 64 << 10, 500, 150},
		{1, 256 << 10, 100, 100},
	} {
		t.Run(fmt.Sprintf("%d records in %d bytes", test.records, test.bytes), func(t *testing.T) {
			stored, rewrites := playMerges(t, test.commits, func() (int, int) { return test.records, test.bytes })
			if len(stored) > test.most {
				t.Errorf("%d segments are stored, want at most %d", len(stored), test.most)
			}
			if rewrites > 3 {
				t.Errorf("a record was written %d times again, want at most 3", rewrites)
			}
		})
	}
	t.Run("random", func(t *testing.T) {
		for seed := range uint64(50) {
			random := rand.New(rand.NewPCG(seed, 1))
			_, rewrites := playMerges(t, 2000, func() (int, int) {
				n := 1 + random.IntN(1<<random.IntN(11))
				return n, n * (60 + random.IntN(1<<random.IntN(12)))
			})
			if rewrites > 3 {
				t.Fatalf("seed %d: a record was written %d times again, want at most 3", seed, rewrites)
			}
		}
	})
}

func TestPlanAfterHole(t *testing.T) {
	tail := []segment{{first: 1, last: 9, bytes: 60 << 10}}
	merged, after := plan(tail, segment{first: 20, last: 30, bytes: 60 << 10})
	if merged != 0 || len(after) != 1 || after[0].first != 20 {
		t.Fatalf("after a hole %d segments are merged, the row lists %+v", merged, after)
	}
}
