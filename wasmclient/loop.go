package wasmclient

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// standBack is how long a client without a lock stands back when another one took the lead.
const standBack = 30 * time.Second

// loop owns the core until the client closes.
func (c *Client) loop() {
	defer close(c.stopped)
	for {
		select {
		case job := <-c.jobs:
			job()
		case <-c.timer.C:
			c.step(replica.Tick{})
		case <-c.ctx.Done():
			c.stop()
			return
		}
	}
}

// stop lets go of everything that the loop owns.
func (c *Client) stop() {
	c.timer.Stop()
	if c.socket != nil {
		c.socket.close("the client closes")
		c.socket = nil
	}
	if c.lead != nil {
		c.lead.release()
		c.lead = nil
	}
	c.tellDrained(errClosed)
	for _, finished := range c.waiting {
		finished(errClosed)
	}
	for _, byID := range c.receipts {
		for _, receipts := range byID {
			for _, receipt := range receipts {
				receipt.decide(space.Position{}, errClosed)
			}
		}
	}
}

// step gives the core one input and does what it says.
func (c *Client) step(input replica.Input) {
	effects := c.core.Step(c.now(), input)
	for _, commit := range effects.Commits {
		c.background(func(ctx context.Context) replica.Input {
			result, err := c.config.Store.Commit(ctx, commit.Commit)
			return replica.Committed{ID: commit.ID, Result: result, Err: err, Full: errors.Is(err, ErrFull), Final: final(err)}
		})
	}
	if effects.Survey {
		c.background(func(ctx context.Context) replica.Input {
			loaded, err := c.config.Store.Load(ctx)
			if err != nil {
				c.log("looking for changes of other tabs failed: " + err.Error())
			}
			return replica.Surveyed{Loaded: loaded}
		})
	}
	for _, id := range effects.Refresh {
		c.background(func(ctx context.Context) replica.Input {
			snapshot, err := c.config.Store.Refresh(ctx, id)
			if err != nil {
				c.log("refresh of " + id.String() + " failed: " + err.Error())
			}
			return replica.Refreshed{Space: id, Snapshot: snapshot}
		})
	}
	for _, read := range effects.ReadRows {
		c.background(func(ctx context.Context) replica.Input {
			rows, err := c.config.Store.Outbox(ctx, read.Space, read.After, read.MaxBytes)
			return replica.RowsRead{Space: read.Space, After: read.After, Rows: rows, Err: err}
		})
	}
	for _, read := range effects.ReadIDs {
		c.background(func(ctx context.Context) replica.Input {
			records, err := c.readIDs(ctx, read.Space, read.After)
			return replica.IDsRead{Space: read.Space, After: read.After, Records: records, Err: err}
		})
	}
	if effects.Hangup != "" && c.socket != nil {
		c.socket.close(effects.Hangup)
		c.socket = nil
	}
	if effects.Dial {
		c.dial()
	}
	for _, message := range effects.Send {
		if c.socket != nil {
			c.socket.send(message)
		}
	}
	if effects.StepDown {
		c.stepDown()
	}
	if c.config.Hints != nil {
		for _, hint := range effects.Hints {
			c.config.Hints.Send(hint.Space, hint.Version)
		}
	}
	c.notice(effects.Notices)
	if effects.WakeAt == 0 {
		c.timer.Stop()
	} else {
		c.timer.Reset(time.Duration(effects.WakeAt-min(c.now(), effects.WakeAt)) * time.Millisecond)
	}
	c.drain()
}

// background runs a store operation beside the loop and gives the core its outcome. The operation is not cancelled
// when the client closes: what a user wrote is let through.
func (c *Client) background(operation func(context.Context) replica.Input) {
	c.work.Go(func() {
		input := operation(context.Background())
		c.post(func() { c.step(input) })
	})
}

// final returns why a store that failed so needs no second try, or zero.
func final(err error) wire.Code {
	switch {
	case errors.Is(err, ErrNewerStore):
		return wire.CodeUpgradeRequired
	case errors.Is(err, ErrStoreClosed):
		return wire.CodeClosed
	}
	return 0
}

func (c *Client) readIDs(ctx context.Context, id space.ID, after uint64) ([]replica.RecordID, error) {
	var ids []replica.RecordID
	for {
		records, err := c.config.Store.Read(ctx, id, after, 1000, 1<<20)
		if err != nil || len(records) == 0 {
			return ids, err
		}
		for i := range records {
			ids = append(ids, replica.RecordIDOf(&records[i]))
		}
		after = records[len(records)-1].Seq
	}
}

// lead is one time of leading: from the moment when the lock was given.
type lead struct {
	release func()
	lost    bool // somebody took it away
}

// contend waits for the lead, after a delay, and then begins to sync.
func (c *Client) contend(after time.Duration) {
	c.work.Go(func() {
		if !sleep(c.ctx, after) {
			return
		}
		l := &lead{release: func() {}}
		if c.config.Lead != nil {
			release, err := c.config.Lead(c.ctx, func() { c.post(func() { c.lost(l) }) })
			if err != nil {
				if c.ctx.Err() == nil {
					c.log("waiting for the lead failed: " + err.Error())
					c.contend(standBack)
				}
				return
			}
			l.release = sync.OnceFunc(release)
		}
		loaded, err := c.loadToLead()
		if err != nil {
			l.release()
			if c.ctx.Err() == nil {
				c.log("raising the epoch failed: " + err.Error())
				c.contend(time.Second)
			}
			return
		}
		if c.call(context.Background(), func() { c.led(l, loaded) }) != nil {
			l.release() // the loop ended first
		}
	})
}

// loadToLead reads what sync begins from. A leader fences those before it; where tabs cannot take turns nobody is
// fenced, and a session of its own keeps each tab's connection from ending the others'.
func (c *Client) loadToLead() (*replica.Loaded, error) {
	if !c.config.Unlocked {
		return c.config.Store.RaiseEpoch(c.ctx)
	}
	loaded, err := c.config.Store.Load(c.ctx)
	if err == nil {
		_, err = io.ReadFull(c.config.Rand, loaded.Meta.Session[:])
	}
	return loaded, err
}

// led begins to sync, unless the lead was taken away meanwhile.
func (c *Client) led(l *lead, loaded *replica.Loaded) {
	if l.lost {
		c.contend(standBack)
		return
	}
	c.lead = l
	c.step(replica.Led{Loaded: loaded})
}

// lost is called when another tab took the lead l away. It may be one that is not used yet, or was let go of already.
func (c *Client) lost(l *lead) {
	l.lost = true
	if c.lead == l {
		c.lead = nil
		c.step(replica.Following{})
		c.contend(standBack)
	}
}

// stepDown lets go of the lead because the store or the server says that another tab has it.
func (c *Client) stepDown() {
	if c.lead == nil {
		return
	}
	c.lead.release()
	c.lead = nil
	if c.socket != nil {
		c.socket.close("another tab syncs")
		c.socket = nil
	}
	if c.config.Lead == nil {
		c.contend(standBack)
		return
	}
	c.contend(time.Second)
}

// notice gives the core's notices to those who wait for them.
func (c *Client) notice(notices []replica.Notice) {
	status := false
	for _, n := range notices {
		switch n := n.(type) {
		case replica.Durable:
			c.finish(n.Ref, nil)
		case replica.Failed:
			c.finish(n.Ref, &wire.CodeError{Code: n.Code, Reason: n.Reason})
		case replica.Found:
			for _, receipt := range c.receipts[n.Space][n.ID] {
				if receipt.sought {
					receipt.stored(nil)
				}
			}
		case replica.Decided:
			c.decided(n)
		case replica.Rejected:
			for _, f := range c.listeners {
				f(Change{Space: n.Space, Refusal: &Refusal{ID: n.ID, Code: n.Code, Reason: n.Reason}})
			}
		case replica.SpaceChanged:
			for _, f := range c.listeners {
				f(Change{Space: n.Space})
			}
		case replica.StatusChanged:
			status = true
		}
	}
	if status {
		for _, f := range c.listeners {
			f(Change{Status: true})
		}
	}
}

func (c *Client) finish(ref uint64, err error) {
	if finished := c.waiting[ref]; finished != nil {
		delete(c.waiting, ref)
		finished(err)
	}
}

func (c *Client) decided(d replica.Decided) {
	receipts := c.receipts[d.Space][d.ID]
	delete(c.receipts[d.Space], d.ID)
	if len(c.receipts[d.Space]) == 0 {
		delete(c.receipts, d.Space)
	}
	var err error
	if d.Outcome != replica.Synced {
		err = &wire.CodeError{Code: d.Code, Reason: d.Reason}
	}
	for _, receipt := range receipts {
		if receipt.sought && d.Outcome == replica.Discarded {
			receipt.stored(err)
		} else if receipt.sought {
			receipt.stored(nil)
		}
		receipt.decide(d.Position, err)
	}
}

// sleep waits for d and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
