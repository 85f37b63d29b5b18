package wasmengine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"skerry/shared/digest"
	"skerry/shared/module/meter"
	"skerry/shared/module/moduletest"
)

// fuzzFuel is what each call of a fuzzed module may take.
const fuzzFuel = 300_000

// FuzzModule feeds modules to the meter and what it accepts to all engines, which must not differ in anything that can
// be seen. Without -fuzz it runs the seeds.
func FuzzModule(f *testing.F) {
	f.Add(moduletest.Chat())
	f.Add(moduletest.Probe())
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	for _, name := range seeds(f) {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	v := startV8(f)
	f.Fuzz(func(t *testing.T, module []byte) { checkModule(t, module, false, v) })
}

// seeds are the modules that are kept because an engine once failed one, or wasm-opt made it.
func seeds(t testing.TB) []string {
	names, err := filepath.Glob("testdata/modules/*.wasm")
	if err != nil || len(names) == 0 {
		t.Fatalf("no seeds: %v", err)
	}
	return names
}

// checkModule reports whether the meter accepts a module. What it accepts is valid as it was and as it became, and does the
// same on all engines. If exact, it also does what it did before; else there may be NaNs of any bits in it.
func checkModule(t *testing.T, module []byte, exact bool, v *v8) bool {
	t.Helper()
	metered, err := meter.Instrument(module)
	if err != nil {
		return false
	}
	ctx := context.Background()
	compiled := observe(t, wazero.NewRuntimeConfigCompiler(), metered.Bytes, metered, meter.MaxExports+1)
	interpreted := observe(t, wazero.NewRuntimeConfigInterpreter(), metered.Bytes, metered, meter.MaxExports+1)
	if !slices.Equal(compiled, interpreted) {
		for i := range compiled {
			if i == len(interpreted) || compiled[i] != interpreted[i] {
				t.Fatalf("the engines differ in call %d:\n%s\n%s\n%s", i, compiled[i], strings.Join(interpreted[i:min(i+1, len(interpreted))], ""), keep(t, module))
			}
		}
		t.Fatalf("the engines differ in how many calls return: %s", keep(t, module))
	}
	v.compare(t, module, metered, compiled)
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer runtime.Close(ctx)
	if _, err := runtime.CompileModule(ctx, module); err != nil {
		t.Fatalf("the meter accepts what is not valid: %v: %s", err, keep(t, module))
	}
	if exact {
		most := len(compiled)
		if most > 0 && strings.HasSuffix(compiled[most-1], "trapped true") {
			most-- // by fuel or depth, maybe, which as it was it does not have
		}
		plain := observe(t, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(meter.MaxPages), module, metered, most)
		for i := range plain {
			if what, _, _ := strings.Cut(compiled[i], " | "); what != plain[i] {
				t.Fatalf("call %d, metered and as it was:\n%s\n%s\n%s", i, what, plain[i], keep(t, module))
			}
		}
	}
	return true
}

// keep writes a module to where it can be looked at.
func keep(t *testing.T, module []byte) string {
	path := filepath.Join(os.TempDir(), "module-"+digest.Of(module).String()[:12]+".wasm")
	if err := os.WriteFile(path, module, 0o644); err != nil {
		t.Log(err)
	}
	return path
}

// observe instantiates a module with imports that give zeros, and calls its start and all that it exports. A line says
// what a call gave and left in memory, and behind " | " what the meter counted. A module as it was, that counts nothing,
// is not called more often than most says, since nothing stops it.
func observe(t *testing.T, config wazero.RuntimeConfig, module []byte, m *meter.Metered, most int) (lines []string) {
	ctx := context.Background()
	counts := bytes.Equal(module, m.Bytes)
	runtime := wazero.NewRuntimeWithConfig(ctx, config)
	defer runtime.Close(ctx)
	if !provideZeros(runtime, m.Imports) {
		return []string{"no imports"}
	}
	if m.Start && !counts {
		return nil // it would start before anything limits it
	}
	compiled, err := runtime.CompileModule(ctx, module)
	if err != nil {
		t.Fatalf("an engine does not take it: %v: %s", err, keep(t, module))
	}
	instance, err := runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return []string{"no instance"}
	}
	get := func(name string) int32 { return int32(uint32(instance.ExportedGlobal(name).Get())) }
	set := func(name string, n int32) {
		instance.ExportedGlobal(name).(api.MutableGlobal).Set(uint64(uint32(n)))
	}
	for _, e := range callsOf(m) {
		if len(lines) == most {
			break
		}
		f := instance.ExportedFunction(e.Name)
		if counts {
			set(meter.ExportFuel, fuzzFuel)
			set(meter.ExportFrames, 0)
			set(meter.ExportSlots, 0)
			set(meter.ExportOOM, 0)
		}
		args := make([]uint64, len(f.Definition().ParamTypes()))
		for i, kind := range f.Definition().ParamTypes() {
			args[i] = []uint64{0, 7, 1 << 20, math.Float64bits(1.5)}[(i+len(lines))%4]
			if kind == api.ValueTypeI32 || kind == api.ValueTypeF32 {
				args[i] = uint64(uint32(args[i]))
			}
		}
		results, err := f.Call(ctx, args...)
		line := e.Name
		for i, kind := range f.Definition().ResultTypes() {
			if err == nil {
				line += fmt.Sprintf(" %x", canonical(kind, results[i]))
			}
		}
		if memory := instance.Memory(); memory != nil {
			all, _ := memory.Read(0, memory.Size())
			line += fmt.Sprintf(" memory %d %.6x", len(all), sha256.Sum256(all))
		}
		if counts {
			line += fmt.Sprintf(" | fuel %d, frames %d, slots %d, oom %d, trapped %v", get(meter.ExportFuel), get(meter.ExportFrames),
				get(meter.ExportSlots), get(meter.ExportOOM), err != nil)
			if err != nil && !isTrap(err) {
				t.Fatalf("a fault: %v: %s", err, keep(t, module))
			}
		}
		if lines = append(lines, line); err != nil {
			return lines // what a trap leaves in the middle of a call is compared, and nothing behind it
		}
	}
	return lines
}

// callsOf are the functions of a module that can be called, its start first.
func callsOf(m *meter.Metered) (calls []meter.Export) {
	if m.Start {
		calls = append(calls, meter.Export{Name: meter.ExportStart, Signature: "->"})
	}
	for _, e := range m.Exports {
		if e.Signature != "" {
			calls = append(calls, e)
		}
	}
	return calls
}

func canonical(kind api.ValueType, bits uint64) uint64 {
	switch {
	case kind == api.ValueTypeF32 && math.IsNaN(float64(math.Float32frombits(uint32(bits)))):
		return 0x7fc00000
	case kind == api.ValueTypeF64 && math.IsNaN(math.Float64frombits(bits)):
		return 0x7ff8 << 48
	case kind == api.ValueTypeI32 || kind == api.ValueTypeF32:
		return uint64(uint32(bits))
	}
	return bits
}

// provideZeros makes imports that do nothing, and reports whether they can be there together.
func provideZeros(runtime wazero.Runtime, imports []meter.Import) bool {
	types := map[string]api.ValueType{"i32": api.ValueTypeI32, "i64": api.ValueTypeI64, "f32": api.ValueTypeF32, "f64": api.ValueTypeF64}
	parse := func(text string) (kinds []api.ValueType) {
		for _, name := range strings.Fields(text) {
			kinds = append(kinds, types[name])
		}
		return kinds
	}
	modules := map[string]wazero.HostModuleBuilder{}
	for _, i := range imports {
		builder, ok := modules[i.Module]
		if !ok {
			builder = runtime.NewHostModuleBuilder(i.Module)
			modules[i.Module] = builder
		}
		params, results, _ := strings.Cut(i.Signature, "->")
		n := len(parse(results))
		builder.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
			clear(stack[:n])
		}), parse(params), parse(results)).Export(i.Name)
	}
	for _, builder := range modules {
		if _, err := builder.Instantiate(context.Background()); err != nil {
			return false
		}
	}
	return true
}

// TestSeeds: the modules that are kept compute, metered, what they did before.
func TestSeeds(t *testing.T) {
	v := startV8(t)
	for _, name := range seeds(t) {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !checkModule(t, content, true, v) {
			t.Errorf("%s is not accepted", name)
		}
	}
}

// TestSoakModules makes modules of random bytes by wasm-opt, where it is installed, and changes bytes of them, for as
// long as SKERRY_FUZZ_TIME says (an hour). Of each it also makes guests, which judge logs by the real host functions, as
// mutants of guests do that people wrote.
func TestSoakModules(t *testing.T) {
	if os.Getenv("SKERRY_SOAK") == "" {
		t.Skip("SKERRY_SOAK=1 runs it")
	}
	tool, err := exec.LookPath("wasm-opt")
	if err != nil {
		t.Skip("wasm-opt is not installed (Debian: binaryen)")
	}
	limit, err := time.ParseDuration(os.Getenv("SKERRY_FUZZ_TIME"))
	if err != nil {
		limit = time.Hour
	}
	seed := rand.Uint64()
	t.Logf("seed %d, for %v", seed, limit)
	r := rand.New(rand.NewPCG(seed, 0))
	v, s := startV8(t), newTrials(t, quick, thorough)
	made, accepted, mutated, valid := 0, 0, 0, 0
	for end := time.Now().Add(limit); time.Now().Before(end); {
		module := makeModule(t, tool, r)
		made++
		if checkModule(t, module, true, v) {
			accepted++
			s.some(t, r, module)
		}
		for range 20 {
			mutated++
			if checkModule(t, mutate(r, module), false, v) {
				valid++
			}
		}
		if made%500 == 0 {
			t.Logf("%d modules, %d of them accepted; %d mutants, %d accepted", made, accepted, mutated, valid)
			t.Log(s.told())
		}
	}
	t.Logf("done: %d modules, %d of them accepted; %d mutants, %d accepted; no difference", made, accepted, mutated, valid)
	t.Log(s.told())
	if accepted == 0 || valid == 0 {
		t.Error("nothing was accepted")
	}
}

// makeModule makes a module of random bytes, without NaNs, so that it does the same everywhere.
func makeModule(t *testing.T, tool string, r *rand.Rand) []byte {
	dir := t.TempDir()
	input, output := filepath.Join(dir, "in"), filepath.Join(dir, "out.wasm")
	random := make([]byte, 200+r.IntN(6000))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	if err := os.WriteFile(input, random, 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{input, "-ttf", "--denan", "--mvp-features", "--enable-sign-ext", "--enable-nontrapping-float-to-int", "--enable-multivalue", "-o", output}
	for _, pass := range []string{"-O1", "-O3", "--enable-bulk-memory"} {
		if r.IntN(3) == 0 {
			args = append(args, pass)
		}
	}
	if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
		t.Fatalf("wasm-opt: %v: %s", err, out)
	}
	module, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	_ = os.RemoveAll(dir)
	return module
}

// mutate changes a few bytes.
func mutate(r *rand.Rand, module []byte) []byte {
	changed := slices.Clone(module)
	for range 1 + r.IntN(3) {
		changed[8+r.IntN(len(changed)-8)] ^= byte(1 << r.IntN(8))
	}
	return changed
}
