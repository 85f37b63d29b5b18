package main_test

import (
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"

	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// TestTypesOfGo: what was generated writes what a module's host reads, and reads it back.
func TestTypesOfGo(t *testing.T) {
	truth, whole, count, number, text := true, int64(-1<<40), uint64(1<<63), -0.5, "tëxt"
	for _, p := range []Every2{
		{},
		{Bool: &truth, I64: &whole, U64: &count, F64: &number, Text: &text, Bytes: []byte{1, 0}},
		{Bool: new(bool), I64: new(int64), U64: new(uint64), F64: new(float64), Text: new(string), Bytes: []byte{}},
	} {
		if read, err := ReadEvery2(p.Event().Payload); err != nil || !reflect.DeepEqual(read, p) {
			t.Errorf("%+v is read as %+v, %v", p, read, err)
		}
	}
	every := Every{Bool: true, I64: -33, U64: 200, F64: 1e300, Text: "t", Bytes: []byte{}}
	event := every.Event()
	if read, err := ReadEvery(event.Payload); err != nil || event.Type != "every" || !reflect.DeepEqual(read, every) {
		t.Errorf("%+v is read as %+v, %v", every, read, err)
	}
	unknown := msgpack.AppendString(msgpack.AppendString(msgpack.AppendMap(nil, 2), "newer"), "field")
	unknown = msgpack.AppendBool(msgpack.AppendString(unknown, "bool"), true)
	for _, test := range []struct {
		payload []byte
		want    string
	}{
		{nil, "every: field bool is missing"},
		{[]byte{0xc0}, "every: "},
		{append(event.Payload, 0xc0), "every: "},
		{unknown, "every: field i64 is missing"},
		{(&Nothing{}).Event().Payload, "every: field bool is missing"},
	} {
		if read, err := ReadEvery(test.payload); wire.CodeOf(err) != wire.CodeSchemaMismatch || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%x is read as %+v, %v, want %q", test.payload, read, err, test.want)
		}
	}
}

// TestEmptyPayloadOfGo: a payload of no bytes is read as the host reads it: as one that says nothing.
func TestEmptyPayloadOfGo(t *testing.T) {
	for _, payload := range [][]byte{nil, {}, {0x80}} {
		if read, err := ReadEvery2(payload); err != nil || !reflect.DeepEqual(read, Every2{}) {
			t.Errorf("%x is read as %+v, %v", payload, read, err)
		}
	}
}

// TestNilsOfGo: a field that is nil is absent, as the host takes it, and what is behind it is read.
func TestNilsOfGo(t *testing.T) {
	payload := msgpack.AppendNil(msgpack.AppendString(msgpack.AppendMap(nil, 4), "text"))
	payload = msgpack.AppendInt(msgpack.AppendString(payload, "i64"), 7)
	payload = msgpack.AppendNil(msgpack.AppendString(payload, "bytes"))
	payload = msgpack.AppendBool(msgpack.AppendString(payload, "bool"), false)
	whole := int64(7)
	if read, err := ReadEvery2(payload); err != nil || !reflect.DeepEqual(read, Every2{Bool: new(bool), I64: &whole}) {
		t.Errorf("optional: %+v, %v", read, err)
	}
	want := Given{Bool: false, I64: 7, U64: math.MaxUint64, F64: -0.5, Text: "\"\n$", Bytes: []byte{0, 255}}
	if read, err := ReadGiven(payload); err != nil || !reflect.DeepEqual(read, want) {
		t.Errorf("with defaults: %+v, %v", read, err)
	}
}

// TestLensesOfGo: of an older declaration that nothing is taken from the payload is held to it all the same.
func TestLensesOfGo(t *testing.T) {
	schema := program.SchemaOf("infinite", []program.Field{{Name: "bool", Kind: tables.Bool, Doc: "of kind bool"}})
	event := space.Event{Type: "infinite", Schema: schema, Payload: msgpack.AppendBool(msgpack.AppendString(msgpack.AppendMap(nil, 1), "bool"), true)}
	if read, err := ReadInfiniteEvent(&event, nil); err != nil || !math.IsInf(read.Up, 1) || !math.IsInf(read.Down, -1) {
		t.Errorf("%+v, %v", read, err)
	}
	event.Payload = msgpack.AppendMap(nil, 0)
	if read, err := ReadInfiniteEvent(&event, nil); err == nil {
		t.Errorf("not what it was declared as: %+v", read)
	}
}

// TestOlderEventsOfGo: an event is read by the declaration that it was written by, as a host reads it, or not at all.
func TestOlderEventsOfGo(t *testing.T) {
	large := Given{Bool: true, I64: math.MinInt64, U64: math.MaxUint64, F64: -0.5, Text: "\"\n$", Bytes: []byte{0, 255}}
	bytes9, text := large, large
	bytes9.Bytes, text.Text = []byte{9}, "was"
	truth, number, seven, fraction := true, int64(-1), uint64(7), 7.0
	every := GivenOlder{Bool: false, I64: -1, U64: 1, F64: 1, Text: "t", Bytes: []byte{}}
	every6 := func(optional bool) (fields []program.Field) {
		for kind := tables.Bool; kind <= tables.Bytes; kind++ {
			fields = append(fields, program.Field{Name: kind.String(), Kind: kind, Optional: optional})
		}
		return fields
	}
	older := [][]program.Field{
		every6(false), append(every6(true), program.Field{Name: "gone", Kind: tables.Text}),
		{{Name: "was", Kind: tables.Text}, {Name: "1", Kind: tables.I64}}, {{Name: "what nobody declared", Kind: tables.Bool}},
	}
	stamped := func(n int, payload []byte) *space.Event {
		return &space.Event{Type: "given", Schema: program.SchemaOf("given", older[n]), Payload: payload}
	}
	own := large.Event()
	for what, c := range map[string]struct {
		event *space.Event
		want  Given
	}{
		"its own":                   {&own, large},
		"its own, without anything": {&space.Event{Schema: GivenSchema, Payload: []byte{0x80}}, large},
		"of no schema":              {&space.Event{Payload: []byte{0x80}}, large},
		"all of it":                 {stamped(0, every.Append(nil)), Given{I64: -1, U64: 1, F64: 1, Text: "t", Bytes: []byte{}}},
		"optional, none":            {stamped(1, (&GivenOlder2{Gone: "g"}).Append(nil)), large},
		"optional, some":            {stamped(1, (&GivenOlder2{Gone: "g", I64: &number, Bytes: []byte{9}}).Append(nil)), Given{Bool: true, I64: -1, U64: large.U64, F64: -0.5, Text: large.Text, Bytes: []byte{9}}},
		"renamed":                   {stamped(2, (&GivenOlder3{Was: "was", X1: 1}).Append(nil)), text},
	} {
		if read, err := ReadGivenEvent(c.event, nil); err != nil || !reflect.DeepEqual(read, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", what, read, err, c.want)
		}
	}
	for _, n := range []int{0, 3} {
		event := stamped(n, []byte{0x80})
		_, err := ReadGivenEvent(event, nil)
		if known := n == 0; err == nil || known != (wire.CodeOf(err) == wire.CodeSchemaMismatch) || !known && !strings.Contains(err.Error(), hex.EncodeToString(event.Schema[:])) {
			t.Errorf("what lacks all, or is unknown: %v", err)
		}
	}
	read, err := ReadEveryOlderEvent(&space.Event{Schema: program.SchemaOf("every older", every6(true)[:3]), Payload: (&EveryOlderOlder2{Bool: &truth}).Append(nil)}, nil)
	if want := (EveryOlder{Bool: &truth, U64: &seven, F64: &fraction}); err != nil || !reflect.DeepEqual(read, want) {
		t.Errorf("optional fields that the lens gives: %+v, %v", read, err)
	}
}

// TestRowsOfGo reads rows by the schema that came with them.
func TestRowsOfGo(t *testing.T) {
	schema := tables.Schema{Name: "every.", Columns: []tables.Column{{Name: "newer", Kind: tables.Bool}, {Name: "in", Kind: tables.Text}}, Key: []int{1}}
	row, err := program.KeyValues(&schema, 0, msgpack.AppendString(msgpack.AppendArray(nil, 1), "side"))
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadEveryRow(&schema, "\x01"+string(row))
	if want := (EveryRow{In: "side"}); err != nil || read != want {
		t.Errorf("read %+v, %v", read, err)
	}
	schema.Columns[1].Name = "out"
	if _, err := ReadEveryRow(&schema, "\x01"+string(row)); err == nil || !strings.Contains(err.Error(), "table every. has no column in") {
		t.Errorf("another table's row: %v", err)
	}
}
