package syncserver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/module/system"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// What becomes of a space is told in the system space when it is so. It is noted under audit/<space>/<change>/<record> before, so that a
// crash between leaves nothing out: at the next start each note is looked into, told if what it says came to be, and dropped.

const auditPrefix = "audit/"

// change is what becomes of a space.
type change struct {
	id     space.ID
	what   string // system.Created and so on
	seq    uint64 // the record that says so; 0 for a creation
	by     string
	module digest.Digest
}

func (c *change) payload() []byte { return system.Space(c.id, c.what, c.by, c.module) }

func (c *change) key() string { return fmt.Sprintf("%s%v/%s/%016x", auditPrefix, c.id, c.what, c.seq) }

// audits reports whether the policy takes what becomes of a space.
func (s *Server) audits(id space.ID) bool { return s.system.audits && !s.isSystem(id) }

// changesIn returns what records do with their space, if that is told.
func (s *Server) changesIn(id space.ID, records []space.Record) (all []change) {
	if !s.audits(id) {
		return nil
	}
	for i := range records {
		switch r := &records[i]; r.Type {
		case module.TypeModule:
			to, _ := module.UpgradeTo(r.Payload)
			all = append(all, change{id, system.Upgraded, r.Seq, r.Author, to})
		case module.TypeDelete:
			all = append(all, change{id, system.Deleted, r.Seq, r.Author, digest.Digest{}})
		case module.TypeExpire:
			if r.Author != s.identity { // by its own settings it does so again and again
				all = append(all, change{id, system.Expired, r.Seq, r.Author, digest.Digest{}})
			}
		}
	}
	return all
}

// noteChanges notes what is about to be.
func (s *Server) noteChanges(ctx context.Context, changes []change) error {
	for i := range changes {
		c := &changes[i]
		for done := false; !done; {
			was, err := s.log.Key(ctx, c.key()) // of an attempt that failed
			if err == nil {
				done, err = s.log.CompareAndSet(ctx, c.key(), was, c.payload())
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// dropChanges drops notes of what did not come to be. One that stays says nothing.
func (s *Server) dropChanges(ctx context.Context, changes []change) {
	for i := range changes {
		c := &changes[i]
		if _, err := s.log.CompareAndSet(ctx, c.key(), c.payload(), nil); err != nil {
			s.logger.Error("cannot drop a note of a space", "key", c.key(), "error", err)
		}
	}
}

// tellChanges tells what has come to be, and drops the notes of it then.
func (s *Server) tellChanges(changes []change) {
	for i := range changes {
		s.tellChange(changes[i].key(), changes[i].payload())
	}
}

func (s *Server) tellChange(key string, payload []byte) {
	sum := digest.Of([]byte(key))
	id := setupID // one for each key, whenever it is told
	copy(id[6:], sum[:])
	s.record([]space.Event{{ID: id, Type: module.TypeSpace, Payload: payload}}, nil, nil, func(v wire.Verdict) {
		if v.Kind == wire.Deferred {
			time.AfterFunc(retryFailed, func() { s.spawn(func() { s.tellChange(key, payload) }) })
			return
		}
		if v.Kind == wire.Rejected {
			s.logger.Error("the policy refuses to note what became of a space", "key", key, "code", v.Code, "reason", v.Reason)
		}
		s.spawn(func() {
			if _, err := s.log.CompareAndSet(s.work, key, payload, nil); err != nil {
				s.logger.Error("cannot drop a note of a space", "key", key, "error", err)
			}
		})
	})
}

// tellNotes tells what is still noted, when the server starts.
func (s *Server) tellNotes(ctx context.Context) error {
	if !s.system.audits {
		return nil
	}
	return scan(ctx, s.log, auditPrefix, func(key string, value []byte) error {
		came, err := s.cameToBe(ctx, key)
		switch {
		case err != nil:
		case came:
			s.tellChange(key, value)
		default:
			_, err = s.log.CompareAndSet(ctx, key, value, nil)
		}
		return err
	})
}

// cameToBe reports whether what a note says is so.
func (s *Server) cameToBe(ctx context.Context, key string) (bool, error) {
	parts := strings.Split(strings.TrimPrefix(key, auditPrefix), "/")
	if len(parts) != 3 {
		return false, nil
	}
	id, err := digest.Parse(parts[0])
	if err != nil {
		return false, nil
	}
	seq, err := strconv.ParseUint(parts[2], 16, 64)
	if err != nil {
		return false, nil
	}
	switch parts[1] {
	case system.Created:
		_, _, err := s.log.Genesis(ctx, id)
		if errors.Is(err, ErrNoSpace) {
			return false, nil
		}
		return err == nil || errors.Is(err, ErrDeleted), ignoreDeleted(err)
	case system.Deleted:
		d, err := s.ending(ctx, id)
		return d.done, ignoreGone(err)
	case system.Upgraded, system.Expired:
		records, err := s.log.Read(ctx, id, seq-1, 1, 1)
		if errors.Is(err, ErrDeleted) { // its records are gone, so the note alone says it
			d, err := s.ending(ctx, id)
			return d.done && seq < d.head.Seq, ignoreGone(err)
		}
		is := map[string]string{system.Upgraded: module.TypeModule, system.Expired: module.TypeExpire}
		return len(records) > 0 && records[0].Type == is[parts[1]], ignoreGone(err)
	}
	return false, nil
}

func ignoreDeleted(err error) error {
	if errors.Is(err, ErrDeleted) {
		return nil
	}
	return err
}

func ignoreGone(err error) error {
	if errors.Is(err, ErrNoSpace) {
		return nil
	}
	return ignoreDeleted(err)
}

// created returns the change that a creation is, if that is told.
func (s *Server) created(id space.ID, r *hub.CreateSpace) []change {
	if !s.audits(id) {
		return nil
	}
	return []change{{id: id, what: system.Created, by: r.Genesis.Creator, module: r.Genesis.Module}}
}
