package builtin_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
)

func TestNames(t *testing.T) {
	for _, name := range builtin.Names() {
		d, ok := builtin.ByName(name)
		if !ok || digest.Of(builtin.Bytes(d)) != d {
			t.Errorf("%s is %v, %v", name, d, ok)
		}
		if name == "open" {
			continue
		}
		p, err := program.Load(builtin.Bytes(d))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if p.Manifest.Name != name || p.Manifest.Doc == "" {
			t.Errorf("%s calls itself %q, for people %q", name, p.Manifest.Name, p.Manifest.Doc)
		}
	}
	if d, ok := builtin.ByName("open"); !ok || d != module.Open || !bytes.Equal(builtin.Bytes(d), module.OpenBytes) {
		t.Errorf("open is %v, %v", d, ok)
	}
	if d, ok := builtin.ByName("closed"); ok || !d.IsZero() {
		t.Errorf("an unknown name is %v, %v", d, ok)
	}
	if builtin.Bytes(digest.Of([]byte("unknown"))) != nil {
		t.Error("there are bytes of an unknown module")
	}
}

// TestReleased: what was released is here for ever, as what it was called.
func TestReleased(t *testing.T) {
	list, err := os.ReadFile("released/list.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[digest.Digest]bool{digest.Of(list): true}
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		if len(fields) != 3 {
			t.Fatalf("%q is not a name, a version and a digest", line)
		}
		d, err := digest.Parse(fields[2])
		if err != nil {
			t.Fatal(err)
		}
		listed[d] = true
		p, err := program.Load(builtin.Bytes(d))
		if err != nil || p.Manifest.Name != fields[0] || p.Manifest.Version != fields[1] {
			t.Errorf("%s %s is gone: %v", fields[0], fields[1], err)
		}
	}
	files, err := os.ReadDir("released")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile("released/" + file.Name())
		if err != nil || !listed[digest.Of(content)] {
			t.Errorf("released/%s is not in the list: %v", file.Name(), err)
		}
	}
}

// TestPages: the table of who may do what, which engines are tested with, is the one that people read.
func TestPages(t *testing.T) {
	index, err := os.ReadFile("../../../docs/modules/README.md")
	if err != nil {
		t.Fatal(err)
	}
	tested := map[string]bool{"open": true}
	for _, truth := range moduletest.Truths() {
		tested[truth.Module] = true
		page, err := os.ReadFile("../../../docs/modules/" + truth.Module + ".md")
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(page), "\n\n"+truth.Markdown()+"\n") {
			t.Errorf("docs/modules/%s.md does not have the table\n\n%s", truth.Module, truth.Markdown())
		}
	}
	for _, name := range builtin.Names() {
		if !tested[name] || !strings.Contains(string(index), "`"+name+"`") {
			t.Errorf("%s has no table of who may do what, or is not in docs/modules/README.md", name)
		}
	}
}
