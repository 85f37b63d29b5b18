package main

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// TestTellsSystemd: a unit of Type=notify is started when the server can be reached, and stops from its SIGTERM on.
func TestTellsSystemd(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Skip("no such sockets here: ", err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan int)
	go func() {
		ended <- run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data")}, nil, io.Discard, io.Discard)
	}()
	told := func(want string) {
		t.Helper()
		b := make([]byte, 100)
		socket.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := socket.Read(b)
		if err != nil || string(b[:n]) != want {
			t.Fatalf("told %q, %v; want %q", b[:n], err, want)
		}
	}
	told("READY=1")
	stop()
	told("STOPPING=1")
	if code := <-ended; code != 0 {
		t.Errorf("it exited with %d", code)
	}
}
