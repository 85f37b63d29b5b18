package syncserver_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skerry/shared/identity"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// buyer asks one server for tokens.
type buyer struct {
	*rig
	now atomic.Int64
}

func newBuyer(t *testing.T) *buyer {
	b := &buyer{}
	b.now.Store(time.Now().UnixMilli())
	b.rig = &rig{t: t}
	b.begin(memlog.New())
	return b
}

// begin begins a server on a log.
func (b *buyer) begin(log syncserver.Log) {
	b.rig = start(b.t, log, func(c *syncserver.Config) {
		c.Auth, c.PublicHosts = nil, []string{host}
		c.Now = func() time.Time { return time.UnixMilli(b.now.Load()) }
	})
}

func (b *buyer) pass(d time.Duration) { b.now.Add(d.Milliseconds()) }

type challenge struct{ Nonce, Server string }

func (b *buyer) challenge() (c challenge) {
	b.t.Helper()
	b.fetch("", "/api/v1/challenge", &c)
	return c
}

// buy offers a proof and returns the status and what was answered.
func (b *buyer) buy(offer map[string]string) (status int, answer struct {
	Token, Code string
	ExpiresIn   uint64 `json:"expires_in"`
	Identities  []string
}) {
	b.t.Helper()
	content, _ := json.Marshal(offer)
	response, err := b.client.Post("http://"+host+"/api/v1/token", "application/json", bytes.NewReader(content))
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		b.t.Fatal(err)
	}
	return response.StatusCode, answer
}

// offer signs a challenge by a host.
func (k keyed) offer(t *testing.T, c challenge, host string) map[string]string {
	t.Helper()
	nonce, err := hex.DecodeString(c.Nonce)
	if err != nil {
		t.Fatal(err)
	}
	server, err := hex.DecodeString(c.Server)
	if err != nil {
		t.Fatal(err)
	}
	proof := ed25519.Sign(k.secret, space.ProofMessage([32]byte(nonce), [32]byte(server), host))
	return map[string]string{"identity": k.name, "nonce": c.Nonce, "proof": base64.RawURLEncoding.EncodeToString(proof)}
}

// whoami returns the status and code for a bearer token.
func (b *buyer) whoami(token string) (int, string, []string) {
	b.t.Helper()
	var answer struct {
		Code       string
		Identities []string
	}
	header := []string{}
	if token != "" {
		header = []string{"Authorization", "Bearer " + token}
	}
	response := b.fetch("", "/api/v1/whoami", &answer, header...)
	return response.StatusCode, answer.Code, answer.Identities
}

func TestTokensForHTTP(t *testing.T) {
	b, elsewhere := newBuyer(t), newBuyer(t)
	ann, eve := newKey(t), newKey(t)
	status, bought := b.buy(ann.offer(t, b.challenge(), host))
	if status != http.StatusOK || bought.ExpiresIn != 300 || len(bought.Identities) != 1 || bought.Identities[0] != ann.name {
		t.Fatalf("%d %+v", status, bought)
	}
	if status, _, who := b.whoami(bought.Token); status != http.StatusOK || len(who) != 1 || who[0] != ann.name {
		t.Errorf("whoami: %d %q", status, who)
	}
	if response := b.fetch("", "/api/v1/spaces", &struct{}{}, "Authorization", "Bearer "+bought.Token); response.StatusCode != http.StatusOK {
		t.Errorf("spaces: %d", response.StatusCode)
	}
	// It counts at this server, for five minutes, as it was given.
	if status, code, _ := elsewhere.whoami(bought.Token); status != http.StatusUnauthorized || code != "bad_credentials" {
		t.Errorf("elsewhere: %d %s", status, code)
	}
	content, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(bought.Token, "skerry."))
	if err != nil {
		t.Fatal(err)
	}
	for i := range content {
		changed := bytes.Clone(content)
		changed[i] ^= 1
		if status, _, _ := b.whoami("skerry." + base64.RawURLEncoding.EncodeToString(changed)); status != http.StatusUnauthorized {
			t.Fatalf("with byte %d changed: %d", i, status)
		}
	}
	b.pass(299 * time.Second)
	if status, _, _ := b.whoami(bought.Token); status != http.StatusOK {
		t.Errorf("after 299 seconds: %d", status)
	}
	b.pass(time.Second)
	if status, code, _ := b.whoami(bought.Token); status != http.StatusUnauthorized || code != "auth_expired" {
		t.Errorf("after five minutes: %d %s", status, code)
	}
	if status, code, _ := b.whoami(""); status != http.StatusUnauthorized || code != "auth_required" {
		t.Errorf("without: %d %s", status, code)
	}

	// Proofs that buy nothing.
	used := ann.offer(t, b.challenge(), host)
	if status, _ := b.buy(used); status != http.StatusOK {
		t.Fatal(status)
	}
	late := ann.offer(t, b.challenge(), host)
	ofEve := eve.offer(t, b.challenge(), host)
	ofEve["identity"] = ann.name
	foreign := b.challenge()
	foreign.Nonce = elsewhere.challenge().Nonce
	otherServer := b.challenge()
	otherServer.Server = elsewhere.challenge().Server
	chosen := b.challenge()
	chosen.Nonce = strings.Repeat("00", 32)
	for name, c := range map[string]struct {
		offer map[string]string
		code  string
	}{
		"used":                {used, "bad_credentials"},
		"another's":           {ofEve, "bad_credentials"},
		"another host's":      {ann.offer(t, b.challenge(), "evil.test"), "bad_credentials"},
		"for another server":  {ann.offer(t, otherServer, host), "bad_credentials"},
		"another nonce":       {ann.offer(t, foreign, host), "bad_credentials"},
		"a nonce of its own":  {ann.offer(t, chosen, host), "bad_credentials"},
		"a token of nobody":   {map[string]string{"identity": "a#b", "token": "x.y.z"}, "bad_credentials"},
		"nothing":             {map[string]string{"identity": ann.name}, "bad_argument"},
		"both":                {map[string]string{"identity": ann.name, "token": "x", "proof": "x"}, "bad_argument"},
		"a nonce too short":   {map[string]string{"identity": ann.name, "nonce": "00", "proof": "x"}, "bad_argument"},
		"a body without end":  {map[string]string{"identity": ann.name, "token": strings.Repeat("x", 40<<10)}, "too_large"},
		"late, a minute":      {late, "bad_credentials"},
		"of a key that is no": {map[string]string{"identity": identity.Prefix + "zebra", "nonce": b.challenge().Nonce, "proof": "AAAA"}, "bad_credentials"},
	} {
		if strings.HasPrefix(name, "late") {
			b.pass(time.Minute)
		}
		if status, answer := b.buy(c.offer); status < 400 || answer.Code != c.code {
			t.Errorf("%s: %d %s, want %s", name, status, answer.Code, c.code)
		}
		if strings.HasPrefix(name, "late") {
			b.pass(-time.Minute)
		}
	}
}

// TestLogoutOverHTTP: a token that was logged out counts no more, and the streams that it opened end, not those of another token of the
// same identity.
func TestLogoutOverHTTP(t *testing.T) {
	b := newBuyer(t)
	ann := newKey(t)
	p, c := b.connect()
	p.send(ann.hello(c, host))
	if _, ok := p.receive().(*wire.Welcome); !ok {
		t.Fatal("no welcome")
	}
	p.identity = ann.name
	g := p.genesis()
	id := g.ID()
	if v := p.pushed(wire.Push{Space: id, Genesis: g, GenesisSignature: ed25519.Sign(ann.secret, space.GenesisMessage(id))}).Genesis; v.Kind != wire.Accepted {
		t.Fatalf("a genesis: %+v", v)
	}
	buy := func() string {
		status, bought := b.buy(ann.offer(t, b.challenge(), host))
		if status != http.StatusOK {
			t.Fatal(status)
		}
		return bought.Token
	}
	logout := func(header ...string) (int, string) {
		var answer struct{ Code string }
		request, err := http.NewRequest(http.MethodPost, "http://"+host+"/api/v1/logout", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			request.Header.Set(header[i], header[i+1])
		}
		response, err := b.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		json.NewDecoder(response.Body).Decode(&answer)
		return response.StatusCode, answer.Code
	}
	first, second := buy(), buy()
	mine, _ := b.stream("", eventsPath(id), "Authorization", "Bearer "+first)
	others, _ := b.stream("", eventsPath(id), "Authorization", "Bearer "+second)
	mine.expect("caught_up")
	others.expect("caught_up")
	bare := strings.TrimPrefix(first, "skerry.")
	if status, code := logout("Authorization", "Bearer "+bare); bare == first || status != http.StatusUnauthorized {
		t.Errorf("logout by another form of the token: %d %s", status, code)
	}
	if status, code := logout("Authorization", "Bearer "+first); status != http.StatusNoContent {
		t.Fatalf("logout: %d %s", status, code)
	}
	stuck := time.AfterFunc(10*time.Second, func() { mine.body.Close() })
	defer stuck.Stop()
	if kind, data, err := mine.next(); err != nil || kind != "ended" || !strings.Contains(data, `"auth_required"`) {
		t.Errorf("the stream went on with %s %s: %v", kind, data, err)
	}
	for what, ask := range map[string]func() (int, string){
		"whoami": func() (int, string) { status, code, _ := b.whoami(first); return status, code },
		"again":  func() (int, string) { return logout("Authorization", "Bearer "+first) },
		"nobody": func() (int, string) { return logout() },
	} {
		if status, code := ask(); status != http.StatusUnauthorized || code != "auth_required" {
			t.Errorf("%s: %d %s", what, status, code)
		}
	}
	if status, _, _ := b.whoami(second); status != http.StatusOK {
		t.Errorf("the other token: %d", status)
	}
	p.append(id, p.transaction(1))
	if e := others.record(); e.Seq != 1 {
		t.Errorf("the other stream went on with %+v", e)
	}
	others.body.Close()
	mine.body.Close()
	log := b.log
	b.pass(time.Minute)
	b.stop()
	b.begin(log)
	if status, code, _ := b.whoami(first); code != "auth_required" {
		t.Errorf("after a restart: %d %s", status, code)
	}
	if status, _, _ := b.whoami(second); status != http.StatusOK {
		t.Errorf("the other token after a restart: %d", status)
	}
	b.pass(5 * time.Minute)
	for _, token := range []string{first, second} {
		if _, code, _ := b.whoami(token); code == "" {
			t.Error("a token counts after five minutes")
		}
	}
	b.stop()
	b.begin(log)
	if rows, err := log.Scan(t.Context(), "logout/", "", 10); err != nil || len(rows) != 0 {
		t.Errorf("of tokens that have ended it is kept that they were logged out: %v %v", rows, err)
	}
}
