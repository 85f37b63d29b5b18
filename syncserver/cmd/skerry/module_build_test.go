package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const guestMain = `package main

import "skerry/shared/module/guest"

type note struct{ Text string }

var notes = &guest.Table[note]{Name: "notes", Key: []string{"text"}}

func init() {
	guest.Register(guest.Module{
		Name: "notes", Version: "0.1.0", Tables: []guest.AnyTable{notes},
		Events: []guest.AnyEventType{guest.EventType[note]{
			Name: "note", Authorize: guest.Anyone[note], Apply: func(_ *guest.Event, n note) { notes.Put(n) },
		}},
	})
}

func main() {}
`

// goProject makes a directory with a Go module that names the checkout's, and writes files into it.
func goProject(t *testing.T, files map[string]string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("Go's runtime is compiled")
	}
	if raceDetector {
		t.Skip("runs without the race detector, under which wazero takes a minute to compile it: make unit")
	}
	checkout, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(checkout, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "go.sum"), string(sums))
	writeFile(t, filepath.Join(dir, "go.mod"), "module notes\n\ngo 1.26.0\n\nrequire skerry v0.0.0\n\nreplace skerry => "+checkout+"\n")
	for name, content := range files {
		writeFile(t, filepath.Join(dir, name), content)
	}
	return dir
}

// TestModuleBuild: a program in a Go module of its own becomes a module, the same wherever it lies, which then runs; and
// what is wrong with one is said.
func TestModuleBuild(t *testing.T) {
	made := func(source string) (file string, code int, printed string) {
		dir := goProject(t, map[string]string{"main.go": source})
		file = filepath.Join(dir, "notes.wasm")
		var out bytes.Buffer
		code = run(context.Background(), []string{"module", "build", "--json", "--out", file, dir}, nil, &out, &out)
		return file, code, out.String()
	}
	var first []byte
	for range 2 {
		file, code, printed := made(guestMain)
		if code != 0 || !strings.Contains(printed, `"name":"notes","version":"0.1.0"`) {
			t.Fatalf("%d: %s", code, printed)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if first != nil {
			if !bytes.Equal(content, first) {
				t.Error("the same program in another place is another module")
			}
			continue
		}
		first = content
		var out bytes.Buffer
		events := strings.NewReader(`{"author":"ann","type":"note","payload":{"text":"hello"}}`)
		if code := run(context.Background(), []string{"module", "run", file, "-"}, events, &out, &out); code != 0 || !strings.Contains(out.String(), `text="hello"`) {
			t.Errorf("%d: %s", code, &out)
		}
	}
	for _, c := range []struct{ change, to, says string }{
		{"package main", "package notes", "-buildmode=c-shared requires exactly one main package"},
		{"notes.Put(n)", "notes.Put(5)", "cannot use 5"},
		{"guest.Register(", "_ = (", "the program declares no module: no module is registered"},
		{"struct{ Text string }", "struct{ Text rune }", "event type note: main.note.Text is int32"},
		{`Name: "note", Authorize: guest.Anyone[note],`, `Name: "note",`, "event type note has no Authorize; Anyone allows all"},
		{`"0.1.0"`, `"one"`, "the manifest's version"},
		{"func init() {\n", "func init() {\n\tpanic(\"no\")\n", "log: panic: no"},
		{guestMain, "package main\n\nfunc main() {}\n", "does not use package skerry/shared/module/guest"},
	} {
		if _, code, printed := made(strings.Replace(guestMain, c.change, c.to, 1)); code != 1 || !strings.Contains(printed, c.says) {
			t.Errorf("%s: %d, %s", c.to, code, printed)
		}
	}
	var out bytes.Buffer
	if code := run(context.Background(), []string{"module", "build", "."}, nil, &out, &out); code != 2 {
		t.Errorf("no --out: %d, %s", code, &out)
	}
}
