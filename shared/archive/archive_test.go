package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"skerry/shared/archive"
	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

func ulid(n byte) space.ULID { return space.ULID{0, 0, 1, 15: n} }

func transaction(n byte, events int) space.Transaction {
	t := space.Transaction{Author: "ada", API: "1.0.0", ClientVersion: "2.4.4"}
	for i := range events {
		t.Events = append(t.Events, space.Event{ID: ulid(n + byte(i)), Type: "note", Payload: []byte{0xa1, 'a' + n}})
	}
	return t
}

// sample writes an archive of two spaces and returns it with what a reader should give back.
func sample(t *testing.T) ([]byte, []archive.Item) {
	t.Helper()
	var file bytes.Buffer
	w := archive.NewWriter(&file, archive.Header{Server: [32]byte{1, 2}, Time: 1789})
	mine := &space.Genesis{Stamp: ulid(1), Creator: "ada", Module: digest.Of([]byte("m")), Params: []byte{0xc0}}
	shared := &space.Genesis{Stamp: ulid(2), Creator: "ben", Module: digest.Of([]byte("m")), Params: []byte{}}

	first := archive.Space{ID: shared.ID(), Genesis: shared, GenesisSignature: []byte{9}, Created: true, Module: digest.Of([]byte("n")), Start: space.Start(shared.ID())}
	one, two := transaction(10, 2), transaction(20, 1)
	records := [][]space.Record{one.Records(1, 5), two.Records(3, 6)}
	middle := space.Position{Seq: 2, Chain: space.Fold(shared.ID(), records[0])}
	end := space.Position{Seq: 3, Chain: space.Fold(middle.Chain, records[1]), Seal: digest.Of([]byte("seal"))}
	refusal := archive.Refusal{Transaction: transaction(40, 1), Code: wire.CodeForbidden, Reason: "not yours"}
	lost := archive.Lost{Transaction: transaction(60, 2), ReceivedAt: 99, Code: wire.CodeForbidden, Reason: "not a member any more"}
	lost.Transaction.Author = "ben"
	second := archive.Space{ID: mine.ID(), Genesis: mine, Start: space.Start(mine.ID())}
	third := archive.Space{ID: digest.Of([]byte("only known by its name")), Start: space.Start(digest.Of([]byte("only known by its name")))}

	for _, err := range []error{
		w.Space(first), w.Records(records[0], middle), w.Records(records[1], end), w.Waiting(transaction(30, 3)), w.Refused(refusal), w.Lost(lost),
		w.Space(second), w.Waiting(transaction(50, 1)), w.Space(third), w.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	second.GenesisSignature = []byte{}
	return file.Bytes(), []archive.Item{
		&first,
		&archive.Records{Before: first.Start, Records: records[0], Position: middle},
		&archive.Records{Before: middle, Records: records[1], Position: end},
		&archive.Waiting{Transaction: transaction(30, 3)}, &refusal, &lost,
		&second, &archive.Waiting{Transaction: transaction(50, 1)}, &third,
	}
}

func readAll(file io.Reader) (archive.Header, []archive.Item, error) {
	r, err := archive.NewReader(file)
	if err != nil {
		return archive.Header{}, nil, err
	}
	var items []archive.Item
	for {
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Header(), items, nil
		}
		if err != nil {
			return r.Header(), items, err
		}
		items = append(items, item)
	}
}

func TestReadsWhatWasWritten(t *testing.T) {
	file, want := sample(t)
	header, items, err := readAll(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if header != (archive.Header{Server: [32]byte{1, 2}, Time: 1789}) {
		t.Errorf("header %+v", header)
	}
	if len(items) != len(want) {
		t.Fatalf("%d items, not %d", len(items), len(want))
	}
	for i := range want {
		if !equal(items[i], want[i]) {
			t.Errorf("item %d is %s, not %s", i, text(items[i]), text(want[i]))
		}
	}
}

func text(item archive.Item) string { return fmt.Sprintf("%+v", reflect.ValueOf(item).Elem()) }

// equal compares what is said, not whether an empty slice is nil.
func equal(a, b archive.Item) bool {
	if x, ok := a.(*archive.Space); ok {
		y, ok := b.(*archive.Space)
		if !ok || (x.Genesis == nil) != (y.Genesis == nil) || x.Genesis != nil && x.Genesis.ID() != y.Genesis.ID() {
			return false
		}
		return x.ID == y.ID && bytes.Equal(x.GenesisSignature, y.GenesisSignature) && x.Created == y.Created && x.Module == y.Module && x.Start == y.Start
	}
	return reflect.DeepEqual(a, b)
}

// TestEveryDamageIsFound cuts the file short everywhere, and flips a bit of each byte.
func TestEveryDamageIsFound(t *testing.T) {
	file, _ := sample(t)
	for n := range file {
		if _, _, err := readAll(bytes.NewReader(file[:n])); wire.CodeOf(err) != wire.CodeBadArchive {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
		damaged := bytes.Clone(file)
		damaged[n] ^= 1
		_, _, err := readAll(bytes.NewReader(damaged))
		switch code := wire.CodeOf(err); {
		case code == wire.CodeBadArchive, code == wire.CodeBadChain:
		default:
			t.Fatalf("byte %d flipped: %v", n, err)
		}
	}
	if _, _, err := readAll(strings.NewReader("skerry archive 2 whatever\n")); wire.CodeOf(err) != wire.CodeUpgradeRequired {
		t.Errorf("a later version: %v", err)
	}
}

// TestForgedHistory changes history and mends the digest, as an editor of such files would: the chain tells.
func TestForgedHistory(t *testing.T) {
	id := digest.Of([]byte("a space"))
	one := transaction(1, 2)
	records := one.Records(1, 5)
	position := space.Position{Seq: 2, Chain: space.Fold(id, records)}
	write := func(start space.Position, records []space.Record, position space.Position) error {
		var file bytes.Buffer
		w := archive.NewWriter(&file, archive.Header{})
		w.Space(archive.Space{ID: id, Start: start})
		w.Records(records, position)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		_, _, err := readAll(&file)
		return err
	}
	if err := write(space.Start(id), records, position); err != nil {
		t.Fatalf("as it was: %v", err)
	}
	changed := one.Records(1, 5)
	changed[1].Payload = []byte{0xa1, 'z'}
	for name, err := range map[string]error{
		"another payload":         write(space.Start(id), changed, position),
		"half a transaction":      write(space.Start(id), records[:1], space.Position{Seq: 1, Chain: space.Fold(id, records[:1])}),
		"from the middle":         write(space.Start(id), records[1:], position),
		"another position":        write(space.Start(id), records, space.Position{Seq: 3, Chain: position.Chain}),
		"numbers from elsewhere":  write(space.Position{Seq: 7, Chain: id}, records, position),
		"another space's records": write(space.Start(digest.Of([]byte("another"))), records, position),
	} {
		if code := wire.CodeOf(err); code != wire.CodeBadChain && code != wire.CodeBadArchive {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestClaimsCostNothing reads a message that says it is as big as one may be, and is not there.
func TestClaimsCostNothing(t *testing.T) {
	for size, code := range map[uint32]wire.Code{wire.MaxServerMessage: wire.CodeBadArchive, wire.MaxServerMessage + 1: wire.CodeBadArchive, 1 << 31: wire.CodeBadArchive} {
		file := fmt.Appendf(nil, "skerry archive 1 %064d 0\n", 0)
		file = append(file, byte(size>>24), byte(size>>16), byte(size>>8), byte(size))
		allocated := testing.AllocsPerRun(1, func() {
			if _, _, err := readAll(bytes.NewReader(file)); wire.CodeOf(err) != code {
				t.Errorf("%d bytes claimed: %v", size, err)
			}
		})
		if allocated > 1000 {
			t.Errorf("%d bytes claimed: %v allocations", size, allocated)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("skerry archive 1 " + strings.Repeat("0", 64) + " 0\n\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, file []byte) {
		_, items, err := readAll(bytes.NewReader(file))
		if err != nil && len(items) > len(file) {
			t.Fatalf("%d items of %d bytes", len(items), len(file))
		}
	})
}
