package sqlitelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/syncserver"
)

// maxRows is how many rows are read in one read transaction: while it lasts, the write-ahead log only grows.
const maxRows = 500

// reader is a connection for reading, and what it remembers of rows that never change.
type reader struct {
	log     *Log
	conn    *conn
	origins map[int64]origin
	types   map[string]string // so that equal types share their bytes
}

// acquire takes a reader from the pool, or opens one.
func (l *Log) acquire(ctx context.Context) (*reader, error) {
	var r *reader
	select {
	case r = <-l.readers:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if r == nil {
		c, err := l.connect(sqlite3.OPEN_READONLY, l.uri("mode", "ro"), readerPragmas)
		if err != nil {
			l.readers <- nil
			return nil, err
		}
		r = &reader{log: l, conn: c, origins: map[int64]origin{}, types: map[string]string{}}
	}
	return r, nil
}

// release puts a reader back.
func (l *Log) release(r *reader) { l.readers <- r }

// read calls do with a reader. A reader whose connection failed is replaced.
func (l *Log) read(ctx context.Context, do func(*reader) error) error {
	if err := l.enter(ctx); err != nil {
		return err
	}
	defer l.calls.RUnlock()
	r, err := l.acquire(ctx)
	if err != nil {
		return err
	}
	err = do(r)
	if sqliteFailed(err) {
		l.config.Logger.Error("a read failed", "error", err)
		if closeErr := r.conn.close(); closeErr != nil {
			l.config.Logger.Error("closing a reader's connection failed", "error", closeErr)
		}
		r = nil
	}
	l.release(r)
	return err
}

// readSpace calls do with a reader and the number of a space. Whether the space was deleted is looked at behind it: what do has
// read of one may have holes.
func (l *Log) readSpace(ctx context.Context, id space.ID, do func(r *reader, no int64) error) error {
	return l.read(ctx, func(r *reader) error {
		no, err := r.number(id)
		if err != nil {
			return err
		}
		if err := do(r, no); err != nil {
			return err
		}
		found, err := r.conn.row("SELECT 1 FROM heads WHERE space = ?", func(*sqlite3.Stmt) {}, no)
		if err == nil && !found {
			err = syncserver.ErrDeleted
		}
		return err
	})
}

// number returns the number of a space.
func (r *reader) number(id space.ID) (int64, error) {
	l := r.log
	l.numbersMu.RLock()
	no, ok := l.numbers[id]
	l.numbersMu.RUnlock()
	if ok {
		return no, nil
	}
	found, err := r.conn.row("SELECT no FROM spaces WHERE id = ?", func(s *sqlite3.Stmt) { no = s.ColumnInt64(0) }, id[:])
	if err != nil {
		return 0, err
	}
	if !found {
		return 0, syncserver.ErrNoSpace
	}
	l.numbersMu.Lock()
	defer l.numbersMu.Unlock()
	if len(l.numbers) >= maxCached {
		clear(l.numbers)
	}
	l.numbers[id] = no
	return no, nil
}

// Genesis implements [syncserver.Log].
func (l *Log) Genesis(ctx context.Context, id space.ID) (genesis space.Genesis, signature []byte, err error) {
	err = l.read(ctx, func(r *reader) error {
		found, err := r.conn.row("SELECT stamp, creator, module, params, signature FROM spaces WHERE id = ?", func(s *sqlite3.Stmt) {
			copy(genesis.Stamp[:], s.ColumnRawBlob(0))
			genesis.Creator = s.ColumnText(1)
			copy(genesis.Module[:], s.ColumnRawBlob(2))
			genesis.Params = blob(s, 3)
			signature = blob(s, 4)
		}, id[:])
		if err == nil && !found {
			err = syncserver.ErrNoSpace
		}
		return err
	})
	return genesis, signature, err
}

// Spaces implements [syncserver.Log].
func (l *Log) Spaces(ctx context.Context, after space.ID, limit int) (ids []space.ID, err error) {
	for len(ids) < limit {
		n := min(limit-len(ids), maxRows)
		before := len(ids)
		err = l.read(ctx, func(r *reader) error {
			return r.conn.rows("SELECT id FROM spaces JOIN heads ON space = no WHERE id > ? ORDER BY id LIMIT ?", func(s *sqlite3.Stmt) bool {
				copy(after[:], s.ColumnRawBlob(0))
				ids = append(ids, after)
				return true
			}, after[:], int64(n))
		})
		if err != nil || len(ids)-before < n {
			break
		}
	}
	return ids, err
}

// Modules implements [syncserver.Log].
func (l *Log) Modules(ctx context.Context) (map[digest.Digest]int, error) {
	counts := map[digest.Digest]int{}
	err := l.read(ctx, func(r *reader) error {
		return r.conn.rows("SELECT module, count(*) FROM spaces JOIN heads ON space = no GROUP BY module", func(s *sqlite3.Stmt) bool {
			var name digest.Digest
			copy(name[:], s.ColumnRawBlob(0))
			counts[name] = s.ColumnInt(1)
			return true
		})
	})
	return counts, err
}

// Head implements [syncserver.Log].
func (l *Log) Head(ctx context.Context, id space.ID) (head space.Head, err error) {
	err = l.readSpace(ctx, id, func(r *reader, no int64) error {
		found, err := r.conn.row("SELECT seq, chain, received_at FROM heads WHERE space = ?",
			func(s *sqlite3.Stmt) { head = scanHead(s, 0) }, no)
		if err == nil && !found {
			err = syncserver.ErrDeleted
		}
		return err
	})
	return head, err
}

// Known implements [syncserver.Log].
func (l *Log) Known(ctx context.Context, id space.ID, ids []space.ULID) ([]syncserver.Known, error) {
	known := make([]syncserver.Known, len(ids))
	err := l.readSpace(ctx, id, func(r *reader, no int64) error {
		for from := 0; from < len(ids); from += maxRows {
			to := min(from+maxRows, len(ids))
			if err := r.known(no, ids[from:to], known[from:to]); err != nil {
				return err
			}
		}
		return nil
	})
	return known, err
}

// known looks ids up in one read transaction.
func (r *reader) known(no int64, ids []space.ULID, known []syncserver.Known) (err error) {
	if err := r.conn.exec("BEGIN"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.conn.exec("COMMIT")) }()
	for i := range ids {
		var from int64
		found, err := r.conn.row("SELECT id, idx, cnt, origin FROM events WHERE space = ? AND ulid = ?", func(s *sqlite3.Stmt) {
			known[i].Seq = uint64(s.ColumnInt64(0)) & space.MaxSeq
			known[i].Index, known[i].Count = uint32(s.ColumnInt64(1)), uint32(s.ColumnInt64(2))
			from = s.ColumnInt64(3)
		}, no, ids[i][:])
		if err != nil {
			return err
		}
		if found {
			o, err := r.origin(from)
			if err != nil {
				return err
			}
			known[i].Author = o.author
		}
	}
	return nil
}

// Read implements [syncserver.Log].
func (l *Log) Read(ctx context.Context, id space.ID, after uint64, maxRecords, maxBytes int) ([]space.Record, error) {
	p := page{after: min(after, space.MaxSeq), maxRecords: maxRecords, maxBytes: maxBytes}
	err := l.readSpace(ctx, id, func(r *reader, no int64) error {
		for more := true; more; {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			if more, err = r.fill(&p, no); err != nil {
				return fmt.Errorf("read %s after %d: %w", id, p.after, err)
			}
		}
		return nil
	})
	if err != nil || p.whole == 0 {
		return nil, err
	}
	return expiredAsOne(p.records[:p.whole:p.whole]), nil
}

// expiredAsOne sees to it that what has expired of records is a beginning of them: while they were read, more may have.
func expiredAsOne(records []space.Record) []space.Record {
	last := len(records) - 1
	for last >= 0 && !records[last].Expired {
		last--
	}
	for i := range records[:last+1] {
		records[i] = records[i].Tombstone()
	}
	return records
}

// page is a Read under way.
type page struct {
	after                uint64
	maxRecords, maxBytes int
	records              []space.Record
	bytes                int
	whole                int // how many of records are whole transactions within the limits
}

// add adds a record and reports whether the page may take more.
func (p *page) add(r space.Record) bool {
	p.bytes += r.Size()
	if p.whole > 0 && (len(p.records) >= p.maxRecords || p.bytes > p.maxBytes) {
		return false
	}
	p.records = append(p.records, r)
	p.after = r.Seq
	if r.Last() {
		p.whole = len(p.records)
		return p.whole < p.maxRecords && p.bytes < p.maxBytes
	}
	return true
}

// fill adds to p what one read transaction may read, and reports whether there may be more for it.
func (r *reader) fill(p *page, no int64) (more bool, err error) {
	rows := 0
	var inner error
	err = r.conn.rows(selectEvents, func(s *sqlite3.Stmt) bool {
		rows++
		var record space.Record
		if record, inner = r.scan(s, false); inner != nil {
			return false
		}
		more = p.add(record)
		return more
	}, no<<32|int64(p.after), no<<32|space.MaxSeq, int64(maxRows), no)
	return more && rows == maxRows, errors.Join(err, inner)
}

// selectEvents reads events between two ids, with whether they have expired, and whether their payload is freed: then it is a digest.
const selectEvents = `SELECT id, ulid, origin, received_at, idx, cnt, schema, type, payload,
	id <= (SELECT coalesce(max(space << 32 | upto), 0) FROM expired WHERE space = ?4),
	id <= (SELECT coalesce(max(space << 32 | freed), 0) FROM expired WHERE space = ?4)
	FROM events WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3`

// scan reads the event that s stands on, or what is left of it: as it is stored, if raw.
func (r *reader) scan(s *sqlite3.Stmt, raw bool) (record space.Record, err error) {
	o, err := r.origin(s.ColumnInt64(2))
	if err != nil {
		return record, err
	}
	record.Seq = uint64(s.ColumnInt64(0)) & space.MaxSeq
	copy(record.ID[:], s.ColumnRawBlob(1))
	record.Author, record.API, record.ClientVersion = o.author, o.api, o.clientVersion
	record.ReceivedAt = uint64(s.ColumnInt64(3))
	record.Index, record.Count = uint32(s.ColumnInt64(4)), uint32(s.ColumnInt64(5))
	binary.BigEndian.PutUint64(record.Schema[:], uint64(s.ColumnInt64(6)))
	record.Type = r.share(s.ColumnRawText(7))
	record.Payload = blob(s, 8)
	record.Expired = s.ColumnBool(10)
	if s.ColumnBool(9) && !raw {
		record = record.Tombstone()
	}
	return record, s.Err()
}

// share returns text as a string that equal texts have in common.
func (r *reader) share(text []byte) string {
	if known, ok := r.types[string(text)]; ok {
		return known
	}
	if len(r.types) >= 4096 {
		clear(r.types)
	}
	known := string(text)
	r.types[known] = known
	return known
}

// origin returns the origin with a number.
func (r *reader) origin(no int64) (origin, error) {
	if o, ok := r.origins[no]; ok {
		return o, nil
	}
	var o origin
	found, err := r.conn.row("SELECT author, api, client_version FROM origins WHERE no = ?", func(s *sqlite3.Stmt) {
		o = origin{s.ColumnText(0), s.ColumnText(1), s.ColumnText(2)}
	}, no)
	if err != nil {
		return o, err
	}
	if !found {
		return o, fmt.Errorf("origin %d is missing", no)
	}
	if len(r.origins) >= maxCached {
		clear(r.origins)
	}
	r.origins[no] = o
	return o, nil
}

// ChainBefore implements [syncserver.Log].
func (l *Log) ChainBefore(ctx context.Context, id space.ID, seq uint64) (space.Position, error) {
	position := space.Start(id)
	err := l.readSpace(ctx, id, func(r *reader, no int64) error {
		_, err := r.conn.row("SELECT id, chain FROM events WHERE id > ? AND id <= ? AND chain IS NOT NULL ORDER BY id DESC LIMIT 1",
			func(s *sqlite3.Stmt) {
				position.Seq = uint64(s.ColumnInt64(0)) & space.MaxSeq
				copy(position.Chain[:], s.ColumnRawBlob(1))
			}, no<<32, no<<32|int64(min(seq, space.MaxSeq)))
		return err
	})
	return position, err
}
