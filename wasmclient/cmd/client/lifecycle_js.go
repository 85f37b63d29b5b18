package main

import (
	"context"
	"time"

	"skerry/shared/wire"
)

// suspendWithin is how long a page that is about to be stopped waits for what was appended to become durable. A browser
// seldom gives it more.
const suspendWithin = time.Second

// moment is something that happened to the page, to be answered when this side has taken note.
type moment struct {
	ref  int
	what string
}

// live takes the moments of the page's life one after the other, each when the one before is dealt with.
func (b *bridge) live() {
	for {
		select {
		case m := <-b.moments:
			b.reply(m.ref, b.take(m.what), nil)
		case <-b.ctx.Done():
			return
		}
	}
}

// take brings the client to what the page is now. A page that is seen runs, whatever else was said: not every engine
// tells that it let a page go on.
func (b *bridge) take(what string) error {
	switch what {
	case "visible":
		b.client.Resume()
		b.client.SetVisible(true)
	case "hidden":
		b.client.SetVisible(false)
	case "resume", "pageshow":
		b.client.Resume()
	case "freeze", "pagehide":
		ctx, cancel := context.WithTimeout(b.ctx, suspendWithin)
		defer cancel()
		if err := b.client.Suspend(ctx); err != nil {
			return wire.Errorf(wire.CodeNotDurable, "the page stops before everything is durable: %v", err)
		}
	default:
		return wire.Errorf(wire.CodeBadArgument, "a page has no moment %q", what)
	}
	return nil
}
