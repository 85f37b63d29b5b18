package idbstore

import (
	"syscall/js"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/space"
	"skerry/wasmclient/internal/jsbind"
)

// Requests of one transaction. The first that cannot be issued fails the next turn or commit, so that callers issue
// all they need and look once. Those of every commit are issued directly, the others by go-indexeddb.

func (t *transaction) on(store string, f func(*idb.ObjectStore) error) {
	if t.err != nil {
		return
	}
	if t.typed == nil {
		t.c.handed.Call("push", t.js)
		if t.typed, t.err = t.c.typed.Transaction(idb.TransactionReadWrite, store); t.err != nil {
			return
		}
	}
	objects, err := t.typed.ObjectStore(store)
	if err == nil {
		err = f(objects)
	}
	t.err = err
}

// get asks for the value of one key.
func (t *transaction) get(store string, key js.Value) reply {
	return reply{t.raw(false, store, "get", key)}
}

// getMeta asks for the value of a name in meta.
func (t *transaction) getMeta(name string) reply { return t.get(storeMeta, js.ValueOf(name)) }

// find asks for the outbox row of an id: its key or its value.
func (t *transaction) find(id rowKey, value bool) reply {
	method := "getKey"
	if value {
		method = "get"
	}
	return reply{t.raw(true, storeOutbox, method, id.array())}
}

// issue issues a request that nobody waits for: it is done when the transaction is complete.
func (t *transaction) issue(store, method string, args ...any) {
	if t.err == nil {
		t.err = jsbind.Try(func() { t.source(false, store).Call(method, args...) })
	}
}

func (t *transaction) put(store string, key js.Value, value []byte) {
	t.issue(store, "put", jsbind.FromBytes(value), key)
}

func (t *transaction) putMeta(name string, value []byte) {
	t.put(storeMeta, js.ValueOf(name), value)
}

// putRow replaces a row of the outbox, or adds one where key is zero; the reply is its key then.
func (t *transaction) putRow(key uint64, id rowKey, row []byte) reply {
	value := js.ValueOf(map[string]any{"space": id.space, "id": id.id(), "row": jsbind.FromBytes(row)})
	if key != 0 {
		t.issue(storeOutbox, "put", value, float64(key))
		return reply{}
	}
	return reply{t.raw(false, storeOutbox, "add", value)}
}

// delete deletes a key or a range of keys.
func (t *transaction) delete(store string, key js.Value) {
	t.on(store, func(o *idb.ObjectStore) error {
		_, err := o.Delete(key)
		return err
	})
}

// reply is a request whose result can be read after the turn that it was issued in.
type reply struct{ request rawRequest }

func (r reply) value() js.Value {
	if r.request.object.IsUndefined() {
		return js.Undefined()
	}
	return r.request.result()
}

// bytes returns a copy of the value, nil if there is none.
func (r reply) bytes() []byte { return jsbind.ToBytes(r.value()) }

// key returns a generated key, zero if there is none.
func (r reply) key() uint64 {
	if v := r.value(); v.Type() == js.TypeNumber {
		return uint64(v.Float())
	}
	return 0
}

// rowKey names a row by space and id, as the outbox's index and the rejected store do.
type rowKey struct {
	space js.Value // the SpaceID, as it is in such keys
	ulid  space.ULID
}

func (k rowKey) id() js.Value { return jsbind.FromBytes(k.ulid[:]) }

func (k rowKey) array() js.Value { return js.ValueOf([]any{k.space, k.id()}) }
