package hub

import (
	"fmt"

	"skerry/shared/space"
	"skerry/shared/wire"
)

// cursor is one subscription: how far the client has been sent a space. There is no queue behind it; when the head
// has moved it is read again from where it stands.
type cursor struct {
	space    space.ID
	ref      uint64 // new whenever the client asks anew, so that answers to the old one are told apart
	position space.Position
	head     uint64 // the durable head, as far as is known
	woken    uint64 // the head that was told since the read under way began
	checked  bool   // the position was found good: it may be read from
	reads    bool   // the client was found to be one who may read, by this cursor or one that it took the place of
	caughtUp bool   // it was at the head once
	queued   bool   // it is in a ring
	lagging  bool   // its last message was big and did not reach the head: back to the backlog
	share    int    // bytes that it may still be sent in this turn; negative after a big message
	removed  bool
	until    uint64    // the last record that may be sent, with code
	code     wire.Code // with which the subscription ends there; 0: it goes on
	kept     *Kept     // a row that waits for the position
}

// ring is the cursors of one class that have something to read, next first.
type ring struct {
	cursors []*cursor
	first   int
}

func (r *ring) push(c *cursor) { r.cursors = append(r.cursors, c) }

func (r *ring) front() *cursor {
	for r.first < len(r.cursors) {
		if c := r.cursors[r.first]; !c.removed {
			return c
		}
		r.pop()
	}
	return nil
}

func (r *ring) pop() *cursor {
	c := r.cursors[r.first]
	r.cursors[r.first] = nil
	if r.first++; r.first == len(r.cursors) {
		r.cursors, r.first = r.cursors[:0], 0
	} else if r.first > 64 && r.first > len(r.cursors)/2 {
		n := copy(r.cursors, r.cursors[r.first:])
		clear(r.cursors[n:])
		r.cursors, r.first = r.cursors[:n], 0
	}
	return c
}

// subscribe begins subscriptions: first the connection is registered to be woken, then the position is checked,
// then the records after it are read. So no record falls between what is read and what wakes.
func (c *Conn) subscribe(f *wire.Subscribe) {
	if uint64(len(f.Subscriptions)) > c.config.Limits.SubscribePairs {
		c.fail(wire.CodeTooMany, fmt.Sprintf("%d pairs in a subscribe, at most %d", len(f.Subscriptions), c.config.Limits.SubscribePairs))
		return
	}
	for i := range f.Subscriptions {
		s := &f.Subscriptions[i]
		reads := c.hears(s.Space)
		if old := c.cursors[s.Space]; old != nil {
			old.removed = true // still watched
		} else if uint64(len(c.cursors)) >= c.config.Limits.Subscriptions {
			c.send(&wire.Ended{
				Space: s.Space, Code: wire.CodeTooMany, Reason: fmt.Sprintf("at most %d subscriptions", c.config.Limits.Subscriptions),
			})
			continue
		} else {
			c.out.Watch = append(c.out.Watch, s.Space)
		}
		c.refs++
		c.cursors[s.Space] = &cursor{space: s.Space, ref: c.refs, position: s.Position, reads: reads}
		_, listed := c.directory[s.Space]
		c.out.Check = append(c.out.Check, CheckPosition{Space: s.Space, Ref: c.refs, Seq: s.Position.Seq, Chain: s.Position.Chain, NeedRow: !listed})
	}
}

func (c *Conn) unsubscribe(f *wire.Unsubscribe) {
	if uint64(len(f.Spaces)) > c.config.Limits.SubscribePairs {
		c.fail(wire.CodeTooMany, fmt.Sprintf("%d spaces in an unsubscribe, at most %d", len(f.Spaces), c.config.Limits.SubscribePairs))
		return
	}
	for _, id := range f.Spaces {
		if cur := c.cursors[id]; cur != nil {
			c.remove(cur)
		}
	}
}

func (c *Conn) remove(cur *cursor) {
	cur.removed = true
	delete(c.cursors, cur.space)
	c.out.Unwatch = append(c.out.Unwatch, cur.space)
}

// end ends a subscription and says why.
func (c *Conn) end(cur *cursor, code wire.Code, reason string) {
	c.remove(cur)
	c.send(&wire.Ended{Space: cur.space, Code: code, Reason: reason})
}

// find returns the cursor that an answer is for, nil if the client has asked for something else since.
func (c *Conn) find(id space.ID, ref uint64) *cursor {
	if cur := c.cursors[id]; cur != nil && cur.ref == ref {
		return cur
	}
	return nil
}

// checked decides whether the client's position is on the history that this server has.
func (c *Conn) checked(in Checked) {
	cur := c.find(in.Space, in.Ref)
	if cur == nil || cur.checked {
		return
	}
	p := &cur.position
	switch {
	case in.Code != 0:
		c.end(cur, in.Code, "")
	case !in.Exists:
		c.end(cur, wire.CodeUnknownSpace, "")
	case p.Seq <= in.Head.Seq && p.Chain == in.Chain:
		if in.MayRead && p.Seq < in.Expired {
			if in.Row != nil {
				c.sendRows(&wire.Spaces{Rows: []wire.SpaceRow{*in.Row}})
			}
			c.end(cur, wire.CodeResumeGone, "")
			return
		}
		if in.MayRead {
			c.start(cur, in)
			return
		}
		// Said behind the proof that both have one history, which the client wants before it writes: it may be about to join again.
		c.end(cur, wire.CodeForbidden, "")
	case p.Seq > in.Head.Seq && c.config.CheckSeal(cur.space, p):
		c.out.Ahead = append(c.out.Ahead, AheadOf{Space: cur.space, Position: *p})
		c.end(cur, wire.CodeRecovering, "this server has lost records that it once stored")
	default:
		c.end(cur, wire.CodeDiverged, "")
	}
}

func (c *Conn) start(cur *cursor, in Checked) {
	cur.checked, cur.reads = true, true
	if in.Seq >= cur.until && cur.code != wire.CodeDeleted { // asked later than that, they may read again
		cur.until, cur.code = 0, 0
	}
	cur.head = max(cur.head, in.Head.Seq)
	if in.Row != nil {
		c.sendRows(&wire.Spaces{Rows: []wire.SpaceRow{*in.Row}})
	}
	c.ready(cur)
}

// ready puts a cursor in line if there is something to read, and says caught_up when there is not for the first
// time.
func (c *Conn) ready(cur *cursor) {
	if !cur.checked || cur.removed || c.finished(cur) || cur.queued {
		return
	}
	if cur.position.Seq >= cur.head {
		cur.lagging, cur.share = false, 0
		if !cur.caughtUp {
			cur.caughtUp = true
			cur.position.Seal = c.config.Seal(cur.space, cur.position.Seq, cur.position.Chain)
			c.send(&wire.CaughtUp{Space: cur.space, Position: cur.position})
		}
		return
	}
	cur.queued = true
	c.ring(cur).push(cur)
}

// finished does what waits for the cursor's place: it sends a row, and ends a subscription that may go no further, which it
// reports.
func (c *Conn) finished(cur *cursor) bool {
	if cur.kept != nil && cur.position.Seq >= cur.kept.Seq {
		c.sendRows(&wire.Spaces{Rows: []wire.SpaceRow{*cur.kept.Row}})
		cur.kept = nil
	}
	if cur.code == 0 || cur.position.Seq < cur.until {
		return false
	}
	c.end(cur, cur.code, "")
	return true
}

// left bounds a subscription.
func (c *Conn) left(in Left) {
	if cur := c.cursors[in.Space]; cur != nil && cur.code == 0 {
		cur.until, cur.code = in.Seq, in.Code
		c.ready(cur)
	}
}

func (c *Conn) kept(in Kept) {
	if cur := c.cursors[in.Row.Genesis.ID()]; cur != nil {
		cur.kept = &in
		c.ready(cur)
	}
}

func (c *Conn) woken(in Woken) {
	cur := c.cursors[in.Space]
	if cur == nil {
		return
	}
	cur.woken = max(cur.woken, in.Seq)
	if in.Seq > cur.head {
		cur.head = in.Seq
		c.ready(cur)
	}
}

// eventsRead sends what was read and puts the cursor in line again.
func (c *Conn) eventsRead(in EventsRead) {
	c.reading = false
	cur := c.find(in.Space, in.Ref)
	if cur == nil {
		return
	}
	switch {
	case in.Code == wire.CodeResumeGone: // what it was to be sent next has expired since
		c.ring(cur).pop()
		cur.queued, cur.checked = false, false
		c.out.Check = append(c.out.Check, CheckPosition{Space: cur.space, Ref: cur.ref, Seq: cur.position.Seq, NeedRow: true})
		return
	case in.Code != 0:
		c.end(cur, in.Code, "")
		return
	case in.Head < cur.position.Seq: // the log lost what this connection was sent, or what its position proved
		cur.position.Seal = c.config.Seal(cur.space, cur.position.Seq, cur.position.Chain)
		c.out.Ahead = append(c.out.Ahead, AheadOf{Space: cur.space, Position: cur.position})
		c.end(cur, wire.CodeRecovering, "this server has lost records that it once stored")
		return
	case len(in.Message) == 0:
		cur.head = max(in.Head, cur.woken) // an earlier wake-up was wrong; one that came meanwhile may not be
	default:
		cur.head = max(cur.head, in.Head)
		cur.position = in.Position
		cur.share -= len(in.Message)
		c.credit -= int64(len(in.Message))
		c.sendMessage(in.Message)
		if c.stage == over || c.finished(cur) {
			return
		}
	}
	ring, more := c.ring(cur), cur.position.Seq < cur.head
	cur.lagging = more && (cur.lagging || len(in.Message) >= c.config.ReadBytes/2)
	if more && cur.share > 0 && ring == c.ring(cur) {
		return // its turn goes on
	}
	ring.pop() // the cursor: it stays in front while it is read for
	cur.queued = false
	c.ready(cur)
}
