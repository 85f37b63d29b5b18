// Package memlog is a [syncserver.Log] in memory: the reference that others are compared with, and the log of
// tests and simulations.
//
// [New] returns an empty log. It keeps the promises of the interface except the one it cannot: nothing survives
// the process. It is built to be obviously right, one mutex and no cleverness, and not to be fast.
//
// After [Log.Close] every call fails. Stable: [New] and the interface.
package memlog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
)

// errClosed is what every call returns after Close.
var errClosed = errors.New("memlog: the log is closed")

// Log is a log in memory. Make one with [New].
type Log struct {
	mu      sync.Mutex
	closed  bool
	spaces  map[space.ID]*log
	blobs   map[digest.Digest][]byte
	keys    map[string][]byte
	limits  map[string]int64
	clients map[wire.ConnectionID]map[string]syncserver.Client
	watches map[*watch]struct{}
}

var _ syncserver.Log = (*Log)(nil)

// log is one space. records[i] has the number base+1+i; base is 0 but in tests of the last numbers.
type log struct {
	deleted   bool // nothing of it is left but its genesis
	pages     map[digest.Digest][]byte
	genesis   space.Genesis
	signature []byte
	head      space.Head
	base      uint64
	records   []space.Record
	seqs      map[space.ULID]uint64
	usage     map[string]uint64 // bytes by author
	ends      []space.Position  // where each append ended, ascending
	expired   uint64            // records up to it are tombstones
}

// watch is one call of Watch. It is a pointer so that equal functions stay distinct.
type watch struct{ notify func(space.ID) }

// New returns an empty log.
func New() *Log {
	return &Log{
		spaces:  map[space.ID]*log{},
		blobs:   map[digest.Digest][]byte{},
		keys:    map[string][]byte{},
		limits:  map[string]int64{},
		clients: map[wire.ConnectionID]map[string]syncserver.Client{},
		watches: map[*watch]struct{}{},
	}
}

// lock takes the mutex, or says why the call must not go on. On success the caller unlocks.
func (l *Log) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return errClosed
	}
	return nil
}

// lockSpace is lock, and the space with the given ID.
func (l *Log) lockSpace(ctx context.Context, id space.ID) (*log, error) {
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	s, ok := l.spaces[id]
	if !ok {
		l.mu.Unlock()
		return nil, syncserver.ErrNoSpace
	}
	if s.deleted {
		l.mu.Unlock()
		return nil, syncserver.ErrDeleted
	}
	return s, nil
}

// Create implements [syncserver.Log].
func (l *Log) Create(ctx context.Context, genesis *space.Genesis, signature []byte) (bool, error) {
	if err := l.lock(ctx); err != nil {
		return false, err
	}
	defer l.mu.Unlock()
	id := genesis.ID()
	if s, ok := l.spaces[id]; ok && s.deleted {
		return false, syncserver.ErrDeleted
	} else if ok {
		return false, nil
	}
	l.spaces[id] = &log{
		genesis:   *genesis,
		signature: bytes.Clone(signature),
		head:      space.Head{Chain: id},
		seqs:      map[space.ULID]uint64{},
		usage:     map[string]uint64{},
		ends:      []space.Position{space.Start(id)},
	}
	return true, nil
}

// Delete implements [syncserver.Log].
func (l *Log) Delete(ctx context.Context, id space.ID, head space.Head) error {
	s, err := l.lockSpace(ctx, id)
	if errors.Is(err, syncserver.ErrDeleted) {
		return nil
	}
	if err != nil {
		return err
	}
	defer l.mu.Unlock()
	if s.head != head {
		return &syncserver.HeadError{Actual: s.head}
	}
	l.spaces[id] = &log{genesis: s.genesis, signature: s.signature, deleted: true}
	return nil
}

// Expire implements [syncserver.Log].
func (l *Log) Expire(ctx context.Context, id space.ID, upto uint64) error {
	s, err := l.lockSpace(ctx, id)
	if err != nil {
		return err
	}
	defer l.mu.Unlock()
	if upto > s.head.Seq {
		return fmt.Errorf("memlog: expire up to %d, and the log ends at %d", upto, s.head.Seq)
	}
	for s.expired = max(s.expired, s.base); s.expired < upto; s.expired++ {
		r := &s.records[s.expired-s.base]
		s.usage[r.Author] -= uint64(len(r.Payload))
		*r = r.Tombstone()
	}
	return nil
}

// Expired implements [syncserver.Log].
func (l *Log) Expired(ctx context.Context, id space.ID) (uint64, error) {
	s, err := l.lockSpace(ctx, id)
	if err != nil {
		return 0, err
	}
	defer l.mu.Unlock()
	return s.expired, nil
}

// Retained implements [syncserver.Log].
func (l *Log) Retained(ctx context.Context, id space.ID) (bytes uint64, err error) {
	s, err := l.lockSpace(ctx, id)
	if err != nil {
		return 0, err
	}
	defer l.mu.Unlock()
	for i := range s.records {
		if !s.records[i].Expired {
			bytes += uint64(s.records[i].Size())
		}
	}
	return bytes, nil
}

// Genesis implements [syncserver.Log].
func (l *Log) Genesis(ctx context.Context, id space.ID) (space.Genesis, []byte, error) {
	if err := l.lock(ctx); err != nil {
		return space.Genesis{}, nil, err
	}
	defer l.mu.Unlock()
	s, ok := l.spaces[id]
	if !ok {
		return space.Genesis{}, nil, syncserver.ErrNoSpace
	}
	return s.genesis, bytes.Clone(s.signature), nil
}

// Spaces implements [syncserver.Log].
func (l *Log) Spaces(ctx context.Context, after space.ID, limit int) ([]space.ID, error) {
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	compare := func(a, b space.ID) int { return bytes.Compare(a[:], b[:]) }
	ids := slices.SortedFunc(maps.Keys(l.spaces), compare)
	ids = slices.DeleteFunc(ids, func(id space.ID) bool { return compare(id, after) <= 0 || l.spaces[id].deleted })
	return ids[:min(len(ids), max(limit, 0))], nil
}

// Modules implements [syncserver.Log].
func (l *Log) Modules(ctx context.Context) (map[digest.Digest]int, error) {
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	counts := map[digest.Digest]int{}
	for _, s := range l.spaces {
		if !s.deleted {
			counts[s.genesis.Module]++
		}
	}
	return counts, nil
}

// Head implements [syncserver.Log].
func (l *Log) Head(ctx context.Context, id space.ID) (space.Head, error) {
	s, err := l.lockSpace(ctx, id)
	if err != nil {
		return space.Head{}, err
	}
	defer l.mu.Unlock()
	return s.head, nil
}

// Append implements [syncserver.Log].
func (l *Log) Append(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head) error {
	return l.AppendClients(ctx, id, previous, records, next, syncserver.ClientChanges{})
}

// AppendClients implements [syncserver.Log].
func (l *Log) AppendClients(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head, changes syncserver.ClientChanges) error {
	if err := syncserver.CheckAppend(previous, records, next); err != nil {
		return err
	}
	s, err := l.lockSpace(ctx, id)
	if err != nil {
		return err
	}
	defer l.mu.Unlock()
	if s.head != previous {
		return &syncserver.HeadError{Actual: s.head}
	}
	if known := s.known(records); len(known) > 0 {
		return &syncserver.KnownError{IDs: known}
	}
	for i := range records {
		s.seqs[records[i].ID] = records[i].Seq
		s.usage[records[i].Author] += uint64(records[i].Size())
		s.records = append(s.records, records[i])
	}
	s.head = next
	s.ends = append(s.ends, next.Position())
	l.change(changes)
	for w := range l.watches {
		w.notify(id)
	}
	return nil
}

// change changes who is connected.
func (l *Log) change(changes syncserver.ClientChanges) {
	for _, id := range changes.Gone {
		delete(l.clients, id)
	}
	for _, c := range changes.Connected {
		if l.clients[c.Connection] == nil {
			l.clients[c.Connection] = map[string]syncserver.Client{}
		}
		c.Claims = bytes.Clone(c.Claims)
		l.clients[c.Connection][c.Identity] = c
	}
}

// SetClaims implements [syncserver.Log].
func (l *Log) SetClaims(ctx context.Context, connection wire.ConnectionID, identity string, claims []byte) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.mu.Unlock()
	if c, ok := l.clients[connection][identity]; ok {
		c.Claims = bytes.Clone(claims)
		l.clients[connection][identity] = c
	}
	return nil
}

// DropClients implements [syncserver.Log].
func (l *Log) DropClients(ctx context.Context, connections []wire.ConnectionID) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.mu.Unlock()
	l.change(syncserver.ClientChanges{Gone: connections})
	return nil
}

// Clients implements [syncserver.Log].
func (l *Log) Clients(ctx context.Context, after wire.ConnectionID, limit int) ([]syncserver.Client, error) {
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	compare := func(a, b wire.ConnectionID) int { return bytes.Compare(a[:], b[:]) }
	ids := slices.SortedFunc(maps.Keys(l.clients), compare)
	ids = slices.DeleteFunc(ids, func(id wire.ConnectionID) bool { return compare(id, after) <= 0 })
	var found []syncserver.Client
	for _, id := range ids[:min(len(ids), max(limit, 0))] {
		for _, identity := range slices.Sorted(maps.Keys(l.clients[id])) {
			found = append(found, l.clients[id][identity])
		}
	}
	return found, nil
}

// Usage implements [syncserver.Log].
func (l *Log) Usage(ctx context.Context, identity string) (u syncserver.Usage, err error) {
	if err := l.lock(ctx); err != nil {
		return u, err
	}
	defer l.mu.Unlock()
	for _, s := range l.spaces {
		if s.deleted {
			continue
		}
		if s.genesis.Creator == identity {
			u.Spaces++
		}
		u.Bytes += s.usage[identity]
	}
	return u, nil
}

// known returns the ids of records that are stored, and those that occur twice in records.
func (s *log) known(records []space.Record) []space.ULID {
	var known []space.ULID
	seen := make(map[space.ULID]struct{}, len(records))
	for i := range records {
		id := records[i].ID
		_, stored := s.seqs[id]
		_, twice := seen[id]
		if stored || twice {
			known = append(known, id)
		}
		seen[id] = struct{}{}
	}
	return known
}

// Known implements [syncserver.Log].
func (l *Log) Known(ctx context.Context, id space.ID, ids []space.ULID) ([]syncserver.Known, error) {
	s, err := l.lockSpace(ctx, id)
	if err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	known := make([]syncserver.Known, len(ids))
	for i, id := range ids {
		if seq, ok := s.seqs[id]; ok {
			r := &s.records[seq-s.base-1]
			known[i] = syncserver.Known{Seq: seq, Index: r.Index, Count: r.Count, Author: r.Author}
		}
	}
	return known, nil
}

// Read implements [syncserver.Log].
func (l *Log) Read(ctx context.Context, id space.ID, after uint64, maxRecords, maxBytes int) ([]space.Record, error) {
	s, err := l.lockSpace(ctx, id)
	if err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	after = max(after, s.base)
	if after >= s.head.Seq {
		return nil, nil
	}
	rest := s.records[after-s.base:]
	end, size := 0, 0
	for i := range rest {
		size += rest[i].Size()
		if end > 0 && (i+1 > maxRecords || size > maxBytes) {
			break
		}
		if rest[i].Last() {
			end = i + 1
		}
	}
	return slices.Clone(rest[:end]), nil
}

// ChainBefore implements [syncserver.Log].
func (l *Log) ChainBefore(ctx context.Context, id space.ID, seq uint64) (space.Position, error) {
	s, err := l.lockSpace(ctx, id)
	if err != nil {
		return space.Position{}, err
	}
	defer l.mu.Unlock()
	i, found := slices.BinarySearchFunc(s.ends, seq, func(p space.Position, seq uint64) int { return cmp.Compare(p.Seq, seq) })
	if !found {
		i--
	}
	return s.ends[i], nil
}

// Watch implements [syncserver.Log].
func (l *Log) Watch(ctx context.Context, notify func(space.ID)) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.mu.Unlock()
	w := &watch{notify}
	l.watches[w] = struct{}{}
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watches, w)
	})
	return nil
}

// PutBlob implements [syncserver.Log].
func (l *Log) PutBlob(ctx context.Context, name digest.Digest, content []byte) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.mu.Unlock()
	if _, ok := l.blobs[name]; !ok {
		l.blobs[name] = append([]byte{}, content...)
	}
	return nil
}

// Blob implements [syncserver.Log].
func (l *Log) Blob(ctx context.Context, name digest.Digest) ([]byte, error) {
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	content, ok := l.blobs[name]
	if !ok {
		return nil, syncserver.ErrNoBlob
	}
	return bytes.Clone(content), nil
}

// HasBlob implements [syncserver.Log].
func (l *Log) HasBlob(ctx context.Context, name digest.Digest) (bool, error) {
	if err := l.lock(ctx); err != nil {
		return false, err
	}
	defer l.mu.Unlock()
	_, ok := l.blobs[name]
	return ok, nil
}

// Blobs implements [syncserver.Log].
func (l *Log) Blobs(ctx context.Context, after digest.Digest, limit int) ([]digest.Digest, error) {
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	names := slices.SortedFunc(maps.Keys(l.blobs), compareDigests)
	names = slices.DeleteFunc(names, func(d digest.Digest) bool { return compareDigests(d, after) <= 0 })
	return names[:min(limit, len(names))], nil
}

func compareDigests(a, b digest.Digest) int { return bytes.Compare(a[:], b[:]) }

// DeleteBlob implements [syncserver.Log].
func (l *Log) DeleteBlob(ctx context.Context, name digest.Digest) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.mu.Unlock()
	delete(l.blobs, name)
	return nil
}

// PutPages implements [syncserver.Log].
func (l *Log) PutPages(ctx context.Context, id space.ID, pages []syncserver.Page) error {
	s, err := l.lockSpace(ctx, id)
	if err != nil {
		return err
	}
	defer l.mu.Unlock()
	if s.pages == nil {
		s.pages = map[digest.Digest][]byte{}
	}
	for _, p := range pages {
		s.pages[p.Name] = bytes.Clone(p.Bytes)
	}
	return nil
}

// Page implements [syncserver.Log].
func (l *Log) Page(ctx context.Context, name digest.Digest) ([]byte, error) {
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	for _, s := range l.spaces {
		if content, ok := s.pages[name]; ok {
			return bytes.Clone(content), nil
		}
	}
	return nil, syncserver.ErrNoBlob
}

// Pages implements [syncserver.Log].
func (l *Log) Pages(ctx context.Context, id space.ID) ([]digest.Digest, error) {
	s, err := l.lockSpace(ctx, id)
	if err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(s.pages)), nil
}

// DeletePages implements [syncserver.Log].
func (l *Log) DeletePages(ctx context.Context, id space.ID, names []digest.Digest) error {
	s, err := l.lockSpace(ctx, id)
	if err != nil {
		return err
	}
	defer l.mu.Unlock()
	for _, name := range names {
		delete(s.pages, name)
	}
	return nil
}

// Key implements [syncserver.Log].
func (l *Log) Key(ctx context.Context, key string) ([]byte, error) {
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	return bytes.Clone(l.keys[key]), nil
}

// CompareAndSet implements [syncserver.Log].
func (l *Log) CompareAndSet(ctx context.Context, key string, old, value []byte) (bool, error) {
	if err := l.lock(ctx); err != nil {
		return false, err
	}
	defer l.mu.Unlock()
	actual, ok := l.keys[key]
	if ok != (old != nil) || !bytes.Equal(actual, old) {
		return false, nil
	}
	if value == nil {
		delete(l.keys, key)
	} else {
		l.keys[key] = append([]byte{}, value...)
	}
	return true, nil
}

// Scan implements [syncserver.Log].
func (l *Log) Scan(ctx context.Context, prefix, after string, limit int) ([]syncserver.KeyValue, error) {
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	var found []syncserver.KeyValue
	for _, key := range slices.Sorted(maps.Keys(l.keys)) {
		if len(found) >= limit {
			break
		}
		if strings.HasPrefix(key, prefix) && key > after {
			found = append(found, syncserver.KeyValue{Key: key, Value: bytes.Clone(l.keys[key])})
		}
	}
	return found, nil
}

// Limit implements [syncserver.Log].
func (l *Log) Limit(ctx context.Context, now time.Time, charges []syncserver.Charge) (time.Duration, error) {
	if err := l.lock(ctx); err != nil {
		return 0, err
	}
	defer l.mu.Unlock()
	var wait time.Duration
	charged := make(map[string]int64, len(charges))
	for _, c := range charges {
		tat, ok := charged[c.Key]
		if !ok {
			tat = l.limits[c.Key]
		}
		next, w := c.Pass(tat, now.UnixNano())
		charged[c.Key] = next
		wait = max(wait, w)
	}
	if wait == 0 {
		maps.Copy(l.limits, charged)
	}
	return wait, nil
}

// Close implements [syncserver.Log].
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	clear(l.watches)
	return nil
}
