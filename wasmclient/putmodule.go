package wasmclient

import (
	"context"
	"errors"
	"fmt"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/module/program"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// PutModule keeps a module on this device, durably, and returns its digest, by which spaces are made of it. It needs no
// network: the server is sent the bytes when it misses them. To put a module again is harmless. Its error has a code:
// too_large over 4 MiB, bad_module where the bytes are nothing that could judge, quota.
func (c *Client) PutModule(ctx context.Context, content []byte) (digest.Digest, error) {
	if len(content) > replica.ModuleBytes {
		return digest.Digest{}, wire.Errorf(wire.CodeTooLarge, "put module: %d bytes, more than %d", len(content), replica.ModuleBytes)
	}
	d := digest.Of(content)
	if d == module.Open {
		return d, nil // everybody has it
	}
	p, err := program.Load(content)
	if err == nil {
		err = c.tryModule(ctx, p)
	}
	if err != nil {
		return digest.Digest{}, fmt.Errorf("put module: %w", err)
	}
	err = c.read(ctx, func(store Store) error { return store.PutModule(ctx, d, content) })
	if err == nil {
		err = c.call(ctx, func() { c.step(replica.ModulePut{Digest: d}) })
	}
	if err != nil {
		return digest.Digest{}, fmt.Errorf("put module: %w", coded(err))
	}
	return d, nil
}

// keepBuiltin puts a module that is built in, and of which a space is about to be made, beside those that are kept here: a
// later build may have another of that name, and the space is judged by this one.
func (c *Client) keepBuiltin(ctx context.Context, d digest.Digest) error {
	content := builtin.Bytes(d)
	if content == nil || d == module.Open {
		return nil
	}
	var kept []byte
	err := c.read(ctx, func(store Store) (err error) {
		kept, err = store.Module(ctx, d)
		return err
	})
	if err != nil {
		return coded(err)
	}
	if kept == nil {
		_, err = c.PutModule(ctx, content)
	}
	return err
}

// tryModule has a module begin, and returns why it cannot. What the machine fails at says nothing of the module.
func (c *Client) tryModule(ctx context.Context, p *program.Program) error {
	if c.config.Engine == nil {
		return nil
	}
	_, release, err := c.config.Engine.Machines(ctx, p)
	switch {
	case err == nil:
		release()
	case wire.CodeOf(err) == wire.CodeBadModule:
		return err
	}
	return nil
}

// tryGenesis has a module begin a space, and returns why it does not. A module that is not here, and what the machine fails at, say
// nothing of that: the server does.
func (c *Client) tryGenesis(ctx context.Context, genesis *space.Genesis) error {
	if c.config.Engine == nil || genesis.Module == module.Open {
		return nil
	}
	m, err := c.borrowModule(ctx, genesis.Module)
	if err != nil {
		return nil
	}
	instance, err := program.Begin(&program.Loaded{Program: m.program, Machines: m.machines, Release: func() { c.giveBackModule(m) }}, genesis)
	if err == nil {
		instance.Close()
		return nil
	}
	c.giveBackModule(m)
	if wire.CodeOf(err) == wire.CodeBadGenesis {
		return err
	}
	return nil
}

// coded gives a failure of the store its code.
func coded(err error) error {
	code := wire.CodeStorageFailed
	switch {
	case wire.CodeOf(err) != wire.CodeUnknown, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, ErrFull):
		code = wire.CodeQuota
	case final(err) != 0:
		code = final(err)
	}
	return &wire.CodeError{Code: code, Reason: err.Error()}
}
