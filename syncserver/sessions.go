package syncserver

import (
	"slices"
	"strings"

	"skerry/shared/hub"
	"skerry/shared/wire"
)

// sessionKey names a session: its number and whose it is, so that nobody ends another identity's connection.
type sessionKey struct {
	session    wire.SessionID
	identities string
}

func keyOf(r *hub.Register) sessionKey {
	names := slices.Clone(r.Identities)
	slices.Sort(names)
	return sessionKey{r.Session, strings.Join(names, "\x00")}
}

// register enters a connection into the registry of sessions and answers it: at once when it must not go on, else
// when nothing is left of the older connection that it ends, and the policy has let it in.
func (s *Server) register(c *connection, r *hub.Register) {
	key := keyOf(r)
	refuse := func(code wire.Code, reason string) {
		c.stepLocked(hub.Registered{Code: code, Reason: reason})
	}
	s.mu.Lock()
	if s.named[r.Connection] != nil {
		s.mu.Unlock()
		refuse(wire.CodeSuperseded, "a connection with this id is open")
		return
	}
	older := s.sessions[key]
	if older != nil && older.epoch > r.Epoch {
		s.mu.Unlock()
		refuse(wire.CodeSuperseded, "a newer epoch of this session is connected")
		return
	}
	c.session, c.name, c.epoch, c.predecessor = key, r.Connection, r.Epoch, older
	s.named[r.Connection] = c
	s.sessions[key] = c
	s.mu.Unlock()
	if older == nil {
		s.enterLocked(c, r)
		return
	}
	s.spawn(func() {
		older.step(hub.Fail{Code: wire.CodeSuperseded, Reason: "a newer connection of this session"})
		for p := older; p != nil; p = s.predecessorOf(p) {
			<-p.left
		}
		s.mu.Lock()
		c.predecessor = nil
		s.mu.Unlock()
		c.mu.Lock()
		defer c.mu.Unlock()
		s.enterLocked(c, r)
	})
}

func (s *Server) predecessorOf(c *connection) *connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.predecessor
}

// forget removes a connection of which nothing is left.
func (s *Server) forget(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c.id)
	if s.named[c.name] == c {
		delete(s.named, c.name)
	}
	if s.sessions[c.session] == c {
		delete(s.sessions, c.session)
	}
	for _, identity := range c.rows.identities {
		if owners := s.owners[identity]; owners != nil {
			if delete(owners, c); len(owners) == 0 {
				delete(s.owners, identity)
			}
		}
	}
}

// connection returns a connection of which something may be left.
func (s *Server) connection(id hub.ConnID) *connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[id]
}
