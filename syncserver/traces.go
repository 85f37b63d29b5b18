package syncserver

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"skerry/shared/space"
	"skerry/shared/wire"
)

// Spans say what was done, how long it took and what came of it, and by the IDs of spaces to what. They never carry what anybody wrote, who
// wrote it, a path that somebody asked for, or credentials.

const tracerName = "skerry/syncserver"

// tracer makes spans. The zero value makes none, and costs nothing.
type tracer struct{ of trace.Tracer }

func newTracer(provider trace.TracerProvider) tracer {
	if provider == nil {
		return tracer{}
	}
	return tracer{provider.Tracer(tracerName)}
}

func (t tracer) on() bool { return t.of != nil }

// start begins a span. Whoever calls it ends it.
func (t tracer) start(ctx context.Context, name string, kind trace.SpanKind, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	if t.of == nil {
		return ctx, noop.Span{}
	}
	return t.of.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
}

// about begins a span of something that the server does with a space.
func (t tracer) about(ctx context.Context, name string, id space.ID) (context.Context, trace.Span) {
	if t.of == nil {
		return ctx, noop.Span{}
	}
	return t.start(ctx, name, trace.SpanKindInternal, attribute.String("skerry.space", id.String()))
}

// endSpan ends a span of something that an error may have come of. Its text may hold anything, so only its code is told.
func endSpan(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, wire.CodeOf(err).String())
	}
	span.End()
}

// traced has requests over plain HTTP make spans, named by their routes; a socket has spans of its own.
func (s *Server) traced(handler http.Handler) http.Handler {
	if !s.tracer.on() {
		return handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, route := s.mux.Handler(r)
		if route == "/sync" {
			handler.ServeHTTP(w, r)
			return
		}
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := s.tracer.start(ctx, "HTTP "+route, trace.SpanKindServer, attribute.String("http.route", route))
		defer span.End()
		answer := &answered{ResponseWriter: w, status: http.StatusOK}
		handler.ServeHTTP(answer, r.WithContext(ctx))
		span.SetAttributes(attribute.Int("http.response.status_code", answer.status))
		if answer.status >= 500 {
			span.SetStatus(codes.Error, "")
		}
	})
}

// answered is an answer that remembers its status.
type answered struct {
	http.ResponseWriter
	status int
}

func (a *answered) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap is for [http.ResponseController].
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// pushKey names a push of a connection.
type pushKey struct {
	space space.ID
	n     uint64
}

// beginPushLocked begins the span of a push, from when it was read.
func (c *connection) beginPushLocked(p *wire.Push) {
	if !c.server.tracer.on() {
		return
	}
	_, span := c.server.tracer.start(context.Background(), "push", trace.SpanKindServer,
		attribute.String("skerry.space", p.Space.String()), attribute.Int("skerry.transactions", len(p.Transactions)), attribute.Bool("skerry.genesis", p.Genesis != nil))
	if c.spans == nil {
		c.spans = map[pushKey]trace.Span{}
	}
	c.spans[pushKey{p.Space, p.N}] = span
}

// endPush ends the span of a push with its verdicts.
func (c *connection) endPush(p *wire.Pushed) {
	if !c.server.tracer.on() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := pushKey{p.Space, p.N}
	span := c.spans[key]
	if span == nil {
		return
	}
	delete(c.spans, key)
	taken, known, refused, code := 0, 0, 0, wire.CodeUnknown
	for _, v := range p.Verdicts {
		switch v.Kind {
		case wire.Accepted:
			taken++
		case wire.Duplicate:
			known++
		default:
			if refused++; code == wire.CodeUnknown {
				code = v.Code
			}
		}
	}
	if v := p.Genesis; v != nil && v.Kind != wire.Accepted && v.Kind != wire.Duplicate {
		code = v.Code
	}
	span.SetAttributes(attribute.Int("skerry.accepted", taken), attribute.Int("skerry.duplicate", known), attribute.Int("skerry.refused", refused))
	if code != wire.CodeUnknown {
		span.SetAttributes(attribute.String("skerry.code", label(code)))
	}
	span.End()
}

// endSpansLocked ends what is left when the connection does.
func (c *connection) endSpansLocked(code wire.Code) {
	c.helloLocked(code)
	for key, span := range c.spans {
		delete(c.spans, key)
		span.SetStatus(codes.Error, "the connection ended before the verdict")
		span.End()
	}
}

// helloLocked ends the span of the handshake.
func (c *connection) helloLocked(code wire.Code) {
	if c.handshake == nil {
		return
	}
	if code != wire.CodeUnknown {
		c.handshake.SetStatus(codes.Error, code.String())
	}
	c.handshake.End()
	c.handshake = nil
}
