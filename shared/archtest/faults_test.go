package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFaultsNameTheirTests holds docs/operating/faults.md to the tree: each fault names a test, and every test that it names is there, under that name.
func TestFaultsNameTheirTests(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "operating", "faults.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && (name == "node_modules" || name == "build" || name == ".git"):
			return filepath.SkipDir
		case !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		for _, found := range function.FindAllSubmatch(source, -1) {
			tests[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	named := 0
	for _, fault := range strings.Split(string(page), "\n### ")[1:] {
		what, _, _ := strings.Cut(fault, "\n")
		of := 0
		for _, found := range quoted.FindAllStringSubmatch(fault, -1) {
			name := found[1]
			if file, title, ok := strings.Cut(strings.TrimPrefix(name, "e2e "), ": "); ok && strings.HasPrefix(name, "e2e ") {
				source, err := os.ReadFile(filepath.Join(root, "web", "e2e", file+".test.ts"))
				if err != nil {
					t.Errorf("%s: %v", name, err)
				} else if !strings.Contains(string(source), "test(\""+title) && !strings.Contains(string(source), "test(`"+title) {
					t.Errorf("%s: it names a test that is not there: %s", what, name)
				}
				of++
			} else if strings.HasPrefix(name, "Test") {
				if !tests[name] {
					t.Errorf("%s: it names a test that is not there: %s", what, name)
				}
				of++
			}
		}
		if of == 0 {
			t.Errorf("%s: it names no test", what)
		}
		named += of
	}
	if named < 50 {
		t.Errorf("%d tests are named", named)
	}
}
