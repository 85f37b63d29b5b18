package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"skerry/shared/module/program"
	"skerry/syncserver/gobuild"
	"skerry/syncserver/wasmengine"
)

// logged shows a line that a module logged.
func (c *console) logged(line []byte) { fmt.Fprintf(c.err, "log: %s\n", line) }

// moduleBuild makes the module of a Go program, and prints what it is.
func moduleBuild(ctx context.Context, c *console, args []string) (err error) {
	set := c.flags("module build")
	out := set.String("out", "", "the `file` to write the module to")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() != 1 || *out == "" {
		return usagef("needs --out and the directory of a Go program")
	}
	engine, err := wasmengine.New(nil, wasmengine.Options{Interpreter: true, Logged: c.logged}) // it runs the program once
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	content, err := gobuild.Build(ctx, set.Arg(0), func(p *program.Program) (program.Machines, error) { return engine.Machines(p) })
	if err != nil {
		return err
	}
	if err := os.WriteFile(*out, content, 0o666); err != nil {
		return err
	}
	p, err := program.Load(content)
	if err != nil {
		return err
	}
	return c.print(struct {
		Digest  string `json:"digest"`
		Name    string `json:"name"`
		Version string `json:"version"`
		Size    int    `json:"size"`
	}{p.Digest.String(), p.Manifest.Name, p.Manifest.Version, len(content)}, "%s", p.Digest)
}
