package moduletest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module/program"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// Random runs a random log, of a chat or on tables of random schemas, with proposals that are committed and rolled back,
// and returns everything that engines have to agree on. That the same tables come of the log when it is applied again,
// on used and on fresh machines, it checks by itself. Equal seeds are equal logs.
func Random(t *testing.T, seed uint64, machines NewMachines) []string {
	s := &session{t: t, new: machines}
	s.random(seed)
	return s.lines
}

// randomCases are a few seeds, of which the vectors keep digests.
func randomCases() []testCase {
	var cases []testCase
	for seed := range uint64(8) {
		cases = append(cases, testCase{fmt.Sprint("seed ", seed), func(s *session) {
			s.random(seed)
			last := s.lines[len(s.lines)-1]
			s.lines = []string{
				fmt.Sprintf("%d lines, digest %s", len(s.lines), digest.Of([]byte(strings.Join(s.lines, "\n")))), last,
			}
		}})
	}
	return cases
}

// mutantCases are trials of a few seeds, of which the vectors keep digests.
func mutantCases() []testCase {
	return []testCase{{"mutants", func(s *session) {
		for seed := range uint64(60) {
			trial, err := MutantTrial(rand.New(rand.NewPCG(seed, 0x7a2)))
			if err != nil {
				s.t.Fatal(err)
			}
			lines, err := trial.Run(s.new, &Tally{Codes: map[wire.Code]int{}})
			if err != nil {
				s.t.Fatalf("trial %d: %v", seed, err)
			}
			s.tell("trial %d: %d lines, digest %s", seed, len(lines), digest.Of([]byte(strings.Join(lines, "\n"))))
		}
	}}}
}

// random runs the log of a seed.
func (s *session) random(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0x5ce1))
	var space *testSpace
	var next func() event
	if seed%2 == 0 {
		space = s.space(Chat(), nil)
		next = func() event { return randomChat(r, len(space.log)) }
	} else {
		m := probeManifest()
		m.Tables = randomSchemas(r)
		space = s.space(m.AppendSection(probeBytes), nil)
		next = func() event { return randomWrites(r, m.Tables) }
	}
	for range 40 {
		committed := len(space.log)
		var ends []int // of what is proposed
		for range 1 + r.IntN(4) {
			events := make([]event, 1+r.IntN(3))
			for i := range events {
				events[i] = next()
			}
			if space.judge([]string{"creator", "anne", "bob", ""}[r.IntN(4)], events...).Allowed() {
				ends = append(ends, len(space.log))
			}
		}
		if n := r.IntN(len(ends) + 1); n > 0 {
			committed = ends[n-1]
			space.instance.Commit(uint64(committed))
		}
		if r.IntN(4) == 0 {
			space.instance.Rollback()
			space.log = space.log[:committed]
		} else if committed < len(space.log) {
			committed = len(space.log)
			space.instance.Commit(uint64(committed))
		}
		s.tell("at %d: tables %s", space.instance.Applied(), space.digest(space.instance.Tables()))
	}
	space.again(func(m program.Machines) program.Machines { return m })
	space.again(func(m program.Machines) program.Machines { return fresh{m} })
}

func randomChat(r *rand.Rand, log int) (e event) {
	room, words := []string{"tea", "cake", ""}[r.IntN(3)], strings.Repeat("word ", r.IntN(4))
	switch r.IntN(8) {
	case 0, 1, 2:
		e = message(room, words)
	case 3:
		e = edit(1+r.IntN(log+2), words)
	case 4:
		e = remove(1 + r.IntN(log+2))
	case 5, 6:
		e = join([]string{"Anne", "Bob", "Cy"}[r.IntN(3)], r.IntN(90)-10)
	default:
		e = stats(room)
	}
	if r.IntN(20) == 0 {
		e.payload[r.IntN(len(e.payload))] ^= byte(1 << r.IntN(8))
	}
	return e
}

func randomSchemas(r *rand.Rand) (schemas []tables.Schema) {
	some := func(most, of int) []int { return r.Perm(of)[:1+r.IntN(min(most, of))] }
	for i := range 1 + r.IntN(4) {
		s := tables.Schema{Name: fmt.Sprint("t", i)}
		for j := range 1 + r.IntN(5) {
			s.Columns = append(s.Columns, tables.Column{Name: fmt.Sprint("c", j), Kind: tables.Kind(1 + r.IntN(6)), Optional: j > 0 && r.IntN(2) == 0})
		}
		for _, place := range some(3, len(s.Columns)) {
			if !s.Columns[place].Optional {
				s.Key = append(s.Key, place)
			}
		}
		if len(s.Key) == 0 {
			s.Key = []int{0}
		}
		for j := range r.IntN(4) {
			s.Indexes = append(s.Indexes, tables.Index{Name: fmt.Sprint("i", j), Columns: some(3, len(s.Columns)), Unique: r.IntN(4) == 0})
		}
		schemas = append(schemas, s)
	}
	return schemas
}

// randomWrites puts and deletes rows, and reads what is there into others. A few of them are no rows.
func randomWrites(r *rand.Rand, schemas []tables.Schema) event {
	var do script
	var data []byte
	for range 1 + r.IntN(12) {
		table := r.IntN(len(schemas))
		s := &schemas[table]
		at := uint32(dataAt + len(data))
		switch r.IntN(6) {
		case 0:
			key := randomValues(r, s, s.Key)
			do, data = do.do(opDelete, uint32(table), at, uint32(len(key))), append(data, key...)
		case 1:
			index := r.IntN(len(s.Indexes) + 1)
			columns := s.Key
			if index > 0 {
				columns = s.Indexes[index-1].Columns
			}
			prefix := randomValues(r, s, columns[:r.IntN(len(columns)+1)])
			do = do.do(opScanOpen, uint32(table), uint32(index), at, uint32(len(prefix)), uint32(r.IntN(2))).do(opStore, freeAt, 0)
			for range 1 + r.IntN(3) {
				do = do.do(opScanNext, 0, freeAt, 4096).do(opLog, freeAt, 64)
			}
			do, data = do.do(opKeep, freeAt+5000).do(opScanClose, 0), append(data, prefix...)
		case 2:
			key := randomValues(r, s, s.Key)
			do, data = do.do(opGet, uint32(table), at, uint32(len(key)), freeAt, 4096).do(opPut, uint32(table), at, uint32(len(key))), append(data, key...)
			if r.IntN(8) > 0 { // what was read instead of the key, which is a row by chance
				do = do[:len(do)-24]
			}
		default:
			columns := make([]int, len(s.Columns))
			for i := range columns {
				columns[i] = i
			}
			row := randomValues(r, s, columns)
			if len(row) > 0 && r.IntN(60) == 0 {
				row[r.IntN(len(row))] ^= byte(1 << r.IntN(8))
			}
			do, data = do.do(opPut, uint32(table), at, uint32(len(row))), append(data, row...)
		}
	}
	return act(do, data...)
}

func randomValues(r *rand.Rand, s *tables.Schema, columns []int) (b []byte) {
	for _, place := range columns {
		c := &s.Columns[place]
		if c.Optional {
			if r.IntN(3) == 0 {
				b = append(b, 0)
				continue
			}
			b = append(b, 1)
		}
		switch c.Kind {
		case tables.Bool:
			b = append(b, byte(r.IntN(2)))
		case tables.I64, tables.U64:
			b = append(b, u64(uint64(int64(r.IntN(5)-2)))...)
		case tables.F64:
			b = append(b, u64(math.Float64bits([]float64{0, -1.5, math.Inf(1), 3, math.Copysign(0, -1)}[r.IntN(5)]))...)
		case tables.Text:
			b = append(b, text([]string{"", "a", "\x00", "ab", "\u00fc"}[r.IntN(5)])...)
		default:
			b = binary.LittleEndian.AppendUint32(b, uint32(r.IntN(3)))
			for range binary.LittleEndian.Uint32(b[len(b)-4:]) {
				b = append(b, byte(r.IntN(2)*255))
			}
		}
	}
	return b
}
