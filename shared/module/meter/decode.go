package meter

import "bytes"

// signature is a function's type.
type signature struct{ params, results []valueType }

type functionImport struct {
	module, name string
	signature    uint32
}

type global struct {
	kind    valueType
	mutable bool
	value   []byte // a constant instruction with its end
}

type export struct {
	name  string
	kind  byte
	index uint32
}

// The kinds of imports and exports.
const (
	kindFunction = 0
	kindTable    = 1
	kindMemory   = 2
	kindGlobal   = 3
)

// body is a function of the module.
type body struct {
	signature uint32
	locals    int    // parameters apart
	declared  int    // the number of groups in which they are declared
	groups    []byte // each a count and a type
	code      []byte
	base      int // where code lies in the module
	costs     []uint32
	height    int // the most operands at once
	nan32     bool
	nan64     bool
	sizes     bool // grows, copies or fills memory
}

// decoded is a module that is well-formed and has nothing that is not allowed. Functions are checked for themselves.
type decoded struct {
	types     []signature
	rawTypes  [][]byte
	imports   []functionImport
	functions []uint32 // types, of imports first
	hasTable  bool
	table     [2]uint32 // minimum, maximum
	tableMax  bool
	hasMemory bool
	memory    [2]uint32
	globals   []global
	exports   []export
	start     int // -1: none
	elements  []byte
	data      []byte
	segments  int // of data
	promised  int // how many of them the module announces; -1: it does not
	bodies    []body
	customs   map[string][]byte
	elemFuncs []uint32
}

const (
	sectionCustom    = 0
	sectionType      = 1
	sectionImport    = 2
	sectionFunction  = 3
	sectionTable     = 4
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElement   = 9
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12
)

var header = []byte("\x00asm\x01\x00\x00\x00")

// place is the order of sections: that of their numbers, but the data count comes before the code.
func place(id byte) int {
	switch id {
	case sectionDataCount:
		return 2*sectionElement + 1
	default:
		return 2 * int(id)
	}
}

func decode(module []byte) (*decoded, error) {
	r := &reader{bytes: module}
	if len(module) > MaxModule {
		r.fail("%d bytes are more than %d", len(module), MaxModule)
	} else if !bytes.Equal(r.take(8), header) {
		r.err = nil
		r.at = 0
		r.fail("this is no WebAssembly of version 1")
	}
	d := &decoded{start: -1, promised: -1, customs: map[string][]byte{}}
	for last := 0; r.err == nil && !r.done(); {
		id := r.byte()
		section := r.part(r.unsigned())
		if id != sectionCustom {
			if id > sectionDataCount {
				section.fail("the section %d is not allowed", id)
			} else if place(id) <= last {
				section.fail("the section %d comes twice, or late", id)
			}
			last = place(id)
		}
		d.section(id, section)
		if section.err == nil && !section.done() {
			section.fail("the section %d is longer than what is in it", id)
		}
		if r.err == nil {
			r.err = section.err
		}
	}
	if r.err == nil && len(d.bodies) != len(d.functions)-len(d.imports) {
		r.fail("%d functions are declared and %d are there", len(d.functions)-len(d.imports), len(d.bodies))
	}
	if r.err == nil && d.promised >= 0 && d.promised != d.segments {
		r.fail("%d data segments are announced and %d are there", d.promised, d.segments)
	}
	if r.err == nil {
		d.checkIndexes(r)
	}
	return d, r.err
}

func (d *decoded) section(id byte, r *reader) {
	switch id {
	case sectionCustom:
		name := r.name()
		if _, twice := d.customs[name]; twice {
			d.customs[name] = nil // whoever wants it wants one
		} else {
			d.customs[name] = r.bytes[r.at:]
		}
		r.at = len(r.bytes)
	case sectionType:
		d.readTypes(r)
	case sectionImport:
		d.readImports(r)
	case sectionFunction:
		for range r.count(MaxFunctions, "functions") {
			d.functions = append(d.functions, d.typeIndex(r))
		}
	case sectionTable:
		if n := r.count(1, "tables"); n == 1 {
			if r.byte() != funcref {
				r.fail("a table of anything but functions is not allowed")
			}
			d.hasTable = true
			d.table, d.tableMax = readLimits(r, MaxTable, "elements of a table")
		}
	case sectionMemory:
		if n := r.count(1, "memories"); n == 1 {
			d.hasMemory = true
			d.memory = readMemory(r)
		}
	case sectionGlobal:
		d.readGlobals(r)
	case sectionExport:
		d.readExports(r)
	case sectionStart:
		d.start = int(r.unsigned())
	case sectionElement:
		d.readElements(r)
	case sectionDataCount:
		d.promised = r.count(MaxData, "data segments")
	case sectionCode:
		d.readCode(r)
	case sectionData:
		d.readData(r)
	}
}

func (d *decoded) readTypes(r *reader) {
	for range r.count(MaxTypes, "types") {
		start := r.at
		if r.byte() != 0x60 {
			r.fail("a type of anything but functions is not allowed")
			return
		}
		var s signature
		for range r.count(MaxParams, "parameters") {
			s.params = append(s.params, r.valueType())
		}
		for range r.count(MaxResults, "results") {
			s.results = append(s.results, r.valueType())
		}
		if r.err != nil {
			return
		}
		d.types = append(d.types, s)
		d.rawTypes = append(d.rawTypes, r.bytes[start:r.at])
	}
}

func (d *decoded) typeIndex(r *reader) uint32 {
	index := r.unsigned()
	if r.err == nil && index >= uint32(len(d.types)) {
		r.fail("there is no type %d", index)
		return 0
	}
	return index
}

func (d *decoded) readImports(r *reader) {
	for range r.count(MaxImports, "imports") {
		i := functionImport{module: r.name(), name: r.name()}
		if kind := r.byte(); r.err == nil && kind != kindFunction {
			r.fail("the import %s.%s is no function: a module has its own memory, table and globals", i.module, i.name)
			return
		}
		i.signature = d.typeIndex(r)
		d.imports = append(d.imports, i)
		d.functions = append(d.functions, i.signature)
	}
}

// readLimits reads the size that something begins with, and the size up to which it may grow.
func readLimits(r *reader, limit uint32, what string) (limits [2]uint32, hasMax bool) {
	flag := r.byte()
	if flag > 1 {
		r.fail("shared or 64-bit memories and tables are not allowed")
		return limits, false
	}
	limits[0] = r.unsigned()
	if limits[0] > limit {
		r.fail("%d %s are more than %d", limits[0], what, limit)
	}
	if flag == 1 {
		limits[1] = r.unsigned()
		if limits[1] < limits[0] {
			r.fail("the maximum %d is less than the minimum %d", limits[1], limits[0])
		}
	}
	return limits, flag == 1
}

func readMemory(r *reader) [2]uint32 {
	limits, hasMax := readLimits(r, MaxPages, "pages of memory")
	if limits[1] > 1<<16 {
		r.fail("a memory of %d pages", limits[1])
	}
	if !hasMax || limits[1] > MaxPages {
		limits[1] = MaxPages
	}
	return limits
}

func (d *decoded) readGlobals(r *reader) {
	for range r.count(MaxGlobals, "globals") {
		g := global{kind: r.valueType()}
		switch r.byte() {
		case 0:
		case 1:
			g.mutable = true
		default:
			r.fail("a global is mutable or not")
		}
		start := r.at
		readConstant(r, g.kind)
		if r.err != nil {
			return
		}
		g.value = r.bytes[start:r.at]
		d.globals = append(d.globals, g)
	}
}

// readConstant reads a constant instruction of some type and the end after it. The value is what an i32 has.
func readConstant(r *reader, kind valueType) uint32 {
	var value uint32
	op := r.byte()
	switch {
	case op == opI32Const && kind == i32:
		value = uint32(r.signed(32))
	case op == opI64Const && kind == i64:
		r.signed(64)
	case op == opF32Const && kind == f32:
		r.take(4)
	case op == opF64Const && kind == f64:
		r.take(8)
	default:
		r.fail("an initial value is a constant of its type")
		return 0
	}
	if r.byte() != opEnd {
		r.fail("an initial value is one constant")
	}
	return value
}

func (d *decoded) readExports(r *reader) {
	seen := map[string]bool{}
	for range r.count(MaxExports, "exports") {
		e := export{name: r.name(), kind: r.byte(), index: r.unsigned()}
		if r.err != nil {
			return
		}
		if seen[e.name] {
			r.fail("the export %q comes twice", e.name)
		}
		seen[e.name] = true
		d.exports = append(d.exports, e)
	}
}

func (d *decoded) readElements(r *reader) {
	start := r.at
	for range r.count(MaxElements, "element segments") {
		if r.unsigned() != 0 || !d.hasTable {
			r.fail("an element segment of anything but the table's first elements is not allowed")
			return
		}
		offset := readConstant(r, i32)
		n := r.count(MaxTable, "elements")
		for range n {
			d.elemFuncs = append(d.elemFuncs, r.unsigned())
		}
		if r.err == nil && uint64(offset)+uint64(n) > uint64(d.table[0]) {
			r.fail("elements %d to %d do not lie in a table of %d", offset, uint64(offset)+uint64(n), d.table[0])
		}
		if r.err != nil {
			return
		}
	}
	d.elements = r.bytes[start:r.at]
}

func (d *decoded) readData(r *reader) {
	start := r.at
	d.segments = r.count(MaxData, "data segments")
	for range d.segments {
		if r.unsigned() != 0 || !d.hasMemory {
			r.fail("a data segment that is not put into memory at the start is not allowed")
			return
		}
		offset := readConstant(r, i32)
		n := r.unsigned()
		r.take(n)
		if r.err == nil && uint64(offset)+uint64(n) > uint64(d.memory[0])<<16 {
			r.fail("the data from %d to %d does not lie in a memory of %d pages", offset, uint64(offset)+uint64(n), d.memory[0])
		}
		if r.err != nil {
			return
		}
	}
	d.data = r.bytes[start:r.at]
}

func (d *decoded) readCode(r *reader) {
	for i := range r.count(MaxFunctions, "functions") {
		size := r.unsigned()
		if size > MaxBody {
			r.fail("the function %d has %d bytes, more than %d", i, size, MaxBody)
		}
		part := r.part(size)
		if index := len(d.imports) + i; r.err == nil && index < len(d.functions) {
			d.bodies = append(d.bodies, readBody(part, d.functions[index]))
		} else if r.err == nil {
			r.fail("there is no type for the function %d", i)
		}
		if r.err == nil {
			r.err = part.err
		}
		if r.err != nil {
			return
		}
	}
}

func readBody(r *reader, of uint32) body {
	b := body{signature: of}
	b.declared = r.count(MaxLocals, "groups of locals")
	start := r.at
	for range b.declared {
		n := r.unsigned()
		if uint64(b.locals)+uint64(n) > MaxLocals {
			r.fail("the locals are more than %d", MaxLocals)
			return b
		}
		b.locals += int(n)
		r.valueType()
	}
	if r.err != nil {
		return b
	}
	b.groups = r.bytes[start:r.at]
	b.base = r.base + r.at
	b.code = r.bytes[r.at:]
	r.at = len(r.bytes)
	return b
}

// checkIndexes checks what exports, start and elements name, which may be declared after them.
func (d *decoded) checkIndexes(r *reader) {
	functions := uint32(len(d.functions))
	for _, e := range d.exports {
		switch {
		case len(e.name) >= len(reserved) && e.name[:len(reserved)] == reserved:
			r.fail("names that begin with %s are the host's: %q", reserved, e.name)
		case e.kind == kindFunction && e.index >= functions,
			e.kind == kindTable && (e.index > 0 || !d.hasTable),
			e.kind == kindMemory && (e.index > 0 || !d.hasMemory),
			e.kind == kindGlobal && e.index >= uint32(len(d.globals)),
			e.kind > kindGlobal:
			r.fail("the export %q names nothing", e.name)
		case e.kind == kindTable:
			r.fail("the table is not exported: %q", e.name)
		case e.kind == kindGlobal && d.globals[e.index].mutable:
			r.fail("mutable globals are not exported: %q", e.name)
		}
	}
	for _, index := range d.elemFuncs {
		if index >= functions {
			r.fail("an element names the function %d, which is not there", index)
		}
	}
	if d.start < 0 {
		return
	}
	if uint64(d.start) >= uint64(functions) {
		r.fail("the start function %d is not there", d.start)
		return
	}
	if s := d.types[d.functions[d.start]]; len(s.params)+len(s.results) > 0 {
		r.fail("the start function takes or gives something")
	}
}
