package idbstore

import (
	"skerry/shared/replica"
	"skerry/shared/wire"
	"skerry/wasmclient/internal/jsbind"
)

// writeDrop deletes the segments up to what is dropped, and of one that goes on behind it the records up to there. Those are not looked at: what is left
// is held to the chain in front of it before it is read.
func (p *part) writeDrop(t *transaction) error {
	var rest []byte // of the segment that goes on
	at, behind := p.torn.result(), float64(p.Drop.Seq)+1
	if !at.IsNull() && extent(at.Get("key")).last > p.Drop.Seq {
		_, encoded, err := decodeSegment(jsbind.ToBytes(at.Get("value")))
		for seq := uint64(0); err == nil && seq < p.Drop.Seq; {
			var n int
			seq, _, n, err = wire.SkipRecord(encoded)
			encoded = encoded[n:]
		}
		if rest = encoded; err != nil || len(rest) == 0 {
			return errCorrupt
		}
	}
	t.deleteSegments([]any{p.key}, []any{p.key, behind})
	if rest != nil {
		t.putSegment(p.key, behind, at.Get("key").Index(2), appendSegment(nil, p.Drop.Chain, rest), false)
	}
	p.tail = nil // what is left stays as it is
	return nil
}

// readDropped puts up to where records were dropped into what is known of a space, and of its holes. What cannot be read says nothing.
func readDropped(info *replica.SpaceInfo, dropped reply) {
	n, _ := decodeNumber(dropped.bytes())
	info.SetDropped(n)
}
