package tables

import (
	"fmt"
	"unicode/utf8"
)

// Kind is a type of value. Numbers are append-only: they are in manifests.
type Kind uint8

// The kinds of value.
const (
	Bool  Kind = 1
	I64   Kind = 2
	U64   Kind = 3
	F64   Kind = 4
	Text  Kind = 5
	Bytes Kind = 6
)

var kindNames = [...]string{Bool: "bool", I64: "i64", U64: "u64", F64: "f64", Text: "text", Bytes: "bytes"}

// String returns a kind's name, as manifests have it; it is empty for one that is unknown.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return ""
}

// ParseKind returns the kind of a name, or 0.
func ParseKind(name string) Kind {
	for k := Bool; k <= Bytes; k++ {
		if kindNames[k] == name {
			return k
		}
	}
	return 0
}

// Limits on schemas. A schema at the limit passes, one above is refused.
const (
	MaxTables  = 64
	MaxColumns = 64
	MaxIndexes = 16 // of a table
	MaxName    = 64 // bytes of the name of a table, column or index
)

// Column is one column of a table.
type Column struct {
	Name     string
	Kind     Kind
	Optional bool
}

// Index is a second order of a table's rows.
type Index struct {
	Name    string
	Columns []int // places of columns
	Unique  bool  // no two rows have equal columns, those apart in which one is absent
}

// Schema says what a table is made of.
type Schema struct {
	Name    string
	Columns []Column
	Key     []int // places of the columns that are the key, none of them optional
	Indexes []Index
	// DeclaredBy names the table that declares the tables whose rows this one holds: see [Declared]. It is empty for a table
	// whose rows are its own.
	DeclaredBy string
}

// Check says what is wrong with a schema.
func (s *Schema) Check() error {
	if err := checkName(s.Name); err != nil {
		return fmt.Errorf("a table: %w", err)
	}
	if n := len(s.Columns); n == 0 || n > MaxColumns {
		return fmt.Errorf("table %s: %d columns are not 1 to %d", s.Name, n, MaxColumns)
	}
	if n := len(s.Indexes); n > MaxIndexes {
		return fmt.Errorf("table %s: %d indexes are more than %d", s.Name, n, MaxIndexes)
	}
	names := map[string]bool{}
	for _, c := range s.Columns {
		if err := checkName(c.Name); err != nil {
			return fmt.Errorf("table %s: a column: %w", s.Name, err)
		}
		if names[c.Name] {
			return fmt.Errorf("table %s: two columns are called %s", s.Name, c.Name)
		}
		names[c.Name] = true
		if c.Kind < Bool || c.Kind > Bytes {
			return fmt.Errorf("table %s: column %s: kind %d is unknown", s.Name, c.Name, c.Kind)
		}
	}
	if err := s.checkPlaces(s.Key); err != nil {
		return fmt.Errorf("table %s: key: %w", s.Name, err)
	}
	for _, place := range s.Key {
		if s.Columns[place].Optional {
			return fmt.Errorf("table %s: key: column %s is optional", s.Name, s.Columns[place].Name)
		}
	}
	names = map[string]bool{}
	for _, index := range s.Indexes {
		if err := checkName(index.Name); err != nil {
			return fmt.Errorf("table %s: an index: %w", s.Name, err)
		}
		if names[index.Name] {
			return fmt.Errorf("table %s: two indexes are called %s", s.Name, index.Name)
		}
		names[index.Name] = true
		if err := s.checkPlaces(index.Columns); err != nil {
			return fmt.Errorf("table %s: index %s: %w", s.Name, index.Name, err)
		}
	}
	return nil
}

// checkPlaces checks the columns of a key or index: at least one, each there, none twice.
func (s *Schema) checkPlaces(places []int) error {
	if len(places) == 0 {
		return fmt.Errorf("it has no columns")
	}
	seen := map[int]bool{}
	for _, place := range places {
		if place < 0 || place >= len(s.Columns) {
			return fmt.Errorf("there is no column %d", place)
		}
		if seen[place] {
			return fmt.Errorf("column %s comes twice", s.Columns[place].Name)
		}
		seen[place] = true
	}
	return nil
}

func checkName(name string) error {
	if name == "" || len(name) > MaxName || !utf8.ValidString(name) {
		return fmt.Errorf("a name is 1 to %d bytes of UTF-8, not %q", MaxName, name)
	}
	return nil
}
