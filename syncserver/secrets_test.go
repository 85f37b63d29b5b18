package syncserver_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"skerry/shared/hub"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/auth"
	"skerry/syncserver/memlog"
)

// written is a log that many write to.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

// TestSecretsAreNotLogged: whatever clients offer to prove who they are, good or bad, where it belongs or not, a log that tells everything
// does not have it, nor do metrics, nor the answers.
func TestSecretsAreNotLogged(t *testing.T) {
	const secret = "s3cr3t-0f-somebody"
	var told written
	log := memlog.New()
	r := start(t, log, func(c *syncserver.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&told, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Auth, _ = auth.New(auth.Config{Anonymous: true, Logger: c.Logger})
		c.Authenticate = func(_ context.Context, token string) ([]hub.Proven, error) {
			if strings.HasSuffix(token, "bad") {
				return nil, wire.Errorf(wire.CodeBadCredentials, "no such token")
			}
			return []hub.Proven{{Identity: "ann"}}, nil
		}
	})
	var answers strings.Builder
	ask := func(path string, header ...string) {
		request, err := http.NewRequest(http.MethodGet, "http://skerry.test"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			request.Header.Set(header[i], header[i+1])
		}
		response, err := r.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		io.Copy(&answers, response.Body)
	}
	for _, route := range r.server.Routes() {
		_, path, ok := strings.Cut(route, " ")
		if !ok {
			path = route
		}
		path = strings.ReplaceAll(path, "{space}", strings.Repeat("0", 64))
		for _, header := range []string{"Bearer " + secret, "Bearer " + secret + "bad", "Basic " + secret, secret} {
			ask(path, "Authorization", header)
		}
		ask(path, "Sec-WebSocket-Protocol", "skerry.v1, "+secret, "Connection", "Upgrade", "Upgrade", "websocket")
		ask(path, "Cookie", secret)
	}
	for _, identity := range []string{"https://issuer.test#ann", "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", "did:key:nonsense", "ann"} {
		p, _ := r.connect()
		h := hello()
		h.Proofs = []wire.Proof{{Identity: identity, Proof: []byte(secret)}}
		p.send(h)
		failure := await[*wire.Error](p)
		if failure.Code != wire.CodeBadCredentials {
			t.Errorf("%s: %+v", identity, failure)
		}
		answers.WriteString(failure.Reason)
	}
	ask("/metrics")
	r.stop()
	if !strings.Contains(told.text.String(), "refused proofs") || answers.Len() < 1000 {
		t.Fatalf("little was told: %s", told.text.String())
	}
	for where, text := range map[string]string{"log": told.text.String(), "answers": answers.String()} {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("the %s: …%s…", where, text[max(0, at-200):min(len(text), at+100)])
		}
	}
}
