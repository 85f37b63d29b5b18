package replica_test

import (
	"fmt"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/replica"
	"skerry/shared/wire"
)

// What waits for a module that knows its schema holds back what was written behind it, in order. Discarded it is gone, as the server has said that it is not in the log, and the rest goes on.
func TestWhatIsDiscardedWhileItWaitsForAModule(t *testing.T) {
	s := synced(t)
	s.write("a", tx(1), tx(2))
	s.settle()
	s.wants("push a/1 1, push a/2 2")
	s.verdicts("a", 1, deferred(wire.CodeSchemaUnknown, 0))
	s.verdicts("a", 2, deferred(wire.CodeBehind, 0))
	s.settle()
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
	t := tx(id)
	t.Author, t.Events[0].Type, t.Events[0].Payload = "another", module.TypeModule, module.Upgrade(digest.Of([]byte{id}), nil)
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
