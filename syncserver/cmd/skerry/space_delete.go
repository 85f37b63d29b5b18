package main

import (
	"context"

	"skerry/shared/module"
)

// spaceDelete deletes a space.
func spaceDelete(ctx context.Context, c *console, args []string) error {
	set := c.flags("space delete")
	p, id, err := c.parseSpace(set, args)
	if err != nil {
		return err
	}
	if !p.who.given() || set.NArg() != 1 {
		return usagef("needs --identity and the ID of a space")
	}
	seq, err := p.appendOwn(ctx, id, module.TypeDelete, []byte{0x80})
	if err != nil {
		return err
	}
	return c.print(struct {
		Seq     uint64 `json:"seq"`
		Deleted string `json:"deleted"`
	}{seq, id.String()}, "%d deleted %s", seq, id)
}
