package syncserver_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"skerry/shared/module/moduletest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/logtest"
	"skerry/syncserver/memlog"
)

// TestEraseIdentity: what is an identity's alone goes for good, what others have a share in stays, and is told.
func TestEraseIdentity(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		log := open()
		r := start(t, log, runsModules(t, log, nil))
		alice, bob := r.dial("alice"), r.dial("bob")
		name := alice.identity
		own, shared, empty := alice.create(), alice.create(), alice.create()
		chat := alice.createOf(upload(t, log, moduletest.Chat()))
		alice.append(own, alice.transaction(3), alice.transaction(2))
		alice.append(shared, alice.transaction(2))
		alice.append(chat, alice.of("message", moduletest.ChatMessage("room", "text")))
		bob.append(shared, bob.transaction(1))
		bobs := bob.create()
		bob.append(bobs, bob.transaction(1))
		alice.append(bobs, alice.transaction(4))
		alice.uploads(freshModules("9")())
		r.stop()

		log = open()
		before := map[space.ID][]space.Record{shared: logtest.CheckSpace(t.Context(), t, log, shared), bobs: logtest.CheckSpace(t.Context(), t, log, bobs)}
		r = start(t, log, runsModules(t, log, nil))
		planned, err := r.server.EraseIdentity(t.Context(), name, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Head(t.Context(), own); err != nil || !mentions(t, log, name) {
			t.Fatalf("it was only asked for: %v", err)
		}
		erased, err := r.server.EraseIdentity(t.Context(), name, true)
		if err != nil {
			t.Fatal(err)
		}
		byID := func(a, b space.ID) int { return bytes.Compare(a[:], b[:]) }
		for _, e := range []syncserver.Erased{planned, erased} {
			if want := slices.SortedFunc(slices.Values([]space.ID{own, empty, chat}), byID); !slices.Equal(slices.SortedFunc(slices.Values(e.Deleted), byID), want) {
				t.Errorf("deleted are %v, want %v", e.Deleted, want)
			}
			for _, want := range []syncserver.Share{{Space: shared, Creator: true, Records: 2}, {Space: bobs, Records: 4}} {
				if len(e.Stays) != 2 || !slices.Contains(e.Stays, want) {
					t.Errorf("staying are %+v, want %+v", e.Stays, want)
				}
			}
		}
		for _, id := range []space.ID{own, empty, chat} {
			if _, err := log.Head(t.Context(), id); !errors.Is(err, syncserver.ErrDeleted) {
				t.Errorf("a space of its own: %v", err)
			}
		}
		for id, records := range before {
			if got := logtest.CheckSpace(t.Context(), t, log, id); !slices.EqualFunc(got, records, func(a, b space.Record) bool { return a.ID == b.ID && a.Author == b.Author }) {
				t.Error("a space of others was changed")
			}
		}
		if u, err := log.Usage(t.Context(), name); err != nil || u.Spaces != 1 {
			t.Errorf("it takes %+v, %v", u, err)
		}
		if mentions(t, log, name) {
			t.Error("keys tell of it still")
		}
		if again, err := r.server.EraseIdentity(t.Context(), name, true); err != nil || len(again.Deleted)+len(again.Stays) > 0 {
			t.Errorf("again: %+v, %v", again, err)
		}
		if _, err := r.server.EraseIdentity(t.Context(), "", true); err == nil {
			t.Error("nobody was erased")
		}
		r.stop()

		// Who reads what was deleted is told, and others go on.
		log = open()
		r = start(t, log, runsModules(t, log, nil))
		bob = r.dial("bob")
		bob.append(shared, bob.transaction(1))
		if v := r.dial("alice").verdict(own, bob.transaction(1)); v.Code == 0 {
			t.Error("a space that was deleted is written to")
		}
		r.stop()
	})
}

// TestEraseIdentityWithNotes: who was let into a space takes part in it, also where a crash came before that was in their directory.
func TestEraseIdentityWithNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &hooked{Log: memlog.New()}
		r := start(t, log, runsModules(t, log, nil))
		alice := r.dial("alice")
		id, alone := alice.createMembers(), alice.createMembers()
		synctest.Wait()
		var crashed atomic.Bool
		crashed.Store(true)
		log.keys(func(key string) error {
			if crashed.Load() && strings.HasPrefix(key, "in/") {
				return errBroken
			}
			return nil
		})
		alice.wrote(id, "grant", "identity", "bob", "role", "reader")
		synctest.Wait()
		r.stop()
		crashed.Store(false)
		r = start(t, log, runsModules(t, log, nil))
		erased, err := r.server.EraseIdentity(t.Context(), "alice", true)
		if err != nil || !slices.Equal(erased.Deleted, []space.ID{alone}) || len(erased.Stays) != 1 || erased.Stays[0].Space != id {
			t.Errorf("%+v, %v", erased, err)
		}
		r.dial("alice").wrote(id, "note")
		synctest.Wait()
		if rows, _, _ := r.dial("bob").list(nil); len(rows) != 1 || rows[0].State != wire.SpacePresent {
			t.Errorf("bob has %+v", rows)
		}
		r.stop()
	})
}

// mentions reports whether a key of the log, or its value, has the name of an identity where it is alone.
func mentions(t *testing.T, log syncserver.Log, identity string) bool {
	t.Helper()
	found := false
	for _, prefix := range []string{"dir/", "in/", "link/", "linked/", "uploads/", "uploader/", "name/", "named/"} {
		rows, err := log.Scan(t.Context(), prefix, "", 10_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			for _, text := range []string{identity, hex.EncodeToString([]byte(identity))} {
				if bytes.Contains([]byte(row.Key), []byte(text)) || bytes.Contains(row.Value, []byte(text)) {
					found = true
				}
			}
		}
	}
	return found
}
