package idbstore

import (
	"bytes"
	"context"
	"errors"
	"syscall/js"
	"testing"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

func readEncoded(t *testing.T, s *Store, after uint64, limit int) ([]byte, int, uint64) {
	t.Helper()
	b, n, last, err := s.ReadEncoded(context.Background(), testSpace, after, limit, 1<<20)
	if err != nil {
		t.Fatalf("read encoded after %d: %v", after, err)
	}
	return b, n, last
}

// Reads that go on within a segment begin no transaction, and what was kept for them goes with the connection.
func TestReadEncodedKeepsASegment(t *testing.T) {
	s := openTest(t, freshName(t))
	records, part := benchRun(space.Start(testSpace), 1000)
	mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{*part}})
	readEncoded(t, s, 0, 10)
	begun := s.conn.last
	for after := uint64(10); after < 1000; {
		b, n, last := readEncoded(t, s, after, 33)
		if n != int(last-after) || !bytes.Equal(b, encodeRecords(records[after:last])) {
			t.Fatalf("%d records after %d, to %d", n, after, last)
		}
		if after += uint64(n); after < 1000 && !s.conn.last.Equal(begun) {
			t.Fatalf("a transaction was begun for what comes after %d", last)
		}
	}
	readEncoded(t, s, 5, 5)
	s.conn.object.Call("close")
	s.conn.lost = true // as the browser's close event tells
	if _, n, last := readEncoded(t, s, 10, 5); n != 5 || last != 15 {
		t.Fatalf("%d records to %d on a new connection", n, last)
	}
	back := *part.Position
	back.Seq -= 2
	back.Chain = space.Fold(testSpace, records[:back.Seq])
	mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{{Space: testSpace, Expect: part.Position, Position: &back, Cut: true}}})
	if s.recent.kept != nil {
		t.Fatal("a segment is kept although the position was taken back")
	}
	readEncoded(t, s, 5, 5)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, _, err := s.ReadEncoded(cancelled, testSpace, 10, 5, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	s.Close()
	if s.recent.kept != nil {
		t.Fatal("a closed store keeps a segment")
	}
	if _, _, _, err := s.ReadEncoded(context.Background(), testSpace, 10, 5, 1); !errors.Is(err, wasmclient.ErrStoreClosed) {
		t.Fatalf("closed: %v", err)
	}
}

// Segments that only decoding makes sense of are handed on in the usual encoding; damaged ones are errors.
func TestReadEncodedOddSegments(t *testing.T) {
	s := openTest(t, freshName(t))
	records, _ := benchRun(space.Start(testSpace), 3)
	plain := encodeRecords(records)
	odd := append([]byte{0x9d}, wire.AppendRecord(nil, &records[0])[1:]...)
	odd = append(append(odd, 0xc2, 0xc0), encodeRecords(records[1:])...) // the first says that it has not expired, and has an element more
	for _, test := range []struct {
		value []byte
		fails bool
	}{{plain, false}, {odd, false}, {plain[:len(plain)-1], true}, {nil, true}} {
		err := s.run(context.Background(), func(conn *connection) error {
			tx, err := conn.begin(idb.TransactionReadWrite, idb.DurabilityRelaxed, storeSegments)
			if err != nil {
				return err
			}
			key := js.ValueOf([]any{conn.inKey(testSpace), 1, 3})
			tx.put(storeSegments, key, appendSegment(nil, space.Start(testSpace).Chain, test.value))
			return tx.commit()
		})
		if err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		s.recent.drop()
		s.mu.Unlock()
		b, n, last, err := s.ReadEncoded(context.Background(), testSpace, 0, 10, 1<<20)
		if (err != nil) != test.fails || err == nil && (n != 3 || last != 3 || !bytes.Equal(b, plain)) {
			t.Errorf("%d bytes: %d records to %d, %v", len(test.value), n, last, err)
		}
	}
}

// A page goes on in a segment that another tab merged with what was read before.
func TestReadEncodedGoesOnWhereATabMerged(t *testing.T) {
	s := openTest(t, freshName(t))
	records, part := benchRun(space.Start(testSpace), 4)
	mustCommit(t, s, &replica.Commit{Spaces: []replica.SpaceCommit{*part}})
	readEncoded(t, s, 0, 2)
	more, _ := benchRun(*part.Position, 4)
	records = append(records, more...)
	err := s.run(context.Background(), func(conn *connection) error { // as another tab does it
		tx, err := conn.begin(idb.TransactionReadWrite, idb.DurabilityRelaxed, storeSegments)
		if err != nil {
			return err
		}
		tx.delete(storeSegments, js.ValueOf([]any{conn.inKey(testSpace), 1, 4}))
		key := js.ValueOf([]any{conn.inKey(testSpace), 1, 8})
		tx.put(storeSegments, key, appendSegment(nil, space.Start(testSpace).Chain, encodeRecords(records)))
		return tx.commit()
	})
	if err != nil {
		t.Fatal(err)
	}
	if b, n, last := readEncoded(t, s, 2, 10); n != 6 || last != 8 || !bytes.Equal(b, encodeRecords(records[2:])) {
		t.Fatalf("%d records to %d, not 6 to 8", n, last)
	}
}
