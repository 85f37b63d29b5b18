package hub

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"skerry/shared/space"
	"skerry/shared/wire"
)

func (c *Conn) begin(now uint64, nonce [32]byte) {
	if c.stage != fresh {
		return
	}
	c.stage = challenged
	c.nonce = nonce
	c.heard = now
	c.deadline = now + c.config.HandshakeTimeout
	c.send(&wire.Challenge{Nonce: nonce, Server: c.config.Server, APILow: c.config.API.Low, APIHigh: c.config.API.High, Time: now})
}

// enter begins a connection that the shell has proven.
func (c *Conn) enter(now uint64, identities []string) {
	if c.stage != fresh {
		return
	}
	c.stage, c.heard, c.api = welcomed, now, c.config.API.High
	c.caller.Identities = identities
}

// hello checks what the client says of itself and has its proofs checked.
func (c *Conn) hello(h *wire.Hello) {
	c.deadline = 0
	api, serverOutdated := c.config.API.Common(wire.APIRange{Low: h.API, High: h.API})
	switch {
	case api == "":
		update := "the client"
		if serverOutdated {
			update = "the server"
		}
		c.fail(wire.CodeAPIUnsupported, "this server speaks api "+c.config.API.String()+", and not what the client chose: "+update+" is to be updated")
		return
	case h.ConnectionID == wire.ConnectionID{}:
		c.fail(wire.CodeBadFrame, "connection_id is zero")
		return
	case uint64(len(h.ClientVersion)) > c.config.Limits.ClientVersion:
		c.fail(wire.CodeTooLarge, "client_version is too long")
		return
	case len(h.Proofs) > wire.MaxProofs:
		c.fail(wire.CodeTooMany, "too many identities")
		return
	}
	c.api = api
	c.addCredit(h.Credit)
	c.register = &Register{Connection: h.ConnectionID, Session: h.Session, Epoch: h.Epoch}
	c.stage = proving
	c.out.Prove = &Prove{Nonce: c.nonce, Proofs: h.Proofs}
}

// proved takes what the proofs of the hello came to and asks the registry of sessions.
func (c *Conn) proved(in Proved) {
	if c.stage == welcomed && c.refreshing != 0 {
		c.refreshed(in)
		return
	}
	if c.stage != proving {
		return
	}
	if in.Code != 0 {
		c.fail(in.Code, in.Reason)
		return
	}
	for _, p := range in.Proven {
		if reason := CheckIdentity(p.Identity, c.config.Limits.Identity); reason != "" {
			c.fail(wire.CodeBadCredentials, reason)
			return
		}
		if !c.caller.proves(p.Identity) {
			c.caller.Identities = append(c.caller.Identities, p.Identity)
			c.proven = append(c.proven, p)
		}
	}
	r := c.register
	c.register = nil
	c.stage = registering
	r.Identities, r.Proven = c.caller.Identities, c.proven
	c.out.Register = r
}

// CheckIdentity says why nobody can have an identity of at most so many bytes; "": somebody can. Control characters would let two
// lists of names look the same.
func CheckIdentity(name string, most uint64) string {
	switch {
	case name == "" || uint64(len(name)) > most:
		return "an identity is empty or too long"
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "an identity has a control character, or is not UTF-8"
	}
	return ""
}

// refresh has a newer proof checked of an identity that the connection has proven.
func (c *Conn) refresh(f *wire.AuthRefresh) {
	if c.refreshing != 0 {
		c.refuse(f.Ref, wire.CodeTooMany, "another proof is being checked")
		return
	}
	c.refreshing = f.Ref
	c.out.Prove = &Prove{Nonce: c.nonce, Proofs: []wire.Proof{f.Proof}}
}

// refreshed takes what a newer proof came to. Whoever may write under a name does not change by it.
func (c *Conn) refreshed(in Proved) {
	ref := c.refreshing
	c.refreshing = 0
	if in.Code == 0 && (len(in.Proven) != 1 || !c.caller.proves(in.Proven[0].Identity)) {
		in.Code, in.Reason = wire.CodeBadCredentials, "the proof is of another identity than those of this connection"
	}
	if in.Code != 0 {
		c.refuse(ref, in.Code, in.Reason)
		return
	}
	at := slices.IndexFunc(c.proven, func(p Proven) bool { return p.Identity == in.Proven[0].Identity })
	c.proven = slices.Clone(c.proven) // the shell has the older ones
	c.proven[at] = in.Proven[0]
	c.out.Renewed = &c.proven[at]
	c.welcome()
}

// expires returns when the first of the proofs ends; 0: none does.
func (c *Conn) expires() (at uint64) {
	for i := range c.proven {
		if ends := c.proven[i].Expires; ends != 0 && (at == 0 || ends < at) {
			at = ends
		}
	}
	return at
}

func (c *Conn) welcome() {
	c.send(&wire.Welcome{Identities: c.caller.Identities, Limits: c.config.Limits, API: c.api})
}

func (c *Conn) registered(in Registered) {
	if c.stage != registering {
		return
	}
	if in.Code != 0 {
		c.fail(in.Code, in.Reason)
		return
	}
	c.stage = welcomed
	c.welcome()
}

func sortIDs(ids []space.ID) {
	slices.SortFunc(ids, func(a, b space.ID) int { return bytes.Compare(a[:], b[:]) })
}
