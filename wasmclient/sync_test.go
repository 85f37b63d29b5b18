//go:build !js

package wasmclient_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skerry/shared/module"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/authtest"
	"skerry/syncserver/memlog"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// TestMain fails if a test left a goroutine behind.
func TestMain(m *testing.M) {
	code := m.Run()
	for deadline := time.Now().Add(10 * time.Second); code == 0; runtime.Gosched() {
		buffer := make([]byte, 4<<20)
		stacks := strings.Split(string(buffer[:runtime.Stack(buffer, true)]), "\n\n")
		left := slices.DeleteFunc(stacks[1:], func(stack string) bool { return !strings.Contains(stack, "skerry/") })
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "%d goroutines are left:\n%s\n", len(left), strings.Join(left, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// site is one address at which a server lives, dies and lives again over one log.
type site struct {
	t      *testing.T
	log    syncserver.Log
	config syncserver.Config
	http   *httptest.Server

	mu     sync.Mutex
	server *syncserver.Server
	stop   func()
}

func newSite(t *testing.T, config syncserver.Config) *site {
	s := &site{t: t, config: config}
	if s.config.Log == nil {
		s.config.Log = memlog.New()
	}
	s.log = s.config.Log
	s.config.Auth = authtest.Names{}
	if s.config.Creation == (syncserver.CreationLimits{}) {
		many := syncserver.Rate{Burst: 1 << 20, PerHour: 1 << 20}
		s.config.Creation = syncserver.CreationLimits{Identity: many, Address: many, Server: many}
	}
	s.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		server := s.server
		s.mu.Unlock()
		if server == nil {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		server.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		s.down()
		s.http.Close()
		s.log.Close()
	})
	return s
}

func (s *site) url() string { return "ws" + strings.TrimPrefix(s.http.URL, "http") + "/sync" }

func (s *site) up() {
	server, err := syncserver.New(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	s.mu.Lock()
	s.server = server
	s.stop = func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			s.t.Errorf("run: %v", err)
		}
	}
	s.mu.Unlock()
}

func (s *site) down() {
	s.mu.Lock()
	stop := s.stop
	s.server, s.stop = nil, nil
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// records returns the server's log of a space.
func (s *site) records(id space.ID) []space.Record {
	s.t.Helper()
	records, err := s.log.Read(s.t.Context(), id, 0, 1<<30, 1<<30)
	if err != nil {
		s.t.Fatal(err)
	}
	return records
}

// signing returns a configuration with the key of whoever's store it is.
func signing(t *testing.T, config wasmclient.Config) wasmclient.Config {
	t.Helper()
	if config.URL == "" || config.Sign != nil {
		return config
	}
	loaded, err := config.Store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config.Sign = authtest.Signer(loaded.Meta.Identity)
	return config
}

func open(t *testing.T, config wasmclient.Config) *wasmclient.Client {
	t.Helper()
	client, err := wasmclient.Open(t.Context(), signing(t, config))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(context.Background()) })
	return client
}

// until waits until what is true of the client, looking after each of its changes.
func until(t *testing.T, client *wasmclient.Client, what string, is func() bool) {
	t.Helper()
	changed := make(chan struct{}, 1)
	defer client.OnChange(func(wasmclient.Change) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	for !is() {
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s did not come to be: %+v", what, client.Status())
		}
	}
}

func append1(t *testing.T, s *wasmclient.Space, text string) *wasmclient.Receipt {
	t.Helper()
	receipt, err := s.Append(t.Context(), "message.post", map[string]any{"text": text})
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// same fails unless the client holds exactly the server's records of a space.
func same(t *testing.T, s *site, client *wasmclient.Client, id space.ID) {
	t.Helper()
	want := s.records(id)
	head := uint64(len(want))
	until(t, client, "the replica at the server's head", func() bool {
		return client.Space(id).Info().Position.Seq >= head
	})
	got, err := client.Space(id).Read(t.Context(), 0, 1<<30, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || space.Fold(id, got) != space.Fold(id, want) {
		t.Fatalf("%s: the replica has %d records, the server %d, or they differ", id, len(got), len(want))
	}
	wantEncoded(t, client.Space(id), got)
}

// TestOfflineThenSync is the main job: three replicas write with no server, then it comes, dies and comes again, and
// everything is everywhere exactly once, in one order.
func TestOfflineThenSync(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	server := newSite(t, syncserver.Config{})
	var clients []*wasmclient.Client
	for _, name := range []string{"ada", "bea", "cy"} {
		clients = append(clients, open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: name}), URL: server.url(), ClientVersion: "2.4.4"}))
	}
	var ids []space.ID
	for i := range 10 {
		s, err := clients[i%3].CreateSpace(t.Context(), wasmclient.SpaceOptions{Params: []byte{0x80}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.ID())
	}
	var receipts []*wasmclient.Receipt
	events := 0
	write := func(n int) {
		for range n {
			batch := make([]wasmclient.Event, 1+random.IntN(5))
			events += len(batch)
			for i := range batch {
				batch[i] = wasmclient.Event{Type: "message.post", Payload: map[string]any{"n": random.Int()}}
			}
			receipt, err := clients[random.IntN(3)].Space(ids[random.IntN(len(ids))]).Transact(t.Context(), batch)
			if err != nil {
				t.Fatal(err)
			}
			receipts = append(receipts, receipt)
		}
	}
	write(300)
	for _, receipt := range receipts {
		if err := receipt.Durable(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		server.up()
		for _, client := range clients {
			client.Poke()
		}
		write(100)
		if _, err := receipts[len(receipts)-1-random.IntN(100)].Synced(t.Context()); err != nil {
			t.Fatal(err)
		}
		server.down()
		for _, client := range clients {
			until(t, client, "the server's end noticed", func() bool { return client.Status().Connection != "online" })
		}
	}
	server.up()
	for _, client := range clients {
		client.Poke()
	}
	for _, receipt := range receipts {
		if position, err := receipt.Synced(t.Context()); err != nil || position.Seq == 0 {
			t.Fatalf("%s: %+v %v", receipt.ID(), position, err)
		}
	}
	total := 0
	for i, id := range ids {
		total += len(server.records(id))
		for _, client := range clients {
			same(t, server, client, id)
			info := client.Space(id).Info()
			if info.Genesis == nil || info.Genesis.ID() != id || info.Genesis.Creator != clients[i%3].Identity() || !info.Created {
				t.Errorf("%s knows %s as %+v", client.Identity(), id, info)
			}
		}
	}
	if total != events {
		t.Errorf("%d events were written, %d are in the logs", events, total)
	}
}

// TestReceipts follows transactions that are accepted, rejected, retried and discarded.
func TestReceipts(t *testing.T) {
	server := newSite(t, syncserver.Config{Limits: wire.Limits{Payload: 100}})
	client := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "ada"}), URL: server.url()})
	s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	withdrawn := append1(t, s, "never mind")
	if err := s.Discard(t.Context(), withdrawn.ID()); err != nil {
		t.Fatal(err)
	}
	if _, err := withdrawn.Synced(t.Context()); wire.CodeOf(err) != wire.CodeDiscarded {
		t.Errorf("a discarded transaction: %v", err)
	}
	server.up()
	client.Poke()
	good := append1(t, s, "good")
	big := append1(t, s, strings.Repeat("x", 200))
	after := append1(t, s, "after")
	for _, receipt := range []*wasmclient.Receipt{good, after} {
		if _, err := receipt.Synced(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := big.Synced(t.Context()); wire.CodeOf(err) != wire.CodeTooLarge {
		t.Errorf("too large: %v", err)
	}
	rejected, err := s.Rejected(t.Context())
	if err != nil || len(rejected) != 1 || rejected[0].ID != big.ID() || rejected[0].Code != wire.CodeTooLarge || rejected[0].By != "server" {
		t.Fatalf("rejected: %+v %v", rejected, err)
	}
	// A server that allows more takes it.
	server.down()
	server.config.Limits.Payload = 1000
	server.up()
	client.Poke()
	if err := s.Retry(t.Context(), big.ID()); err != nil {
		t.Fatal(err)
	}
	until(t, client, "the retried transaction in the log", func() bool { return len(server.records(s.ID())) == 3 })
	same(t, server, client, s.ID())
	if rejected, _ := s.Rejected(t.Context()); len(rejected) != 0 {
		t.Errorf("still rejected: %+v", rejected)
	}
	if err := s.Retry(t.Context(), big.ID()); wire.CodeOf(err) != wire.CodeNotFound {
		t.Errorf("retry of what is not rejected: %v", err)
	}
}

// TestBadInput checks that what no server takes is refused at once and stored nowhere.
func TestBadInput(t *testing.T) {
	client := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "ada"})})
	s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	limits := wire.DefaultLimits
	event := func(kind string, payload int) space.Event {
		return space.Event{Type: kind, Payload: make([]byte, payload)}
	}
	many := func(n int) []space.Event {
		events := make([]space.Event, n)
		for i := range events {
			events[i] = event("t", 1)
		}
		return events
	}
	named := func(ids ...byte) []space.Event {
		events := many(len(ids))
		for i, id := range ids {
			events[i].ID[15] = id
		}
		return events
	}
	for _, c := range []struct {
		name   string
		events []space.Event
		code   wire.Code
	}{
		{"no events", nil, wire.CodeBadTransaction},
		{"no type", []space.Event{event("", 1)}, wire.CodeBadTransaction},
		{"a type that is no text", []space.Event{event("\xff", 1)}, wire.CodeBadTransaction},
		{"an id twice", named(1, 1), wire.CodeBadTransaction},
		{"an id twice among ids that rise", named(1, 2, 3, 1), wire.CodeBadTransaction},
		{"an id twice among ids that fall", named(9, 8, 9), wire.CodeBadTransaction},
		{"ids that fall", named(7, 6, 5), 0},
		{"a reserved type", []space.Event{event("$checkpoint", 1)}, wire.CodeReservedType},
		{"an upgrade and more", []space.Event{wasmclient.UpgradeEvent(module.Open, nil), event("t", 1)}, wire.CodeBadTransaction},
		{"the longest type", []space.Event{event(strings.Repeat("t", int(limits.Type)), 1)}, 0},
		{"a longer type", []space.Event{event(strings.Repeat("t", int(limits.Type)+1), 1)}, wire.CodeTooLarge},
		{"the biggest payload", []space.Event{event("t", int(limits.Payload))}, 0},
		{"a bigger payload", []space.Event{event("t", int(limits.Payload)+1)}, wire.CodeTooLarge},
		{"the most events", many(int(limits.TransactionEvents)), 0},
		{"more events", many(int(limits.TransactionEvents) + 1), wire.CodeTooLarge},
		{"too many bytes", slices.Repeat([]space.Event{event("t", int(limits.Payload))}, 5), wire.CodeTooLarge},
	} {
		receipt, err := s.AppendEvents(t.Context(), c.events)
		if wire.CodeOf(err) != c.code || (err == nil) != (c.code == 0) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			if err := receipt.Durable(t.Context()); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
	if pending, err := s.Pending(t.Context(), 1000, false); err != nil || len(pending) != 4 {
		t.Errorf("%d transactions are pending, 4 were good: %v", len(pending), err)
	}
	if _, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{Params: make([]byte, limits.Params+1)}); wire.CodeOf(err) != wire.CodeTooLarge {
		t.Errorf("params over the limit: %v", err)
	}
	if _, err := wasmclient.Open(t.Context(), wasmclient.Config{}); wire.CodeOf(err) != wire.CodeBadArgument {
		t.Errorf("no store: %v", err)
	}
}

// TestFullDevice checks that an append on a full device fails with quota, that nothing is half stored, and that the
// next one with room succeeds.
func TestFullDevice(t *testing.T) {
	full := false
	var mu sync.Mutex
	store := memstore.New(memstore.Config{Identity: "ada", Fail: func(c *replica.Commit) error {
		mu.Lock()
		defer mu.Unlock()
		if full {
			return wasmclient.ErrFull
		}
		return nil
	}})
	client := open(t, wasmclient.Config{Store: store})
	s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	full = true
	mu.Unlock()
	receipt := append1(t, s, "no room")
	if err := receipt.Durable(t.Context()); wire.CodeOf(err) != wire.CodeQuota {
		t.Errorf("durable on a full device: %v", err)
	}
	if _, err := receipt.Synced(t.Context()); wire.CodeOf(err) != wire.CodeQuota {
		t.Errorf("synced on a full device: %v", err)
	}
	mu.Lock()
	full = false
	mu.Unlock()
	if err := append1(t, s, "room").Durable(t.Context()); err != nil {
		t.Error(err)
	}
	if pending, _ := s.Pending(t.Context(), 1000, false); len(pending) != 1 {
		t.Errorf("%d pending, want 1", len(pending))
	}
}

// TestReopen closes a client with work undone and opens the store again: what was durable is there and syncs.
func TestReopen(t *testing.T) {
	server := newSite(t, syncserver.Config{})
	store := memstore.New(memstore.Config{Identity: "ada"})
	first, err := wasmclient.Open(t.Context(), signing(t, wasmclient.Config{Store: store, URL: server.url()}))
	if err != nil {
		t.Fatal(err)
	}
	s, err := first.CreateSpace(t.Context(), wasmclient.SpaceOptions{Module: module.Open})
	if err != nil {
		t.Fatal(err)
	}
	receipt := append1(t, s, "before")
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := receipt.Durable(t.Context()); err != nil {
		t.Errorf("close did not wait for what was appended: %v", err)
	}
	if _, err := receipt.Synced(t.Context()); wire.CodeOf(err) != wire.CodeClosed {
		t.Errorf("synced after close: %v", err)
	}
	if _, err := s.Append(t.Context(), "message.post", "late"); wire.CodeOf(err) != wire.CodeClosed {
		t.Errorf("append after close: %v", err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Errorf("a second close: %v", err)
	}
	server.up()
	second := open(t, wasmclient.Config{Store: store, URL: server.url()})
	until(t, second, "the transaction synced", func() bool {
		info := second.Space(s.ID()).Info()
		return info.Position.Seq == 1 && info.Pending == 0
	})
	same(t, server, second, s.ID())
}

// TestSetupRequired writes to a server that has no administrator: the status says what it waits for, and when there is one all of it
// arrives by itself.
func TestSetupRequired(t *testing.T) {
	server := judgingSite(t)
	server.config.RequireSetup = true
	client := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "ada"}), URL: server.url()})
	s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	receipt := append1(t, s, "before anybody was there")
	server.up()
	client.Poke()
	until(t, client, "waiting for the administrator", func() bool { return client.Status().Connection == "setup_required" })
	if named, err := server.server.SetUp(t.Context(), "ann"); err != nil || !named {
		t.Fatal(named, err)
	}
	if v, err := receipt.Synced(t.Context()); err != nil || v.Seq != 1 {
		t.Errorf("%+v %v", v, err)
	}
	until(t, client, "being online", func() bool { return client.Status().Connection == "online" })
}

// TestEventLimit writes more offline than the server takes at once: all of it arrives, in order, and the author is told of the wait.
func TestEventLimit(t *testing.T) {
	server := newSite(t, syncserver.Config{
		Limits: wire.Limits{TransactionEvents: 10},
		Rates:  syncserver.Rates{IdentityEvents: syncserver.Rate{Burst: 10, PerHour: 3600}},
	})
	client := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "ada"}), URL: server.url()})
	s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var receipts []*wasmclient.Receipt
	for range 12 {
		receipts = append(receipts, append1(t, s, "important"))
	}
	waited := false
	server.up()
	client.Poke()
	until(t, client, "everything synced", func() bool {
		info := s.Info()
		waited = waited || info.Code == wire.CodeRateLimited && info.RetryAt > 0
		return info.Position.Seq == 12 && info.Pending == 0
	})
	for i, receipt := range receipts {
		if v, err := receipt.Synced(t.Context()); err != nil || v.Seq != uint64(i+1) {
			t.Errorf("%d: %+v %v", i, v, err)
		}
	}
	if !waited {
		t.Error("nobody was told of a wait")
	}
}

// TestCreationLimit makes more spaces offline than the server lets through at once: all arrive, those with events
// first, and the status tells of the wait.
func TestCreationLimit(t *testing.T) {
	many := syncserver.Rate{Burst: 1000, PerHour: 1 << 20}
	server := newSite(t, syncserver.Config{Creation: syncserver.CreationLimits{
		Identity: syncserver.Rate{Burst: 5, PerHour: 36_000}, Address: many, Server: many,
	}})
	client := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "ada"}), URL: server.url()})
	var spaces []*wasmclient.Space
	var receipts []*wasmclient.Receipt
	for i := range 30 {
		s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		spaces = append(spaces, s)
		if i >= 20 {
			receipts = append(receipts, append1(t, s, "important"))
		}
	}
	var waited bool
	var mu sync.Mutex
	var emptyFirst []space.ID
	server.up()
	client.Poke()
	until(t, client, "every space created", func() bool {
		status := client.Status()
		mu.Lock()
		defer mu.Unlock()
		waited = waited || status.RetryAt > 0
		if status.PendingSpaces > 0 && status.PendingSpaces < 30 && len(emptyFirst) == 0 {
			empty, full := 0, 0
			for i, s := range spaces {
				if s.Info().Created && i < 20 {
					empty++
				} else if !s.Info().Created && i >= 20 {
					full++
				}
			}
			if empty > 0 && full > 0 {
				emptyFirst = append(emptyFirst, spaces[0].ID())
			}
		}
		return status.PendingSpaces == 0
	})
	for _, receipt := range receipts {
		if _, err := receipt.Synced(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if !waited {
		t.Error("the status never told of a wait")
	}
	if len(emptyFirst) > 0 {
		t.Error("an empty space was created before one with events")
	}
	for _, s := range spaces {
		if _, err := server.log.Head(t.Context(), s.ID()); err != nil {
			t.Errorf("%s: %v", s.ID(), err)
		}
	}
}

// TestLiveEvents reads while another client writes: each record once, in order.
func TestLiveEvents(t *testing.T) {
	server := newSite(t, syncserver.Config{})
	server.up()
	writer := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "ada"}), URL: server.url()})
	reader := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "bea"}), URL: server.url()})
	s, err := writer.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := append1(t, s, "0").Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	const n = 300
	go func() {
		for i := 1; i < n; i++ {
			if _, err := s.Append(context.Background(), "message.post", map[string]any{"text": fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	next := 0
	for record, err := range reader.Space(s.ID()).Events(ctx, wasmclient.EventsOptions{Live: true, Limit: n}) {
		if err != nil {
			t.Fatal(err)
		}
		var payload struct {
			Text string `msgpack:"text"`
		}
		if err := wasmclient.DecodePayload(&record, &payload); err != nil {
			t.Fatal(err)
		}
		if payload.Text != fmt.Sprint(next) || record.Seq != uint64(next+1) || record.Author != "ada" {
			t.Fatalf("record %d is %q by %s", record.Seq, payload.Text, record.Author)
		}
		next++
	}
	if next != n {
		t.Errorf("%d records came, want %d", next, n)
	}
}

// TestOtherServer checks that nothing is sent to another server at the same address.
func TestOtherServer(t *testing.T) {
	server := newSite(t, syncserver.Config{})
	server.up()
	client := open(t, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "ada"}), URL: server.url()})
	s, err := client.CreateSpace(t.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := append1(t, s, "to the first").Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.down()
	until(t, client, "offline", func() bool { return client.Status().Connection != "online" })
	first := server.config.Log
	server.config.Log = memlog.New()
	server.up()
	client.Poke()
	receipt := append1(t, s, "not for the second")
	until(t, client, "the other server noticed", func() bool { return client.Status().Connection == "server_changed" })
	if spaces, err := server.config.Log.Spaces(t.Context(), space.ID{}, 10); err != nil || len(spaces) > 0 {
		t.Errorf("the other server has %d spaces: %v", len(spaces), err)
	}
	if err := receipt.Durable(t.Context()); err != nil {
		t.Error(err)
	}
	server.down()
	server.config.Log.Close()
	server.config.Log = first
}
