package idbstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall/js"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsbind"
)

// Commit implements wasmclient.Store: one IndexedDB transaction of two turns, or three when segments are merged.
func (s *Store) Commit(ctx context.Context, c *replica.Commit) (*replica.CommitResult, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	var result *replica.CommitResult
	n := 0
	for i := range c.Spaces {
		n += len(c.Spaces[i].Records)
		if page := c.Spaces[i].Page; page != nil {
			n += len(page.Records)
		}
	}
	apart, merges := false, false
	commit := func(conn *connection) (err error) {
		result, merges, err = s.commit(conn, c, apart)
		return err
	}
	withRoom := s.withRoom
	if c.Room > 0 { // it asks how things are, and nothing is dropped for that
		withRoom = func(_ context.Context, _ int, write func() error) error { return write() }
	}
	err := withRoom(ctx, n, func() error {
		return s.mended(ctx, func() error {
			err := s.run(ctx, commit)
			if merges && (errors.Is(err, wasmclient.ErrFull) || errors.Is(err, errCorrupt)) {
				// Merging needs room for a time, and what it reads may be damaged; without it the records may find their place.
				apart = true
				err = s.run(ctx, commit)
			}
			return err
		})
	})
	s.dropMoved(c) // also of a failure, after which the outcome may be unknown
	if err != nil {
		return nil, err
	}
	if !result.Stale {
		s.noteWritten(c)
	}
	return result, nil
}

// part is a SpaceCommit while it is applied.
type part struct {
	*replica.SpaceCommit
	key     js.Value // the SpaceID, as it is in array keys
	name    js.Value // its bytes
	ids     []space.ULID
	want    map[space.ULID]wanted
	row     reply
	version reply
	keys    map[space.ULID]reply
	rows    map[space.ULID]reply
	refused map[space.ULID]reply
	lost    map[space.ULID]reply

	unread     []space.ULID // of ids: not asked for one by one, but counted
	few        rawRequest   // how many rows there are among them
	anyRefused rawRequest   // how many rejected rows the space has, if some are appended
	anyLost    rawRequest   // how many lost ones, if it is only to be forgotten when there are none

	known   spaceRow
	stored  bool // the store has its row
	changes rowChanges
	counter uint64
	added   map[*rowState]reply

	doomed  rawRequest // keys of the outbox, of a space to be forgotten
	unsent  rawRequest // and its rows, if it is only to be forgotten when all were sent
	damaged reply      // what SetDamaged raises
	branch  reply      // what Fork does
	holes   reply      // what a position that is set alone, or a page, changes
	dropped reply      // likewise
	torn    rawRequest // a cursor at the last segment that begins at a cut, or what is dropped, or below

	run    segment // its records
	merged []segment
	tail   []segment
	old    *segmentRows // those of merged
}

// commit runs a commit on a connection, and reports whether segments are merged in it. With apart none are.
func (s *Store) commit(conn *connection, c *replica.Commit, apart bool) (result *replica.CommitResult, merges bool, err error) {
	durability := idb.DurabilityRelaxed
	if c.Strict {
		durability = idb.DurabilityStrict
	}
	t, err := conn.begin(idb.TransactionReadWrite, durability, touched(c)...)
	if err != nil {
		return nil, false, err
	}
	t.apart = apart
	if result, err = s.apply(t, c); err != nil {
		t.abort()
		return nil, t.merges, err
	}
	return result, t.merges, nil
}

// touched returns the stores that c needs. Every write needs meta, which puts them all in one order.
func touched(c *replica.Commit) []string {
	stores := []string{storeMeta}
	add := func(name string) {
		if !slices.Contains(stores, name) {
			stores = append(stores, name)
		}
	}
	if c.Erase {
		return allStores
	}
	for i := range c.Spaces {
		sc := &c.Spaces[i]
		add(storeSpaces)
		if len(sc.Append)+len(sc.Refuse)+len(sc.Retry)+len(sc.Withdraw)+len(sc.DropWithdrawn)+len(sc.Mark)+len(sc.Reject)+len(sc.Settle) > 0 {
			add(storeOutbox)
		}
		if len(sc.Append)+len(sc.Refuse)+len(sc.Retry)+len(sc.Reject)+len(sc.Discard) > 0 {
			add(storeRejected)
		}
		if len(sc.Lost)+len(sc.DiscardLost) > 0 {
			add(storeLost)
		}
		if len(sc.Records) > 0 || sc.CutTo() != nil || sc.Page != nil || sc.Drop != nil {
			add(storeSegments)
		}
		if sc.CutTo() != nil {
			add(storeCheckpoints)
		}
		if sc.Forget {
			return allStores
		}
	}
	return stores
}

// apply reads, checks and writes. The transaction is complete when it returns neither an error nor stale.
func (s *Store) apply(t *transaction, c *replica.Commit) (*replica.CommitResult, error) {
	least, epochReply, log := t.getAll(storeMeta, between(metaMinReader, metaMinWriter, false, false), 0), t.getMeta(metaEpoch), t.getMeta(metaChanges)
	var server reply
	if c.Server != nil {
		server = t.getMeta(metaServer)
	}
	login, session := t.getMeta(metaLogin), t.getMeta(metaSession)
	var only onlyHere
	if c.Erase && !c.Force {
		only = t.askOnlyHere()
	}
	parts := make([]*part, len(c.Spaces))
	for i := range c.Spaces {
		parts[i] = t.ask(&c.Spaces[i])
	}
	if err := t.turn(); err != nil {
		return nil, err
	}
	if err := writable(least); err != nil {
		return nil, err
	}
	if err := t.ours(session); err != nil {
		return nil, err
	}
	epoch, err := decodeNumber(epochReply.bytes())
	if err != nil {
		return nil, err
	}
	pinned, err := decodeText(server.bytes())
	if err != nil {
		return nil, err
	}
	again := false
	for _, p := range parts {
		again = p.askAgain(t) || again
	}
	if again {
		if err := t.turn(); err != nil {
			return nil, err
		}
	}
	logged, err := decodeNumber(login.bytes())
	if err != nil {
		return nil, err
	}
	stale := c.Login != 0 && c.Login <= logged
	if c.Erase && !c.Force {
		if stale, err = only.any(); err != nil {
			return nil, err
		}
	}
	stale = stale || c.Fenced && c.Epoch != epoch || c.Server != nil && pinned != nil && !bytes.Equal(pinned, c.Server[:])
	for _, p := range parts {
		if err := p.read(); err != nil {
			return nil, err
		}
		at := p.known.info.Position
		stale = stale || p.Expect != nil && (p.Expect.Seq != at.Seq || p.Expect.Chain != at.Chain) || p.Page != nil && !p.Page.Fits(&p.known.info)
		if p.Forget && !p.Force {
			keeps, err := p.keeps()
			if err != nil {
				return nil, err
			}
			stale = stale || keeps
		}
	}
	if stale {
		t.abort()
		return &replica.CommitResult{Stale: true, Epoch: epoch}, nil
	}

	merging := false
	for _, p := range parts {
		merging = p.plan(t) || merging
	}
	t.merges = merging
	if merging {
		if err := t.turn(); err != nil {
			return nil, err
		}
	}
	if c.Erase {
		t.erase()
	}
	if c.Login != 0 {
		t.putMeta(metaLogin, appendNumber(c.Login))
	}
	if c.Server != nil && pinned == nil {
		t.putMeta(metaServer, appendText(c.Server[:]))
	}
	if c.Since != nil {
		t.putMeta(metaSince, appendText(c.Since))
	}
	for _, p := range parts {
		if err := p.write(t); err != nil {
			return nil, err
		}
	}
	if err := t.note(log, parts); err != nil {
		return nil, err
	}
	if err := t.removeAdded(parts); err != nil {
		return nil, err
	}
	if c.Room > 0 {
		t.putMeta(metaRoom, make([]byte, c.Room))
		t.delete(storeMeta, js.ValueOf(metaRoom))
	}
	if s.beforeCommit != nil {
		if err := s.beforeCommit(t); err != nil {
			return nil, err
		}
	}
	if err := t.commit(); err != nil {
		return nil, err
	}
	result := &replica.CommitResult{Epoch: epoch}
	for _, p := range parts {
		result.Versions = append(result.Versions, p.counter)
		for _, row := range p.changes.keys {
			key := uint64(0)
			if row != nil {
				key = p.added[row].key()
			}
			result.Keys = append(result.Keys, key)
		}
	}
	return result, nil
}

// askedSingly is up to how many ids are looked up at once. Of more than that the store first asks whether there is
// any: of rows that are appended there is none, and lookups cost as much as the rows.
const askedSingly = 8

// askAgain looks up the ids of which some are there, and reports whether it did.
func (p *part) askAgain(t *transaction) bool {
	again := false
	if p.unread != nil && p.few.result().Int() > 0 {
		again = true
		for _, id := range p.unread {
			p.keys[id] = t.find(rowKey{p.key, id}, false)
		}
	}
	if len(p.Append) > 0 && p.anyRefused.result().Int() > 0 {
		again = true
		for i := range p.Append {
			if id := p.Append[i].ID; p.want[id]&wantRejected == 0 {
				p.refused[id] = t.get(storeRejected, rowKey{p.key, id}.array())
			}
		}
	}
	return again
}

// ask issues what must be read before a part can be judged and applied.
func (t *transaction) ask(sc *replica.SpaceCommit) *part {
	p := &part{
		SpaceCommit: sc, key: t.c.inKey(sc.Space), name: jsbind.FromBytes(sc.Space[:]),
		keys: map[space.ULID]reply{}, rows: map[space.ULID]reply{}, refused: map[space.ULID]reply{}, lost: map[space.ULID]reply{},
		added: map[*rowState]reply{},
	}
	p.ids, p.want = wants(sc)
	for _, id := range p.ids {
		if p.want[id] == wantKey {
			p.unread = append(p.unread, id)
		}
	}
	if len(p.unread) <= askedSingly {
		p.unread = nil
	} else {
		lowest, highest := slices.MinFunc(p.unread, space.ULID.Compare), slices.MaxFunc(p.unread, space.ULID.Compare)
		keys := between(rowKey{p.key, lowest}.array(), rowKey{p.key, highest}.array(), false, false)
		p.few = t.raw(true, storeOutbox, "count", keys)
	}
	if len(sc.Append) > 0 {
		p.anyRefused = t.raw(false, storeRejected, "count", within(p.key))
	}
	for _, id := range p.ids {
		name := rowKey{p.key, id}
		if p.unread != nil && p.want[id] == wantKey {
			continue
		}
		if p.want[id]&wantRejected != 0 {
			p.refused[id] = t.get(storeRejected, name.array())
		}
		p.keys[id] = t.find(name, false)
		if p.want[id]&wantRow != 0 {
			p.rows[id] = t.find(name, true)
		}
	}
	for i := range sc.Lost {
		p.lost[sc.Lost[i].ID] = t.get(storeLost, rowKey{p.key, sc.Lost[i].ID}.array())
	}
	if sc.Forget {
		p.doomed = t.raw(true, storeOutbox, "getAllKeys", within(p.key))
		if !sc.Force {
			p.unsent = t.raw(true, storeOutbox, "getAll", within(p.key))
			p.anyRefused = t.raw(false, storeRejected, "count", within(p.key))
			p.anyLost = t.raw(false, storeLost, "count", within(p.key))
		}
	}
	if sc.SetDamaged != nil {
		p.damaged = t.getMeta(damagedName(sc.Space))
	}
	if p.movesHoles() {
		p.holes, p.dropped = t.getMeta(holesName(sc.Space)), t.getMeta(droppedName(sc.Space))
	}
	if sc.Fork != nil {
		p.branch = t.getMeta(branchName(sc.Space))
	}
	to := sc.CutTo()
	if sc.Drop != nil {
		to = sc.Drop
	}
	if to != nil {
		p.torn = t.raw(false, storeSegments, "openCursor", between([]any{p.key}, []any{p.key, float64(to.Seq) + 1}, false, true), "prev")
	}
	p.version = t.getMeta(versionName(sc.Space))
	p.row = t.get(storeSpaces, p.name)
	return p
}

// read takes what was asked for.
func (p *part) read() error {
	version, err := decodeNumber(p.version.bytes())
	if err != nil {
		return err
	}
	p.counter = version + 1
	if row := p.row.bytes(); row != nil {
		p.stored = true
		if p.known, err = decodeSpaceRow(row); err != nil {
			return fmt.Errorf("read space %v: %w", p.Space, err)
		}
	} else {
		p.known = spaceRow{info: replica.SpaceInfo{Position: space.Start(p.Space)}}
	}
	if p.SetDamaged != nil {
		if p.known.info.Damaged, err = decodeNumber(p.damaged.bytes()); err != nil {
			return err
		}
	}
	if p.Fork != nil {
		if p.known.info.Branch, err = decodeNumber(p.branch.bytes()); err != nil {
			return err
		}
	}
	if p.movesHoles() {
		if p.known.info.Holes, err = decodeHoles(p.holes.bytes()); err != nil {
			return err
		}
		readDropped(&p.known.info, p.dropped)
	}
	p.changes = rowChanges{
		rows: map[space.ULID]*rowState{}, rejected: map[space.ULID]*replica.RejectedRow{}, write: map[space.ULID]bool{},
	}
	for _, id := range p.ids {
		if key := p.keys[id].key(); key != 0 {
			state := &rowState{id: id, key: key, present: true}
			if request, ok := p.rows[id]; ok {
				if state.row, err = decodeOutboxRow(jsbind.ToBytes(request.value().Get("row")), key); err != nil {
					return fmt.Errorf("read row %v: %w", id, err)
				}
			}
			p.changes.rows[id] = state
		}
		if b := p.refused[id].bytes(); b != nil {
			row, err := decodeRejectedRow(b)
			if err != nil {
				return fmt.Errorf("read rejected row %v: %w", id, err)
			}
			p.changes.rejected[id] = &row
		}
	}
	return nil
}

// plan decides where the records go and reports whether segments must be read for that.
func (p *part) plan(t *transaction) (merging bool) {
	p.tail = p.known.tail
	if p.CutTo() != nil {
		p.tail = nil // what is left stays as it is
	}
	if len(p.Records) == 0 {
		return false
	}
	p.run = segment{first: p.First, last: p.Last, bytes: len(p.Records)}
	if t.apart || p.Fork != nil {
		p.tail = append(p.tail[:len(p.tail):len(p.tail)], p.run)
		return false
	}
	merged, after := plan(p.known.tail, p.run)
	p.merged, p.tail = p.known.tail[len(p.known.tail)-merged:], after
	if merged == 0 {
		return false
	}
	first := float64(p.merged[0].first)
	p.old = t.getSegments([]any{p.key, first}, []any{p.key, float64(p.First)}, 0)
	return true
}

// write issues everything that the part changes.
func (p *part) write(t *transaction) error {
	if p.Forget {
		p.forget(t)
		return nil
	}
	if p.Insert != nil {
		if !p.stored {
			p.known.info = replica.InsertedInfo(p.Space, p.Insert)
		} else {
			p.known.info.Merge(p.Insert)
		}
	}
	if p.SetCreated != nil {
		p.known.info.Created = *p.SetCreated
	}
	if !p.SetModule.IsZero() {
		p.known.info.Module = p.SetModule
	}
	if p.Fork != nil {
		p.known.info.Damaged = 0
		t.putMeta(branchName(p.Space), appendNumber(p.known.info.Branch+1))
	}
	if p.SetDamaged != nil || p.Fork != nil {
		p.known.info.SetDamaged(p.SetDamaged)
		t.putNumber(damagedName(p.Space), p.known.info.Damaged)
	}
	if p.SetDeleted {
		t.putMeta(deletedName(p.Space), appendNumber(1))
	}
	p.changes.apply(p.SpaceCommit)
	if p.CutTo() != nil {
		if err := p.writeCut(t); err != nil {
			return err
		}
	}
	if p.Drop != nil {
		if err := p.writeDrop(t); err != nil {
			return err
		}
	}
	if len(p.Records) > 0 {
		if err := p.writeRecords(t); err != nil {
			return err
		}
	}
	if p.Page != nil {
		value := appendSegment(make([]byte, 0, 64+len(p.Page.Records)), p.Page.Before, p.Page.Records)
		t.putSegment(p.key, float64(p.Page.First), float64(p.Page.Until.Seq), value, true)
	}
	if p.known.info.Move(p.SpaceCommit); p.movesHoles() {
		if holes := p.known.info.Holes; len(holes) > 0 {
			t.putMeta(holesName(p.Space), appendHoles(holes))
		} else {
			t.delete(storeMeta, js.ValueOf(holesName(p.Space)))
		}
		t.putNumber(droppedName(p.Space), p.known.info.Dropped)
	}
	if p.isNewer() { // what is above this version has failed already
		t.putMeta(metaMinReader, appendNumber(version))
		t.putMeta(metaMinWriter, appendNumber(version))
	}
	p.known.tail = p.tail
	if !p.stored || p.changesSpace() {
		t.put(storeSpaces, p.name, appendSpaceRow(nil, &p.known))
	}
	t.putMeta(versionName(p.Space), appendNumber(p.counter))

	if p.SetPinned != nil && *p.SetPinned {
		t.putMeta(pinnedName(p.Space), appendNumber(1))
	} else if p.SetPinned != nil {
		t.delete(storeMeta, js.ValueOf(pinnedName(p.Space)))
	}

	for id, there := range p.changes.write {
		key := rowKey{p.key, id}.array()
		if row := p.changes.rejected[id]; there && row != nil {
			t.put(storeRejected, key, appendRejectedRow(nil, row))
		} else {
			t.delete(storeRejected, key)
		}
	}
	for i := range p.Lost {
		id := p.Lost[i].ID
		first := !slices.ContainsFunc(p.Lost[:i], func(row replica.LostRow) bool { return row.ID == id })
		if first && p.lost[id].bytes() == nil {
			t.put(storeLost, rowKey{p.key, id}.array(), appendLostRow(nil, &p.Lost[i]))
		}
	}
	for _, id := range p.DiscardLost {
		t.delete(storeLost, rowKey{p.key, id}.array())
	}
	var encoded []byte         // one row after the other: each is copied as it is put
	for _, id := range p.ids { // in an order that is always the same
		switch row := p.changes.rows[id]; {
		case row == nil || row.key == 0:
		case !row.present:
			t.delete(storeOutbox, js.ValueOf(float64(row.key)))
		case row.changed:
			encoded = appendOutboxRow(encoded[:0], &row.row)
			t.putRow(row.key, rowKey{p.key, id}, encoded)
		}
	}
	for _, row := range p.changes.added {
		encoded = appendOutboxRow(encoded[:0], &row.row)
		p.added[row] = t.putRow(0, rowKey{p.key, row.id}, encoded)
	}
	return nil
}

// putNumber puts a number of meta that is there unless it is 0.
func (t *transaction) putNumber(name string, n uint64) {
	if n > 0 {
		t.putMeta(name, appendNumber(n))
	} else {
		t.delete(storeMeta, js.ValueOf(name))
	}
}

// movesHoles reports whether the part may change which records are not here.
func (p *part) movesHoles() bool {
	return p.Page != nil || p.Drop != nil || p.Fork != nil || p.Position != nil && len(p.Records) == 0
}

// isNewer reports whether the part writes something that the first version does not know.
func (p *part) isNewer() bool { return len(p.known.info.Holes)+len(p.Lost) > 0 || p.Fork != nil }

// keeps reports whether something of a space that is to be forgotten may be on this device alone.
func (p *part) keeps() (bool, error) {
	for rows, i := p.unsent.result(), 0; i < rows.Length(); i++ {
		row, err := decodeOutboxRow(jsbind.ToBytes(rows.Index(i).Get("row")), 0)
		if err != nil || row.State == replica.Waiting {
			return true, err
		}
	}
	return p.anyRefused.result().Int()+p.anyLost.result().Int() > 0, nil
}

// forget deletes all that there is of the space but its version. What no other space names of checkpoints and modules goes as
// it does otherwise.
func (p *part) forget(t *transaction) {
	for keys, i := p.doomed.result(), 0; i < keys.Length(); i++ {
		t.delete(storeOutbox, keys.Index(i))
	}
	for _, store := range []string{storeRejected, storeLost, storeSegments, storeCheckpoints} {
		t.delete(store, within(p.key))
	}
	t.delete(storeSegments, within(0, p.key))
	for _, name := range []string{pinnedName(p.Space), damagedName(p.Space), deletedName(p.Space), holesName(p.Space), droppedName(p.Space), branchName(p.Space)} {
		t.delete(storeMeta, js.ValueOf(name))
	}
	t.delete(storeSpaces, p.name)
	t.putMeta(versionName(p.Space), appendNumber(p.counter))
}

// changesSpace reports whether the part may change the row of its space, which appending does not.
func (p *part) changesSpace() bool {
	return p.Insert != nil || p.SetCreated != nil || !p.SetModule.IsZero() || len(p.Records) > 0 || p.Position != nil || p.Drop != nil
}

// writeRecords adds the segment of the part's records, in which those of merged are put too.
func (p *part) writeRecords(t *transaction) error {
	chain, first := p.Expect.Chain, p.First
	if p.Fork != nil {
		chain = p.Fork.Chain
	}
	var records []byte
	right := true
	if len(p.merged) > 0 {
		first = p.merged[0].first
		var err error
		if chain, records, right, err = p.takeMerged(); err != nil {
			return err
		}
		t.deleteSegments([]any{p.key, float64(first)}, []any{p.key, float64(p.First)})
	}
	value := appendSegment(make([]byte, 0, 64+len(records)+len(p.Records)), chain, records)
	t.putSegment(p.key, float64(first), float64(p.Last), append(value, p.Records...), right)
	return nil
}

// takeMerged returns the records of the segments that are merged, the chain before the first, and whether all of them have their sums.
func (p *part) takeMerged() (chain digest.Digest, records []byte, right bool, err error) {
	if n := p.old.length(); n != len(p.merged) {
		return chain, nil, false, fmt.Errorf("merge segments of space %v: %d are there, want %d: %w", p.Space, n, len(p.merged), errCorrupt)
	}
	right = true
	for i := range p.merged {
		value := p.old.bytes(i)
		before, encoded, err := decodeSegment(value)
		if err != nil {
			return chain, nil, false, err
		}
		right = right && p.old.right(value)
		if i == 0 {
			chain = before
		}
		records = append(records, encoded...)
	}
	return chain, records, right, nil
}

// removeAdded takes rows out again that one commit appends and removes: their keys were given, and count.
func (t *transaction) removeAdded(parts []*part) error {
	waited := false
	for _, p := range parts {
		for _, row := range p.changes.added {
			if row.present {
				continue
			}
			if !waited {
				if err := t.turn(); err != nil {
					return err
				}
				waited = true
			}
			t.delete(storeOutbox, js.ValueOf(float64(p.added[row].key())))
		}
	}
	return nil
}

// RaiseEpoch implements wasmclient.Store. Its transaction is over all stores, so it runs after everything that
// the tab that led before has begun.
func (s *Store) RaiseEpoch(ctx context.Context) (*replica.Loaded, error) {
	var l *loading
	raise := func(conn *connection) error {
		t, err := conn.begin(idb.TransactionReadWrite, idb.DurabilityStrict, allStores...)
		if err != nil {
			return err
		}
		l, err = t.load()
		if err == nil && l.newer {
			err = wasmclient.ErrNewerStore
		}
		if err != nil {
			t.abort()
			return err
		}
		l.loaded.Meta.Epoch++
		t.putMeta(metaEpoch, appendNumber(l.loaded.Meta.Epoch))
		return t.commit()
	}
	err := s.mended(ctx, func() error {
		err := s.run(ctx, raise)
		if err == nil {
			err = l.decode(ctx)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &l.loaded, nil
}
