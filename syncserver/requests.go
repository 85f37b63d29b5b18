package syncserver

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// retryFailed is how long after the log failed a client is told to try again.
const retryFailed = time.Second

// request begins the calls to the log that a step asked for. Each runs beside the pipeline and ends in one input.
func (h *hotSpace) request(effects *hub.Effects) {
	if r := effects.Open; r != nil {
		h.begin(func(ctx context.Context) hub.Input { return h.open(ctx, *r) }, hub.Opened{Ref: r.Ref, Code: wire.CodeOverloaded})
	}
	if r := effects.Create; r != nil {
		h.begin(func(ctx context.Context) hub.Input { return h.create(ctx, r) }, hub.Opened{Ref: r.Ref, Code: wire.CodeOverloaded})
	}
	if r := effects.Lookup; r != nil {
		h.begin(func(ctx context.Context) hub.Input { return h.lookup(ctx, r) }, hub.Found{Ref: r.Ref, Code: wire.CodeOverloaded})
	}
	if r := effects.Read; r != nil {
		h.begin(func(ctx context.Context) hub.Input { return h.history(ctx, *r) }, hub.History{Ref: r.Ref, Code: wire.CodeOverloaded})
	}
	if r := effects.Append; r != nil {
		h.begin(h.appendWithin(r), hub.Appended{Outcome: hub.Unclear})
	}
	if r := effects.LoadHead; r != nil {
		h.begin(func(ctx context.Context) hub.Input { return h.loadHead(ctx, *r) }, hub.HeadRead{Ref: r.Ref, Code: wire.CodeOverloaded})
	}
	if r := effects.Prepare; r != nil {
		h.begin(func(context.Context) hub.Input { return h.prepare(r) }, hub.Prepared{Ref: r.Ref, Work: r.Work, Failed: true})
	}
}

// appendWithin reserves what a batch takes of its authors' quotas, and returns the call that appends it. What the hub judges from now on counts on it.
func (h *hotSpace) appendWithin(r *hub.Append) func(context.Context) hub.Input {
	s := h.server
	taken := s.takenBy(r)
	if r.Adopts || slices.ContainsFunc(r.Records, func(r space.Record) bool { return r.Type == module.TypeExpire }) {
		s.accounts.force(taken) // it was theirs before; or the hub has found that it makes room, for which there always is some
	} else if reason := s.accounts.reserve(taken); reason != "" { // other spaces were faster: it is judged again, and told so
		return func(context.Context) hub.Input { return hub.Appended{Outcome: hub.Stale} }
	}
	return func(ctx context.Context) hub.Input {
		stored := true // as far as is known
		defer func() { s.accounts.settle(taken, stored) }()
		in := h.appendBatch(ctx, r)
		stored = in.Outcome == hub.Stored || in.Outcome == hub.Unclear
		return in
	}
}

// prepare makes the tables of an upgrade.
func (h *hotSpace) prepare(r *hub.Prepare) hub.Input {
	begin := time.Now()
	r.Work.Run()
	verdict, err := r.Work.Result()
	if err != nil {
		h.server.logger.Error("cannot prepare an upgrade", "space", h.id, "error", err)
	} else {
		h.server.logger.Info("an upgrade was prepared", "space", h.id, "took", time.Since(begin), "verdict", verdict.Code)
	}
	return hub.Prepared{Ref: r.Ref, Work: r.Work}
}

// begin runs a call beside the pipeline and posts its answer; if it panics, failed.
func (h *hotSpace) begin(call func(context.Context) hub.Input, failed hub.Input) {
	of := h.hub
	h.pending++
	run := func() {
		in := failed
		defer func() {
			if failure := recover(); failure != nil {
				h.server.panicked("in a call to the log", failure, "space", h.id)
			}
			h.answered(answer{in, of})
		}()
		in = call(h.server.work)
	}
	if !h.server.spawn(run) {
		h.pending--
	}
}

// open loads a space that exists.
func (h *hotSpace) open(ctx context.Context, r hub.OpenSpace) hub.Input {
	s := h.server
	opened := hub.Opened{Ref: r.Ref}
	genesis, _, err := s.log.Genesis(ctx, h.id)
	if errors.Is(err, ErrNoSpace) {
		opened.Code = wire.CodeUnknownSpace
		return opened
	}
	var end deletion
	if err == nil {
		end, err = s.deletion(ctx, h.id)
	}
	if err == nil && end.done {
		opened.Code, opened.Head, opened.Last = wire.CodeDeleted, end.head, end.last
		return opened
	}
	if err == nil {
		if genesis.Creator != s.identity {
			h.list(ctx, genesis.Creator) // in case a crash came between its creation and the directory
		}
		opened.Head = end.head
		if err = s.verifyHead(ctx, h.id, end.head); err == nil {
			opened.Instance, err = h.instance(ctx, &genesis, end.head)
		}
		if _, ok := opened.Instance.(program.Materializer); ok && err == nil {
			opened.Bare, err = s.bare(ctx, h.id, end.head)
		}
		h.mu.Lock()
		if !h.noted {
			h.noted, h.owes = true, append(h.owes, 0) // a crash may have left notes
		}
		h.mu.Unlock()
	}
	if err != nil {
		h.failed(&opened, "open", err)
	}
	return opened
}

// bare reports whether what a log ends with is [hub.Bare].
func (s *Server) bare(ctx context.Context, id space.ID, head space.Head) (bool, error) {
	if head.Seq == 0 {
		return false, nil
	}
	records, err := s.log.Read(ctx, id, head.Seq-1, 1, 1)
	if err != nil {
		return false, err
	}
	return len(records) > 0 && hub.Bare(&records[0]), nil
}

// create creates a space, unless it exists, and lists it for its creator before anybody is told.
func (h *hotSpace) create(ctx context.Context, r *hub.CreateSpace) hub.Input {
	s := h.server
	opened := hub.Opened{Ref: r.Ref}
	if wait := s.denied(r.Charges); wait > 0 && !r.Lost { // if another server has created it meanwhile, that is found when it is sent again
		denied := deniedFor(wait)
		denied.Ref = r.Ref
		return denied
	}
	instance, err := h.first(ctx, r.Genesis)
	if err != nil {
		h.failed(&opened, "load the module of", err)
		return opened
	}
	if _, err = s.log.Head(ctx, h.id); errors.Is(err, ErrDeleted) {
		err = nil
	} else if errors.Is(err, ErrNoSpace) {
		var over hub.Opened
		if over, opened.Created, err = h.createNew(ctx, r); over.Code != 0 {
			instance.Close()
			over.Ref = r.Ref
			return over
		}
	}
	var end deletion
	if err == nil {
		end, err = s.deletion(ctx, h.id)
	}
	if err != nil {
		instance.Close()
		opened.Created = false
		h.failed(&opened, "create", err)
		return opened
	}
	if opened.Created {
		s.metrics.created.Inc()
		s.tellChanges(s.created(h.id, r))
	}
	opened.Head = end.head
	if end.done { // another server was faster, or came behind
		instance.Close()
		opened.Code, opened.Last = wire.CodeDeleted, end.last
		return opened
	}
	h.list(ctx, r.Genesis.Creator)
	opened.Instance = instance
	return opened
}

// createNew creates a space that is not there, if the limits and quotas of its creator allow: else over says which does not.
func (h *hotSpace) createNew(ctx context.Context, r *hub.CreateSpace) (over hub.Opened, created bool, err error) {
	s := h.server
	creator := r.Genesis.Creator
	if err := s.accounts.load(ctx, creator, false); err != nil {
		return over, false, err
	}
	space := map[string]taken{creator: {spaces: 1}}
	if r.Lost { // it was theirs before
		s.accounts.force(space)
	} else if reason := s.accounts.reserve(space); reason != "" {
		return hub.Opened{Code: wire.CodeOverQuota, Reason: reason, RetryAfterMS: milliseconds(quotaRetry)}, false, nil
	}
	stored := false
	defer func() { s.accounts.settle(space, stored) }()
	if !r.Lost {
		wait, err := s.admit(ctx, r.Charges)
		if wait > 0 || err != nil {
			return deniedFor(wait), false, err
		}
	}
	if err == nil {
		err = s.noteChanges(ctx, s.created(h.id, r))
	}
	if err == nil {
		created, err = h.createNaming(ctx, r)
		stored = created || err != nil && !errors.Is(err, module.ErrMissing) && !errors.Is(err, ErrFull) // as far as is known
	}
	return over, created, err
}

// deniedFor tells that no space can be created now.
func deniedFor(wait time.Duration) hub.Opened {
	return hub.Opened{Code: wire.CodeRateLimited, Reason: "spaces are created too fast", RetryAfterMS: milliseconds(wait)}
}

// createNaming creates a space while no module is deleted, if its own is still there.
func (h *hotSpace) createNaming(ctx context.Context, r *hub.CreateSpace) (bool, error) {
	s := h.server
	s.naming.RLock()
	defer s.naming.RUnlock()
	if _, uploads := s.engine.(module.Checker); uploads {
		if has, err := s.hasBlob(ctx, r.Genesis.Module); err != nil || !has {
			return false, errors.Join(err, module.ErrMissing)
		}
	}
	return s.log.Create(ctx, r.Genesis, r.Signature)
}

// milliseconds returns a wait in full milliseconds, so that who waits for it does not come a moment too early.
func milliseconds(wait time.Duration) uint64 {
	return uint64((wait - 1).Milliseconds()) + 1
}

// failed says why a space could not be opened or created.
func (h *hotSpace) failed(opened *hub.Opened, what string, err error) {
	opened.Instance = nil
	switch code := wire.CodeOf(err); {
	case code != wire.CodeUnknown:
		opened.Code, opened.Reason = code, err.Error()
		return
	case errors.Is(err, module.ErrMissing):
		opened.Code, opened.Reason = wire.CodeModuleMissing, "the server does not have the module"
		return
	case errors.Is(err, ErrFull):
		opened.Code, opened.Reason = wire.CodeServerFull, "the server's storage is full"
		opened.RetryAfterMS = milliseconds(5 * retryFailed)
	default:
		opened.Code, opened.RetryAfterMS = wire.CodeOverloaded, milliseconds(retryFailed)
	}
	if errors.Is(err, hub.ErrDamaged) {
		h.server.unreadable(h.id, err)
		return
	}
	h.server.logger.Error("cannot "+what+" a space", "space", h.id, "error", err)
}

// lookup asks what the log holds under event ids. Authors of what is there are listed, in case a crash came between
// their append and their directory.
func (h *hotSpace) lookup(ctx context.Context, r *hub.Lookup) hub.Input {
	found := hub.Found{Ref: r.Ref}
	for _, author := range r.Authors {
		if err := h.server.accounts.load(ctx, author, false); err != nil {
			h.failedRead("count what authors have, of", err)
			found.Code = wire.CodeOverloaded
			return found
		}
	}
	known, err := h.server.log.Known(ctx, h.id, r.IDs)
	if err != nil {
		h.failedRead("look up events of", err)
		found.Code = wire.CodeOverloaded
		return found
	}
	found.Known = make([]hub.Known, len(known))
	author := ""
	for i := range known {
		k := &known[i]
		found.Known[i] = hub.Known{Seq: k.Seq, Index: k.Index, Count: k.Count, Author: k.Author}
		if k.Seq != 0 && k.Author != author && k.Author != "" && k.Author != h.server.identity {
			author = k.Author
			h.list(ctx, author)
		}
	}
	return found
}

func (h *hotSpace) history(ctx context.Context, r hub.ReadSpan) hub.Input {
	history := hub.ReadHistory(h.server.source(ctx, h.id), &r)
	if history.Code != 0 {
		h.look()
		h.server.unreadable(h.id, history.Err)
	}
	return history
}

// appendBatch makes a batch durable. Its authors are listed before the hub learns of it, and so before any verdict. Who may come
// or go by it is noted, and listed when the hub has it: whoever is told before asks to read, and is refused.
func (h *hotSpace) appendBatch(ctx context.Context, r *hub.Append) hub.Appended {
	s := h.server
	upgraded, err := h.nameModules(ctx, r.Records)
	if r.Adopts && errors.Is(err, module.ErrMissing) {
		return hub.Appended{Outcome: hub.Missing}
	}
	if err != nil {
		s.logger.Error("cannot note the module of a space", "space", h.id, "error", err)
		return hub.Appended{Outcome: hub.Unclear}
	}
	if r.Deletes {
		if err := s.noteDeletion(ctx, h.id, r); err != nil {
			s.logger.Error("cannot note that a space is deleted", "space", h.id, "error", err)
			return hub.Appended{Outcome: hub.Unclear}
		}
	}
	expires, err := s.noteExpiries(ctx, h.id, r.Records)
	if err != nil {
		s.logger.Error("cannot note that records of a space expire", "space", h.id, "error", err)
		return hub.Appended{Outcome: hub.Unclear}
	}
	if err := h.owe(ctx, r, upgraded || r.Deletes); err != nil {
		s.logger.Error("cannot note who takes part in a space", "space", h.id, "error", err)
		return hub.Appended{Outcome: hub.Unclear}
	}
	changes := s.changesIn(h.id, r.Records)
	if err := s.noteChanges(ctx, changes); err != nil {
		s.logger.Error("cannot note what becomes of a space", "space", h.id, "error", err)
		return hub.Appended{Outcome: hub.Unclear}
	}
	begin := time.Now()
	ctx, span := s.tracer.about(ctx, "append", h.id)
	if s.tracer.on() {
		span.SetAttributes(attribute.Int("skerry.records", len(r.Records)), attribute.Int64("skerry.head", int64(r.Next.Seq)))
	}
	h.appending(true)
	defer h.appending(false)
	if len(r.Beside) > 0 {
		err = s.log.AppendClients(ctx, h.id, r.Previous, r.Records, r.Next, changesOf(r.Beside))
	} else {
		err = s.log.Append(ctx, h.id, r.Previous, r.Records, r.Next)
	}
	var head *HeadError
	if errors.As(err, &head) && head.Actual == r.Next {
		err = nil // an earlier call of the same did it
	}
	endSpan(span, err)
	if err == nil {
		s.metrics.appends.Observe(time.Since(begin).Seconds())
		s.metrics.batch.Observe(float64(len(r.Records)))
		if r.Adopts {
			s.metrics.adopted.Add(float64(len(r.Records)))
			s.logger.Info("records that were lost are back", "space", h.id, "records", len(r.Records), "head", r.Next.Seq)
		} else {
			s.metrics.accepted.Add(float64(len(r.Records)))
		}
		s.tellChanges(changes)
		h.readers.committed(s, h, r)
		if expires {
			s.expires(h.id)
		}
		if upgraded {
			k, err := s.newestCheckpoint(ctx, h.id)
			if err == nil {
				h.tellRow(ctx, k, r.Next.Seq)
			}
		}
		author := ""
		for i := range r.Records {
			if name := r.Records[i].Author; name != author && name != "" && name != s.identity {
				author = name
				if !r.Moves(author) {
					h.list(ctx, author)
				}
			}
		}
		return hub.Appended{Outcome: hub.Stored}
	}
	s.metrics.appendErrors.Inc()
	var known *KnownError
	switch {
	case head != nil, errors.As(err, &known), errors.Is(err, ErrDeleted):
		s.logger.Warn("a batch is judged again", "space", h.id, "error", err)
		s.dropChanges(ctx, changes)
		return hub.Appended{Outcome: hub.Stale}
	case errors.Is(err, ErrFull):
		s.logger.Error("the log is full", "space", h.id)
		return hub.Appended{Outcome: hub.Full}
	}
	s.logger.Error("cannot append", "space", h.id, "error", err)
	return hub.Appended{Outcome: hub.Unclear}
}

func (h *hotSpace) loadHead(ctx context.Context, r hub.LoadHead) hub.Input {
	read, err := h.readHead(ctx)
	if err != nil {
		h.server.unreadable(h.id, err)
		read.Code = wire.CodeOverloaded
	}
	read.Ref = r.Ref
	return read
}

// listedBy is forgotten when it has so many entries; more rows that could not be written are not remembered.
const (
	maxListedBy = 4096
	maxUnlisted = 10_000
)

// list sees that the space is in an identity's directory. If the log does not take the row, it is tried again
// later; the records that it belongs to are there already.
func (h *hotSpace) list(ctx context.Context, identity string) {
	h.listed.Lock()
	_, ok := h.listedBy[identity]
	h.listed.Unlock()
	if ok {
		return
	}
	if err := h.server.dir.register(ctx, identity, h.id); err != nil {
		h.server.logger.Error("cannot list a space", "space", h.id, "error", err)
		h.server.mu.Lock()
		if len(h.server.unlisted) < maxUnlisted { // others are listed when they are touched again
			h.server.unlisted[unlisted{identity, h.id}] = struct{}{}
		}
		h.server.mu.Unlock()
		return
	}
	h.listed.Lock()
	defer h.listed.Unlock()
	if h.listedBy == nil || len(h.listedBy) >= maxListedBy {
		h.listedBy = map[string]struct{}{}
	}
	h.listedBy[identity] = struct{}{}
}

// relist tries again to write directory rows that the log did not take.
func (s *Server) relist() {
	s.mu.Lock()
	rows := make([]unlisted, 0, len(s.unlisted))
	for row := range s.unlisted {
		rows = append(rows, row)
	}
	s.mu.Unlock()
	for _, row := range rows {
		if err := s.dir.register(s.work, row.identity, row.id); err != nil {
			return
		}
		s.mu.Lock()
		delete(s.unlisted, row)
		s.mu.Unlock()
	}
}
