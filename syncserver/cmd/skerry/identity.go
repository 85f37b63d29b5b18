package main

import (
	"context"
	"fmt"

	"skerry/syncserver"
)

// erasedView is what identity erase does, or would do, as --json prints it.
type erasedView struct {
	Identity string      `json:"identity"`
	Erased   bool        `json:"erased"`
	Deleted  []string    `json:"deleted"`
	Stays    []shareView `json:"stays"`
}

type shareView struct {
	Space   string `json:"space"`
	Creator bool   `json:"creator"`
	Records int    `json:"records"`
}

// identityErase takes an identity out of the data directory of a server that does not run.
func identityErase(ctx context.Context, c *console, args []string) error {
	set := c.flags("identity erase")
	data := set.String("data", "skerry-data", "the `directory` of a server that does not run")
	yes := set.Bool("yes", false, "do it, for good; else only print what would be done")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() != 1 {
		return usagef("needs an identity")
	}
	var e syncserver.Erased
	err := withServer(ctx, *data, func(ctx context.Context, server *syncserver.Server) (err error) {
		e, err = server.EraseIdentity(ctx, set.Arg(0), *yes)
		return err
	})
	if err != nil {
		return err
	}
	v := erasedView{Identity: set.Arg(0), Erased: *yes, Deleted: []string{}, Stays: []shareView{}}
	text := "would be deleted"
	if *yes {
		text = "deleted"
	}
	for _, id := range e.Deleted {
		v.Deleted = append(v.Deleted, id.String())
	}
	for _, s := range e.Stays {
		v.Stays = append(v.Stays, shareView{s.Space.String(), s.Creator, s.Records})
	}
	if c.json {
		return c.print(v, "")
	}
	for _, id := range v.Deleted {
		fmt.Fprintf(c.out, "%s  %s\n", id, text)
	}
	for _, s := range v.Stays {
		fmt.Fprintf(c.out, "%s  stays, with %d records of it: others have a share in it\n", s.Space, s.Records)
	}
	if !*yes {
		fmt.Fprintln(c.out, "nothing was changed; --yes does it, for good")
	}
	return nil
}
