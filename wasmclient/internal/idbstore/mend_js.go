package idbstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall/js"
	"time"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/msgpack"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsbind"
)

// Rows that cannot be read as what they should be must not keep a replica from the others. Records are mended by the
// server, as it has them. The rest is put right here, when somebody has met something that is damaged: what follows
// from what else is stored is made anew, and what exists nowhere else, a transaction that waits, is set aside among
// the rejected with its bytes, so that people are told and nothing is thrown away.

// damagedType is the type of the one event of a transaction that was set aside. Types that begin so are the server's,
// so that no server takes it when it is retried.
const damagedType = "$damaged"

// mended runs call, and once more where something was met that could not be read and is put right now.
func (s *Store) mended(ctx context.Context, call func() error) error {
	err := call()
	if !errors.Is(err, errCorrupt) {
		return err
	}
	done, failed := s.mend(ctx)
	if failed != nil {
		return fmt.Errorf("%w; and mend it: %w", err, failed)
	}
	if !done {
		return err
	}
	return call()
}

// mend looks through all rows but records, and reports whether it put any right.
func (s *Store) mend(ctx context.Context) (done bool, err error) {
	err = s.transact(ctx, idb.TransactionReadWrite, idb.DurabilityStrict, func(t *transaction) error {
		m := &mending{transaction: t, now: uint64(max(time.Now().UnixMilli(), 1)), versions: map[space.ID]uint64{}}
		err := m.all()
		done = m.done
		return err
	}, storeMeta, storeSpaces, storeOutbox, storeRejected, storeLost, storeSegments)
	return done, err
}

// mending is one pass through a database. A number that only has to rise, and was lost, goes on at now, the
// milliseconds since 1970: no counter of ours gets there by counting.
type mending struct {
	*transaction
	now      uint64
	done     bool
	identity string
	versions map[space.ID]uint64
	touched  []space.ID // in no order
	log      changeLog
}

func (m *mending) all() error {
	everything := js.Undefined()
	names, values := m.getAllKeys(storeMeta, everything, 0), m.getAll(storeMeta, everything, 0)
	ids, rows := m.getAllKeys(storeSpaces, everything, 0), m.getAll(storeSpaces, everything, 0)
	if err := m.turn(); err != nil {
		return err
	}
	for i := range names.result().Length() {
		if err := m.meta(names.result().Index(i).String(), jsbind.ToBytes(values.result().Index(i))); err != nil {
			return err
		}
	}
	for i := range ids.result().Length() {
		if err := m.space(ids.result().Index(i), jsbind.ToBytes(rows.result().Index(i))); err != nil {
			return err
		}
	}
	if err := m.outbox(); err != nil {
		return err
	}
	for _, store := range []string{storeRejected, storeLost} {
		if err := m.rejected(store); err != nil {
			return err
		}
	}
	for _, id := range m.touched { // so that other tabs see that they changed
		m.versions[id]++
		m.putMeta(versionName(id), appendNumber(m.versions[id]))
		m.log.begin()
		m.log.note(id, m.versions[id])
	}
	if m.done {
		m.putMeta(metaChanges, appendChangeLog(nil, &m.log))
	}
	return nil
}

// meta mends one value of meta. Whose replica this is, and of which server, nothing else tells.
func (m *mending) meta(name string, value []byte) error {
	number, err := decodeNumber(value)
	if id, ok := spaceOf(versionPrefix, name); ok {
		m.versions[id] = number
		if err != nil {
			m.versions[id] = m.now
			m.touch(id)
		}
		return nil
	}
	if id, ok := spaceOf(damagedPrefix, name); ok {
		if err != nil {
			m.putMeta(name, appendNumber(1)) // all of it is looked at
			m.touch(id)
		}
		return nil
	}
	if id, ok := spaceOf(branchPrefix, name); ok {
		if err != nil {
			m.putMeta(name, appendNumber(1<<32)) // more than it can have been: who looks at the space begins anew
			m.touch(id)
		}
		return nil
	}
	if id, ok := spaceOf(holesPrefix, name); ok {
		if _, err = decodeHoles(value); err != nil { // what is not here is found out by looking, and fetched
			m.delete(storeMeta, js.ValueOf(name))
			m.putMeta(damagedName(id), appendNumber(1))
			m.touch(id)
		}
		return nil
	}
	switch name {
	case metaEpoch:
		if err != nil {
			m.putMeta(name, appendNumber(m.now))
			m.done = true
		}
	case metaLogin:
		if err != nil {
			m.putMeta(name, appendNumber(m.now|1)) // logged out: nothing is sent that perhaps was not to be
			m.done = true
		}
	case metaChanges:
		if m.log, err = decodeChangeLog(value); err != nil {
			m.log = changeLog{number: m.now, forgotten: m.now}
			m.done = true
		}
	case metaSince:
		if _, err = decodeText(value); err != nil {
			m.delete(storeMeta, js.ValueOf(name))
			m.done = true
		}
	case metaIdentity, metaSession, metaServer:
		text, err := decodeText(value)
		if err != nil {
			return fmt.Errorf("the replica's %s: %w", name, err)
		}
		if name == metaIdentity {
			m.identity = string(text)
		}
	case metaMinReader, metaMinWriter:
		if err = tooOld(value); errors.Is(err, wasmclient.ErrNewerStore) || errors.Is(err, wasmclient.ErrForgotten) {
			return err // to a newer version this may not be damage
		}
		if err != nil {
			return fmt.Errorf("the replica's %s: %w", name, err)
		}
	}
	return nil
}

// touch notes that a space changed.
func (m *mending) touch(id space.ID) {
	m.done = true
	if !slices.Contains(m.touched, id) {
		m.touched = append(m.touched, id)
	}
}

// space makes the row of a space anew that cannot be read. What it was made from is kept where it is whole, which its
// ID tells, and comes from the server otherwise. How far the records go they say themselves; whether all of them are
// there is looked at, as where there is damage.
func (m *mending) space(key js.Value, value []byte) error {
	if _, err := decodeSpaceRow(value); err == nil {
		return nil
	}
	id := idOf(key)
	row := spaceRow{info: salvaged(id, value)}
	var err error
	if row.info.Position, err = m.lastPosition(id); err != nil {
		return err
	}
	if n := row.info.Position.Seq; n > 0 {
		m.putMeta(damagedName(id), appendNumber(n))
	}
	m.put(storeSpaces, key, appendSpaceRow(nil, &row))
	m.delete(storeMeta, js.ValueOf(metaSince)) // the directory tells of it again
	m.touch(id)
	return nil
}

// salvaged returns what of a damaged row is beyond doubt.
func salvaged(id space.ID, value []byte) (info replica.SpaceInfo) {
	r := decoder{rest: value}
	r.format()
	created, genesis, signature := r.byte() != 0, r.field(), r.field()
	if g, err := wire.DecodeGenesis(genesis); err == nil && !r.failed && g.ID() == id {
		info = replica.SpaceInfo{Created: created, Genesis: &g, Module: g.Module}
		if len(signature) > 0 {
			info.GenesisSignature = signature
		}
	}
	return info
}

// lastPosition returns the end of the last segment that can be read. Those behind it are nobody's then.
func (m *mending) lastPosition(id space.ID) (space.Position, error) {
	key := m.c.inKey(id)
	for upper := []any{key, []any{}}; ; {
		cursor := m.raw(false, storeSegments, "openCursor", between([]any{key}, upper, false, true), "prev")
		if err := m.turn(); err != nil {
			return space.Position{}, err
		}
		at := cursor.result()
		if at.IsNull() {
			return space.Start(id), nil
		}
		here, value := extent(at.Get("key")), jsbind.ToBytes(at.Get("value"))
		if records, _, err := decodeRecords(id, value); err == nil {
			last := &records[len(records)-1]
			if records[0].Seq == here.first && last.Seq == here.last && last.Index+1 == last.Count {
				before, _, _ := decodeSegment(value)
				return space.Position{Seq: last.Seq, Chain: space.Fold(before, records)}, nil
			}
		}
		m.delete(storeSegments, at.Get("key"))
		upper = []any{key, float64(here.first)}
	}
}

// mendPerTurn is how many rows are looked at in one turn: they may have a mebibyte each.
const mendPerTurn = 16

// pages calls f for the rows of a store with keys between two.
func (m *mending) pages(store string, lower, upper any, f func(key, value js.Value)) error {
	for {
		page := between(lower, upper, true, true)
		keys, values := m.getAllKeys(store, page, mendPerTurn), m.getAll(store, page, mendPerTurn)
		if err := m.turn(); err != nil {
			return err
		}
		n := keys.result().Length()
		for i := range n {
			f(keys.result().Index(i), values.result().Index(i))
		}
		if n < mendPerTurn {
			return nil
		}
		lower = keys.result().Index(n - 1)
	}
}

// outbox sets the rows aside that cannot be read.
func (m *mending) outbox() error {
	return m.pages(storeOutbox, 0, []any{}, func(key, value js.Value) {
		name := value.Get("id")
		bytes := bytesIn(value.Get("row"))
		if row, err := decodeOutboxRow(bytes, uint64(key.Float())); err == nil && row.ID == ulidOf(name) {
			return
		}
		m.setAside(storeRejected, value.Get("space"), name, bytes)
		m.delete(storeOutbox, key)
	})
}

// rejected puts what can be read in place of rows of a store, the rejected or the lost, that cannot.
func (m *mending) rejected(store string) error {
	return m.pages(store, []any{}, []any{[]any{}}, func(key, value js.Value) {
		bytes := bytesIn(value)
		if row, err := decodeRejectedRow(bytes); err == nil && row.ID == ulidOf(key.Index(1)) {
			return
		}
		m.setAside(store, key.Index(0), key.Index(1), bytes)
	})
}

// setAside keeps the bytes of a transaction that cannot be read in a store, the rejected or the lost, as the payload of a
// transaction that can.
func (m *mending) setAside(store string, key, name js.Value, bytes []byte) {
	id := ulidOf(name)
	row := &replica.RejectedRow{
		ID: id, AppendedAt: m.now, Code: wire.CodeDamaged, By: replica.ByDevice,
		Reason: "what this device kept of it cannot be read any more; its bytes are the payload",
		Transaction: space.Transaction{Author: m.identity, API: wire.APIHigh, Events: []space.Event{{
			ID: id, Type: damagedType, Payload: msgpack.AppendBinary(nil, bytes),
		}}},
	}
	m.put(store, js.ValueOf([]any{key, name}), appendRejectedRow(nil, row))
	m.touch(idOf(key))
}

func ulidOf(name js.Value) (id space.ULID) {
	copy(id[:], bytesIn(name))
	return id
}

// bytesIn returns a copy of the bytes of a value; nil of what has none.
func bytesIn(v js.Value) []byte {
	if v.Type() != js.TypeObject {
		return nil
	}
	return jsbind.ToBytes(v)
}
