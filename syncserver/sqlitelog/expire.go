package sqlitelog

import (
	"context"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/syncserver"
)

// How much is freed in one turn of the writer, so that others do not wait long for theirs: rows, and bytes of payloads, of which one row
// may have more.
const (
	expireRows  = 500
	expireBytes = 1 << 20
)

// Expire implements [syncserver.Log]. That records have expired is durable, and seen by every reader, before the first payload is freed.
// Then some are freed at a time: payloads never change, so they are read and hashed beside the writer.
func (l *Log) Expire(ctx context.Context, id space.ID, upto uint64) error {
	var no int64
	var freed uint64
	var refused error
	err := l.readSpace(ctx, id, func(_ *reader, n int64) error {
		no = n
		return nil
	})
	if err == nil {
		err = l.write(ctx, 64, func(w *writer) error {
			refused, freed = nil, 0
			t, err := w.tip(id)
			switch {
			case err != nil:
				return err
			case t == nil:
				refused = syncserver.ErrDeleted // since
				return nil
			case upto > t.head.Seq:
				refused = fmt.Errorf("the log ends at %d", t.head.Seq)
				return nil
			}
			had, done, err := w.expired(no)
			if freed = done; err != nil || upto <= had {
				upto = had
				return err
			}
			return w.conn.exec(`INSERT INTO expired(space, upto, freed, bytes) VALUES (?, ?, 0, 0)
				ON CONFLICT DO UPDATE SET upto = excluded.upto`, no, int64(upto))
		})
	}
	for err == nil && refused == nil && freed < upto {
		freed, refused, err = l.freePayloads(ctx, id, no, freed, upto)
	}
	if err == nil {
		err = refused
	}
	if err != nil {
		return fmt.Errorf("expire %s up to %d: %w", id, upto, err)
	}
	return nil
}

// expired returns up to where records of a space have expired, and up to where their payloads are freed.
func (w *writer) expired(no int64) (upto, freed uint64, err error) {
	_, err = w.conn.row("SELECT upto, freed FROM expired WHERE space = ?", func(s *sqlite3.Stmt) {
		upto, freed = uint64(s.ColumnInt64(0)), uint64(s.ColumnInt64(1))
	}, no)
	return upto, freed, err
}

// freePayloads puts digests in the place of some payloads behind a record, and returns up to which record there are none now.
func (l *Log) freePayloads(ctx context.Context, id space.ID, no int64, after, upto uint64) (freed uint64, refused, err error) {
	var rows []digest.Digest
	kept := 0                // bytes of the tombstones
	gone := map[string]int{} // bytes by author
	err = l.readSpace(ctx, id, func(r *reader, no int64) error {
		bytes := 0
		var inner error
		err := r.conn.rows(selectEvents, func(s *sqlite3.Stmt) bool {
			var record space.Record
			if record, inner = r.scan(s, true); inner != nil {
				return false
			}
			rows = append(rows, digest.Of(record.Payload))
			gone[record.Author] += len(record.Payload)
			kept += record.Size() - len(record.Payload)
			bytes += len(record.Payload)
			return bytes < expireBytes
		}, no<<32|int64(after), no<<32|int64(upto), int64(expireRows), no)
		if inner != nil {
			return inner
		}
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	if len(rows) == 0 {
		return 0, nil, fmt.Errorf("the log has no record %d", after+1)
	}
	err = l.write(ctx, len(rows)*256, func(w *writer) error {
		refused, freed = nil, after+uint64(len(rows))
		t, err := w.tip(id)
		if t == nil || err != nil {
			refused = syncserver.ErrDeleted
			return err
		}
		if _, now, err := w.expired(no); err != nil || now != after {
			freed = now // another call of Expire was here
			return err
		}
		for i := range rows {
			if err := w.conn.exec("UPDATE events SET payload = ? WHERE id = ?", rows[i][:], no<<32|int64(after+1+uint64(i))); err != nil {
				return err
			}
		}
		for author, bytes := range gone {
			if err := w.conn.exec("UPDATE usage SET bytes = bytes - ? WHERE author = ? AND space = ?", int64(bytes), author, no); err != nil {
				return err
			}
		}
		return w.conn.exec("UPDATE expired SET freed = ?, bytes = bytes + ? WHERE space = ?", int64(freed), int64(kept), no)
	})
	return freed, refused, err
}

// Expired implements [syncserver.Log].
func (l *Log) Expired(ctx context.Context, id space.ID) (upto uint64, err error) {
	err = l.readSpace(ctx, id, func(r *reader, no int64) error {
		_, err := r.conn.row("SELECT upto FROM expired WHERE space = ?", func(s *sqlite3.Stmt) { upto = uint64(s.ColumnInt64(0)) }, no)
		return err
	})
	return upto, err
}

// Retained implements [syncserver.Log].
func (l *Log) Retained(ctx context.Context, id space.ID) (bytes uint64, err error) {
	err = l.readSpace(ctx, id, func(r *reader, no int64) error {
		_, err := r.conn.row("SELECT (SELECT coalesce(sum(bytes), 0) FROM usage WHERE space = ?1) - (SELECT coalesce(sum(bytes), 0) FROM expired WHERE space = ?1)",
			func(s *sqlite3.Stmt) { bytes = uint64(max(s.ColumnInt64(0), 0)) }, no)
		return err
	})
	return bytes, err
}
