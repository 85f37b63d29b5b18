package tables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// Limits on what is in tables. A value at the limit passes, one above is refused.
const (
	MaxRow = 64 << 10 // bytes of a row
	MaxKey = 512      // bytes of a key, of the table or of an index
)

var (
	// ErrBadRow tells that bytes are no row of a table, or no values of its key.
	ErrBadRow = errors.New("tables: the bytes are not what the schema says")
	// ErrTooLarge tells that a row or a key is over its limit.
	ErrTooLarge = errors.New("tables: a row or a key is too large")
)

const canonicalNaN = 0x7ff8 << 48

// value is one column of a row: its bytes, without the byte of an optional one and without a length.
type value struct {
	bytes  []byte
	absent bool
}

// split reads the values of columns in their order until b ends, and returns how many there were. values has them by the
// places of their columns.
func (s *Schema) split(b []byte, columns []int, values *[MaxColumns]value) (int, error) {
	for i, place := range columns {
		if len(b) == 0 {
			return i, nil
		}
		c := &s.Columns[place]
		values[place] = value{}
		if c.Optional {
			if b[0] > 1 {
				return 0, ErrBadRow
			}
			values[place].absent = b[0] == 0
			if b = b[1:]; values[place].absent {
				continue
			}
		}
		n := uint64(8)
		switch c.Kind {
		case Bool:
			n = 1
		case Text, Bytes:
			if len(b) < 4 {
				return 0, ErrBadRow
			}
			n = uint64(binary.LittleEndian.Uint32(b))
			b = b[4:]
		}
		if n > uint64(len(b)) {
			return 0, ErrBadRow
		}
		values[place].bytes, b = b[:n], b[n:]
		if !canonical(c.Kind, values[place].bytes) {
			return 0, ErrBadRow
		}
	}
	if len(b) > 0 {
		return 0, ErrBadRow
	}
	return len(columns), nil
}

// canonical reports whether a value has the one form that it may have.
func canonical(kind Kind, b []byte) bool {
	switch kind {
	case Bool:
		return b[0] <= 1
	case F64:
		bits := binary.LittleEndian.Uint64(b)
		return !math.IsNaN(math.Float64frombits(bits)) || bits == canonicalNaN
	case Text:
		return utf8.Valid(b)
	}
	return true
}

// places are those of as many columns as there may be.
var places = func() (list [MaxColumns]int) {
	for i := range list {
		list[i] = i
	}
	return list
}()

// all returns the places of all columns, which nobody may change.
func (s *Schema) all() []int { return places[:len(s.Columns)] }

// appendKey appends the sortable form of a value.
func appendKey(b []byte, c *Column, v value) []byte {
	if c.Optional {
		if v.absent {
			return append(b, 0)
		}
		b = append(b, 1)
	}
	switch c.Kind {
	case Bool:
		return append(b, v.bytes[0])
	case I64:
		return binary.BigEndian.AppendUint64(b, binary.LittleEndian.Uint64(v.bytes)^1<<63)
	case U64:
		return binary.BigEndian.AppendUint64(b, binary.LittleEndian.Uint64(v.bytes))
	case F64:
		bits := binary.LittleEndian.Uint64(v.bytes)
		switch {
		case bits == 1<<63:
			bits = 1 << 63 // -0 is 0, whose sign is flipped
		case bits>>63 == 1:
			bits = ^bits
		default:
			bits ^= 1 << 63
		}
		return binary.BigEndian.AppendUint64(b, bits)
	}
	for _, c := range v.bytes {
		if b = append(b, c); c == 0 {
			b = append(b, 255)
		}
	}
	return append(b, 0, 0)
}

// KeyOf returns the key that has the given values, which are those of the first columns of a key, in the form of a row.
// With all columns of the table's key it is one row's key, with fewer the prefix that several have. Index 0 is the
// table's own key, n its nth index. It also returns how many columns there were.
func (s *Schema) KeyOf(index int, values []byte) (key []byte, columns int, err error) {
	return s.AppendKey(nil, index, values)
}

// AppendKey appends the key that KeyOf returns. After an error it returns no bytes.
func (s *Schema) AppendKey(b []byte, index int, values []byte) (key []byte, columns int, err error) {
	order := s.order(index)
	var list [MaxColumns]value
	if columns, err = s.split(values, order, &list); err == nil {
		key, err = s.appendKeys(b, order[:columns], &list)
	}
	return key, columns, err
}

// RowKey returns the key of a row in its table.
func (s *Schema) RowKey(row []byte) ([]byte, error) {
	var keys keyList
	if err := s.keys(&keys, row); err != nil {
		return nil, err
	}
	return keys.key(0), nil
}

// Values returns a row's columns, each as a bool, int64, uint64, float64, string or []byte, or nil where it is absent.
func (s *Schema) Values(row []byte) ([]any, error) {
	var list [MaxColumns]value
	n, err := s.split(row, s.all(), &list)
	if err != nil {
		return nil, err
	}
	if n < len(s.Columns) {
		return nil, ErrBadRow
	}
	values := make([]any, n)
	for i := range values {
		b := list[i].bytes
		switch {
		case list[i].absent:
		case s.Columns[i].Kind == Bool:
			values[i] = b[0] == 1
		case s.Columns[i].Kind == I64:
			values[i] = int64(binary.LittleEndian.Uint64(b))
		case s.Columns[i].Kind == U64:
			values[i] = binary.LittleEndian.Uint64(b)
		case s.Columns[i].Kind == F64:
			values[i] = math.Float64frombits(binary.LittleEndian.Uint64(b))
		case s.Columns[i].Kind == Text:
			values[i] = string(b)
		default:
			values[i] = append([]byte{}, b...)
		}
	}
	return values, nil
}

// Scan reads the named columns of a row into pointers, one for each: to a bool, int64, uint64, float64, string or []byte, as the
// column's kind is, and for one that is optional to a pointer to that (or to a []byte), which is nil where it is absent. It fails with
// [ErrBadRow] where a column is not there, or is of another kind than the pointer, and then what was read is unspecified.
func (s *Schema) Scan(row []byte, columns []string, into ...any) error {
	values, err := s.Values(row)
	if err != nil {
		return err
	}
	if len(columns) != len(into) {
		return fmt.Errorf("tables: %d columns are read into %d pointers", len(columns), len(into))
	}
	for i, name := range columns {
		place := slices.IndexFunc(s.Columns, func(c Column) bool { return c.Name == name })
		if place < 0 {
			return fmt.Errorf("%w: table %s has no column %s", ErrBadRow, s.Name, name)
		}
		if !scan(into[i], values[place], s.Columns[place].Optional) {
			return fmt.Errorf("%w: column %s of table %s, a %v, cannot be read into a %T", ErrBadRow, name, s.Name, s.Columns[place].Kind, into[i])
		}
	}
	return nil
}

func scan(into, value any, optional bool) bool {
	switch p := into.(type) {
	case *bool:
		return scanValue(p, value, optional)
	case **bool:
		return scanOptional(p, value)
	case *int64:
		return scanValue(p, value, optional)
	case **int64:
		return scanOptional(p, value)
	case *uint64:
		return scanValue(p, value, optional)
	case **uint64:
		return scanOptional(p, value)
	case *float64:
		return scanValue(p, value, optional)
	case **float64:
		return scanOptional(p, value)
	case *string:
		return scanValue(p, value, optional)
	case **string:
		return scanOptional(p, value)
	case *[]byte:
		if *p = nil; optional && value == nil {
			return true
		}
		return scanValue(p, value, false)
	}
	return false
}

func scanValue[T any](p *T, value any, optional bool) (ok bool) {
	*p, ok = value.(T)
	return ok && !optional
}

func scanOptional[T any](p **T, value any) bool {
	v, ok := value.(T)
	if *p = nil; ok {
		*p = &v
	}
	return ok || value == nil
}

// order returns the columns by which an index sorts.
func (s *Schema) order(index int) []int {
	if index == 0 {
		return s.Key
	}
	return s.Indexes[index-1].Columns
}

// appendKeys appends the sortable form of the values of columns. values has them by place.
func (s *Schema) appendKeys(key []byte, columns []int, values *[MaxColumns]value) ([]byte, error) {
	from := len(key)
	for _, place := range columns {
		c := &s.Columns[place]
		if c.Kind == F64 && isNaN(values[place]) {
			return nil, ErrBadRow // it has no place in an order
		}
		key = appendKey(key, c, values[place])
	}
	if len(key)-from > MaxKey {
		return nil, ErrTooLarge
	}
	return key, nil
}

func isNaN(v value) bool {
	return !v.absent && binary.LittleEndian.Uint64(v.bytes) == canonicalNaN
}

// keyList is a row's key, and then one for each index.
type keyList struct {
	bytes []byte
	ends  [1 + MaxIndexes]int // of each in bytes
	n     int
}

// keys makes the list of a row's keys.
func (s *Schema) keys(l *keyList, row []byte) error {
	if len(row) > MaxRow {
		return ErrTooLarge
	}
	var list [MaxColumns]value
	n, err := s.split(row, s.all(), &list)
	if err != nil {
		return err
	}
	if n < len(s.Columns) {
		return ErrBadRow
	}
	b := l.bytes[:0]
	l.n = 1 + len(s.Indexes)
	for i := range l.n {
		from := len(b)
		if b, err = s.appendKeys(b, s.order(i), &list); err != nil {
			return err
		}
		if i > 0 {
			b = append(b, b[:l.ends[0]]...)
		}
		if l.ends[i] = len(b); len(b)-from > MaxKey {
			return ErrTooLarge
		}
	}
	l.bytes = b
	return nil
}

func (l *keyList) begin(i int) int {
	if i == 0 {
		return 0
	}
	return l.ends[i-1]
}

// key returns the row's own key, 0, or the one by its nth index.
func (l *keyList) key(i int) []byte { return l.bytes[l.begin(i):l.ends[i]] }

// size returns what the keys, and a row of so many bytes, take.
func (l *keyList) size(row int) int { return row + len(l.bytes) + (l.n-1)*l.ends[0] }
