package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver/sqlitelog"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

const (
	expiryRecords = 1_000_000
	expiryBatch   = 100
	expiryKept    = 100
)

// expiry measures what becomes of a log whose records expire.
func (b *benchmark) expiry(ctx context.Context) error {
	b.printf("## A million records that expire\n\n")
	b.printf("A space of %s records of %d bytes, of which all but the newest %d expire by one record: until that is in the log, until the\n", thousands(expiryRecords), payloadSize, expiryKept)
	b.printf("payloads are freed, while the server serves, and what `skerry compact` then makes of the file. A record that has expired keeps its\n")
	b.printf("ID and its digest for ever. Then until a new replica is at the log's end.\n\n")
	data := b.data()
	file := filepath.Join(data, sqlitelog.FileName)
	size := func() (int64, error) {
		info, err := os.Stat(file)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	l := &load{kind: "raw", clients: 1, spaces: 1, batch: expiryBatch, events: expiryRecords, payload: payloadSize, inFlight: ingestInFlight, seed: 1}
	serving := func(f func(*child) error) error {
		c, err := spawn(ctx, b.stderr, "serve", "--data", data)
		if err != nil {
			return err
		}
		l.url = c.url
		return errors.Join(f(c), c.stop())
	}
	if err := serving(func(*child) error { _, err := l.run(ctx, nil); return err }); err != nil {
		return err
	}
	full, err := size()
	if err != nil {
		return err
	}
	var judged, freed time.Duration
	var id space.ID
	if err := serving(func(c *child) error { id, judged, freed, err = l.expireAll(ctx); return err }); err != nil {
		return err
	}
	began := time.Now()
	before, after, err := sqlitelog.Compact(ctx, sqlitelog.Config{Dir: data}, nil)
	if err != nil {
		return err
	}
	compacted := time.Since(began)
	var followed time.Duration
	if err := serving(func(*child) error { followed, err = l.follow(ctx, id); return err }); err != nil {
		return err
	}
	b.printf("| | | |\n| --- | --: | --: |\n")
	b.printf("| written | | %s |\n", megabytes(full))
	b.printf("| the record is in the log | %s | |\n", took(judged))
	b.printf("| payloads are freed | %s | %s |\n", took(freed), megabytes(before))
	b.printf("| compacted | %s | %s |\n", took(compacted), megabytes(after))
	b.printf("| a new replica is at the end | %s | |\n\n", took(followed))
	if after >= full/2 {
		return fmt.Errorf("the file had %d bytes and has %d", full, after)
	}
	return nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }

// expireAll has all but the newest records of the load's space expire, and returns how long that took to be in the log, and to be done.
func (l *load) expireAll(ctx context.Context) (id space.ID, judged, freed time.Duration, err error) {
	by := l.member(0)
	p, err := dial(ctx, l.url, by)
	if err != nil {
		return id, 0, 0, err
	}
	defer p.close()
	if err = p.send(ctx, &wire.Directory{Ref: 1}); err != nil {
		return id, 0, 0, err
	}
	rows, err := expect[*wire.Spaces](ctx, p)
	if err == nil && len(rows.Rows) != 1 {
		err = fmt.Errorf("%d spaces instead of one", len(rows.Rows))
	}
	if err != nil {
		return id, 0, 0, err
	}
	id = rows.Rows[0].Genesis.ID()
	last := space.Event{ID: l.writer(0).ulid(), Type: module.TypeExpire, Payload: module.Expire(expiryRecords - expiryKept)}
	began := time.Now()
	err = p.send(ctx, &wire.Push{Space: id, N: 1, Transactions: []space.Transaction{{Author: by.identity, API: wire.APIHigh, ClientVersion: "syncload", Events: []space.Event{last}}}})
	if err != nil {
		return id, 0, 0, err
	}
	pushed, err := expect[*wire.Pushed](ctx, p)
	if err == nil && pushed.Verdicts[0].Kind != wire.Accepted {
		err = errors.New(describe(&pushed.Verdicts[0]))
	}
	judged = time.Since(began)
	for done := false; err == nil && !done; {
		done, err = freedOnce(ctx, l.url)
	}
	return id, judged, time.Since(began), err
}

// freedOnce reports, some time after it is called, whether the server has freed payloads.
func freedOnce(ctx context.Context, url string) (bool, error) {
	time.Sleep(20 * time.Millisecond)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return false, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	metrics, err := io.ReadAll(response.Body)
	return strings.Contains(string(metrics), "\nskerry_expiries_total 1\n"), err
}

// follow returns how long a new replica takes to be at the end of a space's log.
func (l *load) follow(ctx context.Context, id space.ID) (time.Duration, error) {
	address, err := syncURL(l.url)
	if err != nil {
		return 0, err
	}
	by := l.member(0)
	began := time.Now()
	client, err := wasmclient.Open(ctx, wasmclient.Config{
		Store: memstore.New(memstore.Config{Identity: by.identity}), URL: address, Sign: by.sign, ClientVersion: "syncload",
	})
	if err != nil {
		return 0, err
	}
	for s := client.Space(id); s.Info().Position.Seq < expiryRecords; {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	took := time.Since(began)
	return took, client.Close(ctx)
}
