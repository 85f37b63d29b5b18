package meter

// The tests build their modules by hand: a section is a list of bytes, and what is not given is not there.

type sections map[byte][]byte

// list is a number of elements and the elements.
func list(elements ...[]byte) []byte { return appendList(nil, elements) }

func (s sections) bytes() []byte {
	b := append([]byte{}, header...)
	for _, id := range []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11, 0} {
		if content, ok := s[id]; ok {
			b = appendSection(b, id, content)
		}
	}
	return b
}

func functionType(params, results string) []byte {
	letters := map[byte]valueType{'i': i32, 'I': i64, 'f': f32, 'F': f64}
	b := appendUnsigned([]byte{0x60}, uint32(len(params)))
	for i := range len(params) {
		b = append(b, byte(letters[params[i]]))
	}
	b = appendUnsigned(b, uint32(len(results)))
	for i := range len(results) {
		b = append(b, byte(letters[results[i]]))
	}
	return b
}

func code(locals []byte, ops ...byte) []byte {
	b := append(append([]byte{}, locals...), ops...)
	return append(appendUnsigned(nil, uint32(len(b))), b...)
}

// one is a module of one function "f", a memory of 1 to 3 pages, a table that has f in it, and a mutable global.
func one(params, results string, locals []byte, ops ...byte) sections {
	if locals == nil {
		locals = []byte{0}
	}
	return sections{
		sectionType:     list(functionType(params, results)),
		sectionFunction: list([]byte{0}),
		sectionTable:    {1, funcref, 0, 1},
		sectionMemory:   {1, 1, 1, 3},
		sectionGlobal:   list([]byte{byte(i32), 1, opI32Const, 7, opEnd}),
		sectionExport:   list(append(appendName(nil, "f"), kindFunction, 0), append(appendName(nil, "memory"), kindMemory, 0)),
		sectionElement:  list([]byte{0, opI32Const, 0, opEnd, 1, 0}),
		sectionCode:     list(code(locals, ops...)),
	}
}

func ops(parts ...any) []byte {
	var b []byte
	for _, part := range parts {
		switch part := part.(type) {
		case int:
			b = append(b, byte(part))
		case []byte:
			b = append(b, part...)
		}
	}
	return b
}

func i32Const(n int32) []byte { return appendSigned([]byte{opI32Const}, int64(n)) }
