package replica_test

import (
	"testing"

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
