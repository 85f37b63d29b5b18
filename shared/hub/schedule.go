package hub

import "skerry/shared/wire"

// schedule starts the next read if the client pays for it and the transport has room. One read is under way at a
// time, so a connection holds one message beside what the transport holds, however many subscriptions it has.
func (c *Conn) schedule() {
	if c.reading || c.credit <= 0 || c.unsent >= c.config.SendBuffer {
		return
	}
	cur := c.next()
	if len(c.requests) > 0 && (cur == nil || !c.requested) {
		c.requested, c.reading = true, true
		request := c.requests[0]
		switch r := request.(type) {
		case *wire.Fetch:
			c.out.Page = r
		case *ReadBlob:
			c.out.Blob = r
		}
		return
	}
	if cur == nil {
		return
	}
	c.requested, c.reading, cur.woken = false, true, 0
	c.out.Read = &ReadEvents{
		Space: cur.space, Ref: cur.ref, After: cur.position.Seq, Chain: cur.position.Chain,
		MaxRecords: c.config.ReadRecords, MaxBytes: c.config.ReadBytes, Until: cur.until,
	}
}

// ring returns the ring that a cursor belongs in, or is in.
func (c *Conn) ring(cur *cursor) *ring {
	if cur.caughtUp && !cur.lagging {
		return &c.live
	}
	return &c.backlog
}

// next returns the subscription whose turn it is, at the front of its ring: live ones before the backlog, each
// with an equal share of the bytes. It stays in front until its share is used up or there is nothing to read; who
// was sent more than its share waits while the others have theirs.
func (c *Conn) next() *cursor {
	ring := &c.live
	if ring.front() == nil {
		ring = &c.backlog
	}
	for {
		cur := ring.front()
		if cur == nil || cur.share > 0 {
			return cur
		}
		cur.share += c.config.ReadBytes
		if cur.share <= 0 {
			ring.push(ring.pop())
		}
	}
}

// request queues a fetch or a blob until it can be paid for.
func (c *Conn) request(ref uint64, r any) {
	if len(c.requests) >= c.config.Requests {
		c.refuse(ref, wire.CodeTooMany, "too many requests wait")
		return
	}
	c.requests = append(c.requests, r)
}

// answered takes the request in front off the queue, if it is the one that an answer is for.
func (c *Conn) answered() any {
	c.reading = false
	if len(c.requests) == 0 {
		return nil
	}
	r := c.requests[0]
	c.requests = append(c.requests[:0], c.requests[1:]...)
	return r
}

func (c *Conn) pageRead(in PageRead) {
	if c.answered() == nil {
		return
	}
	if in.Code != 0 {
		c.refuse(in.Ref, in.Code, in.Reason)
		return
	}
	c.credit -= int64(len(in.Message))
	c.sendMessage(in.Message)
}

// blobRead sends a piece and, unless it was the last, asks for the next behind the other requests.
func (c *Conn) blobRead(in BlobRead) {
	r, ok := c.answered().(*ReadBlob)
	if !ok {
		return
	}
	if in.Code != 0 {
		c.refuse(in.Ref, in.Code, in.Reason)
		return
	}
	message := wire.Append(nil, &wire.BlobPart{Ref: r.Ref, Total: in.Total, Offset: in.Offset, Bytes: in.Bytes})
	c.credit -= int64(len(message))
	c.sendMessage(message)
	if end := in.Offset + uint64(len(in.Bytes)); len(in.Bytes) > 0 && end < in.Total && c.stage != over {
		next := *r
		next.Offset = end
		c.requests = append(c.requests, &next)
	}
}

func (c *Conn) list(f *wire.Directory) {
	if c.listing >= wire.MaxDirectories {
		c.refuse(f.Ref, wire.CodeTooMany, "too many directory requests")
		return
	}
	c.listing++
	c.out.Directory = append(c.out.Directory, f)
}

func (c *Conn) directoryRead(in DirectoryRead) {
	if c.stage != welcomed {
		return
	}
	c.listing--
	if in.Code != 0 {
		c.refuse(in.Ref, in.Code, in.Reason)
		return
	}
	in.Spaces.Ref = in.Ref
	c.sendRows(in.Spaces)
}

// sendRows sends directory rows and remembers which spaces the client knows by them.
func (c *Conn) sendRows(rows *wire.Spaces) {
	for i := range rows.Rows {
		id := rows.Rows[i].Genesis.ID()
		if rows.Rows[i].State == wire.SpacePresent {
			c.directory[id] = struct{}{}
		} else {
			delete(c.directory, id)
		}
	}
	c.send(rows)
}
