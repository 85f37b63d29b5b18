//go:build !js

package wasmclient_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// wrongEngine is an engine whose modules get another word than was written.
type wrongEngine struct {
	engine
	word, other string
}

func (w wrongEngine) Name() string { return "the wrong engine" }

func (w wrongEngine) Machines(ctx context.Context, p *program.Program) (program.Machines, func(), error) {
	m, release, err := w.engine.Machines(ctx, p)
	return wrongMachines{m, w}, release, err
}

type wrongMachines struct {
	program.Machines
	engine wrongEngine
}

func (w wrongMachines) Borrow() (program.Machine, error) {
	m, err := w.Machines.Borrow()
	return wrongMachine{m, w.engine}, err
}

func (w wrongMachines) Return(m program.Machine) { w.Machines.Return(m.(wrongMachine).Machine) }

type wrongMachine struct {
	program.Machine
	engine wrongEngine
}

func (w wrongMachine) Call(export program.Export, input []byte, fuel int32, host *program.Host) (program.Outcome, error) {
	if export == program.Apply {
		input = bytes.Replace(input, []byte(w.engine.word), []byte(w.engine.other), 1)
	}
	return w.Machine.Call(export, input, fuel, host)
}

// wrong gives a tab an engine that reads "message 700 " as something else.
func (j *judged) wrong(c *wasmclient.Config) {
	c.Engine = wrongEngine{j.engine, "message 700 ", "message 7OO "}
}

// fill writes messages up to record n, and waits until the server has them.
func (j *judged) fill(t *tab, s *wasmclient.Space, n int) {
	j.Helper()
	var last *wasmclient.Receipt
	time.Sleep(time.Second) // the tab has what others wrote
	for at := int(s.Info().Position.Seq); at < n; {
		var events []space.Event
		for ; len(events) < 100 && at < n; at++ {
			events = append(events, space.Event{Type: "message", Payload: moduletest.ChatMessage("tea", fmt.Sprintf("message %d .", at+1))})
		}
		var err error
		if last, err = s.AppendEvents(j.Context(), events); err != nil {
			j.Fatal(err)
		}
	}
	if _, err := last.Synced(j.Context()); err != nil {
		j.Fatal(err)
	}
	t.holds(s.ID(), n)
	time.Sleep(time.Second) // the server has kept a checkpoint, if one is due
}

// wantsTables checks that a tab has the tables that the log gives.
func (j *judged) wantsTables(t *tab, id space.ID) {
	j.Helper()
	for table, want := range j.tablesOf(id) {
		result, err := t.Space(id).Query(j.Context(), wasmclient.Query{Table: table, Limit: 100_000})
		if err != nil {
			j.Fatal(err)
		}
		rows := []string{}
		for _, row := range result.Rows {
			if !row.Pending {
				rows = append(rows, row.Bytes)
			}
		}
		if !slices.Equal(rows, want) {
			j.Errorf("table %s has %d rows, and the log gives %d, or they differ", table, len(rows), len(want))
		}
	}
}

// divergences gathers what a tab tells of spaces that diverged.
func divergences(t *tab) func() []wasmclient.Divergence {
	var mu sync.Mutex
	var told []wasmclient.Divergence
	t.OnChange(func(c wasmclient.Change) {
		if c.Divergence != nil {
			mu.Lock()
			told = append(told, *c.Divergence)
			mu.Unlock()
		}
	})
	return func() []wasmclient.Divergence {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(told)
	}
}

// TestDivergedTables: an engine that makes another row of the log than the server's is found out at the next checkpoint. It is
// told, with both digests; the tables are the server's from then on; and log and outbox are what they were.
func TestDivergedTables(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first := j.tab(j.device("ada"))
		s := j.makeChat(first)
		j.fill(first, s, 500)

		device := j.device("ada")
		tab := j.tab(device, j.wrong)
		told := divergences(tab)
		there := tab.Space(s.ID())
		tab.holds(s.ID(), 500)
		live, err := there.Live(j.Context(), wasmclient.Query{Table: "messages", Limit: 5000}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		j.wantsTables(tab, s.ID())
		j.fill(first, s, 900)
		tab.holds(s.ID(), 900)
		if texts := j.texts(there, wasmclient.Query{Table: "messages", Limit: 5000}); !slices.Contains(texts, "message 7OO .") {
			t.Fatal("the engine is not wrong")
		}
		if len(told()) > 0 || there.Info().Divergence != nil {
			t.Fatalf("told before anybody could know: %+v", told())
		}

		j.fill(first, s, 1100)
		tab.holds(s.ID(), 1100)
		time.Sleep(time.Second) // tables are worked on now and then
		synctest.Wait()
		all := told()
		if len(all) != 1 {
			t.Fatalf("told %+v, want one", all)
		}
		d := all[0]
		if d.Seq != 1000 || d.Module != j.chat || d.Engine != "the wrong engine" || d.Here == d.There || d.There != there.Info().Checkpoint.Root {
			t.Errorf("told %+v", d)
		}
		for name, code := range map[string]wire.Code{"space": there.Info().Code, "status": tab.Status().Code} {
			if code != wire.CodeModuleDiverged {
				t.Errorf("the %s says %v", name, code)
			}
		}
		j.wantsTables(tab, s.ID())
		var delta wasmclient.Delta
		for more := true; more; {
			if next, ok := live.Next(); ok {
				delta = next
			} else {
				more = false
			}
		}
		if delta.Err != nil {
			t.Errorf("the live query says %v", delta.Err)
		}

		one := j.say(there, "written after")
		if _, err := one.Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		j.fill(first, s, 2100)
		tab.holds(s.ID(), 2100)
		time.Sleep(time.Second) // tables are worked on now and then
		synctest.Wait()
		if info := there.Info(); info.Divergence != nil || info.Code != 0 || len(told()) != 1 {
			t.Errorf("at the next checkpoint: %+v, told %d", info, len(told()))
		}
		j.wantsTables(tab, s.ID())
	})
}

// TestDivergedWithAnOutbox: what waits is laid over the server's tables, and is not lost.
func TestDivergedWithAnOutbox(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first := j.tab(j.device("ada"))
		s := j.makeChat(first)
		j.fill(first, s, 900)
		device := j.device("ada")
		tab := j.tab(device, j.wrong)
		tab.Space(s.ID())
		tab.holds(s.ID(), 900)
		tab.Close(j.Context())
		j.fill(first, s, 1100)

		tab = j.tab(device, j.wrong, offline)
		there := tab.Space(s.ID())
		for n := range 3 {
			if err := j.say(there, fmt.Sprintf("waits %d", n)).Durable(j.Context()); err != nil {
				t.Fatal(err)
			}
		}
		tab.Close(j.Context())

		tab = j.tab(device, j.wrong)
		told := divergences(tab)
		there = tab.Space(s.ID())
		for there.Info().Divergence == nil {
			if _, err := there.Query(j.Context(), messages); err != nil && wire.CodeOf(err) != wire.CodeModuleDiverged {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		tab.holds(s.ID(), 1103)
		if len(told()) != 1 || there.Info().Pending > 0 {
			t.Errorf("told %+v, %d wait", told(), there.Info().Pending)
		}
		if rejected, err := there.Rejected(j.Context()); err != nil || len(rejected) > 0 {
			t.Errorf("rejected: %+v, %v", rejected, err)
		}
		j.wantsTables(tab, s.ID())
		texts := j.texts(there, wasmclient.Query{Table: "messages", Reverse: true, Limit: 3})
		j.same(texts, "waits 2", "waits 1", "waits 0")
	})
}

// TestDivergedByARecord: a module that does not take here what is in the log has diverged too; the server's next checkpoint
// leads over it.
func TestDivergedByARecord(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first := j.tab(j.device("ada"))
		s := j.makeChat(first)
		j.fill(first, s, 900)
		tab := j.tab(j.device("ada"), func(c *wasmclient.Config) {
			c.Engine = wrongEngine{j.engine, "\x0d\x00\x00\x00message 700 .", "\xff\xff\xff\x7fmessage 700 ."} // no text is so long
		})
		there := tab.Space(s.ID())
		tab.holds(s.ID(), 900)
		if _, err := there.Query(j.Context(), messages); wire.CodeOf(err) != wire.CodeModuleDiverged {
			t.Fatalf("a query says %v", err)
		}
		if d := there.Info().Divergence; d == nil || d.Seq > 700 || d.Here != (digest.Digest{}) {
			t.Fatalf("told %+v", d)
		}
		j.fill(first, s, 1100)
		tab.holds(s.ID(), 1100)
		j.wantsTables(tab, s.ID())
	})
}

// TestDivergedAndNothingComes: while the server's tables cannot be had, there are none, which a query says; another tab that
// makes them right has them.
func TestDivergedAndNothingComes(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first := j.tab(j.device("ada"))
		s := j.makeChat(first)
		j.fill(first, s, 1100)
		pages, err := j.site.log.Pages(j.Context(), s.ID())
		if err != nil || len(pages) < 2 {
			t.Fatal(pages, err)
		}
		root := first.Space(s.ID()).Info().Checkpoint.Root
		var lost []digest.Digest
		for _, page := range pages {
			if page != root {
				lost = append(lost, page)
				break
			}
		}
		if err := j.site.log.DeletePages(j.Context(), s.ID(), lost); err != nil {
			t.Fatal(err)
		}
		tab := j.tab(j.device("ada"), j.wrong)
		there := tab.Space(s.ID())
		tab.holds(s.ID(), 1100)
		if _, err := there.Query(j.Context(), messages); wire.CodeOf(err) != wire.CodeModuleDiverged {
			t.Fatalf("a query says %v", err)
		}
		if info := there.Info(); info.Checkpoint.State != replica.CheckpointFailed || info.Code != wire.CodeModuleDiverged {
			t.Errorf("%+v", info)
		}
		j.fill(first, s, 2100)
		tab.holds(s.ID(), 2100)
		j.wantsTables(tab, s.ID())
	})
}

// TestDivergedAtAnUpgrade: in the log stands what the tables are behind an upgrade. Whose are others stops there, and goes on
// from the server's next checkpoint.
func TestDivergedAtAnUpgrade(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first := j.tab(j.device("ada"))
		s := j.makeChat(first)
		j.fill(first, s, 800)
		right, wrong := j.tab(j.device("ada")), j.tab(j.device("ada"), j.wrong)
		for _, tab := range []*tab{right, wrong} {
			tab.Space(s.ID())
			tab.holds(s.ID(), 800)
			live, err := tab.Space(s.ID()).Live(j.Context(), messages, func() {})
			if err != nil {
				t.Fatal(err)
			}
			defer live.Close()
		}
		j.upgrade(first, s, newerChat())
		wrong.holds(s.ID(), 802)
		right.holds(s.ID(), 802)
		time.Sleep(time.Second) // tables are worked on now and then
		synctest.Wait()
		if d := right.Space(s.ID()).Info().Divergence; d != nil {
			t.Errorf("an engine that is right: %+v", d)
		}
		if d := wrong.Space(s.ID()).Info().Divergence; d == nil || d.Seq != 801 || d.Here == d.There {
			t.Errorf("an engine that is wrong: %+v", d)
		}
		query := wasmclient.Query{Table: "messages", Index: "by_text", Limit: 5000}
		if _, err := wrong.Space(s.ID()).Query(j.Context(), query); wire.CodeOf(err) != wire.CodeModuleDiverged {
			t.Errorf("a query says %v", err)
		}
		j.fill(first, s, 1100)
		wrong.holds(s.ID(), 1100)
		right.holds(s.ID(), 1100)
		want := j.texts(right.Space(s.ID()), query)
		j.same(j.texts(wrong.Space(s.ID()), query), want...)
		if len(want) != 1098 {
			t.Errorf("%d messages", len(want))
		}
		if wrong.Space(s.ID()).Info().Divergence == nil { // they are the server's, which nothing was compared with since
			t.Error("an engine that is wrong is said to be right")
		}
	})
}
