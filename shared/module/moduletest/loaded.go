package moduletest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"skerry/shared/module/meter"
	"skerry/shared/module/program"
	"skerry/shared/tables"
)

// wasm is a module that is put together by hand: functions that are types, and sections that are bytes.
type wasm struct {
	types     []string // "i32 i32 -> i32"
	imports   []string // "skerry1.get 3", a type's number
	functions []function
	memory    []byte // of limits
	globals   int
	table     int // its elements
	data      int // segments of data, none of them with any
	elements  int // segments of elements, none of them with any
	start     int // the number of a function, 0 for none, which is never an own one that matters
	exports   []string
	manifest  []byte // nil for a small one
	no        string // "manifest" for none
}

type function struct {
	kind   int
	locals []byte // groups; nil for none
	code   []byte // without its end
}

// minimal is the least module that judges: it allows everything and keeps nothing.
func minimal() *wasm {
	return &wasm{
		types: []string{"-> i32", "i32 -> i32", "i32 ->", "->"},
		functions: []function{
			{kind: 3},                        // 0
			{kind: 0, code: []byte{0x41, 0}}, // 1: skerry_io
			{kind: 1, code: []byte{0x41, 0}}, // 2: authorize
			{kind: 2},                        // 3: apply
			{kind: 3, code: []byte{0x01}},    // 4: whatever a case makes of it
		},
		memory:  []byte{1, 1, 2},
		exports: []string{"memory 2 0", "skerry_io 0 1", "authorize 0 2", "apply 0 3"},
	}
}

func (w *wasm) bytes() []byte {
	section := func(b []byte, id byte, elements [][]byte) []byte {
		if len(elements) == 0 {
			return b
		}
		content := binary.AppendUvarint(nil, uint64(len(elements)))
		for _, e := range elements {
			content = append(content, e...)
		}
		return append(binary.AppendUvarint(append(b, id), uint64(len(content))), content...)
	}
	name := func(s string) []byte { return append(binary.AppendUvarint(nil, uint64(len(s))), s...) }
	var types, imports, functions, globals, exports, codes [][]byte
	for _, t := range w.types {
		params, results, _ := strings.Cut(t, "->")
		b := []byte{0x60}
		for _, list := range []string{params, results} {
			kinds := strings.Fields(list)
			b = binary.AppendUvarint(b, uint64(len(kinds)))
			for _, kind := range kinds {
				b = append(b, map[string]byte{"i32": 0x7f, "i64": 0x7e, "f32": 0x7d, "f64": 0x7c}[kind])
			}
		}
		types = append(types, b)
	}
	for _, i := range w.imports {
		var from string
		var kind uint64
		fmt.Sscan(i, &from, &kind)
		from, what, _ := strings.Cut(from, ".")
		imports = append(imports, binary.AppendUvarint(append(concat(name(from), name(what)), 0), kind))
	}
	for _, f := range w.functions {
		functions = append(functions, binary.AppendUvarint(nil, uint64(f.kind)))
		locals := f.locals
		if locals == nil {
			locals = []byte{0}
		}
		code := append(concat(locals, f.code), 0x0b)
		codes = append(codes, append(binary.AppendUvarint(nil, uint64(len(code))), code...))
	}
	for range w.globals {
		globals = append(globals, []byte{0x7e, 1, 0x42, 0, 0x0b})
	}
	for _, e := range w.exports {
		var what string
		var kind, index uint64
		fmt.Sscan(e, &what, &kind, &index)
		if kind == 0 {
			index += uint64(len(w.imports))
		}
		exports = append(exports, binary.AppendUvarint(append(name(what), byte(kind)), index))
	}
	b := []byte("\x00asm\x01\x00\x00\x00")
	b = section(b, 1, types)
	b = section(b, 2, imports)
	b = section(b, 3, functions)
	if w.table > 0 {
		b = section(b, 4, [][]byte{binary.AppendUvarint([]byte{0x70, 0}, uint64(w.table))})
	}
	if w.memory != nil {
		b = section(b, 5, [][]byte{w.memory})
	}
	b = section(b, 6, globals)
	b = section(b, 7, exports)
	if w.start > 0 {
		b = append(b, 8, 1, byte(w.start+len(w.imports)))
	}
	segments := func(n int) [][]byte { return slices.Repeat([][]byte{{0, 0x41, 0, 0x0b, 0}}, n) }
	b = section(b, 9, segments(w.elements))
	b = section(b, 10, codes)
	b = section(b, 11, segments(w.data))
	switch {
	case w.no == "manifest":
		return b
	case w.manifest != nil:
		return meter.AppendCustom(b, program.ManifestSection, w.manifest)
	}
	return smallManifest().AppendSection(b)
}

func smallManifest() *program.Manifest {
	return &program.Manifest{Name: "small", Version: "1.0.0", ABI: program.ABI, IO: program.DefaultIO, Raw: true}
}

// with returns the least module, changed.
func with(change func(*wasm)) []byte {
	w := minimal()
	change(w)
	return w.bytes()
}

// starting is the least module with a start function.
func starting(imports []string, code ...byte) []byte {
	return with(func(w *wasm) {
		w.types = append(w.types, "i32 i32 i32 ->", "i32 i32 i32 i32 i32 -> i32")
		w.imports, w.start, w.functions[4].code = imports, 4, code
	})
}

func manifest(change func(*program.Manifest)) []byte {
	m := smallManifest()
	change(m)
	return with(func(w *wasm) { w.manifest = m.Append(nil) })
}

// io is the least module whose io region is somewhere.
func io(at int64) []byte {
	code := append([]byte{0x41}, signed(at)...)
	return with(func(w *wasm) { w.functions[1].code = code })
}

func repeat(n int, ops ...byte) []byte { return []byte(strings.Repeat(string(ops), n)) }

// locals is one group of n locals.
func locals(n int) []byte { return append(binary.AppendUvarint([]byte{1}, uint64(n)), 0x7e) }

// loadedCases are modules by what is wrong with them, and what is just right. Each has its turn with a small event.
func loadedCases() []testCase {
	var cases []testCase
	add := func(name string, modules ...func() []byte) {
		cases = append(cases, testCase{name, func(s *session) {
			for _, module := range modules {
				if space := s.space(module(), nil); space != nil {
					space.push("author", event{"hello", []byte("x")})
				}
			}
		}})
	}
	of := func(bytes []byte) func() []byte { return func() []byte { return bytes } }
	change := func(f func(*wasm)) func() []byte { return func() []byte { return with(f) } }
	says := func(f func(*program.Manifest)) func() []byte { return func() []byte { return manifest(f) } }

	add("the least", change(func(*wasm) {}))
	add("no module", of(nil), of([]byte("text")), of([]byte("\x00asm\x01\x00\x00\x00")), of([]byte("\x00asm\x0d\x00\x01\x00")))
	add("imports", change(func(w *wasm) { w.imports = []string{"skerry1.get 3"} }), change(func(w *wasm) { w.imports = []string{"skerry1.now 0"} }),
		change(func(w *wasm) { w.imports = []string{"skerry2.get 3"} }), change(func(w *wasm) { w.imports = []string{"env.memory 3"} }),
		change(func(w *wasm) { w.imports = []string{"skerry1.scan_close 2"} }), change(func(w *wasm) { w.imports = []string{"skerry1.scan_close 2", "skerry1.scan_close 2"} }))
	for i, name := range []string{"memory", "skerry_io", "authorize", "apply"} {
		add("no "+name, change(func(w *wasm) { w.exports = append(w.exports[:i:i], w.exports[i+1:]...) }))
	}
	add("signatures", change(func(w *wasm) { w.exports[1] = "skerry_io 0 2" }), change(func(w *wasm) { w.exports[2] = "authorize 0 3" }), change(func(w *wasm) { w.exports[3] = "apply 0 2" }),
		change(func(w *wasm) { w.exports = append(w.exports, "init 0 2") }), change(func(w *wasm) { w.exports = append(w.exports, "readable 0 3") }),
		change(func(w *wasm) { w.exports = append(w.exports, "migrate 0 3") }), change(func(w *wasm) { w.exports[0] = "memory 0 0" }),
		change(func(w *wasm) { w.exports = append(w.exports, "apply 0 3") }), change(func(w *wasm) { w.exports = append(w.exports, "other 0 0") }),
		change(func(w *wasm) { w.exports = append(w.exports, "__skerry_fuel 0 0") }), change(func(w *wasm) { w.types[2] = "i64 ->" }))
	add("start", of(starting(nil, 0x01)), of(starting(nil, 0x00)), of(starting(nil, 0x03, 0x40, 0x0c, 0, 0x0b)), of(starting(nil, 0x10, 4)),
		of(starting(nil, 0x41, 1, 0x40, 0, 0x1a)), // it grows the memory
		of(starting([]string{"skerry1.fail 4"}, 0x41, 7, 0x41, 0, 0x41, 0, 0x10, 0)),
		of(starting([]string{"skerry1.put 4"}, 0x41, 0, 0x41, 0, 0x41, 0, 0x10, 0)),
		of(starting([]string{"skerry1.get 5"}, 0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0, 0x10, 0, 0x1a)),
		of(starting([]string{"skerry1.scan_open 5"}, 0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0, 0x10, 0, 0x1a)),
		of(starting([]string{"skerry1.blake3 4"}, 0x41, 0, 0x41, 32, 0x41, 32, 0x10, 0)))
	add("a long start", change(func(w *wasm) { // 8 for each of 3,000,000 times round: more than other calls have
		w.start, w.functions[4].locals = 4, locals(1)
		w.functions[4].code = concat([]byte{0x03, 0x40, 0x20, 0, 0x42, 1, 0x7c, 0x22, 0, 0x42}, binary.AppendUvarint(nil, 3_000_000), []byte{0x54, 0x0d, 0, 0x0b})
	}))
	add("where io is", of(io(0)), of(io(1)), of(io(-1)), of(io(65_536)),
		change(func(w *wasm) { w.memory = []byte{1, 2, 2}; w.functions[1].code = []byte{0x41, 0x80, 0x80, 4} }),
		change(func(w *wasm) { w.memory = []byte{1, 2, 2}; w.functions[1].code = []byte{0x41, 0x81, 0x80, 4} }),
		change(func(w *wasm) { w.memory = []byte{1, 0, 2} }), change(func(w *wasm) { w.functions[1].code = []byte{0x00} }),
		change(func(w *wasm) { w.functions[1].code = []byte{0x03, 0x40, 0x0c, 0, 0x0b, 0x00} }))
	add("manifests", change(func(w *wasm) { w.no = "manifest" }), of(smallManifest().AppendSection(minimal().bytes())),
		change(func(w *wasm) { w.manifest = []byte{} }), change(func(w *wasm) { w.manifest = []byte{0xc1} }), change(func(w *wasm) { w.manifest = append(smallManifest().Append(nil), 0) }))
	add("lying manifests", says(func(m *program.Manifest) { m.ABI = 3 }), says(func(m *program.Manifest) { m.ABI = 0 }), says(func(m *program.Manifest) { m.IO = 65_537 }),
		says(func(m *program.Manifest) { m.IO = program.MinIO - 1 }), says(func(m *program.Manifest) { m.Version = "one" }), says(func(m *program.Manifest) { m.Readable = []string{"nothing"} }),
		says(func(m *program.Manifest) { m.Audience = "nothing" }), says(func(m *program.Manifest) { m.Upgrade = "never" }),
		says(func(m *program.Manifest) {
			m.Tables = []tables.Schema{{Name: "t", Columns: []tables.Column{{Name: "a", Kind: tables.Text, Optional: true}}, Key: []int{0}}}
		}),
		says(func(m *program.Manifest) { m.Events = []program.EventType{{Name: "$module"}} }))
	caps(add, change)
	return cases
}

// caps are modules at a cap of package meter, and one above.
func caps(add func(string, ...func() []byte), change func(func(*wasm)) func() []byte) {
	both := func(name string, limit int, f func(w *wasm, n int)) {
		add("cap: "+name, change(func(w *wasm) { f(w, limit) }), change(func(w *wasm) { f(w, limit+1) }))
	}
	both("types", meter.MaxTypes-4, func(w *wasm, n int) {
		for range n {
			w.types = append(w.types, "->")
		}
	})
	both("functions", meter.MaxFunctions-5, func(w *wasm, n int) {
		for range n {
			w.functions = append(w.functions, function{kind: 3})
		}
	})
	both("imports", meter.MaxImports, func(w *wasm, n int) {
		for range n {
			w.imports = append(w.imports, "skerry1.scan_close 2")
		}
	})
	both("exports", meter.MaxExports-4, func(w *wasm, n int) {
		for i := range n {
			w.exports = append(w.exports, fmt.Sprintf("e%d 0 0", i))
		}
	})
	both("globals", meter.MaxGlobals, func(w *wasm, n int) { w.globals = n })
	both("elements of the table", meter.MaxTable, func(w *wasm, n int) { w.table = n })
	both("segments of elements", meter.MaxElements, func(w *wasm, n int) { w.table, w.elements = 1, n })
	both("segments of data", meter.MaxData, func(w *wasm, n int) { w.data = n })
	both("name", meter.MaxNameLength, func(w *wasm, n int) { w.exports = append(w.exports, strings.Repeat("n", n)+" 0 0") })
	both("params", meter.MaxParams, func(w *wasm, n int) {
		w.types = append(w.types, strings.Repeat("i64 ", n)+"->")
		w.functions = append(w.functions, function{kind: 4})
	})
	both("results", meter.MaxResults, func(w *wasm, n int) {
		w.types = append(w.types, "-> "+strings.Repeat("i64 ", n))
		w.functions = append(w.functions, function{kind: 4, code: repeat(n, 0x42, 5)})
	})
	both("locals", meter.MaxLocals, func(w *wasm, n int) { w.functions[3].locals = locals(n) })
	both("body", meter.MaxBody-2, func(w *wasm, n int) { w.functions[4].code = repeat(n, 0x01) })
	both("nesting", meter.MaxNesting, func(w *wasm, n int) {
		w.functions[3].code = concat(repeat(n, 0x02, 0x40), repeat(n, 0x0b))
	})
	both("blocks", meter.MaxBlocks, func(w *wasm, n int) { w.functions[4].code = repeat(n, 0x02, 0x40, 0x0b) })
	both("branches", meter.MaxBranches, func(w *wasm, n int) {
		w.functions[3].code = concat([]byte{0x02, 0x40, 0x20, 0, 0x0e}, binary.AppendUvarint(nil, uint64(n)), repeat(n+1, 0), []byte{0x0b})
	})
	both("pages", meter.MaxPages, func(w *wasm, n int) { w.memory = binary.AppendUvarint([]byte{0}, uint64(n)) })
	both("slots", meter.MaxSlots-4-1, func(w *wasm, n int) { // 4 of the frame, and its parameter
		w.functions[3].code = concat(repeat(n, 0x41, 1), repeat(n, 0x1a))
	})
	both("frames", meter.MaxFrames-1, func(w *wasm, n int) { // apply calls a function that calls itself n times in all
		w.types = append(w.types, "i32 ->")
		count := binary.AppendUvarint([]byte{0x41}, uint64(n|0x4000)) // of three bytes, the last of which is positive
		w.functions[3].code = append(concat(count, []byte{0x41, 0x80, 0x80, 1, 0x6b}), 0x10, 5)
		w.functions = append(w.functions, function{kind: 4, code: []byte{0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x04, 0x40, 0x20, 0, 0x10, 5, 0x0b}})
	})
	padded := func(n int) func() []byte {
		return func() []byte {
			b := minimal().bytes()
			return meter.AppendCustom(b, "padding", make([]byte, n-len(b)-len("padding")-1-1-4)) // its name, kind and length
		}
	}
	add("cap: module", padded(meter.MaxModule), padded(meter.MaxModule+1))
}
