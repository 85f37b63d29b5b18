package replica_test

import (
	"testing"

	"skerry/shared/replica"
	"skerry/shared/wire"
)

// TestWhoIsInAgainReadsAgain tells by the directory that somebody who was put out of a space may read it again: before and after
// the subscription ends with which they read what came before. Both times they read again at once, once for each word of it.
func TestWhoIsInAgainReadsAgain(t *testing.T) {
	row := func(state wire.SpaceState) *wire.Spaces {
		return &wire.Spaces{Rows: []wire.SpaceRow{{Genesis: genesisOf("a"), State: state}}, Since: []byte("since")}
	}
	left := &wire.Ended{Space: idOf("a"), Code: wire.CodeLeft}
	for name, frames := range map[string][]wire.Frame{
		"before": {row(wire.SpacePresent), left},
		"after":  {left, row(wire.SpaceLeft), row(wire.SpacePresent)},
	} {
		t.Run(name, func(t *testing.T) {
			s := synced(t)
			s.told()
			for _, f := range frames {
				s.receive(f)
			}
			s.wants("subscribe a@0")
			if code := s.core.Space(idOf("a")).Code; code != 0 {
				t.Errorf("it does not get on: %v", code)
			}
			s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeForbidden})
			s.wants("")
			if code := s.core.Space(idOf("a")).Code; code != wire.CodeForbidden {
				t.Errorf("it was refused, and says %v", code)
			}
		})
	}
}

// TestWhoWroteTheirWayInReads has the server accept what somebody who may not read wrote: they ask again at once whether they may now,
// with no word of the directory, which a module without an audience never gives.
func TestWhoWroteTheirWayInReads(t *testing.T) {
	s := synced(t)
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeForbidden})
	s.write("a", tx(1))
	s.settle()
	s.told()
	s.verdicts("a", 1, wire.Verdict{Kind: wire.Accepted, Position: s.stores("a", tx(1))})
	s.wants("subscribe a@0")
	if code := s.core.Space(idOf("a")).Code; code != 0 {
		t.Errorf("it does not get on: %v", code)
	}
}

// TestAnOlderLookKeepsTheGenesis tells of a space that was pinned before anybody knew what it was made from, and then looks at the
// store as it was before: the genesis does not go, or the space would seem to be upgraded when it comes back.
func TestAnOlderLookKeepsTheGenesis(t *testing.T) {
	s := synced(t)
	s.step(replica.Pin{Ref: s.ref(), Space: idOf("b"), Pinned: true})
	s.settle()
	old := s.store.Refresh(idOf("b"))
	if !old.Known || old.Info.Genesis != nil {
		t.Fatalf("%+v", old)
	}
	s.receive(&wire.Spaces{Rows: []wire.SpaceRow{{Genesis: genesisOf("b")}}, Since: []byte("since")})
	if s.core.Space(idOf("b")).Info.Genesis == nil {
		t.Fatal("the directory's word is not taken")
	}
	s.step(replica.Hint{Space: idOf("b"), Version: old.Version + 1})
	s.step(replica.Refreshed{Space: idOf("b"), Snapshot: old})
	if s.core.Space(idOf("b")).Info.Genesis == nil {
		t.Error("the genesis is gone")
	}
}
