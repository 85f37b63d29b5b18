package tables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Declared is a table that a module declares while it runs, by rows of one of its tables. Its rows lie in another table,
// which holds those of all of them.
//
// The table that declares has the columns [declaringColumns]: a column of a declared table each, at its place from 0 on. The one that holds has the
// columns [holdingColumns]: the name of the declared table, the value of its first column, a text, which is its key, and those of the others as rows have
// them. What is absent at the end may be left out, so that a table can be given more columns.
type Declared struct {
	Schema
	Table   int // that holds the rows
	invalid bool
}

// ErrBadDeclared tells that a module declared a table that there cannot be, or that a row is not what was declared.
var ErrBadDeclared = errors.New("tables: a table that the module declares, or a row of it, is not what it can be")

var (
	declaringColumns = []Column{{"table", Text, false}, {"place", U64, false}, {"name", Text, false}, {"type", Text, false}, {"optional", Bool, false}}
	holdingColumns   = []Column{{"table", Text, false}, {"id", Text, false}, {"values", Bytes, false}}
	declaredKey      = []int{0, 1}
)

// CheckDeclared says what is wrong with tables that declare others, or hold their rows.
func CheckDeclared(schemas []Schema) error {
	held := map[string]bool{}
	for i := range schemas {
		s := &schemas[i]
		if s.DeclaredBy == "" {
			continue
		}
		if held[s.DeclaredBy] {
			return fmt.Errorf("table %s: another one holds what %s declares", s.Name, s.DeclaredBy)
		}
		held[s.DeclaredBy] = true
		by := declaring(schemas, s)
		switch {
		case by < 0:
			return fmt.Errorf("table %s holds what table %s declares, and there is none", s.Name, s.DeclaredBy)
		case !slices.Equal(s.Columns, holdingColumns) || !slices.Equal(s.Key, declaredKey):
			return fmt.Errorf("table %s holds what %s declares, so its columns are table text, id text, values bytes, and its key table, id", s.Name, s.DeclaredBy)
		case !slices.Equal(schemas[by].Columns, declaringColumns) || !slices.Equal(schemas[by].Key, declaredKey):
			return fmt.Errorf("table %s declares what %s holds, so its columns are table text, place u64, name text, type text, optional bool, and its key table, place", s.DeclaredBy, s.Name)
		}
	}
	return nil
}

// declaring returns the place of the table that declares what another one holds, or -1.
func declaring(schemas []Schema, held *Schema) int {
	return slices.IndexFunc(schemas, func(s Schema) bool { return s.Name == held.DeclaredBy && s.DeclaredBy == "" })
}

// Declared returns the tables that are declared in a set, by their names, and the places of the tables that declare. One that there
// cannot be fails when its rows are read. An error is ErrPage.
func (s *Set) Declared() (all []Declared, by []int, err error) {
	for table := range s.schemas {
		if s.schemas[table].DeclaredBy == "" {
			continue
		}
		place := declaring(s.schemas, &s.schemas[table])
		by = append(by, place)
		declares := &s.schemas[place]
		err = s.Scan(place, 0, "", "", false, func(_, row string) bool {
			var values [MaxColumns]value
			_, err := declares.split([]byte(row), declares.all(), &values)
			if err != nil {
				return true // it was checked when it was put
			}
			name, at := string(values[0].bytes), binary.LittleEndian.Uint64(values[1].bytes)
			if n := len(all); n == 0 || all[n-1].Name != name || all[n-1].Table != table {
				all = append(all, Declared{Schema: Schema{Name: name, Key: []int{0}}, Table: table})
			}
			d := &all[len(all)-1]
			if at != uint64(len(d.Columns)) {
				d.invalid = true
			}
			d.Columns = append(d.Columns, Column{string(values[2].bytes), ParseKind(string(values[3].bytes)), values[4].bytes[0] == 1})
			return true
		})
		if err != nil {
			return nil, nil, err
		}
	}
	for i := range all {
		if d := &all[i]; d.Check() != nil || d.Columns[0].Kind != Text {
			d.invalid = true
		}
	}
	return all, by, nil
}

// Prefix returns how the keys of a declared table's rows begin, where they lie: all of them, or with values that the first
// columns of its own key have.
func (d *Declared) Prefix(s *Set, values []byte) (string, error) {
	if d.invalid {
		return "", ErrBadDeclared
	}
	key, _, err := s.schemas[d.Table].KeyOf(0, append(appendText(nil, d.Name), values...))
	return string(key), err
}

// Row returns a row of a declared table of the one that holds it.
func (d *Declared) Row(held string) (string, error) {
	if d.invalid {
		return "", ErrBadDeclared
	}
	_, rest, ok := cutText(held)
	id, rest, okID := cutText(rest)
	_, _, okValues := cutText(rest)
	if !ok || !okID || !okValues {
		return "", ErrBadDeclared
	}
	row := make([]byte, 0, len(id)+len(rest))
	row = append(append(row, id...), rest[4:]...)
	var values [MaxColumns]value
	n, err := d.split(row, d.all(), &values)
	if err != nil {
		return "", ErrBadDeclared
	}
	for _, c := range d.Columns[n:] {
		if !c.Optional {
			return "", ErrBadDeclared
		}
		row = append(row, 0)
	}
	return string(row), nil
}

// cutText returns a text with its length, and what is behind it.
func cutText(b string) (text, rest string, ok bool) {
	if len(b) < 4 {
		return "", "", false
	}
	n := uint64(binary.LittleEndian.Uint32([]byte(b[:4]))) + 4
	if n > uint64(len(b)) {
		return "", "", false
	}
	return b[:n], b[n:], true
}
