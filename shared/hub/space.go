package hub

import (
	"errors"
	"slices"

	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// phase is what a space can do now.
type phase int

const (
	closed    phase = iota // nothing is known; the shell is asked when somebody needs the space
	opening                // the shell was asked
	absent                 // the log has no such space; a push with a genesis may create it
	creating               // the push in front is creating it
	replaying              // the instance applies records that it did not judge
	reloading              // the log's head is being read after an append that was not stored, or may not have been
	ready                  // pushes are judged
	deleted                // its last record deleted it: pushes are refused
	adopting               // records that were lost are being appended as they were
)

// Space is the server half of one space. See the package comment. It is not safe for concurrent use.
type Space struct {
	config *Config
	id     space.ID
	phase  phase

	instance module.Instance
	tables   program.Materializer // the instance, if it has any
	head     space.Head           // durable
	told     space.Head           // what [Effects.Head] says: head, but while a guarded space replays
	tip      space.Head           // head with everything proposed on top
	bare     uint64               // the record at this number is [Bare], and nothing follows on it in the log

	peers  map[ConnID]*peer
	asks   []Ask
	tries  []Try
	queue  []*push // in the order of arrival; answered from the front
	judged int     // queue[:judged] wait only for appends
	looked int     // queue[judged:looked] have been looked up, or are being

	batches  []*batch // judged, in order; the first is being appended if inFlight
	inFlight bool
	proposed map[space.ULID]*proposal // by event id: batches, and the committed ones that no lookup shows yet
	retained []*batch                 // committed, but their ids are still in proposed

	refs       uint64 // the last request's
	openRef    uint64 // 0: none is under way; likewise below
	lookupRef  uint64
	readRef    uint64
	headRef    uint64
	lookupIDs  []space.ULID // reused by lookups
	lookupHead uint64       // the durable head when the newest lookup was made
	group      []*push      // those looked up by it
	span       span         // records read to compare duplicates with
	spanTo     uint64       // how far they must reach

	upgrade *upgrade // the space is on its way to another module

	ending bool       // a record that deletes the space is proposed
	last   space.ULID // of the space that was deleted: the id of the record that did

	// unreserved is how many bytes are proposed of each author, but for the batch that the shell was asked to append in an earlier step: that
	// one it knows of. Nothing is counted without Config.Room.
	unreserved map[string]int

	failures     int    // appends and head reads that failed in a row
	retryAt      uint64 // reloading: when to read the head
	fullUntil    uint64 // the log was full; nothing new is appended before
	recoverUntil uint64 // the log has lost its tail and waits for it, until then
	recovered    bool   // that wait began once; it does not begin again
	lostTails    []lostTail
	behind       bool // it is being opened at a head that nobody was told of
	tails        []*Tail
	rewind       bool  // judge everything again that is not being appended
	lost         error // why the instance's tables are of no use any more: it is opened anew

	out Effects
}

// peer is what a space knows of one connection. It dies with the connection.
type peer struct {
	caller *Caller
	n      uint64 // of the newest push
	behind bool   // a push was deferred, and none since carried resume
	broken bool   // it is being closed
	gone   bool
	pushes int // in the queue
}

// NewSpace returns the server half of a space that nobody has asked for yet. config is a [Config.Complete].
func NewSpace(config *Config, id space.ID) *Space {
	return &Space{config: config, id: id, peers: make(map[ConnID]*peer), proposed: make(map[space.ULID]*proposal)}
}

// Idle reports that the shell may forget the space after [Space.Close]: no connection that pushed here is left, and no
// request or recovery is under way.
func (s *Space) Idle() bool {
	return len(s.peers) == 0 && len(s.queue) == 0 && len(s.asks) == 0 && len(s.tries) == 0 && len(s.tails) == 0 && !s.inFlight && !s.recovered &&
		(s.upgrade == nil || s.upgrade.ref == 0) &&
		(s.phase == closed || s.phase == ready || s.phase == deleted)
}

// Close releases the instance. It is the last call.
func (s *Space) Close() { s.forget() }

// Step takes one input and returns what to do. now is in milliseconds since 1970 and need not rise.
func (s *Space) Step(now uint64, in Input) Effects {
	s.out = Effects{
		Replies: s.out.Replies[:0], Answers: s.out.Answers[:0],
		Close: s.out.Close[:0], Finished: s.out.Finished[:0], Recorded: s.out.Recorded[:0], Taken: s.out.Taken[:0],
	}
	s.handOver()
	switch in := in.(type) {
	case Offer:
		s.offer(in)
	case Record:
		s.record(&in)
	case Try:
		in.at = now
		s.tries = append(s.tries, in)
	case Tail:
		s.tail(&in)
	case Disconnected:
		s.disconnect(in.Conn)
	case Ask:
		s.asks = append(s.asks, in)
	case Ahead:
		s.ahead(now, in.Position)
	case Opened:
		s.opened(now, in)
	case Found:
		s.found(in)
	case History:
		s.history(now, in)
	case Appended:
		s.appended(now, in.Outcome)
	case HeadRead:
		s.headRead(now, in)
	case Prepared:
		s.prepared(in)
	case Spoiled:
		if s.instance != nil {
			s.losing(in.Err)
		}
	case Tick:
	}
	s.advance(now)
	if s.instance != nil && (s.phase == ready || !s.guarded()) {
		s.told = s.head
	}
	s.out.Head = s.told
	s.out.Loaded = s.instance != nil && (s.phase != replaying || !s.guarded())
	if s.tables != nil {
		s.out.Checkpoint = s.tables.Checkpoint()
	}
	return s.out
}

// advance does everything that can be done without another input.
func (s *Space) advance(now uint64) {
	if s.phase == closed && (len(s.queue) > 0 || len(s.asks) > 0 || len(s.tries) > 0 || len(s.tails) > 0) {
		s.open()
	}
	if s.phase == absent && !s.createLost() {
		s.refuseOrCreate(now)
	}
	if s.phase == reloading && s.headRef == 0 {
		if now >= s.retryAt {
			s.headRef = s.ref()
			s.out.LoadHead = &LoadHead{Ref: s.headRef}
		} else {
			s.out.WakeAt = s.retryAt
		}
	}
	if s.phase == ready {
		s.release()
		if s.rewind && !s.inFlight {
			s.rollback()
		}
		s.answerAsks(now, true, 0)
		s.adopt()
	}
	if s.phase == ready {
		s.advanceUpgrade(now)
		if len(s.tails) == 0 {
			s.judge(now)
		}
		s.advanceUpgrade(now)
		s.append()
	}
	if s.phase == deleted {
		s.answerAsks(now, true, wire.CodeDeleted)
		s.refuseTails(wire.CodeDeleted)
		s.judgeRest(now)
	}
	s.release()
	s.prune()
	if s.lost != nil && !s.inFlight && (s.phase == ready || s.phase == replaying) {
		s.reopen()
	}
}

// losing notes that the instance began with a checkpoint of which something is missing, and reports whether that is so.
func (s *Space) losing(err error) bool {
	if !errors.Is(err, tables.ErrPage) {
		return false
	}
	s.lost = err
	return true
}

// reopen opens the space anew, and judges everything again by what is then there. Nobody is told of it.
func (s *Space) reopen() {
	s.rollback()
	s.forget()
	s.out.Turned = false // there is nobody to ask who may read; that comes when it is there again
	s.open()
}

// open asks the shell for the instance.
func (s *Space) open() {
	s.phase = opening
	s.openRef = s.ref()
	s.out.Open = &OpenSpace{Ref: s.openRef}
}

func (s *Space) ref() uint64 {
	s.refs++
	return s.refs
}

// offer queues a push. Its number is checked here, where pushes still are in the order of arrival.
func (s *Space) offer(in Offer) {
	p := s.peers[in.Caller.Conn]
	if p == nil {
		p = &peer{caller: in.Caller}
		s.peers[in.Caller.Conn] = p
	}
	if p.gone || p.broken {
		return
	}
	if in.Push.N != p.n+1 {
		p.broken = true
		s.out.Close = append(s.out.Close, CloseConn{
			Conn: in.Caller.Conn, Code: wire.CodeBadFrame, Reason: "pushes to a space count from 1 and rise by one",
		})
		return
	}
	p.n++
	p.pushes++
	q := &push{peer: p, frame: in.Push, size: in.Size}
	if u := s.upgrade; u != nil && u.parked && u.push.peer == p {
		u.behind = append(u.behind, q)
		return
	}
	s.queue = append(s.queue, q)
}

// record queues a transaction of the server's own, or of a caller who has no connection. It behaves as if it came from one of its own.
func (s *Space) record(in *Record) {
	p := &push{
		peer: &peer{caller: in.Caller, pushes: 1}, record: in,
		frame: &wire.Push{Space: s.id, Transactions: []space.Transaction{in.Transaction}},
	}
	if in.Caller == nil {
		p.peer.caller, p.own = &Caller{Identities: []string{in.Transaction.Author}}, in
	}
	s.queue = append(s.queue, p)
}

// disconnect drops what the connection pushed and was not begun. What was judged stays: its records may be on
// their way to the log.
func (s *Space) disconnect(conn ConnID) {
	s.asks = slices.DeleteFunc(s.asks, func(a Ask) bool { return a.Conn == conn })
	p := s.peers[conn]
	if p == nil {
		s.out.Finished = append(s.out.Finished, conn)
		return
	}
	p.gone = true
	s.disconnectUpgrade(p)
	kept := s.queue[:s.judged]
	looked := s.looked
	for i, q := range s.queue[s.judged:] {
		if q.peer != p || q.started {
			kept = append(kept, q)
			continue
		}
		if s.judged+i < looked {
			s.looked--
		}
		p.pushes--
	}
	clear(s.queue[len(kept):])
	s.queue = kept
	s.bury(p)
}

// bury forgets a connection that is gone once nothing of it is left.
func (s *Space) bury(p *peer) {
	if p.gone && p.pushes == 0 {
		delete(s.peers, p.caller.Conn)
		s.out.Finished = append(s.out.Finished, p.caller.Conn)
	}
}

// release answers the pushes in front whose verdicts rest on durable state only.
func (s *Space) release() {
	n := 0
	for n < s.judged && s.queue[n].barrier() <= s.head.Seq {
		p := s.queue[n]
		if p.tail != nil {
			s.out.Taken = append(s.out.Taken, s.replyTail(p))
		} else if p.record != nil {
			s.out.Recorded = append(s.out.Recorded, Recorded{Ref: p.record.Ref, Verdict: p.verdicts[0]})
		} else if !p.peer.gone {
			s.out.Replies = append(s.out.Replies, Reply{
				Conn: p.peer.caller.Conn, Size: p.size,
				Pushed: &wire.Pushed{Space: s.id, N: p.frame.N, Genesis: p.genesis, Verdicts: p.verdicts},
			})
		}
		p.peer.pushes--
		s.bury(p.peer)
		n++
	}
	s.queue = slices.Delete(s.queue, 0, n)
	s.judged -= n
	s.looked -= n
}

// answerAsks answers who asked whether the space exists and may be read. Only the committed tables decide.
func (s *Space) answerAsks(now uint64, exists bool, code wire.Code) {
	for n, ask := range s.asks {
		answer := Answer{Conn: ask.Conn, Ref: ask.Ref, Exists: exists, Code: code, Seq: s.head.Seq, RecoveringMS: s.recovering(now)}
		if exists && code == 0 {
			may, err := s.MayRead(ask.Identities)
			if s.lost != nil {
				s.asks = s.asks[n:] // they wait until it is opened anew
				return
			}
			if answer.MayRead = may; err != nil {
				answer.Code = wire.CodeOverloaded
			}
			if ask.Audience && s.tables != nil {
				answer.People = s.tables.Audience()
			}
		}
		s.out.Answers = append(s.out.Answers, answer)
	}
	s.asks = s.asks[:0]
	s.answerTries(exists, code)
}

// answerTries answers what is only to be judged.
func (s *Space) answerTries(exists bool, code wire.Code) {
	for n := range s.tries {
		v := refuse(code, "")
		switch {
		case !exists:
			v = refuse(wire.CodeUnknownSpace, "")
		case code == 0:
			if v = s.try(&s.tries[n]); s.lost != nil {
				s.tries = s.tries[n:] // they wait until it is opened anew
				return
			}
		}
		s.out.Recorded = append(s.out.Recorded, Recorded{Ref: s.tries[n].Ref, Verdict: v})
	}
	s.tries = nil
}

// try judges what nothing stays of.
func (s *Space) try(in *Try) wire.Verdict {
	if s.tables == nil { // "open" allows all
		return wire.Verdict{Kind: wire.Accepted}
	}
	records := (&batch{}).stage(&in.Transaction, s.tip.Seq+1, max(in.at, s.tip.ReceivedAt))
	verdict, err := s.tables.Try(module.Caller{Identity: in.Transaction.Author, Each: in.Claims}, records)
	switch {
	case s.losing(err):
		return wire.Verdict{}
	case err != nil:
		return refuse(wire.CodeOverloaded, "the module could not be run")
	case !verdict.Allowed():
		return refuse(verdict.Code, verdict.Reason)
	}
	return wire.Verdict{Kind: wire.Accepted}
}

// guarded reports whether the module decides who may read.
func (s *Space) guarded() bool { return s.tables != nil && s.tables.Guarded() }

// MayRead reports whether any of the identities may read the space, by the tables at [Effects.Head]; none at all is the
// empty identity. It may be called when the newest effects say Loaded, and costs a call of the module for each.
func (s *Space) MayRead(identities []string) (bool, error) {
	if len(identities) == 0 {
		identities = []string{""}
	}
	for _, identity := range identities {
		if may, err := s.instance.MayRead(identity); may || err != nil {
			s.losing(err)
			return may, err
		}
	}
	return false, nil
}
