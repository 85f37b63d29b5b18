//go:build !js

package wasmclient_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// TestReceiptsAreFoundAgain follows transactions from another client of the same store: one that the log has, one that
// was refused, one that waits, one of somebody else, and one that nobody made.
func TestReceiptsAreFoundAgain(t *testing.T) {
	server := newSite(t, syncserver.Config{Limits: wire.Limits{Payload: 100}})
	server.up()
	store := memstore.New(memstore.Config{Identity: "ada"})
	first := open(t, wasmclient.Config{Store: store, URL: server.url()})
	s, err := first.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	good, big := append1(t, s, "good"), append1(t, s, strings.Repeat("x", 200))
	if _, err := good.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := big.Synced(t.Context()); wire.CodeOf(err) != wire.CodeTooLarge {
		t.Fatalf("too large: %v", err)
	}
	bob := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "bob"}), URL: server.url()})
	bobs := append1(t, bob.Space(s.ID()), "bob was here")
	if _, err := bobs.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, first, "bob's event", func() bool { return s.Info().Position.Seq == 2 })
	server.down()
	waits := append1(t, s, "later")
	if err := waits.Durable(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := waits.Synced(t.Context()); wire.CodeOf(err) != wire.CodeClosed {
		t.Errorf("after the end: %v", err)
	}

	second := open(t, wasmclient.Config{Store: store.Handle(), URL: server.url()})
	again := second.Space(s.ID())
	find := func(id space.ULID) *wasmclient.Receipt {
		t.Helper()
		receipt, err := again.Receipt(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return receipt
	}
	for _, c := range []struct {
		name    string
		id      space.ULID
		durable wire.Code
		seq     uint64
		synced  wire.Code
	}{
		{"in the log", good.ID(), 0, 1, 0},
		{"bob's", bobs.ID(), 0, 2, 0},
		{"refused", big.ID(), 0, 0, wire.CodeTooLarge},
		{"never made", space.ULID{1}, wire.CodeDiscarded, 0, wire.CodeDiscarded},
	} {
		receipt := find(c.id)
		if err := receipt.Durable(t.Context()); wire.CodeOf(err) != c.durable {
			t.Errorf("%s: durable: %v", c.name, err)
		}
		if at, err := receipt.Synced(t.Context()); at.Seq != c.seq || wire.CodeOf(err) != c.synced {
			t.Errorf("%s: synced: %d %v", c.name, at.Seq, err)
		}
	}
	found := find(waits.ID())
	if err := found.Durable(t.Context()); err != nil {
		t.Errorf("what waits: %v", err)
	}
	server.up()
	second.Poke()
	if at, err := found.Synced(t.Context()); at.Seq != 3 || err != nil {
		t.Errorf("what waited: %d %v", at.Seq, err)
	}
}

// TestAStoreThatFailsForAWhile appends to a store that cannot tell what becomes of a commit. Nothing is reported as
// failed; what comes later stays behind; and once the store works all is durable, in its order.
func TestAStoreThatFailsForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newGated()
		client := open(t, wasmclient.Config{Store: store})
		s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		store.fail.Store(true)
		receipts := []*wasmclient.Receipt{append1(t, s, "1"), append1(t, s, "2")}
		time.Sleep(time.Minute)
		if status := client.Status(); status.Undurable != 2 || status.Code != wire.CodeStorageFailed || status.Storage != "degraded" {
			t.Errorf("status: %+v", status)
		}
		receipts = append(receipts, append1(t, s, "3"))
		store.fail.Store(false)
		var want, got []space.ULID
		for _, receipt := range receipts {
			if err := receipt.Durable(t.Context()); err != nil {
				t.Error(err)
			}
			want = append(want, receipt.ID())
		}
		pending, err := s.Pending(t.Context(), 1000, false)
		if err != nil {
			t.Fatal(err)
		}
		for i := range pending {
			got = append(got, pending[i].ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("the outbox has %v, want %v", got, want)
		}
		if status := client.Status(); status.Undurable != 0 || status.Code != 0 || status.Storage != "ok" {
			t.Errorf("status: %+v", status)
		}
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestPending reads the ends of an outbox: so many as are asked for, in their order, the oldest or the newest.
func TestPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := open(t, wasmclient.Config{Store: newGated()})
		s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var all []space.ULID
		for i := range 12 {
			receipt := append1(t, s, strings.Repeat("x", i*300)) // so that 5 take several pages
			if err := receipt.Durable(t.Context()); err != nil {
				t.Fatal(err)
			}
			all = append(all, receipt.ID())
		}
		for _, c := range []struct {
			limit  int
			newest bool
			want   []space.ULID
		}{
			{5, false, all[:5]}, {5, true, all[7:]}, {1, false, all[:1]}, {1, true, all[11:]},
			{11, true, all[1:]}, {12, false, all}, {12, true, all}, {13, false, all}, {math.MaxInt32, true, all},
		} {
			rows, err := s.Pending(t.Context(), c.limit, c.newest)
			var got []space.ULID
			for i := range rows {
				got = append(got, rows[i].ID)
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%d of 12, newest %t: %v, want %v: %v", c.limit, c.newest, got, c.want, err)
			}
		}
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := s.Pending(t.Context(), 1, true); wire.CodeOf(err) != wire.CodeClosed {
			t.Errorf("of a closed client: %v", err)
		}
	})
}

// TestASpaceIsMadeTwice makes a space again with the same stamp, as a page does whose worker died over the first time.
func TestASpaceIsMadeTwice(t *testing.T) {
	client := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "ada"})})
	options := wasmclient.SpaceOptions{Stamp: space.ULID{1, 2, 3}, Params: []byte{0x01}}
	first, err := client.CreateSpace(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if err := append1(t, first, "kept").Durable(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := client.CreateSpace(t.Context(), options)
	if err != nil || again.ID() != first.ID() {
		t.Fatalf("the same stamp made %v and %v: %v", first.ID(), again.ID(), err)
	}
	if n := len(client.Spaces()); n != 1 || again.Info().Pending != 1 || again.Info().Genesis.Stamp != options.Stamp {
		t.Errorf("%d spaces, the one is %+v", n, again.Info())
	}
}

// TestRefusalsAreHeardByEveryClient tells of a refusal where it was not written.
func TestRefusalsAreHeardByEveryClient(t *testing.T) {
	server := newSite(t, syncserver.Config{Limits: wire.Limits{Payload: 100}})
	store := memstore.New(memstore.Config{Identity: "ada"})
	author := open(t, wasmclient.Config{Store: store})
	s, err := author.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	big := append1(t, s, strings.Repeat("x", 200))
	if err := big.Durable(t.Context()); err != nil {
		t.Fatal(err)
	}
	syncs := open(t, wasmclient.Config{Store: store.Handle(), URL: server.url()})
	heard := make(chan wasmclient.Change, 8)
	defer syncs.OnChange(func(change wasmclient.Change) {
		if change.Refusal != nil {
			heard <- change
		}
	})()
	server.up()
	syncs.Poke()
	change := <-heard
	if change.Space != s.ID() || change.Refusal.ID != big.ID() || change.Refusal.Code != wire.CodeTooLarge {
		t.Errorf("heard %+v", change.Refusal)
	}
	if n := syncs.Status().Rejected; n != 1 {
		t.Errorf("%d are counted, want 1", n)
	}
}
