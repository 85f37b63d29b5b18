package archtest

import (
	"bytes"
	"encoding/json"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// topLevel is everything that may lie at the root.
var topLevel = []string{
	".ci", ".gitattributes", ".gitignore", "BENCHMARKS.md", "CHANGELOG.md", "LICENSE", "Makefile", "RATIONALE.md",
	"README.md", "docs", "go.mod", "go.sum", "shared", "syncserver", "testdata", "wasmclient", "web",
}

func TestTopLevel(t *testing.T) {
	found := map[string]bool{}
	for _, name := range files(t) {
		top, _, _ := strings.Cut(name, "/")
		if !slices.Contains(topLevel, top) && !found[top] {
			t.Errorf("%s: the top level is fixed", top)
		}
		found[top] = true
	}
	for _, name := range []string{"CHANGELOG.md", "LICENSE", "Makefile", "RATIONALE.md", "README.md"} {
		if !found[name] {
			t.Errorf("no %s", name)
		}
	}
}

func TestDirectoryNames(t *testing.T) {
	for _, name := range files(t) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			switch path.Base(dir) {
			case "common", "helper", "helpers", "misc", "util", "utils":
				t.Errorf("%s: name a directory for what it holds", name)
			}
		}
	}
}

// planning names pages that lie beside some checkouts and in none that a reader has. What a reader of the tree needs
// is in the tree. (Written in two halves each, so that this file does not name them either.)
var planning = []string{
	"shared/" + "DESIGN", "FEATURES" + ".md", "EVIDENCE" + ".md", "BROWSER" + ".md", "MODULES" + ".md", "FORMATS" + ".md",
	"STYLE" + ".md", "DESIGN" + ".md", "/work/" + "main", "/work/" + "shared",
}

func TestNoPlanningPages(t *testing.T) {
	for _, name := range files(t) {
		text := readFile(t, name)
		for _, page := range planning {
			if at := bytes.Index(text, []byte(page)); at >= 0 {
				t.Errorf("%s:%d names %s, which is not in the tree", name, 1+bytes.Count(text[:at], []byte("\n")), page)
			}
		}
	}
}

var (
	sentenceEnd = regexp.MustCompile(`[.!?](\s|$)`)
	stable      = regexp.MustCompile(`(?i)\bstable\b`)
)

// TestPackageComments: a package comment is the package's manual, and says what in it is stable. It may stand in any
// file, whatever the file's build constraints; a package of nothing but tests has it in one of them.
func TestPackageComments(t *testing.T) {
	comments := map[string]string{} // by directory
	for _, name := range files(t) {
		if !strings.HasSuffix(name, ".go") || strings.Contains(name, "testdata/") {
			continue
		}
		source := readFile(t, name)
		if bytes.HasPrefix(source, []byte("//go:build ignore\n")) {
			continue // a script: a file that belongs to no package
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Error(err)
			continue
		}
		dir := path.Dir(name)
		if text := file.Doc.Text(); len(text) > len(comments[dir]) || comments[dir] == "" {
			comments[dir] = text
		}
	}
	for dir, text := range comments {
		switch {
		case text == "":
			t.Errorf("%s: no package comment", dir)
		case len(sentenceEnd.FindAllString(text, 2)) < 2:
			t.Errorf("%s: the package comment has less than two sentences: %q", dir, strings.TrimSpace(text))
		case !stable.MatchString(text):
			t.Errorf("%s: the package comment does not say what is stable", dir)
		}
	}
}

// TestDependenciesJustified: each direct dependency has its line, "- `name`: why", in RATIONALE.md.
func TestDependenciesJustified(t *testing.T) {
	rationale := string(readFile(t, "RATIONALE.md"))
	for _, name := range append(goRequirements(t), npmRequirements(t)...) {
		if !regexp.MustCompile("(?m)^- `" + regexp.QuoteMeta(name) + "`: \\S").MatchString(rationale) {
			t.Errorf("RATIONALE.md has no line for the dependency %s (- `%s`: why)", name, name)
		}
	}
}

// goRequirements returns the modules that go.mod requires directly, those of its tools included.
func goRequirements(t *testing.T) []string {
	cmd := exec.Command("go", "mod", "edit", "-json")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("read go.mod: %v", err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Tool []struct{ Path string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range mod.Require {
		isTool := slices.ContainsFunc(mod.Tool, func(tool struct{ Path string }) bool {
			return tool.Path == r.Path || strings.HasPrefix(tool.Path, r.Path+"/")
		})
		if !r.Indirect || isTool {
			names = append(names, r.Path)
		}
	}
	if len(names) == 0 {
		t.Error("go.mod requires nothing directly: run go mod tidy")
	}
	return names
}

func npmRequirements(t *testing.T) []string {
	var names []string
	for _, name := range files(t) {
		if path.Base(name) != "package.json" || strings.Contains(name, "testdata/") {
			continue
		}
		var manifest struct {
			Dependencies, DevDependencies, PeerDependencies, OptionalDependencies map[string]string
		}
		if err := json.Unmarshal(readFile(t, name), &manifest); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, group := range []map[string]string{
			manifest.Dependencies, manifest.DevDependencies, manifest.PeerDependencies, manifest.OptionalDependencies,
		} {
			for dependency := range group {
				names = append(names, dependency)
			}
		}
	}
	return names
}

var (
	link   = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	fenced = regexp.MustCompile("(?s)```.*?```")
)

// TestLinks: a relative link of a document leads to a file of the tree.
func TestLinks(t *testing.T) {
	for _, name := range files(t) {
		if path.Ext(name) != ".md" {
			continue
		}
		text := fenced.ReplaceAll(readFile(t, name), nil)
		for _, found := range link.FindAllSubmatch(text, -1) {
			target, _, _ := strings.Cut(string(found[1]), "#")
			if target == "" || strings.Contains(target, ":") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, path.Dir(name), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, target)
			}
		}
	}
}

// TestMakeTargets: what the README tells a reader to type exists.
func TestMakeTargets(t *testing.T) {
	makefile := readFile(t, "Makefile")
	for _, target := range []string{
		"run", "test", "lint", "sim", "bench", "size", "mutants", "golden", "docs", "clean", "soak", "vuln", "build",
	} {
		if !regexp.MustCompile(`(?m)^` + target + `:`).Match(makefile) {
			t.Errorf("the Makefile has no target %s", target)
		}
	}
	for _, doc := range []string{"README.md", "CHANGELOG.md"} {
		for _, found := range regexp.MustCompile("`make ([a-z0-9-]+)[^`]*`").FindAllSubmatch(readFile(t, doc), -1) {
			if !regexp.MustCompile(`(?m)^` + string(found[1]) + `:`).Match(makefile) {
				t.Errorf("%s names make %s, which the Makefile does not have", doc, found[1])
			}
		}
	}
}
