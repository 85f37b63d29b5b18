package main

import (
	"fmt"
	"go/format"
	"slices"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/module/program"
	"skerry/shared/tables"
)

// goSource returns a package of Go: the module's hash, a struct for each event type and each table, and what writes and reads
// them.
func goSource(m *program.Manifest, d digest.Digest, name string) (string, error) {
	w := &goWriter{names: newNames("Hash", "Name", "Version")}
	w.line("// %s", generated(m, d))
	w.line("")
	w.line("// Package %s has the types of module %s. %s", name, oneLine(m.Name), oneLine(m.Doc))
	w.line("package %s", name)
	w.line("")
	w.line("import (")
	if len(m.Events) > 0 || m.Params != nil {
		w.line("%q", "fmt")
		w.line("")
		w.line("%q", "skerry/shared/msgpack")
	}
	if len(m.Events) > 0 {
		w.line("%q", "skerry/shared/space")
	}
	if len(m.Tables) > 0 {
		w.line("%q", "skerry/shared/tables")
	}
	w.line(")")
	w.line("")
	w.line("// The module: the digest of its bytes, in hexadecimal, its name and its version.")
	w.line("const (")
	w.line("Hash = %q", d)
	w.line("Name = %q", m.Name)
	w.line("Version = %q", m.Version)
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

type goWriter struct {
	strings.Builder
	names names
}

func (w *goWriter) line(format string, args ...any) { fmt.Fprintf(&w.Builder, format+"\n", args...) }

func (w *goWriter) event(name string, e *program.EventType) {
	w.payload(name, fmt.Sprintf("is the payload of an event of type %q", e.Name), e.Doc, e.Fields)
	w.line("")
	w.line("// Event returns an event with this payload, without an ID.")
	w.line("func (p *%s) Event() space.Event { return space.Event{Type: %q, Payload: p.Append(nil)} }", name, e.Name)
}

// payload writes a struct for what msgpack has as a map by name, Append, and Read.
func (w *goWriter) payload(name, is, doc string, fields []program.Field) {
	members := newNames("Append", "Event")
	member := make([]string, len(fields))
	w.line("")
	w.line("// %s %s. %s", name, is, oneLine(doc))
	w.line("type %s struct {", name)
	for i, f := range fields {
		member[i] = members.of(f.Name, "")
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

	read := w.names.of("Read"+name, "")
	w.line("")
	w.line("// %s reads what [%s.Append] writes. Names that are not known are passed over.", read, name)
	w.line("func %s(payload []byte) (p %s, err error) {", read, name)
	w.line("r := msgpack.Reader{Rest: payload}")
	if wanted := slices.ContainsFunc(fields, func(f program.Field) bool { return !f.Optional }); wanted {
		w.line("var here [%d]bool", len(fields))
	}
	w.line("for range r.Map() {")
	w.line("switch r.Text() {")
	for i, f := range fields {
		w.line("case %q:", f.Name)
		switch {
		case f.Optional:
			w.line("if r.IsNil() {\nr.Skip(1)\n} else {")
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
	w.line("return p, fmt.Errorf(%q, r.Err)", strings.ToLower(name)+": %w")
	w.line("}")
	var wanted []string
	for i, f := range fields {
		if !f.Optional {
			wanted = append(wanted, fmt.Sprintf("%d: %q", i, f.Name))
		}
	}
	if len(wanted) > 0 {
		w.line("for i, name := range []string{%s} {", strings.Join(wanted, ", "))
		w.line("if name != %q && !here[i] {", "")
		w.line("return p, fmt.Errorf(%q, name)", strings.ToLower(name)+": field %s is missing")
		w.line("}\n}")
	}
	w.line("return p, nil")
	w.line("}")
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

// What each kind is in Go, and by which functions of package msgpack it is written and read.
var (
	goTypes  = [...]string{tables.Bool: "bool", tables.I64: "int64", tables.U64: "uint64", tables.F64: "float64", tables.Text: "string", tables.Bytes: "[]byte"}
	appended = [...]string{tables.Bool: "Bool", tables.I64: "Int", tables.U64: "Uint", tables.F64: "Float", tables.Text: "String", tables.Bytes: "Binary"}
	readBy   = [...]string{tables.Bool: "Bool", tables.I64: "Int", tables.U64: "Uint", tables.F64: "Float", tables.Text: "Text", tables.Bytes: "Binary"}
)
