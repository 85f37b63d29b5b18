package wasmclient

import (
	"context"
	"errors"

	"skerry/shared/replica"
	"skerry/shared/wire"
)

// Status is what a client says of itself.
type Status struct {
	// Connection is one of off, offline, connecting, online, following, setup_required, auth_required,
	// server_changed, server_outdated, upgrade_required, logged_out. Where another tab syncs it is what that one said last; following while nothing
	// was heard of it.
	Connection    string
	Leader        bool      // this tab syncs
	Pending       int       // transactions whose records are not here yet
	PendingSpaces int       // spaces that the server does not have yet
	Undurable     int       // transactions that are not on this device's disk yet
	Rejected      int       // refused transactions
	Lost          int       // transactions of others that the server lost and refused to take back
	Recovering    int       // spaces of which the server lost records; those that are here go back to it
	CatchingUp    int       // spaces whose newest records are still to come
	RetryAt       uint64    // when the server lets spaces be created again, milliseconds since 1970; 0: now
	DialAt        uint64    // when it connects again while it is offline, milliseconds since 1970; 0: not waiting
	LastSync      uint64    // when the server last said something of a space, milliseconds since 1970; 0: not yet
	Storage       string    // ok, degraded, memory, replica_lost
	Code          wire.Code // why the connection ended last, or what the store failed with
	Reason        string    // for people
}

// Status returns what the client says of itself now.
func (c *Client) Status() Status {
	status := Status{Connection: "offline", Storage: c.config.Storage}
	c.call(context.Background(), func() {
		s := c.core.Status()
		status = Status{
			Connection: s.Connection, Leader: s.Leader, Pending: s.Pending, PendingSpaces: s.PendingSpaces,
			Undurable: s.Undurable, Rejected: s.Rejected, Lost: s.LostRows, CatchingUp: s.CatchingUp, Recovering: s.Recovering,
			RetryAt: c.wall(s.RetryAt), DialAt: c.wall(s.DialAt), LastSync: c.wall(s.LastSync),
			Storage: c.config.Storage, Code: s.Code, Reason: s.Reason,
		}
		c.byReport(&status)
		if s.Lost != "" {
			status.Storage = "replica_lost"
		}
		switch {
		case errors.Is(c.over, ErrForgotten):
			status.Connection, status.Code, status.Reason = replica.ConnectionLoggedOut, wire.CodeForgotten, c.over.Error()
		case c.over != nil:
			status.Connection, status.Code, status.Reason = replica.ConnectionUpgradeRequired, wire.CodeUpgradeRequired, ErrNewerStore.Error()
		case errors.Is(c.obstacle, ErrFull):
			status.Code, status.Reason, status.Storage = wire.CodeQuota, c.obstacle.Error(), "degraded"
		case c.obstacle != nil:
			status.Code, status.Reason, status.Storage = wire.CodeStorageFailed, c.obstacle.Error(), "degraded"
		}
		for _, d := range c.diverged {
			if status.Code == 0 {
				status.Code, status.Reason = wire.CodeModuleDiverged, divergedReason(d)
			}
		}
		if s.Code == wire.CodeQuota || s.Code == wire.CodeStorageFailed || s.Damaged > 0 {
			status.Storage = "degraded"
		}
	})
	if status.Storage == "" {
		status.Storage = "ok"
	}
	return status
}
