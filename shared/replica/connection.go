package replica

import (
	"fmt"
	"io"
	"slices"

	"skerry/shared/wire"
)

// Times of a connection, in milliseconds.
const (
	backoffFloor   = 500
	backoffCeiling = 30_000
	silence        = 20_000 // then ping
	pongWithin     = 10_000
	handshake      = 15_000
	stable         = 5_000 // a connection that lasted this long was no failure

	supersededCeiling = 300_000 // how long at most a replica waits whose session another one uses
)

type phase uint8

const (
	offline phase = iota
	dialing
	challenged // the socket is open, the challenge has not come
	proving    // it came, a proof is being made
	greeted    // hello is sent
	pinning    // welcome came, the server's key is being made durable
	online
)

// connection is the state of the one socket.
type connection struct {
	phase      phase
	dialAt     uint64 // when to dial next; never while following
	attempts   int
	since      uint64 // when the phase began
	heard      uint64 // when the last byte came
	pinged     bool
	server     [32]byte
	api        string // what both sides speak
	identities []string
	proof      proof
	limits     wire.Limits
	unanswered uint64 // pushed bytes without a verdict
	// pushedSpaces is how many spaces were pushed to.
	pushedSpaces uint64
	turnedAway   bool // the server takes pushes to no further space on this connection, and some would push
	// subscriptions is how many there are; crowded: some more had no room.
	subscriptions uint64
	crowded       bool
	credit        uint64 // to be granted: paid by what is stored or dropped
	directory     uint64 // the last ref used
	relisted      bool   // it began from nothing
	listedTo      []byte // where it ended then, which is not stored yet
	// directorySince is the cursor that it was asked with.
	directorySince []byte
	directoryAt    uint64 // when to ask for the directory again, after a refusal; 0: it was not refused
	eager          bool   // the platform said meanwhile that trying is worth it: if this attempt fails, try again soon
	setup          bool   // the server puts everything off until somebody sets it up
	code           Code   // why the last connection ended
	reason         string
}

func (c *connection) enter(r *Replica, p phase) {
	c.phase, c.since, c.heard, c.pinged = p, r.now, r.now, false
	r.statusChanged()
}

func (c *connection) wakeAt(r *Replica) uint64 {
	switch {
	case !r.mayDial():
		return never
	case c.phase == offline:
		return c.dialAt
	case c.phase == dialing, c.phase == challenged, c.phase == proving, c.phase == greeted:
		return c.since + handshake
	}
	at := c.heard + silence
	if c.pinged {
		at += pongWithin
	}
	if c.directoryAt > 0 {
		at = min(at, c.directoryAt)
	}
	if c.proof.refreshAt > 0 && c.phase == online {
		at = min(at, c.proof.refreshAt)
	}
	return at
}

// mayDial reports whether this tab is the one that connects, and is to.
func (r *Replica) mayDial() bool { return r.leads && r.config.Sync && !r.meta.LoggedOut() }

// login takes note of whether somebody is logged in. Who logged out is not connected from here on, and what is not stored of what
// the server said comes again later.
func (r *Replica) login(number uint64) {
	if number <= r.meta.Login {
		return
	}
	r.meta.Login = number
	if r.meta.LoggedOut() && r.conn.phase != offline {
		r.drop(0, "logged out")
	}
	r.conn.code, r.conn.reason = 0, ""
	if r.conn.dialAt != never {
		r.conn.dialAt = r.now
	}
	r.statusChanged()
}

func (r *Replica) advanceConnection() {
	c := &r.conn
	if !r.mayDial() {
		return
	}
	switch {
	case c.phase == offline:
		if c.dialAt <= r.now {
			r.out.Dial = true
			c.enter(r, dialing)
		}
	case c.phase == dialing, c.phase == challenged, c.phase == proving, c.phase == greeted:
		if c.since+handshake <= r.now {
			r.drop(wire.CodeIdle, "the server did not finish the handshake")
		}
	case c.heard+silence+pongWithin <= r.now && c.pinged:
		r.drop(wire.CodeIdle, "the server was silent")
	case c.heard+silence <= r.now && !c.pinged:
		c.pinged = true
		r.send(&wire.Ping{})
	}
	if c.phase == online && c.directoryAt > 0 && c.directoryAt <= r.now {
		c.directoryAt = 0
		from := r.meta.Since
		if c.relisted {
			from = c.directorySince // what came before it is not stored yet
		}
		r.askDirectory(from)
	}
	if c.phase == online {
		r.refreshDue()
	}
	r.grantCredit()
}

func (r *Replica) askDirectory(since []byte) {
	c := &r.conn
	c.directory++
	c.directorySince = since
	r.send(&wire.Directory{Ref: c.directory, Since: since})
}

// askDirectoryLater asks again from what is stored, after a refusal or an answer that leads nowhere.
func (r *Replica) askDirectoryLater() {
	r.conn.directoryAt = r.now + retryFloor + r.random(backoffCeiling)
}

// online is called when the platform says that a network is there.
func (r *Replica) online() {
	c := &r.conn
	if r.sync.retryAt != never {
		r.sync.retryAt = r.now // somebody looks: perhaps after having made room
	}
	r.appends.lookAt = 0
	switch {
	case c.phase == online:
	case c.phase != offline:
		c.eager = true
	case r.leads && c.dialAt != never:
		c.dialAt = min(c.dialAt, r.now+r.random(backoffFloor))
	}
}

func (r *Replica) connected() {
	if r.conn.phase == dialing {
		r.conn.enter(r, challenged)
	}
}

func (r *Replica) disconnected(reason string) {
	if r.conn.phase == offline {
		return
	}
	if r.conn.code == 0 {
		r.conn.reason = reason
	}
	r.ended(0)
}

func (r *Replica) unreadable(reason string) {
	if r.conn.phase != offline {
		r.drop(wire.CodeBadServerMessage, reason)
	}
}

// drop closes the connection because of something that this side saw.
func (r *Replica) drop(code Code, reason string) {
	r.conn.code, r.conn.reason = code, reason
	r.hangup(reason)
	r.ended(0)
}

func (r *Replica) hangup(reason string) {
	if r.conn.phase == offline {
		return
	}
	if reason == "" {
		reason = "reconnecting"
	}
	r.out.Hangup = reason
	r.out.Send = nil
}

// ended forgets the connection and plans the next one, no sooner than after wait.
func (r *Replica) ended(wait uint64) {
	c := &r.conn
	if c.phase == online && r.now-c.since >= stable {
		c.attempts = 0
	}
	if c.phase == online && r.now-c.since >= 2*supersededCeiling {
		r.superseded = 0
	}
	ceiling := min(uint64(backoffCeiling), uint64(backoffFloor)<<min(c.attempts, 10))
	delay := backoffFloor + r.random(ceiling)
	if c.eager {
		delay = r.random(backoffFloor)
	}
	switch c.code {
	case wire.CodeServerChanged, wire.CodeAPIUnsupported, wire.CodeAuthRequired, wire.CodeBadCredentials,
		wire.CodeConnectRefused, wire.CodeRevoked:
		delay = backoffCeiling + r.random(backoffCeiling) // only a person changes this
	}
	r.conn = connection{attempts: c.attempts + 1, dialAt: r.now + max(delay, wait), code: c.code, reason: c.reason}
	r.generation++
	r.historyEnded()
	r.clearQueues()
	for _, s := range r.spaces {
		s.resetConnection()
	}
	r.sync.forgetFeeds()
	r.statusChanged()
}

func (r *Replica) received(in Received) {
	c := &r.conn
	if c.phase < challenged {
		return // of a socket that this side has given up
	}
	c.heard, c.pinged = r.now, false
	if c.phase != online {
		r.shakeHands(in.Frame)
		return
	}
	switch f := in.Frame.(type) {
	case *wire.Pushed:
		r.pushed(f)
	case *wire.Events:
		r.events(f, in.Size)
	case *wire.CaughtUp:
		r.caughtUp(f)
	case *wire.Ended:
		r.subscriptionEnded(f)
	case *wire.Spaces:
		r.directoryRows(f)
	case *wire.Error:
		r.serverError(f)
	case *wire.Bye:
		r.bye(f)
	case *wire.BlobPart:
		c.credit += uint64(in.Size) // a module or a checkpoint may be larger than all credit, and is bounded by itself
		r.blobPart(f)
	case *wire.Located:
		r.located(f)
	case *wire.Adopted:
		r.adopted(f)
	case *wire.Reclaimed:
		r.reclaimed(f)
	case *wire.Page:
		r.page(f, in.Size)
	case *wire.Refused:
		if f.Ref == 0 {
			r.notify(Unheard{f.Code, f.Reason})
		} else if f.Ref == refreshRef {
			r.refreshLater()
		} else if !r.recoveryRefused(f) && !r.moduleRefused(f) && !r.checkpointRefused(f) && !r.historyRefused(f) && f.Ref == c.directory {
			r.askDirectoryLater()
		}
	case *wire.Ephemeral:
		r.hear(f)
	case *wire.Welcome:
		r.welcomeAgain()
	case *wire.Pong:
	default:
		r.drop(wire.CodeBadServerMessage, fmt.Sprintf("the server sent frame %d out of place", f.Number()))
	}
}

func (r *Replica) shakeHands(frame wire.Frame) {
	c := &r.conn
	switch f := frame.(type) {
	case *wire.Challenge:
		if c.phase == challenged {
			r.challenge(f)
			return
		}
	case *wire.Welcome:
		if c.phase == greeted {
			r.welcome(f)
			return
		}
	case *wire.Error:
		r.serverError(f)
		return
	case *wire.Bye:
		r.bye(f)
		return
	case *wire.Spaces, *wire.Pong:
		return
	}
	r.drop(wire.CodeBadServerMessage, fmt.Sprintf("the server sent frame %d during the handshake", frame.Number()))
}

func (r *Replica) challenge(challenge *wire.Challenge) {
	if r.meta.Server != [32]byte{} && r.meta.Server != challenge.Server {
		r.drop(wire.CodeServerChanged, "another server answers at this address; nothing was sent to it")
		return
	}
	if !r.agree(challenge) {
		return
	}
	r.prove(challenge)
}

func (r *Replica) hello(challenge *wire.Challenge, proof []byte) {
	c := &r.conn
	c.server = challenge.Server
	hello := wire.Hello{
		API: c.api, ClientVersion: r.config.ClientVersion, Session: r.meta.Session, Epoch: r.meta.Epoch,
		Credit: r.config.Credit, Proofs: []wire.Proof{{Identity: r.meta.Identity, Proof: proof}},
	}
	if r.config.As != "" {
		linked := append(proof[:len(proof):len(proof)], r.config.Links...)
		hello.Proofs = append(hello.Proofs, wire.Proof{Identity: r.config.As, Proof: linked})
	}
	if _, err := io.ReadFull(r.config.Rand, hello.ConnectionID[:]); err != nil {
		panic("replica: the source of randomness failed: " + err.Error())
	}
	hello.ConnectionID[0] |= 1 // never zero
	r.send(&hello)
	c.enter(r, greeted)
}

func (r *Replica) welcome(f *wire.Welcome) {
	c := &r.conn
	c.identities, c.limits = f.Identities, f.Limits
	c.proof.taken(r.now)
	c.enter(r, pinning)
	if r.meta.Server == c.server {
		r.startSync()
		return
	}
	server := c.server   // of its own: the connection may end while this is stored
	r.sync.pin = &server // the lane makes it durable, then calls startSync
}

// startSync begins the work of a connection: the server's key is pinned.
func (r *Replica) startSync() {
	c := &r.conn
	c.enter(r, online)
	c.code, c.reason, r.disagreed = 0, "", disagreement{}
	r.askDirectory(r.meta.Since)
	all := r.sorted()
	r.subscribe(all)
	for _, s := range all {
		if s.recovery != nil && !s.feed.asked {
			r.probe(s)
		}
		if s.outboxCount > 0 || s.creates() {
			r.wantPush(s)
		}
	}
}

func (r *Replica) serverError(f *wire.Error) {
	r.conn.code, r.conn.reason = f.Code, f.Reason
	r.hangup(f.Code.String())
	r.ended(0)
	if f.Code == wire.CodeSuperseded {
		// Mostly by another tab. But a copy of this replica on another device has the same session, and would take it
		// back at once; between the two each gives the other more and more time.
		r.notBefore = r.now + min(uint64(retryFloor)<<min(r.superseded, 10), supersededCeiling)
		r.superseded++
		r.out.StepDown = true
		r.follow()
	}
}

func (r *Replica) bye(f *wire.Bye) {
	r.conn.code, r.conn.reason = f.Code, "the server asked to come back later"
	r.hangup("bye")
	r.ended(f.RetryAfterMS + r.random(f.RetryAfterMS/2+1))
}

// grantCredit pays back what was stored or dropped, in steps that keep the number of frames small.
func (r *Replica) grantCredit() {
	c := &r.conn
	if c.phase == online && c.credit > 0 && (c.credit >= r.config.Credit/8 || r.sync.idle()) {
		r.send(&wire.Credit{Bytes: c.credit})
		c.credit = 0
	}
}

func (r *Replica) proven(author string) bool { return slices.Contains(r.conn.identities, author) }
