package syncserver_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// restored is a server that is put back from a backup, and what it stored in a space of ann's after that was made.
type restored struct {
	*rig
	log     *memlog.Log
	id      space.ID
	genesis *space.Genesis
	records []space.Record   // all that there were
	ends    []space.Position // after each transaction, sealed; the first is the start
	kept    int              // so many transactions are in the backup
}

// restore makes six transactions of two records, the first kept of which are in the backup; 0: the backup does not know the space.
func restore(t *testing.T, kept int, window time.Duration, configure ...func(*syncserver.Config)) *restored {
	log := memlog.New()
	r := start(t, log)
	ann := r.dial("ann")
	w := &restored{genesis: ann.genesis(), kept: kept, log: log.Clone()}
	w.id = w.genesis.ID()
	ann.pushed(wire.Push{Space: w.id, Genesis: w.genesis})
	w.ends = []space.Position{space.Start(w.id)}
	for n := 1; n <= 6; n++ {
		author := r.dial([]string{"ann", "bob"}[n%2])
		w.ends = append(w.ends, author.append(w.id, author.transaction(2)))
		if n == kept {
			w.log = log.Clone()
		}
	}
	var err error
	if w.records, err = log.Read(t.Context(), w.id, 0, 100, 1<<20); err != nil {
		t.Fatal(err)
	}
	r.stop()
	if err := syncserver.MarkRestored(t.Context(), w.log, time.Now()); err != nil {
		t.Fatal(err)
	}
	w.start(t, window, configure...)
	return w
}

func (w *restored) start(t *testing.T, window time.Duration, configure ...func(*syncserver.Config)) {
	w.rig = start(t, w.log, append(configure, func(c *syncserver.Config) { c.RecoveryWindow = window })...)
}

// tail returns what leads from one transaction's end to another's.
func (w *restored) tail(from, to int) *wire.Adopt {
	return &wire.Adopt{Ref: 1, Space: w.id, Base: w.ends[from], End: w.ends[to], Records: slices.Clone(w.records[2*from : 2*to])}
}

func (p *peer) adopts(a *wire.Adopt) *wire.Adopted {
	p.t.Helper()
	p.send(a)
	return await[*wire.Adopted](p)
}

func (w *restored) reclaim(base space.Position, from, to int) *wire.Reclaim {
	return &wire.Reclaim{Ref: 2, Space: w.id, Base: base, End: w.ends[to], Records: slices.Clone(w.records[2*from : 2*to])}
}

// has checks that the log is what it was up to a transaction's end, byte for byte.
func (w *restored) has(to int) {
	w.t.Helper()
	head, err := w.log.Head(w.t.Context(), w.id)
	if to == 0 && err == syncserver.ErrNoSpace {
		return
	}
	if err != nil || head.Seq != w.ends[to].Seq || head.Chain != w.ends[to].Chain {
		w.t.Fatalf("the log ends at %d, want %d (%v)", head.Seq, w.ends[to].Seq, err)
	}
	if to == 0 {
		return
	}
	records, err := w.log.Read(w.t.Context(), w.id, 0, 100, 1<<20)
	if err != nil || fmt.Sprint(records) != fmt.Sprint(w.records[:2*to]) {
		w.t.Fatalf("the log has %v, want %v (%v)", records, w.records[:2*to], err)
	}
}

// TestAdopt: somebody who has what a restored server lacks brings it back, piece by piece from its end. Nobody writes meanwhile, nor for
// as long as somebody else may have more.
func TestAdopt(t *testing.T) {
	for _, kept := range []int{0, 2, 5} {
		t.Run(fmt.Sprint("kept ", kept), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := restore(t, kept, time.Hour)
				cy, eve := w.dial("cy"), w.dial("eve")
				recovering := func() {
					t.Helper()
					push := wire.Push{Space: w.id, Resume: true, Transactions: []space.Transaction{cy.transaction(1)}}
					if kept == 0 {
						push.Genesis = w.genesis
					}
					v := cy.pushed(push).Verdicts[0]
					if v.Kind != wire.Deferred || v.Code != wire.CodeRecovering || v.RetryAfterMS == 0 {
						t.Fatalf("pushed while the server waits: %+v", v)
					}
				}
				recovering()
				eve.send(&wire.Locate{Ref: 9, Space: w.id, Position: w.ends[6], Points: w.ends[:6]})
				if l := await[*wire.Located](eve); l.Ref != 9 || l.Common.Seq != w.ends[kept].Seq || l.Common.Chain != w.ends[kept].Chain {
					t.Fatalf("the server has it up to %+v", l)
				}
				for from := 5; from > kept; from-- {
					a := eve.adopts(w.tail(from, from+1))
					if a.Outcome != wire.AdoptEarlier || a.Base != w.ends[from] {
						t.Fatalf("piece %d: %+v", from, a)
					}
					w.has(kept)
				}
				first := w.tail(kept, kept+1)
				first.Genesis = w.genesis
				if a := eve.adopts(first); a.Outcome != wire.AdoptTaken {
					t.Fatalf("%+v", a)
				}
				w.has(kept + 1)
				recovering()
				for n := 0; n < 2; n++ { // the second time there is nothing to take
					want := map[bool]wire.AdoptOutcome{true: wire.AdoptTaken, false: wire.AdoptLook}[n == 0 && kept < 5]
					if a := eve.adopts(w.tail(min(kept+1, 5), 6)); a.Outcome != want {
						t.Fatalf("the rest: %+v, want %v", a, want)
					}
				}
				w.has(6)
				recovering()
				cy.subscribe(w.id, w.ends[6])
				if c := await[*wire.CaughtUp](cy); c.Position != w.ends[6] {
					t.Fatalf("caught up at %+v", c.Position)
				}
				time.Sleep(time.Hour)
				cy = w.dial("cy")
				if v := cy.verdict(w.id, cy.transaction(1)); v.Kind != wire.Accepted || v.Position.Seq != 13 {
					t.Fatalf("when the time is over: %+v", v)
				}
				if at, err := syncserver.Restored(t.Context(), w.log); err != nil || !at.IsZero() {
					t.Fatalf("the log is marked as restored at %v still (%v)", at, err)
				}
				w.stop()
			})
		})
	}
}

// TestAdoptUnmarked: that a log was restored by hand shows when somebody has more. Then pushes wait until that is back, and no longer.
func TestAdoptUnmarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := restore(t, 2, time.Hour)
		w.stop()
		if _, err := w.log.CompareAndSet(t.Context(), "server/restored", must(w.log.Key(t.Context(), "server/restored")), nil); err != nil {
			t.Fatal(err)
		}
		w.start(t, time.Hour)
		cy, eve := w.dial("cy"), w.dial("eve")
		eve.subscribe(w.id, w.ends[4])
		if e := await[*wire.Ended](eve); e.Code != wire.CodeRecovering {
			t.Fatalf("%+v", e)
		}
		if v := cy.verdict(w.id, cy.transaction(1)); v.Code != wire.CodeRecovering {
			t.Fatalf("%+v", v)
		}
		if a := eve.adopts(w.tail(1, 3)); a.Outcome != wire.AdoptTaken { // what is here of it is passed over
			t.Fatalf("%+v", a)
		}
		if v := cy.verdict(w.id, cy.transaction(1)); v.Code != wire.CodeRecovering {
			t.Fatalf("before all is back that is known to be missing: %+v", v)
		}
		if a := eve.adopts(w.tail(3, 4)); a.Outcome != wire.AdoptTaken {
			t.Fatalf("%+v", a)
		}
		w.has(4)
		if v := cy.verdict(w.id, cy.transaction(1)); v.Kind != wire.Accepted || v.Position.Seq != 9 {
			t.Fatalf("%+v", v)
		}
		w.stop()
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestAdoptByTwo: two who bring the same at once, and a server that is stopped in the middle, make one log.
func TestAdoptByTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := restore(t, 1, time.Hour)
		ann, bob := w.dial("ann"), w.dial("bob")
		ann.send(w.tail(1, 3))
		bob.send(w.tail(1, 4))
		ann.send(w.tail(3, 6))
		bob.send(w.tail(4, 6))
		taken := 0
		for _, p := range []*peer{ann, bob, ann, bob} {
			if a := await[*wire.Adopted](p); a.Outcome == wire.AdoptTaken {
				taken++
			} else if a.Outcome == wire.AdoptLeft {
				t.Errorf("the same history is told to be another one: %+v", a)
			}
		}
		if taken == 0 {
			t.Error("nobody brought anything")
		}
		w.stop()
		w.start(t, time.Hour)
		eve := w.dial("eve")
		eve.send(&wire.Locate{Ref: 1, Space: w.id, Position: w.ends[6], Points: w.ends[:6]})
		at := await[*wire.Located](eve).Common
		if at.Seq < 6 || at.Seq > 12 {
			t.Fatalf("the log has %d records", at.Seq)
		}
		if at.Seq < 12 {
			eve.adopts(w.tail(int(at.Seq/2), 6))
		}
		w.has(6)
		w.stop()
	})
}

// TestAdoptRefuses: what is not shown to have been there is refused with its code, whoever brings it, and nothing is stored.
func TestAdoptRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := restore(t, 2, time.Hour)
		eve := w.dial("eve")
		change := func(f func(r *space.Record)) func(*wire.Adopt) {
			return func(a *wire.Adopt) { f(&a.Records[1]) }
		}
		for name, test := range map[string]struct {
			code   wire.Code
			change func(*wire.Adopt)
		}{
			"a payload":            {wire.CodeUnproven, change(func(r *space.Record) { r.Payload = []byte("mine") })},
			"an author":            {wire.CodeUnproven, change(func(r *space.Record) { r.Author = "eve" })},
			"a type":               {wire.CodeUnproven, change(func(r *space.Record) { r.Type = "mine" })},
			"a time":               {wire.CodeUnproven, change(func(r *space.Record) { r.ReceivedAt++ })},
			"an id":                {wire.CodeUnproven, change(func(r *space.Record) { r.ID[3]++ })},
			"an api":               {wire.CodeUnproven, change(func(r *space.Record) { r.API = "9.9.9" })},
			"a version":            {wire.CodeUnproven, change(func(r *space.Record) { r.ClientVersion = "9" })},
			"a number":             {wire.CodeUnproven, change(func(r *space.Record) { r.Seq++ })},
			"a count":              {wire.CodeUnproven, change(func(r *space.Record) { r.Index, r.Count = 0, 1 })},
			"another tombstone":    {wire.CodeUnproven, change(func(r *space.Record) { r.Payload = nil; *r = r.Tombstone() })},
			"a record is missing":  {wire.CodeUnproven, func(a *wire.Adopt) { a.Records = a.Records[:len(a.Records)-1] }},
			"the first is missing": {wire.CodeUnproven, func(a *wire.Adopt) { a.Records, a.Base.Seq = a.Records[1:], a.Base.Seq+1 }},
			"none":                 {wire.CodeUnproven, func(a *wire.Adopt) { a.Records = nil }},
			"another base":         {wire.CodeUnproven, func(a *wire.Adopt) { a.Base.Chain[0]++ }},
			"two in another order": {wire.CodeUnproven, func(a *wire.Adopt) { a.Records[0], a.Records[1] = a.Records[1], a.Records[0] }},
			"no seal":              {wire.CodeDiverged, func(a *wire.Adopt) { a.End.Seal = space.Position{}.Seal }},
			"another seal":         {wire.CodeDiverged, func(a *wire.Adopt) { a.End.Seal = w.ends[5].Seal }},
			"a seal of another space": {wire.CodeDiverged, func(a *wire.Adopt) {
				other := w.dial("ann")
				a.Space = other.genesis().ID()
			}},
			"a history of one's own": {wire.CodeDiverged, func(a *wire.Adopt) {
				a.Records[1].Payload = []byte("mine")
				a.End.Chain = space.Fold(a.Base.Chain, a.Records)
			}},
		} {
			a := w.tail(2, 6)
			test.change(a)
			for _, frame := range []wire.Frame{a, &wire.Reclaim{Ref: 1, Space: a.Space, Base: a.Base, End: a.End, Records: a.Records}} {
				eve.send(frame)
				if refused := await[*wire.Refused](eve); refused.Ref != 1 || refused.Code != test.code {
					t.Errorf("%T with %s: %+v, want %v", frame, name, refused, test.code)
				}
			}
			w.has(2)
		}
		nobody := w.dialWith(hello("eve"))
		nobody.send(&wire.Locate{Ref: 1, Space: w.id, Position: w.ends[6], Points: make([]space.Position, wire.MaxPoints+1)})
		if refused := await[*wire.Refused](nobody); refused.Code != wire.CodeTooMany {
			t.Errorf("too many points: %+v", refused)
		}
		nobody.send(&wire.Locate{Ref: 1, Space: w.id, Position: w.ends[6], Points: []space.Position{w.ends[2], w.ends[1]}})
		nobody.fails(wire.CodeBadFrame)
		if a := eve.adopts(w.tail(2, 6)); a.Outcome != wire.AdoptTaken {
			t.Errorf("whoever brings it as it was: %+v", a)
		}
		w.has(6)
		w.stop()
	})
}

// TestAdoptGenesis: a space that is not there comes with what it was made from, as its creator signed it, and is charged to nobody.
func TestAdoptGenesis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := restore(t, 0, time.Hour, func(c *syncserver.Config) {
			c.Creation.Identity, c.Quotas.Spaces = syncserver.Rate{Burst: 0, PerHour: 1}, 1
		})
		eve := w.dial("eve")
		for name, change := range map[string]func(*wire.Adopt){
			"none":                 func(a *wire.Adopt) { a.Genesis = nil },
			"another":              func(a *wire.Adopt) { g := *a.Genesis; g.Params = []byte{1}; a.Genesis = &g },
			"a signature too much": func(a *wire.Adopt) { a.GenesisSignature = bytes.Repeat([]byte{1}, 64) },
		} {
			a := w.tail(0, 6)
			a.Genesis = w.genesis
			change(a)
			eve.send(a)
			want := wire.CodeBadGenesis
			if name == "none" {
				want = wire.CodeUnknownSpace
			}
			if refused := await[*wire.Refused](eve); refused.Code != want {
				t.Errorf("%s: %+v", name, refused)
			}
			w.has(0)
		}
		a := w.tail(0, 6)
		a.Genesis = w.genesis
		if a := eve.adopts(a); a.Outcome != wire.AdoptTaken {
			t.Fatalf("%+v", a)
		}
		w.has(6)
		w.stop()
	})
}

// TestAdoptBeforeSetup: a server without an administrator makes no space, also of what it once had.
func TestAdoptBeforeSetup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := restore(t, 0, time.Hour)
		w.stop()
		w.start(t, time.Hour, runsModules(t, w.log, nil), tokens, func(c *syncserver.Config) { c.RequireSetup = true })
		eve := w.dial("eve")
		a := w.tail(0, 6)
		a.Genesis = w.genesis
		eve.send(a)
		if refused := await[*wire.Refused](eve); refused.Code != wire.CodeSetupRequired {
			t.Errorf("%+v", refused)
		}
		if _, err := w.log.Head(t.Context(), w.id); err != syncserver.ErrNoSpace {
			t.Errorf("the space was made: %v", err)
		}
		w.stop()
	})
}

// TestAdoptLimits: what is brought back counts as what is pushed does while it is unanswered, and no message is over the limit.
func TestAdoptLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		size := 0
		w := restore(t, 2, time.Hour)
		size = len(wire.Append(nil, w.tail(2, 6)))
		for _, more := range []int{0, -1} {
			w.stop()
			w.start(t, time.Hour, func(c *syncserver.Config) { c.Limits.PushWindow = uint64(size + more) })
			p := w.dial("eve")
			p.send(w.tail(2, 6))
			if more < 0 {
				p.fails(wire.CodeWindowExceeded)
				w.has(6) // from before
			} else if a := await[*wire.Adopted](p); a.Outcome != wire.AdoptTaken {
				t.Fatalf("%+v", a)
			}
		}
		w.stop()
	})
}

// TestOldSeals: a position that was sealed under an earlier secret counts.
func TestOldSeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := restore(t, 2, time.Hour)
		w.stop()
		seal := must(w.log.Key(t.Context(), "server/seal"))
		must(w.log.CompareAndSet(t.Context(), "server/seal", seal, bytes.Repeat([]byte{9}, 32)))
		w.start(t, time.Hour)
		eve := w.dial("eve")
		eve.send(w.tail(2, 6))
		if refused := await[*wire.Refused](eve); refused.Code != wire.CodeDiverged {
			t.Fatalf("under another secret: %+v", refused)
		}
		w.stop()
		must(w.log.CompareAndSet(t.Context(), "server/seal/old/1", nil, seal))
		w.start(t, time.Hour)
		if a := w.dial("eve").adopts(w.tail(2, 6)); a.Outcome != wire.AdoptTaken || a.Base.Seal == w.ends[2].Seal {
			t.Fatalf("under one of before: %+v", a)
		}
		w.has(6)
		w.stop()
	})
}

// TestReclaim: where the log went on without what it lost, that is judged anew: in its order, under its authors, once.
func TestReclaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := restore(t, 2, time.Millisecond)
		time.Sleep(time.Second)
		ann, cy, eve := w.dial("ann"), w.dial("cy"), w.dial("eve")
		other := cy.append(w.id, cy.transaction(2))
		again := space.TransactionOf(w.records[10:12]) // its author has the last one still
		if again.Author != "ann" {
			t.Fatal(again.Author)
		}
		ann.append(w.id, again)

		if a := eve.adopts(w.tail(2, 6)); a.Outcome != wire.AdoptLeft {
			t.Fatalf("the log went on: %+v", a)
		}
		base := unsealed(w.ends[2])
		for name, r := range map[string]*wire.Reclaim{
			"behind where the log left": w.reclaim(unsealed(w.ends[4]), 4, 6),
			"a position past the head":  w.reclaim(unsealed(w.ends[5]), 5, 6),
		} {
			eve.send(r)
			if refused := await[*wire.Refused](eve); refused.Code != wire.CodeUnproven {
				t.Errorf("%s: %+v", name, refused)
			}
		}
		eve.send(w.reclaim(base, 2, 4))
		first := await[*wire.Reclaimed](eve)
		if len(first.Verdicts) != 2 || first.Verdicts[0].Kind != wire.Accepted || first.Verdicts[1].Kind != wire.Accepted || first.End.Seq != w.ends[4].Seq {
			t.Fatalf("%+v", first)
		}
		eve.send(w.reclaim(first.End, 4, 6))
		second := await[*wire.Reclaimed](eve)
		if len(second.Verdicts) != 2 || second.Verdicts[0].Kind != wire.Accepted || second.Verdicts[1].Kind != wire.Duplicate {
			t.Fatalf("%+v", second)
		}
		records := must(w.log.Read(t.Context(), w.id, 0, 100, 1<<20))
		var authors string
		for i := range records {
			if records[i].Seq != uint64(i+1) {
				t.Fatalf("record %d is %d", i+1, records[i].Seq)
			}
			if records[i].Index == 0 {
				authors += records[i].Author + " "
			}
		}
		if want := "bob ann cy ann bob ann bob "; authors != want {
			t.Errorf("by %s, want %s", authors, want)
		}
		if at := must(w.log.ChainBefore(t.Context(), w.id, 6)); at.Chain != other.Chain || space.Fold(w.id, records) != must(w.log.Head(t.Context(), w.id)).Chain {
			t.Error("what was there has changed")
		}
		eve.send(w.reclaim(base, 2, 6))
		if again := await[*wire.Reclaimed](eve); slices.ContainsFunc(again.Verdicts, func(v wire.Verdict) bool { return v.Kind != wire.Duplicate }) {
			t.Errorf("once more: %+v", again)
		}
		w.stop()
	})
}

func unsealed(p space.Position) space.Position { return space.Position{Seq: p.Seq, Chain: p.Chain} }

// TestReclaimBehindAHole: who has the end of what was lost, and nobody has the beginning, brings that when the wait is over: until then somebody might have all. Who
// brings the beginning later does so still, and nothing is there twice.
func TestReclaimBehindAHole(t *testing.T) {
	for _, kept := range []int{0, 2} {
		synctest.Test(t, func(t *testing.T) {
			w := restore(t, kept, time.Minute)
			eve := w.dial("eve")
			a := w.tail(4, 6)
			if a.Genesis = w.genesis; kept > 0 {
				a.Genesis = nil
			}
			if a := eve.adopts(a); a.Outcome != wire.AdoptEarlier || a.Base != w.ends[4] {
				t.Fatalf("%+v", a)
			}
			r := w.reclaim(w.ends[4], 4, 6)
			eve.send(r)
			if r := await[*wire.Reclaimed](eve); r.Verdicts[0].Code != wire.CodeRecovering || r.End.Seq != 0 {
				t.Fatalf("while the server waits: %+v", r)
			}
			w.has(kept)
			time.Sleep(2 * time.Minute)
			eve = w.dial("eve")
			eve.send(r)
			if r := await[*wire.Reclaimed](eve); r.Verdicts[0].Kind != wire.Accepted || r.Verdicts[1].Kind != wire.Accepted || r.End != w.ends[6] {
				t.Fatalf("when the wait is over: %+v", r)
			}
			bob := w.dial("bob")
			bob.send(w.reclaim(w.ends[kept], kept, 6))
			for n, v := range await[*wire.Reclaimed](bob).Verdicts {
				if want := map[bool]wire.VerdictKind{true: wire.Accepted, false: wire.Duplicate}[n < 4-kept]; v.Kind != want {
					t.Errorf("transaction %d of who has all: %+v", n, v)
				}
			}
			if head := must(w.log.Head(t.Context(), w.id)); head.Seq != w.ends[6].Seq {
				t.Errorf("the log ends at %d", head.Seq)
			}
			w.stop()
		})
	}
}

// TestReclaimByItselfWaits: that a tail was lost shows by its end alone, where nobody asked before; the wait for what leads there begins with that.
func TestReclaimByItselfWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := restore(t, 2, time.Hour)
		w.stop()
		must(w.log.CompareAndSet(t.Context(), "server/restored", must(w.log.Key(t.Context(), "server/restored")), nil))
		w.start(t, time.Hour)
		eve := w.dial("eve")
		eve.send(w.reclaim(w.ends[4], 4, 6))
		if r := await[*wire.Reclaimed](eve); r.Verdicts[0].Code != wire.CodeRecovering {
			t.Fatalf("%+v", r)
		}
		if a := w.dial("bob").adopts(w.tail(2, 6)); a.Outcome != wire.AdoptTaken {
			t.Fatalf("who has all: %+v", a)
		}
		w.has(6)
		w.stop()
	})
}

// TestReclaimTombstones: what has expired of a tail is not taken as it was, since no tables can be made of it, and what did not is judged anew.
func TestReclaimTombstones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := restore(t, 2, time.Minute)
		for i := 4; i < 7; i++ { // the third transaction, and half of the fourth
			w.records[i] = w.records[i].Tombstone()
		}
		eve := w.dial("eve")
		if a := eve.adopts(w.tail(2, 6)); a.Outcome != wire.AdoptLeft {
			t.Fatalf("%+v", a)
		}
		w.has(2)
		time.Sleep(2 * time.Minute)
		eve = w.dial("eve")
		eve.send(w.reclaim(w.ends[2], 2, 6))
		for n, v := range await[*wire.Reclaimed](eve).Verdicts {
			if n < 2 && (v.Kind != wire.Rejected || v.Code != wire.CodeResumeGone) || n >= 2 && v.Kind != wire.Accepted {
				t.Errorf("transaction %d: %+v", n, v)
			}
		}
		if head := must(w.log.Head(t.Context(), w.id)); head.Seq != 8 {
			t.Errorf("the log ends at %d", head.Seq)
		}
		w.stop()
	})
}

// TestDeadBranch: a tail of a branch that was left long ago does not end the wait for what was lost of the newest one. That is over when the log
// is found to have left it, too.
func TestDeadBranch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := restore(t, 2, time.Millisecond)
		time.Sleep(time.Second)
		ann := w.dial("ann")
		first := ann.append(w.id, ann.transaction(2))
		backup := w.log.Clone()
		lost := ann.append(w.id, ann.transaction(2))
		records := must(w.log.Read(t.Context(), w.id, 4, 100, 1<<20))
		w.stop()

		w.log = backup
		w.start(t, time.Hour)
		ann, eve := w.dial("ann"), w.dial("eve")
		ann.send(&wire.Locate{Ref: 1, Space: w.id, Position: lost})
		if f := await[*wire.Located](ann); f.RecoveringMS == 0 {
			t.Fatalf("%+v", f)
		}
		waits := func(what string) {
			t.Helper()
			if v := ann.pushed(wire.Push{Space: w.id, Resume: true, Transactions: []space.Transaction{ann.transaction(1)}}).Verdicts[0]; v.Code != wire.CodeRecovering {
				t.Errorf("%s: %+v", what, v)
			}
		}
		waits("before")
		eve.send(&wire.Locate{Ref: 1, Space: w.id, Position: w.ends[6]})
		await[*wire.Located](eve)
		for from := 5; from >= 3; from-- {
			if a := eve.adopts(w.tail(from, from+1)); (a.Outcome == wire.AdoptLeft) != (from == 3) {
				t.Fatalf("piece %d: %+v", from, a)
			}
			waits("a piece of the dead branch was shown")
		}
		if a := eve.adopts(&wire.Adopt{Ref: 1, Space: w.id, Base: first, End: lost, Records: records[2:]}); a.Outcome != wire.AdoptTaken {
			t.Fatalf("the tail that is waited for: %+v", a)
		}
		if v := ann.pushed(wire.Push{Space: w.id, Resume: true, Transactions: []space.Transaction{ann.transaction(1)}}).Verdicts[0]; v.Kind != wire.Accepted {
			t.Errorf("when it is back: %+v", v)
		}
		w.stop()
	})
}

// TestReclaimByTodaysRules: what would be refused today is, and what is put off says so.
func TestReclaimByTodaysRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := restore(t, 2, time.Minute, func(c *syncserver.Config) { c.Limits.TransactionEvents = 1 })
		cy := w.dial("cy")
		cy.send(w.reclaim(w.ends[2], 2, 4))
		if r := await[*wire.Reclaimed](cy); r.Verdicts[0].Code != wire.CodeRecovering || r.Verdicts[1].Kind != wire.Deferred || r.End.Seq != 0 {
			t.Fatalf("while the server waits for it: %+v", r)
		}
		time.Sleep(2 * time.Minute)
		cy = w.dial("cy")
		cy.append(w.id, cy.transaction(1))
		cy.send(w.reclaim(w.ends[2], 2, 4))
		if r := await[*wire.Reclaimed](cy); r.Verdicts[0].Kind != wire.Rejected || r.Verdicts[0].Code != wire.CodeTooLarge || r.Verdicts[1].Code != wire.CodeTooLarge || r.End.Seq == 0 {
			t.Fatalf("by the limits of today: %+v", r)
		}
		w.stop()
	})
}
