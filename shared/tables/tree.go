package tables

import (
	"fmt"
	"sort"
	"strings"

	"skerry/shared/digest"
)

// tree is a table's rows by their keys, or one of its indexes: the keys of rows by its own. It is made of runs, each of
// which ends with an entry whose key and size say so ([ends]), but for the last one: where runs end depends on what is in
// the tree alone, and not on how it came to be. A run is the unit of checkpoints, and of reading from them.
//
// Copies share runs, and the list of them. Each is written to by the one tree that made it since it was copied last.
type tree struct {
	owner *owner
	runs  []ended // in the order of their keys
	tail  *run    // what lies behind; nil for nothing
	len   int
	bytes int // of all keys and values
	kind  *kind
}

// ended is a run, and the key that ends it.
type ended struct {
	end string
	run *run
}

// kind says how a tree's entries are written in pages. All trees of the same table and index share it.
type kind struct {
	schema *Schema
	index  int // 0 for the rows
}

// owner stands for who may write to a run, or to a list of them.
type owner struct{ _ byte }

// at returns the number of the run that a key is or would be in.
func (t *tree) at(key string) int {
	return sort.Search(len(t.runs), func(i int) bool { return t.runs[i].end >= key })
}

// run returns a run by its number, nil for none, and the key that ends it, which is empty for the tail.
func (t *tree) run(i int) (end string, r *run) {
	if i < len(t.runs) {
		return t.runs[i].end, t.runs[i].run
	}
	return "", t.tail
}

// read returns the run that a key is or would be in, which has been read, its number, and the key that ends it.
func (t *tree) read(key string) (i int, end string, r *run, err error) {
	i = t.at(key)
	if end, r = t.run(i); r != nil {
		err = r.read(t.kind)
	}
	return i, end, r, err
}

// get returns the value of a key.
func (t *tree) get(key string) (value string, ok bool, err error) {
	_, _, r, err := t.read(key)
	if r == nil || err != nil {
		return "", false, err
	}
	value, ok = r.entries.Get(key)
	return value, ok, nil
}

// own returns a run that o may write to, in place of the one with a number.
func (t *tree) own(o *owner, i int) *run {
	_, r := t.run(i)
	if r != nil && r.owner == o {
		r.change()
		return r
	}
	n := r.copy(o)
	t.place(o, i, n)
	return n
}

// place puts a run in the place of another one, which ends with the same key.
func (t *tree) place(o *owner, i int, r *run) {
	if i == len(t.runs) {
		t.tail = r
		return
	}
	t.ownList(o)
	t.runs[i].run = r
}

// ownList makes the list of runs one that o may write to.
func (t *tree) ownList(o *owner) {
	if t.owner != o {
		t.owner, t.runs = o, append([]ended(nil), t.runs...)
	}
}

// set sets the value of a key, and returns what it was before if there was one.
func (t *tree) set(o *owner, key, value string) (old string, replaced bool, err error) {
	i, end, _, err := t.read(key)
	if err != nil {
		return "", false, err
	}
	size := t.kind.size(key, value)
	last := ends(key, size)
	if key == end && !last {
		if err = t.join(o, i); err != nil {
			return "", false, err
		}
	}
	r := t.own(o, i)
	old, replaced = r.entries.Set(key, value)
	r.size += size
	t.bytes += len(key) + len(value)
	t.len++
	if replaced {
		r.size -= t.kind.size(key, old)
		t.bytes -= len(key) + len(old)
		t.len--
	}
	if last && key != end {
		t.split(o, i, key)
	}
	return old, replaced, nil
}

// delete deletes a key, and returns its value if it was there.
func (t *tree) delete(o *owner, key string) (old string, ok bool, err error) {
	i, end, r, err := t.read(key)
	if r == nil || err != nil {
		return "", false, err
	}
	if _, ok := r.entries.Get(key); !ok {
		return "", false, nil
	}
	if key == end {
		if err = t.join(o, i); err != nil {
			return "", false, err
		}
	}
	r = t.own(o, i)
	old, _ = r.entries.Delete(key)
	r.size -= t.kind.size(key, old)
	t.bytes -= len(key) + len(old)
	t.len--
	if r.entries.Len() == 0 {
		t.tail = nil // no other run is without an entry
	}
	return old, true, nil
}

// join puts what follows a run into it, which gets the end of that.
func (t *tree) join(o *owner, i int) error {
	_, following := t.run(i + 1)
	if following != nil {
		if err := following.read(t.kind); err != nil {
			return err
		}
	}
	n := t.runs[i].run.copy(o)
	if following != nil {
		following.entries.Scan(func(key, value string) bool {
			n.entries.Load(key, value)
			return true
		})
		n.size += following.size
	}
	t.ownList(o)
	t.runs = append(t.runs[:i], t.runs[i+1:]...)
	t.place(o, i, n)
	return nil
}

// split ends a run with a key that is in it.
func (t *tree) split(o *owner, i int, last string) {
	_, r := t.run(i)
	t.ownList(o)
	if greatest, _, _ := r.entries.Max(); greatest == last { // it is the tail
		t.runs = append(t.runs, ended{last, r})
		t.tail = nil
		return
	}
	left, right := newRun(o), newRun(o)
	r.entries.Scan(func(key, value string) bool {
		to := left
		if key > last {
			to = right
		}
		to.entries.Load(key, value)
		to.size += t.kind.size(key, value)
		return true
	})
	t.place(o, i, right)
	t.runs = append(t.runs, ended{})
	copy(t.runs[i+1:], t.runs[i:])
	t.runs[i] = ended{last, left}
}

// load appends an entry, whose key is greater than all, to a tree that nobody else has.
func (t *tree) load(o *owner, key, value string) {
	if t.tail == nil {
		t.tail = newRun(o)
	}
	size := t.kind.size(key, value)
	t.tail.entries.Load(key, value)
	t.tail.size += size
	t.bytes += len(key) + len(value)
	t.len++
	if ends(key, size) {
		t.split(o, len(t.runs), key)
	}
}

// each calls f with the runs from the one on that a key is or would be in, in the order of keys, until it returns false.
func (t *tree) each(from string, descending bool, f func(end string, r *run) bool) {
	step := 1
	if descending {
		step = -1
	}
	for i := t.at(from); i >= 0 && i <= len(t.runs); i += step {
		if end, r := t.run(i); r != nil && !f(end, r) {
			return
		}
	}
}

// ascend calls f with all entries at or past a key until it returns false.
func (t *tree) ascend(from string, f func(key, value string) bool) (err error) {
	more := true
	t.each(from, false, func(_ string, r *run) bool {
		if err = r.read(t.kind); err != nil {
			return false
		}
		r.entries.Ascend(from, func(key, value string) bool {
			more = f(key, value)
			return more
		})
		return more
	})
	return err
}

// descend calls f with all entries at or before a key, the greatest first, until it returns false.
func (t *tree) descend(from string, f func(key, value string) bool) (err error) {
	more := true
	t.each(from, true, func(_ string, r *run) bool {
		if err = r.read(t.kind); err != nil {
			return false
		}
		r.entries.Descend(from, func(key, value string) bool {
			more = f(key, value)
			return more
		})
		return more
	})
	return err
}

// fresh returns how many bytes the pages are that were not made yet, and what a root says of the tree.
func (t *tree) fresh() (n int) {
	t.each("", false, func(end string, r *run) bool {
		n += 4 + len(end) + digest.Size
		if !r.made.Load() {
			n += r.size
		}
		return true
	})
	return n
}

// pastAll is past all keys, which are shorter.
var pastAll = strings.Repeat("\xff", MaxKey+1)

// String names a tree in errors.
func (k *kind) String() string {
	if k.index > 0 {
		return fmt.Sprintf("index %s of table %s", k.schema.Indexes[k.index-1].Name, k.schema.Name)
	}
	return "table " + k.schema.Name
}
