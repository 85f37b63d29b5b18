package hub_test

import (
	"fmt"
	"slices"
	"testing"

	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// own makes a transaction of the server's, which a record is to bring beside it.
func own(kind, beside string, id byte) hub.Record {
	t := typed(kind, id)
	t.Author = "server"
	return hub.Record{Ref: uint64(id), Transaction: t, Beside: beside}
}

// besides are what was to be stored beside the append under way.
func (w *world) besides(want ...any) {
	w.t.Helper()
	if w.append == nil || !slices.Equal(w.append.Beside, want) {
		w.t.Fatalf("beside %d records is %v, want %v", len(w.append.Records), w.append.Beside, want)
	}
}

// recorded wants the verdicts on the server's own transactions so far.
func (w *world) recordedAre(want ...string) {
	w.t.Helper()
	var got []string
	for _, r := range w.recorded {
		got = append(got, fmt.Sprintf("%d: %s", r.Ref, text(&r.Verdict)))
	}
	if w.recorded = nil; fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Fatalf("told\n%q, want\n%q", got, want)
	}
}

// TestRecord: the server writes what clients cannot, in turn with them, and is told when that is durable.
func TestRecord(t *testing.T) {
	w := openedWorld(t, func(c *hub.Config) {
		c.Admit = func(_ uint64, caller *hub.Caller, _ string, _, _ int) uint64 { return 5 * uint64(caller.Conn-1) }
	})
	w.push(1, typed(module.TypeConnect, 9))
	w.found()
	w.wants("1/1: reserved_type")
	w.step(own(module.TypeConnect, "a", 1))
	w.push(1, tx(2))
	w.step(own(module.TypeDisconnect, "b", 3))
	w.found()
	w.besides("a")
	w.recordedAre() // nothing is durable yet
	w.settle()
	w.recordedAre("1: accepted@1", "3: accepted@3")
	w.wants("1/2: accepted@2")
	if w.log.records[0].Author != "server" || w.log.records[2].Type != module.TypeDisconnect {
		t.Fatalf("the log is %+v", w.log.records)
	}
	w.step(own(module.TypeConnect, "again", 1))
	w.settle()
	w.recordedAre("1: duplicate@1")
	if fmt.Sprint(w.log.beside) != "[a b]" {
		t.Fatalf("beside the records is %v", w.log.beside)
	}
}

// TestRefusedRecordLeavesNothingBeside: what was to be stored beside a transaction that is refused is not stored with another.
func TestRefusedRecordLeavesNothingBeside(t *testing.T) {
	w := openedWorld(t)
	w.step(own("t", "a", 1))
	w.found()
	w.step(own("bad", "refused", 2))
	w.step(own("fault", "failed", 3))
	w.step(own("t", "b", 4))
	w.settle()
	w.recordedAre("1: accepted@1", "2: forbidden", "3: overloaded", "4: accepted@2")
	if fmt.Sprint(w.log.beside) != "[a b]" {
		t.Fatalf("beside the records is %v", w.log.beside)
	}
}

// TestRecordIsJudgedAgain: an append that was not stored takes along what was beside it, and brings it again; one of which that
// is not known is not made twice.
func TestRecordIsJudgedAgain(t *testing.T) {
	w := openedWorld(t)
	w.step(own("t", "a", 1))
	w.found()
	w.step(own("t", "b", 2))
	w.log.other(tx(7))
	w.stored() // which is stale
	w.settle()
	w.recordedAre("1: accepted@2", "2: accepted@3")
	w.step(own("t", "c", 3))
	w.found()
	w.log.append(answer(w, &w.append, "append"))
	w.step(hub.Appended{Outcome: hub.Unclear})
	w.settle()
	w.recordedAre("3: accepted@4")
	if fmt.Sprint(w.log.beside) != "[a b c]" || len(w.log.records) != 4 {
		t.Fatalf("beside %d records is %v", len(w.log.records), w.log.beside)
	}
}

// TestRecordDeferred: in a space that is not there, and while the log is full.
func TestRecordDeferred(t *testing.T) {
	w := newWorld(t)
	w.step(own("t", "a", 1))
	w.answerAbsent()
	w.recordedAre("1: unknown_space")
	w = openedWorld(t)
	w.step(own("t", "a", 1))
	w.found()
	w.append = nil
	w.step(hub.Appended{Outcome: hub.Full})
	w.settle()
	w.recordedAre("1: server_full")
	w.now += 10_000
	w.step(own("t", "a", 1))
	w.settle()
	w.recordedAre("1: accepted@1")
}

// TestRecordWhileRecovering: a space that waits for its lost tail takes what the server writes, or nobody could connect to bring it.
func TestRecordWhileRecovering(t *testing.T) {
	w := openedWorld(t)
	w.step(hub.Ahead{Position: space.Position{Seq: 7}})
	w.push(1, tx(1))
	w.step(own("t", "a", 2))
	w.settle()
	w.wants("1/1: recovering")
	w.recordedAre("2: accepted@1")
}

// TestTry: what is only to be judged waits for the space, and is written nowhere; also of what is written already.
func TestTry(t *testing.T) {
	try := func(id byte) hub.Try {
		return hub.Try{Ref: uint64(id), Transaction: own(module.TypeConnect, "", id).Transaction}
	}
	w := newWorld(t)
	w.step(try(1))
	w.recordedAre()
	if w.s.Idle() {
		t.Error("nobody is thought to wait")
	}
	w.answerOpen()
	w.recordedAre("1: accepted@0")
	w.step(own(module.TypeConnect, "a", 2))
	w.settle()
	w.step(try(2))
	w.recordedAre("2: accepted@1", "2: accepted@0")
	if w.append != nil || len(w.log.records) != 1 || !w.s.Idle() {
		t.Fatalf("something stays: %+v", w.log.records)
	}
	w = newWorld(t)
	w.step(try(1))
	w.answerAbsent()
	w.recordedAre("1: unknown_space")
	w.step(try(2))
	w.step(hub.Opened{Ref: answer(w, &w.open, "open").Ref, Code: wire.CodeOverloaded})
	w.recordedAre("2: overloaded")
}

// TestRecordClaims: the module sees the claims of each event.
func TestRecordClaims(t *testing.T) {
	w := openedWorld(t)
	record := own("t", "a", 1)
	record.Transaction.Events = append(record.Transaction.Events, space.Event{ID: space.ULID{1, 2}, Type: "t"})
	record.Claims = [][]byte{[]byte("one"), []byte("two")}
	w.step(record)
	w.settle()
	if fmt.Sprintf("%s", w.module.claims) != "[one two]" {
		t.Fatalf("the module saw %q", w.module.claims)
	}
	w.push(1, tx(5))
	w.settle()
	if fmt.Sprintf("%s", w.module.claims) != "[]" {
		t.Fatalf("with a client's transaction the module saw %q", w.module.claims)
	}
	w.recordedAre("1: accepted@2")
}
