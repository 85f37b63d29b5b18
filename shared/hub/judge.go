package hub

import (
	"fmt"
	"slices"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

const (
	lookupIDs = 8192 // a lookup gathers waiting pushes until it has so many ids
	maxAhead  = 4    // batches that wait for the log; more are not judged on top of them
)

// judge looks up and judges pushes in order, until one of them needs an answer from the log.
func (s *Space) judge(now uint64) {
	for s.lookupRef == 0 && s.readRef == 0 && !s.rewind && s.lost == nil && len(s.batches) < maxAhead {
		if s.judged == s.looked && !s.lookup() {
			return
		}
		for s.lookupRef == 0 && s.judged < s.looked {
			p := s.queue[s.judged]
			switch {
			case s.judgePush(now, p):
				s.judged++
			case s.upgrade != nil && s.upgrade.parked && s.upgrade.push == p: // others go on
			default:
				return
			}
		}
	}
}

// lookup asks what the log holds under the ids of the next pushes, and reports whether there are any.
func (s *Space) lookup() bool {
	if s.looked == len(s.queue) {
		return false
	}
	ids := s.lookupIDs[:0]
	s.group = s.group[:0]
	var authors []string
	for s.looked < len(s.queue) && len(ids) < lookupIDs {
		p := s.queue[s.looked]
		for i := len(p.verdicts); i < len(p.frame.Transactions); i++ {
			events := p.frame.Transactions[i].Events
			if author := p.frame.Transactions[i].Author; !slices.Contains(authors, author) && p.proves(author) {
				authors = append(authors, author)
			}
			for j := range events {
				ids = append(ids, events[j].ID)
			}
		}
		s.group = append(s.group, p)
		s.looked++
	}
	s.lookupIDs = ids
	if len(ids) > 0 {
		s.lookupRef = s.ref()
		s.lookupHead = s.head.Seq
		s.out.Lookup = &Lookup{Ref: s.lookupRef, IDs: ids, Authors: authors}
	}
	return true
}

// found gives each push of the group its share of a lookup's answer.
func (s *Space) found(in Found) {
	if in.Ref != s.lookupRef {
		return
	}
	s.lookupRef = 0
	if in.Code == 0 && len(in.Known) != len(s.lookupIDs) {
		panic("hub: a lookup was answered with another number of entries")
	}
	known := in.Known
	for _, p := range s.group {
		if in.Code != 0 {
			p.deferWhole(wire.CodeOverloaded, 0)
			continue
		}
		n := p.ids()
		p.known, known = known[:n:n], known[n:]
	}
}

// judgePush makes the verdicts of a push, and reports false if the log has to be read first, or the space opened anew.
func (s *Space) judgePush(now uint64, p *push) bool {
	s.begin(now, p)
	if g := p.frame.Genesis; g != nil && p.genesis == nil && p.whole != wire.CodeBehind {
		v := wire.Verdict{Kind: wire.Duplicate, Position: s.sealed(space.Start(s.id))}
		if g.ID() != s.id {
			v = refuse(wire.CodeBadGenesis, "the genesis is that of another space")
			p.deferWhole(wire.CodeUnknownSpace, 0)
		}
		p.genesis = &v
	}
	if s.held(p) {
		p.deferWhole(wire.CodeUpgrading, heldRetry)
	}
	if p.whole != 0 {
		s.fill(p)
		return true
	}
	for len(p.verdicts) < len(p.frame.Transactions) {
		if p.peer.gone {
			return true // what was judged is finished, the rest dropped
		}
		t := &p.frame.Transactions[len(p.verdicts)]
		v, ok := s.judgeTransaction(now, p, t)
		if !ok {
			return false
		}
		if s.phase != deleted {
			p.known = p.known[len(t.Events):]
		}
		s.verdict(p, v)
	}
	return true
}

// judgeTransaction makes the next verdict of a push, or reports false if there can be none before records are read for it,
// or the space is opened anew.
func (s *Space) judgeTransaction(now uint64, p *push, t *space.Transaction) (v wire.Verdict, ok bool) {
	if p.peer.behind {
		return wire.Verdict{Kind: wire.Deferred, Code: wire.CodeBehind}, true
	}
	if !p.proves(t.Author) {
		return refuse(wire.CodeAuthRequired, "the connection has not proven the author"), true
	}
	if reason := malformed(t); reason != "" {
		return refuse(wire.CodeBadTransaction, reason), true
	}
	if p.tail != nil && p.tail.expired[len(p.verdicts)] { // its id and its digests are there, but not what it said
		return refuse(wire.CodeResumeGone, "it has expired, and its payload is gone"), true
	}
	if s.phase == deleted {
		return s.judgeDeleted(t), true
	}
	if v, ok := s.dedupe(p, t); !ok || v.Kind != 0 {
		return v, ok
	}
	if s.ending {
		return refuseDeleted(), true
	}
	if p.tail != nil && t.Events[0].Type == module.TypeExpire { // others have written since in the places that it names
		return refuse(wire.CodeReservedType, "$expire names records of a branch that the log has left"), true
	}
	if p.own == nil || t.Events[0].Type == module.TypeModule {
		if v := s.checkLimits(t); v.Kind != 0 {
			return v, true
		}
	}
	if s.tip.Seq+uint64(len(t.Events)) > space.MaxSeq {
		return refuse(wire.CodeSpaceFull, "the space has given its last sequence number"), true
	}
	if now < s.fullUntil {
		v := refuse(wire.CodeServerFull, "the server's storage is full")
		v.RetryAfterMS = s.fullUntil - now
		return v, true
	}
	if t.Events[0].Type == module.TypeExpire {
		if v, ok := s.expirable(now, p, t); !ok || v.Kind != 0 {
			return v, ok
		}
	}
	if room := s.config.Room; room != nil && p.own == nil && !s.frees(t) {
		if reason, wait := room(t.Author, s.unreserved[t.Author]+t.Stored()); reason != "" {
			v := refuse(wire.CodeOverQuota, reason)
			v.RetryAfterMS = wait
			return v, true
		}
	}
	if admit := s.config.Admit; admit != nil && p.own == nil && p.tail == nil && p.charged <= len(p.verdicts) {
		if wait := admit(now, p.peer.caller, t.Author, len(t.Events), t.Size()); wait > 0 {
			v := refuse(wire.CodeRateLimited, "over the rate limit on events")
			v.RetryAfterMS = wait
			return v, true
		}
		p.charged = len(p.verdicts) + 1
	}
	v, ok = s.decide(now, p, t)
	if forgive := s.config.Forgive; forgive != nil && ok && v.Kind == wire.Deferred && p.charged > len(p.verdicts) {
		p.charged = len(p.verdicts)
		forgive(p.peer.caller, t.Author, len(t.Events), t.Size())
	}
	return v, ok
}

// decide makes the verdict of a transaction that was found to be new and admitted, as judgeTransaction does.
func (s *Space) decide(now uint64, p *push, t *space.Transaction) (v wire.Verdict, ok bool) {
	if t.Events[0].Type == module.TypeModule {
		if v, ok := s.prepare(p, t); !ok || v.Kind != 0 {
			return v, ok
		}
	}
	return s.authorize(now, t, p.own)
}

// frees reports whether a transaction makes room, for which there always is some: a deletion, or an expiry that is small and by which
// more records expire than it adds, the server's word behind it included. So who has no room left comes to an end with them.
func (s *Space) frees(t *space.Transaction) bool {
	switch e := &t.Events[0]; e.Type {
	case module.TypeDelete:
		return true
	case module.TypeExpire:
		upto, _ := module.ExpiredTo(e.Payload)
		return len(e.Payload) <= smallExpiry && upto > s.tables.Expired()+2
	}
	return false
}

// smallExpiry is how large the payload of an expiry may be for which there always is room: what it has to say fits.
const smallExpiry = 64

// authorize lets the module judge a new transaction and proposes it if the module allows. It reports false if there are no
// tables any more to judge it by. What is to be stored beside a transaction of the server's own is there before the module is
// asked, and gone if that refuses.
func (s *Space) authorize(now uint64, t *space.Transaction, own *Record) (v wire.Verdict, ok bool) {
	b := s.room(t)
	if s.tables != nil && s.bare > 0 && s.bare == s.tip.Seq {
		s.witness(b)
	}
	beside := len(b.beside)
	records := b.stage(t, s.tip.Seq+1, max(now, s.tip.ReceivedAt))
	caller := module.Caller{Identity: t.Author}
	if own != nil {
		caller.Each, caller.Server = own.Claims, true
		b.beside = append(b.beside, own.Beside)
	}
	verdict, err := s.instance.Judge(caller, records)
	if err != nil || !verdict.Allowed() {
		b.unstage(records)
		b.beside = b.beside[:beside]
	}
	switch {
	case s.losing(err):
		return wire.Verdict{}, false
	case err != nil:
		return refuse(wire.CodeOverloaded, "the module could not be run"), true
	case !verdict.Allowed():
		return refuse(verdict.Code, verdict.Reason), true
	}
	accepted := wire.Verdict{Kind: wire.Accepted, Position: s.sealed(s.propose(b, records))}
	if s.tables != nil {
		b.turned = b.turned || s.tables.Turned()
		b.people = append(b.people, s.tables.People()...)
	}
	switch records[0].Type {
	case module.TypeModule, module.TypeExpire:
		s.witness(b)
	case module.TypeDelete:
		b.deletes, s.ending = true, true
	}
	return accepted, true
}

// witness appends, in the same batch as an upgrade or an expiry, what the tables are after it: so that everybody who makes them, or gets
// them, can tell whether they are the same. It cannot be refused.
func (s *Space) witness(b *batch) {
	d := s.tables.Digest(s.id, s.tip.Position())
	t := space.Transaction{API: wire.APIHigh, Events: []space.Event{{
		ID: witnessID(&s.tip), Type: module.TypeCheckpoint, Payload: module.Witness(d),
	}}}
	records := b.stage(&t, s.tip.Seq+1, s.tip.ReceivedAt)
	verdict, err := s.instance.Judge(module.Caller{}, records)
	if err != nil || !verdict.Allowed() {
		panic(fmt.Sprintf("hub: a module judged the server's own record: %v %v", verdict, err))
	}
	s.propose(b, records)
}

// Bare reports whether a record that a log ends with is an upgrade or an expiry, which the server's word of the tables follows on. It is missing where a replica
// brought back what the log had lost, and had no more than that: the first that is judged behind it comes behind that word.
func Bare(last *space.Record) bool {
	return last.Type == module.TypeModule || last.Type == module.TypeExpire
}

func (s *Space) bareAt(bare bool) {
	if s.bare = 0; bare {
		s.bare = s.head.Seq
	}
}

// witnessID makes the id of the record behind an upgrade or an expiry: of its time, and of the chain, so that no other has it.
func witnessID(tip *space.Head) (id space.ULID) {
	sum := digest.Of(append([]byte("skerry.checkpoint.1"), tip.Chain[:]...))
	copy(id[:], sum[:])
	for i := range 6 {
		id[i] = byte(tip.ReceivedAt >> (8 * (5 - i)))
	}
	return id
}

// malformed says what makes t no transaction at all, if anything does.
func malformed(t *space.Transaction) string {
	if len(t.Events) == 0 {
		return "a transaction has at least one event"
	}
	for i := range t.Events {
		switch e := &t.Events[i]; {
		case e.ID == space.ULID{}:
			return "an event has no id"
		case e.Type == "":
			return "an event has no type"
		}
	}
	return ""
}

// checkLimits judges a new transaction by what this server admits; the zero verdict admits it.
func (s *Space) checkLimits(t *space.Transaction) wire.Verdict {
	limits := &s.config.Limits
	switch {
	case uint64(len(t.Author)) > limits.Identity:
		return tooLarge("author", len(t.Author), limits.Identity, "bytes")
	case uint64(len(t.API)) > limits.API:
		return tooLarge("api", len(t.API), limits.API, "bytes")
	case uint64(len(t.ClientVersion)) > limits.ClientVersion:
		return tooLarge("client_version", len(t.ClientVersion), limits.ClientVersion, "bytes")
	case uint64(len(t.Events)) > limits.TransactionEvents:
		return tooLarge("transaction", len(t.Events), limits.TransactionEvents, "events")
	}
	if size := t.Size(); uint64(size) > limits.TransactionBytes {
		return tooLarge("transaction", size, limits.TransactionBytes, "bytes")
	}
	for i := range t.Events {
		switch e := &t.Events[i]; {
		case e.Type == module.TypeModule && s.tables != nil:
			if len(t.Events) > 1 {
				return refuse(wire.CodeBadTransaction, "an upgrade is a transaction of its own")
			}
			if s.tip.Seq+2 > space.MaxSeq {
				return refuse(wire.CodeSpaceFull, "the space has no sequence number left for an upgrade")
			}
			if len(e.Payload) > int(limits.Payload) {
				return tooLarge("payload", len(e.Payload), limits.Payload, "bytes")
			}
		case (e.Type == module.TypeDelete || e.Type == module.TypeExpire) && s.tables != nil:
			if len(t.Events) > 1 {
				return refuse(wire.CodeBadTransaction, "a deletion or an expiry is a transaction of its own")
			}
			if len(e.Payload) > int(limits.Payload) {
				return tooLarge("payload", len(e.Payload), limits.Payload, "bytes")
			}
		case strings.HasPrefix(e.Type, "$"):
			return refuse(wire.CodeReservedType, "types beginning with $ are the server's")
		case uint64(len(e.Type)) > limits.Type:
			return tooLarge("type", len(e.Type), limits.Type, "bytes")
		case uint64(len(e.Payload)) > limits.Payload:
			return tooLarge("payload", len(e.Payload), limits.Payload, "bytes")
		}
	}
	return wire.Verdict{}
}
