package replica_test

import (
	"errors"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/msgpack"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// moduleBytes are the module of the spaces "m", "n" and so on of these stories: some 3,000 bytes, three times the credit.
var (
	moduleBytes  = []byte(strings.Repeat("what a space judges by. ", 125))
	moduleDigest = digest.Of(moduleBytes)
	shortDigest  = moduleDigest.String()[:4]
)

func judged(name string) (space.Genesis, space.ID) {
	genesis := genesisOf(name)
	genesis.Module = moduleDigest
	return genesis, genesis.ID()
}

// createJudged makes a space of the module on this device.
func (s *story) createJudged(name string) space.ID {
	s.t.Helper()
	genesis, id := judged(name)
	s.step(replica.Append{Ref: s.ref(), Space: id, Insert: &replica.SpaceInfo{Genesis: &genesis, Position: space.Start(id), Module: moduleDigest}})
	return id
}

// putModule is what an app does.
func (s *story) putModule() {
	s.t.Helper()
	s.store.PutModule(moduleDigest, moduleBytes)
	s.step(replica.ModulePut{Digest: moduleDigest})
}

// missing answers the last genesis that was pushed: the server does not have the module.
func (s *story) missing(id space.ID, n uint64) {
	s.t.Helper()
	v := deferred(wire.CodeModuleMissing, 0)
	s.receive(&wire.Pushed{Space: id, N: n, Genesis: &v})
}

// taken says that the server has so many bytes of an upload.
func (s *story) taken(here int) {
	s.t.Helper()
	for i := len(s.sent) - 1; i >= 0; i-- {
		if put, ok := s.sent[i].(*wire.BlobPut); ok {
			s.told()
			s.receive(&wire.BlobPart{Ref: put.Ref, Total: put.Total, Offset: uint64(here)})
			return
		}
	}
	s.t.Fatalf("no piece was sent, but %q", s.told())
}

// asked returns the ref of the request for a module that was sent last, having checked where it begins.
func (s *story) asked(from string) uint64 {
	s.t.Helper()
	for _, f := range s.sent {
		if blob, ok := f.(*wire.Blob); ok {
			if got := text(f); got != "blob "+shortDigest+" from "+from {
				s.t.Fatalf("asked for %q", got)
			}
			s.told()
			return blob.Ref
		}
	}
	s.t.Fatalf("no module was asked for, but %q sent", s.told())
	return 0
}

func (s *story) piece(ref uint64, from, to int) {
	s.t.Helper()
	s.receive(&wire.BlobPart{Ref: ref, Total: uint64(len(moduleBytes)), Offset: uint64(from), Bytes: moduleBytes[from:to]})
}

func (s *story) wantsSpace(id space.ID, code wire.Code) {
	s.t.Helper()
	if got := s.core.Space(id); got.Code != code {
		s.t.Fatalf("the space says %s (%s), want %s", got.Code, got.Reason, code)
	}
}

// directoryHas tells of a space of the module that somebody else made.
func (s *story) directoryHas(name string) space.ID {
	s.t.Helper()
	genesis, _ := judged(name)
	genesis.Creator = "bob"
	id := genesis.ID()
	s.receive(&wire.Spaces{Rows: []wire.SpaceRow{{Genesis: genesis, Module: moduleDigest}}})
	return id
}

// pulled is a story with a space of the module that is pulled, whose module is being asked for.
func pulled(t *testing.T) (s *story, id space.ID, ref uint64) {
	t.Helper()
	s = synced(t)
	id = s.directoryHas("m")
	s.settle()
	s.wants("")
	s.step(replica.Open{Space: id})
	s.settle()
	return s, id, s.asked("0")
}

func TestAModuleThatOnlyThisDeviceHasIsSentUnasked(t *testing.T) {
	s := synced(t)
	s.putModule()
	id := s.createJudged("m")
	s.settle()
	s.wants("push ?/1 genesis")
	s.missing(id, 1)
	s.wantsSpace(id, wire.CodeModuleMissing)
	s.settle()
	s.taken(1200)
	s.taken(2400)
	s.wantsSpace(id, wire.CodeModuleMissing)
	s.taken(3000)
	s.wants("credit 19, push ?/2 resume genesis") // at once
	s.receive(&wire.Pushed{Space: id, N: 2, Genesis: &wire.Verdict{Kind: wire.Accepted, Position: space.Start(id)}})
	s.settle()
	s.wantsSpace(id, 0)
}

func TestAnUploadGoesOnWhereTheServerIs(t *testing.T) {
	s := synced(t)
	s.putModule()
	id := s.createJudged("m")
	s.settle()
	s.told()
	s.missing(id, 1)
	s.settle()
	s.taken(2400) // the server had some of it
	s.wants("put " + shortDigest + " 2400+600/3000, credit 19")
	s.step(replica.Disconnected{}) // with its answer on the way
	s.tick()
	s.greet()
	s.settle()
	if got := s.told(); !strings.Contains(got, "push ?/1 genesis") || strings.Contains(got, "put") {
		t.Fatalf("sent %q: first the server has to say that it still misses it", got)
	}
	s.missing(id, 1)
	s.settle()
	s.wants("put " + shortDigest + " 0+1200/3000")
}

// A server that says it has all of a module, and misses it all the same, is not sent it again and again at once.
func TestAServerThatForgetsAModule(t *testing.T) {
	s := synced(t)
	s.putModule()
	id := s.createJudged("m")
	s.settle()
	s.told()
	var at []uint64
	for n := uint64(1); len(at) < 4; n++ {
		s.missing(id, n)
		s.settle()
		for got := s.told(); !strings.Contains(got, "push"); got = s.told() {
			if strings.Contains(got, "put") {
				at = append(at, s.now)
				s.receive(&wire.BlobPart{Ref: s.uploadRef, Total: 3000, Offset: 3000})
				continue
			}
			s.tick()
			s.settle()
		}
	}
	if at[1]-at[0] < 1000 || at[2]-at[1] <= at[1]-at[0] || at[3]-at[2] <= at[2]-at[1] {
		t.Errorf("it was sent at %v", at)
	}
}

func TestAModuleThatNobodyHasYet(t *testing.T) {
	s := synced(t)
	id := s.createJudged("m")
	s.settle()
	s.told()
	s.missing(id, 1)
	s.settle()
	s.wants("")
	s.wantsSpace(id, wire.CodeModuleMissing)
	if reason := s.core.Space(id).Reason; !strings.Contains(reason, "nor does this device") {
		t.Errorf("the reason is %q", reason)
	}
	s.putModule() // in this tab: the space is looked at again
	s.settle()
	s.wants("put " + shortDigest + " 0+1200/3000")
}

func TestAModuleThatAnotherTabPuts(t *testing.T) {
	s := synced(t)
	id := s.createJudged("m")
	s.settle()
	s.told()
	s.missing(id, 1)
	s.settle()
	other := replica.New(replica.Config{Rand: steady{}}, s.store.Load())
	s.store.PutModule(moduleDigest, moduleBytes)
	e := other.Step(s.now, replica.ModulePut{Digest: moduleDigest})
	if len(e.Commits) != 1 {
		t.Fatalf("the other tab makes %d commits", len(e.Commits))
	}
	result, err := s.store.Commit(e.Commits[0].Commit)
	if err != nil {
		t.Fatal(err)
	}
	hints := other.Step(s.now, replica.Committed{ID: e.Commits[0].ID, Result: result}).Hints
	if len(hints) != 1 {
		t.Fatalf("the other tab gives %d hints", len(hints))
	}
	s.step(hints[0])
	s.settle()
	s.wants("put " + shortDigest + " 0+1200/3000")
}

func TestAModuleThatTheServerWillNotHave(t *testing.T) {
	s := synced(t)
	s.putModule()
	id := s.createJudged("m")
	s.settle()
	s.told()
	s.missing(id, 1)
	s.settle()
	s.told()
	s.receive(&wire.Refused{Ref: s.uploadRef, Code: wire.CodeBadModule, Reason: "it imports what there is not"})
	s.wantsSpace(id, wire.CodeBadModule)
	s.tick()
	s.settle()
	s.wants("push ?/2 resume genesis") // another device may have brought it
	s.missing(id, 2)
	s.settle()
	s.wants("")
	s.wantsSpace(id, wire.CodeBadModule)
}

// A server that has a space and lost its module ends the subscription; whoever has the module brings it back.
func TestASubscriptionThatEndsForWantOfAModule(t *testing.T) {
	s, id, ref := pulled(t)
	s.piece(ref, 0, 3000)
	s.settle()
	s.receive(&wire.Ended{Space: id, Code: wire.CodeModuleMissing})
	s.settle()
	s.taken(3000)
	if got := s.told(); got != "credit 19, subscribe ?@0" {
		t.Fatalf("sent %q", got)
	}
	s.wantsSpace(id, wire.CodeModuleMissing)
	s.receive(&wire.CaughtUp{Space: id, Position: space.Start(id)})
	s.wantsSpace(id, 0)
}

func TestAModuleIsFetchedForASpaceThatIsPulled(t *testing.T) {
	s, id, ref := pulled(t)
	version := s.store.Refresh(id).Version
	s.piece(ref, 0, 900)
	s.wants("credit 918") // it may be larger than all credit
	s.piece(ref, 900, 1800)
	s.told()
	if s.store.Module(moduleDigest) != nil || len(s.keeps) > 0 {
		t.Fatal("a part of a module is taken for it")
	}
	s.piece(ref, 1800, 3000)
	s.settle()
	if s.store.Module(moduleDigest) == nil {
		t.Fatal("it is not stored")
	}
	if now := s.store.Refresh(id).Version; now != version+1 {
		t.Fatalf("the space's version went from %d to %d: other tabs do not look again", version, now)
	}
	// It is not fetched for a second space, nor on the next connection.
	s.told()
	other := s.directoryHas("n")
	s.step(replica.Open{Space: other})
	s.settle()
	if got := s.told(); strings.Contains(got, "blob") {
		t.Errorf("sent %q", got)
	}
	s.reconnect()
	s.settle()
	if got := s.told(); strings.Contains(got, "blob") {
		t.Errorf("sent %q", got)
	}
	// What was damaged meanwhile is fetched again.
	s.store.DamageModule(moduleDigest)
	s.reconnect()
	s.settle()
	s.asked("0")
}

func TestAFetchGoesOnWhereItWas(t *testing.T) {
	s, _, ref := pulled(t)
	s.piece(ref, 0, 900)
	s.reconnect()
	s.settle()
	again := s.asked("900")
	s.piece(ref-1, 900, 1800) // that nobody asked for on this connection
	s.piece(again, 900, 3000)
	s.settle()
	if s.store.Module(moduleDigest) == nil {
		t.Fatal("it is not stored")
	}
}

func TestBytesThatAreNotTheModuleAreNotStored(t *testing.T) {
	for name, lie := range map[string]*wire.BlobPart{
		"other bytes":     {Total: 3000, Bytes: []byte(strings.Repeat("x", 3000))},
		"too many":        {Total: 10, Bytes: []byte("more than ten")},
		"from the middle": {Total: 3000, Offset: 5, Bytes: []byte("abc")},
		"nothing":         {Total: 3000},
		"no size":         {Bytes: []byte("abc")},
		"too large":       {Total: replica.ModuleBytes + 1, Bytes: []byte("abc")},
		"beyond all":      {Total: 1 << 63, Bytes: []byte("abc")},
	} {
		s, _, ref := pulled(t)
		lie.Ref = ref
		s.receive(lie)
		if len(s.keeps) > 0 {
			t.Fatalf("%s: stored", name)
		}
		at := s.now
		s.told()
		s.tick()
		s.settle()
		if s.now < at+500 {
			t.Errorf("%s: asked again after %d ms", name, s.now-at)
		}
		ref = s.asked("0")
		s.piece(ref, 0, 3000)
		s.settle()
		if s.store.Module(moduleDigest) == nil {
			t.Errorf("%s: the module is not stored when it comes after all", name)
		}
	}
}

func TestTheLargestModule(t *testing.T) {
	s, _, ref := pulled(t)
	s.receive(&wire.BlobPart{Ref: ref, Total: replica.ModuleBytes, Bytes: make([]byte, replica.ModuleBytes-1)})
	s.wants("credit 4194325")
	s.receive(&wire.BlobPart{Ref: ref, Total: replica.ModuleBytes, Offset: replica.ModuleBytes - 1, Bytes: make([]byte, 1)})
	s.wants("credit 24")
}

func TestAModuleThatTheServerDoesNotHave(t *testing.T) {
	s, id, ref := pulled(t)
	last := s.now
	for range 3 {
		s.receive(&wire.Refused{Ref: ref, Code: wire.CodeNotFound})
		s.receive(&wire.CaughtUp{Space: id, Position: space.Start(id)}) // the space goes on meanwhile
		s.told()
		s.tick()
		s.settle()
		ref = s.asked("0")
		if s.now-last < 1000 {
			t.Errorf("asked again after %d ms", s.now-last)
		}
		last = s.now
	}
	s.piece(ref, 0, 3000)
	s.settle()
	if s.store.Module(moduleDigest) == nil {
		t.Fatal("it is not stored")
	}
}

// Where there is no room for a module it waits in memory, and is not fetched again for that.
func TestNoRoomForAModule(t *testing.T) {
	s, id, ref := pulled(t)
	s.piece(ref, 0, 3000)
	keep := s.keeps[0]
	s.keeps = nil
	s.step(replica.ModuleStored{Digest: keep.Digest, Err: errors.New("full"), Full: true})
	s.wantsCode(wire.CodeQuota)
	s.told()
	s.receive(&wire.CaughtUp{Space: id, Position: space.Start(id)})
	s.tick()
	s.settle()
	if got := s.told(); strings.Contains(got, "blob") || s.store.Module(moduleDigest) == nil {
		t.Fatalf("sent %q, or the module is not stored", got)
	}
	s.wantsCode(0)
}

// TestTheModuleOfASpaceIsTheOneThatItWentOverTo: the directory tells it of any space, and the records of one that is pulled;
// what is older than the records here changes nothing. The modules are fetched, the one that the log begins with among them.
func TestTheModuleOfASpaceIsTheOneThatItWentOverTo(t *testing.T) {
	s := synced(t)
	id, second, third := idOf("a"), digest.Of([]byte("second")), digest.Of([]byte("third"))
	module := func(want digest.Digest, when string) {
		t.Helper()
		if got := s.core.Space(id).Info.Module; got != want {
			t.Fatalf("%s memory says %v, want %v", when, got, want)
		}
		if got := s.store.Refresh(id).Info.Module; got != want {
			t.Fatalf("%s the store says %v, want %v", when, got, want)
		}
	}
	upgrade := func(n byte, to digest.Digest) space.Transaction {
		upgraded := tx(n)
		upgraded.Events[0].Type = "$module"
		upgraded.Events[0].Payload = msgpack.AppendBinary(msgpack.AppendString(msgpack.AppendMap(nil, 1), "hash"), to[:])
		return upgraded
	}
	fetched := map[digest.Digest]bool{}
	looked := func() {
		for _, f := range s.sent {
			if blob, ok := f.(*wire.Blob); ok {
				fetched[blob.Digest] = true
				s.receive(&wire.Refused{Ref: blob.Ref, Code: wire.CodeNotFound})
			}
		}
		s.told()
	}
	row := wire.SpaceRow{Genesis: genesisOf("a"), Module: second, Head: s.core.Space(id).Info.Position.Seq}
	s.receive(&wire.Spaces{Rows: []wire.SpaceRow{row}})
	s.settle()
	module(second, "when the directory told it")
	looked()

	first := s.core.Space(id).Info.Position.Seq + 1
	s.stores("a", upgrade(31, second))
	s.stores("a", tx(32))
	s.stores("a", upgrade(33, third))
	s.receive(s.events("a", first, first+2))
	s.settle()
	module(third, "when the records told it")
	looked()
	row.Head = first
	s.receive(&wire.Spaces{Rows: []wire.SpaceRow{row}})
	s.settle()
	module(third, "when the directory told what was before")
	if !fetched[second] || !fetched[third] {
		t.Errorf("asked for %v", fetched)
	}
	s.reload()
	module(third, "after a reload")
}

// TestTwoUpgradesInOnePush: the server is given the module of the one that it put off, not of the one behind it.
func TestTwoUpgradesInOnePush(t *testing.T) {
	s := synced(t)
	s.putModule()
	upgrade := func(n byte, to digest.Digest) space.Transaction {
		upgraded := tx(n)
		upgraded.Events[0].Type = "$module"
		upgraded.Events[0].Payload = msgpack.AppendBinary(msgpack.AppendString(msgpack.AppendMap(nil, 1), "hash"), to[:])
		return upgraded
	}
	s.write("a", tx(1), upgrade(2, moduleDigest), upgrade(3, digest.Of([]byte("another"))))
	s.settle()
	s.wants("push a/1 1, push a/2 2 3")
	s.receive(&wire.Pushed{Space: idOf("a"), N: 1, Verdicts: []wire.Verdict{{Kind: wire.Accepted, Position: s.stores("a", tx(1))}}})
	s.receive(&wire.Pushed{Space: idOf("a"), N: 2, Verdicts: []wire.Verdict{deferred(wire.CodeModuleMissing, 0), deferred(wire.CodeBehind, 0)}})
	s.settle()
	s.taken(1200) // of the one that is here
}
