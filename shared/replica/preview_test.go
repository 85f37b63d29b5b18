package replica_test

import (
	"testing"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// previewRefuses appends a transaction that the preview refused.
func (s *story) previewRefuses(name string, t space.Transaction) {
	s.t.Helper()
	s.step(replica.Append{
		Ref: s.ref(), Space: idOf(name), Transaction: &t, AppendedAt: s.now,
		Refused: &replica.Refusal{Code: wire.CodeRefused, Reason: "taken"},
	})
}

func (s *story) wantsRejected(name string, ids ...byte) {
	s.t.Helper()
	rows := s.store.Rejected(idOf(name))
	if n := s.core.Space(idOf(name)).Rejected; len(rows) != len(ids) || n != len(ids) {
		s.t.Fatalf("%d rejected rows are in the store and %d counted, want %d", len(rows), n, len(ids))
	}
	for i, row := range rows {
		if number(row.ID) != ids[i] {
			s.t.Fatalf("rejected are %+v, want %v", rows, ids)
		}
	}
}

func TestWhatThePreviewRefusedIsNeverSent(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.previewRefuses("a", tx(2))
	s.write("a", tx(3))
	s.settle()
	s.wants("push a/1 1, push a/2 3")
	s.wantsOutcomes("durable, durable, 2 rejected refused, 2 refused, durable")
	s.wantsOutbox("a", "1, 3")
	s.wantsRejected("a", 2)
	row := s.store.Rejected(idOf("a"))[0]
	if row.By != replica.ByPreview || row.Code != wire.CodeRefused || row.Reason != "taken" || row.AppendedAt != s.now {
		t.Errorf("it is kept as %+v", row)
	}

	// Its author may send it all the same; the server's word is final.
	s.told()
	s.step(replica.Retry{Ref: s.ref(), Space: idOf("a"), ID: eventID(2)})
	s.settle()
	s.wants("push a/3 2")
	s.verdicts("a", 1, wire.Verdict{Kind: wire.Accepted, Position: s.stores("a", tx(1))})
	s.verdicts("a", 2, wire.Verdict{Kind: wire.Accepted, Position: s.stores("a", tx(3))})
	s.verdicts("a", 3, wire.Verdict{Kind: wire.Accepted, Position: s.stores("a", tx(2))})
	s.settle()
	s.wantsRejected("a")
	s.wantsOutcomes("durable, 1 synced at 1, 3 synced at 2, 2 synced at 3")
}

// A page that did not hear what became of a transaction appends it again, and its preview may then refuse it because of
// its own first copy. That one stays in the outbox, and has the say.
func TestARefusalLeavesTheOutboxAlone(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.wants("push a/1 1")
	s.previewRefuses("a", tx(1))
	s.settle()
	s.wantsOutbox("a", "1")
	s.wantsRejected("a")
	s.verdicts("a", 1, wire.Verdict{Kind: wire.Accepted, Position: s.stores("a", tx(1))})
	s.wantsOutcomes("durable, durable, 1 synced at 1")
}

func TestARefusalIsToldAfterARestart(t *testing.T) {
	s := synced(t)
	s.previewRefuses("a", tx(1))
	s.settle()
	s.reload() // which knows how many were rejected, and not which
	s.previewRefuses("a", tx(2))
	s.settle()
	s.wantsRejected("a", 1, 2)
	s.wantsOutcomes("durable, 2 rejected refused, 2 refused")
	s.online()
	if got := s.told(); got != "hello, directory , subscribe a@0" {
		t.Errorf("sent %q", got)
	}
}
