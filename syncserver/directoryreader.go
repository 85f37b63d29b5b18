package syncserver

import (
	"context"
	"slices"

	"skerry/shared/hub"
	"skerry/shared/wire"
)

// maxDirectoryRequests is how many requests for the directory may wait on one connection.
const maxDirectoryRequests = 16

// directoryReader reads the directory for one connection: what it asks for, and from then on what changes. Its
// goroutine exists while there is something to read. Guarded by connection.mu.
type directoryReader struct {
	identities []string          // set with live, and then also guarded by Server.mu
	requests   []*wire.Directory // not begun
	at         cursor            // where the connection stands, once live
	live       bool              // changes are wanted
	changed    bool              // there may be some
	running    bool
}

// requestLocked queues a request.
func (d *directoryReader) requestLocked(c *connection, request *wire.Directory) {
	if len(d.requests) >= maxDirectoryRequests {
		c.stepLocked(hub.DirectoryRead{
			Ref: request.Ref, Code: wire.CodeTooMany, Reason: "too many requests for the directory",
		})
		return
	}
	d.requests = append(d.requests, request)
	d.kickLocked(c)
}

// kickLocked begins to read if there is something to do and room to send it.
func (d *directoryReader) kickLocked(c *connection) {
	wanted := len(d.requests) > 0 || d.live && d.changed && c.outBytes < outRoom
	if d.running || c.over || !wanted {
		return
	}
	d.running = c.spawn(func() { d.run(c) })
}

func (d *directoryReader) run(c *connection) {
	s := c.server
	for {
		c.mu.Lock()
		var request *wire.Directory
		switch {
		case c.over:
			d.running = false
			c.mu.Unlock()
			return
		case len(d.requests) > 0:
			request, d.requests = d.requests[0], d.requests[1:]
			d.live = false
		case d.live && d.changed && c.outBytes < outRoom:
			d.changed = false // before it is read: what changes from now on is another change
		default:
			d.running = false
			c.mu.Unlock()
			return
		}
		identities, at := c.identities, slices.Clone(d.at)
		c.mu.Unlock()

		var in hub.ConnInput
		var more bool
		var err error
		if request != nil {
			in, at, more, err = s.readDirectory(s.work, c, identities, request)
		} else {
			in, more, err = s.readChanges(s.work, identities, at)
		}
		if err != nil {
			s.logger.Error("cannot read a directory", "error", err)
		}

		c.mu.Lock()
		if err == nil {
			d.at = at
			// A request whose rows are complete is followed by what changed meanwhile.
			d.changed = d.changed || more && request == nil || !more && request != nil
			d.live = !more || request == nil
		} else if request == nil {
			d.live = false // the client asks again when it reconnects
		}
		c.mu.Unlock()
		if in != nil {
			c.step(in)
		}
	}
}

// readDirectory answers one request.
func (s *Server) readDirectory(ctx context.Context, c *connection, identities []string, request *wire.Directory) (hub.ConnInput, cursor, bool, error) {
	failed := hub.DirectoryRead{Ref: request.Ref, Code: wire.CodeOverloaded}
	s.own(c, identities) // before reading, so that no change falls between
	at, full, err := s.dir.begin(ctx, identities, request.Since)
	if err != nil {
		return failed, nil, false, err
	}
	rows, more, err := s.dir.read(ctx, identities, at)
	if err != nil {
		return failed, nil, false, err
	}
	return hub.DirectoryRead{
		Ref: request.Ref, Spaces: &wire.Spaces{Rows: rows, Since: s.dir.encode(at), More: more, Full: full},
	}, at, more, nil
}

// readChanges reads what was added after a cursor, which it moves. The input is nil if there is nothing.
func (s *Server) readChanges(ctx context.Context, identities []string, at cursor) (hub.ConnInput, bool, error) {
	rows, more, err := s.dir.read(ctx, identities, at)
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	return hub.SpacesChanged{Rows: rows, Since: s.dir.encode(at)}, more, nil
}

// own registers a connection to be told of changes in its identities' lists.
func (s *Server) own(c *connection, identities []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[c.id] != c || c.rows.identities != nil {
		return
	}
	c.rows.identities = identities
	for _, identity := range identities {
		if s.owners[identity] == nil {
			s.owners[identity] = map[*connection]struct{}{}
		}
		s.owners[identity][c] = struct{}{}
	}
}

// directoryChanged tells the connections of an identity that its list has changed.
func (s *Server) directoryChanged(identity string) {
	s.mu.Lock()
	owners := make([]*connection, 0, len(s.owners[identity]))
	for c := range s.owners[identity] {
		owners = append(owners, c)
	}
	s.mu.Unlock()
	for _, c := range owners {
		c.mu.Lock()
		c.rows.changed = true
		c.rows.kickLocked(c)
		c.mu.Unlock()
	}
}
