package replica_test

import (
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/wire"
)

// What comes while a jump waits for the store, and while it is stored, is passed over, and comes again from the checkpoint: a gap in it is no
// fault of the server's.
func TestEventsWhileAJumpWaits(t *testing.T) {
	s := farAway(t, 10_010)
	s.tell()
	s.serve(10)
	s.reconnect() // while the checkpoint is being stored
	for n := byte(42); n < 46; n++ {
		s.stores("a", tx(n))
	}
	s.keep(nil)
	s.receive(&wire.Spaces{Rows: []wire.SpaceRow{{Genesis: genesisOf("b"), Module: module.Open}}}) // is being stored
	s.receive(s.events("a", 2, 2))
	s.receive(s.events("a", 3, 3))
	s.commit()
	s.receive(s.events("a", 4, 4)) // while the jump is being stored
	hangup := s.hangup
	s.settle()
	s.isAt(s.place)
	if got := s.told(); hangup != "" || !strings.Contains(got, "subscribe a@10011") {
		t.Errorf("hung up for %q, sent %q", hangup, got)
	}
}

// Nothing is left out of a log that was caught up with, however fast it goes on: those who look at it see all of it come. It is left out once
// the connection is another one, or the server has no more of it.
func TestBootNotOfWhatIsLive(t *testing.T) {
	s := farAway(t, 10_000)
	s.caughtUp("a")
	s.tell()
	if n := len(s.requests()); n != 0 {
		t.Fatalf("%d requests", n)
	}
	s.want() // for tables
	for _, f := range s.sent {
		if got := text(f); strings.HasPrefix(got, "unsubscribe") {
			t.Errorf("sent %s", got)
		}
	}
	s.arrives()
	s.stores("a", tx(42))
	s.receive(s.events("a", 2, 2))
	s.settle()
	if holes := s.info().Holes; len(holes) != 0 || s.info().Position.Seq != 2 {
		t.Errorf("it is at %+v", s.info())
	}
	s.reconnect()
	s.stores("a", tx(43))
	s.place.Seq += 10
	s.blobs = map[digest.Digest][]byte{}
	s.root = s.rootAt(s.place)
	s.tell()
	s.receive(s.events("a", 3, 3))
	s.arrives()
	s.settle()
	s.isAt(s.place)

	s = farAway(t, 10_000)
	s.caughtUp("a")
	s.tell()
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeResumeGone})
	s.arrives()
	s.settle()
	s.isAt(s.place)
}

// A log waits once for checkpoints that do not come: one that is written to fast has a new one before the last one was fetched, and so on.
func TestLogWaitsOnce(t *testing.T) {
	s := farAway(t, 10_000)
	for n := byte(42); n < 52; n++ {
		s.stores("a", tx(n))
	}
	paused := 0
	for n := range uint64(9) {
		s.place.Seq = 10_020 + n*1000
		s.root = s.rootAt(s.place)
		s.tell()
		for _, f := range s.sent {
			if strings.HasPrefix(text(f), "unsubscribe") {
				paused++
			}
		}
		for _, ask := range s.requests() { // the server has let go of it
			s.receive(&wire.Refused{Ref: ask.Ref, Code: wire.CodeNotFound})
		}
		s.asks = nil
		s.receive(s.events("a", 2+n, 2+n))
		s.settle()
		if at := s.info().Position.Seq; at != 2+n {
			t.Fatalf("it is at %d after %d checkpoints", at, n+1)
		}
	}
	if paused != 1 {
		t.Errorf("it was paused %d times", paused)
	}
}
