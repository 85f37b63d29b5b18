package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

//go:embed starter
var starter embed.FS

// starterFile is a file of a new module: of what it is made, and what it is called.
type starterFile struct{ from, name, is string }

var moduleName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

// moduleNew makes a directory to begin a module with.
func moduleNew(_ context.Context, c *console, args []string) error {
	set := c.flags("module new")
	inGo := set.Bool("go", false, "in Go, and not in AssemblyScript")
	sdk := set.String("sdk", "", "a checkout of Skerry, or the packed npm package skerry-module (default: the checkout that this program or the current directory is in)")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() != 1 {
		return usagef("needs the name of the module, which is that of its directory")
	}
	dir := filepath.Clean(set.Arg(0))
	name := filepath.Base(dir)
	if !moduleName.MatchString(name) {
		return usagef("%q is no name for a module: it has small letters, digits and hyphens, a letter first", name)
	}
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return fmt.Errorf("%s is not empty: nothing was written", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	from, checkout, err := findSDK(*sdk, *inGo)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if from, err = pathFrom(dir, from); err != nil {
		return err
	}
	files := assemblyScriptFiles(name)
	next := fmt.Sprintf("cd %s\nnpm install\nnpm test", dir)
	if *inGo {
		files, next = goFiles(name), fmt.Sprintf("cd %s\nskerry module test .", dir)
	}
	types := from // by its own path, from which AssemblyScript's types are found
	if checkout == "" {
		types = "./node_modules/skerry-module"
	}
	values := strings.NewReplacer("{{name}}", name, "{{Name}}", camel(name), "{{sdk}}", from, "{{types}}", types)
	for _, f := range files {
		content, err := starter.ReadFile("starter/" + f.from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(values.Replace(string(content))), 0o666); err != nil {
			return err
		}
	}
	if *inGo {
		sums, err := os.ReadFile(filepath.Join(checkout, "go.sum"))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o666); err != nil {
			return err
		}
	}
	return c.printNew(dir, files, next)
}

func assemblyScriptFiles(name string) []starterFile {
	return []starterFile{
		{"assemblyscript/module.ts", name + ".ts", "the module"},
		{"module.tests", name + ".tests", "its tests"},
		{"assemblyscript/package.json.txt", "package.json", "where its compiler is"},
		{"assemblyscript/tsconfig.json", "tsconfig.json", "what editors need to know"},
		{"assemblyscript/readme.txt", "README.md", "what to do with it"},
		{"assemblyscript/gitignore", ".gitignore", ""},
	}
}

func goFiles(name string) []starterFile {
	return []starterFile{
		{"go/module.go.txt", "main.go", "the module"},
		{"module.tests", name + ".tests", "its tests"},
		{"go/go.mod.txt", "go.mod", "where Skerry is"},
		{"go/readme.txt", "README.md", "what to do with it"},
	}
}

func (c *console) printNew(dir string, files []starterFile, next string) error {
	var names, lines []string
	for _, f := range files {
		names = append(names, f.name)
		if f.is != "" {
			lines = append(lines, fmt.Sprintf("  %-16s %s", f.name, f.is))
		}
	}
	return c.print(struct {
		Dir   string   `json:"dir"`
		Files []string `json:"files"`
	}{dir, names}, "%s\n%s\nNow:\n  %s", dir, strings.Join(lines, "\n"), strings.ReplaceAll(next, "\n", "\n  "))
}

// findSDK returns what a new module depends on, and the checkout that it is in: the directory of the npm package or its
// packed form, or for Go the checkout.
func findSDK(given string, inGo bool) (from, checkout string, err error) {
	if given != "" {
		if info, err := os.Stat(given); err == nil && !info.IsDir() && !inGo && strings.HasSuffix(given, ".tgz") {
			return given, "", nil
		}
		if !isCheckout(given) {
			return "", "", usagef("--sdk %s is neither a checkout of Skerry nor, for AssemblyScript, the packed npm package skerry-module (.tgz)", given)
		}
		checkout = given
	} else if checkout = findCheckout(); checkout == "" {
		return "", "", usagef("neither this program nor the current directory is in a checkout of Skerry: say where one is by --sdk")
	}
	if inGo {
		return checkout, checkout, nil
	}
	return filepath.Join(checkout, "web", "module-sdk"), checkout, nil
}

func isCheckout(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "web", "module-sdk", "package.json"))
	return err == nil
}

// findCheckout returns the checkout that this program or the current directory is in, or nothing.
func findCheckout() string {
	program, _ := os.Executable()
	program, _ = filepath.EvalSymlinks(program)
	current, _ := os.Getwd()
	for _, start := range []string{filepath.Dir(program), current} {
		for dir := start; ; dir = filepath.Dir(dir) {
			if isCheckout(dir) {
				return dir
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return ""
}

// pathFrom returns a path as it is seen from a directory, so that both may be moved together.
func pathFrom(dir, to string) (string, error) {
	paths := []string{dir, to}
	for i := range paths {
		path, err := filepath.Abs(paths[i])
		if err != nil {
			return "", err
		}
		if paths[i], err = filepath.EvalSymlinks(path); err != nil {
			return "", err
		}
	}
	relative, err := filepath.Rel(paths[0], paths[1])
	return filepath.ToSlash(relative), err
}

// camel returns a name as that of a class.
func camel(name string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(name, "-") {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}
