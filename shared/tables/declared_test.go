package tables_test

import (
	"errors"
	"slices"
	"testing"

	"skerry/shared/tables"
)

// declaring returns tables of which one declares what another one holds.
func declaring() []tables.Schema {
	return []tables.Schema{
		{Name: "rows", DeclaredBy: "columns", Key: []int{0, 1}, Columns: []tables.Column{{Name: "table", Kind: tables.Text}, {Name: "id", Kind: tables.Text}, {Name: "values", Kind: tables.Bytes}}},
		{Name: "columns", Key: []int{0, 1}, Columns: []tables.Column{
			{Name: "table", Kind: tables.Text}, {Name: "place", Kind: tables.U64}, {Name: "name", Kind: tables.Text}, {Name: "type", Kind: tables.Text}, {Name: "optional", Kind: tables.Bool},
		}},
	}
}

func TestCheckDeclared(t *testing.T) {
	if err := tables.CheckDeclared(declaring()); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func([]tables.Schema){
		"nothing that declares":       func(s []tables.Schema) { s[0].DeclaredBy = "column" },
		"itself":                      func(s []tables.Schema) { s[0].DeclaredBy = "rows" },
		"each other":                  func(s []tables.Schema) { s[1].DeclaredBy = "rows" },
		"another column that is held": func(s []tables.Schema) { s[0].Columns[2].Kind = tables.Text },
		"another key that is held":    func(s []tables.Schema) { s[0].Key = []int{0} },
		"an optional column":          func(s []tables.Schema) { s[1].Columns[3].Optional = true },
		"another key that declares":   func(s []tables.Schema) { s[1].Key = []int{0, 1, 2} },
		"no column that declares":     func(s []tables.Schema) { s[1].Columns = s[1].Columns[:4] },
	} {
		schemas := declaring()
		if change(schemas); tables.CheckDeclared(schemas) == nil {
			t.Errorf("%s is let through", what)
		}
	}
	twice := append(declaring(), declaring()[0])
	if twice[2].Name = "more"; tables.CheckDeclared(twice) == nil {
		t.Error("two tables that hold the same are let through")
	}
}

// TestDeclared: declared tables have the columns that rows say, and rows of their own form, whatever the module wrote.
func TestDeclared(t *testing.T) {
	set, err := tables.New(declaring())
	if err != nil {
		t.Fatal(err)
	}
	change := set.Begin()
	put := func(table int, values ...any) {
		t.Helper()
		if err := change.Put(table, row(values...)); err != nil {
			t.Fatal(err)
		}
	}
	columns := func(table string, of ...any) {
		for i := 0; i < len(of); i += 2 {
			kind := of[i+1].(string)
			optional := kind[len(kind)-1] == '?'
			if optional {
				kind = kind[:len(kind)-1]
			}
			put(1, table, i/2, of[i], kind, optional)
		}
	}
	columns("good", "id", "text", "n", "u64", "t", "text?")
	columns("alone", "id", "text")
	columns("late", "id", "text", "n", "u64?", "b", "bool?")
	columns("twice", "id", "text", "n", "u64", "n", "u64")
	columns("unknown", "id", "text", "n", "date")
	columns("optional", "id", "text?")
	columns("numbers", "id", "u64")
	put(1, "gap", 0, "id", "text", false)
	put(1, "gap", 2, "n", "u64", false)
	var large []any
	for i := range tables.MaxColumns + 1 {
		large = append(large, string(rune(0x100+i)), "text")
	}
	columns("large", large...)
	columns("largest", large[2:]...)
	declared, by, err := set.Declared()
	if err != nil || !slices.Equal(by, []int{1}) {
		t.Fatalf("%v, %v", by, err)
	}
	found := map[string]*tables.Declared{}
	for i := range declared {
		found[declared[i].Name] = &declared[i]
		_, err := declared[i].Prefix(set, nil)
		_, rowErr := declared[i].Row(string(row(declared[i].Name, "1", "")))
		good := slices.Contains([]string{"good", "alone", "late", "largest"}, declared[i].Name)
		if good != (err == nil) || !good && (!errors.Is(err, tables.ErrBadDeclared) || !errors.Is(rowErr, tables.ErrBadDeclared)) {
			t.Errorf("%s: %v, %v", declared[i].Name, err, rowErr)
		}
	}
	if len(found) != 10 {
		t.Fatalf("there are %d tables", len(found))
	}
	for _, c := range []struct {
		table  string
		values []byte
		want   []byte // nil: no such row
	}{
		{"alone", nil, row("1")},
		{"alone", row(5), nil},
		{"good", row(5, some{"x"}), row("1", 5, some{"x"})},
		{"good", row(5, nil), row("1", 5, nil)},
		{"good", row(5), row("1", 5, nil)},
		{"good", nil, nil},
		{"good", row(5)[:7], nil},
		{"good", row(5, some{"\x80"}), nil},
		{"good", append(row(5), 2), nil},
		{"good", append(row(5), 1), nil},
		{"good", row(5, nil, nil), nil},
		{"late", nil, row("1", nil, nil)},
		{"late", row(some{5}), row("1", some{5}, nil)},
		{"late", row(nil, some{true}), row("1", nil, some{true})},
	} {
		held := row(c.table, "1", string(c.values))
		got, err := found[c.table].Row(string(held))
		if (err == nil) != (c.want != nil) || got != string(c.want) {
			t.Errorf("%s of %x: %x, %v", c.table, c.values, got, err)
		}
		if err == nil {
			if _, err := found[c.table].Values([]byte(got)); err != nil {
				t.Errorf("%s of %x: %v", c.table, c.values, err)
			}
		}
	}
	for n := range 12 {
		if _, err := found["alone"].Row(string(row("alone", "1", "")[:n])); !errors.Is(err, tables.ErrBadDeclared) {
			t.Errorf("%d bytes of a row: %v", n, err)
		}
	}
	put(0, "good", "1", string(row(5)))
	put(0, "good", "2", string(row(6)))
	put(0, "goods", "1", "")
	for want, values := range map[int][]byte{2: nil, 1: row("2"), 0: row("3")} {
		prefix, err := found["good"].Prefix(set, values)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := set.Scan(0, 0, prefix, "", false, func(_, _ string) bool { n++; return true }); err != nil || n != want {
			t.Errorf("%d rows, not %d: %v", n, want, err)
		}
	}
	if _, err := found["good"].Prefix(set, row("1", 5)); err == nil {
		t.Error("a prefix longer than the key is let through")
	}
}
