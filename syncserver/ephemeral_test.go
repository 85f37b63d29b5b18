package syncserver_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"skerry/shared/module/moduletest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver/memlog"
	"skerry/syncserver/sqlitelog"
)

// say sends an ephemeral.
func (p *peer) say(id space.ID, text string) {
	p.t.Helper()
	p.send(&wire.Ephemeral{Space: id, Bytes: []byte(text)})
}

// hears waits for the next ephemeral.
func (p *peer) hears(id space.ID, author, text string) {
	p.t.Helper()
	f := await[*wire.Ephemeral](p)
	said, err := wire.DecodeSaid(f.Bytes)
	if err != nil || f.Space != id || said.Author != author || string(said.Bytes) != text {
		p.t.Fatalf("%v: %q says %.40q in %s, not %q %.40q", err, said.Author, said.Bytes, f.Space, author, text)
	}
}

// hearsNothing sees that no ephemeral comes before what the peer asks for now.
func (p *peer) hearsNothing() {
	p.t.Helper()
	p.send(&wire.Ping{})
	for {
		switch f := p.receive().(type) {
		case *wire.Pong:
			return
		case *wire.Ephemeral:
			p.t.Fatalf("%s hears %q", p.identity, f.Bytes)
		}
	}
}

// listens subscribes and waits until the server has found that the peer may read.
func (p *peer) listens(id space.ID) {
	p.t.Helper()
	p.subscribe(id, space.Start(id))
	await[*wire.CaughtUp](p)
}

// TestEphemeralsOfAPrivateSpace: members hear each other, strangers nothing, and who is removed nothing from the moment on
// that the remover has the verdict.
func TestEphemeralsOfAPrivateSpace(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil))
	alice, bob, carol, mallory := r.dial("alice"), r.dial("bob"), r.dial("carol"), r.dial("mallory")
	id := alice.createOf(upload(t, log, moduletest.Members(nil)))
	alice.append(id, alice.of("add", moduletest.MembersAdd("bob"), moduletest.MembersAdd("carol")))
	for _, p := range []*peer{alice, bob, carol} {
		p.listens(id)
	}
	mallory.subscribe(id, space.Start(id))
	if ended := await[*wire.Ended](mallory); ended.Code != wire.CodeForbidden {
		t.Fatalf("a stranger subscribes: %v", ended.Code)
	}
	mallory.say(id, "let me in")
	if refused := await[*wire.Refused](mallory); refused.Code != wire.CodeForbidden || refused.Ref != 0 {
		t.Errorf("a stranger says something: %+v", refused)
	}
	mallory.say(space.ID{1}, "anybody there?")
	if refused := await[*wire.Refused](mallory); refused.Code != wire.CodeForbidden {
		t.Errorf("where there is no space: %v", refused.Code)
	}

	bob.say(id, "typing")
	alice.hears(id, "bob", "typing")
	carol.hears(id, "bob", "typing")
	bob.hearsNothing()

	alice.append(id, alice.of("remove", moduletest.MembersAdd("bob")))
	const words = 50
	for n := range words {
		alice.say(id, fmt.Sprint("of bob: ", n))
		carol.hears(id, "alice", fmt.Sprint("of bob: ", n))
	}
	bob.hearsNothing() // each time but the last, all who are told had been told before carol was told the next
	bob.say(id, "still here")
	if refused := await[*wire.Refused](bob); refused.Code != wire.CodeForbidden {
		t.Errorf("who was removed says something: %v", refused.Code)
	}
	mallory.hearsNothing()
	carol.say(id, "bye")
	alice.hears(id, "carol", "bye")
}

// TestEphemeralsOfASlowReader: one who does not read loses ephemerals and no record, and nobody waits for it.
func TestEphemeralsOfASlowReader(t *testing.T) {
	r := start(t, memlog.New())
	alice, bob, slow := r.dial("alice"), r.dial("bob"), r.dial("slow")
	id := alice.create()
	for _, p := range []*peer{alice, bob, slow} {
		p.listens(id)
	}
	const each = wire.EphemeralBurst / (wire.MaxEphemeral + wire.EphemeralCost)
	for n := range each {
		text := fmt.Sprint(n, strings.Repeat("x", wire.MaxEphemeral-3))
		alice.say(id, text)
		bob.hears(id, "alice", text)
	}
	end := alice.append(id, alice.transaction(3))
	bob.follow(id, space.Start(id), end.Seq)
	if text := r.metrics(); strings.Contains(text, "skerry_ephemerals_lost_total 0") || !strings.Contains(text, fmt.Sprintf("skerry_ephemerals_total %d", each)) {
		t.Error("the metrics do not tell what was lost")
	}
	heard := 0
	for at := space.Start(id); at.Seq < end.Seq; {
		switch f := slow.receive().(type) {
		case *wire.Events:
			at = slow.check(at, f)
		case *wire.Ephemeral:
			heard++
		}
	}
	if heard == 0 || heard == each {
		t.Errorf("the slow reader heard %d of %d", heard, each)
	}
	alice.say(id, "again")
	slow.hears(id, "alice", "again")
}

// TestEphemeralsAreNotStored looks for one in every byte of the data directory.
func TestEphemeralsAreNotStored(t *testing.T) {
	dir := t.TempDir()
	log, err := sqlitelog.Open(context.Background(), sqlitelog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, log)
	alice, bob := r.dial("alice"), r.dial("bob")
	id := alice.create()
	alice.listens(id)
	bob.listens(id)
	const spoken, written = "spoken: 6e1f2c", "written: 9a8b7c"
	alice.say(id, spoken)
	bob.hears(id, "alice", spoken)
	kept := alice.transaction(1)
	kept.Events[0].Payload = []byte(written)
	alice.append(id, kept)
	found := func() (spokenIn, writtenIn int) {
		err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(dir + "/" + path)
			spokenIn += bytes.Count(content, []byte(spoken))
			writtenIn += bytes.Count(content, []byte(written))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return spokenIn, writtenIn
	}
	if spokenIn, writtenIn := found(); spokenIn != 0 || writtenIn == 0 {
		t.Errorf("while the server runs: what was said is there %d times, what was written %d", spokenIn, writtenIn)
	}
	late := r.dial("late")
	late.listens(id)
	late.hearsNothing()
	r.stop()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if spokenIn, writtenIn := found(); spokenIn != 0 || writtenIn == 0 {
		t.Errorf("afterwards: what was said is there %d times, what was written %d", spokenIn, writtenIn)
	}
}
