package syncserver

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// The first records of a space expire by a record, behind which stands the server's word of the tables. What has to be durable before
// what: a note under expiring/<space> that names the record; the record; a checkpoint of the tables there, or behind, with all of its
// pages; and only then Log.Expire, by which the payloads go. Who reads is told of it from then on, so there always is a checkpoint
// to begin at. Last the note goes. A crash between any two is made good when a server starts.

const expiringPrefix = "expiring/"

func expiringKey(id space.ID) string { return expiringPrefix + id.String() }

// expiry is a record by which others expire, or which was to be one.
type expiry struct{ seq, upto uint64 }

const expirySize = 8 + 8

// expiries returns what is noted of a space, in the order in which it was, and the value of the key.
func (s *Server) expiries(ctx context.Context, id space.ID) (list []expiry, value []byte, err error) {
	if value, err = s.log.Key(ctx, expiringKey(id)); err != nil {
		return nil, nil, err
	}
	for rest := value; len(rest) >= expirySize; rest = rest[expirySize:] {
		list = append(list, expiry{binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[8:])})
	}
	return list, value, nil
}

func encodeExpiries(list []expiry) (b []byte) {
	for _, e := range list {
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, e.seq), e.upto)
	}
	return b
}

// noteExpiries notes by which of records others expire, before they are appended, and reports whether there are any.
func (s *Server) noteExpiries(ctx context.Context, id space.ID, records []space.Record) (any bool, err error) {
	for i := range records {
		upto, ok := module.ExpiredTo(records[i].Payload)
		if records[i].Type != module.TypeExpire || !ok {
			continue
		}
		any = true
		e := expiry{records[i].Seq, upto}
		for done := false; !done; {
			list, value, err := s.expiries(ctx, id)
			if err != nil {
				return any, err
			}
			if slices.Contains(list, e) { // of an attempt that failed
				break
			}
			if done, err = s.log.CompareAndSet(ctx, expiringKey(id), value, encodeExpiries(append(list, e))); err != nil {
				return any, err
			}
		}
	}
	return any, nil
}

// pendingExpiry returns the last record by which others are to expire and that is in the log; zero if there is none. A note
// alone says nothing: what it was made for may not have come to be.
func (s *Server) pendingExpiry(ctx context.Context, id space.ID) (e expiry, err error) {
	list, _, err := s.expiries(ctx, id)
	for n := len(list) - 1; n >= 0 && err == nil; n-- {
		var records []space.Record
		if records, err = s.log.Read(ctx, id, list[n].seq-1, 1, 1); err != nil || len(records) == 0 || records[0].Type != module.TypeExpire {
			continue
		}
		upto, ok := module.ExpiredTo(records[0].Payload)
		if !records[0].Expired && ok && upto == list[n].upto && upto > e.upto {
			e = list[n]
		}
	}
	return e, err
}

// expires notes that payloads of a space are to be freed, as soon as that may be.
func (s *Server) expires(id space.ID) {
	s.mu.Lock()
	s.expiring[id] = struct{}{}
	s.mu.Unlock()
	s.expire()
}

// expire sees that payloads are freed, of one space after the other. What could not be is tried again after a while.
func (s *Server) expire() {
	s.mu.Lock()
	begin := !s.expireRuns && len(s.expiring) > 0
	s.expireRuns = s.expireRuns || begin
	s.mu.Unlock()
	if begin && !s.spawn(s.expireAll) {
		s.mu.Lock()
		s.expireRuns = false
		s.mu.Unlock()
	}
}

func (s *Server) expireAll() {
	tried := map[space.ID]bool{}
	for {
		s.mu.Lock()
		var next space.ID
		found := false
		for id := range s.expiring {
			if !tried[id] {
				next, found = id, true
			}
		}
		s.expireRuns = found
		if found {
			delete(s.expiring, next)
		}
		s.mu.Unlock()
		if !found {
			return
		}
		tried[next] = true
		ctx, span := s.tracer.about(s.work, "expire", next)
		done, err := s.freeExpired(ctx, next)
		if endSpan(span, err); ignoreGone(err) != nil {
			s.logger.Error("cannot free what has expired of a space, yet", "space", next, "error", err)
		}
		if !done && ignoreGone(err) == err { // a space that is gone has nothing to be freed
			s.mu.Lock()
			s.expiring[next] = struct{}{}
			s.mu.Unlock()
		}
	}
}

// freeExpired frees the payloads that have expired in a space, if a checkpoint is kept that needs none of them, and reports whether nothing is
// left to do.
func (s *Server) freeExpired(ctx context.Context, id space.ID) (done bool, err error) {
	e, err := s.pendingExpiry(ctx, id)
	if err != nil {
		return false, err
	}
	if e.seq == 0 {
		return true, s.dropExpiries(ctx, id)
	}
	k, err := s.newestCheckpoint(ctx, id)
	if err != nil {
		return false, err
	}
	if k.seq < e.seq {
		return false, s.keepExpired(ctx, id, e)
	}
	if err := checkWhole(ctx, s.log, id, k); err != nil {
		return false, err
	}
	if err := s.settleModules(ctx, id, e.upto); err != nil {
		return false, err
	}
	if err := s.log.Expire(ctx, id, e.upto); err != nil {
		return false, err
	}
	for dropped := false; !dropped; {
		list, value, err := s.expiries(ctx, id)
		if err != nil {
			return false, err
		}
		list = slices.DeleteFunc(list, func(other expiry) bool { return other.seq <= e.seq })
		if dropped, err = s.log.CompareAndSet(ctx, expiringKey(id), value, encodeExpiries(list)); err != nil {
			return false, err
		}
	}
	s.accounts.recount()
	s.metrics.expired.Inc()
	s.logger.Info("records of a space have expired", "space", id, "upto", e.upto)
	s.spaces.mu.Lock()
	h := s.spaces.hot[id]
	s.spaces.mu.Unlock()
	if h != nil {
		h.tellRow(ctx, k, e.seq+1)
	}
	return true, nil
}

// dropExpiries drops notes of records that did not come to be: the log has others in their places.
func (s *Server) dropExpiries(ctx context.Context, id space.ID) error {
	list, value, err := s.expiries(ctx, id)
	if err != nil || value == nil {
		return err
	}
	head, err := s.log.Head(ctx, id)
	if err != nil || slices.ContainsFunc(list, func(e expiry) bool { return e.seq > head.Seq }) {
		return err // the append may be under way
	}
	if e, err := s.pendingExpiry(ctx, id); err != nil || e.seq > 0 {
		return err
	}
	_, err = s.log.CompareAndSet(ctx, expiringKey(id), value, nil)
	return err
}

// keepExpired sees that a checkpoint is made at a record by which others expire, or behind it: whoever has the space in memory has
// passed that, or comes to it when it is opened. A space of "open" is not opened that way, and there is nothing to be put into its
// checkpoint.
func (s *Server) keepExpired(ctx context.Context, id space.ID, e expiry) error {
	genesis, _, err := s.log.Genesis(ctx, id)
	if err != nil {
		return err
	}
	modules, _, err := modulesOf(ctx, s.log, id)
	if err != nil {
		return err
	}
	if genesis.Module == module.Open && len(modules) == 0 {
		set, err := tables.New(nil)
		if err != nil {
			return err
		}
		s.locked(id, func(h *hotSpace) {
			h.keepLocked(&program.Checkpoint{Seq: e.seq, Module: module.Open, Tables: set, Expired: e.upto})
		})
		return nil
	}
	waits := false
	s.locked(id, func(h *hotSpace) { waits = h.keepLocked(nil) })
	if !waits {
		s.ask(id, 0, nil, func(hub.Answer) {})
	}
	return nil
}

// settleModules drops notes of modules that a space did not go over to, up to a record: what the record says is about to be gone.
func (s *Server) settleModules(ctx context.Context, id space.ID, upto uint64) error {
	for done := false; !done; {
		list, value, err := modulesOf(ctx, s.log, id)
		if err != nil {
			return err
		}
		var left []byte
		for _, m := range list {
			came := true
			if m.seq <= upto {
				if _, came, err = wentOver(ctx, s.log, id, m); err != nil {
					return err
				}
			}
			if came {
				left = append(binary.BigEndian.AppendUint64(left, m.seq), m.name[:]...)
			}
		}
		if len(left) == len(value) {
			return nil
		}
		if done, err = s.log.CompareAndSet(ctx, moduleKey(id), value, left); err != nil {
			return err
		}
	}
	return nil
}

// findExpiries finds what a crash has left.
func (s *Server) findExpiries() {
	err := scan(s.work, s.log, expiringPrefix, func(key string, _ []byte) error {
		if id, bad := digest.Parse(key[len(expiringPrefix):]); bad == nil {
			s.expires(id)
		}
		return nil
	})
	if err != nil {
		s.logger.Error("cannot look for spaces of which records have expired", "error", err)
	}
}

// errExpired tells that a space cannot be opened: some of its log is gone, and so is every checkpoint that does not need that.
var errExpired = errors.New("records have expired, and no checkpoint behind them can be used: restore a backup of the data")

// goneBefore returns what a reader is told who asks for records that have expired.
func goneBefore(records []space.Record) error {
	if len(records) > 0 && records[0].Expired {
		return wire.Errorf(wire.CodeResumeGone, "records up to %d have expired", records[0].Seq)
	}
	return nil
}
