package wire

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"skerry/shared/space"
)

// The most that decoding may allocate: a fixed multiple of the input, and a little for frames and errors. Allocation
// is counted for the whole process, so the constant leaves room for what the runtime does meanwhile.
const (
	allocatedPerByte = 40
	allocatedAnyway  = 64 << 10
)

// seeds adds the messages of every vector of one of shapes, or of every frame when shapes is empty; there must be some.
func seeds(f *testing.F, shapes ...string) {
	f.Helper()
	structures := map[string]bool{"record": true, "transaction": true, "genesis": true, "position": true, "said": true}
	count := 0
	for _, v := range readVectors(f) {
		wanted := len(shapes) == 0 && !structures[v.Shape]
		for _, shape := range shapes {
			wanted = wanted || v.Shape == shape
		}
		if b := v.message(); wanted && len(b) < 8192 {
			f.Add(b)
			count++
		}
	}
	if count == 0 {
		f.Fatalf("no vector of %v seeds this target", shapes)
	}
}

// allocated returns how many bytes run allocates.
func allocated(run func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func frugal(t *testing.T, input []byte, decode func()) {
	t.Helper()
	got, most := allocated(decode), uint64(allocatedPerByte*len(input)+allocatedAnyway)
	if got > most {
		t.Fatalf("decoding %d bytes allocates %d, more than %d", len(input), got, most)
	}
	if len(input) > 1<<20 {
		t.Logf("%.1f times the input", float64(got)/float64(len(input)))
	}
}

func FuzzDecode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, message []byte) {
		first, err := Decode(message)
		if err != nil {
			if code := CodeOf(err); first != nil || code != CodeBadFrame && code != CodeUnknownFrame {
				t.Fatalf("Decode = %v, %v", first, err)
			}
			return
		}
		written := Append(nil, first)
		second, err := Decode(written)
		if push, ok := first.(*Push); ok && err != nil && meaningless(push) {
			return // many transactions without events were carried by bytes that nobody knows
		}
		if err != nil {
			t.Fatalf("%+v is written as %x and refused: %v", first, written, err)
		}
		if again := Append(nil, second); !bytes.Equal(again, written) {
			t.Fatalf("written as %x, then as %x", written, again)
		}
		if a, b := neutral(reflect.ValueOf(first)), neutral(reflect.ValueOf(second)); !reflect.DeepEqual(a, b) && !verdictWithout(first) {
			t.Fatalf("%v became %v", a, b)
		}
	})
}

func meaningless(p *Push) bool {
	for i := range p.Transactions {
		if len(p.Transactions[i].Events) == 0 {
			return true
		}
	}
	return false
}

// verdictWithout reports whether f has verdicts, whose positions are written only where their kind has one.
func verdictWithout(f Frame) bool { _, ok := f.(*Pushed); return ok }

// FuzzDecodeAllocation stands apart, since measuring memory stops the world and is slow.
func FuzzDecodeAllocation(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, message []byte) {
		frugal(t, message, func() { _, _ = Decode(message) })
		frugal(t, message, func() { _, _ = DecodeRecords(message) })
	})
}

func FuzzDecodeRecords(f *testing.F) {
	seeds(f, "record")
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := DecodeRecords(b)
		if err != nil {
			return
		}
		var written []byte
		for i := range records {
			written = AppendRecord(written, &records[i])
		}
		again, err := DecodeRecords(written)
		if err != nil || len(again) != len(records) {
			t.Fatalf("%d records are written as %x and read as %d, %v", len(records), written, len(again), err)
		}
		for i := range again {
			if a, b := AppendRecord(nil, &again[i]), AppendRecord(nil, &records[i]); !bytes.Equal(a, b) {
				t.Fatalf("record %d became %x, was %x", i, a, b)
			}
		}
	})
}

// structure is a fuzz target for one structure that stores keep.
func structure[T any](f *testing.F, shape string, decode func([]byte) (T, error), write func([]byte, *T) []byte) {
	seeds(f, shape)
	f.Fuzz(func(t *testing.T, b []byte) {
		first, err := decode(b)
		if err != nil {
			return
		}
		written := write(nil, &first)
		second, err := decode(written)
		if err != nil || !bytes.Equal(write(nil, &second), written) {
			t.Fatalf("%x is written as %x and read as %+v, %v", b, written, second, err)
		}
	})
}

func FuzzDecodeTransaction(f *testing.F) {
	structure(f, "transaction", DecodeTransaction, AppendTransaction)
}
func FuzzDecodeGenesis(f *testing.F) { structure(f, "genesis", DecodeGenesis, AppendGenesis) }
func FuzzDecodePosition(f *testing.F) {
	structure(f, "position", DecodePosition, AppendPosition)
}
func FuzzDecodeSaid(f *testing.F) { structure(f, "said", DecodeSaid, AppendSaid) }

// FuzzJoiner splits a message at random places, joins it, and then feeds the joiner what the fuzzer likes.
func FuzzJoiner(f *testing.F) {
	for _, v := range readVectors(f) {
		if b := v.message(); len(b) < 2048 {
			f.Add(b, uint64(len(b)))
		}
	}
	f.Fuzz(func(t *testing.T, message []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		joiner := Joiner{Limit: 1 << 16}
		if len(message) > 0 && len(message) < 1<<15 && numberOf(message) != NumberPart {
			var got []byte
			for rest := message; len(rest) > 0; {
				n := 1 + random.IntN(len(rest))
				piece, err := joiner.Add(Append(nil, &Part{Total: uint64(len(message)), Bytes: rest[:n]}))
				if rest = rest[n:]; err != nil || (piece != nil) != (len(rest) == 0) {
					t.Fatalf("%d bytes left, Add = %x, %v", len(rest), piece, err)
				}
				got = piece
			}
			if !bytes.Equal(got, message) {
				t.Fatalf("joined to %x", got)
			}
		}
		for rest := message; len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			if _, err := joiner.Add(rest[:n]); err != nil {
				if code := CodeOf(err); code != CodeBadFrame && code != CodeMessageTooBig {
					t.Fatalf("Add: %v", err)
				}
				return
			}
			rest = rest[n:]
		}
	})
}

// TestBombs decodes whole messages of 4 MiB that were made to cost as much memory as they can.
func TestBombs(t *testing.T) {
	const size = 4 << 20
	repeat := func(head string, body string) []byte {
		return append([]byte(head), bytes.Repeat([]byte(body), (size-len(head))/len(body))...)
	}
	empty := string(make([]byte, 16))
	event := "\x92\xc4\x10" + empty + "\xa1t"
	for name, message := range map[string][]byte{
		"empty arrays in a message":   repeat("\xdd\x00\x3f\xff\xf0\x13", "\x90"),
		"empty records":               repeat("\x93\x0a\xc0\xdd\x00\x30\x00\x00", "\x90"),
		"as many records as allowed":  repeat("\x93\x0a\xc0\xdd\x00\x02\xaa\x00", "\x90"),
		"empty transactions":          repeat("\x97\x06\xc0\x01\xc2\xc0\xc0\xdd\x00\x30\x00\x00", "\x90"),
		"transactions as allowed":     repeat("\x97\x06\xc0\x01\xc2\xc0\xc0\xdd\x00\x02\xaa\x00", "\x90"),
		"events as allowed":           repeat("\x97\x06\xc0\x01\xc2\xc0\xc0\xdd\x00\x02\xaa\x00\x94\xa0\xa0\xa0\xdd\x00\x03\x00\x00", "\x90"),
		"events claimed by many":      repeat("\x97\x06\xc0\x01\xc2\xc0\xc0\xdd\x00\x02\xa0\x00", "\x94\xa0\xa0\xa0\xdc\x40\x00"+string(bytes.Repeat([]byte{0x90}, 1<<14))),
		"transactions of one event":   repeat("\x97\x06\xc0\x01\xc2\xc0\xc0\xdd\x00\x02\x40\x00", "\x94\xa0\xa0\xa0\x91"+event),
		"verdicts":                    repeat("\x95\x07\xc0\x01\xc0\xdd\x00\x0f\xff\x00", "\x93\x04\xc0\x28"),
		"proofs":                      repeat("\x98\x02\xa0\xa0\xc0\xc0\x01\x01\xdd\x00\x15\x00\x00", "\x91\xa1a"),
		"identities":                  repeat("\x94\x03\xdd\x00\x3f\xff\x00", "\xa0"),
		"identities of two letters":   repeat("\x94\x03\xdd\x00\x15\x00\x00", "\xa2ab"),
		"rows":                        repeat("\x96\x05\x01\xdd\x00\x01\x2f\x00", "\x90"),
		"space IDs":                   repeat("\x92\x09\xdd\x00\x01\xe0\x00", "\xc0"),
		"subscriptions":               repeat("\x92\x08\xdd\x00\x01\xe0\x00", "\x90"),
		"records without frame":       repeat("", "\x90"),
		"least records without frame": repeat("", "\x98\xc4\x10"+empty+"\x01\x01\x00\x01\xa0\xa0"),
		"interned strings":            repeat("\x97\x06\xc0\x01\xc2\xc0\xc0\xdd\x00\x01\x40\x00", "\x94\xa2ab\xa2cd\xa2ef\x91"+event+"\x94\xa2gh\xa2ij\xa2kl\x91"+event),
	} {
		t.Run(name, func(t *testing.T) {
			frugal(t, message, func() { _, _ = Decode(message) })
			frugal(t, message, func() { _, _ = DecodeRecords(message) })
			frugal(t, message, func() { _, _ = DecodeTransaction(message) })
			joiner := Joiner{Limit: size}
			frugal(t, message, func() { _, _ = joiner.Add(message) })
		})
	}
}

// What vectors claim to refuse costs next to nothing.
func TestClaimsCostNothing(t *testing.T) {
	for _, v := range readVectors(t) {
		if message := v.message(); v.Error != "" && len(message) < 100 {
			if got := testing.AllocsPerRun(10, func() { _, _ = Decode(message) }); got > 20 {
				t.Errorf("%s: %v allocations", v.Name, got)
			}
			frugal(t, message, func() { _, _ = Decode(message) })
		}
	}
}

// A joiner believes a total only as far as bytes come.
func TestJoinerAllocatesForWhatCame(t *testing.T) {
	joiner := Joiner{Limit: 1 << 30}
	piece := Append(nil, &Part{Total: 1 << 30, Bytes: []byte{1}})
	frugal(t, piece, func() {
		if whole, err := joiner.Add(piece); whole != nil || err != nil {
			t.Errorf("Add = %x, %v", whole, err)
		}
	})
}

func TestAliasing(t *testing.T) {
	record := space.Record{Event: space.Event{Type: "t", Payload: []byte("payload")}}
	b := AppendRecord(nil, &record)
	records, err := DecodeRecords(b)
	if err != nil {
		t.Fatal(err)
	}
	p := records[0].Payload
	if i := bytes.Index(b, []byte("payload")); &p[0] != &b[i] || cap(p) != len(p) {
		t.Error("a payload is a copy, or may be appended to over what follows it")
	}
}
