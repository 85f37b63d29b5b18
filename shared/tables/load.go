package tables

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// loader fills a table that is empty with rows in the order of their keys. That is many times faster than to put them one
// by one: nothing is looked for, a row and its keys are one piece of memory, and what is sorted for an index is not its rows
// but the values that they have in common.
type loader struct {
	set    *Set
	table  int
	schema *Schema
	all    []int

	values, ordered []value
	bytes           []byte // of the row and its keys
	ends            []int  // where the keys of indexes end in it
	last            string
	indexes         []indexLoader
}

// indexLoader gathers an index. Rows come in the order of their keys, so those of a group do.
type indexLoader struct {
	columns []int
	unique  bool
	groups  map[string]int32 // by what the columns are
	sizes   []int32          // of groups
	of      []int32          // the group of each entry
	entries []entry
}

// entry is one of an index: its key, and the key of the row.
type entry struct{ key, row string }

func newLoader(s *Set, table int) *loader {
	schema := &s.schemas[table]
	l := &loader{set: s, table: table, schema: schema, all: schema.all()}
	l.values, l.ordered = make([]value, len(schema.Columns)), make([]value, len(schema.Columns))
	for _, index := range schema.Indexes {
		l.indexes = append(l.indexes, indexLoader{columns: index.Columns, unique: index.Unique, groups: map[string]int32{}})
	}
	return l
}

// page adds the rows of a page.
func (l *loader) page(page []byte) error {
	r := &checkpointReader{rest: page}
	for len(r.rest) > 0 {
		row := r.take(int(r.uint32()))
		if r.failed {
			return ErrBadCheckpoint
		}
		if err := l.row(row); err != nil {
			return fmt.Errorf("%w: %w", ErrBadCheckpoint, err)
		}
	}
	return nil
}

var errOrder = errors.New("rows are not in the order of their keys")

// row adds a row.
func (l *loader) row(row []byte) error {
	if len(row) > MaxRow {
		return ErrTooLarge
	}
	n, err := l.schema.split(row, l.all, l.values)
	if err == nil && n < len(l.all) {
		err = ErrBadRow
	}
	if err == nil {
		l.bytes, err = l.appendKey(append(l.bytes[:0], row...), l.schema.Key)
	}
	if err != nil {
		return err
	}
	end := len(l.bytes)
	l.ends = l.ends[:0]
	for i := range l.indexes {
		from := len(l.bytes)
		if l.bytes, err = l.appendKey(l.bytes, l.indexes[i].columns); err != nil {
			return err
		}
		if l.bytes = append(l.bytes, l.bytes[len(row):end]...); len(l.bytes)-from > MaxKey {
			return ErrTooLarge
		}
		l.ends = append(l.ends, len(l.bytes))
	}
	text := string(l.bytes)
	key := text[len(row):end]
	t := &l.set.tables[l.table]
	if key <= l.last && t.rows.Len() > 0 {
		return errOrder
	}
	if l.set.bytes += len(text) + len(l.indexes)*len(key); l.set.bytes > MaxBytes {
		return ErrQuota
	}
	t.rows.Load(key, text[:len(row)])
	l.last = key
	for i := range l.indexes {
		l.indexes[i].add(text[end:l.ends[i]], key)
		end = l.ends[i]
	}
	return nil
}

// appendKey appends the sortable form of some of the row's columns.
func (l *loader) appendKey(b []byte, columns []int) ([]byte, error) {
	for i, place := range columns {
		l.ordered[i] = l.values[place]
	}
	return l.schema.appendKeys(b, columns, l.ordered)
}

func (x *indexLoader) add(key, row string) {
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
}

// end makes the indexes of the rows that came.
func (l *loader) end() error {
	for i := range l.indexes {
		x := &l.indexes[i]
		prefixes := make([]string, 0, len(x.groups))
		for prefix, group := range x.groups {
			if x.unique && x.sizes[group] > 1 && !l.schema.absent(x.columns, prefix) {
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
		index := &l.set.tables[l.table].indexes[i]
		for _, e := range sorted {
			index.Load(e.key, e.row)
		}
	}
	return nil
}
