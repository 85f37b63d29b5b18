package idbstore

import (
	"skerry/shared/wire"
	"skerry/wasmclient/internal/jsbind"
)

// writeCut deletes the checkpoint of what is behind the cut and the segments there, and of one that it goes through the records behind it. Those are not
// looked at: they may be what is damaged.
func (p *part) writeCut(t *transaction) error {
	last := p.CutTo().Seq
	end := []any{p.key, float64(last) + 1}
	t.delete(storeCheckpoints, between(end, []any{p.key, []any{}}, false, true))
	at := p.torn.result()
	if at.IsNull() || extent(at.Get("key")).last <= last {
		t.deleteSegments(end, []any{p.key, []any{}})
		return nil
	}
	value := jsbind.ToBytes(at.Get("value"))
	_, encoded, err := decodeSegment(value)
	if err != nil {
		return err
	}
	size := len(value) - len(encoded)
	for seq := uint64(0); seq < last; {
		next, _, n, err := wire.SkipRecord(value[size:])
		if err != nil || next > last {
			return errCorrupt
		}
		seq, size = next, size+n
	}
	first := at.Get("key").Index(1)
	t.deleteSegments([]any{p.key, first}, []any{p.key, []any{}})
	t.putSegment(p.key, first, float64(last), value[:size], false)
	return nil
}
