package main

import (
	"context"
	"errors"
	"log/slog"

	"skerry/syncserver"
	"skerry/syncserver/sqlitelog"
)

// sealRotate gives a server that does not run a new secret to seal positions with.
func sealRotate(ctx context.Context, c *console, args []string) (err error) {
	set := c.flags("seal rotate")
	data := set.String("data", "skerry-data", "the `directory` of a server that does not run")
	forget := set.Bool("forget", false, "seals under earlier secrets do not count any more, since somebody else knows one: what replicas hold under those beyond a backup is not taken back")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return usagef("takes no arguments, got %q", set.Arg(0))
	}
	log, err := openExisting(ctx, *data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	earlier, err := syncserver.RotateSeal(ctx, log, *forget)
	if err != nil {
		return err
	}
	return c.print(struct {
		Earlier int `json:"earlier"`
	}{earlier}, "positions are sealed with a new secret; %d earlier ones count", earlier)
}

// openExisting opens the data of a server that does not run, to change it.
func openExisting(ctx context.Context, data string) (*sqlitelog.Log, error) {
	look, err := sqlitelog.OpenReadOnly(ctx, sqlitelog.Config{Dir: data}) // where there is nothing, nothing is made
	if err == nil {
		err = look.Close()
	}
	var log *sqlitelog.Log
	if err == nil {
		log, err = sqlitelog.Open(ctx, sqlitelog.Config{Dir: data, Logger: slog.New(slog.DiscardHandler)})
	}
	if err != nil {
		return nil, dataError(data, err)
	}
	return log, nil
}
