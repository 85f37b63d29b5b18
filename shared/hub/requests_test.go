package hub_test

import (
	"testing"

	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

func TestRequestsWaitForCreditAndAreBounded(t *testing.T) {
	log := filled(4)
	l := welcomedLine(t, 0, func(c *hub.Config) { c.Requests = 2 })
	for ref := uint64(1); ref <= 3; ref++ {
		l.receive(&wire.Fetch{Ref: ref, Space: spaceID})
	}
	l.wants("refused 3 too_many")
	l.receive(&wire.Credit{Bytes: 1 << 20})
	for ref := uint64(1); ref <= 2; ref++ {
		f := l.page
		l.page = nil
		if f == nil || f.Ref != ref {
			t.Fatalf("page %v, want ref %d", f, ref)
		}
		message, err := hub.PageMessage(l.config, log, log.head.Seq, f)
		if err != nil {
			t.Fatal(err)
		}
		l.step(hub.PageRead{Ref: f.Ref, Message: message})
	}
	l.wants("page 1 +8 @8, page 2 +8 @8")
	l.receive(&wire.Fetch{Ref: 4, Space: spaceID})
	l.page = nil
	l.step(hub.PageRead{Ref: 4, Code: wire.CodeForbidden})
	l.wants("refused 4 forbidden")
}

func TestBlobsComeInPieces(t *testing.T) {
	l := welcomedLine(t, 1<<20, func(c *hub.Config) { c.ReadBytes = 10 })
	l.receive(&wire.Blob{Ref: 7, Digest: space.ID{1}, Offset: 5})
	for l.blob != nil {
		b := l.blob
		l.blob = nil
		l.step(hub.BlobRead{Ref: b.Ref, Total: 28, Offset: b.Offset, Bytes: make([]byte, min(10, 28-b.Offset))})
	}
	l.wants("blob_part 7 5+10/28, blob_part 7 15+10/28, blob_part 7 25+3/28")
	l.receive(&wire.Blob{Ref: 8})
	l.blob = nil
	l.step(hub.BlobRead{Ref: 8, Code: wire.CodeModuleMissing})
	l.wants("refused 8 module_missing")
	l.receive(&wire.Blob{Ref: 9, Offset: 30})
	l.blob = nil
	l.step(hub.BlobRead{Ref: 9, Total: 28, Offset: 30})
	l.wants("blob_part 9 30+0/28")
}

func TestRequestsAndSubscriptionsAlternate(t *testing.T) {
	l := many(t, []uint64{1000})
	l.receive(&wire.Fetch{Ref: 1})
	l.receive(&wire.Fetch{Ref: 2})
	order := ""
	for i := range 4 {
		if l.page != nil {
			ref := l.page.Ref
			l.page = nil
			l.step(hub.PageRead{Ref: ref, Message: wire.Append(nil, &wire.Page{Ref: ref})})
			order += "p"
		} else {
			l.give(10, uint64(i+1), 1000)
			order += "e"
		}
	}
	if order != "epep" {
		t.Errorf("order %s", order)
	}
}

func TestPagesBothWays(t *testing.T) {
	log := newLog()
	log.other(tx(1))
	log.other(tx(2, 3, 4))
	log.other(tx(5, 6))
	log.other(tx(7))
	config := testConfig()
	for _, c := range []struct {
		fetch       wire.Fetch
		first, last uint64
	}{
		{wire.Fetch{}, 1, 7},
		{wire.Fetch{MaxRecords: 4}, 1, 4},
		{wire.Fetch{MaxRecords: 3}, 1, 1},
		{wire.Fetch{After: 1, MaxRecords: 1}, 2, 4}, // at least one
		{wire.Fetch{After: 4, MaxBytes: 1}, 5, 6},
		{wire.Fetch{Before: 8}, 1, 7},
		{wire.Fetch{Before: 1000, MaxRecords: 3}, 5, 7},
		{wire.Fetch{Before: 8, MaxRecords: 2}, 7, 7},
		{wire.Fetch{Before: 7, MaxRecords: 1}, 5, 6}, // at least one
		{wire.Fetch{Before: 6, MaxRecords: 3}, 2, 4}, // 6 is inside a transaction
		{wire.Fetch{Before: 5, MaxRecords: 1}, 2, 4},
		{wire.Fetch{Before: 5, MaxBytes: 1}, 2, 4},
		{wire.Fetch{Before: 2}, 1, 1},
	} {
		c.fetch.Space = spaceID
		message, err := hub.PageMessage(config, log, log.head.Seq, &c.fetch)
		if err != nil {
			t.Fatal(err)
		}
		f, err := wire.Decode(message)
		if err != nil {
			t.Fatal(err)
		}
		p := f.(*wire.Page)
		if n := len(p.Records); n == 0 || p.Records[0].Seq != c.first || p.Records[n-1].Seq != c.last || n != int(c.last-c.first)+1 {
			t.Errorf("%+v: %d records, %v", c.fetch, n, p.Position.Seq)
			continue
		}
		if p.ChainBefore != space.Fold(spaceID, log.records[:c.first-1]) || p.Position.Chain != space.Fold(spaceID, log.records[:c.last]) ||
			p.Position.Seal != space.Seal(secret, spaceID, c.last, p.Position.Chain) {
			t.Errorf("%+v: chains do not fold", c.fetch)
		}
	}
	for _, f := range []wire.Fetch{{After: 7}, {After: 99}, {Before: 1}} {
		f.Space = spaceID
		message, err := hub.PageMessage(config, log, log.head.Seq, &f)
		if err != nil {
			t.Fatal(err)
		}
		decoded, _ := wire.Decode(message)
		if p := decoded.(*wire.Page); len(p.Records) != 0 || p.Position.Chain != p.ChainBefore {
			t.Errorf("%+v: page %v", f, p)
		}
	}
}
