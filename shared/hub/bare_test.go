package hub_test

import (
	"testing"

	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/space"
)

// A replica may have an upgrade, and not the server's word behind it: of a log that it brings back to a server that lost it, and of one that was put together that
// way and is opened, the word is written before what is judged next.
func TestUpgradeWithoutTheWord(t *testing.T) {
	for name, adopts := range map[string]bool{"opened": false, "adopted": true} {
		t.Run(name, func(t *testing.T) {
			u := newUpgrading(t)
			u.push(1, u.to("ann", carried))
			u.settle()
			u.wants("1/2: accepted@2")
			records := u.log.records[:2:2]
			if last := u.log.last(); last.Type != module.TypeCheckpoint || !hub.Bare(&records[1]) {
				t.Fatalf("behind the upgrade is %s", last.Type)
			}
			after := func(n int) space.Head {
				return space.Head{Seq: uint64(n), Chain: space.Fold(spaceID, records[:n]), ReceivedAt: records[n-1].ReceivedAt}
			}
			n := 2
			if adopts {
				n = 1
			}
			again := newWorld(t)
			again.begin, u.world = u.begin, again
			u.log.records, u.log.head = records[:n:n], after(n)
			for i := range records[:n] {
				u.log.at[records[i].ID] = uint64(i + 1)
			}
			if adopts {
				end := after(2).Position()
				u.step(hub.Tail{
					Caller: u.caller(7), Ref: 1, Base: after(1).Position(), End: end, Records: records[1:],
				})
				u.settle()
				if u.log.head.Seq != 2 {
					t.Fatalf("the log is at %d", u.log.head.Seq)
				}
			}
			u.push(1, u.note("ann"), u.note("bob"))
			u.settle()
			u.wants("1/1: accepted@4 accepted@5")
			if got := u.log.records[2]; got.Type != module.TypeCheckpoint || len(u.log.records) != 5 {
				t.Errorf("behind the upgrade is %s, and %d records are there", got.Type, len(u.log.records))
			}
			u.again()
			u.push(1, u.note("ann"))
			u.settle()
			if got := u.log.records[5]; got.Type != "note" || len(u.log.records) != 6 {
				t.Errorf("record 6 is %s, and %d records are there", got.Type, len(u.log.records))
			}
		})
	}
}
