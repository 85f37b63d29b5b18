package syncserver

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Who takes part in a space is told by its module: the rows of its audience name them. Whom a batch may have let in or out is noted
// under people/<space>/<record> before the batch is appended, so that a crash forgets nobody. When the batch is durable, the module is
// asked of each of them, their directory changes, and the note goes. Whoever opens the space next does what a note still asks for,
// and so may two servers at once.

func peoplePrefix(id space.ID) string { return "people/" + id.String() + "/" }

func peopleKey(id space.ID, seq uint64) string { return peoplePrefix(id) + fmt.Sprintf("%016x", seq) }

// peopleNotes is how many notes are read at once.
const peopleNotes = 100

// people is one note.
type people struct {
	authors bool            // everybody who wrote before the record is meant too: the space went over to another module
	present bool            // those are too who take part by the tables: they are not known before the record is applied
	names   map[string]bool // true: they came or went, which is news even if they are where they were
}

// The bits of a note's first byte.
const (
	noteAuthors = 1
	notePresent = 2
)

func (p *people) encode() []byte {
	b := []byte{0}
	if p.authors {
		b[0] = noteAuthors
	}
	if p.present {
		b[0] |= notePresent
	}
	for _, name := range slices.Sorted(maps.Keys(p.names)) {
		size := uint64(len(name)) << 1
		if p.names[name] {
			size |= 1
		}
		b = append(binary.AppendUvarint(b, size), name...)
	}
	return b
}

func decodePeople(b []byte) people {
	p := people{names: map[string]bool{}}
	if len(b) == 0 {
		return p
	}
	p.authors, p.present = b[0]&noteAuthors > 0, b[0]&notePresent > 0
	for b = b[1:]; len(b) > 0; {
		size, n := binary.Uvarint(b)
		if n <= 0 || size>>1 > uint64(len(b)-n) {
			break
		}
		b = b[n:]
		p.names[string(b[:size>>1])] = size&1 == 1
		b = b[size>>1:]
	}
	return p
}

// owe notes whom a batch may let in or out.
func (h *hotSpace) owe(ctx context.Context, r *hub.Append, upgraded bool) error {
	if !upgraded && !r.Adopts && len(r.People) == 0 {
		return nil
	}
	key := peopleKey(h.id, r.Next.Seq)
	for done := false; !done; {
		was, err := h.server.log.Key(ctx, key)
		if err != nil {
			return err
		}
		p := decodePeople(was) // of an append that did not succeed, or of another server's: both hold
		p.authors, p.present = p.authors || upgraded, p.present || r.Adopts
		for _, person := range r.People {
			p.names[person.Identity] = p.names[person.Identity] || person.Moved
		}
		if done, err = h.server.log.CompareAndSet(ctx, key, was, p.encode()); err != nil {
			return err
		}
	}
	h.mu.Lock()
	if !slices.Contains(h.owes, r.Next.Seq) { // it is when the append is tried again
		h.owes = append(h.owes, r.Next.Seq)
	}
	h.mu.Unlock()
	return nil
}

// payLocked sees that what is owed behind records that are durable is done.
func (h *hotSpace) payLocked() {
	due := func(seq uint64) bool { return seq <= h.head }
	if h.paying || h.ended || !slices.ContainsFunc(h.owes, due) {
		return
	}
	h.owes = slices.DeleteFunc(h.owes, due)
	h.paying = h.server.spawn(h.pay)
}

func (h *hotSpace) pay() {
	s := h.server
	defer h.done(func() {
		h.paying = false
		h.payLocked()
	})
	if err := h.tellPeople(s.work); err != nil && wire.CodeOf(err) != wire.CodeDeleted {
		s.logger.Error("cannot tell people of a space", "space", h.id, "error", err)
		h.mu.Lock()
		h.noted = false // when it is opened again
		h.mu.Unlock()
	}
}

// tellPeople does what the notes ask for whose records are durable.
func (h *hotSpace) tellPeople(ctx context.Context) error {
	for {
		notes, err := h.server.log.Scan(ctx, peoplePrefix(h.id), "", peopleNotes)
		if err != nil {
			return err
		}
		for _, note := range notes {
			var seq uint64
			if _, err := fmt.Sscanf(note.Key[len(peoplePrefix(h.id)):], "%x", &seq); err != nil {
				return fmt.Errorf("the key %s: %w", note.Key, err)
			}
			told, err := h.tellNote(ctx, decodePeople(note.Value), seq)
			if err != nil || !told {
				return err
			}
			if _, err := h.server.log.CompareAndSet(ctx, note.Key, note.Value, nil); err != nil {
				return err
			}
		}
		if len(notes) < peopleNotes {
			return nil
		}
	}
}

// tellNote asks the module of everybody whom a note means, and has their directories say what it answers. It reports false if
// the note's record is not durable, and perhaps never will be.
func (h *hotSpace) tellNote(ctx context.Context, p people, seq uint64) (told bool, err error) {
	if p.authors {
		if err := h.server.addAuthors(ctx, h.id, p.names, seq); err != nil {
			return false, err
		}
	}
	if p.present {
		answer := h.answerTo(hub.Ask{Audience: true})
		if answer.Code != 0 || !answer.Exists {
			return false, wire.Errorf(answer.Code, "it is not known who takes part")
		}
		if answer.Seq < seq {
			return false, nil
		}
		for _, person := range answer.People {
			p.names[person.Identity] = p.names[person.Identity] || person.Moved
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.names)) {
		answer := h.answerTo(hub.Ask{Identities: []string{name}})
		if answer.Code != 0 || !answer.Exists {
			return false, wire.Errorf(answer.Code, "it is not known who may read")
		}
		if answer.Seq < seq {
			return false, nil
		}
		state := wire.SpaceLeft
		if answer.MayRead {
			state = wire.SpacePresent
		}
		if err := h.server.dir.change(ctx, name, h.id, answer.Seq, state, p.names[name]); err != nil {
			return false, err
		}
	}
	return true, nil
}

// addAuthors adds everybody who wrote up to a record, if the log goes so far.
func (s *Server) addAuthors(ctx context.Context, id space.ID, names map[string]bool, seq uint64) error {
	head, err := s.log.Head(ctx, id)
	if err != nil {
		return err
	}
	return s.wholeLog(ctx, id)(0, min(seq, head.Seq), func(records []space.Record) error {
		for i := range records {
			if author := records[i].Author; author != "" && !names[author] {
				names[author] = false
			}
		}
		return nil
	})
}

// answerTo asks the hub, and waits for the answer.
func (h *hotSpace) answerTo(ask hub.Ask) hub.Answer {
	answered := make(chan hub.Answer, 1)
	h.server.askFor(h.id, ask, func(answer hub.Answer) { answered <- answer })
	select {
	case answer := <-answered:
		return answer
	case <-h.server.work.Done():
		return hub.Answer{Code: wire.CodeShutdown}
	}
}
