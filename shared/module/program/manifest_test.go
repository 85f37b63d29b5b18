package program_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"skerry/shared/module/builtin"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/tables"
)

func TestManifestIsReadAsWritten(t *testing.T) {
	full := moduletest.ChatManifest()
	full.Doc, full.Raw, full.Upgrade, full.IO = "a chat", true, program.Replay, 4096
	full.Events[0].Doc, full.Events[0].Fields[0].Doc = "says something", "where"
	full.Params = []program.Field{{Name: "title", Kind: tables.Text}, {Name: "size", Kind: tables.F64, Optional: true, Doc: "of letters"}}
	full.Tables[0].Columns[3].Kind = tables.Bytes
	none := &program.Manifest{Name: "n", Version: "1.2.3-rc.1+build", ABI: program.ABI, IO: program.DefaultIO, Params: []program.Field{}}
	kv, _ := builtin.ByName("kv")
	declares, err := program.Load(builtin.Bytes(kv))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*program.Manifest{full, none, moduletest.ChatManifest(), declares.Manifest} {
		read, err := program.ReadManifest(m.Append(nil))
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
		} else if !reflect.DeepEqual(read, m) {
			t.Errorf("%s:\n%+v\n%+v", m.Name, read, m)
		}
	}
	held := declares.Manifest.Tables
	held[declares.Manifest.Table("rows")].DeclaredBy = "members"
	if _, err := program.ReadManifest(declares.Manifest.Append(nil)); err == nil {
		t.Error("a table of members declares others")
	}
}

func fields(n int) (all []program.Field) {
	for i := range n {
		all = append(all, program.Field{Name: fmt.Sprint("f", i), Kind: tables.Bool})
	}
	return all
}

func table(name string, columns int) tables.Schema {
	s := tables.Schema{Name: name, Key: []int{0}}
	for i := range columns {
		s.Columns = append(s.Columns, tables.Column{Name: fmt.Sprint("c", i), Kind: tables.U64})
	}
	return s
}

// TestManifestLimits: each limit lets what is at it pass, and not one more.
func TestManifestLimits(t *testing.T) {
	name := func(n int) string { return strings.Repeat("n", n) }
	for what, c := range map[string]struct {
		limit int
		make  func(m *program.Manifest, n int)
	}{
		"name":            {64, func(m *program.Manifest, n int) { m.Name = name(n) }},
		"io":              {1 << 20, func(m *program.Manifest, n int) { m.IO = uint32(n) }},
		"event types":     {256, func(m *program.Manifest, n int) { m.Events = events(n) }},
		"an event's name": {128, func(m *program.Manifest, n int) { m.Events = []program.EventType{{Name: name(n)}} }},
		"fields":          {64, func(m *program.Manifest, n int) { m.Events = []program.EventType{{Name: "e", Fields: fields(n)}} }},
		"params":          {64, func(m *program.Manifest, n int) { m.Params = fields(n) }},
		"a field's name":  {64, func(m *program.Manifest, n int) { m.Params = []program.Field{{Name: name(n), Kind: tables.Bool}} }},
		"tables": {64, func(m *program.Manifest, n int) {
			for i := range n {
				m.Tables = append(m.Tables, table(fmt.Sprint("t", i), 1))
			}
		}},
		"columns":        {64, func(m *program.Manifest, n int) { m.Tables = []tables.Schema{table("t", n)} }},
		"a table's name": {64, func(m *program.Manifest, n int) { m.Tables = []tables.Schema{table(name(n), 1)} }},
		"indexes": {16, func(m *program.Manifest, n int) {
			s := table("t", 1)
			for i := range n {
				s.Indexes = append(s.Indexes, tables.Index{Name: fmt.Sprint("i", i), Columns: []int{0}})
			}
			m.Tables = []tables.Schema{s}
		}},
		"bytes": {64 << 10, func(m *program.Manifest, n int) {
			m.Doc = "d"
			m.Doc = name(n - len(m.Append(nil)) - 1) // and two more of its length
		}},
	} {
		for over := range 2 {
			m := &program.Manifest{Name: "n", Version: "1.0.0", ABI: program.ABI, IO: program.DefaultIO}
			c.make(m, c.limit+over)
			if _, err := program.ReadManifest(m.Append(nil)); (err != nil) != (over == 1) {
				t.Errorf("%s, %d over: %v", what, over, err)
			}
		}
	}
	for io, good := range map[uint32]bool{4095: false, 4096: true} {
		m := &program.Manifest{Name: "n", Version: "1.0.0", ABI: program.ABI, IO: io}
		if _, err := program.ReadManifest(m.Append(nil)); (err == nil) != good {
			t.Errorf("io of %d: %v", io, err)
		}
	}
}

func events(n int) (all []program.EventType) {
	for i := range n {
		all = append(all, program.EventType{Name: fmt.Sprint("e", i)})
	}
	return all
}

// TestManifestOfOthers: what a later version may add is passed over, and nothing else is.
func TestManifestOfOthers(t *testing.T) {
	text := func(pairs ...any) []byte {
		b := msgpack.AppendMap(nil, len(pairs)/2)
		for _, v := range pairs {
			switch v := v.(type) {
			case string:
				b = msgpack.AppendString(b, v)
			case int:
				b = msgpack.AppendUint(b, uint64(v))
			case []byte:
				b = append(b, v...)
			}
		}
		return b
	}
	list := func(elements ...[]byte) []byte {
		b := msgpack.AppendArray(nil, len(elements))
		for _, e := range elements {
			b = append(b, e...)
		}
		return b
	}
	with := func(pairs ...any) []byte {
		return text(append([]any{"name", "n", "version", "1.0.0", "abi", 1}, pairs...)...)
	}
	column := text("name", "a", "type", "text")
	for what, c := range map[string]struct {
		bytes []byte
		want  string // in the error; empty for none
	}{
		"the least":           {with(), ""},
		"an unknown name":     {with("lens", text("a", list(text()))), ""},
		"unknown names":       {with("tables", list(text("name", "t", "columns", list(text("name", "a", "type", "text", "x", 1)), "key", list(word("a")), "x", 1))), ""},
		"a name twice":        {with("abi", 1), "twice"},
		"a field's twice":     {with("params", list(text("name", "a", "name", "b", "type", "text"))), "twice"},
		"text for a number":   {with("io", "much"), "in io"},
		"an array for a map":  {list(), "not the msgpack"},
		"no name":             {text("version", "1.0.0", "abi", 1), "name is 1 to 64"},
		"no abi":              {text("name", "n", "version", "1.0.0"), "ABI 0"},
		"no version":          {text("name", "n", "abi", 1), "version"},
		"a later abi":         {text("name", "n", "version", "1.0.0", "abi", 3), "ABI 3"},
		"an unknown type":     {with("params", list(text("name", "a", "type", "i128"))), `no type "i128"`},
		"no type":             {with("params", list(text("name", "a"))), "kind 0"},
		"fields twice":        {with("params", list(column, column)), "two fields are called a"},
		"columns twice":       {with("tables", list(text("name", "t", "columns", list(column, column), "key", list(word("a"))))), "two columns"},
		"no key":              {with("tables", list(text("name", "t", "columns", list(column)))), "no columns"},
		"a key of nothing":    {with("tables", list(text("name", "t", "columns", list(column), "key", list(word("b"))))), "no column b"},
		"the key first":       {with("tables", list(text("key", list(word("a")), "columns", list(column), "name", "t"))), ""},
		"an index of none":    {with("tables", list(text("name", "t", "columns", list(column), "key", list(word("a")), "indexes", list(text("name", "i"))))), "no columns"},
		"something behind":    {append(with(), 0), "not the msgpack"},
		"cut off":             {with()[:10], "not the msgpack"},
		"events of Skerry's":  {with("events", list(text("name", "$x", "fields", list()))), "does not begin with $"},
		"events twice":        {with("events", list(text("name", "x"), text("name", "x"))), "two event types"},
		"more than are there": {with("events", []byte{0xdd, 0xff, 0xff, 0xff, 0xff}), "msgpack"},
	} {
		_, err := program.ReadManifest(c.bytes)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, and it should say %q", what, err, c.want)
		}
	}
}

func word(s string) []byte { return msgpack.AppendString(nil, s) }

func FuzzManifest(f *testing.F) {
	f.Add(moduletest.ChatManifest().Append(nil))
	schemas := moduletest.ChatManifest()
	schemas.ABI = program.ABISchemas
	schemas.Events = append(schemas.Events, program.EventType{Name: "gone", Removed: true}, program.EventType{Name: "lensed",
		Fields: []program.Field{{Name: "a", Kind: tables.Text}, {Name: "b", Kind: tables.F64, Default: []byte{7}}},
		Older: []program.Older{
			{Fields: []program.Field{{Name: "b", Kind: tables.Text}, {Name: "c", Kind: tables.Bool}}, Rename: []program.Renamed{{From: "b", To: "a"}}, Drop: []string{"c"}, Given: []program.Given{{Name: "b", Value: []byte{0xff}}}},
			{Fields: []program.Field{}, Refused: true},
		}})
	if _, err := program.ReadManifest(schemas.Append(nil)); err != nil {
		f.Fatal(err)
	}
	f.Add(schemas.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := program.ReadManifest(b)
		if err != nil {
			return
		}
		again, err := program.ReadManifest(m.Append(nil))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Errorf("%v:\n%+v\n%+v", err, m, again)
		}
	})
}
