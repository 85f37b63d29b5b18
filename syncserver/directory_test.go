package syncserver_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// list reads the directory from since on, in as many frames as it takes.
func (p *peer) list(since []byte) (rows []wire.SpaceRow, next []byte, full bool) {
	p.t.Helper()
	for frames := 0; ; frames++ {
		p.send(&wire.Directory{Ref: 77, Since: since})
		for {
			spaces := await[*wire.Spaces](p)
			if spaces.Ref != 77 {
				continue
			}
			if len(spaces.Rows) > 500 || spaces.Full != (full && frames == 0 || frames == 0 && spaces.Full) {
				p.t.Fatalf("frame %d: %d rows, full %v", frames, len(spaces.Rows), spaces.Full)
			}
			full = full || spaces.Full
			rows = append(rows, spaces.Rows...)
			since = spaces.Since
			if !spaces.More {
				return rows, since, full
			}
			break
		}
	}
}

func TestDirectory(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		r := start(t, open())
		alice := r.dial("alice")
		created := map[space.ID]bool{}
		for range 1203 { // as a client does that made them offline
			g := alice.genesis()
			created[g.ID()] = true
			alice.push(wire.Push{Space: g.ID(), Genesis: g})
		}
		for range created {
			if answer := await[*wire.Pushed](alice); answer.Genesis.Kind != wire.Accepted {
				t.Fatalf("%+v", answer.Genesis)
			}
		}
		rows, since, full := alice.list(nil)
		if len(rows) != len(created) || !full {
			t.Fatalf("%d rows, full %v", len(rows), full)
		}
		for i := range rows {
			if !created[rows[i].Genesis.ID()] || rows[i].Genesis.Creator != "alice" || rows[i].Module != rows[i].Genesis.Module {
				t.Fatalf("row %+v", rows[i])
			}
			delete(created, rows[i].Genesis.ID())
		}
		if rows, again, full := alice.list(since); len(rows) != 0 || full || string(again) != string(since) {
			t.Errorf("nothing changed, but %d rows came, full %v", len(rows), full)
		}

		// Live: of another device, of another's space that alice writes to, once each.
		other := r.dial("alice")
		new := other.create()
		if live := await[*wire.Spaces](alice); live.Ref != 0 || len(live.Rows) != 1 || live.Rows[0].Genesis.ID() != new {
			t.Errorf("live: %+v", live)
		}
		bob := r.dial("bob")
		bobs := bob.create()
		other.append(bobs, other.transaction(1))
		other.append(bobs, other.transaction(1))
		live := await[*wire.Spaces](alice)
		if len(live.Rows) != 1 || live.Rows[0].Genesis.ID() != bobs || live.Rows[0].Genesis.Creator != "bob" {
			t.Errorf("live: %+v", live)
		}
		if rows, _, _ := bob.list(nil); len(rows) != 1 || rows[0].Head != 2 {
			t.Errorf("bob's directory: %+v", rows)
		}

		r.stop()
		r = start(t, open())
		alice = r.dial("alice")
		if rows, _, full := alice.list(since); len(rows) != 2 || full {
			t.Errorf("after a restart %d rows changed, full %v", len(rows), full)
		}
		if rows, _, full := alice.list(live.Since); len(rows) != 0 || full {
			t.Errorf("after a live row's since %d rows changed, full %v", len(rows), full)
		}
		for what, strange := range map[string][]byte{
			"another server's": append([]byte("other!!!"), since[8:]...), "cut": since[:20], "garbage": []byte("x"),
			"bob's": func() []byte { _, s, _ := r.dial("bob").list(nil); return s }(),
		} {
			if rows, _, full := alice.list(strange); len(rows) != 1205 || !full {
				t.Errorf("%s since: %d rows, full %v", what, len(rows), full)
			}
		}
	})
}

// TestDirectoryHeals stops a server between an append and the directory's rows: touching the space again lists it.
func TestDirectoryHeals(t *testing.T) {
	log := &hooked{Log: memlog.New()}
	r := start(t, log)
	alice, bob := r.dial("alice"), r.dial("bob")
	bobs := bob.create()
	var broken atomic.Bool
	broken.Store(true)
	log.keys(func(key string) error {
		if broken.Load() && strings.HasPrefix(key, "dir/") {
			return errBroken
		}
		return nil
	})
	g := alice.genesis()
	created, written := wire.Push{Space: g.ID(), Genesis: g}, alice.transaction(1)
	if v := alice.pushed(created).Genesis; v.Kind != wire.Accepted {
		t.Fatalf("%+v", v)
	}
	alice.append(bobs, written)
	if rows, _, _ := alice.list(nil); len(rows) != 0 {
		t.Fatalf("%d rows were listed without a directory", len(rows))
	}
	r.stop() // as a crash would: nobody is left who knows that rows are missing
	broken.Store(false)
	r = start(t, log)
	alice = r.dial("alice")
	alice.pushed(created)
	alice.verdict(bobs, written)
	if rows, _, _ := alice.list(nil); len(rows) != 2 {
		t.Errorf("after touching both spaces %d are listed", len(rows))
	}
}

// TestServersAgree starts servers on one log at once.
func TestServersAgree(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		log := open()
		keys := make([][32]byte, 16)
		var all sync.WaitGroup
		for i := range keys {
			all.Go(func() {
				server, err := syncserver.New(syncserver.Config{Log: log})
				if err != nil {
					t.Error(err)
					return
				}
				keys[i] = server.Key()
				server.Close()
			})
		}
		all.Wait()
		for _, key := range keys {
			if key != keys[0] || key == [32]byte{} {
				t.Errorf("servers are %x and %x", key, keys[0])
			}
		}
	})
}

// raced is a log in which another server is always faster at setting a key.
type raced struct{ syncserver.Log }

func (r raced) CompareAndSet(ctx context.Context, key string, old, value []byte) (bool, error) {
	if old == nil {
		if _, err := r.Log.CompareAndSet(ctx, key, nil, bytes.Repeat([]byte{7}, len(value))); err != nil {
			return false, err
		}
	}
	return r.Log.CompareAndSet(ctx, key, old, value)
}

// TestAServerTakesTheKeyThatWasSetFirst starts a server that is overtaken while it makes its key.
func TestAServerTakesTheKeyThatWasSetFirst(t *testing.T) {
	log := memlog.New()
	var keys [2][32]byte
	for i, l := range []syncserver.Log{raced{log}, log} {
		server, err := syncserver.New(syncserver.Config{Log: l})
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = server.Key()
		server.Close()
	}
	if keys[0] != keys[1] {
		t.Errorf("one log, two servers: %x and %x", keys[0], keys[1])
	}
}

// TestTwoServersOneLog lets two servers write to one space of one log: numbers are given once, nothing is lost, and
// what one sealed the other knows.
func TestTwoServersOneLog(t *testing.T) {
	log := memlog.New()
	one, two := start(t, log), start(t, log)
	alice, bob := one.dial("alice"), two.dial("bob")
	id := alice.create()
	var all sync.WaitGroup
	for _, p := range []*peer{alice, bob} {
		all.Go(func() {
			for range 50 {
				p.append(id, p.transaction(2))
			}
		})
	}
	all.Wait()
	head, err := log.Head(context.Background(), id)
	if err != nil || head.Seq != 200 {
		t.Fatalf("the log ends at %d: %v", head.Seq, err)
	}
	carol := one.dial("carol")
	carol.subscribe(id, space.Start(id))
	_, at := carol.follow(id, space.Start(id), 200)
	dave := two.dial("dave")
	dave.subscribe(id, at)
	if up := await[*wire.CaughtUp](dave); up.Position != at {
		t.Errorf("%+v, want %+v", up.Position, at)
	}
	// Live, over the border between the servers.
	alice.append(id, alice.transaction(1))
	dave.follow(id, at, 201)
}
