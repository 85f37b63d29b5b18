//go:build !js

package wasmclient_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/wasmclient"
)

// expire has records expire, and waits until the server has freed them.
func (j *judged) expire(s *wasmclient.Space, upto uint64) {
	j.Helper()
	receipt, err := s.Expire(j.Context(), upto)
	if err == nil {
		_, err = receipt.Synced(j.Context())
	}
	if err != nil {
		j.Fatal(err)
	}
	time.Sleep(10 * time.Second)
}

// keeps returns the numbers of the first and the last record that the device has of a space.
func (d *device) keeps(id space.ID) (first, last uint64) {
	d.Helper()
	records, err := d.store.Read(d.Context(), id, 0, 1<<20, 1<<30)
	if err != nil || len(records) == 0 {
		d.Fatalf("%d records, %v", len(records), err)
	}
	return records[0].Seq, records[len(records)-1].Seq
}

// wantsRows checks that a tab's tables are those that the log gave before some of it expired.
func (j *judged) wantsRows(t *tab, id space.ID, want map[string][]string) {
	j.Helper()
	for table, want := range want {
		result, err := t.Space(id).Query(j.Context(), wasmclient.Query{Table: table, Limit: 1000})
		if err != nil {
			j.Fatal(err)
		}
		var rows []string
		for _, row := range result.Rows {
			rows = append(rows, row.Bytes)
		}
		if !slices.Equal(rows, want) {
			j.Errorf("table %s has %d rows, and the log gave %d, or they differ", table, len(rows), len(want))
		}
	}
}

// TestDropsWhatExpired: a device that was away while records expired drops them when it is back, if the server received them a day before, and keeps the others.
// Its tables stay what they are, those who read pass over what is gone, with a network or without, and what was written there and is sent again is known still and
// does not come back.
func TestDropsWhatExpired(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		adas, bobs := j.device("ada"), j.device("bob")
		ada, bob := j.tab(adas), j.tab(bobs)
		s := j.makeChat(ada)
		id := s.ID()
		j.sayAll(s, "one", "two")
		j.join(bob.Space(id), "Bob")
		j.sayAll(bob.Space(id), "three")
		time.Sleep(time.Second)
		end := s.Info().Position.Seq
		j.comesTo(bob, id, end)
		records, _ := j.log(id)
		old := space.TransactionOf(records[end-1 : end])
		if old.Author != bob.Identity() {
			t.Fatalf("record %d is by %s", end, old.Author)
		}
		ada.Close(j.Context())
		bob.Close(j.Context())
		time.Sleep(25 * time.Hour)

		ada = j.tab(adas)
		s = ada.Space(id)
		ada.leads(time.Minute)
		j.sayAll(s, "four", "five")
		between := s.Info().Position.Seq
		j.sayAll(s, "six")
		want := j.tablesOf(id)
		j.expire(s, end)
		last := s.Info().Position.Seq
		if first, _ := bobs.keeps(id); first != 1 {
			t.Fatalf("who was away has what is from %d on", first)
		}
		bob = j.tab(bobs)
		there := bob.Space(id)
		j.comesTo(bob, id, last)
		j.wantsRows(bob, id, want)
		time.Sleep(2 * time.Minute)
		for _, d := range []*device{adas, bobs} {
			if first, to := d.keeps(id); first != end+1 || to != last {
				t.Errorf("it has the records from %d to %d, want %d to %d", first, to, end+1, last)
			}
		}
		j.wantsRows(bob, id, want)
		if info := there.Info(); info.Oldest != end+1 || info.Expired != end || info.Code != 0 || info.Position.Seq != last {
			t.Errorf("%+v", info)
		}
		if check, err := there.Check(j.Context()); err != nil || check.Damage != "" || check.Seq != last {
			t.Errorf("checked: %+v, %v", check, err)
		}
		if len(export(j.T, bob.Client, id)) == 0 {
			t.Error("the archive is empty")
		}

		j.expire(s, between) // which the server received today
		last = s.Info().Position.Seq
		time.Sleep(2 * time.Minute)
		for _, d := range []*device{adas, bobs} {
			if first, to := d.keeps(id); first != end+1 || to != last {
				t.Errorf("today it has the records from %d to %d, want %d to %d", first, to, end+1, last)
			}
		}

		// A backup of bob's device of before sends what it wrote then.
		row := replica.OutboxRow{Entry: replica.Entry{ID: old.ID()}, Transaction: old}
		if _, err := bobs.store.Commit(j.Context(), &replica.Commit{Strict: true, Spaces: []replica.SpaceCommit{{Space: id, Append: []replica.OutboxRow{row}}}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if info := there.Info(); info.Pending != 0 || info.Rejected != 0 || info.Position.Seq != last {
			t.Errorf("sent again: %+v", info)
		}
		if now, head := j.log(id); !now[end-1].Expired || head.Seq != last {
			t.Errorf("the log ends at %d, and record %d has expired: %v", head.Seq, end, now[end-1].Expired)
		}
		j.wantsRows(bob, id, want)
		bob.Close(j.Context())

		alone := j.tab(bobs, offline)
		there = alone.Space(id)
		j.wantsRows(alone, id, want)
		read := func() (n uint64) {
			for record, err := range there.Events(j.Context(), wasmclient.EventsOptions{}) {
				if err != nil {
					t.Fatalf("without a network: %v", err)
				}
				if n++; n == 1 && record.Seq != end+1 {
					t.Errorf("the first is %d", record.Seq)
				}
			}
			return n
		}
		if n := read(); n != last-end {
			t.Errorf("without a network there are %d records, want %d", n, last-end)
		}
		if records, err := there.ReadBefore(j.Context(), end, 100, math.MaxInt); err != nil || len(records) != 0 {
			t.Errorf("before them %d records, %v", len(records), err)
		}
		if info := there.Info(); info.Expired != end {
			t.Errorf("it is known that %d have expired, want %d", info.Expired, end)
		}
		alone.Close(j.Context())
		ada.Close(j.Context())
		time.Sleep(25 * time.Hour)

		bob = j.tab(bobs) // a day later what is left of them goes too
		there = bob.Space(id)
		bob.leads(time.Minute)
		time.Sleep(2 * time.Minute)
		if first, to := bobs.keeps(id); first != between+1 || to != last {
			t.Errorf("a day later it has the records from %d to %d, want %d to %d", first, to, between+1, last)
		}
		j.wantsRows(bob, id, want)
	})
}
