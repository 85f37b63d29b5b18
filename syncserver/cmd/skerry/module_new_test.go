package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestModuleNew: what is made in AssemblyScript passes its test, with what npm installs from the checkout.
func TestModuleNew(t *testing.T) {
	project(t, nil) // skips where there is no compiler
	dir := filepath.Join(t.TempDir(), "my-notes")
	if code, printed := tool("module", "new", dir); code != 0 || !strings.Contains(printed, "npm install\n  npm test\n") {
		t.Fatalf("%d: %s", code, printed)
	}
	npm := exec.Command("npm", "install", "--offline", "--no-audit", "--no-fund")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, out)
	}
	source := filepath.Join(dir, "my-notes.ts")
	if code, printed := tool("module", "test", source); code != 0 || !strings.Contains(printed, "\n2 tests passed\n") {
		t.Errorf("%d: %s", code, printed)
	}
	if code, printed := tool("module", "new", dir); code != 1 || !strings.Contains(printed, "is not empty: nothing was written") {
		t.Errorf("again: %d: %s", code, printed)
	}
	if code, printed := tool("module", "inspect", source); code != 0 || !strings.HasPrefix(printed, "my-notes 0.1.0\n") {
		t.Errorf("%d: %s", code, printed)
	}
}

// TestGoStarter: what is made in Go passes the same test.
func TestGoStarter(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("Go's runtime is compiled, without the race detector: make unit")
	}
	dir := filepath.Join(t.TempDir(), "my-notes")
	if code, printed := tool("module", "new", "--go", dir); code != 0 || !strings.Contains(printed, "skerry module test .\n") {
		t.Fatalf("%d: %s", code, printed)
	}
	if code, printed := tool("module", "test", dir); code != 0 || !strings.Contains(printed, "\n2 tests passed\n") {
		t.Errorf("%d: %s", code, printed)
	}
	watch := start(t, "module", "watch", "--json", dir)
	if v := watch.round(); v.Name != "my-notes" || v.Passed != 2 || v.Error != "" || len(v.Failed)+len(v.Warnings) > 0 {
		t.Errorf("%+v", v)
	}
	writeFile(t, filepath.Join(dir, "more.go"), "package main\n\nvar _ = nothing\n")
	if v := watch.round(); !strings.Contains(v.Error, "undefined: nothing") {
		t.Errorf("%+v", v)
	}
	watch.stop()
	if out, err := exec.Command("gofmt", "-l", dir).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("gofmt: %v %s", err, out)
	}
}

func TestModuleNewRefuses(t *testing.T) {
	dir := t.TempDir()
	packed := filepath.Join(dir, "skerry-module-0.1.0.tgz")
	writeFile(t, packed, "packed")
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "needs the name of the module"},
		{[]string{"a", "b"}, "needs the name of the module"},
		{[]string{filepath.Join(dir, "Notes")}, `"Notes" is no name for a module`},
		{[]string{filepath.Join(dir, "1st")}, `"1st" is no name for a module`},
		{[]string{filepath.Join(dir, "my notes")}, `"my notes" is no name for a module`},
		{[]string{filepath.Join(dir, "n"+strings.Repeat("o", 64))}, "is no name for a module"},
		{[]string{"--sdk", dir, filepath.Join(dir, "notes")}, "is neither a checkout of Skerry nor"},
		{[]string{"--sdk", filepath.Join(dir, "missing.tgz"), filepath.Join(dir, "notes")}, "is neither a checkout of Skerry nor"},
		{[]string{"--go", "--sdk", packed, filepath.Join(dir, "notes")}, "is neither a checkout of Skerry nor"},
	} {
		if code, printed := tool(append([]string{"module", "new"}, c.args...)...); code != 2 || !strings.Contains(printed, c.want) {
			t.Errorf("%v: exit %d: %s", c.args, code, printed)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("it left %v (%v)", list, err)
	}
	long := filepath.Join(dir, "n"+strings.Repeat("o", 63))
	if code, printed := tool("module", "new", "--sdk", packed, long); code != 0 {
		t.Fatalf("%d: %s", code, printed)
	}
	content, err := os.ReadFile(filepath.Join(long, "package.json"))
	if err != nil || !strings.Contains(string(content), `"skerry-module": "file:../skerry-module-0.1.0.tgz"`) {
		t.Errorf("%s (%v)", content, err)
	}
}
