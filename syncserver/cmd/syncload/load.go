package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"skerry/shared/space"
)

// load is what to put on a server.
type load struct {
	url      string
	kind     string // raw or client
	clients  int
	spaces   int
	batch    int // events in a transaction
	events   int // in all; 0: until the time is over
	time     time.Duration
	payload  int
	inFlight int
	seed     uint64
	chat     string // the type of a chat's events to write; empty for events of no module
	judged   bool   // by the chat's module, which the load brings with it; else by "open"

	pushed atomic.Int64 // events that were taken up
	acked  atomic.Int64 // events
	ends   atomic.Int64 // when time is over, in nanoseconds since 1970; 0: it has none
}

// summary is what came of it.
type summary struct {
	Load            string  `json:"load"`
	Clients         int     `json:"clients"`
	Spaces          int     `json:"spaces"`
	Batch           int     `json:"batch"`
	Payload         int     `json:"payload"`
	InFlight        int     `json:"in_flight"`
	Seed            uint64  `json:"seed"`
	Events          int     `json:"events"`
	Seconds         float64 `json:"seconds"`
	EventsPerSecond float64 `json:"events_per_second"`
	P50             float64 `json:"p50_ms"` // from push to verdict
	P99             float64 `json:"p99_ms"`
	Read            int     `json:"records_read"`
	ReadSeconds     float64 `json:"read_seconds"`
	Missing         int     `json:"missing"`  // acknowledged, but not where the verdict told
	Repeated        int     `json:"repeated"` // in a log more than once
}

// acked is one acknowledged transaction.
type acked struct {
	ids     []space.ULID
	lastSeq uint64 // of its last event; 0: not known
}

// outcome is what one client did: what was acknowledged in each space, and how long each took.
type outcome struct {
	acked   map[space.ID][]acked
	latency []time.Duration
}

func runLoad(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	l := &load{}
	asJSON := false
	set := flag.NewFlagSet("syncload run", flag.ContinueOnError)
	set.StringVar(&l.url, "url", "http://127.0.0.1:8080", "`address` of the server")
	set.StringVar(&l.kind, "load", "raw", "raw or client: the protocol by hand, or the whole client")
	set.IntVar(&l.clients, "clients", 32, "`number` of clients")
	set.IntVar(&l.spaces, "spaces", 32, "`number` of spaces")
	set.IntVar(&l.batch, "batch", 100, "events in a transaction")
	set.IntVar(&l.events, "events", 100_000, "events in all, rounded up to whole transactions")
	set.IntVar(&l.payload, "payload", 200, "`bytes` of an event's payload")
	set.IntVar(&l.inFlight, "in-flight", 16, "transactions that each client keeps unanswered")
	set.Uint64Var(&l.seed, "seed", 1, "of everything random")
	set.BoolVar(&asJSON, "json", false, "print the summary as JSON")
	if err := parse(set, args, stderr); err != nil {
		return err
	}
	if l.clients < 1 || l.spaces < 1 || l.batch < 1 || l.events < 1 || l.inFlight < 1 || l.payload < 0 {
		return usagef("clients, spaces, batch, events and in-flight are at least 1, payload at least 0")
	}
	if l.kind != "raw" && l.kind != "client" {
		return usagef("--load is raw or client, not %q", l.kind)
	}
	s, err := l.run(ctx, stderr)
	if s != nil {
		if asJSON {
			json.NewEncoder(stdout).Encode(s)
		} else {
			s.print(stdout)
		}
	}
	return err
}

func (s *summary) print(w io.Writer) {
	fmt.Fprintf(w, "load:     %s, %d clients, %d spaces, %d events a transaction, %d bytes a payload, %d in flight, seed %d\n",
		s.Load, s.Clients, s.Spaces, s.Batch, s.Payload, s.InFlight, s.Seed)
	fmt.Fprintf(w, "written:  %d events in %.2f s: %.0f events/s; a verdict took %.1f ms (median), %.1f ms (99 %%)\n",
		s.Events, s.Seconds, s.EventsPerSecond, s.P50, s.P99)
	fmt.Fprintf(w, "verified: %d records read back in %.2f s: %d missing, %d more than once\n", s.Read, s.ReadSeconds, s.Missing, s.Repeated)
}

// run puts the load on the server, waits for all verdicts and reads everything back. The summary is nil if it came
// to none.
func (l *load) run(ctx context.Context, progress io.Writer) (*summary, error) {
	start := l.startRaw
	if l.kind == "client" {
		start = l.startClients
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work, stop, err := start(ctx)
	defer stop()
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { l.progress(progress, ended) })
	began := time.Now()
	if l.time > 0 {
		l.ends.Store(began.Add(l.time).UnixNano())
	}
	outcomes := make([]outcome, l.clients)
	var group sync.WaitGroup
	for i := range outcomes {
		group.Go(func() {
			outcomes[i].acked = map[space.ID][]acked{}
			if err := work(ctx, i, &outcomes[i]); err != nil {
				cancel(fmt.Errorf("client %d: %w", i, err))
			}
		})
	}
	group.Wait()
	took := time.Since(began)
	close(ended)
	watch.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	s := &summary{
		Load: l.kind, Clients: l.clients, Spaces: l.spaces, Batch: l.batch, Payload: l.payload, InFlight: l.inFlight, Seed: l.seed,
		Events: int(l.acked.Load()), Seconds: took.Seconds(), EventsPerSecond: float64(l.acked.Load()) / took.Seconds(),
	}
	var latency []time.Duration
	for _, o := range outcomes {
		latency = append(latency, o.latency...)
	}
	s.P50, s.P99 = percentiles(latency)
	return s, l.verify(ctx, outcomes, s)
}

// take reserves the events of the next transaction and reports whether there are any left.
func (l *load) take() bool {
	if ends := l.ends.Load(); ends != 0 && time.Now().UnixNano() > ends {
		return false
	}
	n := l.pushed.Add(int64(l.batch))
	return l.events == 0 || n-int64(l.batch) < int64(l.events)
}

func (l *load) progress(w io.Writer, ended <-chan struct{}) {
	if w == nil {
		return
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for last := int64(0); ; {
		select {
		case <-ended:
			return
		case <-ticker.C:
			n := l.acked.Load()
			fmt.Fprintf(w, "%d events acknowledged, %d in the last second\n", n, n-last)
			last = n
		}
	}
}

// name is what the client with a number goes by.
func (l *load) name(i int) string { return fmt.Sprintf("load-%d-%d", l.seed, i) }

// of returns the numbers of the spaces that a client writes to.
func (l *load) of(client int) []int {
	if l.spaces <= l.clients {
		return []int{client % l.spaces}
	}
	var numbers []int
	for i := client; i < l.spaces; i += l.clients {
		numbers = append(numbers, i)
	}
	return numbers
}

// writer makes one client's transactions.
type writer struct {
	ids     *space.IDSource
	payload []byte
	random  *rand.Rand
	size    int
	chat    string
}

func (l *load) writer(client int) *writer {
	var seed [32]byte
	for i, n := range [...]uint64{l.seed, uint64(client)} {
		for j := range 8 {
			seed[8*i+j] = byte(n >> (8 * j))
		}
	}
	source := rand.NewChaCha8(seed)
	w := &writer{ids: space.NewIDSource(source), random: rand.New(source), size: l.payload, chat: l.chat}
	w.payload = make([]byte, 64<<10+l.payload)
	source.Read(w.payload)
	return w
}

// ulid makes the next id.
func (w *writer) ulid() space.ULID {
	id, err := w.ids.New(uint64(time.Now().UnixMilli()))
	if err != nil {
		panic("syncload: " + err.Error()) // the source never ends
	}
	return id
}

// events makes n events. A payload is random bytes, as one msgpack binary if there is room for its header.
func (w *writer) events(n int) []space.Event {
	if w.chat != "" {
		return w.chatEvents(n)
	}
	events := make([]space.Event, n)
	payloads := make([]byte, 0, n*w.size)
	for i := range events {
		from, start := w.random.IntN(64<<10), len(payloads)
		payloads = append(payloads, w.payload[from:from+w.size]...)
		payload := payloads[start:len(payloads):len(payloads)]
		if len(payload) >= binHeader {
			payload[0] = 0xc6
			binary.BigEndian.PutUint32(payload[1:], uint32(len(payload)-binHeader))
		}
		events[i] = space.Event{ID: w.ulid(), Type: "note.edited", Payload: payload}
	}
	return events
}

// binHeader is the length of the header of a msgpack binary whose length takes four bytes.
const binHeader = 5

func idsOf(events []space.Event) []space.ULID {
	ids := make([]space.ULID, len(events))
	for i := range events {
		ids[i] = events[i].ID
	}
	return ids
}

// percentiles returns the median and the 99th percentile in milliseconds, and sorts its argument.
func percentiles(d []time.Duration) (p50, p99 float64) {
	if len(d) == 0 {
		return 0, 0
	}
	slices.Sort(d)
	ms := func(i int) float64 { return float64(d[i]) / float64(time.Millisecond) }
	return ms(len(d) / 2), ms(len(d) * 99 / 100)
}

// syncURL returns where the protocol is spoken on a server.
func syncURL(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return "", usagef("--url wants something like http://127.0.0.1:8080, not %q", server)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/sync"
	}
	return u.String(), nil
}

var errLost = errors.New("what was acknowledged is not what is in the log")
