package program

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

var update = flag.Bool("update", false, "write the vectors anew")

// A vector's parts, as testdata/schemas has them: bytes are hexadecimal, defaults msgpack.
type (
	vectorField struct {
		Name     string `json:"name"`
		Type     string `json:"type"`
		Optional bool   `json:"optional,omitempty"`
		Default  string `json:"default,omitempty"`
	}
	vectorOlder struct {
		Fields  []vectorField     `json:"fields"`
		Rename  map[string]string `json:"rename,omitempty"`
		Drop    []string          `json:"drop,omitempty"`
		Given   map[string]string `json:"given,omitempty"`
		Refused bool              `json:"refused,omitempty"`
	}
	declarationVector struct {
		About   string        `json:"about"`
		Name    string        `json:"name"`
		Fields  []vectorField `json:"fields"`
		Encoded string        `json:"encoded"`
		Schema  string        `json:"schema"`
	}
	payloadVectors struct {
		Name     string          `json:"name"`
		Fields   []vectorField   `json:"fields"`
		Older    []vectorOlder   `json:"older"`
		Payloads []payloadVector `json:"payloads"`
	}
	payloadVector struct {
		About   string `json:"about"`
		Schema  string `json:"schema"` // "current", "#n" for the nth older one, none for zeros
		Payload string `json:"payload"`
		Read    string `json:"read,omitempty"` // as it would have been written now, where it is read
		Code    string `json:"code,omitempty"`
		Reason  string `json:"reason,omitempty"`
	}
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fieldsOf(t *testing.T, from []vectorField) (fields []Field) {
	for _, f := range from {
		field := Field{Name: f.Name, Kind: tables.ParseKind(f.Type), Optional: f.Optional}
		if f.Default != "" {
			field.Default = unhex(t, f.Default)
		}
		fields = append(fields, field)
	}
	return fields
}

func (v *payloadVectors) eventType(t *testing.T) EventType {
	e := EventType{Name: v.Name, Fields: fieldsOf(t, v.Fields)}
	for _, o := range v.Older {
		older := Older{Fields: fieldsOf(t, o.Fields), Drop: o.Drop, Refused: o.Refused}
		for from, to := range o.Rename {
			older.Rename = append(older.Rename, Renamed{from, to})
		}
		for name, value := range o.Given {
			older.Given = append(older.Given, Given{name, unhex(t, value)})
		}
		e.Older = append(e.Older, older)
	}
	return e
}

func vectors[T any](t *testing.T, file string) (all []T) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "schemas", file))
	if err == nil {
		err = json.Unmarshal(content, &all)
	}
	if err != nil || len(all) == 0 {
		t.Fatalf("%s: %d vectors, %v", file, len(all), err)
	}
	return all
}

func save(t *testing.T, file string, all any) {
	t.Helper()
	content, err := json.MarshalIndent(all, "", " ")
	if err == nil {
		err = os.WriteFile(filepath.Join("testdata", "schemas", file), append(content, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSchemaVectors: what a declaration is hashed as, and its schema, are those of the vectors; what nobody reads by is not in it, and all else is.
func TestSchemaVectors(t *testing.T) {
	all := vectors[declarationVector](t, "declarations.json")
	seen := map[string]string{}
	for i := range all {
		v := &all[i]
		fields := fieldsOf(t, v.Fields)
		encoded, schema := AppendDeclaration(nil, v.Name, fields), SchemaOf(v.Name, fields)
		if d := digest.Of(encoded); hex.EncodeToString(d[:8]) != hex.EncodeToString(schema[:]) {
			t.Errorf("%s: the schema %x is not the digest's beginning", v.About, schema)
		}
		if *update {
			v.Encoded, v.Schema = hex.EncodeToString(encoded), hex.EncodeToString(schema[:])
		} else if hex.EncodeToString(encoded) != v.Encoded || hex.EncodeToString(schema[:]) != v.Schema {
			t.Errorf("%s: encoded %x, schema %x", v.About, encoded, schema)
		}
		if other, ok := seen[v.Schema]; ok {
			t.Errorf("%s has the schema of %s", v.About, other)
		}
		seen[v.Schema] = v.About
		for k := range fields {
			fields[k].Doc = "for people"
		}
		if SchemaOf(v.Name, fields) != schema {
			t.Errorf("%s: docs change the schema", v.About)
		}
	}
	if *update {
		save(t, "declarations.json", all)
	}
}

// TestPayloadVectors reads payloads by the schemas that their records have.
func TestPayloadVectors(t *testing.T) {
	all := vectors[payloadVectors](t, "payloads.json")
	codes := map[string]int{}
	for i := range all {
		e := all[i].eventType(t)
		readers, err := e.readers()
		if err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		p := &Program{Manifest: &Manifest{Name: "vectors", Version: "1.0.0", ABI: ABISchemas, Events: []EventType{e}}, readers: [][]reader{readers}}
		for k := range all[i].Payloads {
			v := &all[i].Payloads[k]
			record := &space.Record{Event: space.Event{Type: e.Name, Payload: unhex(t, v.Payload)}}
			switch {
			case v.Schema == "":
			case v.Schema == "current":
				record.Schema = readers[0].schema
			case v.Schema[0] == '#':
				record.Schema = readers[1+v.Schema[1]-'0'].schema
			default:
				record.Schema = space.Schema(unhex(t, v.Schema))
			}
			row, verdict := p.appendPayload([]byte("before"), 0, record)
			code := ""
			if !verdict.Allowed() {
				code = verdict.Code.String()
			}
			codes[code]++
			if *update {
				v.Code, v.Reason = code, verdict.Reason
			} else if code != v.Code || verdict.Reason != v.Reason {
				t.Errorf("%s: %s %q, want %s %q", v.About, code, verdict.Reason, v.Code, v.Reason)
			}
			if code != "" {
				continue
			}
			want, err := appendRow([]byte("before"), e.Fields, unhex(t, v.Read))
			if err != nil || string(row) != string(want) {
				t.Errorf("%s: read as %x, want %x (%v)", v.About, row, want, err)
			}
		}
	}
	for _, code := range []wire.Code{wire.CodeSchemaMismatch, wire.CodeSchemaUnknown, wire.CodeBadPayload} {
		if codes[code.String()] == 0 {
			t.Errorf("no vector has %v", code)
		}
	}
	if *update {
		save(t, "payloads.json", all)
	}
}

// TestLensesThatGuess: a manifest whose lens leaves something to be guessed, or says something twice, is refused.
func TestLensesThatGuess(t *testing.T) {
	text := func(name string) Field { return Field{Name: name, Kind: tables.Text} }
	may := func(name string) Field { return Field{Name: name, Kind: tables.Text, Optional: true} }
	word := msgpack.AppendString(nil, "x")
	now := []Field{text("a"), text("b")}
	for what, c := range map[string]struct {
		fields []Field
		older  []Older
		want   string // of the error; empty for none
	}{
		"nothing older":             {now, nil, ""},
		"a default":                 {now, []Older{{Fields: []Field{text("a")}, Given: []Given{{"b", word}}}}, ""},
		"the field's own default":   {[]Field{text("a"), {Name: "b", Kind: tables.Text, Default: word}}, []Older{{Fields: []Field{text("a")}}}, ""},
		"an optional one":           {[]Field{text("a"), may("b")}, []Older{{Fields: []Field{text("a")}}}, ""},
		"another order":             {now, []Older{{Fields: []Field{text("b"), text("a")}}}, ""},
		"swapped":                   {now, []Older{{Fields: []Field{text("a"), text("b"), text("c")}, Rename: []Renamed{{"a", "b"}, {"b", "a"}}, Drop: []string{"c"}}}, ""},
		"refused":                   {now, []Older{{Fields: []Field{text("z")}, Refused: true}}, ""},
		"dropped and given":         {[]Field{{Name: "a", Kind: tables.U64}}, []Older{{Fields: []Field{text("a")}, Drop: []string{"a"}, Given: []Given{{"a", []byte{7}}}}}, ""},
		"no value":                  {now, []Older{{Fields: []Field{text("a")}}}, "field b has no value"},
		"perhaps no value":          {now, []Older{{Fields: []Field{text("a"), may("b")}}}, "field b has no value"},
		"a field left over":         {now, []Older{{Fields: []Field{text("a"), text("b"), text("c")}}}, "field c is none now"},
		"another type":              {[]Field{{Name: "a", Kind: tables.U64}}, []Older{{Fields: []Field{text("a")}}}, "was text and is u64"},
		"renamed to nothing":        {now, []Older{{Fields: []Field{text("a"), text("x")}, Rename: []Renamed{{"x", "y"}}}}, "renamed to y"},
		"renamed from nothing":      {now, []Older{{Fields: []Field{text("a"), text("b"), text("x")}, Rename: []Renamed{{"y", "b"}}}}, "no field y"},
		"two to one":                {now, []Older{{Fields: []Field{text("x"), text("y")}, Rename: []Renamed{{"x", "a"}, {"y", "a"}}}}, "renamed to a"},
		"renamed onto another":      {now, []Older{{Fields: []Field{text("x"), text("a"), text("b")}, Rename: []Renamed{{"x", "a"}}}}, "field a is none now"},
		"dropped twice":             {now, []Older{{Fields: []Field{text("a"), text("b"), text("x")}, Drop: []string{"x", "x"}}}, "no field x"},
		"a default of nothing":      {now, []Older{{Fields: []Field{text("a"), text("x")}, Rename: []Renamed{{"x", "b"}}, Given: []Given{{"y", word}}}}, "a default to y"},
		"a default of another":      {now, []Older{{Fields: []Field{text("a")}, Given: []Given{{"b", []byte{1}}}}}, "a default to b"},
		"two defaults":              {now, []Older{{Fields: []Field{text("a")}, Given: []Given{{"b", word}, {"b", word}}}}, `"b" twice`},
		"like the current one":      {now, []Older{{Fields: now}}, "another one like it"},
		"twice the same":            {now, []Older{{Fields: []Field{text("a")}, Given: []Given{{"b", word}}}, {Fields: []Field{text("a")}, Refused: true}}, "another one like it"},
		"refused with a lens":       {now, []Older{{Fields: []Field{text("a")}, Drop: []string{"a"}, Refused: true}}, "it is refused"},
		"two fields of a name":      {now, []Older{{Fields: []Field{text("a"), text("a")}, Refused: true}}, "two fields are called a"},
		"a default that is none":    {[]Field{{Name: "a", Kind: tables.U64, Default: word}}, nil, "default that is no u64"},
		"a default of nil":          {[]Field{{Name: "a", Kind: tables.U64, Default: []byte{0xc0}}}, nil, "default that is no u64"},
		"optional with a default":   {[]Field{{Name: "a", Kind: tables.Text, Optional: true, Default: word}}, nil, "one of the two"},
		"a default that is no text": {[]Field{{Name: "a", Kind: tables.Text, Default: []byte{0xa1, 0xff}}}, nil, "default that is no text"},
	} {
		m := &Manifest{Name: "n", Version: "1.0.0", ABI: ABISchemas, IO: DefaultIO, Events: []EventType{{Name: "e", Fields: c.fields, Older: c.older}}}
		written := m.Append(nil)
		read, err := ReadManifest(written)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, and it should say %q", what, err, c.want)
		}
		if err == nil && !reflect.DeepEqual(read, m) {
			t.Errorf("%s:\n%+v\n%+v", what, read, m)
		}
		m.ABI = ABI // which knows nothing of all this
		m.Events[0].Removed = true
		if read, err = ReadManifest(m.Append(nil)); err != nil && !strings.Contains(err.Error(), "not the msgpack") {
			t.Errorf("%s, of ABI 1: %v", what, err)
		} else if err == nil && (read.Events[0].Removed || read.Events[0].Older != nil || read.Events[0].Fields[0].Default != nil) {
			t.Errorf("%s, of ABI 1: read %+v", what, read.Events[0])
		}
	}
}

// TestOlderLimit: as many older declarations as there may be, and one more.
func TestOlderLimit(t *testing.T) {
	for over := range 2 {
		e := EventType{Name: "e", Fields: []Field{{Name: "a", Kind: tables.Bool, Optional: true}}}
		for i := range MaxOlder + over {
			e.Older = append(e.Older, Older{Fields: []Field{{Name: strings.Repeat("x", i%64+1), Kind: tables.Kind(1 + i/64), Optional: true}}, Refused: true})
		}
		m := &Manifest{Name: "n", Version: "1.0.0", ABI: ABISchemas, IO: DefaultIO, Events: []EventType{e}}
		if _, err := ReadManifest(m.Append(nil)); (err != nil) != (over == 1) {
			t.Errorf("%d over: %v", over, err)
		}
	}
}
