//go:build ignore

// Command docs writes build/docs: the manual of every package, which is its package comment, and every Markdown
// document of the tree beside them. It prints their list, one line each, and keeps it as index.txt.
//
// Stable: nothing; it is for readers. Run it by `go run .ci/docs.go` from the root of the tree.
package main

import (
	"bytes"
	"fmt"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const out = "build/docs"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func run() error {
	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.go", "*.md").Output()
	if err != nil {
		return fmt.Errorf("list the tree by git: %w", err)
	}
	pages := map[string][]byte{} // by name
	titles := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // removed, and git was not told yet
		}
		switch {
		case path.Ext(name) == ".md":
			page := strings.ReplaceAll(name, "/", "-")
			pages[page] = text
			titles[page] = strings.TrimSpace(strings.TrimLeft(firstLine(text), "#"))
		case strings.Contains(name, "testdata/") || strings.HasPrefix(name, ".ci/"):
		default:
			page := strings.ReplaceAll(path.Dir(name), "/", "-") + ".txt"
			manual, synopsis, err := manualOf(name, text)
			if err != nil {
				return err
			}
			if len(manual) > len(pages[page]) {
				pages[page], titles[page] = manual, synopsis
			}
		}
	}
	return write(pages, titles)
}

// manualOf returns the package comment of a file as text, and its first sentence.
func manualOf(name string, source []byte) (manual []byte, synopsis string, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.PackageClauseOnly|parser.ParseComments)
	if err != nil || file.Doc == nil {
		return nil, "", err
	}
	var p comment.Parser
	printer := comment.Printer{TextWidth: 100}
	manual = printer.Text(p.Parse(file.Doc.Text()))
	synopsis, _, _ = strings.Cut(strings.Join(strings.Fields(string(manual)), " "), ". ")
	return manual, strings.TrimRight(synopsis, ".:") + ".", nil
}

func write(pages map[string][]byte, titles map[string]string) error {
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	var names []string
	for name := range pages {
		names = append(names, name)
	}
	slices.Sort(names)
	var index bytes.Buffer
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(out, name), pages[name], 0o666); err != nil {
			return err
		}
		fmt.Fprintf(&index, "%s: %s\n", name, titles[name])
	}
	if _, err := os.Stdout.Write(index.Bytes()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "index.txt"), index.Bytes(), 0o666)
}

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return string(line)
}
