package storetest

import (
	"fmt"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
)

func testLargeTransaction(s *suite) {
	h := s.open()
	f := newFeed(1)
	sizes := make([]int, 1024) // as many events and as many bytes as a server admits
	for i := range sizes {
		sizes[i] = 960
	}
	row, small := f.row(sizes...), f.row(1)
	h.change(f.append(small, row, f.row(2)))
	rows := try(h.Outbox(s.ctx, f.id, h.outbox(f.id)[0].Key, 10)).or(s, "outbox")
	if len(rows) != 1 || transactionDigest(&rows[0].Transaction) != transactionDigest(&row.Transaction) {
		s.Fatalf("got %d rows, want the large one", len(rows))
	}
	h.change(f.run(row.Transaction))
	h.change(f.run(small.Transaction))
	f.wantRecords(s, h.read(f.id, 0, 2000, 4<<20), 1, 1025)
	f.wantRecords(s, h.read(f.id, 1000, 10, 4<<20), 1001, 10) // inside the transaction
	if n := len(h.outbox(f.id)); n != 1 {
		s.Fatalf("%d rows are left, want 1", n)
	}
}

func testLargePayload(s *suite) {
	h := s.open()
	f := newFeed(1)
	row := f.row(256 << 10)
	h.change(f.append(row))
	h.change(replica.SpaceCommit{Space: f.id, Reject: []replica.Rejection{{ID: row.ID}}})
	if got := h.rejected(f.id); len(got) != 1 || transactionDigest(&got[0].Transaction) != transactionDigest(&row.Transaction) {
		s.Fatalf("the rejected rows are %d, or not what was appended", len(got))
	}
	h.change(replica.SpaceCommit{Space: f.id, Retry: []space.ULID{row.ID}})
	if got := h.outbox(f.id); len(got) != 1 || transactionDigest(&got[0].Transaction) != transactionDigest(&row.Transaction) {
		s.Fatalf("the rows are %d, or not what was appended", len(got))
	}
	for range 3 {
		h.change(f.run(f.transaction(256<<10, 256<<10), f.transaction(0), f.transaction(256<<10)))
	}
	f.wantRecords(s, h.read(f.id, 0, 100, 10<<20), 1, 12)
	f.wantRecords(s, h.read(f.id, 0, 100, 1), 1, 1)
	f.wantRecords(s, h.readBefore(f.id, 13, 100, 1), 12, 1)
}

func testCallerKeepsItsBytes(s *suite) {
	h := s.open()
	f := newFeed(1)
	row := f.row(50)
	part := f.runOf(3, 50)
	part.Append = []replica.OutboxRow{row}
	want := transactionDigest(&row.Transaction)
	since := []byte("since")
	h.commit(replica.Commit{Since: since, Spaces: []replica.SpaceCommit{part}})
	for _, bytes := range [][]byte{since, part.Records, row.Transaction.Events[0].Payload} { // all are used again
		for i := range bytes {
			bytes[i] = 0xc1
		}
	}
	got := h.outbox(f.id)
	if string(h.load().Meta.Since) != "since" || transactionDigest(&got[0].Transaction) != want {
		s.Fatal("the store kept its caller's bytes instead of a copy")
	}
	f.wantRecords(s, h.read(f.id, 0, 10, 1<<20), 1, 3)
	got[0].Transaction.Events[0].Payload[0]++ // what is read is the reader's
	got[0].State = replica.Withdrawn
	if again := h.outbox(f.id); again[0].State != replica.Waiting {
		s.Fatal("a reader changed the store")
	}
}

// testReadPaging reads from every number with every limit, over runs of several sizes.
func testReadPaging(s *suite) {
	h := s.open()
	f, other := newFeed(1), newFeed(2)
	for _, n := range []int{1, 2, 1, 7, 3, 1, 1, 5} {
		h.change(f.runOf(n, 30), other.runOf(2, 30))
	}
	h.change(f.run(f.transaction(30, 30, 30)))
	const total = 24
	size := f.records[0].Size()
	for after := range uint64(total + 2) {
		for _, limit := range []int{0, 1, 2, 3, 7, total - 1, total, total + 1} {
			left := max(total-int(after), 0)
			f.wantRecords(s, h.read(f.id, after, limit, 1<<20), after+1, min(max(limit, 1), left))
			f.wantRecords(s, h.readBefore(f.id, uint64(left)+1, limit, 1<<20), uint64(left-min(max(limit, 1), left))+1, min(max(limit, 1), left))
		}
	}
	// "About" maxBytes: at least one, a page that makes progress and is not far above what was asked.
	for _, maxBytes := range []int{0, 1, size, 3 * size, 10 * size} {
		after := uint64(0)
		for after < total {
			got := h.read(f.id, after, 1000, maxBytes)
			if len(got) == 0 || len(got) > maxBytes/size*2+1 {
				s.Fatalf("%d records for %d bytes", len(got), maxBytes)
			}
			f.wantRecords(s, got, after+1, len(got))
			after += uint64(len(got))
		}
		before := uint64(total + 1)
		for before > 1 {
			got := h.readBefore(f.id, before, 1000, maxBytes)
			if len(got) == 0 || len(got) > maxBytes/size*2+1 {
				s.Fatalf("%d records for %d bytes", len(got), maxBytes)
			}
			f.wantRecords(s, got, before-uint64(len(got)), len(got))
			before -= uint64(len(got))
		}
	}
	f.wantRecords(s, h.read(f.id, 1<<40, 10, 1<<20), 1, 0)
	f.wantRecords(s, h.readBefore(f.id, 0, 10, 1<<20), 1, 0)
	f.wantRecords(s, h.readBefore(f.id, 1<<40, 4, 1<<20), total-3, 4)
}

// testSmallRuns makes a store merge: many commits of a few records, of two spaces in turn, read again all along.
func testSmallRuns(s *suite) {
	h, reader := s.open(), s.open()
	f, other := newFeed(1), newFeed(2)
	commits := 300
	if soak() {
		commits = 3000
	}
	for i := range commits {
		part := f.runOf(1+i%3, 50+i%200)
		if i%5 == 0 {
			h.change(part, other.runOf(1, 10))
		} else {
			h.change(part)
		}
		if i%37 == 0 {
			n := len(f.records)
			f.wantRecords(s, reader.read(f.id, uint64(n/2), n, 16<<20), uint64(n/2)+1, n-n/2)
			f.wantRecords(s, reader.readBefore(f.id, uint64(n)+1, 5, 16<<20), uint64(n-min(n, 5))+1, min(n, 5))
		}
	}
	f.wantRecords(s, reader.read(f.id, 0, 1<<20, 64<<20), 1, len(f.records))
	other.wantRecords(s, reader.read(other.id, 0, 1<<20, 64<<20), 1, len(other.records))
	for after := uint64(0); int(after) < len(f.records); { // in pages that fit no segment
		got := reader.read(f.id, after, 13, 64<<20)
		f.wantRecords(s, got, after+1, min(13, len(f.records)-int(after)))
		after += uint64(len(got))
	}
}

func testLargeRuns(s *suite) {
	h := s.open()
	f := newFeed(1)
	for _, n := range []int{1, 1000, 1, 1, 400, 2000, 3} {
		h.change(f.runOf(n, 200))
	}
	f.wantRecords(s, h.read(f.id, 0, 1<<20, 64<<20), 1, 3406)
	f.wantRecords(s, h.read(f.id, 999, 3, 64<<20), 1000, 3)
	f.wantRecords(s, h.readBefore(f.id, 1003, 5, 64<<20), 998, 5)
}

// testHole sets a position beyond the records, as booting from a checkpoint does.
func testHole(s *suite) {
	h := s.open()
	f := newFeed(1)
	h.change(f.runOf(5, 10))
	skipped := f.runOf(4, 10)
	h.change(replica.SpaceCommit{Space: f.id, Expect: skipped.Expect, Position: skipped.Position})
	for range 40 {
		h.change(f.runOf(2, 10))
	}
	f.wantRecords(s, h.read(f.id, 0, 100, 1<<20), 1, 5) // a result ends before the hole
	f.wantRecords(s, h.read(f.id, 3, 100, 1<<20), 4, 2)
	f.wantRecords(s, h.read(f.id, 5, 100, 1<<20), 10, 80)
	f.wantRecords(s, h.read(f.id, 7, 1, 1<<20), 10, 1)
	f.wantRecords(s, h.readBefore(f.id, 1000, 100, 1<<20), 10, 80)
	f.wantRecords(s, h.readBefore(f.id, 12, 100, 1<<20), 10, 2)
	f.wantRecords(s, h.readBefore(f.id, 10, 100, 1<<20), 1, 5)
	f.wantRecords(s, h.readBefore(f.id, 8, 2, 1<<20), 4, 2)

	booted := newFeed(2) // whose first records were never here
	booted.info.Position = space.Position{Seq: 100, Chain: digest.Of([]byte("checkpoint"))}
	booted.position = booted.info.Position
	h.change(booted.insert())
	h.change(booted.runOf(3, 10))
	got := h.read(booted.id, 0, 100, 1<<20)
	if len(got) != 3 || got[0].Seq != 101 || recordsDigest(got) != recordsDigest(booted.records) {
		s.Fatalf("after a boot %d records are read", len(got))
	}
}

func testTwoHandles(s *suite) {
	a, b := s.open(), s.open()
	f := newFeed(1)
	a.change(f.insert())
	row := f.row(1)
	b.change(f.append(row))
	snapshot := a.refresh(f.id)
	if snapshot.Version != 2 || len(snapshot.Outbox) != 1 || snapshot.Info.Genesis == nil {
		s.Fatalf("the other handle reads %+v", snapshot)
	}
	a.change(f.run(row.Transaction))
	b.change(f.runOf(1, 1))
	if got, want := a.everything(), b.everything(); got != want {
		s.Fatalf("two handles read\n%s\nand\n%s", got, want)
	}
	a.Close()
	f.wantRecords(s, b.read(f.id, 0, 10, 1<<20), 1, 2)
}

// testConcurrentAppends lets several tabs append at once, some of them the same transactions.
func testConcurrentAppends(s *suite) {
	f := newFeed(1)
	const tabs, each = 4, 25
	shared := f.row(5)
	errs := make(chan error, tabs)
	keys := make(chan uint64, tabs*(each+1))
	for range tabs {
		h := s.open()
		var rows []replica.OutboxRow
		for range each {
			rows = append(rows, f.row(5))
		}
		go func() {
			var err error
			for i := 0; i < each && err == nil; i++ {
				var result *replica.CommitResult
				result, err = h.Commit(s.ctx, &replica.Commit{Strict: i%2 == 0, Spaces: []replica.SpaceCommit{f.append(rows[i], shared)}})
				if err == nil && result.Stale {
					err = fmt.Errorf("an append is stale")
				}
				if err == nil {
					keys <- result.Keys[0]
					if result.Keys[1] != 0 {
						keys <- result.Keys[1]
					}
				}
			}
			errs <- err
		}()
	}
	for range tabs {
		if err := <-errs; err != nil {
			s.Fatal(err)
		}
	}
	close(keys)
	given := map[uint64]bool{}
	for key := range keys {
		if key == 0 || given[key] {
			s.Fatalf("key %d was given twice", key)
		}
		given[key] = true
	}
	h := s.open()
	rows := h.outbox(f.id)
	if len(rows) != tabs*each+1 || len(given) != len(rows) {
		s.Fatalf("%d rows with %d keys, want %d", len(rows), len(given), tabs*each+1)
	}
	if version := h.refresh(f.id).Version; version != tabs*each {
		s.Fatalf("the version is %d after %d commits", version, tabs*each)
	}
}

// testConcurrentLeaders lets tabs take the lead from each other while they commit records: fence and position keep
// the log whole.
func testConcurrentLeaders(s *suite) {
	f := newFeed(1)
	var parts []replica.SpaceCommit // part n follows on position n
	for range 60 {
		parts = append(parts, f.runOf(1, 20))
	}
	errs := make(chan error, 3)
	for range 3 {
		h := s.open()
		go func() {
			errs <- func() error {
				loaded, err := h.RaiseEpoch(s.ctx)
				if err != nil {
					return err
				}
				epoch := loaded.Meta.Epoch
				for {
					snapshot, err := h.Refresh(s.ctx, f.id)
					if err != nil {
						return err
					}
					n := int(snapshot.Info.Position.Seq)
					if n == len(parts) {
						return nil
					}
					result, err := h.Commit(s.ctx, &replica.Commit{Fenced: true, Epoch: epoch, Spaces: parts[n : n+1]})
					if err != nil {
						return err
					}
					switch {
					case result.Stale:
						epoch = result.Epoch // raising it here would let three tabs fence each other out for ever
					case n%7 == 6:
						if loaded, err = h.RaiseEpoch(s.ctx); err != nil {
							return err
						}
						epoch = loaded.Meta.Epoch
					}
				}
			}()
		}()
	}
	for range 3 {
		if err := <-errs; err != nil {
			s.Fatal(err)
		}
	}
	h := s.open()
	f.wantRecords(s, h.read(f.id, 0, 100, 1<<20), 1, 60)
	if snapshot := h.refresh(f.id); snapshot.Info.Position != f.position || snapshot.Version != 60 {
		s.Fatalf("the space is %+v", snapshot)
	}
}
