package syncserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// A space is deleted by the last record of its log. What has to be durable before what: a note under deleting/<space> that names
// the record; the record; the word of it in the directories of all whom the space concerns (people.go notes them before the record too);
// what is kept for ever under deleted/<space>, by which who sends the record again is told that it is there; and then Log.Delete frees
// the rest. Last the keys of the space go, and the note. A crash between any two is made good when a server starts, or opens the space.

func deletingKey(id space.ID) string { return deletingPrefix + id.String() }

const deletingPrefix = "deleting/"

func deletedKey(id space.ID) string { return "deleted/" + id.String() }

// deletion is how a space ended.
type deletion struct {
	done bool       // else it did not
	head space.Head // where its log ends, either way
	last space.ULID // the id of the record at head, if that ended it
}

const deletionSize = 8 + digest.Size + 8 + 16

func (d *deletion) encode() []byte {
	b := append(binary.BigEndian.AppendUint64(nil, d.head.Seq), d.head.Chain[:]...)
	return append(binary.BigEndian.AppendUint64(b, d.head.ReceivedAt), d.last[:]...)
}

func decodeDeletion(b []byte) (d deletion) {
	if len(b) >= deletionSize {
		d.head.Seq, d.head.Chain = binary.BigEndian.Uint64(b), digest.Digest(b[8:])
		d.head.ReceivedAt = binary.BigEndian.Uint64(b[8+digest.Size:])
		d.last = space.ULID(b[16+digest.Size:])
	}
	return d
}

// noteDeletion notes that a batch deletes a space, before it is appended. A note of an earlier attempt is written over.
func (s *Server) noteDeletion(ctx context.Context, id space.ID, r *hub.Append) error {
	d := deletion{head: r.Next, last: r.Records[len(r.Records)-1].ID}
	for done := false; !done; {
		was, err := s.log.Key(ctx, deletingKey(id))
		if err == nil {
			done, err = s.log.CompareAndSet(ctx, deletingKey(id), was, d.encode())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// deletion reads where the log of a space ends, and whether with its deletion, which it then sees done to the end. Another server may
// delete the space meanwhile, and nothing may follow on that. So the head is read before the note, which is there before the record, and
// until the log itself says that the space was deleted: a head that is returned as that of a space which is there is before any deletion.
func (s *Server) deletion(ctx context.Context, id space.ID) (d deletion, err error) {
	head, err := s.log.Head(ctx, id)
	if err != nil && !errors.Is(err, ErrDeleted) {
		return d, err
	}
	note, failed := s.log.Key(ctx, deletingKey(id))
	if failed != nil {
		return d, failed
	}
	if note == nil && err == nil {
		_, err = s.log.Head(ctx, id) // the note may have gone with the space, since the head was read
		if !errors.Is(err, ErrDeleted) {
			return deletion{head: head}, err
		}
	}
	if d, err = s.ending(ctx, id); d.done && note != nil {
		s.ends(id)
	}
	return d, err
}

// ends notes that a space is to be freed.
func (s *Server) ends(id space.ID) {
	s.mu.Lock()
	if s.freeing[id] == nil {
		s.freeing[id] = &freeing{until: time.Now().Add(endKept)}
	}
	s.mu.Unlock()
	s.free()
}

// freeing is a space that was deleted and is not freed yet.
type freeing struct {
	until time.Time // whoever reads it is waited for
	told  bool      // all whom it concerned were told; for the goroutine that frees
}

// endKept is how long a space that was deleted is kept for those who are connected and still read it.
const endKept = 2 * time.Minute

// ending reads how a space ended, if it did. A note alone says nothing: what it was made for may not have come to be.
func (s *Server) ending(ctx context.Context, id space.ID) (d deletion, err error) {
	var records []space.Record
	head, err := s.log.Head(ctx, id)
	if err == nil && head.Seq > 0 {
		records, err = s.log.Read(ctx, id, head.Seq-1, 1, 1)
	}
	if errors.Is(err, ErrDeleted) {
		value, err := s.log.Key(ctx, deletedKey(id))
		d = decodeDeletion(value)
		d.done = err == nil
		return d, err
	}
	if err != nil || len(records) == 0 || records[0].Type != module.TypeDelete {
		return deletion{head: head}, err
	}
	return deletion{true, head, records[0].ID}, nil
}

// readHead reads where the log of a space ends, and whether that is its end.
func (h *hotSpace) readHead(ctx context.Context) (hub.HeadRead, error) {
	d, err := h.server.deletion(ctx, h.id)
	if d.done {
		return hub.HeadRead{Head: d.head, Code: wire.CodeDeleted, Last: d.last}, err
	}
	if err == nil {
		err = h.server.verifyHead(ctx, h.id, d.head)
	}
	return hub.HeadRead{Head: d.head}, err
}

// look gives the hub the head of the log, since another server may have deleted the space.
func (h *hotSpace) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lookLocked()
}

// failedRead tells of a read that failed.
func (h *hotSpace) failedRead(what string, err error) {
	h.look()
	if !errors.Is(err, ErrDeleted) {
		h.server.logger.Error("cannot "+what+" a space", "space", h.id, "error", err)
	}
}

// end has the subscribers come to a record and no further, the one that deletes the space where this server judged all up to there,
// and has the space freed. Who was still to be asked whether they may read cannot be any more, and comes as far as was asked for.
func (h *hotSpace) end(seq uint64) {
	if h.turning != nil {
		for _, r := range h.turning.left {
			r.c.step(hub.Left{Space: h.id, Seq: min(r.last, seq), Code: wire.CodeDeleted})
		}
		h.turning = nil
	}
	h.mu.Lock()
	h.ended = true
	watchers := slices.Collect(maps.Values(h.watchers))
	h.mu.Unlock()
	for _, c := range watchers {
		c.step(hub.Left{Space: h.id, Seq: seq, Code: wire.CodeDeleted})
	}
	h.server.ends(h.id) // also if another server did: this one may have noted something since
}

// watched reports whether somebody who is connected still reads a space.
func (s *Server) watched(id space.ID) bool {
	s.spaces.mu.Lock()
	h := s.spaces.hot[id]
	s.spaces.mu.Unlock()
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.watchers) > 0
}

// findDeletions finds what a crash has left.
func (s *Server) findDeletions() {
	err := scan(s.work, s.log, deletingPrefix, func(key string, _ []byte) error {
		id, bad := digest.Parse(key[len(deletingPrefix):])
		if bad == nil {
			_, bad = s.deletion(s.work, id)
		}
		if bad != nil {
			s.logger.Error("cannot free a space that was deleted, yet", "key", key, "error", bad)
		}
		return nil
	})
	if err != nil {
		s.logger.Error("cannot look for spaces that were deleted", "error", err)
	}
}

// free sees that spaces that were deleted are freed, one after the other. What could not be, or is still read, is tried again after a
// while.
func (s *Server) free() {
	s.mu.Lock()
	begin := !s.frees && len(s.freeing) > 0
	s.frees = s.frees || begin
	s.mu.Unlock()
	if begin {
		s.spawn(s.freeAll)
	}
}

func (s *Server) freeAll() {
	tried := map[space.ID]bool{}
	for {
		s.mu.Lock()
		var next space.ID
		var f *freeing
		for id, of := range s.freeing {
			if !tried[id] {
				next, f = id, of
			}
		}
		s.frees = f != nil
		s.mu.Unlock()
		if f == nil {
			return
		}
		tried[next] = true
		ctx, span := s.tracer.about(s.work, "delete", next)
		freed, err := s.freeSpace(ctx, next, f)
		if endSpan(span, err); errors.Is(err, errRead) {
			continue
		}
		switch {
		case err != nil:
			s.logger.Error("cannot free a space that was deleted, yet", "space", next, "error", err)
			continue
		case freed:
			s.logger.Info("a space was deleted", "space", next)
			s.accounts.recount()
		}
		s.mu.Lock()
		delete(s.freeing, next)
		s.mu.Unlock()
	}
}

// errRead tells that somebody still reads a space that is to be freed.
var errRead = errors.New("the space is still read")

// freeSpace tells all whom a space concerned that it is deleted, and frees what is stored of it when nobody who is connected reads it
// any more. It reports false for a space that was not deleted.
func (s *Server) freeSpace(ctx context.Context, id space.ID, f *freeing) (bool, error) {
	d, err := s.ending(ctx, id)
	if err != nil || !d.done {
		return false, err
	}
	if err := s.dropName(ctx, id); err != nil {
		return false, err
	}
	if _, err = s.log.Head(ctx, id); err == nil && !f.told {
		if err = s.tellDeleted(ctx, id, &d); err != nil {
			return false, fmt.Errorf("tell of it: %w", err)
		}
		if _, err = s.log.CompareAndSet(ctx, deletedKey(id), nil, d.encode()); err == nil {
			f.told = true
		}
	}
	if err != nil && !errors.Is(err, ErrDeleted) {
		return false, err
	}
	if err == nil && time.Now().Before(f.until) && s.watched(id) {
		return false, errRead
	}
	if err = s.log.Delete(ctx, id, d.head); err != nil {
		return false, err
	}
	for _, key := range []string{moduleKey(id), checkpointKey(id), expiringKey(id), retentionKey(id), deletingKey(id)} {
		if err := dropKeys(ctx, s.log, peoplePrefix(id)); err != nil {
			return false, err
		}
		value, err := s.log.Key(ctx, key)
		if err == nil && value != nil {
			_, err = s.log.CompareAndSet(ctx, key, value, nil)
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// dropKeys deletes the keys with a prefix.
func dropKeys(ctx context.Context, log Log, prefix string) error {
	for {
		rows, err := log.Scan(ctx, prefix, "", 100)
		for _, row := range rows {
			if _, err := log.CompareAndSet(ctx, row.Key, row.Value, nil); err != nil {
				return err
			}
		}
		if err != nil || len(rows) < 100 {
			return err
		}
	}
}

// tellDeleted has the directory of everybody say that a space is deleted: who made it, wrote to it, or may have taken part in it
// by its last record.
func (s *Server) tellDeleted(ctx context.Context, id space.ID, d *deletion) error {
	genesis, _, err := s.log.Genesis(ctx, id)
	if err != nil {
		return err
	}
	names := map[string]bool{genesis.Creator: false}
	for after := ""; ; {
		notes, err := s.log.Scan(ctx, peoplePrefix(id), after, peopleNotes)
		if err != nil {
			return err
		}
		for _, note := range notes {
			maps.Copy(names, decodePeople(note.Value).names)
			after = note.Key
		}
		if len(notes) < peopleNotes {
			break
		}
	}
	if err := s.addAuthors(ctx, id, names, d.head.Seq); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := s.dir.change(ctx, name, id, d.head.Seq, wire.SpaceDeleted, false); err != nil {
			return err
		}
	}
	return nil
}
