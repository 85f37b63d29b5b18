package syncserver

import "net/http"

// AddressOf is addressOf, for tests of how addresses are told apart.
func (s *Server) AddressOf(r *http.Request) string { return s.addressOf(r) }
