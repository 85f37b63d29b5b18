//go:build !js

// Browsertest runs a Go test that was built for js in a real browser:
//
//	go build -o build/browsertest ./wasmclient/internal/browsertest
//	GOOS=js GOARCH=wasm go test -exec "$PWD/build/browsertest" ./wasmclient/internal/idbstore
//
// (Or, with nothing built first, -exec "env -u GOOS -u GOARCH go run skerry/wasmclient/internal/browsertest": go test
// passes its own GOOS and GOARCH on, and go run would build this program for js too.)
//
// It serves the test, the toolchain's wasm_exec.js and the glue of package jsengine on a free port of the loopback interface, starts a
// browser with a new profile, and runs the test in a dedicated Worker, where the client runs as well. Flags of the
// test are passed on, and of the environment what begins with GO or SKERRY_. What the test prints appears on
// standard output; its exit code is browsertest's.
//
// The browser is a headless Chromium: $CHROMIUM, or chromium. SKERRY_ENGINE=firefox takes Firefox ESR instead,
// SKERRY_ENGINE=webkit the MiniBrowser of WebKitGTK, which needs a display and a session bus. BROWSERTEST_TIMEOUT (10m if unset) ends a test that hangs. The browser and
// its profile are gone when browsertest ends, also by a signal.
//
// Stable: nothing; it is a tool of this repository's own tests.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"skerry/wasmclient/internal/jsengine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprintln(stderr, "usage: browsertest test.wasm [flags of the test]")
		return 2
	}
	limit := 10 * time.Minute
	if text := os.Getenv("BROWSERTEST_TIMEOUT"); text != "" {
		given, err := time.ParseDuration(text)
		if err != nil {
			fmt.Fprintln(stderr, "browsertest: BROWSERTEST_TIMEOUT:", err)
			return 2
		}
		limit = given
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	code, err := runTest(ctx, args, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "browsertest:", err)
		return 1
	}
	return code
}

// runTest serves the test, runs it in a browser and returns its exit code.
func runTest(ctx context.Context, args []string, stdout io.Writer) (int, error) {
	glue, err := wasmExec(ctx)
	if err != nil {
		return 0, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	exit := make(chan int, 1)
	server := &http.Server{Handler: handler(args, glue, stdout, exit)}
	go server.Serve(listener)
	defer server.Close()

	ended, err := startBrowser("http://" + listener.Addr().String() + "/")
	if err != nil {
		return 0, err
	}
	defer ended.stop()
	select {
	case code := <-exit:
		return code, nil
	case err := <-ended.done:
		return 0, fmt.Errorf("the browser ended before the test: %v\n%s", err, ended.output)
	case <-ctx.Done():
		return 0, fmt.Errorf("the test did not end: %w", context.Cause(ctx))
	}
}

// wasmExec finds the toolchain's glue for js.
func wasmExec(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	for _, path := range []string{"lib/wasm/wasm_exec.js", "misc/wasm/wasm_exec.js"} {
		path = filepath.Join(strings.TrimSpace(string(root)), path)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New("the toolchain has no wasm_exec.js")
}

// browser is a Chromium that was started for one test.
type browser struct {
	done    chan error
	output  *strings.Builder // read when done
	process *os.Process
	profile string
	waited  chan struct{}
}

func startBrowser(url string) (*browser, error) {
	profile, err := os.MkdirTemp("", "browsertest-")
	if err != nil {
		return nil, err
	}
	cmd, err := command(profile, url)
	if err != nil {
		os.RemoveAll(profile)
		return nil, err
	}
	// A group of its own: the browser is many processes, and all of them are to go.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	b := &browser{done: make(chan error, 1), output: new(strings.Builder), profile: profile, waited: make(chan struct{})}
	cmd.Stderr = b.output
	if err := cmd.Start(); err != nil {
		os.RemoveAll(profile)
		return nil, err
	}
	b.process = cmd.Process
	go func() {
		b.done <- cmd.Wait()
		close(b.waited)
	}()
	return b, nil
}

// stop ends the browser and removes its profile.
func (b *browser) stop() {
	syscall.Kill(-b.process.Pid, syscall.SIGTERM)
	select {
	case <-b.waited:
	case <-time.After(2 * time.Second):
	}
	syscall.Kill(-b.process.Pid, syscall.SIGKILL)
	<-b.waited
	for range 20 { // a process of the group may still be writing its last
		if os.RemoveAll(b.profile) == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// environment returns what of the environment is passed on.
func environment() []string {
	var env []string
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "GO") || strings.HasPrefix(variable, "SKERRY_") {
			env = append(env, variable)
		}
	}
	return env
}

// handler serves the page, its worker, the glue and the test, and takes what the test prints and its exit code.
func handler(args []string, glue string, stdout io.Writer, exit chan<- int) http.Handler {
	mux := http.NewServeMux()
	text := func(kind, content string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			io.WriteString(w, content)
		}
	}
	file := func(kind, path string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			http.ServeFile(w, r, path)
		}
	}
	mux.HandleFunc("GET /{$}", text("text/html", page))
	mux.HandleFunc("GET /worker.js", text("text/javascript", worker(args, environment())))
	mux.HandleFunc("GET /wasm_exec.js", file("text/javascript", glue))
	mux.HandleFunc("GET /glue.js", text("text/javascript", jsengine.Glue))
	mux.HandleFunc("GET /test.wasm", file("application/wasm", args[0]))
	mux.HandleFunc("POST /output", func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(stdout, r.Body)
	})
	mux.HandleFunc("POST /exit", func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 16))
		code, err := strconv.Atoi(string(body))
		if err != nil {
			code = 1
		}
		select {
		case exit <- code:
		default:
		}
	})
	return mux
}
