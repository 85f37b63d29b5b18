package idbstore

import (
	"context"
	"fmt"
	"syscall/js"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsbind"
)

// Module implements wasmclient.Store.
func (s *Store) Module(ctx context.Context, d digest.Digest) (module []byte, err error) {
	err = s.view(ctx, func(t *transaction) error {
		value := t.get(storeModules, jsbind.FromBytes(d[:]))
		if err := t.turn(); err != nil {
			return err
		}
		module = value.bytes()
		return nil
	}, storeModules)
	if err != nil || len(module) == 0 || module[0] != format || digest.Of(module[1:]) != d {
		return nil, err
	}
	return module[1:], nil
}

// PutModule implements wasmclient.Store.
func (s *Store) PutModule(ctx context.Context, d digest.Digest, module []byte) error {
	if digest.Of(module) != d {
		return fmt.Errorf("keep module %v: the bytes have another digest: %w", d, wasmclient.ErrDamaged)
	}
	value := append(append(make([]byte, 0, 1+len(module)), format), module...)
	put := func(t *transaction) error {
		if err := t.turnToWrite(); err != nil {
			return err
		}
		t.put(storeModules, jsbind.FromBytes(d[:]), value)
		t.delete(storeMeta, js.ValueOf(unnamedName(d)))
		if s.beforeCommit != nil {
			return s.beforeCommit(t)
		}
		return nil
	}
	return s.withRoom(ctx, len(module), func() error {
		return s.transact(ctx, idb.TransactionReadWrite, idb.DurabilityStrict, put, storeMeta, storeModules)
	})
}

// CollectModules implements wasmclient.Store. Since when a module is not named is under its name in meta.
func (s *Store) CollectModules(ctx context.Context, named *replica.ModuleNames, now uint64) error {
	return s.transact(ctx, idb.TransactionReadWrite, idb.DurabilityRelaxed, func(t *transaction) error {
		modules := t.getAllKeys(storeModules, everyDigest(), 0)
		noted := between(unnamedPrefix, unnamedPrefix+"g", false, true)
		names, values := t.getAllKeys(storeMeta, noted, 0), t.getAll(storeMeta, noted, 0)
		if err := t.turnToWrite(); err != nil {
			return err
		}
		since := map[digest.Digest]uint64{}
		for i := range names.result().Length() {
			name := names.result().Index(i)
			d, ok := spaceOf(unnamedPrefix, name.String())
			at, err := decodeNumber(jsbind.ToBytes(values.result().Index(i)))
			if !ok || err != nil || named.Has(d) {
				t.delete(storeMeta, name)
				continue
			}
			since[d] = at
		}
		var due []digest.Digest
		for i := range modules.result().Length() {
			d := idOf(modules.result().Index(i))
			at, isNoted := since[d]
			switch {
			case named.Has(d):
			case !isNoted:
				t.putMeta(unnamedName(d), appendNumber(now))
			case now >= at+replica.UnnamedModules:
				due = append(due, d)
			}
		}
		if due == nil {
			return nil
		}
		stored, err := t.moduleNames()
		for _, d := range due {
			if err == nil && !stored.Has(d) {
				t.delete(storeModules, jsbind.FromBytes(d[:]))
				t.delete(storeMeta, js.ValueOf(unnamedName(d)))
			}
		}
		return err
	}, storeMeta, storeSpaces, storeModules)
}

// dropModules deletes the modules that the server has for certain, and reports whether there was any.
func (s *Store) dropModules(ctx context.Context) (dropped bool) {
	err := s.transact(ctx, idb.TransactionReadWrite, idb.DurabilityRelaxed, func(t *transaction) error {
		dropped = false
		modules := t.getAllKeys(storeModules, everyDigest(), 0)
		if err := t.turnToWrite(); err != nil || modules.result().Length() == 0 {
			return err
		}
		names, err := t.moduleNames()
		if err != nil {
			return err
		}
		for i := range modules.result().Length() {
			key := modules.result().Index(i)
			if names.Again(idOf(key)) {
				t.delete(storeModules, key)
				dropped = true
			}
		}
		return nil
	}, storeMeta, storeSpaces, storeModules)
	return err == nil && dropped
}

// moduleNames reads which modules the spaces name. One turn.
func (t *transaction) moduleNames() (*replica.ModuleNames, error) {
	rows := t.getAll(storeSpaces, everyDigest(), 0)
	if err := t.turn(); err != nil {
		return nil, err
	}
	names := &replica.ModuleNames{}
	for i := range rows.result().Length() {
		row, err := decodeSpaceRow(jsbind.ToBytes(rows.result().Index(i)))
		if err != nil {
			return nil, err // it may name any
		}
		names.Add(&row.info)
	}
	return names, nil
}

// everyDigest is the range of all keys that are bytes.
func everyDigest() js.Value { return between(jsbind.FromBytes(nil), []any{}, false, true) }

// turnToWrite is turn, and fails where the store is one that this version must not write.
func (t *transaction) turnToWrite() error {
	least := t.getAll(storeMeta, between(metaMinReader, metaMinWriter, false, false), 0)
	if err := t.turn(); err != nil {
		return err
	}
	return writable(least)
}
