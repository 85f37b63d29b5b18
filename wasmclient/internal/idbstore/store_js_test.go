package idbstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall/js"
	"testing"
	"time"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
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

func TestStore(t *testing.T) { testStore(t, freshName) }

// TestStoreWithTextKeys has a database as it is made where the browser confuses array keys that begin with bytes.
func TestStoreWithTextKeys(t *testing.T) {
	testStore(t, func(t testing.TB) string {
		name := freshName(t)
		request := js.Global().Get("indexedDB").Call("open", name, 1)
		defer jsbind.Listen(request, "upgradeneeded", func(js.Value) {
			makeStores(request.Get("result"))
			request.Get("result").Call("createObjectStore", storeText)
		})()
		made := make(chan struct{})
		defer jsbind.Listen(request, "success", func(js.Value) { close(made) })()
		<-made
		request.Get("result").Call("close")
		return name
	})
}

// TestKeysAreTextWhereBytesAreConfused has a browser that reads array keys that begin with bytes as other ones, as
// WebKit did: a database that is made there has SpaceIDs as text in them, and so has it ever after.
func TestKeysAreTextWhereBytesAreConfused(t *testing.T) {
	stores := js.Global().Get("IDBObjectStore").Get("prototype")
	list := stores.Get("getAllKeys")
	confused := js.FuncOf(func(this js.Value, _ []js.Value) any {
		this.Call("put", []any{[]any{jsbind.FromBytes(make([]byte, 9)), 2}}, 0)
		return this.Call("get", 0)
	})
	stores.Set("getAllKeys", confused)
	name := freshName(t)
	made := openTest(t, name)
	stores.Set("getAllKeys", list)
	confused.Release()
	mustCommit(t, made, testAppend(1))
	_, part := benchRun(space.Start(testSpace), 3)
	mustCommit(t, made, &replica.Commit{Spaces: []replica.SpaceCommit{*part}})
	made.Close()
	s := openTest(t, name) // by a browser that is mended
	_, part = benchRun(*part.Position, 3)
	mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{*part}})
	if records, err := s.Read(context.Background(), testSpace, 0, 10, 1<<20); err != nil || len(records) != 6 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	err := s.view(context.Background(), func(tx *transaction) error {
		keys := tx.getAllKeys(storeSegments, js.Undefined(), 0)
		if err := tx.turn(); err != nil {
			return err
		}
		found := keys.result()
		for i := range found.Length() {
			key := found.Index(i)
			if key.Index(0).Type() == js.TypeNumber { // a segment's sum
				key = key.Call("slice", 1)
			}
			if id := key.Index(0); id.Type() != js.TypeString || id.String() != testSpace.String() {
				t.Errorf("key %d names the space by %v, not by its ID as text", i, id)
			}
		}
		if found.Length() != 4 {
			t.Errorf("%d keys, not those of two segments and their sums", found.Length())
		}
		return nil
	}, storeSegments)
	if err != nil {
		t.Fatal(err)
	}
}

func testStore(t *testing.T, fresh func(testing.TB) string) {
	storetest.Run(t, func(t *testing.T) storetest.Storage {
		name := fresh(t)
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
			Delete:    func() { deleteDatabase(t, name) },

			DamageModule: func(d digest.Digest) { damage(t, openTest(t, name), storeModules, d, false) },
			DamagePage:   func(d digest.Digest, lose bool) { damage(t, openTest(t, name), storeCheckpoints, d, lose) },
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

// damage changes a bit of what is under a digest, or deletes it.
func damage(t *testing.T, s *Store, store string, d digest.Digest, lose bool) {
	t.Helper()
	err := s.run(context.Background(), func(conn *connection) error {
		tx, err := conn.begin(idb.TransactionReadWrite, idb.DurabilityStrict, store)
		if err != nil {
			return err
		}
		key := jsbind.FromBytes(d[:])
		value := tx.get(store, key)
		if err := tx.turn(); err != nil {
			return err
		}
		b := value.bytes()
		b[len(b)/2] ^= 1
		if tx.put(store, key, b); lose {
			tx.delete(store, key)
		}
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

var testSpace = space.ID{1}

func testAppend(n byte) *replica.Commit {
	t := space.Transaction{Author: testIdentity, Events: []space.Event{{ID: space.ULID{0, n}, Type: "t", Payload: []byte{n}}}}
	return &replica.Commit{Spaces: []replica.SpaceCommit{{Space: testSpace, Append: []replica.OutboxRow{{Entry: replica.Entry{ID: t.ID()}, Transaction: t}}}}}
}

// TestDurability checks that strict is really asked for, where and only where it should be.
func TestDurability(t *testing.T) {
	s := openTest(t, freshName(t))
	var asked []string
	s.beforeCommit = func(tx *transaction) error {
		asked = append(asked, tx.js.Get("durability").String()+" "+tx.js.Get("mode").String())
		return nil
	}
	strict := testAppend(1)
	strict.Strict = true
	mustCommit(t, s, strict)
	mustCommit(t, s, testAppend(2))
	if err := s.PutModule(t.Context(), digest.Of([]byte("module")), []byte("module")); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, &replica.Checkpoint{Root: []byte("root")})
	if want := []string{"strict readwrite", "relaxed readwrite", "strict readwrite", "relaxed readwrite"}; !slices.Equal(asked, want) {
		t.Fatalf("asked for %q, want %q", asked, want)
	}
	if _, err := s.RaiseEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.conn.last.Get("durability").String(); got != "strict" {
		t.Fatalf("raising the epoch asked for %q durability", got)
	}
	if n := s.conn.last.Get("objectStoreNames").Length(); n != len(allStores) {
		t.Fatalf("raising the epoch is over %d stores, want all %d", n, len(allStores))
	}
}

// TestConnectionLost closes the connection under the store, with and without the event that says so, before and in
// the middle of a commit.
func TestConnectionLost(t *testing.T) {
	s := openTest(t, freshName(t))
	mustCommit(t, s, testAppend(1))

	s.conn.object.Call("close") // the next transaction is an InvalidStateError
	mustCommit(t, s, testAppend(2))

	old := s.conn
	old.object.Call("close")
	old.object.Call("dispatchEvent", js.Global().Get("Event").New("close"))
	mustCommit(t, s, testAppend(3))
	if s.conn == old {
		t.Fatal("the connection that was closed is still in use")
	}

	s.beforeCommit = func(tx *transaction) error { // the browser aborts what runs, and says so
		s.beforeCommit = nil
		tx.c.object.Call("dispatchEvent", js.Global().Get("Event").New("close"))
		tx.abort()
		return nil
	}
	result := mustCommit(t, s, testAppend(4))
	if len(result.Keys) != 1 || result.Keys[0] == 0 {
		t.Fatalf("the commit that was run again gives %+v", result)
	}
	rows, err := s.Outbox(t.Context(), testSpace, 0, 1<<20)
	if err != nil || len(rows) != 4 {
		t.Fatalf("the outbox has %d rows, want 4: %v", len(rows), err)
	}
	for i := range rows {
		if rows[i].ID != (space.ULID{0, byte(i + 1)}) {
			t.Fatalf("row %d is %v", i, rows[i].ID)
		}
	}
}

// TestConcurrentReads begins many transactions at once on one connection: each must wait for its own.
func TestConcurrentReads(t *testing.T) {
	s := openTest(t, freshName(t))
	for n := range byte(3) {
		mustCommit(t, s, testAppend(n+1))
	}
	const readers, each = 12, 10
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := make(chan error, readers)
	for range readers {
		go func() {
			var err error
			for n := 0; n < each && err == nil; n++ {
				var rows []replica.OutboxRow
				if rows, err = s.Outbox(ctx, testSpace, 0, 1<<20); err == nil && len(rows) != 3 {
					err = fmt.Errorf("the outbox has %d rows, want 3", len(rows))
				}
			}
			done <- err
		}()
	}
	for range readers {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-ctx.Done():
			t.Fatal("reads that ran at the same time do not end")
		}
	}
}

// appendRecords commits so many records, each by itself, after a position, and returns the one after them.
func appendRecords(t *testing.T, s *Store, at space.Position, count int) space.Position {
	t.Helper()
	for range count {
		tx := space.Transaction{Author: testIdentity, Events: []space.Event{{ID: space.ULID{1, byte(at.Seq)}, Type: "t"}}}
		records := tx.Records(at.Seq+1, 1)
		before, after := at, space.Position{Seq: at.Seq + 1, Chain: space.Fold(at.Chain, records)}
		mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{{
			Space: testSpace, Expect: &before, Records: wire.AppendRecord(nil, &records[0]), First: after.Seq, Last: after.Seq, Position: &after,
		}}})
		at = after
	}
	return at
}

// TestFullWhileMerging has no room for a merge, but for the records by themselves.
func TestFullWhileMerging(t *testing.T) {
	s := openTest(t, freshName(t))
	refused := 0
	s.beforeCommit = func(tx *transaction) error {
		if !tx.merges {
			return nil
		}
		refused++
		return &jsbind.Error{Name: "QuotaExceededError"}
	}
	at := appendRecords(t, s, space.Start(testSpace), 2*runsPerMerge)
	records, err := s.Read(t.Context(), testSpace, 0, 1000, 1<<20)
	if err != nil || len(records) != 2*runsPerMerge || space.Fold(testSpace, records) != at.Chain || refused == 0 {
		t.Fatalf("%d records, %v; %d merges were refused", len(records), err, refused)
	}
}

// TestDamagedSegment damages a segment that would be merged: what comes is stored, and reading says what is wrong.
func TestDamagedSegment(t *testing.T) {
	s := openTest(t, freshName(t))
	at := appendRecords(t, s, space.Start(testSpace), 5)
	err := s.run(t.Context(), func(conn *connection) error {
		tx, err := conn.begin(idb.TransactionReadWrite, idb.DurabilityStrict, storeSegments)
		if err != nil {
			return err
		}
		tx.put(storeSegments, js.ValueOf([]any{conn.inKey(testSpace), 2, 2}), []byte{format, 1, 2, 3})
		return tx.commit()
	})
	if err != nil {
		t.Fatal(err)
	}
	appendRecords(t, s, at, 2*runsPerMerge)
	if records, err := s.Read(t.Context(), testSpace, 5, 1000, 1<<20); err != nil || len(records) != 2*runsPerMerge {
		t.Fatalf("behind the damage are %d records, %v", len(records), err)
	}
	if _, err := s.Read(t.Context(), testSpace, 1, 1, 1<<20); !errors.Is(err, wasmclient.ErrDamaged) {
		t.Fatalf("read what is damaged: %v", err)
	}
	if _, _, _, err := s.ReadEncoded(t.Context(), testSpace, 1, 1, 1<<20); !errors.Is(err, wasmclient.ErrDamaged) {
		t.Fatalf("read encoded what is damaged: %v", err)
	}
	// Around it everything is read.
	if records, err := s.Read(t.Context(), testSpace, 0, 1000, 1<<20); err != nil || len(records) != 1 {
		t.Fatalf("below the damage are %d records, %v", len(records), err)
	}
	if _, n, last, err := s.ReadEncoded(t.Context(), testSpace, 0, 1000, 1<<20); err != nil || n != 1 || last != 1 {
		t.Fatalf("below the damage are %d encoded records to %d, %v", n, last, err)
	}
	if records, err := s.ReadBefore(t.Context(), testSpace, 1000, 1000, 1<<20); err != nil || len(records) != 2*runsPerMerge+3 {
		t.Fatalf("%d records are the newest, %v", len(records), err)
	}
}

// TestTornRecords changes bytes within the records of a segment.
func TestTornRecords(t *testing.T) {
	s := openTest(t, freshName(t))
	appendRecords(t, s, space.Start(testSpace), 3)
	for _, records := range [][]byte{nil, {0xc1}, {0x9f, 1, 2}} {
		err := s.run(t.Context(), func(conn *connection) error {
			tx, err := conn.begin(idb.TransactionReadWrite, idb.DurabilityStrict, storeSegments)
			if err != nil {
				return err
			}
			tx.put(storeSegments, js.ValueOf([]any{conn.inKey(testSpace), 2, 2}), appendSegment(nil, testSpace, records))
			return tx.commit()
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(t.Context(), testSpace, 1, 1, 1<<20); !errors.Is(err, wasmclient.ErrDamaged) {
			t.Errorf("%x: %v", records, err)
		}
		if _, _, _, err := s.ReadEncoded(t.Context(), testSpace, 1, 1, 1<<20); !errors.Is(err, wasmclient.ErrDamaged) {
			t.Errorf("%x encoded: %v", records, err)
		}
	}
}

// TestRoomIsKept refuses records when little room is left, and not what only this device has.
func TestRoomIsKept(t *testing.T) {
	s := openTest(t, freshName(t))
	left, kept, err := estimate()
	if none := errors.Is(err, errNoEstimate); !none && (err != nil || left <= kept || kept <= 0 || kept > keptFree) {
		t.Fatalf("%v bytes are left, %v are kept free: %v", left, kept, err)
	}
	tx := space.Transaction{Author: testIdentity, Events: []space.Event{{ID: space.ULID{1}, Type: "t"}}}
	records := tx.Records(1, 1)
	before, after := space.Start(testSpace), space.Position{Seq: 1, Chain: space.Fold(testSpace, records)}
	received := &replica.Commit{Spaces: []replica.SpaceCommit{{
		Space: testSpace, Expect: &before, Records: wire.AppendRecord(nil, &records[0]), First: 1, Last: 1, Position: &after,
	}}}
	s.mu.Lock()
	s.room.low, s.room.asking = true, true
	s.mu.Unlock()
	if _, err := s.Commit(t.Context(), received); !errors.Is(err, wasmclient.ErrFull) {
		t.Fatalf("records with little room: %v", err)
	}
	mustCommit(t, s, testAppend(1))
	s.askForRoom() // there is room
	mustCommit(t, s, received)
}

// TestNoEstimate has a browser that does not tell how much room there is, as WebKitGTK.
func TestNoEstimate(t *testing.T) {
	navigator := js.Global().Get("navigator")
	js.Global().Get("Object").Call("defineProperty", navigator, "storage", map[string]any{"value": nil, "configurable": true})
	defer navigator.Delete("storage") // the prototype's is seen again
	if _, _, err := estimate(); !errors.Is(err, errNoEstimate) {
		t.Fatalf("without navigator.storage: %v", err)
	}
	s := openTest(t, freshName(t))
	s.askForRoom()
	mustCommit(t, s, testAppend(1))
}

// TestClosedWhileCommitting has the browser close the database when a commit is on its way, and never tell its end.
func TestClosedWhileCommitting(t *testing.T) {
	s := openTest(t, freshName(t))
	s.beforeCommit = func(tx *transaction) error {
		s.beforeCommit = nil
		tx.js.Set("oncomplete", js.Null())
		tx.js.Set("onabort", js.Null())
		conn := tx.c
		time.AfterFunc(10*time.Millisecond, func() {
			conn.object.Call("dispatchEvent", js.Global().Get("Event").New("close"))
		})
		return nil
	}
	mustCommit(t, s, testAppend(1)) // it took effect, and is made again
	if rows, err := s.Outbox(t.Context(), testSpace, 0, 1<<20); err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v, want 1", len(rows), err)
	}
}

// deleteDatabase deletes a database as another tab does, and fails the test if a store stands in the way.
func deleteDatabase(t testing.TB, name string) {
	t.Helper()
	deleted := make(chan string, 2)
	request := js.Global().Get("indexedDB").Call("deleteDatabase", name)
	for _, event := range []string{"success", "blocked", "error"} {
		defer jsbind.Listen(request, event, func(js.Value) { deleted <- event })()
	}
	if event := <-deleted; event != "success" {
		t.Fatalf("deleting the database: %s", event)
	}
}

// TestDeleted lets another tab delete the database: the store lets it, tells, and knows that it is another one then.
func TestDeleted(t *testing.T) {
	told := make(chan bool, 1)
	name := freshName(t)
	s, err := Open(t.Context(), Config{Name: name, Identity: testIdentity, OnDisconnected: func() { told <- true }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	mustCommit(t, s, testAppend(1))
	deleteDatabase(t, name)
	<-told
	if _, err := s.Commit(t.Context(), testAppend(2)); !errors.Is(err, wasmclient.ErrReplicaLost) {
		t.Fatalf("commit to a deleted store: %v", err)
	}
	if _, _, _, err := s.ReadEncoded(t.Context(), testSpace, 0, 1, 1); !errors.Is(err, wasmclient.ErrReplicaLost) {
		t.Fatalf("read of a deleted store: %v", err)
	}
}

// TestDeletedUnderneath has the browser delete the database of an open page without a word, which then finds an empty one.
func TestDeletedUnderneath(t *testing.T) {
	name := freshName(t)
	s := openTest(t, name)
	mustCommit(t, s, testAppend(1))
	s.conn.object.Call("close")
	deleteDatabase(t, name)
	if _, err := s.Commit(t.Context(), testAppend(2)); !errors.Is(err, wasmclient.ErrReplicaLost) {
		t.Fatalf("commit to what is there instead: %v", err)
	}
	loaded, err := openTest(t, name).Load(t.Context())
	if err != nil || len(loaded.Spaces) != 0 {
		t.Fatalf("a new store has %+v, %v", loaded, err)
	}
}

// TestLateCall has a call come to its turn when its replica was replaced: what it would write is not for the new one.
func TestLateCall(t *testing.T) {
	name := freshName(t)
	s := openTest(t, name)
	life := s.lives
	deleteDatabase(t, name)
	if _, err := s.Load(t.Context()); !errors.Is(err, wasmclient.ErrReplicaLost) {
		t.Fatalf("load: %v", err)
	}
	if err := s.Renew(t.Context(), testIdentity); err != nil {
		t.Fatal(err)
	}
	err := s.attempt(t.Context(), life, func(*connection) error { t.Error("it ran"); return nil })
	if !errors.Is(err, wasmclient.ErrReplicaLost) {
		t.Fatalf("a call of before: %v", err)
	}
}

// TestNotDeleted begins to delete the database and does not get through with it: nothing is lost, and nobody says so.
func TestNotDeleted(t *testing.T) {
	s := openTest(t, freshName(t))
	mustCommit(t, s, testAppend(1))
	s.conn.object.Call("dispatchEvent", js.Global().Get("Event").New("versionchange"))
	mustCommit(t, s, testAppend(2))
	if rows, err := s.Outbox(t.Context(), testSpace, 0, 1<<20); err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v, want 2", len(rows), err)
	}
}

// TestAbortedUnderneath has the browser abort what runs and say later, or not at all, that it closed the database.
func TestAbortedUnderneath(t *testing.T) {
	s := openTest(t, freshName(t))
	old := s.conn
	s.beforeCommit = func(tx *transaction) error {
		s.beforeCommit = nil
		tx.js.Call("abort") // not by the store
		return nil
	}
	mustCommit(t, s, testAppend(1))
	if s.conn == old {
		t.Fatal("the connection whose transactions are aborted is still in use")
	}
}

// TestBlocked keeps the database busy, as a tab frozen in a transaction does.
func TestBlocked(t *testing.T) {
	told := make(chan bool, 2)
	name := freshName(t)
	s, err := Open(t.Context(), Config{Name: name, Identity: testIdentity, OnBlocked: func(blocked bool) { told <- blocked }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.patience = 50 * time.Millisecond

	// A transaction of another tab that asks for something again and again, and so does not end.
	other := openTest(t, name)
	tx, err := other.conn.begin(idb.TransactionReadWrite, idb.DurabilityRelaxed, allStores...)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.Commit(context.Background(), testAppend(1))
		done <- err
	}()
	for blocked := false; !blocked; {
		tx.getMeta(metaEpoch)
		if err := tx.turn(); err != nil {
			t.Fatal(err)
		}
		select {
		case blocked = <-told:
			if !blocked {
				t.Fatal("told that the store is free before it was blocked")
			}
		case err := <-done:
			t.Fatalf("the commit did not wait: %v", err)
		default:
		}
	}
	if err := tx.commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if <-told {
		t.Fatal("not told that the store is free again")
	}
}

// TestNewerReader leaves a database that this version must not even read.
func TestNewerReader(t *testing.T) {
	name := freshName(t)
	s := openTest(t, name)
	makeNewer(t, s, metaMinReader)
	if _, err := s.Commit(t.Context(), testAppend(1)); !errors.Is(err, wasmclient.ErrNewerStore) {
		t.Fatalf("commit: %v", err)
	}
	if _, err := s.Load(t.Context()); !errors.Is(err, wasmclient.ErrNewerStore) {
		t.Fatalf("load: %v", err)
	}
	if _, err := Open(t.Context(), Config{Name: name}); !errors.Is(err, wasmclient.ErrNewerStore) {
		t.Fatalf("open: %v", err)
	}
}

// TestNewerVersionIsAskedFor: what the first version would lose, or take for something else, is in a database only together with the word
// that keeps it out: all else leaves the database to both.
func TestNewerVersionIsAskedFor(t *testing.T) {
	at := func(seq uint64) *space.Position {
		return &space.Position{Seq: seq, Chain: digest.Of([]byte{byte(seq)})}
	}
	lost := testAppend(9).Spaces[0].Append[0].Transaction
	records := lost.Records(4, 1)
	start := space.Start(testSpace)
	hole := replica.SpaceCommit{Space: testSpace, Expect: &start, Position: at(5)}
	for name, c := range map[string]struct {
		parts []replica.SpaceCommit // one after the other, the last of which counts
		want  uint64
	}{
		"a transaction": {[]replica.SpaceCommit{testAppend(1).Spaces[0]}, firstVersion},
		"records": {[]replica.SpaceCommit{{
			Space: testSpace, Expect: &start, First: 1, Last: 1, Position: at(1), Records: wire.AppendRecord(nil, &lost.Records(1, 1)[0]),
		}}, firstVersion},
		"a hole":             {[]replica.SpaceCommit{hole}, version},
		"a lost transaction": {[]replica.SpaceCommit{{Space: testSpace, Lost: []replica.LostRow{{ID: lost.ID(), Transaction: lost}}}}, version},
		"another branch": {[]replica.SpaceCommit{hole, {
			Space: testSpace, Expect: at(5), Fork: at(3), First: 4, Last: 4, Position: at(4), Records: wire.AppendRecord(nil, &records[0]),
		}}, version},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, freshName(t))
			for _, part := range c.parts {
				ruin(t, s, func(tx *transaction) error {
					for _, name := range []string{metaMinReader, metaMinWriter} {
						tx.putMeta(name, appendNumber(firstVersion))
					}
					return nil
				})
				if _, err := s.Commit(t.Context(), &replica.Commit{Spaces: []replica.SpaceCommit{part}}); err != nil {
					t.Fatal(err)
				}
			}
			var least []reply
			ruin(t, s, func(tx *transaction) error {
				least = []reply{tx.getMeta(metaMinReader), tx.getMeta(metaMinWriter)}
				return tx.turn()
			})
			for _, r := range least {
				if n, err := decodeNumber(r.bytes()); n != c.want || err != nil {
					t.Errorf("it asks for version %d, want %d", n, c.want)
				}
			}
			if _, err := s.Load(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFirstIdentityCounts opens one new database twice at once, for different identities.
func TestFirstIdentityCounts(t *testing.T) {
	name := freshName(t)
	type opened struct {
		*replica.Loaded
		err error
	}
	results := make(chan opened, 2)
	for _, identity := range []string{"did:key:one", "did:key:two"} {
		go func() {
			s, err := Open(context.Background(), Config{Name: name, Identity: identity})
			if err != nil {
				results <- opened{nil, err}
				return
			}
			defer s.Close()
			loaded, err := s.Load(context.Background())
			results <- opened{loaded, err}
		}()
	}
	a, b := <-results, <-results
	if a.err != nil || b.err != nil {
		t.Fatal(a.err, b.err)
	}
	if a.Meta.Identity != b.Meta.Identity || a.Meta.Session != b.Meta.Session || a.Meta.Identity == "" {
		t.Fatalf("two tabs have %+v and %+v", a.Meta, b.Meta)
	}
}

// TestFewSegments checks in the database that small commits do not leave a segment each.
func TestFewSegments(t *testing.T) {
	s := openTest(t, freshName(t))
	at := space.Start(testSpace)
	for n := range 200 {
		tx := space.Transaction{Author: testIdentity, Events: []space.Event{{ID: space.ULID{1, byte(n)}, Type: "t", Payload: make([]byte, 200)}}}
		records := tx.Records(at.Seq+1, 1)
		after := space.Position{Seq: at.Seq + 1, Chain: space.Fold(at.Chain, records)}
		before := at
		mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{{
			Space: testSpace, Expect: &before, Records: wire.AppendRecord(nil, &records[0]), First: after.Seq, Last: after.Seq, Position: &after,
		}}})
		at = after
	}
	err := s.view(t.Context(), func(tx *transaction) error {
		these := within(tx.c.inKey(testSpace))
		keys, values := tx.getAllKeys(storeSegments, these, 0), tx.getAll(storeSegments, these, 0)
		if err := tx.turn(); err != nil {
			return err
		}
		n := keys.result().Length()
		if n > 40 {
			t.Errorf("200 commits left %d segments", n)
		}
		chain := testSpace
		for i := range n { // each says what the chain is before it
			before, encoded, err := decodeSegment(jsbind.ToBytes(values.result().Index(i)))
			if err != nil {
				return err
			}
			if before != chain {
				t.Errorf("segment %d has another chain before it than the records say", i)
			}
			records, err := wire.DecodeRecords(encoded)
			if err != nil {
				return err
			}
			chain = space.Fold(chain, records)
		}
		if chain != at.Chain {
			t.Error("the segments do not lead to the position")
		}
		return nil
	}, storeSegments)
	if err != nil {
		t.Fatal(err)
	}
}
