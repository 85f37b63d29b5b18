//go:build !js

package wasmclient_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/replica"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// refusing is a store that writes nothing while it has an error to give.
type refusing struct {
	wasmclient.Store
	err    atomic.Pointer[error]
	writes atomic.Int64
}

func (r *refusing) refuse(err error) { r.err.Store(&err) }

func (r *refusing) Commit(ctx context.Context, c *replica.Commit) (*replica.CommitResult, error) {
	if err := r.err.Load(); err != nil && *err != nil {
		return nil, *err
	}
	r.writes.Add(1)
	return r.Store.Commit(ctx, c)
}

func (r *refusing) RaiseEpoch(ctx context.Context) (*replica.Loaded, error) {
	if err := r.err.Load(); err != nil && *err != nil {
		return nil, *err
	}
	r.writes.Add(1)
	return r.Store.RaiseEpoch(ctx)
}

// refusingTab opens a tab whose store can be made to refuse.
func (d *device) refusingTab(err error) (*tab, *refusing) {
	store := new(refusing)
	store.refuse(err)
	return d.tab(func(c *wasmclient.Config) { store.Store, c.Store = c.Store, store }), store
}

// TestNoRoomToLead fills the device before the epoch can be raised: the tab says so, and leads when there is room.
func TestNoRoomToLead(t *testing.T) {
	inBubble(t, func(w *world) {
		tab, store := w.device("ada").refusingTab(wasmclient.ErrFull)
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := tab.Status(); s.Storage != "degraded" || s.Code != wire.CodeQuota || s.Leader {
			w.Errorf("the status of a tab that cannot lead for want of room: %+v", s)
		}
		store.refuse(nil)
		tab.leads(5 * time.Second)
		tab.makeSpace()
		if s := tab.Status(); s.Storage != "ok" || s.Code != 0 {
			w.Errorf("the status when there is room: %+v", s)
		}
	})
}

// TestNoRoomAndThenRoom fills the device under a tab that syncs. It says so, and nothing is lost.
func TestNoRoomAndThenRoom(t *testing.T) {
	inBubble(t, func(w *world) {
		tab, store := w.device("ada").refusingTab(nil)
		tab.leads(time.Second)
		s := tab.makeSpace()
		other := w.device("bea").tab()
		other.Space(s.ID())
		other.holds(s.ID(), 1)
		store.refuse(wasmclient.ErrFull)
		other.write(s.ID(), "there is no room for this")
		receipt := append1(w.T, s, "nor for this")
		if err := receipt.Durable(w.Context()); wire.CodeOf(err) != wire.CodeQuota {
			w.Errorf("append to a full device: %v, want quota", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s := tab.Status(); s.Storage != "degraded" || s.Code != wire.CodeQuota {
			w.Errorf("the status of a full device: %+v", s)
		}
		store.refuse(nil)
		tab.holds(s.ID(), 2)
		if s := tab.Status(); s.Storage != "ok" || s.Code != 0 {
			w.Errorf("the status when there is room again: %+v", s)
		}
		tab.write(s.ID(), "there is room for this")
	})
}

// TestAnOlderTabStopsWriting raises what a writer must be under a tab that leads: it writes nothing more, says so, reads
// on, and a tab of the newer version can lead.
func TestAnOlderTabStopsWriting(t *testing.T) {
	inBubble(t, func(w *world) {
		ada := w.device("ada")
		old, store := ada.refusingTab(nil)
		old.leads(time.Second)
		s := old.makeSpace()
		newer := ada.tab()
		store.refuse(wasmclient.ErrNewerStore)
		if err := append1(w.T, s, "by the old one").Durable(w.Context()); wire.CodeOf(err) != wire.CodeUpgradeRequired {
			w.Errorf("append by an old tab: %v, want upgrade_required", err)
		}
		newer.leads(5 * time.Second)
		newer.write(s.ID(), "by the newer one")
		newer.holds(s.ID(), 2)
		writes := store.writes.Load()
		newer.Close(w.Context())
		time.Sleep(time.Minute) // nobody leads, and the old tab does not either
		synctest.Wait()
		status := old.Status()
		if status.Connection != "upgrade_required" || status.Code != wire.CodeUpgradeRequired || status.Leader || status.Undurable != 0 {
			w.Errorf("the status of the old tab: %+v", status)
		}
		if n := store.writes.Load(); n != writes {
			w.Errorf("the old tab wrote %d times", n-writes)
		}
		old.holds(s.ID(), 2)
	})
}
