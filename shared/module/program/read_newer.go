package program

import (
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// ReadNewer returns the payload of an event, which was written by a declaration that generated code does not know, as the fields which that code declares: a map by
// their names, as msgpack. The module that the space has now has to know both declarations, and its lenses say which fields of the two are the same; without one, nil,
// nothing is known. Only where the module itself goes by the names of fields, being of ABI 1, they say so here.
//
// Its errors are a [*wire.CodeError]: schema_unknown where the module does not list one of the declarations, or refuses it; schema_incompatible for a field that has
// to be there and is in what was written no more, or may be and nobody knows; schema_mismatch for a payload that is not what its own declaration says. Nothing is guessed.
func (m *Manifest) ReadNewer(e *space.Event, fields []Field) ([]byte, error) {
	schema := SchemaOf(e.Type, fields)
	var newer, own []string // what the module calls the fields now
	var written []Field
	if at := m.place(e.Type); at >= 0 {
		of := &m.Events[at]
		written, newer = of.declaration(e.Schema, m.ABI)
		if _, own = of.declaration(schema, m.ABI); own == nil && m.ABI < ABISchemas {
			own = namesOf(fields)
		}
	}
	if newer == nil || own == nil {
		return nil, wire.Errorf(wire.CodeSchemaUnknown, "%s: this code is of schema %x, and knows nothing of %x", e.Type, schema, e.Schema)
	}
	from := make([]int, len(fields)) // which of what was written each field is, -1 for none
	for i := range fields {
		f, lost := &fields[i], false
		from[i] = -1
		for k := range written {
			if written[k].Kind == f.Kind && newer[k] == own[i] {
				from[i], lost = k, own[i] == "" // a field that is read no more and one that is not either may be the same
			}
		}
		if lost || !f.Optional && f.Default == nil && (from[i] < 0 || written[from[i]].Optional) {
			return nil, wire.Errorf(wire.CodeSchemaIncompatible, "%s: field %s is not in what was written by schema %x", e.Type, f.Name, e.Schema)
		}
	}
	if _, err := appendRow(nil, written, e.Payload); err != nil {
		return nil, wire.Errorf(wire.CodeSchemaMismatch, "%s: %v", e.Type, err)
	}
	values := make([][]byte, len(written))
	r := msgpack.Reader{Rest: e.Payload}
	for range r.Map() {
		at, value := placeOf(written, r.Text()), r.Rest
		if r.Skip(1); at >= 0 {
			values[at] = value[:len(value)-len(r.Rest)]
		}
	}
	n, b := 0, []byte(nil)
	for i, k := range from {
		if k < 0 {
			continue
		}
		value := values[k]
		if isAbsent(value) {
			value = written[k].Default
		}
		if value != nil {
			n++
			b = append(msgpack.AppendString(b, fields[i].Name), value...)
		}
	}
	return append(msgpack.AppendMap(nil, n), b...), nil
}

// place is [Manifest.Event], of a manifest that may be nil.
func (m *Manifest) place(name string) int {
	if m == nil {
		return -1
	}
	return m.Event(name)
}

// declaration returns the fields of the declaration with a schema, and what they are called now: empty for one that is read no more. Nil: it is not listed, or refused.
func (e *EventType) declaration(schema space.Schema, abi uint32) (fields []Field, names []string) {
	if SchemaOf(e.Name, e.Fields) == schema {
		return e.Fields, namesOf(e.Fields)
	}
	if abi < ABISchemas {
		return nil, nil
	}
	for i := range e.Older {
		if fields = e.Older[i].Fields; SchemaOf(e.Name, fields) == schema {
			return fields, e.namesNow(schema)
		}
	}
	return nil, nil
}

func namesOf(fields []Field) []string {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].Name
	}
	return names
}
