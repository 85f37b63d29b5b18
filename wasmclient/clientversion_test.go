//go:build !js

package wasmclient_test

import (
	"fmt"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module/moduletest"
	"skerry/wasmclient"
)

// slots returns the rows of an inventory as a tab has them.
func (j *judged) slots(s *wasmclient.Space) (all []string) {
	j.Helper()
	result, err := s.Query(j.Context(), wasmclient.Query{Table: "slots"})
	if err != nil {
		j.Fatal(err)
	}
	for _, row := range result.Rows {
		values, err := result.Schema.Values([]byte(row.Bytes))
		if err != nil {
			j.Fatal(err)
		}
		all = append(all, strings.TrimSpace(fmt.Sprintln(values...)))
	}
	return all
}

// TestClientVersionOfAuthor is the story of docs/modules/versions.md. What was written offline under 2.4.4 is of 2.4.4 for the module, though the app is
// 2.4.6 when it is sent: on the server, on the device that wrote it, before and after, and on others.
func TestClientVersionOfAuthor(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		inventory := digest.Of(moduletest.Inventory())
		version := func(v string) func(*wasmclient.Config) {
			return func(c *wasmclient.Config) { c.ClientVersion = v }
		}
		ada := j.device("ada")
		old := j.tab(ada, offline, version("2.4.4"))
		if _, err := old.PutModule(j.Context(), moduletest.Inventory()); err != nil {
			j.Fatal(err)
		}
		s, err := old.CreateSpace(j.Context(), wasmclient.SpaceOptions{Module: inventory})
		if err != nil {
			j.Fatal(err)
		}
		if err := j.write(s, "put", moduletest.InventoryPut(0, "axe")).Durable(j.Context()); err != nil {
			j.Fatal(err)
		}
		j.same(j.slots(s), "1 axe")
		old.Close(j.Context())

		// The app is upgraded while there is still no network, and writes on; then there is one.
		still := j.tab(ada, offline, version("2.4.6"))
		s = still.Space(s.ID())
		j.same(j.slots(s), "1 axe")
		if err := j.write(s, "put", moduletest.InventoryPut(2, "rope")).Durable(j.Context()); err != nil {
			j.Fatal(err)
		}
		still.Close(j.Context())
		now := j.tab(ada, version("2.4.6"))
		s = now.Space(s.ID())
		if _, err := j.write(s, "put", moduletest.InventoryPut(3, "lamp")).Synced(j.Context()); err != nil {
			j.Fatal(err)
		}
		want := []string{"1 axe", "2 rope", "3 lamp"}
		j.same(j.slots(s), want...)
		var authored []string
		for _, r := range j.site.records(s.ID()) {
			authored = append(authored, r.ClientVersion)
		}
		j.same(authored, "2.4.4", "2.4.6", "2.4.6")

		elsewhere := j.tab(j.device("ada"), version("2.4.4")) // an app that was not upgraded reads the same tables
		elsewhere.Space(s.ID())
		elsewhere.holds(s.ID(), 3)
		j.same(j.slots(elsewhere.Space(s.ID())), want...)
		server := j.instanceAt(s.ID(), 3) // of the log, by the server's engine
		defer server.Close()
		var rows []string
		server.Tables().Scan(0, 0, "", "", false, func(_, row string) bool {
			values, err := server.Tables().Schemas()[0].Values([]byte(row))
			if err != nil {
				j.Fatal(err)
			}
			rows = append(rows, strings.TrimSpace(fmt.Sprintln(values...)))
			return true
		})
		j.same(rows, want...)
	})
}
