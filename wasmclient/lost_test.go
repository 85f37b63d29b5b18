//go:build !js

package wasmclient_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/wire"
	"skerry/wasmclient"
)

// TestTheReplicaIsDeleted destroys the store under two tabs, of which one leads, while something waits to be sent and
// more is being written: each tab says so and goes on, nothing is lost that was in memory, and all is as it was when
// the server has told what it has.
func TestTheReplicaIsDeleted(t *testing.T) {
	inBubble(t, func(w *world) {
		ada, bea := w.device("ada"), w.device("bea")
		first, second := ada.tab(), ada.tab()
		first.leads(time.Second)
		s := first.makeSpace()
		second.holds(s.ID(), 1)
		read := make(chan uint64, 10)
		ctx, cancel := context.WithCancel(w.Context())
		defer cancel()
		go func() {
			defer close(read)
			for record, err := range second.Space(s.ID()).Events(ctx, wasmclient.EventsOptions{Live: true}) {
				if err != nil {
					w.Error(err)
					return
				}
				read <- record.Seq
			}
		}()
		if seq := <-read; seq != 1 {
			w.Fatalf("read record %d first", seq)
		}

		first.store.slow.Store(int64(time.Second)) // what is appended now is on its way to the store
		waits := append1(w.T, s, "on its way when the replica was deleted")
		second.store.slow.Store(int64(time.Second))
		other := append1(w.T, second.Space(s.ID()), "on its way in another tab")
		synctest.Wait()
		ada.store.Delete()
		for _, receipt := range []*wasmclient.Receipt{waits, other} {
			if err := receipt.Durable(w.Context()); err != nil {
				w.Errorf("durable: %v", err)
			}
			if _, err := receipt.Synced(w.Context()); err != nil {
				w.Errorf("synced: %v", err)
			}
		}
		for _, tab := range []*tab{first, second} {
			tab.holds(s.ID(), 3)
			if status := tab.Status(); status.Storage != "replica_lost" || status.Code != wire.CodeReplicaLost || status.Reason == "" {
				w.Errorf("the status of a tab whose replica was deleted: %+v", status)
			}
		}
		for seq := range uint64(2) {
			if got := <-read; got != seq+2 {
				w.Errorf("a reader that goes on read record %d, want %d", got, seq+2)
			}
		}
		first.write(s.ID(), "written afterwards")
		third := bea.tab()
		third.Space(s.ID())
		third.holds(s.ID(), 4)
		if status := third.Status(); status.Storage != "ok" {
			w.Errorf("another device's status: %+v", status)
		}
		cancel()
		for range read {
		}
	})
}

// TestDeletedWithRowsThatWait destroys a store whose rows could not be sent for want of a network: those that were never
// in a socket are gone, which is told and not passed over.
func TestDeletedWithRowsThatWait(t *testing.T) {
	inBubble(t, func(w *world) {
		ada := w.device("ada")
		tab := ada.tab(func(c *wasmclient.Config) { c.URL = "" })
		s, err := tab.CreateSpace(w.Context(), wasmclient.SpaceOptions{})
		if err != nil {
			w.Fatal(err)
		}
		receipt := append1(w.T, s, "only here")
		if err := receipt.Durable(w.Context()); err != nil {
			w.Fatal(err)
		}
		ada.store.Delete()
		tab.Poke()
		if _, err := receipt.Synced(w.Context()); wire.CodeOf(err) != wire.CodeReplicaLost {
			w.Errorf("a transaction that is gone: %v, want replica_lost", err)
		}
		synctest.Wait()
		if rows, err := s.Pending(w.Context(), 1000, false); err != nil || len(rows) != 0 {
			w.Errorf("%d rows wait, %v", len(rows), err)
		}
		if info := s.Info(); info.Genesis == nil {
			w.Error("the space that was made here is not there any more")
		}
	})
}
