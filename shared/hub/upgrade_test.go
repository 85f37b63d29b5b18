package hub_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/syncserver/wasmengine"
)

// engine compiles each module once for all tests.
var engine = sync.OnceValues(func() (*wasmengine.Engine, error) {
	return wasmengine.New(func(_ context.Context, d digest.Digest) ([]byte, error) {
		if bytes, ok := known.Load(d); ok {
			return bytes.([]byte), nil
		}
		return nil, module.ErrMissing
	}, wasmengine.Options{})
})

var known sync.Map // modules, by digest

func members(version, strategy string, change func(*program.Manifest)) []byte {
	bytes := moduletest.Members(func(m *program.Manifest) {
		if m.Version, m.Upgrade = version, strategy; change != nil {
			change(m)
		}
	})
	known.Store(digest.Of(bytes), bytes)
	return bytes
}

// renamed makes the table of members another one, so that its rows go through migrate.
func renamed(m *program.Manifest) {
	m.Tables[0].Name, m.Readable, m.Audience = "people", []string{"people"}, "people"
}

var (
	carried  = members("1.1.0", program.Carry, nil)
	migrated = members("2.0.0", program.Carry, func(m *program.Manifest) { m.Tables[0].Columns[0].Kind = tables.Bytes })
	replayed = members("3.0.0", program.Replay, nil)
	moved    = members("4.0.0", program.Replay, renamed)
)

// upgrading is a world of a real module.
type upgrading struct {
	*world
	made   space.Genesis
	absent map[digest.Digest]bool // modules that the server does not have
	loaded int                    // by upgrades, and not released
	read   []uint64               // behind which records the log was read by upgrades
	faulty bool                   // the log cannot be read by upgrades
	ids    uint32
}

func newUpgrading(t *testing.T, change ...func(*hub.Config)) *upgrading {
	e, err := engine()
	if err != nil {
		t.Fatal(err)
	}
	first := members("1.0.0", program.Carry, nil)
	u := &upgrading{world: newWorld(t, change...), made: space.Genesis{Stamp: space.ULID{1}, Creator: "ann", Module: digest.Of(first)}, absent: map[digest.Digest]bool{}}
	u.begin = func() module.Instance {
		made, err := e.Begin(&u.made, program.Origin{Upgraded: true, History: u.history})
		if err != nil {
			t.Fatal(err)
		}
		i := made.(*wasmengine.Instance)
		load := i.Load
		i.Load = func(d digest.Digest) (*program.Loaded, error) {
			if u.absent[d] {
				return nil, module.ErrMissing
			}
			l, err := load(d)
			if err != nil || l.Release == nil {
				return l, err
			}
			u.loaded++
			release := l.Release
			l.Release = func() { u.loaded--; release() }
			return l, nil
		}
		return i
	}
	u.push(1, u.of("ann", "add", moduletest.MembersAdd("bob")))
	u.settle()
	u.wants("1/1: accepted@1")
	return u
}

func (u *upgrading) history(after, to uint64, f func([]space.Record) error) error {
	u.read = append(u.read, after)
	if u.faulty {
		return fmt.Errorf("the log cannot be read")
	}
	if to > u.log.head.Seq {
		return fmt.Errorf("the log has no record %d", to)
	}
	return f(u.log.records[after:to])
}

// of makes a transaction of new events.
func (u *upgrading) of(author, kind string, payloads ...[]byte) space.Transaction {
	t := space.Transaction{Author: author, API: "1.0.0", ClientVersion: "1"}
	for _, payload := range payloads {
		u.ids++
		t.Events = append(t.Events, space.Event{ID: space.ULID{2, byte(u.ids >> 16), byte(u.ids >> 8), byte(u.ids)}, Type: kind, Payload: payload})
	}
	return t
}

func (u *upgrading) note(author string) space.Transaction {
	return u.of(author, "note", moduletest.MembersNote("a note"))
}

func (u *upgrading) to(author string, bytes []byte) space.Transaction {
	return u.of(author, module.TypeModule, moduletest.UpgradeTo(bytes))
}

// again opens the space anew, by its log, and wants the tables of which each upgrade's witness tells.
func (u *upgrading) again() {
	u.t.Helper()
	i := u.begin().(*wasmengine.Instance)
	defer i.Close()
	chain := digest.Digest(spaceID)
	for n := range u.log.records {
		r := &u.log.records[n]
		if r.Type == module.TypeCheckpoint {
			d := i.Digest(spaceID, space.Position{Seq: r.Seq - 1, Chain: chain})
			if want := msgpack.AppendBinary(msgpack.AppendString(msgpack.AppendMap(nil, 1), "digest"), d[:]); string(r.Payload) != string(want) {
				u.t.Fatalf("at %d the log makes other tables than the server said", r.Seq)
			}
			if before := &u.log.records[n-1]; before.Type != module.TypeModule {
				u.t.Fatalf("record %d stands behind a %s", r.Seq, before.Type)
			}
		}
		if err := i.Apply(u.log.records[n : n+1]); err != nil {
			u.t.Fatal(err)
		}
		chain = space.Chain(chain, r)
	}
}

// asks brings an upgrade to where it is prepared.
func (u *upgrading) asks(conn hub.ConnID, t space.Transaction) {
	u.t.Helper()
	u.push(conn, t)
	u.found()
	if u.prepare == nil {
		u.t.Fatalf("nothing is prepared; told %q", u.told())
	}
}

// TestOthersWriteDuringAnUpgrade: what comes while an upgrade is prepared is accepted; what comes while it is caught up with
// is deferred, and what its own connection pushes behind it waits.
func TestOthersWriteDuringAnUpgrade(t *testing.T) {
	for name, next := range map[string][]byte{"carry": carried, "migrate": migrated, "replay": replayed, "replay into other tables": moved} {
		t.Run(name, func(t *testing.T) {
			u := newUpgrading(t)
			u.push(1, u.note("ann"), u.to("ann", next), u.note("ann"))
			u.push(1, u.note("bob"))
			u.found()
			if u.prepare == nil {
				t.Fatal("nothing is prepared")
			}
			accepted := 0
			for range 100 {
				u.push(2, u.note("bob"))
				u.found()
				for u.append != nil {
					u.stored()
				}
				for _, line := range u.told() {
					if strings.Contains(line, "accepted") {
						accepted++
					}
				}
			}
			if accepted != 100 {
				t.Errorf("%d of 100 transactions of others were accepted while the upgrade was prepared", accepted)
			}
			u.push(1, u.note("ann"))
			if u.lookup != nil {
				t.Error("what stands behind the upgrade is looked up")
			}
			u.prepared()
			if u.prepare == nil {
				t.Fatal("what came meanwhile is not caught up with")
			}
			u.push(2, u.note("bob"))
			u.found()
			u.wants("2/101: upgrading")
			u.prepared()
			u.settle()
			u.wants("1/2: accepted@2 accepted@103 accepted@105", "1/3: accepted@106", "1/4: accepted@107")
			u.offer(2, &wire.Push{Resume: true, Transactions: []space.Transaction{u.note("bob")}})
			u.settle()
			u.wants("2/102: accepted@108")
			u.again()
			if u.loaded != 1 {
				t.Errorf("%d modules are held", u.loaded)
			}
			if next := digest.Of(next); next == digest.Of(replayed) && fmt.Sprint(u.read[:2]) != "[0 1]" {
				t.Errorf("the log was read behind %v, and not once", u.read)
			}
		})
	}
}

// TestOthersNeedNoTick: what waits behind an upgrade in the queue is judged in the same step that begins to prepare it.
func TestOthersNeedNoTick(t *testing.T) {
	u := newUpgrading(t)
	u.push(1, u.to("ann", replayed))
	u.push(2, u.note("bob"))
	u.found() // of the first
	u.found()
	u.stored()
	u.wants("2/1: accepted@2")
	u.settle()
	u.wants("1/2: accepted@3")
}

// TestNothingComesBetween: an upgrade of a space where nobody writes is prepared once.
func TestNothingComesBetween(t *testing.T) {
	u := newUpgrading(t)
	u.asks(1, u.to("ann", migrated))
	u.prepared()
	if u.prepare != nil {
		t.Error("prepared again")
	}
	u.push(2, u.note("bob"))
	u.settle()
	u.wants("1/2: accepted@2", "2/1: accepted@4")
	u.again()
}

// TestUpgradeBehindItsOwn: an upgrade in one push with what stands before it waits for that to be durable.
func TestUpgradeBehindItsOwn(t *testing.T) {
	u := newUpgrading(t)
	u.push(1, u.note("ann"), u.to("ann", replayed), u.note("bob"))
	u.found()
	u.prepared() // up to record 1
	if u.prepare != nil {
		t.Fatal("caught up with what is not durable")
	}
	u.stored()
	u.settle()
	u.wants("1/2: accepted@2 accepted@3 accepted@5")
	u.again()
}

// TestASecondUpgrade waits for the first, also if it is the same one.
func TestASecondUpgrade(t *testing.T) {
	u := newUpgrading(t)
	first, second := u.to("ann", replayed), u.to("bob", migrated)
	u.asks(1, first)
	u.push(2, second, u.note("bob"))
	u.found()
	u.push(3, first)
	u.found()
	u.wants("2/1: upgrading behind", "3/1: upgrading")
	u.settle()
	u.wants("1/2: accepted@2")
	u.offer(2, &wire.Push{Resume: true, Transactions: []space.Transaction{second}})
	u.offer(3, &wire.Push{Resume: true, Transactions: []space.Transaction{first}})
	u.settle()
	u.wants("3/2: duplicate@2", "2/2: accepted@4")
	u.again()
	if u.loaded != 1 {
		t.Errorf("%d modules are held", u.loaded)
	}
}

// TestRemovedDuringAnUpgrade: who may not upgrade any more when it is prepared does not.
func TestRemovedDuringAnUpgrade(t *testing.T) {
	u := newUpgrading(t)
	u.asks(2, u.to("bob", replayed))
	u.push(1, u.of("ann", "remove", moduletest.MembersAdd("bob")))
	u.found()
	u.stored()
	u.wants("1/2: accepted@2")
	u.settle()
	u.wants("2/1: module_1") // as the module says
	u.push(1, u.note("ann"))
	u.settle()
	u.wants("1/3: accepted@3")
	u.again()
	if u.loaded != 0 {
		t.Errorf("%d modules are held", u.loaded)
	}
}

// TestUpgradesThatFail change nothing, and hold nobody up.
func TestUpgradesThatFail(t *testing.T) {
	known := func(change func(*program.Manifest)) []byte { return members("5.0.0", program.Replay, change) }
	for _, c := range []struct {
		name, who string
		next      []byte
		code      wire.Code
	}{
		{"migrate takes all fuel", "looping", migrated, wire.CodeMigrateFailed},
		{"migrate refuses", "x", migrated, wire.CodeMigrateFailed},
		{"migrate traps", "q", migrated, wire.CodeMigrateFailed},
		{"a record that the module does not know", "cy", known(func(m *program.Manifest) { m.Events, m.Raw = m.Events[1:], false }), wire.CodeBadUpgrade},
		{"no strategy", "cy", members("6.0.0", "", nil), wire.CodeBadUpgrade},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newUpgrading(t)
			u.push(1, u.of("ann", "add", moduletest.MembersAdd(c.who)))
			u.settle()
			u.told()
			u.asks(1, u.to("ann", c.next))
			u.push(1, u.note("ann"))
			u.push(2, u.note("bob"))
			u.found()
			u.stored()
			u.wants("2/1: accepted@3")
			u.prepared()
			u.settle()
			u.wants("1/3: "+c.code.String(), "1/4: accepted@4")
			if u.again(); u.loaded != 0 {
				t.Errorf("%d modules are held", u.loaded)
			}
		})
	}
}

// TestAFaultIsNoVerdictOnAnUpgrade: what the machine fails at is tried again.
func TestAFaultIsNoVerdictOnAnUpgrade(t *testing.T) {
	u := newUpgrading(t)
	change := u.to("ann", replayed)
	again := func(want string) {
		t.Helper()
		u.settle()
		u.wants(want)
		u.offer(1, &wire.Push{Resume: true, Transactions: []space.Transaction{change}})
		u.found()
	}
	u.faulty = true
	u.asks(1, change)
	again("1/2: overloaded")
	u.faulty = false
	p := answer(u.world, &u.prepare, "preparation") // the shell fails
	u.step(hub.Prepared{Ref: p.Ref, Work: p.Work, Failed: true})
	again("1/3: overloaded")
	u.settle()
	u.wants("1/4: accepted@2")
	u.again()
}

// TestUpgradeToAMissingModule is deferred until somebody has brought it.
func TestUpgradeToAMissingModule(t *testing.T) {
	u := newUpgrading(t)
	change := u.to("ann", replayed)
	u.absent[digest.Of(replayed)] = true
	u.asks(1, change)
	u.push(1, u.note("ann"))
	u.settle()
	u.wants("1/2: module_missing", "1/3: behind")
	delete(u.absent, digest.Of(replayed))
	u.offer(1, &wire.Push{Resume: true, Transactions: []space.Transaction{change, u.note("ann")}})
	u.settle()
	u.wants("1/4: accepted@2 accepted@4")
	u.again()
}

// TestTheUpgraderGoes while its upgrade is prepared: who comes again goes on there, for a minute.
func TestTheUpgraderGoes(t *testing.T) {
	for _, comes := range []string{"during", "soon", "late"} {
		t.Run(comes, func(t *testing.T) {
			u := newUpgrading(t)
			change := u.to("ann", replayed)
			u.push(1, u.note("ann"), change, u.note("ann"))
			u.push(1, u.note("ann"))
			u.found()
			u.step(hub.Disconnected{Conn: 1})
			if len(u.finished) > 0 {
				t.Fatal("finished before what was judged is durable")
			}
			if u.s.Idle() {
				t.Fatal("idle while an upgrade is prepared")
			}
			u.stored()
			if len(u.finished) != 1 {
				t.Fatal("not finished")
			}
			if comes == "during" {
				u.push(2, change)
				u.found()
			}
			u.prepared()
			u.push(3, u.note("bob"))
			switch comes {
			case "soon":
				u.settle()
				u.wants("3/1: accepted@3")
				if u.wakeAt != u.now+60_000 {
					t.Errorf("woken at %d", u.wakeAt)
				}
				u.push(2, change)
			case "late":
				u.settle()
				u.now += 60_000
				u.step(hub.Tick{})
				if u.loaded != 0 {
					t.Errorf("%d modules are held after a minute", u.loaded)
				}
				u.push(2, change)
			}
			u.settle()
			if comes != "during" {
				u.settle()
			}
			told := strings.Join(u.told(), "; ")
			if !strings.Contains(told, "2/1: accepted@") {
				t.Errorf("told %s", told)
			}
			if from := u.read[len(u.read)-1] > 0; from != (comes != "late") {
				t.Errorf("the log was read behind %v", u.read)
			}
			u.again()
		})
	}
}

// TestASpaceIsForgottenDuringAnUpgrade lets go of everything.
func TestASpaceIsForgottenDuringAnUpgrade(t *testing.T) {
	for _, answered := range []bool{true, false} {
		u := newUpgrading(t)
		change := u.to("ann", replayed)
		u.asks(1, change)
		under := answer(u.world, &u.prepare, "preparation")
		under.Work.Run()
		if answered { // nobody is there any more
			u.step(hub.Disconnected{Conn: 1})
			u.step(hub.Prepared{Ref: under.Ref, Work: under.Work})
			if !u.s.Idle() {
				t.Fatal("not idle")
			}
			u.s.Close()
		} else { // the log is another one
			u.log.head.Chain[0]++
			u.step(hub.HeadRead{Head: space.Head{Seq: 2, Chain: u.log.head.Chain}})
			u.step(hub.History{Ref: u.world.read.Ref, Code: wire.CodeOverloaded})
			u.wants("1/2: overloaded")
			u.step(hub.Prepared{Ref: under.Ref, Work: under.Work})
		}
		if u.loaded != 0 {
			t.Errorf("%d modules are held", u.loaded)
		}
	}
}

// TestAnAppendFailsDuringAnUpgrade: what was judged before is judged again, and what is prepared stays.
func TestAnAppendFailsDuringAnUpgrade(t *testing.T) {
	u := newUpgrading(t)
	u.push(1, u.note("ann"), u.to("ann", replayed), u.note("ann"))
	u.push(1, u.note("bob"))
	u.found()
	u.log.other(u.of("bob", "add", moduletest.MembersAdd("cy"))) // another server was first
	u.stored()
	u.headRead()
	u.prepared()
	u.settle()
	u.wants("1/2: accepted@3 accepted@4 accepted@6", "1/3: accepted@7")
	if fmt.Sprint(u.read) != "[0 1]" {
		t.Errorf("the log was read behind %v", u.read)
	}
	u.again()
	// And one that fails with the upgrade in it.
	u.asks(1, u.to("ann", moved))
	u.prepared()
	u.found()
	u.log.other(u.of("bob", "add", moduletest.MembersAdd("di")))
	u.stored()
	u.settle()
	u.wants("1/4: accepted@9")
	if u.again(); u.loaded != 1 {
		t.Errorf("%d modules are held", u.loaded)
	}
}

// TestAFullLogDuringAnUpgrade defers it; it comes again to what was prepared.
func TestAFullLogDuringAnUpgrade(t *testing.T) {
	u := newUpgrading(t)
	change := u.to("ann", replayed)
	u.asks(1, change)
	u.prepared()
	u.found()
	answer(u.world, &u.append, "append")
	u.step(hub.Appended{Outcome: hub.Full})
	u.settle()
	u.wants("1/2: server_full")
	u.now += 5000
	u.offer(1, &wire.Push{Resume: true, Transactions: []space.Transaction{change}})
	u.settle()
	u.wants("1/3: accepted@2")
	if u.again(); u.loaded != 1 {
		t.Errorf("%d modules are held", u.loaded)
	}
}

// TestManyRounds: a space that grows faster than it is caught up with is held in the end.
func TestManyRounds(t *testing.T) {
	for name, next := range map[string][]byte{"replay": replayed, "carry": carried} {
		t.Run(name, func(t *testing.T) {
			u := newUpgrading(t, func(c *hub.Config) { c.HeldRecords = 10 })
			u.manyRounds(next, 11) // more than is caught up with at once
		})
	}
	t.Run("migrate", func(t *testing.T) {
		u := newUpgrading(t, func(c *hub.Config) { c.HeldRecords = 10 })
		u.addMany(9) // beside ann and bob
		u.manyRounds(migrated, 1)
	})
}

// manyRounds upgrades a space where so many records come each time that the upgrade is prepared.
func (u *upgrading) manyRounds(next []byte, records int) {
	t := u.t
	u.asks(1, u.to("ann", next))
	rounds := 0
	for ; u.prepare != nil; rounds++ {
		u.push(2, u.of("bob", "note", notes(records)...))
		u.settleBut()
		if told := u.told(); strings.Contains(strings.Join(told, " "), "upgrading") {
			break
		}
		u.prepared()
	}
	if rounds != 8 {
		t.Errorf("held after %d rounds", rounds)
	}
	u.settle()
	told := u.told()
	if len(told) != 1 || !strings.HasPrefix(told[0], "1/") || !strings.Contains(told[0], ": accepted@") {
		t.Errorf("told %q", told)
	}
	u.again()
}

func (u *upgrading) addMany(n int) {
	for k := range n {
		u.push(1, u.of("ann", "add", moduletest.MembersAdd(fmt.Sprint("member", k))))
	}
	u.settle()
	u.told()
}

// TestFewRowsAreMigratedUnderAHold: where few rows are to be migrated, that is done again at once, with others deferred.
func TestFewRowsAreMigratedUnderAHold(t *testing.T) {
	u := newUpgrading(t, func(c *hub.Config) { c.HeldRecords = 10 })
	u.addMany(8) // beside ann and bob
	u.asks(1, u.to("ann", migrated))
	u.push(2, u.note("bob"))
	u.settleBut()
	u.wants("2/1: accepted@10")
	u.prepared()
	u.push(2, u.note("bob"))
	u.settleBut()
	u.wants("2/2: upgrading")
	u.prepared()
	u.settle()
	u.wants("1/10: accepted@11")
	u.again()
}

// TestManyRowsAreMigratedInAQuietMoment: where many rows are to be migrated nobody is deferred, if nobody writes for as long as
// that takes.
func TestManyRowsAreMigratedInAQuietMoment(t *testing.T) {
	u := newUpgrading(t, func(c *hub.Config) { c.HeldRecords = 10 })
	u.addMany(10) // beside ann and bob: two more
	u.asks(1, u.to("ann", migrated))
	for k := range 5 {
		u.push(2, u.note("bob"))
		if k == 3 { // a row that was migrated
			u.push(2, u.of("ann", "remove", moduletest.MembersAdd("member0")))
		}
		u.settleBut()
		if told := strings.Join(u.told(), " "); !strings.Contains(told, "accepted") || strings.Contains(told, "upgrading") {
			t.Fatalf("round %d: told %q", k, told)
		}
		u.prepared()
	}
	if u.prepare == nil {
		t.Fatal("what came meanwhile is not prepared for")
	}
	u.prepared()
	u.settle()
	u.wants("1/12: accepted@18")
	u.again()
}

func notes(n int) [][]byte {
	payloads := make([][]byte, n)
	for i := range payloads {
		payloads[i] = moduletest.MembersNote("x")
	}
	return payloads
}

// settleBut settles everything but preparations.
func (u *upgrading) settleBut() {
	u.t.Helper()
	for u.lookup != nil || u.append != nil {
		if u.lookup != nil {
			u.found()
		} else {
			u.stored()
		}
	}
}

// TestUpgradesAtRandom lets clients write, upgrade, come and go in any order, with a log that fails. In the end the log gives
// the tables of which the witnesses tell, each client's transactions are in its order, and nothing is held.
func TestUpgradesAtRandom(t *testing.T) {
	modules := [][]byte{carried, migrated, replayed, moved, members("9.0.0", "", nil), members("8.0.0", program.Replay, func(m *program.Manifest) { m.Raw = false })}
	upgrades := 0
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			u := newUpgrading(t, func(c *hub.Config) { c.AppendRecords = 5; c.FullRetry = 10 })
			c := &chaos{world: u.world, random: rand.New(rand.NewPCG(seed, 2)), conns: 1, refuses: true}
			c.foreign = func(byte) space.Transaction { return u.note("ann") }
			for k := range byte(3) {
				x := &client{}
				for i := range byte(20) {
					event := space.Event{ID: space.ULID{k + 3, i + 1}, Type: "note", Payload: moduletest.MembersNote("x")}
					switch c.random.IntN(10) {
					case 0, 1:
						event.Type, event.Payload = module.TypeModule, moduletest.UpgradeTo(modules[c.random.IntN(len(modules))])
					case 2:
						event.Type, event.Payload = "add", moduletest.MembersAdd([]string{"cy", "bob"}[c.random.IntN(2)])
					case 3:
						event.Type, event.Payload = "remove", moduletest.MembersAdd([]string{"cy", "bob"}[c.random.IntN(2)])
					}
					x.outbox = append(x.outbox, space.Transaction{Author: []string{"ann", "bob", "ann"}[k], API: "1.0.0", ClientVersion: "1", Events: []space.Event{event}})
				}
				x.done = make([]bool, len(x.outbox))
				c.clients = append(c.clients, x)
				c.connect(x)
			}
			c.check = func() {
				last := map[byte]byte{}
				refused := func(id space.ULID) bool { return c.clients[id[0]-3].no[id] } // and came again, on another connection
				for i := range u.log.records {
					r := &u.log.records[i]
					if r.Type == module.TypeModule {
						upgrades++
					}
					switch {
					case r.ID[0] >= 3 && r.ID[0] <= 5 && r.Author != "" && !refused(r.ID):
						if r.ID[1] <= last[r.ID[0]] {
							t.Fatalf("record %d is out of its client's order", r.Seq)
						}
						last[r.ID[0]] = r.ID[1]
					}
				}
				c.step(hub.Disconnected{Conn: 1})
				for _, x := range c.clients {
					c.step(hub.Disconnected{Conn: x.conn})
				}
				for c.prepare != nil {
					c.prepared()
				}
				if !c.s.Idle() {
					t.Fatal("not idle when all are gone")
				}
				u.again()
				if c.s.Close(); u.loaded != 0 {
					t.Fatalf("%d modules are held", u.loaded)
				}
			}
			c.run()
		})
	}
	if upgrades < 200 {
		t.Errorf("there were %d upgrades in all", upgrades)
	}
}
