package moduletest

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// parts is a module taken apart, so that it can be put together again with changes. It is for modules that are well-formed:
// those of guests, and what wasm-opt makes.
type parts struct {
	types     []signature
	imports   []imported
	functions []uint32 // types of its own functions
	globals   []globalKind
	exports   []exported
	elements  []elements
	bodies    []body
	start     int // -1: none
	pages     [2]uint32
	other     map[byte][]byte // sections that are kept as they are: table, globals, data
}

// signature is the types of parameters and results, a byte each.
type signature struct{ params, results string }

type imported struct {
	module, name string
	kind         uint32
}

type globalKind struct {
	kind    byte
	mutable bool
}

type exported struct {
	name  string
	kind  byte
	index uint32
}

type elements struct {
	offset    []byte // instructions
	functions []uint32
}

// body is a function: the types of its locals without its parameters, and what it does.
type body struct {
	locals []byte
	code   []instruction
}

// instruction is an opcode, with what follows it.
type instruction struct {
	op  byte
	imm []byte
}

// cutter reads a module. It panics where that ends, which take makes an error.
type cutter struct{ b []byte }

func (c *cutter) take(n int) []byte {
	taken := c.b[:n:n]
	c.b = c.b[n:]
	return taken
}

func (c *cutter) byte() byte { return c.take(1)[0] }

func (c *cutter) number() uint32 {
	n, size := binary.Uvarint(c.b)
	c.take(size)
	return uint32(n)
}

func (c *cutter) name() string { return string(c.take(int(c.number()))) }

// leb returns the bytes of a number.
func (c *cutter) leb() []byte {
	n := 1
	for c.b[n-1] >= 0x80 {
		n++
	}
	return c.take(n)
}

// instruction reads one.
func (c *cutter) instruction() instruction {
	op := c.byte()
	before := c.b
	switch {
	case op >= 0x02 && op <= 0x04, op == 0x0c, op == 0x0d, op == 0x10, op >= 0x20 && op <= 0x24, op == 0x3f, op == 0x40, op == 0x41, op == 0x42:
		c.leb()
	case op == 0x0e:
		for range c.number() + 1 {
			c.leb()
		}
	case op == 0x11, op >= 0x28 && op <= 0x3e:
		c.leb()
		c.leb()
	case op == 0x43:
		c.take(4)
	case op == 0x44:
		c.take(8)
	case op == 0xfc:
		switch sub := c.number(); {
		case sub == 10:
			c.take(2)
		case sub == 11:
			c.take(1)
		case sub > 7:
			panic(fmt.Sprint("the instruction fc ", sub))
		}
	}
	return instruction{op, before[: len(before)-len(c.b) : len(before)-len(c.b)]}
}

// until reads up to an end that belongs to none of the blocks before it.
func (c *cutter) until() (code []instruction) {
	for depth := 1; ; {
		i := c.instruction()
		if i.op >= 0x02 && i.op <= 0x04 {
			depth++
		} else if i.op == 0x0b {
			depth--
		}
		if depth == 0 {
			return code
		}
		code = append(code, i)
	}
}

// takeApart reads a module. Its custom sections are left out.
func takeApart(module []byte) (m *parts, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a module that cannot be taken apart: %v", r)
		}
	}()
	m = &parts{start: -1, other: map[byte][]byte{}}
	c := &cutter{module}
	for c.take(8); len(c.b) > 0; {
		id := c.byte()
		content := c.take(int(c.number()))
		if m.other[id] = content; id != 0 && id != 12 {
			m.section(id, &cutter{content})
		}
	}
	return m, nil
}

func (m *parts) section(id byte, c *cutter) {
	switch id {
	case 8:
		m.start = int(c.number())
		return
	case 11:
		return
	}
	for range c.number() {
		switch id {
		case 1:
			c.byte()
			m.types = append(m.types, signature{c.name(), c.name()})
		case 2:
			i := imported{module: c.name(), name: c.name()}
			if c.byte() != 0 {
				panic("an import that is no function")
			}
			i.kind = c.number()
			m.imports = append(m.imports, i)
		case 3:
			m.functions = append(m.functions, c.number())
		case 5:
			if more := c.byte(); more == 1 {
				m.pages = [2]uint32{c.number(), c.number()}
			} else {
				m.pages[0] = c.number()
				m.pages[1] = m.pages[0]
			}
		case 6:
			m.globals = append(m.globals, globalKind{c.byte(), c.byte() == 1})
			c.until()
		case 7:
			m.exports = append(m.exports, exported{c.name(), c.byte(), c.number()})
		case 9:
			if c.number() != 0 {
				panic("elements that are not those of the table")
			}
			e := elements{offset: appendCode(nil, c.until())}
			for range c.number() {
				e.functions = append(e.functions, c.number())
			}
			m.elements = append(m.elements, e)
		case 10:
			c.number()
			var f body
			for range c.number() {
				f.locals = append(f.locals, slices.Repeat([]byte{0}, int(c.number()))...)
				for i, kind := len(f.locals)-1, c.byte(); i >= 0 && f.locals[i] == 0; i-- {
					f.locals[i] = kind
				}
			}
			f.code = c.until()
			m.bodies = append(m.bodies, f)
		}
	}
}

func appendCode(b []byte, code []instruction) []byte {
	for _, i := range code {
		b = append(append(b, i.op), i.imm...)
	}
	return b
}

// together returns the module's bytes. change may change those of each body on their way.
func (m *parts) together(change func(index int, code []byte)) []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	add := func(id byte, n int, content []byte) {
		if n > 0 {
			content = append(number(uint32(n)), content...)
			b = append(append(append(b, id), number(uint32(len(content)))...), content...)
		}
	}
	keep := func(id byte) {
		if content, ok := m.other[id]; ok {
			b = append(append(append(b, id), number(uint32(len(content)))...), content...)
		}
	}
	var types, imports, functions, exports, elements, bodies []byte
	for _, t := range m.types {
		types = concat(types, []byte{0x60}, named(t.params), named(t.results))
	}
	for _, i := range m.imports {
		imports = concat(imports, named(i.module), named(i.name), []byte{0}, number(i.kind))
	}
	for _, kind := range m.functions {
		functions = append(functions, number(kind)...)
	}
	for _, e := range m.exports {
		exports = concat(exports, named(e.name), []byte{e.kind}, number(e.index))
	}
	for _, e := range m.elements {
		elements = concat(elements, []byte{0}, e.offset, []byte{0x0b}, number(uint32(len(e.functions))))
		for _, index := range e.functions {
			elements = append(elements, number(index)...)
		}
	}
	for n := range m.bodies {
		code := append(m.bodies[n].bytes(), 0x0b)
		if change != nil {
			change(n, code)
		}
		bodies = append(append(bodies, number(uint32(len(code)))...), code...)
	}
	add(1, len(m.types), types)
	add(2, len(m.imports), imports)
	add(3, len(m.functions), functions)
	keep(4)
	if m.pages[1] > 0 {
		add(5, 1, concat([]byte{1}, number(m.pages[0]), number(m.pages[1])))
	}
	keep(6)
	add(7, len(m.exports), exports)
	if m.start >= 0 {
		b = append(append(b, 8, byte(len(number(uint32(m.start))))), number(uint32(m.start))...)
	}
	add(9, len(m.elements), elements)
	add(10, len(m.bodies), bodies)
	keep(11)
	return b
}

func (f *body) bytes() (b []byte) {
	var groups []byte
	n := 0
	for i := 0; i < len(f.locals); n++ {
		same := i
		for same < len(f.locals) && f.locals[same] == f.locals[i] {
			same++
		}
		groups = append(append(groups, number(uint32(same-i))...), f.locals[i])
		i = same
	}
	return appendCode(append(number(uint32(n)), groups...), f.code)
}

func number(n uint32) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func named(s string) []byte { return append(number(uint32(len(s))), s...) }

// signed returns a number as constants have it.
func signed(n int64) (b []byte) {
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// typeOf returns the number of a signature, which is added if it is not there.
func (m *parts) typeOf(s signature) uint32 {
	if at := slices.Index(m.types, s); at >= 0 {
		return uint32(at)
	}
	m.types = append(m.types, s)
	return uint32(len(m.types) - 1)
}

// signatureOf returns that of a function, imports first.
func (m *parts) signatureOf(index uint32) signature {
	if n := uint32(len(m.imports)); index >= n {
		return m.types[m.functions[index-n]]
	}
	return m.types[m.imports[index].kind]
}

// add adds a function and returns its index.
func (m *parts) add(s signature, f body) uint32 {
	m.functions = append(m.functions, m.typeOf(s))
	m.bodies = append(m.bodies, f)
	return uint32(len(m.imports) + len(m.functions) - 1)
}
