package syncserver

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"skerry/shared/space"
)

// AddressOf is addressOf, for tests of how addresses are told apart.
func (s *Server) AddressOf(r *http.Request) string { return s.addressOf(r) }

// CollectModules is collectModules, which a running server does every hour.
func (s *Server) CollectModules(ctx context.Context) error { return s.collectModules(ctx) }

// Connections returns how many connections there are of which something may be left.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Open returns how many connections have not ended.
func (s *Server) Open() (n int) {
	s.mu.Lock()
	conns := slices.Collect(maps.Values(s.conns))
	s.mu.Unlock()
	for _, c := range conns {
		c.mu.Lock()
		if !c.over {
			n++
		}
		c.mu.Unlock()
	}
	return n
}

// Asked returns how many transactions of the server's own wait for a verdict of the policy.
func (s *Server) Asked() (n int) {
	s.locked(s.system.id, func(h *hotSpace) { n = len(h.records) })
	return n
}

// Routes returns the patterns of all routes.
func (s *Server) Routes() []string { return slices.Sorted(maps.Keys(s.routes())) }

// Endpoints returns the methods and paths of the API.
func (s *Server) Endpoints() (all []string) {
	for _, e := range s.endpoints() {
		all = append(all, e.method+" "+e.path)
	}
	return all
}

// PayloadJSON is payloadJSON.
func PayloadJSON(payload []byte) string { return string(payloadJSON(payload)) }

// Meter is a meter of one thing.
type Meter struct{ *meter }

// NewMeter returns a meter of so many keys.
func NewMeter(most int) Meter { return Meter{newMeter(most)} }

// Charge charges one key.
func (m Meter) Charge(now time.Time, name string, rate Rate, cost int) time.Duration {
	return m.charge(now, toll{meterKey{name: name}, rate, cost})
}

// Size returns how many keys there are.
func (m Meter) Size() int { return len(m.tats) }

// Admit charges what a transaction is charged.
func (m Meter) Admit(now time.Time, author, address string, events, bytes int) time.Duration {
	r := &DefaultRates
	return m.charge(now,
		toll{meterKey{identityEvents, author}, r.IdentityEvents, events}, toll{meterKey{addressEvents, address}, r.AddressEvents, events},
		toll{meterKey{identityBytes, author}, r.IdentityBytes, bytes}, toll{meterKey{addressBytes, address}, r.AddressBytes, bytes})
}

// CheckSeal is checkSeal.
func CheckSeal(s *Server, id space.ID, at space.Position) bool { return s.checkSeal(id, &at) }

// Retain has expire what is over what its space keeps, which a running server does every hour.
func (s *Server) Retain(ctx context.Context, id space.ID) error { return s.retain(ctx, id) }

// RetainAll does so in all spaces.
func (s *Server) RetainAll() {
	func() { // until the one is over with which the server began
		s.retaining.Lock()
		defer s.retaining.Unlock()
	}()
	s.retainAll()
}
