package replica_test

import (
	"fmt"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// distant is a story whose space "a" has one record here, and whose server has a checkpoint that is so far ahead that the log before it is
// left out. What the log is up to there nobody looks at.
type distant struct {
	*tabled
	at    space.Position // what is here
	place space.Position // of the checkpoint
	root  digest.Digest

	before digest.Digest // the chain before the last records that are left out
	last   []space.Record
}

func farAway(t *testing.T, ahead uint64) *distant {
	s := &distant{tabled: checkpoints(t)}
	s.reconnect() // since when it was not caught up with
	s.stores("a", tx(41))
	s.receive(s.events("a", 1, 1))
	s.settle()
	s.at = s.core.Space(idOf("a")).Info.Position
	s.place = space.Position{Seq: s.at.Seq + ahead, Chain: digest.Of([]byte("far"))}
	s.root = s.rootAt(s.place)
	s.told()
	return s
}

// rootAt makes a checkpoint without tables.
func (s *distant) rootAt(at space.Position) digest.Digest {
	s.t.Helper()
	set, err := tables.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	root, err := set.AppendCheckpoint(nil, &tables.Checkpoint{Space: idOf("a"), Seq: at.Seq, Chain: at.Chain, Module: module.Open}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.blobs[digest.Of(root)] = root
	return digest.Of(root)
}

func (s *distant) tell() { s.t.Helper(); s.row(s.place.Seq, s.root) }

// arrives lets the checkpoint come and be stored.
func (s *distant) arrives() {
	s.t.Helper()
	s.serve(10)
	s.keep(nil)
}

func (s *distant) info() replica.SpaceInfo { return s.core.Space(idOf("a")).Info }

func (s *distant) isAt(p space.Position) {
	s.t.Helper()
	stored := s.store.Refresh(idOf("a")).Info
	for _, info := range []replica.SpaceInfo{s.info(), stored} {
		if info.Position.Seq != p.Seq || info.Position.Chain != p.Chain {
			s.t.Fatalf("the space is at %v, want %v", info.Position, p)
		}
	}
}

// The log before the checkpoint is left out, and goes on from there.
func TestBoot(t *testing.T) {
	s := farAway(t, 10_000)
	s.tell()
	s.arrives()
	s.settle()
	s.isAt(s.place)
	if holes := s.info().Holes; len(holes) != 1 || holes[0].After.Seq != s.at.Seq || holes[0].After.Chain != s.at.Chain || holes[0].Until != s.place {
		t.Fatalf("holes: %+v", holes)
	}
	subscribed := ""
	for _, f := range s.sent {
		if _, ok := f.(*wire.Subscribe); ok {
			subscribed += text(f)
		}
	}
	if want := fmt.Sprintf("subscribe a@%d", s.place.Seq); subscribed != want {
		t.Errorf("sent %q, want %q", subscribed, want)
	}
	sealed := s.place
	sealed.Seal = digest.Of([]byte("seal"))
	s.receive(&wire.CaughtUp{Space: idOf("a"), Position: sealed})
	s.settle()
	if got := s.store.Refresh(idOf("a")).Info; got.Position != sealed || len(got.Holes) != 1 {
		t.Errorf("with the server's seal it is at %+v", got)
	}
}

// What is less far ahead is not left out.
func TestNotFarEnough(t *testing.T) {
	s := farAway(t, 9_999)
	s.tell()
	if n := len(s.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// Nothing is left out before the server has shown that it has what is here: that may be all that is left of what it lost.
func TestBootWaitsForTheServer(t *testing.T) {
	s := farAway(t, 10_000)
	s.reconnect()
	s.requests()
	s.asks = nil
	s.tell()
	if n := len(s.requests()); n != 0 {
		t.Fatalf("%d requests", n)
	}
	s.stores("a", tx(42))
	s.receive(s.events("a", 2, 2))
	s.settle()
	s.told()
	s.stores("a", tx(43))
	s.receive(s.events("a", 3, 3))
	s.place.Seq += 2
	s.settle()
	if n := len(s.requests()); n != 0 {
		t.Fatalf("%d requests: it is less far by now", n)
	}
	s = farAway(t, 10_005)
	s.reconnect()
	s.requests()
	s.asks = nil
	s.tell()
	if n := len(s.requests()); n != 0 {
		t.Fatalf("%d requests", n)
	}
	s.stores("a", tx(42))
	s.receive(s.events("a", 2, 2))
	if n := len(s.requests()); n != 1 {
		t.Fatalf("%d requests", n)
	}
	s.arrives()
	s.settle()
	s.isAt(s.place)
}

// The commit that leaves records out is one of who leads, and of the position that it saw.
func TestBootIsFenced(t *testing.T) {
	for _, name := range []string{"another tab leads", "another tab has stored more"} {
		t.Run(name, func(t *testing.T) {
			s := farAway(t, 10_000)
			s.tell()
			s.arrives()
			c := s.store1()
			want := s.at
			if name == "another tab leads" {
				s.store.RaiseEpoch()
			} else {
				want = s.stores("a", tx(42))
				records := wire.AppendRecord(nil, &s.serverLog("a").records[1])
				more := replica.SpaceCommit{Space: idOf("a"), Expect: &s.at, First: 2, Last: 2, Records: records, Position: &want}
				if result, err := s.store.Commit(&replica.Commit{Spaces: []replica.SpaceCommit{more}}); err != nil || result.Stale {
					t.Fatal(result, err)
				}
			}
			result, err := s.store.Commit(c.Commit)
			if err != nil || !result.Stale {
				t.Fatalf("the commit took effect: %+v, %v", result, err)
			}
			s.step(replica.Committed{ID: c.ID, Result: result})
			s.settle()
			if got := s.store.Refresh(idOf("a")).Info; got.Position.Seq < want.Seq || got.Position.Seq > want.Seq && len(got.Holes) != 1 {
				t.Errorf("it is at %+v", got)
			}
		})
	}
}

// What waits stays. What the server has in what is left out goes with it, if it said so on this connection; what it said before, it may have
// lost since.
func TestBootKeepsTheOutbox(t *testing.T) {
	said := wire.Verdict{Kind: wire.Accepted, Position: space.Position{Seq: 7, Chain: digest.Of([]byte("7"))}}
	s := farAway(t, 10_005)
	s.write("a", tx(50), tx(51))
	s.settle()
	s.told()
	for _, p := range s.pushes {
		var verdicts []wire.Verdict
		for i := range p.Transactions {
			if v := said; number(p.Transactions[i].ID()) == 50 {
				verdicts = append(verdicts, v)
			} else {
				verdicts = append(verdicts, deferred(wire.CodeOverloaded, 60_000))
			}
		}
		s.verdicts("a", p.N, verdicts...)
	}
	s.settle()
	s.wantsOutbox("a", "50 accepted, 51")
	s.tell()
	s.arrives()
	s.settle()
	s.isAt(s.place)
	s.wantsOutbox("a", "51")

	s = farAway(t, 10_005)
	s.write("a", tx(50))
	s.settle()
	s.told()
	s.verdicts("a", 1, said)
	s.settle()
	s.reconnect()
	s.settle()
	s.stores("a", tx(42))
	s.receive(s.events("a", 2, 2))
	s.settle()
	s.tell()
	s.arrives()
	s.settle()
	s.isAt(s.place)
	s.wantsOutbox("a", "50 accepted")
	s.told()
	said.Kind = wire.Duplicate
	s.verdicts("a", 1, said)
	s.settle()
	s.wantsOutbox("a", "")
}

// A server that has let go of what follows on the position has it left out however little it is, and is asked again until that can be.
func TestResumeGone(t *testing.T) {
	for _, told := range []bool{true, false} {
		s := farAway(t, 5)
		s.write("a", tx(50))
		s.settle()
		s.reconnect()
		s.settle()
		if told {
			s.tell()
		}
		s.sent = nil
		s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeResumeGone})
		s.settle()
		if !told {
			if n := len(s.requests()); n != 0 {
				t.Fatalf("%d requests for a checkpoint that nobody told of", n)
			}
			again := false
			for range 100 {
				s.now = s.wakeAt
				s.step(replica.Tick{})
				for _, f := range s.sent {
					if _, ok := f.(*wire.Subscribe); ok {
						again = true
					}
				}
				if again {
					break
				}
			}
			if !again {
				t.Fatal("it is not asked again")
			}
			s.tell()
			s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeResumeGone})
		}
		s.arrives()
		s.settle()
		s.isAt(s.place)
		s.wantsOutbox("a", "50")
		if status := s.core.Space(idOf("a")); status.Code != 0 {
			t.Errorf("afterwards: %v %s", status.Code, status.Reason)
		}
	}
}

// A device that was bringing back what the server had lost, and was cut off, hears on the next connection that somebody has brought it, and that it has expired
// since. There is nothing to bring then, and nothing to wait for.
func TestResumeGoneWhileBringing(t *testing.T) {
	s := farAway(t, 5)
	s.settle()
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeRecovering})
	s.settle()
	s.sent = nil
	s.tick()
	if status := s.core.Space(idOf("a")); status.Code != wire.CodeRecovering {
		t.Fatalf("%v %s", status.Code, status.Reason)
	}
	s.reconnect()
	s.settle()
	s.tell()
	s.receive(&wire.Ended{Space: idOf("a"), Code: wire.CodeResumeGone})
	s.arrives()
	s.settle()
	s.isAt(s.place)
	if status := s.core.Space(idOf("a")); status.Code != 0 {
		t.Errorf("afterwards: %v %s", status.Code, status.Reason)
	}
}

// booted is farAway that has left out what is before the checkpoint, and asked for what is just before it.
func booted(t *testing.T) (*distant, *wire.Fetch) {
	s := farAway(t, 10_000)
	log := make([]space.Record, 3)
	for i := range log {
		t := tx(byte(90 + i))
		log[i] = t.Records(s.place.Seq-2+uint64(i), 8)[0]
	}
	s.before = digest.Of([]byte("before"))
	s.last = log
	s.place.Chain = space.Fold(s.before, log)
	s.root = s.rootAt(s.place)
	s.tell()
	s.arrives()
	s.settle()
	s.isAt(s.place)
	s.sent, s.notices = nil, nil
	s.step(replica.WantHistory{Space: idOf("a"), Seq: s.place.Seq - 1})
	fetch, ok := s.sent[0].(*wire.Fetch)
	if !ok || fetch.Before != s.place.Seq+1 || fetch.Space != idOf("a") {
		t.Fatalf("sent %+v", s.sent[0])
	}
	s.sent = nil
	return s, fetch
}

func (s *distant) answers(fetch *wire.Fetch) {
	s.t.Helper()
	s.receive(&wire.Page{Ref: fetch.Ref, Space: idOf("a"), ChainBefore: s.before, Records: s.last, Position: s.place})
}

func (s *distant) failed() (code replica.Code) {
	for _, n := range s.notices {
		if failed, ok := n.(replica.HistoryFailed); ok {
			code = failed.Code
		}
	}
	s.notices = nil
	return code
}

// A page that is proven is stored in a commit of its own, and its credit granted then.
func TestHistory(t *testing.T) {
	s, fetch := booted(t)
	s.answers(fetch)
	if n := len(s.commits); n != 1 || !s.commits[0].Commit.Fenced || s.commits[0].Commit.Spaces[0].Page == nil {
		t.Fatalf("%d commits", n)
	}
	s.settle()
	if holes := s.info().Holes; len(holes) != 1 || holes[0].Until.Seq != s.place.Seq-3 || holes[0].Until.Chain != s.before || s.failed() != 0 {
		t.Fatalf("holes: %+v", holes)
	}
	if records := s.store.Read(idOf("a"), 1, 10, 1<<20); len(records) != 3 || records[2].Seq != s.place.Seq {
		t.Errorf("%d records", len(records))
	}
	credit := false
	for _, f := range s.sent {
		if c, ok := f.(*wire.Credit); ok && c.Bytes > 0 {
			credit = true
		}
	}
	if !credit {
		t.Error("no credit was granted")
	}
	s.step(replica.WantHistory{Space: idOf("a"), Seq: s.place.Seq}) // is here
	if s.failed() != 0 || len(s.sent) > 1 {
		t.Errorf("what is here is fetched: %v", s.sent)
	}
}

// Who reads is told when what is missing does not come: the server refuses it, the connection ends, another tab leads, or the device is full,
// which is no reason for what is new not to be stored.
func TestHistoryFails(t *testing.T) {
	for name, fails := range map[string]struct {
		how  func(*distant, *wire.Fetch)
		code replica.Code
	}{
		"refused":          {func(s *distant, f *wire.Fetch) { s.receive(&wire.Refused{Ref: f.Ref, Code: wire.CodeForbidden}) }, wire.CodeForbidden},
		"offline":          {func(s *distant, _ *wire.Fetch) { s.step(replica.Disconnected{}) }, wire.CodeNotHere},
		"another tab":      {func(s *distant, _ *wire.Fetch) { s.step(replica.Following{}) }, wire.CodeNotHere},
		"while it is read": {func(s *distant, f *wire.Fetch) { s.answers(f); s.step(replica.Following{}) }, wire.CodeNotHere},
		"another history": {func(s *distant, f *wire.Fetch) {
			s.before[0] ^= 1
			s.answers(f)
		}, wire.CodeBadChain},
		"full": {func(s *distant, f *wire.Fetch) {
			s.answers(f)
			c := s.store1()
			s.step(replica.Committed{ID: c.ID, Err: fmt.Errorf("full"), Full: true})
		}, wire.CodeQuota},
	} {
		t.Run(name, func(t *testing.T) {
			s, fetch := booted(t)
			fails.how(s, fetch)
			if code := s.failed(); code != fails.code {
				t.Fatalf("it fails with %v, want %v", code, fails.code)
			}
			if name == "full" {
				s.write("a", tx(60))
				s.settle()
				s.wantsOutbox("a", "60")
			}
			if holes := s.store.Refresh(idOf("a")).Info.Holes; len(holes) != 1 || holes[0].Until != (space.Position{Seq: s.place.Seq, Chain: s.place.Chain}) {
				t.Errorf("holes: %+v", holes)
			}
		})
	}
}
