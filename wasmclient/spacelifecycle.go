package wasmclient

import (
	"encoding/binary"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
)

// wordAccess is what the tab that leads says of what it alone hears: a space's ID, a [replica.Access], and the number up to which
// records have expired, of 8 bytes.
const wordAccess = "access"

// The values of [SpaceLifecycle.What].
const (
	SpaceCreated  = "created"  // the server has a space that this identity made
	SpaceJoined   = "joined"   // this identity reads a space that somebody else made, or again one that it had left
	SpaceUpgraded = "upgraded" // another module judges it from here on
	SpaceExpired  = "expired"  // its first records have expired: who may, or the server, no longer keeps them; see [SpaceInfo.Expired]
	SpaceLeft     = "left"     // this identity read it and may not read any more; what is here stays
	SpaceDeleted  = "deleted"  // who may has deleted it for everybody; what is here stays, see [Client.Forget]
)

// SpaceLifecycle tells what happened to a space as a whole.
type SpaceLifecycle struct {
	What string
	Info SpaceInfo // as it is then
}

// life is what was told of a space last.
type life struct {
	created bool
	left    bool
	deleted bool
	expired uint64
	module  digest.Digest // zero while it is unknown
}

// OnSpaceLifecycle calls f with what happens to spaces from now on, until stop is called: for each space in the order of [SpaceCreated],
// [SpaceJoined], [SpaceUpgraded], [SpaceExpired], [SpaceLeft], [SpaceDeleted] where several things were learnt at once, else as they happen. Each client
// learns it for itself, from the store or from who syncs. That this identity left a space, and what has expired, is not stored: a client that is opened
// later tells it again, once the server has. f runs in the client's loop: it must return soon and must not
// call the client's methods.
func (c *Client) OnSpaceLifecycle(f func(SpaceLifecycle)) (stop func()) { return listen(c, c.fates, f) }

// lives notes how the spaces stand that the store knows when the client opens: nothing of that is told.
func (c *Client) lives() {
	for _, id := range c.core.Spaces() {
		c.alive[id] = c.lifeOf(id)
	}
}

func (c *Client) lifeOf(id space.ID) (l life) {
	status := c.core.Space(id)
	if status.Info.Genesis != nil {
		l.created, l.module = status.Info.Created, status.Info.CurrentModule()
	}
	l.deleted = status.Info.Deleted
	l.left = c.access[id] == replica.AccessLost
	l.expired = c.expired[id]
	return l
}

// live tells what happened to a space that changed.
func (c *Client) live(id space.ID) {
	if access := c.core.Space(id).Access; access != replica.AccessUnknown && access != c.access[id] {
		c.access[id] = access
		c.tellAccess(id)
	}
	if upto := c.core.Space(id).Expired; upto > c.expired[id] {
		c.expired[id] = upto
		c.tellAccess(id)
	}
	was, is := c.alive[id], c.lifeOf(id)
	if is.created = is.created || was.created; is == was { // a server that lost it gets it again: that is no news
		return
	}
	c.alive[id] = is
	tell := func(what string) {
		for _, f := range c.fates {
			f(SpaceLifecycle{what, c.info(id)})
		}
	}
	switch genesis := c.core.Genesis(id); {
	case is.created && !was.created && genesis.Creator == c.identity:
		tell(SpaceCreated)
	case is.created && !was.created, was.left && !is.left:
		tell(SpaceJoined)
	}
	if !was.module.IsZero() && !is.module.IsZero() && is.module != was.module {
		tell(SpaceUpgraded)
	}
	if is.expired > was.expired {
		tell(SpaceExpired)
	}
	if is.left && !was.left {
		tell(SpaceLeft)
	}
	if is.deleted && !was.deleted {
		tell(SpaceDeleted)
	}
}

// tellAccess tells the other tabs what this one, which syncs, has heard of the server.
func (c *Client) tellAccess(id space.ID) {
	if c.others {
		b := append(id[:len(id):len(id)], byte(c.access[id]))
		c.say(Message{Kind: wordAccess, Report: binary.BigEndian.AppendUint64(b, c.expired[id])})
	}
}

// tellLost tells a tab that has just come of the spaces that this identity left, and of what has expired, if this one syncs.
func (c *Client) tellLost() {
	for id, access := range c.access {
		if (access == replica.AccessLost || c.expired[id] > 0) && c.leads() {
			c.tellAccess(id)
		}
	}
}

// hearAccess takes what the tab says that syncs.
func (c *Client) hearAccess(b []byte) {
	if len(b) <= digest.Size {
		return
	}
	id := space.ID(b[:digest.Size])
	if rest := b[digest.Size+1:]; len(rest) >= 8 && binary.BigEndian.Uint64(rest) > c.expired[id] {
		c.expired[id] = binary.BigEndian.Uint64(rest)
		c.live(id)
	}
	if access := replica.Access(b[digest.Size]); access != replica.AccessUnknown && c.core.Space(id).Access == replica.AccessUnknown { // else this one has heard for itself
		c.access[id] = access
		c.live(id)
	}
}
