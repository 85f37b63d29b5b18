package replica_test

import (
	"errors"
	"math"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// expiring is a story whose space "a" has six records here, of which the server says that some have expired.
type expiring struct {
	*distant
}

func expired(t *testing.T) *expiring {
	s := &expiring{&distant{tabled: checkpoints(t)}}
	for n := range byte(6) {
		s.stores("a", tx(n+1))
	}
	s.receive(s.events("a", 1, 6))
	s.caughtUp("a")
	s.settle()
	s.told()
	return s
}

// expires lets the server say that records have expired, and what tables there are.
func (s *expiring) expires(upto, tables uint64) {
	s.t.Helper()
	row := wire.SpaceRow{Genesis: genesisOf("a"), Module: genesisOf("a").Module, CheckpointSeq: tables, Checkpoint: s.rootAt(s.spot(tables)), Expired: upto}
	s.receive(&wire.Spaces{Rows: []wire.SpaceRow{row}})
	s.settle()
}

func (s *expiring) spot(seq uint64) space.Position { return s.story.at("a", seq) }

// keeps has the store keep tables of its own.
func (s *expiring) keeps(seq uint64) {
	s.t.Helper()
	s.store.PutCheckpoint(idOf("a"), &replica.Checkpoint{Seq: seq, Root: s.blobs[s.rootAt(s.spot(seq))]})
}

// passes lets time pass, in which the server was heard.
func (s *expiring) passes(ms uint64) {
	s.now += ms
	s.receive(&wire.Pong{})
}

// weigh answers how far may be dropped, if that is asked, and reports whether it is.
func (s *expiring) weigh() bool {
	s.t.Helper()
	if len(s.weighs) == 0 {
		return false
	}
	s.step(s.weighed())
	return true
}

// weighed makes the answer.
func (s *expiring) weighed() replica.DropWeighed {
	ask := s.weighs[0]
	s.weighs = s.weighs[1:]
	return replica.WeighDrop(ask, math.MaxUint64, func(after uint64) ([]space.Record, error) {
		return s.store.Read(ask.Space, after, 2, 1<<20), nil
	}, func() (*replica.Checkpoint, error) { return s.store.Checkpoint(ask.Space), nil })
}

// wantsDropped checks up to where records were dropped, in the store and in memory.
func (s *expiring) wantsDropped(upto uint64) {
	s.t.Helper()
	for _, info := range []replica.SpaceInfo{s.info(), s.store.Refresh(idOf("a")).Info} {
		whole := upto == 0 && len(info.Holes) == 0
		if !whole && (len(info.Holes) != 1 || info.Holes[0] != replica.Hole{After: space.Start(idOf("a")), Until: noSeal(s.spot(upto))}) || info.Dropped != upto || info.Position.Seq != 6 {
			s.t.Fatalf("dropped up to %d: %+v at %d, want %d", info.Dropped, info.Holes, info.Position.Seq, upto)
		}
	}
	if records := s.store.Read(idOf("a"), 0, 100, 1<<20); len(records) != int(6-upto) {
		s.t.Fatalf("%d records are stored", len(records))
	}
}

func noSeal(p space.Position) space.Position { return space.Position{Seq: p.Seq, Chain: p.Chain} }

// What has expired is dropped a while after the server told so, once tables are in the store that were made of it. A hole is left, which
// is no reason to ask the server, and who reads is told why there is nothing.
func TestDrop(t *testing.T) {
	s := expired(t)
	s.keeps(5)
	s.expires(3, 5)
	s.passes(19_999)
	if s.weigh() {
		t.Fatal("it is looked at too soon")
	}
	s.passes(1)
	if !s.weigh() || len(s.commits) != 1 {
		t.Fatal("nothing is dropped")
	}
	s.wantsDropped(0)
	s.settle()
	s.wantsDropped(3)
	s.expires(3, 5)
	s.passes(4_000_000)
	if s.weigh() {
		t.Fatal("it is looked at again")
	}
	s.expires(5, 5) // the rest of it stays until there is more behind it
	s.told()
	s.passes(20_000)
	s.weigh()
	s.settle()
	s.wantsDropped(5)

	s.step(replica.Disconnected{Reason: "cut"})
	s.notices = nil
	s.step(replica.WantHistory{Space: idOf("a"), Seq: 2})
	if failed, ok := s.notices[len(s.notices)-1].(replica.HistoryFailed); !ok || failed.Code != wire.CodeResumeGone {
		t.Fatalf("who reads without a network is told %+v", s.notices)
	}
	s.reload()
	s.wantsDropped(5)
}

// Without tables that were made of it nothing is dropped: the server's are fetched first.
func TestDropWaitsForTables(t *testing.T) {
	s := expired(t)
	s.keeps(4) // of before the record by which the others expired
	s.expires(3, 5)
	s.passes(20_000)
	s.weigh()
	s.stands(replica.CheckpointFetching)
	s.wantsDropped(0)
	s.arrives()
	s.passes(20_000)
	s.weigh()
	s.settle()
	s.wantsDropped(3)
}

// Nothing is dropped where the server says of no checkpoint, or of one below what expired, nor before the records up to the checkpoint are here.
func TestDropOfWhatIsNotHere(t *testing.T) {
	for tables, want := range map[uint64]uint64{0: 0, 2: 0, 3: 3} {
		s := expired(t)
		s.keeps(6)
		s.expires(3, tables)
		s.passes(20_000)
		s.weigh()
		s.settle()
		s.wantsDropped(want)
	}
	s := expired(t)
	s.keeps(6)
	s.stores("a", tx(7))
	s.expires(3, 7)
	s.passes(20_000)
	if s.weigh() {
		t.Fatal("it is looked at before the record by which it expired is here")
	}
}

// Another tab leads, or has gone over to another branch, when what is to be dropped is stored: nothing is. The next connection
// tells what has expired of the branch that the server has.
func TestDropMeetsAnotherTab(t *testing.T) {
	s := expired(t)
	s.keeps(5)
	s.expires(3, 5)
	s.passes(20_000)
	s.weigh()
	s.store.RaiseEpoch()
	s.settle()
	if !s.down {
		t.Fatal("the tab leads on")
	}
	s.wantsDropped(0)

	s = expired(t)
	s.keeps(5)
	s.expires(3, 5)
	s.passes(20_000)
	s.weigh()
	s.forksElsewhere(4)
	s.commit()
	s.settle()
	if info := s.store.Refresh(idOf("a")).Info; info.Dropped > 0 || len(info.Holes) > 0 {
		t.Fatalf("records of another branch were dropped: %+v", info)
	}

	s = expired(t) // it is heard of in between
	s.keeps(5)
	s.expires(3, 5)
	s.passes(20_000)
	answer := s.weighed()
	s.forksElsewhere(2)
	s.step(replica.Hint{Space: idOf("a"), Version: s.store.Refresh(idOf("a")).Version})
	s.settle()
	s.receive(&wire.CaughtUp{Space: idOf("a"), Position: s.info().Position})
	s.settle()
	s.step(answer)
	if len(s.commits) > 0 {
		t.Fatal("what was looked at of another branch is dropped")
	}
}

// forksElsewhere has another tab go over to a branch that leaves the log behind a record.
func (s *expiring) forksElsewhere(after uint64) {
	s.t.Helper()
	from, at := s.store.Refresh(idOf("a")).Info.Position, s.spot(after)
	other := tx(90, 91, 92, 93)
	records := other.Records(after+1, 7)
	to := space.Position{Seq: after + 4, Chain: space.Fold(at.Chain, records), Seal: space.ID{9}}
	var encoded []byte
	for i := range records {
		encoded = wire.AppendRecord(encoded, &records[i])
	}
	result, err := s.store.Commit(&replica.Commit{Spaces: []replica.SpaceCommit{{Space: idOf("a"), Expect: &from, Fork: &at, Records: encoded, First: after + 1, Last: after + 4, Position: &to}}})
	if err != nil || result.Stale {
		s.t.Fatal(result, err)
	}
}

// The tab crashes before or after what it drops is stored: either it is there or it is not, and the next one goes on.
func TestDropAndCrash(t *testing.T) {
	for _, stored := range []bool{false, true} {
		s := expired(t)
		s.keeps(5)
		s.expires(3, 5)
		s.passes(20_000)
		s.weigh()
		c := s.store1()
		if stored {
			s.store.Commit(c.Commit)
		}
		s.reload()
		s.wantsDropped(map[bool]uint64{true: 3}[stored])
		s.online()
		s.caughtUp("a")
		s.expires(4, 5)
		s.passes(20_000)
		s.weigh()
		s.settle()
		s.wantsDropped(4)
	}
}

// A commit that fails is given up for a while, and keeps nothing else from being stored; what follows is.
func TestDropFails(t *testing.T) {
	s := expired(t)
	s.keeps(5)
	s.expires(3, 5)
	s.passes(20_000)
	s.weigh()
	s.step(replica.Committed{ID: s.store1().ID, Err: errors.New("the disk fails")})
	if len(s.commits) > 0 {
		t.Fatal("it is tried again at once")
	}
	s.passes(20_000)
	s.weigh()
	s.settle()
	s.wantsDropped(3)
}

// While something is fetched for who reads, is damaged, or waits for its records, nothing is dropped.
func TestDropWaits(t *testing.T) {
	s := expired(t)
	s.keeps(5)
	s.expires(2, 5)
	s.passes(20_000)
	s.weigh()
	s.settle()
	s.wantsDropped(2)
	s.step(replica.WantHistory{Space: idOf("a"), Seq: 1})
	fetch := s.sent[len(s.sent)-1].(*wire.Fetch)
	s.expires(4, 5)
	s.passes(20_000)
	if s.weigh() {
		t.Fatal("a page is on its way")
	}
	s.receive(&wire.Refused{Ref: fetch.Ref, Code: wire.CodeResumeGone})
	s.passes(20_000)
	s.step(replica.Damaged{Space: idOf("a")}) // between question and answer
	s.settle()
	if !s.weigh() || len(s.commits) > 0 {
		t.Fatal("something is damaged")
	}
	s.wantsDropped(2)
	s.finds("a", 6, false)
	s.settle()
	s.passes(20_000)
	s.weigh()
	s.settle()
	s.wantsDropped(4)
}

// What the server received lately stays, up to the end of a transaction; so does what cannot be read.
func TestWeighDrop(t *testing.T) {
	id := idOf("a")
	var records []space.Record
	for n := range byte(4) { // 1 and 2, 3 and 4, ...
		transaction := tx(2*n+1, 2*n+2)
		records = append(records, transaction.Records(uint64(2*n+1), 1000+uint64(n))...)
	}
	read := func(after uint64) ([]space.Record, error) { return records[after:min(after+3, 8)], nil }
	kept := func() (*replica.Checkpoint, error) { return &replica.Checkpoint{Seq: 7}, nil }
	for _, c := range []struct{ last, tables, before, want uint64 }{
		{8, 7, 999, 0}, {8, 7, 1000, 2}, {8, 7, 1001, 4}, {8, 7, 5000, 8}, {6, 7, 5000, 6}, {5, 7, 5000, 4}, {8, 8, 5000, 0},
	} {
		w := replica.WeighDrop(replica.WeighDropEffect{Ref: 3, Space: id, From: space.Start(id), Last: c.last, Tables: c.tables}, c.before, read, kept)
		if w.Err != nil || w.Ref != 3 || (w.To == nil) != (c.want == 0) || w.To != nil && *w.To != (space.Position{Seq: c.want, Chain: space.Fold(id, records[:c.want])}) || w.Bare != (c.tables > 7) {
			t.Errorf("%+v: %+v", c, w)
		}
	}
	ask := replica.WeighDropEffect{Space: id, From: space.Start(id), Last: 8, Tables: 7}
	failed := errors.New("the disk fails")
	if w := replica.WeighDrop(ask, 5000, func(uint64) ([]space.Record, error) { return nil, failed }, kept); w.Err != failed {
		t.Errorf("%+v", w)
	}
	if w := replica.WeighDrop(ask, 5000, read, func() (*replica.Checkpoint, error) { return nil, failed }); w.Err != failed {
		t.Errorf("%+v", w)
	}
}

// A transaction whose row is in the outbox still waits for its records, and is told by them.
func TestDropLeavesWhatWaits(t *testing.T) {
	s := expired(t)
	s.keeps(5)
	row := replica.OutboxRow{Entry: replica.Entry{ID: eventID(2)}, Transaction: tx(2)}
	mark := replica.Mark{ID: eventID(2), State: replica.Accepted, Position: s.spot(2)}
	if _, err := s.store.Commit(&replica.Commit{Spaces: []replica.SpaceCommit{{Space: idOf("a"), Append: []replica.OutboxRow{row}, Mark: []replica.Mark{mark}}}}); err != nil {
		t.Fatal(err)
	}
	s.step(replica.Hint{Space: idOf("a"), Version: s.store.Refresh(idOf("a")).Version})
	s.settle()
	s.expires(3, 5)
	s.passes(20_000)
	if s.weigh() {
		t.Fatal("it is looked at")
	}
	s.answer()
	s.settle()
	s.wantsOutbox("a", "")
	s.passes(20_000)
	s.weigh()
	s.settle()
	s.wantsDropped(3)
}

// What a server said on an earlier connection, before it was restored perhaps, says nothing of what the one has that is there now.
func TestDropOfAnEarlierConnection(t *testing.T) {
	s := expired(t)
	s.keeps(5)
	s.expires(3, 5)
	s.passes(20_000)
	if len(s.weighs) != 1 {
		t.Fatal("it is not looked at")
	}
	s.reconnect()
	s.caughtUp("a")
	s.settle()
	s.weigh()
	s.passes(20_000)
	if s.weigh() || len(s.commits) > 0 {
		t.Fatal("what expired on an earlier connection is dropped")
	}
	s.wantsDropped(0)
}
