package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"skerry/shared/space"
	"skerry/shared/wire"
)

// verify reads every space back and counts what is missing or there more than once.
func (l *load) verify(ctx context.Context, outcomes []outcome, s *summary) error {
	began := time.Now()
	bySpace, reader := map[space.ID][]acked{}, map[space.ID]member{}
	for i, o := range outcomes {
		for id, transactions := range o.acked {
			bySpace[id] = append(bySpace[id], transactions...)
			reader[id] = l.member(i) // who wrote there may read there
		}
	}
	work := make(chan space.ID, len(bySpace))
	for id := range bySpace {
		work <- id
	}
	close(work)
	var (
		group   sync.WaitGroup
		mu      sync.Mutex // guards s and failure
		failure error
	)
	for range min(4, len(bySpace)) {
		group.Go(func() {
			for id := range work {
				var seqs map[space.ULID]uint64
				var read, repeated int
				p, err := dial(ctx, l.url, reader[id])
				if err == nil {
					seqs, read, repeated, err = readBack(ctx, p, id)
					p.close()
				}
				mu.Lock()
				if err != nil && failure == nil {
					failure = fmt.Errorf("read space %s back: %w", id, err)
				}
				s.Read += read
				s.Repeated += repeated
				s.Missing += missing(seqs, bySpace[id])
				mu.Unlock()
			}
		})
	}
	group.Wait()
	s.ReadSeconds = time.Since(began).Seconds()
	if failure != nil {
		return failure
	}
	if s.Missing > 0 || s.Repeated > 0 {
		return errLost
	}
	return nil
}

// missing counts acknowledged events that are not in the log under the number that their verdict told.
func missing(seqs map[space.ULID]uint64, transactions []acked) int {
	n := 0
	for _, t := range transactions {
		for i, id := range t.ids {
			seq := seqs[id]
			if seq == 0 || t.lastSeq != 0 && seq != t.lastSeq-uint64(len(t.ids)-1-i) {
				n++
			}
		}
	}
	return n
}

// readBack reads a whole space and checks that it has no holes and hashes to what the server says.
func readBack(ctx context.Context, p *peer, id space.ID) (seqs map[space.ULID]uint64, read, repeated int, err error) {
	seqs = map[space.ULID]uint64{}
	at := space.Start(id)
	for {
		if err := p.send(ctx, &wire.Fetch{Ref: 1, Space: id, After: at.Seq, MaxRecords: 1000, MaxBytes: 1 << 20}); err != nil {
			return nil, read, repeated, err
		}
		page, err := expect[*wire.Page](ctx, p)
		if err != nil {
			return nil, read, repeated, err
		}
		if len(page.Records) == 0 {
			return seqs, read, repeated, nil
		}
		if page.ChainBefore != at.Chain || space.Fold(at.Chain, page.Records) != page.Position.Chain {
			return nil, read, repeated, fmt.Errorf("the records after %d do not hash to their position", at.Seq)
		}
		for i := range page.Records {
			r := &page.Records[i]
			if r.Seq != at.Seq+1+uint64(i) {
				return nil, read, repeated, fmt.Errorf("record %d stands where %d belongs", r.Seq, at.Seq+1+uint64(i))
			}
			if seqs[r.ID] != 0 {
				repeated++
			}
			seqs[r.ID] = r.Seq
			read++
		}
		at = page.Position
	}
}
