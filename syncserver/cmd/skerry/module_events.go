package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"skerry/shared/module/program"
	"skerry/shared/msgpack"
)

// eventView is an event type as a manifest declares it.
type eventView struct {
	shapeView
	Schema  string      `json:"schema"`
	Removed bool        `json:"removed,omitempty"`
	Older   []olderView `json:"older,omitempty"`
}

// olderView is an earlier declaration of an event type, and how its payloads are read.
type olderView struct {
	Schema  string                     `json:"schema"`
	Fields  []fieldView                `json:"fields"`
	Rename  map[string]string          `json:"rename,omitempty"`
	Drop    []string                   `json:"drop,omitempty"`
	Default map[string]json.RawMessage `json:"default,omitempty"`
	Refused bool                       `json:"refused,omitempty"`
}

func viewOfFields(fields []program.Field) []fieldView {
	list := []fieldView{}
	for _, f := range fields {
		v := fieldView{Name: f.Name, Type: f.Kind.String(), Optional: f.Optional, Doc: f.Doc}
		if f.Default != nil {
			v.Default = valueView(f.Default)
		}
		list = append(list, v)
	}
	return list
}

// valueView is the value of a field as payloadView has it in a payload.
func valueView(value []byte) json.RawMessage {
	r := msgpack.Reader{Rest: value}
	if content := r.Binary(); r.Err == nil {
		return json.RawMessage(fmt.Sprintf(`{"$hex":"%x"}`, content))
	}
	return payloadView(value)
}

func schemaText(name string, fields []program.Field) string {
	schema := program.SchemaOf(name, fields)
	return hex.EncodeToString(schema[:])
}

func viewOfEvent(e *program.EventType) eventView {
	v := eventView{shapeView: shapeView{e.Name, e.Doc, viewOfFields(e.Fields)}, Schema: schemaText(e.Name, e.Fields), Removed: e.Removed}
	for i := range e.Older {
		o := &e.Older[i]
		older := olderView{Schema: schemaText(e.Name, o.Fields), Fields: viewOfFields(o.Fields), Drop: o.Drop, Refused: o.Refused}
		for _, r := range o.Rename {
			if older.Rename == nil {
				older.Rename = map[string]string{}
			}
			older.Rename[r.From] = r.To
		}
		for _, g := range o.Given {
			if older.Default == nil {
				older.Default = map[string]json.RawMessage{}
			}
			older.Default[g.Name] = valueView(g.Value)
		}
		v.Older = append(v.Older, older)
	}
	return v
}

// fieldsText returns fields for people: what may be absent with a question mark, and defaults.
func fieldsText(list []fieldView) string {
	var parts []string
	for _, f := range list {
		optional := ""
		if f.Optional {
			optional = "?"
		}
		if f.Default != nil {
			optional = " = " + string(f.Default)
		}
		parts = append(parts, fmt.Sprintf("%s %s%s", f.Name, f.Type, optional))
	}
	return strings.Join(parts, ", ")
}

// text returns the lines of an event type.
func (e *eventView) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nevent    %s(%s)\n         schema %s", e.Name, fieldsText(e.Fields), e.Schema)
	if e.Removed {
		b.WriteString(", removed")
	}
	for _, o := range e.Older {
		fmt.Fprintf(&b, "\n         older  %s (%s)%s", o.Schema, fieldsText(o.Fields), o.lens())
	}
	return b.String()
}

// lens returns how payloads of an older declaration are read, in the order of its fields.
func (o *olderView) lens() string {
	if o.Refused {
		return ", refused"
	}
	var b strings.Builder
	for _, f := range o.Fields {
		if to := o.Rename[f.Name]; to != "" {
			fmt.Fprintf(&b, ", %s is called %s", f.Name, to)
		}
	}
	for _, name := range o.Drop {
		fmt.Fprintf(&b, ", %s is dropped", name)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Default)) {
		fmt.Fprintf(&b, ", %s is %s", name, o.Default[name])
	}
	return b.String()
}
