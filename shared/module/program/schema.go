package program

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// MaxOlder is how many earlier declarations an event type may list.
const MaxOlder = 64

// Older is an earlier declaration of an event type, and the lens by which payloads that were written by it are read.
type Older struct {
	Fields []Field
	Rename []Renamed
	Drop   []string // names of fields that are read no more
	Given  []Given  // values of fields that it lacks, or may

	// Refused has payloads of it taken no more, nor read: nothing says what they would mean now. Such a declaration has no lens.
	Refused bool
}

// Renamed is a field of an earlier declaration that has another name now.
type Renamed struct{ From, To string }

// Given is the value that a field gets where a payload has none, as msgpack.
type Given struct {
	Name  string
	Value []byte
}

// schemaDomain begins what the schema of a declaration is the digest of.
const schemaDomain = "skerry.schema.1"

// How a field may be absent, as declarations are hashed.
const (
	required = iota
	optional
	defaulted
)

// SchemaOf returns the schema of an event type: the start of the digest over [AppendDeclaration].
func SchemaOf(name string, fields []Field) space.Schema {
	d := digest.Of(AppendDeclaration(nil, name, fields))
	return space.Schema(d[:space.SchemaSize])
}

// AppendDeclaration appends what decides how payloads of an event type are written and read, in the one form that ABI.md says.
func AppendDeclaration(b []byte, name string, fields []Field) []byte {
	b = appendBytes(append(b, schemaDomain...), name)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(fields)))
	for i := range fields {
		f := &fields[i]
		need := byte(required)
		if f.Optional {
			need = optional
		} else if f.Default != nil {
			need = defaulted
		}
		b = append(appendBytes(b, f.Name), byte(f.Kind), need)
		if need == defaulted {
			b, _ = appendField(b, &Field{Kind: f.Kind}, f.Default)
		}
	}
	return b
}

// reader reads payloads that were written by one declaration, as the fields of the current one.
type reader struct {
	schema  space.Schema
	fields  []Field // of the declaration
	refused bool
	from    []origin // of each current field; nil for the current declaration itself
}

// origin is where the value of a field comes from: of the older declaration's field at place, if that is not -1 and the payload has it;
// else what is given, if that is not nil.
type origin struct {
	place int
	given []byte
}

// readers returns what reads payloads of an event type: by the current declaration, which is the first, and by older ones.
func (e *EventType) readers() ([]reader, error) {
	all := []reader{{schema: SchemaOf(e.Name, e.Fields), fields: e.Fields}}
	for i := range e.Older {
		o := &e.Older[i]
		r := reader{schema: SchemaOf(e.Name, o.Fields), fields: o.Fields, refused: o.Refused}
		err := checkFields(o.Fields)
		if err == nil && find(all, r.schema) != nil {
			err = errors.New("there is another one like it")
		}
		if err == nil {
			var ok bool
			if r.from, ok = o.lens(e.Fields); !ok {
				err = errors.New(why(o, e.Fields))
			}
		}
		if err != nil {
			return nil, fmt.Errorf("an older declaration, %x: %w", r.schema, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// Schemas returns of each event type in the manifest the schemas of its declarations, the current one first.
func (p *Program) Schemas() (all [][]space.Schema) {
	for _, readers := range p.readers {
		var schemas []space.Schema
		for i := range readers {
			schemas = append(schemas, readers[i].schema)
		}
		all = append(all, schemas)
	}
	return all
}

// find returns what reads payloads of a schema, nil if there is nothing.
func find(all []reader, schema space.Schema) *reader {
	for i := range all {
		if all[i].schema == schema {
			return &all[i]
		}
	}
	return nil
}

// placeOf returns where a field is, or -1.
func placeOf(fields []Field, name string) int {
	for i := range fields {
		if fields[i].Name == name {
			return i
		}
	}
	return -1
}

// lens returns where the values of the current fields come from, or false if something is left to be guessed: each field of the older declaration
// is read or dropped, once, and each current one that may not be absent has a value. Natively why says what is wrong.
func (o *Older) lens(fields []Field) ([]origin, bool) {
	if o.Refused {
		return nil, len(o.Rename)+len(o.Drop)+len(o.Given) == 0
	}
	from := make([]origin, len(fields))
	used := make([]uint8, len(o.Fields))
	given := 0
	for i := range fields {
		f, origin := &fields[i], &from[i]
		origin.place, origin.given = placeOf(o.Fields, o.source(f.Name)), f.Default
		for k := range o.Given {
			if g := &o.Given[k]; g.Name == f.Name && isValue(f.Kind, g.Value) {
				origin.given = g.Value
				given++
			}
		}
		sure := f.Optional || origin.given != nil
		if origin.place >= 0 {
			was := &o.Fields[origin.place]
			used[origin.place]++
			if was.Kind != f.Kind {
				return nil, false
			}
			sure = sure || !was.Optional
		}
		if !sure {
			return nil, false
		}
	}
	for i := range o.Rename {
		if placeOf(o.Fields, o.Rename[i].From) < 0 {
			return nil, false
		}
	}
	for _, name := range o.Drop {
		place := placeOf(o.Fields, name)
		if place < 0 {
			return nil, false
		}
		used[place]++
	}
	for _, times := range used {
		if times != 1 {
			return nil, false
		}
	}
	return from, given == len(o.Given)
}

// source returns the name of the older field from which a current one is read, empty for none.
func (o *Older) source(name string) string {
	for i := range o.Rename {
		if o.Rename[i].To == name {
			return o.Rename[i].From
		}
	}
	for i := range o.Rename {
		if o.Rename[i].From == name {
			return ""
		}
	}
	if slices.Contains(o.Drop, name) {
		return ""
	}
	return name
}

// Source is where a current field's value comes from in payloads by an older declaration: its field at Place, if that is not -1 and the payload has it, else
// Given, which is msgpack, or nil.
type Source struct {
	Place int
	Given []byte
}

// Sources returns where the current fields come from by the nth older declaration; nil if that has no lens, or none that can be.
func (e *EventType) Sources(n int) (all []Source) {
	from, _ := e.Older[n].lens(e.Fields)
	for _, o := range from {
		all = append(all, Source{o.place, o.given})
	}
	return all
}

// isValue reports whether some bytes are msgpack of one value of a kind.
func isValue(kind tables.Kind, value []byte) bool {
	_, ok := appendField(nil, &Field{Kind: kind}, value)
	return ok
}

// appendPayload appends the payload of a record whose type the manifest declares at a place, in the current fields. Of ABI 1 every payload is
// read by the current declaration, and from ABI 2 on by the one that the record's schema names.
func (p *Program) appendPayload(b []byte, place int, record *space.Record) ([]byte, module.Verdict) {
	readers := p.readers[place]
	by := &readers[0]
	stamped := p.Manifest.ABI >= ABISchemas && record.Schema != space.Schema{}
	if stamped {
		by = find(readers, record.Schema)
	}
	code := wire.CodeBadPayload
	var wrong error
	switch {
	case by == nil || by.refused:
		if code = wire.CodeSchemaUnknown; by != nil {
			code = wire.CodeSchemaMismatch
		}
		wrong = &fieldError{"schema", hex.EncodeToString(readers[0].schema[:]), hex.EncodeToString(record.Schema[:])}
	default:
		if b, wrong = appendRead(b, p.Manifest.Events[place].Fields, by.fields, by.from, record.Payload); wrong == nil {
			return b, module.Verdict{}
		}
	}
	reason := record.Type + ": " + wrong.Error()
	if of, ok := wrong.(*fieldError); ok && stamped {
		if code == wire.CodeBadPayload {
			code = wire.CodeSchemaMismatch
		}
		reason = "{type: " + record.Type + ", field: " + of.field + ", want: " + of.want + ", got: " + of.got + "}"
	}
	return nil, module.Verdict{Code: code, Reason: reason}
}

// fieldError says which field of a payload is not what was declared.
type fieldError struct{ field, want, got string }

func (e *fieldError) Error() string {
	if e.got == nothing {
		return "field " + e.field + " is missing"
	}
	return "field " + e.field + " is no " + e.want
}

const nothing = "nothing"

// kindOf says what msgpack has, for people.
func kindOf(value []byte) string {
	if len(value) == 0 {
		return nothing
	}
	for kind := tables.Bool; kind <= tables.Bytes; kind++ {
		if isValue(kind, value) {
			return kind.String()
		}
	}
	if isAbsent(value) {
		return "nil"
	}
	return "something else"
}
