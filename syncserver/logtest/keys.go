package logtest

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"skerry/shared/digest"
	"skerry/syncserver"
)

func testBlobs(s *suite) {
	for _, content := range [][]byte{{}, {0}, randomBytes(s.rng, 4096), randomBytes(s.rng, 3<<20)} {
		name := digest.Of(content)
		if has, err := s.log.HasBlob(s.ctx, name); err != nil || has {
			s.Fatalf("HasBlob before = %v, %v", has, err)
		}
		if _, err := s.log.Blob(s.ctx, name); !errors.Is(err, syncserver.ErrNoBlob) {
			s.Fatalf("Blob before = %v", err)
		}
		for range 2 {
			s.must("PutBlob", s.log.PutBlob(s.ctx, name, content))
			got, err := s.log.Blob(s.ctx, name)
			if err != nil || !bytes.Equal(got, content) {
				s.Fatalf("Blob of %d bytes = %d bytes, %v", len(content), len(got), err)
			}
			if has, err := s.log.HasBlob(s.ctx, name); err != nil || !has {
				s.Fatalf("HasBlob = %v, %v", has, err)
			}
		}
	}
}

func testBlobsDeleted(s *suite) {
	var want []digest.Digest
	for i := range 9 {
		content := []byte{byte(i)}
		want = append(want, digest.Of(content))
		s.must("PutBlob", s.log.PutBlob(s.ctx, want[i], content))
	}
	s.must("DeleteBlob", s.log.DeleteBlob(s.ctx, want[8]))
	s.must("DeleteBlob", s.log.DeleteBlob(s.ctx, want[8]))
	if _, err := s.log.Blob(s.ctx, want[8]); !errors.Is(err, syncserver.ErrNoBlob) {
		s.Fatalf("Blob after it was deleted = %v", err)
	}
	want = want[:8]
	slices.SortFunc(want, func(a, b digest.Digest) int { return bytes.Compare(a[:], b[:]) })
	for _, limit := range []int{1, 3, 8, 9} {
		var got []digest.Digest
		for after := (digest.Digest{}); ; after = got[len(got)-1] {
			names, err := s.log.Blobs(s.ctx, after, limit)
			if err != nil || len(names) > limit {
				s.Fatalf("Blobs = %d names, %v", len(names), err)
			}
			if len(names) == 0 {
				break
			}
			got = append(got, names...)
		}
		if !slices.Equal(got, want) {
			s.Fatalf("Blobs, %d at a time = %v, not %v", limit, got, want)
		}
	}
}

// testPages: pages are a space's own, also where another one has the same bytes.
func testPages(s *suite) {
	a, b := s.space(), s.space()
	page := func(content []byte) syncserver.Page { return syncserver.Page{Name: digest.Of(content), Bytes: content} }
	one, two, three := page([]byte{}), page(randomBytes(s.rng, 60_000)), page([]byte("three"))
	if err := s.log.PutPages(s.ctx, digest.Of([]byte("no space")), []syncserver.Page{one}); !errors.Is(err, syncserver.ErrNoSpace) {
		s.Fatalf("PutPages of no space = %v", err)
	}
	check := func(id digest.Digest, want ...syncserver.Page) {
		s.Helper()
		names, err := s.log.Pages(s.ctx, id)
		if err != nil || len(names) != len(want) {
			s.Fatalf("Pages = %v, %v", names, err)
		}
		for _, p := range want {
			got, err := s.log.Page(s.ctx, p.Name)
			if err != nil || !bytes.Equal(got, p.Bytes) || !slices.Contains(names, p.Name) {
				s.Fatalf("Page = %d bytes, %v; of %v", len(got), err, names)
			}
		}
	}
	check(a.id)
	if _, err := s.log.Page(s.ctx, one.Name); !errors.Is(err, syncserver.ErrNoBlob) {
		s.Fatalf("Page before = %v", err)
	}
	s.must("PutPages", s.log.PutPages(s.ctx, a.id, []syncserver.Page{one, two}))
	s.must("PutPages", s.log.PutPages(s.ctx, a.id, []syncserver.Page{two, three, two}))
	s.must("PutPages", s.log.PutPages(s.ctx, b.id, []syncserver.Page{two}))
	check(a.id, one, two, three)
	check(b.id, two)
	s.must("DeletePages", s.log.DeletePages(s.ctx, a.id, []digest.Digest{two.Name, one.Name, two.Name}))
	check(a.id, three)
	check(b.id, two)
	if _, err := s.log.Page(s.ctx, one.Name); !errors.Is(err, syncserver.ErrNoBlob) {
		s.Fatalf("Page after it was deleted = %v", err)
	}
	if _, err := s.log.Blob(s.ctx, three.Name); !errors.Is(err, syncserver.ErrNoBlob) {
		s.Fatalf("a page is a blob: %v", err)
	}
}

func testKeys(s *suite) {
	steps := []struct {
		key        string
		old, value []byte
		want       bool
		then       []byte
	}{
		{"a", []byte{}, []byte("1"), false, nil}, // empty is not absent
		{"a", []byte("1"), nil, false, nil},
		{"a", nil, []byte("1"), true, []byte("1")},
		{"a", nil, []byte("2"), false, []byte("1")},
		{"a", []byte("2"), []byte("3"), false, []byte("1")},
		{"a", []byte("1"), []byte{}, true, []byte{}},
		{"a", nil, []byte("4"), false, []byte{}},
		{"a", []byte{}, []byte{}, true, []byte{}},
		{"a", []byte{}, []byte("5"), true, []byte("5")},
		{"A", nil, nil, true, nil}, // keys are bytes, and absent may stay absent
		{"a\x00b", nil, []byte("6"), true, []byte("6")},
		{"a", []byte("5"), nil, true, nil},
		{"a\x00b", []byte("6"), randomBytes(s.rng, 100_000), true, nil},
	}
	for i, step := range steps {
		ok, err := s.log.CompareAndSet(s.ctx, step.key, step.old, step.value)
		if err != nil || ok != step.want {
			s.Fatalf("step %d: CompareAndSet = %v, %v", i, ok, err)
		}
		if i == len(steps)-1 {
			step.then = step.value
		}
		got, err := s.log.Key(s.ctx, step.key)
		if err != nil || (got == nil) != (step.then == nil) || !bytes.Equal(got, step.then) {
			s.Fatalf("step %d: Key = %q (nil %v), %v; want %q", i, got, got == nil, err, step.then)
		}
	}
}

// testKeyRaces: goroutines add to one counter by compare-and-set; not one addition is lost.
func testKeyRaces(s *suite) {
	const writers = 16
	each := soak(10, 200)
	together(writers, func(int) {
		for range each {
			for {
				old, err := s.log.Key(s.ctx, "counter")
				if err != nil {
					s.Errorf("Key: %v", err)
					return
				}
				n, _ := strconv.Atoi(string(old))
				ok, err := s.log.CompareAndSet(s.ctx, "counter", old, []byte(strconv.Itoa(n+1)))
				if err != nil {
					s.Errorf("CompareAndSet: %v", err)
					return
				}
				if ok {
					break
				}
			}
		}
	})
	if got, err := s.log.Key(s.ctx, "counter"); err != nil || string(got) != strconv.Itoa(writers*each) {
		s.Fatalf("the counter is %s, %v; want %d", got, err, writers*each)
	}
}

func testScan(s *suite) {
	keys := []string{
		"a", "a/", "a/1", "a/10", "a/2", "a/\x00", "a/\xff", "a/\xff\xff", "a0", "b", "\xff", "\xff\xff", "\xff\xff\x00", "é", "A/1", "%", "a_1",
	}
	for _, key := range keys {
		if ok, err := s.log.CompareAndSet(s.ctx, key, nil, []byte("of "+key)); err != nil || !ok {
			s.Fatalf("CompareAndSet(%q) = %v, %v", key, ok, err)
		}
	}
	slices.Sort(keys)
	for _, prefix := range append(keys, "", "c", "a/1x") {
		for _, after := range append(keys, "", "a/0", "zz") {
			var want []string
			for _, key := range keys {
				if strings.HasPrefix(key, prefix) && key > after {
					want = append(want, key)
				}
			}
			for _, limit := range []int{0, 1, 3, len(want), len(want) + 1} {
				found, err := s.log.Scan(s.ctx, prefix, after, limit)
				s.must("Scan", err)
				var got []string
				for _, kv := range found {
					got = append(got, kv.Key)
					if string(kv.Value) != "of "+kv.Key {
						s.Fatalf("Scan: %q holds %q", kv.Key, kv.Value)
					}
				}
				if !slices.Equal(got, want[:min(limit, len(want))]) {
					s.Fatalf("Scan(%q after %q, %d) = %q, want %q", prefix, after, limit, got, want)
				}
			}
		}
	}
}
