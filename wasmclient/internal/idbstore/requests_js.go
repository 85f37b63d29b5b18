package idbstore

import (
	"syscall/js"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/space"
	"skerry/wasmclient/internal/jsbind"
)

// Requests of one transaction by go-indexeddb. The first that cannot be issued fails the next turn or commit, so
// that callers issue all they need and look once.

func (t *transaction) on(store string, f func(*idb.ObjectStore) error) {
	if t.err != nil {
		return
	}
	objects, err := t.typed.ObjectStore(store)
	if err == nil {
		err = f(objects)
	}
	t.err = err
}

// get asks for the value of one key.
func (t *transaction) get(store string, key js.Value) reply {
	var r reply
	t.on(store, func(o *idb.ObjectStore) (err error) {
		if r.request, err = o.Get(key); err == nil {
			t.reads = r.request
		}
		return err
	})
	return r
}

// getMeta asks for the value of a name in meta.
func (t *transaction) getMeta(name string) reply { return t.get(storeMeta, js.ValueOf(name)) }

// find asks for the outbox row of an id: its key or its value.
func (t *transaction) find(id rowKey, value bool) reply {
	var r reply
	t.on(storeOutbox, func(o *idb.ObjectStore) error {
		index, err := o.Index(indexBySpace)
		if err != nil {
			return err
		}
		if value {
			r.request, err = index.Get(id.array())
		} else {
			r.request, err = index.GetKey(id.array())
		}
		if err == nil {
			t.reads = r.request
		}
		return err
	})
	return r
}

func (t *transaction) put(store string, key js.Value, value []byte) {
	t.on(store, func(o *idb.ObjectStore) error {
		_, err := o.PutKey(key, jsbind.FromBytes(value))
		return err
	})
}

func (t *transaction) putMeta(name string, value []byte) {
	t.put(storeMeta, js.ValueOf(name), value)
}

// addMeta writes a name that must not be there yet.
func (t *transaction) addMeta(name string, value []byte) {
	t.on(storeMeta, func(o *idb.ObjectStore) error {
		_, err := o.AddKey(js.ValueOf(name), jsbind.FromBytes(value))
		return err
	})
}

// putRow replaces a row of the outbox, or adds one where key is zero; the reply is its key then.
func (t *transaction) putRow(key uint64, id rowKey, row []byte) reply {
	value := js.ValueOf(map[string]any{"space": id.space, "id": id.id(), "row": jsbind.FromBytes(row)})
	var r reply
	t.on(storeOutbox, func(o *idb.ObjectStore) (err error) {
		if key != 0 {
			_, err = o.PutKey(js.ValueOf(float64(key)), value)
			return err
		}
		request, err := o.Add(value)
		if err == nil {
			r.request, t.reads = request.Request, request
		}
		return err
	})
	return r
}

// delete deletes a key or a range of keys.
func (t *transaction) delete(store string, key js.Value) {
	t.on(store, func(o *idb.ObjectStore) error {
		_, err := o.Delete(key)
		return err
	})
}

// reply is a request whose result can be read after the turn that it was issued in.
type reply struct{ request *idb.Request }

func (r reply) value() js.Value {
	if r.request == nil {
		return js.Undefined()
	}
	value, err := r.request.Result()
	if err != nil {
		return js.Undefined()
	}
	return value
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
