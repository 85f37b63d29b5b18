package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/rogpeppe/go-internal/testscript"

	"skerry/shared/digest"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/tables"
	"skerry/syncserver/sqlitelog"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"skerry": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}})
}

// notes are event types of ABI 2 with everything that schemas have.
func notes() []program.EventType {
	text := func(name string) program.Field { return program.Field{Name: name, Kind: tables.Text} }
	calm := msgpack.AppendString(nil, "calm")
	mood := text("mood")
	mood.Default = calm
	data := program.Field{Name: "data", Kind: tables.Bytes, Default: msgpack.AppendBinary(nil, []byte{1, 255})}
	return []program.EventType{
		{Name: "note", Fields: []program.Field{text("text"), mood, text("place"), data}, Older: []program.Older{
			{
				Fields: []program.Field{text("body"), text("colour")}, Rename: []program.Renamed{{From: "body", To: "text"}}, Drop: []string{"colour"},
				Given: []program.Given{{Name: "place", Value: msgpack.AppendString(nil, "here")}, {Name: "mood", Value: calm}},
			},
			{Fields: []program.Field{text("text")}, Refused: true},
		}},
		{Name: "shout", Removed: true},
	}
}

// TestScripts runs testdata/script/*.txtar. Beside testscript's commands there are:
//
// The directory $MODULES has modules: chat.wasm, noted.wasm, whose manifest has all that schemas have, newer.wasm, which is made of the log of a chat, newest.wasm, which has an event type less and says
// so by its version, bold.wasm, which does not say so, unversioned.wasm and misversioned.wasm, and bare.wasm, which has no manifest. $NEWEST is the digest of newest.wasm.
//
//	serve FLAGS...   start a server on the directory data; its URL is $URL, where it listens $ADDRESS, and the token to set it up $SETUP,
//	                 which is in the link $LINK
//	stopserver       stop it by SIGTERM; it must exit with 0
//	sql DIR SQL      change the database of a data directory that nobody serves
//	flip FILE TEXT   change a bit of a text in a file
//	exits N COMMAND  run a command that has to exit with N
//	field NAME KEY   set a variable to a field of the JSON that the last command printed
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Values["server"] = new(server)
			modules := filepath.Join(e.WorkDir, "modules")
			if err := os.Mkdir(modules, 0o755); err != nil {
				return err
			}
			e.Setenv("MODULES", modules)
			e.Setenv("SKERRY_KEYS", filepath.Join(e.WorkDir, "keys"))
			newer := moduletest.ChatManifest()
			newer.Version, newer.Upgrade = "1.1.0", program.Replay
			newest := *newer
			newest.Version, newest.Events = "2.0.0", newer.Events[:len(newer.Events)-1]
			unversioned, misversioned := *newer, *newer
			unversioned.Version, misversioned.Version = "", "1.2"
			bold := newest
			bold.Version = "1.2.0"
			for name, content := range map[string][]byte{
				"chat.wasm": moduletest.Chat(), "bare.wasm": moduletest.ChatWithoutManifest(),
				"newer.wasm": newer.AppendSection(moduletest.ChatWithoutManifest()), "newest.wasm": newest.AppendSection(moduletest.ChatWithoutManifest()),
				"unversioned.wasm": unversioned.AppendSection(moduletest.ChatWithoutManifest()), "misversioned.wasm": misversioned.AppendSection(moduletest.ChatWithoutManifest()),
				"noted.wasm": moduletest.Kept("3.0.0", notes(), nil),
				"bold.wasm":  bold.AppendSection(moduletest.ChatWithoutManifest()),
			} {
				if err := os.WriteFile(filepath.Join(modules, name), content, 0o644); err != nil {
					return err
				}
			}
			e.Setenv("NEWEST", digest.Of(newest.AppendSection(moduletest.ChatWithoutManifest())).String())
			e.Defer(func() {
				if err := e.Values["server"].(*server).stop(); err != nil {
					t.Errorf("serve: %v", err)
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": func(ts *testscript.TestScript, neg bool, args []string) {
				s := ts.Value("server").(*server)
				url, err := s.start(ts, append([]string{
					"serve", "--json", "--listen", "127.0.0.1:0", "--data", ts.MkAbs("data"),
				}, args...)...)
				ts.Check(err)
				ts.Setenv("URL", url)
				ts.Setenv("ADDRESS", strings.TrimPrefix(url, "http://"))
			},
			"stopserver": func(ts *testscript.TestScript, neg bool, args []string) {
				s := ts.Value("server").(*server)
				if err := s.stop(); err != nil {
					ts.Fatalf("serve: %v: %s", err, s.errors.String())
				}
			},
			"sql": func(ts *testscript.TestScript, neg bool, args []string) {
				db, err := sqlite3.Open(ts.MkAbs(filepath.Join(args[0], sqlitelog.FileName)))
				ts.Check(err)
				defer db.Close()
				ts.Check(db.Exec(args[1]))
			},
			"flip": func(ts *testscript.TestScript, neg bool, args []string) {
				content := []byte(ts.ReadFile(args[0]))
				at := bytes.Index(content, []byte(args[1]))
				if at < 0 {
					ts.Fatalf("%s has no %q", args[0], args[1])
				}
				content[at] ^= 1
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o600))
			},
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				if exit, ok := errors.AsType[*exec.ExitError](err); !ok || strconv.Itoa(exit.ExitCode()) != args[0] {
					ts.Fatalf("%v, want exit code %s", err, args[0])
				}
			},
			"field": func(ts *testscript.TestScript, neg bool, args []string) {
				if len(args) != 2 {
					ts.Fatalf("usage: field NAME KEY")
				}
				var object map[string]any
				ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &object))
				value, ok := object[args[1]]
				if !ok {
					ts.Fatalf("no field %q", args[1])
				}
				ts.Setenv(args[0], fmt.Sprint(value))
			},
		},
	})
}

// server is `skerry serve` as a process of its own.
type server struct {
	process *exec.Cmd
	errors  bytes.Buffer
}

// start starts it and waits until it says where it listens.
func (s *server) start(ts *testscript.TestScript, args ...string) (url string, err error) {
	directory, _, _ := strings.Cut(ts.Getenv("PATH"), string(os.PathListSeparator))
	s.errors.Reset()
	s.process = exec.Command(filepath.Join(directory, "skerry"), args...)
	s.process.Env = append(os.Environ(), "SKERRY_CREATE_BURST="+ts.Getenv("SKERRY_CREATE_BURST"))
	if ts.Getenv("SKERRY_CREATE_BURST") == "" {
		s.process.Env = os.Environ()
	}
	s.process.Stderr = &s.errors
	out, err := s.process.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := s.process.Start(); err != nil {
		s.process = nil
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("serve ended: %w: %s", errors.Join(err, s.stop()), s.errors.String())
	}
	var listening struct{ URL, Setup string }
	err = json.Unmarshal([]byte(line), &listening)
	_, token, _ := strings.Cut(listening.Setup, "token=")
	ts.Setenv("SETUP", token)
	ts.Setenv("LINK", listening.Setup)
	return listening.URL, err
}

// stop asks it to stop and waits until it has.
func (s *server) stop() error {
	if s.process == nil {
		return nil
	}
	process := s.process
	s.process = nil
	process.Process.Signal(syscall.SIGTERM)
	return process.Wait()
}
