package main

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"skerry/shared/digest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// typeScript returns a module of TypeScript: the module's hash, and what it is to the compiler.
func typeScript(m *program.Manifest, d digest.Digest) string {
	w := &tsWriter{names: newNames("Uint8Array", "ModuleCode")}
	module := w.names.of(m.Name, "")
	value := firstSmall(module)
	if tsReserved[value] {
		value += "Module"
	}
	w.line("// %s", generated(m, d))
	w.line("import type { ModuleCode } from %q;", "skerry")
	w.line("")
	w.doc("", m.Doc, fmt.Sprintf("A space of it is made by `client.createSpace({ module: %s })` and opened by `client.space(id, %s)`.", value, value))
	w.line("export interface %s {", module)
	var shapes []func()
	if m.Params == nil {
		w.line("  params: unknown;")
	} else {
		name := w.names.of(m.Name, "Params")
		w.line("  params: %s;", name)
		shapes = append(shapes, func() { w.payload(name, "What a space of the module is made with.", m.Params) })
	}
	w.block("  events: {", len(m.Events) == 0 && !m.Raw, func() {
		for _, e := range m.Events {
			if e.Removed {
				continue // it is read still, and nobody writes it
			}
			name := w.names.of(e.Name, "")
			w.line("    %s: %s;", property(e.Name), name)
			shapes = append(shapes, func() { w.payload(name, e.Doc, e.Fields) })
		}
		if m.Raw {
			w.line("    [type: string]: unknown;")
		}
	})
	w.block("  tables: {", len(m.Tables) == 0, func() {
		for i := range m.Tables {
			t := &m.Tables[i]
			row := w.names.of(t.Name, "Row")
			shapes = append(shapes, func() { w.row(row, t) })
			w.table(row, t)
		}
	})
	w.line("}")
	w.line("")
	w.code(module, value, m, d)
	for _, shape := range shapes {
		w.line("")
		shape()
	}
	return w.String()
}

// code writes what is known of the module at run time: declarations with their schemas, and the columns of tables.
func (w *tsWriter) code(module, value string, m *program.Manifest, d digest.Digest) {
	w.line("/** What payloads are held to, and read by. */")
	w.line("export const %s: ModuleCode<%s> = {", value, module)
	w.line("  hash: %q,", d)
	w.line("  name: %s,", quoted(m.Name))
	w.line("  version: %q,", m.Version)
	w.line("  api: %q,", wire.APIHigh)
	w.line("  events: {")
	for i := range m.Events {
		w.declaration(&m.Events[i])
	}
	w.line("  },")
	w.line("  tables: {")
	for i := range m.Tables {
		t := &m.Tables[i]
		var columns, indexes []string
		for _, c := range t.Columns {
			columns = append(columns, tsField(&program.Field{Name: c.Name, Kind: c.Kind, Optional: c.Optional}))
		}
		for _, index := range t.Indexes {
			var names []string
			for _, place := range index.Columns {
				names = append(names, quoted(t.Columns[place].Name))
			}
			indexes = append(indexes, fmt.Sprintf("%s: [%s]", property(index.Name), strings.Join(names, ", ")))
		}
		w.line("    %s: { columns: [%s], indexes: %s },", property(t.Name), strings.Join(columns, ", "), braced(indexes))
	}
	w.line("  },")
	w.line("};")
}

// declaration writes an event type's declarations.
func (w *tsWriter) declaration(e *program.EventType) {
	removed := ""
	if e.Removed {
		removed = ", removed: true"
	}
	head := fmt.Sprintf("    %s: { schema: \"%x\", fields: [%s]%s", property(e.Name), program.SchemaOf(e.Name, e.Fields), tsFields(e.Fields), removed)
	if len(e.Older) == 0 {
		w.line("%s },", head)
		return
	}
	w.line("%s, older: [", head)
	for i := range e.Older {
		o := &e.Older[i]
		from := ""
		if !o.Refused {
			var sources []string
			for _, s := range e.Sources(i) {
				source := fmt.Sprint("[", s.Place, "]")
				if s.Given != nil {
					source = fmt.Sprintf("[%d, %s]", s.Place, tsValue(e.Fields[len(sources)].Kind, s.Given))
				}
				sources = append(sources, source)
			}
			from = fmt.Sprintf(", from: [%s]", strings.Join(sources, ", "))
		}
		w.line("      { schema: \"%x\", fields: [%s]%s },", program.SchemaOf(e.Name, o.Fields), tsFields(o.Fields), from)
	}
	w.line("    ] },")
}

func braced(members []string) string {
	if len(members) == 0 {
		return "{}"
	}
	return "{ " + strings.Join(members, ", ") + " }"
}

func tsFields(fields []program.Field) string {
	var all []string
	for i := range fields {
		all = append(all, tsField(&fields[i]))
	}
	return strings.Join(all, ", ")
}

func tsField(f *program.Field) string {
	switch {
	case f.Optional:
		return fmt.Sprintf("[%s, %d, 1]", quoted(f.Name), f.Kind)
	case f.Default != nil:
		return fmt.Sprintf("[%s, %d, 2, %s]", quoted(f.Name), f.Kind, tsValue(f.Kind, f.Default))
	}
	return fmt.Sprintf("[%s, %d, 0]", quoted(f.Name), f.Kind)
}

const mostExact = 1<<53 - 1 // whole numbers up to it are numbers in JavaScript

func tsWhole(large bool, n any) string {
	if large {
		return fmt.Sprint(n, "n")
	}
	return fmt.Sprint(n)
}

// tsValue returns a value of msgpack as JavaScript has it.
func tsValue(kind tables.Kind, value []byte) string {
	r := msgpack.Reader{Rest: value}
	switch kind {
	case tables.Bool:
		return fmt.Sprint(r.Bool())
	case tables.I64:
		n := r.Int()
		return tsWhole(n > mostExact || n < -mostExact, n)
	case tables.U64:
		n := r.Uint()
		return tsWhole(n > mostExact, n)
	case tables.F64:
		f := r.Float()
		switch {
		case math.IsNaN(f):
			return "NaN"
		case math.IsInf(f, 0):
			return strings.TrimPrefix(fmt.Sprintf("%+finity", f), "+")
		}
		return strconv.FormatFloat(f, 'g', -1, 64)
	case tables.Text:
		return quoted(r.Text())
	}
	var bytes []string
	for _, b := range r.Binary() {
		bytes = append(bytes, fmt.Sprint(b))
	}
	return fmt.Sprintf("new Uint8Array([%s])", strings.Join(bytes, ", "))
}

type tsWriter struct {
	strings.Builder
	names names
}

func (w *tsWriter) line(format string, args ...any) { fmt.Fprintf(&w.Builder, format+"\n", args...) }

// block writes what is between braces, of which the first is at the end of a line.
func (w *tsWriter) block(first string, empty bool, content func()) {
	if empty {
		w.line("%s};", first)
		return
	}
	w.line("%s", first)
	content()
	w.line("%s};", first[:len(first)-len(strings.TrimLeft(first, " "))])
}

func (w *tsWriter) table(row string, t *tables.Schema) {
	w.block(fmt.Sprintf("    %s: {", property(t.Name)), false, func() {
		w.line("      row: %s;", row)
		w.line("      key: %s;", tuple(t, t.Key))
		w.block("      indexes: {", len(t.Indexes) == 0, func() {
			for _, index := range t.Indexes {
				w.line("        %s: %s;", property(index.Name), tuple(t, index.Columns))
			}
		})
	})
}

// doc writes what is not empty of some texts as a comment.
func (w *tsWriter) doc(indent string, texts ...string) {
	var lines []string
	for _, text := range texts {
		if text != "" {
			lines = append(lines, strings.ReplaceAll(oneLine(text), "*/", "* /"))
		}
	}
	if len(lines) > 0 {
		w.line("%s/** %s */", indent, strings.Join(lines, " "))
	}
}

// payload writes what is written: fields that are optional can be left out.
func (w *tsWriter) payload(name, doc string, fields []program.Field) {
	w.doc("", doc)
	w.line("export interface %s {", name)
	for _, f := range fields {
		optional, absent := "", ""
		if f.Optional || f.Default != nil {
			optional, absent = "?", " | undefined"
		}
		w.doc("  ", f.Doc)
		w.line("  %s%s: %s%s;", property(f.Name), optional, tsType(f.Kind), absent)
	}
	w.line("}")
}

// row writes what is read.
func (w *tsWriter) row(name string, t *tables.Schema) {
	w.doc("", fmt.Sprintf("A row of table %s.", t.Name))
	w.line("export interface %s {", name)
	for i := range t.Columns {
		w.line("  readonly %s: %s;", property(t.Columns[i].Name), tsColumn(&t.Columns[i]))
	}
	w.line("}")
}

// tuple returns the types of some of a table's columns, labelled where the label can be one.
func tuple(t *tables.Schema, places []int) string {
	labels := true
	for _, place := range places {
		name := t.Columns[place].Name
		labels = labels && tsIdentifier.MatchString(name) && !tsReserved[name]
	}
	var parts []string
	for _, place := range places {
		part := tsColumn(&t.Columns[place])
		if labels {
			part = t.Columns[place].Name + ": " + part
		}
		parts = append(parts, part)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func tsColumn(c *tables.Column) string {
	if c.Optional {
		return tsType(c.Kind) + " | undefined"
	}
	return tsType(c.Kind)
}

func tsType(kind tables.Kind) string {
	switch kind {
	case tables.Bool:
		return "boolean"
	case tables.I64, tables.U64:
		return "number | bigint"
	case tables.F64:
		return "number"
	case tables.Text:
		return "string"
	}
	return "Uint8Array"
}

var tsIdentifier = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// property returns a name as that of a property.
func property(name string) string {
	if tsIdentifier.MatchString(name) {
		return name
	}
	return quoted(name)
}

// quoted returns a text as JavaScript has it.
func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string can be written
	}
	return string(b)
}

// tsReserved are the words that cannot be names, and begin with a small letter.
var tsReserved = func() map[string]bool {
	words := map[string]bool{}
	for _, word := range strings.FieldsFunc("arguments await break case catch class const continue debugger default delete do else enum eval export extends false finally for "+
		"function if implements import in instanceof interface let new null package private protected public return static super switch this throw true try typeof var void while with yield", unicode.IsSpace) {
		words[word] = true
	}
	return words
}()
