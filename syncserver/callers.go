package syncserver

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/wire"
	"skerry/syncserver/auth"
)

// Whoever asks over plain HTTP is let in by the same policy as a socket. It is asked for each request, and nothing of them is written
// down: there is no connection that could be shown, and a record of each would grow the log.

// caller is who asks over plain HTTP.
type caller struct {
	proven     []hub.Proven
	identities []string      // of proven
	expires    uint64        // when the token ends, in milliseconds since 1970; 0: there is none, or it does not
	token      digest.Digest // of the bearer token's text; zero: there is none
}

// callerFrom returns who was proven, all of which ends with what ends first.
func callerFrom(proven []hub.Proven) *caller {
	of := &caller{proven: slices.Clone(proven)}
	for i := range proven {
		p := &proven[i]
		of.identities = append(of.identities, p.Identity)
		if p.Expires != 0 && (of.expires == 0 || p.Expires < of.expires) {
			of.expires = p.Expires
		}
	}
	for i := range of.proven {
		of.proven[i].Expires = of.expires
	}
	return of
}

// callerOf returns whose bearer token a request carries: nobody's if it has none, where somebody may connect without a proof. Whom
// the policy lets into no socket is refused.
func (s *Server) callerOf(r *http.Request) (*caller, error) {
	of, err := s.bearerOf(r)
	if err == nil {
		err = s.checkDevices(r.Context(), of.proven)
	}
	if err == nil {
		err = s.admitted(r.Context(), of.proven)
	}
	if err != nil {
		return nil, err
	}
	return of, nil
}

// bearerOf returns what the credentials of a request prove.
func (s *Server) bearerOf(r *http.Request) (*caller, error) {
	header := r.Header.Get("Authorization")
	if header == "" { // nobody, if nobody may be here: as for a socket
		_, err := s.config.Auth.Authenticate(r.Context(), &auth.Attempt{Server: s.secrets.public})
		return &caller{}, err
	}
	scheme, token, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil, wire.Errorf(wire.CodeBadCredentials, "this server takes a bearer token, or none")
	}
	token = strings.TrimSpace(token)
	name := digest.Of([]byte(token))
	if err := s.tokens.over(name); err != nil {
		return nil, err
	}
	of, err := s.tokenBearer(r, token)
	if err != nil {
		return nil, err
	}
	of.token = name
	return of, nil
}

// tokenBearer returns whose token it is.
func (s *Server) tokenBearer(r *http.Request, token string) (*caller, error) {
	if s.config.Authenticate == nil || strings.HasPrefix(token, tokenPrefix) {
		return s.tokens.check(token, s.wall())
	}
	proven, err := s.config.Authenticate(r.Context(), token)
	if err != nil && wire.CodeOf(err) == wire.CodeUnknown {
		s.logger.Info("refused a bearer token", "error", err)
		err = wire.Errorf(wire.CodeBadCredentials, "the token is not taken")
	}
	if err == nil {
		err = s.checkProven(proven)
	}
	return callerFrom(proven), err
}

// checkProven refuses identities that nobody can have.
func (s *Server) checkProven(proven []hub.Proven) error {
	for i := range proven {
		if reason := hub.CheckIdentity(proven[i].Identity, s.config.Limits.Identity); reason != "" {
			return wire.Errorf(wire.CodeBadCredentials, "%s", reason)
		}
	}
	return nil
}

// admitted asks the policy whether somebody may be here, once the system space is what it is to be.
func (s *Server) admitted(ctx context.Context, proven []hub.Proven) error {
	if !s.system.on {
		return nil
	}
	select {
	case <-s.running:
	case <-s.done:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
	clients, claims := clientsOf(wire.ConnectionID{}, proven, s.wall())
	tried := make(chan wire.Verdict, 1)
	s.try(connectEvents(module.TypeConnect, clients), claims, func(v wire.Verdict) { tried <- v })
	select {
	case v := <-tried:
		if answer := admission(&v); answer.Code != 0 {
			return wire.Errorf(answer.Code, "%s", answer.Reason)
		}
		return nil
	case <-s.done:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}
