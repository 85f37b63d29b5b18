// Command syncload puts load on a server, checks that nothing of it was lost or stored twice, and measures.
//
//	syncload run --url http://127.0.0.1:8080 --clients 32 --spaces 32 --batch 100 --events 100000
//	syncload bench
//
// # run
//
// Many clients in this process write to a server that lets so many spaces be created (skerry
// serve, with --create-address-burst and --create-server-burst as needed).
// Transactions have --batch events of --payload random bytes; --events is their number in all. With as many spaces as
// clients each has its own; with more each client takes turns between several; with fewer several clients write to
// one. Everything random comes from --seed, but the time in the ids is the clock's.
//
// There are two kinds of load, and --load says which:
//
//   - raw (the default) speaks the protocol by hand and does nothing else, so that the server is what is measured.
//     Each connection keeps --in-flight pushes of one transaction each unanswered. A verdict other than accepted
//     ends the run.
//   - client is the whole native client with its replica in memory, as Go programs embed it: it keeps an outbox, waits
//     where the server tells it to, and takes its own records back. Each keeps --in-flight receipts unsettled.
//
// At the end everything is read back: every acknowledged event must be in its space's log once, under the number that
// the verdict told, in a log without holes that hashes to its positions. That fails the run, with exit code 1. Progress
// goes to standard error; the summary to standard output, as one object with --json.
//
// # bench
//
// Measures the server and writes Markdown to standard output, each row beside a floor that was measured in the same run.
// The servers are child processes with a log on disk in a temporary directory (--dir); the load is in this one.
// --only takes a regular expression over the names of the tables. No test asserts the figures.
//
// # soak
//
//	syncload soak --skerry build/skerry --for 1h
//
// Has things happen to the real server while native clients write: it is killed, also while it starts, stopped for a while, asked to end, backed up, and put back from the backup, whose loss its clients
// mend; with --fill, in a --dir that is a small file system of its own, the disk is full now and then. Then the clients sync, skerry check
// reads the data directory through, and every event that was said to be synced must be in its log once, with nothing beside them. What happens is drawn from --seed, which it prints first.
//
// The commands serve, sockets, inserts and flood are what bench starts as children: a server, the floor of sockets, the
// floor of SQLite, and an abuser.
//
// Stable: the flags and the fields of --json of run, and the exit codes: 2 for a command line that cannot be, 1 for
// everything else.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type command func(ctx context.Context, args []string, stdout, stderr io.Writer) error

var commands = map[string]command{"run": runLoad, "bench": bench, "serve": serve, "soak": soak, "sockets": sockets, "inserts": inserts, "flood": flood}

// usageError is about the command line itself.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// run does one command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprintln(stderr, "usage: syncload run|bench [flags]; -h after either lists them")
		return 2
	}
	err := commands[args[0]](ctx, args[1:], stdout, stderr)
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "syncload %s: %v\n", args[0], err)
		return 2
	}
	fmt.Fprintf(stderr, "syncload %s: %v\n", args[0], err)
	return 1
}

// parse parses flags and admits no arguments beside them.
func parse(set *flag.FlagSet, args []string, stderr io.Writer) error {
	set.SetOutput(io.Discard) // one line is enough
	if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
		set.SetOutput(stderr)
		set.Usage()
		return err
	} else if err != nil {
		return usageError{err.Error()}
	}
	if set.NArg() > 0 {
		return usagef("takes no arguments, got %q", set.Arg(0))
	}
	return nil
}
