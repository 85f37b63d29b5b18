package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/syncserver"
	"skerry/syncserver/sqlitelog"
	"skerry/syncserver/wasmengine"
)

// serveFlags is what serve is told.
type serveFlags struct {
	listen, data, web, logFormat, logLevel, pprof string
	origins, proxies                              string
	insecure                                      bool
	creation                                      syncserver.CreationLimits
	config                                        syncserver.Config
}

// serve runs the server until it is told to stop.
func serve(ctx context.Context, c *console, args []string) error {
	f := serveFlags{creation: syncserver.DefaultCreation}
	set := c.flags("serve")
	set.StringVar(&f.listen, "listen", "127.0.0.1:8080", "`address` to listen on")
	set.StringVar(&f.data, "data", "skerry-data", "`directory` that holds everything; made if it is not there")
	set.StringVar(&f.web, "web", "", "`directory` of files to serve under /")
	set.BoolVar(&f.insecure, "insecure-identities", false, "take identities without proof; only on a loopback address")
	set.StringVar(&f.origins, "allow-origins", "", "hosts of other pages that may connect, `patterns` with commas between")
	set.StringVar(&f.proxies, "trusted-proxies", "", "networks of reverse proxies whose X-Forwarded-For counts, `prefixes` with commas between")
	set.IntVar(&f.creation.Identity.Burst, "create-burst", f.creation.Identity.Burst, "spaces that one identity may create at once")
	set.IntVar(&f.creation.Identity.PerHour, "create-per-hour", f.creation.Identity.PerHour, "spaces an hour that one identity may create after that")
	set.IntVar(&f.creation.Address.Burst, "create-address-burst", f.creation.Address.Burst, "the same for one network address")
	set.IntVar(&f.creation.Address.PerHour, "create-address-per-hour", f.creation.Address.PerHour, "the same for one network address")
	set.IntVar(&f.creation.Server.Burst, "create-server-burst", f.creation.Server.Burst, "the same for the whole server")
	set.IntVar(&f.creation.Server.PerHour, "create-server-per-hour", f.creation.Server.PerHour, "the same for the whole server")
	set.Uint64Var(&f.config.Limits.Payload, "limit-payload", 0, "bytes of one event's payload (0: the default)")
	set.Uint64Var(&f.config.Limits.TransactionBytes, "limit-transaction", 0, "bytes of one transaction (0: the default)")
	set.Uint64Var(&f.config.Limits.Frame, "limit-frame", 0, "bytes of one WebSocket message to a client (0: the default)")
	set.DurationVar(&f.config.ModulesKept, "modules-kept", 0, "how long a module is kept that no space names (0: 30 days)")
	set.DurationVar(&f.config.RetryAfter, "retry-after", 0, "when clients come back after the server stopped (0: the default)")
	set.StringVar(&f.logFormat, "log-format", "text", "`text` or json")
	set.StringVar(&f.logLevel, "log-level", "info", "`level`: debug, info, warn or error")
	set.StringVar(&f.pprof, "pprof", "", "loopback `address` to serve profiles on")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return usagef("takes no arguments, got %q", set.Arg(0))
	}
	if err := f.complete(c.err); err != nil {
		return err
	}
	return f.serve(ctx, c)
}

// complete makes the configuration of the flags.
func (f *serveFlags) complete(logs io.Writer) error {
	if f.insecure && !loopback(f.listen) {
		return usagef("--insecure-identities is only for a loopback address, not %s", f.listen)
	}
	if f.pprof != "" && !loopback(f.pprof) {
		return usagef("--pprof is only for a loopback address, not %s", f.pprof)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return usagef("--log-level %q is no level", f.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "text":
		f.config.Logger = slog.New(slog.NewTextHandler(logs, options))
	case "json":
		f.config.Logger = slog.New(slog.NewJSONHandler(logs, options))
	default:
		return usagef("--log-format is text or json, not %q", f.logFormat)
	}
	for _, prefix := range words(f.proxies) {
		network, err := netip.ParsePrefix(prefix)
		if err != nil {
			return usagef("--trusted-proxies: %v", err)
		}
		f.config.TrustedProxies = append(f.config.TrustedProxies, network)
	}
	f.config.AllowedOrigins = words(f.origins)
	f.config.InsecureIdentities = f.insecure
	f.config.Creation = f.creation
	if f.web != "" {
		files := os.DirFS(f.web)
		if info, err := fs.Stat(files, "."); err != nil || !info.IsDir() {
			return fmt.Errorf("--web %s is no directory", f.web)
		}
		f.config.Web = files
	}
	return nil
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// loopback reports whether an address can be reached from this machine only.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// serve listens, serves and drains.
func (f *serveFlags) serve(ctx context.Context, c *console) (err error) {
	listener, err := listen("--listen", f.listen) // first: what cannot be leaves no data directory behind
	if err != nil {
		return err
	}
	defer listener.Close()
	log, err := sqlitelog.Open(ctx, sqlitelog.Config{Dir: f.data, Logger: f.config.Logger})
	if err != nil {
		return dataError(f.data, err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	engine, err := wasmengine.New(moduleSource(log), wasmengine.Options{CacheDir: filepath.Join(f.data, "compiled")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	f.config.Log, f.config.Engine = log, engine
	server, err := syncserver.New(f.config)
	if err != nil {
		return err
	}
	web := &http.Server{
		Handler: server, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 5 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(f.config.Logger.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 2)
	go func() { failed <- web.Serve(listener) }()
	if f.pprof != "" {
		profiles, err := listen("--pprof", f.pprof)
		if err != nil {
			return err
		}
		debug := &http.Server{Handler: profileRoutes(), ReadHeaderTimeout: 10 * time.Second}
		go func() { failed <- debug.Serve(profiles) }()
		defer debug.Close()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx) }()
	key := server.Key()
	err = c.print(struct {
		URL string `json:"url"`
		Key string `json:"key"`
	}{"http://" + listener.Addr().String(), fmt.Sprintf("%x", key)}, "listening on http://%s", listener.Addr())
	f.config.Logger.Info("listening", "address", listener.Addr().String(), "data", f.data, "server", fmt.Sprintf("%x", key))

	var broken error
	select {
	case <-ctx.Done():
	case broken = <-failed:
	}
	listener.Close() // before draining: who comes now finds nobody, and retries
	cancel()
	err = errors.Join(err, broken, <-ran)
	patience, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	if web.Shutdown(patience) != nil {
		web.Close()
	}
	return err
}

// listen opens the address that a flag names; what stands in the way is told with what to do about it.
func listen(name, address string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, usagef("%s %q is no address; want HOST:PORT, as 127.0.0.1:8080", name, address)
	}
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s: another program has this port; stop it, or name another port (0: any that is free)", name, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", name, address, err)
	}
	return listener, nil
}

// dataError tells what to do about a data directory that could not be opened.
func dataError(dir string, err error) error {
	switch {
	case errors.Is(err, sqlitelog.ErrLocked):
		return fmt.Errorf("%w; stop that one, or name another directory by --data", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("--data %s is no directory that this user may write to: %w", dir, err)
	}
	return err
}

// moduleSource gives modules that were uploaded to a log.
func moduleSource(log syncserver.Log) wasmengine.Source {
	return func(ctx context.Context, name digest.Digest) ([]byte, error) {
		content, err := log.Blob(ctx, name)
		if errors.Is(err, syncserver.ErrNoBlob) {
			return nil, module.ErrMissing
		}
		return content, err
	}
}

func profileRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
