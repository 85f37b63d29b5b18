package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"skerry/syncserver"
	"skerry/syncserver/memlog"
	"skerry/syncserver/tracetest"
)

// asked starts a server with what the environment says of traces, asks it n times whether it lives, and stops.
func asked(t *testing.T, n int) (took time.Duration) {
	t.Helper()
	provider, flush, err := traces(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	config := syncserver.Config{Log: memlog.New()}
	if provider != nil {
		config.Traces = provider
	}
	server, err := syncserver.New(config)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	began := time.Now()
	for range n {
		answer := httptest.NewRecorder()
		if server.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/healthz", nil)); answer.Code != 200 {
			t.Fatal(answer.Code)
		}
		if took = time.Since(began); took > 8*time.Second {
			t.Fatalf("requests take %v", took)
		}
	}
	flush()
	return took
}

// TestTracesByTheEnvironment: the standard variables say where traces go, with what headers, under what name and how many, or that there are none.
func TestTracesByTheEnvironment(t *testing.T) {
	collector := tracetest.New(t)
	count := func() int { return len(collector.Named("HTTP GET /healthz")) }
	asked(t, 3)
	if count() != 0 {
		t.Error("nothing was asked for")
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=abc")
	asked(t, 3)
	about, headers, _ := collector.Sent()
	if count() != 3 || about["service.name"] != "skerry" || headers.Get("X-Key") != "abc" {
		t.Errorf("%d spans of %v with %v", count(), about, headers)
	}
	t.Setenv("OTEL_SERVICE_NAME", "harbour")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
	asked(t, 1)
	if about, _, _ := collector.Sent(); count() != 4 || about["service.name"] != "harbour" || about["deployment.environment"] != "test" {
		t.Errorf("%d spans of %v", count(), about)
	}
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	asked(t, 5)
	if count() != 4 {
		t.Errorf("%d spans, though none are to be taken", count())
	}
	t.Setenv("OTEL_TRACES_SAMPLER", "")
	t.Setenv("OTEL_SDK_DISABLED", "true")
	asked(t, 5)
	if count() != 4 {
		t.Errorf("%d spans, though traces are off", count())
	}
	t.Setenv("OTEL_SDK_DISABLED", "")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.URL+"/v1/traces")
	asked(t, 2)
	if count() != 6 {
		t.Errorf("%d spans where the one for traces counts", count())
	}
}

// TestTracesWithoutACollector: nobody waits for a collector that hangs, and the server stops all the same.
func TestTracesWithoutACollector(t *testing.T) {
	hangs := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hangs }))
	defer hung.Close()
	defer close(hangs)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", hung.URL)
	began := time.Now()
	took := asked(t, 20_000) // many times what the queue holds
	if all := time.Since(began) - took; all > 2*flushTime+5*time.Second {
		t.Errorf("20,000 requests took %v, and the end %v", took, all)
	}
}
