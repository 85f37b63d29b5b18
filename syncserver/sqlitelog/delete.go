package sqlitelog

import (
	"context"
	"fmt"

	"skerry/shared/space"
	"skerry/syncserver"
)

// deleteRows is how many rows of a space are deleted in one turn, so that others do not wait long for theirs.
const deleteRows = 500

// Delete implements [syncserver.Log]. The head goes first, and in a transaction before those that free the rest: without it the
// space is deleted.
func (l *Log) Delete(ctx context.Context, id space.ID, head space.Head) error {
	var no int64
	err := l.read(ctx, func(r *reader) (err error) {
		no, err = r.number(id)
		return err
	})
	if err != nil {
		return err
	}
	var refused error
	err = l.write(ctx, 0, func(w *writer) error {
		refused = nil
		t, err := w.tip(id)
		if t == nil || err != nil {
			return err // deleted before
		}
		if t.head != head {
			refused = &syncserver.HeadError{Actual: t.head}
			return nil
		}
		delete(w.heads, id)
		if err := w.conn.exec("DELETE FROM expired WHERE space = ?", no); err != nil {
			return err
		}
		return w.conn.exec("DELETE FROM heads WHERE space = ?", no)
	})
	for _, rows := range []struct {
		sql         string
		first, last int64
	}{
		{"DELETE FROM events WHERE id IN (SELECT id FROM events WHERE id BETWEEN ? AND ? LIMIT ?)", no << 32, no<<32 | space.MaxSeq},
		{"DELETE FROM usage WHERE (author, space) IN (SELECT author, space FROM usage WHERE space BETWEEN ? AND ? LIMIT ?)", no, no},
		{"DELETE FROM pages WHERE no IN (SELECT no FROM pages WHERE space BETWEEN ? AND ? LIMIT ?)", no, no},
	} {
		for n := int64(deleteRows); err == nil && refused == nil && n == deleteRows; {
			err = l.write(ctx, deleteRows*256, func(w *writer) error {
				err := w.conn.exec(rows.sql, rows.first, rows.last, int64(deleteRows))
				n = w.conn.Changes()
				return err
			})
		}
	}
	if err != nil {
		return fmt.Errorf("delete space %s: %w", id, err)
	}
	return refused
}
