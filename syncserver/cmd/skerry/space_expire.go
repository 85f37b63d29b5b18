package main

import (
	"context"

	"skerry/shared/module"
)

// spaceExpire has the first records of a space expire.
func spaceExpire(ctx context.Context, c *console, args []string) error {
	set := c.flags("space expire")
	upto := set.Uint64("upto", 0, "the `number` of the last record that expires; it ends a transaction")
	p, id, err := c.parseSpace(set, args)
	if err != nil {
		return err
	}
	if !p.who.given() || set.NArg() != 1 || *upto == 0 {
		return usagef("needs --identity, --upto and the ID of a space")
	}
	seq, err := p.appendOwn(ctx, id, module.TypeExpire, module.Expire(*upto))
	if err != nil {
		return err
	}
	return c.print(struct {
		Seq     uint64 `json:"seq"`
		Expired uint64 `json:"expired"`
	}{seq, *upto}, "%d has the records up to %d expire", seq, *upto)
}
