package syncserver

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver/auth"
)

// What plain HTTP is let in by: a proof, as a socket's hello has it, buys a token that counts for a few minutes, at this server alone.
const (
	tokenLife   = 5 * time.Minute
	nonceLife   = time.Minute
	tokenPrefix = "skerry."
	tokenNonce  = 8 // random bytes in a token
	proofBody   = 32 << 10
	maxNonces   = 100_000 // that were used within their lives
)

// tokens makes and checks short tokens and the nonces of proofs. Neither is stored: both carry a keyed hash under the server's secret. What is
// stored is which tokens were logged out, until they would have ended, so that a restart brings none of them back.
type tokens struct {
	key digest.Digest
	log Log

	mu      sync.Mutex
	used    map[[32]byte]uint64        // nonces that bought a token, until when they count
	ended   map[digest.Digest]uint64   // tokens that were logged out, until when they would have counted
	follows map[digest.Digest]*follows // by token
}

// follows is what is open under one token.
type follows struct {
	out   chan struct{} // closed when it is logged out
	count int
}

// newTokens also reads which tokens were logged out.
func newTokens(ctx context.Context, log Log, secret [digest.Size]byte, now uint64) (*tokens, error) {
	t := &tokens{
		key: digest.Keyed(secret, []byte("skerry.http.1")), log: log,
		used: map[[32]byte]uint64{}, ended: map[digest.Digest]uint64{}, follows: map[digest.Digest]*follows{},
	}
	return t, scan(ctx, log, logoutPrefix, func(key string, value []byte) error {
		token, err := digest.Parse(strings.TrimPrefix(key, logoutPrefix))
		if err != nil || len(value) != 8 {
			return fmt.Errorf("the key %s is none of a token", key)
		}
		t.ended[token] = binary.BigEndian.Uint64(value)
		return t.drop(ctx, token, now)
	})
}

// logoutPrefix is what the keys of the log begin with under which it is kept until when tokens that were logged out would count.
const logoutPrefix = "logout/"

func untilBytes(until uint64) []byte { return binary.BigEndian.AppendUint64(nil, until) }

// drop forgets that a token was logged out, if it has ended since.
func (t *tokens) drop(ctx context.Context, token digest.Digest, now uint64) error {
	t.mu.Lock()
	until, ended := t.ended[token]
	t.mu.Unlock()
	if !ended || until > now {
		return nil
	}
	if _, err := t.log.CompareAndSet(ctx, logoutPrefix+token.String(), untilBytes(until), nil); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.ended, token)
	return nil
}

// dropped is how many tokens are looked at, in no order, whether they have ended, whenever one is logged out: more go than come.
const dropped = 4

// end logs a token out that would count until then.
func (t *tokens) end(ctx context.Context, token digest.Digest, until, now uint64) error {
	var some []digest.Digest
	t.mu.Lock()
	full := len(t.ended) >= maxNonces
	for other := range t.ended {
		if some = append(some, other); len(some) == dropped {
			break
		}
	}
	t.mu.Unlock()
	for _, other := range some {
		if err := t.drop(ctx, other, now); err != nil {
			return err
		}
	}
	if full {
		return wire.Errorf(wire.CodeOverloaded, "too many tokens were logged out")
	}
	if _, err := t.log.CompareAndSet(ctx, logoutPrefix+token.String(), nil, untilBytes(until)); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended[token] = until
	if f := t.follows[token]; f != nil {
		delete(t.follows, token)
		close(f.out)
	}
	return nil
}

// over returns an error if a token was logged out.
func (t *tokens) over(token digest.Digest) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ended := t.ended[token]; ended {
		return errLoggedOut
	}
	return nil
}

var errLoggedOut = wire.Errorf(wire.CodeAuthRequired, "the token was logged out")

// follow returns what is closed when a token is logged out, and what is to be called once nobody waits for it any more.
func (t *tokens) follow(token digest.Digest) (out <-chan struct{}, done func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.follows[token]
	if f == nil {
		f = &follows{out: make(chan struct{})}
		if _, ended := t.ended[token]; ended {
			close(f.out)
			return f.out, func() {}
		}
		t.follows[token] = f
	}
	f.count++
	return f.out, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if f.count--; f.count == 0 && t.follows[token] == f {
			delete(t.follows, token)
		}
	}
}

func (t *tokens) sum(domain string, content []byte) digest.Digest {
	return digest.Keyed(t.key, append([]byte(domain), content...))
}

// nonce returns what a proof is to sign: when it was made, randomness, and what shows that it was made here.
func (t *tokens) nonce(now uint64) (nonce [32]byte) {
	binary.BigEndian.PutUint64(nonce[:8], now)
	rand.Read(nonce[8:16])
	sum := t.sum("nonce", nonce[:16])
	copy(nonce[16:], sum[:16])
	return nonce
}

// take uses a nonce up, and reports why it cannot be used.
func (t *tokens) take(nonce [32]byte, now uint64) error {
	sum := t.sum("nonce", nonce[:16])
	ends := binary.BigEndian.Uint64(nonce[:8]) + uint64(nonceLife.Milliseconds())
	if subtle.ConstantTimeCompare(sum[:16], nonce[16:]) != 1 || ends <= now {
		return wire.Errorf(wire.CodeBadCredentials, "the nonce is not this server's, or older than a minute")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, used := t.used[nonce]; used {
		return wire.Errorf(wire.CodeBadCredentials, "the nonce was used before")
	}
	if len(t.used) >= maxNonces {
		for old, until := range t.used {
			if until <= now {
				delete(t.used, old)
			}
		}
		if len(t.used) >= maxNonces {
			return wire.Errorf(wire.CodeOverloaded, "too many tokens are asked for")
		}
	}
	t.used[nonce] = ends
	return nil
}

// issue returns a token for somebody.
func (t *tokens) issue(of *caller) string {
	content := binary.BigEndian.AppendUint64(nil, of.expires)
	content = append(content, make([]byte, tokenNonce)...)
	rand.Read(content[8:]) // of two tokens of one identity each is logged out alone
	for _, p := range of.proven {
		content = append(space.AppendCompact(content, len(p.Identity)), p.Identity...)
		content = append(space.AppendCompact(content, len(p.Claims)), p.Claims...) // which the policy is asked with again
		devices := strings.Join(p.Devices, " ") + " "                              // names of keys have no space
		if p.MayLink {
			devices += "+"
		}
		content = append(space.AppendCompact(content, len(devices)), devices...)
	}
	sum := t.sum("token", content)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(content, sum[:]...))
}

// check returns whose token it is.
func (t *tokens) check(token string, now uint64) (*caller, error) {
	bad := wire.Errorf(wire.CodeBadCredentials, "the token is not this server's")
	text, ok := strings.CutPrefix(token, tokenPrefix) // without it a token has two forms, and one of them was not logged out
	content, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(content) < 8+tokenNonce+digest.Size {
		return nil, bad
	}
	content, sum := content[:len(content)-digest.Size], content[len(content)-digest.Size:]
	if want := t.sum("token", content); subtle.ConstantTimeCompare(want[:], sum) != 1 {
		return nil, bad
	}
	expires := binary.BigEndian.Uint64(content)
	if expires <= now {
		return nil, wire.Errorf(wire.CodeAuthExpired, "the token has expired")
	}
	rest := content[8+tokenNonce:]
	next := func() (part []byte) {
		n, size, failed := space.Compact(rest)
		if failed != nil || n > len(rest)-size {
			err, rest = bad, nil
			return nil
		}
		part, rest = rest[size:size+n], rest[size+n:]
		return part
	}
	var proven []hub.Proven
	for len(rest) > 0 {
		p := hub.Proven{Identity: string(next()), Claims: next(), Expires: expires}
		words := strings.Split(string(next()), " ")
		p.MayLink = words[len(words)-1] == "+"
		p.Devices = slices.DeleteFunc(words[:len(words)-1], func(word string) bool { return word == "" })
		proven = append(proven, p)
	}
	if err != nil {
		return nil, err
	}
	of := callerFrom(proven)
	of.expires = expires // of nobody's token too
	return of, nil
}

// proofRequest is what a token is bought by: what a hello has as text. Of an issuer's subject token is the proof, of a key proof is,
// over a nonce of /api/v1/challenge.
type proofRequest struct {
	Identity string `json:"identity"`
	Nonce    string `json:"nonce"` // hexadecimal
	Proof    string `json:"proof"` // base64url
	Token    string `json:"token"`
}

func (s *Server) serveChallenge(w http.ResponseWriter, _ *http.Request) {
	nonce := s.tokens.nonce(s.wall())
	w.Header().Set("Cache-Control", "no-store")
	answerJSON(w, http.StatusOK, struct {
		Nonce  string `json:"nonce"`
		Server string `json:"server"`
	}{hex.EncodeToString(nonce[:]), hex.EncodeToString(s.secrets.public[:])})
}

func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	of, err := s.tokenFor(w, r)
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	answerJSON(w, http.StatusOK, struct {
		Token      string   `json:"token"`
		ExpiresIn  uint64   `json:"expires_in"` // seconds
		Identities []string `json:"identities"`
	}{s.tokens.issue(of), (of.expires - s.wall()) / 1000, of.identities})
}

// tokenFor checks what a request offers.
func (s *Server) tokenFor(w http.ResponseWriter, r *http.Request) (*caller, error) {
	var request proofRequest
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, proofBody))
	if err != nil {
		return nil, wire.Errorf(wire.CodeTooLarge, "at most %d bytes", proofBody)
	}
	if json.Unmarshal(body, &request) != nil || (request.Token == "") == (request.Proof == "") {
		return nil, wire.Errorf(wire.CodeBadArgument, `want {"identity", "nonce", "proof"} of a key, or {"identity", "token"}`)
	}
	attempt := auth.Attempt{Server: s.secrets.public, Hosts: auth.Hosts(r, s.config.PublicHosts)}
	proof := wire.Proof{Identity: request.Identity, Proof: []byte(request.Token)}
	if request.Proof != "" {
		nonce, err := hex.DecodeString(request.Nonce)
		if err != nil || len(nonce) != len(attempt.Nonce) {
			return nil, wire.Errorf(wire.CodeBadArgument, "a nonce has 64 hexadecimal digits")
		}
		attempt.Nonce = [32]byte(nonce)
		if proof.Proof, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(request.Proof, "=")); err != nil {
			return nil, wire.Errorf(wire.CodeBadArgument, "a proof is base64url")
		}
		if err := s.tokens.take(attempt.Nonce, s.wall()); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), proveTime)
	defer cancel()
	attempt.Proofs = []wire.Proof{proof}
	proven, err := s.config.Auth.Authenticate(ctx, &attempt)
	if err != nil {
		return nil, err
	}
	if err := s.checkProven(proven); err != nil {
		return nil, err
	}
	if err := s.checkDevices(ctx, proven); err != nil {
		return nil, err
	}
	if err := s.admitted(ctx, proven); err != nil {
		return nil, err
	}
	of := callerFrom(proven) // it ends no later than what it was bought by
	if ends := s.wall() + uint64(tokenLife.Milliseconds()); of.expires == 0 || ends < of.expires {
		of.expires = ends
	}
	return of, nil
}

// serveLogout ends a bearer token, and what is open under it.
func (s *Server) serveLogout(w http.ResponseWriter, r *http.Request) {
	of, err := s.bearerOf(r)
	if err == nil {
		switch {
		case of.token.IsZero():
			err = wire.Errorf(wire.CodeAuthRequired, "there is no bearer token to log out")
		case of.expires == 0:
			err = wire.Errorf(wire.CodeBadArgument, "the token has no end of its own: whoever gave it ends it")
		default:
			err = s.tokens.end(r.Context(), of.token, of.expires, s.wall())
		}
	}
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) serveWhoami(w http.ResponseWriter, r *http.Request) {
	of, err := s.callerOf(r)
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	identities := append([]string{}, of.identities...)
	w.Header().Set("Cache-Control", "no-store")
	answerJSON(w, http.StatusOK, struct {
		Identities []string `json:"identities"`
		Expires    uint64   `json:"expires,omitempty"` // milliseconds since 1970
	}{identities, of.expires})
}
