package wasmclient

import (
	"bytes"
	"encoding/binary"
	"time"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// reportEvery is how often, at most, the tab that leads tells the others how it stands, beside its beat.
const reportEvery = 500 * time.Millisecond

// reportLasts is how long a report is believed, in milliseconds: two beats may be missed.
const reportLasts = 3 * beatEvery

// What tabs say about the connection, which only one of them has.
const (
	// wordReport is the kind of a message that has a Report.
	wordReport    = "stands"
	wordHowStands = "stands?" // how does it stand?
)

// report is what the tab that leads knows of the server. It is for people: nothing is decided by it.
type report struct {
	connection, reason                        string
	code, catchingUp, retryAt, dialAt, synced uint64
	caughtUp                                  []byte // IDs of the spaces that other tabs look at, ascending
	heard                                     uint64 // when it came
}

// planReport has the others told soon, if this tab leads and there are any.
func (c *Client) planReport() {
	if c.others && !c.reporting && c.hush != nil && c.lead != nil && c.lead.release != nil {
		c.reporting = true
		c.reports.Reset(reportEvery)
	}
}

// tellReport tells the others how this tab stands, if it leads.
func (c *Client) tellReport() {
	c.reporting = false
	s := c.core.Status()
	if !s.Leader || !c.others || c.hush == nil {
		return
	}
	var b []byte
	if s.Connection == replica.ConnectionOnline {
		s.Code, s.Reason = 0, "" // of this tab alone
	}
	for _, n := range []uint64{uint64(s.Code), uint64(s.CatchingUp), c.wall(s.RetryAt), c.wall(s.DialAt), c.wall(s.LastSync)} {
		b = binary.AppendUvarint(b, n)
	}
	for _, text := range []string{s.Connection, s.Reason} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	for _, id := range c.core.CaughtUp() {
		b = append(b, id[:]...)
	}
	c.say(Message{Kind: wordReport, Report: b})
}

// parseReport reads a report, of which this build need not be the author; false if it is none.
func parseReport(b []byte) (*report, bool) {
	r := &report{}
	ok := true
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			ok, b = false, nil
			return 0
		}
		b = b[size:]
		return n
	}
	text := func() string {
		n := number()
		if n > uint64(len(b)) {
			ok, b = false, nil
			return ""
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	r.code, r.catchingUp, r.retryAt, r.dialAt, r.synced = number(), number(), number(), number(), number()
	r.connection, r.reason = text(), text()
	r.caughtUp = b
	return r, ok && len(b)%digest.Size == 0 && r.connection != ""
}

// hearReport takes what the tab that leads says of itself.
func (c *Client) hearReport(m Message) {
	r, ok := parseReport(m.Report)
	if !ok || c.lead != nil && c.lead.release != nil {
		return
	}
	old := c.report
	r.heard, c.report = c.now(), r
	c.changed()
	r.tell(c, old)
	if old != nil {
		old.tell(c, r)
	}
}

// has reports whether a space is caught up; not in a report that is nil.
func (r *report) has(id space.ID) bool {
	if r == nil {
		return false
	}
	low, high := 0, len(r.caughtUp)/digest.Size
	for low < high {
		middle := (low + high) / 2
		switch bytes.Compare(r.caughtUp[middle*digest.Size:(middle+1)*digest.Size], id[:]) {
		case 0:
			return true
		case -1:
			low = middle + 1
		default:
			high = middle
		}
	}
	return false
}

// tell tells of the spaces that are caught up by this report, and not by the other.
func (r *report) tell(c *Client, other *report) {
	for b := r.caughtUp; len(b) > 0; b = b[digest.Size:] {
		if id := space.ID(b[:digest.Size]); !other.has(id) {
			for _, f := range c.listeners {
				f(Change{Space: id})
			}
		}
	}
}

// dropReport forgets what another tab said when it led, and asks who leads now.
func (c *Client) dropReport() {
	old := c.report
	c.report = nil
	c.dropTold()
	c.say(Message{Kind: wordHowStands, From: c.election.tab})
	if old != nil {
		c.changed()
		old.tell(c, nil)
	}
}

// byReport puts what the tab that leads said last into the status of one that does not.
func (c *Client) byReport(s *Status) {
	r := c.report
	if s.Connection != replica.ConnectionFollowing {
		return
	}
	outdated := s.Code == wire.CodeAPIUnsupported
	if r == nil {
		if outdated {
			s.Connection = replica.ConnectionUpgradeRequired
		}
		return
	}
	s.Connection, s.CatchingUp = r.connection, int(r.catchingUp)
	s.RetryAt, s.DialAt, s.LastSync = r.retryAt, r.dialAt, r.synced
	if s.Code == 0 || outdated {
		s.Code, s.Reason = wire.Code(r.code), r.reason
	}
}
