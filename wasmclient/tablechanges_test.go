//go:build !js

package wasmclient_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// watched is a live query, and what it told last.
type watched struct {
	*judged
	live *wasmclient.Live
	rows []string // what was said in them
	code wire.Code
	told int
	all  []wasmclient.Row
}

func (j *judged) watch(s *wasmclient.Space, query wasmclient.Query) *watched {
	j.Helper()
	live, err := s.Live(j.Context(), query, func() {})
	if err != nil {
		j.Fatal(err)
	}
	j.Cleanup(live.Close)
	w := &watched{judged: j, live: live}
	w.look()
	return w
}

// look takes what the query tells by now.
func (w *watched) look() {
	time.Sleep(5 * time.Second)
	synctest.Wait()
	for {
		delta, ok := w.live.Next()
		if !ok {
			return
		}
		w.told++
		var rows []wasmclient.Row
		for _, p := range delta.Pieces {
			if p.Count > 0 {
				rows = append(rows, w.all[p.From:p.From+p.Count]...)
			} else {
				rows = append(rows, p.Row)
			}
		}
		w.all, w.rows, w.code = rows, nil, wire.CodeOf(delta.Err)
		for _, row := range rows {
			w.rows = append(w.rows, row.Bytes[24:])
		}
	}
}

func (w *watched) wants(when string, s seen) {
	w.Helper()
	w.look()
	if w.code != s.code || !slices.Equal(w.rows, s.rows) {
		w.Errorf("%s it sees %q, %v, and should see %q, %v", when, w.rows, w.code, s.rows, s.code)
	}
}

// seen is what a query gives.
type seen struct {
	rows []string
	code wire.Code
}

// tableChange is a change of a module's tables, and what the queries of clients of either version give: at the older module, and at the newer one, when one
// more note was written.
type tableChange struct {
	what         string
	older, newer func(*program.Manifest) // nil: as it was
	olds, news   wasmclient.Query
	old, new     [2]seen
}

func tableChanges() []tableChange {
	index := func(m *program.Manifest) {
		m.Tables[0].Indexes = []tables.Index{{Name: "by_payload", Columns: []int{2}}}
	}
	late := func(m *program.Manifest) {
		m.Tables = append([]tables.Schema{m.Tables[0]}, m.Tables...)
		m.Tables[0].Name = "late"
	}
	kept, by := wasmclient.Query{Table: "kept"}, wasmclient.Query{Table: "kept", Index: "by_payload", Columns: []string{"payload"}}
	unnamed := by
	unnamed.Columns = nil
	three, four := []string{"b", "a", "bb"}, []string{"b", "a", "bb", "ab"}
	sorted, sortedFour := []string{"a", "b", "bb"}, []string{"a", "b", "ab", "bb"}
	return []tableChange{
		{
			what: "add a table", newer: late, olds: kept, news: wasmclient.Query{Table: "late"},
			old: [2]seen{{rows: three}, {rows: three}}, new: [2]seen{{code: wire.CodeNotFound}, {rows: []string{"ab"}}},
		}, {
			what: "remove a table", newer: func(m *program.Manifest) { m.Tables[0].Name = "late" }, olds: kept, news: wasmclient.Query{Table: "late"},
			old: [2]seen{{rows: three}, {code: wire.CodeNotFound}}, new: [2]seen{{code: wire.CodeNotFound}, {rows: []string{"ab"}}},
		}, {
			what: "add an index", newer: index, olds: kept, news: by,
			old: [2]seen{{rows: three}, {rows: four}}, new: [2]seen{{sorted, wire.CodeSchemaIncompatible}, {rows: sortedFour}},
		}, {
			what: "add an index, which is asked for by its name alone", newer: index, olds: kept, news: unnamed,
			old: [2]seen{{rows: three}, {rows: four}}, new: [2]seen{{code: wire.CodeNotFound}, {rows: sortedFour}},
		}, {
			what: "remove an index", older: index, olds: by, news: kept,
			old: [2]seen{{rows: sorted}, {sortedFour, wire.CodeSchemaIncompatible}}, new: [2]seen{{rows: three}, {rows: four}},
		}, {
			what: "remove an index that is in no use", older: index, olds: kept, news: kept,
			old: [2]seen{{rows: three}, {rows: four}}, new: [2]seen{{rows: three}, {rows: four}},
		},
	}
}

// TestTableChanges: clients of either version look at tables, while the space is taken over and when they come back after a month, in both directions: who uses what is
// gone is told and no others are, what is asked for too early is there later, and nobody connects anew for it or loses what is in the log.
func TestTableChanges(t *testing.T) {
	was := texted("text")
	note := []program.EventType{{Name: "note", Fields: was}}
	inJudgedBubble(t, func(j *judged) {
		var later []func()
		for _, c := range tableChanges() {
			older, newer := moduletest.Kept("1.0.0", note, c.older), moduletest.Kept("2.0.0", note, c.newer)
			for _, direction := range []struct {
				name  string
				query wasmclient.Query
				sees  [2]seen
			}{{"old client, new module", c.olds, c.old}, {"new client, old module", c.news, c.new}} {
				t.Logf("%s, %s", c.what, direction.name)
				away := j.device("ada")
				first := j.tab(away)
				s := j.spaceOf(first, older)
				id := s.ID()
				j.appendEach(s, []space.Event{stamped("note", was, "text", "b"), stamped("note", was, "text", "a"), stamped("note", was, "text", "bb")})
				j.settled(first, id)
				j.watch(s, direction.query).wants("at first", direction.sees[0])
				first.Close(j.Context())
				alone := j.tab(away, offline)
				j.watch(alone.Space(id), direction.query).wants("offline", direction.sees[0])
				alone.Close(j.Context())

				later = append(later, func() {
					t.Logf("%s, %s, after a month", c.what, direction.name)
					stays := j.tab(j.device("ada"))
					there := j.watch(stays.Space(id), direction.query)
					j.settled(stays, id)
					there.wants("before", direction.sees[0])
					dials := stays.dials.Load()
					j.upgrade(stays, stays.Space(id), newer)
					j.appendEach(stays.Space(id), []space.Event{stamped("note", was, "text", "ab")})
					j.settled(stays, id)
					there.wants("taken over", direction.sees[1])
					if stays.dials.Load() != dials {
						t.Errorf("%d connections were made for it", stays.dials.Load()-dials)
					}

					back := j.tab(away)
					late := j.watch(back.Space(id), direction.query)
					j.settled(back, id)
					late.wants("back", direction.sees[1])
					notes := 0
					for record, err := range back.Space(id).Events(j.Context(), wasmclient.EventsOptions{}) {
						if err != nil {
							t.Fatal(err)
						}
						if record.Type == "note" {
							notes++
						}
					}
					if notes != 4 {
						t.Errorf("%d notes are in the log, not 4", notes)
					}
					stays.Close(j.Context())
					back.Close(j.Context())
				})
			}
		}
		time.Sleep(month)
		for _, f := range later {
			f()
		}
	})
}

// TestNewMeaning is the row of the change table that no manifest shows, by the inventory of docs/modules/versions.md: apps of before 2.4.5 count slots from 0. The
// older module knows nothing of it. What either app wrote is read for what it meant as soon as the space has the module that knows, also what was in the log by then,
// and also what comes a month later; what that refuses takes nothing with it.
func TestNewMeaning(t *testing.T) {
	if raceDetector { // it runs without: modules in bubbles, which take five times as long with it, and what they do at once the other tests do
		t.Skip("runs without the race detector: make unit")
	}
	p, err := program.Load(moduletest.Inventory())
	if err != nil {
		t.Fatal(err)
	}
	fields := p.Manifest.Events[0].Fields
	put := func(index int, item string) space.Event {
		return space.Event{Type: "put", Schema: program.SchemaOf("put", fields), Payload: moduletest.InventoryPut(index, item)}
	}
	inJudgedBubble(t, func(j *judged) {
		app := func(version string) func(*wasmclient.Config) {
			return func(c *wasmclient.Config) { c.ClientVersion = version }
		}
		older := moduletest.Kept("1.0.0", []program.EventType{{Name: "put", Fields: fields}}, nil)
		old, new := j.device("ada"), j.device("ada")
		first := j.tab(old, app("2.4.4"))
		id := j.spaceOf(first, older).ID()
		j.appendEach(first.Space(id), []space.Event{put(0, "axe")}) // an old app at the old module
		j.settled(first, id)
		first.Close(j.Context())
		early := j.tab(new, app("2.4.6"))
		early.Space(id)
		j.settled(early, id)
		j.appendEach(early.Space(id), []space.Event{put(2, "rope")}) // a new app at the old module
		j.settled(early, id)
		early.Close(j.Context())
		for device, writes := range map[*device][]space.Event{old: {put(2, "lamp"), put(8, "map"), put(7, "net")}, new: {put(4, "oar"), put(0, "saw"), put(5, "pot")}} {
			away := j.tab(device, offline, app(map[bool]string{true: "2.4.4", false: "2.4.6"}[device == old]))
			j.appendEach(away.Space(id), writes)
			away.Close(j.Context())
		}
		other := j.tab(j.device("ada"), app("2.4.6"))
		other.Space(id)
		j.settled(other, id)
		j.upgrade(other, other.Space(id), moduletest.Inventory())
		j.settled(other, id)
		j.same(j.slots(other.Space(id)), "1 axe", "2 rope")
		time.Sleep(month)
		for _, device := range []*device{old, new} {
			back := j.tab(device, app("2.4.6")) // the old app was upgraded meanwhile
			back.Space(id)
			j.settled(back, id)
			rejected, err := back.Space(id).Rejected(j.Context())
			if err != nil || len(rejected) != 1 || len(rejected[0].Transaction.Events) != 1 {
				t.Errorf("refused: %+v, %v", rejected, err)
			}
			back.Close(j.Context())
		}
		j.settled(other, id)
		want := []string{"1 axe", "2 rope", "3 lamp", "4 oar", "5 pot", "8 net"}
		j.same(j.slots(other.Space(id)), want...)
		for _, device := range []*device{old, new, j.device("ada")} {
			tab := j.tab(device, app("2.4.4"))
			tab.Space(id)
			j.settled(tab, id)
			j.same(j.slots(tab.Space(id)), want...)
		}
	})
}
