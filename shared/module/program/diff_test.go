package program

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry/shared/msgpack"
	"skerry/shared/semver"
	"skerry/shared/tables"
)

// chatOf returns a manifest that tests change.
func chatOf() *Manifest {
	return &Manifest{
		Name: "chat", Version: "1.0.0", ABI: ABI,
		Events: []EventType{
			{Name: "message", Fields: []Field{{Name: "text", Kind: tables.Text}, {Name: "room", Kind: tables.Text, Optional: true}}},
			{Name: "join"},
		},
		Params: []Field{{Name: "title", Kind: tables.Text}, {Name: "size", Kind: tables.U64, Optional: true}},
		Tables: []tables.Schema{
			{
				Name:    "messages",
				Columns: []tables.Column{{Name: "id", Kind: tables.U64}, {Name: "text", Kind: tables.Text}, {Name: "room", Kind: tables.Text, Optional: true}},
				Key:     []int{0},
				Indexes: []tables.Index{{Name: "by_room", Columns: []int{2}}, {Name: "by_text", Columns: []int{1}, Unique: true}},
			},
			{Name: "people", Columns: []tables.Column{{Name: "name", Kind: tables.Text}}, Key: []int{0}},
		},
	}
}

// TestCompare has a line for every change that there is, and what undoing it is.
func TestCompare(t *testing.T) {
	for _, c := range []struct {
		change     func(*Manifest)
		subject    string
		bump, undo Bump // None: there is nothing to tell
	}{
		{func(m *Manifest) { m.Events = append(m.Events, EventType{Name: "leave"}) }, "event leave", Minor, Major},
		{func(m *Manifest) { m.Raw = true }, "events that are not declared", Minor, Major},
		{func(m *Manifest) { m.Events[1].Fields = []Field{{Name: "why", Kind: tables.Text}} }, "event join, field why", Major, Major},
		{func(m *Manifest) { m.Events[1].Fields = []Field{{Name: "why", Kind: tables.Text, Optional: true}} }, "event join, field why", Minor, Major},
		{func(m *Manifest) { m.Events[0].Fields[0].Kind = tables.Bytes }, "event message, field text", Major, Major},
		{func(m *Manifest) { m.Events[0].Fields[0].Optional = true }, "event message, field text", Major, Major},
		{func(m *Manifest) { m.Events[0].Fields[0].Doc = "what is said" }, "", None, None},
		{func(m *Manifest) { slices.Reverse(m.Events[0].Fields) }, "", None, None},
		{func(m *Manifest) { m.Params = nil }, "params", Patch, Major},
		{func(m *Manifest) { m.Params = m.Params[:1] }, "params, field size", Patch, Minor},
		{func(m *Manifest) { m.Params = m.Params[1:] }, "params, field title", Patch, Major},
		{func(m *Manifest) { m.Params[0].Optional = true }, "params, field title", Patch, Major},
		{func(m *Manifest) { m.Params[0].Kind = tables.U64 }, "params, field title", Major, Major},
		{func(m *Manifest) { m.Tables = append(m.Tables, tables.Schema{Name: "pins"}) }, "table pins", Minor, Major},
		{func(m *Manifest) {
			m.Tables[1].Columns = append(m.Tables[1].Columns, tables.Column{Name: "age", Kind: tables.U64})
		}, "table people, column age", Minor, Major},
		{func(m *Manifest) { m.Tables[1].Columns[0].Kind = tables.Bytes }, "table people, column name", Major, Major},
		{func(m *Manifest) { m.Tables[0].Columns[1].Optional = true }, "table messages, column text", Major, Minor},
		{func(m *Manifest) { m.Tables[0].Key = []int{0, 1} }, "table messages, key", Major, Major},
		{func(m *Manifest) { m.Tables[1].DeclaredBy = "messages" }, "table people", Major, Major},
		{func(m *Manifest) { m.Tables[1].Indexes = []tables.Index{{Name: "x", Columns: []int{0}}} }, "table people, index x", Patch, Major},
		{func(m *Manifest) { m.Tables[1].Indexes = []tables.Index{{Name: "x", Columns: []int{0}, Unique: true}} }, "table people, index x", Patch, Major}, // as the key says
		{func(m *Manifest) {
			m.Tables[0].Indexes = append(m.Tables[0].Indexes, tables.Index{Name: "x", Columns: []int{2}, Unique: true})
		}, "table messages, index x", Major, Major},
		{func(m *Manifest) {
			m.Tables[0].Indexes = append(m.Tables[0].Indexes, tables.Index{Name: "x", Columns: []int{2, 1}, Unique: true}) // as by_text says
		}, "table messages, index x", Patch, Major},
		{func(m *Manifest) { m.Tables[0].Indexes[0].Columns = []int{2, 1} }, "table messages, index by_room", Major, Major},
		{func(m *Manifest) { m.Tables[0].Indexes[0].Unique = true }, "table messages, index by_room", Major, Major},
		{func(m *Manifest) { m.Upgrade, m.IO, m.Doc = Replay, MaxIO, "another" }, "", None, None},
	} {
		older, newer := chatOf(), chatOf()
		c.change(newer)
		for _, way := range []struct {
			what         string
			older, newer *Manifest
			want         Bump
		}{{"done", older, newer, c.bump}, {"undone", newer, older, c.undo}} {
			all := Compare(way.older, way.newer)
			switch {
			case way.want == None && len(all) == 0:
			case len(all) != 1 || all[0].Subject != c.subject || all[0].Bump != way.want || LeastBump(all) != way.want:
				t.Errorf("%s, %s: %+v, want %v", c.subject, way.what, all, way.want)
			case all[0].Change == "" || all[0].Effect == "":
				t.Errorf("%s, %s: says nothing: %+v", c.subject, way.what, all)
			}
		}
	}
}

// TestCompareOfTypesThatWereBytes: a type that older clients could send as they liked has a shape now.
func TestCompareOfTypesThatWereBytes(t *testing.T) {
	older, newer := chatOf(), chatOf()
	older.Raw, newer.Raw = true, true
	newer.Events = append(newer.Events, EventType{Name: "leave"})
	if all := Compare(older, newer); len(all) != 1 || all[0].Bump != Major || all[0].Subject != "event leave" {
		t.Errorf("%+v", all)
	}
}

func TestDeclaredBump(t *testing.T) {
	for _, c := range []struct {
		older, newer string
		want         Bump
	}{
		{"1.2.3", "1.2.3", None}, {"1.2.3", "1.2.2", None}, {"1.2.3", "1.2.3-rc.1", None}, {"1.2.3", "1.2.3+build", None},
		{"1.2.3", "1.2.4", Patch}, {"1.2.3", "1.3.0", Minor}, {"1.2.3", "2.0.0", Major}, {"1.2.3", "1.3.1", Minor},
		{"1.2.3", "1.2.4-rc.1", Major}, {"1.2.4-rc.1", "1.2.4", Major}, {"1.2.4-rc.1", "1.2.4-rc.2", Major},
		{"0.2.3", "0.2.4", Minor}, {"0.2.3", "0.3.0", Major}, {"0.2.3", "1.0.0", Major},
	} {
		older, err := semver.Parse(c.older)
		if err != nil {
			t.Fatal(err)
		}
		newer, err := semver.Parse(c.newer)
		if err != nil {
			t.Fatal(err)
		}
		if got := DeclaredBump(older, newer); got != c.want {
			t.Errorf("from %s to %s: %v, want %v", c.older, c.newer, got, c.want)
		}
	}
}

// TestCompareIsRight changes the fields of an event at random, and writes and reads it as clients of both manifests do. What is said to be
// less than major lets the one read whatever the other writes. For what is said to be major there is a payload that is not read; but not for
// a field that was optional and is gone, of whose absence only those can be told who want it.
func TestCompareIsRight(t *testing.T) {
	rng := rand.New(rand.NewPCG(20261122, 7))
	counts := map[Bump]int{}
	for range 4000 {
		older := randomFields(rng)
		newer := changedFields(rng, older)
		d := differences{}
		d.fields("event", older, newer, nil, true, false)
		bump := LeastBump(d)
		counts[bump]++
		gone := slices.ContainsFunc(older, func(f Field) bool {
			return f.Optional && !slices.ContainsFunc(newer, func(g Field) bool { return f.Name == g.Name })
		})
		broken := false
		for range 60 {
			if _, err := appendRow(nil, newer, randomPayload(rng, older)); err != nil {
				broken = true
			}
			if _, err := appendRow(nil, older, randomPayload(rng, newer)); err != nil {
				broken = true
			}
		}
		if broken != (bump == Major) && !(gone && !broken) {
			t.Fatalf("from %+v to %+v is %v: %+v; broken: %v", older, newer, bump, d, broken)
		}
	}
	if counts[None] == 0 || counts[Minor] == 0 || counts[Major] == 0 {
		t.Errorf("tried %v", counts)
	}
}

func randomField(rng *rand.Rand, name string) Field {
	return Field{Name: name, Kind: tables.Kind(1 + rng.IntN(int(tables.Bytes))), Optional: rng.IntN(2) == 0}
}

func randomFields(rng *rand.Rand) (fields []Field) {
	for _, name := range []string{"a", "b", "c"} {
		if rng.IntN(3) > 0 {
			fields = append(fields, randomField(rng, name))
		}
	}
	return fields
}

// changedFields makes one change, or none.
func changedFields(rng *rand.Rand, fields []Field) []Field {
	fields = slices.Clone(fields)
	switch n := rng.IntN(5); {
	case n == 0:
		return append(fields, randomField(rng, "d"))
	case n == 1 && len(fields) > 0:
		at := rng.IntN(len(fields))
		return slices.Delete(fields, at, at+1)
	case n == 2 && len(fields) > 0:
		f := &fields[rng.IntN(len(fields))]
		f.Optional = !f.Optional
	case n == 3 && len(fields) > 0:
		f := &fields[rng.IntN(len(fields))]
		*f = randomField(rng, f.Name)
	}
	return fields
}

// randomPayload writes what a client may write that knows these fields.
func randomPayload(rng *rand.Rand, fields []Field) []byte {
	n, values := 0, []byte(nil)
	for _, f := range fields {
		if f.Optional && rng.IntN(2) == 0 {
			continue
		}
		n++
		values = msgpack.AppendString(values, f.Name)
		switch f.Kind {
		case tables.Bool:
			values = msgpack.AppendBool(values, rng.IntN(2) == 0)
		case tables.I64:
			values = msgpack.AppendInt(values, []int64{-1, 7, math.MinInt64}[rng.IntN(3)])
		case tables.U64:
			values = msgpack.AppendUint(values, []uint64{7, math.MaxUint64}[rng.IntN(2)])
		case tables.F64:
			values = msgpack.AppendFloat(values, 0.5)
		case tables.Text:
			values = msgpack.AppendString(values, "text")
		case tables.Bytes:
			values = msgpack.AppendBinary(values, []byte{0xff})
		}
	}
	return append(msgpack.AppendMap(nil, n), values...)
}
