package program

import (
	"bytes"
	"fmt"

	"skerry/shared/space"
)

// events compares the event types of two manifests. What clients of the older one send is written by its declarations.
func (d *differences) events(older, newer *Manifest) {
	for i := range older.Events {
		was := &older.Events[i]
		subject := "event " + was.Name
		at := newer.Event(was.Name)
		switch {
		case at < 0 && was.Removed:
			d.add(Patch, subject, "not declared any more", "it does not send it")
			continue
		case at < 0 && newer.Raw:
			d.add(Major, subject, "not declared any more", "what it sends is given to the module as bytes")
			continue
		case at < 0:
			d.add(Major, subject, "not declared any more", "what it sends waits for ever as unknown_type, and all that it writes after it: declare it as removed, so that it is rejected")
			continue
		case newer.Events[at].Removed: // nobody writes it any more, by whatever declaration
			if !was.Removed {
				d.add(Major, subject, "removed", "what it sends is rejected as type_removed, one transaction at a time")
			}
			d.unread(subject, was, newer, at)
			continue
		case was.Removed:
			d.add(Minor, subject, "not removed any more", "it does not send it")
		}
		d.schemas(subject, was, &newer.Events[at], newer.ABI)
	}
	if older.ABI >= ABISchemas && newer.ABI < ABISchemas {
		d.add(Major, "abi", fmt.Sprintf("was %d, is %d", older.ABI, newer.ABI), "what it writes is read by names, whatever it was written by")
	}
}

// unread tells of the declarations of a type that nobody writes any more which a module that makes its tables of the log cannot read there.
func (d *differences) unread(subject string, was *EventType, newer *Manifest, at int) {
	if newer.Upgrade != Replay || newer.ABI < ABISchemas {
		return
	}
	is := &newer.Events[at]
	reads := map[space.Schema]bool{SchemaOf(is.Name, is.Fields): true}
	for i := range is.Older {
		reads[SchemaOf(is.Name, is.Older[i].Fields)] = !is.Older[i].Refused
	}
	tell := func(fields []Field) {
		if schema := SchemaOf(was.Name, fields); !reads[schema] {
			d.add(Patch, subject, fmt.Sprintf("schema %x is not read", schema), "it cannot tell, but a space whose log has such records cannot go over to a module that makes its tables of all of it: list it as an older declaration")
		}
	}
	tell(was.Fields)
	for i := range was.Older {
		if o := &was.Older[i]; !o.Refused {
			tell(o.Fields)
		}
	}
}

// schemas compares the declarations of an event type.
func (d *differences) schemas(subject string, was, is *EventType, abi uint32) {
	if abi < ABISchemas {
		d.fields(subject, was.Fields, is.Fields, nil, true, false)
		return
	}
	listed := map[space.Schema]bool{SchemaOf(is.Name, is.Fields): true} // false: refused
	for i := range is.Older {
		listed[SchemaOf(is.Name, is.Older[i].Fields)] = !is.Older[i].Refused
	}
	schema := SchemaOf(was.Name, was.Fields)
	names := is.namesNow(schema)
	if was.Removed { // it does not send it, and reads what others do
		if taken, ok := listed[schema]; !ok {
			d.add(Major, subject, fmt.Sprintf("schema %x is not listed", schema), "it cannot read what newer clients write: list it as an older declaration")
		} else if !taken {
			d.add(Major, subject, fmt.Sprintf("schema %x is refused", schema), "it cannot read what newer clients write")
		} else {
			d.fields(subject, was.Fields, is.Fields, names, true, true)
		}
		return
	}
	d.fields(subject, was.Fields, is.Fields, names, true, listed[schema])
	tell := func(schema space.Schema, who string) {
		if taken, ok := listed[schema]; !ok {
			d.add(Major, subject, fmt.Sprintf("schema %x is not listed", schema), who+" waits for ever as schema_unknown, and all that it writes after it: list it as an older declaration")
		} else if !taken {
			d.add(Major, subject, fmt.Sprintf("schema %x is refused", schema), who+" is rejected as schema_mismatch, one transaction at a time")
		}
	}
	tell(schema, "what its generated code sends")
	for i := range was.Older {
		if o := &was.Older[i]; !o.Refused {
			tell(SchemaOf(was.Name, o.Fields), "what one that is older still sends")
		}
	}
}

// namesNow returns what the fields of an older declaration are called now by its lens, empty for those that are read no more; nil if it is not listed with one.
func (e *EventType) namesNow(schema space.Schema) []string {
	for i := range e.Older {
		o := &e.Older[i]
		if o.Refused || SchemaOf(e.Name, o.Fields) != schema {
			continue
		}
		names := make([]string, len(o.Fields))
		for at, from := range e.Sources(i) {
			if from.Place >= 0 {
				names[from.Place] = e.Fields[at].Name
			}
		}
		return names
	}
	return nil
}

// needed tells how a field of an event or of params is wanted otherwise than it was, both being of one type. Lensed: what is written by the older
// declaration comes through a lens, which has a value for whatever may be missing.
func (d *differences) needed(subject string, was, is *Field, read, lensed bool) {
	must := func(f *Field) bool { return !f.Optional && f.Default == nil }
	switch {
	case must(is) && !must(was) && lensed:
		d.add(Minor, subject, "has to be there", "what it writes without it gets a default")
	case must(is) && !must(was):
		d.add(Major, subject, "not optional any more", "what it writes without it is refused")
	case is.Optional && must(was) && read:
		d.add(Major, subject, "optional now", "it reads records that lack what it counts on")
	case is.Optional && !was.Optional:
		d.add(Patch, subject, "optional now", "it goes on giving it")
	case is.Default != nil && must(was):
		d.add(Patch, subject, "has a default now", "it goes on giving it")
	case is.Default != nil && !bytes.Equal(is.Default, was.Default) && lensed:
		d.add(Minor, subject, "has another default", "what it writes without it is read as its lens says")
	case is.Default != nil && !bytes.Equal(is.Default, was.Default):
		d.add(Minor, subject, "has another default", "what it writes without it is read with that one")
	}
}

// added tells of a field that there was not.
func (d *differences) added(subject string, f *Field, lensed bool) {
	switch {
	case f.Optional:
		d.add(Minor, subject, "added", "it passes it over, keeps its bytes, and warns once")
	case f.Default != nil, lensed:
		d.add(Minor, subject, "added, with a default", "what it writes gets the default; it passes the field over, keeps its bytes, and warns once")
	default:
		d.add(Major, subject, "added, not optional", "what it writes lacks it, and is refused")
	}
}
