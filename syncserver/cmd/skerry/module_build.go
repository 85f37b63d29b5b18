package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"skerry/shared/module/builtin"
	"skerry/shared/module/program"
	"skerry/syncserver/gobuild"
	"skerry/syncserver/wasmengine"
)

// logged shows a line that a module logged.
func (c *console) logged(line []byte) { fmt.Fprintf(c.err, "log: %s\n", line) }

// moduleBuild makes a module of its source, and prints what it is.
func moduleBuild(ctx context.Context, c *console, args []string) error {
	set := c.flags("module build")
	out := set.String("out", "", "the `file` to write the module to")
	set.StringVar(&c.moduleVersion, "version", "", "the module's `version`, in place of what its source, or in AssemblyScript the nearest package.json, says")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() != 1 || *out == "" {
		return usagef("needs --out, and a source in AssemblyScript (.ts) or the directory of a Go program")
	}
	if err := checkSource(set.Arg(0)); err != nil {
		return err
	}
	content, p, err := c.loadModule(ctx, set.Arg(0))
	if err != nil {
		return err
	}
	if err := os.WriteFile(*out, content, 0o666); err != nil {
		return err
	}
	return c.print(struct {
		Digest  string `json:"digest"`
		Name    string `json:"name"`
		Version string `json:"version"`
		Size    int    `json:"size"`
	}{p.Digest.String(), p.Manifest.Name, p.Manifest.Version, len(content)}, "%s", p.Digest)
}

// checkSource tells what is no source of a module.
func checkSource(name string) error {
	if strings.HasSuffix(name, ".ts") || isDir(name) {
		return nil
	}
	return usagef("%s is neither a source in AssemblyScript (.ts) nor the directory of a Go program", name)
}

// loadModule makes or reads the module that a command line names, and checks it.
func (c *console) loadModule(ctx context.Context, name string) ([]byte, *program.Program, error) {
	content, err := c.moduleBytes(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	p, err := program.Load(content)
	return content, p, err
}

// moduleBytes returns the module of a name that is built in, of a source in AssemblyScript, of the Go program in a
// directory, or else of a file.
func (c *console) moduleBytes(ctx context.Context, name string) ([]byte, error) {
	if d, ok := builtin.ByName(name); ok {
		return builtin.Bytes(d), nil
	}
	switch {
	case strings.HasSuffix(name, ".ts"):
		compiler := new(compiler)
		defer compiler.close()
		return compiler.compile(ctx, name, c.moduleVersion)
	case isDir(name):
		return c.buildGo(ctx, name)
	}
	return os.ReadFile(name)
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

func (c *console) buildGo(ctx context.Context, dir string) (content []byte, err error) {
	engine, err := wasmengine.New(nil, wasmengine.Options{Interpreter: true, Logged: c.logged}) // it runs the program once
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	return gobuild.Build(ctx, dir, c.moduleVersion, func(p *program.Program) (program.Machines, error) { return engine.Machines(p) })
}
