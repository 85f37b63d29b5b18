package syncserver

import (
	"maps"
	"strings"
	"sync"
	"time"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// spaceTable holds the spaces that somebody pushes to or reads. Locks are taken in the order connection, table,
// space, tail; nobody steps a connection while holding one of the others.
type spaceTable struct {
	mu  sync.Mutex
	hot map[space.ID]*hotSpace
}

// hotSpace is one loaded space: a thin shell around hub.Space, what it remembers for readers, and who is to be
// woken. Its goroutine, the pipeline, exists while there is input; calls to the log run beside it and report back
// as input, so that the next batch is judged while one commits.
type hotSpace struct {
	server *Server
	id     space.ID

	mu        sync.Mutex
	inbox     []hub.Input
	running   bool                        // the pipeline exists
	watchers  map[hub.ConnID]*connection  // to be woken
	asks      map[uint64]func(hub.Answer) // what waits for an answer of the hub
	lastAsk   uint64
	records   map[uint64]func(wire.Verdict) // transactions of the server's own that wait for a verdict, by the same numbers
	head      uint64                        // durable, as the hub tells it; nobody is sent what is past it
	waking    bool                          // a goroutine wakes the watchers
	woken     uint64                        // the head that they were told, or are being told
	timer     *time.Timer
	wakeAt    uint64
	said      []hub.Relayed // to be handed to the watchers
	saidBytes int
	relaying  bool     // a goroutine does that
	owes      []uint64 // records behind which notes of people are to be told
	noted     bool     // they were looked for
	paying    bool     // a goroutine tells them
	ended     bool     // the space was deleted: there is nobody to tell that way
	append    bool     // an append of our own is under way
	hints     int      // that came meanwhile; one is for the append itself

	place   *program.Checkpoint    // the newest, to be kept
	placeOf digest.Digest          // the root of the one that its instance began with
	keeping bool                   // a goroutine keeps checkpoints
	kept    uint64                 // the record of the newest one that is kept
	began   kept                   // the one that the instance began with, if it did
	doubted map[digest.Digest]bool // by their roots, those that instances could not go on with; true: what is stored is damaged

	// The pipeline's own.
	hub      *hub.Space
	peers    map[hub.ConnID]struct{} // that pushed and did not finish
	pending  int                     // calls to the log under way
	broken   bool                    // a panic happened: wait until pending is 0, then begin anew
	turning  *turning                // nil: all watchers were asked for who may read as of head
	ticked   bool                    // an input is on its way that goes on with it
	listedBy map[string]struct{}     // identities known to have the space in their directory
	listed   sync.Mutex              // guards listedBy: calls to the log use it too

	readers readCache
}

// locked runs f with a space loaded and locked.
func (s *Server) locked(id space.ID, f func(h *hotSpace)) *hotSpace {
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	h := s.spaces.hot[id]
	if h == nil {
		h = &hotSpace{server: s, id: id, hub: hub.NewSpace(s.hub, id)}
		s.spaces.hot[id] = h
		s.metrics.hot.Inc()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h)
	return h
}

// post gives a space one input. It never waits.
func (s *Server) post(id space.ID, in hub.Input) {
	s.locked(id, func(h *hotSpace) { h.postLocked(in) })
}

func (h *hotSpace) postLocked(in hub.Input) {
	h.inbox = append(h.inbox, in)
	if !h.running {
		h.running = h.server.spawn(h.run)
	}
}

// answered posts the answer to a request of the hub. A space with a request under way is never dropped.
func (h *hotSpace) answered(in hub.Input) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.postLocked(in)
}

// ask asks the hub whether identities may read the space, and calls then with the answer, on the pipeline.
func (s *Server) ask(id space.ID, conn hub.ConnID, identities []string, then func(hub.Answer)) {
	s.askFor(id, hub.Ask{Conn: conn, Identities: identities}, then)
}

func (s *Server) askFor(id space.ID, ask hub.Ask, then func(hub.Answer)) {
	s.locked(id, func(h *hotSpace) {
		h.lastAsk++
		if h.asks == nil {
			h.asks = map[uint64]func(hub.Answer){}
		}
		h.asks[h.lastAsk] = then
		ask.Ref = h.lastAsk
		h.postLocked(ask)
	})
}

// watch registers a connection to be woken.
func (s *Server) watch(id space.ID, c *connection) *hotSpace {
	return s.locked(id, func(h *hotSpace) {
		if h.watchers == nil {
			h.watchers = map[hub.ConnID]*connection{}
		}
		h.watchers[c.id] = c
	})
}

func (h *hotSpace) unwatch(c *connection) {
	h.done(func() {
		delete(h.watchers, c.id)
		if h.ended && len(h.watchers) == 0 {
			h.server.free()
		}
	})
}

// done notes, by f, that somebody needs the space no more, and forgets it if nobody does. It is locked meanwhile.
func (h *hotSpace) done(f func()) {
	h.server.spaces.mu.Lock()
	defer h.server.spaces.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	h.dropLocked()
}

// dropLocked forgets a space that nobody needs. The table is locked too.
func (h *hotSpace) dropLocked() {
	if h.running || h.keeping || h.paying || len(h.inbox) > 0 || len(h.watchers) > 0 || h.pending > 0 || len(h.asks) > 0 || len(h.records) > 0 || h.server.isSystem(h.id) || h.broken || !h.hub.Idle() {
		return
	}
	if h.server.spaces.hot[h.id] != h {
		return
	}
	if h.timer != nil {
		h.timer.Stop()
	}
	h.hub.Close()
	h.readers.drop(h.server)
	delete(h.server.spaces.hot, h.id)
	h.server.metrics.hot.Dec()
}

// hint takes the log's hint that a space has moved. What this server appended it knows; another server's appends
// are looked at, so that their records reach those who watch here.
func (s *Server) hint(id space.ID) {
	s.spaces.mu.Lock()
	h := s.spaces.hot[id]
	s.spaces.mu.Unlock()
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.append {
		h.hints++
		return
	}
	h.lookLocked()
}

// lookLocked gives the hub the head of the log, unasked.
func (h *hotSpace) lookLocked() {
	h.server.spawn(func() {
		if read, err := h.readHead(h.server.work); err == nil {
			h.answered(read)
		}
	})
}

// appending marks the time of an append of our own.
func (h *hotSpace) appending(now bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !now && h.hints > 1 {
		h.lookLocked()
	}
	h.append, h.hints = now, 0
}

// run is the pipeline: it steps the hub through the inbox, and ends when that is empty.
func (h *hotSpace) run() {
	s := h.server
	for {
		h.mu.Lock()
		inbox := h.inbox
		h.inbox = nil
		h.mu.Unlock()
		for _, in := range inbox {
			h.step(in)
		}
		s.spaces.mu.Lock()
		h.mu.Lock()
		if len(h.inbox) == 0 {
			h.running = false
			h.dropLocked()
			h.mu.Unlock()
			s.spaces.mu.Unlock()
			return
		}
		h.mu.Unlock()
		s.spaces.mu.Unlock()
	}
}

// step gives the hub one input and does what it asks for.
func (h *hotSpace) step(in hub.Input) {
	defer func() {
		if failure := recover(); failure != nil {
			h.panicked(failure)
		}
		h.restart()
	}()
	switch in := in.(type) {
	case answer:
		h.pending--
		if h.broken || in.of != h.hub {
			switch in := in.Input.(type) {
			case hub.Opened:
				if in.Instance != nil {
					in.Instance.Close()
				}
			case hub.Prepared:
				in.Work.Close()
			}
			return
		}
		h.apply(h.hub.Step(h.server.wall(), in.Input))
		return
	case hub.Offer:
		if h.broken {
			h.fail(in.Caller.Conn)
			return
		}
		if h.peers == nil {
			h.peers = map[hub.ConnID]struct{}{}
		}
		h.peers[in.Caller.Conn] = struct{}{}
	case hub.Disconnected:
		if h.broken { // restart tells that it is finished
			if h.peers == nil {
				h.peers = map[hub.ConnID]struct{}{}
			}
			h.peers[in.Conn] = struct{}{}
			return
		}
	case hub.Ask:
		if h.broken {
			h.answer(hub.Answer{Conn: in.Conn, Ref: in.Ref, Exists: true, Code: wire.CodeOverloaded})
			return
		}
	case hub.Record:
		if h.broken {
			h.recorded(hub.Recorded{Ref: in.Ref, Verdict: unjudged})
			return
		}
	case hub.Try:
		if h.broken {
			h.recorded(hub.Recorded{Ref: in.Ref, Verdict: unjudged})
			return
		}
	case hub.Tail:
		if h.broken {
			h.taken(hub.Taken{Conn: in.Caller.Conn, Frame: &wire.Refused{Ref: in.Ref, Code: wire.CodeOverloaded}, Size: in.Size})
			return
		}
		if h.peers == nil {
			h.peers = map[hub.ConnID]struct{}{}
		}
		h.peers[in.Caller.Conn] = struct{}{} // that is closed if this fails
	case hub.Tick:
		h.ticked = false
		h.mu.Lock()
		h.wakeAt = 0
		h.mu.Unlock()
	}
	if !h.broken {
		h.apply(h.hub.Step(h.server.wall(), in))
	}
}

// answer is an input that answers a request of one hub.Space.
type answer struct {
	hub.Input
	of *hub.Space
}

// apply does what a step asked for. Nothing in it waits for the log.
func (h *hotSpace) apply(effects hub.Effects) {
	s := h.server
	if effects.Lost != nil {
		h.lost(effects.Lost)
	}
	h.request(&effects)
	if effects.Failed != nil {
		s.metrics.applyErrors.Inc()
		s.logger.Error("the log of a space cannot be applied", "space", h.id, "error", effects.Failed)
	}
	before := h.turning
	if effects.Turned {
		h.turn(effects.TurnedAt)
	}
	if h.turning != nil && effects.Loaded {
		h.askReaders()
	}
	if effects.Deleted {
		h.end(effects.Head.Seq)
	}
	h.mu.Lock()
	if h.turning == nil && (effects.Loaded || effects.Head.Seq > h.head) {
		h.head = effects.Head.Seq
	}
	h.mu.Unlock()
	for _, reply := range effects.Replies {
		for i := range reply.Pushed.Verdicts {
			s.metrics.verdict(&reply.Pushed.Verdicts[i])
		}
		if c := s.connection(reply.Conn); c != nil {
			c.endPush(reply.Pushed)
			c.answered(reply.Pushed)
			c.step(hub.Verdicts{Reply: reply})
		}
	}
	for _, t := range effects.Taken {
		h.taken(t)
	}
	for _, recorded := range effects.Recorded {
		h.recorded(recorded)
	}
	for _, answer := range effects.Answers {
		h.answer(answer)
	}
	for _, closing := range effects.Close {
		if c := s.connection(closing.Conn); c != nil {
			c.step(hub.Fail{Code: closing.Code, Reason: closing.Reason})
		}
	}
	for _, conn := range effects.Finished {
		delete(h.peers, conn)
		if c := s.connection(conn); c != nil {
			c.finishedIn(h.id)
		}
	}
	if effects.Checkpoint != nil {
		h.keep(effects.Checkpoint)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if effects.Moved || before != nil && h.turning == nil {
		h.wakeLocked()
	}
	if h.turning != nil && effects.Loaded && !h.ticked {
		h.ticked = true
		h.postLocked(hub.Tick{})
	}
	if effects.Loaded {
		h.payLocked()
	}
	if effects.WakeAt != 0 {
		h.wakeAtLocked(effects.WakeAt)
	}
}

// turning is the subscribers who are still to be asked for whether they may read, since a record that may have changed that.
type turning struct {
	left  []asking
	known map[string]error // what those who were asked were told, by their identities
}

// asking is a subscriber, and the last record that it gets if it may not read any more.
type asking struct {
	c    *connection
	last uint64
}

const (
	turnAsks = 64                   // how many subscribers a module is asked of in one go,
	turnStep = 8 * time.Millisecond // and how long that takes, but for the last one
)

// turn begins to ask the module again who of the subscribers may read. Who may not any more is sent the records up to last and no
// further: nobody is sent anything past h.head, which does not move before all were asked. Whoever is still to be asked since an
// earlier record is asked by the tables as they are now, and for that record: some were not to have what came behind it.
func (h *hotSpace) turn(last uint64) {
	earlier := map[*connection]uint64{}
	if h.turning != nil {
		for _, r := range h.turning.left {
			earlier[r.c] = r.last
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if last == 0 {
		last = max(h.head, 1)
	}
	t := &turning{known: map[string]error{}}
	for _, c := range h.watchers {
		at := last
		if since, ok := earlier[c]; ok {
			at = min(at, since)
		}
		t.left = append(t.left, asking{c, at})
	}
	h.turning = t
}

// askReaders asks some of them: the space has other things to do, and a module may take long for each.
func (h *hotSpace) askReaders() {
	t, began := h.turning, time.Now()
	for asked := 0; len(t.left) > 0; {
		r := t.left[len(t.left)-1]
		name := strings.Join(r.c.proven(), "\x00")
		err, known := t.known[name]
		if !known {
			if asked == turnAsks || asked > 0 && time.Since(began) >= turnStep {
				return
			}
			asked++
			may, failure := h.hub.MayRead(r.c.proven())
			switch {
			case failure != nil:
				err = wire.Errorf(wire.CodeInternal, "%v", failure)
				h.server.post(h.id, hub.Tick{}) // it may have to be opened anew
				h.server.logger.Error("cannot ask a module who may read", "space", h.id, "error", failure)
			case !may:
				err = wire.Errorf(wire.CodeLeft, "")
			}
			t.known[name] = err
		}
		t.left = t.left[:len(t.left)-1]
		if err != nil {
			r.c.step(hub.Left{Space: h.id, Seq: r.last, Code: wire.CodeOf(err)})
		}
	}
	h.turning = nil
}

func (h *hotSpace) answer(answer hub.Answer) {
	h.mu.Lock()
	then := h.asks[answer.Ref]
	delete(h.asks, answer.Ref)
	h.mu.Unlock()
	if then != nil {
		then(answer)
	}
}

// wakeLocked sees that the watchers are told of the head. However often it moves meanwhile, one goroutine does it.
func (h *hotSpace) wakeLocked() {
	if h.waking || len(h.watchers) == 0 {
		return
	}
	h.waking = h.server.spawn(h.wake)
}

func (h *hotSpace) wake() {
	var watchers []*connection
	for {
		h.mu.Lock()
		if h.woken == h.head {
			h.waking = false
			h.mu.Unlock()
			return
		}
		h.woken = h.head
		head := h.head
		watchers = watchers[:0]
		for c := range maps.Values(h.watchers) {
			watchers = append(watchers, c)
		}
		h.mu.Unlock()
		for _, c := range watchers {
			c.step(hub.Woken{Space: h.id, Seq: head})
		}
	}
}

func (h *hotSpace) wakeAtLocked(at uint64) {
	if h.wakeAt != 0 && h.wakeAt <= at {
		return
	}
	h.wakeAt = at
	wait := time.Duration(max(int64(at-h.server.wall()), 1)) * time.Millisecond
	if h.timer == nil {
		h.timer = time.AfterFunc(wait, func() { h.server.post(h.id, hub.Tick{}) })
	} else {
		h.timer.Reset(wait)
	}
}

// fail closes a connection whose pushes the space lost: it comes back and sends them again.
func (h *hotSpace) fail(conn hub.ConnID) {
	if c := h.server.connection(conn); c != nil {
		c.step(hub.Fail{Code: wire.CodeInternal, Reason: "the server failed to judge a push"})
	}
}

// panicked takes the space out of service after a bug. Nothing of it is believed any more: the connections that
// pushed are closed, and when no call to the log is under way everything is loaded anew.
func (h *hotSpace) panicked(failure any) {
	h.server.panicked("in a space, which is loaded anew", failure, "space", h.id)
	if h.broken {
		return
	}
	h.broken = true
	for conn := range h.peers {
		h.fail(conn)
	}
	h.mu.Lock()
	asks, records := h.asks, h.records
	h.asks, h.records = nil, nil
	h.mu.Unlock()
	for _, then := range records {
		then(unjudged)
	}
	for ref, then := range asks {
		then(hub.Answer{Ref: ref, Exists: true, Code: wire.CodeOverloaded})
	}
}

// restart begins anew after a panic, once nothing of the failed hub is under way.
func (h *hotSpace) restart() {
	if !h.broken || h.pending > 0 {
		return
	}
	h.hub = hub.NewSpace(h.server.hub, h.id)
	h.broken = false
	if h.turning != nil {
		h.server.ask(h.id, 0, nil, func(hub.Answer) {}) // or it might not be opened again, and go on
	}
	h.readers.drop(h.server)
	peers := h.peers
	h.peers = nil
	for conn := range peers {
		if c := h.server.connection(conn); c != nil {
			c.finishedIn(h.id)
		}
	}
}
