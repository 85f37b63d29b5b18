package replica_test

import (
	"testing"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// TestAnOlderAnswerDoesNotUndoWhatIsBeingStored reads the store while a commit is on its way to it: what the server said
// stays so for who looks.
func TestAnOlderAnswerDoesNotUndoWhatIsBeingStored(t *testing.T) {
	s := newStory(t)
	s.create("a")
	s.online()
	id := idOf("a")
	// older answers with what the store holds, as another tab's word makes the core ask.
	older := func() {
		t.Helper()
		if len(s.commits) == 0 {
			t.Fatal("nothing is being stored")
		}
		version := s.store.Refresh(id).Version
		s.step(replica.Hint{Space: id, Version: version + 1})
		if len(s.refresh) == 0 {
			t.Fatal("the store is not read")
		}
		s.refresh = nil
		s.step(replica.Refreshed{Space: id, Snapshot: s.store.Refresh(id)})
	}
	s.receive(&wire.Pushed{Space: id, N: 1, Genesis: &wire.Verdict{Kind: wire.Accepted, Position: space.Start(id)}})
	older()
	if !s.core.Space(id).Info.Created {
		t.Error("the server has the space no more")
	}
	s.settle()
	s.reconnect()
	s.caughtUp("a")
	s.settle()
	to := digest.Of([]byte("another module"))
	s.receive(&wire.Spaces{Rows: []wire.SpaceRow{{Genesis: genesisOf("a"), Module: to}}})
	older()
	if info := s.core.Space(id).Info; info.Module != to {
		t.Errorf("the module is %v again", info.Module)
	}
	s.settle()
	if info := s.store.Refresh(id).Info; !info.Created || info.Module != to {
		t.Errorf("stored is %+v", info)
	}
}
