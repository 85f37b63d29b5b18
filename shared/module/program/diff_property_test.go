package program

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"skerry/shared/msgpack"
	"skerry/shared/tables"
)

// drawn returns a source of random numbers and how many rounds to go, as the environment says; without a word of it, the number that is given.
func drawn(t *testing.T, stream uint64, rounds int) (*rand.Rand, int) {
	seed := rand.Uint64()
	if text := os.Getenv("SKERRY_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getenv("SKERRY_SOAK") != "" {
		rounds = 40_000
	}
	t.Logf("SKERRY_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, stream)), rounds
}

// TestSoakDiffKeepsItsWord changes manifests at random, and lets a client of the older one do what it declared: send its events and params, and
// read the newer one's events, and its tables by keys and indexes. What is called less than major it never notices; for what is called major there
// is something that it does, and that goes wrong. SKERRY_SEED=n repeats it, and SKERRY_SOAK=1 makes it long.
func TestSoakDiffKeepsItsWord(t *testing.T) {
	rng, rounds := drawn(t, 0, 60)
	counts := map[Bump]int{}
	for total := 0; total < rounds || len(counts) < int(Major)+1; { // until each was tried
		older := randomManifest(rng)
		newer := changedManifest(rng, older)
		if newer == nil {
			continue
		}
		all := Compare(older, newer)
		bump := LeastBump(all)
		counts[bump]++
		total++
		tries, broken := 120, ""
		if bump == None && len(all) == 0 {
			tries = 10
		}
		for try := 0; try < tries && broken == ""; try++ {
			broken = breaks(rng, older, newer)
		}
		if bump < Major && broken != "" {
			t.Fatalf("called %v, and it breaks: %s\n%+v\n%+v\n%+v", bump, broken, all, older, newer)
		}
		if bump == Major && broken == "" {
			t.Fatalf("called major, and nothing breaks\n%+v\n%+v\n%+v", all, older, newer)
		}
	}
	t.Logf("tried %v", counts)
}

// breaks has a client of an older manifest do something of everything, and returns what goes wrong.
func breaks(rng *rand.Rand, older, newer *Manifest) string {
	for i := range older.Events {
		e := &older.Events[i]
		at := newer.Event(e.Name)
		if at < 0 {
			return e.Name + " is not known"
		}
		is := newer.Events[at].Fields
		if sent := randomMap(rng, e.Fields); !reads(sent, is) || !sameMeaning(sent, e.Fields, is) {
			return fmt.Sprintf("%s %x is refused, or read as something else", e.Name, sent)
		}
		if got := randomMap(rng, is); !reads(got, e.Fields) || !hasAll(e.Fields, is) {
			return fmt.Sprintf("%s %x cannot be read", e.Name, got)
		}
	}
	if older.Raw { // it sends what it likes of types that it does not declare
		for _, name := range []string{"a", "b", "c", "d", "of its own"} {
			sent := [][]byte{{0xc3}, {0x80}, randomMap(rng, randomFields(rng))}[rng.IntN(3)]
			if at := newer.Event(name); older.Event(name) < 0 && (at < 0 && !newer.Raw || at >= 0 && !reads(sent, newer.Events[at].Fields)) {
				return fmt.Sprintf("%s %x is refused", name, sent)
			}
		}
	}
	params := []byte{0xc3}
	if older.Params != nil {
		params = randomMap(rng, older.Params)
	}
	if newer.Params != nil && !reads(params, newer.Params) {
		return fmt.Sprintf("params %x are refused", params)
	}
	for i := range older.Tables {
		at := newer.Table(older.Tables[i].Name)
		if at < 0 {
			return "table " + older.Tables[i].Name + " is gone"
		}
		if wrong := breaksTable(rng, &older.Tables[i], &newer.Tables[at]); wrong != "" {
			return "table " + older.Tables[i].Name + ": " + wrong
		}
	}
	return ""
}

func reads(payload []byte, fields []Field) bool {
	_, err := appendRow(nil, fields, payload)
	return err == nil
}

// sameMeaning reports whether each field that the sender gave arrives, with its value.
func sameMeaning(sent []byte, was, is []Field) bool {
	for _, f := range was {
		at := slices.IndexFunc(is, func(g Field) bool { return g.Name == f.Name })
		if at < 0 {
			return false
		}
		one, other := f, is[at]
		one.Optional, other.Optional = true, true
		a, errA := appendRow(nil, []Field{one}, sent)
		b, errB := appendRow(nil, []Field{other}, sent)
		if errA != nil || errB != nil || one.Kind != other.Kind || string(a) != string(b) {
			return false
		}
	}
	return true
}

// hasAll reports whether each field that a client declared that it reads is one that there is.
func hasAll(declared, is []Field) bool {
	for _, f := range declared {
		if !slices.ContainsFunc(is, func(g Field) bool { return f.Name == g.Name && f.Kind == g.Kind }) {
			return false
		}
	}
	return true
}

func fieldsOfColumns(s *tables.Schema, places []int) (fields []Field) {
	for _, place := range places {
		c := &s.Columns[place]
		fields = append(fields, Field{Name: c.Name, Kind: c.Kind, Optional: c.Optional})
	}
	return fields
}

func everyPlace(s *tables.Schema) (places []int) {
	for i := range s.Columns {
		places = append(places, i)
	}
	return places
}

// breaksTable fills a table by a newer schema, and reads it by an older one.
func breaksTable(rng *rand.Rand, older, newer *tables.Schema) string {
	set, err := tables.New([]tables.Schema{*newer})
	before, errBefore := tables.New([]tables.Schema{*older})
	if err != nil || errBefore != nil {
		panic(fmt.Sprint(err, errBefore))
	}
	change, changeBefore := set.Begin(), before.Begin()
	everything := fieldsOfColumns(newer, everyPlace(newer))
	for _, c := range fieldsOfColumns(older, everyPlace(older)) {
		at := slices.IndexFunc(everything, func(f Field) bool { return f.Name == c.Name })
		if at < 0 || everything[at].Kind != c.Kind {
			return "column " + c.Name + " is gone or of another type"
		}
	}
	rows := map[string][]byte{} // what has every column, by the row of the newer table
	for range 12 {
		values := randomMap(rng, append(slices.Clone(everything), Field{Name: "unused", Kind: tables.Bool}))
		row, err := appendRow(nil, everything, values)
		if err != nil {
			panic(err)
		}
		rowBefore, err := appendRow(nil, fieldsOfColumns(older, everyPlace(older)), values)
		if err != nil {
			return fmt.Sprintf("the row of %x lacks a column", values)
		}
		key, err := newer.RowKey(row)
		if err != nil {
			panic(err)
		}
		if _, there, _ := set.Get(0, key); there {
			continue // who writes takes another key
		}
		errBefore := changeBefore.Put(0, rowBefore)
		if err := change.Put(0, row); err != nil {
			if errBefore == nil {
				return fmt.Sprintf("%x cannot be written any more: %v", values, err)
			}
			continue
		}
		if errBefore != nil {
			return fmt.Sprintf("%x could not be there: %v", values, errBefore)
		}
		rows[string(row)] = values
	}
	for row, values := range rows {
		wanted, err := appendRow(nil, fieldsOfColumns(older, older.Key), values)
		if err != nil {
			panic(err)
		}
		key, columns, err := newer.KeyOf(0, wanted)
		if err != nil || columns != len(newer.Key) {
			return "the key is of other columns"
		}
		if found, ok, err := set.Get(0, key); err != nil || !ok || found != row {
			return fmt.Sprintf("by its key %x is not found", values)
		}
		for i := range older.Indexes {
			if wrong := breaksIndex(set, older, newer, &older.Indexes[i], values, rows); wrong != "" {
				return wrong
			}
		}
	}
	for i := range older.Indexes {
		if !slices.ContainsFunc(newer.Indexes, func(x tables.Index) bool { return x.Name == older.Indexes[i].Name }) {
			return "there is no index " + older.Indexes[i].Name
		}
	}
	return ""
}

// breaksIndex asks by an index of an older schema for the rows that are like one, and wants those, in the order of their keys.
func breaksIndex(set *tables.Set, older, newer *tables.Schema, index *tables.Index, values []byte, rows map[string][]byte) string {
	at := slices.IndexFunc(newer.Indexes, func(x tables.Index) bool { return x.Name == index.Name })
	if at < 0 {
		return "there is no index " + index.Name
	}
	fields := fieldsOfColumns(older, index.Columns)
	wanted, err := appendRow(nil, fields, values)
	if err != nil {
		panic(err)
	}
	var want, got []string
	set.Scan(0, 0, "", "", false, func(_, row string) bool {
		if has, err := appendRow(nil, fields, rows[row]); err == nil && string(has) == string(wanted) {
			want = append(want, row)
		}
		return true
	})
	nullable := slices.ContainsFunc(newer.Indexes[at].Columns, func(place int) bool { return newer.Columns[place].Optional })
	if wanted, err = appendRow(nil, asNow(fields, newer), values); err != nil {
		panic(err)
	}
	prefix, _, err := newer.KeyOf(at+1, wanted)
	if err != nil {
		return "index " + index.Name + " is of other columns"
	}
	set.Scan(0, at+1, string(prefix), "", false, func(_, row string) bool {
		got = append(got, row)
		return true
	})
	if !slices.Equal(got, want) {
		return fmt.Sprintf("index %s has %d rows in some order, want %d", index.Name, len(got), len(want))
	}
	if index.Unique && !nullable && len(got) > 1 {
		return "index " + index.Name + " has two rows where there was one at most"
	}
	return ""
}

// asNow returns fields as optional as the columns are now: a key has a mark where a value may be absent.
func asNow(fields []Field, s *tables.Schema) []Field {
	fields = slices.Clone(fields)
	for i := range fields {
		for _, c := range s.Columns {
			if c.Name == fields[i].Name {
				fields[i].Optional = c.Optional
			}
		}
	}
	return fields
}

// randomMap writes what a client may write that knows these fields.
func randomMap(rng *rand.Rand, fields []Field) []byte {
	n, values := 0, []byte(nil)
	for _, f := range fields {
		if (f.Optional || f.Default != nil) && rng.IntN(2) == 0 {
			continue
		}
		n++
		values = msgpack.AppendString(values, f.Name)
		switch f.Kind {
		case tables.Bool:
			values = msgpack.AppendBool(values, rng.IntN(2) == 0)
		case tables.I64:
			values = msgpack.AppendInt(values, []int64{-1, 7, math.MinInt64}[rng.IntN(3)])
		case tables.U64:
			values = msgpack.AppendUint(values, []uint64{7, 8, math.MaxUint64}[rng.IntN(3)])
		case tables.F64:
			values = msgpack.AppendFloat(values, []float64{0.5, -1, 2}[rng.IntN(3)])
		case tables.Text:
			values = msgpack.AppendString(values, []string{"", "text", "z"}[rng.IntN(3)])
		case tables.Bytes:
			values = msgpack.AppendBinary(values, []byte{0xff, byte(rng.IntN(3))})
		}
	}
	return append(msgpack.AppendMap(nil, n), values...)
}

func randomManifest(rng *rand.Rand) *Manifest {
	m := &Manifest{Name: "m", Version: "1.0.0", ABI: 1, IO: DefaultIO, Raw: rng.IntN(3) == 0}
	for _, name := range []string{"a", "b"} {
		if rng.IntN(3) > 0 {
			m.Events = append(m.Events, EventType{Name: name, Fields: randomFields(rng)})
		}
	}
	if rng.IntN(2) == 0 {
		m.Params = append([]Field{}, randomFields(rng)...)
	}
	for _, name := range []string{"t", "u"} {
		if rng.IntN(3) > 0 {
			m.Tables = append(m.Tables, randomTable(rng, name))
		}
	}
	return m
}

// randomTable makes a table whose key is one or two columns, and whose indexes are of others.
func randomTable(rng *rand.Rand, name string) tables.Schema {
	s := tables.Schema{Name: name, Key: []int{0, 1}[:1+rng.IntN(2)]}
	for _, column := range []string{"k", "l", "x", "y"} {
		s.Columns = append(s.Columns, tables.Column{Name: column, Kind: tables.Kind(1 + rng.IntN(int(tables.Bytes))), Optional: column > "l" && rng.IntN(3) == 0})
	}
	if rng.IntN(2) == 0 {
		s.Indexes = append(s.Indexes, tables.Index{Name: "i", Columns: [][]int{{2}, {3}, {2, 3}}[rng.IntN(3)], Unique: rng.IntN(3) == 0})
	}
	return s
}

// changedManifest makes one change or two, or none; nil if what comes of it is no manifest.
func changedManifest(rng *rand.Rand, of *Manifest) *Manifest {
	m := *of
	m.Events, m.Tables = slices.Clone(of.Events), slices.Clone(of.Tables)
	for range rng.IntN(3) {
		switch rng.IntN(9) {
		case 0:
			if n := len(m.Events); n > 0 {
				at := rng.IntN(n)
				m.Events = slices.Delete(m.Events, at, at+1)
			}
		case 1:
			if m.Event("c") < 0 {
				m.Events = append(m.Events, EventType{Name: "c", Fields: randomFields(rng)})
			}
		case 2, 3:
			if n := len(m.Events); n > 0 {
				e := &m.Events[rng.IntN(n)]
				e.Fields = changedFields(rng, e.Fields)
			}
		case 4:
			m.Raw = !m.Raw
		case 5:
			if m.Params == nil {
				m.Params = append([]Field{}, randomFields(rng)...)
			} else if m.Params = append([]Field{}, changedFields(rng, m.Params)...); rng.IntN(3) == 0 {
				m.Params = nil
			}
		case 6:
			if m.Table("v") < 0 {
				m.Tables = append(m.Tables, randomTable(rng, "v"))
			}
		case 7:
			if n := len(m.Tables); n > 0 && rng.IntN(3) == 0 {
				at := rng.IntN(n)
				m.Tables = slices.Delete(m.Tables, at, at+1)
			}
		case 8:
			if n := len(m.Tables); n > 0 {
				changeTable(rng, &m.Tables[rng.IntN(n)])
			}
		}
	}
	if m.check() != nil {
		return nil
	}
	return &m
}

func changeTable(rng *rand.Rand, s *tables.Schema) {
	s.Columns, s.Indexes, s.Key = slices.Clone(s.Columns), slices.Clone(s.Indexes), slices.Clone(s.Key)
	last := &s.Columns[len(s.Columns)-1]
	switch rng.IntN(8) {
	case 0:
		s.Columns = append(s.Columns, tables.Column{Name: "z", Kind: tables.U64, Optional: rng.IntN(2) == 0})
	case 1:
		if s.Indexes == nil {
			s.Columns = s.Columns[:len(s.Columns)-1]
		}
	case 2:
		last.Optional = !last.Optional
	case 3:
		last.Kind = tables.Kind(1 + rng.IntN(int(tables.Bytes)))
	case 4:
		s.Key = [][]int{{0}, {0, 1}, {1, 0}}[rng.IntN(3)]
	case 5:
		s.Indexes = append(s.Indexes, tables.Index{Name: "j", Columns: []int{2}, Unique: rng.IntN(3) == 0})
	case 6:
		s.Indexes = nil
	case 7:
		if len(s.Indexes) > 0 && rng.IntN(2) == 0 {
			s.Indexes[0].Unique = !s.Indexes[0].Unique
		} else if len(s.Indexes) > 0 {
			s.Indexes[0].Columns = [][]int{{2}, {3}, {2, 3}}[rng.IntN(3)]
		}
	}
}
