package moduletest

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
)

// mutant returns a guest's module, changed in a few places of what it does: it calls the host with what it may not, takes
// other ways, counts wrong, calls itself. Most mutants are valid still. Its imports are all that there are.
func mutant(r *rand.Rand, module []byte) ([]byte, error) {
	m, err := takeApart(module)
	if err != nil {
		return nil, err
	}
	m.provide()
	if r.IntN(3) == 0 { // or some never begin
		m.exports = slices.DeleteFunc(m.exports, func(e exported) bool { return e.name == "init" })
	}
	x := &mutator{r, m}
	for range 1 + r.IntN(4) {
		x.mutate()
	}
	var flip func(int, []byte)
	if r.IntN(10) == 0 { // bytes, which are seldom valid
		of := r.IntN(len(m.bodies))
		flip = func(n int, code []byte) {
			if n == of {
				code[r.IntN(len(code))] ^= byte(1 << r.IntN(8))
			}
		}
	}
	return m.together(flip), nil
}

// hostFunctions are the imports of the ABI with what their parameters are: t a table, i an index of it, p a pointer, n a
// length, f flags, h a handle, c a code.
var hostFunctions = []struct {
	name, params string
	results      string
}{
	{"get", "tpnpn", "\x7f"}, {"put", "tpn", ""}, {"delete", "tpn", "\x7f"}, {"scan_open", "tipnf", "\x7f"}, {"scan_next", "hpn", "\x7f"},
	{"scan_close", "h", ""}, {"fail", "cpn", ""}, {"blake3", "pnp", ""}, {"log", "pn", ""},
}

// provide makes the module import all of the ABI. What else it imports becomes a function that logs what it gets.
func (m *parts) provide() {
	old, own := m.imports, uint32(len(m.functions))
	m.imports = nil
	hosts := map[string]uint32{}
	for n, f := range hostFunctions {
		kind := m.typeOf(signature{strings.Repeat("\x7f", len(f.params)), f.results})
		m.imports = append(m.imports, imported{"skerry1", f.name, kind})
		hosts[f.name] = uint32(n)
	}
	var places []uint32 // of what was imported
	for _, i := range old {
		place, ok := hosts[i.name]
		if i.module != "skerry1" || !ok {
			place = m.add(m.types[i.kind], logging(m.types[i.kind]))
		}
		places = append(places, place)
	}
	move := func(index uint32) uint32 {
		if int(index) < len(old) {
			return places[index]
		}
		return index + uint32(len(m.imports)-len(old))
	}
	for n := range m.bodies[:own] {
		code := m.bodies[n].code
		for i := range code {
			if code[i].op == 0x10 {
				to, _ := binary.Uvarint(code[i].imm)
				code[i].imm = number(move(uint32(to)))
			}
		}
	}
	for _, e := range m.elements {
		for i := range e.functions {
			e.functions[i] = move(e.functions[i])
		}
	}
	for i := range m.exports {
		if m.exports[i].kind == 0 {
			m.exports[i].index = move(m.exports[i].index)
		}
	}
	if m.start >= 0 {
		m.start = int(move(uint32(m.start)))
	}
}

const (
	logAt = 0x7f00 // where a module of any kind keeps what it tells
	logFn = 8      // the place of log
)

// stores are instructions by the type of what they store.
var stores = map[byte]byte{0x7f: 0x36, 0x7e: 0x37, 0x7d: 0x38, 0x7c: 0x39}

// logging is a function that logs its first parameter and returns zeros.
func logging(s signature) (f body) {
	if len(s.params) > 0 {
		f.code = append(f.code, constant(logAt), instruction{0x20, number(0)}, instruction{stores[s.params[0]], []byte{0, 0}},
			constant(logAt), constant(8), instruction{0x10, number(logFn)})
	}
	for _, kind := range []byte(s.results) {
		f.code = append(f.code, zero(kind))
	}
	return f
}

func constant(n int32) instruction { return instruction{0x41, signed(int64(n))} }

func zero(kind byte) instruction {
	switch kind {
	case 0x7f:
		return constant(0)
	case 0x7e:
		return instruction{0x42, []byte{0}}
	case 0x7d:
		return instruction{0x43, make([]byte, 4)}
	}
	return instruction{0x44, make([]byte, 8)}
}

// mutator changes a module.
type mutator struct {
	*rand.Rand
	*parts
}

// alike are opcodes that take and give the same.
var alike = [][2]byte{{0x46, 0x4f}, {0x51, 0x5a}, {0x5b, 0x60}, {0x61, 0x66}, {0x67, 0x69}, {0x6a, 0x78}, {0x79, 0x7b}, {0x7c, 0x8a}, {0x8b, 0x91}, {0x92, 0x98}, {0x99, 0x9f}, {0xa0, 0xa6}}

// memories are opcodes that load or store what has the same type.
var memories = [][]byte{{0x28, 0x2c, 0x2d, 0x2e, 0x2f}, {0x29, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35}, {0x36, 0x3a, 0x3b}, {0x37, 0x3c, 0x3d, 0x3e}}

// mutate makes one change.
func (x *mutator) mutate() {
	all, n := 0, 0
	for i := range x.bodies { // each by its length
		if all += len(x.bodies[i].code) + 1; x.IntN(all) <= len(x.bodies[i].code) {
			n = i
		}
	}
	f := &x.bodies[n]
	kinds := []byte(x.types[x.functions[n]].params + string(f.locals))
	if len(f.code) == 0 || x.IntN(2) == 0 {
		at := x.IntN(len(f.code) + 1)
		f.code = append(f.code[:at:at], append(x.neutral(kinds, x.types[x.functions[n]].results), f.code[at:]...)...)
		return
	}
	if content := x.other[11]; len(content) > 0 && x.IntN(20) == 0 {
		content = bytes.Clone(content)
		content[len(content)-1-x.IntN(min(len(content)-1, 32))] ^= byte(1 << x.IntN(8))
		x.other[11] = content
		return
	}
	at := x.IntN(len(f.code))
	for range 20 { // most have something to be changed
		if changed, ok := x.change(f.code[at], kinds); ok {
			f.code = append(f.code[:at:at], append(changed, f.code[at+1:]...)...)
			return
		}
		at = x.IntN(len(f.code))
	}
}

// change returns what may be in place of an instruction.
func (x *mutator) change(i instruction, kinds []byte) ([]instruction, bool) {
	one := func(op byte, imm []byte) ([]instruction, bool) { return []instruction{{op, imm}}, true }
	for _, each := range alike {
		if i.op >= each[0] && i.op <= each[1] {
			return one(each[0]+byte(x.IntN(int(each[1]-each[0]+1))), nil)
		}
	}
	for _, each := range memories {
		if bytes.IndexByte(each, i.op) >= 0 {
			offset := number(uint32(x.IntN(40)))
			if x.IntN(4) == 0 {
				offset = number(uint32(x.value('p')))
			}
			return one(each[x.IntN(len(each))], append([]byte{0}, offset...))
		}
	}
	switch {
	case i.op == 0x41 && x.IntN(2) == 0:
		return []instruction{i, constant(int32(x.IntN(9) - 4)), {0x6a, nil}}, true
	case i.op == 0x41:
		return []instruction{constant(x.value("tpnc"[x.IntN(4)]))}, true
	case i.op >= 0x20 && i.op <= 0x22 && len(kinds) > 0:
		old, _ := binary.Uvarint(i.imm)
		to := x.IntN(len(kinds))
		if int(old) < len(kinds) && kinds[to] == kinds[old] {
			return one(i.op, number(uint32(to)))
		}
		if i.op == 0x21 {
			return one(0x1a, nil)
		}
	case i.op == 0x10:
		return x.call(i), true
	case i.op == 0x0d || i.op == 0x0c:
		if x.IntN(2) == 0 {
			return one(i.op, number(uint32(x.IntN(4))))
		} else if i.op == 0x0d {
			return []instruction{{0x45, nil}, i}, true
		}
	case i.op == 0x04:
		return []instruction{{0x45, nil}, i}, true
	case i.op == 0x1b, i.op == 0x45:
		return []instruction{{0x45, nil}, i}, true
	}
	return nil, false
}

// call returns what may be in place of a call: that of another function of the same type, or nothing.
func (x *mutator) call(i instruction) (code []instruction) {
	index, _ := binary.Uvarint(i.imm)
	s := x.signatureOf(uint32(index))
	for range 10 {
		other := uint32(x.IntN(len(x.imports) + len(x.functions)))
		if uint64(other) != index && x.signatureOf(other) == s {
			return []instruction{{0x10, number(other)}}
		}
	}
	for range s.params {
		code = append(code, instruction{0x1a, nil})
	}
	for _, kind := range []byte(s.results) {
		code = append(code, zero(kind))
	}
	return code
}

// value returns a number that is good for a parameter of a host function more often than not.
func (x *mutator) value(of byte) int32 {
	one := func(of ...int32) int32 { return of[x.IntN(len(of))] }
	end := int32(x.pages[0] << 16)
	bad := x.IntN(10) == 0
	switch {
	case bad && x.IntN(4) == 0:
		return int32(x.Uint32())
	case bad && of == 'p':
		return one(end-1, end, end+1, end-int32(x.IntN(40)), -1, -8, -32, -1<<31, 1<<30, -1<<16)
	case bad && of == 'n':
		return one(64<<10, 64<<10+1, 1<<20, 1<<20+1, end, -1, -8, -1<<31)
	case bad:
		return one(3, 4, 5, 8, 65_535, 65_536, -1, -1<<31)
	case of == 'p':
		return one(28, int32(x.IntN(120)), int32(x.IntN(120)), int32(x.IntN(1<<16)), end-int32(x.IntN(1<<10)), kept)
	case of == 'n':
		return one(0, 1, 4, 8, 8, 8, 9, 11, 11, 12, 16, 16, 24, 32, 64, 100, 1<<10, 1<<10+1)
	}
	return one(0, 0, 0, 1, 1, 2)
}

// push puts a parameter of a host function on the stack.
func (x *mutator) push(of byte, kinds []byte) instruction {
	if x.IntN(6) == 0 {
		if at := x.IntN(len(kinds) + 1); at < len(kinds) && kinds[at] == 0x7f {
			return instruction{0x20, number(uint32(at))}
		}
	}
	return constant(x.value(of))
}

// host returns a call of a host function, and what becomes of its result.
func (x *mutator) host(n int, kinds []byte) (code []instruction) {
	f := &hostFunctions[n]
	for _, of := range []byte(f.params) {
		code = append(code, x.push(of, kinds))
	}
	code = append(code, instruction{0x10, number(uint32(n))})
	if f.results == "" {
		return code
	}
	at := x.IntN(len(kinds) + 1)
	if x.IntN(2) == 0 && at < len(kinds) && kinds[at] == 0x7f {
		return append(code, instruction{0x21, number(uint32(at))})
	}
	return append(code, instruction{0x1a, nil})
}

// scan reads some rows, and keeps a few bytes of what is read.
func (x *mutator) scan(kinds []byte) []instruction {
	code := []instruction{constant(int32(x.IntN(5))), constant(int32(x.IntN(2))), constant(0), constant(0), constant(int32(x.IntN(2))), {0x10, number(3)}, {0x1a, nil}}
	for range 1 + x.IntN(3) {
		code = append(code, constant(0), constant(logAt), constant(x.value('n')), instruction{0x10, number(4)}, instruction{0x1a, nil},
			constant(logAt), constant(int32(x.IntN(60))), instruction{0x10, number(logFn)})
	}
	if x.IntN(3) > 0 {
		code = append(code, constant(0), instruction{0x10, number(5)})
	}
	return code
}

// neutral returns instructions that leave the stack as it is.
func (x *mutator) neutral(kinds []byte, results string) (code []instruction) {
	switch x.IntN(16) {
	case 0, 1, 2, 3, 4:
		return x.host(x.IntN(len(hostFunctions)), kinds)
	case 5:
		return x.scan(kinds)
	case 6:
		if x.IntN(3) > 0 {
			return []instruction{{0x01, nil}}
		}
		return []instruction{{0x00, nil}}
	case 7: // bytes that others read
		return []instruction{constant(x.value('p')), constant(x.value('n')), {0x36, []byte{0, 0}}}
	case 8:
		return []instruction{constant(int32(x.IntN(3))), {0x40, []byte{0}}, {0x1a, nil}}
	case 9:
		return []instruction{x.push('p', kinds), x.push('p', kinds), x.push('n', kinds), {0xfc, append([]byte{10}, 0, 0)}}
	case 10:
		return []instruction{x.push('p', kinds), x.push('c', kinds), x.push('n', kinds), {0xfc, append([]byte{11}, 0)}}
	case 11: // now and then it returns
		code = []instruction{x.push('n', kinds), constant(int32(x.IntN(30))), {0x49, nil}, {0x04, []byte{0x40}}}
		for _, kind := range []byte(results) {
			code = append(code, zero(kind))
		}
		return append(code, instruction{0x0f, nil}, instruction{0x0b, nil})
	case 12: // the same many times
		code = append([]instruction{{0x03, []byte{0x40}}}, x.host(x.IntN(len(hostFunctions)), kinds)...)
		return append(code, x.push('t', kinds), instruction{0x0d, []byte{0}}, instruction{0x0b, nil})
	case 13:
		return x.floats()
	case 14:
		if _, ok := x.other[4]; ok {
			kind := x.IntN(len(x.types))
			return x.surround(x.types[kind], constant(x.value('t')), instruction{0x11, append(number(uint32(kind)), 0)})
		}
	}
	n := x.IntN(len(x.imports) + len(x.functions))
	return x.surround(x.signatureOf(uint32(n)), instruction{0x10, number(uint32(n))})
}

// surround gives a call its parameters and takes its results away.
func (x *mutator) surround(s signature, call ...instruction) (code []instruction) {
	for _, kind := range []byte(s.params) {
		if code = append(code, zero(kind)); kind == 0x7f {
			code[len(code)-1] = constant(x.value('p'))
		}
	}
	code = append(code, call...)
	for range s.results {
		code = append(code, instruction{0x1a, nil})
	}
	return code
}

// floats stores what comes of numbers, of which some are none, where rows may be read.
func (x *mutator) floats() []instruction {
	float := func() instruction {
		bits := x.Uint64()
		if x.IntN(2) == 0 {
			bits |= 0x7ff << 52
		}
		return instruction{0x44, binary.LittleEndian.AppendUint64(nil, bits)}
	}
	return []instruction{constant(int32(x.IntN(120))), float(), float(), {0xa0 + byte(x.IntN(7)), nil}, {0x39, []byte{0, 0}}}
}
