package hub_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
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
