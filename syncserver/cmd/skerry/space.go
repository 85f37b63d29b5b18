package main

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"time"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/sqlitelog"
)

// place is where a command finds spaces: a server, or the data directory of one, which is only read.
type place struct {
	url, data string
	who       credentials
}

func (c *console) placeFlags(set *flag.FlagSet, offline bool) *place {
	p := new(place)
	set.StringVar(&p.url, "url", "", "`address` of a server, as http://127.0.0.1:8080")
	p.who.flags(set)
	if offline {
		set.StringVar(&p.data, "data", "", "data `directory` to look into instead of asking a server")
	}
	return p
}

// complete checks that exactly one place is named.
func (p *place) complete(offline bool) error {
	switch {
	case !offline && p.url == "":
		return usagef("needs --url")
	case offline && (p.url == "") == (p.data == ""):
		return usagef("needs either --url or --data")
	}
	return nil
}

// open opens the data directory for reading.
func (p *place) open(ctx context.Context) (syncserver.Log, error) {
	return sqlitelog.OpenReadOnly(ctx, sqlitelog.Config{Dir: p.data})
}

// spaceView is a space as --json prints it.
type spaceView struct {
	ID        string `json:"id"`
	Stamp     string `json:"stamp"`
	CreatedAt string `json:"created_at"`
	Creator   string `json:"creator"`
	Module    string `json:"module"`
	Params    string `json:"params"` // hexadecimal
	Signature string `json:"genesis_signature"`
	Head      uint64 `json:"head"`
	Now       string `json:"module_now"`
	State     string `json:"state"`

	// The modules that it had, the last one being that which it has; of space info alone.
	Modules []useView `json:"modules,omitempty"`

	// The newest checkpoint of the tables that the server told of, if it did.
	CheckpointSeq uint64 `json:"checkpoint_seq,omitempty"`
	Checkpoint    string `json:"checkpoint,omitempty"`
}

func viewOf(row *wire.SpaceRow) spaceView {
	g := &row.Genesis
	state := map[wire.SpaceState]string{wire.SpacePresent: "present", wire.SpaceLeft: "left", wire.SpaceDeleted: "deleted"}[row.State]
	v := spaceView{
		ID: g.ID().String(), Stamp: g.Stamp.String(), Creator: g.Creator, Module: g.Module.String(),
		CreatedAt: time.UnixMilli(int64(g.Stamp.Time())).UTC().Format(time.RFC3339Nano),
		Params:    hex.EncodeToString(g.Params), Signature: hex.EncodeToString(row.GenesisSignature),
		Head: row.Head, Now: row.Module.String(), State: state, CheckpointSeq: row.CheckpointSeq,
	}
	if row.CheckpointSeq > 0 {
		v.Checkpoint = row.Checkpoint.String()
	}
	return v
}

// rowOf reads a space's row from a log.
func rowOf(ctx context.Context, log syncserver.Log, id space.ID) (*wire.SpaceRow, error) {
	genesis, signature, err := log.Genesis(ctx, id)
	if err != nil {
		return nil, err
	}
	head, err := log.Head(ctx, id)
	if errors.Is(err, syncserver.ErrDeleted) {
		return &wire.SpaceRow{Genesis: genesis, GenesisSignature: signature, State: wire.SpaceDeleted}, nil
	}
	if err != nil {
		return nil, err
	}
	module, err := syncserver.ModuleAt(ctx, log, id, &genesis)
	if err != nil {
		return nil, err
	}
	return &wire.SpaceRow{Genesis: genesis, GenesisSignature: signature, Module: module, Head: head.Seq}, nil
}

// spaceArgument parses the ID that a command line names.
func spaceArgument(set *flag.FlagSet) (space.ID, error) {
	if set.NArg() == 0 {
		return space.ID{}, usagef("needs the ID of a space")
	}
	id, err := digest.Parse(set.Arg(0))
	if err != nil {
		return id, usagef("%q is no ID of a space", set.Arg(0))
	}
	return id, nil
}

// parseSpace parses a command that has to do with a space of a server, and where it is.
func (c *console) parseSpace(set *flag.FlagSet, args []string) (p *place, id space.ID, err error) {
	p = c.placeFlags(set, false)
	if err := c.parse(set, args); err != nil {
		return nil, id, err
	}
	if err := p.complete(false); err != nil {
		return nil, id, err
	}
	id, err = spaceArgument(set)
	return p, id, err
}

// spaceList prints the spaces of an identity, or all that are in a data directory.
func spaceList(ctx context.Context, c *console, args []string) error {
	set := c.flags("space ls")
	p := c.placeFlags(set, true)
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return usagef("takes no arguments, got %q", set.Arg(0))
	}
	if err := p.complete(true); err != nil {
		return err
	}
	show := func(row *wire.SpaceRow) error {
		v := viewOf(row)
		return c.print(v, "%s  %s  %6d records  by %s", v.ID, v.Stamp, v.Head, v.Creator)
	}
	if p.data != "" {
		return listData(ctx, p, show)
	}
	client, err := p.dial(ctx, 0)
	if err != nil {
		return err
	}
	defer client.close()
	seen := map[space.ID]bool{}
	request := &wire.Directory{Ref: 1}
	for {
		if err := client.send(ctx, request); err != nil {
			return err
		}
		spaces, err := expect[*wire.Spaces](ctx, client)
		if err != nil {
			return err
		}
		for i := range spaces.Rows {
			row := &spaces.Rows[i]
			if id := row.Genesis.ID(); !seen[id] {
				seen[id] = true
				if err := show(row); err != nil {
					return err
				}
			}
		}
		if !spaces.More {
			return nil
		}
		request = &wire.Directory{Ref: request.Ref + 1, Since: spaces.Since}
	}
}

func listData(ctx context.Context, p *place, show func(*wire.SpaceRow) error) error {
	log, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer log.Close()
	return syncserver.EachSpace(ctx, log, func(id space.ID) error {
		row, err := rowOf(ctx, log, id)
		if err != nil {
			return err
		}
		return show(row)
	})
}

// spaceInfo prints what a space is made from and where its log ends.
func spaceInfo(ctx context.Context, c *console, args []string) error {
	set := c.flags("space info")
	p := c.placeFlags(set, true)
	if err := c.parse(set, args); err != nil {
		return err
	}
	if err := p.complete(true); err != nil {
		return err
	}
	id, err := spaceArgument(set)
	if err != nil {
		return err
	}
	row, err := p.row(ctx, id)
	if err != nil {
		return err
	}
	v := viewOf(row)
	if row.State == wire.SpacePresent {
		if v.Modules, err = p.history(ctx, id, &row.Genesis); err != nil {
			return err
		}
	}
	modules := ""
	for i := range v.Modules {
		modules += "\nmodule   " + v.Modules[i].text()
	}
	return c.print(v, "id       %s\nstamp    %s (%s)\ncreator  %s%s\nparams   %s\nhead     %d",
		v.ID, v.Stamp, v.CreatedAt, v.Creator, modules, v.Params, v.Head)
}

// history returns the modules that a space had.
func (p *place) history(ctx context.Context, id space.ID, genesis *space.Genesis) (all []useView, err error) {
	if p.data == "" {
		token := ""
		if p.who.given() {
			if token, err = p.bearer(ctx); err != nil {
				return nil, err
			}
		}
		has, err := p.modules(ctx, id, token)
		return has.History, err
	}
	log, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	history, err := syncserver.ModuleHistory(ctx, log, id, genesis)
	for _, use := range history {
		name, version, _ := syncserver.ModuleName(ctx, log, use.Module) // one whose bytes are gone has a digest still
		all = append(all, useView{namedModule{use.Module.String(), name, version}, use.Seq, use.Since})
	}
	return all, err
}

// row finds one space. A server tells of it when it is subscribed to; without credit no record comes with it.
func (p *place) row(ctx context.Context, id space.ID) (*wire.SpaceRow, error) {
	if p.data != "" {
		log, err := p.open(ctx)
		if err != nil {
			return nil, err
		}
		defer log.Close()
		return rowOf(ctx, log, id)
	}
	client, err := p.dial(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer client.close()
	if err := client.send(ctx, &wire.Subscribe{Subscriptions: []wire.Subscription{{Space: id, Position: space.Start(id)}}}); err != nil {
		return nil, err
	}
	for {
		frame, err := client.receive(ctx)
		if err != nil {
			return nil, err
		}
		switch f := frame.(type) {
		case *wire.Ended:
			return nil, &wire.CodeError{Code: f.Code, Reason: f.Reason}
		case *wire.Spaces:
			for i := range f.Rows {
				if f.Rows[i].Genesis.ID() == id {
					return &f.Rows[i], nil
				}
			}
			return nil, fmt.Errorf("the server told of another space")
		}
	}
}
