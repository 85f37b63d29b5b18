package hub

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"skerry/shared/space"
	"skerry/shared/wire"
)

func (c *Conn) begin(now uint64, nonce [32]byte) {
	if c.stage != fresh {
		return
	}
	c.stage = challenged
	c.heard = now
	c.deadline = now + c.config.HandshakeTimeout
	c.send(&wire.Challenge{Nonce: nonce, Server: c.config.Server, APILow: wire.APILow, APIHigh: wire.APIHigh, Time: now})
}

// hello checks what the client says of itself and asks the registry of sessions.
func (c *Conn) hello(h *wire.Hello) {
	c.deadline = 0
	switch {
	case !within(h.API, wire.APILow, wire.APIHigh):
		c.fail(wire.CodeAPIUnsupported, "this server speaks "+wire.APILow+" to "+wire.APIHigh)
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
	case !c.config.InsecureIdentities:
		c.fail(wire.CodeAuthRequired, "this server cannot check proofs yet and accepts no unproven identity")
		return
	}
	identities := make([]string, 0, len(h.Proofs))
	for _, proof := range h.Proofs {
		switch {
		case len(proof.Proof) != 0:
			c.fail(wire.CodeBadCredentials, "this server cannot check proofs yet")
			return
		case proof.Identity == "" || uint64(len(proof.Identity)) > c.config.Limits.Identity:
			c.fail(wire.CodeBadCredentials, "an identity is empty or too long")
			return
		case !slices.Contains(identities, proof.Identity):
			identities = append(identities, proof.Identity)
		}
	}
	c.caller.Identities = identities
	c.api = h.API
	c.addCredit(h.Credit)
	c.stage = registering
	c.out.Register = &Register{Connection: h.ConnectionID, Session: h.Session, Epoch: h.Epoch, Identities: identities}
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
	c.send(&wire.Welcome{Identities: c.caller.Identities, Limits: c.config.Limits, API: c.api})
}

// within reports whether a version lies between two others, both included.
func within(version, low, high string) bool {
	v, ok := parseVersion(version)
	l, _ := parseVersion(low)
	h, _ := parseVersion(high)
	return ok && slices.Compare(v[:], l[:]) >= 0 && slices.Compare(v[:], h[:]) <= 0
}

// parseVersion reads the three numbers of a version of the wire contract, which has no pre-releases.
func parseVersion(text string) (version [3]uint64, ok bool) {
	parts := strings.Split(text, ".")
	if len(parts) != len(version) {
		return version, false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil || len(part) > 1 && part[0] == '0' || part[0] == '+' {
			return version, false
		}
		version[i] = n
	}
	return version, true
}

func sortIDs(ids []space.ID) {
	slices.SortFunc(ids, func(a, b space.ID) int { return bytes.Compare(a[:], b[:]) })
}
