package replica

import (
	"bytes"
	"cmp"
	"slices"
	"sort"

	"skerry/shared/space"
)

// Load reads what a tab needs to start.
func (m *Model) Load() *Loaded {
	loaded := &Loaded{Meta: m.meta, Changes: m.changes, Spaces: make([]Summary, 0, len(m.spaces))}
	loaded.Meta.Since = bytes.Clone(m.meta.Since)
	for id, s := range m.spaces {
		if s.forgotten {
			continue
		}
		loaded.Spaces = append(loaded.Spaces, Summary{Space: id, Info: s.info, Version: s.version, Outbox: len(s.outbox), Rejected: len(s.rejected), Lost: len(s.lost)})
	}
	sort.Slice(loaded.Spaces, func(i, j int) bool { return bytes.Compare(loaded.Spaces[i].Space[:], loaded.Spaces[j].Space[:]) < 0 })
	return loaded
}

// Changes reads which spaces were changed after the change with a number.
func (m *Model) Changes(after uint64) *Changes {
	changes := &Changes{Epoch: m.meta.Epoch, Login: m.meta.Login, Number: m.changes}
	for id, s := range m.spaces {
		if s.changed > after {
			changes.Spaces = append(changes.Spaces, Changed{id, s.version})
		}
	}
	sort.Slice(changes.Spaces, func(i, j int) bool { return bytes.Compare(changes.Spaces[i].Space[:], changes.Spaces[j].Space[:]) < 0 })
	return changes
}

// RaiseEpoch adds one to the epoch, which fences the commits of whoever led before, and loads.
func (m *Model) RaiseEpoch() *Loaded {
	m.meta.Epoch++
	return m.Load()
}

// Refresh reads one space. Its rejected rows are complete.
func (m *Model) Refresh(id space.ID) *Snapshot {
	snapshot := &Snapshot{Space: id, Epoch: m.meta.Epoch, Info: SpaceInfo{Position: space.Start(id)}}
	s := m.spaces[id]
	if s == nil {
		return snapshot
	}
	snapshot.Known = !s.forgotten
	snapshot.Info = s.info
	snapshot.Version = s.version
	for _, row := range s.outbox {
		snapshot.Outbox = append(snapshot.Outbox, row.Entry)
	}
	snapshot.Rejected, snapshot.Lost = m.Rejected(id), len(s.lost)
	return snapshot
}

// Outbox reads rows of a space with keys above after, in outbox order: as many as fit in maxBytes, at least one
// where there is any.
func (m *Model) Outbox(id space.ID, after uint64, maxBytes int) []OutboxRow {
	s := m.spaces[id]
	if s == nil {
		return nil
	}
	i, _ := slices.BinarySearchFunc(s.outbox, after+1, compareKey)
	var rows []OutboxRow
	for _, row := range s.outbox[i:] {
		maxBytes -= row.Size
		if maxBytes < 0 && len(rows) > 0 {
			break
		}
		rows = append(rows, *row)
	}
	return rows
}

func compareKey(row *OutboxRow, key uint64) int { return cmp.Compare(row.Key, key) }

// Rejected reads the rejected transactions of a space, by id.
func (m *Model) Rejected(id space.ID) []RejectedRow {
	s := m.spaces[id]
	if s == nil {
		return nil
	}
	rows := make([]RejectedRow, 0, len(s.rejected))
	for _, row := range s.rejected {
		rows = append(rows, *row)
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].ID.Compare(rows[j].ID) < 0 })
	return rows
}

// Lost reads the lost transactions of a space, by id.
func (m *Model) Lost(id space.ID) []LostRow {
	s := m.spaces[id]
	if s == nil {
		return nil
	}
	rows := make([]LostRow, 0, len(s.lost))
	for _, row := range s.lost {
		rows = append(rows, *row)
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].ID.Compare(rows[j].ID) < 0 })
	return rows
}

// Read reads records with numbers above after, ascending: up to limit of them and about maxBytes bytes, at least
// one where there is any. It stops at a hole; it may begin behind one.
func (m *Model) Read(id space.ID, after uint64, limit, maxBytes int) []space.Record {
	s := m.spaces[id]
	if s == nil {
		return nil
	}
	i, _ := slices.BinarySearchFunc(s.records, after+1, compareSeq)
	return slices.Clone(TakeFirst(s.records[i:], limit, maxBytes))
}

// ReadBefore reads up to limit records with numbers below before, ascending: the newest ones. It stops at a hole;
// it may end before one.
func (m *Model) ReadBefore(id space.ID, before uint64, limit, maxBytes int) []space.Record {
	s := m.spaces[id]
	if s == nil {
		return nil
	}
	i, _ := slices.BinarySearchFunc(s.records, before, compareSeq)
	return slices.Clone(TakeLast(s.records[:i], limit, maxBytes))
}

func compareSeq(r space.Record, seq uint64) int { return cmp.Compare(r.Seq, seq) }

// TakeFirst cuts records, which ascend, to what a store's Read returns of them, in place.
func TakeFirst(records []space.Record, limit, maxBytes int) []space.Record {
	n := 0
	for ; n < len(records); n++ {
		maxBytes -= records[n].Size()
		if n > 0 && (n >= limit || maxBytes < 0 || records[n].Seq != records[n-1].Seq+1) {
			break
		}
	}
	return records[:n]
}

// TakeLast cuts records, which ascend, to what a store's ReadBefore returns of them, in
// place.
func TakeLast(records []space.Record, limit, maxBytes int) []space.Record {
	n := 0
	for ; n < len(records); n++ {
		i := len(records) - 1 - n
		maxBytes -= records[i].Size()
		if n > 0 && (n >= limit || maxBytes < 0 || records[i].Seq+1 != records[i+1].Seq) {
			break
		}
	}
	return records[len(records)-n:]
}
