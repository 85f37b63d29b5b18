package wasmclient

import "skerry/shared/space"

// Times of the election, in milliseconds.
const (
	beatEvery    = 3_000  // between two words of the leader
	silentFor    = 10_000 // then a follower asks whether the leader is there
	answerWithin = 2_000  // then it takes the lead, after up to
	takeJitter   = 1_000  // more
	lateAfter    = 2_000  // a tick that comes this long after it was due shows that this tab itself was asleep
	handedFor    = 5_000  // how long after an offer the loss of the lead is its outcome
)

// Message is what a tab tells the others over a [Channel]: a hint, what it looks at, or a word of the election.
type Message struct {
	// Kind is empty for a hint: Space has Version now, or a later one.
	Kind    string
	Space   space.ID
	Version uint64

	From   uint64 // the tab that speaks, by the name that it took for this life
	To     uint64 // the tab that is meant; 0: all
	Hidden bool   // nobody looks at the tab that speaks

	Looking []space.ID // what the tab that speaks looks at, of the kind "looking"
	Report  []byte     // what the tab that leads knows of the server, of the kind [wordReport]; of a checkpoint, or a question for it; an ephemeral
}

// What tabs say about spaces, beside hints.
const (
	wordLooking  = "looking"   // I look at these: pull them, whoever leads
	wordWhoLooks = "who looks" // I lead now: what does everybody look at?
	wordLook     = "look"      // look into the store: something changed that is of no space
)

// The words of an election.
const (
	wordAlive = "alive" // I lead
	wordProbe = "probe" // is there a leader?
	wordWant  = "want"  // somebody looks at me: I would like to lead
	wordYours = "yours" // take the lead from me
)

// standing is where a tab stands in an election.
type standing uint8

const (
	away    standing = iota // not in line: it stands back, or is suspended
	inLine                  // it waits for the lock
	leading                 // it holds the lock
)

// election decides for one tab what to say to the others, and when to take the lead from a tab that is silent. The
// lock alone says who leads; this is about a leader that holds it and does nothing: a frozen tab keeps its locks.
//
// It has no clock, no channel and no lock: time and messages come as arguments.
type election struct {
	tab    uint64
	random func(n uint64) uint64
	deaf   bool // other tabs cannot be heard, so that silence means nothing

	hidden   bool
	standing standing
	since    uint64 // for so long a follower has heard no leader, while it was awake itself
	takeAt   uint64 // the leader was asked, and has until then to answer; 0: it was not asked
	due      uint64 // when the next tick is to come; 0: none is needed
	offered  uint64 // when the lead was offered to another tab; 0: it was not
}

// stand takes a new place. A leader says at once that it is one.
func (e *election) stand(now uint64, s standing) Message {
	e.standing, e.since, e.takeAt, e.due = s, now, 0, 0
	switch {
	case e.deaf:
		return Message{}
	case s == leading:
		e.due, e.offered = now+beatEvery, 0
		return e.word(wordAlive, 0)
	case s == inLine:
		e.plan(now)
	}
	return Message{}
}

// plan says when the next tick is to come to a follower.
func (e *election) plan(now uint64) {
	e.due = min(now+beatEvery, e.since+silentFor)
	if e.takeAt > 0 {
		e.due = min(now+beatEvery, e.takeAt)
	}
}

// tick is called when it is due, or later if this tab could not. It returns what to say, if anything, and whether to
// take the lead now.
func (e *election) tick(now uint64) (say Message, take bool) {
	switch {
	case e.due == 0 || now < e.due:
		return Message{}, false
	case e.standing == leading:
		e.due = now + beatEvery
		return e.word(wordAlive, 0), false
	case e.slept(now):
	case e.takeAt > 0 && now >= e.takeAt:
		e.since, e.takeAt, take = now, 0, true
	case e.takeAt == 0 && now >= e.since+silentFor:
		e.takeAt = now + answerWithin + e.random(takeJitter)
		say = e.word(wordProbe, 0)
	}
	e.plan(now)
	return say, take
}

// slept reports whether the tick that is due comes late. Then it was this tab that slept, not the leader: what it did
// not hear meanwhile proves nothing, and it begins to listen anew.
func (e *election) slept(now uint64) bool {
	if e.due == 0 || now < e.due+lateAfter {
		return false
	}
	e.since, e.takeAt = now, 0
	return true
}

// heard is called with what another tab said. idle tells whether a leader could let go now without work being done
// twice.
func (e *election) heard(now uint64, m Message, idle func() bool) (say Message, take bool) {
	switch {
	case e.standing == leading && m.Kind == wordProbe:
		return e.word(wordAlive, 0), false
	case e.standing == leading && m.Kind == wordWant && e.hidden && idle():
		e.offered = now
		return e.word(wordYours, m.From), false
	case e.standing != inLine:
		return Message{}, false
	}
	e.slept(now)
	switch m.Kind {
	case wordAlive:
		e.since, e.takeAt = now, 0
		if m.Hidden && !e.hidden {
			say = e.word(wordWant, 0)
		}
	case wordProbe:
		// One that asks is enough. Of two that asked at the same moment, the one with the lower name goes on.
		if e.takeAt == 0 || m.From < e.tab {
			e.since, e.takeAt = now, 0
		}
	case wordYours:
		take = m.To == e.tab && !e.hidden
	}
	e.plan(now)
	return say, take
}

// gaveUp reports whether the lead that was lost at now had been offered.
func (e *election) gaveUp(now uint64) bool { return e.offered > 0 && now < e.offered+handedFor }

func (e *election) word(kind string, to uint64) Message {
	return Message{Kind: kind, From: e.tab, To: to, Hidden: e.hidden}
}
