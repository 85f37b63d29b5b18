package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
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

	"github.com/coreos/go-systemd/v22/daemon"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/syncserver"
	"skerry/syncserver/auth"
	"skerry/syncserver/sqlitelog"
	"skerry/syncserver/wasmengine"
)

// serveFlags is what serve is told.
type serveFlags struct {
	listen, data, web, logFormat, logLevel, pprof string
	origins, proxies, policy, policyParams        string
	hosts, issuers, admin                         string
	anonymous                                     bool
	clockAhead                                    time.Duration
	config                                        syncserver.Config
}

// serve runs the server until it is told to stop.
func serve(ctx context.Context, c *console, args []string) error {
	f := serveFlags{config: syncserver.Defaults()}
	set := f.flags(c)
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

// flags returns what serve can be told.
func (f *serveFlags) flags(c *console) *flag.FlagSet {
	set := c.flags("serve")
	set.StringVar(&f.listen, "listen", "127.0.0.1:8080", "`address` to listen on")
	set.StringVar(&f.data, "data", "skerry-data", "`directory` that holds everything; made if it is not there")
	set.StringVar(&f.web, "web", "", "`directory` of files to serve under /")
	set.StringVar(&f.admin, "admin", "", "the `identity` that becomes the administrator, if the server has none")
	set.BoolVar(&f.config.LocalSetup, "local-setup", false, "whoever asks from this machine may become the administrator, without the link that is printed; only on a loopback address, and not behind a proxy")
	set.StringVar(&f.hosts, "public-hosts", "", "hosts by which clients dial this server, with commas between; without it only the machine's own addresses, when dialled directly")
	set.StringVar(&f.issuers, "issuers", "", "`file` of JSON that names the issuers whose tokens count: [{\"issuer\": ..., \"audience\": [...], \"keys\": URL or file}]")
	set.BoolVar(&f.anonymous, "allow-anonymous", false, "let in who proves no identity: they read what everybody may, and write nothing")
	set.StringVar(&f.origins, "allow-origins", "", "hosts of other pages that may connect, `patterns` with commas between")
	set.StringVar(&f.proxies, "trusted-proxies", "", "networks of reverse proxies whose X-Forwarded-For counts, `prefixes` with commas between")
	for _, s := range f.config.Settings() {
		switch v := s.Value.(type) {
		case *int:
			set.IntVar(v, s.Flag, *v, s.About)
		case *uint64:
			set.Uint64Var(v, s.Flag, *v, s.About)
		case *time.Duration:
			set.DurationVar(v, s.Flag, *v, s.About)
		}
	}
	set.StringVar(&f.policy, "policy", "", "who may connect: a `module` in place of the built-in system, a file, a source or a digest that was uploaded")
	set.StringVar(&f.policyParams, "policy-params", "", "what credentials have to claim, or what else the policy takes, as `JSON`")
	set.DurationVar(&f.config.ModulesKept, "modules-kept", f.config.ModulesKept, "how long a module is kept that no space names")
	set.DurationVar(&f.config.Retention.Age, "retain-age", 0, "records of a space expire when they are older, unless the space has a setting of its own; 0: never")
	set.Uint64Var(&f.config.Retention.Records, "retain-records", 0, "a space keeps so many of its newest records, or up to a tenth more; 0: all")
	set.Uint64Var(&f.config.Retention.Bytes, "retain-bytes", 0, "a space keeps so many bytes of its newest records, or up to a tenth more; 0: all")
	set.DurationVar(&f.config.SystemAge, "retain-system", f.config.SystemAge, "records of the system space, who connected and what became of spaces, expire when they are older; negative: never")
	set.DurationVar(&f.config.RetryAfter, "retry-after", f.config.RetryAfter, "when clients come back after the server stopped")
	set.StringVar(&f.logFormat, "log-format", "text", "`text` or json")
	set.StringVar(&f.logLevel, "log-level", "info", "`level`: debug, info, warn or error")
	set.DurationVar(&f.clockAhead, "clock-ahead", 0, "run as if it were so much later, to try out what takes days; only on a loopback address")
	set.StringVar(&f.pprof, "pprof", "", "loopback `address` to serve profiles on")
	return set
}

// complete makes the configuration of the flags.
func (f *serveFlags) complete(logs io.Writer) error {
	if f.clockAhead != 0 {
		if !loopback(f.listen) || f.clockAhead < 0 {
			return usagef("--clock-ahead is only for a loopback address, and goes on only: %s at %s", f.clockAhead, f.listen)
		}
		f.config.Now = func() time.Time { return time.Now().Add(f.clockAhead) }
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
	if f.config.LocalSetup && (!loopback(f.listen) || f.proxies != "") {
		return usagef("--local-setup is only for a loopback address without proxies, not %s", f.listen)
	}
	f.config.RequireSetup = true
	f.config.PublicHosts = words(strings.ToLower(f.hosts))
	if err := f.authenticator(); err != nil {
		return err
	}
	if f.web != "" {
		files := os.DirFS(f.web)
		if info, err := fs.Stat(files, "."); err != nil || !info.IsDir() {
			return fmt.Errorf("--web %s is no directory", f.web)
		}
		f.config.Web = files
	}
	return nil
}

// authenticator makes what says who clients are.
func (f *serveFlags) authenticator() (err error) {
	config := auth.Config{Anonymous: f.anonymous, Logger: f.config.Logger, Now: f.config.Now}
	if f.issuers != "" {
		content, err := os.ReadFile(f.issuers)
		if err != nil {
			return fmt.Errorf("--issuers: %w", err)
		}
		decoder := json.NewDecoder(bytes.NewReader(content))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&config.Issuers); err != nil {
			return fmt.Errorf("--issuers %s: %w", f.issuers, err)
		}
	}
	f.config.Auth, err = auth.New(config)
	return err
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
	if err := f.readPolicy(ctx, c, engine); err != nil {
		return err
	}
	provider, flush, err := traces(ctx, f.config.Logger)
	if err != nil {
		return err
	}
	defer flush()
	if provider != nil {
		f.config.Traces = provider
	}
	server, err := syncserver.New(f.config)
	if err != nil {
		return err
	}
	web := server.HTTP()
	failed := make(chan error, 2)
	go func() { failed <- web.Serve(server.Listener(listener)) }()
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
	system, _ := server.System()
	if f.admin != "" && !server.IsSetUp() {
		if _, err = server.SetUp(ctx, f.admin); err != nil {
			err = fmt.Errorf("--admin %s: %w", f.admin, err)
			cancel() // and drain
		}
	}
	if err == nil {
		url, link := "http://"+listener.Addr().String(), ""
		text := "listening on " + url
		if token := server.SetupToken(); token != "" {
			link = publicURL(url, f.config.PublicHosts) + "/setup?token=" + token
			text += "\nwaiting for an administrator: open " + link + "\nor run: skerry setup --url " + url + " --token " + token + " --identity IDENTITY"
		}
		err = c.print(struct {
			URL string `json:"url"`
			Key string `json:"key"`

			System string `json:"system"`          // the ID of the system space
			Setup  string `json:"setup,omitempty"` // the link by which the first administrator is named
		}{url, fmt.Sprintf("%x", key), system.String(), link}, "%s", text)
		if _, untold := daemon.SdNotify(false, daemon.SdNotifyReady); untold != nil {
			f.config.Logger.Warn("cannot tell systemd that the server is ready", "error", untold)
		}
	}
	f.config.Logger.Info("listening", "address", listener.Addr().String(), "data", f.data, "server", fmt.Sprintf("%x", key), "system", system)

	var broken error
	select {
	case <-ctx.Done():
	case broken = <-failed:
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
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

// readPolicy reads the policy that the flags name, and puts it where the server finds it.
func (f *serveFlags) readPolicy(ctx context.Context, c *console, engine *wasmengine.Engine) (err error) {
	if f.policyParams != "" {
		if f.config.PolicyParams, err = readPayload(nil, strings.NewReader(f.policyParams), true); err != nil {
			return fmt.Errorf("--policy-params: %w", err)
		}
	}
	if f.policy == "" {
		return nil
	}
	if d, err := digest.Parse(f.policy); err == nil {
		f.config.Policy = d
		return nil
	}
	content, err := c.moduleBytes(ctx, f.policy)
	if err == nil {
		err = engine.Check(content)
	}
	if err == nil {
		f.config.Policy = digest.Of(content)
		err = f.config.Log.PutBlob(ctx, f.config.Policy, content)
	}
	if err != nil {
		return fmt.Errorf("--policy %s: %w", f.policy, err)
	}
	return nil
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

// publicURL returns where people reach the server that listens at url: by https under the first of its public hosts, which a proxy has
// a certificate for, or as it listens if it has none.
func publicURL(url string, hosts []string) string {
	if len(hosts) == 0 {
		return url
	}
	return "https://" + hosts[0]
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
