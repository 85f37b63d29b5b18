//go:build !js

package wasmclient_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/syncserver/wasmengine"
	"skerry/wasmclient"
)

// TestSoakTablesAreTheSame lets devices of one identity do random things, some of which the module refuses, offline and online,
// with tabs that end in the middle, a server that begins anew, and upgrades to modules of random tables. In the end each has
// the tables that the server's log gives, and so have the checkpoints that the server and the devices keep.
func TestSoakTablesAreTheSame(t *testing.T) {
	if raceDetector { // it runs without: modules in bubbles, which take five times as long with it, and what they do at once the other tests do
		t.Skip("runs without the race detector: make unit")
	}
	seeds, least := 10, 20
	switch {
	case os.Getenv("SKERRY_SOAK") != "":
		seeds, least = 100, 200
	case testing.Short():
		seeds, least = 5, 0
	}
	upgrades, kept := 0, 0
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inJudgedBubble(t, func(j *judged) {
				u, k := j.randomly(rand.New(rand.NewPCG(uint64(seed), 0)), seed)
				upgrades, kept = upgrades+u, kept+k
			})
		})
	}
	t.Logf("%d upgrades, %d checkpoints on devices and the server", upgrades, kept)
	if upgrades < least || kept == 0 {
		t.Errorf("%d upgrades, %d checkpoints", upgrades, kept)
	}
}

// family is modules that take over from one another.
type family struct {
	guest    func(*program.Manifest) []byte
	manifest func() *program.Manifest
	migrates bool // else the rows of a table with another name go, and with them who may read
	event    func(r *rand.Rand) (eventType string, payload []byte)
}

var families = []family{
	{
		guest:    func(m *program.Manifest) []byte { return m.AppendSection(moduletest.ChatWithoutManifest()) },
		manifest: moduletest.ChatManifest,
		event: func(r *rand.Rand) (string, []byte) {
			switch r.IntN(8) {
			case 0:
				return "message", moduletest.ChatMessage("tea", "") // refused
			case 1:
				return "remove", binary.BigEndian.AppendUint16([]byte("\x81\xa3seq\xcd"), uint16(1+r.IntN(40)))
			case 2:
				return "stats", append([]byte("\x81\xa4room\xa3"), "tea"...)
			case 3:
				return "join", moduletest.ChatJoin(fmt.Sprint("Ada ", r.IntN(3)))
			}
			return "message", moduletest.ChatMessage([]string{"tea", "cake"}[r.IntN(2)], fmt.Sprint(r.IntN(1000)))
		},
	},
	{
		guest: func(m *program.Manifest) []byte { return moduletest.Members(func(to *program.Manifest) { *to = *m }) },
		manifest: func() (m *program.Manifest) {
			moduletest.Members(func(made *program.Manifest) { m = made })
			return m
		},
		migrates: true,
		event: func(r *rand.Rand) (string, []byte) {
			who := []string{"bea", "cy", "di", "x"}[min(3, r.IntN(12))] // at the last of which migrate stops
			switch r.IntN(6) {
			case 0:
				return "add", moduletest.MembersAdd(who)
			case 1:
				return "remove", moduletest.MembersAdd(who)
			}
			return "note", moduletest.MembersNote(fmt.Sprint(r.IntN(1000)))
		},
	},
}

// next makes a module of random tables: they are called otherwise, have other indexes, and are taken over in some way.
func (f *family) next(r *rand.Rand, version int) []byte {
	m := f.manifest()
	m.Version = fmt.Sprintf("%d.0.0", version)
	m.Upgrade = []string{program.Carry, program.Carry, program.Replay, program.Replay, ""}[r.IntN(5)]
	for i := range m.Tables {
		table := &m.Tables[i]
		if r.IntN(6) == 0 && (f.migrates || !slices.Contains(m.Readable, table.Name)) {
			name := table.Name
			table.Name = fmt.Sprint(name, version)
			if n := slices.Index(m.Readable, name); n >= 0 {
				m.Readable[n] = table.Name
			}
			if m.Audience == name {
				m.Audience = table.Name
			}
		}
		for n := range r.IntN(3) {
			columns := r.Perm(len(table.Columns))[:1+r.IntN(len(table.Columns))]
			table.Indexes = append(table.Indexes, tables.Index{Name: fmt.Sprint("more", n), Columns: columns, Unique: r.IntN(12) == 0})
		}
	}
	return f.guest(m)
}

func (j *judged) randomly(r *rand.Rand, seed int) (upgrades, kept int) {
	f := &families[seed%len(families)]
	devices := []*device{j.device("ada"), j.device("ada"), j.device("ada")}
	tabs := make([]*tab, len(devices))
	first := j.tab(devices[0])
	begin := f.guest(f.manifest())
	name, err := first.PutModule(j.Context(), begin)
	if err != nil {
		j.Fatal(err)
	}
	s, err := first.CreateSpace(j.Context(), wasmclient.SpaceOptions{Module: name})
	if err != nil {
		j.Fatal(err)
	}
	eventType, payload := "join", moduletest.ChatJoin("Ada")
	if seed%len(families) == 1 {
		eventType, payload = "add", moduletest.MembersAdd("bea")
	}
	if _, err := j.write(s, eventType, payload).Synced(j.Context()); err != nil {
		j.Fatal(err)
	}
	first.Close(j.Context())
	for version := range 150 {
		n := r.IntN(len(devices))
		if tabs[n] == nil {
			var change []func(*wasmclient.Config)
			if r.IntN(2) == 0 {
				change = append(change, offline)
			}
			tabs[n] = j.tab(devices[n], change...)
		}
		there := tabs[n].Space(s.ID())
		switch r.IntN(12) {
		default:
			kind, payload := f.event(r)
			j.write(there, kind, payload)
		case 6:
			for _, table := range f.manifest().Tables {
				_, err := there.Query(j.Context(), wasmclient.Query{Table: table.Name})
				switch wire.CodeOf(err) {
				case wire.CodeNotFound, wire.CodeUnknownSpace, wire.CodeModuleMissing:
				default:
					if err != nil {
						j.Fatal(err)
					}
				}
			}
		case 7, 8:
			tabs[n].Close(j.Context())
			tabs[n] = nil
		case 9, 10:
			if next, err := tabs[n].PutModule(j.Context(), f.next(r, version+2)); err != nil {
				j.Fatal(err)
			} else if _, err := there.Upgrade(j.Context(), next, nil); err != nil {
				j.Fatal(err)
			}
		case 11:
			if seed%8 > 5 { // enough for checkpoints
				events := make([]space.Event, 150)
				for i := range events {
					for events[i].Type == "" || events[i].Type == "remove" || string(events[i].Payload) == string(moduletest.ChatMessage("tea", "")) || events[i].Type == "stats" {
						events[i].Type, events[i].Payload = f.event(r)
					}
				}
				if _, err := there.AppendEvents(j.Context(), events); err != nil {
					j.Fatal(err)
				}
			}
			if r.IntN(2) == 0 {
				j.restart()
			}
		}
		time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
	}
	for n := range devices {
		if tabs[n] != nil {
			tabs[n].Close(j.Context())
		}
		tabs[n] = j.tab(devices[n])
		tabs[n].Space(s.ID())
	}
	for n := range tabs { // each has sent what it had
		for began := time.Now(); tabs[n].Space(s.ID()).Info().Pending > 0; time.Sleep(100 * time.Millisecond) {
			if time.Since(began) > 20*time.Minute {
				rows, err := tabs[n].Space(s.ID()).Pending(j.Context(), 1, false)
				j.Fatalf("device %d does not get rid of what it has: %+v, %v", n, rows, err)
			}
		}
	}
	time.Sleep(10 * time.Second)
	log := j.site.records(s.ID())
	for i := range log {
		if log[i].Type == module.TypeModule {
			upgrades++
		}
	}
	want := j.tablesOf(s.ID())
	for n := range tabs {
		tabs[n].holds(s.ID(), len(log))
		for table := range want {
			result, err := tabs[n].Space(s.ID()).Query(j.Context(), wasmclient.Query{Table: table, Limit: 100_000})
			if err != nil {
				j.Fatalf("device %d, table %s: %v", n, table, err)
			}
			rows := []string{}
			for _, row := range result.Rows {
				if row.Pending {
					j.Errorf("device %d, table %s: a row waits, and nothing does", n, table)
				}
				rows = append(rows, row.Bytes)
			}
			if !slices.Equal(rows, want[table]) {
				j.Errorf("device %d, table %s: %d rows, and the log gives %d, or they differ", n, table, len(rows), len(want[table]))
			}
		}
		tabs[n].Close(j.Context())
	}
	for n := range devices {
		if c, err := devices[n].store.Checkpoint(j.Context(), s.ID()); err != nil {
			j.Fatal(err)
		} else if c != nil {
			kept++
			if j.digestAt(s.ID(), c.Seq) != digest.Of(c.Root) {
				j.Errorf("device %d keeps a checkpoint of record %d that the log does not give", n, c.Seq)
			}
		}
	}
	value, err := j.site.log.Key(j.Context(), "checkpoint/"+s.ID().String())
	if err != nil {
		j.Fatal(err)
	}
	for ; len(value) >= 40; value = value[40:] {
		kept++
		if seq := binary.BigEndian.Uint64(value); j.digestAt(s.ID(), seq) != digest.Digest(value[8:40]) {
			j.Errorf("the server keeps a checkpoint of record %d that the log does not give", seq)
		}
	}
	return upgrades, kept
}

// instanceAt returns an instance that has applied the server's log up to a record, one that compares what the server said of
// the tables with what they are.
func (j *judged) instanceAt(id space.ID, seq uint64) *wasmengine.Instance {
	j.Helper()
	genesis, _, err := j.site.log.Genesis(j.Context(), id)
	if err != nil {
		j.Fatal(err)
	}
	log := j.site.records(id)
	made, err := j.engine.Begin(&genesis, program.Origin{Upgraded: true, History: func(after, to uint64, f func([]space.Record) error) error {
		return f(log[after:to])
	}})
	if err != nil {
		j.Fatal(err)
	}
	i := made.(*wasmengine.Instance)
	for from := 0; from < int(seq); {
		to := from + 1
		for to < int(seq) && log[to].Index > 0 {
			to++
		}
		if r := &log[from]; r.Type == module.TypeCheckpoint {
			d := i.Digest(id, space.Position{Seq: r.Seq - 1, Chain: space.Fold(id, log[:from])})
			if want := msgpack.AppendBinary(msgpack.AppendString(msgpack.AppendMap(nil, 1), "digest"), d[:]); string(want) != string(r.Payload) {
				j.Errorf("record %d says otherwise what the tables are than the log", r.Seq)
			}
		}
		if err := i.Apply(log[from:to]); err != nil {
			j.Fatalf("record %d: %v", log[from].Seq, err)
		}
		from = to
	}
	return i
}

// digestAt returns what a checkpoint at a record has to be.
func (j *judged) digestAt(id space.ID, seq uint64) digest.Digest {
	j.Helper()
	i := j.instanceAt(id, seq)
	defer i.Close()
	return i.Digest(id, space.Position{Seq: seq, Chain: space.Fold(id, j.site.records(id)[:seq])})
}

// tablesOf returns the rows that modules make of the server's log, by table.
func (j *judged) tablesOf(id space.ID) map[string][]string {
	j.Helper()
	instance := j.instanceAt(id, uint64(len(j.site.records(id))))
	defer instance.Close()
	found := map[string][]string{}
	for i, schema := range instance.Tables().Schemas() {
		found[schema.Name] = []string{}
		instance.Tables().Scan(i, 0, "", "", false, func(_, row string) bool {
			found[schema.Name] = append(found[schema.Name], row)
			return true
		})
	}
	return found
}
