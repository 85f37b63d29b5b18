package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/syncserver"
	"skerry/syncserver/sqlitelog"
	"skerry/syncserver/wasmengine"
)

// findingView is what check found wrong, as --json prints it.
type findingView struct {
	Place string `json:"place"`
	What  string `json:"what"`
	Do    string `json:"do"`
}

// check reads a whole data directory, also while a server runs on it, and prints what is wrong with it.
func check(ctx context.Context, c *console, args []string) (err error) {
	set := c.flags("check")
	data := set.String("data", "skerry-data", "the server's data `directory`")
	quick := set.Bool("quick", false, "leave out whether checkpoints are what their logs make, which takes as long as all records take to apply")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return usagef("takes no arguments, got %q", set.Arg(0))
	}
	wrong := 0
	var failed error
	found := func(f sqlitelog.Finding) {
		wrong++
		failed = errors.Join(failed, c.print(findingView(f), "%s", f))
	}
	config := sqlitelog.Config{Dir: *data}
	if err := sqlitelog.Check(ctx, config, found, func(done, total int64) {
		fmt.Fprintf(c.err, "checked %d of %d records\n", done, total)
	}); err != nil {
		return err
	}
	spaces := 0
	if wrong == 0 && !*quick { // by what is damaged nothing can be judged
		if spaces, err = c.checkTables(ctx, config, found); err != nil {
			return err
		}
	}
	switch {
	case failed != nil:
		return failed
	case wrong > 0:
		return fmt.Errorf("%d things are wrong in %s", wrong, *data)
	}
	return c.print(struct {
		Checked     string `json:"checked"`
		Checkpoints int    `json:"spaces_with_checkpoints"`
	}{*data, spaces}, "nothing is wrong in %s", *data)
}

// checkTables applies the logs of all spaces that have checkpoints, and compares them. It returns how many have.
func (c *console) checkTables(ctx context.Context, config sqlitelog.Config, found func(sqlitelog.Finding)) (spaces int, err error) {
	log, err := sqlitelog.OpenReadOnly(ctx, config)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	engine, err := wasmengine.New(moduleSource(log), wasmengine.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	told := time.Now()
	err = syncserver.EachSpace(ctx, log, func(id space.ID) error {
		place := "space " + id.String()
		has, err := syncserver.CheckCheckpoints(ctx, log, engine, id, func(what string) {
			found(sqlitelog.Finding{Place: place, What: what, Do: "delete nothing: the server makes it anew; if it comes again, tell who makes the module"})
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, module.ErrMissing):
			found(sqlitelog.Finding{Place: place, What: "a module that it has is not there", Do: "upload it by skerry module put; clients that have it do so unasked"})
		case err != nil:
			found(sqlitelog.Finding{Place: place, What: fmt.Sprintf("its records cannot be applied: %v", err), Do: "tell who makes the module"})
		}
		if has {
			spaces++
		}
		if now := time.Now(); now.Sub(told) > time.Second {
			told = now
			fmt.Fprintf(c.err, "applied the records of %d spaces\n", spaces)
		}
		return nil
	})
	return spaces, err
}
