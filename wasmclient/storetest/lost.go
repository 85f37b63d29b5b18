package storetest

import (
	"errors"

	"skerry/shared/replica"
	"skerry/wasmclient"
)

// testLost destroys the storage under two handles: each fails, saying so and writing nothing, until it is told to go on
// with what is there instead, which is empty, of the same identity and another replica.
func testLost(s *suite) {
	if s.Delete == nil {
		s.Skip("the storage cannot be destroyed")
	}
	h, other := s.open(), s.open()
	f := newFeed(1)
	h.change(f.insert(), newFeed(2).insert())
	h.change(f.append(f.row(10)))
	h.change(f.runOf(1, 10))
	h.putCheckpoint(f.id, makeCheckpoint(1, "a"))
	before := try(h.RaiseEpoch(s.ctx)).or(s, "raise the epoch").Meta
	s.Delete()

	lost := func(h handle) {
		s.Helper()
		_, loading := h.Load(s.ctx)
		_, raising := h.RaiseEpoch(s.ctx)
		_, reading := h.Read(s.ctx, f.id, 0, 1, 1)
		_, committing := h.Commit(s.ctx, &replica.Commit{Spaces: []replica.SpaceCommit{f.insert()}})
		_, looking := h.Checkpoint(s.ctx, f.id)
		keeping := h.PutCheckpoint(s.ctx, f.id, makeCheckpoint(1, "b"))
		for _, err := range []error{loading, raising, reading, committing, looking, keeping} {
			if !errors.Is(err, wasmclient.ErrReplicaLost) {
				s.Fatalf("a call to a store whose data are gone: %v, want ErrReplicaLost", err)
			}
		}
	}
	lost(h)
	renew(h)
	after := h.load()
	if len(after.Spaces) != 0 || after.Meta.Epoch != 0 || after.Meta.Identity != before.Identity || after.Meta.Session == before.Session {
		s.Fatalf("after what was deleted comes %+v", after)
	}
	h.wantCheckpoint(f.id, nil)
	h.change(f.append(f.row(10)))
	lost(other)
	renew(other)
	if a, b := h.load().Meta.Session, other.load().Meta.Session; a != b {
		s.Fatalf("two handles are of two replicas, %x and %x", a, b)
	}
	if n := len(other.outbox(f.id)); n != 1 {
		s.Fatalf("%d rows, want the one that was appended again", n)
	}
	renew(other) // nothing was lost: harmless
	if n := len(other.outbox(f.id)); n != 1 {
		s.Fatalf("%d rows after renewing what was there, want 1", n)
	}
}

func renew(h handle) {
	h.s.Helper()
	if err := h.Store.(wasmclient.Renewer).Renew(h.s.ctx, h.s.Identity); err != nil {
		h.s.Fatalf("renew: %v", err)
	}
}
