package replica_test

import (
	"strings"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// A tab is about to go over to the branch of a server that was restored, and another tab leads by now: its commit is stale, and it asks again, from its own branch.
// What was on its way from the server's branch follows on a record of the same number, and not of the same chain. Nothing is wrong with the server.
func TestWhatComesOfABranchThatIsNotGoneOverTo(t *testing.T) {
	s := synced(t)
	s.stores("a", tx(1))
	s.receive(s.events("a", 1, 1))
	s.caughtUp("a")
	s.settle()
	s.logs[idOf("a")] = nil // the server is restored, and others write
	s.stores("a", tx(2))
	s.stores("a", tx(3))
	s.told()
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeDiverged})
	s.settle()
	for answered := true; answered; {
		answered = false
		sent := s.sent
		s.sent = nil
		for _, f := range sent {
			switch f := f.(type) {
			case *wire.Locate:
				s.receive(&wire.Located{Ref: f.Ref, Space: f.Space, Common: space.Start(f.Space)})
				answered = true
			case *wire.Adopt:
				s.receive(&wire.Adopted{Ref: f.Ref, Space: f.Space, Base: f.Base, Outcome: wire.AdoptLeft})
				answered = true
			case *wire.Reclaim:
				s.receive(&wire.Reclaimed{Ref: f.Ref, Space: f.Space, Verdicts: []wire.Verdict{{Kind: wire.Duplicate, Position: s.serverLog("a").head}}, End: f.End})
				answered = true
			default:
				s.sent = append(s.sent, f)
			}
			s.settle()
		}
	}
	s.wants("subscribe a@0")
	s.receive(s.events("a", 1, 1))
	s.step(replica.Committed{ID: s.store1().ID, Result: &replica.CommitResult{Stale: true, Epoch: s.core.Meta().Epoch}})
	s.settle()
	s.wants("credit 157, subscribe a@1")
	s.receive(s.events("a", 2, 2))
	s.receive(&wire.CaughtUp{Space: idOf("a"), Position: s.serverLog("a").head})
	if s.hangup != "" {
		t.Fatalf("it hangs up: %s", s.hangup)
	}
	if status := s.core.Space(idOf("a")); status.CaughtUp || status.Info.Position.Seq != 1 {
		t.Errorf("%+v", status)
	}
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeDiverged})
	s.settle()
	if told := s.told(); !strings.Contains(told, "locate a@1") {
		t.Errorf("sent %q", told)
	}
}
