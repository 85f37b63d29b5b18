package wasmclient

import (
	"context"
	"strconv"

	"skerry/shared/replica"
	"skerry/shared/wire"
)

// Logout ends syncing, in all clients that share the store and whenever it is opened, until [Client.Login]. Nothing is deleted: it can be
// read and written as without a network, and what is written waits. It returns once that is durable; the others hear of it
// at once over [Config.Channel], and within five seconds in any case.
func (c *Client) Logout(ctx context.Context) error { return c.setLogin(ctx, true) }

// Login ends what [Client.Logout] began.
func (c *Client) Login(ctx context.Context) error { return c.setLogin(ctx, false) }

func (c *Client) setLogin(ctx context.Context, out bool) error {
	for {
		var meta replica.Meta
		if err := c.call(ctx, func() { meta = c.core.Meta() }); err != nil {
			return err
		}
		if meta.LoggedOut() == out {
			return nil
		}
		if err := c.storeLogin(ctx, meta.Login+1); err != nil {
			return err
		}
	}
}

// storeLogin counts a login or logout, unless somebody else did, and tells the loop how often that was done.
func (c *Client) storeLogin(ctx context.Context, number uint64) error {
	return c.read(ctx, func(store Store) error {
		result, err := store.Commit(ctx, &replica.Commit{Strict: true, Login: number})
		if err == nil && result.Stale {
			var changes *replica.Changes
			if changes, err = store.Changes(ctx, 1); err == nil {
				number = changes.Login
			}
		}
		if err != nil {
			return c.failed(err)
		}
		return c.call(ctx, func() {
			c.step(replica.Login{Number: number})
			c.say(Message{Kind: wordLook, From: c.election.tab})
		})
	})
}

// Erase logs out and deletes all that the store has, for all clients that share it: none of them can be used any more, and their errors
// have the code forgotten. Its own error has the code unsynced, and nothing is deleted, while something is on this device alone;
// with force it is lost.
func (c *Client) Erase(ctx context.Context, force bool) error {
	if err := c.Logout(ctx); err != nil {
		return err
	}
	return c.read(ctx, func(store Store) error {
		undurable := 0
		if err := c.call(ctx, func() { undurable = c.core.Status().Undurable }); err != nil {
			return err
		}
		result := &replica.CommitResult{Stale: true}
		var err error
		if undurable == 0 || force {
			result, err = store.Commit(ctx, &replica.Commit{Strict: true, Erase: true, Force: force})
		}
		switch {
		case err != nil:
			return c.failed(err)
		case result.Stale:
			return c.unsynced(ctx)
		}
		return c.call(ctx, func() {
			c.say(Message{Kind: wordLook, From: c.election.tab})
			c.storeFailed(c.life.Load(), ErrForgotten)
		})
	})
}

// unsynced says how much would be lost, as far as this client knows.
func (c *Client) unsynced(ctx context.Context) error {
	var s replica.Status
	if err := c.call(ctx, func() { s = c.core.Status() }); err != nil {
		return err
	}
	return &wire.CodeError{Code: wire.CodeUnsynced, Reason: strconv.Itoa(s.Pending+s.Undurable) + " transactions wait to be sent, " +
		strconv.Itoa(s.Rejected) + " were refused, " + strconv.Itoa(s.LostRows) + " of others the server lost, " + strconv.Itoa(s.PendingSpaces) + " spaces are on this device alone: log in so that they are sent, or force it"}
}

// failed takes note of an error of the store, which it returns.
func (c *Client) failed(err error) error {
	life := c.life.Load()
	c.post(func() { c.storeFailed(life, err) })
	return err
}
