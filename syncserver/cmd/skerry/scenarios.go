package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/module/program"
)

// moduleTest plays the tests of a module.
func moduleTest(ctx context.Context, c *console, args []string) error {
	set := c.flags("module test")
	only := set.String("run", "", "play only tests whose names match a `regexp`")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() == 0 {
		return usagef("needs the file or the source of a module, and files of tests (without them: all *.tests beside it)")
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return usagef("--run %q: %v", *only, err)
	}
	files, err := testFiles(set.Arg(0), set.Args()[1:])
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return usagef("there are no files *.tests beside %s, and none is named", set.Arg(0))
	}
	content, p, err := c.loadModule(ctx, set.Arg(0))
	if err != nil {
		return err
	}
	result, err := c.playFiles(ctx, content, p, files, pattern, func(v *testView) error { return c.print(v, "%s", v.text()) })
	if err != nil {
		return err
	}
	if result.failed > 0 {
		return fmt.Errorf("%d of %d tests failed", result.failed, result.passed+result.failed)
	}
	if !c.json {
		fmt.Fprintln(c.out, result)
	}
	return nil
}

// testFiles returns the files of tests that are named, or else those beside a module.
func testFiles(module string, named []string) ([]string, error) {
	if len(named) > 0 {
		return named, nil
	}
	dir := module
	if !isDir(module) {
		dir = filepath.Dir(module)
	}
	return filepath.Glob(filepath.Join(dir, "*.tests"))
}

// tally is how tests went.
type tally struct{ passed, failed int }

func (t tally) String() string {
	switch {
	case t.failed > 0:
		return fmt.Sprintf("%d of %d tests failed", t.failed, t.passed+t.failed)
	case t.passed == 1:
		return "1 test passed"
	}
	return fmt.Sprintf("%d tests passed", t.passed)
}

// testView is how a test went, as --json prints it.
type testView struct {
	Test         string   `json:"test"`
	File         string   `json:"file"`
	Line         int      `json:"line"` // of the step that failed, or else of the test
	Passed       bool     `json:"passed"`
	Transactions int      `json:"transactions"`
	Fuel         uint64   `json:"fuel"` // most that a transaction took
	Step         string   `json:"step,omitempty"`
	Want         string   `json:"want,omitempty"`
	Got          string   `json:"got,omitempty"`
	Tables       []string `json:"tables,omitempty"`
	Log          []string `json:"log,omitempty"`
}

// playFiles plays the tests of files by a module, and tells how each went. An error is of what they are made of, or tell's.
func (c *console) playFiles(ctx context.Context, content []byte, p *program.Program, files []string, only *regexp.Regexp, tell func(*testView) error) (tally, error) {
	var result tally
	var all []scenario
	for _, file := range files {
		of, err := readScenarios(file)
		if err != nil {
			return result, err
		}
		all = append(all, of...)
	}
	engine, err := newTryEngine(c.logged)
	if err != nil {
		return result, err
	}
	defer engine.engine.Close()
	engine.add(content)
	others := map[string]digest.Digest{}
	load := func(name string) (digest.Digest, error) {
		if d, ok := others[name]; ok {
			return d, nil
		}
		content, _, err := c.loadModule(ctx, name)
		if err != nil {
			return digest.Digest{}, err
		}
		others[name] = engine.add(content)
		return others[name], nil
	}
	for i := range all {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		if !only.MatchString(all[i].name) {
			continue
		}
		v := playOne(&all[i], &stage{engine: engine, tested: p.Digest, load: load})
		if result.passed++; !v.Passed {
			result.passed--
			result.failed++
		}
		if err := tell(v); err != nil {
			return result, err
		}
	}
	if result == (tally{}) {
		return result, usagef("no test is called %q", only)
	}
	return result, nil
}

func playOne(of *scenario, s *stage) *testView {
	defer s.close()
	v := &testView{Test: of.name, File: of.file, Line: of.line, Passed: true}
	at, err := s.play(of)
	v.Transactions, v.Fuel = s.count, s.fuel
	if err == nil {
		return v
	}
	v.Passed, v.Line, v.Step, v.Got, v.Tables, v.Log = false, at.line, at.text, err.Error(), s.tables(), s.logged
	var other *mismatch
	if errors.As(err, &other) {
		v.Want, v.Got = other.want, other.got
	}
	return v
}

func (v *testView) text() string {
	if v.Passed {
		return fmt.Sprintf("ok    %s (at most %d fuel)", v.Test, v.Fuel)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "FAIL  %s\n      %s:%d: %s", v.Test, v.File, v.Line, v.Step)
	if v.Want != "" {
		fmt.Fprintf(&b, "\n      want  %s\n      got   %s", v.Want, v.Got)
	} else {
		fmt.Fprintf(&b, "\n      %s", v.Got)
	}
	for _, line := range v.Log {
		fmt.Fprintf(&b, "\n      log: %s", line)
	}
	for _, line := range v.Tables {
		fmt.Fprintf(&b, "\n      %s", line)
	}
	return b.String()
}
