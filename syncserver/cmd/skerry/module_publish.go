package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// planView is what taking a space over to a module changes, as --json prints it.
type planView struct {
	Space    string           `json:"space"`
	Now      useView          `json:"now"`
	Next     namedModule      `json:"next"`
	Rollback bool             `json:"rollback"` // the space had it before; then what its version declares does not count
	Least    string           `json:"least_bump"`
	Declared string           `json:"declared_bump"`
	Enough   bool             `json:"enough"`
	Changes  []differenceView `json:"changes"`
	Warnings []string         `json:"warnings"`
	Plan     string           `json:"plan,omitempty"` // for --plan; there is none if the space has the module
	Seq      uint64           `json:"seq,omitempty"`  // of the record that took the space over, if one did
}

// namedModule is a module as the API tells of it.
type namedModule struct {
	Module  string `json:"module"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
}

func (m namedModule) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s", strings.TrimSpace(m.Name+" "+m.Version), m.Module))
}

// useView is a module of a space, from a record on, as the API tells of it.
type useView struct {
	namedModule
	Seq   uint64 `json:"seq"`
	Since uint64 `json:"since"` // in milliseconds since 1970
}

func (u *useView) text() string {
	return fmt.Sprintf("%v  since record %d, %s", u.namedModule, u.Seq, time.UnixMilli(int64(u.Since)).UTC().Format(time.RFC3339))
}

// spaceModules is which modules a space has and had, as the API tells of it.
type spaceModules struct {
	useView
	History []useView `json:"history"`
	Earlier int       `json:"earlier"`
}

// Exit codes of module publish and module diff beside those of every command.
const (
	exitBump  = 3 // with --strict, the version rises by less than the changes call for
	exitStale = 4 // the space has another module than the plan says
)

// modulePublish shows what taking a space over to a module changes, and with the plan that it printed, or --yes, does it.
func modulePublish(ctx context.Context, c *console, args []string) error {
	set := c.flags("module publish")
	plan := set.String("plan", "", "do it, if it is what was printed with this `token`")
	yes := set.Bool("yes", false, "do it, whatever it changes")
	strict := set.Bool("strict", false, "fail, with 3, if the version rises by less than the changes call for")
	back := set.Bool("rollback", false, "go back to the module that the space had before, instead of naming one")
	p, id, err := c.parseSpace(set, args)
	if err != nil {
		return err
	}
	switch named := set.NArg() == 2; {
	case !p.who.given(), set.NArg() > 2, named == *back:
		return usagef("needs --identity, the ID of a space, and a module or --rollback: a built-in's name, a digest that the server has, a file or a source")
	case *plan != "" && *yes:
		return usagef("takes either --plan or --yes")
	}
	token, err := p.bearer(ctx)
	if err != nil {
		return err
	}
	has, err := p.modules(ctx, id, token)
	if err != nil {
		return err
	}
	next, content, err := c.publishable(ctx, p, set.Arg(1), has)
	if err != nil {
		return err
	}
	v, now, err := p.plan(ctx, id, has, next)
	if err != nil {
		return err
	}
	switch {
	case *plan != "" && v.Plan != "" && *plan != v.Plan:
		return failWith(exitStale, "stale: %s is no plan of what is now: it was made when the space had another module, or for another one; plan anew", *plan)
	case v.Plan != "" && *strict && !v.Enough:
		if err := c.print(v, "%s", v.text()); err != nil {
			return err
		}
		return failWith(exitBump, "the version rises from %s to %s, and the changes call for a bump of %s", v.Now.Version, v.Next.Version, v.Least)
	case v.Plan != "" && (*yes || *plan != ""):
		if content != nil {
			if _, err := p.upload(ctx, next.Digest, content); err != nil {
				return err
			}
		}
		v.Seq, err = p.replaceModule(ctx, id, token, now, next.Digest)
		if refusedAs(err, wire.CodeStale) {
			return failWith(exitStale, "%v; nothing was written: plan anew", err)
		}
		if err != nil {
			return err
		}
	}
	return c.print(v, "%s", v.text())
}

// modules asks a server which modules a space has and had.
func (p *place) modules(ctx context.Context, id space.ID, token string) (*spaceModules, error) {
	has := new(spaceModules)
	return has, p.call(ctx, http.MethodGet, modulePath(id), token, nil, has)
}

func modulePath(id space.ID) string { return "/api/v1/spaces/" + id.String() + "/module" }

// replaceModule takes a space over from one module, which it has to have still, to another that the server has, and returns the number of
// the record that does.
func (p *place) replaceModule(ctx context.Context, id space.ID, token string, from, to digest.Digest) (seq uint64, err error) {
	event, err := newULID()
	if err != nil {
		return 0, err
	}
	request := map[string]string{"module": to.String(), "replaces": from.String(), "event": event.String()}
	var done struct{ Seq uint64 }
	return done.Seq, p.call(ctx, http.MethodPut, modulePath(id), token, request, &done)
}

// publishable returns the module that a command line names, or without a name the one before that a space has; and its bytes if the
// server may lack them.
func (c *console) publishable(ctx context.Context, p *place, name string, has *spaceModules) (*program.Program, []byte, error) {
	if name == "" {
		if len(has.History) < 2 {
			return nil, nil, errors.New("there is nothing to go back to: the space had no other module")
		}
		name = has.History[len(has.History)-2].Module
	}
	if d, err := parseModule(name); err == nil {
		next, err := p.program(ctx, d)
		return next, nil, err
	}
	content, next, err := c.loadModule(ctx, name)
	return next, content, err
}

// program returns a module that is built in, or that the server has. Of open, which is no program, it is what it would declare if it were.
func (p *place) program(ctx context.Context, d digest.Digest) (*program.Program, error) {
	if d == module.Open {
		return &program.Program{Digest: d, Manifest: &program.Manifest{Name: "open", Version: "0.0.0", Raw: true}}, nil
	}
	content := builtin.Bytes(d)
	if content == nil {
		var err error
		if content, err = p.download(ctx, d); err != nil {
			return nil, err
		}
	}
	return program.Load(content)
}

// download gets a module's bytes from the server.
func (p *place) download(ctx context.Context, d digest.Digest) ([]byte, error) {
	client, err := p.dial(ctx, 2*wire.MaxUpload) // all of it, with what its messages have beside
	if err != nil {
		return nil, err
	}
	defer client.close()
	var content []byte
	for ref := uint64(1); ; ref++ {
		if err := client.send(ctx, &wire.Blob{Ref: ref, Digest: d, Offset: uint64(len(content))}); err != nil {
			return nil, err
		}
		part, err := expect[*wire.BlobPart](ctx, client)
		if wire.CodeOf(err) == wire.CodeNotFound {
			return nil, wire.Errorf(wire.CodeModuleMissing, "the server does not have module %v", d)
		}
		if err != nil {
			return nil, err
		}
		content = append(content, part.Bytes...)
		switch {
		case uint64(len(content)) < part.Total && len(part.Bytes) > 0 && part.Total <= wire.MaxUpload:
		case digest.Of(content) != d:
			return nil, wire.Errorf(wire.CodeBadServerMessage, "what the server has as module %v is another one, or not whole", d)
		default:
			return content, nil
		}
	}
}

// plan compares the module that a space has, which is returned too, with the next one.
func (p *place) plan(ctx context.Context, id space.ID, has *spaceModules, next *program.Program) (*planView, digest.Digest, error) {
	now, err := digest.Parse(has.Module)
	if err != nil {
		return nil, now, fmt.Errorf("%s tells of no module: %w", p.url, err)
	}
	running, err := p.program(ctx, now)
	if err != nil {
		return nil, now, err
	}
	v, err := planOf(id, has, running, next)
	return v, now, err
}

// planOf compares the module that a space has, running, with the next one.
func planOf(id space.ID, has *spaceModules, running, next *program.Program) (*planView, error) {
	d, err := diffOf(running, next)
	if err != nil {
		return nil, err
	}
	m := next.Manifest
	v := &planView{
		Space: id.String(), Now: has.useView, Next: namedModule{next.Digest.String(), m.Name, m.Version},
		Least: d.Least, Declared: d.Declared, Enough: d.Enough, Changes: d.Changes, Warnings: []string{},
	}
	v.Rollback = slices.ContainsFunc(has.History, func(u useView) bool { return u.Module == v.Next.Module })
	v.Enough = v.Enough || v.Rollback
	if running.Digest == next.Digest {
		return v, nil
	}
	v.Plan = planToken(id, running.Digest, next.Digest)
	if next.Digest == module.Open {
		v.Next.Version = "" // it has none, and takes over every space
	} else {
		v.Warnings = append(v.Warnings, warnings(next)...)
	}
	if !v.Enough {
		v.Warnings = append(v.Warnings, fmt.Sprintf("the version rises from %s to %s, which declares %s, and the changes call for a bump of %s",
			running.Manifest.Version, m.Version, v.Declared, v.Least))
	}
	return v, nil
}

// planToken is what a plan is known by: it says that a space goes from one module to another, and nothing has to be kept for it.
func planToken(id space.ID, from, to digest.Digest) string {
	sum := digest.Of(slices.Concat([]byte("skerry.plan.1"), id[:], from[:], to[:]))
	return hex.EncodeToString(sum[:8])
}

func (v *planView) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "now   %s\nnext  %v", v.Now.text(), v.Next)
	if v.Plan == "" {
		return b.String() + "\nthe space has it already"
	}
	if v.Rollback {
		b.WriteString("  which the space had before")
	}
	b.WriteString("\n" + changesText(v.Changes))
	fmt.Fprintf(&b, "the changes call for a bump of %s at least", v.Least)
	for _, warning := range v.Warnings {
		fmt.Fprintf(&b, "\nwarning: %s", warning)
	}
	if v.Seq > 0 {
		fmt.Fprintf(&b, "\ndone by record %d", v.Seq)
	} else {
		fmt.Fprintf(&b, "\nnothing was changed; to do it: --plan %s", v.Plan)
	}
	return b.String()
}
