package syncserver

import (
	"context"
	"errors"

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

// verifyHead checks that a head which was read from the log is what was made durable: the records of the newest append hash to it. What is written next follows
// on it.
func (s *Server) verifyHead(ctx context.Context, id space.ID, head space.Head) error {
	chain, err := hub.ProvenAt(s.source(ctx, id), id, head.Seq)
	if err == nil && chain != head.Chain {
		err = hub.ErrDamaged
	}
	return err
}
