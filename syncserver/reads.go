package syncserver

import (
	"context"
	"errors"
	"slices"
	"sync"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// readRows is the most records in one message of events or one page.
const readRows = 500

// readCache is what a hot space remembers for its readers: its newest records, and reads that others wait for too.
type readCache struct {
	mu      sync.Mutex
	tail    *tail
	flights map[uint64][]*flight // reads of the log under way, by where they begin
}

// flight is one read of the log with everybody who wants its result.
type flight struct {
	read    hub.ReadEvents
	started bool // the log is being read
	waiting []waiting
}

// waiting is one connection that waits for a flight, with the reference of its own request. One that came late, after
// the log was read perhaps, may know of newer records: to it, that there are none is no answer.
type waiting struct {
	c    *connection
	ref  uint64
	late bool
}

// drop forgets what is remembered.
func (r *readCache) drop(s *Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.tails.Add(-r.tail.size())
	r.tail = nil
}

// committed adds a durable batch to the tail, if anybody watches the space.
func (r *readCache) committed(s *Server, h *hotSpace, batch *hub.Append) {
	h.mu.Lock()
	watched := len(h.watchers) > 0
	h.mu.Unlock()
	if !watched {
		r.drop(s)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.tail.size()
	if r.tail == nil || !r.tail.endsAt(batch.Previous) {
		r.tail = newTail(batch.Previous.Position())
	}
	limit := tailBytes
	if s.tails.Load() > tailBudget {
		limit = tailFew
	}
	r.tail.add(batch.Records, limit)
	s.tails.Add(r.tail.size() - before)
}

// readEvents answers a subscriber's request for the records after its place: at once if they are in memory. The
// connection is locked.
func (s *Server) readEvents(c *connection, read hub.ReadEvents) {
	h := c.watching[read.Space]
	if h == nil {
		c.stepLocked(hub.EventsRead{Space: read.Space, Ref: read.Ref, Code: wire.CodeInternal})
		return
	}
	h.mu.Lock()
	if read.Until == 0 || read.Until > h.head {
		read.Until = h.head // past it nobody has been asked yet whether this connection may read
	}
	h.mu.Unlock()
	r := &h.readers
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tail != nil {
		if result, ok := r.tail.read(s.hub, &read); ok {
			if len(result.Message) > 0 {
				s.metrics.tailFrames.Inc()
				s.metrics.fanout.Add(float64(result.Position.Seq - read.After))
			}
			c.stepLocked(result)
			return
		}
	}
	for _, f := range r.flights[read.After] {
		same := f.read.Chain == read.Chain && f.read.MaxBytes == read.MaxBytes && f.read.MaxRecords == read.MaxRecords
		if same && (f.read.Until == read.Until || f.read.Until > read.After && f.read.Until < read.Until) {
			f.waiting = append(f.waiting, waiting{c, read.Ref, f.started})
			return
		}
	}
	s.takeOffLocked(r, &flight{read: read, waiting: []waiting{{c: c, ref: read.Ref}}})
}

func (s *Server) takeOffLocked(r *readCache, f *flight) {
	if s.spawn(func() { s.fly(r, f) }) {
		if r.flights == nil {
			r.flights = map[uint64][]*flight{}
		}
		r.flights[f.read.After] = append(r.flights[f.read.After], f)
	}
}

// fly reads the log and gives the result to everybody who waits for it.
func (s *Server) fly(r *readCache, f *flight) {
	r.mu.Lock()
	f.started = true
	r.mu.Unlock()
	result := hub.EventsRead{Space: f.read.Space, Code: wire.CodeInternal}
	defer func() {
		if failure := recover(); failure != nil {
			s.panicked("in a read", failure, "space", f.read.Space)
		}
		for _, w := range s.land(r, f, &result) {
			answer := result
			answer.Ref = w.ref
			if len(result.Message) > 0 {
				s.metrics.fanout.Add(float64(result.Position.Seq - f.read.After))
			}
			w.c.step(answer)
		}
	}()
	read, err := s.readAfter(s.work, &f.read)
	if errors.Is(err, ErrDeleted) {
		result.Code = wire.CodeDeleted
		return
	}
	if wire.CodeOf(err) == wire.CodeResumeGone {
		result.Code = wire.CodeResumeGone
		return
	}
	if err != nil {
		s.unreadable(f.read.Space, err)
		return
	}
	result = read
}

// land ends a flight and returns whom its result answers. The others fly again.
func (s *Server) land(r *readCache, f *flight, result *hub.EventsRead) []waiting {
	r.mu.Lock()
	defer r.mu.Unlock()
	flights := slices.DeleteFunc(r.flights[f.read.After], func(other *flight) bool { return other == f })
	if r.flights[f.read.After] = flights; len(flights) == 0 {
		delete(r.flights, f.read.After)
	}
	if result.Code != 0 || len(result.Message) > 0 {
		return f.waiting
	}
	again := &flight{read: f.read}
	var answered []waiting
	for _, w := range f.waiting {
		if w.late {
			again.waiting = append(again.waiting, waiting{c: w.c, ref: w.ref})
		} else {
			answered = append(answered, w)
		}
	}
	if len(again.waiting) > 0 {
		s.takeOffLocked(r, again)
	}
	return answered
}

// readAfter reads the records after a place from the log and makes them a message.
func (s *Server) readAfter(ctx context.Context, read *hub.ReadEvents) (hub.EventsRead, error) {
	result := hub.EventsRead{Space: read.Space}
	var records []space.Record
	if read.Until > read.After {
		var err error
		most := int(min(uint64(read.MaxRecords), read.Until-read.After))
		records, err = s.log.Read(ctx, read.Space, read.After, most, read.MaxBytes)
		if err == nil {
			err = goneBefore(records)
		}
		if err != nil {
			return result, err
		}
		if err = hub.Verify(s.source(ctx, read.Space), read.Chain, records); err != nil {
			return result, err
		}
	}
	head, err := s.log.Head(ctx, read.Space)
	if err != nil {
		return result, err
	}
	if result.Head = head.Seq; read.Until <= read.After {
		result.Head = min(head.Seq, read.After) // there may be more, for which the connection is woken
	}
	result.Message, result.Position = hub.EventsMessage(s.hub, read.Space, read.Chain, records)
	return result, nil
}

// source is the log of one space as the hub reads it.
type source struct {
	ctx context.Context
	log Log
	id  space.ID
}

func (s *Server) source(ctx context.Context, id space.ID) source { return source{ctx, s.log, id} }

// Read implements [hub.Source].
func (s source) Read(after uint64, maxRecords, maxBytes int) ([]space.Record, error) {
	return s.log.Read(s.ctx, s.id, after, maxRecords, maxBytes)
}

// ChainBefore implements [hub.Source].
func (s source) ChainBefore(seq uint64) (space.Position, error) {
	return s.log.ChainBefore(s.ctx, s.id, seq)
}

// check answers whether a connection may read a space from a position on. The connection is locked.
func (s *Server) check(c *connection, check hub.CheckPosition) {
	s.ask(check.Space, c.id, c.identities, func(answer hub.Answer) {
		checked := hub.Checked{
			Space: check.Space, Ref: check.Ref, Exists: answer.Exists, MayRead: answer.MayRead, Code: answer.Code, Seq: answer.Seq,
		}
		if answer.Code == wire.CodeOverloaded {
			checked.Code = wire.CodeInternal // which is how a subscription says it
		}
		if answer.Code != 0 || !answer.Exists {
			c.step(checked)
			return
		}
		c.spawn(func() {
			if err := s.checkLog(s.work, check, &checked); errors.Is(err, ErrDeleted) {
				checked.Code = wire.CodeDeleted
			} else if err != nil {
				s.unreadable(check.Space, err)
				checked.Code = wire.CodeInternal
			}
			c.step(checked)
		})
	})
}

func (s *Server) checkLog(ctx context.Context, check hub.CheckPosition, checked *hub.Checked) (err error) {
	if checked.Head, err = s.log.Head(ctx, check.Space); err != nil {
		return err
	}
	// Before a client is told that its history is another one: is this one what was made durable?
	switch {
	case check.Seq == checked.Head.Seq:
		if checked.Chain = checked.Head.Chain; checked.Chain != check.Chain {
			err = s.verifyHead(ctx, check.Space, checked.Head)
		}
	case check.Seq < checked.Head.Seq:
		if checked.Chain, err = hub.ChainAt(s.source(ctx, check.Space), check.Seq); err == nil && checked.Chain != check.Chain {
			checked.Chain, err = hub.ProvenAt(s.source(ctx, check.Space), check.Space, check.Seq)
		}
	}
	if err != nil {
		return err
	}
	if !checked.MayRead {
		return nil
	}
	if checked.Expired, err = s.log.Expired(ctx, check.Space); err != nil {
		return err
	}
	kept, err := s.newestCheckpoint(ctx, check.Space)
	if err != nil {
		return err
	}
	if check.NeedRow || kept.seq > 0 {
		row, err := s.dir.row(ctx, check.Space, wire.SpacePresent)
		if err != nil {
			return err
		}
		if row.State != wire.SpacePresent {
			return ErrDeleted
		}
		row.CheckpointSeq, row.Checkpoint, row.Expired = kept.seq, kept.root, checked.Expired
		checked.Row = &row
	}
	return nil
}

// readPage answers a request for a page, if the connection may read the space. The connection is locked.
func (s *Server) readPage(c *connection, fetch *wire.Fetch) {
	s.ask(fetch.Space, c.id, c.identities, func(answer hub.Answer) {
		refused := hub.PageRead{Ref: fetch.Ref, Code: answer.Code}
		switch {
		case answer.Code != 0:
		case !answer.Exists:
			refused.Code, refused.Reason = wire.CodeUnknownSpace, "the server has no such space"
		case !answer.MayRead:
			refused.Code = wire.CodeForbidden
		default:
			c.spawn(func() {
				var message []byte
				head, err := s.log.Head(s.work, fetch.Space)
				if err == nil {
					message, err = hub.PageMessage(s.hub, s.source(s.work, fetch.Space), min(head.Seq, answer.Seq), fetch)
				}
				if errors.Is(err, ErrDeleted) {
					c.step(hub.PageRead{Ref: fetch.Ref, Code: wire.CodeDeleted})
					return
				}
				if wire.CodeOf(err) == wire.CodeResumeGone {
					c.step(hub.PageRead{Ref: fetch.Ref, Code: wire.CodeResumeGone, Reason: reason(err)})
					return
				}
				if err != nil {
					s.unreadable(fetch.Space, err)
					c.step(hub.PageRead{Ref: fetch.Ref, Code: wire.CodeOverloaded})
					return
				}
				c.step(hub.PageRead{Ref: fetch.Ref, Message: message})
			})
			return
		}
		c.step(refused)
	})
}

// readBlob answers a request for a part of a blob. The connection is locked.
func (s *Server) readBlob(c *connection, read hub.ReadBlob) {
	c.spawn(func() {
		result := hub.BlobRead{Ref: read.Ref, Offset: read.Offset}
		content, err := s.blob(s.work, read.Digest)
		switch {
		case errors.Is(err, ErrNoBlob):
			result.Code, result.Reason = wire.CodeNotFound, "the server does not have these bytes"
		case err != nil:
			s.logger.Error("cannot read a blob", "digest", read.Digest, "error", err)
			result.Code = wire.CodeOverloaded
		case read.Offset > uint64(len(content)):
			result.Code, result.Reason = wire.CodeNotFound, "the offset is past the end"
		default:
			result.Total = uint64(len(content))
			rest := content[read.Offset:]
			result.Bytes = rest[:min(len(rest), max(read.MaxBytes, 1))]
		}
		c.step(result)
	})
}

// blob returns bytes by their digest: a module that is part of this build, what was uploaded, or a part of a checkpoint. Who
// knows a part's digest was told it as one who may read the space, or knows the bytes.
func (s *Server) blob(ctx context.Context, name digest.Digest) ([]byte, error) {
	if content := builtin.Bytes(name); content != nil {
		return content, nil
	}
	content, err := s.log.Blob(ctx, name)
	if errors.Is(err, ErrNoBlob) {
		return s.log.Page(ctx, name)
	}
	return content, err
}

// storeBlob checks a module that a client uploaded and stores it, or says whether it is stored. The connection is
// locked.
func (s *Server) storeBlob(c *connection, store hub.StoreBlob) {
	c.spawn(func() {
		stored, err := s.hasBlob(s.work, store.Digest)
		if err == nil && !stored && store.Bytes != nil {
			stored, err = s.storeModule(c, store.Digest, store.Bytes)
		} else if err == nil {
			stored, err = s.putModule(s.work, store.Digest, nil)
		}
		result := hub.BlobStored{Stored: stored && err == nil}
		if err != nil {
			switch code := wire.CodeOf(err); {
			case code != wire.CodeUnknown:
				result.Code, result.Reason = code, reason(err)
			case errors.Is(err, ErrFull):
				result.Code, result.Reason = wire.CodeServerFull, "the server's storage is full"
			default:
				s.logger.Error("cannot store a module", "digest", store.Digest, "error", err)
				result.Code = wire.CodeOverloaded
			}
		}
		c.step(result)
	})
}

// storeModule stores a module that is not there, if it is one, and whoever uploads it may have it.
func (s *Server) storeModule(c *connection, name digest.Digest, content []byte) (stored bool, err error) {
	uploader := ""
	if len(c.identities) > 0 {
		uploader = c.identities[0]
	}
	if err := s.accounts.load(s.work, uploader, true); err != nil {
		return false, err
	}
	module := map[string]taken{uploader: {modules: 1}}
	if reason := s.accounts.reserve(module); reason != "" {
		return false, wire.Errorf(wire.CodeOverQuota, "%s", reason)
	}
	kept := false
	defer func() { s.accounts.settle(module, kept) }()
	if err = s.admitModule(c); err == nil {
		err = s.checkModule(name, content)
	}
	if err == nil {
		err = s.noteUploader(s.work, uploader, name)
	}
	if err == nil {
		kept = true // as far as is known
		stored, err = s.putModule(s.work, name, content)
	}
	return stored, err
}

// reason returns what a coded error says beside its code.
func reason(err error) string {
	var coded *wire.CodeError
	if errors.As(err, &coded) {
		return coded.Reason
	}
	return err.Error()
}

func (s *Server) hasBlob(ctx context.Context, name digest.Digest) (bool, error) {
	if builtin.Bytes(name) != nil {
		return true, nil
	}
	return s.log.HasBlob(ctx, name)
}

// checkModule says what is wrong with a module that somebody uploads.
func (s *Server) checkModule(name digest.Digest, content []byte) error {
	checker, ok := s.engine.(module.Checker)
	if !ok {
		return wire.Errorf(wire.CodeUnsupported, "this server runs no modules but those that are built in")
	}
	if digest.Of(content) != name {
		return wire.Errorf(wire.CodeBadModule, "the bytes do not have the digest %s", name)
	}
	return checker.Check(content)
}

// putModule stores a module that was checked, if there are bytes, and reports whether it is stored. Then it is not deleted
// before Config.ModulesKept has passed.
func (s *Server) putModule(ctx context.Context, name digest.Digest, content []byte) (bool, error) {
	s.naming.RLock()
	defer s.naming.RUnlock()
	stored, err := s.hasBlob(ctx, name)
	if err == nil && !stored && content != nil {
		stored, err = true, s.log.PutBlob(ctx, name, content)
	}
	if err == nil && stored {
		err = s.used(ctx, name)
	}
	return stored, err
}
