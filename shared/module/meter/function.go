package meter

// bodyWriter writes one function with what counts.
type bodyWriter struct {
	*reader
	w       *writer
	out     []byte
	copied  int // how much of the instructions is in out
	costs   []uint32
	nesting uint32
	last    byte // the instruction before the one that is read
	// Locals that the function did not have: a number of pages or bytes, and a float that may be a NaN.
	size, float32, float64 uint32
}

// function returns a function's locals and instructions.
//
// The instructions become those of a block, so that every way out but a trap passes the end of it, where the frame is
// given back. A branch to the function's own label goes there by itself; a return becomes such a branch.
func (w *writer) function(b *body) []byte {
	s := w.d.types[b.signature]
	f := &bodyWriter{
		reader: &reader{bytes: b.code, base: b.base}, w: w, costs: b.costs[1:],
		size: noLocal, float32: noLocal, float64: noLocal,
	}
	groups, added := append([]byte{}, b.groups...), b.declared
	next := uint32(len(s.params) + b.locals)
	for _, local := range []struct {
		needed bool
		index  *uint32
		kind   valueType
	}{{b.sizes, &f.size, i32}, {b.nan32, &f.float32, f32}, {b.nan64, &f.float64, f64}} {
		if local.needed {
			*local.index = next
			groups = append(groups, 1, byte(local.kind))
			next++
			added++
		}
	}
	f.out = append(appendUnsigned(nil, uint32(added)), groups...)

	slots := uint32(b.slots(&s))
	f.take(b.costs[0])
	f.add(w.frames, 1)
	f.add(w.slots, int32(slots))
	f.get(w.fuel).constant(0).ops(opI32LtS)
	f.get(w.frames).constant(MaxFrames).ops(opI32GtU, opI32Or)
	f.get(w.slots).constant(MaxSlots).ops(opI32GtU, opI32Or)
	f.ops(opIf, emptyBlock, opUnreachable, opEnd)
	f.ops(opBlock).ops(w.blockType(b.signature)...)
	for !f.done() {
		f.instruction()
	}
	f.flush()
	f.add(w.frames, -1)
	f.add(w.slots, -int32(slots))
	return append(f.out, opEnd)
}

// flush copies what was read and not replaced.
func (f *bodyWriter) flush() {
	f.out = append(f.out, f.bytes[f.copied:f.at]...)
	f.copied = f.at
}

// replace leaves out what was read from start on.
func (f *bodyWriter) replace(start int) {
	f.out = append(f.out, f.bytes[f.copied:start]...)
	f.copied = f.at
}

func (f *bodyWriter) ops(ops ...byte) *bodyWriter {
	f.out = append(f.out, ops...)
	return f
}

func (f *bodyWriter) get(global uint32) *bodyWriter {
	f.out = appendUnsigned(append(f.out, opGlobalGet), global)
	return f
}

func (f *bodyWriter) set(global uint32) *bodyWriter {
	f.out = appendUnsigned(append(f.out, opGlobalSet), global)
	return f
}

func (f *bodyWriter) constant(n int32) *bodyWriter {
	f.out = appendSigned(append(f.out, opI32Const), int64(n))
	return f
}

func (f *bodyWriter) local(op byte, index uint32) *bodyWriter {
	f.out = appendUnsigned(append(f.out, op), index)
	return f
}

func (f *bodyWriter) add(global uint32, n int32) {
	f.get(global).constant(n).ops(opI32Add).set(global)
}

// take takes fuel, without looking whether there was enough.
func (f *bodyWriter) take(cost uint32) {
	if cost > 0 {
		f.get(f.w.fuel).constant(int32(cost)).ops(opI32Sub).set(f.w.fuel)
	}
}

// check traps if there was not enough.
func (f *bodyWriter) check() {
	f.get(f.w.fuel).constant(0).ops(opI32LtS, opIf, emptyBlock, opUnreachable, opEnd)
}

// instruction passes over one instruction and adds what it needs. What it reads was validated.
func (f *bodyWriter) instruction() {
	start := f.at
	op := f.byte()
	last := f.last
	f.last = op
	if (op == opIf || op == opBrIf) && !plain(last) {
		f.out = append(f.out, f.bytes[f.copied:start]...)
		f.copied = start
		f.constant(0).ops(opI32Ne)
	}
	switch {
	case op >= opFirstMemory && op <= opLastMemory:
		f.unsigned()
		f.unsigned()
	case operations[op].cost > 0:
	default:
		f.immediate(op, start)
		return
	}
	switch op {
	case opF32Store, opF32Copysign, opI32OfF32:
		f.canonical(start, f.float32, nan32, opF32Ne)
	case opF64Store, opF64Copysign, opI64OfF64:
		f.canonical(start, f.float64, nan64, opF64Ne)
	}
}

// plain reports whether what an instruction leaves may be branched on as it is.
//
// The compiler of wazero 1.12 on amd64 turns a comparison of 0 with the result of an and, if a branch depends on it, into
// a test that has the two the wrong way round: a module would do one thing on a server and another one in a page. What
// is compared with 0 before the branch is not taken for a part of it. That is only left out where the value is one of no
// comparison by order.
func plain(op byte) bool {
	switch op {
	case opI32Eqz, opI32Eq, opI32Ne, opI64Eqz, opI64Eq, opI64Ne:
		return true
	}
	return op >= opFirstMemory && op <= opLastMemory || op >= opF32Eq && op <= opF64Ge || op > opF64Ge && op <= opLastPlain
}

// canonical makes the operand on top have the one pattern of NaNs, if it is one, before the instruction at start.
func (f *bodyWriter) canonical(start int, local uint32, nan []byte, notEqual byte) {
	f.out = append(f.out, f.bytes[f.copied:start]...)
	f.copied = start
	f.local(opLocalSet, local).ops(nan...)
	f.local(opLocalGet, local).local(opLocalGet, local).local(opLocalGet, local)
	f.ops(notEqual, opSelect)
}

// immediate passes over the instructions that are not plain operations.
func (f *bodyWriter) immediate(op byte, start int) {
	switch op {
	case opBlock, opIf:
		f.signed(33)
		f.nesting++
	case opLoop:
		f.signed(33)
		f.nesting++
		f.flush()
		if f.take(f.costs[0]); f.costs[0] > 0 {
			f.check()
		}
		f.costs = f.costs[1:]
	case opEnd:
		f.nesting--
	case opBr, opBrIf, opCall, opLocalGet, opLocalSet, opLocalTee, opGlobalGet, opGlobalSet:
		f.unsigned()
	case opBrTable:
		for range f.unsigned() + 1 {
			f.unsigned()
		}
	case opReturn:
		f.replace(start)
		f.out = appendUnsigned(append(f.out, opBr), f.nesting)
	case opCallIndirect:
		f.unsigned()
		f.byte()
	case opMemorySize:
		f.byte()
	case opMemoryGrow:
		f.byte()
		f.replace(start)
		f.grow()
	case opI32Const:
		f.signed(32)
	case opI64Const:
		f.signed(64)
	case opF32Const:
		f.reader.take(4)
	case opF64Const:
		f.reader.take(8)
	case opPrefix:
		f.prefixed(start)
	}
}

func (f *bodyWriter) prefixed(start int) {
	op := f.unsigned()
	if op != prefixCopy && op != prefixFill {
		return
	}
	end := f.at + 1
	if op == prefixCopy {
		end++
	}
	f.out = append(f.out, f.bytes[f.copied:start]...)
	f.copied, f.at = start, end
	f.local(opLocalSet, f.size)
	f.get(f.w.fuel).local(opLocalGet, f.size).constant(bytesPerShift).ops(opI32ShrU, opI32Sub).set(f.w.fuel)
	f.check()
	f.local(opLocalGet, f.size)
}

// grow grows memory by the operand: -1 past the declared maximum; else it is paid for, and if the machine cannot, it is
// not the module's doing.
func (f *bodyWriter) grow() {
	f.local(opLocalTee, f.size)
	f.constant(int32(f.w.d.memory[1])).ops(opMemorySize, 0, opI32Sub, opI32GtU)
	f.ops(opIf, byte(i32))
	f.constant(-1)
	f.ops(opElse)
	f.get(f.w.fuel).local(opLocalGet, f.size).constant(weightPage).ops(opI32Mul, opI32Sub).set(f.w.fuel)
	f.check()
	f.local(opLocalGet, f.size).ops(opMemoryGrow, 0).local(opLocalTee, f.size)
	f.constant(-1).ops(opI32Eq, opIf, emptyBlock)
	f.constant(1).set(f.w.oom)
	f.ops(opUnreachable, opEnd)
	f.local(opLocalGet, f.size)
	f.ops(opEnd)
}
