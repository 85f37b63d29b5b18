package syncserver_test

import (
	"testing"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// before returns a log as one was when a space of it ended at a record.
func before(t *testing.T, log syncserver.Log, id space.ID, seq uint64) syncserver.Log {
	t.Helper()
	restored := memlog.New()
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"server/key", "server/seal"} {
		value, err := log.Key(t.Context(), key)
		fail(err)
		_, err = restored.CompareAndSet(t.Context(), key, nil, value)
		fail(err)
	}
	names, err := log.Blobs(t.Context(), digest.Digest{}, 100)
	fail(err)
	for _, name := range names {
		content, err := log.Blob(t.Context(), name)
		fail(err)
		fail(restored.PutBlob(t.Context(), name, content))
	}
	genesis, signature, err := log.Genesis(t.Context(), id)
	fail(err)
	_, err = restored.Create(t.Context(), &genesis, signature)
	fail(err)
	records, err := log.Read(t.Context(), id, 0, int(seq), 1<<30)
	fail(err)
	head := space.Head{Seq: seq, Chain: space.Fold(id, records), ReceivedAt: records[len(records)-1].ReceivedAt}
	fail(restored.Append(t.Context(), id, space.Head{Chain: id}, records, head))
	return restored
}

// TestReclaimExpiry: an expiry that is judged anew is refused: by the numbers that it names others would lose what they have written
// in those places since.
func TestReclaimExpiry(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil), tokens)
	ann := r.dial("ann")
	d, _ := builtin.ByName("members")
	id := ann.createOf(upload(t, log, builtin.Bytes(d)))
	note := func() space.Transaction { return privateEvent("ann", "note", "text", "x") }
	base := ann.append(id, note())
	restored := before(t, log, id, base.Seq)
	end := ann.append(id, note(), note())
	ann.subscribe(id, base)
	held, at := ann.follow(id, base, end.Seq)
	ann.push(wire.Push{Space: id, Transactions: []space.Transaction{expires("ann", end.Seq)}})
	more, at := ann.follow(id, at, end.Seq+2)
	r.stop()

	r = start(t, restored, runsModules(t, restored, nil), tokens)
	ann = r.dial("ann")
	ann.append(id, note(), note(), note())
	ann.send(&wire.Reclaim{Ref: 1, Space: id, Base: base, End: at, Records: append(held, more...)})
	answer := await[*wire.Reclaimed](ann)
	for i, want := range []wire.Code{0, 0, wire.CodeReservedType, wire.CodeReservedType} { // the last is the server's word behind it
		if v := answer.Verdicts[i]; v.Code != want || (v.Kind == wire.Accepted) != (want == 0) {
			t.Errorf("verdict %d: %+v", i, v)
		}
	}
	head, err := restored.Head(t.Context(), id)
	if err != nil || head.Seq != base.Seq+3+2 {
		t.Errorf("the log ends at %d (%v)", head.Seq, err)
	}
	if answer.End.Seq != at.Seq {
		t.Errorf("the next piece begins at %+v", answer.End)
	}
}

// TestExpiryFromAnotherBranch: an expiry that waited on a device while the log went on without what it had lost names what its author had seen: it is
// refused, and what others have written since in those places stays. One that does not say what its author had seen means the places.
func TestExpiryFromAnotherBranch(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil), tokens)
	ann := r.dial("ann")
	d, _ := builtin.ByName("members")
	id := ann.createOf(upload(t, log, builtin.Bytes(d)))
	note := func() space.Transaction { return privateEvent("ann", "note", "text", "x") }
	base := ann.append(id, note())
	restored := before(t, log, id, base.Seq)
	end := ann.append(id, note(), note())
	r.stop()

	r = start(t, restored, runsModules(t, restored, nil), tokens)
	ann = r.dial("ann")
	here := ann.append(id, note(), note(), note())
	seen := func(upto uint64, at space.Position) space.Transaction {
		e := expires("ann", upto)
		e.Events[0].Payload = module.ExpireSeen(e.Events[0].Payload, &at)
		return e
	}
	past := here
	past.Seq += 10
	for what, e := range map[string]space.Transaction{
		"of the branch that was left": seen(2, end), "of a branch behind the head": seen(2, past), "of another space": seen(2, space.Start(space.ID{1})),
	} {
		if v := ann.verdict(id, e); v.Kind != wire.Rejected || v.Code != wire.CodeDiverged {
			t.Errorf("%s: %+v", what, v)
		}
	}
	for upto, e := range []space.Transaction{1: seen(1, space.Start(id)), 2: seen(2, base), 3: seen(3, here), 4: expires("ann", 4)} {
		if upto == 0 {
			continue
		}
		if v := ann.verdict(id, e); v.Kind != wire.Accepted {
			t.Errorf("up to %d: %+v", upto, v)
		}
	}
}

// TestRetentionWaitsForWhatIsLost: while a log waits for what it lost nothing is written to it, by the server as little as by others: it
// could not be taken back as it was.
func TestRetentionWaitsForWhatIsLost(t *testing.T) {
	keeps := func(c *syncserver.Config) { c.Retention.Records = 10 }
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil), tokens)
	ann := r.dial("ann")
	d, _ := builtin.ByName("members")
	id := ann.createOf(upload(t, log, builtin.Bytes(d)))
	var base, end space.Position
	for range 50 {
		base = ann.append(id, privateEvent("ann", "note", "text", "x"))
	}
	restored := before(t, log, id, base.Seq)
	end = ann.append(id, privateEvent("ann", "note", "text", "x"))
	ann.subscribe(id, base)
	held, _ := ann.follow(id, base, end.Seq)
	r.stop()

	if err := syncserver.MarkRestored(t.Context(), restored, time.Now()); err != nil {
		t.Fatal(err)
	}
	r = start(t, restored, runsModules(t, restored, nil), tokens, keeps)
	if err := r.server.Retain(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	ann = r.dial("ann")
	ann.send(&wire.Adopt{Ref: 1, Space: id, Base: base, End: end, Records: held})
	if answer := await[*wire.Adopted](ann); answer.Outcome != wire.AdoptTaken {
		t.Errorf("%+v: the log ends at %d, and the records follow on %d", answer, r.head(id), base.Seq)
	}
}
