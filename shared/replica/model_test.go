package replica

import (
	"bytes"
	"fmt"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// What commits change is tested by storetest, which the Model passes through memstore. Here is what only a Model
// has: clones, and the checks that every store shares.

func testRow(n byte) OutboxRow {
	t := space.Transaction{Author: "did:key:a", API: "1.0.0", Events: []space.Event{{ID: space.ULID{15: n}, Type: "t", Payload: []byte{n}}}}
	return OutboxRow{Entry: Entry{ID: t.ID(), AppendedAt: 1}, Transaction: t}
}

func testRun(at space.Position, n byte) SpaceCommit {
	row := testRow(n)
	records := row.Transaction.Records(at.Seq+1, 7)
	after := space.Position{Seq: at.Seq + 1, Chain: space.Fold(at.Chain, records)}
	return SpaceCommit{
		Space: digest.Of([]byte("space")), Expect: &at, Records: wire.AppendRecord(nil, &records[0]),
		First: at.Seq + 1, Last: at.Seq + 1, Position: &after, Settle: []space.ULID{row.ID},
	}
}

func mustCommit(t *testing.T, m *Model, parts ...SpaceCommit) *CommitResult {
	t.Helper()
	result, err := m.Commit(&Commit{Spaces: parts})
	if err != nil {
		t.Fatal(err)
	}
	if result.Stale {
		t.Fatal("the commit is stale")
	}
	return result
}

func TestModelClone(t *testing.T) {
	id := digest.Of([]byte("space"))
	m := NewModel("did:key:a", wire.SessionID{1})
	position := space.Start(id)
	for n := range byte(5) { // leaves room in the array of records, which a clone must not share
		part := testRun(position, n)
		mustCommit(t, m, part)
		position = *part.Position
	}
	mustCommit(t, m, SpaceCommit{Space: id, Append: []OutboxRow{testRow(20), testRow(21)}})

	c := m.Clone()
	before := fmt.Sprint(c.Refresh(id), c.Read(id, 0, 100, 1<<20), c.Load())
	mustCommit(t, m, testRun(position, 6))
	mustCommit(t, m, SpaceCommit{Space: id, Reject: []Rejection{{ID: testRow(20).ID}}, Withdraw: []space.ULID{testRow(21).ID}})
	m.RaiseEpoch()
	if after := fmt.Sprint(c.Refresh(id), c.Read(id, 0, 100, 1<<20), c.Load()); after != before {
		t.Fatalf("the clone changed with its original:\n%s\n%s", before, after)
	}
	mustCommit(t, c, testRun(position, 7))
	got := m.Read(id, 5, 10, 1<<20)
	if len(got) != 1 || !bytes.Equal(got[0].Payload, []byte{6}) {
		t.Fatalf("the original has its clone's record: %v", got)
	}
	if key := mustCommit(t, c, SpaceCommit{Space: id, Append: []OutboxRow{testRow(22)}}).Keys[0]; key != 3 {
		t.Fatalf("the clone gives key %d, want 3", key)
	}
}

func TestCommitCheck(t *testing.T) {
	id := digest.Of([]byte("space"))
	start := space.Start(id)
	break1 := func(change func(*SpaceCommit)) SpaceCommit {
		part := testRun(start, 1)
		change(&part)
		return part
	}
	wrong := testRow(1)
	wrong.ID = space.ULID{1}
	for name, parts := range map[string][]SpaceCommit{
		"space twice":        {{Space: id}, {Space: digest.Of(nil)}, {Space: id}},
		"other id":           {{Space: id, Append: []OutboxRow{wrong}}},
		"no id":              {{Space: id, Append: []OutboxRow{{}}}},
		"mark withdrawn":     {{Space: id, Mark: []Mark{{State: Withdrawn}}}},
		"no expect":          {break1(func(s *SpaceCommit) { s.Expect = nil })},
		"no position":        {break1(func(s *SpaceCommit) { s.Position = nil })},
		"hole":               {break1(func(s *SpaceCommit) { s.First++ })},
		"position elsewhere": {break1(func(s *SpaceCommit) { s.Position = &space.Position{Seq: 9} })},
	} {
		if (&Commit{Spaces: parts}).Check() == nil {
			t.Errorf("%s: passes the check", name)
		}
	}
	m := NewModel("did:key:a", wire.SessionID{1})
	torn := break1(func(s *SpaceCommit) { s.Records = s.Records[:len(s.Records)-1] })
	if _, err := m.Commit(&Commit{Spaces: []SpaceCommit{torn}}); err == nil {
		t.Error("records that end in the middle are taken")
	}
	if m.Refresh(id).Known {
		t.Error("a commit that failed left a row")
	}
}
