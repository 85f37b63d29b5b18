package syncserver_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"skerry/shared/module/moduletest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// startUnset starts a server that waits for its administrator.
func startUnset(t *testing.T, log syncserver.Log, configure ...func(*syncserver.Config)) *rig {
	return start(t, log, append([]func(*syncserver.Config){runsModules(t, log, nil), tokens, func(c *syncserver.Config) {
		c.RequireSetup = true
		c.Web = fstest.MapFS{"index.html": {Data: []byte("<html>")}}
	}}, configure...)...)
}

// ask makes a request from an address, under a host.
func (r *rig) ask(method, host, path, from, body string, header ...string) (int, string, http.Header) {
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.Host, request.RemoteAddr = host, from
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	r.server.ServeHTTP(recorder, request)
	return recorder.Code, recorder.Body.String(), recorder.Header()
}

const (
	elsewhere = "198.51.100.1:1234"
	thisHost  = "127.0.0.1:4321"
)

func (r *rig) setUp(token, identity string) int {
	body, _ := json.Marshal(map[string]string{"token": token, "identity": identity})
	code, _, _ := r.ask("POST", "skerry.test", "/api/v1/setup", elsewhere, string(body))
	return code
}

// TestSetupRequired walks the route table before there is an administrator, and after.
func TestSetupRequired(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		log := open()
		r := startUnset(t, log)
		free := map[string]bool{"GET /healthz": true, "GET /readyz": true, "/": true, "/setup": true, "/api/v1/setup": true}
		walk := func(required bool) {
			t.Helper()
			walked := 0
			for _, route := range r.server.Routes() {
				_, path, ok := strings.Cut(route, " ")
				if !ok {
					path = route
				}
				path = strings.ReplaceAll(path, "{space}", strings.Repeat("0", 64))
				code, body, header := r.ask("GET", "skerry.test", path, elsewhere, "")
				held := code == 503 && strings.Contains(body, `"setup_required"`) && header.Get("Retry-After") != ""
				if held != (required && !free[route]) {
					t.Errorf("%s: %d %s", route, code, body)
				}
				walked++
			}
			if walked < 10 {
				t.Fatalf("%d routes", walked)
			}
		}
		walk(true)
		if code, body, _ := r.ask("GET", "skerry.test", "/", elsewhere, ""); code != 200 || body != "<html>" {
			t.Errorf("static files: %d %s", code, body)
		}
		if code, body, _ := r.ask("GET", "skerry.test", "/api/v1/setup", elsewhere, ""); code != 200 || body != `{"required":true,"local":false}`+"\n" {
			t.Errorf("%d %s", code, body)
		}
		token := r.server.SetupToken()
		if len(token) < 20 {
			t.Fatalf("the token %q", token)
		}
		for wrong, want := range map[string]int{"": 403, "x": 403, token + "x": 403, token[1:]: 403, strings.ToLower(token): 403} {
			if code := r.setUp(wrong, "ann"); code != want {
				t.Errorf("token %q: %d", wrong, code)
			}
		}
		for name, want := range map[string]int{"": 400, " ": 400, strings.Repeat("x", 257): 400} {
			if code := r.setUp(token, name); code != want {
				t.Errorf("identity %.10q: %d", name, code)
			}
		}
		for body, want := range map[string]int{"": 400, "{": 400, `{"token":1}`: 400, strings.Repeat(" ", 4097): 413} {
			if code, _, _ := r.ask("POST", "skerry.test", "/api/v1/setup", elsewhere, body); code != want {
				t.Errorf("%.10q: %d", body, code)
			}
		}
		walk(true)
		if code := r.setUp(token, "ann"); code != 200 {
			t.Fatalf("setting up: %d", code)
		}
		walk(false)
		if code := r.setUp(token, "bob"); code != 409 {
			t.Errorf("a second setup: %d", code)
		}
		if token := r.server.SetupToken(); token != "" {
			t.Error("there is a token still")
		}
		r.stop()
		log = open()
		r = startUnset(t, log)
		walk(false)
		if code := r.setUp(token, "bob"); code != 409 {
			t.Errorf("a second setup after a restart: %d", code)
		}
	})
}

// TestOneSetupWins: of many at once one names the administrator, and the others are told so.
func TestOneSetupWins(t *testing.T) {
	r := startUnset(t, memlog.New())
	token := r.server.SetupToken()
	codes := make([]int, 32)
	var all sync.WaitGroup
	for i := range codes {
		all.Go(func() { codes[i] = r.setUp(token, "ann"+strings.Repeat("n", i)) })
	}
	all.Wait()
	won := 0
	for i, code := range codes {
		if code == 200 {
			won++
		} else if code != 409 {
			t.Errorf("%d: %d", i, code)
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

// TestLocalSetup: without a token only where that is configured, from this machine in every respect.
func TestLocalSetup(t *testing.T) {
	const by = `{"identity":"ann"}`
	for _, test := range []struct {
		what       string
		configured bool
		host, from string
		header     []string
		want       int
	}{
		{"not configured", false, "127.0.0.1:8080", thisHost, nil, 403},
		{"from elsewhere", true, "127.0.0.1:8080", elsewhere, nil, 403},
		{"by a proxy", true, "127.0.0.1:8080", thisHost, []string{"X-Forwarded-For", "198.51.100.1"}, 403},
		{"by another proxy", true, "127.0.0.1:8080", thisHost, []string{"Forwarded", "for=198.51.100.1"}, 403},
		{"under a name that leads here", true, "evil.test:8080", thisHost, []string{"Origin", "http://evil.test:8080"}, 403},
		{"under a name like it", true, "localhost.evil.test", thisHost, nil, 403},
		{"by a page of another site", true, "127.0.0.1:8080", thisHost, []string{"Origin", "http://evil.test"}, 403},
		{"by name", true, "localhost:8080", thisHost, []string{"Origin", "http://localhost:8080"}, 200},
		{"by address", true, "127.0.0.1", "[::1]:99", nil, 200},
		{"by the other address", true, "[::1]:8080", thisHost, nil, 200},
	} {
		r := startUnset(t, memlog.New(), func(c *syncserver.Config) { c.LocalSetup = test.configured })
		code, body, _ := r.ask("POST", test.host, "/api/v1/setup", test.from, by, test.header...)
		if code != test.want {
			t.Errorf("%s: %d %s", test.what, code, body)
		}
		r.stop()
	}
	r := startUnset(t, memlog.New(), func(c *syncserver.Config) { c.LocalSetup = true })
	if _, body, _ := r.ask("GET", "localhost", "/api/v1/setup", thisHost, ""); body != `{"required":true,"local":true}`+"\n" {
		t.Error(body)
	}
}

// TestSetupPage: the link leads to a page without scripts on which the administrator is named, once.
func TestSetupPage(t *testing.T) {
	r := startUnset(t, memlog.New())
	token := r.server.SetupToken()
	form := func(token, identity string) (int, string) {
		body := url.Values{"token": {token}, "identity": {identity}}.Encode()
		code, text, _ := r.ask("POST", "skerry.test", "/setup", elsewhere, body, "Content-Type", "application/x-www-form-urlencoded", "Origin", "http://skerry.test")
		return code, text
	}
	code, text, header := r.ask("GET", "skerry.test", "/setup?token="+token, elsewhere, "")
	if code != 200 || !strings.Contains(text, `value="`+token+`"`) || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d %v %s", code, header, text)
	}
	if _, text, _ := r.ask("GET", "skerry.test", `/setup?token="><script>x</script>`, elsewhere, ""); strings.Contains(text, "<script") {
		t.Error(text)
	}
	if code, text := form("x", "ann"); code != 403 || !strings.Contains(text, `role="alert"`) {
		t.Errorf("a wrong token: %d %s", code, text)
	}
	if code, _, _ := r.ask("POST", "skerry.test", "/setup", elsewhere, "token="+token+"&identity=eve", "Content-Type", "application/x-www-form-urlencoded", "Origin", "http://evil.test"); code != 403 {
		t.Errorf("of another origin: %d", code)
	}
	if code, text := form(token, " ann<b> "); code != 200 || !strings.Contains(text, "ann&lt;b&gt; is the administrator") {
		t.Errorf("%d %s", code, text)
	}
	if code, text := form(token, "bob"); code != 409 || strings.Contains(text, "<form") {
		t.Errorf("again: %d %s", code, text)
	}
}

// TestSetupOverTheSocket: who pushes before there is an administrator is told to wait, keeps their order, and is served by the same
// connection afterwards.
func TestSetupOverTheSocket(t *testing.T) {
	log := memlog.New()
	r := startUnset(t, log)
	alice := r.dial("alice")
	g := alice.genesis()
	id := g.ID()
	tx := alice.transaction(1)
	answer := alice.pushed(wire.Push{Space: id, Genesis: g, Transactions: []space.Transaction{tx}})
	for _, v := range []wire.Verdict{*answer.Genesis, answer.Verdicts[0]} {
		if v.Kind != wire.Deferred || v.Code != wire.CodeSetupRequired || v.RetryAfterMS == 0 {
			t.Errorf("%+v", v)
		}
	}
	if _, _, err := log.Genesis(t.Context(), id); err == nil {
		t.Error("the space is there")
	}
	if code := r.setUp(r.server.SetupToken(), "ann"); code != 200 {
		t.Fatal(code)
	}
	answer = alice.pushed(wire.Push{Space: id, Resume: true, Genesis: g, Transactions: []space.Transaction{tx}})
	if answer.Genesis.Kind != wire.Accepted || answer.Verdicts[0].Kind != wire.Accepted {
		t.Errorf("%+v %+v", answer.Genesis, answer.Verdicts[0])
	}
}

// TestSetupTokenIsSecret: nothing tells the token but the one who asks the server for it.
func TestSetupTokenIsSecret(t *testing.T) {
	var told bytes.Buffer
	r := startUnset(t, memlog.New(), func(c *syncserver.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&told, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	token := r.server.SetupToken()
	for _, route := range r.server.Routes() {
		_, path, ok := strings.Cut(route, " ")
		if !ok {
			path = route
		}
		if _, body, header := r.ask("GET", "skerry.test", path, elsewhere, ""); strings.Contains(body, token) || strings.Contains(strings.Join(header.Values("Set-Cookie"), ""), token) {
			t.Errorf("%s tells the token", path)
		}
	}
	r.setUp(token+"x", "ann")
	r.setUp(token, "ann")
	r.stop()
	if strings.Contains(told.String(), token) || !strings.Contains(told.String(), "set up") {
		t.Errorf("the log:\n%s", told.String())
	}
}

// TestPolicyWithoutAdministrators: where the policy knows of none, nobody is waited for.
func TestPolicyWithoutAdministrators(t *testing.T) {
	log := memlog.New()
	policy := upload(t, log, moduletest.Policy())
	r := startUnset(t, log, func(c *syncserver.Config) { c.Policy = policy })
	if code, body, _ := r.ask("GET", "skerry.test", "/api/v1/version", elsewhere, ""); code != 200 || r.server.SetupToken() != "" {
		t.Errorf("%d %s", code, body)
	}
}
