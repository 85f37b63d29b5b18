package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"skerry/shared/digest"
	"skerry/shared/module/program"
	"skerry/shared/tables"
)

// typeScript returns a module of TypeScript: the module's hash, and what it is to the compiler.
func typeScript(m *program.Manifest, d digest.Digest) string {
	w := &tsWriter{names: newNames("Uint8Array")}
	module := w.names.of(m.Name, "")
	value := firstSmall(module)
	if tsReserved[value] {
		value += "Module"
	}
	w.line("// %s", generated(m, d))
	w.line("")
	w.doc("", m.Doc, fmt.Sprintf("A space of it is made by `client.createSpace<%s>({ module: %s.hash })` and opened by `client.space<%s>(id)`.", module, value, module))
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
	w.line("export const %s = { hash: %q, name: %s, version: %q } as const;", value, d, quoted(m.Name), m.Version)
	for _, shape := range shapes {
		w.line("")
		shape()
	}
	return w.String()
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
		if f.Optional {
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
