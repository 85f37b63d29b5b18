//go:build !js

package wasmclient_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/replica"
	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// TestLogout: who logged out in one tab is logged out in all, also in one that opens later or wakes, with and without a network; what is
// written meanwhile waits, and goes when somebody logs in, in whichever tab.
func TestLogout(t *testing.T) {
	inBubble(t, func(w *world) {
		ada := w.device("ada")
		first := ada.tab()
		s := first.makeSpace()
		second, asleep := ada.tab(), ada.tab()
		if err := asleep.Suspend(w.Context()); err != nil {
			t.Fatal(err)
		}
		second.Space(s.ID())
		if err := second.Logout(w.Context()); err != nil { // which follows
			t.Fatal(err)
		}
		synctest.Wait()
		wants := func(want string, tabs ...*tab) {
			t.Helper()
			for i, tab := range tabs {
				if status := tab.Status(); status.Connection != want {
					t.Errorf("tab %d is %q, want %q", i, status.Connection, want)
				}
			}
		}
		asleep.Resume()
		synctest.Wait()
		late := ada.tab()
		wants(replica.ConnectionLoggedOut, first, second, late)
		time.Sleep(time.Minute)
		synctest.Wait()
		wants(replica.ConnectionLoggedOut, first, second, late, asleep)
		dials := first.dials.Load() + second.dials.Load() + late.dials.Load() + asleep.dials.Load()

		waits, err := first.Space(s.ID()).Append(w.Context(), "note", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := waits.Durable(w.Context()); err != nil {
			t.Fatal(err)
		}
		made, err := late.CreateSpace(w.Context(), wasmclient.SpaceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		first.Poke() // a network that comes back changes nothing
		if err := first.Close(w.Context()); err != nil {
			t.Fatal(err)
		}
		second.leads(time.Minute)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := first.dials.Load() + second.dials.Load() + late.dials.Load() + asleep.dials.Load(); n != dials {
			t.Errorf("the server was dialled %d times while logged out", n-dials)
		}
		if records := w.site.records(s.ID()); len(records) != 1 {
			t.Errorf("the log has %d records, want the one from before", len(records))
		}
		if status := second.Status(); status.Pending != 1 || status.PendingSpaces != 1 || status.Code != 0 {
			t.Errorf("status %+v", status)
		}
		if err := second.Logout(w.Context()); err != nil { // again is harmless
			t.Fatal(err)
		}
		if err := late.Login(w.Context()); err != nil {
			t.Fatal(err)
		}
		receipt, err := second.Space(s.ID()).Receipt(w.Context(), waits.ID())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := receipt.Synced(w.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wants(replica.ConnectionOnline, second)
		if info := late.Info(made.ID()); !info.Created {
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if info := late.Info(made.ID()); !info.Created {
				t.Errorf("the space that was made is %+v", info)
			}
		}
	})
}

// TestLogoutUnheard: a tab that hears no other one stops within the time in which it looks into the store.
func TestLogoutUnheard(t *testing.T) {
	inBubble(t, func(w *world) {
		ada := w.device("ada")
		deaf := func(c *wasmclient.Config) { c.Channel = nil }
		leads, other := ada.tab(deaf), ada.tab(deaf)
		leads.makeSpace()
		if err := other.Logout(w.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if status := leads.Status(); status.Connection != replica.ConnectionLoggedOut || !status.Leader {
			t.Errorf("status %+v", status)
		}
		if err := other.Login(w.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if status := leads.Status(); status.Connection != replica.ConnectionOnline {
			t.Errorf("status %+v", status)
		}
	})
}

// TestErase: while something is on this device alone, in whichever tab, nothing is deleted, and it is said how much that is. What is
// deleted is gone for every tab, one that sleeps too, and comes back in none.
func TestErase(t *testing.T) {
	inBubble(t, func(w *world) {
		ada := w.device("ada")
		first := ada.tab()
		s := first.makeSpace()
		second, asleep := ada.tab(), ada.tab()
		if err := asleep.Suspend(w.Context()); err != nil {
			t.Fatal(err)
		}
		if err := first.Logout(w.Context()); err != nil {
			t.Fatal(err)
		}
		receipt, err := second.Space(s.ID()).Append(w.Context(), "note", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := receipt.Durable(w.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		err = first.Erase(w.Context(), false)
		if wire.CodeOf(err) != wire.CodeUnsynced || !strings.Contains(err.Error(), "1 transactions wait") {
			t.Fatalf("erased while a transaction waits: %v", err)
		}
		if status := first.Status(); status.Connection != replica.ConnectionLoggedOut || status.Pending != 1 {
			t.Errorf("status %+v", status)
		}
		if err := first.Login(w.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := receipt.Synced(w.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := first.Erase(w.Context(), false); err != nil {
			t.Fatal(err)
		}
		asleep.Resume()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i, tab := range []*tab{first, second, asleep} {
			if status := tab.Status(); status.Code != wire.CodeForgotten || status.Connection != replica.ConnectionLoggedOut || status.Leader {
				t.Errorf("tab %d: %+v", i, status)
			}
			receipt, err := tab.Space(s.ID()).Append(w.Context(), "note", nil)
			if err == nil {
				err = receipt.Durable(w.Context())
			}
			if wire.CodeOf(err) != wire.CodeForgotten {
				t.Errorf("tab %d appends: %v", i, err)
			}
		}
		if records := w.site.records(s.ID()); len(records) != 2 {
			t.Errorf("the log has %d records, want what was sent", len(records))
		}
		handle := ada.store.Handle()
		loaded, err := handle.Load(w.Context())
		if err != nil || len(loaded.Spaces) != 0 {
			t.Errorf("there is %+v, %v", loaded, err)
		}
	})
}

// TestEraseByForce: what is on this device alone is lost if somebody says so, what is not durable yet too.
func TestEraseByForce(t *testing.T) {
	inBubble(t, func(w *world) {
		ada := w.device("ada")
		tab := ada.tab(offline)
		s, err := tab.CreateSpace(w.Context(), wasmclient.SpaceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := tab.Erase(w.Context(), false); wire.CodeOf(err) != wire.CodeUnsynced || !strings.Contains(err.Error(), "1 spaces") {
			t.Fatalf("erased: %v", err)
		}
		stored, err := s.Append(w.Context(), "note", nil)
		if err == nil {
			err = stored.Durable(w.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		tab.store.slow.Store(int64(time.Second))
		receipt, err := s.Append(w.Context(), "note", nil)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := tab.Erase(w.Context(), false); wire.CodeOf(err) != wire.CodeUnsynced {
			t.Fatalf("erased with a transaction on its way: %v", err)
		}
		if err := tab.Erase(w.Context(), true); err != nil {
			t.Fatal(err)
		}
		if err := receipt.Durable(w.Context()); err != nil && wire.CodeOf(err) != wire.CodeForgotten {
			t.Errorf("what was on its way: %v", err)
		}
		soon, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		if _, err := receipt.Synced(soon); wire.CodeOf(err) != wire.CodeForgotten {
			t.Errorf("what was on its way: %v", err)
		}
		if _, err := stored.Synced(soon); wire.CodeOf(err) != wire.CodeForgotten {
			t.Errorf("what was durable: %v", err)
		}
	})
}

// TestLoggedOutIsKept: when a browser destroys what was stored, who logged out stays so.
func TestLoggedOutIsKept(t *testing.T) {
	inBubble(t, func(w *world) {
		ada := w.device("ada")
		tab := ada.tab()
		tab.makeSpace()
		if err := tab.Logout(w.Context()); err != nil {
			t.Fatal(err)
		}
		ada.store.Delete()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if status := tab.Status(); status.Connection != replica.ConnectionLoggedOut || status.Storage != "replica_lost" {
			t.Errorf("status %+v", status)
		}
		handle := ada.store.Handle()
		if loaded, err := handle.Load(w.Context()); err != nil || !loaded.Meta.LoggedOut() {
			t.Errorf("stored is %+v, %v", loaded, err)
		}
	})
}

// TestLogoutOfAFullDevice: who cannot be logged out durably is told so, and goes on.
func TestLogoutOfAFullDevice(t *testing.T) {
	full := errors.New("the disk is busy")
	fail := false
	store := memstore.New(memstore.Config{Identity: "ada", Fail: func(c *replica.Commit) error {
		if fail && c.Login != 0 {
			return full
		}
		return nil
	}})
	client, err := wasmclient.Open(t.Context(), wasmclient.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	fail = true
	if err := client.Logout(t.Context()); !errors.Is(err, full) {
		t.Errorf("logged out: %v", err)
	}
	if status := client.Status(); status.Connection != replica.ConnectionOff {
		t.Errorf("status %+v", status)
	}
}

// TestForgottenWhereItWasDeleted: a browser deletes what was stored, another tab begins anew and has that forgotten, all before this
// tab has looked: it ends like any other whose replica was forgotten.
func TestForgottenWhereItWasDeleted(t *testing.T) {
	inBubble(t, func(w *world) {
		ada := w.device("ada")
		tab := ada.tab(offline)
		s, err := tab.CreateSpace(w.Context(), wasmclient.SpaceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		receipt := append1(w.T, s, "nobody has sent this")
		if err := receipt.Durable(w.Context()); err != nil {
			t.Fatal(err)
		}
		ada.store.Delete()
		tab.store.slowRenew.Store(int64(time.Second))
		reads := make(chan error, 1)
		go func() { // it finds out first
			_, err := s.Pending(w.Context(), 10, false)
			reads <- err
		}()
		synctest.Wait()
		other := ada.store.Handle()
		if _, err := other.Commit(w.Context(), &replica.Commit{Strict: true, Erase: true, Force: true}); err != nil {
			t.Fatal(err)
		}
		tab.Poke()
		soon, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		if _, err := receipt.Synced(soon); wire.CodeOf(err) != wire.CodeForgotten {
			t.Errorf("what was durable: %v", err)
		}
		if _, err := s.Pending(soon, 10, false); !errors.Is(err, wasmclient.ErrForgotten) {
			t.Errorf("what waits: %v", err)
		}
		for _, err := range s.Events(soon, wasmclient.EventsOptions{Live: true}) {
			if !errors.Is(err, wasmclient.ErrForgotten) {
				t.Errorf("records: %v", err)
			}
		}
		select {
		case err := <-reads:
			if !errors.Is(err, wasmclient.ErrForgotten) {
				t.Errorf("what waited, read at once: %v", err)
			}
		case <-soon.Done():
			t.Error("whoever read first waits for ever")
		}
		if status := tab.Status(); status.Code != wire.CodeForgotten {
			t.Errorf("status %+v", status)
		}
	})
}
