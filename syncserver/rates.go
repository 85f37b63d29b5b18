package syncserver

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"skerry/shared/hub"
	"skerry/shared/wire"
)

// Rates are how fast a client may send what is counted in memory (events, their bytes, requests), and in the log (modules, connects), by
// one identity and from one network address. Those of one thing are charged together or not at all. What is in memory begins
// anew when the server does.
type Rates struct {
	IdentityEvents, AddressEvents   Rate
	IdentityBytes, AddressBytes     Rate // of transactions, as [space.Transaction.Size] counts them
	IdentityModules, AddressModules Rate // uploads of modules that the server does not have
	AddressRequests                 Rate // sockets and requests of the API
	AddressConnects                 Rate // connections that are written down, since their records stay for ever
	AddressUnsettled                Rate // transactions that wait for their verdict or were refused; a genesis is as much as five. Who is over it is read more slowly
}

// DefaultRates are the rates of a server that was not configured otherwise: far above what people do, and what a day offline
// brings back at once, but no more than a small server takes without harm to others.
var DefaultRates = Rates{
	IdentityEvents: Rate{Burst: 50_000, PerHour: 1000 * 3600}, AddressEvents: Rate{Burst: 200_000, PerHour: 4000 * 3600},
	IdentityBytes: Rate{Burst: 128 << 20, PerHour: int(min(3600<<20, int64(math.MaxInt)))}, AddressBytes: Rate{Burst: 512 << 20, PerHour: int(min(4*3600<<20, int64(math.MaxInt)))},
	IdentityModules: Rate{Burst: 50, PerHour: 60}, AddressModules: Rate{Burst: 200, PerHour: 240},
	AddressRequests: Rate{Burst: 2000, PerHour: 50 * 3600}, AddressConnects: Rate{Burst: 2000, PerHour: 1200},
	AddressUnsettled: Rate{Burst: 10_000, PerHour: 1000 * 3600},
}

func (r *Rates) each(f func(name string, rate *Rate)) {
	f("events per identity", &r.IdentityEvents)
	f("events per address", &r.AddressEvents)
	f("bytes per identity", &r.IdentityBytes)
	f("bytes per address", &r.AddressBytes)
	f("modules per identity", &r.IdentityModules)
	f("modules per address", &r.AddressModules)
	f("requests per address", &r.AddressRequests)
	f("connects per address", &r.AddressConnects)
	f("unsettled transactions per address", &r.AddressUnsettled)
}

// metered is what a rate in memory counts.
type metered byte

const (
	identityEvents metered = iota
	addressEvents
	identityBytes
	addressBytes
	addressRequests
	addressUnsettled
	deniedCreation // until when creating is denied, by the names of what is charged for it
)

type meterKey struct {
	what metered
	name string
}

// meteredKeys is how many keys a meter remembers at most, some 100 bytes each.
const meteredKeys = 200_000

// meter holds the timestamps of rates in memory. It is safe for concurrent use.
type meter struct {
	most int

	mu   sync.Mutex
	tats map[meterKey]int64
}

func newMeter(most int) *meter { return &meter{most: most, tats: map[meterKey]int64{}} }

// toll is one key's share of what is charged.
type toll struct {
	key  meterKey
	rate Rate
	cost int
}

// charge charges all of tolls, or none and returns how long to wait until all would pass.
func (m *meter) charge(now time.Time, tolls ...toll) (wait time.Duration) {
	var room [4]int64
	next := room[:0]
	at := now.UnixNano()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range tolls {
		t := &tolls[i]
		charge := t.rate.charge("")
		charge.Cost = t.cost
		before := m.tats[t.key]
		if before > at+times(charge.Interval, charge.Burst) {
			before = 0 // the clock was set back since
		}
		tat, over := charge.Pass(before, at)
		wait = max(wait, over)
		next = append(next, tat)
	}
	if wait > 0 {
		return wait
	}
	for i := range tolls {
		m.setLocked(tolls[i].key, next[i], at)
	}
	return 0
}

// maxDebt is how much longer than its rate allows a key is kept from anything at most.
const maxDebt = 5 * time.Second

// owe charges a toll whatever is owed already, up to what may be owed at all. It returns what it charged, and how long to rest until no
// more than a burst is owed.
func (m *meter) owe(now time.Time, t toll) (charged, rest time.Duration) {
	at, charge := now.UnixNano(), t.rate.charge("")
	tolerance := times(charge.Interval, charge.Burst)
	m.mu.Lock()
	defer m.mu.Unlock()
	before := max(m.tats[t.key], at)
	tat := max(before, min(before+times(charge.Interval, t.cost), at+tolerance+int64(maxDebt)))
	m.setLocked(t.key, tat, at)
	return time.Duration(tat - before), time.Duration(max(tat-at-tolerance, 0))
}

// forgive takes back what owe charged.
func (m *meter) forgive(key meterKey, charged time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if tat, known := m.tats[key]; known {
		m.tats[key] = tat - int64(charged)
	}
}

// until returns the time of a key, 0 if none is known.
func (m *meter) until(key meterKey) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tats[key]
}

// remember sets the time of a key.
func (m *meter) remember(key meterKey, until, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.setLocked(key, until.UnixNano(), now.UnixNano())
}

// setLocked sets a timestamp. Where there is no room, that key of a few is forgotten which would soonest be as if it never had
// been charged: so whoever owes much stays known, however many others come.
func (m *meter) setLocked(key meterKey, tat, now int64) {
	if _, known := m.tats[key]; !known && len(m.tats) >= m.most {
		var least meterKey
		var soonest int64
		looked := 0
		for other, at := range m.tats {
			if looked == 0 || at < soonest {
				least, soonest = other, at
			}
			if looked++; looked == 16 || at <= now {
				break
			}
		}
		delete(m.tats, least)
	}
	m.tats[key] = tat
}

// tolls are what a new transaction costs.
func (s *Server) tolls(caller *hub.Caller, author string, events, bytes int) []toll {
	rates := &s.config.Rates
	return []toll{
		{meterKey{identityEvents, author}, rates.IdentityEvents, events}, {meterKey{addressEvents, caller.Address}, rates.AddressEvents, events},
		{meterKey{identityBytes, author}, rates.IdentityBytes, bytes}, {meterKey{addressBytes, caller.Address}, rates.AddressBytes, bytes},
	}
}

// admitTransaction charges a new transaction. The hub calls it once for each, after it was found to be new.
func (s *Server) admitTransaction(now uint64, caller *hub.Caller, author string, events, bytes int) (retryAfterMS uint64) {
	wait := s.meter.charge(time.UnixMilli(int64(now)), s.tolls(caller, author, events, bytes)...)
	if wait == 0 {
		return 0
	}
	return milliseconds(wait)
}

// forgiveTransaction takes back what admitTransaction charged: nothing was decided, and it will come again. What that costs the server the
// address owes still, see unsettled.
func (s *Server) forgiveTransaction(caller *hub.Caller, author string, events, bytes int) {
	for _, t := range s.tolls(caller, author, events, bytes) {
		s.meter.forgive(t.key, time.Duration(times(t.rate.charge("").Interval, t.cost)))
	}
}

// unsettled is what a push costs its address until it is settled: what was judged and refused cost the server about as much as what was
// taken, and nobody else counts it. A genesis that is refused costs some five times as much as a transaction.
func (s *Server) unsettled(address string, genesis bool, transactions int) toll {
	if genesis {
		transactions += 5
	}
	return toll{meterKey{addressUnsettled, address}, s.config.Rates.AddressUnsettled, max(transactions, 1)}
}

// settled reports whether a push was answered with nothing that the client may try again.
func settled(p *wire.Pushed) bool {
	taken := func(v *wire.Verdict) bool { return v.Kind == wire.Accepted || v.Kind == wire.Duplicate }
	if p.Genesis != nil && !taken(p.Genesis) {
		return false
	}
	for i := range p.Verdicts {
		if !taken(&p.Verdicts[i]) {
			return false
		}
	}
	return true
}

// admitRequest charges a request to its address, and refuses it if there are too many.
func (s *Server) admitRequest(w http.ResponseWriter, r *http.Request) bool {
	wait := s.meter.charge(s.config.Now(), toll{meterKey{addressRequests, s.addressOf(r)}, s.config.Rates.AddressRequests, 1})
	if wait == 0 {
		return true
	}
	s.metrics.refused.Inc()
	w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	answerError(w, http.StatusTooManyRequests, wire.CodeRateLimited, "too many requests from this address")
	return false
}

// admitConnect charges a connection that is to be written down, in the log. On a full disk nothing is written, so nothing is charged.
func (s *Server) admitConnect(address string) hub.Registered {
	wait, err := s.log.Limit(s.work, s.config.Now(), []Charge{s.config.Rates.AddressConnects.charge("connect/address/" + address)})
	switch {
	case errors.Is(err, ErrFull):
	case err != nil:
		s.logger.Error("cannot charge a connection", "error", err)
		return hub.Registered{Code: wire.CodeOverloaded, Reason: "the server's storage failed"}
	case wait > 0:
		s.metrics.refused.Inc()
		return hub.Registered{Code: wire.CodeRateLimited, Reason: fmt.Sprintf("too many connections from this address; try again in %v", wait.Round(time.Second))}
	}
	return hub.Registered{}
}

// admitModule charges a module that is to be stored, in the log, since what it takes there stays.
func (s *Server) admitModule(c *connection) error {
	rates := &s.config.Rates
	charges := []Charge{rates.AddressModules.charge("module/address/" + c.hub.Caller().Address)}
	for _, identity := range c.identities {
		charges = append(charges, rates.IdentityModules.charge("module/identity/"+identity))
	}
	wait, err := s.log.Limit(s.work, s.config.Now(), charges)
	if err == nil && wait > 0 {
		err = wire.Errorf(wire.CodeRateLimited, "modules are uploaded too fast; try again in %v", wait.Round(time.Second))
	}
	return err
}
