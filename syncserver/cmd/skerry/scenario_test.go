package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestScenariosRefuse: what cannot be read as tests is told with its line.
func TestScenariosRefuse(t *testing.T) {
	for _, c := range []struct{ content, want string }{
		{"", "there is no test in it"},
		{"creator ada\nada: note", "there is no test in it"},
		{"test", ":1: a test has a name"},
		{"test a\ntest b\n ada: note", ":1: test a does nothing"},
		{"test a", ":1: test a does nothing"},
		{"test a\n creator", `:2: want "creator NAME"`},
		{"test a\n creator ada bob", `:2: want "creator NAME"`},
		{"test a\n module", `:2: want "module FILE"`},
		{"test a\n params nothing", ":2: the payload is not JSON"},
		{"test a\n at noon", `:2: want a time like "at 2026-12-24T18:00:00Z", not "noon"`},
		{"test a\n at 1969-12-24T18:00:00Z", ":2: want a time"},
		{"test a\n may write ada", `:2: want "may read NAME, NAME"`},
		{"test a\n may read", `:2: want "may read NAME, NAME"`},
		{"test a\n may read ada,", `:2: want a name behind "may read"`},
		{"test a\n may read \"ada\" \"bob\"", `:2: want "may read NAME, NAME"`},
		{"test a\n table", `:2: want "table NAME"`},
		{"test a\n table notes all", `:2: want "table NAME"`},
		{"test a\n table notes\n {\"text\": }", ":3: not a row as JSON"},
		{"test a\n table notes\n {\"seq\": 1} {\"seq\": 2}", `:3: behind the row is "{\"seq\": 2}"`},
		{"test a\n {\"seq\": 1}", ":2: a row comes behind"},
		{"test a\n ada note", ":2: want test, creator, params"},
		{"test a\n\n# so\n ada:", ":4: want the type of an event"},
		{"test a\n ada: note {\"text\": ", ":2: the payload of note is not JSON"},
		{"test a\n ada: note {} note {}", `:2: want + and another event, or -> and the code of a refusal, not "note {}"`},
		{"test a\n ada: note {} ->", ":2: behind -> is the code of a refusal"},
		{"test a\n ada: note {} -> refused \"why", ":2: "},
		{"test a\n ada: note {} +", ":2: want the type of an event"},
		{"test a\n \"ada: note {}", ":2: "},
	} {
		file := filepath.Join(t.TempDir(), "some.tests")
		writeFile(t, file, c.content)
		_, err := readScenarios(file)
		if err == nil || !strings.HasPrefix(err.Error(), file+":") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.content, err, c.want)
		}
	}
}
