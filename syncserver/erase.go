package syncserver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Erased is what [Server.EraseIdentity] does with an identity, or has done.
type Erased struct {
	Deleted []space.ID // the spaces that nobody but it has made, written to, or taken part in
	Stays   []Share    // those that others have a share in
}

// Share is what an identity has written to a space that is not its alone. It stays: histories of others rest on it.
type Share struct {
	Space   space.ID
	Creator bool // whether the identity made it
	Records int
}

// EraseIdentity takes an identity out of a server that has no clients, as far as that can be: the spaces that are its alone are deleted, by a record
// of the server's, with their names; and its directory, its linked devices and which modules it uploaded go. What it has written to spaces of others
// stays there under its name, as do what its own spaces were made from, and what the system space says of its coming and going. If do is false
// nothing is changed. Called again after an error, or a crash, it goes on.
func (s *Server) EraseIdentity(ctx context.Context, identity string, do bool) (e Erased, err error) {
	if identity == "" || identity == s.identity {
		return e, errors.New("that is no identity of a client")
	}
	prefix := "in/" + hex.EncodeToString([]byte(identity)) + "/"
	spaces, others := []space.ID{}, map[space.ID]bool{}
	err = scan(ctx, s.log, prefix, func(key string, _ []byte) error {
		id, bad := digest.Parse(key[len(prefix):])
		if bad == nil {
			spaces, others[id] = append(spaces, id), false
		}
		return nil
	})
	if err == nil {
		err = scan(ctx, s.log, "in/", func(key string, value []byte) error {
			id, bad := digest.Parse(key[strings.LastIndexByte(key, '/')+1:])
			if _, its := others[id]; bad == nil && its && !strings.HasPrefix(key, prefix) {
				m := decodeMark(value)
				others[id] = others[id] || m.seq == 0 || m.state == wire.SpacePresent
			}
			return nil
		})
	}
	if err != nil {
		return e, err
	}
	for _, id := range spaces {
		if err := s.eraseSpace(ctx, id, identity, others[id], do, &e); err != nil {
			return e, fmt.Errorf("space %v: %w", id, err)
		}
	}
	if !do {
		return e, nil
	}
	if err := s.eraseLinks(ctx, identity); err != nil {
		return e, fmt.Errorf("linked devices: %w", err)
	}
	if err := s.eraseUploads(ctx, identity); err != nil {
		return e, fmt.Errorf("uploads: %w", err)
	}
	for _, prefix := range []string{changePrefix(identity), prefix} { // the marks last: by them the spaces are found
		if err := dropKeys(ctx, s.log, prefix); err != nil {
			return e, fmt.Errorf("directory: %w", err)
		}
	}
	return e, nil
}

// eraseSpace deletes a space if it is an identity's alone, and else counts what it has there. others tells that somebody else takes part in it.
func (s *Server) eraseSpace(ctx context.Context, id space.ID, identity string, others, do bool, e *Erased) error {
	head, err := s.log.Head(ctx, id)
	if errors.Is(err, ErrDeleted) || errors.Is(err, ErrNoSpace) || s.isSystem(id) {
		return nil
	}
	if err != nil {
		return err
	}
	genesis, _, err := s.log.Genesis(ctx, id)
	if err != nil {
		return err
	}
	share, alone, ended := Share{Space: id, Creator: genesis.Creator == identity}, genesis.Creator == identity && !others, false
	err = historyOf(ctx, s.log, id)(0, head.Seq, func(records []space.Record) error {
		for i := range records {
			switch author := records[i].Author; author {
			case identity:
				share.Records++
			case s.identity: // it says what became of the space
			default:
				alone = false
			}
			ended = records[i].Type == module.TypeDelete
		}
		return nil
	})
	if err == nil && alone { // who was let in, and is in no directory yet: a server that loads the space sees to that
		err = scan(ctx, s.log, peoplePrefix(id), func(_ string, value []byte) error {
			p := decodePeople(value)
			delete(p.names, identity)
			alone = alone && len(p.names) == 0 && !p.present
			return nil
		})
	}
	if err != nil {
		return err
	}
	if !alone && !ended {
		if share.Records > 0 || share.Creator {
			e.Stays = append(e.Stays, share)
		}
		return nil
	}
	e.Deleted = append(e.Deleted, id)
	if !do {
		return nil
	}
	if !ended {
		if err := s.endSpace(ctx, id, head); err != nil {
			return err
		}
	}
	_, err = s.freeSpace(ctx, id, &freeing{until: time.Now()})
	return err
}

// endSpace deletes a space in the server's name, as $delete does in its creator's: noted first, then appended, then told.
func (s *Server) endSpace(ctx context.Context, id space.ID, head space.Head) error {
	r := space.Record{Seq: head.Seq + 1, ReceivedAt: max(s.wall(), head.ReceivedAt), Count: 1, Author: s.identity, API: wire.APIHigh}
	last, err := space.NewIDSource(rand.Reader).New(r.ReceivedAt)
	if err != nil {
		return err
	}
	r.ID, r.Type, r.Payload = last, module.TypeDelete, []byte{0x80}
	end := hub.Append{Records: []space.Record{r}, Next: space.Head{Seq: r.Seq, Chain: space.Chain(head.Chain, &r), ReceivedAt: r.ReceivedAt}}
	changes := s.changesIn(id, end.Records)
	if err = s.noteChanges(ctx, changes); err == nil {
		err = s.noteDeletion(ctx, id, &end)
	}
	if err == nil {
		err = s.log.Append(ctx, id, head, end.Records, end.Next)
	}
	if err == nil {
		s.tellChanges(changes)
	}
	return err
}

// eraseLinks forgets the devices of an identity, and whose device it was itself; but not those that were revoked, which they stay.
func (s *Server) eraseLinks(ctx context.Context, identity string) error {
	var links []linkRecord
	err := scan(ctx, s.log, "link/", func(_ string, value []byte) error {
		var l linkRecord
		if err := json.Unmarshal(value, &l); err != nil {
			return err
		}
		if (l.Identity == identity || l.Device == identity) && l.RevokedAt == 0 {
			links = append(links, l)
		}
		return nil
	})
	for _, l := range links {
		for _, key := range []string{linkedKey(l.Device, l.Identity), linkKey(l.Identity, l.Device)} {
			if err == nil {
				err = dropKeys(ctx, s.log, key)
			}
		}
	}
	return err
}

// eraseUploads forgets which modules an identity uploaded. The modules stay as long as a space names them.
func (s *Server) eraseUploads(ctx context.Context, identity string) error {
	prefix := uploadsPrefix(identity)
	err := scan(ctx, s.log, prefix, func(key string, _ []byte) error {
		uploader := "uploader/" + key[len(prefix):]
		value, err := s.log.Key(ctx, uploader)
		if err == nil && string(value) == prefix {
			_, err = s.log.CompareAndSet(ctx, uploader, value, nil)
		}
		return err
	})
	if err == nil {
		err = dropKeys(ctx, s.log, prefix)
	}
	return err
}
