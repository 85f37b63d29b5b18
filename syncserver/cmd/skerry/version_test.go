package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry/shared/semver"
	"skerry/syncserver"
)

// TestVersion: the program, the npm packages and what they are locked to have one version, and the changelog has a section of it or of what
// is to become it.
func TestVersion(t *testing.T) {
	if _, err := semver.Parse(syncserver.Version); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join("..", "..", "..")
	for _, name := range []string{"web/package.json", "web/module-sdk/package.json", "web/package-lock.json"} {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		var is struct {
			Version  string
			Packages map[string]struct{ Version string }
		}
		if err := json.Unmarshal(text, &is); err != nil {
			t.Fatal(err)
		}
		if is.Version != syncserver.Version {
			t.Errorf("%s has version %s, the program %s", name, is.Version, syncserver.Version)
		}
		if of, locked := is.Packages[""]; locked && of.Version != syncserver.Version {
			t.Errorf("%s locks version %s, the program has %s", name, of.Version, syncserver.Version)
		}
	}
	changes, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(changes); !strings.Contains(text, "\n## "+syncserver.Version+" - 2") && !strings.Contains(text, "\n## Unreleased\n") {
		t.Errorf("CHANGELOG.md has no section of %s, and none that is to become it", syncserver.Version)
	}

	code, printed := tool("version", "--json")
	var said struct{ Version, Commit string }
	if err := json.Unmarshal([]byte(printed), &said); code != 0 || err != nil || said.Version != syncserver.Version || said.Commit == "" {
		t.Errorf("skerry version prints %q", printed)
	}
}
