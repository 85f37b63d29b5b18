package wasmclient

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"skerry/shared/replica"
)

const (
	// standBackFor is how long a client stands back after another one took the lead from it.
	standBackFor = 30 * time.Second
	// pollEvery is how often a client that somebody looks at, or that leads, looks for what other tabs changed.
	pollEvery = 5 * time.Second
)

// lead is one time of waiting for the lead and of leading.
type lead struct {
	cancel  context.CancelFunc // ends the waiting
	release func()             // gives the lock back; nil while it is not held
	lost    bool               // somebody took it away
}

// enroll prepares the election. Its name is drawn anew for each life.
func (c *Client) enroll() error {
	c.election.deaf = c.config.Channel == nil || c.config.Lead == nil
	var seed [8]byte
	if _, err := io.ReadFull(c.config.Rand, seed[:]); err != nil {
		return fmt.Errorf("draw a name: %w", err)
	}
	c.election.tab = 1 + binary.LittleEndian.Uint64(seed[:])>>12 // a page's numbers have 53 bits
	c.election.random = func(n uint64) uint64 {
		var b [8]byte
		io.ReadFull(c.config.Rand, b[:]) // if it fails all tabs wait equally long, which their names settle
		return binary.LittleEndian.Uint64(b[:]) % n
	}
	return nil
}

// join begins to listen to the other tabs and stands in line for the lead.
func (c *Client) join() {
	if c.config.Channel != nil && c.hush == nil {
		c.hush = c.config.Channel.Receive(func(m Message) { c.post(func() { c.hear(m) }) })
	}
	c.contend(0, false)
	c.planPoll()
}

// leave stops listening to the other tabs.
func (c *Client) leave() {
	if c.hush != nil {
		c.hush()
		c.hush = nil
	}
}

// say tells the other tabs something.
func (c *Client) say(m Message) {
	if c.hush != nil && (m.Kind != "" || m.Version != 0) {
		c.config.Channel.Send(m)
	}
}

// hear takes what another tab says.
func (c *Client) hear(m Message) {
	c.others = true
	switch m.Kind {
	case wordLook:
		c.step(replica.Poll{})
		return
	case "":
		c.step(replica.Hint{Space: m.Space, Version: m.Version})
		return
	case wordLooking:
		c.step(replica.Looking{Spaces: m.Looking})
		return
	case wordWhoLooks:
		c.step(replica.WhoLooks{})
		return
	case wordReport:
		c.hearReport(m)
		return
	case wordCheckpoint:
		c.hearCheckpoint(m.Report)
		return
	case wordCheckpoints:
		c.hearCheckpoints(m.Report)
		return
	case wordHowStands:
		c.tellReport()
		c.tellLost()
		return
	case wordHistory:
		c.hearHistory(m.Report)
		return
	case wordNoHistory:
		c.hearNoHistory(m.Report)
		return
	case wordSaid:
		c.hearSaid(m.Report)
		return
	case wordAccess:
		c.hearAccess(m.Report)
		return
	case wordHeard:
		c.hearHeard(m.Report)
		return
	}
	say, take := c.election.heard(c.now(), m, c.core.Idle)
	if say.Kind == wordYours {
		c.log("a tab that somebody looks at is offered the lead")
	}
	c.elect(say, take, "the tab that leads, hidden and idle, hands the lead over")
}

// tick lets time pass for the election.
func (c *Client) tick() {
	say, take := c.election.tick(c.now())
	c.elect(say, take, "the tab that leads is silent: the lead is taken from it")
	c.planReport()
	if c.report != nil && c.now() >= c.report.heard+reportLasts {
		c.dropReport()
	}
}

// elect does what the election says.
func (c *Client) elect(say Message, take bool, why string) {
	c.say(say)
	if take {
		c.log(why)
		c.letGo() // of the place in line: the lock must not come to this tab twice
		c.contend(0, true)
	}
	c.planTick()
}

// stand tells the election where this tab stands now.
func (c *Client) stand(s standing) {
	c.say(c.election.stand(c.now(), s))
	c.planTick()
	c.dropReport()
}

func (c *Client) planTick() {
	if c.election.due == 0 {
		c.beat.Stop()
		return
	}
	c.beat.Reset(time.Duration(c.election.due-min(c.now(), c.election.due)) * time.Millisecond)
}

// poll looks for what other tabs changed: hints may be lost.
func (c *Client) poll() {
	c.step(replica.Poll{})
	c.planPoll()
}

// planPoll plans the next look: where somebody looks at this tab, and where it syncs for the others.
func (c *Client) planPoll() {
	alone := c.config.Lead == nil && !c.config.Unlocked
	if alone || c.suspended || c.election.hidden && (c.lead == nil || c.lead.release == nil) {
		c.polls.Stop()
		return
	}
	c.polls.Reset(pollEvery)
}

// contend waits for the lead, after a delay, and then begins to sync. With steal it takes the lead.
func (c *Client) contend(after time.Duration, steal bool) {
	ctx, cancel := context.WithCancel(c.ctx)
	l := &lead{cancel: cancel}
	if c.over != nil {
		cancel()
		return // a newer page may lead
	}
	c.lead = l
	life := c.life.Load()
	c.stand(away)
	c.work.Go(func() {
		defer cancel()
		if !sleep(ctx, after) {
			return
		}
		release := func() {}
		if c.config.Lead != nil {
			if !steal {
				c.postFor(l, func() { c.stand(inLine) })
			}
			given, err := c.config.Lead(ctx, steal, func() { c.post(func() { c.lost(l) }) })
			if err != nil {
				c.contendAgain(l, standBackFor, "waiting for the lead", err)
				return
			}
			release = sync.OnceFunc(given)
		}
		granted := false
		if c.call(context.Background(), func() { granted = c.granted(l, release) }) != nil || !granted {
			release() // given up meanwhile
			return
		}
		loaded, err := c.loadToLead(ctx)
		if err != nil {
			c.post(func() {
				if c.lead == l { // what was given up meanwhile failed by that, and is in nobody's way
					c.obstacle = err
					c.changed()
				}
				c.storeFailed(life, err)
			})
			c.contendAgain(l, time.Second, "raising the epoch", err)
			return
		}
		c.postFor(l, func() {
			c.obstacle = nil
			c.step(replica.Led{Loaded: loaded})
			c.awaitAnew()
			c.collectModules()
		})
	})
}

// collectModules lets the store forget modules that nobody has used for long.
func (c *Client) collectModules() {
	var named replica.ModuleNames
	for _, id := range c.core.Spaces() {
		info := c.core.Space(id).Info
		named.Add(&info)
	}
	c.work.Go(func() {
		if err := c.config.Store.CollectModules(c.ctx, &named, wallClock()); err != nil {
			c.log("looking for modules that nobody uses failed: " + err.Error())
		}
	})
}

// postFor hands work to the loop that is done only if l was not given up.
func (c *Client) postFor(l *lead, job func()) {
	c.post(func() {
		if c.lead == l {
			job()
		}
	})
}

// contendAgain gives l up because of an error, and stands in line again a little later.
func (c *Client) contendAgain(l *lead, after time.Duration, what string, err error) {
	c.postFor(l, func() {
		c.log(what + " failed: " + err.Error())
		c.letGo()
		c.contend(after, false)
	})
}

// granted takes the lock, unless it is not wanted any more or was taken away already.
func (c *Client) granted(l *lead, release func()) bool {
	if c.lead != l {
		return false
	}
	l.release = release
	if l.lost {
		c.standBack()
		return false
	}
	c.stand(leading) // at once: others must hear of it, however long the store takes to let this tab lead
	c.planPoll()
	return true
}

// loadToLead reads what sync begins from. A leader fences those before it; where tabs cannot take turns nobody is
// fenced, and a session of its own keeps each tab's connection from ending the others'.
func (c *Client) loadToLead(ctx context.Context) (*replica.Loaded, error) {
	if !c.config.Unlocked {
		return c.config.Store.RaiseEpoch(ctx)
	}
	loaded, err := c.config.Store.Load(ctx)
	if err == nil {
		_, err = io.ReadFull(c.config.Rand, loaded.Meta.Session[:])
	}
	return loaded, err
}

// lost is called when another tab took the lead l away. It may be one that is not used yet, or was let go of already.
func (c *Client) lost(l *lead) {
	l.lost = true
	if c.lead == l && l.release != nil {
		c.standBack()
		c.step(replica.Following{})
	}
}

// stepDown lets go of the lead because the store or the server says that another tab has it.
func (c *Client) stepDown() {
	if c.socket != nil {
		c.socket.close("another tab syncs")
		c.socket = nil
	}
	if c.lead != nil && c.lead.release != nil {
		c.standBack()
	}
}

// standBack lets go of the lead because another tab has it. Whoever took it had waited twelve seconds for a sign of
// life: to stand in line again at once would make the two take it from each other by turns.
func (c *Client) standBack() {
	wait := standBackFor
	if c.election.gaveUp(c.now()) {
		wait = 0
		c.log("another tab took over the lead, as offered")
	} else {
		c.log("another tab took the lead away; this one stands back for " + wait.String())
	}
	c.letGo()
	c.contend(wait, false)
}

// letGo gives up the lead, or the place in line for it.
func (c *Client) letGo() {
	l := c.lead
	if l == nil {
		return
	}
	c.lead = nil
	l.cancel()
	if l.release != nil {
		l.release()
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
