package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"skerry/shared/wire"
	"skerry/syncserver"
)

// clientView is an identity of a connection as --json prints it.
type clientView struct {
	Connection string          `json:"connection_id"`
	Identity   string          `json:"identity"`
	Since      uint64          `json:"since"`
	Claims     json.RawMessage `json:"claims,omitempty"`
}

// connections prints who is connected, and what their credentials claim: it is for whoever has the data directory, and for
// nobody else.
func connections(ctx context.Context, c *console, args []string) (err error) {
	log, _, err := c.openData(ctx, "connections", args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	for after := (wire.ConnectionID{}); ; {
		clients, err := log.Clients(ctx, after, 500)
		if err != nil || len(clients) == 0 {
			return err
		}
		for i := range clients {
			if err := c.printClient(&clients[i]); err != nil {
				return err
			}
		}
		after = clients[len(clients)-1].Connection
	}
}

func (c *console) printClient(client *syncserver.Client) error {
	v := clientView{Connection: fmt.Sprintf("%x", client.Connection[:]), Identity: client.Identity, Since: client.Since}
	if len(client.Claims) > 0 {
		v.Claims = payloadView(client.Claims)
	}
	since := time.UnixMilli(int64(client.Since)).UTC().Format(time.RFC3339)
	return c.print(v, "%s  %s  %s  %s", v.Connection, since, v.Identity, v.Claims)
}

// systemSpace prints the ID of the system space, and of the module that is its policy.
func systemSpace(ctx context.Context, c *console, args []string) (err error) {
	log, data, err := c.openData(ctx, "system", args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	id, ok, err := syncserver.SystemSpace(ctx, log)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("the data in %s has no system space: a server that serves it makes one", data)
	}
	genesis, _, err := log.Genesis(ctx, id)
	if err != nil {
		return err
	}
	policy, err := syncserver.ModuleAt(ctx, log, id, &genesis)
	if err != nil {
		return err
	}
	return c.print(struct {
		ID     string `json:"id"`
		Policy string `json:"policy"`
	}{id.String(), policy.String()}, "%s", id)
}

// openData opens what the data directory has that a command without arguments names.
func (c *console) openData(ctx context.Context, command string, args []string) (log syncserver.Log, data string, err error) {
	set := c.flags(command)
	p := new(place)
	set.StringVar(&p.data, "data", "skerry-data", "the server's data `directory`")
	if err := c.parse(set, args); err != nil {
		return nil, "", err
	}
	if set.NArg() > 0 {
		return nil, "", usagef("takes no arguments, got %q", set.Arg(0))
	}
	if log, err = p.open(ctx); err != nil {
		return nil, "", dataError(p.data, err)
	}
	return log, p.data, nil
}
