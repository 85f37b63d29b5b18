package replica_test

import (
	"testing"

	"skerry/shared/space"
	"skerry/shared/wire"
)

// A server that was restored tells of all that it has from the beginning, and a space is missing there that is here. How far it was told is stored once the server
// has the space again: a device that stops before that asks from the beginning again, and brings back what it would not have known to be missing.
func TestStopsBeforeItHasBroughtBackWhatWasNotListed(t *testing.T) {
	s := closed(t)
	since := func() string { return string(s.store.Load().Meta.Since) }
	s.receive(&wire.Spaces{Ref: 1, Since: []byte("before")})
	s.settle()
	if since() != "before" {
		t.Fatalf("%q is stored", since())
	}
	listed := func() (ref uint64) {
		s.reload()
		s.online()
		for _, f := range s.sent {
			if asks, ok := f.(*wire.Directory); ok && string(asks.Since) == "before" {
				ref = asks.Ref
			}
		}
		if ref == 0 {
			t.Fatalf("sent %q", s.told())
		}
		s.sent = nil
		s.receive(&wire.Spaces{Ref: ref, Full: true, More: true, Since: []byte("on the way"), Rows: []wire.SpaceRow{{Genesis: genesisOf("a")}}})
		for _, f := range s.sent {
			if asks, ok := f.(*wire.Directory); ok && string(asks.Since) == "on the way" {
				ref = asks.Ref
			}
		}
		s.sent = nil
		s.receive(&wire.Spaces{Ref: ref, Since: []byte("the end")})
		s.settle()
		ref = 0
		for _, f := range s.sent {
			if locate, ok := f.(*wire.Locate); ok && locate.Space == idOf("b") {
				ref = locate.Ref
			}
		}
		if ref == 0 || since() != "before" {
			t.Fatalf("sent %q, and %q is stored", s.told(), since())
		}
		return ref
	}
	listed()
	ref := listed()
	at := s.at("b", 1)
	s.receive(&wire.Located{Ref: ref, Space: idOf("b"), Common: space.Position{Seq: at.Seq, Chain: at.Chain}})
	s.settle()
	if since() != "the end" {
		t.Errorf("%q is stored", since())
	}
}
