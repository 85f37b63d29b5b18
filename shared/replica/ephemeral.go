package replica

import "skerry/shared/wire"

// say sends an ephemeral, if the server has shown on this connection that this identity may read the space. One that it would
// refuse, or that came later than it was said, is of no use to anybody.
func (r *Replica) say(in Say) {
	if s := r.spaces[in.Space]; s != nil && s.feed.asked && s.feed.answered && s.problem == 0 && r.conn.phase == online {
		r.send(&wire.Ephemeral{Space: in.Space, Bytes: in.Bytes})
	}
}

// hear passes on what somebody else said in a space that is subscribed to.
func (r *Replica) hear(f *wire.Ephemeral) {
	s := r.spaces[f.Space]
	if s == nil || !s.feed.asked || s.problem != 0 {
		return
	}
	if said, err := wire.DecodeSaid(f.Bytes); err == nil {
		r.notify(Heard{f.Space, said.Author, said.Bytes})
	}
}
