package program_test

import (
	"bytes"
	"errors"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/wire"
)

func ofABI1(m *program.Manifest)  { m.ABI = program.ABI }
func replays(m *program.Manifest) { m.Upgrade = program.Replay }

// stamped has an event come with a schema.
func stamped(e space.Event, schema space.Schema) space.Event {
	e.Schema = schema
	return e
}

// keeps holds the tables to what the module is to get of each record from the first on, and a replica that applies the log to the same tables.
func (s *keptSpace) keeps(first []byte, want ...[]byte) {
	s.Helper()
	for n, payload := range want {
		if got := s.kept(n + 1); payload != nil && !bytes.Equal(got, payload) {
			s.Errorf("of record %d the module got %q, want %q", n+1, got, payload)
		}
	}
	other := s.space(first)
	other.log = s.log
	if err := other.Apply(s.log); err != nil {
		s.Fatal(err)
	}
	if digestOf(s.T, other.Committed()) != digestOf(s.T, s.Committed()) {
		s.Error("applied, the tables are others")
	}
}

// TestReplayOfWhatABI1Took: of ABI 1 nobody looked at the schema of an event: one that nothing has must not keep the space from a module of
// ABI 2 that makes its tables anew, and one that something has does not make another thing of it than was admitted.
func TestReplayOfWhatABI1Took(t *testing.T) {
	plain := []program.EventType{{Name: "note", Fields: firstly}}
	invented, lie := space.Schema{1, 2, 3, 4, 5, 6, 7, 8}, note(now, "body", "what was admitted", "text", "what was not")
	t.Run("declared as before", func(t *testing.T) {
		k := newKeeping(t)
		first := moduletest.Kept("1.0.0", plain, ofABI1)
		s := k.space(first)
		for _, e := range []space.Event{stamped(note(nil, "body", "one"), invented), note(nil, "body", "two"), note(firstly, "body", "three"), note(now, "body", "four")} {
			if v := s.judge(e); !v.Allowed() {
				t.Fatal(v)
			}
		}
		if v := s.upgrade(moduletest.Kept("2.0.0", plain, replays)); !v.Allowed() {
			t.Fatal(v)
		}
		s.keeps(first, texts("one"), texts("two"), texts("three"), texts("four"))
		if v := s.judge(stamped(note(nil, "body", "late"), invented)); v.Code != wire.CodeSchemaUnknown {
			t.Errorf("what nothing has is written now: %v", v)
		}
	})
	t.Run("read through a lens", func(t *testing.T) {
		k := newKeeping(t)
		first := moduletest.Kept("1.0.0", plain, ofABI1)
		s := k.space(first)
		for _, e := range []space.Event{stamped(note(nil, "body", "one"), invented), note(nil, "body", "two"), note(firstly, "body", "three"), lie} {
			if v := s.judge(e); !v.Allowed() {
				t.Fatal(v)
			}
		}
		if v := s.upgrade(moduletest.Kept("2.0.0", []program.EventType{noteNow}, replays)); !v.Allowed() {
			t.Fatal(v)
		}
		s.keeps(first, texts("one", "calm"), texts("two", "calm"), texts("three", "calm"), texts("what was admitted", "calm"))
	})
	t.Run("where nothing says how", func(t *testing.T) {
		k := newKeeping(t)
		s := k.space(moduletest.Kept("1.0.0", plain, ofABI1))
		if v := s.judge(stamped(note(nil, "body", "one"), invented)); !v.Allowed() {
			t.Fatal(v)
		}
		unlisted := program.EventType{Name: "note", Fields: now}
		if v := s.upgrade(moduletest.Kept("2.0.0", []program.EventType{unlisted}, replays)); v.Code != wire.CodeBadUpgrade {
			t.Errorf("a field of another name was guessed: %v", v)
		}
		refused := program.EventType{Name: "note", Fields: now, Older: []program.Older{{Fields: firstly, Refused: true}}}
		if v := s.upgrade(moduletest.Kept("2.0.0", []program.EventType{refused}, replays)); v.Code != wire.CodeBadUpgrade {
			t.Errorf("what is not to be read was: %v", v)
		}
		// Whose schema says more than what ABI 1 made of it is read by that.
		k = newKeeping(t)
		wider := []program.EventType{{Name: "note", Fields: append([]program.Field{{Name: "who", Kind: firstly[0].Kind, Optional: true}}, firstly...)}}
		first := moduletest.Kept("1.0.0", wider, ofABI1)
		s = k.space(first)
		if v := s.judge(note(firstly, "body", "one")); !v.Allowed() {
			t.Fatal(v)
		}
		if v := s.upgrade(moduletest.Kept("2.0.0", []program.EventType{noteNow}, replays)); !v.Allowed() {
			t.Fatal(v)
		}
		s.keeps(first, texts("one", "calm"))
	})
}

// TestReplayReadsAsAdmitted: what came without a schema is read by what the module of then declared, and what came with one by that, whichever
// modules follow on each other.
func TestReplayReadsAsAdmitted(t *testing.T) {
	k := newKeeping(t)
	plain := []program.EventType{{Name: "note", Fields: firstly}}
	first := moduletest.Kept("1.0.0", plain, nil)
	s := k.space(first)
	invented := space.Schema{1, 2, 3, 4, 5, 6, 7, 8}
	lie := note(nil, "body", "admitted", "text", "not admitted", "mood", "not admitted")
	write := func(e space.Event) {
		t.Helper()
		if v := s.judge(e); !v.Allowed() {
			t.Fatal(v)
		}
	}
	write(lie) // 1
	if v := s.judge(stamped(lie, invented)); v.Code != wire.CodeSchemaUnknown {
		t.Fatal(v)
	}
	if v := s.upgrade(moduletest.Kept("2.0.0", []program.EventType{noteNow}, nil)); !v.Allowed() { // 2
		t.Fatal(v)
	}
	write(note(nil, "text", "new", "mood", "glad")) // 3
	write(note(firstly, "body", "late"))            // 4
	abi1 := moduletest.Kept("2.0.1", plain, ofABI1)
	if v := s.upgrade(abi1); !v.Allowed() { // 5
		t.Fatal(v)
	}
	write(stamped(lie, invented))                      // 6
	write(stamped(lie, program.SchemaOf("note", now))) // 7
	newest := moduletest.Kept("3.0.0", []program.EventType{noteNow}, replays)
	delete(k.modules, digest.Of(abi1))
	t3 := space.Transaction{Author: "creator", Events: []space.Event{{Type: module.TypeModule, Payload: module.Upgrade(k.knows(newest), nil)}}}
	if v, err := s.Judge(module.Caller{Identity: "creator"}, t3.Records(8, 1_700_000_000_000)); err == nil {
		t.Errorf("with a module missing by which some of it was admitted: %v", v)
	}
	k.knows(abi1)
	if v := s.upgrade(newest); !v.Allowed() { // 8
		t.Fatal(v)
	}
	s.keeps(first, texts("admitted", "calm"), nil, texts("new", "glad"), texts("late", "calm"), nil, texts("admitted", "calm"), texts("admitted", "calm"))
}

// TestPreparedReplayKnowsWhoAdmits: what is prepared beside the instance, and goes on where it was, knows which module admitted what follows.
func TestPreparedReplayKnowsWhoAdmits(t *testing.T) {
	k := newKeeping(t)
	plain := []program.EventType{{Name: "note", Fields: firstly}}
	first := moduletest.Kept("1.0.0", []program.EventType{noteNow}, nil)
	s := k.space(first)
	write := func(e space.Event) {
		t.Helper()
		if v := s.judge(e); !v.Allowed() {
			t.Fatal(v)
		}
	}
	write(note(nil, "text", "one"))
	if v := s.upgrade(moduletest.Kept("1.1.0", plain, ofABI1)); !v.Allowed() {
		t.Fatal(v)
	}
	write(note(now, "body", "two"))
	to := space.Transaction{Author: "creator", Events: []space.Event{{Type: module.TypeModule,
		Payload: module.Upgrade(k.knows(moduletest.Kept("2.0.0", []program.EventType{noteNow}, replays)), nil)}}}
	caller := module.Caller{Identity: "creator"}
	u, v, err := s.Upgrade(caller, to.Records(4, 1_700_000_000_000))
	if err != nil || !v.Allowed() {
		t.Fatal(v, err)
	}
	defer u.Close()
	run := func() {
		t.Helper()
		s.Place(u, uint64(len(s.log)))
		u.Run()
		if v, err := u.Result(); err != nil || !v.Allowed() {
			t.Fatal(v, err)
		}
	}
	run()
	write(note(now, "body", "three"))
	run()
	s.History = func(uint64, uint64, func([]space.Record) error) error { return errors.New("it was not prepared") }
	s.Adopt(u)
	records := to.Records(5, 1_700_000_000_000)
	if v, err := s.Judge(caller, records); err != nil || !v.Allowed() {
		t.Fatal(v, err)
	}
	s.log = append(s.log, records...)
	s.Commit(5)
	s.keeps(first, texts("one", "calm"), nil, texts("two", "calm"), texts("three", "calm"))
}
