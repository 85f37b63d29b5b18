//go:build !js

package wasmclient_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// newerChat is a chat whose messages have one index more.
func newerChat() []byte {
	m := moduletest.ChatManifest()
	m.Version = "1.1.0"
	m.Tables[0].Indexes = append(m.Tables[0].Indexes, tables.Index{Name: "by_text", Columns: []int{3}})
	return m.AppendSection(moduletest.ChatWithoutManifest())
}

// withoutMessages is a chat whose messages are called otherwise.
func withoutMessages() []byte {
	m := moduletest.ChatManifest()
	m.Version, m.Tables[0].Name = "2.0.0", "posts"
	return m.AppendSection(moduletest.ChatWithoutManifest())
}

// upgrade takes a space over to a module that only the tab's device has, and waits until that is done.
func (j *judged) upgrade(t *tab, s *wasmclient.Space, to []byte) digest.Digest {
	j.Helper()
	d, err := t.PutModule(j.Context(), to)
	if err != nil {
		j.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(j.Context(), time.Minute)
	defer cancel()
	receipt, err := s.Upgrade(ctx, d, nil)
	if err == nil {
		_, err = receipt.Synced(ctx)
	}
	if err != nil {
		j.Fatal(err)
	}
	return d
}

// TestUpgradedSpace takes a space over to a module that the server is given on the way. All tabs and devices know it then, go
// on with its tables, judge by it, and open the space anew; live queries go on, or say that what they name is gone.
func TestUpgradedSpace(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		device := j.device("ada")
		leads, follows := j.tab(device), j.tab(device)
		s := j.makeChat(leads)
		there := follows.Space(s.ID())
		if _, err := j.say(s, "before").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		follows.holds(s.ID(), 1)
		live, err := there.Live(j.Context(), messages, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		next := func() (rows int, code wire.Code) {
			time.Sleep(5 * time.Second)
			synctest.Wait()
			delta, ok := live.Next()
			if !ok {
				t.Fatal("nothing is told")
			}
			for _, piece := range delta.Pieces {
				rows += max(piece.Count, 1)
			}
			return rows, wire.CodeOf(delta.Err)
		}
		if rows, code := next(); rows != 1 || code != 0 {
			t.Fatalf("before: %d rows, %v", rows, code)
		}

		newer := j.upgrade(leads, s, newerChat())
		leads.holds(s.ID(), 3) // with the server's word of what the tables are
		follows.holds(s.ID(), 3)
		fresh := j.device("ada")
		elsewhere := j.tab(fresh)
		elsewhere.Space(s.ID())
		elsewhere.holds(s.ID(), 3)
		for name, tab := range map[string]*tab{"the tab that leads": leads, "another": follows, "another device": elsewhere} {
			if info := tab.Space(s.ID()).Info(); info.Module != newer || info.Genesis.Module != j.chat {
				t.Errorf("%s: its module is %v, and was %v", name, info.Module, info.Genesis.Module)
			}
			j.same(j.texts(tab.Space(s.ID()), wasmclient.Query{Table: "messages", Index: "by_text"}), "before")
			if info := tab.Space(s.ID()).Info(); info.Name != "chat" || info.Version != "1.1.0" { // since its tables are there
				t.Errorf("%s: its module is called %q %q", name, info.Name, info.Version)
			}
		}
		refused := j.say(there, "")
		if err := refused.Durable(j.Context()); err != nil {
			t.Fatal(err)
		}
		if rejected, err := there.Rejected(j.Context()); err != nil || len(rejected) != 1 || rejected[0].By != "preview" {
			t.Errorf("after the upgrade nothing is judged here: %+v, %v", rejected, err)
		}
		if _, err := j.say(s, "after").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		if rows, code := next(); rows != 2 || code != 0 {
			t.Errorf("after the upgrade: %d rows, %v", rows, code)
		}

		gone := j.upgrade(leads, s, withoutMessages())
		follows.holds(s.ID(), 6)
		if rows, code := next(); rows != 0 || code != wire.CodeNotFound {
			t.Errorf("when the table is gone: %d rows, %v", rows, code)
		}
		elsewhere.holds(s.ID(), 6)
		elsewhere.Close(j.Context())
		elsewhere = j.tab(fresh, offline)
		again := elsewhere.Space(s.ID())
		if info := again.Info(); info.Module != gone {
			t.Errorf("after a reload its module is %v, want %v", info.Module, gone)
		}
		j.same(j.texts(again, wasmclient.Query{Table: "posts"}))
	})
}

// replayedChat is a chat that makes its tables of the whole log when a space goes over to it.
func replayedChat() []byte {
	m := moduletest.ChatManifest()
	m.Upgrade = program.Replay
	return m.AppendSection(moduletest.ChatWithoutManifest())
}

// TestUpgradedFromOpen: a space that had no tables has some, of what was written before, and is judged in the page too.
func TestUpgradedFromOpen(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		tab := j.tab(j.device("ada"))
		s, err := tab.CreateSpace(j.Context(), wasmclient.SpaceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.say(s, "before").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		j.upgrade(tab, s, replayedChat())
		tab.holds(s.ID(), 3)
		j.same(j.texts(s, messages), "before")
		refused := j.say(s, "")
		if err := refused.Durable(j.Context()); err != nil {
			t.Fatal(err)
		}
		if rejected, err := s.Rejected(j.Context()); err != nil || len(rejected) != 1 || rejected[0].By != "preview" {
			t.Errorf("rejected: %+v, %v", rejected, err)
		}
		j.say(s, "one")
		j.same(stars(j.texts(s, messages)), "before", "one")
	})
}

// TestModulesThatWentComeBack: a device that was full has lost the modules that the server has, those that its log is begun
// with and went over to in between among them. The tab that leads fetches them when somebody looks, in whichever tab.
func TestModulesThatWentComeBack(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		device := j.device("ada")
		tab := j.tab(device)
		s := j.makeChat(tab)
		if _, err := j.say(s, "one").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		second := j.upgrade(tab, s, newerChat())
		third := j.upgrade(tab, s, newestChat())
		tab.holds(s.ID(), 5)
		tab.Close(j.Context())
		for _, d := range []digest.Digest{j.chat, second, third} {
			device.store.DamageModule(d) // as good as gone
		}
		leads := device.tab(func(c *wasmclient.Config) { c.Engine = j.engine })
		follows := device.tab(func(c *wasmclient.Config) { c.Engine = j.engine })
		time.Sleep(10 * time.Second)
		device.store.DamageModule(second) // after it was looked for on this connection
		device.store.DamageModule(third)
		ctx, cancel := context.WithTimeout(j.Context(), time.Minute)
		defer cancel()
		for _, looks := range []*wasmclient.Space{follows.Space(s.ID()), leads.Space(s.ID())} {
			result, err := looks.Query(ctx, messages)
			if err != nil {
				t.Fatal(err)
			}
			j.same(textsOf(t, result), "one")
		}
	})
}

// newestChat is a chat of another version.
func newestChat() []byte {
	m := moduletest.ChatManifest()
	m.Version = "1.2.0"
	return m.AppendSection(moduletest.ChatWithoutManifest())
}

// lateEngine fails to make one module while it is told to.
type lateEngine struct {
	engine
	late   digest.Digest
	broken *atomic.Bool
}

func (e lateEngine) Machines(ctx context.Context, p *program.Program) (program.Machines, func(), error) {
	if p.Digest == e.late && e.broken.Load() {
		return nil, nil, errors.New("the module cannot be made now")
	}
	return e.engine.Machines(ctx, p)
}

// TestUpgradeThatCannotBeFollowedYet: records before an upgrade are applied although the next module is not there; when it is,
// the tables are those of which the server's word tells.
func TestUpgradeThatCannotBeFollowedYet(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		device := j.device("ada")
		tab := j.tab(device)
		s := j.makeChat(tab)
		for _, text := range []string{"one", "two"} {
			if _, err := j.say(s, text).Synced(j.Context()); err != nil {
				t.Fatal(err)
			}
		}
		j.upgrade(tab, s, newerChat())
		tab.holds(s.ID(), 4)
		tab.Close(j.Context())

		broken := &atomic.Bool{}
		broken.Store(true)
		tab = j.tab(device, offline, func(c *wasmclient.Config) {
			c.Engine = lateEngine{j.engine, digest.Of(newerChat()), broken}
		})
		s = tab.Space(s.ID())
		if _, err := s.Query(j.Context(), messages); err == nil || wire.CodeOf(err) != 0 {
			t.Fatalf("without the next module: %v", err)
		}
		broken.Store(false)
		time.Sleep(5 * time.Second)
		j.same(j.texts(s, messages), "one", "two")
	})
}

// TestRowsOfOtherColumns: what comes of an upgrade has the same bytes and other columns, so no row is the one that it was.
func TestRowsOfOtherColumns(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		tab := j.tab(j.device("ada"))
		s := j.makeChat(tab)
		if _, err := j.say(s, "one").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		tab.holds(s.ID(), 1)
		j.same(j.texts(s, messages), "one")
		woken := make(chan struct{}, 100)
		live, err := s.Live(j.Context(), messages, func() { woken <- struct{}{} })
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		<-woken
		live.Next()
		m := moduletest.ChatManifest()
		m.Upgrade, m.Tables[0].Columns[3].Name = program.Replay, "words"
		j.upgrade(tab, s, m.AppendSection(moduletest.ChatWithoutManifest()))
		tab.holds(s.ID(), 3)
		for {
			select {
			case <-woken:
			case <-time.After(time.Minute):
				t.Fatal("the new columns are not told")
			}
			delta, ok := live.Next()
			if !ok || delta.Schema == nil || delta.Schema.Columns[3].Name != "words" {
				continue
			}
			if len(delta.Pieces) != 1 || delta.Pieces[0].Count != 0 {
				t.Errorf("told are %+v", delta.Pieces)
			}
			return
		}
	})
}

// TestReplayFetchesWhatAdmitted: a module that makes its tables anew reads each record as the module of then did. A device that goes on from its
// tables, and has lost that module, fetches it.
func TestReplayFetchesWhatAdmitted(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		device := j.device("ada")
		writer := j.tab(device)
		s := j.makeChat(writer)
		invented := space.Schema{1, 2, 3, 4, 5, 6, 7, 8} // ABI 1 does not look at it
		receipt, err := s.AppendEvents(j.Context(), []space.Event{{Type: "message", Payload: moduletest.ChatMessage("tea", "one"), Schema: invented}})
		if err == nil {
			_, err = receipt.Synced(j.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		second := j.upgrade(writer, s, newerChat())
		fresh := j.device("ada")
		reader := j.tab(fresh)
		there := reader.Space(s.ID())
		reader.holds(s.ID(), 3)
		j.same(j.texts(there, messages), "one")
		fresh.store.DamageModule(j.chat) // as good as gone
		fresh.store.DamageModule(second)
		m := moduletest.ChatManifest()
		m.Version, m.ABI, m.Upgrade = "3.0.0", program.ABISchemas, program.Replay
		j.upgrade(writer, s, m.AppendSection(moduletest.ChatWithoutManifest()))
		reader.holds(s.ID(), 5)
		time.Sleep(10 * time.Second)
		j.same(j.texts(there, messages), "one")
		if info := there.Info(); info.Version != "3.0.0" {
			t.Errorf("its module is of version %q", info.Version)
		}
	})
}
