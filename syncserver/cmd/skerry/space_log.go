package main

import (
	"context"
	"time"

	"skerry/shared/space"
	"skerry/shared/wire"
)

// recordView is a record as --json prints it.
type recordView struct {
	Seq           uint64 `json:"seq"`
	ID            string `json:"id"`
	Chain         string `json:"chain"`
	ReceivedAt    uint64 `json:"received_at"`
	Index         uint32 `json:"index"`
	Count         uint32 `json:"count"`
	Author        string `json:"author"`
	Type          string `json:"type"`
	Schema        string `json:"schema,omitempty"`
	API           string `json:"api"`
	ClientVersion string `json:"client_version"`
	Payload       any    `json:"payload"`
}

// spaceLog prints the records of a space, oldest first, each with the chain after it.
func spaceLog(ctx context.Context, c *console, args []string) error {
	set := c.flags("space log")
	p := c.placeFlags(set, true)
	after := set.Uint64("after", 0, "print records above this `number`")
	limit := set.Uint64("limit", 0, "print at most so many records (0: all)")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if err := p.complete(true); err != nil {
		return err
	}
	id, err := spaceArgument(set)
	if err != nil {
		return err
	}
	next, done, err := p.pages(ctx, id)
	if err != nil {
		return err
	}
	defer done()
	left := *limit
	chain, at := id, uint64(0) // everything is read from the start: the chain is checked on the way
	for {
		records, position, err := next(at)
		if err != nil || len(records) == 0 {
			return err
		}
		for i := range records {
			r := &records[i]
			chain, at = space.Chain(chain, r), r.Seq
			if r.Seq <= *after {
				continue
			}
			if err := c.printRecord(r, chain.String()); err != nil {
				return err
			}
			if left--; left == 0 {
				return nil
			}
		}
		if position != nil && position.Chain != chain {
			return wire.Errorf(wire.CodeBadChain, "the records up to %d do not hash to the chain that came with them", at)
		}
	}
}

func (c *console) printRecord(r *space.Record, chain string) error {
	payload := payloadView(r.Payload)
	v := recordView{
		Seq: r.Seq, ID: r.ID.String(), Chain: chain, ReceivedAt: r.ReceivedAt, Index: r.Index, Count: r.Count,
		Author: r.Author, Type: r.Type, API: r.API, ClientVersion: r.ClientVersion, Payload: payload,
	}
	when := time.UnixMilli(int64(r.ReceivedAt)).UTC().Format("2006-01-02T15:04:05.000Z")
	return c.print(v, "%d  %s  %s  %s  %s", r.Seq, when, r.Author, r.Type, payload)
}

// pages returns a function that reads the records after a number, and where they end if that is known.
func (p *place) pages(ctx context.Context, id space.ID) (next func(after uint64) ([]space.Record, *space.Position, error), done func(), err error) {
	if p.data != "" {
		log, err := p.open(ctx)
		if err != nil {
			return nil, nil, err
		}
		if _, err := log.Head(ctx, id); err != nil {
			log.Close()
			return nil, nil, err
		}
		return func(after uint64) ([]space.Record, *space.Position, error) {
			records, err := log.Read(ctx, id, after, 500, 1<<20)
			return records, nil, err
		}, func() { log.Close() }, nil
	}
	client, err := p.dial(ctx, 1<<40)
	if err != nil {
		return nil, nil, err
	}
	ref := uint64(0)
	return func(after uint64) ([]space.Record, *space.Position, error) {
		ref++
		if err := client.send(ctx, &wire.Fetch{Ref: ref, Space: id, After: after}); err != nil {
			return nil, nil, err
		}
		page, err := expect[*wire.Page](ctx, client)
		if err != nil {
			return nil, nil, err
		}
		return page.Records, &page.Position, nil
	}, client.close, nil
}
