package syncserver_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/wire"
	"skerry/syncserver"
)

// TestModulesAreCollected: a module that no space names is deleted when it was that for 30 days, on a clock that goes on while
// the server does not run; one that a space begins with, or went over to, never is; and one that is brought again, or named,
// begins anew.
func TestModulesAreCollected(t *testing.T) {
	const day = 24 * time.Hour
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		ctx := context.Background()
		var now atomic.Int64
		now.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
		var log syncserver.Log
		var r *rig
		begin := func() {
			if r != nil {
				r.stop()
			}
			log = open()
			r = start(t, log, runsModules(t, log, nil), func(c *syncserver.Config) {
				c.Now = func() time.Time { return time.Unix(0, now.Load()) }
			})
		}
		begin()
		collect := func(passed time.Duration) {
			t.Helper()
			now.Add(int64(passed))
			if err := r.server.CollectModules(ctx); err != nil {
				t.Fatal(err)
			}
		}
		has := func(name digest.Digest, want bool, when string) {
			t.Helper()
			if got, err := log.HasBlob(ctx, name); err != nil || got != want {
				t.Errorf("%s: there is %v, %v", when, got, err)
			}
		}
		named := upload(t, log, moduletest.Members(nil))
		nextBytes := membersAs("1.1.0", nil)
		next := upload(t, log, nextBytes)
		unused := upload(t, log, moduletest.Chat())
		againBytes := membersAs("3.0.0", func(m *program.Manifest) { m.Doc = "brought again" })
		again := upload(t, log, againBytes)
		late := upload(t, log, membersAs("4.0.0", nil))

		alice := r.dial("alice")
		id := alice.createOf(named)
		alice.append(id, alice.of(module.TypeModule, moduletest.UpgradeTo(nextBytes)))
		collect(0)
		collect(20 * day)
		begin()
		bob := r.dial("bob")
		bob.send(&wire.BlobPut{Ref: 1, Digest: again, Total: uint64(len(againBytes))})
		if part := await[*wire.BlobPart](bob); part.Offset != uint64(len(againBytes)) {
			t.Fatalf("it is not there any more: %+v", part)
		}
		collect(10*day - time.Second)
		has(unused, true, "a second before 30 days")
		lateSpace := bob.createOf(late)
		collect(time.Second)
		has(unused, false, "after 30 days")
		has(again, true, "ten days after it was brought again")
		has(late, true, "after it was named")
		collect(30*day - 2*time.Second) // it was found unused a second before now
		has(again, true, "a second before 30 days more")
		collect(time.Second)
		has(again, false, "after 30 days more")
		for range 3 {
			collect(100 * day)
		}
		has(named, true, "what a space begins with")
		has(next, true, "what a space went over to")
		has(late, true, "what a space begins with")
		if !strings.Contains(r.metrics(), "skerry_modules_collected_total 2") {
			t.Error("the metrics do not tell of it")
		}
		begin()
		alice, bob = r.dial("alice"), r.dial("bob")
		alice.append(id, alice.of("note", moduletest.MembersNote("it is judged")))
		bob.append(lateSpace, bob.of("note", moduletest.MembersNote("it is judged")))
		// What is gone is brought again, and is as before.
		g := bob.genesis()
		g.Module = unused
		if answer := bob.pushed(wire.Push{Space: g.ID(), Genesis: g}); answer.Genesis.Code != wire.CodeModuleMissing {
			t.Fatalf("a space of what is gone: %+v", answer.Genesis)
		}
		bob.send(&wire.BlobPut{Ref: 2, Digest: unused, Total: uint64(len(moduletest.Chat())), Bytes: moduletest.Chat()})
		if part := await[*wire.BlobPart](bob); part.Offset != part.Total {
			t.Fatalf("bringing it again: %+v", part)
		}
		bob.createOf(unused)
	})
}
