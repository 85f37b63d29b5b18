package wasmclient

import (
	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
)

// wordAccess is what the tab that leads says of what it alone hears: a space's ID and a [replica.Access].
const wordAccess = "access"

// The values of [SpaceLifecycle.What].
const (
	SpaceCreated  = "created"  // the server has a space that this identity made
	SpaceJoined   = "joined"   // this identity reads a space that somebody else made, or again one that it had left
	SpaceUpgraded = "upgraded" // another module judges it from here on
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
	module  digest.Digest // zero while it is unknown
}

// OnSpaceLifecycle calls f with what happens to spaces from now on, until stop is called: for each space in the order of [SpaceCreated],
// [SpaceJoined], [SpaceUpgraded], [SpaceLeft], [SpaceDeleted] where several things were learnt at once, else as they happen. Each client
// learns it for itself, from the store or from who syncs. That this identity left a space is not stored: a client that is opened
// later tells it again, once the server has refused to let it read. f runs in the client's loop: it must return soon and must not
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
	return l
}

// live tells what happened to a space that changed.
func (c *Client) live(id space.ID) {
	if access := c.core.Space(id).Access; access != replica.AccessUnknown && access != c.access[id] {
		c.access[id] = access
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
		c.say(Message{Kind: wordAccess, Report: append(id[:len(id):len(id)], byte(c.access[id]))})
	}
}

// tellLost tells a tab that has just come of the spaces that this identity left, if this one syncs.
func (c *Client) tellLost() {
	for id, access := range c.access {
		if access == replica.AccessLost && c.leads() {
			c.tellAccess(id)
		}
	}
}

// hearAccess takes what the tab says that syncs.
func (c *Client) hearAccess(b []byte) {
	if len(b) <= digest.Size {
		return
	}
	if id := space.ID(b[:digest.Size]); c.core.Space(id).Access == replica.AccessUnknown { // else this one has heard for itself
		c.access[id] = replica.Access(b[digest.Size])
		c.live(id)
	}
}
