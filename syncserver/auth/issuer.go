package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"skerry/shared/wire"
)

const (
	fetchTime   = 5 * time.Second
	fetchAgain  = time.Hour        // that old, keys are fetched anew
	fetchPause  = 30 * time.Second // no more often, whatever tokens ask for
	keepKeys    = 24 * time.Hour   // how long keys count that could not be fetched anew
	maxKeysSize = 1 << 20
	maxTried    = 8 // keys that a token without a kid is tried with
)

// publicKey is one key of an issuer, of a kind that one algorithm takes.
type publicKey struct {
	id        string // kid; may be empty
	algorithm string
	key       any
}

// issuer is an issuer with its keys.
type issuer struct {
	Issuer
	config *Config

	mu       sync.Mutex
	keys     []publicKey
	fetched  time.Time     // when the keys were had last
	tried    time.Time     // when they were asked for last
	fetching chan struct{} // closed when a fetch under way has ended; nil: none is
}

func newIssuer(config *Config, of Issuer) *issuer { return &issuer{Issuer: of, config: config} }

// keysFor returns the keys that a token may be signed by.
func (i *issuer) keysFor(ctx context.Context, t *jwt.Token) (any, error) {
	if _, critical := t.Header["crit"]; critical {
		return nil, wire.Errorf(wire.CodeBadCredentials, "the token has extensions that have to be understood (crit), and none is")
	}
	id, _ := t.Header["kid"].(string)
	found, known, err := i.find(ctx, id, t.Method.Alg())
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		if !known {
			return nil, wire.Errorf(wire.CodeOverloaded, "the keys of the token's issuer cannot be had now")
		}
		return nil, wire.Errorf(wire.CodeBadCredentials, "the token is signed by a key that its issuer does not have")
	}
	return jwt.VerificationKeySet{Keys: found}, nil
}

// find looks for keys, and fetches them if that is due. Whoever finds what it needs waits for no fetch of others.
func (i *issuer) find(ctx context.Context, id, algorithm string) (found []jwt.VerificationKey, known bool, err error) {
	for {
		i.mu.Lock()
		now := i.config.Now()
		if now.Sub(i.fetched) >= keepKeys {
			i.keys = nil
		}
		found, known = match(i.keys, id, algorithm), i.keys != nil
		waited := i.fetching
		switch {
		case waited == nil && now.Sub(i.tried) >= fetchPause && (len(found) == 0 || now.Sub(i.fetched) >= fetchAgain):
			i.tried, i.fetching = now, make(chan struct{})
			i.mu.Unlock()
			i.fetch()
			continue
		case waited == nil || len(found) > 0:
			i.mu.Unlock()
			return found, known, nil
		}
		i.mu.Unlock()
		select {
		case <-waited:
		case <-ctx.Done():
			return nil, false, wire.Errorf(wire.CodeOverloaded, "the keys of the token's issuer did not come in time")
		}
	}
}

// fetch fetches the keys. It outlives whoever wanted them first, since others wait for it too.
func (i *issuer) fetch() {
	var keys []publicKey
	err := errors.New("panicked")
	defer func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		if err != nil {
			i.config.Logger.Error("cannot have the keys of an issuer", "issuer", i.Name, "error", err)
		} else {
			i.keys, i.fetched = keys, i.config.Now()
		}
		close(i.fetching)
		i.fetching = nil
	}()
	keys, err = i.load()
}

func match(keys []publicKey, id, algorithm string) (found []jwt.VerificationKey) {
	for i := range keys {
		k := &keys[i]
		if k.algorithm == algorithm && (id == "" || k.id == "" || k.id == id) && len(found) < maxTried {
			found = append(found, k.key)
		}
	}
	return found
}

// load reads the keys from where they are.
func (i *issuer) load() ([]publicKey, error) {
	content, err := i.read()
	if err != nil {
		return nil, err
	}
	var keys []publicKey
	if block, _ := pem.Decode(content); block != nil {
		keys, err = parsePEM(content)
	} else {
		keys, err = parseJWKS(content)
	}
	if err == nil && len(keys) == 0 {
		err = errors.New("there is no key that can be used")
	}
	return keys, err
}

func (i *issuer) read() ([]byte, error) {
	address, err := url.Parse(i.Keys)
	if err != nil || address.Scheme != "https" && address.Scheme != "http" {
		return os.ReadFile(i.Keys)
	}
	if err := secure(address); err != nil {
		return nil, err
	}
	response, err := i.config.Client.Get(i.Keys)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", i.Keys, response.Status)
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, maxKeysSize+1))
	if err == nil && len(content) > maxKeysSize {
		err = fmt.Errorf("GET %s: more than %d bytes", i.Keys, maxKeysSize)
	}
	return content, err
}

// secure says that keys come by https: who can change them on their way can be anybody. On the same machine nobody can.
func secure(address *url.URL) error {
	ip := net.ParseIP(address.Hostname())
	if address.Scheme == "https" || address.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("keys at %s are not fetched: want https", address.Host)
}

func secureRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > 3 {
		return errors.New("too many redirections")
	}
	if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" { // not to this machine either: who redirects is elsewhere
		return fmt.Errorf("keys at %s are not fetched: https redirects to them", r.URL.Host)
	}
	return secure(r.URL)
}

// jwk is a key as RFC 7517 has it.
type jwk struct {
	Kind  string `json:"kty"`
	Use   string `json:"use"`
	ID    string `json:"kid"`
	Alg   string `json:"alg"`
	Curve string `json:"crv"`
	N     string `json:"n"`
	E     string `json:"e"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

// parseJWKS returns the keys of a set that can be used. Those of other kinds are passed over, as the standard has it.
func parseJWKS(content []byte) ([]publicKey, error) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(content, &set); err != nil {
		return nil, fmt.Errorf("neither PEM nor a JWKS: %w", err)
	}
	var keys []publicKey
	for i := range set.Keys {
		k := &set.Keys[i]
		public := k.public()
		if public == nil || k.Use != "" && k.Use != "sig" {
			continue
		}
		algorithm := algorithmOf(public)
		if algorithm == "" || k.Alg != "" && k.Alg != algorithm {
			continue
		}
		keys = append(keys, publicKey{k.ID, algorithm, public})
	}
	return keys, nil
}

// public returns the key, nil if it is none that is known.
func (k *jwk) public() any {
	x, y := unbase64(k.X), unbase64(k.Y)
	switch {
	case k.Kind == "RSA":
		n, e := new(big.Int).SetBytes(unbase64(k.N)), new(big.Int).SetBytes(unbase64(k.E))
		if e.IsInt64() && e.Int64() <= 1<<31-1 {
			return &rsa.PublicKey{N: n, E: int(e.Int64())}
		}
	case k.Kind == "EC" && k.Curve == "P-256" && len(x) == 32 && len(y) == 32:
		if public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...)); err == nil {
			return public
		}
	case k.Kind == "OKP" && k.Curve == "Ed25519" && len(x) == ed25519.PublicKeySize:
		return ed25519.PublicKey(x)
	}
	return nil
}

func unbase64(text string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil
	}
	return b
}

// parsePEM returns the public keys of a PEM file, which have no ids.
func parsePEM(content []byte) ([]publicKey, error) {
	var keys []publicKey
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("a block of PEM is %s; want PUBLIC KEY", block.Type)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		algorithm := algorithmOf(public)
		if algorithm == "" {
			return nil, errors.New("a key is none of RSA of 2,048 to 8,192 bits, P-256 and Ed25519")
		}
		keys = append(keys, publicKey{algorithm: algorithm, key: public})
	}
	return keys, nil
}

// algorithmOf returns the one algorithm that takes a key; empty: none does.
func algorithmOf(public any) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 && k.N.BitLen() <= 8192 && k.E >= 3 && k.E%2 == 1 {
			return "RS256"
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return "ES256"
		}
	case ed25519.PublicKey:
		return "EdDSA"
	}
	return ""
}
