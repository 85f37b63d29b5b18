package program_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/syncserver/wasmengine"
)

var errFault = errors.New("the machine is broken")

// breaking is machines that fail in one call, or when one is borrowed.
type breaking struct {
	program.Machines
	at       int // the call that fails, counted from 1
	calls    int
	lent     int
	noBorrow bool
}

type breakingMachine struct {
	program.Machine
	of *breaking
}

func (b *breaking) Borrow() (program.Machine, error) {
	if b.noBorrow {
		return nil, errFault
	}
	b.lent++
	m, err := b.Machines.Borrow()
	return &breakingMachine{m, b}, err
}

func (b *breaking) Return(m program.Machine) {
	b.lent--
	b.Machines.Return(m.(*breakingMachine).Machine)
}

func (m *breakingMachine) Call(e program.Export, input []byte, fuel int32, host *program.Host) (program.Outcome, error) {
	o, err := m.Machine.Call(e, input, fuel, host)
	if m.of.calls++; m.of.calls == m.of.at {
		return program.Outcome{}, errFault // after the tables were written
	}
	return o, err
}

func chat(t *testing.T) (*program.Program, *breaking, *space.Genesis) {
	t.Helper()
	engine, err := wasmengine.New(nil, wasmengine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Load(moduletest.Chat())
	if err != nil {
		t.Fatal(err)
	}
	machines, err := engine.Machines(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		machines.Release()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, &breaking{Machines: machines}, &space.Genesis{Creator: "creator", Module: p.Digest}
}

func digestOf(t *testing.T, set *tables.Set) digest.Digest {
	t.Helper()
	return set.Digest(&tables.Checkpoint{})
}

func messages(first uint64, texts ...string) []space.Record {
	t := space.Transaction{Author: "creator"}
	for _, text := range texts {
		t.Events = append(t.Events, space.Event{Type: "message", Payload: moduletest.ChatMessage("room", text)})
	}
	return t.Records(first, 1_700_000_000_000)
}

// TestFaultIsNoVerdict: whatever call the machine fails in, nothing of the transaction remains, and judged again it comes to
// what it would have come to.
func TestFaultIsNoVerdict(t *testing.T) {
	p, machines, genesis := chat(t)
	want, err := program.New(p, machines, genesis)
	if err != nil {
		t.Fatal(err)
	}
	records := messages(1, "a", "b", "c")
	if v, err := want.Judge(module.Caller{}, records); err != nil || !v.Allowed() {
		t.Fatal(v, err)
	}
	for at := 1; at <= 6; at++ { // three of authorize and three of apply
		i, err := program.New(p, machines, genesis)
		if err != nil {
			t.Fatal(err)
		}
		before := digestOf(t, i.Tables())
		machines.calls, machines.at = 0, at
		if v, err := i.Judge(module.Caller{}, records); !errors.Is(err, errFault) || !v.Allowed() {
			t.Errorf("call %d: %v %v", at, v, err)
		}
		if digestOf(t, i.Tables()) != before || machines.lent != 0 {
			t.Errorf("call %d: something remains", at)
		}
		if v, err := i.Judge(module.Caller{}, records); err != nil || !v.Allowed() || digestOf(t, i.Tables()) != digestOf(t, want.Tables()) {
			t.Errorf("call %d, again: %v %v", at, v, err)
		}
	}
	machines.at, machines.noBorrow = 0, true
	if v, err := want.Judge(module.Caller{}, messages(4, "d")); !errors.Is(err, errFault) || !v.Allowed() {
		t.Errorf("no machine: %v %v", v, err)
	}
	if _, err := want.MayRead("creator"); !errors.Is(err, errFault) {
		t.Errorf("no machine: %v", err)
	}
	if _, err := program.New(p, machines, genesis); !errors.Is(err, errFault) {
		t.Errorf("no machine: %v", err)
	}
}

// TestProposalsShareTables judges transactions of which some are refused or fail in the middle, commits some of what is
// proposed and takes the rest back: at any time the tables are those of the log up to there, applied by another instance.
func TestProposalsShareTables(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	p, machines, genesis := chat(t)
	i, err := program.New(p, machines, genesis)
	if err != nil {
		t.Fatal(err)
	}
	var log []space.Record
	ends, committed := []uint64{0}, 0 // where what was allowed ends, and how many of these are committed
	proposed := func(i *program.Instance) digest.Digest { return i.Digest(space.ID{}, space.Position{}) }
	settled := func(i *program.Instance) digest.Digest { return digestOf(t, i.Committed()) }
	same := func(what string, of func(*program.Instance) digest.Digest, seq uint64) {
		t.Helper()
		other, err := program.New(p, machines, genesis)
		if err == nil {
			err = other.Apply(log[:seq])
		}
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if of(i) != of(other) {
			t.Fatalf("%s: not the tables of the log up to %d", what, seq)
		}
	}
	for range 400 {
		switch last := ends[len(ends)-1]; r.IntN(12) {
		default:
			records := randomRecords(r, last)
			machines.calls, machines.at = 0, r.IntN(40)
			v, err := i.Judge(module.Caller{Identity: "creator"}, records)
			machines.at = 0
			if err != nil && !errors.Is(err, errFault) {
				t.Fatal(err)
			}
			if err == nil && v.Allowed() {
				log = append(log[:last], records...)
				ends = append(ends, last+uint64(len(records)))
			}
			same("judged", proposed, ends[len(ends)-1])
		case 0, 1:
			committed += r.IntN(len(ends) - committed)
			i.Commit(ends[committed])
		case 2:
			i.Rollback()
			ends = ends[:committed+1]
			same("rolled back", proposed, ends[committed])
		case 3:
			same("committed", settled, ends[committed])
		case 4:
			shown := i.Tables()
			before := digestOf(t, shown)
			if _, err := i.Judge(module.Caller{Identity: "creator"}, messages(i.Next(), "not to be seen there")); err != nil {
				t.Fatal(err)
			}
			i.Rollback()
			if ends = ends[:committed+1]; digestOf(t, shown) != before {
				t.Fatal("who looks at tables sees them change")
			}
		case 11:
			machines.calls, machines.at = 0, r.IntN(40)
			_, err := i.Try(module.Caller{Identity: "creator"}, randomRecords(r, last))
			if machines.at = 0; err != nil && !errors.Is(err, errFault) {
				t.Fatal(err)
			}
			same("tried", proposed, last)
		case 5:
			if may, err := i.MayRead("creator"); !may || err != nil {
				t.Fatal(may, err)
			}
		}
	}
}

// randomRecords is a transaction of a chat, which the module may refuse at any record of it.
func randomRecords(r *rand.Rand, last uint64) []space.Record {
	t := space.Transaction{Author: "creator"}
	for range 1 + r.IntN(5) {
		seq := msgpack.AppendUint(msgpack.AppendString(nil, "seq"), 1+r.Uint64N(last+3))
		text := msgpack.AppendString(msgpack.AppendString(nil, "text"), strings.Repeat("word ", r.IntN(100)))
		switch r.IntN(5) {
		case 0:
			t.Events = append(t.Events, space.Event{Type: "edit", Payload: append(append(msgpack.AppendMap(nil, 2), seq...), text...)})
		case 1:
			t.Events = append(t.Events, space.Event{Type: "remove", Payload: append(msgpack.AppendMap(nil, 1), seq...)})
		default:
			t.Events = append(t.Events, space.Event{Type: "message", Payload: moduletest.ChatMessage("room", strings.Repeat("w", 1+r.IntN(2000)))})
		}
	}
	return t.Records(last+1, 1_700_000_000_000)
}

// TestApplyStops: records up to one that the machine fails in are applied, and the rest can be afterwards.
func TestApplyStops(t *testing.T) {
	p, machines, genesis := chat(t)
	i, err := program.New(p, machines, genesis)
	if err != nil {
		t.Fatal(err)
	}
	log := append(messages(1, "a", "b"), messages(3, "c")...)
	machines.calls, machines.at = 0, 3
	if err := i.Apply(log); !errors.Is(err, errFault) || i.Applied() != 2 {
		t.Fatalf("%v, applied %d", err, i.Applied())
	}
	if err := i.Apply(log[2:]); err != nil || i.Applied() != 3 {
		t.Fatalf("%v, applied %d", err, i.Applied())
	}
	if err := i.Apply(append(messages(4, "d"), messages(5, "e")...)); err != nil || i.Applied() != 5 {
		t.Errorf("%v, applied %d", err, i.Applied())
	}
	other, err := program.New(p, machines, genesis)
	if err == nil {
		err = other.Apply(append(append(log, messages(4, "d")...), messages(5, "e")...))
	}
	if err != nil || digestOf(t, other.Committed()) != digestOf(t, i.Committed()) || other.Spent != i.Spent {
		t.Errorf("%v; without a fault the tables are others, or it took %d and not %d", err, other.Spent, i.Spent)
	}
	// What the log has and the module does not allow is no verdict on the log.
	bad := append(messages(6, "f"), messages(7, "g")...)
	bad[1].Payload = []byte{0xc1}
	if err := i.Apply(bad); wire.CodeOf(err) != wire.CodeModuleDiverged || i.Applied() != 6 {
		t.Errorf("%v, applied %d", err, i.Applied())
	}
}

// TestCheckpointGoesOn: an instance that begins with the tables of another one goes on as that does.
func TestCheckpointGoesOn(t *testing.T) {
	p, machines, genesis := chat(t)
	i, err := program.New(p, machines, genesis)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Apply(messages(1, "a", "b")); err != nil {
		t.Fatal(err)
	}
	pages := map[digest.Digest][]byte{}
	root, err := i.Committed().AppendCheckpoint(nil, &tables.Checkpoint{Seq: 2}, func(d digest.Digest, content func() ([]byte, error)) error {
		b, err := content()
		pages[d] = append([]byte{}, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	set, of, err := tables.ReadCheckpoint(root, p.Manifest.Tables, func(d digest.Digest) ([]byte, error) { return pages[d], nil })
	if err != nil {
		t.Fatal(err)
	}
	other := program.At(p, machines, set, of.Seq)
	for _, each := range []*program.Instance{i, other} {
		if err := each.Apply(messages(3, "c", "d")); err != nil {
			t.Fatal(err)
		}
	}
	if digestOf(t, i.Committed()) != digestOf(t, other.Committed()) || other.Applied() != 4 {
		t.Error("they are not the same")
	}
}

// TestLostPages: whichever page of its checkpoint an instance cannot have when it needs it, that is no verdict on what is
// judged, and no reason not to apply what is in the log.
func TestLostPages(t *testing.T) {
	p, machines, genesis := chat(t)
	i, err := program.New(p, machines, genesis)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Apply(messages(1, "a", "b", "c")); err != nil {
		t.Fatal(err)
	}
	pages := map[digest.Digest][]byte{}
	root, err := i.Committed().AppendCheckpoint(nil, &tables.Checkpoint{Seq: 3}, func(d digest.Digest, content func() ([]byte, error)) error {
		b, err := content()
		pages[d] = append([]byte{}, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	open := func(fails int) *program.Instance {
		reads := 0
		set, of, err := tables.ReadCheckpoint(root, p.Manifest.Tables, func(d digest.Digest) ([]byte, error) {
			if reads++; fails > 0 && reads >= fails {
				return nil, gone
			}
			return pages[d], nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return program.At(p, machines, set, of.Seq)
	}
	seq := func(n uint64) []byte { return msgpack.AppendUint(msgpack.AppendString(nil, "seq"), n) }
	text := func(name, value string) []byte { return msgpack.AppendString(msgpack.AppendString(nil, name), value) }
	for kind, payload := range map[string][]byte{
		"message": moduletest.ChatMessage("room", "d"),
		"edit":    append(append(msgpack.AppendMap(nil, 2), seq(1)...), text("text", "e")...),
		"remove":  append(msgpack.AppendMap(nil, 1), seq(2)...),
		"stats":   append(msgpack.AppendMap(nil, 1), text("room", "room")...),
	} {
		of := space.Transaction{Author: "creator", Events: []space.Event{{Type: kind, Payload: payload}}}
		records := of.Records(4, 1_700_000_000_000)
		want, err := open(0).Judge(module.Caller{Identity: "creator"}, records)
		if err != nil {
			t.Fatal(err)
		}
		failures := 0
		for fails := 1; ; fails++ {
			verdict, err := open(fails).Judge(module.Caller{Identity: "creator"}, records)
			if err == nil {
				if verdict != want {
					t.Errorf("%s: %v, not %v", kind, verdict, want)
				}
				break
			}
			failures++
			if verdict != (module.Verdict{}) || !errors.Is(err, gone) || !errors.Is(err, tables.ErrPage) {
				t.Errorf("%s, page %d: %v, %v", kind, fails, verdict, err)
			}
			if want.Allowed() {
				if err := open(fails).Apply(records); !errors.Is(err, tables.ErrPage) && (err != nil || fails == 1) { // which reads less
					t.Errorf("%s, page %d, applied: %v", kind, fails, err)
				}
			}
		}
		if failures == 0 {
			t.Errorf("%s reads no page", kind)
		}
	}
}

// TestKeysOfOneForm: what counts as a key that comes twice is a rule: one text, however its length is written, and what else has
// the same bytes; in small maps as in large ones.
func TestKeysOfOneForm(t *testing.T) {
	p, machines, genesis := chat(t)
	i, err := program.New(p, machines, genesis)
	if err != nil {
		t.Fatal(err)
	}
	for _, more := range []int{0, 20} {
		for keys, want := range map[string]wire.Code{
			"\xa0\xc0\x00\xc0":           0,
			"\x00\xc0\xa0\xc0":           0,
			"\xa0\xc0\xd9\x00\xc0":       wire.CodeBadPayload,
			"\x00\xc0\x00\xc0":           wire.CodeBadPayload,
			"\xa1a\xc0\xd9\x01a\xc0":     wire.CodeBadPayload,
			"\xcc\x01\xc0\x01\xc0":       0,
			"\xa0\xc0\x01\xc0":           0,
			"\xa1\x00\xc0\x00\xc0":       0,
			"\xc4\x00\xc0\xa0\xc0":       0,
			"\xc4\x01a\xc0\xc4\x01a\xc0": wire.CodeBadPayload,
		} {
			b := append(msgpack.AppendMap(nil, 3), moduletest.ChatMessage("room", "text")[1:]...)
			b = msgpack.AppendMap(msgpack.AppendString(b, "more"), 2+more)
			for n := range more {
				b = msgpack.AppendNil(msgpack.AppendString(b, strings.Repeat("k", 2+n)))
			}
			records := messages(i.Next(), "")
			records[0].Payload = append(b, keys...)
			v, err := i.Judge(module.Caller{Identity: "creator"}, records)
			if err != nil || v.Code != want {
				t.Errorf("%x and %d more: %v %v", keys, more, v, err)
			}
		}
	}
}
