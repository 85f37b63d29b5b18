//go:build !js

package wasmclient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/wasmengine"
	"skerry/wasmclient"
	"skerry/wasmclient/storetest"
)

// engine lends a client the server's engine.
type engine struct{ *wasmengine.Engine }

func (e engine) Machines(_ context.Context, p *program.Program) (program.Machines, func(), error) {
	m, err := e.Engine.Machines(p)
	if err != nil {
		return nil, nil, err
	}
	return m, m.Release, nil
}

// judged is a world whose server and tabs run modules.
type judged struct {
	*world
	engine engine
	chat   digest.Digest
}

func inJudgedBubble(t *testing.T, test func(*judged)) {
	inJudgedBubbleWith(t, func(*syncserver.Config) {}, test)
}

// inJudgedBubbleWith is inJudgedBubble with a server of another configuration.
func inJudgedBubbleWith(t *testing.T, change func(*syncserver.Config), test func(*judged)) {
	j := &judged{}
	source := func(ctx context.Context, d digest.Digest) ([]byte, error) {
		bytes, err := j.site.log.Blob(ctx, d)
		if errors.Is(err, syncserver.ErrNoBlob) {
			err = module.ErrMissing
		}
		return bytes, err
	}
	inBubbleWith(t, func(c *syncserver.Config) {
		e, err := wasmengine.New(source, wasmengine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		j.engine, c.Engine = engine{e}, e
		change(c)
	}, func(w *world) {
		defer j.engine.Close()
		j.world, j.chat = w, digest.Of(moduletest.Chat())
		if err := w.site.log.PutBlob(w.Context(), j.chat, moduletest.Chat()); err != nil {
			w.Fatal(err)
		}
		test(j)
	})
}

// tab opens a client that runs modules, and has the chat.
func (j *judged) tab(d *device, change ...func(*wasmclient.Config)) *tab {
	j.Helper()
	if err := d.store.PutModule(j.Context(), j.chat, moduletest.Chat()); err != nil {
		j.Fatal(err)
	}
	return d.tab(append([]func(*wasmclient.Config){func(c *wasmclient.Config) { c.Engine = j.engine }}, change...)...)
}

func (j *judged) makeChat(t *tab) *wasmclient.Space {
	j.Helper()
	s, err := t.CreateSpace(j.Context(), wasmclient.SpaceOptions{Module: j.chat})
	if err != nil {
		j.Fatal(err)
	}
	return s
}

// write appends one event of the chat.
func (j *judged) write(s *wasmclient.Space, eventType string, payload []byte) *wasmclient.Receipt {
	j.Helper()
	receipt, err := s.AppendEvents(j.Context(), []space.Event{{Type: eventType, Payload: payload}})
	if err != nil {
		j.Fatal(err)
	}
	return receipt
}

func (j *judged) say(s *wasmclient.Space, text string) *wasmclient.Receipt {
	return j.write(s, "message", moduletest.ChatMessage("tea", text))
}

// texts returns what a query finds in the column text, with a star behind what waits.
func (j *judged) texts(s *wasmclient.Space, query wasmclient.Query) []string {
	j.Helper()
	result, err := s.Query(j.Context(), query)
	if err != nil {
		j.Fatal(err)
	}
	return textsOf(j.T, result)
}

func textsOf(t *testing.T, result *wasmclient.Result) []string {
	texts := []string{}
	for _, row := range result.Rows {
		values, err := result.Schema.Values([]byte(row.Bytes))
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(values[len(values)-1])
		if row.Pending {
			text += "*"
		}
		texts = append(texts, text)
	}
	return texts
}

func (j *judged) same(got []string, want ...string) {
	j.Helper()
	if !slices.Equal(got, want) {
		j.Errorf("got %q, want %q", got, want)
	}
}

var messages = wasmclient.Query{Table: "messages"}

// TestTables writes offline, and sees it at once; then the server has it, and another device sees the same.
func TestTables(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		ada := j.device("ada")
		first := j.tab(ada, offline)
		s := j.makeChat(first)
		j.same(j.texts(s, messages))
		one := j.say(s, "one")
		j.same(j.texts(s, messages), "one*")
		j.say(s, "two")
		j.same(j.texts(s, messages), "one*", "two*")
		if err := one.Durable(j.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		j.same(j.texts(s, messages), "one*", "two*")
		first.Close(j.Context())

		online := j.tab(ada)
		again := online.Space(s.ID())
		j.same(stars(j.texts(again, messages)), "one", "two")
		last := j.say(again, "three")
		j.same(stars(j.texts(again, messages)), "one", "two", "three")
		if _, err := last.Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		online.holds(s.ID(), 3)
		j.same(j.texts(again, messages), "one", "two", "three")
		j.same(j.texts(again, wasmclient.Query{Table: "messages", Reverse: true, Limit: 2}), "three", "two")

		joined := j.write(again, "join", moduletest.ChatJoin("Bea"))
		if _, err := joined.Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		bea := j.tab(j.device("ada")) // another device of the same identity
		there := bea.Space(s.ID())
		bea.holds(s.ID(), 4)
		j.same(j.texts(there, messages), "one", "two", "three")
	})
}

// TestPreview: what the module refuses is told at once, kept among the rejected, and can be sent all the same.
func TestPreview(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		tab := j.tab(j.device("ada"))
		s := j.makeChat(tab)
		j.same(j.texts(s, messages))
		refused := j.say(s, "")
		if err := refused.Durable(j.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := refused.Synced(j.Context()); wire.CodeOf(err) == 0 {
			t.Fatalf("an empty message: %v", err)
		}
		rejected, err := s.Rejected(j.Context())
		if err != nil || len(rejected) != 1 || rejected[0].By != "preview" {
			t.Fatalf("rejected: %+v, %v", rejected, err)
		}
		j.same(j.texts(s, messages))
		if _, err := j.say(s, "one").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Retry(j.Context(), refused.ID()); err != nil {
			t.Fatal(err)
		}
		for by := "preview"; by != "server"; synctest.Wait() {
			time.Sleep(100 * time.Millisecond)
			if rejected, err = s.Rejected(j.Context()); err != nil {
				t.Fatal(err)
			}
			if len(rejected) > 0 {
				by = rejected[0].By
			}
		}
		j.same(j.texts(s, messages), "one")
		if _, err := j.say(s, "two").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestPreviewOfTheFirstWords: nobody has asked for the tables yet, since the space is new or the tab is. What the module
// refuses is refused by the page all the same, unless the tables take long to make: then it is stored, and sent.
func TestPreviewOfTheFirstWords(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		device := j.device("ada")
		refusedBy := func(s *wasmclient.Space, want int) {
			t.Helper()
			if err := j.say(s, "").Durable(j.Context()); err != nil {
				t.Fatal(err)
			}
			rejected, err := s.Rejected(j.Context())
			if err != nil || len(rejected) != want || want > 0 && rejected[want-1].By != "preview" {
				t.Errorf("rejected: %+v, %v; want %d by preview", rejected, err, want)
			}
		}
		tab := j.tab(device, offline)
		s := j.makeChat(tab)
		refusedBy(s, 1)
		j.say(s, "one")
		tab.Close(j.Context())

		tab = j.tab(device, offline)
		refusedBy(tab.Space(s.ID()), 2)
		j.same(j.texts(tab.Space(s.ID()), messages), "one*")
		tab.Close(j.Context())

		slow := j.tab(device, offline, func(c *wasmclient.Config) { c.Engine = slowEngine{j.engine} })
		began := time.Now()
		refusedBy(slow.Space(s.ID()), 2)
		if took := time.Since(began); took > time.Second {
			t.Errorf("it is stored after %v", took)
		}
		began = time.Now()
		j.say(slow.Space(s.ID()), "two")
		if took := time.Since(began); took > 0 {
			t.Errorf("the next one waits again, %v", took)
		}
		time.Sleep(time.Minute)
		j.same(j.texts(slow.Space(s.ID()), messages), "one*", "two*")
		if pending := slow.Space(s.ID()).Info().Pending; pending != 3 {
			t.Errorf("%d transactions wait, want 3", pending)
		}
	})
}

// slowEngine takes long to compile.
type slowEngine struct{ engine }

func (s slowEngine) Machines(ctx context.Context, p *program.Program) (program.Machines, func(), error) {
	time.Sleep(10 * time.Second)
	return s.engine.Machines(ctx, p)
}

func offline(c *wasmclient.Config) { c.URL = "" }

// TestRebase: two devices write, one of them offline. What waits there is laid over what the other one wrote, and what the
// server refuses, since it came second, goes again.
func TestRebase(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		one, device := j.tab(j.device("ada")), j.device("ada")
		s := j.makeChat(one)
		if _, err := j.say(s, "first").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		two := j.tab(device)
		two.Space(s.ID())
		two.holds(s.ID(), 1)
		two.Close(j.Context())
		two = j.tab(device, offline)
		there := two.Space(s.ID())
		j.same(j.texts(there, messages), "first")
		j.write(there, "remove", append([]byte("\x81\xa3seq"), 1))
		j.same(j.texts(there, messages))
		j.say(there, "from two")
		j.same(j.texts(there, messages), "from two*")
		if err := j.say(there, "again").Durable(j.Context()); err != nil {
			t.Fatal(err)
		}
		two.Close(j.Context())

		j.say(s, "from one")
		if _, err := j.write(s, "remove", append([]byte("\x81\xa3seq"), 1)).Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		j.same(stars(j.texts(s, messages)), "from one")
		two = j.tab(device)
		there = two.Space(s.ID())
		two.holds(s.ID(), 5)
		one.holds(s.ID(), 5)
		for _, space := range []*wasmclient.Space{s, there} {
			j.same(j.texts(space, messages), "from one", "from two", "again")
		}
		if rejected, err := there.Rejected(j.Context()); err != nil || len(rejected) != 1 || rejected[0].By != "server" {
			t.Errorf("rejected: %+v, %v", rejected, err)
		}
		if err := there.Discard(j.Context(), rejectedID(j, there)); err != nil {
			t.Error(err)
		}
	})
}

func rejectedID(j *judged, s *wasmclient.Space) space.ULID {
	j.Helper()
	rejected, err := s.Rejected(j.Context())
	if err != nil || len(rejected) == 0 {
		j.Fatalf("nothing is rejected, %v", err)
	}
	return rejected[0].ID
}

// TestNoModuleYet: tables need their module. It may come later, and where none can come a query says so.
func TestNoModuleYet(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		device := j.device("ada")
		tab := device.tab(offline, func(c *wasmclient.Config) { c.Engine = j.engine })
		s := j.makeChat(tab)
		if _, err := s.Query(j.Context(), messages); wire.CodeOf(err) != wire.CodeModuleMissing {
			t.Errorf("without the module: %v", err)
		}
		woken := make(chan struct{}, 1)
		live, err := s.Live(j.Context(), messages, func() { woken <- struct{}{} })
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		<-woken
		if delta, ok := live.Next(); !ok || wire.CodeOf(delta.Err) != wire.CodeModuleMissing || delta.Schema != nil {
			t.Errorf("without the module: %+v, %v", delta, ok)
		}
		j.say(s, "unseen") // nobody can tell what it means
		if err := device.store.PutModule(j.Context(), j.chat, moduletest.Chat()); err != nil {
			t.Fatal(err)
		}
		<-woken
		if delta, ok := live.Next(); !ok || delta.Err != nil || len(delta.Pieces) != 1 {
			t.Errorf("with the module: %+v, %v", delta, ok)
		}
		open, err := tab.CreateSpace(j.Context(), wasmclient.SpaceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open.Query(j.Context(), messages); wire.CodeOf(err) != wire.CodeNotFound {
			t.Errorf("tables of a space that has none: %v", err)
		}
		if _, err := open.Tables(j.Context()); wire.CodeOf(err) != wire.CodeNotFound {
			t.Errorf("which tables a space has that has none: %v", err)
		}
		if _, err := tab.Space(space.ID{1}).Query(j.Context(), messages); wire.CodeOf(err) != wire.CodeUnknownSpace {
			t.Errorf("tables of a space that nobody knows: %v", err)
		}
		logs := device.tab(offline)
		if _, err := logs.Space(s.ID()).Query(j.Context(), messages); wire.CodeOf(err) != wire.CodeBadArgument {
			t.Errorf("tables of a client without an engine: %v", err)
		}
	})
}

// faultyEngine is machines that fail while they are told to.
type faultyEngine struct {
	engine
	broken *atomic.Bool
}

func (f faultyEngine) Machines(ctx context.Context, p *program.Program) (program.Machines, func(), error) {
	m, release, err := f.engine.Machines(ctx, p)
	return faultyMachines{m, f.broken}, release, err
}

type faultyMachines struct {
	program.Machines
	broken *atomic.Bool
}

func (f faultyMachines) Borrow() (program.Machine, error) {
	if f.broken.Load() {
		return nil, errors.New("the machine is broken")
	}
	return f.Machines.Borrow()
}

// TestFaultsAreNoVerdicts breaks the machine: what is written meanwhile waits, and shows when the machine works again.
func TestFaultsAreNoVerdicts(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		broken := &atomic.Bool{}
		tab := j.tab(j.device("ada"), offline, func(c *wasmclient.Config) { c.Engine = faultyEngine{j.engine, broken} })
		s := j.makeChat(tab)
		j.say(s, "one")
		j.same(j.texts(s, messages), "one*")
		broken.Store(true)
		empty := j.say(s, "") // it would be refused
		j.say(s, "two")
		if err := empty.Durable(j.Context()); err != nil {
			t.Fatal(err)
		}
		if rejected, err := s.Rejected(j.Context()); err != nil || len(rejected) > 0 {
			t.Errorf("rejected by a broken machine: %+v, %v", rejected, err)
		}
		if _, err := s.Query(j.Context(), messages); err == nil {
			t.Error("a query while the machine is broken says nothing of it")
		}
		broken.Store(false)
		time.Sleep(2 * time.Second)
		j.same(j.texts(s, messages), "one*", "two*")
		if pending := s.Info().Pending; pending != 3 {
			t.Errorf("%d transactions wait, want 3", pending)
		}
	})
}

// heavyEngine's machines take 15 ms for a call, and note how long calls followed each other with nothing in between.
type heavyEngine struct {
	engine
	longest *time.Duration
}

func (e heavyEngine) Machines(ctx context.Context, p *program.Program) (program.Machines, func(), error) {
	m, release, err := e.engine.Machines(ctx, p)
	return &heavyMachines{Machines: m, longest: e.longest}, release, err
}

type heavyMachines struct {
	program.Machines
	longest      *time.Duration
	began, ended time.Time
}

type heavyMachine struct {
	program.Machine
	of *heavyMachines
}

func (m *heavyMachines) Borrow() (program.Machine, error) {
	machine, err := m.Machines.Borrow()
	return heavyMachine{machine, m}, err
}

func (m *heavyMachines) Return(machine program.Machine) {
	m.Machines.Return(machine.(heavyMachine).Machine)
}

func (m heavyMachine) Call(e program.Export, input []byte, fuel int32, host *program.Host) (program.Outcome, error) {
	if time.Now() != m.of.ended {
		m.of.began = time.Now()
	}
	time.Sleep(15 * time.Millisecond)
	m.of.ended = time.Now()
	*m.of.longest = max(*m.of.longest, m.of.ended.Sub(m.of.began))
	return m.Machine.Call(e, input, fuel, host)
}

// TestSlowModules: however long a module takes for what is in a log, the rest of the worker has its turn in between.
func TestSlowModules(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first := j.tab(j.device("ada"))
		s := j.makeChat(first)
		for n := range 300 {
			j.say(s, fmt.Sprint(n))
		}
		first.holds(s.ID(), 300)
		var longest time.Duration
		second := j.tab(j.device("ada"), func(c *wasmclient.Config) { c.Engine = heavyEngine{j.engine, &longest} })
		there := second.Space(s.ID())
		second.holds(s.ID(), 300)
		if texts := j.texts(there, messages); len(texts) != 300 {
			t.Errorf("%d messages", len(texts))
		}
		if longest == 0 || longest > 100*time.Millisecond {
			t.Errorf("the module ran for %v at a time", longest)
		}
	})
}

// TestAppendedAgain: what is appended a second time, since nobody could tell whether the first time was one, is not refused
// by the page for being there.
func TestAppendedAgain(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		device := j.device("ada")
		tab := j.tab(device)
		s := j.makeChat(tab)
		if _, err := s.Query(j.Context(), messages); err != nil {
			t.Fatal(err)
		}
		j.say(s, "one")
		remove := append([]byte("\x81\xa3seq"), 1)
		removed := j.write(s, "remove", remove)
		if _, err := removed.Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		tab.holds(s.ID(), 2)
		j.same(j.texts(s, messages))
		again, err := s.AppendEvents(j.Context(), []space.Event{{ID: removed.ID(), Type: "remove", Payload: remove}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.Synced(j.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if rejected, err := s.Rejected(j.Context()); err != nil || len(rejected) > 0 {
			t.Errorf("rejected: %+v, %v", rejected, err)
		}
		j.same(j.texts(s, messages))
		ctx, cancel := context.WithTimeout(j.Context(), time.Second)
		defer cancel()
		if _, err := j.write(s, "remove", remove).Synced(ctx); wire.CodeOf(err) == 0 {
			t.Errorf("what is gone is removed once more: %v", err)
		}
	})
}

// TestTablesOfALostReplica destroys the store under a live query: the tables are made anew of what comes back.
func TestTablesOfALostReplica(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		device := j.device("ada")
		tab := j.tab(device)
		s := j.makeChat(tab)
		for _, text := range []string{"one", "two"} {
			if _, err := j.say(s, text).Synced(j.Context()); err != nil {
				t.Fatal(err)
			}
		}
		tab.holds(s.ID(), 2)
		j.same(j.texts(s, messages), "one", "two")
		device.store.Delete()
		if err := device.store.Handle().PutModule(j.Context(), j.chat, moduletest.Chat()); err != nil {
			t.Fatal(err)
		}
		tab.Poke()
		synctest.Wait()
		tab.holds(s.ID(), 2)
		if _, err := j.say(s, "three").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		tab.holds(s.ID(), 3)
		j.same(j.texts(s, messages), "one", "two", "three")
	})
}

// TestViewsEnd: tables that nobody asks for go after a minute, and with them the module.
func TestViewsEnd(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		released := &atomic.Int64{}
		tab := j.tab(j.device("ada"), offline, func(c *wasmclient.Config) { c.Engine = counting{j.engine, released} })
		s := j.makeChat(tab)
		released.Store(0) // which had the module try what the space is made of
		j.same(j.texts(s, messages))
		live, err := s.Live(j.Context(), messages, func() {})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if released.Load() != 0 {
			t.Error("the module went while a query was live")
		}
		live.Close()
		time.Sleep(50 * time.Second)
		if released.Load() != 0 {
			t.Error("the module went within a minute")
		}
		time.Sleep(3 * time.Minute)
		if released.Load() != 1 {
			t.Error("the module stays")
		}
		j.say(s, "one")
		j.same(j.texts(s, messages), "one*")
	})
}

type counting struct {
	engine
	released *atomic.Int64
}

func (c counting) Machines(ctx context.Context, p *program.Program) (program.Machines, func(), error) {
	m, release, err := c.engine.Machines(ctx, p)
	return m, func() { c.released.Add(1); release() }, err
}

// TestLive: a live query tells what changed, and is not run for what does not concern it.
func TestLive(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		tab := j.tab(j.device("ada"), offline)
		s := j.makeChat(tab)
		woken := make(chan struct{}, 100)
		query := wasmclient.Query{Table: "messages", Index: "by_room", Prefix: []byte("\x91\xa3tea"), Limit: 3}
		live, err := s.Live(j.Context(), query, func() { woken <- struct{}{} })
		if err != nil {
			t.Fatal(err)
		}
		<-woken
		delta, ok := live.Next()
		if !ok || len(delta.Pieces) > 0 || delta.Schema == nil || delta.Err != nil {
			t.Fatalf("first: %+v, %v", delta, ok)
		}
		if _, ok := live.Next(); ok {
			t.Error("told twice")
		}
		j.write(s, "message", moduletest.ChatMessage("cake", "elsewhere"))
		j.write(s, "join", moduletest.ChatJoin("Ada"))
		synctest.Wait()
		if runs := live.Runs(); runs != 1 || len(woken) > 0 {
			t.Errorf("run %d times, woken %d, by what does not concern it", runs, len(woken))
		}
		for _, text := range []string{"one", "two", "three"} {
			j.say(s, text)
		}
		<-woken
		if len(woken) > 0 {
			t.Error("woken again before it was answered")
		}
		if delta, ok = live.Next(); !ok || len(delta.Pieces) != 3 || delta.Pieces[0].Count != 0 || !delta.Pieces[0].Row.Pending {
			t.Fatalf("three rows: %+v, %v", delta, ok)
		}
		j.say(s, "four") // behind the limit
		synctest.Wait()
		if runs := live.Runs(); runs != 2 || len(woken) > 0 {
			t.Errorf("run %d times, woken %d, by what is behind its last row", runs, len(woken))
		}
		j.write(s, "remove", append([]byte("\x81\xa3seq"), 4)) // "two"
		<-woken
		if delta, ok = live.Next(); !ok || len(delta.Pieces) != 3 || delta.Pieces[0] != (wasmclient.Piece{From: 0, Count: 1}) ||
			delta.Pieces[1] != (wasmclient.Piece{From: 2, Count: 1}) || !strings.Contains(delta.Pieces[2].Row.Bytes, "four") {
			t.Fatalf("one gone: %+v, %v", delta, ok)
		}
		live.Close()
		live.Close()
		for name, query := range map[string]wasmclient.Query{
			"a table":  {Table: "none"},
			"an index": {Table: "messages", Index: "none"},
			"a prefix": {Table: "messages", Prefix: []byte("\x91\xa3tea")},
			"a limit":  {Table: "messages", Limit: -1},
		} {
			if _, err := s.Query(j.Context(), query); wire.CodeOf(err) != wire.CodeNotFound && wire.CodeOf(err) != wire.CodeBadArgument {
				t.Errorf("%s that is wrong: %v", name, err)
			}
		}
		for names, query := range map[string]wasmclient.Query{
			"messages, users, rooms": {Table: "none"},
			"by_room, by_author":     {Table: "messages", Index: "none"},
			"nor another":            {Table: "rooms", Index: "none"},
		} {
			if _, err := s.Query(j.Context(), query); err == nil || !strings.Contains(err.Error(), names) {
				t.Errorf("what there is, %s, is not said: %v", names, err)
			}
		}
		found, err := s.Tables(j.Context())
		if err != nil || found.Module != j.chat || found.Name != "chat" || found.Version != "1.0.0" || len(found.Schemas) != 3 {
			t.Errorf("tables: %+v, %v", found, err)
		}
	})
}

// TestLiveBeginsWhileRecordsAreApplied begins a live query, the only one, between the moment in which a record is applied and that in
// which it is shown: it is told of the record.
func TestLiveBeginsWhileRecordsAreApplied(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		writer, reader := j.tab(j.device("ada")), j.tab(j.device("ada"))
		s := j.makeChat(writer)
		there := reader.Space(s.ID())
		if _, err := j.say(s, "one").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		reader.holds(s.ID(), 1)
		j.same(j.texts(there, messages), "one")

		reader.store.slowRecords.Store(int64(time.Second))
		if _, err := j.say(s, "two").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		for there.Info().Position.Seq < 2 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(1500 * time.Millisecond) // the record was read, and whether there is another one is being read
		woken := make(chan struct{}, 1)
		live, err := there.Live(j.Context(), messages, func() { woken <- struct{}{} })
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		for _, rows := range []int{1, 2} {
			select {
			case <-woken:
			case <-time.After(time.Minute):
				t.Fatalf("not told of row %d", rows)
			}
			total := 0
			delta, _ := live.Next()
			for _, piece := range delta.Pieces {
				total += max(piece.Count, 1)
			}
			if total != rows {
				t.Fatalf("%d rows, want %d: %+v", total, rows, delta)
			}
		}
	})
}

// stars takes away what says that rows wait.
func stars(texts []string) []string {
	for i := range texts {
		texts[i] = strings.TrimSuffix(texts[i], "*")
	}
	return texts
}

// TestCheckpointOfTables opens a space of many records again: from a checkpoint, which gives what the log does, also when it
// is damaged, of another replica, or ahead of the log.
func TestCheckpointOfTables(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		device := j.device("ada")
		tab := j.tab(device)
		s := j.makeChat(tab)
		j.same(j.texts(s, messages))
		var last *wasmclient.Receipt
		for n := range 1050 {
			last = j.say(s, fmt.Sprint(n))
		}
		if _, err := last.Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		tab.holds(s.ID(), 1050)
		j.same(j.texts(s, wasmclient.Query{Table: "rooms"}))
		time.Sleep(time.Second)
		synctest.Wait()
		kept, err := storetest.Checkpoint(j.Context(), device.store, s.ID())
		if err != nil || kept == nil || kept.Seq < 1000 {
			t.Fatalf("kept: %+v, %v", kept, err)
		}
		if _, err := j.say(s, "behind it").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		tab.holds(s.ID(), 1051)
		all := wasmclient.Query{Table: "messages", Limit: 5000}
		want := j.texts(s, all)
		tab.Close(j.Context())
		reopen := func(replayed bool, change func(*replica.Checkpoint)) {
			t.Helper()
			if change != nil {
				bad := *kept
				bad.Root = slices.Clone(kept.Root)
				change(&bad)
				if err := device.store.PutCheckpoint(j.Context(), s.ID(), &bad); err != nil {
					t.Fatal(err)
				}
			}
			calls := &atomic.Int64{}
			again := j.tab(device, offline, func(c *wasmclient.Config) { c.Engine = callsEngine{j.engine, calls} })
			defer again.Close(j.Context())
			j.same(j.texts(again.Space(s.ID()), all), want...)
			if n := calls.Load(); n > 500 != replayed {
				t.Errorf("the module was called %d times", n)
			}
		}
		reopen(false, nil)
		reopen(true, func(c *replica.Checkpoint) { c.Root = c.Root[:len(c.Root)-1] })
		reopen(true, func(c *replica.Checkpoint) { c.Root[20]++ }) // another space's
		reopen(true, func(c *replica.Checkpoint) { c.Root = nil })
		reopen(true, func(c *replica.Checkpoint) { // of a log with the same numbers and other records
			of, _, err := tables.ReadRoot(c.Root)
			if err != nil {
				t.Fatal(err)
			}
			c.Root = bytes.Replace(c.Root, of.Chain[:], make([]byte, 32), 1)
		})
		reopen(true, func(c *replica.Checkpoint) { c.Pages = nil })
		reopen(true, func(c *replica.Checkpoint) { c.Root[len("skerry checkpoint ")] = '1' }) // of a form before
	})
}

// callsEngine counts the calls of modules.
type callsEngine struct {
	engine
	calls *atomic.Int64
}

func (c callsEngine) Machines(ctx context.Context, p *program.Program) (program.Machines, func(), error) {
	m, release, err := c.engine.Machines(ctx, p)
	return callsMachines{m, c.calls}, release, err
}

type callsMachines struct {
	program.Machines
	calls *atomic.Int64
}

func (c callsMachines) Borrow() (program.Machine, error) {
	m, err := c.Machines.Borrow()
	return callsMachine{m, c.calls}, err
}

func (c callsMachines) Return(m program.Machine) { c.Machines.Return(m.(callsMachine).Machine) }

type callsMachine struct {
	program.Machine
	calls *atomic.Int64
}

func (c callsMachine) Call(export program.Export, input []byte, fuel int32, host *program.Host) (program.Outcome, error) {
	c.calls.Add(1)
	return c.Machine.Call(export, input, fuel, host)
}
