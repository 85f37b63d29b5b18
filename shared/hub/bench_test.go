package hub_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/syncserver/wasmengine"
)

// BenchmarkIngest is what a space costs an event, log and transport left out: pushes of 100 events of 200 bytes,
// as single-event transactions and as one transaction.
func BenchmarkIngest(b *testing.B) {
	for _, per := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d-event-transactions", per), func(b *testing.B) {
			s := hub.NewSpace(testConfig(), spaceID)
			e := s.Step(0, hub.Ask{})
			instance, _ := module.Native.New(&genesis)
			s.Step(0, hub.Opened{Ref: e.Open.Ref, Instance: instance, Head: space.Head{Chain: spaceID}})
			caller := &hub.Caller{Conn: 1, Identities: []string{"ann"}}
			known := make([]hub.Known, 100)
			payload := make([]byte, 200)
			b.ReportAllocs()
			n := uint64(0)
			for b.Loop() {
				n++
				p := &wire.Push{Space: spaceID, N: n}
				for i := range 100 {
					if i%per == 0 {
						p.Transactions = append(p.Transactions, space.Transaction{Author: "ann", API: "1.0.0"})
					}
					t := &p.Transactions[len(p.Transactions)-1]
					event := space.Event{Type: "t", Payload: payload}
					binary.BigEndian.PutUint64(event.ID[:], n)
					event.ID[15] = byte(i + 1)
					t.Events = append(t.Events, event)
				}
				e := s.Step(n, hub.Offer{Caller: caller, Push: p, Size: 1})
				e = s.Step(n, hub.Found{Ref: e.Lookup.Ref, Known: known})
				if e.Append == nil {
					b.Fatal("no append")
				}
				if e = s.Step(n, hub.Appended{Outcome: hub.Stored}); len(e.Replies) != 1 {
					b.Fatal("no reply")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
		})
	}
}

// BenchmarkHold is how long a space of 100,000 rows is held for an upgrade that was prepared, if one more row came meanwhile: where
// the next module has one more index, and where all rows go through migrate, unless that is waited for. first is what is prepared
// beside, while others write.
func BenchmarkHold(b *testing.B) {
	const many = 100_000
	for name, c := range map[string]struct {
		event string
		next  []byte
	}{
		"index":   {"note", members("1.2.0", program.Carry, func(m *program.Manifest) { m.Tables[1].Indexes = []tables.Index{{Name: "text", Columns: []int{1}}} })},
		"migrate": {"add", migrated},
	} {
		e, err := engine()
		if err != nil {
			b.Fatal(err)
		}
		from := space.Genesis{Stamp: space.ULID{1}, Creator: "ann", Module: digest.Of(members("1.0.0", program.Carry, nil))}
		made, err := e.Begin(&from, program.Origin{Upgraded: true})
		if err != nil {
			b.Fatal(err)
		}
		i := made.(*wasmengine.Instance)
		defer i.Close()
		seq := uint64(0)
		write := func() {
			seq++
			text := fmt.Sprint("a text of some length ", seq*7919%many)
			record := space.Record{Seq: seq, Author: "ann", Event: space.Event{Type: c.event, Payload: moduletest.MembersAdd(text)}}
			if c.event == "note" {
				record.Payload = moduletest.MembersNote(text)
			}
			if err := i.Apply([]space.Record{record}); err != nil {
				b.Fatal(err)
			}
		}
		for range many {
			write()
		}
		record := space.Record{Seq: seq + 1, Author: "ann", Event: space.Event{Type: module.TypeModule, Payload: moduletest.UpgradeTo(c.next)}}
		prepare := func() *program.Upgrade {
			u, verdict, err := i.Upgrade(module.Caller{Identity: "ann"}, []space.Record{record})
			if err != nil || !verdict.Allowed() {
				b.Fatal(verdict, err)
			}
			return u
		}
		run := func(u *program.Upgrade) {
			i.Place(u, seq)
			u.Run()
			if verdict, err := u.Result(); err != nil || !verdict.Allowed() {
				b.Fatal(verdict, err)
			}
		}
		b.Run(name+"/first", func(b *testing.B) {
			for b.Loop() {
				u := prepare()
				run(u)
				u.Close()
			}
		})
		b.Run(name+"/held", func(b *testing.B) {
			u := prepare()
			run(u)
			for b.Loop() {
				b.StopTimer()
				write()
				b.StartTimer()
				run(u)
			}
			u.Close()
		})
	}
}
