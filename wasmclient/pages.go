package wasmclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/tables"
)

// The pages of the checkpoint that tables began with stay in the store until something in them is looked at: who opens a space
// to see what is newest in it does not wait for all the rest. A module that runs cannot wait, and a query has the view while it
// runs, so neither reads: what they lack fails them, is read with nothing held, and they begin again.

const (
	// pagesFirst is how many pages are read with the first that is lacking; each time it is twice as many.
	pagesFirst = 4
	// pagesAtOnce is how many pages are read in one go, so that reading all of a large space lets others in.
	pagesAtOnce = 128
)

// pages are those of one checkpoint. It is safe for concurrent use.
type pages struct {
	client *Client
	space  space.ID
	names  []digest.Digest // in the order of what is in them

	mu   sync.Mutex
	here map[digest.Digest][]byte
	next int // how many are read when one is lacking
}

// lacking is the error that a page was not read yet.
type lacking struct {
	of   *pages
	page digest.Digest
}

func (l *lacking) Error() string { return "it was not read yet" }

// page returns a page that was read.
func (p *pages) page(d digest.Digest) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if page, ok := p.here[d]; ok {
		return page, nil
	}
	return nil, &lacking{p, d}
}

// read reads a page that is lacking, and some around it. Its errors are those of the store, and [tables.ErrPage] where the page
// is not there any more.
func (p *pages) read(ctx context.Context, d digest.Digest) error {
	p.mu.Lock()
	at, n := slices.Index(p.names, d), p.next
	p.next = min(2*n, 2*len(p.names))
	var names []digest.Digest
	for _, name := range p.names[max(at-n/2, 0):min(at+n/2, len(p.names))] {
		if _, ok := p.here[name]; !ok {
			names = append(names, name)
		}
	}
	p.mu.Unlock()
	for some := range slices.Chunk(names, pagesAtOnce) {
		var found map[digest.Digest][]byte
		err := p.client.read(ctx, func(store Store) (err error) {
			found, err = store.CheckpointPages(ctx, p.space, some)
			return err
		})
		if err != nil {
			return err
		}
		p.mu.Lock()
		for name, page := range found {
			p.here[name] = page
		}
		p.mu.Unlock()
	}
	if _, err := p.page(d); err != nil {
		return fmt.Errorf("%w: %v is not on this device any more", tables.ErrPage, d)
	}
	return nil
}

// supply reads what an error of the tables says is lacking, and reports whether there is nothing for it but to try again. If not,
// the tables are made anew, unless ctx ended. The caller does not hold the view.
func (v *view) supply(ctx context.Context, err error) bool {
	if l, ok := errors.AsType[*lacking](err); ok {
		if err = l.of.read(ctx, l.page); err == nil || ctx.Err() != nil {
			return err == nil
		}
	}
	v.mu.Lock()
	v.spoiled, v.shown, v.whole = err, nil, false
	v.mu.Unlock()
	v.signal()
	return false
}
