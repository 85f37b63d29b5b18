package replica_test

import (
	"fmt"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// awaitsAModule returns a story whose first row waits for a module that knows its schema, and the second behind it.
func awaitsAModule(t *testing.T) *story {
	s := synced(t)
	s.write("a", tx(1), tx(2))
	s.settle()
	s.wants("push a/1 1, push a/2 2")
	s.verdicts("a", 1, deferred(wire.CodeSchemaUnknown, 0))
	s.verdicts("a", 2, deferred(wire.CodeBehind, 0))
	s.settle()
	return s
}

// upgrade makes the transaction by ann of one event that takes its space over to a module of a number.
func upgrade(n byte) space.Transaction {
	t := tx(n)
	t.Events[0].Type, t.Events[0].Payload = module.TypeModule, module.Upgrade(digest.Of([]byte{n}), nil)
	return t
}

// What waits for a module that knows its schema holds back what was written behind it, in order. Discarded it is gone, as the server has said that it is not in the log, and the rest goes on.
func TestWhatIsDiscardedWhileItWaitsForAModule(t *testing.T) {
	s := awaitsAModule(t)
	s.step(replica.Discard{Ref: s.ref(), Space: idOf("a"), ID: eventID(1)})
	s.settle()
	if got := s.decided(); got != "1 discarded" {
		t.Errorf("told %q", got)
	}
	s.wantsOutbox("a", "2")
	s.after(60_000)
	s.settle()
	s.wants("push a/3 resume 2")
}

// goesOver puts an upgrade of another device into the server's log, and has the page hear of it.
func (s *story) goesOver(name string, id byte) {
	s.t.Helper()
	t := upgrade(id)
	t.Author = "another"
	at := s.stores(name, t)
	s.receive(s.events(name, at.Seq, at.Seq))
	s.settle()
}

// What waits for a module that knows it goes up when there is another one, however long it was to be left alone; and if that does not know it either,
// it is left alone as it was.
func TestWhatIsUnknownGoesUpWithTheNextModule(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeSchemaUnknown, wire.CodeUnknownType} {
		s := synced(t)
		s.write("a", tx(1))
		s.settle()
		s.wants("push a/1 1")
		n := uint64(1)
		refuse := func() {
			s.verdicts("a", n, deferred(code, 0))
			s.settle()
			n++
		}
		for range 6 {
			refuse()
			s.after(60_000)
			s.settle()
			s.wants(fmt.Sprintf("push a/%d resume 1", n))
		}
		refuse()
		s.goesOver("a", 50)
		s.wants(fmt.Sprintf("credit 206, push a/%d resume 1, blob %.4s from 0", n, digest.Of([]byte{50}).String()))
		refuse()
		s.after(100)
		s.settle()
		s.wants("")
		s.after(60_000)
		s.settle()
		s.wants(fmt.Sprintf("push a/%d resume 1", n))
	}
}

// The word that a module does not know something comes after that of the next module: it is of the one before.
func TestWhatWasUnknownBeforeTheNextModule(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.wants("push a/1 1")
	s.goesOver("a", 50)
	s.told()
	s.verdicts("a", 1, deferred(wire.CodeSchemaUnknown, 0))
	s.settle()
	s.wants("push a/2 resume 1")
	s.verdicts("a", 2, deferred(wire.CodeSchemaUnknown, 0))
	s.settle()
	s.wants("")
}

// Another module is no reason to hurry for what waits for something else.
func TestWhatWaitsForElseStaysPutOff(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1))
	s.settle()
	s.wants("push a/1 1")
	s.verdicts("a", 1, deferred(wire.CodeSchemaUnknown, 0))
	s.settle()
	s.after(60_000)
	s.settle()
	s.wants("push a/2 resume 1")
	s.verdicts("a", 2, deferred(wire.CodeRateLimited, 50_000))
	s.settle()
	s.goesOver("a", 50)
	s.wants(fmt.Sprintf("credit 206, blob %.4s from 0", digest.Of([]byte{50}).String()))
}

// What waits for a module that knows it lets the upgrade to that go first, which was written behind it by the same author: else both wait for ever. The others keep their order.
func TestTheUpgradeThatIsAwaitedGoesFirst(t *testing.T) {
	s := awaitsAModule(t)
	s.write("a", upgrade(3))
	s.settle()
	s.wants("push a/3 resume 3 1 2")
	s.write("a", tx(4), upgrade(5))
	s.settle()
	s.wants("push a/4 4, push a/5 5")
	position := s.stores("a", upgrade(3))
	behind := deferred(wire.CodeBehind, 0)
	s.verdicts("a", 3, wire.Verdict{Kind: wire.Accepted, Position: position}, deferred(wire.CodeSchemaUnknown, 0), behind) // this one does not know it either
	s.verdicts("a", 4, behind)
	s.verdicts("a", 5, behind)
	s.settle()
	s.after(60_000)
	s.settle()
	s.wants("push a/6 resume 5 1 2 3 4") // the third again, since its record is not here
	s.verdicts("a", 6, deferred(wire.CodeRateLimited, 1000), behind, behind, behind, behind)
	s.settle()
	s.after(1000)
	s.settle()
	s.wants("push a/7 resume 5 1 2 3 4")
	s.pushes = s.pushes[len(s.pushes)-1:]
	s.answer()
	s.settle()
	s.receive(s.events("a", 1, s.serverLog("a").head.Seq))
	s.settle()
	s.wantsOutbox("a", "")
}
