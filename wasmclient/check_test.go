//go:build !js

package wasmclient_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// damaged is a store whose records are not what they should be.
type damaged struct {
	wasmclient.Store
	spoil func([]space.Record) ([]space.Record, error)
	small bool // pages
}

func (d *damaged) Read(ctx context.Context, id space.ID, after uint64, limit, maxBytes int) ([]space.Record, error) {
	if d.small {
		limit = min(limit, 2)
	}
	records, err := d.Store.Read(ctx, id, after, limit, maxBytes)
	if err == nil && d.spoil != nil {
		return d.spoil(records)
	}
	return records, err
}

// TestCheck finds what is wrong with what is stored.
func TestCheck(t *testing.T) {
	inBubble(t, func(w *world) {
		store := new(damaged)
		tab := w.device("ada").tab(func(c *wasmclient.Config) { store.Store, c.Store = c.Store, store })
		s := tab.makeSpace()
		for n := range 4 {
			tab.write(s.ID(), fmt.Sprint(n))
		}
		tab.holds(s.ID(), 5)
		store.small = true
		for _, test := range []struct {
			name  string
			spoil func([]space.Record) ([]space.Record, error)
			seq   uint64
			well  bool
		}{
			{"all is well", nil, 5, true},
			{"another payload", func(records []space.Record) ([]space.Record, error) {
				for i := range records {
					if records[i].Seq == 4 {
						records[i].Payload = []byte{0x01}
					}
				}
				return records, nil
			}, 5, false},
			{"unreadable", func(records []space.Record) ([]space.Record, error) {
				if len(records) > 0 && records[0].Seq == 3 {
					return nil, fmt.Errorf("read: %w", wasmclient.ErrDamaged)
				}
				return records, nil
			}, 2, false},
			{"a hole", func(records []space.Record) ([]space.Record, error) {
				if len(records) > 0 && records[0].Seq == 3 {
					return records[1:], nil
				}
				return records, nil
			}, 2, false},
		} {
			synctest.Wait() // what was damaged is looked at in the background too
			store.spoil = test.spoil
			check, err := s.Check(w.Context())
			if err != nil || check.Seq != test.seq || (check.Damage == "") != test.well {
				w.Errorf("%s: %+v, %v; want %d", test.name, check, err, test.seq)
			}
		}
	})
}

// rotten is a store in which a record cannot be read until it was written again.
type rotten struct {
	wasmclient.Store
	bad *atomic.Uint64 // its number; 0: none
}

func (r *rotten) Read(ctx context.Context, id space.ID, after uint64, limit, maxBytes int) ([]space.Record, error) {
	records, err := r.Store.Read(ctx, id, after, limit, maxBytes)
	for i := range records {
		if records[i].Seq == r.bad.Load() && i > 0 {
			return records[:i], err
		} else if records[i].Seq == r.bad.Load() {
			return nil, fmt.Errorf("read: %w", wasmclient.ErrDamaged)
		}
	}
	return records, err
}

func (r *rotten) Commit(ctx context.Context, c *replica.Commit) (*replica.CommitResult, error) {
	result, err := r.Store.Commit(ctx, c)
	for i := range c.Spaces {
		if part := &c.Spaces[i]; err == nil && !result.Stale && part.Cut && part.Position.Seq < r.bad.Load() {
			r.bad.Store(0)
		}
	}
	return result, err
}

// TestDamageIsMended damages a record under two tabs that are offline. One of them reads; what is written meanwhile is
// kept; and when they are online again the server sends what is missing. An iteration that waits gives each event once.
func TestDamageIsMended(t *testing.T) {
	inBubble(t, func(w *world) {
		bad := new(atomic.Uint64)
		rot := func(c *wasmclient.Config) { c.Store = &rotten{c.Store, bad} }
		down := new(atomic.Bool)
		cut := func(c *wasmclient.Config) { c.Dialer = &switched{c.Dialer, down} }
		d := w.device("ada")
		leader, follower := d.tab(rot, cut), d.tab(rot, cut)
		leader.leads(time.Second)
		s := leader.makeSpace()
		for n := range 5 {
			leader.write(s.ID(), fmt.Sprint(n))
		}
		other := follower.Space(s.ID())
		follower.holds(s.ID(), 6)
		ctx, stop := context.WithCancel(w.Context())
		var live atomic.Uint64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for record, err := range other.Events(ctx, wasmclient.EventsOptions{After: 3, Live: true}) {
				if err != nil || record.Seq != max(live.Load(), 3)+1 {
					w.Errorf("the iteration goes from %d to %d: %v", live.Load(), record.Seq, err)
				}
				live.Store(record.Seq)
			}
		}()
		time.Sleep(time.Second)
		leader.Suspend(w.Context()) // goes offline, and lets the other lead
		down.Store(true)
		leader.Resume()
		time.Sleep(time.Minute)

		bad.Store(3)
		if _, err := other.Read(w.Context(), 2, 10, 1<<20); !errors.Is(err, wasmclient.ErrDamaged) {
			w.Errorf("reading what is damaged: %v", err)
		}
		if records, err := other.Read(w.Context(), 0, 10, 1<<20); err != nil || len(records) != 2 {
			w.Errorf("reading what is below: %d records, %v", len(records), err)
		}
		written := append1(w.T, s, "meanwhile")
		time.Sleep(time.Minute)
		for _, tab := range []*tab{leader, follower} {
			info, status := tab.Space(s.ID()).Info(), tab.Status()
			if info.Code != wire.CodeDamaged || info.Damaged != 6 || info.Pending != 1 || status.Storage != "degraded" {
				w.Errorf("offline a tab says %+v, %+v", info, status)
			}
		}
		down.Store(false)
		if _, err := written.Synced(w.Context()); err != nil {
			w.Error(err)
		}
		for range 100 {
			if leader.Space(s.ID()).Info().Damaged == 0 && other.Info().Damaged == 0 && live.Load() == 7 {
				break
			}
			time.Sleep(time.Second)
		}
		for _, tab := range []*tab{leader, follower} {
			tab.holds(s.ID(), 7)
			if info, status := tab.Space(s.ID()).Info(), tab.Status(); info.Code != 0 || info.Damaged != 0 || status.Storage != "ok" {
				w.Errorf("mended a tab says %+v, %+v", info, status)
			}
			if found, err := tab.Space(s.ID()).Check(w.Context()); err != nil || found.Damage != "" || found.Seq != 7 {
				w.Errorf("mended: %+v, %v", found, err)
			}
		}
		stop()
		follower.Space(space.ID{1}) // a change wakes it
		<-done
		if live.Load() != 7 {
			w.Errorf("the iteration ended at %d", live.Load())
		}
	})
}

// bent is a store that gives another payload for a record, until the records were given up.
type bent struct {
	wasmclient.Store
	bent  atomic.Bool
	reads atomic.Int64
}

func (b *bent) Commit(ctx context.Context, c *replica.Commit) (*replica.CommitResult, error) {
	result, err := b.Store.Commit(ctx, c)
	if err == nil && len(c.Spaces) > 0 && c.Spaces[0].Cut {
		b.bent.Store(false)
	}
	return result, err
}

func (b *bent) Read(ctx context.Context, id space.ID, after uint64, limit, maxBytes int) ([]space.Record, error) {
	b.reads.Add(1)
	records, err := b.Store.Read(ctx, id, after, limit, maxBytes)
	for i := range records {
		if records[i].Seq == 3 && b.bent.Load() {
			records[i].Payload = []byte{0x01}
		}
	}
	return records, err
}

// TestDamageIsLookedFor changes a record so that it still reads as one. Nobody asks, and it is found and sent again; what
// is whole is looked through once.
func TestDamageIsLookedFor(t *testing.T) {
	inBubble(t, func(w *world) {
		store := new(bent)
		tab := w.device("ada").tab(func(c *wasmclient.Config) { store.Store, c.Store = c.Store, store })
		tab.leads(time.Second)
		s := tab.makeSpace()
		for n := range 4 {
			tab.write(s.ID(), fmt.Sprint(n))
		}
		tab.holds(s.ID(), 5)
		synctest.Wait()
		store.bent.Store(true)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if store.bent.Load() {
			w.Error("nobody found the damage")
		}
		tab.holds(s.ID(), 5)
		if info := s.Info(); info.Damaged != 0 || info.Code != 0 {
			w.Errorf("mended: %+v", info)
		}
		reads := store.reads.Load()
		time.Sleep(time.Hour)
		if n := store.reads.Load(); n != reads {
			w.Errorf("what is whole was read %d times more", n-reads)
		}
	})
}

// switched is a network that can be down.
type switched struct {
	wasmclient.Dialer
	down *atomic.Bool
}

func (s *switched) Dial(ctx context.Context, url string) (wasmclient.Conn, error) {
	if s.down.Load() {
		return nil, errors.New("the network is down")
	}
	conn, err := s.Dialer.Dial(ctx, url)
	if err != nil {
		return nil, err
	}
	return switchedConn{conn, s.down}, nil
}

type switchedConn struct {
	wasmclient.Conn
	down *atomic.Bool
}

func (c switchedConn) Write(ctx context.Context, message []byte) error {
	if c.down.Load() {
		return errors.New("the network is down")
	}
	return c.Conn.Write(ctx, message)
}
