// Package gate holds calls back while something must not be used.
//
// A store passes each of its operations through a [Gate], so that it can be told to begin nothing more: before a
// browser stops a page, for instance, since a page that is stopped inside of a transaction blocks all others.
//
// Stable: nothing; the package serves the stores of this tree.
package gate

import (
	"context"
	"sync"
)

// Gate lets calls through while it is open. The zero Gate is open. Its methods are safe for concurrent use.
type Gate struct {
	mu     sync.Mutex
	inside int
	opened chan struct{} // closed when it opens again; nil while it is open
	empty  chan struct{} // closed when the last one leaves; nil while nobody waits for that
}

// Enter waits until the gate is open, or returns ctx's error. Whoever entered calls Leave.
func (g *Gate) Enter(ctx context.Context) error {
	for {
		g.mu.Lock()
		opened := g.opened
		if opened == nil {
			g.inside++
			g.mu.Unlock()
			return nil
		}
		g.mu.Unlock()
		select {
		case <-opened:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Leave ends what Enter began, and reports whether the gate was shut meanwhile.
func (g *Gate) Leave() (shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
	return g.opened != nil
}

// Shut lets nobody in any more and waits until those inside have left, or returns ctx's error; it is shut then, too.
func (g *Gate) Shut(ctx context.Context) error {
	g.mu.Lock()
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
	if g.inside == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	empty := g.empty
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Open lets everybody in who waits.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}
