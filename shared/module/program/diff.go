package program

import (
	"fmt"
	"slices"
	"strings"

	"skerry/shared/semver"
	"skerry/shared/tables"
)

// Bump says how much a version rises from one module to the next, as semver has it.
type Bump int

// What a change of a module is for clients whose reads and writes are those of the older manifest.
const (
	None  Bump = iota // they cannot tell
	Patch             // they go on as they are, and what is new is for them too
	Minor             // they go on as they are, and know nothing of what is new
	Major             // something that they write is refused, or something that they read is not what they take it for
)

var bumpNames = [...]string{"none", "patch", "minor", "major"}

// String returns the bump's name: none, patch, minor or major.
func (b Bump) String() string { return bumpNames[b] }

// Difference is one change of what a module declares.
type Difference struct {
	Bump    Bump
	Subject string // what is changed, as "event note.added, field text"
	Change  string // what became of it, as "removed" or "was text, is u64"
	Effect  string // what a client of the older manifest sees of it
}

// Compare returns what the manifest of a newer module declares otherwise than that of an older one, in the order of the older one, with what
// is new behind. What a module does with the same shapes no manifest says: whether that is another meaning its author knows.
func Compare(older, newer *Manifest) []Difference {
	d := differences{}
	d.events(older, newer)
	for i := range newer.Events {
		if e := &newer.Events[i]; older.Event(e.Name) < 0 {
			if older.Raw {
				d.add(Major, "event "+e.Name, "declared", "what it sends as bytes of its own is refused unless it is of this shape")
			} else {
				d.add(Minor, "event "+e.Name, "added", "it keeps such records as they are, and warns once")
			}
		}
	}
	switch {
	case older.Raw && !newer.Raw:
		d.add(Major, "events that are not declared", "refused", "what it sends of types of its own waits for ever as unknown_type")
	case newer.Raw && !older.Raw:
		d.add(Minor, "events that are not declared", "allowed", "it keeps such records as they are, and warns once for each type")
	}
	switch {
	case older.Params == nil && newer.Params != nil:
		d.add(Major, "params", "declared", "spaces that it makes are refused unless their params are of this shape")
	case older.Params != nil && newer.Params == nil:
		d.add(Patch, "params", "not declared", "its params are what they were")
	default:
		d.fields("params", older.Params, newer.Params, nil, false, false)
	}
	for i := range older.Tables {
		was := &older.Tables[i]
		if at := newer.Table(was.Name); at < 0 {
			d.add(Major, "table "+was.Name, "removed", "its rows are deleted, and whoever looks at it is told")
		} else {
			d.table(was, &newer.Tables[at])
		}
	}
	for i := range newer.Tables {
		if older.Table(newer.Tables[i].Name) < 0 {
			d.add(Minor, "table "+newer.Tables[i].Name, "added", "it does not look at it")
		}
	}
	return d
}

// LeastBump returns how much the version has to rise for all of some differences.
func LeastBump(all []Difference) (least Bump) {
	for i := range all {
		least = max(least, all[i].Bump)
	}
	return least
}

// DeclaredBump returns what two versions say of what lies between them. Before 1.0.0 the second number says what the first does
// later, and the third what the second does. What leads to or from a pre-release may be anything. A version that does not rise
// declares nothing.
func DeclaredBump(older, newer semver.Version) Bump {
	switch {
	case newer.Compare(older) <= 0:
		return None
	case newer.Major != older.Major || len(older.Pre) > 0 || len(newer.Pre) > 0:
		return Major
	case newer.Minor != older.Minor && newer.Major == 0:
		return Major
	case newer.Minor != older.Minor || newer.Major == 0:
		return Minor
	}
	return Patch
}

// differences are gathered.
type differences []Difference

func (d *differences) add(bump Bump, subject, change, effect string) {
	*d = append(*d, Difference{bump, subject, change, effect})
}

// typeOf returns a field's type for people.
func typeOf(kind tables.Kind, optional bool) string {
	if optional {
		return "optional " + kind.String()
	}
	return kind.String()
}

// fields compares the fields of an event's payload, or of params, which nobody reads but who wrote them and the module. Names are what the older ones are called now, if
// that is known otherwise than by their names, and empty for one that means nothing any more. Lensed: see needed.
func (d *differences) fields(subject string, older, newer []Field, names []string, read, lensed bool) {
	find := func(fields []Field, name string) *Field {
		if at := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name }); at >= 0 {
			return &fields[at]
		}
		return nil
	}
	for i := range older {
		was := &older[i]
		subject := subject + ", field " + was.Name
		is := find(newer, was.Name)
		if names != nil && names[i] != "" {
			is = find(newer, names[i])
		}
		switch {
		case is == nil && read:
			d.add(Major, subject, "removed", "clients that declared that they read it are told schema_incompatible, and keep everything")
		case is == nil:
			d.add(Patch, subject, "removed", "what it gives is passed over")
		case is.Kind != was.Kind:
			change := fmt.Sprintf("was %s, is %s", typeOf(was.Kind, was.Optional), typeOf(is.Kind, is.Optional))
			effect := "what it writes there is refused, and what others do it cannot read"
			if lensed {
				effect = "what others write there it cannot read"
			}
			d.add(Major, subject, change, effect)
		case names != nil && names[i] == "":
			d.add(Major, subject, "means something else", "what it writes there is read no more, and what others write there it cannot read")
		default:
			if is.Name != was.Name {
				d.add(Minor, subject, "is called "+is.Name, "it writes and reads it by the name that it knows")
			}
			d.needed(subject, was, is, read, lensed)
		}
	}
	for i := range newer {
		f := &newer[i]
		at := placeOf(older, f.Name)
		if !slices.Contains(names, f.Name) && (at < 0 || names != nil && names[at] != "") {
			d.added(subject+", field "+f.Name, f, lensed)
		}
	}
}

// table compares two tables of one name. Rows are written by modules alone, so that a client only reads them.
func (d *differences) table(older, newer *tables.Schema) {
	subject := "table " + older.Name
	for i := range older.Columns {
		was := &older.Columns[i]
		subject := subject + ", column " + was.Name
		at := slices.IndexFunc(newer.Columns, func(c tables.Column) bool { return c.Name == was.Name })
		if at < 0 {
			d.add(Major, subject, "removed", "clients that declared that they read it are told schema_incompatible, and keep everything")
			continue
		}
		switch is := &newer.Columns[at]; {
		case is.Kind != was.Kind:
			d.add(Major, subject, fmt.Sprintf("was %s, is %s", typeOf(was.Kind, was.Optional), typeOf(is.Kind, is.Optional)), "it cannot read it")
		case is.Optional && !was.Optional:
			d.add(Major, subject, "optional now", "it reads rows that lack what it counts on")
		case was.Optional && !is.Optional:
			d.add(Minor, subject, "not optional any more", "it is always there")
		}
	}
	for i := range newer.Columns {
		if !slices.ContainsFunc(older.Columns, func(c tables.Column) bool { return c.Name == newer.Columns[i].Name }) {
			d.add(Minor, subject+", column "+newer.Columns[i].Name, "added", "it passes it over, and warns once")
		}
	}
	if was, is := columnNames(older, older.Key), columnNames(newer, newer.Key); !slices.Equal(was, is) {
		change := fmt.Sprintf("was (%s), is (%s)", strings.Join(was, ", "), strings.Join(is, ", "))
		d.add(Major, subject+", key", change, "what it asks for by key is not found, and rows that were two may be one")
	}
	if older.DeclaredBy != newer.DeclaredBy {
		d.add(Major, subject, fmt.Sprintf("was declared by %q, is by %q", older.DeclaredBy, newer.DeclaredBy), "what it takes for a row is none")
	}
	find := func(of *tables.Schema, name string) *tables.Index {
		if at := slices.IndexFunc(of.Indexes, func(x tables.Index) bool { return x.Name == name }); at >= 0 {
			return &of.Indexes[at]
		}
		return nil
	}
	for i := range older.Indexes {
		was := &older.Indexes[i]
		subject := subject + ", index " + was.Name
		is := find(newer, was.Name)
		if is == nil {
			d.add(Major, subject, "removed", "queries that name it are told, and read all rows instead")
			continue
		}
		if was, is := columnNames(older, was.Columns), columnNames(newer, is.Columns); !slices.Equal(was, is) {
			change := fmt.Sprintf("was (%s), is (%s)", strings.Join(was, ", "), strings.Join(is, ", "))
			d.add(Major, subject, change, "queries that name it have another order, or none")
		}
		switch {
		case is.Unique && !was.Unique && !isUnique(older, columnNames(newer, is.Columns)):
			d.add(Major, subject, "unique now", "what it writes may be refused as unique")
		case was.Unique && !is.Unique && !isUnique(newer, columnNames(older, was.Columns)):
			d.add(Major, subject, "not unique any more", "it reads two rows where it counts on one")
		}
	}
	for i := range newer.Indexes {
		x := &newer.Indexes[i]
		switch subject := subject + ", index " + x.Name; {
		case find(older, x.Name) != nil:
		case x.Unique && !isUnique(older, columnNames(newer, x.Columns)):
			d.add(Major, subject, "added, unique", "what it writes may be refused as unique")
		default:
			d.add(Patch, subject, "added", "queries can name it from then on")
		}
	}
}

// isUnique reports whether no two rows of a table have the same values in some columns, whatever a further index says: its key or a unique index has none but of those.
func isUnique(of *tables.Schema, columns []string) bool {
	among := func(places []int) bool {
		return !slices.ContainsFunc(columnNames(of, places), func(name string) bool { return !slices.Contains(columns, name) })
	}
	return among(of.Key) || slices.ContainsFunc(of.Indexes, func(x tables.Index) bool { return x.Unique && among(x.Columns) })
}

func columnNames(of *tables.Schema, places []int) []string {
	names := make([]string, len(places))
	for i, place := range places {
		names[i] = of.Columns[place].Name
	}
	return names
}
