package auth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/vmihailenco/msgpack/v5"

	"skerry/shared/hub"
	"skerry/shared/identity"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver/auth"
)

var (
	nonce  = [32]byte{1}
	server = [32]byte{2}
	begin  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

const host = "sync.example.org"

// signer makes the tokens of one key.
type signer struct {
	id     string
	method jwt.SigningMethod
	secret crypto.Signer
}

var keys = sync.OnceValue(func() map[string]signer {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	_, otherKey, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]signer{
		"rsa": {"rsa", jwt.SigningMethodRS256, rsaKey}, "ec": {"ec", jwt.SigningMethodES256, ecKey},
		"ed": {"ed", jwt.SigningMethodEdDSA, edKey}, "other": {"other", jwt.SigningMethodEdDSA, otherKey},
		"small": {"small", jwt.SigningMethodRS256, small}, "ec384": {"ec384", jwt.SigningMethodES384, ec384},
	}
})

// public returns the key as a JWK.
func (s signer) public() map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := s.secret.Public().(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "kid": s.id, "alg": "RS256", "use": "sig", "n": b64(k.N.Bytes()), "e": "AQAB"}
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		half := len(point) / 2
		return map[string]any{"kty": "EC", "kid": s.id, "crv": k.Params().Name, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:])}
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "kid": s.id, "crv": "Ed25519", "x": b64(k)}
	}
	panic("no key")
}

func (s signer) token(t *testing.T, claims jwt.MapClaims, header ...func(map[string]any)) string {
	t.Helper()
	token := jwt.NewWithClaims(s.method, claims)
	token.Header["kid"] = s.id
	for _, f := range header {
		f(token.Header)
	}
	text, err := token.SignedString(s.secret)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// provider is an identity provider with a JWKS.
type provider struct {
	*httptest.Server
	mu    sync.Mutex
	keys  []signer
	down  bool
	asked atomic.Int64
}

func newProvider(t *testing.T, with ...string) *provider {
	p := &provider{}
	for _, name := range with {
		p.keys = append(p.keys, keys()[name])
	}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.asked.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	w.Write(jwks(p.keys...))
}

func (p *provider) set(down bool, with ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down, p.keys = down, nil
	for _, name := range with {
		p.keys = append(p.keys, keys()[name])
	}
}

func jwks(of ...signer) []byte {
	// What is unknown, for encryption or too weak is passed over.
	all := []any{map[string]any{"kty": "oct", "kid": "ed", "k": "c2VjcmV0"}, map[string]any{"kty": "new"}}
	for _, s := range of {
		all = append(all, s.public())
	}
	content, err := json.Marshal(map[string]any{"keys": all})
	if err != nil {
		panic(err)
	}
	return content
}

// rig is an authenticator with a clock.
type rig struct {
	auth.Authenticator
	t   *testing.T
	now atomic.Int64
}

func newRig(t *testing.T, config auth.Config) *rig {
	r := &rig{t: t}
	r.now.Store(begin.UnixNano())
	config.Now = func() time.Time { return time.Unix(0, r.now.Load()) }
	a, err := auth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	r.Authenticator = a
	return r
}

func (r *rig) pass(d time.Duration) { r.now.Add(int64(d)) }

func (r *rig) try(proofs ...wire.Proof) ([]hub.Proven, error) {
	return r.Authenticate(context.Background(), &auth.Attempt{Nonce: nonce, Server: server, Hosts: []string{host}, Proofs: proofs})
}

// token offers a token of ann's.
func (r *rig) token(text string) error {
	r.t.Helper()
	proven, err := r.try(wire.Proof{Identity: "https://id.example#ann", Proof: []byte(text)})
	if err == nil && (len(proven) != 1 || proven[0].Identity != "https://id.example#ann") {
		r.t.Errorf("proven %+v", proven)
	}
	return err
}

func (r *rig) refuses(text string, code wire.Code, reason string) {
	r.t.Helper()
	if err := r.token(text); wire.CodeOf(err) != code || !strings.Contains(fmt.Sprint(err), reason) {
		r.t.Errorf("got %v, want %v: %s", err, code, reason)
	} else if len(text) > 8 && strings.Contains(err.Error(), text[len(text)-8:]) {
		r.t.Errorf("the reason tells of the token: %v", err)
	}
}

func claims(change ...func(jwt.MapClaims)) jwt.MapClaims {
	c := jwt.MapClaims{"iss": "https://id.example", "sub": "ann", "aud": "skerry", "exp": begin.Add(time.Hour).Unix(), "level": 3, "groups": []string{"a"}}
	for _, f := range change {
		f(c)
	}
	return c
}

func set(name string, value any) func(jwt.MapClaims) {
	return func(c jwt.MapClaims) {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
}

func issuers(keys string) auth.Config {
	return auth.Config{Issuers: []auth.Issuer{{Name: "https://id.example", Audience: []string{"other", "skerry"}, Keys: keys}}}
}

func TestTokens(t *testing.T) {
	p := newProvider(t, "rsa", "ec", "ed")
	r := newRig(t, issuers(p.URL))
	for _, name := range []string{"rsa", "ec", "ed"} {
		if err := r.token(keys()[name].token(t, claims())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		without := keys()[name].token(t, claims(), func(h map[string]any) { delete(h, "kid") })
		if err := r.token(without); err != nil {
			t.Errorf("%s without kid: %v", name, err)
		}
	}
	if asked := p.asked.Load(); asked != 1 {
		t.Errorf("the keys were fetched %d times", asked)
	}
	proven, err := r.try(wire.Proof{Identity: "https://id.example#ann", Proof: []byte(keys()["ed"].token(t, claims()))})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := msgpack.Unmarshal(proven[0].Claims, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"iss": "https://id.example", "sub": "ann", "aud": "skerry", "exp": uint32(begin.Add(time.Hour).Unix()), "level": int8(3), "groups": []any{"a"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("claims %v, want %v", got, want)
	}
	if ends := begin.Add(time.Hour + time.Minute).UnixMilli(); proven[0].Expires != uint64(ends) {
		t.Errorf("ends at %d, want %d", proven[0].Expires, ends)
	}
}

// TestRefusedTokens has each wrong token once.
func TestRefusedTokens(t *testing.T) {
	p := newProvider(t, "rsa", "ec", "ed", "small", "ec384")
	r := newRig(t, issuers(p.URL))
	ed := keys()["ed"]
	hours := func(n time.Duration) int64 { return begin.Add(n * time.Hour).Unix() }
	for name, c := range map[string]struct {
		change []func(jwt.MapClaims)
		code   wire.Code
		reason string
	}{
		"no issuer":      {[]func(jwt.MapClaims){set("iss", nil)}, wire.CodeBadCredentials, "no issuer"},
		"another issuer": {[]func(jwt.MapClaims){set("iss", "https://evil.example")}, wire.CodeBadCredentials, "do not count"},
		"no audience":    {[]func(jwt.MapClaims){set("aud", nil)}, wire.CodeBadCredentials, "lacks exp or aud"},
		"other audience": {[]func(jwt.MapClaims){set("aud", []string{"mail"})}, wire.CodeBadCredentials, "another audience"},
		"no exp":         {[]func(jwt.MapClaims){set("exp", nil)}, wire.CodeBadCredentials, "lacks exp or aud"},
		"exp as text":    {[]func(jwt.MapClaims){set("exp", "never")}, wire.CodeBadCredentials, ""},
		"expired":        {[]func(jwt.MapClaims){set("exp", hours(-1))}, wire.CodeAuthExpired, "expired"},
		"just expired":   {[]func(jwt.MapClaims){set("exp", begin.Add(-time.Minute).Unix())}, wire.CodeAuthExpired, "expired"},
		"not yet":        {[]func(jwt.MapClaims){set("nbf", hours(1))}, wire.CodeBadCredentials, "not valid yet"},
		"nbf as text":    {[]func(jwt.MapClaims){set("nbf", "now")}, wire.CodeBadCredentials, ""},
		"no subject":     {[]func(jwt.MapClaims){set("sub", nil)}, wire.CodeBadCredentials, "no subject"},
		"subject of 1":   {[]func(jwt.MapClaims){set("sub", 1)}, wire.CodeBadCredentials, ""},
		"of another":     {[]func(jwt.MapClaims){set("sub", "bob")}, wire.CodeBadCredentials, "another identity"},
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			r.refuses(ed.token(t, claims(c.change...)), c.code, c.reason)
		})
	}
	r.t = t
	for _, within := range []func(jwt.MapClaims){ // the leeway
		set("exp", begin.Add(-59*time.Second).Unix()), set("nbf", begin.Add(60*time.Second).Unix()),
	} {
		if err := r.token(ed.token(t, claims(within))); err != nil {
			t.Error(err)
		}
	}

	good := ed.token(t, claims())
	parts := strings.Split(good, ".")
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims()).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	r.refuses(none, wire.CodeBadCredentials, "not signed by RS256, ES256, EdDSA")
	r.refuses(parts[0]+"."+parts[1]+".", wire.CodeBadCredentials, "")
	r.refuses(good[:len(good)-4]+"AAAA", wire.CodeBadCredentials, "not its issuer's")
	r.refuses("", wire.CodeAuthRequired, "without a proof")
	r.refuses("nonsense", wire.CodeBadCredentials, "no token")
	r.refuses(strings.Repeat("x", 16<<10+1), wire.CodeBadCredentials, "16385 bytes")
	r.refuses(keys()["small"].token(t, claims()), wire.CodeBadCredentials, "does not have")
	r.refuses(keys()["ec384"].token(t, claims()), wire.CodeBadCredentials, "not signed by")

	// Key confusion: a public key of the issuer taken for a shared secret, in every form that somebody could have of it.
	for name, s := range keys() {
		der, err := x509.MarshalPKIXPublicKey(s.secret.Public())
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range [][]byte{der, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), []byte("secret")} {
			token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims())
			token.Header["kid"] = name
			text, err := token.SignedString(secret)
			if err != nil {
				t.Fatal(err)
			}
			r.refuses(text, wire.CodeBadCredentials, "not signed by")
		}
	}
	// A header that says another algorithm than the key's; one that brings its own key.
	for _, header := range []func(map[string]any){
		func(h map[string]any) { h["kid"] = "rsa" },
		func(h map[string]any) { h["alg"] = "RS256" },
		func(h map[string]any) { h["kid"], h["jwk"] = "mine", keys()["other"].public() },
	} {
		r.refuses(keys()["other"].token(t, claims(), header), wire.CodeBadCredentials, "")
	}
	mine := keys()["other"].token(t, claims(), func(h map[string]any) { h["kid"], h["jwk"] = "ed", keys()["other"].public() })
	r.refuses(mine, wire.CodeBadCredentials, "not its issuer's")
}

func TestIssuersDoNotCollide(t *testing.T) {
	a, b := newProvider(t, "ed"), newProvider(t, "other")
	r := newRig(t, auth.Config{Issuers: []auth.Issuer{
		{Name: "https://a", Audience: []string{"skerry"}, Keys: a.URL}, {Name: "https://b", Audience: []string{"skerry"}, Keys: b.URL},
	}})
	for _, c := range []struct {
		issuer, key, identity string
		good                  bool
	}{
		{"https://a", "ed", "https://a#ann", true}, {"https://b", "other", "https://b#ann", true},
		{"https://a", "other", "https://a#ann", false}, {"https://b", "ed", "https://b#ann", false},
		{"https://b", "other", "https://a#ann", false}, {"https://a", "ed", "ann", false}, {"https://a", "ed", "", false},
		{"https://a", "ed", "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", false},
	} {
		token := keys()[c.key].token(t, claims(set("iss", c.issuer)))
		_, err := r.try(wire.Proof{Identity: c.identity, Proof: []byte(token)})
		if (err == nil) != c.good {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestKeysAreFetchedSeldom(t *testing.T) {
	p := newProvider(t, "ed")
	r := newRig(t, issuers(p.URL))
	asked := func(want int64) {
		t.Helper()
		if got := p.asked.Load(); got != want {
			t.Errorf("fetched %d times, want %d", got, want)
		}
	}
	ed, other := keys()["ed"], keys()["other"]
	long := set("exp", begin.Add(1000*time.Hour).Unix())
	if err := r.token(ed.token(t, claims(long))); err != nil {
		t.Fatal(err)
	}
	for i := range 100 { // a flood of tokens whose keys nobody knows
		r.refuses(other.token(t, claims(long), func(h map[string]any) { h["kid"] = fmt.Sprint(i) }), wire.CodeBadCredentials, "does not have")
	}
	asked(1)
	// The issuer begins to sign by another key: the first token of it fetches.
	p.set(false, "ed", "other")
	r.refuses(other.token(t, claims(long)), wire.CodeBadCredentials, "does not have")
	r.pass(30 * time.Second)
	if err := r.token(other.token(t, claims(long))); err != nil {
		t.Error(err)
	}
	asked(2)
	// A key that the issuer no longer has counts for an hour at most.
	p.set(false, "other")
	r.pass(59 * time.Minute)
	if err := r.token(ed.token(t, claims(long))); err != nil {
		t.Error(err)
	}
	asked(2)
	r.pass(time.Minute)
	r.refuses(ed.token(t, claims(long)), wire.CodeBadCredentials, "does not have")
	asked(3)
	// The issuer cannot be reached: what is known counts on, for a day, and it is asked now and then.
	p.set(true)
	r.pass(2 * time.Hour)
	for range 10 {
		if err := r.token(other.token(t, claims(long))); err != nil {
			t.Error(err)
		}
	}
	asked(4)
	r.pass(22 * time.Hour)
	r.refuses(other.token(t, claims(long)), wire.CodeOverloaded, "cannot be had")
	asked(5)
	p.set(false, "other")
	r.pass(30 * time.Second)
	if err := r.token(other.token(t, claims(long))); err != nil {
		t.Error(err)
	}
}

// TestCriticalExtensions: of a token that says that something else has to be understood, nothing is believed.
func TestCriticalExtensions(t *testing.T) {
	p := newProvider(t, "ed")
	r := newRig(t, issuers(p.URL))
	with := func(crit any) string {
		return keys()["ed"].token(t, claims(), func(h map[string]any) { h["crit"] = crit })
	}
	r.refuses(with([]string{"b64"}), wire.CodeBadCredentials, "crit")
	r.refuses(with([]string{}), wire.CodeBadCredentials, "crit")
	r.refuses(with(nil), wire.CodeBadCredentials, "crit")
}

// TestRedirectsStaySecure: keys that https gives are not looked for by http, not on this machine either.
func TestRedirectsStaySecure(t *testing.T) {
	p := newProvider(t, "ed")
	for _, secure := range []bool{false, true} {
		from := httptest.NewUnstartedServer(http.RedirectHandler(p.URL, http.StatusFound))
		if secure {
			from.StartTLS()
			transport := http.DefaultTransport
			http.DefaultTransport = from.Client().Transport
			defer func() { http.DefaultTransport = transport }()
		} else {
			from.Start()
		}
		defer from.Close()
		r := newRig(t, issuers(from.URL))
		if err := r.token(keys()["ed"].token(t, claims())); secure != (wire.CodeOf(err) == wire.CodeOverloaded) {
			t.Errorf("https %v: %v", secure, err)
		}
	}
}

// panicking panics the first time that keys are fetched.
type panicking struct {
	http.RoundTripper
	done bool
}

func (p *panicking) RoundTrip(r *http.Request) (*http.Response, error) {
	if !p.done {
		p.done = true
		panic("a bug")
	}
	return p.RoundTripper.RoundTrip(r)
}

// TestPanicDoesNotStopFetching: keys are fetched again after a fetch that panicked, and nobody waits for that one.
func TestPanicDoesNotStopFetching(t *testing.T) {
	p := newProvider(t, "ed")
	config := issuers(p.URL)
	config.Client = &http.Client{Transport: &panicking{RoundTripper: http.DefaultTransport}}
	r := newRig(t, config)
	token := keys()["ed"].token(t, claims())
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it did not panic")
			}
		}()
		r.token(token)
	}()
	r.refuses(token, wire.CodeOverloaded, "cannot be had")
	r.pass(30 * time.Second)
	if err := r.token(token); err != nil {
		t.Error(err)
	}
}

func TestManyFirstTokensFetchOnce(t *testing.T) {
	p := newProvider(t, "ed")
	r := newRig(t, issuers(p.URL))
	token := keys()["ed"].token(t, claims())
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := r.token(token); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if asked := p.asked.Load(); asked != 1 {
		t.Errorf("fetched %d times", asked)
	}
}

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var blocks bytes.Buffer
	for _, name := range []string{"rsa", "ec", "ed"} {
		der, err := x509.MarshalPKIXPublicKey(keys()[name].secret.Public())
		if err != nil {
			t.Fatal(err)
		}
		pem.Encode(&blocks, &pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	for name, path := range map[string]string{
		"jwks": write("keys.json", jwks(keys()["rsa"], keys()["ec"], keys()["ed"])), "pem": write("keys.pem", blocks.Bytes()),
	} {
		r := newRig(t, issuers(path))
		for _, key := range []string{"rsa", "ec", "ed"} {
			if err := r.token(keys()[key].token(t, claims())); err != nil {
				t.Errorf("%s, %s: %v", name, key, err)
			}
		}
		r.refuses(keys()["other"].token(t, claims()), wire.CodeBadCredentials, "")
	}
	for name, path := range map[string]string{
		"no file": filepath.Join(dir, "none"), "empty": write("empty", nil), "no keys": write("none.json", jwks()),
		"a secret": write("secret.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}})),
		"by http":  "http://192.0.2.1/jwks.json",
	} {
		r := newRig(t, issuers(path))
		if err := r.token(keys()["ed"].token(t, claims())); wire.CodeOf(err) != wire.CodeOverloaded {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysOfClients(t *testing.T) {
	r := newRig(t, auth.Config{})
	_, secret, _ := ed25519.GenerateKey(rand.Reader)
	key, err := identity.New(identity.Ed25519, secret.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	name := key.String()
	sign := func(nonce, server [32]byte, host string) []byte {
		return ed25519.Sign(secret, space.ProofMessage(nonce, server, host))
	}
	proven, err := r.try(wire.Proof{Identity: name, Proof: sign(nonce, server, host)})
	if err != nil || !reflect.DeepEqual(proven, []hub.Proven{{Identity: name, MayLink: true}}) {
		t.Fatalf("%+v, %v", proven, err)
	}
	for what, proof := range map[string][]byte{
		"replayed":            sign([32]byte{9}, server, host),
		"for another server":  sign(nonce, [32]byte{9}, host),
		"for another host":    sign(nonce, server, "evil.example"),
		"of the host's case":  sign(nonce, server, "SYNC.example.org"),
		"a genesis' own":      ed25519.Sign(secret, space.GenesisMessage(server)),
		"of zeros":            make([]byte, 64),
		"too short":           sign(nonce, server, host)[:63],
		"the key's name":      []byte(name),
		"a token in its name": []byte(keys()["ed"].token(t, claims(set("sub", name)))),
	} {
		if _, err := r.try(wire.Proof{Identity: name, Proof: proof}); wire.CodeOf(err) != wire.CodeBadCredentials {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := r.try(wire.Proof{Identity: "did:key:zebra", Proof: make([]byte, 64)}); wire.CodeOf(err) != wire.CodeBadCredentials {
		t.Error(err)
	}
	if _, err := r.try(wire.Proof{Identity: "ann"}); wire.CodeOf(err) != wire.CodeAuthRequired {
		t.Error(err)
	}
	// One that is wrong spoils all.
	if _, err := r.try(wire.Proof{Identity: name, Proof: sign(nonce, server, host)}, wire.Proof{Identity: "ann"}); err == nil {
		t.Error("one proof was passed over")
	}
	_, err = r.Authenticate(context.Background(), &auth.Attempt{Nonce: nonce, Server: server, Proofs: []wire.Proof{{Identity: name, Proof: sign(nonce, server, host)}}})
	if wire.CodeOf(err) != wire.CodeBadCredentials || !strings.Contains(err.Error(), "was not told") {
		t.Error(err)
	}
}

func TestAnonymous(t *testing.T) {
	if _, err := newRig(t, auth.Config{}).try(); wire.CodeOf(err) != wire.CodeAuthRequired {
		t.Error(err)
	}
	if proven, err := newRig(t, auth.Config{Anonymous: true}).try(); err != nil || len(proven) != 0 {
		t.Error(proven, err)
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	good := auth.Issuer{Name: "https://id", Audience: []string{"a"}, Keys: "keys.json"}
	with := func(change func(*auth.Issuer)) auth.Config {
		i := good
		change(&i)
		return auth.Config{Issuers: []auth.Issuer{i}}
	}
	for name, c := range map[string]auth.Config{
		"no name":     with(func(i *auth.Issuer) { i.Name = "" }),
		"a #":         with(func(i *auth.Issuer) { i.Name = "https://id#" }),
		"no audience": with(func(i *auth.Issuer) { i.Audience = nil }),
		"no keys":     with(func(i *auth.Issuer) { i.Keys = "" }),
		"twice":       {Issuers: []auth.Issuer{good, good}},
		"leeway":      {Leeway: -1},
	} {
		if _, err := auth.New(c); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := auth.New(auth.Config{Issuers: []auth.Issuer{good}}); err != nil {
		t.Error(err)
	}
}

func TestHosts(t *testing.T) {
	for _, c := range []struct {
		host, local string
		public      string
		want        string
	}{
		{"localhost:8080", "127.0.0.1:8080", "", "localhost:8080"},
		{"LocalHost:8080", "[::1]:8080", "", "localhost:8080"},
		{"127.0.0.1:8080", "127.0.0.1:8080", "", "127.0.0.1:8080"},
		{"[::1]:8080", "[::1]:8080", "", "[::1]:8080"},
		{"192.0.2.7:8080", "192.0.2.7:8080", "", "192.0.2.7:8080"},
		{"192.0.2.7", "[::ffff:192.0.2.7]:80", "", "192.0.2.7"},
		{"192.0.2.7:80", "192.0.2.7:80", "", "192.0.2.7,192.0.2.7:80"},
		{"[::1]:80", "[::1]:80", "", "[::1],[::1]:80"},
		{"evil.example", "192.0.2.7:80", "Sync.Example.org:443", "sync.example.org,sync.example.org:443"},
		{"192.0.2.8:8080", "192.0.2.7:8080", "", ""},
		{"localhost:8080", "192.0.2.7:8080", "", ""}, // who dialled localhost is not here
		{"evil.example", "127.0.0.1:8080", "", ""},
		{"evil.example", "192.0.2.7:80", "", ""},
		{"evil.example", "192.0.2.7:80", "sync.example.org", "sync.example.org"},
		{"localhost:8080", "127.0.0.1:8080", "a.example,b.example:81", "a.example,b.example:81"},
	} {
		r := httptest.NewRequest("GET", "/sync", nil)
		r.Host = c.host
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, address(c.local)))
		public := strings.FieldsFunc(c.public, func(r rune) bool { return r == ',' })
		if got := strings.Join(auth.Hosts(r, public), ","); got != c.want {
			t.Errorf("%s at %s: %q, want %q", c.host, c.local, got, c.want)
		}
	}
}

// TestCalled: who has a name can have it stand for any address, so names count that the server was told.
func TestCalled(t *testing.T) {
	for _, c := range []struct {
		host, local, public string
		want                bool
	}{
		{"localhost:8080", "127.0.0.1:8080", "", true}, {"App.LocalHost:8080", "127.0.0.1:8080", "", true},
		{"127.0.0.1:8080", "127.0.0.1:8080", "sync.example.org", true}, {"[::1]:8080", "[::1]:8080", "", true}, {"192.0.2.7", "192.0.2.7:80", "", true},
		{"evil.example:8080", "127.0.0.1:8080", "", false}, {"evil.example:8080", "[::1]:8080", "", false}, {"localhost.evil.example", "127.0.0.1:80", "", false},
		{"intranet", "192.0.2.7:80", "", true},
		{"evil.example", "192.0.2.7:80", "sync.example.org", false}, {"sync.example.org:8080", "192.0.2.7:80", "sync.example.org", false},
		{"Sync.Example.org", "127.0.0.1:80", "sync.example.org", true}, {"sync.example.org:443", "127.0.0.1:80", "sync.example.org", true},
	} {
		r := httptest.NewRequest("GET", "/sync", nil)
		r.Host = c.host
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, address(c.local)))
		public := strings.FieldsFunc(c.public, func(r rune) bool { return r == ',' })
		if got := auth.Called(r, public); got != c.want {
			t.Errorf("%s at %s, told %q: %v", c.host, c.local, c.public, got)
		}
	}
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

func FuzzTokens(f *testing.F) {
	path := filepath.Join(f.TempDir(), "keys.json")
	if err := os.WriteFile(path, jwks(keys()["ed"]), 0o600); err != nil {
		f.Fatal(err)
	}
	a, err := auth.New(issuers(path))
	if err != nil {
		f.Fatal(err)
	}
	good := claims(set("exp", time.Now().Add(time.Hour).Unix()))
	f.Add(keys()["ed"].token(&testing.T{}, maps.Clone(good)))
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, text string) {
		proven, err := a.Authenticate(context.Background(), &auth.Attempt{Proofs: []wire.Proof{{Identity: "https://id.example#ann", Proof: []byte(text)}}})
		if err != nil && wire.CodeOf(err) == wire.CodeUnknown {
			t.Errorf("without a code: %v", err)
		}
		if err == nil && proven[0].Identity != "https://id.example#ann" {
			t.Errorf("proven %+v", proven)
		}
	})
}
