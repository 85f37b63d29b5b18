package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVersionsPage: the module of docs/modules/versions.md is the one that is tested with real clients, and does what its page says.
func TestVersionsPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/modules/versions.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../../../shared/module/moduletest/guests/inventory.ts")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "\n```ts\n")
	code, rest, _ := strings.Cut(rest, "```\n")
	if code != string(source) {
		t.Fatal("the module of the page is not shared/module/moduletest/guests/inventory.ts")
	}
	_, rest, _ = strings.Cut(rest, "\n```\n")
	tests, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("the page has no tests")
	}
	dir := project(t, map[string]string{"inventory.ts": code, "inventory.tests": tests})
	if code, printed := tool("module", "test", filepath.Join(dir, "inventory.ts")); code != 0 || !strings.Contains(printed, "3 tests passed") {
		t.Errorf("%d: %s", code, printed)
	}
}
