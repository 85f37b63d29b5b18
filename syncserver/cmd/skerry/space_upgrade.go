package main

import (
	"context"
	"flag"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/space"
)

// spaceUpgrade takes a space over to another module.
func spaceUpgrade(ctx context.Context, c *console, args []string) error {
	set := c.flags("space upgrade")
	p, id, err := c.parseSpace(set, args)
	if err != nil {
		return err
	}
	if !p.who.given() || set.NArg() != 2 {
		return usagef("needs --identity, the ID of a space, and a module: a built-in's name, a digest, a file or a source")
	}
	to, err := parseModule(set.Arg(1))
	if err != nil { // so it is at hand
		content, _, err := c.loadModule(ctx, set.Arg(1))
		if err != nil {
			return err
		}
		to = digest.Of(content)
		if _, err := p.upload(ctx, to, content); err != nil {
			return err
		}
	}
	seq, err := p.upgrade(ctx, id, to)
	if err != nil {
		return err
	}
	return c.print(struct {
		Seq    uint64 `json:"seq"`
		Module string `json:"module"`
	}{seq, to.String()}, "%d %s", seq, to)
}

// upgrade takes a space over to a module that the server has, and returns the number of the record that does.
func (p *place) upgrade(ctx context.Context, id space.ID, to digest.Digest) (seq uint64, err error) {
	return p.appendOwn(ctx, id, module.TypeModule, module.Upgrade(to, nil))
}

// appendOwn appends an event of a type of Skerry's own, and returns its number.
func (p *place) appendOwn(ctx context.Context, id space.ID, kind string, payload []byte) (seq uint64, err error) {
	event := space.Event{Type: kind, Payload: payload}
	if event.ID, err = newULID(); err != nil {
		return 0, err
	}
	v, err := p.append(ctx, id, &event, "")
	if err != nil {
		return 0, err
	}
	return v.Position.Seq, nil
}

// parseSpace parses a command that has to do with a space, and where it is.
func (c *console) parseSpace(set *flag.FlagSet, args []string) (p *place, id space.ID, err error) {
	p = c.placeFlags(set, false)
	if err := c.parse(set, args); err != nil {
		return nil, id, err
	}
	if err := p.complete(false); err != nil {
		return nil, id, err
	}
	id, err = spaceArgument(set)
	return p, id, err
}
