package sim

import (
	"fmt"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// server is the shell around the hub's cores, and the log.
type server struct {
	world  *World
	config *hub.Config
	keyer  *digest.Keyer
	stored map[space.ID]*storedSpace
	blobs  map[digest.Digest][]byte
	listed map[string][]space.ID // directory, by identity

	up       bool
	life     int // counts restarts: what an earlier life asked for is not answered to a later one
	spaces   map[space.ID]*hotSpace
	conns    map[hub.ConnID]*serverConn
	leaving  map[hub.ConnID]*serverConn // closed, but not out of every space
	nextConn hub.ConnID
	sessions map[wire.SessionID]*serverConn
	skew     int64
	tat      uint64 // of the limiter of creations
	marked   bool   // it was restored
	logs     int    // counts restores
}

type hotSpace struct {
	core     *hub.Space
	instance *program.Instance // that core has, of a module that is run
	watchers []*serverConn
	wake     uint64
	head     uint64 // durable, as core told it; nobody is sent what is past it
	asks     map[asked]func(hub.Answer)
}

// asked names what a connection asked of a space.
type asked struct {
	conn hub.ConnID
	ref  uint64
}

type serverConn struct {
	id       hub.ConnID
	core     *hub.Conn
	link     *link
	register *hub.Register
	leaving  map[space.ID]bool // spaces in which something of it is left still
	onLeft   []func()
	closed   bool
	wake     uint64
}

func newServer(w *World) *server {
	s := &server{world: w, stored: make(map[space.ID]*storedSpace), listed: make(map[string][]space.ID), blobs: make(map[digest.Digest][]byte)}
	var secret [digest.Size]byte
	copy(secret[:], "the simulated server's own secret")
	s.keyer = digest.NewKeyer(secret)
	s.config = hub.Config{
		Server: digest.Of([]byte("server")),
		Seal: func(id space.ID, seq uint64, chain digest.Digest) digest.Digest {
			return space.SealWith(s.keyer, id, seq, chain)
		},
		CheckSeal: func(id space.ID, p *space.Position) bool {
			return p.Seal == space.SealWith(s.keyer, id, p.Seq, p.Chain)
		},
		AppendRecords: 1 + w.random.IntN(20), ReadRecords: 1 + w.random.IntN(20), ReadBytes: 1 + w.random.IntN(3000),
	}.Complete()
	if w.options.Restores {
		s.config.RecoveryWindow = w.between(1, 40_000)
	}
	if w.options.Engine != nil {
		s.config.HeldRecords = 1 + w.random.IntN(30)
	}
	return s
}

func (s *server) start() {
	s.up = true
	s.life++
	s.spaces = make(map[space.ID]*hotSpace)
	s.conns = make(map[hub.ConnID]*serverConn)
	s.leaving = make(map[hub.ConnID]*serverConn)
	s.sessions = make(map[wire.SessionID]*serverConn)
	s.skew = int64(s.world.random.IntN(3_600_000)) - 1_800_000 // the clock of the machine is set anew
	if s.marked {
		config := *s.config
		config.RestoredUntil = s.clock() + config.RecoveryWindow
		s.config = &config
		s.world.after(config.RecoveryWindow, func() { s.marked = false })
	}
	s.world.logf("server starts")
}

// kill ends the process: what is not in the log is gone.
func (s *server) kill() {
	s.world.logf("server is killed")
	s.up = false
	s.life++
	for _, id := range sortedConns(s.conns) {
		s.conns[id].closed = true
		s.conns[id].link.cut()
	}
	s.spaces, s.conns, s.leaving, s.sessions = nil, nil, nil, nil
}

func sortedConns(conns map[hub.ConnID]*serverConn) []hub.ConnID {
	var ids []hub.ConnID
	for id := range conns {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// clock is the server's wall clock, which is wrong and may step back between lives.
func (s *server) clock() uint64 { return uint64(int64(s.world.now) + 1_800_000_000_000 + s.skew) }

// later answers a request of a core, unless the server was killed meanwhile.
func (s *server) later(do func()) {
	life := s.life
	s.world.after(s.world.random.Uint64N(30), func() {
		if s.life == life {
			do()
		}
	})
}

// accept takes a socket.
func (s *server) accept(l *link) {
	s.nextConn++
	c := &serverConn{id: s.nextConn, core: hub.NewConn(s.config, s.nextConn, "address"), link: l, leaving: make(map[space.ID]bool)}
	l.server, s.conns[c.id] = c, c
	var nonce [32]byte
	seeded{s.world.random}.Read(nonce[:])
	s.stepConn(c, hub.Begin{Nonce: nonce})
}

func (s *server) stepConn(c *serverConn, in hub.ConnInput) {
	if c.closed {
		return
	}
	effects := c.core.Step(s.clock(), in)
	for _, id := range effects.Watch {
		h := s.space(id)
		h.watchers = append(h.watchers, c)
	}
	for _, id := range effects.Unwatch {
		h := s.space(id)
		h.watchers = slices.DeleteFunc(h.watchers, func(other *serverConn) bool { return other == c })
	}
	for _, message := range effects.Send {
		size := len(message)
		c.link.toClient(message, func() { s.stepConn(c, hub.Written{Bytes: size}) })
	}
	if effects.Prove != nil { // every replica here is honest about who it is; shells check proofs
		var proven []hub.Proven
		for _, p := range effects.Prove.Proofs {
			proven = append(proven, hub.Proven{Identity: p.Identity})
		}
		s.stepConn(c, hub.Proved{Proven: proven})
		return
	}
	if effects.Register != nil {
		s.register(c, effects.Register)
	}
	for _, f := range effects.Directory {
		s.later(func() { s.stepConn(c, hub.DirectoryRead{Ref: f.Ref, Spaces: s.directory(c, f)}) })
	}
	for _, offer := range effects.Push {
		c.leaving[offer.Push.Space] = true
		s.stepSpace(offer.Push.Space, offer)
	}
	for _, check := range effects.Check {
		s.check(c, check)
	}
	for _, ahead := range effects.Ahead {
		s.stepSpace(ahead.Space, hub.Ahead{Position: ahead.Position})
	}
	if read := effects.Read; read != nil {
		r := *read
		if head := s.space(r.Space).head; r.Until == 0 || r.Until > head {
			r.Until = head // as it is now, and not when the log answers
		}
		s.later(func() { s.read(c, r) })
	}
	if effects.Page != nil {
		s.page(c, effects.Page)
	}
	s.bring(c, &effects)
	s.blob(c, &effects)
	if effects.Close {
		s.gone(c, effects.Leave)
		return
	}
	s.wakeConn(c, effects.WakeAt)
}

func (s *server) wakeConn(c *serverConn, at uint64) {
	if at == 0 || c.wake != 0 && c.wake <= at {
		return
	}
	c.wake = at
	life := s.life
	s.world.after(at-min(at, s.clock()), func() {
		if s.life == life && !c.closed {
			c.wake = 0
			s.stepConn(c, hub.Tick{})
		}
	})
}

// gone ends a connection on the server's side.
func (s *server) gone(c *serverConn, leave []space.ID) {
	c.closed = true
	delete(s.conns, c.id)
	s.leaving[c.id] = c
	c.link.cut()
	for _, id := range sortedIDs(s.spaces) {
		h := s.spaces[id]
		h.watchers = slices.DeleteFunc(h.watchers, func(other *serverConn) bool { return other == c })
	}
	c.leaving = make(map[space.ID]bool)
	for _, id := range leave {
		c.leaving[id] = true
	}
	leave = slices.Clone(leave)
	for _, id := range leave {
		s.stepSpace(id, hub.Disconnected{Conn: c.id})
	}
	s.left(c)
}

func (s *server) left(c *serverConn) {
	if c.closed && len(c.leaving) == 0 {
		delete(s.leaving, c.id)
		waiting := c.onLeft
		c.onLeft = nil
		for _, do := range waiting {
			do()
		}
	}
}

func sortedIDs[T any](m map[space.ID]T) []space.ID {
	var ids []space.ID
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b space.ID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

func (s *server) register(c *serverConn, r *hub.Register) {
	ask := *r
	c.register = &ask
	old := s.sessions[ask.Session]
	if old != nil && !old.closed && old != c {
		if old.register.Epoch > ask.Epoch {
			s.later(func() { s.stepConn(c, hub.Registered{Code: wire.CodeSuperseded, Reason: "a newer epoch is connected"}) })
			return
		}
		s.stepConn(old, hub.Fail{Code: wire.CodeSuperseded})
	}
	s.sessions[ask.Session] = c
	welcome := func() { s.later(func() { s.stepConn(c, hub.Registered{}) }) }
	if old != nil && old != c && len(old.leaving) > 0 {
		old.onLeft = append(old.onLeft, welcome)
		return
	}
	welcome()
}

func (s *server) directory(c *serverConn, f *wire.Directory) *wire.Spaces {
	from, log := 0, -1
	if len(f.Since) > 0 {
		fmt.Sscan(string(f.Since), &from, &log)
	}
	if log != s.logs { // of a log that another one was put in the place of
		from = 0
	}
	spaces := &wire.Spaces{Ref: f.Ref, Full: log != s.logs}
	var all []space.ID
	for _, identity := range c.core.Caller().Identities {
		all = append(all, s.listed[identity]...)
	}
	from = min(from, len(all))
	to := min(len(all), from+3)
	for _, id := range all[from:to] {
		spaces.Rows = append(spaces.Rows, *s.row(id))
	}
	spaces.Since, spaces.More = []byte(fmt.Sprint(to, " ", s.logs)), to < len(all)
	return spaces
}

func (s *server) row(id space.ID) *wire.SpaceRow {
	st := s.stored[id]
	if st.told {
		return &wire.SpaceRow{Genesis: st.genesis, GenesisSignature: st.signature, State: wire.SpaceDeleted}
	}
	return &wire.SpaceRow{Genesis: st.genesis, GenesisSignature: st.signature, Module: st.module(), Head: st.head.Seq, CheckpointSeq: st.place, Checkpoint: st.placeRoot, Expired: st.expired}
}

// check asks the space, so that it is loaded and its head known, and then the log. Everybody may read here.
func (s *server) check(c *serverConn, check hub.CheckPosition) {
	h := s.space(check.Space)
	h.asks[asked{c.id, check.Ref}] = func(answer hub.Answer) { s.checkLog(c, check, answer) }
	s.stepSpace(check.Space, hub.Ask{Conn: c.id, Ref: check.Ref, Identities: c.core.Caller().Identities})
}

func (s *server) checkLog(c *serverConn, check hub.CheckPosition, answer hub.Answer) {
	s.later(func() {
		checked := hub.Checked{Space: check.Space, Ref: check.Ref, Code: answer.Code, Seq: answer.Seq}
		if answer.Code == wire.CodeOverloaded {
			checked.Code = wire.CodeInternal // which is how a subscription says it
		}
		if st := s.stored[check.Space]; st != nil && answer.Exists {
			checked.Exists, checked.MayRead, checked.Head = true, true, st.head
			if check.Seq <= st.head.Seq {
				chain, err := hub.ChainAt(st.source(), check.Seq)
				if err != nil {
					panic(err)
				}
				checked.Chain = chain
			}
			if checked.Expired = st.expired; check.NeedRow || check.Seq < st.expired || s.world.options.Expires && st.place > 0 {
				checked.Row = s.row(check.Space)
			}
		}
		s.stepConn(c, checked)
	})
}

func (s *server) read(c *serverConn, r hub.ReadEvents) {
	st := s.stored[r.Space]
	if st.freed {
		s.stepConn(c, hub.EventsRead{Space: r.Space, Ref: r.Ref, Code: wire.CodeDeleted})
		return
	}
	var records []space.Record
	head := min(st.head.Seq, r.After) // there may be more, for which the connection is woken
	if r.Until > r.After {
		var err error
		if records, err = st.source().Read(r.After, int(min(uint64(r.MaxRecords), r.Until-r.After)), r.MaxBytes); err != nil {
			panic(err)
		}
		head = st.head.Seq
	}
	if len(records) > 0 && records[0].Expired {
		s.stepConn(c, hub.EventsRead{Space: r.Space, Ref: r.Ref, Code: wire.CodeResumeGone})
		return
	}
	message, position := hub.EventsMessage(s.config, r.Space, r.Chain, records)
	s.stepConn(c, hub.EventsRead{Space: r.Space, Ref: r.Ref, Message: message, Position: position, Head: head})
}

// free tells who watches, and the directory, that a space was deleted, and later frees it; the server may be killed before. What
// was in the log stays here, to be compared with.
func (s *server) free(h *hotSpace, id space.ID, seq uint64) {
	for _, c := range slices.Clone(h.watchers) {
		s.stepConn(c, hub.Left{Space: id, Seq: seq, Code: wire.CodeDeleted})
	}
	st := s.stored[id]
	s.later(func() {
		if !st.told {
			st.told = true
			s.listed[st.genesis.Creator] = append(s.listed[st.genesis.Creator], id)
		}
		s.later(func() { st.freed = true })
	})
}

func (s *server) space(id space.ID) *hotSpace {
	h := s.spaces[id]
	if h == nil {
		h = &hotSpace{core: hub.NewSpace(s.config, id), asks: map[asked]func(hub.Answer){}}
		s.spaces[id] = h
	}
	return h
}

func (s *server) stepSpace(id space.ID, in hub.Input) {
	h := s.space(id)
	effects := h.core.Step(s.clock(), in)
	if effects.Open != nil {
		ref := effects.Open.Ref
		s.later(func() {
			opened := hub.Opened{Ref: ref}
			if st := s.stored[id]; st != nil {
				s.open(id, st, &opened)
			}
			s.stepSpace(id, opened)
		})
	}
	if effects.Create != nil {
		create := *effects.Create
		s.later(func() { s.create(id, create) })
	}
	if effects.Lookup != nil {
		lookup := *effects.Lookup
		ids := slices.Clone(lookup.IDs)
		s.later(func() {
			found := hub.Found{Ref: lookup.Ref, Known: make([]hub.Known, len(ids))}
			for i, event := range ids {
				if at, ok := s.stored[id].known[event]; ok {
					r := &s.stored[id].records[at]
					found.Known[i] = hub.Known{Seq: r.Seq, Index: r.Index, Count: r.Count, Author: r.Author}
				}
			}
			s.stepSpace(id, found)
		})
	}
	if effects.Read != nil {
		ask := *effects.Read
		s.later(func() { s.stepSpace(id, hub.ReadHistory(s.stored[id].source(), &ask)) })
	}
	if effects.Append != nil {
		s.append(id, *effects.Append)
	}
	if effects.LoadHead != nil {
		ref := effects.LoadHead.Ref
		s.later(func() {
			read := hub.HeadRead{Ref: ref, Head: s.stored[id].head}
			if last, ok := s.stored[id].deleted(); ok {
				read.Code, read.Last = wire.CodeDeleted, last
			}
			s.stepSpace(id, read)
		})
	}
	if effects.Prepare != nil {
		s.prepare(id, *effects.Prepare)
	}
	replies, answers, closing, finished := slices.Clone(effects.Replies), slices.Clone(effects.Answers), slices.Clone(effects.Close), slices.Clone(effects.Finished)
	taken := slices.Clone(effects.Taken)
	moved, head, wake := effects.Moved, effects.Head, effects.WakeAt
	if effects.Deleted {
		s.free(h, id, head.Seq)
	}
	if effects.Loaded || head.Seq > h.head {
		h.head = head.Seq
	}
	for _, reply := range replies {
		if c := s.conns[reply.Conn]; c != nil {
			s.stepConn(c, hub.Verdicts{Reply: reply})
		}
	}
	for _, t := range taken {
		if c := s.conns[t.Conn]; c != nil {
			s.stepConn(c, t)
		}
	}
	for _, answer := range answers {
		name := asked{answer.Conn, answer.Ref}
		then := h.asks[name]
		delete(h.asks, name)
		then(answer)
	}
	for _, end := range closing {
		if c := s.conns[end.Conn]; c != nil {
			s.world.failf("the server closes a connection for %s: %s", end.Code, end.Reason)
			s.stepConn(c, hub.Fail{Code: end.Code, Reason: end.Reason})
		}
	}
	for _, conn := range finished {
		if c := s.leaving[conn]; c != nil {
			delete(c.leaving, id)
			s.left(c)
		}
	}
	if moved {
		for _, c := range slices.Clone(h.watchers) {
			s.stepConn(c, hub.Woken{Space: id, Seq: head.Seq})
		}
	}
	if wake != 0 && (h.wake == 0 || wake < h.wake) {
		h.wake = wake
		life := s.life
		s.world.after(wake-min(wake, s.clock()), func() {
			if s.life == life {
				h.wake = 0
				s.stepSpace(id, hub.Tick{})
			}
		})
	}
}

// create creates a space, within a limit by GCRA on everyone together.
func (s *server) create(id space.ID, ask hub.CreateSpace) {
	opened := hub.Opened{Ref: ask.Ref}
	st := s.stored[id]
	if !s.has(ask.Genesis) {
		opened.Code = wire.CodeModuleMissing
		s.stepSpace(id, opened)
		return
	}
	if st == nil && ask.Lost {
		st = s.stores(id, &ask)
		opened.Created = true
	} else if st == nil {
		const interval, burst = 2_000, 3
		tat := max(s.tat, s.world.now) + interval
		if wait := int64(tat) - int64(s.world.now) - interval*burst; wait > 0 {
			opened.Code, opened.RetryAfterMS = wire.CodeRateLimited, uint64(wait)
			s.stepSpace(id, opened)
			return
		}
		s.tat = tat
		st = s.stores(id, &ask)
		opened.Created = true
	}
	s.open(id, st, &opened)
	s.stepSpace(id, opened)
}

func (s *server) stores(id space.ID, ask *hub.CreateSpace) *storedSpace {
	st := &storedSpace{genesis: *ask.Genesis, signature: ask.Signature, head: space.Head{Chain: id}, known: make(map[space.ULID]int)}
	s.stored[id] = st
	s.listed[st.genesis.Creator] = append(s.listed[st.genesis.Creator], id)
	s.world.logf("server creates %s", short(id))
	return st
}

// append appends to the log: the records become durable at one moment, the answer comes later, and the server may be
// killed before, between and after.
func (s *server) append(id space.ID, ask hub.Append) {
	life := s.life
	ask.Records = slices.Clone(ask.Records)
	s.world.after(s.world.random.Uint64N(20), func() {
		if s.life != life && s.world.chance(2) {
			return // killed before the disk had it
		}
		if !s.hasAll(ask.Records) {
			outcome := hub.Unclear
			if ask.Adopts {
				outcome = hub.Missing
			}
			if s.life == life {
				s.later(func() { s.stepSpace(id, hub.Appended{Outcome: outcome}) })
			}
			return
		}
		if s.stored[id] == nil || s.life != life && s.world.options.Restores {
			return // another log is in its place
		}
		outcome := s.stored[id].append(s.world, id, &ask)
		if outcome == hub.Stored && s.world.chance(40) && !s.world.calm {
			outcome = hub.Unclear
		}
		s.world.after(s.world.random.Uint64N(20), func() {
			if s.life == life {
				s.stepSpace(id, hub.Appended{Outcome: outcome})
			}
		})
	})
}

func short(id space.ID) string { return id.String()[:6] }
