package wire

import "skerry/shared/msgpack"

// Said is what a server puts into the bytes of an [Ephemeral]: what one subscriber said to the others, and who that is.
// Author is an identity that the sender's connection has proven; it is never taken from what the sender says.
type Said struct {
	Author string
	Bytes  []byte
}

// AppendSaid appends the array of s to b.
func AppendSaid(b []byte, s *Said) []byte {
	b = msgpack.AppendArray(b, 2)
	b = msgpack.AppendString(b, s.Author)
	return msgpack.AppendBinary(b, s.Bytes)
}

// DecodeSaid reads what [AppendSaid] wrote. Bytes alias b. Its error is [ErrMalformed].
func DecodeSaid(b []byte) (Said, error) {
	r := msgpack.Reader{Rest: b}
	var s Said
	f := r.Fields()
	if f.Next() {
		s.Author = r.Text()
	}
	if f.Next() {
		s.Bytes = r.Binary()
	}
	f.Finish()
	if r.Err == nil && len(r.Rest) != 0 {
		r.Fail()
	}
	return s, r.Err
}

// Pace is how fast somebody has been sending ephemerals. The zero value is of one who has sent none.
type Pace struct {
	at    uint64 // when it was looked at last
	spent uint64 // of [EphemeralBurst], at that time
}

// Spend charges an ephemeral of n bytes at the time now, in milliseconds, or reports false and charges nothing: over
// [EphemeralBurst] at once, or over [EphemeralRate] a second for longer.
func (p *Pace) Spend(now uint64, n int) bool {
	now = max(now, p.at)
	p.spent -= min(p.spent, min(now-p.at, 1<<20)*EphemeralRate/1000)
	p.at = now
	cost := uint64(n) + EphemeralCost
	if p.spent+cost > EphemeralBurst {
		return false
	}
	p.spent += cost
	return true
}
