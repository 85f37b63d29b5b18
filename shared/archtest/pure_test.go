package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pure are the packages that compute and do nothing else: time is an argument, randomness a source in the config.
// The simulation is only as honest as these are pure. may are imports that one of them has in spite of that.
var pure = []struct {
	dir string
	may []string
}{
	{dir: "shared/archive"},
	{dir: "shared/digest"},
	{dir: "shared/hub"},
	{dir: "shared/identity"},
	{dir: "shared/module"},
	{dir: "shared/module/builtin"},
	{dir: "shared/module/meter"},
	{dir: "shared/module/program"},
	{dir: "shared/msgpack"},
	{dir: "shared/replica"},
	{dir: "shared/semver"},
	{dir: "shared/space"},
	{"shared/tables", []string{"sync", "sync/atomic"}}, // copies share what one of them reads or makes, and are of different goroutines
	{dir: "shared/wire"},
}

// impure are imports that bring in the world.
var impure = map[string]string{
	"crypto/rand":        "randomness is a source in the config",
	"log":                "what happened is returned, not printed",
	"log/slog":           "what happened is returned, not printed",
	"math/rand":          "randomness is a source in the config",
	"math/rand/v2":       "randomness is a source in the config",
	"net":                "no sockets",
	"net/http":           "no sockets",
	"os":                 "no files and no environment",
	"os/signal":          "no signals",
	"runtime":            "results do not depend on the runtime",
	"sync":               "one caller at a time; the shells lock",
	"sync/atomic":        "one caller at a time; the shells lock",
	"syscall":            "no system calls",
	"syscall/js":         "no browser",
	"testing/synctest":   "tests' tools do not ship",
	"github.com/coder/*": "no sockets",
}

// pureParts are the only names that may be used of packages which also hold a clock or randomness.
var pureParts = map[string][]string{
	"context": {"Context"},
	"time":    {"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"},
	"github.com/oklog/ulid/v2": {"ULID", "New", "Monotonic", "MonotonicEntropy", "Parse", "ParseStrict", "EncodedSize",
		"ErrMonotonicOverflow", "ErrBigTime", "ErrDataSize", "ErrInvalidCharacters", "ErrOverflow", "MaxTime"},
}

func TestPurePackages(t *testing.T) {
	for _, p := range pure {
		sources := 0
		for _, name := range files(t) {
			if path.Dir(name) == p.dir && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
				sources++
				checkPure(t, name, readFile(t, name), p.may)
			}
		}
		if sources == 0 {
			t.Errorf("%s holds no Go", p.dir)
		}
	}
}

// checkPure reports what a source file does that a pure package must not.
func checkPure(t reporter, name string, source []byte, may []string) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	partly := map[string]string{} // local name -> import path of a package of which only parts are pure
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		for pattern, reason := range impure {
			if matches(pattern, imported) && !slices.Contains(may, imported) {
				t.Errorf("%s imports %s: %s", set.Position(spec.Pos()), imported, reason)
			}
		}
		if _, found := pureParts[imported]; found {
			partly[localName(spec, imported)] = imported
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s starts a goroutine", set.Position(n.Pos()))
		case *ast.SelectStmt:
			t.Errorf("%s waits in a select", set.Position(n.Pos()))
		case *ast.ChanType:
			t.Errorf("%s uses a channel", set.Position(n.Pos()))
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				t.Errorf("%s: an init function runs unasked", set.Position(n.Pos()))
			}
		case *ast.SelectorExpr:
			pkg, isName := n.X.(*ast.Ident)
			if !isName {
				return true
			}
			imported, found := partly[pkg.Name]
			if found && !slices.Contains(pureParts[imported], n.Sel.Name) {
				t.Errorf("%s uses %s.%s, which may read a clock or randomness", set.Position(n.Pos()), imported, n.Sel.Name)
			}
		}
		return true
	})
}

// localName is the name by which a file knows an import.
func localName(spec *ast.ImportSpec, imported string) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	base := path.Base(imported)
	if len(base) > 1 && base[0] == 'v' && base[1] >= '0' && base[1] <= '9' {
		base = path.Base(path.Dir(imported))
	}
	return base
}

// A reporter is the part of *testing.T that checkPure needs, so that the check is tested too.
type reporter interface {
	Errorf(format string, args ...any)
}

type counter int

func (c *counter) Errorf(string, ...any) { *c++ }

func TestCheckPure(t *testing.T) {
	for source, want := range map[string]int{
		`package p; import "time"; const d = 3 * time.Second`:                                     0,
		`package p; import "time"; var now = time.Now()`:                                          1,
		`package p; import clock "time"; var now = clock.Now`:                                     1,
		`package p; import "os"`:                                                                  1,
		`package p; import _ "math/rand/v2"`:                                                      1,
		`package p; func f() { go f() }`:                                                          1,
		`package p; import "github.com/oklog/ulid/v2"; var id = ulid.Make()`:                      1,
		`package p; import "github.com/oklog/ulid/v2"; var id ulid.ULID`:                          0,
		`package p; func init() {}`:                                                               1,
		`package p; type t struct{ time int }; func (v t) f() int { return v.time }`:              0,
		`package p; import "github.com/coder/websocket"`:                                          1,
		`package p; import ("time"; "sync/atomic"); var c chan time.Time; var _ atomic.Bool`:      3,
		`package p; import "sync"; func f(c <-chan int) { select { case <-c: } }; var m sync.Map`: 3,
	} {
		var found counter
		checkPure(&found, "p.go", []byte(source), nil)
		if int(found) != want {
			t.Errorf("%d findings, want %d, in: %s", found, want, source)
		}
	}
}

// TestPureTestsSeeded keeps the pure packages' tests repeatable: a seed is printed or fixed.
func TestPureTestsSeeded(t *testing.T) {
	for _, p := range pure {
		for _, name := range files(t) {
			if path.Dir(name) != p.dir || !strings.HasSuffix(name, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, filepath.Base(name), readFile(t, name), parser.ImportsOnly)
			if err != nil {
				t.Error(err)
				continue
			}
			for _, spec := range file.Imports {
				if spec.Path.Value == `"crypto/rand"` {
					t.Errorf("%s: a test draws from crypto/rand; use a seeded source, so that a failure repeats", name)
				}
			}
		}
	}
}
