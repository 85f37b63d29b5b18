package syncserver

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// A log that was restored from a backup lacks what was stored after that was made. Replicas that hold it bring it back; until
// Config.RecoveryWindow is over nobody writes to any space, since what is written in the place of the lost records could not stand
// beside them. The mark of the restore goes with the window.

// keyRestored marks a log that was restored: since when, in milliseconds since 1970.
const keyRestored = "server/restored"

// MarkRestored notes in a log that it was put back from a backup, which whoever does that calls before a server uses the log: it may lack
// what the server had stored since then. The next server on it waits for [Config.RecoveryWindow] that replicas bring that back, from when
// it starts. Marking a log again is success.
func MarkRestored(ctx context.Context, log Log, now time.Time) error {
	return setKey(ctx, log, keyRestored, binary.BigEndian.AppendUint64(nil, uint64(max(now.UnixMilli(), 1))))
}

// Restored returns when a log was put back from a backup, or the zero time if no server waits for what it may lack.
func Restored(ctx context.Context, log Log) (time.Time, error) {
	value, err := log.Key(ctx, keyRestored)
	if err != nil || len(value) != 8 {
		return time.Time{}, err
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(value))), nil
}

// keyOldSeals is what the keys begin with under which secrets are that positions were sealed with before: they count as ever.
const keyOldSeals = "server/seal/old/"

// oldSeals reads the secrets that positions were sealed with before.
func oldSeals(ctx context.Context, log Log) (old [][digest.Size]byte, err error) {
	err = scan(ctx, log, keyOldSeals, func(key string, value []byte) error {
		if len(value) != digest.Size {
			return fmt.Errorf("%s has %d bytes instead of %d", key, len(value), digest.Size)
		}
		old = append(old, [digest.Size]byte(value))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", keyOldSeals, err)
	}
	return old, nil
}

// checkSeal reports whether a position carries the seal that this server would give it, or would have given it under an earlier secret.
func (s *Server) checkSeal(id space.ID, p *space.Position) bool {
	want := s.seal(id, p.Seq, p.Chain)
	if subtle.ConstantTimeCompare(want[:], p.Seal[:]) == 1 {
		return true
	}
	for _, old := range s.secrets.old {
		if want := space.Seal(old, id, p.Seq, p.Chain); subtle.ConstantTimeCompare(want[:], p.Seal[:]) == 1 {
			return true
		}
	}
	return false
}

// recover notes that the log was restored, and returns until when every space waits for what was lost, 0 if it was not.
func (s *Server) recover(ctx context.Context) (until uint64, err error) {
	at, err := Restored(ctx, s.log)
	if err != nil || at.IsZero() {
		return 0, err
	}
	s.logger.Warn("the log was restored: nobody writes until replicas had time to bring back what it lacks", "restored", at, "for", s.config.RecoveryWindow)
	s.metrics.recovering.Set(1)
	return s.wall() + uint64(s.config.RecoveryWindow.Milliseconds()), nil
}

// recovered ends the wait after a restore when its time is over, if that is before the server stops.
func (s *Server) recovered(ctx context.Context) {
	timer := time.NewTimer(s.config.RecoveryWindow)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.stop:
		return
	case <-ctx.Done():
		return
	}
	s.metrics.recovering.Set(0)
	mark, err := s.log.Key(s.work, keyRestored)
	if err == nil {
		_, err = s.log.CompareAndSet(s.work, keyRestored, mark, nil)
	}
	if err != nil {
		s.logger.Error("cannot end the wait for what was lost: it begins again when the server starts again", "error", err)
		return
	}
	s.logger.Info("spaces are written to again: who has records that are missing may bring them still")
}

// bring takes records to a space that a client brings back. What is to be judged anew follows on what the log has, or had: then what leads there is waited for
// first, as long as for all that was lost. The connection is locked.
func (s *Server) bring(c *connection, t hub.TailOf) {
	if !t.Reclaim {
		s.post(t.Space, t.Tail)
		return
	}
	c.spawn(func() {
		refused := wire.Refused{Ref: t.Ref}
		switch on, err := s.onBranch(s.work, t.Space, &t.Base); {
		case errors.Is(err, ErrNoSpace):
			refused.Code = wire.CodeUnknownSpace
		case errors.Is(err, ErrDeleted):
			refused.Code = wire.CodeDeleted
		case err != nil:
			s.logger.Error("cannot read a space", "space", t.Space, "error", err)
			refused.Code = wire.CodeOverloaded
		case !on && !s.checkSeal(t.Space, &t.Base):
			refused.Code, refused.Reason = wire.CodeUnproven, "the records do not begin at a place that the log has, or is sealed"
		default:
			if !on {
				s.post(t.Space, hub.Ahead{Position: t.End})
			}
			s.post(t.Space, t.Tail)
			return
		}
		c.step(hub.Taken{Conn: c.id, Frame: &refused, Size: t.Size})
	})
}

// onBranch reports whether a place is on the branch of a space's log.
func (s *Server) onBranch(ctx context.Context, id space.ID, p *space.Position) (bool, error) {
	head, err := s.log.Head(ctx, id)
	if err != nil || p.Seq > head.Seq {
		return false, err
	}
	chain, err := hub.ProvenAt(s.source(ctx, id), id, p.Seq)
	return chain == p.Chain, err
}

// locate tells a client how much of its history the log has. The connection is locked.
func (s *Server) locate(c *connection, f *wire.Locate) {
	c.spawn(func() {
		located := hub.Located{Ref: f.Ref}
		var common space.Position
		head, err := s.log.Head(s.work, f.Space)
		if err == nil {
			common, err = hub.Common(s.source(s.work, f.Space), head, f)
		}
		switch {
		case errors.Is(err, ErrNoSpace):
			head, common, err = space.Head{}, space.Start(f.Space), nil
		case errors.Is(err, ErrDeleted):
			located.Code = wire.CodeDeleted
		case err != nil:
			s.logger.Error("cannot read a space", "space", f.Space, "error", err)
			located.Code = wire.CodeOverloaded
		}
		if located.Code != 0 {
			c.step(located)
			return
		}
		if f.Position.Seq > head.Seq {
			s.post(f.Space, hub.Ahead{Position: f.Position})
		}
		s.ask(f.Space, c.id, c.identities, func(answer hub.Answer) {
			located.Located = &wire.Located{Space: f.Space, Common: common, RecoveringMS: answer.RecoveringMS}
			c.step(located)
		})
	})
}

// taken gives a client the answer to what it brought back.
func (h *hotSpace) taken(t hub.Taken) {
	if answer, ok := t.Frame.(*wire.Reclaimed); ok {
		for i := range answer.Verdicts {
			h.server.metrics.verdict(&answer.Verdicts[i])
		}
	}
	if c := h.server.connection(t.Conn); c != nil {
		c.step(t)
	}
}
