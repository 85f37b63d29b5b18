package moduletest

import (
	"math"
	"strings"

	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// written is an event that says by which declaration it was written.
type written struct {
	event
	schema space.Schema
}

// by makes an event of a payload that was written by some fields.
func by(name string, fields []program.Field, payload []byte) written {
	return written{event{name, payload}, program.SchemaOf(name, fields)}
}

// pushWritten is push of events that say by what they were written. It wants the verdict to have a code, 0 for being allowed.
func (s *testSpace) pushWritten(want wire.Code, events ...written) {
	s.t.Helper()
	plain := make([]event, len(events))
	for i := range events {
		plain[i] = events[i].event
	}
	records := s.records("creator", plain)
	for i := range events {
		records[i].Schema = events[i].schema
	}
	v := s.offer("creator", records)
	if v.Allowed() {
		s.instance.Commit(uint64(len(s.log)))
	}
	if v.Code != want {
		s.t.Errorf("%s %x of schema %x: %v %q, not %v", events[0].name, events[0].payload, events[0].schema, v.Code, v.Reason, want)
	}
}

// oneOfEach returns a field of each kind, whose names begin with something, as change makes it.
func oneOfEach(prefix string, change func(f *program.Field, value []byte)) (fields []program.Field) {
	for kind, value := range [][]byte{tables.Bool: {0xc3}, tables.I64: {0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0}, tables.U64: {0xcf, 255, 255, 255, 255, 255, 255, 255, 255},
		tables.F64: {0xcb, 0xbf, 0xe0, 0, 0, 0, 0, 0, 0}, tables.Text: {0xa2, 0xc3, 0xbc}, tables.Bytes: {0xc4, 2, 0, 255}} {
		if value == nil {
			continue
		}
		f := program.Field{Name: prefix + tables.Kind(kind).String(), Kind: tables.Kind(kind)}
		change(&f, value)
		fields = append(fields, f)
	}
	return fields
}

func isRequired(*program.Field, []byte)         {}
func isOptional(f *program.Field, _ []byte)     { f.Optional = true }
func hasDefault(f *program.Field, value []byte) { f.Default = value }

// The declarations that an event type "each" had, and has.
var (
	eachNow      = oneOfEach("", hasDefault)
	eachRequired = oneOfEach("", isRequired)
	eachOptional = oneOfEach("", isOptional)
	eachCalled   = append(oneOfEach("was ", isOptional), program.Field{Name: "gone", Kind: tables.U64})
	eachLess     = []program.Field{{Name: "text", Kind: tables.Text}}
	eachRefused  = []program.Field{{Name: "text", Kind: tables.U64}}
	eachUnknown  = []program.Field{{Name: "text", Kind: tables.Bytes}}
)

// each is the event type: what has no value gets that of the current declaration, or of the lens.
func each() program.EventType {
	called := program.Older{Fields: eachCalled, Drop: []string{"gone"}, Given: []program.Given{{Name: "text", Value: []byte{0xa4, 'l', 'e', 'n', 's'}}}}
	for _, f := range eachNow {
		called.Rename = append(called.Rename, program.Renamed{From: "was " + f.Name, To: f.Name})
	}
	return program.EventType{Name: "each", Fields: eachNow, Older: []program.Older{
		{Fields: eachRequired}, {Fields: eachOptional}, called, {Fields: eachLess, Given: []program.Given{{Name: "u64", Value: []byte{7}}}}, {Fields: eachRefused, Refused: true},
	}}
}

// keptModule is Kept with event types that are declared for schemas.
func keptModule(version string, change func(*program.Manifest)) []byte {
	return Kept(version, []program.EventType{
		each(),
		{Name: "swapped", Fields: eachText("b", "a"), Older: []program.Older{{Fields: eachText("a", "b"), Rename: []program.Renamed{{From: "a", To: "b"}, {From: "b", To: "a"}}}}},
		{Name: "removed", Fields: eachText("text"), Removed: true},
		{Name: "bare"},
	}, change)
}

func eachText(names ...string) (fields []program.Field) {
	for _, name := range names {
		fields = append(fields, program.Field{Name: name, Kind: tables.Text})
	}
	return fields
}

// wholePayload has a value for one of each kind, under names that begin with something.
func wholePayload(prefix string, more ...any) []byte {
	pairs := []any{prefix + "bool", false, prefix + "i64", -1, prefix + "u64", uint64(1 << 63), prefix + "f64", -0.5, prefix + "text", "\U0001f30a", prefix + "bytes", []byte{}}
	return payload(append(pairs, more...)...)
}

// schemaCases are spaces whose events say by which declaration they were written: each is read by that one, through its lens, or not at all.
func schemaCases() []testCase {
	kept := keptModule("1.0.0", nil)
	const mismatch, unknown, removed = wire.CodeSchemaMismatch, wire.CodeSchemaUnknown, wire.CodeTypeRemoved
	return []testCase{
		{"each is read by its own", func(s *session) {
			space := s.space(kept, nil)
			for _, fields := range [][]program.Field{eachNow, eachRequired, eachOptional} {
				space.pushWritten(0, by("each", fields, wholePayload("")))
			}
			space.pushWritten(0, by("each", eachCalled, wholePayload("was ", "gone", 1)))
			space.pushWritten(0, by("each", eachLess, payload("text", "less")))
			space.pushWritten(0, by("swapped", eachText("a", "b"), payload("a", "was a", "b", "was b")), by("swapped", eachText("b", "a"), payload("a", "is a", "b", "is b")))
			space.pushWritten(0, by("bare", nil, nil), by("bare", nil, payload("x", 1)))
			space.rows()
			space.again(sameMachines)
			space.again(func(m program.Machines) program.Machines { return fresh{m} })
		}},
		{"what is absent, or nil", func(s *session) {
			space := s.space(kept, nil)
			for _, p := range [][]byte{nil, payload(), payload("text", nil, "u64", nil, "other", 1), payload("bytes", []byte{1}, "bool", nil)} {
				space.pushWritten(0, by("each", eachNow, p))
				space.pushWritten(0, by("each", eachOptional, p))
				space.pushWritten(mismatch, by("each", eachRequired, p))
				space.pushWritten(0, written{event: event{"each", p}}) // of no schema: today's
			}
			space.pushWritten(0, by("each", eachCalled, payload("gone", 1)))
			space.pushWritten(0, by("each", eachCalled, payload("gone", 1, "text", "not its name", "was text", nil)))
			space.pushWritten(mismatch, by("each", eachCalled, payload("gone", nil)))
			space.pushWritten(mismatch, by("each", eachCalled, nil))
			space.rows()
			space.again(sameMachines)
		}},
		{"what is not as its declaration says", func(s *session) {
			space := s.space(kept, nil)
			for _, values := range [][]any{{"bool", 1}, {"bool", "true"}, {"i64", uint64(math.MaxUint64)}, {"i64", 0.5}, {"u64", -1}, {"f64", "1"}, {"f64", true}, {"text", []byte("x")}, {"text", raw("\xa1\xff")},
				{"text", raw{0x92, 1, 2}}, {"bytes", "x"}, {"bytes", raw{0xc1}}} {
				for _, fields := range [][]program.Field{eachNow, eachOptional} {
					code := mismatch
					if of, ok := values[1].(raw); ok && of[0] != 0x92 {
						code = wire.CodeBadPayload // which is nothing that any declaration could say
					}
					space.pushWritten(code, by("each", fields, payload(values...)))
				}
				space.pushWritten(wire.CodeBadPayload, written{event: event{"each", payload(values...)}})
			}
			for _, p := range [][]byte{{0xc0}, {0x93, 1, 2, 3}, payload("text", "a", "text", "b"), append(payload("text", "a"), 0xc0), payload("text", "abc")[:7],
				payload("x", raw(strings.Repeat("\x91", 15)+"\xc0"))} {
				space.pushWritten(wire.CodeBadPayload, by("each", eachLess, p))
			}
			space.pushWritten(0, by("each", eachLess, payload("text", "a", "x", raw(strings.Repeat("\x91", 14)+"\xc0"))))
			space.pushWritten(mismatch, by("swapped", eachText("a", "b"), payload("a", "only")))
			space.rows()
		}},
		{"what is not taken", func(s *session) {
			space := s.space(kept, nil)
			good := by("each", eachLess, payload("text", "good"))
			space.pushWritten(unknown, by("each", eachUnknown, payload("text", []byte("x"))))
			space.pushWritten(unknown, by("bare", eachLess, payload("text", "x")))
			space.pushWritten(unknown, by("swapped", eachLess, payload("text", "x")))
			space.pushWritten(mismatch, by("each", eachRefused, payload("text", 1)))
			space.pushWritten(removed, by("removed", eachText("text"), payload("text", "x")))
			space.pushWritten(removed, by("removed", eachUnknown, payload("anything", "x"))) // whatever it is
			space.pushWritten(wire.CodeUnknownType, by("other", eachLess, payload("text", "x")))
			for _, bad := range []written{by("each", eachUnknown, nil), by("each", eachRefused, nil), by("removed", eachText("text"), nil), by("other", eachLess, nil)} {
				v := map[string]wire.Code{"each": unknown, "removed": removed, "other": wire.CodeUnknownType}[bad.name]
				if bad.schema == program.SchemaOf("each", eachRefused) {
					v = mismatch
				}
				space.pushWritten(v, good, bad, good) // the rest of a transaction goes with it
			}
			space.pushWritten(0, good, good)
			space.rows()
		}},
		{"a schema that is nearly another's", func(s *session) {
			space := s.space(kept, nil)
			e := by("each", eachLess, payload("text", "x"))
			for _, at := range []int{0, 7} {
				e.schema = program.SchemaOf("each", eachLess)
				e.schema[at] ^= 1
				space.pushWritten(unknown, e)
			}
			e.schema = program.SchemaOf("other", eachLess) // the name is in it
			space.pushWritten(unknown, e)
		}},
		{"of ABI 1 no schema is looked at", func(s *session) {
			space := s.space(keptModule("1.0.0", func(m *program.Manifest) { m.ABI = program.ABI }), nil)
			for _, fields := range [][]program.Field{eachNow, eachRefused, eachUnknown} {
				space.pushWritten(0, by("each", fields, wholePayload("")))
				space.pushWritten(wire.CodeBadPayload, by("each", fields, payload("text", "x")))
			}
			space.pushWritten(0, by("removed", eachUnknown, payload("text", "x")))
			space.rows()
			space.again(sameMachines)
		}},
		{"what is not declared has its schema with it", func(s *session) {
			space := s.space(keptModule("1.0.0", func(m *program.Manifest) { m.Raw = true }), nil)
			space.pushWritten(0, by("other", eachLess, []byte{0xc1}), written{event: event{"more", nil}})
			space.pushWritten(unknown, by("each", eachUnknown, nil))
			space.rows()
			space.again(sameMachines)
		}},
		{"a guest reads what lenses give", func(s *session) {
			was := eachText("room", "body")
			m := ChatManifest()
			m.ABI, m.Events[0].Older = program.ABISchemas, []program.Older{{Fields: was, Rename: []program.Renamed{{From: "body", To: "text"}}}}
			m.Events[4].Removed = true
			space := s.space(m.AppendSection(chatBytes), nil)
			space.pushWritten(0, by("message", was, payload("room", "tea", "body", "old")), by("message", m.Events[0].Fields, payload("room", "tea", "text", "new")))
			space.pushWritten(wire.CodeModuleOwn+2, by("message", was, payload("room", "tea", "body", ""))) // which it refuses, whoever wrote it
			space.pushWritten(mismatch, by("message", was, payload("room", "tea", "text", "new")))
			space.pushWritten(0, by("edit", m.Events[1].Fields, payload("seq", 1, "text", "edited")))
			space.pushWritten(removed, by("stats", m.Events[4].Fields, payload("room", "tea")))
			space.rows()
			space.again(sameMachines)
		}},
		{"from version to version", func(s *session) {
			first, second := program.EventType{Name: "note", Fields: eachText("body")}, program.EventType{Name: "note", Fields: eachText("text", "mood")}
			lens := program.Older{Fields: first.Fields, Rename: []program.Renamed{{From: "body", To: "text"}}, Given: []program.Given{{Name: "mood", Value: []byte{0xa4, 'c', 'a', 'l', 'm'}}}}
			third := program.EventType{Name: "note", Fields: eachText("mood", "text"), Older: []program.Older{lens, {Fields: second.Fields}}}
			shout := program.EventType{Name: "shout", Fields: eachText("text")}
			second.Older = []program.Older{lens}
			module := func(version string, note program.EventType, removed bool, upgrade string) []byte {
				shout.Removed = removed
				return Kept(version, []program.EventType{note, shout}, func(m *program.Manifest) { m.Upgrade = upgrade })
			}
			forgets := third
			forgets.Older = third.Older[:1]
			refuses := third
			refuses.Older = []program.Older{lens, {Fields: second.Fields, Refused: true}}
			v1, v2, v3 := module("1.0.0", first, false, program.Carry), module("2.0.0", second, true, program.Carry), module("3.0.0", third, true, program.Replay)
			bad := [][]byte{module("3.0.1", forgets, true, program.Replay), module("3.0.2", refuses, true, program.Replay)}
			space := s.upgradable(v1, append([][]byte{v2, v3, module("3.0.3", refuses, true, program.Carry)}, bad...)...)
			space.pushWritten(0, by("note", first.Fields, payload("body", "one")), by("shout", shout.Fields, payload("text", "ho")))
			space.pushWritten(unknown, by("note", second.Fields, payload("text", "early", "mood", "glad")))
			space.allowed("creator", upgrade(v2, nil))
			space.pushWritten(0, by("note", first.Fields, payload("body", "late")), by("note", second.Fields, payload("text", "two", "mood", "glad")))
			space.pushWritten(removed, by("shout", shout.Fields, payload("text", "ho")))
			space.rows()
			for _, module := range bad { // made anew by what cannot read all of the log
				if v := space.push("creator", upgrade(module, nil)); v.Code != wire.CodeBadUpgrade {
					s.t.Errorf("%v %q, not bad_upgrade", v.Code, v.Reason)
				}
			}
			space.allowed("creator", upgrade(v3, nil)) // made anew: what was removed since is still what it was
			space.pushWritten(0, by("note", first.Fields, payload("body", "later")), by("note", second.Fields, payload("text", "two", "mood", "glad")), by("note", third.Fields, payload("text", "three", "mood", "sad")))
			space.rows()
			space.anew()
			space.allowed("creator", upgrade(module("3.0.3", refuses, true, program.Carry), nil)) // carried, nothing is read again
			space.pushWritten(mismatch, by("note", second.Fields, payload("text", "two", "mood", "glad")))
			space.pushWritten(0, by("note", first.Fields, payload("body", "latest")))
			space.version()
			space.anew()
		}},
		{"declarations that leave something to be guessed", func(s *session) {
			note := func(change func(*program.EventType)) []byte {
				e := program.EventType{Name: "note", Fields: eachText("text"), Older: []program.Older{{Fields: eachText("body"), Rename: []program.Renamed{{From: "body", To: "text"}}}}}
				change(&e)
				return Kept("1.0.0", []program.EventType{e}, nil)
			}
			for what, change := range []func(*program.EventType){
				func(*program.EventType) {}, // nothing
				func(e *program.EventType) { e.Older[0].Rename = nil },
				func(e *program.EventType) { e.Older[0].Drop = []string{"body"} },
				func(e *program.EventType) { e.Older[0].Fields[0].Kind = tables.U64 },
				func(e *program.EventType) { e.Older[0].Fields[0].Optional = true },
				func(e *program.EventType) { e.Older[0].Refused = true },
				func(e *program.EventType) { e.Older = append(e.Older, e.Older[0]) },
				func(e *program.EventType) { e.Older[0] = program.Older{Fields: e.Fields} },
				func(e *program.EventType) { e.Older[0].Given = []program.Given{{Name: "text", Value: []byte{7}}} },
				func(e *program.EventType) { e.Fields[0].Default = []byte{7} },
				func(e *program.EventType) { e.Fields[0].Default, e.Fields[0].Optional = []byte{0xa0}, true },
			} {
				_, err := program.Load(note(change))
				code := wire.CodeOf(err)
				if code == wire.CodeBadModule == (what == 0) {
					s.t.Errorf("case %d: %v", what, err)
				}
				s.tell("%d: %v", what, code) // why a page says in fewer words
			}
		}},
	}
}
