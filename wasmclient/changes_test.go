//go:build !js

package wasmclient_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

const month = 30 * 24 * time.Hour

// texted returns fields that are texts: a name, or "name?" for one that is optional, or "name=value" for one with a default.
func texted(names ...string) (fields []program.Field) {
	for _, name := range names {
		f := program.Field{Kind: tables.Text}
		f.Name, f.Optional = strings.CutSuffix(name, "?")
		if before, value, ok := strings.Cut(name, "="); ok {
			f.Name, f.Default = before, msgpack.AppendString(nil, value)
		}
		fields = append(fields, f)
	}
	return fields
}

// stamped returns an event as generated code writes it: with the schema of its declaration. Pairs are names and texts.
func stamped(name string, fields []program.Field, pairs ...string) space.Event {
	b := msgpack.AppendMap(nil, len(pairs)/2)
	for _, text := range pairs {
		b = msgpack.AppendString(b, text)
	}
	return space.Event{Type: name, Schema: program.SchemaOf(name, fields), Payload: b}
}

// rowOf returns texts as the module keeps them; "-" is one that is absent, and what begins with "+" an optional one that is there.
func rowOf(values ...string) string {
	var b []byte
	for _, v := range values {
		if v == "-" {
			b = append(b, 0)
			continue
		}
		if text, ok := strings.CutPrefix(v, "+"); ok {
			b, v = append(b, 1), text
		}
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(v))), v...)
	}
	return string(b)
}

// keptRows returns what the module keeps of a space's events, in their order.
func (j *judged) keptRows(s *wasmclient.Space) (rows []string) {
	j.Helper()
	result, err := s.Query(j.Context(), wasmclient.Query{Table: "kept"})
	if err != nil {
		j.Fatal(err)
	}
	for _, row := range result.Rows {
		var seq, event uint64
		var payload []byte
		if err := result.Schema.Scan([]byte(row.Bytes), []string{"seq", "event", "payload"}, &seq, &event, &payload); err != nil {
			j.Fatal(err)
		}
		rows = append(rows, string(payload))
	}
	return rows
}

// settled waits until a space waits for nothing and has all that the server has.
func (j *judged) settled(t *tab, id space.ID) {
	j.Helper()
	for range 600 {
		synctest.Wait()
		if info := t.Space(id).Info(); info.Pending == 0 && info.CaughtUp && info.Position.Seq == info.Head {
			return
		}
		time.Sleep(time.Second)
	}
	j.Fatalf("it does not come to an end: %+v", t.Space(id).Info())
}

// appendEach appends events, each a transaction of its own.
func (j *judged) appendEach(s *wasmclient.Space, events []space.Event) (receipts []*wasmclient.Receipt) {
	j.Helper()
	for _, e := range events {
		receipt, err := s.AppendEvents(j.Context(), []space.Event{e})
		if err == nil {
			err = receipt.Durable(j.Context())
		}
		if err != nil {
			j.Fatal(err)
		}
		receipts = append(receipts, receipt)
	}
	return receipts
}

// A change of a module, and what clients of either version write.
type change struct {
	what         string
	older, newer []program.EventType
	tables       func(*program.Manifest) // of the newer one
	olds, news   []space.Event
	refused      []wire.Code // of each of olds, where the newer module judges it; 0: it is taken
	waits        wire.Code   // why news wait, where the older module judges them; 0: they do not
	rows         []string    // what the newer module gets of the olds that it takes, and of news
}

func changes() []change {
	note := func(fields []program.Field, older ...program.Older) program.EventType {
		return program.EventType{Name: "note", Fields: fields, Older: older}
	}
	types := func(all ...program.EventType) []program.EventType { return all }
	was := texted("text")
	shout := program.EventType{Name: "shout", Fields: was}
	gone := shout
	gone.Removed = true
	old := []space.Event{stamped("note", was, "text", "one"), stamped("note", was, "text", "two")}
	none := []wire.Code{0, 0}
	say := msgpack.AppendString(nil, "calm")
	return []change{
		{
			what: "add an event type", older: types(note(was)), newer: types(note(was), shout),
			olds: old, refused: none, news: []space.Event{stamped("shout", was, "text", "ho")}, waits: wire.CodeUnknownType,
			rows: []string{rowOf("one"), rowOf("two"), rowOf("ho")},
		}, {
			what: "add an optional field", older: types(note(was)), newer: types(note(texted("text", "mood?"), program.Older{Fields: was})),
			olds: old, refused: none, news: []space.Event{stamped("note", texted("text", "mood?"), "text", "new", "mood", "glad")}, waits: wire.CodeSchemaUnknown,
			rows: []string{rowOf("one", "-"), rowOf("two", "-"), rowOf("new", "+glad")},
		}, {
			what: "add a field with a default", older: types(note(was)), newer: types(note(texted("text", "mood=calm"), program.Older{Fields: was})),
			olds: old, refused: none, news: []space.Event{stamped("note", texted("text", "mood=calm"), "text", "new")}, waits: wire.CodeSchemaUnknown,
			rows: []string{rowOf("one", "calm"), rowOf("two", "calm"), rowOf("new", "calm")},
		}, {
			what: "add a required field", older: types(note(was)),
			newer: types(note(texted("mood", "text"), program.Older{Fields: was, Given: []program.Given{{Name: "mood", Value: say}}})),
			olds:  old, refused: none, news: []space.Event{stamped("note", texted("mood", "text"), "text", "new", "mood", "glad")}, waits: wire.CodeSchemaUnknown,
			rows: []string{rowOf("calm", "one"), rowOf("calm", "two"), rowOf("glad", "new")},
		}, {
			what: "add a required field, and refuse what lacks it", older: types(note(was)), newer: types(note(texted("mood", "text"), program.Older{Fields: was, Refused: true})),
			olds: old, refused: []wire.Code{wire.CodeSchemaMismatch, wire.CodeSchemaMismatch}, news: []space.Event{stamped("note", texted("mood", "text"), "text", "new", "mood", "glad")},
			waits: wire.CodeSchemaUnknown, rows: []string{rowOf("glad", "new")},
		}, {
			what: "remove a field", older: types(note(texted("text", "mood"))), newer: types(note(was, program.Older{Fields: texted("text", "mood"), Drop: []string{"mood"}})),
			olds: []space.Event{stamped("note", texted("text", "mood"), "text", "one", "mood", "glad")}, refused: none[:1],
			news: []space.Event{stamped("note", was, "text", "new")}, waits: wire.CodeSchemaUnknown, rows: []string{rowOf("one"), rowOf("new")},
		}, {
			what: "rename a field", older: types(note(texted("body"))), newer: types(note(was, program.Older{Fields: texted("body"), Rename: []program.Renamed{{From: "body", To: "text"}}})),
			olds: []space.Event{stamped("note", texted("body"), "body", "one")}, refused: none[:1],
			news: []space.Event{stamped("note", was, "text", "new")}, waits: wire.CodeSchemaUnknown, rows: []string{rowOf("one"), rowOf("new")},
		}, {
			what: "remove a command", older: types(note(was), shout), newer: types(note(was), gone),
			olds: []space.Event{old[0], stamped("shout", was, "text", "ho"), old[1]}, refused: []wire.Code{0, wire.CodeTypeRemoved, 0},
			news: []space.Event{stamped("note", was, "text", "new")}, rows: []string{rowOf("one"), rowOf("two"), rowOf("new")},
		}, {
			what: "add a table", older: types(note(was)), newer: types(note(was)),
			tables: func(m *program.Manifest) {
				m.Tables = append(m.Tables, tables.Schema{Name: "more", Columns: []tables.Column{{Name: "a", Kind: tables.Text}}, Key: []int{0}})
			},
			olds: old, refused: none, news: []space.Event{stamped("note", was, "text", "new")}, rows: []string{rowOf("one"), rowOf("two"), rowOf("new")},
		},
	}
}

func (c *change) modules() (older, newer []byte) {
	return moduletest.Kept("1.0.0", c.older, nil), moduletest.Kept("2.0.0", c.newer, c.tables)
}

// spaceOf makes a space of a module, on the server too, and returns its ID.
func (j *judged) spaceOf(t *tab, bytes []byte) *wasmclient.Space {
	j.Helper()
	d, err := t.PutModule(j.Context(), bytes)
	if err != nil {
		j.Fatal(err)
	}
	s, err := t.CreateSpace(j.Context(), wasmclient.SpaceOptions{Module: d})
	if err != nil {
		j.Fatal(err)
	}
	j.appendEach(s, nil)
	j.settled(t, s.ID())
	return s
}

// TestOldClientNewModule: a client writes, is away for a month, and comes back to a space of a newer module, which takes what it wrote for what it meant, or
// says what of it it does not take, and takes the rest.
func TestOldClientNewModule(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		var later []func()
		for _, c := range changes() {
			t.Log(c.what)
			older, newer := c.modules()
			device := j.device("ada")
			first := j.tab(device)
			id := j.spaceOf(first, older).ID()
			first.Close(j.Context())
			away := j.tab(device, offline)
			j.appendEach(away.Space(id), c.olds)
			away.Close(j.Context())

			other := j.tab(j.device("ada"))
			other.Space(id)
			j.settled(other, id)
			j.upgrade(other, other.Space(id), newer)
			j.settled(other, id)
			other.Close(j.Context())
			later = append(later, func() { j.comesBack(device, id, &c) })
		}
		time.Sleep(month)
		for _, f := range later {
			f()
		}
	})
}

// comesBack has an old client come back to a space that has the newer module.
func (j *judged) comesBack(device *device, id space.ID, c *change) {
	j.Helper()
	j.Log(c.what, ", after a month")
	back := j.tab(device)
	defer back.Close(j.Context())
	s := back.Space(id)
	j.settled(back, id)
	rejected, err := s.Rejected(j.Context())
	if err != nil {
		j.Fatal(err)
	}
	var codes, want []wire.Code
	for _, row := range rejected {
		codes = append(codes, row.Code)
	}
	for _, code := range c.refused {
		if code != 0 {
			want = append(want, code)
		}
	}
	if !slices.Equal(codes, want) {
		j.Errorf("refused: %v, want %v", codes, want)
	}
	j.same(j.keptRows(s), c.rows[:len(c.rows)-len(c.news)]...)
	for _, row := range rejected { // the replica and all that was written stay
		if len(row.Transaction.Events) != 1 || len(row.Transaction.Events[0].Payload) == 0 {
			j.Errorf("what was refused is not kept: %+v", row)
		}
	}
	j.appendEach(s, c.news)
	j.settled(back, id)
	j.same(j.keptRows(s), c.rows...)

	fresh := j.tab(j.device("ada"))
	defer fresh.Close(j.Context())
	fresh.Space(id)
	j.settled(fresh, id)
	j.same(j.keptRows(fresh.Space(id)), c.rows...)
}

// TestNewClientOldModule: a client of a newer version writes to a space whose module is older. What that does not know waits, with whatever comes behind, and what
// it writes offline too, for as long as it takes; once the space has the newer module all of it goes on by itself.
func TestNewClientOldModule(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		var later []func()
		for _, c := range changes() {
			t.Log(c.what)
			older, newer := c.modules()
			device := j.device("ada")
			first := j.tab(device)
			id := j.spaceOf(first, older).ID()
			j.appendEach(first.Space(id), c.news)
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			pending, err := first.Space(id).Pending(j.Context(), 100, false)
			if err != nil {
				t.Fatal(err)
			}
			rejected, err := first.Space(id).Rejected(j.Context())
			if err != nil || len(rejected) > 0 {
				t.Errorf("refused: %+v, %v", rejected, err)
			}
			if c.waits == 0 && len(pending) > 0 || c.waits != 0 && (len(pending) != len(c.news) || pending[0].Code != c.waits) {
				t.Errorf("what waits is %+v, and it should wait for %v", pending, c.waits)
			}
			first.Close(j.Context())
			away := j.tab(device, offline)
			j.appendEach(away.Space(id), c.news)
			away.Close(j.Context())
			later = append(later, func() { j.goesOn(device, id, newer, &c) })
		}
		time.Sleep(month)
		for _, f := range later {
			f()
		}
	})
}

// goesOn has a newer client, which wrote all of news twice, come back to a space that gets the newer module only then.
func (j *judged) goesOn(device *device, id space.ID, newer []byte, c *change) {
	j.Helper()
	j.Log(c.what, ", after a month")
	again := j.tab(device)
	defer again.Close(j.Context())
	s := again.Space(id)
	time.Sleep(time.Minute)
	synctest.Wait()
	waits := 0
	if c.waits != 0 {
		waits = 2 * len(c.news)
	}
	if info := s.Info(); info.Pending != waits {
		j.Errorf("after a month %d wait, not %d", info.Pending, waits)
	}
	other := j.tab(j.device("ada"))
	defer other.Close(j.Context())
	other.Space(id)
	j.settled(other, id)
	if waits > 0 {
		j.same(j.keptRows(other.Space(id)))
	}
	j.upgrade(other, other.Space(id), newer)
	j.settled(again, id)
	j.settled(other, id)
	want := slices.Repeat(c.rows[len(c.rows)-len(c.news):], 2)
	j.same(j.keptRows(s), want...)
	j.same(j.keptRows(other.Space(id)), want...)
}

// TestIndexesAndTablesThatComeAndGo: an index that is added serves a query that waited for it, and one that is removed those alone are told of who use it, who go on;
// of a table that is removed the rows go, and nothing else.
func TestIndexesAndTablesThatComeAndGo(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		was := texted("text")
		note := []program.EventType{{Name: "note", Fields: was}}
		byPayload := func(m *program.Manifest) {
			m.Tables[0].Indexes = []tables.Index{{Name: "by_payload", Columns: []int{2}}}
		}
		plain, indexed := moduletest.Kept("1.0.0", note, nil), moduletest.Kept("1.1.0", note, byPayload)
		without := moduletest.Kept("2.0.0", note, func(m *program.Manifest) { m.Tables[0].Name = "others" })
		tab := j.tab(j.device("ada"))
		s := j.spaceOf(tab, plain)
		j.appendEach(s, []space.Event{stamped("note", was, "text", "b"), stamped("note", was, "text", "a"), stamped("note", was, "text", "bb")})
		j.settled(tab, s.ID())

		type told struct {
			live *wasmclient.Live
			rows []wasmclient.Row
			err  error
			n    int
		}
		follow := func(query wasmclient.Query) *told {
			live, err := s.Live(j.Context(), query, func() {})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(live.Close)
			return &told{live: live}
		}
		look := func(l *told) {
			time.Sleep(2 * time.Second)
			synctest.Wait()
			delta, ok := l.live.Next()
			if !ok {
				return
			}
			l.n++
			var rows []wasmclient.Row
			for _, p := range delta.Pieces {
				if p.Count > 0 {
					rows = append(rows, l.rows[p.From:p.From+p.Count]...)
				} else {
					rows = append(rows, p.Row)
				}
			}
			l.rows, l.err = rows, delta.Err
		}
		payloads := func(l *told) (all []string) {
			for _, row := range l.rows {
				mark := ""
				if row.Pending {
					mark = "*"
				}
				all = append(all, row.Bytes[24:]+mark)
			}
			return all
		}
		dials := tab.dials.Load()
		uses, not := follow(wasmclient.Query{Table: "kept", Index: "by_payload"}), follow(wasmclient.Query{Table: "kept"})
		look(uses)
		look(not)
		if wire.CodeOf(uses.err) != wire.CodeNotFound || not.err != nil || len(not.rows) != 3 {
			t.Fatalf("before there is an index: %v, %v, %d rows", uses.err, not.err, len(not.rows))
		}
		j.upgrade(tab, s, indexed)
		look(uses)
		look(not)
		if uses.err != nil {
			t.Errorf("there is an index now: %v", uses.err)
		}
		j.same(payloads(uses), "a", "b", "bb")
		before := not.n
		down := follow(wasmclient.Query{Table: "kept", Index: "by_payload", Reverse: true, Limit: 2})
		look(down)

		j.upgrade(tab, s, plain)
		for _, l := range []*told{uses, down, not} {
			look(l)
		}
		if wire.CodeOf(uses.err) != wire.CodeSchemaIncompatible || wire.CodeOf(down.err) != wire.CodeSchemaIncompatible || not.err != nil || not.n != before {
			t.Errorf("the index is gone: %v, %v, and who does not use it was told %d times more: %v", uses.err, down.err, not.n-before, not.err)
		}
		j.same(payloads(uses), "a", "b", "bb")
		j.same(payloads(down), "bb", "b")
		j.appendEach(s, []space.Event{stamped("note", was, "text", "ab")})
		j.settled(tab, s.ID())
		look(uses)
		look(down)
		j.same(payloads(uses), "a", "b", "ab", "bb")
		j.same(payloads(down), "bb", "ab")
		prefix := msgpack.AppendBinary(msgpack.AppendArray(nil, 1), []byte("\x01\x00\x00\x00b"))
		result, err := s.Query(j.Context(), wasmclient.Query{Table: "kept", Index: "by_payload", Columns: []string{"payload"}, Prefix: prefix})
		if err != nil || wire.CodeOf(result.Told) != wire.CodeSchemaIncompatible || len(result.Rows) != 1 || result.Rows[0].Bytes[24:] != "b" {
			t.Errorf("asked once, with the columns: %+v, %v", result, err)
		}
		for _, columns := range [][]string{nil, {"payload", "size"}} {
			if _, err := s.Query(j.Context(), wasmclient.Query{Table: "kept", Index: "by_payload", Columns: columns}); wire.CodeOf(err) != wire.CodeNotFound {
				t.Errorf("asked once, with the columns %q: %v", columns, err)
			}
		}

		j.upgrade(tab, s, without)
		for _, l := range []*told{uses, down, not} {
			look(l)
			if wire.CodeOf(l.err) != wire.CodeNotFound || len(l.rows) != 0 {
				t.Errorf("the table is gone: %d rows, %v", len(l.rows), l.err)
			}
		}
		if info := s.Info(); info.Position.Seq != 4+2*3 || tab.dials.Load() != dials {
			t.Errorf("the log is at %d, and %d connections were made", info.Position.Seq, tab.dials.Load()-dials)
		}
	})
}

// TestPreviewOfSchemas: what a page can tell by itself it tells at once, and what a newer module may know it does not refuse.
func TestPreviewOfSchemas(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		was := texted("text")
		device := j.device("ada")
		tab := j.tab(device)
		s := j.spaceOf(tab, moduletest.Kept("1.0.0", []program.EventType{{Name: "note", Fields: was}, {Name: "gone", Fields: was, Removed: true}}, nil))
		j.keptRows(s)
		tab.Close(j.Context())
		tab = j.tab(device, offline)
		s = tab.Space(s.ID())
		j.keptRows(s)
		j.appendEach(s, []space.Event{
			stamped("note", was, "body", "one"), stamped("gone", was, "text", "one"), stamped("note", texted("text", "more"), "text", "one"), stamped("other", was, "text", "one"),
		})
		rejected, err := s.Rejected(j.Context())
		if err != nil {
			t.Fatal(err)
		}
		var codes []string
		for _, row := range rejected {
			codes = append(codes, fmt.Sprint(row.By, " ", row.Code))
		}
		j.same(codes, "preview schema_mismatch", "preview type_removed")
		if info := s.Info(); info.Pending != 2 {
			t.Errorf("%d wait, not 2", info.Pending)
		}
	})
}
