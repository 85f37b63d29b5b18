package gobuild

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"skerry/shared/module/guest/link"
	"skerry/shared/module/program"
	"skerry/shared/semver"
	"skerry/shared/space"
)

// Engine makes the machines of a program, as the method Machines of an engine does. They are used for one call.
type Engine func(*program.Program) (program.Machines, error)

// Build returns the module of the Go program in a directory, with a version in place of its own unless that is empty. Its error says what the go command printed, what is wrong
// with what the program declares, or what is not allowed in a module.
func Build(ctx context.Context, dir, version string, engine Engine) ([]byte, error) {
	written, err := compile(ctx, dir, version)
	if err != nil {
		return nil, err
	}
	asking, err := link.Asking(written)
	if err != nil {
		return nil, err
	}
	declared, err := ask(asking, engine)
	if err != nil {
		return nil, err
	}
	return link.Module(written, declared)
}

// compile runs go build, so that what it writes depends on the sources and the toolchain alone.
func compile(ctx context.Context, dir, version string) ([]byte, error) {
	to, err := os.MkdirTemp("", "skerry-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(to)
	file, flags := filepath.Join(to, "program.wasm"), "-ldflags=-s -w -buildid="
	if version != "" {
		if _, err := semver.Parse(version); err != nil { // nothing else gets into the flags
			return nil, err
		}
		flags += " -X skerry/shared/module/guest.version=" + version
	}
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", flags, "-o", file, ".")
	command.Dir = dir
	command.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWASM=", "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build in %s: %w\n%s", dir, err, bytes.TrimSpace(out))
	}
	return os.ReadFile(file)
}

// ask runs a module that logs what it declares.
func ask(module []byte, engine Engine) (declared []byte, err error) {
	p, err := program.Load(module)
	if err != nil {
		return nil, err
	}
	machines, err := engine(p)
	if err != nil {
		return nil, err
	}
	instance, err := program.New(p, machines, &space.Genesis{Module: p.Digest})
	if err != nil {
		return nil, err
	}
	defer instance.Close()
	instance.Logged = func(line []byte) { declared = append(declared, line...) }
	if _, err := instance.MayRead(""); err != nil {
		return nil, fmt.Errorf("asking the program what it declares: %w", err)
	}
	return declared, nil
}
