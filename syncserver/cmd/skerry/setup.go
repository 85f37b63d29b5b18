package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"skerry/syncserver"
	"skerry/syncserver/sqlitelog"
	"skerry/syncserver/wasmengine"
)

// setup names the first administrator of a server.
func setup(ctx context.Context, c *console, args []string) error {
	set := c.flags("setup")
	url := set.String("url", "", "`address` of a server that runs")
	token := set.String("token", "", "`text` that serve printed when it started")
	data := set.String("data", "", "`directory` of a server that does not run")
	identity := set.String("identity", "", "`identity` that becomes the administrator")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() > 0 || *identity == "" || (*url == "") == (*data == "") {
		return usagef("needs --identity and either --url or --data, and takes no arguments")
	}
	var err error
	if *data != "" {
		err = setUpData(ctx, *data, *identity)
	} else {
		err = setUpServer(ctx, *url, *token, *identity)
	}
	if err != nil {
		return err
	}
	return c.print(struct {
		Administrator string `json:"administrator"`
	}{*identity}, "%s is the administrator", *identity)
}

// setUpServer asks a server that runs.
func setUpServer(ctx context.Context, url, token, identity string) error {
	request := map[string]string{"token": token, "identity": identity}
	return (&place{url: url}).call(ctx, http.MethodPost, "/api/v1/setup", "", request, new(struct{}))
}

// setUpData names the administrator in a data directory, by a server that nobody can reach.
func setUpData(ctx context.Context, data, identity string) error {
	log, err := sqlitelog.Open(ctx, sqlitelog.Config{Dir: data, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return dataError(data, err)
	}
	return serveNobody(ctx, log, func(ctx context.Context, server *syncserver.Server) error {
		named, err := server.SetUp(ctx, identity)
		if err == nil && !named {
			err = errors.New("setup_done: this server has an administrator already")
		}
		return err
	})
}

// withServer has do work on the data of a server that does not run, by one that nobody can reach.
func withServer(ctx context.Context, data string, do func(context.Context, *syncserver.Server) error) error {
	log, err := openExisting(ctx, data)
	if err != nil {
		return err
	}
	return serveNobody(ctx, log, do)
}

// serveNobody runs a server that nobody can reach on a log, which it closes, while do works.
func serveNobody(ctx context.Context, log *sqlitelog.Log, do func(context.Context, *syncserver.Server) error) (err error) {
	defer func() { err = errors.Join(err, log.Close()) }()
	engine, err := wasmengine.New(moduleSource(log), wasmengine.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	config := syncserver.Config{Log: log, Engine: engine}
	if config.Policy, config.PolicyParams, err = syncserver.CurrentPolicy(ctx, log); err != nil {
		return err
	}
	server, err := syncserver.New(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx) }()
	err = do(ctx, server)
	cancel()
	return errors.Join(err, <-ran)
}
