//go:build !js

package wasmclient_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// meant is a field with what it means: one that is renamed means the same, and one of the same name and another kind does not.
type meant struct {
	program.Field
	meaning int
}

// meantType is an event type of one version.
type meantType struct {
	name    string
	fields  []meant
	removed bool
}

func (t *meantType) declared() (fields []program.Field) {
	for _, f := range t.fields {
		fields = append(fields, f.Field)
	}
	return fields
}

// chain is versions of a module, each made of the one before by a change or two, with lenses for all before it.
type chain struct {
	*rand.Rand
	versions [][]meantType
	modules  [][]byte
	meanings int
	used     map[string]bool // names with kinds that were there
}

// literal returns a value as msgpack, and as rows have it.
func literal(kind tables.Kind, n int) (packed, row []byte) {
	switch kind {
	case tables.Text:
		text := fmt.Sprint("text ", n)
		return msgpack.AppendString(nil, text), append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)
	case tables.U64:
		return msgpack.AppendUint(nil, uint64(n)), binary.LittleEndian.AppendUint64(nil, uint64(n))
	default:
		return msgpack.AppendBool(nil, n%2 == 0), []byte{byte((n + 1) % 2)}
	}
}

var someKinds = []tables.Kind{tables.Text, tables.U64, tables.Bool}

func (c *chain) field() meant {
	c.meanings++
	f := meant{program.Field{Name: fmt.Sprint("f", c.meanings), Kind: someKinds[c.IntN(3)]}, c.meanings}
	c.needed(&f.Field, c.meanings)
	return f
}

// needed makes a field required, optional, or one with a default.
func (c *chain) needed(f *program.Field, n int) {
	f.Optional, f.Default = false, nil
	switch c.IntN(3) {
	case 0:
		f.Optional = true
	case 1:
		f.Default, _ = literal(f.Kind, 1000+n)
	}
}

func (c *chain) next() {
	var types []meantType
	if len(c.versions) == 0 {
		types = []meantType{{name: "note", fields: []meant{c.field(), c.field()}}, {name: "tag", fields: []meant{c.field()}}, {name: "last"}}
	} else {
		for _, t := range c.versions[len(c.versions)-1] {
			t.fields = slices.Clone(t.fields)
			types = append(types, t)
		}
		for range 1 + c.IntN(2) {
			c.change(types)
		}
		if c.IntN(4) == 0 {
			types = append(types, meantType{name: fmt.Sprint("type", len(c.versions)), fields: []meant{c.field()}})
		}
	}
	for _, t := range types {
		for _, f := range t.fields {
			c.used[fmt.Sprint(t.name, f.Name, f.Kind)] = true
		}
	}
	c.versions = append(c.versions, types)
	upgrade := program.Carry
	if c.IntN(3) == 0 {
		upgrade = program.Replay
	}
	c.modules = append(c.modules, moduletest.Kept(fmt.Sprintf("%d.0.0", len(c.versions)), c.manifest(), func(m *program.Manifest) { m.Upgrade = upgrade }))
}

func (c *chain) change(types []meantType) {
	t := &types[c.IntN(len(types))]
	n := len(t.fields)
	switch what := c.IntN(12); {
	case what < 4 || n == 0:
		t.fields = slices.Insert(t.fields, c.IntN(n+1), c.field())
	case what < 6:
		at := c.IntN(n)
		t.fields = slices.Delete(t.fields, at, at+1)
	case what < 8:
		c.meanings++
		t.fields[c.IntN(n)].Name = fmt.Sprint("renamed", c.meanings)
	case what < 9: // another kind under the same name means something else
		f := &t.fields[c.IntN(n)]
		for _, kind := range someKinds {
			if !c.used[fmt.Sprint(t.name, f.Name, kind)] {
				c.meanings++
				f.Kind, f.meaning = kind, c.meanings
				c.needed(&f.Field, c.meanings)
				break
			}
		}
	case what < 10:
		f := &t.fields[c.IntN(n)]
		c.meanings++
		c.needed(&f.Field, c.meanings)
	case what < 11:
		c.Shuffle(n, func(i, k int) { t.fields[i], t.fields[k] = t.fields[k], t.fields[i] })
	case t.name != "last":
		t.removed = true
	}
}

// given is what a field gets by the lens of a version where the payload has none.
func given(f *meant, version int) (packed, row []byte) {
	if f.Default != nil {
		n := 0
		for ; ; n++ {
			if packed, row = literal(f.Kind, 1000+n); string(packed) == string(f.Default) {
				return packed, row
			}
		}
	}
	return literal(f.Kind, 5000+version)
}

// manifest returns the event types of the newest version.
func (c *chain) manifest() (events []program.EventType) {
	version := len(c.versions) - 1
	for i := range c.versions[version] {
		is := &c.versions[version][i]
		e := program.EventType{Name: is.name, Fields: is.declared(), Removed: is.removed}
		known := map[space.Schema]bool{program.SchemaOf(is.name, e.Fields): true}
		for _, types := range slices.Backward(c.versions[:version]) {
			at := slices.IndexFunc(types, func(t meantType) bool { return t.name == is.name })
			if at < 0 {
				continue
			}
			was := &types[at]
			if schema := program.SchemaOf(was.name, was.declared()); known[schema] {
				continue
			} else {
				known[schema] = true
			}
			e.Older = append(e.Older, lensOf(was, is, version))
		}
		events = append(events, e)
	}
	return events
}

func lensOf(was, is *meantType, version int) program.Older {
	o := program.Older{Fields: was.declared()}
	for _, f := range was.fields {
		at := slices.IndexFunc(is.fields, func(g meant) bool { return g.meaning == f.meaning })
		switch {
		case at < 0:
			o.Drop = append(o.Drop, f.Name)
		case is.fields[at].Name != f.Name:
			o.Rename = append(o.Rename, program.Renamed{From: f.Name, To: is.fields[at].Name})
		}
	}
	for i := range is.fields {
		f := &is.fields[i]
		at := slices.IndexFunc(was.fields, func(g meant) bool { return g.meaning == f.meaning })
		if !f.Optional && f.Default == nil && (at < 0 || was.fields[at].Optional) {
			packed, _ := given(f, version)
			o.Given = append(o.Given, program.Given{Name: f.Name, Value: packed})
		}
	}
	return o
}

// said is what an event was meant to say: values by meaning.
type said struct {
	name    string
	version int // that it was written by
	values  map[int]int
}

// write makes an event as generated code of a version does.
func (c *chain) write(version int) (space.Event, said) {
	types := c.versions[version]
	t := &types[c.IntN(len(types))]
	for t.removed { // nobody's code writes it
		t = &types[c.IntN(len(types))]
	}
	s := said{t.name, version, map[int]int{}}
	n, packed := 0, []byte(nil)
	for i := range t.fields {
		f := &t.fields[i]
		if (f.Optional || f.Default != nil) && c.IntN(2) == 0 {
			continue
		}
		n++
		s.values[f.meaning] = c.IntN(1000)
		value, _ := literal(f.Kind, s.values[f.meaning])
		packed = append(msgpack.AppendString(packed, f.Name), value...)
	}
	return space.Event{Type: t.name, Schema: program.SchemaOf(t.name, t.declared()), Payload: append(msgpack.AppendMap(nil, n), packed...)}, s
}

// typeOf returns an event type of a version.
func (c *chain) typeOf(version int, name string) *meantType {
	for i := range c.versions[version] {
		if t := &c.versions[version][i]; t.name == name {
			return t
		}
	}
	return nil
}

// row is what a module of a version has to get of what was said.
func (c *chain) row(s *said, version int) string {
	var b []byte
	is, was := c.typeOf(version, s.name), c.typeOf(s.version, s.name)
	same := program.SchemaOf(is.name, is.declared()) == program.SchemaOf(was.name, was.declared())
	for i := range is.fields {
		f := &is.fields[i]
		n, there := s.values[f.meaning]
		_, row := literal(f.Kind, n)
		at := slices.IndexFunc(was.fields, func(g meant) bool { return g.meaning == f.meaning })
		if !there && at >= 0 && was.fields[at].Default != nil { // which its author's declaration said
			_, row = given(&was.fields[at], 0)
			there = true
		}
		if !there && (!f.Optional || !same && f.Default != nil) {
			_, row = given(f, version)
			there = true
		}
		switch {
		case f.Optional && !there:
			b = append(b, 0)
		case f.Optional:
			b = append(append(b, 1), row...)
		default:
			b = append(b, row...)
		}
	}
	return string(b)
}

// TestRandomChains: modules change at random, with lenses, and people write by whatever version they have, offline for whole months. Nothing is read as what it was
// not meant to be, nothing is lost, nothing waits for ever, and all replicas have the same tables.
func TestRandomChains(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inJudgedBubble(t, func(j *judged) {
				j.chained(&chain{Rand: rand.New(rand.NewPCG(20261122, seed)), used: map[string]bool{}})
			})
		})
	}
}

func (j *judged) chained(c *chain) {
	c.next()
	author := j.device("ada") // who takes the space over
	id := func() space.ID {
		tab := j.tab(author)
		defer tab.Close(j.Context())
		return j.spaceOf(tab, c.modules[0]).ID()
	}()
	type writer struct {
		device  *device
		version int
	}
	var writers []*writer
	for range 3 {
		writers = append(writers, &writer{device: j.device("ada")})
	}
	meant := map[space.ULID]said{}
	const steps = 7
	for step := range steps {
		if step > 0 {
			c.next()
		}
		for _, w := range writers {
			if c.IntN(2) == 0 {
				w.version = c.IntN(len(c.versions)) // newer, or an old tab that was open all the time
			}
			var change []func(*wasmclient.Config)
			if c.IntN(2) == 0 {
				change = append(change, offline)
			}
			tab := j.tab(w.device, change...)
			s := tab.Space(id)
			for range c.IntN(6) {
				e, says := c.write(w.version)
				receipt, err := s.AppendEvents(j.Context(), []space.Event{e})
				if err == nil {
					err = receipt.Durable(j.Context())
				}
				if err != nil {
					j.Fatal(err)
				}
				meant[receipt.ID()] = says
			}
			time.Sleep(time.Duration(c.IntN(100)) * time.Second)
			synctest.Wait()
			tab.Close(j.Context())
		}
		if c.IntN(12) == 0 {
			time.Sleep(month)
		}
		if step == 0 {
			continue
		}
		tab := j.tab(author)
		tab.Space(id)
		j.settled(tab, id)
		j.upgrade(tab, tab.Space(id), c.modules[len(c.modules)-1])
		tab.Close(j.Context())
	}

	removed := 0
	var tables [][]string
	for _, w := range writers {
		tab := j.tab(w.device)
		s := tab.Space(id)
		j.settled(tab, id)
		rejected, err := s.Rejected(j.Context())
		if err != nil {
			j.Fatal(err)
		}
		for _, row := range rejected {
			says := meant[row.ID]
			if row.Code != wire.CodeTypeRemoved || !c.typeOf(steps-1, says.name).removed {
				j.Errorf("%+v is refused: %v %s", says, row.Code, row.Reason)
			}
			delete(meant, row.ID)
			removed++
		}
		tab.Close(j.Context())
	}
	for _, w := range writers {
		tab := j.tab(w.device)
		tab.Space(id)
		j.settled(tab, id)
		tables = append(tables, j.keptRows(tab.Space(id)))
		tab.Close(j.Context())
	}
	for _, other := range tables[1:] {
		if !slices.Equal(other, tables[0]) {
			j.Errorf("two replicas have other tables: %q, %q", tables[0], other)
		}
	}

	tab := j.tab(author)
	s := tab.Space(id)
	j.settled(tab, id)
	j.same(j.keptRows(s), tables[0]...)
	var want []string
	var records []said
	version := 0
	for record, err := range s.Events(j.Context(), wasmclient.EventsOptions{}) {
		if err != nil {
			j.Fatal(err)
		}
		if record.Type == module.TypeModule {
			if version++; c.replays(version) {
				want = want[:0]
				for i := range records {
					want = append(want, c.row(&records[i], version))
				}
			}
		}
		says, ok := meant[record.ID]
		if !ok {
			continue
		}
		delete(meant, record.ID)
		records = append(records, says)
		want = append(want, c.row(&says, version))
	}
	if !slices.Equal(want, tables[0]) {
		for i := range min(len(want), len(tables[0])) {
			if want[i] != tables[0][i] {
				j.Errorf("%+v is read as %q, and means %q", records[i], tables[0][i], want[i])
			}
		}
		j.Errorf("%d rows, want %d", len(tables[0]), len(want))
	}
	if len(meant) > 0 {
		j.Errorf("in no log and not refused: %v", slices.Collect(maps.Values(meant)))
	}
	j.Logf("%d events in the log, %d refused as removed, %d versions", len(records), removed, len(c.versions))
}

// replays reports whether a version makes its tables anew.
func (c *chain) replays(version int) bool {
	p, err := program.Load(c.modules[version])
	return err == nil && p.Manifest.Upgrade == program.Replay
}
