package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/coder/websocket"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/syncserver"
	"skerry/syncserver/sqlitelog"
	"skerry/syncserver/wasmengine"
)

// serve is a server as skerry serve runs it, that limits nobody unless told to.
func serve(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	set := flag.NewFlagSet("syncload serve", flag.ContinueOnError)
	listen := set.String("listen", "127.0.0.1:0", "`address` to listen on")
	data := set.String("data", "", "`directory` of the log")
	limits := set.Bool("limits", false, "limit clients as a server does that was not configured otherwise")
	bare := set.Bool("no-modules", false, "run no modules, and so no policy either")
	if err := parse(set, args, stderr); err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	log, err := sqlitelog.Open(ctx, sqlitelog.Config{Dir: *data, Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	engine, err := wasmengine.New(func(ctx context.Context, name digest.Digest) ([]byte, error) {
		content, err := log.Blob(ctx, name)
		if errors.Is(err, syncserver.ErrNoBlob) {
			return nil, module.ErrMissing
		}
		return content, err
	}, wasmengine.Options{CacheDir: filepath.Join(*data, "compiled")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	plenty := syncserver.Rate{Burst: 1 << 40, PerHour: 1 << 40}
	config := syncserver.Config{
		Log: log, Logger: logger, Engine: engine,
		Creation: syncserver.CreationLimits{Identity: plenty, Address: plenty, Server: plenty},
		Rates: syncserver.Rates{
			IdentityEvents: plenty, AddressEvents: plenty, IdentityBytes: plenty, AddressBytes: plenty, IdentityModules: plenty,
			AddressModules: plenty, AddressRequests: plenty, AddressConnects: plenty, AddressUnsettled: plenty,
		},
		Quotas: syncserver.Quotas{Spaces: 1 << 40, Modules: 1 << 40, Bytes: 1 << 60},
	}
	if *limits {
		config.Creation, config.Rates, config.Quotas = syncserver.CreationLimits{}, syncserver.Rates{}, syncserver.Quotas{}
	}
	if *bare {
		config.Engine = nil
	}
	server, err := syncserver.New(config)
	if err != nil {
		return err
	}
	return listenAndServe(ctx, *listen, server, stdout, server.Run)
}

// sockets is the floor of fan-out and of idle connections: it passes what comes on one WebSocket on to all, and does
// nothing else.
func sockets(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set := flag.NewFlagSet("syncload sockets", flag.ContinueOnError)
	if err := parse(set, args, stderr); err != nil {
		return err
	}
	var mu sync.Mutex
	var all []*websocket.Conn
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		mu.Lock()
		all = append(all, conn)
		conn.Write(context.Background(), websocket.MessageBinary, []byte("welcome"))
		mu.Unlock()
		go func() {
			for {
				_, message, err := conn.Read(context.Background())
				if err != nil {
					return
				}
				mu.Lock()
				for _, other := range all {
					other.Write(context.Background(), websocket.MessageBinary, message)
				}
				mu.Unlock()
			}
		}()
	})
	return listenAndServe(ctx, "127.0.0.1:0", handler, stdout, func(ctx context.Context) error {
		<-ctx.Done()
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range all {
			conn.CloseNow()
		}
		return nil
	})
}

// listenAndServe prints the address, and serves until ctx ends and what runs beside has ended too.
func listenAndServe(ctx context.Context, address string, handler http.Handler, stdout io.Writer, beside func(context.Context) error) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", handler)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("POST /collect", func(http.ResponseWriter, *http.Request) { debug.FreeOSMemory() })
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 5 * time.Minute}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { cancel(web.Serve(listener)) }()
	fmt.Fprintf(stdout, "http://%s\n", listener.Addr())
	err = beside(ctx)
	web.Close()
	return err
}
