package program_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/syncserver/wasmengine"
)

// keeping is spaces of modules that keep what they get.
type keeping struct {
	*testing.T
	engine  *wasmengine.Engine
	modules map[digest.Digest][]byte
}

func newKeeping(t *testing.T) *keeping {
	t.Helper()
	engine, err := wasmengine.New(nil, wasmengine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return &keeping{t, engine, map[digest.Digest][]byte{}}
}

// knows has spaces able to go over to a module.
func (k *keeping) knows(bytes []byte) digest.Digest {
	d := digest.Of(bytes)
	k.modules[d] = bytes
	return d
}

func (k *keeping) load(d digest.Digest) (*program.Loaded, error) {
	p, err := program.Load(k.modules[d])
	if err != nil {
		return nil, err
	}
	machines, err := k.engine.Machines(p)
	if err != nil {
		return nil, err
	}
	return &program.Loaded{Program: p, Machines: machines, Release: machines.Release}, nil
}

// keptSpace is a space and its log.
type keptSpace struct {
	*keeping
	*program.Instance
	log []space.Record
}

func (k *keeping) space(bytes []byte) *keptSpace {
	k.Helper()
	by, err := k.load(k.knows(bytes))
	if err != nil {
		k.Fatal(err)
	}
	s := &keptSpace{keeping: k}
	if s.Instance, err = program.Begin(by, &space.Genesis{Creator: "creator", Module: digest.Of(bytes)}); err != nil {
		k.Fatal(err)
	}
	s.Load = k.load
	s.History = func(after, to uint64, f func([]space.Record) error) error { return f(s.log[after:to]) }
	k.Cleanup(s.Instance.Close)
	return s
}

// judge judges a transaction of the creator's, and commits it if it is allowed.
func (s *keptSpace) judge(events ...space.Event) module.Verdict {
	s.Helper()
	t := space.Transaction{Author: "creator", Events: events}
	records := t.Records(uint64(len(s.log)+1), 1_700_000_000_000)
	v, err := s.Judge(module.Caller{Identity: "creator"}, records)
	if err != nil {
		s.Fatal(err)
	}
	if v.Allowed() {
		s.log = append(s.log, records...)
		s.Commit(uint64(len(s.log)))
	}
	return v
}

// upgrade goes over to another module.
func (s *keptSpace) upgrade(bytes []byte) module.Verdict {
	s.Helper()
	return s.judge(space.Event{Type: module.TypeModule, Payload: module.Upgrade(s.knows(bytes), nil)})
}

// kept returns the payload that the module got of the record with a number, nil if it got none.
func (s *keptSpace) kept(seq int) []byte {
	s.Helper()
	key, _, err := s.Committed().Schemas()[0].KeyOf(0, binary.LittleEndian.AppendUint64(nil, uint64(seq)))
	if err != nil {
		s.Fatal(err)
	}
	row, ok, err := s.Committed().Get(0, key)
	if err != nil {
		s.Fatal(err)
	}
	if !ok {
		return nil
	}
	return []byte(row)[20:]
}

func texts(values ...string) (row []byte) {
	for _, v := range values {
		row = append(binary.LittleEndian.AppendUint32(row, uint32(len(v))), v...)
	}
	return row
}

func mapOf(pairs ...string) []byte {
	b := msgpack.AppendMap(nil, len(pairs)/2)
	for _, text := range pairs {
		b = msgpack.AppendString(b, text)
	}
	return b
}

var (
	calm    = msgpack.AppendString(nil, "calm")
	firstly = []program.Field{{Name: "body", Kind: tables.Text}}
	now     = []program.Field{{Name: "text", Kind: tables.Text}, {Name: "mood", Kind: tables.Text, Default: calm}}
	// noteNow is the newest declaration of a note, with the first one listed.
	noteNow = program.EventType{Name: "note", Fields: now, Older: []program.Older{{Fields: firstly, Rename: []program.Renamed{{From: "body", To: "text"}}}}}
)

func note(fields []program.Field, pairs ...string) space.Event {
	e := space.Event{Type: "note", Payload: mapOf(pairs...)}
	if fields != nil {
		e.Schema = program.SchemaOf("note", fields)
	}
	return e
}

// TestPayloadsAreReadByTheirSchemas: what the module gets is what was meant, or there is a verdict, the same before the log and behind it; what
// one schema costs another one does, too.
func TestPayloadsAreReadByTheirSchemas(t *testing.T) {
	k := newKeeping(t)
	s := k.space(moduletest.Kept("2.0.0", []program.EventType{noteNow}, nil))
	other := []program.Field{{Name: "body", Kind: tables.Bytes}}
	spent := func(e space.Event, want ...string) uint64 {
		t.Helper()
		before := s.Spent
		if v := s.judge(e); !v.Allowed() {
			t.Fatalf("%+v: %v", e, v)
		}
		if got := s.kept(len(s.log)); !bytes.Equal(got, texts(want...)) {
			t.Errorf("%+v: the module got %q, want %q", e, got, want)
		}
		return s.Spent - before
	}
	cost := spent(note(now, "text", "hello", "mood", "calm"), "hello", "calm")
	for _, e := range []space.Event{note(nil, "text", "hello"), note(now, "text", "hello"), note(firstly, "body", "hello")} {
		if more := spent(e, "hello", "calm"); more != cost {
			t.Errorf("%+v costs %d, not %d", e, more, cost)
		}
	}
	for what, c := range map[string]struct {
		event space.Event
		code  wire.Code
		says  string
	}{
		"by no schema":        {note(nil, "body", "hello"), wire.CodeBadPayload, "text is missing"},
		"not what it says":    {note(now, "body", "hello"), wire.CodeSchemaMismatch, "{type: note, field: text, want: text, got: nothing}"},
		"nor the older one":   {note(firstly, "text", "hello"), wire.CodeSchemaMismatch, "field: body"},
		"of a schema unknown": {note(other, "body", "hello"), wire.CodeSchemaUnknown, "field: schema, want: "},
	} {
		before := len(s.log)
		v := s.judge(note(now, "text", "rolled back"), c.event)
		if v.Code != c.code || !strings.Contains(v.Reason, c.says) || len(s.log) != before {
			t.Errorf("%s: %v %q", what, v.Code, v.Reason)
		}
	}
	applied := k.space(moduletest.Kept("2.0.0", []program.EventType{noteNow}, nil))
	if err := applied.Apply(s.log); err != nil {
		t.Fatal(err)
	}
	if digestOf(t, applied.Committed()) != digestOf(t, s.Committed()) {
		t.Error("applied, the tables are others")
	}
}

// TestABI1ReadsByNames: a module of ABI 1 takes no notice of schemas, as before there were any.
func TestABI1ReadsByNames(t *testing.T) {
	k := newKeeping(t)
	s := k.space(moduletest.Kept("1.0.0", []program.EventType{noteNow}, func(m *program.Manifest) { m.ABI = program.ABI }))
	for _, fields := range [][]program.Field{nil, now, firstly, {}} {
		if v := s.judge(note(fields, "text", "a", "mood", "b")); !v.Allowed() || !bytes.Equal(s.kept(len(s.log)), texts("a", "b")) {
			t.Errorf("by %v: %v, the module got %q", fields, v, s.kept(len(s.log)))
		}
		if v := s.judge(note(fields, "body", "a")); v.Code != wire.CodeBadPayload {
			t.Errorf("by %v, as the older declaration: %v", fields, v)
		}
	}
}

// TestRemovedTypes: nobody writes what was removed, and what is in the log still means what it did.
func TestRemovedTypes(t *testing.T) {
	k := newKeeping(t)
	shout := program.EventType{Name: "shout", Fields: firstly}
	s := k.space(moduletest.Kept("1.0.0", []program.EventType{{Name: "note", Fields: firstly}, shout}, nil))
	event := space.Event{Type: "shout", Payload: mapOf("body", "ho"), Schema: program.SchemaOf("shout", firstly)}
	if v := s.judge(event); !v.Allowed() {
		t.Fatal(v)
	}
	shout.Removed = true
	replays := func(m *program.Manifest) { m.Upgrade = program.Replay }
	if v := s.upgrade(moduletest.Kept("2.0.0", []program.EventType{noteNow, shout}, replays)); !v.Allowed() {
		t.Fatal(v)
	}
	if got := s.kept(1); !bytes.Equal(got, texts("ho")) {
		t.Errorf("made anew, the module got %q of what was removed since", got)
	}
	if v := s.judge(event); v.Code != wire.CodeTypeRemoved {
		t.Errorf("what was removed is written: %v", v)
	}
	if v := s.judge(note(firstly, "body", "still")); !v.Allowed() {
		t.Errorf("what was not removed: %v", v)
	}
}

// TestReplayNeedsEverySchema: a module that makes its tables anew has to know what every record was written by, or does not take the space over; one
// that carries them reads no record again.
func TestReplayNeedsEverySchema(t *testing.T) {
	other := []program.Field{{Name: "body", Kind: tables.Text}, {Name: "extra", Kind: tables.Bool, Optional: true}}
	lens := noteNow.Older[0]
	lens.Fields = other
	lens.Drop = []string{"extra"}
	refused := program.Older{Fields: other, Refused: true}
	with := func(more ...program.Older) program.EventType {
		e := noteNow
		e.Older = append(append([]program.Older{}, e.Older...), more...)
		return e
	}
	for what, c := range map[string]struct {
		to      program.EventType
		upgrade string
		code    wire.Code
	}{
		"replay, listed":      {with(lens), program.Replay, 0},
		"replay, not listed":  {with(), program.Replay, wire.CodeBadUpgrade},
		"replay, refused":     {with(refused), program.Replay, wire.CodeBadUpgrade},
		"carried, not listed": {with(), program.Carry, 0},
		"carried, refused":    {with(refused), program.Carry, 0},
	} {
		k := newKeeping(t)
		s := k.space(moduletest.Kept("1.1.0", []program.EventType{{Name: "note", Fields: other, Older: []program.Older{{Fields: firstly}}}}, nil))
		for _, e := range []space.Event{note(firstly, "body", "one"), note(other, "body", "two"), note(nil, "body", "three")} {
			if v := s.judge(e); !v.Allowed() {
				t.Fatal(what, v)
			}
		}
		v := s.upgrade(moduletest.Kept("2.0.0", []program.EventType{c.to}, func(m *program.Manifest) { m.Upgrade = c.upgrade }))
		if v.Code != c.code {
			t.Errorf("%s: %v", what, v)
		}
		if c.code != 0 && !strings.Contains(v.Reason, "record 2: schema_") {
			t.Errorf("%s: %q does not say which record, and why", what, v.Reason)
		}
		for seq, want := range []string{"one", "two", "three"} {
			if got := s.kept(seq + 1); v.Allowed() && c.upgrade == program.Replay && !bytes.Equal(got, texts(want, "calm")) {
				t.Errorf("%s: of record %d the module got %q", what, seq+1, got)
			}
		}
		if v := s.judge(note(other, "body", "late")); c.upgrade == program.Carry && v.Code != map[bool]wire.Code{true: wire.CodeSchemaMismatch, false: wire.CodeSchemaUnknown}[strings.Contains(what, "refused")] {
			t.Errorf("%s: written late: %v", what, v)
		}
	}
}
