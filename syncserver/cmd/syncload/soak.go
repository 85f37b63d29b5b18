package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"skerry/shared/space"
	"skerry/syncserver/sqlitelog"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// soakClients is how many people write while the server has a bad time.
const soakClients = 4

// soaking is a run of the command soak.
type soaking struct {
	skerry string
	dir    string
	url    string
	listen string
	rng    *rand.Rand
	stderr io.Writer
	lasts  time.Duration // each fault, at most

	cmd    *exec.Cmd
	said   *bytes.Buffer
	exited chan error
	copies int    // backups that were made
	copied string // the newest
	spaces []space.ID
	counts map[string]int

	mu     sync.Mutex
	synced map[space.ID]map[space.ULID]string
}

// soak has things happen to the real server while people write, and then holds its log to what they were told.
func soak(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	set := flag.NewFlagSet("soak", flag.ContinueOnError)
	s := &soaking{stderr: stderr, counts: map[string]int{}, synced: map[space.ID]map[space.ULID]string{}}
	set.StringVar(&s.skerry, "skerry", "build/skerry", "the server's binary")
	set.StringVar(&s.dir, "dir", "", "where to work; a temporary directory if empty. On a small file system of its own the disk is filled too")
	lasts := set.Duration("for", time.Hour, "how long")
	seed := set.Uint64("seed", rand.Uint64()>>16, "what happens is drawn from it")
	fill := set.Bool("fill", false, "fill the disk now and then: --dir has to be on a small file system of its own")
	set.DurationVar(&s.lasts, "pause", 3*time.Second, "how long a fault lasts at most")
	if err := parse(set, args, stderr); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "seed %d\n", *seed)
	s.rng = rand.New(rand.NewPCG(*seed, 0))
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "skerry-soak-"); err != nil {
			return err
		}
		defer os.RemoveAll(s.dir)
	}
	if s.listen, err = freeAddress(); err != nil {
		return err
	}
	s.url = "http://" + s.listen
	if err := s.start(ctx); err != nil {
		return err
	}
	defer func() {
		if s.cmd != nil {
			s.cmd.Process.Signal(syscall.SIGCONT)
			s.cmd.Process.Kill()
			<-s.exited
		}
	}()
	end := time.Now().Add(*lasts)
	writing, stop := context.WithDeadline(ctx, end)
	defer stop()
	clients, err := s.clients(ctx)
	if err != nil {
		return err
	}
	defer func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		for _, c := range clients {
			c.Close(ended)
		}
	}()
	var people sync.WaitGroup
	failures := make(chan error, soakClients)
	for i, c := range clients {
		people.Go(func() { failures <- s.write(ctx, writing, c, i, rand.New(rand.NewPCG(*seed, uint64(i+1)))) })
	}
	for time.Now().Before(end) && ctx.Err() == nil {
		if err := s.strike(ctx, *fill); err != nil {
			return err
		}
	}
	people.Wait()
	for range clients {
		if err := <-failures; err != nil {
			return err
		}
	}
	if err := s.term(); err != nil {
		return err
	}
	return s.verify(ctx, stdout)
}

// freeAddress returns an address on which nobody listens.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *soaking) data() string { return filepath.Join(s.dir, "data") }

// start starts the server and waits until it is ready.
func (s *soaking) start(ctx context.Context) error {
	s.said = new(bytes.Buffer)
	s.cmd = exec.Command(s.skerry, "serve", "--listen", s.listen, "--data", s.data(), "--admin", "nobody", "--recovery-window", "2s", "--log-level", "warn",
		"--create-address-burst", "1000", "--create-server-burst", "1000", "--retry-after", "100ms")
	s.cmd.Stdout, s.cmd.Stderr = s.said, s.said
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.skerry, err)
	}
	cmd, exited := s.cmd, make(chan error, 1)
	s.exited = exited
	go func() { exited <- cmd.Wait() }()
	for {
		response, err := http.Get(s.url + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-exited:
			s.cmd = nil
			return fmt.Errorf("the server did not start: %w\n%s", err, s.said)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// kill ends the server without a word.
func (s *soaking) kill() {
	s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// term asks the server to end, which it does in good order.
func (s *soaking) term() error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	err := <-s.exited
	s.cmd = nil
	if err != nil {
		return fmt.Errorf("the server was asked to end: %w\n%s", err, s.said)
	}
	return nil
}

// run runs another command of the binary.
func (s *soaking) run(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, s.skerry, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("skerry %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// pause waits for a part of what a fault lasts at most.
func (s *soaking) pause(ctx context.Context) {
	select {
	case <-time.After(time.Duration(s.rng.Int64N(int64(s.lasts)))):
	case <-ctx.Done():
	}
}

// strike has one thing happen, and undoes it.
func (s *soaking) strike(ctx context.Context, fill bool) error {
	s.pause(ctx)
	kinds := []string{"kill", "kill", "kill as it starts", "terminate", "stop", "back up", "restore"}
	if fill {
		kinds = append(kinds, "fill", "fill")
	}
	kind := kinds[s.rng.IntN(len(kinds))]
	if kind == "restore" && s.copied == "" {
		kind = "back up"
	}
	s.counts[kind]++
	fmt.Fprintf(s.stderr, "%s: %s\n", time.Now().UTC().Format(time.TimeOnly), kind)
	switch kind {
	case "kill":
		s.kill()
		return s.start(ctx)
	case "kill as it starts":
		s.kill()
		cmd := exec.Command(s.skerry, "serve", "--listen", s.listen, "--data", s.data(), "--admin", "nobody", "--log-level", "warn")
		if err := cmd.Start(); err != nil {
			return err
		}
		time.Sleep(time.Duration(s.rng.IntN(300)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		return s.start(ctx)
	case "terminate":
		if err := s.term(); err != nil {
			return err
		}
		return s.start(ctx)
	case "stop":
		s.cmd.Process.Signal(syscall.SIGSTOP)
		s.pause(ctx)
		s.cmd.Process.Signal(syscall.SIGCONT)
	case "back up":
		s.copies++
		copied := filepath.Join(s.dir, fmt.Sprintf("backup-%d.db", s.copies))
		if err := s.run(ctx, "backup", "--data", s.data(), copied); err != nil {
			return err
		}
		if s.copied != "" {
			os.Remove(s.copied)
		}
		s.copied = copied
	case "restore":
		s.kill()
		if err := os.RemoveAll(s.data()); err != nil {
			return err
		}
		if err := s.run(ctx, "restore", "--data", s.data(), s.copied); err != nil {
			return err
		}
		return s.start(ctx)
	case "fill":
		filler := filepath.Join(s.dir, "filler")
		f, err := os.Create(filler)
		if err != nil {
			return err
		}
		for block := make([]byte, 1<<16); ; {
			if _, err := f.Write(block); err != nil {
				if len(block) == 1 {
					break
				}
				block = block[:len(block)/2]
			}
		}
		f.Close()
		s.pause(ctx)
		return os.Remove(filler)
	}
	return nil
}

// clients opens a replica for each of those who write, and makes their spaces.
func (s *soaking) clients(ctx context.Context) (clients []*wasmclient.Client, err error) {
	address, err := syncURL(s.url)
	if err != nil {
		return nil, err
	}
	for i := range soakClients {
		who := memberOf(fmt.Sprint("soak ", i))
		store := memstore.New(memstore.Config{Identity: who.identity})
		c, err := wasmclient.Open(ctx, wasmclient.Config{Store: store, URL: address, Sign: who.sign, ClientVersion: "soak"})
		if err != nil {
			return clients, err
		}
		clients = append(clients, c)
	}
	for i := range 2 {
		made, err := clients[i].CreateSpace(ctx, wasmclient.SpaceOptions{})
		if err != nil {
			return clients, err
		}
		receipt, err := made.Append(ctx, "message.post", "first")
		if err == nil {
			_, err = receipt.Synced(ctx)
		}
		if err != nil {
			return clients, err
		}
		s.told(made.ID(), receipt.ID(), "first")
		s.spaces = append(s.spaces, made.ID())
	}
	for _, c := range clients {
		for _, id := range s.spaces {
			c.Space(id)
			if err := c.Space(id).Pin(ctx, true); err != nil {
				return clients, err
			}
		}
	}
	return clients, nil
}

func (s *soaking) told(id space.ID, event space.ULID, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.synced[id] == nil {
		s.synced[id] = map[space.ULID]string{}
	}
	s.synced[id][event] = text
}

// write writes until the time is over, some transactions at a time, and then waits until all are synced.
func (s *soaking) write(ctx, writing context.Context, c *wasmclient.Client, i int, rng *rand.Rand) error {
	var pending sync.WaitGroup
	var mu sync.Mutex
	var failed error
	room := make(chan struct{}, 20)
	for n := 0; writing.Err() == nil; n++ {
		id, text := s.spaces[rng.IntN(len(s.spaces))], fmt.Sprint(i, " wrote ", n)
		receipt, err := c.Space(id).Append(ctx, "message.post", text)
		if err != nil {
			return fmt.Errorf("append: %w", err)
		}
		room <- struct{}{}
		pending.Go(func() {
			defer func() { <-room }()
			if _, err := receipt.Synced(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = fmt.Errorf("%s: %w", text, err)
				return
			}
			s.told(id, receipt.ID(), text)
		})
		time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
	}
	pending.Wait()
	return failed
}

// verify checks the data directory, and holds its log to what people were told.
func (s *soaking) verify(ctx context.Context, stdout io.Writer) error {
	if err := s.run(ctx, "check", "--data", s.data()); err != nil {
		return err
	}
	log, err := sqlitelog.OpenReadOnly(ctx, sqlitelog.Config{Dir: s.data()})
	if err != nil {
		return err
	}
	defer log.Close()
	total := 0
	for _, id := range s.spaces {
		seen := map[space.ULID]int{}
		texts := map[string]int{}
		for after := uint64(0); ; {
			records, err := log.Read(ctx, id, after, 1000, 1<<20)
			if err != nil {
				return err
			}
			if len(records) == 0 {
				break
			}
			for i := range records {
				seen[records[i].ID]++
				texts[string(records[i].Payload)]++
			}
			after = records[len(records)-1].Seq
		}
		for event, text := range s.synced[id] {
			if seen[event] != 1 {
				return fmt.Errorf("%w: %q, which was synced, is in the log %d times", errLost, text, seen[event])
			}
		}
		if len(seen) != len(s.synced[id]) || len(texts) != len(seen) {
			return fmt.Errorf("%w: %d were written and synced, and the log has %d events with %d texts", errLost, len(s.synced[id]), len(seen), len(texts))
		}
		total += len(seen)
	}
	var happened []string
	for kind, n := range s.counts {
		happened = append(happened, fmt.Sprint(kind, " ", n))
	}
	slices.Sort(happened)
	fmt.Fprintf(stdout, "%d events were synced, each is in the log once; %s\n", total, strings.Join(happened, ", "))
	return nil
}
