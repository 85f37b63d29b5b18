package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestModuleVersion: the version of a module is that of the command line, else what the source says, else in AssemblyScript that of the nearest
// package.json; what is none is refused, here and by whatever loads a module.
func TestModuleVersion(t *testing.T) {
	silent := strings.Replace(guestbook, `, version: "1.0.0"`, "", 1)
	dir := project(t, map[string]string{"guestbook.ts": guestbook, "silent.ts": silent, "package.json": `{"name": "guestbook", "version": "2.4.5-beta.1"}`})
	bare := project(t, map[string]string{"silent.ts": silent, "package.json": `{"name": "guestbook"}`})
	for _, c := range []struct{ source, version, want string }{
		{filepath.Join(dir, "guestbook.ts"), "", `"version":"1.0.0"`},
		{filepath.Join(dir, "guestbook.ts"), "3.0.0-rc.1", `"version":"3.0.0-rc.1"`},
		{filepath.Join(dir, "silent.ts"), "", `"version":"2.4.5-beta.1"`},
		{filepath.Join(dir, "silent.ts"), "3.0.0", `"version":"3.0.0"`},
		{filepath.Join(bare, "silent.ts"), "", "a module has a name and a version, here or in package.json"},
		{filepath.Join(bare, "silent.ts"), "3.0.0", `"version":"3.0.0"`},
		{filepath.Join(dir, "guestbook.ts"), "v1", `bad_module: the manifest's version: "v1" is no semantic version`},
	} {
		code, printed := tool("module", "build", "--json", "--version", c.version, "--out", filepath.Join(t.TempDir(), "out.wasm"), c.source)
		if (code == 0) != strings.HasPrefix(c.want, `"`) || !strings.Contains(printed, c.want) {
			t.Errorf("%s, --version %q: %d: %s", c.source, c.version, code, printed)
		}
	}
	inGo := goProject(t, map[string]string{"main.go": guestMain})
	for version, want := range map[string]string{"": `"version":"0.1.0"`, "2.4.5-beta+x": `"version":"2.4.5-beta+x"`, "1 -X main.x=1": "is no semantic version"} {
		code, printed := tool("module", "build", "--json", "--version", version, "--out", filepath.Join(t.TempDir(), "out.wasm"), inGo)
		if (code == 0) != strings.HasPrefix(want, `"`) || !strings.Contains(printed, want) {
			t.Errorf("Go, --version %q: %d: %s", version, code, printed)
		}
	}
}
