// Package tracetest is a collector of OpenTelemetry's traces for tests: an HTTP server that takes OTLP and keeps what it was sent.
//
// [New] starts one, which the test's end stops. Stable: nothing; it is for the tests of this tree.
package tracetest

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector keeps spans. It is safe for concurrent use.
type Collector struct {
	URL string

	t       testing.TB
	mu      sync.Mutex
	spans   []*trace.Span
	about   map[string]string // of the resource that sent them
	headers http.Header
	raw     []byte
}

// New starts a collector.
func New(t testing.TB) *Collector {
	c := &Collector{t: t}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// ServeHTTP implements [http.Handler].
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			c.t.Errorf("gzip: %v", err)
			return
		}
		body = unpacked
	}
	content, err := io.ReadAll(body)
	var sent collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(content, &sent)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		c.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers, c.raw = r.Header, append(c.raw, content...)
	for _, of := range sent.ResourceSpans {
		c.about = Texts(of.Resource.Attributes)
		for _, scope := range of.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// Named returns the spans with a name that came so far.
func (c *Collector) Named(name string) (found []*trace.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, span := range c.spans {
		if span.Name == name {
			found = append(found, span)
		}
	}
	return found
}

// Sent returns what was sent last of all: who sent it, with what headers; and all bytes so far.
func (c *Collector) Sent() (about map[string]string, headers http.Header, raw []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.about, c.headers, c.raw
}

// Texts returns attributes as text.
func Texts(attributes []*common.KeyValue) map[string]string {
	texts := map[string]string{}
	for _, a := range attributes {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			texts[a.Key] = v.StringValue
		default:
			texts[a.Key] = a.Value.String()
		}
	}
	return texts
}
