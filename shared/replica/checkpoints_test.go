package replica_test

import (
	"errors"
	"fmt"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/replica"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// tabled is a story whose server keeps checkpoints of space "a".
type tabled struct {
	*story
	blobs map[digest.Digest][]byte
	asks  []*wire.Blob // not answered
}

func checkpoints(t *testing.T) *tabled {
	s := &tabled{story: synced(t), blobs: map[digest.Digest][]byte{}}
	s.settle()
	s.told()
	return s
}

// make makes a checkpoint at a place with so many rows, some of which are others for another flavour.
func (s *tabled) make(seq uint64, rows int, flavour string) digest.Digest {
	s.t.Helper()
	set, err := tables.New([]tables.Schema{{Name: "t", Columns: []tables.Column{{Name: "k", Kind: tables.U64}, {Name: "v", Kind: tables.Text}}, Key: []int{0}}})
	if err != nil {
		s.t.Fatal(err)
	}
	for n := range rows {
		value := fmt.Sprintf("%01000d", n)
		if n == 0 {
			value = flavour
		}
		row := []byte{byte(n), byte(n >> 8), 0, 0, 0, 0, 0, 0}
		row = append(row, byte(len(value)), byte(len(value)>>8), 0, 0)
		change := set.Begin()
		if err := change.Put(0, append(row, value...)); err != nil {
			s.t.Fatal(err)
		}
	}
	root, err := set.AppendCheckpoint(nil, &tables.Checkpoint{Space: idOf("a"), Seq: seq, Module: module.Open}, func(d digest.Digest, content func() ([]byte, error)) error {
		page, err := content()
		s.blobs[d] = append([]byte{}, page...)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.blobs[digest.Of(root)] = root
	return digest.Of(root)
}

func (s *tabled) row(seq uint64, root digest.Digest) {
	s.t.Helper()
	s.receive(&wire.Spaces{Rows: []wire.SpaceRow{{Genesis: genesisOf("a"), Module: module.Open, CheckpointSeq: seq, Checkpoint: root}}})
	s.settle()
}

func (s *tabled) want() {
	s.t.Helper()
	s.step(replica.WantCheckpoint{Space: idOf("a")})
}

// requests returns the requests for blobs that are not answered yet.
func (s *tabled) requests() []*wire.Blob {
	for _, f := range s.sent {
		if blob, ok := f.(*wire.Blob); ok {
			s.asks = append(s.asks, blob)
		}
	}
	s.sent = nil
	return s.asks
}

// serve answers at most so many requests, in pieces, and returns how many it answered.
func (s *tabled) serve(most int) (n int) {
	s.t.Helper()
	for ; n < most && len(s.requests()) > 0; n++ {
		ask := s.asks[0]
		s.asks = s.asks[1:]
		b := s.blobs[ask.Digest]
		for at := 0; at < len(b); at += 10_000 {
			s.receive(&wire.BlobPart{Ref: ask.Ref, Total: uint64(len(b)), Offset: uint64(at), Bytes: b[at:min(at+10_000, len(b))]})
		}
	}
	return n
}

func (s *tabled) stands(state replica.CheckpointState) replica.ServerCheckpoint {
	s.t.Helper()
	told := s.core.Space(idOf("a")).Checkpoint
	if told.State != state {
		s.t.Fatalf("the checkpoint is %+v, want state %d", told, state)
	}
	return told
}

// keep does what a shell does with what is to be stored.
func (s *tabled) keep(err error) {
	s.t.Helper()
	if len(s.puts) != 1 {
		s.t.Fatalf("%d checkpoints are to be stored", len(s.puts))
	}
	put := s.puts[0]
	s.puts = nil
	if err == nil {
		s.store.PutCheckpoint(put.Space, put.Checkpoint)
	}
	s.step(replica.CheckpointKept{Space: put.Space, Root: put.Root, Err: err})
}

// has checks that the store has a checkpoint, whole.
func (s *tabled) has(root digest.Digest) {
	s.t.Helper()
	kept := s.store.Checkpoint(idOf("a"))
	if kept == nil || digest.Of(kept.Root) != root {
		s.t.Fatalf("the store has %+v", kept)
	}
	_, pages, err := tables.ReadRoot(kept.Root)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range pages {
		if s.store.CheckpointPages(idOf("a"), []digest.Digest{d})[d] == nil {
			s.t.Fatalf("page %v is missing", d)
		}
	}
}

func TestACheckpointIsFetchedWhenItIsWanted(t *testing.T) {
	s := checkpoints(t)
	root := s.make(5000, 400, "vanilla")
	s.row(5000, root)
	if told := s.stands(replica.CheckpointTold); told.Seq != 5000 || told.Root != root {
		t.Fatalf("told %+v", told)
	}
	if n := s.serve(1); n != 0 {
		t.Fatalf("%d blobs were asked for that nobody wants", n)
	}
	s.want()
	s.want()
	s.stands(replica.CheckpointFetching)
	if n := s.serve(1); n != 1 {
		t.Fatalf("%d blobs, want the root", n)
	}
	told := s.stands(replica.CheckpointFetching)
	if told.Pages < 20 || told.Here != 0 {
		t.Fatalf("%+v", told)
	}
	if n := s.serve(1000); n != told.Pages {
		t.Fatalf("%d blobs, want %d", n, told.Pages)
	}
	s.keep(nil)
	s.stands(replica.CheckpointStored)
	s.has(root)
	s.want()
	if n := s.serve(1); n != 0 {
		t.Fatal("what is stored is fetched again")
	}
	s.step(replica.WantCheckpoint{Space: idOf("a"), Missing: true})
	if n := s.serve(1000); n < 20 {
		t.Fatalf("%d blobs of what is not there any more", n)
	}
	s.keep(nil)
}

// At most so many requests wait at the server as it takes.
func TestPagesAreAskedForAFewAtATime(t *testing.T) {
	s := checkpoints(t)
	s.row(5000, s.make(5000, 400, "vanilla"))
	s.want()
	s.serve(1)
	for range 10 {
		if n := len(s.requests()); n != 8 {
			t.Fatalf("%d requests", n)
		}
		s.serve(1)
	}
}

// What is here of an older checkpoint is not fetched again; nor what came before the connection went.
func TestPagesThatAreHereAreNotFetched(t *testing.T) {
	s := checkpoints(t)
	s.row(5000, s.make(5000, 400, "vanilla"))
	s.want()
	s.serve(15)
	newer := s.make(6000, 400, "chocolate")
	s.row(6000, newer)
	told := s.stands(replica.CheckpointFetching)
	if told.Root != newer {
		t.Fatalf("%+v", told)
	}
	s.serve(9) // those that were asked for before the root are answered first, and count for nothing
	told = s.stands(replica.CheckpointFetching)
	if told.Here < 10 {
		t.Fatalf("%+v", told)
	}
	s.serve(4)
	s.reconnect()
	s.stands(replica.CheckpointTold)
	s.settle()
	s.sent, s.asks = nil, nil
	s.want()
	s.serve(1)
	if again := s.stands(replica.CheckpointFetching); again.Here <= told.Here {
		t.Fatalf("%+v, and %+v before", again, told)
	}
	s.serve(1000)
	s.keep(nil)
	s.has(newer)
}

// One that is told while another one is being stored comes after it.
func TestANewerCheckpointWhileOneIsStored(t *testing.T) {
	s := checkpoints(t)
	s.row(5000, s.make(5000, 100, "vanilla"))
	s.want()
	s.serve(1000)
	newer := s.make(6000, 100, "chocolate")
	s.row(6000, newer)
	s.keep(nil)
	s.stands(replica.CheckpointFetching)
	s.serve(1000)
	s.keep(nil)
	s.stands(replica.CheckpointStored)
	s.has(newer)
}

func TestACheckpointThatCannotBeHad(t *testing.T) {
	large := make([]byte, 20_000)
	for name, fails := range map[string]func(*tabled, *wire.Blob, []byte){
		"it is refused": func(s *tabled, f *wire.Blob, _ []byte) {
			s.receive(&wire.Refused{Ref: f.Ref, Code: wire.CodeNotFound})
		},
		"another byte": func(s *tabled, f *wire.Blob, b []byte) {
			b[len(b)-1]++
			s.receive(&wire.BlobPart{Ref: f.Ref, Total: uint64(len(b)), Bytes: b})
		},
		"a gap": func(s *tabled, f *wire.Blob, b []byte) {
			s.receive(&wire.BlobPart{Ref: f.Ref, Total: uint64(len(b)), Offset: 1, Bytes: b[1:]})
		},
		"too many bytes": func(s *tabled, f *wire.Blob, b []byte) {
			s.receive(&wire.BlobPart{Ref: f.Ref, Total: uint64(len(b)) - 1, Bytes: b})
		},
		"nothing": func(s *tabled, f *wire.Blob, b []byte) { s.receive(&wire.BlobPart{Ref: f.Ref, Total: uint64(len(b))}) },
		"too large": func(s *tabled, f *wire.Blob, b []byte) {
			s.receive(&wire.BlobPart{Ref: f.Ref, Total: replica.MaxCheckpoint + 1, Bytes: large})
		},
	} {
		for _, root := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, root %v", name, root), func(t *testing.T) {
				s := checkpoints(t)
				s.row(5000, s.make(5000, 100, "vanilla"))
				s.want()
				if !root {
					s.serve(1)
				}
				asked := s.requests()
				s.asks = nil
				fails(s, asked[0], append([]byte{}, s.blobs[asked[0].Digest]...))
				s.stands(replica.CheckpointFailed)
				s.want()
				if n := len(s.requests()); n > 0 {
					t.Fatal("it is asked for again at once")
				}
				s.now += 60_000
				s.want()
				s.serve(1000)
				s.keep(nil)
				s.stands(replica.CheckpointStored)
			})
		}
	}
}

func TestNoRoomForACheckpoint(t *testing.T) {
	s := checkpoints(t)
	s.row(5000, s.make(5000, 100, "vanilla"))
	s.want()
	s.serve(1000)
	s.keep(errors.New("full"))
	s.stands(replica.CheckpointFailed)
}

// Nobody waits for word of a checkpoint but while the server is being asked.
func TestWordOfACheckpointIsAwaited(t *testing.T) {
	s := checkpoints(t)
	s.stands(replica.CheckpointTold)
	s.step(replica.Disconnected{})
	s.stands(replica.CheckpointTold)
	s.tick()
	s.greet()
	s.stands(replica.CheckpointAwaited)
	s.settle()
	s.stands(replica.CheckpointAwaited)
	s.caughtUp("a")
	s.stands(replica.CheckpointTold)
	s.reconnect()
	s.stands(replica.CheckpointAwaited)
	s.step(replica.Following{})
	s.stands(replica.CheckpointTold)
}

// The root says what it is of.
func TestARootOfSomethingElse(t *testing.T) {
	for name, spoil := range map[string]func(root []byte) []byte{
		"another space": func(root []byte) []byte { root[len("skerry checkpoint 1\n")]++; return root },
		"another place": func(root []byte) []byte { root[len("skerry checkpoint 1\n")+32]++; return root },
		"no checkpoint": func([]byte) []byte { return []byte("nothing") },
	} {
		t.Run(name, func(t *testing.T) {
			s := checkpoints(t)
			root := spoil(append([]byte{}, s.blobs[s.make(5000, 10, "vanilla")]...))
			s.blobs[digest.Of(root)] = root
			s.row(5000, digest.Of(root))
			s.want()
			s.serve(1)
			s.stands(replica.CheckpointFailed)
		})
	}
}

// The log waits for a checkpoint that is ahead of it, and goes on from what is here when that has come, or cannot be had, or
// takes too long.
func TestTheLogWaitsForACheckpoint(t *testing.T) {
	for name, ends := range map[string]func(*tabled){
		"stored": func(s *tabled) {
			s.serve(1000)
			s.keep(nil)
		},
		"refused": func(s *tabled) { s.receive(&wire.Refused{Ref: s.asks[0].Ref, Code: wire.CodeNotFound}) },
		"late":    func(s *tabled) { s.now += 10_000; s.step(replica.Tick{}) },
	} {
		t.Run(name, func(t *testing.T) {
			s := checkpoints(t)
			s.reconnect() // since when it was not caught up with
			s.told()
			at := s.core.Space(idOf("a")).Info.Position.Seq
			s.stores("a", tx(41))
			s.stores("a", tx(42))
			s.stores("a", tx(43))
			s.row(5000, s.make(5000, 100, "vanilla"))
			s.want()
			if got := text(s.sent[0]); got != "unsubscribe a" {
				t.Fatalf("sent %q first", got)
			}
			s.requests()
			s.receive(s.events("a", at+1, at+1)) // it was on its way
			s.settle()
			s.requests()
			if s.wakeAt != s.now+10_000 {
				t.Errorf("wakes in %d ms", s.wakeAt-s.now)
			}
			ends(s)
			subscribed := ""
			for _, f := range s.sent {
				if _, ok := f.(*wire.Subscribe); ok {
					subscribed += text(f)
				}
			}
			if want := fmt.Sprintf("subscribe a@%d", at+1); subscribed != want {
				t.Fatalf("sent %q, want %q", subscribed, want)
			}
			s.receive(s.events("a", at+2, at+3))
			s.settle()
			s.wantsRecords("a", at+3)
		})
	}
}
