package idbstore

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"syscall/js"
	"testing"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/module"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsbind"
)

// ruin writes into a store's database whatever f does.
func ruin(t *testing.T, s *Store, f func(*transaction) error) {
	t.Helper()
	err := s.transact(t.Context(), idb.TransactionReadWrite, idb.DurabilityStrict, f, allStores...)
	if err != nil {
		t.Fatal(err)
	}
}

var torn = []byte{format, 0xff}

// made is a space with so many records, a genesis that the server has, three transactions that wait and a refused one.
func made(t *testing.T, s *Store, records int) (space.ID, space.Position) {
	t.Helper()
	return madeOf(t, s, records, 5<<10)
}

// madeOf is made with payloads of some size.
func madeOf(t *testing.T, s *Store, records, size int) (space.ID, space.Position) {
	t.Helper()
	genesis := &space.Genesis{Stamp: space.ULID{7}, Creator: testIdentity, Module: module.Open, Params: []byte{0x80}}
	id := genesis.ID()
	mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{{Space: id, Insert: &replica.SpaceInfo{
		Genesis: genesis, GenesisSignature: []byte("signature"), Created: true, Module: module.Open, Position: space.Start(id),
	}}}})
	at := space.Start(id)
	for n := range records {
		tx := space.Transaction{Author: testIdentity, Events: []space.Event{{ID: space.ULID{2, byte(n)}, Type: "t", Payload: make([]byte, size)}}}
		run := tx.Records(at.Seq+1, 1)
		before, after := at, space.Position{Seq: at.Seq + 1, Chain: space.Fold(at.Chain, run)}
		mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{{
			Space: id, Expect: &before, Records: wire.AppendRecord(nil, &run[0]), First: after.Seq, Last: after.Seq, Position: &after,
		}}})
		at = after
	}
	for n := range byte(4) {
		c := testAppend(n + 1)
		c.Spaces[0].Space = id
		mustCommit(t, s, c)
	}
	mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{{Space: id, Reject: []replica.Rejection{{
		ID: space.ULID{0, 4}, Code: wire.CodeForbidden, By: replica.ByServer,
	}}}}})
	return id, at
}

// TestMend spoils something of everything but records: what follows from the rest is there again, and what waited is
// among the rejected, with its bytes.
func TestMend(t *testing.T) {
	name := freshName(t)
	s := openTest(t, name)
	id, at := made(t, s, 40)
	if _, err := s.RaiseEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, err := s.Refresh(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	lost := []byte{format, 0, 0xff, 'w', 'o', 'r', 'd', 's'}
	ruin(t, s, func(tx *transaction) error {
		row := tx.get(storeSpaces, jsbind.FromBytes(id[:]))
		if err := tx.turn(); err != nil {
			return err
		}
		tx.put(storeSpaces, jsbind.FromBytes(id[:]), row.bytes()[:len(row.bytes())-60])
		waits := rowKey{tx.c.inKey(id), space.ULID{0, 2}}
		key := tx.find(waits, false)
		if err := tx.turn(); err != nil {
			return err
		}
		tx.putRow(key.key(), waits, lost)
		tx.put(storeRejected, rowKey{tx.c.inKey(id), space.ULID{0, 4}}.array(), torn)
		tx.put(storeLost, rowKey{tx.c.inKey(id), space.ULID{0, 5}}.array(), torn)
		for _, name := range []string{metaEpoch, metaChanges, metaSince, versionName(id), damagedName(id)} {
			tx.putMeta(name, []byte{0xff})
		}
		return nil
	})

	s = openTest(t, name)
	loaded, err := s.Load(t.Context())
	if err != nil || len(loaded.Spaces) != 1 {
		t.Fatalf("load: %+v, %v", loaded, err)
	}
	if loaded.Meta.Epoch <= before.Epoch || loaded.Meta.Since != nil || loaded.Meta.Identity != testIdentity || loaded.Changes == 0 {
		t.Errorf("the replica is %+v", loaded.Meta)
	}
	got, err := s.Refresh(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	info := &got.Info
	if info.Position.Seq != at.Seq || info.Position.Chain != at.Chain || info.Damaged != at.Seq {
		t.Errorf("the space is at %+v, damaged up to %d; want %+v", info.Position, info.Damaged, at)
	}
	if info.Genesis == nil || info.Genesis.ID() != id || !info.Created || string(info.GenesisSignature) != "signature" || info.Module != module.Open {
		t.Errorf("of what the space was made from is left: %+v", info)
	}
	if got.Version <= before.Version {
		t.Errorf("the space's version went from %d to %d", before.Version, got.Version)
	}
	if len(got.Outbox) != 2 || got.Outbox[0].ID != (space.ULID{0, 1}) || got.Outbox[1].ID != (space.ULID{0, 3}) {
		t.Errorf("what waits: %+v", got.Outbox)
	}
	if rows, err := s.Outbox(t.Context(), id, 0, 1<<20); err != nil || len(rows) != 2 {
		t.Errorf("%d rows wait, %v", len(rows), err)
	}
	if len(got.Rejected) != 2 {
		t.Fatalf("rejected: %+v", got.Rejected)
	}
	for i, want := range [][]byte{lost, torn} {
		row := &got.Rejected[i]
		if row.ID != (space.ULID{0, byte(2 + 2*i)}) || row.Code != wire.CodeDamaged || row.By != replica.ByDevice || row.Reason == "" {
			t.Errorf("set aside: %+v", row)
		}
		if e := row.Transaction.Events; len(e) != 1 || e[0].ID != row.ID || e[0].Type[0] != '$' || !bytes.HasSuffix(e[0].Payload, want) {
			t.Errorf("set aside: %+v", e)
		}
	}
	if rows, err := s.Lost(t.Context(), id); err != nil || len(rows) != 1 || rows[0].ID != (space.ULID{0, 5}) || rows[0].Code != wire.CodeDamaged ||
		!bytes.HasSuffix(rows[0].Transaction.Events[0].Payload, torn) {
		t.Errorf("of the lost rows there is %+v, %v", rows, err)
	}
	changes, err := s.Changes(t.Context(), 0)
	if err != nil || len(changes.Spaces) != 1 || changes.Spaces[0].Version != got.Version {
		t.Errorf("changes: %+v, %v", changes, err)
	}
	// It goes on: the sync of whoever leads, appending, and what was set aside can be taken back or away.
	next := testAppend(5)
	next.Spaces[0].Space = id
	next.Spaces[0].Discard = []space.ULID{{0, 2}}
	next.Spaces[0].Retry = []space.ULID{{0, 4}}
	mustCommit(t, s, next)
	if got, err = s.Refresh(t.Context(), id); err != nil || len(got.Outbox) != 4 || len(got.Rejected) != 0 {
		t.Fatalf("afterwards: %+v, %v", got, err)
	}
	if records, err := s.Read(t.Context(), id, 0, 1000, 1<<30); err != nil || space.Fold(id, records) != at.Chain {
		t.Errorf("%d records, %v", len(records), err)
	}
}

// TestMendWhileCommitting spoils rows that a commit has to read.
func TestMendWhileCommitting(t *testing.T) {
	s := openTest(t, freshName(t))
	id, at := made(t, s, 3)
	ruin(t, s, func(tx *transaction) error {
		waits := rowKey{tx.c.inKey(id), space.ULID{0, 2}}
		key := tx.find(waits, false)
		if err := tx.turn(); err != nil {
			return err
		}
		tx.putRow(key.key(), waits, torn)
		tx.put(storeSpaces, jsbind.FromBytes(id[:]), torn)
		return nil
	})
	result := mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{{Space: id, Expect: &at, Mark: []replica.Mark{
		{ID: space.ULID{0, 1}, State: replica.Accepted, Position: at}, {ID: space.ULID{0, 2}, State: replica.Accepted, Position: at},
	}}}})
	if result.Stale {
		t.Fatal("the position was not found again")
	}
	got, err := s.Refresh(t.Context(), id)
	if err != nil || got.Info.Genesis != nil || got.Info.Position.Chain != at.Chain || len(got.Outbox) != 2 || got.Outbox[0].State != replica.Accepted {
		t.Fatalf("%+v, %v", got, err)
	}
	if !slices.ContainsFunc(got.Rejected, func(row replica.RejectedRow) bool { return row.ID == space.ULID{0, 2} }) {
		t.Fatalf("what waited is gone: %+v", got.Rejected)
	}
}

// TestMendBehindATornSegment loses a space's row and its newest records: it stands where it can be read to.
func TestMendBehindATornSegment(t *testing.T) {
	s := openTest(t, freshName(t))
	id, at := made(t, s, 40)
	var first uint64
	ruin(t, s, func(tx *transaction) error {
		keys := tx.getAllKeys(storeSegments, js.Undefined(), 0)
		if err := tx.turn(); err != nil {
			return err
		}
		last := keys.result().Index(keys.result().Length() - 1)
		first = extent(last).first
		tx.put(storeSegments, last, append(append([]byte{format}, id[:]...), 0xc1))
		tx.put(storeSpaces, jsbind.FromBytes(id[:]), nil)
		return nil
	})
	got, err := s.Refresh(t.Context(), id)
	if err != nil || first < 2 || got.Info.Position.Seq != first-1 || got.Info.Damaged != first-1 {
		t.Fatalf("%+v, %v; the last segment began at %d", got, err, first)
	}
	records, err := s.Read(t.Context(), id, 0, 1000, 1<<30)
	if err != nil || uint64(len(records)) != first-1 || space.Fold(id, records) != got.Info.Position.Chain || got.Info.Position.Chain == at.Chain {
		t.Fatalf("%d records, %v", len(records), err)
	}
}

// TestMendNot has damage that nothing else tells how to mend: it is said what it is.
func TestMendNot(t *testing.T) {
	for _, lost := range []string{metaIdentity, metaSession, metaServer, metaMinReader, metaMinWriter} {
		name := freshName(t)
		s := openTest(t, name)
		mustCommit(t, s, testAppend(1))
		ruin(t, s, func(tx *transaction) error {
			tx.putMeta(lost, []byte{0xff})
			tx.putMeta(metaEpoch, []byte{0xff})
			return nil
		})
		s.Close()
		s, err := Open(t.Context(), Config{Name: name, Identity: "another"})
		if err == nil {
			_, err = s.Load(t.Context())
			s.Close()
		}
		if !errors.Is(err, wasmclient.ErrDamaged) || !strings.Contains(err.Error(), lost) {
			t.Errorf("the %s is damaged: %v", lost, err)
		}
	}
}
