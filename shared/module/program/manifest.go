package program

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"skerry/shared/module"
	"skerry/shared/module/meter"
	"skerry/shared/msgpack"
	"skerry/shared/semver"
	"skerry/shared/tables"
)

// ManifestSection is the name of the custom section that has a module's manifest.
const ManifestSection = "skerry.manifest"

// Limits on manifests. What is at a limit passes, one more is refused.
const (
	MaxManifest   = 64 << 10 // bytes
	MaxEventTypes = 256
	MaxFields     = 64 // of an event type, or of the params
	MaxIO         = 1 << 20
	MinIO         = 4 << 10
	DefaultIO     = 64 << 10
	maxTypeName   = 128 // bytes of an event's type
)

// Field is one field of an event's payload or of a space's params.
type Field struct {
	Name     string
	Kind     tables.Kind
	Optional bool
	Default  []byte // what the module gets where there is none, as msgpack; nil: there has to be one. From ABI 2 on
	Doc      string
}

// EventType says what the payload of events of one type is.
type EventType struct {
	Name   string
	Fields []Field
	Doc    string

	// From ABI 2 on: Removed has nobody write it any more, while what is in logs is still read; Older are earlier declarations whose payloads are
	// read, too.
	Removed bool
	Older   []Older
}

// Strategies of an upgrade to a module.
const (
	Carry  = "carry"  // tables of unchanged shape stay
	Replay = "replay" // tables are made anew from the whole log
)

// Manifest is what a module says of itself, readable without running it.
type Manifest struct {
	Name    string
	Version string // semver 2.0
	ABI     uint32
	IO      uint32 // bytes of the region through which calls get and give bytes
	Doc     string

	Events []EventType
	// Raw allows events of types that are not declared; the module gets their payloads as bytes.
	Raw bool
	// Params are the fields of a space's params; nil where the module gets them as bytes.
	Params []Field
	Tables []tables.Schema
	// Readable names the tables on which it depends who may read; Audience the one whose rows are who may.
	Readable []string
	Audience string
	Upgrade  string
}

// Event returns the place of an event type, or -1.
func (m *Manifest) Event(name string) int {
	return slices.IndexFunc(m.Events, func(e EventType) bool { return e.Name == name })
}

// Table returns the place of a table, or -1.
func (m *Manifest) Table(name string) int {
	return slices.IndexFunc(m.Tables, func(s tables.Schema) bool { return s.Name == name })
}

// Append appends the manifest to b as [ReadManifest] reads it: msgpack, a map by name.
func (m *Manifest) Append(b []byte) []byte {
	w := mapWriter{}
	w.text("name", m.Name)
	w.text("version", m.Version)
	w.uint("abi", uint64(m.ABI))
	w.uint("io", uint64(m.IO))
	w.text("doc", m.Doc)
	w.list("events", len(m.Events), func(i int, e *mapWriter) {
		e.text("name", m.Events[i].Name)
		e.text("doc", m.Events[i].Doc)
		e.fields("fields", m.Events[i].Fields)
		e.bool("removed", m.Events[i].Removed)
		e.older(m.Events[i].Older)
	})
	w.bool("raw", m.Raw)
	if m.Params != nil {
		w.fields("params", m.Params)
	}
	w.list("tables", len(m.Tables), func(i int, t *mapWriter) {
		s := &m.Tables[i]
		names := func(places []int) []string {
			list := make([]string, len(places))
			for i, place := range places {
				list[i] = s.Columns[place].Name
			}
			return list
		}
		t.text("name", s.Name)
		t.list("columns", len(s.Columns), func(i int, c *mapWriter) {
			c.text("name", s.Columns[i].Name)
			c.text("type", s.Columns[i].Kind.String())
			c.bool("optional", s.Columns[i].Optional)
		})
		t.texts("key", names(s.Key))
		t.list("indexes", len(s.Indexes), func(i int, x *mapWriter) {
			x.text("name", s.Indexes[i].Name)
			x.texts("columns", names(s.Indexes[i].Columns))
			x.bool("unique", s.Indexes[i].Unique)
		})
		t.text("declared_by", s.DeclaredBy)
	})
	w.texts("readable", m.Readable)
	w.text("audience", m.Audience)
	w.text("upgrade", m.Upgrade)
	return w.append(b)
}

// AppendSection appends the manifest to a module's bytes, as a custom section.
func (m *Manifest) AppendSection(bytes []byte) []byte {
	return meter.AppendCustom(bytes, ManifestSection, m.Append(nil))
}

// ReadManifest reads a manifest and checks it. Names that it does not know it passes over; one that comes twice, a
// value of another kind than the name calls for, and everything over a limit are refused.
func ReadManifest(b []byte) (*Manifest, error) {
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("the manifest has %d bytes, at most %d", len(b), MaxManifest)
	}
	m := &Manifest{IO: DefaultIO}
	r := &mapReader{Reader: msgpack.Reader{Rest: b}, schemas: abiOf(b) >= ABISchemas}
	r.each("the manifest", func(name string) {
		switch name {
		case "name":
			m.Name = r.Text()
		case "version":
			m.Version = r.Text()
		case "abi":
			m.ABI = r.Uint32()
		case "io":
			m.IO = r.Uint32()
		case "doc":
			m.Doc = r.Text()
		case "events":
			r.list("events", MaxEventTypes, func() { m.Events = append(m.Events, r.eventType()) })
		case "raw":
			m.Raw = r.Bool()
		case "params":
			if m.Params = r.fields("params"); m.Params == nil {
				m.Params = []Field{}
			}
		case "tables":
			r.list("tables", tables.MaxTables, func() { m.Tables = append(m.Tables, r.schema()) })
		case "readable":
			m.Readable = r.texts("readable", tables.MaxTables)
		case "audience":
			m.Audience = r.Text()
		case "upgrade":
			m.Upgrade = r.Text()
		default:
			r.Skip(1)
		}
	})
	if r.Err == nil && len(r.Rest) > 0 {
		r.Fail()
	}
	if r.failure != nil {
		return nil, r.failure
	}
	if r.Err != nil {
		return nil, fmt.Errorf("the manifest is not the msgpack that it should be%s", r.where())
	}
	return m, m.check()
}

// check says what is wrong with a manifest that could be read.
func (m *Manifest) check() error {
	if m.ABI < ABI || m.ABI > ABISchemas {
		return fmt.Errorf("the manifest wants ABI %d, and there are %d to %d", m.ABI, ABI, ABISchemas)
	}
	if m.Name == "" || len(m.Name) > tables.MaxName {
		return fmt.Errorf("the manifest's name is 1 to %d bytes, not %q", tables.MaxName, m.Name)
	}
	if _, err := semver.Parse(m.Version); err != nil {
		return fmt.Errorf("the manifest's version: %w", err)
	}
	if m.IO < MinIO || m.IO > MaxIO {
		return fmt.Errorf("the manifest's io is %d bytes, from %d to %d", m.IO, MinIO, MaxIO)
	}
	if m.Upgrade != "" && m.Upgrade != Carry && m.Upgrade != Replay {
		return fmt.Errorf("the manifest's upgrade is %q, and can be %q or %q", m.Upgrade, Carry, Replay)
	}
	seen := map[string]bool{}
	for _, e := range m.Events {
		if e.Name == "" || len(e.Name) > maxTypeName || e.Name[0] == '$' && !module.Told(e.Name) {
			return fmt.Errorf("an event type is 1 to %d bytes and does not begin with $, not %q", maxTypeName, e.Name)
		}
		if seen[e.Name] {
			return fmt.Errorf("two event types are called %s", e.Name)
		}
		seen[e.Name] = true
		if err := checkFields(e.Fields); err != nil {
			return fmt.Errorf("event type %s: %w", e.Name, err)
		}
		if e.Removed && e.Name[0] == '$' {
			return fmt.Errorf("event type %s is the server's, and cannot be removed", e.Name)
		}
		if _, err := e.readers(); err != nil {
			return fmt.Errorf("event type %s: %w", e.Name, err)
		}
	}
	if err := checkFields(m.Params); err != nil {
		return fmt.Errorf("params: %w", err)
	}
	if _, err := tables.New(m.Tables); err != nil {
		return err
	}
	if err := tables.CheckDeclared(m.Tables); err != nil {
		return err
	}
	for _, name := range append(slices.Clone(m.Readable), m.Audience) {
		if name != "" && m.Table(name) < 0 {
			return fmt.Errorf("who may read depends on table %s, which is not declared", name)
		}
	}
	return nil
}

func checkFields(fields []Field) error {
	seen := map[string]bool{}
	for _, f := range fields {
		switch {
		case f.Name == "" || len(f.Name) > tables.MaxName || !utf8.ValidString(f.Name):
			return fmt.Errorf("a field's name is 1 to %d bytes of UTF-8, not %q", tables.MaxName, f.Name)
		case seen[f.Name]:
			return fmt.Errorf("two fields are called %s", f.Name)
		case f.Kind < tables.Bool || f.Kind > tables.Bytes:
			return fmt.Errorf("field %s: kind %d is unknown", f.Name, f.Kind)
		case f.Default != nil && (f.Optional || !isValue(f.Kind, f.Default)):
			return fmt.Errorf("field %s has a default that is no %s, or it is optional: it is one of the two", f.Name, f.Kind)
		}
		seen[f.Name] = true
	}
	return nil
}

// mapWriter gathers a map whose values are not empty.
type mapWriter struct {
	n     int
	bytes []byte
}

func (w *mapWriter) key(name string) {
	w.n++
	w.bytes = msgpack.AppendString(w.bytes, name)
}

func (w *mapWriter) text(name, value string) {
	if value != "" {
		w.key(name)
		w.bytes = msgpack.AppendString(w.bytes, value)
	}
}

func (w *mapWriter) uint(name string, value uint64) {
	if value != 0 {
		w.key(name)
		w.bytes = msgpack.AppendUint(w.bytes, value)
	}
}

func (w *mapWriter) bool(name string, value bool) {
	if value {
		w.key(name)
		w.bytes = msgpack.AppendBool(w.bytes, value)
	}
}

func (w *mapWriter) texts(name string, values []string) {
	if len(values) > 0 {
		w.key(name)
		w.bytes = msgpack.AppendArray(w.bytes, len(values))
		for _, value := range values {
			w.bytes = msgpack.AppendString(w.bytes, value)
		}
	}
}

func (w *mapWriter) list(name string, n int, f func(i int, element *mapWriter)) {
	if n == 0 {
		return
	}
	w.key(name)
	w.bytes = msgpack.AppendArray(w.bytes, n)
	for i := range n {
		element := mapWriter{}
		f(i, &element)
		w.bytes = element.append(w.bytes)
	}
}

func (w *mapWriter) fields(name string, fields []Field) {
	if len(fields) == 0 {
		w.key(name)
		w.bytes = msgpack.AppendArray(w.bytes, 0)
	}
	w.list(name, len(fields), func(i int, f *mapWriter) {
		f.text("name", fields[i].Name)
		f.text("type", fields[i].Kind.String())
		f.bool("optional", fields[i].Optional)
		f.value("default", fields[i].Default)
		f.text("doc", fields[i].Doc)
	})
}

// value writes msgpack as it is.
func (w *mapWriter) value(name string, value []byte) {
	if value != nil {
		w.key(name)
		w.bytes = append(w.bytes, value...)
	}
}

func (w *mapWriter) older(older []Older) {
	w.list("older", len(older), func(i int, o *mapWriter) {
		o.fields("fields", older[i].Fields)
		if n := len(older[i].Rename); n > 0 {
			o.key("rename")
			o.bytes = msgpack.AppendMap(o.bytes, n)
			for _, r := range older[i].Rename {
				o.bytes = msgpack.AppendString(msgpack.AppendString(o.bytes, r.From), r.To)
			}
		}
		o.texts("drop", older[i].Drop)
		if n := len(older[i].Given); n > 0 {
			o.key("default")
			o.bytes = msgpack.AppendMap(o.bytes, n)
			for _, g := range older[i].Given {
				o.bytes = append(msgpack.AppendString(o.bytes, g.Name), g.Value...)
			}
		}
		o.bool("refused", older[i].Refused)
	})
}

func (w *mapWriter) append(b []byte) []byte {
	return append(msgpack.AppendMap(b, w.n), w.bytes...)
}

// mapReader reads maps by name. What it finds wrong beside the encoding is failure; path is where it reads.
type mapReader struct {
	msgpack.Reader
	schemas bool // of an ABI that has what schemas need
	failure error
	path    []string
}

func (r *mapReader) where() string {
	text := ""
	for _, name := range r.path {
		text += ", in " + name
	}
	return text
}

func (r *mapReader) failf(format string, args ...any) {
	if r.failure == nil {
		r.failure = fmt.Errorf(format, args...)
	}
	r.Fail()
}

// each calls f with each key of a map; f reads the value.
func (r *mapReader) each(what string, f func(name string)) {
	seen := map[string]bool{}
	for range r.Map() {
		name := r.Text()
		if r.Err != nil {
			return
		}
		if seen[name] {
			r.failf("%s has %q twice", what, name)
			return
		}
		seen[name] = true
		r.path = append(r.path, name)
		if f(name); r.Err != nil {
			return // path stays for the message
		}
		r.path = r.path[:len(r.path)-1]
	}
}

// list reads an array of at most so many elements, each by a call of element.
func (r *mapReader) list(what string, most int, element func()) {
	n := r.Array()
	if n > most {
		r.failf("%d %s are more than %d", n, what, most)
	}
	for i := 0; i < n && r.Err == nil; i++ {
		element()
	}
}

func (r *mapReader) texts(what string, most int) (all []string) {
	r.list(what, most, func() { all = append(all, r.Text()) })
	return all
}

func (r *mapReader) kind() tables.Kind {
	name := r.Text()
	kind := tables.ParseKind(name)
	if kind == 0 && r.Err == nil {
		r.failf("there is no type %q%s", name, r.where())
	}
	return kind
}

func (r *mapReader) fields(what string) (all []Field) {
	r.list(what, MaxFields, func() { all = append(all, r.field()) })
	return all
}

func (r *mapReader) field() (f Field) {
	r.each("a field", func(name string) {
		switch name {
		case "name":
			f.Name = r.Text()
		case "type":
			f.Kind = r.kind()
		case "optional":
			f.Optional = r.Bool()
		case "doc":
			f.Doc = r.Text()
		case "default":
			if value := r.value(); r.schemas {
				f.Default = value
			}
		default:
			r.Skip(1)
		}
	})
	return f
}

// value passes over a value and returns its bytes.
func (r *mapReader) value() []byte {
	rest := r.Rest
	r.Skip(1)
	return slices.Clone(rest[:len(rest)-len(r.Rest)])
}

// older reads an earlier declaration.
func (r *mapReader) older() (o Older) {
	r.each("an older declaration", func(name string) {
		switch name {
		case "fields":
			o.Fields = r.fields("fields")
		case "rename":
			r.each("rename", func(from string) { o.Rename = append(o.Rename, Renamed{from, r.Text()}) })
		case "drop":
			o.Drop = r.texts("names", MaxFields)
		case "default":
			r.each("default", func(name string) { o.Given = append(o.Given, Given{name, r.value()}) })
		case "refused":
			o.Refused = r.Bool()
		default:
			r.Skip(1)
		}
	})
	return o
}

// abiOf returns which ABI a manifest is of, 0 if it does not say.
func abiOf(b []byte) (abi uint32) {
	r := &mapReader{Reader: msgpack.Reader{Rest: b}}
	for range r.Map() {
		if r.Text() == "abi" {
			return r.Uint32()
		}
		r.Skip(1)
	}
	return 0
}

func (r *mapReader) eventType() (e EventType) {
	r.each("an event type", func(name string) {
		switch name {
		case "name":
			e.Name = r.Text()
		case "doc":
			e.Doc = r.Text()
		case "fields":
			e.Fields = r.fields("fields")
		case "removed", "older":
			switch {
			case !r.schemas:
				r.Skip(1)
			case name == "removed":
				e.Removed = r.Bool()
			default:
				r.list("older declarations", MaxOlder, func() { e.Older = append(e.Older, r.older()) })
			}
		default:
			r.Skip(1)
		}
	})
	return e
}

// schema reads a table. Its columns may come behind what names them.
func (r *mapReader) schema() (s tables.Schema) {
	var key []string
	var columns [][]string
	r.each("a table", func(name string) {
		switch name {
		case "name":
			s.Name = r.Text()
		case "columns":
			r.list("columns", tables.MaxColumns, func() {
				f := r.field()
				s.Columns = append(s.Columns, tables.Column{Name: f.Name, Kind: f.Kind, Optional: f.Optional})
			})
		case "key":
			key = r.texts("columns of a key", tables.MaxColumns)
		case "declared_by":
			s.DeclaredBy = r.Text()
		case "indexes":
			r.list("indexes", tables.MaxIndexes, func() {
				var x tables.Index
				var names []string
				r.each("an index", func(name string) {
					switch name {
					case "name":
						x.Name = r.Text()
					case "columns":
						names = r.texts("columns of an index", tables.MaxColumns)
					case "unique":
						x.Unique = r.Bool()
					default:
						r.Skip(1)
					}
				})
				columns = append(columns, names)
				s.Indexes = append(s.Indexes, x)
			})
		default:
			r.Skip(1)
		}
	})
	s.Key = r.places(&s, key)
	for i := range s.Indexes {
		s.Indexes[i].Columns = r.places(&s, columns[i])
	}
	return s
}

// places returns where columns are.
func (r *mapReader) places(s *tables.Schema, names []string) []int {
	var places []int
	for _, name := range names {
		place := slices.IndexFunc(s.Columns, func(c tables.Column) bool { return c.Name == name })
		if place < 0 && r.Err == nil {
			r.failf("table %s: there is no column %s", s.Name, name)
		}
		places = append(places, place)
	}
	return places
}
