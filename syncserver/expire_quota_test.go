package syncserver_test

import (
	"strings"
	"testing"
	"time"

	"skerry/shared/module/builtin"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// TestExpireOverQuota: who has no room left makes some by having records expire, and the space goes on. An expiry by which no more
// expires than it adds, or that is large, needs room itself; and those that need none come to an end.
func TestExpireOverQuota(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil), tokens, func(c *syncserver.Config) { c.Quotas.Bytes, c.IdleTimeout = 8000, 10*time.Second })
	ann := r.dial("ann")
	d, _ := builtin.ByName("members")
	id := ann.createOf(upload(t, log, builtin.Bytes(d)))
	full := func(size int) (head uint64) {
		t.Helper()
		for {
			v := ann.verdict(id, privateEvent("ann", "note", "text", strings.Repeat("x", size)))
			if v.Kind != wire.Accepted {
				overQuota(t, "a note", &v)
				return head
			}
			head = v.Position.Seq
		}
	}
	head := max(full(500), full(1))

	large := expires("ann", head)
	large.Events[0].Payload = msgpack.AppendUint(msgpack.AppendString(msgpack.AppendMap(nil, 2), "upto"), head)
	large.Events[0].Payload = msgpack.AppendString(msgpack.AppendString(large.Events[0].Payload, "x"), strings.Repeat("x", 64))
	for what, one := range map[string]space.Transaction{"a large one": large, "one by which two expire": expires("ann", 2)} {
		v := ann.verdict(id, one)
		overQuota(t, what, &v)
	}
	upto := uint64(3)
	if v := ann.verdict(id, expires("ann", upto)); v.Kind != wire.Accepted {
		t.Fatalf("one by which three expire: %+v", v)
	}
	ann.untilTaken(id, privateEvent("ann", "note", "text", "x"))

	for accepted := 0; ; accepted++ {
		upto++
		v := ann.verdict(id, expires("ann", upto))
		if v.Kind != wire.Accepted {
			overQuota(t, "one after the other", &v)
			return
		}
		if accepted > 100 {
			t.Fatalf("a log of %d records, for which there is no more room, has gone on to %d", head, v.Position.Seq)
		}
	}
}
