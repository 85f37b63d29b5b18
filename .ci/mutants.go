//go:build ignore

// Command mutants shows that every safety fix has a test that fails without it. Each testdata/mutants/*.patch takes
// one fix out of the tree; its header names the test that must notice:
//
//	# package: ./shared/hub
//	# run: TestDuplicateTransaction
//	# env: SKERRY_SIM_SEEDS=50
//
// The tree (with what is not committed yet) is copied to build/mutants/tree, and for each patch the test is seen to
// pass, the patch applied, the test seen to fail, and the patch taken back. A test that still passes is a failure; so
// is a patch that does not apply, one that does not compile, or a header that names no test.
//
// Stable: the header's keys, and the closing line "N passed, N failed".
//
// Run it by `go run .ci/mutants.go` from the root of the tree.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
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
	verbose := flag.Bool("v", false, "print what each failing test said")
	flag.Parse()
	os.Exit(run(*only, *verbose, os.Stdout))
}

func run(only string, verbose bool, out io.Writer) int {
	filter, err := regexp.Compile(only)
	if err != nil {
		fmt.Fprintln(out, "mutants:", err)
		return 2
	}
	names, err := filepath.Glob(filepath.Join(patches, "*.patch"))
	if err != nil || len(names) == 0 {
		fmt.Fprintln(out, "mutants: no patches in", patches)
		return 1
	}
	bench, err := newBench(work)
	if err != nil {
		fmt.Fprintln(out, "mutants:", err)
		return 1
	}
	passed, failed := 0, 0
	for _, name := range names {
		if !filter.MatchString(filepath.Base(name)) {
			continue
		}
		start := time.Now()
		m, said, err := bench.try(name)
		took := time.Since(start).Round(100 * time.Millisecond)
		if err != nil {
			failed++
			fmt.Fprintf(out, "FAIL  %-40s %6s  %v\n", filepath.Base(name), took, err)
			continue
		}
		passed++
		fmt.Fprintf(out, "ok    %-40s %6s  noticed by %s %s\n", filepath.Base(name), took, m.pkg, m.run)
		if verbose {
			fmt.Fprintf(out, "%s\n", said)
		}
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		return 1
	}
	return 0
}

// A mutant is one patch and the test that must notice it.
type mutant struct {
	pkg, run string
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

// A bench is a copy of the tree on which mutants are tried, one after the other.
type bench struct {
	tree   string // absolute
	binary string // the compiled test, absolute
	passes map[string]error
}

// newBench copies every file that git knows or does not ignore. The place is always the same one, so that Go's build
// cache serves the next run.
func newBench(dir string) (*bench, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	b := &bench{
		tree:   filepath.Join(root, "tree"),
		binary: filepath.Join(root, "mutant.test"),
		passes: map[string]error{},
	}
	if err := os.RemoveAll(b.tree); err != nil {
		return nil, err
	}
	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return nil, fmt.Errorf("list the tree by git: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		if err := copyFile(name, filepath.Join(b.tree, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("copy the tree: %w", err)
		}
	}
	return b, nil
}

// copyFile keeps the mode and the modification time, by which Go decides whether a test's result in its cache holds.
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
	if err := os.WriteFile(to, text, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

// try returns nil if the mutant's test passes on the tree as it is and fails with the patch applied.
func (b *bench) try(name string) (mutant, []byte, error) {
	m, err := readMutant(name)
	if err != nil {
		return m, nil, err
	}
	if err := b.passesUnchanged(m); err != nil {
		return m, nil, err
	}
	if err := b.apply(m.patch); err != nil {
		return m, nil, err
	}
	said, err := b.noticed(m)
	return m, said, errors.Join(err, b.apply(m.patch, "--reverse"))
}

// passesUnchanged sees the test run and pass without any patch: else its failure with one would show nothing.
func (b *bench) passesUnchanged(m mutant) error {
	key := strings.Join(append([]string{m.pkg, m.run}, m.env...), "\x00")
	err, done := b.passes[key]
	if !done {
		var said []byte
		said, err = b.command(m.env, b.tree, "go", "test", "-run", m.run, m.pkg)
		if err != nil {
			err = fmt.Errorf("%s fails without the patch too: %w\n%s", m.run, err, said)
		} else if bytes.Contains(said, []byte("no tests to run")) || bytes.Contains(said, []byte("no test files")) {
			err = fmt.Errorf("no test of %s is named %s", m.pkg, m.run)
		}
		b.passes[key] = err
	}
	return err
}

// apply applies a patch to the copy. The copy lies inside a work tree of git's, which it must not be taken for.
func (b *bench) apply(patch []byte, flags ...string) error {
	cmd := exec.Command("git", append([]string{"apply", "--whitespace=nowarn"}, append(flags, "-")...)...)
	cmd.Dir = b.tree
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(b.tree))
	cmd.Env = without(cmd.Env, "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
	cmd.Stdin = bytes.NewReader(patch)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the patch does not apply: %w\n%s", err, said)
	}
	return nil
}

// noticed compiles the mutated test, runs it and returns nil if it failed as tests fail.
func (b *bench) noticed(m mutant) ([]byte, error) {
	os.Remove(b.binary)
	if said, err := b.command(nil, b.tree, "go", "test", "-c", "-o", b.binary, m.pkg); err != nil {
		return said, fmt.Errorf("the mutant does not compile: %w\n%s", err, said)
	}
	said, err := b.command(m.env, filepath.Join(b.tree, m.pkg), b.binary, "-test.run="+m.run, "-test.failfast",
		"-test.timeout="+hang.String())
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

func (b *bench) command(env []string, dir, name string, args ...string) ([]byte, error) {
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
