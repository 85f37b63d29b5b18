package wasmclient

import (
	"context"
	"fmt"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// What tabs say to one another about ephemerals. The first is a space's ID and what is said there; the second the space's ID,
// the length of the author's name in two bytes, the name, and what was said.
const (
	wordSaid  = "said"  // I say this: whoever leads, send it
	wordHeard = "heard" // the server brought this
)

// Ephemeral is what somebody said in a space that is not kept: who is there, who is typing.
type Ephemeral struct {
	Space  space.ID
	Author string // proven to the server, which says so
	Bytes  []byte
}

// SendEphemeral sends bytes to everybody else who has the space open at this moment: other clients that share the store, and by the
// server other devices. They are stored nowhere and do not wait for anything: offline they reach only who shares the store,
// and anybody may miss them. Who may read the space may say something in it.
//
// It fails with too_large over [wire.MaxEphemeral] bytes, with rate_limited over [wire.EphemeralRate] of this client, and
// with closed. The server has the same limits for all that share the store.
func (s *Space) SendEphemeral(ctx context.Context, text []byte) error {
	if len(text) > wire.MaxEphemeral {
		return fmt.Errorf("send an ephemeral: %w", wire.Errorf(wire.CodeTooLarge, "%d bytes, at most %d", len(text), wire.MaxEphemeral))
	}
	c, within := s.client, false
	err := c.call(ctx, func() {
		if within = c.pace.Spend(c.now(), len(text)); within {
			c.sayEphemeral(s.id, text)
		}
	})
	if err == nil && !within {
		err = wire.Errorf(wire.CodeRateLimited, "over %d bytes a second, or %d at once", wire.EphemeralRate, wire.EphemeralBurst)
	}
	if err != nil {
		return fmt.Errorf("send an ephemeral: %w", err)
	}
	return nil
}

// OnEphemeral calls f with what others say in spaces that are open, until stop is called. f runs in the client's loop: it
// must return soon and must not call the client's methods.
func (c *Client) OnEphemeral(f func(Ephemeral)) (stop func()) { return listen(c, c.hearers, f) }

// sayEphemeral tells the other tabs, of which the one that leads sends it. Where each tab syncs for itself, they hear it from
// the server.
func (c *Client) sayEphemeral(id space.ID, text []byte) {
	if !c.config.Unlocked {
		c.say(Message{Kind: wordSaid, Report: append(id[:len(id):len(id)], text...)})
	}
	c.step(replica.Say{Space: id, Bytes: text})
}

// hearSaid takes what another tab of this device says.
func (c *Client) hearSaid(b []byte) {
	if len(b) < digest.Size {
		return
	}
	said := Ephemeral{Space: space.ID(b[:digest.Size]), Author: c.identity, Bytes: b[digest.Size:]}
	if c.leads() {
		c.step(replica.Say{Space: said.Space, Bytes: said.Bytes})
	}
	c.tellEphemeral(said)
}

// heard takes what the server brought, for all tabs.
func (c *Client) heard(n replica.Heard) {
	if c.others {
		b := append(n.Space[:len(n.Space):len(n.Space)], byte(len(n.Author)>>8), byte(len(n.Author)))
		c.say(Message{Kind: wordHeard, Report: append(append(b, n.Author...), n.Bytes...)})
	}
	c.tellEphemeral(Ephemeral(n))
}

// hearHeard takes what the server brought to another tab.
func (c *Client) hearHeard(b []byte) {
	if len(b) < digest.Size+2 || c.leads() {
		return
	}
	id, n := space.ID(b[:digest.Size]), int(b[digest.Size])<<8|int(b[digest.Size+1])
	if b = b[digest.Size+2:]; n <= len(b) {
		c.tellEphemeral(Ephemeral{Space: id, Author: string(b[:n]), Bytes: b[n:]})
	}
}

// tellEphemeral tells who listens, if the space is open here.
func (c *Client) tellEphemeral(e Ephemeral) {
	if c.opened[e.Space] == 0 {
		return
	}
	for _, f := range c.hearers {
		f(e)
	}
}
