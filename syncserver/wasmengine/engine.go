package wasmengine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// Source gives the bytes of a module, or [module.ErrMissing]. Its other errors are faults, after which it is asked again.
// It is not asked for those that are built in.
type Source func(ctx context.Context, d digest.Digest) ([]byte, error)

// Options say how modules run, never what they decide. The zero value is good.
type Options struct {
	// Interpreter runs modules without compiling them: slower by far, started sooner.
	Interpreter bool
	// CacheDir is where compiled code is kept between runs; empty for nowhere. What is damaged there when an engine is made is deleted.
	CacheDir string
	// Kept is how many modules stay compiled when no space uses them; 0 for 32.
	Kept int
	// Compile is how long a module may take to be compiled; 0 for 30 seconds. A longer one is a fault.
	Compile time.Duration
	// Logged gets the lines that modules log when they start; nil drops them. It may be called by several goroutines.
	Logged func(line []byte)
	// Memory is how many bytes all modules together may have as memory; 0 for 1 GiB.
	Memory int64
}

// Engine makes instances of the modules that a source has. It implements [module.Checker].
type Engine struct {
	source  Source
	options Options
	runtime wazero.Runtime
	cache   wazero.CompilationCache
	code    *codeCache // what cache has in its directory; nil if it has none
	budget  *budget
	compile chan struct{} // holds a place for each module that is compiled at a time

	mu      sync.Mutex
	entries map[digest.Digest]*entry
	tick    uint64
}

// entry is a module that is loaded, or being loaded until ready is closed.
type entry struct {
	ready    chan struct{}
	machines *Machines
	err      error
	uses     int
	used     uint64 // the tick at which it was used last
}

// New returns an engine. Its error is of the directory for compiled code.
func New(source Source, options Options) (*Engine, error) {
	if options.Kept == 0 {
		options.Kept = 32
	}
	if options.Compile == 0 {
		options.Compile = 30 * time.Second
	}
	if options.Memory == 0 {
		options.Memory = 1 << 30
	}
	ctx := context.Background()
	config := wazero.NewRuntimeConfigCompiler()
	if options.Interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	e := &Engine{
		source: source, options: options, budget: &budget{left: options.Memory},
		compile: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), entries: map[digest.Digest]*entry{},
	}
	if options.CacheDir != "" {
		var err error
		if e.cache, err = wazero.NewCompilationCacheWithDir(options.CacheDir); err != nil {
			return nil, fmt.Errorf("wasmengine: keep compiled modules in %s: %w", options.CacheDir, err)
		}
		e.code = &codeCache{dir: options.CacheDir}
		if err := e.code.check(); err != nil {
			return nil, errors.Join(fmt.Errorf("wasmengine: look at the compiled modules in %s: %w", options.CacheDir, err), e.cache.Close(context.Background()))
		}
		config = config.WithCompilationCache(e.cache)
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, config.WithDebugInfoEnabled(false).WithCustomSections(false))
	if err := e.provideImports(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("wasmengine: %w", err), e.Close())
	}
	return e, nil
}

// Close frees everything. All instances have been closed, and nobody uses the engine any more.
func (e *Engine) Close() error {
	err := e.runtime.Close(context.Background())
	if e.cache != nil {
		err = errors.Join(err, e.cache.Close(context.Background()))
	}
	return err
}

// Instance is a space's instance, which keeps its module in the engine until it is closed.
type Instance struct{ *program.Instance }

// New implements [module.Engine].
func (e *Engine) New(genesis *space.Genesis) (module.Instance, error) {
	return e.Begin(genesis, program.Origin{})
}

// Begin implements [program.Beginner]. Spaces of modules that are part of the build are judged natively.
func (e *Engine) Begin(genesis *space.Genesis, at program.Origin) (module.Instance, error) {
	name := genesis.Module
	if name == module.Open && !at.Upgraded {
		at.Root = nil // there is nothing in it
	}
	if at.Root != nil {
		of, _, err := tables.ReadRoot(at.Root)
		if err != nil {
			return nil, err
		}
		name = of.Module
	}
	by, err := e.loaded(name)
	if err != nil {
		return nil, err
	}
	var i *program.Instance
	if at.Root != nil {
		i, err = resume(by, genesis, at)
	} else {
		i, err = program.Begin(by, genesis)
	}
	if err != nil {
		if by.Release != nil {
			by.Release()
		}
		return nil, err
	}
	i.Load, i.History, i.Skips = e.loaded, at.History, !at.Upgraded
	i.HasExpired(at.Expired)
	return &Instance{i}, nil
}

// resume makes an instance of a checkpoint.
func resume(by *program.Loaded, genesis *space.Genesis, at program.Origin) (*program.Instance, error) {
	var schemas []tables.Schema
	if by.Program != nil {
		schemas = by.Program.Manifest.Tables
	}
	set, of, err := tables.ReadCheckpoint(at.Root, schemas, at.Page)
	if err != nil {
		return nil, err
	}
	return program.Continue(by, genesis, set, of.Seq), nil
}

// loaded returns a module's program and machines.
func (e *Engine) loaded(name digest.Digest) (*program.Loaded, error) {
	if name == module.Open {
		return &program.Loaded{}, nil
	}
	m, err := e.Load(context.Background(), name)
	if err != nil {
		return nil, err
	}
	return &program.Loaded{Program: m.Program, Machines: m, Release: m.Release}, nil
}

// Load returns the machines of the module with a digest, to be released. Several that ask for the same module at a time
// wait for one of them to load it.
func (e *Engine) Load(ctx context.Context, d digest.Digest) (*Machines, error) {
	e.mu.Lock()
	found, ok := e.entries[d]
	if !ok {
		found = &entry{ready: make(chan struct{})}
		e.entries[d] = found
	}
	found.uses++
	e.tick++
	found.used = e.tick
	e.mu.Unlock()
	if !ok {
		found.machines, found.err = e.load(ctx, d, found)
		close(found.ready)
	}
	select {
	case <-found.ready:
	case <-ctx.Done():
		e.release(d, found)
		return nil, ctx.Err()
	}
	if found.err != nil {
		e.release(d, found)
		return nil, found.err
	}
	return found.machines, nil
}

func (e *Engine) load(ctx context.Context, d digest.Digest, of *entry) (*Machines, error) {
	bytes, err := builtin.Bytes(d), error(nil)
	if bytes == nil {
		if bytes, err = e.source(ctx, d); err != nil {
			return nil, err
		}
	}
	if got := digest.Of(bytes); got != d {
		return nil, fmt.Errorf("wasmengine: the bytes kept for module %v are those of %v", d, got)
	}
	p, err := program.Load(bytes)
	if err != nil {
		return nil, err
	}
	m, err := e.Machines(p)
	if err == nil {
		m.Release = func() { e.release(d, of) }
	}
	return m, err
}

// release takes back a use, and forgets what nobody uses: what failed at once, the rest when there are too many.
func (e *Engine) release(d digest.Digest, of *entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	of.uses--
	select {
	case <-of.ready:
	default:
		return // who loads it still uses it
	}
	if of.uses > 0 {
		return
	}
	if of.err != nil {
		if !isBad(of.err) && e.entries[d] == of {
			delete(e.entries, d)
		}
	}
	idle, oldest := 0, of
	var name digest.Digest
	for key, other := range e.entries {
		if other.uses > 0 {
			continue
		}
		if idle++; idle == 1 || other.used < oldest.used {
			name, oldest = key, other
		}
	}
	if idle > e.options.Kept {
		delete(e.entries, name)
		if oldest.machines != nil {
			oldest.machines.close()
		}
	}
}

// isBad reports whether a module will fail in the same way whenever it is loaded.
func isBad(err error) bool { return wire.CodeOf(err) == wire.CodeBadModule }

// Check implements [module.Checker]: it finds everything that would keep spaces of the module from being judged here. Its
// errors are those of [program.Load] and of the start, and faults.
func (e *Engine) Check(bytes []byte) error {
	p, err := program.Load(bytes)
	if err != nil {
		return err
	}
	m, err := e.Machines(p)
	if err == nil {
		m.Release()
	}
	return err
}
