package wasmclient

import (
	"context"
	"errors"

	"skerry/shared/replica"
)

// SetVisible tells whether somebody looks at what the client is used for; a new client takes it that somebody does.
// While that is so it looks every few seconds for what other tabs changed, and is offered the lead by tabs that
// nobody looks at. When it becomes so, it looks and tries to connect at once.
func (c *Client) SetVisible(visible bool) {
	c.post(func() {
		was := !c.election.hidden
		c.election.hidden = !visible
		if visible && !was && !c.suspended {
			c.step(replica.Poll{})
			c.step(replica.Online{})
		}
		c.planPoll()
	})
}

// Suspend prepares for a time in which this program does not run, as when a browser freezes a page or keeps it to go
// back to. It gives up the lead, closes the socket and makes durable what was appended, while ctx lets it; then it
// suspends the store, if that is a [Suspender], in any case. What is appended from then on is kept in memory until
// [Client.Resume]. Suspending twice is harmless.
func (c *Client) Suspend(ctx context.Context) error {
	c.suspending.Lock()
	defer c.suspending.Unlock()
	idle := make(chan struct{}, 1)
	err := c.call(ctx, func() { c.suspend(idle) })
	if err == nil {
		select {
		case <-idle:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if store, ok := c.config.Store.(Suspender); ok && !errors.Is(err, errClosed) {
		err = errors.Join(err, store.Suspend(ctx))
	}
	return err
}

// Resume ends what [Client.Suspend] began: the client looks at the store again, listens to other tabs and stands in
// line for the lead. It is harmless where nothing is suspended.
func (c *Client) Resume() {
	c.wake()
	c.post(func() {
		if !c.suspended {
			return
		}
		c.suspended = false
		c.join()
		c.step(replica.Poll{})
	})
}

// wake lets the store be used again.
func (c *Client) wake() {
	c.suspending.Lock()
	defer c.suspending.Unlock()
	if store, ok := c.config.Store.(Suspender); ok {
		store.Resume()
	}
}

// suspend is the part of Suspend that the loop does. idle is told when nothing is left to store.
func (c *Client) suspend(idle chan<- struct{}) {
	if !c.suspended {
		c.suspended = true
		c.letGo() // first of all: another tab may lead from here on
		c.stand(away)
		c.leave()
		c.polls.Stop()
		c.step(replica.Following{})
	}
	c.idle = append(c.idle, idle)
	if len(c.waiting) == 0 {
		c.tellIdle()
	}
}

// tellIdle tells those who wait for it that no commit is waited for.
func (c *Client) tellIdle() {
	for _, idle := range c.idle {
		idle <- struct{}{}
	}
	c.idle = nil
}
