package moduletest

import (
	"encoding/binary"
	"errors"
	"math"

	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// testSpace is a space that one instance judges.
type testSpace struct {
	*session
	program  *program.Program
	genesis  space.Genesis
	instance *program.Instance
	log      []space.Record
	spent    uint64
	modules  [][]byte // that it can go over to
	loaded   int      // programs of them that were not released
	claims   [][]byte // of whom the events are about that are judged next
}

// space makes a space of a module, or tells why there is none and returns nil.
func (s *session) space(bytes, params []byte) *testSpace {
	s.t.Helper()
	p, machines := s.load(bytes)
	if p == nil {
		return nil
	}
	return s.begin(p, machines, params)
}

func (s *session) begin(p *program.Program, machines program.Machines, params []byte) *testSpace {
	s.t.Helper()
	made := &testSpace{session: s, program: p, genesis: space.Genesis{
		Stamp: space.ULID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, Creator: "creator", Module: p.Digest, Params: params,
	}}
	var err error
	made.instance, err = program.New(p, machines, &made.genesis)
	if err != nil {
		var coded *wire.CodeError
		if !errors.As(err, &coded) {
			s.t.Fatalf("a space failed by the machine: %v", err)
		}
		s.tell("no space: %v", err)
		return nil
	}
	s.tell("space: tables %s", made.digest(made.instance.Tables()))
	return made
}

// digest returns the first bytes of a checkpoint's digest.
func (s *testSpace) digest(set *tables.Set) string {
	of := tables.Checkpoint{Space: s.genesis.ID(), Module: s.program.Digest}
	if m := s.program.Manifest; m != nil { // else it is open
		of.ABI = m.ABI
	}
	if s.plain { // of a module that is the same in another language
		of = tables.Checkpoint{ABI: program.ABI}
	}
	d := set.Digest(&of)
	return d.String()[:16]
}

// event is one event to be pushed.
type event struct {
	name    string
	payload []byte
}

// push judges a transaction, commits it if it is allowed, and tells all of it.
func (s *testSpace) push(author string, events ...event) module.Verdict {
	s.t.Helper()
	v := s.judge(author, events...)
	if v.Allowed() {
		s.instance.Commit(uint64(len(s.log)))
	}
	return v
}

// judge judges a transaction. The space's log goes on with it if it is allowed.
func (s *testSpace) judge(author string, events ...event) module.Verdict {
	s.t.Helper()
	return s.offer(author, s.records(author, events))
}

// offer judges records that are a transaction.
func (s *testSpace) offer(author string, records []space.Record) module.Verdict {
	s.t.Helper()
	v, err := s.instance.Judge(s.caller(author), records)
	if err != nil {
		s.t.Fatalf("judging failed by the machine: %v", err)
	}
	name, spent := records[0].Type, s.instance.Spent-s.spent
	if s.plain {
		spent = 0
	}
	if v.Allowed() {
		s.log = append(s.log, records...)
		s.tell("%s by %s: yes, %d for all, tables %s", name, author, spent, s.digest(s.instance.Tables()))
	} else {
		s.tell("%s by %s: %v %q, %d for all, tables %s", name, author, v.Code, v.Reason, spent, s.digest(s.instance.Tables()))
	}
	s.spent = s.instance.Spent
	return v
}

func (s *testSpace) records(author string, events []event) []space.Record {
	t := space.Transaction{Author: author, API: "1.0.0", ClientVersion: "2.1.0"}
	for i := range events {
		var id space.ULID
		binary.BigEndian.PutUint64(id[8:], uint64(len(s.log)+i+1))
		t.Events = append(t.Events, space.Event{ID: id, Type: events[i].name, Payload: events[i].payload})
	}
	return t.Records(uint64(len(s.log)+1), 1_700_000_000_000+uint64(len(s.log)))
}

func (s *testSpace) caller(author string) module.Caller {
	return module.Caller{Identity: author, Each: s.claims}
}

// mayRead asks and tells.
func (s *testSpace) mayRead(identity string) bool {
	may, err := s.instance.MayRead(identity)
	if err != nil {
		s.t.Fatalf("asking who may read failed by the machine: %v", err)
	}
	s.tell("readable: %v", may)
	return may
}

// again applies the log to another instance, one record's transaction at a time or all at once, and wants equal tables.
func (s *testSpace) again(wrap func(program.Machines) program.Machines) {
	s.t.Helper()
	machines, err := s.new(s.program)
	if err != nil {
		s.t.Fatal(err)
	}
	other, err := program.New(s.program, wrap(machines), &s.genesis)
	if err == nil {
		err = other.Apply(s.log)
	}
	if err != nil {
		s.t.Fatalf("applying the log again: %v", err)
	}
	if got, want := s.digest(other.Committed()), s.digest(s.instance.Committed()); got != want {
		s.t.Fatalf("applied again, the tables are %s, not %s", got, want)
	}
}

// payload makes a map by name: names and values in turn.
func payload(pairs ...any) []byte {
	b := msgpack.AppendMap(nil, len(pairs)/2)
	for _, v := range pairs {
		switch v := v.(type) {
		case string:
			b = msgpack.AppendString(b, v)
		case []byte:
			b = msgpack.AppendBinary(b, v)
		case bool:
			b = msgpack.AppendBool(b, v)
		case int:
			if v < 0 {
				b = binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(v))
			} else {
				b = msgpack.AppendUint(b, uint64(v))
			}
		case uint64:
			b = msgpack.AppendUint(b, v)
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, 0xcb), math.Float64bits(v))
		case nil:
			b = msgpack.AppendNil(b)
		case raw:
			b = append(b, v...)
		default:
			panic("moduletest: a payload of what?")
		}
	}
	return b
}

// raw is msgpack as it is.
type raw []byte
