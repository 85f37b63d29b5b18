package syncserver

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// ModuleUse is a module that judges a space, or judged it, from a record on.
type ModuleUse struct {
	Module digest.Digest
	Seq    uint64 // of the record by which the space went over to it; 0: it was created with it
	Since  uint64 // when the server received that record, or when the space was made as its genesis says; in milliseconds since 1970
}

// ModuleHistory returns the modules of a space in the order in which it had them; the last one judges it. One that it had twice is there
// twice. Errors are the log's. It only reads, so it may look into a log that a server uses.
func ModuleHistory(ctx context.Context, log Log, id space.ID, genesis *space.Genesis) ([]ModuleUse, error) {
	list, _, err := modulesOf(ctx, log, id)
	if err != nil {
		return nil, err
	}
	history := []ModuleUse{{Module: genesis.Module, Since: genesis.Stamp.Time()}}
	for _, m := range list {
		record, went, err := wentOver(ctx, log, id, m)
		if err != nil {
			return nil, err
		}
		if went {
			history = append(history, ModuleUse{m.name, m.seq, record.ReceivedAt})
		}
	}
	slices.SortStableFunc(history, func(a, b ModuleUse) int { return cmp.Compare(a.Seq, b.Seq) })
	return history, nil
}

// wentOver returns the record by which a space went over to a module as it was noted, and false if it never did.
func wentOver(ctx context.Context, log Log, id space.ID, m since) (record space.Record, went bool, err error) {
	records, err := log.Read(ctx, id, m.seq-1, 1, 1)
	if err != nil || len(records) == 0 || records[0].Type != module.TypeModule {
		return record, false, err
	}
	if records[0].Expired {
		return records[0], true, nil // what was not so was dropped before
	}
	name, ok := module.UpgradeTo(records[0].Payload)
	return records[0], ok && name == m.name, nil
}

// moduleTold is how a module is told of to people and programs.
type moduleTold struct {
	Module  string `json:"module"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
}

// useJSON is a module of a space, as the API tells of it.
type useJSON struct {
	moduleTold
	Seq   uint64 `json:"seq"`
	Since uint64 `json:"since"`
}

// spaceModuleJSON is which module judges a space, and which did.
type spaceModuleJSON struct {
	useJSON
	History []useJSON `json:"history"` // in their order, the present one too
	Earlier int       `json:"earlier"` // left out at the beginning of that
}

// historyTold is how many modules of a space are told of at most, the newest.
const historyTold = 100

// moduleNames are what modules call themselves, of those that were asked for last. Their bytes never change.
type moduleNames struct {
	mu  sync.Mutex
	all map[digest.Digest]moduleTold
}

const namesKept = 1000

// ModuleName returns what a module calls itself, and its version, which open has none of. Its errors are [ErrNoBlob] for one that is not
// there, the log's, and what is wrong with the module. It only reads.
func ModuleName(ctx context.Context, log Log, d digest.Digest) (name, version string, err error) {
	if d == module.Open {
		return "open", "", nil
	}
	content := builtin.Bytes(d)
	if content == nil {
		if content, err = log.Blob(ctx, d); err != nil {
			return "", "", err
		}
	}
	p, err := program.Load(content)
	if err != nil {
		return "", "", err
	}
	return p.Manifest.Name, p.Manifest.Version, nil
}

// tellModule returns how a module is told of: by its digest alone if its bytes cannot be read now.
func (s *Server) tellModule(ctx context.Context, d digest.Digest) moduleTold {
	s.names.mu.Lock()
	told, known := s.names.all[d]
	s.names.mu.Unlock()
	if known {
		return told
	}
	told = moduleTold{Module: d.String()}
	var err error
	if told.Name, told.Version, err = ModuleName(ctx, s.log, d); err != nil {
		if !errors.Is(err, ErrNoBlob) {
			s.logger.Error("cannot read a module", "module", d, "error", err)
		}
		return told
	}
	s.names.mu.Lock()
	defer s.names.mu.Unlock()
	if s.names.all == nil || len(s.names.all) >= namesKept {
		s.names.all = map[digest.Digest]moduleTold{}
	}
	s.names.all[d] = told
	return told
}

// serveModule answers which module judges a space, and which did before, to who may read it.
func (s *Server) serveModule(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	who, err := s.callerOf(r)
	var id space.ID
	if err == nil {
		id, err = spaceOf(r)
	}
	if err == nil {
		err = s.mayRead(ctx, id, who.identities)
	}
	var genesis space.Genesis
	if err == nil {
		genesis, _, err = s.log.Genesis(ctx, id)
	}
	var history []ModuleUse
	if err == nil {
		history, err = ModuleHistory(ctx, s.log, id, &genesis)
	}
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	answer := spaceModuleJSON{Earlier: max(0, len(history)-historyTold)}
	for _, use := range history[answer.Earlier:] {
		answer.History = append(answer.History, useJSON{s.tellModule(ctx, use.Module), use.Seq, use.Since})
	}
	answer.useJSON = answer.History[len(answer.History)-1]
	answerJSON(w, http.StatusOK, answer)
}

// moduleBody is how many bytes a request to take a space over to another module has at most.
const moduleBody = 256 << 10

// serveSetModule takes a space over to another module, if whoever asks may. It is judged in its turn, as what comes over a socket: so of
// several who saw the same module, and say so, one succeeds.
func (s *Server) serveSetModule(w http.ResponseWriter, r *http.Request) {
	who, err := s.callerOf(r)
	var id space.ID
	if err == nil {
		id, err = spaceOf(r)
	}
	if err == nil && len(who.identities) == 0 {
		err = wire.Errorf(wire.CodeAuthRequired, "who upgrades it? A bearer token says it")
	}
	var event space.Event
	var to digest.Digest
	if err == nil {
		event, to, err = s.upgradeIn(w, r)
	}
	var v wire.Verdict
	if err == nil {
		caller := &hub.Caller{Identities: who.identities, Address: s.addressOf(r)}
		v, err = s.pushAs(r.Context(), id, caller, &event)
	}
	if err == nil && v.Kind != wire.Accepted && v.Kind != wire.Duplicate {
		err = wire.Errorf(v.Code, "%s", v.Reason)
	}
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	answerJSON(w, http.StatusOK, struct {
		moduleTold
		Seq uint64 `json:"seq"`
	}{s.tellModule(r.Context(), to), v.Position.Seq})
}

// upgradeIn reads the event that a request asks for.
func (s *Server) upgradeIn(w http.ResponseWriter, r *http.Request) (event space.Event, to digest.Digest, err error) {
	var request struct {
		Module   digestText
		Replaces digestText
		Params   []byte
		Event    string
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, moduleBody))
	if err != nil {
		return event, to, wire.Errorf(wire.CodeTooLarge, "at most %d bytes", moduleBody)
	}
	if json.Unmarshal(body, &request) != nil || !request.Module.given {
		return event, to, wire.Errorf(wire.CodeBadArgument, `want {"module": DIGEST}, and perhaps "replaces": DIGEST, "params": BASE64, "event": ULID`)
	}
	event, to = space.Event{Type: module.TypeModule, Payload: module.Upgrade(request.Module.Digest, request.Params)}, request.Module.Digest
	if request.Replaces.given {
		event.Payload = module.UpgradeFrom(request.Replaces.Digest, to, request.Params)
	}
	if request.Event == "" {
		event.ID, err = space.NewIDSource(rand.Reader).New(s.wall())
	} else if event.ID, err = space.ParseULID(request.Event); err != nil {
		err = wire.Errorf(wire.CodeBadArgument, "%v", err)
	}
	return event, to, err
}

// digestText is a digest in JSON.
type digestText struct {
	digest.Digest
	given bool
}

// UnmarshalText reads 64 hexadecimal digits.
func (d *digestText) UnmarshalText(text []byte) (err error) {
	d.Digest, err = digest.Parse(string(text))
	d.given = err == nil
	return err
}

// pushAs writes an event to a space in the name of somebody who has no connection, the first of whom the caller has proven, and waits
// for the verdict.
func (s *Server) pushAs(ctx context.Context, id space.ID, caller *hub.Caller, event *space.Event) (wire.Verdict, error) {
	r := hub.Record{Caller: caller, Transaction: space.Transaction{
		Author: caller.Identities[0], API: wire.APIHigh, Events: []space.Event{*event},
	}}
	answered := make(chan wire.Verdict, 1)
	s.locked(id, func(h *hotSpace) {
		r.Ref = h.awaitLocked(func(v wire.Verdict) { answered <- v })
		h.postLocked(r)
	})
	select {
	case v := <-answered:
		s.metrics.verdict(&v)
		return v, nil
	case <-ctx.Done():
		return wire.Verdict{}, ctx.Err()
	case <-s.done:
		return wire.Verdict{}, errStopping
	}
}
