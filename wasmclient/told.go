package wasmclient

import (
	"encoding/binary"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
)

// The tab that leads hears of the server's checkpoints, and fetches them. The others hear of them by it: what they are told
// is a space, its checkpoint, and how far that has come; what they ask with is a space, and what they want of it.
const (
	wordCheckpoint  = "checkpoint"  // this is the server's checkpoint of a space
	wordCheckpoints = "checkpoint?" // what is it? And I want it in the store
)

// What is asked with [wordCheckpoints].
const (
	askCheckpoint     = 0 // what is known of it?
	wantCheckpoint    = 1 // it is wanted
	missingCheckpoint = 2 // it is wanted, and not in the store any more
)

const toldSize = digest.Size + 8 + digest.Size + 1 + 8 + 8

// checkpointOf returns what the server told of the checkpoint of a space. Want is one of those above: more than to know of it
// has it fetched, by whoever leads. What a tab that follows does not know, it asks for.
func (c *Client) checkpointOf(id space.ID, want byte) (told replica.ServerCheckpoint) {
	c.call(c.ctx, func() {
		if want != askCheckpoint {
			c.step(replica.WantCheckpoint{Space: id, Missing: want == missingCheckpoint})
		}
		if told = c.toldOf(id); c.leads() {
			return
		}
		if _, known := c.told[id]; !known || want != askCheckpoint {
			if c.config.Channel == nil {
				return // nobody says
			}
			told.State = replica.CheckpointAwaited // until whoever leads says how it stands
			if want != askCheckpoint {
				told.State = replica.CheckpointFetching
			}
			c.told[id] = told // so that this is asked once
			c.say(Message{Kind: wordCheckpoints, Report: append(id[:len(id):len(id)], want)})
		}
	})
	return told
}

// toldOf is checkpointOf for the loop.
func (c *Client) toldOf(id space.ID) (told replica.ServerCheckpoint) {
	if !c.leads() {
		return c.told[id]
	}
	told = c.core.Space(id).Checkpoint
	if told.Seq == 0 && !c.core.Leads() {
		told.State = replica.CheckpointAwaited // it is about to ask
	}
	return told
}

// leads reports whether this tab has the lead, or is alone.
func (c *Client) leads() bool { return c.lead != nil && c.lead.release != nil }

// tellCheckpoint tells the other tabs of the server's checkpoint of a space, if this one leads.
func (c *Client) tellCheckpoint(id space.ID) {
	if !c.others || !c.leads() {
		return
	}
	told := c.toldOf(id)
	b := append(make([]byte, 0, toldSize), id[:]...)
	b = binary.BigEndian.AppendUint64(b, told.Seq)
	b = append(append(b, told.Root[:]...), byte(told.State))
	b = binary.BigEndian.AppendUint64(b, uint64(told.Here))
	c.say(Message{Kind: wordCheckpoint, Report: binary.BigEndian.AppendUint64(b, uint64(told.Pages))})
}

// hearCheckpoint takes what the tab that leads tells of a checkpoint.
func (c *Client) hearCheckpoint(b []byte) {
	if len(b) < toldSize || c.leads() {
		return
	}
	id := space.ID(b[:digest.Size])
	b = b[digest.Size:]
	told := replica.ServerCheckpoint{Seq: binary.BigEndian.Uint64(b), Root: digest.Digest(b[8 : 8+digest.Size])}
	b = b[8+digest.Size:]
	told.State = replica.CheckpointState(b[0])
	told.Here, told.Pages = int(binary.BigEndian.Uint64(b[1:])), int(binary.BigEndian.Uint64(b[9:]))
	if told != c.told[id] {
		c.told[id] = told
		c.checkpointChanged(id)
	}
}

// hearCheckpoints answers a tab that asks for a checkpoint, if this one leads.
func (c *Client) hearCheckpoints(b []byte) {
	if len(b) <= digest.Size || !c.leads() {
		return
	}
	id := space.ID(b[:digest.Size])
	if want := b[digest.Size]; want != askCheckpoint {
		c.step(replica.WantCheckpoint{Space: id, Missing: want == missingCheckpoint})
	}
	c.tellCheckpoint(id)
}

// checkpointChanged has those look who make tables of a space, or show how far they are.
func (c *Client) checkpointChanged(id space.ID) {
	if v := c.views[id]; v != nil {
		v.signal()
	}
	for _, f := range c.listeners {
		f(Change{Space: id})
	}
}

// dropTold forgets what a tab told that does not lead any more.
func (c *Client) dropTold() {
	c.told = make(map[space.ID]replica.ServerCheckpoint)
	c.awaitAnew()
}

// awaitAnew has all views wait for word of the server's checkpoints from another tab, or from this one which leads now.
func (c *Client) awaitAnew() {
	for _, v := range c.views {
		v.anew.Store(true)
		v.signal()
	}
}
