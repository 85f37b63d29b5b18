package wire

import (
	"bytes"
	"strings"
	"testing"

	"skerry/shared/space"
)

// skipCases are records whose every field is at an edge of its encodings.
func skipCases() []space.Record {
	var records []space.Record
	numbers := []uint64{0, 1, 127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<64 - 1}
	lengths := []int{0, 1, 31, 32, 255, 256, 65535, 65536}
	for i, n := range numbers {
		text := strings.Repeat("t", lengths[i%len(lengths)])
		records = append(records, space.Record{
			Event: space.Event{ID: space.ULID{15: byte(i)}, Type: text, Schema: space.Schema{1}, Payload: make([]byte, lengths[(i+3)%len(lengths)])},
			Seq:   n, ReceivedAt: numbers[len(numbers)-1-i], Index: uint32(n), Count: uint32(n >> 3), Author: text, API: text[:len(text)/2], ClientVersion: text,
		})
	}
	return records
}

func TestSkipRecord(t *testing.T) {
	records := skipCases()
	for i := range records {
		records = append(records, records[i].Tombstone())
	}
	for _, record := range records {
		b := AppendRecord(nil, &record)
		for _, behind := range [][]byte{nil, {0x9b}, b} {
			seq, size, n, err := SkipRecord(append(bytes.Clone(b), behind...))
			if err != nil || seq != record.Seq || size != record.Size() || n != len(b) {
				t.Fatalf("record %d of size %d in %d bytes: got %d, %d, %d, %v", record.Seq, record.Size(), len(b), seq, size, n, err)
			}
		}
		for cut := range min(len(b), 300) {
			if _, _, _, err := SkipRecord(b[:cut]); err != ErrMalformed {
				t.Fatalf("the first %d of %d bytes are taken for a record: %v", cut, len(b), err)
			}
		}
		if _, _, _, err := SkipRecord(b[:len(b)-1]); err != ErrMalformed {
			t.Fatalf("a record without its last byte: %v", err)
		}
	}
	record := skipCases()[1]
	b := AppendRecord(nil, &record)
	for _, other := range [][]byte{
		append(append([]byte{0x9c}, b[1:]...), 0xc0), // an element more, which DecodeRecords passes over
		append([]byte{0x9a}, b[1:]...),
		bytes.Replace(b, []byte{0xc4, 8}, []byte{0xc4, 9}, 1),                          // a schema too long
		append([]byte{0x9b, 0xc0}, b[recordHead:]...),                                  // nil for the id
		append(b[:recordHead:recordHead], 1, 1, 0xcf, 1, 0, 0, 0, 0, 0, 0, 0, 1),       // an index of 57 bits
		append(b[:recordHead:recordHead], 1, 1, 1, 1, 0xdb, 0xff, 0xff, 0xff, 0xff),    // an author of 4 GiB
		append(b[:recordHead:recordHead], 1, 1, 1, 1, 0xc6, 0xff, 0xff, 0xff, 0xff),    // a binary author
		append(b[:recordHead:recordHead], 0xd3, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0xa0), // a signed number
	} {
		if _, _, _, err := SkipRecord(other); err != ErrMalformed {
			t.Errorf("%x is passed over: %v", other[:min(len(other), 60)], err)
		}
	}
	if got := testing.AllocsPerRun(10, func() { _, _, _, _ = SkipRecord(b) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// What SkipRecord passes over, DecodeRecords reads as the same number and size, unless a text is not UTF-8.
func FuzzSkipRecord(f *testing.F) {
	seeds(f, "record")
	for _, record := range skipCases() {
		f.Add(AppendRecord(nil, &record))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		seq, size, n, err := SkipRecord(b)
		if err != nil {
			return
		}
		if n > len(b) || n < minRecord {
			t.Fatalf("%d bytes of %d", n, len(b))
		}
		records, err := DecodeRecords(b[:n])
		if err != nil {
			return
		}
		if len(records) != 1 || records[0].Seq != seq || records[0].Size() != size {
			t.Fatalf("skipped as %d of size %d, read as %+v", seq, size, records)
		}
	})
}
