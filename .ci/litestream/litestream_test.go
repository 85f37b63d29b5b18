// Package litestream tries docs/operating/backup.md with Litestream: it follows the data directory of a server that runs to a store that speaks S3, and
// what it restores from there is a directory in which skerry check finds nothing. It is a module of its own, since Litestream has hundreds of
// dependencies that Skerry has not. make litestream-test builds both programs and runs it. For tests only; nothing is stable.
package litestream

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

const bucket = "skerry"

// place is a server, Litestream beside it, and the store that it follows the server to.
type place struct {
	t      *testing.T
	skerry string
	stream string
	dir    string
	store  *s3mem.Backend
	url    string // of the server
	config string
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, skerry: os.Getenv("SKERRY"), stream: os.Getenv("LITESTREAM"), dir: t.TempDir(), store: s3mem.New()}
	if p.skerry == "" || p.stream == "" {
		t.Fatal("SKERRY and LITESTREAM name the two programs: make litestream-test sets them")
	}
	s3 := httptest.NewServer(gofakes3.New(p.store).Server())
	t.Cleanup(s3.Close)
	if err := p.store.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	p.config = filepath.Join(p.dir, "litestream.yml")
	p.write(p.config, fmt.Sprintf(`
dbs:
  - path: %s
    monitor-interval: 50ms
    replica:
      type: s3
      bucket: %s
      path: data
      endpoint: %s
      region: us-east-1
      force-path-style: true
      access-key-id: any
      secret-access-key: any
      sync-interval: 50ms
`, filepath.Join(p.data(), "skerry.db"), bucket, s3.URL))
	return p
}

func (p *place) data() string { return filepath.Join(p.dir, "data") }

func (p *place) write(name, content string) {
	p.t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// command returns a command that ends with the test.
func (p *place) command(name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(p.t.Context(), name, args...)
	c.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "SKERRY_") }) // of this machine's
	c.Env = append(c.Env, "SKERRY_KEYS="+filepath.Join(p.dir, "keys"))
	c.Dir = p.dir
	return c
}

// run runs a command, and returns what it printed, and whether it succeeded.
func (p *place) run(name string, args ...string) (out string, ok bool) {
	p.t.Helper()
	c := p.command(name, args...)
	text, err := c.CombinedOutput()
	p.t.Logf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, text)
	return string(text), err == nil
}

func (p *place) must(name string, args ...string) string {
	p.t.Helper()
	out, ok := p.run(name, args...)
	if !ok {
		p.t.Fatal(out)
	}
	return out
}

// serve starts the server, and returns what kills it.
func (p *place) serve() (end func(os.Signal)) {
	p.t.Helper()
	c := p.command(p.skerry, "serve", "--json", "--listen", "127.0.0.1:0", "--data", p.data(), "--admin", "admin")
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	var listening struct{ URL string }
	if line, err := bufio.NewReader(out).ReadBytes('\n'); err != nil || json.Unmarshal(line, &listening) != nil {
		p.t.Fatalf("serve: %s %v", line, err)
	}
	p.url = listening.URL
	return p.ends(c)
}

func (p *place) ends(c *exec.Cmd) func(os.Signal) {
	return func(signal os.Signal) {
		p.t.Helper()
		c.Process.Signal(signal)
		if err := c.Wait(); err != nil && signal != syscall.SIGKILL {
			p.t.Fatalf("%v: %v", c.Args, err)
		}
	}
}

// replicate starts Litestream, and returns what ends it.
func (p *place) replicate() (end func(os.Signal)) {
	p.t.Helper()
	c := p.command(p.stream, "replicate", "-config", p.config)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { p.t.Logf("litestream: %s", out.String()) })
	return p.ends(c)
}

// objects returns the names of what is in the store.
func (p *place) objects() (names []string) {
	p.t.Helper()
	list, err := p.store.ListBucket(bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, object := range list.Contents {
		names = append(names, object.Key)
	}
	slices.Sort(names)
	return names
}

// until waits for something that other processes do.
func (p *place) until(what string, so func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("waited for a minute: %s; there are %q", what, p.objects())
		}
	}
}

// create makes a space.
func (p *place) create() string {
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(p.must(p.skerry, "space", "create", "--json", "--url", p.url, "--identity", "alice")), &made); err != nil {
		p.t.Fatal(err)
	}
	return made.ID
}

func (p *place) append(id string, n int) {
	for i := range n {
		p.must(p.skerry, "space", "append", "--url", p.url, "--identity", "alice", "--type", "note", id, fmt.Sprint(`{"n":`, i, `}`))
	}
}

// restore restores what is in the store as docs say, into a directory, and checks it.
func (p *place) restore(into string) {
	p.t.Helper()
	file := into + ".backup"
	p.must(p.stream, "restore", "-config", p.config, "-o", file, filepath.Join(p.data(), "skerry.db"))
	p.must(p.skerry, "restore", "--data", into, file)
	p.must(p.skerry, "check", "--data", into)
}

func (p *place) log(data, id string) string {
	return p.must(p.skerry, "space", "log", "--json", "--data", data, id)
}

// TestFollows: the store has what the server acknowledged, over a restart of the server, when Litestream had its time; and a beginning of that when
// it was killed with the server.
func TestFollows(t *testing.T) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	p := newPlace(t)
	stop := p.serve()
	id := p.create()
	p.append(id, 3)
	replicated := p.replicate()
	p.until("a snapshot is in the store", func() bool { return len(p.objects()) > 0 })
	p.append(id, 3)
	stop(syscall.SIGTERM) // Litestream holds on to the write-ahead log
	stop = p.serve()
	p.append(id, 3)
	replicated(os.Interrupt) // it sends what is left
	want := p.log(p.data(), id)
	stop(syscall.SIGKILL)
	if got := strings.Count(want, "\n"); got != 9 {
		t.Fatalf("there are %d records", got)
	}
	p.must(p.skerry, "check", "--data", p.data())
	p.restore(filepath.Join(p.dir, "restored"))
	if got := p.log(filepath.Join(p.dir, "restored"), id); got != want {
		t.Fatalf("restored is\n%s\nwant\n%s", got, want)
	}

	// Both are killed at once: what is in the store is a beginning of the log.
	stop = p.serve()
	replicated = p.replicate()
	before := len(p.objects())
	p.append(id, 5)
	p.until("more is in the store", func() bool { return len(p.objects()) > before })
	replicated(syscall.SIGKILL)
	stop(syscall.SIGKILL)
	p.restore(filepath.Join(p.dir, "again"))
	if got, whole := p.log(filepath.Join(p.dir, "again"), id), p.log(p.data(), id); !strings.HasPrefix(whole, got) || len(got) < len(want) {
		t.Fatalf("restored is\n%s\nof\n%s", got, whole)
	}
}

// TestGap: if something is missing from the store nothing is restored, and no directory made.
func TestGap(t *testing.T) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	p := newPlace(t)
	stop := p.serve()
	id := p.create()
	replicated := p.replicate()
	p.until("a snapshot is in the store", func() bool { return len(p.objects()) > 0 })
	for range 4 {
		n := len(p.objects())
		p.append(id, 1)
		p.until("it is in the store", func() bool { return len(p.objects()) > n })
	}
	replicated(os.Interrupt)
	stop(syscall.SIGTERM)
	p.restore(filepath.Join(p.dir, "whole"))
	var rows []string // what came after the snapshot
	for _, name := range p.objects() {
		if strings.Contains(name, "/0000/") || strings.Contains(name, "/ltx/0/") {
			rows = append(rows, name)
		}
	}
	t.Logf("%q", p.objects())
	if len(rows) < 4 {
		t.Fatalf("in the store are %q", p.objects())
	}
	if _, err := p.store.DeleteObject(bucket, rows[len(rows)/2]); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(p.dir, "gap")
	if out, ok := p.run(p.stream, "restore", "-config", p.config, "-o", file, filepath.Join(p.data(), "skerry.db")); ok {
		t.Fatalf("it was restored over a gap: %s", out)
	}
	if out, ok := p.run(p.skerry, "restore", "--data", filepath.Join(p.dir, "none"), file); ok {
		t.Fatalf("there is a directory of it: %s", out)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "none")); err == nil {
		t.Fatal("there is a directory of it")
	}
}
