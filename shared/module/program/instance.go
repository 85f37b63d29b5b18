package program

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"skerry/shared/digest"
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

// Loaded is a program with its machines. The zero Loaded is the module "open", which is judged natively.
type Loaded struct {
	Program  *Program
	Machines Machines
	Release  func() // called once, when they are needed no more; nil for nothing
}

func (l *Loaded) native() bool { return l.Program == nil }

func (l *Loaded) release() {
	if l.Release != nil {
		l.Release()
	}
}

// Instance is a [Materializer] of a program.
type Instance struct {
	genesis  *space.Genesis
	machine  Machine // borrowed for what runs now
	lender   Machines
	snapshot *Checkpoint

	// Load gives the program with a digest, for upgrades: to be released, with [module.ErrMissing], a [*wire.CodeError]
	// with CodeBadModule, or a fault. Nil: the instance keeps its module.
	Load func(digest.Digest) (*Loaded, error)
	// History is [Origin.History].
	History func(after, to uint64, f func([]space.Record) error) error
	// Skips tells that a space of "open" whose log has no upgrade needs none of it.
	Skips bool

	// Logged gets the lines that the module logs; nil drops them. The bytes are good until it returns.
	Logged func(line []byte)
	// Spent is how much fuel the calls took so far, those for readers apart.
	Spent uint64

	committed proposal
	proposals []proposal
	input     []byte
	payload   []byte   // of the record that is judged, as the module gets it
	host      Host     // of the transaction that is judged
	prepared  *Upgrade // what the next Judge may use
}

// proposal is the tables after a transaction that was allowed, and who judges what follows.
type proposal struct {
	seq     uint64
	tables  *version
	change  *tables.Change // by which the transaction wrote to them
	place   *tables.Set    // a copy of them, at a place for a checkpoint
	expired uint64         // records up to it have expired
	expires uint64         // up to this one by the transaction itself
	by      *Loaded
	turned  bool     // who may read may have changed
	people  []string // of an upgrade, for [Instance.People]
}

// version is tables that transactions write to one after the other, each in the place of what was before. So they are
// those of the last proposal that has them; for one before it, the changes behind are taken back ([Instance.after]).
type version struct {
	set  *tables.Set
	lent bool // somebody else may look at set, so that nobody writes to it
}

// New returns an instance for the space made from genesis, before its first record. Its errors are a [*wire.CodeError]
// with CodeBadGenesis if the module refuses to begin such a space, and faults of the machine.
func New(p *Program, machines Machines, genesis *space.Genesis) (*Instance, error) {
	return Begin(&Loaded{Program: p, Machines: machines}, genesis)
}

// Begin is New with a program that the instance releases when it is closed; after an error it has not.
func Begin(by *Loaded, genesis *space.Genesis) (*Instance, error) {
	i := &Instance{genesis: genesis, committed: proposal{by: by}}
	set, verdict, err := i.first(by, genesis.Params)
	if err == nil && !verdict.Allowed() {
		err = wire.Errorf(wire.CodeBadGenesis, "the module does not begin such a space: %v: %s", verdict.Code, verdict.Reason)
	}
	if err != nil {
		return nil, err
	}
	i.committed.tables = &version{set: set}
	return i, nil
}

// At returns an instance whose tables are those of a checkpoint, after record seq. One that is to be upgraded needs a
// genesis too: see [Continue].
func At(p *Program, machines Machines, set *tables.Set, seq uint64) *Instance {
	return Continue(&Loaded{Program: p, Machines: machines}, &space.Genesis{}, set, seq)
}

// Continue is At with a program that the instance releases when it is closed.
func Continue(by *Loaded, genesis *space.Genesis, set *tables.Set, seq uint64) *Instance {
	return &Instance{genesis: genesis, committed: proposal{seq: seq, tables: &version{set: set}, by: by}}
}

// newest returns what the next transaction is judged on.
func (i *Instance) newest() *proposal {
	if n := len(i.proposals); n > 0 {
		return &i.proposals[n-1]
	}
	return &i.committed
}

// Tables returns the tables with all that is proposed, as they are now: what follows is written to a copy, and nothing has to
// be taken back by a Rollback to where they are. Nobody may change them.
func (i *Instance) Tables() *tables.Set { return i.newest().tables.lend() }

// Committed returns the tables without what is proposed, as Tables does; nil after Close.
func (i *Instance) Committed() *tables.Set {
	if i.committed.tables == nil {
		return nil
	}
	return i.after(-1).lend()
}

func (v *version) lend() *tables.Set {
	v.lent = true
	return v.set
}

// after returns the tables behind the nth proposal, or for -1 the committed ones. It gives it tables of its own, together
// with all before that had the same, if later ones have written to them.
func (i *Instance) after(n int) *version {
	of := &i.committed
	if n >= 0 {
		of = &i.proposals[n]
	}
	shared, last := of.tables, n
	for last+1 < len(i.proposals) && i.proposals[last+1].tables == shared {
		last++
	}
	if last == n {
		return shared
	}
	own := &version{set: shared.set.Copy()}
	for ; last > n; last-- {
		if change := i.proposals[last].change; change != nil {
			change.TakeBack(own.set)
		}
	}
	for k := range i.proposals[:n+1] {
		if i.proposals[k].tables == shared {
			i.proposals[k].tables = own
		}
	}
	if i.committed.tables == shared {
		i.committed.tables = own
	}
	return own
}

// Program returns the program that judges what follows on all that is committed; nil for "open".
func (i *Instance) Program() *Program { return i.committed.by.Program }

// Applied implements [module.Instance].
func (i *Instance) Applied() uint64 {
	if i.Skips && i.committed.by.native() && i.committed.seq == 0 {
		return module.NeedsNothing
	}
	return i.committed.seq
}

// Next returns the number of the record that would come next, behind all that is proposed.
func (i *Instance) Next() uint64 { return i.newest().seq + 1 }

// first returns the tables before the first record, with the rows that the module makes.
func (i *Instance) first(by *Loaded, params []byte) (*tables.Set, module.Verdict, error) {
	if by.native() {
		set, err := tables.New(nil)
		return set, module.Verdict{}, err
	}
	set, err := tables.New(by.Program.Manifest.Tables)
	if err != nil || !by.Program.Exports[Init] {
		return set, module.Verdict{}, err
	}
	b, verdict := i.appendGenesis(i.input[:0], by.Program.Manifest, params)
	if !verdict.Allowed() {
		return nil, verdict, nil
	}
	i.input = b
	defer i.giveBack()
	verdict, _, err = i.call(by, Init, b, FuelInit, &Host{set: set, change: set.Begin(), logged: i.Logged})
	return set, verdict, err
}

// appendGenesis appends what init and migrate get to know of the space.
func (i *Instance) appendGenesis(b []byte, m *Manifest, params []byte) ([]byte, module.Verdict) {
	b = appendBytes(b, i.genesis.Creator)
	b = append(b, i.genesis.Stamp[:]...)
	if m.Params == nil {
		return appendBytes(b, params), module.Verdict{}
	}
	b, err := appendRow(b, m.Params, params)
	if err != nil {
		return nil, module.Verdict{Code: wire.CodeBadPayload, Reason: fmt.Sprintf("params: %v", err)}
	}
	return b, module.Verdict{}
}

// Judge implements [module.Instance].
func (i *Instance) Judge(caller module.Caller, records []space.Record) (module.Verdict, error) {
	defer i.giveBack()
	p := i.next()
	verdict, err := i.run(&p, &caller, records)
	i.prepared = nil
	return verdict, err
}

// Try implements [Materializer].
func (i *Instance) Try(caller module.Caller, records []space.Record) (module.Verdict, error) {
	defer i.giveBack()
	p, newest := i.next(), i.newest()
	verdict, err := i.runOn(&p, &caller, records)
	if p.change != nil && p.tables == newest.tables {
		p.change.TakeBack(p.tables.set)
	}
	return verdict, err
}

// Apply implements [module.Instance]. An error with CodeModuleDiverged tells that the module does not allow what is in
// the log: the tables here are not those by which it was admitted.
func (i *Instance) Apply(records []space.Record) error {
	if i.Applied() == module.NeedsNothing {
		return nil
	}
	defer i.giveBack()
	for len(records) > 0 {
		n := transaction(records)
		p := i.next()
		verdict, err := i.run(&p, nil, records[:n])
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

// transaction returns how many records the first transaction has.
func transaction(records []space.Record) int {
	n := 1
	for n < len(records) && records[n].Index > 0 {
		n++
	}
	return n
}

// next returns what becomes the next proposal, on the newest tables, or on a copy of them if somebody else may look at them.
func (i *Instance) next() proposal {
	newest := i.newest()
	p := proposal{tables: newest.tables, by: newest.by, expired: newest.expired}
	if p.tables.lent && !p.by.native() {
		p.tables = &version{set: p.tables.set.Copy()}
	}
	return p
}

// run applies the records of a transaction to a proposal and proposes it, or takes back what was written.
func (i *Instance) run(p *proposal, caller *module.Caller, records []space.Record) (module.Verdict, error) {
	newest, on := i.newest(), p.tables
	verdict, err := i.runOn(p, caller, records)
	if err != nil || !verdict.Allowed() {
		if p.change != nil && on == newest.tables {
			p.change.TakeBack(on.set)
		}
		return verdict, err
	}
	if tables.IsPlace(newest.seq, p.seq) && !p.by.native() || p.expires > 0 {
		p.place = p.tables.set.Copy()
	}
	i.proposals = append(i.proposals, *p)
	return verdict, nil
}

// runOn applies the records of a transaction to a proposal, each authorized before if there is a caller.
func (i *Instance) runOn(p *proposal, caller *module.Caller, records []space.Record) (module.Verdict, error) {
	p.seq = records[len(records)-1].Seq
	if strings.HasPrefix(records[0].Type, "$") && !declares(p.by, records[0].Type) {
		return i.reserved(p, caller, records)
	}
	if p.by.native() {
		return module.Verdict{}, nil
	}
	m := p.by.Program.Manifest
	host := &i.host
	host.set, host.logged = p.tables.set, i.Logged
	p.change = p.tables.set.Begin()
	toAuthorize, toApply := int32(FuelTransaction), int32(FuelTransaction) // two, as a replica only applies
	for n := range records {
		record := &records[n]
		event, verdict := i.readPayload(p.by.Program, record, caller != nil)
		if verdict.Allowed() && caller != nil {
			var err error
			if verdict, err = i.authorize(p.by, caller, event, record, &toAuthorize, host); err != nil {
				return module.Verdict{}, err
			}
		}
		if verdict.Allowed() {
			i.input = appendCall(i.input[:0], event, record, nil, i.payload)
			host.change = p.change
			var err error
			if verdict, _, err = i.callOf(p.by, Apply, &toApply, host); err != nil {
				return module.Verdict{}, err
			}
		}
		if !verdict.Allowed() {
			return verdict, nil
		}
	}
	for _, name := range m.Readable {
		p.turned = p.turned || p.change.Wrote(m.Table(name))
	}
	return module.Verdict{}, nil
}

// declares reports whether a program takes events of a type that begins with $.
func declares(by *Loaded, name string) bool {
	return !by.native() && by.Program.Manifest.Event(name) >= 0
}

// authorize asks the module whether an event may be written, whose payload was read.
func (i *Instance) authorize(by *Loaded, caller *module.Caller, event uint32, record *space.Record, left *int32, host *Host) (module.Verdict, error) {
	i.input = appendCall(i.input[:0], event, record, caller, i.payload)
	host.change = nil
	verdict, result, err := i.callOf(by, Authorize, left, host)
	if err == nil && verdict.Allowed() && result != 0 {
		verdict = module.Verdict{Code: OwnCode(max(0, min(result, MaxOwnCode)))}
	}
	return verdict, err
}

// callOf calls an export with the input that is made, and what is left of the fuel of a transaction.
func (i *Instance) callOf(by *Loaded, export Export, left *int32, host *Host) (module.Verdict, int32, error) {
	before := i.Spent
	v, result, err := i.call(by, export, i.input, min(Fuel, *left), host)
	*left -= int32(i.Spent - before)
	return v, result, err
}

// readPayload makes the payload of a record as the module gets it, and returns the place of its type in the manifest. Of what is removed no
// more is admitted.
func (i *Instance) readPayload(p *Program, record *space.Record, admits bool) (event uint32, v module.Verdict) {
	m := p.Manifest
	place := m.Event(record.Type)
	switch {
	case place < 0 && !m.Raw:
		return 0, module.Verdict{Code: wire.CodeUnknownType, Reason: fmt.Sprintf("module %s %s does not know the type %s", m.Name, m.Version, record.Type)}
	case place < 0:
		i.payload = appendRaw(i.payload[:0], record)
		return undeclared, v
	case admits && m.Events[place].Removed:
		return 0, module.Verdict{Code: wire.CodeTypeRemoved, Reason: fmt.Sprintf("module %s %s has removed the type %s", m.Name, m.Version, record.Type)}
	}
	payload, v := p.appendPayload(i.payload[:0], place, record)
	if v.Allowed() {
		i.payload = payload
	}
	return uint32(place), v
}

// appendRaw appends the payload of an event whose type is not declared.
func appendRaw(b []byte, record *space.Record) []byte {
	return appendBytes(append(appendBytes(b, record.Type), record.Schema[:]...), record.Payload)
}

// appendCall appends what authorize and apply get. Between them only that differs which one of them may not see.
func appendCall(b []byte, event uint32, record *space.Record, caller *module.Caller, payload []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, event)
	b = append(b, record.ID[:]...)
	b = binary.LittleEndian.AppendUint32(b, record.Index)
	b = binary.LittleEndian.AppendUint32(b, record.Count)
	b = appendBytes(b, record.Author)
	b = appendBytes(b, record.ClientVersion)
	if caller != nil {
		b = appendBytes(b, caller.ClaimsOf(int(record.Index)))
	} else {
		b = binary.LittleEndian.AppendUint64(b, record.Seq)
		b = binary.LittleEndian.AppendUint64(b, record.ReceivedAt)
	}
	return append(b, payload...)
}

// call calls an export and says what came of it. An error is a fault of the machine.
func (i *Instance) call(by *Loaded, export Export, input []byte, fuel int32, host *Host) (v module.Verdict, result int32, err error) {
	if limit := int(by.Program.Manifest.IO); len(input) > limit {
		return module.Verdict{Code: wire.CodeTooLarge, Reason: fmt.Sprintf("%d bytes for the module, which takes at most %d", len(input), limit)}, 0, nil
	}
	if i.lender != by.Machines {
		i.giveBack()
	}
	if i.machine == nil {
		if i.machine, err = by.Machines.Borrow(); err != nil {
			return v, 0, err
		}
		i.lender = by.Machines
	}
	host.begin()
	outcome, err := i.machine.Call(export, input, fuel, host)
	if err == nil {
		err = host.fault // whatever else came of the call
	}
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
		i.lender.Return(i.machine)
		i.machine = nil
	}
}

// Commit implements [module.Instance].
func (i *Instance) Commit(seq uint64) {
	n := 0
	for n < len(i.proposals) && i.proposals[n].seq != seq {
		n++
	}
	if n == len(i.proposals) {
		return
	}
	for k := range i.proposals[:n+1] {
		p := &i.proposals[k]
		if p.place != nil {
			i.snapshot = p.checkpoint(i.snapshot)
		}
		if p.by != i.committed.by {
			i.committed.by.release()
		}
		i.committed = *p
		i.committed.change, i.committed.place, i.committed.expires = nil, nil, 0
	}
	rest := copy(i.proposals, i.proposals[n+1:])
	clear(i.proposals[rest:])
	i.proposals = i.proposals[:rest]
}

// Rollback implements [module.Instance].
func (i *Instance) Rollback() {
	if len(i.proposals) == 0 {
		return
	}
	i.after(-1)
	by := i.committed.by
	for _, p := range i.proposals {
		if p.by != by {
			by = p.by
			by.release()
		}
	}
	i.proposals = nil
}

// MayRead implements [module.Instance]. A module without readable lets everyone read; one that traps nobody.
func (i *Instance) MayRead(identity string) (bool, error) {
	if !i.Guarded() {
		return true, nil
	}
	defer i.giveBack()
	spent := i.Spent
	verdict, result, err := i.call(i.committed.by, Readable, appendBytes(nil, identity), Fuel, &Host{set: i.after(-1).set, logged: i.Logged})
	i.Spent = spent
	return err == nil && verdict.Allowed() && result != 0, err
}

// Guarded implements [Materializer].
func (i *Instance) Guarded() bool {
	return !i.committed.by.native() && i.committed.by.Program.Exports[Readable]
}

// Turned implements [Materializer].
func (i *Instance) Turned() bool { return i.newest().turned }

// People implements [Materializer].
func (i *Instance) People() (people []Person) {
	p := i.newest()
	if p.change == nil || p.by.native() {
		return persons(nil, p.people, false)
	}
	m := p.by.Program.Manifest
	if m.Audience == "" {
		return nil
	}
	moved, replaced := p.change.Names(m.Table(m.Audience))
	people = persons(nil, moved, true)
	if slices.Contains(m.Readable, m.Audience) {
		people = persons(people, replaced, false)
	}
	return people
}

// Audience implements [Materializer].
func (i *Instance) Audience() []Person {
	names, err := audience(i.committed.by, i.after(-1).set)
	if err != nil {
		return nil // who takes part is told when it is looked at again
	}
	return persons(nil, names, false)
}

func persons(to []Person, names []string, moved bool) []Person {
	for _, name := range names {
		to = append(to, Person{name, moved})
	}
	return to
}

// audience returns those who are in the audience of tables.
func audience(by *Loaded, set *tables.Set) ([]string, error) {
	if by.native() || by.Program.Manifest.Audience == "" {
		return nil, nil
	}
	return set.Names(by.Program.Manifest.Table(by.Program.Manifest.Audience))
}

// Digest implements [Materializer].
func (i *Instance) Digest(id space.ID, at space.Position) digest.Digest {
	p := i.newest()
	of := tables.Checkpoint{Space: id, Seq: at.Seq, Chain: at.Chain, Module: module.Open}
	if !p.by.native() {
		of.Module, of.ABI = p.by.Program.Digest, p.by.Program.Manifest.ABI
	}
	return p.tables.set.Digest(&of)
}

// Checkpoint implements [Materializer].
func (i *Instance) Checkpoint() *Checkpoint {
	c := i.snapshot
	i.snapshot = nil
	return c
}

// Close implements [module.Instance].
func (i *Instance) Close() {
	if i.committed.tables == nil {
		return
	}
	i.Rollback()
	i.committed.by.release()
	i.committed.tables = nil
}
