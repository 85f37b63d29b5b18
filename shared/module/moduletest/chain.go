package moduletest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
)

// Chain is versions of a module that keeps what it gets, each made of the one before by a change or two at random, with lenses for all before it. It knows what
// every field means in each of them, so that what is read can be held to what was meant.
type Chain struct {
	*rand.Rand
	Versions [][]MeantType
	Modules  [][]byte
	Forgets  bool // has authors leave out some earlier declarations, and refuse others
	meanings int
	meant    map[string]string // what the fields of a declaration mean, by its type and schema
}

// Meant is a field with what it means: one that is renamed means the same, and one of the same name may mean something else.
type Meant struct {
	program.Field
	Meaning int
}

// MeantType is an event type of one version.
type MeantType struct {
	Name    string
	Fields  []Meant
	Removed bool
}

// Said is what an event was meant to say: numbers by meaning, as [Literal] has them.
type Said struct {
	Type    string
	Version int // that it was written by
	Values  map[int]int
}

// NewChain returns a chain with its first version.
func NewChain(r *rand.Rand) *Chain {
	c := &Chain{Rand: r, meant: map[string]string{}}
	c.Next()
	return c
}

// Declared returns the fields as a manifest has them.
func (t *MeantType) Declared() (fields []program.Field) {
	for _, f := range t.Fields {
		fields = append(fields, f.Field)
	}
	return fields
}

// Schema returns what events of the type say that they were written by.
func (t *MeantType) Schema() space.Schema { return program.SchemaOf(t.Name, t.Declared()) }

// Literal returns a value as msgpack, and as rows have it.
func Literal(kind tables.Kind, n int) (packed, row []byte) {
	switch kind {
	case tables.Text:
		text := fmt.Sprint("text ", n)
		return msgpack.AppendString(nil, text), append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)
	case tables.U64:
		return msgpack.AppendUint(nil, uint64(n)), binary.LittleEndian.AppendUint64(nil, uint64(n))
	default:
		return msgpack.AppendBool(nil, n%2 == 0), []byte{byte((n + 1) % 2)}
	}
}

var someKinds = []tables.Kind{tables.Text, tables.U64, tables.Bool}

func (c *Chain) field() Meant {
	f := Meant{Field: program.Field{Name: fmt.Sprint("f", c.meanings), Kind: someKinds[c.IntN(3)]}}
	c.anew(&f)
	return f
}

// anew has a field mean something that none meant.
func (c *Chain) anew(f *Meant) {
	c.meanings++
	f.Meaning = c.meanings
	c.needed(&f.Field)
}

// needed makes a field required, optional, or one with a default that is its own.
func (c *Chain) needed(f *program.Field) {
	f.Optional, f.Default = false, nil
	switch c.IntN(3) {
	case 0:
		f.Optional = true
	case 1:
		c.meanings++
		f.Default, _ = Literal(f.Kind, 1000+c.meanings)
	}
}

// Next makes another version.
func (c *Chain) Next() {
	var types []MeantType
	if len(c.Versions) == 0 {
		types = []MeantType{{Name: "note", Fields: []Meant{c.field(), c.field()}}, {Name: "tag", Fields: []Meant{c.field()}}, {Name: "last"}}
	} else {
		for _, t := range c.Versions[len(c.Versions)-1] {
			t.Fields = slices.Clone(t.Fields)
			types = append(types, t)
		}
		for range 1 + c.IntN(2) {
			t := &types[c.IntN(len(types))]
			before := MeantType{t.Name, slices.Clone(t.Fields), t.Removed}
			if c.change(t); c.ambiguous(t) {
				*t = before
			}
		}
		if c.IntN(4) == 0 {
			types = append(types, MeantType{Name: fmt.Sprint("type", len(c.Versions)), Fields: []Meant{c.field()}})
		}
	}
	for i := range types {
		c.ambiguous(&types[i])
	}
	c.Versions = append(c.Versions, types)
	upgrade := program.Carry
	if c.IntN(3) == 0 {
		upgrade = program.Replay
	}
	c.Modules = append(c.Modules, Kept(fmt.Sprintf("%d.0.0", len(c.Versions)), c.manifest(), func(m *program.Manifest) { m.Upgrade = upgrade }))
}

// ambiguous reports whether there was a declaration just like a type's that meant something else, or two fields of a name: no author can say that. Else it is known from
// now on.
func (c *Chain) ambiguous(t *MeantType) bool {
	names, means := map[string]bool{}, ""
	for _, f := range t.Fields {
		names[f.Name] = true
		means += fmt.Sprint(f.Meaning, " ")
	}
	key := t.Name + string(program.AppendDeclaration(nil, t.Name, t.Declared()))
	if before, ok := c.meant[key]; len(names) < len(t.Fields) || ok && before != means {
		return true
	}
	c.meant[key] = means
	return false
}

func (c *Chain) change(t *MeantType) {
	n := len(t.Fields)
	if n == 0 {
		t.Fields = append(t.Fields, c.field())
		return
	}
	at := c.IntN(n)
	f := &t.Fields[at]
	switch what := c.IntN(15); {
	case what < 4:
		t.Fields = slices.Insert(t.Fields, c.IntN(n+1), c.field())
	case what < 6:
		t.Fields = slices.Delete(t.Fields, at, at+1)
	case what < 7:
		c.meanings++
		f.Name = fmt.Sprint("renamed", c.meanings)
	case what < 8: // to what another one was called, in this type or another
		f.Name = fmt.Sprint("f", c.IntN(c.meanings))
	case what < 9:
		other := &t.Fields[c.IntN(n)]
		f.Name, other.Name = other.Name, f.Name
	case what < 11: // something else under the same name, of the same kind or another
		f.Kind = someKinds[c.IntN(3)]
		c.anew(f)
	case what < 12:
		c.needed(&f.Field)
	case what < 13:
		c.Shuffle(n, func(i, k int) { t.Fields[i], t.Fields[k] = t.Fields[k], t.Fields[i] })
	case t.Name != "last":
		t.Removed = true
	}
}

// given is what a field gets by the lens of a version where the payload has none.
func given(f *Meant, version int) (packed, row []byte) {
	if f.Default != nil {
		for n := 0; ; n++ {
			if packed, row = Literal(f.Kind, 1000+n); string(packed) == string(f.Default) {
				return packed, row
			}
		}
	}
	return Literal(f.Kind, 5000+version)
}

// manifest returns the event types of the newest version.
func (c *Chain) manifest() (events []program.EventType) {
	version := len(c.Versions) - 1
	for i := range c.Versions[version] {
		is := &c.Versions[version][i]
		e := program.EventType{Name: is.Name, Fields: is.Declared(), Removed: is.Removed}
		known := map[space.Schema]bool{is.Schema(): true}
		for before := version - 1; before >= 0; before-- {
			if was := c.TypeOf(before, is.Name); was != nil && !known[was.Schema()] {
				known[was.Schema()] = true
				switch {
				case c.Forgets && c.IntN(4) == 0:
				case c.Forgets && c.IntN(4) == 0:
					e.Older = append(e.Older, program.Older{Fields: was.Declared(), Refused: true})
				default:
					e.Older = append(e.Older, lensOf(was, is, version))
				}
			}
		}
		events = append(events, e)
	}
	return events
}

// place returns where a type has the field of a meaning, or -1.
func (t *MeantType) place(meaning int) int {
	return slices.IndexFunc(t.Fields, func(f Meant) bool { return f.Meaning == meaning })
}

func lensOf(was, is *MeantType, version int) program.Older {
	o := program.Older{Fields: was.Declared()}
	for _, f := range was.Fields {
		at := is.place(f.Meaning)
		switch {
		case at < 0:
			o.Drop = append(o.Drop, f.Name)
		case is.Fields[at].Name != f.Name:
			o.Rename = append(o.Rename, program.Renamed{From: f.Name, To: is.Fields[at].Name})
		}
	}
	for i := range is.Fields {
		f := &is.Fields[i]
		at := was.place(f.Meaning)
		if !f.Optional && f.Default == nil && (at < 0 || was.Fields[at].Optional) {
			packed, _ := given(f, version)
			o.Given = append(o.Given, program.Given{Name: f.Name, Value: packed})
		}
	}
	return o
}

// Write makes an event as generated code of a version does. The fields that may be absent are there half the time.
func (c *Chain) Write(version int) (space.Event, Said) {
	types := c.Versions[version]
	t := &types[c.IntN(len(types))]
	for t.Removed { // nobody's code writes it
		t = &types[c.IntN(len(types))]
	}
	return c.WriteOf(version, t)
}

// WriteOf is Write of one type.
func (c *Chain) WriteOf(version int, t *MeantType) (space.Event, Said) {
	s := Said{t.Name, version, map[int]int{}}
	n, packed := 0, []byte(nil)
	for i := range t.Fields {
		f := &t.Fields[i]
		if (f.Optional || f.Default != nil) && c.IntN(2) == 0 {
			continue
		}
		n++
		s.Values[f.Meaning] = c.IntN(1000)
		value, _ := Literal(f.Kind, s.Values[f.Meaning])
		packed = append(msgpack.AppendString(packed, f.Name), value...)
	}
	return space.Event{Type: t.Name, Schema: t.Schema(), Payload: append(msgpack.AppendMap(nil, n), packed...)}, s
}

// TypeOf returns an event type of a version, or nil.
func (c *Chain) TypeOf(version int, name string) *MeantType {
	for i := range c.Versions[version] {
		if t := &c.Versions[version][i]; t.Name == name {
			return t
		}
	}
	return nil
}

// Row is what a module of a version has to get of what was said.
func (c *Chain) Row(s *Said, version int) string {
	var b []byte
	is, was := c.TypeOf(version, s.Type), c.TypeOf(s.Version, s.Type)
	same := is.Schema() == was.Schema()
	for i := range is.Fields {
		f := &is.Fields[i]
		n, there := s.Values[f.Meaning]
		_, row := Literal(f.Kind, n)
		at := was.place(f.Meaning)
		if !there && at >= 0 && was.Fields[at].Default != nil { // which its author's declaration said
			_, row = given(&was.Fields[at], 0)
			there = true
		}
		if !there && (!f.Optional || !same && f.Default != nil) {
			_, row = given(f, version)
			there = true
		}
		switch {
		case f.Optional && !there:
			b = append(b, 0)
		case f.Optional:
			b = append(append(b, 1), row...)
		default:
			b = append(b, row...)
		}
	}
	return string(b)
}

// Replays reports whether a version makes its tables anew.
func (c *Chain) Replays(version int) bool {
	p, err := program.Load(c.Modules[version])
	return err == nil && p.Manifest.Upgrade == program.Replay
}
