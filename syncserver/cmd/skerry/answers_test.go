package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/tables"
)

// What generated Go answers where it reads: of each event, by the code of each version, in a space that nobody knows the module of, and in one of each version. An answer is the code of an
// error, or the payload as that version writes it.
type answered struct {
	About string `json:"about"`
	pageChain
	Answers [][]string `json:"answers"` // of each event, by each version: one for each space, or one for all of them
}

// declare returns fields of a few words: "text:text" has to be there, "room:text?" need not be, and "mood:text=calm" has a default.
func declare(t *testing.T, words string) (fields []program.Field) {
	t.Helper()
	for _, word := range strings.Fields(words) {
		name, kind, _ := strings.Cut(word, ":")
		kind, given, defaulted := strings.Cut(kind, "=")
		f := program.Field{Name: name}
		kind, f.Optional = strings.CutSuffix(kind, "?")
		for f.Kind = tables.Bool; f.Kind.String() != kind; f.Kind++ {
			if f.Kind == tables.Bytes {
				t.Fatalf("%s: no kind", word)
			}
		}
		if defaulted {
			f.Default = packed(f.Kind, given)
		}
		fields = append(fields, f)
	}
	return fields
}

// packed returns a value of a kind that some text says.
func packed(kind tables.Kind, text string) []byte {
	n := len(text)
	switch kind {
	case tables.Bool:
		return msgpack.AppendBool(nil, n%2 == 0)
	case tables.I64:
		return msgpack.AppendInt(nil, -1<<60-int64(n))
	case tables.U64:
		return msgpack.AppendUint(nil, 1<<60+uint64(n))
	case tables.F64:
		return msgpack.AppendFloat(nil, float64(n)/2)
	case tables.Text:
		return msgpack.AppendString(nil, text)
	}
	return msgpack.AppendBinary(nil, []byte(text))
}

// listed returns an earlier declaration. The words of its lens are "from>to" for a field that has another name, "-name" for one that is read no more, and "name=value" for
// what a field gets; "!" refuses it.
func listed(t *testing.T, fields string, lens string, now []program.Field) program.Older {
	t.Helper()
	o := program.Older{Fields: declare(t, fields)}
	for _, word := range strings.Fields(lens) {
		name, value, gives := strings.Cut(word, "=")
		from, to, renames := strings.Cut(word, ">")
		switch {
		case word == "!":
			o.Refused = true
		case renames:
			o.Rename = append(o.Rename, program.Renamed{From: from, To: to})
		case gives:
			for _, f := range now {
				if f.Name == name {
					o.Given = append(o.Given, program.Given{Name: name, Value: packed(f.Kind, value)})
				}
			}
		default:
			o.Drop = append(o.Drop, strings.TrimPrefix(word, "-"))
		}
	}
	return o
}

const was = "text:text room:text? mood:text=calm"

// declarations are how versions of a module declare its one event type, one after the other: the fields, "removed" before them or "gone" in their place, and then
// earlier declarations and their lenses by turns.
type declarations [][]string

// changes are what newer versions may change, and what code of the first then makes of what the last one's writes, in a space that has that module: read, the code of
// an error, or nothing where nobody writes it any more.
var changes = []struct {
	about    string
	reads    string
	abi      uint32
	versions declarations
}{
	{"nothing", "read", 2, declarations{{was}, {was}}},
	{"a field that is optional", "read", 2, declarations{{was}, {was + " stars:u64?", was, ""}}},
	{"a field with a default", "read", 2, declarations{{was}, {was + " stars:u64=a", was, ""}}},
	{"a field that the lens gives", "read", 2, declarations{{was}, {was + " stars:u64", was, "stars=a"}}},
	{"a field, and the one before is not listed", "schema_unknown", 2, declarations{{was}, {was + " stars:u64?"}}},
	{"a field, and the one before is refused", "schema_unknown", 2, declarations{{was}, {was + " stars:u64?", was, "!"}}},
	{"another order", "read", 2, declarations{{was}, {"mood:text=calm room:text? text:text", was, ""}}},
	{"another name", "read", 2, declarations{{was}, {"title:text room:text? mood:text=calm", was, "text>title"}}},
	{"another name, and not listed", "schema_unknown", 2, declarations{{was}, {"title:text room:text? mood:text=calm"}}},
	{"names that are swapped", "read", 2, declarations{{"a:text b:text"}, {"b:text a:text", "a:text b:text", "a>b b>a"}}},
	{"names that are swapped, and not listed", "schema_unknown", 2, declarations{{"a:text b:text"}, {"b:text a:text"}}},
	{"a name that was another's", "read", 2, declarations{{was}, {"title:text text:text? room:text? mood:text=calm", was, "text>title"}}},
	{"no required field", "schema_incompatible", 2, declarations{{was}, {"room:text? mood:text=calm", was, "-text"}}},
	{"no optional field", "read", 2, declarations{{was}, {"text:text mood:text=calm", was, "-room"}}},
	{"no field with a default", "read", 2, declarations{{was}, {"text:text room:text?", was, "-mood"}}},
	{"a required field of another type", "schema_incompatible", 2, declarations{{was}, {"text:u64 room:text? mood:text=calm", was, "-text text=a"}}},
	{"an optional field of another type", "read", 2, declarations{{was}, {"text:text room:u64? mood:text=calm", was, "-room"}}},
	{"a required field that means something else", "schema_incompatible", 2, declarations{{was}, {"room:text? text:text mood:text=calm", was, "-text text=a"}}},
	{"an optional field that means something else", "read", 2, declarations{{was}, {"mood:text=calm text:text room:text?", was, "-room"}}},
	{"a required field is optional", "schema_incompatible", 2, declarations{{was}, {"text:text? room:text? mood:text=calm", was, ""}}},
	{"a required field has a default", "read", 2, declarations{{was}, {"text:text=t room:text? mood:text=calm", was, ""}}},
	{"an optional field is required", "read", 2, declarations{{was}, {"text:text room:text mood:text=calm", was, "room=hall"}}},
	{"an optional field has a default", "read", 2, declarations{{was}, {"text:text room:text=hall mood:text=calm", was, ""}}},
	{"a field with a default is optional", "read", 2, declarations{{was}, {"text:text room:text? mood:text?", was, ""}}},
	{"a field with a default is required", "read", 2, declarations{{was}, {"text:text room:text? mood:text", was, ""}}},
	{"another default", "read", 2, declarations{{was}, {"text:text room:text? mood:text=glad", was, ""}}},
	{"every kind, by other names", "read", 2, declarations{
		{"a:bool b:i64 c:u64 d:f64 e:text f:bytes a1:bool=x b1:i64=x c1:u64=x d1:f64=x e1:text=x f1:bytes=x"},
		{
			"a2:bool b2:i64 c2:u64 d2:f64 e2:text f2:bytes a3:bool=xy b3:i64=xy c3:u64=xy d3:f64=xy e3:text=xy f3:bytes=xy",
			"a:bool b:i64 c:u64 d:f64 e:text f:bytes a1:bool=x b1:i64=x c1:u64=x d1:f64=x e1:text=x f1:bytes=x",
			"a>a2 b>b2 c>c2 d>d2 e>e2 f>f2 a1>a3 b1>b3 c1>c3 d1>d3 e1>e3 f1>f3",
		},
	}},
	{"the type is removed", "", 2, declarations{{was}, {"removed " + was}}},
	{"the type is gone", "", 2, declarations{{was}, {"gone"}}},
	{"two other names, and the first again", "read", 2, declarations{{"a:text b:text"}, {"b:text c:text", "a:text b:text", "a>b b>c"}, {"c:text a:text", "a:text b:text", "a>c b>a", "b:text c:text", "b>c c>a"}}},
	{"fields that are both read no more, and may be the same", "read", 2, declarations{{"text:text room:text?"}, {"text:text place:text?", "text:text room:text?", "room>place"}, {"text:text", "text:text room:text?", "-room", "text:text place:text?", "-place"}}},
	{"removed, and taken again", "read", 2, declarations{{"removed text:text"}, {"text:text room:text?", "text:text", ""}}},
	{"removed, and taken again, not listed", "schema_unknown", 2, declarations{{"removed text:text"}, {"text:text room:text?"}}},
	{"removed, and taken again, refused", "schema_unknown", 2, declarations{{"removed text:text"}, {"text:text room:text?", "text:text", "!"}}},
	{"by names: a field that is optional", "read", 1, declarations{{"text:text room:text?"}, {"text:text room:text? stars:u64?"}}},
	{"by names: no optional field", "read", 1, declarations{{"text:text room:text?"}, {"text:text stars:u64?"}}},
	{"by names: no required field", "schema_incompatible", 1, declarations{{"text:text room:text?"}, {"room:text?"}}},
	{"by names: a required field of another type", "schema_incompatible", 1, declarations{{"text:text room:text?"}, {"text:u64 room:text?"}}},
	{"by names: a required field is optional", "schema_incompatible", 1, declarations{{"text:text room:text?"}, {"text:text? room:text?"}}},
	{"by names: an optional field is required", "read", 1, declarations{{"text:text room:text?"}, {"text:text room:text"}}},
}

// programs returns the modules of some versions.
func (d declarations) programs(t *testing.T, abi uint32) (all []*program.Program) {
	t.Helper()
	for version, words := range d {
		events := []program.EventType{{Name: "other"}}
		if fields, removed := strings.CutPrefix(words[0], "removed "); fields != "gone" {
			e := program.EventType{Name: "note", Fields: declare(t, fields), Removed: removed}
			for i := 1; i < len(words); i += 2 {
				e.Older = append(e.Older, listed(t, words[i], words[i+1], e.Fields))
			}
			events = append(events, e)
		}
		p, err := program.Load(moduletest.Kept(fmt.Sprint(version+1, ".0.0"), events, func(m *program.Manifest) { m.ABI = abi }))
		if err != nil {
			t.Fatalf("%v: %v", words, err)
		}
		all = append(all, p)
	}
	return all
}

// written returns events of a type as its declaration has them, by code of a version: with all fields and with none that need not be there, of its schema and of none; and with one
// that is missing.
func written(version int, e *program.EventType) (all []pageEvent) {
	for _, whole := range []bool{true, false} {
		n, b := 0, []byte(nil)
		for i := range e.Fields {
			if f := &e.Fields[i]; whole || !f.Optional && f.Default == nil {
				n++
				b = append(msgpack.AppendString(b, f.Name), packed(f.Kind, fmt.Sprint(f.Name, " of ", version))...)
			}
		}
		payload := hex.EncodeToString(append(msgpack.AppendMap(nil, n), b...))
		schema := program.SchemaOf(e.Name, e.Fields)
		all = append(all, pageEvent{Version: version, Type: e.Name, Schema: hex.EncodeToString(schema[:]), Payload: payload}, pageEvent{Version: version, Type: e.Name, Schema: "0000000000000000", Payload: payload})
		if !whole {
			all = append(all, pageEvent{Version: version, Type: e.Name, Schema: hex.EncodeToString(schema[:]), Payload: "80"}, pageEvent{Version: version, Type: e.Name, Schema: "1234567812345678", Payload: payload})
		}
	}
	return all
}

// TestAnswersForPages compiles what the generator makes in Go of versions of modules, those of the change table and of chains at random whose authors forget to list what was, or refuse
// it, and holds its answers to those of web/test/answers.test.ts, where generated TypeScript has to give the same. SKERRY_UPDATE=1 writes them; SKERRY_ANSWERS=FILE SKERRY_SEED=n writes
// those of other chains there.
func TestAnswersForPages(t *testing.T) {
	var all []answered
	var sources [][]string // of each version, in Go
	add := func(about string, chain pageChain, programs []*program.Program) {
		var packages []string
		for version, p := range programs {
			source, err := goSource(p.Manifest, p.Digest, fmt.Sprintf("w%dv%d", len(all), version))
			if err != nil {
				t.Fatal(err)
			}
			packages = append(packages, source)
		}
		all, sources = append(all, answered{About: about, pageChain: chain}), append(sources, packages)
	}
	for _, c := range changes {
		programs := c.versions.programs(t, c.abi)
		var chain pageChain
		for version, p := range programs {
			v := versionForPages(p)
			for _, other := range programs {
				v.Bumps = append(v.Bumps, bumpsOf(p.Manifest, other.Manifest))
			}
			chain.Versions = append(chain.Versions, v)
			for i := range p.Manifest.Events {
				if e := &p.Manifest.Events[i]; e.Name == "note" && !e.Removed {
					chain.Events = append(chain.Events, written(version, e)...)
				}
			}
		}
		add(c.about, chain, programs)
	}
	first, file, update := uint64(100), filepath.Join("..", "..", "..", "web", "test", "testdata", "answers.json"), os.Getenv("SKERRY_UPDATE") != ""
	if other := os.Getenv("SKERRY_ANSWERS"); other != "" {
		if _, err := fmt.Sscan(os.Getenv("SKERRY_SEED"), &first); err != nil {
			t.Fatal(err)
		}
		file, update = other, true
	}
	for seed := first; seed < first+3; seed++ {
		c := moduletest.NewChain(rand.New(rand.NewPCG(seed, 6)))
		c.Forgets = true
		for range 3 {
			c.Next()
		}
		chain, programs := chainForPages(t, seed, c, 1)
		add(fmt.Sprint("chain ", seed), chain, programs)
	}
	answer(t, all, sources)

	for i, c := range changes {
		last := len(c.versions) - 1
		for k, e := range all[i].Events {
			if e.Version != last || e.Schema == "0000000000000000" || e.Schema == "1234567812345678" || e.Payload == "80" {
				continue
			}
			answers := strings.Fields(all[i].Answers[k][0])
			got := answers[min(1+last, len(answers)-1)]
			read := !strings.Contains(got, "_")
			if read != (c.reads == "read") || !read && got != c.reads {
				t.Errorf("%s: %s is read as %s, want %s", c.about, e.Payload, got, c.reads)
			}
			if bump := all[i].Versions[0].Bumps[last]["note"]; bump != "major" && !read {
				t.Errorf("%s: diff says %q, and it is %s", c.about, bump, got)
			}
		}
	}
	holds(t, file, all, update)
}

// answer compiles a program of generated packages and has it answer.
func answer(t *testing.T, all []answered, sources [][]string) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	dir, replace := t.TempDir(), map[string]string{}
	place := func(name, source string) {
		file := filepath.Join(dir, fmt.Sprint(len(replace), ".go"))
		if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, "syncserver", "cmd", "skerry", "answers", name)] = file
	}
	var imports, readers strings.Builder
	for world, packages := range sources {
		for version, source := range packages {
			name := fmt.Sprintf("w%dv%d", world, version)
			place(filepath.Join(name, "types.go"), source)
			fmt.Fprintf(&imports, "\t%q\n", "skerry/syncserver/cmd/skerry/answers/"+name)
			manifest, err := hex.DecodeString(all[world].Versions[version].Manifest)
			if err != nil {
				t.Fatal(err)
			}
			m, err := program.ReadManifest(manifest)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range m.Events {
				read := fmt.Sprintf("p, err := %s.Read%sEvent(e, has)\nreturn p.Append(nil), err", name, newNames().of(e.Name, ""))
				fmt.Fprintf(&readers, "%q: func(e *space.Event, has *program.Manifest) ([]byte, error) {\n%s\n},\n", name+" "+e.Name, read)
			}
		}
	}
	place("main.go", fmt.Sprintf(answers, imports.String(), readers.String()))
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	asked, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("go", "run", "-overlay", file, "./syncserver/cmd/skerry/answers")
	command.Dir, command.Stdin, command.Stderr = root, bytes.NewReader(asked), os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var given [][][]string
	if err := json.Unmarshal(out, &given); err != nil || len(given) != len(all) {
		t.Fatalf("%d answers, want %d: %v", len(given), len(all), err)
	}
	for i := range all {
		all[i].Answers = given[i]
	}
}

// answers is the program, without what it imports and what it reads by.
const answers = `package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/wire"
%s)

var readers = map[string]func(e *space.Event, has *program.Manifest) ([]byte, error){
%s}

func main() {
	var worlds []struct {
		Versions []struct{ Manifest string }
		Events   []struct{ Type, Schema, Payload string }
	}
	must(json.NewDecoder(os.Stdin).Decode(&worlds))
	all := make([][][]string, len(worlds))
	for i, w := range worlds {
		has := []*program.Manifest{nil}
		for _, v := range w.Versions {
			m, err := program.ReadManifest(bytesOf(v.Manifest))
			must(err)
			has = append(has, m)
		}
		for _, e := range w.Events {
			var byReader []string
			for version := range w.Versions {
				var answers []string
				event := space.Event{Type: e.Type, Schema: space.Schema(bytesOf(e.Schema)), Payload: bytesOf(e.Payload)}
				if read := readers[fmt.Sprintf("w%%dv%%d %%s", i, version, e.Type)]; read != nil {
					for _, m := range has {
						payload, err := read(&event, m)
						answer := hex.EncodeToString(payload)
						if err != nil {
							answer = wire.CodeOf(err).String()
						}
						answers = append(answers, answer)
					}
				}
				if same := slices.Compact(slices.Clone(answers)); len(same) == 1 {
					answers = same
				}
				byReader = append(byReader, strings.Join(answers, " "))
			}
			all[i] = append(all[i], byReader)
		}
	}
	must(json.NewEncoder(os.Stdout).Encode(all))
}

func bytesOf(text string) []byte {
	b, err := hex.DecodeString(text)
	must(err)
	return b
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
`
