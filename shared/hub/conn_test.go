package hub_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// line is one connection with what the story sees of it.
type line struct {
	t      *testing.T
	c      *hub.Conn
	config *hub.Config
	now    uint64

	frames []wire.Frame // sent since they were looked at last
	sizes  []int
	last   hub.ConnEffects // of the newest step
	read   *hub.ReadEvents
	page   *wire.Fetch
	blob   *hub.ReadBlob
	prove  *hub.Prove // asked and not answered, since patient
	closed bool

	patient bool // proofs are answered by the test
	code    wire.Code
}

func newLine(t *testing.T, change ...func(*hub.Config)) *line {
	config := testConfig(change...)
	return &line{t: t, c: hub.NewConn(config, 1, "here"), config: config, now: 1000}
}

// welcomedLine has done the handshake, as ann, with the given credit.
func welcomedLine(t *testing.T, credit uint64, change ...func(*hub.Config)) *line {
	l := newLine(t, change...)
	l.step(hub.Begin{Nonce: [32]byte{1}})
	l.receive(hello(credit))
	l.step(hub.Registered{})
	l.frames, l.sizes = nil, nil
	return l
}

func hello(credit uint64) *wire.Hello {
	return &wire.Hello{
		API: "1.0.0", ClientVersion: "1", ConnectionID: wire.ConnectionID{1}, Session: wire.SessionID{2}, Epoch: 3,
		Credit: credit, Proofs: []wire.Proof{{Identity: "ann"}},
	}
}

func (l *line) step(in hub.ConnInput) {
	l.t.Helper()
	e := l.c.Step(l.now, in)
	for _, message := range e.Send {
		f, err := wire.Decode(message)
		if err != nil {
			l.t.Fatal(err)
		}
		l.frames = append(l.frames, f)
		l.sizes = append(l.sizes, len(message))
	}
	if e.Read != nil && l.read != nil || e.Page != nil && l.page != nil || e.Blob != nil && l.blob != nil {
		l.t.Fatal("two reads at once")
	}
	take(l.t, &l.read, e.Read)
	take(l.t, &l.page, e.Page)
	take(l.t, &l.blob, e.Blob)
	if e.Close {
		l.closed, l.code = true, e.Code
	}
	l.last = e
	if e.Prove == nil {
		return
	}
	if l.prove = e.Prove; !l.patient {
		l.proves()
	}
}

// proves finds every proof good.
func (l *line) proves() {
	l.t.Helper()
	proven := make([]hub.Proven, 0, len(l.prove.Proofs))
	for _, p := range l.prove.Proofs {
		proven = append(proven, hub.Proven{Identity: p.Identity})
	}
	l.step(hub.Proved{Proven: proven})
}

func (l *line) receive(f wire.Frame) {
	l.t.Helper()
	l.step(hub.Received{Frame: f, Size: len(wire.Append(nil, f))})
}

// sent returns the frames since the last call as text.
func (l *line) sent() string {
	var out []string
	for _, f := range l.frames {
		switch f := f.(type) {
		case *wire.Challenge:
			out = append(out, "challenge")
		case *wire.Welcome:
			out = append(out, fmt.Sprintf("welcome %v %s", f.Identities, f.API))
		case *wire.Error:
			out = append(out, "error "+f.Code.String())
		case *wire.Bye:
			out = append(out, fmt.Sprintf("bye %v %d", f.Code, f.RetryAfterMS))
		case *wire.Ended:
			out = append(out, "ended "+f.Code.String())
		case *wire.CaughtUp:
			out = append(out, fmt.Sprintf("caught_up@%d", f.Position.Seq))
		case *wire.Events:
			out = append(out, fmt.Sprintf("events %d..%d", f.Records[0].Seq, f.Position.Seq))
		case *wire.Page:
			out = append(out, fmt.Sprintf("page %d +%d @%d", f.Ref, len(f.Records), f.Position.Seq))
		case *wire.BlobPart:
			out = append(out, fmt.Sprintf("blob_part %d %d+%d/%d", f.Ref, f.Offset, len(f.Bytes), f.Total))
		case *wire.Refused:
			out = append(out, fmt.Sprintf("refused %d %v", f.Ref, f.Code))
		case *wire.Pong:
			out = append(out, "pong")
		case *wire.Pushed:
			out = append(out, fmt.Sprintf("pushed %d", f.N))
		case *wire.Spaces:
			out = append(out, fmt.Sprintf("spaces %d +%d", f.Ref, len(f.Rows)))
		case *wire.Ephemeral:
			said, err := wire.DecodeSaid(f.Bytes)
			if err != nil || f.Space != spaceID {
				l.t.Errorf("%v, of %s", err, f.Space)
			}
			out = append(out, fmt.Sprintf("%s says %.9s", said.Author, said.Bytes))
		default:
			out = append(out, fmt.Sprintf("frame %d", f.Number()))
		}
	}
	l.frames, l.sizes = nil, nil
	return strings.Join(out, ", ")
}

func (l *line) wants(want string) {
	l.t.Helper()
	if got := l.sent(); got != want {
		l.t.Fatalf("sent %q, want %q", got, want)
	}
}

// fails expects that the connection was closed with an error.
func (l *line) fails(code wire.Code) {
	l.t.Helper()
	if got := l.sent(); !strings.HasSuffix(got, "error "+code.String()) || !l.closed || l.code != code {
		l.t.Fatalf("sent %q, closed %v %v, want %v", got, l.closed, l.code, code)
	}
	l.receive(&wire.Ping{})
	l.wants("") // nothing happens on a closed connection
}

func TestHandshake(t *testing.T) {
	l := newLine(t)
	l.step(hub.Begin{Nonce: [32]byte{1}})
	if c := l.frames[0].(*wire.Challenge); c.Nonce != [32]byte{1} || c.Time != 1000 || c.APIHigh != wire.APIHigh {
		t.Errorf("challenge %v", c)
	}
	l.receive(hello(0))
	l.wants("challenge")
	r := l.last.Register
	if r == nil || r.Session != (wire.SessionID{2}) || r.Epoch != 3 || r.Connection != (wire.ConnectionID{1}) || r.Identities[0] != "ann" {
		t.Fatalf("register %+v", r)
	}
	l.step(hub.Registered{})
	l.wants("welcome [ann] 1.0.0")
}

func TestHandshakesThatFail(t *testing.T) {
	change := func(f func(*wire.Hello)) wire.Frame {
		h := hello(0)
		f(h)
		return h
	}
	for name, c := range map[string]struct {
		frame wire.Frame
		code  wire.Code
	}{
		"newer":       {change(func(h *wire.Hello) { h.API = "1.0.1" }), wire.CodeAPIUnsupported},
		"older":       {change(func(h *wire.Hello) { h.API = "0.9.9" }), wire.CodeAPIUnsupported},
		"no version":  {change(func(h *wire.Hello) { h.API = "" }), wire.CodeAPIUnsupported},
		"bad version": {change(func(h *wire.Hello) { h.API = "1.0" }), wire.CodeAPIUnsupported},
		"zero id":     {change(func(h *wire.Hello) { h.ConnectionID = wire.ConnectionID{} }), wire.CodeBadFrame},
		"no name":     {change(func(h *wire.Hello) { h.Proofs[0].Identity = "" }), wire.CodeBadCredentials},
		"long name":   {change(func(h *wire.Hello) { h.Proofs[0].Identity = strings.Repeat("x", 257) }), wire.CodeBadCredentials},
		"long app":    {change(func(h *wire.Hello) { h.ClientVersion = strings.Repeat("x", 65) }), wire.CodeTooLarge},
		"many":        {change(func(h *wire.Hello) { h.Proofs = make([]wire.Proof, 17) }), wire.CodeTooMany},
		"push":        {&wire.Push{}, wire.CodeBadFrame},
		"credit":      {&wire.Credit{}, wire.CodeBadFrame},
		"challenge":   {&wire.Challenge{}, wire.CodeBadFrame},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t)
			l.step(hub.Begin{})
			l.receive(c.frame)
			l.fails(c.code)
		})
	}
	l := newLine(t)
	l.step(hub.Begin{})
	l.receive(&wire.Ping{}) // keeps the connection, and opens nothing
	l.wants("challenge, pong")
	l.receive(change(func(h *wire.Hello) {
		for i := range 15 {
			h.Proofs = append(h.Proofs, wire.Proof{Identity: string(rune('a' + i))})
		}
		h.ClientVersion = strings.Repeat("x", 64)
	}))
	if l.closed || l.last.Register == nil || len(l.last.Register.Identities) != 16 {
		t.Errorf("16 identities: closed %v, %+v", l.closed, l.last.Register)
	}

	l = newLine(t)
	l.step(hub.Begin{})
	l.receive(hello(0))
	l.step(hub.Registered{Code: wire.CodeSuperseded})
	l.fails(wire.CodeSuperseded)

	l = newLine(t)
	l.step(hub.Begin{})
	l.receive(hello(0))
	l.receive(hello(0))
	l.fails(wire.CodeBadFrame)

	l = welcomedLine(t, 0)
	l.receive(hello(0))
	l.fails(wire.CodeBadFrame)

	l = newLine(t)
	l.step(hub.Begin{})
	h := hello(0)
	h.ClientVersion = strings.Repeat("x", 64)
	h.Proofs = append(h.Proofs, wire.Proof{Identity: strings.Repeat("x", 256)}, wire.Proof{Identity: "ann"})
	l.receive(h)
	l.step(hub.Registered{})
	if w := l.frames[1].(*wire.Welcome); len(w.Identities) != 2 {
		t.Errorf("identities %v", w.Identities)
	}
}

func TestSilence(t *testing.T) {
	l := newLine(t)
	l.step(hub.Begin{})
	if l.last.WakeAt != 11_000 {
		t.Fatalf("wake at %d", l.last.WakeAt)
	}
	l.now = 10_999
	l.step(hub.Tick{})
	if l.closed {
		t.Fatal("closed early")
	}
	l.now = 11_000
	l.step(hub.Tick{})
	l.fails(wire.CodeIdle)

	l = welcomedLine(t, 0)
	l.now = 60_999
	l.step(hub.Tick{})
	l.step(hub.Alive{})
	l.now += 59_999
	l.step(hub.Tick{})
	if l.closed || l.last.WakeAt != 120_999 {
		t.Fatalf("closed %v, wake at %d", l.closed, l.last.WakeAt)
	}
	l.receive(&wire.Ping{})
	l.wants("pong")
	l.now += 60_000
	l.step(hub.Tick{})
	l.fails(wire.CodeIdle)
}

func TestFramesThatAreAnswered(t *testing.T) {
	l := welcomedLine(t, 0)
	for _, f := range []wire.Frame{
		&wire.Ping{}, &wire.Ping{},
	} {
		l.receive(f)
	}
	l.wants("pong, pong")
	l.receive(&wire.Welcome{})
	l.fails(wire.CodeBadFrame)

	for _, f := range []wire.Frame{&wire.Directory{}, &wire.Fetch{}, &wire.Blob{}, &wire.BlobPut{Total: 1}, &wire.AuthRefresh{}, &wire.Locate{}, &wire.Adopt{}, &wire.Reclaim{}} {
		l = welcomedLine(t, 0)
		l.receive(f) // an answer to ref 0 could not be told from what comes unasked
		l.fails(wire.CodeBadFrame)
	}

	l = welcomedLine(t, 0)
	_, err := wire.Decode([]byte{0x91, 99})
	l.step(hub.Malformed{Err: err})
	l.fails(wire.CodeUnknownFrame)

	l = welcomedLine(t, 0)
	l.step(hub.Malformed{Err: errors.New("anything")})
	l.fails(wire.CodeBadFrame)

	l = welcomedLine(t, 0)
	l.step(hub.Fail{Code: wire.CodeSuperseded, Reason: "newer"})
	l.fails(wire.CodeSuperseded)

	l = welcomedLine(t, 0)
	l.step(hub.Shutdown{RetryAfterMS: 7})
	l.wants("bye shutdown 7")
	if !l.closed {
		t.Error("not closed")
	}

	l = welcomedLine(t, 0)
	l.step(hub.Received{Frame: &wire.Ping{}, Size: int(l.config.Limits.Message)})
	l.wants("pong")
	l.step(hub.Received{Frame: &wire.Ping{}, Size: int(l.config.Limits.Message) + 1})
	l.fails(wire.CodeMessageTooBig)
}

func TestPushWindow(t *testing.T) {
	l := welcomedLine(t, 0, func(c *hub.Config) { c.Limits = wire.DefaultLimits; c.Limits.PushWindow = 100 })
	push := func(size int) {
		l.step(hub.Received{Frame: &wire.Push{Space: spaceID, Transactions: []space.Transaction{tx(1)}}, Size: size})
	}
	push(60)
	push(40)
	if l.closed || len(l.last.Push) != 1 || l.last.Push[0].Size != 40 || l.last.Push[0].Caller.Identities[0] != "ann" {
		t.Fatalf("closed %v, push %v", l.closed, l.last.Push)
	}
	l.step(hub.Verdicts{Reply: hub.Reply{Size: 60, Pushed: &wire.Pushed{Space: spaceID, N: 1}}})
	l.wants("pushed 1")
	push(60)
	if l.closed {
		t.Fatal("closed though there was room")
	}
	push(1)
	l.fails(wire.CodeWindowExceeded)
	if len(l.last.Leave) != 0 {
		t.Error("left twice")
	}
}

func TestPushesThatAreNone(t *testing.T) {
	l := welcomedLine(t, 0)
	l.receive(&wire.Push{Space: spaceID})
	l.fails(wire.CodeBadFrame)
	l = welcomedLine(t, 0)
	l.receive(&wire.Push{Space: spaceID, Genesis: &genesis})
	if len(l.last.Push) != 1 {
		t.Error("a genesis alone was refused")
	}
	l.receive(&wire.Push{Space: spaceID, Transactions: make([]space.Transaction, 32<<10)})
	if len(l.last.Push) != 1 {
		t.Error("32 Ki transactions were refused")
	}
	l.receive(&wire.Push{Space: spaceID, Transactions: make([]space.Transaction, 32<<10+1)})
	l.fails(wire.CodeTooMany)
}

func TestPushesToTooManySpaces(t *testing.T) {
	l := welcomedLine(t, 0, func(c *hub.Config) { c.Limits = wire.DefaultLimits; c.Limits.Subscriptions = 2 })
	for _, id := range []byte{1, 2, 1} {
		l.receive(&wire.Push{Space: space.ID{id}, Genesis: &genesis})
	}
	if l.closed {
		t.Fatal("closed at the limit")
	}
	l.receive(&wire.Push{Space: space.ID{3}, Genesis: &genesis})
	l.fails(wire.CodeTooMany)
}

func TestACloseLeavesEverything(t *testing.T) {
	l := welcomedLine(t, 0)
	l.receive(&wire.Push{Space: spaceID, Transactions: []space.Transaction{tx(1)}})
	l.receive(&wire.Subscribe{Subscriptions: []wire.Subscription{{Space: space.ID{5}}, {Space: space.ID{6}}}})
	l.step(hub.Gone{})
	if !l.last.Close || len(l.last.Leave) != 1 || len(l.last.Unwatch) != 2 || l.last.WakeAt != 0 {
		t.Errorf("effects %+v", l.last)
	}
}

func TestAReaderThatNeverReads(t *testing.T) {
	l := welcomedLine(t, 0, func(c *hub.Config) { c.Unsent = 1000 })
	for range 2000 {
		l.receive(&wire.Ping{})
	}
	if !l.closed || l.code != wire.CodeSlowReader {
		t.Errorf("closed %v %v", l.closed, l.code)
	}
}

func TestDirectory(t *testing.T) {
	l := welcomedLine(t, 0)
	for ref := uint64(1); ref <= 5; ref++ {
		l.receive(&wire.Directory{Ref: ref})
	}
	l.wants("refused 5 too_many")
	l.step(hub.DirectoryRead{Ref: 1, Spaces: &wire.Spaces{Rows: []wire.SpaceRow{{Genesis: genesis}}, Full: true}})
	l.step(hub.DirectoryRead{Ref: 2, Code: wire.CodeOverloaded})
	l.step(hub.SpacesChanged{Rows: make([]wire.SpaceRow, 2)})
	l.wants("spaces 1 +1, refused 2 overloaded, spaces 0 +2")
	l.receive(&wire.Subscribe{Subscriptions: []wire.Subscription{{Space: spaceID}, {Space: space.ID{5}}}})
	if l.last.Check[0].NeedRow || !l.last.Check[1].NeedRow {
		t.Error("a row is needed where the directory does not have it, and only there")
	}
}

// TestEnter: a connection that its shell has proven needs no handshake, registers no session, and reads as others do.
func TestEnter(t *testing.T) {
	l := newLine(t)
	l.step(hub.Enter{Identities: []string{"ann"}})
	if len(l.frames) != 0 || l.last.Register != nil || l.closed {
		t.Fatalf("%v %+v", l.frames, l.last)
	}
	if names := l.c.Caller().Identities; len(names) != 1 || names[0] != "ann" {
		t.Errorf("identities %q", names)
	}
	l.receive(&wire.Credit{Bytes: 1000})
	l.receive(&wire.Subscribe{Subscriptions: []wire.Subscription{{Space: space.ID{1}, Position: space.Start(space.ID{1})}}})
	if len(l.last.Check) != 1 || l.last.Check[0].Space != (space.ID{1}) {
		t.Errorf("%+v", l.last)
	}
	l.step(hub.Enter{Identities: []string{"bob"}}) // too late
	if names := l.c.Caller().Identities; names[0] != "ann" {
		t.Errorf("identities %q", names)
	}
	l = newLine(t)
	l.step(hub.Begin{})
	l.step(hub.Enter{Identities: []string{"bob"}}) // nor does it take the place of a handshake
	l.receive(&wire.Subscribe{Subscriptions: []wire.Subscription{{Space: space.ID{1}}}})
	if !l.closed {
		t.Error("a connection went on without its handshake")
	}
}

// TestAbsentSpaces: a connection pushes to so many spaces that do not exist and no more; those that come to be do not count.
func TestAbsentSpaces(t *testing.T) {
	l := welcomedLine(t, 1000)
	told := func(n int, pushed wire.Pushed) {
		pushed.Space = space.ID{1, byte(n >> 16), byte(n >> 8), byte(n)}
		l.step(hub.Verdicts{Reply: hub.Reply{Pushed: &pushed}})
	}
	unknown := wire.Pushed{Verdicts: []wire.Verdict{{Kind: wire.Deferred, Code: wire.CodeUnknownSpace}}}
	limited := wire.Pushed{Genesis: &wire.Verdict{Kind: wire.Deferred, Code: wire.CodeRateLimited}}
	for n := range wire.MaxAbsent {
		if told(n, limited); n%2 == 0 {
			told(n, unknown) // the same space again
		}
	}
	told(0, wire.Pushed{Genesis: &wire.Verdict{Kind: wire.Accepted}})
	told(1, wire.Pushed{Verdicts: []wire.Verdict{{Kind: wire.Accepted}}})
	told(wire.MaxAbsent, unknown)
	told(wire.MaxAbsent+1, limited)
	if l.closed {
		t.Fatal("closed at the limit")
	}
	if told(wire.MaxAbsent+2, unknown); !l.closed || l.code != wire.CodeTooMany {
		t.Errorf("over the limit: closed %v, %v", l.closed, l.code)
	}
}
