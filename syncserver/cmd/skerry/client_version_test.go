package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// comparing are modules that compare the version of who writes as they are told to, in both languages.
var comparing = map[string]map[string]string{
	"assemblyscript": {"compare.ts": `import { Entry, Offer, fail } from "skerry/module";

@module({ name: "compare", version: "1.0.0" })
class Compare {}

@event("compare")
class Comparison {
  than: string = "";
  less: bool = false;

  authorize(offer: Offer): void {
    if (offer.clientVersion.lessThan(this.than) != this.less) fail(1, "otherwise in authorize");
  }

  apply(entry: Entry): void {
    if (entry.clientVersion.lessThan(this.than) != this.less) fail(2, "otherwise in apply");
  }
}
`},
	"go": {"main.go": `package main

import "skerry/shared/module/guest"

type comparison struct {
	Than string
	Less bool
}

func init() {
	compare := func(code int) func(*guest.Event, comparison) {
		return func(e *guest.Event, c comparison) {
			if e.ClientVersion.LessThan(c.Than) != c.Less {
				guest.Fail(code, "otherwise")
			}
		}
	}
	guest.Register(guest.Module{
		Name: "compare", Version: "1.0.0",
		Events: []guest.AnyEventType{guest.EventType[comparison]{Name: "compare", Authorize: compare(1), Apply: compare(2)}},
	})
}

func main() {}
`},
}

// TestClientVersion: guests of both languages, compiled and run as a server runs them, have the precedence of the specification's section 11,
// and what is no version comes first.
func TestClientVersion(t *testing.T) {
	ordered := []string{
		"0.0.0-0", "0.0.0", "0.0.1", "0.1.0",
		"1.0.0--", "1.0.0-0a", "1.0.0-A", "1.0.0-a", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.1.0", "1.0.0-alpha.beta", "1.0.0-beta",
		"1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-beta.99999999999999999999998", "1.0.0-beta.99999999999999999999999", "1.0.0-rc.1", "1.0.0",
		"2.0.0", "2.1.0", "2.1.1", "2.4.4", "2.4.5-beta", "2.4.5", "2.4.10", "2.10.0", "10.0.0", "9223372036854775807.0.0",
	}
	none := []string{
		"", "1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.02.3", "1.2.03", "1.2.3-", "1.2.3-a..b", "1.2.3-01", "1.2.3-a_b", "1.2.3+",
		"1.2.3+a..b", "1.2.3+a+b", " 1.2.3", "1.2.3 ", "-1.2.3", "1.2.x", "1.2.3-\u00e9", "9223372036854775808.0.0", "1.2.3-" + strings.Repeat("a", 59), "skerry-cli",
	}
	var events strings.Builder
	line := func(version, than string, less bool) {
		text, err := json.Marshal(map[string]any{"author": "ada", "type": "compare", "client_version": version, "payload": map[string]any{"than": than, "less": less}})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&events, "%s\n", text)
	}
	for i, version := range ordered {
		for j, than := range ordered {
			line(version, than, i < j)
			line(version+"+build.001.-", than+"+other", i < j)
		}
	}
	for _, version := range none {
		line(version, ordered[0], true)
	}
	for _, than := range none { // a mistake of the module
		line("1.0.0", than, true)
	}
	for name, files := range comparing {
		t.Run(name, func(t *testing.T) {
			source := ""
			if name == "go" {
				source = goProject(t, files)
			} else {
				source = filepath.Join(project(t, files), "compare.ts")
			}
			dir := t.TempDir()
			file, log := filepath.Join(dir, "compare.wasm"), filepath.Join(dir, "events")
			if code, printed := tool("module", "build", "--out", file, source); code != 0 {
				t.Fatalf("%d: %s", code, printed)
			}
			if err := os.WriteFile(log, []byte(events.String()), 0o666); err != nil {
				t.Fatal(err)
			}
			code, printed := tool("module", "run", "--json", "--params-hex", "80", file, log)
			if code != 0 {
				t.Fatalf("%d: %s", code, printed)
			}
			lines := strings.Split(events.String(), "\n")
			accepted, traps := 0, 0
			for n, line := range verdictLines(printed) {
				switch {
				case strings.Contains(line, `"verdict":"accepted"`):
					accepted++
				case strings.Contains(line, `"code":"module_trap"`) && n >= len(lines)-1-len(none):
					traps++
				default:
					t.Errorf("%s: %s", lines[n], line)
				}
			}
			if accepted != 2*len(ordered)*len(ordered)+len(none) || traps != len(none) {
				t.Errorf("%d were accepted, and %d stopped", accepted, traps)
			}
		})
	}
}

// verdictLines are the lines that tell verdicts.
func verdictLines(printed string) (all []string) {
	for line := range strings.Lines(printed) {
		if strings.Contains(line, `"verdict":`) {
			all = append(all, line)
		}
	}
	return all
}
