package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// running is a command that runs until it is stopped, and prints a line of JSON now and then.
type running struct {
	t      *testing.T
	lines  *json.Decoder
	cancel context.CancelFunc
	code   chan int
	errors bytes.Buffer
}

func start(t *testing.T, args ...string) *running {
	ctx, cancel := context.WithCancel(context.Background())
	in, out := io.Pipe()
	r := &running{t: t, lines: json.NewDecoder(in), cancel: cancel, code: make(chan int, 1)}
	go func() {
		code := run(ctx, args, nil, out, &r.errors)
		out.CloseWithError(io.EOF)
		r.code <- code
	}()
	t.Cleanup(func() { r.stop() })
	return r
}

// next waits for the next line.
func (r *running) next(value any) {
	r.t.Helper()
	if err := r.lines.Decode(value); err != nil {
		r.t.Fatalf("it ended: %v: %s", err, &r.errors)
	}
}

func (r *running) stop() int {
	r.cancel()
	code := <-r.code
	r.code <- code
	return code
}

// round is the next round of a watch that is about something.
func (r *running) round() (v roundView) {
	r.t.Helper()
	r.next(&v)
	return v
}

// TestModuleWatch: each change is made, tested and given to a server, and takes a space over; and what is wrong is told, and it goes on.
func TestModuleWatch(t *testing.T) {
	const tests = "test notes\n  ada: note {\"text\": \"hello\"}\n  ada: note {\"text\": \"\"} -> module_1\n"
	t.Setenv("SKERRY_KEYS", t.TempDir())
	dir := project(t, map[string]string{"guestbook.ts": guestbook, "guestbook.tests": tests})
	source, out := filepath.Join(dir, "guestbook.ts"), filepath.Join(dir, "guestbook.wasm")
	server := start(t, "serve", "--json", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--admin", "admin")
	var listening struct{ URL string }
	server.next(&listening)
	code, id := tool("space", "create", "--url", listening.URL, "--identity", "ada")
	id = strings.TrimSpace(id)
	if code != 0 {
		t.Fatal(id)
	}
	now := func() string {
		code, printed := tool("space", "info", "--json", "--url", listening.URL, "--identity", "ada", id)
		var info struct {
			Now string `json:"module_now"`
		}
		if err := json.Unmarshal([]byte(printed), &info); code != 0 || err != nil {
			t.Fatalf("%d: %s", code, printed)
		}
		return info.Now
	}

	watch := start(t, "module", "watch", "--json", "--url", listening.URL, "--identity", "ada", "--space", id, "--out", out, source)
	first := watch.round()
	if first.Version != "1.0.0" || first.Passed != 1 || len(first.Failed)+len(first.Warnings) > 0 || first.Error != "" || first.Seq != 1 || now() != first.Digest {
		t.Fatalf("%+v; the space is of %s", first, now())
	}

	writeFile(t, source, strings.Replace(guestbook, "notes.put", "notes.putt", 1))
	if v := watch.round(); !strings.Contains(v.Error, "guestbook.ts(22,") || v.Digest != "" || now() != first.Digest {
		t.Errorf("%+v", v)
	}

	// A module whose tests fail goes nowhere.
	writeFile(t, source, strings.NewReplacer("this.text.length == 0", "false", "1.0.0", "1.1.0").Replace(guestbook))
	v := watch.round()
	if v.Version != "1.1.0" || v.Passed != 0 || len(v.Failed) != 1 || v.Failed[0].Want != "module_1" || v.URL != "" || now() != first.Digest {
		t.Errorf("%+v", v)
	}
	if code, printed := tool("module", "has", "--url", listening.URL, "--identity", "ada", v.Digest); code != 0 || printed != "false\n" {
		t.Errorf("%d: %s", code, printed)
	}
	if code, printed := tool("module", "inspect", out); code != 0 || !strings.Contains(printed, first.Digest) {
		t.Errorf("%d: %s", code, printed)
	}

	// The tests are changed, and it passes.
	writeFile(t, filepath.Join(dir, "guestbook.tests"), strings.Replace(tests, " -> module_1", "", 1))
	if v := watch.round(); v.Passed != 1 || v.Error != "" || v.Seq < 2 || v.Digest == first.Digest || now() != v.Digest {
		t.Errorf("%+v", v)
	}
	writeFile(t, filepath.Join(dir, "guestbook.tests"), "test notes\n  nothing\n")
	if v := watch.round(); !strings.Contains(v.Error, "guestbook.tests:2: want test, creator") {
		t.Errorf("%+v", v)
	}
	if code := watch.stop(); code != 0 {
		t.Errorf("stopped: exit %d: %s", code, &watch.errors)
	}
}

// TestWatchPrints: a round as people read it.
func TestWatchPrints(t *testing.T) {
	failed := &testView{Test: "notes", File: "a.tests", Line: 3, Step: "ada: note", Want: "accepted", Got: "refused"}
	for _, c := range []struct {
		v    roundView
		want string
	}{
		{roundView{Error: "a.ts does not compile"}, "error: a.ts does not compile"},
		{roundView{Name: "a", Version: "1.0.0", Digest: "d", Size: 5, Passed: 2}, "a 1.0.0, 5 bytes\n  d\n  2 tests passed"},
		{roundView{Name: "a", Version: "1.0.0", Digest: "d", Size: 5, Passed: 1, Failed: []*testView{failed}, Warnings: []string{"careful"}},
			"a 1.0.0, 5 bytes\n  d\n  1 of 2 tests failed\n" + failed.text() + "\n  warning: careful"},
		{roundView{Name: "a", Version: "1.0.0", Digest: "d", Size: 5, URL: "http://x", identity: "ada"},
			"a 1.0.0, 5 bytes\n  d\n  http://x has it; to take a space over to it:\n  skerry module publish --url http://x --identity ada ID d"},
		{roundView{Name: "a", Version: "1.0.0", Digest: "d", Size: 5, URL: "http://x", Space: "s", Seq: 7},
			"a 1.0.0, 5 bytes\n  d\n  http://x has it, and space s is taken over to it by record 7"},
		{roundView{Name: "a", Version: "1.0.0", Digest: "d", Size: 5, URL: "http://x", Space: "s"}, "a 1.0.0, 5 bytes\n  d\n  http://x has it, and space s is of it"},
		{roundView{Name: "a", Version: "1.0.0", Digest: "d", Size: 5, Error: "no server"}, "a 1.0.0, 5 bytes\n  d\nerror: no server"},
	} {
		if got := c.v.text(); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

func TestModuleWatchRefuses(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "a.ts")
	writeFile(t, source, guestbook)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "needs a source"},
		{[]string{filepath.Join(dir, "missing.ts")}, 1, "no such file"},
		{[]string{filepath.Join("testdata", "script", "module.txtar")}, 2, "is neither a source in AssemblyScript"},
		{[]string{"--url", "http://127.0.0.1:1", source}, 2, "--url needs --identity"},
		{[]string{"--identity", "ada", source}, 2, "--url needs --identity"},
		{[]string{"--space", strings.Repeat("0", 64), source}, 2, "--space needs both"},
		{[]string{"--url", "http://127.0.0.1:1", "--identity", "ada", "--space", "5", source}, 2, `--space "5" is no ID`},
	} {
		if code, printed := tool(append([]string{"module", "watch"}, c.args...)...); code != c.code || !strings.Contains(printed, c.want) {
			t.Errorf("%v: exit %d: %s", c.args, code, printed)
		}
	}
}

// TestWatchedFiles: what is written beside a source by others, a server for instance, is no change.
func TestWatchedFiles(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"lib", "data", ".git", "node_modules"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(dir, "a.ts"), "1")
	named := filepath.Join(t.TempDir(), "tests")
	w := &watcher{source: filepath.Join(dir, "a.ts"), named: []string{named}}
	seen := func() map[string]string {
		files, err := w.files()
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	for _, c := range []struct {
		file    string
		matters bool
	}{
		{filepath.Join(dir, "a.ts"), true}, {filepath.Join(dir, "lib", "b.ts"), true}, {filepath.Join(dir, "a.tests"), true}, {named, true},
		{filepath.Join(dir, "lib", "c.go"), true}, {filepath.Join(dir, "go.mod"), true},
		{filepath.Join(dir, "data", "log.sqlite"), false}, {filepath.Join(dir, "a.wasm"), false}, {filepath.Join(dir, ".a.ts.swp"), false},
		{filepath.Join(dir, ".git", "b.ts"), false}, {filepath.Join(dir, "node_modules", "b.ts"), false},
	} {
		before := seen()
		writeFile(t, c.file, "changed")
		if got := !maps.Equal(before, seen()); got != c.matters {
			t.Errorf("%s: seen %t, want %t", c.file, got, c.matters)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "lib")); err != nil {
		t.Fatal(err)
	}
	if len(seen()) != 4 {
		t.Errorf("there are %v", seen())
	}
}
