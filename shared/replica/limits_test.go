package replica_test

import (
	"testing"

	"skerry/shared/replica"
	"skerry/shared/wire"
)

// The server keeps state for each space that a connection pushed to, and closes one that pushes to too many: a replica
// with more spaces than that leaves the rest to its next connection.
func TestNoMoreSpacesArePushedToThanTheServerAllows(t *testing.T) {
	s := newStory(t)
	for _, name := range []string{"a", "b", "c"} {
		s.create(name)
		s.settle()
	}
	s.lead()
	s.settle()
	greet := func() {
		t.Helper()
		limits := wire.DefaultLimits
		limits.Subscriptions = 2
		s.dial = false
		s.step(replica.Connected{})
		s.receive(challenge(serverKey))
		s.receive(&wire.Welcome{Identities: []string{"ann"}, Limits: limits, API: wire.APIHigh})
		s.settle()
	}
	greet()
	s.answer()
	s.settle()
	created := func() (n int) {
		for _, name := range []string{"a", "b", "c"} {
			if s.core.Space(idOf(name)).Info.Created {
				n++
			}
		}
		return n
	}
	if n := created(); n != 2 {
		t.Fatalf("%d spaces were created on the first connection, want 2", n)
	}
	s.step(replica.Disconnected{Reason: "cut"})
	s.tick()
	greet()
	s.answer()
	s.settle()
	if n := created(); n != 3 {
		t.Fatalf("%d spaces were created after the second connection, want 3", n)
	}
}

// A device that has never met a server has pushed nothing, whoever led before: what is discarded there is gone at once.
func TestWhatIsDiscardedBeforeAnyServerWasMetIsGone(t *testing.T) {
	s := newStory(t)
	s.create("a")
	s.write("a", tx(1))
	s.settle()
	s.lead()
	s.settle()
	id := tx(1).Events[0].ID
	s.step(replica.Discard{Ref: s.ref(), Space: idOf("a"), ID: id})
	s.settle()
	s.wantsOutbox("a", "")
}
