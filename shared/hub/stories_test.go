package hub_test

import (
	"testing"

	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

func TestNothingIsToldBeforeItIsDurable(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1, 2), tx(3))
	w.found()
	w.wants()
	if w.moved != 0 {
		t.Fatal("the head moved before the append was stored")
	}
	w.stored()
	if w.moved != 1 {
		t.Fatal("the head did not move")
	}
	v := w.replies[0].Pushed.Verdicts
	for i, seq := range []uint64{2, 3} {
		want := space.Position{Seq: seq, Chain: space.Fold(spaceID, w.log.records[:seq])}
		want.Seal = space.Seal(secret, spaceID, seq, want.Chain)
		if v[i].Position != want {
			t.Errorf("position %v, want %v", v[i].Position, want)
		}
	}
	if w.replies[0].Size != 100 {
		t.Error("the size of the push did not come back")
	}
	w.wants("1/1: accepted@2 accepted@3")
}

func TestVerdictsWaitForTheAppendThatTheyRestOn(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1))
	w.found()
	w.push(2, typed("bad", 2), tx(3)) // judged while 1 is being appended
	w.push(3, tx(1))                  // a duplicate of what is not durable yet
	w.found()
	w.push(4, typed("bad", 4)) // rejected, but on top of proposals
	w.found()
	w.found()
	w.wants()
	w.stored()
	w.wants("1/1: accepted@1")
	w.stored()
	w.wants("2/1: forbidden accepted@2", "3/1: duplicate@1", "4/1: forbidden")
	if len(w.log.records) != 2 {
		t.Errorf("the log has %d records", len(w.log.records))
	}
}

func TestTransactionsThatWaitShareOneAppend(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1))
	w.found()
	for i := byte(2); i < 10; i++ {
		w.push(2, tx(i))
		if w.lookup != nil {
			w.found()
		}
	}
	w.settle()
	if w.moved != 2 {
		t.Errorf("%d appends, want 2", w.moved)
	}
}

func TestAppendsAreCutAtTheirLimits(t *testing.T) {
	w := openedWorld(t, func(c *hub.Config) { c.AppendRecords = 3 })
	w.push(1, tx(1, 2), tx(3), tx(4, 5, 6, 7), tx(8))
	w.found()
	for _, n := range []int{3, 4, 1} {
		if got := len(w.append.Records); got != n {
			t.Fatalf("%d records in an append, want %d", got, n)
		}
		w.stored()
	}
	w.wants("1/1: accepted@2 accepted@3 accepted@7 accepted@8")

	one := tx(1)
	w = openedWorld(t, func(c *hub.Config) { c.AppendBytes = 2 * (one.Size() + 64) })
	w.push(1, tx(1), tx(2), tx(3), tx(4))
	w.settle()
	if w.moved < 2 {
		t.Errorf("%d appends, want the bytes to cut them", w.moved)
	}
}

func TestRetryAroundACut(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1), tx(2))
	w.found() // on its way to the log
	w.step(hub.Disconnected{Conn: 1})
	if len(w.finished) != 0 {
		t.Fatal("finished while its records are on their way")
	}
	w.push(2, tx(1), tx(2), tx(3)) // overlaps what is in flight
	w.found()
	w.wants()
	w.stored()
	if len(w.finished) != 1 {
		t.Fatal("not finished after its append")
	}
	w.push(3, tx(2), tx(3), tx(4)) // overlaps the log and what is in flight
	w.settle()
	w.wants("2/1: duplicate@1 duplicate@2 accepted@3", "3/1: duplicate@2 duplicate@3 accepted@4")
	if len(w.log.records) != 4 {
		t.Errorf("the log has %d records, want each once", len(w.log.records))
	}
}

func TestALookupOlderThanACommitMissesNothing(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1))
	w.found()
	w.push(2, tx(1))
	stale := w.log.known(w.lookup.IDs) // asked before the commit: nothing is known
	ref := w.lookup.Ref
	w.stored()
	w.step(hub.Found{Ref: ref, Known: stale})
	w.wants("1/1: accepted@1", "2/1: duplicate@1")
}

func TestARunOfDuplicatesIsReadOnce(t *testing.T) {
	w := openedWorld(t)
	var all []space.Transaction
	for i := byte(1); i < 60; i += 2 {
		all = append(all, tx(i, i+1))
	}
	w.push(1, all...)
	w.settle()
	w.told()
	w.push(2, all...)
	w.found()
	w.history()
	if w.read != nil || w.append != nil {
		t.Fatal("more than one read for a run of duplicates")
	}
	for i, v := range w.replies[0].Pushed.Verdicts {
		seq := uint64(2 * (i + 1))
		chain := space.Fold(spaceID, w.log.records[:seq])
		if v.Kind != wire.Duplicate || v.Position != (space.Position{Seq: seq, Chain: chain, Seal: space.Seal(secret, spaceID, seq, chain)}) {
			t.Fatalf("verdict %d is %v", i, v)
		}
	}
}

func TestIDReused(t *testing.T) {
	stored := []space.Transaction{tx(1, 2), tx(3)}
	other := tx(3)
	other.Events[0].Payload = []byte("other")
	version := tx(3)
	version.ClientVersion = "2"
	for name, again := range map[string]space.Transaction{
		"half":           tx(1),
		"other half":     tx(2),
		"more":           tx(1, 2, 4),
		"swapped":        tx(2, 1),
		"across":         tx(2, 3),
		"joined":         tx(1, 2, 3),
		"other bytes":    other,
		"other author":   by("bob", tx(3)),
		"other version":  version,
		"twice":          tx(9, 9),
		"twice, falling": tx(9, 8, 9),
	} {
		t.Run("log/"+name, func(t *testing.T) {
			w := openedWorld(t)
			w.push(1, stored...)
			w.settle()
			w.told()
			w.push(2, again, tx(7))
			w.settle()
			w.wants("2/1: id_reused accepted@4")
			w.module.stranger = again.Author
			w.push(2, again)
			w.settle()
			w.wants("2/2: forbidden")
		})
		t.Run("flight/"+name, func(t *testing.T) {
			w := openedWorld(t)
			w.push(1, stored...)
			w.found()
			w.push(2, again, tx(7))
			w.found()
			w.stored()
			w.stored()
			w.wants("1/1: accepted@2 accepted@3", "2/1: id_reused accepted@4")
		})
	}
}

func TestTwoConnectionsRaceWithOneID(t *testing.T) {
	w := openedWorld(t)
	other := tx(1)
	other.Events[0].Payload = []byte("other")
	w.push(1, tx(1))
	w.push(2, tx(1))
	w.push(3, other)
	w.settle()
	w.wants("1/1: accepted@1", "2/1: duplicate@1", "3/1: id_reused")
	if len(w.log.records) != 1 {
		t.Errorf("the log has %d records", len(w.log.records))
	}
}

func TestRejectionsStoreNoID(t *testing.T) {
	w := openedWorld(t)
	w.push(1, typed("bad", 1), by("eve", tx(2)))
	w.settle()
	w.wants("1/1: forbidden auth_required")
	w.offer(1, &wire.Push{Resume: true, Transactions: []space.Transaction{tx(1), tx(2)}})
	w.settle()
	w.wants("1/2: accepted@1 accepted@2")
}

func TestARefusalTakesNothingElseDown(t *testing.T) {
	w := openedWorld(t)
	two := typed("t", 2, 3)
	two.Events[1].Type = "bad"
	w.push(1, tx(1), two, tx(4))
	w.settle()
	w.wants("1/1: accepted@1 forbidden accepted@2")
}

func TestBehindUntilResume(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1), typed("unknown", 2), tx(3))
	w.push(1, tx(4))
	w.push(2, tx(5)) // another connection is not behind
	calls := w.module.calls
	w.settle()
	w.wants("1/1: accepted@1 unknown_type behind", "1/2: behind", "2/1: accepted@2")
	if w.module.calls-calls != 3 {
		t.Error("what is behind was judged")
	}
	w.offer(1, &wire.Push{Resume: true, Transactions: []space.Transaction{tx(3)}})
	w.push(1, tx(4))
	w.settle()
	w.wants("1/3: accepted@3", "1/4: accepted@4")
	w.offer(1, &wire.Push{Resume: true, Transactions: []space.Transaction{typed("unknown", 6), tx(7)}})
	w.push(1, tx(8))
	w.settle()
	w.wants("1/5: unknown_type behind", "1/6: behind")
	w.step(hub.Disconnected{Conn: 1})
	w.n[1] = 0
	w.push(1, tx(8)) // a new connection begins afresh
	w.settle()
	w.wants("1/1: accepted@5")
}

func TestHostFaultsDefer(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1), typed("fault", 2), tx(3))
	w.settle()
	w.wants("1/1: accepted@1 overloaded behind")
}

func TestPushNumbers(t *testing.T) {
	for _, n := range []uint64{0, 2, 7} {
		w := openedWorld(t)
		w.step(hub.Offer{Caller: w.caller(1), Push: &wire.Push{Space: spaceID, N: n, Transactions: []space.Transaction{tx(1)}}})
		if len(w.closed) != 1 || w.closed[0].Code != wire.CodeBadFrame || w.closed[0].Conn != 1 {
			t.Errorf("n = %d: closed %v", n, w.closed)
		}
		w.settle()
		w.wants()
	}
	w := openedWorld(t)
	w.push(1, tx(1))
	w.n[1] = 0
	w.push(1, tx(2)) // 1 again
	if len(w.closed) != 1 {
		t.Error("a number twice was taken")
	}
}

func TestAnAppendFailsAfterTwoBatchesWereJudged(t *testing.T) {
	w := openedWorld(t)
	w.push(1, typed("once", 1), tx(2))
	w.found()
	w.push(2, tx(3), typed("once", 4))
	w.found()
	w.push(1, tx(5))
	w.log.other(tx(2)) // another server was faster, and had the same transaction
	w.stored()         // fails
	w.wants()
	w.headRead()
	w.history() // the foreign record is applied before anything is judged
	w.settle()
	w.wants("1/1: accepted@2 duplicate@1", "2/1: accepted@3 forbidden", "1/2: accepted@4")
}

func TestAPushWhoseFirstHalfIsDurable(t *testing.T) {
	w := openedWorld(t, func(c *hub.Config) { c.AppendRecords = 2 })
	w.push(1, tx(1), tx(2), tx(3), typed("unknown", 4), tx(5))
	w.push(1, tx(6))
	w.found()
	if w.lookup != nil {
		w.found()
	}
	w.stored() // 1 and 2
	w.log.other(tx(9))
	w.stored() // 3: fails
	w.settle()
	w.wants("1/1: accepted@1 accepted@2 accepted@4 unknown_type behind", "1/2: behind")
}

func TestUnclearOutcomes(t *testing.T) {
	t.Run("it was ours", func(t *testing.T) {
		w := openedWorld(t)
		w.push(1, tx(1))
		w.found()
		w.push(1, tx(2))
		w.found()
		w.log.append(answer(w, &w.append, "append"))
		w.step(hub.Appended{Outcome: hub.Unclear})
		w.wants()
		calls := w.module.calls
		w.headRead()
		w.wants("1/1: accepted@1")
		w.settle()
		w.wants("1/2: accepted@2")
		if w.module.calls != calls {
			t.Error("what was stored was judged again")
		}
	})
	t.Run("it was lost", func(t *testing.T) {
		w := openedWorld(t)
		w.push(1, tx(1))
		w.found()
		answer(w, &w.append, "append")
		w.step(hub.Appended{Outcome: hub.Unclear})
		w.settle()
		w.wants("1/1: accepted@1")
	})
	t.Run("it arrives late", func(t *testing.T) {
		w := openedWorld(t)
		w.push(1, tx(1))
		w.found()
		late := answer(w, &w.append, "append")
		w.step(hub.Appended{Outcome: hub.Unclear})
		w.headRead()
		w.now++ // so that the second attempt has other bytes
		w.found()
		w.log.append(late)
		w.settle()
		w.wants("1/1: duplicate@1")
	})
	t.Run("the head cannot be read", func(t *testing.T) {
		w := openedWorld(t)
		w.push(1, tx(1))
		w.found()
		answer(w, &w.append, "append")
		w.step(hub.Appended{Outcome: hub.Unclear})
		for w.loadHead != nil {
			w.step(hub.HeadRead{Ref: answer(w, &w.loadHead, "head read").Ref, Code: wire.CodeInternal})
		}
		if w.wakeAt <= w.now {
			t.Fatal("no later attempt is planned")
		}
		w.now = w.wakeAt
		w.step(hub.Tick{})
		w.settle()
		w.wants("1/1: accepted@1")
	})
}

func TestAnotherServersRecordsAreApplied(t *testing.T) {
	w := openedWorld(t)
	w.log.other(typed("once", 1))
	w.step(hub.HeadRead{Head: w.log.head}) // a hint
	w.settle()
	if w.moved != 1 || !w.module.used {
		t.Errorf("moved %d times, applied %v", w.moved, w.module.used)
	}
	w.push(1, typed("once", 2))
	w.settle()
	w.wants("1/1: forbidden")
}

func TestReceivedAtNeverFalls(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1, 2))
	w.settle()
	w.now = 500
	w.push(1, tx(3))
	w.settle()
	w.now = 2000
	w.push(1, tx(4))
	w.settle()
	for i, want := range []uint64{1000, 1000, 1000, 2000} {
		if got := w.log.records[i].ReceivedAt; got != want {
			t.Errorf("record %d was received at %d, want %d", i+1, got, want)
		}
	}
}
