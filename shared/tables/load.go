package tables

import "sort"

// indexMaker makes an index of rows, which come in the order of their keys. That is many times faster than to put its
// entries one by one: what is sorted is not these but the values that they have in common.
type indexMaker struct {
	groups  map[string]int32 // by what the columns are
	sizes   []int32          // of groups
	of      []int32          // the group of each entry
	entries []entry
	bytes   int
}

// entry is one of an index: its key, and the key of the row.
type entry struct{ key, row string }

// makeIndex makes an index, which is empty, of a table's rows. It may be of so many bytes.
func (t *table) makeIndex(o *owner, index, room int) error {
	order := &t.orders[index]
	schema := order.kind.schema
	x := indexMaker{groups: map[string]int32{}}
	keys := newIndexKeys(schema, index)
	var failed error
	err := t.rows().ascend("", func(own, row string) bool {
		var key string
		if key, failed = keys.of(own, row); failed == nil {
			if x.add(key, own); x.bytes > room {
				failed = ErrQuota
			}
		}
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	return x.load(order, o)
}

// indexKeys makes the keys of rows in an index.
type indexKeys struct {
	schema          *Schema
	columns, places []int
	values          [MaxColumns]value
	key             []byte
}

func newIndexKeys(schema *Schema, index int) *indexKeys {
	return &indexKeys{schema: schema, columns: schema.order(index), places: schema.all()}
}

// of returns the key of a row, whose own is known.
func (k *indexKeys) of(own, row string) (string, error) {
	_, err := k.schema.split(asBytes(row), k.places, &k.values)
	if err == nil {
		k.key, err = k.schema.appendKeys(k.key[:0], k.columns, &k.values)
	}
	if k.key = append(k.key, own...); err == nil && len(k.key) > MaxKey {
		err = ErrTooLarge
	}
	return string(k.key), err
}

// mendIndex makes an index one of a table's rows that is one of the rows that there were. It looks at what rows have been read
// and written since, as far as copies do not share them.
func (t *table) mendIndex(o *owner, index int, was *tree) error {
	order := &t.orders[index]
	schema := order.kind.schema
	keys := newIndexKeys(schema, index)
	gone, came, err := differences(was, t.rows())
	if err != nil {
		return err
	}
	for _, e := range gone {
		key, err := keys.of(e.key, e.row)
		if err == nil {
			_, _, err = order.delete(o, key)
		}
		if err != nil {
			return err
		}
	}
	for _, e := range came {
		key, err := keys.of(e.key, e.row)
		if err == nil {
			err = order.unique(key, e.key) // what is gone is so already
		}
		if err == nil {
			_, _, err = order.set(o, key, e.key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// differences returns the entries that two trees of the same kind do not have in common. Runs that they share are passed over: what
// is in one of these is in no other.
func differences(was, is *tree) (gone, came []entry, err error) {
	var before, after []entry // since both had a run that ends with the same key
	for i, j := 0, 0; i <= len(was.runs) || j <= len(is.runs); {
		a, left := was.run(i)
		b, right := is.run(j)
		switch {
		case i < len(was.runs) && (j == len(is.runs) || a < b):
			before, err = left.appendTo(before, was.kind)
			i++
		case j < len(is.runs) && (i == len(was.runs) || b < a):
			after, err = right.appendTo(after, is.kind)
			j++
		default:
			if left != right {
				if before, err = left.appendTo(before, was.kind); err == nil {
					after, err = right.appendTo(after, is.kind)
				}
			}
			gone, came = apart(gone, came, before, after)
			before, after = before[:0], after[:0]
			i++
			j++
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return gone, came, nil
}

// appendTo appends the entries of a run; nil has none.
func (r *run) appendTo(entries []entry, k *kind) ([]entry, error) {
	if r == nil {
		return entries, nil
	}
	if err := r.read(k); err != nil {
		return nil, err
	}
	r.entries.Scan(func(key, row string) bool {
		entries = append(entries, entry{key, row})
		return true
	})
	return entries, nil
}

// apart appends what is in one of two lists, which are in the order of keys, and not in the other.
func apart(gone, came, before, after []entry) (_, _ []entry) {
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(after) == 0 || len(before) > 0 && before[0].key < after[0].key:
			gone, before = append(gone, before[0]), before[1:]
		case len(before) == 0 || after[0].key < before[0].key:
			came, after = append(came, after[0]), after[1:]
		default:
			if before[0].row != after[0].row {
				gone, came = append(gone, before[0]), append(came, after[0])
			}
			before, after = before[1:], after[1:]
		}
	}
	return gone, came
}

func (x *indexMaker) add(key, row string) {
	prefix := key[:len(key)-len(row)]
	group, ok := x.groups[prefix]
	if !ok {
		group = int32(len(x.sizes))
		x.groups[prefix] = group
		x.sizes = append(x.sizes, 0)
	}
	x.sizes[group]++
	x.of = append(x.of, group)
	x.entries = append(x.entries, entry{key, row})
	x.bytes += len(key) + len(row)
}

// load fills the index with what was added.
func (x *indexMaker) load(t *tree, o *owner) error {
	index := &t.kind.schema.Indexes[t.kind.index-1]
	prefixes := make([]string, 0, len(x.groups))
	for prefix, group := range x.groups {
		if index.Unique && x.sizes[group] > 1 && !t.kind.schema.absent(index.Columns, prefix) {
			return ErrUnique
		}
		prefixes = append(prefixes, prefix)
	}
	sort.Slice(prefixes, func(i, j int) bool { return prefixes[i] < prefixes[j] })
	next := make([]int32, len(x.sizes)) // where the next entry of each group goes
	at := int32(0)
	for _, prefix := range prefixes {
		group := x.groups[prefix]
		next[group] = at
		at += x.sizes[group]
	}
	sorted := make([]entry, len(x.entries))
	for n, e := range x.entries {
		sorted[next[x.of[n]]] = e
		next[x.of[n]]++
	}
	for _, e := range sorted {
		t.load(o, e.key, e.row)
	}
	return nil
}
