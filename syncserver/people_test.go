package syncserver_test

import (
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/module/moduletest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// createMembers creates a space of the built-in list of members.
func (p *peer) createMembers() space.ID {
	p.t.Helper()
	d, _ := builtin.ByName("members")
	return p.createOf(upload(p.t, p.r.log, builtin.Bytes(d)))
}

// wrote appends an event of a space of members.
func (p *peer) wrote(id space.ID, kind string, pairs ...any) {
	p.t.Helper()
	p.append(id, privateEvent(p.identity, kind, pairs...))
}

// row waits for the next row of the directory that nobody asked for.
func (p *peer) row() wire.SpaceRow {
	p.t.Helper()
	rows := await[*wire.Spaces](p)
	if rows.Ref != 0 || len(rows.Rows) != 1 || len(rows.Since) == 0 {
		p.t.Fatalf("instead of one row came %+v", rows)
	}
	return rows.Rows[0]
}

// TestDirectoryOfMembers: who is let into a space by others has it in their directory, and is told so while they are connected
// and later; who is out has a row that says so and nothing of what is in the space since.
func TestDirectoryOfMembers(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		log := open()
		r := start(t, log, runsModules(t, log, nil))
		ann, bob := r.dial("ann"), r.dial("bob")
		_, since, _ := bob.list(nil)
		id := ann.createMembers()
		ann.wrote(id, "grant", "identity", "bob", "role", "reader")
		if row := bob.row(); row.State != wire.SpacePresent || row.Genesis.ID() != id || row.Head == 0 {
			t.Errorf("let in: %+v", row)
		}
		ann.wrote(id, "grant", "identity", "bob", "role", "writer") // no news
		ann.wrote(id, "remove", "identity", "bob")
		left := bob.row()
		if left.State != wire.SpaceLeft || left.Genesis.ID() != id || left.Head != 0 || !left.Module.IsZero() {
			t.Errorf("removed: %+v", left)
		}
		ann.wrote(id, "grant", "identity", "cy", "role", "reader")
		r.stop()
		log = open()
		r = start(t, log, runsModules(t, log, nil))
		ann, bob = r.dial("ann"), r.dial("bob")
		if rows, _, full := bob.list(since); full || len(rows) != 2 || rows[0].State != wire.SpaceLeft || rows[1].State != wire.SpaceLeft {
			t.Errorf("later: %+v", rows)
		}
		if rows, _, _ := r.dial("cy").list(nil); len(rows) != 1 || rows[0].State != wire.SpacePresent {
			t.Errorf("who was not there: %+v", rows)
		}
		if rows, _, _ := r.dial("eve").list(nil); len(rows) != 0 {
			t.Errorf("a stranger: %+v", rows)
		}
		ann.wrote(id, "grant", "identity", "bob", "role", "reader")
		if row := bob.row(); row.State != wire.SpacePresent || row.Head == 0 {
			t.Errorf("let in again: %+v", row)
		}
		bob.push(wire.Push{Space: id, Transactions: []space.Transaction{privateEvent("bob", "leave")}})
		if row := bob.row(); row.State != wire.SpaceLeft {
			t.Errorf("gone by themselves: %+v", row)
		}
	})
}

// TestListedOnce: who writes to a space just when others let them in has it listed once, whichever of both comes first.
func TestListedOnce(t *testing.T) {
	for _, first := range []string{"in/", "dir/"} {
		t.Run(first, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &hooked{Log: memlog.New()}
				r := start(t, log, runsModules(t, log, nil))
				ann, bob := r.dial("ann"), r.dial("bob")
				id := ann.createMembers()
				synctest.Wait()
				held := make(chan chan struct{}, 10)
				log.keys(func(k string) error {
					if strings.HasPrefix(k, first) {
						release := make(chan struct{})
						held <- release
						<-release
					}
					return nil
				})
				ann.wrote(id, "grant", "identity", "bob", "role", "writer")
				bob.push(wire.Push{Space: id, Transactions: []space.Transaction{privateEvent("bob", "note")}})
				synctest.Wait()
				for n := 0; ; n++ {
					if len(held) == 0 && n == 0 {
						t.Fatal("nothing was held up")
					} else if len(held) == 0 {
						break
					}
					close(<-held) // the one that has waited longest
					synctest.Wait()
				}
				if rows, _, _ := r.dial("bob").list(nil); len(rows) != 1 || rows[0].State != wire.SpacePresent {
					t.Errorf("bob has %+v", rows)
				}
				if changes, err := log.Scan(t.Context(), "dir/"+hex.EncodeToString([]byte("bob"))+"/", "", 10); err != nil || len(changes) != 1 {
					t.Errorf("the space is listed %d times: %v", len(changes), err)
				}
				r.stop()
			})
		})
	}
}

// TestListedWhenTheyMayRead: whoever lets themselves in by a link is listed when the space knows that they may read. Who is told
// before asks too early, is refused, and hears of it no more.
func TestListedWhenTheyMayRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &hooked{Log: memlog.New()}
		r := start(t, log, runsModules(t, log, nil))
		ann, bob := r.dial("ann"), r.dial("bob")
		bob.list(nil)
		id := ann.createMembers()
		secret := make([]byte, 16)
		hash := digest.Of(secret)
		ann.wrote(id, "invite", "role", "writer", "hashes", hash[:])
		synctest.Wait()
		release := make(chan struct{})
		log.keys(func(key string) error {
			if strings.HasPrefix(key, "dir/"+hex.EncodeToString([]byte(bob.identity))+"/") {
				<-release
			}
			return nil
		})
		if v := bob.verdict(id, privateEvent("bob", "redeem", "secret", secret)); v.Kind != wire.Accepted {
			t.Errorf("%+v", v)
		}
		close(release)
		if row := bob.row(); row.State != wire.SpacePresent || row.Head != 2 {
			t.Errorf("%+v", row)
		}
		r.stop()
	})
}

// TestDirectoryOfPeopleAfterACrash: a crash between what lets somebody in or out and their directory is made good when the
// space is opened next, wherever it came.
func TestDirectoryOfPeopleAfterACrash(t *testing.T) {
	for _, key := range []string{"in/", "dir/"} {
		t.Run(key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &hooked{Log: memlog.New()}
				r := start(t, log, runsModules(t, log, nil))
				ann := r.dial("ann")
				id := ann.createMembers()
				ann.wrote(id, "grant", "identity", "bob", "role", "reader")
				synctest.Wait()
				var broken atomic.Bool
				broken.Store(true)
				log.keys(func(k string) error {
					if broken.Load() && strings.HasPrefix(k, key) {
						return errBroken
					}
					return nil
				})
				ann.wrote(id, "remove", "identity", "bob")
				ann.wrote(id, "grant", "identity", "cy", "role", "reader")
				synctest.Wait()
				r.stop()
				broken.Store(false)
				r = start(t, log, runsModules(t, log, nil))
				r.dial("ann").wrote(id, "note")
				synctest.Wait()
				for who, want := range map[string]wire.SpaceState{"bob": wire.SpaceLeft, "cy": wire.SpacePresent} {
					rows, _, _ := r.dial(who).list(nil)
					if len(rows) == 0 || rows[len(rows)-1].State != want {
						t.Errorf("%s has %+v", who, rows)
					}
				}
				if notes, err := log.Scan(t.Context(), "people/", "", 10); err != nil || len(notes) != 0 {
					t.Errorf("%d notes are left: %v", len(notes), err)
				}
				r.stop()
			})
		})
	}
}

// TestServersAgreeOnWhoTakesPart: two servers on one log let people in and out as fast as they can, and in the end their
// directories say what is so.
func TestServersAgreeOnWhoTakesPart(t *testing.T) {
	log := memlog.New()
	one, two := start(t, log, runsModules(t, log, nil)), start(t, log, runsModules(t, log, nil))
	admins := []*peer{one.dial("ann"), two.dial("ann")}
	id := admins[0].createMembers()
	var all sync.WaitGroup
	for _, p := range admins {
		all.Go(func() {
			for n := range 40 {
				kind := "grant"
				if n%2 == 1 {
					kind = "remove"
				}
				p.verdict(id, privateEvent("ann", kind, "identity", "bob", "role", "reader"))
			}
		})
	}
	all.Wait()
	for _, kind := range []string{"grant", "remove"} { // the one may not have heard yet of what the other wrote
		for n := 0; ; n++ {
			if v := admins[n%2].verdict(id, privateEvent("ann", kind, "identity", "bob", "role", "reader")); v.Kind == wire.Accepted {
				break
			}
		}
	}
	one.stop()
	two.stop()
	one = start(t, log, runsModules(t, log, nil))
	one.dial("ann").wrote(id, "note")
	one.stop()
	one = start(t, log, runsModules(t, log, nil))
	rows, _, _ := one.dial("bob").list(nil)
	if len(rows) == 0 || rows[len(rows)-1].State != wire.SpaceLeft {
		t.Errorf("in the end bob has %+v", rows)
	}
}

// TestUpgradeLeavesStrangersOut: who wrote to a space that everybody might read is told that they have left when it goes over to
// a module by which they may not.
func TestUpgradeLeavesStrangersOut(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil))
	ann, bob := r.dial("ann"), r.dial("bob")
	id := ann.create()
	bob.append(id, bob.transaction(1))
	if rows, _, _ := bob.list(nil); len(rows) != 1 || rows[0].State != wire.SpacePresent {
		t.Fatalf("%+v", rows)
	}
	d, _ := builtin.ByName("members")
	upload(t, log, builtin.Bytes(d))
	ann.append(id, ann.of(module.TypeModule, moduletest.UpgradeTo(builtin.Bytes(d))))
	if row := bob.row(); row.State != wire.SpaceLeft || row.Module != (digest.Digest{}) {
		t.Errorf("%+v", row)
	}
	if rows, _, _ := ann.list(nil); len(rows) != 1 || rows[0].Module != d {
		t.Errorf("who made it has %+v", rows)
	}
}
