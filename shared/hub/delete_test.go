package hub_test

import (
	"fmt"
	"testing"

	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

func (u *upgrading) deletes(author string) space.Transaction {
	return u.of(author, module.TypeDelete, []byte{0x80})
}

// TestDelete: nothing follows a deletion, in its own push, in one that waits, and in all that come later; and it is told when it
// is durable.
func TestDelete(t *testing.T) {
	u := newUpgrading(t)
	last := u.deletes("ann")
	u.push(1, u.note("bob"), last, u.note("ann"))
	u.push(2, u.note("bob"))
	u.step(hub.Ask{Conn: 9, Ref: 1, Identities: []string{"ann"}})
	for u.lookup != nil {
		u.found()
	}
	u.push(3, last)
	u.found()
	if told := u.told(); len(told) > 0 || u.deleted > 0 {
		t.Fatalf("told %q before it was durable", told)
	}
	if !u.append.Deletes || len(u.append.People) < 2 || u.append.Records[len(u.append.Records)-1].Type != module.TypeDelete {
		t.Fatalf("what is to be stored is %+v", u.append)
	}
	u.stored()
	u.wants("1/2: accepted@2 accepted@3 deleted", "2/1: deleted", "3/1: duplicate@3")
	if u.deleted != 1 || u.readTo != 3 {
		t.Errorf("said %d times that it was deleted; %d records may be read", u.deleted, u.readTo)
	}
	u.push(2, u.note("bob"), last, u.deletes("ann"))
	u.offer(3, &wire.Push{Genesis: &u.made, Transactions: []space.Transaction{u.note("bob"), by("eve", u.note("eve")), u.note("ann")}})
	u.step(hub.Ask{Conn: 9, Ref: 2, Identities: []string{"ann"}})
	u.settle()
	u.wants("2/2: deleted duplicate@3 deleted", "3/2: genesis bad_genesis; unknown_space unknown_space unknown_space")
	if n := len(u.answers); n != 2 || !u.answers[0].MayRead || u.answers[1].Code != wire.CodeDeleted || !u.answers[1].Exists {
		t.Errorf("answers: %+v", u.answers)
	}
	if u.log.head.Seq != 3 {
		t.Errorf("the log ends at %d", u.log.head.Seq)
	}
	for conn := hub.ConnID(1); conn < 4; conn++ {
		u.step(hub.Disconnected{Conn: conn})
	}
	if !u.s.Idle() {
		t.Error("the space is never forgotten")
	}
}

// TestDeletedOpens: who finds the space deleted when it is opened says the same.
func TestDeletedOpens(t *testing.T) {
	w := newWorld(t)
	last := typed(module.TypeDelete, 9)
	w.log.other(tx(1))
	w.log.other(last)
	w.offer(1, genesisPush(tx(1), last, by("eve", tx(3))))
	w.push(1, tx(4))
	w.step(hub.Ask{Conn: 9, Ref: 1})
	w.settle()
	w.wants("1/1: genesis duplicate@0; deleted duplicate@2 auth_required", "1/2: behind")
	if p := (w.answers); len(p) != 1 || p[0].Code != wire.CodeDeleted {
		t.Errorf("answers: %+v", p)
	}
	w.offer(1, &wire.Push{Resume: true, Transactions: []space.Transaction{tx(4), {Author: "ann"}}})
	w.settle()
	w.wants("1/3: deleted bad_transaction")
}

// TestDeletedBeforeItWasCreated: another server made the space and deleted it, since it was looked for here.
func TestDeletedBeforeItWasCreated(t *testing.T) {
	w := newWorld(t)
	w.offer(1, genesisPush(tx(1)))
	w.answerAbsent()
	w.log.other(typed(module.TypeDelete, 9))
	w.step(hub.Opened{Ref: answer(w, &w.create, "create").Ref, Code: wire.CodeDeleted, Head: w.log.head, Last: space.ULID{1, 9}})
	w.wants("1/1: genesis duplicate@0; deleted")
}

// TestDeletedByAnotherServer: what was judged on another end is judged again, and refused.
func TestDeletedByAnotherServer(t *testing.T) {
	for name, hint := range map[string]bool{"by a hint": true, "by an append": false} {
		t.Run(name, func(t *testing.T) {
			u := newUpgrading(t)
			u.asks(2, u.to("bob", replayed))
			last := u.deletes("bob")
			u.log.other(last)
			if hint {
				u.step(hub.HeadRead{Head: u.log.head, Code: wire.CodeDeleted, Last: last.Events[0].ID})
				u.push(1, u.note("ann"), last)
			} else {
				u.push(1, u.note("ann"), last)
				u.settle()
			}
			u.settle()
			if hint {
				u.wants("2/1: deleted", "1/2: deleted duplicate@2")
			} else {
				u.wants("1/2: deleted duplicate@2", "2/1: deleted")
			}
			if u.deleted != 1 || u.loaded != 0 || u.readTo != 1 {
				t.Errorf("said %d times that it was deleted; %d modules are held; %d records may be read", u.deleted, u.loaded, u.readTo)
			}
		})
	}
}

// TestDeletionIsReplayed: a server that was told of a head and not that it is the last one finds out when it comes there.
func TestDeletionIsReplayed(t *testing.T) {
	for name, guarded := range map[string]bool{"open": false, "guarded": true} {
		t.Run(name, func(t *testing.T) {
			w := openedWorld(t)
			note, last := tx(8), typed(module.TypeDelete, 9)
			if guarded {
				u := newUpgrading(t)
				w, note, last = u.world, u.note("bob"), u.deletes("ann")
			}
			before := w.log.head.Seq
			w.log.other(note)
			w.log.other(last)
			w.step(hub.HeadRead{Head: w.log.head})
			w.settle()
			if !guarded {
				before = w.log.head.Seq
			}
			if w.deleted != 1 || w.readTo != before {
				t.Fatalf("said %d times that it was deleted; %d records may be read, want %d", w.deleted, w.readTo, before)
			}
			w.push(3, by(note.Author, tx(4)), last)
			w.settle()
			w.wants(fmt.Sprintf("3/1: deleted duplicate@%d", w.log.head.Seq))
		})
	}
}

// TestDeletionIsHeardOfLate: a space that was taken to be at its end is ended by the word that this is its last record.
func TestDeletionIsHeardOfLate(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1))
	w.settle()
	w.told()
	w.step(hub.HeadRead{Head: w.log.head})
	w.log.records[0].Type = module.TypeDelete
	w.step(hub.HeadRead{Head: w.log.head, Code: wire.CodeDeleted, Last: w.log.last().ID})
	w.push(1, tx(2))
	w.wants("1/2: deleted")
}

// TestDeletionThatIsNotStored: what stood behind it was refused for nothing, and nobody was told.
func TestDeletionThatIsNotStored(t *testing.T) {
	u := newUpgrading(t)
	u.push(2, u.deletes("bob"))
	u.push(1, u.note("ann"))
	u.judgedOnly()
	u.log.other(u.of("ann", "remove", moduletest.MembersAdd("bob")))
	u.settle()
	u.wants("2/1: module_1", "1/2: accepted@3")
	if u.deleted > 0 {
		t.Error("it was said to be deleted")
	}
}

// TestDeletionOfUnknownOutcome: an append that did reach the log is found there.
func TestDeletionOfUnknownOutcome(t *testing.T) {
	u := newUpgrading(t)
	u.push(1, u.deletes("ann"), u.note("ann"))
	u.judgedOnly()
	u.log.append(answer(u.world, &u.append, "append"))
	u.step(hub.Appended{Outcome: hub.Unclear})
	u.settle()
	u.wants("1/2: accepted@2 deleted")
	if u.deleted != 1 {
		t.Errorf("said %d times that it was deleted", u.deleted)
	}
}

// TestWhoDeletes: those who may take the space over, also if they may write what the module does not know.
func TestWhoDeletes(t *testing.T) {
	u := newUpgrading(t)
	u.callers[1].Identities = append(u.callers[1].Identities, "eve")
	u.push(1, u.deletes("eve"), u.of("ann", module.TypeDelete, nil, nil), u.of("ann", module.TypeDelete, make([]byte, 1+wire.DefaultLimits.Payload)),
		u.of("ann", module.TypeDelete, make([]byte, wire.DefaultLimits.Payload)))
	u.settle()
	u.wants("1/2: module_1 bad_transaction too_large accepted@2")
	w := openedWorld(t) // of a server that runs no modules
	w.push(1, typed(module.TypeDelete, 1))
	w.settle()
	w.wants("1/1: reserved_type")
}

// judgedOnly has what waits looked up and judged, so that something is to be stored.
func (w *world) judgedOnly() {
	w.t.Helper()
	for w.lookup != nil {
		w.found()
	}
	if w.append == nil {
		w.t.Fatal("nothing is to be stored")
	}
}
