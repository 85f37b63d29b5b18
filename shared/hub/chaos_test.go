package hub_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// client is a replica as far as pushing goes: it sends its outbox in order, again from the start on every new
// connection, and from the first deferred one with resume.
type client struct {
	conn   hub.ConnID
	outbox []space.Transaction
	done   []bool
	no     map[space.ULID]bool // refused once
	next   int
	n      uint64
	resume bool
	sent   map[uint64][2]int // by n: the part of the outbox that has no verdicts yet
}

// chaos is a space under several clients while everything that may go wrong does.
type chaos struct {
	*world
	random  *rand.Rand
	clients []*client
	conns   hub.ConnID
	others  byte
	calm    bool

	foreign func(n byte) space.Transaction // what another server takes
	check   func()                         // when all is done
	refuses bool                           // the module refuses some
}

func TestChaos(t *testing.T) {
	for seed := range uint64(400) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newChaos(t, seed).run() })
	}
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{
		world:  newWorld(t, func(c *hub.Config) { c.AppendRecords = 5; c.FullRetry = 10 }),
		random: rand.New(rand.NewPCG(seed, 1)),
	}
	c.foreign, c.check = foreign, c.checkOrder
	for k := range byte(4) {
		x := &client{}
		for i := range byte(20) {
			transaction := tx()
			for j := range 1 + byte(c.random.IntN(3)) {
				transaction.Events = append(transaction.Events, space.Event{ID: space.ULID{k + 1, i + 1, j}, Type: "t"})
			}
			x.outbox = append(x.outbox, transaction)
		}
		if k == 3 { // the same replica in a second tab, with the same outbox
			x.outbox = c.clients[0].outbox
		}
		x.done = make([]bool, len(x.outbox))
		c.clients = append(c.clients, x)
		c.connect(x)
	}
	return c
}

func (c *chaos) connect(x *client) {
	c.conns++
	x.conn, x.n, x.next, x.resume, x.sent = c.conns, 0, 0, false, make(map[uint64][2]int)
}

func (c *chaos) run() {
	for i := range 30_000 {
		c.calm = i > 600
		x := c.clients[c.random.IntN(len(c.clients))]
		switch c.random.IntN(6) {
		case 0, 1:
			c.send(x)
		case 2:
			if !c.calm && c.random.IntN(10) == 0 {
				c.step(hub.Disconnected{Conn: x.conn})
				c.connect(x)
			}
		case 3:
			c.now += uint64(c.random.IntN(20))
			c.step(hub.Tick{})
		default:
			c.answerOne()
		}
		c.hear()
		if c.calm && c.finishedAll() {
			c.check()
			return
		}
	}
	c.t.Fatal("the clients never get all of their verdicts")
}

func (c *chaos) send(x *client) {
	if x.resume && len(x.sent) > 0 || x.next == len(x.outbox) {
		return
	}
	to := min(x.next+1+c.random.IntN(6), len(x.outbox))
	x.n++
	x.sent[x.n] = [2]int{x.next, to}
	p := &wire.Push{Space: spaceID, N: x.n, Resume: x.resume, Transactions: x.outbox[x.next:to]}
	x.next, x.resume = to, false
	c.step(hub.Offer{Caller: c.caller(x.conn), Push: p, Size: 1})
}

// answerOne answers one of the requests under way, more often badly than a real log would.
func (c *chaos) answerOne() {
	bad := !c.calm && c.random.IntN(4) == 0
	switch c.random.IntN(7) {
	case 0:
		if c.open != nil {
			c.answerOpen()
		}
		c.module.spoiled = c.module.spoiled || bad && c.random.IntN(4) == 0
	case 1:
		if c.lookup == nil {
			return
		}
		if c.random.IntN(2) == 0 {
			c.found()
			return
		}
		c.step(hub.Found{Ref: answer(c.world, &c.lookup, "lookup").Ref, Known: c.asked}) // as it was when asked
	case 2:
		if c.read != nil {
			c.history()
		}
	case 3:
		if c.loadHead != nil {
			c.headRead()
		}
	case 4:
		if c.append == nil {
			return
		}
		if !bad {
			c.stored()
			return
		}
		a := answer(c.world, &c.append, "append")
		switch c.random.IntN(4) {
		case 0:
			c.others++
			c.log.other(c.foreign(c.others))
			c.step(hub.Appended{Outcome: c.log.append(a)})
		case 1:
			c.log.append(a)
			c.step(hub.Appended{Outcome: hub.Unclear})
		case 2:
			c.step(hub.Appended{Outcome: hub.Unclear})
		case 3:
			c.step(hub.Appended{Outcome: hub.Full})
		}
	case 5:
		if c.prepare != nil && c.random.IntN(4) == 0 {
			c.prepared()
		}
	case 6:
		if bad && c.random.IntN(4) == 0 { // another server, unasked
			c.others++
			c.log.other(c.foreign(c.others))
			c.step(hub.HeadRead{Head: c.log.head})
		}
	}
}

// foreign is a transaction that another server took.
func foreign(n byte) space.Transaction {
	t := tx()
	t.Events = []space.Event{{ID: space.ULID{99, n}, Type: "t"}}
	return t
}

// hear gives the replies to the clients and checks each verdict against the log.
func (c *chaos) hear() {
	for _, reply := range c.replies {
		for _, x := range c.clients {
			if x.conn == reply.Conn {
				c.verdicts(x, reply.Pushed)
			}
		}
	}
	c.replies = nil
	if len(c.closed) > 0 {
		c.t.Fatalf("closed %v", c.closed)
	}
}

func (c *chaos) verdicts(x *client, p *wire.Pushed) {
	part, ok := x.sent[p.N]
	if !ok || len(p.Verdicts) != part[1]-part[0] {
		c.t.Fatalf("%d verdicts for push %d", len(p.Verdicts), p.N)
	}
	delete(x.sent, p.N)
	for i, v := range p.Verdicts {
		k := part[0] + i
		switch v.Kind {
		case wire.Accepted, wire.Duplicate:
			events := x.outbox[k].Events
			last := c.log.at[events[len(events)-1].ID]
			if last == 0 || last != v.Position.Seq || v.Position.Chain != space.Fold(spaceID, c.log.records[:last]) {
				c.t.Fatalf("a verdict says %d, the log %d", v.Position.Seq, last)
			}
			x.done[k] = true
		case wire.Deferred:
			x.next, x.resume = min(x.next, k), true
		case wire.Rejected:
			if !c.refuses {
				c.t.Fatalf("verdict %v", v)
			}
			x.done[k] = true
			if x.no == nil {
				x.no = map[space.ULID]bool{}
			}
			x.no[x.outbox[k].ID()] = true
		default:
			c.t.Fatalf("verdict %v", v)
		}
	}
}

func (c *chaos) finishedAll() bool {
	for _, x := range c.clients {
		if len(x.sent) > 0 || x.next < len(x.outbox) {
			return false
		}
		for _, done := range x.done {
			if !done {
				return false
			}
		}
	}
	return true
}

// checkOrder holds the log against what was sent: everything once, and the transactions of a client in its order.
func (c *chaos) checkOrder() {
	for _, x := range c.clients {
		last := uint64(0)
		for i := range x.outbox {
			seq := c.log.at[x.outbox[i].Events[0].ID]
			if seq <= last {
				c.t.Fatalf("transaction %d of a client is at %d, after %d", i, seq, last)
			}
			last = seq
		}
	}
	if len(c.log.at) != len(c.log.records) {
		c.t.Fatal("a record is in the log twice")
	}
}
