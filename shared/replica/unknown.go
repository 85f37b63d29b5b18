package replica

import (
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

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

// upgrades reports whether a transaction takes its space over to another module.
func upgrades(t *space.Transaction) bool { return t.Events[0].Type == module.TypeModule }

// upgradeAwaited returns which of the rows read ahead is an upgrade that goes before the ones in front of it, since one of those waits for a module that knows it: who
// wrote both would wait for ever. It is -1 where there is none.
func (r *Replica) upgradeAwaited(s *spaceState) int {
	waits := false
	for i := range s.push.rows {
		row := &s.push.rows[i]
		e := s.byID[row.ID]
		if e == nil || e.State != Waiting || e.settling || e.inFlight || !r.proven(row.Transaction.Author) {
			continue
		}
		if waits && upgrades(&row.Transaction) {
			return i
		}
		waits = waits || awaitsModule(e.Code)
	}
	return -1
}
