package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"skerry/shared/module/moduletest"
	"skerry/shared/space"
)

// TestMain lets the test be its own child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && commands[os.Args[1]] != nil {
		main()
	}
	os.Exit(m.Run())
}

// server starts a server in a process of its own.
func server(t *testing.T) *child {
	t.Helper()
	c, err := spawn(context.Background(), os.Stderr, "serve", "--data", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.stop(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return c
}

func TestRun(t *testing.T) {
	url := server(t).url
	seed := 0
	for _, kind := range []string{"raw", "client"} {
		for _, spaces := range []int{1, 3, 7} { // fewer than clients, as many, more
			t.Run(fmt.Sprintf("%s %d spaces", kind, spaces), func(t *testing.T) {
				seed++
				var stdout, stderr bytes.Buffer
				code := run(t.Context(), []string{
					"run", "--url", url, "--load", kind, "--clients", "3", "--spaces", fmt.Sprint(spaces), "--batch", "5", "--events", "603",
					"--payload", "20", "--in-flight", "4", "--seed", fmt.Sprint(seed), "--json",
				}, &stdout, &stderr)
				if code != 0 {
					t.Fatalf("exit code %d: %s", code, stderr.String())
				}
				var s summary
				if err := json.Unmarshal(stdout.Bytes(), &s); err != nil {
					t.Fatal(err)
				}
				if s.Load != kind || s.Events != 605 || s.Read != 605 || s.Missing != 0 || s.Repeated != 0 || s.EventsPerSecond <= 0 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

func TestMissing(t *testing.T) {
	ids := []space.ULID{{1}, {2}, {3}}
	seqs := map[space.ULID]uint64{ids[0]: 7, ids[1]: 8, ids[2]: 9}
	for _, test := range []struct {
		acked acked
		want  int
	}{
		{acked{ids, 9}, 0},
		{acked{ids, 0}, 0},
		{acked{ids, 10}, 3},
		{acked{ids[:2], 8}, 0},
		{acked{append(ids[1:3:3], space.ULID{4}), 10}, 1},
		{acked{[]space.ULID{{4}}, 0}, 1},
	} {
		if got := missing(seqs, []acked{test.acked}); got != test.want {
			t.Errorf("missing(%v) = %d, want %d", test.acked, got, test.want)
		}
	}
}

// TestVerifyFinds: what a server acknowledged and does not have fails the run.
func TestVerifyFinds(t *testing.T) {
	l := &load{url: server(t).url, kind: "raw", clients: 1, spaces: 1, batch: 2, events: 20, inFlight: 1, seed: 1}
	s, err := l.run(t.Context(), io.Discard)
	if err != nil || s.Events != 20 || s.Read != 20 {
		t.Fatal(s, err)
	}
	peer, err := dial(t.Context(), l.url, memberOf("somebody"))
	if err != nil {
		t.Fatal(err)
	}
	defer peer.close()
	id, err := peer.create(t.Context(), memberOf("somebody"), space.ULID{1})
	if err != nil {
		t.Fatal(err)
	}
	claimed := []outcome{{acked: map[space.ID][]acked{id: {{[]space.ULID{{2}}, 1}}}}}
	if err := l.verify(t.Context(), claimed, s); err != errLost || s.Missing != 1 {
		t.Errorf("a lost event: %v, %d missing", err, s.Missing)
	}
}

func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		says string
	}{
		{"", 2, "usage"},
		{"fly", 2, "usage"},
		{"run -h", 0, "in-flight"},
		{"run --clients none", 2, "clients"},
		{"run --clients 0", 2, "at least 1"},
		{"run --load heavy", 2, "heavy"},
		{"run too much", 2, "no arguments"},
		{"run --url nowhere", 2, "--url"},
		{"run --url http://127.0.0.1:1", 1, "connect"},
		{"bench --only (", 2, "missing"},
	} {
		var stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(test.args), io.Discard, &stderr); code != test.code || !strings.Contains(stderr.String(), test.says) {
			t.Errorf("syncload %s: exit code %d, %q", test.args, code, stderr.String())
		}
	}
}

func TestThousands(t *testing.T) {
	for f, want := range map[float64]string{0: "0", 999.4: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(f); got != want {
			t.Errorf("thousands(%v) = %q, want %q", f, got, want)
		}
	}
}

// TestChatModule: the module that the benchmark judges by is the one that the engines are tested with. -update writes it.
func TestChatModule(t *testing.T) {
	if *update {
		if err := os.WriteFile("chat.wasm", moduletest.Chat(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(chatModule, moduletest.Chat()) {
		t.Error("chat.wasm is another one: go test ./syncserver/cmd/syncload -run ChatModule -update")
	}
}

var update = flag.Bool("update", false, "write the module that the benchmark judges by")
