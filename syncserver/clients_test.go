package syncserver_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/system"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/auth"
	"skerry/syncserver/authtest"
	"skerry/syncserver/logtest"
	"skerry/syncserver/memlog"
	"skerry/syncserver/sqlitelog"
)

// wrote are the records of the system space but what becomes of spaces, in their order, as "$connect ada".
func (r *rig) wrote() (lines []string) {
	r.t.Helper()
	id, ok := r.server.System()
	if !ok {
		r.t.Fatal("there is no system space")
	}
	records, err := r.log.Read(context.Background(), id, 0, 10_000, 1<<30)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, record := range records {
		if record.Type == module.TypeSpace {
			continue
		}
		read, identity := msgpack.Reader{Rest: record.Payload}, ""
		for range read.Map() {
			if read.Text() == "identity" {
				identity = read.Text()
			} else {
				read.Skip(1)
			}
		}
		lines = append(lines, record.Type+" "+identity)
	}
	return lines
}

// writes waits until the system space has these records and no more.
func (r *rig) writes(want ...string) {
	r.t.Helper()
	eventually(r.t, func() error {
		if got := r.wrote(); !slices.Equal(got, want) {
			return fmt.Errorf("the system space has\n%q, want\n%q", got, want)
		}
		return nil
	})
}

// connected are the rows of who is connected, as "ada", or "ada <claims>".
func connected(t testing.TB, log syncserver.Log) (rows []string) {
	t.Helper()
	clients, err := logtest.AllClients(context.Background(), log)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		rows = append(rows, strings.TrimSpace(fmt.Sprintf("%s %s", c.Identity, c.Claims)))
	}
	slices.Sort(rows)
	return rows
}

func (r *rig) rows(want ...string) {
	r.t.Helper()
	eventually(r.t, func() error {
		if got := connected(r.t, r.log); !slices.Equal(got, want) {
			return fmt.Errorf("connected are %q, want %q", got, want)
		}
		return nil
	})
}

// refused says hello and wants the connection to be refused with a reason.
func (r *rig) refused(h *wire.Hello, code wire.Code, reason string) {
	r.t.Helper()
	p, _ := r.connect()
	p.send(h)
	failure := await[*wire.Error](p)
	if failure.Code != code || !strings.Contains(failure.Reason, reason) {
		r.t.Fatalf("refused with %v %q, want %v %q", failure.Code, failure.Reason, code, reason)
	}
	if frame, err := p.read(); err == nil {
		r.t.Fatalf("after that came %T", frame)
	}
}

func packed(pairs ...any) []byte {
	b := msgpack.AppendMap(nil, len(pairs)/2)
	for _, v := range pairs {
		switch v := v.(type) {
		case string:
			b = msgpack.AppendString(b, v)
		case bool:
			b = msgpack.AppendBool(b, v)
		}
	}
	return b
}

// policed starts a server with the policy for tests, in which some identities claim something.
func policed(t *testing.T, log syncserver.Log, claims map[string][]byte, configure ...func(*syncserver.Config)) *rig {
	t.Helper()
	policy := upload(t, log, moduletest.Policy())
	r := start(t, log, append([]func(*syncserver.Config){runsModules(t, log, nil), func(c *syncserver.Config) {
		c.Policy, c.Auth = policy, authtest.Names{Claims: claims}
	}}, configure...)...)
	return r
}

// TestPolicyRefuses: who is refused is told the policy's reason, which may be made of what they claim, and leaves nothing behind. A
// policy that fails has another code.
func TestPolicyRefuses(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		r := policed(t, open(), map[string][]byte{"eve": packed("name", "Eve Adams", "banned", true), "bob": packed("name", "Bob", "banned", false)})
		for range 2 {
			r.refused(hello("refused"), wire.CodeConnectRefused, "not you")
			r.refused(hello("eve"), wire.CodeConnectRefused, "Eve Adams is banned")
			r.refused(hello("bob", "eve"), wire.CodeConnectRefused, "Eve Adams is banned")
			r.refused(hello("trapped"), wire.CodeConnectFailed, "module_trap")
			r.refused(hello("endless"), wire.CodeConnectFailed, "out_of_fuel")
		}
		r.rows()
		ann := r.dial("ann")
		r.rows("ann")
		ann.close()
		r.writes("$connect ann", "$disconnect ann")
		r.rows()
		r.dialWith(hello("bob", "ann"))
		r.rows("ann", "bob "+string(packed("name", "Bob", "banned", false)))
		r.writes("$connect ann", "$disconnect ann", "$connect bob", "$connect ann")
		r.hangUp()
		r.writes("$connect ann", "$disconnect ann", "$connect bob", "$connect ann", "$disconnect bob", "$disconnect ann")
		r.rows()
		r.dialWith(hello())
		r.rows("")
	})
}

// TestConnectionIsWrittenDownFirst: before the welcome there are the record and the row, and when neither can be stored there is
// no welcome.
func TestConnectionIsWrittenDownFirst(t *testing.T) {
	log := &hooked{Log: memlog.New()}
	r := start(t, log, runsModules(t, log, nil))
	id, _ := r.server.System()
	held, release := make(chan struct{}), make(chan struct{})
	log.before(func(of space.ID) error {
		if of == id {
			close(held)
			<-release
		}
		return nil
	})
	p, _ := r.connect()
	p.send(hello("ann"), &wire.Ping{})
	<-held
	if frame := p.receive(); frame.Number() != (&wire.Pong{}).Number() {
		t.Fatalf("before anything is written down came %T", frame)
	}
	log.before(nil)
	close(release)
	await[*wire.Welcome](p)
	if rows := connected(t, log); !slices.Equal(rows, []string{"ann"}) {
		t.Fatalf("at the welcome connected are %q", rows)
	}
	r.writes("$connect ann")
	r.rows("ann")
}

// TestConnectionEnds: however a connection ends, the record and the removal of its row are one, and the row goes even if the policy
// does not like it.
func TestConnectionEnds(t *testing.T) {
	ends := map[string]func(p *peer){
		"closed": func(p *peer) { p.socket.Close(websocket.StatusNormalClosure, "") },
		"reset":  func(p *peer) { p.close() },
		"idle":   func(*peer) { time.Sleep(2 * time.Minute) },
	}
	for how, end := range ends {
		for _, identity := range []string{"ann", "stays", "trapped later"} {
			t.Run(how+" "+identity, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					log := memlog.New()
					r := policed(t, log, nil)
					p := r.dial(identity)
					if rows := connected(t, log); !slices.Equal(rows, []string{identity}) {
						t.Errorf("connected are %q", rows)
					}
					end(p)
					synctest.Wait()
					if rows := connected(t, log); len(rows) > 0 {
						t.Errorf("still connected are %q", rows)
					}
					want := []string{"$connect " + identity}
					if identity == "ann" {
						want = append(want, "$disconnect ann")
					}
					if got := r.wrote(); !slices.Equal(got, want) {
						t.Errorf("the system space has %q, want %q", got, want)
					}
					r.stop()
				})
			})
		}
	}
}

// TestConnectionIDOnce: of a thousand who say hello with one connection_id at once one gets in, and goes on; when it is gone nobody
// gets in by that any more.
func TestConnectionIDOnce(t *testing.T) {
	r := start(t, memlog.New(), runsModules(t, memlog.New(), nil), func(c *syncserver.Config) {
		c.HandshakeTimeout, c.IdleTimeout = time.Hour, time.Hour // all of them wait for the last
	})
	n := 1000
	if testing.Short() {
		n = 100
	}
	same := hello("ann")
	var in atomic.Pointer[peer]
	var refused atomic.Int32
	var running sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		h := *same
		h.Session[0] = byte(i) // sessions of their own, so that none ends another
		h.Session[1] = byte(i >> 8)
		p, _ := r.connect()
		running.Go(func() {
			<-begin
			p.send(&h)
			switch f := p.receive().(type) {
			case *wire.Welcome:
				if !in.CompareAndSwap(nil, p) {
					t.Error("two of them are in")
				}
			case *wire.Error:
				if f.Code != wire.CodeSuperseded {
					t.Errorf("refused with %v %q", f.Code, f.Reason)
				}
				refused.Add(1)
			}
		})
	}
	close(begin)
	running.Wait()
	p := in.Load()
	if p == nil || int(refused.Load()) != n-1 {
		t.Fatalf("%d of %d are refused", refused.Load(), n)
	}
	p.send(&wire.Ping{})
	await[*wire.Pong](p)
	r.rows("ann")
	p.identity = "ann"
	p.create()
	p.close()
	r.rows()
	again := *same
	again.Session = [16]byte{9}
	r.refused(&again, wire.CodeSuperseded, "before")
	other := *hello("bob")
	other.ConnectionID = same.ConnectionID
	r.refused(&other, wire.CodeSuperseded, "before")
	r.writes("$connect ann", "$disconnect ann")
}

// TestTakeoverInOrder: who takes a session over comes after the one before is gone, in the log too, for the same identity only.
func TestTakeoverInOrder(t *testing.T) {
	r := start(t, memlog.New(), runsModules(t, memlog.New(), nil))
	h := hello("ann")
	first := r.dialWith(h)
	for epoch := range uint64(5) {
		next := hello("ann")
		next.Session, next.Epoch = h.Session, epoch+1
		r.dialWith(next)
	}
	first.fails(wire.CodeSuperseded)
	other := hello("eve")
	other.Session, other.Epoch = h.Session, 99
	r.dialWith(other)
	want := []string{"$connect ann"}
	for range 5 {
		want = append(want, "$disconnect ann", "$connect ann")
	}
	r.writes(append(want, "$connect eve")...)
	r.rows("ann", "eve")
}

// TestGoneBeforeItIsIn: a connection that ends while the policy is asked is let in none the less, and written off.
func TestGoneBeforeItIsIn(t *testing.T) {
	log := &hooked{Log: memlog.New()}
	r := start(t, log, runsModules(t, log, nil))
	id, _ := r.server.System()
	release := make(chan struct{})
	log.before(func(of space.ID) error {
		if of == id {
			<-release
		}
		return nil
	})
	const n = 20
	var peers []*peer
	for range n {
		p, _ := r.connect()
		p.send(hello("ann"))
		peers = append(peers, p)
	}
	eventually(t, func() error {
		if asked := r.server.Asked(); asked < n {
			return fmt.Errorf("the policy is asked of %d connections", asked)
		}
		return nil
	})
	for _, p := range peers {
		p.close()
	}
	eventually(t, func() error {
		if open := r.server.Open(); open > 0 {
			return fmt.Errorf("%d connections are open", open)
		}
		return nil
	})
	close(release)
	eventually(t, func() error {
		count := map[string]int{}
		for _, line := range r.wrote() {
			count[line]++
		}
		if rows := connected(t, log); count["$connect ann"] != n || count["$disconnect ann"] != n || len(rows) > 0 || r.server.Connections() > 0 {
			return fmt.Errorf("wrote %v, connected are %q", count, rows)
		}
		return nil
	})
}

// TestKilledWithConnections: whoever was connected when the server was killed is written off once, before the first socket, wherever
// it is killed again meanwhile.
func TestKilledWithConnections(t *testing.T) {
	const n = 7
	for writes := 0; ; writes++ { // that the second server stores before it is killed too
		log := memlog.New()
		frost := &frozen{Log: log}
		first := start(t, frost, runsModules(t, log, nil))
		for i := range n {
			first.dial(fmt.Sprint("ann ", i))
		}
		first.dialWith(hello("bob", "bert"))
		frost.freeze(0)
		first.stop()
		if rows := connected(t, log); len(rows) != n+2 {
			t.Fatalf("the killed server left %q", rows)
		}

		frost = &frozen{Log: log}
		killed := frost.freeze(writes)
		over := false
		if second, err := tryStart(t, frost, runsModules(t, log, nil)); err == nil {
			swept := make(chan struct{})
			go func() {
				defer close(swept)
				second.ready()
			}()
			select {
			case <-killed:
			case <-swept:
				over = true
			}
			second.stop()
			<-swept
		}

		third := start(t, log, runsModules(t, log, nil))
		third.ready()
		if rows := connected(t, log); len(rows) > 0 {
			t.Fatalf("killed again after %d writes: connected are %q", writes, rows)
		}
		count := map[string]int{}
		for _, line := range third.wrote() {
			count[line]++
		}
		for line, times := range count {
			if times != 1 || count[strings.Replace(line, "$connect", "$disconnect", 1)] != 1 {
				t.Fatalf("killed again after %d writes: %d times %q", writes, times, line)
			}
		}
		if len(count) != 2*(n+2) {
			t.Fatalf("killed again after %d writes: %v", writes, count)
		}
		id, _ := third.server.System()
		logtest.CheckSpace(t.Context(), t, log, id)
		third.stop()
		if over {
			if writes == 0 {
				t.Fatal("the second server wrote nothing")
			}
			return
		}
	}
}

// TestFirstSocketAfterTheSweep: nobody is let in, and the server is not ready, before those of the last time are written off.
func TestFirstSocketAfterTheSweep(t *testing.T) {
	log := memlog.New()
	first := start(t, &frozen{Log: log}, runsModules(t, log, nil))
	first.dial("ghost")
	first.log.(*frozen).freeze(0)
	id, _ := first.server.System()
	first.stop()

	gated := &hooked{Log: log}
	held, release := make(chan struct{}), make(chan struct{})
	gated.before(func(of space.ID) error {
		if of == id {
			held <- struct{}{}
			<-release
		}
		return nil
	})
	second := start(t, gated, runsModules(t, log, nil))
	<-held
	if code := second.status("/readyz"); code != http.StatusServiceUnavailable {
		t.Fatalf("while somebody is written off /readyz is %d", code)
	}
	rows := make(chan []string)
	go func() {
		second.connect()
		rows <- connected(t, log)
	}()
	gated.before(nil)
	close(release)
	if left := <-rows; len(left) > 0 {
		t.Fatalf("at the first socket connected are %q", left)
	}
	if code := second.status("/readyz"); code != http.StatusOK {
		t.Fatalf("/readyz is %d", code)
	}
}

// TestProofIsNowhere: what proves somebody is in no file of the data directory, while what it claims is; the server's log has neither.
func TestProofIsNowhere(t *testing.T) {
	dir := t.TempDir()
	log, err := sqlitelog.Open(t.Context(), sqlitelog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var lines lockedBuffer
	r := policed(t, log, map[string][]byte{"ann": packed("name", "Ann Other")}, func(c *syncserver.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	p, _ := r.connect()
	h := p.signed(hello("ann"))
	p.send(h)
	await[*wire.Welcome](p)
	r.refused(hello("refused"), wire.CodeConnectRefused, "not you")
	inFiles(t, dir, "Ann Other", string(h.Proofs[0].Proof))
	if said := lines.String(); strings.Contains(said, "Ann Other") || strings.Contains(said, fmt.Sprintf("%x", h.Proofs[0].Proof)) {
		t.Errorf("the log tells of claims or proofs:\n%s", said)
	}
	r.stop()
}

// inFiles wants a text in a directory's files, which shows that it looks in the right place, and others in none of them.
func inFiles(t *testing.T, dir, there string, nowhere ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(content, []byte(there))
		for _, text := range nowhere {
			if bytes.Contains(content, []byte(text)) {
				t.Errorf("%s has %q", entry.Name(), text)
			}
		}
	}
	if !found {
		t.Errorf("%q is in no file", there)
	}
}

// TestClaimsOfTokens: the policy that is built in judges by what a token claims, and says what else it claims; of the token the data
// directory has nothing but that.
func TestClaimsOfTokens(t *testing.T) {
	const issuer = "https://issuer.test"
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	keys, dir := filepath.Join(t.TempDir(), "key.pem"), t.TempDir()
	if err := os.WriteFile(keys, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.New(auth.Config{Issuers: []auth.Issuer{{Name: issuer, Audience: []string{"skerry"}, Keys: keys}}})
	if err != nil {
		t.Fatal(err)
	}
	log, err := sqlitelog.Open(t.Context(), sqlitelog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	rules := msgpack.AppendMap(nil, 2)
	rules = append(msgpack.AppendString(rules, "require"), 0x81)
	rules = append(msgpack.AppendString(rules, "plan"), 0x92)
	rules = msgpack.AppendString(msgpack.AppendString(rules, "pro"), "team")
	rules = msgpack.AppendString(msgpack.AppendString(rules, "show"), "email")
	r := start(t, log, runsModules(t, log, nil), func(c *syncserver.Config) { c.Auth, c.PolicyParams = tokens, rules })
	with := func(who string, plan any) (*wire.Hello, string) {
		token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
			"iss": issuer, "sub": who, "aud": "skerry", "exp": time.Now().Add(time.Hour).Unix(), "plan": plan, "email": who + "@example.org",
		}).SignedString(private)
		if err != nil {
			t.Fatal(err)
		}
		h := hello(issuer + "#" + who)
		h.Proofs[0].Proof = []byte(token)
		return h, token[strings.LastIndexByte(token, '.')+1:]
	}
	free, _ := with("eve", "free")
	r.refused(free, wire.CodeConnectRefused, "claim plan is free, and pro or team is wanted (email: eve@example.org)")
	several, signature := with("ann", []string{"beta", "team"})
	r.dialWith(several)
	if clients, err := logtest.AllClients(t.Context(), log); err != nil || len(clients) != 1 || clients[0].Identity != issuer+"#ann" || !bytes.Contains(clients[0].Claims, []byte("ann@example.org")) {
		t.Fatalf("connected are %v, %v", clients, err)
	}
	r.writes("$connect " + issuer + "#ann")
	inFiles(t, dir, "ann@example.org", signature)
	inFiles(t, dir, issuer+"#ann", "eve@example.org")
	r.stop()
}

// lockedBuffer is written to by several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestPolicyChanges: a policy of the configuration takes the space over before the first connection, and one that cannot keeps the
// server from running.
func TestPolicyChanges(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		log := open()
		r := start(t, log, runsModules(t, log, nil))
		id, _ := r.server.System()
		r.dial("refused")
		r.stop()
		rules := func(c *syncserver.Config) {
			c.PolicyParams = msgpack.AppendMap(nil, 1)
			c.PolicyParams = append(msgpack.AppendString(c.PolicyParams, "require"), 0x81, 0xa4)
			c.PolicyParams = append(c.PolicyParams, "plan"...)
			c.PolicyParams = append(c.PolicyParams, 0x91, 0xa3, 'p', 'r', 'o')
		}
		for range 2 { // the second time there is nothing to change
			r = start(t, log, runsModules(t, log, nil), rules)
			r.refused(hello("refused"), wire.CodeConnectRefused, "pro is wanted")
			r.stop()
		}
		r = policed(t, log, nil)
		if again, _ := r.server.System(); again != id {
			t.Fatalf("the system space is %s, and was %s", again, id)
		}
		r.refused(hello("refused"), wire.CodeConnectRefused, "not you")
		r.dial("ann")
		r.stop()
		want := []string{"$connect refused", "$disconnect refused", "$module ", "$checkpoint ", "$module ", "$checkpoint ", "$connect ann", "$disconnect ann"}
		if got := r.wrote(); !slices.Equal(got, want) {
			t.Fatalf("the system space has %q", got)
		}

		for name, policy := range map[string]digest.Digest{"no policy": upload(t, log, moduletest.Members(nil)), "open": module.Open, "gone": {1}} {
			config := syncserver.Config{Log: log, Policy: policy}
			runsModules(t, log, nil)(&config)
			config.Policy = policy
			if _, err := syncserver.New(config); err == nil || !strings.Contains(err.Error(), policy.String()) {
				t.Errorf("%s: New = %v", name, err)
			}
		}
		config := syncserver.Config{Log: log, PolicyParams: []byte{0xc1}}
		runsModules(t, log, nil)(&config)
		server, err := syncserver.New(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "the system space cannot be taken over") {
			t.Fatalf("Run with params that are none = %v", err)
		}
	})
}

// TestAdministratorsRead: administrators have the system space in their directory and read it like any other; nobody else does.
func TestAdministratorsRead(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil))
	id, _ := r.server.System()
	stranger := r.dial("eve")
	stranger.subscribe(id, space.Start(id))
	if ended := await[*wire.Ended](stranger); ended.Code != wire.CodeForbidden {
		t.Fatalf("a stranger's subscription ends with %v", ended.Code)
	}
	if done, err := r.server.SetUp(t.Context(), "ann"); err != nil || !done {
		t.Fatalf("SetUp = %v, %v", done, err)
	}
	if done, err := r.server.SetUp(t.Context(), "eve"); err != nil || done {
		t.Fatalf("a second SetUp = %v, %v", done, err)
	}
	ann := r.dial("ann")
	eventually(t, func() error { // it is told behind the record
		ann.send(&wire.Directory{Ref: 1})
		if rows := await[*wire.Spaces](ann).Rows; len(rows) != 1 || rows[0].Genesis.ID() != id {
			return fmt.Errorf("an administrator's directory has %d spaces", len(rows))
		}
		return nil
	})
	ann.subscribe(id, space.Start(id))
	records, _ := ann.follow(id, space.Start(id), 3)
	var lines []string
	for i := range records {
		lines = append(lines, records[i].Type)
	}
	if want := []string{"$connect", "$setup", "$connect"}; !slices.Equal(lines, want) {
		t.Fatalf("an administrator reads %q, want %q", lines, want)
	}
	ann.append(id, ann.of(system.TypeGrant, system.Identity("bob")))
	if v := stranger.verdict(id, stranger.of(system.TypeGrant, system.Identity("eve"))); v.Kind != wire.Rejected {
		t.Fatalf("a stranger makes herself an administrator: %+v", v)
	}
	if v := ann.verdict(id, ann.of(module.TypeSetup, system.Identity("eve"))); v.Code != wire.CodeReservedType {
		t.Fatalf("an administrator sets the server up: %+v", v)
	}
	if !r.server.IsSetUp() {
		t.Fatal("the server is not set up")
	}
	var once sync.WaitGroup
	var won atomic.Int32
	fresh := start(t, memlog.New(), runsModules(t, memlog.New(), nil))
	for i := range 8 {
		once.Go(func() {
			done, err := fresh.server.SetUp(t.Context(), fmt.Sprint("admin ", i))
			if err != nil {
				t.Error(err)
			}
			if done {
				won.Add(1)
			}
		})
	}
	if once.Wait(); won.Load() != 1 {
		t.Fatalf("%d of them set the server up", won.Load())
	}
}

// TestSpacesAreTold: administrators are told what becomes of spaces, once, wherever the server is killed meanwhile.
func TestSpacesAreTold(t *testing.T) {
	for writes := 0; ; writes++ { // that are stored before the kill
		log := memlog.New()
		frost := &frozen{Log: log}
		r := start(t, frost, runsModules(t, log, nil))
		ann := r.dial("ann")
		frost.freeze(writes)
		g := ann.genesis()
		id := g.ID()
		next, _ := builtin.ByName("personal")
		upgrade, remove := ann.of(module.TypeModule, module.Upgrade(next, nil)), ann.of(module.TypeDelete, nil)
		ann.push(wire.Push{Space: id, Genesis: g, Transactions: []space.Transaction{upgrade, remove}})
		told := make(chan *wire.Pushed, 1)
		go func() {
			if f, err := ann.read(); err == nil {
				pushed, _ := f.(*wire.Pushed)
				told <- pushed
			}
			close(told)
		}()
		over := false
		select {
		case pushed := <-told:
			over = pushed != nil && pushed.Verdicts[1].Kind == wire.Accepted
			eventually(t, func() error {
				if notes, err := log.Scan(t.Context(), "audit/", "", 1); over && (err != nil || len(notes) > 0) && !frost.hit() {
					return fmt.Errorf("%d notes are left, %v", len(notes), err)
				}
				return nil
			})
			over = over && !frost.hit()
		case <-frost.frozen:
		}
		r.stop()
		<-told

		var want []string
		if _, _, err := log.Genesis(t.Context(), id); err == nil || errors.Is(err, syncserver.ErrDeleted) {
			want = append(want, "created")
		}
		records, err := log.Read(t.Context(), id, 0, 10, 1<<20)
		for i := range records {
			switch records[i].Type {
			case module.TypeModule:
				want = append(want, "upgraded")
			case module.TypeDelete:
				want = append(want, "deleted")
			}
		}
		if errors.Is(err, syncserver.ErrDeleted) {
			want = append(want, "upgraded", "deleted")
		}
		r = start(t, log, runsModules(t, log, nil))
		eventually(t, func() error {
			if got := r.changes(id); !slices.Equal(got, want) {
				return fmt.Errorf("killed after %d writes: told are %q, and should be %q", writes, got, want)
			}
			return nil
		})
		r.stop()
		if over {
			if len(want) != 3 || writes < 5 {
				t.Fatalf("with %d writes nothing was missing: %q", writes, want)
			}
			return
		}
	}
}

// changes are what the system space says of a space.
func (r *rig) changes(id space.ID) (changes []string) {
	r.t.Helper()
	system, _ := r.server.System()
	records, err := r.log.Read(context.Background(), system, 0, 10_000, 1<<30)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range records {
		if records[i].Type != module.TypeSpace || !bytes.Contains(records[i].Payload, id[:]) {
			continue
		}
		for _, change := range []string{"created", "upgraded", "deleted"} {
			if bytes.Contains(records[i].Payload, []byte(change)) {
				changes = append(changes, change)
			}
		}
	}
	slices.SortFunc(changes, func(a, b string) int { // the order of those that a crash put off is not told
		return strings.Compare(map[string]string{"created": "0", "upgraded": "1", "deleted": "2"}[a], map[string]string{"created": "0", "upgraded": "1", "deleted": "2"}[b])
	})
	return changes
}

// frozen is a log that stores nothing any more from some write on, as if the server had been killed before it.
type frozen struct {
	syncserver.Log
	mu     sync.Mutex
	armed  bool
	left   int
	frozen chan struct{} // closed at the first write that is not stored
}

var errKilled = errors.New("the server was killed by the test")

// freeze stores so many writes more, and returns what is closed at the first one that is not.
func (f *frozen) freeze(left int) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.left, f.frozen = true, left, make(chan struct{})
	return f.frozen
}

// hit reports whether a write was not stored.
func (f *frozen) hit() bool {
	select {
	case <-f.frozen:
		return true
	default:
		return false
	}
}

func (f *frozen) write() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.armed {
		return nil
	}
	if f.left > 0 {
		f.left--
		return nil
	}
	select {
	case <-f.frozen:
	default:
		close(f.frozen)
	}
	return errKilled
}

func (f *frozen) Append(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head) error {
	if err := f.write(); err != nil {
		return err
	}
	return f.Log.Append(ctx, id, previous, records, next)
}

func (f *frozen) AppendClients(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head, changes syncserver.ClientChanges) error {
	if err := f.write(); err != nil {
		return err
	}
	return f.Log.AppendClients(ctx, id, previous, records, next, changes)
}

func (f *frozen) DropClients(ctx context.Context, connections []wire.ConnectionID) error {
	if err := f.write(); err != nil {
		return err
	}
	return f.Log.DropClients(ctx, connections)
}

func (f *frozen) Create(ctx context.Context, genesis *space.Genesis, signature []byte) (bool, error) {
	if err := f.write(); err != nil {
		return false, err
	}
	return f.Log.Create(ctx, genesis, signature)
}

func (f *frozen) CompareAndSet(ctx context.Context, key string, old, value []byte) (bool, error) {
	if err := f.write(); err != nil {
		return false, err
	}
	return f.Log.CompareAndSet(ctx, key, old, value)
}

// status asks a route, and returns 0 if there is no server any more.
func (r *rig) status(path string) int {
	response, err := r.client.Get("http://" + host + path)
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

// ready waits until the server is ready, or no more there.
func (r *rig) ready() {
	for code := http.StatusServiceUnavailable; code == http.StatusServiceUnavailable; {
		code = r.status("/readyz")
	}
}

// eventually waits until f finds nothing wrong.
func eventually(t testing.TB, f func() error) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
