package sqlitelog

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"skerry/shared/space"
	"skerry/syncserver/logtest"
)

// load makes batches of events of 200 bytes for one space, with ids in the order of time as clients make them.
type load struct {
	id      space.ID
	head    space.Head
	records []space.Record
	count   uint64
}

func newLoad(b *testing.B, log *Log, i, batch int) *load {
	genesis := logtest.NewGenesis(rand.New(rand.NewPCG(3, uint64(i))))
	l := &load{id: genesis.ID(), records: make([]space.Record, batch)}
	l.head = space.Head{Chain: l.id}
	if log != nil {
		if _, err := log.Create(b.Context(), &genesis, nil); err != nil {
			b.Fatal(err)
		}
	}
	payload := make([]byte, 200)
	for j := range l.records {
		r := &l.records[j]
		r.Author, r.API, r.ClientVersion = fmt.Sprint("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK", i), "1.0.0", "app 1.2"
		r.Type, r.Payload, r.Count = "note.edited", payload, 1
		binary.LittleEndian.PutUint64(r.ID[8:], rand.Uint64())
	}
	return l
}

// next numbers the batch anew.
func (l *load) next() space.Head {
	for j := range l.records {
		r := &l.records[j]
		l.count++
		r.Seq, r.ReceivedAt = l.count, 1_790_000_000_000+l.count/100
		binary.BigEndian.PutUint64(r.ID[:8], r.ReceivedAt<<16|l.count&0xffff)
	}
	last := &l.records[len(l.records)-1]
	return space.Head{Seq: last.Seq, ReceivedAt: last.ReceivedAt}
}

// BenchmarkAppend measures durable events per second. An iteration is one event.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 32} {
		for _, batch := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("writers=%d/batch=%d/log", writers, batch), func(b *testing.B) {
				log := open(b, Config{})
				loads := make([]*load, writers)
				for i := range loads {
					loads[i] = newLoad(b, log, i, batch)
				}
				var group sync.WaitGroup
				b.ResetTimer()
				for _, l := range loads {
					group.Go(func() {
						for n := 0; n < b.N; n += writers * batch {
							head := l.next()
							if err := log.Append(b.Context(), l.id, l.head, l.records, head); err != nil {
								b.Error(err)
								return
							}
							l.head = head
						}
					})
				}
				group.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
			b.Run(fmt.Sprintf("writers=%d/batch=%d/floor", writers, batch), func(b *testing.B) { benchmarkFloor(b, writers, batch) })
		}
	}
}

// benchmarkFloor inserts the same rows into the same table, a row a statement, in transactions of a batch of every
// writer: what SQLite takes if nothing else is done.
func benchmarkFloor(b *testing.B, writers, batch int) {
	log := open(b, Config{})
	w := &writer{log: log}
	if err := w.open(); err != nil {
		b.Fatal(err)
	}
	defer w.conn.close()
	loads := make([]*load, writers)
	for i := range loads {
		loads[i] = newLoad(b, nil, i, batch)
	}
	w.origins[origin{}] = 1
	s, err := w.conn.stmt(insertEvent)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for n := 0; n < b.N; n += writers * batch {
		if err := w.run1("BEGIN IMMEDIATE"); err != nil {
			b.Fatal(err)
		}
		for no, l := range loads {
			head := l.next()
			for j := range l.records {
				r := l.records[j]
				r.Author, r.API, r.ClientVersion = "", "", ""
				if err := w.bindEvent(s, int64(no+1), &r, head); err != nil {
					b.Fatal(err)
				}
				if err := s.Exec(); err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := w.run1("COMMIT"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkRead measures reading a long space in pages of 500 records. An iteration is one record.
func BenchmarkRead(b *testing.B) {
	log := open(b, Config{})
	l := newLoad(b, log, 1, 100)
	for range 500 {
		head := l.next()
		if err := log.Append(b.Context(), l.id, l.head, l.records, head); err != nil {
			b.Fatal(err)
		}
		l.head = head
	}
	b.ReportAllocs()
	b.ResetTimer()
	after := uint64(0)
	for n := 0; n < b.N; {
		records, err := log.Read(b.Context(), l.id, after, 500, 1<<20)
		if err != nil {
			b.Fatal(err)
		}
		if n += len(records); len(records) == 0 {
			after = 0
		} else {
			after = records[len(records)-1].Seq
		}
	}
}

// BenchmarkKnown measures looking up a hundred ids that are not there, as for every push of new events. An
// iteration is one id.
func BenchmarkKnown(b *testing.B) {
	log := open(b, Config{})
	l := newLoad(b, log, 1, 100)
	for range 500 {
		head := l.next()
		if err := log.Append(b.Context(), l.id, l.head, l.records, head); err != nil {
			b.Fatal(err)
		}
		l.head = head
	}
	ids := make([]space.ULID, 100)
	for i := range ids {
		binary.BigEndian.PutUint64(ids[i][:8], 1_790_000_000_000<<16|uint64(i*300))
	}
	b.ResetTimer()
	for n := 0; n < b.N; n += len(ids) {
		if _, err := log.Known(b.Context(), l.id, ids); err != nil {
			b.Fatal(err)
		}
	}
}
