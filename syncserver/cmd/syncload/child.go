package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// child is this program in a process of its own, serving something.
type child struct {
	cmd *exec.Cmd
	url string        // or another first line
	out *bufio.Reader // what comes behind it
}

// spawn starts a command of this program and waits until it tells its address.
func spawn(ctx context.Context, stderr io.Writer, args ...string) (*child, error) {
	cmd, err := self(ctx, stderr, args...)
	if err != nil {
		return nil, err
	}
	return start(cmd, args[0])
}

// spawnNice is spawn of a process that leaves the machine to others.
func spawnNice(ctx context.Context, stderr io.Writer, args ...string) (*child, error) {
	cmd, err := self(ctx, stderr, args...)
	if err != nil {
		return nil, err
	}
	if nice, err := exec.LookPath("nice"); err == nil {
		cmd.Args = append([]string{nice, "-n", "19", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = nice
	}
	return start(cmd, args[0])
}

func start(cmd *exec.Cmd, name string) (*child, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a child: %w", err)
	}
	c := &child{cmd: cmd, out: bufio.NewReader(out)}
	line, err := c.out.ReadString('\n')
	if c.url = strings.TrimSpace(line); err != nil {
		c.stop()
		return nil, fmt.Errorf("the child %s did not start", name)
	}
	return c, nil
}

// self returns a command that runs this program. It is told to stop as the server is, and killed if it does not.
func self(ctx context.Context, stderr io.Writer, args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stderr = stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	return cmd, nil
}

// measure runs a command of this program that prints one JSON value, and decodes it into v.
func measure(ctx context.Context, stderr io.Writer, v any, args ...string) error {
	cmd, err := self(ctx, stderr, args...)
	if err != nil {
		return err
	}
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("the child %s: %w", args[0], err)
	}
	return json.Unmarshal(out, v)
}

func (c *child) stop() error {
	c.cmd.Process.Signal(syscall.SIGTERM)
	return c.cmd.Wait()
}

// end stops the child and returns the number that it prints last.
func (c *child) end() (number float64, err error) {
	c.cmd.Process.Signal(syscall.SIGTERM)
	line, err := c.out.ReadString('\n')
	if err == nil {
		number, err = strconv.ParseFloat(strings.TrimSpace(line), 64)
	}
	return number, errors.Join(err, c.cmd.Wait())
}

// rss returns how much memory the child has resident, in bytes.
func (c *child) rss() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kb << 10, err
		}
	}
	return 0, errors.New("this system does not tell how much memory is resident")
}

// collect has the child give back what it does not use, as it would by itself after some minutes.
func (c *child) collect() error {
	response, err := http.Post(c.url+"/collect", "", nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}
