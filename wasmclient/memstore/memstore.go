// Package memstore keeps a replica in memory.
//
// It is the store of programs that need not survive a restart, of pages whose browser gives them no storage, and
// of tests. It is the reference too: [replica.Model] behind a lock.
//
// [New] makes a replica and returns a handle on it; [Store.Handle] gives another one on the same data, as a second
// tab has. Closing a handle closes nothing else: the data lives as long as any handle is referenced.
//
// Stable: New, Config and the methods of Store.
package memstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/gate"
)

// Config says whose replica is made.
type Config struct {
	Identity string
	Session  wire.SessionID // random if zero

	// Fail, when not nil, is asked before each commit is applied, before a module is kept, with a strict commit of
	// nothing, and before a checkpoint is, with a relaxed one. Its error becomes the commit's, with nothing written:
	// tests play full devices and aborted transactions with it. It must not call the store.
	Fail func(*replica.Commit) error
}

// Store is a handle on a replica in memory. It implements [wasmclient.Store], [wasmclient.Suspender] and
// [wasmclient.Renewer].
type Store struct {
	data *data
	gate gate.Gate

	mu     sync.Mutex // taken before data.mu
	closed bool
	life   int // of the replica that this handle is of
}

type data struct {
	fail  func(*replica.Commit) error
	mu    sync.Mutex
	model *replica.Model
	life  int  // how often another replica took its place
	gone  bool // it was erased, and nobody has opened it since
	anew  bool // somebody has
}

var (
	_ wasmclient.Store     = (*Store)(nil)
	_ wasmclient.Suspender = (*Store)(nil)
	_ wasmclient.Renewer   = (*Store)(nil)
)

// New makes an empty replica and returns a handle on it.
func New(c Config) *Store {
	if c.Session == (wire.SessionID{}) {
		draw(c.Session[:])
	}
	return &Store{data: &data{fail: c.Fail, model: replica.NewModel(c.Identity, c.Session)}}
}

// Handle returns another handle on the same replica, open even if s is closed.
func (s *Store) Handle() *Store {
	s.data.mu.Lock()
	defer s.data.mu.Unlock()
	if s.data.gone {
		s.data.gone, s.data.anew = false, true
		s.data.renew()
	}
	return &Store{data: s.data, life: s.data.life}
}

// Delete destroys the replica: an empty one of the same identity is in its place. Calls by handles that are there fail
// with [wasmclient.ErrReplicaLost] until [Store.Renew].
func (s *Store) Delete() {
	s.data.mu.Lock()
	defer s.data.mu.Unlock()
	s.data.gone, s.data.anew = false, false
	s.data.renew()
}

func (d *data) renew() {
	var session wire.SessionID
	draw(session[:])
	d.model = replica.NewModel(d.model.Load().Meta.Identity, session)
	d.life++
}

// Renew implements [wasmclient.Renewer].
func (s *Store) Renew(ctx context.Context, _ string) error {
	s.mu.Lock()
	s.data.mu.Lock()
	if !s.data.anew {
		s.life = s.data.life
	}
	s.data.mu.Unlock()
	s.mu.Unlock()
	return s.with(ctx, func(*replica.Model) {})
}

// with calls f on the model, alone.
func (s *Store) with(ctx context.Context, f func(*replica.Model)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	life := s.life
	s.mu.Unlock()
	if err := s.gate.Enter(ctx); err != nil {
		return err
	}
	defer s.gate.Leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return wasmclient.ErrStoreClosed
	}
	s.data.mu.Lock()
	defer s.data.mu.Unlock()
	if s.data.life != life {
		if s.data.anew {
			return wasmclient.ErrForgotten
		}
		return wasmclient.ErrReplicaLost
	}
	if s.data.gone {
		return wasmclient.ErrForgotten
	}
	f(s.data.model)
	return nil
}

// refuses asks whether a commit fails, again without the checkpoints where there is no room, and then without modules that
// can be fetched again.
func (d *data) refuses(c *replica.Commit) error {
	if d.fail == nil {
		return nil
	}
	err := d.fail(c)
	if errors.Is(err, wasmclient.ErrFull) && d.model.DropCheckpoints() {
		err = d.fail(c)
	}
	small := !slices.ContainsFunc(c.Spaces, func(s replica.SpaceCommit) bool { return len(s.Records) > 0 })
	if errors.Is(err, wasmclient.ErrFull) && small && len(c.Spaces) > 0 && d.model.DropModules() {
		err = d.fail(c)
	}
	return err
}

// Load implements [wasmclient.Store].
func (s *Store) Load(ctx context.Context) (loaded *replica.Loaded, err error) {
	err = s.with(ctx, func(m *replica.Model) { loaded = m.Load() })
	return loaded, err
}

// Changes implements [wasmclient.Store].
func (s *Store) Changes(ctx context.Context, after uint64) (changes *replica.Changes, err error) {
	err = s.with(ctx, func(m *replica.Model) { changes = m.Changes(after) })
	return changes, err
}

// RaiseEpoch implements [wasmclient.Store].
func (s *Store) RaiseEpoch(ctx context.Context) (loaded *replica.Loaded, err error) {
	err = s.with(ctx, func(m *replica.Model) { loaded = m.RaiseEpoch() })
	return loaded, err
}

// Commit implements [wasmclient.Store].
func (s *Store) Commit(ctx context.Context, commit *replica.Commit) (result *replica.CommitResult, err error) {
	var failed error
	err = s.with(ctx, func(m *replica.Model) {
		if failed = s.data.refuses(commit); failed != nil {
			return
		}
		result, failed = m.Commit(commit)
		s.data.gone = commit.Erase && failed == nil && !result.Stale
	})
	if err == nil {
		err = failed
	}
	return result, err
}

// Refresh implements [wasmclient.Store].
func (s *Store) Refresh(ctx context.Context, id space.ID) (snapshot *replica.Snapshot, err error) {
	err = s.with(ctx, func(m *replica.Model) { snapshot = m.Refresh(id) })
	return snapshot, err
}

// Outbox implements [wasmclient.Store].
func (s *Store) Outbox(ctx context.Context, id space.ID, after uint64, maxBytes int) (rows []replica.OutboxRow, err error) {
	err = s.with(ctx, func(m *replica.Model) { rows = m.Outbox(id, after, maxBytes) })
	return rows, err
}

// Rejected implements [wasmclient.Store].
func (s *Store) Rejected(ctx context.Context, id space.ID) (rows []replica.RejectedRow, err error) {
	err = s.with(ctx, func(m *replica.Model) { rows = m.Rejected(id) })
	return rows, err
}

// Lost implements [wasmclient.Store].
func (s *Store) Lost(ctx context.Context, id space.ID) (rows []replica.LostRow, err error) {
	err = s.with(ctx, func(m *replica.Model) { rows = m.Lost(id) })
	return rows, err
}

// Read implements [wasmclient.Store].
func (s *Store) Read(ctx context.Context, id space.ID, after uint64, limit, maxBytes int) (records []space.Record, err error) {
	err = s.with(ctx, func(m *replica.Model) { records = m.Read(id, after, limit, maxBytes) })
	return records, err
}

// ReadBefore implements [wasmclient.Store].
func (s *Store) ReadBefore(ctx context.Context, id space.ID, before uint64, limit, maxBytes int) (records []space.Record, err error) {
	err = s.with(ctx, func(m *replica.Model) { records = m.ReadBefore(id, before, limit, maxBytes) })
	return records, err
}

// Module implements [wasmclient.Store].
func (s *Store) Module(ctx context.Context, d digest.Digest) (module []byte, err error) {
	err = s.with(ctx, func(m *replica.Model) { module = m.Module(d) })
	return module, err
}

// PutModule implements [wasmclient.Store].
func (s *Store) PutModule(ctx context.Context, d digest.Digest, module []byte) error {
	var failed error
	err := s.with(ctx, func(m *replica.Model) {
		if failed = s.data.refuses(&replica.Commit{Strict: true}); failed != nil {
			return
		}
		if !m.PutModule(d, module) {
			failed = wasmclient.ErrDamaged
		}
	})
	if err == nil {
		err = failed
	}
	return err
}

// CollectModules implements [wasmclient.Store].
func (s *Store) CollectModules(ctx context.Context, _ *replica.ModuleNames, now uint64) error {
	return s.with(ctx, func(m *replica.Model) { m.CollectModules(now) })
}

// DamageModule changes a bit of a module that is kept, as disks do, for tests.
func (s *Store) DamageModule(d digest.Digest) {
	s.data.mu.Lock()
	defer s.data.mu.Unlock()
	s.data.model.DamageModule(d)
}

// Checkpoint implements [wasmclient.Store].
func (s *Store) Checkpoint(ctx context.Context, id space.ID) (c *replica.Checkpoint, err error) {
	err = s.with(ctx, func(m *replica.Model) { c = m.Checkpoint(id) })
	return c, err
}

// CheckpointPages implements [wasmclient.Store].
func (s *Store) CheckpointPages(ctx context.Context, id space.ID, names []digest.Digest) (pages map[digest.Digest][]byte, err error) {
	err = s.with(ctx, func(m *replica.Model) { pages = m.CheckpointPages(id, names) })
	return pages, err
}

// PutCheckpoint implements [wasmclient.Store].
func (s *Store) PutCheckpoint(ctx context.Context, id space.ID, c *replica.Checkpoint) error {
	var failed error
	err := s.with(ctx, func(m *replica.Model) {
		if s.data.fail != nil {
			failed = s.data.fail(&replica.Commit{})
		}
		if failed == nil && !m.PutCheckpoint(id, c) {
			failed = fmt.Errorf("keep a checkpoint of %v: a page is not here: %w", id, wasmclient.ErrDamaged)
		}
	})
	if err == nil {
		err = failed
	}
	return err
}

// DropCheckpoint implements [wasmclient.Store].
func (s *Store) DropCheckpoint(ctx context.Context, id space.ID) error {
	return s.with(ctx, func(m *replica.Model) { m.DropCheckpoint(id) })
}

// DamagePage changes a bit of a page or a root that is kept, as disks do, or loses it, for tests.
func (s *Store) DamagePage(d digest.Digest, lose bool) {
	s.data.mu.Lock()
	defer s.data.mu.Unlock()
	s.data.model.DamagePage(d, lose)
}

// Suspend implements [wasmclient.Suspender], of this handle only.
func (s *Store) Suspend(ctx context.Context) error { return s.gate.Shut(ctx) }

// Resume implements [wasmclient.Suspender].
func (s *Store) Resume() { s.gate.Open() }

// Close implements [wasmclient.Store]. It closes this handle only.
func (s *Store) Close() error {
	defer s.gate.Open()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
