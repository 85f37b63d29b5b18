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
