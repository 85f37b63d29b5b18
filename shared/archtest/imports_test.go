package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// A rule forbids packages to depend on others, by whatever path. What a package's tests import is free.
type rule struct {
	from   string   // pattern of packages of this module
	except []string // patterns of packages in from to which the rule does not apply
	on     []platform
	forbid []string // patterns
	reason string
}

var everywhere = []platform{native, js}

var rules = []rule{
	{
		from: "./shared/...", on: everywhere,
		forbid: []string{"./wasmclient/...", "./syncserver/..."},
		reason: "what both shells share knows neither of them",
	},
	{
		from: "./wasmclient/...", on: everywhere,
		forbid: []string{"./syncserver/..."},
		reason: "client and server meet on the wire only",
	},
	{
		from: "./syncserver/...", except: []string{"./syncserver/cmd/syncload"}, on: everywhere,
		forbid: []string{"./wasmclient/..."},
		reason: "client and server meet on the wire only; the load generator alone drives clients",
	},
	{
		from: "./...", on: everywhere,
		forbid: []string{"./*/cmd/..."},
		reason: "a command composes; nothing is built on it",
	},
	{
		from: "./...", on: everywhere,
		forbid: []string{"nhooyr.io/websocket/..."},
		reason: "it moved to github.com/coder/websocket",
	},
	{
		from: "./...", except: []string{"./shared/sim/..."}, on: everywhere,
		forbid: []string{"./shared/sim/...", "testing/..."},
		reason: "tests' tools do not ship; suites take *testing.T in packages named ...test",
	},
	{
		from: "./wasmclient/cmd/client", on: []platform{js},
		forbid: []string{"net", "net/http/...", "crypto/tls/..."},
		reason: "a page pays for net/http and TLS with about 500 kB and has a WebSocket of its own",
	},
	{
		from: "./wasmclient/cmd/client", on: []platform{js},
		forbid: []string{"encoding/json/...", "github.com/vmihailenco/msgpack/v5/...", "github.com/coder/websocket/..."},
		reason: "each costs a page more than 100 kB; shared/wire and the browser do their work",
	},
	{
		from: "./wasmclient/cmd/client", on: []platform{js},
		forbid: []string{"./shared/identity", "crypto/ecdsa", "crypto/ed25519"},
		reason: "a page signs by the browser and verifies nothing",
	},
	{
		from: "./wasmclient/cmd/client", on: []platform{js},
		forbid: []string{"github.com/tetratelabs/wazero/...", "github.com/ncruces/...", "modernc.org/...", "database/sql"},
		reason: "the browser has an engine and a database of its own",
	},
	{
		from: "./wasmclient", on: everywhere,
		forbid: []string{"github.com/tetratelabs/wazero/...", "github.com/ncruces/..."},
		reason: "the client is embedded in other people's programs and brings neither engine nor database unasked",
	},
	{
		from: "./syncserver", on: []platform{native},
		forbid: []string{"github.com/ncruces/...", "github.com/tetratelabs/wazero/..."},
		reason: "the server is written against Log and Engine; its command chooses them",
	},
}

// suites are packages that test others and therefore import testing; none of them ships.
var suites = []string{"./shared/archtest", "./*/*test", "./shared/module/moduletest"}

func TestDependencies(t *testing.T) {
	for _, r := range rules {
		applied := false
		for _, on := range r.on {
			all := packages(t, on)
			for _, p := range ours(all, r.from) {
				if matchesAny(r.except, p.ImportPath) || matchesAny(suites, p.ImportPath) {
					continue
				}
				applied = true
				for _, dep := range p.Deps {
					if matchesAny(r.forbid, dep) {
						t.Errorf("%s, built %s, depends on %s: %s\n\t%s", p.ImportPath, on, dep, r.reason,
							strings.Join(route(all, p.ImportPath, dep), "\n\timports "))
					}
				}
			}
		}
		if !applied {
			t.Errorf("the rule for %s (%s) applies to no package", r.from, r.reason)
		}
	}
}

// costly is what a page's packages do without, as something else does the same for fewer bytes.
var costly = map[string]string{
	"errors.As":             "errors.AsType needs no reflection: 3 kB",
	"slices.SortFunc":       "sort.Slice is one code for all types, and this one for each: 2 kB",
	"slices.SortStableFunc": "sort.SliceStable is one code for all types",
}

// TestPageCalls: nothing that a page is built of calls what is costly.
func TestPageCalls(t *testing.T) {
	page := packages(t, js)["skerry/wasmclient/cmd/client"].Deps
	if len(page) == 0 {
		t.Fatal("the page is built of nothing")
	}
	page = append(page, "skerry/wasmclient/cmd/client")
	for _, name := range files(t) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || !slices.Contains(page, "skerry/"+path.Dir(name)) {
			continue
		}
		for call, why := range costlyCalls(t, name, readFile(t, name)) {
			t.Errorf("%s calls %s: %s", name, call, why)
		}
	}
	if found := costlyCalls(t, "p.go", []byte("package p; func f() { slices.SortFunc(a, b); errors.Is(c, d) }")); len(found) != 1 {
		t.Errorf("of what is costly it finds %v", found)
	}
}

// costlyCalls returns what of costly a file names.
func costlyCalls(t *testing.T, name string, source []byte) map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), name, source, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if p, ok := s.X.(*ast.Ident); ok && costly[p.Name+"."+s.Sel.Name] != "" {
				found[p.Name+"."+s.Sel.Name] = costly[p.Name+"."+s.Sel.Name]
			}
		}
		return true
	})
	return found
}

// TestOneEngine: wazero is behind one package. The commands that choose it reach it through that one.
func TestOneEngine(t *testing.T) {
	const engine = "skerry/syncserver/wasmengine"
	all := packages(t, native)
	for _, p := range ours(all, "./...") {
		imports := slices.ContainsFunc(p.Imports, func(path string) bool { return matches("github.com/tetratelabs/wazero/...", path) })
		if imports != (p.ImportPath == engine) {
			t.Errorf("%s imports wazero: %v; only %s does", p.ImportPath, imports, engine)
		}
	}
}

// route returns a shortest chain of imports between two packages.
func route(all map[string]goPackage, from, to string) []string {
	type step struct {
		path []string
	}
	seen := map[string]bool{from: true}
	for queue := []step{{[]string{from}}}; len(queue) > 0; queue = queue[1:] {
		head := queue[0].path
		for _, next := range all[head[len(head)-1]].Imports {
			if seen[next] {
				continue
			}
			seen[next] = true
			path := append(slices.Clone(head), next)
			if next == to {
				return path
			}
			queue = append(queue, step{path})
		}
	}
	return []string{from, "(unknown)", to}
}

// reached lists the libraries that code which ships must use, so that none is here for its tests only.
var reached = []struct {
	by   string
	on   platform
	want []string
}{
	{"./wasmclient", native, []string{
		"github.com/coder/websocket", "github.com/oklog/ulid/v2", "github.com/vmihailenco/msgpack/v5", "github.com/zeebo/blake3"}},
	{"./syncserver/cmd/skerry", native, []string{
		"github.com/coder/websocket", "github.com/oklog/ulid/v2", "github.com/vmihailenco/msgpack/v5", "github.com/zeebo/blake3"}},
	{"./wasmclient/cmd/client", js, []string{
		"github.com/hack-pad/go-indexeddb/idb", "github.com/oklog/ulid/v2", "github.com/zeebo/blake3"}},
}

func TestLibrariesReached(t *testing.T) {
	for _, c := range reached {
		found := ours(packages(t, c.on), c.by)
		if len(found) == 0 {
			t.Errorf("no package %s %s", c.by, c.on)
			continue
		}
		for _, want := range c.want {
			if !slices.Contains(found[0].Deps, want) {
				t.Errorf("%s, built %s, does not reach %s", c.by, c.on, want)
			}
		}
	}
}

// The packages of the layout, so that a rule cannot come to apply to nothing by a renaming.
var layout = map[platform][]string{
	native: {
		"./shared/archtest", "./shared/digest", "./shared/hub", "./shared/identity", "./shared/module", "./shared/replica", "./shared/sim",
		"./shared/space", "./shared/wire",
		"./syncserver", "./syncserver/logtest", "./syncserver/memlog", "./syncserver/sqlitelog",
		"./syncserver/cmd/skerry", "./syncserver/cmd/syncload",
		"./wasmclient", "./wasmclient/memstore", "./wasmclient/storetest",
	},
	js: {"./wasmclient", "./wasmclient/cmd/client", "./wasmclient/storetest", "./wasmclient/internal/..."},
}

func TestLayout(t *testing.T) {
	for on, patterns := range layout {
		for _, pattern := range patterns {
			if len(ours(packages(t, on), pattern)) == 0 {
				t.Errorf("no package %s %s", pattern, on)
			}
		}
	}
	for _, p := range ours(packages(t, native), "./...") {
		if err := wellPlaced(p.ImportPath); err != nil {
			t.Error(err)
		}
	}
}

// wellPlaced tells whether a package lies in one of the three parts.
func wellPlaced(importPath string) error {
	if matchesAny([]string{"./shared/...", "./wasmclient/...", "./syncserver/..."}, importPath) {
		return nil
	}
	return fmt.Errorf("%s lies in none of shared, wasmclient, syncserver", importPath)
}
