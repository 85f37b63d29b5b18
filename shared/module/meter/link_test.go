package meter

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

func imported(module, name string, kind byte) []byte {
	return append(appendName(appendName(nil, module), name), kindFunction, kind)
}

func exported(name string, kind, index byte) []byte {
	return append(appendName(nil, name), kind, index)
}

// twoModules are a program, whose function sum(n) is n + add(n) + its global, by way of its table, and a runtime: it exports
// add(n), which is n + its own global + what lies in its memory, start, which calls the program's begin and counts in its global,
// and a function that calls sum. Both import the host's log. Every kind of number that changes is there.
func twoModules() (program, runtime sections) {
	program = sections{
		sectionType:     list(functionType("i", "i"), functionType("", "")),
		sectionImport:   list(imported("runtime", "add", 0), imported("host", "log", 0)),
		sectionFunction: list([]byte{0}, []byte{1}, []byte{0}),
		sectionTable:    {1, funcref, 0, 3},
		sectionMemory:   {1, 0, 1},
		sectionGlobal:   list([]byte{byte(i32), 1, opI32Const, 0, opEnd}),
		sectionExport:   list(exported("memory", kindMemory, 0), exported("sum", kindFunction, 2), exported("begin", kindFunction, 3), exported("other", kindFunction, 4)),
		sectionElement:  list([]byte{0, opI32Const, 1, opEnd, 2, 0, 4}),
		sectionCode: list(
			code([]byte{0}, ops(opLocalGet, 0, opLocalGet, 0, opI32Const, 1, opCallIndirect, 0, 0, opI32Add, opGlobalGet, 0, opI32Add, opCall, 1, opEnd)...),
			code([]byte{0}, ops(opI32Const, 7, opGlobalSet, 0, opBlock, emptyBlock, opBlock, emptyBlock, opI32Const, 1, opBrTable, 1, 0, 1, opEnd, opEnd, opEnd)...),
			code([]byte{1, 2, byte(f64)}, ops(opF64Const, make([]byte, 8), opLocalSet, 1, opF32Const, make([]byte, 4), opDrop, opI64Const, 0, opDrop,
				opI32Const, 0, opI32Const, 0, opI32Const, 0, opPrefix, prefixCopy, 0, 0, opI32Const, 0, opI32Const, 0, opI32Const, 0, opPrefix, prefixFill, 0,
				opMemorySize, 0, opI32Const, 0, opF64Const, make([]byte, 8), opPrefix, 2, opDrop, opDrop, opEnd)...)),
		sectionData: list(append(append([]byte{0}, i32Const(64)...), opEnd, 2, 'a', 'b')),
		0:           appendName(nil, "name"),
	}
	runtime = sections{
		sectionType:     list(functionType("", ""), functionType("i", "i"), functionType("", "i")),
		sectionImport:   list(imported("program", "begin", 0), imported("program", "sum", 1), imported("host", "log", 1)),
		sectionFunction: list([]byte{1}, []byte{0}, []byte{1}),
		sectionMemory:   {1, 0, 1},
		sectionGlobal:   list([]byte{byte(i64), 1, opI64Const, 9, opEnd}, []byte{byte(i32), 1, opI32Const, 0, opEnd}),
		sectionExport:   list(exported("add", kindFunction, 3), exported("call", kindFunction, 5), exported("begin", kindFunction, 0)),
		sectionStart:    {4},
		sectionCode: list(
			code([]byte{0}, ops(opLocalGet, 0, opGlobalGet, 1, opI32Add, opI32Const, 16, 0x28, 2, 0, opI32Add, opEnd)...),
			code([]byte{0}, ops(opCall, 0, opI32Const, 30, opGlobalSet, 1, opEnd)...),
			code([]byte{0}, ops(opLocalGet, 0, opBlock, 1, opCall, 1, opEnd, opCall, 2, opEnd)...)),
		sectionData: list([]byte{0, opI32Const, 16, opEnd, 1, 100}),
	}
	return program, runtime
}

var twoLinked = &Linking{Imports: "runtime", Program: "program", Exports: map[string]string{"run": "call"}}

// TestLink: two modules that call each other are one, which does what they do.
func TestLink(t *testing.T) {
	program, runtime := twoModules()
	linked, err := Link(program.bytes(), runtime.bytes(), twoLinked)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Link(program.bytes(), runtime.bytes(), twoLinked); err != nil || !bytes.Equal(again, linked) {
		t.Errorf("linked again it is something else: %v", err)
	}
	m, err := Instrument(linked)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Imports) != 1 || m.Imports[0].Name != "log" || len(m.Exports) != 2 || !m.Start || len(m.Custom) != 0 || len(m.Globals) != 3 {
		t.Errorf("it imports %v, exports %v, has globals %v and sections %v", m.Imports, m.Exports, m.Globals, m.Custom)
	}
	for name, config := range engines {
		ctx := context.Background()
		engine := wazero.NewRuntimeWithConfig(ctx, config)
		defer engine.Close(ctx)
		var logged []int32
		log := func(n int32) int32 {
			logged = append(logged, n)
			return n
		}
		if _, err := engine.NewHostModuleBuilder("host").NewFunctionBuilder().WithFunc(log).Export("log").Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
		instance, err := engine.Instantiate(ctx, m.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		on := machine{t, instance}
		if _, _, err := on.call(10_000, ExportStart); err != nil {
			t.Fatal(err)
		}
		// 5 + (5 + 30 + 100) + 7, and logged by both
		got, _, err := on.call(10_000, "run", 5)
		if err != nil || got[0] != 147 || len(logged) != 2 || logged[0] != 147 || logged[1] != 147 {
			t.Errorf("%s: %v %v, logged %v", name, got, err, logged)
		}
		if b, _ := instance.Memory().Read(64, 2); string(b) != "ab" {
			t.Errorf("the program's data is %q", b)
		}
	}
}

// TestLinkRefuses is what does not fit together.
func TestLinkRefuses(t *testing.T) {
	for _, c := range []struct {
		says   string
		change func(program, runtime sections, l *Linking)
	}{
		{"at byte 10: it ends too early", func(p, _ sections, _ *Linking) { clear(p); p[sectionCode] = nil }},
		{"the runtime: at byte", func(_, r sections, _ *Linking) { delete(r, sectionFunction) }},
		{"the runtime: at byte", func(_, r sections, _ *Linking) {
			r[sectionCode] = list(code([]byte{0}, opEnd), code([]byte{0}, opEnd), code([]byte{0}, opEnd))
		}},
		{"has a table", func(_, r sections, _ *Linking) { r[sectionTable] = []byte{1, funcref, 0, 1} }},
		{"no memory", func(p, _ sections, _ *Linking) {
			maps.DeleteFunc(p, func(id byte, _ []byte) bool { return id != sectionType })
		}},
		{"data begins at 16, where the runtime's lies up to 17", func(p, _ sections, _ *Linking) { p[sectionData] = list([]byte{0, opI32Const, 16, opEnd, 0}) }},
		{"runtime.sub is imported: there is no function sub", func(p, _ sections, _ *Linking) {
			p[sectionImport] = list(imported("runtime", "sub", 0), imported("host", "log", 0))
		}},
		{"runtime.add is imported as (->), and it is (i32 -> i32)", func(p, _ sections, _ *Linking) {
			p[sectionImport] = list(imported("runtime", "add", 1), imported("host", "log", 0))
		}},
		{"runtime.begin is imported, and is an import itself", func(p, _ sections, _ *Linking) {
			p[sectionType] = list(functionType("i", "i"), functionType("", ""))
			p[sectionImport] = list(imported("runtime", "begin", 1), imported("host", "log", 0))
		}},
		{"the runtime: there is no function none", func(_, _ sections, l *Linking) { l.Exports = map[string]string{"run": "none"} }},
	} {
		program, runtime := twoModules()
		linking := *twoLinked
		c.change(program, runtime, &linking)
		_, err := Link(program.bytes(), runtime.bytes(), &linking)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %s", err, c.says)
		}
		if strings.Contains(c.says, "there is no function") && !errors.Is(err, ErrNoFunction) {
			t.Errorf("%v is not ErrNoFunction", err)
		}
	}
}
