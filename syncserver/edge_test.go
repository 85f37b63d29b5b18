package syncserver_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/coder/websocket"

	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// origins are who may connect to skerry.test if *.example.com and the app at https://secure.test may.
var origins = map[string]bool{
	"": true, "http://skerry.test": true, "https://SKERRY.test": true, "https://app.example.com": true, "https://secure.test": true,
	"http://secure.test": false, "https://evil.test": false, "https://example.com.evil.test": false, "https://example.com": false,
	"http://skerry.test.evil.test": false, "http://skerry.test@evil.test": false, "http://skerry.test:8081": false, "null": false,
	"file://": false, "http://%": false,
}

func allowOrigins(c *syncserver.Config) {
	c.AllowedOrigins = []string{"*.example.com", "https://secure.test"}
}

func TestOrigin(t *testing.T) {
	r := start(t, memlog.New(), allowOrigins)
	for origin, want := range origins {
		options := &websocket.DialOptions{HTTPClient: r.client, Subprotocols: []string{wire.Subprotocol}, HTTPHeader: http.Header{}}
		if origin != "" {
			options.HTTPHeader.Set("Origin", origin)
		}
		socket, response, err := websocket.Dial(context.Background(), "ws://skerry.test/sync", options)
		if (err == nil) != want {
			t.Errorf("origin %q: %v", origin, err)
		}
		if err == nil {
			socket.CloseNow()
		} else if response.StatusCode != http.StatusForbidden {
			t.Errorf("origin %q: %d", origin, response.StatusCode)
		}
	}
	if _, err := syncserver.New(syncserver.Config{Log: memlog.New(), AllowedOrigins: []string{"[a"}}); err == nil {
		t.Error("a pattern that matches nothing was taken")
	}
}

// TestRebinding: a page whose name stands for the server's address since it was loaded is not of the server's own host.
func TestRebinding(t *testing.T) {
	r := start(t, memlog.New())
	for host, want := range map[string]int{"skerry.test": 200, "SKERRY.test:80": 200, "192.0.2.1": 200, "evil.test": 403} {
		if response := request(t, r.server, "GET", host, "/api/v1/version", "Origin", "http://"+host); response.StatusCode != want {
			t.Errorf("%s: %d", host, response.StatusCode)
		}
	}
}

// request asks a server that is reached under a host.
func request(t testing.TB, h http.Handler, method, host, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.Host = host
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, r)
	return recorder.Result()
}

// TestSecurityHeaders: every route answers with the headers that keep browsers from mistaking it, also where it refuses, and none of
// them lets a page be framed elsewhere or run a script that lies within it.
func TestSecurityHeaders(t *testing.T) {
	server, err := syncserver.New(syncserver.Config{Log: memlog.New(), Web: fstest.MapFS{"index.html": {Data: []byte("<html>")}}})
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	paths := []string{"/nothing", "/../x", "/%00"}
	for _, route := range server.Routes() {
		_, path, ok := strings.Cut(route, " ")
		if !ok {
			path = route
		}
		paths = append(paths, path)
	}
	if len(paths) < 8 {
		t.Fatalf("%d paths", len(paths))
	}
	for _, path := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "TRACE", "DELETE"} {
			r := request(t, server, method, "skerry.test", path)
			for header, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			} {
				if got := r.Header.Values(header); len(got) != 1 || got[0] != want {
					t.Errorf("%s %s (%d): %s is %q", method, path, r.StatusCode, header, got)
				}
			}
			policy := r.Header.Get("Content-Security-Policy")
			if !strings.Contains(policy, "frame-ancestors '") || strings.Contains(policy, "'unsafe-") || !strings.Contains(policy, "default-src '") {
				t.Errorf("%s %s (%d): policy %q", method, path, r.StatusCode, policy)
			}
		}
	}
}

// TestServerIdentity: the document under the server's name holds the key that the server has on the wire.
func TestServerIdentity(t *testing.T) {
	r := start(t, memlog.New())
	_, challenge := r.connect()
	for host, want := range map[string]string{"skerry.test": "did:web:skerry.test", "Skerry.Test:8443": "did:web:skerry.test%3A8443", "127.0.0.1:80": "did:web:127.0.0.1%3A80"} {
		response := request(t, r.server, "GET", host, "/.well-known/did.json")
		var document struct {
			ID     string
			Method []struct {
				ID, Controller, Type string
				JWK                  struct{ Kty, Crv, X string } `json:"publicKeyJwk"`
			} `json:"verificationMethod"`
			Authentication, AssertionMethod []string
			Service                         []struct{ ServiceEndpoint string }
		}
		if err := json.Unmarshal([]byte(body(t, response)), &document); err != nil || response.StatusCode != 200 {
			t.Fatalf("%s: %d %v", host, response.StatusCode, err)
		}
		if document.ID != want || len(document.Method) != 1 || document.Method[0].Controller != want || !strings.HasPrefix(document.Method[0].ID, want+"#") {
			t.Errorf("%s: %+v", host, document)
			continue
		}
		jwk := document.Method[0].JWK
		key, err := base64.RawURLEncoding.DecodeString(jwk.X)
		if err != nil || jwk.Kty != "OKP" || jwk.Crv != "Ed25519" || !ed25519.PublicKey(key).Equal(ed25519.PublicKey(challenge.Server[:])) {
			t.Errorf("%s: %+v is not the key of the challenge", host, jwk)
		}
		if document.AssertionMethod[0] != document.Method[0].ID || document.Authentication[0] != document.Method[0].ID {
			t.Errorf("%s: %+v", host, document)
		}
		if document.Service[0].ServiceEndpoint != "wss://"+strings.ToLower(host)+"/sync" {
			t.Errorf("%s: %+v", host, document.Service)
		}
		if response.Header.Get("Access-Control-Allow-Origin") != "*" || response.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", host, response.Header)
		}
	}
	for _, host := range []string{"", "a b", "a\"b", "-", "skerry.test:", "skerry.test/x", "x#y", strings.Repeat("a", 300)} {
		if response := request(t, r.server, "GET", host, "/.well-known/did.json"); response.StatusCode != http.StatusBadRequest {
			t.Errorf("host %q: %d", host, response.StatusCode)
		}
	}
}

// TestRoutesAreTold: documents have every route, and no other.
func TestRoutesAreTold(t *testing.T) {
	server, err := syncserver.New(syncserver.Config{Log: memlog.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var told []string
	for _, r := range syncserver.Routes() {
		if r.About == "" {
			t.Errorf("%s: nothing is told of it", r.Pattern)
		}
		told = append(told, r.Pattern)
	}
	slices.Sort(told)
	if has := server.Routes(); !slices.Equal(told, has) {
		t.Errorf("told of:\n%q\nthere:\n%q", told, has)
	}
}

// TestFrontPage: where no files are served, / says what this is, and nothing else is there.
func TestFrontPage(t *testing.T) {
	r := start(t, memlog.New())
	front := request(t, r.server, "GET", "skerry.test", "/")
	if text := body(t, front); front.StatusCode != 200 || !strings.Contains(text, "Skerry server") || !strings.Contains(text, "/sync") || !strings.Contains(text, "--web") {
		t.Errorf("%d %s", front.StatusCode, text)
	}
	if r := request(t, r.server, "GET", "skerry.test", "/index.html"); r.StatusCode != http.StatusNotFound {
		t.Errorf("%d", r.StatusCode)
	}
}
