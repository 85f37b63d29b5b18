package tables_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"skerry/shared/tables"
)

// row writes values as a row.
func row(values ...any) []byte {
	var b []byte
	for _, v := range values {
		switch v := v.(type) {
		case bool:
			b = append(b, map[bool]byte{true: 1}[v])
		case int:
			b = binary.LittleEndian.AppendUint64(b, uint64(int64(v)))
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, v)
		case float64:
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		case string:
			b = append(binary.LittleEndian.AppendUint32(b, uint32(len(v))), v...)
		case nil:
			b = append(b, 0)
		case some:
			b = append(append(b, 1), row(v.v)...)
		}
	}
	return b
}

type some struct{ v any }

// TestKeysSort takes values of each kind in their order and sees that their keys are in it.
func TestKeysSort(t *testing.T) {
	for name, c := range map[string]struct {
		column tables.Column
		values []any
		keys   []string // of some, by hand
	}{
		"bool": {tables.Column{Kind: tables.Bool}, []any{false, true}, []string{"00", "01"}},
		"i64": {tables.Column{Kind: tables.I64}, []any{math.MinInt64, -2, -1, 0, 1, 255, 256, math.MaxInt64},
			[]string{"0000000000000000", "7ffffffffffffffe", "7fffffffffffffff", "8000000000000000"}},
		"u64": {tables.Column{Kind: tables.U64}, []any{uint64(0), uint64(1), uint64(1 << 40), uint64(math.MaxUint64)}, []string{"0000000000000000"}},
		"f64": {tables.Column{Kind: tables.F64}, []any{math.Inf(-1), -1e300, -1.5, -math.SmallestNonzeroFloat64, 0.0, math.SmallestNonzeroFloat64, 1.5, math.Inf(1)},
			[]string{"000fffffffffffff"}},
		"text": {tables.Column{Kind: tables.Text}, []any{"", "\x00", "\x00\x00", "\x00a", "\x01", "a", "a\x00", "a\x00b", "aa", "b", "é", "\U0001F600"},
			[]string{"0000", "00ff0000", "00ff00ff0000"}},
		"bytes":         {tables.Column{Kind: tables.Bytes}, []any{"", "\x00\xff", "\x01", "\xfe", "\xff", "\xff\x00", "\xff\xff"}, nil},
		"optional":      {tables.Column{Kind: tables.I64, Optional: true}, []any{nil, some{math.MinInt64}, some{0}}, []string{"00", "010000000000000000"}},
		"optional text": {tables.Column{Kind: tables.Text, Optional: true}, []any{nil, some{""}, some{"a"}}, []string{"00", "010000"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.column.Name = "c"
			schema := tables.Schema{Name: "t", Columns: []tables.Column{c.column}, Indexes: []tables.Index{{Name: "i", Columns: []int{0}}}}
			var last []byte
			for i, v := range c.values {
				key, _, err := schema.KeyOf(1, row(v))
				if err != nil {
					t.Fatalf("%v: %v", v, err)
				}
				if i > 0 && bytes.Compare(last, key) >= 0 {
					t.Errorf("%v has the key %x, which is not above %x", v, key, last)
				}
				if i < len(c.keys) && fmt.Sprintf("%x", key) != c.keys[i] {
					t.Errorf("%v has the key %x, not %s", v, key, c.keys[i])
				}
				last = key
			}
		})
	}
	zero := tables.Schema{Columns: []tables.Column{{Kind: tables.F64}}, Key: []int{0}}
	plus, _, _ := zero.KeyOf(0, row(0.0))
	minus, _, err := zero.KeyOf(0, row(math.Copysign(0, -1)))
	if err != nil || !bytes.Equal(plus, minus) {
		t.Errorf("-0 has the key %x, 0 has %x, %v", minus, plus, err)
	}
	if _, _, err := zero.KeyOf(0, row(math.Float64frombits(0x7ff8<<48))); !errors.Is(err, tables.ErrBadRow) {
		t.Errorf("NaN in a key: %v", err)
	}
}

var people = tables.Schema{
	Name: "people",
	Columns: []tables.Column{
		{Name: "id", Kind: tables.U64}, {Name: "name", Kind: tables.Text}, {Name: "mail", Kind: tables.Text, Optional: true},
		{Name: "score", Kind: tables.F64}, {Name: "here", Kind: tables.Bool}, {Name: "blob", Kind: tables.Bytes, Optional: true},
	},
	Key: []int{0},
	Indexes: []tables.Index{
		{Name: "by name", Columns: []int{1}}, {Name: "by mail", Columns: []int{2}, Unique: true}, {Name: "by both", Columns: []int{4, 1}},
	},
}

func newSet(t testing.TB, schemas ...tables.Schema) *tables.Set {
	t.Helper()
	set, err := tables.New(schemas)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestBadRows(t *testing.T) {
	good := row(uint64(1), "ada", some{"ada@example.org"}, 1.5, true, nil)
	set := newSet(t, people)
	if err := set.Begin().Put(0, good); err != nil {
		t.Fatal(err)
	}
	nan := math.Float64frombits(0x7ff8000000000001)
	for what, bad := range map[string][]byte{
		"nothing":             {},
		"cut short":           good[:len(good)-1],
		"too long":            append(slices.Clone(good), 0),
		"a column too few":    row(uint64(1), "ada", nil, 1.5, true),
		"text not UTF-8":      row(uint64(1), "\xff", nil, 1.5, true, nil),
		"another NaN":         row(uint64(1), "ada", nil, nan, true, nil),
		"a length too great":  append(row(uint64(1)), 0xff, 0xff, 0xff, 0xff, 'a'),
		"a bool of 2":         append(append(row(uint64(1), "ada", nil, 1.5), 2), 0),
		"an optional of 2":    append(row(uint64(1), "ada"), 2, 0, 0, 0, 0),
		"an absent one given": row(uint64(1), "ada", nil, "x", 1.5, true, nil),
	} {
		if err := set.Begin().Put(0, bad); !errors.Is(err, tables.ErrBadRow) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := set.Begin().Put(0, row(uint64(2), "ada", nil, math.Float64frombits(0x7ff8<<48), true, nil)); err != nil {
		t.Errorf("the one NaN: %v", err)
	}
	if err := set.Begin().Put(1, good); !errors.Is(err, tables.ErrNoTable) {
		t.Errorf("another table: %v", err)
	}
	if set.Len(0) != 2 {
		t.Errorf("%d rows", set.Len(0))
	}
}

func TestUnique(t *testing.T) {
	set := newSet(t, people)
	put := func(id uint64, mail any) error {
		return set.Begin().Put(0, row(id, "n", mail, 0.0, false, nil))
	}
	for _, c := range []struct {
		id   uint64
		mail any
		want error
	}{
		{1, some{"a"}, nil}, {2, some{"a"}, tables.ErrUnique}, {2, some{"a\x00"}, nil}, {3, some{""}, nil}, {4, nil, nil}, {5, nil, nil},
		{1, some{"a"}, nil}, {1, some{"b"}, nil}, {6, some{"a"}, nil}, {1, some{"a"}, tables.ErrUnique}, {7, some{""}, tables.ErrUnique},
	} {
		if err := put(c.id, c.mail); !errors.Is(err, c.want) {
			t.Errorf("%d with %v: %v, not %v", c.id, c.mail, err, c.want)
		}
	}
}

func TestQuotas(t *testing.T) {
	wide := tables.Schema{Name: "t", Columns: []tables.Column{{Name: "k", Kind: tables.Bytes}, {Name: "v", Kind: tables.Bytes}}, Key: []int{0}}
	set := newSet(t, wide)
	key := func(n int) string { return strings.Repeat("k", n) }
	if err := set.Begin().Put(0, row(key(tables.MaxKey-2), "")); err != nil {
		t.Errorf("the longest key: %v", err)
	}
	if err := set.Begin().Put(0, row(key(tables.MaxKey-1), "")); !errors.Is(err, tables.ErrTooLarge) {
		t.Errorf("one more: %v", err)
	}
	full := strings.Repeat("v", tables.MaxRow-4-4-1)
	if err := set.Begin().Put(0, row("k", full)); err != nil {
		t.Errorf("the longest row: %v", err)
	}
	if err := set.Begin().Put(0, row("k", full+"v")); !errors.Is(err, tables.ErrTooLarge) {
		t.Errorf("one more: %v", err)
	}
	change := set.Begin()
	for n := range tables.MaxWrites {
		if err := change.Put(0, row(fmt.Sprint(n), "")); err != nil {
			t.Fatalf("write %d: %v", n, err)
		}
	}
	if err := change.Put(0, row("one more", "")); !errors.Is(err, tables.ErrQuota) {
		t.Errorf("one more write: %v", err)
	}
	if _, err := change.Delete(0, []byte("0\x00\x00")); !errors.Is(err, tables.ErrQuota) {
		t.Errorf("a deletion as one more: %v", err)
	}
	change = set.Begin()
	for range tables.MaxChangeBytes / tables.MaxRow {
		if err := change.Put(0, row("k", full)); err != nil {
			t.Fatal(err)
		}
	}
	if err := change.Put(0, row("k", "")); !errors.Is(err, tables.ErrQuota) {
		t.Errorf("bytes over a transaction's: %v", err)
	}

	// A whole space, filled to the last byte.
	set = newSet(t, wide)
	for n := 0; ; n++ {
		k := fmt.Sprintf("%06d", n)
		left := tables.MaxBytes - set.Bytes() - (6 + 2) - (4 + 6 + 4)
		size := min(left, len(full)-6)
		if err := set.Begin().Put(0, row(k, full[:size])); err != nil {
			t.Fatalf("row %d at %d bytes: %v", n, set.Bytes(), err)
		}
		if left == size {
			break
		}
	}
	if set.Bytes() != tables.MaxBytes {
		t.Errorf("%d bytes, not %d", set.Bytes(), tables.MaxBytes)
	}
	if err := set.Begin().Put(0, row("x", "")); !errors.Is(err, tables.ErrQuota) {
		t.Errorf("over it: %v", err)
	}
	if err := set.Begin().Put(0, row("000000", "")); err != nil {
		t.Errorf("a row made smaller: %v", err)
	}
	if err := set.Begin().Put(0, row("x", "")); err != nil {
		t.Errorf("in what that left: %v", err)
	}
}

// TestAgainstAList plays random changes on a set, on copies of it, and on lists that are sorted anew each time.
func TestAgainstAList(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	type pair struct {
		set  *tables.Set
		list map[uint64][]byte
	}
	worlds := []pair{{newSet(t, people), map[uint64][]byte{}}}
	for range 4000 {
		w := &worlds[r.IntN(len(worlds))]
		switch n := r.IntN(20); {
		case n == 0 && len(worlds) < 5:
			list := map[uint64][]byte{}
			for k, v := range w.list {
				list[k] = v
			}
			worlds = append(worlds, pair{w.set.Copy(), list})
		case n < 5:
			id := uint64(r.IntN(40))
			key, _, _ := people.KeyOf(0, row(id))
			deleted, err := w.set.Begin().Delete(0, key)
			if _, had := w.list[id]; err != nil || deleted != had {
				t.Fatalf("delete %d: %v %v", id, deleted, err)
			}
			delete(w.list, id)
		default:
			id := uint64(r.IntN(40))
			var mail any
			if r.IntN(2) == 0 {
				mail = some{fmt.Sprint(r.IntN(30))}
			}
			made := row(id, string(rune('a'+r.IntN(4))), mail, r.NormFloat64(), r.IntN(2) == 0, nil)
			taken := false
			for other, existing := range w.list {
				taken = taken || other != id && mail != nil && mailOf(existing) == mailOf(made)
			}
			if err := w.set.Begin().Put(0, made); taken != errors.Is(err, tables.ErrUnique) || !taken && err != nil {
				t.Fatalf("put %d, taken %v: %v", id, taken, err)
			}
			if !taken {
				w.list[id] = made
			}
		}
		if r.IntN(10) > 0 {
			continue
		}
		for index := range 4 {
			compare(t, w.set, w.list, index, r)
		}
	}
}

// mailOf returns a row's mail with its presence.
func mailOf(row []byte) string {
	n := 8 + 4 + int(binary.LittleEndian.Uint32(row[8:]))
	if row[n] == 0 {
		return ""
	}
	size := int(binary.LittleEndian.Uint32(row[n+1:]))
	return string(row[n+1 : n+5+size])
}

// compare scans an index both ways, whole and by a prefix and from a place.
func compare(t *testing.T, set *tables.Set, list map[uint64][]byte, index int, r *rand.Rand) {
	t.Helper()
	var keys []string
	rows := map[string]string{}
	size := 0
	for id, made := range list {
		own, _, _ := people.KeyOf(0, row(id))
		key := string(own)
		if index > 0 {
			name := made[8:13]
			values := map[int][]byte{1: name, 2: made[13 : len(made)-10], 3: append([]byte{made[len(made)-2]}, name...)}[index]
			sorted, _, err := people.KeyOf(index, values)
			if err != nil {
				t.Fatalf("%x: %v", values, err)
			}
			key = string(sorted) + key
		}
		keys = append(keys, key)
		rows[key] = string(made)
		size += len(made)
	}
	slices.Sort(keys)
	prefix, from := "", ""
	if len(keys) > 0 && r.IntN(2) == 0 {
		any := keys[r.IntN(len(keys))]
		prefix = any[:r.IntN(len(any))]
	}
	descending := r.IntN(2) == 0
	if len(keys) > 0 && r.IntN(2) == 0 {
		from = keys[r.IntN(len(keys))]
	}
	var want []string
	for _, key := range keys {
		if strings.HasPrefix(key, prefix) && (from == "" || !descending && key >= from || descending && key <= from) {
			want = append(want, rows[key])
		}
	}
	if descending {
		slices.Reverse(want)
	}
	var got []string
	if err := set.Scan(0, index, prefix, from, descending, func(_, row string) bool {
		got = append(got, row)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("index %d, prefix %x, from %x, descending %v: %d rows, not %d, or others", index, prefix, from, descending, len(got), len(want))
	}
}
