package main

import (
	"context"
	"encoding/hex"

	"skerry/shared/digest"
	"skerry/shared/module/builtin"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// spaceID prints the ID that follows from a genesis.
func spaceID(_ context.Context, c *console, args []string) error {
	set := c.flags("space id")
	genesis := genesisFlags(set)
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return usagef("takes no arguments, got %q", set.Arg(0))
	}
	if set.Lookup("stamp").Value.String() == "" || set.Lookup("creator").Value.String() == "" || set.Lookup("module").Value.String() == "" {
		return usagef("needs --stamp, --creator and --module")
	}
	g, err := genesis.parse()
	if err != nil {
		return err
	}
	return c.print(struct {
		ID string `json:"id"`
	}{g.ID().String()}, "%s", g.ID())
}

type stringFlags interface {
	StringVar(p *string, name, value, usage string)
}

// genesisText is a genesis as flags give it.
type genesisText struct{ stamp, creator, module, params string }

func genesisFlags(set stringFlags) *genesisText {
	g := new(genesisText)
	set.StringVar(&g.stamp, "stamp", "", "the `ULID` made by the creator")
	set.StringVar(&g.creator, "creator", "", "the creator's identity")
	set.StringVar(&g.module, "module", "", "the module's digest in hexadecimal, or a built-in's name")
	set.StringVar(&g.params, "params-hex", "", "the module's parameters, msgpack in hexadecimal")
	return g
}

func (t *genesisText) parse() (space.Genesis, error) {
	var g space.Genesis
	var err error
	if g.Stamp, err = space.ParseULID(t.stamp); err != nil {
		return g, usageError{err.Error()}
	}
	if g.Module, err = parseModule(t.module); err != nil {
		return g, err
	}
	if g.Params, err = hex.DecodeString(t.params); err != nil {
		return g, usagef("--params-hex is not hexadecimal")
	}
	if limit := wire.DefaultLimits.Identity; uint64(len(t.creator)) > limit {
		return g, usagef("--creator is longer than %d bytes", limit)
	}
	if limit := wire.DefaultLimits.Params; uint64(len(g.Params)) > limit {
		return g, usagef("--params-hex is longer than %d bytes", limit)
	}
	g.Creator = t.creator
	return g, nil
}

func parseModule(text string) (digest.Digest, error) {
	if named, ok := builtin.ByName(text); ok {
		return named, nil
	}
	d, err := digest.Parse(text)
	if err != nil {
		return d, usagef("--module %q is neither a digest nor a built-in's name", text)
	}
	return d, nil
}
