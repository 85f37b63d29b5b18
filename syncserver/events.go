package syncserver

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// How much one answer of a range holds, in records and in bytes of JSON; it has one transaction at least.
const (
	rangeRecords    = 100
	maxRangeRecords = 1000
	rangeBytes      = 1 << 20
)

// recheck is how often it is looked again at who follows a space: by their token, and by the policy.
const recheck = time.Minute

// recordJSON is a record as the API tells of it. Position is where a transaction ends, on its last record alone.
type recordJSON struct {
	Space      named           `json:"space"`
	Sender     named           `json:"sender"`
	Seq        uint64          `json:"seq"`
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	Schema     string          `json:"schema,omitempty"`
	Index      uint32          `json:"index"`
	Count      uint32          `json:"count"`
	ReceivedAt uint64          `json:"received_at"`
	Position   string          `json:"position,omitempty"`
	Payload    json.RawMessage `json:"payload"`
}

// serveEvents answers the events of a space behind a position: as one JSON value, or as an event stream that goes on.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	reader, limit, err := s.readerOf(r)
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		s.streamEvents(w, r, reader)
		return
	}
	s.rangeEvents(w, r, reader, limit)
}

// readerOf returns who asks for what: Last-Event-ID, which browsers send, says where to go on, else the parameter after.
func (s *Server) readerOf(r *http.Request) (_ *reader, limit int, err error) {
	in := &reader{address: s.addressOf(r)}
	if in.caller, err = s.callerOf(r); err != nil {
		return nil, 0, err
	}
	if in.space, err = spaceOf(r); err != nil {
		return nil, 0, err
	}
	in.after = space.Start(in.space)
	after := r.Header.Get("Last-Event-ID")
	if after == "" {
		after = r.FormValue("after")
	}
	if after == "" {
		if err := s.beginKept(r.Context(), in); err != nil {
			return nil, 0, err
		}
	}
	if after != "" {
		if in.after, err = decodePosition(after); err != nil {
			return nil, 0, wire.Errorf(wire.CodeBadArgument, "%v", err)
		}
	}
	limit = rangeRecords
	if text := r.FormValue("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxRangeRecords {
			return nil, 0, wire.Errorf(wire.CodeBadArgument, "limit is a number from 1 to %d", maxRangeRecords)
		}
	}
	return in, limit, nil
}

// beginKept has a reader who names no position begin with what has not expired.
func (s *Server) beginKept(ctx context.Context, in *reader) error {
	gone, err := s.log.Expired(ctx, in.space)
	if err != nil || gone == 0 {
		return ignoreGone(err) // the subscription says it
	}
	in.after.Seq = gone
	if in.after.Chain, err = hub.ProvenAt(s.source(ctx, in.space), in.space, gone); err == nil {
		in.after.Seal = s.seal(in.space, gone, in.after.Chain)
	}
	return ignoreGone(err)
}

// teller makes of the frames of a subscription what the API tells, and knows where it stands.
type teller struct {
	server *Server
	ctx    context.Context
	space  named // as it is called now
	reader *reader
	chain  digest.Digest
	at     space.Position
}

// transactions calls tell with the records of each transaction of a message, until it returns false: it did not take that one. The
// position is behind the last that it took.
func (t *teller) transactions(events *wire.Events, tell func(records []recordJSON) bool) bool {
	first := 0
	t.space = t.server.nameSpace(t.ctx, t.reader.space)
	for i := range events.Records {
		r := &events.Records[i]
		t.chain = space.Fold(t.chain, events.Records[i:i+1])
		if !r.Last() {
			continue
		}
		before := t.at
		t.at = space.Position{Seq: r.Seq, Chain: t.chain, Seal: t.server.seal(t.reader.space, r.Seq, t.chain)}
		if !tell(t.view(events.Records[first : i+1])) {
			t.at, t.chain = before, before.Chain
			return false
		}
		first = i + 1
	}
	return true
}

func (t *teller) view(records []space.Record) []recordJSON {
	out := make([]recordJSON, len(records))
	for i := range records {
		r := &records[i]
		out[i] = recordJSON{
			Space: t.space, Sender: named{r.Author, r.Author}, Seq: r.Seq, ID: r.ID.String(), Type: r.Type,
			Index: r.Index, Count: r.Count, ReceivedAt: r.ReceivedAt, Payload: payloadJSON(r.Payload),
		}
		if r.Schema != (space.Schema{}) {
			out[i].Schema = hex.EncodeToString(r.Schema[:])
		}
	}
	out[len(out)-1].Position = encodePosition(&t.at)
	return out
}

// rangeEvents answers with what there is behind a position, up to a limit.
func (s *Server) rangeEvents(w http.ResponseWriter, r *http.Request, in *reader, limit int) {
	answer := struct {
		Space    named             `json:"space"`
		Events   []json.RawMessage `json:"events"`
		Position string            `json:"position"` // behind the last of them
		CaughtUp bool              `json:"caught_up"`
	}{Space: s.nameSpace(r.Context(), in.space), Events: []json.RawMessage{}}
	t := &teller{server: s, ctx: r.Context(), reader: in, chain: in.after.Chain, at: in.after}
	size := 0
	tell := func(records []recordJSON) bool {
		var lines []json.RawMessage
		more := 0
		for i := range records {
			line, err := json.Marshal(&records[i])
			if err != nil {
				panic(err) // of our own types
			}
			lines, more = append(lines, line), more+len(line)
		}
		if n := len(answer.Events); n > 0 && (n+len(lines) > limit || size+more > rangeBytes) {
			return false
		}
		answer.Events, size = append(answer.Events, lines...), size+more
		return true
	}
	err := s.follow(r.Context(), in, func(frame wire.Frame) (bool, error) {
		switch frame := frame.(type) {
		case *wire.Events:
			return t.transactions(frame, tell), nil
		case *wire.CaughtUp:
			t.at, answer.CaughtUp = frame.Position, true
			return false, nil
		}
		return true, ended(frame, in.identities)
	}, func() error { return nil })
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	answer.Position = encodePosition(&t.at)
	answerJSON(w, http.StatusOK, answer)
}

// ended returns the error of a frame that ends a subscription, nil of any other.
func ended(frame wire.Frame, identities []string) error {
	switch frame := frame.(type) {
	case *wire.Ended:
		if frame.Code == wire.CodeResumeGone {
			return wire.Errorf(frame.Code, "what follows this position has expired; without one the answer begins with what is kept")
		}
		if frame.Reason == "" {
			return unread(frame.Code, identities)
		}
		return wire.Errorf(frame.Code, "%s", frame.Reason)
	case *wire.Error:
		return wire.Errorf(frame.Code, "%s", frame.Reason)
	case *wire.Bye:
		return errStopping
	}
	return nil
}

// stream writes server-sent events.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	server  *Server
	begun   bool
}

// begin answers that a stream follows.
func (e *stream) begin() {
	if e.begun {
		return
	}
	e.begun = true
	header := e.w.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("X-Accel-Buffering", "no") // nginx would keep events to itself
	e.w.WriteHeader(http.StatusOK)
	fmt.Fprintf(e.w, "retry: %d\n\n", max(e.server.config.RetryAfter, time.Second).Milliseconds())
}

// write writes text and sees that it is on its way. A client that takes none of it for too long is gone.
func (e *stream) write(text []byte) error {
	e.control.SetWriteDeadline(time.Now().Add(e.server.config.WriteTimeout))
	e.begin()
	if _, err := e.w.Write(text); err != nil {
		return err
	}
	return e.control.Flush()
}

// event appends one event.
func appendEvent(b []byte, kind, id string, data any) []byte {
	line, err := json.Marshal(data)
	if err != nil {
		panic(err) // of our own types
	}
	if id != "" {
		b = fmt.Appendf(b, "id: %s\n", id)
	}
	if kind != "" {
		b = fmt.Appendf(b, "event: %s\n", kind)
	}
	return fmt.Appendf(b, "data: %s\n\n", line)
}

// streamEvents answers with a stream of events that goes on until either side ends it, or the caller may not read any more.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request, in *reader) {
	out := &stream{w: w, control: http.NewResponseController(w), server: s}
	out.control.SetReadDeadline(time.Time{})
	t := &teller{server: s, ctx: r.Context(), reader: in, chain: in.after.Chain, at: in.after}
	asked := time.Now()
	err := s.follow(r.Context(), in, func(frame wire.Frame) (bool, error) {
		switch frame := frame.(type) {
		case *wire.Events:
			var text []byte
			t.transactions(frame, func(records []recordJSON) bool {
				for i := range records {
					text = appendEvent(text, "", records[i].Position, &records[i])
				}
				return true
			})
			return true, out.write(text)
		case *wire.CaughtUp:
			id := encodePosition(&frame.Position)
			return true, out.write(appendEvent(nil, "caught_up", id, struct {
				Position string `json:"position"`
			}{id}))
		}
		return true, ended(frame, in.identities)
	}, func() error {
		if time.Since(asked) >= recheck {
			asked = time.Now()
			now, err := s.callerOf(r)
			if err == nil && !slices.Equal(now.identities, in.identities) {
				err = wire.Errorf(wire.CodeBadCredentials, "the token stands for others than before")
			}
			if err != nil {
				return err
			}
		}
		return out.write([]byte(":\n\n"))
	})
	switch {
	case err == nil || r.Context().Err() != nil:
	case !out.begun:
		s.refuseRequest(w, r, err)
	case wire.CodeOf(err) != wire.CodeUnknown:
		out.write(appendEvent(nil, "ended", "", problem{wire.CodeOf(err).String(), reason(err)}))
	}
}
