package program

import (
	"encoding/hex"
	"testing"

	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// TestReadNewer: what newer code wrote is read by what the space's module says of both declarations, and by names alone only where the module goes by them itself. The whole table of
// changes is in syncserver/cmd/skerry, where generated code is compiled.
func TestReadNewer(t *testing.T) {
	text := func(name string) Field { return Field{Name: name, Kind: tables.Text} }
	perhaps := func(name string) Field { return Field{Name: name, Kind: tables.Text, Optional: true} }
	given := func(name string) Field { return Field{Name: name, Kind: tables.Text, Default: []byte("\xa1d")} }
	swapped, own := []Field{text("b"), text("a")}, []Field{text("a"), text("b")}
	lens := Older{Fields: own, Rename: []Renamed{{"a", "b"}, {"b", "a"}}}
	read := func(m *Manifest, written, fields []Field, payload string) (string, wire.Code) {
		b, err := hex.DecodeString(payload)
		if err != nil {
			t.Fatal(err)
		}
		b, err = m.ReadNewer(&space.Event{Type: "e", Schema: SchemaOf("e", written), Payload: b}, fields)
		return hex.EncodeToString(b), wire.CodeOf(err)
	}
	of := func(abi uint32, fields []Field, older ...Older) *Manifest {
		return &Manifest{ABI: abi, Events: []EventType{{Name: "other"}, {Name: "e", Fields: fields, Older: older}}}
	}
	const wasA = "82a161a162a162a161" // {a: "b", b: "a"}, by the names of now
	for what, c := range map[string]struct {
		m               *Manifest
		written, fields []Field
		payload, read   string
		code            wire.Code
	}{
		"by its lens":                       {of(2, swapped, lens), swapped, own, wasA, "82a161a161a162a162", 0},
		"no module":                         {nil, swapped, own, wasA, "", wire.CodeSchemaUnknown},
		"a module without the type":         {&Manifest{ABI: 2}, swapped, own, wasA, "", wire.CodeSchemaUnknown},
		"what it does not list":             {of(2, swapped), swapped, own, wasA, "", wire.CodeSchemaUnknown},
		"what it refuses":                   {of(2, swapped, Older{Fields: own, Refused: true}), swapped, own, wasA, "", wire.CodeSchemaUnknown},
		"what it does not know":             {of(2, swapped, lens), []Field{text("c")}, own, wasA, "", wire.CodeSchemaUnknown},
		"what it refuses of who wrote":      {of(2, own, Older{Fields: swapped, Refused: true}), swapped, own, wasA, "", wire.CodeSchemaUnknown},
		"by names":                          {of(1, swapped), swapped, own, wasA, "82a161a162a162a161", 0},
		"by names, what it does not know":   {of(1, swapped, Older{Fields: []Field{text("c")}}), []Field{text("c")}, own, "81a163a163", "", wire.CodeSchemaUnknown},
		"a name twice":                      {of(2, swapped, lens), swapped, own, "83a161a162a162a161a161a163", "", wire.CodeSchemaMismatch},
		"no bytes":                          {of(2, swapped, lens), swapped, own, "", "", wire.CodeSchemaMismatch},
		"no bytes, where all may be away":   {of(2, []Field{given("c"), perhaps("b")}, Older{Fields: []Field{perhaps("b")}}), []Field{given("c"), perhaps("b")}, []Field{perhaps("b")}, "", "80", 0},
		"the default of who wrote":          {of(2, []Field{given("a"), text("x")}, Older{Fields: []Field{text("a")}, Given: []Given{{"x", []byte("\xa0")}}}), []Field{given("a"), text("x")}, []Field{text("a")}, "81a178a178", "81a161a164", 0},
		"nil":                               {of(2, []Field{perhaps("a"), perhaps("b")}, Older{Fields: []Field{perhaps("a")}}), []Field{perhaps("a"), perhaps("b")}, []Field{perhaps("a")}, "82a161c0a162a162", "80", 0},
		"a field that may not be there":     {of(2, []Field{perhaps("a")}, Older{Fields: []Field{text("a")}}), []Field{perhaps("a")}, []Field{text("a")}, "81a161a161", "", wire.CodeSchemaIncompatible},
		"fields that are both read no more": {of(2, nil, Older{Fields: []Field{perhaps("a")}, Drop: []string{"a"}}, Older{Fields: []Field{perhaps("b")}, Drop: []string{"b"}}), []Field{perhaps("b")}, []Field{perhaps("a")}, "81a162a162", "", wire.CodeSchemaIncompatible},
	} {
		if got, code := read(c.m, c.written, c.fields, c.payload); got != c.read || code != c.code {
			t.Errorf("%s: %q, %v, want %q, %v", what, got, code, c.read, c.code)
		}
	}
}
