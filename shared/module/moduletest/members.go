package moduletest

import (
	_ "embed"
	"errors"
	"fmt"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
)

//go:embed guests/members.wasm
var membersBytes []byte

// Members returns the bytes of a list of members, who alone may read, changed by change if it is not nil. Its events are
// add{who}, remove{who} and note{text}; its creator is the first member.
func Members(change func(*program.Manifest)) []byte {
	m := membersManifest()
	if change != nil {
		change(m)
	}
	return m.AppendSection(membersBytes)
}

func membersManifest() *program.Manifest {
	return &program.Manifest{
		Name: "members", Version: "1.0.0", ABI: program.ABI, IO: program.DefaultIO, Raw: true,
		Events: []program.EventType{
			{Name: "add", Fields: []program.Field{{Name: "who", Kind: tables.Text}}},
			{Name: "remove", Fields: []program.Field{{Name: "who", Kind: tables.Text}}},
			{Name: "note", Fields: []program.Field{{Name: "text", Kind: tables.Text}}},
		},
		Tables: []tables.Schema{
			{Name: "members", Columns: []tables.Column{{Name: "who", Kind: tables.Text}}, Key: []int{0}},
			{Name: "notes", Columns: []tables.Column{{Name: "seq", Kind: tables.U64}, {Name: "text", Kind: tables.Text}}, Key: []int{0}},
		},
		Readable: []string{"members"}, Audience: "members", Upgrade: program.Carry,
	}
}

// MembersAdd returns the payload of an add, and of a remove.
func MembersAdd(who string) []byte { return payload("who", who) }

// MembersNote returns the payload of a note.
func MembersNote(text string) []byte { return payload("text", text) }

// UpgradeTo returns the payload of an upgrade to a module.
func UpgradeTo(bytes []byte) []byte {
	d := digest.Of(bytes)
	return payload("hash", d[:])
}

func add(who string) event   { return event{"add", MembersAdd(who)} }
func note(text string) event { return event{"note", MembersNote(text)} }

func upgrade(bytes, params []byte) event {
	d := digest.Of(bytes)
	if params == nil {
		return event{module.TypeModule, payload("hash", d[:])}
	}
	return event{module.TypeModule, payload("hash", d[:], "params", params)}
}

// versioned is a list of members of another version.
func versioned(version string, change func(*program.Manifest)) []byte {
	return Members(func(m *program.Manifest) {
		m.Version = version
		if change != nil {
			change(m)
		}
	})
}

// upgradable makes a space that can go over to modules.
func (s *session) upgradable(bytes []byte, modules ...[]byte) *testSpace {
	made := s.space(bytes, nil)
	made.modules = append(modules, bytes)
	made.prepare(made.instance)
	return made
}

// open makes a space that everybody writes to, and that can go over to modules.
func (s *session) open(modules ...[]byte) *testSpace {
	made := &testSpace{session: s, modules: modules, program: &program.Program{Digest: module.Open}}
	made.genesis.Creator = "creator"
	var err error
	if made.instance, err = program.Begin(&program.Loaded{}, &made.genesis); err != nil {
		s.t.Fatal(err)
	}
	made.prepare(made.instance)
	return made
}

// madeBy begins the space anew, as one of another creator.
func (s *testSpace) madeBy(creator string) {
	s.genesis.Creator = creator
	machines, err := s.new(s.program)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.instance, err = program.New(s.program, machines, &s.genesis); err != nil {
		s.t.Fatal(err)
	}
	s.prepare(s.instance)
}

// prepare gives an instance the modules of the test, and its log.
func (s *testSpace) prepare(i *program.Instance) {
	i.Load = func(d digest.Digest) (*program.Loaded, error) {
		for _, bytes := range s.modules {
			if digest.Of(bytes) != d {
				continue
			}
			p, err := program.Load(bytes)
			if err != nil {
				return nil, err
			}
			machines, err := s.new(p)
			if err != nil {
				return nil, err
			}
			s.loaded++
			return &program.Loaded{Program: p, Machines: &recorder{machines, s.session}, Release: func() { s.loaded-- }}, nil
		}
		return nil, module.ErrMissing
	}
	i.History = func(after, to uint64, f func([]space.Record) error) error {
		if to > uint64(len(s.log)) {
			return errors.New("there is no such record")
		}
		return f(s.log[after:to])
	}
}

// version tells which module judges, and how many were loaded and not released.
func (s *testSpace) version() {
	p := s.instance.Program()
	if p == nil {
		s.tell("open judges, %d loaded", s.loaded)
		return
	}
	s.tell("%s %s judges, %d loaded", p.Manifest.Name, p.Manifest.Version, s.loaded)
}

// anew applies the log to another instance, all at once or a transaction at a time, and wants equal tables.
func (s *testSpace) anew() {
	s.t.Helper()
	for _, together := range []bool{true, false} {
		machines, err := s.new(s.program)
		if err != nil {
			s.t.Fatal(err)
		}
		other, err := program.New(s.program, machines, &s.genesis)
		if err != nil {
			s.t.Fatal(err)
		}
		s.prepare(other)
		before := s.loaded
		if together {
			err = other.Apply(s.log)
		}
		for n := range s.log {
			if !together && err == nil {
				err = other.Apply(s.log[n : n+1])
			}
		}
		if err != nil {
			s.t.Fatalf("applying the log again: %v", err)
		}
		if got, want := s.digest(other.Committed()), s.digest(s.instance.Committed()); got != want || other.Program().Digest != s.instance.Program().Digest {
			s.t.Fatalf("applied again, the tables are %s, not %s", got, want)
		}
		if other.Close(); s.loaded > before {
			s.t.Fatalf("%d programs were not released", s.loaded-before)
		}
		s.calls = s.calls[:0]
	}
}

// upgradeCases are spaces that go over to other modules, or do not.
func upgradeCases() []testCase {
	renamed := func(m *program.Manifest) {
		m.Tables[0].Name, m.Readable, m.Audience = "people", []string{"people"}, "people"
	}
	bytesKey := func(m *program.Manifest) { m.Tables[0].Columns[0].Kind = tables.Bytes }
	replayed := func(m *program.Manifest) { m.Upgrade = program.Replay }
	return []testCase{
		{"upgrade: who may", func(s *session) {
			next := versioned("1.1.0", nil)
			space := s.upgradable(Members(nil), next)
			space.push("creator", add("bob"), add("trapped"), add("sam"))
			space.push("eve", upgrade(next, nil))
			space.push("sam", upgrade(next, nil))     // the module says no
			space.push("trapped", upgrade(next, nil)) // it traps
			space.version()
			space.push("bob", upgrade(next, nil))
			space.version()
			space.push("creator", add("carol"))
			space.anew()
		}},
		{"upgrade: who may where the module is not asked", func(s *session) {
			quiet := Members(func(m *program.Manifest) { m.Raw = false })
			next := versioned("1.1.0", nil)
			space := s.upgradable(quiet, next)
			space.push("creator", add("bob"))
			space.push("bob", upgrade(next, nil))
			space.push("creator", upgrade(next, nil))
			space.version()
			space.anew()
		}},
		{"upgrade: the creator may where the module traps", func(s *session) {
			next := versioned("1.1.0", nil)
			space := s.upgradable(Members(nil), next)
			space.madeBy("trapped")
			space.push("trapped", upgrade(next, nil))
			space.version()
		}},
		{"upgrade: what it may not be", func(s *session) {
			missing, broken := versioned("9.9.9", nil), membersBytes
			silent := versioned("1.2.0", func(m *program.Manifest) { m.Upgrade = "" })
			unique := versioned("1.3.0", func(m *program.Manifest) {
				m.Tables[1].Indexes = []tables.Index{{Name: "by_text", Columns: []int{1}, Unique: true}}
			})
			space := s.upgradable(Members(nil), broken, silent, unique)
			space.push("creator", note("a"), note("a"))
			for _, bytes := range [][]byte{missing, broken, silent, unique} {
				space.push("creator", upgrade(bytes, nil))
			}
			for _, b := range [][]byte{nil, {0xc1}, payload("hash", []byte("short")), payload("hash", "text"), payload("params", []byte{1})} {
				space.push("creator", event{module.TypeModule, b})
			}
			space.push("creator", upgrade(Members(nil), nil), note("b"))
			space.version()
			space.push("creator", note("c"))
			space.anew()
		}},
		{"upgrade: carry", func(s *session) {
			indexed := versioned("1.1.0", func(m *program.Manifest) {
				m.Tables[1].Indexes = []tables.Index{{Name: "by_text", Columns: []int{1}}}
				m.Tables = append(m.Tables, tables.Schema{Name: "new", Columns: m.Tables[0].Columns, Key: []int{0}})
			})
			space := s.upgradable(Members(nil), indexed, versioned("1.2.0", nil))
			space.push("creator", add("bob"), note("b"), note("a"))
			space.push("creator", upgrade(indexed, nil))
			space.push("bob", note("c"))
			space.push("bob", upgrade(versioned("1.2.0", nil), nil)) // the table that is empty goes
			space.version()
			space.push("bob", note("d"))
			space.anew()
		}},
		{"upgrade: migrate", func(s *session) {
			space := s.upgradable(Members(nil), versioned("2.0.0", renamed), versioned("3.0.0", bytesKey))
			for n := range 4 {
				var events []event
				for i := range 600 {
					events = append(events, add(fmt.Sprintf("member %d", n*600+i)))
				}
				space.push("creator", events...)
				s.calls = s.calls[:0]
			}
			s.lines = s.lines[len(s.lines)-1:]
			space.push("creator", upgrade(versioned("2.0.0", renamed), []byte("params"))) // in pieces
			space.version()
			space.push("2.0.0", note("no member"))
			space.push("1.0.0", note("one of its own"))
			space.mayRead("member 2399")
			space.push("creator", upgrade(versioned("3.0.0", bytesKey), nil))
			space.version()
			space.anew()
		}},
		{"upgrade: a migrate that fails", func(s *session) {
			next := versioned("2.0.0", bytesKey)
			for _, who := range []string{"looping", "x", "q", "fine"} {
				space := s.upgradable(Members(nil), next)
				space.push("creator", add("bob"), add(who))
				space.push("creator", upgrade(next, nil))
				space.version()
				space.push("bob", note("it goes on"))
				space.anew()
			}
		}},
		{"upgrade: no migrate", func(s *session) {
			bare := func(change func(*program.Manifest)) []byte {
				m := smallManifest()
				m.Upgrade, m.Tables = program.Carry, []tables.Schema{{Name: "members", Columns: []tables.Column{{Name: "who", Kind: tables.Text}}, Key: []int{0}}}
				change(m)
				return with(func(w *wasm) { w.manifest = m.Append(nil) })
			}
			other := bare(func(m *program.Manifest) { m.Tables[0].Columns[0].Kind = tables.Bytes })
			same := bare(func(*program.Manifest) {})
			none := bare(func(m *program.Manifest) { m.Tables = nil })
			space := s.upgradable(Members(nil), other, same, none)
			space.push("creator", note("a"))
			space.push("creator", upgrade(other, nil))
			space.push("creator", upgrade(same, nil)) // notes are dropped
			space.push("anybody", upgrade(none, nil)) // whom the least module allows, as it does everything
			space.push("anybody", event{"hello", nil})
			space.version()
			space.anew()
		}},
		{"upgrade: replay", func(s *session) {
			space := s.upgradable(Members(nil), versioned("2.0.0", replayed), versioned("3.0.0", func(m *program.Manifest) {
				replayed(m)
				renamed(m)
			}), Chat(), versioned("4.0.0", func(m *program.Manifest) {
				replayed(m)
				m.Events, m.Raw = m.Events[:2], false
			}))
			space.push("creator", add("bob"), note("a"))
			space.push("bob", note("b"))
			space.push("bob", upgrade(versioned("2.0.0", replayed), nil))
			space.push("bob", note("c"), note("d"))
			space.push("bob", upgrade(versioned("3.0.0", func(m *program.Manifest) {
				replayed(m)
				renamed(m)
			}), nil))
			space.version()
			space.push("bob", upgrade(versioned("4.0.0", func(m *program.Manifest) { // it does not know notes
				replayed(m)
				m.Events, m.Raw = m.Events[:2], false
			}), nil))
			space.push("bob", note("e"))
			space.anew()
		}},
		{"upgrade: proposed and taken back", func(s *session) {
			next := versioned("2.0.0", renamed)
			space := s.upgradable(Members(nil), next)
			space.judge("creator", add("bob"))
			space.judge("bob", upgrade(next, nil))
			space.judge("bob", note("under the next"))
			space.version()
			space.instance.Rollback()
			space.log = nil
			space.version()
			space.push("creator", add("bob"))
			space.judge("bob", upgrade(next, nil))
			space.judge("bob", note("under the next"))
			space.instance.Commit(3)
			space.version()
			space.mayRead("bob")
			space.anew()
		}},
		{"upgrade: from open and to it", func(s *session) {
			space := s.open(Members(nil), versioned("2.0.0", replayed))
			space.push("anybody", event{"hello", []byte{0xc1}})
			space.push("anybody", upgrade(Members(nil), nil))
			space.push("creator", upgrade(Members(nil), nil))
			space.version()
			space.push("creator", add("bob")) // nobody is a member: there was no init
			space.push("1.0.0", note("nor of that name"))
			space.push("", add("bob")) // but of the version, which open has none of
			space.push("bob", event{module.TypeModule, payload("hash", module.Open[:])})
			space.version()
			space.push("anybody", event{"hello", []byte{0xc1}})
		}},
	}
}
