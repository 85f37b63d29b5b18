package replica_test

import (
	"testing"

	"skerry/shared/digest"
	"skerry/shared/replica"
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
