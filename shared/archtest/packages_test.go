package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// module is the import path of this module; root is where it lies, seen from this package.
const (
	module = "skerry"
	root   = "../.."
)

// A goPackage is what the go command tells of a package, tests apart.
type goPackage struct {
	ImportPath string
	Name       string
	Imports    []string
	Deps       []string
	Module     *struct{ Path string }
}

// A platform is one for which the tree is built.
type platform struct{ os, arch string }

// The client runs in a browser and natively; everything else only natively.
var (
	native = platform{}
	js     = platform{"js", "wasm"}
)

func (p platform) String() string {
	if p == native {
		return "natively"
	}
	return "for GOOS=" + p.os
}

// look opens every directory of the tree. The go command reuses a test's result until something that the test itself
// opened has changed, and it does not see what git and the go command open for these tests.
var look = sync.OnceValue(func() error {
	return filepath.WalkDir(root, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && slices.Contains([]string{".git", "build", "node_modules"}, entry.Name()) {
			return filepath.SkipDir
		}
		return nil
	})
})

var listed sync.Map // platform -> func() (map[string]goPackage, error)

// packages returns every package of the tree and of its dependencies, by import path.
func packages(t *testing.T, on platform) map[string]goPackage {
	t.Helper()
	list, _ := listed.LoadOrStore(on, sync.OnceValues(func() (map[string]goPackage, error) { return listPackages(on) }))
	found, err := list.(func() (map[string]goPackage, error))()
	if err != nil {
		t.Fatalf("list packages %s: %v", on, err)
	}
	return found
}

func listPackages(on platform) (map[string]goPackage, error) {
	if err := look(); err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "list", "-deps", "-e", "-json=ImportPath,Name,Imports,Deps,Module", "./...")
	cmd.Dir = root
	cmd.Env = os.Environ()
	if on != native {
		cmd.Env = append(cmd.Env, "GOOS="+on.os, "GOARCH="+on.arch)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.Join(err, errors.New(stderr.String()))
	}
	found := map[string]goPackage{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return found, nil
		case err != nil:
			return nil, err
		}
		found[p.ImportPath] = p
	}
}

// ours returns the packages of this module that match pattern.
func ours(all map[string]goPackage, pattern string) []goPackage {
	var found []goPackage
	for _, p := range all {
		if p.Module != nil && p.Module.Path == module && matches(pattern, p.ImportPath) {
			found = append(found, p)
		}
	}
	return found
}

// matches reports whether an import path is what pattern names. A pattern is a path, or a path and "/..." for all
// below it too; one that begins with "./" is relative to this module, and a "*" stands for one element.
func matches(pattern, importPath string) bool {
	if rest, relative := strings.CutPrefix(pattern, "./"); relative {
		pattern = path.Join(module, rest)
	}
	prefix, below := strings.CutSuffix(pattern, "/...")
	want, have := strings.Split(prefix, "/"), strings.Split(importPath, "/")
	if len(have) < len(want) || len(have) > len(want) && !below {
		return false
	}
	for i := range want {
		if ok, _ := path.Match(want[i], have[i]); !ok {
			return false
		}
	}
	return true
}

func matchesAny(patterns []string, importPath string) bool {
	for _, pattern := range patterns {
		if matches(pattern, importPath) {
			return true
		}
	}
	return false
}

var listFiles = sync.OnceValues(func() ([]string, error) {
	if err := look(); err != nil {
		return nil, err
	}
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var files []string
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if info, err := os.Lstat(filepath.Join(root, name)); err == nil && info.Mode().IsRegular() {
			files = append(files, name)
		}
	}
	return files, nil
})

// files returns every file of the tree that git knows or does not ignore, slash-separated and relative to the root.
func files(t *testing.T) []string {
	t.Helper()
	found, err := listFiles()
	if err != nil {
		t.Fatalf("list the tree's files by git: %v", err)
	}
	return found
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"net", "net", true},
		{"net", "net/http", false},
		{"net/...", "net", true},
		{"net/...", "net/http", true},
		{"net/...", "netip", false},
		{"./shared/...", "skerry/shared/wire", true},
		{"./shared/...", "skerry/sharedother", false},
		{"./*/cmd/...", "skerry/syncserver/cmd/skerry", true},
		{"./*/cmd/...", "skerry/shared/wire", false},
	} {
		if got := matches(c.pattern, c.path); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.pattern, c.path, got)
		}
	}
}
