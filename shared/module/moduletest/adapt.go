package moduletest

import (
	"math/rand/v2"
	"slices"

	"skerry/shared/module/program"
	"skerry/shared/tables"
)

// adapt makes a guest of a module of any functions, as wasm-opt makes them: its entry points call the module's own functions
// with what is in their input, keep what comes of it in tables, and call the host in between.
func adapt(r *rand.Rand, module []byte) ([]byte, error) {
	m, err := takeApart(module)
	if err != nil {
		return nil, err
	}
	m.provide()
	x := &mutator{r, m}
	m.pages[0] = max(1, min(m.pages[0], 20))
	m.pages[1] = m.pages[0] + uint32(r.IntN(3))
	var callable []uint32
	m.exports = slices.DeleteFunc(m.exports, func(e exported) bool {
		if e.kind == 0 {
			callable = append(callable, e.index)
		}
		return true
	})
	io := []int32{0, 0, 0, 16, 1 << 10, int32(m.pages[0]<<16) - program.MinIO}[r.IntN(6)]
	m.exports = append(m.exports, exported{"memory", 2, 0},
		exported{"skerry_io", 0, m.add(signature{results: "\x7f"}, body{code: []instruction{constant(io)}})})
	for _, entry := range []struct {
		name  string
		gives bool
		oneOf int // has it, of as many modules
	}{{"authorize", true, 1}, {"apply", false, 1}, {"init", false, 4}, {"readable", true, 2}, {"migrate", true, 2}} {
		if r.IntN(entry.oneOf) > 0 {
			continue
		}
		s := signature{params: "\x7f"}
		code := x.steps(callable, io)
		if entry.gives {
			s.results = "\x7f"
			code = append(code, constant([]int32{0, 0, 0, 0, 0, 0, 0, 1, 300, -1}[r.IntN(10)]))
		}
		m.exports = append(m.exports, exported{entry.name, 0, m.add(s, body{code: code})})
	}
	if r.IntN(12) == 0 {
		m.start = int(m.add(signature{}, body{code: x.steps(callable, io)}))
	}
	for range r.IntN(6) {
		x.mutate()
	}
	return adapted(r).AppendSection(m.together(nil)), nil
}

// kept is where an entry point keeps what functions gave, until it is put into a table.
const kept = 0x7e00

// steps are calls of functions with what lies in the input, and of the host.
func (x *mutator) steps(callable []uint32, io int32) (code []instruction) {
	param := []byte{0x7f}
	for range 1 + x.IntN(4) {
		if len(callable) > 0 && x.IntN(3) > 0 {
			code = append(code, x.called(callable[x.IntN(len(callable))], io)...)
		}
		switch x.IntN(7) {
		case 0, 1, 2: // a row of whatever is there
			table := int32(x.IntN(3))
			code = append(code, constant(table), constant(kept), constant([]int32{16, 24, 16}[table]), instruction{0x10, number(1)})
		case 3: // the author
			code = append(code, constant(3), constant(io+28), constant(11), instruction{0x10, number(1 + uint32(x.IntN(2)))})
			if to := code[len(code)-1].imm[0]; to == 2 {
				code = append(code, instruction{0x1a, nil})
			}
		case 4:
			code = append(code, x.scan(param)...)
		case 5: // a key that may be there
			code = append(code, constant(0), constant(kept), constant(8), constant(kept+8), constant(100), instruction{0x10, number(0)}, instruction{0x1a, nil})
		default:
			code = append(code, x.host(x.IntN(len(hostFunctions)), param)...)
		}
	}
	return code
}

// called calls a function with what lies in the input, and keeps its results.
func (x *mutator) called(index uint32, io int32) (code []instruction) {
	s := x.signatureOf(index)
	loads := map[byte]byte{0x7f: 0x28, 0x7e: 0x29, 0x7d: 0x2a, 0x7c: 0x2b}
	for _, kind := range []byte(s.params) {
		code = append(code, constant(io+28+int32(x.IntN(60))), instruction{loads[kind], []byte{0, 0}})
	}
	code = append(code, instruction{0x10, number(index)})
	for n := range []byte(s.results) {
		kind := s.results[len(s.results)-1-n]
		code = append(code, constant(int32(kept+8*x.IntN(3))), instruction{0x10, number(x.keeper(kind))})
	}
	return code
}

// keeper returns a function that stores its first parameter where its second says.
func (x *mutator) keeper(kind byte) uint32 {
	s := signature{params: string([]byte{kind, 0x7f})}
	code := []instruction{{0x20, number(1)}, {0x20, number(0)}, {stores[kind], []byte{0, 0}}}
	for n, f := range x.bodies {
		if x.types[x.functions[n]] == s && slices.EqualFunc(f.code, code, func(a, b instruction) bool { return a.op == b.op && slices.Equal(a.imm, b.imm) }) {
			return uint32(len(x.imports) + n)
		}
	}
	return x.add(s, body{code: code})
}

// adapted is what such a guest says of itself. Of its tables three have rows of numbers, so that any bytes are one.
func adapted(r *rand.Rand) *program.Manifest {
	column := func(name string, kind tables.Kind) tables.Column { return tables.Column{Name: name, Kind: kind} }
	field := func(name string, kind tables.Kind) program.Field { return program.Field{Name: name, Kind: kind} }
	m := &program.Manifest{
		Name: "adapted", Version: "1.0.0", ABI: program.ABI, IO: program.MinIO, Raw: r.IntN(8) > 0,
		Events: []program.EventType{
			{Name: "pair", Fields: []program.Field{field("k", tables.U64), field("v", tables.I64)}},
			{Name: "float", Fields: []program.Field{field("f", tables.F64), {Name: "g", Kind: tables.F64, Optional: true}}},
			{Name: "name", Fields: []program.Field{field("who", tables.Text), field("is", tables.Bool)}},
			{Name: "data", Fields: []program.Field{field("bytes", tables.Bytes)}},
		},
		Tables: []tables.Schema{
			{Name: "pairs", Columns: []tables.Column{column("k", tables.U64), column("v", tables.I64)}, Key: []int{0}, Indexes: []tables.Index{{Name: "by_v", Columns: []int{1}, Unique: r.IntN(3) == 0}}},
			{Name: "threes", Columns: []tables.Column{column("a", tables.I64), column("b", tables.U64), column("c", tables.I64)}, Key: []int{0, 1}, Indexes: []tables.Index{{Name: "by_c", Columns: []int{2, 0}}}},
			{Name: "floats", Columns: []tables.Column{column("k", tables.U64), column("f", tables.F64)}, Key: []int{0}, Indexes: []tables.Index{{Name: "by_f", Columns: []int{1}}}},
			{Name: "names", Columns: []tables.Column{column("who", tables.Text)}, Key: []int{0}},
		},
		Upgrade: []string{program.Carry, program.Replay}[r.IntN(2)],
	}
	return m
}
