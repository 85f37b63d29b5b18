//go:build !js

package wasmclient_test

import (
	"slices"
	"testing"
	"time"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
)

// holed makes the store of a device that has all records of a space but some in the middle, as another device has them.
func (j *judged) holed(identity string, from *device, id space.ID, after, until uint64) *device {
	j.Helper()
	loaded, err := from.store.Load(j.Context())
	if err != nil {
		j.Fatal(err)
	}
	snapshot, err := from.store.Refresh(j.Context(), id)
	if err != nil {
		j.Fatal(err)
	}
	records, err := from.store.Read(j.Context(), id, 0, 1000, 1<<20)
	if err != nil || uint64(len(records)) != snapshot.Info.Position.Seq {
		j.Fatal(len(records), err)
	}
	d := j.device(identity)
	at := space.Start(id)
	commit := func(part replica.SpaceCommit) {
		j.Helper()
		expect := at
		part.Space, part.Expect, at = id, &expect, *part.Position
		if _, err := d.store.Commit(j.Context(), &replica.Commit{Server: &loaded.Meta.Server, Spaces: []replica.SpaceCommit{part}}); err != nil {
			j.Fatal(err)
		}
	}
	run := func(to uint64, seal space.Position) {
		part := replica.SpaceCommit{Insert: &snapshot.Info, First: at.Seq + 1, Last: to}
		for i := range records[at.Seq:to] {
			part.Records = wire.AppendRecord(part.Records, &records[at.Seq:to][i])
		}
		part.Position = &space.Position{Seq: to, Chain: space.Fold(id, records[:to]), Seal: seal.Seal}
		commit(part)
	}
	insert := snapshot.Info
	insert.Position, insert.Holes = space.Start(id), nil
	snapshot.Info = insert
	if after > 0 {
		run(after, space.Position{})
	}
	commit(replica.SpaceCommit{Insert: &insert, Position: &space.Position{Seq: until, Chain: space.Fold(id, records[:until])}})
	whole, err := from.store.Refresh(j.Context(), id)
	if err != nil {
		j.Fatal(err)
	}
	run(whole.Info.Position.Seq, whole.Info.Position)
	return d
}

// TestBringsWhatIsBehindAHole: a server lost what lies in a hole of the only device that is left, and in front of it. What is behind is judged anew, when the
// wait for the rest is over; what is in front cannot be shown to have been there, and is kept; and the device goes over to the server's branch.
func TestBringsWhatIsBehindAHole(t *testing.T) {
	for _, others := range []bool{true, false} { // write meanwhile
		for _, after := range []uint64{0, 4} {
			inJudgedBubble(t, func(j *judged) {
				first, second := j.device("ada"), j.device("bob")
				ada, bob := j.tab(first), j.tab(second)
				there := j.makeChat(ada)
				id := there.ID()
				j.sayAll(there, "one")
				j.join(bob.Space(id), "Bob")
				old := j.backup()
				j.sayAll(there, "two", "three", "four", "five", "six", "seven")
				j.comesTo(bob, id, 8)
				ada.Close(j.Context())
				bob.Close(j.Context())
				third := j.holed("bob", second, id, after, 6)

				if err := syncserver.MarkRestored(j.Context(), old, time.Now()); err != nil {
					t.Fatal(err)
				}
				j.putBack(old, func(c *syncserver.Config) { c.RecoveryWindow = time.Minute })
				cy := j.tab(third)
				cy.Space(id)
				time.Sleep(50 * time.Second)
				if _, head := j.log(id); head.Seq != 2 {
					t.Errorf("before the wait was over the log came to %d", head.Seq)
				}
				want := []string{"one"}
				if others {
					time.Sleep(11 * time.Second)
					dan := j.tab(j.device("dan"))
					j.join(dan.Space(id), "Dan")
					j.sayAll(dan.Space(id), "x")
					want = append(want, "x")
				}
				time.Sleep(5 * time.Minute)
				texts := j.texts(cy.Space(id), messages) // who of the two comes first is by chance
				slices.Sort(texts)
				want = append(want, "six", "seven")
				slices.Sort(want)
				j.same(texts, want...)
				_, head := j.log(id)
				if info := cy.Space(id).Info(); info.Code != 0 || info.Position.Chain != head.Chain || len(info.Holes) > 0 {
					t.Errorf("%v %s at %d of %d, with %v", info.Code, info.Reason, info.Position.Seq, head.Seq, info.Holes)
				}
				lost, err := cy.Space(id).Lost(j.Context())
				if err != nil || len(lost) != int(max(after, 2)-2) {
					t.Fatalf("lost: %+v %v", lost, err)
				}
				for i, row := range lost {
					if row.Code != wire.CodeUnproven || row.By != replica.ByDevice || row.Transaction.Author != "ada" || i > 0 && row.ID.Compare(lost[i-1].ID) <= 0 {
						t.Errorf("lost: %+v", row)
					}
				}
			})
		}
	}
}

// TestSomebodyHasTheHole: who has what lies in the hole of another brings it, before what is behind is judged anew: then everything is as it was.
func TestSomebodyHasTheHole(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first, second := j.device("ada"), j.device("bob")
		ada, bob := j.tab(first), j.tab(second)
		there := j.makeChat(ada)
		id := there.ID()
		j.sayAll(there, "one")
		j.join(bob.Space(id), "Bob")
		old := j.backup()
		j.sayAll(there, "two", "three", "four", "five", "six", "seven")
		j.comesTo(bob, id, 8)
		ada.Close(j.Context())
		bob.Close(j.Context())
		third := j.holed("bob", second, id, 4, 6)
		_, head := j.log(id)
		if err := syncserver.MarkRestored(j.Context(), old, time.Now()); err != nil {
			t.Fatal(err)
		}
		j.putBack(old, func(c *syncserver.Config) { c.RecoveryWindow = 10 * time.Minute })
		cy := j.tab(third)
		cy.Space(id)
		time.Sleep(5 * time.Minute)
		bob = j.tab(second)
		bob.Space(id)
		time.Sleep(15 * time.Minute)
		if _, now := j.log(id); now != head {
			t.Errorf("the log ends at %+v, want %+v", now, head)
		}
		for _, t := range []*tab{bob, cy} {
			if info := t.Space(id).Info(); info.Code != 0 || info.Position.Chain != head.Chain {
				j.Errorf("%v %s at %d", info.Code, info.Reason, info.Position.Seq)
			}
			if status := t.Status(); status.Lost+status.Rejected > 0 {
				j.Errorf("%+v", status)
			}
		}
	})
}

// TestExpiryWaitsOverABranch: an expiry that is written with no network, and sent when the server's log has others in the places that it names, is refused.
func TestExpiryWaitsOverABranch(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first := j.device("ada")
		ada := j.tab(first)
		there := j.makeChat(ada)
		id := there.ID()
		j.sayAll(there, "one")
		old := j.backup()
		j.sayAll(there, "two", "three")
		ada.Close(j.Context())
		ada = j.tab(first, offline)
		if _, err := ada.Space(id).Expire(j.Context(), 2); err != nil {
			t.Fatal(err)
		}
		ada.Close(j.Context())

		j.putBack(old, func(*syncserver.Config) {})
		bob := j.tab(j.device("bob"))
		j.join(bob.Space(id), "Bob")
		j.sayAll(bob.Space(id), "x")
		ada = j.tab(first)
		s := ada.Space(id)
		time.Sleep(3 * time.Minute)
		rejected, err := s.Rejected(j.Context())
		if err != nil || len(rejected) != 1 || rejected[0].Code != wire.CodeDiverged {
			t.Errorf("rejected: %+v %v", rejected, err)
		}
		if records, _ := j.log(id); records[1].Expired || len(records) != 5 {
			t.Errorf("the log has %d records, and the second has expired: %v", len(records), records[1].Expired)
		}
		receipt, err := s.Expire(j.Context(), 2)
		if err == nil {
			_, err = receipt.Synced(j.Context())
		}
		if err != nil {
			t.Errorf("written anew: %v", err)
		}
	})
}
