package replica_test

import (
	"errors"
	"fmt"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// A page of history that cannot be stored, since what sync stores finds no room and comes first, is told to who reads.
func TestHistoryOnAFullDevice(t *testing.T) {
	s := synced(t)
	for n := range byte(4) {
		s.stores("a", tx(n+1))
	}
	start, at := space.Start(idOf("a")), s.at("a", 3)
	if _, err := s.store.Commit(&replica.Commit{Spaces: []replica.SpaceCommit{{Space: idOf("a"), Expect: &start, Position: &at}}}); err != nil {
		t.Fatal(err)
	}
	s.reload()
	s.online()
	s.caughtUp("a")
	s.settle()
	s.told()
	s.receive(s.events("a", 4, 4)) // sync's commit, which finds no room
	c := s.store1()
	s.told()
	s.step(replica.WantHistory{Space: idOf("a"), Seq: 2})
	var ref uint64
	for _, f := range s.sent {
		if fetch, ok := f.(*wire.Fetch); ok {
			ref = fetch.Ref
		}
	}
	if ref == 0 {
		t.Fatal("the page was not asked for")
	}
	s.step(replica.Committed{ID: c.ID, Err: errors.New("full"), Full: true})
	for _, n := range s.notices {
		if failed, ok := n.(replica.HistoryFailed); ok && failed.Code == wire.CodeQuota {
			s.told()
			s.notices = nil
			page := &wire.Page{Ref: ref, Space: idOf("a"), ChainBefore: start.Chain, Records: s.serverLog("a").records[:3]}
			s.receive(page) // comes too late, and is paid back
			if want := fmt.Sprintf("credit %d", len(wire.Append(nil, page))); s.told() != want {
				t.Fatalf("want %s", want)
			}
			return
		}
	}
	t.Fatalf("nobody was told: %+v", s.notices)
}
