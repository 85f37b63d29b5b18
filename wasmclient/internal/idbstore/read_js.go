package idbstore

import (
	"context"
	"fmt"
	"sort"
	"syscall/js"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/wasmclient/internal/jsbind"
)

// rowsPerTurn is how many outbox rows are read in one request, so that a long outbox is never in memory as a whole.
const rowsPerTurn = 512

// view runs f in a read-only transaction.
func (s *Store) view(ctx context.Context, f func(*transaction) error, stores ...string) error {
	return s.transact(ctx, idb.TransactionReadOnly, idb.DurabilityDefault, f, stores...)
}

// viewRows runs f in a read-only transaction, and once more where it met something that could be mended.
func (s *Store) viewRows(ctx context.Context, f func(*transaction) error, stores ...string) error {
	return s.mended(ctx, func() error { return s.view(ctx, f, stores...) })
}

// transact runs f in a transaction.
func (s *Store) transact(ctx context.Context, mode idb.TransactionMode, durability idb.TransactionDurability, f func(*transaction) error, stores ...string) error {
	return s.run(ctx, func(conn *connection) error {
		t, err := conn.begin(mode, durability, stores...)
		if err != nil {
			return err
		}
		if err := f(t); err != nil {
			t.abort()
			return err
		}
		return t.commit()
	})
}

// Refresh implements wasmclient.Store.
func (s *Store) Refresh(ctx context.Context, id space.ID) (*replica.Snapshot, error) {
	var snapshot *replica.Snapshot
	err := s.viewRows(ctx, func(t *transaction) error {
		snapshot = &replica.Snapshot{Space: id, Info: replica.SpaceInfo{Position: space.Start(id)}}
		key := t.c.inKey(id)
		epoch, counter, row := t.getMeta(metaEpoch), t.getMeta(versionName(id)), t.get(storeSpaces, jsbind.FromBytes(id[:]))
		pinned, damaged, deleted := t.getMeta(pinnedName(id)), t.getMeta(damagedName(id)), t.getMeta(deletedName(id))
		holes, dropped, branch := t.getMeta(holesName(id)), t.getMeta(droppedName(id)), t.getMeta(branchName(id))
		refused, lost := t.getAll(storeRejected, within(key), 0), t.raw(false, storeLost, "count", within(key))
		var err error
		if snapshot.Outbox, err = t.entries(key); err != nil { // waits for what was asked above too
			return err
		}
		if snapshot.Rejected, err = rejectedRows(refused.result()); err != nil {
			return err
		}
		snapshot.Lost = lost.result().Int()
		if snapshot.Epoch, err = decodeNumber(epoch.bytes()); err != nil {
			return err
		}
		if snapshot.Version, err = decodeNumber(counter.bytes()); err != nil {
			return err
		}
		if b := row.bytes(); b != nil {
			known, err := decodeSpaceRow(b)
			if err != nil {
				return fmt.Errorf("read space %v: %w", id, err)
			}
			snapshot.Known, snapshot.Info = true, known.info
			snapshot.Info.Pinned = !pinned.value().IsUndefined()
			snapshot.Info.Deleted = !deleted.value().IsUndefined()
			if snapshot.Info.Damaged, err = decodeNumber(damaged.bytes()); err != nil {
				return err
			}
			if snapshot.Info.Holes, err = decodeHoles(holes.bytes()); err != nil {
				return err
			}
			readDropped(&snapshot.Info, dropped)
			if snapshot.Info.Branch, err = decodeNumber(branch.bytes()); err != nil {
				return err
			}
		}
		return nil
	}, storeMeta, storeSpaces, storeOutbox, storeRejected, storeLost)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	dropped := s.recent.space == id && len(s.recent.kept) > 0 && s.recent.kept[0].first <= snapshot.Info.Dropped
	if snapshot.Info.Damaged > 0 || !snapshot.Known || dropped { // what is kept of it may be damaged, given up, or forgotten
		s.recent.drop()
	}
	s.mu.Unlock()
	return snapshot, nil
}

// entries reads the outbox of a space without keeping its transactions. The index is in the order of ids.
func (t *transaction) entries(key js.Value) ([]replica.Entry, error) {
	var entries []replica.Entry
	upper := []any{key, []any{}}
	for lower := []any{key}; ; {
		page := between(lower, upper, true, true)
		keys := t.raw(true, storeOutbox, "getAllKeys", page, rowsPerTurn)
		values := t.raw(true, storeOutbox, "getAll", page, rowsPerTurn)
		if err := t.turn(); err != nil {
			return nil, err
		}
		found, rows := keys.result(), values.result()
		n := found.Length()
		for i := range n {
			row, err := decodeOutboxRow(jsbind.ToBytes(rows.Index(i).Get("row")), uint64(found.Index(i).Float()))
			if err != nil {
				return nil, err
			}
			entries = append(entries, row.Entry)
		}
		if n < rowsPerTurn {
			sort.Slice(entries, func(i, j int) bool { return entries[i].Key < entries[j].Key }) // one code for all types, unlike slices.SortFunc
			return entries, nil
		}
		lower = []any{key, rows.Index(n - 1).Get("id")}
	}
}

// Outbox implements wasmclient.Store.
func (s *Store) Outbox(ctx context.Context, id space.ID, after uint64, maxBytes int) ([]replica.OutboxRow, error) {
	var rows []replica.OutboxRow
	err := s.viewRows(ctx, func(t *transaction) (err error) {
		rows, err = t.outbox(id, after, maxBytes)
		return err
	}, storeOutbox)
	return rows, err
}

func (t *transaction) outbox(id space.ID, after uint64, maxBytes int) ([]replica.OutboxRow, error) {
	space := t.c.inKey(id)
	request := t.raw(true, storeOutbox, "getAllKeys", within(space))
	if err := t.turn(); err != nil {
		return nil, err
	}
	found := request.result()
	keys := make([]uint64, 0, found.Length())
	for i := range cap(keys) {
		if key := uint64(found.Index(i).Float()); key > after {
			keys = append(keys, key)
		}
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i] < keys[j] })
	var rows []replica.OutboxRow
	for n := 1; len(keys) > 0; n = min(2*n, rowsPerTurn) { // a first page of one finds out how large rows are
		page := keys[:min(n, len(keys))]
		keys = keys[len(page):]
		values, err := t.outboxPage(id, page)
		if err != nil {
			return nil, err
		}
		for i, value := range values {
			row, err := decodeOutboxRow(jsbind.ToBytes(value.Get("row")), page[i])
			if err != nil {
				return nil, err
			}
			if maxBytes -= row.Size; maxBytes < 0 && len(rows) > 0 {
				return rows, nil
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// outboxPage reads the rows with these keys, by one request where few others are between them.
func (t *transaction) outboxPage(id space.ID, keys []uint64) ([]js.Value, error) {
	first, last := keys[0], keys[len(keys)-1]
	values := make([]js.Value, 0, len(keys))
	if last-first < uint64(2*len(keys)) {
		page := between(float64(first), float64(last), false, false)
		found, rows := t.getAllKeys(storeOutbox, page, 0), t.getAll(storeOutbox, page, 0)
		if err := t.turn(); err != nil {
			return nil, err
		}
		for i := range found.result().Length() {
			if key := uint64(found.result().Index(i).Float()); len(values) < len(keys) && key == keys[len(values)] {
				values = append(values, rows.result().Index(i))
			}
		}
		return values, nil
	}
	replies := make([]reply, len(keys))
	for i, key := range keys {
		replies[i] = t.get(storeOutbox, js.ValueOf(float64(key)))
	}
	if err := t.turn(); err != nil {
		return nil, err
	}
	for _, r := range replies {
		values = append(values, r.value())
	}
	return values, nil
}

// Rejected implements wasmclient.Store.
func (s *Store) Rejected(ctx context.Context, id space.ID) ([]replica.RejectedRow, error) {
	return s.refusedRows(ctx, storeRejected, id)
}

// Lost implements wasmclient.Store.
func (s *Store) Lost(ctx context.Context, id space.ID) ([]replica.LostRow, error) {
	refused, err := s.refusedRows(ctx, storeLost, id)
	rows := make([]replica.LostRow, len(refused))
	for i := range refused {
		rows[i] = lostRow(&refused[i])
	}
	return rows, err
}

// refusedRows reads the rows that a store, of the rejected or of the lost, has of a space.
func (s *Store) refusedRows(ctx context.Context, store string, id space.ID) ([]replica.RejectedRow, error) {
	var rows []replica.RejectedRow
	err := s.viewRows(ctx, func(t *transaction) (err error) {
		request := t.getAll(store, within(t.c.inKey(id)), 0)
		if err := t.turn(); err != nil {
			return err
		}
		rows, err = rejectedRows(request.result())
		return err
	}, store)
	return rows, err
}

func rejectedRows(values js.Value) ([]replica.RejectedRow, error) {
	rows := make([]replica.RejectedRow, values.Length())
	for i := range rows {
		row, err := decodeRejectedRow(jsbind.ToBytes(values.Index(i)))
		if err != nil {
			return nil, fmt.Errorf("read rejected rows: %w", err)
		}
		rows[i] = row
	}
	return rows, nil
}
