package wire

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/msgpack"
	"skerry/shared/space"
)

// A vectorCase is what a vector file is made from.
type vectorCase struct {
	name, about string
	shape       string // a structure's name; empty for frames
	message     []byte
	err         string // the code that refuses it
}

func fill32(c byte) (b [32]byte) {
	for i := range b {
		b[i] = c
	}
	return b
}

func exampleID(c byte) (id space.ULID) {
	copy(id[:], []byte{1, 0x8b, 0xcf, 0xe5, 0x68, 0})
	for i := 6; i < len(id); i++ {
		id[i] = c
	}
	return id
}

func exampleGenesis() space.Genesis {
	return space.Genesis{Stamp: exampleID(1), Creator: "alice", Module: fill32(0x0d), Params: []byte{0x81, 0xa1, 'k', 1}}
}

func exampleTransaction(events int, payload int) space.Transaction {
	t := space.Transaction{Author: "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK", API: "1.0.0", ClientVersion: "3.1.4"}
	for i := range events {
		t.Events = append(t.Events, space.Event{
			ID: exampleID(byte(i)), Type: "todo.added", Schema: space.Schema{1, 2, 3, 4, 5, 6, 7, 8},
			Payload: bytes.Repeat([]byte{byte(i + 1)}, payload),
		})
	}
	return t
}

func examplePosition() space.Position {
	return space.Position{Seq: 42, Chain: fill32(0xcc), Seal: fill32(0x5e)}
}

func exampleRecords(n, payload int) []space.Record {
	t := exampleTransaction(n, payload)
	return t.Records(41, 1_700_000_000_123)
}

// fullFrames has every frame with all its elements set.
func fullFrames() map[string]Frame {
	id := digest.Digest(fill32(0x11))
	genesis := exampleGenesis()
	proof := Proof{Identity: "alice", Proof: []byte{1, 2, 3}}
	row := SpaceRow{
		Genesis: genesis, GenesisSignature: bytes.Repeat([]byte{9}, 64), Module: fill32(0x0e), Head: 99, CheckpointSeq: 90,
		Checkpoint: fill32(0x0c), State: SpaceLeft,
	}
	verdicts := []Verdict{
		{Kind: Accepted, Position: examplePosition()},
		{Kind: Duplicate, Position: space.Position{Seq: 1, Chain: fill32(1), Seal: fill32(2)}},
		{Kind: Rejected, Code: CodeForbidden, Reason: "only members write"},
		{Kind: Deferred, Code: CodeRateLimited, Reason: "später", RetryAfterMS: 60_000},
	}
	return map[string]Frame{
		"challenge":   &Challenge{Nonce: fill32(0xa0), Server: fill32(0xb0), APILow: "1.0.0", APIHigh: "1.4.2", Time: 1_700_000_000_000},
		"hello":       &Hello{API: "1.0.0", ClientVersion: "3.1.4", ConnectionID: ConnectionID{1, 2, 3}, Session: SessionID{4, 5}, Epoch: 7, Credit: 1 << 20, Proofs: []Proof{proof, {Identity: "bob"}}},
		"welcome":     &Welcome{Identities: []string{"alice", "did:key:zé"}, Limits: DefaultLimits, API: "1.0.0"},
		"directory":   &Directory{Ref: 1, Since: []byte("cursor")},
		"spaces":      &Spaces{Ref: 1, Rows: []SpaceRow{row, {Genesis: genesis, State: SpaceDeleted}}, Since: []byte{0}, More: true, Full: true},
		"push":        &Push{Space: id, N: 3, Resume: true, Genesis: &genesis, GenesisSignature: []byte{7, 7}, Transactions: []space.Transaction{exampleTransaction(2, 3), exampleTransaction(1, 0)}},
		"pushed":      &Pushed{Space: id, N: 3, Genesis: &Verdict{Kind: Accepted, Position: space.Start(id)}, Verdicts: verdicts},
		"subscribe":   &Subscribe{Subscriptions: []Subscription{{id, examplePosition()}, {fill32(2), space.Start(fill32(2))}}},
		"unsubscribe": &Unsubscribe{Spaces: []space.ID{id, fill32(2)}},
		"events":      &Events{Space: id, Records: exampleRecords(2, 5), Position: examplePosition()},
		"caught_up":   &CaughtUp{Space: id, Position: examplePosition()},
		"ended":       &Ended{Space: id, Code: CodeDiverged, Reason: "another branch"},
		"fetch":       &Fetch{Ref: 2, Space: id, After: 10, Before: 500, MaxRecords: 100, MaxBytes: 1 << 16},
		"page":        &Page{Ref: 2, Space: id, ChainBefore: fill32(0xcb), Records: exampleRecords(1, 5), Position: examplePosition()},
		"blob":        &Blob{Ref: 3, Digest: fill32(0xd1), Offset: 65536},
		"blob_part":   &BlobPart{Ref: 3, Total: 70_000, Offset: 65_536, Bytes: []byte("\x00asm")},
		"blob_put":    &BlobPut{Ref: 4, Digest: fill32(0xd1), Total: 4, Offset: 0, Bytes: []byte("\x00asm")},
		"credit":      &Credit{Bytes: 1 << 20}, "ping": &Ping{}, "pong": &Pong{},
		"auth_refresh": &AuthRefresh{Ref: 5, Proof: proof},
		"ephemeral":    &Ephemeral{Space: id, Bytes: []byte{0xff}},
		"refused":      &Refused{Ref: 4, Code: CodeUnsupported, Reason: "not in this version"},
		"error":        &Error{Code: CodeBadFrame, Reason: "why"},
		"bye":          &Bye{Code: CodeShutdown, RetryAfterMS: 1500},
		"part":         &Part{Total: 100_000, Bytes: []byte{1, 2, 3}},
		"locate":       &Locate{Ref: 6, Space: id, Position: examplePosition(), Points: []space.Position{{Seq: 1, Chain: fill32(1)}, {Seq: 40, Chain: fill32(2)}}},
		"located":      &Located{Ref: 6, Space: id, Common: space.Position{Seq: 1, Chain: fill32(1)}, RecoveringMS: 600_000},
		"adopt": &Adopt{
			Ref: 7, Space: id, Genesis: &genesis, GenesisSignature: []byte{7, 7},
			Base: space.Position{Seq: 40, Chain: fill32(4)}, End: examplePosition(), Records: exampleRecords(2, 5),
		},
		"adopted":   &Adopted{Ref: 7, Space: id, Base: space.Position{Seq: 40, Chain: fill32(4), Seal: fill32(5)}, Outcome: AdoptLeft},
		"reclaim":   &Reclaim{Ref: 8, Space: id, Base: space.Position{Seq: 40, Chain: fill32(4), Seal: fill32(5)}, End: examplePosition(), Records: exampleRecords(2, 5)},
		"reclaimed": &Reclaimed{Ref: 8, Space: id, Verdicts: verdicts, End: examplePosition()},
	}
}

// cases lists every vector. Names are file names.
func cases() []vectorCase {
	var list []vectorCase
	frame := func(name, about string, f Frame) {
		list = append(list, vectorCase{name: name, about: about, message: Append(nil, f)})
	}
	raw := func(name, about, shape, code string, parts ...any) {
		var b []byte
		for _, part := range parts {
			switch p := part.(type) {
			case int:
				b = append(b, byte(p))
			case string:
				b = append(b, p...)
			case []byte:
				b = append(b, p...)
			case [32]byte:
				b = append(b, p[:]...)
			}
		}
		list = append(list, vectorCase{name, about, shape, b, code})
	}
	for name, f := range fullFrames() {
		frame(name, "every element set", f)
		frame(name+"_zero", "every element zero", newFrame(f.Number()))
		raw(name+"_short", "all elements missing: zero", "", "", 0x91, int(f.Number()))
		grown := Append(nil, f)
		grown[0] += 3
		raw(name+"_grown", "unknown elements at the end are ignored", "", "", grown, 0x82, 1, 0x91, 0xc0, "\xa1k", 0xca, 0, 0, 0, 0, 0xd4, 5, 6, 0xcd, 1, 0)
	}

	// Integers.
	for _, n := range []uint64{0, 1, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, 1 << 53, 1<<53 + 1, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
		frame(fmt.Sprint("uint_", n), "an integer in its shortest form", &Credit{Bytes: n})
	}
	credit := []byte{0x92, 18}
	for name, form := range map[string]string{
		"uint8": "\xcc\x05", "uint16": "\xcd\x00\x05", "uint32": "\xce\x00\x00\x00\x05", "uint64": "\xcf\x00\x00\x00\x00\x00\x00\x00\x05",
		"int8": "\xd0\x05", "int16": "\xd1\x00\x05", "int32": "\xd2\x00\x00\x00\x05", "int64": "\xd3\x00\x00\x00\x00\x00\x00\x00\x05",
		"int64_large": "\xd3\x7f\xff\xff\xff\xff\xff\xff\xff",
	} {
		raw("long_"+name, "a longer form of an integer is read, the shortest written", "", "", credit, form)
	}
	for name, form := range map[string]string{
		"fixint": "\xff", "int8": "\xd0\x80", "int16": "\xd1\xff\xff", "int32": "\xd2\x80\x00\x00\x00", "int64": "\xd3\xff\xff\xff\xff\xff\xff\xff\xff",
	} {
		raw("negative_"+name, "no integer of the protocol is negative", "", "bad_frame", credit, form)
	}
	for name, form := range map[string]string{
		"float": "\xcb\x40\x14\x00\x00\x00\x00\x00\x00", "text": "\xa15", "nil": "\xc0", "bool": "\xc3", "array": "\x90", "map": "\x80", "reserved_byte": "\xc1", "bytes": "\xc4\x01\x05",
	} {
		raw("uint_as_"+name, "an integer is no "+name, "", "bad_frame", credit, form)
	}
	raw("number_long", "the frame's number in a longer form", "", "", 0x91, 0xcd, 0, 19)
	raw("array16", "the message's array in a longer form", "", "", 0xdc, 0, 1, 19)
	raw("array32", "the message's array in the longest form", "", "", 0xdd, 0, 0, 0, 1, 19)

	// Bytes, texts and arrays at the boundaries of their forms.
	for _, n := range []int{0, 1, 255, 256, 65535, 65536} {
		frame(fmt.Sprint("bytes_", n), "bytes at a boundary of their length's form", &Part{Total: 1 << 20, Bytes: bytes.Repeat([]byte{0xab}, n)})
	}
	for _, n := range []int{0, 31, 32, 255, 256, 65535, 65536} {
		frame(fmt.Sprint("text_", n), "text at a boundary of its length's form", &Error{Code: 1, Reason: strings.Repeat("x", n)})
	}
	for _, n := range []int{0, 1, 15, 16, 255, 256} {
		frame(fmt.Sprint("array_", n), "an array at a boundary of its length's form", &Unsubscribe{Spaces: make([]space.ID, n)})
	}
	frame("events_payload_255", "a record's payload in the shortest form", &Events{Records: exampleRecords(1, 255)})
	frame("events_payload_256", "a record's payload in the two-byte form", &Events{Records: exampleRecords(1, 256)})
	frame("events_records_16", "16 records of one transaction", &Events{Space: fill32(1), Records: exampleRecords(16, 1), Position: examplePosition()})
	frame("push_no_genesis", "an absent genesis is nil", &Push{Space: fill32(1), N: 1, Transactions: []space.Transaction{exampleTransaction(15, 1)}})
	frame("text_unicode", "text outside of ASCII", &Error{Code: 1, Reason: "zoë 🌊 \u0000 \u2028"})
	frame("record_largest", "the largest numbers of a record", &Events{Records: []space.Record{{Seq: space.MaxSeq, ReceivedAt: math.MaxUint64, Index: math.MaxUint32, Count: math.MaxUint32}}})
	raw("bytes_nil", "nil is empty", "", "", 0x93, 4, 1, 0xc0)
	raw("bytes_long", "bytes in the longest form", "", "", 0x93, 4, 1, 0xc6, 0, 0, 0, 1, 7)
	raw("text_long", "text in the longest form", "", "", 0x93, 24, 1, 0xdb, 0, 0, 0, 1, "x")
	raw("fixed_empty", "a fixed-size element may be empty, which is zero", "", "", 0x93, 22, 0xc4, 0, 0xc4, 1, 5)
	raw("fixed_nil", "a fixed-size element may be nil, which is zero", "", "", 0x93, 22, 0xc0, 0xc0)
	raw("fixed_short", "31 bytes for 32", "", "bad_frame", 0x92, 22, 0xc4, 31, bytes.Repeat([]byte{1}, 31))
	raw("fixed_long", "33 bytes for 32", "", "bad_frame", 0x92, 22, 0xc4, 33, bytes.Repeat([]byte{1}, 33))
	raw("bytes_as_text", "text where bytes belong", "", "bad_frame", 0x93, 4, 1, 0xa1, "x")
	raw("text_as_bytes", "bytes where text belongs", "", "bad_frame", 0x93, 24, 1, 0xc4, 1, "x")
	raw("text_nil", "text is never nil", "", "bad_frame", 0x93, 24, 1, 0xc0)
	raw("bool_as_uint", "a boolean is no integer", "", "bad_frame", 0x94, 6, 0xc0, 1, 1)
	raw("array_nil", "an array is never nil", "", "bad_frame", 0x92, 9, 0xc0)
	raw("array_as_map", "an array is no map", "", "bad_frame", 0x92, 9, 0x80)
	raw("uint32_over", "a record's index of 2^32", "", "bad_frame", 0x93, 10, 0xc0, 0x91, 0x94, 0xc4, 16, make([]byte, 16), 1, 1, 0xcf, 0, 0, 0, 1, 0, 0, 0, 0)
	for name, text := range map[string]string{
		"continuation": "\x80", "overlong": "\xc0\xaf", "surrogate": "\xed\xa0\x80", "beyond": "\xf4\x90\x80\x80", "cut": "x\xc3", "latin1": "caf\xe9",
	} {
		raw("utf8_"+name, "text that is not UTF-8", "", "bad_frame", 0x93, 24, 1, 0xa0|len(text), text)
	}

	// Messages that are not whole, not alone, not known, not honest.
	raw("empty", "no bytes", "", "bad_frame")
	raw("empty_array", "no number", "", "bad_frame", 0x90)
	raw("not_array", "a map", "", "bad_frame", 0x81, 19, 1)
	raw("number_text", "a frame's name for its number", "", "bad_frame", 0x91, 0xa4, "ping")
	raw("number_negative", "a negative number", "", "bad_frame", 0x91, 0xff)
	raw("trailing", "a byte behind the message", "", "bad_frame", 0x91, 19, 0)
	raw("trailing_message", "two messages in one", "", "bad_frame", 0x91, 19, 0x91, 19)
	raw("unknown_0", "frame 0", "", "unknown_frame", 0x91, 0)
	raw("unknown_next", "the number after the last frame", "", "unknown_frame", 0x91, 33)
	raw("unknown_garbage", "an unknown frame's elements are not looked at", "", "unknown_frame", 0x92, 0x7f, 0xc1)
	raw("unknown_largest", "the largest number", "", "unknown_frame", 0x91, 0xcf, bytes.Repeat([]byte{0xff}, 8))
	push := Append(nil, fullFrames()["push"])
	for _, n := range []int{1, 2, 3, 20, 36, 38, 60, len(push) - 30, len(push) - 1} {
		raw(fmt.Sprint("truncated_", n), "a push cut short", "", "bad_frame", push[:n])
	}
	raw("cut_in_unknown", "cut within an unknown element", "", "bad_frame", 0x92, 19, 0xc4, 5, 1)
	raw("bomb_array32", "an array that claims 2^32-1 elements", "", "bad_frame", 0x92, 9, 0xdd, 0xff, 0xff, 0xff, 0xff)
	raw("bomb_message", "a message that claims 2^32-1 elements", "", "bad_frame", 0xdd, 0xff, 0xff, 0xff, 0xff, 19)
	raw("bomb_bytes32", "bytes that claim 2^32-1", "", "bad_frame", 0x93, 4, 1, 0xc6, 0xff, 0xff, 0xff, 0xff, 1)
	raw("bomb_text32", "text that claims 2^32-1 bytes", "", "bad_frame", 0x93, 24, 1, 0xdb, 0xff, 0xff, 0xff, 0xff, "x")
	raw("bomb_ext32", "an unknown extension that claims 2^32-1 bytes", "", "bad_frame", 0x92, 19, 0xc9, 0xff, 0xff, 0xff, 0xff, 1)
	raw("bomb_map32", "an unknown map that claims 2^32-1 pairs", "", "bad_frame", 0x92, 19, 0xdf, 0xff, 0xff, 0xff, 0xff, 1, 1)
	raw("bomb_depth", "unknown elements nested 200 deep", "", "bad_frame", 0x92, 19, bytes.Repeat([]byte{0x91}, 200), 1)
	raw("bomb_empty_records", "1,000 records of one byte each", "", "bad_frame", 0x93, 10, 0xc0, 0xdc, 3, 0xe8, bytes.Repeat([]byte{0x90}, 1000))
	raw("bomb_empty_events", "a transaction of 40 events of one byte each, with bytes behind it to pay for them", "", "bad_frame",
		0x98, 6, 0xc0, 1, 0xc2, 0xc0, 0xc0, 0x91, 0x94, "\xa0\xa0\xa0", 0xdc, 0, 40, bytes.Repeat([]byte{0x90}, 40), 0xc5, 4, 0, make([]byte, 1024))
	raw("depth_16", "unknown elements nested as deep as allowed", "", "", 0x92, 19, bytes.Repeat([]byte{0x91}, msgpack.MaxDepth-1), 1)
	raw("depth_17", "unknown elements nested one too deep", "", "bad_frame", 0x92, 19, bytes.Repeat([]byte{0x91}, msgpack.MaxDepth), 1)

	// Structures that stores keep outside of frames.
	record := exampleRecords(1, 20)[0]
	transaction, genesis, position := exampleTransaction(2, 4), exampleGenesis(), examplePosition()
	raw("structure_record", "as in a replica's segments", "record", "", AppendRecord(nil, &record))
	raw("structure_record_zero", "every element zero", "record", "", AppendRecord(nil, new(space.Record)))
	tombstone := record.Tombstone()
	raw("structure_record_expired", "its payload is gone", "record", "", AppendRecord(nil, &tombstone))
	tombstone.Payload = tombstone.Payload[:31]
	raw("structure_record_expired_short", "31 bytes for the digest of what the payload was", "record", "bad_frame", AppendRecord(nil, &tombstone))
	frame("spaces_expired", "a space of which records have expired", &Spaces{Rows: []SpaceRow{{Genesis: exampleGenesis(), Head: 99, CheckpointSeq: 90, Checkpoint: fill32(0x0c), Expired: 80}}})
	raw("structure_transaction", "as in a replica's outbox", "transaction", "", AppendTransaction(nil, &transaction))
	raw("structure_transaction_empty", "no events", "transaction", "", AppendTransaction(nil, new(space.Transaction)))
	raw("structure_genesis", "as stores keep it", "genesis", "", AppendGenesis(nil, &genesis))
	raw("structure_position", "as pages keep it", "position", "", AppendPosition(nil, &position))
	raw("structure_position_start", "seq 0", "position", "", AppendPosition(nil, new(space.Position)))
	raw("structure_said", "in the bytes of an ephemeral from a server", "said", "", AppendSaid(nil, &Said{Author: "alice", Bytes: []byte{0xc3}}))
	raw("structure_said_grown", "unknown elements at the end are ignored", "said", "", 0x93, "\xa5alice", 0xc4, 1, 0xc3, 0x82, 1, 0xc0, 2, 0x90)
	raw("structure_said_short", "all elements missing: zero", "said", "", 0x90)
	raw("structure_said_trailing", "a byte behind", "said", "bad_frame", AppendSaid(nil, new(Said)), 0)
	raw("structure_said_text", "text where bytes belong", "said", "bad_frame", 0x92, "\xa5alice", "\xa1x")
	for _, shape := range []string{"record", "transaction", "genesis", "position", "said"} {
		raw("structure_"+shape+"_none", "no bytes", shape, "bad_frame")
	}
	raw("structure_position_trailing", "a byte behind", "position", "bad_frame", AppendPosition(nil, &position), 0)
	raw("structure_genesis_trailing", "a byte behind", "genesis", "bad_frame", AppendGenesis(nil, &genesis), 0)
	raw("structure_transaction_trailing", "a byte behind", "transaction", "bad_frame", AppendTransaction(nil, &transaction), 0)
	raw("structure_record_trailing", "a byte behind", "record", "bad_frame", AppendRecord(nil, &record), 0)
	return list
}
