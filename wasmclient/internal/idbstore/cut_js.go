package idbstore

import (
	"slices"
	"syscall/js"

	"skerry/shared/wire"
	"skerry/wasmclient/internal/jsbind"
)

// planCut takes segments behind the cut out of the tail, and reports whether one must be read because the cut goes
// through it.
func (p *part) planCut(t *transaction) bool {
	p.tail = slices.DeleteFunc(slices.Clone(p.tail), func(s segment) bool { return s.last > p.Position.Seq })
	at := p.cursor.result()
	if at.IsNull() || extent(at.Get("key")).last <= p.Position.Seq {
		return false
	}
	p.torn = at.Get("key")
	p.old = t.getAll(storeSegments, p.torn, 1)
	return true
}

// writeCut deletes the segments behind the cut, and of that which it goes through the records behind it. Those are not
// looked at: they may be what is damaged.
func (p *part) writeCut(t *transaction) error {
	last := p.Position.Seq
	t.delete(storeSegments, between([]any{p.key, float64(last) + 1}, []any{p.key, []any{}}, false, true))
	if p.torn.IsUndefined() {
		return nil
	}
	value := jsbind.ToBytes(p.old.result().Index(0))
	_, encoded, err := decodeSegment(value)
	if err != nil {
		return err
	}
	end := len(value) - len(encoded)
	for seq := uint64(0); seq < last; {
		n, err := 0, error(nil)
		if seq, _, n, err = wire.SkipRecord(value[end:]); err != nil || seq > last {
			return errCorrupt
		}
		end += n
	}
	t.delete(storeSegments, p.torn)
	t.put(storeSegments, js.ValueOf([]any{p.key, float64(extent(p.torn).first), float64(last)}), value[:end])
	return nil
}
