package syncserver

import (
	"context"
	"time"

	"skerry/shared/hub"
	"skerry/shared/wire"
	"skerry/syncserver/auth"
)

// proveTime is how long checking proofs may take, the fetching of an issuer's keys included.
const proveTime = 10 * time.Second

// prove has the proofs of a connection checked and answers it.
func (s *Server) prove(c *connection, p *hub.Prove) {
	check := func() {
		ctx, cancel := context.WithTimeout(s.work, proveTime)
		defer cancel()
		c.step(s.proved(ctx, c, p))
	}
	if !c.spawn(check) {
		c.stepLocked(hub.Proved{Code: wire.CodeOverloaded, Reason: "the server is stopping"})
	}
}

func (s *Server) proved(ctx context.Context, c *connection, p *hub.Prove) hub.Proved {
	proven, err := s.config.Auth.Authenticate(ctx, &auth.Attempt{Nonce: p.Nonce, Server: s.secrets.public, Hosts: c.hosts, Proofs: p.Proofs})
	if err == nil {
		err = s.actsBy(ctx, c, proven)
	}
	if err != nil {
		in := hub.Proved{Code: wire.CodeInternal} // what has no code is not told
		if code := wire.CodeOf(err); code != wire.CodeUnknown {
			in = hub.Proved{Code: code, Reason: reason(err)}
		}
		s.logger.Info("refused proofs", "connection", c.id, "code", in.Code.String(), "error", err)
		return in
	}
	for i := range proven {
		if ends := &proven[i].Expires; *ends != 0 {
			*ends = s.elapsed() + max(*ends, s.wall()) - s.wall() // a clock that is set meanwhile ends no connection
		}
	}
	return hub.Proved{Proven: proven}
}

// insecure takes every identity that comes without a proof.
type insecure struct{ auth.Authenticator }

func (a insecure) Authenticate(ctx context.Context, attempt *auth.Attempt) ([]hub.Proven, error) {
	var proven []hub.Proven
	for i := range attempt.Proofs {
		if p := &attempt.Proofs[i]; len(p.Proof) == 0 {
			proven = append(proven, hub.Proven{Identity: p.Identity})
			continue
		}
		one := *attempt
		one.Proofs = attempt.Proofs[i : i+1]
		checked, err := a.Authenticator.Authenticate(ctx, &one)
		if err != nil {
			return nil, err
		}
		proven = append(proven, checked...)
	}
	return proven, nil
}
