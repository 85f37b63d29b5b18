// Command skerry is Skerry's server and its tools, in one static binary.
//
//	skerry serve --data DIR --web DIR     run the server
//	skerry setup --url URL --token TOKEN --identity IDENTITY
//	skerry health --url URL               ask whether it can serve clients
//	skerry space id|ls|info|create|append|delete|expire|retain|log
//	skerry module new|build|test|watch|run|inspect|diff|publish|types|put|has
//	skerry system|connections             who administrates and who is connected
//	skerry backup|restore FILE|-          a data directory, online, and back
//	skerry check                          whether it is whole
//	skerry seal rotate                    another secret for seals
//	skerry identity erase                 delete somebody for good
//	skerry compact                        gives back the room of what expired
//	skerry version
//	skerry help limits|routes|settings    print a reference page
//
// Every command takes --json where it prints, and --help. A failure is one line on standard error and a non-zero
// exit: 2 for a command line that cannot be; of module diff and module publish 3 where --strict does not take a version, and 4 for a
// plan that is stale; 1 for everything else.
//
// Settings come from flags, then from the environment (SKERRY_LISTEN for --listen), then from the file that
// --config names, whose lines are "listen = 127.0.0.1:8080"; # begins a comment.
//
// Stable: the commands, their flags, the fields of --json, and the exit codes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// console is what a command reads and writes.
type console struct {
	in       io.Reader
	out, err io.Writer
	json     bool

	moduleVersion string // that a source is built with; empty: it says it itself
}

// command is one command of the line. It returns a [usageError] for a line that cannot be.
type command struct {
	name, line, help string
	run              func(ctx context.Context, c *console, args []string) error
}

var commands = []command{
	{"serve", "serve [flags]", "run the server", serve},
	{"setup", "setup (--url URL --token TOKEN | --data DIR) --identity IDENTITY", "name a server's first administrator, by what serve printed, or in the data directory of a server that does not run", setup},
	{"health", "health [--url URL]", "ask a server whether it can serve clients; exits with 1 if not", health},
	{"space id", "space id --stamp ULID --creator TEXT --module NAME|HEX [--params-hex HEX]", "print the ID of a space, offline", spaceID},
	{"space ls", "space ls (--data DIR | --url URL --identity NAME)", "list spaces", spaceList},
	{"space info", "space info (--data DIR | --url URL --identity NAME) ID", "print what a space is made from", spaceInfo},
	{"space create", "space create --url URL --identity NAME", "create a space", spaceCreate},
	{"space append", "space append --url URL --identity NAME --type TYPE ID [JSON]", "append one event; its payload is the JSON, or standard input", spaceAppend},
	{"space delete", "space delete --url URL --identity NAME ID", "delete a space for everybody: whoever has it keeps what is on their device", spaceDelete},
	{"space expire", "space expire --url URL --identity NAME --upto NUMBER ID", "have the first records of a space expire for everybody, who may delete it: their payloads go for good", spaceExpire},
	{"space retain", "space retain (--data DIR | --url URL --identity NAME) [--age DURATION] [--records N] [--bytes N] [--all] [--default] ID", "set what a space keeps of its log, as an administrator; without a limit, print it", spaceRetain},
	{"space log", "space log (--data DIR | --url URL) ID", "print the records of a space", spaceLog},
	{"module inspect", "module inspect NAME|FILE", "print what a module says of itself, without running it", moduleInspect},
	{"module diff", "module diff [--strict] OLD NEW", "print what a newer module declares otherwise than an older one, what clients of the older one see of it, and how much its version has to rise for that", moduleDiff},
	{"module types", "module types [--lang ts|go] [--package NAME] NAME|FILE", "print what a module declares as types of TypeScript or Go", moduleTypes},
	{"module new", "module new [--go] [--sdk PATH] NAME", "make a directory to begin a module with, in AssemblyScript or Go: source, tests, and what they need", moduleNew},
	{"module build", "module build [--version VERSION] --out FILE SOURCE", "make a module of a source in AssemblyScript (needs Node), or of the Go program in a directory (needs Go), and print its digest", moduleBuild},
	{"module run", "module run [--creator TEXT] [--params-hex HEX] NAME|FILE... EVENTS", "judge a file of events, a line of JSON each as space log --json prints them, by a module and those it is upgraded to; print verdicts, fuel and tables", moduleRun},
	{"module test", "module test [--run REGEXP] NAME|FILE|SOURCE [TESTS...]", "play the tests of a module, by default all *.tests beside it: what people do in a space, and what comes of it", moduleTest},
	{"module watch", "module watch [--out FILE] [--url URL --identity NAME [--space ID]] SOURCE [TESTS...]", "whenever a file beside a source changes, make the module, play its tests, upload it, and take a space over to it", moduleWatch},
	{"module publish", "module publish --url URL --identity NAME [--plan TOKEN|--yes] [--strict] (--rollback ID | ID MODULE)", "print what changes for whom if a space goes over to a module: a built-in's name, a digest that the server has, or a file or source, which is uploaded then; with the plan that it prints, or --yes, do it", modulePublish},
	{"module put", "module put --url URL --identity NAME FILE", "upload a module, and print its digest", modulePut},
	{"module has", "module has --url URL --identity NAME DIGEST", "print whether a server has a module", moduleHas},
	{"key", "key [--keys DIR] NAME", "print the identity of a key, which is made if it is not there", keyShow},
	{"system", "system [--data DIR]", "print the ID of the system space, which administrators read as their audit log", systemSpace},
	{"connections", "connections [--data DIR]", "print who is connected, and what their credentials claim", connections},
	{"backup", "backup [--data DIR] FILE|-", "write all that a data directory has to a new file, or to standard output, also while a server runs on it; the file is as secret as the server's key, which is in it", backup},
	{"restore", "restore [--data DIR] [--moved] FILE|-", "make a data directory, which must be empty or not there, of a backup", restore},
	{"check", "check [--data DIR] [--quick]", "read a whole data directory, also while a server runs on it, and print what is wrong with it; exits with 1 if something is", check},
	{"seal rotate", "seal rotate [--data DIR] [--forget]", "give a server that does not run a new secret to seal positions with; what was sealed before counts as ever", sealRotate},
	{"identity erase", "identity erase [--data DIR] [--yes] IDENTITY", "delete the spaces that are an identity's alone, and what a server that does not run knows of it besides; print what stays with others", identityErase},
	{"compact", "compact [--data DIR]", "give back the room of what was deleted or has expired, in the data directory of a server that does not run", compact},
	{"version", "version", "print the version", version},
}

// usageError is about the command line itself.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

// exitError has an exit code of its own.
type exitError struct {
	error
	code int
}

func failWith(code int, format string, args ...any) error {
	return exitError{fmt.Errorf(format, args...), code}
}

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// run does one command line and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &console{in: stdin, out: stdout, err: stderr}
	if len(args) == 2 && args[0] == "help" && topics[args[1]] != nil {
		topics[args[1]](stdout)
		return 0
	}
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h" {
		usage(stdout)
		if len(args) == 0 {
			return 2
		}
		return 0
	}
	name, rest := args[0], args[1:]
	if slices.Contains([]string{"space", "module", "seal", "identity"}, name) && len(rest) > 0 {
		name, rest = name+" "+rest[0], rest[1:]
	}
	for _, command := range commands {
		if command.name != name {
			continue
		}
		err := command.run(ctx, c, rest)
		var usage usageError
		code := 1
		if coded, ok := errors.AsType[exitError](err); ok {
			code = coded.code
		}
		switch {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return 0
		case errors.As(err, &usage):
			fmt.Fprintf(stderr, "skerry %s: %v\n", name, err)
			return 2
		}
		fmt.Fprintf(stderr, "skerry %s: %v\n", name, err)
		return code
	}
	fmt.Fprintf(stderr, "skerry: no command %q; skerry help lists them\n", name)
	return 2
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: skerry COMMAND [flags]")
	for _, command := range commands {
		fmt.Fprintf(w, "  %s\n        %s\n", command.line, command.help)
	}
	fmt.Fprintf(w, "  help [%s]\n        print this, or a reference page\n", strings.Join(slices.Sorted(maps.Keys(topics)), "|"))
}

// print prints one value: as a line of JSON, or as text.
func (c *console) print(value any, format string, args ...any) error {
	if c.json {
		line, err := json.Marshal(value)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.out, "%s\n", line)
		return err
	}
	_, err := fmt.Fprintf(c.out, format+"\n", args...)
	return err
}
