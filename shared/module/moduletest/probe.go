package moduletest

import (
	_ "embed"
	"encoding/binary"
	"math"
	"strings"

	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
)

//go:embed guests/probe.wasm
var probeBytes []byte

// Probe returns the bytes of a module that does what it is told: apply by the payload of "act", authorize by that of "ask", init by
// the params, readable by the identity.
func Probe() []byte { return probeManifest().AppendSection(probeBytes) }

func probeManifest() *program.Manifest {
	fields := []program.Field{{Name: "script", Kind: tables.Bytes}, {Name: "data", Kind: tables.Bytes}}
	return &program.Manifest{
		Name: "probe", Version: "0.1.0", ABI: program.ABI, IO: program.DefaultIO, Raw: true,
		Events: []program.EventType{{Name: "act", Fields: fields}, {Name: "ask", Fields: fields}},
		Tables: []tables.Schema{
			{
				Name:    "kv",
				Columns: []tables.Column{{Name: "k", Kind: tables.U64}, {Name: "v", Kind: tables.Bytes}},
				Key:     []int{0},
			},
			{
				Name: "all",
				Columns: []tables.Column{{Name: "id", Kind: tables.Text}, {Name: "a", Kind: tables.I64}, {Name: "b", Kind: tables.F64},
					{Name: "c", Kind: tables.Text, Optional: true}, {Name: "d", Kind: tables.Bool}},
				Key:     []int{0},
				Indexes: []tables.Index{{Name: "by_a", Columns: []int{1}}, {Name: "by_c", Columns: []int{3}, Unique: true}},
			},
			{
				Name:    "floats",
				Columns: []tables.Column{{Name: "k", Kind: tables.U64}, {Name: "f", Kind: tables.F64}},
				Key:     []int{0},
			},
		},
	}
}

// The numbers of instructions, as guests/probe.wat has them.
const (
	opGet       = 0
	opPut       = 1
	opDelete    = 2
	opScanOpen  = 3
	opScanNext  = 4
	opScanClose = 5
	opFail      = 6
	opBLAKE3    = 7
	opLog       = 8
	opGrow      = 9
	opTrap      = 10
	opLoop      = 11
	opHeavy     = 12
	opRecurse   = 13
	opWide      = 14
	opFill      = 15
	opStore     = 16
	opKeep      = 17 // the last result is stored
	opExpect    = 18 // refuses with 1000 if the last result is another one
	opCopy      = 19
	opCount     = 20
	opAgain     = 21 // a instructions before this one, b times more
	opAdd       = 22
	opNaN       = 23
	opDivide    = 24
	opLoad      = 25
	opIndirect  = 26
	opTruncate  = 27
)

const (
	dataAt  = 0x10000 // where the data of a script is
	freeAt  = 0x20000 // where nothing is
	endAt   = 0x40000 // where the memory ends
	allOnes = 0xffffffff
)

// script is instructions, each with up to five operands.
type script []byte

func do(op uint32, operands ...uint32) script { return script{}.do(op, operands...) }

func (s script) do(op uint32, operands ...uint32) script {
	var entry [6]uint32
	entry[0] = op
	copy(entry[1:], operands)
	for _, n := range entry {
		s = binary.LittleEndian.AppendUint32(s, n)
	}
	return s
}

// form is a script and its data as init and readable get them.
func (s script) form(data []byte) []byte {
	b := append(binary.LittleEndian.AppendUint32(nil, uint32(len(s))), s...)
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(data))), data...)
}

func act(s script, data ...byte) event {
	return event{"act", payload("script", []byte(s), "data", append([]byte{}, data...))}
}

func ask(s script, data ...byte) event {
	return event{"ask", payload("script", []byte(s), "data", append([]byte{}, data...))}
}

// Values as rows have them.
func u64(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

func text(s string) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(s))), s...)
}

func concat(parts ...[]byte) (b []byte) {
	for _, part := range parts {
		b = append(b, part...)
	}
	return b
}

// row returns a row of the table "all".
func row(id string, a int64, b float64, c string, d byte) []byte {
	optional := []byte{0}
	if c != "" {
		optional = append([]byte{1}, text(c)...)
	}
	return concat(text(id), u64(uint64(a)), u64(math.Float64bits(b)), optional, []byte{d})
}

// put puts a row that is alone in the data.
func put(table uint32, row []byte) event {
	return act(do(opPut, table, dataAt, uint32(len(row))), row...)
}

// each pushes each event as a transaction of its own.
func (s *testSpace) each(events ...event) {
	for _, e := range events {
		s.push("author", e)
	}
	s.again(func(m program.Machines) program.Machines { return m })
	s.again(func(m program.Machines) program.Machines { return fresh{m} })
}

func probeCase(name string, events ...event) testCase {
	return testCase{name, func(s *session) { s.space(Probe(), nil).each(events...) }}
}

// hostCases is what may be said to the host functions, and what may not.
func hostCases() []testCase {
	key := u64(7)
	return []testCase{
		probeCase("get", put(0, concat(key, text("seven"))),
			act(do(opGet, 0, dataAt, 8, freeAt, 100).do(opExpect, 17).do(opLoad, freeAt+8).do(opExpect, 5), key...),
			act(do(opGet, 0, dataAt, 8, freeAt, 17).do(opExpect, 17), key...),
			act(do(opGet, 0, dataAt, 8, freeAt, 16).do(opExpect, 17).do(opLoad, freeAt).do(opExpect, 0), key...), // no room: nothing is written
			act(do(opGet, 0, dataAt, 8, allOnes, 0).do(opExpect, 17), key...),
			act(do(opGet, 0, dataAt, 8, endAt-17, 17).do(opExpect, 17), key...),
			act(do(opGet, 0, dataAt, 8, endAt-16, 17), key...),
			act(do(opGet, 0, dataAt, 8, allOnes, 17), key...),
			act(do(opGet, 0, dataAt, 8, allOnes-15, 1<<31), key...),
			act(do(opGet, 0, dataAt, 8).do(opExpect, allOnes), u64(8)...),
			act(do(opGet, 0, dataAt, 7), key...),
			act(do(opGet, 0, dataAt, 9), key...),
			act(do(opGet, 0, dataAt, 0), key...),
			act(do(opGet, 0, endAt-8, 8).do(opExpect, allOnes)),
			act(do(opGet, 0, endAt-7, 8)),
			act(do(opGet, 0, endAt, 0)),
			act(do(opGet, 0, allOnes, 8)), act(do(opGet, 0, 8, allOnes)), act(do(opGet, 0, allOnes, allOnes)), act(do(opGet, 0, 1<<31, 1<<31)),
			act(do(opGet, 3, dataAt, 8)), act(do(opGet, allOnes, dataAt, 8)), act(do(opGet, 1<<31, dataAt, 8)),
		),
		probeCase("put", put(0, concat(key, text(""))), put(0, concat(key, text("another"))),
			put(0, key), put(0, concat(key, text("x"), []byte{0})), put(0, concat(key, []byte{5, 0, 0, 0, 'a'})), put(0, nil),
			put(3, key), put(allOnes, key),
			act(do(opPut, 0, endAt-12, 12)), act(do(opPut, 0, endAt-11, 12)), act(do(opPut, 0, allOnes, 12)), act(do(opPut, 0, 12, allOnes)),
			act(do(opPut, 0, allOnes-11, 12)), act(do(opPut, 0, 0, 100<<20)),
			put(1, row("a", -5, 2.5, "c", 1)), put(1, row("b", 5, -2.5, "", 0)), put(1, row("c", 5, 0, "", 0)), put(1, row("d", 0, 0, "c", 0)),
			put(1, row("a", -5, 2.5, "c", 0)), put(1, row("e", 0, 0, "", 2)), put(1, row("\xff", 0, 0, "", 0)), put(1, row("f", 0, 0, "\xc3", 0)),
			put(1, concat(text("g"), u64(0), u64(0), []byte{2, 0})),
			put(1, row("", 0, math.Inf(1), "", 0)), put(1, row("\x00", 0, math.Copysign(0, -1), "", 0)),
			put(1, row(strings.Repeat("i", 501), 0, 0, "", 0)), put(1, row(strings.Repeat("i", 502), 0, 0, "", 0)),
			put(1, row(strings.Repeat("i", 503), 0, 0, "", 0)), put(1, row(strings.Repeat("i", 511), 0, 0, "", 0)),
			act(do(opPut, 0, dataAt, 64<<10), concat(key, binary.LittleEndian.AppendUint32(nil, 64<<10-12))...), // over what memory has of zeros
			act(do(opPut, 0, dataAt, 64<<10+1), concat(key, binary.LittleEndian.AppendUint32(nil, 64<<10-11))...),
		),
		probeCase("delete", put(0, concat(key, text("x"))), put(1, row("a", 1, 1, "c", 1)),
			act(do(opDelete, 0, dataAt, 8).do(opExpect, 1).do(opDelete, 0, dataAt, 8).do(opExpect, 0), key...),
			act(do(opDelete, 1, dataAt, 5).do(opExpect, 1), text("a")...), put(1, row("b", 1, 1, "c", 1)),
			act(do(opDelete, 0, dataAt, 7), key...), act(do(opDelete, 3, dataAt, 8), key...),
			act(do(opDelete, 0, endAt-8, 8).do(opExpect, 0)), act(do(opDelete, 0, endAt-7, 8)), act(do(opDelete, 0, allOnes, allOnes)),
		),
		{"scan", scanCase},
		probeCase("fail", act(do(opFail, 0, dataAt, 3), []byte("why")...), act(do(opFail, 1, dataAt, 3), []byte("why")...),
			act(do(opFail, 65_535, dataAt, 0)), act(do(opFail, 65_536, dataAt, 0)), act(do(opFail, allOnes, dataAt, 0)),
			act(do(opFail, 5, dataAt, 1<<10)), act(do(opFail, 5, dataAt, 1<<10+1)), act(do(opFail, 5, dataAt, 100<<20)),
			act(do(opFail, 5, endAt-1, 1), 0), act(do(opFail, 5, endAt, 1)), act(do(opFail, 5, allOnes, 2)),
			act(do(opFail, 5, dataAt, 4), 'a', 0xff, 0xc3, 'b'), // not UTF-8
			ask(do(opFail, 6, dataAt, 3), []byte("no!")...), ask(do(opGet, 0, dataAt, 8).do(opExpect, allOnes), key...),
			ask(do(opLoad, dataAt), 1, 0, 0, 0), ask(do(opLoad, dataAt), 0xff, 0xff, 0, 0), ask(do(opLoad, dataAt), 0, 0, 1, 0), ask(do(opLoad, dataAt), u64(1<<64-1)...),
		),
		probeCase("blake3", act(do(opBLAKE3, dataAt, 3, freeAt+8).do(opPut, 0, freeAt, 40).do(opTrap), []byte("abc")...),
			act(do(opBLAKE3, dataAt, 3, freeAt+12).do(opStore, freeAt+8, 32).do(opPut, 0, freeAt, 44), []byte("abc")...),
			act(do(opBLAKE3, dataAt, 0, endAt-32)), act(do(opBLAKE3, dataAt, 0, endAt-31)), act(do(opBLAKE3, endAt, 0, 0)),
			act(do(opBLAKE3, endAt, 1, 0)), act(do(opBLAKE3, 0, endAt, 0)), act(do(opBLAKE3, 1, endAt, 0)), act(do(opBLAKE3, 0, 0, allOnes-31)),
		),
		probeCase("log", act(do(opLog, dataAt, 5), []byte("hello")...), act(do(opLog, dataAt, 1<<10)), act(do(opLog, dataAt, 1<<10+1)),
			act(do(opLog, 0, 100<<20)), act(do(opLog, endAt, 0)), act(do(opLog, endAt, 1)), act(do(opLog, allOnes, 2))),
		probeCase("undeclared types", event{"whatever", []byte("not even msgpack")}, event{"", nil}, act(do(opCount))),
		{"where nothing may be written", func(s *session) {
			space := s.space(Probe(), nil)
			write, drop := do(opPut, 0, dataAt, 12), do(opDelete, 0, dataAt, 8)
			zero := make([]byte, 12)
			space.each(ask(write, zero...), ask(drop, zero...))
			space.mayRead(string(write.form(zero)))
			space.mayRead(string(drop.form(zero)))
			space.mayRead(string(do(opGet, 0, dataAt, 8).do(opExpect, allOnes).form(zero)))
			space.mayRead(string(do(opTrap).form(nil)))
			space.mayRead(string(do(opLoop).form(nil)))
			space.mayRead("")
		}},
		{"init", func(s *session) {
			zero := make([]byte, 12)
			for _, params := range [][]byte{
				do(opPut, 0, dataAt, 12).form(zero), do(opTrap).form(nil), do(opLoop).form(nil), do(opFail, 9, dataAt, 2).form([]byte("no")),
				do(opPut, 0, dataAt, 12).do(opPut, 0, dataAt, 11).form(zero), make([]byte, 65_536),
			} {
				if space := s.space(Probe(), params); space != nil {
					space.each(act(do(opGet, 0, dataAt, 8).do(opExpect, 12), zero...))
				}
			}
		}},
	}
}

// scanCase reads tables in both directions, by all indexes, while they change, and with bad handles.
func scanCase(s *session) {
	space := s.space(Probe(), nil)
	for i, id := range []string{"b", "a", "", "\x00", "aa", "c"} {
		space.push("author", put(1, row(id, int64(i%3-1), float64(i), "", 0)))
	}
	next := func(n int, s script) script { // reads n rows, keeps them in another table, and expects the end
		for range n {
			s = s.do(opScanNext, 0, freeAt+12, 100).do(opStore, freeAt+8, 100).do(opPut, 0, freeAt, 112).do(opAdd, freeAt, 1)
		}
		return s.do(opScanNext, 0, freeAt, 1000).do(opExpect, allOnes).do(opScanNext, 0, freeAt, 1000).do(opExpect, allOnes)
	}
	minusOne := u64(1<<64 - 1)
	space.each(
		act(next(6, do(opScanOpen, 1, 0, 0, 0, 0))), act(next(6, do(opScanOpen, 1, 0, 0, 0, 1))),
		act(next(6, do(opScanOpen, 1, 1, 0, 0, 0))), act(next(6, do(opScanOpen, 1, 1, 0, 0, 1))), act(next(6, do(opScanOpen, 1, 2, 0, 0, 1))),
		act(next(2, do(opScanOpen, 1, 1, dataAt, 8, 0)), minusOne...), act(next(2, do(opScanOpen, 1, 1, dataAt, 8, 1)), minusOne...),
		act(next(0, do(opScanOpen, 1, 1, dataAt, 8, 1)), u64(9)...), act(next(6, do(opScanOpen, 1, 2, dataAt, 1, 0)), 0),
		act(next(1, do(opScanOpen, 1, 0, dataAt, 5, 0)), text("a")...), // a whole value, not the beginning of one
		act(do(opScanOpen, 1, 1, dataAt, 7, 0)), act(do(opScanOpen, 1, 1, dataAt, 9, 0)), act(do(opScanOpen, 1, 3, 0, 0, 0)),
		act(do(opScanOpen, 1, allOnes, 0, 0, 0)), act(do(opScanOpen, 3, 0, 0, 0, 0)), act(do(opScanOpen, 1, 0, 0, 0, 2)),
		act(do(opScanOpen, 1, 0, 0, 0, allOnes)), act(do(opScanOpen, 1, 0, endAt, 0, 0)), act(do(opScanOpen, 1, 0, endAt, 1, 0)),
		act(do(opScanOpen, 1, 0, allOnes, allOnes, 0)),
		act(do(opScanNext, 0)), act(do(opScanNext, allOnes)), act(do(opScanNext, 8)), act(do(opScanClose, 0)), act(do(opScanClose, 8)), act(do(opScanClose, allOnes)),
		act(do(opScanOpen, 1).do(opScanClose, 0).do(opScanNext, 0)), act(do(opScanOpen, 1).do(opScanClose, 0).do(opScanClose, 0)),
		act(do(opScanOpen, 1).do(opAgain, 1, 7)), act(do(opScanOpen, 1).do(opAgain, 1, 8)), // eight may be open
		act(do(opScanOpen, 1).do(opScanClose, 0).do(opAgain, 2, 20)),
		act(do(opScanOpen, 1).do(opScanNext, 0, freeAt, 5).do(opExpect, 22).do(opScanNext, 0, freeAt, 22).do(opExpect, 22)), // stays the next
		act(do(opScanOpen, 1).do(opScanNext, 0, endAt-22, 22)), act(do(opScanOpen, 1).do(opScanNext, 0, endAt-21, 22)), act(do(opScanOpen, 1).do(opScanNext, 0, allOnes, 22)),
		// while it goes on, a row behind it and one before it are written, and the one where it stands is deleted
		act(next(5, do(opScanOpen, 1).do(opScanNext, 0, freeAt, 100).do(opScanNext, 0, freeAt, 100).
			do(opPut, 1, dataAt, 23).do(opDelete, 1, dataAt+23, 5)),
			concat(row("\x01", 0, 0, "", 0), text("\x00"))...),
	)
}

// ProbeGrow returns records of which Probe grows its memory by so many pages, and refuses if it cannot.
func ProbeGrow(pages uint32) []space.Record { return alone(do(opGrow, pages).do(opExpect, 4)) }

// ProbeHostile returns transactions of which Probe does not return by itself.
func ProbeHostile() (all [][]space.Record) {
	for _, op := range []uint32{opLoop, opHeavy, opRecurse, opWide, opFill, opTrap} {
		all = append(all, alone(do(op)))
	}
	return all
}

func alone(s script) []space.Record {
	e := act(s)
	t := space.Transaction{Author: "author", API: "1.0.0", ClientVersion: "1.0.0", Events: []space.Event{{Type: e.name, Payload: e.payload}}}
	return t.Records(1, 1_700_000_000_000)
}

// ProbeGets returns records of which Probe puts a row and gets it so many times.
func ProbeGets(seq uint64, times uint32) []space.Record {
	e := act(do(opPut, 0, dataAt, 212).do(opGet, 0, dataAt, 8, freeAt, 1000).do(opAgain, 1, times-1),
		concat(u64(seq), text(strings.Repeat("x", 200)))...)
	t := space.Transaction{Author: "author", API: "1.0.0", ClientVersion: "1.0.0", Events: []space.Event{{Type: e.name, Payload: e.payload}}}
	return t.Records(seq, 1_700_000_000_000)
}
