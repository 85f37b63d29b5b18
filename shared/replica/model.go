package replica

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Model is a store in memory: the reference for what a [Commit] changes and what a store reads. Package memstore
// puts a lock around it, storetest compares other stores with it, and the simulation takes a [Model.Clone] now and
// then to play a crash that loses relaxed commits.
//
// A Model is deterministic and not safe for concurrent use. It copies what it is given; what it returns shares
// payloads with it, which nobody may change.
type Model struct {
	meta    Meta
	lastKey uint64
	changes uint64
	spaces  map[space.ID]*modelSpace
	modules map[digest.Digest][]byte
	unnamed map[digest.Digest]uint64 // modules that no space named when they were collected, and since when
}

// modelSpace is all that is kept of one space. Rows behind pointers are never changed but replaced, so that
// clones share them.
type modelSpace struct {
	info     SpaceInfo // Holes are replaced, never changed
	version  uint64
	changed  uint64       // the number of its last change
	outbox   []*OutboxRow // ascending by Key
	keys     map[space.ULID]uint64
	rejected map[space.ULID]*RejectedRow
	lost     map[space.ULID]*LostRow
	records  []space.Record // ascending, with a hole only where a position was set without its records

	checkpoint *modelCheckpoint

	forgotten bool // the version alone is left
}

// NewModel returns an empty store of one identity, which the server will know by session.
func NewModel(identity string, session wire.SessionID) *Model {
	return &Model{
		meta:   Meta{Identity: identity, Session: session},
		spaces: map[space.ID]*modelSpace{}, modules: map[digest.Digest][]byte{}, unnamed: map[digest.Digest]uint64{},
	}
}

// Clone returns a copy that goes its own way. It takes time in proportion to the rows in outboxes and rejected
// stores, and almost none for records.
func (m *Model) Clone() *Model {
	c := &Model{meta: m.meta, lastKey: m.lastKey, changes: m.changes, spaces: make(map[space.ID]*modelSpace, len(m.spaces))}
	for id, s := range m.spaces {
		c.spaces[id] = s.clone()
	}
	c.modules, c.unnamed = maps.Clone(m.modules), maps.Clone(m.unnamed)
	return c
}

func (s *modelSpace) clone() *modelSpace {
	c := *s
	c.outbox = slices.Clone(s.outbox)
	c.keys = make(map[space.ULID]uint64, len(s.keys))
	maps.Copy(c.keys, s.keys)
	c.rejected = make(map[space.ULID]*RejectedRow, len(s.rejected))
	maps.Copy(c.rejected, s.rejected)
	c.lost = maps.Clone(s.lost)
	// Records are never changed in place. Clipped, the copy's first append moves away from the array that the
	// original goes on appending to.
	c.records = slices.Clip(s.records)
	return &c
}

var (
	errSpaceTwice  = errors.New("replica: a commit names a space twice")
	errBadRecords  = errors.New("replica: a commit's records do not follow on Expect or do not end at Position")
	errBadCut      = errors.New("replica: a commit takes a position back without a cut, or cuts without going back")
	errBadFork     = errors.New("replica: a commit goes over to another branch without records, or not from below where it stands")
	errBadAppend   = errors.New("replica: an appended row has no id or another one than its transaction")
	errBadMark     = errors.New("replica: a mark is neither accepted nor waiting")
	errBadEncoding = errors.New("replica: a commit's records are not what First and Last say")
)

// Check tells whether c is something that a store can apply at all: each space named once, rows named by their
// transactions, records that begin after Expect and end at Position, no way back but a cut. It does not read the records.
// Every store calls it first.
func (c *Commit) Check() error {
	seen := make(map[space.ID]struct{}, len(c.Spaces))
	for i := range c.Spaces {
		s := &c.Spaces[i]
		if _, twice := seen[s.Space]; twice {
			return errSpaceTwice
		}
		seen[s.Space] = struct{}{}
		for j := range s.Append {
			if row := &s.Append[j]; row.ID != row.Transaction.ID() || row.ID == (space.ULID{}) {
				return errBadAppend
			}
		}
		for j := range s.Refuse {
			if row := &s.Refuse[j]; row.ID != row.Transaction.ID() || row.ID == (space.ULID{}) {
				return errBadAppend
			}
		}
		for j := range s.Lost {
			if row := &s.Lost[j]; row.ID != row.Transaction.ID() || row.ID == (space.ULID{}) {
				return errBadAppend
			}
		}
		for j := range s.Mark {
			if state := s.Mark[j].State; state != Accepted && state != Waiting {
				return errBadMark
			}
		}
		after := s.Expect
		if s.Fork != nil {
			after = s.Fork
		}
		if len(s.Records) > 0 && (s.Expect == nil || s.Position == nil || s.First != after.Seq+1 ||
			s.Last < s.First || s.Position.Seq != s.Last) {
			return errBadRecords
		}
		if s.Page != nil {
			if err := s.Page.check(s); err != nil {
				return err
			}
		}
		if err := s.checkDrop(); err != nil {
			return err
		}
		back := s.Expect != nil && s.Position != nil && s.Position.Seq < s.Expect.Seq
		if s.Fork != nil {
			if s.Cut || s.Expect == nil || s.Position == nil || s.Position.Seq < s.Fork.Seq || s.Fork.Seq >= s.Expect.Seq {
				return errBadFork
			}
		} else if back != s.Cut || s.Cut && len(s.Records) > 0 {
			return errBadCut
		}
	}
	return nil
}

// Commit applies c as a whole or not at all.
func (m *Model) Commit(c *Commit) (*CommitResult, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if m.stale(c) {
		return &CommitResult{Stale: true, Epoch: m.meta.Epoch}, nil
	}
	runs, pages := make([][]space.Record, len(c.Spaces)), make([][]space.Record, len(c.Spaces))
	for i := range c.Spaces {
		sc := &c.Spaces[i]
		run, err := decodeRun(sc.Records, sc.First, sc.Last)
		if err != nil {
			return nil, err
		}
		runs[i] = run
		if p := sc.Page; p != nil {
			if pages[i], err = decodeRun(p.Records, p.First, p.Until.Seq); err != nil {
				return nil, err
			}
		}
	}

	if c.Server != nil {
		m.meta.Server = *c.Server
	}
	if c.Since != nil {
		m.meta.Since = bytes.Clone(c.Since)
	}
	m.meta.Login = max(m.meta.Login, c.Login)
	if len(c.Spaces) > 0 {
		m.changes++
	}
	result := &CommitResult{Epoch: m.meta.Epoch}
	for i := range c.Spaces {
		result.Keys = m.applySpace(&c.Spaces[i], runs[i], pages[i], result.Keys)
		result.Versions = append(result.Versions, m.spaces[c.Spaces[i].Space].version)
	}
	return result, nil
}

// stale reports whether a condition of c does not hold.
func (m *Model) stale(c *Commit) bool {
	if c.Fenced && c.Epoch != m.meta.Epoch {
		return true
	}
	if c.Server != nil && m.meta.Server != [32]byte{} && m.meta.Server != *c.Server {
		return true
	}
	if c.Login != 0 && c.Login <= m.meta.Login || c.Erase && !c.Force && m.unsynced() {
		return true
	}
	for i := range c.Spaces {
		sc := &c.Spaces[i]
		if s := m.spaces[sc.Space]; sc.Forget && !sc.Force && s != nil && s.unsent() {
			return true
		}
		info := &SpaceInfo{Position: space.Start(sc.Space)}
		if s := m.spaces[sc.Space]; s != nil {
			info = &s.info
		}
		if sc.Page != nil && !sc.Page.Fits(info) {
			return true
		}
		if sc.Expect == nil {
			continue
		}
		position := info.Position
		if position.Seq != sc.Expect.Seq || position.Chain != sc.Expect.Chain {
			return true
		}
	}
	return false
}

// unsynced reports whether anything may be on this device alone.
func (m *Model) unsynced() bool {
	for _, s := range m.spaces {
		if s.unsent() || s.info.Unmade() {
			return true
		}
	}
	return false
}

// unsent reports whether something of the space may be on this device alone.
func (s *modelSpace) unsent() bool {
	return len(s.rejected)+len(s.lost) > 0 || slices.ContainsFunc(s.outbox, func(row *OutboxRow) bool { return row.State == Waiting })
}

// decodeRun reads the records of one space's part, as a copy, and checks that they are those announced.
func decodeRun(records []byte, first, last uint64) ([]space.Record, error) {
	if len(records) == 0 {
		return nil, nil
	}
	run, err := wire.DecodeRecords(bytes.Clone(records))
	if err != nil {
		return nil, fmt.Errorf("decode a commit's records: %w", err)
	}
	if uint64(len(run)) != last-first+1 || !run[len(run)-1].Last() || run[0].Index != 0 {
		return nil, errBadEncoding
	}
	for i := range run {
		if run[i].Seq != first+uint64(i) {
			return nil, errBadEncoding
		}
	}
	return run, nil
}

// applySpace applies the part of a commit that concerns one space, field after field in the order of
// [SpaceCommit]. The conditions hold already and nothing here fails.
func (m *Model) applySpace(sc *SpaceCommit, run, page []space.Record, keys []uint64) []uint64 {
	s := m.spaces[sc.Space]
	if s == nil || s.forgotten || sc.Forget {
		fresh := &modelSpace{
			info:      SpaceInfo{Position: space.Start(sc.Space)},
			keys:      map[space.ULID]uint64{},
			rejected:  map[space.ULID]*RejectedRow{},
			lost:      map[space.ULID]*LostRow{},
			forgotten: sc.Forget,
		}
		if s != nil {
			fresh.version = s.version
		}
		s = fresh
		if sc.Insert != nil {
			s.info = InsertedInfo(sc.Space, sc.Insert)
		}
		m.spaces[sc.Space] = s
	} else if sc.Insert != nil {
		s.info.Merge(sc.Insert)
	}
	s.version++
	s.changed = m.changes
	if sc.SetCreated != nil {
		s.info.Created = *sc.SetCreated
	}
	if sc.SetPinned != nil {
		s.info.Pinned = *sc.SetPinned
	}
	if !sc.SetModule.IsZero() {
		s.info.Module = sc.SetModule
	}
	s.info.Deleted = s.info.Deleted || sc.SetDeleted
	s.info.SetDamaged(sc.SetDamaged)

	for i := range sc.Append {
		keys = append(keys, m.appendRow(s, &sc.Append[i]))
	}
	for i := range sc.Refuse {
		s.refuse(&sc.Refuse[i])
	}
	for _, id := range sc.Retry {
		keys = append(keys, m.retry(s, id))
	}
	for _, id := range sc.Withdraw {
		if i, row := s.find(id); row != nil && row.State == Waiting {
			withdrawn := *row
			withdrawn.State = Withdrawn
			s.outbox[i] = &withdrawn
		}
	}
	s.remove(sc.DropWithdrawn, func(row *OutboxRow) bool { return row.State == Withdrawn })
	for i := range sc.Mark {
		if at, row := s.find(sc.Mark[i].ID); row != nil {
			marked := *row
			marked.Entry.Apply(&sc.Mark[i])
			s.outbox[at] = &marked
		}
	}
	s.reject(sc.Reject)
	for _, id := range sc.Discard {
		delete(s.rejected, id)
	}
	for i := range sc.Lost {
		if row := sc.Lost[i]; s.lost[row.ID] == nil {
			row.Transaction.Events = cloneEvents(row.Transaction.Events)
			s.lost[row.ID] = &row
		}
	}
	for _, id := range sc.DiscardLost {
		delete(s.lost, id)
	}

	if to := sc.CutTo(); to != nil {
		i, _ := slices.BinarySearchFunc(s.records, to.Seq+1, compareSeq)
		s.records = slices.Clip(s.records[:i]) // clones have those behind it
		if s.checkpoint != nil && s.checkpoint.seq > to.Seq {
			s.checkpoint = nil
		}
	}
	if sc.Fork != nil {
		s.info.Branch++
		s.info.Damaged = 0
		s.info.SetDamaged(sc.SetDamaged)
	}
	if to := sc.Drop; to != nil {
		i, _ := slices.BinarySearchFunc(s.records, to.Seq+1, compareSeq)
		s.records = s.records[i:]
	}
	s.records = append(s.records, run...)
	if len(page) > 0 {
		i, _ := slices.BinarySearchFunc(s.records, page[0].Seq, compareSeq)
		s.records = slices.Concat(s.records[:i], page, s.records[i:])
	}
	s.info.Move(sc)
	s.remove(sc.Settle, func(*OutboxRow) bool { return true })
	return keys
}

// CutTo returns behind which place the records that are stored are deleted, nil where none are.
func (sc *SpaceCommit) CutTo() *space.Position {
	if sc.Cut {
		return sc.Position
	}
	return sc.Fork
}

// InsertedInfo returns the row that [SpaceCommit.Insert] makes where there was none.
func InsertedInfo(id space.ID, insert *SpaceInfo) SpaceInfo {
	info := SpaceInfo{Created: insert.Created, Position: insert.Position, Module: insert.Module, Head: insert.Head}
	if info.Position.Seq == 0 && info.Position.Chain.IsZero() {
		info.Position = space.Start(id)
	}
	info.fillGenesis(insert)
	return info
}

// Merge is what [SpaceCommit.Insert] does to a row that is there.
func (info *SpaceInfo) Merge(insert *SpaceInfo) {
	if info.Genesis == nil {
		info.fillGenesis(insert)
	}
	info.Created = info.Created || insert.Created
	info.Head = max(info.Head, insert.Head)
}

// SetDamaged is what [SpaceCommit.SetDamaged] does to a row.
func (info *SpaceInfo) SetDamaged(to *uint64) {
	switch {
	case to == nil:
	case *to == 0:
		info.Damaged = 0
	default:
		info.Damaged = max(info.Damaged, *to)
	}
}

func (info *SpaceInfo) fillGenesis(insert *SpaceInfo) {
	if insert.Genesis == nil {
		return
	}
	genesis := *insert.Genesis
	genesis.Params = bytes.Clone(genesis.Params)
	info.Genesis = &genesis
	info.GenesisSignature = bytes.Clone(insert.GenesisSignature)
}

// Apply changes e as mark says, unless that would take the row back: an accepted row only takes a new position,
// and a withdrawn one only becomes accepted.
func (e *Entry) Apply(mark *Mark) {
	if mark.State == Waiting && e.State != Waiting {
		return
	}
	e.State = mark.State
	e.Position = mark.Position
	e.Code = mark.Code
	e.Reason = mark.Reason
	e.RetryAt = mark.RetryAt
}

func (m *Model) nextKey() uint64 {
	m.lastKey++
	return m.lastKey
}

func (m *Model) appendRow(s *modelSpace, given *OutboxRow) uint64 {
	if _, ok := s.keys[given.ID]; ok || s.rejected[given.ID] != nil {
		return 0
	}
	row := *given
	row.Key = m.nextKey()
	row.Author = given.Transaction.Author
	row.Size = given.Transaction.Size()
	row.Transaction.Events = cloneEvents(given.Transaction.Events)
	s.push(&row)
	return row.Key
}

func cloneEvents(given []space.Event) []space.Event {
	events := slices.Clone(given)
	for i := range events {
		events[i].Payload = bytes.Clone(events[i].Payload)
	}
	return events
}

func (s *modelSpace) refuse(given *RejectedRow) {
	if _, ok := s.keys[given.ID]; ok || s.rejected[given.ID] != nil {
		return
	}
	row := *given
	row.Transaction.Events = cloneEvents(given.Transaction.Events)
	s.rejected[row.ID] = &row
}

// retry moves a rejected row to the end of the outbox. Where the outbox has that id again, both stay: neither may
// be lost.
func (m *Model) retry(s *modelSpace, id space.ULID) uint64 {
	rejected := s.rejected[id]
	if _, ok := s.keys[id]; ok || rejected == nil {
		return 0
	}
	row := &OutboxRow{Transaction: rejected.Transaction, Entry: Entry{
		Key: m.nextKey(), ID: id, Author: rejected.Transaction.Author, Size: rejected.Transaction.Size(),
		AppendedAt: rejected.AppendedAt,
	}}
	delete(s.rejected, id)
	s.push(row)
	return row.Key
}

func (s *modelSpace) push(row *OutboxRow) {
	s.outbox = append(s.outbox, row)
	s.keys[row.ID] = row.Key
}

// find returns a row of the outbox and its place, nil if it is gone.
func (s *modelSpace) find(id space.ULID) (int, *OutboxRow) {
	key, ok := s.keys[id]
	if !ok {
		return 0, nil
	}
	i, _ := slices.BinarySearchFunc(s.outbox, key, compareKey)
	return i, s.outbox[i]
}

// remove deletes those of the rows named that doomed agrees to.
func (s *modelSpace) remove(ids []space.ULID, doomed func(*OutboxRow) bool) {
	removed := false
	for _, id := range ids {
		if _, row := s.find(id); row != nil && doomed(row) {
			delete(s.keys, id)
			removed = true
		}
	}
	if removed {
		s.sweep()
	}
}

// sweep drops rows that have lost their key.
func (s *modelSpace) sweep() {
	s.outbox = slices.DeleteFunc(s.outbox, func(row *OutboxRow) bool { return s.keys[row.ID] != row.Key })
}

func (s *modelSpace) reject(rejections []Rejection) {
	removed := false
	for i := range rejections {
		r := &rejections[i]
		_, row := s.find(r.ID)
		if row == nil || row.State == Accepted && !r.Lost {
			continue
		}
		s.rejected[r.ID] = &RejectedRow{
			ID: r.ID, Transaction: row.Transaction, AppendedAt: row.AppendedAt, Code: r.Code, Reason: r.Reason, By: r.By,
		}
		delete(s.keys, r.ID)
		removed = true
	}
	if removed {
		s.sweep()
	}
}
