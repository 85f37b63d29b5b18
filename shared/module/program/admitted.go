package program

import (
	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/space"
)

// admission is the module that admitted the records of a log which is read again. What a record's own schema does not say for certain
// that module does: of ABI 1 nobody has looked at schemas, and what came without one was read as it declared the type.
type admission struct {
	by      digest.Digest
	known   bool                    // the rest is
	looks   bool                    // it read what came with a schema by that
	schemas map[string]space.Schema // by which it read the rest, of the types that it declares
	own     []space.Record          // what asAdmitted returned last, if it had to change them
}

// turn notes that another module admitted what follows, if a record says so.
func (a *admission) turn(record *space.Record) {
	if name, ok := module.UpgradeTo(record.Payload); ok && record.Type == module.TypeModule {
		*a = admission{by: name, own: a.own}
	}
}

// learn loads the module, for what it declares.
func (i *Instance) learn(a *admission) error {
	l, _, err := i.load(a.by, nil)
	if err != nil || l.native() {
		a.known = err == nil
		return err
	}
	a.known, a.looks, a.schemas = true, l.Program.Manifest.ABI >= ABISchemas, map[string]space.Schema{}
	for place := range l.Program.readers {
		a.schemas[l.Program.Manifest.Events[place].Name] = l.Program.readers[place][0].schema
	}
	l.release()
	return nil
}

// asAdmitted returns the records of a transaction with the schemas by which they were read when they were admitted, for a program to read them
// again. Where it does not know that one, their own counts if it knows that, and if not they are as if they had none. They are good until the next call.
func (i *Instance) asAdmitted(a *admission, p *Program, records []space.Record) ([]space.Record, error) {
	if p.Manifest.ABI < ABISchemas {
		return records, nil
	}
	changed := false
	for n := range records {
		record := &records[n]
		place := p.Manifest.Event(record.Type)
		if place < 0 {
			continue
		}
		if !a.known {
			if err := i.learn(a); err != nil {
				return nil, err
			}
		}
		by, declared := a.schemas[record.Type]
		if !declared || a.looks && record.Schema != (space.Schema{}) {
			continue // then it is what its author said
		}
		if readers := p.readers[place]; find(readers, by) == nil {
			if by = record.Schema; find(readers, by) == nil {
				by = space.Schema{}
			}
		}
		if by == record.Schema {
			continue
		}
		if !changed {
			a.own, changed = append(a.own[:0], records...), true
			records = a.own
		}
		records[n].Schema = by
	}
	return records, nil
}
