package wasmclient

import (
	"context"
	"errors"
	"time"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// loop owns the core until the client closes.
func (c *Client) loop() {
	defer close(c.stopped)
	for {
		select {
		case job := <-c.jobs:
			job()
		case <-c.timer.C:
			c.step(replica.Tick{})
		case <-c.beat.C:
			c.tick()
		case <-c.polls.C:
			c.poll()
		case <-c.checks.C:
			c.checkNext()
		case <-c.reports.C:
			c.tellReport()
		case <-c.ctx.Done():
			c.stop()
			return
		}
	}
}

// stop lets go of everything that the loop owns.
func (c *Client) stop() {
	c.timer.Stop()
	c.beat.Stop()
	c.polls.Stop()
	c.reports.Stop()
	c.checks.Stop()
	if c.socket != nil {
		c.socket.close("the client closes")
		c.socket = nil
	}
	c.letGo()
	c.leave()
	c.tellIdle()
	c.tellDrained(errClosed)
	for _, finished := range c.waiting {
		finished(errClosed)
	}
	c.decideAll(errClosed)
}

// decideAll ends what waits for the server.
func (c *Client) decideAll(err error) {
	for _, byID := range c.receipts {
		for _, receipts := range byID {
			for _, receipt := range receipts {
				receipt.decide(space.Position{}, err)
			}
		}
	}
}

// step gives the core one input and does what it says.
func (c *Client) step(input replica.Input) {
	effects := c.core.Step(c.now(), input)
	for _, commit := range effects.Commits {
		c.background(func(ctx context.Context) (replica.Input, error) {
			result, err := c.config.Store.Commit(ctx, commit.Commit)
			return replica.Committed{ID: commit.ID, Result: result, Err: err, Full: errors.Is(err, ErrFull), Final: final(err)}, err
		})
	}
	if effects.Survey {
		c.background(func(ctx context.Context) (replica.Input, error) {
			changes, err := c.config.Store.Changes(ctx, effects.SurveyAfter)
			if err != nil {
				c.log("looking for changes of other tabs failed: " + err.Error())
			}
			return replica.Surveyed{Changes: changes}, err
		})
	}
	for _, id := range effects.Refresh {
		c.background(func(ctx context.Context) (replica.Input, error) {
			snapshot, err := c.config.Store.Refresh(ctx, id)
			if err != nil {
				c.log("refresh of " + id.String() + " failed: " + err.Error())
			}
			return replica.Refreshed{Space: id, Snapshot: snapshot}, err
		})
	}
	for _, read := range effects.ReadRows {
		c.background(func(ctx context.Context) (replica.Input, error) {
			rows, err := c.config.Store.Outbox(ctx, read.Space, read.After, read.MaxBytes)
			return replica.RowsRead{Space: read.Space, After: read.After, Rows: rows, Err: err}, err
		})
	}
	for _, read := range effects.ReadIDs {
		c.background(func(ctx context.Context) (replica.Input, error) {
			records, err := c.readIDs(ctx, read.Space, read.After)
			return replica.IDsRead{Space: read.Space, After: read.After, Records: records, Err: err}, err
		})
	}
	for _, d := range effects.ReadModules {
		c.background(func(ctx context.Context) (replica.Input, error) {
			content, err := c.config.Store.Module(ctx, d)
			return replica.ModuleRead{Digest: d, Bytes: content, Err: err}, err
		})
	}
	for _, store := range effects.StoreModules {
		c.background(func(ctx context.Context) (replica.Input, error) {
			err := c.config.Store.PutModule(ctx, store.Digest, store.Bytes)
			return replica.ModuleStored{Digest: store.Digest, Err: err, Full: errors.Is(err, ErrFull)}, err
		})
	}
	for _, store := range effects.StoreCheckpoints {
		c.background(func(ctx context.Context) (replica.Input, error) {
			err := c.config.Store.PutCheckpoint(ctx, store.Space, store.Checkpoint)
			if err != nil {
				c.log("storing the server's checkpoint of " + store.Space.String() + " failed: " + err.Error())
			}
			return replica.CheckpointKept{Space: store.Space, Root: store.Root, Err: err}, err
		})
	}
	for _, trace := range effects.Trace {
		c.background(func(ctx context.Context) (replica.Input, error) {
			traced := replica.Trace(trace, func(after uint64) ([]space.Record, error) {
				return c.config.Store.Read(ctx, trace.Space, after, 500, 128<<10)
			})
			return traced, c.damaged(trace.Space, traced.Err)
		})
	}
	for _, read := range effects.ReadRecords {
		c.background(func(ctx context.Context) (replica.Input, error) {
			records, err := c.readRecords(ctx, read.Space, read.After, read.Last)
			return replica.RecordsRead{Space: read.Space, After: read.After, Records: records, Err: err}, err
		})
	}
	for _, weigh := range effects.WeighDrop {
		before := wallClock() - min(wallClock(), replica.KeepExpired)
		c.background(func(ctx context.Context) (replica.Input, error) {
			weighed := replica.WeighDrop(weigh, before, func(after uint64) ([]space.Record, error) {
				return c.config.Store.Read(ctx, weigh.Space, after, 500, 128<<10)
			}, func() (*replica.Checkpoint, error) { return c.config.Store.Checkpoint(ctx, weigh.Space) })
			return weighed, c.damaged(weigh.Space, weighed.Err)
		})
	}
	for _, id := range effects.Check {
		c.background(func(context.Context) (replica.Input, error) {
			checked := c.checkFor(id)
			return checked, checked.Err
		})
	}
	if effects.Hangup != "" && c.socket != nil {
		c.socket.close(effects.Hangup)
		c.socket = nil
	}
	if effects.Dial {
		c.dial()
	}
	if effects.Prove != nil && c.socket != nil {
		c.socket.prove(effects.Prove)
	}
	for _, message := range effects.Send {
		if c.socket != nil {
			c.socket.send(message)
		}
	}
	if effects.StepDown {
		c.stepDown()
	}
	if effects.Yield && c.leads() {
		c.letGo()
		c.contend(0, false)
	}
	for _, hint := range effects.Hints {
		c.say(Message{Space: hint.Space, Version: hint.Version})
	}
	if len(effects.Looking) > 0 {
		c.say(Message{Kind: wordLooking, Looking: effects.Looking})
	}
	if effects.WhoLooks {
		c.say(Message{Kind: wordWhoLooks})
	}
	c.notice(effects.Notices)
	if effects.WakeAt == 0 {
		c.timer.Stop()
	} else {
		c.timer.Reset(time.Duration(effects.WakeAt-min(c.now(), effects.WakeAt)) * time.Millisecond)
	}
	c.drain()
}

// background runs a store operation beside the loop and gives the core its outcome, unless the replica that it was
// about was destroyed meanwhile. The operation is not cancelled when the client closes: what a user wrote is let through.
func (c *Client) background(operation func(context.Context) (replica.Input, error)) {
	life := c.life.Load()
	c.work.Go(func() {
		input, err := operation(context.Background())
		c.post(func() {
			c.storeFailed(life, err)
			if c.life.Load() == life {
				c.step(input)
			}
		})
	})
}

// final returns why a store that failed so needs no second try, or zero.
func final(err error) wire.Code {
	switch {
	case errors.Is(err, ErrNewerStore):
		return wire.CodeUpgradeRequired
	case errors.Is(err, ErrForgotten):
		return wire.CodeForgotten
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
			return ids, c.damaged(id, err)
		}
		for i := range records {
			ids = append(ids, replica.RecordIDOf(&records[i]))
		}
		after = records[len(records)-1].Seq
	}
}

// readRecords reads the records behind a number, up to another one.
func (c *Client) readRecords(ctx context.Context, id space.ID, after, last uint64) (all []space.Record, err error) {
	for after < last {
		records, err := c.config.Store.Read(ctx, id, after, int(min(last-after, 500)), 1<<20)
		if err != nil || len(records) == 0 {
			return all, c.damaged(id, err)
		}
		all = append(all, records[:min(uint64(len(records)), last-after)]...)
		after = all[len(all)-1].Seq
	}
	return all, nil
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
			c.tellReaders(n.Space, nil)
			if v := c.views[n.Space]; v != nil {
				v.signal()
			}
			c.live(n.Space)
			for _, f := range c.listeners {
				f(Change{Space: n.Space})
			}
		case replica.HistoryFailed:
			c.noHistory(n)
		case replica.CheckpointChanged:
			c.checkpointChanged(n.Space)
			c.tellCheckpoint(n.Space)
		case replica.Heard:
			c.heard(n)
		case replica.Unheard:
			c.log("the server does not pass on what was said here: " + n.Code.String() + ": " + n.Reason)
		case replica.StatusChanged:
			status = true
		}
	}
	if status {
		c.changed()
	}
}

// changed tells that the status may say something else.
func (c *Client) changed() {
	c.planReport()
	for _, f := range c.listeners {
		f(Change{Status: true})
	}
}

func (c *Client) finish(ref uint64, err error) {
	if finished := c.waiting[ref]; finished != nil {
		delete(c.waiting, ref)
		finished(err)
	}
	if len(c.waiting) == 0 {
		c.tellIdle()
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
