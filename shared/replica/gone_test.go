package replica_test

import (
	"testing"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// What is damaged and was given up may have expired at the server meanwhile. The space begins anew at the checkpoint then, as one that was
// away for too long does: nothing else would ever take it on.
func TestDamageBelowWhatHasExpired(t *testing.T) {
	s := &tabled{story: damagedStory(t), blobs: map[digest.Digest][]byte{}}
	s.step(replica.Damaged{Space: idOf("a")})
	s.settle()
	s.finds("a", 1, true)
	s.settle()
	s.wants("subscribe a@1")
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeResumeGone})
	s.row(2, s.make(2, 10, "vanilla"))
	s.tick()
	s.wants("subscribe a@1")
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeResumeGone})
	s.serve(100)
	s.keep(nil)
	s.settle()
	if info := s.store.Refresh(idOf("a")).Info; info.Position.Seq != 2 || info.Damaged != 3 || len(info.Holes) != 1 || info.Holes[0].After.Seq != 1 {
		t.Fatalf("the space stands at %d: %+v", info.Position.Seq, info)
	}
	s.wants("subscribe a@2")
}

// A device that stands at a checkpoint, and has nothing behind it, has nothing to bring back to a server that lost what was in it: it begins
// anew with what the server has, and does not wait for somebody who has it.
func TestCheckpointThatTheServerLost(t *testing.T) {
	s := synced(t)
	for n := range byte(4) {
		s.stores("a", tx(n+1))
	}
	start, at := space.Start(idOf("a")), s.at("a", 3)
	at.Seal = space.ID{9}
	if _, err := s.store.Commit(&replica.Commit{Spaces: []replica.SpaceCommit{{Space: idOf("a"), Expect: &start, Position: &at}}}); err != nil {
		t.Fatal(err)
	}
	s.reload()
	s.online()
	s.told()
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeRecovering})
	s.settle()
	s.wants("subscribe a@0")
	if status := s.core.Space(idOf("a")); status.Code == wire.CodeRecovering || len(status.Info.Holes) > 0 {
		t.Fatalf("%+v", status)
	}
	s.write("a", tx(9))
	s.settle()
	s.answer()
	s.receive(s.events("a", 1, 5))
	s.caughtUp("a")
	s.settle()
	s.wantsRecords("a", 5)
	s.wantsOutbox("a", "")
	s.wantsDamaged("a", 0)
}
