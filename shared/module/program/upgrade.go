package program

import (
	"encoding/binary"
	"errors"
	"fmt"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// What migrate gets in one call, and what the call may take.
const (
	MigrateRows    = 1_000
	FuelMigrateRow = 10_000 // beside [Fuel], for each row that it gets
)

// upgradeFields are those of the payload of [module.TypeModule].
var upgradeFields = []Field{{Name: "hash", Kind: tables.Bytes}, {Name: "params", Kind: tables.Bytes, Optional: true}}

// replacesFields are read of what somebody asks for alone: logs have payloads of before, in which that name could be anything.
var replacesFields = []Field{{Name: "replaces", Kind: tables.Bytes, Optional: true}}

// reserved is what the host does itself with a transaction of a type that begins with $.
func (i *Instance) reserved(p *proposal, caller *module.Caller, records []space.Record) (module.Verdict, error) {
	record := &records[0]
	switch record.Type {
	case module.TypeCheckpoint:
		return module.Verdict{}, nil // the server's word, which others compare with
	case module.TypeDelete:
		return i.end(p, caller, records)
	case module.TypeExpire:
		return i.expire(p, caller, records)
	case module.TypeModule:
	default:
		return module.Verdict{}, fmt.Errorf("record %d is of type %s, which this version does not know", record.Seq, record.Type)
	}
	name, params, verdict, err := i.readUpgrade(p, caller, records)
	if err != nil || !verdict.Allowed() {
		return verdict, err
	}
	to, set := i.prepared.take(name, params, record.Seq-1)
	if to == nil {
		if to, verdict, err = i.load(name, caller); to == nil {
			return verdict, err
		}
		if v := p.needsWhole(to); caller != nil && !v.Allowed() {
			to.release()
			return v, nil
		}
		if set, verdict, err = i.upgrade(p, to, record.Seq-1, params, (*tables.Set).Over); err != nil || !verdict.Allowed() {
			i.giveBack()
			to.release()
			return verdict, err
		}
	}
	if caller != nil {
		was, err := audience(p.by, p.tables.set)
		if err == nil {
			p.people, err = audience(to, set)
		}
		if p.people = append(p.people, was...); err != nil {
			to.release()
			return module.Verdict{}, err
		}
	}
	p.tables, p.by, p.turned = &version{set: set}, to, true
	return module.Verdict{}, nil
}

// readUpgrade returns what an upgrade names, if the caller may upgrade the space.
func (i *Instance) readUpgrade(p *proposal, caller *module.Caller, records []space.Record) (name digest.Digest, params []byte, v module.Verdict, err error) {
	record := &records[0]
	if len(records) != 1 {
		return name, nil, module.Verdict{Code: wire.CodeBadTransaction, Reason: "an upgrade is a transaction of its own"}, nil
	}
	if caller != nil {
		if v, err = i.mayUpgrade(p, caller, record, "upgrade"); err != nil || !v.Allowed() {
			return name, nil, v, err
		}
	}
	row, err := appendRow(nil, upgradeFields, record.Payload)
	if err == nil && binary.LittleEndian.Uint32(row) != digest.Size {
		err = errors.New("field hash is not of 32 bytes")
	}
	if err == nil && caller != nil {
		v, err = p.by.replacedBy(record.Payload)
	}
	if err != nil {
		return name, nil, module.Verdict{Code: wire.CodeBadPayload, Reason: fmt.Sprintf("%s: %v", record.Type, err)}, nil
	}
	name = digest.Digest(row[4 : 4+digest.Size])
	if rest := row[4+digest.Size:]; rest[0] == 1 {
		params = rest[5:]
	}
	return name, params, v, nil
}

// replacedBy refuses an upgrade that says that it replaces another module: who wrote it saw the space before somebody else's.
func (l *Loaded) replacedBy(payload []byte) (v module.Verdict, err error) {
	row, err := appendRow(nil, replacesFields, payload)
	if err != nil || row[0] == 0 {
		return v, err
	}
	if len(row) != 5+digest.Size {
		return v, errors.New("field replaces is not of 32 bytes")
	}
	now := module.Open
	if !l.native() {
		now = l.Program.Digest
	}
	if digest.Digest(row[5:]) != now {
		v = module.Verdict{Code: wire.CodeStale, Reason: fmt.Sprintf("the space has module %v by now", now)}
	}
	return v, nil
}

// mayUpgrade asks the running module, if it knows of types that it does not declare; the creator may where it cannot say.
func (i *Instance) mayUpgrade(p *proposal, caller *module.Caller, record *space.Record, do string) (module.Verdict, error) {
	if !p.by.native() && p.by.Program.Manifest.Raw {
		host, left := Host{set: p.tables.set, logged: i.Logged}, int32(Fuel)
		i.payload = appendRaw(i.payload[:0], record)
		verdict, err := i.authorize(p.by, caller, undeclared, record, &left, &host)
		said := verdict.Allowed() || verdict.Code == wire.CodeRefused || verdict.Code > wire.CodeModuleOwn
		if err != nil || said {
			return verdict, err
		}
	}
	if caller.Identity != i.genesis.Creator {
		return module.Verdict{Code: wire.CodeForbidden, Reason: "the module does not say who may " + do + " the space, so only its creator may"}, nil
	}
	return module.Verdict{}, nil
}

// end judges a record that deletes the space. Modules know of no such type, and one may be allowed to who writes what the app
// likes: so they are asked about an upgrade to no module, for who may have another module judge could have that one delete.
func (i *Instance) end(p *proposal, caller *module.Caller, records []space.Record) (v module.Verdict, err error) {
	if len(records) != 1 {
		return module.Verdict{Code: wire.CodeBadTransaction, Reason: "a deletion is a transaction of its own"}, nil
	}
	if caller == nil {
		return v, nil
	}
	asked := records[0]
	asked.Type, asked.Payload = module.TypeModule, module.Upgrade(digest.Digest{}, nil)
	if v, err = i.mayUpgrade(p, caller, &asked, "delete"); err == nil && v.Allowed() {
		p.people, err = audience(p.by, p.tables.set)
	}
	return v, err
}

// load gives the module that a space goes over to. With a caller, that it is not here, or no good, is a verdict.
func (i *Instance) load(name digest.Digest, caller *module.Caller) (*Loaded, module.Verdict, error) {
	if name == module.Open {
		return &Loaded{}, module.Verdict{}, nil
	}
	if i.Load == nil {
		return nil, module.Verdict{}, errors.New("the space goes over to another module, and this instance has no way to it")
	}
	to, err := i.Load(name)
	if caller != nil && errors.Is(err, module.ErrMissing) {
		return nil, module.Verdict{Code: wire.CodeModuleMissing, Reason: fmt.Sprintf("the server does not have module %v", name)}, nil
	}
	if coded, ok := errors.AsType[*wire.CodeError](err); ok && caller != nil && coded.Code == wire.CodeBadModule {
		return nil, module.Verdict{Code: coded.Code, Reason: coded.Reason}, nil
	}
	return to, module.Verdict{}, err
}

func badUpgrade(format string, args ...any) module.Verdict {
	return module.Verdict{Code: wire.CodeBadUpgrade, Reason: fmt.Sprintf(format, args...)}
}

// over is [tables.Set.Over], or does what that does.
type over func(of *tables.Set, schemas []tables.Schema) (set *tables.Set, left []int, err error)

// upgrade makes the tables with which a module takes over behind record seq.
func (i *Instance) upgrade(p *proposal, to *Loaded, seq uint64, params []byte, take over) (*tables.Set, module.Verdict, error) {
	if to.native() {
		set, err := tables.New(nil)
		return set, module.Verdict{}, err
	}
	switch m := to.Program.Manifest; m.Upgrade {
	case Carry:
		return i.carry(p, to, params, take)
	case Replay:
		return i.replay(to, nil, 0, seq, params, &admission{})
	default:
		return nil, badUpgrade("module %s %s does not say how it takes over a space", m.Name, m.Version), nil
	}
}

// replay makes tables by applying the log up to record seq: all of it, or if there is a set already, what is behind at, which the given module admitted.
func (i *Instance) replay(by *Loaded, set *tables.Set, at, seq uint64, params []byte, admitted *admission) (*tables.Set, module.Verdict, error) {
	if i.History == nil {
		return nil, module.Verdict{}, errors.New("the module makes its tables of the whole log, which this instance cannot read")
	}
	var verdict module.Verdict
	var err error
	if set == nil {
		at, *admitted = 0, admission{by: i.genesis.Module}
		if set, verdict, err = i.first(by, params); err != nil || !verdict.Allowed() {
			return nil, asBadUpgrade(verdict, "init"), err
		}
	}
	refused := errors.New("refused")
	p := proposal{tables: &version{set: set}, by: by}
	err = i.History(at, seq, func(records []space.Record) error {
		for len(records) > 0 && records[0].Seq <= seq {
			n := transaction(records)
			if records[0].Seq != at+1 {
				return fmt.Errorf("after record %d the log gives %d", at, records[0].Seq)
			}
			if records[0].Expired {
				return fmt.Errorf("record %d has expired", records[0].Seq)
			}
			if records[0].Type[0] != '$' || declares(by, records[0].Type) {
				read, err := i.asAdmitted(admitted, by.Program, records[:n])
				if err == nil {
					verdict, err = i.runOn(&p, nil, read)
				}
				if err != nil {
					return err
				}
				if !verdict.Allowed() {
					verdict = asBadUpgrade(verdict, fmt.Sprintf("record %d", records[0].Seq))
					return refused
				}
			}
			admitted.turn(&records[0])
			at = records[n-1].Seq
			records = records[n:]
		}
		return nil
	})
	if errors.Is(err, refused) {
		return nil, verdict, nil
	}
	if err == nil && at != seq {
		err = fmt.Errorf("the log ends at record %d, not %d", at, seq)
	}
	return set, module.Verdict{}, err
}

// asBadUpgrade says of a verdict what it means for an upgrade.
func asBadUpgrade(v module.Verdict, where string) module.Verdict {
	if v.Allowed() {
		return v
	}
	return badUpgrade("%s: %v: %s", where, v.Code, v.Reason)
}

// carry keeps the rows of tables whose shape stays. What the module has migrate for it gets, of the other tables.
func (i *Instance) carry(p *proposal, to *Loaded, params []byte, take over) (*tables.Set, module.Verdict, error) {
	set, left, err := take(p.tables.set, to.Program.Manifest.Tables)
	if errors.Is(err, tables.ErrUnique) || errors.Is(err, tables.ErrQuota) || errors.Is(err, tables.ErrTooLarge) {
		return nil, badUpgrade("the rows that stay: %v", err), nil
	}
	if err != nil {
		return nil, module.Verdict{}, err
	}
	if !to.Program.Exports[Migrate] {
		for _, table := range left {
			if name := p.tables.set.Schemas()[table].Name; to.Program.Manifest.Table(name) >= 0 {
				return nil, badUpgrade("table %s has another shape, and the module has no migrate", name), nil
			}
		}
		return set, module.Verdict{}, nil
	}
	return i.migrate(p, set, left, to, params)
}

// migrate gives the module the rows of tables that did not stay, some at a time, and then says that these were all.
func (i *Instance) migrate(p *proposal, set *tables.Set, left []int, to *Loaded, params []byte) (*tables.Set, module.Verdict, error) {
	head, verdict := i.appendGenesis(nil, to.Program.Manifest, params)
	if !verdict.Allowed() {
		return nil, asBadUpgrade(verdict, "migrate"), nil
	}
	version := ""
	if !p.by.native() {
		version = p.by.Program.Manifest.Version
	}
	head = appendBytes(head, version)
	room := int(to.Program.Manifest.IO)
	call := func(table string, rows int, bytes []byte) (err error) {
		input := appendBytes(append([]byte{}, head...), table)
		input = append(binary.LittleEndian.AppendUint32(input, uint32(rows)), bytes...)
		fuel := int32(Fuel + rows*FuelMigrateRow)
		var result int32
		verdict, result, err = i.call(to, Migrate, input, fuel, &Host{set: set, change: set.Begin(), logged: i.Logged})
		if err == nil && verdict.Allowed() && result != 0 {
			verdict = module.Verdict{Code: OwnCode(max(0, min(result, MaxOwnCode)))}
		}
		if err == nil && !verdict.Allowed() {
			verdict = module.Verdict{Code: wire.CodeMigrateFailed, Reason: fmt.Sprintf("%d rows of table %s: %v: %s", rows, table, verdict.Code, verdict.Reason)}
		}
		return err
	}
	for _, table := range left {
		name := p.tables.set.Schemas()[table].Name
		most := room - len(head) - len(name) - 8
		rows, bytes := 0, []byte(nil)
		var failure error
		err := p.tables.set.Scan(table, 0, "", "", false, func(_, row string) bool {
			if rows > 0 && (rows == MigrateRows || len(bytes)+4+len(row) > most) {
				failure = call(name, rows, bytes)
				rows, bytes = 0, bytes[:0]
			}
			rows, bytes = rows+1, appendBytes(bytes, row)
			return failure == nil && verdict.Allowed()
		})
		if err == nil && failure == nil && verdict.Allowed() {
			failure = call(name, rows, bytes)
		}
		if err = errors.Join(err, failure); err != nil || !verdict.Allowed() {
			return nil, verdict, err
		}
	}
	if err := call("", 0, nil); err != nil || !verdict.Allowed() {
		return nil, verdict, err
	}
	return set, module.Verdict{}, nil
}
