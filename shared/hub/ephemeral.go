package hub

import (
	"fmt"

	"skerry/shared/space"
	"skerry/shared/wire"
)

// Relayed is what one connection said to those who subscribe to a space: an encoded ephemeral message, shared by all who
// are sent it and never changed. It is an effect of the connection From, and an input of every one that watches the space.
type Relayed struct {
	Space   space.ID
	From    ConnID
	Message []byte
}

func (Relayed) connInput() {}

// ephemeral hands on what the client says to the others who read a space now. Reading is the only right that it takes, since
// modules judge what is kept and are not asked about what is not.
func (c *Conn) ephemeral(now uint64, f *wire.Ephemeral) {
	switch {
	case len(f.Bytes) > wire.MaxEphemeral:
		c.refuse(0, wire.CodeTooLarge, fmt.Sprintf("an ephemeral of %d bytes, at most %d", len(f.Bytes), wire.MaxEphemeral))
	case len(c.caller.Identities) == 0:
		c.refuse(0, wire.CodeAuthRequired, "an ephemeral needs a proven identity")
	case !c.hears(f.Space):
		c.refuse(0, wire.CodeForbidden, "an ephemeral is for those who read the space to send, while they subscribe to it")
	case !c.pace.Spend(now, len(f.Bytes)):
		c.refuse(0, wire.CodeRateLimited, fmt.Sprintf("ephemerals over %d bytes a second, %d at once", wire.EphemeralRate, wire.EphemeralBurst))
	default:
		said := wire.AppendSaid(nil, &wire.Said{Author: c.caller.Identities[0], Bytes: f.Bytes})
		message := wire.Append(nil, &wire.Ephemeral{Space: f.Space, Bytes: said})
		c.out.Relay = append(c.out.Relay, Relayed{Space: f.Space, From: c.caller.Conn, Message: message})
	}
}

// hears reports whether the client may hear what is said in a space: it subscribes, was found to be one who may read, and has
// not lost that right, though records of before may still be on their way to it.
func (c *Conn) hears(id space.ID) bool {
	cur := c.cursors[id]
	return cur != nil && cur.reads && cur.code == 0
}

// relayed sends what another connection said, if there is room that no record needs: what waits in the transport stays well
// below where reading records stops.
func (c *Conn) relayed(in Relayed) {
	switch {
	case in.From == c.caller.Conn || !c.hears(in.Space):
	case c.credit <= 0 || c.unsent >= c.config.SendBuffer/4:
		c.out.Lost = true
	default:
		c.sendMessage(in.Message)
	}
}
