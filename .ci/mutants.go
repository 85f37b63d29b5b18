//go:build ignore

// Command mutants shows that every safety fix has a test that fails without it. Each testdata/mutants/*.patch takes
// one fix out of the tree; its header names the test that must notice:
//
//	# package: ./shared/hub
//	# run: TestDuplicateTransaction
//	# env: SKERRY_SIM_SEEDS=50
//	# browser: chromium
//
// The last two may be missing; with a browser the package is compiled for js and runs there, which takes seconds.
//
// The tree (with what is not committed yet) is copied to build/mutants, once for each worker. The packages' tests are
// compiled unchanged; for each patch its test is seen to pass, the patch applied, the test seen to fail, and the patch
// taken back. A test that still passes is a failure; so is a patch that does not apply, one that does not compile, or
// a header that names no test.
//
// make test tries 15 of them, drawn by the commit, since all take more than a quarter of the time that it may; make mutants
// and make soak try all.
//
// Stable: the header's keys, the order by name, and the closing line "N passed, N failed".
//
// Run it by `go run .ci/mutants.go` from the root of the tree.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	patches = "testdata/mutants"
	work    = "build/mutants"
	// hang is how long a mutated test may run: taking a fix out may well make it wait for ever.
	hang = 2 * time.Minute
)

func main() {
	only := flag.String("only", "", "run only the patches whose name matches this regular expression")
	some := flag.Int("some", fromEnvironment("SKERRY_MUTANTS"), "run only so many of them, drawn by the seed; 0: all")
	seed := flag.Uint64("seed", seedOfCommit(), "what is drawn by; without it, the commit")
	workers := flag.Int("workers", min(2, runtime.NumCPU()), "how many mutants are tried at once")
	verbose := flag.Bool("v", false, "print what each failing test said")
	flag.Parse()
	os.Exit(run(*only, draw{*some, *seed}, max(1, *workers), *verbose, os.Stdout))
}

// A draw is so many mutants of all: each commit has others.
type draw struct {
	some int
	seed uint64
}

func (d draw) of(names []string, out io.Writer) []string {
	if d.some == 0 || d.some >= len(names) {
		return names
	}
	fmt.Fprintf(out, "seed %d: %d of %d; -seed %d repeats them, make mutants runs all\n", d.seed, d.some, len(names), d.seed)
	r := rand.New(rand.NewPCG(d.seed, 0))
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	names = names[:d.some]
	slices.Sort(names)
	return names
}

func fromEnvironment(name string) int {
	n, _ := strconv.Atoi(os.Getenv(name))
	return max(0, n)
}

func seedOfCommit() uint64 {
	commit, _ := exec.Command("git", "rev-parse", "HEAD").Output()
	h := fnv.New32a()
	h.Write(commit)
	return uint64(h.Sum32())
}

func run(only string, drawn draw, workers int, verbose bool, out io.Writer) int {
	names, err := named(only)
	if err != nil {
		fmt.Fprintln(out, "mutants:", err)
		return 2
	}
	names = drawn.of(names, out)
	results := make([]result, len(names))
	for i, name := range names {
		results[i] = result{name: name, done: make(chan struct{})}
		results[i].mutant, results[i].err = readMutant(name)
	}
	b, err := newBench(work, workers, results)
	if err != nil {
		fmt.Fprintln(out, "mutants:", err)
		return 1
	}
	next := make(chan *result, len(results))
	for i := range results {
		next <- &results[i]
	}
	close(next)
	for _, tree := range b.trees {
		go func() {
			for r := range next {
				start := time.Now()
				if r.err == nil {
					r.said, r.err = b.try(tree, r.mutant)
				}
				r.took = time.Since(start).Round(100 * time.Millisecond)
				close(r.done)
			}
		}()
	}
	failed := 0
	for i := range results {
		r := &results[i]
		<-r.done
		if r.err != nil {
			failed++
			fmt.Fprintf(out, "FAIL  %-40s %6s  %v\n", filepath.Base(r.name), r.took, r.err)
			continue
		}
		fmt.Fprintf(out, "ok    %-40s %6s  noticed by %s %s\n", filepath.Base(r.name), r.took, r.mutant.pkg, r.mutant.run)
		if verbose {
			fmt.Fprintf(out, "%s\n", r.said)
		}
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", len(results)-failed, failed)
	if failed > 0 {
		return 1
	}
	return 0
}

// named returns the patches whose name matches, by name. There is at least one.
func named(only string) ([]string, error) {
	filter, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	all, err := filepath.Glob(filepath.Join(patches, "*.patch"))
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(all, func(name string) bool { return !filter.MatchString(filepath.Base(name)) })
	if len(names) == 0 {
		return nil, fmt.Errorf("no patch in %s matches %q", patches, only)
	}
	return names, nil
}

// A result is what became of one mutant, once done is closed.
type result struct {
	name   string
	mutant mutant
	said   []byte
	took   time.Duration
	err    error
	done   chan struct{}
}

// A mutant is one patch and the test that must notice it.
type mutant struct {
	pkg, run string
	browser  string // which runs the test; empty for none
	env      []string
	patch    []byte // without the header
}

// readMutant reads a patch. The header's lines begin with "#", which no line of a patch's own does.
func readMutant(name string) (mutant, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return mutant{}, err
	}
	var m mutant
	for line := range strings.Lines(string(text)) {
		comment, isHeader := strings.CutPrefix(line, "#")
		if !isHeader {
			m.patch = append(m.patch, line...)
			continue
		}
		key, value, _ := strings.Cut(comment, ":")
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "package":
			m.pkg = value
		case "run":
			m.run = value
		case "env":
			m.env = append(m.env, value)
		case "browser":
			m.browser = value
		}
	}
	if m.pkg == "" || m.run == "" {
		return m, errors.New("the header lacks \"# package:\" or \"# run:\"")
	}
	if len(bytes.TrimSpace(m.patch)) == 0 {
		return m, errors.New("the patch is empty")
	}
	return m, nil
}

// platform returns what the go command compiles the mutant for: "js" or "native", which is also a directory's name.
func (m *mutant) platform() string {
	if m.browser != "" {
		return "js"
	}
	return "native"
}

// A bench is where mutants are tried: copies of the tree, each for one at a time, and all tests as they are.
type bench struct {
	root  string // absolute
	trees []string

	mu     sync.Mutex
	passes map[string]func() error // by package, test, environment and browser: whether it passes unchanged
}

// newBench copies the tree and compiles the tests. The places are always the same ones, and the copies' paths are in no
// binary, so that Go's build cache serves all copies and the next run.
func newBench(dir string, workers int, results []result) (*bench, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(root); err != nil {
		return nil, err
	}
	b := &bench{root: root, passes: map[string]func() error{}}
	for i := range workers {
		b.trees = append(b.trees, filepath.Join(root, fmt.Sprintf("tree%d", i+1)))
		if err := copyTree(b.trees[i]); err != nil {
			return nil, fmt.Errorf("copy the tree: %w", err)
		}
	}
	packages := map[string]map[string]bool{"native": {}, "js": {}}
	for i := range results {
		if m := &results[i].mutant; results[i].err == nil {
			packages[m.platform()][m.pkg] = true
		}
	}
	for platform, set := range packages {
		if len(set) == 0 {
			continue
		}
		if said, err := b.compile(b.trees[0], platform, b.unchanged(platform, "")+"/", slices.Sorted(maps.Keys(set))...); err != nil {
			return nil, fmt.Errorf("the tests do not compile: %w\n%s", err, said)
		}
	}
	if len(packages["js"]) > 0 {
		said, err := command(nil, b.trees[0], "go", "build", "-o", b.browsertest(), "./wasmclient/internal/browsertest")
		if err != nil {
			return nil, fmt.Errorf("compile what runs tests in a browser: %w\n%s", err, said)
		}
	}
	return b, nil
}

// copyTree copies every file that git knows or does not ignore.
func copyTree(to string) error {
	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("list it by git: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		if err := copyFile(name, filepath.Join(to, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil || info.IsDir() {
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	return os.WriteFile(to, text, info.Mode().Perm())
}

// unchanged returns where a package's test is, compiled as it is.
func (b *bench) unchanged(platform, pkg string) string {
	dir := filepath.Join(b.root, platform)
	if pkg == "" {
		return dir
	}
	return filepath.Join(dir, filepath.Base(pkg)+".test")
}

func (b *bench) browsertest() string { return filepath.Join(b.root, "browsertest") }

// compile compiles packages' tests, without what only a debugger reads. The compiler and the linker are short-lived and
// seldom collect their garbage, which saves a fifth of the time.
func (b *bench) compile(tree, platform, to string, packages ...string) ([]byte, error) {
	env := []string{"CGO_ENABLED=0", "GOGC=400"}
	if platform == "js" {
		env = append(env, "GOOS=js", "GOARCH=wasm")
	}
	return command(env, tree, "go", append([]string{"test", "-c", "-trimpath", "-ldflags=-s -w", "-o", to}, packages...)...)
}

// try returns nil if the mutant's test passes on the tree as it is and fails with the patch applied.
func (b *bench) try(tree string, m mutant) ([]byte, error) {
	if err := b.passesUnchanged(tree, m); err != nil {
		return nil, err
	}
	if err := apply(tree, m.patch); err != nil {
		return nil, err
	}
	said, err := b.noticed(tree, m)
	return said, errors.Join(err, apply(tree, m.patch, "--reverse"))
}

// passesUnchanged sees the test run and pass without any patch: else its failure with one would show nothing.
func (b *bench) passesUnchanged(tree string, m mutant) error {
	key := strings.Join(append([]string{m.browser, m.pkg, m.run}, m.env...), "\x00")
	b.mu.Lock()
	passes := b.passes[key]
	if passes == nil {
		passes = sync.OnceValue(func() error {
			said, err := b.test(tree, m, b.unchanged(m.platform(), m.pkg))
			if err != nil {
				return fmt.Errorf("%s fails without the patch too: %w\n%s", m.run, err, said)
			}
			if bytes.Contains(said, []byte("no tests to run")) {
				return fmt.Errorf("no test of %s is named %s", m.pkg, m.run)
			}
			return nil
		})
		b.passes[key] = passes
	}
	b.mu.Unlock()
	return passes()
}

// apply applies a patch to a copy. The copy lies inside a work tree of git's, which it must not be taken for.
func apply(tree string, patch []byte, flags ...string) error {
	cmd := exec.Command("git", append([]string{"apply", "--whitespace=nowarn"}, append(flags, "-")...)...)
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(tree))
	cmd.Env = without(cmd.Env, "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
	cmd.Stdin = bytes.NewReader(patch)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the patch does not apply: %w\n%s", err, said)
	}
	return nil
}

// noticed compiles the mutated test, runs it and returns nil if it failed as tests fail.
func (b *bench) noticed(tree string, m mutant) ([]byte, error) {
	binary := tree + ".test"
	defer os.Remove(binary)
	if said, err := b.compile(tree, m.platform(), binary, m.pkg); err != nil {
		return said, fmt.Errorf("the mutant does not compile: %w\n%s", err, said)
	}
	said, err := b.test(tree, m, binary)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return said, fmt.Errorf("SURVIVED: %s %s passes without the fix", m.pkg, m.run)
	case !errors.As(err, &exit):
		return said, fmt.Errorf("run the test: %w", err)
	case !bytes.Contains(said, []byte("--- FAIL")) && !bytes.Contains(said, []byte("panic:")) &&
		!bytes.Contains(said, []byte("fatal error:")):
		return said, fmt.Errorf("the test ended without failing: %w\n%s", err, said)
	}
	return said, nil
}

// test runs the mutant's test by a binary, in a copy of the tree.
func (b *bench) test(tree string, m mutant, binary string) ([]byte, error) {
	args := []string{binary, "-test.run=" + m.run, "-test.failfast", "-test.timeout=" + hang.String()}
	env := m.env
	if m.browser != "" {
		args = append([]string{b.browsertest()}, args...)
		env = append(slices.Clip(env), "SKERRY_ENGINE="+m.browser, "BROWSERTEST_TIMEOUT="+(hang+hang/4).String())
	}
	return command(env, filepath.Join(tree, m.pkg), args[0], args[1:]...)
}

func command(env []string, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	return cmd.CombinedOutput()
}

// without returns env without some variables.
func without(env []string, names ...string) []string {
	var rest []string
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		keep := true
		for _, n := range names {
			keep = keep && n != name
		}
		if keep {
			rest = append(rest, entry)
		}
	}
	return rest
}
