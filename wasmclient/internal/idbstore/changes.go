package idbstore

import (
	"encoding/binary"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
)

// rememberedChanges is how many spaces a change log names: few enough to be written with every commit.
const rememberedChanges = 32

// changeLog is a value in meta by which a tab finds out what others changed without looking at every space. It numbers
// the commits that touch spaces and names the spaces touched last, each once.
type changeLog struct {
	number    uint64 // of the last change
	forgotten uint64 // up to this number changes are not in recent
	recent    []recentChange
}

type recentChange struct {
	space   space.ID
	version uint64
	number  uint64
}

// begin begins the next change.
func (l *changeLog) begin() { l.number++ }

// note notes that the change touched a space.
func (l *changeLog) note(id space.ID, version uint64) {
	l.recent = slices.DeleteFunc(l.recent, func(c recentChange) bool { return c.space == id })
	l.recent = append(l.recent, recentChange{id, version, l.number})
	for len(l.recent) > rememberedChanges {
		l.forgotten = l.recent[0].number
		l.recent = l.recent[1:]
	}
}

// since returns the spaces changed after the change with a number, or false where they are not known.
func (l *changeLog) since(after uint64) ([]replica.Changed, bool) {
	if after == 0 || after < l.forgotten || after > l.number {
		return nil, false
	}
	var spaces []replica.Changed
	for i := range l.recent {
		if c := &l.recent[i]; c.number > after {
			spaces = append(spaces, replica.Changed{Space: c.space, Version: c.version})
		}
	}
	return spaces, true
}

func appendChangeLog(b []byte, l *changeLog) []byte {
	b = append(b, format)
	b = binary.AppendUvarint(b, l.number)
	b = binary.AppendUvarint(b, l.forgotten)
	b = binary.AppendUvarint(b, uint64(len(l.recent)))
	for i := range l.recent {
		c := &l.recent[i]
		b = append(b, c.space[:]...)
		b = binary.AppendUvarint(b, c.version)
		b = binary.AppendUvarint(b, c.number)
	}
	return b
}

// decodeChangeLog reads what appendChangeLog wrote; one that is not there is empty.
func decodeChangeLog(b []byte) (l changeLog, err error) {
	if b == nil {
		return l, nil
	}
	r := decoder{rest: b}
	r.format()
	l.number, l.forgotten = r.uint(), r.uint()
	n := r.uint()
	if n > uint64(len(r.rest)) {
		r.fail()
		n = 0
	}
	for range n {
		var c recentChange
		copy(c.space[:], r.bytes(digest.Size))
		c.version, c.number = r.uint(), r.uint()
		l.recent = append(l.recent, c)
	}
	return l, r.end()
}
