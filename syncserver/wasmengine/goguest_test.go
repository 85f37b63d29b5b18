package wasmengine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/syncserver/gobuild"
)

// Modules in Go, each built once for all tests.
var (
	goChat = sync.OnceValues(func() ([]byte, error) { return buildGo("../../shared/module/guest/chat") })
	goOdd  = sync.OnceValues(func() ([]byte, error) { return buildGo("testdata/odd") })
)

func buildGo(dir string) ([]byte, error) {
	e, err := New(nil, Options{Interpreter: true})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	return gobuild.Build(context.Background(), dir, "", func(p *program.Program) (program.Machines, error) { return e.Machines(p) })
}

func built(t testing.TB, build func() ([]byte, error)) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("Go's runtime is compiled")
	}
	if raceDetector {
		t.Skip("runs without the race detector: make unit")
	}
	content, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// goEngine is an engine that all tests of modules in Go share, and the machines that it made.
type goEngine struct {
	*Engine
	made map[digest.Digest]*Machines
}

var goEngines = map[string]func() (*goEngine, error){
	"compiled":    sync.OnceValues(func() (*goEngine, error) { return newGoEngine(Options{}) }),
	"interpreted": sync.OnceValues(func() (*goEngine, error) { return newGoEngine(Options{Interpreter: true}) }),
}

func newGoEngine(options Options) (*goEngine, error) {
	e, err := New(nil, options)
	return &goEngine{e, map[digest.Digest]*Machines{}}, err
}

func (e *goEngine) machines(p *program.Program) (program.Machines, error) {
	if m := e.made[p.Digest]; m != nil {
		return m, nil
	}
	m, err := e.Machines(p)
	if err == nil {
		e.made[p.Digest] = m
	}
	return m, err
}

// both runs a test on both engines of wazero.
func both(t *testing.T, run func(t *testing.T, e *goEngine)) {
	for _, name := range []string{"compiled", "interpreted"} {
		t.Run(name, func(t *testing.T) {
			e, err := goEngines[name]()
			if err != nil {
				t.Fatal(err)
			}
			run(t, e)
		})
	}
}

// TestGoChat: the example in Go is for everyone who looks the module that is written by hand.
func TestGoChat(t *testing.T) {
	content := built(t, goChat)
	both(t, func(t *testing.T, e *goEngine) { moduletest.SameAsChat(t, e.machines, content) })
}

// odd is a space of the module that does what it is told.
type odd struct {
	t        *testing.T
	instance *program.Instance
	logged   []string
	told     []string // what every engine has to tell alike
}

func newOdd(t *testing.T, e *goEngine, content []byte, genesis *space.Genesis) *odd {
	t.Helper()
	p, err := program.Load(content)
	if err != nil {
		t.Fatal(err)
	}
	machines, err := e.machines(p)
	if err != nil {
		t.Fatal(err)
	}
	o := &odd{t: t}
	if o.instance, err = program.New(p, machines, genesis); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.instance.Close)
	o.instance.Logged = func(line []byte) { o.logged = append(o.logged, string(line)) }
	return o
}

func payloadOf(pairs ...string) []byte {
	b := msgpack.AppendMap(nil, len(pairs)/2)
	for _, text := range pairs {
		b = msgpack.AppendString(b, text)
	}
	return b
}

// do has the module do something, and returns the verdict and what was logged.
func (o *odd) do(kind, author string, payload []byte) (module.Verdict, []string) {
	o.t.Helper()
	records := (&space.Transaction{Author: author, API: "1.0.0", ClientVersion: "2.1.0", Events: []space.Event{{
		ID: space.ULID{15: 7}, Type: kind, Payload: payload}}}).Records(o.instance.Next(), 1_700_000_000_000)
	before := o.instance.Spent
	o.logged = nil
	v, err := o.instance.Judge(module.Caller{Identity: author}, records)
	if err != nil {
		o.t.Fatalf("%s: %v", payload, err)
	}
	if v.Allowed() {
		o.instance.Commit(records[0].Seq)
	}
	o.told = append(o.told, fmt.Sprint(kind, " ", string(payload), ": ", v, " ", o.instance.Spent-before, o.logged))
	return v, o.logged
}

// notes returns the rows of the table of what the module noted.
func (o *odd) notes() map[string]string {
	o.t.Helper()
	found := map[string]string{}
	set := o.instance.Committed()
	table := slices.IndexFunc(o.instance.Program().Manifest.Tables, func(s tables.Schema) bool { return s.Name == "notes" })
	err := set.Scan(table, 0, "", "", false, func(_, row string) bool {
		values, err := set.Schemas()[table].Values([]byte(row))
		if err != nil {
			o.t.Fatal(err)
		}
		found[values[0].(string)] = values[1].(string)
		return true
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return found
}

var oddGenesis = &space.Genesis{Stamp: space.ULID{1}, Creator: "creator", Params: payloadOf("word", "hello")}

// TestGoStops is what stops a module in Go, and what its author sees of that.
func TestGoStops(t *testing.T) {
	content := built(t, goOdd)
	cases := []struct {
		what string
		code wire.Code
		log  string // of a line, or a part of it
	}{
		{"panic", wire.CodeModuleTrap, "panic: at the disco"},
		{"error", wire.CodeModuleTrap, "of a kind"},
		{"nil", wire.CodeModuleTrap, "panic: runtime error: invalid memory address or nil pointer dereference"},
		{"index", wire.CodeModuleTrap, "panic: runtime error: index out of range [5] with length 3"},
		{"exit", wire.CodeModuleTrap, ""},
		{"deadlock", wire.CodeModuleTrap, "fatal error: all goroutines are asleep - deadlock!"},
		{"forever", wire.CodeOutOfFuel, ""},
		{"deep", wire.CodeOutOfFuel, ""},
		{"large", 0, "fatal error: out of memory"}, // and then a trace of all that runs, for which there may not be enough fuel
		{"collect", wire.CodeOutOfFuel, ""},
		{"file", wire.CodeModuleTrap, "a module has no files"},
		{"input", wire.CodeModuleTrap, "a module has no files"},
		{"write", wire.CodeBadCall, ""},
		{"fail", wire.CodeModuleOwn + 7, ""},
		{"code", wire.CodeModuleTrap, "Fail with a code that is not from 0 to 65535"},
		{"key", wire.CodeModuleTrap, "panic: guest: table notes: column key is text, not int"},
		{"keys", wire.CodeModuleTrap, "panic: guest: table notes: 2 columns of a key of 1"},
		{"unregistered", wire.CodeModuleTrap, "panic: guest: a table of no module that is registered"},
		{"no index", wire.CodeModuleTrap, "panic: guest: table notes has no index by_color"},
		{"scans", wire.CodeBadCall, ""},
		{"nothing", wire.CodeModuleOwn + 1, ""},
	}
	var told [][]string
	both(t, func(t *testing.T, e *goEngine) {
		o := newOdd(t, e, content, oddGenesis)
		for _, c := range cases {
			v, logged := o.do("ask", "creator", payloadOf("what", c.what))
			if v.Allowed() || v.Code != c.code && c.code != 0 || !strings.Contains(strings.Join(logged, "\n"), c.log) {
				t.Errorf("%s: %v %q, want %v; logged:\n%s", c.what, v.Code, v.Reason, c.code, strings.Join(logged, "\n"))
			}
			if testing.Verbose() {
				t.Log(o.told[len(o.told)-1])
			}
		}
		told = append(told, o.told)
	})
	sameTold(t, told)
}

// TestGoDoes is what a module in Go may do, and that it is the same in every call and on every engine.
func TestGoDoes(t *testing.T) {
	content := built(t, goOdd)
	var told [][]string
	both(t, func(t *testing.T, e *goEngine) {
		o := newOdd(t, e, content, oddGenesis)
		act := func(what string) []string {
			v, logged := o.do("act", "creator", payloadOf("what", what))
			if !v.Allowed() {
				t.Errorf("%s: %v %q; logged:\n%s", what, v.Code, v.Reason, strings.Join(logged, "\n"))
			}
			return logged
		}
		for _, what := range []string{"deep enough", "large enough", "write", "recover", "sleep", "goroutines", "surroundings", "garbage", "hash", "event", "rows",
			"all", "back", "int", "zero", "absent", "there", "bytes", "delete", "fill"} {
			act(what)
		}
		if got, want := act("print"), []string{"one", "two 3", "not ended so far", "four", strings.Repeat("five ", 205)[:1024],
			strings.Repeat("five ", 300)[1024:], "six"}; !slices.Equal(got, want) {
			t.Errorf("logged: %q\nwant %q", got, want)
		}
		act("read")
		want := map[string]string{
			"deep": "100", "large": fmt.Sprint(8 << 20), "written": "act", "recovered": "once", "goroutines": "45", "surroundings": "0 1",
			"slept": "2000-01-01 00:00:01 +0000 UTC", "garbage": fmt.Sprint(6 << 20), "word": "hello of creator",
			"hash": fmt.Sprint(digest.Of([]byte("abc"))), "deleted": "true false",
			"get true": "true -5 18446744073709551615 -Inffull[0 1]true -5 18446744073709551615 -Infxtrue", "get false": "false 0 0 0[]none",
			"event": "{act [0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 7] 0 1 creator 2.1.0 [] 10 1700000000000}",
			"read":  "ddccbbaa",
			"all":   "empty full ", "back": "full empty ", "int": "full ", "zero": "empty ", "absent": "empty ", "there": "full ", "bytes": "full ",
		}
		got := o.notes()
		for key, value := range want {
			if found, ok := got[key]; !ok || found != value {
				t.Errorf("%s: %q, want %q", key, found, value)
			}
		}
		for key, value := range got {
			if _, ok := want[key]; !ok && !strings.HasPrefix(key, "row") {
				t.Errorf("%s: %q is noted", key, value)
			}
		}
		for _, what := range []string{"maps", "random", "kept"} {
			act(what)
			first := o.notes()
			act(what)
			if second := o.notes(); !maps.Equal(first, second) {
				t.Errorf("%s is another time something else:\n%v\n%v", what, first, second)
			}
		}
		after := o.notes()
		if ordered := after["order"]; strings.HasPrefix(ordered, "0 1 2 3 ") || len(strings.Fields(ordered)) != 100 {
			t.Errorf("a map's order is %q: Go's is random", ordered)
		}
		if after["kept"] != "1" {
			t.Errorf("a variable was kept: %q", after["kept"])
		}
		if may, err := o.instance.MayRead("stranger"); may || err != nil {
			t.Errorf("a stranger may read: %v %v", may, err)
		}
		if may, err := o.instance.MayRead(""); !may || err != nil {
			t.Errorf("nobody may read: %v %v", may, err)
		}
		if v, _ := o.do("other", "stranger", []byte{1, 2}); v.Code != wire.CodeRefused || v.Reason != "not you" {
			t.Errorf("another type by a stranger: %v", v)
		}
		if v, _ := o.do("other", "creator", []byte{1, 2}); !v.Allowed() || o.notes()["other"] != "0000000000000000 0102" {
			t.Errorf("another type: %v %q", v, o.notes()["other"])
		}
		o.told = append(o.told, fmt.Sprint(o.notes()))
		told = append(told, o.told)
	})
	sameTold(t, told)
}

// TestGoBegins: params that are wrong begin no space.
func TestGoBegins(t *testing.T) {
	p, err := program.Load(built(t, goOdd))
	if err != nil {
		t.Fatal(err)
	}
	both(t, func(t *testing.T, e *goEngine) {
		machines, err := e.machines(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, params := range [][]byte{nil, payloadOf(), payloadOf("word", "")} {
			if _, err := program.New(p, machines, &space.Genesis{Params: params}); wire.CodeOf(err) != wire.CodeBadGenesis {
				t.Errorf("params %q: %v", params, err)
			}
		}
	})
}

// TestGoTakesOver: a module in Go migrates the rows of the module before.
func TestGoTakesOver(t *testing.T) {
	content := built(t, goOdd)
	both(t, func(t *testing.T, e *goEngine) {
		o := newOdd(t, e, moduletest.Chat(), &space.Genesis{Creator: "creator"})
		o.instance.Load = func(d digest.Digest) (*program.Loaded, error) {
			p, err := program.Load(content)
			if err != nil || p.Digest != d {
				return nil, errors.Join(err, module.ErrMissing)
			}
			machines, err := e.machines(p)
			return &program.Loaded{Program: p, Machines: machines}, err
		}
		d := digest.Of(content)
		upgrade := msgpack.AppendBinary(msgpack.AppendString(msgpack.AppendMap(nil, 2), "hash"), d[:])
		upgrade = msgpack.AppendBinary(msgpack.AppendString(upgrade, "params"), payloadOf("word", "taken"))
		for _, each := range []struct {
			kind    string
			payload []byte
		}{{"message", moduletest.ChatMessage("room", "hello")}, {"message", moduletest.ChatMessage("room", "there")}, {module.TypeModule, upgrade}} {
			if v, _ := o.do(each.kind, "creator", each.payload); !v.Allowed() {
				t.Fatal(v)
			}
		}
		want := map[string]string{"1": "creator: hello", "2": "creator: there", "users 1.0.0": "taken", " 1.0.0": "taken"}
		if got := o.notes(); !maps.Equal(got, want) {
			t.Errorf("taken over: %q", got)
		}
	})
}

func sameTold(t *testing.T, told [][]string) {
	t.Helper()
	for _, other := range told[1:] {
		for i := range other {
			if other[i] != told[0][i] {
				t.Errorf("engines differ:\n%s\n%s", told[0][i], other[i])
			}
		}
	}
}
