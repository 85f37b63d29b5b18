package tables

import (
	"fmt"
	"strings"

	"github.com/tidwall/btree"

	"skerry/shared/digest"
)

// tree is a table's rows by their keys, or one of its indexes: the keys of rows by its own. It is made of runs, each of
// which ends with an entry whose key and size say so ([ends]), but for the last one: where runs end depends on what is in
// the tree alone, and not on how it came to be. A run is the unit of checkpoints, and of reading from them.
//
// Copies share runs. A run is written to by the one tree that made it since it was copied last.
type tree struct {
	runs  btree.Map[string, *run] // by the key that ends them
	last  string                  // the greatest of these
	tail  *run                    // what lies behind; nil for nothing
	len   int
	bytes int // of all keys and values
	kind  *kind
}

// kind says how a tree's entries are written in pages. All trees of the same table and index share it.
type kind struct {
	schema *Schema
	index  int // 0 for the rows
}

// owner stands for who may write to a run.
type owner struct{ _ byte }

// degree is how large the nodes of trees are, at most twice of it. A transaction copies the nodes that it writes to, on
// the way from the root: small ones are less to copy than they are more to search.
const degree = 8

func newTree(k *kind) tree { return tree{runs: *btree.NewMap[string, *run](degree), kind: k} }

// copy returns a tree with the same entries, of which neither is written to through the other if both have new owners.
func (t *tree) copy() tree {
	c := *t
	c.runs = *t.runs.Copy()
	return c
}

// find returns the run that a key is or would be in, nil for none, and the key that ends it, which is empty for the tail.
func (t *tree) find(key string) (end string, r *run) {
	if key > t.last {
		return "", t.tail
	}
	t.runs.Ascend(key, func(e string, found *run) bool {
		end, r = e, found
		return false
	})
	return end, r
}

// read is find of a run that has been read.
func (t *tree) read(key string) (end string, r *run, err error) {
	if end, r = t.find(key); r != nil {
		err = r.read(t.kind)
	}
	return end, r, err
}

// get returns the value of a key.
func (t *tree) get(key string) (value string, ok bool, err error) {
	_, r, err := t.read(key)
	if r == nil || err != nil {
		return "", false, err
	}
	value, ok = r.entries.Get(key)
	return value, ok, nil
}

// own returns a run that o may write to, in place of r, which ends with end.
func (t *tree) own(o *owner, end string, r *run) *run {
	if r != nil && r.owner == o {
		r.change()
		return r
	}
	n := r.copy(o)
	t.place(end, n)
	return n
}

func (t *tree) place(end string, r *run) {
	if end == "" {
		t.tail = r
	} else {
		t.runs.Set(end, r)
	}
}

// set sets the value of a key, and returns what it was before if there was one.
func (t *tree) set(o *owner, key, value string) (old string, replaced bool, err error) {
	end, r, err := t.read(key)
	if err != nil {
		return "", false, err
	}
	size := t.kind.size(key, value)
	last := ends(key, size)
	if key == end && !last {
		if end, r, err = t.join(o, end, r); err != nil {
			return "", false, err
		}
	}
	r = t.own(o, end, r)
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
		t.split(o, end, r, key)
	}
	return old, replaced, nil
}

// delete deletes a key, and returns its value if it was there.
func (t *tree) delete(o *owner, key string) (old string, ok bool, err error) {
	end, r, err := t.read(key)
	if r == nil || err != nil {
		return "", false, err
	}
	if _, ok := r.entries.Get(key); !ok {
		return "", false, nil
	}
	if key == end {
		if end, r, err = t.join(o, end, r); err != nil {
			return "", false, err
		}
	}
	r = t.own(o, end, r)
	old, _ = r.entries.Delete(key)
	r.size -= t.kind.size(key, old)
	t.bytes -= len(key) + len(old)
	t.len--
	if r.entries.Len() == 0 {
		t.tail = nil // no other run is without an entry
	}
	return old, true, nil
}

// join puts what follows a run, which ends with end, into it, and returns what it then ends with.
func (t *tree) join(o *owner, end string, r *run) (string, *run, error) {
	next, following := "", t.tail
	t.runs.Ascend(end+"\x00", func(e string, found *run) bool {
		next, following = e, found
		return false
	})
	if following != nil {
		if err := following.read(t.kind); err != nil {
			return "", nil, err
		}
	}
	t.runs.Delete(end)
	if end == t.last {
		t.last, _, _ = t.runs.Max()
	}
	n := r.copy(o)
	if following != nil {
		following.entries.Scan(func(key, value string) bool {
			n.entries.Load(key, value)
			return true
		})
		n.size += following.size
	}
	t.place(next, n)
	return next, n, nil
}

// split ends a run, which ends with end and has the key last, with that.
func (t *tree) split(o *owner, end string, r *run, last string) {
	t.last = max(t.last, last)
	if greatest, _, _ := r.entries.Max(); greatest == last { // it is the tail
		t.runs.Set(last, r)
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
	t.runs.Set(last, left)
	t.place(end, right)
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
		t.split(o, "", t.tail, key)
	}
}

// each calls f with the runs from the one on that a key is or would be in, in the order of keys, until it returns false.
func (t *tree) each(from string, descending bool, f func(end string, r *run) bool) {
	if !descending {
		more := true
		t.runs.Ascend(from, func(end string, r *run) bool {
			more = f(end, r)
			return more
		})
		if more && t.tail != nil {
			f("", t.tail)
		}
		return
	}
	end, r := t.find(from)
	if r != nil && !f(end, r) {
		return
	}
	t.runs.Descend(from, func(e string, r *run) bool { return e == end || f(e, r) })
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
