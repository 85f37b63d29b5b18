package wire

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"skerry/shared/space"
)

// A reflected record is what another library needs to write and read the same bytes.
type reflectedRecord struct {
	//lint:ignore U1000 msgpack reads its tag
	_msgpack      struct{} `msgpack:",as_array"`
	ID            []byte
	Seq           uint64
	ReceivedAt    uint64
	Index, Count  uint32
	Author, Type  string
	Schema        []byte
	Payload       []byte
	API           string
	ClientVersion string
}

type reflectedEvents struct {
	//lint:ignore U1000 msgpack reads its tag
	_msgpack struct{} `msgpack:",as_array"`
	Number   uint64
	Space    []byte
	Records  []reflectedRecord
	Position struct {
		//lint:ignore U1000 msgpack reads its tag
		_msgpack    struct{} `msgpack:",as_array"`
		Seq         uint64
		Chain, Seal []byte
	}
}

func benchmarkEvents() (*Events, *reflectedEvents) {
	events := &Events{Space: fill32(1), Position: examplePosition()}
	for i := range 100 {
		t := exampleTransaction(1, 200)
		t.Events[0].ID = exampleID(byte(i))
		events.Records = append(events.Records, t.Records(uint64(1000+i), 1_700_000_000_000)...)
	}
	other := &reflectedEvents{Number: uint64(NumberEvents), Space: events.Space[:]}
	for i := range events.Records {
		r := &events.Records[i]
		other.Records = append(other.Records, reflectedRecord{
			ID: r.ID[:], Seq: r.Seq, ReceivedAt: r.ReceivedAt, Index: r.Index, Count: r.Count, Author: r.Author, Type: r.Type,
			Schema: r.Schema[:], Payload: r.Payload, API: r.API, ClientVersion: r.ClientVersion,
		})
	}
	other.Position.Seq, other.Position.Chain, other.Position.Seal = events.Position.Seq, events.Position.Chain[:], events.Position.Seal[:]
	return events, other
}

func encodeReflected(b *bytes.Buffer, v any) error {
	encoder := msgpack.NewEncoder(b)
	encoder.UseCompactInts(true)
	return encoder.Encode(v)
}

// The benchmarks compare like with like: both libraries write the same bytes.
func TestBenchmarksCompareTheSameBytes(t *testing.T) {
	events, other := benchmarkEvents()
	var b bytes.Buffer
	if err := encodeReflected(&b, other); err != nil || !bytes.Equal(b.Bytes(), Append(nil, events)) {
		t.Fatalf("msgpack/v5 writes something else: %v", err)
	}
	var records []byte
	for i := range events.Records {
		records = AppendRecord(records, &events.Records[i])
	}
	if got := AppendEvents(nil, events.Space, len(events.Records), records, events.Position); !bytes.Equal(got, b.Bytes()) {
		t.Error("AppendEvents differs from Append")
	}
}

// Decoding a frame allocates for the frame, its records and each text once, whatever the number of records.
func TestDecodeEventsAllocations(t *testing.T) {
	events, _ := benchmarkEvents()
	message := Append(nil, events)
	if got := testing.AllocsPerRun(100, func() { _, _ = Decode(message) }); got > 8 {
		t.Errorf("decoding 100 records makes %v allocations", got)
	}
	buffer := make([]byte, 0, len(message))
	if got := testing.AllocsPerRun(100, func() { buffer = Append(buffer[:0], events) }); got != 0 {
		t.Errorf("appending 100 records makes %v allocations", got)
	}
}

func BenchmarkAppendEvents(b *testing.B) {
	events, other := benchmarkEvents()
	b.Run("wire", func(b *testing.B) {
		buffer := Append(nil, events)
		b.SetBytes(int64(len(buffer)))
		b.ReportAllocs()
		for b.Loop() {
			buffer = Append(buffer[:0], events)
		}
	})
	b.Run("msgpack", func(b *testing.B) {
		var buffer bytes.Buffer
		b.ReportAllocs()
		for b.Loop() {
			buffer.Reset()
			if err := encodeReflected(&buffer, other); err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(int64(buffer.Len()))
	})
}

func BenchmarkDecodeEvents(b *testing.B) {
	events, _ := benchmarkEvents()
	message := Append(nil, events)
	b.Run("wire", func(b *testing.B) {
		b.SetBytes(int64(len(message)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(message); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("msgpack", func(b *testing.B) {
		b.SetBytes(int64(len(message)))
		b.ReportAllocs()
		for b.Loop() {
			var v reflectedEvents
			if err := msgpack.Unmarshal(message, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecodeRecords(b *testing.B) {
	var segment []byte
	for i := range 1000 {
		t := exampleTransaction(1, 200)
		segment = AppendRecord(segment, &t.Records(uint64(i), 1)[0])
	}
	b.SetBytes(int64(len(segment)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeRecords(segment); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPush(b *testing.B) {
	for _, events := range []int{1, 100} {
		message := Append(nil, &Push{Space: fill32(1), N: 1, Transactions: []space.Transaction{exampleTransaction(events, 200)}})
		b.Run(fmt.Sprint("decode ", events), func(b *testing.B) {
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
