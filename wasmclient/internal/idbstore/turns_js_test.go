package idbstore

import (
	"syscall/js"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
)

// counted is what a browser's IndexedDB was asked for.
type counted struct{ begun, turns, commits, aborts int }

// count counts what f asks IndexedDB for. A turn is a request whose outcome is waited for, which is when a transaction stays
// open from one task of the event loop to a later one.
func count(t *testing.T, f func()) (n counted) {
	t.Helper()
	wrap := func(class, method string, counter *int) (undo func()) {
		prototype := js.Global().Get(class).Get("prototype")
		original := prototype.Get(method)
		counting := js.FuncOf(func(this js.Value, args []js.Value) any {
			*counter++
			return js.Global().Get("Reflect").Call("apply", original, this, js.ValueOf(toAny(args)))
		})
		prototype.Set(method, counting)
		return func() { prototype.Set(method, original); counting.Release() }
	}
	defer wrap("IDBDatabase", "transaction", &n.begun)()
	defer wrap("IDBTransaction", "commit", &n.commits)()
	defer wrap("IDBTransaction", "abort", &n.aborts)()

	object, prototype := js.Global().Get("Object"), js.Global().Get("IDBRequest").Get("prototype")
	original := object.Call("getOwnPropertyDescriptor", prototype, "onsuccess")
	counting := js.FuncOf(func(this js.Value, args []js.Value) any {
		n.turns++
		return js.Global().Get("Reflect").Call("apply", original.Get("set"), this, js.ValueOf(toAny(args)))
	})
	defer counting.Release()
	object.Call("defineProperty", prototype, "onsuccess", map[string]any{"set": counting, "get": original.Get("get"), "configurable": true})
	defer object.Call("defineProperty", prototype, "onsuccess", original)
	f()
	return n
}

func toAny(args []js.Value) []any {
	all := make([]any, len(args))
	for i := range args {
		all[i] = args[i]
	}
	return all
}

// TestTurns counts how long a transaction stays open, in turns of the event loop: a tab that is frozen inside of one keeps
// all others from writing. Each ends by an explicit commit, and not when the browser notices that nothing is asked any more.
func TestTurns(t *testing.T) {
	s := openTest(t, freshName(t))
	mustCommit(t, s, testAppend(1))
	at := appendRecords(t, s, space.Start(testSpace), runsPerMerge-2)
	appends := &replica.Commit{Strict: true, Spaces: []replica.SpaceCommit{{Space: testSpace}}}
	for n := range byte(120) {
		appends.Spaces[0].Append = append(appends.Spaces[0].Append, testAppend(n + 100).Spaces[0].Append...)
	}
	settles := &replica.Commit{Spaces: []replica.SpaceCommit{{Space: testSpace}}}
	for n := range byte(120) {
		settles.Spaces[0].Settle = append(settles.Spaces[0].Settle, space.ULID{0, n + 100})
	}
	mark := []replica.Mark{{ID: space.ULID{0, 1}, State: replica.Accepted, Position: at}}
	two := testAppend(3)
	two.Spaces = append(two.Spaces, testAppend(4).Spaces...)
	two.Spaces[1].Space = space.ID{2}
	run := func(n int) func() {
		return func() { at = appendRecords(t, s, at, n) }
	}
	commit := func(c *replica.Commit) func() { return func() { mustCommit(t, s, c) } }
	for _, test := range []struct {
		name         string
		f            func()
		turns, begun int
	}{
		{"a transaction is appended", commit(testAppend(2)), 1, 1},
		{"to two spaces", commit(two), 1, 1},
		{"120 are", commit(appends), 1, 1},
		{"a record comes", run(1), 1, 1},
		{"another one, and they are merged", run(1), 2, 1},
		{"a verdict", commit(&replica.Commit{Spaces: []replica.SpaceCommit{{Space: testSpace, Mark: mark}}}), 1, 1},
		{"120 rows leave", commit(settles), 2, 1},
		{"one refresh", func() { s.Refresh(t.Context(), testSpace) }, 1, 1},
		{"a small read", func() { s.Read(t.Context(), testSpace, 0, 10, 1<<20) }, 1, 1},
		{"a look for changes", func() { s.Changes(t.Context(), 1) }, 1, 1},
		{"a module", func() { s.PutModule(t.Context(), digest.Of([]byte("m")), []byte("m")) }, 1, 1},
		{"the epoch is raised", func() { s.RaiseEpoch(t.Context()) }, 3, 1}, // one for each space that has an outbox, and one
	} {
		n := count(t, test.f)
		if n.turns != test.turns || n.begun != test.begun {
			t.Errorf("%s: %d turns in %d transactions, want %d in %d", test.name, n.turns, n.begun, test.turns, test.begun)
		}
		if n.commits != n.begun || n.aborts != 0 {
			t.Errorf("%s: of %d transactions %d were committed and %d aborted by us", test.name, n.begun, n.commits, n.aborts)
		}
	}
}

// TestVersion checks that the database's version never changes: a tab that is frozen can block an upgrade for ever.
func TestVersion(t *testing.T) {
	name := freshName(t)
	var asked []any
	factory := js.Global().Get("IDBFactory").Get("prototype")
	original := factory.Get("open")
	open := js.FuncOf(func(this js.Value, args []js.Value) any {
		asked = append(asked, args[1].Int())
		return js.Global().Get("Reflect").Call("apply", original, this, js.ValueOf(toAny(args)))
	})
	factory.Set("open", open)
	defer func() { factory.Set("open", original); open.Release() }()
	for range 2 {
		s := openTest(t, name)
		mustCommit(t, s, testAppend(1))
		if v := s.conn.object.Get("version").Int(); v != 1 {
			t.Errorf("the database has version %d", v)
		}
		s.Close()
	}
	if len(asked) != 2 || asked[0] != 1 || asked[1] != 1 {
		t.Errorf("opened with versions %v", asked)
	}
}
