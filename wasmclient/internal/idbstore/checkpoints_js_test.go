package idbstore

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall/js"
	"testing"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsbind"
	"skerry/wasmclient/storetest"
)

func mustPut(t testing.TB, s *Store, c *replica.Checkpoint) {
	t.Helper()
	if err := s.PutCheckpoint(t.Context(), testSpace, c); err != nil {
		t.Fatalf("put a checkpoint: %v", err)
	}
}

// mustHave checks which checkpoint the test's space has.
func mustHave(t testing.TB, s *Store, want *replica.Checkpoint) {
	t.Helper()
	got, err := storetest.Checkpoint(t.Context(), s, testSpace)
	if err != nil || !sameCheckpoint(got, want) {
		t.Fatalf("the checkpoint is not the one that was put: there is one %v, %v", got != nil, err)
	}
}

func sameCheckpoint(a, b *replica.Checkpoint) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Seq == b.Seq && bytes.Equal(a.Root, b.Root) && maps.EqualFunc(a.Pages, b.Pages, bytes.Equal)
}

// testCheckpoint makes a checkpoint of pages of so many bytes, other ones for each n.
func testCheckpoint(n byte, sizes ...int) *replica.Checkpoint {
	c := &replica.Checkpoint{Root: []byte{'r', n}, Pages: map[digest.Digest][]byte{}}
	for i, size := range sizes {
		page := bytes.Repeat([]byte{n, byte(i), 7}, size/3+1)[:size]
		c.Pages[digest.Of(page)] = page
	}
	return c
}

// stored counts what is in the store of checkpoints: pages and roots, and rows.
func stored(t testing.TB, s *Store) (pages, rows int) {
	t.Helper()
	err := s.view(t.Context(), func(tx *transaction) error {
		keys := tx.getAllKeys(storeCheckpoints, js.Undefined(), 0)
		if err := tx.turn(); err != nil {
			return err
		}
		for i := range keys.result().Length() {
			if jsbind.IsBytes(keys.result().Index(i)) || keys.result().Index(i).InstanceOf(js.Global().Get("ArrayBuffer")) {
				pages++
			} else {
				rows++
			}
		}
		return nil
	}, storeCheckpoints)
	if err != nil {
		t.Fatal(err)
	}
	return pages, rows
}

// spyPuts counts what is put, until the test ends: bytes of each transaction, in their order.
func spyPuts(t *testing.T) *[]int {
	stores := js.Global().Get("IDBObjectStore").Get("prototype")
	put := stores.Get("put")
	var written []int
	last := js.Undefined()
	spy := js.FuncOf(func(this js.Value, args []js.Value) any {
		if at := this.Get("transaction"); !at.Equal(last) {
			last, written = at, append(written, 0)
		}
		written[len(written)-1] += args[0].Get("byteLength").Int()
		return put.Call("call", this, args[0], args[1])
	})
	stores.Set("put", spy)
	t.Cleanup(func() {
		stores.Set("put", put)
		spy.Release()
	})
	return &written
}

// TestCheckpointIsWrittenInParts writes a large checkpoint, and a second one that differs in a page: no transaction has
// more than it may, pages that are there are not written again, and those that are no more are gone.
func TestCheckpointIsWrittenInParts(t *testing.T) {
	s := openTest(t, freshName(t))
	mustCommit(t, s, testAppend(1))
	written := spyPuts(t)
	sizes := make([]int, 60)
	for i := range sizes {
		sizes[i] = 60_000
	}
	c := testCheckpoint(1, sizes...)
	mustPut(t, s, c)
	const spare = 8 << 10 // format bytes, the row
	if len(*written) != 4 || slices.Max(*written) > pagesAtOnce+spare {
		t.Fatalf("transactions of %d bytes", *written)
	}
	mustHave(t, s, c)
	page := []byte("a page of another")
	next := &replica.Checkpoint{Root: []byte("next"), Pages: maps.Clone(c.Pages)}
	for d := range next.Pages {
		delete(next.Pages, d)
		break
	}
	next.Pages[digest.Of(page)] = page
	*written = nil
	mustPut(t, s, next)
	if len(*written) != 1 || (*written)[0] > spare {
		t.Fatalf("one page differs, and transactions of %d bytes are written", *written)
	}
	mustHave(t, s, next)
	if pages, rows := stored(t, s); pages != 61 || rows != 1 {
		t.Fatalf("%d pages, %d rows, want 61 and 1", pages, rows)
	}
	// A page that alone is too much has a transaction for itself.
	*written = nil
	large := testCheckpoint(2, 2<<20, 2<<20, 10)
	mustPut(t, s, large)
	if len(*written) < 2 || len(*written) > 4 || slices.Max(*written) > 2<<20+spare {
		t.Fatalf("transactions of %d bytes", *written)
	}
	mustHave(t, s, large)
	if pages, rows := stored(t, s); pages != 4 || rows != 1 {
		t.Fatalf("%d pages, %d rows, want 4 and 1", pages, rows)
	}
}

// TestCheckpointIsCutOff stops a tab at each transaction of a large checkpoint: the one before it is there as a whole,
// and what was written is cleared away with the next.
func TestCheckpointIsCutOff(t *testing.T) {
	s := openTest(t, freshName(t))
	mustCommit(t, s, testAppend(1))
	sizes := make([]int, 8)
	for i := range sizes {
		sizes[i] = 500_000
	}
	old := testCheckpoint(1, 100, 200)
	mustPut(t, s, old)
	stopped := errors.New("stopped")
	for n := range 4 {
		at := 0
		s.beforeCommit = func(*transaction) error {
			if at++; at > n {
				return stopped
			}
			return nil
		}
		if err := s.PutCheckpoint(t.Context(), testSpace, testCheckpoint(byte(10+n), sizes...)); !errors.Is(err, stopped) {
			t.Fatalf("stopped in transaction %d: %v", n+1, err)
		}
		s.beforeCommit = nil
		mustHave(t, s, old)
	}
	if pages, _ := stored(t, s); pages < 10 {
		t.Fatalf("%d pages: nothing was left behind", pages)
	}
	old = testCheckpoint(2, 100)
	mustPut(t, s, old)
	if pages, rows := stored(t, s); pages != 2 || rows != 1 {
		t.Fatalf("%d pages, %d rows, want 2 and 1", pages, rows)
	}
	mustHave(t, s, old)
	// What a cut leaves goes the same way.
	at := appendRecords(t, s, space.Start(testSpace), 3)
	c := testCheckpoint(3, 100, 200)
	c.Seq = 3
	mustPut(t, s, c)
	start := space.Start(testSpace)
	mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{{Space: testSpace, Expect: &at, Position: &start, Cut: true}}})
	mustHave(t, s, nil)
	mustPut(t, s, old)
	if pages, rows := stored(t, s); pages != 2 || rows != 1 {
		t.Fatalf("%d pages, %d rows behind a cut, want 2 and 1", pages, rows)
	}
}

// TestCheckpointIsSweptMeanwhile has another tab clear away the pages of a checkpoint that has no row yet: they are
// written again before it has.
func TestCheckpointIsSweptMeanwhile(t *testing.T) {
	name := freshName(t)
	s, other := openTest(t, name), openTest(t, name)
	mustCommit(t, s, testAppend(1))
	mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{{Space: space.ID{2}}}})
	done := make(chan error, 3)
	rounds := 0
	s.beforeCommit = func(*transaction) error {
		if rounds++; rounds <= cap(done) { // its transaction comes after this one and before the next
			go func() { done <- other.PutCheckpoint(t.Context(), space.ID{2}, testCheckpoint(byte(rounds+10), 100)) }()
		}
		return nil
	}
	c := testCheckpoint(1, 600_000, 600_000, 600_000)
	mustPut(t, s, c)
	for range cap(done) {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if rounds <= 3 {
		t.Errorf("%d transactions: nothing was swept", rounds)
	}
	mustHave(t, s, c)
	mustHave(t, other, c)
}

// TestDamagedCheckpoints changes, cuts, lengthens and loses values of the store at random: what is read is nothing, or
// what was put; and what is put then is read.
func TestDamagedCheckpoints(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	s := openTest(t, freshName(t))
	mustCommit(t, s, testAppend(1))
	c := testCheckpoint(1, 1, 100, 3000)
	mustPut(t, s, c)
	none := 0
	for range 100 {
		spoil(t, s, random)
		got, err := storetest.Checkpoint(t.Context(), s, testSpace)
		if err != nil || got != nil && !sameCheckpoint(got, c) && len(got.Pages) == len(c.Pages) {
			t.Fatalf("damaged it is read as %+v, %v", got, err)
		}
		if got == nil {
			none++
		}
		mustPut(t, s, c)
		mustHave(t, s, c)
	}
	if none < 50 {
		t.Errorf("damaged in 100 ways it was found out %d times", none)
	}
	if pages, rows := stored(t, s); pages != 4 || rows != 1 {
		t.Errorf("%d pages, %d rows, want 4 and 1", pages, rows)
	}
}

// spoil damages one value of the store.
func spoil(t *testing.T, s *Store, random *rand.Rand) {
	t.Helper()
	err := s.transact(t.Context(), idb.TransactionReadWrite, idb.DurabilityRelaxed, func(tx *transaction) error {
		keys, values := tx.getAllKeys(storeCheckpoints, js.Undefined(), 0), tx.getAll(storeCheckpoints, js.Undefined(), 0)
		if err := tx.turn(); err != nil {
			return err
		}
		i := random.IntN(keys.result().Length())
		key, b := keys.result().Index(i), jsbind.ToBytes(values.result().Index(i))
		switch random.IntN(5) {
		case 0:
			tx.delete(storeCheckpoints, key)
			return nil
		case 1:
			b = b[:random.IntN(len(b))]
		case 2:
			b = append(b, byte(random.Uint32()))
		case 3:
			b[0] ^= byte(1 + random.IntN(255))
		case 4:
			b[random.IntN(len(b))] ^= byte(1 + random.IntN(255))
		}
		tx.put(storeCheckpoints, key, b)
		return nil
	}, storeMeta, storeCheckpoints)
	if err != nil {
		t.Fatal(err)
	}
}

// TestCheckpointsMakeRoom has little room left: records are refused no longer when checkpoints are gone, if the browser
// says so.
func TestCheckpointsMakeRoom(t *testing.T) {
	s := openTest(t, freshName(t))
	mustCommit(t, s, testAppend(1))
	c := testCheckpoint(1, 1000)
	mustPut(t, s, c)
	s.mu.Lock()
	s.room.low, s.room.asking = true, true
	s.mu.Unlock()
	if err := s.PutCheckpoint(t.Context(), testSpace, testCheckpoint(2)); !errors.Is(err, wasmclient.ErrFull) {
		t.Fatalf("put a checkpoint with little room: %v", err)
	}
	mustHave(t, s, c)
	mustCommit(t, s, testAppend(2)) // what only this device has has its room
	mustHave(t, s, c)
	appendRecords(t, s, space.Start(testSpace), 1)
	mustHave(t, s, nil)
	if pages, rows := stored(t, s); pages != 0 || rows != 0 {
		t.Errorf("%d pages, %d rows are left", pages, rows)
	}
}

// TestCheckpointsMakeRoomForAll has two commits find no room at the same time: what goes makes room for both.
func TestCheckpointsMakeRoomForAll(t *testing.T) {
	s := openTest(t, freshName(t))
	mustCommit(t, s, testAppend(1))
	mustPut(t, s, testCheckpoint(1, 1000))
	full := 2
	s.beforeCommit = func(*transaction) error {
		if full--; full >= 0 {
			return &jsbind.Error{Name: "QuotaExceededError"}
		}
		return nil
	}
	done := make(chan error, 2)
	for n := range byte(2) {
		go func() {
			_, err := s.Commit(t.Context(), testAppend(2+n))
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if rows, err := s.Outbox(t.Context(), testSpace, 0, 1<<20); err != nil || len(rows) != 3 {
		t.Errorf("%d rows, %v, want 3", len(rows), err)
	}
	mustHave(t, s, nil)
}

// TestLookingForRoomDropsNothing looks for room on a device that is full: that is no reason to give up a checkpoint.
func TestLookingForRoomDropsNothing(t *testing.T) {
	s := openTest(t, freshName(t))
	mustCommit(t, s, testAppend(1))
	mustPut(t, s, &replica.Checkpoint{Root: []byte("root")})
	s.beforeCommit = func(*transaction) error { return &jsbind.Error{Name: "QuotaExceededError"} }
	if _, err := s.Commit(t.Context(), &replica.Commit{Room: 1 << 20}); !errors.Is(err, wasmclient.ErrFull) {
		t.Fatalf("there is no room: %v", err)
	}
	s.beforeCommit = nil
	if c, err := s.Checkpoint(t.Context(), testSpace); err != nil || c == nil {
		t.Fatalf("the checkpoint is gone: %v", err)
	}
}
