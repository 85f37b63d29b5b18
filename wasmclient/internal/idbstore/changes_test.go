package idbstore

import (
	"slices"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/space"
)

// A change log that has forgotten changes says so: who asks about them looks at every space.
func TestChangeLog(t *testing.T) {
	var log changeLog
	spaceOf := func(n int) space.ID { return space.ID{byte(n >> 8), byte(n)} }
	touch := func(spaces ...int) {
		log.begin()
		for _, n := range spaces {
			log.note(spaceOf(n), log.number)
		}
		var err error
		if log, err = decodeChangeLog(appendChangeLog(nil, &log)); err != nil {
			t.Fatal(err)
		}
	}
	wants := func(after uint64, spaces ...int) {
		t.Helper()
		got, known := log.since(after)
		if known != (spaces != nil) {
			t.Fatalf("after %d of %d: known %v", after, log.number, known)
		}
		if len(got) != len(spaces) {
			t.Fatalf("after %d: %v, want %v", after, got, spaces)
		}
		for _, n := range spaces {
			if !slices.ContainsFunc(got, func(c replica.Changed) bool { return c.Space == spaceOf(n) }) {
				t.Errorf("after %d: %v, want %v", after, got, spaces)
			}
		}
	}
	wants(0)
	touch(1)
	touch(2)
	touch(1, 3)
	wants(1, 1, 2, 3)
	wants(2, 1, 3)
	wants(3, []int{}...)
	if _, known := log.since(3); !known {
		t.Error("that nothing changed is not known")
	}
	wants(4) // of another log, or from before something was lost
	for n := range rememberedChanges {
		touch(100 + n)
	}
	if len(log.recent) != rememberedChanges {
		t.Errorf("%d spaces are remembered, want %d", len(log.recent), rememberedChanges)
	}
	wants(1)
	wants(2)
	if got, known := log.since(3); !known || len(got) != rememberedChanges {
		t.Errorf("after 3: %d spaces, known %v", len(got), known)
	}
	for range 10 * rememberedChanges { // one space, however often, pushes out no other
		touch(200)
	}
	if got, known := log.since(4); !known || len(got) != rememberedChanges {
		t.Errorf("after 4: %d spaces, known %v", len(got), known)
	}
	encoded := appendChangeLog(nil, &log)
	for n := range encoded {
		if _, err := decodeChangeLog(encoded[:n]); err == nil {
			t.Fatalf("%d of %d bytes are a change log", n, len(encoded))
		}
	}
}
