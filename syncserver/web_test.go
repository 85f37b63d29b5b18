package syncserver_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

func get(t testing.TB, h http.Handler, path string, header ...string) *http.Response {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	return recorder.Result()
}

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWeb(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	file := func(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content), ModTime: at} }
	server, err := syncserver.New(syncserver.Config{Log: memlog.New(), Web: fstest.MapFS{
		"index.html": file("<html>"), "sub/index.html": file("<sub>"), "client.wasm": file("\x00asm plain"),
		"client.wasm.br": file("brotli"), "client.wasm.gz": file("gzip"), "app-3F2A9C1D.js": file("app"),
		"worker-0123abcd.js": file("worker"), "a/854479f6dd3612307cb1.js": file("webpack"), "sw.js": file("sw"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, test := range []struct{ path, accept, body, kind, cache, encoding string }{
		{"/", "", "<html>", "text/html; charset=utf-8", "no-cache", ""},
		{"/sub/", "", "<sub>", "text/html; charset=utf-8", "no-cache", ""},
		{"/client.wasm", "", "\x00asm plain", "application/wasm", "no-cache", ""},
		{"/client.wasm", "gzip, deflate, br", "brotli", "application/wasm", "no-cache", "br"},
		{"/client.wasm", "gzip;q=0.8, br;q=0", "gzip", "application/wasm", "no-cache", "gzip"},
		{"/app-3F2A9C1D.js", "br", "app", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", ""},
		{"/a/854479f6dd3612307cb1.js", "", "webpack", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", ""},
		{"/worker-0123abcd.js", "", "worker", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", ""},
	} {
		r := get(t, server, test.path, "Accept-Encoding", test.accept)
		if got := body(t, r); r.StatusCode != 200 || got != test.body || r.Header.Get("Content-Type") != test.kind ||
			r.Header.Get("Cache-Control") != test.cache || r.Header.Get("Content-Encoding") != test.encoding {
			t.Errorf("%s (%s): %d %q %v", test.path, test.accept, r.StatusCode, got, r.Header)
		}
		if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self' 'wasm-unsafe-eval'") || strings.Contains(csp, "'unsafe-") {
			t.Errorf("%s: %s", test.path, csp)
		}
		want := [2]string{"*", "cross-origin"}
		if strings.HasPrefix(test.kind, "text/html") {
			want = [2]string{"", "same-origin"}
		}
		if got := [2]string{r.Header.Get("Access-Control-Allow-Origin"), r.Header.Get("Cross-Origin-Resource-Policy")}; got != want {
			t.Errorf("%s: other origins: %q, want %q", test.path, got, want)
		}
		if r := get(t, server, test.path, "Accept-Encoding", test.accept, "If-None-Match", r.Header.Get("ETag")); r.StatusCode != http.StatusNotModified {
			t.Errorf("%s: not cached: %d", test.path, r.StatusCode)
		}
	}
	if r := get(t, server, "/sw.js", "Service-Worker", "script"); r.Header.Get("Service-Worker-Allowed") != "/" {
		t.Error("a service worker is not allowed everywhere")
	}
	for _, path := range []string{"/nothing", "/../server.go", "/sub", "/client.wasm/"} {
		if r := get(t, server, path); r.StatusCode == 200 {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
	recorder := httptest.NewRecorder()
	server.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/", nil))
	if recorder.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", recorder.Code)
	}
}

func TestHealth(t *testing.T) {
	r := start(t, memlog.New())
	alice := r.dial("alice")
	id := alice.create()
	tx := alice.transaction(3)
	alice.append(id, tx)
	alice.verdict(id, tx)
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		if response := get(t, r.server, path); response.StatusCode != 200 || body(t, response) != want {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
	metrics := body(t, get(t, r.server, "/metrics"))
	for _, line := range []string{
		"skerry_connections 1", "skerry_records_accepted_total 3", "skerry_transactions_duplicate_total 1",
		"skerry_spaces_created_total 1", "skerry_append_records_sum 3", "skerry_spaces_hot 1", "go_goroutines ",
	} {
		if !strings.Contains(metrics, "\n"+line) {
			t.Errorf("/metrics lacks %q", line)
		}
	}
	if strings.Contains(metrics, "alice") || strings.Contains(metrics, id.String()) {
		t.Error("/metrics tells of identities or spaces")
	}
}

// TestAddresses shows whose rate limit a client behind proxies counts for.
func TestAddresses(t *testing.T) {
	for _, test := range []struct{ remote, forwarded, proxies, want string }{
		{"192.0.2.7:99", "", "", "192.0.2.7"},
		{"192.0.2.7:99", "198.51.100.1", "", "192.0.2.7"}, // anybody can say so
		{"192.0.2.7:99", "203.0.113.9, 198.51.100.1", "192.0.2.0/24", "198.51.100.1"},
		{"192.0.2.7:99", "203.0.113.9, 192.0.2.8", "192.0.2.0/24", "203.0.113.9"},
		{"192.0.2.7:99", "garbage", "192.0.2.0/24", "192.0.2.7"},
		{"[2001:db8:1:2:3:4:5:6]:99", "", "", "2001:db8:1:2::/64"},
		{"[::ffff:192.0.2.7]:99", "", "", "192.0.2.7"},
		{"@", "", "", "@"},
	} {
		config := syncserver.Config{Log: memlog.New()}
		if test.proxies != "" {
			config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(test.proxies)}
		}
		server, err := syncserver.New(config)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/sync", nil)
		r.RemoteAddr = test.remote
		if test.forwarded != "" {
			r.Header.Set("X-Forwarded-For", test.forwarded)
		}
		if got := server.AddressOf(r); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
		server.Close()
	}
}
