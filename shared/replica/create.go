package replica

import (
	"slices"

	"skerry/shared/wire"
)

// This file is about spaces that the server does not have yet. Creating them is limited by the server, so they wait for
// each other: those with transactions first, and after a denial nobody asks before the time is over.

// creates reports whether s waits for the server to have it at all, which this replica can bring about.
func (s *spaceState) creates() bool { return s.known && s.info.Unmade() }

// exists reports whether the server is believed to have s. Where only the ID is known somebody else made it.
func (s *spaceState) exists() bool { return s.info.Created || s.info.Genesis == nil }

// createSome sends the genesis of spaces that the server does not have, those with transactions first.
func (r *Replica) createSome() {
	// Those whose rows are being read count: a thousand spaces made offline are not in memory all at once.
	for r.creationRetryAt <= r.now && r.creationInFlight+len(r.createReading) < genesesAtOnce {
		var s *spaceState
		switch {
		case len(r.toCreate) > 0:
			s, r.toCreate = r.toCreate[0], r.toCreate[1:]
			s.push.creating = false
		case len(r.toCreateEmpty) > 0 && len(r.createReading)+len(r.toLoad)+r.loading+r.creationRows == 0:
			s, r.toCreateEmpty = r.toCreateEmpty[0], r.toCreateEmpty[1:]
			s.push.creatingEmpty = false
		default:
			return
		}
		if r.mayPush(s) && s.creates() && r.pushOne(s) == later {
			s.push.creating = true
			r.toCreate = slices.Insert(r.toCreate, 0, s)
			return
		}
	}
}

// genesisVerdict takes the verdict on a space itself and reports whether the server has it now.
func (r *Replica) genesisVerdict(s *spaceState, v *wire.Verdict) bool {
	s.reason = ""
	switch v.Kind {
	case wire.Accepted, wire.Duplicate:
		s.problem = 0
		r.conn.setup = false
		r.moduleTaken(s)
		r.sync.setCreated(r, s, true)
		if v.Kind == wire.Accepted {
			r.dropWithdrawn(s, true) // a moment ago the server had nothing of it
		}
		r.subscribe([]*spaceState{s})
		r.wantPush(s)
		return true
	case wire.Deferred:
		if v.Code == wire.CodeRateLimited || v.Code == wire.CodeOverQuota {
			// The limit is on the identity: whoever else waits to be created would hear the same.
			r.creationRetryAt = max(r.creationRetryAt, r.now+max(v.RetryAfterMS, 1))
			if s.outboxCount > 0 {
				s.push.creating = true
				r.toCreate = slices.Insert(r.toCreate, 0, s)
			} else {
				s.push.creatingEmpty = true
				r.toCreateEmpty = slices.Insert(r.toCreateEmpty, 0, s)
			}
		} else if v.Code == wire.CodeAuthRequired && !r.mine(s.info.Genesis.Creator) {
			r.delay(s, r.now+recoverRetry+r.random(recoverRetry)) // its creator may have brought it back by then
		} else {
			r.holdBack(s, v)
		}
		s.push.resume = true
		s.reason = v.Code.String()
	default:
		s.problem, s.reason = v.Code, v.Reason
	}
	return false
}
