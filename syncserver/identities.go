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
