//go:build !js

package wasmclient_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
	"skerry/wasmclient"
)

// The tests of this file let sides meet that speak other versions of the wire contract. There is one version so far, so they differ in the
// number that they say, and in what they make of the other side's.

func speaks(low, high string) func(*wasmclient.Config) {
	return func(c *wasmclient.Config) { c.API = wire.APIRange{Low: low, High: high} }
}

// serves ends the server and begins one over the same log that speaks other versions.
func (w *world) serves(low, high string) {
	w.putBack(w.site.log.(*memlog.Log), func(c *syncserver.Config) { c.API = wire.APIRange{Low: low, High: high} })
}

// apis returns the versions that the records of a space were authored under.
func (w *world) apis(id space.ID) (apis []string) {
	w.Helper()
	for _, r := range w.site.records(id) {
		apis = append(apis, r.API)
	}
	return apis
}

func (t *tab) note(id space.ID) *wasmclient.Receipt {
	t.device.Helper()
	receipt, err := t.Space(id).Append(t.device.Context(), "note", nil)
	if err == nil {
		err = receipt.Durable(t.device.Context())
	}
	if err != nil {
		t.device.Fatal(err)
	}
	return receipt
}

// TestSidesOfNeighbouringVersions: whoever of the two is older, they work with each other, and what was written keeps the version that it
// was written under.
func TestSidesOfNeighbouringVersions(t *testing.T) {
	inBubble(t, func(w *world) {
		w.serves("1.0.0", "1.1.0")
		older, same, newer := w.device("ann").tab(speaks("1.0.0", "1.0.0")), w.device("bob").tab(speaks("1.0.0", "1.1.0")), w.device("cy").tab(speaks("1.1.0", "2.0.0"))
		tabs := []*tab{older, same, newer}
		id := older.makeSpace().ID()
		before := len(w.apis(id))
		for _, tab := range tabs {
			if _, err := tab.note(id).Synced(w.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if apis := w.apis(id)[before:]; !slices.Equal(apis, []string{"1.0.0", "1.1.0", "2.0.0"}) {
			t.Errorf("the records have the versions %v", apis)
		}

		// The server is put back to what one of them has no version in common with.
		synctest.Wait() // until all is stored at the devices, too: what is cut off before waits
		w.serves("1.0.0", "1.0.0")
		newer.note(id)
		for _, tab := range tabs[:2] {
			if _, err := tab.note(id).Synced(w.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, tab := range tabs[:2] {
			if status := tab.Status(); status.Connection != "online" || status.Pending > 0 {
				t.Errorf("%+v", status)
			}
		}
		if status := newer.Status(); status.Connection != "server_outdated" || status.Pending != 1 {
			t.Errorf("%+v", status)
		}
		w.serves("1.0.0", "1.1.0")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if apis := w.apis(id)[before+3:]; !slices.Equal(apis, []string{"1.0.0", "1.1.0", "2.0.0"}) {
			t.Errorf("then the records have the versions %v", apis)
		}
	})
}

// TestTheServerIsUpgradedPastAClient: a client that is online meets another server after an upgrade, which does not speak its version any
// more, or not yet. It goes on alone, keeps everything, sends nothing, says which side is to be updated, and finds out by itself when the
// server speaks it again.
func TestTheServerIsUpgradedPastAClient(t *testing.T) {
	for _, side := range []struct {
		connection, said          string
		client, server, afterward wire.APIRange
	}{
		{
			"upgrade_required", "this client is to be updated",
			wire.APIRange{Low: "1.0.0", High: "1.3.0"}, wire.APIRange{Low: "2.0.0", High: "2.1.0"}, wire.APIRange{Low: "1.3.0", High: "2.1.0"},
		},
		{
			"server_outdated", "the server is to be updated",
			wire.APIRange{Low: "2.0.0", High: "2.1.0"}, wire.APIRange{Low: "1.0.0", High: "1.3.0"}, wire.APIRange{Low: "1.0.0", High: "2.0.0"},
		},
	} {
		t.Run(side.connection, func(t *testing.T) {
			inBubbleWith(t, func(c *syncserver.Config) { c.API = side.afterward }, func(w *world) {
				ada := w.device("ada")
				tab := ada.tab(speaks(side.client.Low, side.client.High))
				s := tab.makeSpace()
				if _, err := tab.note(s.ID()).Synced(w.Context()); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // until it is stored here, too: what is cut off before waits
				there := len(w.apis(s.ID()))

				w.serves(side.server.Low, side.server.High) // while it is connected
				var kept []*wasmclient.Receipt
				wants := func(pending int) {
					t.Helper()
					time.Sleep(90 * time.Second)
					synctest.Wait()
					status := tab.Status()
					if status.Connection != side.connection || status.Code != wire.CodeAPIUnsupported || status.Pending != pending || status.PendingSpaces != 0 || status.Rejected != 0 {
						t.Errorf("%+v, want %s with %d pending", status, side.connection, pending)
					}
					for _, want := range []string{side.said, side.client.String(), side.server.String()} {
						if !strings.Contains(status.Reason, want) {
							t.Errorf("the reason %q does not say %q", status.Reason, want)
						}
					}
					if now := len(w.apis(s.ID())); now != there {
						t.Errorf("the server has %d records, and had %d", now, there)
					}
				}
				kept = append(kept, tab.note(s.ID()), tab.note(s.ID()))
				wants(2)

				// It is closed and opened again, and meanwhile nothing changed.
				if err := tab.Close(w.Context()); err != nil {
					t.Fatal(err)
				}
				tab = ada.tab(speaks(side.client.Low, side.client.High))
				kept = append(kept, tab.note(s.ID()))
				wants(3)
				dials := tab.dials.Load()
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if n := tab.dials.Load() - dials; n < 5 || n > 20 {
					t.Errorf("in ten minutes it tried %d times", n)
				}

				w.serves(side.afterward.Low, side.afterward.High)
				begun := time.Now()
				for _, receipt := range kept {
					again, err := tab.Space(s.ID()).Receipt(w.Context(), receipt.ID())
					if err == nil {
						_, err = again.Synced(w.Context())
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(begun); took > 2*time.Minute {
					t.Errorf("it took %v to find out that the server speaks with it again", took)
				}
				synctest.Wait()
				if status := tab.Status(); status.Connection != "online" || status.Code != 0 || status.Pending != 0 {
					t.Errorf("%+v", status)
				}
				if now := len(w.apis(s.ID())); now != there+3 {
					t.Errorf("the server has %d records, want %d", now, there+3)
				}
			})
		})
	}
}

// TestANewerTabSyncsForAnOlderOne: the tab that leads is too old for the server. It does not keep the lead from one that is not, which
// sends what both wrote.
func TestANewerTabSyncsForAnOlderOne(t *testing.T) {
	inBubble(t, func(w *world) {
		ada := w.device("ada")
		older := ada.tab(speaks("1.0.0", "1.0.0"))
		s := older.makeSpace()
		time.Sleep(time.Second) // it is there before the server is another one
		synctest.Wait()
		w.serves("2.0.0", "2.0.0")
		older.note(s.ID())
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if status := older.Status(); status.Connection != "upgrade_required" || status.Pending != 1 {
			t.Fatalf("%+v", status)
		}
		newer := ada.tab(speaks("1.0.0", "2.0.0"))
		newer.Space(s.ID())
		newer.leads(2 * time.Minute)
		older.note(s.ID())
		newer.note(s.ID())
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, tab := range []*tab{older, newer} {
			if status := tab.Status(); status.Connection != "online" || status.Code != 0 || status.Pending != 0 {
				t.Errorf("%+v", status)
			}
		}
		if newer.Status().Leader == older.Status().Leader || !newer.Status().Leader {
			t.Error("the newer tab does not lead")
		}
		if n := len(w.site.records(s.ID())); n != 4 {
			t.Errorf("the server has %d records", n)
		}

		// It goes, and the older one is where it was.
		if err := newer.Close(w.Context()); err != nil {
			t.Fatal(err)
		}
		older.note(s.ID())
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if status := older.Status(); status.Connection != "upgrade_required" || status.Pending != 1 {
			t.Errorf("%+v", status)
		}
	})
}
