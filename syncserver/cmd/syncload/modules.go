package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"time"

	"skerry/shared/digest"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver/sqlitelog"
)

// chatModule is the chat of package moduletest, to which a test compares it: that package is for tests only.
//
//go:embed chat.wasm
var chatModule []byte

// texts is a payload: a map of texts.
func texts(pairs ...string) []byte {
	b := msgpack.AppendMap(nil, len(pairs)/2)
	for _, text := range pairs {
		b = msgpack.AppendString(b, text)
	}
	return b
}

// upload stores a module and returns its digest.
func (p *peer) upload(ctx context.Context, content []byte) (digest.Digest, error) {
	name := digest.Of(content)
	err := p.send(ctx, &wire.BlobPut{Ref: 1, Digest: name, Total: uint64(len(content)), Bytes: content})
	if err != nil {
		return name, err
	}
	part, err := expect[*wire.BlobPart](ctx, p)
	if err == nil && part.Offset != part.Total {
		err = fmt.Errorf("the server took %d bytes of a module of %d", part.Offset, part.Total)
	}
	return name, err
}

// chatEvents makes n events of a chat: messages, or edits of the first message.
func (w *writer) chatEvents(n int) []space.Event {
	events := make([]space.Event, n)
	text := make([]byte, max(w.size-20, 1))
	for i := range events {
		from := w.random.IntN(64 << 10)
		for j := range text {
			text[j] = ' ' + w.payload[from+j]%64
		}
		payload := texts("room", fmt.Sprint("room ", w.random.IntN(20)), "text", string(text))
		if w.chat == "edit" {
			payload = msgpack.AppendUint(msgpack.AppendString(msgpack.AppendMap(nil, 2), "seq"), 1)
			payload = msgpack.AppendString(msgpack.AppendString(payload, "text"), string(text))
		}
		events[i] = space.Event{ID: w.ulid(), Type: w.chat, Payload: payload}
	}
	return events
}

// pushFirst pushes the message that is edited.
func (r *rawClient) pushFirst(ctx context.Context, id space.ID, n uint64) error {
	first := space.Event{ID: r.writer.ulid(), Type: "message", Payload: texts("room", "room", "text", "first")}
	err := r.peer.send(ctx, &wire.Push{Space: id, N: n, Transactions: []space.Transaction{{
		Author: r.identity, API: wire.APIHigh, ClientVersion: "syncload", Events: []space.Event{first},
	}}})
	if err != nil {
		return err
	}
	pushed, err := expect[*wire.Pushed](ctx, r.peer)
	if err == nil && pushed.Verdicts[0].Kind != wire.Accepted {
		err = errors.New(describe(&pushed.Verdicts[0]))
	}
	return err
}

const (
	judgedWanted = 3.0  // times as long as unjudged, at most
	openWanted   = 20.0 // times as fast as by the log, at least
	openRecords  = 100_000
)

// modules measures what judging costs, and opening a space.
func (b *benchmark) modules(ctx context.Context) error {
	b.printf("## Modules on the server\n\n")
	b.printf("Durable ingest as above, of a chat's messages of %d bytes: judged by the chat's module, which puts each into a table with\n", payloadSize)
	b.printf("two indexes, checkpoints among them; and the same events in spaces of \"open\", where nothing is judged.\n\n")
	b.printf("| connections | events a transaction | judged, events/s | not judged | times as long | wanted | |\n")
	b.printf("| --: | --: | --: | --: | --: | --: | --- |\n")
	for _, row := range []struct{ clients, batch, events int }{{1, 1, 20_000}, {1, 100, 100_000}, {8, 100, 200_000}} {
		var perSecond [2]float64
		for i, judged := range []bool{true, false} {
			s, err := b.chat(ctx, b.data(), row.clients, row.batch, row.events, "message", judged)
			if err != nil {
				return err
			}
			perSecond[i] = s.EventsPerSecond
		}
		times := perSecond[1] / perSecond[0]
		b.printf("| %d | %d | %s | %s | %.1f | < %.0f | %s |\n", row.clients, row.batch, thousands(perSecond[0]), thousands(perSecond[1]),
			times, judgedWanted, met(times < judgedWanted))
	}
	took, err := judging()
	if err != nil {
		return err
	}
	b.printf("\nTo authorize and apply a message, each in a transaction of its own, without a log: %.1f µs (wanted %.0f: %s), the median of\n", took, judgingWanted, met(took <= judgingWanted))
	b.printf("%d times %s.\n", judgingRounds, thousands(judgingEach))
	b.printf("\nOpening a space of %s records in a server that has just started, until its newest record is read: from the newest\n", thousands(openRecords))
	b.printf("checkpoint and what came after it, and by its whole log. Medians of five.\n\n")
	b.printf("| records | rows | from a checkpoint | by the log | times as fast | wanted | |\n")
	b.printf("| --- | --: | --: | --: | --: | --: | --- |\n")
	for _, row := range []struct {
		name, chat string
		rows       int
	}{{"messages of a chat", "message", openRecords}, {"edits of one message", "edit", 1}} {
		data := b.data()
		if _, err := b.chat(ctx, data, 1, 100, openRecords, row.chat, true); err != nil {
			return err
		}
		with, err := b.opening(ctx, data, false)
		if err != nil {
			return err
		}
		without, err := b.opening(ctx, data, true)
		if err != nil {
			return err
		}
		times := without / with
		b.printf("| %s | %s | %.1f ms | %.1f ms | %.1f | %.0f | %s |\n", row.name, thousands(float64(row.rows)), with, without, times, openWanted, met(times >= openWanted))
	}
	b.printf("\n")
	return nil
}

// chat puts events of a chat on a server of its own.
func (b *benchmark) chat(ctx context.Context, data string, clients, batch, events int, chat string, judged bool) (s *summary, err error) {
	c, err := spawn(ctx, b.stderr, "serve", "--data", data)
	if err != nil {
		return nil, err
	}
	l := &load{
		url: c.url, kind: "raw", clients: clients, spaces: clients, batch: batch, events: events, payload: payloadSize,
		inFlight: ingestInFlight, seed: 1, chat: chat, judged: judged,
	}
	s, err = l.run(ctx, nil)
	return s, errors.Join(err, c.stop())
}

// opening returns how many milliseconds the first read of a space takes in a server that has just started. A server that has
// no checkpoint makes one, so they are forgotten before each.
func (b *benchmark) opening(ctx context.Context, data string, byLog bool) (float64, error) {
	var took []time.Duration
	for range 5 {
		if byLog {
			if err := dropCheckpoints(ctx, data); err != nil {
				return 0, err
			}
		}
		c, err := spawn(ctx, b.stderr, "serve", "--data", data)
		if err != nil {
			return 0, err
		}
		one, err := openOnce(ctx, c.url)
		if err = errors.Join(err, c.stop()); err != nil {
			return 0, err
		}
		took = append(took, one)
	}
	slices.Sort(took)
	return float64(took[len(took)/2]) / float64(time.Millisecond), nil
}

func openOnce(ctx context.Context, url string) (time.Duration, error) {
	p, err := dial(ctx, url, (&load{seed: 1}).member(0))
	if err != nil {
		return 0, err
	}
	defer p.close()
	if err := p.send(ctx, &wire.Directory{Ref: 1}); err != nil {
		return 0, err
	}
	rows, err := expect[*wire.Spaces](ctx, p)
	if err == nil && len(rows.Rows) != 1 {
		err = fmt.Errorf("%d spaces instead of one", len(rows.Rows))
	}
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := p.send(ctx, &wire.Fetch{Ref: 2, Space: rows.Rows[0].Genesis.ID(), Before: rows.Rows[0].Head + 1, MaxRecords: 1}); err != nil {
		return 0, err
	}
	page, err := expect[*wire.Page](ctx, p)
	if err == nil && len(page.Records) == 0 {
		err = errors.New("a page without records")
	}
	return time.Since(began), err
}

// dropCheckpoints makes a log forget all of them.
func dropCheckpoints(ctx context.Context, data string) (err error) {
	log, err := sqlitelog.Open(ctx, sqlitelog.Config{Dir: data})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	keys, err := log.Scan(ctx, "checkpoint/", "", 1000)
	for _, key := range keys {
		if err == nil {
			_, err = log.CompareAndSet(ctx, key.Key, key.Value, nil)
		}
	}
	return err
}
