package memlog

import (
	"maps"
	"slices"
)

// Clone returns a copy of the log as it is now, which goes its own way: as a backup has it.
func (l *Log) Clone() *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := New()
	for id, s := range l.spaces {
		copied := *s
		copied.pages, copied.seqs, copied.usage = maps.Clone(s.pages), maps.Clone(s.seqs), maps.Clone(s.usage)
		copied.records, copied.ends = slices.Clone(s.records), slices.Clone(s.ends)
		c.spaces[id] = &copied
	}
	c.blobs, c.keys, c.limits = maps.Clone(l.blobs), maps.Clone(l.keys), maps.Clone(l.limits)
	for connection, rows := range l.clients {
		c.clients[connection] = maps.Clone(rows)
	}
	return c
}
