package storetest

import (
	"math/rand/v2"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient/memstore"
)

// testRandom gives a store and the model the same random commits, from two handles, and compares results at once
// and contents now and then.
func testRandom(s *suite) {
	random := s.random()
	steps := 400
	if soak() {
		steps = 3000 // the spaces grow, and comparing takes as long as they are
	}
	handles := []handle{s.open(), s.open()}
	model := memstore.New(memstore.Config{Identity: s.Identity, Session: handles[0].load().Meta.Session})
	g := &generator{Rand: random, holes: func(f *feed) []replica.Hole { return try(model.Refresh(s.ctx, f.id)).or(s, "refresh").Info.Holes }}
	for n := range uint64(4) {
		g.feeds = append(g.feeds, newFeed(n))
	}
	for step := range steps {
		i := random.IntN(len(handles))
		if random.IntN(40) == 0 { // a tab closes and another one opens
			handles[i].Close()
			handles[i] = s.open()
		}
		h := handles[i]
		if random.IntN(50) == 0 {
			g.epoch = try(h.RaiseEpoch(s.ctx)).or(s, "raise the epoch").Meta.Epoch
			try(model.RaiseEpoch(s.ctx)).or(s, "raise the model's epoch")
		}
		c := g.commit()
		got := try(h.Commit(s.ctx, c)).or(s, "commit")
		want := try(model.Commit(s.ctx, c)).or(s, "commit to the model")
		if got.Stale != want.Stale || got.Epoch != want.Epoch || !slices.Equal(got.Versions, want.Versions) || len(got.Keys) != len(want.Keys) {
			s.Fatalf("step %d: the result is %+v, want %+v", step, got, want)
		}
		for k := range got.Keys {
			if (got.Keys[k] == 0) != (want.Keys[k] == 0) {
				s.Fatalf("step %d: the keys are %v, want %v", step, got.Keys, want.Keys)
			}
		}
		g.done(c, want.Stale)
		if step%50 == 49 || step == steps-1 {
			s.compare(h, model, step)
		}
		if random.IntN(10) == 0 {
			s.compareChanges(h, model, random.Uint64N(uint64(step)+1), step)
		}
		if f := g.feed(); random.IntN(4) == 0 {
			c := g.checkpoint(f)
			if err := h.PutCheckpoint(s.ctx, f.id, c); err != nil {
				s.Fatalf("step %d: put a checkpoint: %v", step, err)
			}
			if err := model.PutCheckpoint(s.ctx, f.id, c); err != nil {
				s.Fatal(err)
			}
		}
		if f := g.feed(); random.IntN(4) == 0 {
			from, limit := random.Uint64N(f.position.Seq+2), 1+random.IntN(50)
			if a, b := h.read(f.id, from, limit, 1<<30), try(model.Read(s.ctx, f.id, from, limit, 1<<30)).or(s, "read"); recordsDigest(a) != recordsDigest(b) {
				s.Fatalf("step %d: reading %d after %d gives %d records, want %d", step, limit, from, len(a), len(b))
			}
			if a, b := h.readBefore(f.id, from, limit, 1<<30), try(model.ReadBefore(s.ctx, f.id, from, limit, 1<<30)).or(s, "read"); recordsDigest(a) != recordsDigest(b) {
				s.Fatalf("step %d: reading %d before %d gives %d records, want %d", step, limit, from, len(a), len(b))
			}
		}
	}
}

func (s *suite) compare(h handle, model *memstore.Store, step int) {
	s.Helper()
	if got, want := h.everything(), describe(s, model); got != want {
		s.Fatalf("after step %d the store has\n%s\nwant\n%s", step, got, want)
	}
}

// compareChanges compares what changed after a number: the store may name more, with their right versions.
func (s *suite) compareChanges(h handle, model *memstore.Store, after uint64, step int) {
	s.Helper()
	got := try(h.Changes(s.ctx, after)).or(s, "read changes")
	want := try(model.Changes(s.ctx, after)).or(s, "read the model's changes")
	if got.Number != want.Number || got.Epoch != want.Epoch {
		s.Fatalf("after step %d the last change is %d of epoch %d, want %d of %d", step, got.Number, got.Epoch, want.Number, want.Epoch)
	}
	for _, c := range want.Spaces {
		if !slices.Contains(got.Spaces, c) {
			s.Fatalf("after step %d the changes after %d are %v, want %v", step, after, got.Spaces, want.Spaces)
		}
	}
}

// generator makes random commits that could happen, and some that come too late.
type generator struct {
	*rand.Rand
	feeds []*feed
	holes func(*feed) []replica.Hole // that a space has
	epoch uint64
	ids   []space.ULID // of rows appended lately, in any space
	rows  []replica.OutboxRow
}

func (g *generator) feed() *feed { return g.feeds[g.IntN(len(g.feeds))] }

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func (g *generator) commit() *replica.Commit {
	c := &replica.Commit{Strict: g.chance(20)}
	if g.chance(40) {
		c.Fenced, c.Epoch = true, g.epoch
		if g.chance(15) {
			c.Epoch--
		}
	}
	if g.chance(5) {
		c.Server = &[32]byte{1}
		if g.chance(20) {
			c.Server = &[32]byte{2}
		}
	}
	if g.chance(10) {
		c.Since = []byte{byte(g.Uint32())}
	}
	for _, n := range g.Perm(len(g.feeds))[:1+g.IntN(2)] {
		c.Spaces = append(c.Spaces, g.part(g.feeds[n]))
	}
	return c
}

func (g *generator) part(f *feed) replica.SpaceCommit {
	part := replica.SpaceCommit{Space: f.id, SetDeleted: g.chance(1)}
	if n := len(f.records); n > 1 && g.chance(4) {
		if seq := 1 + g.IntN(n-1); f.records[seq-1].Last() {
			return f.drop(uint64(seq))
		}
	}
	if g.chance(50) {
		g.records(f, &part)
	}
	if n := len(g.holes(f)); n > 0 && g.chance(30) {
		hole := g.holes(f)[g.IntN(n)]
		first := hole.After.Seq + 1 + g.Uint64N(hole.Until.Seq-hole.After.Seq)
		first -= uint64(f.records[first-1].Index) // pages are whole transactions
		part.Page = f.page(first, hole.Until.Seq).Page
		if g.chance(10) {
			part.Page.Until.Chain = digest.Of(nil) // stale
		}
	}
	if g.chance(15) {
		info := replica.SpaceInfo{Created: g.chance(30)}
		if g.chance(50) {
			info.Genesis, info.GenesisSignature = f.info.Genesis, f.info.GenesisSignature
		}
		part.Insert = &info
	}
	if g.chance(5) {
		created := g.chance(50)
		part.SetCreated = &created
	}
	if g.chance(5) {
		pinned := g.chance(50)
		part.SetPinned = &pinned
	}
	if g.chance(5) {
		part.SetModule = digest.Of([]byte{byte(g.Uint32())})
	}
	for g.chance(40) {
		if row := f.row(g.IntN(300), g.IntN(50)); len(g.rows) == 0 || g.chance(85) {
			part.Append = append(part.Append, row)
		} else {
			part.Append = append(part.Append, g.rows[g.IntN(len(g.rows))])
		}
	}
	for g.chance(10) {
		row := f.row(g.IntN(300))
		if len(g.rows) > 0 && g.chance(40) {
			row = g.rows[g.IntN(len(g.rows))]
		}
		part.Refuse = append(part.Refuse, replica.RejectedRow{
			ID: row.ID, Transaction: row.Transaction, AppendedAt: row.AppendedAt, Code: 86, Reason: "no", By: "preview",
		})
	}
	part.Retry = g.some(10)
	part.Withdraw = g.some(20)
	part.DropWithdrawn = g.some(15)
	for _, id := range g.some(30) {
		mark := replica.Mark{ID: id, State: replica.OutboxState(g.IntN(2)), RetryAt: g.Uint64N(100)}
		if mark.State == replica.Accepted {
			mark.Position = space.Position{Seq: g.Uint64N(100), Chain: f.id}
		} else {
			mark.Code, mark.Reason = wire.Code(g.Uint64N(100)), "reason"
		}
		part.Mark = append(part.Mark, mark)
	}
	for _, id := range g.some(15) {
		part.Reject = append(part.Reject, replica.Rejection{ID: id, Code: 81, Reason: "no", By: "server"})
	}
	part.Discard = g.some(5)
	for g.chance(5) {
		row := f.row(g.IntN(300))
		if len(g.rows) > 0 && g.chance(40) {
			row = g.rows[g.IntN(len(g.rows))]
		}
		g.ids = append(g.ids, row.ID)
		part.Lost = append(part.Lost, replica.LostRow{ID: row.ID, Transaction: row.Transaction, ReceivedAt: g.Uint64N(1 << 40), Code: 81, Reason: "no", By: "server"})
	}
	part.DiscardLost = g.some(5)
	if g.chance(40) {
		part.Settle = append(part.Settle, g.some(50)...)
	}
	return part
}

// records adds a run to part: most follow on what the space has, some on what it had, some leave a hole.
func (g *generator) records(f *feed, part *replica.SpaceCommit) {
	position, records := f.position, len(f.records)
	if g.chance(3) {
		skipped := f.runOf(1+g.IntN(3), 1)
		part.Expect, part.Position = skipped.Expect, skipped.Position
		return
	}
	var transactions []space.Transaction
	size := 1 + g.IntN(400)
	for range 1 + g.IntN(1+g.IntN(30)) {
		transactions = append(transactions, f.transaction(size, g.IntN(20)))
	}
	run := f.run(transactions...)
	part.Expect, part.Records, part.First, part.Last, part.Position, part.Settle =
		run.Expect, run.Records, run.First, run.Last, run.Position, run.Settle
	if g.chance(10) {
		part.Expect = &space.Position{Seq: run.Expect.Seq, Chain: digest.Of(nil)} // another branch: stale
		f.position, f.records = position, f.records[:records]
	}
}

// checkpoint makes a checkpoint of a few pages, which others have too, mostly of a position that the space has.
func (g *generator) checkpoint(f *feed) *replica.Checkpoint {
	var pages []string
	for range g.IntN(6) {
		pages = append(pages, string(rune('a'+g.IntN(12))))
	}
	return makeCheckpoint(g.Uint64N(f.position.Seq+2), pages...)
}

// done takes note of what was committed; what came back stale never happened.
func (g *generator) done(c *replica.Commit, stale bool) {
	for i := range c.Spaces {
		part := &c.Spaces[i]
		g.rows = append(g.rows, part.Append...)
		g.ids = append(g.ids, idsOf(part.Append)...)
		for j := range part.Refuse {
			g.ids = append(g.ids, part.Refuse[j].ID)
		}
		if !stale || part.Expect == nil {
			continue
		}
		for _, f := range g.feeds {
			if f.id == part.Space && f.position != *part.Expect && part.Expect.Chain != digest.Of(nil) {
				f.records = f.records[:part.Expect.Seq]
				f.position = *part.Expect
			}
		}
	}
	g.rows = g.rows[max(0, len(g.rows)-40):]
	g.ids = g.ids[max(0, len(g.ids)-40):]
}

// some returns a few ids of rows made lately, in percent of the cases any.
func (g *generator) some(percent int) (ids []space.ULID) {
	for len(g.ids) > 0 && g.chance(percent) {
		ids = append(ids, g.ids[g.IntN(len(g.ids))])
	}
	return ids
}
