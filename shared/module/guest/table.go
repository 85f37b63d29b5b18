package guest

import (
	"errors"
	"iter"
	"reflect"
	"strconv"
	"unsafe"
)

// Table declares a table, and is where its rows are read and written. Row is a struct whose fields are the columns.
// A table is used once the module that has it is registered.
type Table[Row any] struct {
	Name    string
	Key     []string // columns
	Indexes []Index

	of table
}

// table is a [Table] without its type, once it is declared.
type table struct {
	name    string
	number  int32 // and one, so that 0 is a table of no module
	shape   shape
	orders  [][]int // the columns of the key, and then of each index
	indexes []Index
}

// Index is a second order of a table's rows, by some of its columns.
type Index struct {
	Name    string
	Columns []string
	Unique  bool // no two rows have equal columns, those apart in which one is absent
}

// AnyTable is a [Table] of any rows.
type AnyTable interface {
	declare(number int32) (*table, error)
}

func (t *Table[Row]) declare(number int32) (*table, error) {
	columns, err := shapeOf(reflect.TypeFor[Row]())
	if err != nil {
		return nil, errors.New("table " + t.Name + ": " + err.Error())
	}
	t.of = table{name: t.Name, number: number + 1, shape: columns, indexes: t.Indexes}
	lists := [][]string{t.Key}
	for _, index := range t.Indexes {
		lists = append(lists, index.Columns)
	}
	for _, list := range lists {
		var order []int
		for _, name := range list {
			place := columns.place(name)
			if place < 0 {
				return nil, errors.New("table " + t.Name + ": there is no column " + name)
			}
			order = append(order, place)
		}
		t.of.orders = append(t.of.orders, order)
	}
	return &t.of, nil
}

// Get returns the row with a key, whose columns are given in the key's order: as what they are in the row, or an int for
// a number.
func (t *Table[Row]) Get(key ...any) (row Row, found bool) {
	found = t.of.get(key, unsafe.Pointer(&row))
	return row, found
}

// Put writes a row, in place of the one with its key. Only Apply, Init and Migrate write.
func (t *Table[Row]) Put(row Row) { t.of.put(unsafe.Pointer(&row)) }

// Delete deletes the row with a key, and reports whether there was one.
func (t *Table[Row]) Delete(key ...any) bool { return t.of.delete(key) }

// Scan gives the rows whose first columns by an index are the given ones, in the index's order; all rows if there are
// none. The index "" is the key. It sees what is written while it goes on, where it has not been yet. 8 scans may be
// open within each other. An optional column that is absent is nil.
func (t *Table[Row]) Scan(index string, columns ...any) iter.Seq[Row] {
	return t.scan(index, columns, 0)
}

// Backward is Scan from the end.
func (t *Table[Row]) Backward(index string, columns ...any) iter.Seq[Row] {
	return t.scan(index, columns, 1)
}

func (t *Table[Row]) scan(index string, columns []any, flags int32) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		handle := t.of.open(index, columns, flags)
		defer hostScanClose(handle)
		for {
			var row Row
			if !t.of.next(handle, unsafe.Pointer(&row)) || !yield(row) {
				return
			}
		}
	}
}

//go:noinline
func (t *table) get(key []any, row unsafe.Pointer) bool {
	b := t.values(0, key, true)
	n := hostGet(t.number-1, pointer(b), uint32(len(b)), pointer(room), uint32(len(room)))
	if int(n) > len(room) {
		makeRoom(n)
		n = hostGet(t.number-1, pointer(b), uint32(len(b)), pointer(room), uint32(len(room)))
	}
	if n < 0 {
		return false
	}
	t.give(n, row)
	return true
}

// next gives the next row of a scan, if there is one.
//
//go:noinline
func (t *table) next(handle int32, row unsafe.Pointer) bool {
	n := hostScanNext(handle, pointer(room), uint32(len(room)))
	if int(n) > len(room) {
		makeRoom(n)
		n = hostScanNext(handle, pointer(room), uint32(len(room)))
	}
	if n < 0 {
		return false
	}
	t.give(n, row)
	return true
}

// give fills a row from the n bytes that the host gave.
//
//go:noinline
func (t *table) give(n int32, row unsafe.Pointer) {
	in := input{rest: room[:n:n]}
	room = room[n:]
	t.shape.read(&in, row)
}

//go:noinline
func (t *table) put(row unsafe.Pointer) {
	if t.number == 0 {
		unregistered()
	}
	out = t.shape.append(out[:0], row)
	hostPut(t.number-1, pointer(out), uint32(len(out)))
}

//go:noinline
func (t *table) delete(key []any) bool {
	b := t.values(0, key, true)
	return hostDelete(t.number-1, pointer(b), uint32(len(b))) != 0
}

//go:noinline
func (t *table) open(index string, columns []any, flags int32) int32 {
	number := t.index(index)
	b := t.values(number, columns, false)
	return hostScanOpen(t.number-1, int32(number), pointer(b), uint32(len(b)), flags)
}

//go:noinline
func (t *table) index(name string) int {
	if name == "" {
		return 0
	}
	for i := range t.indexes {
		if t.indexes[i].Name == name {
			return i + 1
		}
	}
	panic("guest: table " + t.name + " has no index " + name)
}

// values returns the first columns of a key, or all of them, as the host reads them.
//
//go:noinline
func (t *table) values(index int, values []any, all bool) []byte {
	if t.number == 0 {
		unregistered()
	}
	order := t.orders[index]
	if len(values) > len(order) || all && len(values) < len(order) {
		t.badKey(len(values), len(order))
	}
	out = out[:0]
	for i := range values {
		f := &t.shape[order[i]]
		if !f.appendValue(values[i]) {
			t.badColumn(f, reflect.TypeOf(values[i]))
		}
	}
	return out
}

//go:noinline
func unregistered() { panic("guest: a table of no module that is registered") }

//go:noinline
func (t *table) badKey(got, want int) {
	panic("guest: table " + t.name + ": " + strconv.Itoa(got) + " columns of a key of " + strconv.Itoa(want))
}

//go:noinline
func (t *table) badColumn(f *field, got reflect.Type) {
	of := "nil"
	if got != nil {
		of = got.String()
	}
	panic("guest: table " + t.name + ": column " + f.name + " is " + kindNames[f.kind] + ", not " + of)
}

// out is what goes to the host. There is one thread, and it is used up before another call.
var out = make([]byte, 0, 1<<10)

// room is where the host puts rows, one behind the other: what is read of them stays where it is. It is never used
// again, since all memory is what it was before the next call.
var (
	first [64 << 10]byte
	room  = first[:]
)

// makeRoom makes room for a row of n bytes.
//
//go:noinline
func makeRoom(n int32) { room = make([]byte, max(int(n), len(first))) }

func pointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }
