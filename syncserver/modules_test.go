package syncserver_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
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
	"skerry/syncserver"
	"skerry/syncserver/memlog"
	"skerry/syncserver/wasmengine"
)

// TestLeft: whoever is removed is sent the record that does it, and none after it, wherever they are in the log then.
func TestLeft(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		const readers = 12
		log := open()
		r := start(t, log, runsModules(t, log, nil))
		alice := r.dial("alice")
		id := alice.createOf(upload(t, log, moduletest.Members(nil)))
		var names [][]byte
		for n := range readers {
			names = append(names, moduletest.MembersAdd(fmt.Sprintf("reader %d", n)))
		}
		alice.append(id, alice.of("add", names...))
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		rng := rand.New(rand.NewPCG(seed, 0))
		removedAt := make([]uint64, readers)
		var transactions []space.Transaction
		seq := uint64(readers)
		for _, n := range rng.Perm(readers) {
			for range rng.IntN(8) {
				note := alice.of("note", moduletest.MembersNote(strings.Repeat("x", rng.IntN(20_000))))
				transactions = append(transactions, note)
				seq++
			}
			remove := alice.of("remove", moduletest.MembersAdd("nobody"), moduletest.MembersAdd(fmt.Sprintf("reader %d", n)), moduletest.MembersAdd("nobody"))
			seq += 3
			removedAt[n] = seq
			transactions = append(transactions, remove)
		}
		transactions = append(transactions, alice.of("note", moduletest.MembersNote("the last")))
		var all sync.WaitGroup
		for n := range readers {
			reader := r.dial(fmt.Sprintf("reader %d", n))
			reader.subscribe(id, space.Start(id))
			all.Go(func() {
				at := space.Start(id)
				for {
					switch f := reader.receive().(type) {
					case *wire.Events:
						at = reader.check(at, f)
						if at.Seq > removedAt[n] {
							t.Errorf("reader %d has record %d and was removed at %d", n, at.Seq, removedAt[n])
							return
						}
					case *wire.Ended:
						if f.Code != wire.CodeLeft || at.Seq != removedAt[n] {
							t.Errorf("reader %d: %v at %d, removed at %d", n, f.Code, at.Seq, removedAt[n])
						}
						return
					}
				}
			})
		}
		for rest := transactions; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			alice.push(wire.Push{Space: id, Transactions: rest[:n]})
			rest = rest[n:]
		}
		all.Wait()
		late := r.dial("reader 0")
		late.subscribe(id, space.Start(id))
		if ended := await[*wire.Ended](late); ended.Code != wire.CodeForbidden {
			t.Errorf("who was removed subscribes: %v", ended.Code)
		}
		late.send(&wire.Fetch{Ref: 1, Space: id})
		if refused := await[*wire.Refused](late); refused.Code != wire.CodeForbidden {
			t.Errorf("who was removed fetches: %v", refused.Code)
		}
		// Who comes back reads on.
		alice.append(id, alice.of("add", moduletest.MembersAdd("reader 0")))
		late.subscribe(id, space.Start(id))
		late.follow(id, space.Start(id), seq+2)
	})
}

// membersAs returns a version of the list of members.
func membersAs(version string, change func(*program.Manifest)) []byte {
	return moduletest.Members(func(m *program.Manifest) {
		m.Version = version
		if change != nil {
			change(m)
		}
	})
}

// TestUpgrade: a space goes over to another module where its log says so, with the server's word of what the tables are then,
// and all that comes after is judged by it; so it is after the server began again, by a checkpoint and by the log.
func TestUpgrade(t *testing.T) {
	renamed := func(m *program.Manifest) {
		m.Tables[0].Name, m.Readable, m.Audience = "people", []string{"people"}, "people"
	}
	for _, c := range []struct {
		name string
		next []byte
	}{
		{"carry", membersAs("1.1.0", nil)},
		{"migrate", membersAs("2.0.0", renamed)},
		{"replay", membersAs("3.0.0", func(m *program.Manifest) { m.Upgrade = program.Replay })},
	} {
		t.Run(c.name, func(t *testing.T) {
			logs(t, func(t *testing.T, open func() syncserver.Log) {
				log := open()
				applied := &counted{}
				r := start(t, log, runsModules(t, log, applied))
				alice, bob := r.dial("alice"), r.dial("bob")
				quiet := moduletest.Members(func(m *program.Manifest) { m.Raw = false })
				id := alice.createOf(upload(t, log, quiet))
				alice.append(id, alice.of("add", moduletest.MembersAdd("bob")))
				bob.subscribe(id, space.Start(id))
				alice.push(wire.Push{Space: id, Transactions: []space.Transaction{alice.of("note", moduletest.MembersNote("a"), moduletest.MembersNote("b"))}})
				_, at := bob.follow(id, space.Start(id), 3)

				change := alice.of(module.TypeModule, moduletest.UpgradeTo(c.next))
				if v := alice.verdict(id, change); v.Code != wire.CodeModuleMissing || v.Kind != wire.Deferred {
					t.Fatalf("without the module: %+v", v)
				}
				name := upload(t, log, c.next)
				bobs := change
				bobs.Author = "bob"
				if v := bob.verdict(id, bobs); v.Code != wire.CodeForbidden {
					t.Fatalf("somebody upgrades: %+v", v)
				}
				v := alice.verdict(id, change)
				if v.Kind != wire.Accepted || v.Position.Seq != 4 {
					t.Fatalf("the upgrade: %+v", v)
				}
				if again := alice.verdict(id, change); again.Kind != wire.Duplicate || again.Position.Seq != 4 {
					t.Errorf("pushed again: %+v", again)
				}
				records, _ := bob.follow(id, at, 5)
				witness := records[1]
				if witness.Type != module.TypeCheckpoint || witness.Author != "" || witness.Count != 1 {
					t.Fatalf("behind the upgrade comes %+v", witness)
				}
				want := tablesAt(t, log, id, 4)
				payload := msgpack.AppendBinary(msgpack.AppendString(msgpack.AppendMap(nil, 1), "digest"), want[:])
				if string(witness.Payload) != string(payload) {
					t.Error("the server's word of the tables is wrong")
				}
				for {
					if row := await[*wire.Spaces](bob).Rows[0]; row.Module == name {
						break
					}
				}
				// What the module before did not take: types that it does not declare.
				bob.append(id, bob.of("anything", []byte{0xc0}))
				r.stop()
				for range 2 {
					log = open()
					if now, err := syncserver.ModuleAt(t.Context(), log, id, &space.Genesis{Module: digest.Of(quiet)}); err != nil || now != name {
						t.Errorf("the log says that %v judges: %v", now, err)
					}
					r = start(t, log, runsModules(t, log, applied))
					bob = r.dial("bob")
					bob.append(id, bob.of("anything", []byte{0xc0}))
					carol := r.dial("carol")
					carol.send(&wire.Directory{Ref: 1})
					await[*wire.Spaces](carol)
					bob.send(&wire.Directory{Ref: 1})
					if rows := await[*wire.Spaces](bob).Rows; len(rows) != 1 || rows[0].Module != name {
						t.Errorf("the directory has %+v", rows)
					}
					bob.subscribe(id, space.Start(id))
					payloads := make([][]byte, 1024)
					for i := range payloads {
						payloads[i] = []byte{0xc0}
					}
					bob.append(id, bob.of("anything", payloads...))
					bob.keptAt(id, 1000)
					r.stop()
					if tablesOf(t, log, id, false) != tablesOf(t, log, id, true) {
						t.Error("from the checkpoint the tables are others than from the log")
					}
				}
			})
		})
	}
}

// TestUpgradeBeside: while the log is applied to the next module, others write, and are answered.
func TestUpgradeBeside(t *testing.T) {
	log := &hooked{Log: memlog.New()}
	r := start(t, log, runsModules(t, log, nil))
	alice, bob := r.dial("alice"), r.dial("bob")
	id := alice.createOf(upload(t, log, moduletest.Members(nil)))
	alice.append(id, alice.of("add", moduletest.MembersAdd("bob")))
	next := membersAs("3.0.0", func(m *program.Manifest) { m.Upgrade = program.Replay })
	upload(t, log, next)
	read, goes := make(chan struct{}, 100), make(chan struct{})
	log.reads(func() {
		read <- struct{}{}
		<-goes
	})
	alice.push(wire.Push{Space: id, Transactions: []space.Transaction{
		alice.of(module.TypeModule, moduletest.UpgradeTo(next)), alice.of("note", moduletest.MembersNote("by the next")),
	}})
	<-read // it is being prepared
	for n := range uint64(100) {
		if at := bob.append(id, bob.of("note", moduletest.MembersNote("meanwhile"))); at.Seq != n+2 {
			t.Fatalf("at %d", at.Seq)
		}
	}
	log.reads(nil)
	close(goes)
	verdicts := await[*wire.Pushed](alice).Verdicts
	if verdicts[0].Kind != wire.Accepted || verdicts[1].Kind != wire.Accepted || verdicts[0].Position.Seq != 102 || verdicts[1].Position.Seq != 104 {
		t.Fatalf("verdicts: %+v", verdicts)
	}
	if got, err := log.Read(context.Background(), id, 102, 1, 1<<20); err != nil || got[0].Type != module.TypeCheckpoint {
		t.Fatal(got, err)
	}
	r.stop()
	r = start(t, log, runsModules(t, log, nil))
	bob = r.dial("bob")
	if at := bob.append(id, bob.of("note", moduletest.MembersNote("after a restart"))); at.Seq != 105 {
		t.Errorf("at %d", at.Seq)
	}
}

// tablesAt returns the digest of the tables at a record, made of the log.
func tablesAt(t *testing.T, log syncserver.Log, id space.ID, seq uint64) digest.Digest {
	t.Helper()
	ctx := context.Background()
	var c syncserver.Config
	runsModules(t, log, nil)(&c)
	genesis, _, err := log.Genesis(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	records, err := log.Read(ctx, id, 0, int(seq), 1<<30)
	if err != nil || uint64(len(records)) != seq {
		t.Fatal(len(records), err)
	}
	i, err := c.Engine.(program.Beginner).Begin(&genesis, program.Origin{Upgraded: true, History: func(after, to uint64, f func([]space.Record) error) error {
		return f(records[after:to])
	}})
	if err == nil {
		defer i.Close()
		err = i.Apply(records)
	}
	if err != nil {
		t.Fatal(err)
	}
	return i.(program.Materializer).Digest(id, space.Position{Seq: seq, Chain: space.Fold(id, records)})
}

// TestUpgradeRefused: an upgrade that fails says so with its own code, and the space goes on with the module that it has.
func TestUpgradeRefused(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil))
	alice := r.dial("alice")
	id := alice.createOf(upload(t, log, moduletest.Members(nil)))
	bytesKey := func(m *program.Manifest) { m.Tables[0].Columns[0].Kind = tables.Bytes }
	alice.append(id, alice.of("add", moduletest.MembersAdd("looping")))
	next, silent := membersAs("2.0.0", bytesKey), membersAs("2.0.1", func(m *program.Manifest) { m.Upgrade = "" })
	upload(t, log, next)
	upload(t, log, silent)
	upload(t, log, moduletest.ChatWithoutManifest())
	two := alice.of(module.TypeModule, moduletest.UpgradeTo(next), moduletest.UpgradeTo(next))
	mixed := alice.of("note", moduletest.MembersNote("a"))
	mixed.Events = append(mixed.Events, alice.of(module.TypeModule, moduletest.UpgradeTo(next)).Events...)
	for _, c := range []struct {
		name string
		t    space.Transaction
		code wire.Code
	}{
		{"migrate does not end", alice.of(module.TypeModule, moduletest.UpgradeTo(next)), wire.CodeMigrateFailed},
		{"no strategy", alice.of(module.TypeModule, moduletest.UpgradeTo(silent)), wire.CodeBadUpgrade},
		{"no module", alice.of(module.TypeModule, moduletest.UpgradeTo(moduletest.ChatWithoutManifest())), wire.CodeBadModule},
		{"bad payload", alice.of(module.TypeModule, []byte{0xc1}), wire.CodeBadPayload},
		{"two", two, wire.CodeBadTransaction},
		{"with another event", mixed, wire.CodeBadTransaction},
		{"the server's word", alice.of(module.TypeCheckpoint, []byte{0x80}), wire.CodeReservedType},
	} {
		if v := alice.verdict(id, c.t); v.Kind != wire.Rejected || v.Code != c.code {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
	if at := alice.append(id, alice.of("note", moduletest.MembersNote("it goes on"))); at.Seq != 2 {
		t.Errorf("the head is %d", at.Seq)
	}
	if tablesAt(t, log, id, 2) == (digest.Digest{}) {
		t.Error("no tables")
	}
}

// TestOpenGoesOver: only its creator takes a space of "open" over to a module, and it is found again.
func TestOpenGoesOver(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		log := open()
		r := start(t, log, runsModules(t, log, nil))
		alice, bob := r.dial("alice"), r.dial("bob")
		id := alice.create()
		bob.append(id, bob.transaction(3))
		next := membersAs("1.0.0", func(m *program.Manifest) { m.Upgrade = program.Replay; m.Readable, m.Audience = nil, "" })
		upload(t, log, next)
		if v := bob.verdict(id, bob.of(module.TypeModule, moduletest.UpgradeTo(next))); v.Code != wire.CodeForbidden {
			t.Errorf("anybody: %+v", v)
		}
		alice.append(id, alice.of("add", moduletest.MembersAdd("alice"))) // it is nothing to open
		if v := alice.verdict(id, alice.of(module.TypeModule, moduletest.UpgradeTo(next))); v.Kind != wire.Rejected || v.Code != wire.CodeBadUpgrade {
			t.Errorf("events that the module does not take: %+v", v)
		}
		r.stop()
		log = open()
		r = start(t, log, runsModules(t, log, nil))
		alice = r.dial("alice")
		id = alice.create()
		alice.append(id, alice.of("add", moduletest.MembersAdd("bob")))
		if at := alice.append(id, alice.of(module.TypeModule, moduletest.UpgradeTo(next))); at.Seq != 2 {
			t.Errorf("at %d", at.Seq)
		}
		r.stop()
		log = open()
		r = start(t, log, runsModules(t, log, nil))
		bob, carol := r.dial("bob"), r.dial("carol")
		if v := carol.verdict(id, carol.of("note", moduletest.MembersNote("a"))); v.Code != wire.CodeModuleOwn+1 {
			t.Errorf("nobody's note: %+v", v)
		}
		bob.append(id, bob.of("note", moduletest.MembersNote("a")))
	})
}

// asking is an engine whose instances, once it is told to, wait before they ask who may read.
type asking struct {
	*wasmengine.Engine
	hold chan struct{} // nil: they do not wait
}

type askingInstance struct {
	program.Materializer
	of *asking
}

func (a *asking) Begin(genesis *space.Genesis, at program.Origin) (module.Instance, error) {
	i, err := a.Engine.Begin(genesis, at)
	if err != nil {
		return nil, err
	}
	return &askingInstance{i.(program.Materializer), a}, nil
}

func (i *askingInstance) MayRead(identity string) (bool, error) {
	if identity == "bob" && i.of.hold != nil {
		<-i.of.hold
	}
	return i.Materializer.MayRead(identity)
}

// TestNobodyReadsAhead: while the module is asked who may read on behind a record, nobody does, although the log has more.
func TestNobodyReadsAhead(t *testing.T) {
	log := &hooked{Log: memlog.New()}
	engine := &asking{}
	r := start(t, log, runsModules(t, log, nil), func(c *syncserver.Config) {
		engine.Engine = c.Engine.(*wasmengine.Engine)
		c.Engine = engine
	})
	alice := r.dial("alice")
	id := alice.createOf(upload(t, log, moduletest.Members(nil)))
	alice.append(id, alice.of("add", moduletest.MembersAdd("bob"), moduletest.MembersAdd("carol")))
	var readers [2]*peer
	for n, name := range []string{"bob", "carol"} {
		h := hello(name)
		h.Credit = 0
		readers[n] = r.dialWith(h)
		readers[n].subscribe(id, space.Start(id))
		await[*wire.Spaces](readers[n]) // it was checked
	}
	bob, carol := readers[0], readers[1]

	engine.hold = make(chan struct{})
	stored := make(chan struct{}, 10)
	log.after(func(space.ID) error {
		stored <- struct{}{}
		return nil
	})
	alice.push(wire.Push{Space: id, Transactions: []space.Transaction{alice.of("remove", moduletest.MembersAdd("bob"), moduletest.MembersAdd("carol")), alice.of("note", moduletest.MembersNote("not for them"))}})
	<-stored
	<-stored // the note is in the log, and the module has not said yet who may read it
	bob.send(&wire.Credit{Bytes: 1 << 20})
	_, at := bob.follow(id, space.Start(id), 2)
	if at.Seq != 2 {
		t.Fatalf("bob has record %d", at.Seq)
	}
	close(engine.hold)
	if _, at = bob.follow(id, at, 4); at.Seq != 4 {
		t.Fatalf("bob has record %d", at.Seq)
	}
	if ended := await[*wire.Ended](bob); ended.Code != wire.CodeLeft {
		t.Errorf("bob's subscription ended with %v", ended.Code)
	}
	await[*wire.Pushed](alice) // it is long past
	carol.send(&wire.Credit{Bytes: 1 << 20})
	if _, at = carol.follow(id, space.Start(id), 4); at.Seq != 4 {
		t.Fatalf("carol has record %d", at.Seq)
	}
	if ended := await[*wire.Ended](carol); ended.Code != wire.CodeLeft {
		t.Errorf("carol's subscription ended with %v", ended.Code)
	}
}

// slow is an engine whose modules take a millisecond to say who may read, and whose instances tell of what they do.
type slow struct {
	*wasmengine.Engine
	asked atomic.Int64
	began func()     // once, when the first of many is asked
	judge chan int64 // of notes: how many were asked until then
}

type slowInstance struct {
	program.Materializer
	of *slow
}

func (s *slow) Begin(genesis *space.Genesis, at program.Origin) (module.Instance, error) {
	i, err := s.Engine.Begin(genesis, at)
	if err != nil {
		return nil, err
	}
	return &slowInstance{i.(program.Materializer), s}, nil
}

func (i *slowInstance) MayRead(identity string) (bool, error) {
	if begin := i.of.began; begin != nil {
		i.of.began = nil
		begin()
	}
	time.Sleep(time.Millisecond)
	i.of.asked.Add(1)
	return i.Materializer.MayRead(identity)
}

func (i *slowInstance) Judge(caller module.Caller, records []space.Record) (module.Verdict, error) {
	if records[0].Type == "note" {
		i.of.judge <- i.of.asked.Load()
	}
	return i.Materializer.Judge(caller, records)
}

// TestAskingManyReadersHoldsNobodyUp: while a module is asked of many subscribers whether they may still read, others write; and
// nobody is sent that before all were asked.
func TestAskingManyReadersHoldsNobodyUp(t *testing.T) {
	log := memlog.New()
	engine := &slow{judge: make(chan int64, 10)}
	r := start(t, log, runsModules(t, log, nil), func(c *syncserver.Config) {
		engine.Engine = c.Engine.(*wasmengine.Engine)
		c.Engine = engine
	})
	alice, writer := r.dial("alice"), r.dial("alice")
	id := alice.createOf(upload(t, log, moduletest.Members(nil)))
	const many = 200
	var add [][]byte
	for n := range many {
		add = append(add, moduletest.MembersAdd(fmt.Sprint("reader", n)))
	}
	alice.append(id, alice.of("add", add...))
	var readers [many]*peer
	var at space.Position
	for n := range readers {
		readers[n] = r.dial(fmt.Sprint("reader", n))
		readers[n].subscribe(id, space.Start(id))
		_, at = readers[n].follow(id, space.Start(id), many)
		await[*wire.CaughtUp](readers[n])
	}
	engine.asked.Store(0)
	engine.began = func() {
		writer.push(wire.Push{Space: id, Transactions: []space.Transaction{writer.of("note", moduletest.MembersNote("meanwhile"))}})
	}
	removed := alice.append(id, alice.of("remove", moduletest.MembersAdd("reader0"), moduletest.MembersAdd("reader199")))
	if n := <-engine.judge; n >= many {
		t.Errorf("a note was judged when all %d had been asked", n)
	}
	for n, reader := range readers {
		last := removed.Seq + 1
		if n == 0 || n == many-1 {
			last = removed.Seq
		}
		if _, at := reader.follow(id, at, last); at.Seq != last {
			t.Fatalf("reader %d has record %d, not %d", n, at.Seq, last)
		}
		if last == removed.Seq {
			frame := reader.receive()
			for _, is := frame.(*wire.Ended); !is; _, is = frame.(*wire.Ended) {
				if events, is := frame.(*wire.Events); is {
					t.Fatalf("reader %d, which was removed, has record %d", n, events.Position.Seq)
				}
				frame = reader.receive()
			}
			if code := frame.(*wire.Ended).Code; code != wire.CodeLeft {
				t.Errorf("reader %d's subscription ended with %v", n, code)
			}
		}
	}
	if n := engine.asked.Load(); n < many {
		t.Errorf("%d were asked", n)
	}
}
