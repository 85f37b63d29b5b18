package idbstore

import (
	"context"
	"fmt"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/digest"
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

// PutModule implements wasmclient.Store. A module is never dropped, not even for want of room: a server that had
// it may forget it as long as none of its spaces is of it, and one that was restored may have forgotten the spaces.
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
		if s.beforeCommit != nil {
			return s.beforeCommit(t)
		}
		return nil
	}
	return s.withRoom(ctx, len(module), func() error {
		return s.transact(ctx, idb.TransactionReadWrite, idb.DurabilityStrict, put, storeMeta, storeModules)
	})
}

// turnToWrite is turn, and fails where the store is one that this version must not write.
func (t *transaction) turnToWrite() error {
	least := t.getAll(storeMeta, between(metaMinReader, metaMinWriter, false, false), 0)
	if err := t.turn(); err != nil {
		return err
	}
	return writable(least)
}
