package wasmengine

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/wire"
)

func sourceOf(modules ...[]byte) Source {
	return func(_ context.Context, d digest.Digest) ([]byte, error) {
		for _, m := range modules {
			if digest.Of(m) == d {
				return m, nil
			}
		}
		return nil, module.ErrMissing
	}
}

func genesisOf(bytes []byte) *space.Genesis {
	return &space.Genesis{Stamp: space.ULID{1}, Creator: "creator", Module: digest.Of(bytes)}
}

func message(seq uint64, text string) []space.Record {
	t := space.Transaction{Author: "creator", API: "1.0.0", ClientVersion: "1.0.0", Events: []space.Event{{
		Type: "message", Payload: moduletest.ChatMessage("room", text)}}}
	return t.Records(seq, 1_700_000_000_000)
}

func TestEngineMakesInstances(t *testing.T) {
	e := newEngine(t, Options{})
	asked := 0
	e.source = func(ctx context.Context, d digest.Digest) ([]byte, error) {
		asked++
		return sourceOf(moduletest.Chat(), []byte("no module"))(ctx, d)
	}
	open, err := e.New(&space.Genesis{Module: module.Open})
	if err != nil || open.Applied() != module.NeedsNothing {
		t.Fatalf("open: %v", err)
	}
	if _, err := e.New(genesisOf([]byte("other"))); !errors.Is(err, module.ErrMissing) {
		t.Errorf("a module that is not there: %v", err)
	}
	if _, err := e.New(genesisOf([]byte("no module"))); wire.CodeOf(err) != wire.CodeBadModule {
		t.Errorf("bytes that are no module: %v", err)
	}
	asked = 0
	for range 3 {
		i, err := e.New(genesisOf(moduletest.Chat()))
		if err != nil {
			t.Fatal(err)
		}
		if v, err := i.Judge(module.Caller{Identity: "creator"}, message(1, "hello")); err != nil || !v.Allowed() {
			t.Errorf("%v %v", v, err)
		}
		defer i.Close()
	}
	if _, err := e.New(genesisOf([]byte("no module"))); wire.CodeOf(err) != wire.CodeBadModule {
		t.Errorf("bytes that are no module, once more: %v", err)
	}
	if asked != 1 {
		t.Errorf("the source was asked %d times", asked)
	}
}

// TestSourceFails: a fault of the source is told and not remembered, and other bytes than those of the digest are one.
func TestSourceFails(t *testing.T) {
	e := newEngine(t, Options{})
	fault := errors.New("the disk is on fire")
	e.source = func(context.Context, digest.Digest) ([]byte, error) { return nil, fault }
	if _, err := e.New(genesisOf(moduletest.Chat())); !errors.Is(err, fault) {
		t.Errorf("%v", err)
	}
	e.source = func(context.Context, digest.Digest) ([]byte, error) { return moduletest.Probe(), nil }
	if _, err := e.New(genesisOf(moduletest.Chat())); err == nil || wire.CodeOf(err) == wire.CodeBadModule {
		t.Errorf("other bytes: %v", err)
	}
	e.source = sourceOf(moduletest.Chat())
	i, err := e.New(genesisOf(moduletest.Chat()))
	if err != nil {
		t.Fatal(err)
	}
	i.Close()
}

// TestLoadedOnce: many that want a module at once load it once, and it is given back when nobody uses it.
func TestLoadedOnce(t *testing.T) {
	e := newEngine(t, Options{Kept: 1})
	var asked atomic.Int32
	e.source = func(ctx context.Context, d digest.Digest) ([]byte, error) {
		asked.Add(1)
		return sourceOf(moduletest.Chat(), moduletest.Probe())(ctx, d)
	}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			i, err := e.New(genesisOf(moduletest.Chat()))
			if err != nil {
				t.Error(err)
				return
			}
			for n := range uint64(20) {
				if v, err := i.Judge(module.Caller{Identity: "creator"}, message(n+1, "hello")); err != nil || !v.Allowed() {
					t.Error(v, err)
				}
			}
			i.Close()
		})
	}
	all.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("the source was asked %d times", n)
	}
	for _, bytes := range [][]byte{moduletest.Probe(), moduletest.Probe(), moduletest.Chat(), moduletest.Chat()} {
		m, err := e.Load(context.Background(), digest.Of(bytes))
		if err != nil {
			t.Fatal(err)
		}
		m.Release()
	}
	if n := asked.Load(); n != 3 { // one module is kept: the other one and the first again were loaded anew
		t.Errorf("the source was asked %d times", n)
	}
	if got := e.options.Memory - e.budget.left; got != 0 {
		t.Errorf("%d bytes of memory are taken by nobody", got)
	}
}

// TestMemoryBudget: where the machine has no memory it fails, and decides nothing.
func TestMemoryBudget(t *testing.T) {
	for _, c := range []struct {
		pages int64
		want  string
	}{{3, "no memory is left"}, {4, ""}} {
		e := newEngine(t, Options{Memory: c.pages * page})
		err := e.Check(moduletest.Probe())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || wire.CodeOf(err) == wire.CodeBadModule) {
			t.Errorf("%d pages: %v", c.pages, err)
		}
	}
	// The module begins with 4 pages and may have 8; the machine has 7, 8 or 9 of them.
	for _, c := range []struct {
		pages int64
		fault bool
	}{{7, true}, {8, false}} {
		e := newEngine(t, Options{Memory: c.pages * page})
		e.source = sourceOf(moduletest.Probe())
		i, err := e.New(genesisOf(moduletest.Probe()))
		if err != nil {
			t.Fatal(err)
		}
		v, err := i.Judge(module.Caller{}, moduletest.ProbeGrow(4))
		if (err != nil) != c.fault || !v.Allowed() {
			t.Errorf("%d pages: %v, %v", c.pages, v, err)
		}
		// The fault left nothing behind: the same space goes on.
		if v, err := i.Judge(module.Caller{}, moduletest.ProbeGrow(0)); err != nil || !v.Allowed() {
			t.Errorf("%d pages: afterwards %v, %v", c.pages, v, err)
		}
		i.Close()
	}
}

func TestCacheDir(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		e := newEngine(t, Options{CacheDir: dir})
		if err := e.Check(moduletest.Chat()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := New(nil, Options{CacheDir: "/dev/null/x"}); err == nil {
		t.Error("a directory that cannot be")
	}
}

// TestCompileTime: a module that takes too long to compile is a fault, not a bad module.
func TestCompileTime(t *testing.T) {
	e := newEngine(t, Options{Compile: 1})
	if err := e.Check(moduletest.Chat()); !errors.Is(err, context.DeadlineExceeded) || wire.CodeOf(err) == wire.CodeBadModule {
		t.Errorf("%v", err)
	}
}

func TestIsTrap(t *testing.T) {
	for text, want := range map[string]bool{
		"unreachable": true, "integer overflow": true, "stack overflow": false, "runtime error: index out of range": false,
	} {
		if got := isTrap(errors.New(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// BenchmarkChat is a message of a chat: authorize and apply, the call's restoring of memory, and the tables.
func BenchmarkChat(b *testing.B) {
	for name, options := range map[string]Options{"compiled": {}, "interpreted": {Interpreter: true}} {
		b.Run(name, func(b *testing.B) {
			e := newEngine(b, options)
			e.source = sourceOf(moduletest.Chat())
			i, err := e.New(genesisOf(moduletest.Chat()))
			if err != nil {
				b.Fatal(err)
			}
			defer i.Close()
			b.ReportAllocs()
			n := uint64(0)
			for b.Loop() {
				n++
				if v, err := i.Judge(module.Caller{Identity: "creator"}, message(n, "is anybody there?")); err != nil || !v.Allowed() {
					b.Fatal(v, err)
				}
				i.Commit(n)
			}
		})
	}
}

// BenchmarkCall is one call of a module that does next to nothing: what the engine itself takes.
func BenchmarkCall(b *testing.B) {
	e := newEngine(b, Options{})
	p, err := program.Load(moduletest.Chat())
	if err != nil {
		b.Fatal(err)
	}
	machines, err := e.Machines(p)
	if err != nil {
		b.Fatal(err)
	}
	defer machines.Release()
	m, _ := machines.Borrow()
	defer m.Close()
	var host program.Host
	input := make([]byte, 64)
	input[0] = 9 // no event that it knows
	b.ReportAllocs()
	for b.Loop() {
		if o, err := m.Call(program.Apply, input, program.Fuel, &host); err != nil || o.Trapped {
			b.Fatal(o, err)
		}
	}
}

// BenchmarkRefusal is a call that ends early, after which the instance is a new one.
func BenchmarkRefusal(b *testing.B) {
	e := newEngine(b, Options{})
	e.source = sourceOf(moduletest.Chat())
	i, err := e.New(genesisOf(moduletest.Chat()))
	if err != nil {
		b.Fatal(err)
	}
	defer i.Close()
	records := message(1, "hello")
	records[0].Author = "a stranger"
	b.ReportAllocs()
	for b.Loop() {
		if v, err := i.Judge(module.Caller{}, records); err != nil || v.Allowed() {
			b.Fatal(v, err)
		}
	}
}

// TestOthersGoOn: while hostile spaces are judged, honest ones of the same engine are too, and neither notice.
func TestOthersGoOn(t *testing.T) {
	e := newEngine(t, Options{})
	e.source = sourceOf(moduletest.Chat(), moduletest.Probe())
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			i, err := e.New(genesisOf(moduletest.Probe()))
			if err != nil {
				t.Error(err)
				return
			}
			defer i.Close()
			for _, records := range moduletest.ProbeHostile() {
				if v, err := i.Judge(module.Caller{}, records); err != nil || v.Allowed() {
					t.Error(v, err)
				}
			}
		})
		all.Go(func() {
			i, err := e.New(genesisOf(moduletest.Chat()))
			if err != nil {
				t.Error(err)
				return
			}
			defer i.Close()
			for n := range uint64(200) {
				if v, err := i.Judge(module.Caller{Identity: "creator"}, message(n+1, "hello")); err != nil || !v.Allowed() {
					t.Error(v, err)
				}
				i.Commit(n + 1)
			}
			if i.Applied() != 200 {
				t.Errorf("%d records are applied", i.Applied())
			}
		})
	}
	all.Wait()
}

// TestImages restores memories that lie in zeros in every way, also next to the borders of what is copied.
func TestImages(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, zeros, 64 * zeros, 64*zeros + 5} {
		for range 50 {
			bytes := make([]byte, size)
			for range r.IntN(6) {
				if size > 0 {
					at := r.IntN(size+1) / zeros * zeros
					at = max(0, min(size-1, at-1+r.IntN(3)))
					bytes[at] = byte(1 + r.IntN(255))
				}
			}
			memory := make([]byte, size)
			for i := range memory {
				memory[i] = byte(r.Uint32())
			}
			newImage(bytes).restore(memory)
			if string(memory) != string(bytes) {
				t.Fatalf("a memory of %d bytes is not what it was", size)
			}
		}
	}
}
