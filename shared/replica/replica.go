package replica

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"slices"
	"sort"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

const never = math.MaxUint64

// defaultCredit is how many bytes of records may be under way to a replica unless configured.
const defaultCredit = 4 << 20

// Replica is the core of one tab. It is not safe for concurrent use: one loop owns it.
type Replica struct {
	config Config
	meta   Meta
	leads  bool
	spaces map[space.ID]*spaceState

	conn       connection
	now        uint64
	out        Effects
	nextCommit uint64

	appends     appendLane
	sync        syncLane
	reading     []*spaceState // with a hole that somebody wants filled
	dropAt      uint64        // when to look at what has expired; never: there is no need
	modules     moduleLane
	checkpoints checkpointLane

	// The order in which spaces get their turn to push, or to be created at the server; those with transactions are
	// created before empty ones. A space is in each list at most once. Delayed are those that wait for a time.
	pushQueue, toCreate, toCreateEmpty, delayed []*spaceState
	delayedAt                                   uint64        // when the first of those delayed is due
	createReading                               []*spaceState // to be created, with rows that are being read: empty ones wait for them
	// toLoad holds spaces whose outbox must be read before they can push; a few are read at a time.
	toLoad  []*spaceState
	loading int
	// toReadAgain holds spaces whose state could not be read or not be decided by, to be read at readAgainAt.
	toReadAgain []*spaceState
	readAgainAt uint64
	changes     uint64 // the number of the last change of the store that this tab knows of
	surveyAllAt uint64 // when to look at all spaces again, whatever the numbers say

	looks  int    // spaces that are open
	lookAt uint64 // when to tell other tabs of them again
	idleAt uint64 // when to look for subscriptions that are not needed any more; never: there are none

	// Creating spaces is limited by the server for the whole identity: one denial holds all of them back.
	generation       uint64 // of the connection: what one paid for is not paid back on another
	creationRetryAt  uint64
	creationInFlight int
	creationRows     int    // of those in flight that carry transactions: empty spaces wait for them
	notBefore        uint64 // when to connect again at the earliest, after this replica's session was used by another one
	superseded       int    // how often that happened in a row
	disagreed        disagreement
	deleted          deleted
	recoveries       []*spaceState // of which the server lacks records, perhaps
	recoveryRefs     uint64
	weighs           uint64 // how often it was asked how far records may be dropped
	lastSync         uint64 // when a verdict or record last came, by the clock of Step
}

// spaceState is what the core holds of one space.
type spaceState struct {
	id      space.ID
	known   bool // the store has its row
	info    SpaceInfo
	version uint64
	open    bool // somebody looks at it in this tab
	// lookedUntil is how long somebody may look at it in another tab.
	lookedUntil uint64
	turn        uint64 // the generation of the connection that it last pushed on

	// The outbox of the space. Until loaded, only its size is known.
	loaded      bool
	outboxCount int
	entries     []*entry
	byID        map[space.ULID]*entry
	rejected    int
	lost        int
	refreshing  bool
	refreshFrom uint64       // the version that its refresh must show at least, since memory had it when it began
	readBegan   uint64       // when its last read began
	readAt      uint64       // when it was done,
	readTook    uint64       // and how long it took
	queued      bool         // in Replica.toLoad
	loading     bool         // its refresh is one of the few at a time that Replica.loadSome makes
	refreshMore bool         // the store changed while a refresh was under way
	reading     bool         // ids of records are being read for watched transactions
	deciding    []space.ULID // those of them that had left the outbox when the read began
	// watched are transactions appended in this tab whose outcome was not told yet, with the position before which
	// their records cannot be.
	watched map[space.ULID]uint64
	// sought are those of them that were asked for and of which no trace was found yet.
	sought map[space.ULID]bool
	// doubtful are those of them whose rows were destroyed when the server may have had them already.
	doubtful map[space.ULID]bool
	// refused are the ids in the rejected store; nil until they were read.
	refused map[space.ULID]bool

	push    pushState
	feed    feedState
	pending pending
	told    ServerCheckpoint
	expired uint64 // up to where the server has told that records have expired
	wanted  wantedCheckpoint
	untrue  digest.Digest  // a checkpoint that the server told of and is not of its log
	place   space.Position // of the checkpoint that was told of, once its root is here
	history historyState
	drop    dropState

	recovery *recovery // the server lacks records that are here, perhaps
	listed   bool      // the directory has told of it on this connection

	commits  int      // commits under way that touch this space
	ahead    []uint64 // versions of this tab's own commits beyond version
	outdated uint64   // memory lacks something that the store has from this version on; 0: it does not
	unsure   bool     // another tab may have appended before what this one did: push nothing until that is known

	checking bool            // what is stored is being looked through for damage
	cut      *space.Position // below damage: where the store is to be taken back to, from now until it is stored

	// problem stops sync of this space until the next connection or for ever; reason is for people.
	problem Code
	reason  string
}

// Code is short for the protocol's codes.
type Code = wire.Code

type entry struct {
	Entry
	inFlight bool   // pushed on this connection, no verdict yet
	settling bool   // a verdict is on its way to the store
	sent     bool   // it may have reached the server, on this connection or an earlier one
	said     bool   // the server said on this connection that it has it, at Position
	last     uint64 // the number of its last record, once that is on its way to the store
}

// New returns the core of a tab that has just loaded its store. It does not lead.
func New(config Config, loaded *Loaded) *Replica {
	if config.Credit == 0 {
		config.Credit = defaultCredit
	}
	if config.BootAfter == 0 {
		config.BootAfter = bootAfter
	}
	if config.UploadPiece == 0 {
		config.UploadPiece = uploadPiece
	}
	r := &Replica{config: config, spaces: make(map[space.ID]*spaceState, len(loaded.Spaces)), idleAt: never, delayedAt: never, dropAt: never, surveyAllAt: surveyAll}
	r.conn.dialAt = never
	r.sync.reset()
	r.appends.retryAt = never
	r.load(loaded)
	return r
}

// load takes over what the store said; connection state of spaces begins anew.
func (r *Replica) load(loaded *Loaded) {
	login := max(r.meta.Login, loaded.Meta.Login)
	r.meta, r.changes = loaded.Meta, loaded.Changes
	r.meta.Login = login
	for _, s := range r.spaces {
		if s.version == 0 { // what the server told of it was not stored
			s.known, s.loaded, s.info = false, false, SpaceInfo{Position: space.Start(s.id)}
		}
	}
	for i := range loaded.Spaces {
		summary := &loaded.Spaces[i]
		s := r.space(summary.Space)
		s.known = true
		if summary.Version >= s.version {
			s.info, s.version, s.outboxCount = summary.Info, summary.Version, summary.Outbox
			s.rejected, s.lost = summary.Rejected, summary.Lost
			s.loaded = summary.Outbox == 0
			if s.loaded {
				s.entries, s.byID = nil, nil
				s.ahead = slices.DeleteFunc(s.ahead, func(v uint64) bool { return v <= s.version })
				s.unsure = len(s.ahead) > 0
				if s.version >= s.outdated {
					s.outdated = 0
				}
			}
		}
	}
}

// space returns the state of a space, made if need be.
func (r *Replica) space(id space.ID) *spaceState {
	s := r.spaces[id]
	if s == nil {
		s = &spaceState{id: id, info: SpaceInfo{Position: space.Start(id)}}
		r.spaces[id] = s
	}
	return s
}

// Step takes one input at the time now, in milliseconds of a clock that never steps back, and returns what to do.
// The effects belong to the caller until the next call.
func (r *Replica) Step(now uint64, input Input) Effects {
	r.now = max(now, r.now)
	r.out = Effects{}
	switch in := input.(type) {
	case Led:
		r.lead(in.Loaded)
	case Following:
		r.follow()
	case Login:
		r.login(in.Number)
	case Connected:
		r.connected()
	case Proved:
		r.proved(in)
	case Disconnected:
		r.disconnected(in.Reason)
	case Unreadable:
		r.unreadable(in.Reason)
	case Online:
		r.online()
	case Received:
		r.received(in)
	case Append:
		r.append(appendOperation{ref: in.Ref, space: in.Space, insert: in.Insert, transaction: in.Transaction, at: in.AppendedAt, refused: in.Refused})
	case Retry:
		r.append(appendOperation{ref: in.Ref, space: in.Space, retry: in.ID})
	case Discard:
		r.append(appendOperation{ref: in.Ref, space: in.Space, discard: in.ID})
	case DiscardLost:
		r.append(appendOperation{ref: in.Ref, space: in.Space, discardLost: in.ID})
	case Open:
		r.openSpace(in)
	case Close:
		r.closeSpace(in)
	case Pin:
		r.pin(in)
	case Looking:
		r.looking(in)
	case WhoLooks:
		if r.looks > 0 {
			r.tellLooking()
		}
	case Say:
		r.say(in)
	case Watch:
		r.watchFor(in)
	case Lost:
		r.lost(in.Loaded)
	case Damaged:
		r.damaged(in)
	case Checked:
		r.checked(in)
	case Forget:
		r.forget(in)
	case Closing:
		r.appends.closing = true
	case Hint:
		if s := r.spaces[in.Space]; s == nil || in.Version > s.version {
			r.refreshSoon(r.space(in.Space))
		}
	case Poll:
		r.survey()
	case Surveyed:
		r.surveyed(in.Changes)
	case Committed:
		r.committed(in)
	case Refreshed:
		r.refreshed(in)
	case RowsRead:
		r.rowsRead(in)
	case IDsRead:
		r.idsRead(in)
	case ModuleRead:
		r.moduleRead(in)
	case ModuleStored:
		r.moduleStored(in)
	case ModulePut:
		r.modulePut(in)
	case ModuleNeeded:
		r.moduleNeeded(in)
	case Traced:
		r.traced(in)
	case RecordsRead:
		r.recordsRead(in)
	case WantCheckpoint:
		r.wantCheckpoint(in)
	case CheckpointKept:
		r.checkpointKept(in)
	case WantHistory:
		r.wantHistory(in)
	case DropWeighed:
		r.dropWeighed(in)
	case Tick:
	default:
		panic("replica: unknown input")
	}
	r.advance()
	return r.out
}

// advance does what is due: it runs after every input, so no handler needs to think of what it made possible.
func (r *Replica) advance() {
	r.advanceConnection()
	r.loadSome()
	r.readSomeAgain()
	r.advanceLooking()
	r.advanceIdle()
	r.advanceModules()
	r.advanceCheckpoints()
	r.advanceHistory()
	r.advanceDrops()
	r.advanceRecoveries()
	r.advancePushes()
	r.advanceRotation()
	r.appends.advance(r)
	r.sync.advance(r)
	r.out.WakeAt = r.wakeAt()
}

func (r *Replica) wakeAt() uint64 {
	wake := min(r.conn.wakeAt(r), r.sync.retryAt, r.appends.wakeAt(), r.pushWakeAt(), r.modulesWakeAt(), r.checkpointsWakeAt(), r.recoveriesWakeAt(), r.dropAt)
	if len(r.toReadAgain) > 0 {
		wake = min(wake, r.readAgainAt)
	}
	if !r.leads && r.looks > 0 {
		wake = min(wake, r.lookAt)
	}
	if r.conn.phase == online {
		wake = min(wake, r.idleAt)
		if r.conn.turnedAway && r.conn.since+rotateFrom > r.now {
			wake = min(wake, r.conn.since+rotateFrom)
		}
	}
	if wake == never {
		return 0
	}
	return max(wake, r.now+1)
}

func (r *Replica) notify(n Notice) { r.out.Notices = append(r.out.Notices, n) }

func (r *Replica) changed(s *spaceState) {
	for _, n := range r.out.Notices {
		if c, ok := n.(SpaceChanged); ok && c.Space == s.id {
			return
		}
	}
	r.notify(SpaceChanged{s.id})
}

func (r *Replica) statusChanged() {
	if !slices.Contains(r.out.Notices, Notice(StatusChanged{})) {
		r.notify(StatusChanged{})
	}
}

func (r *Replica) send(f wire.Frame) {
	r.out.Send = append(r.out.Send, wire.Append(nil, f))
}

func (r *Replica) commit(c *Commit) uint64 {
	r.nextCommit++
	r.out.Commits = append(r.out.Commits, CommitEffect{r.nextCommit, c})
	return r.nextCommit
}

// lead begins to sync from what the store held when the epoch was raised.
func (r *Replica) lead(loaded *Loaded) {
	r.stopSync("reconnecting")
	r.leads = true
	r.load(loaded)
	r.conn.dialAt = max(r.now, r.notBefore)
	if why := r.disagreed.reason; why != "" {
		r.conn.code, r.conn.reason = wire.CodeAPIUnsupported, why
	}
	r.out.WhoLooks = true
	for _, s := range r.sorted() {
		for _, e := range s.entries {
			e.sent = true // perhaps, by whoever led before
		}
		if !s.loaded || len(s.watched) > 0 {
			r.loadSoon(s)
		}
	}
}

func (r *Replica) follow() {
	r.stopSync("another tab syncs")
	r.leads = false
}

// stopSync forgets everything that belongs to leading: the connection and what it had not stored yet.
func (r *Replica) stopSync(reason string) {
	r.hangup(reason)
	r.conn = connection{dialAt: never}
	r.generation++
	if c := r.sync.inFlight; c != nil {
		for _, s := range c.spaces {
			s.commits-- // its outcome will show in the store
		}
	}
	for _, s := range r.reading {
		s.history.storing = false // its outcome will show in the store
	}
	r.historyEnded()
	r.sync.reset()
	r.clearQueues()
	r.modules.fetch.drop()
	r.checkpoints.drop()
	for _, s := range r.spaces {
		s.pending, s.cut = pending{}, nil
		s.resetConnection()
	}
	r.statusChanged()
}

// sorted returns the spaces in a fixed order: those with something to push first, those that pushed longest ago before
// others, then by ID.
func (r *Replica) sorted() []*spaceState {
	all := make([]*spaceState, 0, len(r.spaces))
	for _, s := range r.spaces {
		all = append(all, s)
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if x, y := a.outboxCount > 0, b.outboxCount > 0; x != y {
			return x
		}
		if a.turn != b.turn {
			return a.turn < b.turn // who had no turn on the last connection has one on this
		}
		return bytes.Compare(a.id[:], b.id[:]) < 0
	})
	return all
}

func (r *Replica) clearQueues() {
	r.pushQueue, r.toCreate, r.toCreateEmpty, r.delayed, r.delayedAt = nil, nil, nil, nil, never
	r.idleAt = never
	r.recoveries, r.dropAt = nil, never
	r.modules.reset()
	r.checkpoints.reset()
	r.createReading, r.creationInFlight, r.creationRows = nil, 0, 0
}

// resetConnection forgets what held for one connection only.
func (s *spaceState) resetConnection() {
	s.resetRecovery()
	s.listed = false
	s.push = pushState{failures: s.push.failures, reading: s.push.reading, readTo: s.push.readTo}
	s.feed = feedState{badAt: s.feed.badAt, bad: s.feed.bad}
	if s.told.State != CheckpointStored {
		s.told.State, s.wanted = CheckpointTold, wantedCheckpoint{}
	}
	if s.feed.bad < badLimit {
		s.problem, s.reason = 0, "" // what the last connection refused, the next one may not
	}
	s.drop = dropState{}
	for _, e := range s.entries {
		e.inFlight, e.settling, e.said = false, false, false
	}
}

// sortIDs sorts as this package does, by package sort, which is in a page once for all types and not once for each.
func sortIDs(ids []space.ID) {
	sort.Slice(ids, func(i, j int) bool { return bytes.Compare(ids[i][:], ids[j][:]) < 0 })
}

// tryAgainAt returns when to try again what has failed so often before: later each time, and not when everybody does.
func (r *Replica) tryAgainAt(failures int) uint64 {
	return r.now + min(uint64(retryFloor)<<min(failures, 6), retryCeiling) + r.random(retryFloor)
}

// random returns a number below n, drawn from the configured source.
func (r *Replica) random(n uint64) uint64 {
	var b [8]byte
	if _, err := io.ReadFull(r.config.Rand, b[:]); err != nil {
		panic("replica: the source of randomness failed: " + err.Error())
	}
	return binary.LittleEndian.Uint64(b[:]) % n
}
