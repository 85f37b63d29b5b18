//go:build !js

package wasmclient_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/archive"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/wasmclient"
)

// begins has a tab begin where the server's checkpoint is a thousand records ahead.
func begins(c *wasmclient.Config) { c.BootAfter = 1000 }

// booted opens a long space on a new device, which begins at the checkpoint of its first 3,000 records.
func (j *judged) booted(d *device, id space.ID, change ...func(*wasmclient.Config)) (*tab, *wasmclient.Space) {
	j.Helper()
	tab := j.tab(d, append(change, begins)...)
	s := tab.Space(id)
	j.reaches(s, longLog, 3001)
	return tab, s
}

// reaches waits until a space is caught up with at a record, and has what is from oldest on.
func (j *judged) reaches(s *wasmclient.Space, seq, oldest uint64) {
	j.Helper()
	info := s.Info()
	for n := 0; (info.Position.Seq != seq || info.Oldest != oldest || !info.CaughtUp) && n < 3000; n++ {
		time.Sleep(10 * time.Millisecond)
		info = s.Info()
	}
	if info.Position.Seq != seq || info.Oldest != oldest {
		j.Fatalf("it is at %d and has what is from %d on, want %d and %d: %+v", info.Position.Seq, info.Oldest, seq, oldest, info)
	}
	if log := j.site.records(s.ID()); info.Position.Chain != space.Fold(s.ID(), log[:seq]) {
		j.Fatal("the chain is not that of the log")
	}
}

// stored returns how many records the device has.
func (d *device) stored(id space.ID) (n int) {
	d.Helper()
	for after := uint64(0); ; {
		records, err := d.store.Read(d.Context(), id, after, 1<<20, 1<<30)
		if err != nil {
			d.Fatal(err)
		}
		if len(records) == 0 {
			return n
		}
		n, after = n+len(records), records[len(records)-1].Seq
	}
}

// TestBeginAtCheckpoint: a new device takes the tables from the server's checkpoint and the log behind it, and nothing before; what is
// written there goes up, and what waited elsewhere comes down.
func TestBeginAtCheckpoint(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first, s := j.longChat()
		calls, counted := j.calls()
		device := j.device("ada")
		tab, there := j.booted(device, s.ID(), counted)
		j.wantsTables(tab, s.ID())
		if n := calls.Load(); n > longLog-3000+10 {
			t.Errorf("the module was called %d times", n)
		}
		if n := device.stored(s.ID()); n != longLog-3000 {
			t.Errorf("%d records are stored", n)
		}
		if info := there.Info(); info.Position.Seal.IsZero() || len(info.Holes) != 1 {
			t.Errorf("%+v", info)
		}
		newest, err := there.ReadBefore(j.Context(), math.MaxUint64, 100, 1<<20)
		if err != nil || len(newest) != 100 || newest[99].Seq != longLog {
			t.Fatalf("%d records, %v", len(newest), err)
		}
		if _, err := j.say(there, "written there").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := j.say(s, "written here").Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		j.reaches(there, longLog+2, 3001)
		j.wantsTables(tab, s.ID())
		first.holds(s.ID(), longLog+2)

		tab.Close(j.Context()) // and it is the same when it is opened again, without a network too
		again := j.tab(device, begins, offline)
		j.reaches(again.Space(s.ID()), longLog+2, 3001)
		j.wantsTables(again, s.ID())
		if check, err := again.Space(s.ID()).Check(j.Context()); err != nil || check.Damage != "" || check.Seq != longLog+2 {
			t.Errorf("checked: %+v, %v", check, err)
		}
		if n := device.stored(s.ID()); n != longLog+2-3000 {
			t.Errorf("%d records are stored", n)
		}
	})
}

// TestNotSoFar: what is less far behind is pulled whole, and a module without tables too.
func TestNotSoFar(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		_, s := j.longChat()
		tab := j.tab(j.device("ada"), func(c *wasmclient.Config) { c.BootAfter = 3001 })
		tab.Space(s.ID())
		tab.holds(s.ID(), longLog)
		at := j.tab(j.device("ada"), func(c *wasmclient.Config) { c.BootAfter = 3000 })
		j.reaches(at.Space(s.ID()), longLog, 3001)
		for _, space := range []*wasmclient.Space{tab.Space(s.ID()), at.Space(s.ID())} {
			if n := len(space.Info().Holes); n != int(space.Info().Oldest/3001) {
				t.Errorf("%d holes", n)
			}
		}
	})
}

// TestHistoryBackwards: what is not here is fetched where somebody reads, page after page from the newest on, by the tab that leads for
// all tabs; it is what the log has, it stays, and without a network it is said where the history begins.
func TestHistoryBackwards(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		_, s := j.longChat()
		log := j.site.records(s.ID())
		device := j.device("ada")
		tab, there := j.booted(device, s.ID())
		follower := j.tab(device, begins)
		reader := follower.Space(s.ID())
		j.reaches(reader, longLog, 3001)

		var read []space.Record
		backwards := func(s *wasmclient.Space, until uint64) error {
			before := uint64(math.MaxUint64)
			for read = nil; before > until; before = read[0].Seq {
				records, err := s.ReadBefore(j.Context(), before, 100, 1<<20)
				if err != nil {
					return err
				}
				read = append(records, read...)
			}
			if first := read[0].Seq; space.Fold(space.Fold(s.ID(), log[:first-1]), read) != space.Fold(s.ID(), log) {
				t.Fatal("what was read is not what the log has")
			}
			return nil
		}
		if err := backwards(reader, 2501); err != nil {
			t.Fatal(err)
		}
		oldest := there.Info().Oldest
		if oldest > 2501 || oldest < 1500 || reader.Info().Oldest != oldest || device.stored(s.ID()) != int(longLog-oldest+1) {
			t.Fatalf("here from %d on, and for the tab that follows from %d; %d are stored", oldest, reader.Info().Oldest, device.stored(s.ID()))
		}
		follower.Close(j.Context())
		tab.Close(j.Context())

		alone := j.tab(device, begins, offline)
		there = alone.Space(s.ID())
		if err := backwards(there, oldest); err != nil {
			t.Fatal(err)
		}
		_, below := there.ReadBefore(j.Context(), oldest, 100, 1<<20)
		_, ahead := there.Read(j.Context(), 0, 100, 1<<20)
		_, _, _, encoded := there.ReadEncoded(j.Context(), 0, 100, 1<<20)
		for _, err := range []error{below, ahead, encoded} {
			if wire.CodeOf(err) != wire.CodeNotHere || !strings.Contains(fmt.Sprint(err), fmt.Sprintf("records 1 to %d", oldest-1)) {
				t.Errorf("without a network: %v", err)
			}
		}
		alone.Close(j.Context())

		tab = j.tab(device, begins) // all of it, forwards
		there = tab.Space(s.ID())
		tab.leads(time.Minute)
		j.reaches(there, longLog, oldest)
		var got []space.Record
		for record, err := range there.Events(j.Context(), wasmclient.EventsOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, record)
		}
		if len(got) != longLog || space.Fold(s.ID(), got) != space.Fold(s.ID(), log) {
			t.Fatalf("%d records, or others than the log has", len(got))
		}
		if info := there.Info(); info.Oldest != 1 || len(info.Holes) != 0 {
			t.Errorf("%+v", info)
		}
		tab.holds(s.ID(), longLog)
		j.wantsTables(tab, s.ID())
		tab.Close(j.Context())
		tab = j.tab(device, begins, offline)
		tab.holds(s.ID(), longLog)
	})
}

// forging changes the frames that come to a tab.
func forging(forge func(wire.Frame)) func(*wasmclient.Config) {
	return func(c *wasmclient.Config) { c.Dialer = forger{c.Dialer, forge} }
}

type forger struct {
	wasmclient.Dialer
	forge func(wire.Frame)
}

type forgerConn struct {
	wasmclient.Conn
	forge func(wire.Frame)
	parts wire.Joiner
}

// TestHistoryIsProven: records that do not lead to those that are here are not taken, whichever of their fields is another one, and
// nothing of them is stored.
func TestHistoryIsProven(t *testing.T) {
	for what, forge := range map[string]func(*wire.Page){
		"another payload":     func(p *wire.Page) { p.Records[0].Payload = append(bytes.Clone(p.Records[0].Payload), 0) },
		"another author":      func(p *wire.Page) { p.Records[len(p.Records)/2].Author = "eve" },
		"another chain":       func(p *wire.Page) { p.ChainBefore[0] ^= 1 },
		"one is left out":     func(p *wire.Page) { p.Records = p.Records[:len(p.Records)-1] },
		"others, of later on": func(p *wire.Page) { p.Records[0].Seq++ },
		"nothing":             func(p *wire.Page) { p.Records = nil },
	} {
		t.Run(what, func(t *testing.T) {
			inJudgedBubble(t, func(j *judged) {
				_, s := j.longChat()
				device := j.device("ada")
				forged := true
				_, there := j.booted(device, s.ID(), forging(func(f wire.Frame) {
					if page, ok := f.(*wire.Page); ok && forged {
						forge(page)
					}
				}))
				if _, err := there.ReadBefore(j.Context(), 3001, 100, 1<<20); wire.CodeOf(err) != wire.CodeBadChain {
					t.Errorf("read %v", err)
				}
				if n := device.stored(s.ID()); n != longLog-3000 || there.Info().Oldest != 3001 {
					t.Errorf("%d records are stored, from %d on", n, there.Info().Oldest)
				}
				synctest.Wait()
				forged = false
				if records, err := there.ReadBefore(j.Context(), 3001, 100, 1<<20); err != nil || len(records) != 100 {
					t.Errorf("then %d records, %v", len(records), err)
				}
			})
		})
	}
}

// TestBeginAtCheckpointOfAnotherLog: the server does not know the position of a checkpoint that is of another log than it has, and the
// space goes back to where it was, and all of the log is pulled.
func TestBeginAtCheckpointOfAnotherLog(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		_, s := j.longChat()
		j.servesOfAnotherLog(s.ID())
		tab := j.tab(j.device("ada"), begins)
		there := tab.Space(s.ID())
		tab.holds(s.ID(), longLog)
		j.wantsTables(tab, s.ID())
		j.reaches(there, longLog, 1)
		if info := there.Info(); info.Code != 0 || info.Damaged > 0 || len(info.Holes) > 0 {
			t.Errorf("%+v", info)
		}
	})
}

// TestBeginAgain: a device that was away for long begins anew at a later checkpoint, with what it wrote meanwhile, and what lies in between
// is fetched where somebody reads.
func TestBeginAgain(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first := j.tab(j.device("ada"))
		s := j.makeChat(first)
		j.fill(first, s, 500)
		device := j.device("ada")
		tab := j.tab(device, begins)
		tab.Space(s.ID())
		tab.holds(s.ID(), 500)
		tab.Close(j.Context())
		j.fill(first, s, longLog)

		away := j.tab(device, begins, offline)
		waits := j.say(away.Space(s.ID()), "written away")
		if err := waits.Durable(j.Context()); err != nil {
			t.Fatal(err)
		}
		away.Close(j.Context())
		tab = j.tab(device, begins)
		there := tab.Space(s.ID())
		j.reaches(there, longLog+1, 3001)
		j.wantsTables(tab, s.ID())
		if info := there.Info(); info.Pending != 0 || len(info.Holes) != 1 || info.Holes[0].After.Seq < 500 || info.Holes[0].After.Seq > 2500 {
			t.Errorf("%+v", info)
		}
		records, err := there.ReadBefore(j.Context(), 3001, 1, 1<<20)
		if err != nil || len(records) != 1 || records[0].Seq != 3000 {
			t.Fatalf("%d records, %v", len(records), err)
		}
		for record, err := range there.Events(j.Context(), wasmclient.EventsOptions{After: 490}) {
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, record)
		}
		if records = records[1:]; records[0].Seq != 491 || len(records) != longLog+1-490 {
			t.Errorf("%d records from %d on", len(records), records[0].Seq)
		}
		tab.holds(s.ID(), longLog+1)
	})
}

// TestTablesWithoutCheckpoint: where what a space began with is not in the store any more, the tables are those of the server's checkpoint
// again; and where the server has none either, they are made of the whole log, which is fetched for that. Without a network there are none.
func TestTablesWithoutCheckpoint(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		_, s := j.longChat()
		device := j.device("ada")
		tab, _ := j.booted(device, s.ID())
		j.wantsTables(tab, s.ID())
		tab.Close(j.Context())
		drop := func() {
			if err := device.store.DropCheckpoint(j.Context(), s.ID()); err != nil {
				t.Fatal(err)
			}
		}
		drop()
		alone := j.tab(device, begins, offline)
		if _, err := alone.Space(s.ID()).Query(j.Context(), wasmclient.Query{Table: "messages"}); wire.CodeOf(err) != wire.CodeNotHere {
			t.Errorf("without a network: %v", err)
		}
		alone.Close(j.Context())
		tab = j.tab(device, begins)
		tab.Space(s.ID())
		tab.leads(time.Minute)
		j.wantsTables(tab, s.ID())
		j.reaches(tab.Space(s.ID()), longLog, 3001)
		tab.Close(j.Context())
		drop()
		tab = j.tab(device, begins, forging(func(f wire.Frame) {
			if rows, ok := f.(*wire.Spaces); ok {
				for i := range rows.Rows {
					rows.Rows[i].CheckpointSeq = 0
				}
			}
		}))
		tab.Space(s.ID())
		tab.leads(time.Minute)
		for range 100 { // it is pulled a page at a time
			time.Sleep(time.Second)
			if _, err := tab.Space(s.ID()).Query(j.Context(), wasmclient.Query{Table: "messages", Limit: 1}); err == nil {
				break
			}
		}
		j.wantsTables(tab, s.ID())
		tab.holds(s.ID(), longLog)
	})
}

// TestReceiptOfWhatIsNotHere: whether a transaction is in the log cannot be told where that part of the log is not here, and nobody says
// that it is not.
func TestReceiptOfWhatIsNotHere(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		_, s := j.longChat()
		log := j.site.records(s.ID())
		_, there := j.booted(j.device("ada"), s.ID())
		for _, record := range []space.Record{log[3400], log[100]} {
			receipt, err := there.Receipt(j.Context(), log[record.Seq-1-uint64(record.Index)].ID)
			if err == nil {
				_, err = receipt.Synced(j.Context())
			}
			if record.Seq > 3000 && err != nil || record.Seq <= 3000 && wire.CodeOf(err) != wire.CodeNotHere {
				t.Errorf("of record %d: %v", record.Seq, err)
			}
		}
	})
}

func (f forger) Dial(ctx context.Context, url string) (wasmclient.Conn, error) {
	conn, err := f.Dialer.Dial(ctx, url)
	return &forgerConn{Conn: conn, forge: f.forge, parts: wire.Joiner{Limit: wire.MaxServerMessage}}, err
}

// Read hands on whole messages, forged.
func (c *forgerConn) Read(ctx context.Context) ([]byte, error) {
	for {
		piece, err := c.Conn.Read(ctx)
		if err != nil {
			return nil, err
		}
		message, err := c.parts.Add(piece)
		if err != nil {
			return nil, err
		}
		if message == nil {
			continue
		}
		frame, err := wire.Decode(message)
		if err != nil {
			return nil, err
		}
		c.forge(frame)
		return wire.Append(nil, frame), nil
	}
}

// TestArchiveOfTheNewest: the archive of a space that was begun at a checkpoint has the history from there on, says so, and can be taken to
// a device that has nothing of it; one that has another part takes none of it, and says why.
func TestArchiveOfTheNewest(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first, s := j.longChat()
		tab, _ := j.booted(j.device("ada"), s.ID())
		file := export(j.T, tab.Client, s.ID())
		fresh := j.device("ada")
		alone := j.tab(fresh, begins, offline)
		for n, want := range []int{longLog - 3000, 0} {
			if done := imported(j.T, alone.Client, file); len(done) != 1 || done[0].Records != want || done[0].Code != 0 {
				t.Fatalf("%d: imported %+v", n, done)
			}
			j.reaches(alone.Space(s.ID()), longLog, 3001)
		}
		if check, err := alone.Space(s.ID()).Check(j.Context()); err != nil || check.Damage != "" {
			t.Errorf("checked: %+v, %v", check, err)
		}
		alone.Close(j.Context())
		online := j.tab(fresh, begins)
		online.Space(s.ID())
		online.leads(time.Minute)
		online.holds(s.ID(), longLog)
		j.wantsTables(online, s.ID())

		other := first.makeSpace() // of a log of which a little is here
		device := j.device("ada")
		little := j.tab(device, begins)
		little.Space(other.ID())
		first.write(other.ID(), "one")
		little.holds(other.ID(), 2)
		little.Close(j.Context())
		little = j.tab(device, begins, offline)
		var archived bytes.Buffer
		w := archive.NewWriter(&archived, archive.Header{})
		start := space.Position{Seq: 5, Chain: s.ID()}
		records := (&space.Transaction{Author: "ada", Events: []space.Event{{ID: space.ULID{1}, Type: "note"}}}).Records(6, 1)
		w.Space(archive.Space{ID: other.ID(), Start: start})
		w.Records(records, space.Position{Seq: 6, Chain: space.Fold(start.Chain, records)})
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if done := imported(j.T, little.Client, archived.Bytes()); len(done) != 1 || done[0].Records != 0 || done[0].Code != wire.CodeNotHere {
			t.Errorf("imported %+v", done)
		}
	})
}

// TestBeginBehindWhatExpired: where the server has let go of the beginning of a log, a new device begins behind it however short the log
// is, and so does one that was away, with what it wrote meanwhile. Reading passes over what has expired.
func TestBeginBehindWhatExpired(t *testing.T) {
	inJudgedBubbleWith(t, func(c *syncserver.Config) { c.Retention.Records = 500 }, func(j *judged) {
		first := j.tab(j.device("ada"))
		s := j.makeChat(first)
		j.fill(first, s, 300)
		away := j.device("ada")
		tab := j.tab(away)
		tab.Space(s.ID())
		tab.holds(s.ID(), 300)
		tab.Close(j.Context())
		j.fill(first, s, 1500)
		time.Sleep(3 * time.Hour) // it has expired, and its payloads are gone
		head := s.Info().Position
		if head.Seq != 1502 {
			t.Fatalf("the log ends at %d, without the server's words of what expired", head.Seq)
		}
		alone := j.tab(away, offline)
		if err := j.say(alone.Space(s.ID()), "written away").Durable(j.Context()); err != nil {
			t.Fatal(err)
		}
		alone.Close(j.Context())
		for _, device := range []*device{away, j.device("ada")} {
			tab := j.tab(device)
			there := tab.Space(s.ID())
			tab.leads(time.Minute)
			for n := 0; (there.Info().Position.Seq != 1503 || !there.Info().CaughtUp) && n < 6000; n++ {
				time.Sleep(10 * time.Millisecond)
			}
			info := there.Info()
			if info.Position.Seq != 1503 || info.Oldest < 900 || info.Pending != 0 || info.Code != 0 || info.Position.Chain != s.Info().Position.Chain {
				t.Fatalf("%+v", info)
			}
			if here, first := j.rows(there), j.rows(s); here != first {
				t.Errorf("%d rows, and %d where nothing was left out", here, first)
			}
			kept, extra := 0, 0
			for _, record := range j.site.records(s.ID()) {
				if !record.Expired {
					kept++
				}
			}
			if device == away {
				extra = 300
			}
			n := 0
			for _, err := range there.Events(j.Context(), wasmclient.EventsOptions{}) {
				if n++; err != nil {
					t.Fatal(err)
				}
			}
			if kept < 400 || kept > 1000 || n != kept+extra {
				t.Errorf("%d records were read, of %d that the server has", n, kept)
			}
			oldest := there.Info().Oldest
			records, err := there.ReadBefore(j.Context(), oldest, 10, 1<<20)
			if err != nil || oldest != uint64(1503-kept+1) || len(records) != min(extra, 10) || len(records) > 0 && records[9].Seq != 300 {
				t.Errorf("below record %d: %d records, %v", oldest, len(records), err)
			}
		}
	})
}
