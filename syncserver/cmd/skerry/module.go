package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/module/program"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// readModule makes or reads the module that a command line names, and checks it.
func (c *console) readModule(ctx context.Context, set *flag.FlagSet) ([]byte, *program.Program, error) {
	if set.NArg() != 1 {
		return nil, nil, usagef("needs the file or the source of a module, or a built-in's name")
	}
	return c.loadModule(ctx, set.Arg(0))
}

// moduleView is a module as --json prints it.
type moduleView struct {
	Digest  string      `json:"digest"`
	Size    int         `json:"size"`
	Metered int         `json:"metered_size"`
	Name    string      `json:"name"`
	Version string      `json:"version"`
	ABI     uint32      `json:"abi"`
	IO      uint32      `json:"io"`
	Pages   [2]uint32   `json:"memory_pages"`
	Doc     string      `json:"doc,omitempty"`
	Raw     bool        `json:"raw"`
	Upgrade string      `json:"upgrade,omitempty"`
	Exports []string    `json:"exports"`
	Events  []eventView `json:"events"`
	Params  *shapeView  `json:"params,omitempty"`
	Tables  []tableView `json:"tables"`
}

// shapeView is what a payload, or a space's params, is made of.
type shapeView struct {
	Name   string      `json:"name,omitempty"`
	Doc    string      `json:"doc,omitempty"`
	Fields []fieldView `json:"fields"`
}

type fieldView struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Optional bool   `json:"optional,omitempty"`
	Doc      string `json:"doc,omitempty"`

	Default json.RawMessage `json:"default,omitempty"` // bytes as {"$hex": digits}
}

type tableView struct {
	Name    string      `json:"name"`
	Columns []fieldView `json:"columns"`
	Key     []string    `json:"key"`
	Indexes []indexView `json:"indexes"`
}

type indexView struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
	Unique  bool     `json:"unique,omitempty"`
}

func viewOfModule(content []byte, p *program.Program) *moduleView {
	m := p.Manifest
	v := &moduleView{
		Digest: p.Digest.String(), Size: len(content), Metered: len(p.Metered.Bytes), Name: m.Name, Version: m.Version,
		ABI: m.ABI, IO: m.IO, Pages: p.Metered.Pages, Doc: m.Doc, Raw: m.Raw, Upgrade: m.Upgrade,
		Events: []eventView{}, Tables: []tableView{},
	}
	for e, exported := range p.Exports {
		if exported {
			v.Exports = append(v.Exports, program.Export(e).String())
		}
	}
	for i := range m.Events {
		v.Events = append(v.Events, viewOfEvent(&m.Events[i]))
	}
	if m.Params != nil {
		v.Params = &shapeView{Fields: viewOfFields(m.Params)}
	}
	for i := range m.Tables {
		v.Tables = append(v.Tables, viewOfTable(&m.Tables[i]))
	}
	return v
}

func viewOfTable(s *tables.Schema) tableView {
	names := func(places []int) (list []string) {
		for _, place := range places {
			list = append(list, s.Columns[place].Name)
		}
		return list
	}
	v := tableView{Name: s.Name, Key: names(s.Key), Indexes: []indexView{}}
	for _, column := range s.Columns {
		v.Columns = append(v.Columns, fieldView{Name: column.Name, Type: column.Kind.String(), Optional: column.Optional})
	}
	for _, index := range s.Indexes {
		v.Indexes = append(v.Indexes, indexView{index.Name, names(index.Columns), index.Unique})
	}
	return v
}

// moduleInspect prints what a module says of itself, without running it.
func moduleInspect(ctx context.Context, c *console, args []string) error {
	set := c.flags("module inspect")
	if err := c.parse(set, args); err != nil {
		return err
	}
	content, p, err := c.readModule(ctx, set)
	if err != nil {
		return err
	}
	v := viewOfModule(content, p)
	return c.print(v, "%s", v.text())
}

func (v *moduleView) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\ndigest   %s\nsize     %d bytes, %d metered\nabi      %d, io region of %d bytes, memory of %d to %d pages\nexports  %s",
		v.Name, v.Version, v.Digest, v.Size, v.Metered, v.ABI, v.IO, v.Pages[0], v.Pages[1], strings.Join(v.Exports, ", "))
	if v.Doc != "" {
		fmt.Fprintf(&b, "\n%s", v.Doc)
	}
	if v.Params != nil {
		fmt.Fprintf(&b, "\nparams   (%s)", fieldsText(v.Params.Fields))
	}
	for i := range v.Events {
		b.WriteString(v.Events[i].text())
	}
	if v.Raw {
		b.WriteString("\nevent    of any other type, as bytes")
	}
	for _, t := range v.Tables {
		fmt.Fprintf(&b, "\ntable    %s(%s), key (%s)", t.Name, fieldsText(t.Columns), strings.Join(t.Key, ", "))
		for _, index := range t.Indexes {
			unique := ""
			if index.Unique {
				unique = ", unique"
			}
			fmt.Fprintf(&b, "\n         index %s (%s)%s", index.Name, strings.Join(index.Columns, ", "), unique)
		}
	}
	return b.String()
}

// uploadPiece is how much of a module one message carries.
const uploadPiece = 256 << 10

// modulePut uploads a module, unless the server has it, and prints its digest.
func modulePut(ctx context.Context, c *console, args []string) error {
	set := c.flags("module put")
	p := c.placeFlags(set, false)
	if err := c.parse(set, args); err != nil {
		return err
	}
	if err := p.complete(false); err != nil {
		return err
	}
	if set.NArg() != 1 || !p.who.given() {
		return usagef("needs --identity and the file of a module")
	}
	content, err := c.moduleBytes(ctx, set.Arg(0)) // not checked here: what may judge, the server says
	if err != nil {
		return err
	}
	if len(content) == 0 {
		return usagef("%s is empty", set.Arg(0))
	}
	name := digest.Of(content)
	uploaded, err := p.upload(ctx, name, content)
	if err != nil {
		return err
	}
	return c.print(struct {
		Digest   string `json:"digest"`
		Uploaded bool   `json:"uploaded"`
	}{name.String(), uploaded}, "%s", name)
}

// upload sends what the server does not have yet, and reports whether there was anything.
func (p *place) upload(ctx context.Context, name digest.Digest, content []byte) (uploaded bool, err error) {
	client, err := p.dial(ctx, 1<<20)
	if err != nil {
		return false, err
	}
	defer client.close()
	piece := &wire.BlobPut{Ref: 1, Digest: name, Total: uint64(len(content))}
	for {
		if err := client.send(ctx, piece); err != nil {
			return false, err
		}
		answer, err := expect[*wire.BlobPart](ctx, client)
		switch {
		case err != nil:
			return false, err
		case answer.Offset == piece.Total:
			return uploaded, nil
		case answer.Offset > piece.Total:
			return false, wire.Errorf(wire.CodeBadServerMessage, "the server has %d bytes of %d", answer.Offset, piece.Total)
		}
		uploaded = true
		piece.Ref++
		piece.Offset = answer.Offset
		piece.Bytes = content[answer.Offset:min(answer.Offset+uploadPiece, piece.Total)]
	}
}

// moduleHas prints whether a server has a module.
func moduleHas(ctx context.Context, c *console, args []string) error {
	set := c.flags("module has")
	p := c.placeFlags(set, false)
	if err := c.parse(set, args); err != nil {
		return err
	}
	if err := p.complete(false); err != nil {
		return err
	}
	if set.NArg() != 1 {
		return usagef("needs the digest of a module")
	}
	name, err := digest.Parse(set.Arg(0))
	if err != nil {
		return usagef("%q is no digest", set.Arg(0))
	}
	client, err := p.dial(ctx, 1)
	if err != nil {
		return err
	}
	defer client.close()
	if err := client.send(ctx, &wire.Blob{Ref: 1, Digest: name}); err != nil {
		return err
	}
	_, err = expect[*wire.BlobPart](ctx, client)
	if err != nil && wire.CodeOf(err) != wire.CodeNotFound {
		return err
	}
	has := err == nil
	return c.print(struct {
		Has bool `json:"has"`
	}{has}, "%t", has)
}
