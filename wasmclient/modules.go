package wasmclient

import (
	"context"
	"sync"

	"skerry/shared/digest"
	"skerry/shared/module/program"
	"skerry/shared/wire"
)

// Engine runs modules. Without one a client keeps logs, and the tables of no space. One with a method Name() string is called
// so where its tables turn out not to be the server's, see [Divergence].
type Engine interface {
	// Machines compiles a program. release is called once, when nobody uses the machines any more. Its errors are a
	// [*wire.CodeError] with the code bad_module, which another try would not change, and faults of the machine.
	Machines(ctx context.Context, p *program.Program) (machines program.Machines, release func(), err error)
}

// modules are those that are loaded: each once, however many spaces it judges.
type modules struct {
	mu     sync.Mutex // held while one is loaded, so that they come one by one
	loaded map[digest.Digest]*loadedModule
}

type loadedModule struct {
	program  *program.Program
	machines program.Machines
	release  func()
	uses     int
}

// borrowModule returns a module, to be given back. Its errors are a [*wire.CodeError] with the code module_missing while
// the store does not have it, or bad_module, and those of the store and the engine.
func (c *Client) borrowModule(ctx context.Context, d digest.Digest) (*loadedModule, error) {
	c.modules.mu.Lock()
	defer c.modules.mu.Unlock()
	if m := c.modules.loaded[d]; m != nil {
		m.uses++
		return m, nil
	}
	var bytes []byte
	err := c.read(ctx, func(store Store) (err error) {
		bytes, err = store.Module(ctx, d)
		return err
	})
	if err != nil {
		return nil, err
	}
	if bytes == nil {
		return nil, wire.Errorf(wire.CodeModuleMissing, "the module %v is not on this device yet", d)
	}
	m := &loadedModule{uses: 1}
	if m.program, err = program.Load(bytes); err != nil {
		return nil, err
	}
	if m.machines, m.release, err = c.config.Engine.Machines(ctx, m.program); err != nil {
		return nil, err
	}
	if c.modules.loaded == nil {
		c.modules.loaded = map[digest.Digest]*loadedModule{}
	}
	c.modules.loaded[d] = m
	c.post(func() { c.learnName(m.program) })
	return m, nil
}

// learnName keeps what a module calls itself for those who ask what a space is of, and tells that it is known.
func (c *Client) learnName(p *program.Program) {
	if c.named == nil {
		c.named = map[digest.Digest]*program.Manifest{}
	}
	if c.named[p.Digest] != nil {
		return
	}
	c.named[p.Digest] = p.Manifest
	for id := range c.views {
		if info := c.core.Space(id).Info; info.CurrentModule() == p.Digest {
			for _, f := range c.listeners {
				f(Change{Space: id})
			}
		}
	}
}

func (c *Client) giveBackModule(m *loadedModule) {
	c.modules.mu.Lock()
	defer c.modules.mu.Unlock()
	if m.uses--; m.uses == 0 {
		delete(c.modules.loaded, m.program.Digest)
		m.release()
	}
}
