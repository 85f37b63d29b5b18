package meter

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// compiles fails unless every engine takes the metered module.
func compiles(t *testing.T, module []byte) {
	t.Helper()
	for name, config := range engines {
		ctx := context.Background()
		runtime := wazero.NewRuntimeWithConfig(ctx, config)
		if _, err := runtime.CompileModule(ctx, module); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		runtime.Close(ctx)
	}
}

// TestCaps takes each cap and one more.
func TestCaps(t *testing.T) {
	nothing := ops(opEnd)
	repeat := func(n int, element []byte) []byte {
		return append(appendUnsigned(nil, uint32(n)), bytes.Repeat(element, n)...)
	}
	with := func(id byte, content []byte) sections {
		s := one("", "", nil, nothing...)
		s[id] = content
		return s
	}
	body := func(size int) sections { // a function of so many bytes
		return one("", "", nil, append(slices.Repeat([]byte{opNop}, size-2), opEnd)...)
	}
	for name, c := range map[string]struct {
		cap  int
		make func(n int) sections
	}{
		"types": {MaxTypes, func(n int) sections { return with(sectionType, repeat(n, functionType("", ""))) }},
		"functions": {MaxFunctions, func(n int) sections {
			s := with(sectionFunction, repeat(n, []byte{0}))
			s[sectionCode] = repeat(n, code([]byte{0}, opEnd))
			return s
		}},
		"imports": {MaxImports, func(n int) sections {
			return with(sectionImport, repeat(n, append(appendName(appendName(nil, "m"), "f"), kindFunction, 0)))
		}},
		"exports": {MaxExports, func(n int) sections {
			var list [][]byte
			for i := range n {
				list = append(list, append(appendName(nil, fmt.Sprint("f", i)), kindFunction, 0))
			}
			return with(sectionExport, appendList(nil, list))
		}},
		"globals": {MaxGlobals, func(n int) sections {
			return with(sectionGlobal, repeat(n, []byte{byte(i32), 1, opI32Const, 7, opEnd}))
		}},
		"table":    {MaxTable, func(n int) sections { return with(sectionTable, appendUnsigned([]byte{1, funcref, 0}, uint32(n))) }},
		"data":     {MaxData, func(n int) sections { return with(sectionData, repeat(n, []byte{0, opI32Const, 0, opEnd, 0})) }},
		"elements": {MaxElements, func(n int) sections { return with(sectionElement, repeat(n, []byte{0, opI32Const, 0, opEnd, 0})) }},
		"params": {MaxParams, func(n int) sections {
			return with(sectionType, list(functionType("", ""), functionType(strings.Repeat("I", n), "")))
		}},
		"results": {MaxResults, func(n int) sections {
			return with(sectionType, list(functionType("", ""), functionType("", strings.Repeat("I", n))))
		}},
		"locals": {MaxLocals, func(n int) sections {
			return one("", "", append(appendUnsigned([]byte{2, 1, byte(i32)}, uint32(n-1)), byte(f64)), nothing...)
		}},
		"bytes": {MaxBody, body},
		"blocks": {MaxBlocks, func(n int) sections {
			body := bytes.Repeat([]byte{opBlock, emptyBlock, opEnd}, n-2)
			return one("", "", nil, append(body, ops(opI32Const, 0, opMemoryGrow, 0, opDrop, opI32Const, 0, opI32Const, 0, opI32Const, 0, opPrefix, prefixFill, 0, opEnd)...)...)
		}},
		"nesting": {MaxNesting, func(n int) sections {
			return one("", "", nil, append(bytes.Repeat([]byte{opBlock, emptyBlock}, n), slices.Repeat([]byte{opEnd}, n+1)...)...)
		}},
		"targets": {MaxBranches, func(n int) sections {
			return one("", "", nil, ops(i32Const(0), opBrTable, appendUnsigned(nil, uint32(n)), make([]byte, n+1), opEnd)...)
		}},
		"pages": {MaxPages, func(n int) sections { return with(sectionMemory, appendUnsigned([]byte{1, 0}, uint32(n))) }},
		"a long name": {MaxNameLength, func(n int) sections {
			return with(sectionExport, list(append(appendName(nil, strings.Repeat("n", n)), kindFunction, 0)))
		}},
		"a frame": {MaxSlots, func(n int) sections {
			return one("", "", nil, ops(bytes.Repeat([]byte{opI32Const, 1}, n-frameSlots), slices.Repeat([]byte{opDrop}, n-frameSlots), opEnd)...)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			metered, err := Instrument(c.make(c.cap).bytes())
			if err != nil {
				t.Fatalf("at the cap: %v", err)
			}
			compiles(t, metered.Bytes)
			if _, err := Instrument(c.make(c.cap + 1).bytes()); err == nil {
				t.Error("one more is taken")
			} else {
				t.Log(err)
			}
		})
	}
	t.Run("module", func(t *testing.T) {
		whole := one("", "", nil, nothing...).bytes()
		custom := func(size int) []byte { // pads to so many bytes
			content := append(appendName(nil, "padding"), make([]byte, size)...)
			return appendSection(slices.Clone(whole), sectionCustom, content)
		}
		spare := MaxModule - len(custom(1<<21)) + 1<<21
		if _, err := Instrument(custom(spare)); err != nil {
			t.Errorf("at the cap: %v", err)
		}
		if _, err := Instrument(custom(spare + 1)); err == nil {
			t.Error("one more is taken")
		}
	})
}

// TestRefused has every feature that is outside the allow-list, and every way of being wrong that the engines would
// tell in words of their own.
func TestRefused(t *testing.T) {
	with := func(id byte, content ...byte) []byte {
		s := one("", "", nil, opEnd)
		s[id] = content
		return s.bytes()
	}
	body := func(parts ...any) []byte { return one("", "", nil, ops(parts...)...).bytes() }
	returns := func(results string, parts ...any) []byte { return one("", results, nil, ops(parts...)...).bytes() }
	zero := i32Const(0)
	name := func(module, field string, rest ...byte) []byte {
		return append(append([]byte{1}, appendName(appendName(nil, module), field)...), rest...)
	}
	for what, module := range map[string][]byte{
		"nothing":                      {},
		"text":                         []byte("(module)"),
		"another version":              []byte("\x00asm\x02\x00\x00\x00"),
		"a component":                  []byte("\x00asm\x0d\x00\x01\x00"),
		"an unknown section":           append(sections{}.bytes(), 13, 0),
		"sections out of order":        append(sections{sectionMemory: {1, 0, 1}}.bytes(), appendSection(nil, sectionType, []byte{0})...),
		"a section twice":              append(sections{sectionType: {0}}.bytes(), appendSection(nil, sectionType, []byte{0})...),
		"a section longer than it is":  with(sectionMemory, 1, 0, 1, 0),
		"a section shorter than it is": with(sectionMemory, 1, 0),
		"cut short":                    body(opEnd)[:60],
		"an imported memory":           with(sectionImport, name("m", "memory", kindMemory, 0, 1)...),
		"an imported table":            with(sectionImport, name("m", "table", kindTable, funcref, 0, 1)...),
		"an imported global":           with(sectionImport, name("m", "global", kindGlobal, byte(i32), 0)...),
		"a name that is not UTF-8":     with(sectionImport, name("\xff", "f", kindFunction, 0)...),
		"two memories":                 with(sectionMemory, 2, 0, 1, 0, 1),
		"a shared memory":              with(sectionMemory, 1, 3, 1, 2),
		"a 64-bit memory":              with(sectionMemory, 1, 4, 1),
		"a memory of 4 GiB and a page": with(sectionMemory, append([]byte{1, 1, 1}, appendUnsigned(nil, 65537)...)...),
		"less than the minimum":        with(sectionMemory, 1, 1, 2, 1),
		"two tables":                   with(sectionTable, 2, funcref, 0, 1, funcref, 0, 1),
		"a table of externref":         with(sectionTable, 1, 0x6f, 0, 1),
		"a vector":                     with(sectionType, list([]byte{0x60, 1, 0x7b, 0})...),
		"a struct":                     with(sectionType, 1, 0x5f, 0),
		"a global of a reference":      with(sectionGlobal, 1, funcref, 0, 0xd0, funcref, opEnd),
		"a global of another type":     with(sectionGlobal, 1, byte(i32), 0, opI64Const, 0, opEnd),
		"a computed global":            with(sectionGlobal, 1, byte(i32), 0, opI32Const, 1, opI32Const, 1, opI32Add, opEnd),
		"a global neither mutable nor": with(sectionGlobal, 1, byte(i32), 2, opI32Const, 1, opEnd),
		"an exported mutable global":   with(sectionExport, append([]byte{1}, append(appendName(nil, "g"), kindGlobal, 0)...)...),
		"an exported table":            with(sectionExport, append([]byte{1}, append(appendName(nil, "t"), kindTable, 0)...)...),
		"a reserved name":              with(sectionExport, append([]byte{1}, append(appendName(nil, "__skerry_fuel"), kindFunction, 0)...)...),
		"an export twice":              with(sectionExport, list(append(appendName(nil, "f"), kindFunction, 0), append(appendName(nil, "f"), kindFunction, 0))...),
		"an export of no function":     with(sectionExport, append([]byte{1}, append(appendName(nil, "f"), kindFunction, 1)...)...),
		"an export of no memory":       with(sectionExport, append([]byte{1}, append(appendName(nil, "f"), kindMemory, 1)...)...),
		"an export of a tag":           with(sectionExport, append([]byte{1}, append(appendName(nil, "f"), 4, 0)...)...),
		"a start that is not there":    with(sectionStart, 1),
		"a start that gives": func() []byte {
			s := one("", "i", nil, ops(zero, opEnd)...)
			s[sectionStart] = []byte{0}
			return s.bytes()
		}(),
		"more data announced than there is": with(sectionDataCount, 1),
		"passive data":                      with(sectionData, 1, 1, 1, 0),
		"data outside of memory":            with(sectionData, append([]byte{1, 0}, ops(i32Const(65536), opEnd, 1, 0)...)...),
		"data far outside":                  with(sectionData, append([]byte{1, 0}, ops(i32Const(-1), opEnd, 1, 0)...)...),
		"passive elements":                  with(sectionElement, 1, 1, 0, 1, 0),
		"declared elements":                 with(sectionElement, 1, 3, 0, 1, 0),
		"elements outside of the table":     with(sectionElement, append([]byte{1, 0}, ops(i32Const(1), opEnd, 1, 0)...)...),
		"an element that is not there":      with(sectionElement, append([]byte{1, 0}, ops(zero, opEnd, 1, 1)...)...),
		"more bodies than functions":        with(sectionCode, list(code([]byte{0}, opEnd), code([]byte{0}, opEnd))...),
		"fewer bodies than functions":       with(sectionCode, 0),
		"a type that is not there":          with(sectionFunction, 1, 1),
		"memory.init":                       body(zero, zero, zero, opPrefix, 8, 0, 0, opEnd),
		"data.drop":                         body(opPrefix, 9, 0, opEnd),
		"table.init":                        body(zero, zero, zero, opPrefix, 12, 0, 0, opEnd),
		"elem.drop":                         body(opPrefix, 13, 0, opEnd),
		"table.copy":                        body(zero, zero, zero, opPrefix, 14, 0, 0, opEnd),
		"table.grow":                        body(0xd0, funcref, zero, opPrefix, 15, 0, opDrop, opEnd),
		"table.size":                        body(opPrefix, 16, 0, opDrop, opEnd),
		"table.fill":                        body(zero, 0xd0, funcref, zero, opPrefix, 17, 0, opEnd),
		"table.get":                         body(zero, 0x25, 0, opDrop, opEnd),
		"table.set":                         body(zero, 0xd0, funcref, 0x26, 0, opEnd),
		"ref.null":                          body(0xd0, funcref, opDrop, opEnd),
		"ref.func":                          body(0xd2, 0, opDrop, opEnd),
		"select with types":                 body(zero, zero, zero, 0x1c, 1, int(i32), opDrop, opEnd),
		"a vector instruction":              body(0xfd, 0x0c, make([]byte, 16), opDrop, opEnd),
		"an atomic instruction":             body(zero, zero, zero, 0xfe, 0, 2, 0, opDrop, opEnd),
		"a tail call":                       body(0x12, 0, opEnd),
		"try":                               body(0x06, emptyBlock, opEnd, opEnd),
		"throw":                             body(0x08, 0, opEnd),
		"an operand missing":                body(opDrop, opEnd),
		"an operand of another type":        body(zero, 0x8c, opDrop, opEnd),
		"an operand too many":               body(zero, opEnd),
		"a result missing":                  returns("i", opEnd),
		"a result of another type":          returns("I", zero, opEnd),
		"an if that gives, no else":         returns("i", zero, opIf, int(i32), zero, opEnd, opEnd),
		"an else without an if":             body(opBlock, emptyBlock, opElse, opEnd, opEnd),
		"two elses":                         body(zero, opIf, emptyBlock, opElse, opElse, opEnd, opEnd),
		"no end":                            body(opNop),
		"something after the end":           body(opEnd, opNop),
		"a branch too far":                  body(opBr, 1, opEnd),
		"targets that differ":               returns("i", opBlock, emptyBlock, zero, zero, opBrTable, 1, 0, 1, opEnd, zero, opEnd),
		"a local that is not there":         body(opLocalGet, 0, opDrop, opEnd),
		"a global that is not there":        body(opGlobalGet, 1, opDrop, opEnd),
		"the host's fuel":                   body(zero, opGlobalSet, 1, opEnd),
		"a function that is not there":      body(opCall, 1, opEnd),
		"a type of a call not there":        body(zero, opCallIndirect, 1, 0, opEnd),
		"another table":                     body(zero, opCallIndirect, 0, 1, opEnd),
		"another memory":                    body(opMemorySize, 1, opDrop, opEnd),
		"an alignment too wide":             body(zero, opFirstMemory, 3, 0, opDrop, opEnd),
		"a block of no type":                body(opBlock, 0x7b, opEnd, opEnd),
		"a block of a type not there":       body(opBlock, 5, opEnd, opEnd),
		"a number of 33 bits":               body(opI32Const, 0xff, 0xff, 0xff, 0xff, 0x1f, opDrop, opEnd),
		"a number in six bytes":             body(opI32Const, 0x80, 0x80, 0x80, 0x80, 0x80, 0, opDrop, opEnd),
	} {
		t.Run(what, func(t *testing.T) {
			m, err := Instrument(module)
			if err == nil {
				t.Fatalf("taken: %x", m.Bytes)
			}
			if !strings.HasPrefix(err.Error(), "at byte ") {
				t.Errorf("says %v", err)
			}
		})
	}
	constant := one("", "", nil, ops(zero, opGlobalSet, 0, opEnd)...)
	constant[sectionGlobal] = list([]byte{byte(i32), 0, opI32Const, 7, opEnd})
	if _, err := Instrument(constant.bytes()); err == nil {
		t.Error("a constant is set")
	}
	memoryless := one("", "", nil, ops(zero, opFirstMemory, 0, 0, opDrop, opEnd)...)
	delete(memoryless, sectionMemory)
	memoryless[sectionExport] = []byte{0}
	if _, err := Instrument(memoryless.bytes()); err == nil {
		t.Error("memory without a memory")
	}
}

// FuzzInstrument sees that nothing makes it panic, and that engines take what it takes.
func FuzzInstrument(f *testing.F) {
	f.Add(one("i", "", nil, countdown...).bytes())
	f.Add(one("", "iIF", nil, ops(opUnreachable, opEnd)...).bytes())
	f.Add(one("", "", nil, ops(i32Const(1), opMemoryGrow, 0, opDrop, opEnd)...).bytes())
	ctx := context.Background()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	f.Fuzz(func(t *testing.T, module []byte) {
		metered, err := Instrument(module)
		if err != nil {
			return
		}
		compiled, err := runtime.CompileModule(ctx, metered.Bytes)
		if err != nil {
			t.Fatalf("%v: %x", err, metered.Bytes)
		}
		compiled.Close(ctx)
	})
}
