//go:build !js

package wasmclient_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"skerry/shared/digest"
	"skerry/shared/module/builtin"
	"skerry/shared/module/moduletest"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// kv puts the module on the world's server, and returns its name.
func (j *judged) kv() digest.Digest {
	j.Helper()
	d, _ := builtin.ByName("kv")
	if err := j.site.log.PutBlob(j.Context(), d, builtin.Bytes(d)); err != nil {
		j.Fatal(err)
	}
	return d
}

// declared returns the rows of a table, with a star behind what waits.
func (j *judged) declared(s *wasmclient.Space, query wasmclient.Query) []string {
	j.Helper()
	result, err := s.Query(j.Context(), query)
	if err != nil {
		j.Fatal(err)
	}
	return rowsOf(j.T, result)
}

func rowsOf(t *testing.T, result *wasmclient.Result) []string {
	t.Helper()
	rows := []string{}
	for _, row := range result.Rows {
		values, err := result.Schema.Values([]byte(row.Bytes))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSpace(fmt.Sprintln(values...))
		if row.Pending {
			text += "*"
		}
		rows = append(rows, text)
	}
	return rows
}

func packed(t *testing.T, value any) []byte {
	t.Helper()
	b, err := msgpack.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDeclaredTables: tables that a space declares are queried by their names as those of a manifest are, and live queries
// see when they get another column.
func TestDeclaredTables(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		kv := j.kv()
		ada := j.device("ada")
		tab := j.tab(ada)
		wrong := packed(t, map[string]any{"tables": map[string]any{"todos": map[string]string{"title": "string"}}})
		_, err := tab.CreateSpace(j.Context(), wasmclient.SpaceOptions{Module: kv, Params: wrong})
		if wire.CodeOf(err) != wire.CodeBadGenesis || !strings.Contains(err.Error(), "module_13: todos.title is string, and can be") || len(tab.Spaces()) > 0 {
			t.Errorf("params that cannot be: %v", err)
		}
		s, err := tab.CreateSpace(j.Context(), wasmclient.SpaceOptions{Module: kv, Params: moduletest.KVParams()})
		if err != nil {
			t.Fatal(err)
		}
		todos := wasmclient.Query{Table: "todos"}
		j.same(j.declared(s, todos))
		live, err := s.Live(j.Context(), todos, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		told := func(want ...string) {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			delta, ok := live.Next()
			if !ok || delta.Err != nil {
				t.Fatalf("nothing is told, or %v", delta.Err)
			}
			result := &wasmclient.Result{Schema: delta.Schema}
			for _, piece := range delta.Pieces {
				if piece.Count == 0 {
					result.Rows = append(result.Rows, piece.Row)
				}
			}
			j.same(rowsOf(t, result), want...)
		}
		told()
		j.write(s, "set", moduletest.KVSet("todos", "1", "title", "milk", "done", false))
		j.same(stars(j.declared(s, todos)), "1 milk false <nil>")
		told("1 milk false <nil>")
		j.write(s, "set", moduletest.KVSet("todos", "2", "title", "bread", "done", true, "due", 5))
		told("2 bread true 5") // and the other one is where it was
		j.write(s, "declare", packed(t, map[string]any{"tables": map[string]any{"todos": map[string]string{"tag": "text?"}, "lists": map[string]string{}}}))
		told("1 milk false <nil> <nil>", "2 bread true 5 <nil>")
		j.write(s, "delete", moduletest.KVDelete("todos", "1"))
		if _, err := j.write(s, "set", moduletest.KVSet("lists", "home")).Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		j.same(j.declared(s, todos), "2 bread true 5 <nil>")
		j.same(j.declared(s, wasmclient.Query{Table: "lists"}), "home")
		j.same(j.declared(s, wasmclient.Query{Table: "todos", Prefix: packed(t, []string{"2"})}), "2 bread true 5 <nil>")
		j.same(j.declared(s, wasmclient.Query{Table: "todos", Prefix: packed(t, []string{"1"})}))
		all, err := s.Tables(j.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, schema := range all.Schemas {
			names = append(names, schema.Name)
		}
		for _, name := range []string{"members", "rows", "all", "lists", "todos"} {
			if !slices.Contains(names, name) {
				t.Errorf("the tables are %v, without %s", names, name)
			}
		}
		for _, query := range []wasmclient.Query{{Table: "notes"}, {Table: "todos", Index: "by_title"}} {
			if _, err := s.Query(j.Context(), query); wire.CodeOf(err) != wire.CodeNotFound {
				t.Errorf("%v: %v", query, err)
			}
		}
		for _, prefix := range []any{5, []int{5}, []string{"1", "milk"}} {
			if _, err := s.Query(j.Context(), wasmclient.Query{Table: "todos", Prefix: packed(t, prefix)}); wire.CodeOf(err) != wire.CodeBadArgument {
				t.Errorf("the prefix %v: %v", prefix, err)
			}
		}
		refused := j.write(s, "set", moduletest.KVSet("todos", "1", "done", true)) // half a row that is gone
		if _, err := refused.Synced(j.Context()); wire.CodeOf(err) != wire.CodeModuleOwn+12 {
			t.Errorf("half a row: %v", err)
		}
	})
}

// TestSoakLastWriterWins lets two people write to the same rows at random, offline and online. In the end both have the same tables,
// and these are what the last of each value in the server's log says.
func TestSoakLastWriterWins(t *testing.T) {
	seeds := 4
	if os.Getenv("SKERRY_SOAK") != "" {
		seeds = 100
	}
	refused := 0
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inJudgedBubble(t, func(j *judged) { refused += j.lastWins(rand.New(rand.NewPCG(uint64(seed), 9))) })
		})
	}
	if refused == 0 {
		t.Error("nothing was ever refused: nobody wrote to what another had deleted")
	}
}

func (j *judged) lastWins(r *rand.Rand) (refused int) {
	devices := []*device{j.device("ada"), j.device("bob")}
	tab := j.tab(devices[0])
	s, err := tab.CreateSpace(j.Context(), wasmclient.SpaceOptions{Module: j.kv(), Params: moduletest.KVParams()})
	if err != nil {
		j.Fatal(err)
	}
	if _, err := j.write(s, "grant", packed(j.T, map[string]string{"identity": "bob", "role": "writer"})).Synced(j.Context()); err != nil {
		j.Fatal(err)
	}
	tab.Close(j.Context())
	both := func() (spaces []*wasmclient.Space) {
		tabs := make([]*wasmclient.Client, len(devices))
		for i, d := range devices {
			online := j.tab(d)
			tabs[i] = online.Client
			spaces = append(spaces, online.Space(s.ID()))
		}
		for i, there := range spaces {
			for tries := 0; there.Info().Position.Seq != uint64(len(j.site.records(s.ID()))) || tabs[i].Status().Pending > 0; tries++ {
				if tries > 1000 {
					j.Fatalf("device %d does not come to an end: %+v", i, there.Info())
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		for i, there := range spaces { // what the other one sent meanwhile
			for there.Info().Position.Seq != uint64(len(j.site.records(s.ID()))) {
				time.Sleep(100 * time.Millisecond)
			}
			refused += tabs[i].Status().Rejected
		}
		return spaces
	}
	both() // the tabs of both stay behind, and write with the others of their devices
	for range 3 {
		for _, d := range devices {
			away := j.tab(d, offline)
			there := away.Space(s.ID())
			for range 1 + r.IntN(12) {
				j.randomWrite(r, there)
			}
			synctest.Wait()
			away.Close(j.Context())
		}
		both()
	}
	spaces := both()
	want := j.model(s)
	for i, there := range spaces {
		if got := j.declared(there, wasmclient.Query{Table: "todos"}); !slices.Equal(got, want) {
			j.Errorf("device %d has\n%q, and the log says\n%q", i, got, want)
		}
	}
	return refused
}

// randomWrite changes one of a few rows, where the module lets it.
func (j *judged) randomWrite(r *rand.Rand, s *wasmclient.Space) {
	id, title := fmt.Sprint(r.IntN(4)), fmt.Sprint("title ", r.IntN(1000))
	kind, payload := "set", moduletest.KVSet("todos", id, "title", title, "done", r.IntN(2) == 0)
	switch r.IntN(6) {
	case 0:
		kind, payload = "delete", moduletest.KVDelete("todos", id)
	case 1:
		payload = moduletest.KVSet("todos", id, "done", r.IntN(2) == 0)
	case 2:
		payload = moduletest.KVSet("todos", id, "title", title)
	case 3:
		payload = moduletest.KVSet("todos", id, "due", r.IntN(100))
	case 4:
		payload = moduletest.KVSet("todos", id, "due", nil)
	}
	receipt := j.write(s, kind, payload)
	if err := receipt.Durable(j.Context()); err != nil && wire.CodeOf(err) != wire.CodeModuleOwn+12 && !errors.Is(err, j.Context().Err()) {
		j.Fatal(err)
	}
}

// model returns what the rows of the todos are by the log: of each value what was written last, since the row was deleted last.
func (j *judged) model(s *wasmclient.Space) []string {
	type row = map[string]any
	rows := map[string]row{}
	for _, record := range j.site.records(s.ID()) {
		var p struct {
			ID     string         `msgpack:"id"`
			Values map[string]any `msgpack:"values"`
		}
		if record.Type != "set" && record.Type != "delete" {
			continue
		}
		if err := msgpack.Unmarshal(record.Payload, &p); err != nil {
			j.Fatal(err)
		}
		if record.Type == "delete" {
			delete(rows, p.ID)
			continue
		}
		if rows[p.ID] == nil {
			rows[p.ID] = row{}
		}
		maps.Copy(rows[p.ID], p.Values)
	}
	all := []string{}
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		all = append(all, fmt.Sprintln(id, rows[id]["title"], rows[id]["done"], rows[id]["due"]))
		all[len(all)-1] = strings.TrimSpace(all[len(all)-1])
	}
	return all
}
