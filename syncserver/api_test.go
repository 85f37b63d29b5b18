package syncserver_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/auth"
	"skerry/syncserver/memlog"
)

// tokens takes the token "token of NAME" for NAME.
func tokens(c *syncserver.Config) {
	c.Authenticate = func(_ context.Context, token string) ([]hub.Proven, error) {
		name, ok := strings.CutPrefix(token, "token of ")
		if !ok {
			return nil, wire.Errorf(wire.CodeBadCredentials, "no such token")
		}
		return []hub.Proven{{Identity: name}}, nil
	}
}

// told is an event as the API tells of it.
type told struct {
	Space, Sender     struct{ ID, Name string }
	Seq               uint64
	ID, Type          string
	Index, Count      uint32
	ReceivedAt        uint64 `json:"received_at"`
	Position, Payload any
}

type ranged struct {
	Space    struct{ ID, Name string }
	Events   []told
	Position string
	CaughtUp bool `json:"caught_up"`
}

// fetch asks for a path as somebody, "" for nobody, and decodes the answer into.
func (r *rig) fetch(as, path string, into any, header ...string) *http.Response {
	r.t.Helper()
	response := r.open(as, path, header...)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := json.Unmarshal(content, into); err != nil {
		r.t.Fatalf("%s: %v: %s", path, err, content)
	}
	return response
}

func (r *rig) open(as, path string, header ...string) *http.Response {
	r.t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://skerry.test"+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if as != "" {
		request.Header.Set("Authorization", "Bearer token of "+as)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	return response
}

func eventsPath(id space.ID) string { return "/api/v1/spaces/" + id.String() + "/events" }

// TestRange reads a space over HTTP, piece by piece, and compares it with the log.
func TestRange(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		log := open()
		r := start(t, log, tokens)
		alice := r.dial("alice")
		id := alice.create()
		for _, n := range []int{1, 3, 2, 7, 1, 1} {
			alice.append(id, alice.transaction(n))
		}
		for _, limit := range []int{1, 2, 3, 7, 15, 1000} {
			var all []told
			position, answers := "", 0
			for done := false; !done; answers++ {
				var answer ranged
				response := r.fetch("", eventsPath(id)+"?limit="+strconv.Itoa(limit)+"&after="+position, &answer)
				if response.StatusCode != 200 || response.Header.Get("Cache-Control") != "no-store" {
					t.Fatalf("limit %d: %d %v", limit, response.StatusCode, response.Header)
				}
				if n := len(answer.Events); n > limit && n != int(answer.Events[0].Count) {
					t.Fatalf("limit %d: %d events", limit, n)
				}
				all = append(all, answer.Events...)
				position, done = answer.Position, answer.CaughtUp
			}
			if limit == 1000 && answers != 1 || limit == 1 && answers < 6 {
				t.Errorf("limit %d: %d answers", limit, answers)
			}
			records, err := log.Read(t.Context(), id, 0, 1000, 1<<20)
			if err != nil || len(all) != len(records) {
				t.Fatalf("limit %d: %d events of %d records, %v", limit, len(all), len(records), err)
			}
			for i := range records {
				want, got := &records[i], &all[i]
				if got.Seq != want.Seq || got.ID != want.ID.String() || got.Sender.ID != want.Author || got.Type != want.Type ||
					got.Index != want.Index || got.Count != want.Count || got.ReceivedAt != want.ReceivedAt || got.Space.ID != id.String() {
					t.Fatalf("%+v is not %+v", got, want)
				}
				if (got.Position != nil) != want.Last() {
					t.Fatalf("record %d of %d has the position %v", want.Index, want.Count, got.Position)
				}
			}
			var nothing ranged
			if r.fetch("", eventsPath(id), &nothing, "Last-Event-ID", position); len(nothing.Events) != 0 || !nothing.CaughtUp || nothing.Position != position {
				t.Errorf("behind the end: %+v", nothing)
			}
		}
	})
}

// sse reads server-sent events.
type sse struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Reader
	id   string // of the last event that had one
}

func (r *rig) stream(as, path string, header ...string) (*sse, *http.Response) {
	response := r.open(as, path, append(header, "Accept", "text/event-stream")...)
	return &sse{t: r.t.(*testing.T), body: response.Body, in: bufio.NewReader(response.Body)}, response
}

// next returns the next event, and io.EOF behind the last.
func (s *sse) next() (kind, data string, err error) {
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		line = strings.TrimSuffix(line, "\n")
		switch name, value, _ := strings.Cut(line, ": "); {
		case line == "":
			if data != "" {
				return kind, data, nil
			}
		case name == "id":
			s.id = value
		case name == "event":
			kind = value
		case name == "data":
			data = value
		case name != "retry" && line != ":":
			s.t.Fatalf("line %q", line)
		}
	}
}

func (s *sse) record() (e told) {
	s.t.Helper()
	kind, data, err := s.next()
	if err != nil || kind != "" {
		s.t.Fatalf("instead of a record: %q %s %v", kind, data, err)
	}
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		s.t.Fatal(err)
	}
	return e
}

func (s *sse) expect(kind string) string {
	s.t.Helper()
	got, data, err := s.next()
	if err != nil || got != kind {
		s.t.Fatalf("instead of %s: %q %s %v", kind, got, data, err)
	}
	return data
}

// TestStream follows a space over server-sent events, is cut off, and goes on from the last id without loss or repetition.
func TestStream(t *testing.T) {
	r := start(t, memlog.New(), tokens)
	alice := r.dial("alice")
	id := alice.create()
	alice.append(id, alice.transaction(2), alice.transaction(1))
	stream, response := r.stream("", eventsPath(id))
	if response.StatusCode != 200 || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") || response.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", response.StatusCode, response.Header)
	}
	var ids []string
	for seq := uint64(1); seq <= 3; seq++ {
		if e := stream.record(); e.Seq != seq {
			t.Fatalf("record %d where %d belongs", e.Seq, seq)
		}
		ids = append(ids, stream.id)
	}
	if ids[0] != "" || ids[1] == "" || ids[2] == ids[1] {
		t.Errorf("ids %q", ids)
	}
	stream.expect("caught_up")
	if stream.id != ids[2] {
		t.Error("caught_up has another position than the last record")
	}
	alice.append(id, alice.transaction(1)) // live
	if e := stream.record(); e.Seq != 4 || e.Position != stream.id {
		t.Fatalf("%+v", e)
	}
	stream.body.Close()
	alice.append(id, alice.transaction(1))

	again, _ := r.stream("", eventsPath(id), "Last-Event-ID", stream.id)
	if e := again.record(); e.Seq != 5 {
		t.Fatalf("after the fourth came %+v", e)
	}
	again.expect("caught_up")
	over, _ := r.stream("", eventsPath(id)+"?after="+ids[1], "Last-Event-ID", stream.id)
	if e := over.record(); e.Seq != 5 {
		t.Fatalf("Last-Event-ID comes before after, but %+v came", e)
	}
	over.body.Close()
	var same ranged
	if r.fetch("", eventsPath(id)+"?after="+ids[1], &same); len(same.Events) != 3 || same.Position != again.id {
		t.Errorf("the range has other positions: %+v", same)
	}
	r.stopRun()
	again.expect("ended")
	if _, _, err := again.next(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	r.stop()
}

// TestBigStream: what is bigger than frames and credit arrives whole.
func TestBigStream(t *testing.T) {
	r := start(t, memlog.New())
	alice := r.dial("alice")
	id := alice.create()
	for range 12 {
		tx := alice.transaction(1)
		tx.Events[0].Payload, _ = msgpack.Marshal(strings.Repeat("big", 70_000))
		alice.append(id, tx)
	}
	stream, _ := r.stream("", eventsPath(id))
	defer stream.body.Close()
	stuck := time.AfterFunc(20*time.Second, func() { stream.body.Close() })
	defer stuck.Stop()
	for seq := uint64(1); seq <= 12; seq++ {
		if e := stream.record(); e.Seq != seq || len(e.Payload.(string)) != 210_000 {
			t.Fatalf("record %d: %d", e.Seq, len(e.Payload.(string)))
		}
	}
	stream.expect("caught_up")
	var answer ranged
	if r.fetch("", eventsPath(id), &answer); len(answer.Events) != 4 || answer.CaughtUp { // a mebibyte
		t.Errorf("%d events in one answer", len(answer.Events))
	}
}

// TestUnreadStream: whoever reads nothing of a stream is gone after the time for writing, and holds nothing up.
func TestUnreadStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, memlog.New())
		alice := r.dial("alice")
		id := alice.create()
		stream, _ := r.stream("", eventsPath(id))
		stream.expect("caught_up")
		tx := alice.transaction(1)
		tx.Events[0].Payload, _ = msgpack.Marshal(strings.Repeat("big", 70_000))
		alice.append(id, tx)
		alice.append(id, alice.transaction(1)) // goes on
		connections := func() string {
			metrics := body(t, get(t, r.server, "/metrics"))
			at := strings.Index(metrics, "\nskerry_connections ")
			return strings.Fields(metrics[at:])[1]
		}
		synctest.Wait()
		if n := connections(); n != "2" {
			t.Errorf("%s connections", n)
		}
		for range 4 { // somebody else goes on all the time
			time.Sleep(10 * time.Second)
			alice.send(&wire.Ping{})
			await[*wire.Pong](alice)
		}
		synctest.Wait()
		if n := connections(); n != "1" {
			t.Errorf("%s connections after the time for writing", n)
		}
		stream.body.Close()
		r.stop()
	})
}

// TestIdleStream: a stream on which nothing happens stays, and shows that it is there.
func TestIdleStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, memlog.New())
		alice := r.dial("alice")
		id := alice.create()
		stream, _ := r.stream("", eventsPath(id))
		stream.expect("caught_up")
		var later sync.WaitGroup
		later.Go(func() {
			time.Sleep(10 * time.Minute)
			bob := r.dial("alice")
			bob.append(id, bob.transaction(1))
		})
		if e := stream.record(); e.Seq != 1 {
			t.Errorf("%+v", e)
		}
		later.Wait()
		stream.body.Close()
		r.stop()
	})
}

// TestStreamEndsWithItsToken: a token that is not taken any more ends the stream that was opened with it.
func TestStreamEndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		r := start(t, memlog.New(), tokens, func(c *syncserver.Config) {
			before := c.Authenticate
			c.Authenticate = func(ctx context.Context, token string) ([]hub.Proven, error) {
				if time.Since(begin) > 5*time.Minute {
					return nil, wire.Errorf(wire.CodeBadCredentials, "the token has expired")
				}
				return before(ctx, token)
			}
		})
		alice := r.dial("alice")
		id := alice.create()
		alice.close()
		stream, _ := r.stream("alice", eventsPath(id))
		stream.expect("caught_up")
		late := time.AfterFunc(time.Hour, func() { stream.body.Close() })
		defer late.Stop()
		if data := stream.expect("ended"); !strings.Contains(data, `"bad_credentials"`) {
			t.Errorf("%s", data)
		}
		if since := time.Since(begin); since < 5*time.Minute || since > 7*time.Minute {
			t.Errorf("it ended after %v", since)
		}
		stream.body.Close()
		r.stop()
	})
}

// TestAPIRefuses asks for what cannot be had.
func TestAPIRefuses(t *testing.T) {
	w := startPrivate(t, false)
	w.remove()
	open := w.dial("ann").create()
	other := start(t, memlog.New(), tokens)
	cy := other.dial("cy")
	theirs := cy.create()
	cy.append(theirs, cy.transaction(1))
	var foreign ranged
	other.fetch("", eventsPath(theirs), &foreign)
	for _, test := range []struct {
		as, path, header string
		status           int
		code             string
	}{
		{"", "/api", "", 404, "not_found"},
		{"", "/api/", "", 404, "not_found"},
		{"", "/api/v2/spaces", "", 404, "not_found"},
		{"", "/api/v1/spaces/x", "", 400, "bad_argument"},
		{"", "/api/v1/spaces/x/events", "", 400, "bad_argument"},
		{"", eventsPath(open) + "?limit=0", "", 400, "bad_argument"},
		{"", eventsPath(open) + "?limit=1001", "", 400, "bad_argument"},
		{"", eventsPath(open) + "?limit=1000", "", 200, ""},
		{"", eventsPath(open) + "?limit=x", "", 400, "bad_argument"},
		{"", eventsPath(open) + "?after=x", "", 400, "bad_argument"},
		{"", eventsPath(open), "x", 400, "bad_argument"},
		{"", eventsPath(open) + "?after=" + base64.RawURLEncoding.EncodeToString(make([]byte, 71)), "", 400, "bad_argument"},
		{"", eventsPath(open) + "?after=" + base64.RawURLEncoding.EncodeToString(make([]byte, 72)), "", 409, "diverged"},
		{"", eventsPath(open), foreign.Position, 409, "diverged"},
		{"", eventsPath(theirs), "", 404, "unknown_space"},
		{"", "/api/v1/spaces/" + theirs.String(), "", 404, "unknown_space"},
		{"", "/api/v1/spaces/" + open.String(), "", 200, ""},
		{"", eventsPath(w.id), "", 401, "auth_required"},
		{"", "/api/v1/spaces/" + w.id.String(), "", 401, "auth_required"},
		{"mallory", eventsPath(w.id), "", 403, "forbidden"},
		{"mallory", "/api/v1/spaces/" + w.id.String(), "", 403, "forbidden"},
		{"ann", eventsPath(w.id), "", 200, ""},
		{"ann", "/api/v1/spaces/" + w.id.String(), "", 200, ""},
		{"", "/api/v1/spaces", "", 401, "auth_required"},
		{"ann", "/api/v1/spaces", "", 200, ""},
		{"ann", "/api/v1/spaces?after=%21", "", 400, "bad_argument"},
	} {
		for _, accept := range []string{"application/json", "text/event-stream"} {
			if accept == "text/event-stream" && test.status == 200 {
				continue // it goes on
			}
			response := w.open(test.as, test.path, "Last-Event-ID", test.header, "Accept", accept)
			content := body(t, response)
			var told struct{ Code string }
			json.Unmarshal([]byte(content), &told)
			if response.StatusCode != test.status || told.Code != test.code {
				t.Errorf("%+v: %d %s", test, response.StatusCode, content)
			}
			if (test.status == 401) != (response.Header.Get("WWW-Authenticate") == "Bearer") {
				t.Errorf("%+v: %v", test, response.Header)
			}
		}
	}
	for _, header := range []string{"Bearer nonsense", "Basic YTpi", "Bearer", "token of ann"} {
		if r := request(t, w.server, "GET", "skerry.test", "/api/v1/spaces", "Authorization", header); r.StatusCode != 401 || !strings.Contains(body(t, r), "bad_credentials") {
			t.Errorf("%s: %d", header, r.StatusCode)
		}
	}
	if r := request(t, w.server, "POST", "skerry.test", "/api/v1/version"); r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", r.StatusCode, r.Header)
	}
}

// TestNobodyOverHTTP: who brings no token is let in where a socket without a proof would be, and nowhere else.
func TestNobodyOverHTTP(t *testing.T) {
	for _, anonymous := range []bool{true, false} {
		log := memlog.New()
		r := start(t, log)
		alice := r.dial("alice")
		id := alice.create()
		r.stop()
		r = start(t, log, tokens, func(c *syncserver.Config) {
			var err error
			if c.Auth, err = auth.New(auth.Config{Anonymous: anonymous}); err != nil {
				t.Fatal(err)
			}
		})
		for path, want := range map[string]string{eventsPath(id): "", "/api/v1/spaces/" + id.String(): "", "/api/v1/version": ""} {
			if !anonymous && strings.Contains(path, id.String()) {
				want = "auth_required"
			}
			var answer struct{ Code string }
			if response := r.fetch("", path, &answer); answer.Code != want || (response.StatusCode == 200) != (want == "") {
				t.Errorf("anonymous %v: %s: %d %s", anonymous, path, response.StatusCode, answer.Code)
			}
			if response := r.fetch("bob", path, &answer); response.StatusCode != 200 {
				t.Errorf("with a token: %s: %d", path, response.StatusCode)
			}
		}
		r.stop()
	}
}

// TestSpacesOverHTTP lists an identity's spaces, and then what changed.
func TestSpacesOverHTTP(t *testing.T) {
	r := start(t, memlog.New(), tokens)
	alice := r.dial("alice")
	var want []string
	for range 700 {
		want = append(want, alice.create().String())
	}
	type answer struct {
		Spaces []struct{ ID, Creator, State, Module string }
		Next   string
		More   bool
	}
	var got []string
	a := answer{More: true}
	for a.More {
		next := a.Next
		a = answer{}
		r.fetch("alice", "/api/v1/spaces?after="+next, &a)
		for _, s := range a.Spaces {
			if s.Creator != "alice" || s.State != "present" || s.Module == "" {
				t.Fatalf("%+v", s)
			}
			got = append(got, s.ID)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d spaces of %d", len(got), len(want))
	}
	later := alice.create()
	if r.fetch("alice", "/api/v1/spaces?after="+a.Next, &a); len(a.Spaces) != 1 || a.Spaces[0].ID != later.String() {
		t.Errorf("%+v", a)
	}
	b := answer{}
	if r.fetch("bob", "/api/v1/spaces", &b); len(b.Spaces) != 0 {
		t.Errorf("bob: %+v", b)
	}
}

// TestLeftWhileStreaming: who is removed while they follow over HTTP is told the record that does it, and nothing behind it.
func TestLeftWhileStreaming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startPrivate(t, true)
		stream, response := w.stream("mallory", eventsPath(w.id))
		if response.StatusCode != 200 {
			t.Fatal(response.StatusCode)
		}
		stream.record()
		stream.record()
		stream.expect("caught_up")
		w.remove()
		if e := stream.record(); e.Seq != 3 || e.Type != "remove" {
			t.Errorf("%+v", e)
		}
		if data := stream.expect("ended"); !strings.Contains(data, `"left"`) {
			t.Errorf("%s", data)
		}
		if _, _, err := stream.next(); err != io.EOF {
			t.Errorf("behind the end: %v", err)
		}
		w.stop()
	})
}

// TestCrossOrigin: pages of allowed origins may use the API, others are refused before anything happens.
func TestCrossOrigin(t *testing.T) {
	server, err := syncserver.New(syncserver.Config{Log: memlog.New(), AllowedOrigins: []string{"*.example.com", "https://secure.test"}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for origin, want := range origins {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			var header []string
			if origin != "" {
				header = []string{"Origin", origin}
			}
			r := request(t, server, method, "skerry.test", "/api/v1/version", header...)
			status := map[string]int{"GET": 200, "POST": 405, "OPTIONS": 204}[method]
			if !want {
				status = 403
			}
			allows := origin
			if !want {
				allows = ""
			}
			if r.StatusCode != status || r.Header.Get("Access-Control-Allow-Origin") != allows || r.Header.Get("Vary") != "Origin" {
				t.Errorf("%s of %q: %d %v", method, origin, r.StatusCode, r.Header)
			}
			if r.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("cookies are offered")
			}
			if method == "OPTIONS" && want && !strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
				t.Errorf("%v", r.Header)
			}
		}
	}
	if r := request(t, server, "GET", "skerry.test", "/api/v1/version", "Origin", "http://skerry.test", "Origin", "http://evil.test"); r.StatusCode != 403 {
		t.Errorf("two origins: %d", r.StatusCode)
	}
}

// TestOpenAPI: the description has every route, and no other; what it refers to is there.
func TestOpenAPI(t *testing.T) {
	server, err := syncserver.New(syncserver.Config{Log: memlog.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	text := body(t, request(t, server, "GET", "skerry.test", "/api/v1/openapi.json"))
	var file struct {
		OpenAPI    string
		Paths      map[string]map[string]struct{ Responses map[string]any }
		Components map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	var described []string
	for path, methods := range file.Paths {
		for method, of := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
			if of.Responses["200"] == nil && of.Responses["201"] == nil && of.Responses["204"] == nil {
				t.Errorf("%s %s has no answer", method, path)
			}
		}
	}
	has := server.Endpoints()
	slices.Sort(described)
	slices.Sort(has)
	if !slices.Equal(described, has) {
		t.Errorf("described:\n%q\nthere:\n%q", described, has)
	}
	for rest := text; ; {
		_, after, more := strings.Cut(rest, `"$ref": "#/components/`)
		if !more {
			break
		}
		name, _, _ := strings.Cut(after, `"`)
		kind, name, _ := strings.Cut(name, "/")
		if file.Components[kind][name] == nil {
			t.Errorf("%s/%s is not there", kind, name)
		}
		rest = after
	}
}

func TestPayloadJSON(t *testing.T) {
	deep := func(n int) []byte { return append([]byte(strings.Repeat("\x91", n)), 0xc0) }
	for _, test := range []struct {
		payload any
		want    string
	}{
		{map[string]any{"text": "a\"\n<"}, `{"text":"a\"\n\u003c"}`},
		{[]any{1, -5, 1 << 40, uint64(1<<64 - 1), int64(-1 << 63), 1.5, float32(0.5), true, false, nil, ""}, `[1,-5,1099511627776,18446744073709551615,-9223372036854775808,1.5,0.5,true,false,null,""]`},
		{map[string]any{"b": []byte{1, 255}}, `{"b":{"$hex":"01ff"}}`},
		{strings.Repeat("é", 40_000), `"` + strings.Repeat("é", 40_000) + `"`},
		{map[int]int{1: 2}, `{"$hex":"8101` + `02"}`},
		{[]byte{7}, `{"$hex":"07"}`},
	} {
		payload, err := msgpack.Marshal(test.payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, ints := test.payload.(map[int]int); ints {
			payload = []byte{0x81, 1, 2}
		}
		if got := syncserver.PayloadJSON(payload); got != test.want {
			t.Errorf("%.80x: %.200s, want %.200s", payload, got, test.want)
		}
	}
	for what, payload := range map[string][]byte{
		"nothing": {}, "cut": {0x92, 1}, "two values": {1, 2}, "not a number": {0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0}, "infinite": {0xca, 0x7f, 0x80, 0, 0},
		"a key twice": {0x82, 0xa1, 'a', 1, 0xa1, 'a', 2}, "an extension": {0xd4, 1, 1}, "not UTF-8": {0xa1, 0xff}, "reserved": {0xc1},
		"a bomb": {0xdd, 0xff, 0xff, 0xff, 0xff}, "too deep": deep(64),
	} {
		if got, want := syncserver.PayloadJSON(payload), fmt.Sprintf(`{"$hex":"%x"}`, payload); got != want {
			t.Errorf("%s: %s", what, got)
		}
	}
	if got := syncserver.PayloadJSON(deep(63)); strings.Contains(got, "$hex") {
		t.Errorf("not too deep: %s", got)
	}
}
