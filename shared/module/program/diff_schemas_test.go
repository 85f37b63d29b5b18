package program

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
)

// TestCompareSchemas: what a change of declarations is to clients whose payloads say by which ones they are, with and without a lens.
func TestCompareSchemas(t *testing.T) {
	word := msgpack.AppendString(nil, "x")
	text := Field{Name: "text", Kind: tables.Text}
	room := Field{Name: "room", Kind: tables.Text, Optional: true}
	mood := Field{Name: "mood", Kind: tables.Text, Default: word}
	old := []Field{text, room}
	listed := func(o Older) []Older {
		o.Fields = old
		return []Older{o}
	}
	same := listed(Older{})
	for what, c := range map[string]struct {
		change func(*Manifest)
		bump   Bump
		says   []string // what differs, in order
	}{
		"nothing":             {func(*Manifest) {}, None, nil},
		"docs":                {func(m *Manifest) { m.Events[0].Fields[0].Doc = "x" }, None, nil},
		"an older one listed": {func(m *Manifest) { m.Events[0].Older = []Older{{Fields: []Field{text}}} }, None, nil},
		"another order":       {func(m *Manifest) { m.Events[0].Fields, m.Events[0].Older = []Field{room, text}, same }, None, nil},
		"not listed":          {func(m *Manifest) { m.Events[0].Fields = []Field{room, text} }, Major, []string{"is not listed"}},
		"refused": {func(m *Manifest) {
			m.Events[0].Fields, m.Events[0].Older = []Field{room, text}, listed(Older{Refused: true})
		}, Major, []string{"is refused"}},
		"a field with a default": {func(m *Manifest) { m.Events[0].Fields, m.Events[0].Older = []Field{text, room, mood}, same }, Minor, []string{"added, with a default"}},
		"a field that the lens gives": {func(m *Manifest) {
			m.Events[0].Fields, m.Events[0].Older = []Field{text, room, {Name: "mood", Kind: tables.Text}}, listed(Older{Given: []Given{{"mood", word}}})
		}, Minor, []string{"added, with a default"}},
		"a required one, not listed": {func(m *Manifest) { m.Events[0].Fields = []Field{text, room, {Name: "mood", Kind: tables.Text}} }, Major, []string{"added, not optional", "is not listed"}},
		"required now": {func(m *Manifest) {
			m.Events[0].Fields, m.Events[0].Older = []Field{text, {Name: "room", Kind: tables.Text}}, listed(Older{Given: []Given{{"room", word}}})
		}, Minor, []string{"has to be there"}},
		"optional now": {func(m *Manifest) {
			m.Events[0].Fields, m.Events[0].Older = []Field{{Name: "text", Kind: tables.Text, Optional: true}, room}, same
		}, Major, []string{"optional now"}},
		"a default now": {func(m *Manifest) {
			m.Events[0].Fields, m.Events[0].Older = []Field{{Name: "text", Kind: tables.Text, Default: word}, room}, same
		}, Patch, []string{"has a default now"}},
		"a default for none": {func(m *Manifest) {
			m.Events[0].Fields, m.Events[0].Older = []Field{text, {Name: "room", Kind: tables.Text, Default: word}}, same
		}, Minor, []string{"another default"}},
		"renamed": {func(m *Manifest) {
			m.Events[0].Fields, m.Events[0].Older = []Field{{Name: "body", Kind: tables.Text}, room}, listed(Older{Rename: []Renamed{{"text", "body"}}})
		}, Minor, []string{"is called body"}},
		"renamed, and another of its name": {func(m *Manifest) {
			m.Events[0].Fields, m.Events[0].Older = []Field{{Name: "body", Kind: tables.Text}, room, {Name: "text", Kind: tables.U64, Optional: true}}, listed(Older{Rename: []Renamed{{"text", "body"}}})
		}, Minor, []string{"is called body", "added"}},
		"another meaning": {func(m *Manifest) {
			m.Events[0].Fields, m.Events[0].Older = []Field{room, text}, listed(Older{Drop: []string{"text"}, Given: []Given{{"text", word}}})
		}, Major, []string{"means something else"}},
		"another type": {func(m *Manifest) {
			m.Events[0].Fields, m.Events[0].Older = []Field{{Name: "text", Kind: tables.U64}, room}, listed(Older{Drop: []string{"text"}, Given: []Given{{"text", []byte{7}}}})
		}, Major, []string{"was text, is u64"}},
		"dropped": {func(m *Manifest) {
			m.Events[0].Fields, m.Events[0].Older = []Field{text}, listed(Older{Drop: []string{"room"}})
		}, Major, []string{"removed"}},
		"the type removed":   {func(m *Manifest) { m.Events[0].Removed = true }, Major, []string{"removed"}},
		"the type gone":      {func(m *Manifest) { m.Events = nil }, Major, []string{"not declared any more"}},
		"by names again":     {func(m *Manifest) { m.ABI = ABI }, Major, []string{"was 2, is 1"}},
		"the oldest dropped": {func(m *Manifest) { m.Events[1].Older = nil }, Major, []string{"is not listed"}},
	} {
		of := func() *Manifest {
			return &Manifest{Name: "n", Version: "1.0.0", ABI: ABISchemas, Events: []EventType{{Name: "message", Fields: slices.Clone(old)}, {Name: "join", Older: []Older{{Fields: []Field{room}, Drop: []string{"room"}}}}}}
		}
		newer := of()
		c.change(newer)
		if what == "the type gone" {
			newer.Events = of().Events[1:]
		}
		all := Compare(of(), newer)
		good := len(all) == len(c.says) && LeastBump(all) == c.bump
		for i := range c.says {
			good = good && strings.Contains(all[i].Change, c.says[i]) && all[i].Effect != ""
		}
		if !good {
			t.Errorf("%s: %+v, want %v, %q", what, all, c.bump, c.says)
		}
	}
	older, newer := &Manifest{ABI: ABISchemas, Events: []EventType{{Name: "e", Removed: true}}}, &Manifest{ABI: ABISchemas, Events: []EventType{{Name: "e"}}}
	if all := Compare(older, newer); len(all) != 1 || all[0].Bump != Minor {
		t.Errorf("a type that is taken again: %+v", all)
	}
	for _, c := range []struct {
		older []Older
		bump  Bump
	}{{nil, Major}, {[]Older{{Refused: true}}, Major}, {[]Older{{}}, Minor}} { // what newer clients write it reads if the module lists what it knows
		newer.Events = []EventType{{Name: "e", Fields: []Field{room}, Older: c.older}}
		if all := Compare(older, newer); len(all) != 2 || LeastBump(all) != c.bump {
			t.Errorf("a type that is taken again, with another field: %+v", all)
		}
	}
	newer.Events = []EventType{{Name: "e", Removed: true, Fields: old}}
	if all := Compare(older, newer); len(all) != 0 {
		t.Errorf("a type that nobody writes: %+v", all)
	}
	newer.Events = nil
	if all := Compare(older, newer); len(all) != 1 || all[0].Bump != Patch {
		t.Errorf("a type that nobody writes, and is not declared any more: %+v", all)
	}
	older.Events, newer.Events = []EventType{{Name: "e", Fields: []Field{mood}}}, []EventType{{Name: "e", Fields: []Field{{Name: "mood", Kind: tables.Text, Optional: true}}, Older: []Older{{Fields: []Field{mood}}}}}
	if all := Compare(older, newer); len(all) != 1 || all[0].Bump != Patch {
		t.Errorf("a field that had a default is optional: %+v", all)
	}
}

// TestCompareRemovedTypes: of a type that was removed and is still, clients can tell nothing; a module that makes its tables of the log has to read what is there.
func TestCompareRemovedTypes(t *testing.T) {
	one, two := []Field{{Name: "one", Kind: tables.Text}}, []Field{{Name: "two", Kind: tables.Text, Optional: true}}
	dropped := func(fields []Field) Older { return Older{Fields: fields, Drop: []string{fields[0].Name}} }
	older := &Manifest{ABI: ABISchemas, Events: []EventType{{Name: "e", Removed: true, Fields: one, Older: []Older{dropped(two)}}}}
	both := []Older{dropped(one), dropped(two)}
	for what, c := range map[string]struct {
		newer   EventType
		upgrade string
		says    int
	}{
		"the same":                            {older.Events[0], Replay, 0},
		"carried, declared otherwise":         {EventType{Removed: true}, Carry, 0},
		"made anew, all listed":               {EventType{Removed: true, Older: both}, Replay, 0},
		"made anew, the older one not listed": {EventType{Removed: true, Older: both[:1]}, Replay, 1},
		"made anew, nothing listed":           {EventType{Removed: true}, Replay, 2},
		"made anew, refused":                  {EventType{Removed: true, Older: []Older{dropped(two), {Fields: one, Refused: true}}}, Replay, 1},
	} {
		c.newer.Name = "e"
		all := Compare(older, &Manifest{ABI: ABISchemas, Upgrade: c.upgrade, Events: []EventType{c.newer}})
		if len(all) != c.says || LeastBump(all) > Patch {
			t.Errorf("%s: %+v", what, all)
		}
		for _, d := range all {
			if !strings.Contains(d.Change, "is not read") {
				t.Errorf("%s: %+v", what, d)
			}
		}
	}
	written := &Manifest{ABI: ABISchemas, Events: []EventType{{Name: "e", Fields: one}}}
	if all := Compare(written, &Manifest{ABI: ABISchemas, Upgrade: Replay, Events: []EventType{{Name: "e", Removed: true}}}); len(all) != 2 || all[0].Bump != Major || all[1].Bump != Patch {
		t.Errorf("removed now, and not read: %+v", all)
	}
}

// lensBetween returns a declaration as one that is listed by a newer one, with a lens that holds.
func lensBetween(older, newer []Field) Older {
	o := Older{Fields: older}
	for _, f := range older {
		if at := placeOf(newer, f.Name); at < 0 || newer[at].Kind != f.Kind {
			o.Drop = append(o.Drop, f.Name)
		}
	}
	for _, f := range newer {
		at := placeOf(older, f.Name)
		if lacks := at < 0 || slices.Contains(o.Drop, f.Name) || older[at].Optional; lacks && !f.Optional && f.Default == nil {
			o.Given = append(o.Given, Given{f.Name, valueOf(f.Kind)})
		}
	}
	return o
}

// valueOf returns some value of a kind.
func valueOf(kind tables.Kind) []byte {
	return [][]byte{tables.Bool: {0xc3}, tables.I64: {0xff}, tables.U64: {7}, tables.F64: {0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0}, tables.Text: {0xa1, 'x'}, tables.Bytes: {0xc4, 1, 0xff}}[kind]
}

// TestCompareSchemasIsRight is TestCompareIsRight for payloads that say what they were written by, and lenses: the newer module reads all that clients of the
// older manifest write; and unless it is said to be major, they read what others write, by the declaration that is the module's.
func TestCompareSchemasIsRight(t *testing.T) {
	rng := rand.New(rand.NewPCG(20261122, 8))
	counts := map[Bump]int{}
	for range 4000 {
		older := randomFields(rng)
		newer := changedFields(rng, older)
		for i := range newer {
			if f := &newer[i]; !f.Optional && rng.IntN(3) == 0 {
				f.Default = valueOf(f.Kind)
			}
		}
		is := EventType{Name: "e", Fields: newer}
		if SchemaOf("e", older) != SchemaOf("e", newer) {
			is.Older = []Older{lensBetween(older, newer)}
		}
		readers, err := is.readers()
		if err != nil {
			t.Fatalf("from %+v to %+v: %v", older, newer, err)
		}
		p := &Program{Manifest: &Manifest{ABI: ABISchemas, Events: []EventType{is}}, readers: [][]reader{readers}}
		d := differences{}
		d.schemas("event", &EventType{Name: "e", Fields: older}, &is, ABISchemas)
		bump := LeastBump(d)
		counts[bump]++
		for range 20 {
			record := &space.Record{Event: space.Event{Type: "e", Schema: SchemaOf("e", older), Payload: randomPayload(rng, older)}}
			row, verdict := p.appendPayload(nil, 0, record)
			if !verdict.Allowed() {
				t.Fatalf("from %+v to %+v, %x is refused: %v", older, newer, record.Payload, verdict)
			}
			if _, err := appendRow(nil, newer, record.Payload); err == nil && bump < Minor {
				if by, _ := appendRow(nil, newer, record.Payload); string(by) != string(row) {
					t.Fatalf("from %+v to %+v is %v, and %x means something else: %x, %x", older, newer, bump, record.Payload, row, by)
				}
			}
			if bump == Major {
				continue
			}
			written := randomPayload(rng, newer)
			for _, f := range older {
				at := placeOf(newer, f.Name)
				if at < 0 || !f.Optional && newer[at].Optional || newer[at].Kind != f.Kind {
					t.Fatalf("from %+v to %+v is %v, and %s is not read in %x", older, newer, bump, f.Name, written)
				}
			}
		}
	}
	if counts[None] == 0 || counts[Patch] == 0 || counts[Minor] == 0 || counts[Major] == 0 {
		t.Errorf("tried %v", counts)
	}
}
