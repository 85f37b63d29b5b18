package replica_test

import (
	"testing"

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
