package meter

import (
	"encoding/binary"
	"math"
)

// reserved is how the names begin of what [Instrument] exports.
const reserved = "__skerry_"

// The exports that [Instrument] adds, all of them globals of type i32 but the start function.
const (
	ExportFuel    = reserved + "fuel"    // what is left, below zero if it ran out
	ExportFrames  = reserved + "frames"  // how deep calls are nested; above [MaxFrames] after a trap for it
	ExportSlots   = reserved + "slots"   // how much they take; above [MaxSlots] after a trap for it
	ExportOOM     = reserved + "oom"     // 1 after a trap because the machine had no memory to grow into
	ExportStart   = reserved + "start"   // the function that the module wants called first, where it has one
	ExportGlobals = reserved + "global_" // begins the names of the module's own mutable globals, which end in their index
)

// Metered is a module that counts what it does.
type Metered struct {
	// Bytes is the module as engines run it.
	Bytes []byte
	// Imports are the functions that it imports, in order.
	Imports []Import
	// Exports are the functions and globals that the module itself exports, in order, and its memory.
	Exports []Export
	// Globals are the indexes of the module's mutable globals, exported under [ExportGlobals].
	Globals []int
	// Start tells whether there is a function to be called first, [ExportStart].
	Start bool
	// Pages are the least and the most pages of memory.
	Pages [2]uint32
	// Custom has what lies in the module's custom sections, by name; nil where there are several of one name. They are
	// not in Bytes.
	Custom map[string][]byte
}

// Import is a function that a module imports.
type Import struct {
	Module, Name string
	Signature    string
}

// Export is something that a module exports. Signature is empty unless it is a function.
type Export struct {
	Name      string
	Memory    bool
	Signature string
}

// Instrument checks a module and returns it metered. It is a pure function of the bytes: everyone gets the same. It
// keeps no reference to module. An error says what is refused and where.
func Instrument(module []byte) (*Metered, error) {
	d, err := decode(module)
	if err != nil {
		return nil, err
	}
	for i := range d.bodies {
		if err := d.validate(&d.bodies[i]); err != nil {
			return nil, err
		}
	}
	m := &Metered{Start: d.start >= 0, Pages: d.memory, Custom: make(map[string][]byte, len(d.customs))}
	for name, content := range d.customs {
		if content != nil {
			m.Custom[name] = append([]byte{}, content...)
		} else {
			m.Custom[name] = nil
		}
	}
	for _, i := range d.imports {
		m.Imports = append(m.Imports, Import{i.module, i.name, d.types[i.signature].String()})
	}
	for _, e := range d.exports {
		public := Export{Name: e.name, Memory: e.kind == kindMemory}
		if e.kind == kindFunction {
			public.Signature = d.types[d.functions[e.index]].String()
		}
		m.Exports = append(m.Exports, public)
	}
	for i := range d.globals {
		if d.globals[i].mutable {
			m.Globals = append(m.Globals, i)
		}
	}
	m.Bytes = newWriter(d).module()
	return m, nil
}

// String returns a signature as its types in order, for instance "i32 i32 -> i32".
func (s signature) String() string {
	names := map[valueType]string{i32: "i32", i64: "i64", f32: "f32", f64: "f64"}
	text := ""
	for _, kind := range s.params {
		text += names[kind] + " "
	}
	text += "->"
	for _, kind := range s.results {
		text += " " + names[kind]
	}
	return text
}

// slots returns what a frame of the function takes.
func (b *body) slots(s *signature) int {
	return len(s.params) + b.locals + b.height + frameSlots
}

// writer writes a decoded module with what counts.
type writer struct {
	d                        *decoded
	fuel, frames, slots, oom uint32 // globals
	types                    [][]byte
	blocks                   map[int]uint32 // by number of results and signature: types of blocks around bodies
}

func newWriter(d *decoded) *writer {
	n := uint32(len(d.globals))
	return &writer{d: d, fuel: n, frames: n + 1, slots: n + 2, oom: n + 3, types: d.rawTypes, blocks: map[int]uint32{}}
}

func (w *writer) module() []byte {
	code := w.code() // adds types
	b := append([]byte{}, header...)
	b = appendSection(b, sectionType, appendList(nil, w.types))
	b = appendSection(b, sectionImport, w.imports())
	b = appendSection(b, sectionFunction, w.functions())
	if w.d.hasTable {
		b = appendSection(b, sectionTable, append([]byte{1, funcref}, appendLimits(nil, w.d.table, w.d.tableMax)...))
	}
	if w.d.hasMemory {
		b = appendSection(b, sectionMemory, append([]byte{1}, appendLimits(nil, w.d.memory, true)...))
	}
	b = appendSection(b, sectionGlobal, w.globals())
	b = appendSection(b, sectionExport, w.exports())
	if len(w.d.elements) > 0 {
		b = appendSection(b, sectionElement, w.d.elements)
	}
	b = appendSection(b, sectionCode, code)
	if len(w.d.data) > 0 {
		b = appendSection(b, sectionData, w.d.data)
	}
	return b
}

func (w *writer) imports() []byte {
	b := appendUnsigned(nil, uint32(len(w.d.imports)))
	for _, i := range w.d.imports {
		b = appendName(appendName(b, i.module), i.name)
		b = appendUnsigned(append(b, kindFunction), i.signature)
	}
	return b
}

func (w *writer) functions() []byte {
	own := w.d.functions[len(w.d.imports):]
	b := appendUnsigned(nil, uint32(len(own)))
	for _, index := range own {
		b = appendUnsigned(b, index)
	}
	return b
}

func (w *writer) globals() []byte {
	list := w.globalList()
	for range 4 {
		list = append(list, []byte{byte(i32), mutability(true), opI32Const, 0, opEnd})
	}
	return appendList(nil, list)
}

func (w *writer) globalList() (list [][]byte) {
	for _, g := range w.d.globals {
		list = append(list, append([]byte{byte(g.kind), mutability(g.mutable)}, g.value...))
	}
	return list
}

func mutability(mutable bool) byte {
	if mutable {
		return 1
	}
	return 0
}

func (w *writer) exports() []byte {
	var list [][]byte
	add := func(name string, kind byte, index uint32) {
		list = append(list, appendUnsigned(append(appendName(nil, name), kind), index))
	}
	for _, e := range w.d.exports {
		add(e.name, e.kind, e.index)
	}
	add(ExportFuel, kindGlobal, w.fuel)
	add(ExportFrames, kindGlobal, w.frames)
	add(ExportSlots, kindGlobal, w.slots)
	add(ExportOOM, kindGlobal, w.oom)
	for i := range w.d.globals {
		if w.d.globals[i].mutable {
			add(GlobalExport(i), kindGlobal, uint32(i))
		}
	}
	if w.d.start >= 0 {
		add(ExportStart, kindFunction, uint32(w.d.start))
	}
	return appendList(nil, list)
}

// GlobalExport returns the name under which a module's mutable global is exported.
func GlobalExport(index int) string {
	digits := ""
	for n := index; n > 0 || digits == ""; n /= 10 {
		digits = string(rune('0'+n%10)) + digits
	}
	return ExportGlobals + digits
}

func (w *writer) code() []byte {
	b := appendUnsigned(nil, uint32(len(w.d.bodies)))
	for i := range w.d.bodies {
		function := w.function(&w.d.bodies[i])
		b = append(appendUnsigned(b, uint32(len(function))), function...)
	}
	return b
}

// blockType returns the type of a block that gives what a function does.
func (w *writer) blockType(index uint32) []byte {
	s := w.d.types[index]
	switch len(s.results) {
	case 0:
		return []byte{emptyBlock}
	case 1:
		return []byte{byte(s.results[0])}
	}
	if len(s.params) == 0 {
		return appendSigned(nil, int64(index))
	}
	added, ok := w.blocks[int(index)]
	if !ok {
		added = uint32(len(w.types))
		w.blocks[int(index)] = added
		raw := append([]byte{0x60, 0}, byte(len(s.results)))
		for _, kind := range s.results {
			raw = append(raw, byte(kind))
		}
		w.types = append(w.types[:len(w.types):len(w.types)], raw)
	}
	return appendSigned(nil, int64(added))
}

// AppendCustom appends a custom section to a module's bytes.
func AppendCustom(module []byte, name string, content []byte) []byte {
	return appendSection(module, sectionCustom, append(appendName(nil, name), content...))
}

func appendSection(b []byte, id byte, content []byte) []byte {
	return append(appendUnsigned(append(b, id), uint32(len(content))), content...)
}

func appendList(b []byte, list [][]byte) []byte {
	b = appendUnsigned(b, uint32(len(list)))
	for _, element := range list {
		b = append(b, element...)
	}
	return b
}

func appendName(b []byte, name string) []byte {
	return append(appendUnsigned(b, uint32(len(name))), name...)
}

func appendLimits(b []byte, limits [2]uint32, hasMax bool) []byte {
	b = appendUnsigned(append(b, mutability(hasMax)), limits[0])
	if hasMax {
		b = appendUnsigned(b, limits[1])
	}
	return b
}

func appendUnsigned(b []byte, n uint32) []byte { return binary.AppendUvarint(b, uint64(n)) }

func appendSigned(b []byte, n int64) []byte {
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// The one pattern that a NaN has.
var (
	nan32 = binary.LittleEndian.AppendUint32([]byte{opF32Const}, 0x7fc00000)
	nan64 = binary.LittleEndian.AppendUint64([]byte{opF64Const}, 0x7ff8<<48)
)

const noLocal = math.MaxUint32
