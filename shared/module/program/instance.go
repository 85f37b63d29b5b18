package program

import (
	"encoding/binary"
	"fmt"

	"skerry/shared/module"
	"skerry/shared/module/meter"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// Machines lends machines of one program. It is safe for concurrent use: the spaces of a module share them.
type Machines interface {
	Borrow() (Machine, error) // an error is a fault of the machine
	Return(Machine)
}

// Instance is a [module.Instance] of a program, with its tables.
type Instance struct {
	program  *Program
	machines Machines
	machine  Machine // borrowed for what runs now
	// Logged gets the lines that the module logs; nil drops them. The bytes are good until it returns. What Apply does
	// again after a failure is logged again.
	Logged func(line []byte)
	// Spent is how much fuel the calls took so far, those for readers apart.
	Spent uint64

	committed *tables.Set
	applied   uint64
	proposals []proposal
	input     []byte
}

// proposal is the tables after a transaction that was allowed.
type proposal struct {
	seq uint64
	set *tables.Set
}

// New returns an instance for the space made from genesis, before its first record. Its errors are a [*wire.CodeError]
// with CodeBadGenesis if the module refuses to begin such a space, and faults of the machine.
func New(p *Program, machines Machines, genesis *space.Genesis) (*Instance, error) {
	set, err := tables.New(p.Manifest.Tables)
	if err != nil {
		return nil, err
	}
	i := &Instance{program: p, machines: machines, committed: set}
	if !p.Exports[Init] {
		return i, nil
	}
	verdict, err := i.begin(genesis)
	if err == nil && !verdict.Allowed() {
		err = wire.Errorf(wire.CodeBadGenesis, "the module does not begin such a space: %v: %s", verdict.Code, verdict.Reason)
	}
	if err != nil {
		return nil, err
	}
	return i, nil
}

// At returns an instance whose tables are those of a checkpoint, after record seq.
func At(p *Program, machines Machines, set *tables.Set, seq uint64) *Instance {
	return &Instance{program: p, machines: machines, committed: set, applied: seq}
}

// Tables returns the tables with all that is proposed. Nobody may change them; [tables.Set.Copy] them to keep them.
func (i *Instance) Tables() *tables.Set {
	if n := len(i.proposals); n > 0 {
		return i.proposals[n-1].set
	}
	return i.committed
}

// Committed returns the tables without what is proposed, as Tables does.
func (i *Instance) Committed() *tables.Set { return i.committed }

// Applied implements [module.Instance].
func (i *Instance) Applied() uint64 { return i.applied }

// begin lets the module make the first rows.
func (i *Instance) begin(genesis *space.Genesis) (module.Verdict, error) {
	b := appendBytes(i.input[:0], genesis.Creator)
	b = append(b, genesis.Stamp[:]...)
	if fields := i.program.Manifest.Params; fields != nil {
		var err error
		if b, err = appendRow(b, fields, genesis.Params); err != nil {
			return module.Verdict{Code: wire.CodeBadPayload, Reason: fmt.Sprintf("params: %v", err)}, nil
		}
	} else {
		b = appendBytes(b, genesis.Params)
	}
	i.input = b
	set := i.committed.Copy()
	verdict, _, err := i.call(Init, b, FuelInit, &Host{set: set, change: set.Begin(), logged: i.Logged})
	if err == nil && verdict.Allowed() {
		i.committed = set
	}
	i.giveBack()
	return verdict, err
}

// Judge implements [module.Instance].
func (i *Instance) Judge(caller module.Caller, records []space.Record) (module.Verdict, error) {
	return i.run(&caller, records)
}

// mostTogether is how many records of a log are applied to one copy of the tables. A copy is quick, but what is written to
// it for the first time copies nodes of trees, which is most of what a record costs that has a copy of its own.
const mostTogether = 1000

// Apply implements [module.Instance]. An error with CodeModuleDiverged tells that the module does not allow what is in
// the log: the tables here are not those by which it was admitted.
func (i *Instance) Apply(records []space.Record) error {
	for len(records) > 0 {
		n := transaction(records)
		for n < len(records) && n < mostTogether {
			n += transaction(records[n:])
		}
		if spent := i.Spent; !i.applyTogether(records[:n]) {
			i.Spent = spent
			if err := i.applyEach(records[:n]); err != nil {
				return err
			}
		}
		records = records[n:]
	}
	return nil
}

// transaction returns how many records the first transaction has.
func transaction(records []space.Record) int {
	n := 1
	for n < len(records) && records[n].Index > 0 {
		n++
	}
	return n
}

// applyTogether applies transactions on one copy of the tables and reports whether all went well. Else nothing happened.
func (i *Instance) applyTogether(records []space.Record) bool {
	defer i.giveBack()
	set, last := i.Tables().Copy(), records[len(records)-1].Seq
	for len(records) > 0 {
		n := transaction(records)
		if verdict, err := i.runOn(set, nil, records[:n]); err != nil || !verdict.Allowed() {
			return false
		}
		records = records[n:]
	}
	i.proposals = append(i.proposals, proposal{last, set})
	i.Commit(last)
	return true
}

// applyEach applies one transaction after the other, up to the first that fails.
func (i *Instance) applyEach(records []space.Record) error {
	for len(records) > 0 {
		n := transaction(records)
		verdict, err := i.run(nil, records[:n])
		if err == nil && !verdict.Allowed() {
			err = wire.Errorf(wire.CodeModuleDiverged, "record %d is in the log, and applying it here fails: %v: %s", records[0].Seq, verdict.Code, verdict.Reason)
		}
		if err != nil {
			return err
		}
		i.Commit(records[n-1].Seq)
		records = records[n:]
	}
	return nil
}

// run applies the records of a transaction on a copy of the tables and proposes what comes of it.
func (i *Instance) run(caller *module.Caller, records []space.Record) (module.Verdict, error) {
	defer i.giveBack()
	set := i.Tables().Copy()
	verdict, err := i.runOn(set, caller, records)
	if err == nil && verdict.Allowed() {
		i.proposals = append(i.proposals, proposal{records[len(records)-1].Seq, set})
	}
	return verdict, err
}

// runOn applies the records of a transaction to a set of tables, each authorized before if there is a caller.
func (i *Instance) runOn(set *tables.Set, caller *module.Caller, records []space.Record) (module.Verdict, error) {
	host := Host{set: set, logged: i.Logged}
	change := set.Begin()
	for n := range records {
		record := &records[n]
		event, payload, verdict := i.payload(record)
		if verdict.Allowed() && caller != nil {
			i.input = i.appendCall(i.input[:0], event, record, caller, payload)
			host.change = nil
			var result int32
			var err error
			if verdict, result, err = i.call(Authorize, i.input, Fuel, &host); err != nil {
				return module.Verdict{}, err
			}
			if verdict.Allowed() && result != 0 {
				verdict = module.Verdict{Code: OwnCode(max(0, min(result, MaxOwnCode)))}
			}
		}
		if verdict.Allowed() {
			i.input = i.appendCall(i.input[:0], event, record, nil, payload)
			host.change = change
			var err error
			if verdict, _, err = i.call(Apply, i.input, Fuel, &host); err != nil {
				return module.Verdict{}, err
			}
		}
		if !verdict.Allowed() {
			return verdict, nil
		}
	}
	return module.Verdict{}, nil
}

// payload returns the place of a record's type in the manifest and its payload as the module gets it.
func (i *Instance) payload(record *space.Record) (event uint32, payload []byte, v module.Verdict) {
	m := i.program.Manifest
	place := m.Event(record.Type)
	if place < 0 {
		if !m.Raw {
			return 0, nil, module.Verdict{Code: wire.CodeUnknownType, Reason: fmt.Sprintf("module %s %s does not know the type %s", m.Name, m.Version, record.Type)}
		}
		payload = append(appendBytes(nil, record.Type), record.Schema[:]...)
		return undeclared, appendBytes(payload, record.Payload), v
	}
	payload, err := appendRow(nil, m.Events[place].Fields, record.Payload)
	if err != nil {
		return 0, nil, module.Verdict{Code: wire.CodeBadPayload, Reason: fmt.Sprintf("%s: %v", record.Type, err)}
	}
	return uint32(place), payload, v
}

// appendCall appends what authorize and apply get. Between them only that differs which one of them may not see.
func (i *Instance) appendCall(b []byte, event uint32, record *space.Record, caller *module.Caller, payload []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, event)
	b = append(b, record.ID[:]...)
	b = binary.LittleEndian.AppendUint32(b, record.Index)
	b = binary.LittleEndian.AppendUint32(b, record.Count)
	b = appendBytes(b, record.Author)
	b = appendBytes(b, record.ClientVersion)
	if caller != nil {
		b = appendBytes(b, caller.Claims)
	} else {
		b = binary.LittleEndian.AppendUint64(b, record.Seq)
		b = binary.LittleEndian.AppendUint64(b, record.ReceivedAt)
	}
	return append(b, payload...)
}

// call calls an export and says what came of it. An error is a fault of the machine.
func (i *Instance) call(export Export, input []byte, fuel int32, host *Host) (v module.Verdict, result int32, err error) {
	if limit := int(i.program.Manifest.IO); len(input) > limit {
		return module.Verdict{Code: wire.CodeTooLarge, Reason: fmt.Sprintf("%d bytes for the module, which takes at most %d", len(input), limit)}, 0, nil
	}
	if i.machine == nil {
		if i.machine, err = i.machines.Borrow(); err != nil {
			return v, 0, err
		}
	}
	host.code, host.reason, host.scans = 0, "", [MaxScans]scan{}
	outcome, err := i.machine.Call(export, input, fuel, host)
	if err != nil {
		return v, 0, err
	}
	i.Spent += uint64(int64(fuel) - int64(outcome.Fuel))
	if v, err = verdictOf(export, &outcome, host); err != nil {
		return v, 0, err
	}
	return v, outcome.Result, nil
}

// verdictOf says what a call's outcome means, and why it trapped if it did.
func verdictOf(export Export, o *Outcome, host *Host) (module.Verdict, error) {
	switch {
	case !o.Trapped:
		return module.Verdict{}, nil
	case o.OutOfMemory:
		return module.Verdict{}, fmt.Errorf("%v: this machine has no memory for the module to grow into", export)
	case o.Frames > meter.MaxFrames || o.Slots > meter.MaxSlots:
		return module.Verdict{Code: wire.CodeTooDeep, Reason: export.String() + " nested too many calls"}, nil
	case o.Fuel < 0:
		return module.Verdict{Code: wire.CodeOutOfFuel, Reason: export.String() + " took more fuel than it has"}, nil
	case host.code != 0:
		return module.Verdict{Code: host.code, Reason: host.reason}, nil
	}
	return module.Verdict{Code: wire.CodeModuleTrap, Reason: export.String() + " trapped"}, nil
}

func (i *Instance) giveBack() {
	if i.machine != nil {
		i.machines.Return(i.machine)
		i.machine = nil
	}
}

// Commit implements [module.Instance].
func (i *Instance) Commit(seq uint64) {
	for n := range i.proposals {
		if i.proposals[n].seq == seq {
			i.committed, i.applied = i.proposals[n].set, seq
			i.proposals = append(i.proposals[:0], i.proposals[n+1:]...)
			return
		}
	}
}

// Rollback implements [module.Instance].
func (i *Instance) Rollback() { i.proposals = nil }

// MayRead implements [module.Instance]. A module without readable lets everyone read; one that traps nobody.
func (i *Instance) MayRead(identity string) (bool, error) {
	if !i.program.Exports[Readable] {
		return true, nil
	}
	defer i.giveBack()
	spent := i.Spent
	verdict, result, err := i.call(Readable, appendBytes(nil, identity), Fuel, &Host{set: i.committed, logged: i.Logged})
	i.Spent = spent
	return err == nil && verdict.Allowed() && result != 0, err
}

// Close implements [module.Instance].
func (i *Instance) Close() { i.committed, i.proposals = nil, nil }
