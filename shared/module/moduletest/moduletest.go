package moduletest

import (
	"embed"
	"encoding/json"
	"fmt"
	"testing"

	"skerry/shared/module/program"
	"skerry/shared/wire"
)

// NewMachines makes the machines of a program on the engine that is tested. It may be called several times for one.
type NewMachines func(*program.Program) (program.Machines, error)

//go:embed testdata/*.json
var vectors embed.FS

// group is cases whose transcripts are one file.
type group struct {
	name  string
	cases []testCase
}

type testCase struct {
	name string
	run  func(*session)
}

// groups are all cases.
func groups() []group {
	return []group{{"builtin", builtinCases()}, {"chat", chatCases(Chat())}, {"host", hostCases()}, {"hostile", hostileCases()}, {"loaded", loadedCases()}, {"mutants", mutantCases()}, {"random", randomCases()}, {"schemas", schemaCases()}, {"typed", typedCases()}, {"upgrade", upgradeCases()}}
}

// Run runs all cases on an engine and compares what they tell with the vectors.
func Run(t *testing.T, machines NewMachines) {
	for _, g := range groups() {
		t.Run(g.name, func(t *testing.T) {
			content, err := vectors.ReadFile("testdata/" + g.name + ".json")
			want := map[string][]string{}
			if err == nil {
				err = json.Unmarshal(content, &want)
			}
			if err != nil {
				t.Fatalf("the vectors of %s: %v", g.name, err)
			}
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) { compare(t, transcript(t, machines, c), want[c.name]) })
				delete(want, c.name)
			}
			for name := range want {
				t.Errorf("there is a vector %q and no case", name)
			}
		})
	}
}

// SameAsChat runs the cases of Chat with another module that does the same and declares the same, and wants it to give the
// same verdicts, for the same reasons, and tables.
func SameAsChat(t *testing.T, machines NewMachines, chat []byte) {
	of := func(t *testing.T, c testCase) []string {
		s := &session{t: t, new: machines, plain: true}
		c.run(s)
		return s.lines
	}
	same := chatCases(chat)
	for i, c := range chatCases(Chat()) {
		t.Run(c.name, func(t *testing.T) { compare(t, of(t, same[i]), of(t, c)) })
	}
}

func compare(t *testing.T, got, want []string) {
	if len(got) == 0 {
		t.Fatal("the case tells nothing")
	}
	for i := range max(len(got), len(want)) {
		a, b := "(nothing)", "(nothing)"
		if i < len(got) {
			a = got[i]
		}
		if i < len(want) {
			b = want[i]
		}
		if a != b {
			t.Fatalf("line %d:\n got %s\nwant %s", i+1, a, b)
		}
	}
}

// Vectors runs all cases and returns what is in the files of testdata if this engine is right.
func Vectors(t *testing.T, machines NewMachines) map[string][]byte {
	files := map[string][]byte{}
	for _, g := range groups() {
		all := map[string][]string{}
		for _, c := range g.cases {
			all[c.name] = transcript(t, machines, c)
		}
		content, err := json.MarshalIndent(all, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		files[g.name+".json"] = append(content, '\n')
	}
	return files
}

func transcript(t *testing.T, machines NewMachines, c testCase) []string {
	s := &session{t: t, new: machines}
	c.run(s)
	return s.lines
}

// session runs one case.
type session struct {
	t     *testing.T
	new   NewMachines
	lines []string
	calls []string // since the last line
	plain bool     // what is told is what every module that does the same tells: nothing of calls and fuel
}

func (s *session) tell(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	for _, call := range s.calls {
		line += " | " + call
	}
	s.lines, s.calls = append(s.lines, line), s.calls[:0]
}

// load makes the machines of a module, or tells why that is refused.
func (s *session) load(bytes []byte) (*program.Program, program.Machines) {
	s.t.Helper()
	p, err := program.Load(bytes)
	var machines program.Machines
	if err == nil {
		machines, err = s.new(p)
	}
	switch {
	case err == nil:
		return p, &recorder{machines, s}
	case wire.CodeOf(err) != wire.CodeBadModule:
		s.t.Fatalf("loading a module failed by the machine: %v", err)
	}
	s.tell("%v", err)
	return nil, nil
}

// recorder is machines whose calls are told.
type recorder struct {
	program.Machines
	session *session
}

type recordingMachine struct {
	program.Machine
	session *session
}

func (r *recorder) Borrow() (program.Machine, error) {
	m, err := r.Machines.Borrow()
	return &recordingMachine{m, r.session}, err
}

func (r *recorder) Return(m program.Machine) { r.Machines.Return(m.(*recordingMachine).Machine) }

func (m *recordingMachine) Call(e program.Export, input []byte, fuel int32, host *program.Host) (program.Outcome, error) {
	o, err := m.Machine.Call(e, input, fuel, host)
	if err != nil {
		m.session.t.Fatalf("%v failed by the machine: %v", e, err)
	}
	if m.session.plain {
		return o, err
	}
	text := fmt.Sprintf("%v %d", e, o.Result)
	if o.Trapped {
		text = fmt.Sprintf("%v trapped at %d frames, %d slots", e, o.Frames, o.Slots)
	}
	m.session.calls = append(m.session.calls, fmt.Sprintf("%s, fuel %d of %d", text, o.Fuel, fuel))
	return o, err
}

// fresh is machines of which none is used twice.
type fresh struct{ program.Machines }

func (fresh) Return(m program.Machine) { m.Close() }
