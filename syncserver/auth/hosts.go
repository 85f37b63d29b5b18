package auth

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Hosts returns by which hosts a client may have dialled the server that got a request. A proof of a key is for one host, so
// that it is worth nothing to who has clients dial a host of his own and passes on what they say. For the same reason
// what the request says of its host proves nothing, since he can say anything there.
//
// If public is not empty it is the answer. A port that is the scheme's own may be there or not: what clients sign leaves it out, or has
// what somebody wrote. Else the server knows of no names, and only addresses that are its own count: the
// machine's own name for itself, and the address that the request came in at.
func Hosts(r *http.Request, public []string) []string {
	if len(public) > 0 {
		var all []string
		for _, host := range public {
			all = append(all, forms(host)...)
		}
		return all
	}
	name := hostname(r.Host)
	local := localAddress(r)
	address, err := netip.ParseAddr(name)
	own := name == "localhost" && (local.IsLoopback() || !local.IsValid()) ||
		err == nil && local.IsValid() && address.Unmap() == local
	if !own {
		return nil
	}
	return forms(r.Host)
}

// Called reports whether the server that got a request may be called what that calls it: by an address, or this machine's own name, by
// one of public, or if that is empty by any name where it does not come from this machine. What names stand for their owners say, and
// that may be this machine.
func Called(r *http.Request, public []string) bool {
	name := hostname(r.Host)
	if _, err := netip.ParseAddr(name); err == nil || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	if len(public) == 0 {
		return !localAddress(r).IsLoopback()
	}
	for _, host := range public {
		if forms(host)[0] == forms(r.Host)[0] {
			return true
		}
	}
	return false
}

// hostname returns a host without its port.
func hostname(host string) string {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	return strings.ToLower(name)
}

// forms returns how a client may have written a host.
func forms(host string) []string {
	host = strings.ToLower(host)
	for _, own := range []string{":443", ":80"} {
		if bare, ok := strings.CutSuffix(host, own); ok {
			return []string{bare, host}
		}
	}
	return []string{host}
}

// localAddress returns the address that a request came in at, if it came by IP.
func localAddress(r *http.Request) netip.Addr {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return netip.Addr{}
	}
	port, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return netip.Addr{}
	}
	return port.Addr().Unmap().WithZone("")
}
