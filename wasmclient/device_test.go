//go:build !js

package wasmclient_test

import (
	"context"
	"sync"
	"sync/atomic"

	"skerry/wasmclient"
)

// channels connects the tabs of a test.
type channels struct {
	mu   sync.Mutex
	tabs []*channel
	said []wasmclient.Message // all that was sent
}

type channel struct {
	all     *channels
	deaf    atomic.Bool // nothing reaches it
	receive func(wasmclient.Message)
	queue   []wasmclient.Message // on its way here
}

func (c *channels) channel() *channel {
	c.mu.Lock()
	defer c.mu.Unlock()
	tab := &channel{all: c}
	c.tabs = append(c.tabs, tab)
	return tab
}

// count returns how often a word was said.
func (c *channels) count(kind string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.said {
		if m.Kind == kind {
			n++
		}
	}
	return n
}

func (c *channel) Send(m wasmclient.Message) {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.all.said = append(c.all.said, m)
	for _, tab := range c.all.tabs {
		if tab != c && tab.receive != nil && !tab.deaf.Load() {
			if tab.queue = append(tab.queue, m); len(tab.queue) == 1 {
				go tab.deliver()
			}
		}
	}
}

// deliver hands what was said to a tab, in order, as browsers do.
func (c *channel) deliver() {
	for {
		c.all.mu.Lock()
		receive, m := c.receive, c.queue[0]
		c.all.mu.Unlock()
		if receive != nil {
			receive(m)
		}
		c.all.mu.Lock()
		c.queue = c.queue[1:]
		over := len(c.queue) == 0
		c.all.mu.Unlock()
		if over {
			return
		}
	}
}

func (c *channel) Receive(f func(wasmclient.Message)) (stop func()) {
	c.all.mu.Lock()
	c.receive = f
	c.all.mu.Unlock()
	return func() {
		c.all.mu.Lock()
		c.receive = nil
		c.all.mu.Unlock()
	}
}

// webLock is a lock among tabs as a browser has it: with a line, and open to theft.
type webLock struct {
	mu     sync.Mutex
	holder *webLockHold
	line   []*webLockHold
	steals int
}

type webLockHold struct {
	granted chan struct{}
	lost    func()
}

// lead is a [wasmclient.Config.Lead] over the lock.
func (l *webLock) lead(ctx context.Context, steal bool, lost func()) (func(), error) {
	h := &webLockHold{granted: make(chan struct{}), lost: lost}
	l.mu.Lock()
	if steal {
		l.steals++
		if l.holder != nil {
			go l.holder.lost()
		}
		l.holder = h
		close(h.granted)
	} else {
		l.line = append(l.line, h)
		l.grant()
	}
	l.mu.Unlock()
	select {
	case <-h.granted:
		return func() { l.release(h) }, nil
	case <-ctx.Done():
		l.release(h)
		return nil, ctx.Err()
	}
}

// grant gives a free lock to the first in line.
func (l *webLock) grant() {
	if l.holder == nil && len(l.line) > 0 {
		l.holder, l.line = l.line[0], l.line[1:]
		close(l.holder.granted)
	}
}

func (l *webLock) release(h *webLockHold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.line {
		if other == h {
			l.line = append(l.line[:i:i], l.line[i+1:]...)
			return
		}
	}
	if l.holder == h {
		l.holder = nil
		l.grant()
	}
}

func (l *webLock) stolen() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.steals
}
