package storetest

import (
	"context"
	"errors"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/wasmclient"
)

func testEmpty(s *suite) {
	h := s.open()
	loaded := h.load()
	if len(loaded.Spaces) != 0 || loaded.Meta.Epoch != 0 || loaded.Meta.Server != [32]byte{} || len(loaded.Meta.Since) != 0 {
		s.Fatalf("a new store has %+v", loaded)
	}
	f := newFeed(1)
	snapshot := h.refresh(f.id)
	if snapshot.Known || snapshot.Space != f.id || snapshot.Version != 0 || snapshot.Info.Position != space.Start(f.id) {
		s.Fatalf("a space that is not there is read as %+v", snapshot)
	}
	if n := len(h.outbox(f.id)) + len(h.rejected(f.id)) + len(h.read(f.id, 0, 10, 1000)) + len(h.readBefore(f.id, 10, 10, 1000)); n != 0 {
		s.Fatalf("a space that is not there has %d rows", n)
	}
	if result := h.commit(replica.Commit{}); result.Epoch != 0 || len(result.Keys) != 0 {
		s.Fatalf("an empty commit gives %+v", result)
	}
}

func testIdentity(s *suite) {
	a, b := s.open(), s.open()
	first, second := a.load().Meta, b.load().Meta
	if first.Identity != s.Identity || second.Identity != s.Identity {
		s.Fatalf("the store is of %q and %q, want %q", first.Identity, second.Identity, s.Identity)
	}
	if first.Session == (replica.Meta{}).Session || first.Session != second.Session {
		s.Fatalf("two handles have sessions %x and %x", first.Session, second.Session)
	}
	a.Close()
	b.Close()
	if again := s.open().load().Meta; again.Session != first.Session || again.Identity != s.Identity {
		s.Fatalf("opened again: %+v, want %+v", again, first)
	}
}

func testClosed(s *suite) {
	h, other := s.open(), s.open()
	if err := h.Close(); err != nil {
		s.Fatalf("close: %v", err)
	}
	if err := h.Close(); err != nil {
		s.Fatalf("close again: %v", err)
	}
	f := newFeed(1)
	errs := map[string]error{}
	_, errs["Load"] = h.Load(s.ctx)
	_, errs["RaiseEpoch"] = h.RaiseEpoch(s.ctx)
	_, errs["Commit"] = h.Commit(s.ctx, &replica.Commit{Spaces: []replica.SpaceCommit{f.insert()}})
	_, errs["Refresh"] = h.Refresh(s.ctx, f.id)
	_, errs["Outbox"] = h.Outbox(s.ctx, f.id, 0, 1000)
	_, errs["Rejected"] = h.Rejected(s.ctx, f.id)
	_, errs["Read"] = h.Read(s.ctx, f.id, 0, 10, 1000)
	_, errs["ReadBefore"] = h.ReadBefore(s.ctx, f.id, 10, 10, 1000)
	_, errs["Module"] = h.Module(s.ctx, digest.Of(nil))
	errs["PutModule"] = h.PutModule(s.ctx, digest.Of(nil), nil)
	_, errs["Checkpoint"] = h.Checkpoint(s.ctx, f.id)
	_, errs["CheckpointPages"] = h.CheckpointPages(s.ctx, f.id, nil)
	errs["PutCheckpoint"] = h.PutCheckpoint(s.ctx, f.id, &replica.Checkpoint{})
	for method, err := range errs {
		if !errors.Is(err, wasmclient.ErrStoreClosed) {
			s.Errorf("%s after Close: %v", method, err)
		}
	}
	other.change(f.insert()) // closing one handle closes no other
	if len(other.load().Spaces) != 1 || other.load().Meta.Epoch != 0 {
		s.Errorf("what a closed store was asked is written: %+v", other.load())
	}
}

func testCancelled(s *suite) {
	h := s.open()
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	f := newFeed(1)
	if _, err := h.Commit(ctx, &replica.Commit{Spaces: []replica.SpaceCommit{f.insert()}}); !errors.Is(err, context.Canceled) {
		s.Fatalf("commit with a cancelled context: %v", err)
	}
	if _, err := h.RaiseEpoch(ctx); !errors.Is(err, context.Canceled) {
		s.Fatalf("raise the epoch with a cancelled context: %v", err)
	}
	if loaded := h.load(); len(loaded.Spaces) != 0 || loaded.Meta.Epoch != 0 {
		s.Fatalf("a cancelled call left %+v", loaded)
	}
}

// busy leaves a store with something of everything.
func (s *suite) busy(h handle) *feed {
	s.Helper()
	f := newFeed(1)
	server := [32]byte(digest.Of([]byte("server")))
	part := f.insert()
	part.Append = []replica.OutboxRow{f.row(10), f.row(0, 20), f.row(30), f.row(40), f.row(50)}
	ids := idsOf(part.Append)
	h.commit(replica.Commit{Strict: true, Server: &server, Since: []byte("since"), Spaces: []replica.SpaceCommit{part}})
	position := space.Position{Seq: 77, Chain: digest.Of([]byte("chain")), Seal: digest.Of([]byte("seal"))}
	h.change(replica.SpaceCommit{
		Space: f.id, Withdraw: ids[:1],
		Mark: []replica.Mark{
			{ID: ids[1], State: replica.Accepted, Position: position},
			{ID: ids[2], State: replica.Waiting, Code: 41, Reason: "too fast", RetryAt: 99},
		},
		Reject: []replica.Rejection{{ID: ids[3], Code: 81, Reason: "no", By: "server"}},
	})
	h.change(f.runOf(3, 100), newFeed(2).insert())
	h.change(f.runOf(1, 0))
	return f
}

func idsOf(rows []replica.OutboxRow) []space.ULID {
	ids := make([]space.ULID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	return ids
}

func testReopen(s *suite) {
	h := s.open()
	f := s.busy(h)
	try(h.RaiseEpoch(s.ctx)).or(s, "raise the epoch")
	before := h.everything()
	if err := h.Close(); err != nil {
		s.Fatalf("close: %v", err)
	}
	h = s.open()
	if after := h.everything(); after != before {
		s.Fatalf("reopened the store has\n%s\nwant\n%s", after, before)
	}
	last := h.outbox(f.id)
	if keys := h.change(f.append(f.row(1))).Keys; keys[0] <= last[len(last)-1].Key {
		s.Fatalf("a reopened store gives key %d after %d", keys[0], last[len(last)-1].Key)
	}
}

// unchanged commits c, which must come back stale, and checks that this left no trace.
func (s *suite) unchanged(h handle, c replica.Commit) {
	s.Helper()
	before := h.everything()
	if result := h.stale(c); result.Epoch != h.load().Meta.Epoch {
		s.Fatalf("a stale commit tells epoch %d, the store has %d", result.Epoch, h.load().Meta.Epoch)
	}
	if after := h.everything(); after != before {
		s.Fatalf("a stale commit changed\n%s\nto\n%s", before, after)
	}
}

func testFence(s *suite) {
	h := s.open()
	f := s.busy(h)
	h.commit(replica.Commit{Fenced: true, Epoch: 0, Spaces: []replica.SpaceCommit{f.append(f.row(1))}})
	try(h.RaiseEpoch(s.ctx)).or(s, "raise the epoch")
	part := f.runOf(1, 5)
	part.Append = []replica.OutboxRow{f.row(1)}
	part.Discard = []space.ULID{h.rejected(f.id)[0].ID}
	for _, epoch := range []uint64{0, 2, 1 << 60} {
		s.unchanged(h, replica.Commit{Fenced: true, Epoch: epoch, Since: []byte("later"), Spaces: []replica.SpaceCommit{newFeed(3).insert(), part}})
	}
	if result := h.commit(replica.Commit{Fenced: true, Epoch: 1, Spaces: []replica.SpaceCommit{part}}); result.Epoch != 1 {
		s.Fatalf("a commit tells epoch %d, want 1", result.Epoch)
	}
	h.commit(replica.Commit{Epoch: 9, Spaces: []replica.SpaceCommit{f.append(f.row(1))}}) // not fenced: Epoch is not read
}

func testRaiseEpoch(s *suite) {
	old, young := s.open(), s.open()
	f := s.busy(old)
	for want := uint64(1); want <= 3; want++ {
		loaded := try(young.RaiseEpoch(s.ctx)).or(s, "raise the epoch")
		if loaded.Meta.Epoch != want || len(loaded.Spaces) != 2 || loaded.Meta.Identity != s.Identity || string(loaded.Meta.Since) != "since" {
			s.Fatalf("raising the epoch to %d loaded %+v", want, loaded)
		}
		if epoch := old.refresh(f.id).Epoch; epoch != want {
			s.Fatalf("the other handle reads epoch %d, want %d", epoch, want)
		}
		s.unchanged(old, replica.Commit{Fenced: true, Epoch: want - 1, Spaces: []replica.SpaceCommit{f.append(f.row(1))}})
	}
	young.commit(replica.Commit{Fenced: true, Epoch: 3, Spaces: []replica.SpaceCommit{f.runOf(2, 5)}})
}

func testExpect(s *suite) {
	h := s.open()
	f := newFeed(1)
	first := f.runOf(3, 10) // of a space without a row, whose position is its start
	h.change(first)
	s.unchanged(h, replica.Commit{Spaces: []replica.SpaceCommit{first}})
	second := f.runOf(2, 10)
	for _, position := range []space.Position{
		space.Start(f.id),
		{Seq: 2, Chain: second.Expect.Chain},
		{Seq: 3, Chain: digest.Of(nil)},
		{Seq: 4, Chain: second.Expect.Chain},
		{Seq: 0, Chain: digest.Of(nil)},
	} {
		s.unchanged(h, replica.Commit{Spaces: []replica.SpaceCommit{{Space: f.id, Expect: &position, Append: []replica.OutboxRow{f.row(1)}}}})
	}
	unknown := newFeed(2)
	wrong := space.Position{Chain: digest.Of(nil)}
	s.unchanged(h, replica.Commit{Spaces: []replica.SpaceCommit{{Space: unknown.id, Expect: &wrong, Insert: &unknown.info}}})
	second.Expect.Seal = digest.Of([]byte("another seal")) // a seal is no part of the condition
	h.change(second)
	if got := h.refresh(f.id).Info.Position; got != f.position {
		s.Fatalf("the position is %v, want %v", got, f.position)
	}
	f.wantRecords(s, h.read(f.id, 0, 10, 1<<20), 1, 5)
}

func testExpectOneOfMany(s *suite) {
	h := s.open()
	a, b, c := newFeed(1), newFeed(2), newFeed(3)
	h.change(a.runOf(1, 10), b.runOf(1, 10), c.runOf(1, 10))
	again, wrong := a.runOf(1, 10), b.runOf(1, 10)
	wrong.Expect.Chain = digest.Of(nil)
	s.unchanged(h, replica.Commit{Spaces: []replica.SpaceCommit{again, wrong, c.insert()}})
	s.unchanged(h, replica.Commit{Spaces: []replica.SpaceCommit{wrong, again}})
	s.unchanged(h, replica.Commit{Spaces: []replica.SpaceCommit{newFeed(4).insert(), again, wrong}})
	h.change(again)
}

func testServer(s *suite) {
	h := s.open()
	one, two := [32]byte{1}, [32]byte{2}
	f := newFeed(1)
	h.commit(replica.Commit{Server: &one})
	h.commit(replica.Commit{Server: &one, Since: []byte("a")})
	s.unchanged(h, replica.Commit{Server: &two, Since: []byte("b"), Spaces: []replica.SpaceCommit{f.insert()}})
	if meta := h.load().Meta; meta.Server != one || string(meta.Since) != "a" {
		s.Fatalf("meta is %+v", meta)
	}
	h.commit(replica.Commit{Spaces: []replica.SpaceCommit{f.insert()}})
	if meta := h.load().Meta; meta.Server != one || string(meta.Since) != "a" {
		s.Fatalf("a commit that names neither changed server or cursor: %+v", meta)
	}
	h.commit(replica.Commit{Since: []byte{}})
	if meta := h.load().Meta; len(meta.Since) != 0 {
		s.Fatalf("an empty cursor did not replace %q", meta.Since)
	}
}

func testBadCommits(s *suite) {
	h := s.open()
	f := s.busy(h)
	before := h.everything()
	wrong := f.row(1)
	wrong.ID = space.ULID{1}
	hole := f.runOf(2, 1)
	hole.First++
	for name, part := range map[string]replica.SpaceCommit{
		"another id than the transaction's": f.append(wrong),
		"no id":                             f.append(replica.OutboxRow{}),
		"a mark that withdraws":             {Space: f.id, Mark: []replica.Mark{{ID: wrong.ID, State: replica.Withdrawn}}},
		"a hole before the records":         hole,
	} {
		if _, err := h.Commit(s.ctx, &replica.Commit{Spaces: []replica.SpaceCommit{newFeed(9).insert(), part}}); err == nil {
			s.Errorf("%s: no error", name)
		}
	}
	if _, err := h.Commit(s.ctx, &replica.Commit{Spaces: []replica.SpaceCommit{f.insert(), f.insert()}}); err == nil {
		s.Error("a space named twice: no error")
	}
	if after := h.everything(); after != before {
		s.Fatalf("commits that failed changed\n%s\nto\n%s", before, after)
	}
}

func testAbort(s *suite) {
	if s.AbortNext == nil {
		s.Skip("this store cannot be made to abort")
	}
	h := s.open()
	f := s.busy(h)
	before := h.everything()
	part := f.runOf(40, 300)
	part.Append = []replica.OutboxRow{f.row(5)}
	part.Settle = append(part.Settle, h.outbox(f.id)[0].ID)
	c := replica.Commit{Since: []byte("later"), Spaces: []replica.SpaceCommit{part, newFeed(7).insert()}}
	s.AbortNext()
	if _, err := h.Commit(s.ctx, &c); err == nil {
		s.Fatal("the commit did not abort")
	}
	if after := h.everything(); after != before {
		s.Fatalf("an aborted commit changed\n%s\nto\n%s", before, after)
	}
	h.commit(c)
	if position := h.refresh(f.id).Info.Position; position != f.position {
		s.Fatalf("the position is %v, want %v", position, f.position)
	}
	f.wantRecords(s, h.read(f.id, 0, 100, 1<<20), 1, 44)
}

func testFull(s *suite) {
	if s.FullNext == nil {
		s.Skip("this store cannot be made full")
	}
	h := s.open()
	f := s.busy(h)
	before := h.everything()
	c := replica.Commit{Spaces: []replica.SpaceCommit{f.runOf(3, 300)}}
	s.FullNext()
	if _, err := h.Commit(s.ctx, &c); !errors.Is(err, wasmclient.ErrFull) {
		s.Fatalf("commit on a full device: %v", err)
	}
	if after := h.everything(); after != before {
		s.Fatalf("a commit without room changed\n%s\nto\n%s", before, after)
	}
	h.commit(c)

	before = h.everything()
	h.commit(replica.Commit{Room: 300_000})
	s.FullNext()
	if _, err := h.Commit(s.ctx, &replica.Commit{Room: 1}); !errors.Is(err, wasmclient.ErrFull) {
		s.Fatalf("looked for room on a full device: %v", err)
	}
	if after := h.everything(); after != before {
		s.Fatalf("looking for room changed\n%s\nto\n%s", before, after)
	}
}

func testNewer(s *suite) {
	if s.MakeNewer == nil {
		s.Skip("this store has no versions")
	}
	h := s.open()
	f := s.busy(h)
	kept := makeCheckpoint(1, "a")
	h.putCheckpoint(f.id, kept)
	s.MakeNewer()
	before := h.everything()
	for range 2 {
		_, err := h.Commit(s.ctx, &replica.Commit{Spaces: []replica.SpaceCommit{f.append(f.row(1))}})
		if !errors.Is(err, wasmclient.ErrNewerStore) {
			s.Fatalf("commit to a newer store: %v", err)
		}
		if _, err := h.RaiseEpoch(s.ctx); !errors.Is(err, wasmclient.ErrNewerStore) {
			s.Fatalf("raise the epoch of a newer store: %v", err)
		}
		if err := h.PutModule(s.ctx, digest.Of([]byte("module")), []byte("module")); !errors.Is(err, wasmclient.ErrNewerStore) {
			s.Fatalf("put a module into a newer store: %v", err)
		}
		if err := h.PutCheckpoint(s.ctx, f.id, makeCheckpoint(2, "b")); !errors.Is(err, wasmclient.ErrNewerStore) {
			s.Fatalf("put a checkpoint into a newer store: %v", err)
		}
		h = s.open() // reading is allowed still
		h.wantCheckpoint(f.id, kept)
	}
	if after := h.everything(); after != before || strings.Contains(after, "epoch 1") {
		s.Fatalf("a newer store was changed from\n%s\nto\n%s", before, after)
	}
}
