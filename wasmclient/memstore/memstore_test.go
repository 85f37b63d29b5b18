package memstore_test

import (
	"errors"
	"testing"

	"skerry/shared/replica"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
	"skerry/wasmclient/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Storage {
		var fail error
		data := memstore.New(memstore.Config{Identity: "did:key:someone", Fail: func(*replica.Commit) error {
			err := fail
			fail = nil
			return err
		}})
		return storetest.Storage{
			Open:      func() wasmclient.Store { return data.Handle() },
			Identity:  "did:key:someone",
			AbortNext: func() { fail = errors.New("aborted") },
			FullNext:  func() { fail = wasmclient.ErrFull },
			Delete:    data.Delete,

			DamageModule: data.DamageModule,
			DamagePage:   data.DamagePage,
		}
	})
}
