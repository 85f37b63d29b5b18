package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"

	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/sqlitelog"
)

// TestServerKilledWithConnections kills a server's process while clients come, stay and go, some times over one data directory. At
// the next start every connection is written off, once, and the table of who is connected is empty when it is ready.
func TestServerKilledWithConnections(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	const rounds, clients = 3, 30
	for round := range rounds {
		c, err := spawn(ctx, os.Stderr, "serve", "--data", dir)
		if err != nil {
			t.Fatal(err)
		}
		var in, coming sync.WaitGroup
		in.Add(clients)
		for i := range clients {
			coming.Go(func() {
				for n := 0; ; n++ {
					p, err := dial(ctx, c.url, memberOf("comer-"+strconv.Itoa(i)))
					if n == 0 {
						in.Done()
					}
					if err != nil {
						if n == 0 {
							t.Errorf("nobody gets in: %v", err)
						}
						return // the server is killed
					}
					if i%2 == 0 { // who stays
						p.receive(ctx)
					}
					p.close()
				}
			})
		}
		in.Wait()
		if err := c.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		c.cmd.Wait()
		coming.Wait()
		if left := open(t, dir); len(left) < clients/2 {
			t.Errorf("round %d: the killed server left %d connections, and %d stayed", round, len(left), clients/2)
		}
	}
	c, err := spawn(ctx, os.Stderr, "serve", "--data", dir)
	if err != nil {
		t.Fatal(err)
	}
	for ready := false; !ready; {
		response, err := http.Get(c.url + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		ready = response.StatusCode == http.StatusOK
	}
	if left := open(t, dir); len(left) > 0 {
		t.Errorf("%d connections are not written off", len(left))
	}
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	log, err := sqlitelog.OpenReadOnly(ctx, sqlitelog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	id, ok, err := syncserver.SystemSpace(ctx, log)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	here := map[string]bool{}
	for after := uint64(0); ; {
		records, err := log.Read(ctx, id, after, 1000, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			break
		}
		for i := range records {
			note(t, here, &records[i])
		}
		after = records[len(records)-1].Seq
	}
	for who := range here {
		t.Errorf("%x came and never went", who)
	}
}

// note follows who is here by the records; a payload is equal in both.
func note(t *testing.T, here map[string]bool, r *space.Record) {
	who := string(r.Payload)
	switch r.Type {
	case module.TypeConnect:
		if here[who] {
			t.Errorf("record %d: %x came twice", r.Seq, who)
		}
		here[who] = true
	case module.TypeDisconnect:
		if !here[who] {
			t.Errorf("record %d: %x went, and was not here", r.Seq, who)
		}
		delete(here, who)
	}
}

// open returns who is connected by the data directory.
func open(t *testing.T, dir string) []syncserver.Client {
	t.Helper()
	log, err := sqlitelog.OpenReadOnly(t.Context(), sqlitelog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	clients, err := log.Clients(t.Context(), wire.ConnectionID{}, 1000)
	if err := errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}
	return clients
}
