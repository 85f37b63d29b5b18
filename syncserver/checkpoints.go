package syncserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// A space keeps its newest checkpoints, and of a checkpoint the pages that no other of its own has. What has to be durable
// before what: the pages, the root, and then the key that names it. A crash between leaves pages that nobody names, which
// the next checkpoint of the space deletes.
const (
	checkpointsKept = 2
	// pageBatch is how many bytes of pages are stored at once.
	pageBatch = 1 << 20
	// bytesPerRecord says when a checkpoint is worth its price: to write so many bytes of pages takes about as long as to
	// apply one record.
	bytesPerRecord = 1 << 10
)

// kept is a checkpoint that the log has.
type kept struct {
	seq  uint64
	root digest.Digest
}

const keptSize = 8 + digest.Size

func checkpointKey(id space.ID) string { return "checkpoint/" + id.String() }

// checkpoints returns what is kept of a space, newest first, and the value of its key.
func (s *Server) checkpoints(ctx context.Context, id space.ID) (list []kept, value []byte, err error) {
	if value, err = s.log.Key(ctx, checkpointKey(id)); err != nil {
		return nil, nil, err
	}
	list, _ = decodeKept(value)
	return list, value, nil
}

// decodeKept reads what encodeKept wrote, and returns what is left behind whole entries.
func decodeKept(b []byte) (list []kept, rest []byte) {
	for rest = b; len(rest) >= keptSize; rest = rest[keptSize:] {
		list = append(list, kept{binary.BigEndian.Uint64(rest), digest.Digest(rest[8:keptSize])})
	}
	return list, rest
}

func encodeKept(list []kept) (b []byte) {
	for _, k := range list {
		b = append(binary.BigEndian.AppendUint64(b, k.seq), k.root[:]...)
	}
	return b
}

// newestCheckpoint returns the newest checkpoint of a space; seq is 0 where there is none.
func (s *Server) newestCheckpoint(ctx context.Context, id space.ID) (kept, error) {
	list, _, err := s.checkpoints(ctx, id)
	if err != nil || len(list) == 0 {
		return kept{}, err
	}
	return list[0], nil
}

// first returns the instance of a space that is being created.
func (h *hotSpace) first(ctx context.Context, genesis *space.Genesis) (module.Instance, error) {
	if beginner, ok := h.server.engine.(program.Beginner); ok {
		return beginner.Begin(genesis, program.Origin{History: h.server.wholeLog(ctx, h.id)})
	}
	return h.server.engine.New(genesis)
}

// instance returns a space's instance: at its newest checkpoint that is good, or else before the first record.
func (h *hotSpace) instance(ctx context.Context, genesis *space.Genesis, head space.Head) (module.Instance, error) {
	s := h.server
	beginner, ok := s.engine.(program.Beginner)
	if !ok {
		return s.engine.New(genesis)
	}
	list, value, err := s.checkpoints(ctx, h.id)
	if err != nil {
		return nil, err
	}
	modules, _, err := modulesOf(ctx, s.log, h.id)
	if err != nil {
		return nil, err
	}
	origin := program.Origin{Upgraded: len(modules) > 0, History: s.wholeLog(ctx, h.id)}
	pending, err := s.pendingExpiry(ctx, h.id)
	if err != nil {
		return nil, err
	}
	gone, err := s.log.Expired(ctx, h.id)
	if err != nil {
		return nil, err
	}
	useful := func(k kept) bool { return k.seq >= gone } // from an older one on, the log has not all
	for n, k := range list {
		if !useful(k) {
			continue
		}
		if origin.Expired = gone; pending.seq <= k.seq {
			origin.Expired = max(gone, pending.upto)
		}
		h.mu.Lock()
		bad, doubted := h.doubted[k.root]
		h.mu.Unlock()
		if !doubted {
			instance, err := h.resume(ctx, beginner, genesis, head, k, origin)
			if err == nil {
				h.mu.Lock()
				h.kept, h.began = k.seq, k
				h.mu.Unlock()
				return instance, nil
			}
			if errors.Is(err, module.ErrMissing) {
				return nil, err
			}
			bad = h.unusable(k, err)
		}
		others := slices.Delete(slices.Clone(list), n, n+1)
		if bad && (gone == 0 || slices.ContainsFunc(others, useful)) {
			h.forgetCheckpoint(ctx, value, list, n)
			return h.instance(ctx, genesis, head)
		}
	}
	if gone > 0 && (genesis.Module != module.Open || origin.Upgraded) {
		return nil, errExpired
	}
	h.mu.Lock()
	h.began = kept{}
	h.mu.Unlock()
	if origin.Expired = gone; genesis.Module == module.Open && !origin.Upgraded { // which passes over the record
		origin.Expired = max(gone, pending.upto)
	}
	return beginner.Begin(genesis, origin)
}

// unusable tells of a checkpoint that cannot be used, and reports whether that is for ever.
func (h *hotSpace) unusable(k kept, err error) bool {
	h.server.metrics.unusable.Inc()
	h.server.logger.Warn("a checkpoint cannot be used", "space", h.id, "record", k.seq, "error", err)
	return errors.Is(err, tables.ErrBadCheckpoint) || errors.Is(err, ErrNoBlob)
}

// lost notes that the instance cannot go on with the checkpoint that it began with, so that the next one does not begin
// with that. If it could not be read for another reason than damage, it stays for later.
func (h *hotSpace) lost(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.doubted == nil {
		h.doubted = map[digest.Digest]bool{}
	}
	h.doubted[h.began.root] = h.unusable(h.began, err)
	h.place = nil // it has the same pages
}

// resume returns an instance at a checkpoint.
func (h *hotSpace) resume(ctx context.Context, engine program.Beginner, genesis *space.Genesis, head space.Head, k kept, at program.Origin) (module.Instance, error) {
	s := h.server
	root, err := s.log.Page(ctx, k.root)
	if err != nil {
		return nil, err
	}
	of, _, err := tables.ReadRoot(root)
	if err == nil && digest.Of(root) != k.root {
		err = tables.ErrBadCheckpoint
	}
	if err != nil {
		return nil, err
	}
	if of.Space != h.id || of.Seq != k.seq {
		return nil, fmt.Errorf("%w: it is of record %d of space %v", tables.ErrBadCheckpoint, of.Seq, of.Space)
	}
	if of.Seq > head.Seq {
		return nil, fmt.Errorf("%w: the log ends at %d", tables.ErrBadCheckpoint, head.Seq)
	}
	chain, err := hub.ChainAt(s.source(ctx, h.id), of.Seq)
	if err != nil {
		return nil, err
	}
	if chain != of.Chain {
		return nil, fmt.Errorf("%w: it is of another history", tables.ErrBadCheckpoint)
	}
	at.Root, at.Page = root, func(name digest.Digest) ([]byte, error) { return s.log.Page(ctx, name) }
	return engine.Begin(genesis, at)
}

// checkWhole reads all that a checkpoint of a space consists of, and says what is wrong with it.
func checkWhole(ctx context.Context, log Log, id space.ID, k kept) error {
	root, err := log.Page(ctx, k.root)
	if err != nil {
		return fmt.Errorf("the checkpoint of record %d has no root %s: %w", k.seq, k.root, err)
	}
	of, pages, err := tables.ReadRoot(root)
	if err != nil || digest.Of(root) != k.root || of.Space != id || of.Seq != k.seq {
		return fmt.Errorf("the checkpoint of record %d: %w: what is stored as its root %s is none of that", k.seq, tables.ErrBadCheckpoint, k.root)
	}
	for _, name := range pages {
		page, err := log.Page(ctx, name)
		if err == nil && digest.Of(page) != name {
			err = fmt.Errorf("%w: its bytes are others", tables.ErrBadCheckpoint)
		}
		if err != nil {
			return fmt.Errorf("the checkpoint of record %d lacks its page %s: %w", k.seq, name, err)
		}
	}
	return nil
}

// forgetCheckpoint takes one that is no good off the list, with the pages that no other one has: so what is damaged is
// written anew with the next.
func (h *hotSpace) forgetCheckpoint(ctx context.Context, value []byte, list []kept, n int) {
	s := h.server
	left := slices.Delete(slices.Clone(list), n, n+1)
	if done, err := s.log.CompareAndSet(ctx, checkpointKey(h.id), value, encodeKept(left)); err != nil || !done {
		s.logger.Error("cannot forget a checkpoint", "space", h.id, "error", err)
		return
	}
	if err := s.sweepPages(ctx, h.id, left); err != nil {
		s.logger.Error("cannot delete pages", "space", h.id, "error", err)
	}
}

// sweepPages deletes the pages of a space that none of its checkpoints has.
func (s *Server) sweepPages(ctx context.Context, id space.ID, list []kept) error {
	names, err := s.log.Pages(ctx, id)
	if err != nil {
		return err
	}
	named := map[digest.Digest]bool{}
	for _, k := range list {
		root, err := s.log.Page(ctx, k.root)
		if err != nil {
			return err
		}
		_, pages, err := tables.ReadRoot(root)
		if err != nil {
			return err
		}
		named[k.root] = true
		for _, name := range pages {
			named[name] = true
		}
	}
	names = slices.DeleteFunc(names, func(name digest.Digest) bool { return named[name] })
	for some := range slices.Chunk(names, 1000) {
		if err := s.log.DeletePages(ctx, id, some); err != nil {
			return err
		}
	}
	return nil
}

// wholeLog returns a reader of the log, for modules that make their tables of it.
func (s *Server) wholeLog(ctx context.Context, id space.ID) func(uint64, uint64, func([]space.Record) error) error {
	return historyOf(ctx, s.log, id)
}

// keep sees that a checkpoint is written, if it is worth that. While one is being written only the newest one waits.
func (h *hotSpace) keep(c *program.Checkpoint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keepLocked(c)
}

// keepLocked is keep, or has that be written that waits, if c is nil; it reports whether something is written or waits. What records wait
// for that have expired is always worth it, and stays so until it, or something behind it, is written.
func (h *hotSpace) keepLocked(c *program.Checkpoint) bool {
	if c != nil && h.place != nil {
		c.Expired = max(c.Expired, h.place.Expired)
	}
	if c != nil && (c.Expired > 0 || tables.IsDue(h.kept, c.Seq, uint64(c.Tables.Fresh()/bytesPerRecord))) {
		h.place, h.placeOf = c, h.began.root
	}
	if h.place != nil && !h.keeping {
		h.keeping = h.server.spawn(h.keepAll)
	}
	return h.keeping
}

// spoiled tells the hub that pages of a checkpoint are missing, if its instance began with that and it does not know.
func (h *hotSpace) spoiled(root digest.Digest, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.doubted[root]; !known && root == h.began.root {
		h.postLocked(hub.Spoiled{Err: err})
	}
}

// keepAll writes checkpoints until none waits.
func (h *hotSpace) keepAll() {
	s := h.server
	defer h.done(func() { h.keeping = false })
	for {
		h.mu.Lock()
		c, of := h.place, h.placeOf
		h.place = nil
		h.mu.Unlock()
		if c == nil {
			return
		}
		ctx, span := s.tracer.about(s.work, "checkpoint", h.id)
		k, made, err := h.write(ctx, c)
		endSpan(span, err)
		if errors.Is(err, ErrDeleted) {
			return
		}
		if err != nil {
			s.logger.Error("cannot keep a checkpoint", "space", h.id, "record", c.Seq, "error", err)
			if errors.Is(err, tables.ErrPage) {
				h.spoiled(of, err)
			} else if c.Expired > 0 {
				h.mu.Lock()
				if h.place == nil {
					h.place, h.placeOf = c, of // tried again before what has expired is freed
				}
				h.mu.Unlock()
			}
			return
		}
		if made {
			s.metrics.checkpoints.Inc()
		}
		h.mu.Lock()
		h.kept = k.seq
		h.mu.Unlock()
		h.tellRow(s.work, k, k.seq)
		if c.Expired > 0 {
			s.expires(h.id)
		}
	}
}

// write writes a checkpoint: what is new of its pages, its root, and then its name. It makes none, which is no error, where one of that record
// or of a later one is kept: it may have been asked for twice, or another server has kept it.
func (h *hotSpace) write(ctx context.Context, c *program.Checkpoint) (k kept, made bool, err error) {
	s := h.server
	list, value, err := s.checkpoints(ctx, h.id)
	if err != nil {
		return k, false, err
	}
	if len(list) > 0 && list[0].seq >= c.Seq {
		return list[0], false, nil
	}
	chain, err := hub.ChainAt(s.source(ctx, h.id), c.Seq)
	if err != nil {
		return k, false, err
	}
	names, err := s.log.Pages(ctx, h.id)
	if err != nil {
		return k, false, err
	}
	stored := make(map[digest.Digest]bool, len(names))
	for _, name := range names {
		stored[name] = true
	}
	w := pageWriter{ctx: ctx, log: s.log, id: h.id, stored: stored}
	of := tables.Checkpoint{Space: h.id, Seq: c.Seq, Chain: chain, Module: c.Module, ABI: c.ABI}
	root, err := c.Tables.AppendCheckpoint(nil, &of, w.page)
	if err == nil {
		err = w.flush()
	}
	if err != nil {
		return k, false, err
	}
	k = kept{c.Seq, digest.Of(root)}
	if err := s.log.PutPages(ctx, h.id, []Page{{Name: k.root, Bytes: root}}); err != nil {
		return k, false, err
	}
	list = append([]kept{k}, list[:min(len(list), checkpointsKept-1)]...)
	if done, err := s.log.CompareAndSet(ctx, checkpointKey(h.id), value, encodeKept(list)); err != nil || !done {
		return k, false, errors.Join(err, errors.New("another server keeps checkpoints of the space"))
	}
	return k, true, s.sweepPages(ctx, h.id, list)
}

// pageWriter stores the pages that a space does not have yet, many at a time.
type pageWriter struct {
	ctx    context.Context
	log    Log
	id     space.ID
	stored map[digest.Digest]bool
	pages  []Page
	bytes  int
}

func (w *pageWriter) page(name digest.Digest, content func() ([]byte, error)) error {
	if w.stored[name] {
		return nil
	}
	page, err := content()
	if err != nil {
		return err
	}
	w.stored[name] = true
	w.pages = append(w.pages, Page{name, bytes.Clone(page)})
	if w.bytes += len(page); w.bytes >= pageBatch {
		return w.flush()
	}
	return nil
}

func (w *pageWriter) flush() error {
	if len(w.pages) == 0 {
		return nil
	}
	err := w.log.PutPages(w.ctx, w.id, w.pages)
	w.pages, w.bytes = nil, 0
	return err
}

// tellRow tells the subscribers of a checkpoint, or another module, each when it has come to the record.
func (h *hotSpace) tellRow(ctx context.Context, k kept, seq uint64) {
	row, err := h.server.dir.row(ctx, h.id, wire.SpacePresent)
	if err != nil {
		h.server.logger.Error("cannot read the row of a space", "space", h.id, "error", err)
		return
	}
	if row.State != wire.SpacePresent {
		return
	}
	row.CheckpointSeq, row.Checkpoint = k.seq, k.root
	if row.Expired, err = h.server.log.Expired(ctx, h.id); err != nil {
		h.server.logger.Error("cannot read up to where a space has expired", "space", h.id, "error", err)
		return
	}
	h.mu.Lock()
	watchers := make([]*connection, 0, len(h.watchers))
	for _, c := range h.watchers {
		watchers = append(watchers, c)
	}
	h.mu.Unlock()
	for _, c := range watchers {
		c.step(hub.Kept{Row: &row, Seq: seq})
	}
}
