package idbstore

import (
	"context"
	"fmt"
	"syscall/js"
	"testing"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/replica"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsbind"
	"skerry/wasmclient/storetest"
)

const testIdentity = "did:key:someone"

var databases int

// freshName names a database that is deleted when the test ends.
func freshName(t testing.TB) string {
	databases++
	name := fmt.Sprintf("%s-%d", t.Name(), databases)
	t.Cleanup(func() { js.Global().Get("indexedDB").Call("deleteDatabase", name) })
	return name
}

func openTest(t testing.TB, name string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Config{Name: name, Identity: testIdentity})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Storage {
		name := freshName(t)
		var fail func(*transaction) error
		hook := func(tx *transaction) error {
			f := fail
			fail = nil
			if f == nil {
				return nil
			}
			return f(tx)
		}
		return storetest.Storage{
			Identity: testIdentity,
			Open: func() wasmclient.Store {
				s := openTest(t, name)
				s.beforeCommit = hook
				return s
			},
			AbortNext: func() {
				fail = func(tx *transaction) error { tx.abort(); return nil }
			},
			FullNext: func() {
				fail = func(*transaction) error { return &jsbind.Error{Name: "QuotaExceededError"} }
			},
			MakeNewer: func() { makeNewer(t, openTest(t, name), metaMinWriter) },
		}
	})
}

func makeNewer(t *testing.T, s *Store, name string) {
	t.Helper()
	err := s.run(context.Background(), func(conn *connection) error {
		tx, err := conn.begin(idb.TransactionReadWrite, idb.DurabilityStrict, storeMeta)
		if err != nil {
			return err
		}
		tx.putMeta(name, appendNumber(version+1))
		return tx.commit()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func mustCommit(t testing.TB, s *Store, c *replica.Commit) *replica.CommitResult {
	t.Helper()
	result, err := s.Commit(context.Background(), c)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return result
}
