package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"skerry/shared/hub"
	"skerry/shared/identity"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Authenticator says who clients are. It is safe for concurrent use.
type Authenticator interface {
	// Authenticate returns the identities that all proofs of an attempt are of. Its error has a code: auth_required if a proof is
	// missing, bad_credentials if one is wrong, auth_expired if it was good once, overloaded if it cannot be told now.
	Authenticate(ctx context.Context, attempt *Attempt) ([]hub.Proven, error)
}

// Attempt is what a client offers, and where.
type Attempt struct {
	Nonce  [32]byte // of the connection
	Server [32]byte // the server's public key
	Hosts  []string // the hosts that the server may have been dialled by, see [Hosts]
	Proofs []wire.Proof
}

// Config says what an [Authenticator] takes. The zero value takes keys and nothing else.
type Config struct {
	// Issuers are those whose tokens count, and nobody else's.
	Issuers []Issuer

	// Anonymous admits clients that offer no proof at all. They have no identity: they write nothing, and read what
	// a space's module lets everybody read.
	Anonymous bool

	// Leeway is how far an issuer's clock may be off. Zero: a minute.
	Leeway time.Duration

	// Client fetches keys. Nil: one that takes five seconds at most.
	Client *http.Client

	// Logger tells when an issuer's keys cannot be had. Nil: nothing is told.
	Logger *slog.Logger

	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Issuer is an identity provider whose tokens count.
type Issuer struct {
	Name     string   `json:"issuer"`   // its iss, as tokens have it
	Audience []string `json:"audience"` // a token's aud has one of these
	Keys     string   `json:"keys"`     // where its keys are: an https: address of a JWKS, or a file that has a JWKS or PEM
}

// maxToken bounds what is read of a token, in bytes.
const maxToken = 16 << 10

type authenticator struct {
	config  Config
	issuers map[string]*issuer
}

// New returns an authenticator. It fetches no keys yet.
func New(config Config) (Authenticator, error) {
	if config.Leeway == 0 {
		config.Leeway = time.Minute
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Client == nil {
		config.Client = &http.Client{Timeout: fetchTime, CheckRedirect: secureRedirect}
	}
	if config.Leeway < 0 || config.Leeway > time.Hour {
		return nil, fmt.Errorf("auth: a leeway of %v; want up to an hour", config.Leeway)
	}
	a := &authenticator{config: config, issuers: map[string]*issuer{}}
	for _, i := range config.Issuers {
		if err := i.validate(); err != nil {
			return nil, err
		}
		if a.issuers[i.Name] != nil {
			return nil, fmt.Errorf("auth: the issuer %s is named twice", i.Name)
		}
		a.issuers[i.Name] = newIssuer(&a.config, i)
	}
	return a, nil
}

func (i *Issuer) validate() error {
	switch {
	case i.Name == "":
		return errors.New("auth: an issuer has no name")
	case strings.Contains(i.Name, "#"):
		return fmt.Errorf("auth: the issuer %q has a # in its name, which ends it in identities", i.Name)
	case len(i.Audience) == 0:
		return fmt.Errorf("auth: the issuer %s has no audience: a token that it gave to another service would count here", i.Name)
	case i.Keys == "":
		return fmt.Errorf("auth: of the issuer %s it is not said where its keys are", i.Name)
	}
	return nil
}

// SubjectIdentity returns the identity of a subject of an issuer. An issuer's name has no "#", so the first one ends it.
func SubjectIdentity(issuer, subject string) string { return issuer + "#" + subject }

// Authenticate implements [Authenticator].
func (a *authenticator) Authenticate(ctx context.Context, attempt *Attempt) ([]hub.Proven, error) {
	if len(attempt.Proofs) == 0 && !a.config.Anonymous {
		return nil, wire.Errorf(wire.CodeAuthRequired, "this server wants to know who you are")
	}
	all := make([]hub.Proven, 0, len(attempt.Proofs))
	for i := range attempt.Proofs {
		proven, err := a.one(ctx, attempt, &attempt.Proofs[i])
		if err != nil {
			return nil, err
		}
		all = append(all, proven)
	}
	return all, nil
}

func (a *authenticator) one(ctx context.Context, attempt *Attempt, proof *wire.Proof) (hub.Proven, error) {
	switch {
	case len(proof.Proof) == 0:
		return hub.Proven{}, wire.Errorf(wire.CodeAuthRequired, "an identity comes without a proof")
	case identity.IsKey(proof.Identity):
		return a.key(attempt, proof)
	}
	return a.token(ctx, proof)
}

// key checks the signature of a key, or of a device that is linked to it.
func (a *authenticator) key(attempt *Attempt, proof *wire.Proof) (hub.Proven, error) {
	by, err := identity.ParseSigned(proof.Identity, proof.Proof)
	if err != nil {
		return hub.Proven{}, wire.Errorf(wire.CodeBadCredentials, "%s", strings.TrimPrefix(err.Error(), "identity: "))
	}
	for _, host := range attempt.Hosts {
		if !by.Verify(space.ProofMessage(attempt.Nonce, attempt.Server, host)) {
			continue
		}
		proven := hub.Proven{Identity: proof.Identity, Expires: by.Expires(), MayLink: by.MayLink()}
		if proven.Expires != 0 && proven.Expires <= uint64(a.config.Now().UnixMilli()) {
			return hub.Proven{}, wire.Errorf(wire.CodeAuthExpired, "the link of this device has expired")
		}
		for i := range by.Links {
			proven.Devices = append(proven.Devices, by.Links[i].Device)
		}
		return proven, nil
	}
	if len(attempt.Hosts) == 0 {
		return hub.Proven{}, wire.Errorf(wire.CodeBadCredentials, "the server was not told that it has the name by which it was dialled")
	}
	return hub.Proven{}, wire.Errorf(wire.CodeBadCredentials, "the signature is not the key's, or for another connection, another server, or another host than %s", attempt.Hosts[0])
}
