package replica

import (
	"fmt"

	"skerry/shared/wire"
)

// This file is about showing the server who this is: at the start of a connection, and again before what was shown expires.

const (
	// refreshRef is the ref of an auth_refresh, which no other request has. There is one at a time.
	refreshRef = 1 << 48
	// A proof is renewed when so little of its time is left, of which the first is a part and the second the most.
	refreshPart = 5
	refreshMost = 60_000
)

// Prove asks the shell for what proves the replica's identity on this connection; [Proved] answers. It is not answered once the
// connection is over.
type Prove struct {
	Nonce  [32]byte
	Server [32]byte
}

// Proved answers Effects.Prove. Lasts is for how long the proof counts, in milliseconds; 0: as long as the connection. Code tells
// that there is no proof now.
type Proved struct {
	Proof  []byte
	Lasts  uint64
	Code   Code
	Reason string
}

func (Proved) input() {}

// mine reports whether an identity is the replica's own, or the one that it acts as.
func (r *Replica) mine(identity string) bool {
	return identity == r.meta.Identity || identity == r.config.As && identity != ""
}

// proof is what the connection knows of what it showed.
type proof struct {
	challenge *wire.Challenge // while it is being made for hello
	nonce     [32]byte
	lasts     uint64 // of the one that is made or sent last
	refreshAt uint64 // 0: never
	renewing  bool   // a newer one is being made, or was sent
}

// prove begins a handshake by asking for a proof, or greets at once where the shell has none.
func (r *Replica) prove(challenge *wire.Challenge) {
	if !r.config.Proves {
		r.hello(challenge, nil)
		return
	}
	r.conn.proof.challenge, r.conn.proof.nonce = challenge, challenge.Nonce
	r.out.Prove = &Prove{Nonce: challenge.Nonce, Server: challenge.Server}
	r.conn.enter(r, proving)
}

func (r *Replica) proved(in Proved) {
	c := &r.conn
	p := &c.proof
	switch {
	case c.phase == proving && in.Code != 0:
		r.drop(in.Code, in.Reason)
	case c.phase == proving:
		challenge := p.challenge
		p.challenge, p.lasts = nil, in.Lasts
		r.hello(challenge, in.Proof)
	case c.phase != online || !p.renewing:
	case in.Code != 0:
		r.refreshLater()
	default:
		p.lasts = in.Lasts
		r.send(&wire.AuthRefresh{Ref: refreshRef, Proof: wire.Proof{Identity: r.meta.Identity, Proof: in.Proof}})
	}
}

// taken notes until when the proof counts that the server has just taken.
func (p *proof) taken(now uint64) {
	p.renewing, p.refreshAt = false, 0
	if p.lasts > 0 {
		p.refreshAt = now + p.lasts - min(p.lasts/refreshPart, refreshMost)
	}
}

// refreshDue asks for a newer proof when it is time.
func (r *Replica) refreshDue() {
	p := &r.conn.proof
	if p.refreshAt == 0 || p.refreshAt > r.now {
		return
	}
	p.refreshAt, p.renewing = 0, true
	r.out.Prove = &Prove{Nonce: p.nonce, Server: r.conn.server}
}

// refreshLater tries again after a while. The server ends the connection if that is too late.
func (r *Replica) refreshLater() {
	r.conn.proof.renewing = false
	r.conn.proof.refreshAt = r.now + retryFloor + r.random(retryFloor)
}

// welcomeAgain takes the answer to an auth_refresh.
func (r *Replica) welcomeAgain() {
	if !r.conn.proof.renewing {
		r.drop(wire.CodeBadServerMessage, fmt.Sprintf("the server sent frame %d out of place", wire.NumberWelcome))
		return
	}
	r.conn.proof.taken(r.now)
}
