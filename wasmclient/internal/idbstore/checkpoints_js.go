package idbstore

import (
	"context"
	"fmt"
	"syscall/js"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsbind"
)

// Roots and pages of checkpoints are under their digests, whichever spaces they are of, and one row of each space names
// those of its checkpoint. A page that no row names is rubbish: it was written by a tab that stopped before it wrote
// its row, or its row went with a cut.

const (
	pagesAtOnce = 1 << 20                                 // bytes of pages that one transaction writes, but for a larger page alone
	putRounds   = 4 * replica.MaxCheckpoint / pagesAtOnce // transactions, more than any checkpoint needs unless other tabs delete its pages meanwhile
	sweepAtOnce = 512                                     // pages that are looked at on each side of the new root, which is anywhere among them
)

// Checkpoint implements wasmclient.Store. What it finds damaged it deletes, so that it is written again.
func (s *Store) Checkpoint(ctx context.Context, id space.ID) (*replica.Checkpoint, error) {
	var c *replica.Checkpoint
	var root digest.Digest
	err := s.view(ctx, func(t *transaction) error {
		c = nil
		all := within(t.c.inKey(id))
		keys, rows := t.getAllKeys(storeCheckpoints, all, 0), t.getAll(storeCheckpoints, all, 0)
		if err := t.turn(); err != nil {
			return err
		}
		newest := keys.result().Length() - 1
		if newest < 0 {
			return nil
		}
		names := decodeCheckpoint(jsbind.ToBytes(rows.result().Index(newest)))
		if len(names) == 0 {
			return nil
		}
		root = names[0]
		value := t.get(storeCheckpoints, jsbind.FromBytes(root[:]))
		if err := t.turn(); err != nil {
			return err
		}
		c = &replica.Checkpoint{Seq: uint64(keys.result().Index(newest).Index(1).Float()), Root: pageOf(value, root), Pages: map[digest.Digest][]byte{}}
		for _, d := range names[1:] {
			c.Pages[d] = nil
		}
		return nil
	}, storeCheckpoints)
	if err != nil || c == nil {
		return nil, err
	}
	if c.Root == nil {
		s.dropCheckpoints(ctx, []digest.Digest{root})
		return nil, nil
	}
	return c, nil
}

// CheckpointPages implements wasmclient.Store. What it finds damaged it deletes, so that it is written again.
func (s *Store) CheckpointPages(ctx context.Context, _ space.ID, names []digest.Digest) (map[digest.Digest][]byte, error) {
	values := make([]reply, len(names))
	err := s.view(ctx, func(t *transaction) error {
		for i, d := range names {
			values[i] = t.get(storeCheckpoints, jsbind.FromBytes(d[:]))
		}
		return t.turn()
	}, storeCheckpoints)
	if err != nil {
		return nil, err
	}
	pages := make(map[digest.Digest][]byte, len(names))
	var damaged []digest.Digest // or missing
	for i, d := range names {
		if page := pageOf(values[i], d); page != nil {
			pages[d] = page
		} else {
			damaged = append(damaged, d)
		}
	}
	if damaged != nil {
		s.dropCheckpoints(ctx, damaged)
	}
	return pages, nil
}

// pageOf returns a page or a root, nil where it is not there as what its digest says.
func pageOf(value reply, d digest.Digest) []byte {
	b := value.bytes()
	if len(b) == 0 || b[0] != format || digest.Of(b[1:]) != d {
		return nil
	}
	return b[1:]
}

// PutCheckpoint implements wasmclient.Store. What is too much for one transaction is written in several, the row in the
// last one, which sees that all pages are there.
func (s *Store) PutCheckpoint(ctx context.Context, id space.ID, c *replica.Checkpoint) error {
	size := c.Size()
	if size > replica.MaxCheckpoint {
		return nil
	}
	if err := s.leaveRoom(size); err != nil {
		return err
	}
	names := make([]digest.Digest, 1, len(c.Pages)+1)
	names[0] = digest.Of(c.Root)
	for d := range c.Pages {
		if d != names[0] {
			names = append(names, d)
		}
	}
	done := false
	var err error
	for round := 0; round < putRounds && !done && err == nil; round++ {
		err = s.transact(ctx, idb.TransactionReadWrite, idb.DurabilityRelaxed, func(t *transaction) (err error) {
			if done, err = t.putCheckpoint(id, c, names); err == nil && s.beforeCommit != nil {
				err = s.beforeCommit(t)
			}
			return err
		}, storeMeta, storeSpaces, storeCheckpoints)
	}
	if err == nil && !done { // who believed that it is there would begin with it, and fetch it again for ever
		err = fmt.Errorf("keep a checkpoint of %v: its pages do not stay", id)
	}
	return err
}

// putCheckpoint writes pages that are not there, and the row when all are. It reports whether nothing is left to do.
func (t *transaction) putCheckpoint(id space.ID, c *replica.Checkpoint, names []digest.Digest) (done bool, err error) {
	key := t.c.inKey(id)
	row := t.get(storeSpaces, jsbind.FromBytes(id[:]))
	there := make([]reply, len(names))
	for i, d := range names {
		there[i] = reply{t.raw(false, storeCheckpoints, "getKey", jsbind.FromBytes(d[:]))}
	}
	own := t.getAll(storeCheckpoints, within(key), 0)
	rows := [2]rawRequest{ // of other spaces: below and above
		t.getAll(storeCheckpoints, between([]any{}, []any{key}, false, true), 0),
		t.getAll(storeCheckpoints, between([]any{key, []any{}}, []any{[]any{}}, false, true), 0),
	}
	root := jsbind.FromBytes(names[0][:])
	pages := [2]rawRequest{
		t.getAllKeys(storeCheckpoints, between(jsbind.FromBytes(nil), root, false, true), sweepAtOnce),
		t.getAllKeys(storeCheckpoints, between(root, []any{}, true, true), sweepAtOnce),
	}
	if err := t.turnToWrite(); err != nil {
		return false, err
	}
	b := row.bytes()
	if b == nil {
		return true, nil
	}
	if known, err := decodeSpaceRow(b); err != nil || c.Seq > known.info.Position.Seq && !c.Ahead {
		return true, err // another tab cut it
	}
	written := 0
	for i, d := range names {
		if !there[i].value().IsUndefined() {
			continue
		}
		page := c.Pages[d]
		if i == 0 {
			page = c.Root
		}
		if page == nil {
			return false, fmt.Errorf("keep a checkpoint of %v: page %v is not here: %w", id, d, wasmclient.ErrDamaged)
		}
		if written > 0 && written+len(page) > pagesAtOnce {
			return false, nil
		}
		written += len(page)
		t.put(storeCheckpoints, jsbind.FromBytes(d[:]), append([]byte{format}, page...))
	}
	t.delete(storeCheckpoints, within(key))
	t.put(storeCheckpoints, js.ValueOf([]any{key, float64(c.Seq)}), appendCheckpoint(nil, names))

	named := map[digest.Digest]bool{}
	name := func(names []digest.Digest) {
		for _, d := range names {
			named[d] = true
		}
	}
	name(names)
	for _, r := range rows {
		for i := range r.result().Length() {
			name(decodeCheckpoint(jsbind.ToBytes(r.result().Index(i))))
		}
	}
	drop := func(d digest.Digest) {
		if !named[d] {
			t.delete(storeCheckpoints, jsbind.FromBytes(d[:]))
		}
	}
	for i := range own.result().Length() {
		for _, d := range decodeCheckpoint(jsbind.ToBytes(own.result().Index(i))) {
			drop(d)
		}
	}
	for _, p := range pages {
		for i := range p.result().Length() {
			drop(idOf(p.result().Index(i)))
		}
	}
	return true, nil
}

// DropCheckpoint implements wasmclient.Store. The pages go when the next one is put.
func (s *Store) DropCheckpoint(ctx context.Context, id space.ID) error {
	return s.transact(ctx, idb.TransactionReadWrite, idb.DurabilityRelaxed, func(t *transaction) error {
		if err := t.turnToWrite(); err != nil {
			return err
		}
		t.delete(storeCheckpoints, within(t.c.inKey(id)))
		return nil
	}, storeMeta, storeCheckpoints)
}

// dropCheckpoints deletes roots and pages, or with nil everything of all checkpoints, and reports whether there was any.
func (s *Store) dropCheckpoints(ctx context.Context, names []digest.Digest) (dropped bool) {
	err := s.transact(ctx, idb.TransactionReadWrite, idb.DurabilityRelaxed, func(t *transaction) error {
		count := t.raw(false, storeCheckpoints, "count")
		if err := t.turnToWrite(); err != nil {
			return err
		}
		dropped = count.result().Int() > 0
		for _, d := range names {
			t.delete(storeCheckpoints, jsbind.FromBytes(d[:]))
		}
		if names == nil && dropped {
			t.on(storeCheckpoints, func(o *idb.ObjectStore) error {
				_, err := o.Clear()
				return err
			})
		}
		return nil
	}, storeMeta, storeCheckpoints)
	return err == nil && dropped
}
