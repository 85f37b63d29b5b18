//go:build !js

package wasmclient_test

import (
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/module/moduletest"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// keptLog makes a chat whose tables a device keeps in many pages, and returns how many.
func (j *judged) keptLog(d *device) (s *wasmclient.Space, pages int) {
	j.Helper()
	tab := j.tab(d)
	s = j.makeChat(tab)
	j.same(j.texts(s, wasmclient.Query{Table: "rooms"}))
	j.fill(tab, s, 100)
	j.write(s, "remove", moduletest.ChatRemove(1))
	j.fill(tab, s, placedLog)
	tab.Close(j.Context())
	again := j.tab(d, offline)
	j.rows(again.Space(s.ID()))
	time.Sleep(time.Second)
	again.Close(j.Context())
	if pages = len(d.kept(s.ID()).Pages); pages < 20 {
		j.Fatalf("only %d pages", pages)
	}
	return s, pages
}

// placedLog is how long a log is that ends where a checkpoint is kept, and placedRows how many messages come of it.
const (
	placedLog  = 4000
	placedRows = placedLog - 2 // one was removed
)

var newest = wasmclient.Query{Table: "messages", Reverse: true, Limit: 1}

// TestPagesAreReadWhenTheyAreNeeded: a page that opens reads what it is asked for, and no more; what it writes is judged at once
// all the same, and all that was not read yet is there when it is asked for.
func TestPagesAreReadWhenTheyAreNeeded(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		device := j.device("ada")
		s, pages := j.keptLog(device)
		at := device.kept(s.ID()).Seq
		calls, counted := j.calls()
		tab := j.tab(device, offline, counted)
		there := tab.Space(s.ID())
		j.texts(there, newest)
		if n := int(tab.store.pages.Load()); at != placedLog || n == 0 || n > pages/4 {
			t.Errorf("for the newest row it read %d of %d pages", n, pages)
		}
		// Where the first message was, far from all that was read, there is none any more.
		if _, err := j.write(there, "remove", moduletest.ChatRemove(1)).Synced(j.Context()); wire.CodeOf(err) == 0 {
			t.Fatalf("%v", err)
		}
		if rejected, err := there.Rejected(j.Context()); err != nil || len(rejected) != 1 || rejected[0].By != "preview" {
			t.Errorf("rejected: %+v, %v", rejected, err)
		}
		if err := j.say(there, "last words").Durable(j.Context()); err != nil {
			t.Fatal(err)
		}
		if got := j.texts(there, newest); len(got) != 1 || got[0] != "last words*" {
			t.Errorf("the newest is %q", got)
		}
		if n := j.rows(there); n != placedRows+1 {
			t.Errorf("%d rows", n)
		}
		if n := calls.Load(); n > 20 {
			t.Errorf("the module was called %d times", n)
		}
		tab.Close(j.Context())
		woken := make(chan struct{}, 1)
		live, err := j.tab(device, offline).Space(s.ID()).Live(j.Context(), wasmclient.Query{Table: "messages", Limit: 100_000}, func() { woken <- struct{}{} })
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		<-woken
		if delta, ok := live.Next(); !ok || len(delta.Pieces) < placedRows || live.Runs() != 1 {
			t.Errorf("told %d rows, %v, after %d runs", len(delta.Pieces), ok, live.Runs())
		}
	})
}

// TestPagesThatAreNotThere: where pages went since the root was read, or cannot be read, or not for now, tables are right in the
// end, for who asks once and for who goes on.
func TestPagesThatAreNotThere(t *testing.T) {
	for name, happens := range map[string]func(j *judged, d *device, tab *tab, s *wasmclient.Space){
		"another tab's checkpoint came": func(j *judged, d *device, tab *tab, s *wasmclient.Space) {
			other := *d.kept(s.ID())
			other.Root, other.Pages = []byte("another"), nil
			if err := d.store.PutCheckpoint(j.Context(), s.ID(), &other); err != nil {
				j.Fatal(err)
			}
		},
		"it was dropped": func(j *judged, d *device, tab *tab, s *wasmclient.Space) {
			if err := d.store.DropCheckpoint(j.Context(), s.ID()); err != nil {
				j.Fatal(err)
			}
		},
		"they are damaged": func(j *judged, d *device, tab *tab, s *wasmclient.Space) {
			for page := range d.kept(s.ID()).Pages {
				d.store.DamagePage(page, false)
			}
		},
		"the disk is busy": func(j *judged, d *device, tab *tab, s *wasmclient.Space) { tab.store.failPages.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			inJudgedBubble(t, func(j *judged) {
				device := j.device("ada")
				s, _ := j.keptLog(device)
				tab := j.tab(device, offline)
				there := tab.Space(s.ID())
				if got := j.texts(there, newest); len(got) != 1 {
					t.Fatalf("the newest is %q", got)
				}
				happens(j, device, tab, s)
				live, err := there.Live(j.Context(), wasmclient.Query{Table: "messages", Limit: 100_000}, func() {})
				if err != nil {
					t.Fatal(err)
				}
				defer live.Close()
				live.Next()
				for tries := 0; ; tries++ {
					result, err := there.Query(j.Context(), wasmclient.Query{Table: "messages", Limit: 100_000})
					if err == nil && len(result.Rows) == placedRows {
						break
					}
					if tries == 5 {
						t.Fatalf("%+v, %v", result, err)
					}
					time.Sleep(time.Second)
				}
				synctest.Wait()
				if delta, _ := live.Next(); len(delta.Pieces) > 0 && len(delta.Pieces) != placedRows || delta.Err != nil {
					t.Errorf("told %d rows, %v", len(delta.Pieces), delta.Err)
				}
				time.Sleep(time.Second)
				if kept := device.kept(s.ID()); kept == nil || kept.Seq != placedLog {
					t.Errorf("it keeps %+v", kept)
				}
				if err := j.say(there, "last words").Durable(j.Context()); err != nil {
					t.Fatal(err)
				}
				if got := j.texts(there, newest); len(got) != 1 || got[0] != "last words*" {
					t.Errorf("the newest is %q", got)
				}
			})
		})
	}
}

// TestAPageIsLostThatIsNotRead: a checkpoint that would lack a page is not kept, and the next one is whole.
func TestAPageIsLostThatIsNotRead(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		device := j.device("ada")
		s, pages := j.keptLog(device)
		tab := j.tab(device)
		there := tab.Space(s.ID())
		if _, err := j.say(there, "which has what the next ones need read").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		tab.holds(s.ID(), placedLog+1)
		j.texts(there, newest)
		for page := range device.kept(s.ID()).Pages { // but for those that were read nobody has them
			device.store.DamagePage(page, true)
		}
		j.fill(tab, there, placedLog+3000)
		for n := 0; ; n++ {
			if kept := device.kept(s.ID()); kept != nil && kept.Seq > placedLog && len(kept.Pages) > pages {
				break
			}
			if n == 100 {
				j.Fatal("no whole checkpoint is kept")
			}
			time.Sleep(time.Second)
		}
		tab.Close(j.Context())
		again := j.tab(device, offline)
		j.rows(again.Space(s.ID()))
		j.wantsTables(again, s.ID())
	})
}
