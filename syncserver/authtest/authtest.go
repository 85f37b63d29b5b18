// Package authtest is an identity provider for tests: whoever wants a name has a key for it, made from the name. Tests read
// better with names than with keys, and what they do is what clients do: they sign, and the server checks.
//
// Stable: nothing; it is for the tests of this module.
package authtest

import (
	"context"
	"crypto/ed25519"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver/auth"
)

func secretOf(name string) ed25519.PrivateKey {
	seed := digest.Of([]byte("the key of a name in tests: " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Sign signs a message by the key of a name.
func Sign(name string, message []byte) []byte { return ed25519.Sign(secretOf(name), message) }

// Signer returns a wasmclient.Config's Sign for a name.
func Signer(name string) func(context.Context, []byte) ([]byte, error) {
	return func(_ context.Context, message []byte) ([]byte, error) { return Sign(name, message), nil }
}

// Prove answers a challenge for names, dialled by a host.
func Prove(c *wire.Challenge, host string, names ...string) []wire.Proof {
	proofs := make([]wire.Proof, 0, len(names))
	for _, name := range names {
		proofs = append(proofs, wire.Proof{Identity: name, Proof: Sign(name, space.ProofMessage(c.Nonce, c.Server, host))})
	}
	return proofs
}

// Names takes the proofs of names, of as many as there are; nobody at all too.
type Names struct {
	Claims map[string][]byte // what is said of some of them
}

// Authenticate implements [auth.Authenticator].
func (n Names) Authenticate(_ context.Context, a *auth.Attempt) ([]hub.Proven, error) {
	var all []hub.Proven
	for _, p := range a.Proofs {
		if len(p.Proof) == 0 {
			return nil, wire.Errorf(wire.CodeAuthRequired, "a name comes without a proof")
		}
		good := false
		for _, host := range a.Hosts {
			message := space.ProofMessage(a.Nonce, a.Server, host)
			good = good || ed25519.Verify(secretOf(p.Identity).Public().(ed25519.PublicKey), message, p.Proof)
		}
		if !good {
			return nil, wire.Errorf(wire.CodeBadCredentials, "a name's signature is wrong")
		}
		all = append(all, hub.Proven{Identity: p.Identity, Claims: n.Claims[p.Identity]})
	}
	return all, nil
}
