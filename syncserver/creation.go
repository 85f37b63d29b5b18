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
	return s.log.Limit(ctx, s.config.Now(), charges)
}

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
