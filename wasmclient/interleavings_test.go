//go:build !js

package wasmclient_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/syncserver"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// faulty is a store whose commits of records fail as told: before they happen, or after, with the answer lost.
type faulty struct {
	*memstore.Store

	mu     sync.Mutex
	faults []string // one for each commit that has records, from the first on; "" does not fail
	hit    int
}

var errFault = errors.New("the test's fault")

func (f *faulty) Commit(ctx context.Context, c *replica.Commit) (*replica.CommitResult, error) {
	fault := ""
	for i := range c.Spaces {
		if len(c.Spaces[i].Records) > 0 {
			f.mu.Lock()
			if len(f.faults) > 0 {
				fault, f.faults = f.faults[0], f.faults[1:]
				if fault != "" {
					f.hit++
				}
			}
			f.mu.Unlock()
			break
		}
	}
	if fault == "before" {
		return nil, errFault
	}
	result, err := f.Store.Commit(ctx, c)
	if fault == "after" && err == nil {
		return nil, errFault
	}
	return result, err
}

// TestRecordsAndPlaceAreOneTransaction aborts commits of records before and after they happened, and kills the client
// in between: what was not stored is delivered again, what was is not, and the state is that of a replica to which
// nothing happened.
func TestRecordsAndPlaceAreOneTransaction(t *testing.T) {
	for name, faults := range map[string][]string{
		"aborted":         {"", "before"},
		"the answer lost": {"", "after"},
		"both":            {"after", "before"},
	} {
		t.Run(name, func(t *testing.T) {
			server := newSite(t, syncserver.Config{})
			server.up()
			writer := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "ada"}), URL: server.url()})
			s, err := writer.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := append1(t, s, "0").Synced(t.Context()); err != nil {
				t.Fatal(err)
			}
			data := memstore.New(memstore.Config{Identity: "bea"})
			store := &faulty{Store: data, faults: faults}
			reader := open(t, wasmclient.Config{Store: store, URL: server.url()})
			mine := reader.Space(s.ID())
			same := func(what string) {
				t.Helper()
				same(t, server, reader, s.ID())
				info := reader.Space(s.ID()).Info()
				records := server.records(s.ID())
				if info.Position.Chain != space.Fold(s.ID(), records) {
					t.Errorf("%s: the replica stands at %+v", what, info.Position)
				}
			}
			if name != "both" {
				same("the first")
			}
			for range 5 {
				if _, err := append1(t, s, "theirs").Synced(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			receipt := append1(t, mine, "own")
			if _, err := receipt.Synced(t.Context()); err != nil {
				t.Fatal(err)
			}
			same("after the faults")
			until(t, reader, "the outbox empty", func() bool { return reader.Space(s.ID()).Info().Pending == 0 })
			store.mu.Lock()
			if store.hit == 0 || len(store.faults) > 0 {
				t.Errorf("%d faults happened, %d are left", store.hit, len(store.faults))
			}
			store.faults = []string{"after", "after", "after"}
			store.mu.Unlock()

			// Killed where the answer of a commit is lost: the next life begins behind it.
			if _, err := append1(t, s, "at the end").Synced(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := reader.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			reader = open(t, wasmclient.Config{Store: data.Handle(), URL: server.url()})
			same("in the next life")
			if n := len(server.records(s.ID())); n != 8 {
				t.Errorf("the log has %d records, want 8", n)
			}
		})
	}
}
