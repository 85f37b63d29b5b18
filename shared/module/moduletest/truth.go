package moduletest

import (
	"fmt"
	"strings"

	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/module/system"
)

// Truth is a table of who may do what in a space of a module that is built in. Every engine is held to it, and so is the
// module's page in docs/modules.
type Truth struct {
	Module  string
	people  []person
	actions []action
	params  []byte
	before  func(*testSpace) // what happened in the space
}

// person is a column of a truth table.
type person struct{ who, identity string }

// action is a line of it.
type action struct {
	does string
	may  string         // "yes" or "no", or a remark behind yes, for each person
	try  func() []event // nil: reads
}

// Markdown returns the table as the page has it.
func (t *Truth) Markdown() string {
	var b strings.Builder
	line := func(first string, cells []string) {
		fmt.Fprintf(&b, "| %s | %s |\n", first, strings.Join(cells, " | "))
	}
	var people, rule []string
	for _, p := range t.people {
		people, rule = append(people, p.who), append(rule, "---")
	}
	fmt.Fprintf(&b, "| | %s |\n", strings.Join(people, " | "))
	line("---", rule)
	for _, a := range t.actions {
		line(a.does, strings.Fields(a.may))
	}
	return b.String()
}

// run tries each action by each person, and takes back what was allowed.
func (t *Truth) run(s *session) {
	space := s.space(builtinBytes(t.Module), t.params)
	space.modules = [][]byte{Members(nil), builtinBytes("members"), builtinBytes(t.Module)}
	space.prepare(space.instance)
	if t.before != nil {
		t.before(space)
	}
	for _, a := range t.actions {
		for i, want := range strings.Fields(a.may) {
			p := t.people[i]
			got := "no"
			if space.may(p.identity, a) {
				got = "yes"
			}
			if got != want {
				s.t.Errorf("%s: %s, %s: %s, and should be %s: %s", t.Module, a.does, p.who, got, want, s.lines[len(s.lines)-1])
			}
		}
	}
}

// may reports whether somebody may do something, and leaves the space as it was.
func (s *testSpace) may(identity string, a action) bool {
	if a.try == nil {
		return s.mayRead(identity)
	}
	committed := len(s.log)
	v := s.judge(identity, a.try()...)
	s.instance.Rollback()
	s.log = s.log[:committed]
	return v.Allowed()
}

// builtin makes a space of a module that is built in, which can go over to lists of members.
func (s *session) builtin(name string) *testSpace {
	s.t.Helper()
	return s.upgradable(builtinBytes(name), Members(nil), builtinBytes("members"))
}

func builtinBytes(name string) []byte {
	if name == "system" {
		return system.Bytes // which the page's build has under no name
	}
	d, _ := builtin.ByName(name)
	return builtin.Bytes(d)
}

// Truths returns the tables of all modules that are built in.
func Truths() []*Truth {
	return []*Truth{ownerTruth("personal", "yes no no"), ownerTruth("broadcast", "yes yes yes"), membersTruth(), kvTruth(), systemTruth()}
}

func anything() []event { return []event{{"anything", []byte{0xc1}}} }
func several() []event {
	return []event{{"anything", nil}, {"else", payload("n", 1)}, {"anything", []byte("no msgpack")}}
}

// deletion is the event that deletes a space.
var deletion = event{module.TypeDelete, []byte{0x80}}

// expiry is the event by which the first record of a space expires, which has one.
var expiry = event{module.TypeExpire, module.Expire(1)}

func takeover() []event { return []event{upgrade(Members(nil), nil)} }

// ownerTruth is that of a space which only its maker writes to.
func ownerTruth(name, reads string) *Truth {
	return &Truth{
		Module: name,
		people: []person{{"who made it", "creator"}, {"another", "eve"}, {"nobody known", ""}},
		actions: []action{
			{"reads", reads, nil},
			{"writes an event of any type", "yes no no", anything},
			{"writes several at once", "yes no no", several},
			{"takes the space over to another module", "yes no no", takeover},
			{"deletes the space", "yes no no", one(deletion)},
		},
	}
}

// builtinCases are the truth tables, and what is particular about each module.
func builtinCases() []testCase {
	var cases []testCase
	for _, truth := range Truths() {
		cases = append(cases, testCase{truth.Module + ": who may", truth.run})
	}
	for _, name := range []string{"personal", "broadcast"} {
		cases = append(cases, ownerCases(name)...)
	}
	cases = append(cases, builtinMembersCases()...)
	cases = append(cases, builtinKVCases()...)
	cases = append(cases, builtinSystemCases()...)
	return append(cases, testCase{"broadcast: personal, and for all again", func(s *session) {
		space := s.upgradable(builtinBytes("personal"), builtinBytes("broadcast"))
		space.push("creator", event{"secret", nil})
		space.push("eve", upgrade(builtinBytes("broadcast"), nil))
		space.push("creator", upgrade(builtinBytes("broadcast"), nil))
		space.version()
		if !space.mayRead("eve") {
			s.t.Error("not everybody may read")
		}
		space.push("eve", event{"hello", nil})
		space.push("creator", event{"hello", nil})
		space.push("creator", upgrade(builtinBytes("personal"), nil))
		if space.mayRead("eve") {
			s.t.Error("everybody may read")
		}
		space.anew()
	}})
}

// ownerCases are of modules that have an owner.
func ownerCases(name string) []testCase {
	bytes := builtinBytes(name)
	return []testCase{
		{name + ": from open", func(s *session) {
			space := s.open(bytes)
			space.push("anybody", event{"hello", nil})
			space.push("anybody", upgrade(bytes, nil))
			space.push("creator", upgrade(bytes, nil))
			space.version()
			space.mayRead("creator")
			space.mayRead("anybody")
			space.push("anybody", event{"hello", nil})
			space.push("creator", event{"hello", nil})
		}},
		{name + ": not from what has other tables", func(s *session) {
			space := s.upgradable(Members(nil), bytes)
			space.push("creator", add("bob"))
			if space.push("creator", upgrade(bytes, nil)).Allowed() {
				s.t.Error("bob's membership is dropped")
			}
			space.version()
		}},
		{name + ": events of every size", func(s *session) {
			space := s.builtin(name)
			for _, size := range []int{0, 1, 64 << 10, 256 << 10} {
				if !space.push("creator", event{strings.Repeat("t", 128), make([]byte, size)}).Allowed() {
					s.t.Errorf("an event of %d bytes is refused", size)
				}
			}
			space.anew()
		}},
		{name + ": names in every script", func(s *session) {
			for _, creator := range []string{"x", "J\u00fcrgen", "\u6d6a", "\U0001f30a wave", strings.Repeat("n", 256)} {
				space := s.builtin(name)
				space.madeBy(creator)
				if !space.push(creator, event{"hello", nil}).Allowed() || space.push(creator+"e", event{"hello", nil}).Allowed() || !space.mayRead(creator) {
					s.t.Errorf("%q is not the owner, or another is", creator)
				}
			}
		}},
	}
}
