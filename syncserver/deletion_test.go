package syncserver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// deletes makes the transaction that deletes a space.
func deletes(author string) space.Transaction { return privateEvent(author, module.TypeDelete) }

// notes makes n transactions of one note.
func notes(author string, n int) (all []space.Transaction) {
	for range n {
		all = append(all, privateEvent(author, "note"))
	}
	return all
}

// ended waits for the end of a subscription.
func (p *peer) ended(id space.ID) wire.Code {
	p.t.Helper()
	for {
		if f := await[*wire.Ended](p); f.Space == id {
			return f.Code
		}
	}
}

// TestDelete: who reads a space gets its last record and is told that it was deleted; so are all whom it concerned, at once and
// later; nothing is left of it on the server, and it cannot be made again.
func TestDelete(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		log := open()
		r := start(t, log, runsModules(t, log, nil))
		ann, bob, cy := r.dial("ann"), r.dial("bob"), r.dial("cy")
		_, since, _ := cy.list(nil)
		bob.list(nil)
		g := ann.genesis()
		g.Module, _ = builtin.ByName("members")
		upload(t, log, builtin.Bytes(g.Module))
		id := g.ID()
		ann.pushed(wire.Push{Space: id, Genesis: g})
		for _, who := range []string{"bob", "cy"} {
			ann.wrote(id, "grant", "identity", who, "role", "writer")
		}
		if row := bob.row(); row.State != wire.SpacePresent {
			t.Fatalf("let in: %+v", row)
		}
		cy.row()
		cy.close()
		bob.append(id, notes("bob", 600)...)
		bob.subscribe(id, space.Start(id))
		_, at := bob.follow(id, space.Start(id), 602)
		if v := bob.verdict(id, deletes("bob")); v.Kind != wire.Rejected || v.Code <= wire.CodeModuleOwn {
			t.Fatalf("a writer's deletion: %+v", v)
		}
		last := deletes("ann")
		if v := ann.verdict(id, last); v.Kind != wire.Accepted || v.Position.Seq != 603 {
			t.Fatalf("the owner's: %+v", v)
		}
		records, at := bob.follow(id, at, 603)
		if got := records[0]; got.Type != module.TypeDelete || got.Author != "ann" {
			t.Errorf("the last record is %+v", got)
		}
		if code := bob.ended(id); code != wire.CodeDeleted {
			t.Errorf("bob's subscription ended with %v", code)
		}
		if row := bob.row(); row.State != wire.SpaceDeleted || row.Genesis.ID() != id || row.Head != 0 || !row.Module.IsZero() {
			t.Errorf("bob's row: %+v", row)
		}
		for range 2 {
			r.stop()
			log = open()
			r = start(t, log, runsModules(t, log, nil))
			for who, since := range map[string][]byte{"ann": nil, "bob": nil, "cy": since} {
				rows, _, _ := r.dial(who).list(since)
				if n := len(rows); n == 0 || rows[n-1].State != wire.SpaceDeleted || rows[n-1].Genesis.ID() != id {
					t.Errorf("later %s has %+v", who, rows)
				}
			}
			ann, eve := r.dial("ann"), r.dial("eve")
			for _, at := range []space.Position{space.Start(id), at} {
				ann.subscribe(id, at)
				if code := ann.ended(id); code != wire.CodeDeleted {
					t.Errorf("a subscription ended with %v", code)
				}
			}
			answer := ann.pushed(wire.Push{Space: id, Genesis: g, Transactions: []space.Transaction{privateEvent("ann", "note"), last}})
			if answer.Genesis.Kind != wire.Duplicate || answer.Verdicts[0].Code != wire.CodeDeleted || answer.Verdicts[0].Kind != wire.Rejected ||
				answer.Verdicts[1].Kind != wire.Duplicate || answer.Verdicts[1].Position != at {
				t.Errorf("pushed again: %+v %+v", answer.Genesis, answer.Verdicts)
			}
			if v := eve.verdict(id, privateEvent("eve", "note")); v.Code != wire.CodeDeleted {
				t.Errorf("a stranger's: %+v", v)
			}
			if err := errors.Join(freed(t, log, id)...); err != nil {
				t.Error(err)
			}
		}
		r.stop()
	})
}

// freed says what is left of a space that was deleted, and should not be.
func freed(t *testing.T, log syncserver.Log, id space.ID) (left []error) {
	if _, err := log.Read(t.Context(), id, 0, 10, 1<<20); !errors.Is(err, syncserver.ErrDeleted) {
		left = append(left, errors.New("its records"))
	}
	for after := ""; ; { // notes under audit/ go when administrators are told, which may be at the next start
		rows, err := log.Scan(t.Context(), "", after, 100)
		if err != nil {
			return append(left, err)
		}
		for _, row := range rows {
			after = row.Key
			if strings.Contains(row.Key, id.String()) && !strings.HasPrefix(row.Key, "in/") && !strings.HasPrefix(row.Key, "audit/") && row.Key != "deleted/"+id.String() {
				left = append(left, errors.New("the key "+row.Key))
			}
		}
		if len(rows) < 100 {
			return left
		}
	}
}

// TestDeleteAfterACrash: wherever a crash came, what is left to be done is done by the next server, with nobody asking for the
// space; and at no time is it freed before all were told.
func TestDeleteAfterACrash(t *testing.T) {
	for _, step := range []string{"append", "in/", "dir/", "deleted/", "delete", "people/", "module/", "checkpoint/", "deleting/"} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &hooked{Log: memlog.New()}
				r := start(t, log, runsModules(t, log, nil))
				ann := r.dial("ann")
				id := ann.createMembers()
				ann.wrote(id, "grant", "identity", "bob", "role", "reader")
				ann.append(id, notes("ann", 1100)...) // so there is a checkpoint
				synctest.Wait()
				for _, key := range []string{"module/" + id.String(), "people/" + id.String() + "/0000000000000001"} {
					if _, err := log.CompareAndSet(t.Context(), key, nil, []byte{}); err != nil {
						t.Fatal(err)
					}
				}
				var broken atomic.Bool
				log.after(func(space.ID) error { broken.Store(true); return nil })
				fails := func(here string) error {
					if broken.Load() && strings.HasPrefix(here, step) {
						return errBroken
					}
					return nil
				}
				log.keys(fails)
				told := func() bool {
					value, err := log.Key(t.Context(), "in/626f62/"+id.String())
					return err == nil && len(value) == 17 && value[16] == byte(wire.SpaceDeleted)
				}
				log.deletes(func() error {
					if !told() {
						t.Error("freed before bob was told")
					}
					return fails("delete")
				})
				if step == "append" {
					log.after(func(space.ID) error { broken.Store(true); return errBroken })
					log.keys(func(key string) error { return fails("append") })
				}
				ann.push(wire.Push{Space: id, Transactions: []space.Transaction{deletes("ann")}})
				synctest.Wait()
				if len(freed(t, log, id)) == 0 {
					t.Fatal("nothing was held up")
				}
				r.stop()
				broken.Store(false)
				log.after(nil)
				r = start(t, log, runsModules(t, log, nil))
				synctest.Wait()
				if left := freed(t, log, id); len(left) > 0 || !told() {
					t.Errorf("left is %v; told: %v", left, told())
				}
				rows, _, _ := r.dial("bob").list(nil)
				if !slices.ContainsFunc(rows, func(row wire.SpaceRow) bool { return row.State == wire.SpaceDeleted }) {
					t.Errorf("bob has %+v", rows)
				}
				r.stop()
			})
		})
	}
}

// TestDeletionThatDidNotComeToBe: a note of a deletion that was not stored deletes nothing.
func TestDeletionThatDidNotComeToBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &hooked{Log: memlog.New()}
		r := start(t, log, runsModules(t, log, nil))
		ann := r.dial("ann")
		id := ann.createMembers()
		ann.wrote(id, "note")
		log.before(func(space.ID) error { return errBroken })
		ann.push(wire.Push{Space: id, Transactions: []space.Transaction{deletes("ann")}})
		synctest.Wait()
		r.stop()
		log.before(nil)
		if note, err := log.Key(t.Context(), "deleting/"+id.String()); err != nil || note == nil {
			t.Fatalf("there is no note: %v", err)
		}
		r = start(t, log, runsModules(t, log, nil))
		synctest.Wait()
		ann = r.dial("ann")
		ann.wrote(id, "note")
		ann.append(id, deletes("ann"))
		synctest.Wait()
		if left := freed(t, log, id); len(left) > 0 {
			t.Errorf("left is %v", left)
		}
		r.stop()
	})
}

// TestServersAgreeOnDeletion: what one server deletes another one takes nothing for, also where it needs no records to judge.
func TestServersAgreeOnDeletion(t *testing.T) {
	for _, name := range []string{"open", "members"} {
		t.Run(name, func(t *testing.T) {
			log := memlog.New()
			one, two := start(t, log, runsModules(t, log, nil)), start(t, log, runsModules(t, log, nil))
			ann, bob := one.dial("ann"), two.dial("ann")
			var id space.ID
			if name == "open" {
				id = ann.create()
			} else {
				id = ann.createMembers()
			}
			bob.wrote(id, "note")
			if v := ann.verdict(id, deletes("ann")); v.Kind != wire.Accepted {
				t.Fatalf("%+v", v)
			}
			for range 3 {
				if v := bob.verdict(id, privateEvent("ann", "note")); v.Code != wire.CodeDeleted && v.Kind != wire.Deferred {
					t.Errorf("%+v", v)
				}
			}
			for {
				if v := bob.verdict(id, privateEvent("ann", "note")); v.Kind == wire.Rejected {
					break
				}
			}
			one.stop()
			two.stop()
			if left := freed(t, log, id); len(left) > 0 {
				t.Errorf("left is %v", left)
			}
		})
	}
}

// TestNothingFollowsADeletion: one that another server appends while this one looks whether there is one, with the space freed at once
// or not yet.
func TestNothingFollowsADeletion(t *testing.T) {
	for name, freed := range map[string]bool{"freed": true, "not yet freed": false} {
		for _, found := range []bool{false, true} { // the space is known to the second server
			t.Run(fmt.Sprintf("%s, found %v", name, found), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					shared := memlog.New()
					first, second := &hooked{Log: shared}, &hooked{Log: shared}
					hold := func() error { return errBroken }
					if second.deletes(hold); !freed {
						first.deletes(hold)
					}
					one, two := start(t, first, runsModules(t, shared, nil)), start(t, second, runsModules(t, shared, nil))
					ann, bob := one.dial("ann"), two.dial("bob")
					id := ann.createMembers()
					ann.wrote(id, "grant", "identity", "bob", "role", "writer")
					if found {
						bob.wrote(id, "note")
					}
					synctest.Wait()
					var once sync.Once
					looked, again := false, one.dial("ann")
					second.key(func(key string) {
						if key == "deleting/"+id.String() {
							once.Do(func() {
								looked = true
								if v := again.verdict(id, deletes("ann")); v.Kind != wire.Accepted {
									t.Errorf("the deletion: %+v", v)
								}
							})
						}
					})
					if found {
						ann.wrote(id, "note") // so that it looks
						synctest.Wait()
					}
					for {
						v := bob.verdict(id, privateEvent("bob", "note"))
						if v.Kind == wire.Accepted {
							t.Fatalf("accepted: %+v", v)
						}
						if v.Kind == wire.Rejected {
							break
						}
					}
					if !looked {
						t.Fatal("nobody looked for a deletion")
					}
					first.deletes(nil)
					second.deletes(nil)
					one.stop()
					two.stop()
					one = start(t, shared, runsModules(t, shared, nil))
					synctest.Wait()
					wantFreed(t, shared, id)
					one.stop()
				})
			})
		}
	}
}

func wantFreed(t *testing.T, log syncserver.Log, id space.ID) {
	t.Helper()
	if err := errors.Join(freed(t, log, id)...); err != nil {
		t.Error("left is: ", err)
	}
}

// join adds the events of a transaction to another.
func join(to *space.Transaction, t space.Transaction) {
	t.Events = append(to.Events, t.Events...)
	*to = t
}

// unheard is a log that gives no hints.
type unheard struct{ syncserver.Log }

func (unheard) Watch(context.Context, func(space.ID)) error { return nil }

// TestRemovedReadersAreNotSentTheDeletion: who was removed by the records before it gets the last of those and no more, where the
// server finds out about all of them at once, and where it is still asking the module when the space ends.
func TestRemovedReadersAreNotSentTheDeletion(t *testing.T) {
	for name, elsewhere := range map[string]bool{"by another server": true, "by this one": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := memlog.New()
				log := &hooked{Log: shared}
				log.deletes(func() error { return errBroken })
				one := start(t, log, runsModules(t, log, nil))
				two := one
				if elsewhere {
					two = start(t, unheard{log}, runsModules(t, log, nil))
				}
				ann := one.dial("ann")
				id := ann.createMembers()
				last := uint64(100)
				var grants, removals space.Transaction
				for n := range last {
					who := fmt.Sprint("reader", n)
					join(&grants, privateEvent("ann", "grant", "identity", who, "role", "reader"))
					join(&removals, privateEvent("ann", "remove", "identity", who))
				}
				ann.append(id, grants)
				var readers []*peer
				for n := range last {
					p := two.dial(fmt.Sprint("reader", n))
					p.subscribe(id, space.Start(id))
					p.follow(id, space.Start(id), last)
					readers = append(readers, p)
				}
				synctest.Wait()
				ann.append(id, removals, deletes("ann"))
				if elsewhere {
					two.dial("ann").verdict(id, privateEvent("ann", "note"))
				}
				for n, p := range readers {
					for ended := false; !ended; {
						switch f := p.receive().(type) {
						case *wire.Events:
							if got := f.Position.Seq; got > 2*last {
								t.Errorf("reader %d was removed by record %d and is sent record %d", n, 2*last, got)
							}
						case *wire.Ended:
							ended = true
						}
					}
				}
				one.stop()
				two.stop()
			})
		})
	}
}

// TestSlowReadersGetTheEnd: what a reader is behind with is not freed under it, but nobody is waited for for ever; meanwhile all are told.
func TestSlowReadersGetTheEnd(t *testing.T) {
	for name, reads := range map[string]bool{"reads on": true, "reads no more": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := memlog.New()
				r := start(t, log, runsModules(t, log, nil))
				ann := r.dial("ann")
				id := ann.createMembers()
				ann.wrote(id, "grant", "identity", "bob", "role", "reader")
				for range 60 {
					ann.append(id, privateEvent("ann", "note", "text", strings.Repeat("x", 20<<10)))
				}
				h := hello("bob")
				h.Credit = 1
				bob := r.dialWith(h)
				bob.subscribe(id, space.Start(id))
				at := bob.check(space.Start(id), await[*wire.Events](bob))
				ann.append(id, deletes("ann"))
				time.Sleep(time.Minute)
				if rows, _, _ := r.dial("bob").list(nil); len(rows) == 0 || rows[0].State != wire.SpaceDeleted {
					t.Errorf("bob is told %+v", rows)
				}
				if len(freed(t, log, id)) == 0 {
					t.Fatal("freed while bob is in the middle of it")
				}
				if reads {
					bob.send(&wire.Credit{Bytes: 1 << 30})
					bob.follow(id, at, 62)
					if code := bob.ended(id); code != wire.CodeDeleted {
						t.Errorf("ended with %v", code)
					}
				} else {
					time.Sleep(time.Minute + 10*time.Second)
				}
				synctest.Wait()
				wantFreed(t, log, id)
				r.stop()
			})
		})
	}
}
