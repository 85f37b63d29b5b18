package meter

// frame is a block, loop, if or function that is being read.
type frame struct {
	op          byte
	takes       []valueType
	gives       []valueType
	height      int // operands below it
	region      int // the index in costs of where its instructions are charged
	unreachable bool
}

// validator checks one function by the algorithm of the specification's appendix, and works out what it costs.
type validator struct {
	*reader
	module   *decoded
	function *body
	locals   []valueType // parameters first
	operands []valueType
	blocks   int
	frames   []frame
}

// validate checks a function's instructions and fills in its costs and what it uses.
func (d *decoded) validate(b *body) error {
	s := d.types[b.signature]
	v := &validator{reader: &reader{bytes: b.code, base: b.base}, module: d, function: b}
	v.locals = append(v.locals, s.params...)
	groups := reader{bytes: b.groups}
	for range b.declared {
		n, kind := groups.unsigned(), groups.valueType()
		for range n {
			v.locals = append(v.locals, kind)
		}
	}
	b.costs = []uint32{0}
	v.enter(frame{op: opBlock, gives: s.results})
	for v.err == nil && len(v.frames) > 0 {
		v.instruction()
	}
	if v.err == nil && !v.done() {
		v.fail("instructions after the end of the function")
	}
	if slots := b.slots(&s); v.err == nil && slots > MaxSlots {
		v.fail("a frame of %d slots, more than there are in all: %d", slots, MaxSlots)
	}
	return v.err
}

func (v *validator) push(kinds ...valueType) {
	v.operands = append(v.operands, kinds...)
	v.function.height = max(v.function.height, len(v.operands))
}

func (v *validator) top() *frame { return &v.frames[len(v.frames)-1] }

// pop takes an operand of the given type, or of any if it is unknown.
func (v *validator) pop(want valueType) valueType {
	f := v.top()
	if len(v.operands) == f.height {
		if !f.unreachable {
			v.fail("an operand is missing")
		}
		return want
	}
	last := len(v.operands) - 1
	got := v.operands[last]
	v.operands = v.operands[:last]
	if got != want && got != unknown && want != unknown {
		v.fail("an operand of type 0x%02x where 0x%02x is needed", byte(got), byte(want))
	}
	if got == unknown {
		return want
	}
	return got
}

func (v *validator) popAll(kinds []valueType) {
	for i := len(kinds) - 1; i >= 0; i-- {
		v.pop(kinds[i])
	}
}

func (v *validator) enter(f frame) {
	if len(v.frames) > MaxNesting {
		v.fail("blocks are nested deeper than %d", MaxNesting)
		return
	}
	f.height = len(v.operands)
	v.frames = append(v.frames, f)
	v.push(f.takes...)
}

// block counts an instruction that becomes several blocks of a compiler's.
func (v *validator) block() {
	if v.blocks++; v.blocks > MaxBlocks {
		v.fail("a function of more than %d blocks, loops, ifs, and operations that grow, copy or fill memory", MaxBlocks)
	}
}

// leave ends the innermost block and returns it.
func (v *validator) leave() frame {
	f := *v.top()
	v.popAll(f.gives)
	if len(v.operands) != f.height {
		v.fail("operands are left at the end of a block")
	}
	v.operands = v.operands[:min(f.height, len(v.operands))]
	v.frames = v.frames[:len(v.frames)-1]
	return f
}

// stop says that what follows in this block is never reached.
func (v *validator) stop() {
	f := v.top()
	v.operands = v.operands[:f.height]
	f.unreachable = true
}

// label returns what a branch to the nth block from within takes.
func (v *validator) label() []valueType {
	n := v.unsigned()
	if uint64(n) >= uint64(len(v.frames)) {
		v.fail("a branch out of %d blocks, of which there are %d", n, len(v.frames))
		return nil
	}
	f := &v.frames[len(v.frames)-1-int(n)]
	if f.op == opLoop {
		return f.takes
	}
	return f.gives
}

func (v *validator) blockType() (takes, gives []valueType) {
	n := v.signed(33)
	switch {
	case v.err != nil:
	case n >= 0 && n < int64(len(v.module.types)):
		s := v.module.types[n]
		return s.params, s.results
	case n == emptyBlock-0x80:
	default:
		kind := valueType(n & 0x7f)
		if n < -64 || n >= 0 || (kind != i32 && kind != i64 && kind != f32 && kind != f64) {
			v.fail("a block of a type that is not there")
			return nil, nil
		}
		return nil, []valueType{kind}
	}
	return nil, nil
}

func (v *validator) charge(n uint32) {
	if len(v.frames) > 0 {
		v.function.costs[v.top().region] += n
	}
}

func (v *validator) instruction() {
	op := v.byte()
	if v.err != nil {
		return
	}
	if o := &operations[op]; o.cost > 0 {
		v.charge(o.cost)
		if op >= opFirstMemory && op <= opLastMemory {
			v.memory(o.align)
		}
		v.uses(op)
		v.popAll(o.takes)
		v.push(o.gives...)
		return
	}
	switch op {
	case opEnd:
		v.end()
	case opElse:
		v.otherwise()
	case opPrefix:
		v.prefixed()
	case opBlock, opLoop, opIf, opBr, opBrIf, opBrTable, opReturn, opUnreachable, opNop:
		v.charge(weight)
		v.control(op)
	case opCall, opCallIndirect:
		v.charge(weightHeavy)
		v.call(op)
	default:
		v.charge(weight)
		v.variable(op)
	}
}

// uses notes which helpers the function needs.
func (v *validator) uses(op byte) {
	switch op {
	case opF32Store, opF32Copysign, opI32OfF32:
		v.function.nan32 = true
	case opF64Store, opF64Copysign, opI64OfF64:
		v.function.nan64 = true
	}
}

func (v *validator) memory(align uint32) {
	if !v.module.hasMemory {
		v.fail("there is no memory")
	}
	if claimed := v.unsigned(); claimed > align {
		v.fail("an alignment of 2 to the %d", claimed)
	}
	v.unsigned() // offset
}

func (v *validator) end() {
	f := v.leave()
	if v.err != nil {
		return
	}
	if f.op == opIf && !equal(f.takes, f.gives) {
		v.fail("an if without an else that changes types")
	}
	if len(v.frames) > 0 {
		v.push(f.gives...)
	}
}

func (v *validator) otherwise() {
	f := v.leave()
	if v.err == nil && f.op != opIf {
		v.fail("an else without an if")
	}
	if v.err == nil {
		f.op, f.unreachable = opElse, false
		v.enter(f)
	}
}

func (v *validator) control(op byte) {
	switch op {
	case opUnreachable:
		v.stop()
	case opBlock, opLoop, opIf:
		v.block()
		takes, gives := v.blockType()
		if op == opIf {
			v.pop(i32)
		}
		v.popAll(takes)
		f := frame{op: op, takes: takes, gives: gives, region: v.top().region}
		if op == opLoop {
			f.region = len(v.function.costs)
			v.function.costs = append(v.function.costs, 0)
		}
		v.enter(f)
	case opBr:
		v.popAll(v.label())
		v.stop()
	case opBrIf:
		v.pop(i32)
		takes := v.label()
		v.popAll(takes)
		v.push(takes...)
	case opBrTable:
		v.branches()
	case opReturn:
		v.popAll(v.frames[0].gives)
		v.stop()
	}
}

func (v *validator) branches() {
	v.pop(i32)
	var first []valueType
	for i := range v.count(MaxBranches, "targets of a branch") + 1 {
		takes := v.label()
		if i == 0 {
			first = takes
		}
		if v.err == nil && !equal(takes, first) {
			v.fail("targets of one branch that take different things")
		}
	}
	if v.err == nil {
		v.popAll(first)
		v.stop()
	}
}

func (v *validator) call(op byte) {
	var s signature
	index := v.unsigned()
	if op == opCall {
		if v.err == nil && uint64(index) >= uint64(len(v.module.functions)) {
			v.fail("there is no function %d", index)
		}
		if v.err == nil {
			s = v.module.types[v.module.functions[index]]
		}
	} else {
		if v.byte() != 0 || !v.module.hasTable {
			v.fail("there is no such table")
		}
		if v.err == nil && uint64(index) >= uint64(len(v.module.types)) {
			v.fail("there is no type %d", index)
		}
		if v.err == nil {
			s = v.module.types[index]
		}
		v.pop(i32)
	}
	v.popAll(s.params)
	v.push(s.results...)
}

// variable reads instructions on locals, globals and constants, and the few others that fit nowhere else.
func (v *validator) variable(op byte) {
	switch op {
	case opDrop:
		v.pop(unknown)
	case opSelect:
		v.pop(i32)
		a := v.pop(unknown)
		v.push(v.pop(a))
	case opLocalGet, opLocalSet, opLocalTee:
		v.local(op)
	case opGlobalGet, opGlobalSet:
		index := v.unsigned()
		if v.err == nil && uint64(index) >= uint64(len(v.module.globals)) {
			v.fail("there is no global %d", index)
		}
		if v.err != nil {
			return
		}
		g := &v.module.globals[index]
		if op == opGlobalGet {
			v.push(g.kind)
			return
		}
		if !g.mutable {
			v.fail("the global %d is a constant", index)
		}
		v.pop(g.kind)
	case opMemorySize, opMemoryGrow:
		if v.byte() != 0 || !v.module.hasMemory {
			v.fail("there is no such memory")
		}
		if op == opMemoryGrow {
			v.block()
			v.function.sizes = true
			v.pop(i32)
		}
		v.push(i32)
	case opI32Const:
		v.signed(32)
		v.push(i32)
	case opI64Const:
		v.signed(64)
		v.push(i64)
	case opF32Const:
		v.take(4)
		v.push(f32)
	case opF64Const:
		v.take(8)
		v.push(f64)
	default:
		v.at--
		v.fail("the instruction 0x%02x is not allowed", op)
	}
}

func (v *validator) local(op byte) {
	index := v.unsigned()
	if v.err == nil && uint64(index) >= uint64(len(v.locals)) {
		v.fail("there is no local %d", index)
	}
	if v.err != nil {
		return
	}
	kind := v.locals[index]
	if op != opLocalGet {
		v.pop(kind)
	}
	if op != opLocalSet {
		v.push(kind)
	}
}

func (v *validator) prefixed() {
	op := v.unsigned()
	switch {
	case v.err != nil:
	case op < uint32(len(truncations)):
		v.charge(weight)
		v.popAll(truncations[op].takes)
		v.push(truncations[op].gives...)
	case op == prefixCopy, op == prefixFill:
		v.block()
		v.charge(weightHeavy)
		if v.byte() != 0 || op == prefixCopy && v.byte() != 0 || !v.module.hasMemory {
			v.fail("there is no such memory")
		}
		v.function.sizes = true
		v.popAll([]valueType{i32, i32, i32})
	default:
		v.fail("the instruction 0xfc %d is not allowed", op)
	}
}

func equal(a, b []valueType) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
