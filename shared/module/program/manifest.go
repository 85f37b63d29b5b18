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
	Doc      string
}

// EventType says what the payload of events of one type is.
type EventType struct {
	Name   string
	Fields []Field
	Doc    string
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
	r := &mapReader{Reader: msgpack.Reader{Rest: b}}
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
			m.Events = list(r, "events", MaxEventTypes, r.eventType)
		case "raw":
			m.Raw = r.Bool()
		case "params":
			if m.Params = r.fields("params"); m.Params == nil {
				m.Params = []Field{}
			}
		case "tables":
			m.Tables = list(r, "tables", tables.MaxTables, r.schema)
		case "readable":
			m.Readable = list(r, "readable", tables.MaxTables, r.Text)
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
	if m.ABI != ABI {
		return fmt.Errorf("the manifest wants ABI %d, and there is %d", m.ABI, ABI)
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
		f.text("doc", fields[i].Doc)
	})
}

func (w *mapWriter) append(b []byte) []byte {
	return append(msgpack.AppendMap(b, w.n), w.bytes...)
}

// mapReader reads maps by name. What it finds wrong beside the encoding is failure; path is where it reads.
type mapReader struct {
	msgpack.Reader
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

// list reads an array of at most so many elements.
func list[T any](r *mapReader, what string, most int, element func() T) []T {
	n := r.Array()
	if n > most {
		r.failf("%d %s are more than %d", n, what, most)
		return nil
	}
	var all []T
	for range n {
		if r.Err != nil {
			return nil
		}
		all = append(all, element())
	}
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

func (r *mapReader) fields(what string) []Field { return list(r, what, MaxFields, r.field) }

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
		default:
			r.Skip(1)
		}
	})
	return f
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
			s.Columns = list(r, "columns", tables.MaxColumns, func() tables.Column {
				f := r.field()
				return tables.Column{Name: f.Name, Kind: f.Kind, Optional: f.Optional}
			})
		case "key":
			key = list(r, "columns of a key", tables.MaxColumns, r.Text)
		case "declared_by":
			s.DeclaredBy = r.Text()
		case "indexes":
			s.Indexes = list(r, "indexes", tables.MaxIndexes, func() (x tables.Index) {
				var names []string
				r.each("an index", func(name string) {
					switch name {
					case "name":
						x.Name = r.Text()
					case "columns":
						names = list(r, "columns of an index", tables.MaxColumns, r.Text)
					case "unique":
						x.Unique = r.Bool()
					default:
						r.Skip(1)
					}
				})
				columns = append(columns, names)
				return x
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
