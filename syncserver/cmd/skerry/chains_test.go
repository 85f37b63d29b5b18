package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
)

// A chain of versions as a page meets it, for web/test/chains.test.ts: what the generator makes of each version, what the version's module says of itself, and events of
// each with what they mean.
type (
	pageChain struct {
		Seed     uint64        `json:"seed"`
		Versions []pageVersion `json:"versions"`
		Events   []pageEvent   `json:"events"`
	}
	pageVersion struct {
		TypeScript string            `json:"typescript"`
		Module     string            `json:"module"`
		Name       string            `json:"name"`
		Version    string            `json:"version"`
		Manifest   string            `json:"manifest"`
		Schemas    []string          `json:"schemas"`  // of each event type, one after the other
		Meanings   map[string][]int  `json:"meanings"` // of the fields of each event type
		Bumps      []map[string]Bump `json:"bumps"`    // what diff says of each event type, from this version to each
	}
	pageEvent struct {
		Version int         `json:"version"`
		Type    string      `json:"type"`
		Schema  string      `json:"schema"`
		Payload string      `json:"payload"`
		Means   map[int]any `json:"means"`
	}
	Bump = string
)

// TestChainsForPages holds the chains of web/test to what they are made of. SKERRY_UPDATE=1 writes them; SKERRY_CHAINS=FILE SKERRY_SEED=n writes others there, which
// web/test/chains.test.ts reads in place of them.
func TestChainsForPages(t *testing.T) {
	first, file := uint64(0), filepath.Join("..", "..", "..", "web", "test", "testdata", "chains.json")
	update := os.Getenv("SKERRY_UPDATE") != ""
	if other := os.Getenv("SKERRY_CHAINS"); other != "" {
		var err error
		if first, err = strconv.ParseUint(os.Getenv("SKERRY_SEED"), 10, 64); err != nil {
			t.Fatal(err)
		}
		file, update = other, true
	}
	var chains []pageChain
	for seed := first; seed < first+4; seed++ {
		c := moduletest.NewChain(rand.New(rand.NewPCG(seed, 5)))
		for range 5 {
			c.Next()
		}
		chain, _ := chainForPages(t, seed, c, 3)
		chains = append(chains, chain)
	}
	holds(t, file, chains, update)
}

// TestNotesForPages is TestChainsForPages for the two versions of moduletest.Notes.
func TestNotesForPages(t *testing.T) {
	var versions []pageVersion
	for _, version := range []string{"1.0.1", "1.1.2"} {
		p, err := program.Load(moduletest.Notes(version))
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, versionForPages(p))
	}
	holds(t, filepath.Join("..", "..", "..", "web", "test", "testdata", "notes.json"), versions, os.Getenv("SKERRY_UPDATE") != "")
}

// holds wants a file to have some value, or writes it.
func holds(t *testing.T, file string, value any, update bool) {
	t.Helper()
	content, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	content = append(content, '\n')
	if update {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if there, err := os.ReadFile(file); err != nil || !bytes.Equal(there, content) {
		t.Errorf("%s is not what it is made of (%v): SKERRY_UPDATE=1 go test -run ForPages writes it", file, err)
	}
}

func versionForPages(p *program.Program) pageVersion {
	m := p.Manifest
	v := pageVersion{
		TypeScript: typeScript(m, p.Digest), Module: p.Digest.String(), Name: m.Name, Version: m.Version, Manifest: hex.EncodeToString(m.Append(nil)), Meanings: map[string][]int{},
	}
	for _, schemas := range p.Schemas() {
		all := ""
		for _, schema := range schemas {
			all += hex.EncodeToString(schema[:])
		}
		v.Schemas = append(v.Schemas, all)
	}
	return v
}

// chainForPages returns a chain with some events of each type of each version, and its modules.
func chainForPages(t *testing.T, seed uint64, c *moduletest.Chain, events int) (pageChain, []*program.Program) {
	t.Helper()
	made := pageChain{Seed: seed}
	var programs []*program.Program
	for _, bytes := range c.Modules {
		p, err := program.Load(bytes)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, p)
	}
	for version, p := range programs {
		m, v := p.Manifest, versionForPages(p)
		for _, other := range programs {
			v.Bumps = append(v.Bumps, bumpsOf(m, other.Manifest))
		}
		for i := range c.Versions[version] {
			of := &c.Versions[version][i]
			for _, f := range of.Fields {
				v.Meanings[of.Name] = append(v.Meanings[of.Name], f.Meaning)
			}
			for range events {
				if !of.Removed {
					e, said := c.WriteOf(version, of)
					made.Events = append(made.Events, eventForPages(of, &e, &said))
				}
			}
		}
		made.Versions = append(made.Versions, v)
	}
	return made, programs
}

func eventForPages(of *moduletest.MeantType, e *space.Event, said *moduletest.Said) pageEvent {
	p := pageEvent{Version: said.Version, Type: e.Type, Schema: hex.EncodeToString(e.Schema[:]), Payload: hex.EncodeToString(e.Payload), Means: map[int]any{}}
	for _, f := range of.Fields {
		n, ok := said.Values[f.Meaning]
		if !ok {
			continue
		}
		switch f.Kind {
		case tables.Text:
			p.Means[f.Meaning] = "text " + strconv.Itoa(n)
		case tables.U64:
			p.Means[f.Meaning] = n
		default:
			p.Means[f.Meaning] = n%2 == 0
		}
	}
	return p
}

// bumpsOf returns how much the version has to rise for what differs of each event type, to code of one version: what is older still is told for itself.
func bumpsOf(older, newer *program.Manifest) map[string]Bump {
	least := map[string]program.Bump{}
	alone := *older
	alone.Events = slices.Clone(older.Events)
	for i := range alone.Events {
		alone.Events[i].Older = nil
	}
	for _, d := range program.Compare(&alone, newer) {
		if name, ok := strings.CutPrefix(d.Subject, "event "); ok {
			name, _, _ = strings.Cut(name, ",")
			least[name] = max(least[name], d.Bump)
		}
	}
	bumps := map[string]Bump{}
	for name, bump := range least {
		bumps[name] = bump.String()
	}
	return bumps
}
