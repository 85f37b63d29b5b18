package wasmclient

import (
	"context"
	"fmt"
	"strings"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// prove makes what proves the replica's identity on this socket, beside the loop.
func (s *socket) prove(p *replica.Prove) {
	c := s.client
	c.work.Go(func() {
		var in replica.Proved
		var err error
		if c.config.Sign != nil {
			in.Proof, err = c.config.Sign(s.ctx, space.ProofMessage(p.Nonce, p.Server, hostOf(c.config.URL)))
		} else {
			token, lasts, failure := c.config.Token(s.ctx)
			in.Proof, in.Lasts, err = []byte(token), uint64(max(lasts.Milliseconds(), 0)), failure
		}
		if err != nil {
			in.Code, in.Reason = wire.CodeAuthRequired, err.Error()
		}
		s.post(in)
	})
}

// signGenesis signs a space that this replica makes, where its identity is a key.
func (c *Client) signGenesis(ctx context.Context, id space.ID) ([]byte, error) {
	if c.config.Sign == nil || !strings.HasPrefix(c.identity, "did:key:") {
		return nil, nil
	}
	signature, err := c.config.Sign(ctx, space.GenesisMessage(id))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return append(signature, c.config.Links...), nil
}

// hostOf returns the host of a ws: or wss: URL as it is dialled: in lower case, with its port unless that is the scheme's own.
func hostOf(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	host := make([]byte, 0, len(rest))
	for _, c := range []byte(rest) {
		switch {
		case c == '@':
			host = host[:0]
			continue
		case c == '/' || c == '?' || c == '#':
			return withoutPort(scheme, string(host))
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A' // package strings would bring the tables of all letters into the page
		}
		host = append(host, c)
	}
	return withoutPort(scheme, string(host))
}

func withoutPort(scheme, host string) string {
	if scheme == "wss" || scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}
