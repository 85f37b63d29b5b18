package wasmengine

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/wire"
)

// quick and thorough are V8 as pages have it, and with its optimizing compiler for all that runs.
const (
	quick    = "--liftoff"
	thorough = "--no-liftoff"
)

// trials runs modules that nobody wrote with all that the ABI has, on three engines: wazero's compiler and interpreter, and
// V8 by the client's own package jsengine, compiled for js and run in Node.
type trials struct {
	engines [2]*Engine // compiled, interpreted
	v8      []*judge   // that take turns; none where Node is missing
	tally   moduletest.Tally
	calls   map[string][2]int // of host functions: how often, and how often the module had to trap
}

func newTrials(t testing.TB, v8 ...string) *trials {
	s := &trials{tally: moduletest.Tally{Codes: map[wire.Code]int{}}, calls: map[string][2]int{}}
	plain := maps.Clone(hostFunctions)
	for name, f := range plain { // the compiler's calls are counted, which are the others' too
		call := f.call
		f.call = func(m *machine, stack []uint64) bool {
			ok := call(m, stack)
			n := s.calls[name]
			if n[0]++; !ok {
				n[1]++
			}
			s.calls[name] = n
			return ok
		}
		hostFunctions[name] = f
	}
	s.engines[0] = newEngine(t, Options{})
	maps.Copy(hostFunctions, plain)
	s.engines[1] = newEngine(t, Options{Interpreter: true})
	for _, flag := range v8 {
		if j := startJudge(t, flag); j != nil {
			s.v8 = append(s.v8, j)
		}
	}
	return s
}

// check runs a trial on all engines and wants them to tell the same.
func (s *trials) check(t *testing.T, trial *moduletest.Trial) {
	t.Helper()
	ignored := &moduletest.Tally{Codes: map[wire.Code]int{}}
	compiled, err := judgeBy(s.engines[0], trial, &s.tally)
	if err != nil {
		t.Fatalf("compiled: %v: %s", err, keepTrial(t, trial))
	}
	interpreted, err := judgeBy(s.engines[1], trial, ignored)
	if err != nil {
		t.Fatalf("interpreted: %v: %s", err, keepTrial(t, trial))
	}
	sameLines(t, trial, "the interpreter", interpreted, compiled)
	if len(s.v8) == 0 {
		return
	}
	inV8, err := s.v8[s.tally.Trials%len(s.v8)].judge(trial)
	if err != nil {
		t.Fatalf("V8: %v: %s", err, keepTrial(t, trial))
	}
	sameLines(t, trial, "V8", inV8, compiled)
}

func judgeBy(e *Engine, trial *moduletest.Trial, tally *moduletest.Tally) ([]string, error) {
	var all []*Machines
	lines, err := trial.Run(func(p *program.Program) (program.Machines, error) {
		m, err := e.Machines(p)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
		return m, nil
	}, tally)
	for _, m := range all {
		m.Release()
	}
	return lines, err
}

func sameLines(t *testing.T, trial *moduletest.Trial, who string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		a, b := "(nothing)", "(nothing)"
		if i < len(got) {
			a = got[i]
		}
		if i < len(want) {
			b = want[i]
		}
		if a != b {
			t.Fatalf("%s differs from the compiler in line %d:\n%s\n%s\n%s", who, i, a, b, keepTrial(t, trial))
		}
	}
}

// keepTrial writes a trial to where it can be looked at.
func keepTrial(t *testing.T, trial *moduletest.Trial) string {
	content, err := json.Marshal(trial)
	path := filepath.Join(os.TempDir(), "trial-"+digest.Of(trial.Module).String()[:12]+".json")
	if err == nil {
		err = os.WriteFile(path, content, 0o644)
	}
	if err != nil {
		t.Log(err)
	}
	return path
}

// told says what the trials did so far.
func (s *trials) told() string {
	var codes, calls []string
	own := 0
	for _, code := range slices.Sorted(maps.Keys(s.tally.Codes)) {
		switch n := s.tally.Codes[code]; {
		case code == 0:
			codes = append(codes, fmt.Sprintf("yes %d", n))
		case code > wire.CodeModuleOwn:
			own += n
		default:
			codes = append(codes, fmt.Sprintf("%v %d", code, n))
		}
	}
	codes = append(codes, fmt.Sprintf("codes of modules' own %d", own))
	for _, name := range slices.Sorted(maps.Keys(s.calls)) {
		calls = append(calls, fmt.Sprintf("%s %d (%d trapped)", name, s.calls[name][0], s.calls[name][1]))
	}
	return fmt.Sprintf("%d trials, %d modules loaded, %d spaces begun, %d transactions of %d events, %d upgrades, %d calls of modules; verdicts: %s; host calls: %s",
		s.tally.Trials, s.tally.Loaded, s.tally.Begun, s.tally.Transactions, s.tally.Events, s.tally.Upgrades, s.tally.Calls, strings.Join(codes, ", "), strings.Join(calls, ", "))
}

// judge is package jsengine in Node, which runs trials.
type judge struct {
	in  io.Writer
	out *bufio.Reader
}

// startJudge builds the tests of package jsengine and starts them, where Node is installed.
func startJudge(t testing.TB, flag string) *judge {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Log("node is not installed: V8 is not compared")
		return nil
	}
	built := filepath.Join(t.TempDir(), "judge.wasm")
	build := exec.Command("go", "test", "-c", "-o", built, "skerry/wasmclient/internal/jsengine")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v: %s", err, out)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(node, flag, "testdata/judge.mjs", filepath.Join(strings.TrimSpace(string(root)), "lib/wasm/wasm_exec.js"),
		"../../wasmclient/internal/jsengine/glue.js", built, "-test.run=^TestTrials$", "-test.timeout=0")
	command.Env = append(os.Environ(), "SKERRY_TRIALS=1")
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := command.Wait(); err != nil {
			t.Errorf("V8: %v", err)
		}
	})
	return &judge{in, bufio.NewReader(out)}
}

func (j *judge) judge(trial *moduletest.Trial) ([]string, error) {
	line, err := json.Marshal(trial)
	if err == nil {
		_, err = j.in.Write(append(line, '\n'))
	}
	if err == nil {
		line, err = j.out.ReadBytes('\n')
	}
	var answer struct {
		Lines []string
		Fault string
	}
	if err == nil {
		err = json.Unmarshal(line, &answer)
	}
	if err == nil && answer.Fault != "" {
		err = errors.New(answer.Fault)
	}
	return answer.Lines, err
}

// FuzzTrial changes whole modules, manifests and all, and logs. It compares the two engines of wazero.
func FuzzTrial(f *testing.F) {
	f.Add(moduletest.Chat(), uint64(1))
	f.Add(moduletest.Members(nil), uint64(2))
	f.Add(moduletest.Probe(), uint64(3))
	s := newTrials(f)
	f.Fuzz(func(t *testing.T, module []byte, seed uint64) {
		s.check(t, &moduletest.Trial{Module: module, Others: [][]byte{moduletest.Chat()}, Seed: seed, Fuel: fuzzFuel})
	})
}

// TestTrials: engines tell the same of modules that nobody wrote, whatever those ask of the host.
func TestTrials(t *testing.T) {
	if raceDetector {
		t.Skip("runs without the race detector: make unit")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := newTrials(t, quick)
	made, err := os.ReadFile("testdata/modules/made-1.wasm")
	if err != nil {
		t.Fatal(err)
	}
	if !testing.Short() {
		s.check(t, &moduletest.Trial{Module: built(t, goChat), Others: [][]byte{moduletest.Chat()}, Seed: seed, Fuel: program.Fuel})
	}
	for n := range uint64(12) {
		s.some(t, rand.New(rand.NewPCG(seed, n)), made)
	}
	t.Log(s.told())
}

// some runs a few trials, of mutants and of a module that wasm-opt made.
func (s *trials) some(t *testing.T, r *rand.Rand, made []byte) {
	for n := range 6 {
		trial, err := moduletest.MutantTrial(r)
		if n < 2 {
			trial, err = moduletest.AdaptedTrial(r, made)
		}
		if err != nil {
			t.Fatalf("%v: %s", err, keep(t, made))
		}
		s.check(t, trial)
	}
}
