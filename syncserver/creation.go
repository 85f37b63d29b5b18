package syncserver

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// admit charges the creation of one space to an identity, an address and the server, whose keys the hub names in
// this order, in one step. It returns how long to wait if one of them is over its rate; then none was charged.
func (s *Server) admit(ctx context.Context, keys []string) (wait time.Duration, err error) {
	rates := []Rate{s.config.Creation.Identity, s.config.Creation.Address, s.config.Creation.Server}
	if len(keys) != len(rates) {
		panic("syncserver: creation is not charged to an identity, an address and the server")
	}
	charges := make([]Charge, len(keys))
	for i, key := range keys {
		charges[i] = rates[i].charge(key)
	}
	now := s.config.Now()
	if wait, err = s.log.Limit(ctx, now, charges); wait > 0 && err == nil {
		s.meter.remember(denialOf(keys), now.Add(min(wait, longestDenial)), now)
	}
	return wait, err
}

// longestDenial is how long a denial is remembered: after that the log is asked again.
const longestDenial = time.Hour

// denied returns how long creating is still denied by what the log said before, 0 if it has to be asked. What it denies once it denies
// until the wait is over, whoever else charges, so that whoever does not wait costs no write.
func (s *Server) denied(keys []string) time.Duration {
	wait := time.Duration(s.meter.until(denialOf(keys)) - s.config.Now().UnixNano())
	if wait > longestDenial { // the clock was set back since
		return 0
	}
	return max(wait, 0)
}

func denialOf(keys []string) meterKey { return meterKey{deniedCreation, strings.Join(keys, "\x00")} }

// addressOf returns whose address a request counts for: the peer's, or behind trusted proxies the first that they
// did not add themselves. IPv6 addresses count by their /64, which is what one customer gets.
func (s *Server) addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return host // a socket that is not IP: all of its clients are one
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.trusted(address); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		address = next
	}
	address = address.Unmap().WithZone("")
	if address.Is6() {
		prefix, _ := address.Prefix(64)
		return prefix.String()
	}
	return address.String()
}

func (s *Server) trusted(address netip.Addr) bool {
	for _, proxy := range s.config.TrustedProxies {
		if proxy.Contains(address.Unmap()) {
			return true
		}
	}
	return false
}
