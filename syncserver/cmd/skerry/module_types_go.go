package main

import (
	"fmt"
	"go/format"
	"math"
	"slices"
	"strconv"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// goSource returns a package of Go: the module's hash, a struct for each event type and each table, and what writes and reads
// them.
func goSource(m *program.Manifest, d digest.Digest, name string) (string, error) {
	w := &goWriter{names: newNames("Hash", "Name", "Version", "API")}
	w.line("// %s", generated(m, d))
	w.line("")
	w.line("// Package %s has the types of module %s. %s", name, oneLine(m.Name), oneLine(m.Doc))
	w.line("package %s", name)
	w.line("")
	w.line("import (")
	payloads := len(m.Events) > 0 || m.Params != nil
	for _, one := range []struct {
		path string
		used bool
	}{
		{"math", floats(m)}, {"", floats(m)}, {"skerry/shared/module/program", len(m.Events) > 0}, {"skerry/shared/msgpack", payloads}, {"skerry/shared/space", len(m.Events) > 0},
		{"skerry/shared/tables", len(m.Tables) > 0 || slices.ContainsFunc(m.Events, func(e program.EventType) bool { return len(e.Fields) > 0 })}, {"skerry/shared/wire", payloads},
	} {
		switch {
		case one.used && one.path == "":
			w.line("")
		case one.used:
			w.line("%q", one.path)
		}
	}
	w.line(")")
	w.line("")
	w.line("// The module: the digest of its bytes, in hexadecimal, its name and its version; and the version of the wire contract that the generator knew.")
	w.line("const (")
	w.line("Hash = %q", d)
	w.line("Name = %q", m.Name)
	w.line("Version = %q", m.Version)
	w.line("API = %q", wire.APIHigh)
	w.line(")")
	if m.Params != nil {
		params := w.names.of("params", "")
		w.payload(params, "is what a space of the module is made with", "", m.Params)
	}
	for i := range m.Events {
		e := &m.Events[i]
		w.event(w.names.of(e.Name, ""), e)
	}
	for i := range m.Tables {
		t := &m.Tables[i]
		w.row(w.names.of(t.Name, "Row"), t)
	}
	text, err := format.Source([]byte(w.String()))
	if err != nil {
		return "", fmt.Errorf("the types of module %s are no Go: %w", m.Name, err)
	}
	return string(text), nil
}

// floats reports whether a manifest has defaults that are fractions.
func floats(m *program.Manifest) bool {
	has := func(f program.Field) bool { return f.Kind == tables.F64 && f.Default != nil }
	found := slices.ContainsFunc(m.Params, has)
	for i := range m.Events {
		e := &m.Events[i]
		found = found || slices.ContainsFunc(e.Fields, has)
		for n := range e.Older {
			found = found || slices.ContainsFunc(e.Older[n].Fields, has)
			for at, from := range e.Sources(n) {
				found = found || from.Given != nil && e.Fields[at].Kind == tables.F64
			}
		}
	}
	return found
}

type goWriter struct {
	strings.Builder
	names names
}

func (w *goWriter) line(format string, args ...any) { fmt.Fprintf(&w.Builder, format+"\n", args...) }

func (w *goWriter) event(name string, e *program.EventType) {
	is := fmt.Sprintf("is the payload of an event of type %q", e.Name)
	if e.Removed {
		is += ", which nobody may write any more"
	}
	read := w.payload(name, is, e.Doc, e.Fields)
	schema := w.names.of(name, "Schema")
	w.line("")
	w.line("// %s is what events say that were written by this declaration.", schema)
	w.line("var %s = %s", schema, goSchema(program.SchemaOf(e.Name, e.Fields)))
	if !e.Removed {
		w.line("")
		w.line("// Event returns an event with this payload, without an ID.")
		w.line("func (p *%s) Event() space.Event {", name)
		w.line("return space.Event{Type: %q, Schema: %s, Payload: p.Append(nil)}", e.Name, schema)
		w.line("}")
	}
	var cases []func()
	for i := range e.Older {
		if o := &e.Older[i]; !o.Refused {
			older := w.names.of(name, "Older")
			readOlder := w.payload(older, "is "+name+" as it was declared before", "", o.Fields)
			cases = append(cases, func() { w.lens(name, readOlder, e, i) })
		}
	}
	own := firstSmall(w.names.of(name, "Fields"))
	w.line("")
	w.line("var %s = []program.Field{", own)
	for i := range e.Fields {
		w.line("%s,", goField(&e.Fields[i]))
	}
	w.line("}")
	of := w.names.of("Read"+name, "Event")
	w.line("")
	w.line("// %s reads an event by the declaration that it was written by; by this one if it does not say. One that this code does not know is read as far as", of)
	w.line("// the module that the space has knows both: has is its manifest, nil if that is not known. Its errors have codes, nothing is guessed: schema_unknown and")
	w.line("// schema_incompatible as [program.Manifest.ReadNewer] has them, and schema_mismatch for what is not as its own declaration says.")
	w.line("func %s(e *space.Event, has *program.Manifest) (p %s, err error) {", of, name)
	w.line("switch e.Schema {")
	w.line("case space.Schema{}, %s:", schema)
	w.line("return %s(e.Payload)", read)
	for _, one := range cases {
		one()
	}
	for i := range e.Older {
		if o := &e.Older[i]; o.Refused {
			w.line("case %s: // refused", goSchema(program.SchemaOf(e.Name, o.Fields)))
			w.line("has = nil")
		}
	}
	w.line("}")
	w.line("payload, err := has.ReadNewer(e, %s)", own)
	w.line("if err != nil {\nreturn p, err\n}")
	w.line("return %s(payload)", read)
	w.line("}")
}

// lens writes how payloads by the nth older declaration are read.
func (w *goWriter) lens(name, read string, e *program.EventType, n int) {
	o := &e.Older[n]
	members, were := membersOf(e.Fields), membersOf(o.Fields)
	w.line("case %s:", goSchema(program.SchemaOf(e.Name, o.Fields)))
	sources := e.Sources(n)
	if slices.ContainsFunc(sources, func(from program.Source) bool { return from.Place >= 0 }) {
		w.line("older, err := %s(e.Payload)", read)
	} else {
		w.line("_, err = %s(e.Payload)", read)
	}
	for i, from := range sources {
		f := &e.Fields[i]
		pointer := func(optional bool) bool { return optional && f.Kind != tables.Bytes }
		if from.Given != nil {
			w.line("{\nvalue := %s", goValue(f.Kind, from.Given))
			w.line("p.%s = %s", members[i], map[bool]string{true: "&value", false: "value"}[pointer(f.Optional)])
			w.line("}")
		}
		if from.Place < 0 {
			continue
		}
		was, wasOptional := "older."+were[from.Place], o.Fields[from.Place].Optional
		switch {
		case pointer(wasOptional) == pointer(f.Optional) && (!wasOptional || from.Given == nil):
			w.line("p.%s = %s", members[i], was)
		case pointer(wasOptional) == pointer(f.Optional):
			w.line("if %s != nil {\np.%s = %s\n}", was, members[i], was)
		case pointer(wasOptional):
			w.line("if %s != nil {\np.%s = *%s\n}", was, members[i], was)
		default:
			w.line("p.%s = &%s", members[i], was)
		}
	}
	w.line("return p, err")
}

// goField returns a field as Go has it.
func goField(f *program.Field) string {
	text := fmt.Sprintf("{Name: %q, Kind: tables.%s", f.Name, kindNames[f.Kind])
	if f.Optional {
		text += ", Optional: true"
	}
	if f.Default != nil {
		text += fmt.Sprintf(", Default: []byte(%q)", f.Default)
	}
	return text + "}"
}

func goSchema(s space.Schema) string {
	var bytes []string
	for _, b := range s {
		bytes = append(bytes, fmt.Sprintf("%#02x", b))
	}
	return fmt.Sprintf("space.Schema{%s}", strings.Join(bytes, ", "))
}

// goValue returns a value of msgpack as Go has it.
func goValue(kind tables.Kind, value []byte) string {
	r := msgpack.Reader{Rest: value}
	switch kind {
	case tables.Bool:
		return fmt.Sprint(r.Bool())
	case tables.I64:
		return fmt.Sprintf("int64(%d)", r.Int())
	case tables.U64:
		return fmt.Sprintf("uint64(%d)", r.Uint())
	case tables.F64:
		return fmt.Sprintf("math.Float64frombits(%#x)", math.Float64bits(r.Float()))
	case tables.Text:
		return strconv.Quote(r.Text())
	}
	return fmt.Sprintf("[]byte(%s)", strconv.Quote(string(r.Binary())))
}

// membersOf returns what fields are called as members of a struct.
func membersOf(fields []program.Field) []string {
	members := newNames("Append", "Event")
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = members.of(f.Name, "")
	}
	return list
}

// payload writes a struct for what msgpack has as a map by name, Append, and Read, whose name it returns.
func (w *goWriter) payload(name, is, doc string, fields []program.Field) (read string) {
	member := membersOf(fields)
	w.line("")
	w.line("// %s %s. %s", name, is, oneLine(doc))
	w.line("type %s struct {", name)
	for i, f := range fields {
		w.member(member[i], f.Kind, f.Optional, f.Doc)
	}
	w.line("}")

	w.line("")
	w.line("// Append appends the payload to b, as msgpack.")
	w.line("func (p *%s) Append(b []byte) []byte {", name)
	w.line("n := %d", len(fields))
	for i, f := range fields {
		if f.Optional {
			w.line("if p.%s == nil {\nn--\n}", member[i])
		}
	}
	w.line("b = msgpack.AppendMap(b, n)")
	for i, f := range fields {
		value := "p." + member[i]
		if f.Optional {
			w.line("if %s != nil {", value)
			if f.Kind != tables.Bytes {
				value = "*" + value
			}
		}
		w.line("b = msgpack.Append%s(msgpack.AppendString(b, %q), %s)", appended[f.Kind], f.Name, value)
		if f.Optional {
			w.line("}")
		}
	}
	w.line("return b")
	w.line("}")

	read = w.names.of("Read"+name, "")
	w.line("")
	w.line("// %s reads what [%s.Append] writes. Names that are not known are passed over, and no bytes are a payload that says nothing.", read, name)
	w.line("func %s(payload []byte) (p %s, err error) {", read, name)
	w.line("if len(payload) == 0 {\npayload = msgpack.AppendMap(nil, 0)\n}")
	w.line("r := msgpack.Reader{Rest: payload}")
	if wanted := slices.ContainsFunc(fields, func(f program.Field) bool { return !f.Optional }); wanted {
		w.line("var here [%d]bool", len(fields))
	}
	w.line("for range r.Map() {")
	w.line("switch r.Text() {")
	for i, f := range fields {
		w.line("case %q:", f.Name)
		switch {
		case f.Default != nil:
			w.line("if !r.IsNil() {")
			if f.Kind == tables.Bytes {
				w.line("p.%s, here[%d] = append([]byte{}, r.Binary()...), true", member[i], i)
			} else {
				w.line("p.%s, here[%d] = r.%s(), true", member[i], i, readBy[f.Kind])
			}
			w.line("}")
		case f.Optional:
			w.line("if !r.IsNil() {")
			if f.Kind == tables.Bytes {
				w.line("p.%s = append([]byte{}, r.Binary()...)", member[i])
			} else {
				w.line("value := r.%s()", readBy[f.Kind])
				w.line("p.%s = &value", member[i])
			}
			w.line("}")
		case f.Kind == tables.Bytes:
			w.line("p.%s, here[%d] = append([]byte{}, r.Binary()...), true", member[i], i)
		default:
			w.line("p.%s, here[%d] = r.%s(), true", member[i], i, readBy[f.Kind])
		}
	}
	w.line("default:\nr.Skip(1)\n}\n}")
	w.line("if r.Err == nil && len(r.Rest) > 0 {\nr.Fail()\n}")
	w.line("if r.Err != nil {")
	w.line("return p, wire.Errorf(wire.CodeSchemaMismatch, %q, r.Err)", strings.ToLower(name)+": %v")
	w.line("}")
	var wanted []string
	for i, f := range fields {
		if !f.Optional && f.Default == nil {
			wanted = append(wanted, fmt.Sprintf("%d: %q", i, f.Name))
		}
	}
	for i, f := range fields {
		if f.Default != nil {
			w.line("if !here[%d] {\np.%s = %s\n}", i, member[i], goValue(f.Kind, f.Default))
		}
	}
	if len(wanted) > 0 {
		w.line("for i, name := range []string{%s} {", strings.Join(wanted, ", "))
		w.line("if name != %q && !here[i] {", "")
		w.line("return p, wire.Errorf(wire.CodeSchemaMismatch, %q, name)", strings.ToLower(name)+": field %s is missing")
		w.line("}\n}")
	}
	w.line("return p, nil")
	w.line("}")
	return read
}

func (w *goWriter) row(name string, t *tables.Schema) {
	members := newNames()
	var columns, places []string
	w.line("")
	w.line("// %s is a row of table %q.", name, t.Name)
	w.line("type %s struct {", name)
	for i := range t.Columns {
		c := &t.Columns[i]
		member := members.of(c.Name, "")
		w.member(member, c.Kind, c.Optional, "")
		columns, places = append(columns, fmt.Sprintf("%q", c.Name)), append(places, "&p."+member)
	}
	w.line("}")
	read := w.names.of("Read"+name, "")
	list := firstSmall(name) + "Columns"
	w.line("")
	w.line("var %s = []string{%s}", list, strings.Join(columns, ", "))
	w.line("")
	w.line("// %s reads a row that a query found, by the schema that came with it. It fails where that is another table's.", read)
	w.line("func %s(schema *tables.Schema, row string) (p %s, err error) {", read, name)
	w.line("err = schema.Scan([]byte(row), %s, %s)", list, strings.Join(places, ", "))
	w.line("return p, err")
	w.line("}")
}

// member writes a field of a struct. What can be absent is nil then.
func (w *goWriter) member(name string, kind tables.Kind, optional bool, doc string) {
	if doc != "" {
		w.line("// %s", oneLine(doc))
	}
	pointer := ""
	if optional && kind != tables.Bytes {
		pointer = "*"
	}
	comment := ""
	if optional {
		comment = " // nil: absent"
	}
	w.line("%s %s%s%s", name, pointer, goTypes[kind], comment)
}

// What each kind is in Go and in package tables, and by which functions of package msgpack it is written and read.
var (
	goTypes   = [...]string{tables.Bool: "bool", tables.I64: "int64", tables.U64: "uint64", tables.F64: "float64", tables.Text: "string", tables.Bytes: "[]byte"}
	appended  = [...]string{tables.Bool: "Bool", tables.I64: "Int", tables.U64: "Uint", tables.F64: "Float", tables.Text: "String", tables.Bytes: "Binary"}
	kindNames = [...]string{tables.Bool: "Bool", tables.I64: "I64", tables.U64: "U64", tables.F64: "F64", tables.Text: "Text", tables.Bytes: "Bytes"}
	readBy    = [...]string{tables.Bool: "Bool", tables.I64: "Int", tables.U64: "Uint", tables.F64: "Float", tables.Text: "Text", tables.Bytes: "Binary"}
)
