package sqlitelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/space"
	"skerry/syncserver"
)

// origin is what the events of one author, written by one version of an app, have in common.
type origin struct{ author, api, clientVersion string }

// insertEvent is OR FAIL: append undoes itself when it meets a known id, so SQLite need not be ready to. Statements
// of 4 to 32 rows were measured to be no faster.
const insertEvent = `INSERT OR FAIL INTO events(id, space, ulid, origin, received_at, idx, cnt, schema, chain, type, payload)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// Append implements [syncserver.Log].
func (l *Log) Append(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head) error {
	return l.AppendClients(ctx, id, previous, records, next, syncserver.ClientChanges{})
}

// AppendClients implements [syncserver.Log].
func (l *Log) AppendClients(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head, changes syncserver.ClientChanges) error {
	if err := syncserver.CheckAppend(previous, records, next); err != nil {
		return err
	}
	size := 0
	for i := range records {
		size += records[i].Size()
	}
	for i := range changes.Connected {
		size += clientSize + len(changes.Connected[i].Claims)
	}
	var refused error
	err := l.write(ctx, size, func(w *writer) (err error) {
		if refused, err = w.append(id, previous, records, next); refused == nil && err == nil {
			err = w.changeClients(&changes)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("append to %s: %w", id, err)
	}
	return refused
}

// append stores records, or returns why it refused to.
func (w *writer) append(id space.ID, previous space.Head, records []space.Record, next space.Head) (refused, err error) {
	t, err := w.tip(id)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return w.missing(id)
	}
	if t.head != previous {
		return &syncserver.HeadError{Actual: t.head}, nil
	}
	if err := w.insert(t.no, records, next); err != nil {
		if !errors.Is(err, sqlite3.CONSTRAINT_UNIQUE) {
			return nil, err
		}
		return w.undo(t, records)
	}
	for i := range records {
		w.written[share{records[i].Author, t.no}] += int64(records[i].Size())
	}
	t.head = next
	if !t.dirty {
		t.dirty = true
		w.dirty = append(w.dirty, t)
	}
	return nil, nil
}

// insert adds the rows of records.
func (w *writer) insert(no int64, records []space.Record, next space.Head) error {
	s, err := w.conn.stmt(insertEvent)
	if err != nil {
		return err
	}
	for i := range records {
		if err := w.bindEvent(s, no, &records[i], next); err != nil {
			return err
		}
		if err := s.Exec(); err != nil {
			return err
		}
	}
	return nil
}

// bindEvent binds a record to the parameters of insertEvent.
func (w *writer) bindEvent(s *sqlite3.Stmt, no int64, r *space.Record, next space.Head) error {
	from, err := w.origin(origin{r.Author, r.API, r.ClientVersion})
	if err != nil {
		return err
	}
	for i, value := range [...]int64{no<<32 | int64(r.Seq), no} {
		if err := s.BindInt64(1+i, value); err != nil {
			return err
		}
	}
	if err := s.BindBlob(3, r.ID[:]); err != nil {
		return err
	}
	schema := int64(binary.BigEndian.Uint64(r.Schema[:]))
	for i, value := range [...]int64{from, int64(r.ReceivedAt), int64(r.Index), int64(r.Count), schema} {
		if err := s.BindInt64(4+i, value); err != nil {
			return err
		}
	}
	if r.Seq == next.Seq {
		err = s.BindBlob(9, next.Chain[:])
	} else {
		err = s.BindNull(9)
	}
	if err != nil {
		return err
	}
	if err := s.BindText(10, r.Type); err != nil {
		return err
	}
	return s.BindBlob(11, r.Payload)
}

// undo takes back an append that met a known id, and returns the ids that are known. Nothing but what the append
// inserted can be above the head: had there been more, its first row would have met that and not a known id.
func (w *writer) undo(t *tip, records []space.Record) (refused, err error) {
	first := t.no<<32 | int64(records[0].Seq)
	if err := w.conn.exec("DELETE FROM events WHERE id BETWEEN ? AND ?", first, first+int64(len(records))-1); err != nil {
		return nil, err
	}
	var known []space.ULID
	seen := make(map[space.ULID]struct{}, len(records))
	for i := range records {
		id := records[i].ID
		found := false
		if _, twice := seen[id]; twice {
			found = true
		} else if found, err = w.conn.row("SELECT 1 FROM events WHERE space = ? AND ulid = ?", func(*sqlite3.Stmt) {}, t.no, id[:]); err != nil {
			return nil, err
		}
		if found {
			known = append(known, id)
		}
		seen[id] = struct{}{}
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("append to %s: an id was known and then was not", t.id)
	}
	return &syncserver.KnownError{IDs: known}, nil
}

// missing says of a space without a head whether it was deleted or never there.
func (w *writer) missing(id space.ID) (refused, err error) {
	found, err := w.conn.row("SELECT 1 FROM spaces WHERE id = ?", func(*sqlite3.Stmt) {}, id[:])
	if found {
		return syncserver.ErrDeleted, err
	}
	return syncserver.ErrNoSpace, err
}

// tip returns where a space ends, nil if there is no such space.
func (w *writer) tip(id space.ID) (*tip, error) {
	if t := w.heads[id]; t != nil {
		return t, nil
	}
	t := &tip{id: id}
	found, err := w.conn.row(`SELECT no, seq, chain, received_at FROM spaces JOIN heads ON space = no WHERE id = ?`,
		func(s *sqlite3.Stmt) { t.no, t.head = s.ColumnInt64(0), scanHead(s, 1) }, id[:])
	if err != nil || !found {
		return nil, err
	}
	w.heads[id] = t
	return t, nil
}

// scanHead reads seq, chain and received_at from three columns.
func scanHead(s *sqlite3.Stmt, column int) (head space.Head) {
	head.Seq = uint64(s.ColumnInt64(column))
	copy(head.Chain[:], s.ColumnRawBlob(column+1))
	head.ReceivedAt = uint64(s.ColumnInt64(column + 2))
	return head
}

// writeHeads stores the heads that the transaction moved, each once.
func (w *writer) writeHeads() error {
	for _, t := range w.dirty {
		err := w.conn.exec("UPDATE heads SET seq = ?, chain = ?, received_at = ? WHERE space = ?",
			int64(t.head.Seq), t.head.Chain[:], int64(t.head.ReceivedAt), t.no)
		if err != nil {
			return err
		}
	}
	return nil
}

// writeUsage stores how much the transaction has added, each author's once for each space.
func (w *writer) writeUsage() error {
	for of, bytes := range w.written {
		err := w.conn.exec("INSERT INTO usage(author, space, bytes) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes",
			of.author, of.space, bytes)
		if err != nil {
			return err
		}
	}
	return nil
}

// origin returns the number under which o is stored, and stores it if need be.
func (w *writer) origin(o origin) (int64, error) {
	if no, ok := w.origins[o]; ok {
		return no, nil
	}
	var no int64
	found, err := w.conn.row("SELECT no FROM origins WHERE author = ? AND api = ? AND client_version = ?",
		func(s *sqlite3.Stmt) { no = s.ColumnInt64(0) }, o.author, o.api, o.clientVersion)
	if err != nil {
		return 0, err
	}
	if !found {
		err := w.conn.exec("INSERT INTO origins(author, api, client_version) VALUES (?, ?, ?)", o.author, o.api, o.clientVersion)
		if err != nil {
			return 0, err
		}
		no = w.conn.LastInsertRowID()
	}
	w.origins[o] = no
	return no, nil
}

// Create implements [syncserver.Log].
func (l *Log) Create(ctx context.Context, genesis *space.Genesis, signature []byte) (created bool, err error) {
	id := genesis.ID()
	var refused error
	err = l.write(ctx, len(genesis.Params)+512, func(w *writer) error {
		created, refused = false, nil
		t, err := w.tip(id)
		if t != nil || err != nil {
			return err
		}
		if refused, err = w.missing(id); err != nil || !errors.Is(refused, syncserver.ErrNoSpace) {
			return err
		}
		refused = nil
		err = w.conn.exec("INSERT INTO spaces(id, stamp, creator, module, params, signature) VALUES (?, ?, ?, ?, ?, ?)",
			id[:], genesis.Stamp[:], genesis.Creator, genesis.Module[:], genesis.Params, signature)
		if err != nil {
			return err
		}
		t = &tip{id: id, no: w.conn.LastInsertRowID(), head: space.Head{Chain: id}}
		if err := w.conn.exec("INSERT INTO heads(space, seq, chain, received_at) VALUES (?, 0, ?, 0)", t.no, id[:]); err != nil {
			return err
		}
		w.heads[id] = t
		created = true
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("create space %s: %w", id, err)
	}
	return created, refused
}
