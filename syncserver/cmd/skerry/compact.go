package main

import (
	"context"

	"skerry/syncserver/sqlitelog"
)

// compact makes the database in a data directory as small as what is in it.
func compact(ctx context.Context, c *console, args []string) error {
	set := c.flags("compact")
	data := set.String("data", "skerry-data", "the data `directory` of a server that does not run")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return usagef("takes no arguments, got %q", set.Arg(0))
	}
	before, after, err := sqlitelog.Compact(ctx, sqlitelog.Config{Dir: *data}, c.progress("wrote"))
	if err != nil {
		return dataError(*data, err)
	}
	return c.print(struct {
		Before int64 `json:"before"`
		After  int64 `json:"after"`
	}{before, after}, "%s had %d bytes and has %d", sqlitelog.FileName, before, after)
}
