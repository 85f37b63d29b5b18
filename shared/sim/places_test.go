package sim

import (
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/space"
)

// TestEveryPlace begins at a checkpoint of each place of some logs, upgrades included: what follows makes the same tables of it as all of
// the log does.
func TestEveryPlace(t *testing.T) {
	places := 0
	for seed := range uint64(3) {
		w := New(withTables(t, Options{Seed: seed + 1}))
		if err := w.Run(); err != nil {
			t.Fatalf("%v\n%s", err, strings.Join(w.Trace(), "\n"))
		}
		load := w.loader(func(d digest.Digest) []byte { return w.server.blobs[d] }, false)
		for _, id := range sortedIDs(w.server.stored) {
			st := w.server.stored[id]
			whole, err := begin(&st.genesis, load, func() []space.Record { return st.records }, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := whole.Apply(st.records); err != nil {
				t.Fatal(err)
			}
			if len(st.records) == 0 {
				continue
			}
			_, want := w.pack(id, whole, st.records)
			for k := range st.records {
				if !st.records[k].Last() {
					continue
				}
				before, err := begin(&st.genesis, load, func() []space.Record { return st.records }, nil)
				if err == nil {
					err = before.Apply(st.records[:k+1])
				}
				if err != nil {
					t.Fatal(err)
				}
				at, _ := w.pack(id, before, st.records)
				after, err := begin(&st.genesis, load, func() []space.Record { return st.records }, &at)
				if err == nil {
					err = after.Apply(st.records[k+1:])
				}
				if err != nil {
					t.Fatalf("%s: behind record %d: %v", short(id), k+1, err)
				}
				if _, got := w.pack(id, after, st.records); got != want {
					t.Fatalf("%s: from the checkpoint of record %d come other tables than from the whole log", short(id), k+1)
				}
				places++
			}
		}
	}
	if places < 100 {
		t.Errorf("%d places", places)
	}
}
