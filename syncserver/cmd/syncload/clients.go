package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"skerry/shared/space"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// startClients opens whole clients, creates the spaces and returns how each client does its work.
func (l *load) startClients(ctx context.Context) (work func(context.Context, int, *outcome) error, stop func(), err error) {
	var clients []*wasmclient.Client
	stop = func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel() // everything is acknowledged, or is not to be waited for
		for _, c := range clients {
			c.Close(ended)
		}
	}
	address, err := syncURL(l.url)
	if err != nil {
		return nil, stop, err
	}
	for i := range l.clients {
		store := memstore.New(memstore.Config{Identity: l.member(i).identity})
		c, err := wasmclient.Open(ctx, wasmclient.Config{Store: store, URL: address, Sign: l.member(i).sign, ClientVersion: "syncload"})
		if err != nil {
			return nil, stop, err
		}
		clients = append(clients, c)
	}
	ids := make([]space.ID, l.spaces)
	for no := range ids {
		s, err := clients[no%l.clients].CreateSpace(ctx, wasmclient.SpaceOptions{})
		if err != nil {
			return nil, stop, err
		}
		ids[no] = s.ID()
	}
	for no := range ids { // others can open a space only once the server has it
		for s := clients[no%l.clients].Space(ids[no]); !s.Info().Created; {
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
				return nil, stop, ctx.Err()
			}
		}
	}
	return func(ctx context.Context, i int, o *outcome) error {
		var spaces []*wasmclient.Space
		for _, no := range l.of(i) {
			spaces = append(spaces, clients[i].Space(ids[no]))
		}
		return l.append(ctx, l.writer(i), spaces, o)
	}, stop, nil
}

// append appends to spaces in turn and waits until the server has everything.
func (l *load) append(ctx context.Context, w *writer, spaces []*wasmclient.Space, o *outcome) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type appended struct {
		receipt *wasmclient.Receipt
		id      space.ID
		ids     []space.ULID
		at      time.Time
	}
	queue := make(chan appended, l.inFlight)
	var reader sync.WaitGroup
	reader.Go(func() {
		for a := range queue {
			if _, err := a.receipt.Synced(ctx); err != nil {
				cancel(fmt.Errorf("a transaction was not synced: %w", err))
				continue // drain the queue
			}
			// The position that a receipt tells may lie past the transaction, when its records came first.
			o.acked[a.id] = append(o.acked[a.id], acked{ids: a.ids})
			o.latency = append(o.latency, time.Since(a.at))
			l.acked.Add(int64(len(a.ids)))
		}
	})
	var err error
	for turn := 0; ctx.Err() == nil && l.take(); turn++ {
		s := spaces[turn%len(spaces)]
		events := w.events(l.batch)
		var receipt *wasmclient.Receipt
		if receipt, err = s.AppendEvents(ctx, events); err != nil {
			break
		}
		queue <- appended{receipt, s.ID(), idsOf(events), time.Now()}
	}
	close(queue)
	reader.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
