package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const guestbook = `import { Entry, Offer, fail, Table } from "skerry/module";

@module({ name: "guestbook", version: "1.0.0", upgrade: "carry" })
class Guestbook {}

@table("notes", { key: ["seq"] })
class Note {
  constructor(public seq: u64, public author: string, public text: string) {}
}

const notes = new Table<Note>();

@event("note")
class Write {
  text: string = "";

  authorize(offer: Offer): void {
    if (this.text.length == 0) fail(1, "a note says something");
  }

  apply(entry: Entry): void {
    notes.put(new Note(entry.seq, entry.author, this.text));
  }
}
`

// project makes a directory as npm install leaves one that names the checkout's skerry-module, and writes files into it.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("the compiler takes seconds")
	}
	web, err := filepath.Abs("../../../web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(web, "node_modules", "assemblyscript")); err != nil && os.Getenv("CI") == "" {
		t.Skip("needs the compiler: make deps")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "node_modules"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(web, "module-sdk"), filepath.Join(dir, "node_modules", "skerry-module")); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		writeFile(t, filepath.Join(dir, name), content)
	}
	return dir
}

// writeFile writes a file at once, so that whoever watches it never sees half of it.
func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// tool runs a command line, and returns its exit code and what it printed.
func tool(args ...string) (code int, printed string) {
	var out bytes.Buffer
	code = run(context.Background(), args, nil, &out, &out)
	return code, out.String()
}

// TestModuleOfAssemblyScript: a source becomes a module wherever a module may be named; and what is wrong with one is said.
func TestModuleOfAssemblyScript(t *testing.T) {
	dir := project(t, map[string]string{
		"guestbook.ts": guestbook,
		"wrong.ts":     strings.Replace(guestbook, "this.text.length", "this.text.lenght", 1),
	})
	file := filepath.Join(dir, "guestbook.wasm")
	code, built := tool("module", "build", "--out", file, filepath.Join(dir, "guestbook.ts"))
	if code != 0 {
		t.Fatalf("%d: %s", code, built)
	}
	if code, printed := tool("module", "inspect", file); code != 0 || !strings.Contains(printed, "guestbook 1.0.0\ndigest   "+built) {
		t.Errorf("%d: %s", code, printed)
	}
	elsewhere := filepath.Join(t.TempDir(), "alone.ts")
	writeFile(t, elsewhere, guestbook)
	for _, c := range []struct {
		source string
		code   int
		says   string
	}{
		{filepath.Join(dir, "wrong.ts"), 1, "wrong.ts(18,"},
		{filepath.Join(dir, "missing.ts"), 1, "missing.ts: no such file"},
		{elsewhere, 1, "needs the npm package skerry-module beside it"},
		{file, 2, "is neither a source in AssemblyScript (.ts) nor the directory of a Go program"},
	} {
		out := filepath.Join(t.TempDir(), "out.wasm")
		code, printed := tool("module", "build", "--out", out, c.source)
		if code != c.code || !strings.Contains(printed, c.says) {
			t.Errorf("%s: exit %d, %s", c.source, code, printed)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: there is a file all the same", c.source)
		}
	}
}
