package syncserver_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
	"skerry/syncserver/tracetest"
)

// TestTraces: a collector is told of handshakes, pushes, appends, requests and deletions, of what came of them and by whose request, and of nothing that
// anybody wrote, of who they are, and of no credentials.
func TestTraces(t *testing.T) {
	collector := tracetest.New(t)
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(collector.URL+"/v1/traces"))
	if err != nil {
		t.Fatal(err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter))
	log := memlog.New()
	r := start(t, log, tokens, runsModules(t, log, nil), func(c *syncserver.Config) { c.Traces = provider })
	const author, secret = "ann the author", "what was written in confidence"
	ann := r.dial(author)
	id := ann.create()
	ann.append(id, privateEvent(author, "note", "text", secret))
	if v := ann.verdict(id, privateEvent(author, "$no")); v.Kind != wire.Rejected {
		t.Fatalf("%+v", v)
	}
	const parent = "0af7651916cd43dd8448eb211c80319c"
	r.open(author, eventsPath(id), "traceparent", "00-"+parent+"-b7ad6b7169203331-01").Body.Close()
	r.open("", "/api/v1/names/"+"harbour").Body.Close()
	if v := ann.verdict(id, deletes(author)); v.Kind != wire.Accepted {
		t.Fatalf("%+v", v)
	}
	r.refused(hello("x\x00"), wire.CodeBadCredentials, "")
	r.stop()
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}

	pushes := collector.Named("push")
	codes := map[string]int{}
	for _, span := range pushes {
		texts := tracetest.Texts(span.Attributes)
		codes[texts["skerry.code"]]++
		if texts["skerry.space"] != id.String() || span.EndTimeUnixNano < span.StartTimeUnixNano {
			t.Errorf("%v", span)
		}
	}
	if len(pushes) != 4 || codes[""] != 3 || codes["reserved_type"] != 1 {
		t.Errorf("pushes: %v", codes)
	}
	ours := 0
	for _, span := range collector.Named("append") { // beside those of the system space
		if tracetest.Texts(span.Attributes)["skerry.space"] == id.String() {
			ours++
		}
	}
	if ours != 2 {
		t.Errorf("%d appends", ours)
	}
	if n := len(collector.Named("handshake")); n != 2 {
		t.Errorf("%d handshakes", n)
	}
	requests := collector.Named("HTTP /api/v1/spaces/{space}/events")
	if len(requests) != 1 || hex.EncodeToString(requests[0].TraceId) != parent || tracetest.Texts(requests[0].Attributes)["http.route"] == "" {
		t.Errorf("requests: %v", requests)
	}
	if len(collector.Named("HTTP /api/v1/names/{name}")) != 1 || len(collector.Named("HTTP /sync")) != 0 {
		t.Error("the other requests")
	}
	_, _, raw := collector.Sent()
	for _, secret := range []string{author, secret, "token of", "harbour"} {
		if bytes.Contains(raw, []byte(secret)) {
			t.Errorf("traces tell %q", secret)
		}
	}
}

// BenchmarkWithoutTraces is what a push costs where there are none: nothing is allocated for them.
func BenchmarkWithoutTraces(b *testing.B) {
	r := start(b, memlog.New())
	ann := r.dial("ann")
	id := ann.create()
	b.ReportAllocs()
	for b.Loop() {
		ann.append(id, ann.transaction(1))
	}
}
