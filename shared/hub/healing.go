package hub

import (
	"fmt"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/identity"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// This file is about a space whose newest records this server has lost: it was restored from an older backup, say. Whoever holds them
// brings them back. A chain value says all that came before it, and a seal says that this server once had that chain value: so records
// that lead to a sealed place are the records that were there, whoever brings them, and the place before them was had too. It is
// sealed in turn. So a run of any length is shown to be genuine from its end to its beginning, a message at a time, and nothing of it
// has to be kept until then.

// Tail is a run of genuine records, which lead from Base to End. It is answered by [Taken].
type Tail struct {
	Caller  *Caller
	Ref     uint64
	Size    int // of its message; comes back in Taken
	Base    space.Position
	End     space.Position
	Records []space.Record

	Genesis   *space.Genesis // where Base is the start
	Signature []byte

	// Reclaim asks to judge the records anew, where the log has left the branch that they are on. Otherwise they are taken as they
	// are where they follow on the log's head. The shell makes sure that the log had Base once: it has it still, or Base is sealed.
	Reclaim bool

	expired []bool // of which of its transactions some payload is gone
	tries   int
}

// mostTries is how often a tail is appended again after the log did not take it.
const mostTries = 8

// tail takes records that somebody brings back.
func (s *Space) tail(in *Tail) {
	if !in.Reclaim {
		s.tails = append(s.tails, in)
		return
	}
	p := &push{
		peer: &peer{caller: in.Caller, pushes: 1}, tail: in, size: in.Size,
		frame: &wire.Push{Space: s.id, Transactions: space.TransactionsOf(in.Records)},
	}
	in.expired = make([]bool, len(p.frame.Transactions))
	for n, i := 0, 0; n < len(in.expired); n++ {
		for range p.frame.Transactions[n].Events {
			in.expired[n] = in.expired[n] || in.Records[i].Expired
			i++
		}
	}
	s.queue = append(s.queue, p)
}

// took answers the tail in front.
func (s *Space) took(frame wire.Frame) {
	t := s.tails[0]
	s.tails[0] = nil
	s.tails = s.tails[1:]
	s.out.Taken = append(s.out.Taken, Taken{Conn: t.Caller.Conn, Frame: frame, Size: t.Size})
}

// takeShown answers the tail in front: its base is sealed.
func (s *Space) takeShown(outcome wire.AdoptOutcome) {
	t := s.tails[0]
	base := space.Position{Seq: t.Base.Seq, Chain: t.Base.Chain}
	s.took(&wire.Adopted{Ref: t.Ref, Space: s.id, Base: s.sealed(base), Outcome: outcome})
}

func (s *Space) refuseTail(code wire.Code, reason string) {
	s.took(&wire.Refused{Ref: s.tails[0].Ref, Code: code, Reason: wire.Reason(reason)})
}

func (s *Space) refuseTails(code wire.Code) {
	for len(s.tails) > 0 {
		s.refuseTail(code, "")
	}
}

// adopt takes the tails that follow on the head, and answers the others.
func (s *Space) adopt() {
	for len(s.tails) > 0 && s.phase == ready {
		t := s.tails[0]
		if s.config.SetupRequired != nil && s.config.SetupRequired() {
			s.refuseTail(wire.CodeSetupRequired, "")
			continue
		}
		if t.End.Seq <= s.head.Seq {
			s.takeShown(wire.AdoptLook)
			continue
		}
		if t.Base.Seq > s.head.Seq {
			s.shown(t, false)
			s.takeShown(wire.AdoptEarlier)
			continue
		}
		if s.inFlight || len(s.batches) > 0 {
			return // what was judged goes first, and nothing is judged behind it
		}
		n := int(s.head.Seq - t.Base.Seq)
		switch left := space.Fold(t.Base.Chain, t.Records[:n]) != s.head.Chain; {
		case left:
			s.shown(t, true) // nobody can bring back what follows on something else
			fallthrough
		case slices.ContainsFunc(t.Records[n:], func(r space.Record) bool { return r.Expired }): // no tables could be made of it
			s.takeShown(wire.AdoptLeft)
		default:
			s.appendTail(t.Records[n:], &t.End)
		}
	}
}

// appendTail asks for records to be made durable as they are.
func (s *Space) appendTail(records []space.Record, end *space.Position) {
	last := &records[len(records)-1]
	s.phase = adopting
	s.out.Append = &Append{
		Previous: s.head, Records: records, Next: space.Head{Seq: end.Seq, Chain: end.Chain, ReceivedAt: last.ReceivedAt},
		Deletes: last.Type == module.TypeDelete, Adopts: true,
	}
	if s.tables != nil {
		s.out.Append.People = s.tables.Audience()
	}
	s.tip = s.out.Append.Next
}

// adopted takes the log's answer.
func (s *Space) adopted(now uint64, outcome Outcome) {
	t, next := s.tails[0], s.tip
	s.rollback() // ids were looked up that are in the log now
	switch outcome {
	case Stored:
		last := &t.Records[len(t.Records)-1]
		s.failures = 0
		s.head, s.tip = next, next
		s.bareAt(Bare(last))
		s.takeShown(wire.AdoptTaken)
		if last.Type == module.TypeDelete {
			s.end(last.ID, false)
			return
		}
		s.follow()
	case Full:
		s.phase = ready
		s.refuseTail(wire.CodeServerFull, "the server's storage is full")
	case Missing:
		s.phase = ready
		s.refuseTail(wire.CodeModuleMissing, "the server does not have a module that the space went over to in these records")
	default:
		s.phase = reloading
		if s.backOff(now); t.tries == mostTries {
			s.refuseTail(wire.CodeOverloaded, "the log does not take the records")
		}
		t.tries++
	}
}

// follow brings the instance to a head that it did not judge. One that applies nothing would not notice if the space went over to another
// module on the way there: the space is opened anew.
func (s *Space) follow() {
	if s.tables == nil || s.instance.Applied() != module.NeedsNothing {
		s.catchUp()
		return
	}
	s.forget()
	s.behind = true
	s.open()
}

// createLost creates a space that this server once had, to take its records back. It reports whether it asks the log to.
func (s *Space) createLost() bool {
	for len(s.tails) > 0 {
		t := s.tails[0]
		switch g := t.Genesis; {
		case s.config.SetupRequired != nil && s.config.SetupRequired():
			s.refuseTail(wire.CodeSetupRequired, "")
		case t.Base.Seq > 0 && g == nil:
			s.takeShown(wire.AdoptEarlier)
		case g == nil:
			s.refuseTail(wire.CodeUnknownSpace, "the server does not have the space, and got no genesis of it")
		case g.ID() != s.id:
			s.refuseTail(wire.CodeBadGenesis, "the genesis is that of another space")
		case !genuine(g, t.Signature):
			s.refuseTail(wire.CodeBadGenesis, "the genesis is not signed by the space's creator")
		default:
			s.phase = creating
			s.openRef = s.ref()
			s.out.Create = &CreateSpace{Ref: s.openRef, Genesis: g, Signature: t.Signature, Lost: true}
			return true
		}
	}
	return false
}

// lostTail is a tail that the log is known to have lost.
type lostTail struct {
	to    uint64 // its last record, and the chain there
	chain digest.Digest
	at    space.Position // where what was shown of it begins
	left  bool           // the log went on without it
}

// mostLost is how many tails a space waits for at most. There are more only where somebody has many places of branches that were left.
const mostLost = 64

// recovering returns for how long pushes are put off still, since records are missing that somebody may bring back: after a
// restore, and while the log ends before a place that is known to have been.
func (s *Space) recovering(now uint64) uint64 {
	until := s.config.RestoredUntil
	if slices.ContainsFunc(s.lostTails, func(l lostTail) bool { return s.head.Seq < l.to }) {
		until = max(until, s.recoverUntil)
	}
	return until - min(until, now)
}

// ahead notes that the log has lost a tail, and begins the wait for it. It begins once: were it to begin again with every
// replica that comes back, a tail that nobody can bring would keep the space shut for ever.
func (s *Space) ahead(now uint64, position space.Position) {
	if s.instance != nil && position.Seq <= s.head.Seq {
		return
	}
	if !s.recovered {
		s.recovered = true
		s.recoverUntil = now + s.config.RecoveryWindow
	}
	known := slices.ContainsFunc(s.lostTails, func(l lostTail) bool { return l.to == position.Seq && l.chain == position.Chain })
	if !known && len(s.lostTails) < mostLost && now < s.recoverUntil {
		s.lostTails = append(s.lostTails, lostTail{to: position.Seq, chain: position.Chain, at: position})
		s.rewind = true
	}
}

// shown notes that a run of records leads to tails that are waited for, or is part of them. Where the log has left it nobody waits for
// those any longer; for others, which may follow on the log's head, it does.
func (s *Space) shown(t *Tail, left bool) {
	chain := t.Base.Chain
	for i := range t.Records {
		r := &t.Records[i]
		chain = space.Chain(chain, r)
		for j := range s.lostTails {
			if l := &s.lostTails[j]; l.at.Seq == r.Seq && l.at.Chain == chain {
				l.at, l.left = t.Base, left
			}
		}
	}
	s.lostTails = slices.DeleteFunc(s.lostTails, func(l lostTail) bool { return l.left })
}

// replyTail makes the answer to records that were judged anew.
func (s *Space) replyTail(p *push) Taken {
	t := p.tail
	answer := &wire.Reclaimed{Ref: t.Ref, Space: s.id, Verdicts: p.verdicts}
	if !p.defers() {
		answer.End = s.sealed(t.End)
	}
	return Taken{Conn: t.Caller.Conn, Frame: answer, Size: t.Size}
}

// unproven says why records are not shown to be genuine, or nothing.
func unproven(config *Config, id space.ID, base, end *space.Position, records []space.Record) (wire.Code, string) {
	if !config.CheckSeal(id, end) {
		return wire.CodeDiverged, "the end does not have this server's seal"
	}
	for i := range records {
		r := &records[i]
		switch {
		case r.Seq != base.Seq+1+uint64(i):
			return wire.CodeUnproven, fmt.Sprintf("record %d is where %d belongs", r.Seq, base.Seq+1+uint64(i))
		case i == 0 && r.Index != 0:
			return wire.CodeUnproven, "the records begin inside a transaction"
		}
	}
	if n := len(records); n == 0 || !records[n-1].Last() || records[n-1].Seq != end.Seq {
		return wire.CodeUnproven, "the records do not reach to the end"
	}
	if space.Fold(base.Chain, records) != end.Chain {
		return wire.CodeUnproven, "the records do not lead to the end"
	}
	return 0, ""
}

// adopt takes a client's records to the space, if they are genuine.
func (c *Conn) adopt(f *wire.Adopt, size int) {
	c.bring(&Tail{
		Ref: f.Ref, Base: f.Base, End: f.End, Records: f.Records, Genesis: f.Genesis, Signature: f.GenesisSignature,
	}, f.Space, size)
}

func (c *Conn) reclaim(f *wire.Reclaim, size int) {
	c.bring(&Tail{Ref: f.Ref, Base: f.Base, End: f.End, Records: f.Records, Reclaim: true}, f.Space, size)
}

// bring checks what a client brings back before anybody else sees it. Whoever has proven who they are may: it is as it was.
func (c *Conn) bring(t *Tail, id space.ID, size int) {
	if len(c.caller.Identities) == 0 {
		c.refuse(t.Ref, wire.CodeAuthRequired, "who brings records back has to prove an identity")
		return
	}
	if c.overWindow(size) {
		return
	}
	if code, reason := unproven(c.config, id, &t.Base, &t.End, t.Records); code != 0 {
		c.refuse(t.Ref, code, reason)
		return
	}
	c.unanswered += uint64(size)
	t.Caller, t.Size = c.caller, size
	c.out.Tails = append(c.out.Tails, TailOf{Space: id, Tail: *t})
}

// taken passes on the answer to what the client brought.
func (c *Conn) taken(in Taken) {
	c.unanswered -= min(c.unanswered, uint64(in.Size))
	c.send(in.Frame)
}

// locate asks how much of a client's history the log has. Who has a place that this server sealed may know.
func (c *Conn) locate(f *wire.Locate) {
	switch ascending := true; {
	case len(c.caller.Identities) == 0:
		c.refuse(f.Ref, wire.CodeAuthRequired, "who asks has to prove an identity")
	case len(f.Points) > wire.MaxPoints:
		c.refuse(f.Ref, wire.CodeTooMany, fmt.Sprintf("%d points, at most %d", len(f.Points), wire.MaxPoints))
	case !c.config.CheckSeal(f.Space, &f.Position):
		c.refuse(f.Ref, wire.CodeDiverged, "the position does not have this server's seal")
	case c.locating >= wire.MaxRequests:
		c.refuse(f.Ref, wire.CodeTooMany, "too many requests wait")
	default:
		for i := range f.Points {
			ascending = ascending && (i == 0 || f.Points[i-1].Seq < f.Points[i].Seq) && f.Points[i].Seq < f.Position.Seq
		}
		if !ascending {
			c.fail(wire.CodeBadFrame, "the points of a locate do not ascend")
			return
		}
		c.locating++
		c.out.Locate = append(c.out.Locate, f)
	}
}

// located takes the shell's answer to Locate.
func (c *Conn) located(in Located) {
	c.locating--
	if in.Code != 0 {
		c.refuse(in.Ref, in.Code, in.Reason)
		return
	}
	in.Located.Ref = in.Ref
	c.send(in.Located)
}

// Common returns the newest of the places of a [wire.Locate] that is on a log's branch, which ends at head: the start if none is.
func Common(src Source, head space.Head, f *wire.Locate) (common space.Position, err error) {
	common = space.Start(f.Space)
	points := append(f.Points[:len(f.Points):len(f.Points)], f.Position)
	for low, high := 0, len(points); low < high; {
		middle := int(uint(low+high) / 2)
		p := &points[middle]
		on := p.Seq <= head.Seq
		if on {
			chain, err := ProvenAt(src, f.Space, p.Seq)
			if err != nil {
				return common, err
			}
			on = chain == p.Chain
		}
		if on {
			common, low = space.Position{Seq: p.Seq, Chain: p.Chain}, middle+1
		} else {
			high = middle
		}
	}
	return common, nil
}

// genuine reports whether a genesis has the signature that it is to have.
func genuine(g *space.Genesis, signature []byte) bool {
	if !identity.IsKey(g.Creator) {
		return len(signature) == 0
	}
	return len(signature) <= wire.MaxSignature && signed(g.ID(), g.Creator, signature)
}
