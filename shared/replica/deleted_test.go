package replica_test

import (
	"slices"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/wire"
)

func deletedRow() *wire.Spaces {
	return &wire.Spaces{Rows: []wire.SpaceRow{{Genesis: genesisOf("a"), State: wire.SpaceDeleted}}, Since: []byte("since")}
}

// TestTheLastRecordsOfADeletedSpace come while the ones before are still being stored, and with them the end: all are stored, and
// of what waits only what is not among them is refused, when its verdict has come.
func TestTheLastRecordsOfADeletedSpace(t *testing.T) {
	for name, code := range map[string]wire.Code{"deleted": wire.CodeDeleted, "deleted, with no verdict": wire.CodeDeleted, "left": wire.CodeLeft} {
		t.Run(name, func(t *testing.T) {
			s := synced(t)
			s.write("a", tx(1), tx(2))
			s.settle()
			s.wants("push a/1 1, push a/2 2")
			s.stores("a", tx(8))
			s.stores("a", tx(9))
			position := s.stores("a", tx(1))
			s.receive(s.events("a", 1, 1)) // is being stored
			s.receive(s.events("a", 2, 3))
			s.receive(&wire.Ended{Space: idOf("a"), Code: code})
			s.settle()
			s.wantsRecords("a", 3)
			s.wantsOutbox("a", "2")
			if code == wire.CodeLeft {
				return
			}
			s.verdicts("a", 1, wire.Verdict{Kind: wire.Accepted, Position: position})
			if name == "deleted" {
				s.verdicts("a", 2, wire.Verdict{Kind: wire.Rejected, Code: wire.CodeDeleted})
			} else {
				s.reconnect()
			}
			s.settle()
			s.wantsOutbox("a", "")
			if rows := s.store.Rejected(idOf("a")); len(rows) != 1 || rows[0].Code != wire.CodeDeleted {
				t.Errorf("rejected are %+v", rows)
			}
			if info := s.store.Refresh(idOf("a")).Info; !info.Deleted {
				t.Error("it is not stored that it was deleted")
			}
		})
	}
}

// TestDeletedByTheDirectory: the directory's word is stored no later than its cursor, and nothing is pushed or asked for from then on.
func TestDeletedByTheDirectory(t *testing.T) {
	s := synced(t)
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeForbidden})
	s.told()
	s.receive(deletedRow())
	c := s.commit()
	if len(c.Spaces) != 1 || !c.Spaces[0].SetDeleted {
		t.Fatalf("the first commit is %+v", c)
	}
	s.settle()
	s.write("a", tx(1))
	s.settle()
	s.wants("")
	s.wantsOutbox("a", "")
	s.reconnect()
	s.open("a")
	s.write("a", tx(2))
	s.settle()
	s.tick()
	s.wantsOutbox("a", "")
	if rows := s.store.Rejected(idOf("a")); len(rows) != 2 {
		t.Errorf("rejected are %+v", rows)
	}
	if status := s.core.Space(idOf("a")); status.Code != wire.CodeDeleted || status.Rejected != 2 {
		t.Errorf("%+v", status)
	}

	s.step(replica.Forget{Ref: s.ref(), Space: idOf("a")})
	s.settle()
	if !s.core.Space(idOf("a")).Known {
		t.Fatal("what was never sent is forgotten")
	}
	s.step(replica.Forget{Ref: s.ref(), Space: idOf("a"), Force: true})
	s.settle()
	if status := s.core.Space(idOf("a")); status.Known || status.Rejected > 0 || status.Code != 0 || s.store.Refresh(idOf("a")).Known {
		t.Errorf("after it was forgotten: %+v", status)
	}
	s.receive(deletedRow())
	s.settle()
	if s.core.Space(idOf("a")).Known {
		t.Error("known again")
	}
}

// TestForgetSparesWhatAnotherTabWrote: it is durable, and this tab has not heard of it; what is written while a space is being
// forgotten comes behind it.
func TestForgetSparesWhatAnotherTabWrote(t *testing.T) {
	s := synced(t)
	s.receive(deletedRow())
	s.settle()
	s.otherTab("a", tx(7))
	ref := s.ref()
	s.step(replica.Forget{Ref: ref, Space: idOf("a")})
	s.settle()
	if got := s.store.Refresh(idOf("a")); !got.Known || len(got.Outbox)+len(s.store.Rejected(idOf("a"))) != 1 {
		t.Fatalf("known %v: %d wait, %d are rejected", got.Known, len(got.Outbox), len(s.store.Rejected(idOf("a"))))
	}
	if !slices.ContainsFunc(s.notices, func(n replica.Notice) bool {
		failed, ok := n.(replica.Failed)
		return ok && failed.Ref == ref && failed.Code == wire.CodeBadArgument
	}) {
		t.Errorf("told: %+v", s.notices)
	}
}

// TestForgetWhatWasAccepted: the server has it, though its record never comes back.
func TestForgetWhatWasAccepted(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.verdicts("a", 1, wire.Verdict{Kind: wire.Accepted, Position: s.stores("a", tx(1))})
	s.settle()
	s.receive(deletedRow())
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeDeleted})
	s.settle()
	s.wantsOutbox("a", "1 accepted")
	if n := s.core.Status().Pending; n != 0 {
		t.Errorf("%d transactions wait, for nothing", n)
	}
	s.step(replica.Forget{Ref: s.ref(), Space: idOf("a")})
	s.settle()
	if got := s.store.Refresh(idOf("a")); got.Known || len(got.Outbox) > 0 {
		t.Errorf("it is kept: %+v", got)
	}
}

// TestDeletedWhileItIsFetchedAgain: what cannot be read of a space that was deleted is not fetched again, and nobody waits for it.
func TestDeletedWhileItIsFetchedAgain(t *testing.T) {
	s := synced(t)
	s.stores("a", tx(1))
	s.stores("a", tx(2))
	s.receive(s.events("a", 1, 2))
	s.settle()
	s.step(replica.Damaged{Space: idOf("a")})
	s.settle()
	if status := s.core.Status(); status.Damaged != 1 || status.Code != wire.CodeDamaged {
		t.Fatalf("%+v", status)
	}
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeDeleted})
	s.settle()
	if status := s.core.Status(); status.Damaged != 0 || status.Code != 0 {
		t.Errorf("%+v", status)
	}
	if info := s.store.Refresh(idOf("a")).Info; !info.Deleted || info.Damaged == 0 {
		t.Errorf("stored is %+v", info)
	}
}
