package tables

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unsafe"
)

// Limits on tables and on what one transaction changes. What is at a limit passes, one more is refused.
const (
	MaxBytes       = 64 << 20 // of the rows, keys and index entries of a space
	MaxWrites      = 4_096    // of a transaction
	MaxChangeBytes = 1 << 20  // of the rows that a transaction writes and the keys that it deletes
)

var (
	// ErrQuota tells that a change would take a space's tables, or a transaction's writes, over their limit.
	ErrQuota = errors.New("tables: over the quota")
	// ErrUnique tells that another row has the columns of a unique index.
	ErrUnique = errors.New("tables: another row has the same values in a unique index")
	// ErrNoTable tells that there is no table or index of that number.
	ErrNoTable = errors.New("tables: there is no such table or index")
)

// Set is all tables of a space. It is not safe for concurrent use; a copy is another set.
//
// A set that began with a checkpoint ([ReadCheckpoint]) reads pages of it when they are needed, so that every method that
// looks at rows may fail with [ErrPage]. The set is of no use then.
type Set struct {
	schemas []Schema
	tables  []table
	bytes   int
	owner   *owner // of what it has written since it was copied
	scratch *scratch
	touched func(table, index int, key string)
}

// scratch is what a set works with while a row is written: its keys, and those of the one in whose place it comes.
type scratch struct{ keys, old keyList }

// table is the rows by key, and then for each index the keys of rows by its own.
type table struct{ orders []tree }

func (t *table) rows() *tree { return &t.orders[0] }

// New returns empty tables. It keeps the schemas.
func New(schemas []Schema) (*Set, error) {
	if len(schemas) > MaxTables {
		return nil, fmt.Errorf("%d tables are more than %d", len(schemas), MaxTables)
	}
	set := &Set{schemas: schemas, tables: make([]table, len(schemas)), owner: new(owner)}
	names := map[string]bool{}
	for i := range schemas {
		if err := schemas[i].Check(); err != nil {
			return nil, err
		}
		if names[schemas[i].Name] {
			return nil, fmt.Errorf("two tables are called %s", schemas[i].Name)
		}
		names[schemas[i].Name] = true
		orders := make([]tree, 1+len(schemas[i].Indexes))
		for j := range orders {
			orders[j].kind = &kind{&schemas[i], j}
		}
		set.tables[i].orders = orders
	}
	return set, nil
}

// Copy returns a set with the same rows, at once. Neither sees what is done to the other from then on.
func (s *Set) Copy() *Set {
	c := &Set{schemas: s.schemas, tables: make([]table, len(s.tables)), bytes: s.bytes, owner: new(owner), touched: s.touched}
	s.owner = new(owner)
	for i := range s.tables {
		c.tables[i].orders = slices.Clone(s.tables[i].orders)
	}
	return c
}

// Over returns tables of other schemas, with the rows of each table that has a table of its name and shape here: the same
// columns and key. Indexes may differ; only those that there are not yet are made. left are the tables of s that have rows
// and went nowhere. Its errors are those of [New], ErrUnique, ErrQuota, ErrTooLarge for the key of an index, and ErrPage.
func (s *Set) Over(schemas []Schema) (over *Set, left []int, err error) {
	return s.over(schemas, nil)
}

// OverSince is Over where made is what it returned, for the same schemas, when the tables were was: indexes that had to be made then
// are those of made, mended by the rows that changed since. Nothing was written to either from then on. It returns what Over does,
// but where the rows that changed have more than one fault it may be another one that it tells.
func (s *Set) OverSince(was, made *Set, schemas []Schema) (over *Set, left []int, err error) {
	if made == nil {
		return s.Over(schemas)
	}
	made.owner = new(owner)
	return s.over(schemas, func(over *Set, table, index int) (bool, error) {
		before := slices.IndexFunc(was.schemas, func(schema Schema) bool { return schema.sameShape(&schemas[table]) })
		if before < 0 {
			return false, nil
		}
		t := &over.tables[table]
		t.orders[index].share(&made.tables[table].orders[index])
		return true, t.mendIndex(over.owner, index, was.tables[before].rows())
	})
}

// mender makes an index of a table that has its rows of one that was made before, and reports whether there is such a one.
type mender func(over *Set, table, index int) (bool, error)

func (s *Set) over(schemas []Schema, mend mender) (over *Set, left []int, err error) {
	if over, err = New(schemas); err != nil {
		return nil, nil, err
	}
	s.owner = new(owner)
	for i := range s.tables {
		to := slices.IndexFunc(schemas, func(other Schema) bool { return s.schemas[i].sameShape(&other) })
		if to >= 0 {
			err = over.take(to, s, i, mend)
		} else if s.Len(i) > 0 {
			left = append(left, i)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if over.bytes > MaxBytes {
		return nil, nil, ErrQuota
	}
	return over, left, nil
}

func (s *Schema) sameShape(other *Schema) bool {
	return s.Name == other.Name && slices.Equal(s.Columns, other.Columns) && slices.Equal(s.Key, other.Key)
}

// take shares the rows of a table of the same shape, and the indexes that are the same ones, and makes the others, or mends them.
func (s *Set) take(table int, of *Set, from int, mend mender) error {
	t, other := &s.tables[table], &of.tables[from]
	t.orders[0].share(other.rows())
	s.bytes += t.orders[0].bytes
	for j, index := range s.schemas[table].Indexes {
		same := slices.IndexFunc(of.schemas[from].Indexes, func(i Index) bool {
			return slices.Equal(i.Columns, index.Columns) && (i.Unique || !index.Unique)
		})
		var err error
		done := same >= 0
		if done {
			t.orders[1+j].share(&other.orders[1+same])
		} else if mend != nil {
			done, err = mend(s, table, 1+j)
		}
		if !done {
			err = t.makeIndex(s.owner, 1+j, MaxBytes-s.bytes)
		}
		if err != nil {
			return err
		}
		s.bytes += t.orders[1+j].bytes
	}
	return nil
}

// share makes t a copy of another tree, whose entries are of the same form. Neither writes to what they share if both have new
// owners.
func (t *tree) share(from *tree) {
	kind := t.kind
	*t = *from
	t.kind = kind
}

// Schemas returns what the tables are made of, which nobody may change.
func (s *Set) Schemas() []Schema { return s.schemas }

// Observe makes f be called with each place that is written to from now on, in s and in copies that are made of it: with
// the key of a row (index 0) and with its key in each index, before and after the write. What comes of the write f cannot
// tell. nil ends it.
func (s *Set) Observe(f func(table, index int, key string)) { s.touched = f }

// touch tells the observer of a row's keys.
func (s *Set) touch(table int, keys *keyList) {
	for i := range keys.n {
		s.touched(table, i, string(keys.key(i)))
	}
}

// Bytes returns what counts towards [MaxBytes].
func (s *Set) Bytes() int { return s.bytes }

// Len returns how many rows a table has.
func (s *Set) Len(table int) int { return s.tables[table].rows().len }

// Get returns the row with a key. Its errors are ErrNoTable and ErrPage.
func (s *Set) Get(table int, key []byte) (row string, ok bool, err error) {
	if !s.has(table, 0) {
		return "", false, ErrNoTable
	}
	return s.tables[table].rows().get(unsafe.String(unsafe.SliceData(key), len(key))) // which keeps no key
}

// asBytes returns a text as bytes that nobody may change.
func asBytes(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }

func (s *Set) has(table, index int) bool {
	return table >= 0 && table < len(s.tables) && index >= 0 && index < len(s.tables[table].orders)
}

// Scan calls f with the keys and rows of a table, ascending or descending by an index, until f returns false: those
// whose key has the prefix and, if from is not empty, is at or past it in that direction. Index 0 is the table's own
// key, n its nth index. f must not change the set. Its errors are ErrNoTable and ErrPage.
func (s *Set) Scan(table, index int, prefix, from string, descending bool, f func(key, row string) bool) error {
	if !s.has(table, index) {
		return ErrNoTable
	}
	t := &s.tables[table]
	var failed error
	each := func(key, found string) bool {
		if !strings.HasPrefix(key, prefix) {
			return descending && key > prefix // still above what has the prefix
		}
		if index > 0 {
			if found, failed = t.row(found, index); failed != nil {
				return false
			}
		}
		return f(key, found)
	}
	var err error
	switch {
	case !descending:
		err = t.orders[index].ascend(max(from, prefix), each)
	case from != "":
		err = t.orders[index].descend(from, each)
	default:
		end, ok := after(prefix)
		if !ok {
			end = pastAll
		}
		err = t.orders[index].descend(end, each)
	}
	if failed != nil {
		return failed
	}
	return err
}

// row returns the row that an index names.
func (t *table) row(key string, index int) (string, error) {
	row, ok, err := t.rows().get(key)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %w: %v names a row that is not there", ErrPage, ErrBadCheckpoint, t.orders[index].kind)
	}
	return row, err
}

// after returns the first string past all that have a prefix; there is none for one of nothing but 255.
func after(prefix string) (string, bool) {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 255 {
			return prefix[:i] + string([]byte{prefix[i] + 1}), true
		}
	}
	return "", false
}

// Change counts what one transaction writes to a set, and can take it back.
type Change struct {
	set    *Set
	writes int
	bytes  int
	wrote  [MaxTables]bool
	steps  []step
	within bool // an entry is being written
}

// step is an entry of a tree as it was before it was written to.
type step struct {
	table, order uint8
	there        bool
	key, value   string
}

// Wrote reports whether the transaction wrote to a table, or deleted from it.
func (c *Change) Wrote(table int) bool { return c.wrote[table] }

// Names returns the first columns of the keys of the rows that the transaction wrote or deleted, where they are texts, each once
// or more often: of those that it added or deleted, and of those in whose place it put another one.
func (c *Change) Names(table int) (moved, replaced []string) {
	for i := range c.steps {
		s := &c.steps[i]
		if int(s.table) != table || s.order != 0 {
			continue
		}
		name, ok := c.set.schemas[table].name(s.key)
		_, stays, _ := c.set.tables[table].orders[0].get(s.key) // it was read, as it was written to
		switch {
		case !ok:
		case s.there && stays:
			replaced = append(replaced, name)
		default:
			moved = append(moved, name)
		}
	}
	return moved, replaced
}

// Names returns the first columns of the keys of all rows of a table, where they are texts. An error is one of [ErrPage].
func (s *Set) Names(table int) (names []string, err error) {
	err = s.Scan(table, 0, "", "", false, func(key, _ string) bool {
		if name, ok := s.schemas[table].name(key); ok {
			names = append(names, name)
		}
		return true
	})
	return names, err
}

// name returns the text that a row's key begins with.
func (s *Schema) name(key string) (string, bool) {
	if s.Columns[s.Key[0]].Kind != Text {
		return "", false
	}
	var b []byte
	for i := 0; i+1 < len(key); i++ {
		b = append(b, key[i])
		if key[i] == 0 {
			if i++; key[i] == 0 {
				return string(b[:len(b)-1]), true
			}
		}
	}
	return "", false
}

// Begin begins a transaction's change.
func (s *Set) Begin() *Change {
	if s.scratch == nil {
		s.scratch = new(scratch)
	}
	return &Change{set: s}
}

// TakeBack makes a set what it was before c: the set that c wrote to, or a copy of it, to which nothing was written since that
// was not taken back before. It reads no pages, as all that c wrote to was read. Nothing more is written through c. It panics
// if a write panicked half way, after which nobody knows what the set is.
func (c *Change) TakeBack(from *Set) {
	if c.within {
		panic("tables: a write did not end, and cannot be taken back")
	}
	for i := len(c.steps) - 1; i >= 0; i-- {
		step := &c.steps[i]
		t := &from.tables[step.table].orders[step.order]
		before := t.bytes
		var err error
		if step.there {
			_, _, err = t.set(from.owner, step.key, step.value)
		} else {
			_, _, err = t.delete(from.owner, step.key)
		}
		if err != nil {
			panic("tables: what was written is not there to be taken back: " + err.Error())
		}
		from.bytes += t.bytes - before
	}
}

// put sets an entry of a tree.
func (c *Change) put(table, order int, key, value string) error {
	t := &c.set.tables[table].orders[order]
	before := t.bytes
	c.within = true
	old, there, err := t.set(c.set.owner, key, value)
	c.within = false
	if err == nil {
		c.set.bytes += t.bytes - before
		c.steps = append(c.steps, step{uint8(table), uint8(order), there, key, old})
	}
	return err
}

// remove deletes an entry of a tree.
func (c *Change) remove(table, order int, key string) error {
	t := &c.set.tables[table].orders[order]
	before := t.bytes
	c.within = true
	old, there, err := t.delete(c.set.owner, key)
	c.within = false
	if err == nil && there {
		c.set.bytes += t.bytes - before
		c.steps = append(c.steps, step{uint8(table), uint8(order), true, key, old})
	}
	return err
}

// charge counts one write of so many bytes.
func (c *Change) charge(n int) error {
	if c.writes == MaxWrites || c.bytes+n > MaxChangeBytes {
		return ErrQuota
	}
	c.writes++
	c.bytes += n
	return nil
}

// Put writes a row, in place of the one with its key if there is one. Its errors are those of this package. After one nothing
// of the call remains, but for [ErrPage], after which all that there is to do is to take the change back.
func (c *Change) Put(table int, row []byte) error {
	s := c.set
	if !s.has(table, 0) {
		return ErrNoTable
	}
	schema, keys, oldKeys := &s.schemas[table], &s.scratch.keys, &s.scratch.old
	if err := schema.keys(keys, row); err != nil {
		return err
	}
	old, replaces, err := s.Get(table, keys.key(0))
	if err == nil && replaces {
		err = schema.keys(oldKeys, asBytes(old))
	}
	if err == nil {
		err = s.unique(table, keys)
	}
	if err != nil {
		return err
	}
	bytes := s.bytes + keys.size(len(row))
	if replaces {
		bytes -= oldKeys.size(len(old))
	}
	if bytes > MaxBytes {
		return ErrQuota
	}
	if err := c.charge(len(row)); err != nil {
		return err
	}
	if replaces {
		err = c.replace(table, keys, oldKeys, string(row))
	} else {
		err = c.insert(table, keys, string(row))
	}
	if err != nil {
		return err
	}
	c.wrote[table] = true
	if s.touched != nil {
		if replaces {
			s.touch(table, oldKeys)
		}
		s.touch(table, keys)
	}
	return nil
}

// insert adds a row. Its keys are one piece of memory.
func (c *Change) insert(table int, keys *keyList, row string) error {
	c.steps = slices.Grow(c.steps, keys.n)
	text := string(keys.bytes)
	own := text[:keys.ends[0]]
	for i := 1; i < keys.n; i++ {
		if err := c.put(table, i, text[keys.begin(i):keys.ends[i]], own); err != nil {
			return err
		}
	}
	return c.put(table, 0, own, row)
}

// replace puts a row in the place of the one with its key. What stays of an index keeps its memory, so what goes there has one
// of its own.
func (c *Change) replace(table int, keys, old *keyList, row string) error {
	own := string(keys.key(0))
	for i := 1; i < keys.n; i++ {
		key := keys.key(i)
		if string(old.key(i)) == string(key) {
			continue
		}
		if err := c.remove(table, i, string(old.key(i))); err != nil {
			return err
		}
		if err := c.put(table, i, string(key), own); err != nil {
			return err
		}
	}
	return c.put(table, 0, own, row)
}

// unique refuses a row whose place in a unique index another one has.
func (s *Set) unique(table int, keys *keyList) error {
	for i := range s.schemas[table].Indexes {
		index := &s.schemas[table].Indexes[i]
		if !index.Unique {
			continue
		}
		if err := s.tables[table].orders[i+1].unique(string(keys.key(i+1)), string(keys.key(0))); err != nil {
			return err
		}
	}
	return nil
}

// unique refuses what would be a second row with the same values in an index, if it is a unique one.
func (t *tree) unique(key, own string) error {
	index, prefix := &t.kind.schema.Indexes[t.kind.index-1], key[:len(key)-len(own)]
	if !index.Unique || t.kind.schema.absent(index.Columns, prefix) {
		return nil
	}
	taken := false
	err := t.ascend(prefix, func(key, owner string) bool {
		taken = strings.HasPrefix(key, prefix) && owner != own
		return strings.HasPrefix(key, prefix) && !taken
	})
	if err == nil && taken {
		err = ErrUnique
	}
	return err
}

// absent reports whether one of an index's columns is absent in its key.
func (s *Schema) absent(columns []int, key string) bool {
	for _, place := range columns {
		c := &s.Columns[place]
		if c.Optional {
			if key[0] == 0 {
				return true
			}
			key = key[1:]
		}
		switch c.Kind {
		case Bool:
			key = key[1:]
		case Text, Bytes:
			end := 0
			for key[end] != 0 || key[end+1] != 0 {
				if key[end] == 0 {
					end++
				}
				end++
			}
			key = key[end+2:]
		default:
			key = key[8:]
		}
	}
	return false
}

// Delete removes the row with a key and reports whether there was one. Its errors are as those of Put.
func (c *Change) Delete(table int, key []byte) (bool, error) {
	s := c.set
	row, ok, err := s.Get(table, key)
	if err == nil {
		err = c.charge(len(key))
	}
	if err != nil || !ok {
		return false, err
	}
	keys := &s.scratch.old
	if err := s.schemas[table].keys(keys, asBytes(row)); err != nil {
		return false, err
	}
	for i := range keys.n {
		if err := c.remove(table, i, string(keys.key(i))); err != nil {
			return false, err
		}
	}
	c.wrote[table] = true
	if s.touched != nil {
		s.touch(table, keys)
	}
	return true, nil
}
