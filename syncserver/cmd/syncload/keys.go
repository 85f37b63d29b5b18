package main

import (
	"context"
	"crypto/ed25519"

	"skerry/shared/digest"
	"skerry/shared/identity"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// member is one of those who write and read here.
type member struct {
	identity string
	secret   ed25519.PrivateKey
}

// memberOf returns whoever goes by a name, with the same key in every run, so that what one run wrote the next can read.
func memberOf(name string) member {
	seed := digest.Of([]byte("syncload " + name))
	secret := ed25519.NewKeyFromSeed(seed[:])
	key, err := identity.New(identity.Ed25519, secret.Public().(ed25519.PublicKey))
	if err != nil {
		panic("syncload: a key is none: " + err.Error())
	}
	return member{key.String(), secret}
}

// member returns the client with a number.
func (l *load) member(i int) member { return memberOf(l.name(i)) }

// sign signs by the member's key; it is what a client takes.
func (m member) sign(_ context.Context, message []byte) ([]byte, error) {
	return ed25519.Sign(m.secret, message), nil
}

// proof answers a challenge of a server that was dialled by a host.
func (m member) proof(c *wire.Challenge, host string) wire.Proof {
	signature, _ := m.sign(context.Background(), space.ProofMessage(c.Nonce, c.Server, host))
	return wire.Proof{Identity: m.identity, Proof: signature}
}
