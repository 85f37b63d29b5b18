package syncserver

import (
	"context"
	"errors"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/space"
)

// unreadable tells whoever runs the server that a space cannot be read. Where that is since the log has something else than was made durable, nothing of it was
// sent: who asked is told that the server failed, which they come back from when the log was mended.
func (s *Server) unreadable(id space.ID, err error) {
	if errors.Is(err, hub.ErrDamaged) {
		s.metrics.damaged.Inc()
		s.logger.Error("the log of a space is damaged: look at it with `skerry check`, and restore it from a backup", "space", id, "error", err)
		return
	}
	s.logger.Error("cannot read a space", "space", id, "error", err)
}

// verifyAt checks the chain that is stored at a number, or newest before it: that the records of the append that it ends hash to it, and at the head that the
// log says the same of it twice.
func (s *Server) verifyAt(ctx context.Context, id space.ID, seq uint64, head space.Head) error {
	src := s.source(ctx, id)
	if err := hub.VerifyAt(src, seq); err != nil || seq != head.Seq {
		return err
	}
	at, err := src.ChainBefore(seq)
	if err == nil && (at.Seq != head.Seq || at.Chain != head.Chain) {
		err = hub.ErrDamaged
	}
	return err
}

// verifyChain checks that a chain which was read from the log is what was made durable at a number.
func (s *Server) verifyChain(ctx context.Context, id space.ID, seq uint64, chain digest.Digest, head space.Head) error {
	if err := s.verifyAt(ctx, id, seq, head); err != nil {
		return err
	}
	again, err := hub.ChainAt(s.source(ctx, id), seq)
	if err == nil && again != chain {
		err = hub.ErrDamaged // it says one thing now, and then another
	}
	return err
}
