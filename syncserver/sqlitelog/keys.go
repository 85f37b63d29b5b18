package sqlitelog

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/digest"
	"skerry/syncserver"
)

// PutBlob implements [syncserver.Log].
func (l *Log) PutBlob(ctx context.Context, name digest.Digest, content []byte) error {
	if has, err := l.HasBlob(ctx, name); has || err != nil {
		return err
	}
	err := l.write(ctx, len(content), func(w *writer) error {
		return w.conn.exec("INSERT INTO blobs(digest, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING", name[:], content)
	})
	if err != nil {
		return fmt.Errorf("put blob %s: %w", name, err)
	}
	return nil
}

// Blob implements [syncserver.Log].
func (l *Log) Blob(ctx context.Context, name digest.Digest) (content []byte, err error) {
	err = l.read(ctx, func(r *reader) error {
		found, err := r.conn.row("SELECT bytes FROM blobs WHERE digest = ?", func(s *sqlite3.Stmt) { content = blob(s, 0) }, name[:])
		if err == nil && !found {
			err = syncserver.ErrNoBlob
		}
		return err
	})
	return content, err
}

// HasBlob implements [syncserver.Log].
func (l *Log) HasBlob(ctx context.Context, name digest.Digest) (has bool, err error) {
	err = l.read(ctx, func(r *reader) (err error) {
		has, err = r.conn.row("SELECT 1 FROM blobs WHERE digest = ?", func(*sqlite3.Stmt) {}, name[:])
		return err
	})
	return has, err
}

// Usage implements [syncserver.Log].
func (l *Log) Usage(ctx context.Context, identity string) (u syncserver.Usage, err error) {
	err = l.read(ctx, func(r *reader) error {
		_, err := r.conn.row(`SELECT (SELECT count(*) FROM spaces JOIN heads ON space = no WHERE creator = ?1),
			(SELECT coalesce(sum(bytes), 0) FROM usage WHERE author = ?1)`, func(s *sqlite3.Stmt) {
			u = syncserver.Usage{Spaces: s.ColumnInt(0), Bytes: uint64(s.ColumnInt64(1))}
		}, identity)
		return err
	})
	return u, err
}

const selectKey = "SELECT value FROM keys WHERE key = ?"

// Key implements [syncserver.Log].
func (l *Log) Key(ctx context.Context, key string) (value []byte, err error) {
	err = l.read(ctx, func(r *reader) error {
		_, err := r.conn.row(selectKey, func(s *sqlite3.Stmt) { value = blob(s, 0) }, []byte(key))
		return err
	})
	return value, err
}

// CompareAndSet implements [syncserver.Log].
func (l *Log) CompareAndSet(ctx context.Context, key string, old, value []byte) (done bool, err error) {
	err = l.write(ctx, len(key)+len(value), func(w *writer) error {
		done = false
		var actual []byte
		found, err := w.conn.row(selectKey, func(s *sqlite3.Stmt) { actual = blob(s, 0) }, []byte(key))
		if err != nil || found != (old != nil) || !bytes.Equal(actual, old) {
			return err
		}
		if value == nil {
			err = w.conn.exec("DELETE FROM keys WHERE key = ?", []byte(key))
		} else {
			err = w.conn.exec(`INSERT INTO keys(key, value, sum) VALUES (?1, ?2, row_sum('keys', ?1, ?2))
				ON CONFLICT DO UPDATE SET value = excluded.value, sum = excluded.sum`, []byte(key), value)
		}
		done = err == nil
		return err
	})
	if err != nil {
		return false, fmt.Errorf("set key %q: %w", key, err)
	}
	return done, nil
}

// Scan implements [syncserver.Log].
func (l *Log) Scan(ctx context.Context, prefix, after string, limit int) (found []syncserver.KeyValue, err error) {
	sql := "SELECT key, value FROM keys WHERE key > ?1 AND key >= ?2 ORDER BY key LIMIT ?3"
	end := prefixEnd(prefix)
	if end != nil {
		sql = "SELECT key, value FROM keys WHERE key > ?1 AND key >= ?2 AND key < ?4 ORDER BY key LIMIT ?3"
	}
	for len(found) < limit {
		n, before := min(limit-len(found), maxRows), len(found)
		args := []any{[]byte(after), []byte(prefix), int64(n)}
		if end != nil {
			args = append(args, end)
		}
		err = l.read(ctx, func(r *reader) error {
			return r.conn.rows(sql, func(s *sqlite3.Stmt) bool {
				found = append(found, syncserver.KeyValue{Key: string(s.ColumnRawBlob(0)), Value: blob(s, 1)})
				return true
			}, args...)
		})
		if err != nil || len(found)-before < n {
			break
		}
		after = found[len(found)-1].Key
	}
	return found, err
}

// prefixEnd returns the first key after all that begin with prefix, nil if there is none.
func prefixEnd(prefix string) []byte {
	end := []byte(prefix)
	for len(end) > 0 {
		if end[len(end)-1]++; end[len(end)-1] != 0 {
			return end
		}
		end = end[:len(end)-1]
	}
	return nil
}

// sweepLimits is after how many charges the keys are deleted that say no more than an absent one.
const sweepLimits = 1 << 14

// Limit implements [syncserver.Log].
func (l *Log) Limit(ctx context.Context, now time.Time, charges []syncserver.Charge) (wait time.Duration, err error) {
	err = l.write(ctx, 64*len(charges), func(w *writer) (err error) {
		wait, err = w.limit(now.UnixNano(), charges)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("charge limits: %w", err)
	}
	return wait, nil
}

// limit looks at all keys before it charges the first, so that a denial needs no undoing.
func (w *writer) limit(now int64, charges []syncserver.Charge) (wait time.Duration, err error) {
	charged := make(map[string]int64, len(charges))
	for _, c := range charges {
		tat, ok := charged[c.Key]
		if !ok {
			_, err := w.conn.row("SELECT tat FROM limits WHERE key = ?", func(s *sqlite3.Stmt) { tat = s.ColumnInt64(0) }, []byte(c.Key))
			if err != nil {
				return 0, err
			}
		}
		next, over := c.Pass(tat, now)
		charged[c.Key] = next
		wait = max(wait, over)
	}
	if wait > 0 {
		return wait, nil
	}
	for key, tat := range charged {
		err := w.conn.exec(`INSERT INTO limits(key, tat, sum) VALUES (?1, ?2, row_sum('limits', ?1, ?2))
			ON CONFLICT DO UPDATE SET tat = excluded.tat, sum = excluded.sum`, []byte(key), tat)
		if err != nil {
			return 0, err
		}
	}
	if w.charges += len(charged); w.charges >= sweepLimits {
		w.charges = 0
		return 0, w.conn.exec("DELETE FROM limits WHERE tat <= ?", now)
	}
	return 0, nil
}
