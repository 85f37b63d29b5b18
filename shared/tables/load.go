package tables

import (
	"slices"
	"strings"
)

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
	columns := schema.order(index)
	x := indexMaker{groups: map[string]int32{}}
	places := schema.all()
	var values [MaxColumns]value
	var key []byte
	var failed error
	err := t.rows().ascend("", func(own, row string) bool {
		if _, failed = schema.split([]byte(row), places, &values); failed != nil {
			return false
		}
		if key, failed = schema.appendKeys(key[:0], columns, &values); failed != nil {
			return false
		}
		if key = append(key, own...); len(key) > MaxKey {
			failed = ErrTooLarge
		} else if x.add(string(key), own); x.bytes > room {
			failed = ErrQuota
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
	slices.SortFunc(prefixes, strings.Compare)
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
