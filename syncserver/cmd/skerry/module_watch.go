package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module/program"
	"skerry/shared/space"
)

// watchPause is how often files are looked at. It works on every system and file system, and costs nothing for some files.
const watchPause = 200 * time.Millisecond

// watcher makes a module anew whenever its source changes.
type watcher struct {
	*console
	place
	source   string
	named    []string // files of tests; none: those beside the source
	out      string
	space    *space.ID
	compiler compiler
}

// moduleWatch makes a module whenever its source changes, tests it, and gives it to a server, until it is interrupted.
func moduleWatch(ctx context.Context, c *console, args []string) error {
	set := c.flags("module watch")
	p := c.placeFlags(set, false)
	out := set.String("out", "", "the `file` to write the module to, when its tests pass")
	id := set.String("space", "", "`ID` of a space that is taken over to each module whose tests pass")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() == 0 {
		return usagef("needs a source in AssemblyScript (.ts) or the directory of a Go program")
	}
	w := &watcher{console: c, place: *p, source: set.Arg(0), named: set.Args()[1:], out: *out}
	if _, err := os.Stat(w.source); err != nil {
		return err
	}
	if err := checkSource(w.source); err != nil {
		return err
	}
	if (p.url == "") == p.who.given() || *id != "" && p.url == "" {
		return usagef("--url needs --identity, and --space needs both")
	}
	if *id != "" {
		d, err := digest.Parse(*id)
		if err != nil {
			return usagef("--space %q is no ID of a space", *id)
		}
		w.space = &d
	}
	return w.watch(ctx)
}

func (w *watcher) watch(ctx context.Context) error {
	pause := time.NewTicker(watchPause)
	defer pause.Stop()
	defer w.compiler.close()
	var seen map[string]string
	for {
		now, err := w.files()
		if err != nil {
			return err
		}
		if !maps.Equal(now, seen) {
			seen = now // what changes meanwhile is seen the next time
			v := w.round(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if err := w.print(v, "%s\n", v.text()); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
	}
}

// watchedKinds are the endings of files that a module is made of and tested by. A server's data may lie beside them.
var watchedKinds = map[string]bool{".ts": true, ".go": true, ".mod": true, ".sum": true, ".tests": true}

// files returns how each file is that may matter: those in the source's directory and below, and the tests that are named.
func (w *watcher) files() (map[string]string, error) {
	found := map[string]string{}
	add := func(path string, info fs.FileInfo) {
		found[path] = fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
	}
	root := w.source
	if !isDir(root) {
		root = filepath.Dir(root)
	}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if path != root && errors.Is(err, fs.ErrNotExist) { // it went meanwhile
			return nil
		}
		if err != nil {
			return err
		}
		name := entry.Name()
		switch {
		case path != root && (strings.HasPrefix(name, ".") || name == "node_modules"):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir() || !watchedKinds[filepath.Ext(name)]:
			return nil
		}
		if info, err := entry.Info(); err == nil {
			add(path, info)
		}
		return nil
	})
	for _, name := range w.named {
		if info, err := os.Stat(name); err == nil {
			add(name, info)
		}
	}
	return found, err
}

// roundView is what came of a change, as --json prints it.
type roundView struct {
	Name     string      `json:"name,omitempty"`
	Version  string      `json:"version,omitempty"`
	Digest   string      `json:"digest,omitempty"`
	Size     int         `json:"size,omitempty"`
	Passed   int         `json:"passed"`
	Failed   []*testView `json:"failed"`
	Warnings []string    `json:"warnings"`
	URL      string      `json:"url,omitempty"` // the server that has it
	Space    string      `json:"space,omitempty"`
	Seq      uint64      `json:"seq,omitempty"` // of the record that took the space over; 0: it was of that module
	Error    string      `json:"error,omitempty"`

	identity string
}

// round does everything once.
func (w *watcher) round(ctx context.Context) *roundView {
	v := &roundView{Failed: []*testView{}, Warnings: []string{}, identity: w.who.name}
	if err := w.try(ctx, v); err != nil {
		v.Error = err.Error()
	}
	return v
}

func (w *watcher) try(ctx context.Context, v *roundView) error {
	content, err := w.build(ctx)
	if err != nil {
		return err
	}
	p, err := program.Load(content)
	if err != nil {
		return err
	}
	v.Name, v.Version, v.Digest, v.Size, v.Warnings = p.Manifest.Name, p.Manifest.Version, p.Digest.String(), len(content), warnings(p)
	files, err := testFiles(w.source, w.named)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		v.Warnings = append(v.Warnings, "there are no tests: files *.tests beside the source are played")
	} else if err := w.test(ctx, v, content, p, files); err != nil {
		return err
	}
	if len(v.Failed) > 0 {
		return nil
	}
	if w.out != "" {
		if before, err := os.ReadFile(w.out); err != nil || !bytes.Equal(before, content) {
			if err := os.WriteFile(w.out, content, 0o666); err != nil {
				return err
			}
		}
	}
	if w.url == "" {
		return nil
	}
	return w.publish(ctx, v, content, p.Digest)
}

func (w *watcher) build(ctx context.Context) ([]byte, error) {
	if isDir(w.source) {
		return w.buildGo(ctx, w.source)
	}
	return w.compiler.compile(ctx, w.source, "")
}

func (w *watcher) test(ctx context.Context, v *roundView, content []byte, p *program.Program, files []string) error {
	most := uint64(0)
	_, err := w.playFiles(ctx, content, p, files, regexp.MustCompile(""), func(t *testView) error {
		if most = max(most, t.Fuel); t.Passed {
			v.Passed++
		} else {
			v.Failed = append(v.Failed, t)
		}
		return nil
	})
	if most > program.Fuel/2 {
		v.Warnings = append(v.Warnings, fmt.Sprintf("a transaction of the tests takes %d fuel; each call of the module has %d", most, program.Fuel))
	}
	return err
}

// warnings are what is allowed, and seldom meant.
func warnings(p *program.Program) []string {
	list := []string{}
	if p.Manifest.Upgrade == "" {
		list = append(list, `it takes over no space, so those that there are stay with the module that they have: upgrade is "carry" or "replay"`)
	}
	if p.Exports[program.Readable] && len(p.Manifest.Readable) == 0 {
		list = append(list, "it says who may read, and of no table that this depends on it: who may read once is not asked again")
	}
	return list
}

// publish gives the module to the server, and takes the space over to it.
func (w *watcher) publish(ctx context.Context, v *roundView, content []byte, d digest.Digest) error {
	if _, err := w.upload(ctx, d, content); err != nil {
		return err
	}
	v.URL = w.url
	if w.space == nil {
		return nil
	}
	row, err := w.row(ctx, *w.space)
	if err != nil {
		return err
	}
	v.Space = w.space.String()
	if row.Module == d {
		return nil
	}
	token, err := w.bearer(ctx)
	if err == nil {
		v.Seq, err = w.replaceModule(ctx, *w.space, token, row.Module, d)
	}
	return err
}

func (v *roundView) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "\n  "+format, args...) }
	if v.Digest != "" {
		fmt.Fprintf(&b, "%s %s, %d bytes\n  %s", v.Name, v.Version, v.Size, v.Digest)
		if v.Passed+len(v.Failed) > 0 {
			line("%s", tally{v.Passed, len(v.Failed)})
		}
	}
	for _, t := range v.Failed {
		fmt.Fprintf(&b, "\n%s", t.text())
	}
	for _, warning := range v.Warnings {
		line("warning: %s", warning)
	}
	switch {
	case v.Error != "":
		if v.Digest != "" {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "error: %s", v.Error)
	case v.Seq > 0:
		line("%s has it, and space %s is taken over to it by record %d", v.URL, v.Space, v.Seq)
	case v.Space != "":
		line("%s has it, and space %s is of it", v.URL, v.Space)
	case v.URL != "":
		line("%s has it; to take a space over to it:\n  skerry module publish --url %s --identity %s ID %s", v.URL, v.URL, v.identity, v.Digest)
	}
	return b.String()
}
