package meter

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
)

// program writes random functions that always end: loops count down a local of their own.
type program struct {
	*rand.Rand
	out    []byte
	locals []valueType
	loops  int // that this one is inside of; each counts in a local of no type, which nobody else takes
	depth  int
	calls  []signature // functions that may be called, those before this one
	kinds  []valueType // that are used
}

func (p *program) add(parts ...any) { p.out = append(p.out, ops(parts...)...) }

// local returns a random local of a type, or makes one.
func (p *program) local(kind valueType) []byte {
	var found []int
	for i, k := range p.locals {
		if k == kind {
			found = append(found, i)
		}
	}
	if len(found) == 0 {
		p.locals = append(p.locals, kind)
		found = []int{len(p.locals) - 1}
	}
	return appendUnsigned(nil, uint32(found[p.IntN(len(found))]))
}

// value leaves a value of the given type.
func (p *program) value(kind valueType) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > 6 || p.IntN(5) == 0 {
		p.leaf(kind)
		return
	}
	if p.IntN(8) == 0 {
		p.add(opBlock, int(kind))
		p.statement()
		p.value(kind)
		p.add(opEnd)
		return
	}
	var candidates []int
	for op := range operations {
		o := &operations[op]
		trapping := op >= 0x6d && op <= 0x70 || op >= 0x7f && op <= 0x82 || op >= 0xa8 && op <= 0xab || op >= 0xae && op <= 0xb1
		if len(o.gives) == 1 && o.gives[0] == kind && !trapping && (len(o.takes) == 0 || slices.Contains(p.kinds, o.takes[0])) {
			candidates = append(candidates, op)
		}
	}
	op := candidates[p.IntN(len(candidates))]
	if op >= opFirstMemory && op <= opLastMemory {
		p.add(i32Const(int32(p.IntN(65528))), op, int(operations[op].align), 0)
		return
	}
	for _, takes := range operations[op].takes {
		p.value(takes)
	}
	p.add(op)
}

func (p *program) leaf(kind valueType) {
	switch {
	case p.IntN(2) == 0:
		p.add(opLocalGet, p.local(kind))
	case kind == i32:
		p.add(i32Const(int32(p.Uint32())))
	case kind == i64:
		p.add(appendSigned([]byte{opI64Const}, int64(p.Uint64())))
	case kind == f32:
		p.add(opF32Const, p.bits(4, 0x7f, 0xff))
	default:
		p.add(opF64Const, p.bits(8, 0x7f, 0xff))
	}
}

// bits returns a random float, often one that is no number.
func (p *program) bits(n int, high ...byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(p.Uint32())
	}
	if p.IntN(2) == 0 {
		b[n-1], b[n-2] = high[p.IntN(len(high))], b[n-2]|0xf0
	}
	return b
}

var (
	whole = []valueType{i32, i64}
	all   = []valueType{i32, i64, f32, f64}
)

func (p *program) statement() {
	p.depth++
	defer func() { p.depth-- }()
	kind := p.kinds[p.IntN(len(p.kinds))]
	switch n := p.IntN(10); {
	case n < 3 || p.depth > 5:
		p.value(kind)
		p.add(opLocalSet, p.local(kind))
	case n < 5: // a store
		op := 0x36 + p.IntN(9)
		for !slices.Contains(p.kinds, operations[op].takes[1]) {
			op = 0x36 + p.IntN(9)
		}
		p.add(i32Const(int32(p.IntN(65528))))
		p.value(operations[op].takes[1])
		p.add(op, 0, 0)
	case n < 6:
		p.value(i32)
		p.add(opIf, emptyBlock)
		p.statement()
		if p.IntN(2) == 0 {
			p.add(opElse)
			p.statement()
		}
		p.add(opEnd)
	case n < 8 && p.loops < 2:
		p.loops++
		defer func() { p.loops-- }()
		p.locals = append(p.locals, unknown)
		counter := appendUnsigned(nil, uint32(len(p.locals)-1))
		p.add(i32Const(int32(p.IntN(5)+1)), opLocalSet, counter, opLoop, emptyBlock)
		p.statement()
		p.add(opLocalGet, counter, i32Const(1), opI32Sub, opLocalTee, counter, opBrIf, 0, opEnd)
	case n < 9 && len(p.calls) > 0:
		index := p.IntN(len(p.calls))
		for _, takes := range p.calls[index].params {
			p.value(takes)
		}
		p.add(opCall, appendUnsigned(nil, uint32(index)))
		for range p.calls[index].results {
			p.add(opDrop)
		}
	default:
		p.add(i32Const(int32(p.IntN(30000))), i32Const(int32(p.IntN(30000))), i32Const(int32(p.IntN(300))), opPrefix, prefixCopy, 0, 0)
	}
}

// randomModule returns a module of a few functions; the last, "f", takes nothing and gives an i64.
func randomModule(r *rand.Rand, kinds []valueType) []byte {
	var types, functions, codes [][]byte
	var calls []signature
	for i := range 4 {
		s := signature{results: []valueType{i64}}
		if i < 3 {
			s.results = nil
			for range r.IntN(3) {
				s.params = append(s.params, kinds[r.IntN(len(kinds))])
			}
			for range r.IntN(3) {
				s.results = append(s.results, kinds[r.IntN(len(kinds))])
			}
		}
		p := &program{Rand: r, locals: append([]valueType{}, s.params...), calls: calls, kinds: kinds}
		for range r.IntN(6) {
			p.statement()
		}
		for _, kind := range s.results {
			p.value(kind)
		}
		if r.IntN(2) == 0 {
			p.add(opReturn)
		}
		p.add(opEnd)
		var groups [][]byte
		for _, kind := range p.locals[len(s.params):] {
			if kind == unknown {
				kind = i32
			}
			groups = append(groups, []byte{1, byte(kind)})
		}
		raw := appendUnsigned([]byte{0x60}, uint32(len(s.params)))
		for _, kind := range s.params {
			raw = append(raw, byte(kind))
		}
		raw = appendUnsigned(raw, uint32(len(s.results)))
		for _, kind := range s.results {
			raw = append(raw, byte(kind))
		}
		types = append(types, raw)
		functions = append(functions, []byte{byte(i)})
		codes = append(codes, code(list(groups...), p.out...))
		calls = append(calls, s)
	}
	return sections{
		sectionType: list(types...), sectionFunction: list(functions...), sectionCode: list(codes...),
		sectionMemory: {1, 1, 1, 3},
		sectionExport: list(append(appendName(nil, "f"), kindFunction, 3), append(appendName(nil, "memory"), kindMemory, 0)),
	}.bytes()
}

// plenty is fuel for all but the longest programs.
const plenty = 2_000_000

// TestRandomPrograms runs random programs on both engines, metered: same fuel, same memory, same result, whether there
// was enough fuel or not.
func TestRandomPrograms(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	programs := 300
	if testing.Short() {
		programs = 30
	}
	for n := range programs {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		module := randomModule(r, all)
		metered, err := Instrument(module)
		if err != nil {
			t.Fatalf("program %d: %v: %x", n, err, module)
		}
		fuel := int32(1 << r.IntN(20))
		var first string
		for _, engine := range []string{"compiler", "interpreter"} {
			m := start(t, engines[engine], metered.Bytes)
			got := ""
			for _, fuel := range []int32{plenty, fuel} {
				result, used, err := m.call(fuel, "f")
				memory, _ := m.Memory().Read(0, m.Memory().Size())
				got += fmt.Sprintln(result, used, err != nil, m.get(ExportFuel), m.get(ExportFrames), m.get(ExportSlots), digest(memory))
			}
			m.Close(context.Background())
			if first == "" {
				first = got
			} else if got != first {
				t.Fatalf("program %d: the engines differ:\n%s\n%s\n%x", n, first, got, module)
			}
		}
	}
}

func digest(memory []byte) (sum uint64) {
	for _, b := range memory {
		sum = sum*1099511628211 + uint64(b) + 1
	}
	return sum
}

// TestMeteredComputesTheSame compares programs of whole numbers with what they are without a meter.
func TestMeteredComputesTheSame(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for n := range 150 {
		module := randomModule(rand.New(rand.NewPCG(seed, uint64(n))), whole)
		metered, err := Instrument(module)
		if err != nil {
			t.Fatalf("program %d: %v", n, err)
		}
		m := start(t, engines["compiler"], metered.Bytes)
		got, _, err := m.call(plenty, "f")
		if err != nil && m.get(ExportFuel) < 0 {
			continue
		}
		ctx := context.Background()
		runtime := wazero.NewRuntimeWithConfig(ctx, engines["interpreter"]) // the compiler has a bug that the meter mends
		plain, err := runtime.Instantiate(ctx, module)
		if err != nil {
			t.Fatal(err)
		}
		want, failed := plain.ExportedFunction("f").Call(ctx)
		if failed != nil || err != nil || got[0] != want[0] {
			t.Fatalf("program %d: %v %v, not %v %v", n, got, err, want, failed)
		}
		a, _ := plain.Memory().Read(0, plain.Memory().Size())
		b, _ := m.Memory().Read(0, m.Memory().Size())
		if digest(a) != digest(b) {
			t.Fatalf("program %d left another memory", n)
		}
		runtime.Close(ctx)
	}
}
