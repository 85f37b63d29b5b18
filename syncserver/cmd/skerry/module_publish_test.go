package main

import (
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
)

// TestPublishWarns: for a change of each kind and a version that rises by each, publish and diff warn where that is less than the change calls for,
// and nowhere else; going back to what the space had they do not.
func TestPublishWarns(t *testing.T) {
	of := func(version string, change func(*program.Manifest)) *program.Program {
		m := moduletest.ChatManifest()
		m.Version = version
		if change != nil {
			change(m)
		}
		p, err := program.Load(m.AppendSection(moduletest.ChatWithoutManifest()))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	older := of("1.2.3", nil)
	rises := []struct{ version, bump string }{{"1.2.2", "none"}, {"1.2.3", "none"}, {"1.2.4", "patch"}, {"1.3.0", "minor"}, {"2.0.0", "major"}, {"1.3.0-beta", "major"}}
	bumps := map[string]int{"none": 0, "patch": 1, "minor": 2, "major": 3}
	for _, c := range []struct {
		change func(*program.Manifest)
		least  string
	}{
		{func(m *program.Manifest) { m.Doc = "another" }, "patch"}, // what it does cannot be compared, so it may be another
		{func(m *program.Manifest) {
			m.Tables[0].Indexes = append(m.Tables[0].Indexes, tables.Index{Name: "by_text", Columns: []int{3}})
		}, "patch"},
		{func(m *program.Manifest) {
			m.Tables = append(m.Tables, tables.Schema{Name: "pins", Columns: []tables.Column{{Name: "seq", Kind: tables.U64}}, Key: []int{0}})
		}, "minor"},
		{func(m *program.Manifest) { m.Events = append(m.Events, program.EventType{Name: "pin"}) }, "minor"},
		{func(m *program.Manifest) { m.Raw = true }, "minor"},
		{func(m *program.Manifest) {
			m.Events[0].Fields = append(m.Events[0].Fields, program.Field{Name: "color", Kind: tables.Text, Optional: true})
		}, "minor"},
		{func(m *program.Manifest) { m.Events = m.Events[:len(m.Events)-1] }, "major"},
		{func(m *program.Manifest) { m.Events[0].Fields = m.Events[0].Fields[:1] }, "major"},
		{func(m *program.Manifest) {
			m.Events[0].Fields = append(m.Events[0].Fields, program.Field{Name: "color", Kind: tables.Text})
		}, "major"},
		{func(m *program.Manifest) { m.Tables[0].Name = "posts" }, "major"},
		{func(m *program.Manifest) { m.Tables[0].Columns[3].Optional = true }, "major"},
		{func(m *program.Manifest) { m.Tables[0].Indexes = m.Tables[0].Indexes[:1] }, "major"},
		{func(m *program.Manifest) { m.Tables[0].Indexes[0].Unique = true }, "major"},
	} {
		for _, rise := range rises {
			next := of(rise.version, c.change)
			has := &spaceModules{useView: useView{namedModule: namedModule{Module: older.Digest.String(), Version: "1.2.3"}}}
			has.History = []useView{has.useView}
			v, err := planOf(space.ID{1}, has, older, next)
			if err != nil {
				t.Fatal(err)
			}
			enough := bumps[rise.bump] >= bumps[c.least]
			if v.Least != c.least || v.Declared != rise.bump || v.Enough != enough {
				t.Errorf("%+v to %s: %+v", v.Changes, rise.version, v)
			}
			if warned := strings.Contains(v.text(), "warning: the version rises from 1.2.3 to "+rise.version+", which declares "+rise.bump); warned == enough {
				t.Errorf("to %s it warns: %t\n%s", rise.version, warned, v.text())
			}
			if d, err := diffOf(older, next); err != nil || strings.Contains(d.text(), "warning") == enough {
				t.Errorf("module diff to %s: %s, %v", rise.version, d.text(), err)
			}
			has.History = append([]useView{{namedModule: namedModule{Module: next.Digest.String()}}}, has.History...)
			if v, err = planOf(space.ID{1}, has, older, next); err != nil || !v.Enough || !v.Rollback || strings.Contains(v.text(), "the version rises") {
				t.Errorf("going back to %s: %+v, %v", rise.version, v, err)
			}
		}
	}
}

// TestPlanToken: each plan has one of its own, which says what it goes from and to, and where.
func TestPlanToken(t *testing.T) {
	seen := map[string]bool{}
	for _, id := range []space.ID{{1}, {2}} {
		for _, from := range []digest.Digest{{3}, {4}} {
			for _, to := range []digest.Digest{{3}, {4}, {5}} {
				token := planToken(id, from, to)
				if len(token) != 16 || seen[token] || token != planToken(id, from, to) {
					t.Errorf("%s", token)
				}
				seen[token] = true
			}
		}
	}
}
