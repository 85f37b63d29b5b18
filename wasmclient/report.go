package wasmclient

import (
	"encoding/binary"
	"time"

	"skerry/shared/replica"
)

// reportEvery is how often, at most, the tab that leads tells the others how it stands, beside its beat.
const reportEvery = 500 * time.Millisecond

// reportLasts is how long a report is believed, in milliseconds: two beats may be missed.
const reportLasts = 3 * beatEvery

// What tabs say about the connection, which only one of them has.
const (
	// WordReport is the kind of a message that has a Report.
	WordReport    = "report"
	wordHowStands = "report?" // how does it stand?
)

// report is what the tab that leads knows of the server. It is for people: nothing is decided by it.
type report struct {
	connection string
	synced     uint64 // milliseconds since 1970
	heard      uint64 // when it came
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
	b := append(binary.BigEndian.AppendUint64(nil, c.wall(s.LastSync)), s.Connection...)
	c.say(Message{Kind: WordReport, Report: b})
}

// hearReport takes what the tab that leads says of itself.
func (c *Client) hearReport(m Message) {
	b := m.Report
	if len(b) <= 8 || c.lead != nil && c.lead.release != nil {
		return // of another build, or late
	}
	c.report = &report{connection: string(b[8:]), synced: binary.BigEndian.Uint64(b), heard: c.now()}
	c.changed()
}

// dropReport forgets what another tab said when it led, and asks who leads now.
func (c *Client) dropReport() {
	old := c.report
	c.report = nil
	c.say(Message{Kind: wordHowStands, From: c.election.tab})
	if old != nil {
		c.changed()
	}
}

// byReport puts what the tab that leads said last into the status of one that does not.
func (c *Client) byReport(s *Status) {
	r := c.report
	if s.Connection != replica.ConnectionFollowing || r == nil {
		return
	}
	s.Connection, s.LastSync = r.connection, r.synced
}
