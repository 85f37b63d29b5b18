package meter

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Linking says what becomes of two modules that are joined.
type Linking struct {
	// Imports is the module name of what the program imports of the runtime, and Program that of what the runtime imports
	// of the program. Everything else they import from the host.
	Imports, Program string
	// Exports are the runtime's functions that the whole exports: by the name that they get, the name that they have.
	Exports map[string]string
}

// ErrNoFunction tells that one of two modules imports from the other what that does not export.
var ErrNoFunction = errors.New("there is no function")

// Link joins a program with a runtime, which is another module: each gets what it imports of the other one, and the
// whole has the program's memory, under the name "memory", and the runtime's start and exports. Custom sections are left out. Both
// are checked as [Instrument] does. What the runtime has in memory lies below all of the program's data. It is a pure
// function of its arguments, and keeps no reference to them. An error says what does not fit.
func Link(program, runtime []byte, linking *Linking) ([]byte, error) {
	l := &linker{Linking: linking}
	var err error
	if l.program, err = decodeChecked(program); err != nil {
		return nil, err
	}
	if l.runtime, err = decodeChecked(runtime); err != nil {
		return nil, fmt.Errorf("the runtime: %w", err)
	}
	if l.runtime.hasTable || !l.program.hasMemory {
		return nil, errors.New("the runtime has a table, or the program no memory")
	}
	if err := l.memory(); err != nil {
		return nil, err
	}
	if err := l.number(); err != nil {
		return nil, err
	}
	return l.module()
}

func decodeChecked(module []byte) (*decoded, error) {
	d, err := decode(module)
	if err != nil {
		return nil, err
	}
	for i := range d.bodies {
		if err := d.validate(&d.bodies[i]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// linker numbers anew what the two have: types and globals of the program first, functions that the host has first, then
// the runtime's and then the program's.
type linker struct {
	*Linking
	program, runtime *decoded
	imports          []functionImport // with the numbers that types get
	ofProgram        []uint32         // what functions become
	ofRuntime        []uint32
}

// segment is data as it lies in memory.
type segment struct {
	at    uint32
	bytes []byte
}

func (d *decoded) dataSegments() (segments []segment) {
	r := &reader{bytes: d.data}
	if len(d.data) == 0 {
		return nil
	}
	for range r.unsigned() {
		r.unsigned()
		at := readConstant(r, i32)
		segments = append(segments, segment{at, r.take(r.unsigned())})
	}
	return segments
}

// memory checks that nothing lies in the same place twice.
func (l *linker) memory() error {
	lowest, highest := l.program.memory[0]<<16, uint32(0)
	for _, s := range l.program.dataSegments() {
		lowest = min(lowest, s.at)
	}
	for _, s := range l.runtime.dataSegments() {
		highest = max(highest, s.at+uint32(len(s.bytes)))
	}
	if lowest < highest {
		return fmt.Errorf("the program's data begins at %d, where the runtime's lies up to %d", lowest, highest)
	}
	return nil
}

// number finds out what becomes of each function.
func (l *linker) number() error {
	l.hostImports(l.program, l.Imports, 0)
	l.hostImports(l.runtime, l.Program, uint32(len(l.program.types)))
	l.ofRuntime = l.numbers(l.runtime, l.Program, len(l.imports))
	l.ofProgram = l.numbers(l.program, l.Imports, len(l.imports)+len(l.runtime.bodies))
	if err := resolve(l.program, l.Imports, l.ofProgram, l.runtime, l.ofRuntime); err != nil {
		return err
	}
	return resolve(l.runtime, l.Program, l.ofRuntime, l.program, l.ofProgram)
}

// hostImports gathers what a module imports but from the other one.
func (l *linker) hostImports(d *decoded, other string, types uint32) {
	for i := range d.imports {
		imported := d.imports[i]
		imported.signature += types
		if imported.module != other && l.hosted(&imported) < 0 {
			l.imports = append(l.imports, imported)
		}
	}
}

// numbers returns what becomes of a module's functions, of which its own are numbered from first on.
func (l *linker) numbers(d *decoded, other string, first int) (numbers []uint32) {
	for i := range d.functions {
		switch {
		case i >= len(d.imports):
			numbers = append(numbers, uint32(first+i-len(d.imports)))
		case d.imports[i].module == other:
			numbers = append(numbers, noFunction) // until both are numbered
		default:
			numbers = append(numbers, uint32(l.hosted(&d.imports[i])))
		}
	}
	return numbers
}

const noFunction = noLocal

// hosted returns the number of an import, or -1. What has one name has one signature, which the host checks.
func (l *linker) hosted(of *functionImport) int {
	return slices.IndexFunc(l.imports, func(i functionImport) bool { return i.module == of.module && i.name == of.name })
}

// resolve gives imports of one module the numbers of what the other one exports.
func resolve(d *decoded, from string, numbers []uint32, other *decoded, theirs []uint32) error {
	for i := range d.imports {
		imported := &d.imports[i]
		if imported.module != from {
			continue
		}
		index, err := other.exported(imported.name)
		if err != nil {
			return fmt.Errorf("%s.%s is imported: %w", from, imported.name, err)
		}
		got, want := other.types[other.functions[index]].String(), d.types[imported.signature].String()
		if got != want {
			return fmt.Errorf("%s.%s is imported as (%s), and it is (%s)", from, imported.name, want, got)
		}
		if theirs[index] == noFunction {
			return fmt.Errorf("%s.%s is imported, and is an import itself", from, imported.name)
		}
		numbers[i] = theirs[index]
	}
	return nil
}

func (d *decoded) exported(name string) (uint32, error) {
	for _, e := range d.exports {
		if e.name == name && e.kind == kindFunction {
			return e.index, nil
		}
	}
	return 0, fmt.Errorf("%w %s", ErrNoFunction, name)
}

func (l *linker) module() ([]byte, error) {
	exports, err := l.exports()
	if err != nil {
		return nil, err
	}
	p, r := l.program, l.runtime
	w := &writer{d: &decoded{
		types: append(slices.Clone(p.types), r.types...), imports: l.imports, functions: make([]uint32, len(l.imports)),
		globals: append(slices.Clone(p.globals), r.globals...),
	}}
	for _, kind := range r.functions[len(r.imports):] {
		w.d.functions = append(w.d.functions, kind+uint32(len(p.types)))
	}
	w.d.functions = append(w.d.functions, p.functions[len(p.imports):]...)

	b := append([]byte{}, header...)
	b = appendSection(b, sectionType, appendList(nil, append(slices.Clone(p.rawTypes), r.rawTypes...)))
	b = appendSection(b, sectionImport, w.imports())
	b = appendSection(b, sectionFunction, w.functions())
	if p.hasTable {
		b = appendSection(b, sectionTable, append([]byte{1, funcref}, appendLimits(nil, p.table, p.tableMax)...))
	}
	b = appendSection(b, sectionMemory, append([]byte{1}, appendLimits(nil, p.memory, true)...))
	b = appendSection(b, sectionGlobal, appendList(nil, w.globalList()))
	b = appendSection(b, sectionExport, exports)
	if r.start >= 0 {
		b = appendSection(b, sectionStart, appendUnsigned(nil, l.ofRuntime[r.start]))
	}
	if len(p.elements) > 0 {
		b = appendSection(b, sectionElement, l.elements())
	}
	b = appendSection(b, sectionCode, l.code())
	return appendSection(b, sectionData, l.data()), nil
}

func (l *linker) exports() ([]byte, error) {
	list := [][]byte{append(appendName(nil, "memory"), kindMemory, 0)}
	for _, name := range slices.Sorted(maps.Keys(l.Exports)) {
		index, err := l.runtime.exported(l.Exports[name])
		if err != nil {
			return nil, fmt.Errorf("the runtime: %w", err)
		}
		list = append(list, appendUnsigned(append(appendName(nil, name), kindFunction), l.ofRuntime[index]))
	}
	return appendList(nil, list), nil
}

func (l *linker) elements() []byte {
	r := &reader{bytes: l.program.elements}
	n := r.unsigned()
	b := appendUnsigned(nil, n)
	for range n {
		r.unsigned()
		b = append(b, 0, opI32Const)
		b = append(appendSigned(b, int64(int32(readConstant(r, i32)))), opEnd)
		count := r.unsigned()
		b = appendUnsigned(b, count)
		for range count {
			b = appendUnsigned(b, l.ofProgram[r.unsigned()])
		}
	}
	return b
}

func (l *linker) data() []byte {
	var list [][]byte
	for _, s := range append(l.runtime.dataSegments(), l.program.dataSegments()...) {
		b := append(appendSigned([]byte{0, opI32Const}, int64(int32(s.at))), opEnd)
		list = append(list, append(appendUnsigned(b, uint32(len(s.bytes))), s.bytes...))
	}
	return appendList(nil, list)
}

func (l *linker) code() []byte {
	b := appendUnsigned(nil, uint32(len(l.runtime.bodies)+len(l.program.bodies)))
	of := relocation{functions: l.ofRuntime, types: uint32(len(l.program.types)), globals: uint32(len(l.program.globals))}
	for i := range l.runtime.bodies {
		b = of.append(b, &l.runtime.bodies[i])
	}
	of = relocation{functions: l.ofProgram}
	for i := range l.program.bodies {
		b = of.append(b, &l.program.bodies[i])
	}
	return b
}

// relocation is what the numbers in a function's instructions become.
type relocation struct {
	functions      []uint32
	types, globals uint32 // are added
}

func (of *relocation) append(b []byte, function *body) []byte {
	out := append(appendUnsigned(nil, uint32(function.declared)), function.groups...)
	r := &reader{bytes: function.code}
	for !r.done() {
		out = of.instruction(out, r)
	}
	return append(appendUnsigned(b, uint32(len(out))), out...)
}

// instruction appends one instruction. What it reads was validated.
func (of *relocation) instruction(out []byte, r *reader) []byte {
	start := r.at
	op := r.byte()
	switch {
	case op >= opFirstMemory && op <= opLastMemory:
		r.unsigned()
		r.unsigned()
	case operations[op].cost > 0:
	default:
		switch op {
		case opCall:
			return appendUnsigned(append(out, op), of.functions[r.unsigned()])
		case opCallIndirect:
			return append(appendUnsigned(append(out, op), r.unsigned()+of.types), r.byte())
		case opGlobalGet, opGlobalSet:
			return appendUnsigned(append(out, op), r.unsigned()+of.globals)
		case opBlock, opLoop, opIf:
			if kind := r.signed(33); kind >= 0 {
				return appendSigned(append(out, op), kind+int64(of.types))
			}
		case opBr, opBrIf, opLocalGet, opLocalSet, opLocalTee:
			r.unsigned()
		case opBrTable:
			for range r.unsigned() + 1 {
				r.unsigned()
			}
		case opMemorySize, opMemoryGrow:
			r.byte()
		case opI32Const:
			r.signed(32)
		case opI64Const:
			r.signed(64)
		case opF32Const:
			r.take(4)
		case opF64Const:
			r.take(8)
		case opPrefix:
			if sub := r.unsigned(); sub == prefixCopy {
				r.take(2)
			} else if sub == prefixFill {
				r.take(1)
			}
		}
	}
	return append(out, r.bytes[start:r.at]...)
}
