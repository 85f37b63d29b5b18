package tables_test

import (
	"fmt"
	"testing"
)

// BenchmarkRows is what a row costs in tables that have 100,000: to write one, to write one where the tables were copied since
// the last, as for each overlay of a page, to read one, and to read ten by an index.
func BenchmarkRows(b *testing.B) {
	const many = 100_000
	set := newSet(b, people)
	at := func(i int) []byte {
		return row(uint64(i), fmt.Sprint("n", i%7), some{fmt.Sprint(i)}, float64(i), true, nil)
	}
	put := func(b *testing.B, i int) {
		if err := set.Begin().Put(0, at(i)); err != nil {
			b.Fatal(err)
		}
	}
	for i := range many {
		put(b, i)
	}
	keys := make([]string, 0, many)
	if err := set.Scan(0, 0, "", "", false, func(key, _ string) bool {
		keys = append(keys, key)
		return true
	}); err != nil {
		b.Fatal(err)
	}
	next := 0
	b.Run("put", func(b *testing.B) {
		for b.Loop() {
			put(b, next*7919%many)
			next++
		}
	})
	b.Run("copy", func(b *testing.B) {
		for b.Loop() {
			set = set.Copy()
			put(b, next*7919%many)
			next++
		}
	})
	b.Run("get", func(b *testing.B) {
		for b.Loop() {
			if _, ok, err := set.Get(0, []byte(keys[next*7919%many])); err != nil || !ok {
				b.Fatal(ok, err)
			}
			next++
		}
	})
	b.Run("scan", func(b *testing.B) {
		for b.Loop() {
			n := 0
			if err := set.Scan(0, 1, "", keys[next*7919%many], false, func(string, string) bool {
				n++
				return n < 10
			}); err != nil {
				b.Fatal(err)
			}
			next++
		}
	})
}
