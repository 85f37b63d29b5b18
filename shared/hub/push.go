package hub

import (
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// push is one push on its way through a space. Its verdicts are made in order. A failed append takes back those
// that rested on it, and the push begins again with the first of them.
type push struct {
	peer   *peer
	frame  *wire.Push
	size   int
	own    *Record // the server's; its peer is of this push alone
	record *Record // own, or somebody's who has no connection; the same
	tail   *Tail   // that is judged anew; the same

	started      bool
	behindBefore bool // peer.behind before this push was begun
	genesis      *wire.Verdict
	verdicts     []wire.Verdict
	barriers     []uint64 // for each verdict the head that must be durable before it is told; never falling
	known        []Known  // what the log holds under the ids of the transactions without a verdict
	charged      int      // transactions that Config.Admit has admitted: the first so many
	seen         int      // transactions whose authors are known to have seen the log as it is: the first so many

	whole      wire.Code // not 0: every transaction without a verdict is deferred with it
	wholeRetry uint64
}

// proves reports whether a transaction of the push is the author's: their connection has proven it, or the seal under what was there.
func (p *push) proves(author string) bool { return p.tail != nil || p.peer.caller.proves(author) }

// barrier returns the head that must be durable before the push is answered.
func (p *push) barrier() uint64 {
	if len(p.barriers) == 0 {
		return 0
	}
	return p.barriers[len(p.barriers)-1]
}

// defers reports whether the push has deferred something.
func (p *push) defers() bool {
	if p.genesis != nil && p.genesis.Kind == wire.Deferred {
		return true
	}
	n := len(p.verdicts) // once one is deferred, so are all after it
	return n > 0 && p.verdicts[n-1].Kind == wire.Deferred
}

// restart takes back every verdict that needs more than the durable head.
func (p *push) restart(head uint64) {
	p.known, p.seen = nil, 0
	if !p.started {
		return
	}
	keep := len(p.barriers)
	for keep > 0 && p.barriers[keep-1] > head {
		keep--
	}
	p.verdicts, p.barriers = p.verdicts[:keep], p.barriers[:keep]
	p.started, p.whole, p.wholeRetry = false, 0, 0
	p.peer.behind = p.behindBefore
}

// ids returns how many event ids the transactions without a verdict have.
func (p *push) ids() int {
	n := 0
	for i := len(p.verdicts); i < len(p.frame.Transactions); i++ {
		n += len(p.frame.Transactions[i].Events)
	}
	return n
}

// setupRetry is how long after a push was deferred for want of an administrator it is tried again, in ms.
const setupRetry = 2000

// begin settles what holds for the push as a whole before its first transaction is judged.
func (s *Space) begin(now uint64, p *push) {
	if p.started {
		return
	}
	p.started = true
	p.behindBefore = p.peer.behind
	if p.frame.Resume {
		p.peer.behind = false
	}
	if p.defers() { // the verdicts that a failed append left standing
		p.peer.behind = true
	}
	switch {
	case p.peer.behind:
		p.deferWhole(wire.CodeBehind, 0)
	case p.own == nil && s.config.SetupRequired != nil && s.config.SetupRequired():
		p.deferWhole(wire.CodeSetupRequired, setupRetry)
	case p.genesis != nil && p.genesis.Code != 0:
		p.deferWhole(wire.CodeUnknownSpace, 0)
	case (p.own == nil || p.expires()) && s.recovering(now) > 0: // else the server's own goes on: nobody could connect
		p.deferWhole(wire.CodeRecovering, s.recovering(now))
	}
}

// expires reports whether a push of the server's own has records expire, which can wait.
func (p *push) expires() bool { return p.frame.Transactions[0].Events[0].Type == module.TypeExpire }

func (p *push) deferWhole(code wire.Code, retryAfterMS uint64) {
	if p.whole == 0 {
		p.whole, p.wholeRetry = code, retryAfterMS
	}
}

// fill defers what is left of the push with the code that holds for all of it.
func (s *Space) fill(p *push) {
	if p.frame.Genesis != nil && p.genesis == nil {
		p.genesis = &wire.Verdict{Kind: wire.Deferred, Code: p.whole, RetryAfterMS: p.wholeRetry}
	}
	for range len(p.frame.Transactions) - len(p.verdicts) {
		s.verdict(p, wire.Verdict{Kind: wire.Deferred, Code: p.whole, RetryAfterMS: p.wholeRetry})
	}
	if p.defers() {
		p.peer.behind = true
	}
}

// verdict adds the next verdict of a push, which rests on everything proposed so far.
func (s *Space) verdict(p *push, v wire.Verdict) {
	if p.verdicts == nil {
		p.verdicts = make([]wire.Verdict, 0, len(p.frame.Transactions))
		p.barriers = make([]uint64, 0, len(p.frame.Transactions))
	}
	p.verdicts = append(p.verdicts, v)
	p.barriers = append(p.barriers, s.tip.Seq)
	if v.Kind == wire.Deferred {
		p.peer.behind = true
	}
	if u := s.upgrade; u != nil && u.push == p && u.transaction == &p.frame.Transactions[len(p.verdicts)-1] {
		s.upgradeAnswered(&v)
	}
}

// refuse makes the verdict that a code calls for.
func refuse(code wire.Code, reason string) wire.Verdict {
	kind := wire.Rejected
	if deferral(code) {
		kind = wire.Deferred
	}
	return wire.Verdict{Kind: kind, Code: code, Reason: wire.Reason(reason)}
}

// sealed returns the position of a head, with the seal that proves it.
func (s *Space) sealed(position space.Position) space.Position {
	position.Seal = s.config.Seal(s.id, position.Seq, position.Chain)
	return position
}
