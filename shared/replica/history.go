package replica

import (
	"slices"

	"skerry/shared/space"
	"skerry/shared/wire"
)

// This file is about the records of holes. Somebody reads, and what comes next is not here: the tab that leads asks the server for a page
// that ends where the hole does. It is folded from the chain that came with it, and must come to the chain that is known behind the hole, as no
// other records can; so each page makes known what the one before it must come to. Only then is it stored.

// WantHistory asks for records of a space that are not here: those of the hole in which the record Seq is, the newest of it. When some came
// [SpaceChanged] tells, and [HistoryFailed] when none will.
type WantHistory struct {
	Space space.ID
	Seq   uint64
}

// HistoryFailed tells why records that were asked for by [WantHistory] do not come.
type HistoryFailed struct {
	Space  space.ID
	Code   Code
	Reason string
}

func (WantHistory) input()    {}
func (HistoryFailed) notice() {}

// historyState is what is kept of filling the holes of a space.
type historyState struct {
	wanted  uint64 // a record that somebody wants; 0: none
	ref     uint64 // of the request that waits for an answer; 0: none
	until   space.Position
	after   space.Position
	page    *Page // to be stored, or being stored
	size    int   // of the message that it came in
	storing bool
}

func (h *historyState) idle() bool { return h.wanted == 0 && h.ref == 0 && h.page == nil }

// wantHistory has a page of a hole fetched.
func (r *Replica) wantHistory(in WantHistory) {
	s := r.spaces[in.Space]
	switch {
	case s == nil:
		r.notify(HistoryFailed{in.Space, wire.CodeNoSuchSpace, "this replica knows no such space"})
	case s.info.HoleAt(in.Seq) == nil: // it is here: whoever asks has not looked since
		r.out.Hints = append(r.out.Hints, Hint{s.id, s.version})
		r.changed(s)
	case !r.config.Sync || !r.leads || r.conn.phase == offline && (r.conn.attempts > 0 || r.conn.dialAt == never):
		code := wire.CodeNotHere
		if s.info.HoleAt(in.Seq).Until.Seq <= s.info.Dropped {
			code = wire.CodeResumeGone
		}
		r.historyFailed(s, code, "the device is not connected")
	default:
		if s.history.wanted = in.Seq; !slices.Contains(r.reading, s) {
			r.reading = append(r.reading, s)
		}
	}
}

// historyFailed tells those who wait for records that there will be none.
func (r *Replica) historyFailed(s *spaceState, code Code, reason string) {
	s.history = historyState{}
	r.notify(HistoryFailed{s.id, code, reason})
}

// advanceHistory asks for what is wanted.
func (r *Replica) advanceHistory() {
	if r.conn.phase != online {
		return
	}
	if r.sync.full() { // what sync stores comes first, and waits for room itself
		for _, s := range r.sync.pages {
			r.conn.credit += uint64(s.history.size)
		}
		r.endHistory(wire.CodeQuota, "the device's storage is full")
	}
	r.reading = slices.DeleteFunc(r.reading, func(s *spaceState) bool { return s.history.idle() })
	for _, s := range r.reading {
		if h := &s.history; h.wanted > 0 && h.ref == 0 && h.page == nil {
			hole := s.info.HoleAt(h.wanted)
			if hole == nil { // it has come
				h.wanted = 0
				r.changed(s)
				continue
			}
			h.ref, h.until, h.after, h.wanted = r.modules.ref(), hole.Until, hole.After, 0
			r.send(&wire.Fetch{Ref: h.ref, Space: s.id, Before: hole.Until.Seq + 1})
		}
	}
}

// page takes records that fill a hole, if they are those that were left out.
func (r *Replica) page(f *wire.Page, size int) {
	s := r.spaces[f.Space]
	if s == nil || s.history.ref == 0 || s.history.ref != f.Ref {
		r.conn.credit += uint64(size)
		return
	}
	h := &s.history
	h.ref = 0
	page, ok := h.verified(f)
	if !ok {
		r.conn.credit += uint64(size)
		r.historyFailed(s, wire.CodeBadChain, "the server's history does not lead to what is here")
		return
	}
	h.page, h.size = page, size
	r.sync.pages = append(r.sync.pages, s)
}

// verified returns the page that fills the upper end of the hole that was asked for.
func (h *historyState) verified(f *wire.Page) (*Page, bool) {
	records, chain := f.Records, f.ChainBefore
	for len(records) > 0 && records[0].Seq <= h.after.Seq { // is here
		chain = space.Chain(chain, &records[0])
		records = records[1:]
	}
	if len(records) == 0 || records[0].Index != 0 || records[0].Seq == h.after.Seq+1 && chain != h.after.Chain {
		return nil, false
	}
	page := &Page{Until: h.until, First: records[0].Seq, Before: chain}
	for i := range records {
		if records[i].Seq != page.First+uint64(i) {
			return nil, false
		}
		chain = space.Chain(chain, &records[i])
		page.Records = wire.AppendRecord(page.Records, &records[i])
	}
	last := &records[len(records)-1]
	return page, last.Last() && last.Seq == h.until.Seq && chain == h.until.Chain
}

// historyRefused takes a refusal and reports whether it was one of these requests.
func (r *Replica) historyRefused(f *wire.Refused) bool {
	for _, s := range r.reading {
		if s.history.ref != 0 && s.history.ref == f.Ref {
			r.historyFailed(s, f.Code, f.Reason)
			return true
		}
	}
	return false
}

// historyEnded tells those who wait that the connection is gone, or the lead.
func (r *Replica) historyEnded() { r.endHistory(wire.CodeNotHere, "the connection ended") }

// endHistory tells those who wait that nothing comes.
func (r *Replica) endHistory(code Code, reason string) {
	r.sync.pages = nil
	for _, s := range r.reading {
		if !s.history.idle() && !s.history.storing {
			r.historyFailed(s, code, reason)
		}
	}
}

// storePage makes the commit of a page that came: one by itself, so that a device that is too full for it has room for what sync brings.
func (l *syncLane) storePage(r *Replica, c *syncCommit) {
	for len(l.pages) > 0 && len(c.spaces) == 0 {
		s := l.pages[0]
		l.pages = l.pages[1:]
		h := &s.history
		if h.page == nil {
			continue
		}
		if s.cut != nil || !h.page.Fits(&s.info) { // another tab took back what is behind it, or has filled it
			r.conn.credit += uint64(h.size)
			*h = historyState{}
			r.changed(s)
			continue
		}
		h.storing = true
		c.page = s
		c.add(s, &SpaceCommit{Space: s.id, Page: h.page}, uint64(h.size))
	}
}

// pageStored ends what a page was kept for, whatever became of its commit.
func (r *Replica) pageStored(c *syncCommit, in *Committed) {
	s := c.page
	s.history.page, s.history.storing, s.history.size = nil, false, 0
	switch {
	case in.Full:
		r.historyFailed(s, wire.CodeQuota, "the device's storage is full")
	case in.Err != nil:
		r.historyFailed(s, wire.CodeStorageFailed, in.Err.Error())
	}
}
