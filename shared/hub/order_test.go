package hub_test

import (
	"testing"

	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// TestJudgingStopsWhenTheLogLagsFarBehind bounds what is held in memory on top of a log that does not answer.
func TestJudgingStopsWhenTheLogLagsFarBehind(t *testing.T) {
	w := openedWorld(t, func(c *hub.Config) { c.AppendRecords = 1 })
	for i := byte(1); i <= 50; i++ {
		w.push(1, tx(i))
		if w.lookup != nil {
			w.found()
		}
	}
	if w.module.calls > 8 {
		t.Errorf("%d transactions were judged on top of an append that is not answered", w.module.calls)
	}
	w.settle()
	if len(w.log.records) != 50 || len(w.replies) != 50 {
		t.Errorf("%d records and %d replies in the end", len(w.log.records), len(w.replies))
	}
}

// TestWokenWhileThePositionIsChecked lets a record be stored after the head was read for a check, whose answer is
// slower than the wake-up. The subscriber has everything that the check knows of.
func TestWokenWhileThePositionIsChecked(t *testing.T) {
	log := filled(1)
	l := welcomedLine(t, 1<<20)
	read := log.head
	l.subscribe(read.Position())
	check := l.last.Check[0]
	log.other(tx(100))
	l.step(hub.Woken{Space: spaceID, Seq: 3})
	l.step(hub.Checked{Space: check.Space, Ref: check.Ref, Exists: true, MayRead: true, Head: read, Chain: read.Chain})
	for l.read != nil {
		l.events(log)
	}
	l.wants("events 3..3, caught_up@3")
}

// TestWakeUpsOutOfOrder wakes a subscription for the second record before the first.
func TestWakeUpsOutOfOrder(t *testing.T) {
	log := filled(0)
	l := welcomedLine(t, 1<<20, func(c *hub.Config) { c.ReadRecords = 1 })
	l.subscribe(space.Start(spaceID))
	l.check(log)
	l.wants("spaces 0 +1, caught_up@0")
	log.other(tx(1))
	log.other(tx(2))
	l.step(hub.Woken{Space: spaceID, Seq: 2})
	l.step(hub.Woken{Space: spaceID, Seq: 1})
	for l.read != nil {
		l.events(log)
	}
	l.wants("events 1..1, events 2..2")
}

// TestAWakeUpIsNotAHead wakes a subscription for more than the log has when it is read.
func TestAWakeUpIsNotAHead(t *testing.T) {
	log := filled(1)
	l := welcomedLine(t, 1<<20)
	l.subscribe(space.Start(spaceID))
	l.check(log)
	l.events(log)
	l.step(hub.Woken{Space: spaceID, Seq: 9})
	l.events(log)
	if l.read != nil {
		t.Fatal("reads again and again what is not there")
	}
	log.other(tx(100))
	l.step(hub.Woken{Space: spaceID, Seq: 3})
	l.events(log)
	l.wants("spaces 0 +1, events 1..2, caught_up@2, events 3..3")
}

// TestWokenWhileItIsReadInVain lets a read find nothing that may be sent yet, though the log has more, and be answered after the
// wake-up for just that: the subscriber is not left waiting for the next record.
func TestWokenWhileItIsReadInVain(t *testing.T) {
	log := filled(0)
	log.other(tx(1))
	l := welcomedLine(t, 1<<20)
	l.subscribe(space.Start(spaceID))
	l.check(log)
	durable := log.head
	log.other(tx(2)) // is in the log, and nobody may be sent it yet
	read := l.read
	l.read = nil
	message, position := hub.EventsMessage(l.config, read.Space, read.Chain, log.records[:1])
	l.step(hub.EventsRead{Space: read.Space, Ref: read.Ref, Message: message, Position: position, Head: log.head.Seq})
	read = l.read
	if read == nil || read.After != durable.Seq {
		t.Fatalf("reads %+v, though the log has more", read)
	}
	l.read = nil
	l.step(hub.Woken{Space: spaceID, Seq: log.head.Seq})
	l.step(hub.EventsRead{Space: read.Space, Ref: read.Ref, Head: durable.Seq})
	if l.read == nil {
		t.Fatal("does not read what it was woken for")
	}
	l.events(log)
	l.wants("spaces 0 +1, events 1..1, events 2..2, caught_up@2")
}

// TestADuplicateWaitsForTheStateItRestsOn sends again what is in the log, behind something that is not.
func TestADuplicateWaitsForTheStateItRestsOn(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1))
	w.settle()
	w.told()
	w.push(2, tx(2))
	w.found()
	w.push(3, tx(1))
	w.found()
	w.history()
	w.wants()
	w.stored()
	w.wants("2/1: accepted@2", "3/1: duplicate@1")
}

// TestADeferredCreationIsNotForgotten shows that a space whose creation was denied is created by the next push.
func TestADeferredCreationIsNotForgotten(t *testing.T) {
	w := newWorld(t)
	w.offer(1, genesisPush(tx(1)))
	w.answerAbsent()
	w.step(hub.Opened{Ref: answer(w, &w.create, "create").Ref, Code: wire.CodeRateLimited, RetryAfterMS: 5})
	w.wants("1/1: genesis rate_limited; unknown_space")
	p := genesisPush(tx(1))
	p.Resume = true
	w.offer(1, p)
	w.answerAbsent()
	w.step(hub.Opened{Ref: answer(w, &w.create, "create").Ref, Instance: w.module, Head: w.log.head, Created: true})
	w.settle()
	w.wants("1/2: genesis accepted@0; accepted@1")
}

// TestWhatIsOnItsWayIsNotProposedAgain pushes a transaction again while it is being appended.
func TestWhatIsOnItsWayIsNotProposedAgain(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1))
	w.found()
	w.push(2, tx(1), tx(2))
	w.push(3, tx(2))
	w.found()
	w.found()
	w.stored()
	if w.append == nil || len(w.append.Records) != 1 {
		t.Fatalf("the second append is %+v, want one record", w.append)
	}
	w.stored()
	w.wants("1/1: accepted@1", "2/1: duplicate@1 accepted@2", "3/1: duplicate@2")
}

// TestARejectionIsTakenBackWithWhatItRestedOn rejects on top of a proposal that is never stored.
func TestARejectionIsTakenBackWithWhatItRestedOn(t *testing.T) {
	w := openedWorld(t)
	w.push(1, typed("once", 1))
	w.found()
	w.push(2, typed("once", 2)) // forbidden, if the first is stored
	w.found()
	w.wants()
	w.step(hub.Disconnected{Conn: 1})
	w.log.other(tx(9)) // so that the append fails
	w.settle()
	w.wants("2/1: accepted@2")
}
