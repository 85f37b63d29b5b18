package wire

import (
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"skerry/shared/digest"
)

// A shape is a structure or frame as PROTOCOL.md describes it.
type shape struct {
	name   string
	number uint64 // 0 for structures that are no frame
	sender string
	fields []field
}

type field struct{ name, kind string }

// A table is a markdown table: what its first row calls its columns, and its other rows.
type table struct {
	columns []string
	rows    [][]string
}

var heading = regexp.MustCompile("^### (?:([0-9]+) )?`([a-z_]+)`(?: \\((client|server|both)\\))?$")

// protocol reads PROTOCOL.md: its shapes by name and its other tables by section.
func protocol(t testing.TB) (shapes map[string]*shape, tables map[string]table) {
	t.Helper()
	text, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	shapes, tables = map[string]*shape{}, map[string]table{}
	var current *shape
	var section string
	var open table
	for line := range strings.Lines(string(text) + "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "|") {
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			switch {
			case open.columns == nil:
				open.columns = cells
			case !strings.HasPrefix(cells[0], "---"):
				if len(cells) != len(open.columns) {
					t.Errorf("PROTOCOL.md: %q has %d cells, its table %d columns", line, len(cells), len(open.columns))
					continue
				}
				open.rows = append(open.rows, cells)
			}
			continue
		}
		if open.columns != nil && open.columns[0] == "element" && current != nil {
			for _, row := range open.rows {
				current.fields = append(current.fields, field{row[0], row[1]})
			}
		} else if open.columns != nil {
			tables[section] = open
		}
		open = table{}
		if strings.HasPrefix(line, "#") {
			section, current = strings.TrimLeft(line, "# "), nil
		}
		if m := heading.FindStringSubmatch(line); m != nil {
			number, _ := strconv.ParseUint(m[1], 10, 64)
			if shapes[m[2]] != nil {
				// genesis, proof and limits are structures only; a frame of the same name would be ambiguous.
				t.Errorf("PROTOCOL.md describes %s twice", m[2])
			}
			current = &shape{name: m[2], number: number, sender: m[3]}
			shapes[m[2]] = current
		} else if strings.HasPrefix(line, "### ") {
			t.Errorf("PROTOCOL.md: the heading %q names no structure and no frame", line)
		}
	}
	if len(shapes) == 0 || len(tables) == 0 {
		t.Fatal("PROTOCOL.md has no tables")
	}
	return shapes, tables
}

// snake returns a Go field's name as the protocol writes it: RetryAfterMS is retry_after_ms.
func snake(name string) string {
	var b strings.Builder
	for i, c := range name {
		upper := unicode.IsUpper(c)
		if upper && i > 0 && (unicode.IsLower(rune(name[i-1])) || i+1 < len(name) && unicode.IsLower(rune(name[i+1]))) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

const highestNumber = 64 // beyond the last frame

func TestProtocolNamesEveryFrame(t *testing.T) {
	shapes, _ := protocol(t)
	documented := map[uint64]*shape{}
	for _, s := range shapes {
		if s.number != 0 {
			documented[s.number] = s
		}
	}
	for number := range uint64(highestNumber) {
		frame, s := newFrame(Number(number)), documented[number]
		switch {
		case frame == nil && s == nil:
		case frame == nil:
			t.Errorf("frame %d %s is in PROTOCOL.md only", number, s.name)
		case s == nil:
			t.Errorf("frame %d %T is not in PROTOCOL.md", number, frame)
		case frame.Number() != Number(number):
			t.Errorf("a new frame %d says that it is %d", number, frame.Number())
		default:
			kind := reflect.TypeOf(frame).Elem()
			if snake(kind.Name()) != s.name {
				t.Errorf("frame %d is %s in PROTOCOL.md and %s in the code", number, s.name, kind.Name())
			}
			names := map[string]bool{}
			for f := range fieldsOf(kind) {
				names[f] = true
			}
			for _, f := range s.fields {
				if !names[f.name] {
					t.Errorf("%s.%s is in PROTOCOL.md only", s.name, f.name)
				}
			}
			if len(names) != len(s.fields) {
				t.Errorf("%s has %d elements in PROTOCOL.md and %d in the code", s.name, len(s.fields), len(names))
			}
		}
	}
}

func TestProtocolNamesEveryCode(t *testing.T) {
	_, tables := protocol(t)
	documented := map[Code]string{}
	for _, row := range tables["Codes"].rows {
		n, err := strconv.ParseUint(row[0], 10, 64)
		if err != nil || documented[Code(n)] != "" {
			t.Errorf("code %s: %v, or twice", row[0], err)
		}
		documented[Code(n)] = row[1]
		if own := n >= 200; own != strings.HasPrefix(row[2], "client") {
			t.Errorf("code %d %s is sent in %s", n, row[1], row[2])
		}
		for _, cell := range row {
			if cell == "" {
				t.Errorf("code %d %s has an empty cell", n, row[1])
			}
		}
	}
	if !reflect.DeepEqual(documented, Codes()) {
		t.Errorf("codes in PROTOCOL.md: %v\nin the code: %v", documented, Codes())
	}
	names := map[string]bool{}
	for code, name := range Codes() {
		if names[name] || code.String() != name {
			t.Errorf("code %d is called %s as another one, or not at all", code, name)
		}
		names[name] = true
	}
}

func TestProtocolNamesEveryLimit(t *testing.T) {
	shapes, tables := protocol(t)
	rows := tables["Limits"].rows
	limits := reflect.ValueOf(DefaultLimits)
	if len(rows) != limits.NumField() || len(shapes["limits"].fields) != len(rows) {
		t.Fatalf("%d limits in PROTOCOL.md, %d in its structure, %d in the code", len(rows), len(shapes["limits"].fields), limits.NumField())
	}
	for i, row := range rows {
		name, value := snake(limits.Type().Field(i).Name), strconv.FormatUint(limits.Field(i).Uint(), 10)
		if row[0] != name || row[1] != value {
			t.Errorf("limit %d is %s = %s in PROTOCOL.md and %s = %s in the code", i, row[0], row[1], name, value)
		}
		if shapes["limits"].fields[i].name != name {
			t.Errorf("element %d of limits is %s in PROTOCOL.md and %s in the code", i, shapes["limits"].fields[i].name, name)
		}
	}
	visited := 0
	limits2 := Limits{}
	limits2.each(func(n *uint64) { visited++; *n = uint64(visited) })
	for i := range visited {
		if got := reflect.ValueOf(limits2).Field(i).Uint(); got != uint64(i+1) {
			t.Errorf("limit %d travels in place %d", i, got-1)
		}
	}
	if visited != limits.NumField() {
		t.Errorf("%d of %d limits travel", visited, limits.NumField())
	}
}

func TestProtocolNamesTheBuiltInModule(t *testing.T) {
	text, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	if open := digest.Of([]byte("\x00asm\x01\x00\x00\x00")).String(); !strings.Contains(string(text), open) {
		t.Errorf("PROTOCOL.md does not name %s", open)
	}
}

func TestProtocolNamesEveryFixedLimit(t *testing.T) {
	_, tables := protocol(t)
	rows := tables["Fixed limits"].rows
	limits := map[string]int{
		"proofs": MaxProofs, "transactions": MaxTransactions, "genesis_signature": MaxSignature, "directories": MaxDirectories,
		"requests": MaxRequests, "points": MaxPoints, "upload": MaxUpload, "reason": MaxReason,
		"ephemeral": MaxEphemeral, "ephemeral_rate": EphemeralRate, "ephemeral_burst": EphemeralBurst,
	}
	if len(rows) != len(limits) {
		t.Errorf("%d fixed limits in PROTOCOL.md, %d in the code", len(rows), len(limits))
	}
	for _, row := range rows {
		if value, ok := limits[row[0]]; !ok || strconv.Itoa(value) != row[1] {
			t.Errorf("%s is %s in PROTOCOL.md and %d in the code", row[0], row[1], value)
		}
	}
}
