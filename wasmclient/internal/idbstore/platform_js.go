package idbstore

import (
	"context"
	"errors"
	"fmt"
	"syscall/js"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsbind"
)

// This file is what go-indexeddb does not have: opening with blocked, versionchange and close events, getAll and
// key cursors that skip, and the end of a transaction told without doubt.

// The object stores, in the order in which they are made.
const (
	storeMeta        = "meta"
	storeSpaces      = "spaces"
	storeOutbox      = "outbox"
	storeRejected    = "rejected"
	storeLost        = "lost"
	storeSegments    = "segments"
	storeCheckpoints = "checkpoints"
	storeModules     = "modules"

	// storeText is there, and empty, where array keys have SpaceIDs as text: see checkKeys.
	storeText = "text_keys"

	indexBySpace = "space_id" // of the outbox
)

var allStores = []string{
	storeMeta, storeSpaces, storeOutbox, storeRejected, storeLost, storeSegments, storeCheckpoints, storeModules,
}

// errConnectionLost tells that the browser closed the connection. What ran may be run again on a new one.
var errConnectionLost = errors.New("idbstore: the browser closed the database")

// errNoIndexedDB tells that there is no such thing where this runs.
var errNoIndexedDB = errors.New("idbstore: there is no indexedDB here")

// openError says why the database could not be opened. What the browser could not do at the moment is tried again.
func openError(err error) error {
	switch {
	case named(err, "VersionError"):
		return fmt.Errorf("%w: %w", wasmclient.ErrNewerStore, err)
	case lossNamed(err):
		return fmt.Errorf("open the database: %w: %w", errConnectionLost, err)
	}
	return fmt.Errorf("open the database: %w", err)
}

// lossNamed reports whether an error that nobody here asked for is one that browsers give when they close a database, or
// lose the process that holds it: Chromium aborts what runs, Safari forgets its connections in the background.
func lossNamed(err error) bool {
	return named(err, "InvalidStateError") || named(err, "AbortError") || named(err, "UnknownError") || named(err, "TransactionInactiveError")
}

// named reports whether a DOMException has a name, whoever made an error of it.
func named(err error, name string) bool {
	return jsbind.IsNamed(err, name) || errors.Is(err, idb.NewDOMException(name))
}

// connection is an open database. It belongs to one tab and serves any number of transactions.
type connection struct {
	object js.Value      // IDBDatabase
	class  js.Value      // its prototype, whose method transaction begins one
	typed  *idb.Database // the same database; its transaction is the last of handed
	handed js.Value      // an array
	last   js.Value      // the IDBTransaction begun last: tests look at it
	text   bool          // array keys have SpaceIDs as text

	session wire.SessionID // of the replica that was there when it was opened

	lost   bool          // closed by the browser, or by us
	broken chan struct{} // closed when the browser closed it: of what runs nothing more need be told
	remove []func()
}

// connect opens the database and makes its stores if they are not there. disconnected is called when somebody else
// closes it; it must not block.
func connect(ctx context.Context, name string, disconnected func()) (*connection, error) {
	factory := js.Global().Get("indexedDB")
	if factory.IsUndefined() || factory.IsNull() {
		return nil, errNoIndexedDB
	}
	request, err := jsbind.Call(factory, "open", name, 1)
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	remove := []func(){
		jsbind.Listen(request, "upgradeneeded", func(js.Value) {
			db, transaction := request.Get("result"), request.Get("transaction")
			err := makeStores(db)
			if err == nil {
				err = checkKeys(db, transaction)
			}
			if err != nil {
				transaction.Call("abort")
			}
		}),
		jsbind.Listen(request, "success", func(js.Value) { done <- nil }),
		jsbind.Listen(request, "error", func(event js.Value) {
			event.Call("preventDefault")
			done <- jsbind.AsError(request.Get("error"))
		}),
	}
	removeAll := func() {
		for _, f := range remove {
			f()
		}
	}
	select {
	case err = <-done:
		removeAll()
	case <-ctx.Done():
		go func() { // whenever it opens after all, close it
			if <-done == nil {
				request.Get("result").Call("close")
			}
			removeAll()
		}()
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, openError(err)
	}
	return wrap(request, disconnected)
}

// makeStores makes what version 1 has. Everything after it is a matter of the values.
func makeStores(db js.Value) error {
	return jsbind.Try(func() {
		for _, name := range allStores {
			if name != storeOutbox {
				db.Call("createObjectStore", name)
				continue
			}
			store := db.Call("createObjectStore", name, map[string]any{"autoIncrement": true})
			store.Call("createIndex", indexBySpace, []any{"space", "id"}, map[string]any{"unique": true})
		}
	})
}

// checkKeys finds out whether the browser keeps array keys that begin with bytes. From 2024 to 2026 WebKit did not, on
// disk: it took what follows the bytes for more of them, so that keys were in another order, and other ones when they
// were read (bugs.webkit.org 308712). Databases that it makes have SpaceIDs as text in such keys, for ever.
func checkKeys(db, transaction js.Value) error {
	return jsbind.Try(func() {
		segments := transaction.Call("objectStore", storeSegments)
		segments.Call("put", 0, []any{jsbind.FromBytes([]byte{1}), 2})
		request := segments.Call("getAllKeys")
		var read js.Func
		read = js.FuncOf(func(js.Value, []js.Value) any {
			read.Release()
			if request.Get("result").Index(0).Index(0).Get("byteLength").Int() != 1 {
				db.Call("createObjectStore", storeText)
			}
			segments.Call("clear")
			return nil
		})
		request.Set("onsuccess", read)
	})
}

// inKey returns a SpaceID as array keys have it.
func (c *connection) inKey(id space.ID) js.Value {
	if c.text {
		return js.ValueOf(id.String())
	}
	return jsbind.FromBytes(id[:])
}

// wrap makes a connection of an open request that has succeeded.
func wrap(request js.Value, disconnected func()) (*connection, error) {
	c := &connection{object: request.Get("result"), broken: make(chan struct{})}
	c.text = c.object.Get("objectStoreNames").Call("contains", storeText).Bool()

	// The library hides its transactions' objects, whose events are needed here, and takes three calls into JavaScript
	// for each request. So transactions are begun here, and it is handed those that it is used for: a property of the
	// database itself comes before its prototype's.
	c.class = js.Global().Get("IDBDatabase").Get("prototype")
	c.handed = js.Global().Get("Array").New()
	c.object.Set("transaction", c.handed.Get("pop").Call("bind", c.handed))

	// The library makes its Database of nothing but a factory's request: give it the one that is done.
	reply := js.FuncOf(func(js.Value, []js.Value) any { return request })
	defer reply.Release()
	factory, err := idb.WrapFactory(js.ValueOf(map[string]any{"open": reply}))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // its listeners wait for events that have been
	opened, err := factory.Open(ctx, "", 1, func(*idb.Database, uint, uint) error { return nil })
	if err != nil {
		return nil, err
	}
	if c.typed, err = opened.Result(); err != nil {
		return nil, err
	}
	c.remove = []func(){
		jsbind.Listen(c.object, "close", func(js.Value) {
			c.abandon()
			disconnected()
		}),
		jsbind.Listen(c.object, "versionchange", func(js.Value) { // the version never changes: it is to be deleted
			c.close()
			disconnected()
		}),
		func() { c.object.Delete("transaction") },
	}
	return c, nil
}

// close closes the connection. Transactions that run come to their end.
func (c *connection) close() {
	if c.lost && c.remove == nil {
		return
	}
	c.lost = true
	c.object.Call("close")
	for _, f := range c.remove {
		f()
	}
	c.remove = nil
}

// abandon closes a connection that the browser has closed. Chromium does not tell the end of a transaction that was
// about to commit then; its outcome is unknown.
func (c *connection) abandon() {
	c.close()
	select {
	case <-c.broken:
	default:
		close(c.broken)
	}
}

// transaction is one IDBTransaction. It lives on one goroutine, which waits for nothing but its requests.
type transaction struct {
	c      *connection
	js     js.Value
	typed  *idb.Transaction // the same, once it is needed
	stores map[string]js.Value
	ended  chan error // gets nil when it is complete, else why it aborted
	reads  rawRequest // the last request of this turn
	err    error      // the first failure to issue a request
	apart  bool       // no segments are to be merged
	merges bool       // some are
	given  bool       // up, by this side
	right  stretches  // of segments whose sums were seen to be right
}

// begin begins a transaction over stores.
func (c *connection) begin(mode idb.TransactionMode, durability idb.TransactionDurability, stores ...string) (*transaction, error) {
	if c.lost {
		return nil, errConnectionLost
	}
	names := make([]any, len(stores))
	for i, name := range stores {
		names[i] = name
	}
	options := map[string]any{}
	if durability != idb.DurabilityDefault {
		options["durability"] = durability.String()
	}
	t := &transaction{c: c, stores: make(map[string]js.Value, len(stores)), ended: make(chan error, 1)}
	err := jsbind.Try(func() { t.js = c.class.Get("transaction").Call("call", c.object, names, mode.String(), options) })
	if err != nil { // mostly InvalidStateError: closed underneath, whether or not an event said so
		return nil, fmt.Errorf("%w: %w", errConnectionLost, err)
	}
	c.last = t.js
	var onEnd js.Func
	onEnd = js.FuncOf(func(_ js.Value, args []js.Value) any {
		onEnd.Release()
		if args[0].Get("type").String() == "complete" {
			t.ended <- nil
			return nil
		}
		err := jsbind.AsError(t.js.Get("error")) // quota errors arrive here and nowhere else
		if err == nil {
			err = &jsbind.Error{Name: "AbortError", Message: "the transaction was aborted"}
		}
		t.ended <- err
		return nil
	})
	t.js.Set("oncomplete", onEnd)
	t.js.Set("onabort", onEnd)
	return t, nil
}

// rawRequest is an IDBRequest.
type rawRequest struct{ object js.Value }

// listen calls success or failed once.
func (r rawRequest) listen(success, failed func()) {
	var onSuccess, onError js.Func
	release := func() { onSuccess.Release(); onError.Release() }
	onSuccess = js.FuncOf(func(js.Value, []js.Value) any { release(); success(); return nil })
	onError = js.FuncOf(func(js.Value, []js.Value) any { release(); failed(); return nil })
	r.object.Set("onsuccess", onSuccess)
	r.object.Set("onerror", onError)
}

func (r rawRequest) result() js.Value { return r.object.Get("result") }

// turn waits until all requests issued so far have succeeded, which they do in order: it listens to the last one.
// The goroutine that it wakes runs before control goes back to JavaScript, while the transaction is active.
func (t *transaction) turn() error {
	if t.err != nil {
		t.end()
		return t.lossOr(t.err)
	}
	if t.reads.object.IsUndefined() {
		return nil
	}
	succeeded := make(chan bool, 1)
	t.reads.listen(func() { succeeded <- true }, func() { succeeded <- false })
	t.reads = rawRequest{}
	select {
	case <-t.c.broken:
		return errConnectionLost
	case ok := <-succeeded:
		if ok {
			return nil
		}
	}
	err := t.wait()
	if err == nil { // a request that fails aborts its transaction; that error is the cause
		err = &jsbind.Error{Name: "AbortError", Message: "a request failed"}
	}
	return t.lossOr(err)
}

// abort undoes everything. Nothing need be waited for.
func (t *transaction) abort() {
	t.given = true
	t.end()
}

func (t *transaction) end() {
	_ = jsbind.Try(func() { t.js.Call("abort") }) // throws if it has ended, which is as good
}

// commit ends the transaction and waits until it is complete.
func (t *transaction) commit() error {
	if t.err != nil {
		t.end()
		return t.lossOr(t.err)
	}
	if err := jsbind.Try(func() { t.js.Call("commit") }); err != nil {
		t.end() // it had ended before, for a reason of its own
	}
	return t.lossOr(t.wait())
}

// wait waits for the end and returns why it aborted, if it did.
func (t *transaction) wait() error {
	select {
	case err := <-t.ended:
		return err
	case <-t.c.broken:
	}
	select {
	case err := <-t.ended: // both happened
		return err
	default:
		return errConnectionLost
	}
}

// lossOr returns errConnectionLost if err came from losing the connection.
func (t *transaction) lossOr(err error) error {
	if err != nil && (t.c.lost || !t.given && lossNamed(err)) {
		return fmt.Errorf("%w: %w", errConnectionLost, err)
	}
	return err
}

// raw issues a request on a store or on the outbox's index.
func (t *transaction) raw(index bool, store, method string, args ...any) rawRequest {
	if t.err != nil {
		return rawRequest{}
	}
	var request rawRequest
	t.err = jsbind.Try(func() { request.object = t.source(index, store).Call(method, args...) })
	t.reads = request
	return request
}

// source returns a store, or the outbox's index.
func (t *transaction) source(index bool, store string) js.Value {
	name := store
	if index {
		name = indexBySpace
	}
	source, ok := t.stores[name]
	if !ok {
		if source = t.js.Call("objectStore", store); index {
			source = source.Call("index", indexBySpace)
		}
		t.stores[name] = source
	}
	return source
}

// getAll asks for the values in a range of a store, at most count if that is not zero.
func (t *transaction) getAll(store string, keys js.Value, count int) rawRequest {
	return t.raw(false, store, "getAll", limited(keys, count)...)
}

// getAllKeys asks for the keys in a range of a store.
func (t *transaction) getAllKeys(store string, keys js.Value, count int) rawRequest {
	return t.raw(false, store, "getAllKeys", limited(keys, count)...)
}

func limited(keys js.Value, count int) []any {
	if count > 0 {
		return []any{keys, count}
	}
	return []any{keys}
}

// within is the range of all keys that are arrays and begin as prefix does: an empty array is above every number,
// string and binary key.
func within(prefix ...any) js.Value {
	upper := append(append([]any{}, prefix...), []any{})
	return between(prefix, upper, false, true)
}

func between(lower, upper any, lowerOpen, upperOpen bool) js.Value {
	return js.Global().Get("IDBKeyRange").Call("bound", lower, upper, lowerOpen, upperOpen)
}
