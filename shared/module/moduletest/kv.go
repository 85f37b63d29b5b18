package moduletest

import (
	"fmt"
	"strings"

	"skerry/shared/msgpack"
	"skerry/shared/wire"
)

// kvTables are those of the tests' spaces of kv.
func kvTables() []byte {
	return tablesOf("todos", []any{"title", "text", "done", "bool", "due", "f64?"}, "all", []any{
		"b", "bool", "i", "i64", "u", "u64", "f", "f64", "t", "text", "y", "bytes",
		"b?", "bool?", "i?", "i64?", "u?", "u64?", "f?", "f64?", "t?", "text?", "y?", "bytes?",
	})
}

// tablesOf returns what declares tables: their names and columns in turn.
func tablesOf(tables ...any) []byte {
	for i := 1; i < len(tables); i += 2 {
		tables[i] = raw(payload(tables[i].([]any)...))
	}
	return payload("tables", raw(payload(tables...)))
}

// KVSet returns the payload of a set: names and values in turn.
func KVSet(table, id string, values ...any) []byte {
	return payload("table", table, "id", id, "values", raw(payload(values...)))
}

// KVDelete returns the payload of a delete.
func KVDelete(table, id string) []byte { return payload("table", table, "id", id) }

// KVParams returns the params of a space of kv with a table todos, of title text, done bool and due f64?.
func KVParams() []byte { return kvTables() }

func kvSet(table, id string, values ...any) event { return event{"set", KVSet(table, id, values...)} }
func kvDelete(table, id string) event             { return event{"delete", KVDelete(table, id)} }
func todo(id, title string) event                 { return kvSet("todos", id, "title", title, "done", false) }
func declareTables(tables ...any) event           { return event{"declare", tablesOf(tables...)} }

// kv makes a space of kv.
func (s *session) kv(modules ...[]byte) *testSpace {
	s.t.Helper()
	made := s.space(builtinBytes("kv"), kvTables())
	made.modules = append(modules, builtinBytes("kv"))
	made.prepare(made.instance)
	return made
}

// declared returns the rows of a table that was declared.
func (s *testSpace) declared(table string) string {
	s.t.Helper()
	set := s.instance.Tables()
	found, _, err := set.Declared()
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for i := range found {
		d := &found[i]
		if d.Name != table {
			continue
		}
		prefix, err := d.Prefix(set, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		err = set.Scan(d.Table, 0, prefix, "", false, func(_, held string) bool {
			row, err := d.Row(held)
			if err != nil {
				s.t.Fatal(err)
			}
			values, err := d.Values([]byte(row))
			if err != nil {
				s.t.Fatal(err)
			}
			all = append(all, strings.TrimSpace(fmt.Sprintln(values...)))
			return true
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return strings.Join(all, ", ")
}

func (s *testSpace) wantRows(table, want string) {
	s.t.Helper()
	if got := s.declared(table); got != want {
		s.t.Errorf("the rows of %s are %s, not %s", table, got, want)
	}
}

func kvTruth() *Truth {
	return &Truth{
		Module: "kv",
		params: kvTables(),
		before: func(s *testSpace) {
			populate(s)
			s.push("writer", todo("1", "milk"))
		},
		people: []person{{"owner", "creator"}, {"admin", "admin"}, {"writer", "writer"}, {"reader", "reader"}, {"another", "eve"}, {"nobody known", ""}},
		actions: []action{
			{"reads", "yes yes yes yes no no", nil},
			{"makes a row", "yes yes yes no no no", one(todo("2", "bread"))},
			{"changes a value of one", "yes yes yes no no no", one(kvSet("todos", "1", "done", true))},
			{"deletes a row", "yes yes yes no no no", one(kvDelete("todos", "1"))},
			{"deletes one that is not there", "yes yes yes no no no", one(kvDelete("todos", "3"))},
			{"changes a value of one that is not there", "no no no no no no", one(kvSet("todos", "3", "done", true))},
			{"writes to a table that is not there", "no no no no no no", one(kvSet("notes", "1", "text", "x"))},
			{"adds a table", "yes yes no no no no", one(declareTables("notes", []any{"text", "text"}))},
			{"adds a column", "yes yes no no no no", one(declareTables("todos", []any{"tag", "text?"}))},
			{"makes a column another", "no no no no no no", one(declareTables("todos", []any{"title", "bytes"}))},
			{"writes an event of any other type", "yes yes yes no no no", anything},
			{"invites a writer", "yes yes no no no no", one(invite("writer", secret(3)))},
			{"becomes a member by an invitation, and makes a row", "no no no no yes no", func() []event { return []event{redeem(secret(1)), todo("2", "bread")} }},
			{"makes somebody new an admin", "yes no no no no no", one(grant("new", "admin"))},
			{"removes a writer", "yes yes no no no no", one(expel("second writer"))},
			{"leaves", "no yes yes yes no no", one(leave())},
			{"hands the space over", "yes no no no no no", one(transfer("writer"))},
			{"takes the space over to another module", "yes no no no no no", one(upgrade(builtinBytes("kv"), nil))},
			{"deletes the space", "yes no no no no no", one(deletion)},
			{"has its first record expire", "yes no no no no no", one(expiry)},
		},
	}
}

// builtinKVCases are what happens in the tables that a space declares.
func builtinKVCases() []testCase {
	return []testCase{
		{"kv: whoever writes a value last wins", func(s *session) {
			space := s.kv()
			space.allowed("creator", grant("ann", "writer"), grant("bob", "writer"))
			space.allowed("ann", todo("1", "milk"), kvSet("todos", "1", "due", 5), todo("2", "bread"))
			space.wantRows("todos", "1 milk false 5, 2 bread false <nil>")
			space.allowed("bob", kvSet("todos", "1", "done", true))     // written apart,
			space.allowed("ann", kvSet("todos", "1", "title", "beans")) // and both stay
			space.allowed("bob", kvSet("todos", "2", "title", "rye"))
			space.allowed("ann", kvSet("todos", "2", "title", "rolls"), kvSet("todos", "1", "due", nil))
			space.wantRows("todos", "1 beans true <nil>, 2 rolls false <nil>")
			space.allowed("bob", kvDelete("todos", "1"))
			space.refused(12, "ann", kvSet("todos", "1", "done", false)) // which would be half a row
			space.allowed("ann", todo("1", "anew"))
			space.allowed("bob", kvDelete("todos", "2"), kvDelete("todos", "2"))
			space.wantRows("todos", "1 anew false <nil>")
			space.refused(11, "ann", kvSet("todos", "1", "title", nil))
			space.refused(12, "ann", kvSet("todos", "9"), todo("8", "all or nothing"))
			space.wantRows("todos", "1 anew false <nil>")
			space.anew()
		}},
		{"kv: values of every type", kvValues},
		{"kv: payloads that are none", kvBroken},
		{"kv: params that make no space", kvParams},
		{"kv: limits, on both sides", kvLimits},
		{"kv: tables and columns are added", func(s *session) {
			space := s.kv()
			space.allowed("creator", todo("1", "milk"))
			space.allowed("creator", declareTables("todos", []any{"done", "bool", "tag", "text?", "n", "u64?"}, "lists", []any{}))
			space.wantRows("todos", "1 milk false <nil> <nil> <nil>")
			space.allowed("creator", kvSet("todos", "1", "n", 7), kvSet("lists", "home"))
			space.wantRows("todos", "1 milk false <nil> <nil> 7")
			space.wantRows("lists", "home")
			space.allowed("creator", declareTables("todos", []any{"tag", "text?", "more", "bytes?"}))
			space.allowed("creator", kvSet("todos", "1", "tag", "shop"))
			space.wantRows("todos", "1 milk false <nil> shop 7 <nil>")
			for _, columns := range [][]any{{"title", "text?"}, {"due", "f64"}, {"due", "i64?"}, {"new", "text"}, {"id", "text"}, {"x", "text?", "x", "text?"}, {"x", "date?"}} {
				space.refused(13, "creator", declareTables("todos", columns))
			}
			space.refused(13, "creator", event{"declare", nil})
			space.refused(13, "creator", declareTables("rows", []any{}))
			space.anew()
		}},
		{"kv: from other modules, and to itself", func(s *session) {
			kv := builtinBytes("kv")
			for _, from := range []string{"open", "personal", "broadcast", "members"} {
				var space *testSpace
				if from == "open" {
					space = s.open(kv)
				} else {
					space = s.upgradable(builtinBytes(from), kv)
				}
				if from == "members" {
					space.push("creator", grant("ann", "writer"))
				}
				if space.push("creator", upgrade(kv, nil)).Allowed() {
					s.t.Errorf("from %s: it has no tables", from)
				}
				space.allowed("creator", upgrade(kv, kvTables()))
				space.version()
				if from != "members" {
					space.allowed("creator", grant("ann", "writer"))
				}
				space.allowed("ann", todo("1", "milk"))
				space.allowed("creator", upgrade(kv, nil)) // the tables stay,
				space.allowed("creator", upgrade(kv, tablesOf("todos", []any{"tag", "text?"})))
				space.wantRows("todos", "1 milk false <nil> <nil>")
				if from != "open" {
					space.anew()
				}
			}
			space := s.upgradable(builtinBytes("personal"), Members(nil), kv)
			space.push("creator", upgrade(kv, tablesOf("todos", []any{"title", "date"})))
			space.version()
			space = s.kv(builtinBytes("members"))
			space.allowed("creator", todo("1", "milk"))
			if space.push("creator", upgrade(builtinBytes("members"), nil)).Allowed() {
				s.t.Error("a list of members has rows")
			}
			space.version()
		}},
	}
}

// kvValues writes to the table that has columns of every type.
func kvValues(s *session) {
	space := s.kv()
	all := func(values ...any) event {
		return kvSet("all", "1", append([]any{"b", true, "i", -5, "u", 5, "f", 1.5, "t", "text", "y", []byte{1}}, values...)...)
	}
	float32s := raw{0xca, 0x3f, 0x80, 0, 0}
	space.allowed("creator", all())
	space.wantRows("all", "1 true -5 5 1.5 text [1] <nil> <nil> <nil> <nil> <nil> <nil>")
	space.allowed("creator", all("b?", false, "i?", uint64(1<<63-1), "u?", uint64(1<<64-1), "f?", 1<<53, "t?", "\U0001f30a\u00fc\ufeff", "y?", []byte{}))
	space.wantRows("all", "1 true -5 5 1.5 text [1] false 9223372036854775807 18446744073709551615 9.007199254740992e+15 \U0001f30a\u00fc\ufeff []")
	for _, values := range [][]any{
		{"i?", -1 << 63}, {"i?", 0}, {"i?", raw{0xff}}, {"i?", raw{0xd0, 0x80}}, {"i?", raw{0xd1, 0x80, 0}}, {"i?", raw{0xd2, 0x80, 0, 0, 0}},
		{"u?", raw{0xd0, 1}}, {"u?", raw{0xcd, 1, 0}}, {"u?", raw{0xd3, 0, 0, 0, 0, 0, 0, 0, 1}},
		{"f?", float32s}, {"f?", -1 << 53}, {"f?", -3}, {"t?", ""}, {"t?", strings.Repeat("w", 300)}, {"t?", strings.Repeat("w", 50_000)}, {"t?", strings.Repeat("\u00fc", 25_000)},
		{"y?", make([]byte, 300)}, {"t?", "", "y?", make([]byte, 50_000)}, {"t?", raw{0xd9, 1, 'x'}}, {"b?", nil, "i?", nil},
		{"f?", raw{0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 1}}, // a NaN, which becomes the one that there is
	} {
		space.allowed("creator", kvSet("all", "1", values...))
		if !strings.HasPrefix(space.declared("all"), "1 true -5 5 1.5 text [1] ") {
			s.t.Errorf("other values of the row changed: %.80s", space.declared("all"))
		}
	}
	for _, values := range [][]any{
		{"b?", 1}, {"b?", "true"}, {"i?", 1.5}, {"i?", uint64(1 << 63)}, {"i?", "5"}, {"u?", -1}, {"u?", true}, {"u?", raw{0xff}}, {"f?", "1"}, {"f?", 1<<53 + 1}, {"f?", -1<<53 - 1},
		{"t?", 5}, {"t?", []byte("x")}, {"y?", "x"}, {"t?", raw{0xa1, 0x80}}, {"t?", raw{0xa2, 0xc0, 0x80}}, {"t?", raw{0xa3, 0xed, 0xa0, 0x80}}, {"t?", raw{0xa3, 0xe0, 0x80, 0x80}},
		{"t?", raw{0xa4, 0xf4, 0x90, 0x80, 0x80}}, {"t?", raw{0xa4, 0xf0, 0x80, 0x80, 0x80}}, {"t?", raw{0xa1, 0xf5}}, {"t?", raw{0xa1, 0xe2}},
		{"t?", raw{0x90}}, {"t?", raw{0x80}}, {"b?", raw{0xc1}}, {"y?", raw{0xd4, 1, 1}}, {"id", "2"}, {"T?", "x"}, {"t?", "x", "t?", "y"}, {"t?", nil, "t?", nil},
	} {
		space.refused(11, "creator", kvSet("all", "1", values...))
	}
	space.anew()
}

// kvBroken writes payloads that are not what set has.
func kvBroken(s *session) {
	space := s.kv()
	whole := KVSet("todos", "1", "title", "milk", "done", true)
	for n := range whole {
		space.refused(11, "creator", event{"set", whole[:n]})
	}
	space.refused(11, "creator", event{"set", append(append([]byte{}, whole...), 0xc0)})
	nested := msgpack.AppendArray(nil, 0)
	for range 20 {
		nested = append(msgpack.AppendArray(nil, 1), nested...)
	}
	for _, b := range [][]byte{
		{0xc0}, {0x90}, {0xdf, 0xff, 0xff, 0xff, 0xff}, {0xde, 0xff, 0xff}, {0x81, 0xdb, 0xff, 0xff, 0xff, 0xff}, {0x81, 0xa1, 'x', 0xdd, 0xff, 0xff, 0xff, 0xff},
		payload("table", "todos", "id", "1", "values", raw{0x90}), payload("table", "todos", "id", "1", "values", raw{0x81, 1, 2}),
		payload("table", "todos", "id", 1, "values", raw{0x80}), payload("table", "todos", "id", "", "values", raw{0x80}), payload("table", "todos", "values", raw{0x80}),
		payload("table", "todos", "id", "1", "values", raw{0x80}, "deep", raw(nested)),
	} {
		space.refused(11, "creator", event{"set", b})
	}
	space.refused(10, "creator", event{"set", payload("id", "1", "values", raw{0x80})})
	space.refused(10, "creator", kvDelete("notes", "1"))
	space.refused(11, "creator", kvDelete("todos", ""))
	other := []any{"nil", nil, "list", raw{0x93, 1, 0xc3, 0xa0}, "map", raw{0x81, 1, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0}, "ext", raw{0xc7, 2, 1, 0, 0}, "fix", raw{0xd8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "bytes", []byte{1, 2}, "n", -40000}
	space.allowed("creator", event{"set", payload(append(other, "table", "todos", "id", "1", "values", raw(payload("title", "milk", "done", true)))...)})
	space.wantRows("todos", "1 milk true <nil>")
	space.anew()
}

// kvParams tries params with which there is no space, and one with more than tables.
func kvParams(s *session) {
	for _, params := range [][]byte{
		nil, {0xc0}, {0xc1}, {0x80}, {0x81}, payload("tables", nil), payload("tables", "todos"), payload("tables", raw{0x81, 0xa1, 'x'}), payload("table", raw{0x80}),
		append(kvTables(), 0), payload("tables", raw{0x80}, "tables", raw{0x80}), tablesOf("todos", []any{"title", "string"}), tablesOf("todos", []any{"title", 5}),
		tablesOf("todos", []any{"title", "text??"}), tablesOf("todos", []any{"title", ""}), tablesOf("todos", []any{"id", "text"}), tablesOf("todos", []any{"$key", "text"}),
		tablesOf("todos", []any{"", "text"}), tablesOf("", []any{}), tablesOf("todos", []any{"x", "text", "x", "text"}),
		tablesOf("members", []any{}), tablesOf("invitations", []any{}), tablesOf("voided", []any{}), tablesOf("columns", []any{}), tablesOf("rows", []any{}),
	} {
		if s.space(builtinBytes("kv"), params) != nil {
			s.t.Errorf("the params %x make a space", params)
		}
	}
	for _, params := range [][]byte{kvTables(), payload("name", "shop", "tables", raw{0x80}), tablesOf("x", []any{})} {
		if s.space(builtinBytes("kv"), params) == nil {
			s.t.Errorf("the params %x make no space", params)
		}
	}
}

// kvLimits tries what is at each limit, and what is one above.
func kvLimits(s *session) {
	named := func(n int) string { return strings.Repeat("n", n) }
	columns := func(n int) []any {
		var all []any
		for i := range n {
			all = append(all, fmt.Sprintf("c%d", i), "text?")
		}
		return all
	}
	many := func(n int) []byte {
		var all []any
		for i := range n {
			all = append(all, fmt.Sprintf("t%d", i), []any{})
		}
		return tablesOf(all...)
	}
	for i, params := range [][2][]byte{
		{tablesOf(named(64), []any{}), tablesOf(named(65), []any{})},
		{tablesOf("\u00fc"+named(62), []any{}), tablesOf("\u00fc"+named(63), []any{})},
		{tablesOf("t", []any{named(64), "text"}), tablesOf("t", []any{named(65), "text"})},
		{tablesOf("t", columns(63)), tablesOf("t", columns(64))},
		{many(64), many(65)},
	} {
		if s.space(builtinBytes("kv"), params[0]) == nil || s.space(builtinBytes("kv"), params[1]) != nil {
			s.t.Errorf("limit %d does not hold on both sides", i)
		}
	}
	space := s.kv()
	space.allowed("creator", todo(named(256), "milk"), kvDelete("todos", named(256)))
	space.allowed("creator", todo(strings.Repeat("\x00", 200), "milk"), kvDelete("todos", strings.Repeat("\x00", 200)))
	space.refused(11, "creator", todo(named(257), "milk"))
	space.refused(11, "creator", kvDelete("todos", named(257)))
	const values = 60<<10 - 4 - 1 - 1 // with a length, done, and due that is absent
	space.allowed("creator", todo("1", named(values)))
	space.refused(14, "creator", todo("1", named(values+1)))
	large := []event{todo("1", named(values))}
	for len(large) < 16 {
		large = append(large, todo(fmt.Sprint(len(large)), named(values)))
	}
	space.allowed("creator", large...)
	if v := space.push("creator", append(large, todo("16", named(values)), todo("17", named(values)))...); v.Code != wire.CodeQuotaTables {
		s.t.Errorf("more than a transaction may write is %v", v.Code)
	}
	space.anew()
}
