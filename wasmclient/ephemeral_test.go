//go:build !js

package wasmclient_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// hearing collects what a client hears.
func hearing(client *wasmclient.Client) chan string {
	heard := make(chan string, 10_000)
	client.OnEphemeral(func(e wasmclient.Ephemeral) { heard <- fmt.Sprintf("%s: %s", e.Author, e.Bytes) })
	return heard
}

// TestEphemerals: what one tab says is heard once by every other tab of the device and by every other device, whichever tab
// leads; offline by the device's tabs; and never later, nor from the store.
func TestEphemerals(t *testing.T) {
	inBubble(t, func(w *world) {
		ada, bea := w.device("ada"), w.device("bea")
		tabs := []*tab{ada.tab(), ada.tab(), ada.tab(), bea.tab(), bea.tab()}
		id := tabs[0].makeSpace().ID()
		var heard []chan string
		for _, tab := range tabs {
			heard = append(heard, hearing(tab.Client))
			tab.Space(id)
			tab.holds(id, 1)
		}
		stranger := w.device("eve").tab()
		unheard := hearing(stranger.Client)
		says := func(n int, text string, hear ...int) {
			t.Helper()
			if err := tabs[n].Space(id).SendEphemeral(w.Context(), []byte(text)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			want := map[int]bool{}
			for _, n := range hear {
				want[n] = true
			}
			author := tabs[n].Identity()
			for i := range heard {
				switch got := len(heard[i]); {
				case want[i] && got != 1, !want[i] && got != 0:
					t.Errorf("%s: tab %d heard it %d times", text, i, got)
				case got == 1:
					if got := <-heard[i]; got != author+": "+text {
						t.Errorf("tab %d heard %q, not %q of %s", i, got, text, author)
					}
				}
				for len(heard[i]) > 0 {
					<-heard[i]
				}
			}
		}
		says(0, "the leader says", 1, 2, 3, 4)
		says(1, "a follower says", 0, 2, 3, 4)
		says(3, "another device says", 0, 1, 2, 4)
		says(4, "its follower says", 0, 1, 2, 3)
		if len(unheard) != 0 {
			t.Errorf("a stranger heard %q", <-unheard)
		}
		late := ada.tab()
		silent := hearing(late.Client)
		late.holds(id, 1)
		if n := len(w.site.records(id)); len(silent) != 0 || n != 1 {
			t.Errorf("a new tab heard %d, the log has %d", len(silent), n)
		}

		// With no network.
		zoe := w.device("zoe")
		unconnected := func(c *wasmclient.Config) { c.URL = "" }
		one, other := zoe.tab(unconnected), zoe.tab(unconnected)
		s, err := one.CreateSpace(w.Context(), wasmclient.SpaceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		other.Space(s.ID())
		offline := hearing(other.Client)
		if err := s.SendEphemeral(w.Context(), []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if got := <-offline; got != "zoe: hello" {
			t.Errorf("offline %q is heard", got)
		}
	})
}

// TestEphemeralLimits holds a client to the limits that the server has, with the same codes.
func TestEphemeralLimits(t *testing.T) {
	inBubble(t, func(w *world) {
		ada := w.device("ada").tab()
		s := ada.makeSpace()
		heard := hearing(w.device("bea").tab().Client)
		say := func(n int) wire.Code { return wire.CodeOf(s.SendEphemeral(w.Context(), make([]byte, n))) }
		if code := say(wire.MaxEphemeral + 1); code != wire.CodeTooLarge {
			t.Errorf("a byte too many: %v", code)
		}
		taken := 0
		for say(wire.MaxEphemeral) == 0 {
			taken++
		}
		if want := wire.EphemeralBurst / (wire.MaxEphemeral + wire.EphemeralCost); taken != want {
			t.Errorf("%d at once, want %d", taken, want)
		}
		if code := say(wire.MaxEphemeral); code != wire.CodeRateLimited {
			t.Errorf("too many: %v", code)
		}
		time.Sleep(time.Second)
		if code := say(1000); code != 0 {
			t.Errorf("a second later: %v", code)
		}
		synctest.Wait()
		if len(heard) != 0 {
			t.Error("who does not look at the space hears of it")
		}
		for len(ada.lines) > 0 {
			if line := <-ada.lines; line == "the server does not pass on what was said here: rate_limited: " {
				t.Error(line)
			}
		}
	})
}

// TestEphemeralsWithoutALock: where every tab syncs for itself each hears the others by the server, and once.
func TestEphemeralsWithoutALock(t *testing.T) {
	server := newSite(t, syncserver.Config{})
	server.up()
	tabs := &channels{}
	store := memstore.New(memstore.Config{Identity: "ada"})
	tab := func(store wasmclient.Store) *wasmclient.Client {
		return open(t, wasmclient.Config{Store: store, URL: server.url(), Unlocked: true, Channel: tabs.channel()})
	}
	first, second := tab(store), tab(store.Handle())
	s, err := first.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	heard := hearing(second)
	ready := func(client *wasmclient.Client, s *wasmclient.Space) func() bool {
		return func() bool { return s.Info().CaughtUp && client.Status().Connection == "online" }
	}
	until(t, first, "the first tab caught up", ready(first, s))
	until(t, second, "the second tab caught up", ready(second, second.Space(s.ID())))
	last := -1
	for n := 0; last < 20; n++ { // one may be lost while a tab, which found that the other moved the store, subscribes anew
		if err := s.SendEphemeral(t.Context(), fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-heard:
			var number int
			if _, err := fmt.Sscanf(got, "ada: %d", &number); err != nil || number <= last {
				t.Fatalf("heard %q after %d", got, last)
			}
			last = number
		case <-time.After(20 * time.Millisecond):
		}
	}
	if n := tabs.count("said"); n != 0 {
		t.Errorf("said to the other tab %d times, besides to the server", n)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := wire.CodeOf(s.SendEphemeral(t.Context(), nil)); code != wire.CodeClosed {
		t.Errorf("after closing: %v", code)
	}
}
