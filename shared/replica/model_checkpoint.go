package replica

import (
	"bytes"
	"maps"

	"skerry/shared/digest"
	"skerry/shared/space"
)

// modelCheckpoint is what is kept of a checkpoint. It is never changed but replaced, so that clones share it.
type modelCheckpoint struct {
	seq   uint64
	root  digest.Digest
	bytes map[digest.Digest][]byte // of the root and of the pages
}

// Checkpoint reads the checkpoint of a space, with the names of its pages; nil where there is none or the root is not what it was.
func (m *Model) Checkpoint(id space.ID) *Checkpoint {
	s := m.spaces[id]
	if s == nil || s.checkpoint == nil {
		return nil
	}
	kept := s.checkpoint
	c := &Checkpoint{Seq: kept.seq, Root: kept.bytes[kept.root], Pages: make(map[digest.Digest][]byte, len(kept.bytes))}
	if digest.Of(c.Root) != kept.root {
		return nil
	}
	for d := range kept.bytes {
		c.Pages[d] = nil
	}
	delete(c.Pages, kept.root)
	return c
}

// CheckpointPages reads pages of the checkpoint of a space, but for those that are not what they were.
func (m *Model) CheckpointPages(id space.ID, names []digest.Digest) map[digest.Digest][]byte {
	pages := make(map[digest.Digest][]byte, len(names))
	if s := m.spaces[id]; s != nil && s.checkpoint != nil {
		for _, d := range names {
			if b, ok := s.checkpoint.bytes[d]; ok && digest.Of(b) == d {
				pages[d] = b
			}
		}
	}
	return pages
}

// PutCheckpoint keeps a checkpoint of a space in place of the one that was kept, unless it is too large or of records
// that are not here, and not said to be ahead of them. It reports whether all pages are here that it only names.
func (m *Model) PutCheckpoint(id space.ID, c *Checkpoint) bool {
	s := m.spaces[id]
	if s == nil || c.Seq > s.info.Position.Seq && !c.Ahead || c.Size() > MaxCheckpoint {
		return true
	}
	kept := &modelCheckpoint{seq: c.Seq, root: digest.Of(c.Root), bytes: make(map[digest.Digest][]byte, len(c.Pages)+1)}
	for d, page := range c.Pages {
		if page == nil && s.checkpoint != nil {
			page = s.checkpoint.bytes[d]
		}
		if page == nil {
			return false
		}
		kept.bytes[d] = bytes.Clone(page)
	}
	kept.bytes[kept.root] = bytes.Clone(c.Root)
	s.checkpoint = kept
	return true
}

// DropCheckpoint lets go of the checkpoint of a space.
func (m *Model) DropCheckpoint(id space.ID) {
	if s := m.spaces[id]; s != nil {
		s.checkpoint = nil
	}
}

// DropCheckpoints deletes the checkpoints of all spaces, and reports whether there was one.
func (m *Model) DropCheckpoints() (dropped bool) {
	for _, s := range m.spaces {
		dropped = dropped || s.checkpoint != nil
		s.checkpoint = nil
	}
	return dropped
}

// DamagePage changes a bit of what is kept of a page or a root, as a disk does; or loses it.
func (m *Model) DamagePage(d digest.Digest, lose bool) {
	for _, s := range m.spaces {
		if s.checkpoint == nil || len(s.checkpoint.bytes[d]) == 0 {
			continue
		}
		kept := *s.checkpoint
		kept.bytes = maps.Clone(kept.bytes)
		b := bytes.Clone(kept.bytes[d])
		b[len(b)/2] ^= 1
		if lose {
			b = nil
		}
		kept.bytes[d] = b
		s.checkpoint = &kept
	}
}
