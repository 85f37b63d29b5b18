package replica_test

import (
	"fmt"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/wire"
)

// heard returns what was heard since the last call, and what was refused.
func (s *story) heard() (all string) {
	for _, n := range s.notices {
		switch n := n.(type) {
		case replica.Heard:
			all += fmt.Sprintf("%s in %s: %s; ", n.Author, nameOf(n.Space), n.Bytes)
		case replica.Unheard:
			all += n.Code.String()
		}
	}
	s.notices = nil
	return all
}

// TestWhatIsSaidIsSentOrLost: an ephemeral goes out only where the server is known to take it, waits for nothing, and never
// reaches the store.
func TestWhatIsSaidIsSentOrLost(t *testing.T) {
	s := synced(t)
	say := func(name string) {
		s.step(replica.Say{Space: idOf(name), Bytes: []byte("typing")})
	}
	said := text(&wire.Ephemeral{Space: idOf("a"), Bytes: []byte("typing")})
	say("a")
	s.wants(said)
	say("b")
	s.wants("") // nobody subscribes
	s.reconnect()
	s.told()
	say("a")
	s.wants("") // it is not known yet whether this server lets it read
	s.caughtUp("a")
	s.settle()
	s.told()
	s.wants("") // and what was said before is not sent now
	say("a")
	s.wants(said)
	s.receive(&wire.Refused{Code: wire.CodeRateLimited})
	if got := s.heard(); got != "rate_limited" {
		t.Errorf("told %q", got)
	}
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeLeft})
	s.settle()
	s.told()
	say("a")
	s.wants("")
	s.step(replica.Following{})
	say("a")
	s.wants("")
	if len(s.commits) != 0 {
		t.Error("something of it goes to the store")
	}
}

func TestWhatOthersSayIsHeard(t *testing.T) {
	s := synced(t)
	says := func(name string, bytes []byte) { s.receive(&wire.Ephemeral{Space: idOf(name), Bytes: bytes}) }
	hello := wire.AppendSaid(nil, &wire.Said{Author: "bob", Bytes: []byte("hello")})
	says("a", hello)
	if got := s.heard(); got != "bob in a: hello; " {
		t.Errorf("heard %q", got)
	}
	says("b", hello)
	says("a", []byte("hello")) // of no known author
	says("a", nil)
	if got := s.heard(); got != "" {
		t.Errorf("heard %q", got)
	}
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeLeft})
	s.heard()
	says("a", hello)
	if got := s.heard(); got != "" || len(s.commits) != 0 {
		t.Errorf("heard %q, %d commits", got, len(s.commits))
	}
	s.wants("")
	if s.hangup != "" {
		t.Errorf("hung up: %s", s.hangup)
	}
}
