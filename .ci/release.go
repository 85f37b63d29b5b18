//go:build ignore

// Command release makes what is published of a version, under build/release/VERSION:
//
//   - skerry-VERSION-OS-ARCH.tar.gz, or .zip for Windows: the program, the demo's page, docs/operating, licenses
//   - skerry-VERSION.tgz and skerry-module-VERSION.tgz: the npm packages
//   - CHANGES.md: the version's section of CHANGELOG.md
//   - BUILD.txt: the commit, and what it was built with
//   - SHA256SUMS: of all of these
//
// All of it is built of a copy of what is committed, and the same commit gives the same bytes, wherever it is built with the tools of BUILD.txt.
// It refuses where something is not committed, where versions differ, and where CHANGELOG.md has no section of the version. With -snapshot
// it refuses none of that, takes the files as they are, and calls the version VERSION-snapshot. docs/releasing.md tells the rest.
//
// Usage: go run .ci/release.go [-snapshot] [-platforms linux/amd64,...] [-out DIR]
//
// Stable: nothing; it is run by `make release`.
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const platforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64"

func main() {
	r := &release{}
	flag.BoolVar(&r.snapshot, "snapshot", false, "of the files as they are, to try it")
	flag.StringVar(&r.platforms, "platforms", platforms, "for which to build, as OS/ARCH with commas between")
	flag.StringVar(&r.out, "out", "build/release", "where the version's directory is made")
	flag.Parse()
	if err := r.run(); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

type release struct {
	snapshot  bool
	platforms string
	out       string

	version string // as files are named
	commit  string
	at      time.Time // of the commit, which all files in archives have
	work    string    // a copy of the tree
	dir     string    // where all goes
}

func (r *release) run() error {
	version, changes, err := r.check()
	if err != nil {
		return err
	}
	if r.version = version; r.snapshot {
		r.version += "-snapshot"
	}
	if r.dir, err = filepath.Abs(filepath.Join(r.out, r.version)); err != nil {
		return err
	}
	if _, err := os.Stat(r.dir); err == nil && !r.snapshot {
		return fmt.Errorf("%s is there already: what was published does not change", r.dir)
	}
	if err := os.RemoveAll(r.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		return err
	}
	if err := r.make(changes); err != nil {
		os.RemoveAll(r.dir) // a part of a release is none
		return err
	}
	return nil
}

func (r *release) make(changes string) error {
	if err := r.copyTree(); err != nil {
		return fmt.Errorf("copy the tree: %w", err)
	}
	defer os.RemoveAll(r.work)
	if err := r.packages(); err != nil {
		return err
	}
	for platform := range strings.SplitSeq(r.platforms, ",") {
		if err := r.archive(platform); err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
	}
	if err := os.WriteFile(filepath.Join(r.dir, "CHANGES.md"), []byte(changes), 0o666); err != nil {
		return err
	}
	return r.finish()
}

// check returns the version and its section of the changelog, or why there is no release.
func (r *release) check() (version, changes string, err error) {
	if r.commit, err = git("rev-parse", "HEAD"); err != nil {
		return "", "", err
	}
	seconds, err := git("log", "-1", "--format=%ct")
	if err != nil {
		return "", "", err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return "", "", err
	}
	r.at = time.Unix(unix, 0).UTC()
	dirty, err := git("status", "--porcelain")
	if err != nil {
		return "", "", err
	}
	if dirty != "" {
		if !r.snapshot {
			return "", "", fmt.Errorf("not all is committed, and a release is of a commit (-snapshot tries it all the same):\n%s", dirty)
		}
		r.commit += "+"
	}
	source, err := os.ReadFile("syncserver/version.go")
	if err != nil {
		return "", "", err
	}
	found := regexp.MustCompile(`(?m)^const Version = "([^"]+)"$`).FindSubmatch(source)
	if found == nil {
		return "", "", fmt.Errorf("syncserver/version.go has no const Version")
	}
	version = string(found[1])
	for _, name := range []string{"web/package.json", "web/module-sdk/package.json"} {
		var is struct{ Version string }
		text, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(text, &is)
		}
		if err != nil {
			return "", "", fmt.Errorf("%s: %w", name, err)
		}
		if is.Version != version {
			return "", "", fmt.Errorf("%s has version %s, and syncserver/version.go %s", name, is.Version, version)
		}
	}
	text, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		return "", "", err
	}
	heading := `## ` + regexp.QuoteMeta(version) + ` - \d{4}-\d\d-\d\d`
	if r.snapshot {
		heading = `## (?:Unreleased|` + regexp.QuoteMeta(version) + ` - \d{4}-\d\d-\d\d)`
	}
	section := regexp.MustCompile(`(?ms)^` + heading + `$(.*?)(?:^## |\z)`).FindSubmatch(text)
	if section == nil || strings.TrimSpace(string(section[1])) == "" {
		return "", "", fmt.Errorf("CHANGELOG.md has no section \"## %s - YYYY-MM-DD\" with something in it", version)
	}
	return version, strings.TrimSpace(string(section[1])) + "\n", nil
}

// copyTree copies what is committed, or with -snapshot what is there, so that nothing that lies around gets in.
func (r *release) copyTree() (err error) {
	r.work = filepath.Join(r.dir, ".work")
	if err := os.MkdirAll(r.work, 0o777); err != nil {
		return err
	}
	list, err := git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimRight(list, "\x00"), "\x00") {
		to := filepath.Join(r.work, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			return err
		}
		b, err := os.ReadFile(name)
		if os.IsNotExist(err) && r.snapshot {
			continue // removed, and git was not told yet
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, b, 0o666); err != nil {
			return err
		}
	}
	modules, err := filepath.Abs("web/node_modules")
	if err != nil {
		return err
	}
	return os.Symlink(modules, filepath.Join(r.work, "web", "node_modules"))
}

// packages builds the page and the library, and packs what npm publishes.
func (r *release) packages() error {
	web := filepath.Join(r.work, "web")
	if err := run(web, nil, "node", "scripts/build.mjs"); err != nil {
		return err
	}
	for _, of := range []string{".", "module-sdk"} {
		if err := run(filepath.Join(web, of), nil, "npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", r.dir); err != nil {
			return err
		}
	}
	if !r.snapshot {
		return nil
	}
	// npm names them by their version.
	packed, err := filepath.Glob(filepath.Join(r.dir, "*.tgz"))
	if err != nil {
		return err
	}
	for _, name := range packed {
		if err := os.Rename(name, strings.TrimSuffix(name, ".tgz")+"-snapshot.tgz"); err != nil {
			return err
		}
	}
	return nil
}

// archive builds the program for a platform, and puts it and what it needs into one file.
func (r *release) archive(platform string) error {
	system, processor, ok := strings.Cut(platform, "/")
	if !ok {
		return fmt.Errorf("a platform is OS/ARCH")
	}
	program := "skerry"
	if system == "windows" {
		program += ".exe"
	}
	env := []string{"CGO_ENABLED=0", "GOOS=" + system, "GOARCH=" + processor, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=-mod=readonly", "GOEXPERIMENT=", "GOWORK=off"}
	built := filepath.Join(r.work, program)
	if err := run(r.work, env, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -X main.commit="+r.commit, "-o", built, "./syncserver/cmd/skerry"); err != nil {
		return err
	}
	notices, err := r.licenses(env)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("skerry-%s-%s-%s", r.version, system, processor)
	a := &archive{top: name, at: r.at, zip: system == "windows"}
	a.add("README.md", []byte(readme(r.version, program)), false)
	a.add("licenses.txt", notices, false)
	b, err := os.ReadFile(built)
	if err != nil {
		return err
	}
	a.add(program, b, true)
	for _, from := range []string{"LICENSE", "CHANGELOG.md", "docs/operating", "web/dist"} {
		if err := a.addTree(r.work, from, map[string]string{"docs/operating": "operating", "web/dist": "web"}); err != nil {
			return err
		}
	}
	content, extension, err := a.bytes()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, name+extension), content, 0o666)
}

// licenses returns the texts of what is linked into the program: they ask to come with every copy.
func (r *release) licenses(env []string) ([]byte, error) {
	const format = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}"
	list, err := output(r.work, env, "go", "list", "-deps", "-f", format, "./syncserver/cmd/skerry")
	if err != nil {
		return nil, err
	}
	root, err := output(r.work, nil, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	lines := slices.DeleteFunc(strings.Split(list, "\n"), func(line string) bool { return line == "" })
	slices.Sort(lines)
	lines = append([]string{"Go and its standard library\t" + root}, slices.Compact(lines)...)
	var b bytes.Buffer
	for _, line := range lines {
		name, dir, _ := strings.Cut(line, "\t")
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		any := false
		for _, entry := range entries {
			if !regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)`).MatchString(entry.Name()) || entry.IsDir() {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
			if err != nil {
				return nil, err
			}
			any = true
			fmt.Fprintf(&b, "%s, %s\n%s\n\n%s\n\n", name, entry.Name(), strings.Repeat("=", len(name)+2+len(entry.Name())), bytes.TrimSpace(text))
		}
		if !any {
			return nil, fmt.Errorf("%s has no license in %s", name, dir)
		}
	}
	return b.Bytes(), nil
}

// finish writes what it was built with, and the sums.
func (r *release) finish() error {
	var tools []string
	for _, command := range [][]string{{"go", "version"}, {"node", "--version"}, {"npm", "--version"}} {
		says, err := output(".", nil, command[0], command[1:]...)
		if err != nil {
			return err
		}
		tools = append(tools, command[0]+": "+says)
	}
	text := fmt.Sprintf("skerry %s\ncommit: %s\n%s\n", r.version, r.commit, strings.Join(tools, "\n"))
	if err := os.WriteFile(filepath.Join(r.dir, "BUILD.txt"), []byte(text), 0o666); err != nil {
		return err
	}
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(r.dir, entry.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(b), entry.Name())
		fmt.Printf("%12d  %s\n", len(b), filepath.Join(r.out, r.version, entry.Name()))
	}
	return os.WriteFile(filepath.Join(r.dir, "SHA256SUMS"), []byte(sums.String()), 0o666)
}

// archive is a tar or zip whose bytes depend on what is in it alone.
type archive struct {
	top   string
	at    time.Time
	zip   bool
	files []archived
}

type archived struct {
	name    string
	content []byte
	program bool
}

func (a *archive) add(name string, content []byte, program bool) {
	a.files = append(a.files, archived{a.top + "/" + name, content, program})
}

// addTree adds a file or directory of the tree, under another name where renamed has one.
func (a *archive) addTree(root, from string, renamed map[string]string) error {
	return filepath.WalkDir(filepath.Join(root, filepath.FromSlash(from)), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		for before, after := range renamed {
			if rest, ok := strings.CutPrefix(name, before+"/"); ok {
				name = after + "/" + rest
			}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		a.add(name, b, false)
		return nil
	})
}

func (a *archive) bytes() (content []byte, extension string, err error) {
	slices.SortFunc(a.files, func(x, y archived) int { return strings.Compare(x.name, y.name) })
	mode := func(f archived) fs.FileMode {
		if f.program {
			return 0o755
		}
		return 0o644
	}
	var b bytes.Buffer
	if a.zip {
		w := zip.NewWriter(&b)
		for _, f := range a.files {
			header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: a.at}
			header.SetMode(mode(f))
			into, err := w.CreateHeader(header)
			if err == nil {
				_, err = into.Write(f.content)
			}
			if err != nil {
				return nil, "", err
			}
		}
		err := w.Close()
		return b.Bytes(), ".zip", err
	}
	compressed, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, "", err
	}
	w := tar.NewWriter(compressed)
	for _, f := range a.files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.content)), Mode: int64(mode(f)), ModTime: a.at, Format: tar.FormatUSTAR}
		err := w.WriteHeader(header)
		if err == nil {
			_, err = w.Write(f.content)
		}
		if err != nil {
			return nil, "", err
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	err = compressed.Close()
	return b.Bytes(), ".tar.gz", err
}

func readme(version, program string) string {
	return fmt.Sprintf(`# Skerry %s

Local-first software for the web: pages that work with no network at all, and sync through one thin server.

To try it on this machine:

    ./%s serve --local-setup --data data --web web

and open http://127.0.0.1:8080/. To run a server for others, read operating/README.md. licenses.txt has the licenses of what the program
is made of, web/licenses.txt those of the page; CHANGELOG.md tells what is new. A page of your own has the npm package skerry.
`, version, program)
}

func git(args ...string) (string, error) { return output(".", nil, "git", args...) }

// output runs a command and returns what it prints.
func output(dir string, env []string, name string, args ...string) (string, error) {
	command := exec.Command(name, args...)
	command.Dir, command.Env, command.Stderr = dir, append(os.Environ(), env...), os.Stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func run(dir string, env []string, name string, args ...string) error {
	_, err := output(dir, env, name, args...)
	return err
}
