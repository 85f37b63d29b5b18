package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// benchmark is one run of bench.
type benchmark struct {
	dir    string // for logs
	logs   int    // made so far
	time   time.Duration
	stdout io.Writer
	stderr io.Writer
}

func bench(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	b := &benchmark{stdout: stdout, stderr: stderr}
	set := flag.NewFlagSet("syncload bench", flag.ContinueOnError)
	only := set.String("only", "", "a regular `expression`: the tables to measure, of ingest, modules, fan-out, idle, connect, abuse, append, expiry")
	parent := set.String("dir", "", "`directory` of the logs (default: the system's for temporary files)")
	set.DurationVar(&b.time, "time", 4*time.Second, "how long each row of ingest takes; the others follow it")
	if err := parse(set, args, stderr); err != nil {
		return err
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return usageError{err.Error()}
	}
	if b.dir, err = os.MkdirTemp(*parent, "syncload-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	for _, table := range []struct {
		name    string
		measure func(context.Context) error
	}{{"ingest", b.ingest}, {"modules", b.modules}, {"fan-out", b.fanOut}, {"idle", b.idle}, {"connect", b.connect}, {"abuse", b.abuse}, {"append", b.append}, {"expiry", b.expiry}} {
		if !wanted.MatchString(table.name) {
			continue
		}
		fmt.Fprintf(stderr, "measuring %s\n", table.name)
		if err := table.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", table.name, err)
		}
	}
	return nil
}

func (b *benchmark) printf(format string, args ...any) { fmt.Fprintf(b.stdout, format, args...) }

// data names a directory that is not there yet.
func (b *benchmark) data() string {
	b.logs++
	return filepath.Join(b.dir, strconv.Itoa(b.logs))
}

// on runs f against a child of its own, which it stops.
func (b *benchmark) on(ctx context.Context, f func(*child) error, args ...string) error {
	if args[0] == "serve" {
		args = append(args, "--data", b.data())
	}
	c, err := spawn(ctx, b.stderr, args...)
	if err != nil {
		return err
	}
	return errors.Join(f(c), c.stop())
}

// met says whether a wish came true.
func met(ok bool) string {
	if ok {
		return "met"
	}
	return "**missed**"
}

const (
	ingestInFlight = 16
	payloadSize    = 200
)

func (b *benchmark) ingest(ctx context.Context) error {
	b.printf("## Durable ingest\n\n")
	b.printf("Events of %d bytes over loopback WebSockets, each connection to a space of its own, %d transactions in flight on\n", payloadSize, ingestInFlight)
	b.printf("each; every verdict comes after an fsync; afterwards everything was read back and found once. *raw* is a thin\n")
	b.printf("pusher of protocol frames; *client* is the whole native client with its replica in memory, which shares the\n")
	b.printf("machine with the server and receives its records back. The floor: plain SQLite inserts of the same rows into\n")
	b.printf("the same table by one process, in transactions as big as all that is in flight (4,096 rows at most).\n\n")
	b.printf("| load | connections | events a transaction | events/s | floor | of the floor | a verdict takes, p50 / p99 | wanted | |\n")
	b.printf("| --- | --: | --: | --: | --: | --: | --: | --: | --- |\n")
	for _, row := range []struct {
		kind           string
		clients, batch int
		wanted         float64
	}{
		{"raw", 1, 1, 0}, {"raw", 1, 10, 0}, {"raw", 1, 100, 0},
		{"raw", 32, 1, 0}, {"raw", 32, 10, 0}, {"raw", 32, 100, 100_000},
		{"client", 1, 100, 0}, {"client", 32, 100, 0},
	} {
		var s *summary
		l := &load{
			kind: row.kind, clients: row.clients, spaces: row.clients, batch: row.batch, time: b.time,
			payload: payloadSize, inFlight: ingestInFlight, seed: 1,
		}
		err := b.on(ctx, func(c *child) (err error) {
			l.url = c.url
			s, err = l.run(ctx, nil)
			return err
		}, "serve")
		if err != nil {
			return err
		}
		var floor float64
		rows := min(row.clients*row.batch*ingestInFlight, 4096)
		if err := measure(ctx, b.stderr, &floor, "inserts", "--data", b.data(), "--spaces", strconv.Itoa(row.clients),
			"--rows", strconv.Itoa(rows), "--payload", strconv.Itoa(payloadSize), "--time", (b.time / 2).String()); err != nil {
			return err
		}
		wanted, verdict := "", ""
		if row.wanted > 0 {
			wanted, verdict = thousands(row.wanted), met(s.EventsPerSecond >= row.wanted)
		}
		b.printf("| %s | %d | %d | %s | %s | %.2f | %.1f / %.1f ms | %s | %s |\n", row.kind, row.clients, row.batch,
			thousands(s.EventsPerSecond), thousands(floor), s.EventsPerSecond/floor, s.P50, s.P99, wanted, verdict)
	}
	b.printf("\n")
	return nil
}

// thousands writes a figure with separators.
func thousands(f float64) string {
	text := strconv.FormatFloat(f, 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

const subscribers = 1000

func (b *benchmark) fanOut(ctx context.Context) error {
	b.printf("## Fan-out\n\n")
	b.printf("One event of %d bytes is pushed at a time, every 60 ms, to %s subscribers of its space, which share the\n", payloadSize, thousands(subscribers))
	b.printf("machine with the server. The time is from the push to each receipt. The floor passes as many bytes on from\n")
	b.printf("one WebSocket to the others: no protocol, no log, no fsync.\n\n")
	b.printf("| | p50 | p99 |\n| --- | --: | --: |\n")
	var p50, p99, floor50, floor99 float64
	err := b.on(ctx, func(c *child) (err error) { p50, p99, err = b.fanOutServer(ctx, c.url); return err }, "serve")
	if err == nil {
		err = b.on(ctx, func(c *child) (err error) { floor50, floor99, err = b.fanOutFloor(ctx, c.url); return err }, "sockets")
	}
	if err != nil {
		return err
	}
	b.printf("| push to receipt, %s subscribers | %.1f ms | %.1f ms |\n| floor | %.1f ms | %.1f ms |\n", thousands(subscribers), p50, p99, floor50, floor99)
	b.printf("| times the floor | %.1f | %.1f |\n\n", p50/floor50, p99/floor99)
	return nil
}

// receipts gathers how long what was sent under a number took to reach each of many.
type receipts struct {
	sent  []time.Time // by number; written before it is sent
	group sync.WaitGroup

	mu      sync.Mutex
	took    []time.Duration
	failure error
}

func (r *receipts) failed(err error) {
	r.mu.Lock()
	r.failure = err
	r.mu.Unlock()
}

func (r *receipts) received(n uint64) {
	now := time.Now()
	r.mu.Lock()
	r.took = append(r.took, now.Sub(r.sent[n]))
	r.mu.Unlock()
}

// pace calls send for the numbers from 1 on, and waits until all have arrived.
func (r *receipts) pace(send func(n int) error) error {
	ticker := time.NewTicker(60 * time.Millisecond)
	defer ticker.Stop()
	for n := 1; n < len(r.sent); n++ {
		r.sent[n] = time.Now()
		if err := send(n); err != nil {
			return err
		}
		<-ticker.C
	}
	r.group.Wait()
	return nil
}

func (r *receipts) percentiles() (p50, p99 float64, err error) {
	if want := subscribers * (len(r.sent) - 1); len(r.took) != want || r.failure != nil {
		return 0, 0, fmt.Errorf("%d receipts of %d: %w", len(r.took), want, r.failure)
	}
	p50, p99 = percentiles(r.took)
	return p50, p99, nil
}

func (b *benchmark) fanOutServer(ctx context.Context, url string) (p50, p99 float64, err error) {
	w := (&load{seed: 1, payload: payloadSize}).writer(0)
	writer, err := dial(ctx, url, memberOf("writer"))
	if err != nil {
		return 0, 0, err
	}
	defer writer.close()
	id, err := writer.create(ctx, memberOf("writer"), w.ulid())
	if err != nil {
		return 0, 0, err
	}
	r := &receipts{sent: make([]time.Time, 101)}
	for range subscribers {
		p, err := dial(ctx, url, memberOf("reader"))
		if err != nil {
			return 0, 0, err
		}
		defer p.close()
		if err := p.subscribe(ctx, id); err != nil {
			return 0, 0, err
		}
		r.group.Go(func() {
			for seq := uint64(0); seq < 100; {
				events, err := expect[*wire.Events](ctx, p)
				if err != nil {
					r.failed(err)
					return
				}
				for i := range events.Records {
					seq = events.Records[i].Seq
					r.received(seq)
				}
			}
		})
	}
	err = r.pace(func(n int) error {
		err := writer.send(ctx, &wire.Push{Space: id, N: uint64(n) + 1, Transactions: []space.Transaction{{
			Author: memberOf("writer").identity, API: wire.APIHigh, Events: w.events(1),
		}}})
		if err != nil {
			return err
		}
		pushed, err := expect[*wire.Pushed](ctx, writer)
		if err == nil && pushed.Verdicts[0].Kind != wire.Accepted {
			err = errors.New(describe(&pushed.Verdicts[0]))
		}
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	return r.percentiles()
}

// subscribe subscribes to a space from its beginning and waits until it has caught up.
func (p *peer) subscribe(ctx context.Context, id space.ID) error {
	err := p.send(ctx, &wire.Subscribe{Subscriptions: []wire.Subscription{{Space: id, Position: space.Start(id)}}})
	if err == nil {
		_, err = expect[*wire.CaughtUp](ctx, p)
	}
	return err
}

func (b *benchmark) fanOutFloor(ctx context.Context, url string) (p50, p99 float64, err error) {
	r := &receipts{sent: make([]time.Time, 101)}
	var writer *websocket.Conn
	for range subscribers {
		conn, _, err := websocket.Dial(ctx, url, nil)
		if err != nil {
			return 0, 0, err
		}
		defer conn.CloseNow()
		if _, _, err := conn.Read(ctx); err != nil { // it is one of all now
			return 0, 0, err
		}
		writer = conn
		r.group.Go(func() {
			for n := uint64(0); n < 100; {
				_, message, err := conn.Read(ctx)
				if err != nil {
					r.failed(err)
					return
				}
				n = binary.BigEndian.Uint64(message)
				r.received(n)
			}
		})
	}
	message := make([]byte, payloadSize+200) // what a record and its frame take
	err = r.pace(func(n int) error {
		binary.BigEndian.PutUint64(message, uint64(n))
		return writer.Write(ctx, websocket.MessageBinary, message)
	})
	if err != nil {
		return 0, 0, err
	}
	return r.percentiles()
}

const idleWanted = 20_000

func (b *benchmark) idle(ctx context.Context) error {
	b.printf("## Idle connections\n\n")
	b.printf("How much the server's resident memory grows over the idle server by connections that shook hands and follow one\n")
	b.printf("space: three seconds after the last came, and after the runtime gave back what it does not use, as it does by\n")
	b.printf("itself within minutes. The floor: as many bare WebSockets of the same library, each with a goroutine that reads.\n\n")
	b.printf("| connections | growth | a connection | after a collection | floor | floor after a collection | wanted | |\n")
	b.printf("| --: | --: | --: | --: | --: | --: | --: | --- |\n")
	for _, n := range []int{1000, 5000} {
		var grown, settled, floor, floorSettled int
		err := b.on(ctx, func(c *child) (err error) {
			grown, settled, err = b.idleServer(ctx, c, n)
			return err
		}, "serve")
		if err == nil {
			err = b.on(ctx, func(c *child) (err error) {
				floor, floorSettled, err = growth(c, func() (func(), error) { return idleFloor(ctx, c.url, n) })
				return err
			}, "sockets")
		}
		if err != nil {
			return err
		}
		kb := func(bytes int) string { return fmt.Sprintf("%.1f kB", float64(bytes)/float64(n)/1000) }
		b.printf("| %s | %.1f MB | %s | %s | %s | %s | < %d kB | %s |\n", thousands(float64(n)), float64(grown)/1e6, kb(grown), kb(settled),
			kb(floor), kb(floorSettled), idleWanted/1000, met(grown < n*idleWanted))
	}
	b.printf("\n")
	return nil
}

// growth measures how a child's memory grows by what connect does.
func growth(c *child, connect func() (closeAll func(), err error)) (grown, settled int, err error) {
	if err := c.collect(); err != nil {
		return 0, 0, err
	}
	before, err := c.rss()
	if err != nil {
		return 0, 0, err
	}
	closeAll, err := connect()
	defer closeAll()
	if err != nil {
		return 0, 0, err
	}
	time.Sleep(3 * time.Second)
	after, err := c.rss()
	if err == nil {
		err = c.collect()
	}
	if err != nil {
		return 0, 0, err
	}
	last, err := c.rss()
	return after - before, last - before, err
}

func (b *benchmark) idleServer(ctx context.Context, c *child, n int) (grown, settled int, err error) {
	maker, err := dial(ctx, c.url, memberOf("maker"))
	if err != nil {
		return 0, 0, err
	}
	defer maker.close()
	id, err := maker.create(ctx, memberOf("maker"), (&load{seed: 1}).writer(0).ulid())
	if err != nil {
		return 0, 0, err
	}
	return growth(c, func() (func(), error) {
		var peers []*peer
		closeAll := func() {
			for _, p := range peers {
				p.close()
			}
		}
		for i := range n {
			p, err := dial(ctx, c.url, memberOf("idler-"+strconv.Itoa(i)))
			if err != nil {
				return closeAll, err
			}
			peers = append(peers, p)
			if err := p.subscribe(ctx, id); err != nil {
				return closeAll, err
			}
		}
		return closeAll, nil
	})
}

func idleFloor(ctx context.Context, url string, n int) (closeAll func(), err error) {
	var conns []*websocket.Conn
	closeAll = func() {
		for _, conn := range conns {
			conn.CloseNow()
		}
	}
	for range n {
		conn, _, err := websocket.Dial(ctx, url, nil)
		if err != nil {
			return closeAll, err
		}
		conns = append(conns, conn)
	}
	return closeAll, nil
}

func (b *benchmark) append(ctx context.Context) error {
	b.printf("## Appending in the native client\n\n")
	b.printf("Until an append is durable, which in the store that ships natively means in memory: the cost of the client itself.\n")
	b.printf("The floor: making the same transactions and keeping them in a slice.\n\n")
	b.printf("| | events/s | floor |\n| --- | --: | --: |\n")
	client, err := wasmclient.Open(ctx, wasmclient.Config{Store: memstore.New(memstore.Config{Identity: "bench"})})
	if err != nil {
		return err
	}
	defer client.Close(ctx)
	w := (&load{seed: 1, payload: payloadSize}).writer(0)
	for _, row := range []struct {
		name  string
		batch int
	}{{"one at a time, each awaited", 1}, {"1,000 in a transaction", 1000}} {
		s, err := client.CreateSpace(ctx, wasmclient.SpaceOptions{})
		if err != nil {
			return err
		}
		rate, err := b.rate(row.batch, func() error {
			receipt, err := s.AppendEvents(ctx, w.events(row.batch))
			if err != nil {
				return err
			}
			return receipt.Durable(ctx)
		})
		if err != nil {
			return err
		}
		var kept [][]space.Event
		floor, _ := b.rate(row.batch, func() error {
			kept = append(kept, w.events(row.batch))
			return nil
		})
		b.printf("| %s | %s | %s |\n", row.name, thousands(rate), thousands(floor))
	}
	b.printf("\n")
	return nil
}

// rate returns how many events a second f makes, batch at a time.
func (b *benchmark) rate(batch int, f func() error) (float64, error) {
	n := 0
	began := time.Now()
	for time.Since(began) < b.time/4 {
		if err := f(); err != nil {
			return 0, err
		}
		n += batch
	}
	return float64(n) / time.Since(began).Seconds(), nil
}
