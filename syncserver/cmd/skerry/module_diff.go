package main

import (
	"context"
	"fmt"
	"strings"

	"skerry/shared/module/program"
	"skerry/shared/semver"
)

// diffView is what lies between two modules as --json prints it.
type diffView struct {
	Older    diffSide         `json:"older"`
	Newer    diffSide         `json:"newer"`
	Least    string           `json:"least_bump"`
	Declared string           `json:"declared_bump"`
	Enough   bool             `json:"enough"`
	Changes  []differenceView `json:"changes"`
}

type diffSide struct {
	Digest  string `json:"digest"`
	Version string `json:"version"`
}

type differenceView struct {
	Bump    string `json:"bump"`
	Subject string `json:"subject"`
	Change  string `json:"change"`
	Effect  string `json:"effect"`
}

// moduleDiff prints what a newer module declares otherwise, whom that affects, and how much its version has to rise for it.
func moduleDiff(ctx context.Context, c *console, args []string) error {
	set := c.flags("module diff")
	strict := set.Bool("strict", false, "fail, with 3, if the version rises by less than the changes call for")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() != 2 {
		return usagef("needs the files of two modules, or names of built-in ones: the older and the newer")
	}
	var modules [2]*program.Program
	for i := range modules {
		var err error
		if _, modules[i], err = c.loadModule(ctx, set.Arg(i)); err != nil {
			return err
		}
	}
	v, err := diffOf(modules[0], modules[1])
	if err != nil {
		return err
	}
	if err := c.print(v, "%s", v.text()); err != nil {
		return err
	}
	if *strict && !v.Enough {
		return failWith(exitBump, "the version rises from %s to %s, and the changes call for a bump of %s", v.Older.Version, v.Newer.Version, v.Least)
	}
	return nil
}

func diffOf(older, newer *program.Program) (*diffView, error) {
	var versions [2]semver.Version
	for i, p := range []*program.Program{older, newer} {
		var err error
		if versions[i], err = semver.Parse(p.Manifest.Version); err != nil {
			return nil, err
		}
	}
	all := program.Compare(older.Manifest, newer.Manifest)
	least, declared := program.LeastBump(all), program.DeclaredBump(versions[0], versions[1])
	if older.Digest != newer.Digest { // what a module does cannot be compared, so two that are not the same differ
		least = max(least, program.Patch)
	}
	v := &diffView{
		Older: diffSide{older.Digest.String(), older.Manifest.Version}, Newer: diffSide{newer.Digest.String(), newer.Manifest.Version},
		Least: least.String(), Declared: declared.String(), Enough: declared >= least, Changes: []differenceView{},
	}
	for _, d := range all {
		v.Changes = append(v.Changes, differenceView{d.Bump.String(), d.Subject, d.Change, d.Effect})
	}
	return v, nil
}

func (v *diffView) text() string {
	if v.Older.Digest == v.Newer.Digest {
		return "they are the same module"
	}
	var b strings.Builder
	b.WriteString(changesText(v.Changes))
	fmt.Fprintf(&b, "from %s to %s: the changes call for a bump of %s at least", v.Older.Version, v.Newer.Version, v.Least)
	if !v.Enough {
		fmt.Fprintf(&b, "\nwarning: the versions declare %s", v.Declared)
	}
	return b.String()
}

// changesText is a line for each change, and one for whom it affects.
func changesText(changes []differenceView) string {
	if len(changes) == 0 {
		return "what they declare is the same; whether it means the same their author knows\n"
	}
	var b strings.Builder
	for _, d := range changes {
		fmt.Fprintf(&b, "%-5s  %s: %s\n       an older client: %s\n", d.Bump, d.Subject, d.Change, d.Effect)
	}
	return b.String()
}
