package syncserver_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/module/moduletest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/authtest"
	"skerry/syncserver/memlog"
)

// The tests of this file ask for a private space in every way there is, as somebody who may not read it: by every frame of the
// protocol and every route of the server. What they are told must be the same whatever is in the space. So they walk twice, with
// one genesis, one clock and one server's keys: once where much is in it and more happens on the way, once where nothing is.

// private is a server with a space that only its members read: ann made it, mallory was a member, and bob is one where it is rich.
type private struct {
	*rig
	id       space.ID
	members  digest.Digest
	ann, bob *peer
	rich     bool
	texts    []string // that metrics never have: its names, its members', its app's types
	removed  space.Position
	known    []space.Record // up to there
}

// privateGenesis and privateStart are the same wherever the tests walk.
var privateGenesis = func() space.Genesis {
	d, _ := builtin.ByName("members")
	return space.Genesis{Stamp: space.ULID{1, 2, 3}, Creator: "ann", Module: d}
}()

func privateEvent(author, kind string, pairs ...any) space.Transaction {
	payload := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		payload[pairs[i].(string)] = pairs[i+1]
	}
	b, err := msgpack.Marshal(payload)
	if err != nil {
		panic(err)
	}
	t := space.Transaction{Author: author, API: wire.APIHigh, Events: []space.Event{{Type: kind, Payload: b}}}
	rand.Read(t.Events[0].ID[:])
	t.Events[0].ID[0] = 1
	return t
}

var privateStart = []space.Transaction{
	privateEvent("ann", "grant", "identity", "mallory", "role", "writer"),
	privateEvent("mallory", "mallorys-type", "text", "mallorys text"),
	privateEvent("ann", "remove", "identity", "mallory"),
}

// startPrivate starts a server with the space, as it was before mallory was removed.
func startPrivate(t *testing.T, rich bool, configure ...func(*syncserver.Config)) *private {
	log := memlog.New()
	for _, key := range []string{"server/key", "server/seal"} {
		if _, err := log.CompareAndSet(t.Context(), key, nil, bytes.Repeat([]byte{7}, 32)); err != nil {
			t.Fatal(err)
		}
	}
	w := &private{id: privateGenesis.ID(), members: privateGenesis.Module, rich: rich}
	upload(t, log, builtin.Bytes(w.members))
	w.rig = start(t, log, append([]func(*syncserver.Config){runsModules(t, log, nil), tokens, func(c *syncserver.Config) {
		c.Now = func() time.Time { return time.UnixMilli(1_800_000_000_000) }
	}}, configure...)...)
	w.ann, w.bob = w.dial("ann"), w.dial("bob")
	genesis := privateGenesis
	if v := w.ann.pushed(wire.Push{Space: w.id, Genesis: &genesis}).Genesis; v.Kind != wire.Accepted {
		t.Fatalf("%+v", v)
	}
	w.ann.append(w.id, privateStart[0])
	mallory := w.dial("mallory")
	mallory.append(w.id, privateStart[1])
	mallory.close()
	return w
}

// remove removes mallory. Where the space is rich, it becomes that.
func (w *private) remove() {
	w.removed = w.ann.append(w.id, privateStart[2])
	var err error
	if w.known, err = w.log.Read(w.t.Context(), w.id, 0, 3, 1<<20); err != nil || len(w.known) != 3 {
		w.t.Fatal(w.known, err)
	}
	if !w.rich {
		return
	}
	w.write(w.ann, "grant", "identity", "bob", "role", "writer")
	w.write(w.ann, "invite", "role", "admin", "hashes", make([]byte, digest.Size))
	w.bob.listens(w.id)
	w.write(w.bob, "bobs-type", "text", strings.Repeat("bobs text", 1000))
	if v := w.bob.verdict(w.id, privateEvent("bob", "transfer", "to", "bob")); v.Code != wire.CodeModuleOwn+2 {
		w.t.Fatalf("a writer hands the space over: %+v", v)
	}
	w.bob.append(w.id, w.bob.transaction(1000)) // there is a checkpoint
	synctest.Wait()
	w.texts = []string{w.id.String(), string(w.id[:]), "mallory", "bob", "anns", "-type", w.members.String(), string(w.members[:])}
}

func (w *private) write(p *peer, kind string, pairs ...any) {
	if v := p.verdict(w.id, privateEvent(p.identity, kind, pairs...)); v.Kind != wire.Accepted {
		w.t.Fatalf("%s by %s: %+v", kind, p.identity, v)
	}
}

// goOn lets what can happen in a space happen, where it is rich.
func (w *private) goOn() {
	if w.rich {
		w.write(w.ann, "anns-type", "text", "anns text")
		w.write(w.bob, "bobs-type", "text", "bobs text")
		w.bob.say(w.id, "bob is writing")
		w.write(w.ann, "grant", "identity", "cy", "role", "reader")
		w.write(w.ann, "remove", "identity", "cy")
		next := digest.Of(moduletest.Members(nil))
		w.ann.verdict(w.id, privateEvent("ann", module.TypeModule, "hash", next[:])) // which the server does not have
	}
	synctest.Wait()
}

// walker is somebody who asks and notes what they are told.
type walker struct {
	*private
	names []string

	mu   sync.Mutex
	told []string
}

// walk connects, sends frames, waits for all that comes of them, lets the space go on, and waits again.
func (w *walker) walk(frames ...wire.Frame) (told []string) {
	p := w.dialWith(hello(w.names...))
	w.listen(p)
	p.send(frames...)
	synctest.Wait()
	w.goOn()
	p.close()
	synctest.Wait()
	told, w.told = w.told, nil
	slices.Sort(told) // answers to several questions have no order
	return told
}

// listen notes what comes.
func (w *walker) listen(p *peer) {
	go func() {
		for {
			frame, err := p.read()
			if err != nil {
				return
			}
			w.mu.Lock()
			w.told = append(w.told, fmt.Sprintf("%T %x", frame, wire.Append(nil, frame)))
			w.mu.Unlock()
		}
	}()
}

// everyNumber returns the number of every frame that there is.
func everyNumber() (all []wire.Number) {
	for n := range wire.Number(128) {
		if _, err := wire.Decode([]byte{0x91, byte(n)}); wire.CodeOf(err) != wire.CodeUnknownFrame {
			all = append(all, n)
		}
	}
	return all
}

// asks are what somebody could send who wants to know of the space. A frame that only servers send is sent all the same.
func (w *walker) asks() map[wire.Number][][]wire.Frame {
	id, author := w.id, "nobody"
	if len(w.names) > 0 {
		author = w.names[0]
	}
	genesis := privateGenesis
	push := func(events ...space.Transaction) []wire.Frame {
		return []wire.Frame{&wire.Push{Space: id, N: 1, Transactions: events}}
	}
	event := func(kind string, pairs ...any) []wire.Frame { return push(privateEvent(author, kind, pairs...)) }
	subscribe := func(p space.Position) []wire.Frame {
		return []wire.Frame{&wire.Subscribe{Subscriptions: []wire.Subscription{{Space: id, Position: p}}}}
	}
	fetch := func(after, before uint64) []wire.Frame {
		return []wire.Frame{&wire.Fetch{Ref: 1, Space: id, After: after, Before: before, MaxRecords: 100, MaxBytes: 1 << 20}}
	}
	blob := func(d digest.Digest) []wire.Frame { return []wire.Frame{&wire.Blob{Ref: 1, Digest: d}} }
	far := w.removed
	far.Seq += 10
	parts := func() (frames []wire.Frame) {
		for _, piece := range wire.Split(wire.Append(nil, subscribe(space.Start(id))[0]), 40) {
			part, err := wire.Decode(piece)
			if err != nil {
				w.t.Fatal(err)
			}
			frames = append(frames, part)
		}
		return frames
	}
	several := []wire.Frame{
		&wire.Directory{Ref: 1}, subscribe(space.Start(id))[0], &wire.Ephemeral{Space: id, Bytes: []byte("x")}, fetch(0, 0)[0], event("note")[0],
	}
	return map[wire.Number][][]wire.Frame{
		wire.NumberHello:     {{hello("ann")}},
		wire.NumberDirectory: {{&wire.Directory{Ref: 1}}, {&wire.Directory{Ref: 1, Since: make([]byte, 32)}}, several},
		wire.NumberPush: {
			event("note", "text", "x"), event("grant", "identity", author, "role", "reader"),
			event("remove", "identity", "ann"), event("remove", "identity", "bob"), event("transfer", "to", "bob"),
			event("invite", "role", "reader", "hashes", make([]byte, digest.Size)), event("revoke", "hashes", make([]byte, digest.Size)),
			event("redeem", "secret", make([]byte, 16)), event("leave"), event(module.TypeCheckpoint),
			event(module.TypeExpire, "upto", uint64(1)), event(module.TypeExpire, "upto", uint64(2)), event(module.TypeExpire, "upto", uint64(1000)),
			event(module.TypeModule, "hash", module.Open[:]), event(module.TypeModule, "hash", w.removed.Chain[:]),
			push(privateEvent("ann", "note")), push(privateEvent(author, "note"), privateEvent(author, "leave")), push(privateStart...), push(privateStart[1]), push(space.Transaction{Author: author}),
			{&wire.Push{Space: id, N: 1, Genesis: &genesis}}, {&wire.Push{Space: id, N: 2}},
		},
		wire.NumberSubscribe: {
			subscribe(space.Start(id)), subscribe(w.removed), subscribe(far), subscribe(space.Position{Seq: 1}), subscribe(space.Position{Seq: 1000}),
		},
		wire.NumberUnsubscribe: {{&wire.Unsubscribe{Spaces: []space.ID{id}}}},
		wire.NumberFetch:       {fetch(0, 0), fetch(3, 0), fetch(1<<20, 0), fetch(0, 2), fetch(0, 1<<31)},
		wire.NumberBlob:        {blob(digest.Digest(id)), blob(w.members), blob(w.removed.Chain), blob(digest.Digest{})},
		wire.NumberBlobPut: {
			{&wire.BlobPut{Ref: 1, Digest: w.members, Total: 100}}, {&wire.BlobPut{Ref: 1, Digest: digest.Digest(id), Total: 100}},
			{&wire.BlobPut{Ref: 1, Digest: digest.Of([]byte("x")), Total: 1, Bytes: []byte("x")}},
		},
		wire.NumberCredit:      {{&wire.Credit{Bytes: 1 << 30}}},
		wire.NumberPing:        {{&wire.Ping{}}},
		wire.NumberAuthRefresh: {{&wire.AuthRefresh{Ref: 1, Proof: wire.Proof{Identity: "ann"}}}},
		wire.NumberEphemeral:   {{&wire.Ephemeral{Space: id, Bytes: []byte("x")}}, append(subscribe(space.Start(id)), &wire.Ephemeral{Space: id, Bytes: []byte("x")})},
		wire.NumberPart:        {parts()},
		wire.NumberLocate: {
			{&wire.Locate{Ref: 1, Space: id, Position: w.removed, Points: []space.Position{space.Start(id)}}}, {&wire.Locate{Ref: 1, Space: id, Position: far}},
			{&wire.Locate{Ref: 1, Space: id, Position: space.Start(id)}},
		},
		wire.NumberAdopt: {
			{&wire.Adopt{Ref: 1, Space: id, Base: space.Start(id), End: w.removed, Records: w.known}}, {&wire.Adopt{Ref: 1, Space: id, End: far}},
			{&wire.Adopt{Ref: 1, Space: id, Genesis: &genesis, Base: space.Start(id), End: w.removed, Records: w.known}},
		},
		wire.NumberReclaim: {
			{&wire.Reclaim{Ref: 1, Space: id, Base: space.Start(id), End: w.removed, Records: w.known}}, {&wire.Reclaim{Ref: 1, Space: id, Base: w.removed, End: far}},
		},

		wire.NumberChallenge: {{&wire.Challenge{}}}, wire.NumberWelcome: {{&wire.Welcome{Identities: []string{"ann"}}}},
		wire.NumberSpaces: {{&wire.Spaces{Ref: 1}}}, wire.NumberPushed: {{&wire.Pushed{Space: id}}}, wire.NumberEvents: {{&wire.Events{Space: id}}},
		wire.NumberCaughtUp: {{&wire.CaughtUp{Space: id}}}, wire.NumberEnded: {{&wire.Ended{Space: id}}}, wire.NumberPage: {{&wire.Page{Space: id}}},
		wire.NumberBlobPart: {{&wire.BlobPart{Ref: 1}}}, wire.NumberPong: {{&wire.Pong{}}}, wire.NumberRefused: {{&wire.Refused{Ref: 1}}},
		wire.NumberLocated: {{&wire.Located{Ref: 1}}}, wire.NumberAdopted: {{&wire.Adopted{Ref: 1}}}, wire.NumberReclaimed: {{&wire.Reclaimed{Ref: 1}}},
		wire.NumberError: {{&wire.Error{}}}, wire.NumberBye: {{&wire.Bye{}}},
	}
}

// askAll sends every frame, and asks every route. What it is told is told by what it asked for.
func (w *walker) askAll() (all map[string][]string, order []string) {
	asks := w.asks()
	all = map[string][]string{}
	note := func(what string, told []string) {
		all[what] = told
		order = append(order, what)
	}
	for _, n := range everyNumber() {
		if len(asks[n]) == 0 {
			w.t.Errorf("nobody has asked with frame %d yet", n)
		}
		for i, frames := range asks[n] {
			note(fmt.Sprintf("frame %d (%T), way %d", n, frames[0], i), w.walk(frames...))
		}
	}
	for _, route := range w.server.Routes() {
		paths, ok := w.routes()[route]
		if !ok {
			w.t.Errorf("nobody has asked %s yet", route)
		}
		for _, path := range paths {
			note(route+": "+path, []string{w.get(path)})
		}
	}
	return all, order
}

// routes are the paths to ask for, by the routes of the server.
func (w *walker) routes() map[string][]string {
	id := w.id.String()
	return map[string][]string{
		"/sync":        {"/sync", "/sync?space=" + id, "/sync/" + id},
		"GET /healthz": {"/healthz", "/healthz?space=" + id},
		"GET /readyz":  {"/readyz"},
		"GET /metrics": {"/metrics", "/metrics?space=" + id},

		"/api/":                         {"/api/", "/api/v1/names/" + id},
		"/api/v1/openapi.json":          {"/api/v1/openapi.json"},
		"/setup":                        {"/setup", "/setup?space=" + id},
		"/api/v1/setup":                 {"/api/v1/setup", "/api/v1/setup?space=" + id},
		"/api/v1/version":               {"/api/v1/version"},
		"/api/v1/challenge":             {"/api/v1/challenge/" + id},
		"/api/v1/token":                 {"/api/v1/token", "/api/v1/token?space=" + id},
		"/api/v1/logout":                {"/api/v1/logout", "/api/v1/logout?space=" + id},
		"/api/v1/links":                 {"/api/v1/links", "/api/v1/links?identity_sha256=" + id},
		"/api/v1/unlink":                {"/api/v1/unlink"},
		"/api/v1/whoami":                {"/api/v1/whoami", "/api/v1/whoami?space=" + id},
		"/api/v1/spaces":                {"/api/v1/spaces", "/api/v1/spaces?space=" + id},
		"/api/v1/spaces/{space}":        {"/api/v1/spaces/" + id},
		"/api/v1/spaces/{space}/events": {"/api/v1/spaces/" + id + "/events", "/api/v1/spaces/" + id + "/events?limit=1", "/api/v1/spaces/" + id + "/events?after=" + at(w.removed)},

		"/api/v1/spaces/{space}/module":    {"/api/v1/spaces/" + id + "/module"},
		"/api/v1/spaces/{space}/name":      {"/api/v1/spaces/" + id + "/name"},
		"/api/v1/spaces/{space}/retention": {"/api/v1/spaces/" + id + "/retention"},
		"/api/v1/names/{name}":             {"/api/v1/names/" + id, "/api/v1/names/harbour"},

		"GET /.well-known/did.json": {"/.well-known/did.json", "/.well-known/did.json?space=" + id},

		"/": {"/", "/" + id, "/spaces/" + id, "/blob/" + privateGenesis.Module.String(), "/debug/pprof/", "/.."},
	}
}

var label = regexp.MustCompile(`[,{](\w+)="([^"]*)"`)

// labels checks that metrics have labels that nobody who uses the server chooses.
func (w *private) labels(metrics string) {
	known := []string{"module", "gone"}
	for _, name := range wire.Codes() {
		known = append(known, name)
	}
	for _, found := range label.FindAllStringSubmatch(metrics, -1) {
		if found[1] == "module" { // what is no built-in's name is a digest, which nobody chooses
			if _, known := builtin.ByName(found[2]); !known && found[2] != "other" && !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(found[2]) {
				w.t.Errorf("metrics have the label %s", found[0])
			}
			continue
		}
		if ours := found[1] == "code"; ours && !slices.Contains(known, found[2]) || !ours && !slices.Contains([]string{"le", "quantile", "version", "cause"}, found[1]) {
			w.t.Errorf("metrics have the label %s", found[0])
		}
	}
}

// at returns a position as the API has it.
func at(p space.Position) string {
	b := binary.BigEndian.AppendUint64(nil, p.Seq)
	return base64.RawURLEncoding.EncodeToString(append(append(b, p.Chain[:]...), p.Seal[:]...))
}

// get asks over HTTP. Of metrics, which are the sum of all spaces, their names count.
func (w *walker) get(path string) string {
	request, err := http.NewRequest(http.MethodGet, "http://skerry.test"+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(w.names) > 0 {
		request.Header.Set("Authorization", "Bearer token of "+w.names[0])
	}
	response, err := w.client.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if strings.HasPrefix(path, "/metrics") {
		w.labels(string(body))
		for _, text := range w.texts {
			if bytes.Contains(body, []byte(text)) {
				w.t.Errorf("GET %s tells %q", path, text)
			}
		}
		body = nil
	}
	response.Header.Del("Date")
	return fmt.Sprint(response.StatusCode, response.Header, string(body))
}

// strangers are who may not read: somebody nobody knows, who has no name, and who was a member once.
var strangers = map[string][]string{"a stranger": {"eve"}, "nobody": nil, "who was a member": {"mallory"}}

// TestStranger: of a private space a stranger is told no more than that it exists, by whatever they ask, and who was a member
// nothing of what is in it since they were removed.
func TestStranger(t *testing.T) {
	for who, names := range strangers {
		t.Run(who, func(t *testing.T) {
			walk := func(rich bool) (all map[string][]string, order []string) {
				synctest.Test(t, func(t *testing.T) {
					w := &walker{private: startPrivate(t, rich), names: names}
					w.remove()
					all, order = w.askAll()
					w.stop()
				})
				return all, order
			}
			rich, order := walk(true)
			poor, _ := walk(false)
			for _, what := range order {
				if !slices.Equal(rich[what], poor[what]) {
					t.Errorf("%s: what is told depends on what is in the space:\n%s\nif nothing is:\n%s", what, show(rich[what]), show(poor[what]))
				}
			}
		})
	}
}

// TestClaimsArePrivate: what credentials claim is told to nobody by whatever they ask, and of who comes and goes a stranger is told
// nothing either.
func TestClaimsArePrivate(t *testing.T) {
	const claim = "what the issuer says of bob"
	for who, name := range map[string]string{"an administrator": "ann", "a stranger": "eve"} {
		t.Run(who, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &walker{names: []string{name}, private: startPrivate(t, false, func(c *syncserver.Config) {
					c.Auth = authtest.Names{Claims: map[string][]byte{"bob": packed("email", claim), "ann": packed("email", claim)}}
				})}
				if done, err := w.server.SetUp(t.Context(), "ann"); err != nil || !done {
					t.Fatal(done, err)
				}
				if rows := connected(t, w.log); !slices.ContainsFunc(rows, func(row string) bool { return strings.Contains(row, claim) }) {
					t.Fatalf("the server does not keep what is claimed: %q", rows)
				}
				w.id, _ = w.server.System()
				all, order := w.askAll()
				reads := false
				for _, what := range order {
					told := strings.Join(all[what], "\n")
					for _, text := range []string{claim, fmt.Sprintf("%x", claim)} {
						if strings.Contains(told, text) {
							t.Errorf("%s tells what is claimed:\n%s", what, show(all[what]))
						}
					}
					reads = reads || strings.Contains(told, fmt.Sprintf("%x", module.TypeConnect))
				}
				if reads != (name == "ann") {
					t.Errorf("%s reads who connects: %v", who, reads)
				}
				w.stop()
			})
		})
	}
}

// show makes what was told readable.
func show(told []string) string {
	var b strings.Builder
	for _, line := range told {
		b.WriteString("\t" + line)
		if kind, message, ok := strings.Cut(line, " "); ok {
			if raw, err := hex.DecodeString(message); err == nil {
				if frame, err := wire.Decode(raw); err == nil {
					fmt.Fprintf(&b, "\n\t%s %+v", kind, frame)
				}
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestRemovedWhileConnected: who is removed while they listen to everything is told of nothing that comes after.
func TestRemovedWhileConnected(t *testing.T) {
	walk := func(rich bool) (told []string) {
		synctest.Test(t, func(t *testing.T) {
			w := &walker{private: startPrivate(t, rich), names: []string{"mallory"}}
			p := w.dialWith(hello("mallory"))
			w.listen(p)
			p.send(&wire.Directory{Ref: 1})
			synctest.Wait()
			p.subscribe(w.id, space.Start(w.id))
			synctest.Wait()
			w.remove()
			w.goOn()
			p.say(w.id, "still here")
			p.send(&wire.Fetch{Ref: 2, Space: w.id, MaxRecords: 100, MaxBytes: 1 << 20})
			synctest.Wait()
			p.subscribe(w.id, w.removed)
			synctest.Wait()
			w.goOn()
			p.close()
			synctest.Wait()
			told = w.told
			slices.Sort(told) // the directory and a subscription have no order
			w.stop()
		})
		return told
	}
	rich, poor := walk(true), walk(false)
	if !slices.Equal(rich, poor) {
		t.Errorf("what is told depends on what came later:\n%s\nif nothing came:\n%s", show(rich), show(poor))
	}
}
