package replica

import (
	"fmt"

	"skerry/shared/space"
	"skerry/shared/wire"
)

// The values of [Status.Connection].
const (
	ConnectionOff             = "off" // the replica never syncs
	ConnectionOffline         = "offline"
	ConnectionConnecting      = "connecting"
	ConnectionOnline          = "online"
	ConnectionSetupRequired   = "setup_required" // the server waits for its administrator
	ConnectionAuthRequired    = "auth_required"
	ConnectionServerChanged   = "server_changed"
	ConnectionUpgradeRequired = "upgrade_required" // the server does not speak what this client does any more
	ConnectionServerOutdated  = "server_outdated"  // the server does not speak what this client does yet
	ConnectionFollowing       = "following"        // another tab syncs
	ConnectionLoggedOut       = "logged_out"       // until somebody logs in; nothing is tried
)

// Status is what a replica says of itself.
type Status struct {
	Connection    string
	Leader        bool
	Pending       int    // transactions in the outbox, accepted ones included until their records are here
	PendingSpaces int    // spaces that the server does not have yet
	Undurable     int    // transactions that are not on the disk yet
	Rejected      int    // transactions in the rejected store
	LostRows      int    // transactions in the lost store
	CatchingUp    int    // spaces whose newest records are still to come
	Recovering    int    // spaces of which the server lost records that are here, or may come back
	Damaged       int    // spaces some of whose records cannot be read until they were fetched again
	RetryAt       uint64 // when spaces may be created again, by the clock of Step; 0: now
	DialAt        uint64 // when it connects again while it is offline, by the clock of Step; 0: not waiting
	LastSync      uint64 // when the server last said something of a space, by the clock of Step; 0: not yet
	Lost          string // not empty: the store was destroyed since this tab began, and what of it was saved, for people
	Code          Code   // why the connection ended last, or what the store failed with
	Reason        string
}

const damagedReason = "some of what is stored here cannot be read; the server is asked for it again"

// Leads reports whether the replica syncs, as [Led] has it.
func (r *Replica) Leads() bool { return r.leads }

// Status returns what the replica says of itself now. It looks at every space: call it for people, not in a loop.
func (r *Replica) Status() Status {
	status := Status{
		Connection: r.connectionName(), Leader: r.leads, LastSync: r.lastSync,
		Undurable: r.undurable(), Code: r.conn.code, Reason: r.conn.reason,
	}
	if why := r.disagreed.reason; !r.leads && status.Code == 0 && why != "" {
		status.Code, status.Reason = wire.CodeAPIUnsupported, why // what this tab would say if it led
	}
	if r.creationRetryAt > r.now {
		status.RetryAt = r.creationRetryAt
	}
	if at := r.conn.wakeAt(r); r.conn.phase == offline && at != never {
		status.DialAt = at
	}
	if r.sync.code != 0 {
		status.Code, status.Reason = r.sync.code, r.sync.reason
	}
	if r.deleted.happened {
		status.Lost = r.deleted.text()
		if status.Code == 0 {
			status.Code, status.Reason = wire.CodeReplicaLost, status.Lost
		}
	}
	if r.modules.full && status.Code == 0 {
		status.Code, status.Reason = wire.CodeQuota, "a space's module could not be stored: the device's storage is full"
	}
	if r.appends.full {
		status.Code, status.Reason = wire.CodeQuota, "what was written last could not be stored: the device's storage is full"
	}
	if r.appends.failures > 0 {
		status.Code, status.Reason = wire.CodeStorageFailed, r.appends.reason
	}
	for _, s := range r.spaces {
		if s.info.Damaged > 0 && !s.info.Deleted {
			status.Damaged++
		}
		status.Pending += s.pendingCount()
		status.Rejected += s.rejected
		status.LostRows += s.lost
		if s.creates() {
			status.PendingSpaces++
		}
		if s.problem == wire.CodeRecovering {
			status.Recovering++
		}
		if s.feed.asked && !s.feed.caughtUp {
			status.CatchingUp++
		}
	}
	if status.Damaged > 0 && status.Code == 0 {
		status.Code, status.Reason = wire.CodeDamaged, damagedReason
	}
	return status
}

func (r *Replica) undurable() int {
	n := 0
	for i := range r.appends.waiting {
		if r.appends.waiting[i].transaction != nil {
			n++
		}
	}
	if c := r.appends.inFlight; c != nil {
		n += c.undurable
	}
	return n
}

func (r *Replica) connectionName() string {
	switch {
	case !r.config.Sync:
		return ConnectionOff
	case r.meta.LoggedOut():
		return ConnectionLoggedOut
	case !r.leads:
		return ConnectionFollowing
	case r.conn.phase == online && r.conn.setup:
		return ConnectionSetupRequired
	case r.conn.phase == online:
		return ConnectionOnline
	case r.conn.code == wire.CodeServerChanged:
		return ConnectionServerChanged
	case r.conn.code == wire.CodeAPIUnsupported && r.disagreed.serverOutdated:
		return ConnectionServerOutdated
	case r.conn.code == wire.CodeAPIUnsupported:
		return ConnectionUpgradeRequired
	case r.conn.code == wire.CodeAuthRequired, r.conn.code == wire.CodeBadCredentials, r.conn.code == wire.CodeAuthExpired,
		r.conn.code == wire.CodeRevoked, r.conn.code == wire.CodeConnectRefused:
		return ConnectionAuthRequired
	case r.conn.phase == offline:
		return ConnectionOffline
	}
	return ConnectionConnecting
}

// SpaceStatus is what a replica says of one space.
type SpaceStatus struct {
	Space    space.ID
	Known    bool
	Info     SpaceInfo
	Pending  int
	Rejected int
	Lost     int    // transactions in the lost store
	CaughtUp bool   // nothing was behind when the server last said so
	Code     Code   // why the space does not get on, zero if it does
	Reason   string // for people
	RetryAt  uint64 // when it tries again, by the clock of Step; 0: not waiting
	Access   Access // whether the server lets this identity read it, as it said on this connection
	// Expired is the number up to which records of the space have expired, as the server has told this tab; 0: of none.
	Expired uint64
	// Recovering is how far bringing back records has come that the server lost; zero where none are brought.
	Recovering Recovering
	// Checkpoint is what the server has told of the space's tables.
	Checkpoint ServerCheckpoint
}

// Access is what a server said of a space on the connection that there is.
type Access uint8

// What a server may have said.
const (
	AccessUnknown Access = 0 // nothing yet, or this tab is not connected
	AccessGiven   Access = 1 // this identity may read
	AccessLost    Access = 2 // it has read, and may not any more
)

// pendingCount returns how many transactions wait for the server or for their records. What the server took of a space that was deleted since waits for nothing,
// and stays until the space is forgotten.
func (s *spaceState) pendingCount() int {
	n := s.outboxCount
	if s.info.Deleted && s.loaded {
		for _, e := range s.entries {
			if e.State == Accepted {
				n--
			}
		}
	}
	return n
}

// Space returns what the replica knows of a space.
func (r *Replica) Space(id space.ID) SpaceStatus {
	s := r.spaces[id]
	if s == nil {
		return SpaceStatus{Space: id, Info: SpaceInfo{Position: space.Start(id)}}
	}
	status := SpaceStatus{
		Space: id, Known: s.known, Info: s.info, Pending: s.pendingCount(), Rejected: s.rejected, Lost: s.lost,
		CaughtUp: s.feed.caughtUp, Access: s.feed.access, Code: s.problem, Reason: s.reason, RetryAt: s.push.retryAt,
		Checkpoint: r.checkpoint(s), Expired: s.expired,
	}
	if of := s.recoveringOf(); status.Code == wire.CodeRecovering && of.Total > 0 {
		status.Recovering = of
		status.Reason = fmt.Sprintf("the server has lost records: %d of %d are still to be brought back from here", of.Left, of.Total)
	}
	if s.info.Deleted {
		status.Code, status.Reason = wire.CodeDeleted, deletedReason
	}
	if status.Code == 0 && s.info.Damaged > 0 {
		status.Code, status.Reason = wire.CodeDamaged, damagedReason
	}
	if status.Code == 0 && !s.push.missing.IsZero() {
		status.Code, status.Reason = r.whyMissing(s.push.missing)
	}
	if status.Code == 0 {
		for _, e := range s.entries {
			if e.State == Waiting && e.Code != 0 {
				status.Code, status.Reason = e.Code, e.Reason
				break
			}
		}
	}
	if s.creates() && r.creationRetryAt > r.now {
		status.RetryAt = r.creationRetryAt
	}
	return status
}

// Before returns the key of the row that stands before the last n of a space's outbox; zero if none does, or if it is not
// known.
func (r *Replica) Before(id space.ID, n int) uint64 {
	if s := r.spaces[id]; s != nil && len(s.entries) > n {
		return s.entries[len(s.entries)-n-1].Key
	}
	return 0
}

// CaughtUp returns those of the spaces that other tabs look at of which nothing was behind when the server last said so.
func (r *Replica) CaughtUp() []space.ID {
	var ids []space.ID
	for _, s := range r.spaces {
		if s.lookedUntil > r.now && s.feed.caughtUp {
			ids = append(ids, s.id)
		}
	}
	sortIDs(ids)
	return ids
}

// Genesis returns what a space was made from, or nil while that is not known.
func (r *Replica) Genesis(id space.ID) *space.Genesis {
	if s := r.spaces[id]; s != nil {
		return s.info.Genesis
	}
	return nil
}

// Spaces returns the IDs of all spaces that the store knows, ascending.
func (r *Replica) Spaces() []space.ID {
	ids := make([]space.ID, 0, len(r.spaces))
	for _, s := range r.spaces {
		if s.known {
			ids = append(ids, s.id)
		}
	}
	sortIDs(ids)
	return ids
}

// Meta returns what the store keeps once for the whole replica, as last seen.
func (r *Replica) Meta() Meta { return r.meta }

// Explain returns what the core holds of a space, for a developer who wonders why nothing happens. Its form may
// change at any time.
func (r *Replica) Explain(id space.ID) string {
	s := r.spaces[id]
	if s == nil {
		return "unknown"
	}
	text := fmt.Sprintf("leads %v phase %d dialAt %d; known %v created %v genesis %v seq %d version %d ahead %v commits %d loaded %v refreshing %v unsure %v problem %s %q; push n %d after %d rows %d reading %v inFlight %d resume %v retryAt %d blocked %v genesis %v queued %v creating %v; feed asked %v answered %v caughtUp %v verified %d inbox %d stale %v; unanswered %d",
		r.leads, r.conn.phase, r.conn.dialAt, s.known, s.info.Created, s.info.Genesis != nil, s.info.Position.Seq, s.version, s.ahead, s.commits, s.loaded, s.refreshing, s.unsure, s.problem, s.reason,
		s.push.n, s.push.after, len(s.push.rows), s.push.reading, len(s.push.inFlight), s.push.resume, s.push.retryAt, s.push.blocked, s.push.genesis, s.push.queued, s.push.creating,
		s.feed.asked, s.feed.answered, s.feed.caughtUp, s.feed.verified.Seq, len(s.feed.inbox), s.feed.stale, r.conn.unanswered)
	text += fmt.Sprintf("; gone %v boots %v pausedAt %d retryAt %d delayed %v; told %d state %d place %d jump %v, retryAt %d; fetching %v", s.feed.gone, s.feed.boots, s.feed.pausedAt, s.feed.retryAt, s.push.delayed, s.told.Seq, s.told.State, s.place.Seq, s.pending.jump, s.wanted.retryAt, r.checkpoints.current == s)
	if s.drop.upto > 0 {
		text += fmt.Sprintf("; expired %d tables %d, drop at %d may %v", s.drop.upto, s.drop.tables, s.drop.at, r.mayDrop(s))
	}
	if c := s.recovery; c != nil {
		text += fmt.Sprintf("; recovery %+v", *c)
	}
	for _, e := range s.entries {
		text += fmt.Sprintf("; row %d %s state %d inFlight %v settling %v at %d %s", e.Key, e.ID, e.State, e.inFlight, e.settling, e.Position.Seq, e.Code)
	}
	return text
}

// Idle reports whether another tab could take over the lead without work being done twice: nothing is on its way to
// the store or back from the server, and everything that the server is known to have is here.
func (r *Replica) Idle() bool {
	if r.modules.fetch.current != nil || r.modules.offer.current != nil || r.checkpoints.current != nil || r.appends.inFlight != nil || !r.sync.idle() || r.conn.unanswered > 0 || r.conn.phase != offline && r.conn.phase != online {
		return false
	}
	for _, s := range r.recoveries {
		if s.recovery.busy && s.recovery.stage > probing {
			return false
		}
	}
	for _, s := range r.spaces {
		if s.feed.asked && !s.feed.caughtUp && s.problem == 0 {
			return false
		}
	}
	return true
}
