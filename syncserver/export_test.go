package syncserver

import (
	"context"
	"maps"
	"net/http"
	"slices"
)

// AddressOf is addressOf, for tests of how addresses are told apart.
func (s *Server) AddressOf(r *http.Request) string { return s.addressOf(r) }

// CollectModules is collectModules, which a running server does every hour.
func (s *Server) CollectModules(ctx context.Context) error { return s.collectModules(ctx) }

// Routes returns the patterns of all routes.
func (s *Server) Routes() []string { return slices.Sorted(maps.Keys(s.routes())) }
