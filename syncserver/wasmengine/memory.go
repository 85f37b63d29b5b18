package wasmengine

import (
	"slices"
	"sync"
)

// budget is how much memory modules may still take. It makes memories for wazero.
type budget struct {
	mu   sync.Mutex
	left int64
}

// take takes n bytes and reports whether there are so many.
func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.left {
		return false
	}
	b.left -= n
	return true
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += n
}

// linear is the memory of one instance. It implements wazero's LinearMemory. taken is what it has of the budget.
type linear struct {
	budget *budget
	bytes  []byte
	most   uint64
	taken  int64
}

// Reallocate makes the memory larger, or returns nil if the budget does not allow that.
func (m *linear) Reallocate(size uint64) []byte {
	if size > uint64(cap(m.bytes)) {
		room := min(max(size, 2*uint64(cap(m.bytes))), m.most) // doubled, or a page at a time would copy for ever
		if more := int64(room) - m.taken; more > 0 {
			if !m.budget.take(more) {
				return nil
			}
			m.taken += more
		}
		bytes := make([]byte, size, room)
		copy(bytes, m.bytes)
		m.bytes = bytes
	}
	m.bytes = m.bytes[:size]
	return m.bytes
}

// Free gives back what was taken.
func (m *linear) Free() {
	m.budget.give(m.taken)
	m.bytes, m.taken = nil, 0
}

// image is what memory is after the start. Most of it is zeros, which are made faster than copied.
type image struct {
	bytes []byte
	parts []part // the rest is zeros
}

// part is where bytes of an image lie.
type part struct{ from, to int }

// zeros is how many have to follow each other not to be copied.
const zeros = 1 << 10

func newImage(bytes []byte) *image {
	i := &image{bytes: bytes}
	for from := 0; from < len(bytes); from += zeros {
		to := min(from+zeros, len(bytes))
		last := len(i.parts) - 1
		switch {
		case !slices.ContainsFunc(bytes[from:to], func(b byte) bool { return b != 0 }):
		case last >= 0 && i.parts[last].to == from:
			i.parts[last].to = to
		default:
			i.parts = append(i.parts, part{from, to})
		}
	}
	return i
}

// restore makes memory what it was.
func (i *image) restore(memory []byte) {
	at := 0
	for _, p := range i.parts {
		clear(memory[at:p.from])
		at = p.from + copy(memory[p.from:p.to], i.bytes[p.from:p.to])
	}
	clear(memory[at:])
}
