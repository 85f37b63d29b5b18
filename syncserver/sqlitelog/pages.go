package sqlitelog

import (
	"context"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/syncserver"
)

// Blobs implements [syncserver.Log].
func (l *Log) Blobs(ctx context.Context, after digest.Digest, limit int) (names []digest.Digest, err error) {
	err = l.read(ctx, func(r *reader) error {
		return r.conn.rows("SELECT digest FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?", func(s *sqlite3.Stmt) bool {
			names = append(names, digest.Digest(s.ColumnRawBlob(0)))
			return true
		}, after[:], int64(limit))
	})
	return names, err
}

// DeleteBlob implements [syncserver.Log].
func (l *Log) DeleteBlob(ctx context.Context, name digest.Digest) error {
	err := l.write(ctx, digest.Size, func(w *writer) error {
		return w.conn.exec("DELETE FROM blobs WHERE digest = ?", name[:])
	})
	if err != nil {
		return fmt.Errorf("delete blob %s: %w", name, err)
	}
	return nil
}

// PutPages implements [syncserver.Log].
func (l *Log) PutPages(ctx context.Context, id space.ID, pages []syncserver.Page) error {
	size := 0
	for _, p := range pages {
		size += len(p.Bytes)
	}
	return l.writePages(ctx, "put", id, size, func(w *writer, no int64) error {
		for _, p := range pages {
			err := w.conn.exec("INSERT INTO pages(space, digest, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", no, p.Name[:], p.Bytes)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// writePages calls do with the number of a space, as a request of the writer's.
func (l *Log) writePages(ctx context.Context, what string, id space.ID, size int, do func(w *writer, no int64) error) error {
	var no int64
	err := l.readSpace(ctx, id, func(_ *reader, n int64) error {
		no = n
		return nil
	})
	var refused error
	if err == nil {
		err = l.write(ctx, size, func(w *writer) error {
			t, err := w.tip(id)
			if refused = nil; t == nil && err == nil {
				refused = syncserver.ErrDeleted // since
				return nil
			}
			if err == nil {
				err = do(w, no)
			}
			return err
		})
	}
	if err == nil {
		err = refused
	}
	if err != nil {
		return fmt.Errorf("%s pages of %s: %w", what, id, err)
	}
	return nil
}

// Page implements [syncserver.Log].
func (l *Log) Page(ctx context.Context, name digest.Digest) (content []byte, err error) {
	err = l.read(ctx, func(r *reader) error {
		found, err := r.conn.row("SELECT bytes FROM pages WHERE digest = ? LIMIT 1", func(s *sqlite3.Stmt) { content = blob(s, 0) }, name[:])
		if err == nil && !found {
			err = syncserver.ErrNoBlob
		}
		return err
	})
	return content, err
}

// Pages implements [syncserver.Log].
func (l *Log) Pages(ctx context.Context, id space.ID) (names []digest.Digest, err error) {
	err = l.readSpace(ctx, id, func(r *reader, no int64) error {
		return r.conn.rows("SELECT digest FROM pages WHERE space = ?", func(s *sqlite3.Stmt) bool {
			names = append(names, digest.Digest(s.ColumnRawBlob(0)))
			return true
		}, no)
	})
	return names, err
}

// DeletePages implements [syncserver.Log].
func (l *Log) DeletePages(ctx context.Context, id space.ID, names []digest.Digest) error {
	return l.writePages(ctx, "delete", id, digest.Size*len(names), func(w *writer, no int64) error {
		for _, name := range names {
			if err := w.conn.exec("DELETE FROM pages WHERE digest = ? AND space = ?", name[:], no); err != nil {
				return err
			}
		}
		return nil
	})
}
