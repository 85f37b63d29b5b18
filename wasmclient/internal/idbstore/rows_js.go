package idbstore

import (
	"skerry/shared/replica"
	"skerry/shared/space"
)

// rowState is a row of the outbox while a commit changes it in memory.
type rowState struct {
	id      space.ULID
	key     uint64 // zero: not in the database
	row     replica.OutboxRow
	present bool
	changed bool // present, in the database and to be written again
}

// wanted is what must be read of an id before a commit can be applied.
type wanted uint8

const (
	wantKey      wanted = 1 << iota // whether the outbox has it, and under which key
	wantRow                         // the row itself
	wantRejected                    // the rejected row
)

// wants lists the ids that a part of a commit touches, in the order of their first mention.
func wants(sc *replica.SpaceCommit) (ids []space.ULID, what map[space.ULID]wanted) {
	what = map[space.ULID]wanted{}
	want := func(id space.ULID, w wanted) {
		if _, ok := what[id]; !ok {
			ids = append(ids, id)
		}
		what[id] |= w
	}
	for i := range sc.Append {
		want(sc.Append[i].ID, wantKey)
	}
	for i := range sc.Refuse {
		want(sc.Refuse[i].ID, wantKey|wantRejected)
	}
	for _, id := range sc.Retry {
		want(id, wantKey|wantRejected)
	}
	for _, id := range sc.Withdraw {
		want(id, wantKey|wantRow)
	}
	for _, id := range sc.DropWithdrawn {
		want(id, wantKey|wantRow)
	}
	for i := range sc.Mark {
		want(sc.Mark[i].ID, wantKey|wantRow)
	}
	for i := range sc.Reject {
		want(sc.Reject[i].ID, wantKey|wantRow)
	}
	for _, id := range sc.Settle {
		want(id, wantKey)
	}
	return ids, what
}

// rowChanges is what a part of a commit does to outbox and rejected rows.
type rowChanges struct {
	rows     map[space.ULID]*rowState            // those read, and those added
	rejected map[space.ULID]*replica.RejectedRow // those read and those added; nil where there is none
	added    []*rowState                         // in outbox order, whatever becomes of them
	keys     []*rowState                         // for CommitResult.Keys; nil: 0
	write    map[space.ULID]bool                 // rejected rows to be written (true) or deleted
}

// apply does to the rows what sc says, in the order of its fields, exactly as [replica.Model] does.
func (c *rowChanges) apply(sc *replica.SpaceCommit) {
	for i := range sc.Append {
		row := sc.Append[i]
		if c.has(row.ID) != nil || c.rejected[row.ID] != nil {
			c.keys = append(c.keys, nil)
			continue
		}
		c.add(row)
	}
	for i := range sc.Refuse {
		row := &sc.Refuse[i]
		if c.has(row.ID) == nil && c.rejected[row.ID] == nil {
			c.rejected[row.ID] = row
			c.write[row.ID] = true
		}
	}
	for _, id := range sc.Retry {
		rejected := c.rejected[id]
		if rejected == nil || c.has(id) != nil {
			c.keys = append(c.keys, nil)
			continue
		}
		c.add(replica.OutboxRow{
			Entry:       replica.Entry{ID: id, AppendedAt: rejected.AppendedAt},
			Transaction: rejected.Transaction,
		})
		c.rejected[id] = nil
		c.write[id] = false
	}
	for _, id := range sc.Withdraw {
		if s := c.has(id); s != nil && s.row.State == replica.Waiting {
			s.row.State, s.changed = replica.Withdrawn, true
		}
	}
	for _, id := range sc.DropWithdrawn {
		if s := c.has(id); s != nil && s.row.State == replica.Withdrawn {
			s.present = false
		}
	}
	for i := range sc.Mark {
		if s := c.has(sc.Mark[i].ID); s != nil {
			before := s.row.Entry
			s.row.Entry.Apply(&sc.Mark[i])
			s.changed = s.changed || s.row.Entry != before
		}
	}
	for i := range sc.Reject {
		r := &sc.Reject[i]
		s := c.has(r.ID)
		if s == nil || s.row.State == replica.Accepted && !r.Lost {
			continue
		}
		s.present = false
		c.rejected[r.ID] = &replica.RejectedRow{
			ID: r.ID, Transaction: s.row.Transaction, AppendedAt: s.row.AppendedAt, Code: r.Code, Reason: r.Reason, By: r.By,
		}
		c.write[r.ID] = true
	}
	for _, id := range sc.Discard {
		c.rejected[id] = nil
		c.write[id] = false
	}
	for _, id := range sc.Settle {
		if s := c.has(id); s != nil {
			s.present = false
		}
	}
}

// has returns the row of an id if the outbox has it now.
func (c *rowChanges) has(id space.ULID) *rowState {
	if s := c.rows[id]; s != nil && s.present {
		return s
	}
	return nil
}

func (c *rowChanges) add(row replica.OutboxRow) {
	s := &rowState{id: row.ID, row: row, present: true}
	c.rows[row.ID] = s
	c.added = append(c.added, s)
	c.keys = append(c.keys, s)
}
