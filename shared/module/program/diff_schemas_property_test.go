package program

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"skerry/shared/space"
	"skerry/shared/tables"
)

// TestSoakDiffKeepsItsWordOfSchemas is TestSoakDiffKeepsItsWord for modules whose payloads say what they were written by: with defaults, fields that have another
// name or mean something else, earlier declarations that are listed, forgotten or refused, and types that are removed. The client is generated code, as
// web/src/declared.ts reads with it.
func TestSoakDiffKeepsItsWordOfSchemas(t *testing.T) {
	rng, rounds := drawn(t, 2, 200)
	counts := map[Bump]int{}
	said := map[string]int{}
	for total := 0; total < rounds || len(counts) < int(Major)+1; {
		older := &Manifest{Name: "m", Version: "1.0.0", ABI: ABISchemas, IO: DefaultIO, Raw: rng.IntN(6) == 0}
		for _, name := range []string{"a", "b"} {
			e := EventType{Name: name, Fields: withDefaults(rng, randomFields(rng)), Removed: rng.IntN(8) == 0}
			for range rng.IntN(3) {
				if next, ok := changedType(rng, &e); ok {
					e = next
				}
			}
			older.Events = append(older.Events, e)
		}
		if rng.IntN(5) == 0 {
			older.ABI = ABI
			for i := range older.Events {
				e := &older.Events[i]
				e.Older, e.Removed, e.Fields = nil, false, randomFields(rng)
			}
		}
		newer := changedTypes(rng, older)
		if older.check() != nil || newer == nil {
			continue
		}
		all := Compare(older, newer)
		bump := LeastBump(all)
		counts[bump]++
		total++
		for _, d := range all {
			said[fmt.Sprint(d.Bump, " ", kindOfChange(d.Change))]++
		}
		p := &Program{Manifest: newer}
		for i := range newer.Events {
			readers, err := newer.Events[i].readers()
			if err != nil {
				t.Fatal(err)
			}
			p.readers = append(p.readers, readers)
		}
		broken := ""
		for try := 0; try < 100 && broken == ""; try++ {
			broken = breaksEvents(rng, older, p)
		}
		if bump < Major && broken != "" {
			t.Fatalf("called %v, and it breaks: %s\n%+v\n%+v\n%+v", bump, broken, all, older, newer)
		}
		if bump == Major && broken == "" {
			t.Fatalf("called major, and nothing breaks\n%+v\n%+v\n%+v", all, older, newer)
		}
	}
	t.Logf("tried %v: %v", counts, said)
}

// kindOfChange returns how a difference is told, without what it is told of.
func kindOfChange(change string) string {
	switch word, rest, _ := strings.Cut(change, " "); {
	case word == "schema":
		return rest[17:]
	case word == "was":
		return "another type"
	case strings.HasPrefix(rest, "called "):
		return "another name"
	}
	return change
}

// withDefaults gives some fields a default.
func withDefaults(rng *rand.Rand, fields []Field) []Field {
	for i := range fields {
		if f := &fields[i]; !f.Optional && rng.IntN(3) == 0 {
			f.Default = valueOf(f.Kind)
		}
	}
	return fields
}

// changedType makes a change or two of an event type's declaration, and lists those before with lenses that say what their fields are now. It returns false if
// what comes of it is no declaration, or one that there was with another meaning.
func changedType(rng *rand.Rand, of *EventType) (EventType, bool) {
	e := EventType{Name: of.Name, Removed: of.Removed, Fields: slices.Clone(of.Fields)}
	from := make([]int, len(e.Fields)) // which field of the one before each is; -1: none
	for i := range from {
		from[i] = i
	}
	fresh := func(name string) Field { return withDefaults(rng, []Field{randomField(rng, name)})[0] }
	for range 1 + rng.IntN(2) {
		n := len(e.Fields)
		if n == 0 || rng.IntN(6) == 0 {
			at := rng.IntN(n + 1)
			e.Fields, from = slices.Insert(e.Fields, at, fresh([]string{"d", "e", "f"}[rng.IntN(3)])), slices.Insert(from, at, -1)
			continue
		}
		switch at := rng.IntN(n); rng.IntN(6) {
		case 0:
			e.Fields, from = slices.Delete(e.Fields, at, at+1), slices.Delete(from, at, at+1)
		case 1:
			e.Fields[at].Name = []string{"d", "e", "f"}[rng.IntN(3)]
		case 2: // the same meaning, needed otherwise
			e.Fields[at].Optional, e.Fields[at].Default = rng.IntN(3) == 0, nil
			withDefaults(rng, e.Fields[at:at+1])
		case 3: // another meaning under the same name
			e.Fields[at], from[at] = fresh(e.Fields[at].Name), -1
		case 4:
			other := rng.IntN(n)
			e.Fields[at].Name, e.Fields[other].Name = e.Fields[other].Name, e.Fields[at].Name
		case 5:
			other := rng.IntN(n)
			e.Fields[at], e.Fields[other] = e.Fields[other], e.Fields[at]
			from[at], from[other] = from[other], from[at]
		}
	}
	if checkFields(e.Fields) != nil {
		return e, false
	}
	schema := SchemaOf(e.Name, e.Fields)
	if schema == SchemaOf(of.Name, of.Fields) {
		e.Older = of.Older
		return e, slices.IsSorted(from) && len(from) == len(of.Fields) && !slices.Contains(from, -1)
	}
	list := func(fields []Field, now func(field int) int, refused bool) {
		if o := lensTo(e.Fields, fields, now); refused {
			e.Older = append(e.Older, Older{Fields: fields, Refused: true})
		} else {
			e.Older = append(e.Older, o)
		}
	}
	place := func(before int) int { return slices.Index(from, before) }
	if rng.IntN(5) > 0 {
		list(of.Fields, place, rng.IntN(6) == 0)
	}
	for i := range of.Older {
		o := &of.Older[i]
		if rng.IntN(8) == 0 {
			continue
		}
		sources := of.Sources(i)
		list(o.Fields, func(field int) int {
			before := slices.IndexFunc(sources, func(s Source) bool { return s.Place == field })
			if before < 0 {
				return -1
			}
			return place(before)
		}, o.Refused || rng.IntN(8) == 0)
	}
	_, err := e.readers()
	return e, err == nil
}

// lensTo returns an earlier declaration with a lens: now says which field each of its fields is now, -1 for none.
func lensTo(fields, was []Field, now func(field int) int) Older {
	o := Older{Fields: was}
	sure := make([]bool, len(fields))
	for i, f := range was {
		switch at := now(i); {
		case at < 0:
			o.Drop = append(o.Drop, f.Name)
		default:
			sure[at] = !f.Optional
			if fields[at].Name != f.Name {
				o.Rename = append(o.Rename, Renamed{f.Name, fields[at].Name})
			}
		}
	}
	for i, f := range fields {
		if !sure[i] && !f.Optional && f.Default == nil {
			o.Given = append(o.Given, Given{f.Name, valueOf(f.Kind)})
		}
	}
	return o
}

// changedTypes changes the event types of a manifest, or nothing. Nil: what comes of it is no manifest.
func changedTypes(rng *rand.Rand, of *Manifest) *Manifest {
	m := *of
	m.ABI, m.Events = ABISchemas, slices.Clone(of.Events)
	for range rng.IntN(3) {
		if len(m.Events) == 0 {
			break
		}
		e := &m.Events[rng.IntN(len(m.Events))]
		switch rng.IntN(8) {
		case 0:
			e.Removed = !e.Removed
		case 1:
			if rng.IntN(2) == 0 {
				m.Events = slices.DeleteFunc(m.Events, func(other EventType) bool { return other.Name == e.Name })
			}
		case 2:
			if m.Event("c") < 0 {
				m.Events = append(m.Events, EventType{Name: "c", Fields: randomFields(rng)})
			}
		case 3:
			if len(e.Older) > 0 {
				at := rng.IntN(len(e.Older))
				e.Older = slices.Delete(slices.Clone(e.Older), at, at+1)
			}
		default:
			next, ok := changedType(rng, e)
			if !ok {
				return nil
			}
			*e = next
		}
	}
	if m.check() != nil {
		return nil
	}
	return &m
}

// breaksEvents has generated code of an older manifest write and read, and returns what goes wrong.
func breaksEvents(rng *rand.Rand, older *Manifest, p *Program) string {
	newer := p.Manifest
	for i := range older.Events {
		was := &older.Events[i]
		if was.Removed && newer.Event(was.Name) < 0 {
			continue // it does not write it, and nobody does
		}
		if newer.Event(was.Name) < 0 {
			return was.Name + " is not known"
		}
		is := &newer.Events[newer.Event(was.Name)]
		if !was.Removed {
			if is.Removed {
				return was.Name + " is refused"
			}
			sent := randomMap(rng, was.Fields)
			if wrong := arrives(p, was, SchemaOf(was.Name, was.Fields), sent); wrong != "" {
				return wrong
			}
			for k := range was.Older { // code that is older still
				if o := &was.Older[k]; !o.Refused {
					e := &space.Record{Event: space.Event{Type: was.Name, Schema: SchemaOf(was.Name, o.Fields), Payload: randomMap(rng, o.Fields)}}
					if _, v := p.appendPayload(nil, newer.Event(was.Name), e); !v.Allowed() {
						return fmt.Sprintf("%s %x by an older declaration still is refused: %v", was.Name, e.Payload, v)
					}
				}
			}
		}
		if is.Removed {
			continue // nobody writes it, by no declaration
		}
		if field := lacks(was, is); field != "" {
			return was.Name + " is read without " + field
		}
		if schema := SchemaOf(is.Name, is.Fields); schema != SchemaOf(was.Name, was.Fields) {
			if _, err := newer.ReadNewer(&space.Event{Type: is.Name, Schema: schema, Payload: randomMap(rng, is.Fields)}, was.Fields); err != nil {
				return "what newer code writes: " + err.Error()
			}
		}
	}
	if older.Raw && !newer.Raw {
		return "what it sends of types of its own is not taken"
	}
	for i := range newer.Events {
		if older.Raw && older.Event(newer.Events[i].Name) < 0 {
			return newer.Events[i].Name + " has a shape now"
		}
	}
	return ""
}

// namesNow returns what the fields of a declaration are called by a newer event type; "" is one that is read no more. False: it does not know the declaration.
func namesNow(was, is *EventType) (names []string, known bool) {
	schema := SchemaOf(was.Name, was.Fields)
	for i := range is.Older {
		o := &is.Older[i]
		if SchemaOf(is.Name, o.Fields) != schema {
			continue
		}
		for _, f := range was.Fields {
			name := f.Name
			for _, r := range o.Rename {
				if r.From == f.Name {
					name = r.To
				}
			}
			if o.Refused || slices.Contains(o.Drop, f.Name) {
				name = ""
			}
			names = append(names, name)
		}
		return names, true
	}
	for _, f := range was.Fields {
		names = append(names, f.Name)
	}
	return names, schema == SchemaOf(is.Name, is.Fields)
}

// arrives has a newer module read what older code sent, and returns what of it is refused or does not arrive.
func arrives(p *Program, was *EventType, schema space.Schema, sent []byte) string {
	place := p.Manifest.Event(was.Name)
	is := &p.Manifest.Events[place]
	row, v := p.appendPayload(nil, place, &space.Record{Event: space.Event{Type: was.Name, Schema: schema, Payload: sent}})
	if !v.Allowed() {
		return fmt.Sprintf("%s %x is refused: %v %s", was.Name, sent, v.Code, v.Reason)
	}
	values := splitRow(row, is.Fields)
	names, _ := namesNow(was, is)
	for i, f := range was.Fields {
		one := f
		one.Optional, one.Default = true, nil
		gave, err := appendRow(nil, []Field{one}, sent)
		if err != nil {
			return err.Error()
		}
		if f.Default != nil && gave[0] == 0 {
			gave, _ = appendField(nil, &one, f.Default)
		}
		at := placeOf(is.Fields, names[i])
		if gave[0] == 1 && (names[i] == "" || at < 0 || is.Fields[at].Kind != f.Kind || values[at] != string(gave[1:])) {
			return fmt.Sprintf("%s %x: what it says of %s does not arrive", was.Name, sent, f.Name)
		}
	}
	return ""
}

// splitRow returns the values of a row, without the marks of those that may be absent.
func splitRow(row []byte, fields []Field) (values []string) {
	for _, f := range fields {
		absent := false
		if f.Optional {
			absent, row = row[0] == 0, row[1:]
		}
		size := 8
		switch {
		case absent:
			size = 0
		case f.Kind == tables.Bool:
			size = 1
		case f.Kind == tables.Text || f.Kind == tables.Bytes:
			size = 4 + int(row[0]) + int(row[1])<<8
		}
		values, row = append(values, string(row[:size])), row[size:]
	}
	return values
}

// lacks returns a field that code declares that it reads, and that what newer clients write does not have, or not always: reading it is refused then, or told of.
func lacks(was, is *EventType) string {
	if SchemaOf(was.Name, was.Fields) == SchemaOf(is.Name, is.Fields) {
		return ""
	}
	names, known := namesNow(was, is)
	if !known || slices.ContainsFunc(is.Older, func(o Older) bool { return o.Refused && SchemaOf(is.Name, o.Fields) == SchemaOf(was.Name, was.Fields) }) {
		return "knowing what is what"
	}
	for i, f := range was.Fields {
		at := placeOf(is.Fields, names[i])
		if names[i] == "" || at < 0 || is.Fields[at].Kind != f.Kind || !f.Optional && f.Default == nil && is.Fields[at].Optional {
			return f.Name
		}
	}
	return ""
}
