package storetest

import (
	"errors"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/wasmclient"
)

// testLogin: how often somebody logged in or out rises, whoever says so, and every handle reads it.
func testLogin(s *suite) {
	h, other := s.open(), s.open()
	if login := h.load().Meta.Login; login != 0 {
		s.Fatalf("a new replica was logged out %d times", login)
	}
	h.commit(replica.Commit{Strict: true, Login: 1})
	reads := func(h handle, want uint64) {
		s.Helper()
		if got := h.load().Meta.Login; got != want {
			s.Errorf("loaded %d, want %d", got, want)
		}
		if got := try(h.Changes(s.ctx, 1)).or(s, "changes").Login; got != want {
			s.Errorf("changed to %d, want %d", got, want)
		}
	}
	reads(other, 1)
	other.stale(replica.Commit{Strict: true, Login: 1})
	other.commit(replica.Commit{Strict: true, Login: 2})
	h.stale(replica.Commit{Strict: true, Login: 1})
	reads(h, 2)
	h.commit(replica.Commit{Strict: true, Login: 5}) // one may have missed some
	if got := try(other.RaiseEpoch(s.ctx)).or(s, "raise the epoch").Meta.Login; got != 5 {
		s.Errorf("who leads reads %d, want 5", got)
	}
	h.Close()
	other.Close()
	reads(s.open(), 5)
}

// testErase: what is on this device alone keeps everything from being deleted, and force does not ask; handles that are open
// say so, and one that is opened later has an empty replica of its own.
func testErase(s *suite) {
	h, other, asleep := s.open(), s.open(), s.open()
	f := newFeed(1)
	erase := replica.Commit{Strict: true, Erase: true}
	keeps := func(what string) {
		s.Helper()
		before := f.text(h)
		h.stale(erase)
		if got := f.text(other); got != before {
			s.Fatalf("%s: there was %s, and is %s", what, before, got)
		}
	}
	h.change(f.insert())
	keeps("a space that the server does not have")
	created := true
	row := f.row(10)
	h.change(replica.SpaceCommit{Space: f.id, SetCreated: &created, Append: []replica.OutboxRow{row}})
	keeps("a row that waits")
	other.change(replica.SpaceCommit{Space: f.id, Reject: []replica.Rejection{{ID: row.ID, Code: 81}}})
	keeps("a row that was refused")
	h.change(replica.SpaceCommit{Space: f.id, Discard: []space.ULID{row.ID}})
	accepted := f.row(10)
	h.change(f.append(accepted))
	h.change(replica.SpaceCommit{Space: f.id, Mark: []replica.Mark{{ID: accepted.ID, State: replica.Accepted}}})
	h.change(f.runOf(3, 10))
	h.putCheckpoint(f.id, makeCheckpoint(3, "a"))
	sleeper, sleeps := asleep.Store.(wasmclient.Suspender)
	if sleeps {
		if err := sleeper.Suspend(s.ctx); err != nil {
			s.Fatal(err)
		}
	}
	session := h.load().Meta.Session
	h.commit(erase)

	gone := func(h handle) {
		s.Helper()
		_, loading := h.Load(s.ctx)
		_, raising := h.RaiseEpoch(s.ctx)
		_, looking := h.Changes(s.ctx, 1)
		_, committing := h.Commit(s.ctx, &replica.Commit{Spaces: []replica.SpaceCommit{f.insert()}})
		_, again := h.Commit(s.ctx, &erase)
		for _, err := range []error{loading, raising, looking, committing, again} {
			if !errors.Is(err, wasmclient.ErrForgotten) {
				s.Fatalf("a call to a store that was erased: %v, want ErrForgotten", err)
			}
		}
	}
	gone(h)
	gone(other)
	if store, ok := other.Store.(wasmclient.Suspender); ok { // it has been asleep
		if err := store.Suspend(s.ctx); err != nil {
			s.Fatal(err)
		}
		store.Resume()
		gone(other)
	}
	fresh := s.open()
	loaded := fresh.load()
	if len(loaded.Spaces) != 0 || loaded.Meta.Session == session || loaded.Meta.Identity != s.Identity || loaded.Meta.Login != 0 {
		s.Fatalf("after everything was forgotten there is %+v", loaded)
	}
	if records := try(fresh.Read(s.ctx, f.id, 0, 10, 1<<20)).or(s, "read"); len(records) > 0 {
		s.Fatalf("%d records are left", len(records))
	}
	fresh.wantCheckpoint(f.id, nil)
	gone(h) // which has it open still, and must not write into what is another replica
	gone(other)
	if sleeps {
		sleeper.Resume()
	}
	gone(asleep)
	if renewer, ok := asleep.Store.(wasmclient.Renewer); ok {
		if err := renewer.Renew(s.ctx, s.Identity); !errors.Is(err, wasmclient.ErrForgotten) {
			s.Fatalf("renew what was erased: %v, want ErrForgotten", err)
		}
		gone(asleep)
	}
	if loaded := fresh.load(); len(loaded.Spaces) != 0 || loaded.Meta.Epoch != 0 {
		s.Fatalf("from handles of what was erased came %+v", loaded)
	}

	fresh.change(f.insert(), replica.SpaceCommit{Space: newFeed(2).id, Append: []replica.OutboxRow{newFeed(2).row(10)}})
	fresh.stale(erase)
	fresh.commit(replica.Commit{Strict: true, Erase: true, Force: true})
	gone(fresh)
	if loaded := s.open().load(); len(loaded.Spaces) != 0 {
		s.Fatalf("by force %d spaces are left", len(loaded.Spaces))
	}
	gone(fresh)
	gone(h)
}
