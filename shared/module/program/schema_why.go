//go:build !js

package program

import "fmt"

// why says what is wrong with a lens.
func why(o *Older, fields []Field) string {
	if o.Refused {
		return "it is refused, and has a lens"
	}
	used := map[string]bool{}
	use := func(name string) (problem string) {
		if placeOf(o.Fields, name) < 0 || used[name] {
			return fmt.Sprintf("it has no field %s, or that was renamed or dropped already", name)
		}
		used[name] = true
		return ""
	}
	got := map[string]string{} // by current fields, older ones
	for _, name := range o.Drop {
		if problem := use(name); problem != "" {
			return problem
		}
	}
	for _, r := range o.Rename {
		if problem := use(r.From); problem != "" {
			return problem
		}
		if placeOf(fields, r.To) < 0 || got[r.To] != "" {
			return fmt.Sprintf("field %s is renamed to %s, which is no field now, or has another value already", r.From, r.To)
		}
		got[r.To] = r.From
	}
	for _, f := range o.Fields {
		if used[f.Name] {
			continue
		}
		if placeOf(fields, f.Name) < 0 || got[f.Name] != "" {
			return fmt.Sprintf("its field %s is none now: rename or drop it", f.Name)
		}
		got[f.Name] = f.Name
	}
	given := map[string]bool{}
	for _, g := range o.Given {
		place := placeOf(fields, g.Name)
		if place < 0 || given[g.Name] || !isValue(fields[place].Kind, g.Value) {
			return fmt.Sprintf("it gives a default to %s, which is no field now, has one already, or is of another type", g.Name)
		}
		given[g.Name] = true
	}
	for _, f := range fields {
		if was := placeOf(o.Fields, got[f.Name]); was >= 0 && o.Fields[was].Kind != f.Kind {
			return fmt.Sprintf("field %s was %s and is %s: drop it, and give a default", o.Fields[was].Name, o.Fields[was].Kind, f.Kind)
		} else if !f.Optional && f.Default == nil && !given[f.Name] && (was < 0 || o.Fields[was].Optional) {
			return fmt.Sprintf("field %s has no value in what was written by it: give a default", f.Name)
		}
	}
	return "its lens cannot be"
}
