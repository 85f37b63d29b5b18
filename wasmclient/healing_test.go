//go:build !js

package wasmclient_test

import (
	"strings"
	"testing"
	"time"

	"skerry/shared/module/moduletest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
	"skerry/wasmclient"
)

// backup copies the server's log as it is now.
func (j *judged) backup() *memlog.Log { return j.site.log.(*memlog.Log).Clone() }

// sayAll says something and waits until the server has it.
func (j *judged) sayAll(s *wasmclient.Space, texts ...string) {
	j.Helper()
	for _, text := range texts {
		if _, err := j.say(s, text).Synced(j.Context()); err != nil {
			j.Fatal(err)
		}
	}
}

// join has a client's identity take part.
func (j *judged) join(s *wasmclient.Space, name string) {
	j.Helper()
	if _, err := j.write(s, "join", moduletest.ChatJoin(name)).Synced(j.Context()); err != nil {
		j.Fatal(err)
	}
}

// log returns what is in a space's log.
func (j *judged) log(id space.ID) (records []space.Record, head space.Head) {
	j.Helper()
	head, err := j.site.log.Head(j.Context(), id)
	if err == nil && head.Seq > 0 {
		records, err = j.site.log.Read(j.Context(), id, 0, 1000, 1<<20)
	}
	if err != nil {
		j.Fatal(err)
	}
	return records, head
}

// TestHealsTheServer: a server that is put back from a backup gets back what it lost, from a client that did not write it and whose
// author never comes again; and who wrote meanwhile waits, and goes on.
func TestHealsTheServer(t *testing.T) {
	for _, known := range []bool{true, false} {
		inJudgedBubble(t, func(j *judged) {
			ada, bob := j.tab(j.device("ada")), j.tab(j.device("bob"))
			var old *memlog.Log
			if !known {
				old = j.backup()
			}
			there := j.makeChat(ada)
			here := bob.Space(there.ID())
			j.sayAll(there, "one")
			if known {
				old = j.backup()
			}
			j.join(here, "Bob") // whom the backup does not know
			j.sayAll(there, "two", "three")
			j.comesTo(bob, there.ID(), 4)
			if err := ada.Close(j.Context()); err != nil {
				t.Fatal(err)
			}
			_, head := j.log(there.ID())
			if err := syncserver.MarkRestored(j.Context(), old, time.Now()); err != nil {
				t.Fatal(err)
			}
			j.putBack(old, func(c *syncserver.Config) { c.RecoveryWindow = time.Minute })
			waits := j.say(here, "four")
			seen := false
			for range 200 {
				time.Sleep(100 * time.Millisecond)
				if info := here.Info(); info.Code == wire.CodeRecovering {
					seen = true
				}
			}
			if records, now := j.log(there.ID()); now != head || records[2].Author != "ada" || records[1].Author != "bob" {
				t.Errorf("known %v: the log ends at %+v, want %+v; %s", known, now, head, here.Info().Reason)
			}
			if !seen {
				t.Error("the status does not say that the server recovers")
			}
			time.Sleep(2 * time.Minute)
			if _, err := waits.Synced(j.Context()); err != nil {
				t.Error(err)
			}
			j.same(j.texts(here, messages), "one", "two", "three", "four")
			if status := bob.Status(); status.Recovering != 0 || status.Rejected+status.Lost != 0 {
				t.Errorf("%+v", status)
			}
		})
	}
}

// comesTo waits until a client has so many records.
func (j *judged) comesTo(t *tab, id space.ID, seq uint64) {
	j.Helper()
	for range 1000 {
		if t.Space(id).Info().Position.Seq >= seq {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	j.Fatalf("it has %d records", t.Space(id).Info().Position.Seq)
}

// TestGoesOverToTheServersBranch: where the server's log went on without what it lost, that is judged anew. What it does not take is kept, by
// its author among the rejected and by another among the lost; and queries show the server's branch, however long each is.
func TestGoesOverToTheServersBranch(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first, second := j.device("ada"), j.device("bob")
		ada, bob := j.tab(first), j.tab(second)
		there := j.makeChat(ada)
		id := there.ID()
		bob.Space(id)
		j.sayAll(there, "one")
		old := j.backup()
		long := strings.Repeat("too long today ", 10)
		j.join(bob.Space(id), "Bob")
		j.sayAll(there, "two", long, "three")
		j.comesTo(bob, id, 5)
		shown := j.texts(bob.Space(id), messages)
		ada.Close(j.Context())
		bob.Close(j.Context())

		j.putBack(old, func(c *syncserver.Config) { c.Limits.Payload = 100 })
		cy := j.tab(j.device("cy"))
		other := cy.Space(id)
		j.join(other, "Cy")
		j.sayAll(other, "x", "y", "z", "z and more")
		bob = j.tab(second)
		bob.Space(id)
		j.same(shown, "one", "two", long, "three")
		ada = j.tab(first)
		ada.Space(id)
		time.Sleep(3 * time.Minute)
		want := []string{"one", "x", "y", "z", "z and more", "two", "three"}
		_, head := j.log(id)
		for _, t := range []*tab{ada, bob, cy} {
			j.same(j.texts(t.Space(id), messages), want...)
			if info := t.Space(id).Info(); info.Code != 0 || info.Position.Chain != head.Chain {
				j.Errorf("%s: %v %s at %d of %d", t.device.identity, info.Code, info.Reason, info.Position.Seq, head.Seq)
			}
		}
		rejected, err := ada.Space(id).Rejected(j.Context())
		if err != nil || len(rejected) != 1 || rejected[0].Code != wire.CodeTooLarge || rejected[0].Transaction.Author != "ada" {
			t.Errorf("rejected: %+v %v", rejected, err)
		}
		lost, err := bob.Space(id).Lost(j.Context())
		if err != nil || len(lost) != 1 || lost[0].Code != wire.CodeTooLarge || lost[0].Transaction.Author != "ada" || lost[0].ReceivedAt == 0 {
			t.Errorf("lost: %+v %v", lost, err)
		}
		if status := ada.Status(); status.Rejected != 1 || status.Lost != 0 {
			t.Errorf("%+v", status)
		}
	})
}
