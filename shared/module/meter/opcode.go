package meter

// valueType is a WebAssembly value type, as it is encoded.
type valueType byte

const (
	i32     valueType = 0x7f
	i64     valueType = 0x7e
	f32     valueType = 0x7d
	f64     valueType = 0x7c
	funcref           = 0x70
	unknown valueType = 0 // what unreachable code leaves
)

const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opSelect       = 0x1b
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opFirstMemory  = 0x28
	opF32Store     = 0x38
	opF64Store     = 0x39
	opLastMemory   = 0x3e
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI32Eqz       = 0x45
	opI32Eq        = 0x46
	opI32Ne        = 0x47
	opI32LtS       = 0x48
	opI32GtU       = 0x4b
	opI64Eqz       = 0x50
	opI64Eq        = 0x51
	opI64Ne        = 0x52
	opF32Eq        = 0x5b
	opF32Ne        = 0x5c
	opF64Ne        = 0x62
	opF64Ge        = 0x66
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32Mul       = 0x6c
	opI32Or        = 0x72
	opI32ShrU      = 0x76
	opF32Copysign  = 0x98
	opF64Copysign  = 0xa6
	opI32OfF32     = 0xbc // reinterpreted
	opI64OfF64     = 0xbd
	opLastPlain    = 0xc4 // of the instructions that only compute
	opPrefix       = 0xfc
	prefixCopy     = 10
	prefixFill     = 11
)

// emptyBlock is the block type of nothing to nothing.
const emptyBlock = 0x40

// operation is what an instruction without control flow takes and leaves. The zero value is one that is not allowed.
type operation struct {
	takes []valueType
	gives []valueType
	cost  uint32
	align uint32 // the largest exponent that a memory access may claim
}

// operations has those of one byte, truncations those behind the prefix.
var operations, truncations = makeOperations()

func makeOperations() (ops [256]operation, saturating [8]operation) {
	letters := map[byte]valueType{'i': i32, 'I': i64, 'f': f32, 'F': f64}
	types := func(text string) []valueType {
		var list []valueType
		for i := range len(text) {
			list = append(list, letters[text[i]])
		}
		return list
	}
	set := func(first, last int, takes, gives string) {
		for op := first; op <= last; op++ {
			ops[op] = operation{takes: types(takes), gives: types(gives), cost: weight}
		}
	}
	set(0x45, 0x45, "i", "i")  // i32.eqz
	set(0x46, 0x4f, "ii", "i") // i32 comparisons
	set(0x50, 0x50, "I", "i")
	set(0x51, 0x5a, "II", "i")
	set(0x5b, 0x60, "ff", "i")
	set(0x61, 0x66, "FF", "i")
	set(0x67, 0x69, "i", "i") // i32 bit counts
	set(0x6a, 0x78, "ii", "i")
	set(0x79, 0x7b, "I", "I")
	set(0x7c, 0x8a, "II", "I")
	set(0x8b, 0x91, "f", "f") // f32.abs to f32.sqrt
	set(0x92, 0x98, "ff", "f")
	set(0x99, 0x9f, "F", "F")
	set(0xa0, 0xa6, "FF", "F")
	set(0xa7, 0xa7, "I", "i") // conversions
	set(0xa8, 0xa9, "f", "i")
	set(0xaa, 0xab, "F", "i")
	set(0xac, 0xad, "i", "I")
	set(0xae, 0xaf, "f", "I")
	set(0xb0, 0xb1, "F", "I")
	set(0xb2, 0xb3, "i", "f")
	set(0xb4, 0xb5, "I", "f")
	set(0xb6, 0xb6, "F", "f")
	set(0xb7, 0xb8, "i", "F")
	set(0xb9, 0xba, "I", "F")
	set(0xbb, 0xbb, "f", "F")
	set(0xbc, 0xbc, "f", "i") // reinterpretations
	set(0xbd, 0xbd, "F", "I")
	set(0xbe, 0xbe, "i", "f")
	set(0xbf, 0xbf, "I", "F")
	set(0xc0, 0xc1, "i", "i") // sign extension
	set(0xc2, 0xc4, "I", "I")
	for _, op := range []int{
		0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82, // integer division and remainder
		0x91, 0x95, 0x9f, 0xa3, // square root and division of floats
	} {
		ops[op].cost = weightHeavy
	}

	access := func(op int, takes, gives string, align uint32) {
		ops[op] = operation{types(takes), types(gives), weight, align}
	}
	for i, load := range []struct {
		gives string
		align uint32
	}{
		{"i", 2}, {"I", 3}, {"f", 2}, {"F", 3}, {"i", 0}, {"i", 0}, {"i", 1}, {"i", 1},
		{"I", 0}, {"I", 0}, {"I", 1}, {"I", 1}, {"I", 2}, {"I", 2},
	} {
		access(opFirstMemory+i, "i", load.gives, load.align)
	}
	for i, store := range []struct {
		takes string
		align uint32
	}{{"ii", 2}, {"iI", 3}, {"if", 2}, {"iF", 3}, {"ii", 0}, {"ii", 1}, {"iI", 0}, {"iI", 1}, {"iI", 2}} {
		access(0x36+i, store.takes, "", store.align)
	}
	for i, signature := range []struct{ takes, gives string }{
		{"f", "i"}, {"f", "i"}, {"F", "i"}, {"F", "i"}, {"f", "I"}, {"f", "I"}, {"F", "I"}, {"F", "I"},
	} {
		saturating[i] = operation{takes: types(signature.takes), gives: types(signature.gives), cost: weight}
	}
	return ops, saturating
}
