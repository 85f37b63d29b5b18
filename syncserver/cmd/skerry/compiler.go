package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// compiler is the compiler for AssemblyScript in a process of its own, which takes a second to start and is quick from then
// on. The zero value is good; it is for one goroutine, and for sources of one directory.
type compiler struct {
	process *exec.Cmd // nil while there is none
	in      io.WriteCloser
	out     io.Reader
	said    bytes.Buffer
}

// compileScript has the npm package of the source's own directory compile the files that it is told of, a line of JSON each. It
// answers each with 0 and the module, 1 and what is wrong, or 2 and why there is no compiler, behind their length.
const compileScript = `
import { createInterface } from "node:readline";
const answer = (kind, content) => {
  const head = Buffer.alloc(5);
  head[0] = kind;
  head.writeUInt32LE(content.length, 1);
  process.stdout.write(Buffer.concat([head, content]));
};
const told = (kind) => (error) => answer(kind, Buffer.from(error.message));
const loaded = import("skerry-module");
loaded.catch(() => {});
for await (const line of createInterface({ input: process.stdin })) {
  const sdk = await loaded.catch(told(2));
  if (!sdk) break;
  const { file, version } = JSON.parse(line);
  await sdk.compile(file, { version }).then(({ bytes }) => answer(0, bytes), told(1));
}
`

// compile compiles a source by the npm package skerry-module that is installed for it. Version is the module's; empty: the source or its
// package.json says it.
func (c *compiler) compile(ctx context.Context, source, version string) ([]byte, error) {
	if _, err := os.Stat(source); err != nil {
		return nil, err
	}
	if err := c.start(ctx, filepath.Dir(source)); err != nil {
		return nil, err
	}
	kind, content, err := c.ask(filepath.Base(source), version)
	switch {
	case err != nil:
		c.close()
		return nil, fmt.Errorf("the compiler stopped: %w\n%s", errors.Join(ctx.Err(), err), bytes.TrimSpace(c.said.Bytes()))
	case kind == 0:
		return content, nil
	case kind == 1:
		return nil, fmt.Errorf("%s does not compile:\n%s", source, bytes.TrimSpace(content))
	}
	c.close()
	return nil, fmt.Errorf("%s needs the npm package skerry-module beside it, which npm install brings if package.json names it: %s", source, content)
}

func (c *compiler) start(ctx context.Context, dir string) error {
	if c.process != nil {
		return nil
	}
	c.said.Reset()
	process := exec.CommandContext(ctx, "node", "--input-type=module", "--eval", compileScript)
	process.Dir, process.Stderr, process.WaitDelay = dir, &c.said, time.Second
	in, err := process.StdinPipe()
	if err != nil {
		return err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := process.Start(); err != nil {
		return fmt.Errorf("a module in AssemblyScript needs Node 20 or newer: %w", err)
	}
	c.process, c.in, c.out = process, in, out
	return nil
}

func (c *compiler) ask(name, version string) (kind byte, content []byte, err error) {
	request := struct {
		File    string `json:"file"`
		Version string `json:"version,omitempty"`
	}{name, version}
	if err := json.NewEncoder(c.in).Encode(request); err != nil {
		return 0, nil, err
	}
	var head [5]byte
	if _, err := io.ReadFull(c.out, head[:]); err != nil {
		return 0, nil, err
	}
	content = make([]byte, binary.LittleEndian.Uint32(head[1:]))
	_, err = io.ReadFull(c.out, content)
	return head[0], content, err
}

// close ends the process, which ends when it is told of no more files.
func (c *compiler) close() {
	if c.process == nil {
		return
	}
	c.in.Close()
	c.process.Wait() // how it ended says nothing that its answers have not said
	c.process = nil
}
