package moduletest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// Trial is a module that nobody wrote, and a random log that it judges: engines have to tell the same of it.
type Trial struct {
	Module []byte
	Others [][]byte // that the space may go over to
	Seed   uint64   // of the log
	Fuel   int32    // at most for a call, so that those without an end have one soon
}

// MutantTrial returns a mutant of one of the guests and a log.
func MutantTrial(r *rand.Rand) (*Trial, error) {
	t := newTrial(r)
	for n := range 2 {
		module, err := mutantGuest(r)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			t.Module = module
		} else {
			t.Others = append(t.Others, module)
		}
	}
	return t, nil
}

// AdaptedTrial returns a guest made of a module of any functions, and a log.
func AdaptedTrial(r *rand.Rand, module []byte) (*Trial, error) {
	t := newTrial(r)
	var err error
	if t.Module, err = adapt(r, module); err != nil {
		return nil, err
	}
	other, err := adapt(r, module)
	t.Others = append(t.Others, other)
	return t, err
}

func newTrial(r *rand.Rand) *Trial {
	t := &Trial{Seed: r.Uint64(), Fuel: 300_000, Others: [][]byte{versioned("1.5.0", nil), Chat()}}
	switch r.IntN(20) {
	case 0:
		t.Fuel = program.Fuel
	case 1, 2, 3, 4, 5: // it ends anywhere
		t.Fuel = 50 + r.Int32N(10_000)
	}
	return t
}

// mutantGuest returns a changed guest with a manifest, whose tables may be others than the guest knows.
func mutantGuest(r *rand.Rand) ([]byte, error) {
	bytes, m := chatBytes, ChatManifest()
	switch r.IntN(3) {
	case 0:
		bytes, m = probeBytes, probeManifest()
	case 1:
		bytes, m = membersBytes, membersManifest()
	}
	if r.IntN(8) == 0 {
		m.Tables, m.Readable, m.Audience = randomSchemas(r), nil, ""
	}
	if m.Raw = r.IntN(3) > 0; r.IntN(2) == 0 {
		m.Upgrade = []string{program.Carry, program.Replay}[r.IntN(2)]
	}
	bytes, err := mutant(r, bytes)
	return m.AppendSection(bytes), err
}

// Tally counts what trials did.
type Tally struct {
	Trials, Loaded, Begun, Transactions, Events, Calls int
	Upgrades                                           int               // that were allowed
	Codes                                              map[wire.Code]int // of verdicts on transactions; 0 is yes
}

// Run runs the trial and returns all that engines have to agree on. An error is a fault of the machine, which no module
// may be able to bring about, or a log that applied again has other tables.
func (t *Trial) Run(machines NewMachines, tally *Tally) ([]string, error) {
	run := &trialRun{Trial: t, r: rand.New(rand.NewPCG(t.Seed, 0x7a1)), new: machines, tally: tally}
	tally.Trials++
	err := run.run()
	return run.lines, err
}

// trialRun is a trial that runs.
type trialRun struct {
	*Trial
	r        *rand.Rand
	new      NewMachines
	tally    *Tally
	lines    []string
	calls    []string // since the last line
	log      []space.Record
	genesis  space.Genesis
	program  *program.Program // of the first module
	instance *program.Instance
}

func (t *trialRun) tell(format string, args ...any) {
	t.lines = append(t.lines, strings.Join(append([]string{fmt.Sprintf(format, args...)}, t.calls...), " | "))
	t.calls = t.calls[:0]
}

func (t *trialRun) run() error {
	p, machines, err := t.load(t.Module)
	if err != nil {
		return t.refused(err)
	}
	t.tally.Loaded++
	t.program = p
	t.genesis = space.Genesis{Stamp: space.ULID{1, 2, 3}, Creator: authors[0], Module: p.Digest, Params: t.params()}
	if t.instance, err = program.New(p, machines, &t.genesis); err != nil {
		return t.refused(err)
	}
	defer t.instance.Close()
	t.tally.Begun++
	t.prepare(t.instance)
	t.tell("space: tables %s", t.digest(t.instance))
	for range 12 {
		if err := t.round(); err != nil {
			return err
		}
	}
	return t.again()
}

// refused tells an error by the rules, and returns any other.
func (t *trialRun) refused(err error) error {
	var coded *wire.CodeError
	if !errors.As(err, &coded) {
		return err
	}
	t.tell("%v", err)
	return nil
}

func (t *trialRun) load(bytes []byte) (*program.Program, program.Machines, error) {
	p, err := program.Load(bytes)
	if err != nil {
		return nil, nil, err
	}
	machines, err := t.new(p)
	return p, &thrifty{machines, t}, err
}

// prepare gives an instance the other modules, and the log.
func (t *trialRun) prepare(i *program.Instance) {
	i.Load = func(d digest.Digest) (*program.Loaded, error) {
		for _, bytes := range append([][]byte{t.Module}, t.Others...) {
			if digest.Of(bytes) == d {
				p, machines, err := t.load(bytes)
				return &program.Loaded{Program: p, Machines: machines}, err
			}
		}
		return nil, module.ErrMissing
	}
	i.History = func(after, to uint64, f func([]space.Record) error) error { return f(t.log[after:to]) }
	i.Logged = func(line []byte) { t.calls = append(t.calls, fmt.Sprintf("log %.8x", digest.Of(line))) }
}

func (t *trialRun) digest(i *program.Instance) string {
	d := i.Digest(space.ID{}, space.Position{Seq: uint64(len(t.log))})
	return d.String()[:16]
}

// round judges a few transactions, and commits or takes back some of them.
func (t *trialRun) round() error {
	committed := len(t.log)
	var ends []int // of what is proposed
	for range 1 + t.r.IntN(3) {
		author := authors[0]
		if t.r.IntN(5) < 2 {
			author = authors[t.r.IntN(len(authors))]
		}
		allowed, err := t.judge(author)
		if err != nil {
			return err
		}
		if allowed {
			ends = append(ends, len(t.log))
		}
	}
	switch n := t.r.IntN(len(ends) + 3); {
	case n == 0:
		t.instance.Rollback()
		t.log = t.log[:committed]
	case n <= len(ends):
		t.instance.Commit(uint64(ends[n-1]))
		t.instance.Rollback()
		t.log = t.log[:ends[n-1]]
	default:
		t.instance.Commit(uint64(len(t.log)))
	}
	may, err := t.instance.MayRead(authors[t.r.IntN(len(authors))])
	t.tell("at %d: tables %s, readable %v", t.instance.Applied(), t.digest(t.instance), may)
	return err
}

// judge judges a random transaction.
func (t *trialRun) judge(author string) (bool, error) {
	by := t.instance.Program()
	transaction := space.Transaction{Author: author, API: "1.0.0", ClientVersion: "2.1.0"}
	for n := range 1 + t.r.IntN(3) {
		e := t.event(by.Manifest)
		id := space.ULID{14: byte(len(t.log) >> 8), 15: byte(len(t.log) + n)}
		transaction.Events = append(transaction.Events, space.Event{ID: id, Type: e.name, Payload: e.payload})
		if strings.HasPrefix(e.name, "$") {
			transaction.Events = transaction.Events[n:]
			break
		}
	}
	records := transaction.Records(uint64(len(t.log)+1), 1_700_000_000_000+uint64(len(t.log)))
	spent := t.instance.Spent
	v, err := t.instance.Judge(module.Caller{Identity: author}, records)
	if err != nil {
		return false, fmt.Errorf("judging failed by the machine: %w", err)
	}
	t.tally.Transactions++
	t.tally.Events += len(records)
	t.tally.Codes[v.Code]++
	if v.Allowed() {
		t.log = append(t.log, records...)
		if strings.HasPrefix(records[0].Type, "$") {
			t.tally.Upgrades++
		}
	}
	said := "yes"
	if !v.Allowed() {
		said = fmt.Sprintf("%v %q", v.Code, v.Reason)
	}
	t.tell("%s, %d events by %q: %s, fuel %d, tables %s", records[0].Type, len(records), author, said, t.instance.Spent-spent, t.digest(t.instance))
	return v.Allowed(), nil
}

// again applies the log to another instance, and wants the same tables and module.
func (t *trialRun) again() error {
	want, by := t.digest(t.instance), t.instance.Program().Digest
	machines, err := t.new(t.program)
	if err != nil {
		return err
	}
	other, err := program.New(t.program, &thrifty{machines, t}, &t.genesis)
	if err != nil {
		return fmt.Errorf("the space does not begin again: %w", err)
	}
	defer other.Close()
	t.prepare(other)
	if err := other.Apply(t.log); err != nil {
		return fmt.Errorf("applying the log again: %w", err)
	}
	if got := t.digest(other); got != want || other.Program().Digest != by {
		return fmt.Errorf("applied again, the tables are %s, not %s", got, want)
	}
	t.tell("applied again: the same")
	return nil
}

// thrifty is machines whose calls are told, and get less fuel than they might.
type thrifty struct {
	program.Machines
	run *trialRun
}

type thriftyMachine struct {
	program.Machine
	run *trialRun
}

func (m *thrifty) Borrow() (program.Machine, error) {
	lent, err := m.Machines.Borrow()
	return &thriftyMachine{lent, m.run}, err
}

// Return gives back the machine, one of four of them closed: what is used again and what is not has to be the same.
func (m *thrifty) Return(lent program.Machine) {
	machine := lent.(*thriftyMachine).Machine
	if len(m.run.lines)%4 == 3 {
		machine.Close()
		return
	}
	m.Machines.Return(machine)
}

func (m *thriftyMachine) Call(e program.Export, input []byte, fuel int32, host *program.Host) (program.Outcome, error) {
	given := min(fuel, m.run.Fuel)
	o, err := m.Machine.Call(e, input, given, host)
	m.run.tally.Calls++
	m.run.calls = append(m.run.calls, fmt.Sprintf("%v of %d: %d, trapped %v, fuel %d of %d, %d frames, %d slots", e, len(input), o.Result, o.Trapped, o.Fuel, given, o.Frames, o.Slots))
	if o.Fuel >= 0 {
		o.Fuel += fuel - given
	}
	return o, err
}

// authors have names of one length, so that a module that was not written may find what follows them.
var authors = []string{"creator", "another", "someone", ""}

// params are those of a space: often a script, which the probe runs.
func (t *trialRun) params() []byte {
	if t.r.IntN(3) > 0 {
		return nil
	}
	script, data := wild(t.r)
	return script.form(data)
}

// event makes one of a type that the manifest has, seldom of another.
func (t *trialRun) event(m *program.Manifest) (e event) {
	if t.r.IntN(25) == 0 {
		all := append([][]byte{t.Module}, t.Others...)
		return upgrade(all[t.r.IntN(len(all))], nil)
	}
	if len(m.Events) == 0 || t.r.IntN(15) == 0 {
		return event{[]string{"undeclared", "message", "add"}[t.r.IntN(3)], []byte(strings.Repeat("x", t.r.IntN(60)))}
	}
	kind := m.Events[t.r.IntN(len(m.Events))]
	e.name = kind.Name
	if kind.Fields[0].Name == "script" {
		script, data := wild(t.r)
		if t.r.IntN(2) == 0 {
			return event{e.name, randomWrites(t.r, m.Tables).payload}
		}
		e.payload = payload("script", []byte(script), "data", data)
	} else {
		var pairs []any
		for _, f := range kind.Fields {
			pairs = append(pairs, f.Name, t.field(&f))
		}
		e.payload = payload(pairs...)
	}
	if t.r.IntN(30) == 0 {
		e.payload[t.r.IntN(len(e.payload))] ^= byte(1 << t.r.IntN(8))
	}
	return e
}

// field returns a value for a field.
func (t *trialRun) field(f *program.Field) any {
	words := []string{"tea", "cake", "creator", "another", "someone", "", "looping", "x", "q", "trapped", "\u00fc", strings.Repeat("w", t.r.IntN(700))}
	if f.Optional && t.r.IntN(3) == 0 {
		return nil
	}
	switch f.Kind {
	case tables.Bool:
		return t.r.IntN(2) == 0
	case tables.I64:
		return t.r.IntN(200) - 20
	case tables.U64:
		return t.r.IntN(len(t.log) + 3)
	case tables.F64:
		return []float64{0, -1.5, 1e300, 5e-324}[t.r.IntN(4)]
	case tables.Text:
		if t.r.IntN(200) == 0 {
			return strings.Repeat("long", 17_000)
		}
		return words[t.r.IntN(len(words))]
	}
	return []byte(words[t.r.IntN(len(words))])
}

// wild is a script for the probe that says anything to the host, and data.
func wild(r *rand.Rand) (do script, data []byte) {
	if r.IntN(12) == 0 { // rows of 64 KiB: about as many as a transaction may write
		do = do.do(opCopy, freeAt, dataAt, 12).do(opPut, 0, freeAt, 64<<10).do(opAdd, freeAt, 1).do(opAgain, 2, uint32(13+r.IntN(4)))
		return do, concat(u64(uint64(r.IntN(3))<<32), binary.LittleEndian.AppendUint32(nil, 64<<10-12))
	}
	x := &mutator{r, &parts{pages: [2]uint32{4, 8}}}
	for range 1 + r.IntN(10) {
		op := r.IntN(28)
		if op >= opTrap && op <= opFill && r.IntN(8) > 0 || op == opExpect && r.IntN(3) > 0 {
			op = r.IntN(9)
		}
		var operands []uint32
		if op < len(hostFunctions) {
			for _, of := range []byte(hostFunctions[op].params) {
				n := uint32(x.value(of))
				if of == 'p' && r.IntN(2) == 0 {
					n = dataAt + uint32(r.IntN(40))
				}
				operands = append(operands, n)
			}
		} else if op == opAgain {
			operands = []uint32{uint32(1 + r.IntN(3)), uint32(r.IntN(40))}
		} else {
			operands = []uint32{uint32(x.value('p')), uint32(x.value('n')), uint32(x.value('p'))}
		}
		do = do.do(uint32(op), operands...)
	}
	for range r.IntN(60) {
		data = append(data, []byte{0, 0, 0, 1, 4, 255, 'a', byte(r.Uint32())}[r.IntN(8)])
	}
	return do, data
}
