package syncserver

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// A space may have a name, which no other space of the server has: two are the same if they are after Unicode's normalization and case
// folding. A name is claimed under name/<folded>, whose value says by which space, and how it is written; named/<space> has the folded
// name that the space goes by. A space has a name only if the two agree. What a crash leaves of a claim without the other says nothing,
// and the next who wants the name takes it over.

// maxName is how many bytes a name has at most, once it is normalized.
const maxName = 128

func claimKey(folded string) string { return "name/" + folded }
func namedKey(id space.ID) string   { return "named/" + id.String() }

// claim is the value of a claim. Nonce makes each another value, so that nobody takes an older one for it.
type claim struct {
	nonce [8]byte
	id    space.ID
	name  string
}

func newClaim(id space.ID, name string) claim {
	c := claim{id: id, name: name}
	rand.Read(c.nonce[:])
	return c
}

func (c *claim) encode() []byte {
	return append(append(c.nonce[:len(c.nonce):len(c.nonce)], c.id[:]...), c.name...)
}

// decodeClaim returns no claim of what is none.
func decodeClaim(value []byte) (c claim) {
	if len(value) < len(c.nonce)+len(c.id) {
		return claim{}
	}
	copy(c.nonce[:], value)
	copy(c.id[:], value[len(c.nonce):])
	c.name = string(value[len(c.nonce)+len(c.id):])
	return c
}

// joiners are what a word may have between its letters and what nobody sees.
const joiners = "\u200c\u200d"

// normalName returns a name as it is shown, or says why it is none.
func normalName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", wire.Errorf(wire.CodeBadArgument, "a name is of UTF-8")
	}
	if len(name) > 4*maxName { // composing it makes it no shorter than that
		return "", wire.Errorf(wire.CodeTooLarge, "a name has at most %d bytes", maxName)
	}
	name = norm.NFC.String(name)
	hidden := func(r rune) bool {
		return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) && !strings.ContainsRune(joiners, r) || r == utf8.RuneError
	}
	switch {
	case len(name) > maxName:
		return "", wire.Errorf(wire.CodeTooLarge, "a name has at most %d bytes", maxName)
	case foldName(name) == "" || strings.TrimFunc(name, unicode.IsSpace) != name:
		return "", wire.Errorf(wire.CodeBadArgument, "a name is not empty, and neither begins nor ends with a space")
	case strings.ContainsFunc(name, hidden):
		return "", wire.Errorf(wire.CodeBadArgument, "a name has no characters that nobody sees")
	}
	if name == "." || name == ".." {
		return "", wire.Errorf(wire.CodeBadArgument, "a name is more than dots that stand for a place in a path")
	}
	if _, err := digest.Parse(foldName(name)); err == nil {
		return "", wire.Errorf(wire.CodeBadArgument, "that is how the ID of a space looks")
	}
	return name, nil
}

// foldName returns what names have in common that are the same: a canonical caseless match, as Unicode has it.
func foldName(name string) string {
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(joiners, r) {
			return -1
		}
		return r
	}, name)
	return norm.NFC.String(cases.Fold().String(norm.NFD.String(name)))
}

var (
	errNameTaken = wire.Errorf(wire.CodeNameTaken, "another space of this server has the name")
	errRenamed   = wire.Errorf(wire.CodeOverloaded, "the space is given another name at the same time")
)

// setName gives a space a name, in place of the one that it has. However many want the same name at once, one gets it.
func (s *Server) setName(ctx context.Context, id space.ID, name string) error {
	folded := foldName(name)
	was, err := s.log.Key(ctx, namedKey(id))
	if err != nil {
		return err
	}
	mine := newClaim(id, name)
	for claimed := false; !claimed; {
		held, err := s.log.Key(ctx, claimKey(folded))
		if err != nil {
			return err
		}
		if of := decodeClaim(held); held != nil && of.id != id {
			goesBy, err := s.log.Key(ctx, namedKey(of.id))
			if err != nil {
				return err
			}
			if string(goesBy) == folded {
				return errNameTaken
			}
		}
		if claimed, err = s.log.CompareAndSet(ctx, claimKey(folded), held, mine.encode()); err != nil {
			return err
		}
	}
	done, err := s.log.CompareAndSet(ctx, namedKey(id), was, []byte(folded))
	if err != nil {
		return err
	}
	if !done {
		return errors.Join(s.unclaim(ctx, id, folded), errRenamed)
	}
	// Whoever saw the claim before the space went by it may take it over: but not this one any more, which is another value.
	settled := newClaim(id, name)
	if done, err = s.log.CompareAndSet(ctx, claimKey(folded), mine.encode(), settled.encode()); err != nil {
		return err
	}
	if !done {
		held, err := s.log.Key(ctx, claimKey(folded))
		if err == nil && decodeClaim(held).id == id {
			return errRenamed
		}
		if err == nil {
			_, err = s.log.CompareAndSet(ctx, namedKey(id), []byte(folded), was)
		}
		return errors.Join(err, errNameTaken)
	}
	if was != nil && string(was) != folded {
		return s.unclaim(ctx, id, string(was))
	}
	return nil
}

// unclaim gives back a claim of a space that does not go by it.
func (s *Server) unclaim(ctx context.Context, id space.ID, folded string) error {
	held, err := s.log.Key(ctx, claimKey(folded))
	if err != nil || held == nil || decodeClaim(held).id != id {
		return err
	}
	goesBy, err := s.log.Key(ctx, namedKey(id))
	if err == nil && string(goesBy) != folded {
		_, err = s.log.CompareAndSet(ctx, claimKey(folded), held, nil)
	}
	return err
}

// dropName takes a space's name from it. That it has none is success.
func (s *Server) dropName(ctx context.Context, id space.ID) error {
	for {
		was, err := s.log.Key(ctx, namedKey(id))
		if err != nil || was == nil {
			return err
		}
		done, err := s.log.CompareAndSet(ctx, namedKey(id), was, nil)
		if err != nil {
			return err
		}
		if done {
			return s.unclaim(ctx, id, string(was))
		}
	}
}

// nameOf returns the name of a space, "" if it has none.
func (s *Server) nameOf(ctx context.Context, id space.ID) (string, error) {
	folded, err := s.log.Key(ctx, namedKey(id))
	if err != nil || folded == nil {
		return "", err
	}
	held, err := s.log.Key(ctx, claimKey(string(folded)))
	if of := decodeClaim(held); err == nil && of.id == id {
		return of.name, nil
	}
	return "", err
}

// nameSpace returns a space with its name, which is its ID as long as it has no other.
func (s *Server) nameSpace(ctx context.Context, id space.ID) named {
	name, err := s.nameOf(ctx, id)
	if err != nil {
		s.logger.Error("cannot read the name of a space", "space", id, "error", err)
	}
	if name == "" {
		name = id.String()
	}
	return named{id.String(), name}
}

// mayName says why somebody may not name a space. Who may delete it may: modules are asked as about that, and where none runs its creator may.
func (s *Server) mayName(ctx context.Context, id space.ID, who *caller) error {
	if len(who.identities) == 0 {
		return wire.Errorf(wire.CodeAuthRequired, "who names it? A bearer token says it")
	}
	if err := s.mayRead(ctx, id, who.identities); err != nil {
		return err
	}
	if s.isSystem(id) {
		return wire.Errorf(wire.CodeForbidden, "the system space has no name")
	}
	if _, runs := s.engine.(module.Checker); !runs {
		genesis, _, err := s.log.Genesis(ctx, id)
		if err == nil && !slices.Contains(who.identities, genesis.Creator) {
			err = wire.Errorf(wire.CodeForbidden, "only its creator may name the space")
		}
		return err
	}
	for _, identity := range who.identities {
		v, err := s.tryDeleting(ctx, id, identity)
		if err != nil {
			return err
		}
		if v.Kind == wire.Deferred {
			return wire.Errorf(v.Code, "%s", v.Reason)
		}
		if v.Kind == wire.Accepted {
			return nil
		}
	}
	return wire.Errorf(wire.CodeForbidden, "who may delete a space may name it")
}

// tryDeleting asks how it would be judged if somebody deleted a space now.
func (s *Server) tryDeleting(ctx context.Context, id space.ID, identity string) (wire.Verdict, error) {
	event := space.Event{ID: setupID, Type: module.TypeDelete, Payload: []byte{0x80}} // nothing stays of it, so any id will do
	t := hub.Try{Transaction: space.Transaction{Author: identity, API: wire.APIHigh, Events: []space.Event{event}}}
	tried := make(chan wire.Verdict, 1)
	s.locked(id, func(h *hotSpace) {
		t.Ref = h.awaitLocked(func(v wire.Verdict) { tried <- v })
		h.postLocked(t)
	})
	select {
	case v := <-tried:
		return v, nil
	case <-ctx.Done():
		return wire.Verdict{}, ctx.Err()
	case <-s.done:
		return wire.Verdict{}, errStopping
	}
}

// nameBody is how many bytes a request to name a space has at most.
const nameBody = 4 << 10

// serveSetName names a space.
func (s *Server) serveSetName(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Name string `json:"name"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, nameBody))
	switch {
	case err != nil:
		err = wire.Errorf(wire.CodeTooLarge, "at most %d bytes", nameBody)
	case json.Unmarshal(body, &request) != nil:
		err = wire.Errorf(wire.CodeBadArgument, `want {"name": TEXT}`)
	}
	var name string
	if err == nil {
		name, err = normalName(request.Name)
	}
	s.rename(w, r, err, func(ctx context.Context, id space.ID) error {
		if err := s.setName(ctx, id, name); err != nil {
			return err
		}
		if d, err := s.deletion(ctx, id); err != nil || d.done { // who frees it may have looked for a name before
			return errors.Join(err, s.dropName(ctx, id), wire.Errorf(wire.CodeDeleted, "the space was deleted"))
		}
		return nil
	})
}

// serveDropName takes a space's name from it.
func (s *Server) serveDropName(w http.ResponseWriter, r *http.Request) {
	s.rename(w, r, nil, s.dropName)
}

// rename has do change the name of the space that a request is about, if whoever asks may, and answers with what it is then.
func (s *Server) rename(w http.ResponseWriter, r *http.Request, bad error, do func(context.Context, space.ID) error) {
	who, err := s.callerOf(r)
	var id space.ID
	if err == nil {
		id, err = spaceOf(r)
	}
	if err == nil {
		err = bad
	}
	if err == nil {
		err = s.mayName(r.Context(), id, who)
	}
	if err == nil {
		err = do(r.Context(), id)
	}
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	answerJSON(w, http.StatusOK, s.nameSpace(r.Context(), id))
}

// serveName answers which space has a name, to who may read it. To others it is as if none had.
func (s *Server) serveName(w http.ResponseWriter, r *http.Request) {
	who, err := s.callerOf(r)
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	none := wire.Errorf(wire.CodeNotFound, "no space that you may read has the name")
	name, err := normalName(r.PathValue("name"))
	if err != nil {
		s.refuseRequest(w, r, none)
		return
	}
	held, err := s.log.Key(r.Context(), claimKey(foldName(name)))
	of := decodeClaim(held)
	var found string
	if err == nil && held != nil {
		found, err = s.nameOf(r.Context(), of.id)
	}
	switch {
	case err != nil:
	case found == "" || foldName(found) != foldName(name) || s.mayRead(r.Context(), of.id, who.identities) != nil:
		err = none
	}
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	answerJSON(w, http.StatusOK, named{of.id.String(), found})
}
