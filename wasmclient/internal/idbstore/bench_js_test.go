package idbstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"syscall/js"
	"testing"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient/internal/jsbind"
)

// benchRun makes n records of 200 bytes after a position.
func benchRun(at space.Position, n int) ([]space.Record, *replica.SpaceCommit) {
	records := make([]space.Record, n)
	for i := range records {
		seq := at.Seq + uint64(i) + 1
		records[i] = space.Record{
			Event: space.Event{Type: "message.post", Payload: make([]byte, 200)}, Seq: seq, ReceivedAt: 1_700_000_000_000,
			Count: 1, Author: "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK", API: "1.0.0", ClientVersion: "1.0.0",
		}
		binary.BigEndian.PutUint64(records[i].ID[:], seq)
	}
	after := space.Position{Seq: at.Seq + uint64(n), Chain: space.Fold(at.Chain, records)}
	return records, &replica.SpaceCommit{
		Space: testSpace, Expect: &at, Records: encodeRecords(records), First: at.Seq + 1, Last: after.Seq, Position: &after,
	}
}

func encodeRecords(records []space.Record) []byte {
	var b []byte
	for i := range records {
		b = wire.AppendRecord(b, &records[i])
	}
	return b
}

// BenchmarkColdLoad reads 100,000 records of 200 bytes that came in commits of several sizes, beside the floor:
// the same records in segments of 1,000, read by one getAll, copied into Go and decoded.
func BenchmarkColdLoad(b *testing.B) {
	const total = 100_000
	for _, size := range []int{1, 7, 100, 1000} {
		b.Run(fmt.Sprintf("commits of %d", size), func(b *testing.B) {
			s := openTest(b, freshName(b))
			for at := space.Start(testSpace); at.Seq < total; { // of 1: for minutes
				_, part := benchRun(at, size)
				mustCommit(b, s, &replica.Commit{Spaces: []replica.SpaceCommit{*part}})
				at = *part.Position
			}
			for b.Loop() {
				n := 0
				for after := uint64(0); ; {
					records, err := s.Read(context.Background(), testSpace, after, total, 16<<20)
					if err != nil {
						b.Fatal(err)
					}
					if len(records) == 0 {
						break
					}
					n += len(records)
					after = records[len(records)-1].Seq
				}
				if n < total {
					b.Fatalf("%d records", n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/100k")
		})
	}
	b.Run("held to the chain", func(b *testing.B) { // as the first reading of a new page is
		s := openTest(b, freshName(b))
		for at := space.Start(testSpace); at.Seq < total; {
			_, part := benchRun(at, 1000)
			mustCommit(b, s, &replica.Commit{Spaces: []replica.SpaceCommit{*part}})
			at = *part.Position
		}
		for b.Loop() {
			s.mu.Lock()
			s.recent.drop()
			s.mu.Unlock()
			for after := uint64(0); after < total; {
				records, err := s.Read(context.Background(), testSpace, after, 1000, 16<<20)
				if err != nil || len(records) == 0 {
					b.Fatal(len(records), err)
				}
				after = records[len(records)-1].Seq
			}
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/100k")
	})
	b.Run("encoded", func(b *testing.B) { // as much at a time as a page asks for
		s := openTest(b, freshName(b))
		for at := space.Start(testSpace); at.Seq < total; {
			_, part := benchRun(at, 1000)
			mustCommit(b, s, &replica.Commit{Spaces: []replica.SpaceCommit{*part}})
			at = *part.Position
		}
		for b.Loop() {
			for after := uint64(0); after < total; {
				_, n, last, err := s.ReadEncoded(context.Background(), testSpace, after, 1024, 256<<10)
				if err != nil || n == 0 {
					b.Fatal(n, err)
				}
				after = last
			}
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/100k")
	})
	b.Run("floor", func(b *testing.B) {
		s := openTest(b, freshName(b))
		at := space.Start(testSpace)
		for at.Seq < total {
			tx, err := s.conn.begin(idb.TransactionReadWrite, idb.DurabilityRelaxed, storeSegments)
			if err != nil {
				b.Fatal(err)
			}
			_, part := benchRun(at, 1000)
			tx.put(storeSegments, js.ValueOf(float64(part.First)), part.Records)
			if err := tx.commit(); err != nil {
				b.Fatal(err)
			}
			at = *part.Position
		}
		for b.Loop() {
			n := 0
			err := s.view(context.Background(), func(tx *transaction) error {
				request := tx.getAll(storeSegments, js.Undefined(), 0)
				if err := tx.turn(); err != nil {
					return err
				}
				values := request.result()
				for i := range values.Length() {
					records, err := wire.DecodeRecords(jsbind.ToBytes(values.Index(i)))
					if err != nil {
						return err
					}
					n += len(records)
				}
				return nil
			}, storeSegments)
			if err != nil || n != total {
				b.Fatal(n, err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/100k")
	})
}

var benchID uint64

func benchRow() replica.OutboxRow {
	benchID++
	t := space.Transaction{Author: testIdentity, API: "1.0.0", Events: []space.Event{{Type: "message.post", Payload: make([]byte, 200)}}}
	binary.BigEndian.PutUint64(t.Events[0].ID[:], benchID)
	return replica.OutboxRow{Entry: replica.Entry{ID: t.ID(), AppendedAt: 1}, Transaction: t}
}

// BenchmarkAppend makes transactions durable, alone and 1,000 at once, beside puts of as many bytes without
// anything else.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("%d strict", n), func(b *testing.B) {
			s := openTest(b, freshName(b))
			for range b.N {
				rows := make([]replica.OutboxRow, n)
				for i := range rows {
					rows[i] = benchRow()
				}
				mustCommit(b, s, &replica.Commit{Strict: true, Spaces: []replica.SpaceCommit{{Space: testSpace, Append: rows}}})
			}
		})
		b.Run(fmt.Sprintf("%d strict raw puts", n), func(b *testing.B) {
			s := openTest(b, freshName(b))
			value := make([]byte, 300)
			for range b.N {
				err := jsbind.Try(func() {
					tx := s.conn.class.Get("transaction").Call("call", s.conn.object, []any{storeSegments}, "readwrite", map[string]any{"durability": "strict"})
					store := tx.Call("objectStore", storeSegments)
					for range n {
						benchID++
						store.Call("put", jsbind.FromBytes(value), float64(benchID))
					}
					done := make(chan bool, 1)
					defer jsbind.Listen(tx, "complete", func(js.Value) { done <- true })()
					tx.Call("commit")
					<-done
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRecords commits runs of 100 records, as sync does, merges included.
func BenchmarkRecords(b *testing.B) {
	s := openTest(b, freshName(b))
	at := space.Start(testSpace)
	for range b.N {
		_, part := benchRun(at, 100)
		mustCommit(b, s, &replica.Commit{Fenced: true, Spaces: []replica.SpaceCommit{*part}})
		at = *part.Position
	}
}
