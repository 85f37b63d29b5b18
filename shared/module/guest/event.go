package guest

import (
	"errors"
	"reflect"
	"unsafe"

	"skerry/shared/semver"
)

// Event is what is known of an event beside its payload.
type Event struct {
	Type          string
	ID            [16]byte
	Index, Count  uint32  // its place in its transaction, and how many there are
	Author        string  // who wrote it
	ClientVersion Version // of the app that wrote it

	// Authorize alone sees what the author claims to be, which is nothing in this version.
	Claims []byte
	// Apply alone sees where the event is in the log, and when the server got it, in milliseconds since 1970.
	Seq, ReceivedAt uint64
}

// EventType declares events of one type, and what is done with them. Payload is a struct whose fields are those of the
// payload; the host refuses whatever has others before the module sees it.
type EventType[Payload any] struct {
	Name string
	Doc  string
	// Authorize allows an event by returning, and refuses it by [Fail]. It may read tables.
	Authorize func(*Event, Payload)
	// Apply does what an event means: it writes to tables. Nil: it means nothing.
	Apply func(*Event, Payload)

	// Removed has nobody write such events any more (type_removed), so that there is nothing to Authorize; those in the log are applied still.
	Removed bool
	// Older are earlier declarations whose payloads are still taken. What is in no declaration waits, as schema_unknown, until there is one.
	Older []Older
}

// Older is an earlier declaration of an event type, and the lens by which what was written by it is read. Each field of it is one of Payload's, by its name or
// renamed, or dropped; each that Payload has beside has a default, or is optional. What is left to be guessed `skerry module build` refuses.
type Older struct {
	Was     any               // a value of the struct that Payload was, of which only the type counts
	Rename  map[string]string // names of columns then, and now
	Drop    []string
	Default map[string]any // values of columns that there were not, or not always: bool, int, int64, uint64, float64, string, []byte
	Refused bool           // payloads of it are neither taken nor read any more (schema_mismatch); it has no lens
}

// Anyone is an Authorize that allows every event to everyone.
func Anyone[Payload any](*Event, Payload) {}

// AnyEventType is an [EventType] of any payload.
type AnyEventType interface {
	declare() (declaredEvent, error)
}

// declaredEvent is an event type without its type.
type declaredEvent struct {
	name, doc        string
	fields           shape
	removed          bool
	older            []Older
	authorize, apply func(e *Event, payload *input)
}

func (t EventType[Payload]) declare() (declaredEvent, error) {
	d := declaredEvent{name: t.Name, doc: t.Doc, removed: t.Removed, older: t.Older}
	var err error
	if d.fields, err = shapeOf(reflect.TypeFor[Payload]()); err != nil {
		return d, errors.New("event type " + t.Name + ": " + err.Error())
	}
	for _, o := range t.Older {
		if _, err := olderShape(o.Was); err != nil {
			return d, errors.New("event type " + t.Name + ", an older declaration: " + err.Error())
		}
		for name, value := range o.Default {
			if appendValue(nil, value) == nil {
				return d, errors.New("event type " + t.Name + ", an older declaration: the default of " + name + " is of no type that a column has")
			}
		}
	}
	if t.Removed && t.Authorize == nil {
		t.Authorize = Anyone[Payload] // is not asked
	}
	if t.Authorize == nil {
		return d, errors.New("event type " + t.Name + " has no Authorize; Anyone allows all")
	}
	call := func(f func(*Event, Payload)) func(*Event, *input) {
		return func(e *Event, payload *input) {
			var p Payload
			d.fields.read(payload, unsafe.Pointer(&p))
			f(e, p)
		}
	}
	d.authorize, d.apply = call(t.Authorize), func(*Event, *input) {}
	if t.Apply != nil {
		d.apply = call(t.Apply)
	}
	return d, nil
}

// OtherTypes takes the events whose type is not declared, of which the host knows nothing: their payload is bytes.
type OtherTypes struct {
	Authorize func(e *Event, payload Undeclared)
	Apply     func(e *Event, payload Undeclared) // nil: they mean nothing
}

// Undeclared is the payload of an event whose type is not declared, and what its author says that it is.
type Undeclared struct {
	Schema  [8]byte
	Payload []byte
}

// Space is what a space is made from.
type Space struct {
	Creator string
	Stamp   [16]byte
}

// Init begins a space: it is called once, before the first event. Params is a struct whose fields are those of the
// params, or []byte for params that are not declared. Init refuses by [Fail].
type Init[Params any] func(s *Space, params Params)

// Migrate takes over what cannot be carried from the module before; ABI.md says when it is called. It refuses by [Fail].
type Migrate[Params any] func(m *Migration, params Params)

// Migration is some rows of a table that the module before had. The last call has an empty Table and no Rows.
type Migration struct {
	Space
	Version string // of the module before
	Table   string
	Rows    [][]byte // which [ReadRow] reads
}

// ReadRow reads a row as it lies in a table whose columns are the fields of Row.
func ReadRow[Row any](row []byte) (r Row) {
	s, err := shapeOf(reflect.TypeFor[Row]())
	if err != nil {
		panic("guest: " + err.Error())
	}
	s.read(&input{rest: row}, unsafe.Pointer(&r))
	return r
}

// AnyInit is an [Init] with any params, and AnyMigrate a [Migrate].
type (
	AnyInit interface {
		init() (shape, func(*input), error)
	}
	AnyMigrate interface {
		migrate() (shape, func(*input), error)
	}
)

// params returns what params are, which is nil where they are not declared, and what reads them.
func params[Params any]() (shape, func(*input) Params, error) {
	if t := reflect.TypeFor[Params](); t == reflect.TypeFor[[]byte]() {
		return nil, func(in *input) Params { return any(in.bytes()).(Params) }, nil
	}
	s, err := shapeOf(reflect.TypeFor[Params]())
	if err != nil {
		err = errors.New("params: " + err.Error())
	}
	return s, func(in *input) (p Params) {
		s.read(in, unsafe.Pointer(&p))
		return p
	}, err
}

func (f Init[Params]) init() (shape, func(*input), error) {
	s, read, err := params[Params]()
	return s, func(in *input) {
		of := in.space()
		f(&of, read(in))
	}, err
}

func (f Migrate[Params]) migrate() (shape, func(*input), error) {
	s, read, err := params[Params]()
	return s, func(in *input) {
		m := &Migration{Space: in.space()}
		given := read(in)
		m.Version, m.Table = in.text(), in.text()
		for range in.u32() {
			m.Rows = append(m.Rows, in.bytes())
		}
		f(m, given)
	}, err
}

// Version is the version of an app as that says it: a semantic version (semver.org, 2.0.0), or any other text.
type Version string

// LessThan reports whether the version comes before another one, by the precedence of semantic versions: 2.4.5-beta before 2.4.5, and 2.4.5
// before 2.4.10; build metadata does not matter. What is no semantic version, as the empty one of an app that gives none, comes before
// every other. LessThan panics, which is the verdict module_trap, if than is none: that is a mistake of the module.
func (v Version) LessThan(than string) bool {
	other, err := semver.Parse(than)
	if err != nil {
		panic("guest: " + err.Error())
	}
	one, err := semver.Parse(string(v))
	return err != nil || one.Compare(other) < 0
}
