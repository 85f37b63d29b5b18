package syncserver_test

import (
	"strings"
	"testing"

	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// TestWhatWaitsIsNotCharged: what a module does not know costs its author nothing of their rates, however often it is sent again; what was decided does, also
// where that was a refusal.
func TestWhatWaitsIsNotCharged(t *testing.T) {
	body := []program.Field{{Name: "body", Kind: tables.Text}}
	knows := moduletest.Kept("1.0.0", []program.EventType{{Name: "note", Fields: body}}, nil)
	for what, limits := range map[string]func(*syncserver.Rates){
		"events of an identity": func(r *syncserver.Rates) { r.IdentityEvents = syncserver.Rate{Burst: 3, PerHour: 1} },
		"events of an address":  func(r *syncserver.Rates) { r.AddressEvents = syncserver.Rate{Burst: 3, PerHour: 1} },
		"bytes of an identity":  func(r *syncserver.Rates) { r.IdentityBytes = syncserver.Rate{Burst: 1000, PerHour: 1} },
		"bytes of an address":   func(r *syncserver.Rates) { r.AddressBytes = syncserver.Rate{Burst: 1000, PerHour: 1} },
	} {
		t.Run(what, func(t *testing.T) {
			log, clock := memlog.New(), newClock()
			r := start(t, log, runsModules(t, log, nil), clock.use, func(c *syncserver.Config) {
				limits(&c.Rates)
				c.Limits.TransactionEvents, c.Limits.TransactionBytes, c.Limits.Payload = 3, 1000, 1000
			})
			alice := r.dial("alice")
			id := alice.createOf(upload(t, log, knows))
			of := func(kind, field string) space.Transaction { // 300 bytes
				tx := alice.of(kind, nil)
				room := 300 - tx.Size() - len(field) - 4
				tx.Events[0].Payload = append([]byte{0x81, 0xa0 | byte(len(field))}, field...)
				tx.Events[0].Payload = append(append(tx.Events[0].Payload, 0xd9, byte(room)), strings.Repeat("a", room)...)
				if tx.Size() != 300 {
					t.Fatal(tx.Size())
				}
				return tx
			}
			later := of("later", "body")
			for range 10 {
				if v := alice.verdict(id, later); v.Kind != wire.Deferred || v.Code != wire.CodeUnknownType {
					t.Fatalf("what is not known: %+v", v)
				}
			}
			if v := alice.verdict(id, of("note", "else")); v.Kind != wire.Rejected || v.Code != wire.CodeBadPayload {
				t.Fatalf("what is refused: %+v", v)
			}
			alice.append(id, of("note", "body"))
			alice.append(id, of("note", "body"))
			if v := alice.verdict(id, of("note", "body")); v.Code != wire.CodeRateLimited {
				t.Errorf("what was refused cost nothing: %+v", v)
			}
		})
	}
}
