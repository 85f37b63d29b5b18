package moduletest

import (
	_ "embed"
	"fmt"
	"strings"

	"skerry/shared/module/program"
)

//go:embed guests/typed.wasm
var typedBytes []byte

//go:embed guests/inventory.wasm
var inventoryBytes []byte

// Inventory returns the module of docs/modules/versions.md, which counts slots from 1, and what apps of before 2.4.5 wrote from 0.
func Inventory() []byte { return inventoryBytes }

// InventoryPut returns a payload of its event put.
func InventoryPut(index int, item string) []byte { return payload("index", index, "item", item) }

// full is a payload of put with every field, and bare one without those that may be absent.
func full(group string, number int, float float64, text string) event {
	return event{"put", payload("group", group, "number", number, "flag", number%2 == 0, "count", uint64(1<<63), "float", float, "text", text,
		"bytes", []byte(text), "maybeNumber", number-1, "maybeFlag", true, "maybeCount", 0, "maybeFloat", -float, "maybeText", text+text, "maybeBytes", []byte{0, 255})}
}

func bare(group string, number int) event {
	return event{"put", payload("group", group, "number", number, "flag", true, "count", 0, "float", 0.0, "text", "", "bytes", []byte{})}
}

func change(group string, number int) event {
	return event{"change", payload("group", group, "number", number)}
}

// typedCases hold what is written with web/module-sdk to the host: what it reads and writes is what there is.
func typedCases() []testCase {
	params := payload("title", "\u00fcber \U0001f30a", "limit", 7)
	return []testCase{
		{"values", func(s *session) {
			space := s.space(typedBytes, params)
			space.allowed("creator", full("a", -1, 1.5, "one"), full("a", 2, -0.25, "\u00fc\U0001f30a\x00x"), bare("b", -1<<62), full("", 0, 0, ""))
			space.refused(7, "creator", bare("a", 2))
			long := strings.Repeat("long \u00e4 ", 500) // more than is read at once
			space.allowed("creator", event{"put", payload("group", "long", "number", 1, "flag", true, "count", 1, "float", 1e300, "text", strings.Repeat("t", 400), "bytes", []byte(long), "maybeText", long)})
			for range 2 {
				space.allowed("ann", change("a", -1), change("b", -1<<62), change("a", 2), change("long", 1), change("", 0))
			}
			space.push("ann", change("c", 1))
			space.push("ann", change(strings.Repeat("n\u00f6", 160), 1)) // the reason is cut
			space.push("ann", event{"drop", payload("group", "c", "number", 1)})
			space.allowed("ann", event{"drop", payload("group", "a", "number", 2)})
			space.rows()
			space.again(sameMachines)
		}},
		{"scans", func(s *session) {
			space := s.space(typedBytes, params)
			for i, group := range []string{"a", "b", "a", "ab", "a", "b"} {
				space.allowed("creator", full(group, i-2, float64(i%3)-1, []string{"x", "y", "stop"}[i%3]))
			}
			for _, way := range []string{"all", "from", "by text", "by flag", "sorted", "of no name"} {
				for _, down := range []bool{false, true} {
					space.push("ann", event{"look", payload("way", way, "group", "a", "text", "y", "down", down)})
				}
			}
			space.rows()
			space.again(sameMachines)
		}},
		{"what is not declared", func(s *session) {
			space := s.space(typedBytes, params)
			space.allowed("ann", event{"other", []byte("x")})
			space.allowed("ann", event{"two", []byte("yy")}, event{"more", []byte("zz")})
			space.refused('!', "ann", event{"else", []byte("!?")})
			space.push("ann", event{"none", nil})
			space.rows()
		}},
		{"params", func(s *session) {
			for _, p := range [][]byte{payload("title", ""), payload("title", "x", "limit", nil, "more", 1), payload("limit", 1), nil} {
				if space := s.space(typedBytes, p); space != nil {
					space.rows()
				}
			}
		}},
		{"taken over", func(s *session) {
			space := s.upgradable(Members(nil), typedBytes)
			space.push("creator", add("bob"), add("J\u00fcrgen"))
			space.allowed("creator", upgrade(typedBytes, params))
			space.rows()
		}},
	}
}

func sameMachines(m program.Machines) program.Machines { return m }

// rows tells all rows of all tables.
func (s *testSpace) rows() {
	s.t.Helper()
	set := s.instance.Committed()
	for i := range set.Schemas() {
		schema := &set.Schemas()[i]
		err := set.Scan(i, 0, "", "", false, func(_, row string) bool {
			values, err := schema.Values([]byte(row))
			if err != nil {
				s.t.Fatal(err)
			}
			text := schema.Name
			for at, value := range values {
				text += fmt.Sprintf(" %s=%s", schema.Columns[at].Name, show(value))
			}
			s.tell("%s", text)
			return true
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// show tells a value, a long one by its beginning.
func show(value any) string {
	text := fmt.Sprintf("%v", value)
	switch value := value.(type) {
	case string:
		text = fmt.Sprintf("%q", value)
	case []byte:
		text = fmt.Sprintf("%x", value)
	}
	return text[:min(len(text), 100)]
}
