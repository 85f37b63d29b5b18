package syncserver

import (
	"context"
	"fmt"
	"slices"
	"time"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/module/system"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Who is connected is written down in the same step as the record of the system space that says so, and taken out with the one that
// says that they are gone. So each row is a $connect without a $disconnect, at whatever moment the server is killed, and at the next
// start the rows say whom to write off. Ids of these records are made of the connection's, so that a log takes each once.
//
// The rows are of the one server that a log has. Several servers over one log would have to say in each whose connection it is.

// enterLocked asks the policy whether a connection may go on, and answers it.
func (s *Server) enterLocked(c *connection, r *hub.Register) {
	if c.over {
		return
	}
	if !s.system.on {
		c.stepLocked(hub.Registered{})
		return
	}
	c.clients, c.claims = clientsOf(r.Connection, r.Proven, s.wall())
	c.entering = true
	if !s.spawn(func() { s.charge(c) }) {
		c.entering = false
		c.stepLocked(hub.Registered{Code: wire.CodeOverloaded, Reason: "the server is stopping"})
	}
}

// charge lets a connection come to the policy, unless there are too many from where it comes.
func (s *Server) charge(c *connection) {
	answer := s.admitConnect(c.hub.Caller().Address)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
		c.entering = false
		c.goneLocked() // which waited for this
	case answer.Code != 0:
		c.entering = false
		c.stepLocked(answer)
	default:
		s.writeDownLocked(c)
	}
}

// clientsOf returns what is written down of a connection, one for each identity, and what is claimed of each.
func clientsOf(connection wire.ConnectionID, proven []hub.Proven, since uint64) (clients []Client, claims [][]byte) {
	if len(proven) == 0 {
		proven = []hub.Proven{{}}
	}
	for i := range proven {
		clients = append(clients, Client{Connection: connection, Identity: proven[i].Identity, Since: since})
		claims = append(claims, proven[i].Claims)
	}
	return clients, claims
}

// writeDownLocked asks the policy about a connection, and writes down that it is there if the policy lets it in.
func (s *Server) writeDownLocked(c *connection) {
	c.entering = true
	claims, rows := c.claims, slices.Clone(c.clients)
	for i := range rows {
		rows[i].Claims = claims[i]
	}
	events := connectEvents(module.TypeConnect, c.clients)
	s.record(events, claims, &ClientChanges{Connected: rows}, func(v wire.Verdict) {
		if v.Kind == wire.Deferred && v.Code == wire.CodeServerFull { // it is read-only, and not shut
			s.try(events, claims, func(tried wire.Verdict) { s.decided(c, tried, max(v.RetryAfterMS, 1)) })
			return
		}
		s.decided(c, v, 0)
	})
}

// renewedLocked keeps what newer credentials of a connection claim, one after the other, if the policy still lets it be there.
func (s *Server) renewedLocked(c *connection, proven *hub.Proven) {
	if !s.system.on {
		return
	}
	if c.renewals = append(c.renewals, *proven); len(c.renewals) == 1 {
		s.spawn(func() { s.renew(c) })
	}
}

func (s *Server) renew(c *connection) {
	for {
		c.mu.Lock()
		proven := c.renewals[0]
		c.mu.Unlock()
		err := s.admitted(s.work, []hub.Proven{proven})
		if code := wire.CodeOf(err); code == wire.CodeConnectRefused || code == wire.CodeConnectFailed {
			c.step(hub.Fail{Code: code, Reason: reason(err)})
			return
		}
		c.mu.Lock()
		if c.claims != nil { // they are still to be written down
			at := slices.IndexFunc(c.clients, func(of Client) bool { return of.Identity == proven.Identity })
			c.claims = slices.Clone(c.claims)
			c.claims[at] = proven.Claims
		}
		entered := c.entered
		c.mu.Unlock()
		if entered {
			if err := s.log.SetClaims(s.work, c.name, proven.Identity, proven.Claims); err != nil {
				s.logger.Error("cannot keep what newer credentials claim", "connection", c.id, "error", err)
			}
		}
		c.mu.Lock()
		c.renewals = c.renewals[1:]
		more := len(c.renewals) > 0
		c.mu.Unlock()
		if !more {
			return
		}
	}
}

// decided takes the policy's word on a connection, which may be gone meanwhile. One that is let in while the log is full is written
// down later: full is after how many milliseconds that is tried.
func (s *Server) decided(c *connection, v wire.Verdict, full uint64) {
	answer := admission(&v)
	if answer.Code == wire.CodeConnectFailed || answer.Code == wire.CodeOverloaded {
		s.logger.Error("the policy could not be asked about a connection", "connection", c.id, "code", v.Code, "reason", v.Reason)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entering, c.entered = false, v.Kind == wire.Accepted && full == 0
	switch {
	case c.over:
		if len(c.leaving) == 0 {
			c.goneLocked() // which waited for this
		}
		return
	case answer.Code == wire.CodeOverloaded && c.unwritten:
		answer, full = hub.Registered{}, uint64(retryFailed.Milliseconds()) // the log fails in another way now
	case answer.Code != 0:
		c.stepLocked(hub.Fail(answer))
		return
	}
	if c.unwritten = full > 0; c.entered {
		c.claims = nil
	}
	c.stepLocked(answer)
	if c.unwritten {
		time.AfterFunc(time.Duration(full)*time.Millisecond, func() { s.spawn(func() { s.writeDown(c) }) })
	}
}

// writeDown tries again to write down a connection that was let in without.
func (s *Server) writeDown(c *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		s.writeDownLocked(c)
	}
}

// admission is what a verdict on $connect means for the connection.
func admission(v *wire.Verdict) hub.Registered {
	switch {
	case v.Kind == wire.Accepted:
		return hub.Registered{}
	case v.Kind == wire.Duplicate, v.Code == wire.CodeIDReused, v.Code == wire.CodeForbidden:
		return hub.Registered{Code: wire.CodeSuperseded, Reason: "a connection with this id was open before"}
	case v.Kind == wire.Deferred:
		return hub.Registered{Code: wire.CodeOverloaded, Reason: "the server's policy cannot be asked now: " + v.Code.String()}
	case v.Code == wire.CodeRefused, v.Code > wire.CodeModuleOwn:
		return hub.Registered{Code: wire.CodeConnectRefused, Reason: v.Reason}
	}
	return hub.Registered{Code: wire.CodeConnectFailed, Reason: fmt.Sprintf("the server's policy failed: %v", v.Code)}
}

// connectEvents are the events of one type about a connection, one for each of its identities.
func connectEvents(of string, clients []Client) []space.Event {
	events := make([]space.Event, len(clients))
	for i := range clients {
		events[i] = space.Event{ID: connectID(of, &clients[i], i), Type: of, Payload: system.Connect(clients[i].Connection, clients[i].Identity)}
	}
	return events
}

// connectID makes the id of an event about a connection: of nothing else, so that there can be one only. It says no time; what is
// shown is when the server received it, which is before the time that it says.
func connectID(of string, c *Client, index int) (id space.ULID) {
	sum := digest.Of(append(append([]byte(of), c.Connection[:]...), byte(index)))
	copy(id[:], "\x7f\xff\xff\xff\xff\xff")
	copy(id[6:], sum[:])
	return id
}

// leave writes that a connection is gone, and takes out its rows with that.
func (s *Server) leave(clients []Client) { s.leaveThen(clients, func() {}) }

// leaveThen is leave that calls then when that is done. It is tried until the server ends; after that the next start does it.
func (s *Server) leaveThen(clients []Client, then func()) {
	gone := []wire.ConnectionID{clients[0].Connection}
	s.record(connectEvents(module.TypeDisconnect, clients), nil, &ClientChanges{Gone: gone}, func(v wire.Verdict) {
		switch v.Kind {
		case wire.Accepted:
			then()
			return
		case wire.Deferred:
			wait := max(retryFailed, time.Duration(v.RetryAfterMS)*time.Millisecond)
			time.AfterFunc(wait, func() { s.spawn(func() { s.leaveThen(clients, then) }) })
			return
		case wire.Rejected:
			s.logger.Error("the policy refuses to note that a connection is gone", "code", v.Code, "reason", v.Reason)
		}
		s.spawn(func() { // there is no record, or it is there already
			for {
				err := s.log.DropClients(s.work, gone)
				if err == nil {
					then()
					return
				}
				s.logger.Error("cannot drop a connection that is gone", "error", err)
				if !pause(s.work) {
					return
				}
			}
		})
	})
}

// changesOf joins what transactions of one append change of who is connected. None has both that somebody comes and that they go: they
// go when it is durable that they came.
func changesOf(beside []any) (all ClientChanges) {
	for _, b := range beside {
		changes, ok := b.(*ClientChanges)
		if !ok {
			continue
		}
		all.Connected = append(all.Connected, changes.Connected...)
		all.Gone = append(all.Gone, changes.Gone...)
	}
	return all
}

// sweepAtOnce is how many connections are written off at once.
const sweepAtOnce = 1000

// sweepClients writes off every connection that was open when the server ended.
func (s *Server) sweepClients(ctx context.Context) error {
	for total := 0; ; {
		clients, err := s.log.Clients(ctx, wire.ConnectionID{}, sweepAtOnce)
		if err != nil {
			s.logger.Error("cannot read who was connected", "error", err)
			if !pause(ctx) {
				return ctx.Err()
			}
			continue
		}
		if len(clients) == 0 {
			if total > 0 {
				s.logger.Info("connections were open when the server ended", "connections", total)
			}
			return nil
		}
		n := 0
		done := make(chan struct{}, len(clients))
		for begin := 0; begin < len(clients); n++ {
			end := begin + 1
			for end < len(clients) && clients[end].Connection == clients[begin].Connection {
				end++
			}
			s.leaveThen(clients[begin:end], func() { done <- struct{}{} })
			begin = end
		}
		for range n {
			select {
			case <-done:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		total += n
	}
}
