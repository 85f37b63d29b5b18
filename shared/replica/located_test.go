package replica_test

import (
	"strings"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// A space that is subscribed to is asked about, since a verdict says that the server does not know it. It does: what came meanwhile was passed over, and comes
// again. Another tab may have stored it before the answer comes, which is of the place that was asked about and not of where the space stands now.
func TestWhatComesWhileTheServerIsAsked(t *testing.T) {
	for _, moved := range []bool{false, true} {
		s := synced(t)
		s.stores("a", tx(1))
		s.receive(s.events("a", 1, 1))
		s.caughtUp("a")
		s.settle()
		s.write("a", tx(2))
		s.settle()
		s.told()
		s.verdicts("a", 1, deferred(wire.CodeUnknownSpace, 0))
		s.settle()
		var ref uint64
		for _, f := range s.sent {
			if locate, ok := f.(*wire.Locate); ok {
				ref = locate.Ref
			}
		}
		s.wants("locate a@1")
		s.stores("a", tx(3))
		s.receive(s.events("a", 2, 2))
		s.settle()
		s.wantsRecords("a", 1)
		from := "subscribe a@1"
		if moved {
			from = "subscribe a@2"
			was, is := s.store.Refresh(idOf("a")).Info.Position, s.events("a", 2, 2)
			result, err := s.store.Commit(&replica.Commit{Spaces: []replica.SpaceCommit{{
				Space: idOf("a"), Expect: &was, Records: wire.AppendRecord(nil, &is.Records[0]), First: 2, Last: 2, Position: &is.Position,
			}}})
			if err != nil || result.Stale {
				t.Fatal(result, err)
			}
			s.step(replica.Hint{Space: idOf("a"), Version: s.store.Refresh(idOf("a")).Version})
			s.settle()
		}
		common := s.at("a", 1)
		s.receive(&wire.Located{Ref: ref, Space: idOf("a"), Common: space.Position{Seq: common.Seq, Chain: common.Chain}})
		s.settle()
		if told := s.told(); !strings.HasSuffix(told, from) {
			t.Errorf("sent %q, want %q", told, from)
		}
		if status := s.core.Space(idOf("a")); status.Code == wire.CodeRecovering {
			t.Errorf("%v: %s", status.Code, status.Reason)
		}
	}
}
