package syncserver_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
	"skerry/syncserver/wasmengine"
)

// TestOneLogTwoAdmissions: what a server admits changes nothing about what is in the log. One that admits much and one that
// admits little, with another engine, make the same tables of it, and say so where the log asks them to.
func TestOneLogTwoAdmissions(t *testing.T) {
	log := memlog.New()
	long := strings.Repeat("long ", 2000)
	many := make([][]byte, 50)
	for i := range many {
		many[i] = moduletest.MembersNote("one of many")
	}
	r := start(t, log, runsModules(t, log, nil))
	alice := r.dial("alice")
	id := alice.createOf(upload(t, log, moduletest.Members(nil)))
	alice.append(id, alice.of("add", moduletest.MembersAdd("bob")))
	alice.append(id, alice.of("note", moduletest.MembersNote(long)))
	alice.append(id, alice.of("note", many...))
	next := membersAs("3.0.0", func(m *program.Manifest) { m.Upgrade = program.Replay })
	upload(t, log, next)
	r.stop()
	want := tablesAt(t, log, id, 52)

	interpreter, err := wasmengine.New(func(ctx context.Context, name digest.Digest) ([]byte, error) {
		content, err := log.Blob(ctx, name)
		if errors.Is(err, syncserver.ErrNoBlob) {
			return nil, module.ErrMissing
		}
		return content, err
	}, wasmengine.Options{Interpreter: true, Memory: 1 << 20, Kept: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { interpreter.Close() })
	little := func(c *syncserver.Config) {
		c.Engine = interpreter
		c.Limits = wire.Limits{Payload: 100, TransactionEvents: 2, TransactionBytes: 1000, Identity: 20, Type: 10, Message: 100_000}
	}
	r = start(t, log, little)
	bob := r.dial("bob")
	for name, refused := range map[string]space.Transaction{
		"long": bob.of("note", moduletest.MembersNote(long)), "many": bob.of("note", many...),
	} {
		if v := bob.verdict(id, refused); v.Code != wire.CodeTooLarge {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if got := runningTables(t, bob, log, id, next, 53); got == want {
		t.Error("the module changed, and nothing else")
	}
	if tablesAt(t, log, id, 52) != want {
		t.Error("the tables were others before")
	}
	r.stop()
	r = start(t, log, runsModules(t, log, nil))
	bob = r.dial("bob")
	bob.append(id, bob.of("note", moduletest.MembersNote(long)))
	runningTables(t, bob, log, id, membersAs("3.1.0", func(m *program.Manifest) { m.Upgrade = program.Replay }), 56)
}

// runningTables has a server say what the tables of a space are, by an upgrade, and compares that with what another engine
// without any limits makes of the log.
func runningTables(t *testing.T, p *peer, log syncserver.Log, id space.ID, next []byte, at uint64) digest.Digest {
	t.Helper()
	upload(t, log, next)
	if position := p.append(id, p.of(module.TypeModule, moduletest.UpgradeTo(next))); position.Seq != at {
		t.Fatalf("the upgrade is at %d", position.Seq)
	}
	records, err := log.Read(context.Background(), id, at, 1, 1<<20)
	if err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	d := tablesAt(t, log, id, at)
	want := msgpack.AppendBinary(msgpack.AppendString(msgpack.AppendMap(nil, 1), "digest"), d[:])
	if string(records[0].Payload) != string(want) {
		t.Error("the server has other tables than the log gives")
	}
	return d
}
