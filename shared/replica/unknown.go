package replica

import "skerry/shared/wire"

// awaitsModule reports whether what was put off with a code waits for a module that knows what it is.
func awaitsModule(code Code) bool {
	return code == wire.CodeUnknownType || code == wire.CodeSchemaUnknown
}

// turned gives what waits for a module that knows it its turn, since another one judges the space.
func (r *Replica) turned(s *spaceState) {
	p := &s.push
	p.turns++
	if p.unknown {
		p.unknown, p.failures = false, 0
		r.delay(s, r.now)
	}
}
