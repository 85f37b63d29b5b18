//go:build !js

package wasmclient_test

import (
	"testing"
	"time"

	"skerry/wasmclient"
)

// TestWhatNobodyLooksAtIsNotPulled opens a space in a tab that does not sync: the one that syncs pulls it, until it is
// closed there, and again when it is opened or pinned.
func TestWhatNobodyLooksAtIsNotPulled(t *testing.T) {
	inBubble(t, func(w *world) {
		ada, bea := w.device("ada"), w.device("bea")
		leader, follower, writer := ada.tab(), ada.tab(), bea.tab()
		leader.leads(time.Second)
		s := writer.makeSpace()

		has := func(n int) bool {
			records, err := leader.store.Read(w.Context(), s.ID(), 0, 1<<30, 1<<30)
			if err != nil {
				w.Fatal(err)
			}
			return len(records) == n
		}
		within := func(d time.Duration, n int) bool {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				if has(n) {
					return true
				}
			}
			return has(n)
		}
		first, second := follower.Space(s.ID()), follower.Space(s.ID())
		if !within(30*time.Second, 1) {
			w.Fatal("what a tab looks at that does not sync is not pulled")
		}
		first.Close()
		first.Close()
		time.Sleep(5 * time.Minute)
		writer.write(s.ID(), "second")
		if !within(30*time.Second, 2) {
			w.Fatal("not pulled, though a handle is open still")
		}
		second.Close()
		time.Sleep(5 * time.Minute)
		writer.write(s.ID(), "third")
		if within(2*time.Minute, 3) {
			w.Fatal("pulled, though nobody looks at it")
		}
		if records, err := second.Read(w.Context(), 0, 10, 1<<20); err != nil || len(records) != 2 {
			w.Fatalf("a closed handle reads %d records: %v", len(records), err)
		}
		again := follower.Space(s.ID())
		if !within(30*time.Second, 3) {
			w.Fatal("not pulled when it was opened again")
		}
		if err := again.Pin(w.Context(), true); err != nil {
			w.Fatal(err)
		}
		again.Close()
		time.Sleep(5 * time.Minute)
		writer.write(s.ID(), "fourth")
		if !within(30*time.Second, 4) || !leader.Info(s.ID()).Pinned {
			w.Fatal("a pinned space is not pulled")
		}
		follower.Close(w.Context())
		leader.Close(w.Context())
		late := ada.tab() // pinned in the store
		writer.write(s.ID(), "fifth")
		if !within(time.Minute, 5) || !late.Info(s.ID()).Pinned {
			w.Fatal("after all tabs were closed it is not pinned any more")
		}
	})
}

// TestAPinNeedsAStore tells how pinning fails.
func TestAPinNeedsAStore(t *testing.T) {
	inBubble(t, func(w *world) {
		tab := w.device("ada").tab()
		s, err := tab.CreateSpace(w.Context(), wasmclient.SpaceOptions{})
		if err != nil {
			w.Fatal(err)
		}
		tab.Close(w.Context())
		if err := s.Pin(w.Context(), true); err == nil {
			w.Error("a closed client pins")
		}
		s.Close()
	})
}
