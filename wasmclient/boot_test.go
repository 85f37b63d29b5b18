//go:build !js

package wasmclient_test

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module/moduletest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/wasmclient"
	"skerry/wasmclient/storetest"
)

const longLog = 3500 // more than it takes to boot

// calls counts the calls of modules in a tab.
func (j *judged) calls() (*atomic.Int64, func(*wasmclient.Config)) {
	n := &atomic.Int64{}
	return n, func(c *wasmclient.Config) { c.Engine = callsEngine{j.engine, n} }
}

// longChat makes a chat with a long log.
func (j *judged) longChat() (*tab, *wasmclient.Space) {
	first := j.tab(j.device("ada"))
	s := j.makeChat(first)
	j.fill(first, s, longLog)
	return first, s
}

// stored returns the checkpoint of a space that a device has.
func (d *device) kept(id space.ID) *replica.Checkpoint {
	d.Helper()
	kept, err := storetest.Checkpoint(d.Context(), d.store, id)
	if err != nil {
		d.Fatal(err)
	}
	return kept
}

// TestBoot: a new device answers from the server's checkpoint, and runs the module for nothing that is in it. All of the log
// comes too.
func TestBoot(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first, s := j.longChat()
		calls, counted := j.calls()
		tab := j.slowly(j.device("ada"), counted)
		there := tab.Space(s.ID())
		result, err := there.Query(j.Context(), wasmclient.Query{Table: "messages", Limit: 5000})
		if err != nil || len(result.Rows) < 3000 {
			t.Fatalf("%v rows, %v", result, err)
		}
		if n := tab.store.reads.Load(); n > 2 {
			t.Errorf("it looked for a checkpoint in the store %d times, and the server's came once", n)
		}
		tab.store.slow.Store(0)
		tab.holds(s.ID(), longLog)
		j.wantsTables(tab, s.ID())
		if n := calls.Load(); n > longLog-3000+10 {
			t.Errorf("the module was called %d times", n)
		}
		if info := there.Info(); info.Checkpoint.Seq != 3000 || info.Checkpoint.State != replica.CheckpointStored || info.Checkpoint.Here == 0 {
			t.Errorf("%+v", info)
		}
		if _, err := j.say(there, "written there").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		j.fill(first, s, 4100) // and at the next checkpoint the tables are those of the server
		tab.holds(s.ID(), 4100)
		synctest.Wait()
		if d := there.Info().Divergence; d != nil {
			t.Errorf("%+v", d)
		}
		j.wantsTables(tab, s.ID())
	})
}

// slowly gives a device that knows of the spaces a tab whose commits take ten seconds each: what is fetched overtakes the log.
func (j *judged) slowly(d *device, change ...func(*wasmclient.Config)) *tab {
	j.Helper()
	list := d.tab()
	for len(list.Spaces()) == 0 || list.Spaces()[0].Genesis == nil {
		time.Sleep(10 * time.Millisecond)
	}
	list.Close(j.Context())
	return j.tab(d, append(change, slow)...)
}

func slow(c *wasmclient.Config) { c.Store.(*freezer).slow.Store(int64(10 * time.Second)) }

// rows queries all messages.
func (j *judged) rows(s *wasmclient.Space) int {
	j.Helper()
	result, err := s.Query(j.Context(), wasmclient.Query{Table: "messages", Limit: 100_000})
	if err != nil {
		j.Fatal(err)
	}
	return len(result.Rows)
}

// TestBootAhead: tables are there while the log is not, also offline, with what is written there over them; and when the log
// comes they go on from there.
func TestBootAhead(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		_, s := j.longChat()
		device := j.device("ada")
		tab := j.slowly(device)
		there := tab.Space(s.ID())
		if n, at := j.rows(there), there.Info().Position.Seq; n != 3000 || at >= 3000 {
			t.Fatalf("%d rows, and the log is here to %d", n, at)
		}
		tab.store.slow.Store(0)
		tab.hold() // what comes of the log is not stored
		kept := device.kept(s.ID())
		if kept == nil || kept.Seq != 3000 {
			t.Fatalf("kept: %+v", kept)
		}
		go tab.Close(j.Context())
		defer tab.thaw()

		calls, counted := j.calls()
		again := j.tab(device, offline, counted)
		there = again.Space(s.ID())
		if n, at := j.rows(there), there.Info().Position.Seq; n != 3000 || at >= 3000 {
			t.Fatalf("offline: %d rows, and the log is here to %d", n, at)
		}
		if err := j.say(there, "waits").Durable(j.Context()); err != nil {
			t.Fatal(err)
		}
		j.same(j.texts(there, wasmclient.Query{Table: "messages", Reverse: true, Limit: 2}), "waits*", "message 3000 .")
		if n := calls.Load(); n > 10 {
			t.Errorf("the module was called %d times", n)
		}
		again.Close(j.Context())

		calls, counted = j.calls()
		online := j.tab(device, counted)
		online.Space(s.ID())
		online.leads(time.Minute)
		online.holds(s.ID(), longLog+1)
		j.wantsTables(online, s.ID())
		if n := calls.Load(); n > longLog-3000+20 {
			t.Errorf("the module was called %d times", n)
		}
	})
}

// serves changes the newest checkpoint of a space on the server.
func (j *judged) serves(id space.ID, change func(root []byte) []byte) {
	j.Helper()
	key := "checkpoint/" + id.String()
	value, err := j.site.log.Key(j.Context(), key)
	if err != nil || len(value) < 40 {
		j.Fatal(value, err)
	}
	root, err := j.site.log.Page(j.Context(), digest.Digest(value[8:40]))
	if err != nil {
		j.Fatal(err)
	}
	root = change(bytes.Clone(root))
	other := digest.Of(root)
	if err := j.site.log.PutPages(j.Context(), id, []syncserver.Page{{Name: other, Bytes: root}}); err != nil {
		j.Fatal(err)
	}
	if done, err := j.site.log.CompareAndSet(j.Context(), key, value, append(slices.Clone(value[:8]), other[:]...)); err != nil || !done {
		j.Fatal(done, err)
	}
}

// servesOfAnotherLog has the server serve a checkpoint of a space that is of another log than it sends.
func (j *judged) servesOfAnotherLog(id space.ID) {
	j.serves(id, func(root []byte) []byte {
		of, _, err := tables.ReadRoot(root)
		if err != nil {
			j.Fatal(err)
		}
		return bytes.Replace(root, of.Chain[:], make([]byte, 32), 1)
	})
}

// TestBootOfAnotherLog: a checkpoint that is of another log than the server sends is found out when the log comes to it, and
// the tables are made of the log.
func TestBootOfAnotherLog(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		_, s := j.longChat()
		j.servesOfAnotherLog(s.ID())
		calls, counted := j.calls()
		tab := j.slowly(j.device("ada"), counted)
		there := tab.Space(s.ID())
		if n := j.rows(there); n != 3000 {
			t.Fatalf("%d rows", n)
		}
		tab.store.slow.Store(0)
		tab.holds(s.ID(), longLog)
		j.wantsTables(tab, s.ID())
		if n := calls.Load(); n < longLog {
			t.Errorf("the module was called %d times, so that the tables are not of the log", n)
		}
	})
}

// TestBootIsNotPossible: where the server's checkpoint is not what it says, or not there, the tables are made of the log.
func TestBootIsNotPossible(t *testing.T) {
	page := func(j *judged, id space.ID) digest.Digest { // one that is no root
		value, err := j.site.log.Key(j.Context(), "checkpoint/"+id.String())
		if err != nil {
			j.Fatal(err)
		}
		root, err := j.site.log.Page(j.Context(), digest.Digest(value[8:40]))
		if err != nil {
			j.Fatal(err)
		}
		_, names, err := tables.ReadRoot(root)
		if err != nil {
			j.Fatal(err)
		}
		return names[len(names)/2]
	}
	put := func(j *judged, id space.ID, name digest.Digest, b []byte) {
		if err := j.site.log.PutPages(j.Context(), id, []syncserver.Page{{Name: name, Bytes: b}}); err != nil {
			j.Fatal(err)
		}
	}
	for name, spoil := range map[string]func(*judged, space.ID){
		"a page is missing": func(j *judged, id space.ID) {
			if err := j.site.log.DeletePages(j.Context(), id, []digest.Digest{page(j, id)}); err != nil {
				j.Fatal(err)
			}
		},
		"a page is damaged": func(j *judged, id space.ID) {
			name := page(j, id)
			b, err := j.site.log.Page(j.Context(), name)
			if err != nil {
				j.Fatal(err)
			}
			b[len(b)/2] ^= 1
			put(j, id, name, b)
		},
		"a page is empty": func(j *judged, id space.ID) { put(j, id, page(j, id), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			inJudgedBubble(t, func(j *judged) {
				_, s := j.longChat()
				spoil(j, s.ID())
				tab := j.slowly(j.device("ada"))
				there := tab.Space(s.ID())
				if n := j.rows(there); n > 0 {
					t.Errorf("%d rows", n)
				}
				if told := there.Info().Checkpoint; told.State != replica.CheckpointFailed {
					t.Errorf("%+v", told)
				}
				tab.store.slow.Store(0)
				tab.holds(s.ID(), longLog)
				j.wantsTables(tab, s.ID())
				if d := there.Info().Divergence; d != nil {
					t.Errorf("%+v", d)
				}
			})
		})
	}
}

// TestTheServerLies: what the server says to be a checkpoint, and is none, is not gone on from; and as the tables of the log
// are not what it says, there are none.
func TestTheServerLies(t *testing.T) {
	for name, change := range map[string]func(root []byte, id space.ID) []byte{
		"it is another space's": func(root []byte, id space.ID) []byte { return bytes.Replace(root, id[:], make([]byte, 32), 1) },
		"it is no checkpoint":   func([]byte, space.ID) []byte { return []byte("nothing") },
		"it is of other tables": func(root []byte, id space.ID) []byte {
			return bytes.Replace(root, []byte("messages"), []byte("massages"), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inJudgedBubble(t, func(j *judged) {
				first, s := j.longChat()
				j.serves(s.ID(), func(root []byte) []byte { id := s.ID(); return change(root, id) })
				tab := j.tab(j.device("ada"))
				there := tab.Space(s.ID())
				tab.holds(s.ID(), longLog)
				if _, err := there.Query(j.Context(), messages); wire.CodeOf(err) != wire.CodeModuleDiverged {
					t.Errorf("a query says %v", err)
				}
				j.fill(first, s, 4100)
				tab.holds(s.ID(), 4100)
				tab.Close(j.Context())
				tab = j.tab(tab.device)
				j.wantsTables(tab, s.ID())
			})
		})
	}
}

// TestBootWithoutTheModule: the module comes from the server too, before or after the tables.
func TestBootWithoutTheModule(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		_, s := j.longChat()
		device := j.device("ada")
		tab := device.tab(slow, func(c *wasmclient.Config) { c.Engine = j.engine })
		if n, at := j.rows(tab.Space(s.ID())), tab.Info(s.ID()).Position.Seq; n != 3000 || at >= 3000 {
			t.Errorf("%d rows, and the log is here to %d", n, at)
		}
	})
}

// TestBootOfAFollower: a tab that does not sync asks the one that does, which need not make tables itself; and when that one
// goes in the middle it gets on by itself.
func TestBootOfAFollower(t *testing.T) {
	for _, goes := range []bool{false, true} {
		t.Run(fmt.Sprint("goes ", goes), func(t *testing.T) {
			inJudgedBubble(t, func(j *judged) {
				_, s := j.longChat()
				device := j.device("ada")
				leader := j.slowly(device, func(c *wasmclient.Config) { c.Engine = nil })
				leader.leads(time.Minute)
				follower := j.tab(device, slow)
				there := follower.Space(s.ID())
				for there.Info().Head < longLog { // else nothing tells that there is more than what is here
					time.Sleep(time.Millisecond)
				}
				if goes {
					leader.hold()
					defer leader.thaw()
				}
				n, at := j.rows(there), there.Info().Position.Seq
				// All of this log may be on its way before the tab that begins to lead asks for the checkpoint.
				if early := n == 3000 && at < 3000; !early && !(goes && n == longLog && at == longLog) {
					t.Errorf("%d rows, and the log is here to %d", n, at)
				}
				if goes {
					follower.leads(time.Minute)
				}
				leader.store.slow.Store(0)
				follower.store.slow.Store(0)
				follower.holds(s.ID(), longLog)
				j.wantsTables(follower, s.ID())
			})
		})
	}
}

// TestDivergedFollower: so does a tab whose tables are not the server's.
func TestDivergedFollower(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first := j.tab(j.device("ada"))
		s := j.makeChat(first)
		j.fill(first, s, 900)
		device := j.device("ada")
		leader := j.tab(device, func(c *wasmclient.Config) { c.Engine = nil })
		leader.leads(time.Minute)
		follower := j.tab(device, j.wrong)
		told := divergences(follower)
		there := follower.Space(s.ID())
		follower.holds(s.ID(), 900)
		live, err := there.Live(j.Context(), messages, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		j.fill(first, s, 1100)
		follower.holds(s.ID(), 1100)
		synctest.Wait()
		if all := told(); len(all) != 1 || all[0].Seq != 1000 {
			t.Errorf("told %+v", all)
		}
		j.wantsTables(follower, s.ID())
	})
}

// TestBootedTablesAreCompared: tables that began with what the server gave are compared with what it gives later, and follow
// it if it gave something wrong.
func TestBootedTablesAreCompared(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first, s := j.longChat()
		var before digest.Digest
		j.serves(s.ID(), func(root []byte) []byte { // without its last page
			_, names, err := tables.ReadRoot(root)
			if err != nil {
				t.Fatal(err)
			}
			content, err := j.site.log.Page(j.Context(), names[0])
			if err != nil {
				t.Fatal(err)
			}
			content = bytes.Replace(content, []byte("message 7 "), []byte("message 9 "), 1)
			before = digest.Of(content)
			if err := j.site.log.PutPages(j.Context(), s.ID(), []syncserver.Page{{Name: before, Bytes: content}}); err != nil {
				t.Fatal(err)
			}
			return bytes.Replace(root, names[0][:], before[:], 1)
		})
		tab := j.slowly(j.device("ada"))
		told := divergences(tab)
		there := tab.Space(s.ID())
		if n := j.rows(there); n < 3000 {
			t.Fatalf("%d rows", n)
		}
		tab.store.slow.Store(0)
		tab.holds(s.ID(), longLog)
		if texts := j.texts(there, wasmclient.Query{Table: "messages", Limit: 5000}); slices.Contains(texts, "message 7 .") {
			t.Fatal("the server's checkpoint is as it was")
		}
		live, err := there.Live(j.Context(), messages, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		j.fill(first, s, 4100)
		tab.holds(s.ID(), 4100)
		synctest.Wait()
		if all := told(); len(all) != 1 || all[0].Seq != 4000 {
			t.Errorf("told %+v", all)
		}
		j.wantsTables(tab, s.ID())
	})
}

// TestBootWithWhatIsInIt: a transaction that the server accepted, and whose records are not here yet, is in the tables of a
// checkpoint that is ahead of the log, and not laid over them once more.
func TestBootWithWhatIsInIt(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first := j.tab(j.device("ada"))
		s := j.makeChat(first)
		j.fill(first, s, 10)
		device := j.device("ada")
		tab := j.tab(device)
		tab.Space(s.ID())
		tab.holds(s.ID(), 10)
		tab.Close(j.Context())
		tab = j.tab(device, offline)
		event := space.Event{ID: space.ULID{1, 2, 3}, Type: "message", Payload: moduletest.ChatMessage("tea", "accepted")}
		receipt, err := tab.Space(s.ID()).AppendEvents(j.Context(), []space.Event{event})
		if err == nil {
			err = receipt.Durable(j.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		tab.Close(j.Context())

		same, err := s.AppendEvents(j.Context(), []space.Event{event}) // it came to the server, and no word of it back
		if err != nil {
			t.Fatal(err)
		}
		position, err := same.Synced(j.Context())
		if err != nil {
			t.Fatal(err)
		}
		result, err := device.store.Commit(j.Context(), &replica.Commit{Spaces: []replica.SpaceCommit{
			{Space: s.ID(), Mark: []replica.Mark{{ID: event.ID, State: replica.Accepted, Position: position}}},
		}})
		if err != nil || result.Stale {
			t.Fatal(result, err)
		}
		first.holds(s.ID(), 11)
		j.fill(first, s, 4100)
		tab = j.tab(device, slow)
		there := tab.Space(s.ID())
		query := wasmclient.Query{Table: "messages", Limit: 5000}
		for len(j.texts(there, query)) < 100 { // what is here, and then what is there
			time.Sleep(time.Second)
		}
		texts, at := j.texts(there, query), there.Info().Position.Seq
		if n := count(texts, "accepted") + count(texts, "accepted*"); n != 1 || at >= 4000 {
			t.Errorf("it is there %d times, and the log is here to %d", n, at)
		}
		tab.store.slow.Store(0)
		tab.holds(s.ID(), 4100)
		j.wantsTables(tab, s.ID())
	})
}

func count(texts []string, text string) (n int) {
	for _, t := range texts {
		if t == text {
			n++
		}
	}
	return n
}
